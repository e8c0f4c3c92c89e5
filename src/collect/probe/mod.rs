//! Probes: is mail really getting through? postfixProbeTable, postfixProbeStageTable, postfixCertificateTable.
//!
//! - [`smtp`], [`imap`], [`pop3`]: the dialogues, each on a [`connection`] with bounded [`input`]; [`maildir`]; [`trip`]: the
//!   round trip made of them; [`certificate`] and [`tls`]: what is presented, and whether it is trusted;
//! - [`run`]: one run of one probe, from its beginning to an [`run::Outcome`] within its deadline, in [`stage`]s;
//! - `schedule`: when which probe runs; `smtpd`: the certificates that need no configuration; `counters`: what is counted and
//!   saved; `rows` and `tables`: what is published; `collector`: all of it together.
//!
//! Probes have a thread and a runtime of their own, at nice 10 as every collector: nothing else waits for them. A server
//! that never answers costs its probe the deadline; calls that hang in the kernel or in a resolver cost one small thread a
//! probe ([`offload`]). What was shown was saved before, so that no counter goes back.

pub mod certificate;
mod collector;
pub mod connection;
mod counters;
pub mod fault;
pub mod imap;
pub mod input;
pub mod maildir;
pub mod message;
pub mod offload;
pub mod pop3;
mod rows;
pub mod run;
mod schedule;
pub mod secret;
pub mod sendmail;
pub mod smtp;
mod smtpd;
pub mod stage;
mod tables;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trip;

pub use collector::{ProbeCollector, REGISTRATION};
pub use tables::TABLES;
