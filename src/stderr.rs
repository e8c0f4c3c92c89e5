//! Where the daemon's story goes: standard error. Where that is the journal, a line begins with its priority as
//! sd-daemon(3) has it and has no time of its own, which would stand there twice.

use crate::shown::Lines;
use std::{
    env,
    io::{self, Write, stderr},
};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Whether standard error is the journal: JOURNAL_STREAM names device and inode of what systemd connected (systemd.exec(5)).
/// A child of a service may have the variable and another standard error.
pub fn is_journal() -> bool {
    let found = rustix::fs::fstat(stderr()).ok();
    let told = env::var("JOURNAL_STREAM").ok();
    found.zip(told).is_some_and(|(found, told)| told == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Makes a writer a line.
#[derive(Clone, Copy, Debug)]
pub struct StandardError {
    /// Lines have their priority in front.
    pub journal: bool,
}

/// One line on its way.
#[derive(Debug)]
pub struct Prefixed(&'static str);

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Lines<Prefixed>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines(Prefixed(""))
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Self::Writer {
        Lines(Prefixed(if self.journal { priority(*about.level()) } else { "" }))
    }
}

/// syslog(3)'s: err, warning, info, debug.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

impl Write for Prefixed {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // In one piece, because others write there as well.
        stderr().lock().write_all(&[self.0.as_bytes(), line].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}
