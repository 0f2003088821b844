//! Brokers that go, come back, fall silent, accept and forget; and two boxes of one name. Each test has its own stack.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_yes, options};
use edge_tests::broker::Broker;
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, Protocol, request_topic};
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, tensor_body};
use edge_tests::clock::{PATIENCE, Stopwatch, eventually};
use edge_tests::daemon::NODE;
use edge_tests::faulty::Faulty;
use edge_tests::process::Life;
use edge_tests::runner::block_on;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack};
use edge_tests::tamper::{Fault, Tamper};
use edge_wire::dto::MqttStatus;
use serde_json::json;

const MODEL: &str = "add";
/// The shortest keep-alive that there is.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Waits until the daemon says this of its link; an error shows what it says instead.
async fn says(client: &BusClient, what: &str, is_so: impl Fn(&MqttStatus) -> bool) -> Result<MqttStatus> {
    let look = async || Ok(Some(client.status().await?.mqtt).filter(|mqtt| is_so(mqtt)));
    let found = eventually(what, PATIENCE * 2, look).await;
    let now = client.status().await?.mqtt;
    found.with_context(|| format!("it says {now:?}"))
}

fn is_on(mqtt: &MqttStatus, port: u16) -> bool {
    mqtt.state == "connected" && mqtt.broker == format!("127.0.0.1:{port}")
}

/// A second broker beside that of the stack.
fn second(stack: &Stack) -> Result<Broker> {
    let dir = stack.dir().join("second");
    std::fs::create_dir_all(&dir)?;
    Broker::start(&dir, Life::WithParent)
}

/// Sends a request whose reply goes to `reply_to`.
async fn ask(device: &Device, body: serde_json::Value, model: &str, id: &str, reply_to: &str) -> Result<()> {
    let mut body = body;
    body["id"] = json!(id);
    body["reply_to"] = json!(reply_to);
    let payload = serde_json::to_vec(&body)?.into();
    device.publish(Outgoing { topic: request_topic(model), payload, qos: 1, ..Outgoing::default() }).await
}

async fn serves(device: &Device, good: &Example, id: &str) -> Result<()> {
    ask(device, tensor_body(&good.inputs, &Options::new())?, MODEL, id, &device.reply_topic).await?;
    expect_yes(id, device.reply_to_id(id).await?).map(drop)
}

#[test]
fn a_box_whose_first_broker_is_gone_serves_by_the_next_and_goes_back_when_it_answers() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&[MODEL]).prepare()?;
        let second = second(&stack)?;
        let (first_port, second_port) = (stack.mqtt_port()?, second.port());
        stack.launch.overlay =
            format!("[mqtt]\nfallback = [\"127.0.0.1:1\", \"localhost:{second_port}\"]\nreturn_after_s = 1\n");
        stack.start_daemon().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        ensure!(is_on(&client.status().await?.mqtt, first_port), "the first broker comes first");

        stack.broker_mut()?.stop()?;
        let on_second = format!("localhost:{second_port}");
        let mqtt =
            says(&client, "on the last of the list", |mqtt| mqtt.state == "connected" && mqtt.broker == on_second)
                .await?;
        ensure!(mqtt.brokers[0].fault == "the broker closed the connection", "{mqtt:?}");
        ensure!(mqtt.brokers[1].fault.contains("refused") && mqtt.brokers[2].fault.is_empty(), "{mqtt:?}");
        ensure!(!mqtt.last_error.is_empty(), "{mqtt:?}");
        ensure!(mqtt.connected_since > mqtt.last_error_at, "{mqtt:?}");
        let device = Device::connect(second_port, Protocol::V5).await?;
        serves(&device, &good, "by-the-second").await?;
        let available = format!("edge/{NODE}/available");
        device.subscribe(&available).await?;
        let word = |word: &'static str| {
            let available = available.clone();
            move |message: &Incoming| message.topic == available && message.payload == word
        };
        device.take("it is there", PATIENCE, word("online")).await?;

        stack.broker_mut()?.start_again()?;
        let mqtt = says(&client, "back on the first", |mqtt| is_on(mqtt, first_port)).await?;
        ensure!(mqtt.brokers[0].fault.is_empty(), "{mqtt:?}");
        // At the fallback nobody believes that the box is still there.
        device.take("it has left", PATIENCE, word("offline")).await?;
        serves(&stack.device(Protocol::V5).await?, &good, "by-the-first").await
    })?
}

#[test]
fn a_reply_that_the_first_broker_did_not_live_to_take_goes_to_the_next() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().prepare()?;
        let second = second(&stack)?;
        stack.launch.overlay = format!("[mqtt]\nfallback = [\"127.0.0.1:{}\"]\n", second.port());
        stack.start_daemon().await?;
        let inputs = Spin::measure(&stack).await?.lasting(1_500)?;
        let (here, there) =
            (stack.device(Protocol::V311).await?, Device::connect(second.port(), Protocol::V311).await?);
        let body = tensor_body(&inputs, &options(json!({"deadline_ms": 60_000})))?;
        ask(&here, body, spin::MODEL, "moved", &there.reply_topic).await?;
        let client = stack.client().await?;
        let running = async || Ok((client.status().await?.running >= 1).then_some(()));
        eventually("the request runs", PATIENCE, running).await?;
        stack.broker_mut()?.process.crash()?;
        expect_yes("by the next broker", there.reply_to_id("moved").await?).map(drop)
    })?
}

