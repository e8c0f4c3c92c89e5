//! AgentX (RFC 2741): the protocol between a master agent (snmpd) and a subagent. Not a word of Postfix in here.
//!
//! - [`wire`], [`pdu`]: octets and PDUs, both byte orders.
//! - [`session`]: the protocol, without I/O and without a clock.
//! - [`run`]: the only I/O. It connects, serves, reconnects and re-registers for ever, and belongs on a thread of its own:
//!   snmpd drops a subagent after one slow answer.
//! - [`notifications`]: the queue between whoever notices something and the link.
//! - [`try_register`]: whether all of it would work, and what to do if not.
//!
//! What is served is an [`Objects`]: one consistent state, taken anew for each SNMP request. Read-only: every SET is
//! refused. One session per connection, no index allocation.

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
pub use check::{CheckError, try_register};
pub use config::{Capabilities, Config, Rate, Region};
pub use link::run;
pub use notify::{Notification, NotificationError, Notifications, Notifier, notifications};
pub use stats::{Stats, Status};

use crate::smi::{Oid, Value};
use std::time::Instant;

/// Why a Get has no value (RFC 2741 §7.2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No object type of that name: noSuchObject.
    Object,
    /// The object type exists, this instance of it does not: noSuchInstance.
    Instance,
}

/// What a session answers from: one consistent state. Answers come from memory; nothing here may do I/O or wait.
pub trait Objects {
    /// The value of exactly this instance.
    fn get(&self, name: &[u32], now: Instant) -> Result<Value, Missing>;

    /// The first instance after `after` (or at it, with `include`) and before `before` (empty: unbounded). Replaces `name`
    /// by the instance's name; with `None` its content means nothing.
    fn next(&self, after: &[u32], include: bool, before: &[u32], now: Instant, name: &mut Oid) -> Option<Value>;
}
