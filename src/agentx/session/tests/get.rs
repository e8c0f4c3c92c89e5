//! Get, GetNext, GetBulk (RFC 2741 §7.2.2, §7.2.3): C2 to C9 of the checklist.

use super::*;

fn missing(name: &str, data: Data) -> VarBind {
    VarBind { name: oid(name), data }
}

#[test]
fn get_value_no_such_instance_and_no_such_object_in_the_order_asked() {
    let mut master = Master::ready();
    let names = ["1.3.9.2.1", "1.3.9.2.9", "1.3.9.4.1", "1.3.9.1.3", "1.3.9.2", "2.5"];
    let expected = [
        gauge("1.3.9.2.1", 21),
        missing("1.3.9.2.9", Data::NoSuchInstance),
        missing("1.3.9.4.1", Data::NoSuchObject),
        gauge("1.3.9.1.3", 13),
        missing("1.3.9.2", Data::NoSuchInstance),
        missing("2.5", Data::NoSuchObject),
    ];
    assert_eq!(master.get(&names), expected, "C8: same order");
}

#[test]
fn get_of_the_null_oid_and_of_nothing_at_all() {
    let mut master = Master::ready();
    assert_eq!(master.get(&[""]), [missing("", Data::NoSuchObject)]);
    assert_eq!(master.get(&[]), []);
    assert_eq!(master.get_next(&[]), []);
}

#[test]
fn get_next_is_strictly_greater_unless_included() {
    let mut master = Master::ready();
    assert_eq!(master.get_next(&[range("1.3.9.1.1", false, "")]), [gauge("1.3.9.1.2", 12)]);
    assert_eq!(master.get_next(&[range("1.3.9.1.1", true, "")]), [gauge("1.3.9.1.1", 11)]);
    assert_eq!(master.get_next(&[range("1.3.9", true, "")]), [gauge("1.3.9.1.1", 11)]);
    assert_eq!(master.get_next(&[range("", false, "")]), [gauge("1.3.9.1.1", 11)], "null OID: from the beginning");
    assert_eq!(master.get_next(&[range("1.3.9.1.1.4294967295", true, "")]), [gauge("1.3.9.1.2", 12)]);
}

#[test]
fn get_next_stays_before_the_end_and_names_the_start_otherwise() {
    let mut master = Master::ready();
    assert_eq!(master.get_next(&[range("1.3.9.1.1", false, "1.3.9.1.2")]), [end("1.3.9.1.1")], "the end is exclusive");
    assert_eq!(master.get_next(&[range("1.3.9.1.1", false, "1.3.9.1.2.0")]), [gauge("1.3.9.1.2", 12)]);
    assert_eq!(master.get_next(&[range("1.3.9.1.1", true, "1.3.9.1.1")]), [end("1.3.9.1.1")], "nothing between");
    assert_eq!(master.get_next(&[range("1.3.9.1.2", true, "1.3.9.1.1")]), [end("1.3.9.1.2")], "end before start");
    assert_eq!(master.get_next(&[range("1.3.9.3.3", false, "")]), [end("1.3.9.3.3")]);
    assert_eq!(master.get_next(&[range("1.4", false, "1.5")]), [end("1.4")]);
}

#[test]
fn get_bulk_puts_repetitions_behind_non_repeaters_row_by_row() {
    let mut master = Master::ready();
    let found = master.get_bulk(1, 2, &["1.3.9", "1.3.9.1", "1.3.9.2"]);
    let expected = [("1.3.9.1.1", 11), ("1.3.9.1.1", 11), ("1.3.9.2.1", 21), ("1.3.9.1.2", 12), ("1.3.9.2.2", 22)];
    assert_eq!(found, expected.map(|(name, value)| gauge(name, value)));
}

#[test]
fn get_bulk_corners() {
    let mut master = Master::ready();
    let first = [gauge("1.3.9.1.1", 11), gauge("1.3.9.2.1", 21)];
    let both = ["1.3.9.1", "1.3.9.2"];
    assert_eq!(master.get_bulk(2, 9, &both), first, "R = 0");
    assert_eq!(master.get_bulk(9, 9, &both), first, "N > count: all are non-repeaters");
    assert_eq!(master.get_bulk(u16::MAX, u16::MAX, &both), first);
    assert_eq!(master.get_bulk(1, 0, &both), first[..1], "M = 0: only the non-repeaters");
    assert_eq!(master.get_bulk(0, 0, &both), []);
    assert_eq!(master.get_bulk(0, 5, &[]), []);
}