#[test]
fn a_link_that_passes_nothing_any_more_is_noticed_within_one_and_a_half_keep_alives() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&[MODEL]).prepare()?;
        let link = Faulty::to(stack.mqtt_port()?)?;
        stack.launch.overlay = format!("[mqtt]\nport = {}\nkeep_alive_s = {}\n", link.port(), KEEP_ALIVE.as_secs());
        stack.start_daemon().await?;
        let client = stack.client().await?;
        let mqtt = says(&client, "a ping was answered", |mqtt| mqtt.ping_us.is_some()).await?;
        ensure!(mqtt.keep_alive_s == 5, "{mqtt:?}");
        for round in 0..3 {
            link.part(true);
            let watch = Stopwatch::start();
            let mqtt = says(&client, "noticed", |mqtt| mqtt.state != "connected").await?;
            let noticed = watch.elapsed();
            println!("round {round}: noticed after {noticed:?}: {}", mqtt.reason);
            ensure!(noticed <= KEEP_ALIVE * 3 / 2, "{noticed:?}");
            ensure!(mqtt.reason.contains("does not answer: nothing came from it for"), "{mqtt:?}");
            link.heal();
            says(&client, "connected again", |mqtt| mqtt.state == "connected").await?;
        }
        Ok(())
    })?
}

#[test]
fn a_broker_that_accepts_and_acknowledges_nothing_is_left_for_the_next() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&[MODEL]).prepare()?;
        let second = second(&stack)?;
        let forgets = Tamper::to(stack.mqtt_port()?, Fault::Forgets)?;
        stack.launch.overlay = format!(
            "[mqtt]\nport = {}\nfallback = [\"127.0.0.1:{}\"]\nkeep_alive_s = {}\n",
            forgets.port(),
            second.port(),
            KEEP_ALIVE.as_secs()
        );
        stack.daemon = Some(edge_tests::daemon::Daemon::start(&stack.launch).await?);
        let client = stack.client().await?;
        let mqtt = says(&client, "on the next", |mqtt| is_on(mqtt, second.port())).await?;
        ensure!(forgets.kept_back() > 0, "nothing was kept back");
        ensure!(mqtt.brokers[0].fault == "the broker acknowledged nothing for 10 s, two keep-alives", "{mqtt:?}");
        let good = Example::from(&stack, MODEL).await?;
        serves(&Device::connect(second.port(), Protocol::V5).await?, &good, "by-the-next").await
    })?
}

#[test]
fn a_broker_that_forgot_the_session_gets_the_reply_all_the_same() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let mut stack = Setup::new().prepare()?;
            let amnesia = Tamper::to(stack.mqtt_port()?, Fault::Amnesia)?;
            stack.launch.overlay = format!("[mqtt]\nport = {}\nprotocol = \"{}\"\n", amnesia.port(), protocol.word());
            stack.start_daemon().await?;
            let inputs = Spin::measure(&stack).await?.lasting(1_500)?;
            let device = stack.device(Protocol::V311).await?;
            let client = stack.client().await?;
            let body = tensor_body(&inputs, &options(json!({"deadline_ms": 60_000})))?;
            ask(&device, body, spin::MODEL, "kept", &device.reply_topic).await?;
            let running = async || Ok((client.status().await?.running >= 1).then_some(()));
            eventually("the request runs", PATIENCE, running).await?;
            let before = client.status().await?.mqtt.connects;
            amnesia.cut();
            says(&client, "connected anew", |mqtt| mqtt.state == "connected" && mqtt.connects > before).await?;
            expect_yes("after the session was lost", device.reply_to_id("kept").await?)?;
            // The subscriptions stand again, too: a later request is served.
            ask(&device, tensor_body(&inputs, &Options::new())?, spin::MODEL, "later", &device.reply_topic).await?;
            let named = |message: &Incoming| reply::id_of(message).as_deref() == Some("later");
            device.take("a later one", PATIENCE, named).await?;
        }
        Ok(())
    })?
}

#[test]
fn two_boxes_of_one_name_both_say_so_with_the_client_id_and_what_to_do() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let name = format!("[mqtt]\nclient_id = \"press-7\"\nprotocol = \"{}\"\n", protocol.word());
            let first = Setup::new().bundles(&[MODEL]).config(&name).start().await?;
            let mut other = Setup::new().bundles(&[MODEL]).without_broker().prepare()?;
            other.launch.overlay = format!("{name}host = \"127.0.0.1\"\nport = {}\n", first.mqtt_port()?);
            other.start_daemon().await?;
            for (who, stack) in [("the first", &first), ("the other", &other)] {
                let client = stack.client().await?;
                let said = async || {
                    let status = client.status().await?;
                    let mqtt = &status.mqtt;
                    let named = mqtt.reason.contains("press-7") && mqtt.reason.contains("client");
                    let told =
                        status.problems.iter().any(|problem| problem.remedy.contains("its own `mqtt.client_id`"));
                    // Between two tries it may just be connected, and says it all the same.
                    Ok((named && (told || mqtt.state == "connected")).then_some(()))
                };
                let found = eventually(&format!("{who} says that there are two"), PATIENCE * 3, said).await;
                let now = client.status().await?.mqtt;
                found.with_context(|| format!("{protocol:?}: it says {now:?}"))?;
            }
        }
        Ok(())
    })?
}
