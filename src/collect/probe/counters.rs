//! What is counted of a probe, and outlives the process.

use super::{message::Stamp, run::Outcome};
use crate::{
    collect::registry::Registry,
    config::probe::{Kind, Probe},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Messages that are waited for, a probe. With more the oldest counts as lost.
const PENDING: usize = 1_000;

/// The state file.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    /// postfixProbeIndex by name.
    pub(super) probes: Registry,
    /// postfixCertificateIndex by the probe's name, or [`super::smtpd::Own::key`].
    pub(super) certificates: Registry,
    /// By name of the probe.
    pub(super) counters: BTreeMap<String, Counters>,
}

impl Default for Saved {
    fn default() -> Self {
        Self { probes: Registry::new(1), certificates: Registry::new(1), counters: BTreeMap::new() }
    }
}

/// Of one probe.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counters {
    pub(super) successes: u64,
    pub(super) failures: u64,
    /// Milliseconds of all successes.
    pub(super) latency_sum: u64,
    pub(super) late: u64,
    pub(super) lost: u64,
    pub(super) pending: Vec<Stamp>,
    /// By number of the stage.
    pub(super) stage_failures: BTreeMap<u32, u64>,
}

impl Counters {
    /// Takes one run over.
    pub(super) fn count(&mut self, probe: &Probe, outcome: &Outcome) {
        match outcome.failure {
            None => {
                self.successes += 1;
                self.latency_sum += millis(outcome.latency);
            }
            Some(_) => self.failures += 1,
        }
        for timed in outcome.trace.stages().iter().filter(|timed| !timed.passed) {
            *self.stage_failures.entry(timed.stage as u32).or_default() += 1;
        }
        let mail = &outcome.mail;
        for late in &mail.late {
            let before = self.pending.len();
            self.pending.retain(|pending| pending != late);
            self.late += (before - self.pending.len()) as u64;
        }
        if let (Kind::RoundTrip(_), Some(stamp), true, false) = (&probe.kind, &mail.stamp, mail.sent, mail.arrived) {
            self.pending.push(stamp.clone());
            if self.pending.len() > PENDING {
                self.pending.remove(0);
                self.lost += 1;
            }
        }
    }

    /// Gives up what was sent too long ago; says whether there was any. What was sent far in the future was so by a clock that
    /// was wrong: it is nothing that was lost, and nothing to wait for.
    pub(super) fn give_up(&mut self, lost_after: Duration, now: u64) -> bool {
        let before = self.pending.len();
        // A clock that was set back makes nothing older.
        self.pending.retain(|stamp| stamp.sent.saturating_add(lost_after.as_secs()) > now);
        let lost = before - self.pending.len();
        self.lost += lost as u64;
        self.pending.retain(|stamp| stamp.sent <= now.saturating_add(lost_after.as_secs()));
        before > self.pending.len()
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
