//! One instance: from a sample, its accounts and its master.cf to its rows.

use super::{
    Postconf,
    account::Account,
    daemon::{self, Absence, Kind, State},
    sample::{Identity, Process, Sample, SampleError, Sampler},
    tables::{DaemonRow, DaemonSeen, FilesRow, InstanceRow, ServiceRow, ServiceSeen},
};
use crate::{
    collect::{
        Throttled,
        health::{Condition, Severity, Source, Subject},
    },
    postfix::{
        instance::Instance,
        master::{Locks, Master},
        master_cf::{self, Entry},
    },
};
use rustc_hash::FxHashMap;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// What Postfix does where default_process_limit and service_throttle_time are not known.
const DEFAULT_PROCESS_LIMIT: u32 = 100;
const DEFAULT_THROTTLE_TIME: Duration = Duration::from_secs(60);
/// master tries a throttled service again after service_throttle_time; if that fails the log says so within this.
const THROTTLE_MARGIN: Duration = Duration::from_secs(15);

/// Everything of one instance that is shown.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) instance: Option<InstanceRow>,
    pub(super) daemons: Vec<DaemonRow>,
    pub(super) files: Vec<FilesRow>,
    pub(super) services: Vec<ServiceRow>,
}

/// CPU times (ticks) as they were when rows were made last.
struct Before {
    at: Instant,
    total: u64,
    daemons: FxHashMap<Kind, u64>,
}

/// What master.cf was read from.
#[derive(Clone, PartialEq, Eq)]
struct Fingerprint(Option<(u64, u64, i64, i64, u64)>);

impl Fingerprint {
    fn of(directory: &Path) -> Self {
        let meta = fs::metadata(directory.join("master.cf")).ok();
        Self(meta.map(|m| (m.dev(), m.ino(), m.mtime(), m.mtime_nsec(), m.size())))
    }
}

/// One instance under watch.
pub(super) struct Watched {
    pub(super) instance: Arc<Instance>,
    postconf: Postconf,
    processes: Source,
    services: Source,
    entries: Option<Arc<Vec<Entry>>>,
    read: Option<(Fingerprint, Arc<Instance>)>,
    master: Option<Identity>,
    /// Since when no master holds the lock.
    stopped: Option<Instant>,
    absent: FxHashMap<Kind, Absence>,
    before: Option<Before>,
    rows: Option<Rows>,
    conditions: Vec<Condition>,
}

impl Watched {
    pub(super) fn new(instance: Arc<Instance>, (processes, services): (Source, Source), postconf: Postconf) -> Self {
        Self {
            instance,
            postconf,
            processes,
            services,
            entries: None,
            read: None,
            master: None,
            stopped: None,
            absent: FxHashMap::default(),
            before: None,
            rows: None,
            conditions: Vec::new(),
        }
    }

    /// What to show; `None` before the first look is through.
    pub(super) fn rows(&self) -> Option<&Rows> {
        self.rows.as_ref()
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.conditions.iter().cloned()
    }

    /// Pid of the master seen last.
    pub(super) fn master(&self) -> Option<u32> {
        self.master.map(|master| master.pid)
    }

    /// Looks at the instance and makes its rows, or says that it must be looked at again in [`daemon::CERTAIN`].
    pub(super) fn look(
        &mut self,
        locks: &Locks,
        sampler: &mut Sampler,
        account: &mut Account,
        throttled: &Throttled,
    ) -> bool {
        let begun = Instant::now();
        self.read_master_cf(account);
        let looked = match locks.master(&self.instance.queue_directory) {
            Master::Running(pid) => match sampler.sample(pid) {
                Ok(sample) => Ok(Some(sample)),
                Err(SampleError::Gone(_)) => self.hidden_or_gone(sampler, pid),
                Err(SampleError::Closed(why)) => Err(hidden(pid, &why)),
            },
            Master::Stopped => Ok(None),
            Master::Unknown(why) => Err(why),
        };
        let again = match looked {
            Ok(Some(sample)) => self.running(&sample, sampler, account, throttled),
            Ok(None) => self.stopped(sampler, account),
            Err(why) => {
                if self.processes.failure(&why) || self.rows.is_none() {
                    self.unknown();
                }
                return false;
            }
        };
        self.processes.success("procfs", begun.elapsed());
        again
    }

