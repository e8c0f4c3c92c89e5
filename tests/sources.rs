//! The promise: where only a part of an instance can be seen that part is shown, the rest is unknown, and the error says what
//! is really the matter.

use crate::common::{Fate, PATIENCE, ROOT, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use rustix::process::Signal;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

fn number(snmpd: &TestSnmpd, name: &str, index: &[u32]) -> Option<i64> {
    snmpd.get(&oid(name, index)).ok()?.number()
}

fn text(snmpd: &TestSnmpd, name: &str, index: &[u32]) -> String {
    snmpd.get(&oid(name, index)).ok().and_then(|value: Value| value.text()).unwrap_or_default()
}

fn config(snmpd: &TestSnmpd, state: &Path, instance: &str) -> String {
    format!(
        "agentx: {{ address: 'unix:{}', root: {ROOT} }}\nstate_directory: {}\ninstances:\n  - {{ {instance} }}\n",
        snmpd.socket().display(),
        state.display()
    )
}

/// A container that was given nothing but the socket of showq.
#[test]
fn a_sidecar_with_the_socket_of_showq_alone() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Held, 4);
    let side = postfix.sandbox().mkdir("side", 0o755, None);
    fs::create_dir(side.join("public")).unwrap();
    fs::hard_link(postfix.queue_directory().join("public/showq"), side.join("public/showq")).unwrap();
    let mut agent = TestAgent::with_config(|state| {
        let instance = format!(
            "name: side, config_directory: /etc/does-not-exist, queue_directory: {}, syslog_name: side, version: 3.7.11, log: none, queue: {{ interval: 1s }}",
            side.display()
        );
        config(&snmpd, state, &instance)
    });
    agent.start();
    wait_for("the queue", PATIENCE, || (number(&snmpd, "postfixTotalMessages", &[0]) == Some(4)).then_some(()));
    assert_eq!(number(&snmpd, "postfixQueueMessages", &[1, 5]), Some(4));
    // What the agent needs two looks for it has had time for.
    let uptime = oid("postfixAgentUptime", &[0]);
    wait_for("some looks", PATIENCE, || (snmpd.get(&uptime).ok()?.number()? > 500).then_some(()));
    assert_eq!(number(&snmpd, "postfixInstanceState", &[1]), Some(3), "unknown");
    for name in ["postfixInstanceMasterPid", "postfixInstanceProcessProcesses"] {
        assert_eq!(number(&snmpd, name, &[1]), None, "{name}");
    }
    assert_eq!(number(&snmpd, "postfixTotalProcesses", &[0]), None);
    assert!((1..10).all(|kind| number(&snmpd, "postfixDaemonState", &[1, kind]) != Some(3)), "none is not running");
    let health = text(&snmpd, "postfixHealthText", &[0]);
    assert!(number(&snmpd, "postfixHealth", &[0]) != Some(3) && !health.contains("stopped"), "{health}");
    assert_eq!(number(&snmpd, "postfixInstancesDown", &[0]), Some(0));
}

/// showq taken out of master.cf while Postfix runs.
#[test]
fn a_missing_showq_service_is_not_a_stopped_postfix() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&agent.config().replace("interval: 30s", "interval: 1s"));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    let master_cf = postfix.config_directory().join("master.cf");
    let without: String = fs::read_to_string(&master_cf)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("showq "))
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(&master_cf, without).unwrap();
    fs::File::options()
        .append(true)
        .open(&master_cf)
        .and_then(|file| file.set_modified(SystemTime::now() - Duration::from_secs(10)))
        .unwrap();
    postfix.reload();
    let error = wait_for("the error", PATIENCE, || {
        Some(text(&snmpd, "postfixSourceError", &[1, 2])).filter(|error| error.contains("has master.cf the service"))
    });
    assert!(error.contains("Postfix runs") && !error.contains("stopped"), "{error}");
    assert_eq!(number(&snmpd, "postfixInstanceState", &[1]), Some(1), "running");
    // The last values are kept for the grace.
    assert_eq!(number(&snmpd, "postfixQueueMessages", &[1, 5]), Some(0));
}

