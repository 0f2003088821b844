//! Numbers that a state gives to a person. Those with a weak check (one of ten or eleven numbers passes) are told only in their
//! official grouping or where a word beside them says so; the strong ones are told wherever they stand. Must not know
//! whether a number was ever given out.

use super::digits::{Groups, Words, at, begins, ends, is_day, luhn, number, varied};
use super::kind::Nation;

const SSN: Words =
    Words { whole: &["ssn", "ssns", "itin"], phrases: &["social security", "social_security"], parts: &[] };
const BSN: Words = Words { whole: &["bsn", "sofi"], phrases: &[], parts: &["burgerservice", "sofinummer"] };
const NHS: Words = Words { whole: &["nhs"], phrases: &[], parts: &["nhsnumber"] };
const PERSONNUMMER: Words = Words { whole: &["pnr"], phrases: &[], parts: &["personnummer", "personnr"] };

/// Which number the groups from `start` on begin with, and where it ends.
pub fn national(bytes: &[u8], start: usize, groups: &Groups, hint: &str) -> Option<(Nation, usize)> {
    if !begins(bytes, start) {
        return None;
    }
    let known: [Check; 9] = [ssn, bsn, nhs, tax_id, pesel, belgian, swedish, dni, nir];
    let text = Text { bytes, start, groups, hint };
    known.into_iter().find_map(|check| check(&text))
}

/// One state's: whose number it is, and where it ends.
type Check = fn(&Text<'_>) -> Option<(Nation, usize)>;

/// Where it is looked.
struct Text<'a> {
    bytes: &'a [u8],
    start: usize,
    groups: &'a Groups,
    hint: &'a str,
}

impl Text<'_> {
    /// The digits, if they are grouped so and nothing hangs on behind.
    fn grouped(&self, sizes: &[u8]) -> Option<&[u8]> {
        let fits = self.groups.begin_with(sizes) && ends(self.bytes, self.groups.end(sizes.len()));
        fits.then(|| self.groups.digits(sizes.len())).filter(|digits| varied(digits))
    }

    fn with(&self, sizes: &[u8], sign: u8) -> Option<&[u8]> {
        self.grouped(sizes).filter(|_| self.groups.all_gaps(sizes.len(), sign))
    }

    fn named(&self, words: Words) -> bool {
        words.before(self.bytes, self.start, self.hint)
    }

    fn found(&self, nation: Nation, count: usize) -> Option<(Nation, usize)> {
        Some((nation, self.groups.end(count)))
    }
}

/// US: no check digit, but areas 000, 666 and 900 to 999, group 00 and serial 0000 are never given (SSA, since 2011).
fn ssn(text: &Text<'_>) -> Option<(Nation, usize)> {
    let grouped = text.with(&[3, 2, 4], b'-').or_else(|| text.with(&[3, 2, 4], b' '));
    let (digits, count) = match grouped {
        Some(digits) => (digits, 3),
        None => (text.grouped(&[9]).filter(|_| text.named(SSN))?, 1),
    };
    let (area, rest) = digits.split_at_checked(3)?;
    let (group, serial) = rest.split_at_checked(2)?;
    let given = !matches!(number(area), 0 | 666 | 900..) && number(group) > 0 && number(serial) > 0;
    given.then(|| text.found(Nation::Us, count)).flatten()
}

/// Netherlands: weights 9 to 2 and -1, remainder 0 by 11. One of eleven numbers passes, so that it has to be named or grouped 4.2.3.
fn bsn(text: &Text<'_>) -> Option<(Nation, usize)> {
    let (digits, count) = match text.with(&[4, 2, 3], b'.') {
        Some(digits) => (digits, 3),
        None => (text.grouped(&[9]).filter(|_| text.named(BSN))?, 1),
    };
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2, 10]);
    sum.is_multiple_of(11).then(|| text.found(Nation::Nl, count)).flatten()
}

