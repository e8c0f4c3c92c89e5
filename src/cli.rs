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
    /// Run a configured probe once, now, or all of them, and print how long each stage took
    Probe(Probe),
    /// Count log files from start to end and print every counter
    Count(Count),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Configuration file [default: /etc/postfix-agentx.yaml where that exists, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to count and how to print it.
#[derive(Clone, Debug, Default, Args)]
pub struct Count {
    /// Log files, oldest first; .gz are decompressed, - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Configuration file with log.hosts, log.filters and log.reinject_labels; without it none of them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which probe.
#[derive(Debug, Args)]
pub struct Probe {
    /// Its name in the configuration; all where none is given
    pub name: Option<String>,
    /// Configuration file
    #[command(flatten)]
    pub file: ConfigFile,
}
