//! What to tell people: each problem with the line to write or the command to run.
//!
//! Nearly everybody who sets up a subagent meets two of them: the socket that only root may use, and the subtree that is
//! already taken. The texts are worked out when the problem is told, not when it happens.

use super::{Address, config::Region, pdu::ErrorCode};
use std::{io, os::unix::fs::MetadataExt, path::Path};

/// Why `address` cannot be connected to, and what to do.
pub(super) fn connect(address: &Address, error: &io::Error) -> String {
    match (address, error.kind()) {
        (Address::Unix(path), io::ErrorKind::PermissionDenied) => denied(path),
        (Address::Unix(path), io::ErrorKind::NotFound) => format!(
            "{address} does not exist: snmpd is not running, or its snmpd.conf lacks `master agentx` or names another \
             socket (`agentXSocket unix:{}`)",
            path.display()
        ),
        (Address::Unix(_), io::ErrorKind::ConnectionRefused) => {
            format!("nobody listens on {address}: snmpd is not running (systemctl status snmpd)")
        }
        (Address::Tcp { .. }, io::ErrorKind::ConnectionRefused) => format!(
            "nobody listens on {address}: snmpd is not running, or its snmpd.conf lacks `master agentx` and \
             `agentXSocket {address}`"
        ),
        (_, io::ErrorKind::TimedOut) => format!("{address} does not answer: a firewall, or a master that hangs"),
        _ => format!("{address}: {error}"),
    }
}

/// EACCES is either the directory snmpd made for itself alone, or the socket.
fn denied(path: &Path) -> String {
    let uid = rustix::process::geteuid().as_raw();
    let shown = path.display();
    let recipe = "put `agentXPerms 0660 0550 root GROUP` into snmpd.conf, where GROUP is a group of this process";
    match path.symlink_metadata() {
        Ok(socket) => format!(
            "no permission to use {shown}, which has mode {:04o}, owner {}:{} (this process: uid {uid}): {recipe}, and \
             restart snmpd",
            socket.mode() & 0o7777,
            socket.uid(),
            socket.gid()
        ),
        Err(_) => {
            // snmpd applies the directory's permissions only when it creates it, and never the group.
            let directory = path.parent().unwrap_or(path).display();
            format!(
                "no permission to enter {directory} (this process: uid {uid}): {recipe}; then, since snmpd leaves an \
                 existing directory as it is, `chgrp GROUP {directory} && chmod 0750 {directory}`, and restart snmpd"
            )
        }
    }
}

/// Why `region` is not registered, and what to do.
pub(super) fn refused(region: &Region, error: ErrorCode) -> String {
    let Region { subtree, priority, .. } = region;
    match error {
        ErrorCode::DUPLICATE_REGISTRATION => format!(
            "snmpd already has {subtree} at priority {priority}: another subagent serves it (a second one of this kind? \
             one that hangs?) or a module inside snmpd. End the other one (`ss -xp | grep agentx` shows who is \
             connected), or configure a priority below {priority} to take its place. Trying again for as long as it takes"
        ),
        ErrorCode::REQUEST_DENIED => {
            format!("snmpd does not let us have {subtree} ({error}): look into its log for the reason. Trying again")
        }
        _ => format!("snmpd did not register {subtree}: {error}. Its log may say why. Trying again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smi::Oid;

    fn told(address: &str, kind: io::ErrorKind) -> String {
        connect(&address.parse().unwrap(), &kind.into())
    }

    #[test]
    fn p14_a_denied_socket_is_told_with_the_snmpd_conf_line() {
        let text = told("/nonexistent/agentx/master", io::ErrorKind::PermissionDenied);
        assert!(
            text.contains("agentXPerms 0660 0550 root GROUP") && text.contains("chmod 0750 /nonexistent/agentx"),
            "{text}"
        );
        let text = told("/", io::ErrorKind::PermissionDenied);
        assert!(text.contains("agentXPerms") && text.contains("owner 0:0"), "{text}");
    }

    #[test]
    fn p15_a_missing_master_is_told_with_what_to_look_at() {
        assert!(told("/x/master", io::ErrorKind::NotFound).contains("`master agentx`"));
        assert!(told("/x/master", io::ErrorKind::ConnectionRefused).contains("systemctl status snmpd"));
        assert!(
            told("tcp:localhost:705", io::ErrorKind::ConnectionRefused).contains("`agentXSocket tcp:localhost:705`")
        );
    }

    #[test]
    fn p10_a_taken_subtree_is_told_with_both_ways_out() {
        let text = refused(&Region::new(Oid::from([1, 3, 6])), ErrorCode::DUPLICATE_REGISTRATION);
        assert!(
            text.contains(".1.3.6 at priority 127") && text.contains("below 127") && text.contains("ss -xp"),
            "{text}"
        );
    }
}
