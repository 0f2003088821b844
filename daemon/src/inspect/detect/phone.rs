//! Telephone numbers: international ones by their country code (ITU-T E.164), North American and trunk-zero national ones by their form,
//! any other only where a word beside it says so. Without a checksum this is a guess: some numbers are missed, and some that
//! are no telephone's are told.

use std::cell::OnceCell;

use super::digits::{Words, at, before, begins, ends};

/// Words that are written beside telephone numbers, in nine languages.
const WORDS: Words = Words {
    whole: &[
        "tel",
        "call",
        "calls",
        "called",
        "cell",
        "mobile",
        "mobil",
        "mob",
        "fax",
        "sms",
        "text",
        "texts",
        "dial",
        "reach",
        "contact",
        "handy",
        "gsm",
        "office",
        "desk",
        "ring",
        "messages",
        "answering",
        "movil",
        "m\u{f3}vil",
        "portable",
        "cellulare",
        "mobiel",
        "mobilnr",
        "komorka",
        "kom\u{f3}rka",
        "appelez",
    ],
    phrases: &["t\u{e9}l\u{e9}ph", "tel\u{e9}f", "call-back", "call back"],
    parts: &["phone", "phon", "telefo", "rufnummer", "whatsapp", "callback", "hotline"],
};

/// Fewest and most digits of an international number with its country code; E.164 allows 15.
const FEWEST: usize = 8;
const MOST: usize = 15;
/// Fewest and most digits that a word beside them makes a number.
const FEWEST_NAMED: usize = 7;
const MOST_NAMED: usize = 13;

/// Where a telephone number that begins at `start` with `+`, `(` or a digit ends.
pub fn phone(bytes: &[u8], start: usize, hint: &str) -> Option<usize> {
    // A lead without a digit behind it.
    if !at(bytes, start).is_ascii_digit() && !matches!(at(bytes, start + 1), b'0'..=b'9' | b'(' | b' ') {
        return None;
    }
    let number = Number::read(bytes, start)?;
    if !number.plus && !begins(bytes, start) {
        return None;
    }
    // Asked for once only, and only of what could be a number.
    let before = OnceCell::new();
    let end = (1..=number.count).rev().find(|count| {
        let end = number.end(*count);
        let closed = ends(bytes, end) || extension(bytes, end).is_some();
        closed
            && number.is_phone(*count, || {
                *before.get_or_init(|| WORDS.before(bytes, start, hint)) || WORDS.behind(bytes, end)
            })
    });
    let end = number.end(end?);
    Some(extension(bytes, end).unwrap_or(end))
}

/// The end of `x123` or `ext. 123` right behind a number.
fn extension(bytes: &[u8], end: usize) -> Option<usize> {
    let rest = bytes.get(end..bytes.len().min(end + 16))?;
    let mark = [&b"x"[..], b" x", b" ext. ", b" ext ", b"ext", b";ext="]
        .into_iter()
        .find(|mark| rest.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark)))?;
    let digits = rest.iter().skip(mark.len()).take(7).take_while(|byte| byte.is_ascii_digit()).count();
    ((1..=6).contains(&digits)).then_some(end + mark.len() + digits)
}

/// Most groups of digits in a number.
const GROUPS: usize = 8;
const DIGITS: usize = 20;

/// Digits in groups as they are dialled.
#[derive(Debug, Default)]
struct Number {
    plus: bool,
    /// It begins with a group in brackets.
    bracket: bool,
    digits: [u8; DIGITS],
    total: usize,
    sizes: [u8; GROUPS],
    ends: [usize; GROUPS],
    /// Whether the gap before the group is more than a space.
    marked: [bool; GROUPS],
    count: usize,
}

impl Number {
    fn read(bytes: &[u8], start: usize) -> Option<Number> {
        let mut number = Number { plus: at(bytes, start) == b'+', ..Number::default() };
        let mut place = start + usize::from(number.plus);
        let mut open = at(bytes, place) == b'(';
        number.bracket = open;
        place += usize::from(open);
        let mut marked = open;
        while number.count < GROUPS {
            let size = bytes.iter().skip(place).take_while(|byte| byte.is_ascii_digit()).count();
            if size == 0 || !number.push(bytes, place, size, marked) {
                break;
            }
            place += size;
            let Some((next, mark, opens)) = gap(bytes, place, &mut open) else { break };
            (place, marked, open) = (next, mark, opens);
        }
        (number.count > 0).then_some(number)
    }

    fn push(&mut self, bytes: &[u8], place: usize, size: usize, marked: bool) -> bool {
        let Some(room) = self.digits.get_mut(self.total..self.total + size) else { return false };
        for (to, digit) in room.iter_mut().zip(bytes.iter().skip(place)) {
            *to = digit - b'0';
        }
        self.total += size;
        if let (Some(to), Some(end), Some(mark)) =
            (self.sizes.get_mut(self.count), self.ends.get_mut(self.count), self.marked.get_mut(self.count))
        {
            *to = u8::try_from(size).unwrap_or(u8::MAX);
            // A group in brackets ends behind its bracket.
            *end = place + size + usize::from(at(bytes, place + size) == b')' && before(bytes, place) == b'(');
            *mark = marked;
        }
        self.count += 1;
        true
    }

