//! Queues and spools: postfixQueueTable and its sisters, for every instance.
//!
//! Two sources: the spool's directories ([`spool`]) where they may be read, else showq(8) ([`listing`]). `auto` tries in that
//! order at every reading, so that it follows the rights the agent has. Each reading runs on a thread of its own, so that a
//! spool on a dead file server or a stuck showq silences one instance and not all.
//!
//! Readings are paced by the wall clock: the next one starts at least twenty times the last one's duration later. The first
//! build of an index, and the reading of all defer logs that follows, are exempt and run at the lowest CPU priority.
//!
//! Nothing here writes, locks or changes a mode in the queue: group bits of queue files are orders to qmgr.

mod backlog;
mod conditions;
mod domains;
mod listing;
#[cfg(test)]
mod made_up;
mod reader;
mod reasons;
mod snapshot;
mod spool;
mod tables;
#[cfg(test)]
mod tests;

pub use tables::TABLES;

use super::{
    Collector, Context, Next, Registration,
    health::{Condition, Source, SourceKind, Status, Subject},
    instance::{Instance, UNKNOWN},
    registry::Registry,
};
use domains::Wanted;
use reader::{ReadError, Reader, Reading};
use snapshot::Snapshot;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};
use tables::{Rows, Space, SpoolRow, Totals};

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "queue",
    tables: TABLES,
    kinds: &[SourceKind::Queue],
    host_kinds: &[],
    make: |context| Box::new(QueueCollector::new(context.clone())),
};

/// The next reading starts at least so many times the last one's duration later.
const PACE: u32 = 20;
/// Where nobody answered and it cost nothing to ask it is asked again so soon: a Postfix that was started shows at once.
const SOON: Duration = Duration::from_secs(2);
/// For so long are the last values shown instead of a sum that may never have been true, because mail moved all the time it
/// was counted.
const HOLD_BACK: Duration = Duration::from_secs(60);
/// Such a reading is repeated so soon, or as soon as pacing allows.
const UNSETTLED: Duration = Duration::from_secs(1);
/// One that takes longer comes too seldom to be left out.
const LONG: Duration = Duration::from_secs(3);
/// So long does a refresh wait for a reading before it looks whether the agent is to stop.
const WAIT: Duration = Duration::from_millis(200);
/// A reading that takes longer is no longer waited for; it may still come.
const HUNG: Duration = Duration::from_secs(900);
/// Where the indices of postfixDomainTable and postfixQueueSenderTable are kept.
const DOMAINS: &str = "queue-domains";
const SENDERS: &str = "queue-senders";
const STATE_VERSION: u32 = 1;

/// The collector.
pub struct QueueCollector {
    context: Context,
    /// Names of postfixDomainTable, for all instances.
    domains: Registry,
    /// Those of postfixQueueSenderTable.
    senders: Registry,
    listed: Arc<Vec<Arc<Instance>>>,
    watched: BTreeMap<u32, Watched>,
    finished: (Sender<Finished>, Receiver<Finished>),
}

/// One instance.
struct Watched {
    instance: Arc<Instance>,
    source: Source,
    /// On its way while a reading goes on.
    reader: Option<Box<Reader>>,
    /// Who reads, or read last.
    thread: Option<thread::JoinHandle<()>>,
    due: Instant,
    /// When the current or last reading began.
    begun: Instant,
    interval: Duration,
    method: &'static str,
    /// Whether the next reading is to follow at once.
    unfinished: bool,
    snapshot: Option<Snapshot>,
    /// When the reading began that gave it.
    as_of: Instant,
    space: Option<Space>,
    /// Why the last reading failed.
    error: Option<String>,
    /// The last reading found Postfix stopped. In a restart one does.
    doubted: bool,
}

/// A reader that comes back, with what it read.
struct Finished {
    index: u32,
    reader: Box<Reader>,
    reading: Reading,
}

