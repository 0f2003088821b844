//! What works: real models on every way in, submitted and cancelled requests, what the daemon and the command tell of it.

use std::collections::HashMap;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Tensor, Yes, alike, expect_no, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::{Outgoing, Protocol, request_topic};
use edge_tests::client::routes::{EncodedRoute, Example, Route, Routes, tensor_body};
use edge_tests::clock::{PATIENCE, eventually, within};
use edge_tests::daemon::NODE;
use edge_tests::golden::{close, golden, goldens};
use edge_tests::measure::work;
use edge_tests::places;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::Trace;
use edge_wire::names::{BUS_NAME, REQUEST};
use serde_json::{Value, json};
use zbus::{OwnedVariant, Proxy};

/// Longer than anybody waits.
const ENDLESS_MS: i64 = 300_000;

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        the_photograph_of_a_label_reads_the_same_on_every_way,
        every_golden_input_gives_its_golden_answer_on_every_way,
        tensors_give_the_same_on_every_route_and_as_the_reference,
        every_datatype_comes_back_as_it_went,
        callers_at_the_same_time_each_get_their_own_answer,
        the_result_tells_who_ran_it_and_how_long_it_took,
        a_submitted_request_signals_its_result,
        a_submitted_request_signals_its_failure,
        a_running_request_is_cancelled_on_the_bus,
        a_running_request_is_cancelled_on_the_broker,
        a_stranger_cannot_cancel_a_request,
        the_private_connection_outlives_many_requests,
        the_broker_holds_the_state_and_every_model,
        telemetry_comes_every_so_often,
        a_trace_tells_the_steps_of_a_request_from_each_transport,
        invariant_6_nothing_of_a_bus_request_reaches_the_broker,
        the_command_infers_and_traces,
        the_command_measures_and_its_numbers_agree,
        the_command_draws_the_boxes_that_were_found,
        the_command_shows_and_draws_what_models_with_pictures_find,
        the_command_ends_with_1_when_the_daemon_says_no,
    ];
    let real = ["text-line", "text-direction", "text-boxes", "file-type", "speech"];
    let bundles = [&real[..], &["add", "echo-types", "spin"], &["areas", "shapes", "spots", "likeness"]].concat();
    edge_tests::runner::run(Setup::new().bundles(&bundles), trials)
}

async fn the_photograph_of_a_label_reads_the_same_on_every_way(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    for name in ["lot.jpg", "expiry-turned.jpg", "serial.png", "handling.jpg"] {
        let label = golden("text-line", name)?;
        let photograph = std::fs::read(&label.file)?;
        for route in EncodedRoute::ALL {
            let outcome = routes.ask_encoded(route, label.model, label.kind, &photograph, &Options::new()).await?;
            let yes = expect_yes(&format!("{name} over {route:?}"), outcome)?;
            ensure!(yes.document["text"] == label.expected["text"], "{name} over {route:?}: {}", yes.document);
        }
    }
    Ok(())
}

async fn every_golden_input_gives_its_golden_answer_on_every_way(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    for golden in goldens()? {
        let payload = std::fs::read(&golden.file)?;
        for route in EncodedRoute::TYPED {
            let what = format!("{} over {route:?}", golden.file.display());
            let outcome = routes.ask_encoded(route, golden.model, golden.kind, &payload, &Options::new()).await?;
            let yes = expect_yes(&what, outcome)?;
            ensure!(close(&yes.document, &golden.expected), "{what}: {} instead of {}", yes.document, golden.expected);
        }
    }
    Ok(())
}

async fn tensors_give_the_same_on_every_route_and_as_the_reference(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    for work in [work::TEXT_DIRECTION, work::FILE_TYPE] {
        let input = [work.tensor()];
        let first = expect_yes(work.model, routes.bus.infer(work.model, &input, &Options::new()).await?)?;
        ensure!(first.outputs.len() == 1, "{:?}", first.outputs);
        for route in Route::ALL {
            let yes = expect_yes(work.model, routes.ask(route, work.model, &input, &Options::new()).await?)?;
            alike(&format!("{} over {route:?}", work.model), &yes.outputs, &first.outputs)?;
        }
        reference(&work, &first)?;
    }
    Ok(())
}

