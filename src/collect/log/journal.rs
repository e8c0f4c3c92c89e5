//! The systemd journal, through `journalctl --follow`: its files have no stable format of their own, and journalctl reads
//! them with the rights of its user.
//!
//! A child writes JSON, one entry a line; a thread hands it over in a bounded queue, so that a burst waits in the journal and
//! not here. Every entry has a cursor; the last one counted is saved, and the next child begins after it.

use super::follow::Progress;
use serde::Deserialize;
use std::{
    io::{self, BufRead, BufReader, Read},
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
/// The journal has been read to its end when nothing came for so long.
const QUIET: Duration = Duration::from_millis(1_500);

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
    child: Option<Running>,
    cursor: Option<String>,
    from_start: bool,
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
        let mut journal = Self { child: None, cursor, from_start, ended: None, heard: Instant::now() };
        journal.child = Some(journal.spawn()?);
        Ok(journal)
    }

    /// Behind the last entry that was counted.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    fn spawn(&self) -> io::Result<Running> {
        let mut command = Command::new("journalctl");
        command.args(["--follow", "--output=json", "--quiet", "--no-pager", "SYSLOG_FACILITY=2"]);
        match &self.cursor {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")).arg("--no-tail"),
            None if self.from_start => command.arg("--no-tail"),
            // The last entry is only there for its cursor.
            None => command.arg("--lines=1"),
        };
        let missing = |e: io::Error| {
            io::Error::new(e.kind(), format!("journalctl: {e}; give `log: {{ files: [/path] }}` in the configuration"))
        };
        let mut child = command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(missing)?;
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
        let mut progress = Progress::default();
        if let Some((ended, said)) = &self.ended {
            if ended.elapsed() < PAUSE {
                let text = format!(
                    "journalctl ended: {said}; the agent's user must be in group systemd-journal, or adm, to read the journal"
                );
                return Err(io::Error::other(text));
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
                        continue;
                    };
                    let first = self.cursor.is_none() && !self.from_start;
                    if !entry.cursor.is_empty() {
                        self.cursor = Some(entry.cursor.clone());
                    }
                    // The entry that was there before us.
                    if !first {
                        lines(&entry.line(), entry.written());
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
        progress.at_end = self.heard.elapsed() >= QUIET;
        Ok(progress)
    }
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
