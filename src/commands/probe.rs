//! `postfix-agentx probe [NAME]`: runs configured probes once, now, and prints their stages.

use super::Failure;
use crate::{
    collect::probe::run::{self, Environment, Memory, Outcome},
    config::{Config, ConfigError},
};
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

/// Exit status 1 where one is down.
pub(super) fn run(file: Option<&Path>, name: Option<&str>) -> Result<ExitCode, Failure> {
    let config = Config::load(file)?;
    let chosen: Vec<_> = config.probes.iter().filter(|probe| name.is_none_or(|name| probe.name == name)).collect();
    if chosen.is_empty() {
        let known: Vec<_> = config.probes.iter().map(|probe| probe.name.as_str()).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        let text = format!("no such probe in the configuration; configured under `probes:` are: {known}");
        return Err(ConfigError::Parse(text).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start the probes' runtime", e))?;
    let environment = Arc::new(Environment::system());
    let mut down = false;
    for probe in chosen {
        let mut memory = Memory::default();
        let outcome = runtime.block_on(run::run(probe, environment.clone(), &mut memory, Vec::new()));
        down |= outcome.failure.is_some();
        match print(&probe.name, &outcome) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::System("standard output", e)),
            _ => {}
        }
    }
    Ok(if down { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(name: &str, outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match &outcome.failure {
        None => writeln!(out, "{name}: up, {} ms", outcome.latency.as_millis())?,
        Some((stage, why)) => writeln!(out, "{name}: DOWN at {}: {why}", stage.label())?,
    }
    for timed in outcome.trace.stages() {
        let mark = if timed.passed { "" } else { "  failed" };
        writeln!(out, "  {:<16} {:>6} ms{mark}", timed.stage.label(), timed.took.as_millis())?;
    }
    if let Some(certificate) = outcome.judged.as_ref().and_then(|judged| judged.certificate.as_ref()) {
        let days = certificate.days_left(run::unix_now());
        writeln!(
            out,
            "  {} ({}), from {}, for {}, {days} days left",
            certificate.subject, certificate.key, certificate.issuer, certificate.names
        )?;
    }
    Ok(())
}
