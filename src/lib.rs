//! `postfix-agentx`: an SNMP subagent that shows what the Postfix on this host is doing.
//!
//! (drawing to come)

pub mod agentx;
pub mod collect;
pub mod config;
pub mod mib;
pub mod postfix;
pub mod smi;
pub mod state;
