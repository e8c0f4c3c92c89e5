//! The text of a reason without what differs from one message to the next: so that a thousand deferrals for one cause have
//! one text, and none names a person.
//!
//! Taken out are mail addresses, network addresses with their ports, numbers, and words that are ids because there are
//! numbers in them. Of a host's name the numbers become `#`, of a path of this host nothing is left.

use crate::shown::is_hidden;

/// Longer texts are cut, in octets.
pub const LONGEST: usize = 128;
/// So much of a reason is looked at, in octets.
const READ: usize = 1_024;
/// No address is longer than this, in octets (RFC 5321 §4.5.3.1.3, and what quoting adds).
const LONGEST_ADDRESS: usize = 512;
/// What qmgr(8) writes before the reason for which it leaves a whole destination alone: the cause is the same.
const SUSPENDED: &str = "delivery temporarily suspended: ";

/// The text, in at most [`LONGEST`] octets without a digit, an `@` or anything hidden.
pub fn plain(reason: &[u8]) -> String {
    let reason = String::from_utf8_lossy(&reason[..reason.len().min(READ)]);
    let reason = without_angles(reason.strip_prefix(SUSPENDED).unwrap_or(&reason));
    let mut out = String::with_capacity(reason.len());
    let mut before = "";
    let mut user_follows = false;
    for word in reason.split_whitespace() {
        let names_user = std::mem::replace(&mut user_follows, before == "for" && word == "user");
        before = word;
        let word = if names_user { format!("<>{}", end_of(word)) } else { plain_word(word) };
        let is_mark = !word.is_empty() && word.chars().all(|c| ".,;:".contains(c));
        // What is left of `192.0.2.1:` belongs to the word before it.
        if is_mark && out.ends_with(|c: char| c.is_alphanumeric()) {
            out.push_str(&word);
        } else if !is_mark && !word.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(&word);
        }
    }
    let mut shown: String = out
        .chars()
        .filter(|c| *c != '@')
        .map(|c| match c {
            c if c.is_numeric() => '#',
            c if is_hidden(c) => '?',
            c => c,
        })
        .collect();
    shown.truncate(shown.floor_char_boundary(LONGEST));
    shown.truncate(shown.trim_end().len());
    shown
}

/// Empties all `<…>`: what stands there is an address, or was said to be one.
fn without_angles(mut text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    while let Some(begin) = text.find('<') {
        let inside = &text[begin + 1..];
        let Some(end) = inside.find('>').filter(|end| *end <= LONGEST_ADDRESS) else { break };
        out.push_str(&text[..=begin]);
        out.push('>');
        text = &inside[end + 1..];
    }
    out.push_str(text);
    out
}

fn plain_word(word: &str) -> String {
    let word = without_literals(word);
    let core = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '/');
    let end = end_of(&word);
    if word.contains('@') {
        return format!("<>{end}");
    }
    // A path of this host may name a user.
    if core.starts_with('/') && core.len() > 1 {
        return format!("/...{end}");
    }
    let Some(first) = core.find(char::is_numeric) else { return word };
    if core.contains("://") {
        return format!("{}{end}", &core[..first]);
    }
    if !is_host(core) {
        return end.to_owned();
    }
    let mut name = String::with_capacity(word.len());
    for c in core.chars() {
        match c.is_numeric() {
            true if name.ends_with('#') => {}
            true => name.push('#'),
            false => name.push(c),
        }
    }
    name + end
}

/// A host's name: labels with dots between them, of which the last one is no number.
fn is_host(word: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    word.rsplit_once('.').is_some_and(|(rest, last)| {
        rest.split('.').all(is_label) && last.len() > 1 && last.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
    })
}

/// The mark a word ends with, where another one may follow.
fn end_of(word: &str) -> &str {
    let mark = word.trim_end_matches(|c: char| c.is_ascii_punctuation() && !".,;:".contains(c));
    let text = mark.trim_end_matches(|c: char| ".,;:".contains(c));
    let marks = &mark[text.len()..];
    // One is enough, whatever number stood before it.
    marks.char_indices().next_back().map_or("", |(at, _)| &marks[at..])
}