impl QueueCollector {
    /// Takes the saved indices over.
    pub fn new(context: Context) -> Self {
        let load = |name| {
            let saved: Option<Registry> = context.state.load(name, STATE_VERSION).unwrap_or_else(|e| {
                tracing::warn!("{e}");
                None
            });
            saved.unwrap_or_else(|| Registry::new(super::registry::OTHER + 1))
        };
        let (domains, senders) = (load(DOMAINS), load(SENDERS));
        Self { context, domains, senders, listed: Arc::default(), watched: BTreeMap::new(), finished: mpsc::channel() }
    }

    /// Takes the list of instances over; says whether it changed.
    fn follow_instances(&mut self) -> bool {
        let listed = self.context.instances.current();
        if Arc::ptr_eq(&listed, &self.listed) {
            return false;
        }
        let mut before = std::mem::take(&mut self.watched);
        for instance in listed.iter() {
            let watched = match before.remove(&instance.index).filter(|w| w.is_at(&instance.queue_directory)) {
                // Another main.cf, but the same queue: what is known of it stays.
                Some(watched) => watched.follow(instance),
                None => self.watch(instance),
            };
            self.watched.insert(instance.index, watched);
        }
        self.listed = listed;
        true
    }

    fn watch(&self, instance: &Arc<Instance>) -> Watched {
        let interval = instance.settings.queue.interval;
        let now = Instant::now();
        Watched {
            instance: instance.clone(),
            source: self.context.health.source(instance.index, &instance.name, SourceKind::Queue, interval),
            reader: Some(self.reader(instance)),
            thread: None,
            due: now,
            begun: now,
            interval,
            method: "",
            unfinished: false,
            snapshot: None,
            as_of: now,
            space: None,
            error: None,
            doubted: false,
        }
    }

    /// Starts what is due.
    fn start(&mut self) {
        let now = Instant::now();
        for (index, watched) in &mut self.watched {
            if watched.due > now {
                continue;
            }
            let Some(mut reader) = watched.reader.take() else { continue };
            watched.begun = now;
            let (index, finished) = (*index, self.finished.0.clone());
            let started = thread::Builder::new().name("queue-reader".into()).spawn(move || {
                let reading = reader.read();
                // Nobody waits any more when the agent stops.
                let _ = finished.send(Finished { index, reader, reading });
            });
            match started {
                Ok(thread) => watched.thread = Some(thread),
                // The reader went with the thread that never was.
                Err(e) => watched.lost_reader(&format!("cannot start a thread: {e}; see ulimit -u and TasksMax")),
            }
        }
    }

    /// Takes over what is finished; says whether anything was. A reader whose thread ended without giving it back (only a
    /// bug does that) is replaced: it must not silence an instance for ever.
    fn take_finished(&mut self) -> bool {
        let gone = |w: &Watched| w.reader.is_none() && w.thread.as_ref().is_none_or(thread::JoinHandle::is_finished);
        // Before the channel is emptied: what a thread sent before its end is in it by then.
        let ended: Vec<u32> = self.watched.iter().filter(|(_, w)| gone(w)).map(|(index, _)| *index).collect();
        let mut any = false;
        while let Ok(finished) = self.finished.1.try_recv() {
            self.take(finished);
            any = true;
        }
        for index in ended {
            if let Some(watched) = self.watched.get_mut(&index).filter(|w| w.reader.is_none()) {
                watched.lost_reader("the reading ended unexpectedly; please report this with what was logged before");
                let instance = watched.instance.clone();
                let reader = Some(self.reader(&instance));
                if let Some(watched) = self.watched.get_mut(&index) {
                    watched.reader = reader;
                }
                any = true;
            }
        }
        any
    }

    fn reader(&self, instance: &Arc<Instance>) -> Box<Reader> {
        let queue = &self.context.config.queue;
        Box::new(Reader::new(instance.clone(), Wanted::new(queue.domains as usize, queue.senders as usize)))
    }

