//! The promise: mibs/POSTFIX-MIB.txt is what the code serves. Names, numbers, SYNTAX and MAX-ACCESS are compared in both
//! directions, so that an object can be in neither alone.

use crate::common;
use postfix_agentx::{
    collect,
    mib::{AnyTable, Syntax},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

const MIB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mibs/POSTFIX-MIB.txt");

/// One OBJECT-TYPE of the file.
#[derive(Debug)]
pub(crate) struct Object {
    pub syntax: String,
    pub access: String,
    pub oid: Vec<u32>,
    pub index: Vec<String>,
    has_units: bool,
    description: String,
}

#[derive(Debug, Default)]
pub(crate) struct Module {
    pub nodes: BTreeMap<String, Vec<u32>>,
    pub objects: BTreeMap<String, Object>,
}

/// The tokens of SMIv2: strings whole, comments gone.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("--") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if c == '"' {
            let end = rest[1..].find('"').expect("a string ends") + 2;
            tokens.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else if c.is_ascii_alphanumeric() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else {
            let length = if rest.starts_with("::=") { 3 } else { c.len_utf8() };
            if !c.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            rest = &rest[length..];
        }
    }
    tokens
}

/// `{ parent 1 2 }` at `at`, below postfixMIB.
fn assigned(module: &Module, tokens: &[String], at: usize) -> Vec<u32> {
    let mut oid = module.nodes[&tokens[at + 1]].clone();
    oid.extend(tokens[at + 2..].iter().take_while(|t| *t != "}").map(|t| t.parse::<u32>().expect("a number")));
    oid
}

/// A module's objects by their place below its node `root`.
pub(crate) fn parse(text: &str, root: &str) -> Module {
    let tokens = tokens(text);
    let mut module = Module::default();
    module.nodes.insert(root.into(), Vec::new());
    let position = |from: usize, word: &str| tokens[from..].iter().position(|t| t == word).map(|p| p + from);
    let imports_end = position(0, ";").expect("IMPORTS end");
    for at in imports_end..tokens.len() {
        let name = &tokens[at];
        match tokens.get(at + 1).map(String::as_str) {
            Some("OBJECT") if tokens[at + 2] == "IDENTIFIER" && tokens[at + 3] == "::=" => {
                let oid = assigned(&module, &tokens, at + 4);
                module.nodes.insert(name.clone(), oid);
            }
            Some("OBJECT-TYPE") => {
                let end = position(at, "::=").expect("an assignment");
                let clause = |word: &str| position(at, word).filter(|p| *p < end);
                let access = clause("MAX-ACCESS").expect("MAX-ACCESS");
                let units = clause("UNITS");
                let syntax = tokens[at + 3..units.unwrap_or(access).min(access)].join(" ");
                let index = clause("INDEX").map_or(Vec::new(), |p| {
                    tokens[p + 2..].iter().take_while(|t| *t != "}").filter(|t| *t != ",").cloned().collect()
                });
                let oid = assigned(&module, &tokens, end + 1);
                module.nodes.insert(name.clone(), oid.clone());
                let object = Object {
                    syntax,
                    access: tokens[access + 1].clone(),
                    oid,
                    index,
                    has_units: units.is_some(),
                    description: tokens[clause("DESCRIPTION").expect("DESCRIPTION") + 1].clone(),
                };
                assert!(module.objects.insert(name.clone(), object).is_none(), "{name} is defined twice");
            }
            _ => {}
        }
    }
    module
}

pub(crate) fn module() -> Module {
    parse(&fs::read_to_string(MIB).expect("the MIB file"), "postfixMIB")
}

/// Whether the file's SYNTAX is what the getter serves.
fn fits(file: &str, code: Syntax) -> bool {
    let base = file.split([' ', '(']).next().unwrap_or_default();
    match code {
        Syntax::Integer => matches!(base, "INTEGER" | "Integer32"),
        Syntax::Counter32 => base == "Counter32",
        Syntax::Counter64 => base == "Counter64",
        Syntax::Gauge32 => base == "Gauge32",
        Syntax::Unsigned32 => base == "Unsigned32",
        Syntax::Text => base == "SnmpAdminString",
        Syntax::DateAndTime => base == "DateAndTime",
        Syntax::TimeTicks => base == "TimeTicks",
        Syntax::ObjectId => file == "OBJECT IDENTIFIER",
    }
}

/// The tables of POSTFIX-MIB.
fn catalogue() -> Vec<&'static dyn AnyTable> {
    collect::catalogue().into_iter().filter(|table| table.module().name == "POSTFIX-MIB").collect()
}

