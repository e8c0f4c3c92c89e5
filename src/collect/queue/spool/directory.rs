//! One directory of the spool and the files in it.

use super::{
    YOUNG,
    entry::{self, Entry, Extras, flag},
    file::{Look, Place, Tools},
    fresh::Fresh,
};
use crate::postfix::{
    queue::QueueKind,
    queue_id::{is_hash_directory, is_queue_id},
};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FileType, RawDir, SeekFrom, Stat, fstat, seek, statat},
};
use std::time::Instant;

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
            looked_at: None,
            due: false,
            sweeping: None,
        }
    }

    pub(super) fn may_have_changed(&self, stat: &Stat) -> bool {
        self.mtime != Some(mtime(stat))
    }

    pub(super) fn distrust(&mut self) {
        self.mtime = None;
    }

    pub(super) fn release(self, extras: &mut Extras) {
        self.entries.iter().for_each(|entry| entry.release(extras));
    }

    /// Lists it: files not there any more are forgotten, changed ones read again, new ones read by so many threads.
    pub(super) fn list(
        &mut self,
        fd: &OwnedFd,
        at: Place<'_>,
        now: i64,
        hands: &mut Hands,
        threads: usize,
    ) -> rustix::io::Result<()> {
        let begun = Instant::now();
        // Before the first entry is read: what changes from now on shows in the mtime of the next time.
        let stat = fstat(fd)?;
        let mut found = Listed::default();
        let result = self.look_around(fd, at, hands, threads, &mut found);
        if let Err(e) = result {
            // Keep what is known, without the half-seen marks.
            found.new.iter().for_each(|entry| entry.release(&mut at.store().extras));
            self.entries.iter_mut().for_each(|entry| entry.clear(flag::SEEN));
            return Err(e);
        }
        let mut store = at.store();
        let extras = &mut store.extras;
        self.entries.retain_mut(|entry| {
            let seen = entry.has(flag::SEEN);
            if seen {
                entry.clear(flag::SEEN);
            } else {
                entry.release(extras);
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
        self.children = found.children;
        self.foreign = found.foreign;
        self.mtime = (now.saturating_sub(stat.st_mtime) >= YOUNG).then(|| mtime(&stat));
        self.looked_at = Some(begun);
        self.due = !at.logs && self.kind == QueueKind::Deferred && !self.entries.is_empty();
        self.sweeping = None;
        Ok(())
    }

    /// Marks the known files that are there, and finds all else.
    fn look_around(
        &mut self,
        fd: &OwnedFd,
        at: Place<'_>,
        hands: &mut Hands,
        threads: usize,
        found: &mut Listed,
    ) -> rustix::io::Result<()> {
        let Hands { buffer, tools } = hands;
        let mut listing = RawDir::new(fd, buffer.spare_capacity_mut());
        let mut fresh = Fresh::default();
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
                    match find(&self.entries, entry::key(entry.ino(), bytes)) {
                        Some(place) => match at.look(self.kind, fd, name, &self.entries[place], tools)? {
                            Look::Changed(mut new) => {
                                new.set(flag::SEEN);
                                self.entries[place].release(&mut at.store().extras);
                                self.entries[place] = new;
                            }
                            Look::Same => self.entries[place].set(flag::SEEN),
                            Look::Foreign => found.foreign += 1,
                            Look::Gone => {}
                        },
                        None => {
                            if fresh.add(entry.ino(), name) {
                                fresh.read(self.kind, fd, at, tools, threads, found)?;
                            }
                        }
                    }
                }
                _ => found.foreign += 1,
            }
        }
        fresh.read(self.kind, fd, at, tools, threads, found)
    }

    /// Looks at up to `quota` files (and the rest of a buffer), and goes on from there the next time. Says how many it
    /// were.
    pub(super) fn sweep(
        &mut self,
        fd: &OwnedFd,
        at: Place<'_>,
        hands: &mut Hands,
        quota: usize,
    ) -> rustix::io::Result<usize> {
        let (begun, offset) = self.sweeping.unwrap_or_else(|| (Instant::now(), 0));
        if offset > 0 {
            seek(fd, SeekFrom::Start(offset))?;
        }
        let Hands { buffer, tools } = hands;
        let mut listing = RawDir::new(fd, buffer.spare_capacity_mut());
        let mut looked_at = 0;
        let mut result = Ok(());
        self.sweeping = loop {
            let found = match listing.next() {
                None => {
                    self.looked_at = Some(begun);
                    self.due = false;
                    break None;
                }
                Some(Ok(found)) => found,
                Some(Err(e)) => {
                    result = Err(e);
                    break None;
                }
            };
            let next = found.next_entry_cookie();
            let name = found.file_name();
            if is_queue_id(name.to_bytes()) {
                let key = entry::key(found.ino(), name.to_bytes());
                // One that is not known came just now; the directory will be listed for it.
                if let Some(place) = find(&self.entries, key) {
                    looked_at += 1;
                    match at.look(self.kind, fd, name, &self.entries[place], tools) {
                        Ok(Look::Changed(new)) => {
                            self.entries[place].release(&mut at.store().extras);
                            self.entries[place] = new;
                        }
                        Ok(_) => {}
                        Err(e) => {
                            result = Err(e);
                            break None;
                        }
                    }
                }
            }
            if looked_at >= quota {
                break Some((begun, next));
            }
        };
        result.map(|()| looked_at)
    }
}

/// The place of a key.
fn find(entries: &[Entry], key: u64) -> Option<usize> {
    entries.binary_search_by_key(&key, |entry| entry.key).ok()
}

fn mtime(stat: &Stat) -> (i64, u64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}