/// United Kingdom: weights 10 to 2, remainder taken from 11 (NHS data dictionary). Grouped 3 3 4, or named.
fn nhs(text: &Text<'_>) -> Option<(Nation, usize)> {
    let spaced = text.with(&[3, 3, 4], b' ');
    let (digits, count) = match spaced.or_else(|| text.grouped(&[3, 3, 4]).filter(|_| text.named(NHS))) {
        Some(digits) => (digits, 3),
        None => (text.grouped(&[10]).filter(|_| text.named(NHS))?, 1),
    };
    // 10 is congruent to -1, which takes the last digit off again.
    let sum = weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    sum.is_multiple_of(11).then(|| text.found(Nation::Uk, count)).flatten()
}

/// Germany: no 0 first; among the first ten digits one is there twice or three times, and the others at most once; check digit by ISO/IEC
/// 7064, MOD 11,10.
fn tax_id(text: &Text<'_>) -> Option<(Nation, usize)> {
    let shapes: [&[u8]; 3] = [&[11], &[2, 3, 3, 3], &[2, 9]];
    let (count, digits) = shapes.iter().find_map(|sizes| Some((sizes.len(), text.grouped(sizes)?)))?;
    let (check, body) = digits.split_last()?;
    let mut seen = [0_u8; 10];
    for digit in body {
        *seen.get_mut(usize::from(*digit))? += 1;
    }
    let repeated = seen.iter().filter(|times| **times > 1).count();
    if digits.first() == Some(&0) || repeated != 1 || seen.iter().any(|times| *times > 3) {
        return None;
    }
    let product = body.iter().fold(10_u32, |product, digit| {
        let sum = (product + u32::from(*digit)) % 10;
        if sum == 0 { 20 % 11 } else { sum * 2 % 11 }
    });
    ((11 - product) % 10 == u32::from(*check)).then(|| text.found(Nation::De, count)).flatten()
}

/// Poland: a day of birth with the century in its month, weights 1 3 7 9, sum 0 by 10.
fn pesel(text: &Text<'_>) -> Option<(Nation, usize)> {
    let digits = text.grouped(&[11])?;
    let month = number(digits.get(2..4)?);
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let right = is_day(month % 20, number(digits.get(4..6)?)) && sum.is_multiple_of(10);
    right.then(|| text.found(Nation::Pl, 1)).flatten()
}

/// Belgium: a day of birth (month and day may be unknown: 00), a serial, and 97 less the remainder of the first nine by 97; a 2 goes
/// before them for those born since 2000.
fn belgian(text: &Text<'_>) -> Option<(Nation, usize)> {
    let shapes: [&[u8]; 3] = [&[11], &[2, 2, 2, 3, 2], &[6, 3, 2]];
    let (count, digits) = shapes.iter().find_map(|sizes| Some((sizes.len(), text.grouped(sizes)?)))?;
    let (month, day) = (number(digits.get(2..4)?), number(digits.get(4..6)?));
    // Numbers of those who are not residents have 20 or 40 added to the month.
    let born = is_day(month % 20, day) || month % 20 <= 12 && day == 0;
    let (body, check) = (number(digits.get(..9)?), number(digits.get(9..)?));
    let right = [body, 2_000_000_000 + body].iter().any(|body| 97 - body % 97 == check);
    (born && month <= 52 && right).then(|| text.found(Nation::Be, count)).flatten()
}

/// Sweden: a day of birth (60 added for a samordningsnummer) and Luhn's digit over the last ten.
fn swedish(text: &Text<'_>) -> Option<(Nation, usize)> {
    let signed = |sizes: &[u8]| text.with(sizes, b'-').or_else(|| text.with(sizes, b'+'));
    let (digits, count) = if let Some(digits) = signed(&[6, 4]) {
        (digits, 2)
    } else if let Some(digits) = text.with(&[8, 4], b'-') {
        (digits, 2)
    } else if let Some(digits) = text.grouped(&[12]) {
        (digits, 1)
    } else {
        (text.grouped(&[10]).filter(|_| text.named(PERSONNUMMER))?, 1)
    };
    let (century, ten) = digits.split_at_checked(digits.len().checked_sub(10)?)?;
    let (month, day) = (number(ten.get(2..4)?), number(ten.get(4..6)?));
    let born = is_day(month, day) || is_day(month, day.saturating_sub(60));
    let right = (century.is_empty() || matches!(number(century), 18..=20)) && born && luhn(ten);
    right.then(|| text.found(Nation::Se, count)).flatten()
}

