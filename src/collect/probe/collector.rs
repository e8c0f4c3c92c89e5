//! Results, what is saved and what is published.

use super::{
    certificate::Status,
    counters::{Counters, Saved},
    rows::Rows,
    run::{Environment, Judged, Outcome, unix_now},
    schedule::{Finished, Schedule},
    smtpd::SmtpdCertificates,
    tables::TABLES,
};
use crate::{
    collect::{
        Collector, Context, Next, Registration,
        health::{Condition, Severity, Source, SourceKey, SourceKind, Subject, lifetime},
    },
    config::probe::{Kind, MOST_PROBES, Probe},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// See [`crate::collect::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "probe",
    tables: TABLES,
    // A probe has its own row and its own status; the collector as a whole is one source of the host.
    kinds: &[],
    host_kinds: &[SourceKind::Probes],
    make: |context| Box::new(ProbeCollector::new(context.clone())),
};

/// How long a refresh waits for results before it looks whether the agent is to stop.
const WAIT: Duration = Duration::from_millis(200);
/// How long runs that go on when the agent stops may take to end.
const FINISH: Duration = Duration::from_secs(2);
/// Results are saved, and then published, at most this often: each costs an fsync.
const SAVE: Duration = Duration::from_secs(2);
/// Days go by without any result.
const PUBLISH: Duration = Duration::from_secs(60);
/// With nothing to do it is looked so often whether there is.
const IDLE: Duration = Duration::from_secs(5);
/// Counters of probes that are not configured any more are kept for so many of them.
const GONE: usize = 1_024;
const STATE: &str = "probes";
const STATE_VERSION: u32 = 1;

/// The last run of a probe.
pub(super) struct Latest {
    pub(super) outcome: Outcome,
    pub(super) ran: Instant,
    pub(super) succeeded: Option<Instant>,
}

