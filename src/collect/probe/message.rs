//! The message of a round trip: made with mail-builder, known again by one header.
//!
//! `X-Postfix-Agentx-Probe: OWNER;SECONDS;TOKEN`. OWNER is the probe on this host, TOKEN is random (128 bits), so that
//! nobody who has not seen the message can make one that passes for it. A message is ours only if OWNER is this probe: other
//! mail is never touched, whatever a search found.

use mail_builder::{
    MessageBuilder,
    headers::{date::Date, raw::Raw},
};
use serde::{Deserialize, Serialize};
use std::{fmt::Write, io};

/// The header's name.
pub const HEADER: &str = "X-Postfix-Agentx-Probe";
/// No header line of ours is longer.
const LONGEST: usize = 512;

/// What is in the header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// The probe and its host.
    pub owner: String,
    /// When it was sent, seconds since 1970.
    pub sent: u64,
    /// 32 hexadecimal digits.
    pub token: String,
}

impl Stamp {
    /// A new one, as nobody can guess it.
    pub fn new(owner: &str, sent: u64) -> io::Result<Self> {
        let mut octets = [0; 16];
        let got = rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty())?;
        if got < octets.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self { owner: owner.to_owned(), sent, token: data_encoding::HEXLOWER.encode(&octets) })
    }

    /// The header's value.
    pub fn value(&self) -> String {
        format!("{};{};{}", self.owner, self.sent, self.token)
    }

    /// The stamp in the header section of a message; what follows the first empty line is not looked at.
    pub fn of(message: &[u8]) -> Option<Self> {
        message
            .split(|octet| *octet == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .take_while(|line| !line.is_empty())
            .find_map(|line| {
                let (name, value) = line.split_at_checked(HEADER.len())?;
                let value = value.strip_prefix(b":").filter(|value| value.len() <= LONGEST)?;
                name.eq_ignore_ascii_case(HEADER.as_bytes()).then(|| Self::parse(value)).flatten()
            })
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?.trim();
        let mut parts = value.split(';');
        let (owner, sent, token) = (parts.next()?, parts.next()?, parts.next()?);
        let hex = token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit());
        if owner.is_empty() || !hex || parts.next().is_some() {
            return None;
        }
        Some(Self { owner: owner.to_owned(), sent: sent.parse().ok()?, token: token.to_owned() })
    }
}

/// A probe of a host, as one word: other characters than letters, digits, `.`, `_`, `-` are written `%XX`.
pub fn owner(probe: &str, host: &str) -> String {
    let mut out = String::new();
    for (at, part) in [probe, host].into_iter().enumerate() {
        if at > 0 {
            out.push('@');
        }
        for octet in part.bytes() {
            if octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-') {
                out.push(char::from(octet));
            } else {
                // Writing to a String does not fail.
                let _ = write!(out, "%{octet:02X}");
            }
        }
    }
    out
}

/// The message, with CRLF, ready for DATA (not dot-stuffed).
pub fn compose(stamp: &Stamp, probe: &str, from: &str, to: &str, host: &str) -> io::Result<Vec<u8>> {
    // A null envelope sender still needs somebody in From (RFC 5322 §3.6).
    let sender = if from.is_empty() { to } else { from };
    let text = format!(
        "This message is a test by postfix-agentx on {host}: probe \"{probe}\" sends it and\r\n\
         removes it when it arrives. You see it only if that failed; delete it.\r\n\r\n{}\r\n",
        stamp.token
    );
    MessageBuilder::new()
        .from(sender)
        .to(to)
        .subject(format!("postfix-agentx probe: {probe}"))
        .date(Date::new(i64::try_from(stamp.sent).unwrap_or(0)))
        .message_id(format!("{}@{host}", stamp.token))
        // RFC 3834: no vacation notice, no answer.
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header(HEADER, Raw::new(stamp.value()))
        .text_body(text)
        .write_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_known_again_and_is_plain_mail() {
        let owner = owner("mailbox täglich", "mx1.example");
        assert_eq!(owner, "mailbox%20t%C3%A4glich@mx1.example");
        let stamp = Stamp::new(&owner, 1_764_230_000).unwrap();
        let message = compose(&stamp, "mailbox täglich", "probe@example.com", "to@example.org", "mx1.example").unwrap();
        let text = String::from_utf8(message.clone()).unwrap();
        assert_eq!(Stamp::of(&message), Some(stamp.clone()), "{text}");
        assert!(text.is_ascii(), "{text}");
        for wanted in
            ["From: <probe@example.com>\r\n", "To: <to@example.org>\r\n", "Auto-Submitted: auto-generated\r\n"]
        {
            assert!(text.contains(wanted), "{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 998));
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
        assert_ne!(Stamp::new(&owner, 1).unwrap().token, Stamp::new(&owner, 1).unwrap().token);
    }

    #[test]
    fn only_the_header_section_counts() {
        let value = "a@b;5;00112233445566778899aabbccddeeff";
        let stamp = Stamp::of(format!("Subject: x\r\nx-postfix-agentx-PROBE:{value}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!((stamp.owner.as_str(), stamp.sent), ("a@b", 5));
        assert_eq!(Stamp::of(format!("Subject: x\r\n\r\n{HEADER}: {value}\r\n").as_bytes()), None, "quoted in a body");
        for wrong in ["a@b;5", ";5;00112233445566778899aabbccddeeff", "a;x;00112233445566778899aabbccddeeff", "a;5;zz"]
        {
            assert_eq!(Stamp::of(format!("{HEADER}: {wrong}\r\n\r\n").as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_no_panic(octets: Vec<u8>) {
            let _ = Stamp::of(&octets);
        }
    }
}
