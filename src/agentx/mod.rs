//! AgentX (RFC 2741): the protocol between a master agent (snmpd) and a subagent. Not a word of Postfix in here.
//!
//! - [`wire`], [`pdu`]: octets and PDUs, both byte orders.
//! - [`session`]: the protocol, without I/O and without a clock.
//! - [`run`]: the only I/O. It connects, serves, reconnects and re-registers for ever, and belongs on a thread of its own:
//!   snmpd drops a subagent after one slow answer.
//! - [`notifications`]: the queue between whoever notices something and the link.
//! - [`try_register`] and [`try_open`]: whether all of it would work, and what to do if not.
//!
//! What is served is an [`Objects`](crate::smi::Objects): one consistent state, taken anew for each SNMP request. Read-only: every SET is
//! refused. One session per connection, no index allocation.

// Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap
    )
)]

mod address;
mod check;
mod config;
mod link;
mod notify;
pub mod pdu;
mod remedy;
pub mod session;
mod stats;
pub mod wire;

pub use address::{Address, AddressError};
pub use check::{CheckError, try_notify, try_open, try_register};
pub use config::{Capabilities, Config, Rate, Region};
pub use link::run;
pub use notify::{Notification, NotificationError, Notifications, Notifier, Receipt, notifications};
pub use stats::{Stats, Status};
