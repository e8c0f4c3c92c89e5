//! A log file through all its lives: renamed and created anew, copied and truncated, `postfix logrotate` (renamed, and
//! compressed a second later), rotated any number of times while nobody looked.
//!
//! The rule is one: what was left is looked for, by inode or by its head, under the log's name and beside it, compressed or
//! not; it is finished; then every rotated file that is newer and not yet known is read, oldest first; then the log itself.
//! What cannot be found was lost: that is a gap, and nothing is guessed about it. A file that was rotated away is kept open
//! for as long as its writer may still write to it.

use super::tail::{Identity, Look, Position, Tail, head, is_gzip};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// So many finished files are remembered so that none is read twice.
const FINISHED: usize = 256;
/// So many rotated files are kept open.
const OPEN: usize = 32;

/// What is saved of a followed file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Saved {
    /// Rotated files that were not finished, oldest first.
    rotated: Vec<Position>,
    /// The file under the log's own name.
    current: Option<Position>,
    /// Files read to their end.
    finished: Vec<Identity>,
}

/// How long to wait; tests wait for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// A rotated file that was not written to for so long is finished.
    pub rotated: Duration,
    /// A file that is about to be compressed may be nowhere for a moment.
    pub search: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { rotated: Duration::from_secs(60), search: Duration::from_secs(20) }
    }
}

/// Something that was being read and is not where it was.
struct Lost {
    position: Position,
    since: Instant,
    /// Whether bytes are missing for certain if it is not found.
    unread: bool,
}

/// What reading gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes handed over.
    pub bytes: usize,
    /// Everything there was has been read.
    pub at_end: bool,
    /// Rotations noticed.
    pub rotations: u64,
    /// Times something was lost.
    pub gaps: u64,
}

/// A followed file.
pub(super) struct Follower {
    path: PathBuf,
    patience: Patience,
    rotated: Vec<(Tail, Instant)>,
    current: Option<Tail>,
    finished: Vec<Identity>,
    lost: Vec<Lost>,
    /// The oldest mtime of those that were lost.
    floor: (i64, i64),
    buffer: Vec<u8>,
    /// Was it ever opened, now or in a life before?
    known: bool,
    from_start: bool,
}

impl Follower {
    /// Follows `path` from where `saved` left it; without that from its end, or its start. What is not there yet is read
    /// from its start when it appears.
    pub(super) fn new(path: &Path, saved: Option<Saved>, from_start: bool, patience: Patience) -> io::Result<Self> {
        let mut follower = Self {
            path: path.to_owned(),
            patience,
            rotated: Vec::new(),
            current: None,
            finished: Vec::new(),
            lost: Vec::new(),
            floor: (0, 0),
            buffer: Vec::new(),
            known: saved.is_some(),
            from_start,
        };
        match saved {
            Some(saved) => follower.resume(saved)?,
            None => follower.begin()?,
        }
        Ok(follower)
    }

