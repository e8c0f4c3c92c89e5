//! The small SNMP manager behind `check` and `status`: what this program asks snmpd, as any other manager would.
//!
//! SNMPv2c (RFC 1901, RFC 3416) and SNMPv3 with the User-based Security Model (RFC 3412, RFC 3414; SHA-2 by RFC 7860, AES
//! by RFC 3826 and, for keys of 192 and 256 bits, by the two drafts net-snmp follows). GET, GETNEXT, GETBULK and walks; no
//! SET, no traps, no SNMPv1, no MIB files.
//!
//! Read in this order: [`Request`] and [`Answer`] (message.rs), [`usm`], then [`session`], which does no I/O: it makes
//! datagrams and judges those that come back; [`Client`] is the socket, with time-outs and retries; [`Access`] is what
//! the command line, the environment and net-snmp's snmp.conf say.
//!
//! The crate `snmp2` was looked at and not taken: it writes through a shared reference to check a signature, gives up at
//! the first stray datagram and sends nothing twice. The ciphers and digests are RustCrypto's; bindings are decoded by
//! `snmp-parser`.

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

mod access;
mod ber;
mod client;
mod message;
pub mod session;
pub mod snmpd_conf;
mod target;
pub mod usm;
mod walk;

pub use access::{Access, AccessError, Credentials, seconds};
pub use client::{Client, Patience, SnmpError};
pub use message::{Answer, Binding, Kind, Request, Response};
pub use target::{Target, TargetError};
pub use walk::Limits;
