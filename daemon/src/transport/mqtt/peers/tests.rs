use bytes::Bytes;
use edge_core::{DataClass, Priority, Zone};
use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;
use edge_wire::mqtt::reply::{self, TensorView};
use edge_wire::mqtt::topic::{Meaning, Spoken, Topics};
use proptest::prelude::*;

use super::company::Company;
use super::decode::{Asked, decode};
use super::encode::{Content, Encoded, Part, Sender, encode};
use super::*;
use crate::config::MqttProtocol;
use crate::driver::sites::siblings::Heard;
use crate::request::{Blob, CHAT, Caller, Payload, Request};
use crate::transport::mqtt::ingress::{self, Rules};
use crate::transport::mqtt::packet::{Inbound, Properties, Qos};
use crate::uplink::Kind;

const VERSIONS: [MqttProtocol; 2] = [MqttProtocol::V5, MqttProtocol::V311];

fn at(ms: u64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

fn order(ticket: u64, request_id: &str) -> Order {
    Order {
        ticket,
        site: "line-b".into(),
        node: "box-b".into(),
        model: "add".into(),
        payload: Payload::Tensors(Vec::new()),
        outputs: Vec::new(),
        budget: Duration::from_millis(1500),
        class: DataClass::Internal,
        priority: Priority::Normal,
        request_id: request_id.into(),
    }
}

fn sender(protocol: MqttProtocol) -> Sender {
    Sender { topics: Topics::new("edge", "box-a"), node: "box-a".into(), protocol }
}

fn part(datatype: &str, shape: &[i64], data: &[u8]) -> Content {
    let data = Bytes::copy_from_slice(data);
    Content::Tensors(vec![Part { name: "x".into(), datatype: datatype.into(), shape: shape.to_vec(), data }])
}

fn payload(content_type: &str, data: &[u8]) -> Content {
    Content::Encoded { content_type: content_type.into(), data: Bytes::copy_from_slice(data) }
}

fn encoded(order: &Order, content: &Content, protocol: MqttProtocol) -> Encoded {
    encode(order, content, &sender(protocol), format!("m1-{}", order.ticket)).unwrap()
}

/// The request as the other box gets it, with whom it answers.
fn received(encoded: &Encoded, protocol: MqttProtocol) -> (Request, ingress::Target) {
    let message = &encoded.message;
    let asking = message.request.as_ref();
    assert_eq!(asking.is_some(), protocol == MqttProtocol::V5, "3.1.1 has no properties");
    let properties = asking.map_or_else(Properties::default, |asking| Properties {
        content_type: Some(message.content_type.clone().into_owned()),
        response_topic: Some(asking.response_topic.clone()),
        correlation: message.correlation.as_ref().map(|data| data.to_vec()),
        expiry_s: Some(asking.expiry_s),
        user: message.user.clone(),
    });
    let inbound = Inbound {
        topic: message.topic.clone(),
        payload: message.payload.clone(),
        qos: message.qos,
        packet_id: 9,
        properties,
        ..Inbound::default()
    };
    let topics = Topics::new("edge", "box-b");
    let Some(Meaning::Infer { model, group: None }) = topics.parse(&message.topic) else { panic!("{}", message.topic) };
    let rules =
        Rules { topics: topics.clone(), reply_allow: Vec::new(), max_request_bytes: 1 << 20, zone: Zone::Premises };
    let asked = ingress::read(&inbound, model, &rules);
    (asked.request.unwrap(), asked.target)
}

fn bytes_of(blob: &Blob) -> &[u8] {
    let Blob::Inline(bytes) = blob else { panic!("{blob:?}") };
    bytes
}

/// What comes back from the other box.
fn answer(answer: reply::Answer<'_>, id: Option<&str>) -> Inbound {
    Inbound { payload: reply::encode(id, answer, &Info::default()).json.into(), ..Inbound::default() }
}

fn asked(site: &Arc<str>) -> Asked<'_> {
    Asked { site, request_id: "box-a/r1", outputs: &[], budget: Duration::from_millis(1500), max_bytes: 1000 }
}

fn no(code: ErrorCode) -> reply::Answer<'static> {
    reply::Answer::Failure { code, message: "why\nnot", retry_after_ms: Some(40) }
}

