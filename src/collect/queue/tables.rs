//! What the queue collector publishes, as tables.

use super::{
    backlog::{DOMAINS, SENDERS},
    snapshot::{BUCKETS, Queue, Snapshot, limit},
};
use crate::{
    collect::instance::Owner,
    mib::{AnyTable, Get, Index, Table, column, scalars},
    postfix::{defer_reason::DeferReason, queue::QueueKind},
};
use std::time::{Duration, Instant};

/// The tables this module owns.
pub static TABLES: &[&dyn AnyTable] = &[&TOTALS, &SPOOLS, &QUEUES, &AGES, &DOMAINS, &REASONS, &SENDERS];

pub(super) static TOTALS: Table<Totals> = scalars(
    "postfixTotalQueueObjects",
    &[1, 2, 1],
    &[
        column(1, "postfixTotalMessages", Get::Gauge32(|t| t.messages)),
        column(2, "postfixTotalKiB", Get::Gauge32(|t| t.octets.map(|o| o.div_ceil(1_024)))),
        column(3, "postfixTotalMaildrop", Get::Gauge32(|t| t.queue(QueueKind::Maildrop))),
        column(4, "postfixTotalIncoming", Get::Gauge32(|t| t.queue(QueueKind::Incoming))),
        column(5, "postfixTotalActive", Get::Gauge32(|t| t.queue(QueueKind::Active))),
        column(6, "postfixTotalDeferred", Get::Gauge32(|t| t.queue(QueueKind::Deferred))),
        column(7, "postfixTotalHold", Get::Gauge32(|t| t.queue(QueueKind::Hold))),
        column(8, "postfixTotalCorrupt", Get::Gauge32(|t| t.queue(QueueKind::Corrupt))),
        column(9, "postfixTotalOldestAge", Get::Age(|t| t.oldest)),
        column(10, "postfixTotalDeferredOldestAge", Get::Age(|t| t.oldest_deferred)),
    ],
);

pub(super) static SPOOLS: Table<SpoolRow> = Table {
    name: "postfixSpoolTable",
    entry: &[1, 3, 4, 1],
    index: |s| Index::from_slice(&[s.owner.index]),
    columns: &[
        column(1, "postfixSpoolFreeMiB", Get::Gauge32(|s| s.space.map(|f| f.free >> 20))),
        column(2, "postfixSpoolFreePercent", Get::Gauge32(|s| s.space.and_then(|f| f.percent()))),
        column(3, "postfixSpoolFreeInodes", Get::Gauge32(|s| s.space.and_then(|f| f.inodes))),
        column(4, "postfixSpoolMinFreeMiB", Get::Gauge32(|s| s.minimum.map(|m| m.div_ceil(1 << 20)))),
        column(5, "postfixSpoolActiveLimit", Get::Gauge32(|s| s.active_limit)),
        column(6, "postfixSpoolActivePercent", Get::Gauge32(|s| s.active_percent())),
        column(7, "postfixSpoolGroupBitFiles", Get::Gauge32(|s| s.group_bits)),
        column(8, "postfixSpoolSweepAge", Get::Age(|s| s.swept)),
        column(9, "postfixSpoolName", Get::Text(|s| Some(s.owner.only_row()))),
    ],
};

pub(super) static QUEUES: Table<QueueRow> = Table {
    name: "postfixQueueTable",
    entry: &[1, 4, 1, 1],
    index: |q| Index::from_slice(&[q.owner.index, q.kind as u32]),
    columns: &[
        column(2, "postfixQueueName", Get::Text(|q| Some(q.owner.row(q.kind.name())))),
        column(3, "postfixQueueMessages", Get::Gauge32(|q| Some(q.queue.messages))),
        column(4, "postfixQueueRecipients", Get::Gauge32(|q| q.queue.known_recipients())),
        column(5, "postfixQueueKiB", Get::Gauge32(|q| Some(q.queue.kib()))),
        column(6, "postfixQueueOldestAge", Get::Age(|q| Some(q.oldest))),
        column(7, "postfixQueueNullSenders", Get::Gauge32(|q| q.null_senders())),
        column(8, "postfixQueueForcedExpire", Get::Gauge32(|q| Some(q.queue.forced_expire))),
        column(9, "postfixQueueOverdue", Get::Gauge32(|q| q.queue.overdue)),
        column(10, "postfixQueueIgnored", Get::Gauge32(|q| q.queue.ignored)),
        column(11, "postfixQueueAverageAge", Get::Age(|q| Some(q.average))),
        column(12, "postfixQueueLargestKiB", Get::Gauge32(|q| Some(q.queue.largest_kib()))),
    ],
};

pub(super) static AGES: Table<AgeRow> = Table {
    name: "postfixQueueAgeTable",
    entry: &[1, 4, 2, 1],
    index: |a| Index::from_slice(&[a.owner.index, a.kind as u32, a.bucket as u32 + 1]),
    columns: &[
        column(2, "postfixQueueAgeName", Get::Text(|a| Some(a.owner.row(a.name())))),
        column(3, "postfixQueueAgeLimit", Get::Unsigned32(|a| Some(limit(a.bucket)))),
        column(4, "postfixQueueAgeMessages", Get::Gauge32(|a| Some(a.messages))),
        column(5, "postfixQueueAgeRecipients", Get::Gauge32(|a| a.recipients)),
    ],
};

pub(super) static REASONS: Table<ReasonRow> = Table {
    name: "postfixDeferReasonTable",
    entry: &[1, 4, 4, 1],
    index: |r| Index::from_slice(&[r.owner.index, r.reason as u32]),
    columns: &[
        column(2, "postfixDeferReasonName", Get::Text(|r| Some(r.owner.row(r.reason.label())))),
        column(3, "postfixDeferReasonRecipients", Get::Gauge32(|r| Some(r.recipients))),
    ],
};

