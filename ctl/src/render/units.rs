//! Numbers for people: at most three or four digits and the unit.

use std::time::Duration;

/// Bytes in binary units: `110 B`, `108.0 KiB`, `15.3 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.into_iter().find(|(_, shift)| count >> shift > 0) {
        Some((unit, shift)) => format!("{} {unit}", tenths(u128::from(count) * 10 / (1 << shift))),
        None => format!("{count} B"),
    }
}

/// A span of work: `0 us`, `350 us`, `8.1 ms`, `1.25 s`.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", tenths(u128::from(us) / 100)),
        _ => format!("{}.{:02} s", us / 1_000_000, us / 10_000 % 100),
    }
}

/// A time that came in milliseconds: `350 us`, `38.2 ms`, `1.25 s`; `-` for more than a month, which stands for never.
pub fn millis(ms: f64) -> String {
    const MONTH_MS: f64 = 30.0 * 86_400_000.0;
    match ms {
        short if (0.0..60_000.0).contains(&short) => micros(whole((short * 1000.0).round())),
        long if (60_000.0..MONTH_MS).contains(&long) => span(whole(long)),
        _ => "-".into(),
    }
}

/// US dollars: `0`, `0.00042`, `0.013`, `4.20`, `1203.00`.
pub fn usd(dollars: f64) -> String {
    match dollars {
        0.0 => "0".into(),
        cents if cents.abs() >= 0.995 => format!("{cents:.2}"),
        // Two digits that say something, and no fewer than a thousandth.
        part => {
            let places = part.abs().log10().floor().abs() + 1.0;
            let places = usize::try_from(whole(places)).unwrap_or(9).clamp(3, 9);
            format!("{part:.places$}")
        }
    }
}

/// Milliseconds with three places, for columns that are compared: `12.345`.
pub fn exact_ms(us: u64) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}

/// Milliseconds in at most five characters as long as they are below a hundred seconds, for narrow columns: `0.350`,
/// `8.149`, `34.21`, `123.4`, `1203`.
pub fn short_ms(us: u64) -> String {
    match us {
        0..10_000 => exact_ms(us),
        10_000..100_000 => format!("{}.{:02}", us / 1000, us / 10 % 100),
        100_000..1_000_000 => tenths(u128::from(us) / 100),
        _ => (us / 1000).to_string(),
    }
}

/// A number with three or four digits: `0`, `0.294`, `2.94`, `29.4`, `1203`.
pub fn digits(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        below if below < 1.0 => format!("{below:.3}"),
        below if below < 10.0 => format!("{below:.2}"),
        below if below < 100.0 => format!("{below:.1}"),
        rest => format!("{rest:.0}"),
    }
}

/// A time span of daily life: `350 ms`, `42 s`, `3 min 5 s`, `3 h 12 min`, `12 d 4 h`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if seconds == 0 => format!("{ms} ms"),
        () if minutes == 0 => format!("{seconds} s"),
        () if hours == 0 => format!("{minutes} min {} s", seconds % 60),
        () if days == 0 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// How old something is: `0.4 s ago`, `3 min 5 s ago`.
pub fn age(ms: u64) -> String {
    if ms < 10_000 { format!("{} s ago", tenths(u128::from(ms) / 100)) } else { format!("{} ago", span(ms)) }
}

/// The same for a [`Duration`].
pub fn duration(duration: Duration) -> String {
    span(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A frequency: `1.73 GHz`, `612 MHz`, `32 kHz`.
pub fn hertz(hz: f64) -> String {
    match hz {
        giga if giga >= 1e9 => format!("{:.2} GHz", giga / 1e9),
        mega if mega >= 1e6 => format!("{:.0} MHz", mega / 1e6),
        rest => format!("{:.0} kHz", rest / 1e3),
    }
}

/// A temperature: `54.5 C`.
pub fn celsius(degrees: f64) -> String {
    format!("{degrees:.1} C")
}

/// A power: `18.4 W`.
pub fn watts(watts: f64) -> String {
    format!("{watts:.1} W")
}

/// A time in seconds that was computed and not measured: `42 s`, `4 min 10 s`.
pub fn forecast(seconds: f64) -> String {
    if seconds >= 1.0 { span(whole(seconds).saturating_mul(1000)) } else { "1 s".into() }
}

/// A share of one in whole percent: `62%`.
pub fn whole_percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// A share of one in percent: `100%`, `97.3%`.
pub fn percent(share: f64) -> String {
    if (share - 1.0).abs() < 0.0005 { "100%".into() } else { format!("{:.1}%", share * 100.0) }
}

/// `1 request`, `2 requests`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A count that came as a floating number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is right for a size"
)]
pub fn whole(value: f64) -> u64 {
    value as u64
}

fn tenths(tenths: u128) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_the_unit_that_fits() {
        let cases = [
            (millis(0.0), "0 us"),
            (millis(38.24), "38.2 ms"),
            (millis(1250.0), "1.25 s"),
            (millis(185_000.0), "3 min 5 s"),
            (millis(f64::MAX), "-"),
            (millis(f64::NAN), "-"),
            (usd(0.0), "0"),
            (usd(0.000_421), "0.00042"),
            (usd(0.013), "0.013"),
            (usd(0.5), "0.500"),
            (usd(4.2), "4.20"),
            (usd(1203.0), "1203.00"),
            (usd(1e-12), "0.000000000"),
            (bytes(0), "0 B"),
            (bytes(1023), "1023 B"),
            (bytes(110_592), "108.0 KiB"),
            (bytes(16_428_634_112), "15.3 GiB"),
            (bytes(u64::MAX), "16777215.9 TiB"),
            (micros(0), "0 us"),
            (micros(999), "999 us"),
            (micros(8_149), "8.1 ms"),
            (micros(1_259_999), "1.25 s"),
            (exact_ms(12_345), "12.345"),
            (short_ms(350), "0.350"),
            (short_ms(8_149), "8.149"),
            (short_ms(34_219), "34.21"),
            (short_ms(123_456), "123.4"),
            (short_ms(1_203_999), "1203"),
            (digits(0.0), "0"),
            (digits(0.2941), "0.294"),
            (digits(2.941), "2.94"),
            (digits(29.41), "29.4"),
            (digits(1203.4), "1203"),
            (span(0), "0 ms"),
            (span(42_900), "42 s"),
            (span(185_000), "3 min 5 s"),
            (span(11_520_000), "3 h 12 min"),
            (span(1_051_200_000), "12 d 4 h"),
            (age(400), "0.4 s ago"),
            (age(185_000), "3 min 5 s ago"),
            (hertz(1_728_000_000.0), "1.73 GHz"),
            (hertz(612_000_000.0), "612 MHz"),
            (hertz(32_768.0), "33 kHz"),
            (celsius(54.46), "54.5 C"),
            (watts(18.42), "18.4 W"),
            (forecast(0.2), "1 s"),
            (forecast(250.9), "4 min 10 s"),
            (whole_percent(0.618), "62%"),
            (percent(1.0), "100%"),
            (percent(0.973), "97.3%"),
            (count(1, "restart"), "1 restart"),
            (count(0, "restart"), "0 restarts"),
        ];
        for (shown, expected) in cases {
            assert_eq!(shown, expected);
        }
    }
}
