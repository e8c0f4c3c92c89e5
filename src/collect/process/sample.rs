//! One look at the processes of an instance: its master and what master started, through the procfs crate.
//!
//! The cost follows the number of Postfix's own processes: /proc/PID/task/PID/children lists them without looking at
//! anyone else's, and each is read from two files (stat, statm), the command line only when it is new. A kernel without
//! that list (CONFIG_PROC_CHILDREN) costs one directory listing of /proc more; strangers are remembered there by the
//! inode of their directory, which another process with their pid does not have.
//!
//! A process is its pid together with its start time. One that goes away between two reads is normal.

pub(super) use crate::postfix::master::Identity;
use crate::postfix::master_cf::CommandLine;
use procfs::{FromRead, ProcError, ProcResult, process::Process as ProcPid};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    fs,
    io::Read,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// What /proc/PID says of one process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) id: Identity,
    parent: u32,
    /// False for one that has ended and is not yet reaped, or ended while it was read.
    pub(super) alive: bool,
    /// When it began, on the monotonic clock.
    pub(super) started: Instant,
    /// Its own CPU time, in clock ticks.
    pub(super) cpu: u64,
    /// That of the children it has waited for, in clock ticks.
    pub(super) reaped_cpu: u64,
    /// Page faults of the children it has waited for: grows with each of them.
    pub(super) reaped_faults: u64,
    pub(super) threads: u64,
    /// Memory of its own (RssAnon), KiB.
    pub(super) anonymous: u64,
    /// Memory it shares with others (RssFile + RssShmem), KiB.
    pub(super) shared: u64,
    /// The entry of master.cf it was started for.
    pub(super) serves: Option<Arc<CommandLine>>,
}

impl Process {
    /// Resident size, KiB.
    pub(super) fn resident(&self) -> u64 {
        self.anonymous + self.shared
    }
}

/// One instance at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) master: Process,
    /// What master started, in no particular order, those not yet reaped included.
    pub(super) children: Vec<Process>,
}

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub(super) enum SampleError {
    /// There is no such process for us: it has ended, or it is hidden.
    #[error("no process {0}")]
    Gone(u32),
    /// It is there and closed to us.
    #[error("{0}")]
    Closed(String),
}

/// Reads a /proc directory and remembers what does not change.
#[derive(Debug)]
pub(super) struct Sampler {
    proc: PathBuf,
    /// When each living process began and what it serves.
    known: FxHashMap<Identity, Known>,
    /// Parents by pid and inode, for kernels that list no children.
    parents: FxHashMap<u32, (u64, u32)>,
    ticks: u64,
    page_kib: u64,
}

#[derive(Clone, Debug)]
struct Known {
    master: u32,
    started: Instant,
    serves: Option<Arc<CommandLine>>,
}

