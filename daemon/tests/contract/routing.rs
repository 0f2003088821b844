//! The interface `Routing`, and chats, against the scripted driver.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, Write as _};

use edge_wire::error::ErrorCode;
use edge_wire::proxy::{InferenceProxy, RoutingProxy};
use edge_wire::sites::{AuditEntry, Explanation, Replay, UsageRow};
use zbus::Variant;

use crate::fake::{client, refused};

fn file(text: &str) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

#[tokio::test]
async fn a_request_is_explained_by_its_profile() {
    let client = client().await;
    let routing = RoutingProxy::new(&client.connection).await.unwrap();
    let profile = HashMap::from([
        ("deadline_ms", Variant::from(250_u32)),
        ("bytes", Variant::from(110_000_u64)),
        ("input_tokens", Variant::from(12_u8)),
        ("source", Variant::from("bus:1000")),
        ("text", Variant::from("a text")),
    ]);
    let told = routing.explain("ocr", &profile).await.unwrap();
    let word = |key: &str| <&str>::try_from(&told[key]).unwrap().to_owned();
    assert_eq!((word("verdict"), word("site"), word("model")), ("spill".into(), "plant".into(), "ocr".into()));
    let all: Explanation = serde_json::from_str(&word("json")).unwrap();
    assert_eq!((all.reason.as_str(), all.predicted_ms), ("predicted_wait", Some(900.0)));
    let events = client.driver.seen.lock().unwrap().events.clone();
    for part in ["deadline_ms: Some(250)", "bytes: Some(110000)", "input_tokens: 12", "\"bus:1000\"", "\"a text\""] {
        assert!(events[0].contains(part), "{part} in {events:?}");
    }
    let no = refused(routing.explain("nope", &HashMap::new()).await);
    assert_eq!(no.code, ErrorCode::UnknownModel);
}

#[tokio::test]
async fn bad_options_name_the_field_and_what_it_takes() {
    let client = client().await;
    let routing = RoutingProxy::new(&client.connection).await.unwrap();
    for (key, value, takes) in [
        ("bytes", Variant::from(-1), "bytes: takes an integer"),
        ("input_tokens", Variant::from(1_u64 << 40), "input_tokens: takes an integer from 0 to 4294967295"),
        ("text", Variant::from(7), "text: takes a text"),
        ("deadline_ms", Variant::from(0), "1 to 604800000"),
    ] {
        let no = refused(routing.explain("ocr", &HashMap::from([(key, value)])).await);
        assert!(no.code == ErrorCode::InvalidInput && no.message.contains(takes), "{key}: {}", no.message);
    }
    let no = refused(routing.usage(&HashMap::from([("step", Variant::from("week"))])).await);
    assert!(no.message.contains("minute, hour, day or all"), "{}", no.message);
    let no = refused(routing.audit(&HashMap::from([("limit", Variant::from(1_001_u32))])).await);
    assert!(no.message.contains("limit: takes an integer from 0 to 1000"), "{}", no.message);
}

#[tokio::test]
async fn audit_usage_and_replay_are_passed_on() {
    let client = client().await;
    let routing = RoutingProxy::new(&client.connection).await.unwrap();
    let filter = HashMap::from([("site", Variant::from("plant")), ("limit", Variant::from(5_u32))]);
    let rows: Vec<AuditEntry> = serde_json::from_str(&routing.audit(&filter).await.unwrap()).unwrap();
    assert_eq!(rows[0].site, "plant");
    let step = HashMap::from([("step", Variant::from("hour"))]);
    let rows: Vec<UsageRow> = serde_json::from_str(&routing.usage(&step).await.unwrap()).unwrap();
    assert_eq!(rows[0].count, 7);
    let policy = file("[routing]\n");
    let told = routing.replay(zbus::Fd::from(&policy), &HashMap::new()).await.unwrap();
    assert_eq!(serde_json::from_str::<Replay>(&told).unwrap().decisions, 5);
    let bad = file("moon");
    let no = refused(routing.replay(zbus::Fd::from(&bad), &HashMap::new()).await);
    assert!(no.message.contains("no zone `moon`"), "{}", no.message);
    let large = file(&"x".repeat((1 << 20) + 1));
    let no = refused(routing.replay(zbus::Fd::from(&large), &HashMap::new()).await);
    assert!(no.message.contains("longer than"), "{}", no.message);
}

#[tokio::test]
async fn a_chat_that_is_none_is_refused_before_anything_is_asked() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    for (body, takes) in
        [("", "no JSON"), ("[]", "an object with `messages`"), ("{\"messages\": 3}", "`messages`, a list")]
    {
        let no = refused(inference.generate("echo", body, &HashMap::new()).await);
        assert!(no.code == ErrorCode::InvalidInput && no.message.contains(takes), "{body}: {}", no.message);
    }
    let no = refused(inference.generate("no", "{\"messages\":[]}", &HashMap::new()).await);
    assert_eq!(no.code, ErrorCode::Overloaded);
}

#[tokio::test]
async fn an_answer_that_comes_whole_is_one_chunk_with_usage_and_info_behind() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let stream = inference.generate("echo", "{\"messages\":[]}", &HashMap::new()).await.unwrap();
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::fs::File::from(std::os::fd::OwnedFd::from(stream)).read_to_string(&mut text).unwrap();
        text
    })
    .await
    .unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines.iter().all(|line| line["object"] == "chat.completion.chunk"), "{text}");
    assert_eq!(lines[0]["choices"][0]["delta"]["content"], "oil", "{text}");
    assert_eq!(lines[1]["usage"]["total_tokens"], 3, "{text}");
    assert!(lines[1]["info"]["request_id"].is_string(), "{text}");
}
