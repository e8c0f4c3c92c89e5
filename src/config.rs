//! The YAML configuration. Everything is optional; the structs serde fills are the ones that run.
//!
//! Unknown keys and wrong values are refused with file:line:column. Durations are written as `500ms`, `30s`, `5m`, `1h`.

pub mod alarm;
pub mod pattern;
mod place;
pub mod probe;
mod words;

use self::place::Step::{self, Entry, Key};
use crate::{agentx::Address, regular, smi::Oid};
use serde::{Deserialize, Deserializer, de};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/postfix-agentx/config.yaml";

/// Where 0.1.0 had it, and where it is still found.
const OLD_PATH: &str = "/etc/postfix-agentx.yaml";

/// The file that is read without `--config`: the new one, else the old one where only that exists.
pub fn default_path() -> &'static Path {
    let (new, old) = (Path::new(DEFAULT_PATH), Path::new(OLD_PATH));
    if !new.exists() && old.exists() { old } else { new }
}

/// Octets of a configuration file; thousands of instances and probes need less.
const LARGEST: u64 = 4 << 20;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How to reach snmpd and what to register.
    pub agentx: AgentX,
    /// Log position and counters, index registries; owned by the agent's user.
    pub state_directory: PathBuf,
    /// Serve no names of senders, users, clients and domains; their numbers stay.
    pub privacy: bool,
    /// The Postfix instances; empty: the one `postconf` finds, and those its `multi_instance_directories` names.
    pub instances: Vec<Instance>,
    /// What holds for all logs of this host.
    pub log: Log,
    /// What holds for all queues of this host.
    pub queue: QueueTables,
    /// What postfixHealth concludes from several sources.
    pub health: Health,
    /// What is tried from outside: SMTP servers, round trips through mailboxes, certificates.
    pub probes: Vec<probe::Probe>,
    /// Regular expressions of one's own that lines of the logs are counted by.
    pub patterns: Vec<pattern::Pattern>,
    /// The certificates that postconf names.
    pub certificates: probe::Certificates,
    /// Thresholds whose crossing is an alarm.
    pub alarms: alarm::Alarms,
    /// How often managers are told that the agent is there, by postfixHeartbeat; by default never.
    #[serde(deserialize_with = "heartbeat")]
    pub heartbeat: Option<Duration>,
    /// Serve NETWORK-SERVICES-MIB and MTA-MIB as well. Switching it on takes a restart.
    pub standard_mibs: bool,
    /// Serve what LibreNMS's own Postfix application reads below NET-SNMP-EXTEND-MIB. Switching it on takes a restart.
    pub librenms: bool,
    /// How often LibreNMS polls: what it draws of mail is counted over so long.
    #[serde(deserialize_with = "duration")]
    pub librenms_step: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agentx: AgentX::default(),
            state_directory: "/var/lib/postfix-agentx".into(),
            privacy: false,
            instances: Vec::new(),
            log: Log::default(),
            queue: QueueTables::default(),
            health: Health::default(),
            probes: Vec::new(),
            patterns: Vec::new(),
            certificates: probe::Certificates::default(),
            alarms: alarm::Alarms::default(),
            heartbeat: None,
            standard_mibs: true,
            librenms: false,
            librenms_step: Duration::from_secs(300),
        }
    }
}

/// `agentx:`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AgentX {
    /// snmpd's agentXSocket: `unix:/path`, `/path`, `tcp:host:port`, or several separated by commas.
    #[serde(deserialize_with = "addresses")]
    pub address: Vec<Address>,
    /// Where POSTFIX-MIB is rooted. A site with an enterprise number of its own re-roots it.
    #[serde(deserialize_with = "oid")]
    pub root: Oid,
    /// Registration priority (RFC 2741 §7.1.4.1); the smaller wins.
    #[serde(deserialize_with = "priority")]
    pub priority: u8,
    /// Smaller than `priority`, tried at once when that is taken: a hung predecessor loses its place instead of being waited
    /// out.
    #[serde(deserialize_with = "takeover")]
    pub takeover: Option<u8>,
}

