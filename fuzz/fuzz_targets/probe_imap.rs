//! Any answers of an IMAP server: no panic, no hang.

#![no_main]

mod dialogue;

use libfuzzer_sys::fuzz_target;
use postfix_agentx::collect::probe::{imap::Imap, stage::MAILBOX};

fuzz_target!(|input: &[u8]| {
    dialogue::with(0, true, input, async |run, server, connection| {
        let Ok(imap) = Imap::over(run, server, connection, MAILBOX).await else { return };
        let Ok(mut imap) = imap.enter(run, "INBOX").await else { return };
        if imap.retrieve(run, 1).await.is_ok() {
            let _ = imap.remove(1).await;
        }
        imap.close().await;
    });
});
