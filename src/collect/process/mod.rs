//! What every part of Postfix is doing: postfixDaemonTable, postfixDaemonFilesTable, postfixServiceTable,
//! postfixInstanceProcessTable and postfixTotalProcesses.
//!
//! Which master is an instance's is told by the lock on its master.pid ([`crate::postfix::master`]); its children are the
//! instance's processes, and their command lines name the entries of master.cf they serve
//! ([`crate::postfix::master_cf`]). A process elsewhere that is called qmgr is none of ours, and what Postfix's own
//! processes start in turn (filters behind pipe, spawn and local) is not counted.
//!
//! [`sample`] reads /proc, [`account`] keeps what must never go back, [`daemon`] tells resting from missing, [`watch`]
//! looks at one instance, [`rows`] makes its rows, [`complaint`] what postfixHealth says of it. No signal is sent, no lock file opened, nothing of Postfix's is touched.

mod account;
mod complaint;
mod daemon;
mod rows;
mod sample;
mod tables;
#[cfg(test)]
mod tests;
mod watch;

pub use daemon::Patience;
pub use tables::TABLES;

use self::{
    account::Accounts,
    rows::Rows,
    sample::Sampler,
    tables::{DAEMONS, FILES, INSTANCES, SERVICES, TOTALS, Totals},
    watch::Watched,
};
use super::{
    Collector, Context, Next, Registration,
    health::{Condition, SourceKind, lifetime},
    instance::{Instance, UNKNOWN},
    registry::Registry,
};
use crate::{postfix::master::Locks, state::StateDirectory};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "process",
    tables: TABLES,
    kinds: &[SourceKind::Processes],
    host_kinds: &[],
    make: |context| Box::new(ProcessCollector::new(context.clone())),
};

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(10);
const STATE: &str = "process";
const STATE_VERSION: u32 = 2;

/// The indices of services, which 0.1.0 kept in this collector's file: what the instances take over.
pub(super) fn service_indices_of_0_1_0(state: &StateDirectory) -> BTreeMap<u32, Registry> {
    let payload = state.load_bytes(STATE, STATE_VERSION).inspect_err(|e| tracing::warn!("{e}")).ok().flatten();
    payload.map_or_else(BTreeMap::new, |payload| account::indices_of_version_1(&payload))
}

/// The collector.
pub struct ProcessCollector {
    context: Context,
    proc: PathBuf,
    interval: Duration,
    patience: Patience,
    sampler: Sampler,
    accounts: Accounts,
    /// As last written.
    saved: Vec<u8>,
    unsaved: Option<String>,
    watched: BTreeMap<u32, Watched>,
}

impl ProcessCollector {
    /// Takes the saved accounts over.
    pub fn new(context: Context) -> Self {
        Self::on(context, Path::new("/proc"))
    }

    /// Another patience than the daemon's, for tests that cannot wait for minutes.
    pub fn with_patience(context: Context, patience: Patience) -> Self {
        Self { patience, ..Self::new(context) }
    }

    /// Reads another directory as /proc: tests.
    fn on(context: Context, proc: &Path) -> Self {
        let saved = context.state.load(STATE, STATE_VERSION).unwrap_or_else(|e| {
            tracing::warn!("{e}");
            None
        });
        let sampler = Sampler::new(proc);
        Self {
            context,
            proc: proc.to_owned(),
            interval: INTERVAL,
            patience: Patience::default(),
            accounts: Accounts::resume(saved, sampler.boot()),
            sampler,
            saved: Vec::new(),
            unsaved: None,
            watched: BTreeMap::new(),
        }
    }

    /// The instances to watch now; those that are gone leave with their sources.
    fn follow(&mut self) {
        let list = self.context.instances.current();
        self.watched.retain(|index, _| list.iter().any(|i| i.index == *index));
        for instance in list.iter() {
            match self.watched.get_mut(&instance.index) {
                Some(watched) => watched.follow(instance),
                None => {
                    let source = |kind| self.context.health.source(instance.index, &instance.name, kind, self.interval);
                    let watched = Watched::new(instance.clone(), source(SourceKind::Processes), self.patience);
                    self.watched.insert(instance.index, watched);
                }
            }
        }
    }

