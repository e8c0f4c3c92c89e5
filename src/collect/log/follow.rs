//! A log file through all its lives: renamed and created anew, copied and truncated, `postfix logrotate` (renamed, and
//! compressed a second later), rotated any number of times while nobody looked.
//!
//! The rule is one: what was left is looked for, by inode or by its head, under the log's name and beside it, compressed or
//! not; it is finished; then every rotated file that came since and is not yet known is read, oldest first; then the log
//! itself. What is history and what came since is decided in [`super::rotated`]. What cannot be found was lost: that is a
//! gap, and nothing is guessed about it. A file that was rotated away is kept open for as long as its writer may still write
//! to it, but never more than a fixed number of them.

use super::{
    rotated::{Memory, SavedMemory, Sibling, Time, siblings},
    tail::{Fingerprint, Identity, Look, Position, Tail},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The most rotated files that are open at once.
const OPEN: usize = 32;
/// An agent before 0.2 remembered this many files that it had read, and counted history again where there were more.
const OLD_MEMORY: usize = 256;
/// A log that is not there yet may have been written and rotated this many seconds before it was looked for.
const RECENT: i64 = 60;

/// What is saved of a followed file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Saved {
    /// Rotated files that were not finished, oldest first.
    rotated: Vec<Position>,
    /// The file under the log's own name.
    current: Option<Position>,
    /// Files read to their end, as an agent before 0.2 saved them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    finished: Vec<Identity>,
    /// Since 0.2: when the file that was read last was written last. What is older is history.
    floor: Option<Time>,
    /// Since 0.2: rotated files newer than this were noticed and not all opened yet.
    pending: Option<Time>,
    /// Since 0.2: files that are not read again.
    memory: SavedMemory,
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
    /// It was found and could not be read on: a damaged archive, or one that is still being written.
    broken: bool,
}

impl Lost {
    fn new(position: Position, unread: bool) -> Self {
        Self { position, since: Instant::now(), unread, broken: false }
    }
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
    /// The saved state is of an agent that may have counted history again: what was counted cannot be relied on.
    pub recounted: bool,
}

/// A rotated file that is open.
struct Rotated {
    tail: Tail,
    /// When something new was last found in it; `None` where it was written last long before it was opened.
    quiet: Option<Instant>,
    /// Since when it cannot be read on.
    trouble: Option<Instant>,
}

impl Rotated {
    fn new(tail: Tail) -> Self {
        Self { tail, quiet: Some(Instant::now()), trouble: None }
    }
}

/// A followed file.
pub(super) struct Follower {
    path: PathBuf,
    /// Where rotated files are beside its own directory.
    olddir: Vec<PathBuf>,
    patience: Patience,
    rotated: Vec<Rotated>,
    current: Option<Tail>,
    /// What is not read again.
    memory: Memory,
    lost: Vec<Lost>,
    /// When what was read last was written last: what is older is history.
    floor: Time,
    /// Rotated files that came after this were noticed and not all opened yet.
    pending: Option<Time>,
    /// Since when rotated files can not all be listed or opened.
    trouble: Option<Instant>,
    /// Why the directory of the log cannot be listed.
    unlistable: Option<String>,
    /// To be reported once.
    recounted: bool,
    buffer: Vec<u8>,
    /// Was it ever opened, now or in a life before?
    known: bool,
    from_start: bool,
}

