//! Files of one directory, looked at many at a time.
//!
//! In the order of their inodes: a listing comes in the order of hashes, and a disk that has to be asked for each of a
//! million files in that order takes minutes longer. By several threads, so that a disk has more than one thing to do at a
//! time and an idle CPU is of use; all but the first run at the lowest priority, always.

use super::{
    entry::{self, Entry},
    file::{Look, Place, Tools},
    lower_priority,
};
use crate::postfix::queue::QueueKind;
use rustix::fd::OwnedFd;
use std::{
    ffi::CStr,
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// So many are looked at together, in about 1 MiB.
const MOST: usize = 1 << 15;
/// A thread takes so many at a time: neighbours on the disk, and no thread is left with the rest.
const SHARE: usize = 64;
/// For fewer another thread is not worth its start.
const WORTH: usize = 512;

#[derive(Default)]
pub(super) struct Batch {
    /// Inode, and where the name begins.
    files: Vec<(u64, u32)>,
    /// Each ends with a NUL.
    names: Vec<u8>,
    /// Whether files that are not known are left alone.
    known_only: bool,
}

/// What looking at them gave. Places are those in the directory's entries.
#[derive(Default)]
pub(super) struct Looks {
    pub(super) same: Vec<u32>,
    pub(super) changed: Vec<(u32, Entry)>,
    pub(super) new: Vec<Entry>,
    pub(super) foreign: u64,
}

impl Batch {
    pub(super) fn of_known() -> Self {
        Self { known_only: true, ..Self::default() }
    }

    /// Says whether it is time to look at them.
    pub(super) fn add(&mut self, inode: u64, name: &CStr) -> bool {
        self.files.push((inode, self.names.len() as u32));
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.files.len() >= MOST
    }

    /// Looks at those that are in `entries`, reads the others, and forgets the names. What was seen before an error stands.
    pub(super) fn look(
        &mut self,
        kind: QueueKind,
        directory: &OwnedFd,
        entries: &[Entry],
        at: Place<'_>,
        tools: &mut Tools,
    ) -> (Looks, rustix::io::Result<()>) {
        self.files.sort_unstable();
        let next = AtomicUsize::new(0);
        let work = |looks: &mut Looks, tools: &mut Tools| loop {
            let from = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(files) = self.files.get(from..).filter(|files| !files.is_empty()) else { return Ok(()) };
            for &(inode, start) in &files[..files.len().min(SHARE)] {
                let name = self.names.get(start as usize..).and_then(|n| CStr::from_bytes_until_nul(n).ok());
                let Some(name) = name else { continue };
                let key = entry::key(inode, name.to_bytes());
                let place = entry::find(entries, key);
                let look = match place {
                    None if self.known_only => continue,
                    Some(place) => at.look(kind, directory, name, &entries[place], tools),
                    None => at.read(kind, directory, name, key, tools),
                };
                match (look?, place) {
                    (Look::Changed(new), Some(place)) => looks.changed.push((place as u32, new)),
                    (Look::Changed(new), None) => looks.new.push(new),
                    (Look::Same, place) => looks.same.extend(place.map(|place| place as u32)),
                    (Look::Foreign, _) => looks.foreign += 1,
                    (Look::Gone, _) => {}
                }
            }
        };
        let helper = || {
            lower_priority();
            let mut looks = Looks::default();
            let result = work(&mut looks, &mut Tools::default());
            (looks, result)
        };
        let (looks, result) = thread::scope(|scope| {
            let start = || thread::Builder::new().name("queue-reader".into()).spawn_scoped(scope, helper);
            // Where no thread can be had, the others do its share.
            let helpers: Vec<_> = (1..at.threads.min(self.files.len() / WORTH)).map_while(|_| start().ok()).collect();
            let mut looks = Looks::default();
            let mut result = work(&mut looks, tools);
            for helper in helpers {
                let (theirs, ended) = helper.join().unwrap_or_else(|panic| resume_unwind(panic));
                looks.same.extend(theirs.same);
                looks.changed.extend(theirs.changed);
                looks.new.extend(theirs.new);
                looks.foreign += theirs.foreign;
                result = result.and(ended);
            }
            (looks, result)
        });
        self.files.clear();
        self.names.clear();
        (looks, result)
    }
}
