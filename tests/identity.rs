//! The promise: an index is a configuration directory's, whatever happens to names, order and main.cf; and a Postfix that is
//! only restarted is not called stopped.

use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use rustix::process::Signal;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const MAIN_CF_ERROR: &str = "this is no parameter of anything";

/// Mail received and held, as the row of this index has it.
fn counts(snmpd: &TestSnmpd, index: u32) -> [Option<i64>; 2] {
    let number = |column| snmpd.get(&oid(column, &[index])).ok().and_then(|value: Value| value.number());
    [number("postfixMailReceivedMessages"), number("postfixMailHeld")]
}

fn directory(snmpd: &TestSnmpd, index: u32) -> Option<String> {
    snmpd.get(&oid("postfixInstanceConfigDirectory", &[index])).ok()?.text()
}

#[test]
fn two_instances_without_names_change_places_and_neither_takes_what_is_the_others() {
    let snmpd = TestSnmpd::start();
    let [alpha, beta] = [(); 2].map(|()| TestPostfix::builder().start());
    let places = [&alpha, &beta].map(|postfix| postfix.config_directory().display().to_string());
    let mut agent = TestAgent::new(&snmpd, &[&alpha, &beta]);
    agent.start();
    for index in [1, 2] {
        agent.wait_sources_ok(&snmpd, index);
    }
    alpha.send(Fate::Delivered, 7);
    alpha.send(Fate::Held, 2);
    let settled = |expected: [[i64; 2]; 2], what: &str| {
        wait_for(what, PATIENCE, || {
            let seen = [1, 2].map(|index| (directory(&snmpd, index), counts(&snmpd, index)));
            let wanted = [0, 1].map(|i: usize| (Some(places[i].clone()), expected[i].map(Some)));
            (seen == wanted).then_some(())
        });
    };
    settled([[7, 2], [0, 0]], "the first counts");

    // The entries change places.
    let (head, entries) = agent.config().split_once("instances:\n").map(|(h, e)| (h.to_owned(), e.to_owned())).unwrap();
    let second = entries.rfind("  - config_directory").unwrap();
    agent.set_config(&format!("{head}instances:\n{}{}", &entries[second..], &entries[..second]));
    let reloads = oid("postfixAgentReloads", &[0]);
    agent.signal(Signal::HUP);
    wait_for("the reload", PATIENCE, || (snmpd.get(&reloads).ok()?.number() == Some(1)).then_some(()));
    beta.send(Fate::Held, 1);
    settled([[7, 2], [0, 1]], "the counts after a change of places");
    agent.restart();
    settled([[7, 2], [0, 1]], "the counts after a restart");

    // A main.cf that is broken when the agent starts.
    let main_cf = alpha.config_directory().join("main.cf");
    let good = std::fs::read(&main_cf).unwrap();
    agent.stop();
    alpha.append_main(MAIN_CF_ERROR);
    agent.start();
    agent.wait_sources_ok(&snmpd, 2);
    beta.send(Fate::Held, 1);
    wait_for("beta's mail at beta's index", PATIENCE, || (counts(&snmpd, 2)[1] == Some(2)).then_some(()));
    assert_eq!(directory(&snmpd, 2), Some(places[1].clone()));
    assert!(directory(&snmpd, 1).is_none_or(|directory| directory == places[0]), "nobody else has its index");
    assert!(directory(&snmpd, 3).is_none(), "and nobody has a third");
    std::fs::write(&main_cf, good).unwrap();
    alpha.send(Fate::Held, 1);
    settled([[7, 3], [0, 2]], "the counts after all was well again");
    agent.restart();
    settled([[7, 3], [0, 2]], "the counts after one more restart");
}

#[test]
fn a_restart_of_postfix_is_no_stop() {
    let snmpd = TestSnmpd::start();
    let mut postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_healthy(&snmpd, 1);
    let done = AtomicBool::new(false);
    let state = oid("postfixInstanceState", &[1]);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut client = snmpd.udp();
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                seen.extend(client.get_one(&state).ok().and_then(|value| value.number()));
                thread::sleep(Duration::from_millis(20));
            }
            seen
        });
        // So many that a look falls into some of them: the agent looks every ten seconds.
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        while begun.elapsed() < Duration::from_secs(21) {
            let stopped = Instant::now();
            postfix.stop();
            postfix.start();
            longest = longest.max(stopped.elapsed());
            // A look that finds it stopped is repeated after two seconds, which must not meet the next restart.
            let started = Instant::now();
            wait_for("three seconds", PATIENCE, || (started.elapsed() > Duration::from_secs(3)).then_some(()));
        }
        done.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        assert!(seen.len() > 50, "{} answers", seen.len());
        // On a machine so busy that a restart takes longer than two looks it was a stop.
        if longest < Duration::from_secs(2) {
            assert!(seen.iter().all(|state| *state == 1), "{seen:?}, the longest restart took {longest:?}");
        }
    });
}
