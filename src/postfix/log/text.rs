//! What Postfix writes behind the header.

use memchr::{memchr, memmem};
use std::hash::{Hash, Hasher};

/// Postfix's own severity, a word at the head of the message (msg.c; `error:` since 2.9). Informational messages have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No such word.
    Info,
    /// `warning: `
    Warning,
    /// `error: `
    Error,
    /// `fatal: `: the process gave up.
    Fatal,
    /// `panic: `: a bug.
    Panic,
}

/// The severity of a message and what follows it. `QID: warning: header …` is informational: the word has to be the first.
pub fn severity(text: &[u8]) -> (Severity, &[u8]) {
    let after = |word: &[u8]| text.strip_prefix(word);
    let found = match text.first() {
        Some(b'w') => after(b"warning: ").map(|rest| (Severity::Warning, rest)),
        Some(b'e') => after(b"error: ").map(|rest| (Severity::Error, rest)),
        Some(b'f') => after(b"fatal: ").map(|rest| (Severity::Fatal, rest)),
        Some(b'p') => after(b"panic: ").map(|rest| (Severity::Panic, rest)),
        _ => None,
    };
    found.unwrap_or((Severity::Info, text))
}

/// A queue id, short (hexadecimal microseconds and inode) or long (enable_long_queue_ids), stored in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueId([u8; QueueId::LONGEST]);

impl QueueId {
    /// Six and more of seconds, four of microseconds, `z`, an inode of 64 bits in base 51.
    pub const LONGEST: usize = 24;

    /// All of `bytes`, if it is one.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if !(6..Self::LONGEST).contains(&bytes.len()) {
            return None;
        }
        let all = bytes.iter().fold(u8::MAX, |all, &b| all & ID_BYTES[usize::from(b)]);
        let short = all & HEX != 0 && bytes.len() <= 21;
        let long = || all & BASE52 != 0 && memchr(b'z', bytes.get(10..).unwrap_or_default()).is_some();
        if !short && !long() {
            return None;
        }
        let mut id = [0; Self::LONGEST];
        id[..bytes.len()].copy_from_slice(bytes);
        Some(Self(id))
    }

    /// As Postfix writes it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..memchr(0, &self.0).unwrap_or(Self::LONGEST)]
    }
}

impl Hash for QueueId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for eight in self.0.as_chunks::<8>().0 {
            state.write_u64(u64::from_le_bytes(*eight));
        }
    }
}

const HEX: u8 = 1;
const BASE52: u8 = 2;

/// Which alphabets a byte belongs to: mail_queue.h's hexadecimal and its base 52, digits and letters without vowels.
const ID_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "a byte, and TryFrom is not const")]
        let b = byte as u8;
        if b.is_ascii_digit() || matches!(b, b'A'..=b'F') {
            table[byte] |= HEX;
        }
        let vowel = matches!(b.to_ascii_uppercase(), b'A' | b'E' | b'I' | b'O' | b'U');
        if b.is_ascii_alphanumeric() && !vowel {
            table[byte] |= BASE52;
        }
        byte += 1;
    }
    table
};

/// `QID: rest`.
pub fn queue_id(text: &[u8]) -> Option<(QueueId, &[u8])> {
    let end = text.iter().take(QueueId::LONGEST).position(|&b| b == b':')?;
    let rest = text[end + 1..].strip_prefix(b" ")?;
    Some((QueueId::new(&text[..end])?, rest))
}

/// A decimal number; `None` for anything else, and for what does not fit.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, b| {
        let digit = b.wrapping_sub(b'0');
        (digit < 10).then(|| n * 10 + u64::from(digit))
    })
}

/// qmgr's `from=<…>, size=405, nrcpt=1 (queue active)`: size and recipients. Read from the end, where no address can
/// pretend to be one of the two.
pub fn activation(rest: &[u8]) -> Option<(u64, u64)> {
    let rest = rest.strip_suffix(b" (queue active)")?;
    let (rest, nrcpt) = number_at_end(rest)?;
    let (rest, size) = number_at_end(rest.strip_suffix(b", nrcpt=")?)?;
    rest.ends_with(b", size=").then_some((size, nrcpt))
}

fn number_at_end(bytes: &[u8]) -> Option<(&[u8], u64)> {
    let digits = bytes.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (rest, digits) = bytes.split_at(bytes.len() - digits);
    Some((rest, number(digits)?))
}

/// `4.4.1`, and nothing behind it.
pub fn dsn_code(text: &[u8]) -> Option<[u32; 3]> {
    let mut parts = text.split(|&b| b == b'.');
    let mut part =
        |longest| parts.next().filter(|p| p.len() <= longest).and_then(number).and_then(|n| u32::try_from(n).ok());
    let code = [part(1)?, part(3)?, part(3)?];
    (parts.next().is_none() && matches!(code[0], 2 | 4 | 5)).then_some(code)
}

