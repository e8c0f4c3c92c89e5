//! Known words, and what of a text is words at all.
//!
//! A reply often repeats an address, and who sends mail chooses what stands in one: `<over quota@x>`, `"too many"@x`. So the
//! recipient's address is taken out in both of its forms, then everything from the first `<` to the last `>`, and from the
//! first quote to the last: where an address without its quotes holds `>` itself nobody can tell where it ends. Of the rest,
//! what has the form of an address, a name, a path or a number is no word.

use super::Cause;
use crate::postfix::log::address::internal;
use aho_corasick::AhoCorasick;
use memchr::{memchr, memmem, memrchr};
use std::sync::LazyLock;

/// Words of another server, in lower case; the first row that has one of its words counts. Blanks at the ends are ends of
/// words.
const REMOTE: &[(Cause, &[&str])] = &[
    (Cause::Greylisted, &["greylist", "graylist", "grey list", "gray list", "postgrey"]),
    (
        Cause::OverQuota,
        &[
            " quota",
            "overquota",
            "mailbox full",
            "mailbox is full",
            "mailbox was full",
            "mailbox size limit",
            "inbox is full",
            "inbox full",
            "account is full",
            "out of storage",
            "storage allocation",
            "disk space limit",
        ],
    ),
    (
        Cause::MessageSize,
        &[
            "message size",
            "message too large",
            "message is too large",
            "message too big",
            "message is too big",
            "message file too big",
            "message larger than",
            "size limit",
            "exceeds size",
            "maximum size",
        ],
    ),
    (
        Cause::SenderAuthentication,
        &[
            " spf ",
            " dkim",
            " dmarc",
            "domainkeys",
            "sender policy framework",
            "sender is unauthenticated",
            "not authenticated sender",
            "authentication requirements",
            "authentication checks",
        ],
    ),
    (
        Cause::BlockListed,
        &[
            "blocked using",
            "block list",
            "blocklist",
            "blacklist",
            "black list",
            "denylist",
            "deny list",
            " rbl ",
            " dnsbl",
            " spamhaus",
            " spamcop",
            " barracudacentral",
            "banned sending ip",
            "ip is listed",
            "is listed in",
            "is listed at",
            "is listed on",
            "is listed by",
        ],
    ),
    (
        Cause::RelayDenied,
        &[
            "relay access denied",
            "relay denied",
            "relay not permitted",
            "relay prohibited",
            "relaying",
            "to relay",
            "not relay",
            "no relay",
            "allowed rcpthosts",
        ],
    ),
    (Cause::Tls, &["starttls", " tls ", "encryption required", "encryption needed", "encryption is required"]),
    (
        Cause::Login,
        &[
            " sasl ",
            "authentication required",
            "authentication is required",
            "authentication fail",
            "authentication credentials",
            "authentication unsuccessful",
            "must authenticate",
            "not logged in",
            "smtp auth",
        ],
    ),
    (
        Cause::MailLoop,
        &[
            "too many hops",
            "hop count exceeded",
            "mail loop",
            "routing loop",
            "forwarding loop",
            "loop detected",
            "loops back",
            "message looping",
        ],
    ),
    (
        Cause::RateLimited,
        &[
            "rate limit",
            "ratelimit",
            "rate exceeded",
            "too many",
            "too much mail",
            "too quickly",
            "throttl",
            "exceeded the limit",
            "limit exceeded",
            "sending limit",
            "try again later with fewer",
            "unusual rate",
            "at a rate",
            "unexpected volume",
            "server busy",
            "server is busy",
            "too busy",
            "ports busy",
            " ts01 ",
            " ts02 ",
            " ts03 ",
            " tss04 ",
        ],
    ),
    (Cause::TimedOut, &["timed out", "timeout"]),
    (
        Cause::UnknownUser,
        &[
            "user unknown",
            "unknown user",
            "unknown recipient",
            "unknown address",
            "unknown local",
            "unknown mailbox",
            "unknown account",
            "recipient unknown",
            "address unknown",
            "no such user",
            "no such recipient",
            "no such mailbox",
            "no such address",
            "no such account",
            "no such person",
            "no mailbox",
            "user not found",
            "recipient not found",
            "mailbox not found",
            "account not found",
            "address not found",
            " not exist",
            "doesn't exist",
            "doesn't have a",
            "invalid recipient",
            "invalid mailbox",
            "invalid user",
            "not a valid mailbox",
            "not a valid user",
            "not a valid recipient",
            "unrouteable address",
            "unroutable address",
            "undeliverable address",
            "mailbox unavailable",
            "mailbox not available",
            "mailbox disabled",
            "mailbox is disabled",
            "mailbox is inactive",
            "account disabled",
            "account is disabled",
            "account has been disabled",
            "account is inactive",
            "account is unavailable",
            "user disabled",
        ],
    ),
    (Cause::Content, &[" virus", " malware", " infected", "attachment", "content rejected", " mime "]),
    (
        Cause::Policy,
        &[
            "rejected",
            "denied",
            "blocked",
            "spam",
            "unsolicited",
            "policy",
            "reputation",
            "refused",
            "prohibited",
            "not allowed",
            "not permitted",
            "not accepted",
            "suspicious",
            "complaints",
        ],
    ),
];

