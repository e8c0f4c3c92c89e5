//! The promise: what integrations/ gives to managers names objects that exist, as they are.
//!
//! The files are written by integrations/generate from the MIB's text; here they are read again, by other eyes: every OID
//! below the root, every descriptor, every enumeration, every name that has to be unique. So a manager that nobody can run here
//! is covered too, and a new folder is by being there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

mod formats;
mod prometheus;
mod zabbix;

use crate::common::{self, ROOT, TestAgent, TestPostfix, TestSnmpd, capture, tool};
use crate::mib::{Module, module};

/// Every file of integrations/ but the generator.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![common::repository().join("integrations")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            if entry.ends_with("integrations/generate") {
                continue;
            }
            if entry.is_dir() { open.push(entry) } else { found.push(entry) }
        }
    }
    found.sort();
    assert!(found.len() > 5, "{found:?}");
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn file(name: &str) -> String {
    read(&common::repository().join("integrations").join(name))
}

/// The numbers after each mention of the root, as they stand in the text.
fn mentioned(text: &str) -> Vec<Vec<u32>> {
    text.match_indices(ROOT)
        .map(|(at, _)| {
            let rest = &text[at + ROOT.len()..];
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            rest[..end].split('.').filter_map(|part| part.parse().ok()).collect()
        })
        .collect()
}

/// Why this OID is none that a manager may ask for.
fn wrong(module: &Module, oid: &[u32]) -> Option<String> {
    if module.nodes.values().any(|node| node == oid) {
        // A node, a table to walk, a column to append an index to, a scalar without its 0: only what cannot be read is wrong.
        let object = module.objects.values().find(|object| object.oid == oid)?;
        let column =
            object.access == "not-accessible" && object.index.is_empty() && !object.syntax.starts_with("SEQUENCE");
        return column.then(|| format!("{oid:?} is not accessible"));
    }
    let object = module.objects.values().find(|object| object.access == "read-only" && oid.starts_with(&object.oid));
    let Some(object) = object else { return Some(format!("{oid:?} is no object")) };
    let entry = &object.oid[..object.oid.len() - 1];
    let table =
        module.objects.values().find(|entry_object| entry_object.oid == entry && !entry_object.index.is_empty());
    let length = table.map_or(1, |entry_object| entry_object.index.len());
    let given = oid.len() - object.oid.len();
    (given != length).then(|| format!("{oid:?} has {given} index numbers instead of {length}"))
}

/// Our descriptors as they stand in a text: `postfix` and a capital letter. A file may call a table's rows by the table's name
/// without its last word, and what begins so is a family: `postfixTotal…`.
fn unknown_descriptors(module: &Module, text: &str) -> BTreeSet<String> {
    let mib = read(&common::repository().join("mibs/POSTFIX-MIB.txt"));
    let known = |word: &str| {
        let table = format!("{word}Table");
        if mib.contains(&format!("\n{word} NOTIFICATION-TYPE")) {
            return true;
        }
        module.nodes.contains_key(word) || module.objects.contains_key(word) || module.objects.contains_key(&table)
    };
    let mut unknown = BTreeSet::new();
    for (at, _) in text.match_indices("postfix") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric()) {
            continue;
        }
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let named = word.as_bytes().get(7).is_some_and(u8::is_ascii_uppercase);
        if named && !known(word) && !after.starts_with('…') && !after.starts_with("...") {
            unknown.insert(word.to_owned());
        }
    }
    unknown
}

#[test]
fn every_descriptor_is_one_of_the_mib() {
    let module = module();
    for path in files() {
        let unknown = unknown_descriptors(&module, &read(&path));
        assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
    }
    assert_eq!(unknown_descriptors(&module, "postfixHealth postfixQueue postfixNoSuch postfixTotal…").len(), 1);
}

#[test]
fn every_oid_is_an_object_with_an_index_of_its_tables_length() {
    let module = module();
    let mut complaints = Vec::new();
    let mut seen = 0;
    for path in files() {
        for oid in mentioned(&read(&path)) {
            seen += 1;
            complaints.extend(wrong(&module, &oid).map(|why| format!("{}: {why}", path.display())));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(seen > 500, "only {seen} OIDs were found");
    // It would see one.
    assert!(wrong(&module, &[1, 3, 4, 1, 99]).is_some() && wrong(&module, &[1, 4, 1, 1, 3, 1]).is_some());
    assert!(wrong(&module, &[1, 4, 1, 1, 3, 1, 4]).is_none() && wrong(&module, &[1, 1, 1, 1, 0]).is_none());
    assert!(wrong(&module, &[1, 4, 1, 1, 1]).is_some(), "an index column");
}

/// The labels of an enumeration by number.
fn enumeration(module: &Module, name: &str) -> BTreeMap<String, String> {
    let object = module.objects.get(name).unwrap_or_else(|| panic!("{name} is not in the MIB"));
    let labels = object.syntax.split(['{', '}']).nth(1).unwrap_or_else(|| panic!("{name} is no enumeration"));
    let mut found = BTreeMap::new();
    for label in labels.split(',') {
        let (label, number) = label.trim().split_once('(').expect("label(number)");
        found.insert(number.trim_end_matches(')').trim().to_owned(), label.trim().to_owned());
    }
    found
}

type Json = serde_json::Value;

/// Every mapping of numbers to labels in a document, with the name of the object it is about.
fn enumerations(value: &Json, found: &mut Vec<(String, BTreeMap<String, String>)>) {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Json::Object(map) => {
            let about = ["labelname", "state_name", "tag", "name"].iter().find_map(|key| map.get(*key)?.as_str());
            let about = about.map(|name| name.trim_start_matches("POSTFIX-MIB::").to_owned());
            for key in ["enum_values", "mapping", "mappings", "states"] {
                let (Some(about), Some(values)) = (&about, map.get(key)) else { continue };
                let labels = match values.get("items").unwrap_or(values) {
                    Json::Object(items) => items.iter().map(|(number, label)| (number.clone(), text(label))).collect(),
                    // Zabbix and LibreNMS: a list of pairs.
                    Json::Array(pairs) => pairs
                        .iter()
                        .filter_map(|pair| {
                            let label = pair.get("newvalue").or_else(|| pair.get("descr"))?;
                            Some((text(pair.get("value")?), text(label)))
                        })
                        .collect(),
                    _ => continue,
                };
                if about.starts_with("postfix") {
                    found.push((about.clone(), labels));
                }
            }
            map.values().for_each(|inner| enumerations(inner, found));
        }
        Json::Array(items) => items.iter().for_each(|inner| enumerations(inner, found)),
        _ => {}
    }
}

/// Enumerations in texts that are no YAML: `"postfixHealth": {"1": "ok", …}` and PRTG's lookups.
fn lookups(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((name, labels)) = line.trim().trim_end_matches(',').split_once("\": {\"1\"") else { continue };
        let labels =
            serde_json::from_str(&format!("{{\"1\"{labels}")).unwrap_or_else(|error| panic!("{line}: {error}"));
        found.push((name.trim_start_matches('"').to_owned(), labels));
    }
    for lookup in text.split("<ValueLookup id=\"").skip(1) {
        let name = lookup.split('"').next().unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned();
        let values = lookup.split(" value=\"").skip(1).map(|part| {
            let (number, rest) = part.split_once("\">").expect("a value");
            (number.to_owned(), rest.split('<').next().unwrap_or_default().to_owned())
        });
        found.push((name, values.collect()));
    }
    found
}

