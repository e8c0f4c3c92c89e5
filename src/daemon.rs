//! The daemon: wiring, signals, readiness, orderly shutdown.
//!
//! Two kinds of threads that share nothing but the View: one talks to snmpd and does nothing else; each collector has its
//! own. The main thread waits for signals and for a collector that ended although nobody told it to.

use crate::{
    agentx,
    collect::{
        self, Collector, Context, Stop,
        health::{AgentCounters, Health},
    },
    config::{Config, ConfigError},
    mib::Publisher,
    state::{StateDirectory, StateError},
};
use std::{
    io,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Why a command ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// `count` could not read a log.
    #[error(transparent)]
    Count(#[from] collect::log::count::CountError),
    /// The system gives no thread, no signal handler, no standard output.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// A thread ended by itself; only a bug does that, and a restart is better than numbers that stand still.
    #[error("the {0} thread ended unexpectedly; please report this with what was logged before")]
    Ended(String),
}

impl Failure {
    /// 2: wrong configuration; 1: everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Serves until SIGTERM or SIGINT.
pub fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = Config::load(file)?;
    let state = StateDirectory::open(&config.state_directory)?;
    let publisher = Publisher::new(config.agentx.root.clone(), &collect::catalogue());
    let stats = Arc::new(agentx::Stats::default());
    let counters = AgentCounters {
        master_connects: stats.connects.clone(),
        notifications: stats.notifications_sent.clone(),
        notifications_dropped: stats.notifications_dropped.clone(),
        ..AgentCounters::default()
    };
    let health = Health::new(publisher.clone(), counters.clone());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), root = %config.agentx.root, "starting");

    let (shutdown, link) = talk_to_snmpd(&config, publisher.clone(), stats)?;
    let context = Context::new(Arc::new(config), publisher, health, state);
    let result = signals(file, context, &counters, &link);
    // Nobody listens any more where the link's thread is gone.
    let _ = shutdown.send(());
    let _ = link.join();
    tracing::info!("stopped");
    result.map(|()| ExitCode::SUCCESS)
}

/// The thread that talks to snmpd, alone on its own runtime: nothing collectors do can delay an answer.
fn talk_to_snmpd(
    config: &Config,
    publisher: Publisher,
    stats: Arc<agentx::Stats>,
) -> Result<(oneshot::Sender<()>, JoinHandle<()>), Failure> {
    let link = link_config(config);
    let (shutdown, stopped) = oneshot::channel::<()>();
    let (_notifier, notifications) = agentx::notifications(link.notifications, stats.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start the AgentX runtime", e))?;
    let thread = thread::Builder::new()
        .name("agentx".into())
        .spawn(move || {
            // The sender gone without a word is the end as well.
            let stopped = async { stopped.await.unwrap_or_default() };
            runtime.block_on(agentx::run(link, move || publisher.view(), notifications, stats, stopped));
            // Not waiting for a resolver that looks up the name of a TCP master.
            runtime.shutdown_background();
        })
        .map_err(|e| Failure::System("cannot start the AgentX thread", e))?;
    Ok((shutdown, thread))
}

/// What snmpd is told and asked for.
pub(crate) fn link_config(config: &Config) -> agentx::Config {
    let description = concat!("postfix-agentx ", env!("CARGO_PKG_VERSION"));
    let mut link = agentx::Config::new(config.agentx.address.clone(), config.agentx.root.clone(), description);
    link.regions[0].priority = config.agentx.priority;
    link.regions[0].takeover = config.agentx.takeover;
    // postfixAgentCapabilities in POSTFIX-AGENTCAPS-MIB: { postfixMIB 3 1 }.
    let id = config.agentx.root.child(&[3, 1]);
    link.capabilities = Some(agentx::Capabilities { id, description: description.into() });
    link
}

/// Runs the collectors, takes a changed configuration over on SIGHUP, and ends on SIGTERM or SIGINT.
fn signals(
    file: Option<&Path>,
    mut context: Context,
    counters: &AgentCounters,
    link: &JoinHandle<()>,
) -> Result<(), Failure> {
    let system = |what| move |e| Failure::System(what, e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the main runtime"))?;
    runtime.block_on(async {
        let handler = |kind| signal(kind).map_err(system("cannot handle signals"));
        let (mut term, mut int, mut hup) =
            (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?, handler(SignalKind::hangup())?);
        let mut collectors = Running::start(&context)?;
        let mut watch = tokio::time::interval(Duration::from_secs(5));
        loop {
            tokio::select! {
                _ = term.recv() => break tracing::info!("SIGTERM"),
                _ = int.recv() => break tracing::info!("SIGINT"),
                _ = hup.recv() => match changed(file, &context.config) {
                    Ok(config) => {
                        collectors.stop();
                        context = Context { config: Arc::new(config), ..context };
                        collectors = Running::start(&context)?;
                        counters.reloads.fetch_add(1, Ordering::Relaxed);
                        tracing::info!("SIGHUP: configuration taken over");
                    }
                    Err(why) => tracing::error!("SIGHUP: {why}; the old configuration stays"),
                },
                _ = watch.tick() => if let Some(name) = collectors.ended().or_else(|| ended(link)) {
                    collectors.stop();
                    return Err(Failure::Ended(name));
                },
            }
        }
        collectors.stop();
        Ok(())
    })
}

/// The configuration anew, unless it changes what only a restart can change.
fn changed(file: Option<&Path>, old: &Config) -> Result<Config, String> {
    let new = Config::load(file).map_err(|e| e.to_string())?;
    if new.agentx != old.agentx {
        Err("`agentx` changed, which needs a restart".into())
    } else if new.state_directory != old.state_directory {
        Err("`state_directory` changed, which needs a restart".into())
    } else {
        Ok(new)
    }
}

/// The name of a thread that is no longer there.
fn ended(thread: &JoinHandle<()>) -> Option<String> {
    thread.is_finished().then(|| thread.thread().name().unwrap_or_default().to_owned())
}

/// The collectors' threads.
struct Running {
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(context: &Context) -> Result<Self, Failure> {
        let stop = Stop::default();
        let mut running = Self { stop: stop.clone(), threads: Vec::new() };
        for collector in collectors(context) {
            match collect::spawn(collector, stop.clone()) {
                Ok(thread) => running.threads.push(thread),
                Err(e) => {
                    running.stop();
                    return Err(Failure::System("cannot start a collector", e));
                }
            }
        }
        Ok(running)
    }

    /// The name of a collector that is no longer there.
    fn ended(&self) -> Option<String> {
        self.threads.iter().find_map(ended)
    }

    /// Tells all, then waits for each. One that hangs in the file system is left behind after 5 s: what it had saved
    /// stands, and the process must end.
    fn stop(&mut self) {
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

/// All collectors. Which instances there are is found before anyone asks.
pub(crate) fn collectors(context: &Context) -> Vec<Box<dyn Collector>> {
    let mut instances = collect::instance::InstanceCollector::new(context.clone());
    instances.refresh();
    vec![
        Box::new(instances),
        // Before the log, which shows its events beside the services found here.
        Box::new(collect::process::ProcessCollector::new(context.clone())),
        Box::new(collect::log::LogCollector::new(context.clone())),
        Box::new(collect::queue::QueueCollector::new(context.clone())),
        (collect::health::REGISTRATION.make)(context),
    ]
}
