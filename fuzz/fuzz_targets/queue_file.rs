//! Any bytes as a queue file, and as a defer log: no panic, an end, and no more recipients than fit into the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::postfix::{
    defer_log,
    queue_file::{Address, Reader},
    reason_text,
};
use std::cell::RefCell;

thread_local!(static READER: RefCell<Reader> = RefCell::default());

fuzz_target!(|bytes: &[u8]| {
    READER.with_borrow_mut(|reader| {
        let mut seen = 0;
        if let Ok(envelope) = reader.read(bytes, |address| seen += u64::from(matches!(address, Address::Recipient(_))))
        {
            assert_eq!(envelope.recipients, seen);
        }
    });
    let mut log = defer_log::DeferLog::default();
    let mut waiting = |waiting: defer_log::Waiting<'_>| {
        assert!(reason_text::plain(waiting.reason).len() <= reason_text::LONGEST);
    };
    log.feed(bytes, &mut waiting);
    log.finish(&mut waiting);
});