/// Name, OID below the root and SYNTAX of everything the code serves.
fn served() -> Vec<(String, Vec<u32>, Syntax)> {
    catalogue()
        .iter()
        .flat_map(|table| {
            table.columns().into_iter().map(|c| {
                let oid = [table.entry(), &[c.number]].concat();
                (c.name.to_owned(), oid, c.syntax)
            })
        })
        .collect()
}

#[test]
fn every_object_the_code_serves_stands_in_the_file() {
    let module = module();
    let mut wrong = Vec::new();
    for (name, oid, syntax) in served() {
        match module.objects.get(&name) {
            None => wrong.push(format!("{name} is not in the MIB file")),
            Some(o) if o.oid != oid => wrong.push(format!("{name}: file {:?}, code {oid:?}", o.oid)),
            Some(o) if o.access != "read-only" => wrong.push(format!("{name}: MAX-ACCESS {}", o.access)),
            Some(o) if !fits(&o.syntax, syntax) => {
                wrong.push(format!("{name}: file {}, code {syntax:?}", o.syntax));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_readable_object_of_the_file_is_served() {
    let served: BTreeSet<String> = served().into_iter().map(|(name, ..)| name).collect();
    let module = module();
    let missing: Vec<_> = module
        .objects
        .iter()
        .filter(|(name, o)| o.access != "not-accessible" && !served.contains(*name))
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "in the file only: {missing:?}");
}

#[test]
fn tables_and_nodes_have_the_names_and_places_of_the_file() {
    let module = module();
    for table in catalogue() {
        let file = &module.nodes[table.name()];
        match module.objects.get(table.name()) {
            Some(_) => {
                assert_eq!([file, &[1][..]].concat(), table.entry(), "{}", table.name());
                let entry = module
                    .objects
                    .values()
                    .find(|o| o.oid == table.entry() && !o.index.is_empty())
                    .unwrap_or_else(|| panic!("{} has no entry", table.name()));
                let columns = table.columns();
                // Its own index columns come first and are not accessible; what is accessible follows without a hole.
                let own =
                    entry.index.iter().filter(|i| module.objects[*i].oid.starts_with(table.entry())).count() as u32;
                let numbers: Vec<u32> = columns.iter().map(|c| c.number).collect();
                let expected: Vec<u32> = (own + 1..).take(columns.len()).collect();
                assert_eq!(numbers, expected, "{}", table.name());
            }
            None => assert_eq!(file, table.entry(), "{}", table.name()),
        }
    }
}

/// The enumeration of postfixSourceKind is the kinds that collectors register, number and label.
#[test]
fn the_kinds_of_sources_are_those_of_the_file() {
    let syntax = module().objects["postfixSourceKind"].syntax.clone();
    let labels = syntax.split(['{', '}']).nth(1).expect("an enumeration").split(',');
    let file: BTreeSet<String> = labels.map(|label| label.split_whitespace().collect()).collect();
    let code = collect::kinds().chain(collect::host_kinds()).map(|kind| format!("{}({})", kind.label(), kind as u32));
    assert_eq!(file, code.collect());
}

#[test]
fn no_entry_is_a_prefix_of_another() {
    let catalogue = catalogue();
    for a in &catalogue {
        for b in &catalogue {
            assert!(a.name() == b.name() || !b.entry().starts_with(a.entry()), "{} and {}", a.name(), b.name());
        }
    }
}

#[test]
fn levels_and_counters_state_their_units() {
    // A process id, a priority or a reply code has none; an alarm's are those of what it watches.
    let unitless = ["Pid", "ReplyCode", "AlarmValue", "AlarmRaise", "AlarmClear"];
    let module = module();
    let missing: Vec<_> = module
        .objects
        .iter()
        .filter(|(name, o)| {
            (o.syntax.starts_with("Gauge32") || o.syntax.starts_with("Counter"))
                && !o.has_units
                && !unitless.iter().any(|u| name.ends_with(u))
        })
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "without UNITS: {missing:?}");
}

#[test]
fn the_first_sentence_of_each_description_stands_alone() {
    for (name, object) in &module().objects {
        let first = object.description.trim_matches('"').split(". ").next().unwrap_or_default();
        assert!(first.split_whitespace().count() >= 2, "{name}: {first:?} becomes a help text");
    }
}

#[test]
fn the_capabilities_include_every_group_of_the_module() {
    let caps = concat!(env!("CARGO_MANIFEST_DIR"), "/mibs/POSTFIX-AGENTCAPS-MIB.txt");
    let caps = tokens(&fs::read_to_string(caps).expect("the capabilities"));
    let at = caps.iter().position(|t| t == "INCLUDES").expect("INCLUDES") + 2;
    let included: BTreeSet<&str> =
        caps[at..].iter().take_while(|t| *t != "}").filter(|t| *t != ",").map(String::as_str).collect();
    let mib = tokens(&fs::read_to_string(MIB).expect("the MIB file"));
    let kinds = ["OBJECT-GROUP", "NOTIFICATION-GROUP"];
    let groups: BTreeSet<&str> =
        mib.windows(2).filter(|w| kinds.contains(&w[1].as_str()) && w[0] != ",").map(|w| w[0].as_str()).collect();
    assert_eq!(included, groups);
}

#[test]
fn the_document_shows_every_table() {
    let document = fs::read_to_string(common::repository().join("docs/mib.md")).expect("docs/mib.md");
    let tables = catalogue().into_iter().map(|t| t.name()).filter(|name| name.ends_with("Table"));
    let missing: Vec<_> = tables.filter(|name| !document.contains(&format!("**{name}**"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // What it shows exists: no example outlives its object.
    let shown = document.lines().filter_map(|l| l.split_once(" = ")?.0.split_once('.')).map(|(name, _)| name);
    let served: BTreeSet<String> = served().into_iter().map(|(name, ..)| name).collect();
    let gone: Vec<_> = shown.filter(|name| name.starts_with("postfix") && !served.contains(*name)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

/// Objects and where they stand, for the reader of a failing comparison.
#[test]
fn the_parser_sees_a_difference() {
    let text = fs::read_to_string(MIB).expect("the MIB file");
    let changed = text.replace("::= { postfixHealthObjects 3 }", "::= { postfixHealthObjects 33 }");
    let table: &dyn AnyTable =
        collect::catalogue().into_iter().find(|t| t.name() == "postfixHealthObjects").expect("it");
    let code = [table.entry(), &[3]].concat();
    assert_eq!(parse(&text, "postfixMIB").objects["postfixSourcesFailing"].oid, code);
    assert_ne!(parse(&changed, "postfixMIB").objects["postfixSourcesFailing"].oid, code);
}

/// The modules in mibs/, by their files' names.
fn files() -> Vec<String> {
    let entries = fs::read_dir(common::repository().join("mibs")).expect("mibs/");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".txt").map(str::to_owned)).collect();
    names.sort();
    assert!(names.len() >= 2, "{names:?}");
    names
}

/// A file with readable objects is a module that tables of the code name, and is called like the module it defines.
#[test]
fn every_file_with_objects_is_a_module_the_code_serves() {
    let code: BTreeSet<&str> = collect::catalogue().iter().map(|table| table.module().name).collect();
    for file in files() {
        let text = fs::read_to_string(common::repository().join(format!("mibs/{file}.txt"))).expect("the file");
        assert_eq!(tokens(&text)[..2], [file.clone(), "DEFINITIONS".into()], "{file}");
        let readable = tokens(&text).windows(2).any(|w| w == ["MAX-ACCESS", "read-only"]);
        assert_eq!(readable, code.contains(file.as_str()), "{file}");
    }
}

/// smilint's word, at its strictest, on every module.
#[test]
fn smilint_is_silent() {
    for module in files() {
        let file = common::repository().join(format!("mibs/{module}.txt"));
        let out = common::capture(
            common::tool("smilint").args(["-m", "-s", "-l", "6"]).arg(file).env("SMIPATH", common::mib_path()),
        );
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""), "{module}");
    }
    // It would have something to say about a module that is wrong.
    let broken = tempfile::Builder::new().suffix(".txt").tempfile().expect("a file");
    let text = fs::read_to_string(MIB).expect("the MIB file").replace("MAX-ACCESS  read-only", "MAX-ACCESS  read-onl");
    fs::write(broken.path(), text).expect("written");
    let out = common::capture(common::tool("smilint").arg(broken.path()).env("SMIPATH", common::mib_path()));
    assert!(!out.stdout.is_empty() || !out.stderr.is_empty());
}

/// net-snmp's own parser reads it too.
#[test]
fn snmptranslate_knows_every_object_by_name() {
    let out = common::capture(
        common::tool("snmptranslate").args(["-M", &common::mib_path(), "-m", "POSTFIX-MIB", "-To"]).env_remove("MIBS"),
    );
    let known: BTreeSet<&str> = out.stdout.lines().collect();
    for (name, below, _) in served() {
        let oid = below.iter().fold(format!(".{}", common::ROOT), |oid, subid| format!("{oid}.{subid}"));
        assert!(known.contains(oid.as_str()), "{name} = {oid}\n{}", out.stderr);
    }
}
