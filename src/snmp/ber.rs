//! The Basic Encoding Rules as far as SNMP needs them (RFC 3417 §8): definite lengths, one octet of tag.
//!
//! Written from the inside out, which is short and quick enough for requests; read element by element, because the place
//! of a signature and the end of a decrypted message have to be known. What is inside a variable binding is not read
//! here.

use crate::smi::Oid;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// Tag, length, contents. More than 16 MiB are never written; a datagram has 64 KiB.
pub(super) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut out = Vec::with_capacity(length + 5);
    out.push(tag);
    let [.., high, middle, low] = length.to_be_bytes();
    match length {
        0..=0x7f => out.push(low),
        0x80..=0xff => out.extend([0x81, low]),
        0x100..=0xffff => out.extend([0x82, middle, low]),
        _ => out.extend([0x83, high, middle, low]),
    }
    out.extend_from_slice(contents);
    out
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// As short as it can be, with a sign.
pub(super) fn integer(value: i64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    // An octet that only repeats the sign of the next one is left out.
    let needless = |pair: &&[u8]| matches!(pair, [0, 0..=0x7f] | [0xff, 0x80..=0xff]);
    let start = bytes.windows(2).take_while(needless).count();
    element(INTEGER, bytes.get(start..).unwrap_or(&bytes))
}

pub(super) fn octets(value: &[u8]) -> Vec<u8> {
    element(OCTETS, value)
}

/// Names of fewer than two arcs are written as 0.0 (RFC 2578 has none).
pub(super) fn oid(name: &Oid) -> Vec<u8> {
    let (first, second) = (name.first().copied().unwrap_or(0), name.get(1).copied().unwrap_or(0));
    let mut out = Vec::with_capacity(name.len() + 8);
    base128(u64::from(first) * 40 + u64::from(second), &mut out);
    name.iter().skip(2).for_each(|&arc| base128(arc.into(), &mut out));
    element(OID, &out)
}

fn base128(value: u64, out: &mut Vec<u8>) {
    for group in (1..6).rev().filter(|group| value >> (7 * group) != 0) {
        let [.., low] = (value >> (7 * group)).to_be_bytes();
        out.push(0x80 | low);
    }
    let [.., low] = value.to_be_bytes();
    out.push(low & 0x7f);
}

/// The next element of `input`: tag, contents, and what comes after it.
pub(super) fn split(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Lengths longer than need be are allowed; longer than a datagram makes no sense.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0_usize, |sum, &b| sum << 8 | usize::from(b)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// The next element if it has this tag: contents, and what comes after it.
pub(super) fn expect(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    split(input).and_then(|(found, contents, rest)| (found == tag).then_some((contents, rest)))
}

/// An INTEGER that fits into 64 bits.
pub(super) fn expect_integer(input: &[u8]) -> Option<(i64, &[u8])> {
    let (bytes, rest) = expect(input, INTEGER)?;
    let first = *bytes.first()?;
    if bytes.len() > 8 {
        return None;
    }
    let sign = if first & 0x80 != 0 { -1 } else { 0 };
    Some((bytes.iter().fold(sign, |sum, &b| sum << 8 | i64::from(b)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_short_as_they_can_be_and_read_back() {
        for (value, bytes) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 127]),
            (128, &[2, 2, 0, 128]),
            (-1, &[2, 1, 0xff]),
            (-129, &[2, 2, 0xff, 0x7f]),
            (i64::from(i32::MAX), &[2, 4, 0x7f, 0xff, 0xff, 0xff]),
        ] {
            assert_eq!(integer(value), bytes);
            assert_eq!(expect_integer(bytes), Some((value, &[][..])));
        }
        for value in [i64::MIN, i64::MAX, 1 << 40] {
            assert_eq!(expect_integer(&integer(value)), Some((value, &[][..])));
        }
        assert_eq!(expect_integer(&[2, 0]), None);
        assert_eq!(expect_integer(&[2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1]), None);
    }

    #[test]
    fn names_are_written_as_x690_has_them() {
        let written = |text: &str| oid(&text.parse().unwrap());
        assert_eq!(written("1.3.6.1.4.1.8072"), [6, 7, 43, 6, 1, 4, 1, 0xbf, 8]);
        assert_eq!(written("2.999.3"), [6, 3, 0x88, 0x37, 3]);
        assert_eq!(written("1.3.4294967295"), [6, 6, 43, 0x8f, 0xff, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn lengths_of_every_form_are_read_and_lies_are_not() {
        for length in [0, 127, 128, 255, 256, 65_535, 70_000] {
            let written = element(OCTETS, &vec![7; length]);
            assert_eq!(expect(&written, OCTETS).map(|(c, rest)| (c.len(), rest.len())), Some((length, 0)));
        }
        // net-snmp writes sequences with two octets of length whatever they hold.
        assert_eq!(split(&[0x30, 0x82, 0, 1, 5, 9]), Some((0x30, &[5][..], &[9][..])));
        for lie in [&[][..], &[4], &[4, 2, 0], &[4, 0x80, 0, 0], &[4, 0x84, 0xff, 0xff, 0xff, 0xff], &[4, 0x82, 0]] {
            assert_eq!(split(lie), None, "{lie:?}");
        }
    }
}