#[test]
fn a_request_reaches_the_other_box_as_it_was_and_is_not_handed_on_there() {
    let floats: Vec<u8> = [0.1_f32, -3.4e38, 1e-45].iter().flat_map(|x| x.to_le_bytes()).collect();
    let texts = [&[3, 0, 0, 0][..], "a\u{e4}".as_bytes(), &[0, 0, 0, 0]].concat();
    let cases = [
        ("FP32", vec![3], floats),
        ("FP32", vec![1, 0], Vec::new()),
        ("FP16", vec![2], vec![0x00, 0x3C, 0x01, 0x00]),
        ("INT64", vec![1], i64::MIN.to_le_bytes().to_vec()),
        ("UINT8", vec![2, 2], vec![0, 1, 254, 255]),
        ("BOOL", vec![2], vec![0, 1]),
        ("BYTES", vec![2], texts),
    ];
    for protocol in VERSIONS {
        for (datatype, shape, data) in &cases {
            let order = Order { priority: Priority::High, ..order(7, "r1") };
            let encoded = encoded(&order, &part(datatype, shape, data), protocol);
            let (request, target) = received(&encoded, protocol);
            let options = &request.options;
            assert_eq!(options.hops, 1);
            assert_eq!(options.request_id.as_deref(), Some("box-a/r1"));
            assert_eq!((options.deadline_ms, options.priority), (Some(1500), Priority::High));
            assert_eq!(options.data_class.as_deref(), Some("internal"));
            assert_eq!(options.warnings, Vec::<String>::new());
            assert_eq!(options.client.as_deref(), (protocol == MqttProtocol::V5).then_some("box-a"));
            assert_eq!(&*target.topic, format!("edge/box-a/peer/{}", encoded.out.name));
            assert_eq!(request.caller, Caller::Broker { reply_topic: target.topic });
            assert_eq!(target.correlation.is_some(), protocol == MqttProtocol::V5);
            let Payload::Tensors(given) = &request.payload else { panic!("{:?}", request.payload) };
            let [tensor] = given.as_slice() else { panic!("{given:?}") };
            assert_eq!((&*tensor.datatype, &tensor.shape), (*datatype, shape));
            assert_eq!(bytes_of(&tensor.data), data, "{datatype} by {protocol:?}");
            assert_eq!(encoded.out.bytes, encoded.message.payload.len() as u64);
        }
    }
}

#[test]
fn payloads_and_chats_reach_the_other_box_with_all_that_is_in_them() {
    let chat = br#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let more = br#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":5}"#;
    let cases = [
        ("image/jpeg", &b"\xFF\xD8\xFFrest"[..]),
        ("image/bmp", b"BM"),
        ("audio/wav", b"RIFF"),
        ("text/plain", b"two\nlines \xC3\xA4"),
        ("application/octet-stream", b"\x00\x01"),
        (CHAT, chat),
        (CHAT, more),
    ];
    for protocol in VERSIONS {
        for (content_type, data) in cases {
            let encoded = encoded(&order(1, "r1"), &payload(content_type, data), protocol);
            let (request, _) = received(&encoded, protocol);
            let Payload::Encoded { content_type: found, data: bytes } = &request.payload else { panic!() };
            assert_eq!((found.as_str(), bytes_of(bytes)), (content_type, data), "{protocol:?}");
            assert_eq!(request.options.hops, 1);
            assert_eq!(request.options.warnings, Vec::<String>::new());
        }
    }
}

#[test]
fn what_json_has_no_form_for_does_not_go_out_changed() {
    let nan = f32::NAN.to_le_bytes();
    let infinite = [0x00, 0x7C];
    let no_text = [1, 0, 0, 0, 0xFF];
    for (datatype, data) in [("FP32", &nan[..]), ("FP16", &infinite), ("BYTES", &no_text), ("BYTES", &no_text[..3])] {
        let content = part(datatype, &[1], data);
        let why = encode(&order(1, "r1"), &content, &sender(MqttProtocol::V311), "c".into()).unwrap_err();
        assert!(why.contains("input x") && why.contains("MQTT 5"), "{why}");
    }
    let (request, _) =
        received(&encoded(&order(1, "r1"), &part("FP32", &[1], &nan), MqttProtocol::V5), MqttProtocol::V5);
    let Payload::Tensors(given) = &request.payload else { panic!() };
    assert_eq!(bytes_of(&given[0].data), nan);
}

