//! An answer to a Get family request allocates nothing, however many names it has. In a file of its own because the
//! allocator that counts belongs to the whole program.

use bytes::BytesMut;
use postfix_agentx::{
    agentx::{
        Config,
        pdu::{Body, ErrorCode, Header, Pdu, Ranges, SearchRange, VarBinds},
        session::Session,
        wire::Order,
    },
    mib::{Column, Get, Index, Publisher, Table, column},
    smi::Oid,
};
use std::{sync::Arc, time::Instant};

const COLUMNS: &[Column<u32>] = &[
    column(1, "level", Get::Gauge32(|row: &u32| Some(u64::from(*row)))),
    column(2, "text", Get::Text(|row: &u32| Some(row.to_string().as_bytes().into()))),
];
static TABLE: Table<u32> =
    Table { name: "table", entry: &[1, 1], index: |row| Index::from_slice(&[*row]), columns: COLUMNS };

const ROOT: &str = "1.3.6.1.4.1.8072.9999.9999.25";

#[test]
fn get_get_next_and_get_bulk_are_answered_without_any_allocation() {
    let publisher = Publisher::new(ROOT.parse().unwrap(), &[&TABLE]);
    publisher.publish([TABLE.fragment(&(1..=200).collect::<Vec<u32>>())]);
    let now = Instant::now();
    let config = Config::new(Vec::new(), ROOT.parse().unwrap(), "test");
    let mut session = Session::new(Arc::new(config), Arc::default(), now);
    let header = Header { order: Order::Little, session: 1, transaction: 0, packet: 1 };
    let mut input = BytesMut::new();
    for packet in [1, 2] {
        let (error, varbinds) = (ErrorCode::NO_ERROR, VarBinds::default());
        let body = Body::Response { sys_up_time: 0, error, index: 0, varbinds };
        Pdu { header: Header { packet, ..header }, context: None, body }.encode(&mut input);
    }
    session.receive(&mut input, &|| publisher.view(), now).unwrap();
    assert!(session.is_registered());

    for count in [1, 50] {
        let name = |n: u32| format!("{ROOT}.1.1.{}.{n}", 1 + n % 2).parse().unwrap();
        let range = |n| SearchRange { start: name(n), include: false, end: Oid::new() };
        let ranges: Vec<_> = (1..=count).map(range).collect();
        let ranges = || Ranges::from(ranges.as_slice());
        let requests = [
            Body::Get(ranges()),
            Body::GetNext(ranges()),
            Body::GetBulk { non_repeaters: 0, max_repetitions: 10, ranges: ranges() },
        ];
        for body in requests {
            let mut allocations = |transaction| {
                session.output().clear();
                Pdu { header: Header { transaction, ..header }, context: None, body: body.clone() }.encode(&mut input);
                let used = allocation_counter::measure(|| {
                    session.receive(&mut input, &|| publisher.view(), now).unwrap();
                });
                assert!(session.output().len() > 20 * count as usize, "it has answered");
                used.count_total
            };
            // The first ones make the buffers as large as they get.
            (0..100).for_each(|warm| _ = allocations(warm));
            assert_eq!(allocations(1000), 0, "{count} names, {body:?}");
        }
    }
}