#[test]
fn every_enumeration_is_that_of_the_mib() {
    let module = module();
    let mut seen = 0;
    for path in files() {
        let mut found = lookups(&read(&path));
        if path.extension().is_some_and(|end| end == "yml" || end == "yaml") {
            enumerations(&yaml(&read(&path), &path), &mut found);
        }
        for (name, labels) in found {
            seen += 1;
            assert_eq!(labels, enumeration(&module, &name), "{name} in {}", path.display());
        }
    }
    assert!(seen > 100, "only {seen} enumerations were found");
}

fn yaml(text: &str, path: &Path) -> Json {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders, one a manager.
fn folders() -> BTreeSet<String> {
    let root = common::repository().join("integrations");
    let of = |path: &PathBuf| {
        path.strip_prefix(&root).expect("below").iter().next().map(|part| part.to_string_lossy().into_owned())
    };
    files().iter().filter_map(of).collect()
}

/// A manager that is quiet is not a manager that knows: each how-to says what tells of the four ways of not knowing.
#[test]
fn every_folder_has_a_document_with_its_four_alarms_and_is_in_the_packages() {
    let documents = common::repository().join("docs/managers");
    let documents: Vec<(PathBuf, String)> = fs::read_dir(documents)
        .expect("docs/managers")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), read(&path)))
        .collect();
    for (path, text) in &documents {
        for row in ["| nobody answers |", "| the agent is missing |", "| a source fails |", "| health |"] {
            assert!(text.contains(row), "{} has no row {row}", path.display());
        }
        assert!(text.contains("## Checked"), "{} does not say what was run", path.display());
    }
    let manifest = read(&common::repository().join("Cargo.toml"));
    for folder in folders() {
        let link = format!("(../../integrations/{folder}");
        assert!(documents.iter().any(|(_, text)| text.contains(&link)), "no document of docs/managers has {link})");
        let packed = manifest.matches(&format!("\"integrations/{folder}/")).count();
        assert!(packed >= 2, "Cargo.toml packs integrations/{folder} {packed} times, for deb and rpm");
    }
}

#[test]
fn the_files_are_what_the_generator_writes() {
    let generator = common::repository().join("integrations/generate/generate.py");
    // -B: no bytecode is left in the tree.
    let ran = capture(tool("python3").arg("-B").arg(generator).arg("--check"));
    assert!(ran.code == 0, "{}{}run `make integrations` and commit what it writes", ran.stdout, ran.stderr);
}

/// Managers that label rows by their name column alone: no two rows of a table are called the same, with two instances.
#[test]
fn names_tell_the_rows_of_two_instances_apart() {
    let snmpd = TestSnmpd::start();
    let (one, two) = (TestPostfix::builder().start(), TestPostfix::builder().name("postfix-out").start());
    let mut agent = TestAgent::start_for(&snmpd, &[&one, &two]);
    agent.wait_sources_ok(&snmpd, 1);
    agent.wait_sources_ok(&snmpd, 2);
    let walked = snmpd.udp().walk(ROOT).expect("a walk");
    let module = module();
    let mut tables = 0;
    for (name, object) in
        module.objects.iter().filter(|(name, object)| name.ends_with("Name") && object.access == "read-only")
    {
        let column = object.oid.iter().fold(ROOT.to_owned(), |oid, part| format!("{oid}.{part}")) + ".";
        let rows: Vec<_> =
            walked.iter().filter(|(oid, _)| oid.starts_with(&column)).map(|(_, value)| value.clone()).collect();
        let unique: BTreeSet<String> = rows.iter().map(|value| format!("{value:?}")).collect();
        assert_eq!(unique.len(), rows.len(), "{name}: {rows:?}");
        tables += usize::from(rows.len() > 1);
    }
    assert!(tables > 15, "{tables} tables had rows of both instances");
}
