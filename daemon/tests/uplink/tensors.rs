//! The Open Inference Protocol: what is sent, and what is taken.

use std::sync::{Arc, Mutex};

use edge_engine::memfile;
use edge_engine::protocol::Datatype;
use edged::request::Blob;
use edged::uplink::{Answer, Content, Kind, Question, Seen, Sent};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::desk::{OIP, OIP_JSON, carry_out, data, order, probe, site, spec, tensor, tensors, two, uplink};
use crate::server::{Request, answering, json as ok, response};

type Seen1 = Arc<Mutex<Vec<Request>>>;

/// A server that answers all with `answer` and keeps what it was asked.
async fn keeping(answer: Vec<u8>) -> (crate::server::Server, Seen1) {
    let seen: Seen1 = Arc::default();
    let kept = Arc::clone(&seen);
    let server = answering(move |request| {
        kept.lock().unwrap().push(request.clone());
        answer.clone()
    })
    .await;
    (server, seen)
}

fn header_and_raw(request: &Request) -> (Value, Vec<u8>) {
    let len: usize = request.header("inference-header-content-length").unwrap().parse().unwrap();
    (serde_json::from_slice(&request.body[..len]).unwrap(), request.body[len..].to_vec())
}

/// An answer with raw tensors behind the header.
fn binary(header: &str, raw: &[u8]) -> Vec<u8> {
    let headers = format!("Inference-Header-Content-Length: {}\r\n", header.len());
    response("200 OK", &headers, &[header.as_bytes(), raw].concat())
}

#[tokio::test]
async fn raw_tensors_go_behind_a_header_and_come_back_so_and_all_is_told() {
    let answer = binary(
        r#"{"model_name":"defects","outputs":[
            {"name":"b","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}},
            {"name":"a","datatype":"INT64","shape":[1],"data":[-7]}]}"#,
        b"\x01\x02\x03",
    );
    let (server, seen) = keeping(answer).await;
    let fd = Arc::new(memfile::sealed(&[9; 300_000]).unwrap());
    let small = Blob::Sealed { fd: Arc::clone(&fd), offset: 4, len: 8 };
    let large = Blob::Sealed { fd, offset: 1, len: 299_999 };
    let inputs = vec![
        edged::request::TensorIn { name: "s".into(), datatype: "INT64".into(), shape: vec![1], data: small },
        edged::request::TensorIn { name: "l".into(), datatype: "BOOL".into(), shape: vec![1, 299_999], data: large },
        tensor("t", "BYTES", &[2], &b"\x02\0\0\0ab\0\0\0\0"[..]),
        tensor("h", "FP16", &[1, 1], &b"\0\x3c"[..]),
    ];
    let outputs = vec![spec("a", Datatype::Int64, &[1]), spec("b", Datatype::Uint8, &[-1])];
    let mut asked = order(site(OIP, &server.url()), Content::Tensors { inputs, outputs });
    asked.version = Some("2".into());
    let done = carry_out(asked).await;
    let request = seen.lock().unwrap()[0].clone();
    assert_eq!(request.line(), "POST /v2/models/defects/versions/2/infer");
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert!(request.header("user-agent").unwrap().starts_with("edged/"));
    let (header, raw) = header_and_raw(&request);
    let sized = |name, datatype, shape: Value, size: u64| json!({"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}});
    assert_eq!(
        header["inputs"],
        json!([
            sized("s", "INT64", json!([1]), 8),
            sized("l", "BOOL", json!([1, 299_999]), 299_999),
            sized("t", "BYTES", json!([2]), 10),
            sized("h", "FP16", json!([1, 1]), 2),
        ])
    );
    let wanted = |name| json!({"name": name, "parameters": {"binary_data": true}});
    assert_eq!(header["outputs"], json!([wanted("a"), wanted("b")]));
    assert_eq!(raw, [vec![9; 8 + 299_999], b"\x02\0\0\0ab\0\0\0\0\0\x3c".to_vec()].concat());

    assert_eq!((done.ticket, done.sent, done.sent_bytes), (7, Sent::All, request.body.len() as u64));
    assert_eq!(done.digest, Some(Sha256::digest(&request.body).into()));
    assert!(done.connect.is_some() && done.first_byte.unwrap() <= done.took && done.received_bytes > 3);
    let outputs = tensors(done);
    assert_eq!((&*outputs[0].name, data(&outputs[0])), ("a", &(-7_i64).to_le_bytes()[..]));
    assert_eq!((&*outputs[1].name, data(&outputs[1])), ("b", &b"\x01\x02\x03"[..]));
}

#[tokio::test]
async fn a_site_without_the_binary_extension_gets_json_and_one_that_answers_json_is_understood() {
    let answer = r#"{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[[1.5,-2]]},
        {"name":"t","datatype":"BYTES","shape":[1],"data":["LOT"]},{"name":"h","datatype":"FP16","shape":[1],"data":[1]}]}"#;
    let (server, seen) = keeping(ok(answer)).await;
    for protocol in [OIP_JSON, OIP] {
        let inputs = vec![
            tensor("x", "FP32", &[2], [0.1_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()),
            tensor("b", "BOOL", &[2], &b"\x01\0"[..]),
            tensor("t", "BYTES", &[1], &b"\x03\0\0\0a\"b"[..]),
        ];
        let outputs = tensors(
            carry_out(order(site(protocol, &server.url()), Content::Tensors { inputs, outputs: Vec::new() })).await,
        );
        assert_eq!(data(&outputs[0]), [1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat());
        assert_eq!((data(&outputs[1]), data(&outputs[2])), (&b"\x03\0\0\0LOT"[..], &b"\0\x3c"[..]));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].header("inference-header-content-length"), None);
    let body: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(
        body,
        json!({"inputs": [
            {"name": "x", "datatype": "FP32", "shape": [2], "data": [0.1, -2.0]},
            {"name": "b", "datatype": "BOOL", "shape": [2], "data": [true, false]},
            {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["a\"b"]},
        ]})
    );
    assert_eq!(header_and_raw(&seen[1]).0["parameters"], json!({"binary_data_output": true}));
}

