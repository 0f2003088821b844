//! Bad messages on the broker: bodies that are no bodies, reply topics that may not be, in both versions of the protocol.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use edge_tests::answer::{Options, expect_no, expect_yes};
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, request_topic};
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, Route, Routes, tensor_body};
use edge_tests::clock::PATIENCE;
use edge_tests::daemon::NODE;
use edge_tests::stack::{Setup, Stack};
use serde_json::{Value, json};
use tokio::sync::Mutex;

const MODEL: &str = "add";
/// Replies to unreadable requests name no id: whoever listens for one has the default reply topic for itself.
static DEFAULT_TOPIC: Mutex<()> = Mutex::const_new(());

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        a_body_that_is_no_json_object_is_refused,
        json_deeper_than_64_levels_is_refused,
        numbers_out_of_range_are_refused,
        keys_given_twice_are_refused,
        a_body_without_an_input_or_with_two_kinds_is_refused,
        fields_of_the_wrong_kind_are_named,
        a_broken_body_that_names_its_id_and_topic_is_answered_there,
        a_lying_header_length_of_binary_tensors_is_refused,
        a_reply_topic_with_wildcards_is_refused,
        a_reply_topic_with_a_leading_dollar_is_refused,
        a_reply_topic_that_is_a_request_topic_is_refused,
        a_reply_topic_outside_the_allowed_ones_is_refused,
        a_reply_topic_of_the_plants_own_pattern_is_allowed,
        without_a_reply_topic_the_reply_comes_to_the_default_one,
        a_reply_has_the_quality_of_its_request,
        a_message_expiry_is_a_deadline_and_deadline_ms_wins_over_it,
        messages_for_a_model_that_does_not_chat_are_refused,
    ];
    let setup = Setup::new().config("[mqtt]\nreply_allow = [\"plant/+/answers\"]");
    edge_tests::runner::run(setup, trials)
}

/// Sends a body as it is with MQTT 5, wants `invalid_input`, and asserts that the next good request is served.
async fn body_refused(stack: &Stack, what: &str, payload: impl Into<Bytes>, mentions: &[&str]) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    let payload = payload.into();
    for content_type in [None, Some("application/json".to_owned())] {
        let topic = request_topic(MODEL);
        let message = Outgoing { topic, payload: payload.clone(), qos: 1, content_type, ..Outgoing::default() };
        expect_no(what, &routes.five.ask5(message).await?, "invalid_input", mentions)?;
    }
    // MQTT 3.1.1 has no other place for a reply topic than the body, which may be unreadable: then it is the default one.
    let _alone = DEFAULT_TOPIC.lock().await;
    routes.three.subscribe(&default_topic(MODEL)).await?;
    routes.three.publish(Outgoing { topic: request_topic(MODEL), payload, qos: 1, ..Outgoing::default() }).await?;
    let told = routes.three.take(what, PATIENCE, refusal).await?;
    expect_no(what, &reply::read(&told)?, "invalid_input", mentions)?;
    for route in [Route::Json5, Route::Json311] {
        routes.serves(route, &good).await?;
    }
    Ok(())
}

fn refusal(message: &Incoming) -> bool {
    message.json().is_ok_and(|reply| reply["ok"] == false)
}

fn default_topic(model: &str) -> String {
    format!("edge/{NODE}/result/{model}")
}

async fn a_body_that_is_no_json_object_is_refused(stack: &Stack) -> Result<()> {
    let bodies: [(&str, &[u8]); 9] = [
        ("nothing", b""),
        ("a word", b"hello"),
        ("an array", b"[1, 2]"),
        ("a number", b"17"),
        ("null", b"null"),
        ("an object cut off", b"{\"inputs\": [{\"name\": "),
        ("something after the object", b"{\"text\": \"x\"} {}"),
        ("invalid UTF-8", b"{\"text\": \"caf\xe9\"}"),
        ("not a number", b"{\"inputs\": [{\"name\": \"a\", \"datatype\": \"FP32\", \"shape\": [1], \"data\": [NaN]}]}"),
    ];
    for (what, body) in bodies {
        body_refused(stack, what, Bytes::from_static(body), &[]).await?;
    }
    Ok(())
}

async fn json_deeper_than_64_levels_is_refused(stack: &Stack) -> Result<()> {
    for depth in [65, 1_000, 100_000] {
        let nested = format!("{{\"extra\": {}1{}, \"text\": \"x\"}}", "[".repeat(depth), "]".repeat(depth));
        body_refused(stack, "deep JSON", nested, &[]).await?;
    }
    let open_only = format!("{{\"inputs\": {}", "[".repeat(200_000));
    body_refused(stack, "brackets without an end", open_only, &[]).await
}