/// The same input in a process that runs the model by itself.
fn reference(work: &work::Work, answer: &Yes) -> Result<()> {
    use edge_tests::measure::baseline::{Baseline, input_of};
    let mut baseline = Baseline::start()?;
    let model = baseline.load(&places::bundle(work.model)?.join("model.onnx"), vec![input_of(*work)], 1)?;
    alike(&format!("{} against the reference", work.model), &answer.outputs, &baseline.answer(model)?)
}

async fn every_datatype_comes_back_as_it_went(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let mut example = Example::from(stack, "echo-types").await?;
    ensure!(example.inputs.len() >= 12, "{:?}", example.inputs);
    for tensor in &mut example.inputs {
        match tensor.datatype.as_str() {
            "BOOL" => tensor.data.fill(1),
            // Length-prefixed elements.
            "BYTES" => {
                let elements = usize::try_from(tensor.shape.iter().product::<i64>())?;
                tensor.data = [&3_u32.to_le_bytes()[..], b"\xc3\xa9y"].concat().repeat(elements);
            }
            _ => tensor.data.iter_mut().enumerate().for_each(|(at, byte)| *byte = [1, 2, 3, 4][at % 4]),
        }
    }
    // The reply to the broker's binary form is JSON, in which this client does not read every type back.
    for route in Route::RAW.into_iter().filter(|route| *route != Route::Binary5) {
        let yes = expect_yes("echo", routes.ask(route, &example.model, &example.inputs, &Options::new()).await?)?;
        for (sent, came) in example.inputs.iter().zip(&yes.outputs) {
            ensure!(sent.data == came.data && sent.datatype == came.datatype, "{route:?}: {sent:?} came as {came:?}");
        }
    }
    Ok(())
}

