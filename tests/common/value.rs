//! What an SNMP agent answers, typed, whoever asked: net-snmp's tools or our own client.

/// A value or one of SNMPv2's exceptions. Object identifiers are dotted numbers without a leading dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Integer(i64),
    Counter32(u32),
    Counter64(u64),
    Gauge32(u32),
    TimeTicks(u32),
    OctetString(Vec<u8>),
    Oid(String),
    IpAddress(std::net::Ipv4Addr),
    Opaque(Vec<u8>),
    Null,
    NoSuchObject,
    NoSuchInstance,
    EndOfMibView,
}

impl Value {
    pub fn is_exception(&self) -> bool {
        matches!(self, Self::NoSuchObject | Self::NoSuchInstance | Self::EndOfMibView)
    }

    /// Any of the numeric types.
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Counter32(value) | Self::Gauge32(value) | Self::TimeTicks(value) => Some((*value).into()),
            Self::Counter64(value) => i64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// An octet string that is text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::OctetString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// Why there was no answer to a request, as opposed to an answer that there is no such object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnmpError {
    Timeout,
    /// error-status of the response, as net-snmp names it, e.g. `notWritable` or `genError`.
    Status(String),
    /// Whatever else a tool complained about.
    Tool(String),
}

/// Object identifiers in SNMP's order.
pub fn oid_numbers(oid: &str) -> Vec<u32> {
    oid.trim_start_matches('.')
        .split('.')
        .map(|part| part.parse().unwrap_or_else(|_| panic!("not an OID: {oid}")))
        .collect()
}
