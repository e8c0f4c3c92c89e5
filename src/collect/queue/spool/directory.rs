//! One directory of the spool and the files in it.

use super::{
    super::domains::{self, Domains},
    Tools, YOUNG,
    entry::{self, Entry, Extras, flag},
};
use crate::postfix::{
    defer_log,
    queue::QueueKind,
    queue_file::QueueFileError,
    queue_id::{hash_path, is_hash_directory, is_queue_id},
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom, Stat, openat, seek, statat},
    io::Errno,
};
use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read},
    time::Instant,
};

/// S_IRWXU: postdrop and cleanup give it to a file when it is complete.
const READY: u32 = 0o700;
/// S_IXGRP (MAIL_QUEUE_STAT_EXPIRE): return it at the next attempt.
const FORCED_EXPIRE: u32 = 0o010;
const GROUP: u32 = 0o070;

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
    /// A sweep that is not through: when it began, and where it goes on.
    sweeping: Option<(Instant, u64)>,
}

/// Files not seen before, read in the order of their inodes: a listing comes in the order of hashes, and a disk that has to
/// be asked for each of a million files in that order takes minutes longer.
#[derive(Default)]
struct Fresh {
    /// Inode, and where the name begins.
    files: Vec<(u64, u32)>,
    /// Each ends with a NUL.
    names: Vec<u8>,
}

impl Fresh {
    /// So many are read at once, in about 1 MiB.
    const MOST: usize = 1 << 15;

    /// Says whether it is time to read them.
    fn add(&mut self, inode: u64, name: &CStr) -> bool {
        self.files.push((inode, self.names.len() as u32));
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.files.len() >= Self::MOST
    }
}