    /// The holder of the lock has no directory in /proc: it ended just now, or we are not to see it.
    fn hidden_or_gone(&self, sampler: &mut Sampler, pid: u32) -> Result<Option<Sample>, String> {
        match Locks::read_at(sampler.proc()).master(&self.instance.queue_directory) {
            Master::Running(again) if again == pid => Err(hidden(pid, "not in /proc")),
            Master::Running(other) => match sampler.sample(other) {
                Ok(sample) => Ok(Some(sample)),
                // Started and ended within microseconds: the next look will tell.
                Err(_) => Ok(None),
            },
            Master::Stopped => Ok(None),
            Master::Unknown(why) => Err(why),
        }
    }

    /// Reads master.cf where it may have changed.
    fn read_master_cf(&mut self, account: &mut Account) {
        let instance = self.instance.clone();
        if instance.parameters.is_empty() {
            // A sidecar without Postfix's programs.
            return self.services.disabled();
        }
        let fingerprint = Fingerprint::of(&instance.config_directory);
        let unchanged =
            |(print, of): &(Fingerprint, Arc<Instance>)| *print == fingerprint && Arc::ptr_eq(of, &instance);
        if self.read.as_ref().is_some_and(unchanged) {
            return self.services.success("postconf", Duration::ZERO);
        }
        let begun = Instant::now();
        let read = (self.postconf)(&instance.config_directory)
            .map_err(|e| e.to_string())
            .and_then(|text| master_cf::parse(&text).map_err(|e| e.to_string()));
        match read {
            Ok(entries) => {
                for entry in &entries {
                    // Known from now on, so that its CPU time is kept.
                    account.service_index(&entry.name, &entry.kind);
                }
                self.entries = Some(Arc::new(entries));
                self.read = Some((fingerprint, instance));
                self.services.success("postconf", begun.elapsed());
            }
            Err(why) => {
                if self.services.failure(&why) {
                    self.entries = None;
                    self.read = None;
                }
            }
        }
    }

    fn running(&mut self, sample: &Sample, sampler: &Sampler, account: &mut Account, throttled: &Throttled) -> bool {
        self.master = Some(sample.master.id);
        self.stopped = None;
        account.add(sample, |process| kind_of(sample, process).map(|kind| kind as u8));
        let daemons = self.daemons();
        let mut states = Vec::with_capacity(daemons.len());
        for daemon in &daemons {
            let process = newest(sample, daemon.kind);
            let state = match process {
                Some(process) => {
                    self.absent.remove(&daemon.kind);
                    account.daemon_is(daemon.kind as u8, process.id);
                    Some(State::Running)
                }
                None => {
                    let reaped = sample.master.reaped_faults;
                    let absence = self.absent.entry(daemon.kind).or_insert_with(|| Absence::begin(sample.at, reaped));
                    absence.go_on(daemon, sample.at, reaped);
                    let throttled = is_throttled(&self.instance, &daemon.program, throttled);
                    absence.judge(daemon, sample.at, throttled)
                }
            };
            states.push((process, state));
        }
        if states.iter().any(|(_, state)| state.is_none()) {
            return true;
        }
        self.conditions = self.complaints(&daemons, &states, throttled);
        let memory = sampler.memory();
        let elapsed = self.elapsed(sample.at);
        let mut rows =
            Rows { instance: Some(self.instance_row(sample.at, sampler, account, living(sample))), ..Rows::default() };
        for (daemon, (process, state)) in daemons.iter().zip(&states) {
            let (Some(state), instance) = (*state, self.instance.index) else { continue };
            let seen = self.daemon_seen(daemon.kind, *process, sampler, account, memory, elapsed);
            rows.daemons.push(DaemonRow {
                instance,
                kind: daemon.kind,
                name: daemon.program.as_str().into(),
                state,
                seen: Some(seen),
            });
            if let Some(process) = process {
                let (open, limit) = sampler.files(process.id.pid);
                rows.files.push(FilesRow { instance, kind: daemon.kind, open, limit });
            }
        }
        rows.services = self.service_rows(Some(sample), sampler, account);
        self.remember(sample.at, account, &daemons);
        self.rows = Some(rows);
        false
    }

