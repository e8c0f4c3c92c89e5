//! The names of POSTFIX-MIB, from its own text: the program needs no MIB installed to say what an OID is, what a number
//! means and in which unit it is.
//!
//! The text is the file of mibs/, compiled in. Only what that file uses of SMIv2 is understood (tests/mib.rs reads it
//! independently and compares it with the tables); tables of other modules are known by their columns' names alone.

use super::{AnyTable, Syntax};
use crate::smi::{Oid, Value};
use std::{collections::BTreeMap, fmt::Write as _};

/// mibs/POSTFIX-MIB.txt.
pub const POSTFIX_MIB_TEXT: &str = include_str!("../../mibs/POSTFIX-MIB.txt");
/// mibs/POSTFIX-AGENTCAPS-MIB.txt.
pub const AGENTCAPS_MIB_TEXT: &str = include_str!("../../mibs/POSTFIX-AGENTCAPS-MIB.txt");
/// Where both say that POSTFIX-MIB is: { netSnmpPlaypen 25 }.
pub const ROOT: [u32; 10] = [1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 25];

/// A scalar or a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its descriptor.
    pub name: &'static str,
    /// The table it is a column of, or the node it stands below.
    pub table: &'static str,
    /// SYNTAX without its size and enumeration.
    pub syntax: &'static str,
    /// What the numbers of an enumeration are called.
    pub labels: Vec<(i32, &'static str)>,
    /// The descriptors of its INDEX; none for a scalar.
    pub index: Vec<&'static str>,
    /// UNITS.
    pub units: Option<&'static str>,
    /// The first sentence of its DESCRIPTION.
    pub about: String,
}

impl Object {
    /// What this number is called.
    pub fn label(&self, number: i32) -> Option<&'static str> {
        self.labels.iter().find(|(n, _)| *n == number).map(|(_, label)| *label)
    }

    /// As net-snmp's tools print it with the MIB loaded: `INTEGER: running(1)`, `Gauge32: 5 messages`.
    pub fn show(&self, value: &Value) -> String {
        let mut text = match value {
            Value::Integer(n) => match self.label(*n) {
                Some(label) => return format!("INTEGER: {label}({n})"),
                None => value.to_string(),
            },
            Value::OctetString(octets) => match self.syntax {
                "DateAndTime" => return format!("STRING: {}", date(octets)),
                _ => match std::str::from_utf8(octets) {
                    Ok(text) if !text.chars().any(char::is_control) => return format!("STRING: {text}"),
                    _ => return value.to_string(),
                },
            },
            Value::TimeTicks(_) => return value.to_string(),
            _ => value.to_string(),
        };
        if let Some(units) = self.units {
            let _ = write!(text, " {units}");
        }
        text
    }
}

/// DateAndTime (SNMPv2-TC) as its DISPLAY-HINT has it: `2026-11-22,9:05:00.0,+1:0`.
fn date(octets: &[u8]) -> String {
    let &[high, low, month, day, hour, minute, second, tenth, ref zone @ ..] = octets else {
        return Value::octets(octets).to_string();
    };
    let year = u16::from_be_bytes([high, low]);
    let mut text = format!("{year}-{month}-{day},{hour}:{minute:02}:{second:02}.{tenth}");
    if let &[direction, hours, minutes] = zone {
        let _ = write!(text, ",{}{hours}:{minutes}", char::from(direction));
    }
    text
}

/// All names below a root.
#[derive(Clone, Debug)]
pub struct Dictionary {
    root: Oid,
    /// By OID.
    objects: BTreeMap<Oid, Object>,
    names: BTreeMap<&'static str, Oid>,
    /// Every node of POSTFIX-MIB that is no object, groups of scalars and tables among them.
    nodes: BTreeMap<&'static str, Oid>,
}