#[test]
fn the_same_request_sent_again_is_a_duplicate_there_and_another_one_never_is() {
    for protocol in VERSIONS {
        let names = |ticket, id: &str, data: &[u8]| {
            let encoded = encoded(&order(ticket, id), &part("UINT8", &[1], data), protocol);
            (encoded.out.name, encoded.out.request_id)
        };
        assert_eq!(names(1, "r1", b"a"), names(2, "r1", b"a"));
        let (name, id) = names(1, "r1", b"a");
        assert_eq!(id, "box-a/r1");
        let (other, same) = names(1, "r1", b"b");
        assert!(name != other && id == same, "two callers may use one id");
        assert_ne!(name, names(1, "r2", b"a").0);
        let later = Order { budget: Duration::from_millis(20), ..order(3, "r1") };
        let again = encoded(&later, &part("UINT8", &[1], b"a"), protocol);
        assert_eq!(again.out.name, name, "the time that is left is not part of a request");
    }
}

#[test]
fn an_id_that_no_topic_can_hold_has_a_short_form_that_can_be_cancelled() {
    let topics = Topics::new("edge", "box-b");
    let long = "x".repeat(128);
    for id in ["a+b", "a#", long.as_str()] {
        let encoded = encoded(&order(1, id), &part("UINT8", &[1], b"a"), MqttProtocol::V5);
        let (request, _) = received(&encoded, MqttProtocol::V5);
        assert_eq!(request.options.request_id.as_deref(), Some(encoded.out.request_id.as_str()));
        let topic = topics.cancel_at("box-b", &encoded.out.request_id);
        assert!(!topic.contains(['+', '#']), "{topic}");
        assert_eq!(topics.parse(&topic), Some(Meaning::Cancel { request_id: &encoded.out.request_id }));
    }
}

#[test]
fn answers_are_read_as_those_of_any_site() {
    let site: Arc<str> = "line-b".into();
    let tensor = TensorView { name: "y", datatype: "UINT8", shape: &[2], data: &[5, 6] };
    let Ok(Answer::Tensors(outputs)) =
        decode(&answer(reply::Answer::Tensors(&[tensor]), Some("box-a/r1")), &asked(&site))
    else {
        panic!()
    };
    assert_eq!((&*outputs[0].name, bytes_of(&outputs[0].data)), ("y", &[5, 6][..]));
    let document = answer(reply::Answer::Document("{\"label\": 1}"), Some("box-a/r1"));
    assert!(matches!(decode(&document, &asked(&site)), Ok(Answer::Document(text)) if text == "{\"label\": 1}"));
}

#[test]
fn a_no_of_another_box_is_the_trouble_that_the_core_knows() {
    let site: Arc<str> = "line-b".into();
    let cases = [
        (ErrorCode::Overloaded, Kind::Busy),
        (ErrorCode::Unavailable, Kind::Server),
        (ErrorCode::Internal, Kind::Server),
        (ErrorCode::Cancelled, Kind::Server),
        (ErrorCode::InvalidInput, Kind::Rejected),
        (ErrorCode::TooLarge, Kind::Rejected),
        (ErrorCode::UnknownModel, Kind::Rejected),
        (ErrorCode::NotAuthorized, Kind::Rejected),
        (ErrorCode::Confined, Kind::Rejected),
        (ErrorCode::DeadlineExceeded, Kind::Timeout),
    ];
    assert_eq!(cases.len(), ErrorCode::ALL.len());
    for (code, kind) in cases {
        let error = decode(&answer(no(code), Some("box-a/r1")), &asked(&site)).unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
        assert!(!error.to_string().contains('\n'));
        if kind == Kind::Busy {
            assert_eq!(error.retry_after(), Some(Duration::from_millis(40)));
            assert!(error.to_string().contains("overloaded: why not"), "{error}");
        }
    }
}

#[test]
fn what_is_no_answer_to_this_request_is_not_taken_for_one() {
    let site: Arc<str> = "line-b".into();
    let document = reply::Answer::Document("{}");
    let cases = [
        (answer(document, Some("box-a/r2")), Kind::Garbage),
        (answer(document, None), Kind::Garbage),
        (Inbound { payload: Bytes::from_static(b"<html>"), ..Inbound::default() }, Kind::Garbage),
        (Inbound { payload: Bytes::from_static(b""), ..Inbound::default() }, Kind::Garbage),
        (Inbound { oversized: Some(5000), ..Inbound::default() }, Kind::TooLarge),
    ];
    for (message, kind) in cases {
        assert_eq!(decode(&message, &asked(&site)).unwrap_err().kind(), kind, "{message:?}");
    }
}

fn out(name: &str, request_id: &str) -> Out {
    Out { name: name.into(), request_id: request_id.into(), bytes: 10, digest: [7; 32] }
}

