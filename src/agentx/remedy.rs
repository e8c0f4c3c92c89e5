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
        // More connections wait to be accepted than the kernel keeps.
        (Address::Unix(_), io::ErrorKind::WouldBlock) => {
            format!("snmpd does not accept connections on {address}: it hangs or is stopped (systemctl restart snmpd)")
        }
        (_, io::ErrorKind::TimedOut) => format!("{address} does not answer: a firewall, or a master that hangs"),
        _ => format!("{address}: {error}"),
    }
}

/// The name of a uid or gid in /etc/passwd or /etc/group; snmpd.conf takes the number as well.
fn name(file: &str, id: u32) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let number = id.to_string();
    let found = text.lines().map(|line| line.split(':')).find(|fields| fields.clone().nth(2) == Some(&number));
    found.and_then(|mut fields| fields.next().map(str::to_owned)).unwrap_or(number)
}

/// EACCES is either the directory snmpd made for itself alone, or the socket.
fn denied(path: &Path) -> String {
    let uid = rustix::process::geteuid().as_raw();
    let user = name("/etc/passwd", uid);
    let group = name("/etc/group", rustix::process::getegid().as_raw());
    let shown = path.display();
    // The directory's owner and group stay root, so others must be let in; the socket's mode is what protects.
    let recipe = format!("put `agentXPerms 0660 0755 {user} {group}` into snmpd.conf");
    match path.symlink_metadata() {
        Ok(socket) => format!(
            "no permission to use {shown}, which has mode {:04o}, owner {}:{} (this process: uid {uid}): {recipe} \
             and restart snmpd",
            socket.mode() & 0o7777,
            socket.uid(),
            socket.gid()
        ),
        Err(_) => {
            // snmpd applies the directory's permissions only when it creates it, and never the group.
            let directory = path.parent().unwrap_or(path).display();
            format!(
                "no permission to enter {directory} (this process: uid {uid}): {recipe}; then, since snmpd leaves an \
                 existing directory as it is, `chgrp {group} {directory} && chmod 0750 {directory}`, and restart snmpd"
            )
        }
    }
}

/// Why `region` is not registered at `address`, and what to do.
pub(super) fn refused(address: &Address, region: &Region, error: ErrorCode) -> String {
    let Region { subtree, priority, takeover, .. } = region;
    match error {
        ErrorCode::DUPLICATE_REGISTRATION => {
            let connected = match address {
                Address::Unix(path) => format!("ss -xp | grep -e agentx -e {}", path.display()),
                Address::Tcp { port, .. } => format!("ss -tp | grep :{port}"),
            };
            let (also, way_out) = match takeover {
                Some(takeover) => (format!(" and at the takeover priority {takeover}"), String::new()),
                None if *priority == 1 => Default::default(),
                None => (String::new(), format!(", or set `takeover: {}` to take its place at once", priority - 1)),
            };
            format!(
                "snmpd already has {subtree} at priority {priority}{also}: another subagent serves it (a second one of \
                 this kind? one that hangs?) or a module inside snmpd. End the other one (`{connected}` shows who is \
                 connected){way_out}. Trying again for as long as it takes"
            )
        }
        ErrorCode::REQUEST_DENIED => {
            format!("snmpd does not let us have {subtree} ({error}): look into its log for the reason. Trying again")
        }
        _ => format!("snmpd did not register {subtree}: {error}. Its log may say why. Trying again"),
    }
}

/// What becomes of a taken region whose owner will be overtaken.
pub(super) fn overtaken(regions: &[Region]) -> Option<String> {
    let (Region { subtree, priority, .. }, takeover) = regions.iter().find_map(|r| Some((r, r.takeover?)))?;
    Some(format!(
        "snmpd already has {subtree} at priority {priority}: another subagent serves it. Once started, this one overtakes \
         it at priority {takeover}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smi::Oid;

    fn told(address: &str, kind: io::ErrorKind) -> String {
        connect(&address.parse().unwrap(), &kind.into())
    }

    #[test]
    fn a_denied_socket_is_told_with_the_snmpd_conf_line() {
        let text = told("/nonexistent/agentx/master", io::ErrorKind::PermissionDenied);
        assert!(text.contains("`agentXPerms 0660 0755 ") && text.contains("chmod 0750 /nonexistent/agentx"), "{text}");
        assert_eq!((name("/etc/passwd", 0), name("/etc/group", 3_999_999)), ("root".into(), "3999999".into()));
        let text = told("/", io::ErrorKind::PermissionDenied);
        assert!(text.contains("agentXPerms") && text.contains("owner 0:0"), "{text}");
    }

    #[test]
    fn a_missing_master_is_told_with_what_to_look_at() {
        assert!(told("/x/master", io::ErrorKind::NotFound).contains("`master agentx`"));
        assert!(told("/x/master", io::ErrorKind::ConnectionRefused).contains("systemctl status snmpd"));
        assert!(told("/x/master", io::ErrorKind::WouldBlock).contains("hangs or is stopped"));
        assert!(
            told("tcp:localhost:705", io::ErrorKind::ConnectionRefused).contains("`agentXSocket tcp:localhost:705`")
        );
    }

    #[test]
    fn a_taken_subtree_is_told_with_both_ways_out() {
        let region = Region::new(Oid::from([1, 3, 6]));
        let told = |address: &str, region: &Region| {
            refused(&address.parse().unwrap(), region, ErrorCode::DUPLICATE_REGISTRATION)
        };
        let text = told("/run/x/master", &region);
        assert!(text.contains(".1.3.6 at priority 127:") && text.contains("`takeover: 126`"), "{text}");
        assert!(text.contains("`ss -xp | grep -e agentx -e /run/x/master`"), "{text}");
        let text = told("tcp:localhost:705", &Region { takeover: Some(100), ..region.clone() });
        assert!(text.contains("priority 127 and at the takeover priority 100"), "{text}");
        assert!(text.contains("`ss -tp | grep :705`") && !text.contains("`takeover"), "{text}");
        assert!(!told("/x", &Region { priority: 1, ..region }).contains("`takeover"), "nothing is below 1");
    }
}