    /// Takes a reading over.
    fn take(&mut self, Finished { index, reader, reading }: Finished) {
        let expected = |w: &&mut Watched| w.reader.is_none() && w.is_at(&reader.instance().queue_directory);
        let Some(watched) = self.watched.get_mut(&index).filter(expected) else {
            // Of an instance that is gone, or has another queue now.
            return;
        };
        watched.reader = Some(reader.follow(&watched.instance));
        watched.space = reading.space;
        let took = watched.begun.elapsed();
        let configured = watched.instance.settings.queue.interval;
        watched.unfinished = reading.unfinished;
        match &reading.result {
            Ok((_, snapshot)) => {
                let pace = if reading.building { took } else { took * (PACE + 1) };
                watched.interval = configured.max(pace);
                let next = match (reading.unfinished, snapshot.settled) {
                    (true, _) => took,
                    (false, true) => watched.interval,
                    (false, false) => watched.interval.min(pace.max(UNSETTLED)),
                };
                watched.due = watched.begun + next;
                watched.source.set_interval(watched.interval);
            }
            Err(e) => {
                // Only work is paced: what had to be waited for was none.
                let pace = took.saturating_sub(e.waited()) * PACE;
                let soon = if e.was_cheap() { configured.min(SOON) } else { configured };
                watched.due = Instant::now() + soon.max(pace);
                watched.source.set_interval(watched.interval_of_failure());
            }
        }
        let disabled = watched.instance.is_disabled();
        watched.error = reading.result.as_ref().err().map(ToString::to_string);
        let doubted = reading.result.as_ref().is_err_and(ReadError::is_final);
        let confirmed = std::mem::replace(&mut watched.doubted, doubted);
        match reading.result {
            // It is repeated, and until then the last values are nearer to the truth.
            Ok((_, snapshot)) if !snapshot.settled && took < LONG && watched.can_wait() => {}
            Ok((method, snapshot)) => {
                watched.source.success(method, took);
                if watched.method != method {
                    tracing::info!(instance = index, method, ?took, "the queue is read");
                    watched.method = method;
                }
                watched.snapshot = Some(snapshot);
                watched.as_of = watched.begun;
            }
            // Nobody expects it to run, and so nobody to answer.
            Err(_) if disabled => {
                watched.source.disabled();
                watched.snapshot = None;
            }
            Err(e) if e.is_final() && confirmed => {
                watched.source.lost(&e.to_string());
                watched.snapshot = None;
            }
            Err(e) => {
                if watched.source.failure(&e.to_string()) {
                    watched.snapshot = None;
                }
            }
        }
    }

    /// Publishes all tables.
    fn publish(&mut self) {
        let mut rows = Rows::default();
        let (mut domains, mut senders) = (Vec::new(), Vec::new());
        let (mut spools, mut conditions) = (Vec::new(), Vec::new());
        let mut counted = Vec::new();
        let several = self.watched.len() > 1;
        let now = snapshot::Clock::now().wall;
        self.domains.turn(now);
        self.senders.turn(now);
        for watched in self.watched.values() {
            let instance = &watched.instance;
            let snapshot = watched.snapshot.as_ref();
            if instance.settings.totals && !instance.is_disabled() {
                counted.push(snapshot);
                if several && snapshot.is_none() {
                    let missing = |e| Condition::totals_missing(Subject::Queue, "queues", &instance.name, e);
                    conditions.extend(watched.error.as_deref().map(missing));
                }
            }
            let spool = SpoolRow::new(instance, watched.space, snapshot);
            conditions::of(instance, &spool, snapshot, &mut conditions);
            spools.push(spool);
            if let Some(snapshot) = snapshot {
                let owner = instance.owner();
                rows.add(&owner, snapshot);
                backlog::domain_rows(&owner, snapshot, |name| self.domains.claim(name).index, &mut domains);
                backlog::sender_rows(&owner, snapshot, |name| self.senders.claim(name).index, &mut senders);
            }
        }
        conditions.extend(conditions::names_refused(&self.domains, &self.senders));
        let totals = Totals::of(&counted);
        // An index that was shown must not be forgotten.
        self.save();
        self.context.health.conditions("queue", conditions);
        let longest = self.watched.values().map(|w| w.interval * 3).max().unwrap_or_default();
        let lifetime = longest.max(Duration::from_secs(180));
        self.context.publisher.publish(
            [
                tables::TOTALS.fragment(&[totals]),
                tables::SPOOLS.fragment(&spools),
                tables::QUEUES.fragment(&rows.queues),
                tables::AGES.fragment(&rows.ages),
                backlog::DOMAINS.fragment(&domains),
                backlog::SENDERS.fragment(&senders),
                tables::REASONS.fragment(&rows.reasons),
            ]
            .map(|fragment| fragment.valid_for(lifetime)),
        );
    }

