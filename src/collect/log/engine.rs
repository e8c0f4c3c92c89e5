//! Lines in, counters out. No I/O, no clock: the same for the daemon, for `count`, for tests and the fuzzer.
//!
//! A line is split once; its tag, cached by file, says which instance and program it is of, and only that program's
//! understanding looks at it ([`super::flow`], [`super::server`], [`super::operation`]). What none understands is counted
//! as unrecognised, what no instance wrote as foreign.

use super::{
    admissions::suppressed,
    count::UNRECOGNISED,
    counters::{ServiceEvents, State},
    flow::Filter,
    organisation::Aliases,
    patterns::Matcher,
    ranked::PLACES,
    reject::DnsList,
    strangers::{Kind, Strangers},
    template::{Patterns, Template},
};
use crate::{
    collect::{
        instance::Owner,
        registry::{NAMES, OTHER_NAME},
    },
    config,
    postfix::log::{
        Line, Severity, Tag,
        address::Form,
        record::{self, Export, Taken},
        text, tls,
    },
};
use memchr::memchr;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// So many tags of one file are remembered; Postfix has some dozens.
const TAGS: usize = 4_096;
/// Syslog daemons say every ten minutes at the latest how often a line was repeated, and no host logs thousands a second
/// all that time. A greater number is not believed: the line is one that is not understood.
pub(super) const REPETITIONS: u32 = 1_000_000;

/// What holds for all logs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only lines of these hosts count; empty: all.
    pub hosts: Vec<Vec<u8>>,
    /// How many queue ids an instance remembers.
    pub queue_ids: usize,
    /// Every syslog_name met is an instance (`count`).
    pub discover: bool,
    /// Filters of instances met that way.
    pub filters: Vec<Filter>,
    /// Reinjecting labels of instances met that way.
    pub reinject_labels: Vec<Vec<u8>>,
    /// Tables of the busiest.
    pub ranks: Ranks,
}

/// How many rows the tables of the busiest have, and which names always have one.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each is the key of the configuration that is called so")]
pub struct Ranks {
    pub senders: usize,
    pub users: Vec<String>,
    pub destinations: usize,
    pub watched: Vec<String>,
    pub clients: usize,
    /// `log.destination_aliases`, behind the shipped ones.
    pub(super) aliases: Arc<Aliases>,
}

impl Ranks {
    /// As configured.
    pub fn new(config: &config::Log) -> Self {
        let places = |rows: u32| usize::try_from(rows).unwrap_or(usize::MAX);
        Self {
            senders: places(config.senders),
            users: config.watch.users.clone(),
            destinations: places(config.destinations),
            watched: config.watch.destinations.clone(),
            clients: places(config.clients),
            aliases: Arc::new(Aliases::new(&config.destination_aliases)),
        }
    }

    /// As many rows as there can be, to choose among them in the end.
    pub(super) fn of_all(mut self) -> Self {
        let all = |rows: usize| if rows > 0 { PLACES } else { 0 };
        (self.senders, self.destinations, self.clients) =
            (all(self.senders), all(self.destinations), all(self.clients));
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        let (hosts, filters, reinject_labels, ranks) = Default::default();
        Self { hosts, queue_ids: 262_144, discover: false, filters, reinject_labels, ranks }
    }
}

/// What must be known of an instance to tell its lines and read them.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// postfixInstanceName: the key of its state.
    pub name: String,
    /// postfixInstanceIndex.
    pub index: u32,
    /// What stands before `/program` in its tags.
    pub syslog_name: String,
    /// Ways into a content filter.
    pub filters: Vec<Filter>,
    /// Labels of smtpd services that take filtered mail back.
    pub reinject_labels: Vec<Vec<u8>>,
    /// Users that filters run as: their local mail is filtered mail that comes back.
    pub reinject_users: Vec<u32>,
    /// The entries of master.cf, in its order.
    pub services: Vec<Service>,
    /// How it writes addresses.
    pub addresses: Form,
    /// DNS lists its configuration names; `None` where it is not known.
    pub dnsbl: Option<Vec<DnsList>>,
    /// Its TLS sessions are logged, by postfixTlsDirection - 1 (smtpd_tls_loglevel, smtp_tls_loglevel).
    pub logs_tls: [bool; 2],
}

