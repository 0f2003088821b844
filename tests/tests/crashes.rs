//! What dies and what lives on: the daemon, the engine host, the broker, clients. Each test has its own stack.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_no, expect_yes, options};
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
    let inputs = Spin::measure(&stack).await?.lasting(40)?;
    let device = stack.device(protocol).await?;
    let mut ids = Vec::new();
    for number in 0..IN_FLIGHT {
        let id = format!("flight-{number}");
        let body = tensor_body(&inputs, &options(json!({"deadline_ms": 60_000})))?;
        publish(&device, spin::MODEL, &id, body).await?;
        ids.push(id);
    }
    device.acknowledged(IN_FLIGHT).await?;
    device.take("a first reply", PATIENCE, |reply| reply.topic == device.reply_topic).await?;
    stack.daemon_mut()?.process.crash()?;
    let before = replies(&device);
    println!("{} of {IN_FLIGHT} were answered before the crash", before.values().map(Vec::len).sum::<usize>() + 1);
    stack.start_daemon().await.context("start again")?;
    let mut seen = before;
    // The first reply was taken out above, so that its id may be missing here.
    let complete = async || {
        replies(&device).into_iter().for_each(|(id, bodies)| seen.entry(id).or_default().extend(bodies));
        Ok((seen.len() >= IN_FLIGHT - 1).then_some(()))
    };
    eventually("all of them are answered", Duration::from_secs(60), complete).await.with_context(|| stack.logs())?;
    for (id, bodies) in &seen {
        ensure!(ids.contains(id), "an answer to {id}, which nobody asked");
        for body in bodies {
            ensure!(body["ok"] == true, "{id}: {body}");
            ensure!(unmarked(body) == unmarked(&bodies[0]), "{id} was answered twice, differently: {bodies:?}");
        }
    }
    // Nothing of it is left behind to run again.
    let client = stack.client().await?;
    let empty = async || Ok((client.status().await?.mqtt.journaled == 0).then_some(()));
    eventually("the journal is empty", PATIENCE, empty).await
}

/// Takes the replies that came so far, by id.
fn replies(device: &Device) -> BTreeMap<String, Vec<Value>> {
    let mut by_id: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in device.take_all(|message| message.topic == device.reply_topic) {
        let (Some(id), Ok(body)) = (reply::id_of(&message), message.json()) else { continue };
        by_id.entry(id).or_default().push(body);
    }
    by_id
}

/// A reply without the mark that a repeated one may carry.
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
        let next = within("the next answer", PATIENCE, client.infer(MODEL, &good.inputs, &Options::new())).await??;
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
    let given = options(json!({"request_id": id, "deadline_ms": 60_000}));
    Ok(tokio::spawn(async move { client.infer(spin::MODEL, &inputs, &given).await }))
}

async fn running_now(stack: &Stack, count: u32) -> Result<()> {
    let client = stack.client().await?;
    let what = format!("{count} requests run");
    eventually(&what, PATIENCE, async || Ok((client.status().await?.running >= count).then_some(()))).await
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
                asked = Some(ask(&stack, &spin, 4_000, &id).await?);
            } else {
                let body = tensor_body(&spin.lasting(4_000)?, &options(json!({"deadline_ms": 60_000})))?;
                publish(&device, spin::MODEL, &id, body).await?;
            }
            for _ in 0..2 {
                running_now(&stack, 1).await?;
                let killed = stack.kill_host().await?;
                let again = async || Ok((stack.host_pid().await? != killed).then_some(()));
                eventually("another host is up", PATIENCE, again).await?;
            }
            let answer = match asked {
                Some(asked) => asked.await??,
                None => device.reply_to_id(&id).await?,
            };
            expect_no(&id, &answer, "internal", &[])?;
            let status = client.status().await?;
            ensure!(status.running == 0 && status.waiting == 0, "it runs again: {status:?}");
        }
        let good = Example::from(&stack, MODEL).await?;
        Routes::open(&stack).await?.serves(Route::Inline, &good).await.map(drop)
    })?
}

