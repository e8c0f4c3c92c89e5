//! The parts of a screen that are a line each where all is well: instances, services, probes, certificates, alarms, sources.

use super::{
    model::{Destination, Instance, Mail},
    paint::{Line, Style, Tone, UNKNOWN, age, count, left, right, size},
    problems::NEAR,
};
use std::collections::BTreeMap;

/// How far the text behind a section's name is in.
const NAME: usize = 14;

/// A line an instance.
pub(super) fn instances(mail: &Mail, style: &Style) -> Vec<Line> {
    mail.instances.iter().flatten().map(|instance| self::instance(instance, style)).collect()
}

fn instance(instance: &Instance, style: &Style) -> Line {
    let name = left(&instance.name, NAME.max(instance.name.len() + 1).min(30), style);
    let (state, tone) = match instance.state {
        Some("running") => (format!("running {}", age(instance.uptime_seconds)), Tone::Plain),
        Some("stopped") => ("STOPPED".to_owned(), Tone::Bad),
        _ => ("state unknown".to_owned(), Tone::Warn),
    };
    let version = instance.version.as_ref().map(|version| format!(", Postfix {version}"));
    let processes = instance.processes.map(|processes| format!(", {processes} processes"));
    let spool = instance.spool_free_percent.map(|percent| format!(", spool {percent} % free"));
    let room = instance
        .spool_free_mib
        .filter(|_| style.width >= 100)
        .map(|mib| format!(" ({})", size(Some(mib.saturating_mul(1024)))));
    let rest = [version, processes, spool, room].into_iter().flatten().collect::<String>();
    Line::plain(name).with(state, tone).with(rest, Tone::Plain)
}

/// Where mail went.
pub(super) fn destinations(mail: &Mail, destinations: &[Destination], style: &Style) -> Vec<Line> {
    if destinations.is_empty() {
        return Vec::new();
    }
    let several = mail.instances.as_ref().is_some_and(|instances| instances.len() > 1);
    let row = |title: &str, cells: [&str; 3], reason: &str| {
        let cells: String = cells.iter().map(|cell| right(cell, 9)).collect();
        format!("{}{cells}  {reason}", left(title, 26, style))
    };
    let mut lines =
        vec![Line::new(), Line::head(row("top destinations", ["sent", "deferred", "bounced"], "last reason"))];
    for one in destinations {
        let title = if several { format!("{} {}", one.instance, one.destination) } else { one.destination.clone() };
        let cells = [count(one.sent), count(one.deferrals), count(one.bounced)];
        let reason = one.last_reason.as_deref().unwrap_or_default();
        lines.push(Line::plain(row(&title, [&cells[0], &cells[1], &cells[2]], reason)));
    }
    lines
}

/// A line each; with `-v` all rows below.
pub(super) fn below(mail: &Mail, style: &Style) -> Vec<Line> {
    [
        reasons(mail, style),
        services(mail, style),
        probes(mail, style),
        certificates(mail, style),
        alarms(mail, style),
        sources(mail, style),
    ]
    .concat()
}

fn section(name: &str, text: impl Into<String>, tone: Tone, style: &Style) -> Line {
    Line::head(left(name, NAME, style)).with(text, tone)
}

fn detail(text: impl std::fmt::Display) -> Line {
    Line::plain(format!("{:NAME$}{text}", ""))
}

/// What the waiting recipients of all instances wait for, the most first.
fn reasons(mail: &Mail, style: &Style) -> Vec<Line> {
    let mut sums: BTreeMap<&str, u32> = BTreeMap::new();
    for one in mail.defer_reasons.iter().flatten() {
        let sum = sums.entry(one.reason).or_default();
        *sum = sum.saturating_add(one.recipients.unwrap_or_default());
    }
    let mut sums: Vec<(&str, u32)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, recipients)| std::cmp::Reverse(*recipients));
    let parts: Vec<String> = sums.iter().map(|(reason, recipients)| format!("{recipients} {reason}")).collect();
    if parts.is_empty() { Vec::new() } else { vec![section("deferred for", parts.join(", "), Tone::Plain, style)] }
}

fn services(mail: &Mail, style: &Style) -> Vec<Line> {
    let services = mail.services.as_deref().unwrap_or_default();
    let (Some(nearest), daemons) = (services.first(), mail.daemons.as_deref().unwrap_or_default()) else {
        return Vec::new();
    };
    let one = |service: &super::model::Service| {
        let limit = match service.process_limit {
            Some(0) => "no limit".to_owned(),
            Some(limit) => format!("of {limit}"),
            None => format!("of {UNKNOWN}"),
        };
        format!("{} {} {limit}", service.name, count(service.processes))
    };
    let near = services.iter().filter(|service| service.near() >= NEAR).count();
    let text = match near {
        0 if nearest.near() == 0 => format!("{}, none near its limit", services.len()),
        0 => format!("{}, none near its limit; the fullest is {}", services.len(), one(nearest)),
        near => format!("{}, near the limit: {near}", services.len()),
    };
    let tone = if near > 0 { Tone::Warn } else { Tone::Plain };
    let mut lines = vec![section("services", text, tone, style)];
    if style.verbose {
        lines.extend(services.iter().filter(|s| s.processes.is_some_and(|n| n > 0)).map(|s| detail(one(s))));
        lines.extend(daemons.iter().map(|daemon| {
            let restarts = match daemon.restarts {
                Some(0) | None => String::new(),
                Some(restarts) => format!(", restarted {restarts} times"),
            };
            detail(format!("{} {}{restarts}", daemon.name, daemon.state.unwrap_or(UNKNOWN)))
        }));
    }
    lines
}

