//! The agent about itself: postfixHealth, postfixAgent and postfixSourceTable. Always instantiated, whatever fails.
//!
//! Every other collector holds a [`Source`] an instance and reports each attempt to it, and hands over the
//! [`Condition`]s it sees. Status follows from both and from time: a collector that hangs turns stale, then failing, by
//! itself ([`Watchdog`]).

use super::{Collector, Next};
use crate::{
    mib::{AnyTable, Get, Index, Publisher, Table, column, scalars, text},
    smi::Octets,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

/// The tables this module owns.
pub static TABLES: &[&dyn AnyTable] = &[&HEALTH, &AGENT, &SOURCES];

static HEALTH: Table<Summary> = scalars(
    "postfixHealthObjects",
    &[1, 1, 1],
    &[
        column(1, "postfixHealth", Get::Integer(|h| Some(h.level as i32))),
        column(2, "postfixHealthText", Get::Text(|h| Some(text(&h.text, 255)))),
        column(3, "postfixSourcesFailing", Get::Gauge32(|h| Some(h.sources_failing))),
        column(4, "postfixInstancesDown", Get::Gauge32(|h| Some(h.instances_down))),
        column(5, "postfixAlarmsRaised", Get::Gauge32(|h| Some(h.alarms_raised))),
    ],
);

static AGENT: Table<AgentCounters> = scalars(
    "postfixAgentObjects",
    &[1, 1, 2],
    &[
        column(1, "postfixAgentVersion", Get::Text(|_| Some(text(env!("CARGO_PKG_VERSION"), 64)))),
        column(2, "postfixAgentUptime", Get::AgeTicks(|a| Some(a.started))),
        column(3, "postfixAgentMasterConnects", Get::LiveCounter32(|a| Some(a.master_connects.clone()))),
        column(4, "postfixAgentReloads", Get::LiveCounter32(|a| Some(a.reloads.clone()))),
        column(5, "postfixAgentNotifications", Get::LiveCounter32(|a| Some(a.notifications.clone()))),
        column(6, "postfixAgentNotificationsDropped", Get::LiveCounter32(|a| Some(a.notifications_dropped.clone()))),
    ],
);

static SOURCES: Table<SourceRow> = Table {
    name: "postfixSourceTable",
    entry: &[1, 1, 3, 1],
    index: |s| Index::from_slice(&[s.instance, s.kind as u32]),
    columns: &[
        column(2, "postfixSourceName", Get::Text(|s| Some(text(&s.name, 64)))),
        column(3, "postfixSourceMethod", Get::Text(|s| Some(text(s.method, 32)))),
        column(4, "postfixSourceStatus", Get::Integer(|s| Some(s.status(Instant::now()) as i32))),
        column(5, "postfixSourceAge", Get::Age(|s| Some(s.last_success.unwrap_or(s.created)))),
        column(6, "postfixSourceDuration", Get::Gauge32(|s| Some(s.took.as_millis() as u64))),
        column(7, "postfixSourceSuccesses", Get::Counter32(|s| Some(s.successes))),
        column(8, "postfixSourceFailures", Get::Counter32(|s| Some(s.failures))),
        column(9, "postfixSourceError", Get::Text(|s| Some(s.error.clone()))),
    ],
};

/// Live numbers of the agent's own session with snmpd.
#[derive(Clone, Debug)]
pub struct AgentCounters {
    /// When the agent began to count.
    pub started: Instant,
    /// AgentX sessions opened.
    pub master_connects: Arc<AtomicU64>,
    /// Configurations taken over without a restart.
    pub reloads: Arc<AtomicU64>,
    /// Notifications snmpd took.
    pub notifications: Arc<AtomicU64>,
    /// Notifications given up.
    pub notifications_dropped: Arc<AtomicU64>,
}

impl Default for AgentCounters {
    fn default() -> Self {
        let zero = Arc::<AtomicU64>::default;
        Self {
            started: Instant::now(),
            master_connects: zero(),
            reloads: zero(),
            notifications: zero(),
            notifications_dropped: zero(),
        }
    }
}

/// postfixSourceKind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// postconf and /proc/locks.
    Instance = 1,
    /// Spool or showq.
    Queue = 2,
    /// Log files or journal.
    Log = 3,
    /// procfs.
    Processes = 4,
    /// master.cf.
    Services = 5,
}

impl SourceKind {
    /// Those every instance has beside [`Instance`](Self::Instance), each from a collector of its own.
    const OF_COLLECTORS: [Self; 4] = [Self::Queue, Self::Log, Self::Processes, Self::Services];