fn under_way(tickets: &[(u64, &str)]) -> Peers {
    let mut peers = Peers::new("m1".into());
    for (ticket, name) in tickets {
        peers.begin(at(0), &order(*ticket, "r1")).unwrap();
        peers.sent(*ticket, out(name, "box-a/r1"));
    }
    peers
}

#[test]
fn an_answer_finds_its_request_and_one_of_a_former_life_finds_none() {
    let peers = under_way(&[(3, "n"), (2, "n"), (5, "o")]);
    for (name, correlation, whose) in [
        ("n", None, Some(2)),
        ("o", None, Some(5)),
        ("p", None, None),
        ("n", Some("m1-3"), Some(3)),
        ("n", Some("m1-5"), None),
        ("n", Some("m0-3"), None),
        ("n", Some("m1-9"), None),
        ("n", Some("3"), None),
        ("n", Some("m1-x"), None),
    ] {
        assert_eq!(peers.whose(name, correlation.map(str::as_bytes)), whose, "{name} {correlation:?}");
    }
    assert_eq!(peers.correlation(3), "m1-3");
    assert_eq!(peers.whose("n", Some(b"\xff")), None);
    let mut peers = Peers::new("m1".into());
    peers.begin(at(0), &order(1, "r1")).unwrap();
    assert_eq!(peers.whose("n", Some(b"m1-1")), None, "it is not out");
}

#[test]
fn a_request_ends_once_and_says_what_was_out() {
    let mut peers = under_way(&[(1, "n"), (2, "n")]);
    assert_eq!((peers.next_due(), peers.overdue(at(1499))), (Some(at(1500)), vec![]));
    let done = peers.end(at(20), 1, false, 99, Ok(Answer::Document("{}".into()))).unwrap();
    assert_eq!((done.sent, done.sent_bytes, done.received_bytes, done.digest), (Sent::All, 10, 99, Some([7; 32])));
    assert_eq!((done.took, done.first_byte), (Duration::from_millis(20), Some(Duration::from_millis(20))));
    assert!(peers.end(at(21), 1, false, 0, Ok(Answer::Document("{}".into()))).is_none());
    assert_eq!(peers.overdue(at(1500)), [2]);
    let late = peers.get(2).unwrap().late();
    assert_eq!((late.kind(), late.to_string().contains("1500 ms")), (Kind::Timeout, true));
    let done = peers.end(at(1500), 2, true, 0, Err(late)).unwrap();
    assert_eq!((done.sent, done.sent_bytes, done.digest), (Sent::Nothing, 0, None));
    assert!(peers.is_empty());
}

#[test]
fn without_a_connection_one_that_was_out_is_told_from_one_that_was_not() {
    let mut peers = under_way(&[(1, "n")]);
    peers.begin(at(0), &order(2, "r2")).unwrap();
    let kind = |ticket| peers.get(ticket).map(|flight| flight.lost("gone").kind());
    assert_eq!((kind(1), kind(2)), (Some(Kind::Reset), Some(Kind::Connect)));
    let elsewhere = Order { node: "box-c".into(), ..order(3, "r3") };
    peers.begin(at(0), &elsewhere).unwrap();
    let at_b: std::collections::BTreeSet<u64> = peers.at("box-b").into_iter().collect();
    assert_eq!((at_b, peers.at("box-c"), peers.at("box-d")), ([1, 2].into(), vec![3], vec![]));
}

#[test]
fn only_who_waits_alone_under_an_id_cancels_it_there() {
    let peers = under_way(&[(1, "n"), (2, "o")]);
    assert_eq!(peers.to_cancel(1), None);
    let mut peers = under_way(&[(1, "n")]);
    assert_eq!(peers.to_cancel(1), Some(("box-b", "box-a/r1")));
    peers.begin(at(0), &order(2, "r2")).unwrap();
    assert_eq!(peers.to_cancel(2), None, "nothing is there yet");
}

#[test]
fn no_more_are_under_way_than_may_be() {
    let mut peers = Peers::new("m1".into());
    let most = u64::try_from(MOST).unwrap();
    for ticket in 0..most {
        peers.begin(at(0), &order(ticket, "r")).unwrap();
    }
    let refused = peers.begin(at(0), &order(most, "r")).unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy);
    assert!(peers.end(at(0), most, false, 0, Err(refused)).is_some(), "it is told of like any other");
}

