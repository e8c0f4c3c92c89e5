//! One source of numbers: what a collector reports of it, and what its status is after so long.

use super::Health;
use crate::{mib::text, smi::Octets};
use std::time::{Duration, Instant};

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
    /// The probes of this host and the certificates of its SMTP servers, all together.
    Probes = 6,
}

impl SourceKind {
    /// The enumeration's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Queue => "queue",
            Self::Log => "log",
            Self::Processes => "processes",
            Self::Services => "services",
            Self::Probes => "probes",
        }
    }
}

/// Which source. An instance may have many of a kind, and one that is not an instance's has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceKey {
    /// postfixInstanceIndex of the instance it belongs to.
    pub instance: Option<u32>,
    /// What is read.
    pub kind: SourceKind,
    /// 0 where there can be one only; that one is a row of postfixSourceTable.
    pub number: u32,
}

impl SourceKey {
    /// The only source of its kind that this instance has.
    pub fn of_instance(instance: u32, kind: SourceKind) -> Self {
        Self { instance: Some(instance), kind, number: 0 }
    }

    /// The only source of its kind that the host has.
    pub fn of_host(kind: SourceKind) -> Self {
        Self { instance: None, kind, number: 0 }
    }

    /// Another kind of source of the same instance.
    pub(super) fn of_kind(self, kind: SourceKind) -> Self {
        Self { kind, number: 0, ..self }
    }

    /// Whether postfixSourceTable shows it.
    pub(super) fn has_row(self) -> bool {
        self.number == 0
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

/// How long the last values of a source that is read every `interval` are shown without newer ones. What a collector
/// publishes is valid for as long, so that one that hangs withdraws its values itself.
pub fn lifetime(interval: Duration) -> Duration {
    (interval * 3).max(Duration::from_secs(180))
}

/// How old the last success of a source that is read every `interval` may be before its values are no longer the present.
fn is_stale(interval: Duration, age: Duration) -> bool {
    age > interval * 3 + Duration::from_secs(10)
}

/// How the last attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Starting,
    Succeeded,
    Failed,
    /// Failed because a right is missing, which does not come back by itself.
    Denied,
    /// Failed in a way that leaves nothing to wait for.
    Lost,
    Disabled,
}

/// What is known of one source.
#[derive(Clone, Debug)]
pub(super) struct SourceRow {
    pub(super) key: SourceKey,
    pub(super) name: String,
    pub(super) method: &'static str,
    pub(super) interval: Duration,
    pub(super) created: Instant,
    /// When its collector reported last.
    pub(super) heard: Instant,
    pub(super) last_success: Option<Instant>,
    pub(super) took: Duration,
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) error: Octets,
    pub(super) attempt: Attempt,
    /// What `check` should say of it although it is well.
    pub(super) remark: String,
    /// Whether a collector holds its handle; else it was noted that none does.
    pub(super) has_handle: bool,
}

impl SourceRow {
    pub(super) fn new(key: SourceKey, name: String, interval: Duration) -> Self {
        let now = Instant::now();
        Self {
            key,
            name,
            method: "",
            interval,
            created: now,
            heard: now,
            last_success: None,
            took: Duration::ZERO,
            successes: 0,
            failures: 0,
            error: text("", 0),
            attempt: Attempt::Starting,
            remark: String::new(),
            has_handle: true,
        }
    }

    pub(super) fn status(&self, now: Instant) -> Status {
        let age = now.saturating_duration_since(self.last_success.unwrap_or(self.created));
        match self.attempt {
            Attempt::Disabled => Status::Disabled,
            Attempt::Lost => Status::Failing,
            Attempt::Starting => Status::Starting,
            Attempt::Succeeded | Attempt::Failed | Attempt::Denied if age > lifetime(self.interval) => Status::Failing,
            Attempt::Failed | Attempt::Denied if self.last_success.is_none() => Status::Failing,
            Attempt::Failed | Attempt::Denied => Status::Stale,
            Attempt::Succeeded if is_stale(self.interval, age) => Status::Stale,
            Attempt::Succeeded => Status::Ok,
        }
    }

    /// The name without the kind behind it.
    pub(super) fn instance_name(&self) -> String {
        self.name.strip_suffix(self.key.kind.label()).unwrap_or(&self.name).trim_end().to_owned()
    }

    /// Counts an attempt that failed; whether that is news.
    pub(super) fn fail(&mut self, error: &str, attempt: Attempt) -> bool {
        // More than postfixSourceError may have: `check` shows all of it.
        let error = text(error, 1_000);
        let changed = self.error != error || self.attempt == Attempt::Succeeded;
        self.failures += 1;
        self.error = error;
        self.attempt = attempt;
        changed
    }

    /// Whether the collector, which has just ended a refresh, owes a report.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.attempt != Attempt::Disabled && now.saturating_duration_since(self.heard) > lifetime(self.interval)
    }
}

/// The handle to one source. Its collector reports every attempt; its row lasts as long as the handle.
pub struct Source {
    pub(super) health: Health,
    pub(super) key: SourceKey,
    /// Tells its row from that of a successor with the same key.
    pub(super) created: Instant,
}

/// One source, for people.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which source.
    pub key: SourceKey,
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
    /// What is worth knowing although nothing is wrong.
    pub remark: String,
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
            row.attempt = Attempt::Succeeded;
        });
    }

    /// It could not be read this time. Returns whether the last values must be withdrawn by now: at once if it never
    /// succeeded, else after [`lifetime`].
    pub fn failure(&self, error: &str) -> bool {
        self.fail(error, Attempt::Failed)
    }

    /// As [`failure`](Self::failure), because a right is missing: postfixHealth tells it at once, while the last values are
    /// still shown.
    pub fn denied(&self, error: &str) -> bool {
        self.fail(error, Attempt::Denied)
    }

    /// It is gone: last values would mislead (showq of a stopped Postfix). Withdraw them.
    pub fn lost(&self, error: &str) {
        self.fail(error, Attempt::Lost);
    }

    fn fail(&self, error: &str, attempt: Attempt) -> bool {
        // Once a change, never once an attempt.
        if self.change(|row| row.fail(error, attempt)) == Some(true) {
            let SourceKey { instance, kind, .. } = self.key;
            tracing::warn!(instance, source = kind.label(), "{error}");
        }
        self.status() == Status::Failing
    }

    /// What is worth knowing although it is read; empty: nothing.
    pub fn remark(&self, text: &str) {
        self.change(|row| text.clone_into(&mut row.remark));
    }

    /// Its instance is called differently now.
    pub fn rename(&self, instance: &str) {
        let name = format!("{instance} {}", self.key.kind.label());
        self.health.rename(self.key, name);
    }

    /// It is not read, by configuration.
    pub fn disabled(&self) {
        self.change(|row| row.attempt = Attempt::Disabled);
    }

    /// The expected time between two attempts has changed.
    pub fn set_interval(&self, interval: Duration) {
        self.change(|row| row.interval = interval);
    }

    /// As postfixSourceStatus shows it.
    pub fn status(&self) -> Status {
        self.health.status(self.key)
    }

    fn change<T>(&self, change: impl FnOnce(&mut SourceRow) -> T) -> Option<T> {
        self.health.change(self.key, change)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.health.remove(self.key, self.created);
    }
}
