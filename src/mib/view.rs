//! All tables at one moment, and the one place where they are replaced.

use super::{AnyTable, Fragment};
use crate::smi::{Missing, Objects, Oid, Value};
use arc_swap::ArcSwap;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Every table of the MIB, sorted, immutable. Cloning the `Arc` around it is how a request sees one consistent state.
#[derive(Debug)]
pub struct View {
    root: Oid,
    /// Sorted by entry; no entry is a prefix of another.
    fragments: Vec<Arc<Fragment>>,
}

impl View {
    /// What stands in `name` behind the root.
    fn below_root<'a>(&self, name: &'a [u32]) -> Option<&'a [u32]> {
        name.strip_prefix(self.root.as_slice())
    }

    /// All objects in SNMP order, as `now` shows them.
    pub fn walk(&self, now: Instant) -> impl Iterator<Item = (Oid, Value)> + '_ {
        let mut at = self.root.clone();
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
        let below = self.below_root(name).ok_or(Missing::Object)?;
        let position = self.fragments.partition_point(|f| f.entry() <= below);
        let fragment = position.checked_sub(1).and_then(|p| self.fragments.get(p)).ok_or(Missing::Object)?;
        let rest = below.strip_prefix(fragment.entry()).ok_or(Missing::Object)?;
        match fragment.get(rest, now) {
            Some(value) => Ok(value),
            None if fragment.has_column(rest) => Err(Missing::Instance),
            None => Err(Missing::Object),
        }
    }

    fn next(&self, after: &[u32], include: bool, before: &[u32], now: Instant, name: &mut Oid) -> Option<Value> {
        let root = self.root.as_slice();
        // A start before our subtree begins with its first object; one behind it has no successor here.
        let below = match after.strip_prefix(root) {
            Some(below) => below,
            None if after < root => &[],
            None => return None,
        };
        let mut position = self.fragments.partition_point(|f| f.entry() <= below);
        let mut rest: &[u32] = &[];
        if let Some(inside) = position.checked_sub(1)
            && let Some(tail) = below.strip_prefix(self.fragments[inside].entry())
        {
            position = inside;
            rest = tail;
        }
        for fragment in &self.fragments[position..] {
            name.set(root);
            name.extend(fragment.entry());
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
    view: ArcSwap<View>,
}

impl Publisher {
    /// Knows every table of the catalogue, all of them still empty.
    pub fn new(root: Oid, catalogue: &[&dyn AnyTable]) -> Self {
        let mut fragments: Vec<_> = catalogue.iter().map(|table| Arc::new(table.empty())).collect();
        fragments.sort_by_key(|f| f.entry());
        Self(Arc::new(Shared { turn: Mutex::new(()), view: ArcSwap::from_pointee(View { root, fragments }) }))
    }

    /// Replaces these tables, all at once: a reader sees every one of them or none. The others are shared, not copied.
    pub fn publish(&self, new: impl IntoIterator<Item = Fragment>) {
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.0.view.load();
        let mut fragments = old.fragments.clone();
        for fragment in new {
            match fragments.binary_search_by_key(&fragment.entry(), |f| f.entry()) {
                Ok(position) => fragments[position] = Arc::new(fragment),
                Err(_) => tracing::error!(entry = ?fragment.entry(), "a table that is in no catalogue is not served"),
            }
        }
        self.0.view.store(Arc::new(View { root: old.root.clone(), fragments }));
    }

    /// What is published now.
    pub fn view(&self) -> Arc<View> {
        self.0.view.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Get, Index, Table, column, scalars, text};
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

    proptest! {
        /// Against a sorted list of all names, for any start, include bit and end.
        #[test]
        fn get_and_next_find_what_a_sorted_list_finds(
            pairs in vec((0u32..4, 0u32..4, any::<bool>()), 0..12),
            rows in vec((0u32..5, any::<bool>()), 0..4),
            asked in vec((vec(0u32..5, 0..8), any::<bool>(), vec(0u32..5, 0..8), any::<bool>()), 40),
        ) {
            let publisher = Publisher::new(Oid::from([1, 2]), &[&ROWS, &NAME, &PAIRS]);
            let rows: Vec<_> = rows.iter().map(|(index, sometimes)| row(*index, sometimes.then_some(1))).collect();
            publisher.publish([PAIRS.fragment(&pairs), ROWS.fragment(&rows)]);
            let (view, now) = (publisher.view(), Instant::now());
            let mut all = BTreeMap::new();
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
                let below = |subids: &[u32]| if inside { Oid::from([1, 2, 1, 2]).child(subids) } else { Oid::from(subids) };
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
