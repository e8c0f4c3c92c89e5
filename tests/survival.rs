//! The promise: through kill -9 and restart of the agent and through restarts of snmpd a poller never sees a counter go
//! back, and in the end every line of the log was counted once.

use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, UdpClient, Value, oid, wait_for};
use postfix_agentx::{collect, mib::Syntax};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The counters of the log, whose continuity is promised without exception.
fn counters() -> Vec<String> {
    let tables = ["postfixMailTable", "postfixTotalMailObjects", "postfixTemplateObjects", "postfixInstanceLogTable"];
    let mut oids = Vec::new();
    for table in collect::catalogue().into_iter().filter(|t| tables.contains(&t.name())) {
        let index: &[u32] = if table.name().ends_with("Table") { &[1] } else { &[0] };
        let counters = table.columns().into_iter().filter(|c| c.syntax == Syntax::Counter32);
        oids.extend(counters.map(|c| oid(c.name, index)));
    }
    assert!(oids.len() > 50);
    oids
}

/// What a poller saw.
#[derive(Default)]
struct Seen {
    answers: usize,
    back: Vec<String>,
    last: BTreeMap<String, i64>,
}

/// Asks ten times a second until told to stop.
fn poll(mut client: UdpClient, stop: &AtomicBool) -> Seen {
    let oids = counters();
    client.set_timeout(Duration::from_millis(200));
    let mut seen = Seen::default();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for some in oids.chunks(40) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            // No answer, and no such object, is what a restart may look like; a smaller number is not.
            for (name, value) in client.get(&some).unwrap_or_default() {
                let Value::Counter32(value) = value else { continue };
                seen.answers += 1;
                let value = i64::from(value);
                let last = seen.last.insert(name.clone(), value).unwrap_or(0);
                if value < last {
                    seen.back.push(format!("{name}: {last} → {value}"));
                }
            }
        }
        next += Duration::from_millis(100);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    seen
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_counter_goes_back_and_every_line_counts_once() {
    let mut snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    let (sent, template) = (oid("postfixMailSent", &[1]), oid("postfixTemplateDelivered", &[0]));
    let stop = AtomicBool::new(false);
    let total = 600_i64;
    let mut away = Vec::new();
    let seen = thread::scope(|scope| {
        // A failed wait below must not leave the poller asking for ever.
        let _stop = StopAtEnd(&stop);
        // The poller keeps asking the port, whoever listens there.
        let (client, poll_until) = (snmpd.udp(), &stop);
        let poller = scope.spawn(move || poll(client, poll_until));
        let mail = scope.spawn(|| (0..total / 2).for_each(|_| drop(postfix.send(Fate::Delivered, 2))));
        for round in 0..8 {
            let mark = postfix.log_count("status=sent");
            agent.kill9();
            // Mail goes on while nobody counts.
            wait_for("more mail", PATIENCE, || {
                (mail.is_finished() || postfix.log_count("status=sent") > mark).then_some(())
            });
            agent.start();
            agent.wait_ready(&snmpd, &sent);
            if round % 2 == 0 {
                snmpd.restart();
            } else {
                snmpd.kill9();
                snmpd.start_again();
            }
            let listening = Instant::now();
            agent.wait_ready(&snmpd, &sent);
            away.push(listening.elapsed());
        }
        mail.join().expect("the mail was sent");
        wait_for("all mail counted", PATIENCE, || (snmpd.get(&sent).ok()?.number()? >= total).then_some(()));
        stop.store(true, Ordering::Relaxed);
        poller.join().expect("the poller")
    });
    assert!(seen.answers > 500, "the poller saw {} values", seen.answers);
    assert_eq!(seen.back, Vec::<String>::new(), "counters went back");
    assert_eq!(snmpd.get(&sent).ok().and_then(|v| v.number()), Some(total));
    assert_eq!(snmpd.get(&template).ok().and_then(|v| v.number()), Some(total));
    assert_eq!(snmpd.get(&oid("postfixInstanceLogDiscontinuities", &[1])).ok().and_then(|v| v.number()), Some(0));
    // Back within 2 s of snmpd listening; a loaded test machine may miss it once.
    away.sort();
    assert!(away[away.len() / 2] < Duration::from_secs(2), "back after {away:?}");
}

#[test]
fn an_orderly_stop_is_quick_and_says_so() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    assert!(agent.stop().success());
    assert!(agent.log().contains("stopped"), "{}", agent.log());
    let version = oid("postfixAgentVersion", &[0]);
    wait_for("snmpd without us", PATIENCE, || snmpd.get(&version).expect("snmpd answers").is_exception().then_some(()));
}