async fn callers_at_the_same_time_each_get_their_own_answer(stack: &Stack) -> Result<()> {
    let clients = [stack.client().await?, stack.client().await?.peer().await?, stack.client().await?];
    let mut running = tokio::task::JoinSet::new();
    for number in 0..120_u16 {
        let client = clients[usize::from(number) % clients.len()].clone();
        running.spawn(async move {
            let value = f32::from(number);
            let inputs = [Tensor::fp32("a", &[1, 4], &[value; 4]), Tensor::fp32("b", &[1, 4], &[1.0, 2.0, 3.0, 4.0])];
            let yes = if number % 2 == 0 {
                client.infer("add", &inputs, &Options::new()).await?
            } else {
                client.infer_sealed("add", &inputs, &Options::new()).await?
            };
            let sum = expect_yes("a sum", yes)?.outputs[0].floats()?;
            ensure!(sum == [value + 1.0, value + 2.0, value + 3.0, value + 4.0], "{number}: {sum:?}");
            Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

async fn the_result_tells_who_ran_it_and_how_long_it_took(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, "add").await?;
    for route in Route::ALL {
        let info = routes.serves(route, &good).await?.info;
        for (key, value) in [
            ("model", "add"),
            ("version", "1.0.0"),
            ("verdict", "local"),
            ("provider", "cpu"),
            ("zone", "device"),
            ("data_class", "regulated"),
        ] {
            ensure!(info[key] == value, "{route:?}: {key} is {} in {info}", info[key]);
        }
        ensure!(info["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{route:?}: {info}");
        ensure!(info["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{route:?}: {info}");
        let number = |key: &str| info[key].as_u64().with_context(|| format!("{route:?}: {key} in {info}"));
        ensure!(number("total_us")? >= number("compute_us")?, "{route:?}: {info}");
        ensure!(number("batch")? >= 1 && number("compute_us")? > 0, "{route:?}: {info}");
        let time = |key: &str| info[key].as_str().map(str::to_owned).with_context(|| format!("{key} in {info}"));
        let (received, completed) = (time("received_at")?, time("completed_at")?);
        ensure!(received.ends_with('Z') && received.contains('T') && received <= completed, "{route:?}: {info}");
    }
    Ok(())
}

/// The object of a submitted request, and a stream of its signals that misses none: subscribed before it is submitted.
async fn submit(client: &BusClient, model: &str, kind: &str, payload: &[u8]) -> Result<(String, zbus::MessageStream)> {
    let rule =
        zbus::MatchRule::builder().msg_type(zbus::message::Type::Signal).sender(BUS_NAME).interface(REQUEST).build()?;
    let signals = zbus::MessageStream::for_match_rule(rule, &client.connection, None).await?;
    let path = client.submit(model, kind, payload, &Options::new()).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
    Ok((path, signals))
}

/// The signal of this object that tells its end.
async fn ending(path: &str, signals: &mut zbus::MessageStream) -> Result<zbus::Message> {
    let of_object = async {
        loop {
            let signal = next(signals).await.context("the signals ended")??;
            let header = signal.header();
            let ends =
                matches!(header.member().map(|name| name.as_str().to_owned()).as_deref(), Some("Completed" | "Failed"));
            if ends && header.path().is_some_and(|from| from.as_str() == path) {
                return Ok::<_, anyhow::Error>(signal);
            }
        }
    };
    within("the request ends", PATIENCE, of_object).await?
}

async fn next(signals: &mut zbus::MessageStream) -> Option<zbus::Result<zbus::Message>> {
    use zbus::export::futures_core::Stream;
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *signals).poll_next(context)).await
}

async fn a_submitted_request_signals_its_result(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let label = golden("text-line", "lot.jpg")?;
    let (path, mut signals) = submit(&client, label.model, label.kind, &std::fs::read(&label.file)?).await?;
    let signal = ending(&path, &mut signals).await?;
    let body = signal.body();
    let (document, info): (String, HashMap<String, OwnedVariant>) = body.deserialize()?;
    let document: Value = serde_json::from_str(&document)?;
    ensure!(document["text"] == label.expected["text"], "{document}");
    let info = edge_tests::client::bus::json_of_dict(&info)?;
    ensure!(info["model"] == "text-line", "{info}");
    let object = Proxy::new(&client.connection, BUS_NAME, path, REQUEST).await?;
    let state: String = object.get_property("State").await?;
    ensure!(state == "completed", "{state}");
    Ok(())
}

async fn a_submitted_request_signals_its_failure(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (path, mut signals) = submit(&client, "text-line", "image/jpeg", b"this is no picture").await?;
    let signal = ending(&path, &mut signals).await?;
    let body = signal.body();
    let (code, message): (String, String) = body.deserialize()?;
    ensure!(code == "invalid_input" && !message.is_empty(), "{code}: {message}");
    Ok(())
}

/// A spinning request that lasts longer than anybody waits for it, with this id.
async fn long(
    client: &BusClient,
    spin: &Spin,
    id: &str,
) -> Result<tokio::task::JoinHandle<Result<edge_tests::answer::Outcome>>> {
    let (caller, inputs) = (client.clone(), spin.lasting(ENDLESS_MS)?);
    let given = options(json!({"request_id": id, "deadline_ms": 600_000}));
    let asked = tokio::spawn(async move { caller.infer(spin::MODEL, &inputs, &given).await });
    let known = async || Ok(client.trace(id).await.is_ok().then_some(()));
    eventually("the daemon knows the request", PATIENCE, known).await?;
    Ok(asked)
}

async fn a_running_request_is_cancelled_on_the_bus(stack: &Stack) -> Result<()> {
    let (client, spin) = (stack.client().await?, Spin::measure(stack).await?);
    let asked = long(&client, &spin, "cancel-bus").await?;
    client.cancel("cancel-bus").await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
    expect_no("the cancelled request", &within("its end", PATIENCE, asked).await???, "cancelled", &[])?;
    let told = async || Ok((client.trace("cancel-bus").await?.outcome == "cancelled").then_some(()));
    eventually("the trace tells of it", PATIENCE, told).await?;
    // The only session of this model is free again.
    let (inputs, given) = (spin.lasting(1)?, options(json!({"deadline_ms": 600_000})));
    let next = within("the next spin", PATIENCE, client.infer(spin::MODEL, &inputs, &given)).await??;
    expect_yes("the next spin", next).map(drop)
}

async fn a_running_request_is_cancelled_on_the_broker(stack: &Stack) -> Result<()> {
    let spin = Spin::measure(stack).await?.lasting(ENDLESS_MS)?;
    let observer = stack.client().await?;
    for protocol in [Protocol::V5, Protocol::V311] {
        let device = stack.device(protocol).await?;
        let id = device.fresh_id();
        let mut body = tensor_body(&spin, &options(json!({"deadline_ms": 600_000})))?;
        (body["id"], body["reply_to"]) = (json!(id), json!(device.reply_topic));
        let payload = body.to_string().into();
        device.publish(Outgoing { topic: request_topic(spin::MODEL), payload, qos: 1, ..Outgoing::default() }).await?;
        let known = async || Ok(observer.trace(&id).await.is_ok().then_some(()));
        eventually("the daemon knows the request", PATIENCE, known).await?;
        let topic = format!("edge/{NODE}/cancel/{id}");
        device.publish(Outgoing { topic, qos: 1, ..Outgoing::default() }).await?;
        expect_no("the cancelled request", &device.reply_to_id(&id).await?, "cancelled", &[])?;
    }
    Ok(())
}

async fn a_stranger_cannot_cancel_a_request(stack: &Stack) -> Result<()> {
    let (owner, stranger) = (stack.client().await?, stack.client().await?);
    let asked = long(&owner, &Spin::measure(stack).await?, "mine").await?;
    ensure!(stranger.cancel("mine").await?.is_err(), "a stranger's Cancel was taken");
    ensure!(owner.cancel("nobody's").await?.is_err(), "an unknown id was cancelled");
    ensure!(!asked.is_finished(), "the request ended");
    owner.cancel("mine").await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
    expect_no("the owner's Cancel", &asked.await??, "cancelled", &[])
}

async fn the_private_connection_outlives_many_requests(stack: &Stack) -> Result<()> {
    let peer = stack.client().await?.peer().await?;
    let good = Example::from(stack, "add").await?;
    let daemon = stack.daemon()?.process.pid();
    let sealed = async |count: u32| {
        for _ in 0..count {
            expect_yes("over the private connection", peer.infer_sealed("add", &good.inputs, &Options::new()).await?)?;
        }
        edge_tests::usage::descriptors(daemon)
    };
    let before = sealed(20).await?;
    sealed(300).await?;
    // One kept of each request would be 300; the connections and requests of other trials come and go.
    let kept = async || Ok((edge_tests::usage::descriptors(daemon)? <= before + 100).then_some(()));
    eventually("the daemon keeps no descriptors", PATIENCE, kept).await
}

async fn the_broker_holds_the_state_and_every_model(stack: &Stack) -> Result<()> {
    for protocol in [Protocol::V5, Protocol::V311] {
        let device = stack.device(protocol).await?;
        device.subscribe(&format!("edge/{NODE}/#")).await?;
        let retained = async |topic: String| {
            device.take(&topic, PATIENCE, |message| message.topic == topic && message.retain).await
        };
        ensure!(retained(format!("edge/{NODE}/available")).await?.payload == "online");
        let state = retained(format!("edge/{NODE}/state")).await?.json()?;
        ensure!(state["state"] == "serving", "{state}");
        for model in stack.status().await?.models {
            let record = retained(format!("edge/{NODE}/models/{}", model.name)).await?.json()?;
            ensure!(record["version"] == model.version.as_str() && record["provider"] == "cpu", "{record}");
            ensure!(record["inputs"].as_array().is_some_and(|inputs| !inputs.is_empty()), "{record}");
        }
    }
    Ok(())
}

async fn telemetry_comes_every_so_often(stack: &Stack) -> Result<()> {
    let device = stack.device(Protocol::V311).await?;
    let topic = format!("edge/{NODE}/telemetry");
    device.subscribe(&topic).await?;
    for _ in 0..2 {
        let message = device.take("telemetry", PATIENCE, |message| message.topic == topic).await?;
        let record = message.json()?;
        ensure!(record.is_object() && !message.retain, "{record}");
    }
    Ok(())
}

/// The steps that every served request has gone through, in order.
fn complete(trace: &Trace, transport: &str) -> Result<()> {
    ensure!(trace.outcome == "done" && trace.caller.starts_with(transport), "{trace:?}");
    let mut last = 0;
    for step in &trace.steps {
        ensure!(step.at_us >= last, "out of order: {trace:?}");
        last = step.at_us;
    }
    for wanted in ["received", "accepted", "running", "ran", "settled"] {
        ensure!(trace.steps.iter().any(|step| step.step == wanted), "no step {wanted}: {trace:?}");
    }
    ensure!(trace.info.is_some(), "no info: {trace:?}");
    Ok(())
}

async fn invariant_6_nothing_of_a_bus_request_reaches_the_broker(stack: &Stack) -> Result<()> {
    const MARKER: &str = "marker-5e0c91d7";
    let ear = stack.device(Protocol::V5).await?;
    ear.subscribe("#").await?;
    let bus = stack.client().await?;
    let named = |what: &str| options(json!({"request_id": format!("{MARKER}-{what}"), MARKER: true}));
    let payload = format!("#!/bin/sh\necho {MARKER}\n");
    let kind = "application/octet-stream";
    expect_yes("a payload", bus.infer_bytes("file-type", kind, payload.as_bytes(), &named("payload")).await?)?;
    let good = Example::from(stack, "add").await?;
    for caller in [bus.peer().await?, stack.client().await?] {
        expect_yes("tensors", caller.infer("add", &good.inputs, &named("tensors")).await?)?;
    }
    let unknown = bus.infer(&format!("no-{MARKER}"), &good.inputs, &named("refused")).await?;
    expect_no("an unknown model", &unknown, "unknown_model", &[])?;
    bus.trace(&format!("{MARKER}-payload")).await?;
    // What the box says of itself after this may tell nothing of it either.
    ear.take_all(|message| message.topic.ends_with("/telemetry") || message.topic.ends_with("/state"));
    ear.take("the next telemetry", PATIENCE, |message| message.topic.ends_with("/telemetry")).await?;
    let holds = |bytes: &[u8]| bytes.windows(MARKER.len()).any(|part| part == MARKER.as_bytes());
    let told = ear.take_all(|message| {
        let user = message.user.iter().any(|(name, value)| holds(name.as_bytes()) || holds(value.as_bytes()));
        let correlation = message.correlation.as_ref().is_some_and(|data| holds(data));
        user || correlation || holds(message.topic.as_bytes()) || holds(&message.payload)
    });
    ensure!(told.is_empty(), "{told:?}");
    Ok(())
}

async fn a_trace_tells_the_steps_of_a_request_from_each_transport(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, "add").await?;
    for (route, transport) in
        [(Route::Inline, "bus"), (Route::Peer, "peer"), (Route::Json5, "mqtt"), (Route::Json311, "mqtt")]
    {
        let given = options(json!({"request_id": format!("traced-{route:?}")}));
        let yes = expect_yes("a request", routes.ask(route, "add", &good.inputs, &given).await?)?;
        let id = yes.info["request_id"].as_str().context("an id")?;
        complete(&routes.bus.trace(id).await?, transport)?;
    }
    Ok(())
}

/// Runs the command against the stack.
fn edgectl(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(arguments).env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", stack.bus.address());
    let output = command.output().context("run edgectl")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

async fn the_command_infers_and_traces(stack: &Stack) -> Result<()> {
    let label = golden("text-line", "lot.jpg")?;
    let file = label.file.to_str().context("a path")?;
    let (code, out, err) = edgectl(stack, &["infer", "text-line", file, "--json"])?;
    ensure!(code == Some(0), "{code:?}: {err}");
    let answer: Value = serde_json::from_str(&out).with_context(|| out.clone())?;
    ensure!(answer["result"]["text"] == label.expected["text"], "{answer}");
    let id = answer["info"]["request_id"].as_str().with_context(|| format!("an id in {answer}"))?;
    let (code, out, err) = edgectl(stack, &["trace", id])?;
    ensure!(code == Some(0) && out.contains("settled"), "{code:?}: {out} {err}");
    let (code, out, err) = edgectl(stack, &["status", "--check"])?;
    ensure!(code == Some(0), "{code:?}: {out} {err}");
    let (code, out, err) = edgectl(stack, &["doctor"])?;
    ensure!(code == Some(0), "{code:?}: {out} {err}");
    Ok(())
}

/// A short run on payloads of the bundle, and one on made-up tensors in batches.
async fn the_command_measures_and_its_numbers_agree(stack: &Stack) -> Result<()> {
    let runs: [(&[&str], &str, &[u64], u64); 2] = [
        (&["text-direction", "--clients", "1,2"], "encoded", &[1, 2], 1),
        (&["add", "--clients", "2", "--batch", "4"], "tensors", &[2], 4),
    ];
    for (asked, kind, clients, batch) in runs {
        // The other trials load the stack as well: what waits behind them must not be late for that.
        let arguments = [&["bench"], asked, &["--seconds", "1", "--deadline", "1m", "--json"]].concat();
        let (code, out, err) = edgectl(stack, &arguments)?;
        ensure!(code == Some(0), "{asked:?}: {code:?}: {err}");
        let report: Value = serde_json::from_str(&out).with_context(|| out.clone())?;
        ensure!(report["ended"] == "complete" && report["simulated"] == false, "{report}");
        ensure!(report["over"] == "private" && report["input"]["kind"] == kind, "{report}");
        ensure!(report["served"][0]["provider"] == "cpu", "{report}");
        let steps = report["steps"].as_array().context("steps")?;
        ensure!(steps.len() == clients.len(), "{report}");
        for (step, clients) in steps.iter().zip(clients) {
            ensure!(step["clients"] == *clients && step["batch"] == batch, "{step}");
            consistent(step).with_context(|| step.to_string())?;
        }
    }
    Ok(())
}

/// Whether the numbers of a step of `edgectl bench` agree with each other.
fn consistent(step: &Value) -> Result<()> {
    let number = |key: &str| step[key].as_f64().with_context(|| format!("{key} is no number"));
    let (answered, elapsed_ms) = (number("answered")?, number("elapsed_ms")?);
    ensure!(answered > 0.0 && step["refused"] == json!([]), "nothing is refused");
    ensure!(elapsed_ms >= 1000.0, "the step is as long as it was asked to be");
    let (p50, p95, p99) = (number("p50_us")?, number("p95_us")?, number("p99_us")?);
    ensure!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 <= elapsed_ms * 1000.0 + 1000.0, "percentiles rise");
    let throughput = number("throughput_per_s")?;
    ensure!((throughput / (answered * 1000.0 / elapsed_ms) - 1.0).abs() < 0.01, "throughput is answers by time");
    ensure!(
        (number("items_per_s")? / (throughput * number("batch")?) - 1.0).abs() < 0.01,
        "items are answers by batch"
    );
    // Clients that ask again at once have on average as many requests under way as there are clients.
    let busy = throughput * p50 / 1e6;
    ensure!(busy < number("clients")? * 2.0, "{busy} requests under way");
    ensure!(
        number("compute_p50_us")? + number("queue_p50_us")? <= p99,
        "edged measured no more than the client waited"
    );
    Ok(())
}

async fn the_command_draws_the_boxes_that_were_found(stack: &Stack) -> Result<()> {
    let label = golden("text-boxes", "nameplate-turned.jpg")?;
    let dir = tempfile::tempdir()?;
    let drawn = dir.path().join("boxes.png");
    let (file, out) = (label.file.to_str().context("a path")?, drawn.to_str().context("a path")?);
    let (code, said, err) = edgectl(stack, &["infer", "text-boxes", file, "--annotate", out])?;
    ensure!(code == Some(0) && said.contains("4 in a picture of 640 x 480 pixels"), "{code:?}: {said} {err}");
    // The header of a PNG: its size is that of the upright photograph, which lies on its side in the file.
    let png = std::fs::read(&drawn)?;
    ensure!(png.starts_with(b"\x89PNG") && png[16..24] == [0, 0, 2, 128, 0, 0, 1, 224], "{:?}", &png[..24]);
    let (code, said, err) = edgectl(stack, &["infer", "text-direction", file, "--annotate", out])?;
    ensure!(code == Some(2) && said.contains("180") && err.contains("has no boxes"), "{code:?}: {said} {err}");
    Ok(())
}

async fn the_command_shows_and_draws_what_models_with_pictures_find(stack: &Stack) -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (model, expected) in [
        ("areas", "17.2% of the picture is red"),
        ("shapes", "3.9%  red"),
        ("spots", "anomalous  75.0% (threshold 50.0%)"),
        ("likeness", "all red        1.000"),
    ] {
        let picture = places::repository().join("onnx-models/test").join(model).join("golden/0.png");
        let (file, drawn) = (picture.to_str().context("a path")?, dir.path().join(format!("{model}.png")));
        let (code, said, err) = edgectl(stack, &["infer", model, file])?;
        ensure!(code == Some(0) && said.contains(expected), "{model}: {code:?}: {said} {err}");
        let out = drawn.to_str().context("a path")?;
        let (code, _, err) = edgectl(stack, &["infer", model, file, "--annotate", out])?;
        // An embedding has no place in the picture.
        let places = model != "likeness";
        ensure!(code == Some(if places { 0 } else { 2 }), "{model}: {code:?}: {err}");
        ensure!(drawn.is_file() == places && (places || err.contains("has no boxes")), "{model}: {err}");
        ensure!(!places || std::fs::read(&drawn)? != std::fs::read(&picture)?, "{model}: nothing was drawn");
    }
    Ok(())
}

async fn the_command_ends_with_1_when_the_daemon_says_no(stack: &Stack) -> Result<()> {
    let (code, out, err) = edgectl(stack, &["infer", "no-such-model", "/etc/hostname"])?;
    ensure!(code == Some(1) && out.is_empty() && err.contains("no-such-model"), "{code:?}: {out} {err}");
    Ok(())
}