impl Settings {
    /// As its rows carry it.
    pub fn owner(&self) -> Owner {
        Owner { index: self.index, name: self.name.as_str().into() }
    }
}

/// One entry of master.cf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name, the first column.
    pub name: String,
    /// `name/type`.
    pub key: String,
    /// What runs.
    pub program: String,
    /// What stands between the instance's syslog_name and the program in its lines, where it has a name of its own; where that
    /// is not below the instance's, the whole name.
    pub label: Option<String>,
    /// Its `-o syslog_name=`, whole.
    pub syslog_name: Option<String>,
    /// postfixServiceIndex.
    pub index: Option<u32>,
}

/// One instance: how to read its lines, and what they came to.
#[derive(Debug, Default)]
pub struct Instance {
    /// How to read.
    pub settings: Settings,
    /// What was counted.
    pub state: State,
    /// Programs master has throttled since this was last emptied, and the entries' keys where the log tells them.
    pub throttled: Vec<(String, Option<String>)>,
    /// How often the line that is now read was written: what it counts is added so often.
    pub(super) times: u64,
    /// The program whose process master lost last, and the entry it served: what it throttles next.
    pub(super) lost: Option<(String, Option<usize>)>,
    /// The line that is being read.
    pub(super) reading: Reading,
}

/// Of the line that is being read: when it was written, seconds since 1970, and which process wrote it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub now: i64,
    pub pid: Option<u32>,
}

/// What was read from one file or journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is the object of its name; the MIB says what it counts")]
pub struct SourceCounters {
    pub lines: u64,
    pub unrecognised: u64,
    pub foreign: u64,
    pub suppressed: u64,
    pub rotations: u64,
    pub gaps: u64,
}

impl SourceCounters {
    /// Adds what a syslog daemon admits so often to have dropped.
    fn suppress(&mut self, line: &[u8], times: u64) {
        self.suppressed = self.suppressed.saturating_add(suppressed(line).saturating_mul(times));
    }
}

/// The programs by what understands their lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Smtpd,
    Postscreen,
    Dnsblog,
    Cleanup,
    Qmgr,
    Pickup,
    Bounce,
    /// smtp, lmtp.
    Client,
    /// error, retry: they deliver nothing.
    Error,
    Discard,
    Pipe,
    /// local, virtual.
    Local,
    Master,
    Postsuper,
    /// It sets TLS sessions up for postscreen and smtp.
    TlsProxy,
    /// Everything else of Postfix.
    Helper,
    /// Not Postfix's own, though it uses its name.
    Unknown,
}

impl Program {
    /// By the last component of a tag. A program under a name of its own, as `smtpd.local`, is what its name begins with.
    fn of(name: &[u8]) -> Self {
        match Self::named(name) {
            Self::Unknown => match name.iter().position(|b| matches!(b, b'.' | b'-' | b'_')) {
                Some(end) => Self::named(&name[..end]),
                None => Self::Unknown,
            },
            known => known,
        }
    }

