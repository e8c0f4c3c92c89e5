//! A delivery line (log_adhoc.c): `to=<…>[, orig_to=<…>], relay=…[, conn_use=N], delay=…, delays=a/b/c/d[, tls=…], dsn=…,
//! status=… (reason)`.
//!
//! The addresses are chosen by whoever sends mail, the reason by the server it goes to; everything between them by Postfix.
//! So the addresses are skipped by their grammar, the fields are read in their order, and the reason is what is left.
//!
//! With addresses in internal form an address and a reason can both hold a whole line, and the last place is taken where the
//! fields can begin: a recipient decides nothing then, a server's reply could imitate the fields of its own delivery.

use super::{
    address::{self, Form},
    text::{dsn_code, number},
};
use memchr::{memchr, memmem};

/// One recipient's fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// `host[address]:port`, `local`, `none`, a pipe's transport.
    pub relay: &'a [u8],
    /// Whether the connection had been used before (`conn_use=`).
    pub reused: bool,
    /// `delay=` in milliseconds.
    pub delay: Option<u64>,
    /// `delays=` in milliseconds: before the queue manager, in it, connection set-up, transmission.
    pub delays: Option<[u64; 4]>,
    /// `tls=`: what TLS came to (3.11).
    pub tls: &'a [u8],
    /// `dsn=`: class, subject, detail.
    pub dsn: Option<[u32; 3]>,
    /// `sent`, `deferred`, `bounced`, …
    pub status: &'a [u8],
    /// What stands in the parentheses.
    pub reason: &'a [u8],
    /// The recipient, as logged.
    pub recipient: &'a [u8],
}

/// A delay beyond a year is a clock that was wrong, and no delay.
const LONGEST_MS: u64 = 366 * 86_400 * 1_000;

/// The delivery in `rest`, which begins with `to=`.
pub fn delivery(rest: &[u8], form: Form) -> Option<Delivery<'_>> {
    match form {
        Form::External => external(rest),
        Form::Internal => {
            memmem::rfind_iter(rest, b", relay=").find_map(|at| fields(rest.get(at + 2..)?)).map(|delivery| {
                let recipient = address::bracketed(&rest[3..]).map_or(&[][..], |(address, _)| address);
                Delivery { recipient, ..delivery }
            })
        }
    }
}

fn external(rest: &[u8]) -> Option<Delivery<'_>> {
    let rest = rest.strip_prefix(b"to=")?;
    // Very old versions write a recipient without brackets.
    let (recipient, mut rest) = match rest.first()? {
        b'<' => address::bracketed(rest)?,
        _ => rest.split_at(memchr(b',', rest)?),
    };
    if let Some(original) = rest.strip_prefix(b", orig_to=") {
        rest = match original.first()? {
            b'<' => address::bracketed(original)?.1,
            _ => &original[memchr(b',', original)?..],
        };
    }
    Some(Delivery { recipient, ..fields(rest.strip_prefix(b", ")?)? })
}

/// From `relay=` to the end.
fn fields(mut rest: &[u8]) -> Option<Delivery<'_>> {
    let mut delivery = Delivery::default();
    if !rest.starts_with(b"relay=") {
        return None;
    }
    loop {
        if let Some(status) = rest.strip_prefix(b"status=") {
            let end = status.iter().position(|&b| matches!(b, b' ' | b'(' | b',')).unwrap_or(status.len());
            let (status, reason) = status.split_at(end);
            delivery.status = status;
            let reason = reason.strip_prefix(b" ").unwrap_or(reason);
            let reason = reason.strip_prefix(b"(").unwrap_or(reason);
            delivery.reason = reason.strip_suffix(b")").unwrap_or(reason);
            return Some(delivery);
        }
        let end = memchr(b',', rest)?;
        let (field, next) = rest.split_at(end);
        rest = next.strip_prefix(b", ").or_else(|| next.strip_prefix(b","))?;
        match field.first()? {
            b'd' => {
                if let Some(delays) = field.strip_prefix(b"delays=") {
                    delivery.delays = stages(delays);
                } else if let Some(delay) = field.strip_prefix(b"delay=") {
                    delivery.delay = milliseconds(delay);
                } else if let Some(dsn) = field.strip_prefix(b"dsn=") {
                    delivery.dsn = dsn_code(dsn);
                }
            }
            b'r' => delivery.relay = field.strip_prefix(b"relay=").unwrap_or(delivery.relay),
            b'c' => delivery.reused |= field.starts_with(b"conn_use="),
            b't' => delivery.tls = field.strip_prefix(b"tls=").unwrap_or(delivery.tls),
            _ => {}
        }
    }
}

