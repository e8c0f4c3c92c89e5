//! One file, by its inode, from where it was left to its end.
//!
//! A file is known again by device, inode and the checksum of its first KiB: inodes are used again, copies and compressed
//! files have another one. The checksum is looked at after each read and before what was read is believed, so that a file
//! that was truncated and written anew in the meantime is noticed. A line counts when it has its newline; the position
//! never stands inside one.

use crate::{compressed, postfix::log::line::LONGEST};
use memchr::{memchr, memrchr, memrchr_iter};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// So much is read at once.
pub(super) const CHUNK: usize = 256 * 1_024;
/// So much of a file's head tells it from others.
const HEAD: usize = 1_024;

/// This many octets before the position tell whether a file has what was counted.
const ENDING: u64 = 4_096;
/// A line shorter than this is none that has a timestamp and a text.
const SIGNIFICANT: usize = 24;
/// So many lines in a row have to be the same where a rotation would look alike.
const EVIDENCE: usize = 5;
/// In this many octets at the end of a file the last line that was counted is looked for.
const SEARCHED: u64 = 8 << 20;

/// Checksum of the first bytes; 1,024 or as many as there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    pub length: u16,
    pub sum: u32,
}

impl Fingerprint {
    /// Of the first bytes of a file.
    pub(super) fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD)];
        Self { length: head.len() as u16, sum: crc32fast::hash(head) }
    }

    /// Whether a file that begins with `head` may be the one this was taken of: files only grow.
    pub(super) fn fits(&self, head: &[u8]) -> bool {
        head.get(..usize::from(self.length)).is_some_and(|begin| crc32fast::hash(begin) == self.sum)
    }

    /// Too little was there to know the file by.
    pub(super) fn is_weak(&self) -> bool {
        self.length == 0
    }

    /// To look it up by.
    pub(super) fn key(&self) -> (u16, u32) {
        (self.length, self.sum)
    }
}

/// A file as it is known again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    dev: u64,
    ino: u64,
    /// Its head.
    pub print: Fingerprint,
}

impl Identity {
    /// Of a file that begins with `head`.
    pub(super) fn new(meta: &Metadata, head: &[u8]) -> Self {
        Self { dev: meta.dev(), ino: meta.ino(), print: Fingerprint::of(head) }
    }

    /// Of device, inode and head.
    pub(super) fn from_parts((dev, ino): (u64, u64), print: Fingerprint) -> Self {
        Self { dev, ino, print }
    }

    /// Device and inode.
    pub(super) fn inode(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// Whether this is the same inode.
    pub(super) fn is_inode(&self, meta: &Metadata) -> bool {
        (meta.dev(), meta.ino()) == (self.dev, self.ino)
    }

    /// Whether the file with this inode and head is this one or a copy of it, when this one grows no more. A short head is
    /// no proof unless it is all there is.
    pub(super) fn is_all_of(&self, meta: &Metadata, head: &[u8]) -> bool {
        let long = usize::from(self.print.length);
        self.print.fits(head) && (self.is_inode(meta) || long == HEAD || (long == head.len() && long > 0))
    }

    /// Whether the file with this inode and head is the one, or a copy of it that may have grown since.
    pub(super) fn is(&self, meta: &Metadata, head: &[u8]) -> bool {
        self.print.fits(head) && (self.is_inode(meta) || !self.print.is_weak())
    }
}

/// Where a file was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which file.
    pub identity: Identity,
    /// All before this was counted; the next line begins here.
    pub offset: u64,
    /// The file's mtime when something was counted last, or before that the mtime of what was read before it; what is older
    /// than that came before it.
    #[serde(default)]
    pub modified: (i64, i64),
    /// Inside a line that was too long and is skipped to its end.
    pub skipping: bool,
}

impl Position {
    /// What is older than this came before it; `None` where that is not known.
    pub(super) fn floor(&self) -> Option<(i64, i64)> {
        (self.modified > (0, 0)).then_some(self.modified)
    }
}

enum Content {
    Plain(File),
    /// Streamed: the position is that of the decompressed text.
    Compressed {
        decoder: Box<dyn Read + Send>,
        pending: Vec<u8>,
        done: bool,
    },
}

/// An open file.
pub(super) struct Tail {
    /// Under which name it was found.
    pub path: PathBuf,
    content: Content,
    /// Where it is.
    pub position: Position,
    /// Size as last seen; for compressed ones 0 until the end.
    pub size: u64,
    seen: Option<(u64, i64, i64)>,
    modified: (i64, i64),
}

/// When a file was written last.
pub(super) fn modified(meta: &Metadata) -> (i64, i64) {
    (meta.mtime(), meta.mtime_nsec())
}

/// What one look at a file gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// So many bytes were handed over; there may be more.
    Read(usize),
    /// Nothing new.
    End,
    /// It is shorter than what was read of it, or another one: it was truncated.
    Truncated,
}

