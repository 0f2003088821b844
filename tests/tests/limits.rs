//! Limits that one caller meets alone: answers that it does not read, messages that are too large. Nobody else notices.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use edge_tests::answer::{Options, Tensor, expect_no, expect_yes, options};
use edge_tests::client::bus::{BusClient, variants};
use edge_tests::client::mqtt::{Incoming, Outgoing, Protocol, request_topic};
use edge_tests::client::peer::RawPeer;
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, tensor_body};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::crowd::{Growth, PATIENT_MS, Second, next_on_broker, next_on_bus, quiet_again};
use edge_tests::daemon::NODE;
use edge_tests::memfd;
use edge_tests::runner::block_on;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::Setup;
use edge_wire::names::{BUS_NAME, INFERENCE, ROOT_PATH};
use serde_bytes::Bytes;
use serde_json::json;
use zbus::message::Message;

const MODEL: &str = "add";
/// Requests of others that are served while one is slow.
const SERVED_MEANWHILE: usize = 20;

/// `Infer` of the model as a bare message, another one each time.
fn bare_call(inputs: &[Tensor], destination: Option<&str>) -> Result<Message> {
    let shapes: Vec<Vec<u64>> =
        inputs.iter().map(|tensor| tensor.shape.iter().map(|size| size.unsigned_abs()).collect()).collect();
    let inputs: Vec<_> = inputs
        .iter()
        .zip(&shapes)
        .map(|(tensor, shape)| (tensor.name.as_str(), tensor.datatype.as_str(), shape, Bytes::new(&tensor.data)))
        .collect();
    let call = Message::method_call(ROOT_PATH, "Infer").interface(INFERENCE);
    let call = match destination {
        Some(name) => call.destination(name),
        None => call,
    };
    let given = options(json!({"deadline_ms": PATIENT_MS}));
    Ok(call.build(&(MODEL, inputs, variants(&given)?))?)
}

/// Sends calls and never reads, on a thread of its own, until nobody takes any more; gives how many were taken.
fn deaf(mut peer: RawPeer, inputs: Vec<Tensor>, on_bus: bool, most: usize) -> JoinHandle<Result<(RawPeer, usize)>> {
    /// Whoever does not read for so long has stopped.
    const STOPPED: Duration = Duration::from_secs(10);
    std::thread::spawn(move || {
        let mut sent = 0;
        while sent < most && peer.send(&bare_call(&inputs, on_bus.then_some(BUS_NAME))?, STOPPED)? {
            sent += 1;
        }
        Ok((peer, sent))
    })
}

#[test]
fn a_peer_that_never_reads_its_answers_stops_nobody_else() -> Result<()> {
    /// More calls than the sockets and the daemon hold for one peer.
    const ENDLESS: usize = 200_000;
    /// Calls that the daemon takes before it notices.
    const READ_AT_FIRST: u64 = 100;
    block_on(async {
        let stack = Setup::new().without_broker().start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        let peer = RawPeer::over(client.peer_stream().await?)?;
        let (growth, before) = (Growth::of(&stack)?, client.status().await?.counters.arrived);
        let second = Second::start(&stack, &good);
        let (peer, sent) = joined(deaf(peer, good.inputs.clone(), false, ENDLESS)).await?;
        second.served(SERVED_MEANWHILE).await?;
        let second = second.end()?;
        let read = client.status().await?.counters.arrived - before - u64::from(second.all);
        println!("{read} of {sent} requests were read from the deaf peer; the second client: {second:?}");
        ensure!(read >= READ_AT_FIRST, "only {read} were read, so that nothing was tried");
        ensure!(sent < ENDLESS, "the daemon goes on reading from a peer that does not read");
        growth.within(64 << 20)?;
        next_on_bus(&client, &good).await?;
        drop(peer);
        quiet_again(&stack).await
    })?
}

