//! The queue as showq(8) lists it.

use super::{
    domains::{self, Backlog, Domain, Domains, NEVER, Waiting, Wanted},
    reasons::{self, Judged, Tally, Texts, Why},
    snapshot::{Clock, Queue, Snapshot, seconds},
};
use crate::postfix::{
    defer_log,
    defer_reason::DeferReason,
    queue::QueueKind,
    showq::{self, Format, Message, Patience, ShowqError, Visitor},
};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::{
    fs,
    hash::Hasher,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

/// Ids remembered to see a message twice. Beyond it a message that moved meanwhile may count twice.
const IDS: usize = 4 << 20;

/// Messages of maildrop and incoming remembered from one list to the next.
const PASSING: usize = 1 << 20;
/// Addresses of one message remembered to see one twice.
const ADDRESSES: usize = 1 << 20;
/// Pairs of domain and reason remembered. Of further ones no domain's reason is told.
const PAIRS: usize = 1 << 18;
/// So often is a list asked for again that mail moved through, and as long as a list takes less than that.
const TRIES: usize = 4;
const QUICK: Duration = Duration::from_millis(500);

/// Reads one instance's showq again and again.
#[derive(Default)]
pub(super) struct Listing {
    /// What was in maildrop and incoming at the last reading, and since when we saw it there: showq does not tell.
    passing: FxHashMap<u64, Instant>,
}

impl Listing {
    /// Asks the instance's showq.
    ///
    /// showq lists one queue after the other: maildrop, active, incoming, deferred, hold. What goes the other way meanwhile
    /// (`postsuper -H` and `-r`, a queue run) is in no list, and what pickup makes of mail in maildrop is in it twice, under
    /// two ids. So where mail moved that way it is asked again. Of lists that mail moved through the fullest counts.
    pub(super) fn read(
        &mut self,
        queue_directory: &Path,
        wanted: &Wanted,
        patience: Patience,
    ) -> Result<Snapshot, ShowqError> {
        let mut best: Option<(u64, Snapshot)> = None;
        let mut passing = FxHashMap::default();
        for _ in 0..TRIES {
            let begun = Instant::now();
            let before = moved(queue_directory);
            let mut count = Count::new(&self.passing);
            let format = showq::list(queue_directory, patience, &mut count)?;
            let messages = count.messages();
            count.settled = before == moved(queue_directory);
            let settled = count.settled;
            if settled || best.as_ref().is_none_or(|(most, _)| *most <= messages) {
                passing = std::mem::take(&mut count.passing);
                best = Some((messages, count.finish(format, wanted)));
            }
            if settled || begun.elapsed() > QUICK {
                break;
            }
        }
        self.passing = passing;
        best.map(|(_, snapshot)| snapshot).ok_or(ShowqError::CutOff)
    }
}

/// What changes when mail moves against the order of the list. `None` where the directories cannot be seen.
fn moved(queue_directory: &Path) -> [Option<(i64, i64)>; 2] {
    [QueueKind::Maildrop, QueueKind::Hold].map(|kind| {
        let meta = fs::metadata(queue_directory.join(kind.name())).ok()?;
        Some((meta.mtime(), meta.mtime_nsec()))
    })
}

struct Count<'a> {
    clock: Clock,
    /// Of the last reading, and of this one.
    passed: &'a FxHashMap<u64, Instant>,
    passing: FxHashMap<u64, Instant>,
    queues: [Queue; 7],
    names: Domains,
    waiting: Vec<Waiting>,
    /// The same for senders.
    senders: Domains,
    sent: Vec<Waiting>,
    reasons: [u64; DeferReason::ALL.len()],
    texts: Texts,
    /// Recipients by domain and reason.
    why: FxHashMap<Why, u64>,
    seen: FxHashSet<u64>,
    /// Whether no mail moved against the order of the list.
    settled: bool,
    current: Option<Current>,
}

/// The message whose recipients come now.
struct Current {
    queue: QueueKind,
    arrival: i64,
    /// Since when it is old.
    since: i64,
    octets: u64,
    sender: Domain,
    recipients: u64,
    /// The addresses listed with a reason. showq lists first what the defer log has, then what the queue file has, and of
    /// the first it remembers duplicate_filter_limit only.
    waiting: FxHashSet<u64>,
    /// Recipients by domain, where the domains of this queue are of interest.
    by_domain: Vec<(domains::Domain, u32)>,
}

