//! PDUs: ours against the crate `agentx` 0.1.1.

use super::{Table, compare, each};
use agentx as other;
use bytes::BytesMut;
use other::encodings::{ID, SearchRange as OtherRange, SearchRangeList, Value as OtherValue, VarBind, VarBindList};
use postfix_agentx::{
    agentx::{
        pdu::{Body, Data, Frame, Header, Reply, SearchRange},
        wire::Order,
    },
    smi::{Oid, Value},
};
use std::{hint::black_box, time::Duration};

const TURNS: usize = 31;
const RUNS: u32 = 4000;

fn name(number: u32) -> Oid {
    format!("1.3.6.1.4.1.8072.9999.9999.25.1.4.1.1.2.{number}").parse().unwrap()
}

pub(crate) fn measure(table: &mut Table) {
    for count in [1, 50] {
        decode_get_next(table, count);
    }
    for count in [1, 50] {
        encode_response(table, count);
    }
}

fn row(table: &mut Table, what: &str, [ours, theirs, ratio]: [f64; 3]) {
    table.row(what, Duration::from_secs_f64(ours), Duration::from_secs_f64(theirs), ratio, 5.0);
}

fn decode_get_next(table: &mut Table, count: u32) {
    let id = |oid: Oid| ID::try_from(oid.to_vec()).unwrap();
    let ranges = (0..count).map(|n| OtherRange::new(id(name(n)), id(name(n + 1)))).collect();
    let octets = other::pdu::GetNext::new(SearchRangeList(ranges)).to_bytes().unwrap();
    let mut scratch = SearchRange::default();
    let mut ours = || {
        let frame = Frame::split(black_box(&octets)).unwrap().unwrap();
        let pdu = frame.decode().unwrap();
        let Body::GetNext(ranges) = pdu.body else { panic!("GetNext") };
        let mut sum = 0;
        ranges.visit(&mut scratch, |_, range| {
            sum += range.start.len() + range.end.len();
            true
        });
        sum
    };
    assert!(ours() > 30);
    let mut theirs = || other::pdu::GetNext::from_bytes(black_box(&octets)).unwrap();
    let found = compare(TURNS, || each(RUNS / count, &mut ours), || each(RUNS / count, &mut theirs));
    row(table, &format!("decode GetNext of {count}, against crate agentx"), found);
}

fn encode_response(table: &mut Table, count: u32) {
    let header = Header { order: Order::Little, session: 1, transaction: 2, packet: 3 };
    let ours: Vec<_> = (0..count).map(|n| (name(n), Data::Value(Value::Gauge32(n)))).collect();
    let varbind = |(oid, _): &(Oid, Data)| VarBind::new(ID::try_from(oid.to_vec()).unwrap(), OtherValue::Gauge32(7));
    let mut response = other::pdu::Response::new();
    response.vb = Some(VarBindList(ours.iter().map(varbind).collect()));
    let mut out = BytesMut::with_capacity(64 * 1024);
    let mut encode = || {
        out.clear();
        let mut reply = Reply::to(black_box(&header), &mut out);
        ours.iter().for_each(|(name, data)| reply.varbind(name, data));
        reply.done();
        out.len()
    };
    let found =
        compare(TURNS, || each(RUNS / count, &mut encode), || each(RUNS / count, || response.to_bytes().unwrap()));
    row(table, &format!("encode Response of {count}, against crate agentx"), found);
}
