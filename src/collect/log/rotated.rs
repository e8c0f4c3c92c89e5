//! The rotated files of a log, and the memory of those that need not be read.
//!
//! Two things keep history from being counted again, and each of them alone is enough while the clock is right. A file that
//! was written last before the log was read last is history: it is not even opened. And every file that was in the directory
//! is remembered for as long as it is there, by inode and by the checksum of its head, so that a clock that goes back does
//! not make history look new. What appeared since and is older than its own directory entry was copied there (a restored
//! backup), and is history too.

use super::tail::{Fingerprint, Identity, Position, head, modified, open};
use crate::compressed;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The most rotated files of one log that are looked at and remembered; of more, the newest. 20,000 are two years of hours.
const MOST: usize = 65_536;
/// Of this many rotated files, the newest, the heads are read when a log is begun; opening more would keep a slow disk busy
/// for minutes. Older ones are known by inode, size and time.
const HEADS: usize = 1_024;
/// A remembered file that was missing in this many lists of its directory is forgotten: a list that was made while
/// logrotate renamed the files may miss some.
const MISSING: u8 = 8;

/// Seconds and nanoseconds since 1970.
pub(super) type Time = (i64, i64);

/// A file next to the log whose name begins as the log's does.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    /// Under which name.
    pub path: PathBuf,
    /// When it was written last.
    pub modified: Time,
    /// When its inode was changed last, as by renaming; no tool can set it.
    changed: Time,
    /// Device and inode.
    inode: (u64, u64),
    /// In octets, as it is on disk.
    pub size: u64,
    /// Named as rotated logs are.
    pub rotation: bool,
}

impl Sibling {
    fn new(path: PathBuf, meta: &Metadata, rotation: bool) -> Self {
        Self {
            path,
            modified: modified(meta),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: (meta.dev(), meta.ino()),
            size: meta.size(),
            rotation,
        }
    }

    /// Opens it: what tells it from others.
    pub(super) fn look(&self) -> io::Result<Head> {
        let (file, meta) = open(&self.path)?;
        Ok(Head { head: head(&file)?, meta })
    }

    /// Whether it has as much as was read; of compressed ones opening tells.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        compressed::is_named(&self.path) || self.size >= offset
    }

    /// Whether it is this inode.
    pub(super) fn is_inode(&self, identity: &Identity) -> bool {
        identity.inode() == self.inode
    }
}

/// The head of a file that was opened.
pub(super) struct Head {
    pub meta: Metadata,
    /// The first KiB of its text.
    pub head: Vec<u8>,
}

/// The rotated files of `log`, oldest first, in its directory, in those that logrotate's `olddir` names, and, where it is a
/// symbolic link, in that of what it names. Their heads were not looked at.
pub(super) fn siblings(log: &Path, olddir: &[PathBuf]) -> io::Result<Vec<Sibling>> {
    let mut files = Vec::new();
    list(log, &mut files)?;
    if let (Some(directory), Some(name)) = (log.parent(), log.file_name()) {
        // As in logrotate's configuration they may be told from the log's own directory.
        olddir.iter().try_for_each(|old| list(&directory.join(old).join(name), &mut files))?;
    }
    if let Ok(link) = fs::read_link(log) {
        // While the log is renamed and not yet created the link leads nowhere.
        let target = log.parent().map_or_else(|| link.clone(), |directory| directory.join(&link));
        list(&fs::canonicalize(log).unwrap_or(target), &mut files)?;
    }
    // Of a file and its compressed self the plain one first.
    files.sort_by(|a, b| {
        a.modified.cmp(&b.modified).then(compressed::is_named(&a.path).cmp(&compressed::is_named(&b.path)))
    });
    if files.len() > MOST {
        files.drain(..files.len() - MOST);
    }
    Ok(files)
}

fn list(log: &Path, files: &mut Vec<Sibling>) -> io::Result<()> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|n| n.to_str())) else {
        return Ok(());
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", directory.display()));
    for entry in fs::read_dir(directory).map_err(named)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(rotation) = file_name.to_str().and_then(|file| kind(name, file)) else { continue };
        let path = entry.path();
        // It may have been renamed since; only regular files are logs.
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => files.push(Sibling::new(path, &meta, rotation)),
            _ => {}
        }
    }
    Ok(())
}

