//! Prometheus and Grafana: every metric and label that a rule or panel names is one that snmp.yml makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Json, file, yaml};

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
