//! SearchRange lists and VarBind lists (RFC 2741 §5.2, §5.4).
//!
//! A list from a peer is checked once and then read item by item from its octets into one reused item, so that a request
//! of fifty ranges costs no allocation. A list of our own is a slice.

use crate::{
    agentx::wire::{Reader, WireError, Writer},
    smi::{Oid, Value},
};
use std::{fmt, sync::Arc};

/// The most items one PDU may have; snmpd never sends more than a UDP datagram holds.
pub const MAX_ITEMS: usize = 10_000;

/// What a VarBind carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A value.
    Value(Value),
    /// Null.
    Null,
    /// No object type of that name.
    NoSuchObject,
    /// No such instance of an existing object type.
    NoSuchInstance,
    /// Nothing behind the starting OID.
    EndOfMibView,
}

/// A name and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarBind {
    /// v.name.
    pub name: Oid,
    /// v.type and v.data.
    pub data: Data,
}

/// Where a Get family request looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchRange {
    /// Starting OID.
    pub start: Oid,
    /// Whether the starting OID itself counts.
    pub include: bool,
    /// The answer lies before this; empty: unbounded.
    pub end: Oid,
}

/// An item a list is made of.
pub trait Item: Sized {
    /// Steps over one item and checks that it can be read.
    fn skip(from: &mut Reader<'_>) -> Result<(), WireError>;
    /// Reads one item.
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError>;
    /// Appends one item.
    fn write(&self, to: &mut Writer<'_>);
}

impl SearchRange {
    /// Replaces this range by the next one, keeping its memory.
    #[inline]
    pub fn read_into(&mut self, from: &mut Reader<'_>) -> Result<(), WireError> {
        self.include = from.oid_into(&mut self.start)?;
        // The include bit of an ending OID is always 0 (§5.2) and means nothing if it is not.
        from.oid_into(&mut self.end)?;
        Ok(())
    }
}

impl Item for SearchRange {
    fn skip(from: &mut Reader<'_>) -> Result<(), WireError> {
        from.skip_oid()?;
        from.skip_oid()
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut range = Self::default();
        range.read_into(from)?;
        Ok(range)
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.oid(&self.start, self.include);
        to.oid(&self.end, false);
    }
}

impl Item for VarBind {
    fn skip(from: &mut Reader<'_>) -> Result<(), WireError> {
        let [kind, _reserved] = [from.u16()?, from.u16()?];
        from.skip_oid()?;
        match kind {
            2 | 64..=67 | 71 => from.take(4).map(|_| ()),
            4 | 68 => from.octets().map(|_| ()),
            5 | 128..=130 => Ok(()),
            6 => from.skip_oid(),
            70 => from.take(8).map(|_| ()),
            _ => Err(WireError::VarBindType(kind)),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let [kind, _reserved] = [from.u16()?, from.u16()?];
        let name = from.oid()?;
        let data = match kind {
            2 => Data::Value(Value::Integer(from.u32()?.cast_signed())),
            4 => Data::Value(Value::octets(from.octets()?)),
            5 => Data::Null,
            6 => Data::Value(Value::ObjectId(Arc::new(from.oid()?))),
            64 => Data::Value(Value::IpAddress(from.array()?)),
            65 => Data::Value(Value::Counter32(from.u32()?)),
            // 71 is UInteger32 of SNMPv2p, which net-snmp still accepts.
            66 | 71 => Data::Value(Value::Gauge32(from.u32()?)),
            67 => Data::Value(Value::TimeTicks(from.u32()?)),
            68 => Data::Value(Value::Opaque(Arc::from(from.octets()?))),
            70 => Data::Value(Value::Counter64(from.u64()?)),
            128 => Data::NoSuchObject,
            129 => Data::NoSuchInstance,
            130 => Data::EndOfMibView,
            _ => return Err(WireError::VarBindType(kind)),
        };
        Ok(Self { name, data })
    }

    fn write(&self, to: &mut Writer<'_>) {
        write_varbind(to, &self.name, &self.data);
    }
}

/// Appends one VarBind.
pub fn write_varbind(to: &mut Writer<'_>, name: &[u32], data: &Data) {
    let kind = match data {
        Data::Value(Value::Integer(_)) => 2,
        Data::Value(Value::OctetString(_)) => 4,
        Data::Null => 5,
        Data::Value(Value::ObjectId(_)) => 6,
        Data::Value(Value::IpAddress(_)) => 64,
        Data::Value(Value::Counter32(_)) => 65,
        Data::Value(Value::Gauge32(_)) => 66,
        Data::Value(Value::TimeTicks(_)) => 67,
        Data::Value(Value::Opaque(_)) => 68,
        Data::Value(Value::Counter64(_)) => 70,
        Data::NoSuchObject => 128,
        Data::NoSuchInstance => 129,
        Data::EndOfMibView => 130,
    };
    to.u16(kind);
    to.u16(0);
    to.oid(name, false);
    match data {
        Data::Value(Value::Integer(v)) => to.u32(v.cast_unsigned()),
        Data::Value(Value::OctetString(v) | Value::Opaque(v)) => to.octets(v),
        Data::Value(Value::ObjectId(v)) => to.oid(v, false),
        // Most significant octet first whatever the byte order (§5.4).
        Data::Value(Value::IpAddress(v)) => to.raw(v),
        Data::Value(Value::Counter32(v) | Value::Gauge32(v) | Value::TimeTicks(v)) => to.u32(*v),
        Data::Value(Value::Counter64(v)) => to.u64(*v),
        Data::Null | Data::NoSuchObject | Data::NoSuchInstance | Data::EndOfMibView => {}
    }
}

/// A list of items, checked to its end.
pub struct List<'a, T>(Form<'a, T>);

enum Form<'a, T> {
    Checked { items: Reader<'a>, count: usize },
    Own(&'a [T]),
}

/// The SearchRanges of a Get family request.
pub type Ranges<'a> = List<'a, SearchRange>;
/// The VarBinds of a PDU.
pub type VarBinds<'a> = List<'a, VarBind>;

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for List<'_, T> {}
impl<T> Clone for Form<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Form<'_, T> {}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self(Form::Own(&[]))
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self(Form::Own(items))
    }
}

impl<'a, T: Item> List<'a, T> {
    /// Checks everything `from` still holds.
    #[inline]
    pub fn check(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let items = *from;
        let mut count = 0;
        while !from.rest().is_empty() {
            if count == MAX_ITEMS {
                return Err(WireError::TooMany(MAX_ITEMS));
            }
            T::skip(from)?;
            count += 1;
        }
        Ok(Self(Form::Checked { items, count }))
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        match self.0 {
            Form::Checked { count, .. } => count,
            Form::Own(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items, each read when it is its turn.
    pub fn iter(&self) -> impl Iterator<Item = T> + 'a
    where
        T: Clone + 'a,
    {
        let (mut items, own) = match self.0 {
            Form::Checked { items, .. } => (Some(items), [].as_slice()),
            Form::Own(own) => (None, own),
        };
        // The list has been checked: reading ends where the octets end.
        let checked = std::iter::from_fn(move || T::read(items.as_mut()?).ok());
        checked.chain(own.iter().cloned())
    }

    /// Appends all items.
    pub fn write(&self, to: &mut Writer<'_>)
    where
        T: Clone + 'a,
    {
        match self.0 {
            Form::Own(items) => items.iter().for_each(|item| item.write(to)),
            Form::Checked { .. } => self.iter().for_each(|item| item.write(to)),
        }
    }
}

impl Ranges<'_> {
    /// Calls `each` with every range in turn, all read into the same `scratch`, until it returns false.
    #[inline]
    pub fn visit(&self, scratch: &mut SearchRange, mut each: impl FnMut(usize, &SearchRange) -> bool) {
        match self.0 {
            Form::Checked { mut items, count } => {
                for position in 0..count {
                    if scratch.read_into(&mut items).is_err() || !each(position, scratch) {
                        return;
                    }
                }
            }
            Form::Own(ranges) => {
                for (position, range) in ranges.iter().enumerate() {
                    if !each(position, range) {
                        return;
                    }
                }
            }
        }
    }
}

impl<T: Item + Clone + PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Item + Clone + fmt::Debug> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
