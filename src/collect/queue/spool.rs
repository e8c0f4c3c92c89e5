//! The queue as its directories show it: an index of every queue file, kept up to date for the price of a few stat(2).
//!
//! A file is opened once, for its envelope, and again when its ctime moved: a delivery attempt marks recipients as done in
//! place and comes back with another ctime. A directory whose mtime stands still is not listed again, since nothing
//! entered or left it; `postsuper -e` (mode) and `postqueue -i` (mtime) change files without it, so its files are lstat'ed
//! in a rotating sweep, all within ten minutes. Counts are exact at each reading; what is derived from modes and retry times
//! of files at rest is at most that old.
//!
//! The first build reads the envelopes only, and shows what they say. The defer logs, which are as many files again, are
//! read by the readings that follow at once; until then the reasons are unknown.
//!
//! incoming, active and maildrop are listed every time: they are small or busy, and a file there becomes a message (0600 →
//! 0700) or loses recipients without its directory noticing.
//!
//! Mail moves while it is counted: from one directory that was listed already into another one that was as well, and it
//! would be missing, or the other way round, and it would count twice. So when all have been listed the directories that
//! changed meanwhile, or changed so lately that their time stamps may not show it, are listed again, names only, until all
//! are as they were: then they were so at one moment, that between the two rounds. Where that moment does not come for half
//! a second what is in two directories counts where it was found last, and what left one during the last round and is in
//! none counts once more: it was there a few milliseconds ago, and may be on its way. Such a sum may never have been true;
//! the snapshot says so, and the collector reads again before it shows another one.
//!
//! Nothing here writes, locks or follows a symbolic link. A file that vanished is normal.

mod batch;
mod directory;
mod entry;
mod file;
mod sums;
#[cfg(test)]
mod tests;

use super::{
    domains::Wanted,
    snapshot::{Clock, Snapshot},
};
use crate::postfix::{access, queue::QueueKind};
use directory::{Directory, Hands};
use entry::{Entry, flag};
use file::{Place, Store};
use rustc_hash::{FxHashMap, FxHashSet};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Mode, OFlags, openat, statat},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use sums::Sums;

/// All files are looked at again within so long: ten minutes less a refresh.
const SWEEP: Duration = Duration::from_secs(565);
/// So many defer logs are read at a reading while some are due.
const LOGS: usize = 1 << 17;
/// For so long are directories that change listed again.
const ROUNDS_TIME: Duration = Duration::from_millis(500);
/// The pause between two rounds while mail moves: it begins and ends with so much.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);
/// An mtime this young may stand still although the directory changes again: time stamps are coarse.
const YOUNG: i64 = 2;
/// So many threads build an index. More than small hosts have CPUs to spare: where the files have to come from a disk they
/// wait for it, and a disk serves several requests in the time of one.
const BUILDERS: usize = 4;
/// So many threads look at the files of an index that stands.
const READERS: usize = 2;
/// Deepest hash_queue_depth Postfix knows (MAX_DIR_DEPTH is 16).
const DEPTH: usize = 16;

/// Why the spool gives no numbers.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    /// Not allowed to read.
    #[error("{}: permission denied; {}", .0.display(), access::WAYS)]
    Denied(PathBuf),
    /// No queue there: not mounted, or another path.
    #[error("{}: no such directory; is the spool mounted, and queue_directory right?", .0.display())]
    Missing(PathBuf),
    /// The file system fails.
    #[error("{path}: {source}; look at the kernel's log for the file system")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Which directories are listed.
#[derive(Clone, Copy)]
enum Round {
    /// Those whose mtime cannot be trusted, is another one, or says little.
    First {
        /// Whether any can be trusted.
        trust: bool,
    },
    /// Those that changed since they were listed; names only.
    Changed,
}

/// The index of one instance's spool.
pub(super) struct Spool {
    root: PathBuf,
    /// By path below the root (`deferred/A`).
    directories: BTreeMap<Vec<u8>, Directory>,
    store: Mutex<Store>,
    /// Device and inode of the root: another file system there is another spool.
    identity: Option<(u64, u64)>,
    /// How deep the directories of defer logs are hashed.
    defer_depth: usize,
    last: Option<Instant>,
    /// Whether the last reading built the index from nothing.
    built: bool,
    hands: Hands,
    /// What left a directory in the last round of listing, and is in none. Held until the next reading.
    on_its_way: Vec<(QueueKind, Entry)>,
    /// Whether all directories were seen as they were at one moment.
    at_rest: bool,
}

