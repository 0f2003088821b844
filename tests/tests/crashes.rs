//! What dies and what lives on: the daemon, the engine host, the broker, clients. Each test has its own stack.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_no, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, Route, Routes, tensor_body};
use edge_tests::clock::{PATIENCE, Stopwatch, eventually, within};
use edge_tests::process::signal_pid;
use edge_tests::runner::block_on;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack};
use rustix::process::Signal;
use serde_json::{Value, json};

const MODEL: &str = "add";
/// Requests under way when the daemon is killed.
const IN_FLIGHT: usize = 50;
/// Longer than anything else here takes: a request of this length runs until something ends it.
const ENDLESS_MS: i64 = 300_000;
/// A deadline that such a request does not reach.
const NO_DEADLINE_MS: i64 = 600_000;

#[test]
fn fifty_requests_in_flight_are_all_answered_after_kill_9_of_the_daemon_mqtt_5() -> Result<()> {
    block_on(in_flight(Protocol::V5))?
}

#[test]
fn fifty_requests_in_flight_are_all_answered_after_kill_9_of_the_daemon_mqtt_3_1_1() -> Result<()> {
    block_on(in_flight(Protocol::V311))?
}

/// Some are answered, some run, some wait, some are journaled when the daemon is killed.
async fn in_flight(protocol: Protocol) -> Result<()> {
    let setup = Setup::new().config(&format!("[mqtt]\nprotocol = \"{}\"", protocol.word()));
    let mut stack = setup.start().await?;
    let inputs = Spin::measure(&stack).await?.lasting(100)?;
    let device = stack.device(protocol).await?;
    let body = tensor_body(&inputs, &options(json!({"deadline_ms": NO_DEADLINE_MS})))?;
    let ids: BTreeSet<String> = (0..IN_FLIGHT).map(|number| format!("flight-{number}")).collect();
    for id in &ids {
        publish(&device, spin::MODEL, id, body.clone()).await?;
    }
    device.acknowledged(IN_FLIGHT).await?;
    let mut seen = Replies::new();
    first_reply(&device, &mut seen).await?;
    stack.daemon_mut()?.process.crash()?;
    more_replies(&device, &mut seen);
    println!("{} of {IN_FLIGHT} were answered before the crash", seen.len());
    ensure!(seen.len() < IN_FLIGHT, "nothing was under way when the daemon was killed");
    stack.start_daemon().await.context("start again")?;
    complete(&device, &mut seen).await.with_context(|| stack.logs())?;
    ensure!(seen.keys().eq(&ids), "answered were {:?}", seen.keys());
    let results = seen.values().map(|bodies| one_result(bodies)).collect::<Result<Vec<_>>>()?;
    // Nothing of it is left behind to run again.
    let client = stack.client().await?;
    let empty = async || Ok((client.status().await?.mqtt.journaled == 0).then_some(()));
    eventually("the journal is empty", PATIENCE, empty).await?;
    // Whoever asks again is told what he was told before, from what was kept through the crash.
    more_replies(&device, &mut seen);
    let mut again = Replies::new();
    for id in &ids {
        publish(&device, spin::MODEL, id, body.clone()).await?;
    }
    complete(&device, &mut again).await.with_context(|| stack.logs())?;
    for ((id, bodies), before) in again.iter().zip(&results) {
        let repeated: Value = serde_json::from_slice(&bodies[0])?;
        ensure!(repeated["info"]["duplicate"] == true, "{id} was run again: {repeated}");
        ensure!(unmarked(&repeated) == unmarked(before), "{id}: {before}, then {repeated}");
    }
    Ok(())
}

