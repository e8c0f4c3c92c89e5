//! The daemon: signals, readiness, orderly shutdown.
//!
//! Two kinds of threads that share nothing but the View: one talks to snmpd and does nothing else; each collector has its
//! own. The main thread waits for signals, from the first instant on, and for a collector that ended although it was not
//! stopped: it reads no file itself, because one on a dead file server would make it deaf.

mod manager;

use super::Failure;
use crate::{
    agentx,
    collect::{
        self, Context,
        health::{AgentCounters, Condition, Health, Severity, Subject},
        runner::{Running, ended},
    },
    config::Config,
    mib::Publisher,
    state::StateDirectory,
    wiring::link_config,
};
use manager::{Manager, Pulse};
use rustix::{
    process::{DumpableBehavior, geteuid, set_dumpable_behavior},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
};
use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
    give_up_rights();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start the main runtime", e))?;
    let result = runtime.block_on(async { serve(file, &mut Signals::new()?).await });
    // Not waiting for what hangs in a file system.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// What the daemon never needs, whoever starts it. For a process of one thread; what is refused was not to be had.
fn give_up_rights() {
    // A core dump would hold addresses of mail, and passwords of probes; nor does another process of this user look into us.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Root keeps what root has: without it, it could not even write to a state directory that is another user's.
    if geteuid().is_root() {
        return;
    }
    // The one capability that has a use here: reading the spool.
    let keep = CapabilitySet::DAC_READ_SEARCH;
    if let Ok(has) = capabilities(None)
        // The unit's SystemCallFilter= kills whoever asks without need.
        && !keep.contains(has.permitted | has.inheritable)
    {
        let sets = CapabilitySets {
            effective: has.effective & keep,
            permitted: has.permitted & keep,
            inheritable: has.inheritable & keep,
        };
        let _ = set_capabilities(None, sets);
    }
}

/// What the daemon is told.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    /// A file that may not become larger is an error to be told, and not the end, which is what this signal does unheard.
    _too_large: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let handler = |kind| signal(kind).map_err(|e| Failure::System("cannot handle signals", e));
        Ok(Self {
            term: handler(SignalKind::terminate())?,
            int: handler(SignalKind::interrupt())?,
            hup: handler(SignalKind::hangup())?,
            _too_large: handler(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Whatever comes first: whether it is SIGHUP.
    async fn reload_or_end(&mut self) -> bool {
        let Self { term, int, hup, .. } = self;
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM"),
            _ = int.recv() => tracing::info!("SIGINT"),
            _ = hup.recv() => return true,
        }
        false
    }

    /// SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.term.recv() => tracing::info!("SIGTERM"),
            _ = self.int.recv() => tracing::info!("SIGINT"),
        }
    }

    /// The result of work that may hang in a file system, or `None` for the end.
    async fn unless_end<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let (sender, result) = oneshot::channel();
        // Nobody may be waiting any more.
        let work = move || drop(sender.send(work()));
        let started = thread::Builder::new().name("reading".into()).spawn(work);
        started.map_err(|e| Failure::System("cannot start a thread", e))?;
        tokio::select! {
            result = result => result.map(Some).map_err(|_| Failure::Ended("reading".into())),
            () = self.end() => Ok(None),
        }
    }
}

async fn serve(file: Option<&Path>, signals: &mut Signals) -> Result<(), Failure> {
    let name = file.map(Path::to_owned);
    let prepare = move || -> Result<_, Failure> {
        let config = Config::load(name.as_deref())?;
        let state = StateDirectory::open(&config.state_directory)?;
        Ok((config, state))
    };
    let Some(prepared) = signals.unless_end(prepare).await? else { return Ok(()) };
    let (config, state) = prepared?;
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

    let link = link_config(&config);
    let (notifier, notifications) = agentx::notifications(link.notifications, stats.clone());
    let epoch = stats.epoch.clone();
    let pulse = Pulse::default();
    let mut manager = Manager::new(stats.clone(), health.clone(), pulse.clone());
    let (shutdown, link) = talk_to_snmpd(link, publisher.clone(), notifications, stats, pulse)?;
    let context =
        Context { notifier: Some(notifier), epoch, ..Context::new(Arc::new(config), publisher, health, state) };
    let result = collect(file, context, &counters, &link, signals, &mut manager).await;
    manager.stopping();
    // Where the link's thread is gone, there is no receiver any more.
    let _ = shutdown.send(());
    let _ = link.join();
    tracing::info!("stopped");
    result
}

