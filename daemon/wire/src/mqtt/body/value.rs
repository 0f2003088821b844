//! Small values: texts, the values of options, base64.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::strict;

/// Standard base64, its padding optional: some encoders leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The kind of a value that stands for none.
const NULL: &str = "null";

/// The value of an option, as far as JSON tells kinds apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number.
    Int(i128),
    /// A text.
    Text(Cow<'a, str>),
    /// True or false.
    Bool(bool),
    /// Anything else, by the name of its kind.
    Other(&'static str),
}

/// A text, borrowed where it holds no escapes.
pub(super) struct Word<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Word<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Word<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Text)
    }
}

/// Base64 in a text, decoded.
pub(super) struct Base64;

impl<'de> DeserializeSeed<'de> for Base64 {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<u8>, D::Error> {
        let Word(text) = Word::deserialize(from)?;
        BASE64.decode(text.as_bytes()).map_err(|fault| de::Error::custom(format_args!("not base64: {fault}")))
    }
}

/// Reads the value of an option that lies `depth` levels deep; arrays and objects are checked, but not kept.
pub(super) fn read<'de, A: MapAccess<'de>>(map: &mut A, depth: usize) -> Result<Value<'de>, A::Error> {
    let raw: &'de RawValue = map.next_value()?;
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'[') => strict::check(text, depth).map(|()| Value::Other("array")),
        Some(b'{') => strict::check(text, depth).map(|()| Value::Other("object")),
        Some(b'n') => Ok(Value::Other(NULL)),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        Some(b'"') => match serde_json::from_str::<Word<'de>>(text) {
            Ok(Word(text)) => Ok(Value::Text(text)),
            Err(fault) => Err(de::Error::custom(fault)),
        },
        _ => Ok(text.parse().map_or(Value::Other("number"), Value::Int)),
    }
}

/// The value of `id`: a whole number is as good as its text, and null means that there is none.
pub(super) fn as_id(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Int(number) => Some(Value::Text(number.to_string().into())),
        Value::Other(NULL) => None,
        other => Some(other),
    }
}

/// The start of a caller's word.
pub(super) fn short(word: &str) -> String {
    const MOST: usize = 64;
    let mut start: String = word.chars().take(MOST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if word.chars().nth(MOST).is_some() {
        start.push('…');
    }
    start
}