impl Dictionary {
    /// POSTFIX-MIB at `root`, and what else `catalogue` has.
    pub fn new(root: &Oid, catalogue: &[&dyn AnyTable]) -> Self {
        let (nodes, objects) = read(POSTFIX_MIB_TEXT, root);
        let mut names: BTreeMap<&'static str, Oid> = objects.iter().map(|(oid, o)| (o.name, oid.clone())).collect();
        let (mut objects, mut nodes) = (objects, nodes);
        for table in catalogue {
            let entry = table.module().root(root).child(table.entry());
            nodes.entry(table.name()).or_insert_with(|| entry.clone());
            for column in table.columns() {
                let oid = entry.child(&[column.number]);
                names.entry(column.name).or_insert_with(|| oid.clone());
                let syntax = match column.syntax {
                    Syntax::Integer => "INTEGER",
                    Syntax::Counter32 => "Counter32",
                    Syntax::Counter64 => "Counter64",
                    Syntax::Gauge32 => "Gauge32",
                    Syntax::Unsigned32 => "Unsigned32",
                    Syntax::Text => "SnmpAdminString",
                    Syntax::DateAndTime => "DateAndTime",
                    Syntax::TimeTicks => "TimeTicks",
                    Syntax::ObjectId => "OBJECT IDENTIFIER",
                };
                let known = objects.entry(oid);
                known.or_insert_with(|| Object { name: column.name, table: table.name(), syntax, ..Object::default() });
            }
        }
        Self { root: root.clone(), objects, names, nodes }
    }

    /// Where POSTFIX-MIB is.
    pub fn root(&self) -> &Oid {
        &self.root
    }

    /// The object of this instance, and the index behind it.
    pub fn object<'a>(&self, oid: &'a Oid) -> Option<(&Object, &'a [u32])> {
        let (found, object) = self.objects.range(..=oid.clone()).next_back()?;
        Some((object, oid.strip_prefix(found.as_slice())?))
    }

    /// `postfixQueueMessages.1.deferred`; the number where there is no name.
    pub fn name(&self, oid: &Oid) -> String {
        let Some((object, index)) = self.object(oid) else { return oid.to_string() };
        let mut name = object.name.to_owned();
        for (position, number) in index.iter().enumerate() {
            let kind = object.index.get(position).and_then(|kind| self.by_name(kind));
            match kind.and_then(|kind| kind.label(i32::try_from(*number).ok()?)) {
                Some(label) => name.extend([".", label]),
                None => name.push_str(&format!(".{number}")),
            }
        }
        name
    }

    /// What is known of the object with this descriptor.
    pub fn by_name(&self, name: &str) -> Option<&Object> {
        self.objects.get(self.names.get(name)?)
    }

    /// The OID of an object with an index behind it.
    pub fn oid(&self, name: &str, index: &[u32]) -> Option<Oid> {
        Some(self.names.get(name)?.child(index))
    }

    /// Where everything below a table, a group of scalars, an object or a number is.
    pub fn node(&self, text: &str) -> Option<Oid> {
        let text = text.strip_prefix("POSTFIX-MIB::").unwrap_or(text);
        if text.starts_with('.') || text.starts_with(|c: char| c.is_ascii_digit()) {
            return text.parse().ok();
        }
        let (name, index) = text.split_once('.').map_or((text, None), |(name, index)| (name, Some(index)));
        let found = self.names.get(name).or_else(|| self.nodes.get(name))?;
        let Some(index) = index else { return Some(found.clone()) };
        let object = self.objects.get(found)?;
        let number = |(position, part): (usize, &str)| {
            part.parse().ok().or_else(|| {
                let kind = self.by_name(object.index.get(position)?)?;
                let (number, _) = kind.labels.iter().find(|(_, label)| *label == part)?;
                u32::try_from(*number).ok()
            })
        };
        let index = index.split('.').enumerate().map(number).collect::<Option<Vec<u32>>>()?;
        Some(found.child(&index))
    }

    /// What one may have meant by a name that is none.
    pub fn similar(&self, text: &str) -> Vec<&'static str> {
        let text = text.to_ascii_lowercase();
        let all = self.nodes.keys().chain(self.names.keys());
        all.copied().filter(|name| name.to_ascii_lowercase().contains(&text)).take(5).collect()
    }

    /// `NAME = TYPE: value`.
    pub fn show(&self, oid: &Oid, value: &Value) -> String {
        match self.object(oid) {
            Some((object, _)) => format!("{} = {}", self.name(oid), object.show(value)),
            None => format!("{oid} = {value}"),
        }
    }

    /// All objects in the order of the MIB.
    pub fn objects(&self) -> impl Iterator<Item = (&Oid, &Object)> {
        self.objects.iter()
    }
}

/// A token: a string without its quotation marks, a word, or a sign.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Text(&'static str),
    Word(&'static str),
}

