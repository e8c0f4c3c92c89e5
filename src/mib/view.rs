//! All tables at one moment, and the one place where they are replaced.

use super::{AnyTable, Fragment};
use crate::smi::{Missing, Objects, Oid, Value};
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Every table of every module, sorted, immutable. Cloning the `Arc` around it is how a request sees one consistent state.
#[derive(Debug)]
pub struct View {
    /// The full names of the entries, ascending; none is a prefix of another. The same for the life of the agent.
    entries: Arc<[Oid]>,
    /// The table of each.
    fragments: Vec<Arc<Fragment>>,
}

impl View {
    /// The table whose entry is the last one not after `name`, and what of `name` follows the entry, if it is inside.
    fn seek<'a>(&self, name: &'a [u32]) -> Option<(usize, Option<&'a [u32]>)> {
        let position = self.entries.partition_point(|entry| entry.as_slice() <= name).checked_sub(1)?;
        Some((position, name.strip_prefix(self.entries.get(position)?.as_slice())))
    }

    /// Since when an age is counted: more exactly than its value says.
    pub fn since(&self, name: &[u32], now: Instant) -> Option<Instant> {
        let (position, rest) = self.seek(name)?;
        self.fragments.get(position)?.since(rest?, now)
    }

    /// All objects in SNMP order, as `now` shows them.
    pub fn walk(&self, now: Instant) -> impl Iterator<Item = (Oid, Value)> + '_ {
        let mut at = Oid::new();
        std::iter::from_fn(move || {
            let mut name = Oid::new();
            let value = self.next(&at, false, &[], now, &mut name)?;
            at = name.clone();
            Some((name, value))
        })
    }
}

impl Objects for View {
    fn get(&self, name: &[u32], now: Instant) -> Result<Value, Missing> {
        let (position, rest) = self.seek(name).ok_or(Missing::Object)?;
        let (fragment, rest) = self.fragments.get(position).zip(rest).ok_or(Missing::Object)?;
        match fragment.get(rest, now) {
            Some(value) => Ok(value),
            None if fragment.has_column(rest) => Err(Missing::Instance),
            None => Err(Missing::Object),
        }
    }

    fn next(&self, after: &[u32], include: bool, before: &[u32], now: Instant, name: &mut Oid) -> Option<Value> {
        // What is before or between our tables begins with the first object of the next one.
        let (position, mut rest) = match self.seek(after) {
            Some((position, Some(rest))) => (position, rest),
            Some((position, None)) => (position + 1, &[][..]),
            None => (0, &[][..]),
        };
        for (entry, fragment) in self.entries.iter().zip(&self.fragments).skip(position) {
            name.set(entry);
            if let Some(value) = fragment.next(rest, include, now, name) {
                return (before.is_empty() || name.as_slice() < before).then_some(value);
            }
            rest = &[];
        }
        None
    }
}

/// The hand that replaces tables. Publishers take turns; readers never wait.
#[derive(Clone)]
pub struct Publisher(Arc<Shared>);

struct Shared {
    turn: Mutex<()>,
    /// `privacy: true`.
    private: AtomicBool,
    view: ArcSwap<View>,
}

impl Publisher {
    /// Knows every table of the catalogue, all of them still empty. `root`: where POSTFIX-MIB is.
    pub fn new(root: Oid, catalogue: &[&dyn AnyTable]) -> Self {
        let tables = catalogue.iter().map(|table| Arc::new(table.empty()));
        let mut tables: Vec<_> = tables.map(|f| (f.module().root(&root).child(f.entry()), f)).collect();
        tables.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (entries, fragments): (Vec<Oid>, Vec<_>) = tables.into_iter().unzip();
        let view = View { entries: entries.into(), fragments };
        Self(Arc::new(Shared {
            turn: Mutex::new(()),
            private: AtomicBool::new(false),
            view: ArcSwap::from_pointee(view),
        }))
    }

