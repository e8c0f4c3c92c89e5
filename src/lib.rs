//! `postfix-agentx`: an SNMP subagent that shows what the Postfix on this host is doing.
//!
//! ```text
//! spool, showq ─┐
//! mail log ─────┤  collector threads       publish(Fragment)                      clone one Arc per request
//! /proc ────────┼─ (own all their state) ──────────────────────► shared View ────────────────► AgentX session ⇄ snmpd
//! postconf ─────┘                                                (sorted, immutable)
//! ```
//!
//! One direction, one shared thing. A table has one source and one owner, which builds it finished, sorted and immutable and
//! replaces it as a whole; a reader sees all of a refresh or none of it, and takes no lock. The thread that talks to snmpd
//! does nothing else: no scan, no catch-up on a long log can delay an answer.
//!
//! What could not be looked at is not there (noSuchInstance). It is never 0.
//!
//! Read in this order:
//!
//! 1. [`smi`]: names and values; [`mib`]: tables as statics, [`mib::Fragment`], [`mib::View`], [`mib::Publisher`];
//! 2. [`collect`]: what a collector is, then [`collect::instance`] as the model of one, and [`collect::health`];
//! 3. [`postfix`]: what Postfix itself defines;
//! 4. [`agentx`]: RFC 2741, without a word of Postfix;
//! 5. `wiring`, then [`commands`].

#![warn(unreachable_pub)]
// Nothing that comes from a socket, a file or a log line may panic. Tests and benchmarks may.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
// What clippy.toml names is for one file each.
#![cfg_attr(not(test), warn(clippy::disallowed_types))]

mod advice;
pub mod agentx;
mod child;
pub mod cli;
pub mod collect;
pub mod commands;
mod compressed;
pub mod config;
mod limits;
pub mod mib;
pub mod postfix;
mod regular;
mod service;
pub mod shown;
pub mod smi;
pub mod snmp;
pub mod state;
pub mod stderr;
pub mod stop;
mod wiring;