    /// The enumeration's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Queue => "queue",
            Self::Log => "log",
            Self::Processes => "processes",
            Self::Services => "services",
        }
    }
}

/// postfixSourceStatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The last attempt succeeded and is recent.
    Ok = 1,
    /// The last values are still shown though newer ones could not be had.
    Stale = 2,
    /// Nothing is shown.
    Failing = 3,
    /// Not wanted by the configuration.
    Disabled = 4,
    /// Has not been through once.
    Starting = 5,
}

/// How bad a condition is; the worst makes postfixHealth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Cannot be judged.
    Unknown,
    /// Someone should look.
    Warning,
    /// Mail does not flow, or will not for long.
    Critical,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An enabled instance does not run.
    InstanceDown,
    /// A daemon or service of a running instance.
    Daemon,
    /// Queue or spool.
    Queue,
    /// The log.
    Log,
    /// A configured threshold.
    Alarm,
}

/// Something postfixHealth must tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// How bad.
    pub severity: Severity,
    /// About what.
    pub subject: Subject,
    /// What is the case and what to do, naming the instance.
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok = 1,
    Warning = 2,
    Critical = 3,
    Unknown = 4,
}

struct Summary {
    level: Level,
    text: String,
    sources_failing: u64,
    instances_down: u64,
    alarms_raised: u64,
}

#[derive(Clone)]
struct SourceRow {
    instance: u32,
    kind: SourceKind,
    name: String,
    method: &'static str,
    interval: Duration,
    created: Instant,
    last_success: Option<Instant>,
    took: Duration,
    successes: u64,
    failures: u64,
    error: Octets,
    state: Attempt,
}

/// How the last attempt ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Starting,
    Succeeded,
    Failed,
    /// Failed in a way that leaves nothing to wait for.
    Lost,
    Disabled,
}

impl SourceRow {
    /// So long are last values shown without newer ones.
    fn grace(&self) -> Duration {
        (self.interval * 3).max(Duration::from_secs(180))
    }

    fn status(&self, now: Instant) -> Status {
        let age = now.saturating_duration_since(self.last_success.unwrap_or(self.created));
        match self.state {
            Attempt::Disabled => Status::Disabled,
            Attempt::Lost => Status::Failing,
            Attempt::Starting => Status::Starting,
            Attempt::Succeeded | Attempt::Failed if age > self.grace() => Status::Failing,
            Attempt::Failed if self.last_success.is_none() => Status::Failing,
            Attempt::Failed => Status::Stale,
            Attempt::Succeeded if age > self.interval * 3 + Duration::from_secs(10) => Status::Stale,
            Attempt::Succeeded => Status::Ok,
        }
    }
}

/// The hub. Clones are the same one.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    publisher: Publisher,
    agent: AgentCounters,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sources: BTreeMap<(u32, SourceKind), SourceRow>,
    conditions: BTreeMap<&'static str, Vec<Condition>>,
}

impl Health {
    /// Publishes at once: nothing of this is ever missing.
    pub fn new(publisher: Publisher, agent: AgentCounters) -> Self {
        let health = Self(Arc::new(Inner { publisher, agent, state: Mutex::default() }));
        health.update(|_| {});
        health
    }

    /// A source of `instance`, with status starting. Its row lasts as long as the handle.
    pub fn source(&self, instance: u32, name: &str, kind: SourceKind, interval: Duration) -> Source {
        let row = SourceRow {
            instance,
            kind,
            name: format!("{name} {}", kind.label()),
            method: "",
            interval,
            created: Instant::now(),
            last_success: None,
            took: Duration::ZERO,
            successes: 0,
            failures: 0,
            error: text("", 0),
            state: Attempt::Starting,
        };
        let created = row.created;
        self.update(|state| state.sources.insert((instance, kind), row));
        Source { health: self.clone(), key: (instance, kind), created }
    }

    /// What postfixSourceTable says, for `check`.
    pub fn report(&self) -> Vec<Report> {
        let now = Instant::now();
        let report = |row: &SourceRow| Report {
            name: row.name.clone(),
            method: row.method,
            status: row.status(now),
            took: row.took,
            error: String::from_utf8_lossy(&row.error).into_owned(),
        };
        self.lock().sources.values().map(report).collect()
    }

    /// All conditions, the worst first.
    pub fn all_conditions(&self) -> Vec<Condition> {
        let mut all: Vec<_> = self.lock().conditions.values().flatten().cloned().collect();
        all.sort_by_key(|c| std::cmp::Reverse(c.severity));
        all
    }