impl<'a> Count<'a> {
    fn new(passed: &'a FxHashMap<u64, Instant>) -> Self {
        Self {
            clock: Clock::now(),
            passed,
            passing: FxHashMap::default(),
            queues: Default::default(),
            names: Domains::default(),
            waiting: Vec::new(),
            senders: Domains::default(),
            sent: Vec::new(),
            reasons: Default::default(),
            texts: Texts::default(),
            why: FxHashMap::default(),
            seen: FxHashSet::default(),
            settled: true,
            current: None,
        }
    }

    fn messages(&self) -> u64 {
        self.queues.iter().map(|queue| queue.messages).sum::<u64>() + u64::from(self.current.is_some())
    }

    /// Books the current message.
    fn book(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        let queue = &mut self.queues[current.queue.position()];
        queue.add(&self.clock, current.arrival, current.since, current.recipients, current.octets);
        if !domains::is_backlog(current.queue) {
            return;
        }
        domains::merge(&mut current.by_domain);
        self.make_room();
        let arrival = seconds(current.arrival);
        for (domain, recipients) in current.by_domain {
            // It does not tell when the next attempt is.
            self.waiting[domain as usize].add(recipients, arrival, NEVER);
        }
        let recipients = u32::try_from(current.recipients).unwrap_or(u32::MAX);
        self.sent[current.sender as usize].add(recipients, arrival, NEVER);
    }

    /// For every number that was given.
    fn make_room(&mut self) {
        self.waiting.resize(self.names.len() + 1, Waiting::default());
        self.sent.resize(self.senders.len() + 1, Waiting::default());
    }

    fn finish(mut self, format: Format, wanted: &Wanted) -> Snapshot {
        self.book();
        self.make_room();
        let merged = format == Format::Text;
        let listed = |kind: QueueKind| match kind {
            QueueKind::Corrupt | QueueKind::Saved => false,
            QueueKind::Maildrop | QueueKind::Incoming => !merged,
            QueueKind::Active | QueueKind::Deferred | QueueKind::Hold => true,
        };
        let mut queues = self.queues.map(Some);
        for kind in QueueKind::ALL.into_iter().filter(|kind| !listed(*kind)) {
            queues[kind.position()] = None;
        }
        let backlog = Backlog::pick(&self.names, &self.waiting, &wanted.domains);
        let places = backlog.places(&self.names);
        let mut tally = Tally::default();
        for (why, recipients) in self.why {
            tally.add(places.of(reasons::domain_of(why)), reasons::text_of(why), recipients);
        }
        Snapshot {
            clock: self.clock,
            queues,
            merged,
            settled: self.settled,
            why: Some(tally.finish(places.count(), &self.texts)),
            backlog,
            senders: Backlog::pick(&self.senders, &self.sent, &wanted.senders),
            reasons: Some(self.reasons),
            group_bits: None,
            swept: None,
        }
    }
}

