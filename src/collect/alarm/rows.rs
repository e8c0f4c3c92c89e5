//! Which rows of the View a condition is about, and what stands there.

use super::engine::Count;
use crate::{
    config::alarm::{Alarm, Rows},
    mib::{Dictionary, View},
    smi::{Objects, Oid, Value},
};
use std::time::Instant;

/// The rows a condition is about: what each is called, and the value where there is one. A row that was asked for by name
/// or index is among them although it is not there.
pub(super) fn rows(dictionary: &Dictionary, view: &View, alarm: &Alarm, now: Instant) -> Vec<(String, Option<Value>)> {
    let object = alarm.when.object;
    let Some(column) = dictionary.oid(object, &[]) else { return Vec::new() };
    let get = |index: &[u32]| view.get(&column.child(index), now).ok();
    let names = dictionary.by_name(object).and_then(|found| {
        let is_name = |other: &crate::mib::Object| {
            other.table == found.table && other.syntax == "SnmpAdminString" && other.name.ends_with("Name")
        };
        dictionary.objects().filter(|(_, other)| is_name(other)).map(|(oid, _)| oid.clone()).next()
    });
    let name = |index: &[u32]| -> Option<String> {
        match view.get(&names.as_ref()?.child(index), now).ok()? {
            Value::OctetString(octets) => Some(String::from_utf8_lossy(&octets).into_owned()),
            _ => None,
        }
    };
    // A service that may have one process has all it may have whenever it runs: whoever wants to hear of that names it.
    let of_limit = object == "postfixServiceProcessPercent";
    let limit = dictionary.oid("postfixServiceProcessLimit", &[]).filter(|_| of_limit);
    let is_single = |index: &[u32]| {
        let limit = limit.as_ref().and_then(|limit| view.get(&limit.child(index), now).ok());
        matches!(limit, Some(Value::Gauge32(1)))
    };
    let dotted = |index: &[u32]| index.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    match &alarm.when.rows {
        Rows::Scalar => vec![(String::new(), get(&[0]))],
        Rows::Index(index) => vec![(dotted(index), get(index))],
        Rows::All => walk(view, &column, now)
            .filter(|(index, _)| !is_single(index))
            .map(|(index, value)| (name(&index).unwrap_or_else(|| dotted(&index)), Some(value)))
            .collect(),
        Rows::Name(pattern) => {
            let mut found: Vec<(String, Option<Value>)> = Vec::new();
            for (index, value) in names.iter().flat_map(|names| walk(view, names, now)) {
                if let Value::OctetString(octets) = value
                    && let text = String::from_utf8_lossy(&octets)
                    && is_like(&text, pattern)
                    && !(pattern.contains('*') && is_single(&index))
                {
                    found.push((text.into_owned(), get(&index)));
                }
            }
            if found.is_empty() && !pattern.contains('*') {
                found.push((pattern.clone(), None));
            }
            found
        }
    }
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
