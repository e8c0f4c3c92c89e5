//! The queue stands still: mail is active, qmgr runs, and for a while nothing was delivered, deferred or bounced.
//!
//! Three sources have to say so all that time: the queue that there is active mail, /proc that qmgr runs, and the log that
//! nothing comes of it. What one of them cannot tell is no standstill, and the time begins anew. It does as well when the
//! active queue gets smaller or the deferred one larger: then somebody works there, and the log only does not show it.

use super::{Condition, Severity, SourceKind, Status, Subject};
use crate::{collect::published::Published, postfix::queue::QueueKind};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Counters of the log one of which moves when a delivery agent, or qmgr itself, is through with something.
const DONE: [&str; 13] = [
    "postfixMailSent",
    "postfixMailSentToFilter",
    "postfixMailForwarded",
    "postfixMailDeferrals",
    "postfixMailSoftBounced",
    "postfixMailBounced",
    "postfixMailExpired",
    "postfixMailForceExpired",
    "postfixMailOtherStatus",
    "postfixMailRemoved",
    "postfixMailDiscarded",
    "postfixMailDeliverable",
    "postfixMailUndeliverable",
];
/// Of postfixDaemonState, postfixInstanceState.
const RUNNING: u64 = 1;
/// Of postfixDaemonKind.
const QMGR: u32 = 2;

/// What is remembered from one look to the next.
pub(super) struct Standstill {
    /// For so long must nothing have moved; `None`: nobody wants to know.
    patience: Option<Duration>,
    /// By instance.
    still: BTreeMap<u32, Still>,
}

struct Still {
    since: Instant,
    seen: Seen,
}

/// What the sources say of an instance where all of them say something, and mail is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    done: [u64; DONE.len()],
    active: u64,
    deferred: u64,
}

impl Seen {
    fn of(published: &Published<'_>, instance: u32) -> Option<Self> {
        let is = |column, index: &[u32], wanted| published.number(column, index).filter(|value| *value == wanted);
        for kind in [SourceKind::Queue, SourceKind::Log, SourceKind::Processes] {
            is("postfixSourceStatus", &[instance, kind as u32], Status::Ok as u64)?;
        }
        is("postfixInstanceState", &[instance], RUNNING)?;
        is("postfixDaemonState", &[instance, QMGR], RUNNING)?;
        let messages = |kind| published.number("postfixQueueMessages", &[instance, kind as u32]);
        let (active, deferred) = (messages(QueueKind::Active)?, messages(QueueKind::Deferred)?);
        let mut done = [0; DONE.len()];
        for (count, column) in done.iter_mut().zip(DONE) {
            *count = published.number(column, &[instance])?;
        }
        (active > 0).then_some(Self { done, active, deferred })
    }

    /// Whether somebody was through with something since.
    fn moved(&self, before: &Self) -> bool {
        self.done != before.done || self.active < before.active || self.deferred > before.deferred
    }
}

impl Standstill {
    pub(super) fn new(patience: Option<Duration>) -> Self {
        Self { patience, still: BTreeMap::new() }
    }

    /// Looks at what is published now.
    pub(super) fn look(&mut self, published: &Published<'_>) -> Vec<Condition> {
        let Some(patience) = self.patience else { return Vec::new() };
        let instances = published.enabled();
        self.still.retain(|instance, _| instances.contains(instance));
        instances.into_iter().filter_map(|instance| self.instance(published, instance, patience)).collect()
    }

    fn instance(&mut self, published: &Published<'_>, instance: u32, patience: Duration) -> Option<Condition> {
        let seen = Seen::of(published, instance);
        let still = self.step(instance, seen, published.now)?;
        // A queue that is read more seldom than that could have been empty in between.
        let age = published.number("postfixSourceAge", &[instance, SourceKind::Queue as u32])?;
        let name = published.text("postfixInstanceName", &[instance])?;
        (still >= patience && age <= patience.as_secs()).then(|| Condition {
            severity: Severity::Warning,
            subject: Subject::Queue,
            text: text(&String::from_utf8_lossy(&name), seen.map_or(0, |seen| seen.active), patience),
        })
    }

    /// For how long nothing has moved, where that can be told.
    fn step(&mut self, instance: u32, seen: Option<Seen>, now: Instant) -> Option<Duration> {
        let Some(seen) = seen else {
            self.still.remove(&instance);
            return None;
        };
        let still = self.still.entry(instance).or_insert(Still { since: now, seen });
        if seen.moved(&still.seen) {
            still.since = now;
        }
        still.seen = seen;
        Some(now.saturating_duration_since(still.since))
    }
}

fn text(name: &str, active: u64, patience: Duration) -> String {
    let time = match patience.as_secs() {
        seconds if seconds >= 120 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    };
    format!(
        "{name}: the queue stands still: {active} messages are active, and none was delivered, deferred or bounced for {time}; see the last lines of qmgr and of the delivery agents in the log, and whether these still run"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::catalogue;

    #[test]
    fn every_object_it_reads_exists() {
        let columns: Vec<_> = catalogue().iter().flat_map(|table| table.columns()).map(|c| c.name).collect();
        let descriptor = |word: &&str| word.starts_with("postfix") && word.chars().any(char::is_uppercase);
        for name in include_str!("standstill.rs").split('"').filter(descriptor) {
            assert!(columns.contains(&name), "{name}");
        }
    }

    #[test]
    fn whatever_moves_or_is_not_known_begins_the_time_anew() {
        let mut standstill = Standstill::new(Some(Duration::from_secs(600)));
        let begun = Instant::now();
        let still = Seen { done: [5; DONE.len()], active: 3, deferred: 8 };
        let mut at =
            |seconds, seen| standstill.step(1, seen, begun + Duration::from_secs(seconds)).map(|still| still.as_secs());
        assert_eq!([at(0, Some(still)), at(300, Some(still)), at(600, Some(still))], [Some(0), Some(300), Some(600)]);
        // More mail comes in, some of the deferred becomes active: nothing gets done by that.
        let more = Seen { active: 7, deferred: 4, ..still };
        assert_eq!([at(700, Some(more)), at(710, Some(more))], [Some(700), Some(710)]);
        for (seconds, moved) in [
            (800, Seen { active: 6, ..more }),
            (900, Seen { active: 6, deferred: 5, ..more }),
            (1_000, Seen { active: 6, deferred: 5, done: std::array::from_fn(|i| 5 + u64::from(i == 12)) }),
        ] {
            assert_eq!([at(seconds, Some(moved)), at(seconds + 50, Some(moved))], [Some(0), Some(50)], "{moved:?}");
        }
        assert_eq!([at(2_000, None), at(2_001, Some(still)), at(2_002, Some(still))], [None, Some(0), Some(1)]);
    }

    #[test]
    fn the_text_fits() {
        let text = text("postfix-with-a-long-name", 4_000_000_000, Duration::from_secs(600));
        assert!(text.len() <= 255 && text.contains("for 10 min"), "{}: {text}", text.len());
        assert!(super::text("a", 1, Duration::from_secs(3)).contains("for 3 s"));
    }
}
