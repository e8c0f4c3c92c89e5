//! A line that a syslog daemon says was repeated n times counts what n lines count, and costs what one does. A counter that
//! forgets `times` is seen here.

use super::engine::{Engine, Options, Service, Settings, Source, SourceCounters};
use crate::postfix::log::Line;
use serde_json::Value;
use std::{fs, path::Path, time::Instant};

/// With entries of master.cf, since processes are noted for those that have one.
fn engine() -> Engine {
    let service = |name: &str, program: &str| Service {
        name: name.into(),
        key: format!("{name}/inet"),
        program: program.into(),
        ..Service::default()
    };
    let mut engine = Engine::new(Options::default());
    engine.now = 1_700_000_000;
    engine.add(
        Settings {
            name: "postfix".into(),
            index: 1,
            syslog_name: "postfix".into(),
            services: vec![service("smtp", "smtpd"), service("submission", "smtpd"), service("qmgr", "qmgr")],
            ..Settings::default()
        },
        Default::default(),
    );
    engine
}

/// All that was counted, but for how many lines the file had.
fn counted(lines: impl IntoIterator<Item = String>) -> (Value, SourceCounters, String) {
    let (mut engine, mut source) = (engine(), Source::default());
    let text: Vec<String> = lines.into_iter().collect();
    engine.chunk(&mut source, (text.join("\n") + "\n").as_bytes());
    let counters = SourceCounters { lines: 0, ..source.counters };
    let state = serde_json::to_value(&engine.instances[0].state).unwrap();
    (state, counters, format!("{:?}", source.strangers))
}

/// Whatever its header looks like.
fn in_brackets(line: &str, times: usize) -> String {
    let text = Line::split(line.as_bytes()).text;
    let at = text.as_ptr().addr() - line.as_ptr().addr();
    format!("{}message repeated {times} times: [ {}]", &line[..at], &line[at..])
}

/// What differs between a log whose lines are written out and one that says that they were repeated.
fn differs(block: &[String], times: usize) -> Option<String> {
    let plain = counted(block.iter().flat_map(|line| vec![line.clone(); times]));
    let brackets = counted(block.iter().flat_map(|line| [line.clone(), in_brackets(line, times - 1)]));
    let last = format!("Nov 22 01:17:30 vm last message repeated {} times", times - 1);
    let last = counted(block.iter().flat_map(|line| [line.clone(), last.clone()]));
    let wrong = if brackets != plain { brackets } else { last };
    (wrong != plain).then(|| {
        let (mut right, mut seen) = (Vec::new(), Vec::new());
        flat("", &plain.0, &mut right);
        flat("", &wrong.0, &mut seen);
        right.retain(|entry| !seen.contains(entry));
        format!("{}\n  {times} times: {right:?}\n  {:?} {:?}", block.join("\n"), plain.1, wrong.1)
    })
}

fn flat(name: &str, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| flat(&format!("{name}.{key}"), value, into)),
        Value::Array(list) => (0..).zip(list).for_each(|(at, value)| flat(&format!("{name}.{at}"), value, into)),
        value => into.push(format!("{name} = {value}")),
    }
}

fn blocks() -> Vec<Vec<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/log");
    let line = |line: &str| {
        let (program, text) = line.split_once(": ")?;
        Some(format!("Nov 22 01:17:30 vm postfix/{program}[7]: {text}"))
    };
    let mut blocks = Vec::new();
    for name in ["lines.txt", "texts.txt", "whyscream.txt"] {
        let text = fs::read_to_string(directory.join(name)).unwrap();
        let mut block = Vec::new();
        for text in text.lines().filter(|text| !text.starts_with('#') && !text.trim().is_empty()) {
            if !text.starts_with('=') {
                block.extend(line(text));
            }
            if text.starts_with('=') || name != "lines.txt" {
                blocks.push(std::mem::take(&mut block));
            }
        }
    }
    for entry in fs::read_dir(directory.join("cases")).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|end| end == "log") {
            let lines = fs::read_to_string(entry.path()).unwrap();
            let plain = |line: &&str| !Line::split(line.as_bytes()).tag.is_empty() && !line.starts_with('{');
            blocks.push(lines.lines().filter(plain).map(str::to_owned).collect());
        }
    }
    // `cargo test` with a real log of one's own.
    if let Some(log) = std::env::var_os("POSTFIX_AGENTX_CORPUS") {
        let lines = fs::read_to_string(log).unwrap();
        blocks.extend(lines.lines().filter(|line| line.contains("]: ")).map(|line| vec![line.to_owned()]));
        blocks.push(lines.lines().filter(|line| line.contains("]: ")).map(str::to_owned).collect());
    }
    // What is a repetition itself is repeated by no syslog daemon.
    blocks.retain(|block| !block.iter().any(|line| line.contains(" repeated ")));
    blocks
}

#[test]
fn repeated_lines_count_what_they_would_count_written_out() {
    let blocks = blocks();
    assert!(blocks.len() > 300, "{}", blocks.len());
    let wrong: Vec<_> = blocks.iter().flat_map(|block| [2, 40].map(|times| differs(block, times))).flatten().collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), blocks.len(), wrong[..wrong.len().min(10)].join("\n"));
}

/// The review's 40 KB that were 40,000,000 messages and 1.5 s: now as many, and no more work than 400 lines.
#[test]
fn a_repetition_costs_no_more_than_its_line() {
    let line = "Nov 22 01:17:30 vm postfix/smtpd[7]: message repeated 1000000 times: [ connect from a[192.0.2.1]]\n";
    let (mut engine, mut source) = (engine(), Source::default());
    let begun = Instant::now();
    engine.chunk(&mut source, line.repeat(20_000).as_bytes());
    let (_, _, smtpd) = engine.instances[0].state.smtpd.iter().nth(1).unwrap();
    assert_eq!(smtpd.connects, 20_000_000_000);
    // Twenty thousand million of them would be hours.
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

/// No syslog daemon says such a number: nothing is counted but a line that is not understood.
#[test]
fn an_absurd_number_is_refused() {
    for number in ["1000001", "4294967295", "18446744073709551615", "99999999999999999999999"] {
        let line = format!("message repeated {number} times: [ connect from a[192.0.2.1]]");
        let (state, counters, _) = counted([format!("Nov 22 01:17:30 vm postfix/smtpd[7]: {line}")]);
        assert_eq!(state["smtpd"]["rows"][1]["connects"], 0, "{number}");
        assert_eq!(counters.unrecognised, 1, "{number}");
        let last = format!("Nov 22 01:17:30 vm last message repeated {number} times");
        let (state, counters, _) =
            counted(["Nov 22 01:17:30 vm postfix/smtpd[7]: connect from a[192.0.2.1]".into(), last]);
        assert_eq!(state["smtpd"]["rows"][1]["connects"], 1, "{number}");
        assert_eq!((counters.unrecognised, counters.foreign), (0, 1), "{number}");
    }
    let (state, counters, _) = counted(["Nov 22 01:17:30 vm postfix/smtpd[7]: message repeated 0 times: [ x]".into()]);
    assert_eq!((state["smtpd"]["rows"].as_array().map(Vec::len), counters.unrecognised), (Some(1), 0));
}