impl Default for AgentX {
    fn default() -> Self {
        Self {
            // Where snmpd.conf.example puts the socket, then where snmpd by itself does.
            address: vec![Address::Unix("/run/agentx/master".into()), Address::Unix("/var/agentx/master".into())],
            // { netSnmpPlaypen 25 }
            root: Oid::from([1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 25]),
            priority: 127,
            takeover: None,
        }
    }
}

/// One entry of `instances:`. What is not given comes from `postconf -c config_directory`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Instance {
    /// Where its main.cf and master.cf are.
    pub config_directory: PathBuf,
    /// Name shown in postfixInstanceName; default multi_instance_name, else `postfix`.
    pub name: Option<String>,
    /// Where its postconf is; default: wherever one is found. For an instance of another Postfix than the host's.
    pub command_directory: Option<PathBuf>,
    /// For a sidecar that has the spool but no Postfix programs, and where main.cf may not be read.
    pub queue_directory: Option<PathBuf>,
    /// The name before `/program` in its log lines.
    pub syslog_name: Option<String>,
    /// mail_version.
    pub version: Option<String>,
    /// Where its log lines are.
    pub log: LogSource,
    /// How its queue is read.
    pub queue: Queue,
    /// Count this instance in postfixTotals. Off for instances that only pass mail on to another one here.
    pub totals: bool,
    /// Follow this instance's `multi_instance_directories` as well.
    pub discover: bool,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            config_directory: "/etc/postfix".into(),
            name: None,
            command_directory: None,
            queue_directory: None,
            syslog_name: None,
            version: None,
            log: LogSource::Auto,
            queue: Queue::default(),
            totals: true,
            discover: true,
        }
    }
}

/// `log:` of an instance: `auto`, `none`, `{ files: [...] }` or `{ journal: true }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogSource {
    /// maillog_file, else the first of mail.log, maillog, mail in /var/log, else the journal.
    #[default]
    Auto,
    /// The log is not read.
    None,
    /// These files.
    Files(Vec<PathBuf>),
    /// The systemd journal's mail facility.
    Journal,
}

impl<'de> Deserialize<'de> for LogSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            #[serde(default)]
            files: Vec<PathBuf>,
            #[serde(default)]
            journal: bool,
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = LogSource;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("auto, none, { files: [/path, …] } or { journal: true }")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<LogSource, E> {
                match word {
                    "auto" => Ok(LogSource::Auto),
                    "none" => Ok(LogSource::None),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<LogSource, A::Error> {
                let map = Map::deserialize(de::value::MapAccessDeserializer::new(map))?;
                match (map.files.is_empty(), map.journal) {
                    (false, false) => Ok(LogSource::Files(map.files)),
                    (true, true) => Ok(LogSource::Journal),
                    _ => Err(de::Error::custom("give either `files: [/path, …]` or `journal: true`")),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `queue:` of an instance.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// How the queue is read.
    pub source: QueueSource,
    /// The shortest time from one refresh to the next; a slow refresh makes it longer.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self { source: QueueSource::Auto, interval: Duration::from_secs(30) }
    }
}

/// Where queue numbers come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum QueueSource {
    /// The spool where it may be read, else showq.
    #[default]
    Auto,
    /// The queue directories.
    Spool,
    /// The showq service's socket.
    Showq,
}

/// `queue:` at top level.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueTables {
    /// Rows of postfixDomainTable an instance, `(other)` not counted.
    pub domains: u32,
    /// Rows of postfixQueueSenderTable an instance, likewise.
    pub senders: u32,
}

impl Default for QueueTables {
    fn default() -> Self {
        Self { domains: 50, senders: 20 }
    }
}

/// `health:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Mail is active, qmgr runs, and nothing was delivered, deferred or bounced for so long.
    pub queue_stands_still: Patience,
}

impl Default for Health {
    fn default() -> Self {
        Self { queue_stands_still: Patience(Some(Duration::from_secs(600))) }
    }
}

/// After how long something is a condition; `None`, written `never`: it is not looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub Option<Duration>);

impl<'de> Deserialize<'de> for Patience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match parse_duration(&text) {
            None if text != "never" => Err(de::Error::custom(format!(
                "`{text}` is no duration; write 500ms, 30s, 5m or 1h (from 100ms to 24h), or never"
            ))),
            duration => Ok(Self(duration)),
        }
    }
}

