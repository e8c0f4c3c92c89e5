//! The promise: with `librenms: true` LibreNMS finds its Postfix application and draws it, without any of its scripts, and
//! what else snmpd serves as `extend` stays as it is.
//!
//! Discovery, polling and parser are restated here from what LibreNMS does (includes/discovery/applications.inc.php,
//! includes/polling/applications/postfix.inc.php): a walk of nsExtendStatus whose index names an application, then a walk of
//! each of two instances, their text without white space at both ends, a number a line.

use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use std::time::{Duration, Instant};

const EXTEND: &str = "1.3.6.1.4.1.8072.1.3.2";
/// nsExtendOutputFull of both, as LibreNMS writes them.
const MAILQ: &str = "1.3.6.1.4.1.8072.1.3.2.3.1.2.5.109.97.105.108.113";
const DETAILED: &str = "1.3.6.1.4.1.8072.1.3.2.3.1.2.15.112.111.115.116.102.105.120.100.101.116.97.105.108.101.100";

/// Real entries whose names are before, between and behind ours: shorter names come first.
const REAL: [&str; 4] = ["alpha", "zebra", "between", "behind-all-others"];

fn snmpd() -> TestSnmpd {
    REAL.iter()
        .fold(TestSnmpd::builder(), |builder, name| builder.conf(&format!("extend {name} /bin/echo {name}")))
        .start()
}

fn agent(snmpd: &TestSnmpd, postfix: &TestPostfix, step: u64) -> TestAgent {
    let mut agent = TestAgent::new(snmpd, &[postfix]);
    agent.set_config(&format!("{}librenms: true\nlibrenms_step: {step}s\n", agent.config()));
    agent.start();
    agent.wait_sources_ok(snmpd, 1);
    agent
}

/// The string in an index: its length and its octets.
fn name(index: &str) -> String {
    let octets = index.trim_start_matches('.').split('.').skip(1).map(|subid| subid.parse::<u8>().expect("an octet"));
    String::from_utf8(octets.collect()).expect("text")
}

/// What discovery finds: names of entries that exist.
fn discovered(snmpd: &TestSnmpd) -> Vec<String> {
    let status = format!("{EXTEND}.2.1.21");
    let rows = snmpd.walk(&status).expect("a walk");
    rows.iter()
        .inspect(|(oid, value)| assert_eq!(*value, Value::Integer(1), "{oid} is active"))
        .map(|(oid, _)| name(&oid[status.len()..]))
        .collect()
}

/// What polling reads of one of the two.
fn polled(snmpd: &TestSnmpd, instance: &str) -> Vec<Option<u64>> {
    let rows = snmpd.walk(instance).expect("a walk");
    assert_eq!(rows.iter().map(|(oid, _)| oid.as_str()).collect::<Vec<_>>(), [instance]);
    let text = rows[0].1.text().expect("text");
    text.trim().split('\n').map(|line| (!line.is_empty()).then(|| line.parse().expect("a number"))).collect()
}

/// A line of postfixdetailed, counted from 0.
fn line(lines: &[Option<u64>], number: usize) -> Option<u64> {
    lines.get(number).copied().flatten()
}

