//! Timestamps as seconds on the clock of whoever wrote them.
//!
//! A BSD timestamp has neither year nor time zone, so only differences between two lines of one file mean anything. That
//! is enough: the end of a file is as old as its mtime says.

/// Seconds on a civil clock that is only good for differences; RFC 3339 offsets are applied. `None` where it is no
/// timestamp.
pub fn civil(stamp: &[u8]) -> Option<i64> {
    let two = |at: usize| {
        let tens = match stamp.get(at)? {
            b' ' => 0,
            d => i64::from(d.checked_sub(b'0').filter(|d| *d < 10)?),
        };
        Some(tens * 10 + i64::from(stamp.get(at + 1)?.checked_sub(b'0').filter(|d| *d < 10)?))
    };
    let clock = |at: usize| Some(two(at)? * 3_600 + two(at + 3)? * 60 + two(at + 6)?);
    if stamp.first()?.is_ascii_digit() {
        let year = two(0)? * 100 + two(2)?;
        let days = days(year, two(5)?, two(8)?)?;
        let offset = match stamp.iter().skip(19).position(|b| matches!(b, b'+' | b'-')) {
            Some(at) => {
                let minutes = two(20 + at)? * 60 + two(23 + at).unwrap_or(0);
                if stamp[19 + at] == b'+' { minutes * 60 } else { -minutes * 60 }
            }
            None => 0,
        };
        return Some(days * 86_400 + clock(11)? - offset);
    }
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.chunks(3).position(|m| stamp.starts_with(m)).and_then(|at| i64::try_from(at).ok())? + 1;
    // `Nov 2 …`: the day is one digit with one space.
    let (day, time) = if stamp.get(5) == Some(&b' ') && stamp.get(4) != Some(&b' ') {
        (i64::from(stamp[4].checked_sub(b'0')?), 6)
    } else {
        (two(4)?, 7)
    };
    Some(days(2_000, month, day)? * 86_400 + clock(time)?)
}

/// Seconds from `earlier` to `later`; a December followed by a January is a new year.
pub fn difference(earlier: i64, later: i64) -> i64 {
    const YEAR: i64 = 366 * 86_400;
    let seconds = later - earlier;
    if (-YEAR..-YEAR / 2).contains(&seconds) { seconds + YEAR } else { seconds }
}

/// Days since 1970-01-01 (Howard Hinnant's algorithm).
pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_right() {
        let between = |a: &str, b: &str| Some(difference(civil(a.as_bytes())?, civil(b.as_bytes())?));
        assert_eq!(between("Nov 22 01:17:30", "Nov 22 01:18:31"), Some(61));
        assert_eq!(between("Nov  2 23:59:59", "Nov 3 00:00:01"), Some(2));
        assert_eq!(between("Dec 31 23:59:59", "Jan  1 00:00:01"), Some(2));
        assert_eq!(between("2024-01-02T03:04:05.678901+01:00", "2024-01-02T02:04:06Z"), Some(1));
        assert_eq!(between("2024-01-02T03:04:05-05:30", "2024-01-02T08:34:05Z"), Some(0));
        assert_eq!((civil(b""), civil(b"Nov"), civil(b"2024"), civil(b"Foo 22 01:17:30")), (None, None, None, None));
    }

    #[test]
    fn dates() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2026, 11, 22), Some(20_779));
    }
}
