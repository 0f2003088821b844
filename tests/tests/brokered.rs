//! The box and its broker over changes: of the configuration, of the models, of what the box takes. Each test has its own
//! stack.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use edge_tests::answer::{Options, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, Protocol, request_topic};
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, tensor_body};
use edge_tests::clock::{PATIENCE, Stopwatch, eventually};
use edge_tests::daemon::{NODE, only_bundles};
use edge_tests::runner::block_on;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::Setup;
use edge_wire::names::MANAGER;
use rustix::process::Signal;
use serde_json::json;

const MODEL: &str = "add";
const GROUP: &str = "edge/_group/press/infer/add";
const SHARE: &str = "$share/press/edge/_group/press/infer/add";

/// Sends a request to the group under this id.
async fn ask_group(device: &Device, good: &Example, id: &str) -> Result<()> {
    let mut body = tensor_body(&good.inputs, &Options::new())?;
    body["id"] = json!(id);
    body["reply_to"] = json!(device.reply_topic);
    let payload = serde_json::to_vec(&body)?.into();
    device.publish(Outgoing { topic: GROUP.into(), payload, qos: 1, ..Outgoing::default() }).await
}

async fn command(client: &BusClient, what: &str) -> Result<()> {
    client.call(MANAGER, what, &()).await?.map_err(|no| anyhow!("{no:?}")).map(drop)
}

#[test]
fn a_request_by_way_of_a_former_group_is_answered() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().config("[mqtt]\ngroup = \"press\"").start().await?;
        let (device, good) = (stack.device(Protocol::V311).await?, Example::from(&stack, MODEL).await?);
        ask_group(&device, &good, "before").await?;
        expect_yes("its group", device.reply_to_id("before").await?)?;
        // The broker keeps the subscription of a daemon that leaves without a word.
        stack.daemon_mut()?.process.crash()?;
        ask_group(&device, &good, "meanwhile").await?;
        stack.launch.overlay = "[mqtt]\ngroup = \"cutter\"".into();
        stack.start_daemon().await?;
        expect_yes("a former group", device.reply_to_id("meanwhile").await?).map(drop)
    })?
}

#[test]
fn a_draining_box_leaves_its_group_and_comes_back() -> Result<()> {
    block_on(async {
        let stack = Setup::new().config("[mqtt]\ngroup = \"press\"").start().await?;
        let client = stack.client().await?;
        let (device, good) = (stack.device(Protocol::V311).await?, Example::from(&stack, MODEL).await?);
        let other = stack.device(Protocol::V311).await?;
        command(&client, "Drain").await?;
        eventually("drained", PATIENCE, async || Ok((client.status().await?.state == "drained").then_some(()))).await?;
        other.subscribe(SHARE).await?;
        let ids: Vec<String> = (0..6).map(|n| format!("drained-{n}")).collect();
        for id in &ids {
            ask_group(&device, &good, id).await?;
        }
        for id in &ids {
            // It is a request that comes here, as it was sent.
            let taken = |message: &Incoming| message.json().is_ok_and(|body| body["id"] == id.as_str());
            other.take("the group's request", PATIENCE, taken).await?;
        }
        command(&client, "Resume").await?;
        let mut number = 0;
        eventually("the box takes the group's requests again", PATIENCE, async || {
            number += 1;
            let id = format!("resumed-{number}");
            ask_group(&device, &good, &id).await?;
            let named = |message: &Incoming| reply::id_of(message).as_deref() == Some(&id);
            Ok(device.take("a reply", Duration::from_millis(500), named).await.ok())
        })
        .await
        .map(drop)
    })?
}

#[test]
fn the_record_of_a_model_that_is_gone_is_cleared() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&["add", "echo-types"]).start().await?;
        let topic = |model: &str| format!("edge/{NODE}/models/{model}");
        let device = stack.device(Protocol::V5).await?;
        device.subscribe(&topic("+")).await?;
        device.take("the record", PATIENCE, |message| message.topic == topic("echo-types")).await?;
        ensure!(stack.daemon_mut()?.terminate()?.success(), "it did not stop in good order");
        let fewer = stack.dir().join("fewer");
        std::fs::create_dir(&fewer)?;
        stack.launch.models = vec![only_bundles(&fewer, &["add"])?];
        stack.start_daemon().await?;
        let cleared = |message: &edge_tests::client::mqtt::Incoming| {
            message.topic == topic("echo-types") && message.payload.is_empty()
        };
        device.take("its end", PATIENCE, cleared).await.map(drop)
    })?
}

#[test]
fn a_stop_does_not_wait_for_a_broker_that_goes_first() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().config("[policy]\ndrain_limit_ms = 60000").start().await?;
        let inputs = Spin::measure(&stack).await?.lasting(1_500)?;
        let device = stack.device(Protocol::V311).await?;
        let client = stack.client().await?;
        let given = options(json!({"deadline_ms": 20_000}));
        let payload = serde_json::to_vec(&tensor_body(&inputs, &given)?)?.into();
        device.publish(Outgoing { topic: request_topic(spin::MODEL), payload, qos: 1, ..Outgoing::default() }).await?;
        let running = async || Ok((client.status().await?.running >= 1).then_some(()));
        eventually("the request runs", PATIENCE, running).await?;
        let watch = Stopwatch::start();
        stack.daemon()?.process.signal(Signal::TERM)?;
        stack.broker_mut()?.stop()?;
        let status = stack.daemon_mut()?.process.wait(PATIENCE)?;
        ensure!(status.success(), "it ended with {status}\n{}", stack.logs());
        ensure!(watch.elapsed() < Duration::from_secs(10), "it took {:?}", watch.elapsed());
        Ok(())
    })?
}
