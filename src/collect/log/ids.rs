//! The bounded memory of queue ids: where a message came from until the queue manager has it, then its size until its first
//! activation ends.
//!
//! `QID: client=` and pickup's `QID: uid=` open an entry, and so does cleanup's `QID: message-id=` where nobody else did
//! (bounces, forwarded mail, probes). The first `(queue active)` consumes it. After that the id stays until `removed`, or
//! until a delivery was deferred and all recipients had their turn; then it is kept for the next 4,096 such ids, since an
//! alias may have more deliveries than the message has recipients. An id that becomes active without an entry is a retry.
//!
//! A transaction that ends before cleanup saw its header gives its id back: with the next one of the same process, or when
//! its client goes.

use crate::postfix::log::QueueId;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// How a message came into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a client or a local user.
    Received = 1,
    /// Postfix made it: a bounce, a forwarded copy, a probe.
    Internal = 2,
    /// A content filter gave it back.
    Reinjected = 3,
    /// postsuper -r.
    Requeued = 4,
    /// Not seen coming: an activation after the first.
    Retry = 5,
}

impl Origin {
    fn from(byte: u8) -> Option<Self> {
        [Self::Received, Self::Internal, Self::Reinjected, Self::Requeued, Self::Retry]
            .into_iter()
            .find(|o| *o as u8 == byte)
    }

    /// Whether deliveries in this activation are a message's first.
    fn first(self) -> bool {
        !matches!(self, Self::Requeued | Self::Retry)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    origin: Origin,
    active: bool,
    deferred: bool,
    /// cleanup has its header: what the client does now decides nothing.
    content: bool,
    /// The null sender's: a notice, as somebody made this host send.
    notice: bool,
    /// The number of the authenticated sender; 0 where there is none.
    sender: u32,
    /// Which entry of `order` is this one's.
    turn: u32,
    recipients: u32,
    /// Recipients that had their turn in this activation.
    seen: u32,
    size: u64,
}

/// What a delivery line's message is known as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Octets; 0 where it is not known.
    pub size: u64,
    /// In its first activation.
    pub first: bool,
    /// In a later one.
    pub retried: bool,
    /// This deferral is the first of a message in its first activation.
    pub newly_deferred: bool,
    /// Of the null sender: whoever forges senders chooses its recipients.
    pub notice: bool,
}

/// The memory.
#[derive(Clone, Debug)]
pub struct Ids {
    entries: FxHashMap<QueueId, Entry>,
    /// Oldest first; may hold ids that are gone.
    order: VecDeque<(QueueId, u32)>,
    turn: u32,
    limit: usize,
    /// Deferred, and all recipients had their turn; oldest first.
    leaving: VecDeque<(QueueId, u32)>,
    /// The transaction each smtpd process is in.
    transactions: FxHashMap<u32, QueueId>,
    /// Ids forgotten because there were too many.
    pub evicted: u64,
}

impl Default for Ids {
    fn default() -> Self {
        let (entries, order, turn, leaving, transactions, evicted) = Default::default();
        Self { entries, order, turn, limit: 262_144, leaving, transactions, evicted }
    }
}

/// Ids that stay a while after their last recipient was deferred.
const LEAVING: usize = 4_096;
/// More processes than smtpd has anywhere.
const PROCESSES: usize = 65_536;

