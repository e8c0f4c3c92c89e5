//! Indices that never move: name → index, saved by the owner with its state.
//!
//! An index is never given to another name. A name that returns gets its old index back for as long as it is remembered: a
//! table remembers [`NAMES`] names, and what has not been used longest makes room for what comes. Two ways to ask:
//!
//! - [`Registry::index`] takes room only from a name that was not used for [`IDLE`]. Where there is none the new name is
//!   refused, and counts as `(other)`: right where names come one by one and none is known to matter more.
//! - [`Registry::claim`] takes the room of the name not used longest, however young: for names that must be seen, because they
//!   are the largest of their table, or because Postfix itself brought them. A stranger who makes up names then costs
//!   other idle names their index, and hides nobody.
//!
//! Time is what the owner saw pass between two calls of [`Registry::turn`], a day at most from one to the next: no step of
//! the clock, either way, makes names old at once.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

/// The index of `(other)` in tables of names met at run time.
pub const OTHER: u32 = 1;
/// What that row is called.
pub const OTHER_NAME: &str = "(other)";
/// The most names such a table remembers; further ones count as `(other)`.
pub const NAMES: usize = 4_096;
/// No name is longer, in octets: that is what SnmpAdminString holds. Longer ones are refused.
pub const LONGEST: usize = 255;
/// A name not used for so many seconds gives its index up where another one needs the room: 30 days.
pub const IDLE: u64 = 30 * DAY;
const DAY: u64 = 86_400;

/// A registry of names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct Registry {
    first: u32,
    /// The index no name has had yet.
    next: u32,
    by_name: FxHashMap<Arc<str>, u32>,
    names: BTreeMap<u32, Name>,
    /// The same by last use: turn, then index.
    by_use: BTreeSet<(u64, u32)>,
    turn: u64,
    /// Seconds that have passed for the owner.
    lived: u64,
    /// Seconds since 1970 at the last turn.
    clock: Option<i64>,
    /// The turn a name was refused in last.
    refused: Option<u64>,
    /// What [`Registry::must_be_saved`] compares with: the next index, and the time.
    saved: (u32, u64),
}

#[derive(Clone, Debug)]
struct Name {
    name: Arc<str>,
    /// Turn of the last use.
    turn: u64,
    /// Time of the last use, as [`Registry::lived`] counts it.
    at: u64,
}

/// What came of asking for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The name's index; `None` where it was refused.
    pub index: Option<u32>,
    /// The index of the name that made room; nobody will have it again.
    pub retired: Option<u32>,
}

/// Whose room a new name may take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Of a name not used for [`IDLE`].
    Idle,
    /// Of the name not used longest, if it was not used in this turn.
    Oldest,
}

/// The saved form. That of 0.1.0 had names only, their indices one after the other from `first`.
#[derive(Serialize, Deserialize)]
struct Saved {
    first: u32,
    #[serde(default)]
    next: u32,
    #[serde(default)]
    lived: u64,
    #[serde(default)]
    clock: Option<i64>,
    /// In the order of their last use.
    names: Vec<SavedName>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SavedName {
    /// Name, index, time of the last use.
    Used(Box<str>, u32, u64),
    Plain(Box<str>),
}

impl From<Saved> for Registry {
    fn from(saved: Saved) -> Self {
        let mut registry = Self {
            first: saved.first,
            next: saved.next.max(saved.first),
            by_name: FxHashMap::default(),
            names: BTreeMap::new(),
            by_use: BTreeSet::new(),
            turn: 0,
            lived: saved.lived,
            clock: saved.clock,
            refused: None,
            saved: (0, 0),
        };
        for (position, name) in saved.names.into_iter().take(NAMES).enumerate() {
            let (name, index, at) = match name {
                SavedName::Used(name, index, at) => (name, Some(index), at),
                SavedName::Plain(name) => (name, saved.first.checked_add(position as u32), saved.lived),
            };
            // A state somebody wrote by hand must not give one index to two names, or one that is still to be given.
            let free = |index: &u32| (saved.first..u32::MAX).contains(index) && !registry.names.contains_key(index);
            let Some(index) = index.filter(free) else { continue };
            if !registry.by_name.contains_key(&*name) {
                registry.turn += 1;
                registry.next = registry.next.max(index + 1);
                registry.insert(name.into(), index, at.min(saved.lived));
            }
        }
        registry.saved = (registry.next, registry.lived);
        registry
    }
}

impl From<Registry> for Saved {
    fn from(registry: Registry) -> Self {
        let in_order = registry.by_use.iter().filter_map(|(_, index)| {
            let known = registry.names.get(index)?;
            Some(SavedName::Used((&*known.name).into(), *index, known.at))
        });
        Self {
            first: registry.first,
            next: registry.next,
            lived: registry.lived,
            clock: registry.clock,
            names: in_order.collect(),
        }
    }
}

impl Registry {
    /// Indices from `first` on: 1, or 2 where 1 is [`OTHER`].
    pub fn new(first: u32) -> Self {
        Saved { first, next: first, lived: 0, clock: None, names: Vec::new() }.into()
    }

