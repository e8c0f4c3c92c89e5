//! Mail that does not exist, and what a reading of it has to say.

use super::{
    domains::{self, Backlog, NEVER, Waiting},
    snapshot::Snapshot,
};
use crate::postfix::{defer_reason::DeferReason, queue::QueueKind, reason::Cause, reason_text};
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeMap;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) queue: QueueKind,
    pub(super) sender: &'static str,
    /// Each with the reason it waits for; different addresses.
    pub(super) recipients: Vec<(String, Option<&'static str>)>,
}

const QUEUES: [QueueKind; 6] = [
    QueueKind::Incoming,
    QueueKind::Active,
    QueueKind::Deferred,
    QueueKind::Deferred,
    QueueKind::Deferred,
    QueueKind::Hold,
];
const SENDERS: [&str; 7] = ["", "a@one.test", "b@ONE.test", "c@two.test", "d@three.test", "root", "x@<>"];
const DOMAINS: [&str; 5] = ["one.test", "Two.test", "two.test", "three.test", "four.test"];
const REASONS: [Option<&str>; 6] = [
    None,
    Some("connect to mx.test[192.0.2.1]:25: Connection refused"),
    Some("connect to mx.test[192.0.2.77]:25: Connection refused"),
    Some("delivery temporarily suspended: connect to other.test[192.0.2.1]:25: Connection refused"),
    Some("host mx.test[192.0.2.1] said: 452 4.2.2 <a@b>: over quota"),
    Some("host mx.test[192.0.2.1] said: 450 4.2.0 <a@b>: Greylisted for 300 seconds"),
];

/// When the message of that number is due: hours from now.
pub(super) fn due(number: usize) -> i64 {
    i64::from(u32::MAX / 2) + 3_600 * number as i64
}

/// Some messages.
pub(super) fn mails() -> impl Strategy<Value = Vec<Mail>> {
    // Sometimes more recipients than are counted in the entry itself, and sometimes all alike.
    let many = prop_oneof![9 => 0..5_usize, 1 => 100..200_usize];
    let recipients = (many, vec((select(&DOMAINS[..]), select(&REASONS[..])), 1..6)).prop_map(|(count, kinds)| {
        let one = |n: usize| (format!("u{n}@{}", kinds[n % kinds.len()].0), kinds[n % kinds.len()].1);
        (0..count).map(one).collect::<Vec<_>>()
    });
    let mail = (select(&QUEUES[..]), select(&SENDERS[..]), recipients);
    vec(
        mail.prop_map(|(queue, sender, mut recipients)| {
            // What is nowhere but in deferred has no log.
            recipients.iter_mut().filter(|_| queue != QueueKind::Deferred).for_each(|(_, reason)| *reason = None);
            Mail { queue, sender, recipients }
        }),
        0..25,
    )
}

