//! What cleanup says of a header or a part of the body that matched a check: `header Subject: x from host[address]; from=<…>
//! to=<…> proto=… helo=<…>: text` (cleanup_act_log() of cleanup_message.c, cleanup_milter_hbc_log() of cleanup_milter.c).
//!
//! The header is the sender's and may imitate all that follows, the addresses may as well. What a client cannot have is a
//! HELO name with spaces or brackets, so the last ` helo=<…>` is Postfix's and the administrator's text is behind it. Mail of
//! local users has no HELO name: their own headers and senders can imitate the end of such a line, and the last place counts.

use super::address::bracketed;
use memchr::{memchr, memmem};

/// The administrator's text; empty where the check has none.
pub fn check_text(details: &[u8]) -> &[u8] {
    if let Some(text) = behind_helo(details)
        && memmem::find(text, b" from local; from=<").is_none()
    {
        return text;
    }
    behind_envelope(details).unwrap_or_default()
}

/// What follows the last ` helo=<…>`.
fn behind_helo(details: &[u8]) -> Option<&[u8]> {
    let rest = &details[memmem::rfind(details, b" helo=<")? + 7..];
    let rest = &rest[memchr(b'>', rest)? + 1..];
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b": ") }
}

/// What follows the last envelope without one. An address is skipped as a whole, whatever it holds.
fn behind_envelope(details: &[u8]) -> Option<&[u8]> {
    let (mut at, mut found) = (0, None);
    while let Some(next) = memmem::find(&details[at..], b"; from=<") {
        let begin = at + next;
        let Some((_, mut rest)) = bracketed(&details[begin + 7..]) else {
            at = begin + 8;
            continue;
        };
        if let Some((_, after)) = rest.strip_prefix(b" to=").and_then(bracketed) {
            rest = after;
        }
        if let Some(protocol) = rest.strip_prefix(b" proto=") {
            rest = &protocol[memchr(b':', protocol).unwrap_or(protocol.len())..];
        }
        at = details.len() - rest.len();
        found = rest.strip_prefix(b": ").or(found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_is_the_administrators() {
        for (details, text) in [
            (
                "header Subject: a; from=<b>: 4.0.0 c from x[192.0.2.1]; from=<x@y> to=<z@y> proto=ESMTP helo=<vm>: 5.7.1 go away",
                "5.7.1 go away",
            ),
            (
                "header Subject: x from unknown[192.0.2.1]; from=<\"e>: 4.7.1 w\"@rig.example> to=<b@rig.example> proto=ESMTP helo=<x>: 5.7.1 go away",
                "5.7.1 go away",
            ),
            (
                "header Subject: x; from=<\" from unknown[192.0.2.1]; from=<\"@d>: 4.0.0 fake\"@t> to=<b@c> proto=ESMTP helo=<x>: 5.7.1 go away",
                "5.7.1 go away",
            ),
            ("header X helo=<a>: 4.0.0 b from local; from=<r@x>: 5.7.1 no", "5.7.1 no"),
            ("header X from local; from=<\"a; from=<b>: 4.7.1 w\"@c>: 5.7.1 no", "5.7.1 no"),
            ("body x from unknown[192.0.2.1]; from=<a@b> to=<c@d> proto=ESMTP helo=<vm>", ""),
            ("header Subject: x from local; from=<a@b>", ""),
            ("header Subject: x", ""),
        ] {
            assert_eq!(check_text(details.as_bytes()), text.as_bytes(), "{details}");
        }
    }

    proptest! {
        /// Neither the header nor the addresses of a client's mail choose the text.
        #[test]
        fn no_client_chooses_the_text(
            header in "[ -~]{0,20}(; from=<|>: | helo=<|\" to=<){0,4}[ -~]{0,20}",
            sender in "[ -~]{0,20}(; from=<|>: | helo=<){0,4}[ -~]{0,20}",
        ) {
            let sender = sender.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("header {header} from x[192.0.2.1]; from=<\"{sender}\"@s.example> to=<b@c> proto=ESMTP helo=<z?q>: 5.7.1 go");
            prop_assume!(!header.contains(" from local; from=<"));
            prop_assert_eq!(check_text(line.as_bytes()), b"5.7.1 go");
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check_text(&bytes);
        }
    }
}
