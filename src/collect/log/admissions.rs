//! Lines that never reached the log, as the syslog daemon admits.
//!
//! It does so in its own name and facility, so the admission is not where the lines are missing: rsyslog's go to `syslog` or
//! `messages` beside the mail log, journald's carry a facility that is not mail's. Such a second file is read for these lines
//! alone. Where there is none, or none that may be read, how many lines are missing is unknown, and not 0.

use super::{
    saved::SavedStream,
    stream::{Origin, Stream},
};
use crate::{collect::health::Status, postfix::log::text};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What Debian and what Red Hat and SUSE call the log of everything.
const USUAL: [&str; 2] = ["syslog", "messages"];

/// Where a log's syslog daemon admits what it dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Admitted {
    /// In the log itself, or nothing can be dropped.
    Here,
    /// In these files.
    In(Vec<PathBuf>),
    /// Not known.
    #[default]
    Nowhere,
}

impl Admitted {
    /// Of a log that postlogd writes itself (`direct`) or a syslog daemon does; `configured` is `log.admissions`.
    pub(super) fn of(origin: &Origin, direct: bool, configured: &[PathBuf]) -> Self {
        let Origin::File(log) = origin else { return Self::Here };
        if direct {
            return Self::Here;
        }
        if !configured.is_empty() {
            return Self::In(configured.to_vec());
        }
        let called = |name: &str| log.file_name().is_some_and(|own| own == name);
        if USUAL.iter().any(|name| called(name)) {
            return Self::Here;
        }
        let beside = USUAL.iter().map(|name| log.with_file_name(name)).find(|file| file.is_file());
        beside.map_or(Self::Nowhere, |file| Self::In(vec![file]))
    }
}

/// Under which key the position in a file that is read for admissions alone is saved.
fn key(file: &Path) -> String {
    format!("admissions {}", file.display())
}

/// The files that are read for admissions alone.
#[derive(Default)]
pub(super) struct Admissions {
    streams: Vec<Stream>,
}

impl Admissions {
    /// Reads those files of `streams` that are no log of an instance themselves; `open` begins one.
    pub(super) fn arrange(
        &mut self,
        streams: &[Stream],
        saved: &mut BTreeMap<String, SavedStream>,
        open: impl Fn(Origin, Option<SavedStream>) -> Stream,
    ) {
        let files = streams.iter().filter_map(|stream| match &stream.admitted {
            Admitted::In(files) => Some(files),
            _ => None,
        });
        let is_log =
            |file: &&PathBuf| streams.iter().any(|stream| matches!(&stream.origin, Origin::File(f) if f == *file));
        let wanted: BTreeSet<&PathBuf> = files.flatten().filter(|file| !is_log(file)).collect();
        let mut old = std::mem::take(&mut self.streams);
        for file in wanted {
            let origin = Origin::File(file.clone());
            let known = old.iter().position(|stream| stream.origin == origin).map(|at| old.swap_remove(at));
            let mut stream = known.unwrap_or_else(|| open(origin, saved.remove(&key(file))));
            stream.source.admissions_only = true;
            self.streams.push(stream);
        }
        for stream in &old {
            saved.extend(Self::saved_of(stream));
        }
    }

    /// Those that are read.
    pub(super) fn streams(&mut self) -> &mut [Stream] {
        &mut self.streams
    }

    /// What must be saved, by key.
    pub(super) fn save(&self) -> impl Iterator<Item = (String, SavedStream)> {
        self.streams.iter().filter_map(Self::saved_of)
    }

    fn saved_of(stream: &Stream) -> Option<(String, SavedStream)> {
        match &stream.origin {
            Origin::File(file) => Some((key(file), stream.save()?)),
            Origin::Journal => None,
        }
    }

