//! The promise: what is served of NETWORK-SERVICES-MIB and MTA-MIB has the names, numbers and SYNTAX of the RFCs, and
//! POSTFIX-AGENTCAPS-MIB says exactly what is missing of their groups.

use crate::{
    common,
    mib::{Module, parse, tokens},
};
use postfix_agentx::{collect, mib::Syntax};
use std::{collections::BTreeSet, fs};

/// Both modules, and the node each defines.
const MODULES: [(&str, &str); 2] = [("NETWORK-SERVICES-MIB", "application"), ("MTA-MIB", "mta")];

fn text(path: &str) -> String {
    fs::read_to_string(common::repository().join(path)).expect(path)
}

fn module(name: &str, root: &str) -> Module {
    parse(&text(&format!("tests/mibs/{name}.txt")), root)
}

/// The textual conventions of RFC 2579, RFC 2788 and RFC 3411 that these modules use, as what is served.
fn fits(file: &str, code: Syntax) -> bool {
    let base = file.split([' ', '(']).next().unwrap_or_default();
    match code {
        Syntax::Integer => matches!(base, "INTEGER" | "TimeInterval"),
        Syntax::Counter32 => base == "Counter32",
        Syntax::Gauge32 => base == "Gauge32",
        Syntax::Text => matches!(base, "SnmpAdminString" | "DistinguishedName" | "URLString"),
        Syntax::TimeTicks => base == "TimeStamp",
        Syntax::ObjectId => file == "OBJECT IDENTIFIER",
        Syntax::Counter64 | Syntax::Unsigned32 | Syntax::DateAndTime => false,
    }
}

/// Names of the columns that are served.
fn served(module: &str) -> BTreeSet<&'static str> {
    let tables = collect::catalogue().into_iter().filter(|table| table.module().name == module);
    tables.flat_map(|table| table.columns()).map(|column| column.name).collect()
}

#[test]
fn every_column_is_the_one_of_the_rfc() {
    for (name, root) in MODULES {
        let file = module(name, root);
        for table in collect::catalogue().into_iter().filter(|table| table.module().name == name) {
            assert_eq!([&file.objects[table.name()].oid[..], &[1]].concat(), table.entry(), "{}", table.name());
            for column in table.columns() {
                let object = &file.objects[column.name];
                assert_eq!(object.oid, [table.entry(), &[column.number]].concat(), "{}", column.name);
                assert!(fits(&object.syntax, column.syntax), "{}: {} {:?}", column.name, object.syntax, column.syntax);
                assert_eq!(object.access, "read-only", "{}", column.name);
            }
        }
    }
}

#[test]
fn the_capabilities_say_what_is_missing_of_the_groups_and_nothing_else() {
    let caps = tokens(&text("mibs/POSTFIX-AGENTCAPS-MIB.txt"));
    for (name, _) in MODULES {
        let supports = caps.windows(2).position(|w| w[0] == "SUPPORTS" && w[1] == name).expect(name);
        let rest = &caps[supports + 2..];
        let ours = &rest[..rest.iter().position(|t| t == "SUPPORTS" || t == "::=").expect("an end")];
        let listed = |tokens: &[String]| -> BTreeSet<String> {
            tokens.iter().take_while(|t| *t != "}").filter(|t| *t != ",").cloned().collect()
        };
        let file = tokens(&text(&format!("tests/mibs/{name}.txt")));
        let objects: BTreeSet<String> = listed(&ours[2..])
            .iter()
            .flat_map(|group| {
                let at = file.windows(2).position(|w| w[0] == *group && w[1] == "OBJECT-GROUP").expect(group);
                listed(&file[at + 4..])
            })
            .collect();
        let varied: BTreeSet<String> = ours.windows(2).filter(|w| w[0] == "VARIATION").map(|w| w[1].clone()).collect();
        let missing: BTreeSet<String> =
            objects.iter().filter(|object| !served(name).contains(object.as_str())).cloned().collect();
        assert!(objects.len() > 10 && served(name).iter().all(|object| objects.contains(*object)), "{name}");
        assert_eq!(varied, missing, "{name}");
        assert_eq!(ours.iter().filter(|t| *t == "not-implemented").count(), varied.len());
    }
}

#[test]
fn the_document_names_every_object_of_both_modules() {
    let document = text("docs/standard-mibs.md");
    for (name, root) in MODULES {
        let readable = module(name, root).objects.into_iter().filter(|(_, object)| object.access == "read-only");
        let missing: Vec<_> = readable.map(|(name, _)| name).filter(|object| !document.contains(object)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}