    fn named(name: &[u8]) -> Self {
        match name {
            b"smtpd" | b"qmqpd" => Self::Smtpd,
            b"postscreen" => Self::Postscreen,
            b"dnsblog" => Self::Dnsblog,
            b"cleanup" => Self::Cleanup,
            b"qmgr" | b"oqmgr" | b"nqmgr" => Self::Qmgr,
            b"pickup" => Self::Pickup,
            b"bounce" => Self::Bounce,
            b"smtp" | b"lmtp" => Self::Client,
            b"error" => Self::Error,
            b"discard" => Self::Discard,
            b"pipe" => Self::Pipe,
            b"local" | b"virtual" => Self::Local,
            b"master" => Self::Master,
            b"postsuper" => Self::Postsuper,
            b"tlsproxy" => Self::TlsProxy,
            b"anvil"
            | b"scache"
            | b"verify"
            | b"tlsmgr"
            | b"trivial-rewrite"
            | b"proxymap"
            | b"flush"
            | b"showq"
            | b"spawn"
            | b"postlogd"
            | b"postdrop"
            | b"postqueue"
            | b"sendmail"
            | b"postfix-script"
            | b"postfix-tls-script"
            | b"postmulti"
            | b"postmulti-script"
            | b"postmap"
            | b"postalias"
            | b"postconf"
            | b"postlog"
            | b"postcat"
            | b"postlock"
            | b"postkick"
            | b"posttls-finger"
            | b"postfix"
            | b"postfix-wrapper"
            | b"nqmgr_clean"
            | b"qmail-smtpd" => Self::Helper,
            _ => Self::Unknown,
        }
    }

    /// Whether it delivers and so has a row in postfixTransportTable.
    pub(super) fn delivers(self) -> bool {
        matches!(self, Self::Client | Self::Error | Self::Discard | Self::Pipe | Self::Local)
    }
}

/// A tag as resolved once.
#[derive(Clone, Copy, Debug)]
enum Resolved {
    Foreign(Kind),
    /// A syslog daemon, which may admit that lines were dropped.
    Syslog,
    Ours(Sender),
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// Position among the engine's instances.
    instance: usize,
    pub program: Program,
    /// Slot in postfixMessageTable.
    message: usize,
    /// Slot in postfixSmtpdTable or postfixTransportTable.
    pub service: usize,
    /// Its clients are a content filter.
    pub reinjects: bool,
    /// Matches a filter by its label: whatever it sends goes into a content filter.
    pub filter: bool,
    /// Position of the entry of master.cf it serves.
    entry: Option<u16>,
}

/// One stream of lines: a file with all its rotations, or the journal.
#[derive(Debug, Default)]
pub struct Source {
    /// The instance that has this file to itself.
    pub owner: Option<usize>,
    /// What was read.
    pub counters: SourceCounters,
    /// The last line of the chunk before, for `last message repeated`.
    pub previous: Vec<u8>,
    /// It is read for what the syslog daemon admits to have dropped, and for nothing else.
    pub(super) admissions_only: bool,
    /// What was nobody's since the last line that was an instance's.
    pub(super) strangers: Strangers,
    /// An entry of the journal's export format that goes on.
    export: Export,
    tags: FxHashMap<Box<[u8]>, Resolved>,
}

impl Source {
    /// Forgets whose lines are whose: instances have changed.
    pub fn forget_tags(&mut self) {
        self.tags.clear();
    }
}

/// Counts lines.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    patterns: Option<Patterns>,
    /// Patterns of the configuration.
    pub(super) matcher: Option<Matcher>,
    /// Those known now; sources refer to them by position.
    pub instances: Vec<Instance>,
    /// Host-wide.
    pub template: Template,
    /// When the lines now given were written, seconds since 1970.
    pub now: i64,
    /// Lines that were not understood, where they are wanted ([`UNRECOGNISED`] at most).
    pub examples: Option<Vec<Vec<u8>>>,
}

impl Engine {
    /// Without instances.
    pub fn new(options: Options) -> Self {
        let (instances, template) = Default::default();
        Self { options, patterns: Patterns::new(), matcher: None, instances, template, now: 0, examples: None }
    }

    /// Adds an instance with what it has counted so far. Returns its position.
    pub fn add(&mut self, settings: Settings, mut state: State) -> usize {
        state.ids.set_limit(self.options.queue_ids);
        state.arrange(&self.options.ranks);
        self.instances.push(Instance { settings, state, ..Instance::default() });
        self.instances.len() - 1
    }

