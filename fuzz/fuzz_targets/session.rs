//! A whole session fed any octets, while time passes: no panic, bounded output, and only whole PDUs go out.
//!
//! The input is a list of chunks: one octet of length, one of time in seconds, then the octets.

#![no_main]

use bytes::{Buf, BytesMut};
use libfuzzer_sys::fuzz_target;
use postfix_agentx::{
    agentx::{
        Capabilities, Config,
        pdu::Frame,
        session::{MAX_OUTSTANDING, OUTPUT_PAUSE, Session},
    },
    smi::{Missing, Objects, Oid, Value},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// 1.3.9.1 to 1.3.9.9.
struct Nine;

impl Objects for Nine {
    fn get(&self, name: &[u32], _: Instant) -> Result<Value, Missing> {
        match name {
            [1, 3, 9, n @ 1..=9] => Ok(Value::Gauge32(*n)),
            [1, 3, 9, ..] => Err(Missing::Instance),
            _ => Err(Missing::Object),
        }
    }

    fn next(&self, after: &[u32], include: bool, before: &[u32], _: Instant, name: &mut Oid) -> Option<Value> {
        let found = (1..=9).find(|n| {
            let this = [1, 3, 9, *n];
            if include { this[..] >= *after } else { this[..] > *after }
        })?;
        name.set(&[1, 3, 9, found]);
        (before.is_empty() || name.as_slice() < before).then_some(Value::Gauge32(found))
    }
}

fuzz_target!(|input: &[u8]| {
    let mut now = Instant::now();
    let mut config = Config::new(Vec::new(), Oid::from([1, 3, 9]), "fuzz");
    config.regions[0].takeover = Some(126);
    config.capabilities = vec![Capabilities { id: Oid::from([1, 3, 7]), description: "fuzz".into() }];
    let mut session = Session::<Nine>::new(Arc::new(config), Arc::default(), now);
    let nine = Arc::new(Nine);
    let mut stream = BytesMut::new();
    let mut rest = input;
    let mut own = 0;
    while let [length, seconds, more @ ..] = rest {
        let (chunk, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        stream.extend_from_slice(chunk);
        now += Duration::from_secs(u64::from(*seconds % 20));
        let fate = session.receive(&mut stream, &|| Arc::clone(&nine), now).and_then(|_| session.timeout(now));
        while session.event().is_some() {}
        let out = session.output();
        assert!(out.len() <= OUTPUT_PAUSE + 64 * 1024);
        while !out.is_empty() {
            let frame = Frame::split(out).expect("our own PDU").expect("a whole one");
            assert!(frame.size() <= 60 * 1024);
            frame.decode().expect("our own PDU");
            own += usize::from(frame.kind != 18);
            let size = frame.size();
            out.advance(size);
        }
        if fate.is_err() {
            break;
        }
    }
    assert!(own <= MAX_OUTSTANDING + 4 * input.len(), "requests of our own go with time or answers");
});
