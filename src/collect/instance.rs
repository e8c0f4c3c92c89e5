//! Which Postfix instances there are, and whether they run: postfixInstanceTable.
//!
//! postconf(1) runs only when main.cf or master.cf changed or another master runs; State comes from /proc/locks
//! ([`crate::postfix::master`]). The list is what every other collector works from: an instance whose main.cf cannot be
//! read any more stays in it as it was last, as it does for the Postfix that runs.

use super::{
    Collector, Context, Next, Registration,
    health::{Condition, Severity, Source, SourceKind, Subject},
    registry::Registry,
};
use crate::{
    advice, config,
    mib::{AnyTable, Get, Index, Table, column, scalars, text},
    postfix::{
        instance::Instance,
        master::{Locks, Master},
    },
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// The tables this module owns.
pub static TABLES: &[&dyn AnyTable] = &[&INSTANCES, &TOTALS];

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "instance",
    tables: TABLES,
    kinds: &[SourceKind::Instance],
    make: |context| Box::new(InstanceCollector::new(context.clone())),
};

static INSTANCES: Table<Row> = Table {
    name: "postfixInstanceTable",
    entry: &[1, 3, 1, 1],
    index: |r| Index::from_slice(&[r.instance.index]),
    columns: &[
        column(2, "postfixInstanceName", Get::Text(|r| Some(text(&r.instance.name, 64)))),
        column(3, "postfixInstanceConfigDirectory", Get::Text(|r| Some(path(&r.instance.config_directory)))),
        column(4, "postfixInstanceQueueDirectory", Get::Text(|r| Some(path(&r.instance.queue_directory)))),
        column(5, "postfixInstanceVersion", Get::Text(|r| Some(text(&r.instance.version, 64)))),
        column(6, "postfixInstanceHostname", Get::Text(|r| Some(text(&r.instance.hostname, 255)))),
        column(7, "postfixInstanceState", Get::Integer(|r| Some(r.state() as i32))),
        column(8, "postfixInstanceMasterPid", Get::Gauge32(|r| r.pid().map(u64::from))),
        column(9, "postfixInstanceUptime", Get::Age(|r| r.uptime())),
    ],
};

static TOTALS: Table<Totals> = scalars(
    "postfixTotalInstanceObjects",
    &[1, 2, 3],
    &[
        column(1, "postfixTotalInstances", Get::Gauge32(|t| Some(t.instances))),
        column(2, "postfixTotalInstancesRunning", Get::Gauge32(|t| t.running)),
    ],
);

fn path(path: &Path) -> crate::smi::Octets {
    text(path.as_os_str().as_bytes(), 255)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running = 1,
    Stopped = 2,
    Unknown = 3,
}

struct Row {
    instance: Arc<Instance>,
    master: Master,
    /// When the master began, where /proc tells.
    started: Option<Instant>,
}

struct Totals {
    instances: u64,
    running: Option<u64>,
}

impl Row {
    fn state(&self) -> State {
        match self.master {
            Master::Running(_) => State::Running,
            Master::Stopped => State::Stopped,
            Master::Unknown(_) => State::Unknown,
        }
    }

    /// 0 while stopped, absent while unknown.
    fn pid(&self) -> Option<u32> {
        match self.master {
            Master::Running(pid) => Some(pid),
            Master::Stopped => Some(0),
            Master::Unknown(_) => None,
        }
    }

    fn uptime(&self) -> Option<Instant> {
        match self.master {
            // An age counted from the future is 0.
            Master::Stopped => Instant::now().checked_add(Duration::from_secs(365 * 86_400)),
            _ => self.started,
        }
    }
}

/// The instances as last found, shared with every collector. An unchanged list is the same `Arc`.
#[derive(Clone, Default)]
pub struct Instances(Arc<ArcSwap<Vec<Arc<Instance>>>>);

impl Instances {
    /// The current list, by index.
    pub fn current(&self) -> Arc<Vec<Arc<Instance>>> {
        self.0.load_full()
    }

    /// Replaces the list (tests put theirs here).
    pub fn set(&self, list: Vec<Arc<Instance>>) {
        self.0.store(Arc::new(list));
    }
}

/// What tells that a file is another one than it was: device, inode, size and modification time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64, u64, i64, i64);

impl FileId {
    /// `None` where it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self(meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
    }
}

/// What tells that an instance must be read again.
type Fingerprint = [Option<FileId>; 2];

fn fingerprint(directory: &Path) -> Fingerprint {
    ["main.cf", "master.cf"].map(|file| FileId::of(&directory.join(file)))
}

struct Known {
    fingerprint: Fingerprint,
    instance: Arc<Instance>,
    /// The master seen last. Another one may be of another version.
    master: Option<u32>,
    outdated: bool,
}

