//! The rows of one instance, from a sample, its accounts and its master.cf.

use super::{
    account::Account,
    daemon::{Daemon, Kind, State},
    sample::{Process, Sample, Sampler},
    tables::{DaemonRow, DaemonSeen, FilesRow, InstanceRow, ServiceRow, ServiceSeen},
};
use crate::collect::instance::{Instance, Service};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

/// What Postfix does where default_process_limit is not known.
const DEFAULT_PROCESS_LIMIT: u32 = 100;

/// Everything of one instance that is shown.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) instance: Option<InstanceRow>,
    pub(super) daemons: Vec<DaemonRow>,
    pub(super) files: Vec<FilesRow>,
    pub(super) services: Vec<ServiceRow>,
}

/// CPU times (ticks) as they were when rows were made last.
pub(super) struct Before {
    at: Instant,
    total: u64,
    daemons: FxHashMap<Kind, u64>,
}

impl Before {
    pub(super) fn of(account: &Account, at: Instant, daemons: &[Daemon]) -> Self {
        let daemons = daemons.iter().map(|d| (d.kind, account.daemon(d.kind as u8).0)).collect();
        Self { at, total: account.total(), daemons }
    }
}

/// A daemon, its process where it has one, and what to call that.
pub(super) type Judged<'a> = (&'a Daemon, Option<&'a Process>, State);

/// Makes the rows of one moment.
pub(super) struct Maker<'a> {
    pub(super) instance: &'a Instance,
    pub(super) sampler: &'a Sampler,
    pub(super) account: &'a Account,
    pub(super) before: Option<&'a Before>,
    pub(super) at: Instant,
}

impl Maker<'_> {
    /// Of what was seen; without a sample the instance is stopped.
    pub(super) fn rows(self, sample: Option<&Sample>, daemons: &[Judged<'_>]) -> Rows {
        let memory = self.sampler.memory();
        let mut rows = Rows { instance: Some(self.instance_row(sample)), ..Rows::default() };
        for (daemon, process, state) in daemons {
            rows.daemons.push(self.daemon_row(daemon, *state, Some(self.daemon_seen(daemon.kind, *process, memory))));
            if let Some(process) = process {
                let (open, limit) = self.sampler.files(process.id.pid);
                rows.files.push(FilesRow {
                    owner: self.instance.owner(),
                    name: daemon.program.as_str().into(),
                    kind: daemon.kind,
                    open,
                    limit,
                });
            }
        }
        rows.services = self.service_rows(Some(sample));
        rows
    }

    /// Of an instance whose processes cannot be looked at: what master.cf says, and no number.
    pub(super) fn unknown(self, daemons: &[Daemon]) -> Rows {
        let daemons = daemons.iter().map(|daemon| self.daemon_row(daemon, State::Unknown, None)).collect();
        Rows { daemons, services: self.service_rows(None), ..Rows::default() }
    }

    /// Milliseconds since rows were made last.
    fn elapsed(&self) -> Option<u64> {
        u64::try_from(self.at.saturating_duration_since(self.before?.at).as_millis()).ok()
    }

    fn instance_row(&self, sample: Option<&Sample>) -> InstanceRow {
        let living = sample.into_iter().flat_map(|s| std::iter::once(&s.master).chain(&s.children)).filter(|p| p.alive);
        let (processes, memory) = together(living);
        let cpu_percent = self.before.zip(self.elapsed()).map(|(before, elapsed)| {
            percent(self.sampler.centiseconds(self.account.total().saturating_sub(before.total)), elapsed)
        });
        let cpu = self.sampler.centiseconds(self.account.total());
        InstanceRow { owner: self.instance.owner(), processes, cpu, cpu_percent, memory }
    }

    fn daemon_row(&self, daemon: &Daemon, state: State, seen: Option<DaemonSeen>) -> DaemonRow {
        let name = daemon.program.as_str().into();
        DaemonRow { owner: self.instance.owner(), kind: daemon.kind, name, state, seen }
    }

    fn daemon_seen(&self, kind: Kind, process: Option<&Process>, host_memory: Option<u64>) -> DaemonSeen {
        let (cpu, restarts) = self.account.daemon(kind as u8);
        let cpu_percent = match (process, self.before, self.elapsed()) {
            (None, ..) => Some(0),
            (Some(_), Some(before), Some(elapsed)) => {
                let used = cpu.saturating_sub(before.daemons.get(&kind).copied().unwrap_or(cpu));
                Some(percent(self.sampler.centiseconds(used), elapsed))
            }
            _ => None,
        };
        let memory = process.map_or(0, Process::resident);
        DaemonSeen {
            pid: process.map_or(0, |p| p.id.pid.into()),
            cpu: self.sampler.centiseconds(cpu),
            cpu_percent,
            memory,
            memory_percent: host_memory.map(|total| memory * 10_000 / total),
            // An age counted from the future is 0.
            started: process.map_or_else(never, |p| p.started),
            restarts,
            threads: process.map_or(0, |p| p.threads),
        }
    }

    /// `None`: the processes are unknown; `Some(None)`: there are none.
    fn service_rows(&self, sample: Option<Option<&Sample>>) -> Vec<ServiceRow> {
        let Some(services) = &self.instance.services else { return Vec::new() };
        let by_name: FxHashMap<(&str, &str), usize> = services
            .iter()
            .enumerate()
            .map(|(at, service)| ((service.entry.name.as_str(), service.entry.kind.as_str()), at))
            .collect();
        let mut serving: FxHashMap<usize, Vec<&Process>> = FxHashMap::default();
        for process in sample.flatten().into_iter().flat_map(|s| s.children.iter().filter(|p| p.alive)) {
            if let Some(serves) = &process.serves
                && let Some(at) = by_name.get(&(serves.name.as_str(), serves.kind.as_str()))
                && services.get(*at).is_some_and(|service| service.entry.is_served_by(serves))
            {
                serving.entry(*at).or_default().push(process);
            }
        }
        let default = self.instance.number("default_process_limit").and_then(|n| u32::try_from(n).ok());
        let mut rows = Vec::with_capacity(services.len());
        for (position, Service { entry, index, .. }) in services.iter().enumerate() {
            // Without a place in the registry there is no index to show it under.
            let Some(index) = *index else { continue };
            let (processes, memory) = together(serving.remove(&position).unwrap_or_default().into_iter());
            let cpu = self.sampler.centiseconds(self.account.service_cpu(&entry.name, &entry.kind));
            rows.push(ServiceRow {
                owner: self.instance.owner(),
                index,
                services: services.clone(),
                position,
                limit: entry.process_limit(default.unwrap_or(DEFAULT_PROCESS_LIMIT)).into(),
                seen: sample.map(|_| ServiceSeen { processes, cpu, memory }),
            });
        }
        rows
    }
}

/// Number of processes and the memory they take together: what is each one's own, and once the largest part that they
/// share (smtpd has 9.5 MiB resident and 1.2 MiB of its own).
fn together<'a>(processes: impl Iterator<Item = &'a Process>) -> (u64, u64) {
    let (mut number, mut own, mut shared) = (0, 0, 0);
    for process in processes {
        number += 1;
        own += process.anonymous;
        shared = shared.max(process.shared);
    }
    (number, own + shared)
}

/// Centiseconds used in so many milliseconds, as hundredths of a percent of one core.
fn percent(used: u64, elapsed: u64) -> u64 {
    used.saturating_mul(100_000) / elapsed.max(1)
}

fn never() -> Instant {
    let now = Instant::now();
    now.checked_add(Duration::from_secs(365 * 86_400)).unwrap_or(now)
}
