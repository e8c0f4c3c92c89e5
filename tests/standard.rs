//! The promise: NETWORK-SERVICES-MIB and MTA-MIB say of Postfix what POSTFIX-MIB says, through an snmpd as Debian starts
//! it, with its module for sendmail, and nothing of that module is seen.

use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};

const APPL: &str = "1.3.6.1.2.1.27";
const MTA: &str = "1.3.6.1.2.1.28";

/// Ours, and what it is a projection of, for instance 1. A sum where there are several.
const SAME: [(&str, &[&str]); 7] = [
    ("1.3.6.1.2.1.28.1.1.1.1", &["postfixMailReceivedMessages"]),
    ("1.3.6.1.2.1.28.1.1.4.1", &["postfixMailReceivedKiB"]),
    ("1.3.6.1.2.1.28.1.1.6.1", &["postfixMailSentKiB"]),
    ("1.3.6.1.2.1.28.1.1.7.1", &["postfixMailReceivedRecipients"]),
    ("1.3.6.1.2.1.28.1.1.9.1", &["postfixMailSent"]),
    ("1.3.6.1.2.1.28.1.1.12.1", &["postfixMailLoopsDetected"]),
    ("1.3.6.1.2.1.27.1.1.6.1", &["postfixInstanceState"]),
];

fn number(snmpd: &TestSnmpd, oid: &str) -> Option<i64> {
    snmpd.get(oid).ok().and_then(|value| value.number())
}

/// What a walk of `root` shows.
fn names(snmpd: &TestSnmpd, root: &str) -> Vec<String> {
    snmpd.walk(root).expect("a walk").into_iter().map(|(name, _)| name).collect()
}

/// The rows of mtaGroupTable that Debian's snmpd has for a sendmail that is not there.
fn sendmails(names: &[String]) -> Vec<&String> {
    let of_groups = |name: &&String| name.starts_with(&format!("{MTA}.2.1."));
    let group = |name: &&String| !["1", "2", "3", "4", "5", "101", "102"].contains(&name.rsplit('.').next().unwrap());
    names.iter().filter(of_groups).filter(group).collect()
}

#[test]
fn debians_snmpd_shows_postfix_and_no_sendmail() {
    let snmpd = TestSnmpd::start();
    assert!(!sendmails(&names(&snmpd, MTA)).is_empty(), "snmpd has its module, or this test proves nothing");
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    let received = number(&snmpd, &oid("postfixMailReceivedMessages", &[1])).expect("read");
    for (fate, count) in [(Fate::Delivered, 3), (Fate::Deferred, 2), (Fate::Bounced, 1)] {
        postfix.send(fate, count);
    }
    wait_for("the mail in mtaReceivedMessages", PATIENCE, || {
        (number(&snmpd, &format!("{MTA}.1.1.1.1")) == Some(received + 6)).then_some(())
    });
    // What moves is read until both were read of one state.
    for (ours, theirs) in SAME {
        wait_for(ours, PATIENCE, || {
            let sum: Option<i64> = theirs.iter().map(|name| number(&snmpd, &oid(name, &[1]))).sum();
            let sum = sum.unwrap_or_else(|| panic!("{theirs:?} is not served"));
            (number(&snmpd, ours) == Some(sum)).then_some(())
        });
    }
    for (column, theirs) in [(2, "postfixQueueMessages"), (5, "postfixQueueKiB"), (8, "postfixQueueRecipients")] {
        wait_for(theirs, PATIENCE, || {
            let sum: Option<i64> = (1..=5).map(|kind| number(&snmpd, &oid(theirs, &[1, kind]))).sum();
            (sum.is_some() && number(&snmpd, &format!("{MTA}.1.1.{column}.1")) == sum).then_some(())
        });
    }
    // Two are deferred, and their queue is a group.
    wait_for("mtaGroupStoredMessages of deferred", PATIENCE, || {
        (number(&snmpd, &format!("{MTA}.2.1.4.1.4")).is_some_and(|n| n >= 2)).then_some(())
    });
    let name = snmpd.get(&format!("{APPL}.1.1.2.1")).expect("applName");
    assert_eq!(Some(name), snmpd.get(&oid("postfixInstanceName", &[1])).ok());

    // Failures by their code, as postfixDsnTable has them.
    let codes: Vec<u32> = names(&snmpd, &format!("{MTA}.5.1.3.1.102"))
        .iter()
        .map(|name| name.rsplit('.').next().unwrap().parse().expect("a code"))
        .collect();
    assert!(codes.iter().any(|code| *code / 1_000_000 == 5) && codes.iter().any(|code| *code / 1_000_000 == 4));
    for code in codes {
        let ours = number(&snmpd, &format!("{MTA}.5.1.3.1.102.{code}"));
        assert!(ours.is_some_and(|n| n > 0), "{code}");
        // A retry may come between the two.
        assert!(ours <= number(&snmpd, &oid("postfixDsnDeliveries", &[1, code])), "{code}");
    }

    let walked = names(&snmpd, MTA);
    assert_eq!(sendmails(&walked), Vec::<&String>::new());
    assert_eq!(walked, snmpd.walk_getnext(MTA).expect("GETNEXT").into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    // Each of the columns alone ends where it ends, by GETNEXT from its beginning as well.
    for column in [3, 5] {
        assert_eq!(names(&snmpd, &format!("{MTA}.2.1.{column}")), Vec::<String>::new());
    }

    // A restart of the agent: no counter goes back.
    agent.stop();
    assert!(!sendmails(&names(&snmpd, MTA)).is_empty(), "without us snmpd is as it was");
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    wait_for("the same counter again", PATIENCE, || {
        number(&snmpd, &format!("{MTA}.1.1.1.1")).map(|n| assert!(n >= received + 6, "{n}: it went back"))
    });
    assert_eq!(sendmails(&names(&snmpd, MTA)), Vec::<&String>::new());
}

#[test]
fn switched_off_it_leaves_both_subtrees_to_snmpd() {
    let snmpd = TestSnmpd::start();
    let before = snmpd.walk(MTA).expect("a walk");
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&format!("{}standard_mibs: false\n", agent.config()));
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    assert_eq!(snmpd.walk(MTA).expect("a walk"), before);
    assert_eq!(snmpd.walk(APPL).expect("a walk"), Vec::<(String, Value)>::new());
    // Switched on by a restart.
    agent.stop();
    agent.set_config(&agent.config().replace("standard_mibs: false", "standard_mibs: true"));
    agent.start();
    agent.wait_ready(&snmpd, &format!("{APPL}.1.1.2.1"));
}
