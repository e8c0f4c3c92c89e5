//! Notifications: a bounded queue between whoever notices something and the link (RFC 2741 §6.2.10, §7.1.10).
//!
//! Anybody may send, from any thread, without waiting. Notifications wait out a lost master. When the queue is full the
//! oldest goes, and that is counted. What the master has not confirmed when the connection breaks is sent again, so a
//! manager may see it twice, but not never. The confirmation means that the master has it, not that a manager has.

use super::{
    config::Rate,
    pdu::{Data, VarBind},
    stats::{Stats, count},
};
use crate::smi::{Oid, Value};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// snmpTrapOID.0 (RFC 3418).
const SNMP_TRAP_OID: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// Encoded VarBinds must fit the 64 KiB snmpd reads, octets.
const MAX_SIZE: usize = 60 * 1024;

/// Why something cannot be a notification.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotificationError {
    /// SNMPv1 sinks have no Counter64; snmpd drops the whole trap for them.
    #[error("notification {0} carries the Counter64 {1}, which SNMPv1 receivers never get; send a Gauge32 or a string")]
    Counter64(String, String),
    /// SMIv2 asks for it (RFC 2578 §8.5), SNMPv1 conversion needs it (RFC 3584 §3.1).
    #[error("notification {0} must be named <parent>.0.<number>, so that it can be told to SNMPv1 receivers")]
    Name(String),
    /// snmpd would drop it without a word.
    #[error("notification {0} is larger than 60 KiB")]
    TooLarge(String),
}

/// One notification, ready to be sent: snmpTrapOID.0 first, then the objects. The master adds sysUpTime.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    varbinds: Arc<[VarBind]>,
    receipt: Option<Receipt>,
}

/// Tells the sender of a notification what has become of it.
#[derive(Clone, Debug, Default)]
pub struct Receipt(Arc<OnceLock<bool>>);

impl Receipt {
    /// Whether the master has taken it; `None` while that is not known. `false`: it was given up.
    pub fn taken(&self) -> Option<bool> {
        self.0.get().copied()
    }
}

/// The same one.
impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Receipt {}

impl Notification {
    /// The notification `oid` with its objects.
    pub fn new(oid: Oid, objects: impl IntoIterator<Item = (Oid, Value)>) -> Result<Self, NotificationError> {
        if !matches!(oid.as_slice(), [_, .., 0, _]) {
            return Err(NotificationError::Name(oid.to_string()));
        }
        let name = Data::Value(Value::ObjectId(Arc::new(oid.clone())));
        let mut varbinds = vec![VarBind { name: Oid::from(SNMP_TRAP_OID), data: name }];
        let mut size = 0;
        for (name, value) in objects {
            let octets = match &value {
                Value::Counter64(_) => return Err(NotificationError::Counter64(oid.to_string(), name.to_string())),
                Value::OctetString(v) | Value::Opaque(v) => v.len(),
                Value::ObjectId(v) => v.len() * 4,
                _ => 0,
            };
            size += octets + 16 + name.len() * 4;
            varbinds.push(VarBind { name, data: Data::Value(value) });
        }
        if size > MAX_SIZE {
            Err(NotificationError::TooLarge(oid.to_string()))
        } else {
            Ok(Self { varbinds: varbinds.into(), receipt: None })
        }
    }

    /// The same, and what tells the sender what has become of it.
    pub fn with_receipt(self) -> (Self, Receipt) {
        let receipt = Receipt::default();
        (Self { receipt: Some(receipt.clone()), ..self }, receipt)
    }

    /// Notes that the master has taken it, or that it is given up.
    pub(crate) fn settle(&self, taken: bool) {
        if let Some(receipt) = &self.receipt {
            let _ = receipt.0.set(taken);
        }
    }

    /// All VarBinds in order.
    pub fn varbinds(&self) -> &[VarBind] {
        &self.varbinds
    }
}

/// The sending end. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Queue>);

/// The link's end.
#[derive(Debug)]
pub struct Notifications {
    queue: Arc<Queue>,
    bucket: Bucket,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<VecDeque<Notification>>,
    arrived: tokio::sync::Notify,
    limit: usize,
    stats: Arc<Stats>,
}

