//! Names met at run time of which only the busiest have a row.
//!
//! A table has so many places. A name that comes while one is free has it at once; after that, once a minute, a name that was
//! busier within the last hour takes the place of the one that was least busy. Whoever holds a place keeps it for as long as
//! nobody needs it, so an idle night empties no table. Watched names have places of their own, always.
//!
//! A name that ever had a place is in the registry: it keeps index and counts while another one has its place, and has them
//! again when it returns. All others are candidates: they have neither, only their hour, and there are [`CANDIDATES`] of them
//! at most. A flood of new names therefore costs nobody an index; it has to be busier than who is there, name by name.

use super::hour::Hour;
use crate::collect::registry::{LONGEST, NAMES, OTHER, Registry};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many names without a place are compared with those that have one; beyond, the less busy half is forgotten.
const CANDIDATES: usize = 8_192;
/// No table has more places: the registry must know more names than those.
pub(super) const PLACES: usize = NAMES / 2;
/// Places are given anew so often, in seconds.
const TURN: i64 = 60;

/// What is counted of a name beside its hour.
pub(super) trait Ranking: Default {
    /// How busy a name is by the three counts of its hour; nothing at all has no place.
    fn rank(hour: [u64; 3]) -> (u64, u64);

    /// Whether it is worth to be remembered when the hour is over, though its name never had a place.
    fn is_kept(&self) -> bool {
        false
    }
}

/// A name that has, or had, a place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Row<T> {
    /// It is shown.
    pub placed: bool,
    /// Its last hour.
    pub hour: Hour,
    /// What is counted of it.
    pub value: T,
    /// It has a place of its own.
    #[serde(skip)]
    pub watched: bool,
}

/// One that has none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Candidate<T> {
    hour: Hour,
    value: T,
}

/// Whom an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// This row's, which is shown.
    Shown(u32),
    /// A name's whose place another one has now.
    Known(u32),
    /// Somebody's else.
    Other,
}

/// All names of one table of one instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ranked<T> {
    names: Registry,
    rows: BTreeMap<u32, Row<T>>,
    #[serde(default = "FxHashMap::default")]
    candidates: FxHashMap<Box<str>, Candidate<T>>,
    /// Everybody's hour.
    #[serde(default)]
    all: Hour,
    #[serde(skip)]
    places: usize,
    /// Places taken by names that are not watched.
    #[serde(skip)]
    taken: usize,
    /// The minute places were given in last.
    #[serde(skip)]
    turn: i64,
}

impl<T: Ranking> Default for Ranked<T> {
    fn default() -> Self {
        Self::new(Registry::new(OTHER + 1), BTreeMap::new())
    }
}

impl<T: Ranking> Ranked<T> {
    /// Of names that are known already.
    pub(super) fn new(names: Registry, rows: BTreeMap<u32, Row<T>>) -> Self {
        let (candidates, all, places, taken, turn) = Default::default();
        Self { names, rows, candidates, all, places, taken, turn }
    }

    /// Of names that are known already, and the hours of them and of everybody else.
    pub(super) fn with_hours(names: Registry, rows: BTreeMap<u32, Row<T>>, hours: &[Hour]) -> Self {
        let mut ranked = Self::new(names, rows);
        hours.iter().for_each(|hour| ranked.all.merge(hour));
        ranked
    }

