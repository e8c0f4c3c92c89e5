//! `postfix-agentx count`: every counter of log files on standard output, as text or as one JSON object.

use super::Failure;
use crate::{cli::Count, collect::log, compressed, config::Config, shown::escaped, smi::Value};
use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// A progress bar appears after so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts and prints.
pub(super) fn run(args: &Count) -> Result<ExitCode, Failure> {
    let config = match &args.config {
        Some(file) => Config::load(Some(file))?,
        None => Config::default(),
    };
    let mut progress = Progress::new(&args.files, io::stderr().is_terminal());
    let counted = log::count::count(&args.files, &config, &mut |bytes| progress.advance(bytes));
    progress.clear();
    let log::count::Counted { values, unrecognised } = counted?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if args.unrecognised {
        unrecognised.iter().try_for_each(|line| writeln!(out, "{}", escaped(line)))
    } else if args.json {
        let map: serde_json::Map<String, serde_json::Value> =
            values.into_iter().map(|(name, value)| (name, json(&value))).collect();
        serde_json::to_writer_pretty(&mut out, &map).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        values.iter().try_for_each(|(name, value)| writeln!(out, "{} = {}", escaped(name), plain(value)))
    };
    match written.and_then(|()| out.flush()) {
        // `count … | head` is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::OctetString(text) => escaped(text),
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
            if compressed::is_named(file) { bytes * 12 } else { bytes }
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
