//! `postfix-agentx dump`: collects once and prints the whole tree, without snmpd. It locks and writes nothing, so that it
//! may run beside the daemon.

use super::{Failure, stop_on_signals};
use crate::{config::Config, wiring::Once};
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Instant,
};

/// One `OID = TYPE: value` a line, as `snmpwalk -On` prints it.
pub(super) fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
    let once = Once::collect(Config::load(file)?, stop_on_signals()?);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = once
        .context
        .publisher
        .view()
        .walk(Instant::now())
        .try_for_each(|(name, value)| writeln!(out, "{name} = {value}"))
        .and_then(|()| out.flush());
    match written {
        // `dump | head` is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}
