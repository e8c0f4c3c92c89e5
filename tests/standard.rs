//! The promise: NETWORK-SERVICES-MIB and MTA-MIB say of Postfix what it did, through an snmpd as Debian starts it, with its
//! module for sendmail, and nothing of that module is seen.

use crate::common::{Fate, PATIENCE, TestAgent, TestPostfix, TestSnmpd, Value, oid, wait_for};
use std::{collections::BTreeMap, time::Instant};

const APPL: &str = "1.3.6.1.2.1.27";
const MTA: &str = "1.3.6.1.2.1.28";
/// mtaGroupIndex of reception and delivery.
const RECEPTION: u32 = 101;
const DELIVERY: u32 = 102;

fn number(snmpd: &TestSnmpd, oid: &str) -> Option<i64> {
    snmpd.get(oid).ok().and_then(|value| value.number())
}

fn text(snmpd: &TestSnmpd, oid: &str) -> Option<String> {
    snmpd.get(oid).ok().and_then(|value| value.text())
}

/// What a walk of `root` shows.
fn names(snmpd: &TestSnmpd, root: &str) -> Vec<String> {
    snmpd.walk(root).expect("a walk").into_iter().map(|(name, _)| name).collect()
}

/// The rows of mtaGroupTable that Debian's snmpd has for a sendmail that is not there: 1 to 26.
fn sendmails(names: &[String]) -> Vec<&String> {
    let of_groups = |name: &&String| name.starts_with(&format!("{MTA}.2.1."));
    let group = |name: &&String| (6..100).contains(&name.rsplit('.').next().unwrap().parse::<u32>().unwrap());
    names.iter().filter(of_groups).filter(group).collect()
}

/// mtaGroupIndex by mtaGroupName.
fn groups(snmpd: &TestSnmpd) -> BTreeMap<String, u32> {
    let rows = snmpd.walk(&oid("mtaGroupName", &[1])).expect("a walk");
    rows.into_iter().map(|(name, v)| (v.text().unwrap(), name.rsplit('.').next().unwrap().parse().unwrap())).collect()
}

