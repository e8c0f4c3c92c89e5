//! One host on one screen: 80 columns by 24 lines where all is well, more where there is more room or more to tell.

use super::{
    model::{Domain, Mail, Problem, Queue, Report, Severity},
    paint::{Line, Style, Tone, UNKNOWN, age, count, left, rate, right, short, size, wrapped},
    sections,
    watch::History,
};

/// Upper bounds of qshape's buckets; 160 minutes and more in hours, rounded.
const AGES: [&str; 10] = ["5m", "10m", "20m", "40m", "80m", "3h", "5h", "11h", "21h", "+"];
/// Queues that are shown even when they are empty, in the order in which mail passes them.
const ALWAYS: [&str; 5] = ["maildrop", "incoming", "active", "deferred", "hold"];
/// From this width on ages have numbers beside their bars.
const WIDE: usize = 116;
/// How many problems are shown before `-v` is needed.
const PROBLEMS: usize = 8;
/// Lines that a table of domains takes besides its rows.
const TABLE_HEAD: usize = 2;

/// All lines. `history`: of a screen that stays.
pub(super) fn screen(report: &Report, style: &Style, history: Option<&History>) -> Vec<Line> {
    let mut lines = head(report, style);
    let Some(mail) = &report.mail else {
        lines.extend(problems(report, style));
        return lines.into_iter().map(|line| line.fit(style)).collect();
    };
    lines.extend(sections::instances(mail, style));
    lines.extend(problems(report, style));
    lines.push(Line::new());
    lines.extend(queues(mail, style));
    lines.push(Line::new());
    lines.extend(match history {
        Some(history) => history.lines(mail, style),
        None => flow(mail, style),
    });
    let mut below = vec![Line::new()];
    below.extend(sections::below(mail, style));
    below.extend(report.notes.iter().map(|note| Line::plain(format!("note: {note}"))));
    // A line is left for the shell's next prompt.
    let taken = lines.len() + below.len() + usize::from(history.is_none());
    let room = style.height.filter(|_| !style.verbose).map(|height| height.saturating_sub(taken));
    lines.extend(tables(mail, style, room, report.status));
    lines.extend(below);
    lines.into_iter().map(|line| line.fit(style)).collect()
}

pub(super) fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Ok => Tone::Good,
        Severity::Warning => Tone::Warn,
        Severity::Unknown | Severity::Critical => Tone::Bad,
    }
}

fn head(report: &Report, style: &Style) -> Vec<Line> {
    let hostname = report.mail.as_ref().and_then(|mail| mail.hostname.clone());
    let name = match (&hostname, &report.address) {
        (Some(name), _) if *name != report.host => format!("{name} ({})", report.host),
        (None, Some(address)) if !address.starts_with(&report.host) => format!("{} ({address})", report.host),
        _ => report.host.clone(),
    };
    let mut line = Line::head(name).with("  ", Tone::Plain).with(report.status.word(), tone(report.status));
    if let Some(mail) = &report.mail {
        let version = mail.agent.version.as_deref().unwrap_or(UNKNOWN);
        let agent = format!("postfix-agentx {version}, up {}", age(mail.agent.uptime_seconds));
        let room = style.width.saturating_sub(line.width());
        line = line.with(right(&agent, room.max(agent.len() + 2)), Tone::Plain);
    }
    vec![line]
}

fn problems(report: &Report, style: &Style) -> Vec<Line> {
    let shown = if style.verbose { report.problems.len() } else { PROBLEMS };
    let mut lines: Vec<Line> =
        report.problems.iter().take(shown).flat_map(|problem| self::problem(problem, style)).collect();
    if report.problems.len() > shown {
        lines.push(Line::plain(format!("          {} more; -v shows them", report.problems.len() - shown)));
    }
    lines
}

