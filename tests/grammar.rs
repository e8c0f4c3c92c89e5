//! The promise: text that strangers choose decides nothing. Every line is read by the grammar its program writes it in, so a
//! line with hostile text at a stranger's place counts as the same line with plain text; and every text of Postfix 2.9 to 3.12
//! has a home.

use crate::common::repository;
use postfix_agentx::{
    collect::log::{
        count,
        engine::{Engine, Options, Source},
    },
    config::{self, Config},
    smi::Value,
};
use std::{collections::BTreeMap, fs, path::Path};

#[path = "log/fields.rs"]
pub mod fields;
use fields::{FIELDS, Field, HOSTILE, replaced};

fn data(name: &str) -> String {
    let path = repository().join("tests/log").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `program: text` of the lines of a file.
fn texts(name: &str) -> Vec<String> {
    let text = data(name);
    let lines = text.lines().filter(|line| !line.starts_with(['#', '=']) && !line.trim().is_empty());
    lines.map(str::to_owned).collect()
}

fn log_line(line: &str) -> String {
    let (program, text) = line.split_once(": ").unwrap_or((line, ""));
    format!("Nov 22 01:17:30 vm postfix/{program}[7]: {text}\n")
}

/// All that was counted of these lines.
fn counted(lines: &[String]) -> (serde_json::Value, Source) {
    let mut engine = Engine::new(Options { discover: true, ..Options::default() });
    let mut source = Source::default();
    for line in lines {
        engine.chunk(&mut source, log_line(line).as_bytes());
    }
    let states: Vec<_> = engine.instances.iter().map(|i| serde_json::to_value(&i.state).expect("a state")).collect();
    (states.into(), source)
}

/// Blocks of lines.txt, each line of the other files alone.
fn blocks() -> Vec<Vec<String>> {
    let (mut blocks, mut block) = (Vec::new(), Vec::new());
    for line in data("lines.txt").lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if line.starts_with('=') {
            blocks.push(std::mem::take(&mut block));
        } else {
            block.push(line.to_owned());
        }
    }
    blocks.extend(["texts.txt", "whyscream.txt"].iter().flat_map(|name| texts(name)).map(|line| vec![line]));
    blocks
}

/// Takes out a destination's last words, which are shown as they are and count nothing.
fn without_reasons(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(all) => all.iter_mut().for_each(without_reasons),
        serde_json::Value::Object(members) => {
            members.remove("last_reason");
            members.values_mut().for_each(without_reasons);
        }
        _ => {}
    }
}

#[test]
fn a_strangers_text_moves_no_counter() {
    let (mut wrong, mut tried) = (Vec::new(), BTreeMap::<String, usize>::new());
    for block in blocks() {
        for (at, line) in block.iter().enumerate() {
            for field in FIELDS {
                let with = |text: &str| {
                    let mut changed = block.clone();
                    changed[at] = replaced(line, field, text)?;
                    let (mut state, source) = counted(&changed);
                    for instance in state.as_array_mut().into_iter().flatten() {
                        without_reasons(instance);
                        let Some(state) = instance.as_object_mut() else { continue };
                        // What a row is called is what the user is called; the classes of deferrals are the servers' words.
                        match field {
                            Field::UserName => drop(state.remove("senders")),
                            Field::Reply => {
                                ["defers", "bounces"].iter().for_each(|reasons| drop(state.remove(*reasons)));
                            }
                            _ => {}
                        }
                    }
                    Some((state, source.counters, changed[at].clone()))
                };
                let Some((plain, counters, _)) = with("plain") else { continue };
                for text in HOSTILE {
                    let Some((hostile, now, changed)) = with(text) else { continue };
                    *tried.entry(format!("{field:?}")).or_default() += 1;
                    if hostile != plain || now != counters {
                        wrong.push(format!("{field:?}: {changed}"));
                    }
                }
            }
        }
    }
    assert!(FIELDS.iter().all(|field| tried.get(&format!("{field:?}")).is_some_and(|n| *n > 20)), "{tried:?}");
    assert!(wrong.is_empty(), "{} of {tried:?}:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

#[test]
fn every_text_of_postfix_has_a_home() {
    let mut wrong = Vec::new();
    for line in texts("texts.txt").into_iter().chain(texts("whyscream.txt")) {
        let (_, source) = counted(std::slice::from_ref(&line));
        if source.counters.unrecognised != 0 || source.counters.foreign != 0 {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{} not understood:\n{}", wrong.len(), wrong.join("\n"));
}

/// `count` of each file of tests/log/cases, against what its `.expect` says.
#[test]
fn cases_count_as_they_should() {
    let directory = repository().join("tests/log/cases");
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&directory).expect("the cases") {
        let expect = entry.expect("an entry").path();
        if expect.extension().is_none_or(|e| e != "expect") {
            continue;
        }
        cases += 1;
        let text = fs::read_to_string(&expect).expect("a case");
        let config = match text.lines().find_map(|line| line.strip_prefix("# config: ")) {
            Some(name) => config::parse(&fs::read_to_string(directory.join(name)).expect("its configuration"), name),
            None => config::parse("", "none"),
        };
        let got = values(&expect.with_extension("log"), &config.expect("a configuration"));
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, want) = line.split_once(" = ").expect("name = value");
            let found = got.get(name).map_or("0", String::as_str);
            if found != want {
                wrong.push(format!("{}: {name} = {found}, not {want}", expect.display()));
            }
        }
    }
    assert!(cases >= 18, "{cases}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn values(log: &Path, config: &Config) -> BTreeMap<String, String> {
    let counted = count::count(&[log.to_owned()], config, &mut |_| {}).expect("a readable file").values;
    let plain = |value: Value| match value {
        Value::OctetString(text) => String::from_utf8_lossy(&text).into_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Counter32(n) | Value::Gauge32(n) | Value::TimeTicks(n) => n.to_string(),
        Value::Counter64(n) => n.to_string(),
        other => other.to_string(),
    };
    counted.into_iter().map(|(name, value)| (name, plain(value))).collect()
}
