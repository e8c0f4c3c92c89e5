//! The queue as showq(8) lists it.

use super::{
    domains::{self, Backlog, Domains, Waiting, Wanted},
    snapshot::{Clock, Queue, Snapshot},
};
use crate::postfix::{
    defer_reason::DeferReason,
    queue::QueueKind,
    showq::{self, Format, Message, Patience, ShowqError, Visitor},
};
use rustc_hash::{FxHashSet, FxHasher};
use std::{hash::Hasher, path::Path};

/// Ids remembered to see a message twice. Beyond it a message that moved meanwhile may count twice.
const IDS: usize = 4 << 20;

/// Asks the instance's showq.
pub(super) fn read(queue_directory: &Path, wanted: &Wanted, patience: Patience) -> Result<Snapshot, ShowqError> {
    let mut count = Count::new();
    let format = showq::list(queue_directory, patience, &mut count)?;
    Ok(count.finish(format, wanted))
}

struct Count {
    clock: Clock,
    queues: [Queue; 7],
    names: Domains,
    waiting: Vec<Waiting>,
    reasons: [u64; DeferReason::ALL.len()],
    seen: FxHashSet<u64>,
    current: Option<Current>,
}

/// The message whose recipients come now.
struct Current {
    queue: QueueKind,
    arrival: i64,
    octets: u64,
    recipients: u64,
    /// Recipients by domain, where the domains of this queue are of interest.
    by_domain: Vec<(domains::Domain, u32)>,
}

impl Count {
    fn new() -> Self {
        Self {
            clock: Clock::now(),
            queues: Default::default(),
            names: Domains::default(),
            waiting: Vec::new(),
            reasons: Default::default(),
            seen: FxHashSet::default(),
            current: None,
        }
    }

    /// Books the current message.
    fn book(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        let queue = &mut self.queues[current.queue.position()];
        queue.add(&self.clock, current.arrival, current.recipients, current.octets);
        domains::merge(&mut current.by_domain);
        self.waiting.resize(self.names.len() + 1, Waiting::default());
        for (domain, recipients) in current.by_domain {
            self.waiting[domain as usize].add(recipients, current.arrival);
        }
    }

    fn finish(mut self, format: Format, wanted: &Wanted) -> Snapshot {
        self.book();
        self.waiting.resize(self.names.len() + 1, Waiting::default());
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
        Snapshot {
            clock: self.clock,
            queues,
            merged,
            backlog: Backlog::pick(&self.names, &self.waiting, wanted),
            reasons: Some(self.reasons),
            group_bits: None,
            swept: None,
        }
    }
}

impl Visitor for Count {
    fn message(&mut self, message: &Message<'_>) {
        self.book();
        // A queue of a later Postfix has no place in our tables.
        let Some(queue) = message.queue else { return };
        let mut hasher = FxHasher::default();
        hasher.write(message.id);
        // A message that moved while showq listed is listed twice.
        if self.seen.len() < IDS && !self.seen.insert(hasher.finish()) {
            return;
        }
        let row = &mut self.queues[queue.position()];
        row.unreadable += u64::from(message.unreadable);
        row.forced_expire += u64::from(message.forced_expire);
        row.null_senders += u64::from(message.sender == b"MAILER-DAEMON");
        self.current = Some(Current {
            queue,
            arrival: message.arrival.unwrap_or(self.clock.wall),
            octets: message.size,
            recipients: 0,
            by_domain: Vec::new(),
        });
    }

    fn recipient(&mut self, address: &[u8], reason: &[u8]) {
        let Some(current) = &mut self.current else { return };
        current.recipients += 1;
        if matches!(current.queue, QueueKind::Incoming | QueueKind::Active | QueueKind::Deferred) {
            let domain = self.names.number(&domains::of_address(address));
            match current.by_domain.last_mut() {
                Some((last, count)) if *last == domain => *count = count.saturating_add(1),
                _ => current.by_domain.push((domain, 1)),
            }
            // However long the list of recipients, what it takes is bounded by the names known.
            if current.by_domain.len() >= 1 << 18 {
                domains::merge(&mut current.by_domain);
            }
        }
        if current.queue == QueueKind::Deferred && !reason.is_empty() {
            self.reasons[DeferReason::of(reason) as usize - 1] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_moved_counts_once() {
        let mut count = Count::new();
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
        let snapshot = count.finish(Format::Attributes, &Wanted::new(1));
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
}
