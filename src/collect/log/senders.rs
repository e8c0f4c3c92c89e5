//! Who authenticated and sent how much in the last hour: the account somebody stole.

use super::counters::rows_fit;
use crate::collect::registry::{NAMES, OTHER, OTHER_NAME, Registry};
use serde::{Deserialize, Serialize};

/// The hour in pieces of five minutes.
const PIECES: usize = 12;
const PIECE: i64 = 300;

/// Counts of one name, by piece of the hour.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Hour {
    /// The piece that was written last, in five minutes since 1970.
    latest: i64,
    /// Messages, recipients, failures.
    pieces: [[u32; 3]; PIECES],
}

/// Which of the three.
#[derive(Clone, Copy)]
enum What {
    Messages,
    Recipients,
    Failures,
}

impl Hour {
    /// Empties the pieces that are over. A clock that went back by more than the hour leaves nothing that could be told: what
    /// was counted then lies in the future.
    fn advance(&mut self, piece: i64) {
        if piece < self.latest.saturating_sub(PIECES as i64) {
            (self.pieces, self.latest) = Default::default();
        }
        let passed = piece.saturating_sub(self.latest).clamp(0, PIECES as i64);
        for n in 0..passed {
            self.pieces[(piece - n).rem_euclid(PIECES as i64) as usize] = [0; 3];
        }
        self.latest = self.latest.max(piece);
    }

    fn count(&mut self, now: i64, what: What, by: u64) {
        let piece = now.div_euclid(PIECE);
        self.advance(piece);
        let place = &mut self.pieces[piece.rem_euclid(PIECES as i64) as usize][what as usize];
        *place = place.saturating_add(u32::try_from(by).unwrap_or(u32::MAX));
    }

    fn sums(&self, now: i64) -> [u64; 3] {
        let mut hour = *self;
        hour.advance(now.div_euclid(PIECE));
        let mut sums = [0; 3];
        for piece in hour.pieces {
            for (sum, count) in sums.iter_mut().zip(piece) {
                *sum += u64::from(count);
            }
        }
        sums
    }
}

/// All authenticated names of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Senders {
    names: Registry,
    /// Slot 0 is `(other)`.
    hours: Vec<Hour>,
}

impl Default for Senders {
    fn default() -> Self {
        Self { names: Registry::new(2), hours: vec![Hour::default()] }
    }
}

/// One row of postfixSenderTable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// postfixSenderIndex.
    pub index: u32,
    /// sasl_username.
    pub name: String,
    /// Over the last hour.
    pub messages: u64,
    /// Over the last hour.
    pub recipients: u64,
    /// Over the last hour.
    pub auth_failures: u64,
}

impl Senders {
    /// See [`State::is_plausible`](super::counters::State).
    pub(super) fn are_plausible(&self) -> bool {
        rows_fit(&self.names, self.hours.len())
    }

    /// `name` authenticated and begins so many messages. Returns its slot.
    pub fn message(&mut self, name: &str, now: i64, times: u64) -> u16 {
        let slot = self.names.index(name).map_or(0, |index| index as usize - 1);
        debug_assert!(slot <= NAMES);
        if self.hours.len() <= slot {
            self.hours.resize_with(slot + 1, Hour::default);
        }
        self.hours[slot].count(now, What::Messages, times);
        slot as u16
    }

    /// Its message goes to so many.
    pub fn recipients(&mut self, slot: u16, recipients: u64, now: i64) {
        if let Some(hour) = self.hours.get_mut(usize::from(slot)) {
            hour.count(now, What::Recipients, recipients);
        }
    }

    /// Somebody did not get in. What strangers try are not names: only those that have sent mail get a row.
    pub fn failure(&mut self, name: Option<&str>, now: i64, times: u64) {
        let known = name.and_then(|name| self.names.get(name)).map_or(0, |index| index as usize - 1);
        if let Some(hour) = self.hours.get_mut(known) {
            hour.count(now, What::Failures, times);
        }
    }

    /// The `most` busiest of the last hour, and `(other)` for all others.
    pub fn busiest(&self, most: usize, now: i64) -> Vec<Sender> {
        let mut rows: Vec<Sender> = (OTHER..)
            .zip(&self.hours)
            .map(|(index, hour)| {
                let [messages, recipients, auth_failures] = hour.sums(now);
                let name = self.names.name(index).unwrap_or(OTHER_NAME).to_owned();
                Sender { index, name, messages, recipients, auth_failures }
            })
            .collect();
        let mut other = rows.remove(0);
        rows.retain(|row| row.messages + row.recipients + row.auth_failures > 0);
        rows.sort_by_key(|row| std::cmp::Reverse((row.messages.max(row.recipients), row.auth_failures)));
        for row in rows.iter().skip(most) {
            other.messages += row.messages;
            other.recipients += row.recipients;
            other.auth_failures += row.auth_failures;
        }
        rows.truncate(most);
        rows.push(other);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_passes_and_the_rest_is_other() {
        let mut senders = Senders::default();
        let now = 1_000_000_000;
        for n in 0..10 {
            let slot = senders.message("bot", now + n * 60, 1);
            senders.recipients(slot, 50, now + n * 60);
        }
        senders.message("alice", now, 1);
        senders.failure(Some("alice"), now, 1);
        senders.failure(Some("nobody"), now, 1);
        senders.failure(None, now, 1);
        let rows = senders.busiest(1, now + 600);
        assert_eq!((rows[0].name.as_str(), rows[0].index, rows[0].messages, rows[0].recipients), ("bot", 2, 10, 500));
        assert_eq!(
            (rows[1].name.as_str(), rows[1].index, rows[1].messages, rows[1].auth_failures),
            ("(other)", 1, 1, 3)
        );
        let later = senders.busiest(5, now + 4_300);
        assert_eq!(later.len(), 1, "{later:?}");
        assert_eq!(senders.busiest(5, now + 600)[1].name, "alice");
    }

    /// A clock that was ten years ahead for a moment: the hour is right again, and over after an hour.
    #[test]
    fn a_clock_that_was_ahead() {
        let mut senders = Senders::default();
        let now = 1_700_000_000;
        senders.message("eve", now + 315_360_000, 1);
        assert_eq!(senders.busiest(5, now).iter().map(|s| s.messages).sum::<u64>(), 0);
        senders.message("eve", now, 1);
        senders.message("eve", now + 300, 1);
        assert_eq!(senders.busiest(5, now + 600).iter().map(|s| s.messages).sum::<u64>(), 2);
        assert_eq!(senders.busiest(5, now + 4_500).iter().map(|s| s.messages).sum::<u64>(), 0);
    }
}
