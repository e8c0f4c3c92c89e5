//! The MIB as data.
//!
//! A [`Table`] is a plain static: where its entry is, how a row is indexed, and one getter a column. It belongs to POSTFIX-MIB
//! unless it is a [`TableOf`] another [`Module`]. A collector turns
//! its rows into a [`Fragment`] (finished, sorted, immutable) and hands it to the [`Publisher`], which replaces that table
//! in the [`View`] at once. Readers take a `View` and no lock. Nothing here knows AgentX or Postfix.
//!
//! The getter's variant is the object's SYNTAX; `tests/mib.rs` compares names, numbers and SYNTAX with mibs/POSTFIX-MIB.txt.

mod dictionary;
mod fragment;
mod module;
mod table;
mod view;

pub use dictionary::{AGENTCAPS_MIB_TEXT, Dictionary, Object, POSTFIX_MIB_TEXT, ROOT};
pub use fragment::Fragment;
pub use module::{Module, POSTFIX_MIB, TableOf, modules};
pub use table::{AnyTable, Column, ColumnInfo, Get, Index, Syntax, Table, column, scalars, text};
pub use view::{Publisher, View};
