//! Which Postfix instances there are, what they are made of, and whether they run: postfixInstanceTable.
//!
//! postconf(1) runs only when main.cf or master.cf changed, another master runs, or it failed before; State comes from
//! /proc/locks ([`crate::postfix::master`]). This is the only place that reads main.cf and master.cf: the list is what every
//! other collector works from. An instance whose main.cf cannot be read any more stays in it as it was last, as it does for
//! the Postfix that runs; its services too, for as long as [`lifetime`] says.

mod owner;
mod postconf;
mod read;
mod services;
mod tables;

pub use self::{
    owner::Owner,
    postconf::PostconfError,
    read::{Instance, InstanceError},
    services::{Service, key as service_key},
    tables::TABLES,
};
#[cfg(test)]
pub(crate) use self::{read::tests as made_up, services::tests::services as services_of};

use self::postconf::Parameters;
use self::tables::{INSTANCES, Row, State, TOTALS, Totals};
use super::{
    Collector, Context, Next, Registration,
    health::{Condition, Severity, Source, SourceKind, Subject, lifetime},
    registry::{LONGEST, Registry},
};
use crate::{
    advice, config,
    postfix::master::{Identity, Locks, Master},
    state::{StateDirectory, StateError},
};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "instance",
    tables: TABLES,
    kinds: &[SourceKind::Instance, SourceKind::Services],
    host_kinds: &[],
    make: |context| Box::new(InstanceCollector::new(context.clone())),
};

/// The instances as last found, shared with every collector. An unchanged list is the same `Arc`.
#[derive(Clone, Default)]
pub struct Instances(Arc<ArcSwap<Vec<Arc<Instance>>>>, Arc<AtomicBool>);

impl Instances {
    /// The current list, by index.
    pub fn current(&self) -> Arc<Vec<Arc<Instance>>> {
        self.0.load_full()
    }

    /// Whether they were looked for once. Until then a collector has nothing to do, and looks again soon ([`UNKNOWN`]).
    pub fn is_known(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }

    /// Replaces the list (tests put theirs here).
    pub fn set(&self, list: Vec<Arc<Instance>>) {
        self.0.store(Arc::new(list));
        self.1.store(true, Ordering::Release);
    }
}

/// How soon a collector looks again whether the instances are known, at the start.
pub const UNKNOWN: Next = Next::After(Duration::from_millis(100));

/// What tells that a file is another one than it was: device, inode, size and modification time.
#[derive(Clone, PartialEq, Eq)]
struct FileId(u64, u64, u64, i64, i64);

impl FileId {
    /// `None` where it cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
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
    /// What it is called where no other one has that name.
    own_name: String,
    /// Why master.cf could not be read at the last attempt.
    services: Result<(), String>,
    /// The master seen last. Another one may be of another version.
    master: Option<Identity>,
    outdated: bool,
    shown: Shown,
}

/// What is shown of an instance's master. That it does not run, or cannot be seen any more, is believed after two looks: in a
/// restart nobody holds the lock for a moment.
#[derive(Default)]
struct Shown {
    master: Option<Master>,
    /// Since when it looks different from that.
    doubted: Option<Instant>,
}

impl Shown {
    /// Takes a look in; whether another one is needed.
    fn look(&mut self, seen: Master, now: Instant, certain: Duration) -> bool {
        let alike = match (&seen, &self.master) {
            (Master::Running(_), _) => true,
            (seen, Some(shown)) => std::mem::discriminant(seen) == std::mem::discriminant(shown),
            // What cannot be seen can be said at once.
            (Master::Unknown(_), None) => true,
            (Master::Stopped, None) => false,
        };
        let doubted = *self.doubted.get_or_insert(now);
        if alike || now.saturating_duration_since(doubted) >= certain {
            self.master = Some(seen);
            self.doubted = None;
        }
        self.doubted.is_some()
    }
}

/// The state file: indices, and what the instances were.
#[derive(Serialize, Deserialize)]
struct Indices {
    /// postfixInstanceIndex by configuration directory ([`identity`]).
    instances: Registry,
    /// postfixServiceIndex by `name/type`, of each postfixInstanceIndex.
    services: BTreeMap<u32, Registry>,
    /// The parameters read last, by postfixInstanceIndex: an instance whose main.cf is broken when the agent starts is what it
    /// was, as it is for the Postfix that runs.
    #[serde(default)]
    parameters: BTreeMap<u32, Parameters>,
    /// Indices by name, as 0.1.0 gave them. The directory that has the name first takes its index over.
    #[serde(default)]
    named: BTreeMap<String, u32>,
}

