//! The commands, one file each; every one uses the same wiring, so that none can be of another opinion than the daemon.

pub mod check;
mod count;
mod dump;
mod mib;
mod probe;
mod run;

use crate::{
    cli::{Cli, Command},
    collect::log,
    config::ConfigError,
    state::StateError,
};
use std::{io, process::ExitCode};

/// Does what the command line says. What goes wrong is printed to standard error.
pub fn run(cli: &Cli) -> ExitCode {
    let result = match &cli.command {
        Command::Run(file) => run::run(file.config.as_deref()),
        Command::Dump(args) => dump::run(args),
        Command::Check(args) => check::run(args),
        Command::Probe(args) => probe::run(args.file.config.as_deref(), args.name.as_deref()),
        Command::Count(args) => count::run(args),
        Command::Mib(args) => mib::run(args),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("postfix-agentx: {failure}");
        failure.exit_code()
    })
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
    #[error("{0}: {1}")]
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
