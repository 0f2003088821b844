//! Requests that other sites serve, with real servers where there are some, and scripted ones that do everything wrong.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use edge_tests::answer::{Options, Tensor, expect_no, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use edge_tests::client::routes::tensor_body;
use edge_tests::clock::{PATIENCE, Stopwatch, eventually, pace, within};
use edge_tests::faulty::{Direction, Faulty};
use edge_tests::recorded::{Answer, Pace, Recorded};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::{memfd, peers};
use edge_wire::proxy::{InferenceProxy, ManagerProxy, RoutingProxy};
use edge_wire::sites::{AuditEntry, Explanation, UsageRow};
use serde_json::{Value, json};
use zbus::Variant;

/// What the tensors of a request are known by in what crosses a link.
const MARKER: [f32; 4] = [1234.5, -77.25, 3.125, 99.0];

fn inputs() -> Vec<Tensor> {
    vec![Tensor::fp32("a", &[1, 4], &MARKER), Tensor::fp32("b", &[1, 4], &[1.0, 2.0, 3.0, 4.0])]
}

fn marker() -> Vec<u8> {
    MARKER.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn class(word: &str) -> Options {
    options(json!({ "data_class": word, "deadline_ms": 5000 }))
}

/// A site of the Open Inference Protocol that serves `add`.
fn plant(port: u16, more: &str) -> String {
    format!(
        "[[site]]\nname = \"plant\"\nzone = \"premises\"\nprotocol = \"oip\"\nurl = \"http://127.0.0.1:{port}\"\n\
         models = {{ add = \"add\" }}\n{more}\n"
    )
}

async fn routing(client: &BusClient) -> Result<RoutingProxy<'_>> {
    Ok(RoutingProxy::new(&client.connection).await?)
}

async fn audit(client: &BusClient) -> Result<Vec<AuditEntry>> {
    Ok(serde_json::from_str(&routing(client).await?.audit(&HashMap::new()).await?)?)
}

/// Reserves the device, so that nothing is served here.
async fn hold(client: &BusClient) -> Result<zbus::OwnedFd> {
    Ok(ManagerProxy::new(&client.connection).await?.hold("a test").await?)
}

fn text<'a>(info: &'a Value, key: &str) -> &'a str {
    info[key].as_str().unwrap_or_default()
}

#[test]
fn what_may_leave_a_box_that_is_held_is_served_by_a_real_server_and_noted() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let Some(peer) = peers::kserve(dir.path(), &["add"])? else { return Ok(()) };
        let link = Faulty::to(peer.port())?;
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&plant(link.port(), "")).start().await?;
        let client = stack.client().await?;
        let here = expect_yes("here", client.infer("add", &inputs(), &class("internal")).await?)?;
        ensure!(text(&here.info, "verdict") == "local", "{}", here.info);
        let held = hold(&client).await?;

        let no = client.infer("add", &inputs(), &class("regulated")).await?;
        expect_no("it must not leave", &no, "overloaded", &["holds the device", "data_class"])?;
        expect_no(
            "unlabelled",
            &client.infer("add", &inputs(), &Options::new()).await?,
            "overloaded",
            &["data_class"],
        )?;
        ensure!(!link.carried(Direction::Up, &marker())?, "a byte of it left");

        let there = expect_yes("there", client.infer("add", &inputs(), &class("internal")).await?)?;
        let info = &there.info;
        ensure!(text(info, "verdict") == "spill" && text(info, "reason") == "held", "{info}");
        ensure!(text(info, "site") == "plant" && text(info, "zone") == "premises", "{info}");
        edge_tests::answer::alike("the same answer", &there.outputs, &here.outputs)?;
        ensure!(link.carried(Direction::Up, &marker())?, "it crossed the link as raw tensors");
        let sealed = expect_yes("sealed", client.infer_sealed("add", &inputs(), &class("public")).await?)?;
        edge_tests::answer::alike("in memory files", &sealed.outputs, &here.outputs)?;

        let rows = audit(&client).await?;
        ensure!(rows.len() == 2, "{rows:?}");
        let row = &rows[1];
        ensure!(row.site == "plant" && row.zone == "premises" && row.data_class == "internal", "{row:?}");
        ensure!(row.digest.len() == 64 && row.outcome == "ok" && row.reason == "held" && row.attempt == 1, "{row:?}");
        let trace = client.trace(text(info, "request_id")).await?;
        let steps: Vec<&str> = trace.steps.iter().map(|step| step.step.as_str()).collect();
        ensure!(steps.contains(&"sent") && steps.contains(&"returned"), "{steps:?}");

        drop(held);
        let free = async || {
            let yes = client.infer("add", &inputs(), &class("internal")).await?;
            Ok(yes.ok().filter(|yes| text(&yes.info, "verdict") == "local").map(drop))
        };
        eventually("served here again", PATIENCE, free).await?;
        let usage = routing(&client).await?.usage(&HashMap::new()).await?;
        let usage: Vec<UsageRow> = serde_json::from_str(&usage)?;
        let spilled = usage
            .iter()
            .find(|row| row.verdict == "spill")
            .with_context(|| format!("no row for what was spilled: {usage:?}"))?;
        ensure!(spilled.count == 2 && spilled.failed == 0 && spilled.sent_bytes > 64, "{spilled:?}");
        Ok(())
    })?
}

