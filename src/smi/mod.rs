//! SMIv2 data (RFC 2578): object identifiers in SNMP order, the values an agent serves, and what it answers from.
//!
//! Octet strings are bytes and never `str`: a queue file, a log line or a peer may put any octet there.

mod date;
mod epoch;
mod objects;
mod oid;
mod value;

pub use date::date_and_time;
pub use epoch::{Epoch, Stamp};
pub use objects::{Missing, Objects};
pub use oid::{MAX_SUBIDS, Oid, OidError};
pub use value::{Octets, Value};
