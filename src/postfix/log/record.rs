//! Lines that come as records: JSON objects (docker's json-file, journalctl's json forms, JSON templates of rsyslog and
//! syslog-ng) and the journal's export format (systemd's JOURNAL_EXPORT_FORMATS).
//!
//! A record either names the program and its message, or holds a whole line of a syslog daemon, as docker's `log` does.

use super::line::{LONGEST, Line};
use memchr::memchr;
use serde_json::Value;

/// What a record says, taken out of its quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    stamp: Vec<u8>,
    host: Vec<u8>,
    tag: Vec<u8>,
    pid: Option<u32>,
    text: Vec<u8>,
}

/// Names of the members that hold the same thing, in lower case; the first that is there counts.
const TEXT: [&str; 5] = ["message", "msg", "log", "text", "rawmsg"];
const TAG: [&str; 9] =
    ["syslog_identifier", "syslogtag", "programname", "program", "app-name", "appname", "app_name", "tag", "ident"];
const PID: [&str; 5] = ["syslog_pid", "_pid", "pid", "procid", "process_id"];
const HOST: [&str; 4] = ["_hostname", "hostname", "host", "fromhost"];
const STAMP: [&str; 6] = ["timestamp", "@timestamp", "timereported", "time", "date", "isodate"];

/// The object in a line, if the line is one: `{…}`, perhaps behind the marks of json-seq and json-sse.
pub fn json(line: &[u8]) -> Option<Record> {
    let line = line.strip_prefix(b"\x1e").or_else(|| line.strip_prefix(b"data: ")).unwrap_or(line);
    if line.first() != Some(&b'{') || line.len() > LONGEST {
        return None;
    }
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(line) else { return None };
    let find = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| bytes(v)))
    };
    let mut record = Record {
        stamp: find(&STAMP).unwrap_or_default(),
        host: find(&HOST).unwrap_or_default(),
        pid: find(&PID).and_then(|pid| pid_of(&pid)),
        text: find(&TEXT)?,
        ..Record::default()
    };
    record.tagged(&find(&TAG).unwrap_or_default());
    Some(record)
}

/// A member's octets: text, a number, or what journalctl writes as an array because it is not UTF-8.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Number(number) => number.to_string().into_bytes(),
        Value::Array(items) => items.iter().filter_map(|n| n.as_u64().and_then(|n| u8::try_from(n).ok())).collect(),
        _ => Vec::new(),
    }
}

fn pid_of(digits: &[u8]) -> Option<u32> {
    super::text::number(digits).and_then(|n| u32::try_from(n).ok())
}

impl Record {
    /// As a line; without a program the text is a line with a header of its own.
    pub fn line(&self) -> Line<'_> {
        let text = self.text.trim_ascii();
        if self.tag.is_empty() {
            let inner = Line::split(text);
            let stamp = if inner.stamp.is_empty() { &self.stamp } else { inner.stamp };
            return Line { stamp, ..inner };
        }
        let text = &text[..text.len().min(LONGEST)];
        Line { stamp: &self.stamp, host: &self.host, tag: &self.tag, pid: self.pid, text }
    }

    /// `postfix/smtpd`, or `postfix/smtpd[7]:` as rsyslog's syslogtag has it.
    fn tagged(&mut self, tag: &[u8]) {
        let tag = tag.strip_suffix(b":").unwrap_or(tag);
        let end = memchr(b'[', tag).unwrap_or(tag.len());
        if let Some(pid) = tag[end..].strip_prefix(b"[").and_then(|p| p.strip_suffix(b"]")) {
            self.pid = pid_of(pid).or(self.pid);
        }
        self.tag = tag[..end].to_vec();
    }
}

/// The journal's export format: a field a line, an empty line behind each entry. Of a field with line ends only the first
/// line is taken.
#[derive(Clone, Debug, Default)]
pub struct Export {
    record: Record,
    open: bool,
    /// Octets of this entry.
    length: usize,
    /// The name of a field whose value comes behind its length, in the next line.
    binary: Option<Vec<u8>>,
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is no part of an entry.
    No,
    /// The entry goes on.
    Kept,
    /// It ended the entry.
    Entry(Record),
}

impl Export {
    /// Whether a line can be, or be a part of, a record: nearly none is.
    pub fn wants(&self, line: &[u8]) -> bool {
        self.open || matches!(line.first(), Some(b'{' | b'_' | b'\x1e' | b'd'))
    }

