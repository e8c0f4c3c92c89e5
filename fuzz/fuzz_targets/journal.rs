//! Any output of journalctl: an entry is one line, whatever is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::{collect::log, postfix::log::Line};

fuzz_target!(|json: &[u8]| {
    if let Some(line) = log::journal_entry(json) {
        assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        assert_eq!(line.last(), Some(&b'\n'));
        let _ = Line::split(&line);
    }
});
