//! Bad messages on the broker: bodies that are no bodies, reply topics that may not be, in both versions of the protocol on
//! either side of the broker.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use edge_tests::answer::{Options, expect_no, expect_yes, options};
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, Protocol, request_topic};
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, Route, Routes, tensor_body};
use edge_tests::clock::PATIENCE;
use edge_tests::daemon::NODE;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack};
use serde_json::{Value, json};
use tokio::sync::Mutex;

const MODEL: &str = "add";
/// Replies to unreadable requests name no id: whoever listens for one has the default reply topic for itself.
static DEFAULT_TOPIC: Mutex<()> = Mutex::const_new(());

fn main() -> ExitCode {
    // What a body alone can say, whichever version the daemon speaks with the broker.
    let bodies = edge_tests::trials![
        a_body_that_is_no_json_object_is_refused,
        json_deeper_than_64_levels_is_refused,
        numbers_out_of_range_are_refused,
        keys_given_twice_are_refused,
        a_body_without_an_input_or_with_two_kinds_is_refused,
        fields_of_the_wrong_kind_are_named,
        a_broken_body_that_names_its_id_and_topic_is_answered_there,
        a_reply_topic_with_wildcards_is_refused,
        a_reply_topic_with_a_leading_dollar_is_refused,
        a_reply_topic_that_is_a_request_topic_is_refused,
        a_reply_topic_outside_the_allowed_ones_is_refused,
        a_reply_topic_of_the_plants_own_pattern_is_allowed,
        without_a_reply_topic_the_reply_comes_to_the_default_one,
        messages_for_a_model_that_does_not_chat_are_refused,
    ];
    // What needs the properties of MQTT 5.
    let properties = edge_tests::trials![
        a_lying_header_length_of_binary_tensors_is_refused,
        a_reply_has_the_quality_of_its_request,
        a_message_expiry_is_a_deadline_and_deadline_ms_wins_over_it,
    ];
    let setup = |protocol: Protocol| {
        let word = protocol.word();
        Setup::new().config(&format!("[mqtt]\nprotocol = \"{word}\"\nreply_allow = [\"plant/+/answers\"]"))
    };
    edge_tests::runner::run_each(vec![
        ("", setup(Protocol::V5), [bodies.clone(), properties].concat()),
        ("with a daemon on 3.1.1: ", setup(Protocol::V311), bodies),
    ])
}

/// Whether the daemon sees the properties of MQTT 5.
async fn sees_properties(stack: &Stack) -> Result<bool> {
    Ok(stack.status().await?.mqtt.protocol == Protocol::V5.word())
}

/// Sends a body as it is in either version, wants `invalid_input`, and asserts that the next good request is served.
async fn body_refused(stack: &Stack, what: &str, payload: impl Into<Bytes>, mentions: &[&str]) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    let payload = payload.into();
    if sees_properties(stack).await? {
        for content_type in [None, Some("application/json".to_owned())] {
            let topic = request_topic(MODEL);
            let message = Outgoing { topic, payload: payload.clone(), qos: 1, content_type, ..Outgoing::default() };
            expect_no(what, &routes.five.ask5(message).await?, "invalid_input", mentions)?;
        }
    }
    // Without properties there is no other place for a reply topic than the body, which may be unreadable: then it is
    // the default one.
    let _alone = DEFAULT_TOPIC.lock().await;
    for device in [&routes.five, &routes.three] {
        device.subscribe(&default_topic(MODEL)).await?;
        let topic = request_topic(MODEL);
        device.publish(Outgoing { topic, payload: payload.clone(), qos: 1, ..Outgoing::default() }).await?;
        let refusal = |message: &Incoming| message.topic == default_topic(MODEL) && is_refusal(message);
        expect_no(what, &reply::read(&device.take(what, PATIENCE, refusal).await?)?, "invalid_input", mentions)?;
        // The other device's turn must not be told of this one's refusal.
        device.unsubscribe(&default_topic(MODEL)).await?;
    }
    for route in [Route::Json5, Route::Json311] {
        routes.serves(route, &good).await?;
    }
    Ok(())
}

fn is_refusal(message: &Incoming) -> bool {
    message.json().is_ok_and(|reply| reply["ok"] == false)
}

fn default_topic(model: &str) -> String {
    format!("edge/{NODE}/result/{model}")
}

