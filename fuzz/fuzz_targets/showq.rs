//! Any bytes from a showq: no panic, and no recipient before its message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::postfix::{
    defer_reason::DeferReason,
    showq::{self, Message, Visitor},
};

struct Check {
    messages: u64,
}

impl Visitor for Check {
    fn message(&mut self, message: &Message<'_>) {
        assert!(!message.id.is_empty());
        self.messages += 1;
    }

    fn recipient(&mut self, address: &[u8], reason: &[u8]) {
        assert!(self.messages > 0);
        assert!(address.len() <= 64 << 10);
        DeferReason::of(reason);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = showq::read(bytes, &mut Check { messages: 0 });
});
