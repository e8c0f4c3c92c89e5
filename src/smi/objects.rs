//! What an SNMP agent answers from.

use super::{Oid, Value};
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
