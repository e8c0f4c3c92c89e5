//! Probes: is mail really getting through? postfixProbeTable, postfixProbeStageTable, postfixCertificateTable.
//!
//! - [`smtp`], [`imap`], [`pop3`]: the dialogues, each on a [`connection`] with bounded [`input`]; [`maildir`]; [`trip`]: the
//!   round trip made of them; [`certificate`] and [`tls`]: what is presented, and whether it is trusted;
//! - [`run`]: one run of one probe, from its beginning to an [`Outcome`] within its deadline, in [`stage`]s;
//! - [`schedule`]: when which probe runs; here: results, counters, what is saved, what is published.
//!
//! Probes have a thread and a runtime of their own, at nice 10 as every collector: nothing else waits for them. A server
//! that never answers costs its probe the deadline; calls that hang in the kernel or in a resolver cost one small thread a
//! probe ([`offload`]). What was shown was saved before, so that no counter goes back.

pub mod certificate;
pub mod connection;
pub mod fault;
pub mod imap;
pub mod input;
pub mod maildir;
pub mod message;
pub mod offload;
pub mod pop3;
mod rows;
pub mod run;
mod schedule;
pub mod secret;
pub mod sendmail;
pub mod smtp;
mod smtpd;
pub mod stage;
mod tables;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trip;

pub use tables::TABLES;

use super::{
    Collector, Context, Next,
    health::{Condition, Severity, Subject},
    registry::Registry,
};
use crate::config::probe::{Kind, Probe};
use message::Stamp;
use run::{Environment, Outcome, unix_now};
use schedule::{Finished, Schedule};
use serde::{Deserialize, Serialize};
use smtpd::SmtpdCertificates;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a refresh waits for results before it looks whether the agent is to stop.
const WAIT: Duration = Duration::from_millis(200);
/// Results are saved, and then published, at most this often: each costs an fsync.
const SAVE: Duration = Duration::from_secs(2);
/// Days go by without any result.
const PUBLISH: Duration = Duration::from_secs(60);
/// Values older than this are not shown: the collector has hung.
const LIFETIME: Duration = Duration::from_secs(300);
/// Messages that are waited for, a probe. With more the oldest counts as lost.
const PENDING: usize = 1_000;
const STATE: &str = "probes";
const STATE_VERSION: u32 = 1;

/// What outlives the process.
#[derive(Serialize, Deserialize)]
struct Saved {
    probes: Registry,
    certificates: Registry,
    counters: BTreeMap<String, Counters>,
}

impl Default for Saved {
    fn default() -> Self {
        Self { probes: Registry::new(1), certificates: Registry::new(1), counters: BTreeMap::new() }
    }
}

/// Of one probe, by its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    successes: u64,
    failures: u64,
    /// Milliseconds of all successes.
    latency_sum: u64,
    late: u64,
    lost: u64,
    pending: Vec<Stamp>,
    /// By number of the stage.
    stage_failures: BTreeMap<u32, u64>,
}

/// The last run of a probe.
struct Latest {
    outcome: Outcome,
    ran: Instant,
    succeeded: Option<Instant>,
}

/// The collector.
pub struct ProbeCollector {
    context: Context,
    environment: Arc<Environment>,
    saved: Saved,
    schedule: Schedule,
    latest: BTreeMap<String, Latest>,
    smtpd: SmtpdCertificates,
    /// Whether something is not saved yet.
    dirty: bool,
    published: Option<Instant>,
    /// Off where the agent only looks once: nothing is sent then, and no server asked.
    active: bool,
}

impl ProbeCollector {
    /// Takes saved counters over; runs nothing yet.
    pub fn new(context: Context) -> Self {
        let saved: Option<Saved> = context.state.load(STATE, STATE_VERSION).unwrap_or_else(|e| {
            tracing::warn!("{e}");
            None
        });
        let environment = Arc::new(Environment::system());
        let probes: Vec<Arc<Probe>> = context.config.probes.iter().cloned().map(Arc::new).collect();
        Self {
            schedule: Schedule::new(probes, environment.clone()),
            smtpd: SmtpdCertificates::new(context.config.certificates.clone()),
            environment,
            saved: saved.unwrap_or_default(),
            latest: BTreeMap::new(),
            dirty: false,
            published: None,
            active: context.state.is_writable(),
            context,
        }
    }

