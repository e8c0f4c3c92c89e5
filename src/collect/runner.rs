//! Collectors on threads of their own, until they are stopped.

use super::{Collector, Context, Next, Registration, health::Health};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The agent's end, as collectors see it.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Tells everyone.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until then or for the stop; says whether it was the stop.
    pub fn wait_until(&self, then: Instant) -> bool {
        let mut stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            stopped = self.0.1.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// A collector as it was registered: health hears when it is through with a refresh, so that it cannot end one without a
/// word about a source it answers for.
pub(super) struct Watched {
    registration: &'static Registration,
    collector: Box<dyn Collector>,
    health: Health,
}

impl Watched {
    pub(super) fn new(registration: &'static Registration, context: &Context) -> Self {
        Self { registration, collector: (registration.make)(context), health: context.health.clone() }
    }
}

impl Collector for Watched {
    fn name(&self) -> &'static str {
        self.registration.name
    }

    fn refresh(&mut self) -> Next {
        let next = self.collector.refresh();
        if next != Next::Again {
            self.health.refreshed(self.registration.name, self.registration.kinds);
        }
        next
    }

    fn finish(&mut self) {
        self.collector.finish();
    }
}

/// Runs a collector on a thread of its own until the stop.
pub fn spawn(mut collector: Box<dyn Collector>, stop: Stop) -> io::Result<JoinHandle<()>> {
    let name = collector.name();
    thread::Builder::new().name(name.into()).spawn(move || {
        // A catch-up must not hurt the mail. On Linux this is the nice value of the calling thread alone.
        if let Err(e) = rustix::process::setpriority_process(None, 10) {
            tracing::warn!(collector = name, error = %e, "cannot lower the priority");
        }
        let _span = tracing::info_span!("collector", name).entered();
        loop {
            let wait = match collector.refresh() {
                Next::Again => Duration::ZERO,
                Next::After(wait) => wait,
            };
            if stop.wait_until(Instant::now() + wait) {
                break;
            }
        }
        collector.finish();
    })
}

/// Refreshes until the collector is through once, for `dump`.
pub fn run_once(collector: &mut dyn Collector) {
    while collector.refresh() == Next::Again {}
}

/// The name of a thread that is no longer there.
pub(crate) fn ended(thread: &JoinHandle<()>) -> Option<String> {
    thread.is_finished().then(|| thread.thread().name().unwrap_or_default().to_owned())
}

/// The collectors' threads.
pub(crate) struct Running {
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts each on its own thread; where one cannot be started, none runs.
    pub(crate) fn start(collectors: Vec<Box<dyn Collector>>) -> io::Result<Self> {
        let stop = Stop::default();
        let mut running = Self { stop: stop.clone(), threads: Vec::new() };
        for collector in collectors {
            match spawn(collector, stop.clone()) {
                Ok(thread) => running.threads.push(thread),
                Err(e) => {
                    running.stop();
                    return Err(e);
                }
            }
        }
        Ok(running)
    }

    /// The name of a collector that is no longer there.
    pub(crate) fn ended(&self) -> Option<String> {
        self.threads.iter().find_map(ended)
    }

    /// Tells all, then waits for each. One that hangs in the file system is left behind after 5 s: what it had saved
    /// stands, and the process must end.
    pub(crate) fn stop(&mut self) {
        self.stop.stop();
        let deadline = Instant::now() + Duration::from_secs(5);
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() {
                // A panic was logged by the thread itself.
                let _ = thread.join();
            } else {
                tracing::warn!(collector = thread.thread().name(), "does not end, left behind");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        collect::{
            COLLECTORS,
            health::{AgentCounters, SourceKind, Status},
        },
        config::Config,
        mib::Publisher,
        state::StateDirectory,
    };
    use std::collections::BTreeSet;

    fn context(directory: &std::path::Path) -> Context {
        let publisher = Publisher::new([1, 3].into(), &crate::collect::catalogue());
        let health = Health::new(publisher.clone(), AgentCounters::default());
        Context::new(Arc::new(Config::default()), publisher, health, StateDirectory::read_only(directory))
    }

    /// Says it is through, and never a word about its source.
    struct Mute;

    impl Collector for Mute {
        fn name(&self) -> &'static str {
            "mute"
        }
        fn refresh(&mut self) -> Next {
            Next::After(Duration::ZERO)
        }
    }

    static MUTE: Registration =
        Registration { name: "mute", tables: &[], kinds: &[SourceKind::Log], make: |_| Box::new(Mute) };

    #[test]
    fn a_refresh_that_ends_is_heard_of_by_health() {
        let directory = tempfile::tempdir().unwrap();
        let context = context(directory.path());
        let mut collector = MUTE.collector(&context);
        let source = context.health.source(1, "postfix", SourceKind::Log, Duration::from_secs(10));
        assert_eq!(collector.refresh(), Next::After(Duration::ZERO));
        assert_eq!(source.status(), Status::Starting);
        context.health.age(&source, Duration::from_secs(200));
        collector.refresh();
        assert_eq!(source.status(), Status::Failing);
    }

    #[test]
    fn every_collector_is_called_as_it_is_registered_and_no_kind_or_table_has_two_owners() {
        let directory = tempfile::tempdir().unwrap();
        let context = context(directory.path());
        let mut names = BTreeSet::new();
        for registration in COLLECTORS {
            assert_eq!((registration.make)(&context).name(), registration.name);
            assert!(registration.name.len() <= 15, "{} is cut by ps -L", registration.name);
            assert!(names.insert(registration.name));
        }
        let kinds: Vec<_> = crate::collect::kinds().collect();
        assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len());
        let tables: Vec<_> = crate::collect::catalogue().iter().map(|table| table.name()).collect();
        assert_eq!(tables.iter().collect::<BTreeSet<_>>().len(), tables.len());
    }
}