    /// From now on no name of a person or an organisation is published ([`Get::Personal`](super::Get::Personal)), and those
    /// that are, are gone at once; or the other way round, with the next publication of each table.
    pub fn set_private(&self, private: bool) {
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let was = self.0.private.swap(private, Ordering::Relaxed);
        if private && !was {
            let old = self.0.view.load();
            let fragments =
                old.fragments.iter().map(|fragment| Arc::new((**fragment).clone().without_names())).collect();
            self.0.view.store(Arc::new(View { entries: Arc::clone(&old.entries), fragments }));
        }
    }

    /// Replaces these tables, all at once: a reader sees every one of them or none. The others are shared, not copied.
    pub fn publish(&self, new: impl IntoIterator<Item = Fragment>) {
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.0.view.load();
        let mut fragments = old.fragments.clone();
        let private = self.0.private.load(Ordering::Relaxed);
        for fragment in new {
            let fragment = if private { fragment.without_names() } else { fragment };
            match fragments.iter_mut().find(|old| fragment.replaces(old)) {
                Some(old) => *old = Arc::new(fragment),
                None => tracing::error!(entry = ?fragment.entry(), "a table that is in no catalogue is not served"),
            }
        }
        self.0.view.store(Arc::new(View { entries: Arc::clone(&old.entries), fragments }));
    }

    /// What is published now.
    pub fn view(&self) -> Arc<View> {
        self.0.view.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Get, Index, Module, Table, TableOf, column, scalars, text};
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    struct Row {
        index: u32,
        sometimes: Option<u64>,
        since: Instant,
        live: Arc<AtomicU64>,
    }

    fn row(index: u32, sometimes: Option<u64>) -> Row {
        Row { index, sometimes, since: Instant::now(), live: Arc::default() }
    }

    static ROWS: Table<Row> = Table {
        name: "rows",
        entry: &[1, 2, 1],
        index: |r| Index::from_slice(&[r.index]),
        columns: &[
            column(2, "counter", Get::Counter32(|r| Some(u64::from(r.index) + (1 << 32)))),
            column(3, "sometimes", Get::Gauge32(|r| r.sometimes)),
            column(4, "age", Get::Age(|r| Some(r.since))),
            column(5, "live", Get::LiveGauge32(|r| Some(r.live.clone()))),
        ],
    };
    static PEOPLE: Table<(u32, &str)> = Table {
        name: "people",
        entry: &[1, 3, 1],
        index: |r| Index::from_slice(&[r.0]),
        columns: &[
            column(2, "who", Get::Personal(|r| Some(text(r.1, 32)))),
            column(3, "count", Get::Counter32(|r| Some(u64::from(r.0)))),
        ],
    };

    #[test]
    fn privacy_takes_names_away_and_leaves_numbers() {
        let publisher = Publisher::new(Oid::from([9, 9]), &[&PEOPLE]);
        let rows = [(1, "postfix (other)"), (2, "postfix alice@example.com"), (3, "postfix bob (other)")];
        let names = || {
            let view = publisher.view();
            let get = |column, row| view.get(&[9, 9, 1, 3, 1, column, row], Instant::now()).ok();
            let count = (1..=3).filter(|row| get(3, *row).is_some()).count();
            ((1..=3).map(|row| get(2, row)).collect::<Vec<_>>(), count)
        };
        let name = |row: usize| Some(Value::OctetString(rows[row - 1].1.as_bytes().into()));
        publisher.publish([PEOPLE.fragment(&rows)]);
        assert_eq!(names(), (vec![name(1), name(2), name(3)], 3));
        // At once, although no collector has published since.
        publisher.set_private(true);
        assert_eq!(names(), (vec![name(1), None, None], 3));
        // A row that has no name anyway does not move the others' names.
        publisher.publish([PEOPLE.fragment(&rows)]);
        assert_eq!(names(), (vec![name(1), None, None], 3));
        publisher.set_private(false);
        publisher.publish([PEOPLE.fragment(&rows)]);
        assert_eq!(names(), (vec![name(1), name(2), name(3)], 3));
    }

    static NAME: Table<&str> = scalars("name", &[1, 1], &[column(1, "text", Get::Text(|n| Some(text(n, 8))))]);