    /// A new turn begins, at so many seconds since 1970: a look at the source, or an event of the log. Names used in one
    /// turn do not take each other's room.
    pub fn turn(&mut self, now: i64) {
        self.turn += 1;
        let passed = self.clock.map_or(0, |before| u64::try_from(now.saturating_sub(before)).unwrap_or(0));
        self.lived = self.lived.saturating_add(passed.min(DAY));
        self.clock = Some(now);
    }

    /// The indices that were given: what comes next is the end.
    pub(crate) fn given(&self) -> Range<u32> {
        self.first..self.next
    }

    /// The index of `name`, a new one where it has none; `None` when [`NAMES`] are known already and in use.
    pub fn index(&mut self, name: &str) -> Option<u32> {
        self.admit(name, Room::Idle).index
    }

    /// [`index`](Self::index), and who made room.
    pub fn ask(&mut self, name: &str) -> Admission {
        self.admit(name, Room::Idle)
    }

    /// As [`ask`](Self::ask), for a name that must be seen: it is refused only where all others were used in this turn.
    pub fn claim(&mut self, name: &str) -> Admission {
        self.admit(name, Room::Oldest)
    }

    fn admit(&mut self, name: &str, room: Room) -> Admission {
        if let Some(index) = self.by_name.get(name).copied() {
            self.touch(index);
            return Admission { index: Some(index), retired: None };
        }
        let full = self.names.len() >= NAMES;
        // The last number is kept back: what comes after it would be the first again.
        let possible = name.len() <= LONGEST && self.next < u32::MAX && (!full || self.may_retire(room));
        if !possible {
            self.refused = Some(self.turn);
            return Admission { index: None, retired: None };
        }
        let retired = if full { self.retire() } else { None };
        let index = self.next;
        self.next += 1;
        self.insert(name.into(), index, self.lived);
        Admission { index: Some(index), retired }
    }

    /// Whether the name not used longest may make room.
    fn may_retire(&self, room: Room) -> bool {
        let oldest = self.by_use.first().and_then(|(_, index)| self.names.get(index));
        oldest.is_some_and(|name| match room {
            Room::Idle => self.lived.saturating_sub(name.at) >= IDLE,
            Room::Oldest => name.turn < self.turn,
        })
    }

    fn retire(&mut self) -> Option<u32> {
        let (_, index) = self.by_use.pop_first()?;
        let name = self.names.remove(&index)?;
        self.by_name.remove(&name.name);
        Some(index)
    }

    fn insert(&mut self, name: Arc<str>, index: u32, at: u64) {
        self.by_name.insert(name.clone(), index);
        self.names.insert(index, Name { name, turn: self.turn, at });
        self.by_use.insert((self.turn, index));
    }

