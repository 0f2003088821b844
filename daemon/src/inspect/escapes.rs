//! Undoes the escapes of JSON wherever they stand, also in texts that are no whole document: several documents on lines, a document
//! behind some words, half of one, one that lies too deep to be opened. Must not know what is done with the text.

/// `\uXXXX`
const CODE: usize = 6;
/// What stands for half of a pair whose other half is missing.
const HALF: char = char::REPLACEMENT_CHARACTER;

/// The text with all escapes undone, those too that only show when others are: `\\u0040` becomes `@`. `None` if there are none.
/// Each escape that is undone makes the text shorter, so that the time grows with the length alone however deep they lie.
pub fn undone(text: &str) -> Option<String> {
    let first = text.find('\\')?;
    let mut out = Undone { text: String::with_capacity(text.len()), high: None };
    let (plain, rest) = text.split_at(first);
    out.text.push_str(plain);
    for found in rest.chars() {
        out.push(found);
    }
    (out.text != text).then_some(out.text)
}

struct Undone {
    text: String,
    /// The first half of a pair, and where its stand-in ends.
    high: Option<(u32, usize)>,
}

impl Undone {
    fn push(&mut self, found: char) {
        let mut next = Some(found);
        while let Some(found) = next {
            self.text.push(found);
            next = self.reduced();
        }
    }

    /// Takes the escape away that the text ends with, and says what it stands for.
    fn reduced(&mut self) -> Option<char> {
        let bytes = self.text.as_bytes();
        if let [.., b'\\', sign] = bytes
            && let Some(becomes) = short(*sign)
        {
            self.text.truncate(bytes.len() - 2);
            return Some(becomes);
        }
        let tail = bytes.last_chunk::<CODE>()?;
        let [b'\\', b'u', digits @ ..] = tail else { return None };
        let digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
        let code = digits.reduce(|code, digit| Some(code? << 4 | digit?)).flatten()?;
        self.text.truncate(bytes.len() - CODE);
        match code {
            0xd800..=0xdbff => {
                self.text.push(HALF);
                self.high = Some((code, self.text.len()));
                None
            }
            0xdc00..=0xdfff => {
                let first = self.high.take().filter(|(_, end)| *end == self.text.len());
                let Some((first, end)) = first else { return Some(HALF) };
                self.text.truncate(end - HALF.len_utf8());
                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (code - 0xdc00))
            }
            code => char::from_u32(code),
        }
    }
}

/// What a backslash and this letter stand for.
fn short(sign: u8) -> Option<char> {
    Some(match sign {
        b'"' | b'\\' | b'/' => char::from(sign),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_wherever_and_however_deep_they_stand() {
        for (given, expected) in [
            ("plain", None),
            (r"a\d+ C:\x \u00g0 \u12", None),
            (r"a\u0040b.com", Some("a@b.com")),
            (r#"say \"a\u0040b.com\""#, Some(r#"say "a@b.com""#)),
            (r"a\\u0040b.com", Some("a@b.com")),
            (r"a\\\\\\\\u0040b.com", Some("a@b.com")),
            (r"a\u005cu0040b.com", Some("a@b.com")),
            (r"a\u00\u003400b.com", Some("a@0b.com")),
            (r"4111\t1111\n\/\b\f\r", Some("4111\t1111\n/\u{8}\u{c}\r")),
            (r"\ud835\udfd2!", Some("𝟒!")),
            (r"\ud835x\udfd2", Some("\u{fffd}x\u{fffd}")),
            (r"\ud835", Some("\u{fffd}")),
            (r"é\u00e9\", Some(r"éé\")),
        ] {
            assert_eq!(undone(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_escapes_takes_time_that_grows_with_its_length() {
        // Undone one layer after the other this would take as many rounds as there are layers.
        let layers = r"\u005c".to_owned() + &"u005c".repeat(400_000) + "u0040";
        assert_eq!(undone(&layers).as_deref(), Some("@"));
        assert_eq!(undone(&r"\\".repeat(1 << 20)).as_deref(), Some(r"\"));
    }
}
