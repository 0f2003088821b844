//! A text word by word.

use std::borrow::Cow;

/// The text with each word, a row of characters that are all `part` of one, as `instead` has it.
pub fn replaced(text: &str, part: impl Fn(char) -> bool, instead: impl Fn(&str) -> Cow<'_, str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(&part) {
        let (before, from) = rest.split_at(begin);
        let end = from.find(|char| !part(char)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        out.push_str(before);
        out.push_str(&instead(word));
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_words_stays_as_it_is() {
        let found = replaced("-é1, 22;x333", |char| char.is_ascii_digit(), |word| word.len().to_string().into());
        assert_eq!(found, "-é1, 2;x3");
        assert_eq!(replaced("", |_| true, |word| word.into()), "");
        assert_eq!(replaced("abc", |_| true, |word| word.into()), "abc");
    }
}
