//! The systemd journal, through `journalctl --follow`: its files have no stable format of their own, and journalctl reads
//! them with the rights of its user.
//!
//! A child writes JSON, one entry a line; a thread hands it over in a bounded queue, so that a burst waits in the journal and
//! not here. Every entry has a cursor; the last one counted is saved, and the next child begins after it. An entry that was
//! removed from the journal while nobody read is a gap: what followed it may have been removed with it.
//!
//! A journal without entries and one that may not be read look alike to `--follow`, which waits for both; so the rights are
//! looked at first, by what journalctl says on standard error.

use super::follow::Progress;
use serde::Deserialize;
use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Entries that may wait between the child and the engine.
const QUEUE: usize = 4_096;
/// An entry is a line of the log and its metadata.
const ENTRY: u64 = 1 << 20;
/// A child that ends is started again after so long.
const PAUSE: Duration = Duration::from_secs(5);
/// If the entry that was last at the start never comes, it was removed meanwhile; nothing came for so long then.
const QUIET: Duration = Duration::from_secs(15);

/// One entry, as `--output=json` writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: Option<String>,
    #[serde(rename = "_HOSTNAME")]
    host: Option<String>,
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    tag: Option<String>,
    #[serde(rename = "SYSLOG_PID")]
    syslog_pid: Option<String>,
    #[serde(rename = "_PID")]
    pid: Option<String>,
    #[serde(rename = "MESSAGE")]
    message: Message,
}

/// What is not UTF-8 comes as an array of bytes; what was too long as null.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
    #[default]
    Nothing,
}

impl Entry {
    /// As a syslog daemon would have written it, so that one parser reads both.
    fn line(&self) -> Vec<u8> {
        let mut line = b"Jan  1 00:00:00 ".to_vec();
        line.extend(self.host.as_deref().unwrap_or("-").bytes().filter(|b| *b != b' '));
        line.push(b' ');
        line.extend(self.tag.as_deref().unwrap_or("-").bytes().filter(|b| !b.is_ascii_whitespace()));
        if let Some(pid) = self.syslog_pid.as_deref().or(self.pid.as_deref()) {
            line.push(b'[');
            line.extend(pid.bytes().filter(u8::is_ascii_digit));
            line.push(b']');
        }
        line.extend(b": ");
        let message: &[u8] = match &self.message {
            Message::Text(text) => text.as_bytes(),
            Message::Bytes(bytes) => bytes,
            Message::Nothing => &[],
        };
        line.extend(message.iter().map(|b| if *b == b'\n' { b' ' } else { *b }));
        line.push(b'\n');
        line
    }

    /// Seconds since 1970.
    fn written(&self) -> i64 {
        self.time.as_deref().and_then(|t| t.parse::<i64>().ok()).unwrap_or(0) / 1_000_000
    }
}

/// A followed journal.
pub(super) struct Journal {
    program: PathBuf,
    child: Option<Running>,
    /// The last entry that was counted, or that need not be: the next child begins after it.
    cursor: Option<String>,
    /// Where the next child begins if the entry at `cursor` is gone.
    at: Option<String>,
    /// It is gone; told once.
    gap: bool,
    /// The last entry there was at the start, until it was counted.
    end: Option<String>,
    /// When the child before ended, and what it said.
    ended: Option<(Instant, String)>,
    heard: Instant,
}

