//! What a job says of a pull.

use std::time::Duration;

use edge_core::pull::speed::left;

/// `pulling, 12.3 of 98.0 MiB, 4.1 MiB/s, 21 s left`.
pub fn progress(bytes: u64, size: u64, per_second: Option<u64>) -> String {
    let mut text = format!("pulling, {} of {}", tenths(bytes, mib(size)), amount(size));
    if let Some(rate) = per_second {
        text.push_str(&format!(", {}/s", amount(rate)));
        match left(bytes, size, rate) {
            Some(rest) => text.push_str(&format!(", {} left", span(rest))),
            None => text.push_str(", nothing comes"),
        }
    }
    text
}

/// How far it is, of 100.
pub fn percent(bytes: u64, size: u64) -> u8 {
    u8::try_from(bytes.saturating_mul(100) / size.max(1)).unwrap_or(100).min(100)
}

fn mib(bytes: u64) -> bool {
    bytes >= 1 << 20
}

fn tenths(bytes: u64, in_mib: bool) -> String {
    let shift = if in_mib { 20 } else { 10 };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// In MiB; small ones in KiB.
pub fn amount(bytes: u64) -> String {
    format!("{} {}", tenths(bytes, mib(bytes)), if mib(bytes) { "MiB" } else { "KiB" })
}

/// In the two largest units.
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        0 if !span.is_zero() => "less than 1 s".into(),
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_with_speed_and_rest_where_they_are_known() {
        for (bytes, size, rate, expected) in [
            (0, 1024, None, "pulling, 0.0 of 1.0 KiB"),
            (12_900_000, 102_760_448, Some(4_300_000), "pulling, 12.3 of 98.0 MiB, 4.1 MiB/s, 21 s left"),
            (1 << 20, 3 << 20, Some(100), "pulling, 1.0 of 3.0 MiB, 0.0 KiB/s, 5 h 49 min left"),
            (1 << 20, 3 << 20, Some(0), "pulling, 1.0 of 3.0 MiB, 0.0 KiB/s, nothing comes"),
        ] {
            assert_eq!(progress(bytes, size, rate), expected);
        }
        assert_eq!((percent(1, 3), percent(3, 3), percent(0, 0), percent(9, 3)), (33, 100, 0, 100));
    }
}
