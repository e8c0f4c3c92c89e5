//! Collectors: one folder or file a subject, with its rows, tables, collector and tests together.
//!
//! A collector owns its tables and all its state, runs on a thread of its own at nice 10, reads with plain blocking calls,
//! publishes finished [`Fragment`](crate::mib::Fragment)s and reports to [`health`]. It never talks to snmpd, and a
//! collector that hangs harms only itself.

pub mod health;
pub mod instance;
pub mod log;
pub mod process;
pub mod queue;
pub mod registry;
pub mod runner;
pub mod services;
mod throttled;

pub use throttled::Throttled;

use crate::{
    config::Config,
    mib::{AnyTable, Publisher},
    state::StateDirectory,
};
use std::{sync::Arc, time::Duration};

/// Every table the agent serves.
pub fn catalogue() -> Vec<&'static dyn AnyTable> {
    [health::TABLES, instance::TABLES, log::TABLES, process::TABLES, queue::TABLES].concat()
}

/// What every collector works with.
#[derive(Clone)]
pub struct Context {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where tables go.
    pub publisher: Publisher,
    /// Where success and failure are reported.
    pub health: health::Health,
    /// The instances of this host, as last found.
    pub instances: instance::Instances,
    /// What must outlive the process.
    pub state: StateDirectory,
    /// Programs master has stopped starting: from the log, for the processes.
    pub throttled: Throttled,
    /// Which number an entry of master.cf has: from the processes, for the log.
    pub services: services::ServiceIndices,
}

impl Context {
    /// No instance is known yet.
    pub fn new(config: Arc<Config>, publisher: Publisher, health: health::Health, state: StateDirectory) -> Self {
        let (instances, throttled, services) = Default::default();
        Self { config, publisher, health, instances, state, throttled, services }
    }
}

/// What a collector wants after a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is not through yet: call again at once. What it published so far may be incomplete.
    Again,
    /// It is through; call again after so long.
    After(Duration),
}

/// One source of numbers.
pub trait Collector: Send {
    /// Name of its thread and tracing span; 15 characters at most, `ps -L` shows it.
    fn name(&self) -> &'static str;

    /// Reads the source, publishes, reports to health. Takes its time: it is the only one that waits. Where it works in
    /// pieces it returns [`Next::Again`] in between, so that a stop is noticed.
    fn refresh(&mut self) -> Next;

    /// Saves what must outlive the process. Called when the agent stops.
    fn finish(&mut self) {}
}