    /// The next line. Entries begin with their cursor.
    pub fn take(&mut self, line: &[u8]) -> Taken {
        if !self.open {
            if !line.starts_with(b"__CURSOR=") {
                return Taken::No;
            }
            *self = Self { open: true, ..Self::default() };
        }
        self.length += line.len();
        if line.is_empty() && self.binary.is_none() || self.length > LONGEST {
            self.open = false;
            return Taken::Entry(std::mem::take(&mut self.record));
        }
        if let Some(name) = self.binary.take() {
            self.field(&name, line.get(8..).unwrap_or_default());
        } else if let Some(equals) = memchr(b'=', line) {
            let (name, value) = (line[..equals].to_vec(), &line[equals + 1..]);
            self.field(&name, value);
        } else {
            self.binary =
                (line.len() <= 64 && line.iter().all(|b| b.is_ascii_uppercase() || *b == b'_')).then(|| line.to_vec());
        }
        Taken::Kept
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let record = &mut self.record;
        match name {
            b"MESSAGE" => record.text = value.to_vec(),
            b"SYSLOG_IDENTIFIER" => record.tagged(value),
            b"SYSLOG_PID" => record.pid = pid_of(value).or(record.pid),
            b"_PID" => record.pid = record.pid.or_else(|| pid_of(value)),
            b"_HOSTNAME" => record.host = value.to_vec(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "connect from a[1.2.3.4]";

    fn parts(record: &Record) -> (String, Option<u32>, String) {
        let line = record.line();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (text(line.tag), line.pid, text(line.text))
    }

    #[test]
    fn json_of_all_kinds() {
        let want = ("postfix/smtpd".to_owned(), Some(7), TEXT.to_owned());
        for line in [
            // docker's json-file with a header inside and without.
            r#"{"log":"Nov 22 01:17:30 vm postfix/smtpd[7]: {}\n","stream":"stdout","time":"2026-11-22T01:17:30.1Z"}"#,
            r#"{"log":"postfix/smtpd[7]: {}\n","stream":"stdout","time":"2026-11-22T01:17:30.1Z"}"#,
            // journalctl.
            r#"{"__CURSOR":"s=1","_HOSTNAME":"vm","SYSLOG_IDENTIFIER":"postfix/smtpd","_PID":"7","MESSAGE":"{}"}"#,
            r#"{"_PID":"1","SYSLOG_PID":"7","SYSLOG_IDENTIFIER":"postfix/smtpd","MESSAGE":"{}"}"#,
            "\x1e{\"_PID\":\"7\",\"SYSLOG_IDENTIFIER\":\"postfix/smtpd\",\"MESSAGE\":\"{}\"}",
            r#"data: {"_PID":"7","SYSLOG_IDENTIFIER":"postfix/smtpd","MESSAGE":"{}"}"#,
            // Templates of rsyslog and syslog-ng.
            r#"{"@timestamp":"2026-11-22T01:17:30Z","host":"vm","syslogtag":"postfix/smtpd[7]:","message":" {}"}"#,
            r#"{"PROGRAM":"postfix/smtpd","PID":"7","MESSAGE":"{}","HOST":"vm","DATE":"Nov 22 01:17:30"}"#,
            r#"{"app-name":"postfix/smtpd","procid":7,"msg":"{}"}"#,
            r#"{"message":"<22>1 2026-11-22T01:17:30Z vm postfix/smtpd 7 - - {}"}"#,
        ] {
            let line = line.replace("{}", TEXT);
            assert_eq!(parts(&json(line.as_bytes()).unwrap_or_else(|| panic!("{line}"))), want, "{line}");
        }
        let octets =
            format!("{{\"SYSLOG_IDENTIFIER\":\"postfix/smtpd\",\"_PID\":\"7\",\"MESSAGE\":{:?}}}", TEXT.as_bytes());
        assert_eq!(parts(&json(octets.as_bytes()).unwrap()), want);
        for other in ["{", "{}", "[]", "{\"a\":1}", "x", "{\"message\":"] {
            assert_eq!(json(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn an_exported_entry_is_one_line() {
        let mut export = Export::default();
        assert_eq!(export.take(b"Nov 22 01:17:30 vm x: y"), Taken::No);
        let entry = format!(
            "__CURSOR=s=1\n_HOSTNAME=vm\nSYSLOG_IDENTIFIER=postfix/smtpd\n_PID=7\nMESSAGE\n\x17\0\0\0\0\0\0\0{TEXT}\nX=y\n\n"
        );
        let mut records = Vec::new();
        for line in entry.repeat(2).split('\n') {
            if let Taken::Entry(record) = export.take(line.as_bytes()) {
                records.push(parts(&record));
            }
        }
        assert_eq!(records, vec![("postfix/smtpd".to_owned(), Some(7), TEXT.to_owned()); 2]);
        // One that never ends is given up.
        assert_eq!(export.take(b"__CURSOR=s=1"), Taken::Kept);
        let endless = (0..LONGEST).find(|_| export.take(b"A=bcdefghij") != Taken::Kept);
        assert!(endless.is_some());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let object = [b"{", &bytes[..], b"}"].concat();
            let (_, mut export) = (json(&object).map(|r| r.line().text.len()), Export::default());
            export.take(b"__CURSOR=");
            bytes.split(|b| *b == b'\n').for_each(|line| drop(export.take(line)));
        }
    }
}
