//! A request that goes through several models: the same on every way in, bounded, cut short, and with a stage that goes away
//! or a host that dies in the middle.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edge_tests::answer::{Options, Outcome, Tensor, Yes, expect_no, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::{Outgoing, Protocol, request_topic};
use edge_tests::client::routes::{EncodedRoute, Routes};
use edge_tests::clock::{PATIENCE, eventually, within};
use edge_tests::daemon::NODE;
use edge_tests::golden::{Golden, close, golden};
use edge_tests::media;
use edge_tests::places;
use edge_tests::stack::{Setup, Stack};
use edge_wire::names::{BUS_NAME, MODEL, REQUEST, model_path};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use zbus::{Proxy, Variant};

const READER: &str = "label-reader";
const STAGES: [&str; 3] = ["text-boxes", "text-direction", "text-line"];
const PHOTOGRAPHS: [&str; 3] = ["pump.jpg", "crate-turned.jpg", "without-text.jpg"];
/// Longer than anything here takes on a busy machine.
const PATIENT_MS: u64 = 60_000;

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        a_photograph_reads_the_same_on_every_way,
        the_reply_tells_what_ran_and_the_trace_its_stages,
        a_submitted_photograph_keeps_its_result,
        what_was_asked_before_is_answered_again_with_the_same_lines,
        a_deadline_that_cannot_be_held_is_refused_or_holds,
        what_is_no_photograph_is_refused_by_name,
        a_request_is_cancelled_with_all_its_stages,
        many_callers_each_get_their_own_lines,
        a_task_finds_the_reader,
        the_broker_and_the_command_show_it_like_a_model,
        the_command_draws_what_was_read,
        without_a_stage_it_is_unavailable_and_says_which,
        more_lines_than_allowed_leave_the_surest_and_a_warning,
        a_stage_that_is_unloaded_while_requests_flow_loses_none,
        an_engine_host_that_dies_in_the_middle_loses_none,
        what_a_dead_daemon_had_acknowledged_is_read_by_the_next_one,
    ];
    edge_tests::runner::run(Setup::new().bundles(&[&STAGES[..], &[READER]].concat()), trials)
}

fn photograph(name: &str) -> Result<(Golden, Vec<u8>)> {
    let golden = golden(READER, name)?;
    let bytes = std::fs::read(&golden.file)?;
    Ok((golden, bytes))
}

fn patient() -> Options {
    options(json!({"deadline_ms": PATIENT_MS}))
}

fn texts(document: &Value) -> Vec<&str> {
    document["lines"].as_array().into_iter().flatten().filter_map(|line| line["text"].as_str()).collect()
}

fn expect_lines(what: &str, outcome: Outcome, golden: &Golden) -> Result<Yes> {
    let yes = expect_yes(what, outcome)?;
    ensure!(close(&yes.document, &golden.expected), "{what}: {} instead of {}", yes.document, golden.expected);
    Ok(yes)
}

async fn a_photograph_reads_the_same_on_every_way(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    for name in PHOTOGRAPHS {
        let (golden, bytes) = photograph(name)?;
        for route in EncodedRoute::ALL {
            let what = format!("{name} over {route:?}");
            let outcome = routes.ask_encoded(route, READER, golden.kind, &bytes, &patient()).await?;
            expect_lines(&what, outcome, &golden)?;
        }
    }
    Ok(())
}