/// Whether `file` is a rotation of the log called `name` (`Some(true)`), may be what was being read under a new name
/// (`Some(false)`), or neither.
fn kind(name: &str, file: &str) -> Option<bool> {
    if let Some(suffix) = file.strip_prefix(name) {
        let rotation = is_rotation(suffix);
        // What was being read is found under any name that begins with the log's: `mail.log.old`.
        return (rotation || suffix.starts_with(['.', '-', '_', '~'])).then_some(rotation);
    }
    // logrotate's `extension .log`: mail-20240102.log, mail.1.log.gz.
    let (stem, extension) = name.rsplit_once('.')?;
    let middle = file.strip_prefix(stem)?;
    let middle = compressed::stem(middle).unwrap_or(middle);
    let middle = middle.strip_suffix(extension)?.strip_suffix('.')?;
    is_rotation(middle).then_some(true)
}

/// `.1`, `.2.gz`, `-20240102`, `.20240102-030405.gz`: what follows the log's name is made of digits.
fn is_rotation(suffix: &str) -> bool {
    let Some(rest) = suffix.strip_prefix(['.', '-', '_']) else { return false };
    let rest = compressed::stem(rest).unwrap_or(rest);
    rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | '_' | ':' | 'T' | 'Z' | '+'))
}

/// A file that is history, or was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
struct Remembered {
    identity: Identity,
    /// 0 and (0, 0) where an older agent remembered only the identity.
    size: u64,
    modified: Time,
    /// Lists of the directory in which it was missing.
    missing: u8,
}

/// Device, inode, octets, mtime in seconds and nanoseconds, length and checksum of the head: there may be many of them.
type Packed = (u64, u64, u64, i64, i64, u16, u32);

impl From<Packed> for Remembered {
    fn from((dev, ino, size, seconds, nanoseconds, length, sum): Packed) -> Self {
        let identity = Identity::from_parts((dev, ino), Fingerprint { length, sum });
        Self { identity, size, modified: (seconds, nanoseconds), missing: 0 }
    }
}

impl From<Remembered> for Packed {
    fn from(file: Remembered) -> Self {
        let ((dev, ino), Fingerprint { length, sum }) = (file.identity.inode(), file.identity.print);
        (dev, ino, file.size, file.modified.0, file.modified.1, length, sum)
    }
}

/// What is remembered: as long as the directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    files: Vec<Remembered>,
    by_inode: FxHashMap<(u64, u64), usize>,
    by_print: FxHashSet<(u16, u32)>,
    /// All that was in the directory at the last look is here.
    complete: bool,
}

/// [`Memory`] as it is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SavedMemory {
    files: Vec<Remembered>,
    complete: bool,
}

#[cfg(test)]
impl SavedMemory {
    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

/// What the memory says of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    /// The inode is known, and the file was changed since: its head decides.
    Perhaps,
    No,
}

impl Memory {
    /// As it was saved.
    pub(super) fn load(saved: SavedMemory) -> Self {
        let mut memory = Self { complete: saved.complete, ..Self::default() };
        saved.files.into_iter().for_each(|file| memory.push(file));
        memory
    }

    /// What must be saved.
    pub(super) fn save(&self) -> SavedMemory {
        SavedMemory { files: self.files.clone(), complete: self.complete }
    }

    /// Remembers what an agent before 0.2 had read; there is no more of it than identities.
    pub(super) fn migrate(&mut self, finished: Vec<Identity>) {
        for identity in finished {
            self.push(Remembered { identity, size: 0, modified: (0, 0), missing: 0 });
        }
    }

    fn push(&mut self, file: Remembered) {
        self.by_inode.insert(file.identity.inode(), self.files.len());
        if !file.identity.print.is_weak() {
            self.by_print.insert(file.identity.print.key());
        }
        self.files.push(file);
    }

    /// A file that was read to its end.
    pub(super) fn finished(&mut self, position: &Position, meta: Option<&Metadata>) {
        // Nothing was in it, and its inode will be another file's.
        if position.identity.print.is_weak() {
            return;
        }
        let (size, modified) = meta.map_or((0, position.modified), |meta| (meta.size(), modified(meta)));
        self.push(Remembered { identity: position.identity, size, modified, missing: 0 });
    }

    /// The log itself is one of these inodes now: what had it before is gone.
    pub(super) fn reused(&mut self, inode: (u64, u64)) {
        if self.by_inode.contains_key(&inode)
            && self.files.iter().any(|f| f.identity.inode() == inode && f.identity.print.is_weak())
        {
            self.files.retain(|f| f.identity.inode() != inode || !f.identity.print.is_weak());
            self.index();
        }
    }

