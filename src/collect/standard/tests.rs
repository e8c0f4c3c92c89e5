//! The projection of tables of our own making, published where POSTFIX-MIB's are.

use super::*;
use crate::{
    collect::catalogue,
    mib::{Get, Index, Publisher, Table, column},
    smi::{Missing, Objects as _, Oid, Value},
};
use std::cell::RefCell;

/// index, and the value of the only column.
type Cell = (&'static [u32], u64);

fn index(cell: &Cell) -> Index {
    Index::from_slice(cell.0)
}

macro_rules! one_column {
    ($name:ident, $entry:expr, $number:expr, $get:ident) => {
        static $name: Table<Cell> = Table {
            name: stringify!($name),
            entry: $entry,
            index,
            columns: &[column($number, stringify!($name), Get::$get(|cell| Some(cell.1)))],
        };
    };
}

static INSTANCES: Table<(u32, i32)> = Table {
    name: "instances",
    entry: &[1, 3, 1, 1],
    index: |i| Index::from_slice(&[i.0]),
    columns: &[
        column(2, "name", Get::Text(|i| Some(format!("instance {}", i.0).into_bytes().into()))),
        column(7, "state", Get::Integer(|i| Some(i.1))),
    ],
};
static QUEUES: Table<(u32, u32, u64, Instant)> = Table {
    name: "queues",
    entry: &[1, 4, 1, 1],
    index: |q| Index::from_slice(&[q.0, q.1]),
    columns: &[
        column(2, "name", Get::Text(|q| Some(format!("queue {}", q.1).into_bytes().into()))),
        column(3, "messages", Get::Gauge32(|q| Some(q.2))),
        column(6, "age", Get::Age(|q| Some(q.3))),
    ],
};
one_column!(RECEIVED, &[1, 5, 1, 1], 1, Counter32);
one_column!(DSN, &[1, 5, 4, 1], 3, Counter32);
one_column!(SOURCES, &[1, 1, 3, 1], 4, Gauge32);

struct Host {
    publisher: Publisher,
    root: Oid,
    memory: RefCell<Memory>,
    epoch: Epoch,
}

impl Host {
    fn new() -> Self {
        let root = Oid::from([1, 3, 9]);
        let publisher = Publisher::new(root.clone(), &catalogue());
        Self { publisher, root, memory: RefCell::default(), epoch: Epoch::default() }
    }

    fn get(&self, name: &str) -> Result<Value, Missing> {
        let view = self.publisher.view();
        let published = Published::new(&view, &self.root, Instant::now());
        self.publisher.publish(project(&published, &mut self.memory.borrow_mut(), &self.epoch, &published.enabled()));
        let name: Oid = name.parse().unwrap();
        self.publisher.view().get(&name, Instant::now())
    }
}

const MIB_2: &str = "1.3.6.1.2.1";

#[test]
fn every_object_it_reads_exists() {
    let columns: Vec<_> = catalogue().iter().flat_map(|table| table.columns()).map(|c| c.name).collect();
    for file in [
        include_str!("mod.rs"),
        include_str!("../published.rs"),
        include_str!("groups.rs"),
        include_str!("librenms.rs"),
    ] {
        let descriptor = |word: &&str| word.starts_with("postfix") && word.chars().any(char::is_uppercase);
        for name in file.split('"').filter(descriptor) {
            assert!(columns.contains(&name), "{name}");
        }
    }
}

#[test]
fn nothing_published_is_nothing_here_and_an_unknown_state_is_no_state() {
    let host = Host::new();
    assert_eq!(host.get(&format!("{MIB_2}.27.1.1.2.1")), Err(Missing::Instance));
    host.publisher.publish([INSTANCES.fragment(&[(1, 1), (2, 2), (3, 3)])]);
    let status = |i| host.get(&format!("{MIB_2}.27.1.1.6.{i}"));
    assert_eq!([1, 2, 3].map(status), [Ok(Value::Integer(1)), Ok(Value::Integer(2)), Err(Missing::Instance)]);
    assert_eq!(host.get(&format!("{MIB_2}.27.1.1.2.3")), Ok(Value::octets("instance 3")));
    // Neither queue nor log has been read: no zeros.
    for column in 1..=12 {
        assert!(host.get(&format!("{MIB_2}.28.1.1.{column}.1")).is_err(), "{column}");
    }
    // No source at all, and unknown as an object: the sendmail module's rows do not show through.
    assert_eq!(host.get(&format!("{MIB_2}.28.2.1.3.1")), Err(Missing::Object));
}

#[test]
fn what_is_stored_is_the_sum_of_all_queues_or_is_missing() {
    let host = Host::new();
    let began = Instant::now() - Duration::from_secs(7);
    let queue = |kind| (1, kind, u64::from(10 * kind), began);
    let stored = || host.get(&format!("{MIB_2}.28.1.1.2.1"));
    host.publisher.publish([INSTANCES.fragment(&[(1, 1)]), QUEUES.fragment(&[1, 2, 3, 4].map(queue))]);
    assert_eq!(stored(), Err(Missing::Instance), "one queue of five could not be read");
    assert_eq!(host.get(&format!("{MIB_2}.28.2.1.4.1.4")), Ok(Value::Gauge32(40)), "the others could");
    assert_eq!(host.get(&format!("{MIB_2}.28.2.1.4.1.5")), Err(Missing::Instance));
    host.publisher.publish([QUEUES.fragment(&[1, 2, 3, 4, 5, 6].map(queue))]);
    assert_eq!(stored(), Ok(Value::Gauge32(10 + 20 + 30 + 40 + 50)), "and what is corrupt waits for nobody");
    let Ok(Value::Integer(oldest)) = host.get(&format!("{MIB_2}.28.2.1.12.1.4")) else { panic!("no age") };
    assert!((700..4_000).contains(&oldest), "{oldest} hundredths of a second");
    assert_eq!(host.get(&format!("{MIB_2}.28.2.1.31.1.4")), Ok(Value::Integer(-1)));
    host.publisher.publish([QUEUES.fragment(&[])]);
    assert_eq!(stored(), Err(Missing::Instance), "withdrawn with its source");
}

#[test]
fn an_age_beyond_what_a_time_interval_holds_is_its_largest() {
    let host = Host::new();
    host.publisher.publish([
        INSTANCES.fragment(&[(1, 1)]),
        QUEUES.fragment(&[(1, 5, 1, Instant::now() - Duration::from_secs(21_474_837))]),
    ]);
    assert_eq!(host.get(&format!("{MIB_2}.28.2.1.12.1.5")), Ok(Value::Integer(i32::MAX)));
}

#[test]
fn errors_are_failures_and_no_successes() {
    let host = Host::new();
    let codes: [Cell; 4] = [(&[1, 2_000_000], 9), (&[1, 4_004_001], 3), (&[1, 5_999_999], 2), (&[2, 5_001_001], 4)];
    host.publisher.publish([INSTANCES.fragment(&[(1, 1)]), DSN.fragment(&codes), RECEIVED.fragment(&[(&[1], 5)])]);
    let count = |instance, code| host.get(&format!("{MIB_2}.28.5.1.3.{instance}.102.{code}"));
    assert_eq!(count(1, 4_004_001), Ok(Value::Counter32(3)));
    assert_eq!(count(1, 5_999_999), Ok(Value::Counter32(2)));
    assert!(count(1, 2_000_000).is_err());
    assert!(count(2, 5_001_001).is_err(), "of no instance that is there");
    assert_eq!(host.get(&format!("{MIB_2}.28.1.1.1.1")), Ok(Value::Counter32(5)));
}

#[test]
fn a_disabled_instance_is_no_application() {
    let host = Host::new();
    let disabled: [Cell; 2] = [(&[1, 1], 1), (&[2, 1], 4)];
    host.publisher.publish([INSTANCES.fragment(&[(1, 1), (2, 2)]), SOURCES.fragment(&disabled)]);
    assert!(host.get(&format!("{MIB_2}.27.1.1.2.1")).is_ok());
    assert!(host.get(&format!("{MIB_2}.27.1.1.2.2")).is_err());
}