#[test]
fn every_column_says_what_postfix_did() {
    let snmpd = TestSnmpd::start();
    assert!(!sendmails(&names(&snmpd, MTA)).is_empty(), "snmpd has its module, or this test proves nothing");
    let postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    agent.wait_ready(&snmpd, &oid("mtaReceivedMessages", &[1]));
    for fate in Fate::ALL {
        postfix.send(fate, 1);
    }
    let is = |object: &str, index: &[u32], expected: i64| {
        wait_for(&format!("{object}{index:?} = {expected}"), PATIENCE, || {
            (number(&snmpd, &oid(object, index)) == Some(expected)).then_some(())
        });
    };
    // Accepted into the queue: all but what was refused (5), held (1) and discarded by cleanup (1).
    let received = 10;
    // virtual, local, the forwarded copy, two relays, and the notice of the bounce.
    let sent = 6;
    is("mtaReceivedMessages", &[1], received);
    is("mtaReceivedRecipients", &[1], received);
    is("mtaTransmittedRecipients", &[1], sent);
    is("mtaLoopsDetected", &[1], 0);
    // Two are deferred, one is held.
    is("mtaStoredMessages", &[1], 3);
    is("mtaStoredRecipients", &[1], 3);
    for (volume, octets) in
        [("mtaReceivedVolume", "postfixMailReceivedOctets"), ("mtaTransmittedVolume", "postfixMailSentOctets")]
    {
        let octets = number(&snmpd, &oid(octets, &[1])).expect("octets");
        is(volume, &[1], octets / 1024);
    }
    let stored: i64 = postfix.postqueue_json().iter().map(|message| i64::try_from(message.message_size).unwrap()).sum();
    let volume = number(&snmpd, &oid("mtaStoredVolume", &[1])).expect("read");
    assert!((stored / 1024..=stored / 1024 + 3).contains(&volume), "{volume} KiB of {stored} octets");

    // The application.
    assert_eq!(text(&snmpd, &oid("applName", &[1])).as_deref(), Some("postfix"));
    assert_eq!(text(&snmpd, &oid("applDirectoryName", &[1])).as_deref(), Some(""));
    let version = postfix.postconf(&["-h", "mail_version"]);
    assert_eq!(text(&snmpd, &oid("applVersion", &[1])).as_deref(), Some(version.trim()));
    let description = text(&snmpd, &oid("applDescription", &[1])).expect("read");
    assert_eq!(
        description,
        format!("Postfix {} on {}", version.trim(), postfix.postconf(&["-h", "myhostname"]).trim())
    );
    is("applOperStatus", &[1], 1);
    let sessions = i64::try_from(Fate::ALL.len()).unwrap();
    is("applAccumulatedInboundAssociations", &[1], sessions);
    is("applInboundAssociations", &[1], 0);
    let open = postfix.smtp();
    is("applInboundAssociations", &[1], 1);
    is("mtaGroupInboundAssociations", &[1, RECEPTION], 1);
    drop(open);
    is("applInboundAssociations", &[1], 0);
    let failed = i64::try_from(postfix.log_count(": connect to ")).unwrap();
    assert!(failed > 0, "a server that does not answer");
    is("applFailedOutboundAssociations", &[1], failed);

    // The groups.
    is("mtaGroupReceivedMessages", &[1, RECEPTION], received);
    is("mtaGroupReceivedRecipients", &[1, RECEPTION], received);
    is("mtaGroupAccumulatedInboundAssociations", &[1, RECEPTION], sessions + 1);
    is("mtaGroupTransmittedRecipients", &[1, DELIVERY], sent);
    is("mtaGroupFailedOutboundAssociations", &[1, DELIVERY], failed);
    is("mtaGroupStoredMessages", &[1, 4], 2);
    is("mtaGroupStoredMessages", &[1, 5], 1);
    for quiet in [1, 2, 3] {
        is("mtaGroupStoredMessages", &[1, quiet], 0);
        is("mtaGroupOldestMessageStored", &[1, quiet], 0);
    }
    // Times since, in hundredths of a second: all of it was within this test.
    let since = |object, index: &[u32]| {
        let hundredths = number(&snmpd, &oid(object, index)).unwrap_or_else(|| panic!("{object}{index:?}"));
        assert!((0..30_000).contains(&hundredths), "{object}: {hundredths}");
        hundredths
    };
    assert!(since("mtaGroupOldestMessageStored", &[1, 5]) > 0);
    since("mtaGroupLastInboundActivity", &[1, RECEPTION]);
    assert!(since("mtaGroupLastOutboundAssociationAttempt", &[1, DELIVERY]) > 0);
    let known = groups(&snmpd);
    let group = |name: &str| known.get(name).copied().unwrap_or_else(|| panic!("{name} is not in {known:?}"));
    for (service, delivered) in
        [("postfix virtual", 3), ("postfix local", 2), ("postfix smtp", 1), ("postfix relay/smtp", 1)]
    {
        is("mtaGroupTransmittedRecipients", &[1, group(service)], delivered);
        is("mtaGroupHierarchy", &[1, group(service)], -3);
    }
    is("mtaGroupFailedOutboundAssociations", &[1, group("postfix smtp")], failed);
    assert_eq!(number(&snmpd, &oid("mtaGroupFailedOutboundAssociations", &[1, group("postfix virtual")])), None);
    let smtp = Some(Value::Oid(format!("{APPL}.4.25")));
    assert_eq!(snmpd.get(&oid("mtaGroupMailProtocol", &[1, group("postfix smtp")])).ok(), smtp);
    let smtpd = group("postfix smtpd");
    assert_eq!(snmpd.get(&oid("mtaGroupMailProtocol", &[1, smtpd])).ok(), smtp);
    is("mtaGroupHierarchy", &[1, smtpd], RECEPTION.into());
    is("mtaGroupHierarchy", &[1, RECEPTION], -2);
    is("mtaGroupHierarchy", &[1, group("postfix delivery")], -2);
    is("mtaGroupHierarchy", &[1, group("postfix deferred")], -1);
    is("mtaGroupAccumulatedInboundAssociations", &[1, smtpd], sessions + 1);

    // A process of Postfix is the row of HOST-RESOURCES-MIB that its number says: hrSWRunName.
    let qmgr = postfix.service_pids("qmgr")[0];
    let rows = snmpd.walk(&oid("postfixDaemonPid", &[1])).expect("a walk");
    assert!(rows.iter().any(|(_, pid)| pid.number() == Some(qmgr.into())), "{qmgr} in {rows:?}");
    assert_eq!(text(&snmpd, &format!("1.3.6.1.2.1.25.4.2.1.2.{qmgr}")).as_deref(), Some("qmgr"));

    // What went wrong: deliveries by their code, refusals by the class of their reply.
    is("mtaGroupOutboundErrorCount", &[1, DELIVERY, 5_001_001], 2);
    is("mtaGroupOutboundErrorCount", &[1, DELIVERY, 4_004_001], 1);
    is("mtaGroupInboundErrorCount", &[1, RECEPTION, 4_000_000], 1);
    is("mtaGroupInboundErrorCount", &[1, RECEPTION, 5_000_000], 4);
    is("mtaGroupInboundErrorCount", &[1, smtpd, 4_000_000], 1);
    is("mtaGroupInboundErrorCount", &[1, smtpd, 5_000_000], 3);

    // As a manager with the RFCs' modules sees it, and no sendmail in it.
    let shown = snmpd.named("snmpwalk", &["-OQs"], &["NETWORK-SERVICES-MIB::application"]).success();
    assert!(shown.contains("applOperStatus.1 = up\n"), "{shown}");
    let shown = snmpd.named("snmpwalk", &["-OQs"], &["MTA-MIB::mta"]).success();
    assert!(shown.contains(&format!("mtaReceivedMessages.1 = {received}\n")), "{shown}");
    assert!(!shown.contains("Wrong Type"), "{shown}");
    let walked = names(&snmpd, MTA);
    assert_eq!(shown.lines().count(), walked.len());
    assert_eq!(sendmails(&walked), Vec::<&String>::new());
    let getnext: Vec<_> = snmpd.walk_getnext(MTA).expect("GETNEXT").into_iter().map(|(name, _)| name).collect();
    assert_eq!(walked, getnext);
    // Columns of the sendmail module that have no row here are empty by themselves as well.
    for column in [3, 5] {
        assert_eq!(names(&snmpd, &format!("{MTA}.2.1.{column}")), Vec::<String>::new());
    }

    // Beside an snmpd without that module it is the same.
    let plain = TestSnmpd::builder().modules("-smux,mteTrigger,mteTriggerConf,mta_sendmail").start();
    assert_eq!(names(&plain, MTA), Vec::<String>::new());
    agent.stop();
    assert!(!sendmails(&names(&snmpd, MTA)).is_empty(), "without us snmpd is as it was");
    agent.set_config(
        &agent.config().replace(&snmpd.socket().display().to_string(), &plain.socket().display().to_string()),
    );
    agent.start();
    agent.wait_sources_ok(&plain, 1);
    agent.wait_ready(&plain, &oid("mtaReceivedMessages", &[1]));
    wait_for("the same objects", PATIENCE, || (names(&plain, MTA) == walked).then_some(()));
}

