//! Indices that never move: name → index, saved by the owner with its state.
//!
//! An index is never given to another name, and a name that returns gets its old index back (as ifIndex persistence does).

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// The index of `(other)` in tables of names met at run time.
pub const OTHER: u32 = 1;
/// What that row is called.
pub const OTHER_NAME: &str = "(other)";
/// The most names such a table remembers; further ones count as `(other)`.
pub const NAMES: usize = 4_096;

/// A registry of names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct Registry {
    first: u32,
    names: Vec<Box<str>>,
    by_name: FxHashMap<Box<str>, u32>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    first: u32,
    names: Vec<Box<str>>,
}

impl From<Saved> for Registry {
    fn from(Saved { first, names }: Saved) -> Self {
        let by_name = names.iter().cloned().zip(first..).collect();
        Self { first, names, by_name }
    }
}

impl From<Registry> for Saved {
    fn from(registry: Registry) -> Self {
        Self { first: registry.first, names: registry.names }
    }
}

impl Registry {
    /// Indices from `first` on: 1, or 2 where 1 is [`OTHER`].
    pub fn new(first: u32) -> Self {
        Saved { first, names: Vec::new() }.into()
    }

    /// The index of `name`, a new one where it has none; `None` when [`NAMES`] are known already.
    pub fn index(&mut self, name: &str) -> Option<u32> {
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        if self.names.len() >= NAMES {
            return None;
        }
        let index = self.first + self.names.len() as u32;
        self.names.push(name.into());
        self.by_name.insert(name.into(), index);
        Some(index)
    }

    /// The index of `name` if it has one.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The name behind an index.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.names.get(index.checked_sub(self.first)? as usize).map(|name| &**name)
    }

    /// All names with their indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (self.first..).zip(self.names.iter().map(|name| &**name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_stays_with_its_name_through_a_restart() {
        let mut registry = Registry::new(2);
        assert_eq!((registry.index("a"), registry.index("b"), registry.index("a")), (Some(2), Some(3), Some(2)));
        let mut again: Registry = serde_json::from_str(&serde_json::to_string(&registry).unwrap()).unwrap();
        assert_eq!((again.index("c"), again.index("b")), (Some(4), Some(3)));
        assert_eq!(again.name(3), Some("b"));
        assert_eq!((again.name(0), again.name(1), again.name(9)), (None, None, None));
    }

    #[test]
    fn it_is_bounded() {
        let mut registry = Registry::new(2);
        assert!((0..NAMES).all(|i| registry.index(&i.to_string()).is_some()));
        assert_eq!(registry.index("one too many"), None);
        assert_eq!(registry.index("0"), Some(2));
    }
}