/// A queue and its two ends.
pub fn notifications(rate: Rate, stats: Arc<Stats>) -> (Notifier, Notifications) {
    let arrived = tokio::sync::Notify::new();
    let queue = Arc::new(Queue { waiting: Mutex::default(), arrived, limit: rate.queue.max(1), stats });
    let bucket = Bucket { burst: rate.burst.max(1), interval: rate.interval, spent: None };
    (Notifier(Arc::clone(&queue)), Notifications { queue, bucket })
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Notification>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notifier {
    /// Queues `notification`. Never waits; the oldest one is dropped when the queue is full.
    pub fn send(&self, notification: Notification) {
        let mut waiting = self.0.lock();
        if waiting.len() >= self.0.limit {
            if let Some(oldest) = waiting.pop_front() {
                oldest.settle(false);
            }
            count(&self.0.stats.notifications_dropped);
        }
        waiting.push_back(notification);
        drop(waiting);
        self.0.arrived.notify_one();
    }
}

impl Notifications {
    /// The next one, if the rate allows one now.
    pub fn take(&mut self, now: Instant) -> Option<Notification> {
        let mut waiting = self.queue.lock();
        if waiting.is_empty() || !self.bucket.spend(now) {
            return None;
        }
        waiting.pop_front()
    }

    /// When [`take`](Self::take) is worth another try; `None` if nothing waits.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        if self.queue.lock().is_empty() { None } else { Some(self.bucket.ready_at(now)) }
    }

    /// Waits for a new one. May return without cause.
    pub async fn arrived(&self) {
        self.queue.arrived.notified().await;
    }

    /// Puts unconfirmed ones back in front of the queue, in order.
    pub fn put_back(&mut self, unconfirmed: impl DoubleEndedIterator<Item = Notification>) {
        let mut waiting = self.queue.lock();
        for notification in unconfirmed.rev() {
            if waiting.len() < self.queue.limit {
                waiting.push_front(notification);
            } else {
                notification.settle(false);
                count(&self.queue.stats.notifications_dropped);
            }
        }
    }
}

/// A token bucket that stores when it would have been emptied at exactly its rate: no drift, no float.
#[derive(Debug)]
struct Bucket {
    burst: u32,
    interval: Duration,
    /// The time up to which tokens have been handed out.
    spent: Option<Instant>,
}

impl Bucket {
    fn ready_at(&self, now: Instant) -> Instant {
        let credit = self.interval.saturating_mul(self.burst - 1);
        self.spent.map_or(now, |spent| spent.checked_sub(credit).unwrap_or(now).max(now))
    }

    fn spend(&mut self, now: Instant) -> bool {
        if self.ready_at(now) > now {
            return false;
        }
        self.spent = Some(self.spent.map_or(now, |spent| spent.max(now)) + self.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn note(number: u32) -> Notification {
        Notification::new(Oid::from([1, 3, 0, number]), []).unwrap()
    }

    fn rate(burst: u32, queue: usize) -> Rate {
        Rate { burst, interval: Duration::from_secs(1), queue }
    }

    #[test]
    fn trap_oid_stands_first_no_counter64_and_zero_before_the_last_sub_identifier() {
        let object = (Oid::from([1, 3, 1, 0]), Value::Gauge32(7));
        let notification = Notification::new(Oid::from([1, 3, 0, 4]), [object]).unwrap();
        let [first, second] = notification.varbinds() else { panic!("two varbinds") };
        assert_eq!(first.name.to_string(), ".1.3.6.1.6.3.1.1.4.1.0");
        assert_eq!(first.data, Data::Value(Value::ObjectId(Arc::new(Oid::from([1, 3, 0, 4])))));
        assert_eq!(second.data, Data::Value(Value::Gauge32(7)));
        let wide = (Oid::from([1, 3, 1, 0]), Value::Counter64(7));
        let refused = Notification::new(Oid::from([1, 3, 0, 4]), [wide]);
        assert!(matches!(refused, Err(NotificationError::Counter64(..))));
        assert!(matches!(Notification::new(Oid::from([1, 3, 4]), []), Err(NotificationError::Name(_))));
        let long = (Oid::from([1, 3, 1, 0]), Value::octets(vec![0; 61 * 1024]));
        assert!(matches!(Notification::new(Oid::from([1, 3, 0, 4]), [long]), Err(NotificationError::TooLarge(_))));
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts_it() {
        let stats = Arc::new(Stats::default());
        let (sender, mut queue) = notifications(rate(10, 3), Arc::clone(&stats));
        (0..5).for_each(|n| sender.send(note(n)));
        let now = Instant::now();
        let out: Vec<_> = std::iter::from_fn(|| queue.take(now)).collect();
        assert_eq!(out, [note(2), note(3), note(4)]);
        assert_eq!(stats.notifications_dropped.load(Ordering::Relaxed), 2);
        sender.send(note(9));
        sender.send(note(10));
        queue.put_back(out.into_iter());
        let again: Vec<_> = std::iter::from_fn(|| queue.take(now)).collect();
        assert_eq!(again, [note(4), note(9), note(10)], "order is kept, the oldest go");
        assert_eq!(stats.notifications_dropped.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_per_interval() {
        let (sender, mut queue) = notifications(rate(3, 100), Arc::default());
        (0..10).for_each(|n| sender.send(note(n)));
        let start = Instant::now();
        let mut taken = |after: u64| {
            let now = start + Duration::from_millis(after);
            std::iter::from_fn(|| queue.take(now)).count()
        };
        assert_eq!(taken(0), 3);
        assert_eq!(taken(999), 0);
        assert_eq!(taken(1000), 1);
        assert_eq!(taken(3500), 2);
        assert_eq!(taken(60_000), 3, "a long pause earns a burst, not more");
        assert_eq!(queue.ready_at(start + Duration::from_secs(60)), Some(start + Duration::from_secs(61)));
    }
}