#[test]
fn a_second_agent_on_the_same_state_is_refused_with_the_holder() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    let second = agent.run_once(&["run"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains(&format!("process {}", agent.pid())), "{}", second.stderr);
}

#[test]
fn sighup_takes_a_changed_configuration_over_and_keeps_the_counts() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    let sent = oid("postfixMailSent", &[1]);
    postfix.send(Fate::Delivered, 3);
    wait_for("3 sent", PATIENCE, || (snmpd.get(&sent).ok()?.number() == Some(3)).then_some(()));
    let config = agent.config();
    agent.set_config(&config.replace("totals: true", "totals: maybe"));
    agent.signal(Signal::HUP);
    agent.wait_log("the old configuration stays");
    let log = format!("{{ files: [{}] }}", postfix.log_file().display());
    agent.set_config(&config.replace(&log, "none"));
    agent.signal(Signal::HUP);
    let status = oid("postfixSourceStatus", &[1, 3]);
    wait_for("status disabled", PATIENCE, || (snmpd.get(&status) == Ok(Value::Integer(4))).then_some(()));
    wait_for("no counters", PATIENCE, || (snmpd.get(&sent) == Ok(Value::NoSuchInstance)).then_some(()));
    // What happens meanwhile is not lost.
    postfix.send(Fate::Delivered, 2);
    agent.set_config(&config);
    agent.signal(Signal::HUP);
    wait_for("5 sent", PATIENCE, || (snmpd.get(&sent).ok()?.number() == Some(5)).then_some(()));
    let reloads = oid("postfixAgentReloads", &[0]);
    wait_for("2 reloads", PATIENCE, || (snmpd.get(&reloads).ok()?.number() == Some(2)).then_some(()));
    assert_eq!(snmpd.get(&oid("postfixAgentMasterConnects", &[0])).ok().and_then(|v| v.number()), Some(1));
}

#[test]
fn the_state_of_a_newer_release_is_kept_and_the_agent_does_not_start() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().create();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    for name in ["instances", "log", "process", "queue-domains"] {
        let file = agent.state_directory().join(name);
        let written = format!("postfix-agentx {name} 4000000 {:08x} 2\n{{}}", crc32fast::hash(b"{}"));
        fs::write(&file, &written).unwrap();
        let checked = agent.run_once(&["check"]);
        assert!(checked.code == 1 && checked.stdout.contains("newer postfix-agentx"), "{}", checked.stdout);
        agent.start();
        let status = wait_for("the end of the agent", PATIENCE, || agent.exited());
        assert_eq!(status.code(), Some(2), "{}", agent.log());
        let told = agent.log().lines().last().unwrap_or_default().to_owned();
        assert!(told.contains(&format!("{} was written by a newer", file.display())), "{told}");
        assert_eq!(fs::read_to_string(&file).unwrap(), written, "kept as it was");
        fs::remove_file(&file).unwrap();
    }
}

/// Somebody ran the agent as root once: its state is root's. It was replaced by the next save, and the counters began anew.
#[test]
fn a_state_that_cannot_be_read_is_waited_for() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.start();
    let sent = oid("postfixMailSent", &[1]);
    wait_for("its log", PATIENCE, || (snmpd.get(&sent).ok()?.number() == Some(0)).then_some(()));
    postfix.send(Fate::Delivered, 3);
    wait_for("3 sent", PATIENCE, || (snmpd.get(&sent).ok()?.number() == Some(3)).then_some(()));
    agent.stop();
    let file = agent.state_directory().join("log");
    let owner = |uid| std::os::unix::fs::chown(&file, Some(uid), Some(uid)).unwrap();
    let kept = fs::read(&file).unwrap();
    owner(0);
    let checked = agent.run_once(&["check"]);
    assert!(checked.code == 1 && checked.stdout.contains("It is kept as it is"), "{}", checked.stdout);
    agent.start();
    let health = oid("postfixHealthText", &[0]);
    wait_for("a word in health", PATIENCE, || {
        let text = snmpd.get(&health).ok()?;
        text.text()?.contains("the log collector waits: ").then_some(())
    });
    assert_eq!(snmpd.get(&sent), Ok(Value::NoSuchInstance), "not 0");
    postfix.send(Fate::Delivered, 2);
    agent.stop();
    assert_eq!(fs::read(&file).unwrap(), kept, "it was not replaced");
    agent.start();
    agent.wait_log("the log collector waits: ");
    owner(crate::common::AGENT_UID);
    wait_for("5 sent", PATIENCE, || (snmpd.get(&sent).ok()?.number() == Some(5)).then_some(()));
    wait_for("health", PATIENCE, || (snmpd.get(&oid("postfixHealth", &[0])).ok()?.number() == Some(1)).then_some(()));
}
