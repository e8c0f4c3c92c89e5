//! The content of one table at one moment.

use super::{
    Module, POSTFIX_MIB,
    table::{Get, Index, Table},
};
use crate::smi::{Oid, Stamp, Value};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// One table, finished, sorted and immutable. Cells stand column by column, the order in which SNMP walks them.
#[derive(Clone, Debug)]
pub struct Fragment {
    module: &'static Module,
    entry: &'static [u32],
    /// Sub-identifiers of one row's index.
    arity: usize,
    /// All rows' indices, one after the other, ascending.
    indices: Vec<u32>,
    columns: Vec<Cells>,
    /// When a collector that hangs has been silent for so long that its values are no longer shown.
    expires: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Cells {
    number: u32,
    /// [`Get::Personal`].
    personal: bool,
    /// The rows that have this object, ascending; `None`: all of them.
    rows: Option<Vec<u32>>,
    cells: Vec<Cell>,
}

/// An age must never freeze and a level may move between publications: both are computed when asked, without I/O.
#[derive(Clone, Debug)]
enum Cell {
    Fixed(Value),
    Age(Instant),
    Until(Instant),
    AgeTicks(Instant),
    AgeInterval(Instant),
    TimeStamp(Stamp),
    LiveGauge32(Arc<AtomicU64>),
    LiveCounter32(Arc<AtomicU64>),
}

/// The name of the row in which everything without a row of its own is counted, with its instance's before it or alone.
fn names_nobody(value: &Value) -> bool {
    let Value::OctetString(name) = value else { return false };
    let after = name.iter().position(|b| *b == b' ').map_or(0, |space| space + 1);
    name[after..] == *b"(other)"
}

fn saturate(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Cell {
    fn of<R>(get: &Get<R>, row: &R) -> Option<Cell> {
        Some(match get {
            Get::Integer(f) => Cell::Fixed(Value::Integer(f(row)?)),
            // SNMP counters wrap; the state behind them has 64 bits.
            Get::Counter32(f) => Cell::Fixed(Value::Counter32(f(row)? as u32)),
            Get::Counter64(f) => Cell::Fixed(Value::Counter64(f(row)?)),
            Get::Gauge32(f) | Get::Unsigned32(f) => Cell::Fixed(Value::Gauge32(saturate(f(row)?))),
            Get::Text(f) | Get::Personal(f) | Get::DateAndTime(f) => Cell::Fixed(Value::OctetString(f(row)?)),
            Get::Age(f) => Cell::Age(f(row)?),
            Get::Until(f) => Cell::Until(f(row)?),
            Get::ObjectId(f) => Cell::Fixed(Value::ObjectId(f(row)?)),
            Get::AgeTicks(f) => Cell::AgeTicks(f(row)?),
            Get::AgeInterval(f) => Cell::AgeInterval(f(row)?),
            Get::TimeStamp(f) => Cell::TimeStamp(f(row)?),
            Get::LiveGauge32(f) => Cell::LiveGauge32(f(row)?),
            Get::LiveCounter32(f) => Cell::LiveCounter32(f(row)?),
        })
    }

    fn value(&self, now: Instant) -> Value {
        match self {
            Cell::Fixed(value) => value.clone(),
            Cell::Age(since) => Value::Gauge32(saturate(now.saturating_duration_since(*since).as_secs())),
            Cell::Until(at) => Value::Gauge32(saturate(at.saturating_duration_since(now).as_secs())),
            Cell::AgeTicks(since) => Value::TimeTicks((now.saturating_duration_since(*since).as_millis() / 10) as u32),
            Cell::AgeInterval(since) => {
                let age = now.saturating_duration_since(*since).as_millis() / 10;
                Value::Integer(i32::try_from(age).unwrap_or(i32::MAX))
            }
            Cell::TimeStamp(stamp) => Value::TimeTicks(stamp.ticks()),
            Cell::LiveGauge32(value) => Value::Gauge32(saturate(value.load(Ordering::Relaxed))),
            Cell::LiveCounter32(value) => Value::Counter32(value.load(Ordering::Relaxed) as u32),
        }
    }
}

impl Fragment {
    pub(super) fn build<R>(table: &Table<R>, rows: &[R]) -> Self {
        let mut sorted: Vec<(Index, &R)> = rows.iter().map(|row| ((table.index)(row), row)).collect();
        // Stable, so that the first of two equal indices is the one that stays.
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        sorted.dedup_by(|later, first| {
            let twice = later.0 == first.0;
            if twice {
                tracing::error!(table = table.name, index = ?later.0, "two rows with one index, the second is left out");
            }
            twice
        });
        let arity = sorted.first().map_or(0, |(index, _)| index.len());
        sorted.retain(|(index, _)| {
            if index.len() != arity {
                tracing::error!(table = table.name, ?index, "an index of another length, the row is left out");
            }
            index.len() == arity
        });
        let indices = sorted.iter().flat_map(|(index, _)| index.iter().copied()).collect();
        let columns = table
            .columns
            .iter()
            .map(|column| {
                let mut present = Vec::new();
                let mut cells = Vec::with_capacity(sorted.len());
                for (position, (_, row)) in sorted.iter().enumerate() {
                    if let Some(cell) = Cell::of(&column.get, row) {
                        present.push(position as u32);
                        cells.push(cell);
                    }
                }
                let rows = (cells.len() < sorted.len()).then_some(present);
                Cells { number: column.number, personal: matches!(column.get, Get::Personal(_)), rows, cells }
            })
            .collect();
        Self { module: &POSTFIX_MIB, entry: table.entry, arity, indices, columns, expires: None }
    }

    /// Lets the values disappear (noSuchInstance) unless they are published again within `lifetime`.
    pub fn valid_for(mut self, lifetime: Duration) -> Self {
        self.expires = Instant::now().checked_add(lifetime);
        self
    }

    /// The same without names of persons and organisations; the row of all others keeps its name.
    pub(super) fn without_names(mut self) -> Self {
        for column in self.columns.iter_mut().filter(|column| column.personal) {
            let cells = std::mem::take(&mut column.cells).into_iter().enumerate();
            let kept = cells.filter(|(_, cell)| matches!(cell, Cell::Fixed(value) if names_nobody(value)));
            let row = |position| column.rows.as_ref().map_or(position as u32, |rows| rows[position]);
            let (rows, cells) = kept.map(|(position, cell)| (row(position), cell)).unzip();
            (column.rows, column.cells) = (Some(rows), cells);
        }
        self
    }

    /// The same as a table of another module.
    pub(super) fn of(self, module: &'static Module) -> Self {
        Self { module, ..self }
    }

    /// Whether it is a later state of the same table.
    pub(super) fn replaces(&self, old: &Self) -> bool {
        std::ptr::eq(self.module, old.module) && self.entry == old.entry
    }

    pub(super) fn module(&self) -> &'static Module {
        self.module
    }

    pub(super) fn entry(&self) -> &'static [u32] {
        self.entry
    }