/// What reading an instance gave.
struct Found {
    settings: config::Instance,
    /// As it was last where it could not be read this time; `None` where it never could.
    instance: Option<Arc<Instance>>,
    error: Option<String>,
}

/// The collector.
pub struct InstanceCollector {
    context: Context,
    registry: Registry,
    known: BTreeMap<PathBuf, Known>,
    sources: BTreeMap<u32, Source>,
    /// Those that could not be read even once, by directory.
    nowhere: BTreeMap<PathBuf, (u32, Source)>,
    published: Vec<Arc<Instance>>,
}

const INTERVAL: Duration = Duration::from_secs(10);
const STATE: &str = "instances";
const STATE_VERSION: u32 = 1;

impl InstanceCollector {
    /// Takes the saved indices over.
    pub fn new(context: Context) -> Self {
        let registry = context.state.load(STATE, STATE_VERSION).unwrap_or_else(|e| {
            tracing::warn!("{e}");
            None
        });
        Self {
            context,
            registry: registry.unwrap_or_else(|| Registry::new(1)),
            known: BTreeMap::new(),
            sources: BTreeMap::new(),
            nowhere: BTreeMap::new(),
            published: Vec::new(),
        }
    }

    /// The instances the configuration names, and those they list, in postmulti's order.
    fn wanted(&mut self) -> Vec<Found> {
        let configured = match self.context.config.instances.as_slice() {
            [] => vec![config::Instance::default()],
            list => list.to_vec(),
        };
        let explicit: Vec<PathBuf> = configured.iter().map(|i| i.config_directory.clone()).collect();
        let mut found = Vec::new();
        for settings in configured {
            let read = self.read(settings.clone());
            let listed: Vec<PathBuf> = match &read.instance {
                Some(instance) if settings.discover => instance.listed(),
                _ => Vec::new(),
            };
            found.push(read);
            for directory in listed.into_iter().filter(|d| !explicit.contains(d)) {
                // What is given for the listing instance by name or path is its own; how to read holds for all.
                let settings = config::Instance {
                    config_directory: directory,
                    name: None,
                    queue_directory: None,
                    syslog_name: None,
                    version: None,
                    discover: false,
                    ..settings.clone()
                };
                found.push(self.read(settings));
            }
        }
        found
    }

    fn read(&mut self, settings: config::Instance) -> Found {
        let print = fingerprint(&settings.config_directory);
        let known = self.known.get(&settings.config_directory);
        if let Some(known) = known.filter(|known| known.fingerprint == print && !known.outdated) {
            return Found { instance: Some(known.instance.clone()), settings, error: None };
        }
        let (instance, error) = match self.read_anew(&settings, print) {
            Ok(instance) => (Some(instance), None),
            Err(error) => (self.known.get(&settings.config_directory).map(|known| known.instance.clone()), Some(error)),
        };
        Found { settings, instance, error }
    }

    fn read_anew(&mut self, settings: &config::Instance, fingerprint: Fingerprint) -> Result<Arc<Instance>, String> {
        let directory = &settings.config_directory;
        let mut instance = Instance::read(settings).map_err(|e| e.to_string())?;
        let taken = |name: &str| self.known.iter().any(|(d, k)| d != directory && k.instance.name == name);
        if taken(&instance.name) {
            // Two instances without multi_instance_name: the directory tells them apart.
            instance.name = directory.display().to_string();
        }
        instance.index = self.registry.index(&instance.name).ok_or("more instances than fit in the index registry")?;
        let before = self.known.get(directory);
        // The same one where nothing changed that is asked for, so that nobody begins anew. What master.cf says is not in
        // it: whoever reads that too is told by another one.
        let same = before.filter(|known| *known.instance == instance && known.fingerprint[1] == fingerprint[1]);
        let instance = same.map_or_else(|| Arc::new(instance), |known| known.instance.clone());
        let master = before.and_then(|known| known.master);
        let known = Known { fingerprint, instance: instance.clone(), master, outdated: false };
        self.known.insert(directory.clone(), known);
        Ok(instance)
    }

    fn source(&mut self, instance: &Instance) -> &Source {
        self.sources.entry(instance.index).or_insert_with(|| {
            self.context.health.source(instance.index, &instance.name, SourceKind::Instance, INTERVAL)
        })
    }
}