#[test]
fn what_a_journal_holds_that_cannot_be_opened_is_answered_when_it_can() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().start().await?;
        let inputs = Spin::measure(&stack).await?.lasting(500)?;
        let device = stack.device(Protocol::V5).await?;
        let body = tensor_body(&inputs, &options(json!({"deadline_ms": NO_DEADLINE_MS})))?;
        for id in ["kept-0", "kept-1", "kept-2", "kept-3", "kept-4", "kept-5"] {
            publish(&device, spin::MODEL, id, body.clone()).await?;
        }
        let client = stack.client().await?;
        let kept = async || Ok((client.status().await?.mqtt.journaled >= 4).then_some(()));
        eventually("they are journaled", PATIENCE, kept).await?;
        stack.daemon_mut()?.process.crash()?;
        let answered = device.take_all(|message| message.topic == device.reply_topic).len();
        ensure!(answered < 6, "nothing was left to answer");
        // A directory in its place stands for a disk that takes no write: both refuse to open the file.
        let (file, aside) = (stack.dir().join("state/journal.db"), stack.dir().join("aside.db"));
        std::fs::rename(&file, &aside)?;
        std::fs::create_dir(&file)?;
        stack.start_daemon().await?;
        stack.connected().await?;
        let problem = |status: &edge_wire::dto::Status| {
            status.mqtt.problems.iter().find(|problem| problem.subject == "journal").cloned()
        };
        let told = problem(&stack.status().await?).context("the status says nothing of the journal")?;
        ensure!(told.what.contains("journal.db") && told.remedy.contains("tried again"), "{told:?}");
        // Requests that come meanwhile are served.
        publish(&device, spin::MODEL, "meanwhile", body).await?;
        expect_yes("meanwhile", device.reply_to_id("meanwhile").await?)?;
        std::fs::remove_dir(&file)?;
        std::fs::rename(&aside, &file)?;
        let mut left = 6 - answered;
        while left > 0 {
            let reply = device.take("what was left", PATIENCE, |reply| reply.topic == device.reply_topic).await?;
            ensure!(reply.json()?["ok"] == true, "{:?}", reply.json());
            left -= 1;
        }
        let client = stack.client().await?;
        let over = async || {
            let status = client.status().await?;
            Ok((status.mqtt.journaled == 0 && problem(&status).is_none()).then_some(()))
        };
        eventually("the journal is empty and nothing is wrong with it", PATIENCE, over).await
    })?
}

#[test]
fn a_journal_whose_disk_never_answers_is_named_and_holds_up_neither_start_nor_stop() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().prepare()?;
        // Whoever opens a pipe to write waits for a reader: it stands for a disk that does not answer.
        let state = stack.dir().join("state");
        std::fs::create_dir_all(&state)?;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let file = state.join("journal.db");
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0)?;
        stack.start_daemon().await?;
        let mqtt = stack.status().await?.mqtt;
        let told =
            mqtt.problems.iter().any(|problem| problem.subject == "journal" && problem.what.contains("not answered"));
        ensure!(told, "{mqtt:?}");
        let good = Example::from(&stack, MODEL).await?;
        Routes::open(&stack).await?.serves(Route::Json5, &good).await?;
        let status = stack.daemon_mut()?.terminate()?;
        ensure!(status.code() == Some(0), "it ended with {status}\n{}", stack.logs());
        Ok(())
    })?
}

/// Bodies of replies by the id that they name.
type Replies = BTreeMap<String, Vec<bytes::Bytes>>;

async fn first_reply(device: &Device, seen: &mut Replies) -> Result<()> {
    let first = device.take("a first reply", PATIENCE, |reply| reply.topic == device.reply_topic).await?;
    seen.entry(reply::id_of(&first).context("a reply names its id")?).or_default().push(first.payload);
    Ok(())
}

/// Takes the replies that came so far.
fn more_replies(device: &Device, seen: &mut Replies) {
    for message in device.take_all(|message| message.topic == device.reply_topic) {
        let id = reply::id_of(&message).unwrap_or_else(|| "a reply without an id".into());
        seen.entry(id).or_default().push(message.payload);
    }
}