/// The text in the lines it needs, and what to do below, where a command is never broken.
fn problem(problem: &Problem, style: &Style) -> Vec<Line> {
    const INDENT: usize = 10;
    let word = left(problem.severity.word(), INDENT, style);
    let mut lines = Vec::new();
    for (number, part) in wrapped(&problem.line(), style.width - INDENT).into_iter().enumerate() {
        lines.push(match number {
            0 => Line::new().with(&word, tone(problem.severity)).with(part, Tone::Plain),
            _ => Line::plain(format!("{:INDENT$}{part}", "")),
        });
    }
    lines.extend(problem.remedy.iter().map(|command| Line::plain(format!("{:12}{command}", ""))));
    lines
}

/// The queues of all instances together; `-v` shows each instance's.
fn queues(mail: &Mail, style: &Style) -> Vec<Line> {
    let all = mail.queues.as_deref().unwrap_or_default();
    let mut names: Vec<&str> = all.iter().map(|queue| queue.instance.as_str()).collect();
    names.dedup();
    if style.verbose && names.len() > 1 {
        let of = |name: &&str| {
            let own: Vec<Queue> = all.iter().filter(|queue| queue.instance == *name).cloned().collect();
            queue_table(name, &own, style)
        };
        return names.iter().flat_map(of).collect();
    }
    queue_table("queue", &together(all), style)
}

/// Sums over the instances; a queue that one of them does not know is not known.
fn together(all: &[Queue]) -> Vec<Queue> {
    let mut sums: Vec<Queue> = Vec::new();
    for queue in all {
        let Some(sum) = sums.iter_mut().find(|sum| sum.queue == queue.queue) else {
            sums.push(queue.clone());
            continue;
        };
        let add = |a: Option<u32>, b: Option<u32>| a.zip(b).map(|(a, b)| a.saturating_add(b));
        sum.messages = add(sum.messages, queue.messages);
        sum.kib = add(sum.kib, queue.kib);
        sum.oldest_age_seconds = sum.oldest_age_seconds.zip(queue.oldest_age_seconds).map(|(a, b)| a.max(b));
        for (sum, own) in sum.messages_by_age.iter_mut().zip(&queue.messages_by_age) {
            *sum = add(*sum, *own);
        }
    }
    sums
}

fn queue_table(title: &str, queues: &[Queue], style: &Style) -> Vec<Line> {
    let cell = if style.width >= WIDE { 8 } else { 4 };
    let ages: String = AGES.iter().map(|age| right(age, cell)).collect();
    let columns = [left(title, 9, style), right("messages", 9), right("size", 10), right("oldest", 9)].concat();
    let mut lines = vec![Line::head(format!("{columns}  {}", ages.trim_end()))];
    let most = queues.iter().flat_map(|queue| &queue.messages_by_age).flatten().max().copied().unwrap_or(0);
    let shown = ALWAYS.iter().copied().chain(["corrupt", "saved"]);
    for name in shown {
        let queue = queues.iter().find(|queue| queue.queue == name);
        let messages = queue.and_then(|queue| queue.messages);
        let always = ALWAYS.contains(&name);
        if !always && messages.unwrap_or(0) == 0 {
            continue;
        }
        let oldest = match (messages, queue.and_then(|queue| queue.oldest_age_seconds)) {
            (Some(0), _) => String::new(),
            (_, oldest) => age(oldest),
        };
        let columns = [
            left(name, 9, style),
            right(&count(messages), 9),
            right(&size(queue.and_then(|queue| queue.kib)), 10),
            right(&oldest, 9),
        ];
        let bars: String = queue
            .map(|q| &q.messages_by_age[..])
            .unwrap_or_default()
            .iter()
            .map(|n| bucket(*n, most, cell, style))
            .collect();
        let tone = if always { Tone::Plain } else { Tone::Warn };
        lines.push(Line::new().with(columns.concat(), tone).with(format!("  {bars}"), Tone::Plain));
    }
    lines
}

/// One bucket: a bar whose height goes with the logarithm, since queues of ten and of ten thousand stand side by side.
fn bucket(messages: Option<u32>, most: u32, cell: usize, style: &Style) -> String {
    let Some(messages) = messages else { return right(UNKNOWN, cell) };
    let part = if messages == 0 { 0.0 } else { 8.0 * f64::from(messages).ln_1p() / f64::from(most.max(1)).ln_1p() };
    let bar = (1..=8).rev().find(|height| part >= f64::from(*height)).unwrap_or(u8::from(messages > 0));
    let bar = style.bar(usize::from(bar));
    match (messages, cell) {
        (_, 4) => format!(" {bar}{bar}{bar}"),
        (0, _) => right("", cell),
        (n, _) => format!("{} {bar}{bar}", right(&short(n), cell - 3)),
    }
}

