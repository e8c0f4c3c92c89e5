//! The promise: `check` finds what is wrong and says what to do about it, as the user it is run as.

use crate::common::{AGENT_UID, Ran, TestAgent, TestPostfix, TestSnmpd, oid};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
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
    assert!(line(&ran, "snmpd:").contains("the agent that runs keeps"), "{}", ran.stdout);
    // It left the running agent's registration alone.
    assert!(snmpd.get(&oid("postfixAgentVersion", &[0])).is_ok_and(|v| !v.is_exception()));
}

#[test]
fn each_wrong_thing_has_its_remedy() {
    let snmpd = TestSnmpd::start();
    let odd = "odd unix - - n - - smtp -o syslog_name=postfix/odd";
    let postfix = TestPostfix::builder().name("postfix-out").master(odd).start();
    // Two say so: whose lines these are nobody can tell.
    let other = TestPostfix::builder().name("postfix-other").master(odd).create();
    fs::set_permissions(postfix.log_file(), fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::set_permissions(snmpd.socket(), fs::Permissions::from_mode(0o700)).expect("chmod");
    let agent = TestAgent::new(&snmpd, &[&postfix, &other]);
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

/// `check` by an SNMP manager's eyes, with what snmpd.conf says of who may ask.
fn looked(agent: &TestAgent, snmpd: &TestSnmpd) -> Ran {
    agent.run_once(&["check", "--snmpd-conf", &snmpd.conf_file().display().to_string()])
}

/// The commands below the line that begins so, as somebody who copies them runs them. What restarts snmpd is left to
/// the caller, whose snmpd no service manager knows.
#[track_caller]
fn follow(ran: &Ran, begin: &str) {
    let mut lines = ran.stdout.lines().skip_while(|line| !line.starts_with(begin));
    assert!(lines.next().is_some(), "no {begin}:\n{}", ran.stdout);
    let commands: Vec<&str> = lines.take_while(|line| line.starts_with("           ")).map(str::trim).collect();
    assert!(!commands.is_empty(), "{}", ran.stdout);
    for command in commands.iter().filter(|command| !command.contains("restart")) {
        let status = Command::new("sh").args(["-c", command]).status().expect("sh");
        assert!(status.success(), "{command}");
    }
    assert!(commands.iter().any(|command| command.ends_with("restart snmpd") || command.ends_with("snmpd restart")));
}

/// As Debian, RHEL and somebody careful write it.
#[test]
fn whoever_hides_the_tree_is_named_and_the_commands_show_it() {
    let debian = "rocommunity public default -V systemonly\nview systemonly included .1.3.6.1.2.1.1\n\
                  view systemonly included .1.3.6.1.2.1.25.1\n";
    let rhel = "com2sec notConfigUser default public\ngroup notConfigGroup v2c notConfigUser\n\
                view systemview included .1.3.6.1.2.1.1\naccess notConfigGroup \"\" any noauth exact systemview none none\n";
    let careful = "rocommunity public 127.0.0.1 .1.3.6.1.2.1\n";
    let postfix = TestPostfix::builder().start();
    for (text, named) in
        [(debian, "the view systemonly"), (rhel, "the view systemview"), (careful, "the restriction to")]
    {
        let builder = TestSnmpd::builder();
        let begin = format!(
            "master agentx\nagentAddress udp:127.0.0.1:{}\nagentXSocket unix:{}\nagentXPerms 0777 0755\n",
            builder.port(),
            builder.socket().display()
        );
        let mut snmpd = builder.whole_conf(&format!("{begin}{text}")).start();
        let mut agent = TestAgent::new(&snmpd, &[&postfix]);
        agent.start();
        agent.wait_log("serving");
        let ran = looked(&agent, &snmpd);
        assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
        let line = ran.stdout.lines().find(|line| line.starts_with("WRONG  SNMP: ")).unwrap_or_default();
        assert!(line.contains(named) && line.contains("registered"), "{named}: {}", ran.stdout);
        follow(&ran, "WRONG  SNMP: ");
        snmpd.restart();
        crate::common::wait_for("the tree in a manager's eyes", crate::common::PATIENCE, || {
            let ran = looked(&agent, &snmpd);
            ran.stdout.contains("\nok     SNMP: ").then_some(())
        });
    }
}

#[test]
fn before_the_agent_runs_a_manager_sees_nothing_and_that_is_no_fault() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let ran = looked(&agent, &snmpd);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("\nnote   agent: not running"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nnote   SNMP: ") && ran.stdout.contains("before the agent runs"), "{}", ran.stdout);
}

#[test]
fn somebody_else_at_our_root_and_a_wrong_community_are_told() {
    let snmpd = TestSnmpd::builder().conf("override -rw .1.3.6.1.4.1.32473.5.1.0 integer 1").start();
    let postfix = TestPostfix::builder().start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let config = agent.config().replace(crate::common::ROOT, "1.3.6.1.4.1.32473.5");
    agent.set_config(&config);
    let ran = looked(&agent, &snmpd);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(line(&ran, "SNMP: ").contains("which is not ours"), "{}", ran.stdout);
    let host = format!("127.0.0.1:{}", snmpd.port());
    let ran = agent.run_once(&["check", "--host", &host, "--community", "wrong", "--timeout", "0.2", "--retries", "0"]);
    assert!(line(&ran, "SNMP: ").starts_with("WRONG "), "{}", ran.stdout);
}

#[test]
fn json_has_the_same_findings() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let ran = agent.run_once(&["check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &json["ok"]), (0, &serde_json::json!(true)), "{}", ran.stdout);
    let ids: Vec<&str> = json["findings"].as_array().unwrap().iter().filter_map(|f| f["id"].as_str()).collect();
    for id in ["configuration", "state", "agent", "snmpd", "instance", "queue", "log", "processes", "services", "snmp"]
    {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
}

#[test]
fn root_looks_as_the_daemons_user_and_leaves_nothing_of_its_own() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    fs::set_permissions(postfix.log_file(), fs::Permissions::from_mode(0o600)).expect("chmod");
    let mut command = Command::new(agent.binary());
    command.args(["check", "--user", "64999", "--config"]).arg(agent.config_file());
    command.arg("--snmpd-conf").arg(snmpd.conf_file());
    let ran = crate::common::capture(&mut command);
    assert!(line(&ran, "user: ").contains("looking as the daemon's user 64999"), "{}{}", ran.stdout, ran.stderr);
    assert!(line(&ran, " log: ").starts_with("WRONG "), "root could have read it: {}", ran.stdout);
    let owners = fs::read_dir(agent.state_directory()).unwrap().flatten();
    let owners: Vec<_> = owners
        .map(|entry| (entry.file_name(), std::os::unix::fs::MetadataExt::uid(&entry.metadata().unwrap())))
        .collect();
    assert!(owners.iter().all(|(_, uid)| *uid == 64_999), "{owners:?}");
}

/// Each thing that can keep a probe from working, seen without running it.
#[test]
fn what_keeps_a_probe_from_working_is_named_for_each() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let agent = TestAgent::new(&snmpd, &[&postfix]);
    let files = agent.sandbox();
    let file = |name: &str, text: &str, mode: u32| {
        let path = files.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        chown(&path, Some(AGENT_UID), Some(AGENT_UID)).expect("chown");
        path.display().to_string()
    };
    let good = file("good", "secret\n", 0o400);
    let open = file("open", "secret\n", 0o644);
    let empty = file("empty", "\n", 0o400);
    let garbage = file("garbage.pem", "no certificate\n", 0o644);
    let maildir = files.mkdir("maildir", 0o755, None);
    for part in ["new", "cur"] {
        fs::create_dir(maildir.join(part)).expect("mkdir");
    }
    let login = |password: &str| format!("smtp: {{ host: 127.0.0.1, port: 587, user: u, password_file: {password} }}");
    let trip = "from: a@example.org, to: b@example.org";
    let near = "smtp: { host: 127.0.0.1 }";
    let cases = [
        ("right", format!("kind: smtp, {}", login(&good)), "ok ", "`postfix-agentx probe 'right'` runs it now"),
        ("off", format!("kind: smtp, enabled: false, {}", login(&open)), "ok ", "disabled by the configuration"),
        ("open", format!("kind: smtp, {}", login(&open)), "WRONG ", "chmod o= it"),
        ("empty", format!("kind: smtp, {}", login(&empty)), "WRONG ", "one line of 1 to 4096 octets"),
        ("gone", format!("kind: smtp, {}", login("/nowhere/password")), "WRONG ", "/nowhere/password"),
        (
            "credential",
            "kind: smtp, smtp: { host: 127.0.0.1, port: 587, user: u, password_credential: pw }".into(),
            "WRONG ",
            "LoadCredential=pw",
        ),
        (
            "authority",
            "kind: smtp, smtp: { host: 127.0.0.1, port: 587, ca_file: /nowhere/ca.pem }".into(),
            "WRONG ",
            "/nowhere/ca.pem",
        ),
        ("certificate", format!("kind: certificate, file: {garbage}"), "WRONG ", "garbage.pem"),
        (
            "sendmail",
            format!("kind: maildir, {trip}, sendmail: /nowhere/sendmail, maildir: {}", maildir.display()),
            "WRONG ",
            "is it installed",
        ),
        (
            "maildir",
            format!("kind: maildir, {trip}, {near}, maildir: {}", maildir.display()),
            "WRONG ",
            "remove its own",
        ),
        (
            "blind",
            format!(
                "kind: smtp, smtp: {{ host: 127.0.0.1, port: 587, verify: false, user: u, password_file: {good} }}"
            ),
            "ok ",
            "runs it now",
        ),
    ];
    let probes: String = cases.iter().map(|(name, keys, ..)| format!("- {{ name: {name}, {keys} }}\n")).collect();
    agent.set_config(&format!("{}probes:\n{probes}", agent.config()));
    let ran = agent.run_once(&["check"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for (name, _, word, says) in &cases {
        let line = line(&ran, &format!("probe {name}: "));
        assert!(line.starts_with(word) && line.contains(says), "{name}: {line}\n{}", ran.stdout);
    }
    let note = ran.stdout.lines().find(|line| line.contains("is not verified (verify: false)"));
    assert!(note.is_some_and(|line| line.contains("probe blind: ")), "{}", ran.stdout);
    // Nothing was run, and no secret is told.
    assert!(!ran.stdout.contains("secret") && !postfix.log().contains("connect from"), "{}", ran.stdout);
}