#[test]
fn a_box_serves_only_while_its_last_will_and_its_own_word_say_so() {
    let heard = |is_serving, wait| Some(Heard { node: "b".into(), is_serving, wait: Duration::from_millis(wait) });
    let mut company = Company::default();
    assert_eq!(company.hear("b", Spoken::Available, b"online", false), None, "nobody listens to it");
    let (new, gone) = company.follow(["b", "c"].into_iter());
    assert_eq!((new, gone), (vec!["b".to_owned(), "c".to_owned()], vec![]));
    assert_eq!(company.hear("b", Spoken::Available, b"online", false), None);
    assert_eq!(company.hear("b", Spoken::Capacity, b"garbage", false), None);
    assert_eq!(company.hear("b", Spoken::Capacity, br#"{"serving":true,"wait_ms":30}"#, false), heard(true, 30));
    assert_eq!(company.hear("b", Spoken::Capacity, br#"{"serving":false,"wait_ms":0}"#, false), heard(false, 0));
    assert!(!company.has_left("b") && !company.has_left("d"), "one that is held is still there");
    assert_eq!(company.hear("b", Spoken::Available, b"offline", false), heard(false, 0));
    assert!(company.has_left("b") && !company.has_left("c"));
    assert_eq!(company.hear("b", Spoken::Capacity, br#"{"serving":true,"wait_ms":30}"#, true), heard(false, 0));
    assert_eq!(company.hear("b", Spoken::Available, b"online", false), heard(true, 30));
    assert!(!company.has_left("b"), "it is back");
    assert!(!company.has_five("b") && !company.has_five("d"));
    company.hear("b", Spoken::Capacity, br#"{"serving":true,"wait_ms":30,"mqtt":"5"}"#, false);
    assert!(company.has_five("b"));
    company.hear("b", Spoken::Capacity, br#"{"serving":true,"wait_ms":30,"mqtt":"3.1.1"}"#, false);
    assert!(!company.has_five("b"));
    assert_eq!(company.follow(["b"].into_iter()), (vec![], vec!["c".to_owned()]));
    company.forget();
    assert_eq!(company.follow(["b"].into_iter()).0, ["b"]);
}

#[test]
fn a_box_that_goes_on_speaking_after_its_last_will_is_there() {
    const SERVES: &[u8] = br#"{"serving":true,"wait_ms":30}"#;
    let serves = |company: &mut Company, of, payload: &[u8], kept| {
        company.hear("b", of, payload, kept).is_some_and(|heard| heard.is_serving)
    };
    // Whether `offline` was kept by the broker or comes now, as anybody may send either.
    for kept in [true, false] {
        let mut company = Company::default();
        company.follow(["b"].into_iter());
        assert!(serves(&mut company, Spoken::Capacity, SERVES, true));
        assert!(!serves(&mut company, Spoken::Available, b"offline", kept));
        for _ in 0..5 {
            assert!(!serves(&mut company, Spoken::Capacity, SERVES, true), "what was kept may be older than the will");
        }
        assert!(!serves(&mut company, Spoken::Capacity, SERVES, false), "one may have been under way");
        assert!(!serves(&mut company, Spoken::Capacity, b"garbage", false) && company.has_left("b"));
        assert!(serves(&mut company, Spoken::Capacity, SERVES, false) && !company.has_left("b"));
        assert!(!serves(&mut company, Spoken::Available, b"offline", kept), "each will is one of its own");
        assert!(!serves(&mut company, Spoken::Capacity, SERVES, false) && company.has_left("b"));
    }
}

proptest! {
    #[test]
    fn whatever_another_box_sends_is_read_or_refused(payload: Vec<u8>, oversized: Option<usize>) {
        let site: Arc<str> = "line-b".into();
        let message = Inbound { payload: payload.into(), oversized, ..Inbound::default() };
        prop_assert!(decode(&message, &asked(&site)).is_err());
    }

    #[test]
    fn every_id_and_payload_arrives(id in "[^\\p{Cc}]{1,128}", data: Vec<u8>, five: bool) {
        let protocol = if five { MqttProtocol::V5 } else { MqttProtocol::V311 };
        let encoded = encoded(&order(1, &id), &payload("audio/wav", &data), protocol);
        let (request, _) = received(&encoded, protocol);
        let Payload::Encoded { data: found, .. } = &request.payload else { panic!() };
        prop_assert_eq!(bytes_of(found), data);
        prop_assert_eq!(request.options.request_id, Some(encoded.out.request_id));
        prop_assert_eq!(encoded.message.qos, Qos::AtLeastOnce);
    }
}
