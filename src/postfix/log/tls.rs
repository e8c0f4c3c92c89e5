//! What is said of a TLS session that was set up: `TRUST TLS connection established from host[address] to NAME: PROTOCOL with
//! cipher CIPHER (128/128 bits) …` (tls_log_summary() of tls_misc.c), and of the TLS policy of a delivery (`tls=`, 3.11).
//!
//! The peer's name has no spaces, nor has the name behind `to`, which the client asked for by SNI; what follows them comes
//! from OpenSSL.

use super::refusal::peer;
use memchr::memchr;

/// How far the peer is trusted: Postfix's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It has no certificate.
    Anonymous,
    /// Its certificate is of no known authority.
    Untrusted,
    /// It is of a known one.
    Trusted,
    /// And has the name it should have.
    Verified,
}

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// How far the peer is trusted.
    pub trust: Trust,
    /// Set up now; else a cached connection was taken.
    pub new: bool,
    /// `TLSv1.3`; empty where the line was cut.
    pub protocol: &'a [u8],
    /// `TLS_AES_256_GCM_SHA384`; empty where the line was cut.
    pub cipher: &'a [u8],
}

/// The session of a line; `direction` is `from ` or `to `.
pub fn session<'a>(rest: &'a [u8], direction: &[u8]) -> Option<Session<'a>> {
    let (trust, rest) = match rest.first()? {
        b'A' => (Trust::Anonymous, rest.strip_prefix(b"Anonymous")?),
        b'U' => (Trust::Untrusted, rest.strip_prefix(b"Untrusted")?),
        b'T' => (Trust::Trusted, rest.strip_prefix(b"Trusted")?),
        b'V' => (Trust::Verified, rest.strip_prefix(b"Verified")?),
        _ => return None,
    };
    let rest = rest.strip_prefix(b" TLS connection ")?;
    let (new, rest) = match rest.strip_prefix(b"established ") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix(b"reused ")?),
    };
    let (protocol, cipher) = negotiated(rest.strip_prefix(direction)?).unwrap_or_default();
    Some(Session { trust, new, protocol, cipher })
}

/// Protocol and cipher behind the peer.
fn negotiated(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, mut rest) = peer(rest)?;
    if let Some(name) = rest.strip_prefix(b" to ") {
        rest = &name[name.iter().position(|b| matches!(b, b' ' | b':'))?..];
    }
    let rest = rest.strip_prefix(b": ")?;
    let (protocol, rest) = rest.split_at(memchr(b' ', rest)?);
    let rest = rest.strip_prefix(b" with cipher ")?;
    Some((protocol, &rest[..memchr(b' ', rest)?]))
}

/// Whether the policy of a delivery was kept (pol_stats.c): features with `/` between them, each `[!]wanted[:got][?]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// As wanted.
    Satisfied = 1,
    /// Less than wanted, and allowed.
    Downgraded = 2,
    /// TLS was wanted where possible, and it went in clear text.
    Cleartext = 3,
    /// No TLS was wanted.
    Disabled = 4,
    /// `!`: less than required, and the delivery was stopped.
    Violated = 5,
    /// `?`: it broke off before that was known.
    Undecided = 6,
    /// None of these.
    Other = 7,
}

impl Policy {
    /// All of them, by number.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Satisfied, "satisfied"),
        (Self::Downgraded, "downgraded"),
        (Self::Cleartext, "cleartext"),
        (Self::Disabled, "disabled"),
        (Self::Violated, "violated"),
        (Self::Undecided, "undecided"),
        (Self::Other, "other"),
    ];

    /// Of the value of `tls=`. The worst of its features says it: what was stopped, then what broke off, then what went in
    /// clear text or lower than wanted.
    pub fn of(value: &[u8]) -> Self {
        let of_each = value.split(|b| *b == b'/').map(Self::of_feature);
        let weight = |policy: &Self| match policy {
            Self::Satisfied => 0,
            Self::Disabled => 1,
            Self::Downgraded => 2,
            Self::Cleartext => 3,
            Self::Undecided => 4,
            Self::Violated => 5,
            Self::Other => 6,
        };
        of_each.max_by_key(weight).unwrap_or(Self::Other)
    }

    fn of_feature(feature: &[u8]) -> Self {
        let (violated, rest) = match feature.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, feature),
        };
        let (undecided, rest) = match rest.strip_suffix(b"?") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let colon = memchr(b':', rest);
        let (wanted, got) = match colon {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let is_name = |name: &[u8]| {
            !name.is_empty() && name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        };
        match got {
            _ if !is_name(wanted) || !got.is_none_or(is_name) => Self::Other,
            _ if violated => Self::Violated,
            _ if undecided => Self::Undecided,
            Some(b"none") => Self::Cleartext,
            Some(_) => Self::Downgraded,
            None if wanted == b"none" => Self::Disabled,
            None => Self::Satisfied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sessions() {
        let modern = b"Untrusted TLS connection established to mx.example[192.0.2.1]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits)";
        let found = session(modern, b"to ").unwrap();
        assert_eq!((found.trust, found.new), (Trust::Untrusted, true));
        assert_eq!((found.protocol, found.cipher), (&b"TLSv1.3"[..], &b"TLS_AES_256_GCM_SHA384"[..]));
        assert_eq!(session(modern, b"from "), None);
        let named = b"Anonymous TLS connection established from x[192.0.2.1] to mx.example: TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)";
        assert_eq!(session(named, b"from ").unwrap().protocol, b"TLSv1.2");
        let screened =
            b"Trusted TLS connection reused from [2001:db8::1]:4711: TLSv1 with cipher AES256-SHA (256/256 bits)";
        let found = session(screened, b"from ").unwrap();
        assert_eq!((found.trust, found.new, found.cipher), (Trust::Trusted, false, &b"AES256-SHA"[..]));
        let cut = session(b"Verified TLS connection established to mx.exam", b"to ").unwrap();
        assert_eq!((cut.trust, cut.protocol, cut.cipher), (Trust::Verified, &b""[..], &b""[..]));
    }

    #[test]
    fn policies() {
        for (value, policy) in [
            ("dane", Policy::Satisfied),
            ("may", Policy::Satisfied),
            ("dane-only/requiretls", Policy::Satisfied),
            ("none", Policy::Disabled),
            ("may:none", Policy::Cleartext),
            ("dane:may", Policy::Downgraded),
            ("dane/requiretls:nocertmatch", Policy::Downgraded),
            ("dane/!requiretls:nocertmatch", Policy::Violated),
            ("!encrypt", Policy::Violated),
            ("may?", Policy::Undecided),
            ("dane/requiretls?", Policy::Undecided),
            ("may:none/requiretls?", Policy::Undecided),
            ("", Policy::Other),
            ("May", Policy::Other),
            ("a:b:c", Policy::Other),
        ] {
            assert_eq!(Policy::of(value.as_bytes()), policy, "{value}");
        }
        assert!(Policy::ALL.iter().enumerate().all(|(i, (p, _))| *p as usize == i + 1));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            Policy::of(&bytes);
            session(&[b"Trusted TLS connection established to ", &bytes[..]].concat(), b"to ");
        }
    }
}
