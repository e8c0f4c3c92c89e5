//! Responses of an IMAP server (RFC 3501 §7): what they mean here, and how a folder is written. Pure functions.

use super::LINE;
use crate::collect::probe::fault::{Fault, words};
use imap_proto::{AttributeValue, Capability, MailboxDatum, Response, ResponseCode, Status};

/// What a response means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The end of a command.
    Done {
        /// Its tag.
        tag: String,
        /// Whether it was OK.
        ok: bool,
        /// Its code.
        code: Code,
    },
    /// An untagged OK, NO, BAD, BYE or PREAUTH.
    Status(Word, Code),
    /// The server waits for more of the command.
    Continue,
    /// What it can do, in upper case.
    Capabilities(Vec<String>),
    /// How many messages there are.
    Exists,
    /// Numbers of a search.
    Search(Vec<u32>),
    /// Something of a message.
    Fetch {
        /// Its UID.
        uid: Option<u32>,
        /// The octets that were asked for.
        body: Option<Vec<u8>>,
    },
    /// Something that does not matter here.
    Other,
}

/// The condition of a status response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Fine.
    Ok,
    /// It failed.
    No,
    /// It was not understood.
    Bad,
    /// Logged in already.
    Preauth,
    /// The end.
    Bye,
}

/// The part of a response code that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// None, or another one.
    None,
    /// The UID that the next message gets.
    UidNext(u32),
    /// The folder cannot be changed.
    ReadOnly,
    /// What the server can do.
    Capabilities(Vec<String>),
}

fn capabilities(list: &[Capability<'_>]) -> Vec<String> {
    let one = |capability: &Capability<'_>| match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(name) => format!("AUTH={}", name.to_ascii_uppercase()),
        Capability::Atom(name) => name.to_ascii_uppercase(),
    };
    list.iter().map(one).collect()
}

/// Parses one whole response. `literal`: whether it has one. What cannot be parsed and is no status is [`Event::Other`], as
/// RFC 3501 §2.2.2 asks of a client; `None`: not IMAP.
pub fn event(response: &[u8], literal: bool) -> Option<Event> {
    let is_data = response.starts_with(b"* ");
    if literal && !is_data {
        return None;
    }
    // The parser is recursive and tries alternatives: depth is bounded before it sees anything. It also cuts the text that
    // follows a response code at its second octet, which must then be a character (imap-proto 0.17, Outcome::parse).
    let nested = response.iter().filter(|octet| **octet == b'(').count() > 16;
    let ascii: Vec<u8>;
    let octets = if literal {
        if response.get(..64.min(response.len())).is_none_or(|head| memchr::memmem::find(head, b" FETCH ").is_none()) {
            return Some(Event::Other);
        }
        response
    } else {
        ascii = response.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }).collect();
        if nested {
            return is_data.then_some(Event::Other);
        }
        &ascii
    };
    let parsed = match Response::parse(octets) {
        Ok((_, parsed)) => parsed,
        Err(_) if is_data => return Some(Event::Other),
        // `+` alone, and a challenge that is no text.
        Err(_) if response.starts_with(b"+") => return Some(Event::Continue),
        Err(_) => return None,
    };
    let code = |code: Option<ResponseCode<'_>>| match code {
        Some(ResponseCode::UidNext(uid)) => Code::UidNext(uid),
        Some(ResponseCode::ReadOnly) => Code::ReadOnly,
        Some(ResponseCode::Capabilities(list)) => Code::Capabilities(capabilities(&list)),
        _ => Code::None,
    };
    Some(match parsed {
        Response::Done { tag, status, outcome } => {
            Event::Done { tag: tag.0, ok: status == Status::Ok, code: code(outcome.code) }
        }
        Response::Data { status, outcome } => {
            let word = match status {
                Status::Ok => Word::Ok,
                Status::No => Word::No,
                Status::Bad => Word::Bad,
                Status::PreAuth => Word::Preauth,
                Status::Bye => Word::Bye,
            };
            Event::Status(word, code(outcome.code))
        }
        Response::Continue(_) => Event::Continue,
        Response::Capabilities(list) => Event::Capabilities(capabilities(&list)),
        Response::MailboxData(MailboxDatum::Exists(_)) => Event::Exists,
        Response::MailboxData(MailboxDatum::Search(numbers)) => Event::Search(numbers),
        Response::Fetch(_, attributes) => {
            let (mut uid, mut body) = (None, None);
            for attribute in attributes {
                match attribute {
                    AttributeValue::Uid(number) => uid = Some(number),
                    AttributeValue::BodySection { data: Some(data), .. } => body = Some(data.into_owned()),
                    _ => {}
                }
            }
            Event::Fetch { uid, body }
        }
        _ => Event::Other,
    })
}

/// The length of the literal that a line announces at its end.
pub fn literal_length(line: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(inner) = line.strip_suffix(b"}") else { return Ok(None) };
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let Some(open) = memchr::memrchr(b'{', inner) else { return Ok(None) };
    let digits = inner.get(open + 1..).unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    let number = String::from_utf8_lossy(digits);
    match number.parse::<usize>() {
        Ok(length) if length <= LINE => Ok(Some(length)),
        _ => Err(Fault::Literal(words(number.as_bytes()))),
    }
}