    fn begin(&mut self) -> io::Result<()> {
        // Whatever was rotated before is history.
        for file in self.beside() {
            self.finish(file.identity);
        }
        let tail = match Tail::open(&self.path, 0) {
            Ok(tail) => tail,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.from_start = true;
                self.known = true;
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        self.current = Some(tail);
        if !self.from_start
            && let Some(tail) = &mut self.current
        {
            // A line that is being written now is new.
            let ending = tail.ending();
            let whole = memchr::memrchr(b'\n', &ending).map_or(0, |newline| newline + 1);
            tail.position.offset = tail.size - (ending.len() - whole) as u64;
        }
        self.known = true;
        Ok(())
    }

    fn resume(&mut self, saved: Saved) -> io::Result<()> {
        self.finished = saved.finished;
        let positions = saved.rotated.into_iter().map(|p| (p, false)).chain(saved.current.map(|p| (p, true)));
        for (position, was_current) in positions {
            let same = match fs::metadata(&self.path) {
                Ok(meta) => position.identity.is_inode(&meta) && meta.size() >= position.offset,
                Err(e) if e.kind() == io::ErrorKind::NotFound => false,
                Err(e) => return Err(e),
            };
            if same && self.current.is_none() {
                let mut tail = Tail::open(&self.path, position.offset)?;
                let file = File::open(&self.path)?;
                if position.identity.is(&file.metadata()?, &head(&self.path, &file)?) {
                    tail.position = position;
                    self.current = Some(tail);
                    continue;
                }
            }
            // While nobody looked anything may have been written to it.
            self.lost.push(Lost { position, since: Instant::now(), unread: was_current || position.offset > 0 });
        }
        Ok(())
    }

    /// What must be saved to go on later. Everything handed over is behind these positions.
    pub(super) fn save(&self) -> Saved {
        let lost = self.lost.iter().map(|l| l.position);
        let rotated = self.rotated.iter().map(|(tail, _)| tail.position);
        Saved {
            rotated: lost.chain(rotated).collect(),
            current: self.current.as_ref().map(|tail| tail.position),
            finished: self.finished.clone(),
        }
    }

    /// Bytes there are and were not handed over.
    pub(super) fn behind(&self) -> u64 {
        self.rotated.iter().map(|(tail, _)| tail.behind()).chain(self.current.iter().map(Tail::behind)).sum()
    }

    /// The file under the log's name.
    pub(super) fn current(&self) -> Option<&Tail> {
        self.current.as_ref()
    }

    /// Reads on, `budget` bytes or a little more.
    pub(super) fn read(&mut self, budget: usize, lines: &mut dyn FnMut(&[u8])) -> io::Result<Progress> {
        let mut progress = Progress::default();
        self.search(&mut progress)?;
        // Where the new file cannot be opened the old one is still read.
        let opened = self.rotation(&mut progress);
        // Oldest first.
        let mut position = 0;
        while position < self.rotated.len() {
            let count = self.rotated.len();
            let successor = self.current.as_ref().is_some_and(|tail| tail.size > 0) || position + 1 < count;
            let (tail, quiet) = &mut self.rotated[position];
            loop {
                match tail.look(&mut self.buffer, lines) {
                    Ok(Look::Read(bytes)) => {
                        progress.bytes += bytes;
                        *quiet = Instant::now();
                        if progress.bytes >= budget {
                            return Ok(progress);
                        }
                    }
                    Ok(Look::End) => break,
                    Ok(Look::Truncated) => {
                        // Copied and truncated, then rotated, before anyone looked.
                        let position = tail.position;
                        tail.restart();
                        self.lost.push(Lost { position, since: Instant::now(), unread: true });
                        self.search(&mut progress)?;
                        return Ok(progress);
                    }
                    Err(e) => return Err(e),
                }
            }
            let gone = tail.metadata()?.is_none_or(|meta| meta.nlink() == 0);
            let over = count > OPEN || (gone || quiet.elapsed() >= self.patience.rotated) && successor;
            if over {
                let (mut tail, _) = self.rotated.remove(position);
                tail.last_line(&mut self.buffer, lines)?;
                // As it is now and stays; where it cannot be read any more what is known must do.
                let _ = tail.meet();
                self.finish(tail.position.identity);
            } else {
                position += 1;
            }
        }
        // Before the first of it is counted: what it was before may have been copied away meanwhile.
        if let Some(mut current) = self.current.take_if(|tail| tail.is_fresh()) {
            let rotated = self.rotated.len();
            if current.meet()? {
                self.between(&current, (0, 0));
            }
            self.current = Some(current);
            if self.rotated.len() > rotated {
                return Ok(progress);
            }
        }
        while let Some(tail) = &mut self.current {
            let known_unread = tail.behind() > 0;
            match tail.look(&mut self.buffer, lines)? {
                Look::Read(bytes) => {
                    progress.bytes += bytes;
                    if progress.bytes >= budget {
                        return Ok(progress);
                    }
                }
                Look::End => break,
                Look::Truncated => {
                    // Copied before, perhaps: then the copy has the rest.
                    let position = tail.position;
                    tail.restart();
                    progress.rotations += 1;
                    self.lost.push(Lost { position, since: Instant::now(), unread: known_unread });
                    self.search(&mut progress)?;
                    // What the copy has comes first.
                    if !self.rotated.is_empty() {
                        return Ok(progress);
                    }
                }
            }
        }
        progress.at_end = self.lost.is_empty() && !opened?;
        Ok(progress)
    }

    /// Looks whether another file has the log's name now.
    fn rotation(&mut self, progress: &mut Progress) -> io::Result<bool> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            // Renamed, and not yet created anew. What is written meanwhile goes to the old one, which is open.
            Err(e) if e.kind() == io::ErrorKind::NotFound && (self.current.is_some() || self.known) => {
                return if self.current.is_none() { Err(e) } else { Ok(false) };
            }
            Err(e) => return Err(e),
        };
        if let Some(current) = &self.current
            && current.position.identity.is_inode(&meta)
        {
            return Ok(false);
        }
        // First opened: an error leaves all as it was.
        let new = Tail::open(&self.path, 0)?;
        let mut floor = (0, 0);
        if let Some(mut old) = self.current.take() {
            progress.rotations += 1;
            floor = old.position.modified;
            // Truncated and written anew before it was renamed: its compressed self must be known as the same.
            if !old.is_itself() {
                self.lost.push(Lost { position: old.position, since: Instant::now(), unread: true });
                old.restart();
            }
            // Where it cannot be read now it never will be.
            let _ = old.meet();
            self.rotated.push((old, Instant::now()));
        }
        self.between(&new, floor);
        self.current = Some(new);
        Ok(true)
    }

    /// Opens the rotated files that came between what is being read, last written at `floor` when it was read last, and
    /// `new`.
    fn between(&mut self, new: &Tail, floor: (i64, i64)) {
        for file in self.beside() {
            let known = self.finished.iter().any(|f| same(f, &file))
                || self.rotated.iter().any(|(tail, _)| {
                    let identity = &tail.position.identity;
                    identity.is_inode(&file.meta) || same(identity, &file)
                })
                || self.lost.iter().any(|l| l.position.offset > 0 && l.position.identity.is(&file.meta, &file.head))
                || same(&new.position.identity, &file);
            if known || file.modified < floor || !file.rotation || file.head.is_empty() {
                continue;
            }
            match Tail::open(&file.path, 0) {
                Ok(tail) => {
                    tracing::info!(file = %file.path.display(), "rotated in between, read as well");
                    self.rotated.push((tail, Instant::now()));
                }
                Err(e) => tracing::warn!(file = %file.path.display(), error = %e, "a rotated log cannot be read"),
            }
        }
    }

    /// Finds what was being read under its new name.
    fn search(&mut self, progress: &mut Progress) -> io::Result<()> {
        if self.lost.is_empty() {
            return Ok(());
        }
        if let Some(current) = &mut self.current
            && !current.is_itself()
        {
            // Truncated as well, and not noticed yet.
            self.lost.push(Lost { position: current.position, since: Instant::now(), unread: true });
            current.restart();
        }
        let files = self.beside();
        self.floor = self.lost.iter().map(|lost| lost.position.modified).min().unwrap_or_default();
        for mut lost in std::mem::take(&mut self.lost) {
            let found = files
                .iter()
                .find(|file| lost.position.identity.is(&file.meta, &file.head) && file.reaches(lost.position.offset));
            // Nothing of it was counted: it is read from its start, as one that came in between.
            if lost.position.offset == 0 && (found.is_some() || lost.position.identity.print.is_weak()) {
                continue;
            }
            match found.map(|file| Tail::open(&file.path, lost.position.offset)) {
                Some(Ok(mut tail)) => {
                    tracing::info!(file = %tail.path.display(), offset = lost.position.offset, "found the log that was being read");
                    tail.position.skipping = lost.position.skipping;
                    // A copy made before truncation ends the file it is of; both are known as one.
                    self.rotated.push((tail, Instant::now()));
                    progress.rotations += 1;
                }
                _ if lost.since.elapsed() < self.patience.search => self.lost.push(lost),
                _ => {
                    if lost.unread {
                        progress.gaps += 1;
                        tracing::warn!(log = %self.path.display(), "the log was truncated or deleted before all of it was read");
                    }
                    lost.unread = false;
                    self.finish(lost.position.identity);
                }
            }
        }
        if self.lost.is_empty()
            && let Some(mut current) = self.current.take()
        {
            // Now the ones after it can be told. It may have been compressed meanwhile and must be known as itself.
            let _ = current.meet();
            self.between(&current, self.floor);
            self.current = Some(current);
        }
        Ok(())
    }

    fn finish(&mut self, identity: Identity) {
        // Nothing was in it, and its inode will be another file's.
        if identity.print.is_weak() {
            return;
        }
        if self.finished.len() >= FINISHED {
            self.finished.remove(0);
        }
        self.finished.push(identity);
    }

    /// The rotated files of this log, oldest first; of a file and its compressed self the plain one.
    fn beside(&self) -> Vec<Beside> {
        let (Some(directory), Some(name)) = (self.path.parent(), self.path.file_name().and_then(|n| n.to_str())) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        let mut files: Vec<Beside> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let file_name = entry.file_name();
                let suffix = file_name.to_str()?.strip_prefix(name)?;
                let rotation = is_rotation(suffix);
                // What was being read is found under any name that begins with the log's: `mail.log.old`.
                if !rotation && !suffix.starts_with(['.', '-', '_', '~']) {
                    return None;
                }
                Beside::look(&entry.path(), rotation)
            })
            .collect();
        files.sort_by(|a, b| a.modified.cmp(&b.modified).then(is_gzip(&a.path).cmp(&is_gzip(&b.path))));
        let plain: Vec<Vec<u8>> =
            files.iter().filter(|f| !is_gzip(&f.path) && !f.head.is_empty()).map(|f| f.head.clone()).collect();
        files.retain(|f| !is_gzip(&f.path) || !plain.contains(&f.head));
        files
    }
}

