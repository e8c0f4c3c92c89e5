//! The systemd journal, through `journalctl --follow`: its files have no stable format of their own, and journalctl reads
//! them with the rights of its user.
//!
//! A child writes JSON, one entry a line, into a pipe that is read without blocking: a burst waits in the journal and not here,
//! and a journalctl that hangs keeps nobody from other logs. Every entry has a cursor; the last one counted is saved, and the next child begins after it. An entry that was
//! removed from the journal while nobody read is a gap: what followed it may have been removed with it.
//!
//! A journal without entries and one that may not be read look alike to `--follow`, which waits for both; so the rights are
//! looked at first, by what journalctl says on standard error.

use super::follow::Progress;
use crate::{
    advice,
    child::{Asked, Child, ChildError, Output},
    regular,
};
use serde::Deserialize;
use std::{
    ffi::OsString,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Where journald keeps its files, in a directory a machine id.
pub(super) const DIRECTORIES: [&str; 2] = ["/run/log/journal", "/var/log/journal"];
/// An entry is a line of the log and its metadata; longer ones come in pieces.
const ENTRY: usize = 1 << 20;
/// How long a question to the journal may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// A child that ended is started again after so long.
const PAUSE: Duration = Duration::from_secs(5);
/// If the entry that was last at the start never comes, it was removed meanwhile; nothing came for so long then.
const QUIET: Duration = Duration::from_secs(15);
/// How long an answer, or more to catch up with, is waited for at a time.
const REFILL: Duration = Duration::from_millis(10);

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

/// For the fuzzer: the line of an entry.
#[cfg(fuzzing)]
pub(super) fn line(json: &[u8]) -> Option<Vec<u8>> {
    let entry = serde_json::from_slice::<Entry>(json).ok()?;
    let _ = entry.written();
    Some(entry.line())
}

/// A followed journal.
pub(super) struct Journal {
    program: PathBuf,
    /// Where its files are; empty: not looked for.
    directories: &'static [&'static str],
    step: Step,
    /// Where it is to be begun is known.
    placed: bool,
    from_start: bool,
    /// The last entry that was counted, or that need not be: the next child begins after it.
    cursor: Option<String>,
    /// Where the next child begins if the entry at `cursor` is gone.
    at: Option<String>,
    /// It is gone; told once.
    gap: bool,
    /// The last entry there was at the start, until it was counted.
    end: Option<String>,
    heard: Instant,
}

/// What comes next.
enum Step {
    /// Ask which entry is the last one.
    Begin,
    /// Asked that.
    Last(Asked),
    /// Asked for the entry that was counted last before the agent was stopped.
    Counted(Asked),
    /// Start to follow.
    Start,
    /// The child that follows.
    Follow(Lines),
    /// A child ended then, and why.
    Failed(Instant, String),
}

/// The lines of a child, which come in pieces.
struct Lines {
    child: Child,
    buffer: Vec<u8>,
    /// Before it lines that were taken.
    start: usize,
}

impl Lines {
    /// The next line with its newline, if it is there.
    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.buffer.get(self.start..)?;
        let length = match memchr::memchr(b'\n', rest) {
            Some(newline) => newline + 1,
            None if rest.len() >= ENTRY => rest.len(),
            None => return None,
        };
        let line = self.start..self.start + length;
        self.start = line.end;
        Some(line)
    }

    /// As [`Child::read`].
    fn fill(&mut self) -> Option<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.child.read(&mut self.buffer)
    }
}

impl Journal {
    /// Follows from behind `cursor`; without one from the end, or the start.
    pub(super) fn new(cursor: Option<String>, from_start: bool) -> Self {
        Self { directories: &DIRECTORIES, ..Self::with_program(Path::new("journalctl"), cursor, from_start) }
    }

    /// With another program than the system's: tests.
    pub(super) fn with_program(program: &Path, cursor: Option<String>, from_start: bool) -> Self {
        Self {
            program: program.to_owned(),
            directories: &[],
            step: Step::Begin,
            placed: false,
            from_start,
            cursor,
            at: None,
            gap: false,
            end: None,
            heard: Instant::now(),
        }
    }

