//! `alarms:`: thresholds on the objects of POSTFIX-MIB, checked against the MIB when the file is read.
//!
//! ```text
//! when: "postfixQueueMessages[postfix deferred] > 500"     a row by its name; * stands for anything
//! when: "postfixInstanceState[1] == stopped"               a row by its index, a number of an enumeration by its label
//! when: "rate(postfixMailBounced[*]) > 10/m"               every row; a counter by what it grows in a minute or an hour
//! ```
//!
//! What a condition means while its object is there, and while it is not, is the business of
//! [`collect::alarm`](crate::collect::alarm).

use super::parse_duration;
use crate::{
    mib::{Dictionary, Object, ROOT},
    smi::Oid,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, sync::OnceLock, time::Duration};

/// So many thresholds a configuration may have.
const MOST: usize = 1_000;
/// Octets of a threshold's name: it begins the name of each of its rows.
const LONGEST_NAME: usize = 64;

/// All thresholds.
#[derive(Clone, Debug)]
pub struct Alarms(pub Vec<Alarm>);

/// One threshold.
#[derive(Clone)]
pub struct Alarm {
    /// Begins postfixAlarmName; its state is kept under it.
    pub name: String,
    /// When it is crossed.
    pub when: Condition,
    /// At which value it is over; `None`: when it is not crossed.
    pub clear: Option<i64>,
    /// How long it must have been crossed.
    pub hold: Duration,
    /// How bad that is.
    pub severity: Severity,
}

/// On one line, as in the file.
impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, when, clear, hold, severity } = self;
        write!(f, "{name} when {:?} {} clear {clear:?} for {hold:?} {severity:?}", when.text, when.threshold)
    }
}

/// postfixAlarmSeverity.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Someone should look.
    #[default]
    Warning = 1,
    /// Mail does not flow, or will not for long.
    Critical = 2,
}

/// Which rows of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A scalar has none.
    Scalar,
    /// Every one.
    All,
    /// The one with this index.
    Index(Vec<u32>),
    /// Those with such a name; `*` stands for any characters.
    Name(String),
}

impl Rows {
    /// Whether nobody chose them one by one.
    pub(crate) fn are_any(&self) -> bool {
        match self {
            Self::All => true,
            Self::Name(pattern) => pattern.contains('*'),
            Self::Scalar | Self::Index(_) => false,
        }
    }
}

/// How a value is compared with the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

impl Operator {
    /// Whether `value` is on the wrong side.
    pub fn holds(self, value: i64, threshold: i64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::Unequal => value != threshold,
        }
    }
}

/// What is looked at, and what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// As it was written.
    pub text: String,
    /// The descriptor.
    pub object: &'static str,
    /// Of a column, which rows.
    pub rows: Rows,
    /// Of a counter: the time its growth is measured over. The threshold is then events an hour.
    pub rate: Option<Duration>,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub threshold: i64,
}

/// POSTFIX-MIB at the root its text gives.
pub(crate) fn dictionary() -> &'static Dictionary {
    static DICTIONARY: OnceLock<Dictionary> = OnceLock::new();
    DICTIONARY.get_or_init(|| Dictionary::new(&Oid::from(ROOT), &[]))
}

/// The descriptor most like this.
fn nearest(name: &str) -> &'static str {
    let distance = |object: &&'static str| strsim::damerau_levenshtein(name, object);
    dictionary().objects().map(|(_, object)| object.name).min_by_key(distance).unwrap_or_default()
}

