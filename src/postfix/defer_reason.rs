//! Why mail waits: the reason of a deferral (in the log, in showq's `reason`, in the defer log files) in one of few classes.
//!
//! Postfix words its own reasons in smtp_proto.c, smtp_connect.c, smtp_addr.c, smtp_sasl_glue.c; what a server said stands
//! behind `said: ` and is judged by code and words. One text has one class, the first that fits.

use memchr::memmem;

/// postfixDeferReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeferReason {
    /// Nobody listens there.
    ConnectionRefused = 1,
    /// No answer, at connecting or later.
    TimedOut = 2,
    /// No way to that network or host.
    NoRoute = 3,
    /// DNS has no answer, now or at all.
    HostNotFound = 4,
    /// The server hung up.
    LostConnection = 5,
    /// TLS is wanted and does not come about.
    Tls = 6,
    /// The server wants to see a second attempt.
    Greylisted = 7,
    /// Mailbox or disk full.
    OverQuota = 8,
    /// The server wants less.
    RateLimited = 9,
    /// The server does not take our credentials.
    Authentication = 10,
    /// Local delivery: mailbox, command, program, alias.
    Local = 11,
    /// The server does not want it yet, or we were told to hold it back.
    Policy = 12,
    /// Anything else.
    Other = 13,
}

impl DeferReason {
    /// All, in the order of the MIB.
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
    pub fn of(reason: &[u8]) -> Self {
        let has = |words: &[&str]| words.iter().any(|w| memmem::find(reason, w.as_bytes()).is_some());
        // What the server said comes from outside: Postfix's own words are looked for in front of it only.
        let said = memmem::find(reason, b" said: ").or_else(|| memmem::find(reason, b" refused to talk to me: "));
        let Some(said) = said else { return Self::own(reason) };
        if has(&["reylist", "rey-list", "RBL delay"]) {
            return Self::Greylisted;
        }
        let reply = &reason[said + 1..];
        let reply = &reply[memmem::find(reply, b": ").map_or(0, |at| at + 2)..];
        let code = reply.get(..3).unwrap_or_default();
        let enhanced = reply.get(4..9).unwrap_or_default();
        if matches!(enhanced, b"4.2.2" | b"4.3.1" | b"5.2.2") || code == b"452" && !has(&["too many", "Too many"])
            || has(&["over quota", "uota exceeded", "ailbox full", "ailbox is full", "nsufficient system storage"])
        {
            return Self::OverQuota;
        }
        if has(&["rate limit", "rate-limit", "too many", "Too many", "too fast", "throttl", "exceeded", "try again later"])
            || code == b"421"
        {
            return Self::RateLimited;
        }
        if code == b"454" && has(&["TLS"]) || has(&["STARTTLS"]) {
            return Self::Tls;
        }
        if matches!(code, b"530" | b"534" | b"535") || matches!(enhanced, b"4.7.8" | b"5.7.8" | b"4.7.0") && has(&["uthentication"]) {
            return Self::Authentication;
        }
        if enhanced.starts_with(b"4.7.") || enhanced.starts_with(b"4.1.") || enhanced.starts_with(b"5.7.") {
            return Self::Policy;
        }
        Self::Other
    }

    fn own(reason: &[u8]) -> Self {
        let has = |words: &[&str]| words.iter().any(|w| memmem::find(reason, w.as_bytes()).is_some());
        const CLASSES: &[(DeferReason, &[&str])] = &[
            (DeferReason::Tls, &["TLS", "SSL", "ertificate"]),
            (DeferReason::Authentication, &["SASL", "uthentication failed"]),
            (DeferReason::ConnectionRefused, &["Connection refused"]),
            (DeferReason::TimedOut, &["timed out", "timeout"]),
            (DeferReason::NoRoute, &["No route to host", "Network is unreachable", "Host is down", "Host is unreachable", "Protocol not available", "Address family not supported"]),
            (DeferReason::HostNotFound, &["Host or domain name not found", "Host not found", "Name service error", "unable to look up host", "no MX host", "mail for "]),
            (DeferReason::LostConnection, &["lost connection", "Connection reset", "Broken pipe", "server dropped connection"]),
            (DeferReason::Greylisted, &["reylist"]),
            (DeferReason::OverQuota, &["uota", "file too large", "File too large", "mailbox full", "No space left", "mail system storage"]),
            (DeferReason::RateLimited, &["rate limit"]),
            (DeferReason::Policy, &["deferred transport", "access denied", "policy"]),
            (
                DeferReason::Local,
                &[
                    "mailbox", "maildir", "ommand", "alias", "temporary failure", "unknown mail transport", "mail transport unavailable",
                    "cannot update", "cannot find", "Permission denied", "No such file", "directory", "lookup", "pipe", "transport", "is locked",
                ],
            ),
        ];
        CLASSES.iter().find(|(_, words)| has(words)).map_or(Self::Other, |(class, _)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::DeferReason::{self, *};

    #[test]
    fn real_reasons() {
        for (reason, class) in [
            ("connect to 127.0.0.1[127.0.0.1]:2599: Connection refused", ConnectionRefused),
            ("delivery temporarily suspended: connect to mx[1.2.3.4]:25: Connection timed out", TimedOut),
            ("conversation with mx[1.2.3.4] timed out while receiving the initial server greeting", TimedOut),
            ("connect to mx[1.2.3.4]:25: No route to host", NoRoute),
            ("Host or domain name not found. Name service error for name=nowhere.invalid type=MX: Host not found, try again", HostNotFound),
            ("lost connection with mx[1.2.3.4] while sending RCPT TO", LostConnection),
            ("Cannot start TLS: handshake failure", Tls),
            ("TLS is required, but was not offered by host mx[1.2.3.4]", Tls),
            ("host mx[1.2.3.4] said: 454 4.7.0 TLS not available due to local problem (in reply to STARTTLS command)", Tls),
            ("host open.example.nl[10.49.140.10] said: 450 4.2.0 <x@y>: Recipient address rejected: Greylisted, see http://postgrey", Greylisted),
            ("host mx[1.2.3.4] said: 452 4.2.2 The email account that you tried to reach is over quota", OverQuota),
            ("host mx[1.2.3.4] said: 421-4.7.0 [1.2.3.4 15] Our system has detected an unusual rate of", RateLimited),
            ("host mg2.egov.bg[213.91.191.86] refused to talk to me: 450 4.3.2 try again later", RateLimited),
            ("SASL authentication failed; server relay[1.2.3.4] said: 535 5.7.8 Error: authentication failed", Authentication),
            ("host mx[1.2.3.4] said: 450 4.1.8 <a@b>: Sender address rejected: Domain not found", Policy),
            ("host mx[1.2.3.4] said: 451 4.3.0 Error: queue file write error (in reply to end of DATA command)", Other),
            ("temporary failure. Command output: x", Local),
            ("cannot update mailbox /var/mail/x for user x. unable to lock for exclusive access", Local),
            ("deferred transport", Policy),
            ("", Other),
        ] {
            assert_eq!(DeferReason::of(reason.as_bytes()), class, "{reason}");
        }
        assert!(DeferReason::ALL.iter().enumerate().all(|(n, r)| *r as usize == n + 1));
    }
}
