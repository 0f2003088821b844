//! A text as numbers: hashed pieces of its words, and a few plain properties. Must not know what is learnt from them.
//!
//! Pieces are the 3, 4 and 5 letters in a row of each word, with a space before and behind it (`char_wb` in scikit-learn's
//! words). Each falls into one of [`BUCKETS`] with a sign, both from its hash, so that collisions cancel on average (Weinberger et
//! al., "Feature hashing for large scale multitask learning", ICML 2009). A bucket's value is `sign(n) ln(1 + |n|)`, and
//! the vector has length 1, so that a long text weighs no more than a short one.

/// Buckets of pieces of words: 1,000 texts have some 30,000 pieces, of which few come twice, and more buckets gained nothing.
pub const BUCKETS: usize = 1 << 13;
/// Plain properties of a text.
pub const PLAIN: usize = 12;
/// All that a text has: buckets, then plain properties.
pub const WIDTH: usize = BUCKETS + PLAIN;
/// What is read of a text, bytes. What a question is stands at its beginning, and scoring has a bound.
pub const READ_BYTES: usize = 16 << 10;
/// Letters of a word that are looked at.
const WORD: usize = 64;
/// Shortest and longest piece, letters.
const PIECES: (usize, usize) = (3, 5);

/// Reads texts. Its memory is taken once and used again.
#[derive(Clone, Debug)]
pub struct Reader {
    counts: Vec<i32>,
    touched: Vec<u16>,
    word: Vec<char>,
    logs: Vec<f32>,
    /// What the last text is.
    pub seen: Sketch,
}

/// A text as numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// Bucket and value, each bucket once, in the order of the text.
    pub pieces: Vec<(u16, f32)>,
    /// As they are, neither centred nor scaled.
    pub plain: [f32; PLAIN],
    /// A hash of each word, in its order.
    pub words: Vec<u16>,
    /// Length of the whole text, bytes.
    pub bytes: usize,
}

impl Default for Reader {
    fn default() -> Reader {
        let logs = (0_u16..256).map(|count| f32::from(count).ln_1p()).collect();
        Reader { counts: vec![0; BUCKETS], touched: Vec::new(), word: Vec::new(), logs, seen: Sketch::default() }
    }
}

impl Reader {
    /// The text as numbers.
    pub fn read(&mut self, text: &str) -> &Sketch {
        let part = &text[..text.floor_char_boundary(READ_BYTES)];
        self.seen.bytes = text.len();
        self.seen.words.clear();
        for word in part.split_whitespace() {
            self.word.clear();
            self.word.push(' ');
            self.word.extend(word.chars().flat_map(char::to_lowercase).take(WORD));
            self.word.push(' ');
            let core = word.trim_matches(|letter: char| !letter.is_alphanumeric());
            if !core.is_empty() {
                let hash = core.chars().flat_map(char::to_lowercase).take(WORD).fold(SEED, step);
                self.seen.words.push(low(mixed(hash)));
            }
            self.pieces();
        }
        self.weigh();
        self.seen.plain = plain(part);
        &self.seen
    }

    /// Counts the pieces of the word.
    fn pieces(&mut self) {
        for start in 0..self.word.len() {
            let mut hash = SEED;
            for (at, letter) in self.word[start..].iter().take(PIECES.1).enumerate() {
                hash = step(hash, *letter);
                if at + 1 < PIECES.0 {
                    continue;
                }
                let piece = mixed(hash);
                let bucket = low(piece) & low(BUCKETS as u64 - 1);
                let count = &mut self.counts[usize::from(bucket)];
                if *count == 0 {
                    self.touched.push(bucket);
                }
                *count += if piece >> 63 == 0 { 1 } else { -1 };
            }
        }
    }

