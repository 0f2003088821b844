//! More frames than any box can take, on one binding while others are to be served; and a disk that is full while results wait
//! for the broker. Each test has its own stack.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_yes, options};
use edge_tests::client::mqtt::{Outgoing, Protocol};
use edge_tests::client::routes::tensor_body;
use edge_tests::clock::{PATIENCE, Stopwatch, eventually, pace};
use edge_tests::crowd::Growth;
use edge_tests::disk::Small;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, inputs};
use edge_wire::dto::{BindingStatus, MqttStatus, Problem};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const STORM: &str = r#"
[[binding]]
name = "flooded"
model = "add"
topic = "storm/+"
payload = "application/json"
take = "newest"
result = "calm/{1}"

[[binding]]
name = "counted"
model = "add"
topic = "count/+"
payload = "application/json"
take = "every"
result = "counts/{1}"
"#;
/// Frames of the storm: two seconds of it.
const A_SECOND: usize = 50_000;
const FRAMES: usize = 2 * A_SECOND;
/// They come in gusts.
const GUST: Duration = Duration::from_millis(10);
const SOURCES: usize = 8;
/// Requests on the bus, and frames of the other binding, while the storm lasts.
const OTHERS: usize = 20;
/// Deadline of these requests.
const DEADLINE_MS: u64 = 2_000;
/// What the daemon may take at its peak: what is under way between it and the broker.
const ROOM: u64 = 64 << 20;

/// A request that the model answers.
fn frame() -> Result<String> {
    Ok(tensor_body(&inputs(), &Options::new())?.to_string())
}

async fn binding(stack: &Stack, name: &str) -> Result<BindingStatus> {
    stack.status().await?.mqtt.bindings.into_iter().find(|binding| binding.name == name).context("the binding")
}

/// Counters are told once a second: waits until the binding of all frames says that so many were answered.
async fn done(stack: &Stack, frames: usize) -> Result<BindingStatus> {
    let all = async || Ok(Some(binding(stack, "counted").await?).filter(|counted| counted.done >= frames as u64));
    eventually("all frames are counted", PATIENCE, all).await
}

/// A packet of MQTT 3.1.1: its first byte, and what comes after its length.
fn packet(first: u8, body: &[u8]) -> Result<Vec<u8>> {
    let (mut packet, mut rest) = (vec![first], body.len());
    loop {
        let byte = u8::try_from(rest % 128)?;
        rest /= 128;
        packet.push(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            packet.extend_from_slice(body);
            return Ok(packet);
        }
    }
}

fn text(text: &str) -> Result<Vec<u8>> {
    Ok([&u16::try_from(text.len())?.to_be_bytes(), text.as_bytes()].concat())
}

/// Publishes with QoS 0 as fast as the broker takes it, but no faster than it is to be: no client library is that fast. Gives how
/// long it took.
async fn storm(port: u16) -> Result<Duration> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    // Protocol 4, a clean session, no keep-alive.
    let hello = [&text("MQTT")?[..], &[4, 2, 0, 0], &text("storm")?].concat();
    socket.write_all(&packet(0x10, &hello)?).await?;
    let body = frame()?;
    let publish = |number: usize| -> Result<Vec<u8>> {
        packet(0x30, &[&text(&format!("storm/{}", number % SOURCES))?[..], body.as_bytes()].concat())
    };
    let gust = A_SECOND / usize::try_from(Duration::from_secs(1).as_millis() / GUST.as_millis())?;
    let gusts: Vec<u8> = (0..gust).map(publish).collect::<Result<Vec<_>>>()?.concat();
    let (mut ticks, watch) = (pace(GUST), Stopwatch::start());
    for _ in 0..FRAMES / gust {
        ticks.tick().await;
        socket.write_all(&gusts).await?;
    }
    socket.write_all(&packet(0xE0, &[])?).await?;
    Ok(watch.elapsed())
}