    /// All of these are history: a log is read for the first time.
    pub(super) fn begin(&mut self, files: &[Sibling]) {
        for (age, file) in files.iter().rev().enumerate() {
            let print = if age < HEADS {
                file.look().map(|h| Fingerprint::of(&h.head)).unwrap_or_default()
            } else {
                Fingerprint::default()
            };
            self.remember(file, print);
        }
        self.complete = files.len() < MOST;
    }

    fn remember(&mut self, file: &Sibling, print: Fingerprint) {
        let identity = Identity::from_parts(file.inode, print);
        self.push(Remembered { identity, size: file.size, modified: file.modified, missing: 0 });
    }

    fn by_stat(&self, file: &Sibling) -> Known {
        let known = self.by_inode.get(&file.inode).and_then(|at| self.files.get(*at));
        match known {
            Some(known) if known.modified == file.modified => Known::Yes,
            // Touched: the same octets are the same file.
            Some(known) if known.identity.print.is_weak() && known.size == file.size => Known::Yes,
            Some(_) => Known::Perhaps,
            None => Known::No,
        }
    }

    /// Of the files now in the directory those that came after `floor`, oldest first, with their heads: not known, not empty,
    /// not history. Everything else that is there is remembered, and what is there no longer forgotten.
    ///
    /// `floor` is when the file that was read last was written last.
    pub(super) fn unknown(&mut self, files: &[Sibling], floor: Time) -> Vec<(Sibling, io::Result<Head>)> {
        let mut seen: FxHashSet<(u64, u64)> = FxHashSet::default();
        let mut prints: FxHashSet<(u16, u32)> = FxHashSet::default();
        let mut unknown = Vec::new();
        for file in files.iter().filter(|f| f.rotation) {
            let stat = self.by_stat(file);
            if !seen.insert(file.inode) || stat == Known::Yes {
                continue;
            }
            // Tools that compress or copy keep the time, some of them in whole seconds.
            let old = file.modified.0 < floor.0;
            // Its name was made before `floor` too, and yet it was not there then: the clock went back.
            let clock = self.complete && file.changed.0 < floor.0 && !self.has_time(file.modified);
            if old && !clock {
                self.remember(file, Fingerprint::default());
                continue;
            }
            let look = file.look();
            if let Ok(look) = &look {
                let print = Fingerprint::of(&look.head);
                // An empty one may be filled yet.
                if print.is_weak() {
                    continue;
                }
                prints.insert(print.key());
                let grown = stat == Known::Perhaps && {
                    let known = self.by_inode.get(&file.inode).and_then(|at| self.files.get(*at));
                    known.is_some_and(|k| !k.identity.print.is_weak() && k.identity.print.fits(&look.head))
                };
                if grown || self.by_print.contains(&print.key()) {
                    self.remember(file, print);
                    continue;
                }
            }
            unknown.push((file.clone(), look));
        }
        self.forget(&seen, &prints);
        self.complete = files.len() < MOST;
        unknown
    }

    /// A file that could not be read and is given up.
    pub(super) fn given_up(&mut self, file: &Sibling) {
        self.remember(file, Fingerprint::default());
    }

    /// Whether a file that was written last at this time is known: what compresses a file keeps its time.
    pub(super) fn has_time(&self, time: Time) -> bool {
        self.files.iter().any(|f| f.modified == time || f.modified.0 == time.0 && time.1 == 0)
    }

    /// Forgets what has long not been seen, and what was remembered twice.
    fn forget(&mut self, seen: &FxHashSet<(u64, u64)>, prints: &FxHashSet<(u16, u32)>) {
        let newest = std::mem::take(&mut self.by_inode);
        let mut at = 0;
        self.files.retain_mut(|file| {
            let (inode, print) = (file.identity.inode(), file.identity.print);
            let current = newest.get(&inode) == Some(&at);
            at += 1;
            let there = current && seen.contains(&inode) || prints.contains(&print.key());
            file.missing = if there { 0 } else { file.missing.saturating_add(1) };
            file.missing < MISSING
        });
        self.index();
    }

    fn index(&mut self) {
        let files = std::mem::take(&mut self.files);
        (self.by_inode, self.by_print) = Default::default();
        files.into_iter().for_each(|file| self.push(file));
    }
}
