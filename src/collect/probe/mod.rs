//! Probes.

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
pub mod tls;
pub mod trip;