fn probes(mail: &Mail, style: &Style) -> Vec<Line> {
    let probes = mail.probes.as_deref().unwrap_or_default();
    if probes.is_empty() {
        return Vec::new();
    }
    let with = |status| probes.iter().filter(|probe| probe.status == Some(status)).count();
    let (up, down) = (with("up"), with("down"));
    let mut text = if down > 0 { format!("{down} down, {up} up") } else { format!("{up} of {} up", probes.len()) };
    let slowest = probes.iter().filter(|probe| probe.status == Some("up")).max_by_key(|probe| probe.latency_ms);
    if let Some((probe, latency)) = slowest.and_then(|probe| Some((probe, probe.latency_ms?))) {
        text.push_str(&format!("; the slowest is {}: {latency} ms", probe.name));
    }
    let mut lines = vec![section("probes", text, if down > 0 { Tone::Bad } else { Tone::Plain }, style)];
    if style.verbose {
        lines.extend(probes.iter().map(|probe| {
            let latency = probe.latency_ms.map(|ms| format!(" in {ms} ms")).unwrap_or_default();
            let when = format!("{} ago", age(probe.age_seconds));
            let target = probe.target.as_deref().unwrap_or_default();
            detail(format!("{} {}{latency}, {when}, {target}", probe.name, probe.status.unwrap_or(UNKNOWN)))
        }));
    }
    lines
}

fn certificates(mail: &Mail, style: &Style) -> Vec<Line> {
    let all = mail.certificates.as_deref().unwrap_or_default();
    let Some(first) = all.iter().filter(|one| one.days_left.is_some()).min_by_key(|one| one.days_left) else {
        return Vec::new();
    };
    let days = first.days_left.unwrap_or_default();
    let bad = all.iter().filter(|one| one.status != Some("ok")).count();
    let when = if days < 0 { format!("expired {} days ago", -days) } else { format!("expires in {days} days") };
    let text = format!("{}; the first, {}, {when}", all.len(), first.source);
    let tone = match (days < 0, bad) {
        (true, _) => Tone::Bad,
        (_, 0) => Tone::Plain,
        _ => Tone::Warn,
    };
    let mut lines = vec![section("certificates", text, tone, style)];
    if style.verbose {
        lines.extend(all.iter().map(|one| {
            let days = one.days_left.map_or(UNKNOWN.to_owned(), |days| days.to_string());
            let subject = one.subject.as_deref().unwrap_or_default();
            detail(format!("{} {}, {days} days, {subject}", one.source, one.status.unwrap_or(UNKNOWN)))
        }));
    }
    lines
}

fn alarms(mail: &Mail, style: &Style) -> Vec<Line> {
    let all = mail.alarms.as_deref().unwrap_or_default();
    if all.is_empty() {
        return Vec::new();
    }
    let raised = all.iter().filter(|alarm| alarm.state == Some("raised")).count();
    let (text, tone) = match raised {
        0 => (format!("{}, none raised", all.len()), Tone::Plain),
        raised => (format!("{raised} of {} raised", all.len()), Tone::Warn),
    };
    let mut lines = vec![section("alarms", text, tone, style)];
    if style.verbose {
        lines.extend(all.iter().map(|alarm| {
            let value = alarm.value.map_or(UNKNOWN.to_owned(), |value| value.to_string());
            let condition = alarm.condition.as_deref().unwrap_or_default();
            let since = age(alarm.since_seconds);
            detail(format!("{} {} since {since}: {condition}, now {value}", alarm.name, alarm.state.unwrap_or(UNKNOWN)))
        }));
    }
    lines
}

fn sources(mail: &Mail, style: &Style) -> Vec<Line> {
    let all = mail.sources.as_deref().unwrap_or_default();
    if all.is_empty() {
        return Vec::new();
    }
    let wanted: Vec<_> = all.iter().filter(|source| source.status != Some("disabled")).collect();
    let bad: Vec<String> = wanted
        .iter()
        .filter(|source| source.status != Some("ok"))
        .map(|source| format!("{} {}", source.name, source.status.unwrap_or(UNKNOWN)))
        .collect();
    let (text, tone) = match bad.len() {
        0 => (format!("all {} are read", wanted.len()), Tone::Plain),
        _ => (bad.join(", "), Tone::Warn),
    };
    let mut lines = vec![section("sources", text, tone, style)];
    if style.verbose {
        let logs = mail.logs.iter().flatten().map(|log| (log, "the last line"));
        lines.extend(all.iter().map(|source| (source, "read")).chain(logs).map(|(source, what)| {
            let method = source.method.as_ref().map(|method| format!(" ({method})")).unwrap_or_default();
            let when = source.age_seconds.map(|seconds| format!(", {what} {} ago", age(Some(seconds))));
            let when = when.unwrap_or_default();
            detail(format!("{}{method} {}{when}", source.name, source.status.unwrap_or(UNKNOWN)))
        }));
    }
    lines
}
