//! Lines of the mail log, as syslog daemons, postlogd(8) and journalctl(1) write them, and what Postfix says in them.
//!
//! [`mod@line`] takes the header off; [`text`] knows the grammar of the messages (queue ids, severities, delivery and reject
//! lines: log_adhoc.c, smtpd_check.c, cleanup_message.c, mail_queue.h). Both only look at bytes: nothing is copied, nothing
//! is assumed to be UTF-8, and what does not fit is simply not found. What a line counts as is not decided here.

pub mod address;
pub mod check;
pub mod delivery;
pub mod line;
pub mod record;
pub mod refusal;
pub mod stamp;
pub mod text;

pub use line::{Line, Tag};
pub use text::{QueueId, Severity};