    fn publisher() -> Publisher {
        Publisher::new(Oid::from([9, 9]), &[&ROWS, &NAME])
    }

    fn names(view: &View) -> Vec<String> {
        view.walk(Instant::now()).map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn a_hole_is_no_such_instance_and_walked_over() {
        let publisher = publisher();
        publisher.publish([ROWS.fragment(&[row(7, None), row(1, Some(5)), row(3, None)])]);
        let (view, now) = (publisher.view(), Instant::now());
        let walked = names(&view);
        assert_eq!(walked[..4], [".9.9.1.2.1.2.1", ".9.9.1.2.1.2.3", ".9.9.1.2.1.2.7", ".9.9.1.2.1.3.1"]);
        assert_eq!(walked.len(), 3 + 1 + 3 + 3);
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 3, 1], now), Ok(Value::Gauge32(5)));
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 3, 3], now), Err(Missing::Instance));
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 3, 1, 0], now), Err(Missing::Instance), "too long");
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 9, 1], now), Err(Missing::Object));
        assert_eq!(view.get(&[9, 9, 1, 2], now), Err(Missing::Object));
        assert_eq!(view.get(&[9, 8], now), Err(Missing::Object));
        assert_eq!(view.get(&[9, 9, 1, 1, 1, 0], now), Err(Missing::Instance), "known, not published yet");
    }

    #[test]
    fn counters_wrap_levels_saturate_ages_and_live_cells_move() {
        let publisher = publisher();
        let moving = row(1, Some(u64::MAX));
        let live = moving.live.clone();
        publisher.publish([ROWS.fragment(&[moving])]);
        let (view, now) = (publisher.view(), Instant::now());
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 2, 1], now), Ok(Value::Counter32(1)));
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 3, 1], now), Ok(Value::Gauge32(u32::MAX)));
        let age = |now| view.get(&[9, 9, 1, 2, 1, 4, 1], now);
        assert_eq!((age(now), age(now + Duration::from_secs(90))), (Ok(Value::Gauge32(0)), Ok(Value::Gauge32(90))));
        live.store(6, Ordering::Relaxed);
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 5, 1], now), Ok(Value::Gauge32(6)));
    }

    #[test]
    fn a_collector_that_hangs_withdraws_its_values() {
        let publisher = publisher();
        publisher.publish([ROWS.fragment(&[row(1, None)]).valid_for(Duration::from_secs(60)), NAME.fragment(&["x"])]);
        let (view, now) = (publisher.view(), Instant::now());
        assert!(view.get(&[9, 9, 1, 2, 1, 2, 1], now).is_ok());
        let later = now + Duration::from_secs(61);
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 2, 1], later), Err(Missing::Instance));
        assert_eq!(view.walk(later).count(), 1, "the other table stays");
    }

    #[test]
    fn publishing_one_table_copies_no_other() {
        let publisher = publisher();
        publisher.publish([ROWS.fragment(&[row(1, None)])]);
        let before = publisher.view();
        publisher.publish([NAME.fragment(&["x"])]);
        let after = publisher.view();
        assert!(Arc::ptr_eq(&before.fragments[1], &after.fragments[1]));
        assert_eq!(names(&before).len() + 1, names(&after).len(), "the older view is as it was");
    }

    #[test]
    fn of_two_rows_with_one_index_the_first_stays() {
        let publisher = publisher();
        publisher.publish([ROWS.fragment(&[row(1, Some(1)), row(1, Some(2))])]);
        let view = publisher.view();
        assert_eq!(view.get(&[9, 9, 1, 2, 1, 3, 1], Instant::now()), Ok(Value::Gauge32(1)));
    }

    #[test]
    fn a_row_with_an_index_of_another_length_is_left_out() {
        let index: fn(&Row) -> Index = |r| Index::from_elem(r.index, if r.index == 5 { 2 } else { 1 });
        let odd = Table { name: "odd", entry: ROWS.entry, index, columns: ROWS.columns };
        let publisher = publisher();
        publisher.publish([odd.fragment(&[row(1, None), row(5, None), row(7, None)])]);
        assert_eq!(names(&publisher.view())[..3], [".9.9.1.2.1.2.1", ".9.9.1.2.1.2.7", ".9.9.1.2.1.4.1"]);
    }

    fn two_columns(r: &(u32, u32, bool)) -> Index {
        Index::from_slice(&[r.0, r.1])
    }

    static PAIRS: Table<(u32, u32, bool)> = Table {
        name: "pairs",
        entry: &[1, 2, 3],
        index: two_columns,
        columns: &[
            column(1, "all", Get::Gauge32(|r| Some(u64::from(r.0)))),
            column(3, "holes", Get::Gauge32(|r| r.2.then_some(3))),
            column(4, "never", Get::Gauge32(|_| None)),
        ],
    };

    static BEFORE: Module =
        Module { name: "BEFORE-MIB", root: Some(&[1, 1]), priority: Some(100), whole: true, nodes: &[] };
    static BEHIND: Module =
        Module { name: "BEHIND-MIB", root: Some(&[1, 2, 3]), priority: None, whole: true, nodes: &[] };

    /// The same entry as another table has in another module.
    static SMALL: TableOf<u32> = TableOf {
        module: &BEFORE,
        table: Table { name: "small", entry: &[1, 2, 1], index: |r| Index::from_slice(&[*r]), columns: SMALL_COLUMNS },
    };
    static SMALL_COLUMNS: &[super::super::Column<u32>] = &[column(1, "one", Get::Gauge32(|r| Some(u64::from(*r))))];
    static SCALAR: TableOf<u32> = TableOf { module: &BEHIND, table: scalars("scalar", &[1], SMALL_COLUMNS) };

    #[test]
    fn tables_of_other_modules_are_below_their_own_roots() {
        let catalogue: [&dyn AnyTable; 4] = [&ROWS, &SCALAR, &SMALL, &NAME];
        let publisher = Publisher::new(Oid::from([1, 2]), &catalogue);
        publisher.publish([SMALL.fragment(&[7]), ROWS.fragment(&[row(1, None)]), SCALAR.fragment(&[9])]);
        let (view, now) = (publisher.view(), Instant::now());
        let walked = [".1.1.1.2.1.1.7", ".1.2.1.2.1.2.1", ".1.2.1.2.1.4.1", ".1.2.1.2.1.5.1", ".1.2.3.1.1.0"];
        assert_eq!(names(&view), walked);
        assert_eq!(view.get(&[1, 1, 1, 2, 1, 1, 7], now), Ok(Value::Gauge32(7)));
        assert_eq!(view.get(&[1, 2, 3, 1, 1, 0], now), Ok(Value::Gauge32(9)));
        assert_eq!(view.get(&[1, 1, 9], now), Err(Missing::Object), "between two modules");
        let mut name = Oid::new();
        assert!(view.next(&[1, 1, 9], false, &[], now, &mut name).is_some());
        assert_eq!(name.to_string(), walked[1]);
        // The master asks within one region at a time.
        assert_eq!(view.next(&[1, 1, 9], false, &[1, 2], now, &mut name), None);
        assert_eq!(view.next(&[1, 2, 4], false, &[], now, &mut name), None);
        let modules: Vec<_> = super::super::modules(&catalogue).iter().map(|module| module.name).collect();
        assert_eq!(modules, ["POSTFIX-MIB", "BEHIND-MIB", "BEFORE-MIB"]);
    }

    static ALONE: TableOf<u32> = TableOf {
        module: &BEHIND,
        table: Table { name: "alone", entry: &[4, 7], index: |_| Index::new(), columns: SMALL_COLUMNS },
    };

    #[test]
    fn a_name_that_ends_with_its_column_is_found_once() {
        let publisher = Publisher::new(Oid::from([1, 2]), &[&ALONE, &SCALAR]);
        publisher.publish([ALONE.fragment(&[5]), SCALAR.fragment(&[9])]);
        let (view, now) = (publisher.view(), Instant::now());
        assert_eq!(names(&view), [".1.2.3.1.1.0", ".1.2.3.4.7.1"]);
        let get = |below: &[u32]| view.get(&[&[1, 2, 3, 4, 7][..], below].concat(), now).ok();
        assert_eq!((get(&[1]), get(&[1, 0]), get(&[])), (Some(Value::Gauge32(5)), None, None));
        let next = |below: &[u32], include| {
            view.next(&[&[1, 2, 3, 4, 7][..], below].concat(), include, &[], now, &mut Oid::new()).is_some()
        };
        assert!(next(&[], false) && next(&[0, 9], false) && next(&[1], true));
        assert!(!next(&[1], false) && !next(&[1, 0], true) && !next(&[2], true));
    }

    proptest! {
        /// Against a sorted list of all names, for any start, include bit and end.
        #[test]
        fn get_and_next_find_what_a_sorted_list_finds(
            pairs in vec((0u32..4, 0u32..4, any::<bool>()), 0..12),
            rows in vec((0u32..5, any::<bool>()), 0..4),
            asked in vec((vec(0u32..5, 0..8), any::<bool>(), vec(0u32..5, 0..8), 0..3usize), 40),
        ) {
            let publisher = Publisher::new(Oid::from([1, 2]), &[&ROWS, &NAME, &PAIRS, &SMALL, &SCALAR]);
            let rows: Vec<_> = rows.iter().map(|(index, sometimes)| row(*index, sometimes.then_some(1))).collect();
            let small: Vec<u32> = pairs.iter().map(|(a, ..)| *a).collect();
            publisher.publish([PAIRS.fragment(&pairs), ROWS.fragment(&rows), SMALL.fragment(&small), SCALAR.fragment(&[4])]);
            let (view, now) = (publisher.view(), Instant::now());
            let mut all = BTreeMap::from([(Oid::from([1, 2, 3, 1, 1, 0]), Value::Gauge32(4))]);
            all.extend(small.iter().map(|n| (Oid::from([1, 1, 1, 2, 1, 1, *n]), Value::Gauge32(*n))));
            // Backwards, since of two rows with one index the first counts.
            for (a, b, there) in pairs.iter().rev() {
                let name = |column| Oid::from([1, 2, 1, 2, 3, column, *a, *b]);
                all.insert(name(1), Value::Gauge32(*a));
                all.remove(&name(3));
                if *there {
                    all.insert(name(3), Value::Gauge32(3));
                }
            }
            for row in rows.iter().rev() {
                let name = |column| Oid::from([1, 2, 1, 2, 1, column, row.index]);
                all.insert(name(2), Value::Counter32(row.index));
                all.remove(&name(3));
                if row.sometimes.is_some() {
                    all.insert(name(3), Value::Gauge32(1));
                }
                all.insert(name(4), Value::Gauge32(0));
                all.insert(name(5), Value::Gauge32(0));
            }
            prop_assert!(view.walk(now).eq(all.clone()), "a walk finds all in order");
            for (start, include, end, inside) in asked {
                let below = |subids: &[u32]| [&[1, 2, 1, 2][..], &[1, 1, 1, 2], &[]][inside].iter().chain(subids).copied().collect::<Vec<_>>();
                let below = |subids: &[u32]| Oid::from(below(subids).as_slice());
                let (start, end) = (below(&start), if end.is_empty() { Oid::new() } else { below(&end) });
                prop_assert_eq!(view.get(&start, now).ok(), all.get(&start).cloned());
                let expected = all.iter().find(|(name, _)| **name > start || (include && **name == start));
                let expected = expected.filter(|(name, _)| end.is_empty() || **name < end);
                let mut name = Oid::new();
                let found = view.next(&start, include, &end, now, &mut name);
                prop_assert_eq!(found.map(|value| (&name, value)), expected.map(|(name, value)| (name, value.clone())));
            }
        }
    }

    #[test]
    fn foreign_octets_become_text_of_the_size_the_mib_allows() {
        assert_eq!(&*text("a\u{7}\u{e4}\u{e4}b", 5), "a?\u{e4}".as_bytes());
        assert_eq!(&*text(b"\xffx", 8), "\u{fffd}x".as_bytes());
    }
}
