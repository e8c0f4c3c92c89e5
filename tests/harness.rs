//! The test harness itself: what it promises holds without the agent. Few and fast; everything else has a file of its own.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::common::{
    self, AGENT_UID, Fate, SnmpError, TestAgent, TestPostfix, TestSnmpd, TestTrapd, Value, group_id, wait_for,
};
use rustix::process::Signal;

const SYS_UP_TIME: &str = "1.3.6.1.2.1.1.3.0";
const SYS_LOCATION: &str = "1.3.6.1.2.1.1.6.0";

/// Every fate ends as its name says, with the reply, the log line and the queue that belong to it.
#[test]
fn mail_of_every_fate() {
    let postfix = TestPostfix::builder().hash_queue_depth(2).start();
    for fate in Fate::ALL {
        postfix.send(fate, 2);
    }
    for (pattern, count) in [
        ("status=sent (delivered to mailbox)", 2),
        ("status=sent (forwarded as ", 2),
        ("to=<user@relay.test>, relay=127.0.0.1[127.0.0.1]", 2),
        ("postfix/relay/smtp[", 2),
        ("status=sent (silently)", 2),
        ("status=bounced (unknown user", 4),
        (": hold: RCPT", 2),
        (": discard: RCPT", 2),
        (": reject: header X-Fate", 2),
        (": reject: RCPT", 8),
    ] {
        assert_eq!(postfix.log_count(pattern), count, "{pattern}");
    }
    assert!(postfix.log_count("status=deferred") >= 4);

    let queued = postfix.postqueue_json();
    let waiting = |queue: &str, recipient: &str| {
        queued
            .iter()
            .filter(|message| message.queue_name == queue && message.recipients.iter().any(|r| r.address == recipient))
            .count()
    };
    assert_eq!(waiting("hold", Fate::Held.recipient()), 2);
    assert_eq!(waiting("deferred", Fate::Deferred.recipient()), 2);
    assert_eq!(waiting("deferred", Fate::DeferredSoft.recipient()), 2);
}

/// sendmail, postsuper, reload, and the signals of a bad day.
#[test]
fn postfix_life() {
    let mut postfix = TestPostfix::builder().start();
    postfix.sendmail(Fate::Held.sender(), &["user@virtual.test"], "Subject: by hand\n\nHello.\n");
    postfix.wait_log(Fate::Delivered.log_pattern());
    postfix.send(Fate::Held, 1);
    assert!(postfix.postsuper(&["-d", "ALL"]).contains("Deleted: 1 message"));
    assert!(postfix.postqueue_json().is_empty());

    let master = postfix.master_pid().expect("it runs");
    let killed = postfix.kill_service("qmgr", Signal::KILL);
    postfix.wait_log("qmgr pid");
    postfix.reload();
    wait_for("a new qmgr", common::PATIENCE, || {
        postfix.service_pids("qmgr").first().is_some_and(|pid| !killed.contains(pid)).then_some(())
    });
    assert_eq!(postfix.master_pid(), Some(master));
    postfix.stop();
    assert_eq!(postfix.master_pid(), None);
    postfix.start();
    assert_ne!(postfix.master_pid(), Some(master));

    let log = std::fs::metadata(postfix.log_file()).unwrap();
    assert_eq!(log.permissions().mode() & 0o777, 0o640, "Postfix leaves the mode of an existing log alone");
    assert_eq!(Some(log.gid()), group_id("adm"));
}

/// Instances side by side, one of which lists the other; dropped, nothing of them is left.
#[test]
fn two_instances_and_no_traces() {
    let other = TestPostfix::builder().name("postfix-other").start();
    let main = TestPostfix::builder().lists(&[&other]).start();
    assert_ne!(main.smtp_port(), other.smtp_port());
    other.send(Fate::Delivered, 1);
    main.send(Fate::Delivered, 1);
    assert!(other.log().contains("postfix-other/virtual["));
    assert!(!main.log().contains("postfix-other/"));
    // postmulti itself refuses any primary instance but the host's.
    assert_eq!(
        main.postconf(&["-h", "multi_instance_directories"]).trim(),
        other.config_directory().display().to_string()
    );

    let (pids, directory) = (main.sandbox().processes(), main.sandbox().dir().to_owned());
    assert!(pids.len() > 3);
    drop(main);
    assert!(pids.iter().all(|&pid| !common::alive(pid)));
    assert!(!directory.exists());
    assert!(other.master_pid().is_some());
}

