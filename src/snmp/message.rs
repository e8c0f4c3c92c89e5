//! Requests and what comes back (RFC 3416 §3): the PDU, which is the same in SNMPv2c and SNMPv3.

use super::ber;
use crate::smi::{MAX_SUBIDS, Oid, Value};
use snmp_parser::{
    NetworkAddress, ObjectSyntax, SnmpVariable, VarBindValue,
    asn1_rs::{self, FromBer},
};
use std::sync::Arc;

/// The most bindings read of one response; net-snmp sends 100 unless told otherwise, and a datagram has no room for more.
const MAX_BINDINGS: usize = 8192;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// These instances.
    Get,
    /// What comes after each.
    GetNext,
    /// What comes after the first `non_repeaters` names once, and after each of the others `repetitions` times.
    GetBulk {
        /// How many names are asked for once.
        non_repeaters: u32,
        /// How often each of the others is.
        repetitions: u32,
    },
}

/// One question.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What is asked.
    pub kind: Kind,
    /// Of what.
    pub names: &'a [Oid],
}

impl Request<'_> {
    /// The PDU.
    pub(super) fn encode(&self, id: i32) -> Vec<u8> {
        let (tag, first, second) = match self.kind {
            Kind::Get => (0xa0, 0, 0),
            Kind::GetNext => (0xa1, 0, 0),
            Kind::GetBulk { non_repeaters, repetitions } => (0xa5, non_repeaters, repetitions),
        };
        let null = ber::element(ber::NULL, &[]);
        let bindings: Vec<u8> = self.names.iter().flat_map(|name| ber::sequence(&[&ber::oid(name), &null])).collect();
        let parts = [ber::integer(id.into()), ber::integer(first.into()), ber::integer(second.into())].concat();
        ber::element(tag, &[parts, ber::sequence(&[&bindings])].concat())
    }
}

/// The value of a binding, or why there is none (RFC 3416 §3, §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is one.
    Value(Value),
    /// NULL; only hostile or broken agents answer so.
    Null,
    /// Nobody serves an object of that name, or the view hides it.
    NoSuchObject,
    /// The object is served, this instance is not.
    NoSuchInstance,
    /// Nothing comes after it.
    EndOfMibView,
}

impl Answer {
    /// The value, where there is one.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// One name and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Of what.
    pub name: Oid,
    /// The value or why there is none.
    pub answer: Answer,
}

/// A Response-PDU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 0, or which error (RFC 3416 §3).
    pub status: u32,
    /// Which binding the error is about, from 1; 0: none.
    pub index: u32,
    /// In the order of the question.
    pub bindings: Vec<Binding>,
}

/// A PDU as it came, not yet known to be an answer.
#[derive(Debug)]
pub(super) enum Incoming {
    Response {
        id: i32,
        response: Response,
    },
    /// Why a message was not accepted (RFC 3412 §7.1.3): the counter that went up.
    Report(Oid),
}

impl Incoming {
    /// None: it is neither, or cannot be read.
    pub(super) fn decode(input: &[u8]) -> Option<Self> {
        let (tag, pdu, _) = ber::split(input)?;
        let (id, rest) = ber::expect_integer(pdu)?;
        let (status, rest) = ber::expect_integer(rest)?;
        let (index, rest) = ber::expect_integer(rest)?;
        let bindings = bindings(rest)?;
        match tag {
            0xa2 => Some(Self::Response {
                id: i32::try_from(id).ok()?,
                response: Response { status: u32::try_from(status).ok()?, index: u32::try_from(index).ok()?, bindings },
            }),
            0xa8 => bindings.into_iter().next().map(|binding| Self::Report(binding.name)),
            _ => None,
        }
    }
}

fn bindings(input: &[u8]) -> Option<Vec<Binding>> {
    let (mut rest, _) = ber::expect(input, ber::SEQUENCE)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        // Its own errors say nothing more than that it cannot be read.
        let (after, variable) = SnmpVariable::from_ber(rest).ok()?;
        found.push(Binding { name: name(&variable.oid)?, answer: answer(&variable.val)? });
        if found.len() > MAX_BINDINGS {
            return None;
        }
        rest = after;
    }
    Some(found)
}

fn name(oid: &asn1_rs::Oid<'_>) -> Option<Oid> {
    // The first two arcs share an octet below 0x80 in every MIB; longer ones asn1-rs misreads.
    if oid.as_bytes().first().is_none_or(|&octet| octet >= 0x80) {
        return None;
    }
    let mut name = Oid::new();
    for arc in oid.iter()? {
        if name.len() == MAX_SUBIDS {
            return None;
        }
        name.push(u32::try_from(arc).ok()?);
    }
    Some(name)
}

