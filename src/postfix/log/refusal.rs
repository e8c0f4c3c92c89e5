//! What smtpd says of a command it refused, held, redirected …: `STAGE from host[address]: text; from=<…> to=<…> proto=…
//! helo=<…> sasl_username=<…>` (log_whatsup() of smtpd_check.c, check_milter_reply() of smtpd.c, cleanup_milter.c).
//!
//! The text often begins with what was refused, `550 5.1.1 <x@y>: Recipient address rejected: …`, and there the address has no
//! quotes: `<a>: Relay access denied; b@c>: Recipient address rejected: …` is one address. The envelope behind the text has
//! the same address with its quotes, or the same HELO name or client; so what was refused is known exactly, and the reason
//! is what follows it. Where the envelope does not have it (a policy server put other words there, or addresses are logged in
//! internal form), the last `>: ` before the envelope is taken.

use super::{
    address::{bracketed, internal_prefix},
    text::{dsn_code, temporary},
};
use memchr::{memchr, memmem};

/// One command and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// `RCPT`, `END-OF-MESSAGE`, …
    pub stage: &'a [u8],
    /// `host[address]`.
    pub client: &'a [u8],
    /// What was logged of the reply, from its code to the envelope.
    pub reply: &'a [u8],
    /// By the code of the reply; `None` where it has none.
    pub temporary: Option<bool>,
    /// `550`: three digits, or nothing.
    pub code: &'a [u8],
    /// `5.1.1`, where the reply has one.
    pub dsn: Option<[u32; 3]>,
    /// Whether the words follow `<…>: `.
    pub subject: bool,
    /// The reason: what follows the codes and what was refused.
    pub words: &'a [u8],
}

/// `STAGE from host[address]: text; …`.
pub fn refusal(details: &[u8]) -> Option<Refusal<'_>> {
    let (stage, rest) = stage(details)?;
    let (client, rest) = peer(rest)?;
    let rest = rest.strip_prefix(b": ")?;
    Some(reply(stage, client, rest))
}

/// Only a reply, as of a before-queue filter: `STAGE: text; …`.
pub fn proxied(details: &[u8]) -> Option<Refusal<'_>> {
    let end = memmem::find(details.get(..40.min(details.len()))?, b": ")?;
    Some(reply(&details[..end], b"", &details[end + 2..]))
}

/// `RCPT from `, `DATA content from `: a word of Postfix.
fn stage(details: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memmem::find(details.get(..32.min(details.len()))?, b" from ")?;
    let word = details[..end].strip_suffix(b" content").unwrap_or(&details[..end]);
    let letters = !word.is_empty() && word.iter().all(|b| b.is_ascii_uppercase() || *b == b'-');
    letters.then_some((&details[..end], &details[end + 6..]))
}

/// `host[address]`, perhaps with `:port` (smtpd_client_port_logging), at the head of `text`, and what follows. A host name
/// has no spaces: Postfix calls what has `unknown`.
pub fn peer(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let close = memchr(b']', text)?;
    let open = memchr(b'[', &text[..close])?;
    if memchr(b' ', &text[..open]).is_some() {
        return None;
    }
    let mut end = close + 1;
    if let Some(port) = text[end..].strip_prefix(b":") {
        let digits = port.iter().take_while(|b| b.is_ascii_digit()).count();
        end += if digits > 0 { digits + 1 } else { 0 };
    }
    Some(text.split_at(end))
}

