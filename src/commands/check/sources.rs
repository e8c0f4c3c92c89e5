//! What the collectors found, told so that it is of use when it is well, too.

use super::report::{Finding, Mark};
use crate::{
    advice,
    collect::{
        Context,
        health::{Condition, Report, Severity, SourceKind, Status, Subject},
        instance::Instance,
    },
    mib::{Dictionary, View},
    smi::{Objects, Value},
};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

/// `33 s`, `12 min`, `5 h`, `3 d`: the unit in which the number has at most two digits or so.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 message`, `2 messages`.
fn number(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Numbers of the View by name.
struct Tree<'a> {
    dictionary: &'a Dictionary,
    view: &'a View,
}

impl Tree<'_> {
    fn get(&self, name: &str, index: &[u32]) -> Option<Value> {
        self.view.get(&self.dictionary.oid(name, index)?, Instant::now()).ok()
    }

    fn number(&self, name: &str, index: &[u32]) -> Option<u64> {
        match self.get(name, index)? {
            Value::Gauge32(n) | Value::Counter32(n) => Some(n.into()),
            Value::Integer(n) => u64::try_from(n).ok(),
            _ => None,
        }
    }

    fn text(&self, name: &str, index: &[u32]) -> Option<String> {
        match self.get(name, index)? {
            Value::OctetString(octets) => Some(String::from_utf8_lossy(&octets).into_owned()),
            _ => None,
        }
    }

    /// The last parts of the indices of a column whose first part is `first`.
    fn rows(&self, name: &str, first: &[u32]) -> Vec<u32> {
        let Some(column) = self.dictionary.oid(name, first) else { return Vec::new() };
        let all = self.view.walk(Instant::now()).map(|(name, _)| name);
        all.filter_map(|name| name.strip_prefix(column.as_slice())?.first().copied()).collect()
    }
}

/// A finding for each source and each condition.
pub(super) fn sources(context: &Context, dictionary: &Dictionary, view: &View, findings: &mut Vec<Finding>) {
    let tree = Tree { dictionary, view };
    let conditions = context.health.all_conditions();
    for report in context.health.report() {
        let id = report.key.kind.label();
        let text = match report.status {
            Status::Ok => well(&report, &tree),
            Status::Disabled => "disabled by the configuration".into(),
            Status::Starting => "not read".into(),
            Status::Stale | Status::Failing => report.error.clone(),
        };
        let mark = match report.status {
            Status::Ok | Status::Disabled => Mark::Ok,
            Status::Starting => Mark::Note,
            Status::Stale | Status::Failing => Mark::Wrong,
        };
        findings.push(Finding::new(mark, id, &report.name, &text));
        if !report.remark.is_empty() {
            findings.push(Finding::note(id, &report.name, &report.remark));
        }
    }
    // Asked again: every file of the state has been read by now.
    let damaged = context.state.damaged();
    findings.extend(damaged.iter().map(|text| Finding::wrong("state", "state directory", text)));
    let told = |condition: &Condition| condition.subject == Subject::State && damaged.contains(&condition.text);
    for condition in conditions.into_iter().filter(|condition| !told(condition)) {
        let mark = if condition.severity == Severity::Unknown { Mark::Note } else { Mark::Wrong };
        let (id, subject) = match condition.subject {
            Subject::InstanceDown => ("instance-down", "instance"),
            Subject::Daemon => ("daemon", "daemons"),
            Subject::Queue => ("queue-condition", "queue"),
            Subject::Log => ("log-condition", "log"),
            Subject::Alarm => ("alarm", "alarm"),
            Subject::Probe => ("probe-condition", "probes"),
            Subject::Configuration => ("configuration", "configuration"),
            Subject::State => ("state", "state directory"),
        };
        // The command of a source that fails for the same reason is enough.
        findings.push(Finding::new(mark, id, subject, &condition.text));
    }
}

fn well(report: &Report, tree: &Tree<'_>) -> String {
    let instance = report.key.instance.unwrap_or_default();
    let details = match report.key.kind {
        SourceKind::Instance => of_instance(instance, tree),
        SourceKind::Queue => queue(instance, tree),
        SourceKind::Log => logs(tree),
        SourceKind::Processes => tree
            .number("postfixInstanceProcesses", &[instance])
            .map(|n| number(n, "process").replace("processs", "processes")),
        SourceKind::Services => {
            let rows = tree.rows("postfixServiceName", &[instance]).len();
            Some(format!("{rows} entries of master.cf"))
        }
        SourceKind::Probes => {
            let count = |column| u64::try_from(tree.rows(column, &[]).len()).unwrap_or(u64::MAX);
            let (probes, certificates) = (count("postfixProbeName"), count("postfixCertificateName"));
            Some(format!("{}, {}", number(probes, "probe"), number(certificates, "certificate")))
        }
    };
    match details {
        Some(details) => format!("{}, {details}", report.method),
        None => format!("{} ({} ms)", report.method, report.took.as_millis()),
    }
}

