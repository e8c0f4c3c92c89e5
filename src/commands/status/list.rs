//! Several hosts: a line each, the worst first.

use super::{
    model::{Report, Severity},
    paint::{Line, Style, Tone, UNKNOWN, age, count, left, rate, right},
    screen::tone,
};

/// From this width on there is room for the rates and the oldest mail.
const WIDE: usize = 110;

/// The order of the list: the worst first, then whoever has most mail waiting, then as written.
pub(super) fn order(reports: &[&Report]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..reports.len()).collect();
    let waiting = |report: &Report| report.mail.as_ref().and_then(|mail| mail.totals.messages);
    order.sort_by_key(|at| reports.get(*at).map(|report| std::cmp::Reverse((report.status, waiting(report)))));
    order
}

/// The list and what it adds up to.
pub(super) fn list(reports: &[&Report], style: &Style) -> Vec<Line> {
    let longest = reports.iter().map(|report| report.host.chars().count()).max().unwrap_or(0);
    let wide = style.width >= WIDE;
    let host = longest.clamp(8, if wide { 40 } else { 22 });
    let row = |title: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| right(cell, 9)).collect();
        format!("{} {cells}", left(title, host, style))
    };
    let heads = ["waiting", "deferred", "in/min", "out/min", "oldest"];
    let shown = if wide { &heads[..] } else { &heads[..3] };
    let head = row("host", &shown.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>());
    let mut lines = vec![Line::head(format!("{}{head}", left("status", 10, style)))];
    for at in order(reports) {
        let Some(report) = reports.get(at) else { continue };
        let mut cells = cells(report);
        cells.truncate(shown.len());
        let text = match report.status {
            Severity::Ok => String::new(),
            _ => format!("  {}", report.summary),
        };
        let line = Line::new().with(left(report.status.word(), 10, style), tone(report.status));
        let line = match report.mail {
            Some(_) => line.with(row(&report.host, &cells), Tone::Plain).with(text, Tone::Plain),
            None => line.with(left(&report.host, host, style), Tone::Plain).with(text, Tone::Plain),
        };
        // Piped, the text stays whole for grep.
        lines.push(if style.terminal { line.fit(style) } else { line });
    }
    lines.push(Line::new());
    lines.push(Line::plain(sum(reports)));
    lines
}

fn cells(report: &Report) -> Vec<String> {
    let Some(mail) = &report.mail else { return vec![UNKNOWN.to_owned(); 5] };
    let oldest = match mail.totals.deferred {
        Some(0) => String::new(),
        _ => age(mail.totals.deferred_oldest_age_seconds),
    };
    vec![
        count(mail.totals.messages),
        count(mail.totals.deferred),
        rate(mail.flow.received.per_minute),
        rate(mail.flow.delivered.per_minute),
        oldest,
    ]
}

fn sum(reports: &[&Report]) -> String {
    let levels = [
        (Severity::Critical, "critical"),
        (Severity::Unknown, "unknown"),
        (Severity::Warning, "warning"),
        (Severity::Ok, "ok"),
    ];
    let parts: Vec<String> = levels
        .iter()
        .map(|(level, word)| (reports.iter().filter(|report| report.status == *level).count(), word))
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    format!("{} hosts: {}", reports.len(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::{
        model::{Mail, Totals},
        paint::tests::style,
    };

    fn report(host: &str, status: Severity, waiting: Option<u32>) -> Report {
        let totals = Totals { messages: waiting, deferred: Some(0), ..Totals::default() };
        let mail = waiting.map(|_| Box::new(Mail { totals, ..Mail::default() }));
        let summary = format!("{host} is not well");
        Report { host: host.into(), address: None, status, summary, problems: Vec::new(), notes: Vec::new(), mail }
    }

    #[test]
    fn the_worst_is_first_and_a_line_each() {
        let reports = [
            report("a", Severity::Ok, Some(1)),
            report("b", Severity::Unknown, None),
            report("c", Severity::Critical, Some(2)),
            report("d", Severity::Ok, Some(9)),
        ];
        let reports: Vec<&Report> = reports.iter().collect();
        let style = style(80, None);
        let text = style.text(list(&reports, &style));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "status    host       waiting deferred   in/min");
        assert!(lines[1].starts_with("CRITICAL  c ") && lines[1].ends_with("?  c is not well"), "{text}");
        assert_eq!(lines[2], "UNKNOWN   b         b is not well");
        assert!(lines[3].starts_with("OK        d ") && lines[4].starts_with("OK        a "), "{text}");
        assert_eq!(lines[6], "4 hosts: 1 critical, 1 unknown, 2 ok");
    }
}
