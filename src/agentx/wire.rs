//! The encodings PDUs are made of (RFC 2741 §5): integers in either byte order, object identifiers, octet strings.
//!
//! Reading never panics and never allocates for a length it has not seen the octets of. What a PDU means is in `pdu`.

use crate::smi::{MAX_SUBIDS, Oid};
use bytes::{Buf, BufMut, BytesMut};

/// The byte order of one PDU; each PDU states its own (NETWORK_BYTE_ORDER, RFC 2741 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least significant octet first.
    Little,
    /// Network order.
    Big,
}

impl Order {
    /// This machine's order: a master on the same host then has nothing to swap.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };
}

/// Why octets are no AgentX encoding.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The PDU ends inside a field (or inside the padding of a string).
    #[error("a field reaches beyond the end of the PDU")]
    Truncated,
    /// More sub-identifiers than an OID may have.
    #[error("an OID with {0} sub-identifiers; 128 are allowed")]
    OidTooLong(usize),
    /// A VarBind of a type RFC 2741 §5.4 does not list.
    #[error("unknown VarBind type {0}")]
    VarBindType(u16),
    /// More items than a request may have.
    #[error("more than {0} items in one PDU")]
    TooMany(usize),
    /// Something stands behind the last field.
    #[error("{0} octets behind the last field")]
    Trailing(usize),
    /// h.type is none of the 18.
    #[error("unknown PDU type {0}")]
    PduType(u8),
}

