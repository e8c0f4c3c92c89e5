//! Mail addresses as the log writes them, and where they end.
//!
//! Since 3.5 Postfix logs addresses in external form (info_log_addr_form.c, quote_822_local.c): a local part that is no
//! dot-string stands in quotes, with a backslash before quotes and backslashes inside. Such a local part is any text the
//! sender of a mail likes, so the quotes are followed and nothing inside them is looked at. A route (`@a,@b:`) is copied
//! without quotes and ends at its first colon.
//!
//! Older versions, and `info_log_addr_form = internal`, write the text without quotes: there an address that holds the rest
//! of a line cannot be told from that rest. [`Form::Internal`] takes the last place where a line can go on; what is left
//! open there is said at the functions that use it.

use memchr::memchr;

/// info_log_addr_form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// With quotes: the default of 3.5 and newer.
    #[default]
    External,
    /// Without.
    Internal,
}

/// The address in `<…>` at the head of `text`, and what follows the `>`. An address that begins with a quote or a route
/// ends where its grammar says; another at the first `>`.
pub fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"<")?;
    let end = match inner.first()? {
        b'"' => domain(inner, quoted(inner, 0)?)?,
        b'@' => match memchr(b':', inner) {
            Some(colon) if inner.get(colon + 1) == Some(&b'"') => domain(inner, quoted(inner, colon + 1)?)?,
            Some(colon) => plain(inner, colon + 1)?,
            None => plain(inner, 0)?,
        },
        _ => plain(inner, 0)?,
    };
    Some((&inner[..end], &inner[end + 1..]))
}

/// Behind the quoted string that begins at `at`.
fn quoted(text: &[u8], at: usize) -> Option<usize> {
    let mut next = at + 1;
    loop {
        next += memchr::memchr2(b'"', b'\\', text.get(next..)?)?;
        if text[next] == b'"' {
            return Some(next + 1);
        }
        next += 2;
    }
}

/// The `>` behind the domain that follows a quoted local part.
fn domain(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'>' => Some(at),
        b'@' => plain(text, at),
        _ => None,
    }
}

/// The `>` that ends what has no quotes. A domain literal `@[…]` is taken whole.
fn plain(text: &[u8], from: usize) -> Option<usize> {
    let end = from + memchr(b'>', &text[from..])?;
    let bracket = memchr(b'[', &text[from..end]).map(|at| from + at);
    match bracket {
        Some(open) if open > 0 && text[open - 1] == b'@' && memchr(b']', &text[open..end]).is_none() => {
            let close = open + memchr(b']', &text[open..])?;
            (text.get(close + 1) == Some(&b'>')).then_some(close + 1)
        }
        _ => Some(end),
    }
}

/// How long the internal form of `external` is, if `text` begins with it: replies of smtpd name an address without its
/// quotes, and the envelope in the same line tells where it ends.
pub fn internal_prefix(external: &[u8], text: &[u8]) -> Option<usize> {
    let route = match external {
        [b'@', ..] => memchr(b':', external).map_or(0, |colon| colon + 1),
        _ => 0,
    };
    let mut at = text.starts_with(&external[..route]).then_some(route)?;
    let mut rest = &external[route..];
    if let Some(mut inner) = rest.strip_prefix(b"\"") {
        loop {
            let (&byte, tail) = inner.split_first()?;
            let (byte, tail) = match byte {
                b'"' => break rest = tail,
                b'\\' => (*tail.first()?, &tail[1..]),
                byte => (byte, tail),
            };
            (text.get(at) == Some(&byte)).then_some(())?;
            (at, inner) = (at + 1, tail);
        }
    }
    text.get(at..)?.starts_with(rest).then(|| at + rest.len())
}

/// The internal form of an address in external form: without quotes and the backslashes inside.
pub fn internal(external: &[u8]) -> Vec<u8> {
    let route = match external {
        [b'@', ..] => memchr(b':', external).map_or(0, |colon| colon + 1),
        _ => 0,
    };
    let (route, rest) = external.split_at(route);
    let mut plain = route.to_vec();
    match quoted(rest, 0).filter(|_| rest.first() == Some(&b'"')) {
        Some(end) => {
            let mut inner = rest[1..end - 1].iter();
            while let Some(byte) = inner.next() {
                plain.extend(if *byte == b'\\' { inner.next() } else { Some(byte) });
            }
            plain.extend(&rest[end..]);
        }
        None => plain.extend(rest),
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Option<(&str, &str)> {
        let (address, rest) = bracketed(text.as_bytes())?;
        Some((std::str::from_utf8(address).unwrap(), std::str::from_utf8(rest).unwrap()))
    }

    #[test]
    fn an_address_ends_where_its_grammar_says() {
        for (text, want) in [
            ("<a@b>, relay=x", Some(("a@b", ", relay=x"))),
            ("<>, size=1", Some(("", ", size=1"))),
            ("<root> x", Some(("root", " x"))),
            ("<\"a>, relay=y\"@b>, relay=x", Some(("\"a>, relay=y\"@b", ", relay=x"))),
            ("<\"a\\\">, relay=y\"@b>!", Some(("\"a\\\">, relay=y\"@b", "!"))),
            ("<\"a\\\\\"@b>!", Some(("\"a\\\\\"@b", "!"))),
            ("<\"a\">!", Some(("\"a\"", "!"))),
            // A route has no quotes and ends at its colon (quote_822_local.c).
            (
                "<@x>, relay=y, status=sent (z:c@d>, relay=none",
                Some(("@x>, relay=y, status=sent (z:c@d", ", relay=none")),
            ),
            ("<@x>, y:\"c>\"@d>, relay=none", Some(("@x>, y:\"c>\"@d", ", relay=none"))),
            ("<a@[1.2.3.4]>!", Some(("a@[1.2.3.4]", "!"))),
            ("<a@[x>, relay=y]>!", Some(("a@[x>, relay=y]", "!"))),
            ("<\"a", None),
            ("<\"a\"b>", None),
            ("<a@b", None),
            ("a@b>", None),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
    }

    #[test]
    fn an_address_is_found_without_its_quotes() {
        for (external, text, length) in [
            ("a@b", "a@b>: x", Some(3)),
            ("\"x>: y\"@b", "x>: y@b>: z", Some(7)),
            ("\"x\\\"\\\\y\"@b", "x\"\\y@b>: z", Some(6)),
            ("@r>:\"c d\"@e", "@r>:c d@e", Some(9)),
            ("a@b", "a@c>: x", None),
            ("\"x\"@b", "x@", None),
            ("", "x", Some(0)),
        ] {
            assert_eq!(internal_prefix(external.as_bytes(), text.as_bytes()), length, "{external}");
        }
    }

    proptest! {
        /// Whatever a local part holds, quoting as quote_822_local.c does gives an address that ends where it ends.
        #[test]
        fn any_quoted_local_part_is_one_address(local in "[ -~]{0,60}", rest in "[ -~]{0,40}") {
            let mut external = String::from("\"");
            for c in local.chars() {
                if matches!(c, '"' | '\\') {
                    external.push('\\');
                }
                external.push(c);
            }
            external.push_str("\"@b.example");
            let line = format!("<{external}>{rest}");
            prop_assert_eq!(bracketed(line.as_bytes()), Some((external.as_bytes(), rest.as_bytes())));
            let internal = format!("{local}@b.example");
            prop_assert_eq!(internal_prefix(external.as_bytes(), format!("{internal}>: x").as_bytes()), Some(internal.len()));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), other in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (bracketed(&bytes), bracketed(&[b"<", &bytes[..]].concat()), internal_prefix(&bytes, &other));
        }
    }
}