    fn take(&mut self, finished: Finished) {
        let Finished { probe, outcome } = finished;
        let counters = self.saved.counters.entry(probe.name.clone()).or_default();
        counters.count(&probe, &outcome);
        let before = self.latest.get(&probe.name);
        let was_up = before.is_none_or(|latest| latest.outcome.failure.is_none());
        match &outcome.failure {
            Some((stage, why)) if was_up => tracing::warn!(probe = probe.name, stage = stage.label(), "down: {why}"),
            None if !was_up => tracing::info!(probe = probe.name, "up again"),
            _ => {}
        }
        let now = Instant::now();
        let succeeded = match &outcome.failure {
            None => Some(now),
            Some(_) => before.and_then(|latest| latest.succeeded),
        };
        self.latest.insert(probe.name.clone(), Latest { outcome, ran: now, succeeded });
        self.dirty = true;
    }

    /// Messages that were given up since.
    fn give_up(&mut self) {
        for probe in &self.context.config.probes {
            let Kind::RoundTrip(trip) = &probe.kind else { continue };
            if let Some(counters) = self.saved.counters.get_mut(&probe.name) {
                self.dirty |= counters.give_up(trip.lost_after, unix_now());
            }
        }
    }

    /// Saves, then publishes.
    fn publish(&mut self) {
        let rows = rows::Rows::new(self);
        if self.dirty || self.saved.probes.must_be_saved() || self.saved.certificates.must_be_saved() {
            self.save();
        }
        self.context.health.conditions("probe", self.conditions());
        self.context.publisher.publish(rows.fragments().map(|fragment| fragment.valid_for(LIFETIME)));
        self.published = Some(Instant::now());
    }

    fn save(&mut self) {
        if !self.active {
            return;
        }
        match self.context.state.save(STATE, STATE_VERSION, &self.saved) {
            Ok(()) => {
                self.dirty = false;
                self.saved.probes.saved();
                self.saved.certificates.saved();
            }
            Err(e) => tracing::warn!("{e}"),
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let warning = |text| Condition { severity: Severity::Warning, subject: Subject::Probe, text };
        let enabled = self.context.config.probes.iter().filter(|probe| probe.enabled);
        let down = enabled.filter_map(|probe| {
            let (stage, why) = self.latest.get(&probe.name)?.outcome.failure.as_ref()?;
            Some(warning(format!("probe {}: {}: {why}", probe.name, stage.label())))
        });
        let ending = |name: &str, judged: &run::Judged| match judged.status {
            certificate::Status::Expiring | certificate::Status::Expired => {
                Some(warning(format!("certificate {name}: {}", judged.error)))
            }
            _ => None,
        };
        let probed = self.context.config.probes.iter().filter_map(|probe| {
            let outcome = &self.latest.get(&probe.name)?.outcome;
            // One that failed for it is in the list already.
            outcome.failure.is_none().then(|| ending(&probe.name, outcome.judged.as_ref()?)).flatten()
        });
        let own = self.smtpd.judged().iter().filter_map(|(file, judged)| ending(&file.name, judged));
        down.chain(probed).chain(own).collect()
    }
}

impl Counters {
    /// Takes one run over.
    fn count(&mut self, probe: &Probe, outcome: &Outcome) {
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

    /// Gives up what was sent too long ago; says whether there was any.
    fn give_up(&mut self, lost_after: Duration, now: u64) -> bool {
        let before = self.pending.len();
        // A clock that was set back makes nothing older.
        self.pending.retain(|stamp| stamp.sent.saturating_add(lost_after.as_secs()) > now);
        let lost = before - self.pending.len();
        self.lost += lost as u64;
        lost > 0
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Collector for ProbeCollector {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn refresh(&mut self) -> Next {
        let mut changed = self.published.is_none_or(|at| at.elapsed() >= PUBLISH);
        changed |= self.smtpd.refresh(&self.context.instances, &self.environment);
        if self.active {
            let counters = &self.saved.counters;
            self.schedule.start(|name| counters.get(name).map(|c| c.pending.clone()).unwrap_or_default());
            for finished in self.schedule.drive(WAIT) {
                self.take(finished);
            }
        }
        self.give_up();
        changed |= self.dirty;
        if changed && self.published.is_none_or(|at| at.elapsed() >= SAVE) {
            self.publish();
        }
        if self.smtpd.is_reading() && !self.active {
            return Next::Again;
        }
        if self.schedule.is_running() {
            return Next::After(Duration::ZERO);
        }
        Next::After(self.schedule.until_next().min(Duration::from_secs(1)))
    }

    fn finish(&mut self) {
        if self.dirty {
            self.save();
        }
    }
}