/// The agent's uid can do what an installation grants it, and not more: this is what makes every other test one of an unprivileged agent.
#[test]
fn agents_rights() {
    let postfix = TestPostfix::builder().start();
    let snmpd = TestSnmpd::start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let may = |script: &str| {
        let mut command = agent.unprivileged("sh");
        command
            .args(["-ec", script, "sh"])
            .arg(postfix.sandbox().dir())
            .arg(snmpd.socket())
            .arg(agent.state_directory());
        let ran = common::capture(&mut command);
        assert!(ran.code == 0, "{script}: {ran:?}");
    };
    may(&format!("test $(id -u) = {AGENT_UID}"));
    may("test -r $1/etc/main.cf && test -r $1/log/mail.log && ! test -w $1/log/mail.log");
    may("test -w $1/q/public/showq && test -w $2");
    may("test -w $3 && ! test -r $1/q/active && ! test -r $1/q/pid/master.pid");
    assert!(agent.config().contains(&format!("address: unix:{}", snmpd.socket().display())));
}

/// The tools and our own client read the same from a real snmpd, before and after a restart.
#[test]
fn snmpd_and_its_readers() {
    let mut snmpd = TestSnmpd::builder().conf("sysServices 72").start();
    assert!(matches!(snmpd.get(SYS_UP_TIME), Ok(Value::TimeTicks(_))));
    assert_eq!(snmpd.get("1.3.6.1.2.1.1.7.0"), Ok(Value::Integer(72)));
    assert_eq!(snmpd.get("1.3.6.1.2.1.1.99.0"), Ok(Value::NoSuchObject));
    assert_eq!(snmpd.get("1.3.6.1.2.1.1.3.1"), Ok(Value::NoSuchInstance));
    assert_eq!(snmpd.get_next("2.99").map(|(_, value)| value), Ok(Value::EndOfMibView));

    assert_eq!(
        snmpd.set(SYS_LOCATION, "s", "a rack with a rather long name\u{00e4}"),
        Ok(Value::OctetString("a rack with a rather long name\u{00e4}".into()))
    );
    assert_eq!(snmpd.set(SYS_UP_TIME, "t", "1"), Err(SnmpError::Status("notWritable".to_owned())));

    let system = "1.3.6.1.2.1.1";
    let stable = |walk: Vec<(String, Value)>| -> Vec<(String, Value)> {
        walk.into_iter().filter(|(_, v)| !matches!(v, Value::TimeTicks(_))).collect()
    };
    let bulk = stable(snmpd.walk(system).unwrap());
    assert!(bulk.len() > 10);
    assert_eq!(bulk, stable(snmpd.walk_getnext(system).unwrap()));
    assert_eq!(bulk, stable(snmpd.udp().walk(system).unwrap()));
    assert_eq!(snmpd.walk(common::ROOT), Ok(Vec::new()));

    snmpd.kill9();
    let mut client = snmpd.udp();
    client.set_timeout(std::time::Duration::from_millis(100));
    assert!(client.get_one(SYS_UP_TIME).is_err());
    snmpd.start_again();
    snmpd.restart();
    assert!(matches!(snmpd.udp().get_one(SYS_UP_TIME), Ok(Value::TimeTicks(_))));
}

/// snmpd's own coldStart arrives at snmptrapd.
#[test]
fn traps_arrive() {
    let trapd = TestTrapd::start();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    trapd.wait_trap(".1.3.6.1.6.3.1.1.5.1");
    drop(snmpd);
}