    /// Replaces all conditions of this owner.
    pub fn conditions(&self, owner: &'static str, conditions: Vec<Condition>) {
        let changed = self.lock().conditions.get(owner).is_none_or(|old| *old != conditions);
        if changed {
            self.update(|state| state.conditions.insert(owner, conditions));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let rows: Vec<SourceRow> = state.sources.values().cloned().collect();
        let summary = summary(&state, Instant::now());
        // Published under the lock, so that an older state cannot overtake a newer one.
        self.0.publisher.publish([
            HEALTH.fragment(&[summary]),
            AGENT.fragment(std::slice::from_ref(&self.0.agent)),
            SOURCES.fragment(&rows),
        ]);
        result
    }
}

fn summary(state: &State, now: Instant) -> Summary {
    let of = |wanted| state.conditions.values().flatten().filter(move |c| c.subject == wanted).count() as u64;
    let mut worst: Vec<(Severity, String)> =
        state.conditions.values().flatten().map(|c| (c.severity, c.text.clone())).collect();
    let mut sources_failing = 0;
    for source in state.sources.values() {
        match source.status(now) {
            Status::Failing => {
                sources_failing += 1;
                let error = String::from_utf8_lossy(&source.error);
                let error = if error.is_empty() { "no answer from it any more".into() } else { error };
                worst.push((Severity::Warning, format!("{}: {error}", source.name)));
            }
            Status::Starting => worst.push((Severity::Unknown, format!("{} is still being read", source.name))),
            Status::Ok | Status::Stale | Status::Disabled => {}
        }
    }
    // An instance that was found is not ok before everyone has looked at it, whoever comes late.
    for ((index, kind), row) in &state.sources {
        let missing = |wanted: &SourceKind| !state.sources.contains_key(&(*index, *wanted));
        if *kind == SourceKind::Instance
            && row.state == Attempt::Succeeded
            && let Some(missing) = SourceKind::OF_COLLECTORS.into_iter().find(missing)
        {
            worst.push((Severity::Unknown, format!("{}: its {} is not read yet", row.name, missing.label())));
        }
    }
    if state.sources.is_empty() {
        worst.push((Severity::Unknown, "no Postfix instance is known yet".into()));
    }
    // Stable: among equals the first stays first.
    worst.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    let (level, text) = match worst.first() {
        None => (Level::Ok, "ok".to_owned()),
        Some((severity, text)) => {
            let level = match severity {
                Severity::Unknown => Level::Unknown,
                Severity::Warning => Level::Warning,
                Severity::Critical => Level::Critical,
            };
            let others = worst.len() - 1;
            (level, if others == 0 { text.clone() } else { format!("({others} more) {text}") })
        }
    };
    Summary {
        level,
        text,
        sources_failing,
        instances_down: of(Subject::InstanceDown),
        alarms_raised: of(Subject::Alarm),
    }
}

/// One source of one instance. A collector reports every attempt.
pub struct Source {
    health: Health,
    key: (u32, SourceKind),
    /// Tells its row from that of a successor with the same key.
    created: Instant,
}

/// One row of postfixSourceTable, for people.
#[derive(Clone, Debug)]
pub struct Report {
    /// Instance and kind.
    pub name: String,
    /// How it was read.
    pub method: &'static str,
    /// How that went.
    pub status: Status,
    /// How long it took.
    pub took: Duration,
    /// What was wrong and what to do.
    pub error: String,
}

impl Source {
    /// It was read completely, by `method` (`spool`, `showq`, `file`, `journal`, `procfs`, `postconf`), in `took`.
    pub fn success(&self, method: &'static str, took: Duration) {
        self.change(|row| {
            row.method = method;
            row.took = took;
            row.successes += 1;
            row.last_success = Some(Instant::now());
            row.error = text("", 0);
            row.state = Attempt::Succeeded;
        });
    }

    /// It could not be read this time. Returns whether the last values must be withdrawn by now: at once if it never
    /// succeeded, else after 3 intervals and at least 3 minutes.
    pub fn failure(&self, error: &str) -> bool {
        self.fail(error, Attempt::Failed)
    }

    /// It is gone: last values would mislead (showq of a stopped Postfix). Withdraw them.
    pub fn lost(&self, error: &str) {
        self.fail(error, Attempt::Lost);
    }

    fn fail(&self, error: &str, state: Attempt) -> bool {
        let changed = self.change(|row| {
            let error = text(error, 255);
            let changed = row.error != error || row.state == Attempt::Succeeded;
            row.failures += 1;
            row.error = error;
            row.state = state;
            changed
        });
        // Once a change, never once an attempt.
        if changed == Some(true) {
            tracing::warn!(instance = self.key.0, source = self.key.1.label(), "{error}");
        }
        self.status() == Status::Failing
    }