impl Visitor for Count<'_> {
    fn message(&mut self, message: &Message<'_>) {
        self.book();
        // A queue of a later Postfix has no place in our tables.
        let Some(queue) = message.queue else { return };
        let id = hash(message.id);
        // A message that moved while showq listed is listed twice.
        if self.seen.len() < IDS && !self.seen.insert(id) {
            return;
        }
        let arrival = message.arrival.unwrap_or(self.clock.wall);
        let mut since = arrival;
        if matches!(queue, QueueKind::Maildrop | QueueKind::Incoming) {
            let key = id ^ queue as u64;
            let seen = self.passed.get(&key).copied();
            since = seen.map_or(self.clock.wall, |seen| self.clock.wall_at(seen)).max(arrival);
            if self.passing.len() < PASSING {
                self.passing.insert(key, seen.unwrap_or_else(|| self.clock.instant(self.clock.wall)));
            }
        }
        let row = &mut self.queues[queue.position()];
        row.unreadable += u64::from(message.unreadable);
        row.forced_expire += u64::from(message.forced_expire);
        // So showq writes the empty one.
        let is_null = message.sender == b"MAILER-DAEMON";
        row.null_senders += u64::from(is_null);
        let sender = match message.unreadable || !domains::is_backlog(queue) {
            true => domains::OTHER,
            false => self.senders.number(&domains::of_sender(if is_null { b"" } else { message.sender })),
        };
        self.current = Some(Current {
            queue,
            arrival,
            since,
            octets: message.size,
            sender,
            recipients: 0,
            waiting: FxHashSet::default(),
            by_domain: Vec::new(),
        });
    }

    fn recipient(&mut self, address: &[u8], reason: &[u8]) {
        let Some(current) = &mut self.current else { return };
        if reason.is_empty() {
            if !current.waiting.is_empty() && current.waiting.contains(&hash(address)) {
                return;
            }
        } else if current.waiting.len() < ADDRESSES {
            current.waiting.insert(hash(address));
        }
        current.recipients += 1;
        if !domains::is_backlog(current.queue) {
            return;
        }
        let domain = self.names.number(&domains::of_address(address));
        match current.by_domain.last_mut() {
            Some((last, count)) if *last == domain => *count = count.saturating_add(1),
            _ => current.by_domain.push((domain, 1)),
        }
        // However long the list of recipients, what it takes is bounded by the names known.
        if current.by_domain.len() >= 1 << 18 {
            domains::merge(&mut current.by_domain);
        }
        if current.queue == QueueKind::Deferred && !reason.is_empty() {
            // It does not list the status code.
            let text = self.texts.number(&Judged::of(defer_log::Waiting { recipient: address, dsn: None, reason }));
            if let Some(class) = self.texts.class(text) {
                self.reasons[class as usize - 1] += 1;
            }
            let why = reasons::why(domain, text);
            if self.why.len() < PAIRS || self.why.contains_key(&why) {
                *self.why.entry(why).or_default() += 1;
            }
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sums_are_those_of_the_mail(mails in made_up::mails()) {
            let none = FxHashMap::default();
            let mut count = Count::new(&none);
            for (number, mail) in mails.iter().enumerate() {
                let id = format!("AB{number:04}");
                let sender = if mail.sender.is_empty() { "MAILER-DAEMON" } else { mail.sender };
                count.message(&Message {
                    queue: Some(mail.queue),
                    id: id.as_bytes(),
                    arrival: Some(1),
                    size: 1,
                    forced_expire: false,
                    sender: sender.as_bytes(),
                    unreadable: false,
                });
                // First what the defer log has, then the rest.
                for with in [true, false] {
                    for (address, reason) in mail.recipients.iter().filter(|(_, reason)| reason.is_some() == with) {
                        count.recipient(address.as_bytes(), reason.unwrap_or_default().as_bytes());
                    }
                }
            }
            made_up::check(&count.finish(Format::Attributes, &Wanted::new(2, 2)), &mails, false, true);
        }
    }

    #[test]
    fn a_message_that_moved_counts_once() {
        let passed = FxHashMap::default();
        let mut count = Count::new(&passed);
        let message = |id, queue| Message {
            queue: Some(queue),
            id,
            arrival: Some(1),
            size: 1_025,
            forced_expire: true,
            sender: b"MAILER-DAEMON",
            unreadable: false,
        };
        count.message(&message(b"AB12", QueueKind::Active));
        for address in [&b"a@x"[..], b"b@Y", b"c@x"] {
            count.recipient(address, b"");
        }
        count.message(&message(b"AB12", QueueKind::Deferred));
        count.recipient(b"a@x", b"Connection refused");
        count.message(&message(b"CD34", QueueKind::Deferred));
        count.recipient(b"a@x", b"connect to x[1]:25: Connection refused");
        let snapshot = count.finish(Format::Attributes, &Wanted::new(1, 1));
        let queue = |kind| snapshot.queue(kind).unwrap();
        let active = queue(QueueKind::Active);
        assert_eq!((active.messages, active.recipients, active.kib(), active.ages[9]), (1, 3, 2, (1, 3)));
        assert_eq!(queue(QueueKind::Deferred).messages, 1);
        assert_eq!(snapshot.queue(QueueKind::Corrupt), None);
        assert_eq!(snapshot.reasons.unwrap().iter().sum::<u64>(), 1);
        assert_eq!(snapshot.reasons.unwrap()[0], 1);
        let (name, x) = &snapshot.backlog.top[0];
        assert_eq!((&**name, x.messages, x.recipients, snapshot.backlog.other.recipients), (&b"x"[..], 2, 3, 1));
    }

    #[test]
    fn a_recipient_that_showq_lists_twice_counts_once() {
        let passed = FxHashMap::default();
        let mut count = Count::new(&passed);
        let (queue, id) = (Some(QueueKind::Deferred), &b"AB12"[..]);
        let message =
            Message { queue, id, arrival: Some(1), size: 1, forced_expire: false, sender: b"a@b", unreadable: false };
        count.message(&message);
        let addresses: Vec<String> = (0..3_000).map(|n| format!("u{n}@x")).collect();
        addresses.iter().for_each(|a| count.recipient(a.as_bytes(), b"Connection refused"));
        // Those beyond duplicate_filter_limit, and one that no attempt was made for yet.
        addresses[1_000..].iter().for_each(|a| count.recipient(a.as_bytes(), b""));
        count.recipient(b"new@x", b"");
        let snapshot = count.finish(Format::Attributes, &Wanted::new(1, 1));
        assert_eq!(snapshot.queue(QueueKind::Deferred).unwrap().recipients, 3_001);
        assert_eq!((snapshot.reasons.unwrap()[0], snapshot.backlog.top[0].1.recipients), (3_000, 3_001));
    }

    #[test]
    fn mail_that_passes_through_is_as_old_as_its_stay() {
        let wall = Clock::now().wall;
        let message = |queue| Message {
            queue: Some(queue),
            id: b"AB12",
            arrival: Some(wall - 172_800),
            size: 1,
            forced_expire: false,
            sender: b"a@b",
            unreadable: false,
        };
        let none = FxHashMap::default();
        let oldest = |passed: &FxHashMap<u64, Instant>, queue| {
            let mut count = Count::new(passed);
            count.message(&message(queue));
            let passing = count.passing.clone();
            (wall - count.finish(Format::Attributes, &Wanted::new(1, 1)).queue(queue).unwrap().oldest.unwrap(), passing)
        };
        let (age, mut passing) = oldest(&none, QueueKind::Maildrop);
        assert!(age <= 0, "first seen now: {age}");
        passing.values_mut().for_each(|since| *since = since.checked_sub(Duration::from_secs(700)).unwrap());
        assert!(oldest(&passing, QueueKind::Maildrop).0 >= 699, "it stayed");
        assert!(oldest(&passing, QueueKind::Incoming).0 <= 0, "it went on");
        assert!(oldest(&passing, QueueKind::Deferred).0 >= 172_800, "there it may stay");
    }

    /// The clock was ten years ahead, or at 1970, when a message was seen first: its stay is told by time that passed.
    #[test]
    fn a_step_of_the_clock_moves_no_stay() {
        let message = |arrival| Message {
            queue: Some(QueueKind::Incoming),
            id: b"AB12",
            arrival: Some(arrival),
            size: 1,
            forced_expire: false,
            sender: b"a@b",
            unreadable: false,
        };
        let now = Clock::now();
        let none = FxHashMap::default();
        for (wall, arrival) in [(now.wall + 315_360_000, now.wall - 10_000), (10, 5)] {
            let mut count = Count::new(&none);
            count.clock.wall = wall;
            count.message(&message(arrival));
            let mut passing = count.passing;
            passing.values_mut().for_each(|since| *since = since.checked_sub(Duration::from_secs(700)).unwrap());
            let mut later = Count::new(&passing);
            later.message(&message(arrival));
            let since = later.finish(Format::Attributes, &Wanted::new(1, 1)).queue(QueueKind::Incoming).unwrap().oldest;
            let age = Clock::now().wall - since.unwrap();
            assert!((699..=705).contains(&age), "{wall}: {age}");
        }
    }
}
