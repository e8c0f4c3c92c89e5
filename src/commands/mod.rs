//! The commands, one file each; every one uses the same wiring, so that none can be of another opinion than the daemon.

mod asking;
mod check;
mod count;
mod dump;
mod mib;
mod notify;
mod papers;
mod probe;
mod run;
mod setup_snmpd;
mod status;

use crate::{
    child,
    cli::{Cli, Command},
    collect::log,
    config::ConfigError,
    limits,
    shown::escaped,
    state::StateError,
    stderr,
    stop::Stop,
};
use std::{
    env,
    io::{self, Write},
    process::{self, ExitCode},
    thread,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Does what the command line says. What goes wrong is printed to standard error.
pub fn run(cli: &Cli) -> ExitCode {
    if let Err(e) = limits::descriptors() {
        let failure = Failure::System("too few files can be open", e);
        complain(&failure);
        return failure.exit_code();
    }
    let result = match &cli.command {
        Command::Run(file) => run::run(file.config.as_deref()),
        Command::Status(args) => return status::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Check(args) => check::run(args),
        Command::Probe(args) => probe::run(args.file.config.as_deref(), args.name.as_deref()),
        Command::Count(args) => count::run(args),
        Command::Mib(args) => mib::run(args),
        Command::Notify(args) => notify::run(args.file.config.as_deref()),
        Command::SetupSnmpd(args) => setup_snmpd::run(args),
        Command::Papers(args) => papers::run(args),
    };
    result.unwrap_or_else(|failure| {
        complain(&failure);
        failure.exit_code()
    })
}

/// What clap has to say: help, version, or what is wrong with the command line. Of `status`, which monitoring runs, wrong
/// usage is 3 as everything unknown is; 2 would be an alarm.
pub fn usage(error: &clap::Error) -> ExitCode {
    let plugin = env::args_os().nth(1).is_some_and(|command| command == "status");
    // Nobody reads it any more.
    let _ = error.print();
    match u8::try_from(error.exit_code()) {
        Ok(2) if plugin => ExitCode::from(3),
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(failure: &Failure) {
    let text = in_lines(&failure.to_string());
    let text = match stderr::is_journal() {
        // The journal takes each line for an entry.
        true => text.lines().map(|line| format!("<3>{line}\n")).collect(),
        false => format!("postfix-agentx: {text}\n"),
    };
    // Nobody can be told that nobody can be told.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A message may have lines of its own (a place in the configuration, with what is written there), and nothing else that is
/// hidden.
fn in_lines(message: &str) -> String {
    message.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// For commands that collect once. What they start is in process groups of its own, which Ctrl-C in a terminal does not
/// reach: SIGINT and SIGTERM tell this stop, and end the process when its children are gone.
fn stop_on_signals() -> Result<Stop, Failure> {
    let system = |e| Failure::System("cannot handle signals", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let (mut term, mut int) = runtime
        .block_on(async { Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)) })
        .map_err(system)?;
    let stop = Stop::default();
    let told = stop.clone();
    let wait = move || {
        // What a shell says of a program that a signal ended.
        let status = runtime.block_on(async {
            tokio::select! { _ = term.recv() => 128 + 15, _ = int.recv() => 128 + 2 }
        });
        told.stop();
        child::wait_for_all(Duration::from_secs(2));
        process::exit(status)
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map_err(system)?;
    Ok(stop)
}

/// What to do where a limit is reached.
fn hint(error: &io::Error) -> String {
    limits::remedy(error).map(|remedy| format!("; {remedy}")).unwrap_or_default()
}

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
    Count(#[from] log::count::CountError),
    /// The system gives no thread, no signal handler, no standard output.
    #[error("{0}: {1}{hint}", hint = hint(.1))]
    System(&'static str, io::Error),
    /// An argument that clap cannot judge.
    #[error("{0}")]
    Usage(String),
    /// A file that was to be written.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// A thread ended by itself; only a bug does that, and a restart is better than numbers that stand still.
    #[error("the {0} thread ended unexpectedly; please report this with what was logged before")]
    Ended(String),
}

impl Failure {
    /// 2: starting again does not help, because the configuration is wrong or the state is of a newer release; 1:
    /// everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::State(StateError::Newer { .. }) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