/// Without `[192.0.2.1]` and the port behind it.
fn without_literals(word: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(word.len()), word);
    while let Some(begin) = rest.find('[') {
        let inside = &rest[begin + 1..];
        let Some(end) = inside.find(']') else { break };
        let is_literal = inside[..end].contains(|c: char| c.is_numeric() || c == ':');
        if !is_literal {
            out.push_str(&rest[..=begin]);
            rest = inside;
            continue;
        }
        out.push_str(&rest[..begin]);
        rest = &inside[end + 1..];
        let after = rest.strip_prefix(':').unwrap_or(rest);
        let port = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if port.len() < after.len() {
            rest = port;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_ones() {
        let cases = [
            ("connect to 127.0.0.1[127.0.0.1]:2525: Connection refused", "connect to: Connection refused"),
            (
                "connect to mx.x.example[192.0.2.1]:25: Connection timed out",
                "connect to mx.x.example: Connection timed out",
            ),
            (
                "connect to mx1.x.test[2001:db8::1]:25: Network is unreachable",
                "connect to mx#.x.test: Network is unreachable",
            ),
            (
                "delivery temporarily suspended: connect to mx.x[192.0.2.1]:25: Connection refused",
                "connect to mx.x: Connection refused",
            ),
            (
                "conversation with mx.x[192.0.2.1] timed out while receiving the initial server greeting",
                "conversation with mx.x timed out while receiving the initial server greeting",
            ),
            (
                "Host or domain name not found. Name service error for name=x.y type=MX: Host not found, try again",
                "Host or domain name not found. Name service error for name=x.y type=MX: Host not found, try again",
            ),
            (
                "host mx.x[192.0.2.1] said: 450 4.2.0 <\"a b\"@x>: Recipient address rejected: Greylisted for 300 seconds (in reply to RCPT TO command)",
                "host mx.x said: <>: Recipient address rejected: Greylisted for seconds (in reply to RCPT TO command)",
            ),
            (
                "host mx.x[192.0.2.1] said: 421-4.7.28 Our system, id d9443c01a7336-22c50f. Mail john.doe@x.example, please",
                "host mx.x said: Our system, id. Mail <>, please",
            ),
            (
                "host a7.mx.test[192.0.2.1] refused to talk to me: 421 4.7.0 [TS01] see http://postmaster.x/421-ts01.html",
                "host a#.mx.test refused to talk to me: see http://postmaster.x/",
            ),
            (
                "cannot update mailbox /var/mail/john for user john. unable to create lock file /var/mail/john.lock: Permission denied",
                "cannot update mailbox /... for user <>. unable to create lock file /...: Permission denied",
            ),
            ("mail transport unavailable", "mail transport unavailable"),
            ("4.3.0 simulated", "simulated"),
            ("", ""),
            ("421", ""),
        ];
        for (reason, text) in cases {
            assert_eq!(plain(reason.as_bytes()), text);
        }
    }

    #[test]
    fn one_cause_has_one_text() {
        let of = |ip: u8, id: &str| {
            let text = format!("host mx{ip}.x.test[192.0.2.{ip}] said: 451 4.7.1 try again later, {id} - gsmtp");
            plain(text.as_bytes())
        };
        assert_eq!(of(1, "d9443c01a7336-22c5si123456pla.123"), of(25, "4fb4d7f45d1cf-si98pla.77"));
    }

    #[test]
    fn a_long_one_is_cut_between_characters() {
        let text = plain("\u{fc}".repeat(400).as_bytes());
        assert_eq!(text, "\u{fc}".repeat(64));
    }

    proptest! {
        #[test]
        fn no_number_no_address_nothing_hidden(reason in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for text in [plain(reason.as_bytes()), plain(&bytes)] {
                prop_assert!(text.len() <= LONGEST);
                prop_assert!(!text.chars().any(|c| c.is_numeric() || c == '@' || is_hidden(c)), "{}", text);
            }
        }
    }
}