/// The letters by the remainder by 23.
const DNI: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// Spain: eight digits and their letter (DNI); the NIE, which begins with a letter, is [`nie`].
fn dni(text: &Text<'_>) -> Option<(Nation, usize)> {
    let shapes: [&[u8]; 2] = [&[8], &[2, 3, 3]];
    let count = shapes.iter().find(|sizes| text.groups.begin_with(sizes))?.len();
    let digits = text.groups.digits(count);
    let end = letter_of(text.bytes, text.groups.end(count), number(digits))?;
    varied(digits).then_some((Nation::Es, end))
}

/// Spain, foreigners: X, Y or Z for 0, 1 or 2, seven digits, a letter. `start` is where the digits begin; where it begins and ends.
pub fn nie(bytes: &[u8], start: usize, groups: &Groups) -> Option<(usize, usize)> {
    let first = start.checked_sub(1)?;
    let first = if at(bytes, first) == b'-' { first.checked_sub(1)? } else { first };
    let lead = u64::from(at(bytes, first).to_ascii_uppercase().checked_sub(b'X')?);
    if lead > 2 || !groups.begin_with(&[7]) || !begins(bytes, first) {
        return None;
    }
    let end = letter_of(bytes, groups.end(1), lead * 10_000_000 + number(groups.digits(1)))?;
    Some((first, end))
}

fn letter_of(bytes: &[u8], end: usize, number: u64) -> Option<usize> {
    let place = if at(bytes, end) == b'-' { end + 1 } else { end };
    let right = DNI.get(usize::try_from(number % 23).ok()?)?;
    (at(bytes, place).to_ascii_uppercase() == *right && ends(bytes, place + 1)).then_some(place + 1)
}

/// France: sex, year and month of birth, department (2A and 2B for Corsica), commune, order, and 97 less the remainder by 97.
fn nir(text: &Text<'_>) -> Option<(Nation, usize)> {
    const SIGNS: usize = 15;
    let mut signs = [0_u8; SIGNS];
    let mut place = text.start;
    for (taken, sign) in signs.iter_mut().enumerate() {
        if taken > 0 && matches!(at(text.bytes, place), b' ' | b'-') {
            place += 1;
        }
        *sign = at(text.bytes, place).to_ascii_uppercase();
        place += 1;
    }
    // Corsica counts as 19 and 18.
    match (signs[5], signs[6]) {
        (b'2', b'A') => (signs[5], signs[6]) = (b'1', b'9'),
        (b'2', b'B') => (signs[5], signs[6]) = (b'1', b'8'),
        _ => {}
    }
    if !matches!(signs[0], b'1'..=b'4' | b'7' | b'8')
        || !signs.iter().all(u8::is_ascii_digit)
        || !ends(text.bytes, place)
    {
        return None;
    }
    let digits = signs.map(|sign| sign - b'0');
    let born = matches!(number(&digits[3..5]), 1..=12 | 20..=42 | 50..=99);
    let right = 97 - number(&digits[..13]) % 97 == number(&digits[13..]);
    (born && right && varied(&digits)).then_some((Nation::Fr, place))
}

/// Italy: sixteen letters and digits in a fixed order, letters in place of digits where two people had the same, and a letter that
/// checks. `place` is one of its digits; where it begins and ends.
pub fn fiscal_code(bytes: &[u8], place: usize) -> Option<(usize, usize)> {
    const SIGNS: usize = 16;
    let back = bytes.get(..place)?.iter().rev().take(SIGNS).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let start = place - back;
    let word = bytes.get(start..start + SIGNS)?;
    if !begins(bytes, start) || !ends(bytes, start + SIGNS) {
        return None;
    }
    let fits = word.iter().enumerate().all(|(at, sign)| match at {
        6 | 7 | 9 | 10 | 12..=14 => sign.is_ascii_digit() || b"LMNPQRSTUV".contains(&sign.to_ascii_uppercase()),
        8 => b"ABCDEHLMPRST".contains(&sign.to_ascii_uppercase()),
        _ => sign.is_ascii_alphabetic(),
    });
    let (check, body) = word.split_last()?;
    let sum = body.iter().enumerate().map(|(at, sign)| worth(sign.to_ascii_uppercase(), at % 2 == 0)).sum::<u32>();
    (fits && sum % 26 == u32::from(check.to_ascii_uppercase() - b'A')).then_some((start, start + SIGNS))
}