/// `log:` at top level.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// On a loghost: only lines of these hosts count. Empty: all.
    pub hosts: Vec<String>,
    /// Transports, or `transport:nexthop`, that lead into a content filter, beside the content_filter postconf knows.
    pub filters: Vec<String>,
    /// Service labels (what stands between syslog_name and program) of smtpd's that take filtered mail back.
    pub reinject_labels: Vec<String>,
    /// Where a log that was never read before is begun.
    pub from: LogStart,
    /// Where the syslog daemon writes its own messages, above all how many lines it dropped; empty: `syslog` or `messages`
    /// beside the log.
    pub admissions: Vec<PathBuf>,
    /// Directories into which rotated logs are moved (logrotate's `olddir`), absolute or from the log's own; rotations are
    /// looked for there too.
    pub olddir: Vec<PathBuf>,
    /// How many queue ids are remembered to tell a first delivery attempt from a retry.
    pub queue_ids: usize,
    /// Rows of postfixSenderTable an instance.
    pub senders: u32,
    /// Rows of postfixDestinationTable an instance, beside those of `watch` and `(other)`.
    pub destinations: u32,
    /// Domains of mail servers whose mail counts as another's, each as `domain name`, beside the providers that are known.
    #[serde(deserialize_with = "aliases")]
    pub destination_aliases: Vec<String>,
    /// Rows of postfixClientTable an instance. Addresses are personal data: 0, the default, keeps and shows none.
    pub clients: u32,
    /// What always has its row, and what postfixHealth says of destinations and users.
    pub watch: Watch,
}

/// `log.watch:`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// Always rows of postfixDestinationTable: domains of mail servers, names of providers, transports.
    pub destinations: Vec<String>,
    /// Always rows of postfixSenderTable: SASL user names.
    pub users: Vec<String>,
    /// Say in postfixHealth which destination took mail before and puts all of it off now.
    pub report_destinations: bool,
    /// How long it must have done so.
    #[serde(deserialize_with = "duration")]
    pub deferred_for: Duration,
    /// Say in postfixHealth which user sends more than `user_limit`, or much more than others while logins under its name fail.
    pub report_users: bool,
    /// More messages or recipients of one user within an hour are too many; 0: no such number.
    pub user_limit: u32,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            destinations: Vec::new(),
            users: Vec::new(),
            report_destinations: true,
            deferred_for: Duration::from_secs(900),
            report_users: true,
            user_limit: 0,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            filters: Vec::new(),
            reinject_labels: Vec::new(),
            from: LogStart::End,
            admissions: Vec::new(),
            olddir: Vec::new(),
            queue_ids: 262_144,
            senders: 20,
            destinations: 50,
            destination_aliases: Vec::new(),
            clients: 0,
            watch: Watch::default(),
        }
    }
}

/// Where a log that was never read before is begun.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogStart {
    /// Count what comes from now on.
    #[default]
    End,
    /// Count all that stands in the current file.
    Start,
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    Address::list(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// `domain name`: mail to servers of the one counts as the other's.
pub fn alias(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let alias = (words.next()?, words.next()?);
    words.next().is_none().then_some(alias)
}

fn aliases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let lines = Vec::<String>::deserialize(deserializer)?;
    match lines.iter().find(|line| alias(line).is_none()) {
        Some(line) => Err(de::Error::custom(format!(
            "`{line}` is no alias; write 'DOMAIN NAME': the domain of the mail servers, and what it is to count as"
        ))),
        None => Ok(lines),
    }
}

