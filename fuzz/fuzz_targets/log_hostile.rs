//! Any text at a stranger's place of any line: the line counts as the same line with plain text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::collect::log::engine::{Engine, Options, Source};

#[allow(dead_code, reason = "the texts are for the tests; the fuzzer makes its own")]
#[path = "../../tests/log/fields.rs"]
mod fields;
use fields::{FIELDS, Field, replaced};

fn counted(line: &str, field: Field) -> Vec<serde_json::Value> {
    let (program, text) = line.split_once(": ").unwrap_or((line, ""));
    let mut engine = Engine::new(Options { discover: true, ..Options::default() });
    engine.chunk(&mut Source::default(), format!("Nov 22 01:17:30 vm postfix/{program}[7]: {text}\n").as_bytes());
    let state = |i: &postfix_agentx::collect::log::engine::Instance| {
        let mut state = serde_json::to_value(&i.state).expect("a state");
        let members = state.as_object_mut().expect("an object");
        let chosen: &[&str] = match field {
            Field::UserName => &["senders"],
            Field::Reply => &["defers", "bounces"],
            _ => &[],
        };
        chosen.iter().for_each(|member| drop(members.remove(*member)));
        state
    };
    engine.instances.iter().map(state).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let [line, field, text @ ..] = bytes else { return };
    let lines: Vec<&str> =
        include_str!("../../tests/log/texts.txt").lines().filter(|l| !l.starts_with('#') && !l.is_empty()).collect();
    let (line, field) = (lines[usize::from(*line) % lines.len()], FIELDS[usize::from(*field) % FIELDS.len()]);
    // Postfix makes question marks of what cannot be printed (printable.c), and cuts at 2,000.
    let text: String =
        text.iter().take(300).map(|b| if (32..127).contains(b) { char::from(*b) } else { '?' }).collect();
    if let (Some(plain), Some(hostile)) = (replaced(line, field, "plain"), replaced(line, field, &text)) {
        assert_eq!(counted(&plain, field), counted(&hostile, field), "{hostile}");
    }
});