/// Postfix's own.
const OWN: &[(Cause, &[&str])] = &[
    (Cause::Login, &["sasl authentication failed", "authentication failed", "no mechanism available", "sasl library"]),
    (
        Cause::Tls,
        &[
            "tls is required",
            "cannot start tls",
            "certificate",
            "tls handshake",
            "starttls",
            "tlsa lookup error",
            " dane ",
            "tls library problem",
            "requiretls",
        ],
    ),
    (
        Cause::HostNotFound,
        &[
            "host or domain name not found",
            "name service error",
            "host not found",
            "no mx host for",
            "does not accept mail",
            "unable to look up host",
        ],
    ),
    (Cause::ConnectionRefused, &["connection refused"]),
    (Cause::NoRoute, &["network is unreachable", "no route to host", "host is down", "network is down"]),
    (
        Cause::LostConnection,
        &["lost connection", "connection reset", "broken pipe", "connection closed", "server dropped"],
    ),
    (Cause::TimedOut, &["timed out", "timeout"]),
    (Cause::OverQuota, &["disk quota", "over quota", "quota exceeded", "mailbox full", "file too large"]),
    (Cause::MessageSize, &["message size", "message file too big", "exceeds size limit"]),
    (Cause::MailLoop, &["loops back to myself", "mail forwarding loop", "too many hops"]),
    (Cause::UnknownUser, &["user unknown", "unknown user", "no such user", "undeliverable address"]),
    (
        Cause::Local,
        &[
            "temporary lookup failure",
            "user lookup error",
            "mail transport unavailable",
            "deferred transport",
            "unknown mail transport",
            "mail system configuration",
            "server configuration",
            " mailbox ",
            "maildir",
            "alias database",
            " cannot ",
            " unable to ",
            "command died",
            "command output",
            "command line usage",
            "internal software error",
            "local data error",
            "temporary failure",
            "system resources",
            "no space left",
            "bounce failed",
            "permission denied",
            "no such file",
        ],
    ),
];

