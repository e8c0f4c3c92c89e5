//! What is not well: what the agent itself says of its host's health, and what the tables say besides.

use super::{
    gather::{Answered, Trouble},
    model::{Mail, Problem, Report, Severity},
};
use crate::{advice, shown::escaped};
use std::net::SocketAddr;

/// From how many percent of its limit a service is near to it.
pub(super) const NEAR: u32 = 90;

/// All that is told of one host.
pub(super) fn report(host: &str, address: Option<SocketAddr>, asked: Result<Answered, Trouble>) -> Report {
    let (host, address) = (host.to_owned(), address.map(|address| address.to_string()));
    match asked {
        Ok(Answered { mail, notes }) => {
            let problems = problems(&mail);
            let health = Severity::of_health(mail.agent.health);
            let status = problems.iter().map(|problem| problem.severity).max().unwrap_or(health).max(health);
            let summary = problems.first().map_or_else(|| "ok".to_owned(), Problem::line);
            let notes = notes.iter().map(escaped).collect();
            Report { host, address, status, summary, problems, notes, mail: Some(Box::new(mail)) }
        }
        Err(trouble) => {
            let text = escaped(trouble.to_string());
            let problem = Problem { severity: Severity::Unknown, subject: "SNMP".to_owned(), text, remedy: Vec::new() };
            let (status, problems) = (Severity::Unknown, vec![problem]);
            let summary = escaped(trouble.short());
            Report { host, address, status, summary, problems, notes: Vec::new(), mail: None }
        }
    }
}

impl Problem {
    fn new(severity: Severity, subject: impl Into<String>, text: &str) -> Self {
        let (text, commands) = advice::split(text);
        let remedy = commands.into_iter().map(str::to_owned).collect();
        Self { severity, subject: subject.into(), text: text.to_owned(), remedy }
    }

    /// Without what to do.
    pub(super) fn line(&self) -> String {
        if self.subject.is_empty() { self.text.clone() } else { format!("{}: {}", self.subject, self.text) }
    }
}

/// Worst first.
fn problems(mail: &Mail) -> Vec<Problem> {
    let mut found: Vec<Problem> = of_tables(mail);
    let health = Severity::of_health(mail.agent.health);
    let said = mail.agent.health_text.as_deref().unwrap_or("nothing is known of its health");
    // `(2 more) …`: the others are in the tables, where these were asked for.
    let parts = said.strip_prefix('(').and_then(|rest| rest.split_once(" more) "));
    let (others, cause) = parts.map_or((0, said), |(others, cause)| (others.parse().unwrap_or(0), cause));
    let said = if found.len() >= others { cause } else { said };
    let known = |problem: &Problem| cause.contains(&problem.text) || problem.text.contains(advice::split(cause).0);
    if health != Severity::Ok && (found.is_empty() || !found.iter().any(known)) {
        found.insert(0, Problem::new(health, "", said));
    } else if health != Severity::Ok
        && let Some(at) = found.iter().position(known)
    {
        // The agent's own judgement and its remedy.
        let same = &mut found[at];
        same.severity = same.severity.max(health);
        if same.remedy.is_empty() {
            same.remedy = Problem::new(health, "", said).remedy;
        }
    }
    found.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    found
}

