//! Alarms: thresholds on whatever the View shows, postfixAlarmTable, and the notifications of POSTFIX-MIB.
//!
//! The only collector that looks at what others publish; none of them knows of alarms. Each look goes over the
//! configured conditions ([`config::alarm`](crate::config::alarm)), moves one state machine a threshold and row
//! ([`engine`]), and sends what managers do not know yet ([`notice`]).
//!
//! What was sent is noted in the state directory before it is sent, and that it was taken when the master has confirmed it:
//! a manager hears of every state at least once, and twice only where the agent was killed in between.

mod engine;
mod notice;
mod tables;
#[cfg(test)]
mod tests;

pub use tables::TABLES;

use super::{
    Collector, Context, Next, Registration,
    health::{Condition, Severity as HealthSeverity, Subject},
    registry::Registry,
};
use crate::{
    agentx::{Notifier, Receipt},
    config::alarm::{self, Alarm, Rows},
    mib::{Dictionary, View},
    smi::{Objects, Oid, Value},
};
use engine::{Count, Growth, Machine, Rule, Told};
use notice::{Desk, Kind};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tables::{ALARMS, Row, State};

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration =
    Registration { name: "alarm", tables: TABLES, kinds: &[], make: |context| Box::new(Alarms::new(context)) };

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(5);
/// While the master has not confirmed what was sent.
const SOON: Duration = Duration::from_millis(500);
/// So many thresholds on rows are watched; rows beyond are left out, and a condition of health says so.
const ROWS: usize = 4_096;
/// Name and version of the state file.
const FILE: (&str, u32) = ("alarms", 1);

#[derive(Default, Serialize, Deserialize)]
struct Saved {
    indices: Option<Registry>,
    machines: BTreeMap<String, Machine>,
}

/// A machine and what belongs to it.
struct Watched {
    machine: Machine,
    /// Position of its alarm in the configuration.
    alarm: usize,
    index: u32,
    growth: Growth,
    since: Instant,
    /// What was sent and is not answered yet.
    sent: Option<(bool, Receipt)>,
    /// Whether this look came by.
    seen: bool,
}

struct Alarms {
    context: Context,
    dictionary: Dictionary,
    indices: Registry,
    /// By name of the alarm and of the row.
    watched: BTreeMap<String, Watched>,
    /// Of an earlier run, until the row is met again.
    saved: BTreeMap<String, Machine>,
    desk: Desk,
    started: Instant,
    last: Instant,
    /// What could not be saved, as last said.
    unsaved: Option<String>,
    /// Rows left out at this look.
    left_out: usize,
}

impl Alarms {
    fn new(context: &Context) -> Self {
        let saved: Saved = match context.state.load(FILE.0, FILE.1) {
            Ok(saved) => saved.unwrap_or_default(),
            Err(e) => {
                tracing::error!("{e}");
                Saved::default()
            }
        };
        let now = Instant::now();
        let root = &context.config.agentx.root;
        Self {
            context: context.clone(),
            dictionary: Dictionary::new(root, &[]),
            indices: saved.indices.unwrap_or_else(|| Registry::new(1)),
            watched: BTreeMap::new(),
            saved: saved.machines,
            desk: Desk::default(),
            started: now,
            last: now,
            unsaved: None,
            left_out: 0,
        }
    }

