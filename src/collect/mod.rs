//! Collectors: one folder or file a subject, with its rows, tables, collector and tests together.
//!
//! A collector owns its tables and all its state, runs on a thread of its own at nice 10, reads with plain blocking calls,
//! publishes finished [`Fragment`](crate::mib::Fragment)s and reports to [`health`]. It never talks to snmpd, and a
//! collector that hangs harms only itself.

pub mod alarm;
pub mod health;
pub mod instance;
pub mod log;
pub mod probe;
pub mod process;
mod published;
pub mod queue;
pub mod registry;
pub mod runner;
pub mod standard;
mod throttled;

pub use throttled::Throttled;

use crate::{
    agentx::Notifier,
    config::Config,
    mib::{AnyTable, Publisher},
    smi::Epoch,
    state::StateDirectory,
    stop::Stop,
};
use std::{sync::Arc, time::Duration};

/// A collector as it registers itself, in its own file: everything else about it is derived from this.
pub struct Registration {
    /// As [`Collector::name`].
    pub name: &'static str,
    /// The tables it owns.
    pub tables: &'static [&'static dyn AnyTable],
    /// The kinds of sources it reports for each instance. postfixHealth is not ok before all of them have been read.
    pub kinds: &'static [health::SourceKind],
    /// The kinds of sources it reports once, for the whole host.
    pub host_kinds: &'static [health::SourceKind],
    /// Takes over what was saved; reads nothing yet.
    pub make: fn(&Context) -> Box<dyn Collector>,
}

impl Registration {
    /// A new collector, whose refreshes health hears of.
    pub fn collector(&'static self, context: &Context) -> Box<dyn Collector> {
        Box::new(runner::Watched::new(self, context))
    }
}

/// All collectors. `health` is the last one: where each runs once, it publishes what the others reported.
pub static COLLECTORS: &[&Registration] = &[
    &instance::REGISTRATION,
    &process::REGISTRATION,
    &log::REGISTRATION,
    &queue::REGISTRATION,
    &probe::REGISTRATION,
    &alarm::REGISTRATION,
    &standard::REGISTRATION,
    &health::REGISTRATION,
];

/// Every table the agent serves.
pub fn catalogue() -> Vec<&'static dyn AnyTable> {
    COLLECTORS.iter().flat_map(|collector| collector.tables).copied().collect()
}

/// The kinds of sources that each instance has.
pub fn kinds() -> impl Iterator<Item = health::SourceKind> {
    COLLECTORS.iter().flat_map(|collector| collector.kinds).copied()
}

/// The kinds of sources that the host has once.
pub fn host_kinds() -> impl Iterator<Item = health::SourceKind> {
    COLLECTORS.iter().flat_map(|collector| collector.host_kinds).copied()
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
    /// The end of these collectors. Those that follow a changed configuration have one of their own.
    pub stop: Stop,
    /// Where notifications go; `None` where no session with a master is held (`dump`, `check`).
    pub notifier: Option<Notifier>,
    /// When the master began, for TimeStamps; never learned where no session is held.
    pub epoch: Epoch,
}

impl Context {
    /// No instance is known yet.
    pub fn new(config: Arc<Config>, publisher: Publisher, health: health::Health, state: StateDirectory) -> Self {
        let (instances, throttled, stop, epoch) = Default::default();
        publisher.set_private(config.privacy);
        Self { config, publisher, health, instances, state, throttled, stop, notifier: None, epoch }
    }

    /// For the collectors that follow a changed configuration: what is shared stays, and only they hear of their stop.
    pub(crate) fn next_generation(&self, config: Arc<Config>) -> Self {
        self.publisher.set_private(config.privacy);
        Self { config, stop: Stop::default(), ..self.clone() }
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
