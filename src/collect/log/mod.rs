//! Logs: every line understood, each counted once.
//!
//! [`engine`] turns lines into counters and knows no I/O; [`follow`] and [`journal`] bring the lines; this file is the
//! collector around them. Log files are read host-wide, once each, however many instances name them. Counters, positions,
//! queue ids and registries are saved together in one file, so that the log itself is the journal: after a start nothing is
//! shown until the log has been read to the end seen then, and no counter ever goes back.
//!
//! Where a log that was never read before is begun is configured (`log.from`): at its end by default, so that an old log
//! does not look like today's mail.

mod admissions;
mod busiest_tables;
mod clients;
mod codes;
pub mod count;
pub mod counters;
mod destinations;
pub mod engine;
mod filters;
mod flow;
mod follow;
mod hour;
mod ids;
mod journal;
mod operation;
mod organisation;
mod patterns;
mod places;
mod publish;
mod ranked;
mod reasons;
pub mod reject;
mod rotated;
mod saved;
mod senders;
mod server;
mod sizes;
mod strangers;
mod stream;
#[cfg(test)]
mod sums;
mod tables;
mod tail;
mod template;
mod tls;
mod twins;
mod watch;

pub use tables::TABLES;

use self::{
    admissions::{Admissions, Admitted},
    busiest_tables::Shown,
    counters::Totals,
    engine::{Engine, Options, Ranks},
    follow::Patience,
    patterns::Matcher,
    places::Places,
    saved::{Everything, FILE, VERSION},
    stream::{Origin, Stream},
    tables::{LOG_FILES, LogFileRow, TEMPLATE, TOTAL_MAIL, TotalRow},
    twins::Likeness,
};
use super::{
    Collector, Context, Next, Registration,
    health::{Condition, Severity, Source, SourceKind, Status, Subject},
    instance::{Instance, UNKNOWN, names_of_0_1_0},
    registry::{NAMES, Registry},
};
use crate::{
    config::LogStart,
    mib::AnyTable,
    postfix::master::{Locks, Master},
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// See [`super::COLLECTORS`].
pub static REGISTRATION: Registration = Registration {
    name: "log",
    tables: TABLES,
    kinds: &[SourceKind::Log],
    host_kinds: &[],
    make: |context| Box::new(LogCollector::new(context.clone())),
};

/// How often the logs are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Saved so often while anything changes, unless the state is large.
const SAVE: Duration = Duration::from_secs(10);
/// No more octets than these are written in a minute: with all queue ids remembered the state has some 10 MB, and every ten
/// seconds that would be 75 GB a day. What was not saved is read again from the log after a crash, exactly once as well.
const SAVED_A_MINUTE: u64 = 4 << 20;
/// Health hears of success so often.
const REPORT: Duration = Duration::from_secs(2);
/// Without news published so often: sessions end without a line, hours pass.
const REPUBLISH: Duration = Duration::from_secs(5);
/// Files that were empty at first may turn out to be twins.
const TWINS: Duration = Duration::from_secs(60);
/// In so many looks a file had a line that no other one had: a syslog daemon that writes both has long
/// written the second.
const APART: u8 = 4;
/// So much is read of one stream before the others have their turn and a stop is noticed.
const SLICE: usize = 8 << 20;

/// How long nothing is saved after so many octets were.
fn pause(octets: usize) -> Duration {
    let octets = u64::try_from(octets).unwrap_or(u64::MAX);
    SAVE.max(Duration::from_millis(octets.saturating_mul(60_000) / SAVED_A_MINUTE))
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// The instances as last found.
type InstanceList = Arc<Vec<Arc<Instance>>>;

/// The collector.
pub struct LogCollector {
    context: Context,
    engine: Engine,
    streams: Vec<Stream>,
    /// Files in which a syslog daemon tells what it dropped.
    admissions: Admissions,
    list: Option<InstanceList>,
    /// By position in the engine.
    members: Vec<Member>,
    /// What is saved of instances and streams that are not there now.
    absent: Everything,
    names_of_0_1_0: BTreeMap<u32, String>,
    files: Registry,
    totals: Totals,
    totals_since: i64,
    dirty: bool,
    changed: bool,
    saved_at: Instant,
    /// Octets of what was saved last.
    saved_octets: usize,
    /// A log was rotated since: what it was is not there for ever.
    rotated: bool,
    save_error: Option<String>,
    published_at: Option<Instant>,
    published_in: Duration,
    reported_at: Option<Instant>,
    places_at: Instant,
    twins_at: Instant,
    patience: Patience,
    begun: Instant,
}

/// An instance as the collector sees it.
struct Member {
    source: Source,
    /// Counts in postfixTotals.
    totals: bool,
    /// Its log is not read.
    disabled: bool,
    /// Nobody expects it to run, and so nobody misses its log.
    quiet: bool,
    /// Where its log is could not be told.
    nowhere: Option<String>,
    /// Its rows are shown.
    known: bool,
    /// Health was told last that it cannot be read.
    failed: bool,
}

impl LogCollector {
    /// Takes the saved state over.
    pub fn new(context: Context) -> Self {
        Self::with_patience(context, Patience::default())
    }

    fn with_patience(context: Context, patience: Patience) -> Self {
        let absent = match context.state.load_bytes(FILE, VERSION) {
            Ok(Some(bytes)) => Everything::decode(&bytes).unwrap_or_else(|| {
                tracing::error!("{}", context.state.set_aside(FILE, "the content cannot be read"));
                Everything::default()
            }),
            Ok(None) => Everything::default(),
            Err(e) => {
                tracing::error!("{e}");
                Everything::default()
            }
        };
        let config = &context.config.log;
        let options = Options {
            hosts: config.hosts.iter().map(|host| host.clone().into_bytes()).collect(),
            queue_ids: config.queue_ids,
            ranks: Ranks::new(config),
            ..Options::default()
        };
        let mut engine = Engine::new(options);
        engine.template = absent.template;
        engine.matcher = Matcher::new(&context.config.patterns, absent.patterns.clone());
        let now = Instant::now();
        Self {
            engine,
            streams: Vec::new(),
            admissions: Admissions::default(),
            list: None,
            members: Vec::new(),
            files: absent.files.clone().unwrap_or_else(|| Registry::new(1)),
            totals: absent.totals,
            totals_since: if absent.totals_since > 0 { absent.totals_since } else { self::now() },
            names_of_0_1_0: match absent.instances.is_empty() {
                true => BTreeMap::new(),
                false => names_of_0_1_0(&context.state),
            },
            absent,
            dirty: false,
            changed: true,
            saved_at: now,
            saved_octets: 0,
            rotated: false,
            save_error: None,
            published_at: None,
            published_in: Duration::ZERO,
            reported_at: None,
            places_at: now,
            twins_at: now,
            patience,
            begun: now,
            context,
        }
    }

    /// What was counted of an instance before.
    fn saved(&mut self, index: u32) -> counters::State {
        let named = || self.absent.instances.remove(self.names_of_0_1_0.get(&index)?);
        self.absent.by_index.remove(&index).or_else(named).unwrap_or_default()
    }

    /// Takes over who there is and where they log.
    fn arrange(&mut self, list: InstanceList) {
        let begun = |origin: &Origin| {
            self.absent.streams.contains_key(&origin.name()) || self.streams.iter().any(|s| s.origin == *origin)
        };
        let places = Places::of(&list, begun);
        let mut sources = self.park();
        let mut wanted: Vec<(Origin, Vec<usize>, bool)> = places.streams;
        for (position, instance) in list.iter().enumerate() {
            let mut state = self.saved(instance.index);
            if state.since == 0 {
                state.since = now();
                self.dirty = true;
            }
            let settings = places::settings(instance, &self.context.config.log);
            self.engine.add(settings, state);
            let disabled = places.disabled.contains(&position);
            let source = sources
                .remove(&instance.index)
                .unwrap_or_else(|| self.context.health.source(instance.index, &instance.name, SourceKind::Log, REPORT));
            source.rename(&instance.name);
            if disabled {
                source.disabled();
            }
            source.remark(places.instead.get(&position).map_or("", String::as_str));
            let nowhere = places.nowhere.get(&position).cloned();
            let quiet = instance.is_disabled();
            let totals = instance.settings.totals && !quiet;
            self.members.push(Member { source, totals, disabled, quiet, nowhere, known: false, failed: false });
        }
        let mut old = std::mem::take(&mut self.streams);
        for (origin, users, own) in wanted.drain(..) {
            let mut stream = match old.iter().position(|s| s.origin == origin) {
                Some(at) => old.swap_remove(at),
                None => {
                    let name = origin.name();
                    let saved = self.absent.streams.remove(&name);
                    let from_start = self.context.config.log.from == LogStart::Start;
                    let Some(index) = self.files.index(&name) else { continue };
                    tracing::info!(
                        log = name,
                        from = if saved.is_some() {
                            "where it was left"
                        } else if from_start {
                            "start"
                        } else {
                            "end"
                        },
                        "following"
                    );
                    Stream::new(origin, index, saved, from_start, &self.context.config.log.olddir, self.patience)
                }
            };
            stream.source.owner = users.first().copied().filter(|_| own && users.len() == 1);
            stream.source.forget_tags();
            let direct = |user: &usize| {
                let file = list.get(*user).and_then(|instance| instance.parameter("maillog_file"));
                matches!((&stream.origin, file), (Origin::File(path), Some(file)) if path == Path::new(file))
            };
            stream.admitted =
                Admitted::of(&stream.origin, users.iter().all(direct), &self.context.config.log.admissions);
            stream.users = users;
            self.streams.push(stream);
        }
        for stream in old {
            if let Some(saved) = stream.save() {
                self.absent.streams.insert(stream.origin.name(), saved);
            }
        }
        let (olddir, patience) = (&self.context.config.log.olddir, self.patience);
        self.admissions.arrange(&self.streams, &mut self.absent.streams, |origin, saved| {
            Stream::new(origin, 0, saved, false, olddir, patience)
        });
        for warning in places.warnings.iter().chain(places.instead.values()) {
            tracing::warn!("{warning}");
        }
        self.refuse_twins();
        self.list = Some(list);
        self.changed = true;
        self.reported_at = None;
    }

    /// Refuses files that have the same lines as another one.
    fn refuse_twins(&mut self) {
        self.twins_at = Instant::now();
        let path = |stream: &Stream| match &stream.origin {
            Origin::File(path) => path.clone(),
            // Looked for like a file and never found.
            Origin::Journal => Default::default(),
        };
        let files: Vec<_> = self.streams.iter().map(path).collect();
        if files.len() < 2 {
            return;
        }
        let names: Vec<String> = self.streams.iter().map(|s| s.origin.name()).collect();
        for (stream, told) in self.streams.iter_mut().zip(twins::compare(&files)) {
            let other = match told {
                Likeness::Twin(at) => names.get(at),
                Likeness::Alike => None,
                Likeness::Apart => {
                    stream.looks_apart = stream.looks_apart.saturating_add(1);
                    None
                }
                Likeness::Distinct => {
                    stream.looks_apart = u8::MAX;
                    None
                }
            };
            if let (Some(other), None) = (other, &stream.twin_of) {
                tracing::error!(log = stream.origin.name(), "has the same lines as {other} and is not read");
            }
            // Once refused it stays so: its end is not compared with what was read of the other one since.
            stream.twin_of = stream.twin_of.take().or(other.cloned());
        }
    }

    /// Files that just began, as two do that were rotated together, are not read before it is told whether they are one
    /// stream: what was counted twice cannot be taken back. Says which have to wait.
    fn waiting(&mut self) -> Vec<bool> {
        let undecided = |stream: &Stream| {
            let Origin::File(file) = &stream.origin else { return false };
            stream.twin_of.is_none()
                && stream.looks_apart < APART
                && stream.is_begun()
                && fs::metadata(file).is_ok_and(|meta| meta.len() > 0)
        };
        // Files are compared with those before them.
        if self.streams.iter().skip(1).any(undecided) {
            self.refuse_twins();
        }
        self.streams.iter().enumerate().map(|(at, stream)| at > 0 && undecided(stream)).collect()
    }

    /// Puts the states of all instances back to those that are not there. Returns their sources by index.
    fn park(&mut self) -> BTreeMap<u32, Source> {
        self.add_totals();
        let mut indices = Vec::new();
        for instance in self.engine.instances.drain(..) {
            indices.push(instance.settings.index);
            self.absent.by_index.insert(instance.settings.index, instance.state);
        }
        indices.into_iter().zip(self.members.drain(..).map(|m| m.source)).collect()
    }

    /// postfixTotals are accumulators of their own: what an instance counted stays when it goes.
    fn add_totals(&mut self) {
        for (instance, member) in self.engine.instances.iter_mut().zip(&self.members) {
            let counted = Totals::of(&instance.state);
            if member.totals {
                self.totals.add(&instance.state.totals_seen, &counted);
            }
            instance.state.totals_seen = counted;
        }
    }

    /// Reads all streams for a while. Returns whether there is more.
    fn read(&mut self) -> bool {
        let mut more = false;
        let waiting = self.waiting();
        let streams = self.streams.iter_mut().zip(waiting).filter(|(s, waits)| s.twin_of.is_none() && !waits);
        for (stream, _) in streams {
            let before = stream.source.counters;
            let status = stream.status();
            let progress = stream.read(&mut self.engine, SLICE);
            if progress.gaps > 0 {
                for user in &stream.users {
                    if let Some(instance) = self.engine.instances.get_mut(*user) {
                        instance.state.discontinuities += progress.gaps;
                        instance.state.since = now();
                    }
                }
                self.totals_since = now();
            }
            if progress.recounted {
                for user in &stream.users {
                    if let Some(instance) = self.engine.instances.get_mut(*user) {
                        instance.state.discontinuities += 1;
                        instance.state.since = now();
                    }
                }
                self.totals_since = now();
                self.dirty = true;
            }
            let new = before != stream.source.counters;
            self.rotated |= progress.rotations > 0;
            self.dirty |= new || progress.bytes > 0;
            self.changed |= new || status != stream.status();
            more |= progress.bytes >= SLICE || (progress.bytes > 0 && !stream.caught_up) || stream.is_awaited();
        }
        for stream in self.admissions.streams() {
            let before = (stream.source.counters.suppressed, stream.status());
            let progress = stream.read(&mut self.engine, SLICE);
            let new = before != (stream.source.counters.suppressed, stream.status());
            self.dirty |= progress.bytes > 0;
            self.changed |= new;
            more |= progress.bytes >= SLICE;
        }
        let live = self.streams.iter().all(|s| s.caught_up || s.twin_of.is_some());
        for instance in &mut self.engine.instances {
            for (program, entry) in instance.throttled.drain(..).filter(|_| live) {
                self.context.throttled.note(instance.settings.index, &program, entry.as_deref());
            }
        }
        more
    }

    /// A log of which nothing of a running Postfix is understood tells nothing of it.
    fn judge(&mut self, due: bool) {
        for stream in &mut self.streams {
            let own = stream.users.len() == 1 && stream.source.owner.is_some();
            let complaint = |position: &usize| {
                let instance = self.engine.instances.get(*position)?;
                let before = instance.state.messages.iter().any(|(_, _, message)| message.lines > 0);
                let name = &instance.settings.syslog_name;
                stream.source.strangers.complaint(&stream.origin.name(), name, before, own)
            };
            // One that is stopped, or that nobody expects to run, has nothing to say.
            let runs = |position: &usize| {
                let instance = self.list.as_ref().and_then(|list| list.get(*position));
                let stopped = |i: &Arc<Instance>| {
                    i.is_disabled() || Locks::read().master(&i.queue_directory, None) == Master::Stopped
                };
                !instance.is_some_and(stopped)
            };
            let users = || stream.users.iter().filter_map(|position| Some((position, complaint(position)?)));
            // Whether it runs costs a look at the system.
            let found = match users().next() {
                None => None,
                Some(_) if !due => continue,
                Some(_) => users().find(|(position, _)| runs(position)).map(|(_, complaint)| complaint),
            };
            self.changed |= found.is_some() != stream.foreign.is_some();
            if let (Some(complaint), None) = (&found, &stream.foreign) {
                tracing::error!("{complaint}");
            }
            stream.foreign = found;
        }
    }

    /// Tells health, and decides whose rows are shown.
    fn report(&mut self) {
        let due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT);
        self.judge(due);
        for (position, member) in self.members.iter_mut().enumerate().filter(|(_, m)| !m.disabled) {
            let streams = || self.streams.iter().filter(|s| s.twin_of.is_none() && s.users.contains(&position));
            let error = streams().find_map(|s| s.error.as_ref()).or(member.nowhere.as_ref());
            let denied = streams().find(|s| s.error.is_some()).is_some_and(|s| s.denied);
            let through = streams().all(|s| s.caught_up);
            // Another log of the same instance may be understood.
            let mut complaints = streams().map(|s| s.foreign.as_ref());
            let foreign = complaints.next().flatten().filter(|_| complaints.all(|foreign| foreign.is_some()));
            let known = match error {
                None if foreign.is_some() => {
                    if let (true, Some(complaint)) = (due || member.known, foreign) {
                        member.source.lost(complaint);
                    }
                    false
                }
                // The first time at once: `check` looks once only, and a permission that is lost does not wait.
                Some(_) if !due && member.failed => member.known,
                Some(_) if member.quiet => {
                    member.source.disabled();
                    false
                }
                Some(error) if denied => !member.source.denied(error) && through,
                Some(error) => !member.source.failure(error) && through,
                None if through => {
                    if due || !member.known {
                        let method = streams().next().map_or("file", |s| s.method());
                        member.source.success(method, self.begun.elapsed());
                    }
                    true
                }
                None => false,
            };
            member.failed = error.is_some();
            self.changed |= known != member.known;
            member.known = known;
        }
        if due {
            self.reported_at = Some(Instant::now());
            let condition = |text| Condition { severity: Severity::Warning, subject: Subject::Log, text };
            let unsaved = self.save_error.iter().map(|e| condition(format!("log state not saved: {e}")));
            let refused = self.streams.iter().filter(|s| s.twin_of.is_some());
            let refused =
                refused.map(|s| condition(format!("{}: {}", s.origin.name(), s.complaint().unwrap_or_default())));
            let warned = self.streams.iter().filter_map(|s| s.warning()).map(|text| condition(text.to_owned()));
            let crowded = self.engine.instances.iter().flat_map(|instance| {
                let name = &instance.settings.name;
                instance.state.crowded().map(move |what| {
                    condition(format!(
                        "{name}: its log names more {what} than the {NAMES} that can have rows; those that came last count as \
                         (other): look there for names that are none"
                    ))
                })
            });
            let conditions = unsaved.chain(refused).chain(warned).chain(crowded).collect();
            self.context.health.conditions("log", conditions);
            self.context.health.conditions("log watch", self.watched());
        }
    }

    /// Destinations and accounts that somebody should look at, of instances whose log was read to its end.
    fn watched(&self) -> Vec<Condition> {
        let (config, now) = (&self.context.config, now());
        let known = self.engine.instances.iter().zip(&self.members).filter(|(_, member)| member.known);
        known.flat_map(|(i, _)| watch::conditions(i, &config.log.watch, config.privacy, now)).collect()
    }

    /// What was noted while the clock was ahead lies in the future, and would be of no age until then.
    fn settle_clock(&mut self, now: i64) {
        self.totals_since = self.totals_since.min(now);
        self.streams.iter_mut().for_each(|stream| stream.last_line = stream.last_line.min(now));
        if let Some(matcher) = &mut self.engine.matcher {
            matcher.settle_clock(now);
        }
        for instance in &mut self.engine.instances {
            instance.state.since = instance.state.since.min(now);
            instance.state.messages.rows_mut().for_each(|message| message.last = message.last.min(now));
            instance.state.destinations.settle_clock(now);
        }
    }

    /// On a loghost the process ids in the log are other hosts'.
    fn logs_of_this_host(&self) -> bool {
        let name = rustix::system::uname();
        let name = name.nodename().to_bytes();
        let short = name.split(|b| *b == b'.').next().unwrap_or_default();
        let hosts = &self.context.config.log.hosts;
        hosts.is_empty() || hosts.iter().any(|host| host.as_bytes() == name || host.as_bytes() == short)
    }

    /// At most so often that it costs little; at once when little has to be made.
    fn publish(&mut self) {
        let since = self.published_at.map(|at| at.elapsed());
        let due = since.is_none_or(|since| since >= REPUBLISH);
        let may = since.is_none_or(|since| since >= self.published_in * 20);
        if !(due || self.changed && may) {
            return;
        }
        let begun = Instant::now();
        self.add_totals();
        self.settle_clock(now());
        let here = self.logs_of_this_host();
        let sessions = |i| if here { publish::sessions(i) } else { None };
        let sessions: Vec<_> = self.engine.instances.iter_mut().map(sessions).collect();
        let known = |position: usize| self.members.get(position).is_some_and(|m| m.known);
        let shown = Shown::new(&self.context.config, false);
        let mut fragments = publish::fragments(&self.engine, known, &sessions, shown);
        let whole = !self.members.is_empty() && self.members.iter().all(|m| m.known || !m.totals);
        let open = || {
            let counts = self.members.iter().zip(&sessions).filter(|(m, _)| m.totals);
            counts.map(|(_, by_slot)| by_slot.as_ref().map(|s| s.values().sum::<u64>())).sum::<Option<u64>>()
        };
        let totals = TotalRow {
            totals: whole.then_some(self.totals),
            since: self.totals_since,
            sessions: if whole { open() } else { None },
        };
        fragments.push(TOTAL_MAIL.fragment(&[totals]));
        let readable = |s: &Stream| matches!(s.status(), Status::Ok | Status::Stale | Status::Disabled);
        let all = !self.streams.is_empty() && self.streams.iter().all(readable);
        fragments.push(TEMPLATE.fragment(if all { std::slice::from_ref(&self.engine.template) } else { &[] }));
        fragments.push(if all { self.engine.pattern_fragment() } else { patterns::PATTERNS.empty() });
        let files: Vec<LogFileRow> = self
            .streams
            .iter()
            .map(|s| LogFileRow {
                index: s.index,
                name: s.origin.name().into_bytes(),
                status: s.status() as i32,
                error: s.complaint().or_else(|| self.save_error.clone()).unwrap_or_default(),
                counters: s.source.counters,
                suppressed: self.admissions.suppressed(s, &self.streams),
                behind: s.behind(),
                last_line: s.last_line,
            })
            .collect();
        fragments.push(LOG_FILES.fragment(&files));
        self.context.publisher.publish(fragments.into_iter().map(|f| f.valid_for(Duration::from_secs(180))));
        self.changed = false;
        self.published_at = Some(begun);
        self.published_in = begun.elapsed();
    }

    fn save(&mut self) {
        self.add_totals();
        // Those that are there are lent to the saved form for a moment.
        let mut lent = Vec::new();
        for instance in &mut self.engine.instances {
            let state = std::mem::take(&mut instance.state);
            lent.push(instance.settings.index);
            self.absent.by_index.insert(instance.settings.index, state);
        }
        let mut streams: Vec<String> = Vec::new();
        for stream in &self.streams {
            if let Some(saved) = stream.save() {
                streams.push(stream.origin.name());
                self.absent.streams.insert(stream.origin.name(), saved);
            }
        }
        for (key, saved) in self.admissions.save() {
            streams.push(key.clone());
            self.absent.streams.insert(key, saved);
        }
        self.absent.template = self.engine.template;
        if let Some(matcher) = &self.engine.matcher {
            self.absent.patterns = matcher.save();
        }
        self.absent.totals = self.totals;
        self.absent.totals_since = self.totals_since;
        self.absent.files = Some(self.files.clone());
        let encoded = self.absent.encode().map_err(|e| e.to_string());
        for (index, instance) in lent.iter().zip(&mut self.engine.instances) {
            instance.state = self.absent.by_index.remove(index).unwrap_or_default();
        }
        streams.iter().for_each(|name| drop(self.absent.streams.remove(name)));
        self.saved_octets = encoded.as_ref().map_or(0, Vec::len);
        self.rotated = false;
        let result =
            encoded.and_then(|bytes| self.context.state.save_bytes(FILE, VERSION, &bytes).map_err(|e| e.to_string()));
        self.saved_at = Instant::now();
        match result {
            Ok(()) => {
                self.dirty = false;
                if self.save_error.take().is_some() {
                    tracing::info!("the log state is saved again");
                }
            }
            Err(e) => {
                if self.save_error.as_ref() != Some(&e) {
                    tracing::error!("log state not saved: {e}");
                }
                self.save_error = Some(e);
            }
        }
    }
}

impl Collector for LogCollector {
    fn name(&self) -> &'static str {
        "log"
    }

    fn refresh(&mut self) -> Next {
        if !self.context.instances.is_known() {
            return UNKNOWN;
        }
        self.begun = Instant::now();
        let list = self.context.instances.current();
        // A log that was nowhere may have appeared.
        let search = self.places_at.elapsed() >= SAVE && self.members.iter().any(|m| m.nowhere.is_some());
        if search {
            self.places_at = Instant::now();
        }
        if search || self.list.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &list)) {
            self.arrange(list);
        }
        if self.twins_at.elapsed() >= TWINS {
            self.refuse_twins();
        }
        if self.members.is_empty() {
            return Next::After(TICK);
        }
        let more = self.read();
        // Where a log was begun is saved before anything is shown: after a kill -9 a second first start would begin at its
        // end again, and lose what came between.
        if self.streams.iter().any(|s| !s.anchored && s.is_open()) {
            self.save();
            // A disk that is full now is tried again at the usual pace.
            self.dirty |= self.save_error.is_some();
            self.streams.iter_mut().for_each(|s| s.anchored |= s.is_open());
        }
        self.report();
        self.publish();
        let pause = if self.rotated { SAVE } else { pause(self.saved_octets) };
        if self.dirty && self.saved_at.elapsed() >= pause {
            self.save();
        }
        if more { Next::Again } else { Next::After(TICK) }
    }

    fn finish(&mut self) {
        if self.list.is_some() {
            self.save();
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod repeated_tests;

/// For the fuzzer: a state as it may have been saved, lines that are counted on it, and the tables it makes.
#[cfg(fuzzing)]
pub fn resume(state: &[u8], lines: &[u8]) {
    let Some(everything) = Everything::decode(state) else { return };
    let mut engine = Engine::new(Options { discover: true, ..Options::default() });
    engine.now = 1_700_000_000;
    for (index, state) in everything.by_index {
        let name = format!("postfix-{index}");
        engine.add(engine::Settings { syslog_name: name.clone(), name, index, ..engine::Settings::default() }, state);
    }
    for stream in everything.streams.into_values() {
        let mut source = engine::Source::default();
        (source.counters, source.previous) = (stream.counters, stream.previous);
        engine.chunk(&mut source, lines);
    }
    let shown = busiest_tables::Shown::new(&crate::config::Config::default(), true);
    drop(publish::fragments(&engine, |_| true, &[], shown));
    for instance in &engine.instances {
        let (mut totals, mut bytes) = (everything.totals, Vec::new());
        totals.add(&instance.state.totals_seen, &Totals::of(&instance.state));
        instance.state.ids.save(&mut bytes);
    }
}

/// For the fuzzer: what is made of an entry of the journal.
#[cfg(fuzzing)]
pub fn journal_entry(json: &[u8]) -> Option<Vec<u8>> {
    journal::line(json)
}
