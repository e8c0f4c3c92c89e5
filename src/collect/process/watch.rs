//! One instance under watch: is it to be seen, which of its daemons are there, and what is shown meanwhile.

use super::{
    account::Account,
    complaint::{complaints, is_throttled},
    daemon::{self, Absence, Daemon, Kind, Patience, State},
    rows::{Before, Judged, Maker, Rows},
    sample::{Identity, Process, Sample, SampleError, Sampler},
};
use crate::{
    collect::{
        Throttled,
        health::{Condition, Source, Subject},
        instance::{Instance, service_key},
    },
    postfix::master::{Locks, Master},
};
use rustc_hash::FxHashMap;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One instance under watch.
pub(super) struct Watched {
    pub(super) instance: Arc<Instance>,
    patience: Patience,
    processes: Source,
    master: Option<Identity>,
    /// Since when no master holds the lock.
    stopped: Option<Instant>,
    absent: FxHashMap<Kind, Absence>,
    before: Option<Before>,
    rows: Option<Rows>,
    conditions: Vec<Condition>,
    /// Why its processes cannot be counted.
    why: Option<String>,
    /// How long the last look took, until [`Watched::report`].
    looked: Option<Duration>,
}

impl Watched {
    pub(super) fn new(instance: Arc<Instance>, processes: Source, patience: Patience) -> Self {
        Self {
            instance,
            patience,
            processes,
            master: None,
            stopped: None,
            absent: FxHashMap::default(),
            before: None,
            rows: None,
            conditions: Vec::new(),
            why: None,
            looked: None,
        }
    }

    /// The instance as it was read anew.
    pub(super) fn follow(&mut self, instance: &Arc<Instance>) {
        if self.instance.queue_directory != instance.queue_directory {
            // That was another spool's.
            self.master = None;
        }
        self.processes.rename(&instance.name);
        self.instance = instance.clone();
    }

    /// What to show; `None` before the first look is through.
    pub(super) fn rows(&self) -> Option<&Rows> {
        self.rows.as_ref()
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.conditions.iter().cloned()
    }

    /// Why the total of all processes is missing, if it is for this instance.
    pub(super) fn totals_missing(&self) -> Option<Condition> {
        let counts = self.instance.settings.totals && !self.instance.is_disabled();
        let uncounted = self.rows.as_ref().is_none_or(|rows| rows.instance.is_none());
        let why = self.why.as_deref().filter(|_| counts && uncounted)?;
        Some(Condition::totals_missing(Subject::Daemon, "processes", &self.instance.name, why))
    }

    /// Tells health what succeeded. To be called when the rows are published: a source that is ok has its rows there.
    pub(super) fn report(&mut self) {
        if let Some(took) = self.looked.take() {
            self.processes.success("procfs", took);
        }
    }

    /// Pid of the master seen last.
    pub(super) fn master(&self) -> Option<u32> {
        self.master.map(|master| master.pid)
    }

    /// Looks at the instance and makes its rows, or says that it must be looked at again after [`Patience::certain`].
    pub(super) fn look(
        &mut self,
        locks: &Locks,
        sampler: &mut Sampler,
        account: &mut Account,
        throttled: &Throttled,
    ) -> bool {
        let begun = Instant::now();
        let looked = match locks.master(&self.instance.queue_directory, self.master) {
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
            // Nobody expects it to run.
            Err(_) if self.instance.is_disabled() => {
                self.processes.disabled();
                self.unknown(sampler, account);
                return false;
            }
            Err(why) => {
                self.why = Some(why.clone());
                if self.processes.failure(&why) || self.rows.is_none() {
                    self.unknown(sampler, account);
                }
                return false;
            }
        };
        self.looked = Some(begun.elapsed());
        self.why = None;
        again
    }

    /// The holder of the lock has no directory in /proc: it ended just now, or we are not to see it.
    fn hidden_or_gone(&self, sampler: &mut Sampler, pid: u32) -> Result<Option<Sample>, String> {
        match Locks::read_at(sampler.proc()).master(&self.instance.queue_directory, None) {
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

    fn running(&mut self, sample: &Sample, sampler: &Sampler, account: &mut Account, throttled: &Throttled) -> bool {
        self.master = Some(sample.master.id);
        self.stopped = None;
        let services = self.instance.services.clone().unwrap_or_default();
        let is_entry = |key: &str| services.iter().any(|s| service_key(&s.entry.name, &s.entry.kind) == key);
        account.add(sample, |process| kind_of(sample, process).map(|kind| kind as u8), is_entry);
        let daemons = self.daemons();
        let mut judged: Vec<Judged<'_>> = Vec::with_capacity(daemons.len());
        let mut again = false;
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
                    absence.judge(daemon, sample.at, throttled, self.patience)
                }
            };
            again |= state.is_none();
            judged.extend(state.map(|state| (daemon, process, state)));
        }
        if again {
            return true;
        }
        self.conditions = complaints(&self.instance, &services, &judged, throttled);
        let rows = self.maker(sampler, account, sample.at).rows(Some(sample), &judged);
        self.show(rows, account, sample.at, &daemons);
        false
    }

    fn stopped(&mut self, sampler: &Sampler, account: &mut Account) -> bool {
        let now = Instant::now();
        let since = *self.stopped.get_or_insert(now);
        if now.saturating_duration_since(since) < self.patience.certain {
            return true;
        }
        self.master = None;
        self.absent.clear();
        // That it is down is the instance collector's to say.
        self.conditions.clear();
        let daemons = self.daemons();
        let judged: Vec<Judged<'_>> = daemons.iter().map(|daemon| (daemon, None, State::NotRunning)).collect();
        let rows = self.maker(sampler, account, now).rows(None, &judged);
        self.show(rows, account, now, &daemons);
        false
    }

    /// The processes cannot be looked at: their daemons are shown as unknown, and no number of theirs.
    fn unknown(&mut self, sampler: &Sampler, account: &mut Account) {
        self.before = None;
        self.absent.clear();
        self.conditions.clear();
        let daemons = self.daemons();
        self.rows = Some(self.maker(sampler, account, Instant::now()).unknown(&daemons));
    }

    fn maker<'a>(&'a self, sampler: &'a Sampler, account: &'a Account, at: Instant) -> Maker<'a> {
        let before = self.before.as_ref();
        Maker { instance: &self.instance, sampler, account, before, at }
    }

    fn show(&mut self, rows: Rows, account: &Account, at: Instant, daemons: &[Daemon]) {
        self.rows = Some(rows);
        self.before = Some(Before::of(account, at, daemons));
    }

    fn daemons(&self) -> Vec<Daemon> {
        self.instance
            .services
            .as_ref()
            .map_or_else(daemon::assumed, |services| daemon::daemons(services.iter().map(|service| &service.entry)))
    }
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

/// At most 255 octets, as postfixSourceError.
fn hidden(pid: u32, why: &str) -> String {
    format!(
        "master is process {pid}, hidden from this user ({why}): mount /proc with hidepid=0 or join the group its gid= option names; in a systemd unit set ProtectProc=default; in a container share the pid namespace"
    )
}
