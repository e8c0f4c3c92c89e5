//! One threshold on one row: its machine, and what is shown of it.

use super::{
    engine::{Growth, Machine, Rule},
    kept::About,
    tables::{Row, State},
};
use crate::{agentx::Receipt, mib, smi::Octets};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A machine and what belongs to it.
pub(super) struct Watched {
    pub(super) machine: Machine,
    pub(super) about: Arc<About>,
    pub(super) index: u32,
    pub(super) growth: Growth,
    pub(super) since: Instant,
    /// How long there has been no value.
    pub(super) away: Duration,
    /// What was sent and is not answered yet.
    pub(super) sent: Option<(bool, Receipt)>,
    /// Whether this look came by.
    pub(super) seen: bool,
    /// Nobody watches it any more; it stays until managers know that.
    pub(super) is_over: bool,
    /// postfixAlarmName and postfixAlarmObject.
    name: Octets,
    condition: Octets,
    /// postfixAlarmText, and of what: most rows are the same at every look.
    text: Option<((Option<i64>, bool), Octets)>,
}

/// Octets that the columns may have.
const LIMIT: usize = 255;

impl Watched {
    /// One that is met for the first time.
    pub(super) fn new(key: &str, about: Arc<About>, index: u32, since: Instant) -> Self {
        Self {
            machine: Machine::default(),
            name: mib::text(key, LIMIT),
            condition: mib::text(&about.condition, LIMIT),
            text: None,
            about,
            index,
            growth: Growth::default(),
            since,
            away: Duration::ZERO,
            sent: None,
            seen: true,
            is_over: false,
        }
    }

    /// A look; whether it was raised or cleared by it.
    pub(super) fn step(&mut self, rule: &Rule, value: Option<i64>, elapsed: Duration, now: Instant) -> bool {
        let was_known = self.machine.value.is_some();
        let changed = self.machine.step(rule, value, elapsed);
        if changed || was_known != value.is_some() {
            self.since = now;
        }
        self.away = if value.is_some() { Duration::ZERO } else { self.away.saturating_add(elapsed) };
        changed
    }

    /// Nobody will watch it again.
    pub(super) fn end(&mut self) {
        self.machine.raised = false;
        self.machine.value = None;
        self.is_over = true;
    }

    /// Whether nobody has to know of it.
    pub(super) fn is_done(&self) -> bool {
        let told = !self.machine.raised && !self.machine.must_be_told();
        told && (self.is_over || (!self.seen && self.away >= super::FORGOTTEN))
    }
}

/// postfixAlarmText.
pub(super) fn text(key: &str, watched: &Watched) -> String {
    let about = &watched.about;
    let is = match watched.machine.value {
        _ if watched.is_over => "no longer watched".to_owned(),
        Some(value) => about.with_unit(value),
        None => "not known".to_owned(),
    };
    format!("{key} is {is} ({})", about.condition)
}

/// A row of postfixAlarmTable.
pub(super) fn shown(key: &str, watched: &mut Watched) -> Row {
    let of = (watched.machine.value, watched.is_over);
    let known = watched.text.as_ref().filter(|(known, _)| *known == of).map(|(_, text)| text.clone());
    let text = known.unwrap_or_else(|| mib::text(text(key, watched), LIMIT));
    watched.text = Some((of, text.clone()));
    let (machine, about) = (&watched.machine, &watched.about);
    let gauge = |value: i64| u64::try_from(value).unwrap_or(0);
    Row {
        index: watched.index,
        name: watched.name.clone(),
        condition: watched.condition.clone(),
        value: machine.value.map(gauge),
        raise: gauge(about.raise),
        clear: gauge(about.clear),
        severity: about.severity,
        state: match machine {
            _ if watched.is_over => State::Normal,
            Machine { value: None, .. } => State::Unknown,
            Machine { raised: true, .. } => State::Raised,
            Machine { raised: false, .. } => State::Normal,
        },
        since: watched.since,
        raised: machine.count,
        text,
    }
}