fn oid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Oid, D::Error> {
    root(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// In a registration net-snmp 5.9 takes a sub-identifier for a signed number of 32 bits.
const LARGEST_SUBID: u32 = i32::MAX as u32;

/// Where POSTFIX-MIB may be: only where snmpd can serve it.
pub fn root(text: &str) -> Result<Oid, String> {
    let oid: Oid = text.parse().map_err(|e: crate::smi::OidError| e.to_string())?;
    // 20 more are needed for the longest name below it, and snmpd wants at least an organisation's arc.
    if !(4..=100).contains(&oid.len()) {
        return Err(format!("root `{text}` must have 4 to 100 sub-identifiers"));
    }
    // X.690 §8.19.4 has one number for both, and no room for others.
    if !matches!(oid[..], [2, ..] | [0 | 1, 0..=39, ..]) {
        return Err(format!("root `{text}` cannot be sent: names begin with 0.0 to 0.39, 1.0 to 1.39 or 2"));
    }
    // It would be asked for what others serve: the standard MIBs, and SNMPv2's own.
    for others in [&[1, 3, 6, 1, 2][..], &[1, 3, 6, 1, 6]] {
        if oid.starts_with(others) || others.starts_with(&oid) {
            return Err(format!(
                "root `{text}` is where standard MIBs are; take one below an enterprise (1.3.6.1.4.1.…)"
            ));
        }
    }
    // Its agent accepts the registration, and its walks end with "OID not increasing".
    if let Some(large) = oid.iter().find(|subid| **subid > LARGEST_SUBID) {
        return Err(format!("root `{text}`: net-snmp cannot serve what is below {large}; use at most {LARGEST_SUBID}"));
    }
    Ok(oid)
}

fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match u8::try_from(i64::deserialize(deserializer)?) {
        Ok(priority @ 1..) => Ok(priority),
        _ => Err(de::Error::custom("priority must be 1 to 255; smaller wins, 127 is the default")),
    }
}

fn takeover<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    priority(deserializer).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| {
        de::Error::custom(format!("`{text}` is no duration; write 500ms, 30s, 5m or 1h (from 100ms to 24h)"))
    })
}

fn heartbeat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let every = duration(deserializer)?;
    if every < Duration::from_secs(10) {
        return Err(de::Error::custom("heartbeat must be 10s or more"));
    }
    Ok(Some(every))
}

/// `30s`, `500ms`, `5m`, `1h`: from 100 ms to a day.
fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (100..=86_400_000).contains(&ms).then(|| Duration::from_millis(ms))
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; give another file with --config")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not a configuration.
    #[error("{0}")]
    Parse(String),
}

impl Config {
    /// Reads `path`; without one [`default_path`], and where that does not exist the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(default_path());
        if path.is_none() && file == Path::new(DEFAULT_PATH) && Path::new(OLD_PATH).exists() {
            return Err(ConfigError::Parse(format!(
                "both {DEFAULT_PATH} and {OLD_PATH} exist: put what you need into the first and remove the second"
            )));
        }
        let read = |source| ConfigError::Read { path: file.display().to_string(), source };
        match regular::read(file, LARGEST) {
            Ok(bytes) => parse(utf8(&bytes, &file.display())?, &file.display().to_string()),
            Err(e) if path.is_none() && e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(read(e)),
        }
    }
}

/// Text, or where it is none.
fn utf8<'t>(bytes: &'t [u8], file: &dyn std::fmt::Display) -> Result<&'t str, ConfigError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let before = String::from_utf8_lossy(bytes.get(..e.valid_up_to()).unwrap_or_default());
        let (line, column) =
            (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        ConfigError::Parse(format!("{file}:{line}:{column}: this is not UTF-8; save the file as UTF-8"))
    })
}

/// The configuration in `text`; `file` names it in messages.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    // A file of comments only is the default configuration, not "null is no mapping".
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().map(str::trim).all(|line| line.is_empty() || line == "---" || line.starts_with('#')) {
        return Ok(Config::default());
    }
    let config: Config = serde_yaml::from_str(text).map_err(|e| ConfigError::Parse(located(&e, file)))?;
    match contradiction(&config) {
        None => Ok(config),
        Some((way, message)) => {
            let at = place::of(text, &way).map(|(line, column)| format!("{line}:{column}: ")).unwrap_or_default();
            Err(ConfigError::Parse(format!("{file}:{at}{message}")))
        }
    }
}

