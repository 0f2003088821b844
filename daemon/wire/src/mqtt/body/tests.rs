use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::mqtt::tensor::{Element, write_data};

fn refused(body: &str) -> String {
    parse(body.as_bytes()).unwrap_err().to_string()
}

fn one_input(input: &str) -> String {
    format!("{{\"inputs\":[{input}]}}")
}

fn tensors(body: &Body<'_>) -> Vec<(String, Vec<i64>, Data)> {
    match &body.input {
        Input::Tensors(tensors) => tensors
            .iter()
            .map(|tensor| {
                let data = match &tensor.data {
                    Data::Owned(bytes) => Data::Owned(bytes.clone()),
                    Data::Range(range) => Data::Range(range.clone()),
                };
                (format!("{} {}", tensor.name, tensor.datatype), tensor.shape.clone(), data)
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_id_may_be_a_whole_number_or_null() {
    let id = |id: &str| {
        let text = format!("{{\"id\":{id},\"text\":\"x\"}}");
        let told = envelope(text.as_bytes()).id;
        let body = parse(text.as_bytes()).unwrap();
        (body.options.into_iter().map(|(name, value)| (name.into_owned(), format!("{value:?}"))).next(), told)
    };
    let text = |text: &str| Some(("request_id".to_owned(), format!("Text({text:?})")));
    assert_eq!(id("7"), (text("7"), Some("7".to_owned())));
    assert_eq!(id("-7"), (text("-7"), Some("-7".to_owned())));
    assert_eq!(id("\"7\""), (text("7"), Some("7".to_owned())));
    assert_eq!(id("null"), (None, None));
    assert!(id("1.5").0.unwrap().1.contains("number"));
}

#[test]
fn a_body_with_every_field_is_read() {
    let body = br#"{"id":"7","reply_to":"edge/r","deadline_ms":250,"data_class":"internal","priority":"high",
        "deferrable":true,"version":"1.0","colour":{"a":[1]},"nothing":null,"inputs":[
        {"name":"x","datatype":"FP32","shape":[1,2],"data":[1,-0.5]},
        {"data":[1,2,3],"shape":[3],"datatype":"INT16","name":"y"}]}"#;
    let body = parse(body).unwrap();
    assert_eq!(body.reply_to.as_deref(), Some("edge/r"));
    let expected = [
        ("request_id", Value::Text("7".into())),
        ("deadline_ms", Value::Int(250)),
        ("data_class", Value::Text("internal".into())),
        ("priority", Value::Text("high".into())),
        ("deferrable", Value::Bool(true)),
        ("version", Value::Text("1.0".into())),
        ("colour", Value::Other("object")),
        ("nothing", Value::Other("null")),
    ];
    assert_eq!(body.options, expected.map(|(key, value)| (Cow::Borrowed(key), value)));
    let floats = [1.0_f32, -0.5].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(
        tensors(&body),
        [
            ("x FP32".to_owned(), vec![1, 2], Data::Owned(floats)),
            ("y INT16".to_owned(), vec![3], Data::Owned(vec![1, 0, 2, 0, 3, 0])),
        ]
    );
}

#[test]
fn encoded_payloads_text_and_messages_are_read() {
    let encoded = |content_type: Option<&str>, image, data: &[u8]| Input::Encoded {
        content_type: content_type.map(str::to_owned),
        image,
        data: data.to_vec(),
    };
    let cases = [
        (r#"{"image":"/9j/"}"#, encoded(None, true, b"\xFF\xD8\xFF")),
        (r#"{"image":"aGk"}"#, encoded(None, true, b"hi")),
        (r#"{"bytes":"aGk=","content_type":"audio/wav"}"#, encoded(Some("audio/wav"), false, b"hi")),
        (r#"{"text":"L\u00f6t 7"}"#, Input::Text("Löt 7".into())),
        (r#"{"messages": [{"role":"user"}] }"#, Input::Messages(r#"[{"role":"user"}]"#)),
    ];
    for (text, input) in cases {
        assert_eq!(parse(text.as_bytes()).unwrap().input, input, "{text}");
    }
}

#[test]
fn every_datatype_is_read_and_written_back() {
    let cases = [
        ("BOOL", "[true,false]"),
        ("UINT8", "[0,255]"),
        ("UINT16", "[0,65535]"),
        ("UINT32", "[0,4294967295]"),
        ("UINT64", "[0,18446744073709551615]"),
        ("INT8", "[-128,127]"),
        ("INT16", "[-32768,32767]"),
        ("INT32", "[-2147483648,2147483647]"),
        ("INT64", "[-9223372036854775808,9223372036854775807]"),
        ("FP16", "[1.5,-65504.0,0.000061035156]"),
        ("BF16", "[1.5,-2.0]"),
        ("FP32", "[0.1,3.4028235e38,-1e-45]"),
        ("FP64", "[0.1,1.7976931348623157e308]"),
        ("BYTES", "[\"\",\"a\\\"ü\"]"),
    ];
    for (datatype, data) in cases {
        let text = one_input(&format!(r#"{{"name":"x","datatype":"{datatype}","shape":[2],"data":{data}}}"#));
        let body = parse(text.as_bytes()).unwrap();
        let (_, _, Data::Owned(bytes)) = tensors(&body).remove(0) else { panic!("{datatype}") };
        let mut out = Vec::new();
        write_data(&mut out, Element::from_name(datatype), &bytes);
        let numbers = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!(numbers(&out), numbers(data.as_bytes()), "{datatype}");
    }
}

#[test]
fn bad_bodies_name_the_field_and_what_it_takes() {
    let deep = |levels: usize| format!("{{\"text\":\"x\",\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let data = |datatype: &str, data: &str| {
        one_input(&format!(r#"{{"name":"x","datatype":"{datatype}","shape":[2],"data":{data}}}"#))
    };
    let cases: Vec<(String, &[&str])> = vec![
        ("".into(), &["body", "EOF"]),
        ("[1]".into(), &["body", "JSON object"]),
        ("{\"text\":\"x\"} {}".into(), &["body", "trailing"]),
        ("{\"text\":\"x\"".into(), &["EOF"]),
        ("{}".into(), &["nothing to infer from", "`inputs`"]),
        (r#"{"text":"a","image":"aGk="}"#.into(), &["both `text` and `image`"]),
        (r#"{"text":"a","text":"b"}"#.into(), &["\"text\"", "twice"]),
        (r#"{"id":"a","id":"b","text":"x"}"#.into(), &["\"id\"", "twice"]),
        (r#"{"text":"x","a":{"b":1,"b":2}}"#.into(), &["\"b\"", "twice"]),
        (r#"{"text":"x","a":[{"b":1,"b":2}]}"#.into(), &["\"b\"", "twice"]),
        (deep(64), &["deeper than 64"]),
        (deep(100_000), &["deeper than 64"]),
        (format!("{{\"messages\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)), &["messages", "deeper than 64"]),
        (data("FP32", &"[".repeat(100_000)), &["inputs[0].data[0]", "flat"]),
        ("[".repeat(100_000), &["JSON object"]),
        (r#"{"text":5}"#.into(), &["text", "a text"]),
        (r#"{"reply_to":5,"text":""}"#.into(), &["reply_to", "a text"]),
        (r#"{"image":"a*b"}"#.into(), &["image", "not base64"]),
        (r#"{"image":5}"#.into(), &["image", "a text"]),
        (r#"{"messages":{}}"#.into(), &["messages", "array"]),
        (r#"{"inputs":5}"#.into(), &["inputs", "array of tensors"]),
        (one_input("7"), &["inputs[0]", "object with name"]),
        (one_input(r#"{"datatype":"FP32","shape":[1],"data":[1]}"#), &["inputs[0]", "name"]),
        (one_input(r#"{"name":"x","shape":[1],"data":[1]}"#), &["inputs[0]", "datatype"]),
        (one_input(r#"{"name":"x","datatype":"FP32","data":[1]}"#), &["inputs[0]", "shape"]),
        (one_input(r#"{"name":"x","datatype":"FP32","shape":[1]}"#), &["inputs[0]", "data"]),
        (one_input(r#"{"name":"x","name":"y","datatype":"FP32","shape":[1],"data":[1]}"#), &["inputs[0]", "twice"]),
        (one_input(r#"{"name":"x","colour":1}"#), &["inputs[0]", "unknown key \"colour\""]),
        (one_input(r#"{"name":"x","datatype":"FLOAT"}"#), &["inputs[0].datatype", "FLOAT", "FP32"]),
        (one_input(r#"{"name":"x","shape":[1.5]}"#), &["inputs[0].shape[0]"]),
        (one_input(r#"{"name":"x","shape":[9223372036854775808]}"#), &["inputs[0].shape[0]"]),
        (one_input(&format!(r#"{{"shape":[{}1]}}"#, "1,".repeat(40))), &["inputs[0].shape", "32 dimensions"]),
        (data("UINT8", "[1,256]"), &["inputs[0].data[1]", "256", "0 to 255"]),
        (data("INT8", "[-129]"), &["inputs[0].data[0]", "-128 to 127"]),
        (data("UINT64", "[18446744073709551616]"), &["inputs[0].data[0]", "out of range"]),
        (data("UINT8", "[1.5]"), &["inputs[0].data[0]", "fraction", "0 to 255"]),
        (data("BOOL", "[2]"), &["inputs[0].data[0]", "true, false"]),
        (data("FP32", "[1e39]"), &["inputs[0].data[0]", "out of range", "FP32"]),
        (data("FP32", "[1,1e999]"), &["inputs[0].data[1]", "out of range"]),
        (data("FP16", "[65520]"), &["inputs[0].data[0]", "65504"]),
        (data("FP64", "[\"1\"]"), &["inputs[0].data[0]", "a text"]),
        (data("FP32", "[null]"), &["inputs[0].data[0]", "null"]),
        (data("FP32", "[true]"), &["inputs[0].data[0]", "true or false"]),
        (data("FP32", "[NaN]"), &["inputs[0].data[0]"]),
        (data("BYTES", "[1]"), &["inputs[0].data[0]", "texts"]),
        (data("FP32", "{}"), &["inputs[0].data", "flat array"]),
        (data("FP32", "[[1,2]]"), &["inputs[0].data[0]", "row-major"]),
        (one_input(r#"{"name":"x","data":[[1]],"datatype":"FP32","shape":[1]}"#), &["inputs[0].data[0]", "row-major"]),
        (
            one_input(r#"{"name":"x","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}"#),
            &["inputs[0].parameters.binary_data_size", "inference_header_content_length"],
        ),
        (format!("{{{}\"text\":\"x\"}}", (0..300).map(|n| format!("\"k{n}\":1,")).collect::<String>()), &["256 keys"]),
        (one_input(&r#"{"name":"x","datatype":"INT8","shape":[],"data":[]},"#.repeat(300)), &["256 inputs"]),
    ];
    for (body, words) in cases {
        let message = refused(&body);
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?} for {}", &body[..body.len().min(80)]);
        }
        assert!(message.len() < 400, "{message}");
    }
}

#[test]
fn sixty_four_levels_are_taken() {
    let body = format!("{{\"text\":\"x\",\"a\":{}{}}}", "[".repeat(63), "]".repeat(63));
    assert!(parse(body.as_bytes()).is_ok());
}

#[test]
fn invalid_utf8_is_named_with_its_place() {
    let message = parse(b"{\"text\":\"a\xFF\"}").unwrap_err().to_string();
    assert!(message.contains("invalid UTF-8 at byte 10"), "{message}");
}

#[test]
fn binary_tensors_are_ranges_of_the_payload() {
    let header = br#"{"id":"1","outputs":[{"name":"y"}],"parameters":{},"inputs":[
        {"name":"a","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}},
        {"name":"b","datatype":"INT8","shape":[1],"data":[7]},
        {"name":"c","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4,"x":1}}]}"#;
    let mut payload = header.to_vec();
    payload.extend_from_slice(b"abcdefg");
    let body = parse_binary(&payload, header.len()).unwrap();
    let start = header.len();
    let data: Vec<Data> = tensors(&body).into_iter().map(|(_, _, data)| data).collect();
    assert_eq!(data, [Data::Range(start..start + 3), Data::Owned(vec![7]), Data::Range(start + 3..start + 7)]);
}

#[test]
fn bad_binary_forms_name_what_does_not_fit() {
    let header = |size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"a","datatype":"UINT8","shape":[3],"parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    let cases = [
        (header("4"), "4 bytes, but 3 are left"),
        (header("2"), "1 bytes are left after the last input"),
        (header("-1"), "binary_data_size"),
        (header("18446744073709551615"), "but 3 are left"),
        (header("1e3"), "binary_data_size"),
        (r#"{"inputs":[{"name":"a","datatype":"UINT8","shape":[3],"data":[1],"parameters":{"binary_data_size":3}}]}"#.into(), "one or the other"),
        (r#"{"inputs":[{"parameters":{"a":1,"a":2}}]}"#.into(), "twice"),
        (r#"{"inputs":[]}"#.into(), "3 bytes are left"),
        ("{".into(), "EOF"),
    ];
    for (head, word) in cases {
        let mut payload = head.clone().into_bytes();
        payload.extend_from_slice(b"abc");
        let message = parse_binary(&payload, head.len()).unwrap_err().to_string();
        assert!(message.contains(word), "{word} is not in {message}");
    }
    let message = parse_binary(b"{}", 3).unwrap_err().to_string();
    assert!(message.contains("inference_header_content_length: 3"), "{message}");
}

#[test]
fn the_envelope_of_a_broken_body_is_found_as_far_as_it_goes() {
    let found = |body: &[u8]| envelope(body);
    let pair =
        |id: Option<&str>, to: Option<&str>| Envelope { id: id.map(str::to_owned), reply_to: to.map(str::to_owned) };
    assert_eq!(found(br#"{"id":"1","image":"*","reply_to":"r"}"#), pair(Some("1"), Some("r")));
    assert_eq!(found(br#"{"id":"1","inputs":[{"data":[1,2"#), pair(Some("1"), None));
    assert_eq!(found(b"{\"reply_to\":\"r\",\"x\":\"\xFF"), pair(None, Some("r")));
    assert_eq!(found(br#"{"id":5,"reply_to":"r"}"#), pair(Some("5"), Some("r")));
    assert_eq!(found(b"\xFF"), pair(None, None));
    assert_eq!(found(&[b'['; 100_000]), pair(None, None));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..400) {
        drop(parse(&payload));
        drop(parse_binary(&payload, at));
        envelope(&payload);
    }

    #[test]
    fn arbitrary_json_never_panics(text in "[\\[\\]{}:,\"a-e0-9.+\\-\\\\ ]{0,120}", at in 0_usize..130) {
        for body in [text.clone(), format!("{{\"inputs\":{text}}}"), format!("{{\"inputs\":[{{\"name\":\"x\",\"datatype\":\"INT8\",{text}}}]}}")] {
            drop(parse(body.as_bytes()));
            drop(parse_binary(body.as_bytes(), at));
            envelope(body.as_bytes());
        }
    }

    #[test]
    fn doubles_and_singles_survive_both_ways(values in proptest::collection::vec(-1e300_f64..1e300, 0..50), singles in proptest::collection::vec(any::<f32>(), 0..50)) {
        let singles: Vec<f32> = singles.into_iter().filter(|value| value.is_finite()).collect();
        let body = json!({"inputs": [
            {"name": "d", "datatype": "FP64", "shape": [values.len()], "data": values},
            {"name": "s", "datatype": "FP32", "shape": [singles.len()], "data": singles},
        ]});
        let text = body.to_string();
        let read = tensors(&parse(text.as_bytes()).unwrap());
        let doubles: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let narrow: Vec<u8> = singles.iter().flat_map(|value| value.to_le_bytes()).collect();
        prop_assert_eq!(&read[0].2, &Data::Owned(doubles.clone()));
        prop_assert_eq!(&read[1].2, &Data::Owned(narrow));
        let mut out = Vec::new();
        write_data(&mut out, Element::from_name("FP64"), &doubles);
        let again: Vec<f64> = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(again, values);
    }

    #[test]
    fn integers_survive_both_ways(values in proptest::collection::vec(any::<i64>(), 0..50)) {
        let text = json!({"inputs": [{"name": "x", "datatype": "INT64", "shape": [values.len()], "data": values}]}).to_string();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        prop_assert_eq!(&tensors(&parse(text.as_bytes()).unwrap())[0].2, &Data::Owned(bytes.clone()));
        let mut out = Vec::new();
        write_data(&mut out, Element::from_name("INT64"), &bytes);
        prop_assert_eq!(serde_json::from_slice::<Vec<i64>>(&out).unwrap(), values);
    }

    #[test]
    fn any_bytes_can_be_written_as_any_datatype(data in proptest::collection::vec(any::<u8>(), 0..64), which in 0_usize..15) {
        let names = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES", "WHAT"];
        let mut out = Vec::new();
        write_data(&mut out, Element::from_name(names[which]), &data);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
    }
}