    /// Counts all lines of a chunk; the last one may lack its newline.
    pub fn chunk(&mut self, source: &mut Source, chunk: &[u8]) {
        let mut rest = chunk;
        let mut previous: &[u8] = &[];
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            let before = std::mem::replace(&mut previous, line);
            self.line(source, line, (!before.is_empty()).then_some(before));
        }
        if !previous.is_empty() && previous.len() <= 4_096 {
            source.previous.clear();
            source.previous.extend_from_slice(previous);
        }
    }

    fn line(&mut self, source: &mut Source, raw: &[u8], previous: Option<&[u8]>) {
        source.counters.lines += 1;
        // Records are other forms of the same lines; what goes on is counted when it is whole.
        let record = if source.export.wants(raw) {
            match source.export.take(raw) {
                Taken::No => record::json(raw),
                Taken::Kept => return,
                Taken::Entry(record) => Some(record),
            }
        } else {
            None
        };
        let line = record.as_ref().map_or_else(|| Line::split(raw), record::Record::line);
        if !self.options.hosts.is_empty() && !self.options.hosts.iter().any(|host| *host == line.host) {
            source.counters.foreign += 1;
            source.strangers.note(Kind::Other, b"", 1);
            return;
        }
        if source.admissions_only {
            if is_syslog(&Tag::new(line.tag)) {
                source.counters.suppress(line.text, 1);
            }
            return;
        }
        if let Some(patterns) = &self.patterns {
            patterns.count(raw, &mut self.template);
        }
        self.match_patterns(source, record.is_none().then_some(raw), &line, previous);
        match line.repeated() {
            None => self.entry(source, &line, 1),
            Some((times, _)) if times > REPETITIONS => self.entry(source, &line, 1),
            Some((times, Some(text))) => self.entries(source, &Line { text, ..line }, times),
            Some((times, None)) => {
                let kept = std::mem::take(&mut source.previous);
                let before = Line::split(previous.unwrap_or(&kept));
                if before.repeated().is_none() {
                    self.entries(source, &before, times);
                }
                source.previous = kept;
            }
        }
    }

    /// A line that was written so often. It costs no more than two of its kind: what depends on the lines before it (a first
    /// activation, a new process) is decided by the first, and all others find what the first one left.
    fn entries(&mut self, source: &mut Source, line: &Line<'_>, times: u32) {
        if times > 0 {
            self.entry(source, line, 1);
        }
        if times > 1 {
            self.entry(source, line, u64::from(times) - 1);
        }
    }

    fn entry(&mut self, source: &mut Source, line: &Line<'_>, times: u64) {
        let resolved = match source.tags.get(line.tag) {
            Some(resolved) => *resolved,
            None => self.resolve(source, line.tag),
        };
        let sender = match resolved {
            Resolved::Ours(sender) => sender,
            Resolved::Syslog => {
                source.counters.foreign += times;
                source.counters.suppress(line.text, times);
                return;
            }
            Resolved::Foreign(kind) => {
                source.counters.foreign += times;
                source.strangers.note(kind, Tag::new(line.tag).name, times);
                return;
            }
        };
        source.strangers.clear();
        let now = self.now;
        let Some(instance) = self.instances.get_mut(sender.instance) else { return };
        instance.reading = Reading { now, pid: line.pid };
        instance.times = times;
        let (severity, body) = text::severity(line.text);
        let message = instance.state.messages.at(sender.message);
        message.lines += times;
        message.last = now;
        if let (Some(entry), Some(pid)) = (sender.entry, line.pid)
            && instance.state.pids.note(pid, entry)
        {
            instance.events(Some(usize::from(entry)), "").starts += 1;
        }
        let message = instance.state.messages.at(sender.message);
        let counter = match severity {
            Severity::Info => {
                if !instance.info(&sender, line, now) {
                    instance.state.messages.at(sender.message).unrecognised += times;
                    source.counters.unrecognised += times;
                    if let Some(examples) = self.examples.as_mut().filter(|examples| examples.len() < UNRECOGNISED) {
                        let pid = line.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
                        examples.push([line.tag, pid.as_bytes(), b": ", line.text].concat());
                    }
                }
                return;
            }
            Severity::Warning => &mut message.warnings,
            Severity::Error => &mut message.errors,
            Severity::Fatal => &mut message.fatals,
            Severity::Panic => &mut message.panics,
        };
        *counter += times;
        instance.complaint(&sender, severity, body, now);
    }

    /// Whose lines have this tag, by position.
    pub(super) fn position(&mut self, source: &mut Source, tag: &[u8]) -> Option<usize> {
        let resolved = match source.tags.get(tag) {
            Some(resolved) => *resolved,
            None => self.resolve(source, tag),
        };
        match resolved {
            Resolved::Ours(sender) => Some(sender.instance),
            _ => None,
        }
    }

    fn resolve(&mut self, source: &mut Source, tag: &[u8]) -> Resolved {
        let resolved = self.whose(source.owner, tag);
        // No tag of Postfix is that long, and keys are kept.
        if tag.len() <= text::NAME {
            if source.tags.len() >= TAGS {
                source.tags.clear();
            }
            source.tags.insert(tag.into(), resolved);
        }
        resolved
    }

    fn whose(&mut self, owner: Option<usize>, whole: &[u8]) -> Resolved {
        let tag = Tag::new(whole);
        if is_syslog(&tag) {
            return Resolved::Syslog;
        }
        let program = Program::of(tag.program);
        // What belongs to no service says so in its program: old postfix-script, postlog(1) without -t.
        let bare = Tag { name: b"postfix", program: tag.program };
        // postfix(1) and postmulti(1) have no other name before they have read main.cf.
        let nameless = matches!(
            tag.program,
            b"postfix"
                | b"postfix-script"
                | b"postfix-wrapper"
                | b"postfix-tls-script"
                | b"postmulti"
                | b"postmulti-script"
        );
        let tag = if tag.name.is_empty() && nameless { bare } else { tag };
        if tag.name.is_empty() {
            return Resolved::Foreign(if whole.is_empty() { Kind::Unread } else { Kind::Other });
        }
        let stranger = Resolved::Foreign(if program == Program::Unknown { Kind::Other } else { Kind::Postfix });
        // The longest syslog_name wins: `postfix` is a prefix of `postfix/out`.
        let by_name = self.instances.iter().enumerate().filter_map(|(n, i)| {
            Some((i.settings.syslog_name.len(), n, tag.label(i.settings.syslog_name.as_bytes())?))
        });
        // One instance alone says in its master.cf that a service logs under this name.
        let by_service = || {
            let mut owners = self.instances.iter().enumerate().filter(|(_, i)| i.names(tag.name));
            let (position, instance) = owners.next().filter(|_| owners.next().is_none())?;
            Some((position, tag.label(instance.settings.syslog_name.as_bytes()).unwrap_or(tag.name)))
        };
        let found = match owner {
            // In a file of its own every line of Postfix is this instance's, whatever `-o syslog_name` says.
            Some(owner) => {
                let own = self.instances.get(owner).map(|i| i.settings.syslog_name.as_bytes()).unwrap_or_default();
                match tag.label(own) {
                    Some(label) => Some((owner, label)),
                    None if program == Program::Unknown => None,
                    None => Some((owner, tag.label(b"postfix").unwrap_or(tag.name))),
                }
            }
            None => {
                let by_name = || by_name.max_by_key(|(length, ..)| *length).map(|(_, n, label)| (n, label));
                by_service().or_else(by_name)
            }
        };
        let found = match found {
            None if self.options.discover && program != Program::Unknown => self.discover(&tag),
            found => found,
        };
        let Some((position, label)) = found else { return stranger };
        let Some(instance) = self.instances.get_mut(position) else { return stranger };
        let reinjects = instance.settings.reinject_labels.iter().any(|l| *l == label);
        let filter = instance.settings.filters.iter().any(|f| f.is_label(label));
        let name = text::name(tag.program);
        // Anybody may write to the log under any name; master.cf says which ones there are.
        let named = instance.is_in_master_cf(&text::name(label), &name);
        let service = if label.is_empty() { name.clone() } else { format!("{}/{name}", text::name(label)) };
        let service = match program {
            Program::Smtpd => instance.state.smtpd.slot(&service, named),
            _ if program.delivers() => instance.state.transports.slot(&service, named),
            _ => 0,
        };
        let message = instance.state.messages.slot(&name, named || program != Program::Unknown);
        let entry = instance.serving(&text::name(label), &name).and_then(|entry| u16::try_from(entry).ok());
        Resolved::Ours(Sender { instance: position, program, message, service, reinjects, filter, entry })
    }

    /// `count`: the first component of a tag of Postfix names an instance.
    fn discover<'t>(&mut self, tag: &Tag<'t>) -> Option<(usize, &'t [u8])> {
        let end = memchr(b'/', tag.name).unwrap_or(tag.name.len());
        let syslog_name = text::name(&tag.name[..end]);
        let index = self.instances.len() as u32 + 1;
        if index > 256 {
            return None;
        }
        let (filters, reinject_labels) = (self.options.filters.clone(), self.options.reinject_labels.clone());
        let settings =
            Settings { name: syslog_name.clone(), index, syslog_name, filters, reinject_labels, ..Settings::default() };
        let position = self.add(settings, State::default());
        Some((position, tag.name.get(end + 1..).unwrap_or_default()))
    }
}