/// Whether a reading says what the mail is. `spool`: of a spool; `complete`: with its reasons.
pub(super) fn check(snapshot: &Snapshot, mails: &[Mail], spool: bool, complete: bool) {
    for kind in QueueKind::ALL {
        let Some(queue) = snapshot.queue(kind) else { continue };
        let there = || mails.iter().filter(|mail| mail.queue == kind);
        let recipients: usize = there().map(|mail| mail.recipients.len()).sum();
        assert_eq!((queue.messages, queue.recipients), (there().count() as u64, recipients as u64), "{kind:?}");
    }
    let backlog = || mails.iter().enumerate().filter(|(_, mail)| domains::is_backlog(mail.queue));
    let (mut senders, mut to) = (BTreeMap::<String, Waiting>::new(), BTreeMap::<String, Waiting>::new());
    let mut why = BTreeMap::<String, BTreeMap<(DeferReason, String), u64>>::new();
    for (number, mail) in backlog() {
        let next = if spool && mail.queue == QueueKind::Deferred { due(number) as u32 } else { NEVER };
        let mut by_domain = BTreeMap::<String, u32>::new();
        for (address, reason) in &mail.recipients {
            let domain = String::from_utf8(domains::of_address(address.as_bytes()).into_owned()).unwrap();
            *by_domain.entry(domain.clone()).or_default() += 1;
            if let Some(reason) = reason {
                let text = reason_text::plain(reason.as_bytes());
                let class = Cause::of(None, reason.as_bytes(), address.as_bytes()).into();
                *why.entry(domain).or_default().entry((class, text)).or_default() += 1;
            }
        }
        let sender = String::from_utf8(domains::of_sender(mail.sender.as_bytes()).into_owned()).unwrap();
        senders.entry(sender).or_default().add(mail.recipients.len() as u32, 0, NEVER);
        by_domain.iter().for_each(|(domain, count)| to.entry(domain.clone()).or_default().add(*count, 0, next));
    }
    rows("senders", &snapshot.senders, &senders, |waiting| (waiting.messages, waiting.recipients));
    rows("domains", &snapshot.backlog, &to, |waiting| (waiting.recipients, waiting.messages));
    for (name, waiting) in &snapshot.backlog.top {
        assert_eq!(waiting.next, to[std::str::from_utf8(name).unwrap()].next, "when {name:?} is tried");
    }
    let messages = |waiting: &mut dyn Iterator<Item = &Waiting>| waiting.map(|w| u64::from(w.messages)).sum::<u64>();
    let all = messages(&mut snapshot.senders.top.iter().map(|(_, w)| w).chain([&snapshot.senders.other]));
    let queues = QueueKind::ALL.into_iter().filter(|kind| domains::is_backlog(*kind));
    let in_queues: u64 = queues.filter_map(|kind| snapshot.queue(kind)).map(|queue| queue.messages).sum();
    assert_eq!(all, in_queues, "all senders together");
    assert_eq!(snapshot.why.is_some() && snapshot.reasons.is_some(), complete);
    let Some(seen) = &snapshot.why else { return };
    let mut others = BTreeMap::new();
    let is_top = |domain: &str| snapshot.backlog.top.iter().any(|(name, _)| &**name == domain.as_bytes());
    for (_, counts) in why.iter().filter(|(domain, _)| !is_top(domain)) {
        counts.iter().for_each(|(reason, count)| *others.entry(reason.clone()).or_default() += count);
    }
    let nothing = BTreeMap::new();
    let names = snapshot.backlog.top.iter().map(|(name, _)| std::str::from_utf8(name).unwrap());
    let expected = names.map(|name| why.get(name).unwrap_or(&nothing)).chain([&others]);
    assert_eq!(seen.len(), snapshot.backlog.top.len() + 1);
    for (reasons, counts) in seen.iter().zip(expected) {
        let shown = reasons.first().map(|(class, text)| (class, text.map_or(String::new(), |text| text.to_string())));
        assert_eq!(shown, first(counts), "{counts:?}");
    }
    let by_class = |class: DeferReason| why.values().flatten().filter(|((c, _), _)| *c == class).map(|(_, n)| n).sum();
    assert_eq!(snapshot.reasons, Some(DeferReason::ALL.map(by_class)));
}

/// What most wait for, and the text most of them have.
fn first(counts: &BTreeMap<(DeferReason, String), u64>) -> Option<(DeferReason, String)> {
    let sum = |class| counts.iter().filter(|((c, _), _)| *c == class).map(|(_, count)| *count).sum::<u64>();
    let class = DeferReason::ALL.into_iter().filter(|class| sum(*class) > 0).rev().max_by_key(|class| sum(*class))?;
    let texts = counts.iter().filter(|((c, _), _)| *c == class);
    let (text, _) = texts.map(|((_, text), count)| (text, *count)).rev().max_by_key(|(_, count)| *count)?;
    Some((class, text.clone()))
}

fn rows(what: &str, seen: &Backlog, expected: &BTreeMap<String, Waiting>, size: fn(&Waiting) -> (u32, u32)) {
    let mut other = Waiting::default();
    let smallest = seen.top.iter().map(|(_, waiting)| size(waiting).0).min().unwrap_or(0);
    for (name, waiting) in expected {
        match seen.top.iter().find(|(shown, _)| &**shown == name.as_bytes()) {
            Some((_, shown)) => assert_eq!(size(shown), size(waiting), "{what}: {name}"),
            None => {
                assert!(size(waiting).0 <= smallest, "{what}: {name} has {waiting:?}, and others a row");
                other.merge(waiting);
            }
        }
    }
    assert!(seen.top.len() == expected.len().min(2), "{what}: {seen:?}");
    assert_eq!(size(&seen.other), size(&other), "{what}: (other)");
}