struct Running {
    child: Child,
    entries: Receiver<Vec<u8>>,
    errors: Option<thread::JoinHandle<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Journal {
    /// Follows from behind `cursor`; without one from the end, or the start.
    pub(super) fn start(cursor: Option<String>, from_start: bool) -> io::Result<Self> {
        Self::with_program(Path::new("journalctl"), cursor, from_start)
    }

    /// With another program than the system's: tests.
    pub(super) fn with_program(program: &Path, cursor: Option<String>, from_start: bool) -> io::Result<Self> {
        let end = look(program, None)?;
        let (mut at, mut gap) = (None, false);
        let cursor = match cursor {
            None if from_start => None,
            // Without entries the end is the start.
            None => end.clone(),
            Some(counted) => match look(program, Some(&counted)) {
                Ok(Some(there)) if there == counted => Some(counted),
                Ok(Some(next)) => {
                    (at, gap) = (Some(next), true);
                    Some(counted)
                }
                // Nothing behind it, or it is no cursor for this journalctl. What is there now was perhaps counted.
                Ok(None) | Err(_) => {
                    gap = true;
                    end.clone()
                }
            },
        };
        let end = end.filter(|end| cursor.as_ref() != Some(end));
        let (program, heard) = (program.to_owned(), Instant::now());
        let mut journal = Self { program, child: None, cursor, at, gap, end, ended: None, heard };
        journal.child = Some(journal.spawn()?);
        Ok(journal)
    }

    /// Behind the last entry that was counted.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    fn spawn(&self) -> io::Result<Running> {
        let mut command = Command::new(&self.program);
        command.args(["--follow", "--no-tail", "--quiet"]).args(COMMON);
        match (&self.at, &self.cursor) {
            (Some(at), _) => drop(command.arg(format!("--cursor={at}"))),
            (None, Some(cursor)) => drop(command.arg(format!("--after-cursor={cursor}"))),
            (None, None) => {}
        }
        let mut child = command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| missing(&e))?;
        let (sender, entries) = sync_channel(QUEUE);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        thread::Builder::new().name("journal".into()).spawn(move || {
            if let Some(out) = out {
                pass_on(out, &sender);
            }
        })?;
        let errors = thread::Builder::new().name("journal-errors".into()).spawn(move || {
            let mut text = String::new();
            if let Some(err) = err {
                // Only for the message.
                let _ = err.take(4_096).read_to_string(&mut text);
            }
            text.lines().next().unwrap_or_default().to_owned()
        })?;
        Ok(Running { child, entries, errors: Some(errors) })
    }

    /// Hands over the entries that have come, each with the second it was written in.
    pub(super) fn read(&mut self, budget: usize, lines: &mut dyn FnMut(&[u8], i64)) -> io::Result<Progress> {
        let mut progress = Progress { gaps: u64::from(std::mem::take(&mut self.gap)), ..Progress::default() };
        if let Some((ended, said)) = &self.ended {
            if ended.elapsed() < PAUSE {
                return Err(failed(said));
            }
            self.ended = None;
        }
        if self.child.is_none() {
            self.child = Some(self.spawn()?);
            self.heard = Instant::now();
        }
        while progress.bytes < budget {
            let Some(running) = &mut self.child else { break };
            match running.entries.try_recv() {
                Ok(json) => {
                    self.heard = Instant::now();
                    progress.bytes += json.len();
                    let Ok(entry) = serde_json::from_slice::<Entry>(&json) else {
                        // Counted as a line of nobody's, written now.
                        lines(&json, i64::MAX);
                        continue;
                    };
                    lines(&entry.line(), entry.written());
                    if !entry.cursor.is_empty() {
                        self.end.take_if(|end| *end == entry.cursor);
                        (self.at, self.cursor) = (None, Some(entry.cursor));
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    let said = running.errors.take().and_then(|e| e.join().ok()).unwrap_or_default();
                    let said = if said.is_empty() { "without a word".to_owned() } else { said };
                    self.child = None;
                    self.ended = Some((Instant::now(), said));
                    break;
                }
            }
        }
        progress.at_end = self.end.is_none() || self.heard.elapsed() >= QUIET;
        Ok(progress)
    }
}

/// What every journalctl is told: the mail facility, one JSON object an entry.
const COMMON: [&str; 3] = ["--output=json", "--no-pager", "SYSLOG_FACILITY=2"];

fn missing(e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("journalctl: {e}; give `log: {{ files: [/path] }}` in the configuration"))
}

fn failed(said: &str) -> io::Error {
    io::Error::other(format!(
        "journalctl: {said}; the agent's user must be in group systemd-journal, or adm, to read the journal"
    ))
}

/// The cursor of the last entry, or of the first one not before `from`; `None` where there is none. An error where the
/// journal of the system may not be read: journalctl shows a user's own entries to everybody, and gives a hint.
fn look(program: &Path, from: Option<&str>) -> io::Result<Option<String>> {
    let mut command = Command::new(program);
    command.arg("--lines=1").args(COMMON).env("LC_ALL", "C").stdin(Stdio::null());
    if let Some(cursor) = from {
        command.arg(format!("--cursor={cursor}"));
    }
    let output = command.output().map_err(|e| missing(&e))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || said.contains("not seeing messages from") {
        return Err(failed(said.lines().next().unwrap_or("without a word")));
    }
    let last = output.stdout.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let entry = serde_json::from_slice::<Entry>(last).unwrap_or_default();
    Ok(Some(entry.cursor).filter(|cursor| !cursor.is_empty()))
}

fn pass_on(out: impl Read, entries: &SyncSender<Vec<u8>>) {
    let mut out = BufReader::new(out);
    loop {
        let mut entry = Vec::new();
        match out.by_ref().take(ENTRY).read_until(b'\n', &mut entry) {
            Ok(0) | Err(_) => return,
            Ok(_) if entries.send(entry).is_err() => return,
            Ok(_) => {}
        }
    }
}