impl Ids {
    /// Remembers `limit` ids at most.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
        self.shrink();
    }

    /// A message begins. It replaces an older one of the same id: ids are used again.
    pub fn open(&mut self, id: QueueId, origin: Origin, sender: u32) {
        self.insert(
            id,
            Entry {
                origin,
                active: false,
                deferred: false,
                content: false,
                notice: false,
                sender,
                turn: 0,
                recipients: 0,
                seen: 0,
                size: 0,
            },
        );
    }

    /// [`open`](Self::open), by this process: it is in no other transaction now.
    pub fn begin(&mut self, pid: Option<u32>, id: QueueId, origin: Origin, sender: u32) {
        if let Some(pid) = pid {
            self.abandon(pid, false);
            if self.transactions.len() < PROCESSES {
                self.transactions.insert(pid, id);
            }
        }
        self.open(id, origin, sender);
    }

    /// The client of this process is gone, or begins anew. What it had begun is no message unless cleanup has seen its
    /// header; `inside`: it broke off within the content.
    pub fn abandon(&mut self, pid: u32, inside: bool) {
        if let Some(id) = self.transactions.remove(&pid)
            && self.entries.get(&id).is_some_and(|entry| !entry.active && (inside || !entry.content))
        {
            self.entries.remove(&id);
        }
    }

    /// cleanup sees a message; if nobody announced it, Postfix made it itself.
    pub fn seen_by_cleanup(&mut self, id: QueueId) {
        if !self.entries.contains_key(&id) {
            self.open(id, Origin::Internal, 0);
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.content = true;
        }
    }

    /// postsuper -r gave a message a new id. One that was held before it ever became active stays what it was.
    pub fn requeue(&mut self, old: Option<QueueId>, new: QueueId) {
        let held = old.and_then(|old| self.entries.remove(&old)).filter(|entry| !entry.active);
        let (origin, sender) = held.map_or((Origin::Requeued, 0), |entry| (entry.origin, entry.sender));
        self.open(new, origin, sender);
    }

    /// The queue manager takes it up: says what it is if this is the first time, and the sender's number.
    pub fn activate(&mut self, id: QueueId, size: u64, recipients: u64) -> Option<(Origin, u32)> {
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        match self.entries.get_mut(&id) {
            Some(entry) if !entry.active => {
                (entry.active, entry.size, entry.recipients) = (true, size, recipients);
                Some((entry.origin, entry.sender))
            }
            // Once more: its first activation ended with a deferral, or the queue manager was restarted before that.
            Some(entry) => {
                let origin = if entry.deferred { Origin::Retry } else { entry.origin };
                *entry = Entry { origin, deferred: false, seen: 0, size, recipients, ..*entry };
                None
            }
            None => {
                let (active, deferred, content, notice, sender, turn, seen) = (true, false, true, false, 0, 0, 0);
                let origin = Origin::Retry;
                self.insert(
                    id,
                    Entry { origin, active, deferred, content, notice, sender, turn, recipients, seen, size },
                );
                None
            }
        }
    }

    /// It is of the null sender.
    pub fn has_null_sender(&mut self, id: QueueId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.notice = true;
        }
    }

    /// So many recipients had their turn, with one outcome.
    pub fn delivery(&mut self, id: QueueId, deferred: bool, times: u64) -> Known {
        let Some(entry) = self.entries.get_mut(&id) else { return Known::default() };
        let first = entry.origin.first() && entry.active;
        let known = Known {
            size: entry.size,
            first,
            retried: entry.active && !first,
            newly_deferred: first && deferred && !entry.deferred,
            notice: entry.notice,
        };
        let before = entry.seen;
        entry.seen = before.saturating_add(u32::try_from(times).unwrap_or(u32::MAX));
        entry.deferred |= deferred;
        // Once: the recipient that completes them.
        let completed = before < entry.recipients && entry.recipients <= entry.seen;
        if entry.deferred && (completed || entry.origin == Origin::Retry && deferred) {
            self.leaving.push_back((id, entry.turn));
            if self.leaving.len() > LEAVING
                && let Some((id, turn)) = self.leaving.pop_front()
                && self.entries.get(&id).is_some_and(|entry| entry.turn == turn && entry.deferred)
            {
                self.entries.remove(&id);
            }
        }
        known
    }

    /// The message is gone.
    pub fn remove(&mut self, id: QueueId) {
        self.entries.remove(&id);
    }

    fn insert(&mut self, id: QueueId, mut entry: Entry) {
        self.turn = self.turn.wrapping_add(1);
        entry.turn = self.turn;
        self.entries.insert(id, entry);
        self.order.push_back((id, entry.turn));
        self.shrink();
    }

    fn current(&self, (id, turn): &(QueueId, u32)) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.turn == *turn)
    }

    fn shrink(&mut self) {
        while self.entries.len() > self.limit {
            let Some(oldest) = self.order.pop_front() else { break };
            if self.current(&oldest) {
                self.entries.remove(&oldest.0);
                self.evicted += 1;
            }
        }
        // Ids that left by themselves are still in the order; it is swept when they are the majority.
        if self.order.len() > 2 * self.entries.len() + 1_024 {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|one| self.current(one));
            self.order = order;
        }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends all of it in binary: 262,144 ids take some 12 MB and milliseconds.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.evicted.to_le_bytes());
        out.extend((self.entries.len() as u32).to_le_bytes());
        for one in self.order.iter().filter(|one| self.current(one)) {
            let Some(entry) = self.entries.get(&one.0) else { continue };
            let id = one.0.as_bytes();
            let [a, b, c, d] = entry.sender.to_le_bytes();
            let wide = [c, d] != [0, 0];
            let flags = [entry.active, entry.deferred, entry.content, entry.notice, wide];
            let flags = (0..).zip(flags).fold(0, |all, (bit, flag)| all | u8::from(flag) << bit);
            out.extend([id.len() as u8, entry.origin as u8, flags]);
            out.extend([a, b]);
            // Before numbers grew larger than 65,535 there were two octets.
            out.extend([c, d].iter().filter(|_| wide));
            out.extend(entry.recipients.to_le_bytes());
            out.extend(entry.seen.to_le_bytes());
            out.extend(entry.size.to_le_bytes());
            out.extend(id);
        }
    }

    /// What [`save`](Self::save) wrote at the head of `bytes`, which is then behind it. `None` where it is something else.
    pub fn load(bytes: &mut &[u8]) -> Option<Self> {
        let mut ids = Self { limit: usize::MAX, evicted: u64::from_le_bytes(take(bytes)?), ..Self::default() };
        for _ in 0..u32::from_le_bytes(take(bytes)?) {
            let [length, origin, flags] = take(bytes)?;
            let [a, b] = take(bytes)?;
            let [c, d] = if flags & 16 != 0 { take(bytes)? } else { [0, 0] };
            let mut entry = Entry {
                origin: Origin::from(origin)?,
                active: flags & 1 != 0,
                deferred: flags & 2 != 0,
                content: flags & 4 != 0,
                notice: flags & 8 != 0,
                sender: u32::from_le_bytes([a, b, c, d]),
                turn: 0,
                recipients: u32::from_le_bytes(take(bytes)?),
                seen: u32::from_le_bytes(take(bytes)?),
                size: u64::from_le_bytes(take(bytes)?),
            };
            entry.turn = 0;
            let (id, rest) = bytes.split_at_checked(usize::from(length))?;
            *bytes = rest;
            ids.insert(QueueId::new(id)?, entry);
        }
        Some(ids)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> QueueId {
        QueueId::new(format!("{n:010X}").as_bytes()).unwrap()
    }

    /// Held mail waits outside the active queue until `postsuper -r` gives it a new id: then it was received, once.
    #[test]
    fn held_mail_that_is_requeued_is_received_when_it_becomes_active() {
        let mut ids = Ids::default();
        ids.begin(Some(7), id(1), Origin::Received, 3);
        ids.seen_by_cleanup(id(1));
        ids.abandon(7, false);
        ids.requeue(Some(id(1)), id(2));
        assert_eq!(ids.activate(id(2), 10, 1), Some((Origin::Received, 3)));
        assert!(ids.delivery(id(2), true, 1).first);
        // What was active before was received then.
        ids.requeue(Some(id(2)), id(3));
        assert_eq!(ids.activate(id(3), 10, 1), Some((Origin::Requeued, 0)));
        ids.requeue(Some(id(9)), id(4));
        assert_eq!(ids.activate(id(4), 10, 1), Some((Origin::Requeued, 0)), "never seen before");
    }

    #[test]
    fn the_first_activation_is_counted_and_a_retry_is_not() {
        let mut ids = Ids::default();
        ids.open(id(1), Origin::Received, 3);
        ids.seen_by_cleanup(id(1));
        assert_eq!(ids.activate(id(1), 400, 2), Some((Origin::Received, 3)));
        let first = ids.delivery(id(1), true, 1);
        assert!(first.newly_deferred && first.first && first.size == 400);
        let second = ids.delivery(id(1), true, 1);
        assert!(second.first && !second.newly_deferred, "one message");
        // An alias with more members than the message has recipients.
        let third = ids.delivery(id(1), false, 1);
        assert!(third.first && third.size == 400);
        assert_eq!(ids.activate(id(1), 400, 2), None, "a retry");
        let retry = ids.delivery(id(1), false, 1);
        assert!(retry.retried && !retry.first && retry.size == 400);
        assert!(!ids.delivery(id(1), true, 1).newly_deferred);
        ids.seen_by_cleanup(id(2));
        assert_eq!(ids.activate(id(2), 1, 1), Some((Origin::Internal, 0)));
        ids.remove(id(2));
        assert_eq!(ids.len(), 1);
        // What was deferred leaves with the 4,096th after it.
        (10..10 + LEAVING).for_each(|n| {
            ids.open(id(n), Origin::Received, 0);
            ids.activate(id(n), 1, 1);
            ids.delivery(id(n), true, 1);
        });
        assert_eq!(ids.len(), LEAVING);
        assert!(!ids.delivery(id(1), false, 1).retried);
    }

    #[test]
    fn broken_off_transactions_give_their_ids_back() {
        let mut ids = Ids::default();
        ids.begin(Some(7), id(1), Origin::Received, 0);
        // RSET, and another one.
        ids.begin(Some(7), id(2), Origin::Received, 0);
        assert_eq!(ids.len(), 1);
        ids.abandon(7, false);
        assert!(ids.is_empty(), "the client went");
        // The queue manager may be told later than the client is gone.
        ids.begin(Some(7), id(3), Origin::Received, 0);
        ids.seen_by_cleanup(id(3));
        ids.abandon(7, false);
        assert_eq!(ids.activate(id(3), 1, 1), Some((Origin::Received, 0)));
        // Within the content nothing was accepted.
        ids.begin(Some(7), id(4), Origin::Received, 0);
        ids.seen_by_cleanup(id(4));
        ids.abandon(7, true);
        assert_eq!(ids.len(), 1);
        ids.begin(Some(8), id(5), Origin::Received, 0);
        ids.abandon(9, true);
        assert_eq!(ids.len(), 2);
    }

    #[test]
    fn the_oldest_is_forgotten_and_counted() {
        let mut ids = Ids::default();
        ids.set_limit(100);
        (0..100).for_each(|n| ids.open(id(n), Origin::Received, 0));
        (10..100).for_each(|n| ids.remove(id(n)));
        (200..290).for_each(|n| ids.open(id(n), Origin::Received, 0));
        assert_eq!((ids.len(), ids.evicted), (100, 0));
        ids.open(id(300), Origin::Received, 0);
        assert_eq!((ids.len(), ids.evicted), (100, 1));
        assert_eq!(ids.activate(id(0), 1, 1), None, "the oldest");
        assert_eq!(ids.activate(id(2), 1, 1), Some((Origin::Received, 0)));
        (0..1_000_000).for_each(|n| {
            ids.open(id(n), Origin::Received, 0);
            ids.remove(id(n));
        });
        assert!(ids.order.len() < 3_000, "{}", ids.order.len());
    }

    #[test]
    fn it_survives_a_restart() {
        let mut ids = Ids::default();
        (0..1_000).for_each(|n| ids.open(id(n), Origin::Reinjected, if n == 8 { 0x1_0002 } else { n as u32 }));
        ids.has_null_sender(id(8));
        ids.activate(id(7), 77, 5);
        ids.delivery(id(7), true, 1);
        let mut bytes = Vec::new();
        ids.save(&mut bytes);
        let mut rest = &bytes[..];
        let mut again = Ids::load(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!(again.len(), 1_000);
        assert_eq!(again.activate(id(9), 1, 1), Some((Origin::Reinjected, 9)));
        assert_eq!(again.activate(id(8), 1, 1), Some((Origin::Reinjected, 0x1_0002)));
        assert!(again.delivery(id(8), false, 1).notice && !again.delivery(id(9), false, 1).notice);
        let known = again.delivery(id(7), true, 1);
        assert_eq!((known.size, known.newly_deferred), (77, false));
        for cut in 0..bytes.len().min(200) {
            let _ = Ids::load(&mut &bytes[..cut]);
        }
    }
}
