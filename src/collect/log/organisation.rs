//! Whose the next hop is: the organisational domain of the host in `relay=`, or of the host that Postfix's own words name where
//! it got no further than the attempt.
//!
//! A domain is told by the public suffix list, but only by its part of registries (ICANN's): below private suffixes, as
//! `duckdns.org`, anybody can have any number of names for nothing, and each would be a row.

use crate::{
    config::alias,
    postfix::log::refusal::{is_host_name, peer},
};
use memchr::memchr;
use rustc_hash::FxHashMap;
use std::{net::IpAddr, sync::Arc};

/// Providers with several domains, as shipped.
const PROVIDERS: &str = include_str!("providers.txt");
/// So many hosts' names are remembered; beyond, all are looked up anew.
const REMEMBERED: usize = 4_096;

/// The host of `host[address]:port`. `None` where the address is a socket of this host.
pub(super) fn host_of(peer: &[u8]) -> Option<&[u8]> {
    let open = memchr(b'[', peer)?;
    let address = &peer[open + 1..];
    let address = &address[..memchr(b']', address)?];
    (open > 0 && memchr(b'/', address).is_none()).then_some(&peer[..open])
}

/// The host that smtp(8) and lmtp(8) speak of in a reason, which the queue manager repeats for what it does not even try
/// (smtp_connect.c, smtp_trouble.c, smtp_proto.c): their words come first, what a server said behind them.
pub(super) fn host_told(reason: &[u8]) -> Option<&[u8]> {
    const WORDS: [&[u8]; 5] = [
        b"connect to ",
        b"host ",
        b"lost connection with ",
        b"conversation with ",
        b"TLS is required, but was not offered by host ",
    ];
    let reason = reason.strip_prefix(b"delivery temporarily suspended: ").unwrap_or(reason);
    let rest = WORDS.iter().find_map(|word| reason.strip_prefix(*word))?;
    host_of(peer(rest)?.0)
}

/// The organisational domain of a host in lower case: one label more than the suffix a registry hands out. A host that is
/// itself such a suffix, or has one label only, is its own.
fn organisation(host: &str) -> &str {
    let mut below = host;
    loop {
        let Some(suffix) = psl::suffix(below.as_bytes()) else { return host };
        let length = suffix.as_bytes().len();
        if suffix.typ() != Some(psl::Type::Private) {
            let head = host.get(..host.len().saturating_sub(length + 1)).filter(|head| !head.is_empty());
            let Some(head) = head else { return host };
            return &host[head.rfind('.').map_or(0, |dot| dot + 1)..];
        }
        let own = &below[below.len().saturating_sub(length)..];
        match own.split_once('.') {
            Some((_, parent)) => below = parent,
            None => return host,
        }
    }
}

/// Which domains count as another one.
#[derive(Debug, Default)]
pub(super) struct Aliases(FxHashMap<Box<str>, Box<str>>);

impl Aliases {
    /// The shipped ones and, before them, the configuration's.
    pub(super) fn new(configured: &[String]) -> Self {
        let shipped = PROVIDERS.lines().filter(|line| !line.starts_with('#'));
        let all = shipped.chain(configured.iter().map(String::as_str));
        Self(
            all.filter_map(alias)
                .map(|(domain, name)| (domain.to_lowercase().into(), name.to_lowercase().into()))
                .collect(),
        )
    }

    /// What the row of a host is called; `None` for what cannot be a host.
    pub(super) fn name(&self, host: &[u8]) -> Option<String> {
        let host = std::str::from_utf8(host).ok()?;
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(address.to_string());
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let one_label =
            || !host.is_empty() && host.len() <= 63 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_host_name(host.as_bytes()) && !one_label() {
            return None;
        }
        let domain = organisation(&host);
        Some(self.0.get(domain).map_or(domain, |name| name).to_owned())
    }
}

/// Names of hosts, the last ones remembered: a host comes again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    aliases: Arc<Aliases>,
    known: FxHashMap<Box<[u8]>, Option<Arc<str>>>,
}

impl Names {
    pub(super) fn new(aliases: Arc<Aliases>) -> Self {
        Self { aliases, known: FxHashMap::default() }
    }

