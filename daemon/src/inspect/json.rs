//! Goes through a JSON document and tells every text in it: names of fields, strings with their escapes undone, and whole numbers
//! that are long enough to mean a person. Fields that stand twice are both told, and documents within strings are opened.
//! Must not know what is done with a text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A number with fewer digits is nobody's.
const SMALLEST: u64 = 1_000_000;
/// How many documents may lie in each other's strings; what lies deeper is read as the text that it is.
const DEEPEST: u8 = 4;

/// Takes each text: what it is called (the name of the nearest field), and itself.
pub trait Take {
    /// A text.
    fn text(&mut self, name: &str, text: &str);
}

/// Tells every text of a document.
///
/// # Errors
/// What is not JSON, with its place. What came before the fault was told.
pub fn walk(document: &[u8], take: &mut impl Take) -> Result<(), serde_json::Error> {
    nested(document, "", DEEPEST, take)
}

fn nested(document: &[u8], name: &str, left: u8, take: &mut impl Take) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(document);
    Part { name, left, take }.deserialize(&mut reader)?;
    reader.end()
}

/// Whether a string may be a document of its own.
pub fn may_be_document(text: &str) -> bool {
    text.trim_start_matches(|character: char| character.is_whitespace() || character == '\u{feff}')
        .starts_with(['{', '['])
}

struct Part<'a, T> {
    name: &'a str,
    left: u8,
    take: &'a mut T,
}

impl<T: Take> Part<'_, T> {
    fn number(self, number: impl fmt::Display) {
        self.take.text(self.name, &number.to_string());
    }
}

impl<'de, T: Take> DeserializeSeed<'de> for Part<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Take> Visitor<'de> for Part<'_, T> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.take.text(self.name, text);
        if self.left > 0 && may_be_document(text) {
            // If it is none, it was told as a text; whoever takes that undoes the escapes in it.
            nested(text.trim_start_matches('\u{feff}').as_bytes(), self.name, self.left - 1, self.take).ok();
        }
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        if number >= SMALLEST {
            self.number(number);
        }
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        if number.fract() == 0.0 && number.abs() >= 1e6 && number.abs() < 1e20 {
            self.number(number.abs());
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Part { name: self.name, left: self.left, take: self.take })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            self.take.text("", &name);
            map.next_value_seed(Part { name: &name, left: self.left, take: self.take })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Take for Vec<(String, String)> {
        fn text(&mut self, name: &str, text: &str) {
            self.push((name.to_owned(), text.to_owned()));
        }
    }

    fn told(document: &str) -> Vec<String> {
        let mut told = Vec::new();
        walk(document.as_bytes(), &mut told).unwrap();
        told.into_iter().map(|(name, text)| format!("{name}={text}")).collect()
    }

    #[test]
    fn every_string_name_and_long_number_is_told_with_escapes_undone() {
        assert_eq!(
            told(r#"{"mail":"a\u0040b.com","n":[1,4111111111111111,-12345678,0.5,1e7,true,null],"mail":"x"}"#),
            ["=mail", "mail=a@b.com", "=n", "n=4111111111111111", "n=12345678", "n=10000000", "=mail", "mail=x"]
        );
    }

    #[test]
    fn documents_within_strings_are_opened_to_a_depth() {
        let mut document = r#"{"mail":"a\u0040b.com"}"#.to_owned();
        for _ in 0..3 {
            document = serde_json::json!({ "arguments": document }).to_string();
        }
        assert!(told(&document).contains(&"mail=a@b.com".to_owned()));
        assert_eq!(told(r#"{"a":"{no"}"#), ["=a", "a={no"]);
    }

    #[test]
    fn what_is_no_document_is_a_fault_with_its_place() {
        for (document, part) in [("{", "line 1 column 1"), ("{} x", "trailing"), ("\"\\ud800\"", "line 1"), ("", "EOF")]
        {
            let fault = walk(document.as_bytes(), &mut Vec::new()).unwrap_err().to_string();
            assert!(fault.contains(part), "{document}: {fault}");
        }
        let deep = "[".repeat(1000);
        assert!(walk(deep.as_bytes(), &mut Vec::new()).unwrap_err().to_string().contains("recursion"));
    }
}