#[test]
fn a_server_that_takes_json_alone_serves_as_well() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let Some(peer) = peers::mlserver(dir.path(), &["add"])? else { return Ok(()) };
        let site = plant(peer.port(), "binary = false");
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&site).start().await?;
        let client = stack.client().await?;
        let here = expect_yes("here", client.infer("add", &inputs(), &class("internal")).await?)?;
        let _held = hold(&client).await?;
        let there = expect_yes("there", client.infer("add", &inputs(), &class("internal")).await?)?;
        ensure!(text(&there.info, "site") == "plant", "{}", there.info);
        edge_tests::answer::alike("the same answer", &there.outputs, &here.outputs)
    })?
}

/// A site of the Open Inference Protocol that serves these models under their own names.
fn plant_of(port: u16, models: &[&str]) -> String {
    let models: Vec<String> = models.iter().map(|name| format!("{name} = \"{name}\"")).collect();
    format!(
        "[[site]]\nname = \"plant\"\nzone = \"premises\"\nprotocol = \"oip\"\nurl = \"http://127.0.0.1:{port}\"\n\
         models = {{ {} }}\n",
        models.join(", ")
    )
}

fn golden(path: &str) -> Result<Vec<u8>> {
    let path = edge_tests::places::repository().join("onnx-models").join(path);
    fs::read(&path).with_context(|| path.display().to_string())
}

const PAYLOADS: [(&str, &str, &str); 3] = [
    ("text-direction", "image/jpeg", "text-direction/golden/upside-down.jpg"),
    ("text-line", "image/jpeg", "text-line/golden/lot.jpg"),
    ("file-type", "application/octet-stream", "text-line/golden/lot.jpg"),
];

#[test]
fn a_picture_goes_to_a_server_of_tensors_as_the_tensor_that_its_model_takes() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let models = PAYLOADS.map(|(model, _, _)| model);
        let Some(peer) = peers::kserve(dir.path(), &models)? else { return Ok(()) };
        let link = Faulty::to(peer.port())?;
        let config = plant_of(link.port(), &models);
        let stack = Setup::new().bundles(&models).without_broker().config(&config).start().await?;
        let client = stack.client().await?;
        let given = options(json!({ "data_class": "internal", "deadline_ms": 20_000 }));
        let mut here = Vec::new();
        for (model, kind, path) in PAYLOADS {
            here.push(expect_yes(model, client.infer_bytes(model, kind, &golden(path)?, &given).await?)?);
        }
        let held = hold(&client).await?;
        for ((model, kind, path), here) in PAYLOADS.into_iter().zip(&here) {
            let payload = golden(path)?;
            let there = expect_yes(model, client.infer_bytes(model, kind, &payload, &given).await?)
                .with_context(|| stack.logs())?;
            ensure!(text(&there.info, "site") == "plant" && text(&there.info, "reason") == "held", "{}", there.info);
            ensure!(there.document == here.document, "{} instead of {}", there.document, here.document);
            ensure!(
                !link.carried(Direction::Up, payload.get(..64).context("short")?)?,
                "{model}: the file itself left"
            );
        }
        let rows = audit(&client).await?;
        // What left is what is noted: [1, 3, 48, 192] of FP32.
        ensure!(rows.iter().any(|row| row.model == "text-direction" && row.bytes == 3 * 48 * 192 * 4), "{rows:?}");
        ensure!(rows.len() == 3 && rows.iter().all(|row| row.outcome == "ok" && row.digest.len() == 64), "{rows:?}");

        // What no server could serve is the caller's to mend, and nothing of it leaves.
        let no = client.infer_bytes("text-line", "image/jpeg", b"no picture", &given).await?;
        expect_no("no picture", &no, "invalid_input", &["no image/jpeg"])?;
        let regulated = options(json!({ "data_class": "regulated", "deadline_ms": 20_000 }));
        let stays =
            client.infer_bytes("text-line", "image/jpeg", &golden("text-line/golden/lot.jpg")?, &regulated).await?;
        ensure!(stays.is_err(), "it must not leave");
        let profile =
            HashMap::from([("content_type", Variant::from("image/jpeg")), ("data_class", Variant::from("internal"))]);
        let explained = routing(&client).await?.explain("text-line", &profile).await?;
        let explained: Explanation = serde_json::from_str(<&str>::try_from(&explained["json"])?)?;
        ensure!(explained.verdict == "spill" && explained.site == "plant", "{explained:?}");
        ensure!(audit(&client).await?.len() == 3, "nothing more left");

        // Without the host nobody can make a tensor; with it again all is as before.
        edge_tests::process::signal_pid(stack.host_pid().await?, rustix::process::Signal::KILL)?;
        let again = async || {
            let (model, kind, path) = PAYLOADS[0];
            Ok(client.infer_bytes(model, kind, &golden(path)?, &given).await?.ok().map(drop))
        };
        eventually("served there again", PATIENCE, again).await.with_context(|| stack.logs())?;
        drop(held);
        Ok(())
    })?
}

