//! Texts that were read: how many are right to the character, and how many characters are wrong.

use super::share;

/// Share of texts that are as they should be; each with what was read and what stands there.
pub fn exact(texts: &[(&str, &str)]) -> f64 {
    share(texts.iter().filter(|(given, right)| given == right).count(), texts.len())
}

/// Characters that have to be put in, taken out or changed to make what was read what stands there, over the characters that
/// stand there, of all texts together; above 1 where more was read than stands there. `None` if nothing stands anywhere.
pub fn character_error_rate(texts: &[(&str, &str)]) -> Option<f64> {
    let characters: usize = texts.iter().map(|(_, right)| right.chars().count()).sum();
    let edits: usize = texts.iter().map(|(given, right)| distance(given, right)).sum();
    (characters > 0).then(|| share(edits, characters))
}

/// The distance of Levenshtein, in characters.
pub fn distance(given: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, character) in given.chars().enumerate() {
        let mut corner = at;
        let mut left = at + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let up = *cell;
            left = (corner + usize::from(character != *other)).min(left + 1).min(up + 1);
            corner = std::mem::replace(cell, left);
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_known_ones() {
        for (given, right, wanted) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("saturday", "sunday", 3),
            ("flaw", "lawn", 2),
            ("LOT 4711", "LOT:4711", 1),
            ("ä", "a", 1),
            ("aä€", "aä€", 0),
        ] {
            assert_eq!((distance(given, right), distance(right, given)), (wanted, wanted), "{given} {right}");
        }
    }

    #[test]
    fn rates_are_of_all_characters_together() {
        let texts = [("abc", "abc"), ("ab", "abc"), ("", "abcd")];
        assert!((exact(&texts) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(character_error_rate(&texts), Some(0.5));
        assert_eq!(character_error_rate(&[("abcd", "ab")]), Some(1.0));
        assert_eq!((character_error_rate(&[("a", "")]), exact(&[])), (None, 0.0));
    }
}
