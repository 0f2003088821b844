//! The daemon is killed at random moments of installing, pulling, activating, taking back and removing versions, while a device asks
//! by MQTT with QoS 1. After each start the store has to be before or after, and at the end nothing may be unanswered.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_engine::bundle;
use serde_json::{Value, json};

use crate::answer::options;
use crate::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use crate::client::reply;
use crate::client::routes::tensor_body;
use crate::clock::{PATIENCE, Stopwatch, eventually, pace};
use crate::origin::certificates::{self, From};
use crate::origin::{Origin, Served};
use crate::stack::Stack;
use crate::versions::{MODEL, archive, ask, command, heavy, inputs, right};

pub mod deferred;
pub mod results;
mod spooled;

/// The latest moment of a kill after its change was asked for: a little longer than the longest change takes.
const LATEST: Duration = Duration::from_millis(400);
/// Bytes beside the model of the bundle that is pulled: as long as a kill may take to come.
const PULLED: u64 = 24 << 20;
/// Where it is served.
const PATH: &str = "/add-4.0.0.edgemodel";
/// Requests of the device for each life of the daemon.
const ASKED_EACH: usize = 3;
/// Longer than all lives together.
const DEADLINE_MS: u64 = 3_600_000;

/// Kinds of changes, which take turns, and which of them is a pull.
const CHANGES: u32 = 6;
const PULL: u32 = 4;

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Deaths of the daemon.
    pub kills: u32,
    /// Changes that were under way when it died.
    pub interrupted: u32,
    /// Those of them that were pulls.
    pub pulls: u32,
    /// Requests by MQTT, all of which were answered.
    pub answered: usize,
    /// Those that were alive at two deaths, and are told so.
    pub twice: usize,
}

/// SplitMix64: the same moments for the same seed.
#[derive(Debug)]
pub struct Moments(u64);

impl Moments {
    /// Those of this seed.
    pub fn new(seed: u64) -> Moments {
        Moments(seed)
    }

