//! One stream of lines and everything that belongs to it.

use super::{
    admissions::Admitted,
    engine::{Engine, Source},
    follow::{Follower, Patience, Progress},
    journal::Journal,
    saved::SavedStream,
};
use crate::{
    advice,
    collect::health::Status,
    postfix::log::{Line, stamp},
};
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Where a stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file and its rotations.
    File(PathBuf),
    /// The systemd journal.
    Journal,
}

impl Origin {
    /// postfixLogFileName, and the key of the saved state.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Journal => "journal".into(),
        }
    }
}

enum Reader {
    Closed,
    File(Box<Follower>),
    Journal(Box<Journal>),
}

/// A stream.
pub(super) struct Stream {
    /// What it is.
    pub origin: Origin,
    /// postfixLogFileIndex.
    pub index: u32,
    /// How the engine knows it.
    pub source: Source,
    /// Where its syslog daemon admits what it dropped.
    pub admitted: Admitted,
    /// Positions of the instances that log here.
    pub users: Vec<usize>,
    /// Everything that was there at the start has been counted.
    pub caught_up: bool,
    /// Why it cannot be read.
    pub error: Option<String>,
    /// Whether that is a right that is missing.
    pub denied: bool,
    /// Why what it says is none of the instances' that log there: nothing of a running one was understood.
    pub foreign: Option<String>,
    /// When it was last read without an error.
    pub success: Instant,
    /// Seconds since 1970; 0: never.
    pub last_line: i64,
    /// Looks in which it had lines that no other file had.
    pub looks_apart: u8,
    /// Another stream that has the same lines: this one is not read.
    pub twin_of: Option<String>,
    /// Where it was begun has been saved.
    pub anchored: bool,
    reader: Reader,
    saved: Option<SavedStream>,
    from_start: bool,
    olddir: Vec<PathBuf>,
    patience: Patience,
}

impl Stream {
    /// Not opened yet.
    pub(super) fn new(
        origin: Origin,
        index: u32,
        saved: Option<SavedStream>,
        from_start: bool,
        olddir: &[PathBuf],
        patience: Patience,
    ) -> Self {
        let mut source = Source::default();
        let mut last_line = 0;
        if let Some(saved) = &saved {
            source.counters = saved.counters;
            source.previous = saved.previous.clone();
            source.strangers = saved.strangers.clone();
            last_line = saved.last_line;
        }
        Self {
            origin,
            index,
            source,
            admitted: Admitted::default(),
            users: Vec::new(),
            caught_up: false,
            error: None,
            denied: false,
            foreign: None,
            success: Instant::now(),
            last_line,
            looks_apart: 0,
            twin_of: None,
            anchored: saved.is_some(),
            reader: Reader::Closed,
            saved,
            from_start,
            olddir: olddir.to_vec(),
            patience,
        }
    }

    /// Reads on and counts. Returns whether there is more to be read at once.
    pub(super) fn read(&mut self, engine: &mut Engine, budget: usize) -> Progress {
        match self.advance(engine, budget) {
            Ok(progress) => {
                self.error = None;
                self.success = Instant::now();
                self.caught_up |= progress.at_end;
                progress
            }
            Err(e) => {
                self.error = Some(self.remedy(&e));
                self.denied = e.kind() == io::ErrorKind::PermissionDenied;
                Progress::default()
            }
        }
    }

    fn advance(&mut self, engine: &mut Engine, budget: usize) -> io::Result<Progress> {
        if let Reader::Closed = self.reader {
            self.reader = match &self.origin {
                Origin::File(path) => {
                    let saved = self.saved.as_ref().and_then(|s| s.file.clone());
                    Reader::File(Box::new(Follower::new(path, &self.olddir, saved, self.from_start, self.patience)?))
                }
                Origin::Journal => {
                    let cursor = self.saved.as_ref().and_then(|s| s.cursor.clone());
                    Reader::Journal(Box::new(Journal::new(cursor, self.from_start)))
                }
            };
        }
        let live = self.caught_up;
        let (source, last_line) = (&mut self.source, &mut self.last_line);
        let now = super::now();
        let progress = match &mut self.reader {
            Reader::Closed => Progress::default(),
            Reader::File(follower) => {
                let anchor = (!live).then(|| Anchor::of(follower)).flatten();
                follower.read(budget, &mut |chunk| {
                    count(engine, source, chunk, now, anchor.as_ref());
                    *last_line = engine.now;
                })?
            }
            Reader::Journal(journal) => journal.read(budget, &mut |chunk, written| {
                engine.now = if live { now } else { written.min(now) };
                engine.chunk(source, chunk);
                *last_line = engine.now;
            })?,
        };
        self.source.counters.rotations += progress.rotations;
        self.source.counters.gaps += progress.gaps;
        Ok(progress)
    }

    /// It answers when it likes: what was there at the start is still to come, and nothing is wrong so far.
    pub(super) fn is_awaited(&self) -> bool {
        !self.caught_up && self.error.is_none() && self.origin == Origin::Journal
    }

    /// Whether reading it would count lines that stood there before it was compared with others.
    pub(super) fn is_begun(&self) -> bool {
        self.is_open() || self.saved.is_some() || self.from_start
    }

