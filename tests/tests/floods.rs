//! More than there is room for: bounded memory, named refusals, and a second client that is served all the while.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Outcome, expect_yes, options};
use edge_tests::broker::MAX_QUEUED;
use edge_tests::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use edge_tests::client::reply;
use edge_tests::client::routes::{Example, tensor_body};
use edge_tests::clock::{PATIENCE, Stopwatch};
use edge_tests::crowd::{Growth, PATIENT_MS, Second, Served, next_on_broker, next_on_bus, quiet_again};
use edge_tests::measure::work;
use edge_tests::media;
use edge_tests::memfd;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::usage;
use serde_json::json;
use tokio::task::JoinSet;

const MODEL: &str = "add";
const FLOOD: usize = 10_000;
/// Requests that the second client begins, and gets answered, while those of the flood wait.
const SERVED_MEANWHILE: usize = 10;
/// Deadline of the flood's requests: later than those of the second client, since what is due earlier goes first.
const FLOOD_MS: i64 = 300_000;

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

/// All that a flood may come to: some served, the others refused by name.
fn served_and_refused(ends: &Ends, all: usize) -> Result<()> {
    only(ends, &["served", "overloaded", "deadline_exceeded"])?;
    ensure!(ends.values().sum::<usize>() == all, "{all} were sent: {ends:?}");
    ensure!(ends.contains_key("served"), "none was served: {ends:?}");
    ensure!(ends.contains_key("overloaded"), "none was refused: {ends:?}");
    Ok(())
}

/// What a flood of real work asks for: 8 KiB each, so that all of it together is far more than may wait.
const FLOODED: work::Work = work::FILE_TYPE;
/// Half of what the payloads of all requests of a flood have together.
const ROOM: u64 = (FLOOD as u64 * 8_192) / 2;

#[test]
fn ten_thousand_requests_at_once_on_the_bus_starve_nobody() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().bundles(&[FLOODED.model, MODEL]).start().await?;
        let good = Example::from(&stack, MODEL).await?;
        let flooder = stack.client().await?;
        let growth = Growth::of(&stack)?;
        let second = Second::start(&stack, &good);
        let (inputs, given) = (Arc::new([FLOODED.tensor()]), Arc::new(options(json!({"deadline_ms": FLOOD_MS}))));
        let mut open = JoinSet::new();
        for _ in 0..FLOOD {
            let (flooder, inputs, given) = (flooder.clone(), Arc::clone(&inputs), Arc::clone(&given));
            open.spawn(async move { flooder.infer(FLOODED.model, &inputs[..], &given).await });
        }
        let mut ends = Ends::new();
        while let Some(outcome) = open.join_next().await {
            count(&mut ends, &outcome??);
        }
        let second = second.end().with_context(|| stack.logs())?;
        println!("the flood: {ends:?}; the second client: {second:?}");
        served_and_refused(&ends, FLOOD)?;
        ensure!(second.meanwhile >= SERVED_MEANWHILE, "the second client starved: {second:?}");
        growth.within(ROOM)?;
        quiet_again(&stack).await?;
        next_on_bus(&flooder, &good).await
    })?
}

#[test]
fn ten_thousand_requests_at_once_on_the_broker_are_all_answered() -> Result<()> {
    ensure!(FLOOD < usize::try_from(MAX_QUEUED)?, "the broker would drop some");
    block_on(async {
        let stack = Setup::new().bundles(&[FLOODED.model, MODEL]).start().await?;
        let good = Example::from(&stack, MODEL).await?;
        let device = stack.device(Protocol::V5).await?;
        let growth = Growth::of(&stack)?;
        let second = Second::start(&stack, &good);
        let ends = flood_broker(&device).await.with_context(|| stack.logs())?;
        let second = second.end().with_context(|| stack.logs())?;
        println!("the flood: {ends:?}; the second client: {second:?}");
        only(&ends, &["served", "overloaded", "deadline_exceeded"])?;
        ensure!(ends.contains_key("served"), "none was served: {ends:?}");
        ensure!(second.meanwhile >= SERVED_MEANWHILE, "the second client starved: {second:?}");
        // All messages together have three times as much, and the tensors in them come on top.
        growth.within(ROOM * 5 / 2)?;
        quiet_again(&stack).await?;
        next_on_broker(&device, &good).await
    })?
}