/// What a sign counts: by its place in the alphabet, or by the table for the first, third, fifth ... sign (decree of 12 March 1974).
fn worth(sign: u8, odd: bool) -> u32 {
    const ODD: [u8; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let place = if sign.is_ascii_digit() { sign - b'0' } else { sign.saturating_sub(b'A') };
    let odds = || ODD.get(usize::from(place)).copied().unwrap_or(0);
    u32::from(if odd { odds() } else { place })
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(Nation, &str)> {
        let bytes = text.as_bytes();
        let start = text.find(|c: char| c.is_ascii_digit())?;
        let groups = Groups::read(bytes, start);
        national(bytes, start, &groups, "")
            .map(|(nation, end)| (nation, &text[start..end]))
            .or_else(|| nie(bytes, start, &groups).map(|(start, end)| (Nation::Es, &text[start..end])))
            .or_else(|| fiscal_code(bytes, start).map(|(start, end)| (Nation::It, &text[start..end])))
    }

    #[test]
    fn the_published_examples_of_each_state_are_found() {
        for (text, nation, expected) in [
            ("219-09-9999", Nation::Us, "219-09-9999"),
            ("219 09 9999", Nation::Us, "219 09 9999"),
            ("ssn: 219099999", Nation::Us, "219099999"),
            ("86095742719", Nation::De, "86095742719"),
            ("86 095 742 719", Nation::De, "86 095 742 719"),
            ("47036892816", Nation::De, "47036892816"),
            ("2 55 08 14 168 025 38", Nation::Fr, "2 55 08 14 168 025 38"),
            ("255081416802538", Nation::Fr, "255081416802538"),
            ("RSSMRA85T10A562S", Nation::It, "RSSMRA85T10A562S"),
            ("mrtmtt25d09f205z.", Nation::It, "mrtmtt25d09f205z"),
            ("12345678Z", Nation::Es, "12345678Z"),
            ("12.345.678-Z", Nation::Es, "12.345.678-Z"),
            ("X1234567L", Nation::Es, "X1234567L"),
            ("bsn 111222333", Nation::Nl, "111222333"),
            ("1234.56.782", Nation::Nl, "1234.56.782"),
            ("943 476 5919", Nation::Uk, "943 476 5919"),
            ("NHS 9434765919", Nation::Uk, "9434765919"),
            ("44051401359", Nation::Pl, "44051401359"),
            ("811228-9874", Nation::Se, "811228-9874"),
            ("198112289874", Nation::Se, "198112289874"),
            ("670919+9530", Nation::Se, "670919+9530"),
            ("85.07.30-033.28", Nation::Be, "85.07.30-033.28"),
            ("17073003384", Nation::Be, "17073003384"),
        ] {
            assert_eq!(found(text), Some((nation, expected)), "{text}");
        }
    }

    #[test]
    fn corsica_has_letters_in_its_number() {
        let body = 1_850_519_123_456_u64;
        let text = format!("185052A123456{:02}", 97 - body % 97);
        assert_eq!(found(&text), Some((Nation::Fr, text.as_str())));
    }

    #[test]
    fn a_wrong_check_or_a_number_that_is_never_given_is_not_told() {
        for text in [
            "666-09-9999",
            "900-12-3456",
            "219-00-9999",
            "219-09-0000",
            "219099999",
            "219-09-99991",
            "A-219-09-9999",
            "86095742718",
            "255081416802539",
            "RSSMRA85T10A562T",
            "12345678A",
            "X1234567M",
            "111222333",
            "bsn 111222334",
            "943 476 5918",
            "9434765919",
            "44051401358",
            "811228-9873",
            "85.07.30-033.29",
            "00000000000",
            "99999999999",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
