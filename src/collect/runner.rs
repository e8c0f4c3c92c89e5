//! Collectors on threads of their own, until they are stopped.
//!
//! A collector that hangs in a file system, where no signal ends it, is left behind when it is stopped. Its successor under
//! a changed configuration starts when it has come back and saved what it knew: never are there two of one name.

use super::{
    COLLECTORS, Collector, Context, Next, Registration,
    health::{Condition, Health, Severity, Subject},
};
use std::{
    io, mem,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

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
            self.health.refreshed(self.registration.name, self.registration.kinds, self.registration.host_kinds);
        }
        next
    }

    fn finish(&mut self) {
        self.collector.finish();
    }
}

/// Makes a collector and runs it until the stop, on a thread of its own: not even what it takes over of an earlier run keeps
/// the main thread from signals.
fn spawn(registration: &'static Registration, context: &Context) -> io::Result<JoinHandle<()>> {
    let (name, context) = (registration.name, context.clone());
    thread::Builder::new().name(name.into()).spawn(move || {
        // A catch-up must not hurt the mail. On Linux this is the nice value of the calling thread alone.
        if let Err(e) = rustix::process::setpriority_process(None, 10) {
            tracing::warn!(collector = name, error = %e, "cannot lower the priority");
        }
        let _span = tracing::info_span!("collector", name).entered();
        let Some(mut collector) = take_over(registration, &context) else { return };
        while !context.stop.is_stopped() {
            let wait = match collector.refresh() {
                Next::Again => Duration::ZERO,
                Next::After(wait) => wait,
            };
            if context.stop.wait_until(Instant::now() + wait) {
                break;
            }
        }
        collector.finish();
    })
}

/// How often it is tried again to read what a collector saved.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// A collector on what it saved; `None` where there will be none. Without it the collector would begin anew, its counters
/// would go back, and the next save would replace what could not be read: so it waits until that can be, and health says so.
fn take_over(registration: &'static Registration, context: &Context) -> Option<Box<dyn Collector>> {
    let mut told = String::new();
    loop {
        let context = Context { state: context.state.of_one(), ..context.clone() };
        let collector = registration.collector(&context);
        if context.state.refused().is_some() {
            return None;
        }
        let unreadable = context.state.unreadable();
        let Some(why) = unreadable.first().map(ToString::to_string) else {
            if !told.is_empty() {
                tracing::info!("what was saved can be read again");
                context.health.conditions(registration.name, Vec::new());
            }
            return Some(collector);
        };
        drop(collector);
        let text = format!("the {} collector waits: {why}", registration.name);
        if text != told {
            tracing::error!("{text}");
            let condition = Condition { severity: Severity::Warning, subject: Subject::State, text: text.clone() };
            context.health.conditions(registration.name, vec![condition]);
            told = text;
        }
        if context.stop.wait_until(Instant::now() + READ_AGAIN) {
            return None;
        }
    }
}

/// Refreshes until the collector is through once, for `dump`.
pub fn run_once(collector: &mut dyn Collector) {
    while collector.refresh() == Next::Again {}
}

/// The name of a thread that is no longer there.
pub(crate) fn ended(thread: &JoinHandle<()>) -> Option<String> {
    thread.is_finished().then(|| thread.thread().name().unwrap_or_default().to_owned())
}

/// How long collectors may take to end when they are told to.
const PATIENCE: Duration = Duration::from_secs(4);

/// The collectors' threads.
pub(crate) struct Running {
    context: Context,
    threads: Vec<JoinHandle<()>>,
    /// Those of an earlier configuration that have not come back yet.
    left: Vec<JoinHandle<()>>,
    /// Those that wait for one of them.
    waiting: Vec<&'static Registration>,
}

impl Running {
    /// Starts each on its own thread; where one cannot be started, none runs.
    pub(crate) fn start(context: &Context) -> io::Result<Self> {
        let mut running =
            Self { context: context.clone(), threads: Vec::new(), left: Vec::new(), waiting: COLLECTORS.to_vec() };
        running.look()?;
        Ok(running)
    }

