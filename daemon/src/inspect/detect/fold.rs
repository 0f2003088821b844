//! Makes text plain before it is searched: digits of any script, full-width and ornamental characters become ASCII,
//! invisible characters go, every space and tab is a space and every dash a dash. Places in the plain text lead back to the text that came.
//! Must not know what is searched for. Letters of other alphabets that only look like Latin ones stay what they are.

use std::borrow::Cow;

use super::fold_table::{DROPPED, FOLDED};

/// Plain text, and where each piece of it came from.
#[derive(Debug)]
pub struct Folded<'a> {
    original: &'a str,
    text: Cow<'a, str>,
    /// From this place of the plain text on, until the next one, places differ by the same number: (plain, original).
    shifts: Vec<(usize, usize)>,
}

/// Makes `text` plain. Text of printable ASCII is not copied; of other text there is one copy.
pub fn fold(text: &str) -> Folded<'_> {
    if text.bytes().all(is_plain) {
        return Folded { original: text, text: Cow::Borrowed(text), shifts: Vec::new() };
    }
    let mut plain = String::with_capacity(text.len());
    let mut shifts = Vec::new();
    let mut shift = 0;
    for (at, found) in text.char_indices() {
        let Some(become_) = plain_char(found) else { continue };
        if at - plain.len() != shift {
            shift = at - plain.len();
            shifts.push((plain.len(), at));
        }
        plain.push(become_);
    }
    Folded { original: text, text: Cow::Owned(plain), shifts }
}

impl Folded<'_> {
    /// The plain text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it differs from the text that came.
    pub fn changed(&self) -> bool {
        matches!(self.text, Cow::Owned(_))
    }

    /// Where the characters from `start` to `end` of the plain text lie in the text that came.
    pub fn original(&self, start: usize, end: usize) -> (usize, usize) {
        if self.shifts.is_empty() || end <= start {
            return (start, end);
        }
        let mut last = end - 1;
        while !self.text.is_char_boundary(last) {
            last -= 1;
        }
        let last = self.place(last);
        let width = self.original.get(last..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        (self.place(start), last + width)
    }

    fn place(&self, at: usize) -> usize {
        match self.shifts.partition_point(|(plain, _)| *plain <= at).checked_sub(1).and_then(|n| self.shifts.get(n)) {
            Some((plain, original)) => original + (at - plain),
            None => at,
        }
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r')
}

/// What a character becomes; `None` if it is dropped.
fn plain_char(found: char) -> Option<char> {
    if found.is_ascii() {
        let found = if found == '\t' { ' ' } else { found };
        return (found >= ' ' && found != '\x7f' || matches!(found, '\n' | '\r')).then_some(found);
    }
    let code = u32::from(found);
    if !is_touched(code) {
        return Some(found);
    }
    if within(DROPPED.partition_point(|(from, _)| *from <= code), |at| DROPPED.get(at).map(|row| row.1), code) {
        return None;
    }
    let at = FOLDED.partition_point(|(from, ..)| *from <= code);
    let Some((from, to, first, rises)) = at.checked_sub(1).and_then(|at| FOLDED.get(at)) else { return Some(found) };
    if code > *to {
        return Some(found);
    }
    let step = if *rises { code - from } else { 0 };
    char::from_u32(u32::from(*first) + step)
}

/// Blocks of 64 characters, a bit each, in which any is folded or dropped. The letters of most alphabets lie in others, so that most
/// characters cost one look; those beyond are rare and looked up.
const TOUCHED: [u64; 32] = touched();
/// Characters that the blocks tell of.
const TOLD: u32 = 64 * 64 * 32;

fn is_touched(code: u32) -> bool {
    let block = code / 64;
    let bits = usize::try_from(block / 64).ok().and_then(|at| TOUCHED.get(at));
    bits.is_none_or(|bits| bits >> (block % 64) & 1 == 1)
}

const fn touched() -> [u64; 32] {
    let mut blocks = [0; 32];
    let mut at = 0;
    while at < FOLDED.len() {
        blocks = with(blocks, FOLDED[at].0, FOLDED[at].1);
        at += 1;
    }
    at = 0;
    while at < DROPPED.len() {
        blocks = with(blocks, DROPPED[at].0, DROPPED[at].1);
        at += 1;
    }
    blocks
}

const fn with(mut blocks: [u64; 32], from: u32, to: u32) -> [u64; 32] {
    let mut block = from / 64;
    while block <= to / 64 && block < TOLD / 64 {
        blocks[(block / 64) as usize] |= 1 << (block % 64);
        block += 1;
    }
    blocks
}

fn within(after: usize, to: impl Fn(usize) -> Option<u32>, code: u32) -> bool {
    after.checked_sub(1).and_then(to).is_some_and(|to| code <= to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_script_and_hidden_characters_become_plain() {
        for (given, expected) in [
            ("plain", "plain"),
            ("４１１１", "4111"),
            ("٤١١١", "4111"),
            ("४१", "41"),
            ("𝟒𝟏𝟭𝟷", "4111"),
            ("4\u{200b}1\u{ad}1\u{2060}1", "4111"),
            ("4\u{fe0f}\u{20e3}1", "41"),
            ("4\u{0}1\u{0}", "41"),
            ("a＠b．com", "a@b.com"),
            ("１２\u{a0}３４\u{2011}５６", "12 34-56"),
            ("Größe", "Größe"),
            ("12\t34\n56", "12 34\n56"),
            ("4\u{336}1", "41"),
            ("①②", "12"),
            ("⑴⒉⓷❹➄➏🄈᧚🄋", "123456710"),
            ("፩፱𐩁𐹨𑁒", "19291"),
            ("4\u{5b0}1\u{64b}1\u{483}1\u{488}1", "41111"),
            ("4\u{903}1\u{bbe}1\u{302e}1\u{1d165}1\u{1e944}1", "411111"),
            // One character of two digits would be two, and what a numeral means is not looked for.
            ("⑩⒑⓾❿ⅳ四〤", "⑩⒑⓾❿ⅳ四〤"),
        ] {
            assert_eq!(fold(given).text(), expected, "{given:?}");
        }
    }

    #[test]
    fn every_character_that_is_folded_or_dropped_is_looked_up() {
        let rows = FOLDED.iter().map(|row| (row.0, row.1)).chain(DROPPED.iter().copied());
        for code in rows.flat_map(|(from, to)| from..=to) {
            assert!(is_touched(code), "{code:x}");
        }
        for letter in ['ß', 'ё', '我', '한'] {
            assert!(!is_touched(u32::from(letter)), "{letter}");
        }
    }

    #[test]
    fn every_place_leads_back_to_the_character_it_came_from() {
        let given = "é\u{200b}４x\u{ad}\u{ad}5ß６";
        let folded = fold(given);
        assert_eq!(folded.text(), "é4x5ß6");
        let mut back = String::new();
        for (at, found) in folded.text().char_indices() {
            let (start, end) = folded.original(at, at + found.len_utf8());
            back.push_str(&given[start..end]);
        }
        assert_eq!(back, "é４x5ß６");
        let (start, end) = folded.original(2, 5);
        assert_eq!(&given[start..end], "４x\u{ad}\u{ad}5");
    }

    #[test]
    fn the_tables_are_in_order_and_fold_to_printable_ascii() {
        assert!(FOLDED.windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert!(DROPPED.windows(2).all(|pair| pair[0].1 < pair[1].0));
        for (from, to, first, rises) in FOLDED {
            assert!(from <= to);
            let last = u32::from(*first) + if *rises { to - from } else { 0 };
            assert!((0x20..0x7f).contains(&last), "{from:x}");
        }
    }
}