#[test]
fn a_doubtful_picture_is_answered_by_a_server_of_tensors() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let Some(peer) = peers::kserve(dir.path(), &["text-direction"])? else { return Ok(()) };
        // Nothing is ever so sure.
        let rule = "stronger = [\"text-direction\"]\n[[rule]]\nname = \"sure\"\nmodels = [\"text-direction\"]\n\
                    check = { min_score = 1.0, min_margin = 1.0 }\n";
        let config = plant_of(peer.port(), &["text-direction"]) + rule;
        let stack = Setup::new().bundles(&["text-direction"]).without_broker().config(&config).start().await?;
        let client = stack.client().await?;
        let given = options(json!({ "data_class": "internal", "deadline_ms": 20_000 }));
        let picture = golden("text-direction/golden/upright.jpg")?;
        let yes = expect_yes("doubtful", client.infer_bytes("text-direction", "image/jpeg", &picture, &given).await?)
            .with_context(|| stack.logs())?;
        ensure!(text(&yes.info, "site") == "plant" && text(&yes.info, "reason") == "doubtful", "{}", yes.info);
        ensure!(yes.document["label"] == "0", "{}", yes.document);
        Ok(())
    })?
}

#[test]
fn tensors_that_mean_nothing_are_no_answer_to_a_picture() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let output = |name: &str, shape: Value, data: Value| json!({ "name": name, "datatype": "FP32", "shape": shape, "data": data });
        let name = "save_infer_model/scale_0.tmp_1";
        let config = plant_of(recorded.port(), &["text-direction"]);
        let stack = Setup::new().bundles(&["text-direction"]).without_broker().config(&config).start().await?;
        let client = stack.client().await?;
        let _held = hold(&client).await?;
        let given = options(json!({ "data_class": "internal", "deadline_ms": 20_000 }));
        let picture = golden("text-direction/golden/upright.jpg")?;
        for (outputs, part) in [
            (json!([]), name),
            (json!([output("other", json!([1, 2]), json!([0.5, 0.5]))]), name),
            (json!([output(name, json!([2, 2]), json!([0.5, 0.5, 0.5, 0.5]))]), "items"),
            (json!([output(name, json!([1, 3]), json!([0.5, 0.5, 0.5]))]), "shape"),
        ] {
            let body = json!({ "model_name": "text-direction", "outputs": outputs }).to_string();
            let answer = Answer::status(200, &["Content-Type: application/json"], body.as_bytes());
            recorded.answer("POST", "/v2/models/text-direction/infer", [answer]);
            let no = client.infer_bytes("text-direction", "image/jpeg", &picture, &given).await?;
            expect_no(part, &no, "unavailable", &["plant", part])?;
        }
        Ok(())
    })?
}

/// The lines of a stream.
async fn lines(stream: zbus::OwnedFd) -> Result<Vec<Value>> {
    let read = tokio::task::spawn_blocking(move || {
        let reader = BufReader::new(fs::File::from(OwnedFd::from(stream)));
        reader.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<Vec<Value>>>()
    });
    read.await?
}

#[test]
fn a_chat_with_a_model_that_lives_elsewhere_comes_piece_by_piece() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let Some(peer) = peers::openai(dir.path(), 512, Some("a-secret"))? else { return Ok(()) };
        let key = dir.path().join("key");
        fs::write(&key, "a-secret\n")?;
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let site = format!(
            "[[site]]\nname = \"writer\"\nzone = \"device\"\nprotocol = \"openai\"\nurl = \"{}\"\n\
             models = {{ chat = \"small\" }}\ncredential = \"{}\"\ncontext_tokens = 512\n\
             price = {{ input_usd_per_mtok = 1.0, output_usd_per_mtok = 2.0, as_of = \"2026-11-01\" }}\n",
            peer.url(),
            key.display()
        );
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&site).start().await?;
        let client = stack.client().await?;
        let inference = InferenceProxy::new(&client.connection).await?;
        let body = json!({ "messages": [{ "role": "user", "content": "Say one word." }], "max_tokens": 8 });
        let given = HashMap::from([("deadline_ms", Variant::from(60_000_u32))]);
        let told = lines(inference.generate("chat", &body.to_string(), &given).await?).await?;
        let (last, pieces) = told.split_last().context("nothing came")?;
        ensure!(pieces.len() > 1, "{told:?}");
        ensure!(pieces.iter().all(|piece| piece["object"] == "chat.completion.chunk"), "{pieces:?}");
        ensure!(last["usage"]["completion_tokens"].as_u64() > Some(0), "{last}");
        let info = &last["info"];
        ensure!(text(info, "site") == "writer" && text(info, "verdict") == "spill", "{info}");
        ensure!(text(info, "reason") == "only_there" && info["cost_usd"].as_f64() > Some(0.0), "{info}");
        // Nothing that stays on the device is anybody's business.
        ensure!(audit(&client).await?.is_empty());

        let long = json!({ "messages": [{ "role": "user", "content": "word ".repeat(2000) }] });
        let no = inference.generate("chat", &long.to_string(), &given).await.err().context("it was taken")?.to_string();
        ensure!(no.contains("Unavailable") && no.contains("longer than other sites take"), "{no}");
        let whole = client
            .infer_bytes(
                "chat",
                "application/json",
                body.to_string().as_bytes(),
                &options(json!({"deadline_ms": 60000})),
            )
            .await?;
        let whole = expect_yes("whole", whole)?;
        ensure!(whole.document["choices"][0]["message"]["content"].is_string(), "{}", whole.document);
        Ok(())
    })?
}

