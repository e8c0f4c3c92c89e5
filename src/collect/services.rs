//! Which number an entry of master.cf has: what the process collector gives out and the log collector shows beside it.

use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// postfixServiceIndex by instance and `name/type`. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct ServiceIndices(Arc<Mutex<FxHashMap<u32, FxHashMap<String, u32>>>>);

impl ServiceIndices {
    /// The entries of all instances: instance, name, type, index. What is not among them any more is kept: an index never
    /// moves.
    pub fn set<'a>(&self, entries: impl IntoIterator<Item = (u32, &'a str, &'a str, u32)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (instance, name, kind, index) in entries {
            known.entry(instance).or_default().insert(key(name, kind), index);
        }
    }

    /// The index of an entry; `None` until the process collector has seen it.
    pub fn get(&self, instance: u32, key: &str) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&instance)?.get(key).copied()
    }
}

/// How an entry is known: `smtp/inet` and `smtp/unix` are two.
pub fn key(name: &str, kind: &str) -> String {
    format!("{name}/{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_and_entries_stay() {
        let process = ServiceIndices::default();
        let log = process.clone();
        process.set([(1, "smtp", "inet", 1), (1, "smtp", "unix", 2)]);
        process.set([(1, "relay", "unix", 3)]);
        assert_eq!(
            ["smtp/inet", "smtp/unix", "relay/unix", "x/unix"].map(|k| log.get(1, k)),
            [Some(1), Some(2), Some(3), None]
        );
        assert_eq!(log.get(2, "smtp/inet"), None);
    }
}