async fn the_reply_tells_what_ran_and_the_trace_its_stages(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (golden, bytes) = photograph("pump.jpg")?;
    let given = options(json!({"deadline_ms": PATIENT_MS, "request_id": "told"}));
    let info = expect_yes("told", client.infer_bytes(READER, golden.kind, &bytes, &given).await?)?.info;
    for (key, value) in [("model", READER), ("version", "1.0.0"), ("provider", "cpu"), ("variant", "fp32")] {
        ensure!(info[key] == value, "{key} in {info}");
    }
    let number = |key: &str| info[key].as_u64().unwrap_or(0);
    ensure!(number("compute_us") > 0 && number("batch") >= 1, "{info}");
    ensure!(number("queue_us") < number("total_us") && info["zone"] == "device", "{info}");
    let trace = client.trace("told").await?;
    let stages: Vec<&str> =
        trace.steps.iter().filter(|step| step.step == "stage").map(|step| step.detail.as_str()).collect();
    let begins = [
        "text-boxes:1.0.0: 8 boxes, ",
        "text-direction:1.0.0: 8 lines, 1 upside down, ",
        "text-line:1.0.0: 8 lines, 8 with text, ",
    ];
    ensure!(
        stages.len() == 3 && stages.iter().zip(begins).all(|(said, begins)| said.starts_with(begins)),
        "{stages:?}"
    );
    ensure!(trace.outcome == "done", "{trace:?}");
    // Its stages count as work of their models, and the whole as one request.
    let before = client.status().await?;
    expect_yes("again", client.infer_bytes(READER, golden.kind, &bytes, &patient()).await?)?;
    let after = client.status().await?;
    let done = |status: &edge_wire::dto::Status, name: &str| {
        status.models.iter().find(|model| model.name == name).map_or(0, |model| model.done)
    };
    ensure!(done(&after, READER) > done(&before, READER), "{:?}", after.models);
    ensure!(done(&after, "text-line") >= done(&before, "text-line") + 8, "{:?}", after.models);
    Ok(())
}

async fn a_submitted_photograph_keeps_its_result(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (golden, bytes) = photograph("crate-turned.jpg")?;
    let path = client.submit(READER, golden.kind, &bytes, &patient()).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
    let completed = async || {
        // A proxy of its own for each look: one keeps what it has seen.
        let object = Proxy::new(&client.connection, BUS_NAME, path.as_str(), REQUEST).await?;
        let state: String = object.get_property("State").await?;
        Ok((state == "completed").then_some(()))
    };
    eventually("the submitted photograph is read", PATIENCE, completed).await
}

async fn what_was_asked_before_is_answered_again_with_the_same_lines(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (golden, bytes) = photograph("crate-turned.jpg")?;
    let given = options(json!({"deadline_ms": PATIENT_MS, "request_id": "twice"}));
    let first = expect_lines("first", client.infer_bytes(READER, golden.kind, &bytes, &given).await?, &golden)?;
    let again = expect_yes("again", client.infer_bytes(READER, golden.kind, &bytes, &given).await?)?;
    ensure!(again.document == first.document && again.info["duplicate"] == true, "{again:?}");
    Ok(())
}

async fn a_deadline_that_cannot_be_held_is_refused_or_holds(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (golden, bytes) = photograph("pump.jpg")?;
    // One that was answered lately is known: the next is refused before anything is decoded.
    expect_yes("first", client.infer_bytes(READER, golden.kind, &bytes, &patient()).await?)?;
    let short = options(json!({"deadline_ms": 5, "request_id": "short"}));
    let outcome = client.infer_bytes(READER, golden.kind, &bytes, &short).await?;
    expect_no("5 ms", &outcome, "deadline_exceeded", &["deadline_ms"])?;
    let trace = client.trace("short").await?;
    ensure!(trace.steps.iter().all(|step| step.step != "stage"), "{trace:?}");
    Ok(())
}