impl Condition {
    /// What `text` says, or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A row's name may hold any sign.
        let begin = text.rfind(']').unwrap_or(0);
        let at = text.get(begin..).and_then(|rest| rest.find(['<', '>', '=', '!'])).map(|at| begin + at);
        let Some((left, right)) = at.map(|at| text.split_at(at)) else {
            return Err(format!("`{text}` compares nothing; write for example `postfixTotalDeferred > 500`"));
        };
        let signs = right.len() - right.trim_start_matches(['<', '>', '=', '!']).len();
        let (sign, right) = right.split_at(signs);
        let operator = match sign {
            ">" => Operator::Above,
            ">=" => Operator::AtLeast,
            "<" => Operator::Below,
            "<=" => Operator::AtMost,
            "==" => Operator::Equal,
            "!=" => Operator::Unequal,
            other => return Err(format!("`{other}` is no comparison; write one of > >= < <= == !=")),
        };
        let left = left.trim();
        let inner = left.strip_prefix("rate(").map(|rest| rest.strip_suffix(')').ok_or("`rate(` is never closed"));
        let of_rate = inner.is_some();
        let inner = inner.transpose()?.unwrap_or(left).trim();
        let (name, rows) = match inner.split_once('[') {
            None => (inner, None),
            Some((name, rows)) => (name.trim(), Some(rows.strip_suffix(']').ok_or("`[` is never closed")?.trim())),
        };
        let object = dictionary()
            .by_name(name)
            .ok_or_else(|| format!("`{name}` is no object of POSTFIX-MIB; did you mean `{}`?", nearest(name)))?;
        if object.name.starts_with("postfixAlarm") {
            return Err(format!("`{name}`: alarms cannot watch alarms; watch what the other one does"));
        }
        let is_counter = matches!(object.syntax, "Counter32" | "Counter64");
        match object.syntax {
            _ if is_counter && !of_rate => {
                return Err(format!("`{name}` is a counter, which only grows; write `rate({inner}) {sign} 10/m`"));
            }
            _ if of_rate && !is_counter => return Err(format!("`{name}` is no counter and has no rate")),
            "INTEGER" | "Integer32" | "Gauge32" | "Unsigned32" | "TimeTicks" | "Counter32" | "Counter64" => {}
            other => return Err(format!("`{name}` is {other} and cannot be compared with a number")),
        }
        let rows = match (object.index.is_empty(), rows) {
            (true, None | Some("0")) => Rows::Scalar,
            (true, Some(_)) => return Err(format!("`{name}` has no rows; write it without brackets")),
            (false, None) => {
                return Err(format!("`{name}` has rows; say which: `{name}[*]`, or one by its name or index"));
            }
            (false, Some("" | "*")) => Rows::All,
            (false, Some(row)) => match row.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>() {
                Some(index) if index.len() != object.index.len() => {
                    let parts = object.index.len();
                    return Err(format!("the index of `{name}` has {parts} parts, `{row}` has {}", index.len()));
                }
                Some(index) => Rows::Index(index),
                None => Rows::Name(row.to_owned()),
            },
        };
        let right = right.trim();
        let rate = of_rate.then(|| window(right)).transpose()?;
        let threshold = number(right, object, of_rate)?;
        Ok(Self { text: text.to_owned(), object: object.name, rows, rate, operator, threshold })
    }
}

/// `10/m`: over which time.
fn window(text: &str) -> Result<Duration, String> {
    match text.split_once('/').map(|(_, unit)| unit.trim()) {
        Some("s" | "m" | "min") => Ok(Duration::from_secs(60)),
        Some("h") => Ok(Duration::from_secs(3_600)),
        _ => Err(format!("`{text}` is no rate; write 10/s, 10/m or 10/h")),
    }
}

/// A threshold in the object's own unit, or for a rate in events an hour.
fn number(text: &str, object: &Object, is_rate: bool) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no number");
    if is_rate {
        let (number, unit) =
            text.split_once('/').ok_or_else(|| format!("`{text}` is no rate; write 10/s, 10/m or 10/h"))?;
        let hourly = match unit.trim() {
            "s" => 3_600,
            "m" | "min" => 60,
            "h" => 1,
            other => return Err(format!("`{other}` is no time of a rate; write s, m or h")),
        };
        return number.trim().parse::<i64>().ok().and_then(|n| n.checked_mul(hourly)).ok_or_else(wrong);
    }
    if !object.labels.is_empty() {
        let labels = &object.labels;
        let by_label = labels.iter().find(|(_, label)| *label == text).map(|(number, _)| *number);
        let known = |n: &i32| labels.iter().any(|(number, _)| number == n);
        return by_label.or_else(|| text.parse().ok().filter(known)).map(i64::from).ok_or_else(|| {
            let labels: Vec<&str> = labels.iter().map(|(_, label)| *label).collect();
            format!("`{text}` is none of {}", labels.join(", "))
        });
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let digits: i64 = digits.trim().parse().map_err(|_| wrong())?;
    let units = object.units.unwrap_or_default();
    let factor = match (units, unit.trim()) {
        (_, "") | ("seconds", "s") | ("milliseconds", "ms") | ("percent", "%") => 1,
        ("seconds", "m" | "min") => 60,
        ("seconds", "h") => 3_600,
        ("seconds", "d") => 86_400,
        ("milliseconds", "s") => 1_000,
        ("", _) => return Err(format!("`{}` has no unit; write the number alone", object.name)),
        (_, unit) => return Err(format!("`{}` is in {units}, not in `{unit}`", object.name)),
    };
    digits.checked_mul(factor).ok_or_else(wrong)
}

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

