//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// SNMP subagent for Postfix: serves POSTFIX-MIB to net-snmpd over AgentX.
///
/// Exit status: 0 done; 1 it failed, or `check` found something wrong; 2 wrong usage or configuration.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve POSTFIX-MIB until SIGTERM; SIGHUP takes a changed configuration over
    Run(ConfigFile),
    /// Collect once and print every object as `snmpwalk -On` would, without snmpd
    Dump(ConfigFile),
    /// Look at configuration, Postfix, rights, state directory and snmpd, and say what to do about each
    Check(ConfigFile),
    /// Count log files from start to end and print every counter
    Count(crate::collect::log::count::Args),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Configuration file [default: /etc/postfix-agentx.yaml where that exists, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
