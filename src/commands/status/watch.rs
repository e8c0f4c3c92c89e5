//! `status --watch`: the same lines, drawn anew in place, with what passed in the last minutes.
//!
//! Every host is asked by a task of its own, so that one that does not answer holds up nobody. The terminal is given back
//! on every way out: at the end, at a signal, at a panic, and while the process is stopped by Ctrl-Z.

use super::{
    super::Failure,
    gather::Asker,
    list,
    model::{Mail, Report, Severity},
    paint::{Line, Style, Tone, age, count, left, rate, right},
    problems::report,
    screen::screen,
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    style::{Color, Modifier, Style as Look},
    text::{Line as Drawn, Span as Piece, Text},
    widgets::Paragraph,
};
use rustix::process::{Signal, getpid, kill_process};
use std::{collections::VecDeque, io, process::ExitCode, thread, time::Duration};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

/// The most that is remembered of a host, in looks; a terminal has no more columns.
const REMEMBERED: usize = 600;
/// What `now` is the average of.
const NOW: f64 = 60.0;
/// How long the key reader waits before it looks whether anybody still listens.
const KEYS: Duration = Duration::from_millis(250);

/// Mail a minute at each look, for the lines of bars.
#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<([Option<f64>; 5], f64)>,
}

impl History {
    fn add(&mut self, mail: Option<&Mail>) {
        let seconds = mail.and_then(|mail| mail.flow.sample_seconds);
        let rates = |mail: &Mail| mail.flow.named().map(|(_, count)| count.per_minute);
        // A look without an answer is a gap, not a zero.
        let rates = mail.map_or([None; 5], rates);
        self.points.push_back((rates, seconds.unwrap_or(0.0)));
        if self.points.len() > REMEMBERED {
            self.points.pop_front();
        }
    }

    /// The average of the last minute.
    fn now(&self, at: usize) -> Option<f64> {
        let (mut events, mut time) = (0.0, 0.0);
        for (rates, seconds) in self.points.iter().rev() {
            let Some(rate) = rates.get(at).copied().flatten() else { continue };
            events += rate * seconds;
            time += seconds;
            if time >= NOW {
                break;
            }
        }
        (time > 0.0).then(|| events / time)
    }

    /// The table of the mail flow with a bar for each look.
    pub(super) fn lines(&self, mail: &Mail, style: &Style) -> Vec<Line> {
        let room = style.width.saturating_sub(42);
        let shown: Vec<_> = self.points.iter().rev().take(room).rev().collect();
        let seconds: f64 = shown.iter().map(|(_, seconds)| seconds).sum();
        let passed = format!("the last {}", age(Some(whole(seconds))));
        let columns =
            [left("mail", 10, style), right("a minute", 9), right("average", 9), right("in all", 11)].concat();
        let mut lines = vec![Line::head(format!("{columns}   {}", right(&passed, room)))];
        for (at, (name, number)) in mail.flow.named().into_iter().enumerate() {
            let cells = [
                left(name, 10, style),
                right(&rate(self.now(at)), 9),
                right(&rate(number.average_per_minute), 9),
                right(&count(number.count), 11),
            ];
            let values = || shown.iter().map(|(rates, _)| rates.get(at).copied().flatten());
            let most = values().flatten().fold(0.0, f64::max);
            let bars: String = values().map(|value| bar(value, most, style)).collect();
            lines.push(Line::plain(format!("{}   {}", cells.concat(), right(&bars, room))));
        }
        lines
    }
}

/// Seconds as a whole number; there are never more than the days of a year.
fn whole(seconds: f64) -> u32 {
    Duration::try_from_secs_f64(seconds).ok().and_then(|time| u32::try_from(time.as_secs()).ok()).unwrap_or(u32::MAX)
}

fn bar(value: Option<f64>, most: f64, style: &Style) -> char {
    match value {
        None => ' ',
        Some(value) if value <= 0.0 || most <= 0.0 => {
            if style.unicode {
                '▁'
            } else {
                '_'
            }
        }
        Some(value) => {
            style.bar((2..=8_u8).rev().find(|height| value * 8.0 >= most * f64::from(*height)).map_or(1, usize::from))
        }
    }
}

/// One host on the screen.
struct Seen {
    report: Option<Report>,
    history: History,
}

