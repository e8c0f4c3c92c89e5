//! Any text as the configuration: it is taken, or refused with its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::config;

fuzz_target!(|text: &str| {
    if let Err(e) = config::parse(text, "fuzz.yaml") {
        let message = e.to_string();
        let mut place = message.strip_prefix("fuzz.yaml:").expect("its file").splitn(3, ':');
        let mut number = || place.next().is_some_and(|n| n.parse::<u64>().is_ok());
        assert!(number() && number(), "no place: {message}");
    }
});