    fn stopped(&mut self, sampler: &Sampler, account: &mut Account) -> bool {
        let now = Instant::now();
        let since = *self.stopped.get_or_insert(now);
        if now.saturating_duration_since(since) < daemon::CERTAIN {
            return true;
        }
        self.master = None;
        self.absent.clear();
        // That it is down is the instance collector's to say.
        self.conditions.clear();
        let daemons = self.daemons();
        let memory = sampler.memory();
        let elapsed = self.elapsed(now);
        let rows = Rows {
            instance: Some(self.instance_row(now, sampler, account, std::iter::empty())),
            daemons: daemons
                .iter()
                .map(|daemon| DaemonRow {
                    instance: self.instance.index,
                    kind: daemon.kind,
                    name: daemon.program.as_str().into(),
                    state: State::NotRunning,
                    seen: Some(self.daemon_seen(daemon.kind, None, sampler, account, memory, elapsed)),
                })
                .collect(),
            files: Vec::new(),
            services: self.service_rows(None, sampler, account),
        };
        self.remember(now, account, &daemons);
        self.rows = Some(rows);
        false
    }

    /// The processes cannot be looked at: their daemons are shown as unknown, and no number of theirs.
    fn unknown(&mut self) {
        self.before = None;
        self.absent.clear();
        self.conditions.clear();
        let daemons = self.daemons().into_iter().map(|daemon| DaemonRow {
            instance: self.instance.index,
            kind: daemon.kind,
            name: daemon.program.as_str().into(),
            state: State::Unknown,
            seen: None,
        });
        let daemons = daemons.collect();
        let mut services = self.rows.take().unwrap_or_default().services;
        services.iter_mut().for_each(|service| service.seen = None);
        self.rows = Some(Rows { daemons, services, ..Rows::default() });
    }

    fn daemons(&self) -> Vec<daemon::Daemon> {
        self.entries.as_ref().map_or_else(daemon::assumed, |entries| daemon::daemons(entries))
    }

    /// Milliseconds since rows were made last.
    fn elapsed(&self, now: Instant) -> Option<u64> {
        let before = self.before.as_ref()?;
        u64::try_from(now.saturating_duration_since(before.at).as_millis()).ok()
    }

    fn remember(&mut self, at: Instant, account: &Account, daemons: &[daemon::Daemon]) {
        let daemons = daemons.iter().map(|d| (d.kind, account.daemon(d.kind as u8).0)).collect();
        self.before = Some(Before { at, total: account.total(), daemons });
    }

