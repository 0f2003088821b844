//! Payment cards: digits of a known issuer's range, of a length that it uses, with the right last digit (ISO/IEC 7812-1). The ranges are
//! facts that the networks publish.

use super::digits::{Groups, at, before, luhn, varied};

/// Fewest and most digits. Twelve only in the ranges of Maestro.
const FEWEST: usize = 12;
const MOST: usize = 19;

/// How many of the groups from `start` on are a card; as many as can be, so that nothing of one is left over.
pub fn card(bytes: &[u8], start: usize, groups: &Groups) -> Option<usize> {
    // The digits after the point of a number with a fraction.
    if before(bytes, start) == b'.' && before(bytes, start - 1).is_ascii_digit() {
        return None;
    }
    let within = matches!(before(bytes, start), b' ' | b'-') && before(bytes, start - 1).is_ascii_digit();
    (1..=groups.count()).rev().find(|count| {
        let digits = groups.digits(*count);
        let whole = !within && !groups.more && *count == groups.count();
        (FEWEST..=MOST).contains(&digits.len())
            && (whole || is_usual(groups.sizes(*count)))
            && !at(bytes, groups.end(*count)).is_ascii_digit()
            && varied(digits)
            && is_issued(digits)
            && luhn(digits)
    })
}

/// Groups as they are printed on cards and typed: one, fours, four-six-five, four-six-four, or single digits.
fn is_usual(sizes: &[u8]) -> bool {
    match sizes {
        [_] | [4, 6, 4 | 5] => true,
        [first @ .., last] if first.len() >= 2 => {
            first.iter().all(|size| *size == 4) && (1..=4).contains(last)
                || first.iter().all(|size| *size == 1) && *last == 1
        }
        _ => false,
    }
}

/// Whether a network issues numbers that begin so and are so long.
fn is_issued(digits: &[u8]) -> bool {
    let start = digits.iter().take(6).fold(0_u32, |start, digit| start * 10 + u32::from(*digit));
    let len = digits.len();
    match start {
        // Visa.
        400_000..=499_999 => matches!(len, 13 | 16 | 19),
        // Mastercard; Mir.
        222_100..=272_099 | 510_000..=559_999 => len == 16,
        220_000..=220_499 => (16..=19).contains(&len),
        // American Express.
        340_000..=349_999 | 370_000..=379_999 => len == 15,
        // JCB, the old ranges and the new one. It uses 3528 to 3589; the rest of 35 is nobody else's, and in the test data of many.
        180_000..=180_099 | 213_100..=213_199 => len == 15,
        350_000..=359_999 => (16..=19).contains(&len),
        // Diners Club.
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => (14..=19).contains(&len),
        // Discover, UnionPay.
        601_100..=601_199 | 622_126..=622_925 | 644_000..=659_999 => (16..=19).contains(&len),
        620_000..=629_999 | 810_000..=817_199 => (16..=19).contains(&len),
        // RuPay.
        508_500..=508_999 | 606_985..=607_984 | 608_001..=608_500 => len == 16,
        // Maestro.
        500_000..=509_999 | 560_000..=589_999 | 630_000..=639_999 | 670_000..=679_999 | 60_400..=60_499 => {
            len >= FEWEST
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let start = text.find(|c: char| c.is_ascii_digit())?;
        let groups = Groups::read(text.as_bytes(), start);
        card(text.as_bytes(), start, &groups).map(|count| &text[start..groups.end(count)])
    }

    #[test]
    fn published_test_cards_are_found_however_they_are_typed() {
        for (text, expected) in [
            ("4111111111111111", "4111111111111111"),
            ("pay 4111 1111 1111 1111 now", "4111 1111 1111 1111"),
            ("4111-1111-1111-1111", "4111-1111-1111-1111"),
            ("4111.1111.1111.1111", "4111.1111.1111.1111"),
            ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
            ("41111111 11111111", "41111111 11111111"),
            ("4111 1111 1111 1111 12/29", "4111 1111 1111 1111"),
            ("378282246310005", "378282246310005"),
            ("3782 822463 10005", "3782 822463 10005"),
            ("5555555555554444", "5555555555554444"),
            ("2223003122003222", "2223003122003222"),
            ("6011111111111117", "6011111111111117"),
            ("30569309025904", "30569309025904"),
            ("3056 930902 5904", "3056 930902 5904"),
            ("3530111333300000", "3530111333300000"),
            ("4222222222222", "4222222222222"),
            ("no4111111111111111x", "4111111111111111"),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn numbers_that_no_network_issues_or_with_a_wrong_digit_are_no_cards() {
        for text in [
            "4111111111111112",
            "1234567812345670",
            "0.4111111111111111",
            "41111111111111111111111111",
            "411111111111111",
            "0000000000000000",
            "1700000000000",
            "4111 1111",
        ] {
            let start = if text.starts_with("0.") { 2 } else { 0 };
            let groups = Groups::read(text.as_bytes(), start);
            assert_eq!(card(text.as_bytes(), start, &groups), None, "{text}");
        }
    }
}
