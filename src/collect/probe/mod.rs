//! Probes: is mail really getting through? What `postfix-agentx probe` runs.
//!
//! - [`smtp`], [`imap`], [`pop3`]: the dialogues, each on a [`connection`] with bounded [`input`]; [`maildir`]; [`trip`]: the
//!   round trip made of them; [`certificate`] and [`tls`]: what is presented, and whether it is trusted;
//! - [`run`]: one run of one probe, from its beginning to an [`run::Outcome`] within its deadline, in [`stage`]s.
//!
//! A server that never answers costs its probe the deadline; calls that hang in the kernel or in a resolver cost one small
//! thread a probe ([`offload`]).

pub mod certificate;
pub mod connection;
pub mod fault;
pub mod imap;
pub mod input;
pub mod maildir;
pub mod message;
pub mod offload;
pub mod pop3;
pub mod run;
pub mod secret;
pub mod sendmail;
pub mod smtp;
pub mod stage;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trip;