    /// Behind the last entry that was counted.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Where it is to be begun is known.
    pub(super) fn is_placed(&self) -> bool {
        self.placed
    }

    /// Asks for the last entry, or the first one not before `from`.
    fn ask(&self, from: Option<&str>) -> Result<Asked, ChildError> {
        let mut arguments = vec![OsString::from("--lines=1")];
        arguments.extend(COMMON.map(OsString::from));
        arguments.extend(from.map(|cursor| format!("--cursor={cursor}").into()));
        Asked::start(&self.program, &arguments, DEADLINE)
    }

    fn follow(&self) -> Result<Step, ChildError> {
        let mut arguments = ["--follow", "--no-tail", "--quiet"].map(OsString::from).to_vec();
        arguments.extend(COMMON.map(OsString::from));
        match (&self.at, &self.cursor) {
            (Some(at), _) => arguments.push(format!("--cursor={at}").into()),
            (None, Some(cursor)) => arguments.push(format!("--after-cursor={cursor}").into()),
            (None, None) => {}
        }
        let child = Child::start(&self.program, &arguments)?;
        Ok(Step::Follow(Lines { child, buffer: Vec::new(), start: 0 }))
    }

    /// Goes on to the child that follows, as far as that is possible without waiting longer than a moment.
    fn proceed(&mut self) -> io::Result<()> {
        loop {
            self.step = match &mut self.step {
                Step::Follow(_) => return Ok(()),
                Step::Failed(at, why) if at.elapsed() < PAUSE => return Err(io::Error::other(why.clone())),
                Step::Failed(..) if self.placed => Step::Start,
                Step::Failed(..) | Step::Begin => Step::Last(self.ask(None).map_err(missing)?),
                Step::Last(asked) => {
                    let Some(output) = asked.poll(REFILL).map_err(missing)? else { return Ok(()) };
                    self.end = entry_of(&output)?;
                    // journalctl says nothing of a journal that is not there, and succeeds.
                    if self.end.is_none() && !self.directories.is_empty() && !has_files(self.directories) {
                        return Err(io::Error::other(format!(
                            "there is no file of a systemd journal in {}; give `log: {{ files: [/path] }}` in the \
                             configuration, or let systemd-journald run (in a container: mount the host's journal)",
                            self.directories.join(" or ")
                        )));
                    }
                    match &self.cursor {
                        Some(counted) => Step::Counted(self.ask(Some(counted)).map_err(missing)?),
                        None => {
                            // Without entries the end is the start.
                            self.cursor = self.end.clone().filter(|_| !self.from_start);
                            Step::Start
                        }
                    }
                }
                Step::Counted(asked) => {
                    let Some(output) = asked.poll(REFILL).map_err(missing)? else { return Ok(()) };
                    match entry_of(&output) {
                        Ok(there) if there == self.cursor => {}
                        Ok(Some(next)) => (self.at, self.gap) = (Some(next), true),
                        // Nothing behind it, or it is no cursor for this journalctl. What is there now was perhaps counted.
                        Ok(None) | Err(_) => (self.cursor, self.gap) = (self.end.clone(), true),
                    }
                    Step::Start
                }
                Step::Start => {
                    let following = self.follow().map_err(missing)?;
                    if !self.placed {
                        self.end.take_if(|end| self.cursor.as_ref() == Some(end));
                        self.placed = true;
                    }
                    self.heard = Instant::now();
                    following
                }
            };
        }
    }

