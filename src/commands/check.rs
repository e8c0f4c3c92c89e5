//! `postfix-agentx check`: looks at everything the daemon needs, as the user it is run as, and says what to do about what
//! is wrong. It collects once, exactly as the daemon would, so that it can't be of another opinion.

use super::{Failure, stop_on_signals};
use crate::{
    agentx,
    collect::{
        Context,
        health::{Severity, Status, Subject},
        instance::Instance,
    },
    config::{Config, DEFAULT_PATH},
    state::{StateDirectory, StateError},
    wiring::{Once, link_config},
};
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// Prints a line a finding; exit status 1 where one is wrong.
pub(super) fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = Config::load(file)?;
    let stop = stop_on_signals()?;
    let mut findings = vec![Finding::ok("configuration", &configuration(file))];
    let (finding, running) = state(&config);
    findings.push(finding);
    findings.push(snmpd(&config, running)?);
    let once = Once::collect(config, stop);
    findings.extend(once.context.state.refused().map(|e| Finding::new(Mark::Wrong, "state directory", e.to_string())));
    sources(&once.context, &mut findings);
    once.context.instances.current().iter().for_each(|instance| labels(instance, &mut findings));

    let mut out = io::stdout().lock();
    let wrong = findings.iter().any(|f| f.mark == Mark::Wrong);
    let written = findings.iter().try_for_each(|f| writeln!(out, "{:<6} {}: {}", f.mark.word(), f.subject, f.text));
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System("standard output", e)),
        _ => Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ok,
    /// Nothing to repair here, but worth knowing.
    Note,
    Wrong,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong => "WRONG",
        }
    }
}

struct Finding {
    mark: Mark,
    subject: String,
    text: String,
}

impl Finding {
    fn new(mark: Mark, subject: &str, text: impl Into<String>) -> Self {
        Self { mark, subject: subject.into(), text: text.into() }
    }

    fn ok(subject: &str, text: &str) -> Self {
        Self::new(Mark::Ok, subject, text)
    }
}

fn configuration(file: Option<&Path>) -> String {
    match file {
        Some(file) => file.display().to_string(),
        None if Path::new(DEFAULT_PATH).exists() => DEFAULT_PATH.to_owned(),
        None => format!("built-in defaults ({DEFAULT_PATH} does not exist)"),
    }
}

const RUNNING: &str = "the agent that is running";

/// The state directory, and whether an agent works with it: it holds the lock, and that is how it should be.
fn state(config: &Config) -> (Finding, bool) {
    let subject = "state directory";
    let path = &config.state_directory;
    if !path.is_dir() {
        let text =
            format!("{} does not exist; create it for the agent's user: install -d -m 750 -o USER {0}", path.display());
        return (Finding::new(Mark::Wrong, subject, text), false);
    }
    match StateDirectory::probe(path) {
        Ok(()) => (Finding::ok(subject, &path.display().to_string()), false),
        Err(StateError::Locked { holder, .. }) => {
            (Finding::ok(subject, &format!("{}, in use by {RUNNING} ({holder})", path.display())), true)
        }
        Err(e) => (Finding::new(Mark::Wrong, subject, e.to_string()), false),
    }
}

/// One session: connect, open, register, close.
fn snmpd(config: &Config, running: bool) -> Result<Finding, Failure> {
    let subject = "snmpd";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start a runtime", e))?;
    Ok(match runtime.block_on(agentx::try_register(link_config(config))) {
        Ok(address) => Finding::ok(subject, &format!("{} can be registered at {address}", config.agentx.root)),
        // Its own registration is the duplicate.
        Err(agentx::CheckError::Duplicate(_)) if running => {
            Finding::ok(subject, &format!("{} is registered, as it should be while {RUNNING} runs", config.agentx.root))
        }
        Err(e) => Finding::new(Mark::Wrong, subject, e.to_string()),
    })
}

fn sources(context: &Context, findings: &mut Vec<Finding>) {
    for report in context.health.report() {
        let finding = match report.status {
            Status::Ok => format!("{} ({} ms)", report.method, report.took.as_millis()),
            Status::Disabled => "disabled by the configuration".into(),
            Status::Starting => "not read".into(),
            Status::Stale | Status::Failing => report.error,
        };
        let mark = match report.status {
            Status::Ok | Status::Disabled => Mark::Ok,
            Status::Starting => Mark::Note,
            Status::Stale | Status::Failing => Mark::Wrong,
        };
        findings.push(Finding::new(mark, &report.name, finding));
    }
    for condition in context.health.all_conditions() {
        let mark = if condition.severity == Severity::Unknown { Mark::Note } else { Mark::Wrong };
        let subject = match condition.subject {
            Subject::InstanceDown => "instance",
            Subject::Daemon => "daemons",
            Subject::Queue => "queue",
            Subject::Log => "log",
            Subject::Alarm => "alarm",
        };
        findings.push(Finding::new(mark, subject, condition.text));
    }
}

/// Lines whose label does not begin with the instance's syslog_name are counted for another instance, or for none. Stock
/// Debian hard-codes such a label for relay, which is wrong in every instance but the default one.
fn labels(instance: &Instance, findings: &mut Vec<Finding>) {
    let services = instance.services.as_deref().unwrap_or_default();
    for (service, label) in services.iter().filter_map(|s| Some((s.key(), s.label.as_deref()?))) {
        let rest = label.strip_prefix(&instance.syslog_name);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            let text = format!(
                "{service} logs as `{label}`, which is not below this instance's syslog_name `{0}`, so its lines are not \
                 counted here; in {1}/master.cf set: -o syslog_name={0}/$service_name",
                instance.syslog_name,
                instance.config_directory.display()
            );
            findings.push(Finding::new(Mark::Wrong, &format!("{} log", instance.name), text));
        }
    }
}
