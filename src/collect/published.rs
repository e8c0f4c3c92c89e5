//! What POSTFIX-MIB shows at one moment, by the names of its objects: for those who draw conclusions from several sources.

use crate::{
    collect,
    mib::View,
    smi::{Objects as _, Octets, Oid, Value},
};
use std::{collections::HashMap, sync::LazyLock, time::Instant};

/// Where each column of POSTFIX-MIB is below its root.
static COLUMNS: LazyLock<HashMap<&'static str, Vec<u32>>> = LazyLock::new(|| {
    let catalogue = collect::catalogue();
    let own = catalogue.iter().filter(|table| table.module().root.is_none());
    own.flat_map(|table| table.columns().into_iter().map(|c| (c.name, [table.entry(), &[c.number]].concat()))).collect()
});

/// One View.
pub(super) struct Published<'a> {
    view: &'a View,
    root: &'a Oid,
    pub(super) now: Instant,
}

impl<'a> Published<'a> {
    pub(super) fn new(view: &'a View, root: &'a Oid, now: Instant) -> Self {
        Self { view, root, now }
    }

    /// The full name of a column; none for a descriptor that no table has (a test knows that there is no such one).
    fn column(&self, name: &str) -> Option<Oid> {
        Some(self.root.child(COLUMNS.get(name)?))
    }

    fn value(&self, column: &str, index: &[u32]) -> Option<Value> {
        self.view.get(&self.column(column)?.child(index), self.now).ok()
    }

    /// A level or a counter.
    pub(super) fn number(&self, column: &str, index: &[u32]) -> Option<u64> {
        match self.value(column, index)? {
            Value::Integer(n) => n.try_into().ok(),
            Value::Counter32(n) | Value::Gauge32(n) => Some(n.into()),
            Value::Counter64(n) => Some(n),
            _ => None,
        }
    }

    pub(super) fn text(&self, column: &str, index: &[u32]) -> Option<Octets> {
        match self.value(column, index)? {
            Value::OctetString(text) => Some(text),
            _ => None,
        }
    }

    /// Since when an age is counted.
    pub(super) fn since(&self, column: &str, index: &[u32]) -> Option<Instant> {
        self.view.since(&self.column(column)?.child(index), self.now)
    }

    /// When one of these programs of an instance logged last.
    pub(super) fn last_line(&self, instance: u32, programs: &[&str]) -> Option<Instant> {
        let is_one = |row: &Vec<u32>| {
            // The instance's name comes first.
            let name = self.text("postfixMessageName", row).unwrap_or_default();
            name.rsplit(|octet| *octet == b' ').next().is_some_and(|last| programs.iter().any(|p| p.as_bytes() == last))
        };
        let rows = self.rows("postfixMessageName", &[instance]).filter(is_one);
        rows.filter_map(|row| self.since("postfixMessageLastLineAge", &row)).max()
    }

    /// The indices below `part` of the rows that have this column, ascending.
    pub(super) fn rows<'b>(&'b self, column: &str, part: &[u32]) -> impl Iterator<Item = Vec<u32>> + use<'a, 'b> {
        let column = self.column(column).unwrap_or_default();
        let below = column.child(part);
        let mut at = below.clone();
        std::iter::from_fn(move || {
            let mut name = Oid::new();
            self.view.next(&at, false, &[], self.now, &mut name)?;
            name.strip_prefix(below.as_slice())?;
            let index = name.strip_prefix(column.as_slice())?.to_vec();
            at = name;
            Some(index)
        })
    }

    /// The sum of `column` over the rows below `part`; each row has `names`. None where there is no row, or where one row
    /// does not have the column.
    pub(super) fn sum(&self, column: &str, names: &str, part: &[u32]) -> Option<u64> {
        let mut rows = self.rows(names, part).peekable();
        rows.peek()?;
        rows.map(|row| self.number(column, &row)).sum()
    }

    /// The instances that are watched.
    pub(super) fn enabled(&self) -> Vec<u32> {
        let instances = self.rows("postfixInstanceName", &[]).filter_map(|row| row.first().copied());
        instances.filter(|instance| !self.disabled(*instance)).collect()
    }

    /// Whether main.cf says `multi_instance_enable = no`.
    fn disabled(&self, instance: u32) -> bool {
        const DISABLED: u64 = 4;
        self.number("postfixSourceStatus", &[instance, collect::health::SourceKind::Instance as u32]) == Some(DISABLED)
    }
}
