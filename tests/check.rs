//! The promise: `check` finds what is wrong and says what to do about it, as the user it is run as.

use crate::common::{Ran, TestAgent, TestPostfix, TestSnmpd, oid};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
};

/// The line about a subject.
#[track_caller]
fn line<'a>(ran: &'a Ran, subject: &str) -> &'a str {
    let found = ran.stdout.lines().find(|l| l.contains(subject));
    found.unwrap_or_else(|| panic!("nothing about {subject}:\n{}{}", ran.stdout, ran.stderr))
}

#[test]
fn all_is_well_with_and_without_the_agent_running() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let ran = agent.run_once(&["check"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for subject in
        ["configuration", "state directory", "snmpd", "postfix instance", "postfix queue: showq", "postfix log: file"]
    {
        assert!(line(&ran, subject).starts_with("ok "), "{}", ran.stdout);
    }
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    let ran = agent.run_once(&["check"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(line(&ran, "state directory").contains(&format!("process {}", agent.pid())));
    assert!(line(&ran, "snmpd").contains("registered"));
    // It left the running agent's registration alone.
    assert!(snmpd.get(&oid("postfixAgentVersion", &[0])).is_ok_and(|v| !v.is_exception()));
}

#[test]
fn each_wrong_thing_has_its_remedy() {
    let snmpd = TestSnmpd::start();
    let postfix =
        TestPostfix::builder().name("postfix-out").master("odd unix - - n - - smtp -o syslog_name=postfix/odd").start();
    fs::set_permissions(postfix.log_file(), fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::set_permissions(snmpd.socket(), fs::Permissions::from_mode(0o700)).expect("chmod");
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    chown(agent.state_directory(), Some(0), Some(0)).expect("chown");
    postfix.stop();
    let ran = agent.run_once(&["check"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    for (subject, remedy) in [
        ("state directory", "must belong to the agent's user"),
        ("snmpd", "agentXPerms"),
        ("queue", "start"),
        ("postfix-out log: ", "adm"),
        ("odd/unix", "-o syslog_name=postfix-out/$service_name"),
    ] {
        let line = line(&ran, subject);
        assert!(line.starts_with("WRONG ") && line.contains(remedy), "{subject}, {remedy}: {line}\n{}", ran.stdout);
    }
}

#[test]
fn a_wrong_configuration_ends_with_status_2_and_the_place() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().create();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config("agentx:\n  adress: unix:/x\n");
    for command in ["check", "dump", "run"] {
        let ran = agent.run_once(&[command]);
        assert_eq!(ran.code, 2, "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("config.yaml:2:3: "), "{command}: {}", ran.stderr);
    }
}

#[test]
fn nobody_listening_is_named() {
    let mut snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().create();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    snmpd.stop();
    let ran = agent.run_once(&["check"]);
    let line = line(&ran, "snmpd");
    assert!(line.starts_with("WRONG ") && line.contains("snmpd"), "{line}");
}