impl Tail {
    /// Opens `path` at `offset`.
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let (file, meta) = open(path)?;
        let identity = Identity::new(&meta, &head(&file)?);
        let (content, size) = match compressed::reader(&file)? {
            Some(mut decoder) => {
                let skipped = io::copy(&mut decoder.by_ref().take(offset), &mut io::sink())?;
                if skipped < offset {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                (Content::Compressed { decoder, pending: Vec::new(), done: false }, 0)
            }
            None => (Content::Plain(file), meta.size()),
        };
        let position = Position { identity, offset, ..Position::default() };
        Ok(Self { path: path.to_owned(), content, position, size, seen: None, modified: modified(&meta) })
    }

    /// The state of the inode, whatever its name is now; `None` for compressed ones.
    pub(super) fn metadata(&self) -> io::Result<Option<Metadata>> {
        match &self.content {
            Content::Plain(file) => file.metadata().map(Some),
            Content::Compressed { .. } => Ok(None),
        }
    }

    /// When it was written last; compressors keep that of what it compresses.
    pub(super) fn modified(&self) -> (i64, i64) {
        self.metadata().ok().flatten().map_or(self.modified, |meta| modified(&meta))
    }

    /// Bytes not yet counted.
    pub(super) fn behind(&self) -> u64 {
        self.size.saturating_sub(self.position.offset)
    }

    /// Whether it still begins as it did and is not shorter than what was read.
    pub(super) fn is_itself(&self) -> bool {
        match &self.content {
            Content::Plain(file) => {
                let long = file.metadata().is_ok_and(|meta| meta.len() >= self.position.offset);
                long && head(file).is_ok_and(|head| self.position.identity.print.fits(&head))
            }
            Content::Compressed { .. } => true,
        }
    }

    /// Whether something is there and nothing of it was counted or looked at yet.
    pub(super) fn is_fresh(&self) -> bool {
        let Content::Plain(file) = &self.content else { return false };
        let unseen =
            |meta: Metadata| meta.size() > 0 && self.seen != Some((meta.size(), meta.mtime(), meta.mtime_nsec()));
        self.position.offset == 0 && file.metadata().is_ok_and(unseen)
    }

    /// Whether this is the file that was left at `position`, or a copy of it that has its name now.
    pub(super) fn is_where(&self, position: &Position) -> io::Result<bool> {
        let Content::Plain(file) = &self.content else { return Ok(false) };
        let meta = file.metadata()?;
        if !position.identity.is(&meta, &head(file)?) {
            return Ok(false);
        }
        if position.identity.is_inode(&meta) || position.offset == 0 {
            return Ok(position.identity.is_inode(&meta));
        }
        // Of another inode the head is not enough: what was counted must have ended where a line ends.
        let mut last = [0];
        Ok(read_at(file, &mut last, position.offset - 1)? == 1 && last == *b"\n")
    }

    /// Takes the fingerprint of a file that was empty so far; says whether it is no longer.
    pub(super) fn meet(&mut self) -> io::Result<bool> {
        if let Content::Plain(file) = &self.content {
            self.position.identity.print = Fingerprint::of(&head(file)?);
        }
        Ok(!self.position.identity.print.is_weak())
    }

    /// Begins anew: the file was truncated.
    pub(super) fn restart(&mut self) {
        self.position.offset = 0;
        self.position.skipping = false;
        self.position.identity.print = Fingerprint::default();
        self.seen = None;
    }

    /// Hands over the next complete lines, if any.
    pub(super) fn look(&mut self, buffer: &mut Vec<u8>, lines: &mut dyn FnMut(&[u8])) -> io::Result<Look> {
        let position = &mut self.position;
        match &mut self.content {
            Content::Plain(file) => {
                let meta = file.metadata()?;
                self.size = meta.size();
                if self.size < position.offset {
                    return Ok(Look::Truncated);
                }
                let now = (meta.size(), meta.mtime(), meta.mtime_nsec());
                if self.seen == Some(now) {
                    return Ok(Look::End);
                }
                buffer.resize(CHUNK, 0);
                let read = read_at(file, buffer, position.offset)?;
                let mut head = [0; HEAD];
                let length = read_at(file, &mut head, 0)?;
                let print = &mut position.identity.print;
                if !print.fits(&head[..length]) {
                    return Ok(Look::Truncated);
                }
                if usize::from(print.length) < HEAD {
                    *print = Fingerprint::of(&head[..length]);
                }
                let counted = hand_over(&buffer[..read], position, lines);
                if counted == 0 {
                    self.seen = Some(now);
                    return Ok(Look::End);
                }
                position.modified = modified(&meta);
                Ok(Look::Read(counted))
            }
            Content::Compressed { decoder, pending, done } => {
                let before = pending.len();
                if !*done {
                    let read = decoder.by_ref().take((CHUNK - before.min(CHUNK)) as u64 + 1).read_to_end(pending)?;
                    *done = read == 0;
                }
                let counted = hand_over(pending, position, lines);
                position.modified = self.modified;
                pending.drain(..counted);
                self.size = position.offset + pending.len() as u64;
                Ok(if *done && counted == 0 { Look::End } else { Look::Read(counted) })
            }
        }
    }

