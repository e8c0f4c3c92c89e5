//! Where in the text something stands that is wrong together with something else: the text is read once more, as a tree of
//! places.

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess},
};
use serde_yaml::Spanned;
use std::fmt;

/// One step on the way to a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// The value of a key.
    Key(&'a str),
    /// An entry of a list, the first is 0.
    Entry(usize),
}

/// Where the value at the end of the way stands, or the last one before it that is there: line and column, from 1 on.
pub(super) fn of(text: &str, way: &[Step<'_>]) -> Option<(u64, u64)> {
    let root: Spanned<Node> = serde_yaml::from_str(text).ok()?;
    let mut node = &root;
    for step in way {
        let next = match (&node.value, step) {
            (Node::Map(keys), Step::Key(wanted)) => keys.iter().find(|(key, _)| key == wanted).map(|(_, value)| value),
            (Node::List(entries), Step::Entry(number)) => entries.get(*number),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
    }
    Some((node.referenced.line(), node.referenced.column()))
}

#[derive(Debug)]
enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_str<E>(self, _: &str) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(Node::List(entries))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = map.next_key::<Option<String>>()? {
                    match key {
                        Some(key) => keys.push((key, map.next_value()?)),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Node::Map(keys))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_every_form() {
        let text = "a: 1\nlist:\n- x: { y: [1, 2] }\n- name: 'b'\n  far: ~\nz: &anchor [true, 1.5]\nw: *anchor\n";
        let at = |way: &[Step<'_>]| of(text, way);
        assert_eq!(at(&[Step::Key("a")]), Some((1, 4)));
        assert_eq!(at(&[Step::Key("list"), Step::Entry(1), Step::Key("name")]), Some((4, 9)));
        assert_eq!(
            at(&[Step::Key("list"), Step::Entry(0), Step::Key("x"), Step::Key("y"), Step::Entry(1)]),
            Some((3, 15))
        );
        // What is not there is where it would be.
        assert_eq!(at(&[Step::Key("list"), Step::Entry(1), Step::Key("none")]), Some((4, 3)));
        assert_eq!(at(&[Step::Key("w"), Step::Entry(0)]).map(|(line, _)| line), Some(7));
        assert_eq!(of("[", &[]), None);
    }
}
