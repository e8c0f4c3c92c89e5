//! `postfix-agentx`: an SNMP subagent that shows what the Postfix on this host is doing.
//!
//! (drawing to come)

// Nothing that comes from a socket, a file or a log line may panic. Tests and benchmarks may.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agentx;
pub mod check;
pub mod cli;
pub mod collect;
pub mod config;
pub mod daemon;
pub mod dump;
pub mod mib;
pub mod postfix;
pub mod smi;
pub mod state;
