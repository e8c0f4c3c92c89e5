//! Streams in any shape, and octets nobody meant.

use super::*;
use proptest::{collection::vec, prelude::*};

fn requests(master: &mut Master) -> Vec<u8> {
    let ranges = [range("1.3.9.1.1", false, "1.3.10"), range("1.3.9", true, "")];
    let ranges = || Ranges::from(ranges.as_slice());
    let varbinds = [gauge("1.3.9.1.1", 5)];
    let bodies = [
        Body::Get(ranges()),
        Body::GetNext(ranges()),
        Body::GetBulk { non_repeaters: 1, max_repetitions: 3, ranges: ranges() },
        Body::TestSet(VarBinds::from(varbinds.as_slice())),
        Body::CleanupSet,
        Body::GetNext(ranges()),
    ];
    let mut out = Vec::new();
    for (number, body) in bodies.into_iter().enumerate() {
        master.order = if number % 2 == 0 { Order::Big } else { Order::Little };
        out.extend_from_slice(&master.encoded(body));
    }
    out
}

fn answers(feed: impl Fn(&mut Master, &[u8])) -> Vec<u8> {
    let mut master = Master::ready();
    let octets = requests(&mut master);
    feed(&mut master, &octets);
    master.session.output().to_vec()
}

#[test]
fn one_octet_at_a_time_and_many_pdus_in_one_read_give_the_same_answers() {
    let at_once = answers(|master, octets| master.octets(octets).unwrap());
    let mut counter = 0;
    let mut rest = &at_once[..];
    while let Some(frame) = Frame::split(rest).unwrap() {
        counter += 1;
        rest = &rest[frame.size()..];
    }
    assert_eq!(counter, 5, "CleanupSet has none");
    let one_by_one = answers(|master, octets| {
        let mut input = BytesMut::new();
        for octet in octets {
            input.extend_from_slice(&[*octet]);
            let newest = Arc::clone(&master.newest.borrow());
            master.session.receive(&mut input, &|| Arc::clone(&newest), master.now).unwrap();
        }
        assert!(input.is_empty());
    });
    assert_eq!(one_by_one, at_once);
}

#[test]
fn while_answers_wait_no_more_are_made_but_everything_is_answered_in_the_end() {
    let mut master = Master::ready();
    let big: BTreeMap<_, _> = (1..=50).map(|r| (vec![1, 3, 9, 1, r], Value::octets(vec![0; 1000]))).collect();
    master.newest = RefCell::new(Arc::new(Map(big)));
    let ranges = [range("1.3.9", false, "")];
    let bulk = |master: &mut Master| {
        master.encoded(Body::GetBulk { non_repeaters: 0, max_repetitions: 50, ranges: Ranges::from(ranges.as_slice()) })
    };
    let mut input: BytesMut = (0..200).flat_map(|_| bulk(&mut master)).collect();
    let mut answered = 0;
    while !input.is_empty() {
        let newest = Arc::clone(&master.newest.borrow());
        master.session.receive(&mut input, &|| Arc::clone(&newest), master.now).unwrap();
        assert!(master.session.output().len() <= OUTPUT_PAUSE + 60 * 1024);
        answered += master.sent().len();
    }
    assert_eq!(answered, 200);
}

proptest! {
    #[test]
    fn a_stream_may_be_cut_anywhere(cuts in vec(1usize..40, 1..40)) {
        let at_once = answers(|master, octets| master.octets(octets).unwrap());
        let pieces = answers(|master, octets| {
            let mut input = BytesMut::new();
            let mut rest = octets;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                input.extend_from_slice(piece);
                rest = more;
                let newest = Arc::clone(&master.newest.borrow());
                master.session.receive(&mut input, &|| Arc::clone(&newest), master.now).unwrap();
            }
        });
        prop_assert_eq!(pieces, at_once);
    }

    /// Octets that look like PDUs (so that they come far) and octets that do not: no panic, bounded output, and what is
    /// written is always whole PDUs.
    #[test]
    fn any_octets_at_any_time(
        parts in vec((0u8..20, any::<u8>(), vec(prop_oneof![Just(0u8), Just(1), Just(3), any::<u8>()], 0..64), 0u64..20), 1..20),
        ready in any::<bool>(),
    ) {
        let mut master = if ready { Master::ready() } else { Master::new(config()) };
        master.sent();
        for (kind, flags, payload, seconds) in parts {
            let payload = &payload[..payload.len() / 4 * 4];
            let number = |n: u32| if flags & 16 == 0 { n.to_le_bytes() } else { n.to_be_bytes() };
            let session = if flags & 32 == 0 { SESSION } else { 0 };
            let mut octets = vec![1, kind, flags, 0];
            for word in [session, 9, u32::from(flags & 3), payload.len() as u32] {
                octets.extend(number(word));
            }
            octets.extend(payload);
            let fate = master.octets(&octets).and_then(|()| master.pass(Duration::from_secs(seconds)));
            prop_assert!(master.session.own.len() <= MAX_OUTSTANDING);
            prop_assert!(master.session.output().len() <= OUTPUT_PAUSE + 60 * 1024);
            prop_assert!(master.session.events.len() < 1000);
            master.sent();
            if fate.is_err() {
                break;
            }
        }
    }

    #[test]
    fn each_range_has_exactly_one_varbind_in_its_place(
        ranges in vec((vec(0u32..5, 0..4), any::<bool>(), vec(0u32..5, 0..4)), 0..30), bulk in any::<bool>(),
    ) {
        let below = |subids: &[u32]| Oid::from([1, 3, 9]).child(subids);
        let ranges: Vec<_> = ranges.iter().map(|(start, include, end)| {
            SearchRange { start: below(start), include: *include, end: if end.is_empty() { Oid::new() } else { below(end) } }
        }).collect();
        let list = || Ranges::from(ranges.as_slice());
        let mut master = Master::ready();
        let found = master.ask(Body::Get(list())).fine(ranges.len());
        for (range, varbind) in ranges.iter().zip(found) {
            prop_assert_eq!(&varbind.name, &range.start);
        }
        let body = if bulk {
            Body::GetBulk { non_repeaters: 0, max_repetitions: 1, ranges: list() }
        } else {
            Body::GetNext(list())
        };
        for (range, varbind) in ranges.iter().zip(master.ask(body).fine(ranges.len())) {
            if varbind.data == Data::EndOfMibView {
                prop_assert_eq!(&varbind.name, &range.start);
            } else {
                prop_assert!(varbind.name > range.start || (range.include && varbind.name == range.start));
                prop_assert!(range.end.is_empty() || varbind.name < range.end);
            }
        }
    }

    #[test]
    fn noise_never_panics(octets in vec(any::<u8>(), 0..256)) {
        let mut master = Master::ready();
        let _either = master.octets(&octets);
        master.sent();
    }
}
