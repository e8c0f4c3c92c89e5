//! What happened within the last hour, in pieces of five minutes.

use serde::{Deserialize, Serialize};

/// The hour in pieces of five minutes.
const PIECES: usize = 12;
const PIECE: i64 = 300;

/// Three counts of one name, by piece of the hour. What the three are is the table's affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub(super) struct Hour {
    /// The piece that was written last, in five minutes since 1970.
    latest: i64,
    pieces: [[u32; 3]; PIECES],
}

/// The saved form: only pieces that hold something. Until postfixDestinationTable came all twelve were written.
#[derive(Serialize, Deserialize)]
struct Saved {
    latest: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pieces: Vec<[u32; 3]>,
    #[serde(default)]
    held: Vec<(u8, u32, u32, u32)>,
}

impl From<Saved> for Hour {
    fn from(saved: Saved) -> Self {
        let mut hour = Self { latest: saved.latest, ..Self::default() };
        for (piece, counts) in hour.pieces.iter_mut().zip(saved.pieces) {
            *piece = counts;
        }
        for (at, a, b, c) in saved.held {
            if let Some(piece) = hour.pieces.get_mut(usize::from(at)) {
                *piece = [a, b, c];
            }
        }
        hour
    }
}

impl From<Hour> for Saved {
    fn from(hour: Hour) -> Self {
        let held = (0_u8..).zip(hour.pieces).filter(|(_, counts)| *counts != [0; 3]);
        Self { latest: hour.latest, pieces: Vec::new(), held: held.map(|(at, [a, b, c])| (at, a, b, c)).collect() }
    }
}

/// The place of a piece among the twelve.
fn place(piece: i64) -> usize {
    usize::try_from(piece.rem_euclid(PIECES as i64)).unwrap_or(0)
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
            self.pieces[place(piece.saturating_sub(n))] = [0; 3];
        }
        self.latest = self.latest.max(piece);
    }

    /// Adds to the count at this place.
    pub(super) fn count(&mut self, now: i64, what: usize, by: u64) {
        let piece = now.div_euclid(PIECE);
        self.advance(piece);
        if let Some(count) = self.pieces[place(piece)].get_mut(what) {
            *count = count.saturating_add(u32::try_from(by).unwrap_or(u32::MAX));
        }
    }

    /// Adds what another name did.
    pub(super) fn merge(&mut self, other: &Self) {
        self.advance(other.latest.max(self.latest));
        for back in 0..PIECES as i64 {
            let piece = other.latest - back;
            if self.latest - piece < PIECES as i64 {
                for (sum, count) in self.pieces[place(piece)].iter_mut().zip(other.pieces[place(piece)]) {
                    *sum = sum.saturating_add(count);
                }
            }
        }
    }

    /// The three counts of the hour that ends now.
    pub(super) fn sums(&self, now: i64) -> [u64; 3] {
        self.of_last(PIECES as i64, now)
    }

    /// Of the first half of that hour and of the second.
    pub(super) fn halves(&self, now: i64) -> [[u64; 3]; 2] {
        let whole = self.sums(now);
        let second = self.of_last(PIECES as i64 / 2, now);
        [[0, 1, 2].map(|n| whole[n] - second[n]), second]
    }

    fn of_last(&self, pieces: i64, now: i64) -> [u64; 3] {
        let piece = now.div_euclid(PIECE);
        let mut sums = [0; 3];
        // Nothing lies further back, and nothing ahead is of this hour.
        if piece.saturating_sub(self.latest) >= pieces || piece < self.latest.saturating_sub(PIECES as i64) {
            return sums;
        }
        let newest = self.latest.max(piece);
        for at in piece.saturating_sub(pieces - 1)..=newest {
            // What a clock ahead wrote is kept apart by `advance` alone.
            if newest - at < PIECES as i64 && at <= self.latest {
                for (sum, count) in sums.iter_mut().zip(self.pieces[place(at)]) {
                    *sum += u64::from(count);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was written before there was a sparse form.
    #[test]
    fn the_old_form_is_read() {
        let old = r#"{"latest":5,"pieces":[[0,0,0],[1,2,3],[0,0,0],[0,0,0],[0,0,0],[7,0,1],[0,0,0],[0,0,0],[0,0,0],[0,0,0],[0,0,0],[0,0,0]]}"#;
        let hour: Hour = serde_json::from_str(old).unwrap();
        assert_eq!(hour.sums(5 * PIECE), [8, 2, 4]);
        let text = serde_json::to_string(&hour).unwrap();
        assert_eq!(text, r#"{"latest":5,"held":[[1,1,2,3],[5,7,0,1]]}"#);
        assert_eq!(serde_json::from_str::<Hour>(&text).unwrap(), hour);
    }

    #[test]
    fn halves_are_of_half_an_hour() {
        let mut hour = Hour::default();
        hour.count(0, 2, 4);
        hour.count(45 * 60, 2, 9);
        assert_eq!(hour.halves(59 * 60), [[0, 0, 4], [0, 0, 9]]);
        assert_eq!(hour.halves(61 * 60), [[0, 0, 0], [0, 0, 9]]);
    }

    proptest! {
        /// Against a list of what was counted: nothing older than an hour, nothing of the last 55 minutes missing.
        #[test]
        fn the_hour_is_what_was_counted_in_it(steps in proptest::collection::vec((0_i64..900, 1_u64..9), 1..60), later in 0_i64..5_000) {
            let (mut hour, mut counted, mut now) = (Hour::default(), Vec::new(), 1_700_000_000_i64);
            for (step, by) in steps {
                now += step;
                hour.count(now, 0, by);
                counted.push((now, by));
            }
            now += later;
            let since = |piece: i64| counted.iter().filter(|(at, _)| at.div_euclid(PIECE) > piece).map(|(_, by)| by).sum::<u64>();
            prop_assert_eq!(hour.sums(now)[0], since(now.div_euclid(PIECE) - PIECES as i64));
            prop_assert_eq!(hour.halves(now)[1][0], since(now.div_euclid(PIECE) - PIECES as i64 / 2));
        }
    }
}
