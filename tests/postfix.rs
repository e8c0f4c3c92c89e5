//! The promise: real mail through a real Postfix moves exactly the counters it should, seen through a real snmpd; and what
//! breaks in Postfix shows as what it is.

use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use postfix_agentx::{collect, mib::Syntax};
use rustix::process::Signal;
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

/// Scalar groups and tables whose counters the fates move.
const FLOW: [&str; 3] = ["postfixMailTable", "postfixTotalMailObjects", "postfixTemplateObjects"];

/// Descriptor → OID of every Counter32 of the mail flow of instance 1, volumes aside.
fn flow() -> BTreeMap<&'static str, String> {
    let mut names = BTreeMap::new();
    for table in collect::catalogue().into_iter().filter(|t| FLOW.contains(&t.name())) {
        let index: &[u32] = if table.name() == "postfixMailTable" { &[1] } else { &[0] };
        for column in table.columns() {
            let volume = column.name.ends_with("KiB") || column.name.ends_with("Octets");
            if column.syntax == Syntax::Counter32 && !volume {
                names.insert(column.name, oid(column.name, index));
            }
        }
    }
    assert!(names.len() > 50, "{names:?}");
    names
}

fn read(snmpd: &TestSnmpd, names: &BTreeMap<&'static str, String>) -> BTreeMap<&'static str, i64> {
    let mut client = snmpd.udp();
    let all: Vec<(&&str, &String)> = names.iter().collect();
    let mut values = BTreeMap::new();
    for some in all.chunks(40) {
        let oids: Vec<&str> = some.iter().map(|(_, oid)| oid.as_str()).collect();
        let answers = client.get(&oids).expect("an answer");
        for ((name, _), (_, value)) in some.iter().zip(answers) {
            values.insert(**name, value.number().unwrap_or_else(|| panic!("{name}: {value:?}")));
        }
    }
    values
}

/// What `n` mails of a fate must move, and by how much; everything else stays.
fn expected(fate: Fate, n: i64) -> BTreeMap<&'static str, i64> {
    // Into the queue through smtpd.
    let received: &[(&str, i64)] = &[
        ("postfixMailReceivedMessages", n),
        ("postfixMailReceivedSmtp", n),
        ("postfixMailReceivedRecipients", n),
        ("postfixTotalReceived", n),
    ];
    let sent: &[(&str, i64)] = &[("postfixMailSent", n), ("postfixTotalDelivered", n)];
    let to_mailbox: &[(&str, i64)] = &[("postfixTemplateDelivered", n)];
    let removed: &[(&str, i64)] = &[("postfixMailRemoved", n)];
    let twice_removed: &[(&str, i64)] = &[("postfixMailRemoved", 2 * n)];
    let deferred: &[(&str, i64)] = &[
        ("postfixMailDeferrals", n),
        ("postfixMailDeferredMessages", n),
        ("postfixTotalDeferrals", n),
        ("postfixTotalDeferredMessages", n),
        ("postfixTemplateDeferred", n),
    ];
    let bounced: &[(&str, i64)] =
        &[("postfixMailBounced", n), ("postfixTotalBounced", n), ("postfixTemplateBounced", n)];
    let internal: &[(&str, i64)] = &[("postfixMailInternalMessages", n)];
    let rejected: &[(&str, i64)] =
        &[("postfixMailRejected", n), ("postfixTotalRejected", n), ("postfixTemplateRejected", n)];
    let permanent: &[(&str, i64)] = &[("postfixMailRejectsPermanent", n), ("postfixTotalRejectsPermanent", n)];
    let temporary: &[(&str, i64)] = &[("postfixMailRejectsTemporary", n), ("postfixTotalRejectsTemporary", n)];
    let discarded: &[(&str, i64)] = &[("postfixMailDiscarded", n), ("postfixTotalDiscarded", n)];
    let client: &[(&str, i64)] = &[("postfixMailReceivedSmtp", n)];
    let parts: &[&[(&str, i64)]] = match fate {
        Fate::Delivered | Fate::DeliveredLocal => &[received, sent, to_mailbox, removed],
        Fate::Forwarded => &[
            received,
            &[("postfixMailForwarded", n), ("postfixTotalForwarded", n)],
            // The copy: nobody sent it, and virtual(8) delivers it.
            internal,
            sent,
            to_mailbox,
            twice_removed,
        ],
        Fate::Relayed | Fate::RelayedByRelay => &[received, sent, removed],
        Fate::Deferred | Fate::DeferredSoft => &[received, deferred],
        Fate::Bounced => &[received, bounced, removed],
        Fate::BouncedWithNotice => {
            &[received, bounced, &[("postfixMailNonDeliveryNotices", n)], internal, sent, to_mailbox, twice_removed]
        }
        Fate::Held => &[client, &[("postfixMailHeld", n), ("postfixTotalHeld", n), ("postfixTemplateHeld", n)]],
        Fate::Discarded => &[client, discarded, &[("postfixTemplateDiscarded", n)]],
        Fate::DiscardedByTransport => &[received, discarded, removed],
        Fate::Rejected | Fate::RelayDenied | Fate::UnknownUser => &[rejected, permanent],
        Fate::RejectedTemporarily => &[rejected, temporary],
        Fate::HeaderRejected => &[client, rejected, permanent, &[("postfixMailCleanupRejects", n)]],
    };
    parts.iter().flat_map(|part| part.iter().copied()).collect()
}

