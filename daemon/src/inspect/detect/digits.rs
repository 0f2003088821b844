//! Groups of digits as people write numbers: what the detectors of numbers have in common. Every look ahead and back is
//! bounded by a constant, so that the whole text is gone through once. Must not know what a number stands for.

/// Most digits that are looked at together; longer runs are no number of a person that is known here.
pub const MOST_DIGITS: usize = 24;
/// Most characters between two groups: ` - `.
const WIDEST_GAP: usize = 3;
/// How far before a number the word may stand that says what it is, bytes.
const BEFORE: usize = 48;
/// The same behind it: "(office)".
const AFTER: usize = 12;

/// The byte at a place, 0 where there is none. A real 0 byte cannot be in plain text.
pub fn at(bytes: &[u8], place: usize) -> u8 {
    bytes.get(place).copied().unwrap_or(0)
}

/// The byte before a place, 0 at the beginning.
pub fn before(bytes: &[u8], place: usize) -> u8 {
    place.checked_sub(1).map_or(0, |place| at(bytes, place))
}

/// A letter or digit, of whatever alphabet.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || byte == b'_'
}

/// Digits in groups, from one place of the text on.
#[derive(Debug, Default)]
pub struct Groups {
    digits: [u8; MOST_DIGITS],
    /// Digits of each group.
    sizes: [u8; MOST_DIGITS],
    /// Where each group ends, from `start` on, and how many digits there are until then. Both fit: a gap has three characters at most.
    ends: [u8; MOST_DIGITS],
    totals: [u8; MOST_DIGITS],
    start: usize,
    /// What stands before each group: its sign, a space if only that, 0 before the first.
    gaps: [u8; MOST_DIGITS],
    count: usize,
    /// Whether another group follows that had no room.
    pub more: bool,
}

impl Groups {
    /// Reads from `start`, where the first digit is.
    pub fn read(bytes: &[u8], start: usize) -> Groups {
        let mut groups = Groups { start, ..Groups::default() };
        let (mut place, mut gap, mut total) = (start, 0, 0);
        loop {
            let end = end_of_digits(bytes, place);
            let size = end - place;
            if total + size > MOST_DIGITS {
                groups.more = true;
                return groups;
            }
            for (to, digit) in groups.digits.iter_mut().skip(total).zip(bytes.iter().skip(place).take(size)) {
                *to = digit - b'0';
            }
            total += size;
            groups.push(size, end, total, gap);
            let Some((next, sign)) = next_group(bytes, end) else { return groups };
            (place, gap) = (next, sign);
        }
    }

    fn push(&mut self, size: usize, end: usize, total: usize, gap: u8) {
        let at = self.count;
        let small = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        if let (Some(to), Some(ends), Some(totals), Some(gaps)) =
            (self.sizes.get_mut(at), self.ends.get_mut(at), self.totals.get_mut(at), self.gaps.get_mut(at))
        {
            (*to, *ends, *totals, *gaps) = (small(size), small(end - self.start), small(total), gap);
            self.count += 1;
        }
    }

    /// How many groups there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The sizes of the first `count` groups.
    pub fn sizes(&self, count: usize) -> &[u8] {
        self.sizes.get(..count.min(self.count)).unwrap_or(&[])
    }

    /// How many digits the first `count` groups have.
    pub fn total(&self, count: usize) -> usize {
        count.checked_sub(1).and_then(|at| self.totals.get(at)).map_or(0, |total| usize::from(*total))
    }

    /// The digits of the first `count` groups, 0 to 9 each.
    pub fn digits(&self, count: usize) -> &[u8] {
        self.digits.get(..self.total(count)).unwrap_or(&[])
    }

    /// Where the first `count` groups end.
    pub fn end(&self, count: usize) -> usize {
        self.start + count.checked_sub(1).and_then(|at| self.ends.get(at)).map_or(0, |end| usize::from(*end))
    }

    /// Whether the groups begin with these sizes.
    pub fn begin_with(&self, sizes: &[u8]) -> bool {
        self.sizes(sizes.len()) == sizes
    }

    /// Whether all gaps within the first `count` groups are `sign`.
    pub fn all_gaps(&self, count: usize, sign: u8) -> bool {
        self.gaps.get(1..count.min(self.count)).is_some_and(|gaps| gaps.iter().all(|gap| *gap == sign))
    }
}