impl Default for Indices {
    fn default() -> Self {
        Self {
            instances: Registry::new(1),
            services: BTreeMap::new(),
            parameters: BTreeMap::new(),
            named: BTreeMap::new(),
        }
    }
}

impl Indices {
    fn load(state: &StateDirectory) -> Self {
        let warn = |e: &StateError| tracing::warn!("{e}");
        let saved = state.load::<Self>(STATE, STATE_VERSION).inspect_err(warn).ok().flatten();
        let mut indices = saved.unwrap_or_default();
        if indices.services.is_empty() {
            indices.services = super::process::service_indices_of_0_1_0(state);
        }
        indices
    }

    /// Whether an index of 0.1.0's waits for the directory of its name.
    fn are_waiting(&self) -> bool {
        self.named.iter().any(|(name, index)| self.instances.get(name) == Some(*index) && !name.starts_with('/'))
    }

    /// That of the instance in this directory; where it has none yet, that of its name.
    fn take(&mut self, directory: &Path, name: &str) -> Option<u32> {
        let identity = identity(directory);
        if self.named.get(name).is_some_and(|index| self.instances.get(name) == Some(*index)) {
            self.instances.rename(name, &identity);
        }
        self.instances.index(&identity)
    }

    /// Those of an instance's services.
    fn of(&mut self, instance: u32) -> &mut Registry {
        self.services.entry(instance).or_insert_with(|| Registry::new(1))
    }
}