/// What a manager polls.
struct Poller<'a> {
    snmpd: &'a TestSnmpd,
    last: BTreeMap<&'static str, i64>,
}

impl Poller<'_> {
    const COUNTERS: [&'static str; 4] =
        ["mtaReceivedMessages", "mtaTransmittedRecipients", "applAccumulatedInboundAssociations", "mtaReceivedVolume"];

    /// One poll: no counter is behind the one before.
    fn poll(&mut self) {
        for counter in Self::COUNTERS {
            if let Some(now) = number(self.snmpd, &oid(counter, &[1])) {
                let before = self.last.insert(counter, now).unwrap_or(0);
                assert!(now >= before, "{counter} went back from {before} to {now}");
            }
        }
    }

    /// Polls until this is so.
    fn until<T>(&mut self, what: &str, is: impl Fn(&TestSnmpd) -> Option<T>) -> T {
        wait_for(what, PATIENCE, || {
            self.poll();
            is(self.snmpd)
        })
    }
}

/// sysUpTime and a TimeStamp, of one response.
fn stamp(snmpd: &TestSnmpd, object: &str) -> Option<(i64, i64)> {
    let values = snmpd.get_many(&["1.3.6.1.2.1.1.3.0", &oid(object, &[1])]).ok()?;
    Some((values[0].1.number()?, values[1].1.number()?))
}