    /// It is not read, by configuration.
    pub fn disabled(&self) {
        self.change(|row| row.state = Attempt::Disabled);
    }

    /// The expected time between two attempts has changed.
    pub fn set_interval(&self, interval: Duration) {
        self.change(|row| row.interval = interval);
    }

    /// As postfixSourceStatus shows it.
    pub fn status(&self) -> Status {
        let now = Instant::now();
        self.health.lock().sources.get(&self.key).map_or(Status::Failing, |row| row.status(now))
    }

    fn change<T>(&self, change: impl FnOnce(&mut SourceRow) -> T) -> Option<T> {
        self.health.update(|state| state.sources.get_mut(&self.key).map(change))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.health.update(|state| {
            if state.sources.get(&self.key).is_some_and(|row| row.created == self.created) {
                state.sources.remove(&self.key);
            }
        });
    }
}

/// Looks after the status of collectors that do not report any more.
pub struct Watchdog(pub Health);

impl Collector for Watchdog {
    fn name(&self) -> &'static str {
        "health"
    }

    fn refresh(&mut self) -> Next {
        self.0.update(|_| {});
        Next::After(Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: Attempt, last_success: Option<Duration>) -> SourceRow {
        let now = Instant::now();
        SourceRow {
            instance: 1,
            kind: SourceKind::Queue,
            name: "postfix queue".into(),
            method: "spool",
            interval: Duration::from_secs(30),
            created: now,
            last_success: last_success.map(|ago| now.checked_sub(ago).unwrap()),
            took: Duration::ZERO,
            successes: 0,
            failures: 0,
            error: text("", 0),
            state,
        }
    }

    #[test]
    fn values_last_three_intervals_and_at_least_three_minutes() {
        let now = Instant::now();
        let secs = |s| Some(Duration::from_secs(s));
        assert_eq!(row(Attempt::Succeeded, secs(30)).status(now), Status::Ok);
        assert_eq!(row(Attempt::Succeeded, secs(110)).status(now), Status::Stale, "a collector that hangs");
        assert_eq!(row(Attempt::Succeeded, secs(190)).status(now), Status::Failing);
        assert_eq!(row(Attempt::Failed, secs(170)).status(now), Status::Stale);
        assert_eq!(row(Attempt::Failed, secs(190)).status(now), Status::Failing);
        assert_eq!(row(Attempt::Failed, None).status(now), Status::Failing, "never succeeded");
        assert_eq!(row(Attempt::Lost, secs(1)).status(now), Status::Failing);
    }

    #[test]
    fn an_instance_is_not_ok_before_everyone_has_looked_at_it() {
        let health = Health::new(Publisher::new([1, 3].into(), TABLES), AgentCounters::default());
        let source = |kind| health.source(1, "postfix", kind, Duration::from_secs(30));
        let level = || summary(&health.lock(), Instant::now()).level as i32;
        let mut sources = vec![source(SourceKind::Instance)];
        sources[0].success("postconf", Duration::ZERO);
        for kind in SourceKind::OF_COLLECTORS {
            assert_eq!(level(), 4, "no {} yet", kind.label());
            sources.push(source(kind));
            assert_eq!(level(), 4, "{} is starting", kind.label());
            match kind {
                SourceKind::Log => sources[sources.len() - 1].disabled(),
                _ => sources[sources.len() - 1].success("x", Duration::ZERO),
            }
        }
        assert_eq!(level(), 1);
    }

    #[test]
    fn the_worst_cause_is_named_first_and_counts() {
        let health = Health::new(Publisher::new([1, 3].into(), TABLES), AgentCounters::default());
        assert_eq!(summary(&health.lock(), Instant::now()).level as i32, 4, "nothing known yet");
        let queue = health.source(1, "postfix", SourceKind::Queue, Duration::from_secs(30));
        queue.success("spool", Duration::ZERO);
        assert_eq!(summary(&health.lock(), Instant::now()).text, "ok");
        assert!(!queue.failure("no permission"), "kept for the grace");
        let down =
            Condition { severity: Severity::Critical, subject: Subject::InstanceDown, text: "postfix: down".into() };
        health.conditions("instance", vec![down]);
        queue.lost("gone");
        let s = summary(&health.lock(), Instant::now());
        assert_eq!((s.text.as_str(), s.sources_failing, s.instances_down), ("(1 more) postfix: down", 1, 1));
        drop(queue);
        assert_eq!(summary(&health.lock(), Instant::now()).sources_failing, 0);
    }
}
