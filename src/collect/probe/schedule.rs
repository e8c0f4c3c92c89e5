//! When which probe runs: each on its own grid, spread over the time after the start, a bounded number at once.

use super::{
    message::Stamp,
    run::{self, Environment, Memory, Outcome},
};
use crate::config::probe::Probe;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Runtime,
    task::{Id, JoinSet},
    time::timeout,
};

/// Runs at once; a connection with TLS needs some 60 KiB. Others wait for their turn, which is no part of their deadline.
const AT_ONCE: usize = 64;
/// First runs are spread over this time, or over the shortest interval where that is shorter.
const SPREAD: Duration = Duration::from_secs(30);

/// All probes, and those that run.
pub(super) struct Schedule {
    probes: Vec<Planned>,
    environment: Arc<Environment>,
    runtime: Option<Runtime>,
    running: JoinSet<(usize, Memory, Outcome)>,
    positions: HashMap<Id, usize>,
    /// Why nothing can be started.
    trouble: Option<String>,
}

struct Planned {
    probe: Arc<Probe>,
    /// On its way while it runs.
    memory: Option<Memory>,
    due: Instant,
}

/// A run that came to its end.
pub(super) struct Finished {
    pub(super) probe: Arc<Probe>,
    pub(super) outcome: Outcome,
}

impl Schedule {
    pub(super) fn new(probes: Vec<Arc<Probe>>, environment: Arc<Environment>) -> Self {
        let (now, enabled) = (Instant::now(), probes.iter().filter(|p| p.enabled).count().max(1));
        let mut place = 0;
        let plan = |probe: Arc<Probe>| {
            let spread = SPREAD.min(probe.every);
            let due = now + spread.mul_f64(f64::from(place) / enabled as f64);
            place += u32::from(probe.enabled);
            Planned { probe, memory: Some(Memory::default()), due }
        };
        Self {
            probes: probes.into_iter().map(plan).collect(),
            environment,
            runtime: None,
            running: JoinSet::new(),
            positions: HashMap::new(),
            trouble: None,
        }
    }

    /// Starts what is due; `pending` says which messages of a probe are waited for.
    pub(super) fn start(&mut self, pending: impl Fn(&str) -> Vec<Stamp>) {
        let now = Instant::now();
        let is_due = |planned: &Planned| planned.probe.enabled && planned.memory.is_some() && planned.due <= now;
        let mut due: Vec<usize> = (0..self.probes.len()).filter(|at| is_due(&self.probes[*at])).collect();
        // Who has waited longest comes first, so that none waits for ever.
        due.sort_by_key(|at| self.probes[*at].due);
        for position in due {
            let room = self.running.len() < AT_ONCE;
            let Some(planned) = self.probes.get_mut(position).filter(|_| room) else { return };
            let runtime = match &self.runtime {
                Some(runtime) => runtime,
                None => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => {
                        self.trouble = None;
                        self.runtime.insert(runtime)
                    }
                    Err(e) => {
                        self.trouble = Some(format!("cannot start the probes' runtime: {e}; see ulimit -n"));
                        return;
                    }
                },
            };
            let Some(mut memory) = planned.memory.take() else { continue };
            // On the grid it was on, and never twice for a run that took too long.
            planned.due += planned.probe.every;
            while planned.due <= now {
                planned.due += planned.probe.every;
            }
            let (probe, environment) = (planned.probe.clone(), self.environment.clone());
            let pending = pending(&probe.name);
            let handle = self.running.spawn_on(
                async move {
                    let outcome = run::run(&probe, environment, &mut memory, pending).await;
                    (position, memory, outcome)
                },
                runtime.handle(),
            );
            self.positions.insert(handle.id(), position);
        }
    }

    /// Lets the runs go on until one ends, at most for `wait`.
    pub(super) fn drive(&mut self, wait: Duration) -> Vec<Finished> {
        let mut finished = Vec::new();
        let Some(runtime) = &self.runtime else { return finished };
        if self.running.is_empty() {
            return finished;
        }
        let running = &mut self.running;
        let mut ended = Vec::new();
        runtime.block_on(async {
            if let Ok(Some(first)) = timeout(wait, running.join_next_with_id()).await {
                ended.push(first);
                while let Some(next) = running.try_join_next_with_id() {
                    ended.push(next);
                }
            }
        });
        for result in ended {
            match result {
                Ok((id, (position, memory, outcome))) => {
                    self.positions.remove(&id);
                    if let Some(planned) = self.probes.get_mut(position) {
                        planned.memory = Some(memory);
                        finished.push(Finished { probe: planned.probe.clone(), outcome });
                    }
                }
                // Only a bug ends a run so. The probe goes on, with nothing remembered.
                Err(e) => {
                    let planned = self.positions.remove(&e.id()).and_then(|position| self.probes.get_mut(position));
                    if let Some(planned) = planned {
                        tracing::error!(
                            probe = planned.probe.name,
                            "its run ended unexpectedly: {e}; please report this"
                        );
                        planned.memory = Some(Memory::default());
                    }
                }
            }
        }
        finished
    }

    /// Why no probe runs, where that is so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Until something is due.
    pub(super) fn until_next(&self) -> Duration {
        let now = Instant::now();
        let due = self.probes.iter().filter(|planned| planned.probe.enabled).map(|planned| planned.due).min();
        due.map_or(Duration::MAX, |due| due.saturating_duration_since(now))
    }
}