/// A model that lives on the scripted site only.
fn far(recorded: &Recorded, more: &str) -> String {
    format!(
        "[[site]]\nname = \"far\"\nzone = \"premises\"\nprotocol = \"oip\"\nurl = \"{}\"\nmodels = {{ far = \"far\" }}\n{more}\n",
        recorded.url()
    )
}

#[test]
fn whatever_a_site_answers_wrong_is_told_by_name_and_the_daemon_serves_on() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let elsewhere = Recorded::start()?;
        let to = format!("Location: {}/v2/models/far/infer", elsewhere.url());
        let good = json!({ "model_name": "far", "outputs": [{ "name": "sum", "datatype": "FP32", "shape": [1], "data": [1.0] }] });
        let endless = Answer::raw(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{good}"));
        let good = Answer::status(200, &["Content-Type: application/json"], good.to_string().as_bytes());
        let table: Vec<(&str, Answer, &str)> = vec![
            ("garbage", Answer::raw(&b"\x00\x01\x02 nothing like HTTP\r\n\r\n"[..]), "far"),
            ("no JSON", Answer::status(200, &["Content-Type: application/json"], b"<html>"), "not its protocol"),
            (
                "an error in a 200",
                Answer::status(200, &["Content-Type: application/json"], b"{\"error\":\"no such thing\"}"),
                "no such thing",
            ),
            ("half a body", good.clone().paced(Pace::Cut(90)), "far"),
            ("too much", endless.paced(Pace::Filled(100 << 20)), "far"),
            ("a redirect", Answer::status(302, &[&to], b""), "never followed"),
            ("a reset", good.clone().paced(Pace::Reset(60)), "far"),
            ("500", Answer::status(500, &[], b"oh no"), "failed (500)"),
            ("400", Answer::status(400, &[], b"{\"error\":\"a has the wrong shape\"}"), "wrong shape"),
            ("503", Answer::status(503, &["Retry-After: 1"], b""), "far"),
        ];
        for (name, answer, word) in table {
            // A stack each: what one of them did would trip the breaker for the next.
            let stack = Setup::new().bundles(&["add"]).without_broker().config(&far(&recorded, "")).start().await?;
            let client = stack.client().await?;
            recorded.answer("POST", "/v2/models/far/infer", [answer]);
            let given = options(json!({ "data_class": "internal", "deadline_ms": 3000 }));
            let outcome = client.infer("far", &inputs(), &given).await?;
            expect_no(name, &outcome, "unavailable", &[word, "far"])?;
            expect_yes("it serves on", client.infer("add", &inputs(), &Options::new()).await?)?;
            let row = audit(&client).await?.into_iter().next().context("it left unnoted")?;
            ensure!(row.outcome != "ok" && row.outcome != "open" && row.digest.len() == 64, "{name}: {row:?}");
        }
        ensure!(elsewhere.take().is_empty(), "a redirect was followed");
        // Byte by byte, longer than there is time: the deadline ends it.
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&far(&recorded, "")).start().await?;
        let client = stack.client().await?;
        recorded.answer("POST", "/v2/models/far/infer", [good.paced(Pace::Bytewise(Duration::from_millis(50)))]);
        let given = options(json!({ "data_class": "internal", "deadline_ms": 2600 }));
        let outcome = client.infer("far", &inputs(), &given).await?;
        expect_no("byte by byte", &outcome, "deadline_exceeded", &["deadline_ms"])
    })?
}

#[test]
fn a_site_that_cannot_be_used_is_not_asked_and_says_why() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let price = "price = { per_request_usd = 0.5, as_of = \"2026-11-01\" }\n";
        for (name, more, bar, word) in [
            ("a budget of zero", format!("{price}budget_usd_per_day = 0.0"), "budget", "budget"),
            ("a budget too small", format!("{price}budget_usd_per_day = 0.4"), "budget", "budget"),
            ("no credential", "credential = \"/nowhere/token\"".to_owned(), "off", "cannot be used"),
            ("small payloads only", "max_mib = 1".to_owned(), "", ""),
        ] {
            // With a credential, and without TLS, only on the box itself.
            let site =
                far(&recorded, &more).replace("\"premises\"", if bar == "off" { "\"device\"" } else { "\"premises\"" });
            let stack = Setup::new().bundles(&["add"]).without_broker().config(&site).start().await?;
            let client = stack.client().await?;
            let profile = HashMap::from([("data_class", Variant::from("internal")), ("bytes", Variant::from(100_u32))]);
            let told = routing(&client).await?.explain("far", &profile).await?;
            let told: Explanation = serde_json::from_str(<&str>::try_from(&told["json"])?)?;
            ensure!(told.sites[0].bar == bar, "{name}: {told:?}");
            if bar.is_empty() {
                ensure!(told.verdict == "spill" && told.site == "far", "{name}: {told:?}");
                continue;
            }
            ensure!(told.verdict == "refuse" && !told.otherwise.is_empty(), "{name}: {told:?}");
            let outcome = client.infer("far", &inputs(), &class("internal")).await?;
            expect_no(name, &outcome, "unavailable", &[word])?;
        }
        ensure!(recorded.take().iter().all(|asked| asked.method == "GET"), "something was sent");
        Ok(())
    })?
}

