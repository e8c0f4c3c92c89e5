//! Why a delivery was put off, as one of thirteen classes; what decides is in [`super::reason`].

use super::reason::Cause;

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

    /// The class of a text alone, as showq gives it.
    pub fn of(text: &[u8]) -> Self {
        Cause::of(None, text, b"").into()
    }
}

impl From<Cause> for DeferReason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::ConnectionRefused => Self::ConnectionRefused,
            Cause::TimedOut => Self::TimedOut,
            Cause::NoRoute => Self::NoRoute,
            Cause::HostNotFound => Self::HostNotFound,
            Cause::LostConnection => Self::LostConnection,
            Cause::Tls => Self::Tls,
            Cause::Greylisted => Self::Greylisted,
            Cause::OverQuota => Self::OverQuota,
            Cause::RateLimited => Self::RateLimited,
            Cause::Login => Self::Authentication,
            Cause::Local | Cause::MailLoop => Self::Local,
            Cause::Policy
            | Cause::BlockListed
            | Cause::SenderAuthentication
            | Cause::RelayDenied
            | Cause::MessageSize
            | Cause::Content => Self::Policy,
            Cause::UnknownUser | Cause::Other => Self::Other,
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