#[test]
fn a_storm_on_one_binding_is_skipped_and_counted_while_all_others_are_served() -> Result<()> {
    block_on(async {
        let stack = Setup::new().bundles(&[MODEL]).config(STORM).start().await?;
        let (client, device) = (stack.client().await?, stack.device(Protocol::V5).await?);
        device.subscribe("counts/#").await?;
        let growth = Growth::of(&stack)?;
        let port = stack.mqtt_port()?;
        let storm = std::thread::spawn(move || block_on(storm(port))?);
        let begun = async || Ok((binding(&stack, "flooded").await?.skipped > 0).then_some(()));
        eventually("the storm has come", PATIENCE, begun).await?;
        let (mut slowest, mut meanwhile, given) = (Duration::ZERO, 0, options(json!({ "deadline_ms": DEADLINE_MS })));
        for number in 0..OTHERS {
            let payload = frame()?.into();
            device
                .publish(Outgoing { topic: format!("count/{number}"), payload, qos: 1, ..Outgoing::default() })
                .await?;
            let watch = Stopwatch::start();
            expect_yes("on the bus", client.infer(MODEL, &inputs(), &given).await?).with_context(|| stack.logs())?;
            slowest = slowest.max(watch.elapsed());
            meanwhile += usize::from(!storm.is_finished());
        }
        for number in 0..OTHERS {
            let topic = format!("counts/{number}");
            let counted =
                device.take("a result of the other binding", PATIENCE, |message| message.topic == topic).await;
            ensure!(counted.with_context(|| stack.logs())?.json()?["ok"] == true);
        }
        let took = storm.join().map_err(|_| anyhow::anyhow!("the storm panicked"))??;
        // Behind everything that the broker passes on of the storm.
        let payload = frame()?.into();
        device.publish(Outgoing { topic: "count/last".into(), payload, qos: 1, ..Outgoing::default() }).await?;
        let counted = done(&stack, OTHERS + 1).await?;
        let calm = async || {
            let flooded = binding(&stack, "flooded").await?;
            Ok(Some(flooded).filter(|flooded| flooded.waiting == 0 && flooded.open == 0))
        };
        let flooded = eventually("it is calm again", PATIENCE, calm).await?;
        println!(
            "{FRAMES} frames in {took:?}, of which the broker passed on {}: {} answered, {} skipped; {meanwhile} of {OTHERS} requests \
             meanwhile, the slowest {slowest:?}",
            flooded.received, flooded.done, flooded.skipped
        );
        ensure!(meanwhile > 0, "the storm was over before anybody else came");
        ensure!(flooded.received == flooded.done + flooded.skipped, "{flooded:?}");
        ensure!((flooded.failed, flooded.overloaded) == (0, 0), "{flooded:?}");
        ensure!(flooded.skipped > flooded.done && flooded.skipped > 1000, "{flooded:?}");
        ensure!(counted.overloaded == 0, "{counted:?}");
        ensure!(client.status().await?.mqtt.connects == 1, "the link broke");
        growth.within(ROOM)
    })?
}

#[test]
fn a_broker_that_sends_more_at_once_than_there_is_room_for_loses_no_frame() -> Result<()> {
    /// Many more than are open at once, and no more than the broker sends without a word of ours.
    const FRAMES: usize = 150;
    block_on(async {
        for protocol in [Protocol::V311, Protocol::V5] {
            let word = protocol.word();
            let config = format!("[mqtt]\nprotocol = \"{word}\"\nmax_inflight = 4\njournal_after_ms = 20\n{STORM}");
            let stack = Setup::new().bundles(&[MODEL]).config(&config).start().await?;
            let device = stack.device(Protocol::V5).await?;
            device.subscribe("counts/#").await?;
            for number in 0..FRAMES {
                let (topic, payload) = (format!("count/{number}"), frame()?.into());
                device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
            }
            for number in 0..FRAMES {
                let message = device.take("a result", PATIENCE, |message| message.topic.starts_with("counts/")).await;
                let message = message.with_context(|| format!("{word}, {number}: {}", stack.logs()))?;
                ensure!(message.json()?["ok"] == true, "{message:?}");
            }
            let counted = done(&stack, FRAMES).await?;
            ensure!((counted.received, counted.overloaded) == (FRAMES as u64, 0), "{counted:?}");
        }
        Ok(())
    })?
}