/// All words of a table in one pass.
struct Finder {
    rows: &'static [(Cause, &'static [&'static str])],
    /// Row by pattern.
    row: Vec<usize>,
    /// `None` only if the words above were impossible.
    search: Option<AhoCorasick>,
}

impl Finder {
    fn new(rows: &'static [(Cause, &'static [&'static str])]) -> Self {
        let words = rows.iter().flat_map(|(_, words)| *words);
        let row = rows.iter().enumerate().flat_map(|(n, (_, words))| words.iter().map(move |_| n)).collect();
        Self { rows, row, search: AhoCorasick::new(words).ok() }
    }

    fn find(&self, text: &str) -> Option<Cause> {
        let matches = self.search.as_ref()?.find_overlapping_iter(text);
        let first = matches.filter_map(|found| self.row.get(found.pattern().as_usize())).min()?;
        self.rows.get(*first).map(|(cause, _)| *cause)
    }
}

static REMOTE_FINDER: LazyLock<Finder> = LazyLock::new(|| Finder::new(REMOTE));
static OWN_FINDER: LazyLock<Finder> = LazyLock::new(|| Finder::new(OWN));

/// The cause that the words of a text name.
pub(super) fn find(text: &[u8], recipient: &[u8], remote: bool) -> Option<Cause> {
    // These name a domain or an address at a place of their own.
    if !remote && (text.starts_with(b"mail for ") || text.starts_with(b"mail forwarding loop for ")) {
        return Some(Cause::MailLoop);
    }
    let finder = if remote { &REMOTE_FINDER } else { &OWN_FINDER };
    finder.find(&plain(text, recipient))
}

/// The words of a text in lower case, with a blank on each side. Where something was taken out words are apart.
fn plain(text: &[u8], recipient: &[u8]) -> String {
    let text = without(text, recipient);
    let mut plain = String::with_capacity(text.len() + 2);
    for token in text.split(|b| b.is_ascii_whitespace()) {
        match kind(token) {
            Kind::Words => {
                for byte in token {
                    match byte {
                        b'\'' => plain.push('\''),
                        byte if byte.is_ascii_alphanumeric() => {
                            if plain.is_empty() {
                                plain.push(' ');
                            }
                            plain.push(char::from(*byte));
                        }
                        _ => blank(&mut plain),
                    }
                }
                blank(&mut plain);
            }
            Kind::Number => {}
            Kind::Strange => plain.push_str(APART),
        }
    }
    plain
}

/// No word goes over this.
const APART: &str = "\0 ";

fn blank(plain: &mut String) {
    if !plain.ends_with(' ') {
        plain.push(' ');
    }
}

enum Kind {
    Words,
    /// `550-5.7.1`, `(#5.1.1)`: a code that is repeated.
    Number,
    /// An address, a name, a path, a link.
    Strange,
}

fn kind(token: &[u8]) -> Kind {
    if !token.iter().any(u8::is_ascii_alphabetic) {
        return if token.contains(&0) { Kind::Strange } else { Kind::Number };
    }
    let core = token.trim_ascii_end();
    let core = core.strip_suffix(b")").unwrap_or(core);
    let core = match core {
        [inner @ .., b'.' | b',' | b';' | b':' | b'!' | b'?'] => inner,
        core => core,
    };
    let strange = core.iter().enumerate().any(|(at, byte)| match byte {
        b'@' | b'=' | b'<' | b'>' | b'"' | 0 => true,
        b'.' | b':' => true,
        // `mailbox/quota` are two words, `/var/mail` and `a/b/c` are none.
        b'/' => at == 0 || memchr(b'/', &core[at + 1..]).is_some(),
        _ => false,
    });
    if strange { Kind::Strange } else { Kind::Words }
}

/// The text without the recipient and without what stands in brackets or quotes.
fn without(text: &[u8], recipient: &[u8]) -> Vec<u8> {
    let mut text = text.to_ascii_lowercase();
    let recipient = recipient.to_ascii_lowercase();
    for address in [&internal(&recipient), &recipient] {
        // What is shorter is in every text.
        while address.len() > 2
            && let Some(at) = memmem::find(&text, address)
        {
            text.splice(at..at + address.len(), [0]);
        }
    }
    // Brackets around what was taken out hold nothing any more.
    while let Some(at) = memmem::find(&text, b"<\0>") {
        text.splice(at..at + 3, [b' ', 0, b' ']);
    }
    for (open, close) in [(b'<', b'>'), (b'"', b'"')] {
        if let (Some(first), Some(last)) = (memchr(open, &text), memrchr(close, &text))
            && first < last
        {
            text.splice(first..=last, [b' ', 0, b' ']);
        }
    }
    text
}

/// Every word is one that [`plain`] can write, and stands in the row that has it.
#[cfg(test)]
pub(super) fn check(remote: bool) {
    for (cause, words) in if remote { REMOTE } else { OWN } {
        for word in *words {
            assert_eq!(plain(word.as_bytes(), b"").trim(), word.trim(), "{word}");
            assert_eq!(find(word.as_bytes(), b"", remote), Some(*cause), "{word}");
        }
    }
}
