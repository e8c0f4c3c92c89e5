//! Alarms: thresholds on whatever the View shows, postfixAlarmTable, and the notifications of POSTFIX-MIB.
//!
//! The only collector that looks at what others publish; none of them knows of alarms. Each look goes over the
//! configured conditions ([`config::alarm`](crate::config::alarm)), moves one state machine a threshold and row
//! ([`engine`]), and sends what managers do not know yet ([`notice`]).
//!
//! What was sent is noted in the state directory before it is sent, and that it was taken when the master has confirmed it:
//! a manager hears of every state at least once, and twice only where the agent was killed in between.

mod engine;
mod heartbeat;
mod kept;
#[cfg(test)]
mod model;
mod moment;
mod notice;
mod rows;
mod tables;
#[cfg(test)]
mod tests;
mod watched;

pub use notice::test_notification;
pub use tables::TABLES;

use super::{
    Collector, Context, Next, Registration,
    health::{Condition, Severity as HealthSeverity, Subject},
    registry::Registry,
};
use crate::{
    agentx::Notifier,
    config::alarm,
    mib::{Dictionary, View},
    smi::Value,
};
use engine::{Rule, Told};
use heartbeat::Heartbeat;
use kept::{About, Kept};
use moment::Moment;
use notice::{Desk, Kind};
use rows::{Found, Look, Target};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tables::{ALARMS, Row};
use watched::{Watched, shown, text};

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "alarm",
    tables: TABLES,
    kinds: &[],
    host_kinds: &[],
    make: |context| Box::new(Alarms::new(context, Moment::now())),
};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(5);
/// While the master has not confirmed what was sent …
const SOON: Duration = Duration::from_millis(100);
/// … for so long: a master that takes longer is away.
const ATTENTIVE: Duration = Duration::from_secs(2);
/// So many thresholds on rows are watched; rows beyond are left out, and a condition of health says so.
const ROWS: usize = 4_096;
/// A row that is not there is forgotten after so long when it is not raised …
const FORGOTTEN: Duration = Duration::from_secs(86_400);
/// … and told to be over when it is: nobody will ever see the end of it.
const GIVEN_UP: Duration = Duration::from_secs(30 * 86_400);
/// What happened to a row that is away now is told without its value after so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names in use keep their indices; it is enough to say so as often.
const TOUCHED: Duration = Duration::from_secs(3_600);
/// Where rates are watched, their counters are saved so often.
const SAVED: Duration = Duration::from_secs(300);
/// The owner's time when it begins: samples of earlier runs are before it.
const BEGIN: Duration = Duration::from_secs(400 * 86_400);
/// Name and version of the state file.
const FILE: (&str, u32) = ("alarms", 1);

#[derive(Default, Serialize, Deserialize)]
struct Saved {
    indices: Option<Registry>,
    #[serde(default)]
    rows: BTreeMap<String, Kept>,
}

struct Alarms {
    context: Context,
    indices: Registry,
    /// What each alarm of the configuration is about, in its order.
    abouts: Vec<Arc<About>>,
    /// Where that stands.
    targets: Vec<Target>,
    /// By name of the alarm and of the row.
    watched: BTreeMap<String, Watched>,
    /// Of each alarm on a rate, by its number and instance: since when there have been counters at every look.
    present: BTreeMap<(usize, u32), Duration>,
    desk: Desk,
    heartbeat: Heartbeat,
    started: Instant,
    /// The last look.
    last: Option<Instant>,
    last_saved: Instant,
    last_sent: Option<Instant>,
    touched: Option<Instant>,
    /// What could not be saved, as last said.
    unsaved: Option<String>,
    /// Rows left out at this look.
    left_out: usize,
}