fn stages(text: &[u8]) -> Option<[u64; 4]> {
    let mut parts = text.split(|&b| b == b'/');
    let stages = [
        milliseconds(parts.next()?)?,
        milliseconds(parts.next()?)?,
        milliseconds(parts.next()?)?,
        milliseconds(parts.next()?)?,
    ];
    parts.next().is_none().then_some(stages)
}

/// `0.01`, `63350`, `5.1` seconds.
fn milliseconds(text: &[u8]) -> Option<u64> {
    let (seconds, fraction) = match memchr(b'.', text) {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    let mut ms = number(seconds)?.checked_mul(1_000)?;
    for (digit, weight) in fraction.iter().zip([100, 10, 1]) {
        ms = ms.checked_add(u64::from(digit.checked_sub(b'0').filter(|d| *d < 10)?) * weight)?;
    }
    (ms <= LONGEST_MS).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn external(rest: &[u8]) -> Option<Delivery<'_>> {
        delivery(rest, Form::External)
    }

    #[test]
    fn deliveries() {
        let d = external(b"to=<x@y>, orig_to=<z>, relay=mx[1.2.3.4]:25, conn_use=2, delay=3.6, delays=0.2/0.02/0.04/63350, tls=dane/!requiretls:nocertmatch, dsn=2.1.5, status=sent (250 2.0.0 Ok, queued as 1)").unwrap();
        assert_eq!((d.relay, d.reused, d.delay), (&b"mx[1.2.3.4]:25"[..], true, Some(3_600)));
        assert_eq!((d.delays, d.dsn), (Some([200, 20, 40, 63_350_000]), Some([2, 1, 5])));
        assert_eq!((d.status, d.reason), (&b"sent"[..], &b"250 2.0.0 Ok, queued as 1"[..]));
        assert_eq!((d.tls, d.recipient), (&b"dane/!requiretls:nocertmatch"[..], &b"x@y"[..]));
        assert_eq!(external(b"to=<x@y>, relay=mx[1.2.3.4]:25, delay=3.6, del"), None, "cut off");
        let old = external(b"to=<x@y>, relay=mx[1.2.3.4], delay=3, status=sent (250 Ok)").unwrap();
        assert_eq!((old.status, old.delays, old.dsn), (&b"sent"[..], None, None));
        let bare = external(b"to=x@y, relay=mx[1.2.3.4], delay=3, status=sent (250 Ok)").unwrap();
        assert_eq!((bare.status, bare.recipient), (&b"sent"[..], &b"x@y"[..]));
    }

    #[test]
    fn addresses_decide_nothing() {
        const FAKE: &str = "x>, relay=y, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok";
        const TRUE: &str = "relay=none, delay=1, delays=0/0/0/1, dsn=4.4.3, status=deferred (z)";
        for addresses in [
            format!("to=<\"{FAKE}\"@d>"),
            format!("to=<a@d>, orig_to=<\"{FAKE}\"@d>"),
            format!("to=<\"\\\"{FAKE}\"@d>, orig_to=<\"\\\\\"@d>"),
            format!("to=<@{FAKE}:c@d>"),
            format!("to=<\"{FAKE}\"@d>, orig_to=<\"{FAKE}\"@d>"),
        ] {
            let line = format!("{addresses}, {TRUE}");
            let d = external(line.as_bytes()).unwrap();
            assert_eq!((d.status, d.dsn, d.relay), (&b"deferred"[..], Some([4, 4, 3]), &b"none"[..]), "{line}");
        }
        // Without quotes the last place counts.
        let line = format!("to=<{FAKE}@d>, {TRUE}");
        assert_eq!(delivery(line.as_bytes(), Form::Internal).unwrap().status, b"deferred");
    }

    #[test]
    fn a_delay_of_years_is_none() {
        let line = b"to=<x@y>, relay=none, delay=99999999, delays=99999999/0/0/1, dsn=2.0.0, status=sent (x)";
        let d = external(line).unwrap();
        assert_eq!((d.delay, d.delays, d.status), (None, None, &b"sent"[..]));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let rest = [b"to=", &bytes[..]].concat();
            let _ = (external(&bytes), external(&rest), delivery(&rest, Form::Internal), delivery(&bytes, Form::Internal));
        }
    }
}