async fn what_is_no_photograph_is_refused_by_name(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (golden, bytes) = photograph("crate-turned.jpg")?;
    let half = bytes.get(..bytes.len() / 2).context("half of it")?;
    let (bomb, none): (Vec<u8>, Vec<u8>) = (media::bomb_png()?, Vec::new());
    for (what, kind, payload, code, mentions) in [
        ("half a JPEG", golden.kind, half, "invalid_input", &["stage text-boxes:1.0.0", "truncated"][..]),
        ("noise", golden.kind, b"this is no picture", "invalid_input", &["stage text-boxes:1.0.0"]),
        ("a bomb", "image/png", &bomb, "too_large", &["stage text-boxes:1.0.0", "pixels"]),
        ("nothing", golden.kind, &none, "invalid_input", &["payload", "empty"]),
        ("a sound", "audio/wav", half, "invalid_input", &["content_type", "image/jpeg, image/png"]),
        ("raw pixels", "image/x-pixels", half, "invalid_input", &["content_type"]),
    ] {
        let outcome = client.infer_bytes(READER, kind, payload, &patient()).await?;
        expect_no(what, &outcome, code, mentions)?;
    }
    let large = vec![0xff; 33_554_433];
    let outcome = client.infer_bytes(READER, golden.kind, &large, &patient()).await?;
    expect_no("more than allowed", &outcome, "too_large", &["payload", "33554432"])?;
    let tensor = [Tensor::fp32("x", &[1], &[1.0])];
    expect_no("a tensor", &client.infer(READER, &tensor, &patient()).await?, "invalid_input", &["inputs", "picture"])?;
    let outcome = client.infer_bytes("label-reader:9.9.9", golden.kind, &bytes, &patient()).await?;
    expect_no("another version", &outcome, "unknown_model", &["label-reader"])?;
    expect_lines("a good one", client.infer_bytes(READER, golden.kind, &bytes, &patient()).await?, &golden).map(drop)
}

/// Asks `count` times at the same time.
fn ask(client: &BusClient, (golden, bytes): &(Golden, Vec<u8>), count: usize, id: &str) -> JoinSet<Result<Outcome>> {
    (0..count)
        .map(|number| {
            let (client, bytes, kind) = (client.clone(), bytes.clone(), golden.kind);
            let given = options(json!({"deadline_ms": PATIENT_MS, "request_id": format!("{id}-{number}")}));
            async move { client.infer_bytes(READER, kind, &bytes, &given).await }
        })
        .collect()
}

async fn a_request_is_cancelled_with_all_its_stages(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let pump = photograph("pump.jpg")?;
    let mut asked = ask(&client, &pump, 12, "cancel");
    // Some are detected, some read, some wait when they are cancelled.
    let one_is_read = async || {
        let traces = client.trace("cancel-0").await.ok();
        Ok(traces.filter(|trace| trace.steps.iter().any(|step| step.step == "stage")).map(drop))
    };
    eventually("a stage of the first is done", PATIENCE, one_is_read).await?;
    let mut cancelled = 0;
    for number in 0..12 {
        cancelled += usize::from(client.cancel(&format!("cancel-{number}")).await?.is_ok());
    }
    let mut ends = Vec::new();
    while let Some(outcome) = within("the end of each", PATIENCE, asked.join_next()).await? {
        ends.push(outcome??.map_or_else(|no| no.code, |_| "done".into()));
    }
    let told = ends.iter().filter(|end| *end == "cancelled").count();
    ensure!(told == cancelled && cancelled > 0 && ends.len() == 12, "{cancelled} were cancelled: {ends:?}");
    ensure!(ends.iter().all(|end| end == "cancelled" || end == "done"), "{ends:?}");
    let quiet = async || {
        let status = client.status().await?;
        let waits = status.models.iter().any(|model| model.waiting > 0);
        Ok((status.waiting == 0 && status.running == 0 && !waits).then_some(()))
    };
    eventually("nothing is left of them", PATIENCE, quiet).await
}

async fn many_callers_each_get_their_own_lines(stack: &Stack) -> Result<()> {
    let device = stack.device(Protocol::V5).await?;
    let routes = Routes::open(stack).await?;
    let mut asked = JoinSet::new();
    for number in 0..12 {
        let (golden, bytes) = photograph(PHOTOGRAPHS[number % 3])?;
        let client = if number % 2 == 0 { routes.bus.clone() } else { routes.peer.clone() };
        asked.spawn(async move {
            let outcome = client.infer_bytes(READER, golden.kind, &bytes, &patient()).await?;
            expect_lines(&format!("caller {number}"), outcome, &golden)
        });
    }
    let (golden, bytes) = photograph("pump.jpg")?;
    for _ in 0..3 {
        let outcome = routes.ask_encoded(EncodedRoute::Raw5, READER, golden.kind, &bytes, &patient()).await?;
        expect_lines("beside them, over the broker", outcome, &golden)?;
    }
    drop(device);
    while let Some(answer) = within("an answer", PATIENCE, asked.join_next()).await? {
        answer??;
    }
    Ok(())
}

