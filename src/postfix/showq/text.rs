//! The text of mailq(1), which showq itself wrote until Postfix 3.0.
//!
//! A message begins in the first column: id, `*` (active) or `!` (hold), size, arrival without a year in local time, sender.
//! Indented lines follow: reasons in parentheses, each in front of the recipients it is about, and recipients.

use super::{Message, ShowqError, Visitor, read_until};
use crate::postfix::queue::QueueKind;
use jiff::{Timestamp, civil, tz::TimeZone};
use std::io::BufRead;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

pub(super) fn read(
    mut stream: impl BufRead,
    now: i64,
    zone: &TimeZone,
    visitor: &mut impl Visitor,
) -> Result<(), ShowqError> {
    let (mut line, mut reason) = (Vec::new(), Vec::new());
    let mut inside = false;
    while read_until(&mut stream, b'\n', &mut line)? {
        let content = line.trim_ascii();
        match line.first() {
            _ if content.is_empty() => {}
            _ if line.starts_with(b"Mail queue is empty") || line.starts_with(b"-- ") => return Ok(()),
            Some(b'-') => {}
            // A reason that fills its line is not indented.
            Some(b' ' | b'\t' | b'(') if !inside => return Err(ShowqError::Protocol("a recipient without a message")),
            Some(b' ' | b'\t' | b'(') => match content {
                [b'(', why @ .., b')'] => why.clone_into(&mut reason),
                address => visitor.recipient(address, &reason),
            },
            _ => {
                reason.clear();
                inside = true;
                let message =
                    message(&line, now, zone).ok_or(ShowqError::Protocol("a line that is none of mailq's"))?;
                visitor.message(&message);
            }
        }
    }
    Err(ShowqError::CutOff)
}

fn message<'a>(line: &'a [u8], now: i64, zone: &TimeZone) -> Option<Message<'a>> {
    let end = line.iter().position(|b| !b.is_ascii_alphanumeric()).filter(|&n| n > 1)?;
    let (id, mut rest) = line.split_at(end);
    let mut queue = None;
    let mut forced_expire = false;
    while let Some((mark @ (b'*' | b'!' | b'#'), tail)) = rest.split_first() {
        match mark {
            b'*' => queue = Some(QueueKind::Active),
            b'!' => queue = Some(QueueKind::Hold),
            _ => forced_expire = true,
        }
        rest = tail;
    }
    let size = std::str::from_utf8(word(&mut rest)).ok()?.parse().ok()?;
    let arrival = match word(&mut rest) {
        b"??" => None,
        _weekday => {
            let month = word(&mut rest);
            let month = MONTHS.iter().position(|m| *m == month).and_then(|at| i8::try_from(at).ok())? + 1;
            let day = std::str::from_utf8(word(&mut rest)).ok()?.parse().ok()?;
            let time = std::str::from_utf8(word(&mut rest)).ok()?;
            let mut parts = time.split(':').map(str::parse::<i8>);
            let mut part = || parts.next()?.ok();
            arrival(month, day, [part()?, part()?, part()?], now, zone)
        }
    };
    let sender = rest.trim_ascii();
    let unreadable = super::unreadable(sender);
    if unreadable {
        queue = Some(QueueKind::Maildrop);
    }
    // What has no mark is in maildrop, incoming or deferred; nearly all of it is deferred.
    let queue = queue.or(Some(QueueKind::Deferred));
    Some(Message { queue, id, arrival, size, forced_expire, sender, unreadable })
}

/// The next word; what is left begins behind it.
fn word<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = rest.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, tail) = text.split_at(end);
    *rest = tail;
    word
}

/// The last such moment that is not in the future (a day's grace: clocks differ).
fn arrival(month: i8, day: i8, [hour, minute, second]: [i8; 3], now: i64, zone: &TimeZone) -> Option<i64> {
    let this_year = Timestamp::from_second(now).ok()?.to_zoned(zone.clone()).year();
    (0..=8_i16).map(|back| this_year + 1 - back).find_map(|year| {
        let time = civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        let seconds = zone.to_ambiguous_zoned(time).compatible().ok()?.timestamp().as_second();
        (seconds <= now + 86_400).then_some(seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_year_is_the_last_one() {
        let zone = TimeZone::UTC;
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let now = at("2026-01-02T10:00:00Z");
        assert_eq!(arrival(1, 2, [9, 0, 0], now, &zone), Some(at("2026-01-02T09:00:00Z")));
        assert_eq!(arrival(12, 31, [23, 59, 59], now, &zone), Some(at("2025-12-31T23:59:59Z")));
        assert_eq!(arrival(2, 29, [1, 2, 3], now, &zone), Some(at("2024-02-29T01:02:03Z")));
        assert_eq!(arrival(2, 30, [1, 2, 3], now, &zone), None);
    }
}
