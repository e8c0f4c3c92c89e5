//! The header of a line: timestamp, host, tag, pid.
//!
//! Understood: BSD timestamps (RFC 3164, day padded with a space, a zero or nothing), RFC 3339 timestamps, `<PRI>` before
//! either, no timestamp and host at all (container logs), and anything else before a `tag[pid]: `. RFC 5424 headers with
//! structured data are not: no syslog daemon writes them to a file unless told to.

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
        let body = without_priority(line);
        let stamp = stamp_length(body);
        let rest = skip_spaces(&body[stamp..]);
        let stamp = &body[..stamp];
        if let Some((tag, pid, text)) = tagged(rest) {
            return Self { stamp, host: &[], tag, pid, text };
        }
        if !stamp.is_empty()
            && let Some(space) = memchr(b' ', rest)
        {
            let host = &rest[..space];
            let after = skip_spaces(&rest[space..]);
            return match tagged(after) {
                Some((tag, pid, text)) => Self { stamp, host, tag, pid, text },
                // `last message repeated`, or a prefix of a container runtime before the header proper.
                None => Self::behind_prefix(rest).unwrap_or(Self { stamp, host, text: after, ..Self::default() }),
            };
        }
        Self::behind_prefix(rest).unwrap_or(Self { stamp, text: rest, ..Self::default() })
    }

    /// Finds a `name/program[pid]: ` behind something unknown.
    fn behind_prefix(rest: &'a [u8]) -> Option<Self> {
        let end = memmem::find(rest, b"]: ")?;
        let start = memrchr(b' ', &rest[..end]).map_or(0, |space| space + 1);
        let (tag, pid, text) = tagged(&rest[start..])?;
        pid?;
        let before = rest[..start].trim_ascii_end();
        let host = memrchr(b' ', before).map_or(before, |space| &before[space + 1..]);
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
        let count = super::text::number(number)?.min(u64::from(u32::MAX)) as u32;
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

/// `tag[pid]: text` or `tag: text`.
fn tagged(line: &[u8]) -> Option<(&[u8], Option<u32>, &[u8])> {
    let end = line.iter().take(128).position(|b| matches!(b, b'[' | b':' | b' '))?;
    let (tag, rest) = line.split_at(end);
    if tag.is_empty() {
        return None;
    }
    let (pid, rest) = match rest {
        [b'[', inner @ ..] => {
            let digits = inner.iter().take(11).take_while(|b| b.is_ascii_digit()).count();
            let pid = super::text::number(&inner[..digits]).and_then(|n| u32::try_from(n).ok());
            (Some(pid?), inner[digits..].strip_prefix(b"]")?)
        }
        rest => (None, rest),
    };
    let text = rest.strip_prefix(b":")?;
    // A queue id or a word of the text is no tag: those come without a header only, where a pid is asked for.
    Some((tag, pid, text.strip_prefix(b" ").unwrap_or(text)))
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
