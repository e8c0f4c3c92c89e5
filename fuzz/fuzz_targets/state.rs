//! Any content of a state file, behind its checksum: it is refused or works, whatever is counted on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::collect::{log, registry::Registry};

const LINES: &[u8] = include_bytes!("../../tests/log/cases/18-smtpd-other-lines.log");

fuzz_target!(|bytes: &[u8]| {
    log::resume(bytes, LINES);
    // The input as the JSON part alone: the fuzzer would have to guess the length before it.
    let length = u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    log::resume(&[&length[..], bytes].concat(), LINES);
    if let Ok(mut registry) = serde_json::from_slice::<Registry>(bytes) {
        registry.turn(1_700_000_000);
        for name in ["a", "b", "c"] {
            let index = registry.index(name);
            assert_eq!(index.and_then(|index| registry.name(index)), index.map(|_| name));
        }
        let again = serde_json::to_vec(&registry).expect("JSON");
        let again: Registry = serde_json::from_slice(&again).expect("what was saved is read");
        assert_eq!(again.get("a"), registry.get("a"));
    }
});