/// main.cf has passwords in it, and the agent may not read it.
#[test]
fn a_closed_main_cf_hides_no_queue_and_no_process() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Held, 2);
    fs::set_permissions(postfix.config_directory().join("main.cf"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut agent = TestAgent::with_config(|state| {
        let instance = format!(
            "name: closed, config_directory: {}, queue_directory: {}, syslog_name: postfix, log: {{ files: [{}] }}",
            postfix.config_directory().display(),
            postfix.queue_directory().display(),
            postfix.log_file().display()
        );
        config(&snmpd, state, &instance)
    });
    agent.start();
    wait_for("the queue", PATIENCE, || (number(&snmpd, "postfixQueueMessages", &[1, 5]) == Some(2)).then_some(()));
    wait_for("running", PATIENCE, || (number(&snmpd, "postfixInstanceState", &[1]) == Some(1)).then_some(()));
    let master = postfix.master_pid().map(i64::from);
    assert_eq!(number(&snmpd, "postfixInstanceMasterPid", &[1]), master);
    wait_for("its processes", PATIENCE, || {
        (number(&snmpd, "postfixInstanceProcessProcesses", &[1])? >= 3).then_some(())
    });
    postfix.send(Fate::Delivered, 1);
    wait_for("its mail", PATIENCE, || (number(&snmpd, "postfixMailSent", &[1]) == Some(1)).then_some(()));
    // What only main.cf says is not known.
    assert_eq!(number(&snmpd, "postfixSpoolMinFreeMiB", &[1]), None);
}

/// Two of three instances whose showq hangs: the third goes on, and the two come back as soon as they answer.
#[test]
fn showq_of_two_instances_hangs_and_only_these_are_old() {
    let snmpd = TestSnmpd::start();
    let instances = ["postfix-a", "postfix-b", "postfix-c"].map(|name| TestPostfix::builder().name(name).start());
    let [a, b, c] = &instances;
    for (postfix, held) in [(a, 1), (b, 2), (c, 3)] {
        postfix.send(Fate::Held, held);
    }
    let mut agent = TestAgent::new(&snmpd, &[a, b, c]);
    agent.set_config(&agent.config().replace("interval: 30s", "interval: 1s"));
    agent.start();
    (1..=3).for_each(|index| agent.wait_sources_ok(&snmpd, index));
    let held = |index| number(&snmpd, "postfixQueueMessages", &[index, 5]);
    let status = |index| number(&snmpd, "postfixSourceStatus", &[index, 2]);
    let total = || number(&snmpd, "postfixTotalHold", &[0]);
    wait_for("all of it", PATIENCE, || (total() == Some(6)).then_some(()));
    // It has answered a moment ago, and waits for the next client.
    for postfix in [a, b] {
        postfix.kill_service("showq", Signal::STOP);
    }
    [a, b, c].iter().for_each(|postfix| _ = postfix.send(Fate::Held, 4));
    wait_for("the news of the third", PATIENCE, || (held(3) == Some(7)).then_some(()));
    wait_for("old values of the two", PATIENCE, || ((status(1), status(2)) == (Some(2), Some(2))).then_some(()));
    assert_eq!((held(1), held(2), status(3)), (Some(1), Some(2), Some(1)), "nothing vanishes, and the third is well");
    assert_eq!(total(), Some(10), "of what each was seen with last");
    let error = || [1, 2].map(|index| text(&snmpd, "postfixSourceError", &[index, 2]));
    wait_for("the reason", Duration::from_secs(60), || {
        error().iter().all(|error| error.contains("showq said nothing")).then_some(())
    });
    for postfix in [a, b] {
        postfix.kill_service("showq", Signal::CONT);
    }
    let begun = Instant::now();
    wait_for("the news of the two", Duration::from_secs(60), || {
        ([held(1), held(2), total()] == [Some(5), Some(6), Some(18)]).then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(45), "as soon as they answer, not ten minutes later");
    wait_for("all well", PATIENCE, || ([1, 2, 3].map(status) == [Some(1); 3]).then_some(()));
}