/// What an instance is known by: its configuration directory, as it is written.
fn identity(directory: &Path) -> String {
    let written = directory.components().collect::<PathBuf>().to_string_lossy().into_owned();
    if written.len() <= LONGEST {
        return written;
    }
    let cut = (0..LONGEST - 8).rev().find(|at| written.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{:08x}", written.get(..cut).unwrap_or_default(), crc32fast::hash(written.as_bytes()))
}

/// Names of the instances as 0.1.0 had them, by index: the log's state of that release is kept by name.
pub(super) fn names_of_0_1_0(state: &StateDirectory) -> BTreeMap<u32, String> {
    let saved = state.load::<Indices>(STATE, STATE_VERSION).inspect_err(|e| tracing::warn!("{e}")).ok().flatten();
    saved.map_or_else(BTreeMap::new, |indices| indices.named.into_iter().map(|(name, index)| (index, name)).collect())
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
    indices: Indices,
    /// As last written.
    saved: Vec<u8>,
    known: BTreeMap<PathBuf, Known>,
    /// Of the instance and of its services.
    sources: BTreeMap<u32, (Source, Source)>,
    /// Those that could not be read even once, by directory.
    nowhere: BTreeMap<PathBuf, (u32, Source)>,
    published: Vec<Arc<Instance>>,
    certain: Duration,
}

const INTERVAL: Duration = Duration::from_secs(10);
/// Two looks so far apart are two.
const CERTAIN: Duration = Duration::from_secs(2);
const STATE: &str = "instances";
const STATE_VERSION: u32 = 3;

impl InstanceCollector {
    /// Takes the saved indices over.
    pub fn new(context: Context) -> Self {
        Self {
            indices: Indices::load(&context.state),
            context,
            saved: Vec::new(),
            known: BTreeMap::new(),
            sources: BTreeMap::new(),
            nowhere: BTreeMap::new(),
            published: Vec::new(),
            certain: CERTAIN,
        }
    }

    /// The instances the configuration names, and those they list, in postmulti's order.
    fn wanted(&mut self) -> Vec<Found> {
        let configured = match self.context.config.instances.as_slice() {
            [] => vec![config::Instance::default()],
            list => list.to_vec(),
        };
        let real = |directory: &Path| fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let explicit: Vec<PathBuf> = configured.iter().map(|i| real(&i.config_directory)).collect();
        let mut seen: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut found = Vec::new();
        for settings in configured {
            let here = real(&settings.config_directory);
            if let Some((_, other)) = seen.iter().find(|(real, _)| *real == here) {
                let error = format!(
                    "this is the same directory as {}, and its mail would count twice; configure one of them",
                    other.display()
                );
                found.push(Found { settings, instance: None, error: Some(error) });
                continue;
            }
            seen.push((here, settings.config_directory.clone()));
            let read = self.read(settings.clone());
            let listed: Vec<PathBuf> = match &read.instance {
                Some(instance) if settings.discover => instance.listed(),
                _ => Vec::new(),
            };
            found.push(read);
            for directory in listed {
                let here = real(&directory);
                if explicit.contains(&here) || seen.iter().any(|(real, _)| *real == here) {
                    continue;
                }
                seen.push((here, directory.clone()));
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
        self.name(&mut found);
        found
    }

    /// Gives each a name of its own: of those without multi_instance_name only the one seen first is `postfix`, the others
    /// are called by their directories.
    fn name(&mut self, found: &mut [Found]) {
        let mut all: Vec<&mut Arc<Instance>> = found.iter_mut().filter_map(|found| found.instance.as_mut()).collect();
        all.sort_by_key(|instance| instance.index);
        let mut taken = BTreeSet::new();
        for instance in all {
            let Some(known) = self.known.get_mut(&instance.config_directory) else { continue };
            let name = match taken.insert(known.own_name.clone()) {
                true => known.own_name.clone(),
                false => instance.config_directory.display().to_string(),
            };
            if instance.name != name {
                *instance = Arc::new(Instance { name, ..(**instance).clone() });
                known.instance = instance.clone();
            }
        }
    }

    fn read(&mut self, settings: config::Instance) -> Found {
        let print = fingerprint(&settings.config_directory);
        let known = self.known.get(&settings.config_directory);
        let up_to_date = |known: &&Known| known.fingerprint == print && !known.outdated && known.services.is_ok();
        if let Some(known) = known.filter(up_to_date) {
            return Found { instance: Some(known.instance.clone()), settings, error: None };
        }
        let (instance, error) = match self.read_anew(&settings, print) {
            Ok(instance) => (Some(instance), None),
            Err(error) => (self.as_it_was(&settings, &error), Some(error)),
        };
        Found { settings, instance, error }
    }

    /// The instance as it was read last, by this agent or the one before.
    fn as_it_was(&mut self, settings: &config::Instance, error: &str) -> Option<Arc<Instance>> {
        let directory = &settings.config_directory;
        if let Some(known) = self.known.get(directory) {
            return Some(known.instance.clone());
        }
        let index = self.indices.instances.get(&identity(directory))?;
        let parameters = self.indices.parameters.get(&index)?.clone();
        let instance = Arc::new(Instance { index, ..Instance::of(settings, parameters) });
        self.remember(settings, fingerprint(directory), instance.clone(), Err(error.to_owned()));
        Some(instance)
    }

    fn remember(
        &mut self,
        settings: &config::Instance,
        fingerprint: Fingerprint,
        instance: Arc<Instance>,
        services: Result<(), String>,
    ) {
        let directory = &settings.config_directory;
        let own_name = Instance::of(settings, instance.parameters.clone()).name;
        // Of another spool nothing is known.
        let here = |known: &&mut Known| known.instance.queue_directory == instance.queue_directory;
        let (master, shown) = (self.known.get_mut(directory).filter(here))
            .map(|known| (known.master, std::mem::take(&mut known.shown)))
            .unwrap_or_default();
        let known = Known { fingerprint, instance, own_name, services, master, outdated: false, shown };
        self.known.insert(directory.clone(), known);
    }

    fn read_anew(&mut self, settings: &config::Instance, fingerprint: Fingerprint) -> Result<Arc<Instance>, String> {
        let directory = &settings.config_directory;
        let mut instance = Instance::read(settings, &self.context.stop).map_err(|e| e.to_string())?;
        instance.index =
            self.indices.take(directory, &instance.name).ok_or("more instances than fit in the index registry")?;
        match instance.has_parameters() {
            true => drop(self.indices.parameters.insert(instance.index, instance.parameters.clone())),
            // What the configuration says is all that is wanted to be known.
            false => drop(self.indices.parameters.remove(&instance.index)),
        }
        let before = self.known.get(directory);
        let services = match instance.has_parameters() {
            // A sidecar without Postfix's programs.
            false => Ok(()),
            true => services::read(settings, &self.context.stop).map(|mut services| {
                services::number(&mut services, self.indices.of(instance.index));
                instance.services = Some(services.into());
            }),
        };
        if services.is_err() {
            instance.services = before.and_then(|known| known.instance.services.clone());
        }
        // As it is called until all have been read.
        let unnamed = Instance::of(settings, instance.parameters.clone()).name;
        instance.name =
            before.filter(|known| known.own_name == unnamed).map_or(unnamed, |known| known.instance.name.clone());
        // The same one where nothing changed that is asked for, so that nobody begins anew.
        let same = before.filter(|known| *known.instance == instance);
        let instance = same.map_or_else(|| Arc::new(instance), |known| known.instance.clone());
        self.remember(settings, fingerprint, instance.clone(), services);
        Ok(instance)
    }

    /// Its handles in health.
    fn sources(&mut self, instance: &Instance) -> &(Source, Source) {
        let sources = self.sources.entry(instance.index).or_insert_with(|| {
            let source = |kind| self.context.health.source(instance.index, &instance.name, kind, INTERVAL);
            (source(SourceKind::Instance), source(SourceKind::Services))
        });
        sources.0.rename(&instance.name);
        sources.1.rename(&instance.name);
        sources
    }

    /// Tells health of master.cf, which postconf reads with main.cf (`error`) and by itself. Services that could not be read
    /// for too long are withdrawn.
    fn report_services(
        &mut self,
        directory: &Path,
        instance: Arc<Instance>,
        error: Option<&String>,
        took: Duration,
    ) -> Arc<Instance> {
        let known = || self.known.get(directory).map_or(Ok(()), |known| known.services.clone());
        let read = error.map_or_else(known, |error| Err(error.clone()));
        let (_, source) = self.sources(&instance);
        let withdraw = match &read {
            Ok(()) if instance.services.is_none() => {
                source.disabled();
                false
            }
            Ok(()) => {
                source.success("postconf", took);
                false
            }
            Err(_) if instance.is_disabled() => {
                source.disabled();
                false
            }
            Err(why) => source.failure(why),
        };
        if !withdraw || instance.services.is_none() {
            return instance;
        }
        let instance = Arc::new(Instance { services: None, ..(*instance).clone() });
        if let Some(known) = self.known.get_mut(directory) {
            known.instance = instance.clone();
        }
        instance
    }

    /// Indices must never move, so they are written before they are shown.
    fn save(&mut self) {
        let Ok(bytes) = serde_json::to_vec(&self.indices) else { return };
        if bytes == self.saved {
            return;
        }
        match self.context.state.save_bytes(STATE, STATE_VERSION, &bytes) {
            Ok(()) => self.saved = bytes,
            Err(e) => tracing::warn!("{e}"),
        }
    }
}

impl Collector for InstanceCollector {
    fn name(&self) -> &'static str {
        "instance"
    }

    fn refresh(&mut self) -> Next {
        let begun = Instant::now();
        let wanted = self.wanted();
        if self.context.stop.is_stopped() {
            // What was asked then was not answered.
            return Next::After(INTERVAL);
        }
        self.known.retain(|directory, _| wanted.iter().any(|found| found.settings.config_directory == *directory));
        self.nowhere.retain(|directory, _| {
            wanted.iter().any(|found| found.instance.is_none() && found.settings.config_directory == *directory)
        });
        let (mut found, mut nameless) = (Vec::new(), Vec::new());
        for Found { settings, instance, error } in wanted {
            match instance {
                Some(instance) => {
                    let directory = settings.config_directory;
                    let instance = self.report_services(&directory, instance, error.as_ref(), begun.elapsed());
                    found.push((directory, instance, error));
                }
                None => nameless.push((settings.config_directory, error.unwrap_or_default())),
            }
        }
        nameless.into_iter().for_each(|(directory, error)| self.nameless(directory, &error));
        self.save();
        let damaged = self.context.state.damaged().into_iter();
        let damaged = damaged.map(|text| Condition { severity: Severity::Warning, subject: Subject::State, text });
        self.context.health.conditions("state", damaged.collect());
        // The others need not wait for what follows.
        self.hand_out(found.iter().map(|(_, instance, _)| instance.clone()).collect());
        let mut again = self.look();
        if again && self.known.values().any(|known| known.shown.master.is_none()) {
            // There is nothing to show in the meantime: the second look is waited for here.
            if self.context.stop.wait_until(Instant::now() + self.certain) {
                return Next::After(INTERVAL);
            }
            again = self.look();
        }
        let mut rows: Vec<Row> = Vec::new();
        let mut conditions = Vec::new();
        for (directory, instance, error) in found {
            let known = self.known.get(&directory);
            let Some(master) = known.and_then(|known| known.shown.master.clone()) else { continue };
            let is_disabled = instance.is_disabled();
            let condition = |severity, subject, text| Condition { severity, subject, text };
            let (source, _) = self.sources(&instance);
            match (&master, &error) {
                // It is quiet, whatever is wrong with it.
                (Master::Unknown(_), _) | (_, Some(_)) if is_disabled => source.disabled(),
                (_, Some(error)) => drop(source.failure(error)),
                (Master::Unknown(why), None) => drop(source.failure(why)),
                (_, None) => source.success("postconf", begun.elapsed()),
            }
            match &master {
                _ if is_disabled => {}
                Master::Unknown(why) => {
                    let text = format!("{}: cannot tell whether it runs: {why}", instance.name);
                    conditions.push(condition(Severity::Unknown, Subject::Daemon, text));
                }
                Master::Stopped => {
                    let start = advice::start_postfix(&directory, instance.parameter("multi_instance_name"));
                    let text = advice::advise(format_args!("{}: Postfix is stopped", instance.name), &[start]);
                    conditions.push(condition(Severity::Critical, Subject::InstanceDown, text));
                }
                Master::Running(_) => {}
            }
            let started = match master {
                Master::Running(pid) => process_start(pid),
                _ => None,
            };
            rows.push(Row { instance, master, started });
        }
        self.context.health.conditions("instance", conditions);
        let counted = || rows.iter().filter(|row| !row.instance.is_disabled());
        let running = counted()
            .all(|row| row.state() != State::Unknown)
            .then(|| counted().filter(|row| row.state() == State::Running).count() as u64);
        let totals = Totals { instances: counted().count() as u64, running };
        self.context
            .publisher
            .publish([INSTANCES.fragment(&rows), TOTALS.fragment(&[totals])].map(|f| f.valid_for(lifetime(INTERVAL))));
        Next::After(if again { self.certain } else { INTERVAL })
    }
}

impl InstanceCollector {
    /// Looks at the masters of all known instances once; whether one must be looked at again soon.
    fn look(&mut self) -> bool {
        let locks = Locks::read();
        let (now, certain) = (Instant::now(), self.certain);
        let mut again = false;
        for known in self.known.values_mut() {
            let seen = locks.master(&known.instance.queue_directory, known.master);
            if let Master::Running(pid) = seen {
                let before = known.master.map(|master| master.pid);
                known.outdated |= before.is_some_and(|before| before != pid);
                // Where /proc hides it, its number is all that is known.
                known.master = Some(locks.identity(pid).unwrap_or(Identity { pid, start: 0 }));
            }
            again |= known.shown.look(seen, now, certain);
        }
        again
    }

    /// Gives the list to all others, where it is another one.
    fn hand_out(&mut self, list: Vec<Arc<Instance>>) {
        self.sources.retain(|index, _| list.iter().any(|i| i.index == *index));
        let same =
            list.len() == self.published.len() && list.iter().zip(&self.published).all(|(a, b)| Arc::ptr_eq(a, b));
        if same && self.context.instances.is_known() {
            return;
        }
        for instance in &list {
            tracing::info!(index = instance.index, name = instance.name, config = %instance.config_directory.display(), queue = %instance.queue_directory.display(), "instance");
        }
        self.published = list.clone();
        self.context.instances.set(list);
    }

    /// A configured instance that could not be read once has its row in postfixSourceTable under its directory. While indices
    /// of 0.1.0's wait for the directories of their names, which of them is its own is not known: then it is the first index
    /// that is nobody's.
    fn nameless(&mut self, directory: PathBuf, error: &str) {
        let own = match self.indices.are_waiting() {
            true => self.indices.instances.get(&identity(&directory)),
            false => self.indices.instances.index(&identity(&directory)),
        };
        let index = own.or_else(|| {
            (1..).find(|index| {
                let others = self.nowhere.iter().filter(|(other, _)| **other != directory);
                self.indices.instances.name(*index).is_none() && others.map(|(_, (taken, _))| taken).all(|t| t != index)
            })
        });
        let index = index.unwrap_or(u32::MAX);
        let health = &self.context.health;
        let new = |directory: &PathBuf| {
            (index, health.source(index, &directory.display().to_string(), SourceKind::Instance, INTERVAL))
        };
        let (at, source) = self.nowhere.entry(directory.clone()).or_insert_with_key(new);
        if *at != index {
            (*at, *source) = new(&directory);
        }
        source.failure(error);
    }
}

/// When a process began, on the monotonic clock: /proc/PID/stat counts its start in clock ticks since boot.
fn process_start(pid: u32) -> Option<Instant> {
    let stat = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let started = Duration::from_millis(stat.starttime * 1_000 / procfs::ticks_per_second());
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot = Duration::new(u64::try_from(boot.tv_sec).ok()?, u32::try_from(boot.tv_nsec).ok()?);
    Instant::now().checked_sub(since_boot.checked_sub(started)?)
}

/// For the fuzzer: what postconf may say. Parameters, and what services set for themselves.
#[cfg(fuzzing)]
pub fn postconf_output(text: &str) -> usize {
    postconf::parameters(text).len() + postconf::of_services(text).len()
}

#[cfg(test)]
mod tests;