fn reply<'a>(stage: &'a [u8], client: &'a [u8], rest: &'a [u8]) -> Refusal<'a> {
    let mut found = None;
    for at in memmem::find_iter(rest, b";") {
        let Some(envelope) = Envelope::parse(&rest[at + 1..]) else { continue };
        let reply = &rest[..at];
        let text = codes(reply).2;
        let Some(inner) = text.strip_prefix(b"<") else {
            // Nothing a client chose comes first.
            found = Some((reply, None));
            break;
        };
        if let Some(length) = envelope.subject(inner, stage, client) {
            found = Some((reply, Some(&inner[length + 3..])));
            break;
        }
        found = found.or(Some((reply, None)));
    }
    let (reply, words) =
        found.unwrap_or_else(|| (&rest[..memmem::rfind(rest, b"; from=<").unwrap_or(rest.len())], None));
    let (code, dsn, text) = codes(reply);
    let subject = text.starts_with(b"<");
    let words = words.unwrap_or_else(|| match memmem::rfind(text, b">: ").filter(|_| subject) {
        Some(at) => &text[at + 3..],
        None => text,
    });
    Refusal { stage, client, reply, temporary: temporary(reply), code, dsn, subject, words }
}

/// Code, enhanced code, and the text behind both.
fn codes(reply: &[u8]) -> (&[u8], Option<[u32; 3]>, &[u8]) {
    let (code, rest) = match reply {
        [a, b, c, b' ' | b'-', rest @ ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => (&reply[..3], rest),
        _ => (&[][..], reply),
    };
    let end = memchr(b' ', rest).unwrap_or(rest.len());
    match dsn_code(&rest[..end]) {
        Some(dsn) => (code, Some(dsn), rest[end..].trim_ascii_start()),
        None => (code, None, rest),
    }
}

/// What follows the text of a refusal, to the end of the line.
#[derive(Clone, Copy, Debug, Default)]
struct Envelope<'a> {
    sender: Option<&'a [u8]>,
    recipient: Option<&'a [u8]>,
    helo: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    /// All of ` from=<…> to=<…> proto=… helo=<…> sasl_username=<…>`, of which each may be missing.
    fn parse(mut rest: &'a [u8]) -> Option<Self> {
        let mut envelope = Self::default();
        if let Some(text) = rest.strip_prefix(b" from=") {
            let (address, after) = address(text)?;
            (envelope.sender, rest) = (Some(address), after);
        }
        if let Some(text) = rest.strip_prefix(b" to=") {
            let (address, after) = address(text)?;
            (envelope.recipient, rest) = (Some(address), after);
        }
        if let Some(text) = rest.strip_prefix(b" proto=") {
            rest = &text[memchr(b' ', text).unwrap_or(text.len())..];
        }
        if let Some(text) = rest.strip_prefix(b" helo=<") {
            // smtpd makes spaces and brackets of a HELO name question marks.
            let end = memchr(b'>', text)?;
            memchr(b' ', &text[..end]).is_none().then_some(())?;
            (envelope.helo, rest) = (Some(&text[..end]), &text[end + 1..]);
        }
        if let Some(text) = rest.strip_prefix(b" sasl_username=<") {
            // The last field; a name that holds the fields before it is no name.
            let name = text.strip_suffix(b">")?;
            memmem::find(name, b" helo=<").is_none().then_some(())?;
            rest = &[];
        }
        rest.is_empty().then_some(envelope)
    }

    /// How long the name in `text`, `NAME>: …`, is if it is one of this command's: the longest that fits.
    fn subject(&self, text: &[u8], stage: &[u8], client: &[u8]) -> Option<usize> {
        let host = &client[..memchr(b'[', client).unwrap_or(client.len())];
        let address = client.get(host.len() + 1..).map_or(&[][..], |a| &a[..memchr(b']', a).unwrap_or(a.len())]);
        let literal = [self.helo, Some(client), Some(host), Some(address), Some(stage)];
        let addresses = [self.sender, self.recipient].into_iter().flatten().filter_map(|a| internal_prefix(a, text));
        let names = literal.into_iter().flatten().filter(|n| !n.is_empty() && text.starts_with(n)).map(<[u8]>::len);
        addresses.chain(names).filter(|end| text[*end..].starts_with(b">: ")).max()
    }
}

