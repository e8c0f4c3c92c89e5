use super::*;
use crate::smi::Value;
use proptest::{collection::vec, prelude::*};
use std::sync::Arc;

fn encode(pdu: &Pdu<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    pdu.encode(&mut out);
    out
}

fn header(order: Order) -> Header {
    Header { order, session: 0x0102_0304, transaction: 0x1112_1314, packet: 0x2122_2324 }
}

fn round(body: Body<'_>, context: Option<&[u8]>) -> Vec<u8> {
    for order in [Order::Little, Order::Big] {
        let pdu = Pdu { header: header(order), context, body: body.clone() };
        let octets = encode(&pdu);
        let frame = Frame::split(&octets).unwrap().unwrap();
        assert_eq!(frame.size(), octets.len());
        assert_eq!(frame.decode().as_ref(), Ok(&pdu), "{order:?}");
        for short in 0..octets.len() {
            assert!(matches!(Frame::split(&octets[..short]), Ok(None)), "{short} octets are no PDU yet");
        }
    }
    encode(&Pdu { header: header(Order::Big), context, body }).to_vec()
}

fn oid(subids: &[u32]) -> Oid {
    Oid::from(subids)
}

fn varbinds() -> Vec<VarBind> {
    let values = [
        Data::Value(Value::Integer(-1)),
        Data::Value(Value::octets((0..=255).collect::<Vec<u8>>())),
        Data::Null,
        Data::Value(Value::ObjectId(Arc::new(oid(&[1, 3, 6, 1, 4, 1, u32::MAX])))),
        Data::Value(Value::ObjectId(Arc::new(Oid::new()))),
        Data::Value(Value::IpAddress([192, 0, 2, 1])),
        Data::Value(Value::Counter32(u32::MAX)),
        Data::Value(Value::Gauge32(1 << 31)),
        Data::Value(Value::TimeTicks(5)),
        Data::Value(Value::Opaque(Arc::from([9u8].as_slice()))),
        Data::Value(Value::Counter64(u64::MAX - 1)),
        Data::NoSuchObject,
        Data::NoSuchInstance,
        Data::EndOfMibView,
    ];
    let name = |n: usize| oid(&[1, 3, 6, 1, 2, 1, n as u32]);
    values.into_iter().enumerate().map(|(n, data)| VarBind { name: name(n), data }).collect()
}

#[test]
fn all_18_pdus_survive_in_both_byte_orders_with_and_without_context() {
    let (varbinds, ranges) = (varbinds(), [SearchRange { start: oid(&[1, 3]), include: true, end: oid(&[1, 4]) }]);
    let target = Target { timeout: 3, priority: 127, subtree: oid(&[1, 3, 6, 1, 4, 1]), range: Some((6, 9)) };
    let plain = Target { timeout: 0, range: None, ..target.clone() };
    let list = VarBinds::from(varbinds.as_slice());
    let search = Ranges::from(ranges.as_slice());
    let without: Vec<Body<'_>> = vec![
        Body::Open { timeout: 5, id: Box::default(), descr: b"\xff\x00 descr" },
        Body::Close { reason: 5 },
        Body::CommitSet,
        Body::UndoSet,
        Body::CleanupSet,
        Body::Response { sys_up_time: 7, error: ErrorCode::PARSE_ERROR, index: 2, varbinds: list },
    ];
    let with: Vec<Body<'_>> = vec![
        Body::Register { instance: true, target: Box::new(target.clone()) },
        Body::Register { instance: false, target: Box::new(plain) },
        Body::Unregister { target: Box::new(Target { timeout: 0, ..target }) },
        Body::Get(search),
        Body::GetNext(search),
        Body::GetBulk { non_repeaters: 1, max_repetitions: 500, ranges: search },
        Body::TestSet(list),
        Body::Notify(list),
        Body::Ping,
        Body::IndexAllocate { new: true, any: false, varbinds: list },
        Body::IndexDeallocate { new: false, any: true, varbinds: list },
        Body::AddAgentCaps { id: Box::new(oid(&[1, 3])), descr: b"caps" },
        Body::RemoveAgentCaps { id: Box::new(oid(&[1, 3])) },
    ];
    let mut kinds: Vec<u8> = without.iter().chain(&with).map(Body::kind).collect();
    kinds.dedup();
    kinds.sort_unstable();
    assert_eq!(kinds, (1..=18).collect::<Vec<u8>>());
    for body in without.into_iter().chain(with.clone()) {
        round(body, None);
    }
    for body in with {
        round(body.clone(), Some(b"ctx"));
        round(body, Some(b""));
    }
}

#[test]
fn a_header_stands_as_the_rfc_draws_it() {
    let octets = round(Body::Ping, Some(b"abc"));
    let expected = [
        [1, 13, 0x18, 0],
        [1, 2, 3, 4],
        [0x11, 0x12, 0x13, 0x14],
        [0x21, 0x22, 0x23, 0x24],
        [0, 0, 0, 8],
        [0, 0, 0, 3],
        *b"abc\0",
    ];
    assert_eq!(octets, expected.concat());
    let little = encode(&Pdu { header: header(Order::Little), context: None, body: Body::Ping });
    assert_eq!(little[..8], [1, 13, 0, 0, 4, 3, 2, 1]);
}

