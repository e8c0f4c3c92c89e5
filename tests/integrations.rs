//! The promise: what integrations/ gives to managers names objects that exist, as they are.
//!
//! The files are written by integrations/generate from the MIB's text; here they are read again, by other eyes: every OID
//! below the root, every enumeration, every metric and label. So a manager that nobody can run here is covered too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn every_enumeration_is_that_of_the_mib() {
    let module = module();
    let mut seen = 0;
    for path in files().iter().filter(|path| path.extension().is_some_and(|end| end == "yml" || end == "yaml")) {
        let document: Json = yaml(&read(path), path);
        let mut found = Vec::new();
        enumerations(&document, &mut found);
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

/// The metrics of snmp.yml with the labels each series has.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let document = yaml(&file("prometheus/snmp.yml"), Path::new("snmp.yml"));
    let mut found = BTreeMap::new();
    for metric in document["modules"]["postfix"]["metrics"].as_array().expect("metrics") {
        let name = metric["name"].as_str().expect("a name").to_owned();
        let mut labels = BTreeSet::from(["job", "instance", "le"].map(str::to_owned));
        for part in ["indexes", "lookups"] {
            for label in metric[part].as_array().into_iter().flatten() {
                labels.insert(label["labelname"].as_str().expect("a label").to_owned());
            }
        }
        if !["gauge", "counter"].contains(&metric["type"].as_str().expect("a type")) {
            labels.insert(name.clone());
        }
        found.insert(name, labels);
    }
    found
}

/// The words of an expression that begin as our metrics do, and whether a metric or a label stands there: what braces,
/// `by (…)`, `on (…)` and templates hold is a label.
fn words(expression: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let (mut braces, mut labels, mut quoted, mut word) = (0, false, false, String::new());
    let mut last = String::new();
    for c in expression.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || c == '_' || c == ':' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            if !quoted && word.starts_with("postfix") {
                found.push((word.clone(), braces > 0 || labels));
            }
            last = std::mem::take(&mut word);
        }
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' => braces += 1,
            '}' => braces -= 1,
            '(' => labels = ["by", "on", "without", "ignoring", "group_left", "group_right"].contains(&last.as_str()),
            ')' => labels = false,
            _ => {}
        }
        if !c.is_whitespace() {
            last.clear();
        }
    }
    found
}

/// Every expression of rules and panels, with the texts made of its labels.
fn expressions() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let rules = yaml(&file("prometheus/postfix.rules.yml"), Path::new("postfix.rules.yml"));
    for group in rules["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            let texts = rule["annotations"].as_object().into_iter().flat_map(|texts| texts.values());
            let texts = texts.map(|text| text.as_str().expect("a text").to_owned()).collect();
            found.push((rule["expr"].as_str().expect("an expression").to_owned(), texts));
        }
    }
    let board: Json = serde_json::from_str(&file("grafana/postfix.json")).expect("JSON");
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = target["legendFormat"].as_str().expect("a legend").to_owned();
            found.push((target["expr"].as_str().expect("an expression").to_owned(), vec![legend]));
        }
    }
    found
}

#[test]
fn every_metric_and_label_of_rules_and_panels_exists() {
    let metrics = metrics();
    let rules = file("prometheus/postfix.rules.yml");
    let mut complaints = Vec::new();
    let expressions = expressions();
    assert!(expressions.len() > 50, "{}", expressions.len());
    for (expression, texts) in &expressions {
        let words = words(expression);
        let named: Vec<&String> = words.iter().filter(|(_, label)| !label).map(|(word, _)| word).collect();
        assert!(!named.is_empty() || expression.starts_with("up"), "{expression}");
        let mut labels = BTreeSet::new();
        for name in &named {
            match metrics.get(*name) {
                Some(of) => labels.extend(of.clone()),
                // A recorded series has the labels of what it is made of.
                None if rules.contains(&format!("record: {name}\n"))
                    || rules.contains(&format!("record: \"{name}\"\n")) =>
                {
                    labels.extend(metrics["postfixDelayDeliveries"].clone());
                }
                None => complaints.push(format!("no metric {name}: {expression}")),
            }
        }
        let in_texts = texts
            .iter()
            .flat_map(|text| text.split("{{").skip(1))
            .map(|part| part.split("}}").next().unwrap_or_default().trim().trim_start_matches("$labels.").to_owned());
        let used = words.iter().filter(|(_, label)| *label).map(|(word, _)| word.clone());
        for label in used.chain(in_texts.filter(|text| text.starts_with("postfix"))) {
            if !labels.contains(&label) {
                complaints.push(format!("no label {label}: {expression}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// No panel lies over another, no identifier is used twice.
#[test]
fn the_dashboard_has_room_for_its_panels() {
    let board: Json = serde_json::from_str(&file("grafana/postfix.json")).expect("JSON");
    let (mut cells, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in board["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64()), "{}", panel["title"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a number"));
        assert!(x + w <= 24, "{}", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{} lies over another panel", panel["title"]);
        }
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
