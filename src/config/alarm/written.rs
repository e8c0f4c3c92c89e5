//! `alarms:` as it is written: a word, or a list of thresholds that may begin with `default`.

use super::{Alarm, Alarms, Condition, Operator, Severity, condition::number, dictionary};
use crate::config::parse_duration;
use serde::{Deserialize, Deserializer, de};
use std::{fmt, time::Duration};

/// So many thresholds a configuration may have.
const MOST: usize = 1_000;
/// Octets of a threshold's name: it begins the name of each of its rows.
const LONGEST_NAME: usize = 64;

impl<'de> Deserialize<'de> for Alarms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Alarms;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("default, none, or a list of alarms that may begin with `default`")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Alarms, E> {
                match word {
                    "default" => Ok(Alarms::default()),
                    "none" => Ok(Alarms(Vec::new())),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Alarms, A::Error> {
                let mut all: Vec<Alarm> = Vec::new();
                while let Some(Item(items)) = list.next_element()? {
                    for alarm in items {
                        if all.iter().any(|other| other.name == alarm.name) {
                            return Err(de::Error::custom(format!("two alarms are called `{}`", alarm.name)));
                        }
                        all.push(alarm);
                    }
                    if all.len() > MOST {
                        return Err(de::Error::custom(format!("more than {MOST} alarms")));
                    }
                }
                Ok(Alarms(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// An entry of the list: a threshold, or the word that stands for several.
struct Item(Vec<Alarm>);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            name: String,
            when: When,
            clear: Option<Clear>,
            #[serde(default, rename = "for")]
            hold: Hold,
            #[serde(default)]
            severity: Severity,
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Item;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`default` or { name: …, when: …, clear: …, for: …, severity: … }")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Item, E> {
                match word {
                    "default" => Ok(Item(Alarms::default().0)),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
                let written = Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let Written { name, when: When(when), clear, hold, severity } = written;
                if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
                    return Err(de::Error::custom(format!("an alarm's name has 1 to {LONGEST_NAME} octets")));
                }
                let clear = clear.map(|Clear(text)| clear_at(&text, &when)).transpose().map_err(de::Error::custom)?;
                Ok(Item(vec![Alarm { name, when, clear, hold: hold.0, severity }]))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The value at which a condition is over; it must be one that does not meet it.
fn clear_at(text: &str, when: &Condition) -> Result<i64, String> {
    let object = dictionary().by_name(when.object).ok_or("no such object")?;
    let clear = number(text.trim(), object, when.rate.is_some())?;
    if matches!(when.operator, Operator::Equal | Operator::Unequal) {
        return Err(format!("`clear` makes no sense with `{}`, which is over when it is not so", when.text));
    }
    if when.operator.holds(clear, when.threshold) {
        return Err(format!("at `clear: {text}` the alarm `{}` would still be raised", when.text));
    }
    Ok(clear)
}

struct When(Condition);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Condition::parse(&String::deserialize(deserializer)?).map(When).map_err(de::Error::custom)
    }
}

/// A number, or a word with a unit.
struct Clear(String);

impl<'de> Deserialize<'de> for Clear {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Clear;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, with a unit or `/m` where the condition has one")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Clear, E> {
                Ok(Clear(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Clear, E> {
                Ok(Clear(number.to_string()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Clear, E> {
                Ok(Clear(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Default)]
struct Hold(Duration);

impl<'de> Deserialize<'de> for Hold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hold = parse_duration(&text)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is no duration; write 30s, 5m or 1h")));
        hold.map(Hold)
    }
}
