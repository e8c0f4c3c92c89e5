//! Object identifiers. `Ord` is SNMP's lexicographic order (RFC 3416 §4.2.2): sub-identifier by sub-identifier,
//! a prefix before everything below it.

use smallvec::SmallVec;
use std::{fmt, str::FromStr};

/// The most sub-identifiers an OID may have (RFC 2578 §3.5, RFC 2741 §5.1).
pub const MAX_SUBIDS: usize = 128;

/// An object identifier of at most [`MAX_SUBIDS`] sub-identifiers; the empty one is AgentX's null OID.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
// 24 hold every name of POSTFIX-MIB, so that answering a request allocates nothing.
pub struct Oid(SmallVec<[u32; 24]>);

impl Oid {
    /// The empty OID.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sub-identifiers.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }

    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends sub-identifiers. The caller keeps within [`MAX_SUBIDS`]; the decoder checks what comes from a peer.
    pub fn extend(&mut self, subids: &[u32]) {
        self.0.extend_from_slice(subids);
    }

    /// Appends one sub-identifier.
    pub fn push(&mut self, subid: u32) {
        self.0.push(subid);
    }

    /// Makes it `length` sub-identifiers long and gives all of them, to be overwritten by a decoder. Costs nothing when a
    /// name replaces one of the same length. The caller keeps within [`MAX_SUBIDS`].
    #[inline]
    pub fn resize(&mut self, length: usize) -> &mut [u32] {
        if self.0.len() != length {
            self.0.resize(length, 0);
        }
        &mut self.0
    }

    /// Replaces the whole name.
    pub fn set(&mut self, subids: &[u32]) {
        self.resize(subids.len()).copy_from_slice(subids);
    }

    /// This name with `subids` below it.
    pub fn child(&self, subids: &[u32]) -> Self {
        let mut oid = self.clone();
        oid.extend(subids);
        oid
    }
}

impl std::ops::Deref for Oid {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        &self.0
    }
}

impl From<&[u32]> for Oid {
    fn from(subids: &[u32]) -> Self {
        Self(SmallVec::from_slice(subids))
    }
}

impl<const N: usize> From<[u32; N]> for Oid {
    fn from(subids: [u32; N]) -> Self {
        Self::from(subids.as_slice())
    }
}

/// Why a text is no OID.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OidError {
    /// Something between the dots is not a number below 2^32.
    #[error("`{0}` is not a number from 0 to 4294967295; write an OID as 1.3.6.1.4.1.…")]
    SubId(String),
    /// More than [`MAX_SUBIDS`] of them.
    #[error("an OID has at most 128 sub-identifiers, this one has {0}")]
    TooLong(usize),
}

impl FromStr for Oid {
    type Err = OidError;
    fn from_str(text: &str) -> Result<Self, OidError> {
        let parts = text.strip_prefix('.').unwrap_or(text).split('.');
        let subids = parts
            .map(|part| part.parse::<u32>().map_err(|_| OidError::SubId(part.to_owned())))
            .collect::<Result<SmallVec<_>, _>>()?;
        if subids.len() > MAX_SUBIDS { Err(OidError::TooLong(subids.len())) } else { Ok(Self(subids)) }
    }
}

/// `.1.3.6.1.…`, as `snmpwalk -On` prints it.
impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|subid| write!(f, ".{subid}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_lexicographic_by_sub_identifier() {
        let sorted = ["1.3", "1.3.6", "1.3.6.1.2", "1.3.6.1.10", "1.3.6.4294967295", "1.3.7"];
        let oids: Vec<Oid> = sorted.iter().map(|s| s.parse().unwrap()).collect();
        assert!(oids.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn parses_what_it_prints_and_refuses_the_rest() {
        let oid: Oid = ".1.3.6.1.4.1.8072".parse().unwrap();
        assert_eq!(oid.to_string(), ".1.3.6.1.4.1.8072");
        assert_eq!("1.3.x".parse::<Oid>(), Err(OidError::SubId("x".into())));
        assert_eq!("".parse::<Oid>(), Err(OidError::SubId(String::new())));
        assert_eq!("1.4294967296".parse::<Oid>(), Err(OidError::SubId("4294967296".into())));
        assert_eq!(vec!["1"; 129].join(".").parse::<Oid>(), Err(OidError::TooLong(129)));
    }
}