/// The thread that talks to snmpd, alone on its own runtime: nothing collectors do can delay an answer.
fn talk_to_snmpd(
    link: agentx::Config,
    publisher: Publisher,
    notifications: agentx::Notifications,
    stats: Arc<agentx::Stats>,
    pulse: Pulse,
) -> Result<(oneshot::Sender<()>, JoinHandle<()>), Failure> {
    let (shutdown, stopped) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start the AgentX runtime", e))?;
    let thread = thread::Builder::new()
        .name("agentx".into())
        .spawn(move || {
            // The sender gone without a word is the end as well.
            let stopped = async { stopped.await.unwrap_or_default() };
            runtime.block_on(async {
                tokio::select! {
                    () = agentx::run(link, move || publisher.view(), notifications, stats, stopped) => {}
                    () = pulse.answer() => {}
                }
            });
            // Not waiting for a resolver that looks up the name of a TCP master.
            runtime.shutdown_background();
        })
        .map_err(|e| Failure::System("cannot start the AgentX thread", e))?;
    Ok((shutdown, thread))
}

/// How often it is looked whether all threads are still there.
const WATCH: Duration = Duration::from_millis(500);

/// Runs the collectors, takes a changed configuration over on SIGHUP, and ends on SIGTERM or SIGINT.
async fn collect(
    file: Option<&Path>,
    mut context: Context,
    counters: &AgentCounters,
    link: &JoinHandle<()>,
    signals: &mut Signals,
    manager: &mut Manager,
) -> Result<(), Failure> {
    let cannot = |e| Failure::System("cannot start a collector", e);
    let mut collectors = Running::start(&context).map_err(cannot)?;
    let mut watch = tokio::time::interval(WATCH);
    let result = loop {
        tokio::select! {
            reload = signals.reload_or_end() => {
                if !reload {
                    break Ok(());
                }
                manager.reloading();
                let (name, old) = (file.map(Path::to_owned), context.config.clone());
                match signals.unless_end(move || changed(name.as_deref(), &old)).await {
                    Err(e) => break Err(e),
                    Ok(None) => break Ok(()),
                    Ok(Some(Err(why))) => {
                        tracing::error!("SIGHUP: {why}; the old configuration stays");
                        context.health.conditions("configuration", vec![refused(&why)]);
                    }
                    Ok(Some(Ok(config))) => {
                        context = context.next_generation(Arc::new(config));
                        if let Err(e) = collectors.restart(&context) {
                            break Err(cannot(e));
                        }
                        counters.reloads.fetch_add(1, Ordering::Relaxed);
                        context.health.conditions("configuration", Vec::new());
                        tracing::info!("SIGHUP: configuration taken over");
                    }
                }
                manager.reloaded();
            },
            () = manager.link_changed() => manager.look(),
            _ = watch.tick() => {
                if let Some(newer) = context.state.refused() {
                    break Err(newer.into());
                }
                if let Some(name) = collectors.ended().or_else(|| ended(link)) {
                    break Err(Failure::Ended(name));
                }
                if let Err(e) = collectors.look() {
                    break Err(cannot(e));
                }
                // Only here, where all threads are known to be there.
                manager.look();
            },
        }
    };
    manager.stopping();
    collectors.stop();
    result
}

/// That SIGHUP was of no use stays in postfixHealth until one is.
fn refused(why: &str) -> Condition {
    // What stands below the first line shows the place in the file.
    let why = why.lines().next().unwrap_or_default();
    let text = format!("SIGHUP: {why}; the old configuration stays");
    Condition { severity: Severity::Warning, subject: Subject::Configuration, text }
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