#[test]
fn get_bulk_at_the_end_repeats_the_last_name_and_stops_after_a_row_of_ends() {
    let mut master = Master::ready();
    let found = master.get_bulk(0, 10, &["1.3.9.3.2", "1.3.9.3.3"]);
    let expected = [gauge("1.3.9.3.3", 33), end("1.3.9.3.3"), end("1.3.9.3.3"), end("1.3.9.3.3")];
    assert_eq!(found, expected);
    assert_eq!(master.get_bulk(0, 10, &["1.4"]), [end("1.4")], "i = 1: the starting OID");
    assert_eq!(master.get_bulk(1, 10, &["1.4", "1.5"]), [end("1.4"), end("1.5")]);
}

#[test]
fn get_bulk_heeds_each_ranges_end_and_include_in_every_repetition() {
    let mut master = Master::ready();
    let ranges = [range("1.3.9.1.1", true, "1.3.9.1.3")];
    let body = Body::GetBulk { non_repeaters: 0, max_repetitions: 9, ranges: Ranges::from(ranges.as_slice()) };
    let found = master.ask(body).varbinds;
    assert_eq!(found, [gauge("1.3.9.1.1", 11), gauge("1.3.9.1.2", 12), end("1.3.9.1.2")]);
}

fn wide(rows: u32, octets: usize) -> Map {
    Map((1..=rows).map(|r| (vec![1, 3, 9, 1, r], Value::octets(vec![b'x'; octets]))).collect())
}

#[test]
fn a_response_larger_than_60_kib_becomes_too_big_at_item_1() {
    let mut master = Master::ready();
    master.newest = RefCell::new(Arc::new(wide(100, 1000)));
    let ranges: Vec<_> = (1..=60).map(|r| range(&format!("1.3.9.1.{r}"), true, "")).collect();
    for body in [Body::Get(Ranges::from(ranges.as_slice())), Body::GetNext(Ranges::from(ranges.as_slice()))] {
        assert_eq!(master.ask(body).failed(), (ErrorCode::TOO_BIG, 1));
    }
    let bulk = Body::GetBulk { non_repeaters: 60, max_repetitions: 1, ranges: Ranges::from(ranges.as_slice()) };
    assert_eq!(master.ask(bulk).failed(), (ErrorCode::TOO_BIG, 1));
    let fits = Body::Get(Ranges::from(&ranges[..59]));
    assert_eq!(master.ask(fits).fine(59).len(), 59);
}

#[test]
fn get_bulk_is_cut_at_a_row() {
    let mut master = Master::ready();
    master.newest = RefCell::new(Arc::new(wide(100, 1000)));
    let found = master.get_bulk(0, u16::MAX, &["1.3.9.1", "1.3.9.1.2", "1.3.9.1.4"]);
    assert_eq!(found.len() % 3, 0);
    assert!((55..60).contains(&found.len()), "{} of 1 KB each", found.len());
    master.newest = RefCell::new(Arc::new(wide(2, 59 * 1024)));
    master.transaction += 1;
    let ranges = [range("1.3.9.1", false, ""), range("1.3.9.1.1", false, "")];
    let bulk = Body::GetBulk { non_repeaters: 0, max_repetitions: 5, ranges: Ranges::from(ranges.as_slice()) };
    assert_eq!(master.ask(bulk).failed(), (ErrorCode::TOO_BIG, 1), "not even one row");
}

#[test]
fn names_of_128_sub_identifiers_and_of_any_size_are_answered() {
    let mut master = Master::ready();
    let mut long = vec![1, 3, 9, 1];
    long.resize(127, u32::MAX);
    long.push(1 << 31);
    let map = Map([(long.clone(), Value::octets((0..=255).collect::<Vec<u8>>()))].into());
    master.newest = RefCell::new(Arc::new(map));
    let found = master.get_next(&[range("1.3.9", false, "")]);
    assert_eq!(found[0].name.as_slice(), long);
    assert_eq!(found[0].data, Data::Value(Value::octets((0..=255).collect::<Vec<u8>>())));
    let exact = SearchRange { start: Oid::from(long.as_slice()), include: false, end: Oid::new() };
    let found = master.ask(Body::Get(Ranges::from([exact].as_slice()))).fine(1);
    assert_eq!(found[0].name.as_slice(), long);
}