#[test]
fn librenms_finds_and_draws_postfix_beside_real_entries() {
    let snmpd = snmpd();
    let before = snmpd.walk(EXTEND).expect("a walk");
    assert_eq!(discovered(&snmpd), ["alpha", "zebra", "between", "behind-all-others"]);
    let postfix = TestPostfix::builder().start();
    let mut agent = agent(&snmpd, &postfix, 20);
    agent.wait_ready(&snmpd, MAILQ);
    assert_eq!(discovered(&snmpd), ["alpha", "mailq", "zebra", "between", "postfixdetailed", "behind-all-others"]);
    // Nothing of a step is known before it is over.
    assert_eq!(polled(&snmpd, DETAILED), [None]);
    let known = |lines: Vec<Option<u64>>| line(&lines, 0).map(|_| lines);
    let quiet = wait_for("a whole step", PATIENCE, || known(polled(&snmpd, DETAILED)));
    assert_eq!((line(&quiet, 0), line(&quiet, 5)), (Some(0), Some(0)));

    // Mail of every fate, one with two recipients that wait; all within one step.
    let sent = Instant::now();
    for fate in Fate::ALL {
        postfix.inject(fate, 1);
    }
    let mut smtp = postfix.smtp();
    assert_eq!(smtp.mail("sender@virtual.test", &["one@deferred.test", "two@deferred.test"], "").code, 250);
    smtp.quit();
    // received 11; delivered 6, forwarded 1, deferred 3 (messages), bounced 2, rejected 5, warnings 0, held 1, discarded 2.
    let expected = [11, 6, 1, 3, 2, 5, 0, 1, 2].map(Some);
    let lines = wait_for("the mail in postfixdetailed", PATIENCE, || {
        let lines = polled(&snmpd, DETAILED);
        (lines.get(..9) == Some(&expected[..])).then_some(lines)
    });
    assert!(sent.elapsed() < Duration::from_secs(20), "this machine is too slow for this test");
    let number =
        |name: &str, index: &[u32]| snmpd.get(&oid(name, index)).ok().and_then(|v| v.number()).map(|n| n as u64);
    assert_eq!(line(&lines, 9), number("postfixMailReceivedOctets", &[1]), "bytes received");
    assert_eq!(line(&lines, 10), number("postfixMailSentOctets", &[1]), "bytes delivered");
    assert_eq!(line(&lines, 15), number("postfixDeferEventDeferrals", &[1, 1]), "connection refused");
    assert_eq!(line(&lines, 22), Some(1), "user unknown");
    assert_eq!(line(&lines, 31), Some(0), "message size: the last of 32 lines");
    for unknown in [11, 12, 13, 14, 16, 18, 19, 20, 23, 24, 25, 26, 27, 28, 29, 30] {
        assert_eq!(line(&lines, unknown), None, "line {unknown}");
    }
    // Recipients: three at the server that does not answer, one at the one that says 4xx, one held.
    wait_for("the queues in mailq", PATIENCE, || {
        (polled(&snmpd, MAILQ) == [Some(0), Some(0), Some(4), Some(1)]).then_some(())
    });
    // After a step without mail it is 0 again: a level and no counter.
    wait_for("0 again", PATIENCE, || (line(&polled(&snmpd, DETAILED), 0) == Some(0)).then_some(()));

    // All ways lead through the same objects: ours at their places among the others.
    let walked = snmpd.walk(EXTEND).expect("GETBULK");
    let names: Vec<_> = walked.iter().map(|(oid, _)| oid.clone()).collect();
    assert_eq!(names.len(), before.len() + 4);
    assert!(before.iter().filter(|(oid, _)| *oid != format!("{EXTEND}.1.0")).all(|row| walked.contains(row)));
    let getnext: Vec<_> = snmpd.walk_getnext(EXTEND).expect("GETNEXT").into_iter().map(|(oid, _)| oid).collect();
    assert_eq!(names, getnext);
    for pair in names.windows(2) {
        assert_eq!(snmpd.get_next(&pair[0]).expect("GETNEXT").0, pair[1]);
        assert!(snmpd.get(&pair[0]).is_ok_and(|value| !value.is_exception()), "GET {}", pair[0]);
    }
    let mut client = snmpd.udp();
    let bulk = client.get_bulk(0, 6, &[&format!("{EXTEND}.3.1.2"), &format!("{EXTEND}.2.1.21")]).expect("GETBULK");
    let ours = bulk.iter().filter(|(oid, _)| oid == MAILQ || oid == DETAILED).count();
    assert_eq!((bulk.len(), ours), (12, 2), "both columns at once: {bulk:?}");

    // Without the agent it is as it was.
    agent.stop();
    assert_eq!(discovered(&snmpd), ["alpha", "zebra", "between", "behind-all-others"]);
    assert_eq!(snmpd.walk(EXTEND).expect("a walk"), before);
}

#[test]
fn it_is_off_unless_it_is_wanted() {
    let snmpd = snmpd();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    assert_eq!(discovered(&snmpd), ["alpha", "zebra", "between", "behind-all-others"]);
    assert_eq!(snmpd.get(MAILQ).expect("an answer"), Value::NoSuchInstance);
}
