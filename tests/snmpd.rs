//! `snmpd.conf.example`, read by a real snmpd: every line is understood, and what it opens is open.

use std::{
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use crate::common::{self, AGENT_UID, ROOT, Ran, TestSnmpd, TestTrapd, capture};

/// What Debian's snmpd.conf says before it includes ours.
const DEBIAN: &str = "\
sysLocation Sitting on the Dock of the Bay
sysServices 72
master agentx
agentaddress @address@
view systemonly included .1.3.6.1.2.1.1
view systemonly included .1.3.6.1.2.1.25.1
rocommunity public default -V systemonly
rocommunity6 public default -V systemonly
rouser authPrivUser authpriv -V systemonly
";

/// Where the example opens the door, and to whom.
const SOCKETS: &str = " unix:/var/agentx/master,unix:/run/agentx/master\n";
const OWNER: &str = " agentx agentx\n";

/// snmpd with Debian's configuration and the example, all its settings switched on. Replaced are only the sockets' paths, the trap sinks' address and
/// user and group, which exist where the package is installed. The one of snmpd's own is `other`.
fn on_the_example(trapd: &TestTrapd, other: &Path) -> TestSnmpd {
    let builder = TestSnmpd::builder();
    let sink = format!("127.0.0.1:{}", trapd.port());
    let example = std::fs::read_to_string(common::repository().join("snmpd.conf.example")).unwrap();
    for placeholder in [SOCKETS, "192.0.2.10:162 public\n", OWNER] {
        assert!(example.contains(placeholder), "the example lost {placeholder:?}");
    }
    let example = switch_on(&example)
        .replace(SOCKETS, &format!(" unix:{},unix:{}\n", other.display(), builder.socket().display()))
        .replace("192.0.2.10:162", &sink)
        .replace(OWNER, &format!(" {AGENT_UID} {AGENT_UID}\n"));
    let debian = DEBIAN.replace("@address@", &format!("udp:127.0.0.1:{}", builder.port()));
    builder.whole_conf(&format!("{debian}{example}")).start()
}

/// Takes the `#` from settings: it is one if a letter follows it at once.
fn switch_on(example: &str) -> String {
    let mut text = String::new();
    for line in example.lines() {
        let setting = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
        text.push_str(setting.unwrap_or(line));
        text.push('\n');
    }
    text
}

/// `snmpget -v3`, as the example tells the reader to.
fn v3(snmpd: &TestSnmpd, level: &str, pass: &str, oid: &str) -> Ran {
    let mut command = snmpd.tool("snmpget");
    command.args([
        "-v3",
        "-l",
        level,
        "-u",
        "postfixmonitor",
        "-a",
        "SHA-256",
        "-A",
        pass,
        "-x",
        "AES",
        "-X",
        "change this to encrypt",
    ]);
    capture(command.args(["-On", "-r", "1", "-t", "5"]).arg(snmpd.address()).arg(oid))
}

#[test]
fn example_is_understood_and_opens_what_it_says() {
    let trapd = TestTrapd::start();
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("master");
    let snmpd = on_the_example(&trapd, &other);
    assert_eq!(snmpd.complaints(), Vec::<String>::new(), "{}", snmpd.log());

    // Both doors are open: ours, and the one that other subagents expect.
    for socket in [snmpd.socket(), other] {
        let socket = std::fs::metadata(&socket).unwrap();
        assert!(socket.file_type().is_socket());
        assert_eq!((socket.permissions().mode() & 0o777, socket.uid(), socket.gid()), (0o660, AGENT_UID, AGENT_UID));
    }

    // v2c sees the view and nothing else: the interfaces are not in it.
    assert!(snmpd.walk("1.3.6.1.2.1.1").unwrap().len() > 5);
    assert_eq!(snmpd.walk("1.3.6.1.2.1.2"), Ok(Vec::new()));

    // v3 reads with the right passphrases at the right level, and not otherwise.
    let location = "1.3.6.1.2.1.1.6.0";
    assert!(v3(&snmpd, "authPriv", "change this to sign", location).success().contains("Dock of the Bay"));
    assert_ne!(v3(&snmpd, "authPriv", "a wrong passphrase", location).code, 0);
    assert_ne!(v3(&snmpd, "authNoPriv", "change this to sign", location).code, 0);

    // Both kinds of sink, with snmpd's own coldStart.
    common::wait_for("trap and inform", common::PATIENCE, || {
        (trapd.text().matches("1.3.6.1.6.3.1.1.5.1").count() >= 2).then_some(())
    });
}

/// The test would notice a line that snmpd does not know.
#[test]
fn complaints_are_noticed() {
    let snmpd = TestSnmpd::builder().conf("agentXSockets unix:/nowhere").start();
    assert_eq!(snmpd.complaints().len(), 1, "{:?}", snmpd.log());
    let unknown_group = TestSnmpd::builder().conf("agentXPerms 0660 0755 root no-such-group").start();
    assert!(!unknown_group.complaints().is_empty(), "{:?}", unknown_group.log());
    assert_eq!(unknown_group.walk(ROOT), Ok(Vec::new()));
}
