use edge_core::Priority;
use proptest::prelude::*;

use super::*;

fn rules() -> Rules {
    Rules {
        topics: Topics::new("edge", "box"),
        reply_allow: vec!["line/+/answers".into()],
        max_request_bytes: 1000,
        zone: Zone::Premises,
    }
}

fn message(payload: impl Into<Bytes>) -> Inbound {
    Inbound { payload: payload.into(), qos: Qos::AtLeastOnce, packet_id: 1, ..Inbound::default() }
}

fn typed(content_type: &str, payload: &'static [u8]) -> Inbound {
    let properties = Properties { content_type: Some(content_type.into()), ..Properties::default() };
    Inbound { properties, ..message(payload) }
}

fn with(mut message: Inbound, user: &[(&str, &str)]) -> Inbound {
    message.properties.user = user.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    message
}

fn taken(message: &Inbound) -> Request {
    read(message, "m", &rules()).request.unwrap()
}

fn refused(message: &Inbound) -> (ErrorCode, String, Asked) {
    let asked = read(message, "m", &rules());
    let failure = asked.request.as_ref().unwrap_err().clone();
    (failure.code, failure.message, asked)
}

fn encoded(request: &Request) -> (&str, &[u8]) {
    match &request.payload {
        Payload::Encoded { content_type, data: Blob::Inline(data) } => (content_type, data),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_is_refused_unread_is_refused_under_its_own_id_and_topic() {
    let (names, picture) = (r#""id":"a","reply_to":"line/7/answers""#, format!(r#""image":"{}"#, "!".repeat(50_000)));
    let failure = Failure::new(ErrorCode::Overloaded, "later");
    for large in [format!("{{{names},{picture}"), format!("{{{picture}\",{names}}}")] {
        let asked = refuse(&message(large), "m", &rules(), failure.clone());
        assert_eq!((asked.id.as_deref(), &*asked.target.topic), (Some("a"), "line/7/answers"));
        assert_eq!(asked.request.unwrap_err(), failure);
    }
}

#[test]
fn every_form_of_payload_becomes_what_it_says() {
    let cases = [
        (typed("image/jpeg", b"\xFF\xD8"), "image/jpeg", &b"\xFF\xD8"[..]),
        (typed("Audio/WAV; rate=8000", b"RIFF"), "audio/wav", b"RIFF"),
        (typed("application/octet-stream", b"\x00"), "application/octet-stream", b"\x00"),
        (typed("text/plain; charset=utf-8", b"hi"), "text/plain", b"hi"),
        (typed("application/json", br#"{"text":"hi"}"#), "text/plain", b"hi"),
        (message(&br#"{"text":"hi"}"#[..]), "text/plain", b"hi"),
        (message(&br#"{"image":"/9j/"}"#[..]), "image/jpeg", b"\xFF\xD8\xFF"),
        (message(&br#"{"image":"iVBORw=="}"#[..]), "image/png", b"\x89PNG"),
        (message(&br#"{"bytes":"aGk="}"#[..]), "application/octet-stream", b"hi"),
        (message(&br#"{"bytes":"aGk=","content_type":"audio/wav"}"#[..]), "audio/wav", b"hi"),
        (message(&br#"{"messages":[1]}"#[..]), "application/json", br#"{"messages":[1]}"#),
    ];
    for (message, content_type, data) in cases {
        assert_eq!(encoded(&taken(&message)), (content_type, data));
    }
}

#[test]
fn binary_tensors_are_slices_of_the_packet() {
    let header =
        r#"{"id":"7","inputs":[{"name":"x","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}}]}"#;
    let mut payload = header.as_bytes().to_vec();
    payload.extend_from_slice(b"abc");
    let payload = Bytes::from(payload);
    let length = header.len().to_string();
    for content_type in [None, Some("application/octet-stream"), Some("application/json")] {
        let mut message = with(message(payload.clone()), &[(HEADER_LENGTH, &length), ("priority", "high")]);
        message.properties.content_type = content_type.map(str::to_owned);
        let request = taken(&message);
        let Payload::Tensors(tensors) = &request.payload else { panic!("{request:?}") };
        let Blob::Inline(data) = &tensors[0].data else { panic!("{tensors:?}") };
        assert_eq!(data.as_ptr(), payload[header.len()..].as_ptr());
        assert_eq!((request.options.request_id.as_deref(), request.options.priority), (Some("7"), Priority::High));
        assert!(request.options.warnings.is_empty());
    }
}

#[test]
fn options_come_from_properties_first_and_then_from_the_body() {
    let body = message(&br#"{"text":"x","id":"body","deadline_ms":100,"version":"1","colour":1}"#[..]);
    let request = taken(&with(body, &[("request_id", "property"), ("deferrable", "true"), ("shape", "round")]));
    assert_eq!(request.options.request_id.as_deref(), Some("property"));
    assert_eq!((request.options.deadline_ms, request.options.version.as_deref()), (Some(100), Some("1")));
    assert!(request.options.deferrable);
    assert_eq!(request.options.warnings.len(), 2);
    assert!(request.options.warnings.iter().all(|warning| warning.contains("ignored")));
}

#[test]
fn a_sender_may_say_who_it_is_by_a_property_and_by_nothing_else() {
    let body = || message(&br#"{"text":"x","client":"body"}"#[..]);
    let request = taken(&body());
    assert_eq!((request.options.client, request.options.warnings.len()), (None, 1));
    let plain = || message(&br#"{"text":"x"}"#[..]);
    let request = taken(&with(plain(), &[("client", "press-4")]));
    assert_eq!((request.options.client.as_deref(), request.options.warnings.len()), (Some("press-4"), 0));
    for wrong in ["", "a\nb", &"x".repeat(129)] {
        let (code, text, _) = refused(&with(plain(), &[("client", wrong)]));
        assert_eq!(code, ErrorCode::InvalidInput);
        assert!(text.contains("option client is") && text.contains("1 to 128"), "{text}");
    }
    assert!(refused(&with(plain(), &[("client", "a"), ("client", "b")])).1.contains("given twice"));
}

#[test]
fn the_deadline_wins_over_the_message_expiry() {
    let expiring = |body: &'static [u8]| {
        let properties = Properties { expiry_s: Some(2), ..Properties::default() };
        taken(&Inbound { properties, ..message(body) }).options.deadline_ms
    };
    assert_eq!(expiring(br#"{"text":"x"}"#), Some(2000));
    assert_eq!(expiring(br#"{"text":"x","deadline_ms":50}"#), Some(50));
    let properties = Properties { expiry_s: Some(u32::MAX), ..Properties::default() };
    let far = taken(&Inbound { properties, ..message(&br#"{"text":"x"}"#[..]) });
    assert_eq!(far.options.deadline_ms, Some(MAX_DEADLINE_MS));
}

#[test]
fn a_reply_goes_where_it_may_with_its_correlation() {
    let mut message = message(&br#"{"text":"x","reply_to":"edge/replies/body"}"#[..]);
    message.properties.correlation = Some(b"c".to_vec());
    let asked = read(&message, "m", &rules());
    assert_eq!(asked.target.topic.as_ref(), "edge/replies/body");
    assert_eq!(asked.target.correlation.as_deref(), Some(&b"c"[..]));
    assert_eq!(asked.request.unwrap().caller, Caller::Broker { reply_topic: "edge/replies/body".into() });
    message.properties.response_topic = Some("line/4/answers".into());
    assert_eq!(read(&message, "m", &rules()).target.topic.as_ref(), "line/4/answers");
    let plain = Inbound { payload: Bytes::from_static(br#"{"text":"x"}"#), ..Inbound::default() };
    assert_eq!(read(&plain, "m", &rules()).target.topic.as_ref(), "edge/box/result/m");
}

#[test]
fn a_forbidden_reply_topic_is_told_on_the_default_one() {
    for topic in ["edge/+/x", "edge/#", "$SYS/x", "edge/box/infer/m", "elsewhere", "", "edge/box/cancel/1"] {
        let body = serde_json::json!({"text": "x", "id": "7", "reply_to": topic}).to_string();
        let mut by_property = message(&br#"{"text":"x","id":"7"}"#[..]);
        by_property.properties.response_topic = Some(topic.into());
        for message in [message(body), by_property] {
            let (code, text, asked) = refused(&message);
            assert_eq!(code, ErrorCode::NotAuthorized, "{topic}");
            assert!(text.contains("reply topic"), "{text}");
            assert_eq!(asked.target.topic.as_ref(), "edge/box/result/m");
            assert_eq!((asked.id.as_deref(), asked.key()), (Some("7"), None));
        }
    }
}

#[test]
fn what_cannot_be_taken_is_refused_by_name_to_the_one_who_sent_it() {
    use ErrorCode::{InvalidInput, TooLarge};
    let oversized = Inbound { oversized: Some(5_000_000), ..message(&b""[..]) };
    let large = message(format!(r#"{{"id":"7","reply_to":"edge/r","text":"{}"}}"#, "x".repeat(1000)));
    let cases = [
        (oversized, TooLarge, "5000000 bytes", None, "edge/box/result/m"),
        (large, TooLarge, "takes up to 1000", Some("7"), "edge/r"),
        (message(&b""[..]), InvalidInput, "body", None, "edge/box/result/m"),
        (
            message(&br#"{"id":"7","reply_to":"edge/r","image":"*"}"#[..]),
            InvalidInput,
            "not base64",
            Some("7"),
            "edge/r",
        ),
        (
            message(&br#"{"id":"7","image":"aGk="}"#[..]),
            InvalidInput,
            "neither JPEG nor PNG",
            Some("7"),
            "edge/box/result/m",
        ),
        (
            message(&br#"{"id":"7","deadline_ms":0,"text":"x"}"#[..]),
            InvalidInput,
            "deadline_ms",
            Some("7"),
            "edge/box/result/m",
        ),
        (
            message(&b"{\"id\":\"7\",\"text\":\"\xFF\"}"[..]),
            InvalidInput,
            "invalid UTF-8",
            Some("7"),
            "edge/box/result/m",
        ),
        (typed("text/plain", b"a\xFF"), InvalidInput, "invalid UTF-8 at byte 1", None, "edge/box/result/m"),
        (with(message(&b"{}"[..]), &[(HEADER_LENGTH, "two")]), InvalidInput, "\"two\"", None, "edge/box/result/m"),
        (with(message(&b"{}"[..]), &[(HEADER_LENGTH, "9")]), InvalidInput, "2 bytes", None, "edge/box/result/m"),
        (with(typed("image/png", b""), &[("priority", "urgent")]), InvalidInput, "priority", None, "edge/box/result/m"),
        (
            with(typed("text/plain", b"\xFF"), &[("request_id", "9")]),
            InvalidInput,
            "UTF-8",
            Some("9"),
            "edge/box/result/m",
        ),
    ];
    for (message, code, words, id, topic) in cases {
        let (found, text, asked) = refused(&message);
        assert_eq!(found, code, "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!((asked.id.as_deref(), asked.target.topic.as_ref()), (id, topic), "{text}");
    }
}

#[test]
fn a_name_that_no_model_can_have_is_unknown_and_a_task_needs_none() {
    let body = message(&br#"{"text":"x"}"#[..]);
    for name in ["", "Text", "a:1", "ü", "a b"] {
        let failure = read(&body, name, &rules()).request.unwrap_err();
        assert_eq!(failure.code, ErrorCode::UnknownModel, "{name}");
    }
    let by_task = message(&br#"{"text":"x","task":"classification"}"#[..]);
    assert_eq!(read(&by_task, "", &rules()).request.unwrap().options.task.as_deref(), Some("classification"));
}

proptest! {
    #[test]
    fn arbitrary_messages_never_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        content_type in proptest::option::of("[a-z/;]{0,20}"),
        topic in proptest::option::of("[a-z/+#$]{0,20}"),
        user in proptest::collection::vec(("(request_id|deadline_ms|inference_header_content_length|x)", "[0-9a-z]{0,5}"), 0..4),
        model in "[a-z:/ ]{0,10}",
    ) {
        let properties = Properties { content_type, response_topic: topic, user, ..Properties::default() };
        let asked = read(&Inbound { properties, ..message(payload) }, &model, &rules());
        prop_assert!(rules().topics.check_reply_topic(&asked.target.topic, &rules().reply_allow).is_ok() || !model.chars().all(|c| c != '/'));
    }
}

#[test]
fn common_mistakes_are_named() {
    for (payload, words) in [
        (&b""[..], "EOF while parsing a value at line 1 column 0; the message is empty"),
        (b"\xFF\xD8\xFF\xE0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "[[binding]]"),
        (b"{\"text\":\"x\"}\0\0\0", "ends with 3 bytes of zero"),
        (b"{\"text\":\"T\xFCr\"}", "invalid UTF-8 at byte 10; 0xfc begins no letter there"),
        (b"{\"text\":", "EOF"),
    ] {
        let (code, text, _) = refused(&message(payload));
        assert_eq!(code, ErrorCode::InvalidInput);
        assert!(text.contains(words), "{text}");
    }
    let (_, text, _) = refused(&typed("text/plain", b"T\xFCr"));
    assert_eq!(
        text,
        "payload: invalid UTF-8 at byte 1; 0xfc begins no letter there: letters beyond ASCII go as UTF-8, not as Latin-1"
    );
}