fn tokens(mut rest: &'static str) -> Vec<Token> {
    let mut found = Vec::new();
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if c == '"' {
            let inner = &rest[1..];
            let end = inner.find('"').unwrap_or(inner.len());
            found.push(Token::Text(&inner[..end]));
            (end + 2).min(rest.len())
        } else if c.is_ascii_alphanumeric() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
            found.push(Token::Word(&rest[..end]));
            end
        } else {
            let end = if rest.starts_with("::=") { 3 } else { c.len_utf8() };
            if !c.is_whitespace() {
                found.push(Token::Word(&rest[..end]));
            }
            end
        };
        rest = &rest[length..];
    }
    found
}

type Nodes = BTreeMap<&'static str, Oid>;

/// All nodes of the module, and its objects that can be asked for.
fn read(text: &'static str, root: &Oid) -> (Nodes, BTreeMap<Oid, Object>) {
    let tokens = tokens(text);
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => *word,
        _ => "",
    };
    let mut nodes = Nodes::from([("netSnmpPlaypen", Oid::from(root.split_last().map_or(&[][..], |(_, up)| up)))]);
    let mut parents: BTreeMap<Oid, &'static str> = BTreeMap::new();
    let mut indices: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
    let mut objects = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        let name = word(at);
        let node = word(at + 1) == "OBJECT" && word(at + 2) == "IDENTIFIER";
        let kind = if node { "OBJECT IDENTIFIER" } else { word(at + 1) };
        at += 1;
        let macros = [
            "OBJECT IDENTIFIER",
            "OBJECT-TYPE",
            "MODULE-IDENTITY",
            "OBJECT-GROUP",
            "MODULE-COMPLIANCE",
            "NOTIFICATION-TYPE",
        ];
        // In IMPORTS and in the definition of a SEQUENCE macro names follow no name of ours.
        if !macros.contains(&kind) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        let Some(end) = (at..tokens.len()).find(|&n| word(n) == "::=" && word(n + 1) == "{") else { break };
        let body = tokens.get(at + 1..end).unwrap_or_default();
        let Some(parent) = nodes.get(word(end + 2)) else { continue };
        let arcs: Vec<u32> = (end + 3..).map_while(|n| word(n).parse().ok()).collect();
        // The module's own root is wherever it was configured to be.
        let oid = if kind == "MODULE-IDENTITY" { root.clone() } else { parent.child(&arcs) };
        let parent = word(end + 2);
        at = end;
        if kind == "OBJECT-TYPE"
            && let Some(object) = object(name, parent, body, &parents, &nodes)
        {
            objects.insert(oid, Object { index: indices.get(parent).cloned().unwrap_or_default(), ..object });
        } else {
            if let Some(begin) = body.iter().position(|token| *token == Token::Word("INDEX")) {
                let inside = body[begin..].iter().skip(2).take_while(|token| **token != Token::Word("}"));
                let word = |token: &Token| if let Token::Word(word) = token { Some(*word) } else { None };
                indices.insert(name, inside.filter_map(word).filter(|word| *word != ",").collect());
            }
            nodes.insert(name, oid.clone());
            parents.insert(oid, parent);
        }
    }
    nodes.remove("netSnmpPlaypen");
    (nodes, objects)
}

