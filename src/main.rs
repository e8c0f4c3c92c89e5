//! Arguments, logging, exit codes; no logic.

use clap::Parser;
use postfix_agentx::{
    cli::{Cli, Command},
    commands,
    stderr::{StandardError, is_journal},
};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return commands::usage(&error),
    };
    let daemon = matches!(cli.command, Command::Run(_));
    // Tools print their findings themselves; the daemon's story goes to standard error, which the service manager keeps.
    let filter = EnvFilter::try_from_env("POSTFIX_AGENTX_LOG")
        .unwrap_or_else(|_| EnvFilter::new(if daemon { "info" } else { "off" }));
    let journal = is_journal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(StandardError { journal })
        .with_target(false)
        .with_ansi(false);
    if journal {
        // It knows when, and the priority says how bad.
        log.without_time().with_level(false).init();
    } else {
        log.init();
    }
    commands::run(&cli)
}
