//! Times of the calendar, in UTC: from seconds since 1970 to RFC 3339 and back. Must not read a clock.

/// Seconds of a day; a leap second is none of its own here, as it is none to Unix.
const DAY: i64 = 86_400;

/// A point in time: seconds since 1970, and what is behind the decimal point as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instant {
    pub unix_seconds: i64,
    /// Digits, without the point; may be empty.
    pub fraction: String,
}

impl Instant {
    /// At a whole second.
    pub fn at(unix_seconds: i64) -> Instant {
        Instant { unix_seconds, fraction: String::new() }
    }

    /// `2026-11-28T06:00:00Z`, with the fraction if there is one.
    pub fn rfc3339(&self) -> String {
        let (year, month, day) = date(self.unix_seconds.div_euclid(DAY));
        let second = self.unix_seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let point = if self.fraction.is_empty() { "" } else { "." };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{point}{}Z", self.fraction)
    }
}

/// Reads `2026-11-28T06:00:00Z`, with a fraction, an offset (`+01:00`), a space for the `T`, or only a day, whose midnight in UTC
/// is meant. `None` for anything else.
pub fn instant(text: &str) -> Option<Instant> {
    let (date, rest) = text.split_at_checked(10)?;
    let day = day(date)?;
    if rest.is_empty() {
        return Some(Instant::at(day * DAY));
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    if fraction.len() > 9 || (rest.contains('.') && !is_number(fraction)) {
        return None;
    }
    let [hour, minute, second] = numbers(time, ':')?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let unix_seconds = day * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(Instant { unix_seconds, fraction: fraction.to_owned() })
}

/// Reads a day, `2026-11-28`, as days since 1970.
pub fn day(text: &str) -> Option<i64> {
    let [year, month, day] = numbers(text, '-')?;
    let days = days(year, month, day);
    // A day that the month does not have would be one of the next.
    (year >= 1970 && text.len() == 10 && date(days) == (year, month, day)).then_some(days)
}

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let (sign, zone) = zone.split_at_checked(1)?;
    let [hours, minutes] = numbers(zone, ':')?;
    let ahead = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    Some(if sign == "-" { -ahead } else { ahead })
}

/// So many numbers with this between them; each of two digits or more.
fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for number in &mut found {
        *number = parts.next().filter(|part| part.len() >= 2 && is_number(part))?.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Days from 1970 to a day of the Gregorian calendar. Years begin in March here, so that a leap day is the last of its year; 400
/// years have 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year, month and day of so many days after 1970: the way back of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_any_zone_is_told_in_utc() {
        let cases = [
            ("2026-11-28T06:00:00Z", "2026-11-28T06:00:00Z"),
            ("2026-11-28 06:00:00z", "2026-11-28T06:00:00Z"),
            ("2026-11-28T06:00:00.120Z", "2026-11-28T06:00:00.120Z"),
            ("2026-11-28T00:30:00+01:00", "2026-11-27T23:30:00Z"),
            ("2026-12-31T23:30:00-00:45", "2027-01-01T00:15:00Z"),
            ("2028-02-29", "2028-02-29T00:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(instant(text).map(|at| at.rfc3339()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_of_the_calendar_is_refused() {
        let cases = [
            "",
            "now",
            "2026",
            "2026-11",
            "2026-11-31",
            "2026-13-01",
            "2027-02-29",
            "1969-12-31",
            "2026-11-28T",
            "2026-11-28T06:00",
            "2026-11-28T06:00:00",
            "2026-11-28T24:00:00Z",
            "2026-11-28T06:60:00Z",
            "2026-11-28T06:00:00.Z",
            "2026-11-28T06:00:00+1",
            "2026-11-28T06:00:00+25:00",
            "2026-11-28T06:00:00Zulu",
            "20 6-11-28",
            "2026-11-2é",
            "+026-11-28",
        ];
        for text in cases {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_hundred_years_comes_back_and_follows_the_one_before() {
        for number in 0..146_097 {
            let (year, month, of_month) = date(number);
            assert_eq!(days(year, month, of_month), number);
            assert_eq!(day(&format!("{year:04}-{month:02}-{of_month:02}")), Some(number));
        }
        assert_eq!((date(0), date(146_097)), ((1970, 1, 1), (2370, 1, 1)));
    }
}
