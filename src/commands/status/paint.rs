//! Lines of text with tones, as wide as the terminal; and how ages, sizes and rates are written so that they stay short.

use std::io::IsTerminal;
use std::{env, io};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a reader has to fill in where something is not known. It is not 0.
pub(super) const UNKNOWN: &str = "?";

/// How a piece of a line looks, in colour or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Head,
    Good,
    Warn,
    Bad,
}

impl Tone {
    /// ECMA-48. Bold is no colour, and stays where NO_COLOR is set.
    fn code(self, colour: bool) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Head => Some("1"),
            Self::Good if colour => Some("32"),
            Self::Warn if colour => Some("33"),
            Self::Bad if colour => Some("1;31"),
            Self::Good => None,
            Self::Warn | Self::Bad => Some("1"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// One line of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<Span>);

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new().with(text, Tone::Plain)
    }

    pub(super) fn head(text: impl Into<String>) -> Self {
        Self::new().with(text, Tone::Head)
    }

    pub(super) fn with(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push(Span { text: text.into(), tone });
        self
    }

    /// Columns that it takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|span| span.text.width()).sum()
    }

    /// No longer than the screen is wide.
    pub(super) fn fit(self, style: &Style) -> Self {
        let mut left = style.width;
        let mut fitted = Self::new();
        for span in self.0 {
            let text = cut(&span.text, left, style);
            left -= text.width();
            fitted.0.push(Span { text, ..span });
        }
        fitted
    }
}

/// How much room there is, and what the terminal can show.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) width: usize,
    /// `None`: as long as it gets.
    pub(super) height: Option<usize>,
    /// On a terminal bold, and colour unless that is not wanted; elsewhere neither.
    pub(super) terminal: bool,
    pub(super) colour: bool,
    pub(super) unicode: bool,
    pub(super) verbose: bool,
}

/// Where nobody says how wide and how high.
const USUAL_WIDTH: usize = 80;
const USUAL_HEIGHT: usize = 24;
/// Columns are made for no less.
const LEAST_WIDTH: usize = 60;

impl Style {
    /// Of standard output. What is not a terminal gets 80 columns and 24 lines or what COLUMNS and LINES say, and no sequences.
    pub(super) fn of_stdout(verbose: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let size = terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        let said = |name: &str| env::var(name).ok().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
        let width = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let height = size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0);
        Self {
            width: width.or_else(|| said("COLUMNS")).unwrap_or(USUAL_WIDTH).clamp(LEAST_WIDTH, 500),
            height: Some(height.or_else(|| said("LINES")).unwrap_or(USUAL_HEIGHT)),
            terminal: terminal && !dumb,
            colour: terminal && !dumb && !set("NO_COLOR"),
            unicode: is_utf8(|name| env::var(name).ok()),
            verbose,
        }
    }

    /// The lines as they go to standard output.
    pub(super) fn text(&self, lines: Vec<Line>) -> String {
        let mut out = String::new();
        for line in lines {
            let mut one = String::new();
            for span in line.0 {
                match span.tone.code(self.colour).filter(|_| self.terminal) {
                    Some(code) => one.push_str(&format!("\x1b[{code}m{}\x1b[0m", span.text)),
                    None => one.push_str(&span.text),
                }
            }
            out.push_str(one.trim_end());
            out.push('\n');
        }
        out
    }

    /// A bar of one column, as high as `part` of 8.
    pub(super) fn bar(&self, part: usize) -> char {
        let bars = if self.unicode { " ▁▂▃▄▅▆▇█" } else { " .:-=+*#@" };
        bars.chars().nth(part.min(8)).unwrap_or(' ')
    }
}

/// What locale(7) says of the character set: LC_ALL before LC_CTYPE before LANG.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
    set.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// At most `width` columns of it; what is left out shows as an ellipsis.
pub(super) fn cut(text: &str, width: usize, style: &Style) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if style.unicode { "…" } else { "~" };
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push_str(mark);
    }
    out
}

/// In a column of this width, to the left.
pub(super) fn left(text: &str, width: usize, style: &Style) -> String {
    let text = cut(text, width, style);
    let room = width.saturating_sub(text.width());
    text + &" ".repeat(room)
}

/// In a column of this width, to the right.
pub(super) fn right(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(text.width())) + text
}

/// In lines of this width, broken at spaces; a longer word stays whole.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let used = lines.last().map_or(0, |line| line.width());
        if used > 0 && used + 1 + word.width() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// `45 s`, `12 min`, `5 h`, `3 d`.