/// `None`: a table or its entry.
fn object(
    name: &'static str,
    parent: &'static str,
    body: &[Token],
    parents: &BTreeMap<Oid, &'static str>,
    nodes: &Nodes,
) -> Option<Object> {
    let after = |key: &'static str| body.iter().position(|token| *token == Token::Word(key)).map(|at| &body[at + 1..]);
    let syntax = after("SYNTAX")?;
    let Some(Token::Word(kind)) = syntax.first().copied() else { return None };
    if kind == "SEQUENCE" || kind.starts_with("Postfix") {
        return None;
    }
    let mut labels = Vec::new();
    if syntax.get(1) == Some(&Token::Word("{")) {
        let inside = syntax[2..].iter().take_while(|token| **token != Token::Word("}"));
        let words: Vec<&'static str> =
            inside.filter_map(|t| if let Token::Word(w) = t { Some(*w) } else { None }).collect();
        for pair in words.split(|word| *word == ",") {
            if let [label, "(", number, ")"] = pair
                && let Ok(number) = number.parse()
            {
                labels.push((number, *label));
            }
        }
    }
    let text = |key| match after(key)?.first() {
        Some(Token::Text(text)) => Some(*text),
        _ => None,
    };
    let about = text("DESCRIPTION").unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let about = about.find(". ").map_or(about.as_str(), |end| &about[..=end]).to_owned();
    let units = text("UNITS");
    // A column's parent is the entry, whose parent is the table.
    let table = nodes.get(parent).and_then(|oid| parents.get(oid)).filter(|_| parent.ends_with("Entry"));
    let table = table.copied().unwrap_or(parent);
    Some(Object { name, table, syntax: kind, labels, index: Vec::new(), units, about })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect;

    fn dictionary(root: &str) -> Dictionary {
        Dictionary::new(&root.parse().unwrap(), &collect::catalogue())
    }

    #[test]
    fn every_column_of_every_table_has_its_name_and_nothing_is_left_over() {
        let dictionary = dictionary("1.3.6.1.4.1.99999.7");
        let mut columns = 0;
        for table in collect::catalogue() {
            for column in table.columns() {
                let oid = table.module().root(dictionary.root()).child(table.entry()).child(&[column.number]);
                let (object, index) = dictionary.object(&oid).expect(column.name);
                assert_eq!((object.name, index.is_empty()), (column.name, true));
                // The texts of other modules are not ours to carry.
                assert!(!object.about.is_empty() || table.module().root.is_some(), "{} is not described", object.name);
                columns += 1;
            }
        }
        // Indices are not accessible and have names as well.
        assert!(dictionary.objects().count() >= columns, "{columns}");
        assert_eq!(Oid::from(ROOT).to_string(), crate::config::Config::default().agentx.root.to_string());
    }

    #[test]
    fn names_numbers_labels_and_units_are_told() {
        let dictionary = dictionary("1.3.9");
        let messages = dictionary.oid("postfixQueueMessages", &[1, 4]).unwrap();
        assert_eq!(messages.to_string(), ".1.3.9.1.4.1.1.3.1.4");
        assert_eq!(
            dictionary.show(&messages, &Value::Gauge32(3)),
            "postfixQueueMessages.1.deferred = Gauge32: 3 messages"
        );
        let state = dictionary.oid("postfixInstanceState", &[2]).unwrap();
        assert_eq!(dictionary.show(&state, &Value::Integer(2)), "postfixInstanceState.2 = INTEGER: stopped(2)");
        assert_eq!(dictionary.show(&state, &Value::Integer(77)), "postfixInstanceState.2 = INTEGER: 77");
        let since = dictionary.oid("postfixTotalCountersSince", &[0]).unwrap();
        let date = Value::octets([7, 234, 11, 22, 9, 5, 0, 0, b'+', 1, 0]);
        assert_eq!(dictionary.show(&since, &date), "postfixTotalCountersSince.0 = STRING: 2026-11-22,9:05:00.0,+1:0");
        assert!(dictionary.show(&since, &Value::octets([7])).contains("Hex-STRING"), "no date");
        let elsewhere: Oid = "1.3.6.1.2.1.1.1.0".parse().unwrap();
        assert_eq!(dictionary.show(&elsewhere, &Value::octets("x")), ".1.3.6.1.2.1.1.1.0 = STRING: \"x\"");
        let name = dictionary.oid("postfixInstanceName", &[1]).unwrap();
        assert_eq!(
            dictionary.show(&name, &Value::octets("m\u{fc}ller")),
            "postfixInstanceName.1 = STRING: m\u{fc}ller"
        );
        assert!(dictionary.show(&name, &Value::octets("a\x1b[2J")).contains("Hex-STRING"), "a terminal is not steered");
    }

    #[test]
    fn a_node_is_a_table_a_group_an_object_or_a_number() {
        let dictionary = dictionary("1.3.9");
        let node = |text: &str| dictionary.node(text).map(|oid| oid.to_string());
        assert_eq!(node("postfixQueueTable").as_deref(), Some(".1.3.9.1.4.1"));
        assert_eq!(node("POSTFIX-MIB::postfixQueueMessages.1").as_deref(), Some(".1.3.9.1.4.1.1.3.1"));
        assert_eq!(node("postfixQueueMessages.1.deferred").as_deref(), Some(".1.3.9.1.4.1.1.3.1.4"));
        assert_eq!(node("postfixQueueMessages.1.unheard-of"), None);
        assert_eq!(node("postfixTotals").as_deref(), Some(".1.3.9.1.2"));
        assert_eq!(node(".1.3.6").as_deref(), Some(".1.3.6"));
        assert_eq!(node("postfixNothing"), None);
        assert!(dictionary.similar("queuetable").contains(&"postfixQueueTable"));
        assert_eq!(
            dictionary.object(&dictionary.oid("postfixQueueMessages", &[]).unwrap()).unwrap().0.table,
            "postfixQueueTable"
        );
    }
}
