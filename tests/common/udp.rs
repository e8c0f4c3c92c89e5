//! A small SNMPv2c client of our own: no process per request, so that a test can poll many times a second and time each answer.
//!
//! Requests are encoded here, by hand; replies are decoded by the crate `snmp-parser`, so that two strangers read what we write.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use snmp_parser::{ErrorStatus, NetworkAddress, ObjectSyntax, SnmpPdu, VarBindValue};

use super::value::{SnmpError, Value, oid_numbers};

const GET: u8 = 0xa0;
const GET_NEXT: u8 = 0xa1;
const GET_BULK: u8 = 0xa5;

/// A socket connected to one agent.
#[derive(Debug)]
pub struct UdpClient {
    socket: UdpSocket,
    community: String,
    last_id: u32,
}

impl UdpClient {
    pub fn connect(port: u16, community: &str) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a UDP socket");
        socket.connect(("127.0.0.1", port)).expect("loopback");
        let mut client = Self { socket, community: community.to_owned(), last_id: 0 };
        client.set_timeout(Duration::from_secs(10));
        client
    }

    /// How long one request may take; nothing is sent twice.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.socket.set_read_timeout(Some(timeout)).unwrap();
    }

    pub fn get(&mut self, oids: &[&str]) -> Result<Vec<(String, Value)>, SnmpError> {
        self.request(GET, 0, 0, oids)
    }

    pub fn get_one(&mut self, oid: &str) -> Result<Value, SnmpError> {
        let bindings = self.get(&[oid])?;
        bindings.into_iter().next().map(|(_, value)| value).ok_or_else(|| SnmpError::Tool("no binding".to_owned()))
    }

    pub fn get_next(&mut self, oids: &[&str]) -> Result<Vec<(String, Value)>, SnmpError> {
        self.request(GET_NEXT, 0, 0, oids)
    }

    pub fn get_bulk(
        &mut self,
        non_repeaters: u32,
        repetitions: u32,
        oids: &[&str],
    ) -> Result<Vec<(String, Value)>, SnmpError> {
        self.request(GET_BULK, non_repeaters, repetitions, oids)
    }

    /// All below this OID, by GETBULK; panics when identifiers do not increase, which would be a walk without end.
    pub fn walk(&mut self, root: &str) -> Result<Vec<(String, Value)>, SnmpError> {
        let inside = format!("{root}.");
        let mut found: Vec<(String, Value)> = Vec::new();
        loop {
            let from = found.last().map_or_else(|| root.to_owned(), |(oid, _)| oid.clone());
            let part = self.get_bulk(0, 50, &[&from])?;
            for (oid, value) in part {
                if value.is_exception() || !oid.starts_with(&inside) {
                    return Ok(found);
                }
                let last = found.last().map_or(root, |(oid, _)| oid);
                assert!(oid_numbers(&oid) > oid_numbers(last), "{oid} comes after {last}");
                found.push((oid, value));
            }
        }
    }

    fn request(&mut self, kind: u8, first: u32, second: u32, oids: &[&str]) -> Result<Vec<(String, Value)>, SnmpError> {
        self.last_id = self.last_id.wrapping_add(1) & 0x7fff_ffff;
        let bindings: Vec<u8> =
            oids.iter().flat_map(|oid| tlv(0x30, &[tlv(0x06, &oid_bytes(oid)), tlv(0x05, &[])].concat())).collect();
        let pdu = [integer(self.last_id), integer(first), integer(second), tlv(0x30, &bindings)].concat();
        let message = tlv(0x30, &[integer(1), tlv(0x04, self.community.as_bytes()), tlv(kind, &pdu)].concat());
        self.socket.send(&message).map_err(|error| SnmpError::Tool(error.to_string()))?;
        let mut buffer = vec![0; 65_536];
        loop {
            let read = match self.socket.recv(&mut buffer) {
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(SnmpError::Timeout);
                }
                Err(error) => return Err(SnmpError::Tool(error.to_string())),
            };
            // An answer to a request that timed out earlier may still arrive.
            if let Some(answer) = decode(&buffer[..read], self.last_id) {
                return answer;
            }
        }
    }
}

fn decode(datagram: &[u8], id: u32) -> Option<Result<Vec<(String, Value)>, SnmpError>> {
    let message = match snmp_parser::parse_snmp_v2c(datagram) {
        Ok((_, message)) => message,
        Err(error) => return Some(Err(SnmpError::Tool(format!("not SNMPv2c: {error}")))),
    };
    let SnmpPdu::Generic(pdu) = message.pdu else { return None };
    if pdu.req_id != id {
        return None;
    }
    if pdu.err != ErrorStatus::NoError {
        return Some(Err(SnmpError::Status(pdu.err.0.to_string())));
    }
    Some(Ok(pdu.var.iter().map(|binding| (binding.oid.to_id_string(), value(&binding.val))).collect()))
}

fn value(value: &VarBindValue<'_>) -> Value {
    let syntax = match value {
        VarBindValue::Value(syntax) => syntax,
        VarBindValue::Unspecified => return Value::Null,
        VarBindValue::NoSuchObject => return Value::NoSuchObject,
        VarBindValue::NoSuchInstance => return Value::NoSuchInstance,
        VarBindValue::EndOfMibView => return Value::EndOfMibView,
    };
    match syntax {
        ObjectSyntax::Number(number) => Value::Integer((*number).into()),
        ObjectSyntax::String(bytes) => Value::OctetString(bytes.to_vec()),
        ObjectSyntax::Object(oid) => Value::Oid(oid.to_id_string()),
        ObjectSyntax::IpAddress(NetworkAddress::IPv4(address)) => Value::IpAddress(*address),
        ObjectSyntax::Counter32(count) => Value::Counter32(*count),
        ObjectSyntax::Gauge32(level) | ObjectSyntax::UInteger32(level) => Value::Gauge32(*level),
        ObjectSyntax::TimeTicks(ticks) => Value::TimeTicks(*ticks),
        ObjectSyntax::Counter64(count) => Value::Counter64(*count),
        ObjectSyntax::Opaque(bytes) | ObjectSyntax::NsapAddress(bytes) => Value::Opaque(bytes.to_vec()),
        ObjectSyntax::Empty => Value::Null,
        other => panic!("no SNMPv2 type: {other:?}"),
    }
}

/// BER: tag, length, contents.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(contents);
    out
}

/// Five octets always do, and BER's integers have a sign.
fn integer(value: u32) -> Vec<u8> {
    let bytes = u64::from(value).to_be_bytes();
    let start = (0..7).find(|&at| bytes[at] != 0 || bytes[at + 1] & 0x80 != 0).unwrap_or(7);
    tlv(0x02, &bytes[start..])
}

fn oid_bytes(oid: &str) -> Vec<u8> {
    let numbers = oid_numbers(oid);
    let mut out = vec![(numbers[0] * 40 + numbers.get(1).copied().unwrap_or(0)) as u8];
    for &number in numbers.iter().skip(2) {
        let groups = (1..5).rev().filter(|group| number >> (7 * group) != 0);
        out.extend(groups.map(|group| 0x80 | (number >> (7 * group)) as u8));
        out.push((number & 0x7f) as u8);
    }
    out
}