impl Spool {
    pub(super) fn new(queue_directory: &Path, defer_depth: usize) -> Self {
        Self {
            root: queue_directory.to_owned(),
            directories: BTreeMap::new(),
            store: Mutex::default(),
            identity: None,
            defer_depth,
            last: None,
            built: false,
            hands: Hands::default(),
            on_its_way: Vec::new(),
            at_rest: false,
        }
    }

    /// Whether the last reading built the index from nothing.
    pub(super) fn was_built(&self) -> bool {
        self.built
    }

    /// Whether the index is not complete yet: defer logs are still to be read.
    pub(super) fn is_unfinished(&self) -> bool {
        self.directories.values().any(|d| d.due)
    }

    /// Whether there is mail, and none of it can be opened: then we have no right to, and it is not about single files.
    pub(super) fn is_closed(&self) -> bool {
        let mail = self.directories.values().filter(|d| d.kind.is_mail() && d.kind != QueueKind::Maildrop);
        let mut messages = mail.flat_map(|d| &d.entries).filter(|entry| entry.has(flag::MESSAGE)).peekable();
        messages.peek().is_some() && messages.all(|entry| entry.has(flag::UNREADABLE))
    }

    /// How many files it knows.
    pub(super) fn files(&self) -> usize {
        self.directories.values().map(|d| d.entries.len()).sum()
    }

    /// Brings the index up to date and sums it up.
    pub(super) fn read(&mut self, wanted: &Wanted, queue_run_delay: Duration) -> Result<Snapshot, SpoolError> {
        let result = self.update().map(|()| self.sum_up(wanted, queue_run_delay));
        if result.is_err() {
            // What was half done is not to be trusted; a directory listed anew costs little against a wrong number.
            for directory in self.directories.values_mut() {
                directory.distrust();
            }
        }
        result
    }

    fn update(&mut self) -> Result<(), SpoolError> {
        let begun = Instant::now();
        let root = openat(CWD, &self.root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| self.error(b"", e))?;
        let stat = rustix::fs::fstat(&root).map_err(|e| self.error(b"", e))?;
        let identity = Some((stat.st_dev, stat.st_ino));
        if self.identity != identity {
            *self = Self { identity, ..Self::new(&self.root, self.defer_depth) };
        }
        self.built = self.last.is_none();
        if self.built || self.is_unfinished() {
            lower_priority();
        }
        let trust = !on_network(&root);
        let now = Clock::now().wall;
        self.forget_left();
        self.round(&root, Round::First { trust }, now)?;
        self.come_to_rest(&root, now)?;
        self.sweep(&root, begun)?;
        self.last = Some(begun);
        Ok(())
    }

    /// Visits every directory once; says whether any is another than it was.
    fn round(&mut self, root: &OwnedFd, round: Round, now: i64) -> Result<bool, SpoolError> {
        let mut changed = false;
        for kind in QueueKind::ALL {
            let mut paths = vec![kind.name().as_bytes().to_vec()];
            while let Some(path) = paths.pop() {
                changed |= self.visit(root, kind, path, &mut paths, round, now)?;
            }
        }
        Ok(changed)
    }