/// A site of OpenAI's protocol for the model `chat`, which answers as scripted.
fn writer(recorded: &Recorded, zone: &str) -> String {
    format!(
        "[[site]]\nname = \"writer\"\nzone = \"{zone}\"\nprotocol = \"openai\"\nurl = \"{}\"\nallow_plain = true\n\
         models = {{ chat = \"m\" }}\n",
        recorded.url()
    )
}

#[test]
fn what_a_stream_gives_is_chunks_with_usage_and_info_at_the_end_however_the_site_answers() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v1/models", [Answer::status(200, &[], b"{\"data\":[]}")]);
        let stack =
            Setup::new().bundles(&["add"]).without_broker().config(&writer(&recorded, "device")).start().await?;
        let client = stack.client().await?;
        let inference = InferenceProxy::new(&client.connection).await?;
        let body = json!({ "messages": [{ "role": "user", "content": "x" }], "max_tokens": 8 }).to_string();
        let given = HashMap::from([("deadline_ms", Variant::from(20_000_u32))]);
        let usage = json!({ "prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6 });
        let whole = json!({ "object": "chat.completion", "id": "c", "usage": usage, "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "ok" } }] });
        let spoof = json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "ok" }, "finish_reason": "stop" }],
            "info": { "site": "evil" }, "error": null });
        let events = |events: &str| Answer::status(200, &["Content-Type: text/event-stream"], events.as_bytes());
        for (what, answer, text_of_it, told) in [
            (
                "whole",
                Answer::status(200, &["Content-Type: application/json"], whole.to_string().as_bytes()),
                "ok",
                Some(6),
            ),
            ("nothing", events("data: [DONE]\n\n"), "", None),
            ("as another", events(&format!("data: {spoof}\n\ndata: [DONE]\n\n")), "ok", None),
        ] {
            recorded.answer("POST", "/v1/chat/completions", [answer]);
            let lines = lines(inference.generate("chat", &body, &given).await?).await.context(what)?;
            ensure!(lines.iter().all(|line| line["object"] == "chat.completion.chunk"), "{what}: {lines:?}");
            let (last, pieces) = lines.split_last().context("nothing came")?;
            let said = |piece: &Value| Some(piece["choices"][0]["delta"]["content"].as_str()?.to_owned());
            ensure!(pieces.iter().filter_map(said).collect::<String>() == text_of_it, "{what}: {lines:?}");
            let is_ours = |line: &Value| line.get("info").is_some() || line.get("error").is_some();
            ensure!(!pieces.iter().any(is_ours) && last["choices"] == json!([]), "{what}: {lines:?}");
            ensure!(text(&last["info"], "site") == "writer", "{what}: {last}");
            ensure!(last.get("usage").context("usage")?["total_tokens"].as_u64() == told, "{what}: {last}");
        }
        Ok(())
    })?
}

#[test]
fn a_chat_in_any_descriptor_reaches_a_site_and_is_looked_into_first() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v1/models", [Answer::status(200, &[], b"{\"data\":[]}")]);
        let answer = json!({ "object": "chat.completion", "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "ok" } }] });
        let answer = Answer::status(200, &["Content-Type: application/json"], answer.to_string().as_bytes());
        recorded.answer("POST", "/v1/chat/completions", [answer]);
        let config = format!("[detect]\nenabled = true\n\n{}", writer(&recorded, "cloud"));
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&config).start().await?;
        let client = stack.client().await?;
        let given = options(json!({ "data_class": "public", "deadline_ms": 20_000 }));
        let clean = json!({ "messages": [{ "role": "user", "content": "what is the weather" }] }).to_string();
        let card = json!({ "messages": [{ "role": "user", "content": "card 4111 1111 1111 1111" }] }).to_string();
        for kind in ["a file", "a memfd", "a sealed memfd", "a pipe"] {
            let descriptor = |text: &str| -> Result<OwnedFd> {
                match kind {
                    "a file" => {
                        let path = stack.dir().join("question.json");
                        fs::write(&path, text)?;
                        memfd::open(path.to_str().context("a path of UTF-8")?)
                    }
                    "a memfd" => memfd::unsealed(text.as_bytes()),
                    "a sealed memfd" => memfd::sealed(text.as_bytes()),
                    _ => {
                        let (reading, writing) = memfd::silent_pipe()?;
                        std::io::Write::write_all(&mut fs::File::from(writing), text.as_bytes())?;
                        Ok(reading)
                    }
                }
            };
            let ask = async |text: &str| {
                client.infer_encoded("chat", "application/json", descriptor(text)?.as_fd(), &given).await
            };
            let yes = expect_yes(kind, ask(&clean).await?)?;
            ensure!(text(&yes.info, "site") == "writer", "{kind}: {}", yes.info);
            expect_no(kind, &ask(&card).await?, "confined", &["data_class"])?;
            let sent: Vec<_> = recorded.take().into_iter().filter(|asked| asked.method == "POST").collect();
            ensure!(sent.len() == 1, "{kind}: {sent:?}");
            let said: Value = serde_json::from_slice(&sent[0].body)?;
            ensure!(said["messages"][0]["content"] == "what is the weather", "{kind}: {said}");
        }
        Ok(())
    })?
}