fn of_tables(mail: &Mail) -> Vec<Problem> {
    let mut found = Vec::new();
    for alarm in mail.alarms.iter().flatten().filter(|alarm| alarm.state == Some("raised")) {
        let severity = if alarm.severity == Some("critical") { Severity::Critical } else { Severity::Warning };
        let text = alarm.text.clone().unwrap_or_else(|| {
            let value = alarm.value.map(|value| format!(", and it is {value}")).unwrap_or_default();
            format!("{}: {}{value}", alarm.name, alarm.condition.as_deref().unwrap_or("raised"))
        });
        found.push(Problem::new(severity, "alarm", &text));
    }
    for daemon in mail.daemons.iter().flatten() {
        let text = match daemon.state {
            // Where the instance itself does not run, its daemons do not either, and the agent has said so.
            Some("notRunning") if mail.agent.instances_down == Some(0) => "does not run",
            Some("throttled") => "cannot be started, master tries again; the log says why",
            _ => continue,
        };
        found.push(Problem::new(Severity::Warning, &daemon.name, text));
    }
    for service in mail.services.iter().flatten().filter(|service| service.near() >= NEAR) {
        let (processes, limit) = (service.processes.unwrap_or_default(), service.process_limit.unwrap_or_default());
        let text = format!("{processes} of {limit} processes: what comes beyond waits; see maxproc in master.cf");
        found.push(Problem::new(Severity::Warning, &service.name, &text));
    }
    // Where a certificate is what a probe complains of, the certificate tells it.
    let told = mail.certificates.iter().flatten().any(|one| !matches!(one.status, Some("ok") | None));
    let down = mail.probes.iter().flatten().filter(|probe| probe.status == Some("down"));
    for probe in down.filter(|probe| !(told && probe.kind == Some("certificate"))) {
        let error = probe.error.as_deref().unwrap_or("down");
        found.push(Problem::new(Severity::Warning, format!("probe {}", probe.name), error));
    }
    for certificate in mail.certificates.iter().flatten() {
        let days = certificate.days_left.unwrap_or_default();
        let (severity, text) = match certificate.status {
            Some("expired") => (Severity::Critical, format!("expired {} days ago", days.saturating_abs())),
            Some("expiring") => (Severity::Warning, format!("expires in {days} days")),
            Some("notYetValid") => (Severity::Warning, "is not valid yet".to_owned()),
            Some("untrusted") => (Severity::Warning, "is not trusted".to_owned()),
            Some("unreadable") => (Severity::Warning, "cannot be read".to_owned()),
            _ => continue,
        };
        let text = match certificate.error.as_deref() {
            Some(error) if error.starts_with(&text) => error.to_owned(),
            Some(error) => format!("{text}: {error}"),
            None => text,
        };
        let subject = format!("certificate {}", certificate.source);
        found.push(Problem::new(severity, subject, &text));
    }
    let logs = mail.logs.iter().flatten().map(|log| ("log ", log));
    let sources = mail.sources.iter().flatten().map(|source| ("source ", source));
    for (what, source) in sources.chain(logs) {
        let bad = matches!(source.status, Some("failing" | "stale"));
        let Some(error) = source.error.as_deref().filter(|_| bad) else { continue };
        let problem = Problem::new(Severity::Warning, format!("{what}{}", source.name), error);
        // A log file is the log of its instances as well, and several instances may log there.
        if !found.iter().any(|known: &Problem| known.text == problem.text) {
            found.push(problem);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::model::{Agent, Certificate, Source};

    fn mail(health: &'static str, text: &str) -> Mail {
        let agent = Agent { health: Some(health), health_text: Some(text.into()), ..Agent::default() };
        Mail { agent, ..Mail::default() }
    }

    #[test]
    fn health_is_told_once_with_its_remedy() {
        assert!(problems(&mail("ok", "ok")).is_empty());
        let failing = Source {
            name: "log".into(),
            method: None,
            status: Some("failing"),
            age_seconds: None,
            error: Some("/x: permission denied; do: chmod g+r /x".into()),
        };
        let mut broken = mail("warning", "(1 more) postfix log: /x: permission denied; do: chmod g+r /x");
        let alone = problems(&mail("critical", "(1 more) postfix: Postfix is stopped"));
        assert_eq!(alone[0].text, "(1 more) postfix: Postfix is stopped");
        broken.sources = Some(vec![failing.clone()]);
        broken.logs = Some(vec![Source { name: "/x".into(), ..failing }]);
        let found = problems(&broken);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].line().as_str(), found[0].remedy.len()), ("source log: /x: permission denied", 1));
        let mut several = broken;
        several.agent.health_text = Some("(1 more) postfix: Postfix is stopped".into());
        assert_eq!(problems(&several)[0].text, "postfix: Postfix is stopped", "the other one is below");
        let stopped = problems(&mail("critical", "postfix is down; do: postfix start"));
        assert_eq!((stopped[0].severity, stopped[0].line().as_str()), (Severity::Critical, "postfix is down"));
    }

    #[test]
    fn an_expired_certificate_is_critical_whatever_the_agent_says() {
        let mut expired = mail("ok", "ok");
        expired.certificates = Some(vec![Certificate {
            source: "mx:25".into(),
            subject: None,
            days_left: Some(-3),
            status: Some("expired"),
            error: None,
        }]);
        let shown = report("mx", None, Ok(Answered { mail: expired, notes: Vec::new() }));
        assert_eq!(
            (shown.status, shown.summary.as_str()),
            (Severity::Critical, "certificate mx:25: expired 3 days ago")
        );
    }
}