    /// From counts to values, and the counts back to nothing.
    fn weigh(&mut self) {
        self.seen.pieces.clear();
        let mut squares = 0.0;
        for bucket in self.touched.drain(..) {
            let count = std::mem::take(&mut self.counts[usize::from(bucket)]);
            // Its pieces cancelled, or it was touched again after they had.
            if count == 0 {
                continue;
            }
            let log = usize::try_from(count.unsigned_abs()).ok().and_then(|count| self.logs.get(count));
            let size = log.or(self.logs.last()).copied().unwrap_or_default();
            squares += size * size;
            self.seen.pieces.push((bucket, if count < 0 { -size } else { size }));
        }
        let length = squares.sqrt().max(f32::MIN_POSITIVE);
        self.seen.pieces.iter_mut().for_each(|(_, value)| *value /= length);
    }
}

/// Start of FNV-1a, 64 bits.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// One letter more: FNV-1a over whole letters. Written out, as what it gives stands in files.
const fn step(hash: u64, letter: char) -> u64 {
    (hash ^ letter as u64).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Spreads a hash over all its bits (the finish of splitmix64).
pub(super) const fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The lowest 16 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
const fn low(hash: u64) -> u16 {
    hash as u16
}

/// Length, digits, signs of formulas, form of the question.
fn plain(text: &str) -> [f32; PLAIN] {
    let (mut letters, mut digits, mut capitals, mut spaces, mut lines, mut signs, mut blanks) = (0, 0, 0, 0, 0, 0, 0);
    for letter in text.bytes() {
        letters += 1;
        match letter {
            b'0'..=b'9' => digits += 1,
            b'A'..=b'Z' => capitals += 1,
            b'\n' => lines += 1,
            b' ' => spaces += 1,
            b'$' | b'\\' | b'=' | b'^' | b'+' | b'<' | b'>' => signs += 1,
            b'_' => blanks += 1,
            _ => {}
        }
    }
    let count = |number: u16| f32::from(number);
    let share = |number: u16| f32::from(number) / count(letters).max(1.0);
    let is = |yes: bool| if yes { 1.0 } else { 0.0 };
    let length = count(letters).ln_1p();
    let first = text.lines().next().unwrap_or_default();
    let denies = text.split_whitespace().any(|word| {
        let word = word.trim_matches(|letter: char| !letter.is_ascii_alphabetic());
        ["not", "except", "false"].iter().any(|wanted| word.eq_ignore_ascii_case(wanted))
    });
    [
        length,
        length * length,
        count(digits).ln_1p(),
        share(digits),
        is(signs > 0),
        is(blanks > 0),
        is(first.trim_end().ends_with('?')),
        is(text.contains('?')),
        is(denies),
        count(lines).ln_1p(),
        share(spaces),
        share(capitals),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_text_is_the_one_that_files_were_written_with() {
        let mut reader = Reader::default();
        let seen = reader.read("Why is the sky blue?").clone();
        let sum: u64 = seen.pieces.iter().map(|(bucket, _)| u64::from(*bucket)).sum();
        assert_eq!((seen.pieces.len(), seen.words.len(), sum), (33, 5, 141_499));
    }

    #[test]
    fn a_text_gives_the_same_numbers_whatever_was_read_before() {
        let mut reader = Reader::default();
        let first = reader.read("What is 2 + 2?").clone();
        reader.read(&"A much longer text, with other words in it. ".repeat(99));
        assert_eq!(reader.read("What is 2 + 2?"), &first);
        assert_eq!(reader.read("WHAT  IS 2 + 2?").pieces, first.pieces, "neither case nor spaces tell anything");
        let length: f32 = first.pieces.iter().map(|(_, value)| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }

    #[test]
    fn odd_texts_have_finite_numbers_and_a_bound() {
        let mut reader = Reader::default();
        for text in ["", " ", "\0", "\u{1F600}", "ß", &"é".repeat(100_000), &"x ".repeat(50_000), "İİİ \u{301}"] {
            let seen = reader.read(text);
            assert!(seen.plain.iter().all(|value| value.is_finite()));
            assert!(seen.pieces.iter().all(|(bucket, value)| usize::from(*bucket) < BUCKETS && value.is_finite()));
            assert!(seen.words.len() <= READ_BYTES && seen.bytes == text.len());
        }
    }
}