#[test]
fn counters_never_go_back_and_time_stamps_follow_snmpd() {
    let mut snmpd = TestSnmpd::start();
    let mut postfix = TestPostfix::builder().start();
    let mut agent = TestAgent::start_for(&snmpd, &[&postfix]);
    agent.wait_sources_ok(&snmpd, 1);
    postfix.send(Fate::Delivered, 3);
    // Within a second of what POSTFIX-MIB says, which it says in whole seconds.
    let started = |snmpd: &TestSnmpd| {
        let (now, began) = stamp(snmpd, "applUptime")?;
        let uptime = number(snmpd, &oid("postfixInstanceUptime", &[1]))? * 100;
        (began > 0 && (now - began - uptime).abs() < 250).then_some(began)
    };
    let mut poller = Poller { snmpd: &snmpd, last: BTreeMap::new() };
    let began = poller.until("applUptime after sysUpTime began", started);
    assert_eq!(stamp(&snmpd, "applLastChange").map(|(_, at)| at), Some(began), "up since it began");
    let last =
        |snmpd: &TestSnmpd| stamp(snmpd, "applLastInboundActivity").filter(|(now, at)| (began..=*now).contains(at));
    poller.until("the last mail that came", last);
    // It does not wander.
    let watched = Instant::now();
    while watched.elapsed().as_secs() < 3 {
        assert_eq!(stamp(&snmpd, "applUptime").map(|(_, at)| at), Some(began));
        poller.poll();
    }
    // The agent comes back: the same, but for what two readings of the clock may differ.
    agent.restart();
    let again = poller.until("applUptime from the next agent", |snmpd| stamp(snmpd, "applUptime").map(|(_, at)| at));
    assert!((again - began).abs() <= 10, "{began} and {again}");
    agent.wait_sources_ok(&snmpd, 1);
    postfix.send(Fate::Delivered, 1);
    poller.until("the next mail", |snmpd| (number(snmpd, &oid("mtaReceivedMessages", &[1])) == Some(4)).then_some(()));
    let before = poller.last;

    // snmpd comes back: what was before it began is 0, at once and not only after a while.
    snmpd.restart();
    let mut poller = Poller { snmpd: &snmpd, last: before };
    let first = poller.until("applUptime by the new snmpd", |snmpd| stamp(snmpd, "applUptime").map(|(_, at)| at));
    assert_eq!(first, 0);
    assert_eq!(stamp(&snmpd, "applLastChange").map(|(_, at)| at), Some(0));
    // Mail comes: that is after it, by more than the second that the log's time may be off.
    poller.until("three seconds of sysUpTime", |snmpd| stamp(snmpd, "applUptime").filter(|(now, _)| *now > 300));
    postfix.send(Fate::Delivered, 1);
    poller.until("activity", |snmpd| stamp(snmpd, "applLastInboundActivity").filter(|(now, at)| *at > 0 && at <= now));

    // Postfix stops and starts.
    let (asked, _) = stamp(&snmpd, "applUptime").expect("read");
    postfix.stop();
    poller.until("down(2)", |snmpd| (number(snmpd, &oid("applOperStatus", &[1])) == Some(2)).then_some(()));
    let (now, down) = stamp(&snmpd, "applLastChange").expect("since when");
    assert!((asked..=now).contains(&down), "{asked} {down} {now}");
    assert_eq!(stamp(&snmpd, "applUptime"), None, "it is not up");
    postfix.start();
    let began = poller.until("up again", started);
    assert!(began >= down, "{down} {began}");
    assert_eq!(number(&snmpd, &oid("applOperStatus", &[1])), Some(1));
    assert_eq!(stamp(&snmpd, "applLastChange").map(|(_, at)| at), Some(began));
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
    agent.wait_ready(&snmpd, &oid("applName", &[1]));
}
