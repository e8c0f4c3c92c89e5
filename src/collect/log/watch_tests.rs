//! What is said of destinations and accounts, and what is not.

use super::*;
use crate::collect::log::engine::Settings;
use std::time::Duration;

const NOW: i64 = 1_700_000_040;

fn instance() -> Instance {
    let mut instance = Instance {
        settings: Settings { name: "postfix".into(), index: 3, ..Settings::default() },
        ..Instance::default()
    };
    instance.state.senders.arrange(20, &[]);
    instance
}

fn sends(instance: &mut Instance, name: &str, messages: u64) {
    let account = instance.state.senders.message(name, NOW, 1);
    instance.state.senders.recipients(account, messages, NOW);
}

fn fails(instance: &mut Instance, name: &str, times: usize, at: i64) {
    (0..times).for_each(|_| instance.state.senders.failure(Some(name), at, 1));
}

fn texts(instance: &Instance, watch: &Watch, privacy: bool) -> Vec<String> {
    conditions(instance, watch, privacy, NOW).into_iter().map(|condition| condition.text).collect()
}

#[test]
fn an_account_that_stands_out_while_logins_fail() {
    let mut host = instance();
    for name in ["a", "b", "c", "d"] {
        sends(&mut host, name, 5);
    }
    sends(&mut host, "eve", 120);
    let watch = Watch::default();
    assert_eq!(texts(&host, &watch, false), [""; 0], "a newsletter");
    fails(&mut host, "eve", 4, NOW);
    fails(&mut host, "a", 50, NOW);
    assert_eq!(texts(&host, &watch, false), [""; 0], "four mistakes; and who fails but does not send");
    fails(&mut host, "eve", 1, NOW);
    let said = texts(&host, &watch, false);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("postfix: user eve sends more than 10 times what others do"), "{said:?}");
    assert!(said[0].contains("postfixSenderRecipients.3.6 "), "{said:?}");
    let said = texts(&host, &watch, true);
    assert!(said[0].starts_with("postfix: user number 6 of postfixSenderTable sends ") && !said[0].contains("eve"));
    assert_eq!(texts(&host, &Watch { report_users: false, ..watch.clone() }, false), [""; 0]);
    // As many before: they do not rise.
    fails(&mut host, "eve", 9, NOW - 2_400);
    assert_eq!(texts(&host, &watch, false), [""; 0]);
}

#[test]
fn few_accounts_have_no_middle_and_a_limit_needs_none() {
    let mut host = instance();
    sends(&mut host, "eve", 500);
    fails(&mut host, "eve", 50, NOW);
    assert_eq!(texts(&host, &Watch::default(), false), [""; 0]);
    let limit = |user_limit| Watch { user_limit, ..Watch::default() };
    assert_eq!(texts(&host, &limit(500), false), [""; 0]);
    let said = texts(&host, &limit(499), false);
    assert!(
        said.len() == 1 && said[0].contains("user eve sends more than log.watch.user_limit (499) in an hour"),
        "{said:?}"
    );
}

#[test]
fn times_are_spoken() {
    let spoken = |seconds| super::spoken(Duration::from_secs(seconds).as_secs());
    assert_eq!([spoken(900), spoken(90), spoken(5)], ["15 min", "90 s", "5 s"]);
}