#[test]
fn each_fate_moves_exactly_its_counters_by_exactly_the_number_sent() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    let names = flow();
    let mut truth = read(&snmpd, &names);
    for (number, fate) in Fate::ALL.into_iter().enumerate() {
        let n = 2 + number % 3;
        let suspended = postfix.log_count("delivery temporarily suspended");
        postfix.send(fate, n);
        let suspended = postfix.log_count("delivery temporarily suspended") - suspended;
        for (name, by) in expected(fate, n as i64) {
            *truth.get_mut(name).unwrap_or_else(|| panic!("{name} is not served")) += by;
        }
        *truth.get_mut("postfixMailSuspended").expect("it is served") += suspended as i64;
        settle(&snmpd, &names, &truth, &format!("{n} × {fate:?}"));
    }
    // Local submission.
    postfix.sendmail("sender@virtual.test", &["user@virtual.test"], "Subject: local\n\nx\n");
    for name in [
        "postfixMailReceivedMessages",
        "postfixMailReceivedLocal",
        "postfixMailReceivedRecipients",
        "postfixTotalReceived",
        "postfixTemplateReceived",
        "postfixMailSent",
        "postfixTotalDelivered",
        "postfixTemplateDelivered",
        "postfixMailRemoved",
    ] {
        *truth.get_mut(name).unwrap_or_else(|| panic!("{name} is not served")) += 1;
    }
    settle(&snmpd, &names, &truth, "one mail through pickup");
    // A second look a restart later: nothing lost, nothing twice.
    agent.restart();
    agent.wait_sources_ok(&snmpd, 1);
    settle(&snmpd, &names, &truth, "a restart of the agent");
}

/// Waits until the counters are the truth; says which are not.
#[track_caller]
fn settle(snmpd: &TestSnmpd, names: &BTreeMap<&'static str, String>, truth: &BTreeMap<&'static str, i64>, what: &str) {
    let mut wrong = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::time::Instant::now() < deadline {
        let now = read(snmpd, names);
        wrong = truth
            .iter()
            .filter(|(name, want)| now[*name] != **want)
            .map(|(name, want)| format!("{name}: {} instead of {want}", now[name]))
            .collect();
        if wrong.is_empty() {
            return;
        }
    }
    panic!("after {what}:\n{}", wrong.join("\n"));
}

#[test]
fn queue_counts_equal_postqueue() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Deferred, 3);
    postfix.send(Fate::DeferredSoft, 2);
    postfix.send(Fate::Held, 4);
    // Deferred by now, and no retry for minutes.
    let listed = wait_for("a queue at rest", PATIENCE, || {
        let queue = postfix.postqueue_json();
        queue.iter().all(|m| m.queue_name == "deferred" || m.queue_name == "hold").then_some(queue)
    });
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    for (kind, name) in [(1, "maildrop"), (2, "incoming"), (3, "active"), (4, "deferred"), (5, "hold")] {
        let of: Vec<_> = listed.iter().filter(|m| m.queue_name == name).collect();
        let number = |descriptor| snmpd.get(&oid(descriptor, &[1, kind])).expect("an answer").number();
        assert_eq!(number("postfixQueueMessages"), Some(of.len() as i64), "{name}");
        let recipients: usize = of.iter().map(|m| m.recipients.len()).sum();
        assert_eq!(number("postfixQueueRecipients"), Some(recipients as i64), "{name}");
    }
    let total = |descriptor| snmpd.get(&oid(descriptor, &[0])).expect("an answer").number();
    assert_eq!(total("postfixTotalMessages"), Some(9));
    assert_eq!(total("postfixTotalDeferred"), Some(5));
    assert_eq!(total("postfixTotalHold"), Some(4));
}