impl Sampler {
    pub(super) fn new(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            known: FxHashMap::default(),
            parents: FxHashMap::default(),
            ticks: procfs::ticks_per_second().max(1),
            page_kib: procfs::page_size() / 1_024,
        }
    }

    pub(super) fn proc(&self) -> &Path {
        &self.proc
    }

    /// Clock ticks as hundredths of a second.
    pub(super) fn centiseconds(&self, ticks: u64) -> u64 {
        ticks.saturating_mul(100) / self.ticks
    }

    /// The processes of this master now.
    pub(super) fn sample(&mut self, master: u32) -> Result<Sample, SampleError> {
        // Master first: a child reaped afterwards is missing in this sample and in the sum of the reaped in the next. The
        // other way round it would count twice, and the accounts would run ahead.
        let read = self.read(master).map_err(|e| SampleError::Closed(e.to_string()))?;
        let master_process = read.ok_or(SampleError::Gone(master))?;
        let mut pids = self.children(master)?;
        // The kernel's list may leave out siblings of one that ends while it is read.
        pids.extend(self.known.iter().filter(|(_, known)| known.master == master).map(|(id, _)| id.pid));
        pids.sort_unstable();
        pids.dedup();
        let mut children = Vec::with_capacity(pids.len());
        for pid in pids {
            // One that cannot be read any more has ended.
            if let Ok(Some(process)) = self.read(pid)
                && process.parent == master
            {
                children.push(process);
            }
        }
        let living: FxHashSet<Identity> = children.iter().map(|p| p.id).chain([master_process.id]).collect();
        self.known.retain(|id, known| living.contains(id) || (known.master != master && id.pid != master));
        Ok(Sample { at: Instant::now(), master: master_process, children })
    }

    /// Forgets the processes of masters other than these.
    pub(super) fn keep(&mut self, masters: &[u32]) {
        self.known.retain(|id, known| masters.contains(&known.master) || masters.contains(&id.pid));
    }

    /// One process; `None` where there is none.
    fn read(&mut self, pid: u32) -> ProcResult<Option<Process>> {
        let process = match ProcPid::new_with_root(self.proc.join(pid.to_string())) {
            Ok(process) => process,
            Err(ProcError::NotFound(_)) => return Ok(None),
            Err(e) => return Err(e),
        };
        let stat = match process.stat() {
            Ok(stat) => stat,
            Err(ProcError::NotFound(_)) => return Ok(None),
            Err(e) => return Err(e),
        };
        let id = Identity { pid, start: stat.starttime };
        let parent = u32::try_from(stat.ppid).unwrap_or(0);
        let ended = matches!(stat.state, 'Z' | 'X' | 'x');
        let memory = if ended { None } else { process.statm().ok() };
        let known = match self.known.get(&id) {
            // Before it executes its program, a process has master's command line: that is asked for again.
            Some(known) if known.serves.is_some() || ended => known.clone(),
            before => {
                let started = before.map_or_else(|| started(stat.starttime, self.ticks), |known| known.started);
                let known = Known { master: parent, started, serves: command_line(&process).map(Arc::new) };
                self.known.insert(id, known.clone());
                known
            }
        };
        let (resident, shared) = memory.map_or((0, 0), |m| (m.resident, m.shared.min(m.resident)));
        Ok(Some(Process {
            id,
            parent,
            alive: memory.is_some(),
            started: known.started,
            cpu: stat.utime.saturating_add(stat.stime),
            reaped_cpu: u64::try_from(stat.cutime.saturating_add(stat.cstime)).unwrap_or(0),
            reaped_faults: stat.cminflt.saturating_add(stat.cmajflt),
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            anonymous: (resident - shared) * self.page_kib,
            shared: shared * self.page_kib,
            serves: known.serves,
        }))
    }

    fn children(&mut self, master: u32) -> Result<Vec<u32>, SampleError> {
        let task = self.proc.join(format!("{master}/task/{master}"));
        match fs::read_to_string(task.join("children")) {
            Ok(list) => Ok(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()),
            Err(_) if !task.is_dir() => Err(SampleError::Gone(master)),
            Err(_) => self.scan(master).map_err(|e| SampleError::Closed(format!("{}: {e}", self.proc.display()))),
        }
    }

    /// The children of `master` among all processes.
    fn scan(&mut self, master: u32) -> std::io::Result<Vec<u32>> {
        let mut parents = FxHashMap::default();
        for entry in fs::read_dir(&self.proc)?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let inode = entry.ino();
            let parent = match self.parents.get(&pid) {
                Some((same, parent)) if *same == inode => *parent,
                _ => {
                    let stat = ProcPid::new_with_root(entry.path()).and_then(|process| process.stat());
                    let Ok(stat) = stat else { continue };
                    u32::try_from(stat.ppid).unwrap_or(0)
                }
            };
            parents.insert(pid, (inode, parent));
        }
        self.parents = parents;
        Ok(self.parents.iter().filter(|(_, (_, parent))| *parent == master).map(|(pid, _)| *pid).collect())
    }

    /// Open files of a process and the most it may open, each where the kernel says so.
    pub(super) fn files(&self, pid: u32) -> (Option<u64>, Option<u64>) {
        let directory = self.proc.join(pid.to_string());
        // Since Linux 6.2 its size is the number of open files; before, it is 0 and only the owner may list it.
        let open = match fs::metadata(directory.join("fd")).map_or(0, |meta| meta.size()) {
            0 => fs::read_dir(directory.join("fd")).ok().map(|files| files.count() as u64),
            number => Some(number),
        };
        let limits = procfs::process::Limits::from_file(directory.join("limits")).ok();
        let limit = limits.and_then(|limits| match limits.max_open_files.soft_limit {
            procfs::process::LimitValue::Value(limit) => Some(limit),
            procfs::process::LimitValue::Unlimited => None,
        });
        (open, limit)
    }

    /// Memory of this host, KiB.
    pub(super) fn memory(&self) -> Option<u64> {
        let memory = procfs::Meminfo::from_file(self.proc.join("meminfo")).ok()?;
        Some(memory.mem_total / 1_024).filter(|total| *total > 0)
    }

    /// What tells one boot from the next: start times count from it.
    pub(super) fn boot(&self) -> String {
        let id = fs::read_to_string(self.proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
        id.trim_end().to_owned()
    }
}

fn command_line(process: &ProcPid) -> Option<CommandLine> {
    let mut bytes = Vec::new();
    // What it says of its entry stands at the beginning; a filter behind pipe may have megabytes of arguments.
    process.open_relative("cmdline").ok()?.take(4_096).read_to_end(&mut bytes).ok()?;
    CommandLine::parse(&bytes)
}

/// When a process began that has this start time; now where that cannot be.
fn started(start: u64, ticks: u64) -> Instant {
    let now = Instant::now();
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot = Duration::new(u64::try_from(boot.tv_sec).unwrap_or(0), u32::try_from(boot.tv_nsec).unwrap_or(0));
    let start = Duration::from_millis(start.saturating_mul(1_000) / ticks);
    since_boot.checked_sub(start).and_then(|age| now.checked_sub(age)).unwrap_or(now)
}