    /// So many places, and these always. Rows beyond lose theirs when places are given next.
    pub(super) fn arrange<'n>(&mut self, places: usize, watched: impl IntoIterator<Item = &'n str>) {
        self.places = places.min(PLACES);
        // What was saved may not agree with itself.
        let names = &self.names;
        self.rows.retain(|index, _| names.name(*index).is_some());
        self.rows.values_mut().for_each(|row| row.watched = false);
        for name in watched.into_iter().take(PLACES / 2) {
            if let Some(index) = self.admit(name, Candidate::default()) {
                self.rows.entry(index).or_default().watched = true;
            }
        }
        self.taken = self.rows.values().filter(|row| row.placed && !row.watched).count();
        self.turn = i64::MIN;
    }

    /// An event of `name`: so many more of one of the three counts of its hour. Only what is `eligible` brings a name nearer to
    /// a place.
    pub(super) fn note(&mut self, name: &str, now: i64, what: usize, by: u64, eligible: bool) -> Who {
        self.all.count(now, what, by);
        if now.div_euclid(TURN) != self.turn {
            self.judge(now);
        }
        if let Some(index) = self.names.get(name) {
            let free = self.taken < self.places;
            let row = self.rows.entry(index).or_default();
            if row.placed || eligible {
                row.hour.count(now, what, by);
            }
            if !row.placed && eligible && free && T::rank(row.hour.sums(now)).0 > 0 {
                row.placed = true;
                self.taken += 1;
            }
            let placed = row.placed;
            // Once a minute is enough to be remembered by.
            self.names.touch(index);
            return if placed { Who::Shown(index) } else { Who::Known(index) };
        }
        if !eligible || name.is_empty() || name.len() > LONGEST || self.places == 0 {
            return Who::Other;
        }
        if !self.candidates.contains_key(name) {
            if self.candidates.len() >= CANDIDATES {
                self.sweep(now);
            }
            self.candidates.insert(name.into(), Candidate::default());
        }
        let Some(candidate) = self.candidates.get_mut(name) else { return Who::Other };
        candidate.hour.count(now, what, by);
        if self.taken < self.places && T::rank(candidate.hour.sums(now)).0 > 0 {
            let candidate = self.candidates.remove(name).unwrap_or_default();
            if let Some(index) = self.admit(name, candidate) {
                self.taken += 1;
                return Who::Shown(index);
            }
        }
        Who::Other
    }

    /// An event that nobody's name can be told of.
    pub(super) fn note_nameless(&mut self, now: i64, what: usize, by: u64) {
        self.all.count(now, what, by);
    }

    /// Whether it is a name that is not made up now.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.names.get(name).is_some() || self.candidates.contains_key(name)
    }

    /// What is counted of a name that has or had a place.
    pub(super) fn value(&mut self, index: u32) -> Option<&mut T> {
        self.rows.get_mut(&index).map(|row| &mut row.value)
    }

    /// What is counted of all that have or had a place.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.values_mut().map(|row| &mut row.value)
    }

    /// What is counted of one that had none yet.
    pub(super) fn candidate(&mut self, name: &str) -> Option<&mut T> {
        self.candidates.get_mut(name).map(|candidate| &mut candidate.value)
    }

    /// Gives `name` a place, with what was noted of it before it was in the registry.
    fn admit(&mut self, name: &str, candidate: Candidate<T>) -> Option<u32> {
        let admitted = self.names.claim(name);
        if let Some(retired) = admitted.retired {
            self.rows.remove(&retired);
        }
        let index = admitted.index?;
        let known = self.candidates.remove(name).unwrap_or(candidate);
        let row = self.rows.entry(index).or_insert_with(|| Row {
            placed: false,
            watched: false,
            hour: known.hour,
            value: known.value,
        });
        row.placed = true;
        Some(index)
    }

    /// Gives places to the busiest of the last hour.
    fn judge(&mut self, now: i64) {
        self.turn = now.div_euclid(TURN);
        self.names.turn(now);
        // A place is use enough to be remembered.
        for (index, _) in self.rows.iter().filter(|(_, row)| row.placed) {
            self.names.touch(*index);
        }
        let rank = |hour: &Hour| T::rank(hour.sums(now));
        let mut held: Vec<((u64, u64), u32)> = self
            .rows
            .iter()
            .filter(|(_, row)| row.placed && !row.watched)
            .map(|(index, row)| (rank(&row.hour), *index))
            .collect();
        // The least busy first; among equals the youngest, whose history is the shortest.
        held.sort_unstable_by_key(|(rank, index)| (*rank, std::cmp::Reverse(*index)));
        let excess = held.len().saturating_sub(self.places);
        for (_, index) in held.drain(..excess) {
            self.displace(index);
        }
        self.candidates.retain(|_, candidate| rank(&candidate.hour) > (0, 0) || candidate.value.is_kept());
        let known = self.rows.iter().filter(|(_, row)| !row.placed);
        let known = known.filter_map(|(index, row)| Some((rank(&row.hour), self.names.name(*index)?)));
        let new = self.candidates.iter().map(|(name, candidate)| (rank(&candidate.hour), &**name));
        let floor = if held.len() < self.places { (0, u64::MAX) } else { held.first().map_or((u64::MAX, 0), |h| h.0) };
        let mut coming: Vec<((u64, u64), Box<str>)> = known
            .chain(new)
            .filter(|(rank, _)| rank.0 > 0 && *rank > floor)
            .map(|(rank, name)| (rank, name.into()))
            .collect();
        coming.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut free = self.places.saturating_sub(held.len());
        let mut weakest = held.into_iter();
        for (rank, name) in coming {
            if free > 0 {
                free -= 1;
            } else {
                match weakest.next() {
                    Some((held, index)) if held < rank => self.displace(index),
                    _ => break,
                }
            }
            self.admit(&name, Candidate::default());
        }
        self.taken = self.rows.values().filter(|row| row.placed && !row.watched).count();
    }

    fn displace(&mut self, index: u32) {
        if let Some(row) = self.rows.get_mut(&index) {
            row.placed = false;
        }
    }

    /// Makes room among the candidates.
    fn sweep(&mut self, now: i64) {
        self.judge(now);
        if self.candidates.len() < CANDIDATES {
            return;
        }
        let mut ranks: Vec<_> = self.candidates.values().map(|candidate| T::rank(candidate.hour.sums(now))).collect();
        let middle = ranks.len() / 2;
        let (_, median, _) = ranks.select_nth_unstable(middle);
        let median = *median;
        let above = ranks.iter().filter(|rank| **rank > median).count();
        // Of those that are as busy as the median as many as fit.
        let mut equal = (CANDIDATES / 2).saturating_sub(above);
        self.candidates.retain(|_, candidate| {
            let rank = T::rank(candidate.hour.sums(now));
            let stays = rank > median || rank == median && equal > 0;
            equal = equal.saturating_sub(usize::from(stays && rank == median));
            stays
        });
    }

    /// Index, name and row of all that are shown, ascending.
    pub(super) fn shown(&self) -> impl Iterator<Item = (u32, &str, &Row<T>)> {
        self.rows.iter().filter(|(_, row)| row.placed).filter_map(|(index, row)| {
            let name = self.names.name(*index)?;
            Some((*index, name, row))
        })
    }

    /// The busiest of those that are shown, so many at most and all that are watched, by index.
    pub(super) fn busiest(&self, most: usize, now: i64) -> Vec<(u32, &str, &Row<T>)> {
        let mut rows: Vec<_> = self.shown().collect();
        rows.sort_by_key(|(index, _, row)| {
            (std::cmp::Reverse(row.watched), std::cmp::Reverse(T::rank(row.hour.sums(now))), *index)
        });
        let watched = rows.iter().filter(|(.., row)| row.watched).count();
        rows.truncate(watched.saturating_add(most));
        rows.sort_by_key(|(index, ..)| *index);
        rows
    }

    /// Everybody's hour.
    pub(super) fn all(&self, now: i64) -> [u64; 3] {
        self.all.sums(now)
    }

    /// The hours of all that are known, shown or not.
    pub(super) fn hours(&self) -> impl Iterator<Item = &Hour> {
        self.rows.values().map(|row| &row.hour).chain(self.candidates.values().map(|candidate| &candidate.hour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    struct Plain;

    impl Ranking for Plain {
        fn rank(hour: [u64; 3]) -> (u64, u64) {
            (hour[0], hour[1])
        }
    }

    fn ranked(places: usize, watched: &[&str]) -> Ranked<Plain> {
        let mut ranked = Ranked::default();
        ranked.arrange(places, watched.iter().copied());
        ranked
    }

    fn names(ranked: &Ranked<Plain>) -> Vec<(u32, &str)> {
        ranked.shown().map(|(index, name, _)| (index, name)).collect()
    }

    fn note(ranked: &mut Ranked<Plain>, name: &str, now: i64, times: u32) {
        (0..times).for_each(|_| {
            ranked.note(name, now, 0, 1, true);
        });
    }

    const NOON: i64 = 1_700_000_040;

    #[test]
    fn the_busiest_have_the_places_and_a_name_returns_to_its_index() {
        let mut ranked = ranked(2, &["w"]);
        assert_eq!(ranked.note("a", NOON, 0, 1, true), Who::Shown(3), "2 is the watched one's");
        note(&mut ranked, "b", NOON, 1);
        assert_eq!(ranked.note("c", NOON, 0, 1, true), Who::Other, "no place is free");
        note(&mut ranked, "c", NOON, 4);
        note(&mut ranked, "a", NOON, 2);
        assert_eq!(names(&ranked), [(2, "w"), (3, "a"), (4, "b")]);
        note(&mut ranked, "c", NOON + 60, 1);
        assert_eq!(names(&ranked), [(2, "w"), (3, "a"), (5, "c")], "a minute later");
        assert_eq!(ranked.note("b", NOON + 61, 0, 1, true), Who::Known(4));
        note(&mut ranked, "b", NOON + 61, 9);
        note(&mut ranked, "c", NOON + 120, 1);
        assert_eq!(names(&ranked), [(2, "w"), (4, "b"), (5, "c")], "b again, by its number");
        // A night: nobody else comes.
        note(&mut ranked, "c", NOON + 40_000, 1);
        assert_eq!(names(&ranked), [(2, "w"), (4, "b"), (5, "c")]);
        // As busy as c is no reason.
        note(&mut ranked, "d", NOON + 40_000, 1);
        note(&mut ranked, "c", NOON + 40_100, 1);
        assert_eq!(names(&ranked), [(2, "w"), (5, "c"), (6, "d")], "b was idle for hours");
        let text = serde_json::to_string(&ranked).unwrap();
        let mut again: Ranked<Plain> = serde_json::from_str(&text).unwrap();
        again.arrange(1, ["d"]);
        assert_eq!(again.note("c", NOON + 40_200, 0, 1, true), Who::Shown(5));
        assert_eq!(names(&again), [(5, "c"), (6, "d")], "w is not watched any more");
    }

    #[test]
    fn what_is_not_eligible_makes_no_row() {
        let mut ranked = ranked(5, &[]);
        assert_eq!(ranked.note("a", NOON, 0, 1, false), Who::Other);
        note(&mut ranked, "a", NOON, 1);
        assert_eq!(ranked.note("a", NOON, 0, 1, false), Who::Shown(2));
        assert_eq!(ranked.note("", NOON, 0, 1, true), Who::Other);
        assert_eq!(ranked.note(&"x".repeat(256), NOON, 0, 1, true), Who::Other);
        assert_eq!((names(&ranked).len(), ranked.all(NOON)[0]), (1, 5));
    }

    /// A flood of names, each seen once or twice: those in place keep it, and the memory stays as it is.
    #[test]
    fn a_flood_pushes_nobody_out() {
        let mut ranked = ranked(50, &[]);
        for n in 0..50 {
            note(&mut ranked, &format!("real {n}"), NOON, 3);
        }
        for n in 0..50_000 {
            let now = NOON + n / 20;
            ranked.note(&format!("flood {n}"), now, 0, 1, true);
            if n % 40 == 0 {
                ranked.note(&format!("late {}", n % 5), now, 0, 1, true);
            }
        }
        assert!(ranked.candidates.len() <= CANDIDATES && ranked.rows.len() < 60, "{}", ranked.rows.len());
        let shown = names(&ranked);
        assert!(!shown.iter().any(|(_, name)| name.starts_with("flood")), "{shown:?}");
        assert_eq!(ranked.busiest(1, NOON + 2_500).first().map(|(_, name, _)| *name), Some("late 0"));
        // An hour later none of them counts any more.
        note(&mut ranked, "real 1", NOON + 7_200, 1);
        assert!(ranked.candidates.is_empty());
    }

    /// More names than the registry remembers take places after each other: no index is given twice.
    #[test]
    fn indices_are_given_once() {
        let mut ranked = ranked(40, &["w"]);
        let mut owners: FxHashMap<u32, String> = FxHashMap::default();
        for hour in 0..150 {
            let now = NOON + hour * 4_000;
            // All who were there are idle; those who come take their places a minute later.
            for n in 0..40 {
                ranked.note(&format!("name {hour} {n}"), now, 0, 1, true);
            }
            ranked.note("w", now + 60, 0, 1, true);
            for (index, name, _) in ranked.shown() {
                assert_eq!(owners.entry(index).or_insert_with(|| name.to_owned()), name);
            }
        }
        assert!(ranked.rows.len() <= NAMES && ranked.names.iter().count() <= NAMES);
        assert!(names(&ranked).contains(&(2, "w")) && owners.len() > NAMES);
    }
}