#[test]
fn a_ceiling_for_a_topic_holds_for_what_came_on_it_wherever_the_reply_goes() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let sum = json!({ "name": "c", "datatype": "FP32", "shape": [1, 4], "data": [0.5, 0.5, 0.5, 0.5] });
        let body = json!({ "model_name": "add", "outputs": [sum] }).to_string();
        let answer = Answer::status(200, &["Content-Type: application/json"], body.as_bytes());
        recorded.answer("POST", "/v2/models/add/infer", [answer]);
        for (filter, leaves) in
            [("edge/+/infer/#", false), ("edge/box/infer/add", false), ("edge/+/result/#", true), ("test/#", true)]
        {
            let config = format!(
                "{}allow_plain = true\n\n[[rule]]\nname = \"cell\"\nsources = [\"mqtt:{filter}\"]\nceiling = \"regulated\"\n",
                plant(recorded.port(), "").replace("\"premises\"", "\"cloud\"")
            );
            let stack = Setup::new().bundles(&["add"]).config(&config).start().await?;
            let client = stack.client().await?;
            let device = Device::connect(stack.mqtt_port()?, Protocol::V311).await?;
            let _held = hold(&client).await?;
            for (id, reply_to) in [("own", Some("edge/somewhere/else")), ("usual", None)] {
                let mut body = tensor_body(&inputs(), &class("public"))?;
                (body["id"], body["reply_to"]) = (json!(id), json!(reply_to.unwrap_or(&device.reply_topic)));
                device.subscribe("edge/somewhere/else").await?;
                let payload = serde_json::to_vec(&body)?.into();
                let topic = request_topic("add");
                device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
                let said = device.reply_to_id(id).await?;
                ensure!(said.is_ok() == leaves, "{filter} {id}: {said:?}");
            }
            let sent = recorded.take().into_iter().filter(|asked| asked.method == "POST").count();
            ensure!(sent == if leaves { 2 } else { 0 }, "{filter}: {sent} were sent");
        }
        Ok(())
    })?
}

#[test]
fn personal_data_stays_unless_a_rule_has_it_taken_out() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v1/models", [Answer::status(200, &[], b"{\"data\":[]}")]);
        let answer = json!({ "object": "chat.completion", "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "ok" } }], "usage": { "prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6 } });
        let answer = Answer::status(200, &["Content-Type: application/json"], answer.to_string().as_bytes());
        recorded.answer("POST", "/v1/chat/completions", [answer]);
        let site = format!(
            "[detect]\nenabled = true\n\n[[site]]\nname = \"cloud\"\nzone = \"cloud\"\nprotocol = \"openai\"\nurl = \"{}\"\n\
             allow_plain = true\nmodels = {{ chat = \"c\", helper = \"c\" }}\n\n\
             [[rule]]\nname = \"cleaned\"\nmodels = [\"helper\"]\nredact = {{ to = \"public\" }}\n",
            recorded.url()
        );
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&site).start().await?;
        let client = stack.client().await?;
        let ask = async |model: &str, said: &str| {
            let body = json!({ "messages": [{ "role": "user", "content": said }] }).to_string();
            let given = options(json!({ "data_class": "public", "deadline_ms": 60_000 }));
            client.infer_bytes(model, "application/json", body.as_bytes(), &given).await
        };
        expect_yes("nothing is found", ask("chat", "what is the weather").await?)?;
        for secret in ["4111 1111 1111 1111", "jo@example.com", "GB82 WEST 1234 5698 7654 32"] {
            let no = ask("chat", &format!("my number is {secret}, thanks")).await?;
            expect_no(secret, &no, "confined", &["data_class"])?;
        }
        let before = recorded.take().into_iter().filter(|asked| asked.method == "POST").count();
        ensure!(before == 1, "{before} were sent");
        let yes = expect_yes("cleaned", ask("helper", "write to jo@example.com, please").await?)?;
        ensure!(text(&yes.info, "site") == "cloud" && text(&yes.info, "data_class") == "public", "{}", yes.info);
        let sent = recorded.take().into_iter().find(|asked| asked.method == "POST").context("nothing was sent")?;
        let sent = String::from_utf8(sent.body)?;
        ensure!(sent.contains("[email]") && !sent.contains("jo@"), "{sent}");
        let row = audit(&client).await?.into_iter().next().context("it left unnoted")?;
        ensure!(row.rules == "cleaned" && row.redacted == "1" && row.claimed == "public", "{row:?}");
        Ok(())
    })?
}