/// Whether a reply is temporary, by its SMTP code or, where cleanup logs none, its enhanced status code.
pub fn temporary(reply: &[u8]) -> Option<bool> {
    let word = reply.split(|&b| matches!(b, b' ' | b'-' | b';')).next()?;
    let class = match word {
        [class, second, third] if second.is_ascii_digit() && third.is_ascii_digit() => *class,
        word => b'0' + u8::try_from(dsn_code(word)?[0]).ok()?,
    };
    match class {
        b'4' => Some(true),
        b'5' => Some(false),
        _ => None,
    }
}

/// `ok` and `total` of one command in smtpd's `disconnect from host[address] ehlo=1 rcpt=0/1 … commands=3/4` (3.0).
pub fn command_counts(text: &[u8]) -> impl Iterator<Item = (&[u8], u64, u64)> {
    let start = memmem::find(text, b"] ").map_or(text.len(), |at| at + 2);
    text[start..].split(|&b| b == b' ').filter_map(|word| {
        let equals = memchr(b'=', word)?;
        let (name, counts) = (&word[..equals], &word[equals + 1..]);
        match memchr(b'/', counts) {
            Some(slash) => Some((name, number(&counts[..slash])?, number(&counts[slash + 1..])?)),
            None => number(counts).map(|n| (name, n, n)),
        }
    })
}

/// Whether `needle` stands in `haystack`.
pub fn has(haystack: &[u8], needle: &[u8]) -> bool {
    memmem::find(haystack, needle).is_some()
}

/// What stands between `start` and the first of `ends` (or the end).
pub fn between<'a>(text: &'a [u8], start: &[u8], ends: &[u8]) -> Option<&'a [u8]> {
    let rest = &text[memmem::find(text, start)? + start.len()..];
    Some(&rest[..rest.iter().position(|b| ends.contains(b)).unwrap_or(rest.len())])
}

/// The most octets of a name that comes from the log: as many as SNMP shows.
pub const NAME: usize = 255;

/// A name from the log, with rsyslog's octal escapes (`#303#274`) decoded and anything that is not UTF-8 replaced.
pub fn name(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len().min(NAME + 1));
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first()
        && decoded.len() <= NAME
    {
        if first == b'#'
            && let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] = tail
        {
            decoded.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = after;
        } else {
            decoded.push(first);
            rest = tail;
        }
    }
    let mut name = String::from_utf8_lossy(&decoded).into_owned();
    // A character that was cut is replaced, and replacements are longer than what they replace.
    while name.len() > NAME {
        name.pop();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queue_ids_short_long_and_words() {
        for id in ["EF3A6B6606", "0F5383D", "ED06590130AA1C9D6D862", "3xWyLP6Nmfz23fk", "48rT2v1hQrz1J0N"] {
            let text = format!("{id}: removed");
            let (found, rest) = queue_id(text.as_bytes()).unwrap_or_else(|| panic!("{id}"));
            assert_eq!((found.as_bytes(), rest), (id.as_bytes(), &b"removed"[..]));
        }
        for text in
            ["NOQUEUE: reject", "warning: x", "statistics: max", "Deleted: 3", "EF3A6: x", "EF3A6B6606", "EF3A6B6606:x"]
        {
            assert_eq!(queue_id(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn activations() {
        assert_eq!(activation(b"from=<a, size=9, nrcpt=9@x>, size=405, nrcpt=2 (queue active)"), Some((405, 2)));
        assert_eq!(activation(b"from=<>, status=expired, returned to sender"), None);
    }

    #[test]
    fn classes_of_replies() {
        let classes = ["450 4.7.1 x", "421-4.7.0 x", "550 x", "5.7.1 go away", "go away", "250 ok", "4.7.1"];
        let expected = [Some(true), Some(true), Some(false), Some(false), None, None, Some(true)];
        assert_eq!(classes.map(|c| temporary(c.as_bytes())), expected);
    }

    #[test]
    fn commands_of_a_session() {
        let text = b"disconnect from unknown[::1] ehlo=2 starttls=1 mail=1 rcpt=0/1 bdat=0/2 commands=4/6";
        let found: Vec<_> = command_counts(text).filter(|c| c.0 == b"bdat" || c.0 == b"mail").collect();
        assert_eq!(found, [(&b"mail"[..], 1, 1), (&b"bdat"[..], 0, 2)]);
        assert_eq!(command_counts(b"disconnect from unknown[unknown]").count(), 0);
    }

    #[test]
    fn names_are_decoded() {
        assert_eq!(name(b"m#303#274ller"), "m\u{fc}ller");
        assert_eq!(name(b"a#12 #999"), "a#12 #999");
        assert_eq!(name(b"\xff"), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (severity(&bytes), queue_id(&bytes), activation(&bytes), dsn_code(&bytes));
            let _ = (temporary(&bytes), command_counts(&bytes).count(), name(&bytes));
        }
    }
}