pub(super) fn age(seconds: Option<u32>) -> String {
    match seconds {
        None => UNKNOWN.to_owned(),
        Some(s @ 0..120) => format!("{s} s"),
        Some(s @ 120..7_200) => format!("{} min", s / 60),
        Some(s @ 7_200..172_800) => format!("{} h", s / 3_600),
        Some(s) => format!("{} d", s / 86_400),
    }
}

/// `4 KiB`, `1.2 MiB`.
pub(super) fn size(kib: Option<u32>) -> String {
    let Some(kib) = kib else { return UNKNOWN.to_owned() };
    let (mut number, mut units) = (f64::from(kib), ["KiB", "MiB", "GiB", "TiB"].iter());
    let mut unit = units.next();
    while number >= 1024.0
        && let Some(next) = units.next()
    {
        (number, unit) = (number / 1024.0, Some(next));
    }
    let digits = usize::from(number < 10.0 && kib >= 1024);
    format!("{number:.digits$} {}", unit.unwrap_or(&""))
}

/// Up to six digits, then thousands, millions, thousands of millions.
pub(super) fn count(number: Option<u32>) -> String {
    match number {
        None => UNKNOWN.to_owned(),
        Some(n @ 0..1_000_000) => n.to_string(),
        Some(n @ 1_000_000..100_000_000) => format!("{}k", n / 1_000),
        Some(n) => format!("{}M", n / 1_000_000),
    }
}

/// In four columns: `9999`, `12k`, `3M`.
pub(super) fn short(number: u32) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// Events a minute: `0`, `0.3`, `12`.
pub(super) fn rate(number: Option<f64>) -> String {
    match number {
        None => UNKNOWN.to_owned(),
        Some(n) if n > 0.0 && n < 10.0 => format!("{n:.1}"),
        Some(n) => format!("{n:.0}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::commands::status) fn style(width: usize, height: Option<usize>) -> Style {
        Style { width, height, terminal: false, colour: false, unicode: true, verbose: false }
    }

    #[test]
    fn numbers_are_short_and_the_unknown_is_not_zero() {
        let ages = [Some(0), Some(119), Some(120), Some(7_200), Some(172_800), None].map(age);
        assert_eq!(ages, ["0 s", "119 s", "2 min", "2 h", "2 d", "?"]);
        let sizes = [Some(0), Some(1023), Some(1024), Some(15 << 10), Some(u32::MAX), None].map(size);
        assert_eq!(sizes, ["0 KiB", "1023 KiB", "1.0 MiB", "15 MiB", "4.0 TiB", "?"]);
        assert_eq!(
            [Some(999_999), Some(1_000_000), Some(u32::MAX), None].map(count),
            ["999999", "1000k", "4294M", "?"]
        );
        assert_eq!([9_999, 10_000, 1_000_000].map(short), ["9999", "10k", "1M"]);
        assert_eq!([Some(0.0), Some(0.34), Some(12.4), None].map(rate), ["0", "0.3", "12", "?"]);
    }

    #[test]
    fn what_is_too_long_is_cut_by_columns_and_not_by_characters() {
        let style = style(80, None);
        assert_eq!(cut("abcdef", 4, &style), "abc…");
        assert_eq!(cut("日本語日本語", 5, &style), "日本…");
        assert_eq!(left("日本", 6, &style), "日本  ");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        let ascii = Style { unicode: false, ..style };
        assert_eq!((cut("abcdef", 4, &ascii).as_str(), ascii.bar(8)), ("abc~", '@'));
    }

    #[test]
    fn colour_is_for_terminals_and_no_color_keeps_what_is_bold() {
        let line = || vec![Line::new().with("CRITICAL", Tone::Bad).with(" x", Tone::Plain)];
        let plain = style(80, None);
        assert_eq!(plain.text(line()), "CRITICAL x\n");
        let colour = Style { terminal: true, colour: true, ..plain.clone() };
        assert_eq!(colour.text(line()), "\x1b[1;31mCRITICAL\x1b[0m x\n");
        let mono = Style { terminal: true, ..plain };
        assert_eq!(mono.text(line()), "\x1b[1mCRITICAL\x1b[0m x\n");
    }

    #[test]
    fn the_locale_says_whether_there_are_bars() {
        let locale = |set: &'static [(&str, &str)]| {
            is_utf8(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(locale(&[("LANG", "de_DE.UTF-8")]) && locale(&[("LC_ALL", "C.utf8"), ("LANG", "C")]));
        assert!(!locale(&[]) && !locale(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
    }
}