    /// Lists what changed while the others were listed, until nothing did.
    fn come_to_rest(&mut self, root: &OwnedFd, now: i64) -> Result<(), SpoolError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            // What left in the round before and came nowhere was delivered or deleted.
            self.forget_left();
            self.at_rest = !self.round(root, Round::Changed, now)?;
            if self.at_rest || begun.elapsed() >= ROUNDS_TIME {
                return Ok(());
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn forget_left(&mut self) {
        let extras = &mut store(&mut self.store).extras;
        self.on_its_way.drain(..).for_each(|(_, entry)| entry.release(extras));
    }

    /// Lists the directory at `path` if it may have changed, and pushes those below it; says whether it did change.
    fn visit(
        &mut self,
        root: &OwnedFd,
        kind: QueueKind,
        path: Vec<u8>,
        paths: &mut Vec<Vec<u8>>,
        round: Round,
        now: i64,
    ) -> Result<bool, SpoolError> {
        let mut changed = false;
        let stat = match statat(root, path.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return self.gone(kind, &path),
            Err(e) => return Err(self.error(&path, e)),
        };
        let busy = matches!(kind, QueueKind::Maildrop | QueueKind::Incoming | QueueKind::Active);
        let directory = self.directories.entry(path.clone()).or_insert_with(|| Directory::new(kind));
        let look = match round {
            Round::First { trust } => busy || !trust || directory.may_have_changed(&stat),
            Round::Changed => directory.has_changed(&stat) || directory.is_uncertain(),
        };
        if look {
            let fd = match open_directory(root, &path) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return self.gone(kind, &path),
                Err(e) => return Err(self.error(&path, e)),
            };
            let names_only = matches!(round, Round::Changed);
            let (logs, threads) = if self.built { (false, BUILDERS) } else { (true, READERS) };
            let (defer_depth, store) = (self.defer_depth, &self.store);
            let at = Place { root: root.as_fd(), defer_depth, store, logs, threads, names_only };
            changed = match directory.list(&fd, at, now, &mut self.hands, &mut self.on_its_way) {
                Ok(changed) => changed,
                Err(e) => return Err(self.error(&path, e)),
            };
        }
        let below = |child: u8| [&path, &b"/"[..], &[child]].concat();
        let children = directory.children.clone();
        if path.iter().filter(|b| **b == b'/').count() < DEPTH {
            paths.extend(children.iter().map(|c| below(*c)));
        }
        // A hash directory that was removed takes its entries along.
        let stale: Vec<Vec<u8>> = self
            .directories
            .range(below(0)..below(u8::MAX))
            .map(|(p, _)| p)
            .filter(|p| p.get(path.len() + 1).is_none_or(|c| !children.contains(c)))
            .cloned()
            .collect();
        for path in &stale {
            changed |= self.forget(path);
        }
        Ok(changed)
    }

    /// A directory is not there: nothing is in it, unless it is one no Postfix is without. Says whether that is news.
    fn gone(&mut self, kind: QueueKind, path: &[u8]) -> Result<bool, SpoolError> {
        if path == kind.name().as_bytes()
            && matches!(kind, QueueKind::Incoming | QueueKind::Active | QueueKind::Deferred)
        {
            return Err(SpoolError::Missing(self.root.join(kind.name())));
        }
        Ok(self.forget(path))
    }

    fn forget(&mut self, path: &[u8]) -> bool {
        let Some(directory) = self.directories.remove(path) else { return false };
        directory.release(&mut store(&mut self.store).extras);
        true
    }

    /// Looks again at so many files that all have been looked at within [`SWEEP`].
    fn sweep(&mut self, root: &OwnedFd, begun: Instant) -> Result<(), SpoolError> {
        let Some(last) = self.last else { return Ok(()) };
        let part = begun.saturating_duration_since(last).as_secs_f64() / SWEEP.as_secs_f64();
        let mut quota = (self.files() as f64 * part).ceil() as usize;
        let mut threads = READERS;
        if self.is_unfinished() {
            quota = quota.max(LOGS);
            threads = BUILDERS;
        }
        let mut order: Vec<(bool, Instant, Vec<u8>)> = self
            .directories
            .iter()
            .filter(|(_, d)| (d.due || d.looked_at.is_some_and(|at| at < last)) && !d.entries.is_empty())
            .filter_map(|(path, d)| Some((!d.due, d.looked_at?, path.clone())))
            .collect();
        order.sort_unstable();
        for (.., path) in order {
            if quota == 0 {
                break;
            }
            let fd = match open_directory(root, &path) {
                Ok(fd) => fd,
                // It will be missed at the next reading.
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(self.error(&path, e)),
            };
            let Some(directory) = self.directories.get_mut(&path) else { continue };
            let (defer_depth, store) = (self.defer_depth, &self.store);
            let at = Place { root: root.as_fd(), defer_depth, store, logs: true, threads, names_only: false };
            match directory.sweep(&fd, at, &mut self.hands, quota) {
                Ok(looked_at) => quota = quota.saturating_sub(looked_at),
                Err(e) => return Err(self.error(&path, e)),
            }
        }
        Ok(())
    }