impl Alarms {
    fn new(context: &Context, moment: Moment) -> Self {
        let saved: Saved = match context.state.load(FILE.0, FILE.1) {
            Ok(saved) => saved.unwrap_or_default(),
            Err(e) => {
                tracing::error!("{e}");
                Saved::default()
            }
        };
        let now = moment.at;
        let dictionary = Dictionary::new(&context.config.agentx.root, &[]);
        let mut alarms = Self {
            context: context.clone(),
            targets: context.config.alarms.0.iter().map(|alarm| Target::of(&dictionary, alarm)).collect(),
            indices: saved.indices.unwrap_or_else(|| Registry::new(1)),
            abouts: context.config.alarms.0.iter().map(|alarm| Arc::new(About::of(alarm))).collect(),
            watched: BTreeMap::new(),
            present: BTreeMap::new(),
            desk: Desk::default(),
            heartbeat: Heartbeat::new(context.config.heartbeat),
            started: now,
            last: None,
            last_saved: now,
            last_sent: None,
            touched: None,
            unsaved: None,
            left_out: 0,
        };
        alarms.resume(saved.rows, moment);
        alarms
    }

    /// Goes on with the rows of an earlier run. Those of an alarm that is no longer configured are over.
    fn resume(&mut self, rows: BTreeMap<String, Kept>, moment: Moment) {
        for (key, kept) in rows.into_iter().take(ROWS) {
            let Some(index) = self.indices.index(&key) else { continue };
            let is_it = |about: &&Arc<About>| about.alarm == kept.about.alarm && about.watches == kept.about.watches;
            let configured = self.abouts.iter().find(is_it).map(Arc::clone);
            let is_over = configured.is_none();
            let about = configured.unwrap_or_else(|| Arc::new(kept.about.clone()));
            let mut watched = Watched::new(&key, about, index, moment.at);
            watched.growth = kept.growth(BEGIN, moment.clock);
            watched.machine = kept.machine;
            watched.away = Duration::from_secs(kept.away);
            if is_over {
                if watched.machine.raised {
                    tracing::warn!(alarm = key, "cleared: it is no longer in the configuration");
                }
                watched.end();
            }
            if !watched.is_done() {
                self.watched.insert(key, watched);
            }
        }
    }

    /// What this owner saw pass.
    fn time(&self, now: Instant) -> Duration {
        BEGIN.saturating_add(now.saturating_duration_since(self.started))
    }

    /// Looks at every condition; whether a state has changed.
    fn look(&mut self, view: &View, moment: Moment) -> bool {
        let now = moment.at;
        let elapsed = now.saturating_duration_since(self.last.unwrap_or(now));
        self.last = Some(now);
        self.indices.turn(i64::try_from(moment.clock / 1_000).unwrap_or(i64::MAX));
        self.left_out = 0;
        self.watched.values_mut().for_each(|watched| watched.seen = false);
        let config = Arc::clone(&self.context.config);
        let mut changed = false;
        // Nobody expects these to run.
        let instances = self.context.instances.current();
        let quiet: Vec<&str> = instances.iter().filter(|i| i.is_disabled()).map(|i| i.name.as_str()).collect();
        let (mut look, mut key) = (Look::new(view, now), String::new());
        let must_touch = self.touched.is_none_or(|at| now.saturating_duration_since(at) >= TOUCHED);
        if must_touch {
            self.touched = Some(now);
        }
        for (number, alarm) in config.alarms.0.iter().enumerate() {
            let rule = Rule::of(alarm);
            let (Some(about), Some(target)) = (self.abouts.get(number).cloned(), self.targets.get(number)) else {
                continue;
            };
            let found = look.rows(target, &alarm.when.rows);
            let instances = alarm.when.rate.map(|_| look.instances(target));
            for Found { label, value, instance } in found {
                let disabled = alarm.when.rows.are_any() && quiet.iter().any(|name| rows::is_of(&label, name));
                key.clone_from(&alarm.name);
                if !label.is_empty() {
                    key.push_str(": ");
                    key.push_str(&label);
                }
                if disabled {
                    changed |= self.quiet(&key);
                    continue;
                }
                let since = self.present.get(&(number, instance)).copied();
                let value = (value, alarm.when.rate.map(|window| (window, since)));
                changed |= self.row(&key, &rule, &about, value, elapsed, now);
            }
            if let Some(instances) = instances {
                let time = self.time(now);
                self.present.retain(|(of, instance), _| *of != number || instances.contains(instance));
                for instance in instances {
                    self.present.entry((number, instance)).or_insert(time);
                }
            }
        }
        if must_touch {
            self.watched.values().filter(|watched| watched.seen).for_each(|watched| self.indices.touch(watched.index));
        }
        changed | self.absent(elapsed, now)
    }

