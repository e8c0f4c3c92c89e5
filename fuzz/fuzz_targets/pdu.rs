//! Whatever can be decoded: encoded and decoded again it is the same.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use postfix_agentx::agentx::pdu::Frame;

fuzz_target!(|stream: &[u8]| {
    let Ok(Some(frame)) = Frame::split(stream) else { return };
    let Ok(first) = frame.decode() else { return };
    let mut again = BytesMut::new();
    first.encode(&mut again);
    let second = Frame::split(&again).expect("our own PDU").expect("a whole one");
    assert_eq!(second.size(), again.len());
    let second = second.decode().expect("our own PDU");
    assert_eq!(second, first);
    let mut third = BytesMut::new();
    second.encode(&mut third);
    assert_eq!(third, again);
});
