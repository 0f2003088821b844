//! Looks into payloads: what of them is text (`text`, `json`, `escapes`), which personal data is in it (`detect`), how long it is (`tokens`);
//! what a text is without it (`redact`); and whether a local answer is to be doubted (`answer`). Pure functions of bytes and
//! the operator's rules: no clock, no file, no log. Must not know of sites, budgets or load; what follows is the core's to decide.

pub mod answer;
pub mod detect;
pub mod escapes;
pub mod json;
pub mod redact;
pub mod text;
pub mod tokens;

use edge_core::DataClass;

use detect::rules::ClassRules;
use detect::{Detectors, KindSet};
use text::{Readable, Seen, Source, Why};

/// What a look into a payload found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Kinds of personal data.
    pub found: KindSet,
    /// The data class may be no freer than this; `None` if nothing forbids anything. It can only make a class stricter.
    pub cap: Option<DataClass>,
    /// Why it could not be read, in which case the cap is the strictest class.
    pub unreadable: Option<Why>,
    /// Parts that are no text: pictures, sounds, tensors of numbers. Nothing was looked for in them.
    pub media: usize,
    /// Messages of a chat.
    pub messages: usize,
    /// Estimated tokens of the text.
    pub tokens: u64,
    /// Bytes of the text.
    pub bytes: usize,
}

/// Looks into all parts of one payload.
pub fn look<'a>(sources: impl IntoIterator<Item = Source<'a>>, detectors: &Detectors, rules: &ClassRules) -> Look {
    let mut found = KindSet::EMPTY;
    let seen = sources
        .into_iter()
        .map(|source| text::texts(source, |name, text| found = found.union(kinds(text, name, detectors))))
        .reduce(Seen::and);
    let Some(seen) = seen else {
        return Look { found, cap: None, unreadable: None, media: 0, messages: 0, tokens: 0, bytes: 0 };
    };
    let unread = match &seen.readable {
        Readable::Unreadable(_) => Some(DataClass::Regulated),
        Readable::NotText => rules.not_text,
        Readable::Text => rules.not_text.filter(|_| seen.media > 0),
    };
    let cap = rules.cap(found).into_iter().chain(unread).min();
    let unreadable = match seen.readable {
        Readable::Unreadable(why) => Some(why),
        Readable::Text | Readable::NotText => None,
    };
    Look { found, cap, unreadable, media: seen.media, messages: seen.messages, tokens: seen.tokens, bytes: seen.bytes }
}