    /// What was raised of an instance is over once that is disabled.
    fn quiet(&mut self, key: &str) -> bool {
        match self.watched.get_mut(key).filter(|watched| watched.machine.raised && !watched.is_over) {
            Some(watched) => {
                tracing::warn!(alarm = key, "cleared: its instance is disabled");
                watched.end();
                true
            }
            None => false,
        }
    }

    /// What this look did not come by.
    fn absent(&mut self, elapsed: Duration, now: Instant) -> bool {
        let before = self.watched.len();
        let mut given_up = false;
        for (key, watched) in self.watched.iter_mut().filter(|(_, watched)| !watched.seen && !watched.is_over) {
            watched.growth.forget();
            watched.away = watched.away.saturating_add(elapsed);
            if watched.machine.value.take().is_some() {
                watched.since = now;
            }
            watched.machine.interrupt();
            if watched.away >= GIVEN_UP && watched.machine.raised {
                tracing::warn!(alarm = key, "cleared: it has not been there for 30 days");
                watched.end();
                given_up = true;
            }
        }
        self.watched.retain(|_, watched| watched.sent.is_some() || !watched.is_done());
        given_up || self.watched.len() != before
    }

    fn row(
        &mut self,
        key: &str,
        rule: &Rule,
        about: &Arc<About>,
        (value, rate): (Option<Value>, Option<(Duration, Option<Duration>)>),
        elapsed: Duration,
        now: Instant,
    ) -> bool {
        let time = self.time(now);
        let watched = match self.watched.get_mut(key) {
            Some(watched) => watched,
            None => {
                let index = if self.watched.len() < ROWS { self.indices.index(key) } else { None };
                let Some(index) = index else {
                    self.left_out += 1;
                    return false;
                };
                let new = Watched::new(key, Arc::clone(about), index, now);
                self.watched.entry(key.to_owned()).or_insert(new)
            }
        };
        if watched.is_over {
            // Its end is told first.
            return false;
        }
        watched.seen = true;
        let value = match rate {
            None => value.as_ref().and_then(rows::number),
            Some((window, since)) => {
                let count = value.as_ref().and_then(rows::count);
                if let (Some(_), Some(since)) = (&count, since) {
                    watched.growth.begin(since, time, window);
                }
                watched.growth.look(count, time, window)
            }
        };
        let changed = watched.step(rule, value, elapsed, now);
        if changed {
            let state = if watched.machine.raised { "raised" } else { "cleared" };
            tracing::warn!(alarm = key, "{state}: {}", text(key, watched));
        }
        changed
    }