    fn expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    fn row_index(&self, row: usize) -> &[u32] {
        &self.indices[row * self.arity..(row + 1) * self.arity]
    }

    /// The first cell of `column` among those whose index satisfies `!before`.
    fn seek(&self, column: &Cells, before: impl Fn(&[u32]) -> bool) -> Option<(usize, usize)> {
        let row_at = |cell: usize| column.rows.as_ref().map_or(cell, |rows| rows[cell] as usize);
        let cell = partition_point(0..column.cells.len(), |cell| before(self.row_index(row_at(cell))));
        (cell < column.cells.len()).then(|| (cell, row_at(cell)))
    }

    /// Whether `below` (what follows the entry in a name) begins with one of the columns.
    pub(super) fn has_column(&self, below: &[u32]) -> bool {
        below.first().is_some_and(|number| self.columns.iter().any(|c| c.number == *number))
    }

    fn cell(&self, below: &[u32], now: Instant) -> Option<&Cell> {
        let (number, index) = below.split_first()?;
        if self.expired(now) {
            return None;
        }
        let column = &self.columns[self.columns.binary_search_by_key(number, |c| c.number).ok()?];
        let (cell, row) = self.seek(column, |have| have < index)?;
        (self.row_index(row) == index).then(|| &column.cells[cell])
    }

    pub(super) fn get(&self, below: &[u32], now: Instant) -> Option<Value> {
        Some(self.cell(below, now)?.value(now))
    }

    /// Since when the age at `below` is counted.
    pub(super) fn since(&self, below: &[u32], now: Instant) -> Option<Instant> {
        match self.cell(below, now)? {
            Cell::Age(since) | Cell::AgeTicks(since) | Cell::AgeInterval(since) => Some(*since),
            _ => None,
        }
    }

    /// The first object after `below` (or at it, with `include`); appends column and index to `name`.
    pub(super) fn next(&self, below: &[u32], include: bool, now: Instant, name: &mut Oid) -> Option<Value> {
        if self.expired(now) {
            return None;
        }
        let (wanted, index) = below.split_first().map_or((0, &[][..]), |(number, index)| (*number, index));
        let first = self.columns.partition_point(|c| c.number < wanted);
        for column in &self.columns[first..] {
            // Without an index the name ends with the column, and is the instance.
            let found = if column.number == wanted && (self.arity == 0 || !index.is_empty()) {
                self.seek(column, |have| if include { have < index } else { have <= index })
            } else {
                self.seek(column, |_| false)
            };
            if let Some((cell, row)) = found {
                name.push(column.number);
                name.extend(self.row_index(row));
                return Some(column.cells[cell].value(now));
            }
        }
        None
    }
}

/// `slice::partition_point` over positions.
fn partition_point(range: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