/// A good body as text, its keys in the order in which people write them.
async fn good_body(stack: &Stack) -> Result<String> {
    let inputs = Example::from(stack, MODEL).await?.inputs;
    let tensors = inputs.iter().map(|tensor| {
        let json = tensor.to_json()?;
        let (shape, data) = (&json["shape"], &json["data"]);
        Ok(format!("{{\"name\": \"{}\", \"datatype\": \"FP32\", \"shape\": {shape}, \"data\": {data}}}", tensor.name))
    });
    Ok(format!("{{\"inputs\": [{}]}}", tensors.collect::<Result<Vec<_>>>()?.join(", ")))
}

/// The same with another first element of the first tensor.
fn with_first_element(good: &str, element: &str) -> Result<String> {
    let (before, after) = good.split_once("\"data\": [").context("a good body has data")?;
    let (_, rest) = after.split_once([',', ']']).context("data has an element")?;
    let more = after.find(',') < after.find(']');
    Ok(format!("{before}\"data\": [{element}{}{rest}", if more { ',' } else { ']' }))
}

/// The same with something more in it.
fn with_more(good: &str, more: &str) -> String {
    format!("{{{more}, {}", &good[1..])
}

async fn a_body_that_is_no_json_object_is_refused(stack: &Stack) -> Result<()> {
    let good = good_body(stack).await?;
    let mut no_utf_8 = with_more(&good, "\"note\": \"caf?\"").into_bytes();
    let place = no_utf_8.iter().position(|byte| *byte == b'?').context("a place")?;
    no_utf_8[place] = 0xe9;
    let at = format!("invalid UTF-8 at byte {place}");
    let rows: [(&str, Vec<u8>, &[&str]); 9] = [
        ("nothing", Vec::new(), &["EOF"]),
        ("a word", b"hello".into(), &["body"]),
        ("an array", b"[1, 2]".into(), &["JSON object"]),
        ("a number", b"17".into(), &["JSON object"]),
        ("null", b"null".into(), &["JSON object"]),
        ("an object cut off", good[..good.len() - 1].into(), &["EOF"]),
        ("something after the object", format!("{good} {{}}").into(), &["trailing"]),
        ("invalid UTF-8", no_utf_8, &[&at]),
        ("not a number", with_first_element(&good, "NaN")?.into(), &["inputs[0].data[0]"]),
    ];
    for (what, body, mentions) in rows {
        body_refused(stack, what, body, mentions).await?;
    }
    Ok(())
}

async fn json_deeper_than_64_levels_is_refused(stack: &Stack) -> Result<()> {
    let good = good_body(stack).await?;
    let nested = |depth: usize| format!("\"extra\": {}1{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [64, 1_000, 100_000] {
        body_refused(stack, "deep JSON", with_more(&good, &nested(depth)), &["deeper than 64"]).await?;
    }
    let open_only = with_first_element(&good, &"[".repeat(200_000))?;
    body_refused(stack, "brackets without an end", open_only, &["inputs[0].data[0]"]).await?;
    // The object itself is a level.
    let routes = Routes::open(stack).await?;
    for device in [&routes.five, &routes.three] {
        let body = serde_json::from_str(&with_more(&good, &nested(63)))?;
        expect_yes("64 levels", device.ask_json(MODEL, &body).await?)?;
    }
    Ok(())
}

async fn numbers_out_of_range_are_refused(stack: &Stack) -> Result<()> {
    let good = good_body(stack).await?;
    for number in ["1e400", "-1e400", "1e39"] {
        let body = with_first_element(&good, number)?;
        body_refused(stack, &format!("FP32 {number}"), body, &["inputs[0].data[0]"]).await?;
    }
    for size in ["1e3000", "9223372036854775808", "-9223372036854775809", "1.5"] {
        let body = good.replacen("\"shape\": [1", &format!("\"shape\": [{size}"), 1);
        ensure!(body != good, "no dimension of 1 in {good}");
        body_refused(stack, &format!("a dimension of {size}"), body, &["inputs[0].shape[0]"]).await?;
    }
    for (datatype, number) in [("UINT8", "256"), ("UINT8", "-1"), ("INT32", "2147483648"), ("INT64", "0.5")] {
        let body = with_first_element(&good, number)?.replacen("FP32", datatype, 1);
        body_refused(stack, &format!("{datatype} {number}"), body, &["inputs[0].data[0]"]).await?;
    }
    Ok(())
}

