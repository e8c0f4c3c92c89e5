//! Which rows of the View a condition is about, and what stands there.

use super::engine::Count;
use crate::{
    config::alarm::{Alarm, Rows},
    mib::{Dictionary, Object, View},
    smi::{Objects, Oid, Value},
};
use rustc_hash::FxHashMap;
use std::{collections::BTreeSet, rc::Rc, time::Instant};

/// stopped(2) of postfixInstanceState.
const STOPPED: i32 = 2;

/// Where what a condition is about stands.
#[derive(Debug)]
pub(super) struct Target {
    column: Option<Oid>,
    /// The column with the names of its rows.
    names: Option<Oid>,
    /// postfixServiceProcessLimit, for a condition on its percentage.
    limit: Option<Oid>,
    /// postfixInstanceState, for a condition on its daemons.
    instance: Option<Oid>,
}

impl Target {
    pub(super) fn of(dictionary: &Dictionary, alarm: &Alarm) -> Self {
        let object = alarm.when.object;
        let names = dictionary.by_name(object).and_then(|found| {
            let is_name = |other: &Object| {
                other.table == found.table && other.syntax == "SnmpAdminString" && other.name.ends_with("Name")
            };
            dictionary.objects().find(|(_, other)| is_name(other)).map(|(oid, _)| oid.clone())
        });
        let of_limit = object == "postfixServiceProcessPercent";
        let limit = dictionary.oid("postfixServiceProcessLimit", &[]).filter(|_| of_limit);
        let of_daemons = object == "postfixDaemonState";
        let instance = dictionary.oid("postfixInstanceState", &[]).filter(|_| of_daemons);
        Self { column: dictionary.oid(object, &[]), names, limit, instance }
    }
}

/// The names of a table's rows by their indices, ascending.
type Names = Rc<[(Vec<u32>, Rc<str>)]>;

/// A row a condition is about.
pub(super) struct Found {
    /// What it is called.
    pub(super) label: Rc<str>,
    /// Where there is one.
    pub(super) value: Option<Value>,
    /// The first number of its index, which is its instance; 0 where it has none.
    pub(super) instance: u32,
}

impl Found {
    fn new(label: Rc<str>, index: &[u32], value: Option<Value>) -> Self {
        Self { label, value, instance: index.first().copied().unwrap_or(0) }
    }
}

/// One look at a View: the names of each table are read once, however many conditions are about it.
pub(super) struct Look<'a> {
    view: &'a View,
    now: Instant,
    names: FxHashMap<Oid, Names>,
}

impl<'a> Look<'a> {
    pub(super) fn new(view: &'a View, now: Instant) -> Self {
        Self { view, now, names: FxHashMap::default() }
    }

    /// The rows a condition is about. A row that was asked for by name or index is among them although it is not there.
    pub(super) fn rows(&mut self, target: &Target, rows: &Rows) -> Vec<Found> {
        let Some(column) = &target.column else { return Vec::new() };
        let get = |look: &Self, index: &[u32]| look.view.get(&column.child(index), look.now).ok();
        match rows {
            Rows::Scalar => vec![Found::new("".into(), &[], get(self, &[0]))],
            Rows::Index(index) => vec![Found::new(dotted(index), index, get(self, index))],
            Rows::All => {
                let names = self.names(target);
                let name = |index: &Vec<u32>| {
                    let found = names.binary_search_by(|(at, _)| at.cmp(index)).ok();
                    found.and_then(|found| names.get(found)).map_or_else(|| dotted(index), |(_, name)| name.clone())
                };
                walk(self.view, column, self.now)
                    .filter(|(index, _)| !self.is_left_out(target, index))
                    .map(|(index, value)| Found::new(name(&index), &index, Some(value)))
                    .collect()
            }
            Rows::Name(pattern) => {
                let is_pattern = pattern.contains('*');
                let names = self.names(target);
                let found = names
                    .iter()
                    .filter(|(_, name)| if is_pattern { is_like(name, pattern) } else { **name == **pattern });
                let mut found: Vec<_> = found
                    .filter(|(index, _)| !is_pattern || !self.is_left_out(target, index))
                    .map(|(index, name)| Found::new(name.clone(), index, get(self, index)))
                    .collect();
                if found.is_empty() && !is_pattern {
                    found.push(Found::new(pattern.as_str().into(), &[], None));
                }
                found
            }
        }
    }

    /// The instances of which the column has rows.
    pub(super) fn instances(&self, target: &Target) -> BTreeSet<u32> {
        let cells = target.column.iter().flat_map(|column| walk(self.view, column, self.now));
        cells.filter_map(|(index, _)| index.first().copied()).collect()
    }

    fn names(&mut self, target: &Target) -> Names {
        let Some(column) = &target.names else { return Rc::new([]) };
        if let Some(known) = self.names.get(column) {
            return Rc::clone(known);
        }
        let text = |(index, value)| match value {
            Value::OctetString(octets) => Some((index, String::from_utf8_lossy(&octets).into())),
            _ => None,
        };
        let names: Names = walk(self.view, column, self.now).filter_map(text).collect();
        self.names.insert(column.clone(), Rc::clone(&names));
        names
    }

    /// What means nothing by itself; whoever wants to hear of it names it. A service that may have one process has all it
    /// may have whenever it runs. The daemons of an instance that is stopped do not run, and that is told of the instance.
    fn is_left_out(&self, target: &Target, index: &[u32]) -> bool {
        let get = |column: &Oid, index: &[u32]| self.view.get(&column.child(index), self.now).ok();
        let limit = target.limit.as_ref().and_then(|limit| get(limit, index));
        let state = target.instance.as_ref().zip(index.get(..1)).and_then(|(state, instance)| get(state, instance));
        matches!(limit, Some(Value::Gauge32(1))) || matches!(state, Some(Value::Integer(STOPPED)))
    }
}

fn dotted(index: &[u32]) -> Rc<str> {
    index.iter().map(u32::to_string).collect::<Vec<_>>().join(".").into()
}

/// Whether a row is this instance's: names of rows begin with their instance's.
pub(super) fn is_of(row: &str, instance: &str) -> bool {
    row.strip_prefix(instance).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The cells of one column, with their indices.
fn walk<'a>(view: &'a View, column: &'a Oid, now: Instant) -> impl Iterator<Item = (Vec<u32>, Value)> + 'a {
    let mut at = column.clone();
    std::iter::from_fn(move || {
        let mut name = Oid::new();
        let value = view.next(at.as_slice(), false, &[], now, &mut name)?;
        let index = name.as_slice().strip_prefix(column.as_slice())?.to_vec();
        at = name;
        Some((index, value))
    })
}

/// Whether `text` is like `pattern`, in which `*` stands for any characters.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(i64::from(*n)),
        Value::Gauge32(n) | Value::TimeTicks(n) => Some(i64::from(*n)),
        _ => None,
    }
}

pub(super) fn count(value: &Value) -> Option<Count> {
    match value {
        Value::Counter32(n) => Some(Count { value: u64::from(*n), is_wide: false }),
        Value::Counter64(n) => Some(Count { value: *n, is_wide: true }),
        _ => None,
    }
}