/// Publishes all, and waits until each id has its reply.
async fn flood_broker(device: &Device) -> Result<Ends> {
    let mut body = tensor_body(&[FLOODED.tensor()], &options(json!({"deadline_ms": FLOOD_MS})))?;
    body["reply_to"] = json!(device.reply_topic);
    // So that messages that were kept would be seen.
    body["z_padding"] = json!("x".repeat(24 << 10));
    for number in 0..FLOOD {
        body["id"] = json!(format!("flood-{number}"));
        let (topic, payload) = (request_topic(FLOODED.model), serde_json::to_vec(&body)?.into());
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

const PICTURES: &str = "text-direction";
const PHOTOGRAPHS: usize = 300;
/// More of them, though smaller: what the daemon holds of them must not grow with their number.
const PHOTOGRAPHS_ON_BROKER: usize = 600;

/// What a photograph and a request of the second client cost the engine host, each by itself.
struct Decoding {
    host: u32,
    photograph: Duration,
    other: Duration,
    before: Duration,
}

impl Decoding {
    /// `one` asks for one photograph.
    async fn measure(stack: &Stack, good: &Example, one: impl AsyncFn() -> Result<Outcome>) -> Result<Decoding> {
        const OTHERS: u32 = 50;
        let (host, client) = (stack.host_pid().await?, stack.client().await?);
        let start = usage::cpu_time(host)?;
        expect_yes("the first photograph", one().await?)?;
        let photograph = usage::cpu_time(host)? - start;
        for _ in 0..OTHERS {
            next_on_bus(&client, good).await?;
        }
        let before = usage::cpu_time(host)?;
        Ok(Decoding { host, photograph, other: (before - start - photograph) / OTHERS, before })
    }

    /// Since then hardly more were decoded than were served, and the host kept little of them.
    fn only_what_was_served(&self, ends: &Ends, second: Served) -> Result<()> {
        let (used, served) = (usage::cpu_time(self.host)? - self.before, ends.get("served").copied().unwrap_or(0));
        let (first, peak) = (self.photograph, usage::resident_peak(self.host)?);
        println!("{first:?} for the first, {used:?} for all: {ends:?}; the second client: {second:?}");
        let allowed = self.photograph * 2 * u32::try_from(served + 8)? + self.other * 2 * second.all;
        ensure!(used < allowed, "the refused ones were decoded: {used:?} for {served} served, {first:?} each");
        ensure!(peak < 1 << 30, "the engine host took {} MiB", peak >> 20);
        Ok(())
    }
}

#[test]
fn a_flood_of_large_photographs_is_refused_before_it_is_decoded() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().bundles(&[PICTURES, MODEL]).start().await?;
        let photograph = media::noise_jpeg(4_000, 3_000)?;
        let fd = Arc::new(memfd::sealed(&photograph)?);
        let (client, good) = (stack.client().await?, Example::from(&stack, MODEL).await?);
        let patient = options(json!({"deadline_ms": PATIENT_MS}));
        let one = async || client.infer_encoded(PICTURES, "image/jpeg", fd.as_fd(), &patient).await;
        let decoding = Decoding::measure(&stack, &good, one).await?;
        let growth = Growth::of(&stack)?;
        let second = Second::start(&stack, &good);
        let (given, mut open) = (Arc::new(options(json!({"deadline_ms": 2_000}))), JoinSet::new());
        // A message with a descriptor at a time, since the bus lets few wait; the calls are all open at once.
        for _ in 0..PHOTOGRAPHS {
            let (client, fd, given) = (client.clone(), Arc::clone(&fd), Arc::clone(&given));
            open.spawn(async move { client.infer_encoded(PICTURES, "image/jpeg", fd.as_fd(), &given).await });
        }
        let mut ends = Ends::new();
        while let Some(outcome) = open.join_next().await {
            count(&mut ends, &outcome??);
        }
        decoding.only_what_was_served(&ends, second.end()?)?;
        mostly_refused(&ends)?;
        growth.within(64 << 20)?;
        expect_yes("the next photograph", one().await?)?;
        next_on_bus(&client, &good).await
    })?
}

fn mostly_refused(ends: &Ends) -> Result<()> {
    only(ends, &["served", "overloaded", "deadline_exceeded"])?;
    let refused = ends.iter().filter(|row| row.0 != "served").map(|row| row.1).sum::<usize>();
    ensure!(refused > 0, "none was refused: {ends:?}");
    Ok(())
}

#[test]
fn a_flood_of_photographs_on_the_broker_is_refused_before_it_is_decoded() -> Result<()> {
    block_on(async {
        // As many as are under way are held in memory for a while, whatever becomes of them.
        let setup = Setup::new()
            .bundles(&[PICTURES, MODEL])
            .config("[mqtt]\nmax_inflight = 32\n[policy]\nmax_waiting_mib = 64");
        let stack = setup.start().await?;
        let photograph: bytes::Bytes = media::noise_jpeg(1_600, 1_200)?.into();
        let (device, good) = (stack.device(Protocol::V5).await?, Example::from(&stack, MODEL).await?);
        let message = |deadline_ms: i64| Outgoing {
            topic: request_topic(PICTURES),
            payload: photograph.clone(),
            qos: 1,
            content_type: Some("image/jpeg".into()),
            response_topic: Some(device.reply_topic.clone()),
            user: vec![("deadline_ms".into(), deadline_ms.to_string())],
            ..Outgoing::default()
        };
        let decoding = Decoding::measure(&stack, &good, async || device.ask5(message(PATIENT_MS)).await).await?;
        let growth = Growth::of(&stack)?;
        let second = Second::start(&stack, &good);
        for number in 0..PHOTOGRAPHS_ON_BROKER {
            let correlation = Some(format!("photograph-{number}").into());
            device.publish(Outgoing { correlation, ..message(2_000) }).await?;
        }
        let (mut seen, mut ends) = (BTreeSet::new(), Ends::new());
        while seen.len() < PHOTOGRAPHS_ON_BROKER {
            let next = device.take("the next reply", PATIENCE, |message| message.topic == device.reply_topic).await;
            let next = next.with_context(|| format!("{} of {PHOTOGRAPHS_ON_BROKER} were answered", seen.len()))?;
            if seen.insert(next.correlation.clone()) {
                count(&mut ends, &reply::read(&next)?);
            }
        }
        decoding.only_what_was_served(&ends, second.end()?)?;
        mostly_refused(&ends)?;
        growth.within(u64::try_from(photograph.len() * PHOTOGRAPHS_ON_BROKER)? / 2)?;
        expect_yes("the next photograph", device.ask5(message(PATIENT_MS)).await?)?;
        next_on_broker(&device, &good).await
    })?
}
