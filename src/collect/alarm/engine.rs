//! One threshold on one row: from values to states, and from states to what managers must be told. No clock, no I/O: the
//! time that has passed comes in, so that a step of the clock moves nothing.
//!
//! - A value that is not there is unknown: it raises nothing, clears nothing, and interrupts a hold time.
//! - What managers were told is kept apart from what is the case. A state they may not have heard of is told until the
//!   master has taken it, so a manager hears of it at least once, whenever the agent is killed; what was raised and is over
//!   before it could be told is not told.

use crate::config::alarm::{Alarm, Operator};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

/// A threshold, as far as values matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    operator: Operator,
    threshold: i64,
    clear: Option<i64>,
    hold: Duration,
}

impl Rule {
    pub(super) fn of(alarm: &Alarm) -> Self {
        Self { operator: alarm.when.operator, threshold: alarm.when.threshold, clear: alarm.clear, hold: alarm.hold }
    }

    fn is_crossed(&self, value: i64) -> bool {
        self.operator.holds(value, self.threshold)
    }

    /// Whether a raised alarm is over at this value.
    fn is_over(&self, value: i64) -> bool {
        match (self.clear, self.operator) {
            (Some(clear), Operator::Above | Operator::AtLeast) => value <= clear,
            (Some(clear), Operator::Below | Operator::AtMost) => value >= clear,
            _ => !self.is_crossed(value),
        }
    }
}

/// What managers know of a machine's state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) enum Told {
    /// The master has taken this last: raised or not.
    Taken(bool),
    /// Something was sent, and nobody knows whether it arrived.
    Unsure,
}

/// The state of one threshold on one row.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) raised: bool,
    pub(super) told: Told,
    /// Raised so often.
    pub(super) count: u64,
    /// How long it has been crossed, while it is not raised; `None`: it was not crossed at the last look.
    #[serde(skip)]
    held: Option<Duration>,
    /// The last value; `None`: it was not there.
    #[serde(skip)]
    pub(super) value: Option<i64>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { raised: false, told: Told::Taken(false), count: 0, held: None, value: None }
    }
}

impl Machine {
    /// A look, `elapsed` after the one before. Whether it was raised or cleared by it.
    pub(super) fn step(&mut self, rule: &Rule, value: Option<i64>, elapsed: Duration) -> bool {
        self.value = value;
        let Some(value) = value else {
            self.held = None;
            return false;
        };
        if self.raised {
            self.raised = !rule.is_over(value);
            return !self.raised;
        }
        if !rule.is_crossed(value) {
            self.held = None;
            return false;
        }
        let held = self.held.map_or(Duration::ZERO, |held| held.saturating_add(elapsed));
        self.held = Some(held);
        if held < rule.hold {
            return false;
        }
        self.held = None;
        self.raised = true;
        self.count += 1;
        true
    }

    /// There was nothing to look at: a run of crossed looks ends.
    pub(super) fn interrupt(&mut self) {
        self.held = None;
    }

    /// Whether managers may believe something else than is the case.
    pub(super) fn must_be_told(&self) -> bool {
        self.told != Told::Taken(self.raised)
    }
}

/// The growth of one counter over a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    /// When and how much, the oldest first. The time is what the owner saw pass.
    samples: VecDeque<(Duration, u64)>,
    /// When an earlier run was resumed. For one window nothing is said or noted, since the counter's owner may still be
    /// reading what came meanwhile.
    resumed: Option<Duration>,
    /// Whether the counter has been seen, in this run or an earlier one.
    is_known: bool,
}

/// A window is kept as so many samples.
const SAMPLES: u32 = 12;

impl Growth {
    /// Goes on with the samples of an earlier run: growth in between is spread over the time in between.
    pub(super) fn resumed(samples: Vec<(Duration, u64)>, now: Duration) -> Self {
        Self { samples: samples.into(), resumed: Some(now), is_known: true }
    }

    /// What to keep for the next run.
    pub(super) fn samples(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.samples.iter().copied()
    }

    /// It is not there.
    pub(super) fn forget(&mut self) {
        *self = Self { is_known: self.is_known, ..Self::default() };
    }

    /// A counter that was never seen, where others of its kind and instance have been since `since`: it was not there because
    /// it was 0. Without this the first panic of a program, which brings its row along, would be no growth.
    pub(super) fn begin(&mut self, since: Duration, now: Duration, window: Duration) {
        if !self.is_known {
            self.samples.push_back((since.max(now.saturating_sub(window)), 0));
        }
    }

    /// Events an hour over the last `window`, rounded down; `None` before a whole window has been seen. A counter that went
    /// back, or was not there, begins anew. `now` is what the owner saw pass.
    pub(super) fn look(&mut self, count: Option<Count>, now: Duration, window: Duration) -> Option<i64> {
        let Some(count) = count else {
            self.samples.clear();
            return None;
        };
        self.is_known = true;
        let &(at, last) = self.samples.back().unwrap_or(&(now, count.value));
        let grown = count.since(last);
        if grown > count.most() {
            self.samples.clear();
        }
        if self.resumed.is_some_and(|since| now < since.saturating_add(window)) {
            return None;
        }
        // The sample before the window's begin stays: growth is measured from it.
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= window) {
            self.samples.pop_front();
        }
        let oldest = self.samples.front().copied();
        if oldest.is_none() || now.saturating_sub(at) >= window / SAMPLES {
            self.samples.push_back((now, count.value));
        }
        let (from, before) = oldest?;
        let time = now.saturating_sub(from);
        if time < window {
            return None;
        }
        let hourly = u128::from(count.since(before)) * 3_600_000 / time.as_millis().max(1);
        Some(i64::try_from(hourly).unwrap_or(i64::MAX))
    }
}

/// A counter as SNMP serves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) value: u64,
    /// Whether it wraps at 2^64 instead of 2^32.
    pub(super) is_wide: bool,
}

impl Count {
    fn since(self, before: u64) -> u64 {
        if self.is_wide {
            self.value.wrapping_sub(before)
        } else {
            (self.value as u32).wrapping_sub(before as u32).into()
        }
    }

    /// Nothing grows by more between two looks: then it went back.
    fn most(self) -> u64 {
        if self.is_wide { u64::MAX >> 1 } else { u64::from(u32::MAX >> 1) }
    }
}
