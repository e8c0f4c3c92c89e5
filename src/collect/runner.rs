//! Collectors on threads of their own, until they are stopped.

use super::{Collector, Next};
use crate::stop::Stop;
use std::{
    io,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

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