/// What is watched unless the configuration says otherwise: what is wrong on every host. Name, condition, clear, seconds it
/// must have lasted, severity.
const DEFAULT: &[(&str, &str, Option<i64>, u64, Severity)] = &[
    ("instance-down", "postfixInstanceState[*] == stopped", None, 30, Severity::Critical),
    ("daemon-down", "postfixDaemonState[*] == notRunning", None, 60, Severity::Critical),
    ("source-failing", "postfixSourceStatus[*] == failing", None, 60, Severity::Warning),
    ("incoming-stuck", "postfixQueueOldestAge[* incoming] > 10m", Some(300), 60, Severity::Warning),
    ("maildrop-stuck", "postfixQueueOldestAge[* maildrop] > 10m", Some(300), 60, Severity::Warning),
    ("active-full", "postfixSpoolActivePercent[*] > 90", Some(75), 300, Severity::Warning),
    ("probe-down", "postfixProbeStatus[*] == down", None, 90, Severity::Critical),
    ("certificate-expiring", "postfixCertificateStatus[*] == expiring", None, 0, Severity::Warning),
    ("certificate-expired", "postfixCertificateStatus[*] == expired", None, 0, Severity::Critical),
    ("panic", "rate(postfixMessagePanics[*]) > 0/m", None, 0, Severity::Critical),
    ("service-full", "postfixServiceProcessPercent[*] >= 100", Some(80), 300, Severity::Warning),
];

impl Default for Alarms {
    fn default() -> Self {
        let alarm = |(name, when, clear, hold, severity): &(&str, &str, Option<i64>, u64, Severity)| {
            let when = Condition::parse(when).ok()?;
            Some(Alarm {
                name: (*name).into(),
                when,
                clear: *clear,
                hold: Duration::from_secs(*hold),
                severity: *severity,
            })
        };
        Self(DEFAULT.iter().filter_map(alarm).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_condition() {
        assert_eq!(Alarms::default().0.len(), DEFAULT.len());
        for (_, when, clear, ..) in DEFAULT {
            let when = Condition::parse(when).unwrap();
            assert!(clear.is_none_or(|clear| !when.operator.holds(clear, when.threshold)), "{}", when.text);
        }
    }

    #[test]
    fn conditions_say_object_rows_and_threshold() {
        let parsed = |text| Condition::parse(text).unwrap();
        let deferred = parsed("postfixQueueMessages[postfix deferred] > 500");
        assert_eq!((deferred.object, deferred.threshold), ("postfixQueueMessages", 500));
        assert_eq!((deferred.rows, deferred.operator), (Rows::Name("postfix deferred".into()), Operator::Above));
        assert_eq!(parsed("postfixQueueOldestAge[1.2]>=1h").rows, Rows::Index(vec![1, 2]));
        assert_eq!(parsed("postfixQueueOldestAge[1.2]>=1h").threshold, 3_600);
        assert_eq!(parsed("postfixTotalDeferred > 3").rows, Rows::Scalar);
        assert_eq!(parsed("postfixInstanceState[*] == stopped").threshold, 2);
        let rate = parsed("rate(postfixMailBounced[*]) > 10/m");
        assert_eq!((rate.rate, rate.threshold, rate.rows), (Some(Duration::from_secs(60)), 600, Rows::All));
        let hostile = parsed("postfixSenderMessages[postfix <a>=b] > 5");
        assert_eq!((hostile.rows, hostile.threshold), (Rows::Name("postfix <a>=b".into()), 5));
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        for (text, says) in [
            ("postfixQueueMesages[*] > 5", "did you mean `postfixQueueMessages`?"),
            ("postfixQueueMessages > 5", "say which"),
            ("postfixTotalDeferred[1] > 5", "without brackets"),
            ("postfixMailBounced[*] > 5", "rate(postfixMailBounced[*]) > 10/m"),
            ("rate(postfixQueueMessages[*]) > 5/m", "no counter"),
            ("rate(postfixMailBounced[*]) > 5", "no rate"),
            ("rate(postfixMailBounced[*] > 5/m", "never closed"),
            ("postfixQueueName[*] > 5", "cannot be compared"),
            ("postfixQueueMessages[*] > 5m", "is in messages, not in `m`"),
            ("postfixQueueMessages[1] > 5", "has 2 parts"),
            ("postfixAgentUptime > 2s", "has no unit"),
            ("postfixInstanceState[*] == gone", "none of running, stopped, unknown"),
            ("postfixInstanceState[*] = stopped", "is no comparison"),
            ("postfixTotalDeferred", "compares nothing"),
            ("postfixTotalDeferred > many", "no number"),
            ("postfixAlarmState[*] == raised", "cannot watch alarms"),
            ("postfixAlarmsRaised > 0", "cannot watch alarms"),
        ] {
            let error = Condition::parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