impl Collector for InstanceCollector {
    fn name(&self) -> &'static str {
        "instance"
    }

    fn refresh(&mut self) -> Next {
        let begun = Instant::now();
        let names_before = self.registry.iter().count();
        let wanted = self.wanted();
        self.known.retain(|directory, _| wanted.iter().any(|found| found.settings.config_directory == *directory));
        let registry = &self.registry;
        self.nowhere.retain(|directory, (index, _)| {
            let nameless = |found: &Found| found.instance.is_none() && found.settings.config_directory == *directory;
            registry.name(*index).is_none() && wanted.iter().any(nameless)
        });
        let locks = Locks::read();
        let mut rows: Vec<Row> = Vec::new();
        let mut conditions = Vec::new();
        for Found { settings, instance, error } in wanted {
            let directory = settings.config_directory;
            let Some(instance) = instance else {
                self.nameless(directory, &error.unwrap_or_default());
                continue;
            };
            let master = locks.master(&instance.queue_directory);
            let condition = |severity, subject, text| Condition { severity, subject, text };
            if let (Master::Running(pid), Some(known)) = (&master, self.known.get_mut(&directory)) {
                known.outdated |= known.master.is_some_and(|before| before != *pid);
                known.master = Some(*pid);
            }
            let source = self.source(&instance);
            match (&master, &error) {
                (_, Some(error)) => drop(source.failure(error)),
                (Master::Unknown(why), None) => drop(source.failure(why)),
                (_, None) => source.success("postconf", begun.elapsed()),
            }
            match &master {
                Master::Unknown(why) => {
                    let text = format!("{}: cannot tell whether it runs: {why}", instance.name);
                    conditions.push(condition(Severity::Unknown, Subject::Daemon, text));
                }
                Master::Stopped if expected_to_run(&instance) => {
                    let start = advice::start_postfix(&directory, instance.parameter("multi_instance_name"));
                    let text = advice::advise(format_args!("{}: Postfix is stopped", instance.name), &[start]);
                    conditions.push(condition(Severity::Critical, Subject::InstanceDown, text));
                }
                Master::Stopped | Master::Running(_) => {}
            }
            let started = match master {
                Master::Running(pid) => process_start(pid),
                _ => None,
            };
            rows.push(Row { instance, master, started });
        }
        let list: Vec<_> = rows.iter().map(|row| row.instance.clone()).collect();
        self.sources.retain(|index, _| list.iter().any(|i| i.index == *index));
        self.context.health.conditions("instance", conditions);
        let running = rows
            .iter()
            .all(|r| r.state() != State::Unknown)
            .then(|| rows.iter().filter(|r| r.state() == State::Running).count() as u64);
        let totals = Totals { instances: rows.len() as u64, running };
        self.context.publisher.publish(
            [INSTANCES.fragment(&rows), TOTALS.fragment(&[totals])].map(|f| f.valid_for(Duration::from_secs(180))),
        );
        let same =
            list.len() == self.published.len() && list.iter().zip(&self.published).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            for instance in &list {
                tracing::info!(index = instance.index, name = instance.name, config = %instance.config_directory.display(), queue = %instance.queue_directory.display(), "instance");
            }
            self.published = list.clone();
            self.context.instances.set(list);
        }
        if self.registry.iter().count() != names_before
            && let Err(e) = self.context.state.save(STATE, STATE_VERSION, &self.registry)
        {
            tracing::warn!("{e}");
        }
        Next::After(INTERVAL)
    }
}

impl InstanceCollector {
    /// A configured instance that could not be read once has its row in postfixSourceTable under its directory and the
    /// first index that is nobody's: what it is called, and with it its own index, is not known.
    fn nameless(&mut self, directory: PathBuf, error: &str) {
        let free = (1..).find(|index| {
            self.registry.name(*index).is_none() && self.nowhere.values().all(|(taken, _)| taken != index)
        });
        let (_, source) = self.nowhere.entry(directory).or_insert_with_key(|directory| {
            let (index, name) = (free.unwrap_or(u32::MAX), directory.display().to_string());
            (index, self.context.health.source(index, &name, SourceKind::Instance, INTERVAL))
        });
        source.failure(error);
    }
}

/// Whether a stopped instance is a fault. A secondary one that `postmulti -e disable` took out is not.
fn expected_to_run(instance: &Instance) -> bool {
    let secondary = instance.parameter("multi_instance_name").is_some() && instance.listed().is_empty();
    !secondary || instance.parameter("multi_instance_enable") == Some("yes")
}

/// When a process began, on the monotonic clock: /proc/PID/stat counts its start in clock ticks since boot.
fn process_start(pid: u32) -> Option<Instant> {
    let stat = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let started = Duration::from_millis(stat.starttime * 1_000 / procfs::ticks_per_second());
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot = Duration::new(u64::try_from(boot.tv_sec).ok()?, u32::try_from(boot.tv_nsec).ok()?);
    Instant::now().checked_sub(since_boot.checked_sub(started)?)
}

#[cfg(test)]
mod tests;
