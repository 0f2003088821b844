//! Patterns of file names, in which each `*` stands for any characters, and what each stood for.

/// Most `*` of a pattern.
const MOST_STARS: usize = 8;
/// Longest pattern, bytes: that of a file name.
const MOST_BYTES: usize = 255;

/// A pattern of file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    /// What stands before, between and after the stars.
    parts: Vec<String>,
}

impl Glob {
    /// The pattern of this text, if it is one.
    pub fn parse(text: &str) -> Option<Glob> {
        let parts: Vec<String> = text.split('*').map(str::to_owned).collect();
        let is_name = !text.contains('/') && !text.chars().any(char::is_control);
        let is_one = is_name && (1..=MOST_BYTES).contains(&text.len()) && parts.len() <= MOST_STARS + 1;
        is_one.then(|| Glob { text: text.to_owned(), parts })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many stars it has.
    pub fn wildcards(&self) -> usize {
        self.parts.len().saturating_sub(1)
    }

    /// What each star stands for in this name, the first ones as little as they can; `None` if it does not match.
    pub fn captures<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        let (first, rest) = self.parts.split_first()?;
        let mut left = name.strip_prefix(first.as_str())?;
        let Some((last, middle)) = rest.split_last() else { return left.is_empty().then(Vec::new) };
        left = left.strip_suffix(last.as_str())?;
        let mut captures = Vec::new();
        for part in middle {
            let (captured, below) = left.split_once(part.as_str())?;
            captures.push(captured);
            left = below;
        }
        captures.push(left);
        Some(captures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_star_says_what_it_stood_for() {
        for (pattern, name, captures) in [
            ("*", "a.jpg", Some(vec!["a.jpg"])),
            ("*.jpg", "a.jpg", Some(vec!["a"])),
            ("*.jpg", "a.png", None),
            ("cam-*_*.jpg", "cam-7_0042_x.jpg", Some(vec!["7", "0042_x"])),
            ("cam-*_*.jpg", "cam-7.jpg", None),
            ("a.jpg", "a.jpg", Some(vec![])),
            ("a.jpg", "a.jpgx", None),
            ("aa*aa", "aaa", None),
            ("*a*", "xay", Some(vec!["x", "y"])),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().captures(name), captures, "{pattern} {name}");
        }
        for text in ["", "a/b", "a\n", "*********", &"x".repeat(256)] {
            assert_eq!(Glob::parse(text), None, "{text:?}");
        }
    }
}