/// The end of a thread, without keeping others from their work.
async fn joined<T: Send + 'static>(thread: JoinHandle<Result<T>>) -> Result<T> {
    tokio::task::spawn_blocking(move || thread.join()).await?.map_err(|_| anyhow!("a thread panicked"))?
}

#[test]
fn a_client_of_the_bus_that_never_reads_its_answers_stops_nobody_else() -> Result<()> {
    const CALLS: usize = 10_000;
    const ROWS: i64 = 512;
    block_on(async {
        let stack = Setup::new().without_broker().start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        // 16 KiB there and 8 KiB back.
        let large = good.with(|inputs| {
            for tensor in inputs {
                (tensor.shape, tensor.data) = (vec![ROWS, 4], vec![0; 16 * 512]);
            }
        });
        let given = options(json!({"deadline_ms": PATIENT_MS}));
        expect_yes("a large one", client.infer(MODEL, &large, &given).await?)?;
        let growth = Growth::of(&stack)?;
        let arrived = stack.status().await?.counters.arrived;
        let second = Second::start(&stack, &good);
        let (peer, sent) = joined(deaf(RawPeer::on_bus(stack.bus.socket())?, large, true, CALLS)).await?;
        let came = async || {
            let arrived = stack.status().await?.counters.arrived - arrived;
            Ok((arrived >= u64::try_from(sent)? / 2).then_some(()))
        };
        eventually("what it sent has arrived", PATIENCE, came).await?;
        quiet_again_but_for(&client, second).await?;
        println!("{sent} requests were taken from the deaf client");
        ensure!(sent > 1_000, "only {sent} were taken, so that nothing was tried");
        growth.within(64 << 20)?;
        next_on_bus(&client, &good).await?;
        drop(peer);
        quiet_again(&stack).await?;
        next_on_bus(&client, &good).await
    })?
}

/// Nothing waits, though one client goes on asking; and that one was served all the while.
async fn quiet_again_but_for(client: &BusClient, second: Second) -> Result<()> {
    let quiet = async || Ok((client.status().await?.waiting == 0).then_some(()));
    eventually("nothing waits any more", PATIENCE, quiet).await?;
    second.served(SERVED_MEANWHILE).await?;
    println!("the second client: {:?}", second.end()?);
    Ok(())
}

#[test]
fn a_subscriber_of_replies_that_is_slow_gets_them_all_and_stops_nobody_else() -> Result<()> {
    /// Fewer than may be under way on the broker.
    const ASKED: usize = 200;
    block_on(async {
        let stack = Setup::new().start().await?;
        let good = Example::from(&stack, MODEL).await?;
        let inputs = Spin::measure(&stack).await?.lasting(10)?;
        let (client, other) = (stack.client().await?, stack.device(Protocol::V311).await?);
        for protocol in [Protocol::V5, Protocol::V311] {
            let device = stack.device(protocol).await?;
            let mut body = tensor_body(&inputs, &options(json!({"deadline_ms": PATIENT_MS})))?;
            body["reply_to"] = json!(device.reply_topic);
            let mut ids: BTreeSet<String> = (0..ASKED).map(|number| format!("slow-{protocol:?}-{number}")).collect();
            for id in &ids {
                body["id"] = json!(id);
                let (topic, payload) = (request_topic(spin::MODEL), serde_json::to_vec(&body)?.into());
                device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
            }
            device.acknowledged(ASKED).await?;
            // From here on the device neither reads nor acknowledges anything.
            device.pause();
            for _ in 0..SERVED_MEANWHILE {
                next_on_broker(&other, &good).await?;
                next_on_bus(&client, &good).await?;
            }
            let sent = async || {
                let status = client.status().await?;
                Ok((status.waiting == 0 && status.running == 0 && status.mqtt.replies_waiting == 0).then_some(()))
            };
            eventually("all replies are with the broker", PATIENCE, sent).await?;
            let early = device.take_all(|message| message.topic == device.reply_topic);
            ensure!(early.len() < ASKED, "the device was not slow");
            device.resume();
            for message in early {
                answered(&mut ids, &message)?;
            }
            while !ids.is_empty() {
                let next = device.take("a reply", PATIENCE, |message| message.topic == device.reply_topic).await;
                let next = next.with_context(|| format!("not answered: {ids:?}"))?;
                answered(&mut ids, &next)?;
            }
        }
        Ok(())
    })?
}

