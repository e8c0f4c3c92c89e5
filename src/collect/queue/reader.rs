//! One instance's queue, by whichever source gives it.

use super::{
    domains::Wanted,
    listing::Listing,
    snapshot::Snapshot,
    spool::{Spool, SpoolError},
    tables::Space,
};
use crate::{
    advice,
    collect::instance::Instance,
    config::QueueSource,
    postfix::{
        master::{Locks, Master},
        showq::{Patience, ShowqError},
    },
};
use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

/// Of a queue with more files the envelopes are shown before the defer logs are read.
const SMALL: usize = 20_000;

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("{}", advised(.0))]
    Showq(#[from] ShowqError),
}

/// Where showq's socket may not be used: what gives the agent the group of the directory it is in (setgid_group).
fn advised(error: &ShowqError) -> String {
    let ShowqError::Denied(socket) = error else { return error.to_string() };
    let directory = socket.parent().unwrap_or(socket);
    let group = fs::metadata(directory).ok().and_then(|meta| advice::harmless_group(meta.gid()));
    let commands = group.map(|group| advice::join(&group)).unwrap_or_default();
    advice::advise(error, &commands)
}

impl ReadError {
    /// Whether the last values would mislead from now on: with Postfix stopped, nobody can say what waits.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Showq(ShowqError::Stopped(_)))
    }

    /// Whether looking cost nobody anything: nothing was there to look at, or nobody answered.
    pub(super) fn was_cheap(&self) -> bool {
        match self {
            Self::Spool(e) => !matches!(e, SpoolError::Io { .. }),
            Self::Showq(e) => matches!(
                e,
                ShowqError::Stopped(_)
                    | ShowqError::NotServed(_)
                    | ShowqError::Missing(_)
                    | ShowqError::Denied(_)
                    | ShowqError::Connect { .. }
            ),
        }
    }

    /// Of the time it took, what was spent waiting.
    pub(super) fn waited(&self) -> Duration {
        match self {
            Self::Showq(ShowqError::Stalled(silence)) => *silence,
            _ => Duration::ZERO,
        }
    }
}

/// What came of an attempt.
pub(super) struct Reading {
    pub(super) result: Result<(&'static str, Snapshot), ReadError>,
    pub(super) space: Option<Space>,
    /// Whether it was about building an index, which is exempt from pacing.
    pub(super) building: bool,
    /// Whether more is to be read at once.
    pub(super) unfinished: bool,
}

/// Reads one instance's queue again and again.
pub(super) struct Reader {
    instance: Arc<Instance>,
    wanted: Wanted,
    spool: Option<Spool>,
    listing: Listing,
    /// Whether the current reading is about building the index.
    building: bool,
}

impl Reader {
    pub(super) fn new(instance: Arc<Instance>, wanted: Wanted) -> Self {
        Self { instance, wanted, spool: None, listing: Listing::default(), building: false }
    }

    /// Goes on for an instance with the same queue, whose parameters were read anew.
    pub(super) fn follow(mut self: Box<Self>, instance: &Arc<Instance>) -> Box<Self> {
        if defer_depth(instance) != defer_depth(&self.instance) {
            self.spool = None;
        }
        self.instance = instance.clone();
        self
    }

    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    pub(super) fn read(&mut self) -> Reading {
        let source = self.instance.settings.queue.source;
        let result = match source {
            QueueSource::Spool => self.spool(),
            QueueSource::Showq => self.showq(),
            QueueSource::Auto => match self.spool() {
                Err(ReadError::Spool(SpoolError::Denied(_))) => {
                    self.spool = None;
                    self.showq()
                }
                // The directories are open to us, the files are not.
                Ok(closed) if self.spool.as_ref().is_some_and(Spool::is_closed) => self.showq().or(Ok(closed)),
                // A container may have been given nothing but the socket.
                Err(missing @ ReadError::Spool(SpoolError::Missing(_))) => self.showq().map_err(|_| missing),
                other => other,
            },
        };
        let by_spool = self.spool.as_ref().filter(|_| matches!(result, Ok(("spool", _))));
        let unfinished = by_spool.is_some_and(Spool::is_unfinished);
        let building = by_spool.is_some() && std::mem::take(&mut self.building);
        if let Ok((_, snapshot)) = &result {
            self.wanted.domains.remember(&snapshot.backlog);
            self.wanted.senders.remember(&snapshot.senders);
        }
        Reading { result, space: space(&self.instance.queue_directory), building, unfinished }
    }

    fn spool(&mut self) -> Result<(&'static str, Snapshot), ReadError> {
        let delay = self.instance.duration("queue_run_delay").unwrap_or(Duration::from_secs(300));
        let depth = defer_depth(&self.instance);
        let spool = self.spool.get_or_insert_with(|| Spool::new(&self.instance.queue_directory, depth));
        self.building = spool.is_unfinished();
        let mut snapshot = spool.read(&self.wanted, delay)?;
        self.building |= spool.was_built();
        // A small queue is shown as a whole.
        if spool.was_built() && spool.is_unfinished() && spool.files() <= SMALL {
            snapshot = spool.read(&self.wanted, delay)?;
        }
        Ok(("spool", snapshot))
    }

    fn showq(&mut self) -> Result<(&'static str, Snapshot), ReadError> {
        let directory = &self.instance.queue_directory;
        match self.listing.read(directory, &self.wanted, Patience::default()) {
            Ok(snapshot) => Ok(("showq", snapshot)),
            // Its master's lock is the other witness.
            Err(ShowqError::Stopped(socket)) if matches!(Locks::read().master(directory, None), Master::Running(_)) => {
                Err(ShowqError::NotServed(socket).into())
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// How deep the defer queue is hashed.
fn defer_depth(instance: &Instance) -> usize {
    let hashed = instance.parameter("hash_queue_names").unwrap_or("deferred, defer");
    let depth = instance.number("hash_queue_depth").unwrap_or(1);
    // As Postfix compares them (mail_queue_dir).
    match hashed.split([',', ' ', '\t']).any(|name| name.eq_ignore_ascii_case("defer")) {
        true => usize::try_from(depth.min(16)).unwrap_or(1),
        false => 0,
    }
}

/// The spool's file system. Path traversal suffices.
fn space(queue_directory: &Path) -> Option<Space> {
    let fs = rustix::fs::statvfs(queue_directory).ok()?;
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    // What root keeps for itself is not Postfix's.
    let used = fs.f_blocks.saturating_sub(fs.f_bfree).saturating_mul(fs.f_frsize);
    // btrfs and others make inodes as they go and say 0.
    let inodes = (fs.f_files > 0).then_some(fs.f_favail);
    Some(Space { free, size: used.saturating_add(free), inodes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::instance::made_up::instance;

    #[test]
    fn names_of_hashed_queues_are_compared_as_postfix_does() {
        let depth = |names: &str| {
            defer_depth(&instance(Path::new("/q"), &[("hash_queue_names", names), ("hash_queue_depth", "2")]))
        };
        assert_eq!(["deferred, defer", "Deferred, Defer", "DEFER", "incoming\tdefer"].map(depth), [2; 4]);
        assert_eq!(["deferred", "deferring"].map(depth), [0; 2]);
    }
}