/// Waits until as many ids were answered as were asked; each answer is another proof of progress.
async fn complete(device: &Device, seen: &mut Replies) -> Result<()> {
    while seen.len() < IN_FLIGHT {
        first_reply(device, seen).await.with_context(|| format!("{} of {IN_FLIGHT} were answered", seen.len()))?;
    }
    Ok(())
}

/// A request may be answered more than once: with the same bytes, or with the mark of a repeated one.
fn one_result(bodies: &[bytes::Bytes]) -> Result<Value> {
    let first: Value = serde_json::from_slice(&bodies[0])?;
    ensure!(first["ok"] == true, "{first}");
    for body in bodies.iter().filter(|body| **body != bodies[0]) {
        let other: Value = serde_json::from_slice(body)?;
        let marked = other["info"]["duplicate"] == true || first["info"]["duplicate"] == true;
        ensure!(marked && unmarked(&other) == unmarked(&first), "answered twice, differently: {first} and {other}");
    }
    Ok(first)
}

/// A reply without the mark that a repeated one carries.
fn unmarked(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(info) = body["info"].as_object_mut() {
        info.remove("duplicate");
    }
    body
}

async fn publish(device: &Device, model: &str, id: &str, mut body: Value) -> Result<()> {
    (body["id"], body["reply_to"]) = (json!(id), json!(device.reply_topic));
    let payload = body.to_string().into();
    device.publish(Outgoing { topic: request_topic(model), payload, qos: 1, ..Outgoing::default() }).await
}

#[test]
fn kill_9_of_the_engine_host_fails_only_its_requests_and_the_next_is_answered_soon() -> Result<()> {
    block_on(async {
        let stack = Setup::new().start().await?;
        let spin = Spin::measure(&stack).await?;
        let good = Example::from(&stack, MODEL).await?;
        let client = stack.client().await?;
        let running = ask(&stack, &spin, 1_000, "struck").await?;
        running_now(&stack, 1).await?;
        stack.kill_host().await?;
        let watch = Stopwatch::start();
        let given = options(json!({"deadline_ms": NO_DEADLINE_MS}));
        let next = within("the next answer", PATIENCE, client.infer(MODEL, &good.inputs, &given)).await??;
        expect_yes("the next request", next)?;
        println!("next answer {:?} after kill -9 of the engine host", watch.elapsed());
        // What was on the host is tried once more; nothing else may happen to it.
        expect_yes("the request that was running", running.await??)?;
        let status = stack.status().await?;
        ensure!(status.engine.restarts == 1, "{:?}", status.engine);
        Routes::open(&stack).await?.serves(Route::Json5, &good).await.map(drop)
    })?
}

type Asked = tokio::task::JoinHandle<Result<edge_tests::answer::Outcome>>;

/// A spinning request under way.
async fn ask(stack: &Stack, spin: &Spin, milliseconds: i64, id: &str) -> Result<Asked> {
    let (client, inputs) = (stack.client().await?, spin.lasting(milliseconds)?);
    let given = options(json!({"request_id": id, "deadline_ms": NO_DEADLINE_MS}));
    Ok(tokio::spawn(async move { client.infer(spin::MODEL, &inputs, &given).await }))
}

/// Waits until so many requests were accepted since the start; unlike running, that is never over before it is seen.
async fn accepted(stack: &Stack, count: u64) -> Result<()> {
    let client = stack.client().await?;
    let accepted = async || Ok((client.status().await?.counters.accepted >= count).then_some(()));
    eventually("the request is accepted", PATIENCE, accepted).await
}

async fn running_now(stack: &Stack, count: u32) -> Result<()> {
    let client = stack.client().await?;
    let what = format!("{count} requests run");
    eventually(&what, PATIENCE, async || Ok((client.status().await?.running >= count).then_some(()))).await
}

/// Waits until nothing runs or waits.
async fn idle(client: &BusClient) -> Result<()> {
    let idle = async || {
        let status = client.status().await?;
        Ok((status.running == 0 && status.waiting == 0).then_some(()))
    };
    eventually("nothing runs or waits any more", PATIENCE, idle).await
}

