//! The body of a request as the site is to get it: the caller's own, but for the model's name and what belongs to streaming. What
//! else is in it stays as it was written, to the digit.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// The body with the site's name for the model, as a stream or not. The error says what is wrong with it.
pub fn for_site(body: &[u8], model: &str, stream: bool) -> Result<Vec<u8>, String> {
    let fault = |error: serde_json::Error| format!("body: {error}");
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(fault)?;
    fields.insert("model".into(), to_raw_value(model).map_err(fault)?);
    fields.insert("stream".into(), to_raw_value(&stream).map_err(fault)?);
    if stream {
        let given =
            fields.get("stream_options").map(|given| serde_json::from_str::<Option<Map<String, Value>>>(given.get()));
        let given = given.transpose().map_err(|error| format!("stream_options: takes an object: {error}"))?;
        let mut options = given.flatten().unwrap_or_default();
        options.insert("include_usage".into(), Value::Bool(true));
        fields.insert("stream_options".into(), to_raw_value(&options).map_err(fault)?);
    } else {
        // Servers refuse it where there is no stream.
        fields.remove("stream_options");
    }
    serde_json::to_vec(&fields).map_err(fault)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_model_and_the_streaming_are_replaced_and_the_rest_stays_to_the_digit() {
        let body = br#"{"messages":[{"role":"user","content":"\u00e9"}],"model":"x","seed":18446744073709551616,"temperature":0.10}"#;
        let text = String::from_utf8(for_site(body, "big\"one", false).unwrap()).unwrap();
        assert!(text.contains(r#""seed":18446744073709551616"#) && text.contains(r#""temperature":0.10"#), "{text}");
        assert!(text.contains(r#""content":"\u00e9""#), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["model"], &value["stream"]), (&json!("big\"one"), &json!(false)));

        let body = br#"{"stream":false,"stream_options":{"x":1}}"#;
        let value: Value = serde_json::from_slice(&for_site(body, "m", true).unwrap()).unwrap();
        assert_eq!(value, json!({"model": "m", "stream": true, "stream_options": {"x": 1, "include_usage": true}}));
        let value: Value = serde_json::from_slice(&for_site(body, "m", false).unwrap()).unwrap();
        assert_eq!(value, json!({"model": "m", "stream": false}));
        let value: Value =
            serde_json::from_slice(&for_site(br#"{"stream_options":null}"#, "m", true).unwrap()).unwrap();
        assert_eq!(value["stream_options"], json!({"include_usage": true}));
    }

    #[test]
    fn what_is_no_object_is_refused_by_name() {
        for (body, says) in [
            (&b"[]"[..], "body: invalid type"),
            (b"", "body: EOF"),
            (br#"{"a":1} x"#, "body: trailing"),
            (br#"{"stream_options":7}"#, "stream_options: takes an object"),
        ] {
            let said = for_site(body, "m", true).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }
}
