//! postfix-agentx.yaml(5): the keys are the fields of the configuration's structs, read from their source with their
//! documentation; the values are those of the shipped file, which a test holds to be the defaults.

use super::{NAME, example, references, source, words};
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::Value;
use std::{collections::BTreeMap, io};

const SOURCES: [&str; 3] =
    [include_str!("../../config.rs"), include_str!("../../config/probe.rs"), include_str!("../../config/pattern.rs")];
const SHIPPED: &str = include_str!("../../../packaging/postfix-agentx.yaml");
const DESCRIPTION: [&str; 3] = [
    "The configuration of postfix-agentx(8), in YAML. Everything in it is optional: what stands behind a key is its default, or an example where there is none. What is unknown or wrong is refused with file, line and column; `postfix-agentx check` says whether it works.",
    "Times are written `500ms`, `30s`, `5m`, `1h`. SIGHUP (`systemctl reload postfix-agentx`) takes a changed file over without a gap in the counts; `agentx`, `state_directory`, `standard_mibs` and `librenms` need a restart.",
    "Without `--config` it is /etc/postfix-agentx/config.yaml.",
];

/// A field of a struct.
struct Field {
    name: &'static str,
    kind: &'static str,
    about: String,
}

/// The page.
pub(super) fn page() -> io::Result<Vec<u8>> {
    let mut roff = Roff::new();
    roff.control("TH", ["POSTFIX-AGENTX.YAML", "5", "", &source()]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{NAME}.yaml - configuration of {NAME}"))]);
    roff.control("SH", ["DESCRIPTION"]);
    for (number, text) in DESCRIPTION.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text(words(text));
    }
    roff.control("SH", ["KEYS"]);
    let structs = structs();
    let shown: Value = serde_yaml::from_str(&uncommented()).unwrap_or_default();
    keys(&mut roff, "Config", "", &structs, &shown);
    roff.control("SH", ["EXAMPLES"]);
    roff.text(words("The file as it is shipped: every key with its default, or an example where there is none."));
    example(&mut roff, &SHIPPED.lines().collect::<Vec<_>>());
    let pages = [(NAME, "8"), ("postfix-agentx-check", "8"), ("postfix-agentx-probe", "8"), ("snmpd.conf", "5")];
    references(&mut roff, &pages.map(|(page, section)| (page.to_owned(), section)));
    let mut out = Vec::new();
    roff.to_writer(&mut out)?;
    Ok(out)
}

/// The keys of one struct and of those below it, by their whole paths.
fn keys(roff: &mut Roff, name: &str, path: &str, structs: &BTreeMap<&str, Vec<Field>>, shown: &Value) {
    for field in structs.get(name).into_iter().flatten() {
        let key = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let list = field.kind.strip_prefix("Vec<").and_then(|kind| kind.strip_suffix('>'));
        let kind = list.unwrap_or(field.kind);
        let kind = kind.rsplit("::").next().unwrap_or(kind);
        // A list is shown by its first entry.
        let value = shown.get(field.name).unwrap_or(&Value::Null);
        let first = if list.is_some() { value.get(0).unwrap_or(&Value::Null) } else { value };
        roff.control("TP", []);
        let default = match value {
            _ if structs.contains_key(kind) => String::new(),
            Value::String(text) => format!(": {text}"),
            Value::Bool(_) | Value::Number(_) => format!(": {value}"),
            Value::Array(all) if all.is_empty() => ": []".to_owned(),
            _ => String::new(),
        };
        roff.text([bold(key.clone()), roman(default)]);
        roff.text(words(&field.about));
        let below = if list.is_some() { format!("{key}[]") } else { key };
        // What `try_from` makes of another form has its keys in docs/probes.md and in the example.
        if kind != "Probe" {
            keys(roff, kind, &below, structs, first);
        }
    }
}

/// The shipped file with every commented key switched on: prose has one space after the #, keys none or their indentation.
fn uncommented() -> String {
    let lines = SHIPPED.lines().filter(|line| !line.starts_with("# ") || line.starts_with("#  "));
    lines.map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n").collect()
}

/// Public structs with public fields, one a line, as rustfmt leaves them.
fn structs() -> BTreeMap<&'static str, Vec<Field>> {
    let mut found: BTreeMap<&str, Vec<Field>> = BTreeMap::new();
    for source in SOURCES {
        let (mut inside, mut about) = (None, Vec::new());
        for line in source.lines() {
            let text = line.trim();
            if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
                inside = Some(name);
            } else if line == "}" {
                inside = None;
            } else if let Some(words) = text.strip_prefix("/// ") {
                about.push(words);
                continue;
            } else if text.starts_with("#[") {
                continue;
            } else if let (Some(name), Some((field, kind))) = (inside, field(text)) {
                let field = Field { name: field, kind, about: about.join(" ") };
                found.entry(name).or_default().push(field);
            }
            about.clear();
        }
    }
    found
}

/// `pub name: Kind,`
fn field(line: &'static str) -> Option<(&'static str, &'static str)> {
    line.strip_prefix("pub ")?.strip_suffix(',')?.split_once(": ")
}