    /// postfixLogFileLinesSuppressed of one of `streams`.
    pub(super) fn suppressed(&self, stream: &Stream, streams: &[Stream]) -> Option<u64> {
        let own = stream.source.counters.suppressed;
        let elsewhere = match &stream.admitted {
            Admitted::Here => return Some(own),
            Admitted::In(files) => files
                .iter()
                .map(|file| {
                    let mut all = self.streams.iter().chain(streams);
                    let found = all.find(|s| matches!(&s.origin, Origin::File(f) if f == file))?;
                    matches!(found.status(), Status::Ok | Status::Stale).then_some(found.source.counters.suppressed)
                })
                .sum::<Option<u64>>(),
            Admitted::Nowhere => None,
        };
        // A daemon that writes everything everywhere admits one loss in both.
        elsewhere.or((own > 0).then_some(0)).map(|elsewhere| elsewhere.max(own))
    }
}

/// How many lines a syslog daemon admits in this text to have dropped, as far as Postfix can have written them: `imuxsock:
/// 123 messages lost due to rate-limiting`, `imuxsock lost 123 messages from pid 4 due to rate-limiting`, `Suppressed 123
/// messages from postfix.service`, `Forwarding to syslog missed 123 messages`, `… queue full, 123 messages discarded`.
pub(super) fn suppressed(line: &[u8]) -> u64 {
    const ADMISSIONS: [&[u8]; 5] = [b"rate-limiting", b"Suppressed ", b" missed ", b"discarded", b"dropped"];
    if !ADMISSIONS.iter().any(|words| text::has(line, words)) {
        return 0;
    }
    let words = || line.split(|b| matches!(b, b' ' | b'\t'));
    // journald names the unit or its control group; of another service they are no mail log's lines.
    let from = words().skip_while(|word| *word != b"from").nth(1).unwrap_or_default();
    let unit = from.rsplit(|b| *b == b'/').next().unwrap_or_default();
    if unit.ends_with(b".service") && !text::has(unit, b"postfix") {
        return 0;
    }
    let number = |(number, word): (&[u8], &[u8])| word.starts_with(b"message").then(|| text::number(number))?;
    words().zip(words().skip(1)).find_map(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_daemons_admit() {
        for (line, lines) in [
            ("imuxsock lost 516 messages from pid 4 due to rate-limiting", 516),
            ("imuxsock: 123 messages lost due to rate-limiting", 123),
            ("imjournal: 3241 messages lost due to rate-limiting (20000 allowed within 600 seconds)", 3_241),
            ("imuxsock[pid: 4]: begin to drop messages due to rate-limiting", 0),
            ("Suppressed 8385 messages from /system.slice/postfix.service", 8_385),
            ("Suppressed 12 messages from postfix@-.service", 12),
            ("Suppressed 12 messages from system-postfix.slice", 12),
            ("Suppressed 99 messages from ssh.service", 0),
            ("Suppressed 99 messages from /system.slice/nginx.service", 0),
            ("Forwarding to syslog missed 18 messages.", 18),
            ("action 'mail' queue: queue is full, 7 messages discarded", 7),
            ("[origin software=\"rsyslogd\"] start", 0),
            ("Suppressed many messages", 0),
        ] {
            assert_eq!(suppressed(line.as_bytes()), lines, "{line}");
        }
    }

    #[test]
    fn where_a_daemon_admits() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let of =
            |name: &str, direct, configured: &[PathBuf]| Admitted::of(&Origin::File(file(name)), direct, configured);
        assert_eq!(of("mail.log", false, &[]), Admitted::Nowhere);
        assert_eq!(of("mail.log", true, &[]), Admitted::Here);
        assert_eq!(of("messages", false, &[]), Admitted::Here);
        assert_eq!(Admitted::of(&Origin::Journal, false, &[]), Admitted::Here);
        std::fs::write(file("messages"), "").unwrap();
        assert_eq!(of("maillog", false, &[]), Admitted::In(vec![file("messages")]));
        let configured = [file("other")];
        assert_eq!(of("maillog", false, &configured), Admitted::In(configured.to_vec()));
    }
}
