//! What postfixHealth must tell of an instance's daemons and services: what is the case, and what comes next.

use super::{
    daemon::{Kind, State},
    rows::Judged,
};
use crate::collect::{
    Throttled,
    health::{Condition, Severity, Subject},
    instance::{Instance, Service},
};
use std::time::Duration;

/// What Postfix does where service_throttle_time is not known.
const DEFAULT_THROTTLE_TIME: Duration = Duration::from_secs(60);
/// master tries a throttled service again after service_throttle_time; if that fails the log says so within this.
const THROTTLE_MARGIN: Duration = Duration::from_secs(15);

fn throttle_time(instance: &Instance) -> Duration {
    instance.duration("service_throttle_time").unwrap_or(DEFAULT_THROTTLE_TIME)
}

/// Whether master has given up starting `program` for now.
pub(super) fn is_throttled(instance: &Instance, program: &str, throttled: &Throttled) -> bool {
    let since = throttled.since(instance.index, program);
    since.is_some_and(|at| at.elapsed() < throttle_time(instance) + THROTTLE_MARGIN)
}

/// Of a running instance. Each text leaves room for postfixHealthText's `(N more)`.
pub(super) fn complaints(
    instance: &Instance,
    services: &[Service],
    daemons: &[Judged<'_>],
    throttled: &Throttled,
) -> Vec<Condition> {
    let name = &instance.name;
    let condition = |severity, text| Condition { severity, subject: Subject::Daemon, text };
    let qmgr = daemons.iter().find(|(daemon, ..)| daemon.kind == Kind::Qmgr);
    let mut conditions = Vec::new();
    if let Some((daemon, _, State::NotRunning)) = qmgr {
        let program = &daemon.program;
        let back = daemon.wakeup().map_or(300, |wakeup| wakeup.as_secs());
        let text = format!(
            "{name}: {program} does not run and no mail is delivered; master starts it with the next mail or wake-up, within {back} s; if it does not come back, the log says why"
        );
        conditions.push(condition(Severity::Critical, text));
    }
    let mut programs: Vec<&str> = services.iter().map(|service| service.entry.program()).collect();
    programs.sort_unstable();
    programs.dedup();
    for program in programs.into_iter().filter(|program| is_throttled(instance, program, throttled)) {
        let seconds = throttle_time(instance).as_secs();
        let no_qmgr = qmgr.is_some_and(|(daemon, _, state)| *state == State::Throttled && daemon.program == program);
        let severity = if no_qmgr { Severity::Critical } else { Severity::Warning };
        let entries = throttled.entries(instance.index, program, throttle_time(instance) + THROTTLE_MARGIN);
        let alone = services.iter().filter(|service| service.entry.program() == program).count() == 1;
        let of = if alone || entries.is_empty() { String::new() } else { format!(" of {}", entries.join(", ")) };
        let text = format!(
            "{name}: {program}{of} cannot be started, master tries again every {seconds} s; the log says why, in the lines of {program} and master before 'bad command startup -- throttling'"
        );
        conditions.push(condition(severity, text));
    }
    conditions
}
