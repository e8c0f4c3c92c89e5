//! Probes.

pub mod certificate;
mod connection;
pub mod fault;
pub mod imap;
pub mod input;
pub mod maildir;
pub mod message;
mod offload;
pub mod pop3;
pub mod run;
mod secret;
mod sendmail;
pub mod smtp;
pub mod stage;
mod tls;
mod trip;
