//! Zabbix: keys, triggers, graphs and macros of a template name each other, and each item asks for the object in its key.

use std::collections::{BTreeMap, BTreeSet};

use super::{Json, files, read, yaml};
use crate::common::ROOT;
use crate::mib::module;

const TEMPLATE: &str = "Postfix by SNMP";

fn text<'a>(value: &'a Json, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn list<'a>(value: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> {
    value[key].as_array().into_iter().flatten()
}

/// Everything below, with the keys it stands under.
fn every<'a>(value: &'a Json, visit: &mut impl FnMut(&str, &'a Json)) {
    match value {
        Json::Object(map) => map.iter().for_each(|(key, inner)| {
            visit(key, inner);
            every(inner, visit);
        }),
        Json::Array(items) => items.iter().for_each(|inner| every(inner, visit)),
        _ => {}
    }
}

/// The keys of items that an expression reads.
fn keys(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in expression.split(&format!("/{TEMPLATE}/")).skip(1) {
        let (mut depth, mut quoted) = (0_i32, false);
        let end = part.find(|c| {
            match c {
                '"' => quoted = !quoted,
                '[' if !quoted => depth += 1,
                ']' if !quoted => depth -= 1,
                _ => {}
            }
            depth == 0 && !quoted && matches!(c, ',' | ')')
        });
        found.push(part[..end.unwrap_or(part.len())].to_owned());
    }
    found
}

fn templates() -> Vec<(String, Json)> {
    let of = |path: &std::path::PathBuf| path.to_string_lossy().contains("integrations/zabbix/");
    let found: Vec<_> =
        files().into_iter().filter(of).map(|path| (path.display().to_string(), yaml(&read(&path), &path))).collect();
    assert_eq!(found.len(), 2);
    found
}

#[test]
fn what_triggers_graphs_and_dashboards_name_exists() {
    for (file, document) in templates() {
        let export = &document["zabbix_export"];
        let template = &export["templates"][0];
        let mut known: BTreeSet<&str> = list(template, "items").map(|item| text(item, "key")).collect();
        let mut names = Vec::new();
        for rule in list(template, "discovery_rules") {
            for item in list(rule, "item_prototypes") {
                let key = text(item, "key");
                assert!(known.insert(key), "{file}: {key} twice");
                assert!(key.contains("{#SNMPINDEX}"), "{file}: {key} is one for all rows");
                assert!(text(item, "name").contains("[{#NAME}]"), "{file}: {key}'s name is one for all rows");
                names.push(text(item, "name"));
            }
        }
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len(), "{file}: two items have one name");
        let (mut triggers, mut graphs) = (BTreeMap::new(), BTreeSet::new());
        let (mut expressions, mut used, mut uuids) = (0, BTreeSet::new(), BTreeSet::new());
        every(export, &mut |key, value| match key {
            "expression" | "recovery_expression" => {
                for name in keys(value.as_str().expect("a text")) {
                    assert!(known.contains(name.as_str()), "{file}: no item {name}");
                }
                expressions += 1;
            }
            "triggers" | "trigger_prototypes" => {
                for trigger in value.as_array().expect("triggers") {
                    triggers.insert(text(trigger, "name"), text(trigger, "expression"));
                }
            }
            "graphs" | "graph_prototypes" => {
                graphs.extend(value.as_array().expect("graphs").iter().map(|graph| text(graph, "name")));
            }
            "uuid" => assert!(uuids.insert(value.to_string()), "{file}: {value} twice"),
            _ => {}
        });
        every(export, &mut |key, value| match key {
            "dependencies" => {
                for other in value.as_array().expect("triggers") {
                    assert_eq!(triggers.get(text(other, "name")), Some(&text(other, "expression")), "{file}");
                }
            }
            "item" => assert!(known.contains(text(value, "key")), "{file}: no item {value}"),
            "value" if value["host"].is_string() => match value["key"].as_str() {
                Some(key) => assert!(known.contains(key), "{file}: no item {key}"),
                None => assert!(graphs.contains(text(value, "name")), "{file}: no graph {value}"),
            },
            _ if value.is_string() && key != "macro" => {
                let value = value.as_str().expect("a text");
                used.extend(value.split("{$").skip(1).map(|part| part.split([':', '}']).next().unwrap_or_default()));
            }
            _ => {}
        });
        assert!(expressions > 30, "{file}: {expressions}");
        let macros: BTreeSet<&str> = list(template, "macros")
            .map(|entry| text(entry, "macro").trim_start_matches("{$").split([':', '}']).next().unwrap_or_default())
            .collect();
        assert_eq!(used, macros, "{file}: macros that are used, and those that are set");
    }
}

#[test]
fn every_item_asks_for_the_object_in_its_key() {
    let module = module();
    for (file, document) in templates() {
        let template = &document["zabbix_export"]["templates"][0];
        let prototypes = list(template, "discovery_rules").flat_map(|rule| list(rule, "item_prototypes"));
        let mut seen = 0;
        for item in list(template, "items").chain(prototypes) {
            let key = text(item, "key");
            let Some((name, index)) = key.split_once("[postfix").and_then(|(_, rest)| rest.split_once('.')) else {
                continue;
            };
            let object = &module.objects[&format!("postfix{name}")];
            let oid = object.oid.iter().fold(ROOT.to_owned(), |oid, part| format!("{oid}.{part}"));
            let asked = item["snmp_oid"].as_str().or_else(|| item["preprocessing"][0]["parameters"][0].as_str());
            assert_eq!(asked, Some(format!("{oid}.{}", index.trim_end_matches(']')).as_str()), "{file}: {key}");
            // A counter as it is: only where the trigger wants a step.
            let rate = item["preprocessing"].to_string().contains("CHANGE_PER_SECOND");
            let level = ["Discontinuities", "Gaps"].iter().any(|end| name.ends_with(end));
            assert_eq!(rate, object.syntax.starts_with("Counter") && !level, "{file}: {key}");
            seen += 1;
        }
        assert!(seen > 80, "{file}: {seen}");
    }
}
