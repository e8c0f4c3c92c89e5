//! Files not seen before, of one directory.
//!
//! They are read in the order of their inodes: a listing comes in the order of hashes, and a disk that has to be asked for
//! each of a million files in that order takes minutes longer. While an index is built, several threads read them, so that
//! a disk has more than one thing to do at a time and an idle CPU is of use.

use super::{
    directory::Listed,
    entry,
    file::{Look, Place, Tools},
};
use crate::postfix::queue::QueueKind;
use rustix::fd::OwnedFd;
use std::{
    ffi::CStr,
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// So many are read at once, in about 1 MiB.
const MOST: usize = 1 << 15;
/// A thread takes so many at a time: neighbours on the disk, and no thread is left with the rest.
const SHARE: usize = 64;

#[derive(Default)]
pub(super) struct Fresh {
    /// Inode, and where the name begins.
    files: Vec<(u64, u32)>,
    /// Each ends with a NUL.
    names: Vec<u8>,
}

impl Fresh {
    /// Says whether it is time to read them.
    pub(super) fn add(&mut self, inode: u64, name: &CStr) -> bool {
        self.files.push((inode, self.names.len() as u32));
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.files.len() >= MOST
    }

    /// Reads and forgets them.
    pub(super) fn read(
        &mut self,
        kind: QueueKind,
        directory: &OwnedFd,
        at: Place<'_>,
        tools: &mut Tools,
        threads: usize,
        found: &mut Listed,
    ) -> rustix::io::Result<()> {
        self.files.sort_unstable();
        let next = AtomicUsize::new(0);
        let work = |found: &mut Listed, tools: &mut Tools| loop {
            let from = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(files) = self.files.get(from..).filter(|files| !files.is_empty()) else { return Ok(()) };
            for &(inode, start) in &files[..files.len().min(SHARE)] {
                let name = self.names.get(start as usize..).and_then(|n| CStr::from_bytes_until_nul(n).ok());
                let Some(name) = name else { continue };
                match at.read(kind, directory, name, entry::key(inode, name.to_bytes()), tools)? {
                    Look::Changed(new) => found.new.push(new),
                    Look::Foreign => found.foreign += 1,
                    Look::Same | Look::Gone => {}
                }
            }
        };
        let helper = || {
            let mut found = Listed::default();
            let result = work(&mut found, &mut Tools::default());
            (found, result)
        };
        let result = thread::scope(|scope| {
            let start = || thread::Builder::new().name("queue-reader".into()).spawn_scoped(scope, helper);
            // Where no thread can be had, the others do its share.
            let helpers: Vec<_> = (1..threads.min(self.files.len() / SHARE)).map_while(|_| start().ok()).collect();
            let mut result = work(found, tools);
            for helper in helpers {
                let (other, ended) = helper.join().unwrap_or_else(|panic| resume_unwind(panic));
                found.new.extend(other.new);
                found.foreign += other.foreign;
                result = result.and(ended);
            }
            result
        });
        self.files.clear();
        self.names.clear();
        result
    }
}
