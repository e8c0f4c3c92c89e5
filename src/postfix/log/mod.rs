//! Lines of the mail log, as syslog daemons, postlogd(8) and journalctl(1) write them, and what Postfix says in them.
//!
//! [`mod@line`] takes the header off, [`record`] takes lines out of JSON and the journal's export; [`text`] knows what all
//! messages share (queue ids, severities: mail_queue.h, msg.c), and [`address`], [`delivery`], [`refusal`] and [`check`] the
//! grammar of those that hold a stranger's words (info_log_addr_form.c, log_adhoc.c, smtpd_check.c, cleanup_message.c). They
//! only look at bytes: nothing is assumed to be UTF-8, and what does not fit is simply not found. What a line counts as is
//! not decided here.

pub mod address;
pub mod check;
pub mod delivery;
pub mod line;
pub mod record;
pub mod refusal;
pub mod stamp;
pub mod text;
pub mod tls;

pub use line::{Line, Tag};
pub use text::{QueueId, Severity};
