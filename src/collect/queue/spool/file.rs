//! One file of the spool: what its metadata, its envelope and its defer log say.

use super::{
    super::{
        domains::{self, Domains},
        reasons::{Judged, Texts},
    },
    entry::{self, Entry, Extras, Recipients, flag},
};
use crate::postfix::{
    defer_log::{DeferLog, Waiting},
    queue::QueueKind,
    queue_file::{Address, QueueFileError, Reader},
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
/// Nearly every defer log fits into the first piece; a large one is read in larger ones.
const FIRST_PIECE: usize = 4 << 10;
const PIECE: usize = 64 << 10;
/// No defer log is longer: some ten million recipients.
const LONGEST_LOG: u64 = 4 << 30;
/// Where a defer log is looked for that is not where hash_queue_depth has it: `postfix start` moves the logs after a change,
/// and the new parameter is known here some seconds later.
const OTHER_DEPTHS: std::ops::RangeInclusive<usize> = 0..=4;

/// What the entries refer to.
#[derive(Default)]
pub(super) struct Store {
    pub(super) names: Domains,
    /// Those of the senders: a flood of them hides no recipient's.
    pub(super) senders: Domains,
    pub(super) texts: Texts,
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
    /// Whether only the names matter: messages that are known are not looked at again.
    pub(super) names_only: bool,
}

/// A defer log while it is read.
#[derive(Default)]
struct Log {
    piece: Vec<u8>,
    reader: DeferLog,
}

/// What one who reads needs again and again.
pub(super) struct Tools {
    reader: Reader,
    recipients: Recipients,
    log: Log,
    /// Whether files may be read without touching their access time.
    no_atime: bool,
}

impl Default for Tools {
    fn default() -> Self {
        Self { reader: Reader::default(), recipients: Recipients::default(), log: Log::default(), no_atime: true }
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
        if self.names_only && (!kind.is_written_in_place() || known.has(flag::MESSAGE)) {
            return Ok(Look::Same);
        }
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
            // What cannot be opened is there all the same: it costs its own recipients, and no other message.
            Err(Errno::ACCESS | Errno::PERM | Errno::IO) => match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
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
        if matches!(kind, QueueKind::Maildrop | QueueKind::Incoming) {
            // When it came into this queue, and not when the message arrived (`postsuper -r`, `postfix reload`).
            entry.time = entry::seconds(stat.st_ctime);
        }
        let octets = u64::try_from(stat.st_size).unwrap_or(0);
        let unreadable = |mut entry: Entry, recipients: &mut Recipients| {
            entry.set(flag::MESSAGE | flag::UNREADABLE);
            recipients.clear();
            entry.set_octets(octets, recipients);
            entry.set_recipients(recipients, |found| self.store().extras.add(found));
            Ok(Look::Changed(entry))
        };
        // Local submissions belong to their users: mail_owner may list but not open them, as showq.
        let Some(file) = file else { return unreadable(entry, &mut tools.recipients) };
        let no_trace = tools.no_trace();
        let Tools { reader, recipients, log, .. } = tools;
        recipients.clear();
        let read = reader.read(&file, |address| match address {
            Address::Sender(sender) => entry.set_sender(self.store().senders.number(&domains::of_sender(sender))),
            Address::Recipient(recipient) => {
                recipients.add(self.store().names.number(&domains::of_address(recipient)));
            }
        });
        match read {
            Ok(envelope) => {
                entry.set(flag::MESSAGE | if envelope.null_sender { flag::NULL_SENDER } else { 0 });
                entry.arrival = envelope.arrival.map_or_else(|| entry::seconds(stat.st_mtime), entry::seconds);
                entry.set_octets(envelope.size.unwrap_or(octets), recipients);
            }
            // In corrupt and saved everything counts that was put there.
            Err(_) if !mail => {
                entry.set(flag::MESSAGE);
                entry.set_octets(octets, recipients);
            }
            Err(QueueFileError::Io(_)) => return unreadable(entry, recipients),
            Err(_) => return Ok(Look::Changed(entry)),
        }
        if kind == QueueKind::Deferred {
            if self.logs {
                self.read_defer_log(name, no_trace, log, recipients);
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
        recipients.clear();
        let octets = {
            let store = self.store();
            known.each_domain(&store.extras, |domain, count| recipients.add_many(domain, count));
            known.octets(&store.extras)
        };
        self.read_defer_log(name, no_trace, log, recipients);
        recipients.merge();
        let mut entry = known.without_recipients();
        entry.clear(flag::DUE);
        entry.set_octets(octets, recipients);
        entry.set_recipients(recipients, |found| self.store().extras.add(found));
        entry
    }

    /// The reasons in the defer log of a message; none where there is no log.
    fn read_defer_log(&self, name: &CStr, no_trace: OFlags, log: &mut Log, recipients: &mut Recipients) {
        let Some(file) = self.open_defer_log(name.to_bytes(), no_trace) else { return };
        let Log { piece, reader } = log;
        let mut waiting = |waiting: Waiting<'_>| {
            let (domain, judged) = (domains::of_address(waiting.recipient), Judged::of(waiting));
            let mut store = self.store();
            let (domain, text) = (store.names.number(&domain), store.texts.number(&judged));
            recipients.add_reason(domain, text, |text| store.texts.without_text(text));
        };
        reader.clear();
        let (mut size, mut offset) = (FIRST_PIECE, 0_u64);
        while offset < LONGEST_LOG {
            piece.resize(size, 0);
            match file.read_at(piece, offset) {
                Ok(count) => {
                    reader.feed(&piece[..count], &mut waiting);
                    offset += count as u64;
                    // A regular file gives less than asked for only at its end.
                    if count < size {
                        reader.finish(&mut waiting);
                        break;
                    }
                    size = PIECE;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // What was read counts; the next attempt to deliver writes it anew.
                Err(_) => break,
            }
        }
    }

    fn open_defer_log(&self, name: &[u8], no_trace: OFlags) -> Option<File> {
        let options = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | no_trace;
        let others = OTHER_DEPTHS.filter(|depth| *depth != self.defer_depth);
        for depth in std::iter::once(self.defer_depth).chain(others) {
            let path = [b"defer/", hash_path(name, depth).as_slice(), name].concat();
            match openat(self.root, path, options, Mode::empty()) {
                Ok(fd) => return Some(File::from(fd)),
                Err(Errno::NOENT) => {}
                Err(_) => return None,
            }
        }
        None
    }
}
