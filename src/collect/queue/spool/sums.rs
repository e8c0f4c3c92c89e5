//! What all files of a spool come to.

use super::{
    super::{
        domains::{Backlog, Domain, NEVER, Waiting, Wanted, is_backlog},
        reasons::{self, Tally},
        snapshot::{Clock, Queue, Snapshot},
    },
    entry::{self, Entry, flag},
    file::Store,
};
use crate::postfix::{defer_reason::DeferReason, queue::QueueKind};
use std::time::Duration;

/// Sums as they grow.
pub(super) struct Sums {
    clock: Clock,
    /// What is due since before is overdue.
    late: u32,
    queues: [Queue; 7],
    /// By number of the domain.
    domains: Vec<Waiting>,
    senders: Vec<Waiting>,
    /// By number of the text.
    texts: Vec<u64>,
    /// Which numbers entries refer to.
    used: Used,
    group_bits: u64,
}

struct Used {
    domains: Vec<bool>,
    senders: Vec<bool>,
    texts: Vec<bool>,
}

impl Used {
    /// Notes all that an entry refers to.
    fn note(&mut self, store: &Store, entry: &Entry) {
        mark(&mut self.senders, entry.sender());
        entry.each_domain(&store.extras, |domain, _| mark(&mut self.domains, domain));
        entry.each_reason(&store.extras, |why, _| {
            mark(&mut self.domains, reasons::domain_of(why));
            mark(&mut self.texts, reasons::text_of(why));
        });
    }
}

fn mark(used: &mut [bool], number: u32) {
    if let Some(used) = used.get_mut(number as usize) {
        *used = true;
    }
}

fn is_used(used: &[bool], number: u32) -> bool {
    used.get(number as usize).copied().unwrap_or(true)
}

impl Sums {
    pub(super) fn new(store: &Store, queue_run_delay: Duration) -> Self {
        let clock = Clock::now();
        let patience = i64::try_from(2 * queue_run_delay.as_secs()).unwrap_or(i64::MAX);
        let (domains, senders, texts) = (store.names.len() + 1, store.senders.len() + 1, store.texts.last() + 1);
        Self {
            clock,
            late: entry::seconds(clock.wall.saturating_sub(patience)),
            queues: Default::default(),
            domains: vec![Waiting::default(); domains],
            senders: vec![Waiting::default(); senders],
            texts: vec![0; texts],
            used: Used { domains: vec![false; domains], senders: vec![false; senders], texts: vec![false; texts] },
            group_bits: 0,
        }
    }

    /// What is neither queue file nor hash directory.
    pub(super) fn add_foreign(&mut self, kind: QueueKind, files: u64) {
        *self.queues[kind.position()].ignored.get_or_insert(0) += files;
    }

    /// An entry that does not count, because it is another one as well: what it refers to keeps its number all the same.
    pub(super) fn keep(&mut self, store: &Store, entry: &Entry) {
        self.used.note(store, entry);
    }

    /// Counts a file.
    pub(super) fn add(&mut self, store: &Store, kind: QueueKind, entry: &Entry) {
        let extras = &store.extras;
        let row = &mut self.queues[kind.position()];
        // postdrop writes 0744; in maildrop the bits mean nothing.
        let bits_are_orders = kind.is_mail() && kind != QueueKind::Maildrop;
        self.group_bits += u64::from(bits_are_orders && entry.has(flag::GROUP_BITS));
        if !entry.has(flag::MESSAGE) {
            *row.ignored.get_or_insert(0) += 1;
            return;
        }
        self.used.note(store, entry);
        let recipients = entry.recipients(extras);
        let passing = matches!(kind, QueueKind::Maildrop | QueueKind::Incoming);
        let since = if passing { entry.time } else { entry.arrival };
        let octets = entry.octets(extras);
        row.add(&self.clock, entry.arrival.into(), since.into(), recipients.into(), octets);
        row.unreadable += u64::from(entry.has(flag::UNREADABLE));
        row.null_senders += u64::from(entry.has(flag::NULL_SENDER));
        row.forced_expire += u64::from(entry.has(flag::FORCED_EXPIRE));
        let mut next = NEVER;
        if kind == QueueKind::Deferred {
            next = entry.time;
            *row.overdue.get_or_insert(0) += u64::from(entry.time < self.late);
            entry.each_reason(extras, |why, count| {
                if let Some(sum) = self.texts.get_mut(reasons::text_of(why) as usize) {
                    *sum += u64::from(count);
                }
            });
        }
        if is_backlog(kind) {
            let add = |to: &mut [Waiting], number: Domain, count| {
                if let Some(waiting) = to.get_mut(number as usize) {
                    waiting.add(count, entry.arrival, next);
                }
            };
            entry.each_domain(extras, |domain, count| add(&mut self.domains, domain, count));
            add(&mut self.senders, entry.sender(), recipients);
        }
    }

    /// All together, and what nobody refers to any more is forgotten. `waiting` are the files that are deferred.
    pub(super) fn finish<'a>(
        mut self,
        store: &mut Store,
        wanted: &Wanted,
        waiting: impl Iterator<Item = &'a Entry>,
    ) -> Snapshot {
        let backlog = Backlog::pick(&store.names, &self.domains, &wanted.domains);
        let senders = Backlog::pick(&store.senders, &self.senders, &wanted.senders);
        let places = backlog.places(&store.names);
        let mut tally = Tally::default();
        for entry in waiting {
            entry.each_reason(&store.extras, |why, count| {
                tally.add(places.of(reasons::domain_of(why)), reasons::text_of(why), count.into());
            });
        }
        let why = tally.finish(places.count(), &store.texts);
        let mut reasons = [0_u64; DeferReason::ALL.len()];
        for (number, sum) in (0..).zip(&self.texts) {
            if let Some(class) = store.texts.class(number) {
                reasons[class as usize - 1] += sum;
            }
        }
        store.names.retain(|number| is_used(&self.used.domains, number));
        store.senders.retain(|number| is_used(&self.used.senders, number));
        store.texts.retain(|number| is_used(&self.used.texts, number));
        // A queue whose directory does not exist is empty.
        for row in &mut self.queues {
            row.overdue.get_or_insert(0);
            row.ignored.get_or_insert(0);
        }
        Snapshot {
            clock: self.clock,
            queues: self.queues.map(Some),
            merged: false,
            settled: true,
            backlog,
            senders,
            why: Some(why),
            reasons: Some(reasons),
            group_bits: Some(self.group_bits),
            swept: None,
        }
    }
}
