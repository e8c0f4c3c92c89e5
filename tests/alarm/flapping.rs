//! A thousand conditions that come and go together: bounded, summed up, and nobody is left in a wrong belief.

use super::{notices, told, wait_rows};
use crate::common::{PATIENCE, TestAgent, TestPostfix, TestSnmpd, TestTrapd, oid, wait_for};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const ALARMS: usize = 1_000;

#[test]
#[ignore = "minutes long: make chaos"]
fn a_thousand_at_once_are_told_at_a_rate_with_one_summary_a_minute() {
    let trapd = TestTrapd::start_named();
    let snmpd = TestSnmpd::builder().trap_sink(trapd.port()).start();
    let mut postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    let alarm = |n| format!("  - {{ name: a{n}, when: 'postfixInstanceState[*] == stopped' }}\n");
    agent.set_config(&format!("{}alarms:\n{}", agent.config(), (0..ALARMS).map(alarm).collect::<String>()));
    agent.start();
    agent.wait_healthy(&snmpd, 1);
    wait_rows(&snmpd, ALARMS);
    let raised = oid("postfixAlarmsRaised", &[0]);
    let mut client = snmpd.udp();
    let mut slowest = Duration::ZERO;
    let mut wait_raised = |wanted: i64| {
        wait_for(&format!("{wanted} raised"), PATIENCE, || {
            let asked = Instant::now();
            let raised = client.get_one(&raised).ok()?.number();
            slowest = slowest.max(asked.elapsed());
            (raised == Some(wanted)).then_some(())
        });
    };
    let begun = Instant::now();
    for _ in 0..3 {
        postfix.stop();
        wait_raised(ALARMS as i64);
        postfix.start();
        wait_raised(0);
    }
    let flapped = begun.elapsed();
    // Each manager's belief is what it was told last.
    let believed = || {
        let mut down = BTreeSet::new();
        for (kind, name) in notices(&trapd) {
            match kind.as_str() {
                "postfixInstanceDown" => down.insert(name),
                "postfixInstanceUp" => down.remove(&name),
                _ => false,
            };
        }
        down
    };
    wait_for("the end of all that were told", PATIENCE * 4, || believed().is_empty().then_some(()));
    let (down, up) = (told(&trapd, "postfixInstanceDown"), told(&trapd, "postfixInstanceUp"));
    let summaries = told(&trapd, "postfixAlarmsHeldBack");
    println!(
        "{ALARMS} conditions, 3 times down and up in {flapped:.1?}: {down} told down, {up} up, {summaries} summaries; slowest answer {slowest:.1?}; all over after {:.1?}",
        begun.elapsed()
    );
    let most = 20 + begun.elapsed().as_secs() as usize / 2 + 1;
    assert!((20..=most).contains(&down) && up == down, "{down} down, {up} up, of at most {most}");
    assert!((1..=1 + begun.elapsed().as_secs() as usize / 60).contains(&summaries), "{summaries}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(snmpd.get(&oid("postfixAgentNotificationsDropped", &[0])).unwrap().number(), Some(0));
    agent.wait_healthy(&snmpd, 1);
}