async fn numbers_out_of_range_are_refused(stack: &Stack) -> Result<()> {
    let good = Example::from(stack, MODEL).await?;
    for number in ["1e400", "-1e400", "1e39"] {
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        body["inputs"][0]["data"][0] = json!("NUMBER");
        let text = body.to_string().replace("\"NUMBER\"", number);
        body_refused(stack, &format!("FP32 {number}"), text, &["inputs[0]"]).await?;
    }
    for size in ["1e3000", "9223372036854775808", "-9223372036854775809", "1.5"] {
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        body["inputs"][0]["shape"][0] = json!("NUMBER");
        let text = body.to_string().replace("\"NUMBER\"", size);
        body_refused(stack, &format!("a dimension of {size}"), text, &["shape"]).await?;
    }
    for (datatype, number) in [("UINT8", "256"), ("UINT8", "-1"), ("INT32", "2147483648"), ("INT64", "0.5")] {
        let body = format!(
            "{{\"inputs\": [{{\"name\": \"a\", \"datatype\": \"{datatype}\", \"shape\": [1], \"data\": [{number}]}}]}}"
        );
        body_refused(stack, &format!("{datatype} {number}"), body, &["data"]).await?;
    }
    Ok(())
}

async fn keys_given_twice_are_refused(stack: &Stack) -> Result<()> {
    let tensor = "\"name\": \"a\", \"datatype\": \"FP32\", \"shape\": [1], \"data\": [1]";
    for (body, mention) in [
        (format!("{{\"deadline_ms\": 10, \"deadline_ms\": 1000, \"inputs\": [{{{tensor}}}]}}"), "deadline_ms"),
        (format!("{{\"inputs\": [{{{tensor}}}], \"inputs\": []}}"), "inputs"),
        (format!("{{\"inputs\": [{{{tensor}, \"shape\": [2]}}]}}"), "shape"),
    ] {
        body_refused(stack, "a key given twice", body, &[mention]).await?;
    }
    Ok(())
}

async fn a_body_without_an_input_or_with_two_kinds_is_refused(stack: &Stack) -> Result<()> {
    let good = Example::from(stack, MODEL).await?;
    body_refused(stack, "no input", "{}", &["inputs"]).await?;
    let mut both = tensor_body(&good.inputs, &Options::new())?;
    both["text"] = json!("and a text");
    body_refused(stack, "two kinds of input", both.to_string(), &["text"]).await
}

async fn fields_of_the_wrong_kind_are_named(stack: &Stack) -> Result<()> {
    let good = tensor_body(&Example::from(stack, MODEL).await?.inputs, &Options::new())?;
    let rows: [(&str, Value, &str); 7] = [
        ("/inputs", json!({"a": 1}), "inputs"),
        ("/inputs/0", json!("a"), "inputs[0]"),
        ("/inputs/0/name", json!(17), "name"),
        ("/inputs/0/datatype", json!(null), "datatype"),
        ("/inputs/0/shape", json!("2x3"), "shape"),
        ("/inputs/0/data", json!("0,0"), "data"),
        ("/inputs/0/data/0", json!("zero"), "data"),
    ];
    for (place, value, mention) in rows {
        let mut body = good.clone();
        *body.pointer_mut(place).with_context(|| format!("no {place} in {good}"))? = value;
        body_refused(stack, place, body.to_string(), &[mention]).await?;
    }
    Ok(())
}

async fn a_broken_body_that_names_its_id_and_topic_is_answered_there(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    for device in [&routes.five, &routes.three] {
        let id = device.fresh_id();
        let body = format!("{{\"id\": \"{id}\", \"reply_to\": \"{}\", \"inputs\": [[[", device.reply_topic);
        let topic = request_topic(MODEL);
        device.publish(Outgoing { topic, payload: body.into(), qos: 1, ..Outgoing::default() }).await?;
        expect_no("a body cut off", &device.reply_to_id(&id).await?, "invalid_input", &[])?;
    }
    Ok(())
}

async fn a_lying_header_length_of_binary_tensors_is_refused(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    let (body, header) = reply::binary_body(&good.inputs)?;
    for length in [
        "-1".to_owned(),
        "many".into(),
        "0".into(),
        (header - 1).to_string(),
        (body.len() + 1).to_string(),
        u64::MAX.to_string(),
    ] {
        let message = Outgoing {
            topic: request_topic(MODEL),
            payload: body.clone().into(),
            qos: 1,
            content_type: Some("application/octet-stream".into()),
            user: vec![(reply::HEADER_LENGTH.into(), length.clone())],
            ..Outgoing::default()
        };
        expect_no(&format!("a header length of {length}"), &routes.five.ask5(message).await?, "invalid_input", &[])?;
        routes.serves(Route::Binary5, &good).await?;
    }
    Ok(())
}

/// A request with this reply topic, in the body and as a property, is answered `not_authorized` on the default topic.
async fn topic_refused(stack: &Stack, topic: &str) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    let _alone = DEFAULT_TOPIC.lock().await;
    for device in [&routes.five, &routes.three] {
        device.subscribe(&default_topic(MODEL)).await?;
        let id = device.fresh_id();
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        (body["id"], body["reply_to"]) = (json!(id), json!(topic));
        refusal_on_default_topic(
            device,
            topic,
            &id,
            Outgoing { payload: body.to_string().into(), ..Outgoing::default() },
        )
        .await?;
    }
    // A response topic with a wildcard is a fault of the protocol, for which the broker closes the connection.
    if !topic.contains(['+', '#']) {
        let id = routes.five.fresh_id();
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        body["id"] = json!(id);
        let response_topic = Some(topic.to_owned());
        let message = Outgoing { payload: body.to_string().into(), response_topic, ..Outgoing::default() };
        refusal_on_default_topic(&routes.five, topic, &id, message).await?;
    }
    for route in [Route::Json5, Route::Json311] {
        routes.serves(route, &good).await?;
    }
    Ok(())
}

