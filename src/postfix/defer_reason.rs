//! Why a delivery was put off, as one of thirteen classes: from the text Postfix writes into the log line, the defer log and
//! showq's `reason`, which is the same text in all three.
//!
//! What the remote server said (`host H[A] said: 451 …`, `refused to talk to me`) is judged by its words and codes, anything
//! else by Postfix's own words (smtp_connect.c, smtp_trouble.c, dns_lookup.c). Servers say what they like: a class is a
//! sign, not a proof.

/// postfixDeferReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeferReason {
    /// Nobody listens there.
    ConnectionRefused = 1,
    /// No answer in time.
    TimedOut = 2,
    /// The network does not reach it.
    NoRoute = 3,
    /// DNS has no answer.
    HostNotFound = 4,
    /// It broke off.
    LostConnection = 5,
    /// No agreement on TLS.
    Tls = 6,
    /// Asked to come back later.
    Greylisted = 7,
    /// The mailbox is full.
    OverQuota = 8,
    /// Too much at once.
    RateLimited = 9,
    /// We could not log in.
    Authentication = 10,
    /// The fault is on this host.
    Local = 11,
    /// Refused for now by a rule over there.
    Policy = 12,
    /// None of these.
    Other = 13,
}

impl DeferReason {
    /// All of them, by number.
    pub const ALL: [Self; 13] = [
        Self::ConnectionRefused,
        Self::TimedOut,
        Self::NoRoute,
        Self::HostNotFound,
        Self::LostConnection,
        Self::Tls,
        Self::Greylisted,
        Self::OverQuota,
        Self::RateLimited,
        Self::Authentication,
        Self::Local,
        Self::Policy,
        Self::Other,
    ];

