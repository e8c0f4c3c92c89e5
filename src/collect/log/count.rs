//! `postfix-agentx count`: log files from start to end through the same engine, every counter on standard output.
//!
//! Whatever syslog_name a program of Postfix uses is an instance here, numbered as they appear. Nothing is saved and nothing
//! locked. What only a running daemon has (sessions, ages, dates, the last hour) is not printed.

use super::{
    counters::Totals,
    engine::{Engine, Options, Source},
    flow::Filter,
    publish,
    tables::{LOG_FILES, LogFileRow, TABLES, TEMPLATE, TOTAL_MAIL, TotalRow},
};
use crate::{
    config::{Config, ConfigError},
    mib::{Publisher, Syntax},
    smi::{Oid, Value},
};
use flate2::read::MultiGzDecoder;
use memchr::memrchr;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// So much is read at once.
const CHUNK: usize = 256 << 10;
/// A progress bar appears after so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to count and how to print it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Log files, oldest first; .gz are decompressed, - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Configuration file with log.hosts, log.filters and log.reinject_labels; without it none of them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why counting ended.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(String, io::Error),
    /// Nobody takes the result.
    #[error("standard output: {0}")]
    Write(io::Error),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Counts and prints.
pub fn run(args: &Args) -> Result<(), CountError> {
    let config = match &args.config {
        Some(file) => Config::load(Some(file))?,
        None => Config::default(),
    };
    let counted = count(&args.files, &config, io::stderr().is_terminal())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if args.json {
        let map: serde_json::Map<String, serde_json::Value> =
            counted.into_iter().map(|(name, value)| (name, json(&value))).collect();
        serde_json::to_writer_pretty(&mut out, &map).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        counted.iter().try_for_each(|(name, value)| writeln!(out, "{name} = {}", plain(value)))
    };
    match written.and_then(|()| out.flush()) {
        // `count … | head` is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(CountError::Write(e)),
        _ => Ok(()),
    }
}

/// Every counter as `descriptor.index` and value, in the order of the MIB.
pub fn count(files: &[PathBuf], config: &Config, bar: bool) -> Result<Vec<(String, Value)>, CountError> {
    let options = Options {
        hosts: config.log.hosts.iter().map(|host| host.clone().into_bytes()).collect(),
        queue_ids: config.log.queue_ids,
        discover: true,
        filters: config.log.filters.iter().filter_map(|filter| Filter::new(filter)).collect(),
        reinject_labels: config.log.reinject_labels.iter().map(|label| label.clone().into_bytes()).collect(),
    };
    let mut engine = Engine::new(options);
    let mut sources = Vec::new();
    let mut progress = Progress::new(files, bar);
    for file in files {
        let mut source = Source::default();
        read(file, &mut engine, &mut source, &mut progress)
            .map_err(|e| CountError::Read(file.display().to_string(), e))?;
        sources.push((file, source));
    }
    progress.clear();
    Ok(result(&engine, &sources, config.log.senders as usize))
}

fn read(path: &Path, engine: &mut Engine, source: &mut Source, progress: &mut Progress) -> io::Result<()> {
    let mut input: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ if super::tail::is_gzip(path) => Box::new(MultiGzDecoder::new(File::open(path)?)),
        _ => Box::new(File::open(path)?),
    };
    let mut buffer = vec![0; CHUNK];
    let mut kept = 0;
    loop {
        let read = match input.read(&mut buffer[kept..]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let filled = kept + read;
        // The end of the file ends the last line; a line longer than the buffer is cut.
        let whole = match memrchr(b'\n', &buffer[..filled]) {
            Some(newline) if read > 0 => newline + 1,
            _ if read == 0 || filled == buffer.len() => filled,
            _ => 0,
        };
        engine.chunk(source, &buffer[..whole]);
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
        progress.advance(read);
        if read == 0 {
            return Ok(());
        }
    }
}