impl Follower {
    /// Follows `path` from where `saved` left it; without that from its end, or its start. What is not there yet is read
    /// from its start when it appears.
    pub(super) fn new(
        path: &Path,
        olddir: &[PathBuf],
        saved: Option<Saved>,
        from_start: bool,
        patience: Patience,
    ) -> io::Result<Self> {
        let mut follower = Self {
            path: path.to_owned(),
            olddir: olddir.to_vec(),
            patience,
            rotated: Vec::new(),
            current: None,
            memory: Memory::default(),
            lost: Vec::new(),
            floor: (0, 0),
            pending: None,
            recounted: false,
            trouble: None,
            unlistable: None,
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
        let files = self.list().unwrap_or_default();
        self.memory.begin(&files);
        let mut tail = match Tail::open(&self.path, 0) {
            Ok(tail) => tail,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let newest = files.last().map_or((0, 0), |file| file.modified);
                self.floor = newest.max((wall_clock() - RECENT, 0));
                self.from_start = true;
                self.known = true;
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        self.floor = tail.modified();
        tail.position.modified = self.floor;
        if !self.from_start {
            // A line that is being written now is new.
            let ending = tail.ending();
            let whole = memchr::memrchr(b'\n', &ending).map_or(0, |newline| newline + 1);
            tail.position.offset = tail.size - (ending.len() - whole) as u64;
        }
        self.current = Some(tail);
        self.known = true;
        Ok(())
    }

    fn list(&mut self) -> io::Result<Vec<Sibling>> {
        let files = siblings(&self.path, &self.olddir);
        self.unlistable = files.as_ref().err().map(|e| {
            format!(
                "{e}; rotated logs cannot be found there, so each rotation is a gap; let the agent's user list \
                 this directory"
            )
        });
        files
    }

    /// What an administrator should know although the log itself can be read.
    pub(super) fn warning(&self) -> Option<&str> {
        self.unlistable.as_deref()
    }

    fn resume(&mut self, mut saved: Saved) -> io::Result<()> {
        // Only to know whether it can be listed.
        let _ = self.list();
        match saved.floor {
            Some(floor) => {
                self.floor = floor;
                self.pending = saved.pending;
                self.memory = Memory::load(saved.memory);
            }
            None => self.migrate(&mut saved),
        }
        let positions = saved.rotated.into_iter().map(|p| (p, false)).chain(saved.current.map(|p| (p, true)));
        for (position, was_current) in positions {
            match fs::metadata(&self.path) {
                Ok(meta) if self.current.is_none() && meta.size() >= position.offset => {
                    let mut tail = Tail::open(&self.path, position.offset)?;
                    if tail.is_where(&position)? {
                        tail.position = Position { identity: tail.position.identity, ..position };
                        self.current = Some(tail);
                        continue;
                    }
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            // While nobody looked anything may have been written to it.
            self.lost.push(Lost::new(position, was_current || position.offset > 0));
        }
        Ok(())
    }

    /// Takes over what an agent before 0.2 saved. It remembered no more than [`OLD_MEMORY`] files; with more in the directory
    /// it counted them again and again, and what it has open is history for the most part: then all that is there is history
    /// now, and only the log itself is read on.
    fn migrate(&mut self, saved: &mut Saved) {
        let files = self.list().unwrap_or_default();
        let rotations = files.iter().filter(|file| file.rotation).count();
        let full = saved.finished.len() >= OLD_MEMORY;
        let left = saved.current.map(|position| position.modified).filter(|modified| *modified > (0, 0));
        if saved.rotated.len() > OPEN || full && rotations > OLD_MEMORY {
            tracing::error!(
                log = %self.path.display(),
                "an agent before 0.2 may have counted old files of this log again; what was counted so far cannot be relied on"
            );
            self.recounted = true;
            self.memory.begin(&files);
            saved.rotated.clear();
            let newest = files.last().map_or((0, 0), |file| file.modified);
            self.floor = left.unwrap_or_default().max(newest);
        } else {
            self.floor = left.unwrap_or_default();
            self.memory.migrate(std::mem::take(&mut saved.finished));
        }
    }

    /// What must be saved to go on later. Everything handed over is behind these positions.
    pub(super) fn save(&self) -> Saved {
        let lost = self.lost.iter().map(|l| l.position);
        let rotated = self.rotated.iter().map(|rotated| rotated.tail.position);
        Saved {
            rotated: lost.chain(rotated).collect(),
            current: self.current.as_ref().map(|tail| tail.position),
            finished: Vec::new(),
            floor: Some(self.floor),
            pending: self.pending,
            memory: self.memory.save(),
        }
    }

    /// Bytes there are and were not handed over.
    pub(super) fn behind(&self) -> u64 {
        self.rotated.iter().map(|rotated| rotated.tail.behind()).chain(self.current.iter().map(Tail::behind)).sum()
    }

    /// The file under the log's name.
    pub(super) fn current(&self) -> Option<&Tail> {
        self.current.as_ref()
    }

    /// Reads on, `budget` bytes or a little more.
    pub(super) fn read(&mut self, budget: usize, lines: &mut dyn FnMut(&[u8])) -> io::Result<Progress> {
        let mut progress = Progress { recounted: std::mem::take(&mut self.recounted), ..Progress::default() };
        self.search(&mut progress)?;
        // Where the new file cannot be opened the old one is still read.
        let opened = self.rotation(&mut progress);
        // Oldest first.
        let mut position = 0;
        while position < self.rotated.len() {
            let count = self.rotated.len();
            let successor = self.current.as_ref().is_some_and(|tail| tail.size > 0) || position + 1 < count;
            let Rotated { tail, quiet, trouble } = &mut self.rotated[position];
            let mut failed = None;
            loop {
                match tail.look(&mut self.buffer, lines) {
                    Ok(Look::Read(bytes)) => {
                        progress.bytes += bytes;
                        *quiet = quiet.map(|_| Instant::now());
                        *trouble = None;
                        self.floor = tail.position.modified;
                        if progress.bytes >= budget {
                            return Ok(progress);
                        }
                    }
                    Ok(Look::End) => break,
                    Ok(Look::Truncated) => {
                        // Copied and truncated, then rotated, before anyone looked.
                        let position = tail.position;
                        tail.restart();
                        self.lost.push(Lost::new(position, true));
                        self.search(&mut progress)?;
                        return Ok(progress);
                    }
                    Err(e) => {
                        failed = Some(e);
                        break;
                    }
                }
            }
            if let Some(error) = failed {
                let since = trouble.unwrap_or_else(Instant::now);
                let Rotated { tail, .. } = self.rotated.remove(position);
                if since.elapsed() >= self.patience.search {
                    progress.gaps += 1;
                    tracing::warn!(file = %tail.path.display(), %error, "a rotated log cannot be read to its end");
                    self.finish(&tail);
                } else {
                    self.lost.push(Lost { since, broken: true, ..Lost::new(tail.position, true) });
                }
                continue;
            }
            let gone = tail.metadata()?.is_none_or(|meta| meta.nlink() == 0);
            let quiet = quiet.is_none_or(|since| since.elapsed() >= self.patience.rotated);
            // Of many that were rotated while nobody looked only the last one may still be written to.
            let crowded = count > OPEN || self.pending.is_some() && position + 1 < count;
            if crowded || (gone || quiet) && successor {
                let Rotated { mut tail, .. } = self.rotated.remove(position);
                tail.last_line(&mut self.buffer, lines)?;
                // As it is now and stays; where it cannot be read any more what is known must do.
                let _ = tail.meet();
                self.finish(&tail);
            } else {
                position += 1;
            }
        }
        if let Some(floor) = self.pending
            && let Some(current) = self.current.take()
        {
            let rotated = self.rotated.len();
            self.between(&current, floor, &mut progress);
            self.current = Some(current);
            if self.rotated.len() > rotated {
                return Ok(progress);
            }
        }
        // Before the first of it is counted: what it was before may have been copied away meanwhile.
        if let Some(mut current) = self.current.take_if(|tail| tail.is_fresh()) {
            let rotated = self.rotated.len();
            if current.meet()? {
                self.between(&current, self.floor, &mut progress);
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
                    self.floor = tail.position.modified;
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
                    self.lost.push(Lost::new(position, known_unread));
                    self.search(&mut progress)?;
                    // What the copy has comes first.
                    if !self.rotated.is_empty() {
                        return Ok(progress);
                    }
                }
            }
        }
        progress.at_end = self.lost.is_empty() && self.pending.is_none() && !opened?;
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
        let mut new = Tail::open(&self.path, 0)?;
        if let Some(old) = &self.current
            && let Some(offset) = new.continues(old)
        {
            tracing::info!(log = %self.path.display(), offset, "replaced by a copy of itself");
            new.position = Position { identity: new.position.identity, offset, ..old.position };
            self.current = Some(new);
            return Ok(true);
        }
        self.memory.reused(new.position.identity.inode());
        let mut floor = self.floor;
        if let Some(mut old) = self.current.take() {
            progress.rotations += 1;
            floor = floor.min(old.position.floor().unwrap_or(floor));
            // Truncated and written anew before it was renamed: its compressed self must be known as the same.
            if !old.is_itself() {
                self.lost.push(Lost::new(old.position, true));
                old.restart();
            }
            // Where it cannot be read now it never will be.
            let _ = old.meet();
            self.rotated.push(Rotated::new(old));
        }
        new.position.modified = floor;
        self.between(&new, floor, progress);
        self.current = Some(new);
        Ok(true)
    }

    /// Opens the rotated files that came between what is being read, last written at `floor` when it was read last, and
    /// `new`: as many of them as may be open, the oldest first. The others have their turn when these are finished.
    ///
    /// What cannot be listed or opened is tried again for a while; then it is a gap, and not tried any more.
    fn between(&mut self, new: &Tail, floor: Time, progress: &mut Progress) {
        let floor = self.pending.take().unwrap_or(floor).min(floor);
        let impatient =
            self.trouble.is_some_and(|since| since.elapsed() >= self.patience.search) || self.patience.search.is_zero();
        let files = match self.list() {
            Ok(files) => files,
            Err(e) if impatient => {
                tracing::warn!(log = %self.path.display(), error = %e, "rotated logs cannot be looked for: lines may be missing");
                progress.gaps += 1;
                self.trouble = None;
                return;
            }
            Err(_) => return self.later(floor),
        };
        let unknown = self.memory.unknown(&files, floor);
        let mut plain: Vec<Fingerprint> = Vec::new();
        let mut unreadable = false;
        for (file, look) in unknown {
            let look = match look.and_then(|look| Ok((Tail::open(&file.path, 0)?, look))) {
                Ok(look) => Some(look),
                // Its own compressed or copied self may not be read, but has its time.
                Err(_) if self.is_of_a_known_time(file.modified) => {
                    self.memory.given_up(&file);
                    None
                }
                Err(e) if impatient && e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %file.path.display(), error = %e, "a rotated log cannot be read: its lines are missing");
                    progress.gaps += 1;
                    self.memory.given_up(&file);
                    None
                }
                Err(_) => {
                    unreadable = true;
                    None
                }
            };
            let Some((mut tail, look)) = look else { continue };
            // Saved with it: while nothing of it was counted it is to be found again, whatever was read since.
            tail.position.modified = floor;
            let same = |identity: &Identity| identity.is_all_of(&look.meta, &look.head);
            let known =
                self.rotated.iter().any(|rotated| {
                    let identity = &rotated.tail.position.identity;
                    identity.is_inode(&look.meta) || same(identity)
                }) || self.lost.iter().any(|l| l.position.offset > 0 && l.position.identity.is(&look.meta, &look.head))
                    || same(&new.position.identity);
            // Of a file and its compressed self the plain one came first.
            let print = Fingerprint::of(&look.head);
            if known || plain.contains(&print) {
                continue;
            }
            plain.push(print);
            if self.rotated.len() >= OPEN {
                self.pending = Some(floor);
                break;
            }
            tracing::info!(file = %file.path.display(), "rotated in between, read as well");
            let settled = file.modified.0 < wall_clock() - self.patience.rotated.as_secs() as i64;
            self.rotated.push(Rotated { quiet: (!settled).then(Instant::now), ..Rotated::new(tail) });
        }
        if unreadable {
            self.later(floor);
        } else {
            self.trouble = None;
        }
    }

    /// What came after `floor` is looked for again.
    fn later(&mut self, floor: Time) {
        self.pending = Some(self.pending.unwrap_or(floor).min(floor));
        self.trouble.get_or_insert_with(Instant::now);
    }

    fn is_of_a_known_time(&self, time: Time) -> bool {
        self.memory.has_time(time) || self.rotated.iter().any(|rotated| rotated.tail.modified() == time)
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
            self.lost.push(Lost::new(current.position, true));
            current.restart();
        }
        let files = self.list().unwrap_or_default();
        let floor = self.lost.iter().map(|lost| lost.position.floor().unwrap_or(self.floor)).min();
        for mut lost in std::mem::take(&mut self.lost) {
            if self.rotated.len() >= OPEN {
                // It has its turn when others are finished.
                lost.since = Instant::now();
                self.lost.push(lost);
                continue;
            }
            let found = find(&lost.position, &files);
            // Nothing of it was counted: it is read from its start, as one that came in between.
            if !lost.broken && lost.position.offset == 0 && (found.is_some() || lost.position.identity.print.is_weak())
            {
                continue;
            }
            match found.map(|file| Tail::open(&file.path, lost.position.offset)) {
                Some(Ok(mut tail)) => {
                    tracing::debug!(file = %tail.path.display(), offset = lost.position.offset, "found the log that was being read");
                    tail.position.skipping = lost.position.skipping;
                    tail.position.modified = lost.position.modified;
                    // A copy made before truncation ends the file it is of; both are known as one.
                    progress.rotations += u64::from(!lost.broken);
                    self.rotated.push(Rotated { trouble: lost.broken.then_some(lost.since), ..Rotated::new(tail) });
                }
                _ if lost.since.elapsed() < self.patience.search => self.lost.push(lost),
                _ => {
                    if lost.unread {
                        progress.gaps += 1;
                        tracing::warn!(log = %self.path.display(), "the log was truncated or deleted before all of it was read");
                    }
                    lost.unread = false;
                    self.memory.finished(&lost.position, None);
                }
            }
        }
        if self.lost.is_empty() {
            let floor = floor.unwrap_or(self.floor);
            if let Some(mut current) = self.current.take() {
                // Now the ones after it can be told. It may have been compressed meanwhile and must be known as itself.
                let _ = current.meet();
                self.between(&current, floor, progress);
                self.current = Some(current);
            } else {
                // They can be told when the log itself is opened.
                self.pending = Some(self.pending.unwrap_or(floor).min(floor));
            }
        }
        Ok(())
    }

    fn finish(&mut self, tail: &Tail) {
        let meta = tail.metadata().ok().flatten();
        self.memory.finished(&tail.position, meta.as_ref());
    }
}

/// The file that was being read at `position`, under whatever name: its inode, else one with its head that was not written
/// last before it was.
fn find<'f>(position: &Position, files: &'f [Sibling]) -> Option<&'f Sibling> {
    let is = |file: &&Sibling| {
        let look = file.look();
        look.is_ok_and(|look| position.identity.is(&look.meta, &look.head)) && file.reaches(position.offset)
    };
    let by_inode = files.iter().find(|file| file.is_inode(&position.identity) && is(file));
    let since = position.floor().unwrap_or_default();
    let not_before = |file: &&Sibling| file.modified.0 >= since.0;
    by_inode.or_else(|| files.iter().filter(not_before).find(is)).or_else(|| {
        // The clock may have gone back. The newest thousand will do.
        files.iter().rev().filter(|file| !not_before(file)).take(1_000).find(is)
    })
}

/// Seconds since 1970.
fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
