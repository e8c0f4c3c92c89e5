//! What a host answered, by the names of POSTFIX-MIB. What is not there is `None`, which is not 0.

use crate::{
    mib::Dictionary,
    shown::escaped,
    smi::{Oid, Value},
    snmp::Binding,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The values of one host at one time.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    dictionary: Arc<Dictionary>,
    values: BTreeMap<Oid, Value>,
}

/// One row of a table.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    tree: &'a Tree,
    pub(super) index: Vec<u32>,
}

impl Tree {
    pub(super) fn new(dictionary: Arc<Dictionary>) -> Self {
        Self { dictionary, values: BTreeMap::new() }
    }

    /// More of it; later answers replace earlier ones.
    pub(super) fn add(&mut self, bindings: Vec<Binding>) {
        let values = bindings.into_iter().filter_map(|b| Some((b.name, b.answer.value().cloned()?)));
        self.values.extend(values);
    }

    fn value(&self, name: &str, index: &[u32]) -> Option<&Value> {
        self.values.get(&self.dictionary.oid(name, index)?)
    }

    /// A scalar that counts or measures.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        number(self.value(name, &[0])?)
    }

    /// A scalar that is text; nothing in it steers a terminal.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(self.value(name, &[0])?)
    }

    /// What the number of a scalar enumeration is called.
    pub(super) fn label(&self, name: &str) -> Option<&'static str> {
        self.called(name, &[0])
    }

    /// A scalar's DateAndTime, to the second: `2026-11-22 16:35:00 +00:00`.
    pub(super) fn date(&self, name: &str) -> Option<String> {
        match self.value(name, &[0])? {
            Value::OctetString(octets) => date(octets),
            _ => None,
        }
    }

    fn called(&self, name: &str, index: &[u32]) -> Option<&'static str> {
        match self.value(name, index)? {
            Value::Integer(number) => self.dictionary.by_name(name)?.label(*number),
            _ => None,
        }
    }

    /// The rows that have a value in one of these columns.
    pub(super) fn rows(&self, columns: &[&str]) -> Vec<Row<'_>> {
        let roots = columns.iter().filter_map(|name| self.dictionary.oid(name, &[]));
        let mut found = BTreeSet::new();
        for root in roots {
            let below = self.values.range(root.clone()..).map_while(|(name, _)| name.strip_prefix(root.as_slice()));
            found.extend(below.map(<[u32]>::to_vec));
        }
        found.into_iter().map(|index| Row { tree: self, index }).collect()
    }

    /// What the number of an index is called: of postfixQueueKind 4 is `deferred`.
    pub(super) fn index_label(&self, name: &str, number: u32) -> Option<&'static str> {
        self.dictionary.by_name(name)?.label(i32::try_from(number).ok()?)
    }
}

impl Row<'_> {
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        number(self.tree.value(name, &self.index)?)
    }

    /// Of an Integer32 that may be negative.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match self.tree.value(name, &self.index)? {
            Value::Integer(number) => Some(i64::from(*number)),
            other => number(other).map(i64::from),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(self.tree.value(name, &self.index)?)
    }

    pub(super) fn label(&self, name: &str) -> Option<&'static str> {
        self.tree.called(name, &self.index)
    }

    /// One number of the index.
    pub(super) fn at(&self, position: usize) -> u32 {
        self.index.get(position).copied().unwrap_or_default()
    }
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Gauge32(number) | Value::Counter32(number) | Value::TimeTicks(number) => Some(*number),
        Value::Integer(number) => u32::try_from(*number).ok(),
        Value::Counter64(number) => Some(u32::try_from(*number).unwrap_or(u32::MAX)),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::OctetString(octets) => Some(escaped(octets)),
        _ => None,
    }
}

fn date(octets: &[u8]) -> Option<String> {
    let &[high, low, month, day, hour, minute, second, _, ref zone @ ..] = octets else { return None };
    let year = u16::from_be_bytes([high, low]);
    let zone = match *zone {
        [sign @ (b'+' | b'-'), hours, minutes] => format!(" {}{hours:02}:{minutes:02}", char::from(sign)),
        _ => String::new(),
    };
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{collect, snmp::Answer};

    fn tree(values: &[(&str, &[u32], Value)]) -> Tree {
        let root = Oid::from(crate::mib::ROOT);
        let dictionary = Arc::new(Dictionary::new(&root, &collect::catalogue()));
        let mut tree = Tree::new(dictionary.clone());
        let binding = |(name, index, value): &(&str, &[u32], Value)| Binding {
            name: dictionary.oid(name, index).unwrap(),
            answer: Answer::Value(value.clone()),
        };
        tree.add(values.iter().map(binding).collect());
        tree
    }

    #[test]
    fn rows_and_names_are_found_and_what_is_absent_is_not_zero() {
        let tree = tree(&[
            ("postfixHealth", &[0], Value::Integer(3)),
            ("postfixHealthText", &[0], Value::octets("a\x1b[2Jb")),
            ("postfixQueueMessages", &[1, 4], Value::Gauge32(7)),
            ("postfixQueueKiB", &[1, 2], Value::Gauge32(3)),
            ("postfixTotalCountersSince", &[0], Value::octets([7, 234, 11, 22, 9, 5, 0, 0, b'+', 1, 0])),
        ]);
        assert_eq!((tree.label("postfixHealth"), tree.number("postfixTotalMessages")), (Some("critical"), None));
        assert_eq!(tree.text("postfixHealthText").as_deref(), Some("a\\x1b[2Jb"));
        assert_eq!(tree.date("postfixTotalCountersSince").as_deref(), Some("2026-11-22 09:05:00 +01:00"));
        let rows = tree.rows(&["postfixQueueMessages", "postfixQueueKiB", "postfixNothing"]);
        let shown: Vec<_> = rows.iter().map(|r| (r.at(1), r.number("postfixQueueMessages"))).collect();
        assert_eq!(shown, [(2, None), (4, Some(7))]);
        assert_eq!(tree.index_label("postfixQueueKind", 4), Some("deferred"));
        assert!(tree.rows(&["postfixMailSent"]).is_empty());
    }
}