/// A syslog daemon in its own name.
fn is_syslog(tag: &Tag<'_>) -> bool {
    // Older journalds call themselves `journal`.
    const DAEMONS: [&[u8]; 5] = [b"rsyslogd", b"systemd-journald", b"journal", b"syslog-ng", b"syslogd"];
    tag.name.is_empty() && DAEMONS.iter().any(|name| tag.program.starts_with(name))
}

impl Instance {
    /// Whether a service of it says that it logs under this name.
    fn names(&self, syslog_name: &[u8]) -> bool {
        self.settings.services.iter().any(|s| s.syslog_name.as_deref().is_some_and(|n| n.as_bytes() == syslog_name))
    }

    /// The entry of master.cf that a program with this label serves: the one that logs under it, or has that name. Without a
    /// label the first with that program that logs under none, since the log tells programs and not services.
    pub(super) fn serving(&self, label: &str, program: &str) -> Option<usize> {
        let services = || self.settings.services.iter().enumerate().filter(|(_, s)| s.program == program);
        let labelled = || services().find(|(_, s)| !label.is_empty() && s.label.as_deref() == Some(label));
        let named = || services().find(|(_, s)| s.name == label);
        let nameless = || services().find(|(_, s)| s.label.is_none());
        labelled().or_else(named).or_else(nameless).or_else(|| services().next()).map(|(n, _)| n)
    }