#[test]
fn a_request_that_was_on_two_hosts_when_they_died_is_never_run_again() -> Result<()> {
    block_on(async {
        let stack = Setup::new().start().await?;
        let spin = Spin::measure(&stack).await?;
        let client = stack.client().await?;
        for over_bus in [true, false] {
            let device = stack.device(Protocol::V5).await?;
            let (mut asked, id) = (None, format!("poison-{over_bus}"));
            if over_bus {
                asked = Some(ask(&stack, &spin, ENDLESS_MS, &id).await?);
            } else {
                let body = tensor_body(&spin.lasting(ENDLESS_MS)?, &options(json!({"deadline_ms": NO_DEADLINE_MS})))?;
                publish(&device, spin::MODEL, &id, body).await?;
            }
            for _ in 0..2 {
                running_now(&stack, 1).await?;
                let killed = stack.kill_host().await?;
                let again = async || Ok((stack.host_pid().await? != killed).then_some(()));
                eventually("another host is up", PATIENCE, again).await?;
            }
            let answer = match asked {
                Some(asked) => within("the answer", PATIENCE, asked).await???,
                None => device.reply_to_id(&id).await?,
            };
            expect_no(&id, &answer, "internal", &[])?;
            // It would run for minutes.
            idle(&client).await.context("it runs again")?;
        }
        // After that many crashes the next host may keep callers waiting.
        let (good, routes) = (Example::from(&stack, MODEL).await?, Routes::open(&stack).await?);
        let served = async || routes.serves(Route::Inline, &good).await.map(Some);
        eventually("others are served again", PATIENCE, served).await.map(drop)
    })?
}

#[test]
fn a_request_that_was_alive_at_two_crashes_of_the_daemon_is_never_run_again() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().start().await?;
        let spin = Spin::measure(&stack).await?;
        let device = stack.device(Protocol::V5).await?;
        let body = tensor_body(&spin.lasting(ENDLESS_MS)?, &options(json!({"deadline_ms": NO_DEADLINE_MS})))?;
        publish(&device, spin::MODEL, "poison", body).await?;
        for _ in 0..2 {
            running_now(&stack, 1).await?;
            // In the journal, so that it is known to have been alive.
            let client = stack.client().await?;
            let kept = async || Ok((client.status().await?.mqtt.journaled > 0).then_some(()));
            eventually("it is journaled", PATIENCE, kept).await?;
            stack.daemon_mut()?.process.crash()?;
            stack.start_daemon().await?;
        }
        expect_no("after two crashes", &device.reply_to_id("poison").await?, "internal", &[])?;
        idle(&stack.client().await?).await.context("it runs again")
    })?
}

#[test]
fn a_hung_host_is_ended_and_the_others_are_served() -> Result<()> {
    block_on(async {
        // A machine that has other things to do is slow for a moment, and is not taken for one that hangs.
        let stack = Setup::new().config("[policy]\nhang_after_ms = 4000").start().await?;
        let good = Example::from(&stack, MODEL).await?;
        let client = stack.client().await?;
        // It is known how long this takes, so that a lane that does not answer is noticed.
        for _ in 0..20 {
            expect_yes("a warm-up", client.infer(MODEL, &good.inputs, &Options::new()).await?)?;
        }
        let host = stack.host_pid().await?;
        signal_pid(host, Signal::STOP)?;
        let stopped = async || Ok(edge_tests::process::is_stopped(host)?.then_some(()));
        eventually("the host is stopped", PATIENCE, stopped).await?;
        let watch = Stopwatch::start();
        let given = options(json!({"deadline_ms": NO_DEADLINE_MS}));
        let answer = within("an answer", PATIENCE, client.infer(MODEL, &good.inputs, &given)).await??;
        println!("answered {:?} after the host stopped", watch.elapsed());
        if answer.is_err() {
            expect_no("the request on the hung host", &answer, "internal", &[])?;
        }
        let another = async || Ok((stack.host_pid().await? != host).then_some(()));
        eventually("another host is up", PATIENCE, another).await?;
        let ended = async || Ok((!edge_tests::process::alive(host)).then_some(()));
        eventually("the hung host ends", PATIENCE, ended).await?;
        expect_yes("after it", client.infer(MODEL, &good.inputs, &Options::new()).await?).map(drop)
    })?
}

