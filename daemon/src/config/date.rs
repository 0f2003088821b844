//! Days of the calendar, as prices are dated. Must not read a clock.

use toml::Value;

/// A day of the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The day of these numbers, if there is one; years from 1970 to 9999.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => return None,
        };
        ((1970..=9999).contains(&year) && (1..=last).contains(&day)).then_some(Date { year, month, day })
    }

    /// A day as TOML has it, or a text `YYYY-MM-DD`.
    pub fn of(value: &Value) -> Option<Date> {
        match value {
            Value::String(text) => Date::parse(text),
            Value::Datetime(at) if at.time.is_none() && at.offset.is_none() => {
                at.date.and_then(|date| Date::new(date.year, date.month, date.day))
            }
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Date> {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
        if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) {
            return None;
        }
        Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    /// Days since 1 January 1970: the year is counted from March, so that the leap day is its last (H. Hinnant,
    /// "chrono-compatible low-level date algorithms", days_from_civil).
    pub fn days(self) -> u32 {
        let (year, month, day) = (u32::from(self.year), u32::from(self.month), u32::from(self.day));
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
        // Days from 1 March of the year 0 to 1 January 1970.
        days - 719_468
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        for (text, days) in [("1970-01-01", 0), ("1970-03-01", 59), ("2000-03-01", 11_017), ("2026-11-28", 20_785)] {
            assert_eq!(Date::parse(text).unwrap().days(), days, "{text}");
            assert_eq!(Date::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "2026-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "26-01-01",
            "2026-1-1",
            "+026-01-01",
            "1969-12-31",
            "x",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        assert!(Date::parse("2000-02-29").is_some() && Date::parse("2028-02-29").is_some());
    }
}