pub(super) struct QueueRow {
    owner: Owner,
    kind: QueueKind,
    queue: Queue,
    oldest: Instant,
    average: Instant,
}

impl QueueRow {
    /// Senders stand in the same files as recipients.
    fn null_senders(&self) -> Option<u64> {
        (self.queue.unreadable == 0).then_some(self.queue.null_senders)
    }
}

pub(super) struct AgeRow {
    owner: Owner,
    kind: QueueKind,
    bucket: usize,
    messages: u64,
    recipients: Option<u64>,
}

impl AgeRow {
    /// `deferred 10-20 min`.
    fn name(&self) -> String {
        let from = self.bucket.checked_sub(1).map_or(0, limit);
        let queue = self.kind.name();
        if self.bucket + 1 < BUCKETS {
            format!("{queue} {from}-{} min", limit(self.bucket))
        } else {
            format!("{queue} {from}+ min")
        }
    }
}

pub(super) struct ReasonRow {
    owner: Owner,
    reason: DeferReason,
    recipients: u64,
}

/// The file system of a spool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Octets Postfix may still use.
    pub(super) free: u64,
    /// All it could use.
    pub(super) size: u64,
    /// `None`: that file system has no such limit.
    pub(super) inodes: Option<u64>,
}

impl Space {
    fn percent(&self) -> Option<u64> {
        u64::try_from(u128::from(self.free) * 100 / u128::from(self.size).max(1)).ok()
    }
}

pub(super) struct SpoolRow {
    pub(super) owner: Owner,
    pub(super) space: Option<Space>,
    /// queue_minfree.
    pub(super) minimum: Option<u64>,
    /// qmgr_message_active_limit.
    pub(super) active_limit: Option<u64>,
    pub(super) active: Option<u64>,
    pub(super) group_bits: Option<u64>,
    pub(super) swept: Option<Instant>,
}

impl SpoolRow {
    pub(super) fn active_percent(&self) -> Option<u64> {
        self.active_limit.filter(|limit| *limit > 0).zip(self.active).map(|(limit, active)| active * 100 / limit)
    }
}

#[derive(Default)]
pub(super) struct Totals {
    messages: Option<u64>,
    octets: Option<u64>,
    queues: [Option<u64>; 7],
    oldest: Option<Instant>,
    oldest_deferred: Option<Instant>,
}

impl Totals {
    fn queue(&self, kind: QueueKind) -> Option<u64> {
        self.queues[kind.position()]
    }

    /// The sums over all instances that count; an unknown one makes them unknown.
    pub(super) fn of(snapshots: &[Option<&Snapshot>]) -> Self {
        let Some(known) = snapshots.iter().copied().collect::<Option<Vec<&Snapshot>>>().filter(|k| !k.is_empty())
        else {
            return Self::default();
        };
        let sum = |f: &dyn Fn(&Queue) -> u64| {
            let mail = |s: &Snapshot| -> Option<u64> {
                let kinds = QueueKind::ALL.into_iter().filter(|k| k.is_mail());
                kinds.map(|kind| s.queue(kind).map(f).or(s.merged.then_some(0))).sum()
            };
            known.iter().map(|s| mail(s)).sum::<Option<u64>>()
        };
        let each = |kind| known.iter().map(|s| s.queue(kind).map(|q| q.messages)).sum::<Option<u64>>();
        let oldest = |kinds: &[QueueKind]| {
            let of = |s: &&Snapshot, kind: QueueKind| s.queue(kind).map(|q| oldest(s, q.oldest));
            let all = known.iter().flat_map(|s| kinds.iter().map(move |k| of(s, *k)));
            all.collect::<Option<Vec<Instant>>>()?.into_iter().min()
        };
        Self {
            messages: sum(&|q| q.messages),
            octets: sum(&|q| q.octets),
            queues: QueueKind::ALL.map(each),
            oldest: oldest(&[QueueKind::Maildrop, QueueKind::Incoming]),
            oldest_deferred: oldest(&[QueueKind::Deferred]),
        }
    }
}

/// The moment an age counts from; of nothing at all the age is 0, and stays it.
pub(super) fn oldest(snapshot: &Snapshot, arrival: Option<i64>) -> Instant {
    match arrival {
        Some(arrival) => snapshot.clock.instant(arrival),
        None => {
            let now = Instant::now();
            now.checked_add(Duration::from_secs(365 * 86_400)).unwrap_or(now)
        }
    }
}

/// Rows of the tables that need nothing but the snapshot.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) queues: Vec<QueueRow>,
    pub(super) ages: Vec<AgeRow>,
    pub(super) reasons: Vec<ReasonRow>,
}

impl Rows {
    pub(super) fn add(&mut self, owner: &Owner, snapshot: &Snapshot) {
        for kind in QueueKind::ALL {
            let Some(queue) = snapshot.queue(kind) else { continue };
            self.queues.push(QueueRow {
                owner: owner.clone(),
                kind,
                queue: queue.clone(),
                oldest: oldest(snapshot, queue.oldest),
                average: oldest(snapshot, queue.average(&snapshot.clock)),
            });
            for (bucket, (messages, recipients)) in queue.ages.iter().copied().enumerate() {
                let recipients = (queue.unreadable == 0).then_some(recipients);
                self.ages.push(AgeRow { owner: owner.clone(), kind, bucket, messages, recipients });
            }
        }
        for (reason, recipients) in DeferReason::ALL.into_iter().zip(snapshot.reasons.into_iter().flatten()) {
            self.reasons.push(ReasonRow { owner: owner.clone(), reason, recipients });
        }
    }
}