/// The collector.
pub struct ProbeCollector {
    context: Context,
    saved: Saved,
    schedule: Schedule,
    latest: BTreeMap<String, Latest>,
    smtpd: SmtpdCertificates,
    source: Source,
    /// Whether something is not saved yet.
    dirty: bool,
    unsaved: Option<String>,
    published: Option<Instant>,
    /// Whether something is not shown yet.
    unpublished: bool,
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
        let probes: Vec<Arc<Probe>> = context.config.probes.iter().cloned().map(Arc::new).collect();
        let source = context.health.named_source(
            SourceKey::of_host(SourceKind::Probes),
            SourceKind::Probes.label().into(),
            PUBLISH,
        );
        Self {
            schedule: Schedule::new(probes, Arc::new(Environment::system())),
            smtpd: SmtpdCertificates::new(context.config.certificates.clone()),
            source,
            saved: saved.unwrap_or_default(),
            latest: BTreeMap::new(),
            dirty: false,
            unsaved: None,
            published: None,
            unpublished: false,
            active: context.state.is_writable(),
            context,
        }
    }

    fn take(&mut self, finished: Finished) {
        let Finished { probe, outcome } = finished;
        self.saved.counters.entry(probe.name.clone()).or_default().count(&probe, &outcome);
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

    /// Saves, then publishes, then reports.
    fn publish(&mut self) {
        let began = Instant::now();
        let rows = Rows::new(&self.context.config.probes, &mut self.saved, &self.latest, self.smtpd.own());
        if self.dirty || self.saved.probes.must_be_saved() || self.saved.certificates.must_be_saved() {
            self.save();
        }
        self.context.health.conditions("probe", self.conditions());
        self.context.publisher.publish(rows.fragments().map(|fragment| fragment.valid_for(lifetime(PUBLISH))));
        self.published = Some(Instant::now());
        self.unpublished = false;
        self.report(began.elapsed());
    }

    fn report(&self, took: Duration) {
        if self.context.config.probes.is_empty() && !self.context.config.certificates.smtpd {
            return self.source.disabled();
        }
        match self.schedule.trouble().or_else(|| self.smtpd.trouble()) {
            Some(error) => {
                self.source.failure(&error);
            }
            None => self.source.success("probes", took),
        }
    }

    fn save(&mut self) {
        if !self.active {
            return;
        }
        if self.saved.counters.len() > MOST_PROBES + GONE {
            let probes = &self.context.config.probes;
            self.saved.counters.retain(|name, _| probes.iter().any(|probe| probe.name == *name));
        }
        let error = match self.context.state.save(STATE, STATE_VERSION, &self.saved) {
            Ok(()) => {
                self.dirty = false;
                self.saved.probes.saved();
                self.saved.certificates.saved();
                None
            }
            Err(e) => Some(e.to_string()),
        };
        if let Some(error) = &error
            && self.unsaved.as_ref() != Some(error)
        {
            tracing::warn!("{error}; counters of the probes may go back when the agent is restarted");
        }
        self.unsaved = error;
    }

    fn conditions(&self) -> Vec<Condition> {
        let warning = |text| Condition { severity: Severity::Warning, subject: Subject::Probe, text };
        let enabled = self.context.config.probes.iter().filter(|probe| probe.enabled);
        let down = enabled.filter_map(|probe| {
            let (stage, why) = self.latest.get(&probe.name)?.outcome.failure.as_ref()?;
            Some(warning(format!("probe {}: {}: {why}", probe.name, stage.label())))
        });
        let ending = |name: &str, judged: &Judged| match judged.status {
            // What cannot be read is a state that the table shows.
            Status::Expiring | Status::Expired | Status::NotYetValid => {
                Some(warning(format!("certificate {name}: {}", judged.error)))
            }
            _ => None,
        };
        let probed = self.context.config.probes.iter().filter_map(|probe| {
            let outcome = &self.latest.get(&probe.name)?.outcome;
            // One that failed for it is in the list already.
            outcome.failure.is_none().then(|| ending(&probe.name, outcome.judged.as_ref()?)).flatten()
        });
        let own = self.smtpd.own().iter().filter_map(|own| ending(&own.name, &own.judged));
        down.chain(probed).chain(own).collect()
    }

    /// What runs is driven for a while; what is due is started.
    fn drive(&mut self) {
        let counters: &BTreeMap<String, Counters> = &self.saved.counters;
        self.schedule.start(|name| counters.get(name).map(|counters| counters.pending.clone()).unwrap_or_default());
        for finished in self.schedule.drive(WAIT) {
            self.take(finished);
        }
    }
}

impl Collector for ProbeCollector {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn refresh(&mut self) -> Next {
        let mut changed = self.published.is_none_or(|at| at.elapsed() >= PUBLISH);
        changed |= self.smtpd.refresh(&self.context.instances, !self.active);
        if self.active {
            self.drive();
        }
        self.give_up();
        self.unpublished |= changed || self.dirty;
        if self.unpublished && self.published.is_none_or(|at| !self.active || at.elapsed() >= SAVE) {
            self.publish();
        }
        if !self.active && self.smtpd.is_reading() {
            return Next::Again;
        }
        if self.schedule.is_running() {
            return Next::After(Duration::ZERO);
        }
        let known = self.context.instances.is_known();
        let idle = match (known, self.unpublished || self.smtpd.is_reading()) {
            (false, _) => WAIT,
            (true, true) => SAVE,
            (true, false) => IDLE,
        };
        Next::After(self.schedule.until_next().clamp(WAIT, idle))
    }

    fn finish(&mut self) {
        // A message that was sent is still fetched, so that it is neither left behind nor in no counter.
        let deadline = Instant::now() + FINISH;
        while self.schedule.is_running() && Instant::now() < deadline {
            for finished in self.schedule.drive(WAIT) {
                self.take(finished);
            }
        }
        if self.dirty {
            self.save();
        }
    }
}