    /// The enumeration's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connectionRefused",
            Self::TimedOut => "timedOut",
            Self::NoRoute => "noRoute",
            Self::HostNotFound => "hostNotFound",
            Self::LostConnection => "lostConnection",
            Self::Tls => "tls",
            Self::Greylisted => "greylisted",
            Self::OverQuota => "overQuota",
            Self::RateLimited => "rateLimited",
            Self::Authentication => "authentication",
            Self::Local => "local",
            Self::Policy => "policy",
            Self::Other => "other",
        }
    }

    /// The class of a reason.
    pub fn of(text: &[u8]) -> Self {
        // Longer texts say nothing new, and what they cost is bounded.
        let text = text[..text.len().min(1_024)].to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| memchr::memmem::find(&text, w.as_bytes()).is_some());
        if has(&[" said: ", "refused to talk to me"]) { Self::of_reply(has) } else { Self::of_own(has) }
    }

    fn of_reply(has: impl Fn(&[&str]) -> bool) -> Self {
        if has(&["greylist", "graylist", "grey-list", "gray-list", "grey list", "postgrey"]) {
            Self::Greylisted
        } else if has(&["quota", "4.2.2", "mailbox full", "mailbox is full", "out of storage", "storage allocation"]) {
            Self::OverQuota
        } else if has(&["starttls", " tls ", "tls required", "encryption required", "4.7.10", "must issue a starttls"])
        {
            Self::Tls
        } else if has(&["authentication", "sasl", "4.7.8", "said: 530", "said: 535", "said: 454 4.7.0"]) {
            Self::Authentication
        } else if has(&[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "rate exceeded",
            "too many",
            "too much mail",
            "throttl",
            "exceeded the limit",
            "limit exceeded",
            "try again later with fewer",
            "4.7.28",
            "4.7.650",
            "unusual rate",
            "[ts01]",
            "[ts02]",
            "[ts03]",
        ]) {
            Self::RateLimited
        } else if has(&["timed out", "timeout"]) && has(&["said: 4"]) {
            Self::TimedOut
        } else if has(&[
            "rejected",
            "denied",
            "blocked",
            "blacklist",
            "blocklist",
            "spam",
            "policy",
            "reputation",
            " 4.7.",
        ]) {
            Self::Policy
        } else if has(&["said: 421", "me: 421"]) && has(&["later", "busy", "connections", "unavailable", "load"]) {
            // Without a better word 421 is a server that has enough to do, unless it speaks of a mailbox.
            if has(&["mailbox", "recipient", "account"]) { Self::Other } else { Self::RateLimited }
        } else {
            Self::Other
        }
    }

    fn of_own(has: impl Fn(&[&str]) -> bool) -> Self {
        if has(&["sasl authentication failed", "authentication failed", "no mechanism available", "sasl library"]) {
            Self::Authentication
        } else if has(&[
            "tls is required",
            "cannot start tls",
            "certificate",
            "tls handshake",
            "starttls",
            "tlsa lookup error",
            "dane",
            "tls library problem",
        ]) {
            Self::Tls
        } else if has(&["host or domain name not found", "name service error", "host not found", "no mx host for"]) {
            Self::HostNotFound
        } else if has(&["connection refused"]) {
            Self::ConnectionRefused
        } else if has(&["network is unreachable", "no route to host", "host is down", "network is down"]) {
            Self::NoRoute
        } else if has(&["lost connection", "connection reset", "broken pipe", "connection closed", "server dropped"]) {
            Self::LostConnection
        } else if has(&["timed out", "timeout"]) {
            Self::TimedOut
        } else if has(&["quota", "mailbox full", "file too large", "message file too big"]) {
            Self::OverQuota
        } else if has(&[
            "temporary lookup failure",
            "user lookup error",
            "mail transport unavailable",
            "unknown mail transport",
            "mail system configuration",
            "server configuration",
            "mailbox",
            "maildir",
            "alias database",
            "cannot ",
            "unable to ",
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
            "loops back to myself",
            "no such file",
        ]) {
            Self::Local
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DeferReason as R, *};
    use proptest::prelude::*;

    #[test]
    fn what_real_ones_are() {
        let cases = [
            ("connect to 127.0.0.1[127.0.0.1]:2525: Connection refused", R::ConnectionRefused),
            ("delivery temporarily suspended: connect to mx.x[192.0.2.1]:25: Connection refused", R::ConnectionRefused),
            ("connect to mx.x[192.0.2.1]:25: Connection timed out", R::TimedOut),
            ("conversation with mx.x[192.0.2.1] timed out while receiving the initial server greeting", R::TimedOut),
            ("connect to mx.x[2001:db8::1]:25: Network is unreachable", R::NoRoute),
            ("connect to mx.x[192.0.2.1]:25: No route to host", R::NoRoute),
            (
                "Host or domain name not found. Name service error for name=x.y type=MX: Host not found, try again",
                R::HostNotFound,
            ),
            ("lost connection with mx.x[192.0.2.1] while sending RCPT TO", R::LostConnection),
            ("TLS is required, but was not offered by host mx.x[192.0.2.1]", R::Tls),
            ("Cannot start TLS: handshake failure", R::Tls),
            ("Server certificate not verified", R::Tls),
            (
                "host mx.x[192.0.2.1] said: 450 4.2.0 <a@x>: Recipient address rejected: Greylisted, see http://postgrey/",
                R::Greylisted,
            ),
            (
                "host mx.x[192.0.2.1] said: 452 4.2.2 The email account that you tried to reach is over quota",
                R::OverQuota,
            ),
            ("host mx.x[192.0.2.1] refused to talk to me: 421 too many connections", R::RateLimited),
            ("host mx.x[192.0.2.1] said: 421 4.7.28 Our system has detected an unusual rate", R::RateLimited),
            ("SASL authentication failed; server mx.x[192.0.2.1] said: 535 5.7.8 Error", R::Authentication),
            ("host mx.x[192.0.2.1] said: 451 4.7.1 Service unavailable; client blocked", R::Policy),
            ("mail transport unavailable", R::Local),
            ("temporary failure. Command output: x", R::Local),
            ("cannot update mailbox /var/mail/x for user x. unable to create lock file", R::Local),
            ("host mx.x[192.0.2.1] said: 451 4.3.0 Temporary trouble (in reply to RCPT TO command)", R::Other),
            ("4.3.0 simulated", R::Other),
            ("", R::Other),
        ];
        for (text, class) in cases {
            assert_eq!(R::of(text.as_bytes()), class, "{text}");
        }
        assert!(DeferReason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i + 1));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            DeferReason::of(&bytes);
        }
    }
}