    /// The end of a file that nobody writes any more: what stands there without a newline is a line as well.
    pub(super) fn last_line(&mut self, buffer: &mut Vec<u8>, lines: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let rest = match &mut self.content {
            Content::Plain(file) => {
                buffer.resize(CHUNK, 0);
                let read = read_at(file, buffer, self.position.offset)?;
                &buffer[..read]
            }
            Content::Compressed { pending, .. } => pending.as_slice(),
        };
        if !rest.is_empty() && !self.position.skipping {
            lines(rest);
        }
        self.position.offset += rest.len() as u64;
        Ok(())
    }

    /// Whether this file has the lines that were counted of `old`, which had its name before: it was replaced by a copy of
    /// itself, as editors, `sed -i` and rsync do. Then this is where to go on: after the same octets, or, where something was
    /// changed before them, after the last line that was counted.
    pub(super) fn continues(&self, old: &Self) -> Option<u64> {
        let (Content::Plain(new), Content::Plain(before)) = (&self.content, &old.content) else { return None };
        let offset = old.position.offset;
        if offset == 0 || self.size == 0 {
            return None;
        }
        let mut counted = vec![0; offset.min(ENDING) as usize];
        let begin = offset - counted.len() as u64;
        let length = read_at(before, &mut counted, begin).ok()?;
        if length < counted.len() {
            return None;
        }
        let mut same = vec![0; counted.len()];
        if self.size >= offset && read_at(new, &mut same, begin).ok()? == length && same == counted {
            return Some(offset);
        }
        // Removed lines move everything. What was counted last is looked for from the end: one line of it where the old file
        // has no name any more, since it was replaced. One that was renamed may be a rotation, and the new one may begin with
        // the line that ended it, so there more of it has to be the same.
        let replaced = before.metadata().is_ok_and(|meta| meta.nlink() == 0);
        let line = counted.strip_suffix(b"\n")?;
        let mut lines = memrchr_iter(b'\n', line).map(|newline| newline + 1);
        let begin = if replaced { lines.next().unwrap_or(0) } else { lines.nth(EVIDENCE - 1)? };
        let line = &counted[begin..];
        if line.len() < SIGNIFICANT {
            return None;
        }
        let begin = self.size.saturating_sub(SEARCHED);
        let mut text = vec![0; (self.size - begin) as usize];
        let read = read_at(new, &mut text, begin).ok()?;
        let at = memchr::memmem::rfind(&text[..read], line)?;
        (begin == 0 && at == 0 || at > 0 && text[at - 1] == b'\n').then_some(begin + (at + line.len()) as u64)
    }

    /// The last bytes, for the timestamp of the last line.
    pub(super) fn ending(&self) -> Vec<u8> {
        let Content::Plain(file) = &self.content else { return Vec::new() };
        let mut bytes = vec![0; 4_096];
        let start = self.size.saturating_sub(bytes.len() as u64);
        let read = read_at(file, &mut bytes, start).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }
}

/// Gives all complete lines in `bytes` to `lines` and moves the position behind them. Returns by how much.
pub(super) fn hand_over(bytes: &[u8], position: &mut Position, lines: &mut dyn FnMut(&[u8])) -> usize {
    let mut start = 0;
    if position.skipping {
        match memchr(b'\n', bytes) {
            Some(newline) => {
                start = newline + 1;
                position.skipping = false;
            }
            None => start = bytes.len(),
        }
    }
    let rest = &bytes[start..];
    let mut counted = start;
    match memrchr(b'\n', rest) {
        Some(newline) => {
            lines(&rest[..=newline]);
            counted += newline + 1;
        }
        None if rest.len() >= LONGEST => {
            lines(&rest[..LONGEST]);
            counted += rest.len();
            position.skipping = true;
        }
        None => {}
    }
    position.offset += counted as u64;
    counted
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Opens a regular file. Anything else, a FIFO above all, is refused before it can make anybody wait.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    regular(path, &fs::metadata(path)?)?;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    // It may have been replaced in between.
    regular(path, &meta)?;
    Ok((file, meta))
}

fn regular(path: &Path, meta: &Metadata) -> io::Result<()> {
    let kind = meta.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_dir() => "a directory",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    let text = format!("{} is {what}; only regular files are read as logs", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// The first KiB of a file's text.
pub(super) fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    // A reader of its own: the caller's position must not move.
    if let Some(text) = compressed::reader(file)? {
        bytes.clear();
        text.take(HEAD as u64).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let read = read_at(file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
