//! The promise: what is to be told is told, by name, with POSTFIX-MIB alone; once, and again when it is over; and what is
//! healthy tells nothing.

mod flapping;
mod killed;
mod kinds;
mod quiet;

use crate::common::{
    PATIENCE, TestAgent, TestPostfix, TestSnmpd, TestTrapd, Value, certificates::Authority, oid, wait_for,
};
use std::{fs, os::unix::fs::PermissionsExt};

const ALARMS: &str = "alarms:
  - { name: down, when: 'postfixInstanceState[*] == stopped', severity: critical }
  - { name: daemon, when: 'postfixDaemonState[*] == notRunning', for: 30s, severity: critical }
  - { name: source, when: 'postfixSourceStatus[*] == failing' }
  - { name: held, when: 'postfixQueueMessages[* hold] >= 1' }
  - { name: full, when: 'postfixServiceProcessPercent[*] >= 100' }
";

/// The kind of each notification of ours and the name of its alarm, in the order in which they came.
fn notices(trapd: &TestTrapd) -> Vec<(String, String)> {
    let notice = |trap: &String| {
        let kind = trap.split(" = OID: POSTFIX-MIB::").nth(1)?.split('\t').next()?;
        let name = trap.split("POSTFIX-MIB::postfixAlarmName.").nth(1).and_then(|rest| rest.split("STRING: ").nth(1));
        Some((kind.to_owned(), name.and_then(|name| name.split('\t').next()).unwrap_or_default().to_owned()))
    };
    trapd.traps().iter().filter_map(notice).collect()
}

/// Waits until each of these thresholds has been looked at.
#[track_caller]
fn wait_rows(snmpd: &TestSnmpd, wanted: usize) {
    let states = oid("postfixAlarmState", &[]);
    let known = |(_, value): &(String, Value)| value.number() != Some(3);
    wait_for("the alarms' rows", PATIENCE, || {
        (snmpd.walk(&states).ok()?.iter().filter(|row| known(row)).count() >= wanted).then_some(())
    });
}

/// What is told of a kind, one line each.
fn told(trapd: &TestTrapd, kind: &str) -> usize {
    trapd.traps().iter().filter(|trap| trap.contains(&format!("POSTFIX-MIB::{kind}\t"))).count()
}

#[test]
fn a_stop_is_told_by_name_once_through_a_kill_and_a_restart_of_snmpd_and_so_is_its_end() {
    let trapd = TestTrapd::start_named();
    let mut snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let mut postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&format!("{}{ALARMS}", agent.config()));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    // Each threshold has been looked at.
    let names = oid("postfixAlarmName", &[]);
    let is_full = |value: &Value| value.text().is_some_and(|name| name.starts_with("full: "));
    wait_for("the alarms' rows", PATIENCE, || {
        snmpd.walk(&names).ok()?.iter().any(|(_, value)| is_full(value)).then_some(())
    });
    assert_eq!(snmpd.get(&oid("postfixAlarmsRaised", &[0])).unwrap().number(), Some(0));
    // What a healthy host does all day: none of it is told.
    postfix.reload();
    postfix.wait_log("reload");
    snmpd.restart();
    agent.wait_healthy(&snmpd, 1);
    // snmpd tells of its own start.
    let ours = trapd.traps().into_iter().filter(|trap| trap.contains("POSTFIX-MIB")).collect::<Vec<_>>();
    assert_eq!(ours, Vec::<String>::new());

    postfix.stop();
    let trap = trapd.wait_trap("postfixInstanceDown");
    let at: u32 = trap.split("postfixAlarmName.").nth(1).and_then(|t| t.split(' ').next()?.parse().ok()).expect(&trap);
    for part in [
        format!("POSTFIX-MIB::postfixAlarmName.{at} = STRING: down: {}", postfix.name()),
        format!("POSTFIX-MIB::postfixAlarmObject.{at} = STRING: postfixInstanceState[*] == stopped"),
        format!("POSTFIX-MIB::postfixAlarmValue.{at} = Gauge32: 2"),
        format!("POSTFIX-MIB::postfixAlarmSeverity.{at} = INTEGER: critical(2)"),
        format!("POSTFIX-MIB::postfixAlarmState.{at} = INTEGER: raised(2)"),
        format!("POSTFIX-MIB::postfixAlarmText.{at} = STRING: down: {} is stopped", postfix.name()),
    ] {
        assert!(trap.contains(&part), "{part}: {trap}");
    }
    // The receipt is noted within a tenth of a second; killed after that the agent tells it no second time.
    let noted =
        || std::fs::read_to_string(agent.state_directory().join("alarms")).is_ok_and(|t| t.contains("\"Taken\":true"));
    wait_for("the receipt", PATIENCE, || noted().then_some(()));
    agent.kill9();
    snmpd.restart();
    agent.start();
    let state = oid("postfixAlarmState", &[at]);
    wait_for("the alarm", PATIENCE, || (snmpd.get(&state).ok()?.number() == Some(2)).then_some(()));
    assert_eq!(snmpd.get(&oid("postfixHealth", &[0])).unwrap().number(), Some(3));
    assert!(snmpd.get(&oid("postfixAlarmsRaised", &[0])).unwrap().number() >= Some(1));

    postfix.start();
    let trap = trapd.wait_trap("postfixInstanceUp");
    assert!(trap.contains(&format!("POSTFIX-MIB::postfixAlarmState.{at} = INTEGER: normal(1)")), "{trap}");
    assert_eq!((told(&trapd, "postfixInstanceDown"), told(&trapd, "postfixInstanceUp")), (1, 1), "{}", trapd.text());
}

