//! The YAML configuration. Everything is optional; the structs serde fills are the ones that run.
//!
//! Unknown keys and wrong values are refused with file:line:column. Durations are written as `500ms`, `30s`, `5m`, `1h`.

pub mod alarm;
pub mod pattern;
pub mod probe;

use crate::{agentx::Address, regular, smi::Oid};
use serde::{Deserialize, Deserializer, de};
use std::{
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
    /// What is tried from outside: SMTP servers, round trips through mailboxes, certificates.
    pub probes: Vec<probe::Probe>,
    /// Regular expressions of one's own that lines of the logs are counted by.
    pub patterns: Vec<pattern::Pattern>,
    /// The certificates that postconf names.
    pub certificates: probe::Certificates,
    /// Thresholds whose crossing is an alarm.
    pub alarms: alarm::Alarms,
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
            probes: Vec::new(),
            patterns: Vec::new(),
            certificates: probe::Certificates::default(),
            alarms: alarm::Alarms::default(),
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
}

impl Default for QueueTables {
    fn default() -> Self {
        Self { domains: 50 }
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
        match regular::read(file, LARGEST).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other)) {
            Ok(text) => parse(&text, &file.display().to_string()),
            Err(e) if path.is_none() && e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(read(e)),
        }
    }
}

/// The configuration in `text`; `file` names it in messages.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    // A file of comments only is the default configuration, not "null is no mapping".
    if text.lines().map(str::trim).all(|line| line.is_empty() || line == "---" || line.starts_with('#')) {
        return Ok(Config::default());
    }
    let config: Config = serde_yaml::from_str(text).map_err(|e| ConfigError::Parse(located(&e, file)))?;
    if let Some(takeover) = config.agentx.takeover
        && takeover >= config.agentx.priority
    {
        let message = format!(
            "{file}: agentx: takeover {takeover} overtakes nobody; give a number below `priority` {}",
            config.agentx.priority
        );
        return Err(ConfigError::Parse(message));
    }
    for instance in &config.instances {
        let directories = [
            ("config_directory", Some(&instance.config_directory)),
            ("command_directory", instance.command_directory.as_ref()),
            ("queue_directory", instance.queue_directory.as_ref()),
        ];
        for (key, directory) in directories {
            if let Some(directory) = directory.filter(|directory| !directory.is_absolute()) {
                let message = format!("{file}: {key} `{}` must be an absolute path", directory.display());
                return Err(ConfigError::Parse(message));
            }
        }
    }
    let mut names: Vec<&str> = config.instances.iter().filter_map(|instance| instance.name.as_deref()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("{file}: name `{}` stands in two instances; give each its own", twice[0]);
        return Err(ConfigError::Parse(message));
    }
    probe::all(&config.probes, file).map_err(ConfigError::Parse)?;
    pattern::all(&config.patterns, file).map_err(ConfigError::Parse)?;
    let mut directories: Vec<&Path> = config.instances.iter().map(|i| i.config_directory.as_path()).collect();
    directories.sort_unstable();
    if let Some(twice) = directories.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("{file}: config_directory `{}` stands in two instances", twice[0].display());
        return Err(ConfigError::Parse(message));
    }
    Ok(config)
}

/// `file:line:column: what is wrong`, with the snippet serde-saphyr draws below it.
fn located(error: &serde_yaml::Error, file: &str) -> String {
    let text = error.to_string();
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
