//! What to tell people: each problem with the line to write or the command to run.
//!
//! Nearly everybody who sets up a subagent meets two of them: the socket that only root may use, and the subtree that is
//! already taken. The texts are worked out when the problem is told, not when it happens.

use super::{Address, config::Region, pdu::ErrorCode};
use crate::advice;
use std::{io, os::unix::fs::MetadataExt, path::Path};

/// What kept us from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Nothing listens there, so far as can be seen.
    absent: bool,
    /// Why, and what to do.
    text: String,
}

/// All addresses' problems as one. Where somebody listens, what is not there elsewhere is beside the point.
pub(super) fn unconnected(addresses: &[Address], problems: &[Problem]) -> String {
    let present: Vec<&str> = problems.iter().filter(|p| !p.absent).map(|p| p.text.as_str()).collect();
    match (present.is_empty(), problems) {
        (false, _) => advice::together(present),
        (true, [one]) => one.text.clone(),
        (true, _) => {
            let list: Vec<String> = addresses.iter().map(Address::to_string).collect();
            let what = format!("nobody listens on any of {}: {NOT_RUNNING} another socket", list.join(", "));
            advice::advise(what, &start())
        }
    }
}

const NOT_RUNNING: &str = "snmpd is not running, or its snmpd.conf lacks `master agentx` or names";

/// A restart is right in both cases.
fn start() -> Vec<String> {
    if advice::has_unit("snmpd.service") { vec![advice::restart("snmpd")] } else { Vec::new() }
}

/// Why `address` cannot be connected to, and what to do.
pub(super) fn connect(address: &Address, error: &io::Error) -> Problem {
    connect_with(address, error, listening)
}

fn connect_with(address: &Address, error: &io::Error, listening: impl Fn(&Path) -> Option<bool>) -> Problem {
    let not_there = |path: &Path| {
        let what =
            format!("{address} does not exist: {NOT_RUNNING} another socket (`agentXSocket unix:{}`)", path.display());
        Problem { absent: true, text: advice::advise(what, &start()) }
    };
    let here = |text: String| Problem { absent: false, text };
    match (address, error.kind()) {
        // What snmpd's first start left behind closed says nothing of an snmpd that does not run.
        (Address::Unix(path), io::ErrorKind::PermissionDenied)
            if path.symlink_metadata().is_err() && listening(path) == Some(false) =>
        {
            not_there(path)
        }
        (Address::Unix(path), io::ErrorKind::PermissionDenied) => here(denied(path)),
        (Address::Unix(path), io::ErrorKind::NotFound) => not_there(path),
        (Address::Unix(_), io::ErrorKind::ConnectionRefused) => Problem {
            absent: true,
            text: advice::advise(format_args!("nobody listens on {address}: snmpd is not running"), &start()),
        },
        (Address::Tcp { .. }, io::ErrorKind::ConnectionRefused) => Problem {
            absent: true,
            text: advice::advise(
                format_args!("nobody listens on {address}: {NOT_RUNNING} another socket (`agentXSocket {address}`)"),
                &start(),
            ),
        },
        // More connections wait to be accepted than the kernel keeps.
        (Address::Unix(_), io::ErrorKind::WouldBlock) => here(advice::advise(
            format_args!("snmpd does not accept connections on {address}: it hangs or is stopped"),
            &[advice::restart("snmpd")],
        )),
        (_, io::ErrorKind::TimedOut) => here(format!("{address} does not answer: a firewall, or a master that hangs")),
        _ => here(format!("{address}: {error}")),
    }
}

/// Whether somebody listens on a unix socket, which /proc/net/unix tells even where its directory is closed to us. `None`:
/// there is no such file. What listens in another network namespace is not in it.
fn listening(path: &Path) -> Option<bool> {
    /// SO_ACCEPTCON.
    const ACCEPTS: u32 = 0x1_0000;
    let table = std::fs::read("/proc/net/unix").ok()?;
    let wanted = path.as_os_str().as_encoded_bytes();
    let accepts = |line: &[u8]| {
        let mut fields = line.split(|octet| *octet == b' ').filter(|field| !field.is_empty());
        let flags = fields.nth(3).and_then(|flags| u32::from_str_radix(std::str::from_utf8(flags).ok()?, 16).ok());
        flags.is_some_and(|flags| flags & ACCEPTS != 0) && line.ends_with(wanted)
    };
    Some(table.split(|octet| *octet == b'\n').any(accepts))
}

