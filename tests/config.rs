//! The promise: everything in the configuration is optional, and what is wrong is refused with file:line:column and a word
//! on what to write instead.

use postfix_agentx::{
    agentx::Address,
    config::{self, Config, LogSource, LogStart, QueueSource},
};
use std::{path::PathBuf, time::Duration};

fn parse(text: &str) -> Config {
    config::parse(text, "test.yaml").unwrap_or_else(|e| panic!("{e}\n---\n{text}"))
}

/// The first line of the refusal.
fn refused(text: &str) -> String {
    let message = config::parse(text, "test.yaml").expect_err(text).to_string();
    message.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn nothing_has_to_be_said() {
    for text in ["", "\n", "# only a comment\n", "---\n", "{}\n"] {
        let config = parse(text);
        assert_eq!(config.agentx.address, [Address::Unix("/var/agentx/master".into())]);
        assert_eq!(config.agentx.root.to_string(), ".1.3.6.1.4.1.8072.9999.9999.25");
        assert_eq!(config.agentx.priority, 127);
        assert_eq!(config.state_directory, PathBuf::from("/var/lib/postfix-agentx"));
        assert!(config.instances.is_empty());
        assert_eq!(config.log.from, LogStart::End);
    }
}

#[test]
fn every_key_is_taken() {
    let config = parse(
        "agentx:\n  address: unix:/run/x, tcp:localhost:705\n  root: 1.3.6.1.4.1.32473.1\n  priority: 100\n\
         state_directory: /srv/state\n\
         instances:\n\
         - config_directory: /etc/postfix\n  log: auto\n  queue: { source: showq, interval: 500ms }\n\
         - config_directory: /etc/postfix-out\n  name: out\n  command_directory: /opt/sbin\n  queue_directory: /q\n  syslog_name: postfix-out\n  \
         version: 3.7.11\n  log: { files: [/var/log/a.log, /var/log/b.log] }\n  totals: false\n  discover: false\n\
         - config_directory: /etc/postfix-in\n  log: { journal: true }\n\
         - config_directory: /etc/postfix-no\n  log: none\n\
         log:\n  hosts: [mx1]\n  filters: ['smtp-amavis']\n  reinject_labels: [reinject]\n  from: start\n  \
         queue_ids: 1000\n  senders: 5\n\
         queue: { domains: 10 }\n",
    );
    assert_eq!(config.agentx.address.len(), 2);
    assert_eq!(config.agentx.root.to_string(), ".1.3.6.1.4.1.32473.1");
    let [first, out, journal, none] = &config.instances[..] else { panic!("four instances") };
    assert_eq!((first.queue.source, first.queue.interval), (QueueSource::Showq, Duration::from_millis(500)));
    assert_eq!((&first.log, first.totals), (&LogSource::Auto, true));
    assert_eq!(out.log, LogSource::Files(vec!["/var/log/a.log".into(), "/var/log/b.log".into()]));
    assert_eq!((out.name.as_deref(), out.totals, out.discover), (Some("out"), false, false));
    assert_eq!(out.command_directory.as_deref(), Some("/opt/sbin".as_ref()));
    assert_eq!((&journal.log, &none.log), (&LogSource::Journal, &LogSource::None));
    assert_eq!((config.log.from, config.log.queue_ids, config.queue.domains), (LogStart::Start, 1000, 10));
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let message = refused("agentx:\n  adress: unix:/x\n");
    assert!(message.starts_with("test.yaml:2:3: "), "{message}");
    assert!(message.contains("adress") && message.contains("address"), "{message}");
    let message = refused("instances:\n- config_directory: /etc/postfix\n  qeue: {}\n");
    assert!(message.starts_with("test.yaml:3:3: ") && message.contains("qeue"), "{message}");
}

#[test]
fn a_wrong_value_is_told_what_would_be_right() {
    for (text, place, hint) in [
        ("agentx: { priority: 0 }", "1:", "1 to 255"),
        ("agentx: { priority: 300 }", "1:", "1 to 255"),
        ("agentx:\n  root: 1.3.x\n", "2:9", "`x` is not a number"),
        ("agentx:\n  root: 1.3\n", "2:9", "4 to 100"),
        ("agentx:\n  root: 1.3.6.1.4.2147483648\n", "2:9", "net-snmp cannot serve what is below 2147483648"),
        ("agentx:\n  root: 1.4294967295.1.1\n", "2:9", "1.0 to 1.39"),
        ("agentx:\n  root: 2.1.1.4294967295\n", "2:9", "at most 2147483647"),
        ("agentx:\n  root: 3.1.1.1\n", "2:9", "0.0 to 0.39"),
        ("agentx:\n  root: 1.40.1.1\n", "2:9", "0.0 to 0.39"),
        ("agentx:\n  address: udp:localhost:705\n", "2:12", "AgentX needs a stream"),
        ("instances:\n- queue: { interval: 30 }\n", "2:", "write 500ms, 30s, 5m or 1h"),
        ("instances:\n- queue: { interval: 5x }\n", "2:", "write 500ms, 30s, 5m or 1h"),
        ("instances:\n- queue: { source: spol }\n", "2:", "spool"),
        ("instances:\n- log: mail.log\n", "2:", "{ files: [/path, …] }"),
        ("instances:\n- log: { files: [], journal: false }\n", "2:", "files"),
        ("log: { from: begin }", "1:", "start"),
        ("state_directory: [a]\n", "1:", ""),
        ("instances:\n- config_directory: etc/postfix\n", "", "absolute path"),
        ("instances:\n- config_directory: /etc/postfix\n- config_directory: /etc/postfix/\n", "", "two instances"),
        ("instances:\n- name: a\n- name: a\n  config_directory: /b\n", "", "name `a` stands in two instances"),
        ("instances:\n- command_directory: sbin\n", "", "command_directory `sbin` must be an absolute path"),
        ("instances:\n- queue_directory: ''\n", "", "queue_directory `` must be an absolute path"),
        ("agentx: {\n", "", "test.yaml"),
        ("\tagentx: 1\n", "1:1", ""),
    ] {
        let message = refused(text);
        assert!(message.starts_with(&format!("test.yaml:{place}")), "{text:?}: {message}");
        assert!(message.contains(hint), "{text:?}: {message}");
    }
}

#[test]
fn a_missing_file_is_an_error_only_where_it_was_asked_for() {
    let message = Config::load(Some("/nonexistent/x.yaml".as_ref())).expect_err("no such file").to_string();
    assert!(message.contains("/nonexistent/x.yaml") && message.contains("--config"), "{message}");
}

/// What is shipped shows every key with its default; only the socket is where snmpd.conf.example puts it.
#[test]
fn the_shipped_configuration_is_the_defaults_in_both_forms() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/postfix-agentx.yaml");
    let shipped = std::fs::read_to_string(file).expect("the shipped file");
    let mut defaults = Config::default();
    defaults.agentx.address.insert(0, Address::Unix("/run/agentx/master".into()));
    assert_eq!(format!("{:?}", parse(&shipped)), format!("{defaults:?}"));
    // Every `#key` uncommented says the same.
    let uncommented: String = shipped
        .lines()
        // Prose has one space behind the #, keys none or their indentation.
        .filter(|line| !line.starts_with("# ") || line.starts_with("#  "))
        .map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n")
        .collect();
    let mut explicit = parse(&uncommented);
    let instance = explicit.instances.pop().expect("one instance");
    assert_eq!(format!("{instance:?}"), format!("{:?}", config::Instance::default()));
    assert_eq!(format!("{explicit:?}"), format!("{defaults:?}"));
    // The example for snmpd opens that socket.
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/snmpd.conf.example");
    let example = std::fs::read_to_string(example).expect("the example");
    assert!(example.lines().any(|line| line == "agentXSocket unix:/run/agentx/master"));
}

#[test]
fn a_takeover_priority_must_win() {
    assert_eq!(parse("agentx: { takeover: 126 }").agentx.takeover, Some(126));
    for text in ["agentx: { takeover: 127 }", "agentx: { priority: 5, takeover: 6 }"] {
        assert!(refused(text).contains("below `priority`"), "{}", refused(text));
    }
}

#[test]
fn a_root_that_snmpd_can_serve_is_taken() {
    for root in ["1.3.6.1.4.1.2147483647", "0.0.1.1", "1.39.1.1", "2.25.329800735.1", "2.999.1.1", "1.0.8802.1"] {
        assert_eq!(parse(&format!("agentx: {{ root: {root} }}")).agentx.root.to_string(), format!(".{root}"));
    }
}
