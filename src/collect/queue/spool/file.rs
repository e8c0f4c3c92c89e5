//! One file of the spool: what its metadata, its envelope and its defer log say.

use super::{
    super::domains::{self, Domains},
    entry::{self, Entry, Extras, Recipients, flag},
};
use crate::postfix::{
    defer_log,
    queue::QueueKind,
    queue_file::{QueueFileError, Reader},
    queue_id::hash_path,
};
use rustix::{
    fd::{BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat},
    io::Errno,
};
use std::{
    ffi::CStr,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// S_IRWXU: postdrop and cleanup give it to a file when it is complete.
const READY: u32 = 0o700;
/// S_IXGRP (MAIL_QUEUE_STAT_EXPIRE): return it at the next attempt.
const FORCED_EXPIRE: u32 = 0o010;
const GROUP: u32 = 0o070;
/// Nearly every defer log fits into the first read.
const FIRST_READ: usize = 4 << 10;

/// What the entries refer to.
#[derive(Default)]
pub(super) struct Store {
    pub(super) names: Domains,
    pub(super) extras: Extras,
}

/// Where files are read, and what all who read them share.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The queue directory.
    pub(super) root: BorrowedFd<'a>,
    pub(super) defer_depth: usize,
    pub(super) store: &'a Mutex<Store>,
    /// Whether defer logs are read as well; if not, they are due.
    pub(super) logs: bool,
    /// How many threads may look at files.
    pub(super) threads: usize,
}

/// What one who reads needs again and again.
pub(super) struct Tools {
    reader: Reader,
    recipients: Recipients,
    log: Vec<u8>,
    /// Whether files may be read without touching their access time.
    no_atime: bool,
}

impl Default for Tools {
    fn default() -> Self {
        Self { reader: Reader::default(), recipients: Recipients::default(), log: Vec::new(), no_atime: true }
    }
}

impl Tools {
    fn no_trace(&self) -> OFlags {
        if self.no_atime { OFlags::NOATIME } else { OFlags::empty() }
    }
}

/// What a look at a file gives.
pub(super) enum Look {
    /// It is as it was.
    Same,
    /// It is new, or not as it was.
    Changed(Entry),
    /// It vanished, which is normal.
    Gone,
    /// It is no file.
    Foreign,
}

impl<'a> Place<'a> {
    /// Held for a moment only, never while a file is read.
    pub(super) fn store(&self) -> MutexGuard<'a, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a file that is known.
    pub(super) fn look(
        &self,
        kind: QueueKind,
        directory: &OwnedFd,
        name: &CStr,
        known: &Entry,
        tools: &mut Tools,
    ) -> rustix::io::Result<Look> {
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if entry::stamp(&stat) == known.stamp => Ok(match self.logs && known.has(flag::DUE) {
                true => Look::Changed(self.with_reasons(name, known, tools)),
                false => Look::Same,
            }),
            Ok(_) => self.read(kind, directory, name, known.key, tools),
            Err(Errno::NOENT) => Ok(Look::Gone),
            Err(e) => Err(e),
        }
    }

    /// Opens a file and reads its envelope.
    pub(super) fn read(
        &self,
        kind: QueueKind,
        directory: &OwnedFd,
        name: &CStr,
        key: u64,
        tools: &mut Tools,
    ) -> rustix::io::Result<Look> {
        let options = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Opened first and looked at then: one walk to the file instead of two. Owner and root read without a trace; for
        // others every first reading of a file would cost a failed attempt, so it is made once.
        let opened = match openat(directory, name, options | tools.no_trace(), Mode::empty()) {
            Err(Errno::PERM) if tools.no_atime => {
                // A local submission belongs to its user, whoever we are.
                tools.no_atime = kind == QueueKind::Maildrop;
                openat(directory, name, options, Mode::empty())
            }
            other => other,
        };
        let (file, stat) = match opened {
            Ok(fd) => {
                let stat = fstat(&fd)?;
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
        let no_trace = tools.no_trace();
        let Tools { reader, recipients, log, .. } = tools;
        recipients.clear();
        let read = reader.read(&file, |address| {
            let domain = domains::of_address(address);
            recipients.add(self.store().names.number(&domain));
        });
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
            if self.logs {
                self.read_defer_log(name, no_trace, log);
                defer_log::read(log, |reason| recipients.add_reason(reason));
            } else {
                entry.set(flag::DUE);
            }
        }
        recipients.merge();
        entry.set_recipients(recipients, |found| self.store().extras.add(found));
        Ok(Look::Changed(entry))
    }

    /// A file whose defer log was due.
    fn with_reasons(&self, name: &CStr, known: &Entry, tools: &mut Tools) -> Entry {
        let no_trace = tools.no_trace();
        let Tools { recipients, log, .. } = tools;
        self.read_defer_log(name, no_trace, log);
        recipients.clear();
        known.each_domain(&self.store().extras, |domain, count| recipients.add_many(domain, count));
        defer_log::read(log, |reason| recipients.add_reason(reason));
        let mut entry = known.without_recipients();
        entry.clear(flag::DUE);
        entry.set_recipients(recipients, |found| self.store().extras.add(found));
        entry
    }

    /// The defer log of a message; empty where there is none.
    fn read_defer_log(&self, name: &CStr, no_trace: OFlags, log: &mut Vec<u8>) {
        log.clear();
        let name = name.to_bytes();
        let path = [b"defer/", hash_path(name, self.defer_depth).as_slice(), name].concat();
        let options = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | no_trace;
        let Ok(fd) = openat(self.root, path, options, Mode::empty()) else { return };
        let file = File::from(fd);
        // A log half read gives half the reasons; there is no better answer, and the next attempt writes it anew.
        let mut filled = 0;
        while filled < defer_log::LONGEST {
            log.resize(FIRST_READ.max(filled * 2), 0);
            match file.read_at(&mut log[filled..], filled as u64) {
                Ok(count) => {
                    let all = log.len() - filled;
                    filled += count;
                    // A regular file gives less than asked for only at its end.
                    if count < all {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        log.truncate(filled);
    }
}