#[test]
fn each_pdu_is_read_and_answered_in_its_own_byte_order() {
    let mut master = Master::ready();
    for order in [Order::Little, Order::Big, Order::Little] {
        master.order = order;
        assert_eq!(master.get(&["1.3.9.1.1"]), [gauge("1.3.9.1.1", 11)]);
    }
}

#[test]
fn a_foreign_context_holds_nothing_and_the_response_has_none() {
    let mut master = Master::ready();
    let ask = |master: &mut Master, context: &[u8], body: Body<'_>| {
        let mut out = BytesMut::new();
        Pdu { header: master.header(), context: Some(context), body }.encode(&mut out);
        master.octets(&out).unwrap();
        let reply = master.reply();
        assert_eq!(master.sent_so_far.last().unwrap().context, None);
        reply
    };
    let ranges = [range("1.3.9.1.1", true, "")];
    let get = Body::Get(Ranges::from(ranges.as_slice()));
    let next = Body::GetNext(Ranges::from(ranges.as_slice()));
    let bulk = Body::GetBulk { non_repeaters: 0, max_repetitions: 5, ranges: Ranges::from(ranges.as_slice()) };
    assert_eq!(ask(&mut master, b"v1", get.clone()).fine(1), [missing("1.3.9.1.1", Data::NoSuchObject)]);
    assert_eq!(ask(&mut master, b"v1", next).fine(1), [end("1.3.9.1.1")]);
    assert_eq!(ask(&mut master, b"v1", bulk).fine(1), [end("1.3.9.1.1")]);
    assert_eq!(ask(&mut master, b"", get).fine(1), [gauge("1.3.9.1.1", 11)], "an empty name is the default context");
    let set = [gauge("1.3.9.1.1", 1)];
    let set = Body::TestSet(VarBinds::from(set.as_slice()));
    assert_eq!(ask(&mut master, b"v1", set).failed(), (ErrorCode::NO_CREATION, 1));
}

#[test]
fn all_pdus_of_one_transaction_see_the_same_state() {
    let mut master = Master::ready();
    master.transaction = 1;
    assert_eq!(master.get_next(&[range("1.3.9.1.1", true, "")]), [gauge("1.3.9.1.1", 11)]);
    let mut newer = small();
    newer.0.insert(vec![1, 3, 9, 1, 2], Value::Gauge32(999));
    master.newest = RefCell::new(Arc::new(newer));
    assert_eq!(
        master.get_next(&[range("1.3.9.1.1", false, "")]),
        [gauge("1.3.9.1.2", 12)],
        "P6: also when retransmitted"
    );
    master.transaction = 2;
    assert_eq!(master.get_next(&[range("1.3.9.1.1", false, "")]), [gauge("1.3.9.1.2", 999)]);
    master.transaction = 1;
    assert_eq!(master.get_next(&[range("1.3.9.1.1", false, "")]), [gauge("1.3.9.1.2", 12)], "interleaved");
    master.now += Duration::from_secs(10);
    assert_eq!(master.get_next(&[range("1.3.9.1.1", false, "")]), [gauge("1.3.9.1.2", 999)], "and it is forgotten");
}

#[test]
fn old_states_are_let_go_when_nobody_asks_any_more() {
    let mut master = Master::ready();
    master.get(&["1.3.9.1.1"]);
    let old = Arc::downgrade(&master.newest.replace(Arc::new(small())));
    assert!(old.upgrade().is_some());
    master.pass(Duration::from_secs(21)).unwrap();
    assert!(old.upgrade().is_none());
}

#[test]
fn a_get_bulk_of_everything_65535_times_is_bounded_by_its_response() {
    let mut master = Master::ready();
    let ranges = vec![range("", false, ""); MAX_ITEMS];
    let ranges = Ranges::from(ranges.as_slice());
    let bulk = |non_repeaters| Body::GetBulk { non_repeaters, max_repetitions: u16::MAX, ranges };
    assert_eq!(master.ask(bulk(0)).failed(), (ErrorCode::TOO_BIG, 1));
    assert_eq!(master.ask(bulk(9_999)).failed(), (ErrorCode::TOO_BIG, 1));
    assert_eq!(master.get_bulk(0, u16::MAX, &["1.3.9"]).len(), 10, "nine objects, and it stops at the end");
}
