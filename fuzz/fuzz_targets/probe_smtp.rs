//! Any answers of an SMTP server: no panic, no hang.

#![no_main]

mod dialogue;

use libfuzzer_sys::fuzz_target;
use postfix_agentx::collect::probe::smtp::Smtp;

fuzz_target!(|input: &[u8]| {
    dialogue::with(0, false, input, async |run, server, connection| {
        let Ok(mut smtp) = Smtp::over(run, server, connection, 220).await else { return };
        if smtp.recipient(run, "a@b", "c@d").await.is_ok() {
            let _ = smtp.message(run, b"Subject: x\r\n\r\n.\r\n").await;
        }
        smtp.quit(run, true).await;
    });
});