#[test]
fn each_varbind_type_stands_as_the_rfc_draws_it() {
    let octets = |data: Data, order| {
        let mut out = BytesMut::new();
        write_varbind(&mut Writer::new(&mut out, order), &[1, 3, 6, 1, 9], &data);
        out.to_vec()
    };
    let name = [0, 9, 0, 0];
    let big = |kind: u8, data: &[u8]| [&[0, kind, 0, 0], &name, data].concat();
    assert_eq!(octets(Data::Value(Value::Integer(-2)), Order::Big), big(2, &[255, 255, 255, 254]));
    assert_eq!(octets(Data::Value(Value::octets(b"abcde")), Order::Big), big(4, b"\0\0\0\x05abcde\0\0\0"));
    assert_eq!(octets(Data::Value(Value::Counter64(1)), Order::Big), big(70, &[0, 0, 0, 0, 0, 0, 0, 1]));
    assert_eq!(octets(Data::EndOfMibView, Order::Big), big(130, &[]));
    let little = octets(Data::Value(Value::IpAddress([1, 2, 3, 4])), Order::Little);
    assert_eq!(little, [&[64, 0, 0, 0], &name[..], &[1, 2, 3, 4]].concat(), "octets keep their order");
    let little = octets(Data::Value(Value::Counter64(1)), Order::Little);
    assert_eq!(little[8..], [1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn what_contradicts_the_rfc_is_refused() {
    let decode = |kind: u8, flags: u8, payload: &[u8]| {
        let mut octets = vec![1, kind, flags | 16, 0];
        octets.extend([0; 12]);
        octets.extend((payload.len() as u32).to_be_bytes());
        octets.extend(payload);
        Frame::split(&octets).map(|frame| frame.unwrap().decode().map(|_| ()))
    };
    assert_eq!(decode(0, 0, &[]), Ok(Err(WireError::PduType(0))));
    assert_eq!(decode(19, 0, &[]), Ok(Err(WireError::PduType(19))));
    assert_eq!(decode(9, 0, &[0; 4]), Ok(Err(WireError::Trailing(4))));
    assert_eq!(decode(18, 0, &[0; 4]), Ok(Err(WireError::Truncated)));
    assert_eq!(decode(6, 0, &[0; 4]), Ok(Err(WireError::Truncated)), "a range is two OIDs");
    assert_eq!(decode(13, 8, &[]), Ok(Err(WireError::Truncated)), "a context is announced");
    assert_eq!(decode(9, 8, &[]), Ok(Ok(())), "CommitSet has no context whatever the flag says");
    assert_eq!(decode(8, 0, &[0, 99, 0, 0, 0, 0, 0, 0]), Ok(Err(WireError::VarBindType(99))));
    assert_eq!(decode(8, 0, &[0, 71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), Ok(Ok(())), "net-snmp's UInteger32");
    assert_eq!(decode(6, 0, &vec![0; 8 * MAX_ITEMS]), Ok(Ok(())));
    assert_eq!(decode(6, 0, &vec![0; 8 * MAX_ITEMS + 8]), Ok(Err(WireError::TooMany(MAX_ITEMS))));
    assert_eq!(decode(13, 0, &[0; 3]), Err(FrameError::Alignment(3)));
    assert_eq!(decode(13, 0, &vec![0; MAX_PAYLOAD + 4]), Err(FrameError::TooLarge(MAX_PAYLOAD as u32 + 4)));
    assert!(matches!(Frame::split(&[2]), Err(FrameError::Version(2))), "one octet tells");
    assert!(matches!(Frame::split(b"GET / HTTP/1.1\r\nHost: x"), Err(FrameError::Version(b'G'))));
}

#[test]
fn an_index_of_an_error_and_its_number_are_told_by_name() {
    assert_eq!(ErrorCode::DUPLICATE_REGISTRATION.to_string(), "duplicateRegistration (263)");
    assert_eq!(ErrorCode(300).to_string(), "unknown error (300)");
}

proptest! {
    /// Arbitrary bodies behind a sane header: decode, encode, decode gives the same, and nothing panics.
    #[test]
    fn decode_encode_decode_is_equal(
        kind in 0u8..20, flags in any::<u8>(), mut payload in vec(prop_oneof![Just(0u8), Just(1), Just(4), any::<u8>()], 0..96),
    ) {
        payload.truncate(payload.len() / 4 * 4);
        let length = payload.len() as u32;
        let mut octets = vec![1, kind, flags, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        octets.extend(if flags & 16 == 0 { length.to_le_bytes() } else { length.to_be_bytes() });
        octets.extend(payload);
        if let Ok(first) = Frame::split(&octets).unwrap().unwrap().decode() {
            let again = encode(&first);
            let second = Frame::split(&again).unwrap().unwrap();
            prop_assert_eq!(second.size(), again.len());
            prop_assert_eq!(&second.decode().unwrap(), &first);
            prop_assert_eq!(encode(&second.decode().unwrap()), again);
        }
    }

    #[test]
    fn any_octets_are_split_without_panic(octets in vec(any::<u8>(), 0..64)) {
        if let Ok(Some(frame)) = Frame::split(&octets) {
            prop_assert!(frame.size() <= octets.len());
            let _either = frame.decode();
        }
    }

    #[test]
    fn any_oid_survives(subids in vec(any::<u32>(), 0..=128), big in any::<bool>()) {
        let order = if big { Order::Big } else { Order::Little };
        let mut out = BytesMut::new();
        Writer::new(&mut out, order).oid(&subids, true);
        let mut found = Oid::new();
        prop_assert!(Reader::new(&out, order).oid_into(&mut found).unwrap());
        prop_assert_eq!(found.as_slice(), subids.as_slice());
    }
}