/// A folder's name as IMAP writes it: quoted, modified UTF-7 (RFC 3501 §5.1.3).
pub fn folder_name(folder: &str) -> String {
    let mut out = String::from("\"");
    let mut other: Vec<u8> = Vec::new();
    let flush = |other: &mut Vec<u8>, out: &mut String| {
        if !other.is_empty() {
            out.push('&');
            out.push_str(&data_encoding::BASE64_NOPAD.encode(other).replace('/', ","));
            out.push('-');
            other.clear();
        }
    };
    for c in folder.chars() {
        if c.is_ascii() {
            flush(&mut other, &mut out);
            match c {
                '&' => out.push_str("&-"),
                '"' | '\\' => out.extend(['\\', c]),
                _ => out.push(c),
            }
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| other.extend(unit.to_be_bytes()));
        }
    }
    flush(&mut other, &mut out);
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn responses_mean_what_the_rfc_says() {
        let plain = |text: &str| event(format!("{text}\r\n").as_bytes(), false);
        assert_eq!(plain("* 23 EXISTS"), Some(Event::Exists));
        assert_eq!(plain("* SEARCH 2 84 882"), Some(Event::Search(vec![2, 84, 882])));
        assert_eq!(plain("* SEARCH"), Some(Event::Search(vec![])));
        assert_eq!(plain("* OK [UIDNEXT 4392] next"), Some(Event::Status(Word::Ok, Code::UidNext(4392))));
        assert_eq!(plain("* BYE gone"), Some(Event::Status(Word::Bye, Code::None)));
        assert_eq!(
            plain("p1 OK [READ-ONLY] done"),
            Some(Event::Done { tag: "p1".into(), ok: true, code: Code::ReadOnly })
        );
        assert_eq!(plain("p1 NO [TRYCREATE] no"), Some(Event::Done { tag: "p1".into(), ok: false, code: Code::None }));
        assert_eq!(plain("+ "), Some(Event::Continue));
        assert_eq!(plain("+"), Some(Event::Continue));
        assert_eq!(plain("* XEXTENSION (1 2 \"x"), Some(Event::Other));
        assert_eq!(plain("220 mx ESMTP"), None);
        assert_eq!(plain("+OK POP3 ready"), Some(Event::Continue));
        let caps = plain("* CAPABILITY IMAP4rev1 auth=plain IDLE uidplus");
        assert_eq!(
            caps,
            Some(Event::Capabilities(["IMAP4REV1", "AUTH=PLAIN", "IDLE", "UIDPLUS"].map(String::from).into()))
        );
        let fetch = b"* 3 FETCH (UID 7 BODY[HEADER.FIELDS (X-POSTFIX-AGENTX-PROBE)] {6}\r\nA: \xff\r\n)\r\n";
        assert_eq!(event(fetch, true), Some(Event::Fetch { uid: Some(7), body: Some(b"A: \xff\r\n".to_vec()) }));
    }

    #[test]
    fn what_a_parser_could_fall_over_does_not_reach_it() {
        // Cut at the second octet of a letter of two.
        assert_eq!(event("* OK [ALERT]é\r\n".as_bytes(), false), Some(Event::Status(Word::Ok, Code::None)));
        assert!(event("p1 OK [ALERT]é\r\n".as_bytes(), false).is_some());
        let deep = format!("* 1 FETCH (BODYSTRUCTURE {}\r\n", "(".repeat(60_000));
        assert_eq!(event(deep.as_bytes(), false), Some(Event::Other));
        assert_eq!(event(format!("p1 OK {}\r\n", "(".repeat(60_000)).as_bytes(), false), None);
    }

    #[test]
    fn a_literal_larger_than_anything_is_refused() {
        assert_eq!(literal_length(b"* 1 FETCH (BODY[] {65536}").unwrap(), Some(65_536));
        assert_eq!(literal_length(b"x {0}").unwrap(), Some(0));
        assert_eq!(literal_length(b"x {12+}").unwrap(), Some(12));
        for none in [&b"x"[..], b"x}", b"{}", b"{-1}", b"{1x}", b"x {12} "] {
            assert_eq!(literal_length(none).unwrap(), None);
        }
        for huge in ["65537", "9223372036854775808", "18446744073709551616", &"9".repeat(5_000)] {
            let refused = literal_length(format!("* 1 FETCH (BODY[] {{{huge}}}").as_bytes()).unwrap_err();
            assert!(matches!(refused, Fault::Literal(_)) && refused.to_string().len() < 300, "{refused}");
        }
    }

    #[test]
    fn folders_are_written_in_modified_utf_7() {
        assert_eq!(folder_name("INBOX"), "\"INBOX\"");
        assert_eq!(folder_name("Entwürfe & \"x\\"), "\"Entw&APw-rfe &- \\\"x\\\\\"");
        assert_eq!(folder_name("~peter/mail/台北/日本語"), "\"~peter/mail/&U,BTFw-/&ZeVnLIqe-\"");
    }

    proptest! {
        #[test]
        fn any_response_is_no_panic(octets: Vec<u8>, literal: bool) {
            let _ = event(&octets, literal);
            let _ = literal_length(&octets);
        }

        #[test]
        fn anything_after_a_known_beginning_is_no_panic(
            head in prop::sample::select(vec!["* OK [", "p1 NO [", "* 1 FETCH (", "* SEARCH ", "* CAPABILITY ", "* LIST (", "+ "]),
            tail in "[ -~é\u{fffd}]{0,80}",
            literal: bool,
        ) {
            let _ = event(format!("{head}{tail}\r\n").as_bytes(), literal);
        }
    }
}
