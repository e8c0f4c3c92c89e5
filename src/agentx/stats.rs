//! What the link counts and the state it is in, for whoever wants to show them.

use crate::smi::Epoch;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// Counters since start and the present state. Cheap to update, read from any thread; the `Arc`s may be served as they are.
#[derive(Debug, Default)]
pub struct Stats {
    /// Sessions a master opened for us.
    pub connects: Arc<AtomicU64>,
    /// Get, GetNext, GetBulk and SET family PDUs received.
    pub requests: Arc<AtomicU64>,
    /// PDUs from the master that could not be read.
    pub decode_errors: Arc<AtomicU64>,
    /// Notifications the master confirmed.
    pub notifications_sent: Arc<AtomicU64>,
    /// Notifications given up: queue full, refused by the master, or never answered.
    pub notifications_dropped: Arc<AtomicU64>,
    /// When the master of the present session began.
    pub epoch: Epoch,
    status: watch::Sender<Status>,
}

impl Stats {
    /// The state the link is in now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The same, to wait for.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn set(&self, status: Status) {
        self.status.send_if_modified(|old| {
            let new = *old != status;
            *old = status;
            new
        });
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the link is doing. `Display` is a sentence for people, with the remedy where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Not connected yet, nothing failed yet.
    #[default]
    Starting,
    /// No master; it is tried again for ever. Why, and what to do.
    Disconnected(String),
    /// A session is open at this address, its regions are on their way.
    Open(String),
    /// Connected, but the master refused at least one region; it is tried again for ever.
    Refused {
        /// Somebody else has it.
        duplicate: bool,
        /// Why, and what to do.
        why: String,
    },
    /// Everything is registered; the address.
    Registered(String),
    /// Closed in an orderly way.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => write!(f, "starting"),
            Self::Disconnected(why) => write!(f, "not connected: {why}"),
            Self::Open(address) => write!(f, "connected to {address}, registering"),
            Self::Refused { why, .. } => write!(f, "not registered: {why}"),
            Self::Registered(address) => write!(f, "registered at {address}"),
            Self::Stopped => write!(f, "stopped"),
        }
    }
}