    /// Looks at every condition; whether a state has changed.
    fn look(&mut self, view: &View, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.last);
        self.last = now;
        self.left_out = 0;
        self.watched.values_mut().for_each(|watched| watched.seen = false);
        let config = Arc::clone(&self.context.config);
        let mut changed = false;
        for (position, alarm) in config.alarms.0.iter().enumerate() {
            for (label, value) in rows(&self.dictionary, view, alarm, now) {
                let key = if label.is_empty() { alarm.name.clone() } else { format!("{}: {label}", alarm.name) };
                changed |= self.row(key, position, alarm, value, elapsed, now);
            }
        }
        for watched in self.watched.values_mut().filter(|watched| !watched.seen) {
            if let Some(alarm) = config.alarms.0.get(watched.alarm) {
                watched.growth.look(None, Duration::ZERO, Duration::ZERO);
                watched.machine.step(&Rule::of(alarm), None, elapsed);
            }
        }
        changed
    }

    fn row(
        &mut self,
        key: String,
        position: usize,
        alarm: &Alarm,
        value: Option<Value>,
        elapsed: Duration,
        now: Instant,
    ) -> bool {
        if !self.watched.contains_key(&key) {
            let index = if self.watched.len() < ROWS { self.indices.index(&key) } else { None };
            let Some(index) = index else {
                self.left_out += 1;
                return false;
            };
            let machine = self.saved.remove(&key).unwrap_or_default();
            let watched = Watched {
                machine,
                alarm: position,
                index,
                growth: Growth::default(),
                since: now,
                sent: None,
                seen: true,
            };
            self.watched.insert(key.clone(), watched);
        }
        let Some(watched) = self.watched.get_mut(&key) else { return false };
        watched.seen = true;
        self.indices.touch(watched.index);
        let value = match alarm.when.rate {
            None => value.as_ref().and_then(number),
            Some(window) => {
                let count = value.as_ref().and_then(count);
                watched.growth.look(count, now.saturating_duration_since(self.started), window)
            }
        };
        let was_known = watched.machine.value.is_some();
        let changed = watched.machine.step(&Rule::of(alarm), value, elapsed);
        if changed || was_known != value.is_some() {
            watched.since = now;
        }
        if changed {
            let (state, text) =
                (if watched.machine.raised { "raised" } else { "cleared" }, text(&key, alarm, &watched.machine));
            tracing::warn!(alarm = key, "{state}: {text}");
        }
        changed
    }

    /// Takes receipts, and sends what managers do not know; whether that must be saved.
    fn tell(&mut self, notifier: &Notifier, now: Instant) {
        let mut moved = false;
        for watched in self.watched.values_mut() {
            let Some((raised, receipt)) = &watched.sent else { continue };
            match receipt.taken() {
                Some(true) => {
                    watched.machine.told = Told::Taken(*raised);
                    watched.sent = None;
                    moved = true;
                }
                // It stays untold, and is told again.
                Some(false) => watched.sent = None,
                None => {}
            }
        }
        let config = Arc::clone(&self.context.config);
        let root = config.agentx.root.clone();
        let mut ready = Vec::new();
        for (key, watched) in &mut self.watched {
            let Some(alarm) = config.alarms.0.get(watched.alarm) else { continue };
            if watched.sent.is_some() || !watched.machine.must_be_told() || watched.machine.value.is_none() {
                continue;
            }
            let kind = Kind::of(alarm.when.object, watched.machine.raised);
            if self.desk.may_send(kind, now) {
                watched.machine.told = Told::Unsure;
                ready.push((key.clone(), kind));
            } else {
                self.desk.hold_back();
            }
        }
        if moved || !ready.is_empty() {
            // Before it is sent: after a kill it is told again rather than never.
            self.save();
        }
        for (key, kind) in ready {
            let Some(watched) = self.watched.get_mut(&key) else { continue };
            let Some(alarm) = config.alarms.0.get(watched.alarm) else { continue };
            let row = shown(&key, alarm, watched);
            match notice::notification(&root, kind, &row) {
                Ok(notification) => {
                    let (notification, receipt) = notification.with_receipt();
                    watched.sent = Some((watched.machine.raised, receipt));
                    notifier.send(notification);
                }
                Err(e) => tracing::error!("{e}"),
            }
        }
        let raised = self.watched.values().filter(|watched| watched.machine.raised).count();
        if let Some(summary) = self.desk.summary(&root, raised as u64, now) {
            notifier.send(summary);
        }
    }

    fn publish(&mut self) {
        let config = Arc::clone(&self.context.config);
        let alarm_of = |watched: &Watched| config.alarms.0.get(watched.alarm);
        let rows: Vec<Row> =
            self.watched.iter().filter_map(|(key, watched)| Some(shown(key, alarm_of(watched)?, watched))).collect();
        let mut conditions: Vec<Condition> = rows
            .iter()
            .zip(self.watched.values())
            .filter(|(_, watched)| watched.machine.raised)
            .map(|(row, _)| Condition {
                severity: match row.severity {
                    alarm::Severity::Warning => HealthSeverity::Warning,
                    alarm::Severity::Critical => HealthSeverity::Critical,
                },
                subject: Subject::Alarm,
                text: row.text.clone(),
            })
            .collect();
        if self.left_out > 0 {
            let text = format!(
                "{} rows are not watched: alarms look at {ROWS} rows at most; name the rows that matter in `alarms:`",
                self.left_out
            );
            conditions.push(Condition { severity: HealthSeverity::Warning, subject: Subject::Log, text });
        }
        self.context.health.conditions("alarm", conditions);
        self.context.publisher.publish([ALARMS.fragment(&rows)]);
    }

    fn save(&mut self) {
        let mut machines: BTreeMap<String, Machine> = self.saved.clone();
        machines.extend(self.watched.iter().map(|(key, watched)| (key.clone(), watched.machine.clone())));
        let saved = Saved { indices: Some(self.indices.clone()), machines };
        let error = self.context.state.save(FILE.0, FILE.1, &saved).err().map(|e| e.to_string());
        if let Some(error) = error.as_ref().filter(|error| self.unsaved.as_ref() != Some(error)) {
            tracing::error!("{error}");
        }
        if error.is_none() {
            self.indices.saved();
        }
        self.unsaved = error;
    }
}

impl Collector for Alarms {
    fn name(&self) -> &'static str {
        "alarm"
    }

    fn refresh(&mut self) -> Next {
        let now = Instant::now();
        // Between two looks only receipts are taken.
        if now.saturating_duration_since(self.last) >= INTERVAL || self.watched.is_empty() {
            let view = self.context.publisher.view();
            let changed = self.look(&view, now);
            // A number that a row was given is its own for ever.
            if (changed || self.indices.must_be_saved()) && self.context.notifier.is_some() {
                self.save();
            }
            self.publish();
        }
        let Some(notifier) = self.context.notifier.clone() else { return Next::After(INTERVAL) };
        self.tell(&notifier, now);
        let waits = self.watched.values().any(|watched| watched.sent.is_some());
        Next::After(if waits { SOON } else { INTERVAL })
    }

    fn finish(&mut self) {
        if let Some(notifier) = self.context.notifier.clone() {
            self.tell(&notifier, Instant::now());
            self.save();
        }
    }
}

