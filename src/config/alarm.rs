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

mod condition;
mod written;

use crate::{
    mib::{Dictionary, ROOT},
    smi::Oid,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::OnceLock, time::Duration};

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
}