    /// What is in two directories counts where it was found last; what left one and came into another is on its way no more.
    fn moved(&mut self) -> FxHashSet<(QueueKind, u64)> {
        let mut moved = FxHashSet::default();
        let mut found: FxHashMap<u64, (Option<Instant>, QueueKind)> = FxHashMap::default();
        // At rest nothing is in two directories but what somebody linked; the small queues are looked at all the same.
        let small = [QueueKind::Incoming, QueueKind::Active];
        let any = self.directories.values().any(|d| small.contains(&d.kind) && !d.entries.is_empty());
        if self.at_rest && !any {
            return moved;
        }
        for directory in self.directories.values() {
            let listed = directory.listed.map(|(at, _)| at);
            for entry in &directory.entries {
                let here = (listed, directory.kind);
                let Some(there) = found.insert(entry.key, here) else { continue };
                if there.1 != here.1 {
                    let (earlier, later) = if there <= here { (there, here) } else { (here, there) };
                    moved.insert((earlier.1, entry.key));
                    found.insert(entry.key, later);
                }
            }
        }
        let extras = &mut store(&mut self.store).extras;
        self.on_its_way.retain(|(_, entry)| {
            let lost = !found.contains_key(&entry.key);
            if !lost {
                entry.release(extras);
            }
            lost
        });
        moved
    }

    fn sum_up(&mut self, wanted: &Wanted, queue_run_delay: Duration) -> Snapshot {
        let moved = self.moved();
        let store = store(&mut self.store);
        let mut sums = Sums::new(store, queue_run_delay);
        let all = || {
            let there = self.directories.values().flat_map(|d| d.entries.iter().map(|entry| (d.kind, entry)));
            there.chain(self.on_its_way.iter().map(|(kind, entry)| (*kind, entry)))
        };
        let counts = |kind: QueueKind, entry: &Entry| moved.is_empty() || !moved.contains(&(kind, entry.key));
        for directory in self.directories.values() {
            sums.add_foreign(directory.kind, directory.foreign);
        }
        for (kind, entry) in all() {
            match counts(kind, entry) {
                true => sums.add(store, kind, entry),
                false => sums.keep(store, entry),
            }
        }
        let waiting = all().filter(|(kind, entry)| *kind == QueueKind::Deferred && counts(*kind, entry));
        let complete = !self.directories.values().any(|d| d.due);
        let mut snapshot = sums.finish(store, wanted, waiting.map(|(_, entry)| entry).filter(|_| complete));
        snapshot.settled = self.at_rest;
        if !complete {
            (snapshot.reasons, snapshot.why) = (None, None);
        }
        snapshot.swept = self.directories.values().filter(|d| !d.entries.is_empty()).filter_map(|d| d.looked_at).min();
        snapshot
    }

    fn error(&self, path: &[u8], error: Errno) -> SpoolError {
        use std::os::unix::ffi::OsStrExt;
        let path = match path {
            b"" => self.root.clone(),
            below => self.root.join(std::ffi::OsStr::from_bytes(below)),
        };
        match error {
            Errno::ACCESS | Errno::PERM => SpoolError::Denied(path),
            Errno::NOENT | Errno::NOTDIR => SpoolError::Missing(path),
            other => SpoolError::Io { path, source: other.into() },
        }
    }
}

/// For the thread that reads, and for those it starts, which end with the reading.
fn lower_priority() {
    // On Linux the priority is the thread's own. Where a sandbox refuses, the build is less polite and no less right.
    let _ = rustix::process::setpriority_process(None, 19);
}

fn store(store: &mut Mutex<Store>) -> &mut Store {
    store.get_mut().unwrap_or_else(PoisonError::into_inner)
}

fn open_directory(root: &OwnedFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let options = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(root, path, options | OFlags::NOATIME, Mode::empty()) {
        // Only owner and root may read without a trace.
        Err(Errno::PERM) => openat(root, path, options, Mode::empty()),
        other => other,
    }
}

/// Whether another host may change the directory behind our cache of its mtime.
fn on_network(root: &OwnedFd) -> bool {
    // From linux/magic.h: NFS, SMB, CIFS, SMB2, AFS, 9P, CEPH, CODA, GFS2, OCFS2, LUSTRE, FUSE.
    const MAGIC: [u32; 12] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x5346_414f,
        0x0102_1997,
        0x00c3_6400,
        0x7375_7245,
        0x0116_1970,
        0x7461_636f,
        0x0bd0_0bd0,
        0x6573_5546,
    ];
    rustix::fs::fstatfs(root).map_or(true, |fs| MAGIC.contains(&(fs.f_type as u32)))
}
