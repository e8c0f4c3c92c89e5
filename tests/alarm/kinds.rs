//! Every kind of notification and its twin, by an inform of SNMPv3, read with POSTFIX-MIB alone.

use super::{notices, wait_rows};
use crate::common::{
    Fate, PATIENCE, Reply, TestAgent, TestPostfix, TestSnmpd, TestTrapd, certificates::Authority, oid, wait_for,
};
use rustix::process::Signal;
use std::{collections::BTreeMap, fs, io::Write, os::unix::fs::PermissionsExt};

const SIGN: &str = "change this to sign";
const SEAL: &str = "change this to encrypt";

/// A snmptrapd that takes nothing but what this user signed and encrypted, and a snmpd that informs it.
fn informed() -> (TestTrapd, TestSnmpd) {
    let trapd = TestTrapd::named_with(&format!(
        "disableAuthorization no\ncreateUser postfixtrap SHA-256 \"{SIGN}\" AES \"{SEAL}\"\nauthUser log postfixtrap priv"
    ));
    let session = format!("-v 3 -Ci -u postfixtrap -l authPriv -a SHA-256 -A \"{SIGN}\" -x AES -X \"{SEAL}\"");
    let snmpd = TestSnmpd::builder().conf(&format!("trapsess {session} 127.0.0.1:{}", trapd.port())).start();
    (trapd, snmpd)
}

fn count(trapd: &TestTrapd, kind: &str, name: &str) -> usize {
    notices(trapd).iter().filter(|(of, told)| of == kind && told.starts_with(name)).count()
}

#[track_caller]
fn wait_told(trapd: &TestTrapd, kind: &str, name: &str) {
    wait_for(&format!("{kind} of {name}"), PATIENCE * 3, || (count(trapd, kind, name) == 1).then_some(()));
}

#[test]
fn informs_of_snmpv3_carry_each_kind_and_its_twin_once() {
    let (trapd, snmpd) = informed();
    let mut postfix = TestPostfix::builder().start();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let authority = Authority::new(directory.path());
    let certificate = directory.path().join("shown.pem");
    fs::copy(authority.issue("good", "ec", "DNS:a.test", 0, 300).certificate, &certificate).unwrap();
    fs::set_permissions(&certificate, fs::Permissions::from_mode(0o644)).unwrap();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&format!(
        "{}heartbeat: 1h
probes:
  - {{ name: door, kind: smtp, every: 2s, timeout: 2s, smtp: {{ host: 127.0.0.1, port: {}, tls: none }} }}
  - {{ name: paper, kind: certificate, every: 2s, timeout: 2s, file: {} }}
alarms:
  - {{ name: instance, when: 'postfixInstanceState[*] == stopped', severity: critical }}
  - {{ name: daemon, when: 'postfixDaemonState[* qmgr] == notRunning' }}
  - {{ name: source, when: 'postfixSourceStatus[*] == failing' }}
  - {{ name: held, when: 'postfixQueueMessages[* hold] >= 1' }}
  - {{ name: probe, when: 'postfixProbeStatus[door] == down' }}
  - {{ name: paper, when: 'postfixCertificateStatus[paper] == expired' }}
",
        agent.config().replace("interval: 30s", "interval: 1s"),
        postfix.smtp_port(),
        certificate.display(),
    ));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    wait_rows(&snmpd, 8);
    wait_told(&trapd, "postfixHeartbeat", "");

    // A message is held.
    assert!(postfix.send(Fate::Held, 1).iter().all(Reply::accepted));
    wait_told(&trapd, "postfixAlarmRaised", "held: ");
    postfix.postsuper(&["-d", "ALL", "hold"]);
    wait_told(&trapd, "postfixAlarmCleared", "held: ");

    // A certificate has expired, and is replaced.
    let good = fs::read(&certificate).unwrap();
    fs::write(&certificate, fs::read(authority.issue("old", "ec", "DNS:a.test", -20, -3).certificate).unwrap())
        .unwrap();
    wait_told(&trapd, "postfixCertificateExpiring", "paper: paper");
    fs::write(&certificate, good).unwrap();
    wait_told(&trapd, "postfixAlarmCleared", "paper: paper");

    // qmgr is killed; master starts it when there is mail.
    postfix.kill_service("qmgr", Signal::KILL);
    wait_told(&trapd, "postfixDaemonDown", "daemon: postfix qmgr");
    postfix.send(Fate::DeliveredLocal, 1);
    wait_told(&trapd, "postfixDaemonUp", "daemon: postfix qmgr");

    // Postfix is stopped: the instance, its showq, and what the probe tries.
    postfix.stop();
    wait_told(&trapd, "postfixSourceFailing", "source: postfix queue");
    wait_told(&trapd, "postfixInstanceDown", "instance: postfix");
    wait_told(&trapd, "postfixProbeDown", "probe: door");
    postfix.start();
    wait_told(&trapd, "postfixInstanceUp", "instance: postfix");
    wait_told(&trapd, "postfixProbeUp", "probe: door");
    wait_told(&trapd, "postfixSourceRecovered", "source: postfix queue");

    // All of it once; daemons come and go with their instance.
    let mut times: BTreeMap<_, usize> = BTreeMap::new();
    notices(&trapd).into_iter().for_each(|notice| *times.entry(notice).or_default() += 1);
    times.retain(|(kind, _), times| *times > 1 && !kind.starts_with("postfixDaemon"));
    assert_eq!(times, BTreeMap::new());
    // Nothing came as a number that POSTFIX-MIB does not name.
    assert!(!trapd.text().contains("SNMPv2-SMI::enterprises.8072.9999"), "{}", trapd.text());
    assert_eq!(snmpd.get(&oid("postfixAgentNotificationsDropped", &[0])).unwrap().number(), Some(0));
}

/// Two minutes: a rate is known after one, and over after another one.
#[test]
#[ignore = "minutes long: make chaos"]
fn a_panic_is_told_and_so_is_that_no_more_came() {
    let (trapd, snmpd) = informed();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_healthy(&snmpd, 1);
    wait_rows(&snmpd, 8);
    let panics = || {
        let rows = snmpd.walk(&oid("postfixAlarmValue", &[])).ok()?;
        let names = snmpd.walk(&oid("postfixAlarmName", &[])).ok()?;
        let panics = names.iter().filter(|(_, name)| name.text().is_some_and(|name| name.starts_with("panic: ")));
        let index = panics.map(|(name, _)| name.rsplit('.').next().unwrap().to_owned()).next()?;
        rows.iter().any(|(name, _)| name.ends_with(&format!(".{index}"))).then_some(())
    };
    wait_for("a rate of panics", PATIENCE * 4, panics);
    let mut log = fs::File::options().append(true).open(postfix.log_file()).unwrap();
    let now = jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string();
    writeln!(log, "{now} mx postfix/smtpd[4711]: panic: vstream_fclose: null stream").unwrap();
    wait_told(&trapd, "postfixPanic", "panic: ");
    wait_told(&trapd, "postfixAlarmCleared", "panic: ");
    assert_eq!(notices(&trapd).len(), 2, "{}", trapd.text());
}