    /// Takes receipts, and sends what managers do not know; whether that must be saved.
    fn tell(&mut self, notifier: &Notifier, moment: Moment) {
        let now = moment.at;
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
        self.watched.retain(|_, watched| watched.sent.is_some() || !watched.is_done());
        let root = self.context.config.agentx.root.clone();
        let mut ready = Vec::new();
        for (key, watched) in &mut self.watched {
            let has_value = watched.machine.value.is_some() || watched.is_over || watched.away >= PATIENCE;
            if watched.sent.is_some() || !watched.machine.must_be_told() || !has_value {
                continue;
            }
            let kind = Kind::of(&watched.about.object, watched.machine.raised);
            if self.desk.may_send(kind, now) {
                watched.machine.told = Told::Unsure;
                ready.push((key.clone(), kind));
            } else {
                self.desk.hold_back();
            }
        }
        if !ready.is_empty() {
            self.last_sent = Some(now);
        }
        if moved || !ready.is_empty() {
            // Before it is sent: after a kill it is told again rather than never.
            self.save(moment);
        }
        for (key, kind) in ready {
            let Some(watched) = self.watched.get_mut(&key) else { continue };
            let row = shown(&key, watched);
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
        if let Some(beat) = self.heartbeat.beat(&root, &self.context.publisher.view(), raised as u64, now) {
            notifier.send(beat);
        }
    }

    fn publish(&mut self) {
        let shown = self.watched.iter_mut().filter(|(_, watched)| !watched.is_over);
        let rows: Vec<Row> = shown.map(|(key, watched)| watched::shown(key, watched)).collect();
        let watched = self.watched.iter().filter(|(_, watched)| !watched.is_over);
        let mut conditions: Vec<Condition> = rows
            .iter()
            .zip(watched)
            // postfixHealth has what raised an alarm on it, and would never be well again for the alarm alone.
            .filter(|(_, (_, watched))| watched.machine.raised && watched.about.object != "postfixHealth")
            .map(|(row, _)| Condition {
                severity: match row.severity {
                    alarm::Severity::Warning => HealthSeverity::Warning,
                    alarm::Severity::Critical => HealthSeverity::Critical,
                },
                subject: Subject::Alarm,
                text: String::from_utf8_lossy(&row.text).into_owned(),
            })
            .collect();
        if self.left_out > 0 {
            let text = format!(
                "{} rows are not watched: alarms look at {ROWS} rows at most; name the rows that matter in `alarms:`",
                self.left_out
            );
            conditions.push(Condition { severity: HealthSeverity::Warning, subject: Subject::Alarm, text });
        }
        self.context.health.conditions("alarm", conditions);
        self.context.publisher.publish([ALARMS.fragment(&rows)]);
    }

    fn save(&mut self, moment: Moment) {
        let now = moment.at;
        let time = self.time(now);
        let kept = |(key, watched): (&String, &Watched)| (key.clone(), Kept::of(watched, time, moment.clock));
        let rows = self.watched.iter().map(kept).collect();
        let saved = Saved { indices: Some(self.indices.clone()), rows };
        self.last_saved = now;
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

impl Alarms {
    fn turn(&mut self, moment: Moment) -> Next {
        let now = moment.at;
        // Between two looks only receipts are taken.
        if self.last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL) {
            let view = self.context.publisher.view();
            let changed = self.look(&view, moment);
            // A number that a row was given is its own for ever.
            let is_old = now.saturating_duration_since(self.last_saved) >= SAVED
                && self.context.config.alarms.0.iter().any(|alarm| alarm.when.rate.is_some());
            if (changed || is_old || self.indices.must_be_saved()) && self.context.notifier.is_some() {
                self.save(moment);
            }
            self.publish();
        }
        let Some(notifier) = self.context.notifier.clone() else { return Next::After(INTERVAL) };
        self.tell(&notifier, moment);
        let is_attentive = self.last_sent.is_some_and(|at| now.saturating_duration_since(at) < ATTENTIVE);
        let waits = is_attentive && self.watched.values().any(|watched| watched.sent.is_some());
        Next::After(if waits { SOON } else { INTERVAL })
    }

    fn end(&mut self, moment: Moment) {
        if let Some(notifier) = self.context.notifier.clone() {
            self.tell(&notifier, moment);
            self.save(moment);
        }
    }
}

impl Collector for Alarms {
    fn name(&self) -> &'static str {
        "alarm"
    }

    fn refresh(&mut self) -> Next {
        self.turn(Moment::now())
    }

    fn finish(&mut self) {
        self.end(Moment::now());
    }
}
