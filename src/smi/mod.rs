//! SMIv2 data (RFC 2578): object identifiers in SNMP order and the values an agent serves.
//!
//! Octet strings are bytes and never `str`: a queue file, a log line or a peer may put any octet there.

mod oid;
mod value;

pub use oid::{MAX_SUBIDS, Oid, OidError};
pub use value::{Octets, Value};