#[test]
fn a_bad_policy_is_refused_whole_and_the_old_one_stays() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&far(&recorded, "")).start().await?;
        let client = stack.client().await?;
        let manager = ManagerProxy::new(&client.connection).await?;
        let overlay = stack.dir().join("edged.toml.d/50-overlay.toml");
        let bad = format!(
            "{}\n[[site]]\nname = \"far\"\nzone = \"moon\"\nprotocol = \"oip\"\ncolour = 3\n",
            far(&recorded, "")
        );
        fs::write(&overlay, bad)?;
        let no = manager.reload().await.err().context("it was taken")?.to_string();
        for word in ["far", "moon", "colour", "url"] {
            ensure!(no.contains(word), "{word} in {no}");
        }
        let sites = async || anyhow::Ok(client.status().await?.routing.sites);
        ensure!(sites().await?.iter().map(|site| site.name.as_str()).eq(["far"]), "{:?}", sites().await?);
        fs::write(&overlay, far(&recorded, "").replace("\"far\"\nzone", "\"near\"\nzone"))?;
        manager.reload().await?;
        let renamed = async || Ok(sites().await?.iter().any(|site| site.name == "near").then_some(()));
        eventually("another site is there", PATIENCE, renamed).await?;
        Ok(())
    })?
}

/// A daemon that is killed with requests on its disk, and started again.
async fn killed(stack: &mut Stack) -> Result<()> {
    let daemon = stack.daemon_mut()?;
    daemon.process.signal(rustix::process::Signal::KILL)?;
    daemon.process.wait(PATIENCE)?;
    stack.start_daemon().await
}

#[test]
fn deferred_requests_outlive_the_daemon_and_are_answered_with_the_same_bytes() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&["add"]).without_broker().start().await?;
        let client = stack.client().await?;
        let held = hold(&client).await?;
        let given = |id: &str| options(json!({ "request_id": id, "deferrable": true, "deadline_ms": 600_000 }));
        let waiting: Vec<_> = ["a", "b", "c"]
            .map(|id| {
                let (inputs, given, path) = (inputs(), given(id), stack.bus.address());
                tokio::spawn(async move { BusClient::on_bus(&path).await?.infer("add", &inputs, &given).await })
            })
            .into();
        let on_disk = async || Ok((client.status().await?.routing.deferred >= 3).then_some(()));
        eventually("they wait on the disk", PATIENCE, on_disk).await?;
        drop(held);
        killed(&mut stack).await?;
        waiting.into_iter().for_each(|waiting| waiting.abort());
        let client = stack.client().await?;
        let served = async || Ok((client.status().await?.routing.deferred == 0).then_some(()));
        eventually("they are served", PATIENCE, served).await?;
        for id in ["a", "b", "c"] {
            let again = async || {
                let yes = expect_yes(id, client.infer("add", &inputs(), &given(id)).await?)?;
                Ok(Some(yes))
            };
            let yes = eventually("asked again", PATIENCE, again).await?;
            ensure!(yes.info["duplicate"] == true, "{id} was run again: {}", yes.info);
            ensure!(yes.outputs[0].floats()? == [1235.5, -75.25, 6.125, 103.0], "{yes:?}");
        }
        Ok(())
    })?
}

#[test]
fn what_waits_on_the_disk_is_given_up_over_mqtt_also_after_the_daemon_was_killed() -> Result<()> {
    block_on(async {
        let nowhere = "[[site]]\nname = \"far\"\nzone = \"premises\"\nprotocol = \"oip\"\nurl = \"http://127.0.0.1:9\"\n\
                       models = { far = \"far\" }\n";
        let mut stack = Setup::new().bundles(&["add"]).config(nowhere).start().await?;
        stack.connected().await?;
        let device = stack.device(Protocol::V311).await?;
        let given = |id: &str| options(json!({ "request_id": id, "deferrable": true, "deadline_ms": 600_000 }));
        let give_up = async |stack: &Stack, id: &str| {
            let topic = request_topic("far").replace("infer/far", &format!("cancel/{id}"));
            device.publish(Outgoing { topic, qos: 1, ..Outgoing::default() }).await?;
            expect_no(id, &device.reply_to_id(id).await?, "cancelled", &["by the caller"])?;
            let client = stack.client().await?;
            let gone = async || Ok((client.status().await?.routing.deferred == 0).then_some(()));
            eventually("it is gone from the disk", PATIENCE, gone).await
        };
        for (id, kill) in [("alive", false), ("killed", true)] {
            let body = tensor_body(&inputs(), &given(id))?;
            let mut body = body.as_object().context("a body is an object")?.clone();
            body.insert("reply_to".into(), device.reply_topic.clone().into());
            let payload = serde_json::to_vec(&body)?.into();
            device.publish(Outgoing { topic: request_topic("far"), payload, qos: 1, ..Outgoing::default() }).await?;
            let client = stack.client().await?;
            let on_disk = async || Ok((client.status().await?.routing.deferred == 1).then_some(()));
            eventually("it waits on the disk", PATIENCE, on_disk).await?;
            if kill {
                killed(&mut stack).await?;
                stack.connected().await?;
            }
            give_up(&stack, id).await.with_context(|| stack.logs())?;
        }
        Ok(())
    })?
}