/// Reads fields one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Reader<'a> {
    /// Reads `octets` in `order`.
    pub fn new(octets: &'a [u8], order: Order) -> Self {
        Self { rest: octets, order }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The byte order it reads in.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The next `length` octets.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` octets.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Two octets.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        let read = match self.order {
            Order::Little => self.rest.try_get_u16_le(),
            Order::Big => self.rest.try_get_u16(),
        };
        read.map_err(|_| WireError::Truncated)
    }

    /// Four octets.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        let read = match self.order {
            Order::Little => self.rest.try_get_u32_le(),
            Order::Big => self.rest.try_get_u32(),
        };
        read.map_err(|_| WireError::Truncated)
    }

    /// Eight octets.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        let read = match self.order {
            Order::Little => self.rest.try_get_u64_le(),
            Order::Big => self.rest.try_get_u64(),
        };
        read.map_err(|_| WireError::Truncated)
    }

    /// An octet string with its padding (§5.3).
    pub fn octets(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.u32()?).map_err(|_| WireError::Truncated)?;
        let padded = length.checked_next_multiple_of(4).ok_or(WireError::Truncated)?;
        self.take(padded)?.get(..length).ok_or(WireError::Truncated)
    }

    /// Number, prefix and include of an OID, and the octets of its sub-identifiers (§5.1).
    #[inline]
    fn oid_parts(&mut self) -> Result<(u8, bool, &'a [u8]), WireError> {
        let [count, prefix, include, _reserved] = self.array()?;
        let subids = usize::from(count) + if prefix == 0 { 0 } else { INTERNET.len() + 1 };
        if subids > MAX_SUBIDS {
            return Err(WireError::OidTooLong(subids));
        }
        Ok((prefix, include != 0, self.take(usize::from(count) * 4)?))
    }

    /// Replaces `oid` by the next one; returns its include bit.
    #[inline]
    pub fn oid_into(&mut self, oid: &mut Oid) -> Result<bool, WireError> {
        let (prefix, include, octets) = self.oid_parts()?;
        let subids = octets.as_chunks().0;
        let places = if prefix == 0 {
            oid.resize(subids.len())
        } else {
            let all = oid.resize(subids.len() + INTERNET.len() + 1);
            let (head, places) = all.split_first_chunk_mut().ok_or(WireError::Truncated)?;
            let [iso, org, dod, internet] = INTERNET;
            *head = [iso, org, dod, internet, u32::from(prefix)];
            places
        };
        match self.order {
            Order::Little => places.iter_mut().zip(subids).for_each(|(to, from)| *to = u32::from_le_bytes(*from)),
            Order::Big => places.iter_mut().zip(subids).for_each(|(to, from)| *to = u32::from_be_bytes(*from)),
        }
        Ok(include)
    }

    /// The next OID; its include bit means nothing where this is used.
    pub fn oid(&mut self) -> Result<Oid, WireError> {
        let mut oid = Oid::new();
        self.oid_into(&mut oid)?;
        Ok(oid)
    }

    /// Checks the next OID and steps over it.
    #[inline]
    pub fn skip_oid(&mut self) -> Result<(), WireError> {
        self.oid_parts().map(|_| ())
    }
}

/// What the prefix octet of an OID abbreviates: 1.3.6.1.prefix.
const INTERNET: [u32; 4] = [1, 3, 6, 1];

/// Appends fields in one byte order.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    order: Order,
}

impl<'a> Writer<'a> {
    /// Appends to `out` in `order`.
    pub fn new(out: &'a mut BytesMut, order: Order) -> Self {
        Self { out, order }
    }

    /// Octets as they are.
    pub fn raw(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    /// Two octets.
    pub fn u16(&mut self, value: u16) {
        match self.order {
            Order::Little => self.out.put_u16_le(value),
            Order::Big => self.out.put_u16(value),
        }
    }

    /// Four octets.
    pub fn u32(&mut self, value: u32) {
        match self.order {
            Order::Little => self.out.put_u32_le(value),
            Order::Big => self.out.put_u32(value),
        }
    }

    /// Eight octets.
    pub fn u64(&mut self, value: u64) {
        match self.order {
            Order::Little => self.out.put_u64_le(value),
            Order::Big => self.out.put_u64(value),
        }
    }

    /// An octet string with its padding.
    pub fn octets(&mut self, octets: &[u8]) {
        // What is longer than 4 GiB has been refused long before; a length that lies would break the stream.
        let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        let octets = octets.get(..length as usize).unwrap_or(octets);
        self.u32(length);
        self.out.extend_from_slice(octets);
        self.out.put_bytes(0, octets.len().next_multiple_of(4) - octets.len());
    }

    /// An OID, abbreviated where it can be (§5.1); more than 128 sub-identifiers are cut, since no peer could read them.
    pub fn oid(&mut self, subids: &[u32], include: bool) {
        let subids = subids.get(..MAX_SUBIDS).unwrap_or(subids);
        let (prefix, rest) = abbreviated(subids).unwrap_or((0, subids));
        let start = self.out.len();
        self.out.resize(start + 4 + rest.len() * 4, 0);
        let words = self.out.get_mut(start..).unwrap_or_default().as_chunks_mut::<4>().0;
        let Some((head, places)) = words.split_first_mut() else { return };
        *head = [u8::try_from(rest.len()).unwrap_or(u8::MAX), prefix, u8::from(include), 0];
        match self.order {
            Order::Little => places.iter_mut().zip(rest).for_each(|(place, subid)| *place = subid.to_le_bytes()),
            Order::Big => places.iter_mut().zip(rest).for_each(|(place, subid)| *place = subid.to_be_bytes()),
        }
    }

    /// How much stands in the buffer.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Overwrites four octets written before.
    pub fn patch_u32(&mut self, at: usize, value: u32) {
        let octets = if self.order == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() };
        if let Some(place) = self.out.get_mut(at..at + 4) {
            place.copy_from_slice(&octets);
        }
    }

    /// Takes back everything written behind `position`.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }
}

/// The prefix that stands for `internet`.x, and what is left (§5.1).
#[inline]
fn abbreviated(subids: &[u32]) -> Option<(u8, &[u32])> {
    let (head, rest) = subids.split_first_chunk()?;
    let (prefix, rest) = rest.split_first()?;
    let prefix = u8::try_from(*prefix).ok().filter(|prefix| *prefix > 0)?;
    (*head == INTERNET).then_some((prefix, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(subids: &[u32], order: Order) -> (Vec<u8>, Oid) {
        let mut out = BytesMut::new();
        Writer::new(&mut out, order).oid(subids, false);
        let oid = Reader::new(&out, order).oid().unwrap();
        (out.to_vec(), oid)
    }

    #[test]
    fn an_oid_below_internet_is_abbreviated_and_both_forms_are_read() {
        let (octets, oid) = round(&[1, 3, 6, 1, 2, 1, 1], Order::Big);
        assert_eq!(octets, [2, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(oid.as_slice(), [1, 3, 6, 1, 2, 1, 1]);
        let long = [6, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1];
        assert_eq!(Reader::new(&long, Order::Big).oid().unwrap().as_slice(), [1, 3, 6, 1, 2, 1]);
        assert_eq!(round(&[1, 3, 6, 1, 4], Order::Little).0, [0, 4, 0, 0], "1.3.6.1.4 is all prefix");
        assert_eq!(round(&[1, 3, 6, 1, 256], Order::Little).0.len(), 24, "256 is no prefix");
        assert_eq!(round(&[1, 3, 6, 1, 0], Order::Little).0.len(), 24, "0 would mean no prefix");
    }

    #[test]
    fn the_null_oid_is_four_zero_octets_and_not_0_0() {
        assert_eq!(round(&[], Order::Big), (vec![0; 4], Oid::new()));
        assert_eq!(round(&[0, 0], Order::Big).0.len(), 12);
    }

    #[test]
    fn an_oid_has_at_most_128_sub_identifiers_of_any_size() {
        let longest: Vec<u32> = (0..128).map(|i| u32::MAX - i).collect();
        for order in [Order::Little, Order::Big] {
            assert_eq!(round(&longest, order).1.as_slice(), longest);
        }
        let mut octets = vec![129, 0, 0, 0];
        octets.resize(4 + 129 * 4, 0);
        assert_eq!(Reader::new(&octets, Order::Big).oid(), Err(WireError::OidTooLong(129)));
        octets[..2].copy_from_slice(&[124, 4]);
        assert_eq!(Reader::new(&octets, Order::Big).oid(), Err(WireError::OidTooLong(129)), "the prefix counts");
        octets[0] = 123;
        assert_eq!(Reader::new(&octets, Order::Big).oid().unwrap().len(), 128);
    }

    #[test]
    fn a_string_holds_any_octet_and_must_bring_its_padding() {
        let all: Vec<u8> = (0..=255).chain(0..=254).collect();
        let mut out = BytesMut::new();
        Writer::new(&mut out, Order::Little).octets(&all);
        assert_eq!(out.len(), 4 + 512);
        assert_eq!(Reader::new(&out, Order::Little).octets(), Ok(&all[..]));
        assert_eq!(Reader::new(&out[..4 + 511], Order::Little).octets(), Err(WireError::Truncated));
        assert_eq!(Reader::new(&[255; 12], Order::Little).octets(), Err(WireError::Truncated));
    }

    #[test]
    fn a_64_bit_integer_is_eight_octets_in_the_pdus_order() {
        for (order, first) in [(Order::Little, 8), (Order::Big, 1)] {
            let mut out = BytesMut::new();
            Writer::new(&mut out, order).u64(0x0102_0304_0506_0708);
            assert_eq!(out[0], first);
            assert_eq!(Reader::new(&out, order).u64(), Ok(0x0102_0304_0506_0708));
        }
    }
}