#[tokio::test]
async fn what_cannot_be_said_in_the_sites_protocol_is_named_and_nothing_leaves() {
    let (server, seen) = keeping(ok("{}")).await;
    let nan: Vec<u8> = f32::NAN.to_le_bytes().into();
    for (protocol, input, says) in [
        (OIP_JSON, tensor("x", "FP16", &[1], &b"\0\0"[..]), "input x: FP16 has no JSON form"),
        (OIP_JSON, tensor("x", "BF16", &[1], &b"\0\0"[..]), "input x: BF16 has no JSON form"),
        (OIP_JSON, tensor("x", "FP32", &[1], nan), "not a number has no JSON form"),
        (OIP_JSON, tensor("x", "BYTES", &[1], &b"\x01\0\0\0\xff"[..]), "no UTF-8 has no JSON form"),
        (OIP, tensor("x", "FP32", &[2], &b"\0\0"[..]), "input x: 2 bytes, but shape [2] of FP32 has 2 elements"),
        (OIP, tensor("x", "FP32", &[-1], &b""[..]), "shape [-1] is none"),
        (OIP, tensor("x", "BYTES", &[2], &b"\0\0\0\0"[..]), "1 elements of BYTES, but shape [2] has 2"),
        (OIP, tensor("x", "BYTES", &[1], &b"\x09\0\0\0"[..]), "do not fill its 4 bytes"),
        (OIP, tensor("x", "FLOAT", &[1], &b""[..]), "FLOAT is no datatype: takes BOOL"),
    ] {
        let done = carry_out(order(
            site(protocol, &server.url()),
            Content::Tensors { inputs: vec![input], outputs: Vec::new() },
        ))
        .await;
        let error = done.result.unwrap_err();
        assert_eq!((error.kind(), done.sent, done.sent_bytes), (Kind::Unfit, Sent::Nothing, 0));
        assert!(error.to_string().contains(says), "{error}");
    }
    let chat = carry_out(order(site(OIP, &server.url()), crate::desk::chat())).await;
    assert_eq!(chat.result.unwrap_err().kind(), Kind::Unfit);
    assert_eq!((seen.lock().unwrap().len(), server.connections()), (0, 0));
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_for_is_garbage_by_name() {
    let one = |rest: &str| ok(&format!(r#"{{"outputs":[{{"name":"y","datatype":"FP32",{rest}}}]}}"#));
    for (answer, says) in [
        (ok("<html>"), "body: expected value"),
        (ok(r#"{"error":"out of memory"}"#), "(200), and then: out of memory"),
        (ok(r#"{"outputs":[]}"#), "output y is missing: nothing came"),
        (one(r#""shape":[3],"data":[1,2]"#), "output y: 8 bytes, but shape [3] of FP32"),
        (one(r#""shape":[2],"data":[1,2]"#), "output y: shape [2], and the model gives [1, 2]"),
        (one(r#""shape":[1,2],"data":[1,"a"]"#), "outputs[0].data[1]: a text where FP32 takes numbers"),
        (one(r#""shape":[1,2],"parameters":{"binary_data_size":8}"#), "Inference-Header-Content-Length"),
        (
            ok(r#"{"outputs":[{"name":"y","datatype":"FP64","shape":[1,2],"data":[1,2]}]}"#),
            "FP64, and the model gives FP32",
        ),
        (
            ok(
                r#"{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1,2]},{"name":"z","datatype":"INT8","shape":[0],"data":[]}]}"#,
            ),
            "z came, which nobody asked for",
        ),
        (
            ok(
                r#"{"outputs":[{"name":"y","datatype":"INT8","shape":[0],"data":[]},{"name":"y","datatype":"INT8","shape":[0],"data":[]}]}"#,
            ),
            "output y comes twice",
        ),
        (
            binary(
                r#"{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}"#,
                b"1234567",
            ),
            "8 bytes, but 7 are left",
        ),
        (
            binary(
                r#"{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}"#,
                b"123456789",
            ),
            "1 bytes are left",
        ),
        (response("200 OK", "Inference-Header-Content-Length: 99\r\n", b"{}"), "Inference-Header-Content-Length: 99"),
        (response("200 OK", "Inference-Header-Content-Length: x\r\n", b"{}"), "takes a number of bytes"),
        (response("200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b"), "compressed (gzip)"),
        (response("204 No Content", "", b""), "status 204"),
    ] {
        let server = answering(move |_| answer.clone()).await;
        let Content::Tensors { inputs, .. } = two() else { panic!() };
        let wanted = vec![spec("y", Datatype::Fp32, &[1, 2])];
        let done = carry_out(order(site(OIP, &server.url()), Content::Tensors { inputs, outputs: wanted })).await;
        let error = done.result.unwrap_err();
        assert!(error.kind() == Kind::Garbage && error.to_string().contains(says), "{error}");
        assert_eq!(done.sent, Sent::All);
    }
}

#[tokio::test]
async fn an_encoded_payload_is_one_element_and_a_document_may_come_back() {
    let text = |text: &str| {
        ok(&format!(r#"{{"outputs":[{{"name":"y","datatype":"BYTES","shape":[1],"data":[{}]}}]}}"#, json!(text)))
    };
    let (server, seen) = keeping(text(r#"{"labels":[]}"#)).await;
    let encoded = |data: &'static [u8]| Content::Encoded {
        input: "image".into(),
        content_type: "image/png".into(),
        data: Blob::Inline(data.into()),
    };
    let done = carry_out(order(site(OIP, &server.url()), encoded(b"\x89PNG"))).await;
    let Ok(Answer::Document(document)) = done.result else { panic!("{:?}", done.result) };
    assert_eq!(document, r#"{"labels":[]}"#);
    let (header, raw) = header_and_raw(&seen.lock().unwrap()[0]);
    assert_eq!(raw, b"\x04\0\0\0\x89PNG");
    assert_eq!(header["inputs"][0]["parameters"], json!({"content_type": "image/png", "binary_data_size": 8}));
    let (server, _) = keeping(text("just a word")).await;
    let done = carry_out(order(site(OIP, &server.url()), encoded(b"x"))).await;
    assert!(matches!(done.result, Ok(Answer::Tensors(_))), "{:?}", done.result);
    let done = carry_out(order(site(OIP_JSON, &server.url()), encoded(b"\xff"))).await;
    assert_eq!(done.result.unwrap_err().kind(), Kind::Unfit);
}

#[tokio::test]
async fn names_are_escaped_in_addresses_and_an_address_may_have_a_path_of_its_own() {
    let (server, seen) = keeping(ok(r#"{"outputs":[]}"#)).await;
    let mut asked = order(site(OIP, &format!("{}/serve/a/?key=1", server.url())), two());
    asked.model = "a/../b c?".into();
    carry_out(asked).await.result.unwrap();
    assert_eq!(seen.lock().unwrap()[0].line(), "POST /serve/a/v2/models/a%2F..%2Fb%20c%3F/infer");
}

#[tokio::test]
async fn connections_are_kept_and_no_more_are_made_than_the_site_may_have() {
    let (server, seen) = keeping(ok(r#"{"outputs":[]}"#)).await;
    let mut uplink = uplink();
    let mut address = site(OIP, &server.url());
    address.connections = 2;
    let address = Arc::new(address);
    for ticket in 0..20 {
        let mut asked = order(Arc::clone(&address), two());
        asked.ticket = ticket;
        uplink.send(asked).unwrap();
    }
    let mut connected = 0;
    for _ in 0..20 {
        let done = crate::desk::next(&mut uplink).await;
        done.result.unwrap();
        connected += usize::from(done.connect.is_some());
    }
    assert_eq!((server.connections() <= 2, connected <= 2, seen.lock().unwrap().len()), (true, true, 20));
    assert_eq!(uplink.under_way(), 0);
}

#[tokio::test]
async fn a_probe_asks_for_health_and_for_what_a_model_is() {
    let server = answering(|request| match request.line() {
        "GET /v2/health/ready" | "GET /v2/models/m/ready" => response("200 OK", "", b""),
        "GET /v2/models/m/versions/3" => ok(r#"{"name":"m","versions":["3"],"platform":"p","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[]}"#),
        "GET /v2/models/gone/ready" => response("400 Bad Request", "", br#"{"error":"no model gone"}"#),
        _ => response("404 Not Found", "", b""),
    })
    .await;
    let ask = |what| probe(site(OIP, &server.url()), what);
    let health = |model: &str| Question::Health { model: Some(model.into()) };
    assert!(matches!(ask(health("m")).await.result, Ok(Seen::Ready(_))));
    let gone = ask(health("gone")).await.result.unwrap_err();
    assert!(gone.kind() == Kind::Rejected && gone.to_string().contains("no model gone"), "{gone}");
    let told = ask(Question::Metadata { model: "m".into(), version: Some("3".into()) }).await;
    let Ok(Seen::Metadata(told)) = told.result else { panic!("{told:?}") };
    assert_eq!(told.inputs, [spec("x", Datatype::Fp32, &[-1, 2])]);
    let none = ask(Question::Metadata { model: "m".into(), version: None }).await;
    assert_eq!(none.result.unwrap_err().kind(), Kind::Rejected);
}