/// None: no type of SMIv2.
fn answer(value: &VarBindValue<'_>) -> Option<Answer> {
    let syntax = match value {
        VarBindValue::Value(syntax) => syntax,
        VarBindValue::Unspecified => return Some(Answer::Null),
        VarBindValue::NoSuchObject => return Some(Answer::NoSuchObject),
        VarBindValue::NoSuchInstance => return Some(Answer::NoSuchInstance),
        VarBindValue::EndOfMibView => return Some(Answer::EndOfMibView),
    };
    Some(Answer::Value(match syntax {
        ObjectSyntax::Number(number) => Value::Integer(*number),
        ObjectSyntax::String(bytes) => Value::octets(bytes),
        // snmp-parser's word for an empty octet string.
        ObjectSyntax::Empty => Value::octets([]),
        ObjectSyntax::Object(oid) => Value::ObjectId(Arc::new(name(oid)?)),
        ObjectSyntax::IpAddress(NetworkAddress::IPv4(address)) => Value::IpAddress(address.octets()),
        ObjectSyntax::Counter32(count) => Value::Counter32(*count),
        ObjectSyntax::Gauge32(level) | ObjectSyntax::UInteger32(level) => Value::Gauge32(*level),
        ObjectSyntax::TimeTicks(ticks) => Value::TimeTicks(*ticks),
        ObjectSyntax::Counter64(count) => Value::Counter64(*count),
        ObjectSyntax::Opaque(bytes) | ObjectSyntax::NsapAddress(bytes) => Value::Opaque(Arc::from(*bytes)),
        ObjectSyntax::BitString(_) | ObjectSyntax::UnknownSimple(_) | ObjectSyntax::UnknownApplication(_) => {
            return None;
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Response-PDU with one binding whose value is these octets.
    fn response(value: &[u8]) -> Vec<u8> {
        let binding = ber::sequence(&[&ber::oid(&Oid::from([1, 3, 6, 1])), value]);
        let parts = [ber::integer(7), ber::integer(0), ber::integer(0), ber::sequence(&[&binding])].concat();
        ber::element(0xa2, &parts)
    }

    #[track_caller]
    fn read(value: &[u8]) -> Option<Answer> {
        match Incoming::decode(&response(value))? {
            Incoming::Response { id: 7, mut response } => response.bindings.pop().map(|b| b.answer),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_type_of_smiv2_is_read() {
        for (octets, value) in [
            (&[2, 1, 0xff][..], Value::Integer(-1)),
            (&[4, 2, b'a', 0xff], Value::octets([b'a', 0xff])),
            (&[4, 0], Value::octets([])),
            (&[6, 2, 43, 6], Value::ObjectId(Arc::new(Oid::from([1, 3, 6])))),
            (&[0x40, 4, 1, 2, 3, 4], Value::IpAddress([1, 2, 3, 4])),
            (&[0x41, 5, 0, 0xff, 0xff, 0xff, 0xff], Value::Counter32(u32::MAX)),
            (&[0x42, 1, 5], Value::Gauge32(5)),
            (&[0x43, 2, 1, 0], Value::TimeTicks(256)),
            (&[0x46, 9, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Value::Counter64(u64::MAX)),
        ] {
            assert_eq!(read(octets), Some(Answer::Value(value)), "{octets:?}");
        }
        assert_eq!(read(&[0x80, 0]), Some(Answer::NoSuchObject));
        assert_eq!(read(&[0x81, 0]), Some(Answer::NoSuchInstance));
        assert_eq!(read(&[0x82, 0]), Some(Answer::EndOfMibView));
        assert_eq!(read(&[5, 0]), Some(Answer::Null));
    }

    #[test]
    fn what_no_agent_may_send_is_refused() {
        // Too large, too long, truncated, an unknown type, a name of 2^32.
        for value in [
            &[2, 5, 1, 0, 0, 0, 0][..],
            &[0x41, 5, 1, 0, 0, 0, 0],
            &[4, 9, 1],
            &[1, 1, 1],
            &[6, 6, 43, 0x90, 0x80, 0x80, 0x80, 0],
            &[6, 5, 0x90, 0x80, 0x80, 0x80, 0],
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
        let long = ber::oid(&Oid::from(&[1; 129][..]));
        assert_eq!(read(&long), None, "more than 128 arcs");
    }
}