#[test]
fn what_may_wait_is_not_sent_over_and_over_to_a_site_that_cannot_serve_it() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let good = json!({ "model_name": "near", "outputs": [{ "name": "sum", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 1.0, 1.0, 1.0] }] });
        let good = Answer::status(200, &["Content-Type: application/json"], good.to_string().as_bytes());
        recorded.answer("POST", "/v2/models/near/infer", [good.clone()]);
        let site = |name: &str, url: &str, models: &str| {
            format!(
                "[[site]]\nname = \"{name}\"\nzone = \"premises\"\nprotocol = \"oip\"\nurl = \"{url}\"\nmodels = {{ {models} }}\n"
            )
        };
        let config = site("far", &recorded.url(), "near = \"near\", far = \"far\", both = \"both\"")
            + &site("gone", "http://127.0.0.1:9", "both = \"both\"");
        let stack = Setup::new().bundles(&["add"]).without_broker().config(&config).start().await?;
        let client = stack.client().await?;
        let given = |id: &str| {
            let class = "internal";
            options(json!({ "request_id": id, "deferrable": true, "deadline_ms": 600_000, "data_class": class }))
        };
        let sent = |model: &str| {
            let path = format!("/v2/models/{model}/infer");
            recorded.take().into_iter().filter(|asked| asked.path == path).count()
        };
        let no = Answer::status(400, &[], b"{\"error\":\"a has the wrong shape\"}");

        // Rejected by the one site that serves it: it ends, by that site's words.
        recorded.answer("POST", "/v2/models/far/infer", [no.clone()]);
        let outcome = client.infer("far", &inputs(), &given("far")).await?;
        expect_no("rejected", &outcome, "unavailable", &["site far", "wrong shape"])?;
        ensure!(client.status().await?.routing.deferred == 0 && sent("far") == 1);

        // By one of two: it waits for the other, and only for that. A model that is not there may come.
        recorded.answer("POST", "/v2/models/both/infer", [no]);
        let missing = Answer::status(404, &[], b"{\"error\":\"no such model\"}");
        recorded.answer("POST", "/v2/models/far/infer", [missing]);
        let waiting = ["both", "far"].map(|model| {
            let (client, inputs, given) = (client.clone(), inputs(), given(&format!("{model}-waits")));
            tokio::spawn(async move { client.infer(model, &inputs, &given).await })
        });
        let watch = Stopwatch::start();
        let (mut both, mut far, mut ticks) = (0, 0, pace(Duration::from_millis(50)));
        while watch.elapsed() < Duration::from_secs(8) {
            // Others are served there all the time, and each answer is a reason to try what waits.
            expect_yes("others", client.infer("near", &inputs(), &class("internal")).await?)?;
            ticks.tick().await;
            let asked = recorded.take();
            let of = |model: &str| asked.iter().filter(|asked| asked.path.contains(model)).count();
            (both, far) = (both + of("/both/"), far + of("/far/"));
        }
        ensure!(both == 1 && (2..=5).contains(&far), "{both} {far}");
        let [both, far] = waiting;
        ensure!(!both.is_finished() && !far.is_finished());
        both.abort();
        recorded.answer("POST", "/v2/models/far/infer", [good]);
        ManagerProxy::new(&client.connection).await?.reload().await?;
        expect_yes("it is there now", within("far", PATIENCE, far).await???)?;
        Ok(())
    })?
}

#[test]
fn what_was_submitted_without_an_id_is_not_taken_for_what_a_former_daemon_has_on_its_disk() -> Result<()> {
    block_on(async {
        let nowhere = "[[site]]\nname = \"far\"\nzone = \"premises\"\nprotocol = \"openai\"\nurl = \"http://127.0.0.1:9\"\n\
                       models = { chat = \"m\" }\n";
        let mut stack = Setup::new().bundles(&["add"]).without_broker().config(nowhere).start().await?;
        for waiting in 1..=2 {
            let client = stack.client().await?;
            let body = json!({ "messages": [{ "role": "user", "content": format!("the {waiting}th") }] }).to_string();
            let given = options(json!({ "deferrable": true, "deadline_ms": 600_000 }));
            client
                .submit("chat", "application/json", body.as_bytes(), &given)
                .await?
                .map_err(|no| anyhow!("{no:?}"))?;
            let on_disk = async || Ok((client.status().await?.routing.deferred == waiting).then_some(()));
            eventually("it waits by itself", PATIENCE, on_disk).await?;
            if waiting == 1 {
                killed(&mut stack).await?;
            }
        }
        Ok(())
    })?
}
