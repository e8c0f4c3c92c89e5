//! A large tree: looking up stays flat, publishing one table does not copy the others.

use super::{Table, compare, each};
use postfix_agentx::{
    mib::{self, AnyTable, Column, Get, Index, Publisher, column},
    smi::{Objects, Oid},
};
use std::time::{Duration, Instant};

const COLUMNS: &[Column<u32>] = &[
    column(1, "a", Get::Gauge32(|row: &u32| Some(u64::from(*row)))),
    column(2, "b", Get::Gauge32(|row: &u32| Some(u64::from(*row)))),
    column(3, "c", Get::Gauge32(|row: &u32| Some(u64::from(*row)))),
    column(4, "d", Get::Gauge32(|row: &u32| Some(u64::from(*row)))),
    column(5, "e", Get::Gauge32(|row: &u32| Some(u64::from(*row)))),
];
const fn table(entry: &'static [u32]) -> mib::Table<u32> {
    mib::Table { name: "large", entry, index: |row| Index::from_slice(&[*row]), columns: COLUMNS }
}
static TABLES: [mib::Table<u32>; 4] = [table(&[1, 1]), table(&[1, 2]), table(&[1, 3]), table(&[1, 4])];
static SMALL: mib::Table<u32> = table(&[1, 5]);

fn published(rows: u32) -> Publisher {
    let catalogue: Vec<&dyn AnyTable> = TABLES.iter().chain([&SMALL]).map(|table| table as &dyn AnyTable).collect();
    let publisher = Publisher::new("1.3.6.1.4.1.8072.9999.9999.25".parse().unwrap(), &catalogue);
    let all: Vec<u32> = (1..=rows).collect();
    publisher.publish(TABLES.iter().map(|table| table.fragment(&all)));
    publisher
}

/// Time of one GETNEXT, over a walk that begins in the middle.
fn walk(view: &mib::View, rows: u32) -> Duration {
    let mut at: Oid = format!("1.3.6.1.4.1.8072.9999.9999.25.1.2.3.{}", rows / 2).parse().unwrap();
    let mut name = Oid::new();
    let now = Instant::now();
    each(2000, || {
        let value = view.next(&at, false, &[], now, &mut name);
        std::mem::swap(&mut at, &mut name);
        value
    })
}

pub(crate) fn measure(table: &mut Table) {
    let (large, small) = (published(5000), published(50));
    let (large_view, small_view) = (large.view(), small.view());
    let [ours, other, ratio] = compare(31, || walk(&large_view, 5000), || walk(&small_view, 50));
    let text = "GETNEXT in 100,000 objects, against 1,000 objects (log n: 13 steps against 6)";
    table.row(text, Duration::from_secs_f64(ours), Duration::from_secs_f64(other), ratio, 0.4);
    let publish = |publisher: &Publisher| each(500, || publisher.publish([SMALL.fragment(&[1, 2, 3])]));
    let [ours, other, ratio] = compare(31, || publish(&large), || publish(&small));
    let text = "publish one small table next to 100,000 objects, against next to 1,000";
    table.row(text, Duration::from_secs_f64(ours), Duration::from_secs_f64(other), ratio, 0.8);
}