    /// It has a position.
    pub(super) fn is_open(&self) -> bool {
        match &self.reader {
            Reader::Closed => false,
            Reader::File(_) => true,
            Reader::Journal(journal) => journal.is_placed(),
        }
    }

    /// What must be saved.
    pub(super) fn save(&self) -> Option<SavedStream> {
        let (file, cursor) = match &self.reader {
            Reader::Closed => return self.saved.clone(),
            Reader::File(follower) => (Some(follower.save()), None),
            Reader::Journal(journal) if !journal.is_placed() => return self.saved.clone(),
            Reader::Journal(journal) => (None, journal.cursor().map(str::to_owned)),
        };
        let Source { counters, previous, strangers, .. } = &self.source;
        let (previous, strangers) = (previous.clone(), strangers.clone());
        Some(SavedStream { file, cursor, counters: *counters, previous, strangers, last_line: self.last_line })
    }

    /// What an administrator should know although it is read.
    pub(super) fn warning(&self) -> Option<&str> {
        match &self.reader {
            Reader::File(follower) => follower.warning(),
            _ => None,
        }
    }

    /// Bytes not yet counted.
    pub(super) fn behind(&self) -> u64 {
        match &self.reader {
            Reader::File(follower) => follower.behind(),
            _ => 0,
        }
    }

    /// postfixLogFileStatus.
    pub(super) fn status(&self) -> Status {
        match &self.error {
            _ if self.twin_of.is_some() => Status::Disabled,
            None if self.foreign.is_some() => Status::Failing,
            None if self.caught_up => Status::Ok,
            None => Status::Starting,
            Some(_) if self.caught_up && self.success.elapsed() < Duration::from_secs(180) => Status::Stale,
            Some(_) => Status::Failing,
        }
    }

    /// postfixLogFileError.
    pub(super) fn complaint(&self) -> Option<String> {
        match &self.twin_of {
            Some(other) => Some(format!(
                "has the same lines as {other}, and is not read because each would count twice; leave one of them out of \
                 `log: {{ files: … }}`"
            )),
            None => self.error.clone().or_else(|| self.foreign.clone()),
        }
    }

    /// postfixSourceMethod.
    pub(super) fn method(&self) -> &'static str {
        match self.origin {
            Origin::File(_) => "file",
            Origin::Journal => "journal",
        }
    }

    fn remedy(&self, error: &io::Error) -> String {
        match &self.origin {
            Origin::Journal => error.to_string(),
            Origin::File(path) => match error.kind() {
                io::ErrorKind::PermissionDenied => not_permitted(path),
                io::ErrorKind::NotFound => format!(
                    "{}: no such file; if Postfix logs elsewhere give `log: {{ files: [/path] }}` in the configuration",
                    path.display()
                ),
                _ => format!("{}: {error}", path.display()),
            },
        }
    }
}

/// What would let us read `path`.
fn not_permitted(path: &Path) -> String {
    let name = path.display();
    match advice::read_log(path) {
        Some(commands) if commands.iter().any(|command| command.starts_with("chmod")) => advice::advise(
            format_args!(
                "{name}: permission denied; what makes the file anew has to keep its group and mode (logrotate: create 0640 \
                 root {}, Postfix 3.9: maillog_file_permissions = 0640)",
                advice::log_group()
            ),
            &commands,
        ),
        Some(commands) => advice::advise(format_args!("{name}: permission denied"), &commands),
        None => format!("{name}: permission denied; let the agent's user search the directories above it"),
    }
}

/// The end of a file: the timestamp of its last line is as old as its mtime.
struct Anchor {
    civil: i64,
    wall: i64,
}

impl Anchor {
    fn of(follower: &Follower) -> Option<Self> {
        let tail = follower.current()?;
        let ending = tail.ending();
        let whole = ending.trim_ascii_end();
        let start = memchr::memrchr(b'\n', whole).map_or(0, |newline| newline + 1);
        let civil = stamp::civil(Line::split(&whole[start..]).stamp)?;
        Some(Self { civil, wall: tail.modified().0 })
    }
}

/// Counts a chunk. Of old lines the time is told by their timestamps, in steps of ten minutes: a catch-up must not make a
/// program that fell silent yesterday look busy.
fn count(engine: &mut Engine, source: &mut Source, chunk: &[u8], now: i64, anchor: Option<&Anchor>) {
    let Some(anchor) = anchor else {
        engine.now = now;
        return engine.chunk(source, chunk);
    };
    let (mut start, mut position, mut last) = (0, 0, &[][..]);
    while position < chunk.len() {
        let line = &chunk[position..];
        let end = memchr::memchr(b'\n', line).map_or(chunk.len(), |newline| position + newline + 1);
        let stamp = Line::split(&chunk[position..end]).stamp;
        let key = stamp.get(..if stamp.len() > 15 { 15 } else { 11 }).unwrap_or_default();
        if key != last {
            if start < position {
                engine.chunk(source, &chunk[start..position]);
                start = position;
            }
            last = key;
            if let Some(civil) = stamp::civil(stamp) {
                engine.now = (anchor.wall - stamp::difference(civil, anchor.civil)).min(now);
            }
        }
        position = end;
    }
    engine.chunk(source, &chunk[start..]);
}