async fn refusal_on_default_topic(device: &Device, topic: &str, id: &str, message: Outgoing) -> Result<()> {
    device.publish(Outgoing { topic: request_topic(MODEL), qos: 1, ..message }).await?;
    let what = format!("the refusal of the reply topic {topic}");
    let told = device.take(&what, PATIENCE, |reply| reply::id_of(reply).is_some_and(|found| found == id)).await?;
    ensure!(told.topic == default_topic(MODEL), "{what} came to {}", told.topic);
    expect_no(&what, &reply::read(&told)?, "not_authorized", &["reply"])
}

async fn a_reply_topic_with_wildcards_is_refused(stack: &Stack) -> Result<()> {
    for topic in ["edge/replies/#", "edge/+/answers", "#", "edge/re+plies"] {
        topic_refused(stack, topic).await?;
    }
    Ok(())
}

async fn a_reply_topic_with_a_leading_dollar_is_refused(stack: &Stack) -> Result<()> {
    for topic in ["$SYS/broker", "$share/group/edge/replies"] {
        topic_refused(stack, topic).await?;
    }
    Ok(())
}

async fn a_reply_topic_that_is_a_request_topic_is_refused(stack: &Stack) -> Result<()> {
    for topic in ["edge/box/infer/add", "edge/other/infer/add", "edge/_group/g/infer/add", "edge/box/cancel/x"] {
        topic_refused(stack, topic).await?;
    }
    Ok(())
}

async fn a_reply_topic_outside_the_allowed_ones_is_refused(stack: &Stack) -> Result<()> {
    for topic in ["elsewhere", "plant/answers", "plant/a/b/answers", "edge", "edgewise/x", "edge/box/state"] {
        topic_refused(stack, topic).await?;
    }
    Ok(())
}

async fn a_reply_topic_of_the_plants_own_pattern_is_allowed(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    for device in [&routes.five, &routes.three] {
        device.subscribe("plant/+/answers").await?;
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        body["reply_to"] = json!("plant/line-3/answers");
        expect_yes("a reply to the plant", device.ask_json(MODEL, &body).await?)?;
    }
    Ok(())
}

async fn without_a_reply_topic_the_reply_comes_to_the_default_one(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    for device in [&routes.five, &routes.three] {
        device.subscribe(&default_topic(MODEL)).await?;
        let id = device.fresh_id();
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        body["id"] = json!(id);
        let topic = request_topic(MODEL);
        device.publish(Outgoing { topic, payload: body.to_string().into(), qos: 1, ..Outgoing::default() }).await?;
        expect_yes("a reply on the default topic", device.reply_to_id(&id).await?)?;
    }
    Ok(())
}

async fn a_reply_has_the_quality_of_its_request(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    for qos in [0, 1] {
        let payload = tensor_body(&good.inputs, &Options::new())?.to_string().into();
        let message = Outgoing { topic: request_topic(MODEL), payload, qos, ..Outgoing::default() };
        let reply = routes.five.exchange5(message).await?;
        ensure!(reply.qos == qos, "asked with QoS {qos}, answered with QoS {}", reply.qos);
    }
    // The device subscribes with QoS 1, which is then the most that it is given.
    let payload = tensor_body(&good.inputs, &Options::new())?.to_string().into();
    let message = Outgoing { topic: request_topic(MODEL), payload, qos: 2, ..Outgoing::default() };
    ensure!(routes.five.exchange5(message).await?.qos == 1, "QoS 2");
    Ok(())
}

async fn a_message_expiry_is_a_deadline_and_deadline_ms_wins_over_it(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let spin = edge_tests::spin::Spin::measure(stack).await?.lasting(1_600)?;
    let ask = async |options: Value| {
        let payload = tensor_body(&spin, &edge_tests::answer::options(options))?.to_string().into();
        let topic = request_topic(edge_tests::spin::MODEL);
        let message = Outgoing { topic, payload, qos: 1, expiry_seconds: Some(1), ..Outgoing::default() };
        routes.five.ask5(message).await
    };
    let watch = edge_tests::clock::Stopwatch::start();
    expect_no("an expiry of 1 s for work of 1.6 s", &ask(json!({})).await?, "deadline_exceeded", &[])?;
    ensure!(watch.elapsed() < Duration::from_millis(1_500), "it was answered after {:?}", watch.elapsed());
    expect_yes("deadline_ms of 20 s", ask(json!({"deadline_ms": 20_000})).await?).map(drop)
}

async fn messages_for_a_model_that_does_not_chat_are_refused(stack: &Stack) -> Result<()> {
    let body = json!({"messages": [{"role": "user", "content": "hello"}]});
    body_refused(stack, "messages", body.to_string(), &["messages"]).await
}