#[test]
fn a_broker_that_restarts_in_the_middle_of_a_request_loses_no_reply() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let setup = Setup::new().config(&format!("[mqtt]\nprotocol = \"{}\"", protocol.word()));
            let mut stack = setup.start().await?;
            let inputs = Spin::measure(&stack).await?.lasting(500)?;
            let device = stack.device(protocol).await?;
            let body = tensor_body(&inputs, &options(json!({"deadline_ms": NO_DEADLINE_MS})))?;
            let before = stack.status().await?.counters.accepted;
            publish(&device, spin::MODEL, "through", body).await?;
            accepted(&stack, before + 1).await?;
            stack.broker_mut()?.stop()?;
            idle(&stack.client().await?).await?;
            stack.broker_mut()?.start_again()?;
            expect_yes("the reply after the restart", device.reply_to_id("through").await?)?;
            stack.connected().await?;
            let good = Example::from(&stack, MODEL).await?;
            Routes::open(&stack).await?.serves(Route::Json5, &good).await?;
        }
        Ok(())
    })?
}

#[test]
fn a_client_that_is_gone_before_its_reply_frees_what_it_had_waiting() -> Result<()> {
    block_on(async {
        let stack = Setup::new().start().await?;
        let spin = Spin::measure(&stack).await?;
        let observer = stack.client().await?;
        for peer in [false, true] {
            let before = observer.status().await?.counters;
            let on_bus = stack.client().await?;
            let leaving = if peer { on_bus.peer().await? } else { on_bus.clone() };
            let mut asked = Vec::new();
            for _ in 0..10 {
                let (client, inputs) = (leaving.clone(), spin.lasting(ENDLESS_MS)?);
                let given = options(json!({"deadline_ms": NO_DEADLINE_MS}));
                asked.push(tokio::spawn(async move { client.infer(spin::MODEL, &inputs, &given).await }));
            }
            let accepted = async || {
                let status = observer.status().await?;
                Ok((status.counters.accepted >= before.accepted + 10 && status.running > 0).then_some(()))
            };
            eventually("all of them wait or run", PATIENCE, accepted).await?;
            asked.iter().for_each(tokio::task::JoinHandle::abort);
            drop(asked);
            leaving.connection.close().await?;
            // Each of them would run for minutes.
            idle(&observer).await?;
            let after = observer.status().await?.counters;
            ensure!(after.done <= before.done + 2, "work went on for nobody: {before:?} then {after:?}");
            ensure!(after.cancelled >= before.cancelled + 8, "{before:?} then {after:?}");
        }
        let good = Example::from(&stack, MODEL).await?;
        Routes::open(&stack).await?.serves(Route::Inline, &good).await.map(drop)
    })?
}

#[test]
fn a_device_that_is_gone_before_its_reply_harms_nobody() -> Result<()> {
    block_on(async {
        let stack = Setup::new().start().await?;
        let spin = Spin::measure(&stack).await?;
        let device = stack.device(Protocol::V5).await?;
        let body = tensor_body(&spin.lasting(500)?, &options(json!({"deadline_ms": NO_DEADLINE_MS})))?;
        let before = stack.status().await?.counters.accepted;
        publish(&device, spin::MODEL, "orphan", body).await?;
        accepted(&stack, before + 1).await?;
        drop(device);
        let good = Example::from(&stack, MODEL).await?;
        let routes = Routes::open(&stack).await?;
        for route in Route::ALL {
            routes.serves(route, &good).await?;
        }
        idle(&routes.bus).await
    })?
}