async fn a_task_finds_the_reader(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (golden, bytes) = photograph("crate-turned.jpg")?;
    let given = options(json!({"deadline_ms": PATIENT_MS, "task": "text-reading"}));
    expect_lines("by its task", client.infer_bytes("", golden.kind, &bytes, &given).await?, &golden).map(drop)
}

/// What `edgectl` says, with its exit code.
fn edgectl(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(arguments).env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", stack.bus.address());
    let output = command.output().context("run edgectl")?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

async fn the_broker_and_the_command_show_it_like_a_model(stack: &Stack) -> Result<()> {
    let device = stack.device(Protocol::V5).await?;
    let topic = format!("edge/{NODE}/models/{READER}");
    device.subscribe(&topic).await?;
    let record = device.take(&topic, PATIENCE, |message| message.topic == topic && message.retain).await?.json()?;
    ensure!(record["state"] == "ready" && record["task"] == "text-reading", "{record}");
    ensure!(record["inputs"] == json!([]) && record["content_types"] == json!(["image/jpeg", "image/png"]), "{record}");
    let (code, said) = edgectl(stack, &["models", "show", READER])?;
    ensure!(code == Some(0) && said.contains("ready") && said.contains("text-reading"), "{said}");
    let (code, said) = edgectl(stack, &["status", "--check"])?;
    ensure!(code == Some(0) && said.contains(READER), "{said}");
    Ok(())
}

async fn the_command_draws_what_was_read(stack: &Stack) -> Result<()> {
    let (golden, _) = photograph("pump.jpg")?;
    let (file, out) = (golden.file.to_str().context("a path")?, stack.dir().join("read.png"));
    let arguments = ["infer", READER, file, "--annotate", out.to_str().context("a path")?];
    let (code, said) = edgectl(stack, &arguments)?;
    ensure!(code == Some(0), "{said}");
    for text in texts(&golden.expected) {
        ensure!(said.contains(text), "no {text} in {said}");
    }
    let drawn = image::open(&out)?.into_rgb8();
    ensure!(drawn.dimensions() == (960, 720), "{:?}", drawn.dimensions());
    // Beside the outlines there are letters.
    let ink = drawn.pixels().filter(|pixel| pixel.0 == [255, 0, 160]).count();
    ensure!(ink > 12_000, "{ink} pixels were drawn");
    Ok(())
}

async fn without_a_stage_it_is_unavailable_and_says_which(_: &Stack) -> Result<()> {
    let stack = Setup::new().bundles(&[READER, "text-boxes", "text-direction"]).without_broker().start().await?;
    let client = stack.client().await?;
    let status = client.status().await?;
    let reader = status.models.iter().find(|model| model.name == READER).context("the reader")?;
    ensure!(reader.state == "unavailable" && reader.reason == "stage text-line: not installed", "{reader:?}");
    let told = status.problems.iter().find(|problem| problem.subject.contains(READER)).context("a problem")?;
    ensure!(told.what == reader.reason && status.state == "degraded", "{told:?}");
    let (golden, bytes) = photograph("crate-turned.jpg")?;
    let outcome = client.infer_bytes(READER, golden.kind, &bytes, &patient()).await?;
    expect_no("without a stage", &outcome, "unavailable", &["label-reader:1.0.0", "stage text-line: not installed"])
}

/// A copy of the reader's bundle that is called otherwise and has one thing changed.
fn variant(dir: &Path, name: &str, old: &str, new: &str) -> Result<()> {
    let (from, to) = (places::bundle(READER)?, dir.join("more").join(name));
    std::fs::create_dir_all(to.join("golden"))?;
    for entry in std::fs::read_dir(from.join("golden"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join("golden").join(entry.file_name()))?;
    }
    let manifest = std::fs::read_to_string(from.join("model.toml"))?;
    ensure!(manifest.contains(old), "no {old} in the manifest");
    let manifest = manifest.replace("name = \"label-reader\"", &format!("name = \"{name}\"")).replace(old, new);
    Ok(std::fs::write(to.join("model.toml"), manifest)?)
}

async fn more_lines_than_allowed_leave_the_surest_and_a_warning(_: &Stack) -> Result<()> {
    let mut stack = Setup::new().bundles(&STAGES).without_broker().prepare()?;
    variant(stack.dir(), "three-lines", "max_lines = 200", "max_lines = 3")?;
    variant(stack.dir(), "one-by-one", "fan_out = 16", "fan_out = 1")?;
    variant(
        stack.dir(),
        "never-upside-down",
        "[pipeline.direction]\nmodel = \"text-direction\"\nversion = \"1\"\nmin_score = 0.9",
        "",
    )?;
    stack.launch.models.push(stack.dir().join("more"));
    stack.start_daemon().await?;
    let client = stack.client().await?;
    let (golden, bytes) = photograph("pump.jpg")?;
    let three = expect_yes("three", client.infer_bytes("three-lines", golden.kind, &bytes, &patient()).await?)?;
    ensure!(texts(&three.document).len() == 3 && three.document["left_out"] == 5, "{}", three.document);
    ensure!(three.warns(&["5 more", "pipeline.max_lines"]), "{}", three.info);
    expect_lines("one by one", client.infer_bytes("one-by-one", golden.kind, &bytes, &patient()).await?, &golden)?;
    let upright = client.infer_bytes("never-upside-down", golden.kind, &bytes, &patient()).await?;
    let upright = expect_yes("without the stage for it", upright)?;
    ensure!(!texts(&upright.document).contains(&"INSPECTED2026-10"), "{}", upright.document);
    ensure!(texts(&upright.document).contains(&"400V"), "{}", upright.document);
    Ok(())
}

async fn set(client: &BusClient, model: &str, method: &str) -> Result<()> {
    let object = Proxy::new(&client.connection, BUS_NAME, model_path(model, "1.0.0"), MODEL).await?;
    let none = std::collections::HashMap::<&str, Variant<'_>>::new();
    object.call_method(method, &(none,)).await.with_context(|| format!("{method} {model}"))?;
    Ok(())
}

async fn state(client: &BusClient) -> Result<(String, String)> {
    let reader = client.status().await?.models.into_iter().find(|model| model.name == READER).context("the reader")?;
    Ok((reader.state, reader.reason))
}

async fn a_stage_that_is_unloaded_while_requests_flow_loses_none(_: &Stack) -> Result<()> {
    let stack = Setup::new().bundles(&[&STAGES[..], &[READER]].concat()).without_broker().start().await?;
    let client = stack.client().await?;
    let pump = photograph("pump.jpg")?;
    expect_lines("before", client.infer_bytes(READER, pump.0.kind, &pump.1, &patient()).await?, &pump.0)?;
    let mut asked = ask(&client, &pump, 8, "unload");
    let first = within("the first answer", PATIENCE, asked.join_next()).await?.context("an answer")???;
    set(&client, "text-line", "Unload").await?;
    let mut ends = vec![Ok(first.map_err(|no| anyhow::anyhow!("{no:?}"))?)];
    while let Some(outcome) = within("the end of each", PATIENCE, asked.join_next()).await? {
        ends.push(outcome??);
    }
    ensure!(ends.len() == 8, "{} were answered", ends.len());
    for outcome in ends.iter().filter(|outcome| outcome.is_err()) {
        expect_no("without its last stage", outcome, "unavailable", &["stage text-line:1.0.0"])?;
    }
    ensure!(ends.iter().any(Result::is_err), "the stage went away too late");
    let expected = ("unavailable".to_owned(), "stage text-line:1.0.0: unloaded by the operator".to_owned());
    ensure!(state(&client).await? == expected, "{:?}", state(&client).await?);
    let outcome = client.infer_bytes(READER, pump.0.kind, &pump.1, &patient()).await?;
    expect_no("afterwards", &outcome, "unavailable", &["stage text-line:1.0.0: unloaded by the operator"])?;
    set(&client, "text-line", "Load").await?;
    let ready = async || Ok((state(&client).await?.0 == "ready").then_some(()));
    eventually("it is ready again", PATIENCE, ready).await?;
    expect_lines("again", client.infer_bytes(READER, pump.0.kind, &pump.1, &patient()).await?, &pump.0)?;
    // The reader itself goes and comes in the same way.
    set(&client, READER, "Unload").await?;
    let outcome = client.infer_bytes(READER, pump.0.kind, &pump.1, &patient()).await?;
    expect_no("unloaded itself", &outcome, "unavailable", &["unloaded by the operator"])?;
    set(&client, READER, "Load").await?;
    expect_lines("loaded", client.infer_bytes(READER, pump.0.kind, &pump.1, &patient()).await?, &pump.0).map(drop)
}

async fn an_engine_host_that_dies_in_the_middle_loses_none(_: &Stack) -> Result<()> {
    let stack = Setup::new().bundles(&[&STAGES[..], &[READER]].concat()).without_broker().start().await?;
    let client = stack.client().await?;
    let pump = photograph("pump.jpg")?;
    expect_lines("before", client.infer_bytes(READER, pump.0.kind, &pump.1, &patient()).await?, &pump.0)?;
    let mut asked = ask(&client, &pump, 4, "killed");
    let one_is_read = async || {
        let trace = client.trace("killed-0").await.ok();
        Ok(trace.filter(|trace| trace.steps.iter().any(|step| step.step == "stage")).map(drop))
    };
    eventually("a stage is done", PATIENCE, one_is_read).await?;
    stack.kill_host().await?;
    let mut count = 0;
    while let Some(outcome) = within("the end of each", PATIENCE, asked.join_next()).await? {
        expect_lines("across the death", outcome??, &pump.0)?;
        count += 1;
    }
    ensure!(count == 4, "{count} were answered");
    let mut faults = 0;
    for number in 0..4 {
        let trace = client.trace(&format!("killed-{number}")).await?;
        faults += trace.steps.iter().filter(|step| step.step == "faulted" && step.detail.contains("host_lost")).count();
    }
    ensure!(faults > 0, "nothing was on the host when it died");
    Ok(())
}

async fn what_a_dead_daemon_had_acknowledged_is_read_by_the_next_one(_: &Stack) -> Result<()> {
    const COUNT: usize = 6;
    let mut stack = Setup::new().bundles(&[&STAGES[..], &[READER]].concat()).start().await?;
    let device = stack.device(Protocol::V5).await?;
    let (golden, bytes) = photograph("pump.jpg")?;
    let image = STANDARD.encode(&bytes);
    for number in 0..COUNT {
        let id = format!("dead-{number}");
        let body = json!({"id": id, "reply_to": device.reply_topic, "deadline_ms": 600_000, "image": image});
        let (topic, payload) = (request_topic(READER), body.to_string().into());
        device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
    }
    device.acknowledged(COUNT).await?;
    stack.daemon_mut()?.process.crash()?;
    stack.start_daemon().await.context("start again")?;
    for number in 0..COUNT {
        let outcome = device.reply_to_id(&format!("dead-{number}")).await.with_context(|| stack.logs())?;
        expect_lines(&format!("request {number}"), outcome, &golden)?;
    }
    Ok(())
}
