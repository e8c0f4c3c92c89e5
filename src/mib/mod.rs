//! The MIB as data.
//!
//! A [`Table`] is a plain static: where its entry stands, how a row is indexed, and one getter a column. A collector turns
//! its rows into a [`Fragment`] (finished, sorted, immutable) and hands it to the [`Publisher`], which replaces that table
//! in the [`View`] at once. Readers take a `View` and no lock. Nothing here knows AgentX or Postfix.
//!
//! The getter's variant is the object's SYNTAX; `tests/mib.rs` compares names, numbers and SYNTAX with mibs/POSTFIX-MIB.txt.

mod fragment;
mod table;
mod view;

pub use fragment::Fragment;
pub use table::{AnyTable, Column, ColumnInfo, Get, Index, Syntax, Table, column, scalars, text};
pub use view::{Publisher, View};