/// A rotated file.
struct Beside {
    path: PathBuf,
    meta: fs::Metadata,
    modified: (i64, i64),
    head: Vec<u8>,
    identity: Identity,
    /// Named as rotated logs are.
    rotation: bool,
}

impl Beside {
    fn look(path: &Path, rotation: bool) -> Option<Self> {
        let file = File::open(path).ok()?;
        let meta = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let head = head(path, &file).ok()?;
        let identity = Identity::new(&meta, &head);
        Some(Self { rotation, path: path.to_owned(), modified: super::tail::modified(&meta), meta, head, identity })
    }

    /// Whether it has as much as was read; of compressed ones opening tells.
    fn reaches(&self, offset: u64) -> bool {
        is_gzip(&self.path) || self.meta.size() >= offset
    }
}

fn same(identity: &Identity, file: &Beside) -> bool {
    identity.is_all_of(&file.meta, &file.head)
}

/// `.1`, `.2.gz`, `-20240102`, `.20240102-030405.gz`: what stands behind the log's name is made of digits.
fn is_rotation(suffix: &str) -> bool {
    let Some(rest) = suffix.strip_prefix(['.', '-', '_']) else { return false };
    let rest = rest.strip_suffix(".gz").unwrap_or(rest);
    rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | '_' | ':' | 'T' | 'Z' | '+'))
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