    /// Looks at every instance once; whether one must be looked at again soon.
    fn look(&mut self) -> bool {
        let locks = Locks::read_at(&self.proc);
        let mut again = false;
        let mut masters = Vec::new();
        for (index, watched) in &mut self.watched {
            let account = self.accounts.of(*index);
            again |= watched.look(&locks, &mut self.sampler, account, &self.context.throttled);
            masters.extend(watched.master());
        }
        self.sampler.keep(&masters);
        again
    }

    /// Before anything is shown: what was served must stand in the state directory.
    fn save(&mut self) {
        let result = match serde_json::to_vec(&self.accounts) {
            Ok(bytes) if bytes == self.saved => return,
            Ok(bytes) => match self.context.state.save_bytes(STATE, STATE_VERSION, &bytes) {
                Ok(()) => {
                    self.saved = bytes;
                    None
                }
                Err(e) => Some(e.to_string()),
            },
            Err(e) => Some(e.to_string()),
        };
        if let Some(error) = &result
            && self.unsaved != result
        {
            tracing::warn!("{error}; CPU times may go back when the agent is restarted");
        }
        self.unsaved = result;
    }

    fn publish(&self) {
        let rows = |watched: &Watched| watched.rows().cloned().unwrap_or_default();
        let all: Vec<(Arc<Instance>, Rows)> =
            self.watched.values().map(|watched| (watched.instance.clone(), rows(watched))).collect();
        let flat = |part: fn(&Rows) -> usize| all.iter().map(|(_, r)| part(r)).sum();
        let mut instances = Vec::with_capacity(all.len());
        let mut daemons = Vec::with_capacity(flat(|r| r.daemons.len()));
        let mut files = Vec::with_capacity(flat(|r| r.files.len()));
        let mut services = Vec::with_capacity(flat(|r| r.services.len()));
        let mut processes = (!all.is_empty()).then_some(0);
        for (instance, rows) in all {
            if instance.settings.totals && !instance.is_disabled() {
                let more = rows.instance.as_ref().map(|row| row.processes);
                processes = processes.and_then(|sum: u64| Some(sum + more?));
            }
            instances.extend(rows.instance);
            daemons.extend(rows.daemons);
            files.extend(rows.files);
            services.extend(rows.services);
        }
        self.context.publisher.publish(
            [
                TOTALS.fragment(&[Totals { processes }]),
                INSTANCES.fragment(&instances),
                DAEMONS.fragment(&daemons),
                FILES.fragment(&files),
                SERVICES.fragment(&services),
            ]
            .map(|f| f.valid_for(lifetime(self.interval))),
        );
    }
}

impl Collector for ProcessCollector {
    fn name(&self) -> &'static str {
        "process"
    }

    fn refresh(&mut self) -> Next {
        if !self.context.instances.is_known() {
            return UNKNOWN;
        }
        self.follow();
        let mut again = self.look();
        if again && self.watched.values().any(|watched| watched.rows().is_none()) {
            // There is nothing to show in the meantime: what is missing at the first look is waited for here.
            if self.context.stop.wait_until(Instant::now() + self.patience.certain) {
                return UNKNOWN;
            }
            again = self.look();
        }
        self.save();
        // postfixHealth says it no later than the rows do, and a source is ok no earlier.
        let mut conditions: Vec<Condition> = self.watched.values().flat_map(Watched::conditions).collect();
        if self.watched.len() > 1 {
            conditions.extend(self.watched.values().filter_map(Watched::totals_missing));
        }
        self.context.health.conditions("process", conditions);
        self.publish();
        self.watched.values_mut().for_each(Watched::report);
        Next::After(if again { self.patience.certain } else { self.interval })
    }

    fn finish(&mut self) {
        self.save();
    }
}
