//! The header of a line: timestamp, host, tag, pid.
//!
//! Understood: BSD timestamps (RFC 3164, day padded with a space, a zero or nothing), RFC 3339 timestamps, `<PRI>` before
//! either, RFC 5424 with and without structured data, no timestamp and host at all (container logs), facility and level as
//! busybox, AIX, FreeBSD and macOS write them, the message ids of Solaris, a container runtime's prefix (CRI, compose), and
//! anything else before a `name/program[pid]: `. JSON and the journal's export format come through [`super::record`].
//!
//! rsyslog cuts a program's name at its first slash where it writes only that (RFC 5424 output without
//! `parser.PermitSlashInProgramName`): `postfix` alone does not tell which program spoke, and nothing is guessed.

use memchr::{memchr, memmem, memrchr};

/// Longer lines are cut here; Postfix itself cuts at 2,000 characters.
pub const LONGEST: usize = 65_536;

/// One line without its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// As written; empty where there is none.
    pub stamp: &'a [u8],
    /// Who wrote it; empty where the line does not say.
    pub host: &'a [u8],
    /// `postfix/submission/smtpd`; empty where there is none.
    pub tag: &'a [u8],
    /// The process.
    pub pid: Option<u32>,
    /// What it said.
    pub text: &'a [u8],
}

/// A tag in two: what stands before the last `/`, and the program behind it, which is the last component of the command in
/// master.cf (mail_task.c) and so tells the daemon whatever its syslog_name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// syslog_name, and whatever a service's own `-o syslog_name=` put behind it. Instance names may have dots.
    pub name: &'a [u8],
    /// `smtpd`, `qmgr`, …
    pub program: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Splits at the last `/`; without one the name is empty.
    pub fn new(tag: &'a [u8]) -> Self {
        match memrchr(b'/', tag) {
            Some(at) => Self { name: &tag[..at], program: &tag[at + 1..] },
            None => Self { name: &[], program: tag },
        }
    }

    /// What `name` has beyond `syslog_name`: `Some("")` for the name itself, `Some("submission")` for
    /// `postfix/submission`, `None` for another name.
    pub fn label(&self, syslog_name: &[u8]) -> Option<&'a [u8]> {
        match self.name.strip_prefix(syslog_name)? {
            [] => Some(&[]),
            [b'/', label @ ..] => Some(label),
            _ => None,
        }
    }
}

impl<'a> Line<'a> {
    /// Takes the header off. Every line is a line: where nothing fits all of it is text.
    pub fn split(line: &'a [u8]) -> Self {
        let mut line = &line[..line.len().min(LONGEST)];
        while let [rest @ .., b'\r' | b'\n' | b' '] = line {
            line = rest;
        }
        // `#012` is how rsyslog writes the newline that ended the message.
        while let Some(rest) = line.strip_suffix(b"#012").or_else(|| line.strip_suffix(b"#015")) {
            line = rest;
        }
        Self::header(line, 0)
    }

    /// A header may stand before a header: a container's before that of a syslog daemon.
    fn header(line: &'a [u8], depth: usize) -> Self {
        let body = without_priority(line);
        // Years begin with a digit; a stamp that is not known is `-`, behind a priority.
        let dated = |rest: &&[u8]| rest.first().is_some_and(u8::is_ascii_digit) || body.len() < line.len();
        let version = body.strip_prefix(b"1 ").filter(dated);
        if let Some(found) = version.and_then(protocol23) {
            return found;
        }
        let stamp = stamp_length(body);
        let rest = skip_spaces(&body[stamp..]);
        let stamp = &body[..stamp];
        if let Some((tag, pid, text)) = tagged(rest) {
            return Self { stamp, host: &[], tag, pid, text };
        }
        if !stamp.is_empty()
            && let Some(space) = memchr(b' ', rest)
        {
            let (word, after) = (&rest[..space], skip_spaces(&rest[space..]));
            if let Some((tag, pid, text)) = tagged(after) {
                let host = if is_level(word) { &[][..] } else { word };
                return Self { stamp, host, tag, pid, text };
            }
            return match Self::behind_words(stamp, word, after, depth).or_else(|| Self::behind_prefix(rest)) {
                Some(found) => found,
                // `last message repeated`.
                None => Self { stamp, host: word, text: after, ..Self::default() },
            };
        }
        Self::behind_prefix(rest).unwrap_or(Self { stamp, text: rest, ..Self::default() })
    }

