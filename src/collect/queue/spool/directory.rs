//! One directory of the spool and the files in it.

use super::{
    YOUNG,
    batch::Batch,
    entry::{Entry, Extras, flag},
    file::{Place, Tools},
};
use crate::postfix::{
    queue::QueueKind,
    queue_id::{is_hash_directory, is_queue_id},
};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FileType, RawDir, SeekFrom, Stat, fstat, seek, statat},
};
use std::time::{Duration, Instant, SystemTime};

/// Steps of the kernel's time stamps are no longer (CONFIG_HZ=100).
const STEP: Duration = Duration::from_millis(12);

/// A directory.
pub(super) struct Directory {
    pub(super) kind: QueueKind,
    /// Sorted by key.
    pub(super) entries: Vec<Entry>,
    /// Names of the hash directories in it.
    pub(super) children: Vec<u8>,
    /// What is neither queue file nor hash directory: symbolic links, sockets, foreign names.
    pub(super) foreign: u64,
    /// Its mtime when it was listed last, where that can be trusted.
    mtime: Option<(i64, u64)>,
    /// Its mtime when it was listed last, trusted or not.
    listed_mtime: (i64, u64),
    /// When that was, on both clocks.
    pub(super) listed: Option<(Instant, SystemTime)>,
    /// When all its files had been looked at last.
    pub(super) looked_at: Option<Instant>,
    /// Whether defer logs of its files are still to be read.
    pub(super) due: bool,
    /// A sweep that is not through: when it began, and where it goes on.
    sweeping: Option<(Instant, u64)>,
}

/// What a listing finds besides the files that are known.
#[derive(Default)]
pub(super) struct Listed {
    /// Files not seen before.
    pub(super) new: Vec<Entry>,
    /// Names of hash directories.
    pub(super) children: Vec<u8>,
    /// How many are neither.
    pub(super) foreign: u64,
    /// Whether a file that is known became a message, or is none any more.
    pub(super) turned: bool,
}

/// What listing and reading need again and again.
pub(super) struct Hands {
    buffer: Vec<u8>,
    tools: Tools,
}

impl Default for Hands {
    fn default() -> Self {
        Self { buffer: Vec::with_capacity(64 << 10), tools: Tools::default() }
    }
}

impl Directory {
    pub(super) fn new(kind: QueueKind) -> Self {
        Self {
            kind,
            entries: Vec::new(),
            children: Vec::new(),
            foreign: 0,
            mtime: None,
            listed_mtime: (0, 0),
            listed: None,
            looked_at: None,
            due: false,
            sweeping: None,
        }
    }

    pub(super) fn may_have_changed(&self, stat: &Stat) -> bool {
        self.mtime != Some(mtime(stat))
    }

    /// Whether something entered or left it since it was listed, as far as its mtime shows.
    pub(super) fn has_changed(&self, stat: &Stat) -> bool {
        self.listed_mtime != mtime(stat)
    }

