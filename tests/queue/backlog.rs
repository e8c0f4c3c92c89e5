//! Why mail waits and who sent it, as `postqueue -j`, `qshape -s` and the files themselves say; and the queue that stands
//! still.

use super::{Silent, Watch, find, now, qshape_by};
use crate::common::{self, Fate, QueuedMessage, TestAgent, TestPostfix, TestSnmpd, Value as TestValue, oid, wait_for};
use postfix_agentx::{
    config::QueueSource,
    postfix::{defer_reason::DeferReason, reason::Cause, reason_text},
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

const BACKLOG: [&str; 3] = ["incoming", "active", "deferred"];

/// A row of postfixDomainTable.
#[derive(Debug, PartialEq)]
struct Why {
    reason: Option<u32>,
    text: Option<String>,
    retry: Option<u32>,
}

impl Watch {
    fn optional_text(&self, below: &[u32]) -> Option<String> {
        self.value(below).map(|_| self.text(below))
    }

    /// postfixDomainTable by name: why each waits.
    fn why(&self, instance: u32) -> BTreeMap<String, Why> {
        let column = |column, index| [1, 4, 3, 1, column, instance, index];
        let indices = (1..200).filter(|index| self.value(&column(2, *index)).is_some());
        let row = |index| Why {
            reason: self.gauge(&column(6, index)),
            text: self.optional_text(&column(7, index)),
            retry: self.gauge(&column(8, index)),
        };
        indices.map(|index| (own_name(&self.text(&column(2, index))), row(index))).collect()
    }

    /// postfixQueueSenderTable by name: messages, recipients, age of the oldest.
    fn senders(&self, instance: u32) -> BTreeMap<String, [u32; 3]> {
        let column = |column, index| [1, 4, 5, 1, column, instance, index];
        let indices = (1..200).filter(|index| self.value(&column(2, *index)).is_some());
        let row = |index| [3, 4, 5].map(|number| self.gauge(&column(number, index)).unwrap());
        indices.map(|index| (own_name(&self.text(&column(2, index))), row(index))).collect()
    }

    /// What the tables say of senders and reasons is what Postfix lists.
    #[track_caller]
    pub(super) fn backlog_agrees(&self, instance: u32, postfix: &TestPostfix, listed: &[QueuedMessage]) {
        let backlog = || listed.iter().filter(|m| BACKLOG.contains(&m.queue_name.as_str()));
        let mut senders: BTreeMap<String, [u32; 3]> = BTreeMap::new();
        for message in backlog() {
            let sender = message.sender.rsplit('@').next().unwrap().to_ascii_lowercase();
            let sender = if message.sender == "MAILER-DAEMON" { "<>".to_owned() } else { sender };
            let row = senders.entry(sender).or_default();
            row[0] += 1;
            row[1] += message.recipients.len() as u32;
            row[2] = row[2].max((now() - message.arrival_time) as u32);
        }
        let mut seen = self.senders(instance);
        assert_eq!(seen.remove("(other)"), Some([0; 3]), "all senders fit");
        let counts = |rows: &BTreeMap<String, [u32; 3]>| -> Vec<(String, u32, u32)> {
            rows.iter().map(|(name, [messages, recipients, _])| (name.clone(), *messages, *recipients)).collect()
        };
        assert_eq!(counts(&seen), counts(&senders), "by sender");
        for (name, [.., age]) in &seen {
            assert!(age.abs_diff(senders[name][2]) <= 2, "{name}: {age} s, and {} s", senders[name][2]);
        }
        // The other judge leaves out what is forced to expire.
        if backlog().all(|m| !m.forced_expire && !m.recipients.is_empty()) {
            let (_, _, shape) = qshape_by(postfix, &["-s"], &BACKLOG);
            let name = |name: &str| if name == "<>" { "mailer-daemon".to_owned() } else { name.to_owned() };
            let seen: BTreeMap<String, u32> = seen.iter().map(|(n, [messages, ..])| (name(n), *messages)).collect();
            assert_eq!(seen, shape, "qshape -s");
        }

        let mut reasons: BTreeMap<String, BTreeMap<(DeferReason, String), u32>> = BTreeMap::new();
        for recipient in backlog().filter(|m| m.queue_name == "deferred").flat_map(|m| &m.recipients) {
            let Some(reason) = &recipient.delay_reason else { continue };
            let domain = recipient.address.rsplit('@').next().unwrap().to_ascii_lowercase();
            let class = Cause::of(None, reason.as_bytes(), recipient.address.as_bytes()).into();
            let reason = (class, reason_text::plain(reason.as_bytes()));
            *reasons.entry(domain).or_default().entry(reason).or_default() += 1;
        }
        for (domain, why) in self.why(instance) {
            let Some(counts) = reasons.get(&domain) else {
                assert_eq!((why.reason, why.text), (None, None), "{domain}: nobody waits with a reason");
                continue;
            };
            let sum = |class| counts.iter().filter(|((c, _), _)| *c == class).map(|(_, n)| *n).sum::<u32>();
            let class = DeferReason::ALL[why.reason.expect("a reason") as usize - 1];
            let most = DeferReason::ALL.into_iter().map(sum).max().unwrap();
            assert_eq!(sum(class), most, "{domain}: {class:?} of {counts:?}");
            let text = why.text.unwrap_or_default();
            let texts = || counts.iter().filter(|((c, _), _)| *c == class).map(|((_, text), n)| (text, *n));
            let most = texts().map(|(_, n)| n).max();
            assert!(texts().any(|(t, n)| *t == text && Some(n) == most), "{domain}: {text:?} of {counts:?}");
        }
    }
}

/// Without the instance's.
fn own_name(name: &str) -> String {
    name.split_once(' ').expect("the instance's name").1.to_owned()
}

#[test]
fn why_each_domain_waits_and_who_sent_it() {
    let silent = Silent::listen();
    let postfix = TestPostfix::builder()
        .main(&silent.transport())
        .main("minimal_backoff_time = 1000s")
        .main("maximal_backoff_time = 1000s")
        .start();
    postfix.send(Fate::Deferred, 3);
    postfix.send(Fate::DeferredSoft, 2);
    let mut smtp = postfix.smtp();
    // One message for two domains, of which one has another reason; backscatter; a sender in capitals.
    for (sender, recipients) in [
        ("news@Big.test", &["a@deferred.test", "b@deferred.test", "c@soft.test"][..]),
        ("", &["d@soft.test"][..]),
        ("other@big.TEST", &["e@deferred.test"][..]),
    ] {
        assert_eq!(smtp.mail(sender, recipients, "").code, 250);
    }
    smtp.quit();
    // In active, for which no attempt has ended.
    postfix.sendmail("stuck@big.test", &["f@silent.test"], "Subject: stuck\n\nx\n");
    wait_for("mail at rest", common::PATIENCE, || {
        let listed = postfix.postqueue_json();
        let count = |queue: &str| listed.iter().filter(|m| m.queue_name == queue).count();
        (count("deferred") == 8 && count("active") == 1).then_some(())
    });
    for source in [QueueSource::Spool, QueueSource::Showq] {
        let watch = Watch::new(&[&postfix], source);
        watch.agrees(1, &postfix);
        let why = watch.why(1);
        let of = |domain: &str| (why[domain].reason, why[domain].text.as_deref());
        assert_eq!(of("deferred.test"), (Some(1), Some("connect to: Connection refused")), "{source:?}");
        let soft = of("soft.test");
        assert!(soft.0.is_some() && soft.1.is_some_and(|t| t.starts_with("host said: ")), "{source:?}: {soft:?}");
        assert!(soft.1.is_some_and(|text| !text.contains(|c: char| c.is_numeric() || c == '@')), "{soft:?}");
        assert_eq!(of("silent.test"), (None, None), "no attempt has ended");
        let senders = watch.senders(1);
        let counts = |name: &str| [senders[name][0], senders[name][1]];
        assert_eq!([counts("big.test"), counts("<>"), counts("virtual.test")], [[3, 5], [1, 1], [5, 5]]);

        // When the first of them is tried again: the time of its file.
        let spool = source == QueueSource::Spool;
        for (domain, why) in &why {
            let waits = |m: &&QueuedMessage| {
                m.queue_name == "deferred" && m.recipients.iter().any(|r| r.address.ends_with(&format!("@{domain}")))
            };
            let listed = postfix.postqueue_json();
            let files =
                listed.iter().filter(waits).map(|m| find(&postfix.queue_directory().join("deferred"), &m.queue_id));
            let first = files.map(|file| fs::metadata(file).unwrap().mtime() - now()).min();
            assert_eq!(why.retry.is_some(), spool && first.is_some(), "{domain}, {source:?}");
            if let (Some(retry), Some(first)) = (why.retry, first) {
                assert!((i64::from(retry) - first).abs() <= 2 && first > 800, "{domain}: {retry} s, and {first} s");
            }
        }
    }
    // One that is due is due, and no negative number.
    let id = postfix.postqueue_json().into_iter().find(|m| m.queue_name == "deferred").unwrap().queue_id;
    let past = SystemTime::now() - Duration::from_secs(3_600);
    let path = find(&postfix.queue_directory().join("deferred"), &id);
    fs::File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    let watch = Watch::new(&[&postfix], QueueSource::Spool);
    assert!(watch.why(1).values().any(|why| why.retry == Some(0)), "{:?}", watch.why(1));
}

/// Through snmpd: all new objects by their names, none that names anybody with `privacy: true`, and the condition.
#[test]
fn a_queue_that_stands_still_is_told_until_it_moves() {
    let snmpd = TestSnmpd::start();
    let silent = Silent::listen();
    let postfix = TestPostfix::builder().main(&silent.transport()).start();
    let mut agent = TestAgent::new(&snmpd, &[&postfix]);
    agent.reads_everything();
    let config = agent.config().replace("interval: 30s", "interval: 1s");
    agent.set_config(&format!("{config}health: {{ queue_stands_still: 3s }}\n"));
    agent.start();
    postfix.send(Fate::Deferred, 2);
    agent.wait_healthy(&snmpd, 1);
    postfix.sendmail("stuck@big.test", &["f@silent.test"], "Subject: stuck\n\nx\n");
    let mut client = snmpd.udp();
    let text = oid("postfixHealthText", &[0]);
    let mut wait_for_text = |wanted: &str| {
        wait_for(wanted, common::PATIENCE, || match client.get_one(&text).ok()? {
            TestValue::OctetString(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                text.contains(wanted).then_some(text)
            }
            _ => None,
        })
    };
    let told = wait_for_text("the queue stands still: 1 messages are active");
    assert!(told.starts_with("postfix: "), "{told}");
    assert_eq!(snmpd.get(&oid("postfixHealth", &[0])).unwrap().number(), Some(2), "a warning");

    // The first name each table met has the index 2.
    let value = |name: &str, index: &[u32]| snmpd.get(&oid(name, index)).unwrap();
    assert_eq!(value("postfixQueueSenderName", &[1, 2]).text().as_deref(), Some("postfix virtual.test"));
    assert_eq!(value("postfixQueueSenderMessages", &[1, 2]).number(), Some(2));
    assert_eq!(value("postfixQueueSenderRecipients", &[1, 2]).number(), Some(2));
    assert!(value("postfixQueueSenderOldestAge", &[1, 2]).number().is_some_and(|age| age < 600));
    assert_eq!(value("postfixDomainReason", &[1, 2]).number(), Some(1));
    assert_eq!(value("postfixDomainReasonText", &[1, 2]).text().as_deref(), Some("connect to: Connection refused"));
    assert!(value("postfixDomainNextRetry", &[1, 2]).number().is_some_and(|retry| retry <= 4_000));
    assert_eq!(value("postfixQueueLargestKiB", &[1, 4]).number(), Some(1));
    assert!(value("postfixQueueAverageAge", &[1, 4]).number().is_some_and(|age| age < 600));
    agent.set_config(&format!("{config}privacy: true\nhealth: {{ queue_stands_still: never }}\n"));
    agent.signal(Signal::HUP);
    wait_for("names to go", common::PATIENCE, || value("postfixQueueSenderName", &[1, 2]).is_exception().then_some(()));
    assert!(
        value("postfixDomainReasonText", &[1, 2]).is_exception() && value("postfixDomainName", &[1, 2]).is_exception()
    );
    assert_eq!(value("postfixQueueSenderName", &[1, 1]).text().as_deref(), Some("postfix (other)"));
    assert_eq!(value("postfixDomainReason", &[1, 2]).number(), Some(1), "a class names nobody");
    // Nobody wants to know.
    wait_for_text("ok");

    agent.set_config(&format!("{config}health: {{ queue_stands_still: 3s }}\n"));
    agent.signal(Signal::HUP);
    wait_for_text("the queue stands still");
    // The next hop hangs up, and smtp defers.
    drop(silent);
    wait_for_text("ok");
}