    /// Ends these, and starts those of a changed configuration.
    pub(crate) fn restart(&mut self, context: &Context) -> io::Result<()> {
        self.stop();
        self.context = context.clone();
        self.waiting = COLLECTORS.to_vec();
        self.look()
    }

    /// Starts those whose predecessors have come back.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.left.retain(|thread| !thread.is_finished());
        for registration in mem::take(&mut self.waiting) {
            if self.left.iter().any(|thread| thread.thread().name() == Some(registration.name)) {
                self.waiting.push(registration);
                continue;
            }
            match spawn(registration, &self.context) {
                Ok(thread) => self.threads.push(thread),
                Err(e) => {
                    self.stop();
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// The name of a collector that is no longer there.
    pub(crate) fn ended(&self) -> Option<String> {
        self.threads.iter().find_map(ended)
    }

    /// Tells all, then waits for each, for 4 s at most: one that hangs in the file system must not keep the process. What it
    /// had saved stays.
    pub(crate) fn stop(&mut self) {
        self.context.stop.stop();
        self.waiting.clear();
        let deadline = Instant::now() + PATIENCE;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() {
                // A panic was logged by the thread itself.
                let _ = thread.join();
            } else {
                tracing::warn!(collector = thread.thread().name(), "does not end, left behind");
                self.left.push(thread);
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
    use std::sync::Arc;

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

    static MUTE: Registration = Registration {
        name: "mute",
        tables: &[],
        kinds: &[SourceKind::Log],
        host_kinds: &[],
        make: |_| Box::new(Mute),
    };

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

    /// It saves what it counts, like all that have a state.
    struct Counting {
        context: Context,
        count: u64,
    }

    impl Collector for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn refresh(&mut self) -> Next {
            self.count += 1;
            self.context.state.save("counting", 1, &self.count).unwrap();
            Next::After(Duration::from_secs(60))
        }
    }

    static COUNTING: Registration = Registration {
        name: "counting",
        tables: &[],
        kinds: &[],
        host_kinds: &[],
        make: |context| {
            // Root may read everything, until its thread gives that up.
            let none = rustix::thread::CapabilitySet::empty();
            let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
            rustix::thread::set_capabilities(None, sets).unwrap();
            let count = context.state.load("counting", 1).ok().flatten().unwrap_or_default();
            Box::new(Counting { context: context.clone(), count })
        },
    };

    /// A state that cannot be read for a while, as after root ran the agent once: it was replaced by the next save.
    #[test]
    fn what_cannot_be_read_is_waited_for_and_never_replaced() {
        use std::{fs, os::unix::fs::PermissionsExt};
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(directory.path()).unwrap();
        state.save("counting", 1, &1_000).unwrap();
        let file = directory.path().join("counting");
        let kept = fs::read(&file).unwrap();
        let may = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        may(0);
        let health = context(directory.path()).health;
        let context = Context { state, health, ..context(directory.path()) };
        let thread = spawn(&COUNTING, &context).unwrap();
        let conditions = || context.health.all_conditions();
        wait(|| !conditions().is_empty());
        assert!(conditions()[0].text.contains("the counting collector waits: "), "{:?}", conditions());
        assert!(conditions()[0].text.contains("is kept as it is"), "{:?}", conditions());
        may(0o640);
        assert_eq!(fs::read(&file).unwrap(), kept);
        wait(|| context.state.of_one().load::<u64>("counting", 1).ok().flatten() == Some(1_001));
        assert!(conditions().is_empty());
        context.stop.stop();
        thread.join().unwrap();
    }

    fn wait(mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < deadline, "it does not come");
            thread::sleep(Duration::from_millis(20));
        }
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
        let kinds: Vec<_> = crate::collect::kinds().chain(crate::collect::host_kinds()).collect();
        assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len());
        let tables: Vec<_> = crate::collect::catalogue().iter().map(|table| table.name()).collect();
        assert_eq!(tables.iter().collect::<BTreeSet<_>>().len(), tables.len());
    }
}