fn problem(mqtt: &MqttStatus) -> Option<Problem> {
    mqtt.problems.iter().find(|problem| problem.subject == "outbox").cloned()
}

#[test]
fn results_wait_in_memory_while_the_disk_is_full_which_is_said_and_all_come_out() -> Result<()> {
    /// Files while the disk is full, and after it.
    const FILES: u64 = 10;
    block_on(async {
        let folder = tempfile::tempdir()?;
        let config = format!(
            "[models]\ndisk_reserve_mib = 0\n[mqtt]\noutbox_commit_ms = 100\n[[binding]]\nname = \"box\"\nmodel = \"{MODEL}\"\n\
             folder = \"{}\"\npattern = \"*.json\"\npayload = \"application/json\"\nresult = \"files/{{1}}\"\nlast = false\n",
            folder.path().display()
        );
        let mut stack = Setup::new().bundles(&[MODEL]).config(&config).prepare()?;
        let Some(disk) = Small::mount(&stack.dir().join("state"), 4096)? else { return Ok(()) };
        stack.start_daemon().await?;
        let (client, device) = (stack.client().await?, stack.device(Protocol::V5).await?);
        device.subscribe("files/#").await?;
        let says = async |what: &str, fits: &dyn Fn(&MqttStatus) -> bool| -> Result<MqttStatus> {
            let look = async || Ok(Some(client.status().await?.mqtt).filter(|mqtt| fits(mqtt)));
            let found = eventually(what, PATIENCE, look).await;
            let now = client.status().await?.mqtt;
            found.with_context(|| format!("it says {:?}, {:?}, {:?}", now.state, now.outbox, now.problems))
        };
        let put = |name: &str| -> Result<()> {
            let made = folder.path().join(format!("{name}.part"));
            std::fs::write(&made, frame()?)?;
            Ok(std::fs::rename(&made, made.with_extension("json"))?)
        };

        stack.broker_mut()?.stop()?;
        says("the loss is noticed", &|mqtt| mqtt.state == "connecting").await?;
        disk.fill(0)?;
        for number in 0..FILES {
            put(&format!("full{number}"))?;
        }
        let mqtt =
            says("they wait, and it is a problem", &|mqtt| mqtt.outbox.waiting >= FILES && problem(mqtt).is_some());
        let mqtt = mqtt.await?;
        let said = problem(&mqtt).context("a problem")?;
        ensure!(mqtt.outbox.stored == 0 && mqtt.outbox.dropped == 0, "{:?}", mqtt.outbox);
        ensure!(said.what.contains("cannot be written") && said.what.contains("full"), "{said:?}");
        ensure!(said.remedy.contains("make room") && said.remedy.contains("wait in memory"), "{said:?}");
        ensure!(client.status().await?.problems.iter().any(|problem| problem.subject == said.subject), "not in status");
        // Nothing of them is safe, so that no file has gone.
        ensure!((0..FILES).all(|number| folder.path().join(format!("full{number}.json")).exists()));

        stack.broker_mut()?.start_again()?;
        // Each file is a source of its own, so their order is any.
        for number in 0..FILES {
            let topic = format!("files/full{number}");
            device.take("a result", PATIENCE, |message| message.topic == topic).await?;
        }
        says("nothing waits any more", &|mqtt| mqtt.outbox.waiting == 0).await?;

        disk.free()?;
        stack.broker_mut()?.stop()?;
        says("the loss is noticed again", &|mqtt| mqtt.state == "connecting").await?;
        put("room")?;
        says("it is on the disk, and no problem any more", &|mqtt| mqtt.outbox.stored >= 1 && problem(mqtt).is_none())
            .await?;
        stack.daemon_mut()?.process.crash()?;
        stack.broker_mut()?.start_again()?;
        stack.start_daemon().await?;
        device.take("after a crash", PATIENCE, |message| message.topic == "files/room").await.map(drop)
    })?
}
