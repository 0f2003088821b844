//! IBAN: a country, two check digits and as many letters and digits as the country uses (ISO 13616; lengths by the
//! registry of SWIFT), the whole with the remainder 1 by 97 (ISO/IEC 7064).

use super::digits::{at, is_word};

/// Shortest and longest, spaces not counted.
const LONGEST: usize = 34;

/// Country and length, in order.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Where an IBAN begins and ends whose check digits are at `check`, the first digits after its country.
pub fn iban(bytes: &[u8], check: usize) -> Option<(usize, usize)> {
    let start = check.checked_sub(2)?;
    let country = [at(bytes, start).to_ascii_uppercase(), at(bytes, start + 1).to_ascii_uppercase()];
    let row = LENGTHS.binary_search_by(|(known, _)| known.as_slice().cmp(country.as_slice())).ok()?;
    let (_, wanted) = LENGTHS.get(row)?;
    let mut signs = [0_u8; LONGEST];
    let end = take(bytes, start, signs.get_mut(..*wanted)?)?;
    (!is_word(at(bytes, end)) && is_right(signs.get(..*wanted)?)).then_some((start, end))
}

/// Fills `signs` with the letters and digits from `start` on, one space or dash between any two left out. Where it ends.
fn take(bytes: &[u8], start: usize, signs: &mut [u8]) -> Option<usize> {
    let mut place = start;
    for (taken, sign) in signs.iter_mut().enumerate() {
        if taken > 2 && matches!(at(bytes, place), b' ' | b'-') {
            place += 1;
        }
        let found = at(bytes, place).to_ascii_uppercase();
        let is_check = taken == 2 || taken == 3;
        if !found.is_ascii_alphanumeric() || is_check && !found.is_ascii_digit() {
            return None;
        }
        *sign = found;
        place += 1;
    }
    Some(place)
}

/// The first four signs put last, letters as 10 to 35: the remainder by 97 is 1.
fn is_right(signs: &[u8]) -> bool {
    let (first, rest) = signs.split_at(signs.len().min(4));
    let remainder = rest.iter().chain(first).fold(0_u32, |remainder, sign| match sign {
        b'0'..=b'9' => (remainder * 10 + u32::from(sign - b'0')) % 97,
        _ => (remainder * 100 + u32::from(sign - b'A') + 10) % 97,
    });
    remainder == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let check = text.find(|c: char| c.is_ascii_digit())?;
        iban(text.as_bytes(), check).map(|(start, end)| &text[start..end])
    }

    #[test]
    fn the_registrys_examples_are_found_in_both_ways_of_writing() {
        for (text, expected) in [
            ("to GB82 WEST 1234 5698 7654 32 please", "GB82 WEST 1234 5698 7654 32"),
            ("DE89370400440532013000", "DE89370400440532013000"),
            ("iban:fr1420041010050500013m02606.", "fr1420041010050500013m02606"),
            ("NO93-8601-1117-947", "NO93-8601-1117-947"),
            ("CH93 0076 2011 6238 5295 7", "CH93 0076 2011 6238 5295 7"),
            ("MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001S"),
            ("NL91ABNA0417164300", "NL91ABNA0417164300"),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_wrong_digit_length_or_country_is_no_iban() {
        for text in
            ["DE89370400440532013001", "DE8937040044053201300", "DE893704004405320130001", "ZZ89370400440532013000"]
        {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_within_the_longest() {
        assert!(LENGTHS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(LENGTHS.iter().all(|(_, length)| (15..=LONGEST).contains(length)));
    }
}