    /// Whether an entry of master.cf logs like this.
    fn is_in_master_cf(&self, label: &str, program: &str) -> bool {
        let named = |s: &Service| label.is_empty() || s.label.as_deref() == Some(label) || s.name == label;
        self.settings.services.iter().any(|service| service.program == program && named(service))
    }

    /// The events of an entry of master.cf; of what is not known by `name`.
    pub(super) fn events(&mut self, entry: Option<usize>, name: &str) -> &mut ServiceEvents {
        let key = entry.and_then(|n| self.settings.services.get(n)).map_or(name, |service| &service.key);
        if !self.state.services.contains_key(key) {
            let key = if self.state.services.len() < NAMES { key } else { OTHER_NAME };
            return self.state.services.entry(key.to_owned()).or_default();
        }
        self.state.services.entry(key.to_owned()).or_default()
    }

    /// Counts an informational message; `false` where it is not understood.
    fn info(&mut self, sender: &Sender, line: &Line<'_>, now: i64) -> bool {
        let text = line.text;
        let (id, rest) = match text::queue_id(text) {
            Some((id, rest)) => (Some(id), rest),
            None => (None, text.strip_prefix(b"NOQUEUE: ").unwrap_or(text)),
        };
        // Any program that talks of a recipient and a status delivers: cleanup and verify do so too.
        if let Some(id) = id
            && rest.starts_with(b"to=")
        {
            return self.delivery(sender, id, rest);
        }
        // abounce.c and bounce.c say this in any program; the message itself stays where it is.
        if id.is_some() && rest.starts_with(b"status=deferred (") {
            return true;
        }
        let understood = match sender.program {
            Program::Smtpd => self.smtpd(sender, id, rest, line.pid, now),
            Program::Cleanup => self.cleanup(id, rest),
            Program::Qmgr => self.qmgr(id, rest, now),
            Program::Pickup => self.pickup(id, rest),
            Program::Client => self.client(sender, id, rest),
            Program::Bounce => self.bounce(id, rest),
            Program::Postscreen => self.postscreen(rest),
            Program::Dnsblog => self.dnsblog(rest),
            Program::Master => self.master(rest),
            Program::Postsuper => self.postsuper(id, rest),
            Program::TlsProxy => self.tls_proxy(rest) || helper(rest),
            Program::Helper => helper(rest),
            // deliver_pass.c, and nothing else beside deliveries.
            Program::Error | Program::Discard | Program::Pipe | Program::Local => {
                id.is_some() && rest.starts_with(b"passing <")
            }
            Program::Unknown => false,
        };
        understood || everyone(rest)
    }
}

