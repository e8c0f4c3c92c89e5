//! `postfix-agentx`: an SNMP subagent that shows what the Postfix on this host is doing.
//!
//! (drawing to come)

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
