//! The answer of a server that speaks the Open Inference Protocol, read once, straight into bytes.
//!
//! Decides syntax, as the request's side does, but takes what the protocol leaves to servers: keys that nobody knows, `null`
//! for nothing, arrays inside the array. Must not know what was asked, or what the model gives.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::input::{Inputs, Side};
use super::value::{Word, short};
use super::{BodyError, Place, Raw, Tensor};

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// `outputs`; ranges are relative to the payload.
    Outputs(Vec<Tensor>),
    /// `error`, as text.
    Error(String),
}

/// Reads an answer: JSON, or `header_len` bytes of JSON with the raw bytes of every output that has
/// `parameters.binary_data_size` behind it, in order.
pub fn parse(payload: &[u8], header_len: Option<usize>) -> Result<Answer, BodyError> {
    let Some(header_len) = header_len else { return read(payload, None) };
    let Some((header, raw)) = payload.split_at_checked(header_len) else {
        let len = payload.len();
        return Err(BodyError(format!("Inference-Header-Content-Length: {header_len}, but the body has {len} bytes")));
    };
    read(header, Some(Raw { start: header_len, len: raw.len() }))
}

fn read(json: &[u8], raw: Option<Raw>) -> Result<Answer, BodyError> {
    let text = std::str::from_utf8(json)
        .map_err(|fault| BodyError(format!("body: invalid UTF-8 at byte {}", fault.valid_up_to())))?;
    let place = Place::default();
    let mut from = serde_json::Deserializer::from_str(text);
    let read = Top { place: &place, raw }.deserialize(&mut from).and_then(|answer| {
        place.enter("");
        from.end().map(|()| answer)
    });
    read.map_err(|fault| {
        let field = place.to_string();
        BodyError(if field.is_empty() { format!("body: {fault}") } else { format!("{field}: {fault}") })
    })
}

struct Top<'p> {
    place: &'p Place,
    raw: Option<Raw>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Answer;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Answer, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Answer;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Answer, A::Error> {
        let (mut outputs, mut error) = (None, None);
        while let Some(Word(key)) = map.next_key()? {
            let twice = match key.as_ref() {
                "outputs" => {
                    self.place.enter(Side::Answer.key());
                    let seed = Inputs { side: Side::Answer, place: self.place, raw: self.raw };
                    outputs.replace(map.next_value_seed(seed)?).is_some()
                }
                "error" => {
                    self.place.enter("error");
                    error = map.next_value::<Option<Said>>()?.or(error);
                    false
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            self.place.enter("");
            if twice {
                return Err(de::Error::custom(format_args!("key \"{}\" is given twice", short(&key))));
            }
        }
        match (error, outputs) {
            (Some(Said(text)), _) => Ok(Answer::Error(text)),
            (None, Some(outputs)) => Ok(Answer::Outputs(outputs)),
            (None, None) => Err(de::Error::custom("neither `outputs` nor `error` is in it")),
        }
    }
}

/// What a server says went wrong: a text, or something else, which is kept as JSON.
struct Said(String);

impl<'de> de::Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Said, D::Error> {
        let raw: &serde_json::value::RawValue = de::Deserialize::deserialize(from)?;
        let text = serde_json::from_str::<Cow<'_, str>>(raw.get());
        Ok(Said(text.map_or_else(|_| raw.get().to_owned(), Cow::into_owned)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Data;
    use super::*;

    #[test]
    fn outputs_come_in_json_or_behind_the_header_and_what_is_not_known_is_passed_over() {
        let json = br#"{"model_name":"m","parameters":null,"outputs":[{"name":"y","datatype":"FP32","shape":[2,1],
            "parameters":null,"extra":{"a":[1]},"data":[[0.5],[2]]}]}"#;
        let Ok(Answer::Outputs(outputs)) = parse(json, None) else { panic!("{:?}", parse(json, None)) };
        let bytes: Vec<u8> = [0.5_f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!((&outputs[0].shape, &outputs[0].data), (&vec![2, 1], &Data::Owned(bytes)));

        let header =
            br#"{"outputs":[{"name":"y","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}}]}"#;
        let payload = [header.as_slice(), b"abc"].concat();
        let Ok(Answer::Outputs(outputs)) = parse(&payload, Some(header.len())) else { panic!() };
        assert_eq!(outputs[0].data, Data::Range(header.len()..header.len() + 3));
    }

    #[test]
    fn an_error_is_told_whatever_its_form() {
        assert_eq!(parse(br#"{"error":"no such \"model\""}"#, None), Ok(Answer::Error("no such \"model\"".into())));
        assert_eq!(parse(br#"{"error":{"code":7}}"#, None), Ok(Answer::Error("{\"code\":7}".into())));
        assert_eq!(parse(br#"{"error":null,"outputs":[]}"#, None), Ok(Answer::Outputs(Vec::new())));
    }

    #[test]
    fn what_is_no_answer_is_named_by_its_field() {
        for (payload, header, says) in [
            (&b"<html>"[..], None, "body: expected value"),
            (b"{}", None, "neither `outputs` nor `error`"),
            (b"{\"outputs\":[", None, "outputs[0]: EOF"),
            (b"\xff", None, "invalid UTF-8"),
            (b"{\"outputs\":[]}x", Some(14), "outputs: 1 bytes are left after the last output"),
            (b"{}", Some(3), "Inference-Header-Content-Length: 3"),
            (b"{\"outputs\":[],\"outputs\":[]}", None, "given twice"),
            (
                br#"{"outputs":[{"name":"y","datatype":"INT8","shape":[1],"data":[200]}]}"#,
                None,
                "outputs[0].data[0]: 200 is out of range",
            ),
            (
                br#"{"outputs":[{"name":"y","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}"#,
                None,
                "needs the header Inference-Header-Content-Length",
            ),
            (br#"{"outputs":[{"name":"y","datatype":"STRING","shape":[1],"data":[]}]}"#, None, "is none of BOOL"),
        ] {
            let said = parse(payload, header).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
    }
}
