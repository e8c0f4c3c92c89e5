//! Cutting any stream into PDUs: no panic, and a PDU never reaches beyond the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::agentx::pdu::Frame;

fuzz_target!(|stream: &[u8]| {
    let mut rest = stream;
    while let Ok(Some(frame)) = Frame::split(rest) {
        assert!(frame.size() >= 20 && frame.size() <= rest.len());
        rest = &rest[frame.size()..];
    }
});