    /// Whether it may have changed again right after it was listed without its mtime showing it: the kernel's time stamps
    /// have steps of some milliseconds, and what is written in maildrop and incoming becomes a message by its mode alone.
    pub(super) fn is_uncertain(&self) -> bool {
        if self.kind.is_written_in_place() && self.entries.iter().any(|entry| !entry.has(flag::MESSAGE)) {
            return true;
        }
        let Some((_, at)) = self.listed else { return false };
        let (seconds, nanoseconds) = self.listed_mtime;
        let Ok(seconds) = u64::try_from(seconds) else { return false };
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds as u32 % 1_000_000_000));
        // Changed long after the listing began, by another clock than ours: the future is no reason to look for ever.
        let distance = |changed| at.duration_since(changed).unwrap_or_else(|after| after.duration());
        changed.is_some_and(|changed| distance(changed) < STEP)
    }

    pub(super) fn distrust(&mut self) {
        self.mtime = None;
    }

    pub(super) fn release(self, extras: &mut Extras) {
        self.entries.iter().for_each(|entry| entry.release(extras));
    }

    /// Lists it: files not there any more are forgotten, changed ones read again, new ones read. Says whether it holds
    /// another set of messages than before, or held one in between.
    ///
    /// Those that left are handed over in `left`; not those of maildrop, which are never moved from there: pickup(8) makes new
    /// ones of them.
    pub(super) fn list(
        &mut self,
        fd: &OwnedFd,
        at: Place<'_>,
        now: i64,
        hands: &mut Hands,
        left: &mut Vec<(QueueKind, Entry)>,
    ) -> rustix::io::Result<bool> {
        let (begun, wall) = (Instant::now(), SystemTime::now());
        // Before the first entry is read: what changes from now on shows in the mtime of the next time.
        let stat = fstat(fd)?;
        let mut found = Listed::default();
        self.entries.iter_mut().for_each(|entry| entry.clear(flag::SEEN));
        let result = self.look_around(fd, at, hands, &mut found);
        let mut store = at.store();
        let extras = &mut store.extras;
        if let Err(e) = result {
            found.new.iter().for_each(|entry| entry.release(extras));
            return Err(e);
        }
        let mut changed = self.has_changed(&stat) || found.turned || !found.new.is_empty();
        let kind = self.kind;
        self.entries.retain(|entry| {
            let seen = entry.has(flag::SEEN);
            changed |= !seen;
            if !seen && kind == QueueKind::Maildrop {
                entry.release(extras);
            } else if !seen {
                left.push((kind, *entry));
            }
            seen
        });
        self.entries.append(&mut found.new);
        // Stable, because that one makes use of what is sorted already.
        self.entries.sort_by_key(|entry| entry.key);
        // Readdir may show a name twice while the directory changes.
        self.entries.dedup_by(|later, first| {
            let twice = later.key == first.key;
            if twice {
                later.release(extras);
            }
            twice
        });
        if self.entries.capacity() > self.entries.len() + self.entries.len() / 4 + 64 {
            self.entries.shrink_to(self.entries.len() + self.entries.len() / 16);
        }
        found.children.sort_unstable();
        changed |= self.children != found.children;
        self.children = found.children;
        self.foreign = found.foreign;
        self.mtime = (now.saturating_sub(stat.st_mtime) >= YOUNG).then(|| mtime(&stat));
        self.listed_mtime = mtime(&stat);
        self.listed = Some((begun, wall));
        if at.names_only {
            // New files have been read, and the others wait for the sweep as they did.
            self.due |= !at.logs && self.kind == QueueKind::Deferred && !self.entries.is_empty();
            return Ok(changed);
        }
        self.looked_at = Some(begun);
        self.due = !at.logs && self.kind == QueueKind::Deferred && !self.entries.is_empty();
        self.sweeping = None;
        Ok(changed)
    }

    /// Marks the known files that are there, and finds all else.
    fn look_around(
        &mut self,
        fd: &OwnedFd,
        at: Place<'_>,
        hands: &mut Hands,
        found: &mut Listed,
    ) -> rustix::io::Result<()> {
        let Hands { buffer, tools } = hands;
        let mut listing = RawDir::new(fd, buffer.spare_capacity_mut());
        let mut files = Batch::default();
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name();
            match name.to_bytes() {
                b"." | b".." => {}
                bytes if is_hash_directory(bytes) => match entry.file_type() {
                    FileType::Directory => found.children.push(bytes[0]),
                    // Some file systems do not tell; the visit will.
                    FileType::Unknown => match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                            found.children.push(bytes[0]);
                        }
                        _ => found.foreign += 1,
                    },
                    _ => found.foreign += 1,
                },
                bytes
                    if is_queue_id(bytes) && matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) =>
                {
                    if files.add(entry.ino(), name) {
                        self.look_at(&mut files, fd, at, tools, found)?;
                    }
                }
                _ => found.foreign += 1,
            }
        }
        self.look_at(&mut files, fd, at, tools, found)
    }

    /// Looks at the files: known ones are brought up to date and marked, others go to `found`.
    fn look_at(
        &mut self,
        files: &mut Batch,
        fd: &OwnedFd,
        at: Place<'_>,
        tools: &mut Tools,
        found: &mut Listed,
    ) -> rustix::io::Result<()> {
        let (mut looks, result) = files.look(self.kind, fd, &self.entries, at, tools);
        let mut store = at.store();
        for (place, new) in looks.changed {
            found.turned |= self.entries[place as usize].has(flag::MESSAGE) != new.has(flag::MESSAGE);
            self.entries[place as usize].release(&mut store.extras);
            self.entries[place as usize] = new;
            looks.same.push(place);
        }
        looks.same.iter().for_each(|place| self.entries[*place as usize].set(flag::SEEN));
        found.new.append(&mut looks.new);
        found.foreign += looks.foreign;
        result
    }

    /// Looks at up to `quota` files, and goes on from there the next time. Says how many it were.
    pub(super) fn sweep(
        &mut self,
        fd: &OwnedFd,
        at: Place<'_>,
        hands: &mut Hands,
        quota: usize,
    ) -> rustix::io::Result<usize> {
        let (begun, offset) = self.sweeping.take().unwrap_or_else(|| (Instant::now(), 0));
        if offset > 0 {
            seek(fd, SeekFrom::Start(offset))?;
        }
        let Hands { buffer, tools } = hands;
        let mut listing = RawDir::new(fd, buffer.spare_capacity_mut());
        // One that is not known came just now; the directory will be listed for it.
        let mut files = Batch::of_known();
        let (mut count, mut next) = (0, None);
        while let Some(found) = listing.next() {
            let found = found?;
            if !is_queue_id(found.file_name().to_bytes()) {
                continue;
            }
            count += 1;
            if files.add(found.ino(), found.file_name()) {
                self.look_at(&mut files, fd, at, tools, &mut Listed::default())?;
            }
            if count >= quota {
                next = Some(found.next_entry_cookie());
                break;
            }
        }
        self.look_at(&mut files, fd, at, tools, &mut Listed::default())?;
        match next {
            Some(next) => self.sweeping = Some((begun, next)),
            None => {
                self.looked_at = Some(begun);
                self.due = false;
            }
        }
        Ok(count)
    }
}

fn mtime(stat: &Stat) -> (i64, u64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}