#[test]
fn a_test_notification_goes_the_same_way_with_and_without_the_daemon() {
    let trapd = TestTrapd::start_named();
    let mut snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let postfix = TestPostfix::builder().create();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let notify = |agent: &TestAgent| agent.run_once(&["notify", "--test"]);
    notify(&agent).success();
    let tests = || trapd.traps().iter().filter(|trap| trap.contains("POSTFIX-MIB::postfixTestNotification")).count();
    wait_for("the first", PATIENCE, || (tests() == 1).then_some(()));
    agent.start();
    agent.wait_ready(&snmpd, &oid("postfixHealth", &[0]));
    notify(&agent).success();
    wait_for("the second", PATIENCE, || (tests() == 2).then_some(()));
    assert!(trapd.text().contains("POSTFIX-MIB::postfixAgentVersion.0 = STRING: "), "{}", trapd.text());
    snmpd.stop();
    let ran = notify(&agent);
    assert_eq!(ran.code, 1);
}

#[test]
fn a_probe_that_fails_and_a_certificate_that_expired_are_told_each_in_its_own_words() {
    let trapd = TestTrapd::start_named();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let mut postfix = TestPostfix::builder().start();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let expired = Authority::new(directory.path()).issue("old", "ec", "DNS:old.test", -20, -3);
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let more = format!(
        "probes:
  - {{ name: front door, kind: smtp, every: 2s, timeout: 2s, smtp: {{ host: 127.0.0.1, port: {}, tls: none }} }}
  - {{ name: old, kind: certificate, every: 2s, timeout: 2s, file: {} }}
alarms:
  - {{ name: probe, when: 'postfixProbeStatus[front door] == down', severity: critical }}
  - {{ name: certificate, when: 'postfixCertificateStatus[old] == expired' }}
",
        postfix.smtp_port(),
        expired.certificate.display(),
    );
    agent.set_config(&format!("{}{more}", agent.config()));
    agent.start();
    let trap = trapd.wait_trap("POSTFIX-MIB::postfixCertificateExpiring");
    assert!(trap.contains("STRING: certificate: old is expired"), "{trap}");
    let up = oid("postfixProbeStatus", &[1]);
    wait_for("the probe", PATIENCE, || (snmpd.get(&up).ok()?.number() == Some(1)).then_some(()));
    assert_eq!(told(&trapd, "postfixProbeDown"), 0);
    postfix.stop();
    let trap = trapd.wait_trap("POSTFIX-MIB::postfixProbeDown");
    assert!(trap.contains("STRING: probe: front door is down"), "{trap}");
    postfix.start();
    let trap = trapd.wait_trap("POSTFIX-MIB::postfixProbeUp");
    assert!(trap.contains("STRING: probe: front door is up"), "{trap}");
    assert_eq!((told(&trapd, "postfixProbeDown"), told(&trapd, "postfixProbeUp")), (1, 1));
    assert_eq!(told(&trapd, "postfixCertificateExpiring"), 1);
}

/// What an alarm raises into postfixHealth must not be what keeps it raised.
#[test]
fn an_alarm_on_health_is_over_when_health_is_well_again() {
    let trapd = TestTrapd::start_named();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let mut postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let alarms = "alarms: [{ name: health, when: postfixHealth == critical, severity: critical }]\n";
    agent.set_config(&format!("{}{alarms}", agent.config()));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    postfix.stop();
    trapd.wait_trap("POSTFIX-MIB::postfixAlarmRaised");
    postfix.start();
    trapd.wait_trap("POSTFIX-MIB::postfixAlarmCleared");
    agent.wait_healthy(&snmpd, 1);
    assert_eq!((told(&trapd, "postfixAlarmRaised"), told(&trapd, "postfixAlarmCleared")), (1, 1), "{}", trapd.text());
}
