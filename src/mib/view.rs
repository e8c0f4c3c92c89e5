//! All tables at one moment, and the one place where they are replaced.

use super::{AnyTable, Fragment};
use crate::{
    agentx::{Missing, Objects},
    smi::{Oid, Value},
};
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