fn result(engine: &Engine, sources: &[(&PathBuf, Source)], senders: usize) -> Vec<(String, Value)> {
    let root = Oid::from([1, 3]);
    let publisher = Publisher::new(root.clone(), TABLES);
    let mut fragments = publish::fragments(engine, |_| true, &[], senders, |_, _| None);
    let mut totals = Totals::default();
    engine.instances.iter().for_each(|i| totals.add(&Totals::default(), &Totals::of(&i.state)));
    fragments.push(TOTAL_MAIL.fragment(&[TotalRow { totals: Some(totals), since: 0, sessions: None }]));
    fragments.push(TEMPLATE.fragment(&[engine.template]));
    let files: Vec<LogFileRow> = (1..)
        .zip(sources)
        .map(|(index, (path, source))| LogFileRow {
            index,
            name: path.display().to_string().into_bytes(),
            status: 1,
            error: String::new(),
            counters: source.counters,
            behind: 0,
            last_line: 0,
        })
        .collect();
    fragments.push(LOG_FILES.fragment(&files));
    publisher.publish(fragments);
    // Descriptors by column.
    let mut columns: BTreeMap<Vec<u32>, (&str, Syntax)> = BTreeMap::new();
    for table in TABLES {
        for column in table.columns() {
            columns.insert([table.entry(), &[column.number]].concat(), (column.name, column.syntax));
        }
    }
    let names = engine
        .instances
        .iter()
        .map(|i| (format!("postfixInstanceName.{}", i.settings.index), Value::octets(i.settings.name.as_bytes())));
    let daemons = ["LogFileStatus", "LogFileError", "LogFileBehindKiB", "CountersSince", "CountersAge", "LastLineAge"];
    let walked = publisher.view();
    let values = walked.walk(Instant::now()).filter_map(|(oid, value)| {
        let below = oid.as_slice().strip_prefix(root.as_slice())?;
        let (column, (name, _)) = (1..=below.len()).find_map(|n| columns.get_key_value(&below[..n]))?;
        if daemons.iter().any(|end| name.ends_with(end)) || name.starts_with("postfixSender") {
            return None;
        }
        let index: String = below[column.len()..].iter().map(|n| format!(".{n}")).collect();
        Some((format!("{name}{index}"), value))
    });
    // Without master.cf services have a name and no number.
    let events = engine.instances.iter().flat_map(|i| {
        i.state.services.iter().flat_map(|(name, events)| {
            let instance = i.settings.index;
            [
                ("AbnormalExits", events.abnormal_exits),
                ("LimitReached", events.limit_reached),
                ("Throttles", events.throttles),
            ]
            .map(|(column, n)| {
                (format!("postfixServiceEvent{column}.{instance}.\"{name}\""), Value::Counter32(n as u32))
            })
        })
    });
    names.chain(values).chain(events).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::OctetString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Counter32(n) | Value::Gauge32(n) | Value::TimeTicks(n) => n.to_string(),
        Value::Counter64(n) => n.to_string(),
        other => other.to_string(),
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Integer(n) => (*n).into(),
        Value::Counter32(n) | Value::Gauge32(n) | Value::TimeTicks(n) => (*n).into(),
        Value::Counter64(n) => (*n).into(),
        other => plain(other).into(),
    }
}

/// A bar on a terminal, when it takes longer than a moment.
struct Progress {
    shown: bool,
    wanted: bool,
    begun: Instant,
    drawn: Instant,
    done: u64,
    /// 0: not known.
    total: u64,
}

impl Progress {
    fn new(files: &[PathBuf], wanted: bool) -> Self {
        // Of compressed files only the compressed size is known: logs shrink to about a twelfth.
        let size = |file: &PathBuf| {
            let bytes = std::fs::metadata(file).map_or(0, |meta| meta.len());
            if super::tail::is_gzip(file) { bytes * 12 } else { bytes }
        };
        let unknown = files.iter().any(|file| file.as_os_str() == "-");
        let total = if unknown { 0 } else { files.iter().map(size).sum() };
        let begun = Instant::now();
        Self { shown: false, wanted, begun, drawn: begun, done: 0, total }
    }

    fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if !self.wanted || self.drawn.elapsed() < PATIENCE / if self.shown { 8 } else { 1 } {
            return;
        }
        self.drawn = Instant::now();
        self.shown = true;
        let speed = self.done as f64 / self.begun.elapsed().as_secs_f64() / f64::from(1 << 20);
        let mebibytes = self.done >> 20;
        let line = match (self.done * 100).checked_div(self.total) {
            None => format!("\r{mebibytes} MiB, {speed:.0} MiB/s "),
            Some(percent) => {
                let percent = percent.min(100);
                let bar = "#".repeat(percent as usize / 4);
                format!("\r[{bar:<25}] {percent:3} %  {mebibytes} MiB, {speed:.0} MiB/s ")
            }
        };
        // A terminal that is gone is no reason to stop.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn clear(&self) {
        if self.shown {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
