//! Which state each SNMP request is answered from.
//!
//! A master splits one SNMP request into many PDUs with one transactionID. If each were answered from the newest state, a
//! table published in between would tear a GETBULK apart: a row half old and half new, or a row twice.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// Transactions remembered.
const MOST: usize = 64;
/// How long one is remembered: longer than any master waits for the parts of one request.
pub(super) const LIFETIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Views<V>(VecDeque<Entry<V>>);

#[derive(Debug)]
struct Entry<V> {
    transaction: u32,
    since: Instant,
    view: Arc<V>,
}

impl<V> Default for Views<V> {
    fn default() -> Self {
        Self(VecDeque::with_capacity(MOST))
    }
}

impl<V> Views<V> {
    /// The state `transaction` began with; the newest one if it is not known.
    pub(super) fn of(&mut self, transaction: u32, now: Instant, newest: impl Fn() -> Arc<V>) -> Arc<V> {
        self.expire(now);
        // The latest stand at the end, and it is nearly always the last one.
        if let Some(entry) = self.0.iter().rev().find(|entry| entry.transaction == transaction) {
            return Arc::clone(&entry.view);
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        let view = newest();
        self.0.push_back(Entry { transaction, since: now, view: Arc::clone(&view) });
        view
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.0.front().is_some_and(|entry| entry.since + LIFETIME <= now) {
            self.0.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn one_transaction_sees_one_state_for_ten_seconds_and_64_are_remembered() {
        let published = Cell::new(0);
        let newest = || Arc::new(published.get());
        let start = Instant::now();
        let mut views = Views::default();
        assert_eq!(*views.of(7, start, newest), 0);
        published.set(1);
        assert_eq!(*views.of(7, start + Duration::from_secs(9), newest), 0);
        assert_eq!(*views.of(8, start + Duration::from_secs(9), newest), 1);
        published.set(2);
        assert_eq!(*views.of(7, start + Duration::from_secs(10), newest), 2, "too old");
        for other in 100..163 {
            views.of(other, start + Duration::from_secs(10), newest);
        }
        published.set(3);
        assert_eq!(*views.of(7, start + Duration::from_secs(10), newest), 2, "the 64th");
        views.of(163, start + Duration::from_secs(10), newest);
        assert_eq!(*views.of(7, start + Duration::from_secs(10), newest), 3, "pushed out");
        assert_eq!(views.0.len(), MOST);
        views.expire(start + Duration::from_secs(20));
        assert!(views.is_empty());
    }
}
