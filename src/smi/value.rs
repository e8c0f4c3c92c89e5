//! Values (RFC 2578 §7.1, the application types of RFC 3416 §3).

use super::Oid;
use std::{fmt, sync::Arc};

/// Octets shared between the View and whoever published them.
pub type Octets = Arc<[u8]>;

/// What an object instance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// INTEGER, Integer32 and enumerations.
    Integer(i32),
    /// OCTET STRING and everything made of it.
    OctetString(Octets),
    /// OBJECT IDENTIFIER.
    ObjectId(Arc<Oid>),
    /// IpAddress, most significant octet first.
    IpAddress([u8; 4]),
    /// Counter32.
    Counter32(u32),
    /// Gauge32 and Unsigned32.
    Gauge32(u32),
    /// TimeTicks, hundredths of a second.
    TimeTicks(u32),
    /// Opaque.
    Opaque(Octets),
    /// Counter64.
    Counter64(u64),
}

impl Value {
    /// An octet string from anything that is bytes.
    pub fn octets(bytes: impl AsRef<[u8]>) -> Self {
        Self::OctetString(Arc::from(bytes.as_ref()))
    }
}

/// As net-snmp's tools print it with `-On` and no MIB loaded: `Gauge32: 5`, `STRING: "x"`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(v) => write!(f, "INTEGER: {v}"),
            Self::OctetString(v) if v.is_empty() => write!(f, "\"\""),
            Self::OctetString(v) if v.iter().all(|&b| (b.is_ascii_graphic() || b.is_ascii_whitespace()) && b != 0) => {
                write!(f, "STRING: \"")?;
                for &b in v.iter() {
                    if matches!(b, b'"' | b'\\') {
                        write!(f, "\\")?;
                    }
                    write!(f, "{}", b as char)?;
                }
                write!(f, "\"")
            }
            Self::OctetString(v) => {
                write!(f, "Hex-STRING: ")?;
                v.iter().try_for_each(|b| write!(f, "{b:02X} "))
            }
            Self::ObjectId(v) => write!(f, "OID: {v}"),
            Self::IpAddress([a, b, c, d]) => write!(f, "IpAddress: {a}.{b}.{c}.{d}"),
            Self::Counter32(v) => write!(f, "Counter32: {v}"),
            Self::Gauge32(v) => write!(f, "Gauge32: {v}"),
            Self::TimeTicks(v) => {
                let (s, cs) = (v / 100, v % 100);
                let (days, h, m, s) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
                match days {
                    0 => write!(f, "Timeticks: ({v}) {h}:{m:02}:{s:02}.{cs:02}"),
                    1 => write!(f, "Timeticks: ({v}) 1 day, {h}:{m:02}:{s:02}.{cs:02}"),
                    _ => write!(f, "Timeticks: ({v}) {days} days, {h}:{m:02}:{s:02}.{cs:02}"),
                }
            }
            Self::Opaque(v) => {
                write!(f, "OPAQUE: ")?;
                v.iter().try_for_each(|b| write!(f, "{b:02X} "))
            }
            Self::Counter64(v) => write!(f, "Counter64: {v}"),
        }
    }
}
