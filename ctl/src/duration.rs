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
    fn anything_else_is_refused_with_the_accepted_forms() {
        for text in ["", "200", "ms", "-1s", "1.5s", "5 s", "5d", "99999999999999999999ms"] {
            assert!(parse(text).unwrap_err().contains("200ms"), "{text}");
        }
        assert_eq!(parse("18446744073709551615h"), Err("too long".into()));
    }
}
