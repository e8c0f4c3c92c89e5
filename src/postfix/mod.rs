//! What Postfix itself defines: instances and parameters, its lock files, showq's protocol, queue files and ids, log lines.
//! No SNMP in here.

pub mod access;
pub mod bounce_reason;
pub mod defer_log;
pub mod defer_reason;
pub mod log;
pub mod master;
pub mod master_cf;
pub mod queue;
pub mod queue_file;
pub mod queue_id;
pub mod reason;
pub mod showq;
mod socket;