#[test]
fn a_killed_qmgr_shows_and_comes_back() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    let state = oid("postfixDaemonState", &[1, 2]);
    wait_for("qmgr running", PATIENCE, || (snmpd.get(&state) == Ok(Value::Integer(1))).then_some(()));
    postfix.kill_service("qmgr", Signal::KILL);
    wait_for("qmgr notRunning", PATIENCE, || (snmpd.get(&state) == Ok(Value::Integer(3))).then_some(()));
    let text = wait_for("postfixHealth critical", PATIENCE, || {
        let health = snmpd.get(&oid("postfixHealth", &[0]));
        (health == Ok(Value::Integer(3))).then(|| snmpd.get(&oid("postfixHealthText", &[0])).ok()?.text())?
    });
    assert!(text.contains("qmgr"), "{text}");
    // The next mail wakes it up.
    postfix.send(Fate::Delivered, 1);
    wait_for("qmgr running", PATIENCE, || (snmpd.get(&state) == Ok(Value::Integer(1))).then_some(()));
    wait_for("postfixHealth ok", PATIENCE, || {
        (snmpd.get(&oid("postfixHealth", &[0])) == Ok(Value::Integer(1))).then_some(())
    });
}

#[test]
fn a_stopped_postfix_reads_stopped_and_showq_has_nothing_to_say() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Held, 2);
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.set_config(&agent.config().replace("interval: 30s", "interval: 500ms"));
    agent.start();
    agent.wait_sources_ok(&snmpd, 1);
    let held = oid("postfixQueueMessages", &[1, 5]);
    wait_for("2 held", PATIENCE, || (snmpd.get(&held).ok()?.number() == Some(2)).then_some(()));

    postfix.stop();
    let state = oid("postfixInstanceState", &[1]);
    wait_for("stopped", PATIENCE, || (snmpd.get(&state) == Ok(Value::Integer(2))).then_some(()));
    wait_for("the queue's objects gone", PATIENCE, || (snmpd.get(&held) == Ok(Value::NoSuchInstance)).then_some(()));
    assert_eq!(snmpd.get(&oid("postfixTotalMessages", &[0])), Ok(Value::NoSuchInstance), "never a partial sum");
    assert_eq!(snmpd.get(&oid("postfixSourceStatus", &[1, 2])), Ok(Value::Integer(3)), "failing");
    let remedy = snmpd.get(&oid("postfixSourceError", &[1, 2])).ok().and_then(|v| v.text()).unwrap_or_default();
    assert!(remedy.contains("start"), "{remedy}");
    assert_eq!(snmpd.get(&oid("postfixHealth", &[0])), Ok(Value::Integer(3)), "critical");
    assert_eq!(snmpd.get(&oid("postfixInstancesDown", &[0])).ok().and_then(|v| v.number()), Some(1));
}

#[test]
fn the_spool_source_counts_while_postfix_is_stopped() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    postfix.send(Fate::Held, 3);
    postfix.stop();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.reads_everything();
    agent.start();
    let held = oid("postfixQueueMessages", &[1, 5]);
    wait_for("3 held", PATIENCE, || (snmpd.get(&held).ok()?.number() == Some(3)).then_some(()));
    let state = oid("postfixInstanceState", &[1]);
    wait_for("stopped", PATIENCE, || (snmpd.get(&state) == Ok(Value::Integer(2))).then_some(()));
    let method = snmpd.get(&oid("postfixSourceMethod", &[1, 2])).ok().and_then(|v| v.text());
    assert_eq!(method.as_deref(), Some("spool"));
}

#[test]
fn an_unreadable_log_is_failing_and_not_zero() {
    let snmpd = TestSnmpd::start();
    let postfix = TestPostfix::builder().start();
    fs::set_permissions(postfix.log_file(), fs::Permissions::from_mode(0o600)).expect("chmod");
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    let status = oid("postfixSourceStatus", &[1, 3]);
    wait_for("status failing", PATIENCE, || (snmpd.get(&status) == Ok(Value::Integer(3))).then_some(()));
    let remedy = snmpd.get(&oid("postfixSourceError", &[1, 3])).ok().and_then(|v| v.text()).unwrap_or_default();
    assert!(remedy.contains(&postfix.log_file().display().to_string()), "{remedy}");
    for (name, oid) in flow() {
        assert_eq!(snmpd.get(&oid), Ok(Value::NoSuchInstance), "{name}");
    }
    wait_for("postfixHealth warning", PATIENCE, || {
        (snmpd.get(&oid("postfixHealth", &[0])) == Ok(Value::Integer(2))).then_some(())
    });
    let text = snmpd.get(&oid("postfixHealthText", &[0])).ok().and_then(|v| v.text()).unwrap_or_default();
    assert!(text.contains("log"), "{text}");
    // It mends itself when the rights come back.
    fs::set_permissions(postfix.log_file(), fs::Permissions::from_mode(0o644)).expect("chmod");
    agent.wait_sources_ok(&snmpd, 1);
    assert_eq!(snmpd.get(&oid("postfixMailSent", &[1])), Ok(Value::Counter32(0)));
}