/// An address of an envelope. A route with spaces or quotes is no address of mail, but a way to swallow the fields.
fn address(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (address, rest) = bracketed(text)?;
    let routed = address.first() == Some(&b'@');
    let strange = |b: &u8| matches!(b, b' ' | b'"' | b'<' | b'>');
    let route = &address[..memchr(b':', address).unwrap_or(0)];
    (!routed || !route.iter().any(strange)).then_some((address, rest))
}

/// The list in `… blocked using LIST; …` (postscreen, smtpd's default_rbl_reply), if it has the form of a host name. What was
/// looked up stands before it and may be a client's words, so the last place counts.
pub fn blocked_using(words: &[u8]) -> Option<&[u8]> {
    const WORDS: &[u8] = b" blocked using ";
    let list = &words[memmem::rfind(words, WORDS)? + WORDS.len()..];
    let end = list.iter().position(|b| matches!(b, b';' | b' ' | b',')).unwrap_or(list.len());
    Some(&list[..end]).filter(|list| is_host_name(list))
}

/// Labels of letters, digits, hyphens and underscores, two of them at least.
pub fn is_host_name(name: &[u8]) -> bool {
    let label = |label: &[u8]| {
        (1..=63).contains(&label.len()) && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    name.len() <= 253 && memchr(b'.', name).is_some() && name.split(|b| *b == b'.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(details: &str) -> (Option<bool>, &str) {
        let found = refusal(details.as_bytes()).unwrap_or_else(|| panic!("{details}"));
        (found.temporary, std::str::from_utf8(found.words).unwrap())
    }

    #[test]
    fn the_reason_is_behind_what_was_refused() {
        for (details, temporary, reason) in [
            (
                "RCPT from x[192.0.2.1]: 550 5.1.1 <a@b>: Recipient address rejected: User unknown; from=<s@t> to=<a@b> proto=ESMTP helo=<z>",
                Some(false),
                "Recipient address rejected: User unknown",
            ),
            // One address, and its quotes tell.
            (
                "RCPT from x[2001:db8::1]:4711: 450 4.1.1 <x>: Relay access denied; from=<y@z> to=<q@d>: Recipient address rejected: Domain not found; from=<s@t> to=<\"x>: Relay access denied; from=<y@z> to=<q\"@d> proto=ESMTP helo=<z>",
                Some(true),
                "Recipient address rejected: Domain not found",
            ),
            // The reply of another server is no reason.
            (
                "RCPT from x[192.0.2.1]: 450 4.1.1 <a@b>: Recipient address rejected: unverified address: host mx[1.2.3.4] said: 450 <a@b>: Greylisted; from=<s@t> to=<a@b> proto=ESMTP helo=<z>",
                Some(true),
                "Recipient address rejected: unverified address: host mx[1.2.3.4] said: 450 <a@b>: Greylisted",
            ),
            (
                "RCPT from x[192.0.2.1]: 450 4.7.1 <mail.policy.example>: Helo command rejected: Host not found; from=<\"; from=<\"@t> to=<a@b> proto=ESMTP helo=<mail.policy.example>",
                Some(true),
                "Helo command rejected: Host not found",
            ),
            (
                "RCPT from x[192.0.2.1]: 554 5.7.1 <x[192.0.2.1]>: Client host rejected: no; from=<s@t> to=<a@b> proto=ESMTP helo=<z> sasl_username=<u>",
                Some(false),
                "Client host rejected: no",
            ),
            (
                "DATA from x[192.0.2.1]: 503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining; from=<s@t> proto=SMTP helo=<z>",
                Some(false),
                "Data command rejected: Improper use of SMTP command pipelining",
            ),
            (
                "RCPT from x[192.0.2.1]: 452 4.3.1 Insufficient system storage; from=<s@t> to=<a@b> proto=ESMTP helo=<z>",
                Some(true),
                "Insufficient system storage",
            ),
            (
                "DATA content from x[192.0.2.1]: 550 5.5.2 bare <LF> received; from=<s@t> proto=ESMTP helo=<z>",
                Some(false),
                "bare <LF> received",
            ),
            (
                "CONNECT from x[192.0.2.1]: 421 4.7.0 mx Error: too many connections; proto=SMTP",
                Some(true),
                "mx Error: too many connections",
            ),
            (
                "VRFY from x[192.0.2.1]: 550 5.1.1 <q>: Recipient address rejected: y; proto=SMTP",
                Some(false),
                "Recipient address rejected: y",
            ),
            (
                "RCPT from x[192.0.2.1]: <a@b>: Recipient address triggers HOLD action; from=<s@t> to=<a@b> proto=ESMTP helo=<z>",
                None,
                "Recipient address triggers HOLD action",
            ),
            // Internal form: the last place.
            (
                "RCPT from x[192.0.2.1]: 550 5.1.1 <a>: b@c>: Recipient address rejected: User unknown; from=<s@t> to=<a>: b@c> proto=ESMTP helo=<z>",
                Some(false),
                "Recipient address rejected: User unknown",
            ),
            (
                "RCPT from x[192.0.2.1]: 550 5.1.1 <a@b>: Recipient address rejected: cut",
                Some(false),
                "Recipient address rejected: cut",
            ),
        ] {
            assert_eq!(words(details), (temporary, reason), "{details}");
        }
        assert_eq!(refusal(b"RCPT from a b[192.0.2.1]: 550 x"), None);
        assert_eq!(refusal(b"rcpt from a[192.0.2.1]: 550 x"), None);
        let full = refusal(b"RCPT from x[192.0.2.1]: 550 5.1.1 no; from=<s@t> proto=SMTP").unwrap();
        assert_eq!(
            (full.code, full.dsn, full.stage, full.client),
            (&b"550"[..], Some([5, 1, 1]), &b"RCPT"[..], &b"x[192.0.2.1]"[..])
        );
        assert_eq!(
            proxied(b"END-OF-MESSAGE: 554 5.7.0 Reject; from=<> to=<y> proto=SMTP helo=<z>").unwrap().words,
            b"Reject"
        );
    }

    #[test]
    fn lists_have_host_names() {
        for (text, list) in [
            ("Service unavailable; Client host [192.0.2.1] blocked using zen.example; https://x", Some("zen.example")),
            ("Service unavailable; client [192.0.2.1] blocked using zen.example", Some("zen.example")),
            (
                "Service unavailable; Sender address [x blocked using evil.example; y@z] blocked using dbl.example; x",
                Some("dbl.example"),
            ),
            ("x blocked using evil1@rig.example>: y", None),
            ("x blocked using evil", None),
            ("no", None),
        ] {
            assert_eq!(blocked_using(text.as_bytes()), list.map(str::as_bytes), "{text}");
        }
    }

    proptest! {
        /// Whatever a recipient's local part holds, the reason is what smtpd wrote behind it.
        #[test]
        fn no_local_part_chooses_the_reason(
            local in "[ -~]{0,20}(>: |; from=<| to=<|\" proto=E helo=<|; ){0,3}[ -~]{0,20}",
            sender in "[ -~]{0,20}(>: |; from=<| to=<@|:\"){0,3}[ -~]{0,10}",
        ) {
            let quote = |local: &str| format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\""));
            // A local part that begins with @ is taken for a route by Postfix itself.
            prop_assume!(!local.starts_with('@') && !sender.starts_with('@'));
            let line = format!(
                "RCPT from x[192.0.2.1]: 550 5.1.1 <{local}@d.example>: Recipient address rejected: User unknown; from=<{}@s.example> to=<{}@d.example> proto=ESMTP helo=<z>",
                quote(&sender), quote(&local),
            );
            prop_assert_eq!(refusal(line.as_bytes()).unwrap().words, b"Recipient address rejected: User unknown");
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let line = [b"RCPT from x[1]: 550 5.1.1 <", &bytes[..]].concat();
            let _ = (refusal(&bytes), refusal(&line), proxied(&bytes), blocked_using(&bytes), peer(&bytes));
        }
    }
}