async fn keys_given_twice_are_refused(stack: &Stack) -> Result<()> {
    let good = good_body(stack).await?;
    for (body, mention) in [
        (with_more(&good, "\"deadline_ms\": 10, \"deadline_ms\": 10000"), "deadline_ms"),
        (with_more(&good, "\"inputs\": []"), "inputs"),
        (with_more(&good, "\"extra\": {\"colour\": 1, \"colour\": 2}"), "colour"),
        (good.replacen("\"shape\"", "\"shape\": [1, 4], \"shape\"", 1), "shape"),
    ] {
        body_refused(stack, "a key given twice", body, &[mention, "twice"]).await?;
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
        ("/inputs/0/name", json!(17), "inputs[0].name"),
        ("/inputs/0/datatype", json!(null), "inputs[0].datatype"),
        ("/inputs/0/shape", json!("2x3"), "inputs[0].shape"),
        ("/inputs/0/data", json!("0,0"), "inputs[0].data"),
        ("/inputs/0/data/0", json!("zero"), "inputs[0].data[0]"),
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

/// A request with this reply topic, in the body and as a property, is answered `not_authorized` on the default topic
/// and nowhere else.
async fn topic_refused(stack: &Stack, topic: &str) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    let _alone = DEFAULT_TOPIC.lock().await;
    let wild = topic.contains(['+', '#']);
    let mut asked = Vec::new();
    for device in [&routes.five, &routes.three] {
        device.subscribe(&default_topic(MODEL)).await?;
        device.subscribe(if wild { "edge/#" } else { topic }).await?;
        let id = device.fresh_id();
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        (body["id"], body["reply_to"]) = (json!(id), json!(topic));
        let payload = body.to_string().into();
        refusal_on_default_topic(device, topic, &id, Outgoing { payload, ..Outgoing::default() }).await?;
        asked.push(id);
    }
    // A response topic with a wildcard is a fault of the protocol, for which the broker closes the connection.
    if !wild && sees_properties(stack).await? {
        let id = routes.five.fresh_id();
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        body["id"] = json!(id);
        let response_topic = Some(topic.to_owned());
        let message = Outgoing { payload: body.to_string().into(), response_topic, ..Outgoing::default() };
        refusal_on_default_topic(&routes.five, topic, &id, message).await?;
        asked.push(id);
    }
    for route in [Route::Json5, Route::Json311] {
        routes.serves(route, &good).await?;
    }
    // What the daemon had sent anywhere would have come before the replies to these good requests.
    for device in [&routes.five, &routes.three] {
        let stray = device.take_all(|message| {
            message.topic != default_topic(MODEL) && reply::id_of(message).is_some_and(|id| asked.contains(&id))
        });
        ensure!(stray.is_empty(), "a reply came to {}: {stray:?}", stray[0].topic);
    }
    Ok(())
}

async fn refusal_on_default_topic(device: &Device, topic: &str, id: &str, message: Outgoing) -> Result<()> {
    device.publish(Outgoing { topic: request_topic(MODEL), qos: 1, ..message }).await?;
    let what = format!("the refusal of the reply topic {topic}");
    let fits = |told: &Incoming| told.topic == default_topic(MODEL) && reply::id_of(told).is_some_and(|own| own == id);
    let told = device.take(&what, PATIENCE, fits).await?;
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
    let spin = Spin::measure(stack).await?;
    let ask = async |milliseconds: i64, given: Value| {
        let payload = tensor_body(&spin.lasting(milliseconds)?, &options(given))?.to_string().into();
        let topic = request_topic(spin::MODEL);
        let message = Outgoing { topic, payload, qos: 1, expiry_seconds: Some(2), ..Outgoing::default() };
        routes.five.ask5(message).await
    };
    // The work would take five minutes, and the model's own deadline is one minute: longer than the reply is waited for.
    expect_no("an expiry of 2 s", &ask(300_000, json!({})).await?, "deadline_exceeded", &[])?;
    expect_yes("deadline_ms of 2 min", ask(3_000, json!({"deadline_ms": 120_000})).await?).map(drop)
}

async fn messages_for_a_model_that_does_not_chat_are_refused(stack: &Stack) -> Result<()> {
    let body = json!({"messages": [{"role": "user", "content": "hello"}]});
    body_refused(stack, "messages", body.to_string(), &["messages"]).await
}
