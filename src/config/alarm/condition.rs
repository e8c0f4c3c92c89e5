//! What `when:` says: an object, which of its rows, and what it is compared with.

use super::{Condition, Operator, Rows, dictionary};
use crate::mib::Object;
use std::time::Duration;

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
pub(super) fn number(text: &str, object: &Object, is_rate: bool) -> Result<i64, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