/// A value that is wrong by itself or together with others, though each is one of its kind: the way to it, and why.
fn contradiction(config: &Config) -> Option<(Vec<Step<'static>>, String)> {
    let AgentX { takeover, priority, .. } = config.agentx;
    if let Some(takeover) = takeover.filter(|takeover| *takeover >= priority) {
        let message =
            format!("agentx: takeover {takeover} overtakes nobody; give a number below `priority` {priority}");
        return Some((vec![Key("agentx"), Key("takeover")], message));
    }
    if let Some(wrong) = paths(config).find_map(|(way, path)| {
        let key = way.iter().rev().find_map(|step| if let Key(key) = step { Some(*key) } else { None });
        let key = key.unwrap_or_default();
        Some((way, format!("{key} {}", unusable(&path, key == "state_directory")?)))
    }) {
        return Some(wrong);
    }
    let names = || config.instances.iter().map(|instance| instance.name.as_deref());
    if let Some((at, name)) = second(names().map(|name| name.map(str::to_owned))) {
        let message = format!("name `{name}` stands in two instances; give each its own");
        return Some((vec![Key("instances"), Entry(at), Key("name")], message));
    }
    // As paths, for which a slash at the end is none.
    let path = |instance: &Instance| instance.config_directory.components().collect::<PathBuf>();
    if let Some((at, directory)) = second(config.instances.iter().map(|instance| Some(path(instance)))) {
        let message = format!("config_directory `{}` stands in two instances", directory.display());
        return Some((vec![Key("instances"), Entry(at), Key("config_directory")], message));
    }
    let probes = probe::contradiction(&config.probes).map(|wrong| ("probes", wrong));
    let patterns = || pattern::contradiction(&config.patterns).map(|wrong| ("patterns", wrong));
    let (list, (at, message)) = probes.or_else(patterns)?;
    let way = [Key(list)].into_iter().chain(at.into_iter().flat_map(|at| [Entry(at), Key("name")]));
    Some((way.collect(), message))
}

/// The first that was there before, and which it is.
fn second<T: Ord + Clone>(values: impl Iterator<Item = Option<T>>) -> Option<(usize, T)> {
    let mut seen = BTreeSet::new();
    values
        .enumerate()
        .find_map(|(at, value)| value.filter(|value| !seen.insert(value.clone())).map(|value| (at, value)))
}

/// All paths that must be absolute, and the ways to them.
fn paths(config: &Config) -> impl Iterator<Item = (Vec<Step<'static>>, PathBuf)> {
    let listed = |way: Vec<Step<'static>>, paths: &[PathBuf]| -> Vec<_> {
        let at = |(at, path): (usize, &PathBuf)| (way.iter().copied().chain([Entry(at)]).collect(), path.clone());
        paths.iter().enumerate().map(at).collect()
    };
    let mut all = vec![(vec![Key("state_directory")], config.state_directory.clone())];
    all.extend(listed(vec![Key("log"), Key("admissions")], &config.log.admissions));
    for (at, instance) in config.instances.iter().enumerate() {
        let directories = [
            ("config_directory", Some(&instance.config_directory)),
            ("command_directory", instance.command_directory.as_ref()),
            ("queue_directory", instance.queue_directory.as_ref()),
        ];
        let way = |key| vec![Key("instances"), Entry(at), Key(key)];
        all.extend(directories.into_iter().filter_map(|(key, path)| Some((way(key), path?.clone()))));
        if let LogSource::Files(files) = &instance.log {
            all.extend(listed([way("log"), vec![Key("files")]].concat(), files));
        }
    }
    all.into_iter()
}

/// Why a path cannot be one, if so.
fn unusable(path: &Path, written: bool) -> Option<String> {
    let shown = path.display();
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Some(format!("`{shown}` has a NUL in it, which no path can have").replace('\0', "\\0"));
    }
    match ["/proc", "/sys"].into_iter().find(|root| written && path.starts_with(root)) {
        Some(root) => Some(format!("`{shown}` is in {root}, where nothing can be saved")),
        None => (!path.is_absolute()).then(|| format!("`{shown}` must be an absolute path")),
    }
}

/// `file:line:column: what is wrong`, with the snippet serde-saphyr draws below it.
fn located(error: &serde_yaml::Error, file: &str) -> String {
    let text = error.render_with_formatter(&words::Words);
    let Some(at) = error.location() else { return format!("{file}: {text}") };
    // It names the place in its own words first; once is enough.
    let own = format!("error: line {} column {}: ", at.line(), at.column());
    let mut text = text.strip_prefix(&own).unwrap_or(&text).replace("<input>", file);
    // The snippet would show a password that somebody wrote here instead of its file's name.
    if text.lines().skip(1).any(|line| line.contains("password:")) {
        text = text.lines().next().unwrap_or_default().to_owned();
    }
    format!("{file}:{}:{}: {text}", at.line(), at.column())
}