    /// What stands between the stamp and the tag beside a host: a container's stream, FreeBSD's `<mail.info>`, busybox's
    /// `mail.info`, AIX's `mail:info`, in any order.
    fn behind_words(stamp: &'a [u8], word: &'a [u8], after: &'a [u8], depth: usize) -> Option<Self> {
        if depth < 2
            && matches!(word, b"stdout" | b"stderr")
            && let [b'F' | b'P', b' ', rest @ ..] = after
        {
            let inner = Self::header(skip_spaces(rest), depth + 1);
            let stamp = if inner.stamp.is_empty() { stamp } else { inner.stamp };
            return Some(Self { stamp, ..inner });
        }
        let space = memchr(b' ', after)?;
        let (second, rest) = (&after[..space], skip_spaces(&after[space..]));
        let host = match (is_level(word), is_level(second)) {
            (true, false) => second,
            (false, true) => word,
            _ => return None,
        };
        let (tag, pid, text) = tagged(rest)?;
        Some(Self { stamp, host, tag, pid, text })
    }

    /// Finds a `name/program[pid]: ` behind something unknown.
    fn behind_prefix(rest: &'a [u8]) -> Option<Self> {
        let end = memmem::find(rest, b"]: ")?;
        let start = memrchr(b' ', &rest[..end]).map_or(0, |space| space + 1);
        let (tag, pid, text) = tagged(&rest[start..])?;
        pid?;
        let before = rest[..start].trim_ascii_end();
        let host = memrchr(b' ', before).map_or(before, |space| &before[space + 1..]);
        let host = if host.iter().any(u8::is_ascii_alphanumeric) { host } else { &[] };
        memchr(b'/', tag).map(|_| Self { stamp: &[], host, tag, pid, text })
    }

    /// How often the message occurred before, if this is syslog's way of saying so, and that message. rsyslog's
    /// `message repeated 3 times: [ text]` has it in brackets; syslogd's `last message repeated 3 times` means the line
    /// before (`None`).
    pub fn repeated(&self) -> Option<(u32, Option<&'a [u8]>)> {
        // No message of Postfix begins with either word.
        let (text, inner) = match self.text {
            [b'm', ..] => (self.text.strip_prefix(b"message repeated ")?, true),
            [b'l', ..] => (self.text.strip_prefix(b"last message repeated ")?, false),
            _ => return None,
        };
        let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = text.split_at(digits);
        let count = u32::try_from(super::text::number(number)?).unwrap_or(u32::MAX);
        let rest = rest.strip_prefix(b" times")?;
        if inner {
            let message = rest.strip_prefix(b": [")?;
            let message = message.strip_suffix(b"]").unwrap_or(message);
            Some((count, Some(skip_spaces(message))))
        } else {
            Some((count, None))
        }
    }
}

