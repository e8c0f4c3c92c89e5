//! What postfixHealth is made of: the conditions collectors hand over, and what the status of the sources adds to them.

use super::source::{Attempt, SourceKey, SourceKind, SourceRow, Status};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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
    /// A probe or a certificate.
    Probe,
    /// A changed configuration that was not taken over.
    Configuration,
    /// The state directory and what was saved in it.
    State,
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

impl Condition {
    /// Why a total is missing, where there is more than one instance: `name` cannot be counted.
    pub fn totals_missing(subject: Subject, what: &str, name: &str, error: &str) -> Self {
        let text = format!("{name}: the totals of the {what} are missing because of it: {error}");
        Self { severity: Severity::Warning, subject, text }
    }
}

/// postfixHealth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Ok = 1,
    Warning = 2,
    Critical = 3,
    Unknown = 4,
}

/// One row of postfixHealthObjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) sources_failing: u64,
    pub(super) instances_down: u64,
    pub(super) alarms_raised: u64,
}

/// All sources by key, all conditions by their owner.
#[derive(Default)]
pub(super) struct State {
    pub(super) sources: BTreeMap<SourceKey, SourceRow>,
    pub(super) conditions: BTreeMap<&'static str, Vec<Condition>>,
}

/// The worst of it, with its cause. `expected`: the kinds every instance has, once it is known.
pub(super) fn summary(state: &State, expected: &[SourceKind], now: Instant) -> Summary {
    let of = |wanted| state.conditions.values().flatten().filter(move |c| c.subject == wanted).count() as u64;
    let mut worst: Vec<(Severity, String)> =
        state.conditions.values().flatten().map(|c| (c.severity, c.text.clone())).collect();
    let mut sources_failing = 0;
    for source in state.sources.values() {
        match source.status(now) {
            Status::Failing => {
                sources_failing += u64::from(source.key.has_row());
                let error = String::from_utf8_lossy(&source.error);
                let error = if error.is_empty() { "no answer from it any more".into() } else { error };
                worst.push((Severity::Warning, format!("{}: {error}", source.name)));
            }
            Status::Stale if source.attempt == Attempt::Denied => {
                let error = String::from_utf8_lossy(&source.error);
                worst.push((Severity::Warning, format!("{}: {error}", source.name)));
            }
            Status::Starting => worst.push((Severity::Unknown, format!("{} is still being read", source.name))),
            Status::Ok | Status::Stale | Status::Disabled => {}
        }
    }
    // An instance that was found is not ok before every collector has looked at it, whichever comes late.
    for (row, missing) in missing(state, expected) {
        worst.push((Severity::Unknown, format!("{}: its {} is not read yet", row.name, missing.label())));
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

/// For every instance that was found: the first kind of source it has not got.
fn missing<'a>(state: &'a State, expected: &'a [SourceKind]) -> impl Iterator<Item = (&'a SourceRow, SourceKind)> + 'a {
    let found = |row: &&SourceRow| row.key.kind == SourceKind::Instance && row.attempt == Attempt::Succeeded;
    state.sources.values().filter(found).filter_map(|row| {
        let absent = |kind: &&SourceKind| !state.sources.contains_key(&row.key.of_kind(**kind));
        Some((row, *expected.iter().find(absent)?))
    })
}

/// How long after an instance was found a collector may take to notice it.
const NOTICE: Duration = Duration::from_secs(30);

/// The keys among `kinds` for which a collector has a source to answer and has none, though it has ended a refresh.
pub(super) fn unanswered(state: &State, kinds: &[SourceKind], now: Instant) -> Vec<(SourceKey, String, Duration)> {
    let found = state.sources.values().filter(|row| {
        let since = now.saturating_duration_since(row.created);
        row.key.kind == SourceKind::Instance && row.attempt == Attempt::Succeeded && since > NOTICE
    });
    found
        .flat_map(|row| {
            let absent = |kind: &&SourceKind| !state.sources.contains_key(&row.key.of_kind(**kind));
            let name = row.instance_name();
            kinds.iter().filter(absent).map(move |kind| (row.key.of_kind(*kind), name.clone(), row.interval))
        })
        .collect()
}
