//! More than there is room for: bounded memory, named refusals, and a second client that is served all the while.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Outcome, expect_yes, options};
use edge_tests::broker::MAX_QUEUED;
use edge_tests::client::bus::{BusClient, variants};
use edge_tests::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use edge_tests::client::peer::RawPeer;
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, tensor_body};
use edge_tests::clock::{PATIENCE, Stopwatch, eventually, within};
use edge_tests::media;
use edge_tests::memfd;
use edge_tests::runner::block_on;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack};
use edge_tests::usage;
use edge_wire::names::{INFERENCE, ROOT_PATH};
use serde_bytes::Bytes;
use serde_json::json;

const MODEL: &str = "add";
const FLOOD: usize = 10_000;
/// What the daemon may take at most in a flood: its waiting requests are bounded by the policy.
const DAEMON_CEILING: u64 = 256 << 20;

/// How requests ended, by code.
type Ends = BTreeMap<String, usize>;

fn count(ends: &mut Ends, outcome: &Outcome) {
    let word = outcome.as_ref().map_or_else(|no| no.code.clone(), |_| "served".into());
    *ends.entry(word).or_default() += 1;
}

fn only(ends: &Ends, allowed: &[&str]) -> Result<()> {
    let strange: Vec<_> = ends.keys().filter(|word| !allowed.contains(&word.as_str())).collect();
    ensure!(strange.is_empty(), "some ended otherwise: {ends:?}");
    Ok(())
}

/// A second client, whose requests are all served while the flood is on; gives its slowest.
async fn served_meanwhile(
    client: &BusClient,
    good: &Example,
    over: &std::cell::Cell<bool>,
) -> Result<(usize, Duration)> {
    let (mut served, mut slowest) = (0, Duration::ZERO);
    while !over.get() {
        let watch = Stopwatch::start();
        let given = options(json!({"deadline_ms": 20_000}));
        let outcome = within("the second client", PATIENCE, client.infer(MODEL, &good.inputs, &given)).await??;
        expect_yes("the second client", outcome)?;
        slowest = slowest.max(watch.elapsed());
        served += 1;
    }
    Ok((served, slowest))
}

async fn bounded(stack: &Stack) -> Result<()> {
    let peak = usage::resident_peak(stack.daemon()?.process.pid())?;
    println!("the daemon took {} MiB at most", peak >> 20);
    ensure!(peak < DAEMON_CEILING, "the daemon took {} MiB", peak >> 20);
    Ok(())
}

async fn quiet_again(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let quiet = async || {
        let status = client.status().await?;
        Ok((status.waiting == 0 && status.running == 0).then_some(()))
    };
    eventually("nothing waits any more", PATIENCE, quiet).await
}

#[test]
fn ten_thousand_requests_at_once_on_the_bus_starve_nobody() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().start().await?;
        let spin = Spin::measure(&stack).await?.lasting(5)?;
        let good = Example::from(&stack, MODEL).await?;
        let (flooder, second) = (stack.client().await?, stack.client().await?);
        let over = std::cell::Cell::new(false);
        let given = options(json!({"deadline_ms": 10_000}));
        let flood = async {
            let calls = (0..FLOOD).map(|_| flooder.infer(spin::MODEL, &spin, &given));
            let outcomes = join_all(calls).await;
            over.set(true);
            outcomes
        };
        let (outcomes, second) = tokio::join!(flood, served_meanwhile(&second, &good, &over));
        let (served, slowest) = second.with_context(|| stack.logs())?;
        let mut ends = Ends::new();
        for outcome in outcomes {
            count(&mut ends, &outcome?);
        }
        println!("the flood: {ends:?}; the second client: {served} served, the slowest in {slowest:?}");
        only(&ends, &["served", "overloaded", "deadline_exceeded"])?;
        ensure!(ends.values().sum::<usize>() == FLOOD && ends.contains_key("served"), "{ends:?}");
        ensure!(ends.contains_key("overloaded"), "nothing was refused: {ends:?}");
        ensure!(served > 0, "the second client was never served");
        bounded(&stack).await?;
        quiet_again(&stack).await
    })?
}

/// All of them at once, in one task.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut open = false;
        for (future, output) in &mut pinned {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => *output = Some(done),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    pinned.into_iter().filter_map(|(_, output)| output).collect()
}

