//! MIB modules: where the tables of one stand, and how that subtree is registered.

use super::{AnyTable, ColumnInfo, Fragment, Table};
use crate::smi::Oid;

/// One MIB module the agent serves. A table names its module; each module is one region at the master.
#[derive(Debug)]
pub struct Module {
    /// The module's name, as in its file.
    pub name: &'static str,
    /// The node its tables' entries are counted from. `None`: `agentx: root` of the configuration.
    pub root: Option<&'static [u32]>,
    /// Registration priority (RFC 2741 §7.1.4.1); the smaller wins. `None`: `agentx: priority` of the configuration.
    pub priority: Option<u8>,
    /// Whether its root is registered. Where it is not, only the nodes are, and the master answers for the rest.
    pub whole: bool,
    /// Nodes below the root that are registered on their own: a master that answers there itself has a longer name than
    /// the root's, which wins (RFC 2741 §7.1.5) unless it is registered too.
    pub nodes: &'static [&'static [u32]],
}

/// The module of every table that names no other one.
pub static POSTFIX_MIB: Module = Module { name: "POSTFIX-MIB", root: None, priority: None, whole: true, nodes: &[] };

impl Module {
    /// Whether it is one of the IETF's, at mib-2.
    pub fn is_standard(&self) -> bool {
        self.root.is_some_and(|root| root.starts_with(&[1, 3, 6, 1, 2, 1]))
    }

    /// Its root, where the configuration says `configured`.
    pub fn root(&self, configured: &Oid) -> Oid {
        self.root.map_or_else(|| configured.clone(), Oid::from)
    }
}

/// The modules of these tables, each once, POSTFIX-MIB first: the identity of the agent is below its root.
pub fn modules(catalogue: &[&dyn AnyTable]) -> Vec<&'static Module> {
    let mut modules = vec![&POSTFIX_MIB];
    for table in catalogue {
        if !modules.iter().any(|module| std::ptr::eq(*module, table.module())) {
            modules.push(table.module());
        }
    }
    modules
}

/// A table of another module than POSTFIX-MIB.
pub struct TableOf<R: 'static> {
    /// Its module.
    pub module: &'static Module,
    /// The table; its entry is counted from the module's root.
    pub table: Table<R>,
}

impl<R> TableOf<R> {
    /// The finished, sorted, immutable content of this table.
    pub fn fragment(&self, rows: &[R]) -> Fragment {
        self.table.fragment(rows).of(self.module)
    }
}

impl<R> AnyTable for TableOf<R> {
    fn module(&self) -> &'static Module {
        self.module
    }
    fn name(&self) -> &'static str {
        self.table.name
    }
    fn entry(&self) -> &'static [u32] {
        self.table.entry
    }
    fn columns(&self) -> Vec<ColumnInfo> {
        self.table.columns()
    }
    fn empty(&self) -> Fragment {
        self.fragment(&[])
    }
}