/// What any daemon says now and then.
fn everyone(rest: &[u8]) -> bool {
    const KNOWN: [&[u8]; 14] = [
        b"statistics: ",
        b"cache ",
        b"table ",
        b"database ",
        b"name_mask: ",
        b"using backwards-compatible ",
        b"dict_",
        b"rewrite stream ",
        b"close database ",
        b"Run-time linked against ",
        b"ignoring DNS RR: ",
        b"skipping address family ",
        b"running: ",
        b"milter ",
    ];
    KNOWN.iter().any(|word| rest.starts_with(word))
        || rest.ends_with(b" has changed -- restarting")
        || memchr::memmem::find(rest, b" cache cleanup will start after ").is_some()
        || memchr::memmem::find(rest, b": using backwards-compatible default setting ").is_some()
}

/// anvil, tlsproxy, postfix-script and the like: nothing is counted of them but their lines.
fn helper(rest: &[u8]) -> bool {
    const KNOWN: [&[u8]; 30] = [
        b"CONNECT ",
        b"DISCONNECT ",
        b"starting the Postfix mail system",
        b"stopping the Postfix mail system",
        b"refreshing the Postfix mail system",
        b"aborting the Postfix mail system",
        b"the Postfix mail system is ",
        b"waiting for the Postfix mail system to terminate",
        b"stopping postlogd",
        b"not owned by ",
        b"flush queued mail",
        b"Postfix is ",
        b"See http",
        b"To disable backwards compatibility ",
        b"set-gid ",
        b"open database ",
        b"Using ",
        b"cannot read from entropy device ",
        b"lost connection to EGD server ",
        b"exiting to reopen ",
        b"cannot write to EGD server ",
        b"cannot read ",
        b"EGD server ",
        b"connect to private/",
        b"trying... ",
        b"restarting the Postfix mail system",
        b"starting up the Postfix mail system",
        b"group or other writable: ",
        b"symlink leaves directory: ",
        b"removing ",
    ];
    let tls = tls::session(rest, b"from ").or_else(|| tls::session(rest, b"to ")).is_some();
    tls || super::flow::tls_library(rest) || KNOWN.iter().any(|word| rest.starts_with(word))
}
