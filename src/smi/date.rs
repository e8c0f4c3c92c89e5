//! DateAndTime (RFC 2579).

/// DateAndTime, in UTC, of seconds since 1970 (Howard Hinnant's algorithm).
pub fn date_and_time(seconds: i64) -> [u8; 11] {
    let days = seconds.div_euclid(86_400);
    let second = seconds.rem_euclid(86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let [high, low] = u16::try_from(year).unwrap_or(0).to_be_bytes();
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    [high, low, month as u8, day as u8, hour as u8, minute as u8, (second % 60) as u8, 0, b'+', 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date_and_time(20_779 * 86_400 + 3_661), [7, 234, 11, 22, 1, 1, 1, 0, b'+', 0, 0]);
        assert_eq!(date_and_time(0)[..4], [7, 178, 1, 1]);
    }
}