/// The rows a condition is about: what each is called, and the value where there is one. A row that was asked for by name
/// or index is among them although it is not there.
fn rows(dictionary: &Dictionary, view: &View, alarm: &Alarm, now: Instant) -> Vec<(String, Option<Value>)> {
    let object = alarm.when.object;
    let Some(column) = dictionary.oid(object, &[]) else { return Vec::new() };
    let get = |index: &[u32]| view.get(&column.child(index), now).ok();
    let names = dictionary.by_name(object).and_then(|found| {
        let is_name = |other: &crate::mib::Object| {
            other.table == found.table && other.syntax == "SnmpAdminString" && other.name.ends_with("Name")
        };
        dictionary.objects().filter(|(_, other)| is_name(other)).map(|(oid, _)| oid.clone()).next()
    });
    let name = |index: &[u32]| -> Option<String> {
        match view.get(&names.as_ref()?.child(index), now).ok()? {
            Value::OctetString(octets) => Some(String::from_utf8_lossy(&octets).into_owned()),
            _ => None,
        }
    };
    let dotted = |index: &[u32]| index.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    match &alarm.when.rows {
        Rows::Scalar => vec![(String::new(), get(&[0]))],
        Rows::Index(index) => vec![(dotted(index), get(index))],
        Rows::All => walk(view, &column, now)
            .map(|(index, value)| (name(&index).unwrap_or_else(|| dotted(&index)), Some(value)))
            .collect(),
        Rows::Name(pattern) => {
            let mut found: Vec<(String, Option<Value>)> = Vec::new();
            for (index, value) in names.iter().flat_map(|names| walk(view, names, now)) {
                if let Value::OctetString(octets) = value
                    && let text = String::from_utf8_lossy(&octets)
                    && is_like(&text, pattern)
                {
                    found.push((text.into_owned(), get(&index)));
                }
            }
            if found.is_empty() && !pattern.contains('*') {
                found.push((pattern.clone(), None));
            }
            found
        }
    }
}

/// The cells of one column, with their indices.
fn walk<'a>(view: &'a View, column: &'a Oid, now: Instant) -> impl Iterator<Item = (Vec<u32>, Value)> + 'a {
    let mut at = column.clone();
    std::iter::from_fn(move || {
        let mut name = Oid::new();
        let value = view.next(at.as_slice(), false, &[], now, &mut name)?;
        let index = name.as_slice().strip_prefix(column.as_slice())?.to_vec();
        at = name;
        Some((index, value))
    })
}

/// Whether `text` is like `pattern`, in which `*` stands for any characters.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(i64::from(*n)),
        Value::Gauge32(n) | Value::TimeTicks(n) => Some(i64::from(*n)),
        _ => None,
    }
}

fn count(value: &Value) -> Option<Count> {
    match value {
        Value::Counter32(n) => Some(Count { value: u64::from(*n), is_wide: false }),
        Value::Counter64(n) => Some(Count { value: *n, is_wide: true }),
        _ => None,
    }
}

/// A value with what it is in.
fn with_unit(alarm: &Alarm, value: i64) -> String {
    let dictionary = alarm::dictionary();
    let object = dictionary.by_name(alarm.when.object);
    let label = object.and_then(|object| object.label(i32::try_from(value).ok()?));
    match (label, object.and_then(|object| object.units)) {
        (Some(label), _) => label.to_owned(),
        (None, _) if alarm.when.rate.is_some() => format!("{value} an hour"),
        (None, Some(units)) => format!("{value} {units}"),
        (None, None) => value.to_string(),
    }
}

/// postfixAlarmText.
fn text(key: &str, alarm: &Alarm, machine: &Machine) -> String {
    let value = machine.value.map_or_else(|| "not known".to_owned(), |value| with_unit(alarm, value));
    format!("{key} is {value} ({})", alarm.when.text)
}

fn shown(key: &str, alarm: &Alarm, watched: &Watched) -> Row {
    let machine = &watched.machine;
    let gauge = |value: i64| u64::try_from(value).unwrap_or(0);
    Row {
        index: watched.index,
        name: key.to_owned(),
        condition: alarm.when.text.clone(),
        value: machine.value.map(gauge),
        raise: gauge(alarm.when.threshold),
        clear: gauge(alarm.clear.unwrap_or(alarm.when.threshold)),
        severity: alarm.severity,
        state: match machine {
            Machine { value: None, .. } => State::Unknown,
            Machine { raised: true, .. } => State::Raised,
            Machine { raised: false, .. } => State::Normal,
        },
        since: watched.since,
        raised: machine.count,
        text: text(key, alarm, machine),
    }
}