fn answered(ids: &mut BTreeSet<String>, message: &Incoming) -> Result<()> {
    let id = reply::id_of(message).context("a reply names its id")?;
    expect_yes(&id, reply::read(message)?)?;
    ids.remove(&id);
    Ok(())
}

#[test]
fn sizes_between_policy_and_transport_are_too_large_and_above_both_the_connection_survives() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let limits = "max_request_kib = 256\nmax_packet_kib = 1024";
            let setup = Setup::new().config(&format!("[mqtt]\nprotocol = \"{}\"\n{limits}", protocol.word()));
            let stack = setup.start().await?;
            let good = Example::from(&stack, MODEL).await?;
            let device = stack.device(protocol).await?;
            let connects = stack.status().await?.mqtt.connects;
            let sized = |kib: usize| {
                let mut body = tensor_body(&good.inputs, &Options::new())?;
                // Behind the envelope: of a message that is too large only the beginning is read.
                body["z_padding"] = json!("x".repeat(kib << 10));
                Ok::<_, anyhow::Error>(body)
            };
            let between = device.ask_json(MODEL, &sized(512)?).await?;
            expect_no("512 KiB", &between, "too_large", &["262144"])?;
            next_on_broker(&device, &good).await?;
            // Without a topic of its own the answer comes to the default one.
            device.subscribe(&format!("edge/{NODE}/result/{MODEL}")).await?;
            let (mut body, id) = (sized(512)?, device.fresh_id());
            body["id"] = json!(id);
            let (topic, payload) = (request_topic(MODEL), serde_json::to_vec(&body)?.into());
            device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
            expect_no("512 KiB", &device.reply_to_id(&id).await?, "too_large", &["262144"])?;
            next_on_broker(&device, &good).await?;
            for kib in [2_048, 4_096] {
                let mut body = sized(kib)?;
                (body["id"], body["reply_to"]) = (json!("above"), json!(device.reply_topic));
                let (topic, payload) = (request_topic(MODEL), serde_json::to_vec(&body)?.into());
                device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
                next_on_broker(&device, &good).await.with_context(|| format!("after {kib} KiB"))?;
            }
            let mqtt = stack.status().await?.mqtt;
            ensure!(mqtt.connects == connects, "{protocol:?}: it connected {} times", mqtt.connects);
            ensure!(mqtt.state == "connected", "{mqtt:?}");
        }
        Ok(())
    })?
}

#[test]
fn payloads_above_the_limits_of_the_bus_interface_are_too_large() -> Result<()> {
    block_on(async {
        let limits = "[limits]\nmax_inline_kib = 64\nmax_payload_mib = 1";
        let stack = Setup::new().without_broker().bundles(&[MODEL, "text-direction"]).config(limits).start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        let large = good.with(|inputs| inputs[0].data = vec![0; 100 << 10]);
        let inline = client.infer(MODEL, &large, &Options::new()).await?;
        expect_no("100 KiB inline", &inline, "too_large", &["65536", "InferFd"])?;
        let huge = vec![0; 2 << 20];
        for (what, fd) in [("a memfd", memfd::sealed(&huge)?), ("a memfd without seals", memfd::unsealed(&huge)?)] {
            let encoded = client.infer_encoded("text-direction", "image/jpeg", fd.as_fd(), &Options::new()).await?;
            expect_no(what, &encoded, "too_large", &[])?;
        }
        expect_yes("a good one", client.infer(MODEL, &good.inputs, &Options::new()).await?).map(drop)
    })?
}