/// What came in and what became of it: now, on average, and in all.
fn flow(mail: &Mail, style: &Style) -> Vec<Line> {
    let flow = &mail.flow;
    let named = flow.named();
    let row = |title: &str, cells: [String; 5]| {
        [left(title, 24, style)].into_iter().chain(cells.map(|cell| right(&cell, 11))).collect::<String>()
    };
    let mut lines = vec![Line::head(row("mail", named.map(|(name, _)| name.to_owned())))];
    if let Some(seconds) = flow.sample_seconds {
        let title = format!("a minute, now ({seconds:.0} s)");
        lines.push(Line::plain(row(&title, named.map(|(_, count)| rate(count.per_minute)))));
    }
    lines.push(Line::plain(row("a minute, on average", named.map(|(_, count)| rate(count.average_per_minute)))));
    let since = match &flow.since {
        // To the minute: seconds and zone are in JSON.
        Some(since) => format!("since {}", since.get(..16).unwrap_or(since)),
        None => "since ?".to_owned(),
    };
    lines.push(Line::plain(row(&since, named.map(|(_, number)| count(number.count)))));
    lines
}

/// Destinations and waiting domains, in the room there is; where something is wrong they get some in any case.
fn tables(mail: &Mail, style: &Style, room: Option<usize>, status: Severity) -> Vec<Line> {
    let domains = mail.domains.as_deref().unwrap_or_default();
    let destinations = mail.destinations.as_deref().unwrap_or_default();
    let limit = if style.verbose { usize::MAX } else { 10 };
    let least = if status == Severity::Ok { 0 } else { 3 };
    let rows = |room: Option<usize>, length: usize| {
        let room = room.map_or(limit, |room| room.saturating_sub(TABLE_HEAD).max(least));
        length.min(room).min(if room > limit { room } else { limit })
    };
    let waiting = rows(room, domains.len());
    let mut lines = domain_table(mail, &domains[..waiting], domains.len() - waiting, style);
    let left = room.map(|room| room.saturating_sub(lines.len()));
    let busy = rows(left, destinations.len());
    let busy = if left.is_some_and(|left| left <= TABLE_HEAD) { 0 } else { busy };
    lines.extend(sections::destinations(mail, &destinations[..busy], style));
    lines
}

fn domain_table(mail: &Mail, domains: &[Domain], more: usize, style: &Style) -> Vec<Line> {
    if domains.is_empty() {
        return Vec::new();
    }
    let several = mail.instances.as_ref().is_some_and(|instances| instances.len() > 1);
    let name = if style.width >= WIDE { 40 } else { 26 };
    let title = if more > 0 { format!("waiting for ({more} more)") } else { "waiting for".to_owned() };
    let retry = domains.iter().any(|domain| domain.next_retry_seconds.is_some());
    let row = |title: &str, cells: [&str; 3], reason: &str| {
        let retry = if retry { right(cells[2], 9) } else { String::new() };
        [left(title, name, style), right(cells[0], 9), right(cells[1], 9), retry, format!("  {reason}")].concat()
    };
    let reasons = domains.iter().any(|domain| domain.reason.is_some());
    let head = row(&title, ["messages", "oldest", "retry in"], if reasons { "because" } else { "" });
    let mut lines = vec![Line::new(), Line::head(head)];
    for domain in domains {
        let title = if several { format!("{} {}", domain.instance, domain.domain) } else { domain.domain.clone() };
        let reason = domain.reason_text.as_deref().or(domain.reason).unwrap_or_default();
        let cells = [count(domain.messages), age(domain.oldest_age_seconds), age(domain.next_retry_seconds)];
        lines.push(Line::plain(row(&title, [&cells[0], &cells[1], &cells[2]], reason)));
    }
    lines
}