/// Where the digits from `place` on end.
pub fn end_of_digits(bytes: &[u8], place: usize) -> usize {
    place + bytes.iter().skip(place).take_while(|byte| byte.is_ascii_digit()).count()
}

/// The next group after a gap, and the sign of the gap: at most one of `-./+`, and spaces around it; a `.`, `/` or `+` has none.
fn next_group(bytes: &[u8], end: usize) -> Option<(usize, u8)> {
    let mut sign = b' ';
    for width in 0..=WIDEST_GAP {
        match at(bytes, end + width) {
            b'0'..=b'9' if width > 0 => {
                return (matches!(sign, b' ' | b'-') || width == 1).then_some((end + width, sign));
            }
            b' ' => {}
            found @ (b'-' | b'.' | b'/' | b'+') if sign == b' ' => sign = found,
            _ => return None,
        }
    }
    None
}

/// Whether a number may begin here: not within a word, nor as a later part of something longer.
pub fn begins(bytes: &[u8], start: usize) -> bool {
    let last = before(bytes, start);
    match last {
        b'-' | b'/' => !is_word(before(bytes, start - 1)),
        b'.' | b',' => !before(bytes, start - 1).is_ascii_digit(),
        _ => !is_word(last),
    }
}

/// Whether a number may end here.
pub fn ends(bytes: &[u8], end: usize) -> bool {
    match at(bytes, end) {
        b'-' | b'.' | b'/' | b',' => !at(bytes, end + 1).is_ascii_digit(),
        next => !is_word(next),
    }
}

/// Words that say what a number is: `whole` ones; beginnings of phrases; and `parts` of longer words.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    pub whole: &'static [&'static str],
    pub phrases: &'static [&'static str],
    pub parts: &'static [&'static str],
}

impl Words {
    /// Whether one of them stands before `start`, or in `hint`: what the text is called where it came from.
    pub fn before(&self, bytes: &[u8], start: usize, hint: &str) -> bool {
        self.within(bytes.get(start.saturating_sub(BEFORE)..start).unwrap_or(&[])) || self.within(hint.as_bytes())
    }

    /// Whether one of them stands behind `end`.
    pub fn behind(&self, bytes: &[u8], end: usize) -> bool {
        self.within(bytes.get(end..bytes.len().min(end + AFTER)).unwrap_or(&[]))
    }

    fn within(&self, bytes: &[u8]) -> bool {
        let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte >= 0x80;
        let mut rest = bytes;
        while let Some(begin) = rest.iter().position(is_letter) {
            rest = rest.get(begin..).unwrap_or(&[]);
            let len = rest.iter().position(|byte| !is_letter(byte)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(len);
            let same = |known: &&str| word.eq_ignore_ascii_case(known.as_bytes());
            let starts =
                |known: &&str| rest.get(..known.len()).is_some_and(|part| part.eq_ignore_ascii_case(known.as_bytes()));
            if self.whole.iter().any(same)
                || self.phrases.iter().any(starts)
                || self.parts.iter().any(|part| has(word, part))
            {
                return true;
            }
            rest = after;
        }
        false
    }
}

fn has(word: &[u8], part: &str) -> bool {
    word.len() >= part.len() && word.windows(part.len()).any(|some| some.eq_ignore_ascii_case(part.as_bytes()))
}

/// The last digit by Luhn's formula (ISO/IEC 7812-1, annex B) is right.
pub fn luhn(digits: &[u8]) -> bool {
    let sum = digits.iter().rev().enumerate().fold(0_u32, |sum, (at, digit)| {
        let digit = u32::from(*digit);
        sum + if at % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
    });
    sum.is_multiple_of(10)
}

/// The number that digits make; at most 19 of them.
pub fn number(digits: &[u8]) -> u64 {
    digits.iter().take(19).fold(0, |number, digit| number * 10 + u64::from(*digit))
}

/// A day that there can be; the 29th of February in any year, as the century is often not told.
pub fn is_day(month: u64, day: u64) -> bool {
    let last = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=last).contains(&day)
}

/// Not one digit again and again: such numbers pass many checks and are nobody's.
pub fn varied(digits: &[u8]) -> bool {
    digits.windows(2).any(|pair| pair.first() != pair.last())
}
