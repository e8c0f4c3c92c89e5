//! Any answers of a POP3 server: no panic, no hang.

#![no_main]

mod dialogue;

use libfuzzer_sys::fuzz_target;
use postfix_agentx::collect::probe::{
    pop3::{Foreign, Pop3},
    stage::MAILBOX,
};

fuzz_target!(|input: &[u8]| {
    dialogue::with(1, true, input, async |run, server, connection| {
        let Ok(pop3) = Pop3::over(run, server, connection, MAILBOX).await else { return };
        let _ = pop3.first(run, server, &mut Foreign::default()).await;
    });
});