fn of_instance(instance: u32, tree: &Tree<'_>) -> Option<String> {
    let directory = tree.text("postfixInstanceConfigDirectory", &[instance])?;
    let version = tree.text("postfixInstanceVersion", &[instance]).unwrap_or_default();
    let pid = tree.number("postfixInstanceMasterPid", &[instance]).filter(|pid| *pid > 0);
    let master = pid.map_or("stopped".to_owned(), |pid| format!("master is process {pid}"));
    Some(format!("Postfix {version} in {directory}, {master}"))
}

fn queue(instance: u32, tree: &Tree<'_>) -> Option<String> {
    // maildrop, incoming, active, deferred, hold: what mailq counts.
    let all: Vec<u64> = (1..=5).filter_map(|kind| tree.number("postfixQueueMessages", &[instance, kind])).collect();
    if all.is_empty() {
        return None;
    }
    let deferred = tree.number("postfixQueueMessages", &[instance, 4]).unwrap_or(0);
    let oldest = (1..=5).filter_map(|kind| tree.number("postfixQueueOldestAge", &[instance, kind])).max();
    let messages = number(all.iter().sum(), "message");
    let oldest = oldest.filter(|_| all.iter().any(|n| *n > 0)).map(|seconds| format!(", the oldest {}", age(seconds)));
    Some(format!("{messages}, {deferred} deferred{}", oldest.unwrap_or_default()))
}

/// Every log that is read: its size, and how old its last line is.
fn logs(tree: &Tree<'_>) -> Option<String> {
    let rows = tree.rows("postfixLogFileName", &[]);
    let shown: Vec<String> = rows.iter().filter_map(|row| log(*row, tree)).collect();
    (!shown.is_empty()).then(|| shown.join("; "))
}

fn log(row: u32, tree: &Tree<'_>) -> Option<String> {
    let name = tree.text("postfixLogFileName", &[row])?;
    let file = std::fs::metadata(&name).ok();
    let written = file.as_ref().and_then(|meta| SystemTime::now().duration_since(meta.modified().ok()?).ok());
    let last = tree.number("postfixLogFileLastLineAge", &[row]).or(written.map(|since| since.as_secs()));
    let read = tree.number("postfixLogFileLinesRead", &[row]).filter(|lines| *lines > 0);
    let mut text = name;
    if let Some(meta) = file {
        text.push_str(&format!(" ({} KiB", meta.len().div_ceil(1024)));
        if let Some(lines) = read {
            text.push_str(&format!(", {} read", number(lines, "line")));
        }
        text.push(')');
    }
    if let Some(seconds) = last {
        text.push_str(&format!(", last line {} ago", age(seconds)));
    }
    Some(text)
}

/// Lines whose label does not begin with the instance's syslog_name, and that another instance's master.cf names as well, are
/// counted for that one, or for none. Stock Debian hard-codes such a label for relay, which is wrong in every instance but the
/// default one.
pub(super) fn labels(instance: &Instance, all: &[Arc<Instance>], findings: &mut Vec<Finding>) {
    let elsewhere = |label: &str| {
        let others = all.iter().filter(|other| other.index != instance.index);
        others
            .flat_map(|other| other.services.as_deref().unwrap_or_default())
            .any(|s| s.label.as_deref() == Some(label))
    };
    let services = instance.services.as_deref().unwrap_or_default();
    for (service, label) in services.iter().filter_map(|s| Some((s.key(), s.label.as_deref()?))) {
        let rest = label.strip_prefix(&instance.syslog_name);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) && elsewhere(label) {
            let name = &instance.syslog_name;
            let text = format!(
                "{service} logs as `{label}`, which is not below this instance's syslog_name `{name}` and is another instance's \
                 too, so its lines are not counted here; master.cf should say -o syslog_name={name}/$service_name"
            );
            let set = format!(
                "postconf -c {} -P '{service}/syslog_name={name}/$service_name'",
                advice::quoted(&instance.config_directory)
            );
            let reload = format!("postfix -c {} reload", advice::quoted(&instance.config_directory));
            let finding = Finding::new(Mark::Wrong, "label", format!("{} log", instance.name), &text);
            findings.push(finding.with([set, reload]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_the_unit_one_would_say() {
        let shown = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(age);
        assert_eq!(shown, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
        assert_eq!((number(1, "line"), number(0, "line")), ("1 line".into(), "0 lines".into()));
    }
}