#[test]
fn ten_thousand_requests_at_once_on_the_broker_are_all_answered() -> Result<()> {
    ensure!(FLOOD < usize::try_from(MAX_QUEUED)?, "the broker would drop some");
    block_on(async {
        let stack = Setup::new().start().await?;
        let good = Example::from(&stack, MODEL).await?;
        let spin = Spin::measure(&stack).await?.lasting(2)?;
        let device = stack.device(Protocol::V5).await?;
        let second = stack.client().await?;
        let over = std::cell::Cell::new(false);
        let flood = async {
            let ends = flood_broker(&device, &spin).await;
            over.set(true);
            ends
        };
        let (ends, second) = tokio::join!(flood, served_meanwhile(&second, &good, &over));
        let ends = ends.with_context(|| stack.logs())?;
        let (served, slowest) = second?;
        println!("the flood: {ends:?}; the second client: {served} served, the slowest in {slowest:?}");
        only(&ends, &["served", "overloaded", "deadline_exceeded"])?;
        ensure!(served > 0, "the second client was never served");
        bounded(&stack).await?;
        quiet_again(&stack).await
    })?
}

/// Publishes all, and waits until each id has its reply.
async fn flood_broker(device: &Device, inputs: &[edge_tests::answer::Tensor]) -> Result<Ends> {
    let mut body = tensor_body(inputs, &options(json!({"deadline_ms": 30_000})))?;
    body["reply_to"] = json!(device.reply_topic);
    for number in 0..FLOOD {
        body["id"] = json!(format!("flood-{number}"));
        let payload = serde_json::to_vec(&body)?.into();
        let topic = request_topic(spin::MODEL);
        device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
    }
    let mut seen: HashMap<String, Outcome> = HashMap::new();
    let watch = Stopwatch::start();
    while seen.len() < FLOOD {
        let next = device.take("the next reply", PATIENCE, |message| message.topic == device.reply_topic).await;
        let next = next.with_context(|| format!("{} of {FLOOD} were answered in {:?}", seen.len(), watch.elapsed()))?;
        seen.insert(reply::id_of(&next).context("a reply names its id")?, reply::read(&next)?);
    }
    let mut ends = Ends::new();
    seen.values().for_each(|outcome| count(&mut ends, outcome));
    Ok(ends)
}

#[test]
fn a_flood_of_large_photographs_is_refused_before_it_is_decoded() -> Result<()> {
    const PHOTOGRAPHS: usize = 300;
    block_on(async {
        let stack = Setup::new().without_broker().bundles(&["text-direction", MODEL]).start().await?;
        let photograph = media::noise_jpeg(4_000, 3_000)?;
        let fd = memfd::sealed(&photograph)?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        let one = Stopwatch::start();
        let first = client.infer_encoded("text-direction", "image/jpeg", fd.as_fd(), &Options::new()).await?;
        let allowed = ["served", "overloaded", "deadline_exceeded"];
        let (one, mut ends) = (one.elapsed(), Ends::new());
        count(&mut ends, &first);
        only(&ends, &allowed)?;
        let host = stack.host_pid().await?;
        let (before, watch) = (usage::cpu_time(host)?, Stopwatch::start());
        let (over, given) = (std::cell::Cell::new(false), options(json!({"deadline_ms": 2_000})));
        let flood = async {
            // A message with a descriptor at a time, since the bus lets few wait; the calls are all open at once.
            let calls =
                (0..PHOTOGRAPHS).map(|_| client.infer_encoded("text-direction", "image/jpeg", fd.as_fd(), &given));
            let outcomes = join_all(calls).await;
            over.set(true);
            outcomes
        };
        let second = stack.client().await?;
        let (outcomes, second) = tokio::join!(flood, served_meanwhile(&second, &good, &over));
        for outcome in outcomes {
            count(&mut ends, &outcome?);
        }
        let used = usage::cpu_time(host)? - before;
        println!(
            "{} MB each, the first in {one:?}; {PHOTOGRAPHS} at once in {:?}: {ends:?}; the host worked {used:?}; second {:?}",
            photograph.len() / 1_000_000,
            watch.elapsed(),
            second?
        );
        only(&ends, &allowed)?;
        let refused = ends.iter().filter(|row| row.0 != "served").map(|row| row.1).sum::<usize>();
        ensure!(refused > 0, "none was refused: {ends:?}");
        // Decoding all of them would have taken this long on two cores.
        ensure!(used < one * 4 * u32::try_from(PHOTOGRAPHS)? / 5, "the refused ones were decoded: {used:?}");
        ensure!(
            usage::resident_peak(host)? < 1 << 30,
            "the engine host took {} MiB",
            usage::resident_peak(host)? >> 20
        );
        bounded(&stack).await
    })?
}