    /// [`Aliases::name`].
    pub(super) fn of_host(&mut self, host: &[u8]) -> Option<Arc<str>> {
        if let Some(name) = self.known.get(host) {
            return name.clone();
        }
        let name: Option<Arc<str>> = self.aliases.name(host).map(Into::into);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        if host.len() <= 255 {
            self.known.insert(host.into(), name.clone());
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_and_their_organisations() {
        let aliases = Aliases::new(&["mx.partner.example other.example".into(), "web.de web.de".into()]);
        for (host, name) in [
            ("alt1.gmail-smtp-in.l.google.com", Some("google.com")),
            ("aspmx2.googlemail.com", Some("google.com")),
            ("contoso-com.mail.protection.outlook.com", Some("outlook.com")),
            ("contoso-com.o-v1.mx.microsoft", Some("outlook.com")),
            ("mta5.am0.yahoodns.net", Some("yahoo.com")),
            ("MX.Example.CO.UK.", Some("example.co.uk")),
            ("mx.example.com", Some("example.com")),
            ("example.com", Some("example.com")),
            // No one's below a registry's suffix.
            ("co.uk", Some("co.uk")),
            ("mx-ha02.web.de", Some("web.de")),
            // Below private suffixes names are for nothing.
            ("a1.duckdns.org", Some("duckdns.org")),
            ("x.b.s3.dualstack.eu-west-1.amazonaws.com", Some("amazonaws.com")),
            ("mx.b.blogspot.com", Some("blogspot.com")),
            ("mx.local.test", Some("local.test")),
            ("localhost", Some("localhost")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:DB8:0::1", Some("2001:db8::1")),
            ("mx.xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("a b.example", None),
            ("", None),
            ("x\u{202e}y.example", None),
        ] {
            assert_eq!(aliases.name(host.as_bytes()).as_deref(), name, "{host}");
        }
        // An alias is of a domain, not of a host.
        assert_eq!(aliases.name(b"mx.partner.example").as_deref(), Some("partner.example"));
    }

    #[test]
    fn the_shipped_aliases_are_whole() {
        for line in PROVIDERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (domain, name) = alias(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((organisation(domain), organisation(name)), (domain, name), "{line}: a host, no domain");
            let none = Aliases::new(&[]);
            assert_eq!(none.name(name.as_bytes()).as_deref(), Some(name), "{line}: goes on to another one");
        }
    }

    #[test]
    fn who_a_reason_speaks_of() {
        for (reason, host) in [
            ("connect to mx.example[192.0.2.1]:25: Connection refused", Some("mx.example")),
            ("delivery temporarily suspended: connect to mx.example[2001:db8::1]:25: timed out", Some("mx.example")),
            (
                "host mx.example[192.0.2.1] refused to talk to me: 421 host evil.example[192.0.2.2] said: x",
                Some("mx.example"),
            ),
            ("lost connection with mx.example[192.0.2.1] while sending RCPT TO", Some("mx.example")),
            ("conversation with mx.example[192.0.2.1] timed out while sending MAIL FROM", Some("mx.example")),
            ("TLS is required, but was not offered by host mx.example[192.0.2.1]", Some("mx.example")),
            ("connect to mx.local.test[private/dovecot-lmtp]: No such file or directory", None),
            ("Host or domain name not found. Name service error for name=x.example type=MX: y", None),
            ("mail transport unavailable", None),
            ("450 connect to mx.example[192.0.2.1]:25", None),
        ] {
            assert_eq!(host_told(reason.as_bytes()), host.map(str::as_bytes), "{reason}");
        }
        assert_eq!(host_of(b"127.0.0.1[127.0.0.1]:10025"), Some(&b"127.0.0.1"[..]));
        assert_eq!((host_of(b"none"), host_of(b"mx[/run/lmtp]"), host_of(b"[192.0.2.1]:25")), (None, None, None));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), name in "[a-z.-]{0,40}") {
            let aliases = Aliases::new(&[]);
            let _ = (aliases.name(&bytes), aliases.name(name.as_bytes()), host_of(&bytes), host_told(&[b"connect to ", &bytes[..]].concat()));
            let domain = organisation(&name);
            prop_assert!(name.ends_with(domain));
        }
    }
}
