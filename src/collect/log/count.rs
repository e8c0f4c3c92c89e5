//! Log files from start to end through the same engine, for `postfix-agentx count`.
//!
//! Whatever syslog_name a program of Postfix uses is an instance here, numbered as they appear. Nothing is saved and nothing
//! locked. What only a running daemon has (sessions, ages, dates, the last hour) is not printed. The busiest are those of the
//! whole log.

use super::{
    busiest_tables::Shown,
    counters::Totals,
    engine::{Engine, Options, Ranks, Source},
    flow::Filter,
    patterns::Matcher,
    publish,
    tables::{LOG_FILES, LogFileRow, TABLES, TEMPLATE, TOTAL_MAIL, TotalRow},
    tail::{CHUNK, Position, hand_over},
};
use crate::{
    compressed,
    config::Config,
    mib::{Publisher, Syntax},
    smi::{Oid, Value},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Instant,
};

/// Why counting ended.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(String, io::Error),
    /// It is no log, or one in a form that is not read.
    #[error(
        "{0}: nothing in it is understood: not one of its {1} lines has a `program[pid]:`; traditional syslog, RFC 5424, \
         journalctl's output, docker's json-file and CRI are read, plain or compressed by gzip, xz, bzip2 or zstd"
    )]
    NotUnderstood(String, u64),
}

/// What was counted.
#[derive(Debug)]
pub struct Counted {
    /// Every counter as `descriptor.index` and value, in the order of the MIB.
    pub values: Vec<(String, Value)>,
    /// The first [`UNRECOGNISED`] lines of Postfix that nothing is known of, without their header.
    pub unrecognised: Vec<Vec<u8>>,
}

/// So many lines that are not understood are kept.
pub const UNRECOGNISED: usize = 10_000;

/// Counts these files. `progress` hears how many octets were read since
/// it was called last.
pub fn count(files: &[PathBuf], config: &Config, progress: &mut dyn FnMut(usize)) -> Result<Counted, CountError> {
    let options = Options {
        hosts: config.log.hosts.iter().map(|host| host.clone().into_bytes()).collect(),
        queue_ids: config.log.queue_ids,
        discover: true,
        filters: config.log.filters.iter().filter_map(|filter| Filter::new(filter)).collect(),
        reinject_labels: config.log.reinject_labels.iter().map(|label| label.clone().into_bytes()).collect(),
        // Which of them are the busiest is known at the end.
        ranks: Ranks::new(&config.log).of_all(),
    };
    let mut engine = Engine::new(options);
    engine.matcher = Matcher::new(&config.patterns, Default::default());
    engine.examples = Some(Vec::new());
    let mut sources = Vec::new();
    for file in files {
        let mut source = Source::default();
        read(file, &mut engine, &mut source, progress).map_err(|e| CountError::Read(file.display().to_string(), e))?;
        judge(file, &source)?;
        sources.push((file, source));
    }
    let values = result(&engine, &sources, Shown::new(config, true));
    Ok(Counted { values, unrecognised: engine.examples.take().unwrap_or_default() })
}

/// Hands a whole file over in chunks of lines.
fn read(path: &Path, engine: &mut Engine, source: &mut Source, progress: &mut dyn FnMut(usize)) -> io::Result<()> {
    let mut input = open(path)?;
    let (mut position, mut buffer, mut kept) = (Position::default(), vec![0; CHUNK], 0);
    loop {
        let read = match input.read(&mut buffer[kept..]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let filled = kept + read;
        if read == 0 {
            // The end of the file ends the last line.
            if !position.skipping && filled > 0 {
                engine.chunk(source, &buffer[..filled]);
            }
            return Ok(());
        }
        let counted = hand_over(&buffer[..filled], &mut position, &mut |lines| engine.chunk(source, lines));
        buffer.copy_within(counted..filled, 0);
        kept = filled - counted;
        progress(read);
    }
}

/// A file, a pipe or standard input, decompressed if need be.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path.as_os_str() == "-" {
        return compressed::of_stream(io::stdin());
    }
    let file = File::open(path)?;
    if file.metadata()?.is_file()
        && let Some(text) = compressed::reader(&file)?
    {
        return Ok(text);
    }
    compressed::of_stream(file)
}

/// What can be said of a file of whose lines not one is an instance's.
fn judge(path: &Path, source: &Source) -> Result<(), CountError> {
    match source.strangers.unreadable(source.counters.lines) {
        true => Err(CountError::NotUnderstood(path.display().to_string(), source.counters.lines)),
        false => Ok(()),
    }
}

/// Of the last hour, which a file has not.
const LAST_HOUR: [&str; 3] = ["postfixSenderMessages", "postfixSenderRecipients", "postfixSenderAuthFailures"];

fn result(engine: &Engine, sources: &[(&PathBuf, Source)], shown: Shown) -> Vec<(String, Value)> {
    let root = Oid::from([1, 3]);
    let publisher = Publisher::new(root.clone(), TABLES);
    let mut fragments = publish::fragments(engine, |_| true, &[], shown);
    let mut totals = Totals::default();
    engine.instances.iter().for_each(|i| totals.add(&Totals::default(), &Totals::of(&i.state)));
    fragments.push(TOTAL_MAIL.fragment(&[TotalRow { totals: Some(totals), since: 0, sessions: None }]));
    fragments.push(TEMPLATE.fragment(&[engine.template]));
    fragments.push(engine.pattern_fragment());
    let files: Vec<LogFileRow> = (1..)
        .zip(sources)
        .map(|(index, (path, source))| LogFileRow {
            index,
            name: path.display().to_string().into_bytes(),
            status: 1,
            error: String::new(),
            counters: source.counters,
            // Where no daemon admits anything in this file it may in another one.
            suppressed: (source.counters.suppressed > 0).then_some(source.counters.suppressed),
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
    let daemons = [
        "LogFileStatus",
        "LogFileError",
        "LogFileBehindKiB",
        "CountersSince",
        "CountersAge",
        "LastLineAge",
        "LastMatchAge",
        "ReasonAge",
    ];
    let walked = publisher.view();
    let values = walked.walk(Instant::now()).filter_map(|(oid, value)| {
        let below = oid.as_slice().strip_prefix(root.as_slice())?;
        let (column, (name, _)) = (1..=below.len()).find_map(|n| columns.get_key_value(&below[..n]))?;
        if daemons.iter().any(|end| name.ends_with(end)) || LAST_HOUR.contains(name) {
            return None;
        }
        let index = &below[column.len()..];
        let shown: String = index.iter().map(|n| format!(".{n}")).collect();
        Some((format!("{name}{shown}"), without_owner(engine, index, value)))
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

/// The name of a row without that of its instance: the index says whose it is, and the name alone is what one looks for.
fn without_owner(engine: &Engine, index: &[u32], value: Value) -> Value {
    let instance = engine.instances.iter().find(|i| index.len() > 1 && index.first() == Some(&i.settings.index));
    let short = match (&value, instance) {
        (Value::OctetString(text), Some(i)) => {
            text.strip_prefix(i.settings.name.as_bytes()).and_then(|rest| rest.strip_prefix(b" ")).map(Value::octets)
        }
        _ => None,
    };
    short.unwrap_or(value)
}