    fn end(&self, count: usize) -> usize {
        count.checked_sub(1).and_then(|at| self.ends.get(at)).copied().unwrap_or(0)
    }

    fn is_phone(&self, count: usize, named: impl Fn() -> bool) -> bool {
        let Some(sizes) = self.sizes.get(..count) else { return false };
        let total = sizes.iter().map(|size| usize::from(*size)).sum::<usize>();
        let Some(digits) = self.digits.get(..total) else { return false };
        if self.plus {
            return (FEWEST..=MOST).contains(&total) && is_country(digits);
        }
        let grouped = count >= 2;
        if let [0, 0, rest @ ..] = digits
            && (FEWEST + 2..=MOST).contains(&rest.len())
            && is_country(rest)
        {
            return grouped && !looks_like_a_date(sizes) || named();
        }
        if self.is_north_american(sizes, digits) {
            return true;
        }
        let first = sizes.first().copied().unwrap_or(0);
        let trunk = matches!(digits, [0, 1..=9, ..]) && (9..=11).contains(&total);
        if trunk && grouped && (2..=5).contains(&first) && sizes.iter().all(|size| *size >= 2) {
            return true;
        }
        (FEWEST_NAMED..=MOST_NAMED).contains(&total)
            && sizes.iter().all(|size| *size >= 2)
            && !looks_like_a_date(sizes)
            && named()
    }

    /// Area and exchange begin with 2 to 9, and more than spaces is between them.
    fn is_north_american(&self, sizes: &[u8], digits: &[u8]) -> bool {
        let (digits, from) = match (sizes, digits) {
            ([1, 3, 3, 4], [1, rest @ ..]) => (rest, 2),
            ([3, 3, 4], all) => (all, 1),
            _ => return false,
        };
        let begins = |place: usize| digits.get(place).is_some_and(|digit| *digit >= 2);
        let marked = self.bracket || self.marked.iter().skip(1).take(from + 1).any(|marked| *marked);
        begins(0) && begins(3) && marked
    }
}

/// What stands between two groups: where the next one begins, whether it is more than a space, and whether a bracket is open.
fn gap(bytes: &[u8], place: usize, open: &mut bool) -> Option<(usize, bool, bool)> {
    let (mut marked, mut now, mut spaces) = (false, *open, 0);
    for width in 0..4 {
        match at(bytes, place + width) {
            b'0'..=b'9' if width > 0 => return Some((place + width, marked, now)),
            b' ' if spaces < 2 => spaces += 1,
            b')' if now => (now, marked) = (false, true),
            b'(' if !now => (now, marked) = (true, true),
            b'.' | b'/' | b'-' if !marked || before(bytes, place + width) == b')' => marked = true,
            _ => return None,
        }
    }
    None
}

/// No country has a code that begins so (E.164 assignments).
fn is_country(digits: &[u8]) -> bool {
    !matches!(digits, [] | [0, ..] | [2, 8, ..] | [8, 3 | 9, ..])
}

fn looks_like_a_date(sizes: &[u8]) -> bool {
    matches!(sizes, [4, 2, 2, ..] | [2, 2, 4, ..] | [2, 2, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let start = text.find(|c: char| c.is_ascii_digit() || c == '+' || c == '(')?;
        phone(text.as_bytes(), start, "").map(|end| &text[start..end])
    }

    #[test]
    fn numbers_are_found_in_the_forms_that_people_use() {
        for (text, expected) in [
            ("+49 30 901820", "+49 30 901820"),
            ("+41 (0)96 471 07 95 mobile", "+41 (0)96 471 07 95"),
            ("+447700900123,", "+447700900123"),
            ("001-518-640-0854", "001-518-640-0854"),
            ("0044 20 7946 0958", "0044 20 7946 0958"),
            ("(602)272-9781", "(602)272-9781"),
            ("(602) 272-9781 x12", "(602) 272-9781 x12"),
            ("345-899-3560x4587", "345-899-3560x4587"),
            ("1-800-555-0199", "1-800-555-0199"),
            ("01.84.17.61.18", "01.84.17.61.18"),
            ("0961-7596216", "0961-7596216"),
            ("030/9018 2000", "030/9018 2000"),
            ("(08) 8747 6301", "(08) 8747 6301"),
            ("call 467 3395 now", "467 3395"),
            ("Tel: 5403926876", "5403926876"),
            ("(37) 788-063-Office", "(37) 788-063"),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_none() {
        for text in [
            "5403926876",
            "order 467 3395",
            "2024-01-15 10:30:00",
            "15.01.2024",
            "01.02.2024",
            "1700000000",
            "3.14159265",
            "+1 2",
            "+0 123 456 789",
            "12 345 678",
            "hotel 467 3395",
            "127-345",
            "1,234,567,890",
            "2000 3000 4000",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