/// Which kinds are in a text as it stands, and with the escapes undone that are in it.
fn kinds(text: &str, name: &str, detectors: &Detectors) -> KindSet {
    let found = detectors.kinds(text, name);
    escapes::undone(text).map_or(found, |undone| found.union(detectors.kinds(&undone, name)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use DataClass::{Internal, Regulated};

    fn cap(source: Source<'_>, not_text: Option<DataClass>) -> Option<DataClass> {
        let mut rules = ClassRules::new(0);
        rules.not_text = not_text;
        look([source], &Detectors::new(&BTreeMap::new()).unwrap(), &rules).cap
    }

    #[test]
    fn the_cap_is_the_strictest_of_what_was_found_and_what_could_not_be_read() {
        let text = |text: &'static str| Source::Encoded { content_type: "text/plain", bytes: text.as_bytes() };
        let picture = Source::Encoded { content_type: "image/png", bytes: b"\x89PNG" };
        let with_picture = Source::Chat(
            br#"{"messages":[{"role":"user","content":[{"image_url":{"url":"data:image/png;base64,AA=="}}]}]}"#,
        );
        for (source, not_text, expected) in [
            (text("nothing"), None, None),
            (text("nothing"), Some(Internal), None),
            (text("203.0.113.7"), None, Some(Internal)),
            (text("a@b.com from 203.0.113.7"), None, Some(Regulated)),
            (Source::Encoded { content_type: "text/plain", bytes: b"\xff" }, None, Some(Regulated)),
            (Source::Encoded { content_type: "application/zip", bytes: b"PK" }, None, Some(Regulated)),
            (Source::Chat(b"{"), None, Some(Regulated)),
            (picture, None, None),
            (picture, Some(Internal), Some(Internal)),
            (with_picture, None, None),
            (with_picture, Some(Internal), Some(Internal)),
            (Source::Chat(br#"{"messages":[{"role":"user","content":"a\u0040b.com"}]}"#), None, Some(Regulated)),
            (
                Source::Chat(br#"{"messages":[{"role":"user","content":"a@b.com","content":"x"}]}"#),
                None,
                Some(Regulated),
            ),
            (
                Source::Tensor { name: "phone", datatype: "BYTES", bytes: b"\x08\0\0\x00467 3395" },
                None,
                Some(Regulated),
            ),
        ] {
            assert_eq!(cap(source, not_text), expected, "{source:?}");
        }
    }

    #[test]
    fn a_text_is_read_with_its_escapes_undone_whatever_stands_around_them() {
        let deep = "[".repeat(200) + r#"{"a":"a\u0040b.com"}"# + &"]".repeat(200);
        for text in [
            deep.as_str(),
            "{\"a\":1}\n{\"a\":\"a\\u0040b.com\"}",
            r#""a\u0040b.com""#,
            r#"here: {"a":"a\u0040b.com"}"#,
            "\u{feff}{\"a\":\"a\\u0040b.com\"}",
            r#"{"a":"a\u0040b.com""#,
            r"a\\\u0040b.com",
            "4111\t1111\t1111\t1111",
            "4111\u{2003}1111\u{3000}1111\u{205f}1111",
            r"4111\t1111\t1111\t1111",
        ] {
            let chat = serde_json::json!({ "messages": [{ "role": "user", "content": text }], text: 1 }).to_string();
            let length = u32::try_from(text.len()).unwrap().to_le_bytes();
            let element = [&length, text.as_bytes()].concat();
            for source in [
                Source::Chat(chat.as_bytes()),
                Source::Encoded { content_type: "text/plain", bytes: text.as_bytes() },
                Source::Tensor { name: "x", datatype: "BYTES", bytes: &element },
            ] {
                assert_eq!(cap(source, None), Some(Regulated), "{source:?}");
            }
        }
        let harmless =
            r#"{"messages":[{"role":"user","content":"C:\\temp\\new {\"a\":\"\\u00e9\"} \\d+ \ud83d\ude00"}]}"#;
        assert_eq!(cap(Source::Chat(harmless.as_bytes()), None), None);
    }

    #[test]
    fn an_element_that_is_no_text_is_a_picture_or_cannot_be_read() {
        let element = |content: &[u8]| [&u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat();
        for (content, expected) in [
            (b"\xe9 a@b.com".as_slice(), Some(Regulated)),
            (b"a@b.com \xe9", Some(Regulated)),
            (b"caf\xe9", Some(Regulated)),
            (b"\xff\xfea\0@\0", Some(Regulated)),
            (b"\x89PNG\r\n\x1a\n\xff", None),
            (b"\xff\xd8\xff\xe0", None),
            (b"RIFF\xff\0\0\0WEBPVP8 ", None),
            (b"RIFF\xff\0\0\0\xff\xff\xff\xff", Some(Regulated)),
        ] {
            let bytes = element(content);
            assert_eq!(
                cap(Source::Tensor { name: "x", datatype: "BYTES", bytes: &bytes }, None),
                expected,
                "{bytes:?}"
            );
        }
        let both = [element(b"\xff"), element(b"203.0.113.7")].concat();
        let source = Source::Tensor { name: "x", datatype: "BYTES", bytes: &both };
        let seen = look([source], &Detectors::new(&BTreeMap::new()).unwrap(), &ClassRules::new(0));
        assert!(!seen.found.is_empty(), "what comes behind it is read all the same");
        assert_eq!(
            seen.unreadable.unwrap().to_string(),
            "element 0 of tensor x: byte 0 is not UTF-8, and it is no picture or sound that is known"
        );
    }
}
