//! The agent about itself: postfixHealth, postfixAgent and postfixSourceTable. Always instantiated, whatever fails.
//!
//! Every other collector holds a [`Source`] an instance and reports each attempt to it, and hands over the
//! [`Condition`]s it sees. Status follows from both and from time: a collector that hangs turns stale, then failing, by
//! itself ([`Watchdog`]), and one that ends its refreshes without a report is found out by [`Health::refreshed`].
//!
//! What changes a status is published at once; what only moves a count or an age waits for the next tick of the watchdog,
//! so that many sources cost little.

mod condition;
mod source;
mod standstill;
mod tables;
#[cfg(test)]
mod tests;

pub use condition::{Condition, Severity, Subject};
pub use source::{Report, Source, SourceKey, SourceKind, Status, lifetime};
pub use tables::{AgentCounters, TABLES};

use super::{Collector, Context, Next, Registration, published::Published};
use crate::mib::Publisher;
use condition::{State, Summary, summary, unanswered};
use source::{Attempt, SourceRow};
use standstill::Standstill;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tables::{AGENT, HEALTH, SOURCES};

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "health",
    tables: TABLES,
    kinds: &[],
    host_kinds: &[],
    make: |context| Box::new(Watchdog::new(context.clone())),
};

/// How often the watchdog looks.
const TICK: Duration = Duration::from_secs(1);

/// The hub. Clones are the same one.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    publisher: Publisher,
    agent: AgentCounters,
    /// The kinds of sources that each instance has.
    expected: Vec<SourceKind>,
    hub: Mutex<Hub>,
}

#[derive(Default)]
struct Hub {
    state: State,
    /// What a reader of the tables would judge by, as last published.
    published: Option<(Summary, Vec<Status>)>,
    /// Whether a count or an age has moved since.
    moved: bool,
}

impl Health {
    /// Publishes at once: nothing of this is ever missing.
    pub fn new(publisher: Publisher, agent: AgentCounters) -> Self {
        let expected = super::kinds().filter(|kind| *kind != SourceKind::Instance).collect();
        let health = Self(Arc::new(Inner { publisher, agent, expected, hub: Mutex::default() }));
        health.update(|_| {});
        health
    }

    /// The only source of its kind of `instance`, with status starting. Its row lasts as long as the handle.
    pub fn source(&self, instance: u32, name: &str, kind: SourceKind, interval: Duration) -> Source {
        let name = format!("{name} {}", kind.label());
        self.named_source(SourceKey::of_instance(instance, kind), name, interval)
    }

    /// Any source, under a name of its own, with status starting.
    pub fn named_source(&self, key: SourceKey, name: String, interval: Duration) -> Source {
        let row = SourceRow::new(key, name, interval);
        let created = row.created;
        self.update(|state| state.sources.insert(key, row));
        Source { health: self.clone(), key, created }
    }

    /// All sources, for `check`.
    pub fn report(&self) -> Vec<Report> {
        let now = Instant::now();
        let report = |row: &SourceRow| Report {
            key: row.key,
            name: row.name.clone(),
            method: row.method,
            status: row.status(now),
            took: row.took,
            error: String::from_utf8_lossy(&row.error).into_owned(),
            remark: row.remark.clone(),
        };
        self.lock().state.sources.values().map(report).collect()
    }

    /// All conditions, the worst first.
    pub fn all_conditions(&self) -> Vec<Condition> {
        let mut all: Vec<_> = self.lock().state.conditions.values().flatten().cloned().collect();
        all.sort_by_key(|c| std::cmp::Reverse(c.severity));
        all
    }

    /// postfixHealthText as last published, in full.
    pub fn text(&self) -> String {
        self.lock().published.as_ref().map(|(summary, _)| summary.text.clone()).unwrap_or_default()
    }

    /// Replaces all conditions of this owner.
    pub fn conditions(&self, owner: &'static str, conditions: Vec<Condition>) {
        let changed = self.lock().state.conditions.get(owner).is_none_or(|old| *old != conditions);
        if changed {
            self.update(|state| state.conditions.insert(owner, conditions));
        }
    }