fn skip_spaces(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// `<22>` of a raw syslog datagram.
fn without_priority(line: &[u8]) -> &[u8] {
    let [b'<', rest @ ..] = line else { return line };
    let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    match rest.get(digits) {
        Some(b'>') if (1..=3).contains(&digits) => &rest[digits + 1..],
        _ => line,
    }
}

/// The length of the timestamp `line` begins with; 0 where there is none.
fn stamp_length(line: &[u8]) -> usize {
    let digit = |at: usize| line.get(at).is_some_and(u8::is_ascii_digit);
    let is = |at: usize, byte: u8| line.get(at) == Some(&byte);
    // Nearly all lines: `Nov 22 01:17:30 `.
    if is(15, b' ') && is(3, b' ') && is(6, b' ') && is(9, b':') && is(12, b':') && line[0].is_ascii_alphabetic() {
        return 15;
    }
    if digit(0) && digit(3) && is(4, b'-') && is(7, b'-') {
        let end = memchr(b' ', line).unwrap_or(line.len());
        // `2024-01-02 03:04:05` has a space instead of the T.
        return if end == 10 && digit(11) && is(13, b':') {
            memchr(b' ', &line[11..]).map_or(line.len(), |more| 11 + more)
        } else {
            end
        };
    }
    // `Nov  2 01:17:30` is 15 long as well; `Nov 2 01:17:30`, and fractions of a second.
    let month = line.get(..3).is_some_and(|m| m.iter().all(u8::is_ascii_alphabetic)) && is(3, b' ');
    let day = 4 + usize::from(is(4, b' '));
    let time = day + 1 + usize::from(digit(day + 1));
    if month && digit(day) && is(time, b' ') && digit(time + 1) && is(time + 3, b':') && is(time + 6, b':') {
        return memchr(b' ', &line[time + 1..]).map_or(line.len(), |more| time + 1 + more);
    }
    0
}

/// `tag[pid]: text` or `tag: text`. A tag may hold colons, as a syslog_name with an IPv6 address does; an IPv6 address before
/// a tag is a host.
fn tagged(line: &[u8]) -> Option<(&[u8], Option<u32>, &[u8])> {
    let head = &line[..line.len().min(128)];
    let mut from = 0;
    let end = loop {
        let at = from + head[from..].iter().position(|b| matches!(b, b'[' | b':' | b' '))?;
        match head[at] {
            b' ' => return None,
            // Inside a tag, unless the text begins here.
            b':' if !matches!(line.get(at + 1), None | Some(b' ' | b'\t')) => from = at + 1,
            _ => break at,
        }
    };
    let (tag, rest) = line.split_at(end);
    if tag.is_empty() {
        return None;
    }
    let (pid, rest) = match rest {
        [b'[', inner @ ..] => {
            let digits = inner.iter().take(11).take_while(|b| b.is_ascii_digit()).count();
            let pid = super::text::number(&inner[..digits]).and_then(|n| u32::try_from(n).ok());
            (Some(pid?), level_behind_tag(inner[digits..].strip_prefix(b"]")?))
        }
        // `2001:db8:: postfix/smtpd[7]: …`
        _ if from > 0 && memchr(b'/', tag).is_none() => return None,
        rest => (None, rest),
    };
    let text = rest.strip_prefix(b":")?;
    // A queue id or a word of the text is no tag: those come without a header only, where a pid is asked for.
    Some((tag, pid, without_message_id(text.strip_prefix(b" ").unwrap_or(text))))
}

/// macOS writes ` <Notice>` between pid and colon.
fn level_behind_tag(rest: &[u8]) -> &[u8] {
    match rest.strip_prefix(b" <") {
        Some(level) => match memchr(b'>', &level[..level.len().min(12)]) {
            Some(end) => &level[end + 1..],
            None => rest,
        },
        None => rest,
    }
}

/// Solaris and illumos write `[ID 197553 mail.info] ` before the text (msgid(7)).
fn without_message_id(text: &[u8]) -> &[u8] {
    let Some(rest) = text.strip_prefix(b"[ID ") else { return text };
    let head = &rest[..rest.len().min(40)];
    match memchr(b']', head) {
        Some(end) if head.first().is_some_and(u8::is_ascii_digit) => skip_spaces(&rest[end + 1..]),
        _ => text,
    }
}

/// `facility.level` of busybox, `facility:level` of AIX, `<facility.level>` of FreeBSD with -v, `<2.6>` with -vv.
fn is_level(word: &[u8]) -> bool {
    let inner = word.strip_prefix(b"<").and_then(|w| w.strip_suffix(b">"));
    let numbers = inner.is_some_and(|w| w.iter().all(|b| b.is_ascii_digit() || *b == b'.'));
    let word = inner.unwrap_or(word);
    let Some(at) = word.iter().position(|b| matches!(b, b'.' | b':')) else { return false };
    const LEVELS: [&[u8]; 12] = [
        b"emerg", b"panic", b"alert", b"crit", b"err", b"error", b"warn", b"warning", b"notice", b"info", b"debug",
        b"none",
    ];
    let facility = word[..at].iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    numbers || (at > 0 && facility && LEVELS.contains(&&word[at + 1..]))
}

/// RFC 5424 behind `<PRI>1 `: stamp, host, application, process, message id, structured data, and the message. A field that
/// is `-` says nothing.
fn protocol23(rest: &[u8]) -> Option<Line<'_>> {
    let mut rest = rest;
    let mut field = || {
        let end = memchr(b' ', rest)?;
        let (word, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        Some(if word == b"-" { &[][..] } else { word })
    };
    let (stamp, host, tag, process, _message_id) = (field()?, field()?, field()?, field()?, field()?);
    let text = match rest {
        [b'-', after @ ..] => after,
        [b'[', ..] => structured(rest)?,
        _ => return None,
    };
    let text = skip_spaces(text);
    let text = skip_spaces(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    let pid = super::text::number(process).and_then(|n| u32::try_from(n).ok());
    Some(Line { stamp, host, tag, pid, text })
}

/// What follows `[id name="value" …][…]`; a bracket inside a value has a backslash before it.
fn structured(mut rest: &[u8]) -> Option<&[u8]> {
    while rest.first() == Some(&b'[') {
        let mut at = 1;
        loop {
            at += memchr::memchr2(b']', b'\\', rest.get(at..)?)?;
            if rest[at] == b']' {
                break;
            }
            at += 2;
        }
        rest = &rest[at + 1..];
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> (&str, &str, &str, Option<u32>, &str) {
        let l = Line::split(line.as_bytes());
        let s = |b| std::str::from_utf8(b).unwrap();
        (s(l.stamp), s(l.host), s(l.tag), l.pid, s(l.text))
    }

    #[test]
    fn headers_of_all_daemons() {
        let want = |stamp, host| (stamp, host, "postfix/smtpd", Some(7), "connect from a[1.2.3.4]");
        for (line, stamp, host) in [
            ("Nov 22 01:17:30 vm postfix/smtpd[7]: connect from a[1.2.3.4]", "Nov 22 01:17:30", "vm"),
            ("Nov  2 01:17:30 vm postfix/smtpd[7]: connect from a[1.2.3.4]", "Nov  2 01:17:30", "vm"),
            ("Nov 02 01:17:30 vm postfix/smtpd[7]: connect from a[1.2.3.4]\r", "Nov 02 01:17:30", "vm"),
            ("Nov 2 01:17:30 vm postfix/smtpd[7]: connect from a[1.2.3.4]#012", "Nov 2 01:17:30", "vm"),
            ("<22>Nov 22 01:17:30 vm postfix/smtpd[7]: connect from a[1.2.3.4]", "Nov 22 01:17:30", "vm"),
            (
                "2024-01-02T03:04:05.678901+01:00 mx.a.example postfix/smtpd[7]: connect from a[1.2.3.4]",
                "2024-01-02T03:04:05.678901+01:00",
                "mx.a.example",
            ),
            ("2024-01-02 03:04:05 vm postfix/smtpd[7]: connect from a[1.2.3.4]", "2024-01-02 03:04:05", "vm"),
            ("postfix/smtpd[7]: connect from a[1.2.3.4]", "", ""),
            ("<22>postfix/smtpd[7]: connect from a[1.2.3.4]", "", ""),
            ("Nov 22 01:17:30 postfix/smtpd[7]: connect from a[1.2.3.4]", "Nov 22 01:17:30", ""),
        ] {
            assert_eq!(split(line), want(stamp, host), "{line}");
        }
        let container = "mail-1  | Nov 22 01:17:30 vm postfix/smtpd[7]: connect from a[1.2.3.4]";
        assert_eq!(split(container), want("", "vm"));
        let kubernetes = "2024-01-02T03:04:05.6Z stdout F Nov 22 01:17:30 vm postfix/smtpd[7]: connect from a[1.2.3.4]";
        assert_eq!(split(kubernetes).2, "postfix/smtpd");
    }

    #[test]
    fn headers_of_other_systems() {
        let text = "connect from a[1.2.3.4]";
        for (line, host) in [
            // RFC 5424: rsyslog's RSYSLOG_SyslogProtocol23Format, without the priority, FreeBSD's -O rfc5424, syslog-ng.
            ("<22>1 2026-11-22T01:17:30.123456+01:00 vm postfix/smtpd 7 - - {}", "vm"),
            ("<22>1 2026-11-22T01:17:30.123456+01:00 vm postfix/smtpd 7 - -  {}", "vm"),
            ("1 2026-11-22T01:17:30.123456+01:00 vm postfix/smtpd 7 - [timeQuality tzKnown=\"1\"] {}", "vm"),
            ("<22>1 2026-11-22T01:17:30Z vm postfix/smtpd 7 - [a@1 b=\"x\\]y\"][c d=\"e\"] \u{feff}{}", "vm"),
            ("<22>1 - - postfix/smtpd 7 - - {}", ""),
            // Solaris, AIX, busybox with and without a host, FreeBSD -v and -vv, macOS.
            ("Nov 22 01:17:30 vm postfix/smtpd[7]: [ID 197553 mail.info] {}", "vm"),
            ("Nov 22 01:17:30 vm mail:info postfix/smtpd[7]: {}", "vm"),
            ("Nov 22 01:17:30 vm mail.info postfix/smtpd[7]: {}", "vm"),
            ("Nov 22 01:17:30 mail.info postfix/smtpd[7]: {}", ""),
            ("Nov 22 01:17:30 <mail.info> vm postfix/smtpd[7]: {}", "vm"),
            ("Nov 22 01:17:30 <2.6> vm postfix/smtpd[7]: {}", "vm"),
            ("Nov 22 01:17:30 vm postfix/smtpd[7] <Notice>: {}", "vm"),
            // IPv6 addresses as hosts.
            ("Nov 22 01:17:30 2001:db8::1 postfix/smtpd[7]: {}", "2001:db8::1"),
            ("Nov 22 01:17:30 2001:db8:: postfix/smtpd[7]: {}", "2001:db8::"),
            ("2026-11-22T01:17:30.123456+01:00 fe80::1%eth0 postfix/smtpd[7]: {}", "fe80::1%eth0"),
            // Containers: CRI with and without a header inside, compose.
            ("2024-01-02T03:04:05.6Z stdout F postfix/smtpd[7]: {}", ""),
            ("2024-01-02T03:04:05.6Z stderr F Nov 22 01:17:30 vm postfix/smtpd[7]: {}", "vm"),
            ("mail-1  | postfix/smtpd[7]: {}", ""),
        ] {
            let line = line.replace("{}", text);
            let found = split(&line);
            assert_eq!((found.1, found.2, found.3, found.4), (host, "postfix/smtpd", Some(7), text), "{line}");
        }
        assert_eq!(split("Nov 22 01:17:30 vm postfix-2001:db8::1/smtpd[7]: x").2, "postfix-2001:db8::1/smtpd");
        assert_eq!(split("Nov 22 01:17:30 vm postfix/smtpd[7]: [ID x] y").4, "[ID x] y");
    }

    #[test]
    fn what_is_no_line_of_a_program() {
        assert_eq!(split(""), ("", "", "", None, ""));
        assert_eq!(split("no header here"), ("", "", "", None, "no header here"));
        assert_eq!(
            split("Nov 22 01:17:30 vm last message repeated 3 times"),
            ("Nov 22 01:17:30", "vm", "", None, "last message repeated 3 times")
        );
        assert_eq!(split("Nov 22 01:17:30 vm kernel: [1.5] x"), ("Nov 22 01:17:30", "vm", "kernel", None, "[1.5] x"));
    }

    #[test]
    fn tags_split_at_the_last_slash() {
        let tag = Tag::new(b"postfix-170.55.103.23/submission/smtpd");
        assert_eq!((tag.name, tag.program), (&b"postfix-170.55.103.23/submission"[..], &b"smtpd"[..]));
        assert_eq!(tag.label(b"postfix-170.55.103.23"), Some(&b"submission"[..]));
        assert_eq!(tag.label(b"postfix"), None, "another instance");
        assert_eq!(Tag::new(b"postfix/qmgr").label(b"postfix"), Some(&b""[..]));
        assert_eq!(Tag::new(b"postfix-script").name, b"");
    }

    #[test]
    fn repetitions() {
        let repeated = |text: &'static str| Line::split(text.as_bytes()).repeated();
        assert_eq!(
            repeated("Nov 22 01:17:30 vm postfix/smtpd[7]: message repeated 3 times: [ connect from a[1.2.3.4]]"),
            Some((3, Some(&b"connect from a[1.2.3.4]"[..])))
        );
        assert_eq!(repeated("Nov 22 01:17:30 vm last message repeated 12 times"), Some((12, None)));
        assert_eq!(repeated("Nov 22 01:17:30 vm postfix/smtpd[7]: lost connection after AUTH from a[1]"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let line = Line::split(&bytes);
            let _ = (Tag::new(line.tag).label(b"postfix"), line.repeated());
        }

        #[test]
        fn a_header_cut_anywhere_is_a_line(cut in 0usize..90) {
            let whole = b"<22>2024-01-02T03:04:05.678901+01:00 mx postfix/smtpd[7]: connect from a[1.2.3.4]#012";
            let _ = Line::split(&whole[..cut.min(whole.len())]);
        }
    }
}
