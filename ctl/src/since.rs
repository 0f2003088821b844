//! Points in time on the command line: how long ago, or when. Must not read a clock.

use std::time::Duration;

use crate::calendar::{self, Instant};
use crate::duration;

const TAKES: &str =
    "takes how long ago (30m, 2h, 7d), a time (2026-11-28T06:00:00Z, 2026-11-28T07:00:00+01:00) or a day (2026-11-28)";

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// So long before now.
    Ago(Duration),
    /// Then.
    At(Instant),
}

impl When {
    /// The time itself, if now is `unix_seconds` after 1970.
    pub fn resolve(&self, unix_seconds: u64) -> Instant {
        match self {
            When::Ago(ago) => {
                let seconds = unix_seconds.saturating_sub(ago.as_secs());
                Instant::at(i64::try_from(seconds).unwrap_or(i64::MAX))
            }
            When::At(at) => at.clone(),
        }
    }
}

/// Reads `2h`, `7d`, `2026-11-28T06:00:00Z` or `2026-11-28`.
pub fn parse(text: &str) -> Result<When, String> {
    if let Some(days) = text.strip_suffix('d').filter(|days| days.bytes().all(|byte| byte.is_ascii_digit())) {
        let seconds = days.parse::<u64>().ok().and_then(|days| days.checked_mul(86_400));
        return seconds.map(|seconds| When::Ago(Duration::from_secs(seconds))).ok_or_else(|| TAKES.into());
    }
    let ago = duration::parse(text).ok().map(When::Ago);
    ago.or_else(|| calendar::instant(text).map(When::At)).ok_or_else(|| TAKES.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago_and_when_are_both_understood() {
        let now = 1_795_861_800;
        let cases = [
            ("30m", "2026-11-28T10:00:00Z"),
            ("2h", "2026-11-28T08:30:00Z"),
            ("7d", "2026-11-21T10:30:00Z"),
            ("999999999h", "1970-01-01T00:00:00Z"),
            ("2026-11-28", "2026-11-28T00:00:00Z"),
            ("2026-11-28T07:00:00.5+01:00", "2026-11-28T06:00:00.5Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap().resolve(now).rfc3339(), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_accepted_forms() {
        for text in ["", "d", "2", "-2h", "yesterday", "2w", "99999999999999999999d", "2026-11-31"] {
            assert!(parse(text).unwrap_err().contains("2h, 7d"), "{text}");
        }
    }
}