#[test]
fn a_peer_that_never_reads_its_answers_stops_nobody_else() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        let mut deaf = RawPeer::over(client.peer_stream().await?)?;
        let given = options(json!({"deadline_ms": 20_000}));
        let shapes: Vec<Vec<u64>> =
            good.inputs.iter().map(|tensor| tensor.shape.iter().map(|size| size.unsigned_abs()).collect()).collect();
        let inputs: Vec<_> = good
            .inputs
            .iter()
            .zip(&shapes)
            .map(|(tensor, shape)| (tensor.name.as_str(), tensor.datatype.as_str(), shape, Bytes::new(&tensor.data)))
            .collect();
        let message = zbus::message::Message::method_call(ROOT_PATH, "Infer").interface(INFERENCE).build(&(
            MODEL,
            inputs,
            variants(&given)?,
        ))?;
        let before = usage::resident(stack.daemon()?.process.pid())?;
        let mut sent = 0;
        while sent < 50_000 && deaf.send(&message, Duration::from_millis(500))? {
            sent += 1;
            if sent % 500 == 0 {
                let answer =
                    within("the other client", PATIENCE, client.infer(MODEL, &good.inputs, &Options::new())).await??;
                expect_yes("the other client", answer)?;
            }
        }
        let grown = usage::resident(stack.daemon()?.process.pid())?.saturating_sub(before);
        println!("{sent} requests were taken from the deaf peer; the daemon grew by {} KiB", grown >> 10);
        ensure!(grown < 64 << 20, "the daemon keeps {} MiB for a peer that does not read", grown >> 20);
        expect_yes("the other client", client.infer(MODEL, &good.inputs, &Options::new()).await?)?;
        drop(deaf);
        quiet_again(&stack).await
    })?
}

#[test]
fn a_subscriber_of_replies_that_is_slow_stops_nobody_else() -> Result<()> {
    block_on(async {
        let stack = Setup::new().start().await?;
        let good = Example::from(&stack, MODEL).await?;
        let (device, other) = (stack.device(Protocol::V5).await?, stack.device(Protocol::V311).await?);
        let mut body = tensor_body(&good.inputs, &Options::new())?;
        body["reply_to"] = json!(device.reply_topic);
        for number in 0..2_000 {
            body["id"] = json!(format!("slow-{number}"));
            let payload = serde_json::to_vec(&body)?.into();
            let topic = request_topic(MODEL);
            device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
        }
        // From here on the device neither reads nor acknowledges anything: its task gets no time.
        drop(device);
        for _ in 0..20 {
            // While the flood lasts a refusal may come, by name; an answer comes within the patience of a caller.
            let body = tensor_body(&good.inputs, &Options::new())?;
            let served = async || match other.ask_json(MODEL, &body).await? {
                Err(no) if no.code == "overloaded" => Ok(None),
                answer => expect_yes("the other device", answer).map(Some),
            };
            eventually("the other device is served", PATIENCE, served).await?;
        }
        bounded(&stack).await
    })?
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
            edge_tests::answer::expect_no("512 KiB", &between, "too_large", &["262144"])?;
            expect_yes("a good one", device.ask_json(MODEL, &tensor_body(&good.inputs, &Options::new())?).await?)?;
            for kib in [2_048, 4_096] {
                let mut body = sized(kib)?;
                (body["id"], body["reply_to"]) = (json!("above"), json!(device.reply_topic));
                let payload = serde_json::to_vec(&body)?.into();
                let topic = request_topic(MODEL);
                device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
                let next = device.ask_json(MODEL, &tensor_body(&good.inputs, &Options::new())?).await?;
                expect_yes(&format!("a good one after {kib} KiB"), next)?;
            }
            let mqtt = stack.status().await?.mqtt;
            ensure!(mqtt.connects <= connects + 2, "{protocol:?}: it connected {} times", mqtt.connects);
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
        edge_tests::answer::expect_no("100 KiB inline", &inline, "too_large", &["65536", "InferFd"])?;
        let huge = vec![0; 2 << 20];
        for (what, fd) in [("a memfd", memfd::sealed(&huge)?), ("a memfd without seals", memfd::unsealed(&huge)?)] {
            let encoded = client.infer_encoded("text-direction", "image/jpeg", fd.as_fd(), &Options::new()).await?;
            edge_tests::answer::expect_no(what, &encoded, "too_large", &[])?;
        }
        expect_yes("a good one", client.infer(MODEL, &good.inputs, &Options::new()).await?).map(drop)
    })?
}
