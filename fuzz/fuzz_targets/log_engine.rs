//! Any bytes as a log: the whole engine, and what it counted saved and taken up again at any place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::collect::log::engine::{Engine, Options, Source};

fuzz_target!(|bytes: &[u8]| {
    let (options, mut source) = (Options { discover: true, queue_ids: 16, ..Options::default() }, Source::default());
    let mut engine = Engine::new(options);
    let half = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1) / 2;
    let (first, second) = bytes.split_at(half);
    engine.chunk(&mut source, first);
    engine.chunk(&mut source, second);
    for instance in &engine.instances {
        let json = serde_json::to_vec(&instance.state).expect("a state can be saved");
        let again: postfix_agentx::collect::log::counters::State = serde_json::from_slice(&json).expect("and loaded");
        assert_eq!(serde_json::to_vec(&again).expect("and saved").len(), json.len());
    }
});
