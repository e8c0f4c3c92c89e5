//! One line as monitoring plugins print it (Monitoring Plugins Development Guidelines): status, text, performance data.

use super::model::{Report, Severity};

/// `POSTFIX OK - mx.example: ok | waiting=11;;;0 …`.
pub(super) fn line(report: &Report) -> String {
    let more = report.problems.len().saturating_sub(1);
    let more = if more > 0 { format!(" ({more} more)") } else { String::new() };
    let text = format!("{}: {}{more}", report.host, report.summary);
    let data = performance(report);
    let bar = if data.is_empty() { "" } else { " | " };
    format!("{}{bar}{data}\n", head(report.status, &text))
}

/// Also for what went wrong before anybody was asked.
pub(super) fn head(status: Severity, text: &str) -> String {
    // What stands behind a bar is data.
    format!("POSTFIX {} - {}", status.word(), text.replace('|', "/").replace('\n', " "))
}

/// What is not known is left out: `U` would be drawn as a gap as well, and not every reader knows it.
fn performance(report: &Report) -> String {
    let Some(mail) = &report.mail else { return String::new() };
    let (totals, flow) = (&mail.totals, &mail.flow);
    let levels = [
        ("waiting", totals.messages, ""),
        ("maildrop", totals.maildrop, ""),
        ("incoming", totals.incoming, ""),
        ("active", totals.active, ""),
        ("deferred", totals.deferred, ""),
        ("hold", totals.hold, ""),
        ("size", totals.kib, "KB"),
        ("oldest", totals.oldest_age_seconds, "s"),
        ("deferred_oldest", totals.deferred_oldest_age_seconds, "s"),
        ("processes", totals.processes, ""),
        ("alarms", mail.agent.alarms_raised, ""),
        ("sources_failing", mail.agent.sources_failing, ""),
    ];
    let counters = flow.named().map(|(name, count)| (name, count.count, "c"));
    let named = |(name, number, unit): (&str, Option<u32>, &str)| {
        // The queue is called so as well.
        let name = if unit == "c" { format!("mail_{name}") } else { name.to_owned() };
        number.map(|number| format!("{name}={number}{unit};;;0"))
    };
    let days = mail.certificates.iter().flatten().filter_map(|one| one.days_left).min();
    let days = days.map(|days| format!("certificate_days={days}"));
    let rates = flow.named().map(|(name, count)| count.per_minute.map(|rate| format!("{name}_per_minute={rate};;;0")));
    let all = levels.into_iter().chain(counters).map(named).chain([days]).chain(rates);
    all.flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::model::{Count, Flow, Mail, Problem, Totals};

    #[test]
    fn one_line_with_data_and_nothing_that_is_not_known() {
        let totals = Totals { messages: Some(11), kib: Some(4), ..Totals::default() };
        let received = Count { count: Some(28), per_minute: Some(1.5), ..Count::default() };
        let mail = Mail { totals, flow: Flow { received, ..Flow::default() }, ..Mail::default() };
        let problem =
            Problem { severity: Severity::Warning, subject: String::new(), text: "a|b".into(), remedy: Vec::new() };
        let report = Report {
            host: "mx".into(),
            address: None,
            status: Severity::Warning,
            summary: "a|b\nc".into(),
            problems: vec![problem.clone(), problem],
            notes: Vec::new(),
            mail: Some(Box::new(mail)),
        };
        assert_eq!(
            line(&report),
            "POSTFIX WARNING - mx: a/b c (1 more) | waiting=11;;;0 size=4KB;;;0 mail_received=28c;;;0 received_per_minute=1.5;;;0\n"
        );
    }
}