    fn instance_row<'a>(
        &self,
        at: Instant,
        sampler: &Sampler,
        account: &Account,
        living: impl Iterator<Item = &'a Process>,
    ) -> InstanceRow {
        let (processes, memory) = together(living);
        let cpu_percent = self.before.as_ref().and_then(|before| {
            let used = sampler.centiseconds(account.total().saturating_sub(before.total));
            Some(percent(used, self.elapsed(at)?))
        });
        InstanceRow {
            instance: self.instance.index,
            processes,
            cpu: sampler.centiseconds(account.total()),
            cpu_percent,
            memory,
        }
    }

    fn daemon_seen(
        &self,
        kind: Kind,
        process: Option<&Process>,
        sampler: &Sampler,
        account: &Account,
        total_memory: Option<u64>,
        elapsed: Option<u64>,
    ) -> DaemonSeen {
        let (cpu, restarts) = account.daemon(kind as u8);
        let cpu_percent = match (process, &self.before, elapsed) {
            (None, ..) => Some(0),
            (Some(_), Some(before), Some(elapsed)) => {
                let used = cpu.saturating_sub(before.daemons.get(&kind).copied().unwrap_or(cpu));
                Some(percent(sampler.centiseconds(used), elapsed))
            }
            _ => None,
        };
        let memory = process.map_or(0, Process::resident);
        DaemonSeen {
            pid: process.map_or(0, |p| p.id.pid.into()),
            cpu: sampler.centiseconds(cpu),
            cpu_percent,
            memory,
            memory_percent: total_memory.map(|total| memory * 10_000 / total),
            // An age counted from the future is 0.
            started: process.map_or_else(never, |p| p.started),
            restarts,
            threads: process.map_or(0, |p| p.threads),
        }
    }

    fn service_rows(&self, sample: Option<&Sample>, sampler: &Sampler, account: &mut Account) -> Vec<ServiceRow> {
        let Some(entries) = &self.entries else { return Vec::new() };
        let mut serving: FxHashMap<usize, Vec<&Process>> = FxHashMap::default();
        let by_name: FxHashMap<(&str, &str), usize> =
            entries.iter().enumerate().map(|(at, e)| ((e.name.as_str(), e.kind.as_str()), at)).collect();
        for process in sample.into_iter().flat_map(|s| s.children.iter().filter(|p| p.alive)) {
            if let Some(serves) = &process.serves
                && let Some(at) = by_name.get(&(serves.name.as_str(), serves.kind.as_str()))
                && entries[*at].is_served_by(serves)
            {
                serving.entry(*at).or_default().push(process);
            }
        }
        let default = self.instance.number("default_process_limit").and_then(|n| u32::try_from(n).ok());
        let mut rows = Vec::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            let Some(index) = account.service_index(&entry.name, &entry.kind) else { continue };
            let (processes, memory) = together(serving.remove(&position).unwrap_or_default().into_iter());
            let cpu = sampler.centiseconds(account.service_cpu(&entry.name, &entry.kind));
            rows.push(ServiceRow {
                instance: self.instance.index,
                index,
                entries: entries.clone(),
                position,
                limit: entry.process_limit(default.unwrap_or(DEFAULT_PROCESS_LIMIT)).into(),
                seen: Some(ServiceSeen { processes, cpu, memory }),
            });
        }
        rows
    }

    /// What postfixHealth must tell.
    fn complaints(
        &self,
        daemons: &[daemon::Daemon],
        states: &[(Option<&Process>, Option<State>)],
        throttled: &Throttled,
    ) -> Vec<Condition> {
        let name = &self.instance.name;
        let condition = |severity, text| Condition { severity, subject: Subject::Daemon, text };
        let mut conditions = Vec::new();
        for (daemon, (_, state)) in daemons.iter().zip(states) {
            if daemon.kind == Kind::Qmgr && matches!(state, Some(State::NotRunning)) {
                let program = &daemon.program;
                let back = daemon.wakeup().map_or(300, |w| w.as_secs());
                conditions.push(condition(
                    Severity::Critical,
                    format!(
                        "{name}: {program} does not run and no mail is delivered; master starts it with the next mail or wake-up, within {back} s; if it does not come back, the log says why"
                    ),
                ));
            }
        }
        let mut programs: Vec<&str> = self.entries.iter().flat_map(|e| e.iter().map(Entry::program)).collect();
        programs.sort_unstable();
        programs.dedup();
        for program in programs.into_iter().filter(|p| is_throttled(&self.instance, p, throttled)) {
            let seconds = throttle_time(&self.instance).as_secs();
            let qmgr_down = Kind::of(program) == Some(Kind::Qmgr)
                && daemons.iter().zip(states).any(|(d, (_, s))| d.kind == Kind::Qmgr && *s == Some(State::Throttled));
            let severity = if qmgr_down { Severity::Critical } else { Severity::Warning };
            conditions.push(condition(
                severity,
                format!(
                    "{name}: {program} cannot be started, master tries again every {seconds} s; the log says why, in the lines of {program} and master before 'bad command startup -- throttling'"
                ),
            ));
        }
        conditions
    }
}

fn throttle_time(instance: &Instance) -> Duration {
    instance.duration("service_throttle_time").unwrap_or(DEFAULT_THROTTLE_TIME)
}

fn is_throttled(instance: &Instance, program: &str, throttled: &Throttled) -> bool {
    let since = throttled.since(instance.index, program);
    since.is_some_and(|at| at.elapsed() < throttle_time(instance) + THROTTLE_MARGIN)
}

/// The daemon a process is.
fn kind_of(sample: &Sample, process: &Process) -> Option<Kind> {
    if process.id == sample.master.id {
        return Some(Kind::Master);
    }
    Kind::of(process.serves.as_ref()?.program())
}

/// The process of a daemon; of two, as around a reload, the later one.
fn newest(sample: &Sample, kind: Kind) -> Option<&Process> {
    if kind == Kind::Master {
        return Some(&sample.master);
    }
    let of_kind = sample.children.iter().filter(|p| p.alive && kind_of(sample, p) == Some(kind));
    of_kind.max_by_key(|p| p.id.start)
}

fn living(sample: &Sample) -> impl Iterator<Item = &Process> {
    std::iter::once(&sample.master).chain(&sample.children).filter(|p| p.alive)
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

/// At most 255 octets, as postfixSourceError.
fn hidden(pid: u32, why: &str) -> String {
    format!(
        "master is process {pid}, hidden from this user ({why}): mount /proc with hidepid=0 or join the group its gid= option names; in a systemd unit set ProtectProc=default; in a container share the pid namespace"
    )
}
