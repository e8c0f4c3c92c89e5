//! How findings are shown: one a line, what to do about it on lines of its own, a summary at the end; or as JSON.

use crate::{advice, shown::escaped};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Ok,
    /// Nothing that must be repaired here, but worth knowing.
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

    /// ECMA-48: green, yellow, bold red.
    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Note => "33",
            Self::Wrong => "1;31",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) mark: Mark,
    /// What it is about, for programs: it stays.
    pub(super) id: &'static str,
    /// What it is about, for people.
    pub(super) subject: String,
    /// What was found.
    pub(super) text: String,
    /// Commands to copy, in this order.
    pub(super) remedy: Vec<String>,
}

impl Finding {
    /// Commands that the text came with become the remedy.
    pub(super) fn new(mark: Mark, id: &'static str, subject: impl Into<String>, text: &str) -> Self {
        let (text, commands) = advice::split(text);
        let remedy = if mark == Mark::Ok { Vec::new() } else { commands.into_iter().map(str::to_owned).collect() };
        Self { mark, id, subject: subject.into(), text: text.to_owned(), remedy }
    }

    pub(super) fn ok(id: &'static str, subject: impl Into<String>, text: &str) -> Self {
        Self::new(Mark::Ok, id, subject, text)
    }

    pub(super) fn note(id: &'static str, subject: impl Into<String>, text: &str) -> Self {
        Self::new(Mark::Note, id, subject, text)
    }

    pub(super) fn wrong(id: &'static str, subject: impl Into<String>, text: &str) -> Self {
        Self::new(Mark::Wrong, id, subject, text)
    }

    pub(super) fn with(mut self, remedy: impl IntoIterator<Item = String>) -> Self {
        self.remedy.extend(remedy);
        self
    }
}

/// How wide, and whether in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// `None`: lines are as long as they are.
    pub(super) width: Option<usize>,
    pub(super) colour: bool,
}

impl Style {
    /// A terminal's width, and colour there unless NO_COLOR says otherwise (no-color.org). Nothing else is wrapped, so that
    /// grep finds whole findings.
    pub(super) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = terminal.then(terminal_width).map(|width| width.max(40));
        Self { width, colour: terminal && !no_colour && !dumb }
    }
}

/// Columns of the terminal; 80 where it does not say.
fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    size.filter(|columns| *columns > 0).unwrap_or(80)
}

/// How far the text of a finding is in.
const INDENT: usize = 7;
/// How far a command is in.
const COMMAND: usize = 11;

/// All of it as text.
pub(super) fn text(findings: &[Finding], style: Style) -> String {
    let mut out = String::new();
    for finding in findings {
        let word = format!("{:<6}", finding.mark.word());
        let word = if style.colour { format!("\x1b[{}m{word}\x1b[0m", finding.mark.colour()) } else { word };
        let line = escaped(format!("{}: {}", finding.subject, finding.text));
        let mut lines = wrapped(&line, style.width.map(|width| width.saturating_sub(INDENT))).into_iter();
        let _ = writeln!(out, "{word} {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(out, "{:INDENT$}{line}", "");
        }
        for command in &finding.remedy {
            // Never wrapped: it is to be copied.
            let _ = writeln!(out, "{:COMMAND$}{}", "", escaped(command));
        }
    }
    out.push('\n');
    for line in wrapped(&summary(findings), style.width) {
        let _ = writeln!(out, "{line}");
    }
    out
}

fn count(findings: &[Finding], mark: Mark) -> usize {
    findings.iter().filter(|finding| finding.mark == mark).count()
}

fn summary(findings: &[Finding]) -> String {
    let (wrong, notes, all) = (count(findings, Mark::Wrong), count(findings, Mark::Note), findings.len());
    let notes = match notes {
        0 => String::new(),
        1 => ", 1 note".to_owned(),
        n => format!(", {n} notes"),
    };
    match wrong {
        0 => format!("All {all} findings are well{notes}."),
        n => format!(
            "{n} of {all} findings {} wrong{notes}: do what is indented below, then check again.",
            if n == 1 { "is" } else { "are" }
        ),
    }
}

/// `text` in lines of at most `width` columns, broken at spaces; a longer word stays whole.
fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
        }
    }
    lines
}

/// The same for programs; README documents it.
pub(super) fn as_json(findings: &[Finding]) -> Value {
    let all: Vec<Value> = findings
        .iter()
        .map(|f| {
            let status = f.mark.word().to_ascii_lowercase();
            json!({ "status": status, "id": f.id, "subject": f.subject, "text": f.text, "remedy": f.remedy })
        })
        .collect();
    let wrong = count(findings, Mark::Wrong);
    json!({ "ok": wrong == 0, "wrong": wrong, "notes": count(findings, Mark::Note), "findings": all })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("configuration", "configuration", "/etc/postfix-agentx.yaml; do: nothing"),
            Finding::wrong(
                "log",
                "postfix log",
                "/var/log/mail.log: permission denied; do: usermod -aG adm agent && systemctl restart postfix-agentx",
            ),
        ]
    }

    const PLAIN: Style = Style { width: None, colour: false };

    #[test]
    fn one_finding_a_line_and_its_commands_below() {
        let shown = text(&findings(), PLAIN);
        assert_eq!(
            shown,
            "ok     configuration: /etc/postfix-agentx.yaml\nWRONG  postfix log: /var/log/mail.log: permission denied\n           \
             usermod -aG adm agent\n           systemctl restart postfix-agentx\n\n1 of 2 findings is wrong: do what is indented below, then check again.\n"
        );
        assert!(text(&findings()[..1], PLAIN).ends_with("\nAll 1 findings are well.\n"));
    }

    #[test]
    fn a_terminal_gets_colour_and_its_width() {
        let shown = text(&findings(), Style { width: Some(40), colour: true });
        assert!(
            shown.contains("\x1b[1;31mWRONG \x1b[0m postfix log: /var/log/mail.log:\n       permission denied\n"),
            "{shown:?}"
        );
        assert!(shown.lines().all(|line| line.starts_with("           ") || line.len() < 60), "{shown}");
        assert!(shown.contains("           systemctl restart postfix-agentx\n"), "a command is never broken: {shown}");
    }

    #[test]
    fn foreign_text_does_not_steer_the_terminal() {
        let finding = Finding::wrong("log", "x", "a\x1b[2J\nb");
        assert_eq!(text(&[finding], PLAIN).lines().next(), Some("WRONG  x: a\\x1b[2J\\x0ab"));
    }

    #[test]
    fn json_says_the_same() {
        let shown = as_json(&findings());
        assert_eq!((&shown["ok"], &shown["wrong"]), (&json!(false), &json!(1)));
        assert_eq!(shown["findings"][1]["remedy"][0], "usermod -aG adm agent");
        assert_eq!(shown["findings"][1]["status"], "wrong");
    }
}
