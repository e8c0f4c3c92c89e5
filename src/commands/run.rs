//! The daemon: signals, readiness, orderly shutdown.
//!
//! Two kinds of threads that share nothing but the View: one talks to snmpd and does nothing else; each collector has its
//! own. The main thread waits for signals and for a collector that ended although nobody told it to.

use super::Failure;
use crate::{
    agentx,
    collect::{
        self, Context,
        health::{AgentCounters, Health},
        runner::{Running, ended},
    },
    config::Config,
    mib::Publisher,
    state::StateDirectory,
    wiring::{collectors, link_config},
};
use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
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

    let link = link_config(&config);
    let (notifier, notifications) = agentx::notifications(link.notifications, stats.clone());
    let (shutdown, link) = talk_to_snmpd(link, publisher.clone(), notifications, stats)?;
    let context = Context { notifier: Some(notifier), ..Context::new(Arc::new(config), publisher, health, state) };
    let result = signals(file, context, &counters, &link);
    // Nobody listens any more where the link's thread is gone.
    let _ = shutdown.send(());
    let _ = link.join();
    tracing::info!("stopped");
    result.map(|()| ExitCode::SUCCESS)
}

/// The thread that talks to snmpd, alone on its own runtime: nothing collectors do can delay an answer.
fn talk_to_snmpd(
    link: agentx::Config,
    publisher: Publisher,
    notifications: agentx::Notifications,
    stats: Arc<agentx::Stats>,
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
            runtime.block_on(agentx::run(link, move || publisher.view(), notifications, stats, stopped));
            // Not waiting for a resolver that looks up the name of a TCP master.
            runtime.shutdown_background();
        })
        .map_err(|e| Failure::System("cannot start the AgentX thread", e))?;
    Ok((shutdown, thread))
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
        let mut collectors = start(&context)?;
        if let Some(newer) = context.state.refused() {
            collectors.stop();
            return Err(newer.into());
        }
        let mut watch = tokio::time::interval(Duration::from_secs(5));
        loop {
            tokio::select! {
                _ = term.recv() => break tracing::info!("SIGTERM"),
                _ = int.recv() => break tracing::info!("SIGINT"),
                _ = hup.recv() => match changed(file, &context.config) {
                    Ok(config) => {
                        collectors.stop();
                        context = Context { config: Arc::new(config), ..context };
                        collectors = start(&context)?;
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

fn start(context: &Context) -> Result<Running, Failure> {
    Running::start(collectors(context)).map_err(|e| Failure::System("cannot start a collector", e))
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
