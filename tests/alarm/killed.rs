//! Whatever ends, and whenever: each change is told, and at most once too often.

use super::{notices, wait_rows};
use crate::common::{PATIENCE, Random, TestAgent, TestPostfix, TestSnmpd, TestTrapd, wait_for};
use std::{collections::BTreeMap, thread, time::Duration};

/// So many thresholds on one state: each look tells as many.
const ALARMS: usize = 10;

fn config() -> String {
    let alarm = |n| format!("  - {{ name: a{n}, when: 'postfixInstanceState[*] == stopped' }}\n");
    format!("alarms:\n{}", (0..ALARMS).map(alarm).collect::<String>())
}

/// How often each name was told of each change: runs of one kind.
fn runs(trapd: &TestTrapd) -> BTreeMap<String, Vec<(String, usize)>> {
    let mut runs: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    for (kind, name) in notices(trapd).into_iter().filter(|(_, name)| !name.is_empty()) {
        let of_name = runs.entry(name).or_default();
        match of_name.last_mut() {
            Some((last, times)) if *last == kind => *times += 1,
            _ => of_name.push((kind, 1)),
        }
    }
    runs
}

/// Postfix stops and starts, and the agent is killed at a moment of each change.
fn kill(rounds: usize) {
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("CHAOS_SEED={seed}");
    let mut dice = Random::new(seed);
    let trapd = TestTrapd::start_named();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let mut postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&format!("{}{}", agent.config(), config()));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    wait_rows(&snmpd, ALARMS);
    for round in 1..=rounds {
        let logged = agent.log().len();
        if round % 2 == 1 {
            postfix.stop();
        } else {
            postfix.start();
        }
        // Any moment of the looks, and often one between the look and the receipts.
        if dice.below(3) > 0 {
            let word = if round % 2 == 1 { "raised: " } else { "cleared: " };
            wait_for("the look", PATIENCE, || agent.log()[logged..].contains(word).then_some(()));
            thread::sleep(Duration::from_micros(dice.below(300_000)));
        } else {
            thread::sleep(Duration::from_millis(dice.below(6_000)));
        }
        agent.kill9();
        agent.start();
        wait_for(&format!("change {round} of every alarm"), PATIENCE * 2, || {
            let runs = runs(&trapd);
            (runs.len() == ALARMS && runs.values().all(|runs| runs.len() == round)).then_some(())
        });
    }
    // What may still be told a second time is told at the next look.
    wait_rows(&snmpd, ALARMS);
    let runs = runs(&trapd);
    let times: Vec<usize> = runs.values().flatten().map(|(_, times)| *times).collect();
    let of = |n| times.iter().filter(|times| **times == n).count();
    println!("{rounds} kills, {} changes told: {} once, {} twice", times.len(), of(1), of(2));
    assert_eq!(times.len(), ALARMS * rounds, "{runs:?}");
    assert!(times.iter().all(|times| (1..=2).contains(times)), "{runs:?}");
}

#[test]
fn no_change_is_lost_in_four_kills() {
    kill(4);
}

#[test]
#[ignore = "minutes long: make chaos"]
fn no_change_is_lost_in_sixty_kills() {
    kill(60);
}

#[test]
fn what_changes_while_snmpd_is_away_is_told_once_when_it_is_back() {
    let trapd = TestTrapd::start_named();
    let mut snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let mut postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&format!("{}{}", agent.config(), config()));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    wait_rows(&snmpd, ALARMS);
    let all_told = |changes: usize| {
        let runs = runs(&trapd);
        (runs.len() == ALARMS && runs.values().all(|runs| runs.len() == changes)).then_some(())
    };
    snmpd.stop();
    postfix.stop();
    agent.wait_log("raised: ");
    snmpd.start_again();
    wait_for("that all are down", PATIENCE, || all_told(1));
    snmpd.kill9();
    postfix.start();
    agent.wait_log("cleared: ");
    snmpd.start_again();
    wait_for("that all are up", PATIENCE, || all_told(2));
    // Down and up between two answers of snmpd: nothing to tell.
    snmpd.kill9();
    postfix.stop();
    let raised = || agent.log().matches("raised: ").count();
    wait_for("the third change", PATIENCE, || (raised() >= 2 * ALARMS).then_some(()));
    postfix.start();
    let cleared = || agent.log().matches("cleared: ").count();
    wait_for("the fourth change", PATIENCE, || (cleared() >= 2 * ALARMS).then_some(()));
    snmpd.start_again();
    agent.wait_healthy(&snmpd, 1);
    // What was handed to the link before snmpd was back goes out as it was, and then what has become of it.
    let is_told = |runs: &Vec<(String, usize)>| runs.last().is_some_and(|(kind, _)| kind == "postfixInstanceUp");
    wait_for("that all are up again", PATIENCE, || runs(&trapd).values().all(is_told).then_some(()));
    let runs = runs(&trapd);
    assert!(runs.values().all(|runs| runs.len() <= 4), "{runs:?}");
    assert!(runs.values().flatten().all(|(_, times)| *times == 1), "{runs:?}");
}
