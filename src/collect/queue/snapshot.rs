//! What one reading of one instance's queue found, whichever source it came from.

use super::{domains::Backlog, reasons::Reasons};
use crate::postfix::{defer_reason::DeferReason, queue::QueueKind};
use std::time::{Duration, Instant, SystemTime};

/// Age buckets as in qshape(1): [0,5) [5,10) [10,20) … [640,1280) [1280,∞) minutes.
pub(super) const BUCKETS: usize = 10;

/// A wall-clock moment and the monotonic one that goes with it, so that ages of records become ages that never freeze.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Seconds since 1970.
    pub(super) wall: i64,
    instant: Instant,
}

impl Clock {
    pub(super) fn now() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        Self { wall, instant: Instant::now() }
    }

    /// The monotonic moment of a time to come; one that has passed is now.
    pub(super) fn until(&self, time: i64) -> Instant {
        let away = Duration::from_secs(u64::try_from(time.saturating_sub(self.wall)).unwrap_or(0));
        self.instant.checked_add(away).unwrap_or(self.instant)
    }

    /// When a moment that was seen is by the clock of now.
    pub(super) fn wall_at(&self, seen: Instant) -> i64 {
        let age = self.instant.saturating_duration_since(seen).as_secs();
        self.wall.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX))
    }

    /// The monotonic moment of an arrival; arrivals in the future have age 0.
    pub(super) fn instant(&self, arrival: i64) -> Instant {
        let age = Duration::from_secs(u64::try_from(self.wall.saturating_sub(arrival)).unwrap_or(0));
        self.instant.checked_sub(age).unwrap_or(self.instant)
    }
}

/// Seconds since 1970 in 32 bits, which last until 2106.
pub(super) fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

/// The bucket of an age in seconds: 0 to 9.
pub(super) fn bucket(age: i64) -> usize {
    let fives = u64::try_from(age).unwrap_or(0) / 300;
    // 0 → 0, 1 → 1, 2..3 → 2, 4..7 → 3: the position of the highest bit.
    ((u64::BITS - fives.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// The upper bound of a bucket in minutes; the last has none.
pub(super) fn limit(bucket: usize) -> u64 {
    if bucket + 1 < BUCKETS { 5 << bucket } else { u64::from(u32::MAX) }
}

/// One queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) messages: u64,
    pub(super) recipients: u64,
    /// Messages whose recipients could not be read: then `recipients` is too small to be shown.
    pub(super) unreadable: u64,
    pub(super) octets: u64,
    /// Octets of the largest message.
    pub(super) largest: u64,
    /// The sum of the ages in seconds, each counted as that of the oldest is.
    pub(super) age_sum: u64,
    /// Since when the oldest is old, in seconds since 1970: its arrival, in maildrop and incoming when it came there.
    pub(super) oldest: Option<i64>,
    pub(super) null_senders: u64,
    pub(super) forced_expire: u64,
    /// `None`: the source does not tell.
    pub(super) overdue: Option<u64>,
    /// Files that are no messages; `None`: the source does not tell.
    pub(super) ignored: Option<u64>,
    /// Messages and recipients by age.
    pub(super) ages: [(u64, u64); BUCKETS],
}

impl Queue {
    /// Counts a message that arrived then, and is old since `since`.
    pub(super) fn add(&mut self, clock: &Clock, arrival: i64, since: i64, recipients: u64, octets: u64) {
        self.messages += 1;
        self.recipients += recipients;
        self.octets = self.octets.saturating_add(octets);
        self.largest = self.largest.max(octets);
        let age = u64::try_from(clock.wall.saturating_sub(since)).unwrap_or(0);
        self.age_sum = self.age_sum.saturating_add(age);
        self.oldest = Some(self.oldest.map_or(since, |oldest| oldest.min(since)));
        let age = &mut self.ages[bucket(clock.wall.saturating_sub(arrival))];
        age.0 += 1;
        age.1 += recipients;
    }

    pub(super) fn known_recipients(&self) -> Option<u64> {
        (self.unreadable == 0).then_some(self.recipients)
    }

    /// Rounded up: a queue with mail in it does not show 0.
    pub(super) fn kib(&self) -> u64 {
        self.octets.div_ceil(1_024)
    }

    /// Likewise.
    pub(super) fn largest_kib(&self) -> u64 {
        self.largest.div_ceil(1_024)
    }

    /// Since when a message of average age is old, in seconds since 1970.
    pub(super) fn average(&self, clock: &Clock) -> Option<i64> {
        let age = self.age_sum.checked_div(self.messages)?;
        Some(clock.wall.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)))
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) clock: Clock,
    /// By [`QueueKind::position`]; `None` for queues the source does not tell of.
    pub(super) queues: [Option<Queue>; 7],
    /// Whether mail of queues that are `None` stands in another one (showq's text up to 3.0).
    pub(super) merged: bool,
    /// Whether all of it was so at one moment; else mail moved all the time, and the sum may never have been true.
    pub(super) settled: bool,
    pub(super) backlog: Backlog,
    /// The same by the senders' domains.
    pub(super) senders: Backlog,
    /// Why the domains of `backlog` wait, and after them all others; `None` until all defer logs have been read.
    pub(super) why: Option<Vec<Reasons>>,
    /// Recipients by [`DeferReason`]; `None` until all defer logs have been read.
    pub(super) reasons: Option<[u64; DeferReason::ALL.len()]>,
    /// Files with group bits; `None`: the source does not tell.
    pub(super) group_bits: Option<u64>,
    /// When the file not looked at for longest was looked at.
    pub(super) swept: Option<Instant>,
}

impl Snapshot {
    pub(super) fn queue(&self, kind: QueueKind) -> Option<&Queue> {
        self.queues[kind.position()].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_qshape() {
        // bucket() of qshape, literally.
        let qshape = |age: i64| {
            let m = age as f64 / 300.0;
            if m < 1.0 { 0 } else { (1 + (m.ln() / 2_f64.ln()) as usize).min(9) }
        };
        for age in (0..100_000).chain([1_000_000, 100_000_000]) {
            // qshape's logarithm is a hair too small at some powers of two; the buckets are half-open.
            if age % 300 != 0 {
                assert_eq!(bucket(age), qshape(age), "{age}");
            }
        }
        assert_eq!([0, 299, 300, 599, 600, 1_200, 76_799, 76_800].map(bucket), [0, 0, 1, 1, 2, 3, 8, 9]);
        assert_eq!([bucket(-1), bucket(i64::MAX), bucket(i64::MIN)], [0, 9, 0]);
        assert_eq!((0..10).map(limit).collect::<Vec<_>>(), [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 4_294_967_295]);
    }
}