    /// The next one, less than `below`.
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// Kills the daemon of the stack so often; an error tells what was broken or lost.
pub async fn kill(stack: &mut Stack, times: u32, seed: u64) -> Result<Tally> {
    let archives = [archive(stack, "2.0.0")?, archive(stack, "3.0.0")?];
    let secrets = stack.dir().join("certificates");
    let origin = Origin::start(&certificates::server(&secrets, &certificates::authority(&secrets)?, From::Today)?)?;
    origin.serve(PATH, Served::file(&heavy(stack, "4.0.0", PULLED)?));
    let url = origin.plain_url(PATH);
    let device = stack.device(Protocol::V5).await?;
    let (mut moments, mut tally, mut open) = (Moments(seed), Tally::default(), BTreeSet::new());
    for round in 0..times {
        for number in 0..ASKED_EACH {
            let id = format!("kill-{round}-{number}");
            publish(&device, &id).await?;
            open.insert(id);
        }
        let pulls = round % CHANGES == PULL;
        if change_and_kill(stack, round, &archives, &url, &mut moments).await? {
            tally.interrupted += 1;
            tally.pulls += u32::from(pulls);
        }
        tally.kills += 1;
        stack.start_daemon().await.with_context(|| format!("start after kill {round}"))?;
        look(stack).await.with_context(|| format!("after kill {round} (seed {seed})\n{}", stack.logs()))?;
        collect(&device, &mut open, &mut tally)?;
        if (round + 1) % 50 == 0 {
            println!(
                "  {} kills, {} changes interrupted, {} of them pulls, {} answered",
                tally.kills, tally.interrupted, tally.pulls, tally.answered
            );
        }
    }
    let watch = Stopwatch::start();
    let mut ticks = pace(Duration::from_millis(50));
    while !open.is_empty() && watch.elapsed() < PATIENCE * 2 {
        ticks.tick().await;
        collect(&device, &mut open, &mut tally)?;
    }
    ensure!(open.is_empty(), "{} requests were never answered, for example {:?}", open.len(), open.first());
    Ok(tally)
}

/// Asks for a change and kills the daemon at some moment of it; whether the change had not ended.
async fn change_and_kill(
    stack: &mut Stack,
    round: u32,
    archives: &[PathBuf; 2],
    url: &str,
    moments: &mut Moments,
) -> Result<bool> {
    let status = stack.status().await?;
    let there: Vec<(String, bool)> = status
        .models
        .iter()
        .filter(|model| model.name == MODEL)
        .map(|model| (model.version.clone(), model.active))
        .collect();
    let idle = there.iter().find(|(_, active)| !active).map(|(version, _)| format!("{MODEL}:{version}"));
    let spare = there.iter().find(|(version, active)| !active && version != "1.0.0");
    let spare = spare.map(|(version, _)| format!("{MODEL}:{version}"));
    let paths: Vec<&str> = archives.iter().filter_map(|path| path.to_str()).collect();
    let words: Vec<&str> = match (round % CHANGES, &idle, &spare) {
        (0, _, _) => vec!["models", "install", paths[0], "--force"],
        (1, Some(idle), _) => vec!["models", "activate", idle, "--force"],
        (2, _, _) => vec!["models", "install", paths[1], "--force"],
        (3, _, _) => vec!["models", "rollback", MODEL],
        (PULL, _, _) => vec!["models", "pull", url, "--force"],
        (5, _, Some(spare)) => vec!["models", "remove", spare],
        _ => vec!["models", "install", paths[0], "--no-activate"],
    };
    let mut child = command(stack, &words)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let latest = u64::try_from(LATEST.as_micros())?;
    tokio::time::sleep(Duration::from_micros(moments.next(latest))).await;
    let under_way = child.try_wait()?.is_none();
    stack.daemon_mut()?.process.crash()?;
    child.wait()?;
    Ok(under_way)
}

/// The store is whole, and the version that it says is active answers.
async fn look(stack: &Stack) -> Result<()> {
    // A pull that was interrupted goes on by itself.
    let over = async || {
        let running = stack.status().await?.jobs.iter().any(|job| job.state == "running");
        Ok((!running && std::fs::read_dir(stack.dir().join("state/pulls")).is_ok_and(|mut left| left.next().is_none()))
            .then_some(()))
    };
    if stack.dir().join("state/pulls").exists() {
        eventually("what went on has ended", PATIENCE, over).await?;
    }
    let bundles = stack.dir().join("bundles");
    for entry in std::fs::read_dir(&bundles)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        ensure!(!hidden, "{} was left over", path.display());
        bundle::verify(&bundle::open(&path)?)?;
    }
    let client = stack.client().await?;
    let status = stack.status().await?;
    let problems: Vec<_> = status.problems.iter().filter(|problem| problem.subject == "store").collect();
    ensure!(problems.is_empty(), "{problems:?}");
    let record = stack.dir().join("state/models").join(format!("{MODEL}.json"));
    let served = || async { Ok(ask(&client, MODEL).await.ok()) };
    let (version, answer) = eventually("the model answers", PATIENCE, served).await?;
    ensure!(answer == right(&version), "{version} answered {answer}");
    if record.exists() {
        let record: Value = serde_json::from_slice(&std::fs::read(&record)?)?;
        ensure!(record["active"] == version.as_str(), "{version} answered, and {record} is written");
    }
    Ok(())
}

async fn publish(device: &Device, id: &str) -> Result<()> {
    let mut body = tensor_body(&inputs(), &options(json!({"request_id": id, "deadline_ms": DEADLINE_MS})))?;
    body["reply_to"] = json!(device.reply_topic);
    let topic = request_topic(MODEL);
    device.publish(Outgoing { topic, payload: body.to_string().into(), qos: 1, ..Outgoing::default() }).await
}

fn collect(device: &Device, open: &mut BTreeSet<String>, tally: &mut Tally) -> Result<()> {
    for message in device.take_all(|message| message.topic == device.reply_topic) {
        let id = reply::id_of(&message).unwrap_or_default();
        if !open.remove(&id) {
            continue;
        }
        tally.answered += 1;
        match reply::read(&message)? {
            Ok(yes) => {
                let version = yes.info["version"].as_str().unwrap_or_default().to_owned();
                let answer = yes.output("c")?.floats()?[0];
                ensure!(answer == right(&version), "{id}: {version} answered {answer}");
            }
            // The rule for what was alive at two crashes, and what a start refuses until the model is there.
            Err(no) if no.code == "internal" => tally.twice += 1,
            Err(no) => ensure!(no.code == "unavailable", "{id}: {no:?}"),
        }
    }
    Ok(())
}