    /// The collector `name`, which answers for `kinds` of every instance and `host_kinds` of the host, is through with a
    /// refresh. What it has said nothing about for too long is failing: it cannot be known to be well.
    pub fn refreshed(&self, name: &str, kinds: &[SourceKind], host_kinds: &[SourceKind]) {
        let now = Instant::now();
        let mut hub = self.lock();
        let error =
            || format!("the {name} collector ends its refreshes without a report; please report this as a fault");
        let answers = |row: &SourceRow| kinds.contains(&row.key.kind) || host_kinds.contains(&row.key.kind);
        let mut silent = false;
        for row in hub.state.sources.values_mut().filter(|row| answers(row) && row.is_overdue(now)) {
            row.heard = now;
            if row.fail(&error(), Attempt::Failed) {
                tracing::error!(source = row.name, "{}", error());
            }
            silent = true;
        }
        for (key, instance, interval) in unanswered(&hub.state, kinds, now) {
            let mut row = SourceRow::new(key, format!("{instance} {}", key.kind.label()), interval);
            row.fail(&error(), Attempt::Failed);
            row.has_handle = false;
            tracing::error!(source = row.name, "{}", error());
            hub.state.sources.insert(key, row);
            silent = true;
        }
        if silent {
            self.publish(&mut hub);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.0.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut hub = self.lock();
        let result = change(&mut hub.state);
        self.publish(&mut hub);
        result
    }

    /// Under the lock, so that an older state cannot overtake a newer one.
    fn publish(&self, hub: &mut Hub) {
        let now = Instant::now();
        let rows: Vec<SourceRow> = hub.state.sources.values().filter(|row| row.key.has_row()).cloned().collect();
        let summary = summary(&hub.state, &self.0.expected, now);
        hub.published = Some((summary.clone(), rows.iter().map(|row| row.status(now)).collect()));
        hub.moved = false;
        self.0.publisher.publish([
            HEALTH.fragment(&[summary]),
            AGENT.fragment(std::slice::from_ref(&self.0.agent)),
            SOURCES.fragment(&rows),
        ]);
    }

    /// Publishes what has moved, and what time has changed. The watchdog does so once a second; who reads successes or
    /// durations without one calls it first.
    pub fn tick(&self) {
        let mut hub = self.lock();
        let now = Instant::now();
        let rows = hub.state.sources.values().filter(|row| row.key.has_row());
        let statuses: Vec<Status> = rows.map(|row| row.status(now)).collect();
        if hub.moved || hub.published != Some((summary(&hub.state, &self.0.expected, now), statuses)) {
            self.publish(&mut hub);
        }
    }

    /// Changes what is known of one source: published at once where its status changes or its error does.
    fn change<T>(&self, key: SourceKey, change: impl FnOnce(&mut SourceRow) -> T) -> Option<T> {
        let mut hub = self.lock();
        let row = hub.state.sources.get_mut(&key)?;
        let now = Instant::now();
        let before = (row.status(now), row.method, row.error.clone());
        let result = change(row);
        row.heard = now;
        if before == (row.status(now), row.method, row.error.clone()) {
            hub.moved = true;
        } else {
            self.publish(&mut hub);
        }
        Some(result)
    }

    fn rename(&self, key: SourceKey, name: String) {
        let mut hub = self.lock();
        if let Some(row) = hub.state.sources.get_mut(&key)
            && row.name != name
        {
            row.name = name;
            self.publish(&mut hub);
        }
    }

    fn status(&self, key: SourceKey) -> Status {
        let now = Instant::now();
        self.lock().state.sources.get(&key).map_or(Status::Failing, |row| row.status(now))
    }

    /// Forgets a source, unless a successor has its key by now. What was noted about sources an instance has not got goes
    /// with the instance.
    fn remove(&self, key: SourceKey, created: Instant) {
        let mut hub = self.lock();
        if hub.state.sources.get(&key).is_some_and(|row| row.created == created) {
            hub.state.sources.remove(&key);
            if key.kind == SourceKind::Instance {
                hub.state.sources.retain(|other, row| other.instance != key.instance || row.has_handle);
            }
            self.publish(&mut hub);
        }
    }
}

/// Publishes what has moved, looks after the status of collectors that do not report any more, and draws the conclusions
/// that take several of them.
struct Watchdog {
    context: Context,
    standstill: Standstill,
}

impl Watchdog {
    fn new(context: Context) -> Self {
        let standstill = Standstill::new(context.config.health.queue_stands_still.0);
        Self { context, standstill }
    }
}

impl Collector for Watchdog {
    fn name(&self) -> &'static str {
        "health"
    }

    fn refresh(&mut self) -> Next {
        let Context { health, publisher, config, .. } = &self.context;
        health.tick();
        let view = publisher.view();
        let published = Published::new(&view, &config.agentx.root, Instant::now());
        health.conditions("standstill", self.standstill.look(&published));
        Next::After(TICK)
    }
}