/// Gives the terminal back when it is dropped. ratatui's panic hook does so before a panic is printed.
struct Terminal(DefaultTerminal);

impl Terminal {
    fn take() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(|e| Failure::System("cannot draw on this terminal", e))
    }

    /// As the shell's Ctrl-Z would: gives the terminal back, stops, and draws again when it is continued.
    fn suspend(self) -> Result<Self, Failure> {
        drop(self);
        let stopped = kill_process(getpid(), Signal::STOP);
        stopped.map_err(|e| Failure::System("cannot stop", e.into()))?;
        Self::take()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

enum Told {
    End,
    Suspend,
    Scroll(i32),
    Redraw,
}

/// Until `q`, Ctrl-C or a signal. The exit status is that of the last look, or what a shell says of a signal.
pub(super) fn watch(
    runtime: &Runtime,
    askers: Vec<Asker>,
    every: Duration,
    style: &Style,
) -> Result<ExitCode, Failure> {
    let full = askers.len() == 1 || style.verbose;
    let mut seen: Vec<Seen> = askers.iter().map(|_| Seen { report: None, history: History::default() }).collect();
    let system = |e| Failure::System("cannot handle signals", e);
    let mut terminal = Some(Terminal::take()?);
    runtime.block_on(async {
        let (tell, mut reports) = mpsc::unbounded_channel();
        for (number, asker) in askers.into_iter().enumerate() {
            tokio::spawn(ask(number, asker, every, full, tell.clone()));
        }
        let mut keys = keys();
        let on = |kind| signal(kind).map_err(system);
        let mut term = on(SignalKind::terminate())?;
        let mut int = on(SignalKind::interrupt())?;
        let mut hup = on(SignalKind::hangup())?;
        let mut stop = on(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
        let mut offset = 0_u16;
        loop {
            if let Some(terminal) = &mut terminal {
                draw(terminal, &seen, style, &mut offset)?;
            }
            let told = tokio::select! {
                Some((number, report)) = reports.recv() => {
                    let report: Report = report;
                    if let Some(seen) = seen.get_mut(number) {
                        seen.history.add(report.mail.as_deref());
                        seen.report = Some(report);
                    }
                    Told::Redraw
                }
                Some(told) = keys.recv() => told,
                _ = stop.recv() => Told::Suspend,
                _ = term.recv() => return Ok(ExitCode::from(128 + 15)),
                _ = int.recv() => return Ok(ExitCode::from(128 + 2)),
                _ = hup.recv() => return Ok(ExitCode::from(128 + 1)),
            };
            match told {
                Told::End => break,
                Told::Suspend => terminal = terminal.take().map(Terminal::suspend).transpose()?,
                Told::Scroll(by) => offset = offset.saturating_add_signed(i16::try_from(by).unwrap_or(0)),
                Told::Redraw => {}
            }
        }
        let worst = seen.iter().filter_map(|seen| Some(seen.report.as_ref()?.status)).max();
        Ok(ExitCode::from(worst.unwrap_or(Severity::Unknown).exit_status()))
    })
}

/// One host, again and again.
async fn ask(
    number: usize,
    mut asker: Asker,
    every: Duration,
    full: bool,
    tell: mpsc::UnboundedSender<(usize, Report)>,
) {
    loop {
        let next = Instant::now() + every;
        let asked = asker.ask(full, None).await;
        let report = report(&asker.host, asker.address(), asked);
        if tell.send((number, report)).is_err() {
            return;
        }
        tokio::time::sleep_until(next).await;
    }
}

/// The keyboard, which only a thread can wait for.
fn keys() -> mpsc::UnboundedReceiver<Told> {
    let (tell, told) = mpsc::unbounded_channel();
    let read = move || {
        while !tell.is_closed() {
            match event::poll(KEYS) {
                Ok(false) => continue,
                Ok(true) => {}
                // No keyboard: signals end it.
                Err(_) => break,
            }
            let Some(told) = event::read().ok().and_then(|event| key(&event)) else { continue };
            if tell.send(told).is_err() {
                break;
            }
        }
        // The receiver must not see the end of it.
        while !tell.is_closed() {
            thread::sleep(KEYS);
        }
    };
    // Without the thread signals still end it.
    let _ = thread::Builder::new().name("keys".into()).spawn(read);
    told
}

fn key(event: &Event) -> Option<Told> {
    let Event::Key(key) = event else { return matches!(event, Event::Resize(..)).then_some(Told::Redraw) };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => Some(Told::End),
        KeyCode::Char('z') if control => Some(Told::Suspend),
        KeyCode::Char('l') if control => Some(Told::Redraw),
        KeyCode::Char('q') | KeyCode::Esc => Some(Told::End),
        KeyCode::Down | KeyCode::Char('j') => Some(Told::Scroll(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(Told::Scroll(-1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Told::Scroll(20)),
        KeyCode::PageUp => Some(Told::Scroll(-20)),
        _ => None,
    }
}

fn draw(terminal: &mut Terminal, seen: &[Seen], style: &Style, offset: &mut u16) -> Result<(), Failure> {
    let draw = |frame: &mut ratatui::Frame<'_>| {
        let area = frame.area();
        let style = Style {
            width: usize::from(area.width).max(40),
            height: Some(usize::from(area.height)),
            terminal: true,
            ..style.clone()
        };
        let lines = lines(seen, &style);
        let most = lines.len().saturating_sub(usize::from(area.height));
        *offset = (*offset).min(u16::try_from(most).unwrap_or(u16::MAX));
        let text: Vec<Drawn<'_>> = lines.into_iter().map(|line| drawn(line, style.colour)).collect();
        frame.render_widget(Paragraph::new(Text::from(text)).scroll((*offset, 0)), area);
    };
    terminal.0.draw(draw).map(|_| ()).map_err(|e: io::Error| Failure::System("the terminal", e))
}

fn lines(seen: &[Seen], style: &Style) -> Vec<Line> {
    let answered: Vec<(&Report, &History)> =
        seen.iter().filter_map(|seen| Some((seen.report.as_ref()?, &seen.history))).collect();
    if answered.is_empty() {
        return vec![Line::plain("asking …")];
    }
    if let (&[(report, history)], 1) = (&answered[..], seen.len()) {
        return screen(report, style, Some(history));
    }
    let reports: Vec<&Report> = answered.iter().map(|(report, _)| *report).collect();
    let mut lines = list::list(&reports, style);
    if seen.len() > answered.len() {
        lines.push(Line::plain(format!("{} have not answered yet", seen.len() - answered.len())));
    }
    if style.verbose {
        for (report, history) in list::order(&reports).into_iter().filter_map(|at| answered.get(at)) {
            lines.push(Line::new());
            lines.extend(screen(report, style, Some(history)));
        }
    }
    lines
}

fn drawn(line: Line, colour: bool) -> Drawn<'static> {
    let look = |tone: Tone| {
        let bold = Look::new().add_modifier(Modifier::BOLD);
        match tone {
            Tone::Plain => Look::new(),
            Tone::Good if colour => Look::new().fg(Color::Green),
            Tone::Warn if colour => Look::new().fg(Color::Yellow),
            Tone::Bad if colour => bold.fg(Color::Red),
            Tone::Good => Look::new(),
            Tone::Head | Tone::Warn | Tone::Bad => bold,
        }
    };
    line.0.into_iter().map(|span| Piece::styled(span.text, look(span.tone))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::paint::tests::style;

    fn mail(rate: f64) -> Mail {
        let mut mail = Mail::default();
        mail.flow.sample_seconds = Some(2.0);
        mail.flow.received.per_minute = Some(rate);
        mail
    }

    #[test]
    fn bars_are_the_looks_and_a_gap_is_no_zero() {
        let mut history = History::default();
        for rate in [0.0, 60.0, 120.0] {
            history.add(Some(&mail(rate)));
        }
        history.add(None);
        let style = style(80, Some(24));
        let lines = history.lines(&mail(0.0), &style);
        let text = style.text(lines);
        let received = text.lines().nth(1).unwrap();
        assert!(received.starts_with("received         60        ?"), "{text}");
        assert!(received.ends_with("▁▄█"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn now_is_the_last_minute() {
        let mut history = History::default();
        history.add(Some(&mail(6000.0)));
        for _ in 0..30 {
            history.add(Some(&mail(6.0)));
        }
        assert_eq!(history.now(0), Some(6.0));
        assert_eq!(history.now(1), None);
    }
}
