//! How much of a text is said again: the share of its groups of four words that stood before in it, 0 to 1. It is rep-4 of Welleck and others
//! ("Neural Text Generation with Unlikelihood Training", 2020). Loops of language models are of words, and four of them seldom
//! come again by chance, in lists and code either; a loop of any length and at any place raises it, which a look at the
//! end alone or at single words would not tell.

use std::collections::HashSet;

/// Words of a group.
const GROUP: usize = 4;
/// Texts with fewer groups say too little.
const FEWEST: usize = 16;
/// A longer word is cut, so that a letter again and again is a loop too. Bytes.
const LONGEST: usize = 12;
/// Words that are looked at: the end of the text, where loops are.
const MOST: usize = 8192;

/// The share; `None` if the text is too short to say.
pub fn repetition(text: &str) -> Option<f64> {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        cut(word, &mut words);
    }
    let words = words.get(words.len().saturating_sub(MOST)..)?;
    let groups: Vec<&[&str]> = words.windows(GROUP).collect();
    if groups.len() < FEWEST {
        return None;
    }
    let different = groups.iter().collect::<HashSet<_>>().len();
    let all = u32::try_from(groups.len()).ok()?;
    let again = u32::try_from(groups.len() - different).ok()?;
    Some(f64::from(again) / f64::from(all))
}

/// A word, or its parts: pieces of at most [`LONGEST`] bytes; every character of scripts that are written without spaces.
fn cut<'a>(word: &'a str, words: &mut Vec<&'a str>) {
    let mut start = 0;
    for (at, character) in word.char_indices() {
        let alone = matches!(u32::from(character), 0x0e00..=0x0eff | 0x1000..=0x109f | 0x3000..=0x9fff | 0xf900..=0xfaff | 0x20000..);
        if at > start && (alone || at - start >= LONGEST) {
            words.extend(word.get(start..at));
            start = at;
        }
    }
    words.extend(word.get(start..).filter(|rest| !rest.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::repetition;

    #[test]
    fn loops_are_near_one_and_prose_near_zero() {
        let prose = include_str!("../../../../docs/questions.md");
        let share = repetition(prose).unwrap();
        assert!(share < 0.1, "{share}");
        for looped in [
            "I am sorry, but I cannot help with that. ".repeat(20),
            "a".repeat(2000),
            "我不知道。".repeat(50),
            format!("A good beginning of an answer. {}", "and then and then ".repeat(30)),
        ] {
            let share = repetition(&looped).unwrap();
            assert!(share > 0.7, "{share}: {looped}");
        }
        assert_eq!(repetition("yes yes yes yes"), None);
        assert_eq!(repetition(""), None);
    }
}