    /// Gives the index of one name to another one that has none, as its owner's names are made differently from now on.
    pub fn rename(&mut self, from: &str, to: &str) {
        if self.by_name.contains_key(to) || to.len() > LONGEST {
            return;
        }
        let Some(index) = self.by_name.remove(from) else { return };
        let Some(known) = self.names.get_mut(&index) else { return };
        known.name = to.into();
        self.by_name.insert(known.name.clone(), index);
    }

    /// The name behind this index is in use now.
    pub fn touch(&mut self, index: u32) {
        let Some(name) = self.names.get_mut(&index) else { return };
        name.at = self.lived;
        if name.turn != self.turn {
            self.by_use.remove(&(name.turn, index));
            name.turn = self.turn;
            self.by_use.insert((self.turn, index));
        }
    }

    /// The index of `name` if it has one. No use of it.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The name behind an index.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.names.get(&index).map(|known| &*known.name)
    }

    /// All names with their indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.names.iter().map(|(index, known)| (*index, &*known.name))
    }

    /// Whether a name was refused in this turn: what health must tell, because that table is blind in part.
    pub fn is_refusing(&self) -> bool {
        self.refused == Some(self.turn)
    }

    /// Whether there is something that a restart must not forget: a name, or the use of names for a day. The caller saves
    /// it, and says so by [`saved`](Self::saved).
    pub fn must_be_saved(&self) -> bool {
        let (next, lived) = self.saved;
        self.next != next || self.lived.saturating_sub(lived) >= DAY
    }

    /// It was saved as it is.
    pub fn saved(&mut self) {
        self.saved = (self.next, self.lived);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn again(registry: &Registry) -> Registry {
        serde_json::from_str(&serde_json::to_string(registry).unwrap()).unwrap()
    }

    /// All places taken, by `0`, `1`, …
    fn full(registry: &mut Registry) {
        assert!((0..NAMES).all(|i| registry.index(&i.to_string()).is_some()));
    }

    #[test]
    fn an_index_stays_with_its_name_through_a_restart() {
        let mut registry = Registry::new(2);
        assert_eq!((registry.index("a"), registry.index("b"), registry.index("a")), (Some(2), Some(3), Some(2)));
        let mut registry = again(&registry);
        assert_eq!((registry.index("c"), registry.index("b")), (Some(4), Some(3)));
        assert_eq!(registry.name(3), Some("b"));
        assert_eq!((registry.name(0), registry.name(1), registry.name(9)), (None, None, None));
    }

    #[test]
    fn the_state_of_0_1_0_keeps_its_indices() {
        let mut registry: Registry = serde_json::from_str(r#"{"first":2,"names":["a","b","c"]}"#).unwrap();
        assert_eq!(registry.iter().collect::<Vec<_>>(), [(2, "a"), (3, "b"), (4, "c")]);
        assert_eq!((registry.index("b"), registry.index("d")), (Some(3), Some(5)));
    }

    #[test]
    fn a_state_that_contradicts_itself_gives_no_index_twice() {
        let text = r#"{"first":2,"next":3,"names":[["a",7,9],["b",7,0],["a",8,0],["c",1,0],["d",4294967295,0],"e"]}"#;
        let mut registry: Registry = serde_json::from_str(text).unwrap();
        assert_eq!(registry.iter().collect::<Vec<_>>(), [(7, "a")], "e would be 7 as well");
        assert_eq!(registry.index("b"), Some(8));
        let mut last: Registry = serde_json::from_str(r#"{"first":4294967290,"next":4294967295,"names":[]}"#).unwrap();
        assert_eq!(last.index("a"), None, "numbers do not begin anew");
    }

    #[test]
    fn without_time_it_is_bounded_by_refusing() {
        let mut registry = Registry::new(2);
        full(&mut registry);
        assert!(!registry.is_refusing());
        assert_eq!(registry.index("one too many"), None);
        assert!(registry.is_refusing());
        assert_eq!(registry.index("0"), Some(2));
        registry.turn(0);
        assert!(!registry.is_refusing(), "nothing was refused since");
        assert_eq!(registry.claim(&"x".repeat(LONGEST + 1)).index, None);
    }

    #[test]
    fn after_thirty_days_the_name_not_used_longest_makes_room() {
        let mut registry = Registry::new(2);
        registry.turn(0);
        full(&mut registry);
        for day in 1..=29 {
            registry.turn(day * DAY as i64);
            registry.index("0");
        }
        assert_eq!(registry.index("new"), None);
        let mut registry = again(&registry);
        registry.turn(30 * DAY as i64);
        let new = NAMES as u32 + 2;
        assert_eq!(registry.ask("new"), Admission { index: Some(new), retired: Some(3) }, "0 was used, 1 was not");
        assert_eq!((registry.get("0"), registry.get("1"), registry.name(3)), (Some(2), None, None));
        assert_eq!(registry.index("1"), Some(new + 1), "its old number stays unused");
    }

    #[test]
    fn steps_of_the_clock_make_nobody_old() {
        let mut registry = Registry::new(2);
        registry.turn(1_700_000_000);
        full(&mut registry);
        for now in [4_000_000_000, 1_700_000_000, -5, i64::MAX, i64::MIN, 1_700_000_030] {
            registry.turn(now);
            assert_eq!(registry.index("new"), None, "{now}");
        }
        let mut later = again(&registry);
        later.turn(1_900_000_000);
        assert_eq!(later.index("new"), None, "time without the agent is not known");
    }

    #[test]
    fn the_largest_always_has_its_name() {
        let mut registry = Registry::new(2);
        registry.turn(0);
        full(&mut registry);
        assert_eq!(registry.claim("largest").index, None, "all others were used in this turn");
        registry.turn(1);
        registry.index("0");
        let admitted = registry.claim("largest");
        assert_eq!((admitted.index, admitted.retired), (Some(NAMES as u32 + 2), Some(3)));
        let mut registry = again(&registry);
        registry.turn(2);
        // A flood of others, each the largest of its moment, does not take what is in use.
        for i in 0..10 * NAMES {
            registry.turn(3 + i as i64);
            assert_eq!(registry.index("largest"), Some(NAMES as u32 + 2));
            assert!(registry.claim(&format!("flood {i}")).index.is_some());
        }
        assert_eq!(registry.iter().count(), NAMES);
    }

    #[test]
    fn it_is_saved_for_a_name_at_once_and_for_a_use_once_a_day() {
        let mut registry = Registry::new(2);
        assert!(!registry.must_be_saved());
        registry.turn(0);
        registry.index("a");
        assert!(registry.must_be_saved());
        registry.saved();
        registry.turn(3_600);
        registry.index("a");
        assert!(!registry.must_be_saved());
        registry.turn(DAY as i64);
        assert!(registry.must_be_saved());
        assert!(!again(&registry).must_be_saved());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn no_index_is_ever_given_to_a_second_name(
            steps in proptest::collection::vec((0_u32..6_000, any::<bool>(), any::<bool>(), 0_i64..40 * DAY as i64), 1..60)
        ) {
            let mut registry = Registry::new(2);
            let mut owners = FxHashMap::<u32, String>::default();
            for (from, claims, restarts, now) in steps {
                registry.turn(now);
                for n in from..from + 300 {
                    let name = n.to_string();
                    let admitted = if claims { registry.claim(&name) } else { registry.ask(&name) };
                    if let Some(index) = admitted.index {
                        let owner = owners.entry(index).or_insert_with(|| name.clone());
                        prop_assert_eq!(&*owner, &name);
                        prop_assert_eq!((registry.get(&name), registry.name(index)), (Some(index), Some(name.as_str())));
                    }
                }
                prop_assert!(registry.names.len() <= NAMES);
                prop_assert_eq!((registry.by_name.len(), registry.by_use.len()), (registry.names.len(), registry.names.len()));
                if restarts {
                    let before: Vec<_> = registry.by_use.iter().map(|(_, index)| *index).collect();
                    registry = again(&registry);
                    prop_assert_eq!(registry.by_use.iter().map(|(_, index)| *index).collect::<Vec<_>>(), before);
                }
            }
        }
    }
}
