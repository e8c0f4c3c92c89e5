//! What the managers' own parsers want: well-formed XML, rows of one length, names that are used once, and functions that work
//! on the rows of two instances.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{files, read};
use crate::common::{ROOT, TestAgent, TestPostfix, TestSnmpd, UdpClient, Value, capture, repository, tool};
use crate::mib::module;

fn below(folder: &str) -> Vec<(PathBuf, String)> {
    let directory = repository().join("integrations").join(folder);
    let found: Vec<_> = files()
        .into_iter()
        .filter(|path| path.starts_with(&directory))
        .map(|path| (path.clone(), read(&path)))
        .collect();
    assert!(!found.is_empty(), "nothing in {folder}");
    found
}

/// The values of `name="…"` in a text.
fn attributes<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.split(&format!(" {name}=\"")).skip(1).map(|part| part.split('"').next().unwrap_or_default()).collect()
}

fn unique<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> usize {
    let mut seen = BTreeSet::new();
    for name in names {
        assert!(seen.insert(name), "{what}: {name} is there twice");
    }
    seen.len()
}

/// Every element that is opened is closed, in order.
fn well_formed(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at + 1..];
        if let Some(comment) = tag.strip_prefix("!--") {
            rest = &comment[comment.find("-->").ok_or("a comment that does not end")?..];
            continue;
        }
        let end = tag.find('>').ok_or("a tag that does not end")?;
        let (tag, after) = (&tag[..end], &tag[end..]);
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
        if tag.starts_with('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("{name} closes {last:?}"));
            }
        } else if !tag.starts_with('?') && !tag.ends_with('/') {
            open.push(name);
        }
        rest = after;
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
}

#[test]
fn xml_is_well_formed() {
    let mut seen = 0;
    for path in files().iter().filter(|path| path.extension().is_some_and(|end| end == "xml" || end == "ovl")) {
        well_formed(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
    assert!(well_formed("<a><b></a></b>").is_err() && well_formed("<a><!-- < --><b/></a>").is_ok());
}

#[test]
fn names_that_managers_store_by_are_used_once() {
    let opennms: String = below("opennms").into_iter().map(|(_, text)| text).collect();
    let aliases: Vec<&str> = attributes(&opennms, "alias");
    let numbers = || aliases.iter().copied().filter(|alias| alias.starts_with("pf"));
    assert!(unique("OpenNMS' aliases", numbers()) > 60);
    assert!(numbers().all(|alias| alias.len() <= 19), "RRDtool takes 19 characters");
    // A threshold is on something that is collected.
    for name in attributes(&opennms, "ds-name") {
        assert!(numbers().any(|alias| alias == name), "no alias {name}");
    }
    let words = |text: &str, begin: &str, end: char| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(begin));
        lines.filter_map(|rest| rest.split(end).next().map(str::to_owned)).collect()
    };
    for (folder, begin, end, least) in [
        ("collectd", "<Data \"", '"', 30),
        ("mrtg", "Target[", ']', 5),
        ("telegraf", "oid = \"", '"', 80),
        ("munin", "{ name => '", '\'', 4),
    ] {
        for (path, text) in below(folder) {
            // A row's name belongs to several tables' fields only as a tag of its own table.
            let names = words(&text, begin, end);
            let count = unique(&path.display().to_string(), names.iter().map(String::as_str));
            assert!(count >= least, "{}: {count} of {begin}", path.display());
        }
    }
    for (path, text) in below("librenms") {
        let sensors = words(&text, "num_oid: \".", '"');
        assert!(unique(&path.display().to_string(), sensors.iter().map(String::as_str)) > 10);
        assert_eq!(text.matches("-OteQUsb").count(), sensors.len(), "the flag b, at each sensor");
    }
}

/// A data query takes the index from the end of the OID: as many numbers as the table has.
#[test]
fn cactis_queries_cut_the_index_where_it_begins() {
    let module = module();
    for (path, text) in below("cacti") {
        let table = text.split("<description>").nth(1).and_then(|rest| rest.split(' ').next()).expect("a table");
        let entry = &module.objects[&table.replace("Table", "Entry")];
        let pattern =
            text.split("<oid_index_parse>").nth(1).and_then(|rest| rest.split('<').next()).expect("a pattern");
        assert_eq!(pattern.matches("[0-9]+").count(), entry.index.len(), "{}", path.display());
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("    <")?.strip_suffix('>'))
            .filter(|tag| !tag.starts_with('/'))
            .collect();
        assert!(unique(&path.display().to_string(), names) > 2);
    }
}

#[test]
fn rows_of_lists_have_as_many_fields_as_their_head() {
    let mut seen = 0;
    for path in files().iter().filter(|path| path.extension().is_some_and(|end| end == "csv")) {
        let text = read(path);
        let fields = |line: &str| {
            let mut quoted = false;
            line.chars()
                .filter(|c| {
                    quoted ^= *c == '"';
                    *c == ',' && !quoted
                })
                .count()
        };
        let head = fields(text.lines().next().expect("a head"));
        for line in text.lines() {
            assert_eq!(fields(line), head, "{}: {line}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

fn walk(udp: &mut UdpClient) -> String {
    let shown = |value: &Value| value.text().or_else(|| value.number().map(|n| n.to_string())).unwrap_or_default();
    let rows = udp.walk(ROOT).expect("a walk");
    // A DateAndTime is octets, any of which may be a line's end.
    let plain = |text: String| text.replace(|c: char| c.is_control(), " ");
    rows.iter().map(|(oid, value)| format!("{oid}\t{}\n", plain(shown(value)))).collect()
}

/// Checkmk's plug-in, with stand-ins for Checkmk's own classes: every service of both instances, and what a fault makes of them.
#[test]
fn checkmks_functions_judge_the_rows_of_two_instances() {
    let snmpd = TestSnmpd::start();
    let (one, two) = (TestPostfix::builder().start(), TestPostfix::builder().name("postfix-out").start());
    let mut agent = TestAgent::start_for(&snmpd, &[&one, &two]);
    agent.wait_healthy(&snmpd, 1);
    agent.wait_healthy(&snmpd, 2);
    let rows = snmpd.sandbox().write("walk", &walk(&mut snmpd.udp()));
    let script = repository().join("tests/integrations/checkmk.py");
    let plugin = repository().join("integrations/checkmk/postfix_agentx.py");
    let mut command = tool("python3");
    capture(command.arg("-B").arg(script).arg(plugin).arg(rows)).success();
}
