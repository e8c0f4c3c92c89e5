//! The promise: whatever comes in on a socket or in a log, the agent goes on, counts it or says it once.

use crate::common::{Fate, PATIENCE, Random, Sandbox, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    thread,
};

#[test]
fn garbage_in_the_log_is_counted_and_the_mail_around_it_too() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    let mut log = OpenOptions::new().append(true).open(postfix.log_file()).expect("the log");
    for seed in 0..20 {
        log.write_all(&Random::new(seed).octets(5_000)).expect("written");
        log.write_all(b"\n").expect("written");
        // Lines that look right and are not.
        log.write_all(b"Nov 22 01:17:50 vm postfix/smtpd[1]: \xff\xfe: client=\n").expect("written");
        log.write_all(
            b"Nov 22 01:17:50 vm postfix/qmgr[99999999999999999999]: A: from=<, size=-1, nrcpt=x (queue active)\n",
        )
        .expect("written");
        log.write_all(
            b"Nov 22 01:17:50 vm postfix/smtp[1]: 3xWyLP6Nmfz23fk: to=<x>, delays=1/2, dsn=9.9.9.9, status=\n",
        )
        .expect("written");
        postfix.send(Fate::Delivered, 1);
    }
    // One line of 200 KiB.
    log.write_all(&vec![b'x'; 200 * 1024]).and_then(|()| log.write_all(b"\n")).expect("written");
    postfix.send(Fate::Delivered, 1);
    let sent = oid("postfixMailSent", &[1]);
    wait_for("21 sent", PATIENCE, || (snmpd.get(&sent).ok()?.number() == Some(21)).then_some(()));
    let odd = |name| snmpd.get(&oid(name, &[1])).ok().and_then(|v| v.number()).unwrap_or_default();
    assert!(odd("postfixLogFileLinesForeign") + odd("postfixLogFileLinesUnrecognised") >= 40);
    assert_eq!(snmpd.get(&oid("postfixMailReceivedMessages", &[1])).ok().and_then(|v| v.number()), Some(21));
    // Nothing of it is repeated to the administrator line by line.
    assert!(agent.log().lines().count() < 30, "{}", agent.log());
}

#[test]
fn garbage_on_the_agentx_socket_is_survived_until_snmpd_is_back() {
    let mut snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    snmpd.stop();
    // Somebody else listens there, and talks nonsense to ten connections.
    let _ = fs::remove_file(snmpd.socket());
    let listener = UnixListener::bind(snmpd.socket()).expect("the socket");
    fs::set_permissions(snmpd.socket(), fs::Permissions::from_mode(0o777)).expect("chmod");
    for seed in 0..10 {
        let (mut peer, _) = listener.accept().expect("it connects again");
        let mut nonsense = Random::new(seed).octets(4_096);
        if seed % 2 == 0 {
            // Looks like a PDU: version 1, a known type, a length that is there.
            nonsense[..4].copy_from_slice(&[1, (seed as u8 % 18) + 1, 0x10, 0]);
            nonsense[16..20].copy_from_slice(&64_u32.to_be_bytes());
        }
        let writer = thread::spawn(move || {
            // It may hang up first.
            let _ = peer.write_all(&nonsense);
            let _ = peer.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest);
        });
        writer.join().expect("no panic here either");
    }
    drop(listener);
    let _ = fs::remove_file(snmpd.socket());
    snmpd.start_again();
    agent.wait_ready(&snmpd, &oid("postfixAgentVersion", &[0]));
    assert!(agent.exited().is_none());
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// Where the showq socket should be, something else answers.
fn showq_says(answer: Vec<u8>) -> (String, i64) {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let sandbox = Sandbox::new("showq");
    let queue = sandbox.mkdir("q", 0o755, None);
    sandbox.mkdir("q/public", 0o755, None);
    let socket = queue.join("public/showq");
    let listener = UnixListener::bind(&socket).expect("the socket");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).expect("chmod");
    thread::spawn(move || {
        while let Ok((mut peer, _)) = listener.accept() {
            // The agent may have had enough of it.
            let _ = peer.write_all(&answer);
        }
    });
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let directory = format!("    queue_directory: {}\n    log:", queue.display());
    agent.set_config(&agent.config().replace("    log:", &directory).replace("source: auto", "source: showq"));
    agent.start();
    let failures = oid("postfixSourceFailures", &[1, 2]);
    wait_for("a counted failure", PATIENCE, || (snmpd.get(&failures).ok()?.number()? > 0).then_some(()));
    let error = snmpd.get(&oid("postfixSourceError", &[1, 2])).ok().and_then(|v| v.text()).unwrap_or_default();
    assert_eq!(snmpd.get(&oid("postfixQueueMessages", &[1, 4])), Ok(Value::NoSuchInstance), "never 0: {error}");
    let status = snmpd.get(&oid("postfixSourceStatus", &[1, 2])).ok().and_then(|v| v.number()).unwrap_or_default();
    assert!(agent.exited().is_none());
    (error, status)
}

#[test]
fn a_showq_that_talks_nonsense_is_a_failing_source() {
    let (error, status) = showq_says(Random::new(7).octets(100_000));
    assert!(status == 3 && error.contains("showq"), "{status} {error}");
}

#[test]
fn a_showq_that_is_cut_off_is_a_failing_source() {
    let (error, status) =
        showq_says(b"protocol\0mail_queue_list_protocol\0\0queue_name\0deferred\0queue_id\0AB".to_vec());
    assert!(status == 3 && !error.is_empty(), "{status} {error}");
}