/// Where a directory is and what its files share.
pub(super) struct Listed<'a> {
    /// The queue directory.
    pub(super) root: BorrowedFd<'a>,
    /// Seconds since 1970.
    pub(super) now: i64,
    pub(super) defer_depth: usize,
    pub(super) names: &'a mut Domains,
    pub(super) extras: &'a mut Extras,
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

    /// Lists it: files not there any more are forgotten, new ones read, changed ones read again.
    pub(super) fn list(&mut self, fd: OwnedFd, mut at: Listed<'_>, tools: &mut Tools) -> rustix::io::Result<()> {
        let begun = Instant::now();
        // Before the first entry is read: what changes from now on shows in the mtime of the next time.
        let stat = rustix::fs::fstat(&fd)?;
        let (mut children, mut foreign) = (Vec::new(), 0);
        let known = self.entries.len();
        let mut buffer = std::mem::take(&mut tools.listing);
        let mut listing = RawDir::new(&fd, buffer.spare_capacity_mut());
        let mut failed = None;
        let mut fresh = Fresh::default();
        while let Some(found) = listing.next() {
            let found = match found {
                Ok(found) => found,
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            };
            let name = found.file_name();
            match name.to_bytes() {
                b"." | b".." => continue,
                bytes if is_hash_directory(bytes) => match found.file_type() {
                    FileType::Directory => children.push(bytes[0]),
                    // Some file systems do not tell; the visit will.
                    FileType::Unknown => match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                            children.push(bytes[0]);
                        }
                        _ => foreign += 1,
                    },
                    _ => foreign += 1,
                },
                bytes
                    if is_queue_id(bytes) && matches!(found.file_type(), FileType::RegularFile | FileType::Unknown) =>
                {
                    let key = entry::key(found.ino(), bytes);
                    let place = find(&self.entries[..known], key);
                    let looked = match place {
                        Some(place) => {
                            at.look(self.kind, &fd, name, &self.entries[place], tools).map(|look| match look {
                                Look::Changed(mut new) => {
                                    new.set(flag::SEEN);
                                    self.entries[place].release(at.extras);
                                    self.entries[place] = new;
                                }
                                Look::Same => self.entries[place].set(flag::SEEN),
                                Look::Foreign => foreign += 1,
                                Look::Gone => {}
                            })
                        }
                        None => match fresh.add(found.ino(), name) {
                            true => self.read_fresh(&mut fresh, &fd, &mut at, tools).map(|others| foreign += others),
                            false => Ok(()),
                        },
                    };
                    if let Err(e) = looked {
                        failed = Some(e);
                        break;
                    }
                }
                _ => foreign += 1,
            }
        }
        tools.listing = buffer;
        if failed.is_none() {
            match self.read_fresh(&mut fresh, &fd, &mut at, tools) {
                Ok(others) => foreign += others,
                Err(e) => failed = Some(e),
            }
        }
        if let Some(e) = failed {
            // Keep what is known, without the half-seen marks.
            self.entries.drain(known..).for_each(|entry| entry.release(at.extras));
            self.entries.iter_mut().for_each(|entry| entry.clear(flag::SEEN));
            return Err(e);
        }
        self.entries.retain_mut(|entry| {
            let seen = entry.has(flag::SEEN);
            if seen {
                entry.clear(flag::SEEN);
            } else {
                entry.release(at.extras);
            }
            seen
        });
        // Stable, because that one makes use of what is sorted already.
        self.entries.sort_by_key(|entry| entry.key);
        // Readdir may show a name twice while the directory changes.
        self.entries.dedup_by(|later, first| {
            let twice = later.key == first.key;
            if twice {
                later.release(at.extras);
            }
            twice
        });
        if self.entries.capacity() > self.entries.len() + self.entries.len() / 4 + 64 {
            self.entries.shrink_to(self.entries.len() + self.entries.len() / 16);
        }
        self.children = children;
        self.foreign = foreign;
        self.mtime = (at.now.saturating_sub(stat.st_mtime) >= YOUNG).then(|| mtime(&stat));
        self.looked_at = Some(begun);
        self.sweeping = None;
        Ok(())
    }

    /// Reads files not seen before; says how many of them are no files.
    fn read_fresh(
        &mut self,
        fresh: &mut Fresh,
        fd: &OwnedFd,
        at: &mut Listed<'_>,
        tools: &mut Tools,
    ) -> rustix::io::Result<u64> {
        let mut foreign = 0;
        fresh.files.sort_unstable();
        for (inode, start) in fresh.files.drain(..) {
            let name = fresh.names.get(start as usize..).and_then(|n| CStr::from_bytes_until_nul(n).ok());
            let Some(name) = name else { continue };
            match at.read(self.kind, fd, name, entry::key(inode, name.to_bytes()), tools)? {
                Look::Changed(mut new) => {
                    new.set(flag::SEEN);
                    self.entries.push(new);
                }
                Look::Foreign => foreign += 1,
                Look::Same | Look::Gone => {}
            }
        }
        fresh.names.clear();
        Ok(foreign)
    }

    /// Looks at up to `quota` files (and the rest of a buffer), and goes on from there the next time. Says how many it
    /// were.
    pub(super) fn sweep(
        &mut self,
        fd: OwnedFd,
        mut at: Listed<'_>,
        tools: &mut Tools,
        quota: usize,
    ) -> rustix::io::Result<usize> {
        let (begun, offset) = self.sweeping.unwrap_or_else(|| (Instant::now(), 0));
        if offset > 0 {
            seek(&fd, SeekFrom::Start(offset))?;
        }
        let mut buffer = std::mem::take(&mut tools.listing);
        let mut listing = RawDir::new(&fd, buffer.spare_capacity_mut());
        let mut looked_at = 0;
        let mut result = Ok(());
        self.sweeping = loop {
            let found = match listing.next() {
                None => {
                    self.looked_at = Some(begun);
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
                    match at.look(self.kind, &fd, name, &self.entries[place], tools) {
                        Ok(Look::Changed(new)) => {
                            self.entries[place].release(at.extras);
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
        tools.listing = buffer;
        result.map(|()| looked_at)
    }
}

/// What a look at a file gives.
enum Look {
    /// It is as it was.
    Same,
    /// It is new, or not as it was.
    Changed(Entry),
    /// It vanished, which is normal.
    Gone,
    /// It is no file.
    Foreign,
}

impl Listed<'_> {
    /// Looks at a file that is known.
    fn look(
        &mut self,
        kind: QueueKind,
        directory: &OwnedFd,
        name: &CStr,
        known: &Entry,
        tools: &mut Tools,
    ) -> rustix::io::Result<Look> {
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if entry::stamp(&stat) == known.stamp => Ok(Look::Same),
            Ok(_) => self.read(kind, directory, name, known.key, tools),
            Err(Errno::NOENT) => Ok(Look::Gone),
            Err(e) => Err(e),
        }
    }

    /// Opens a file and reads its envelope.
    fn read(
        &mut self,
        kind: QueueKind,
        directory: &OwnedFd,
        name: &CStr,
        key: u64,
        tools: &mut Tools,
    ) -> rustix::io::Result<Look> {
        let options = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Opened first and looked at then: one walk to the file instead of two. Owner and root read without a trace; for
        // others every first reading of a file would cost a failed attempt, so it is made once.
        let opened = match tools.no_atime {
            true => openat(directory, name, options | OFlags::NOATIME, Mode::empty()),
            false => openat(directory, name, options, Mode::empty()),
        };
        let opened = match opened {
            Err(Errno::PERM) if tools.no_atime => {
                // A local submission belongs to its user, whoever we are.
                tools.no_atime = kind == QueueKind::Maildrop;
                openat(directory, name, options, Mode::empty())
            }
            other => other,
        };
        let (file, stat) = match opened {
            Ok(fd) => {
                let stat = rustix::fs::fstat(&fd)?;
                (Some(File::from(fd)), stat)
            }
            Err(Errno::NOENT) => return Ok(Look::Gone),
            // A symbolic link, a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Look::Foreign),
            Err(Errno::ACCESS) => match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => (None, stat),
                Err(Errno::NOENT) => return Ok(Look::Gone),
                Err(e) => return Err(e),
            },
            Err(e) => return Err(e),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Look::Foreign);
        }
        let mut flags = 0;
        flags |= if stat.st_mode & FORCED_EXPIRE != 0 { flag::FORCED_EXPIRE } else { 0 };
        flags |= if stat.st_mode & GROUP != 0 { flag::GROUP_BITS } else { 0 };
        let mut entry = Entry::new(key, &stat, flags);
        let mail = kind.is_mail();
        if mail && stat.st_mode & READY != READY {
            // Half written, or set aside by Postfix as corrupt.
            return Ok(Look::Changed(entry));
        }
        let Some(file) = file else {
            // Local submissions belong to their users: mail_owner may list but not open them, as showq.
            return if kind == QueueKind::Maildrop || !mail {
                entry.set(flag::MESSAGE | flag::UNREADABLE);
                Ok(Look::Changed(entry))
            } else {
                Err(Errno::ACCESS)
            };
        };
        let Tools { reader, recipients, log, .. } = tools;
        recipients.clear();
        let names = &mut *self.names;
        let read = reader.read(&file, |address| recipients.add(names.number(&domains::of_address(address))));
        match read {
            Ok(envelope) => {
                entry.set(flag::MESSAGE | if envelope.null_sender { flag::NULL_SENDER } else { 0 });
                entry.arrival = envelope.arrival.map_or(entry.mtime, entry::seconds);
                if let Some(size) = envelope.size {
                    entry.size = u32::try_from(size).unwrap_or(u32::MAX);
                }
            }
            // In corrupt and saved everything counts that was put there.
            Err(_) if !mail => entry.set(flag::MESSAGE),
            Err(QueueFileError::Io(e)) if e.kind() == io::ErrorKind::PermissionDenied => return Err(Errno::ACCESS),
            Err(_) => return Ok(Look::Changed(entry)),
        }
        if kind == QueueKind::Deferred {
            self.reasons(name, log);
            defer_log::read(log, |reason| recipients.add_reason(reason));
        }
        recipients.merge();
        entry.set_recipients(recipients, self.extras);
        Ok(Look::Changed(entry))
    }

    /// The defer log of a message; empty where there is none.
    fn reasons(&self, name: &CStr, log: &mut Vec<u8>) {
        log.clear();
        let name = name.to_bytes();
        let path = [b"defer/", hash_path(name, self.defer_depth).as_slice(), name].concat();
        let options = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = openat(self.root.as_fd(), path, options, Mode::empty()) else { return };
        // A log half read gives half the reasons; there is no better answer, and the next attempt writes it anew.
        let _ = File::from(fd).take(defer_log::LONGEST).read_to_end(log);
    }
}

/// The place of a key.
fn find(entries: &[Entry], key: u64) -> Option<usize> {
    entries.binary_search_by_key(&key, |entry| entry.key).ok()
}

fn mtime(stat: &Stat) -> (i64, u64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}