#[test]
fn a_request_that_was_alive_at_two_crashes_of_the_daemon_is_never_run_again() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().start().await?;
        let spin = Spin::measure(&stack).await?;
        let device = stack.device(Protocol::V5).await?;
        let body = tensor_body(&spin.lasting(5_000)?, &options(json!({"deadline_ms": 120_000})))?;
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
        ensure!(stack.status().await?.running == 0, "it runs again");
        Ok(())
    })?
}

#[test]
fn a_hung_host_is_ended_and_the_others_are_served() -> Result<()> {
    block_on(async {
        let stack = Setup::new().config("[policy]\nhang_after_ms = 1000").start().await?;
        let good = Example::from(&stack, MODEL).await?;
        let client = stack.client().await?;
        // It is known how long this takes, so that a lane that does not answer is noticed.
        for _ in 0..20 {
            expect_yes("a warm-up", client.infer(MODEL, &good.inputs, &Options::new()).await?)?;
        }
        let host = stack.host_pid().await?;
        signal_pid(host, Signal::STOP)?;
        let watch = Stopwatch::start();
        let given = options(json!({"deadline_ms": 20_000}));
        let answer = within("an answer", PATIENCE, client.infer(MODEL, &good.inputs, &given)).await??;
        println!("answered {:?} after the host stopped", watch.elapsed());
        if answer.is_err() {
            expect_no("the request on the hung host", &answer, "internal", &[])?;
        }
        let another = async || Ok((stack.host_pid().await? != host).then_some(()));
        eventually("another host is up", PATIENCE, another).await?;
        ensure!(!edge_tests::process::alive(host), "the hung host lives on");
        expect_yes("after it", client.infer(MODEL, &good.inputs, &Options::new()).await?).map(drop)
    })?
}

#[test]
fn a_broker_that_restarts_in_the_middle_of_a_request_loses_no_reply() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let setup = Setup::new().config(&format!("[mqtt]\nprotocol = \"{}\"", protocol.word()));
            let mut stack = setup.start().await?;
            let inputs = Spin::measure(&stack).await?.lasting(800)?;
            let device = stack.device(protocol).await?;
            let body = tensor_body(&inputs, &options(json!({"deadline_ms": 60_000})))?;
            publish(&device, spin::MODEL, "through", body).await?;
            running_now(&stack, 1).await?;
            stack.broker_mut()?.stop()?;
            eventually("the work is done meanwhile", PATIENCE, async || {
                Ok((stack.status().await?.running == 0).then_some(()))
            })
            .await?;
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
        let before = observer.status().await?.counters;
        for peer in [false, true] {
            let on_bus = stack.client().await?;
            let leaving = if peer { on_bus.peer().await? } else { on_bus.clone() };
            let mut asked = Vec::new();
            for _ in 0..10 {
                let (client, inputs) = (leaving.clone(), spin.lasting(700)?);
                let given = options(json!({"deadline_ms": 60_000}));
                asked.push(tokio::spawn(async move { client.infer(spin::MODEL, &inputs, &given).await }));
            }
            let waiting = async || Ok((observer.status().await?.waiting >= 5).then_some(()));
            eventually("some of them wait", PATIENCE, waiting).await?;
            asked.iter().for_each(tokio::task::JoinHandle::abort);
            drop(asked);
            leaving.connection.close().await?;
            let freed = async || {
                let status = observer.status().await?;
                Ok((status.waiting == 0 && status.running == 0).then_some(()))
            };
            // All ten would take 3.5 s on two lanes.
            eventually("nothing waits any more", Duration::from_millis(2_500), freed).await?;
        }
        let after = observer.status().await?.counters;
        ensure!(after.cancelled >= before.cancelled + 10, "{before:?} then {after:?}");
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
        let body = tensor_body(&spin.lasting(300)?, &Options::new())?;
        publish(&device, spin::MODEL, "orphan", body).await?;
        running_now(&stack, 1).await?;
        drop(device);
        let good = Example::from(&stack, MODEL).await?;
        let routes = Routes::open(&stack).await?;
        for route in Route::ALL {
            routes.serves(route, &good).await?;
        }
        Ok(())
    })?
}
