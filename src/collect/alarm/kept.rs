//! What is known of a threshold on a row without the configuration, so that it can be told that it is over when the
//! configuration has it no longer; and the form in which rows are saved.

use super::{
    engine::{Growth, Machine},
    watched::Watched,
};
use crate::config::alarm::{self, Alarm, Severity};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An alarm, as far as managers see it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct About {
    pub(super) alarm: String,
    /// Object and rows: where these are others, it is another alarm of the same name.
    pub(super) watches: String,
    pub(super) condition: String,
    pub(super) object: String,
    is_rate: bool,
    pub(super) raise: i64,
    pub(super) clear: i64,
    pub(super) severity: Severity,
}

impl About {
    pub(super) fn of(alarm: &Alarm) -> Self {
        let when = &alarm.when;
        Self {
            alarm: alarm.name.clone(),
            watches: format!("{} {:?} {:?}", when.object, when.rows, when.rate),
            condition: when.text.clone(),
            object: when.object.to_owned(),
            is_rate: when.rate.is_some(),
            raise: when.threshold,
            clear: alarm.clear.unwrap_or(when.threshold),
            severity: alarm.severity,
        }
    }

    /// A value with what it is in.
    pub(super) fn with_unit(&self, value: i64) -> String {
        let object = alarm::dictionary().by_name(&self.object);
        let label = object.and_then(|object| object.label(i32::try_from(value).ok()?));
        match (label, object.and_then(|object| object.units)) {
            (Some(label), _) => label.to_owned(),
            (None, _) if self.is_rate => format!("{value} an hour"),
            (None, Some(units)) => format!("{value} {units}"),
            (None, None) => value.to_string(),
        }
    }
}

/// A row in the state file.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) machine: Machine,
    pub(super) about: About,
    /// Seconds it has been away.
    pub(super) away: u64,
    /// Of a rate: milliseconds since 1970 and the counter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    samples: Vec<(u64, u64)>,
}

impl Kept {
    /// `now` is what the owner saw pass, `clock` the milliseconds since 1970.
    pub(super) fn of(watched: &Watched, now: Duration, clock: u64) -> Self {
        let age = |at: Duration| u64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(u64::MAX);
        let samples = watched.growth.samples().map(|(at, value)| (clock.saturating_sub(age(at)), value)).collect();
        Self {
            machine: watched.machine.clone(),
            about: About::clone(&watched.about),
            away: watched.away.as_secs(),
            samples,
        }
    }

    /// The samples by the owner's time. Those that the clock says are to come are worth nothing.
    pub(super) fn growth(&self, now: Duration, clock: u64) -> Growth {
        let at =
            |(at, value): &(u64, u64)| Some((now.checked_sub(Duration::from_millis(clock.checked_sub(*at)?))?, *value));
        Growth::resumed(self.samples.iter().map(at).collect::<Option<Vec<_>>>().unwrap_or_default(), now)
    }
}
