//! Any content of files in /proc: locks, and command lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::postfix::{master, master_cf::CommandLine};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = master::locks(text);
    }
    if let Some(line) = CommandLine::parse(bytes) {
        let _ = line.program();
    }
});