    /// Hands over the entries that have come, each with the second it was written in.
    pub(super) fn read(&mut self, budget: usize, lines: &mut dyn FnMut(&[u8], i64)) -> io::Result<Progress> {
        if let Err(error) = self.proceed() {
            if !matches!(self.step, Step::Failed(..)) {
                self.step = Step::Failed(Instant::now(), error.to_string());
            }
            return Err(error);
        }
        let mut progress = Progress { gaps: u64::from(std::mem::take(&mut self.gap)), ..Progress::default() };
        let Step::Follow(following) = &mut self.step else { return Ok(progress) };
        while progress.bytes < budget {
            if let Some(range) = following.next() {
                let json = following.buffer.get(range).unwrap_or_default();
                self.heard = Instant::now();
                progress.bytes += json.len();
                let Ok(entry) = serde_json::from_slice::<Entry>(json) else {
                    // Counted as a line of nobody's, written now.
                    lines(json, i64::MAX);
                    continue;
                };
                lines(&entry.line(), entry.written());
                if !entry.cursor.is_empty() {
                    self.end.take_if(|end| *end == entry.cursor);
                    (self.at, self.cursor) = (None, Some(entry.cursor));
                }
                continue;
            }
            match following.fill() {
                Some(1..) => {}
                Some(0) => {
                    let said = String::from_utf8_lossy(following.child.said()).into_owned();
                    let said = said.lines().next().unwrap_or("without a word");
                    self.step = Step::Failed(Instant::now(), failed(said).to_string());
                    break;
                }
                None if self.end.is_none() => break,
                None => {
                    following.child.wait(REFILL);
                    match following.fill() {
                        Some(1..) => {}
                        _ => break,
                    }
                }
            }
        }
        progress.at_end = self.end.is_none() || self.heard.elapsed() >= QUIET;
        Ok(progress)
    }
}

/// What every journalctl is told: the mail facility, one JSON object an entry.
/// What journald itself dropped (`Suppressed N messages from …`, `Forwarding to syslog missed N messages`) has no facility of
/// mail; `+` means or.
const COMMON: [&str; 7] = [
    "--output=json",
    "--no-pager",
    "SYSLOG_FACILITY=2",
    "+",
    "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e",
    "+",
    "MESSAGE_ID=0027229ca0644181a76c4e92458afa2e",
];

/// Whether there is a journal; a directory that cannot be listed may have one.
pub(super) fn has_files(directories: &[&str]) -> bool {
    let is_journal = |file: &fs::DirEntry| file.path().extension().is_some_and(|extension| extension == "journal");
    let holds = |directory: &Path| match fs::read_dir(directory) {
        Ok(files) => files.flatten().any(|file| is_journal(&file)),
        Err(e) => e.kind() == io::ErrorKind::PermissionDenied,
    };
    directories.iter().any(|directory| match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().any(|entry| is_journal(&entry) || holds(&entry.path())),
        Err(e) => e.kind() == io::ErrorKind::PermissionDenied,
    })
}

/// Whether this user may read the system's entries: where they are, not only whether.
pub(super) fn may_be_read(directories: &[&str]) -> bool {
    let systems = |file: &fs::DirEntry| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("system") && name.ends_with(".journal")
    };
    let machines = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let mut files = machines.filter_map(|machine| fs::read_dir(machine.path()).ok()).flatten().flatten();
    files.any(|file| systems(&file) && regular::open(&file.path()).is_ok())
}

fn missing(e: ChildError) -> io::Error {
    match e {
        ChildError::Missing { .. } => {
            io::Error::other("journalctl: there is none; give `log: { files: [/path] }` in the configuration")
        }
        e => io::Error::other(e.to_string()),
    }
}

fn failed(said: &str) -> io::Error {
    io::Error::other(
        advice::advise(
            format_args!(
                "journalctl: {said}; the agent's user must be in group systemd-journal, or adm, to read the journal"
            ),
            &advice::join("systemd-journal"),
        )
        .to_string(),
    )
}

/// The cursor of the entry that was asked for; `None` where there is none. An error where the journal of the system may not be
/// read: journalctl shows a user's own entries to everybody, and gives a hint.
fn entry_of(output: &Output) -> io::Result<Option<String>> {
    let said = String::from_utf8_lossy(&output.said);
    if !output.status.success() || said.contains("not seeing messages from") {
        return Err(failed(said.lines().next().unwrap_or("without a word")));
    }
    let last = output.out.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let entry = serde_json::from_slice::<Entry>(last).unwrap_or_default();
    Ok(Some(entry.cursor).filter(|cursor| !cursor.is_empty()))
}