    fn save(&mut self) {
        for (file, names) in [(DOMAINS, &mut self.domains), (SENDERS, &mut self.senders)] {
            if !names.must_be_saved() {
                continue;
            }
            match self.context.state.save(file, STATE_VERSION, &*names) {
                Ok(()) => names.saved(),
                Err(e) => tracing::warn!("{e}"),
            }
        }
    }

    /// Whether a reading goes on that is worth waiting for.
    fn is_reading(&self) -> bool {
        self.watched.values().any(|w| w.reader.is_none() && w.begun.elapsed() < HUNG)
    }
}

impl Watched {
    fn is_at(&self, queue_directory: &Path) -> bool {
        self.instance.queue_directory == queue_directory
    }

    /// The same queue of an instance whose parameters were read anew.
    fn follow(mut self, instance: &Arc<Instance>) -> Self {
        self.source.rename(&instance.name);
        self.instance = instance.clone();
        self.reader = self.reader.map(|reader| reader.follow(instance));
        self
    }

    /// Whether the values that are shown are good enough for another while.
    fn can_wait(&self) -> bool {
        let good = self.snapshot.is_some() && self.source.status() == Status::Ok;
        good && self.as_of.elapsed() < HOLD_BACK.max(self.interval * 2)
    }

    /// The interval by which the status of a failing source is judged. Its values may be as old as the next reading was
    /// away; from then on the times of postfixSourceStatus count: three configured intervals, three minutes at least.
    fn interval_of_failure(&self) -> Duration {
        let configured = self.instance.settings.queue.interval;
        if self.interval <= configured {
            return configured;
        }
        (self.interval + (configured * 3).max(Duration::from_secs(180))) / 3
    }

    fn lost_reader(&mut self, why: &str) {
        if self.source.failure(why) {
            self.snapshot = None;
        }
        self.thread = None;
        self.unfinished = false;
        self.due = Instant::now() + self.interval;
    }
}

impl Collector for QueueCollector {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn refresh(&mut self) -> Next {
        if !self.context.instances.is_known() {
            return UNKNOWN;
        }
        let mut changed = self.follow_instances();
        self.start();
        if self.is_reading() {
            match self.finished.1.recv_timeout(WAIT) {
                Ok(finished) => {
                    self.take(finished);
                    changed = true;
                }
                // We hold a sender ourselves: there is always one.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        changed |= self.take_finished();
        for watched in self.watched.values_mut() {
            // A reading that hangs leaves values behind that are too old to be shown.
            if watched.snapshot.is_some() && watched.source.status() == Status::Failing {
                watched.snapshot = None;
                changed = true;
            }
        }
        if changed {
            self.publish();
        }
        if self.is_reading() || self.watched.values().any(|w| w.unfinished) {
            return Next::Again;
        }
        let now = Instant::now();
        let due = self.watched.values().filter(|w| w.reader.is_some()).map(|w| w.due).min();
        // Instances may come and go meanwhile.
        Next::After(due.map_or(WAIT * 5, |due| due.saturating_duration_since(now)).min(WAIT * 25))
    }

    fn finish(&mut self) {
        self.save();
    }
}
