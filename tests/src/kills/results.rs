//! The daemon is killed, and the broker stopped and started again, at random moments while frames of several sources come over
//! MQTT with QoS 1 and their results go to a subscriber. Each frame has a number that its result shows: at the end none may be
//! missing, and the results of a source must first appear in the order of its frames.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::Moments;
use crate::client::mqtt::{Device, Incoming, Outgoing, Protocol};
use crate::clock::{PATIENCE, Stopwatch, pace, rest};
use crate::stack::{Setup, Stack};

const CONFIG: &str = r#"
[[binding]]
name = "counted"
model = "add"
topic = "count/+"
payload = "application/json"
take = "every"
max_in_flight = 16
max_waiting = 4096
result = "counts/{1}"
qos = 1
"#;
const SOURCES: u64 = 4;
/// Frames of each life, and time between two of them.
const EACH: u64 = 120;
const PERIOD: Duration = Duration::from_millis(2);
/// The latest moment of a kill after the frames of a life began to come.
const LATEST_MS: u64 = 400;
/// One death in so many is one of the broker.
const BROKER_EVERY: u32 = 2;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub daemon_kills: u32,
    pub broker_stops: u32,
    pub frames: u64,
    /// Results that came once more than once.
    pub again: u64,
    /// Results that said that they are late.
    pub late: u64,
    /// Frames whose result never came, as `source/number`.
    pub lost: Vec<String>,
    /// Results that first appeared after a later one of their source.
    pub disordered: Vec<String>,
}

impl Tally {
    /// Whether what was promised holds.
    pub fn holds(&self) -> bool {
        self.lost.is_empty() && self.disordered.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { daemon_kills, broker_stops, frames, again, late, lost, disordered } = self;
        write!(
            out,
            "{daemon_kills} kills of the daemon, {broker_stops} stops of the broker: {frames} frames, lost {}, out of order {}, \
             {again} results came again, {late} came late and said so",
            lost.len(),
            disordered.len()
        )
    }
}

/// What was seen of each source: numbers in the order of their first appearance.
#[derive(Debug, Default)]
struct Seen {
    order: BTreeMap<u64, Vec<u64>>,
    known: BTreeSet<(u64, u64)>,
}

/// `times` deaths of the daemon, and as many of the broker.
pub async fn kill(times: u32, seed: u64) -> Result<Tally> {
    let mut stack = Setup::new().bundles(&["add"]).config(CONFIG).start().await?;
    let (sender, reader) = (stack.device(Protocol::V5).await?, stack.device(Protocol::V5).await?);
    reader.subscribe("counts/+").await?;
    let (mut moments, mut tally, mut seen) = (Moments(seed), Tally::default(), Seen::default());
    for round in 0..times * BROKER_EVERY {
        one_death(&mut stack, &sender, round, &mut moments, &mut tally)
            .await
            .with_context(|| format!("round {round}"))?;
        collect(&reader, &mut seen, &mut tally)?;
    }
    let watch = Stopwatch::start();
    let mut ticks = pace(Duration::from_millis(50));
    while (seen.known.len() as u64) < tally.frames && watch.elapsed() < PATIENCE * 2 {
        ticks.tick().await;
        collect(&reader, &mut seen, &mut tally)?;
    }
    for number in 0..tally.frames {
        let source = number % SOURCES;
        if !seen.known.contains(&(source, number)) {
            tally.lost.push(format!("{source}/{number}"));
        }
    }
    for (source, order) in &seen.order {
        let late = order.windows(2).filter(|pair| pair[0] > pair[1]).map(|pair| format!("{source}/{}", pair[1]));
        tally.disordered.extend(late);
    }
    if !tally.holds() {
        println!("{}", stack.logs());
    }
    Ok(tally)
}

/// Frames come; at some moment the daemon or the broker goes, and comes back.
async fn one_death(
    stack: &mut Stack,
    sender: &Device,
    round: u32,
    moments: &mut Moments,
    tally: &mut Tally,
) -> Result<()> {
    let first = tally.frames;
    let sending = async {
        let mut ticks = pace(PERIOD);
        for number in first..first + EACH {
            ticks.tick().await;
            send(sender, number).await?;
        }
        anyhow::Ok(())
    };
    let moment = Duration::from_millis(moments.next(LATEST_MS));
    let of_broker = round % BROKER_EVERY == 1;
    let dying = async {
        // A death at this moment, not a wait for something.
        tokio::task::spawn_blocking(move || rest(moment)).await?;
        if of_broker {
            stack.broker_mut()?.stop()?;
            stack.broker_mut()?.start_again()?;
            stack.connected().await
        } else {
            stack.daemon_mut()?.process.crash()?;
            stack.start_daemon().await
        }
    };
    let (sent, died) = tokio::join!(sending, dying);
    sent?;
    died?;
    tally.frames += EACH;
    if of_broker {
        tally.broker_stops += 1
    } else {
        tally.daemon_kills += 1
    }
    Ok(())
}

async fn send(device: &Device, number: u64) -> Result<()> {
    let values = |value: u64| json!([value, 0, 0, 0]);
    let body = json!({ "inputs": [
        { "name": "a", "datatype": "FP32", "shape": [1, 4], "data": values(number) },
        { "name": "b", "datatype": "FP32", "shape": [1, 4], "data": values(0) },
    ] });
    let topic = format!("count/{}", number % SOURCES);
    let payload = serde_json::to_vec(&body)?.into();
    device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await
}

fn collect(device: &Device, seen: &mut Seen, tally: &mut Tally) -> Result<()> {
    for message in device.take_all(|message| message.topic.starts_with("counts/")) {
        let (source, number) = read(&message).with_context(|| format!("{}: {:?}", message.topic, message.payload))?;
        if message.property("historical").is_some() {
            tally.late += 1;
        }
        if seen.known.insert((source, number)) {
            seen.order.entry(source).or_default().push(number);
        } else {
            tally.again += 1;
        }
    }
    Ok(())
}

fn read(message: &Incoming) -> Result<(u64, u64)> {
    let body = message.json()?;
    let number = body["outputs"][0]["data"][0].as_f64().context("a number in the result")?;
    let source = message.topic.rsplit('/').next().and_then(|source| source.parse().ok()).context("a source")?;
    // Frames are few enough to be whole numbers in a float.
    Ok((source, format!("{number:.0}").parse()?))
}
