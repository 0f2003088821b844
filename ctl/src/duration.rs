//! Durations on the command line: a whole number and its unit, never a bare number.

use std::time::Duration;

/// Parses `200ms`, `5s`, `2m` or `1h`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let ms_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a whole number and a unit: 200ms, 5s, 2m, 1h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a whole number and a unit: 200ms, 5s, 2m, 1h".to_owned())?;
    number.checked_mul(ms_per_unit).map(Duration::from_millis).ok_or_else(|| "too long".into())
}

/// The shortest and the longest time between two looks of a command that watches.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// Parses a time between two looks.
pub fn interval(text: &str) -> Result<Duration, String> {
    let told = || "takes a time from 200ms to 1m".to_owned();
    let interval = parse(text).map_err(|why| format!("{}: {why}", told()))?;
    if (INTERVALS.0..=INTERVALS.1).contains(&interval) { Ok(interval) } else { Err(told()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_its_unit_is_a_duration() {
        for (text, ms) in [("200ms", 200), ("5s", 5000), ("2m", 120_000), ("2min", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn an_interval_has_a_range_that_is_named() {
        assert_eq!(interval("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(interval("1m"), Ok(Duration::from_secs(60)));
        for text in ["0", "0s", "199ms", "61s", "5parsecs", ""] {
            assert!(interval(text).unwrap_err().contains("from 200ms to 1m"), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_accepted_forms() {
        for text in ["", "200", "ms", "-1s", "1.5s", "5 s", "5d", "99999999999999999999ms"] {
            assert!(parse(text).unwrap_err().contains("200ms"), "{text}");
        }
        assert_eq!(parse("18446744073709551615h"), Err("too long".into()));
    }
}