/// EACCES is either the directory snmpd made for itself alone, or the socket.
fn denied(path: &Path) -> String {
    let (shown, user) = (path.display(), advice::user());
    let group = advice::SOCKET_GROUP;
    let join = advice::join_socket_group();
    let set = |commands: &mut Vec<String>| {
        // The socket's mode is what protects; the directory only has to let others pass.
        commands.extend(advice::snmpd_line(&format!("agentXPerms 0660 0755 {group} {group}")));
    };
    let mut commands = join.clone();
    let what = match path.symlink_metadata() {
        Ok(socket) => {
            let owner = advice::group_name(socket.gid());
            // Where the socket is as it should be, only the group is missing.
            if join.is_empty() || socket.mode() & 0o060 != 0o060 || owner.as_deref() != Some(group) {
                set(&mut commands);
            }
            format!(
                "{user} may not use {shown}, which has mode {:04o}, owner {}:{}; agentXPerms in snmpd.conf sets both",
                socket.mode() & 0o7777,
                advice::user_name(socket.uid()).unwrap_or_else(|| socket.uid().to_string()),
                owner.unwrap_or_else(|| socket.gid().to_string()),
            )
        }
        Err(_) => {
            let directory = path.parent().unwrap_or(path);
            // snmpd sets a directory's mode only where it makes it.
            commands.push(format!("chmod 0755 {}", advice::quoted(directory)));
            set(&mut commands);
            format!(
                "{user} may not enter {}, where snmpd listens; agentXPerms in snmpd.conf lets it use the socket",
                directory.display()
            )
        }
    };
    // Processes have the groups they were started with.
    if !join.is_empty() {
        commands.push(advice::restart(advice::SERVICE));
    }
    advice::advise(what, &commands)
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
            let also = takeover.map(|t| format!(" and at the takeover priority {t}")).unwrap_or_default();
            // That it may be overtaken (`takeover`) is for those who know that it hangs: README says so.
            let what = format!(
                "snmpd already has {subtree} at priority {priority}{also}: another subagent serves it (a second one of this \
                 kind? one that hangs?) or a module inside snmpd. It has to end before this one can serve; the command shows \
                 who is connected"
            );
            advice::advise(what, &[connected])
        }
        ErrorCode::REQUEST_DENIED => {
            format!("snmpd does not let us have {subtree} ({error}): look into its log for the reason")
        }
        _ => format!("snmpd did not register {subtree}: {error}. Its log may say why"),
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
        connect(&address.parse().unwrap(), &kind.into()).text
    }

    #[test]
    fn a_denied_socket_is_told_with_the_line_for_snmpd() {
        let user = advice::user();
        let address = "/nonexistent/agentx/master".parse().unwrap();
        let denied = io::ErrorKind::PermissionDenied;
        for listens in [Some(true), None] {
            let Problem { absent, text } = connect_with(&address, &denied.into(), |_| listens);
            let line = "chmod 0755 /nonexistent/agentx && printf 'agentXPerms 0660 0755 agentx agentx";
            assert!(!absent && text.contains(line), "{text}");
            assert!(!text.contains("chgrp") && text.contains(&format!("{user} may not enter")), "{text}");
        }
        // snmpd is stopped: what its directory is like does not matter.
        let Problem { absent, text } = connect_with(&address, &denied.into(), |_| Some(false));
        assert!(absent && !text.contains("chmod") && text.contains("snmpd is not running"), "{text}");
        let text = told("/", denied);
        assert!(text.contains("agentXPerms") && text.contains("owner root:root"), "{text}");
    }

    #[test]
    fn a_missing_master_is_told_with_what_to_look_at() {
        assert!(told("/x/master", io::ErrorKind::NotFound).contains("`master agentx`"));
        assert!(told("/x/master", io::ErrorKind::ConnectionRefused).contains("snmpd is not running"));
        assert!(told("/x/master", io::ErrorKind::WouldBlock).contains("hangs or is stopped"));
        assert!(
            told("tcp:localhost:705", io::ErrorKind::ConnectionRefused).contains("`agentXSocket tcp:localhost:705`")
        );
    }

    #[test]
    fn of_several_addresses_the_one_where_somebody_listens_counts() {
        let addresses = Address::list("/run/x/master,/var/x/master").unwrap();
        let absent = connect(&addresses[0], &io::ErrorKind::NotFound.into());
        let closed = connect_with(&addresses[1], &io::ErrorKind::PermissionDenied.into(), |_| Some(true));
        let both = unconnected(&addresses, &[absent.clone(), closed.clone()]);
        assert_eq!(both, closed.text);
        let none = unconnected(&addresses, &[absent.clone(), absent]);
        assert!(none.starts_with("nobody listens on any of unix:/run/x/master, unix:/var/x/master: "), "{none}");
        assert!(!none.contains("chmod") && none.matches("not running").count() == 1, "{none}");
    }

    #[test]
    fn who_listens_is_seen_through_closed_doors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master");
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(listening(&path), Some(true));
        assert_eq!(listening(&directory.path().join("other")), Some(false));
        drop(socket);
        assert_eq!(listening(&path), Some(false));
    }

    #[test]
    fn a_taken_subtree_is_told_with_who_may_have_it() {
        let region = Region::new(Oid::from([1, 3, 6]));
        let told = |address: &str, region: &Region| {
            refused(&address.parse().unwrap(), region, ErrorCode::DUPLICATE_REGISTRATION)
        };
        let text = told("/run/x/master", &region);
        assert!(text.contains(".1.3.6 at priority 127:") && !text.contains("`takeover"), "{text}");
        assert!(text.ends_with("; do: ss -xp | grep -e agentx -e /run/x/master"), "{text}");
        let text = told("tcp:localhost:705", &Region { takeover: Some(100), ..region });
        assert!(text.contains("priority 127 and at the takeover priority 100"), "{text}");
        assert!(text.ends_with("; do: ss -tp | grep :705"), "{text}");
    }
}
