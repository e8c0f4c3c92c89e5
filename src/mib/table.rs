//! Tables and scalar groups as statics.

use super::{Fragment, Module, POSTFIX_MIB};
use crate::shown::is_hidden;
use crate::smi::{Octets, Oid, Stamp};
use smallvec::SmallVec;
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

/// The INDEX of a row, as the sub-identifiers that stand behind the column. All indices of POSTFIX-MIB are integers.
pub type Index = SmallVec<[u32; 4]>;

/// One conceptual table, or (see [`scalars`]) one group of scalars: one source, one owner, published as a whole.
pub struct Table<R: 'static> {
    /// The descriptor of the table, or of the node the scalars stand under.
    pub name: &'static str,
    /// The entry's sub-identifiers below the MIB's root; below these stands the column, then the index.
    pub entry: &'static [u32],
    /// A row's index. Rows need not come sorted; of two rows with one index the first is kept.
    pub index: fn(&R) -> Index,
    /// The accessible columns, numbers ascending.
    pub columns: &'static [Column<R>],
}

/// One accessible object.
pub struct Column<R: 'static> {
    /// The last sub-identifier.
    pub number: u32,
    /// The MIB descriptor, verbatim.
    pub name: &'static str,
    /// SYNTAX and value.
    pub get: Get<R>,
}

/// One accessible object, for tables written as data.
pub const fn column<R>(number: u32, name: &'static str, get: Get<R>) -> Column<R> {
    Column { number, name, get }
}

/// A group of scalars: a table of one row whose index is the 0 that ends a scalar's name.
pub const fn scalars<R>(name: &'static str, node: &'static [u32], objects: &'static [Column<R>]) -> Table<R> {
    Table { name, entry: node, index: |_| Index::from_slice(&[0]), columns: objects }
}

/// How a column is read from a row. `None` means "could not look": the instance is then not in the View (noSuchInstance).
pub enum Get<R> {
    /// INTEGER, Integer32, enumerations.
    Integer(fn(&R) -> Option<i32>),
    /// Counter32 from a 64-bit count, served modulo 2^32.
    Counter32(fn(&R) -> Option<u64>),
    /// Counter64.
    Counter64(fn(&R) -> Option<u64>),
    /// Gauge32, saturating at 2^32 - 1.
    Gauge32(fn(&R) -> Option<u64>),
    /// Unsigned32, saturating at 2^32 - 1.
    Unsigned32(fn(&R) -> Option<u64>),
    /// SnmpAdminString. Use [`text`] for what comes from outside.
    Text(fn(&R) -> Option<Octets>),
    /// The same where it names a person or an organisation (a sender, a user, a client, a domain): not in the View where the
    /// configuration says `privacy: true`, but for the row of all others together.
    Personal(fn(&R) -> Option<Octets>),
    /// DateAndTime, 8 or 11 octets.
    DateAndTime(fn(&R) -> Option<Octets>),
    /// Gauge32, whole seconds since an instant, computed when asked.
    Age(fn(&R) -> Option<Instant>),
    /// Gauge32, whole seconds until an instant, 0 from then on, computed when asked.
    Until(fn(&R) -> Option<Instant>),
    /// TimeTicks since an instant, computed when asked.
    AgeTicks(fn(&R) -> Option<Instant>),
    /// TimeStamp, by the sysUpTime of the master that asks.
    TimeStamp(fn(&R) -> Option<Stamp>),
    /// TimeInterval since an instant, hundredths of a second, computed when asked.
    AgeInterval(fn(&R) -> Option<Instant>),
    /// OBJECT IDENTIFIER.
    ObjectId(fn(&R) -> Option<Arc<Oid>>),
    /// Gauge32 whose value moves between publications.
    LiveGauge32(fn(&R) -> Option<Arc<AtomicU64>>),
    /// Counter32 whose value moves between publications.
    LiveCounter32(fn(&R) -> Option<Arc<AtomicU64>>),
}

/// The base SYNTAX of a column, as the MIB file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "SMIv2's own names")]
pub enum Syntax {
    Integer,
    Counter32,
    Counter64,
    Gauge32,
    Unsigned32,
    Text,
    DateAndTime,
    TimeTicks,
    ObjectId,
}

impl<R> Get<R> {
    /// The SYNTAX this getter serves.
    pub const fn syntax(&self) -> Syntax {
        match self {
            Get::Integer(_) | Get::AgeInterval(_) => Syntax::Integer,
            Get::Counter32(_) | Get::LiveCounter32(_) => Syntax::Counter32,
            Get::Counter64(_) => Syntax::Counter64,
            Get::Gauge32(_) | Get::Age(_) | Get::Until(_) | Get::LiveGauge32(_) => Syntax::Gauge32,
            Get::Unsigned32(_) => Syntax::Unsigned32,
            Get::Text(_) | Get::Personal(_) => Syntax::Text,
            Get::DateAndTime(_) => Syntax::DateAndTime,
            Get::AgeTicks(_) | Get::TimeStamp(_) => Syntax::TimeTicks,
            Get::ObjectId(_) => Syntax::ObjectId,
        }
    }
}

/// What is known of a column without its row type.
#[derive(Clone, Copy, Debug)]
pub struct ColumnInfo {
    /// Last sub-identifier of the object type.
    pub number: u32,
    /// MIB descriptor.
    pub name: &'static str,
    /// Base SYNTAX.
    pub syntax: Syntax,
}

/// A table whose row type does not matter: what the catalogue lists.
pub trait AnyTable: Sync {
    /// The module it is defined in.
    fn module(&self) -> &'static Module {
        &POSTFIX_MIB
    }
    /// The table's descriptor.
    fn name(&self) -> &'static str;
    /// The entry below the module's root.
    fn entry(&self) -> &'static [u32];
    /// The accessible columns.
    fn columns(&self) -> Vec<ColumnInfo>;
    /// The table without rows, so that its objects are known before its source has been read.
    fn empty(&self) -> Fragment;
}

impl<R> AnyTable for Table<R> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn entry(&self) -> &'static [u32] {
        self.entry
    }
    fn columns(&self) -> Vec<ColumnInfo> {
        self.columns.iter().map(|c| ColumnInfo { number: c.number, name: c.name, syntax: c.get.syntax() }).collect()
    }
    fn empty(&self) -> Fragment {
        self.fragment(&[])
    }
}

impl<R> Table<R> {
    /// The finished, sorted, immutable content of this table.
    pub fn fragment(&self, rows: &[R]) -> Fragment {
        Fragment::build(self, rows)
    }
}

/// Octets from outside as an SnmpAdminString (RFC 3411): UTF-8 with anything else replaced, what is hidden shown as `?`, cut at a character boundary to `limit` octets (the SIZE in the MIB).
pub fn text(bytes: impl AsRef<[u8]>, limit: usize) -> Octets {
    let lossy = String::from_utf8_lossy(bytes.as_ref());
    let mut out = String::with_capacity(lossy.len().min(limit));
    for c in lossy.chars() {
        let c = if is_hidden(c) { '?' } else { c };
        if out.len() + c.len_utf8() > limit {
            break;
        }
        out.push(c);
    }
    Arc::from(out.into_bytes())
}
