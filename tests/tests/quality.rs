//! The guarantee of the learnt model while it is in use: what a box found of it outlives the box's daemon. A simulated box says of every
//! text the same, and a real one that is stronger says what it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::Problem;
use edge_wire::proxy::ManagerProxy;
use edged::difficulty::features::{PLAIN, WIDTH};
use edged::difficulty::model::{About, Guarantee, Head, Known, Learnt, Spread};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MODEL: &str = "file-type";
/// The simulator calls it plain text as well.
const TEXT: &[u8] = b"{\"a\": [1, 2, 3], \"b\": {\"c\": null, \"d\": true}, \"e\": \"words\", \"f\": [{\"g\": 1.5}]}\n";

/// A learnt model that finds every text easy; each date makes another file. A single loss refutes a `target_loss` of 0.
fn learnt(date: &str, target_loss: f32) -> Result<Vec<u8>> {
    let head = || Head { step: 1.0, bias: 0.0, weights: vec![0; WIDTH] };
    let learnt = Learnt {
        about: About { date: date.into(), source: "made up".into(), ..About::default() },
        helps: head(),
        harms: head(),
        plain: [Spread { mean: 0.0, deviation: 1.0 }; PLAIN],
        known: Known { words: vec![0xff; 8192], floor: 0.0, longest: 1 << 20 },
        tasks: Vec::new(),
        guarantee: Some(Guarantee { threshold: 1.0, target_loss, confidence: 0.95, kept: 1.0, loss: 0.0 }),
    };
    Ok(learnt.write()?)
}

/// Where the daemon keeps what it found of the model in this file.
fn record(stack: &Stack, model: &Path) -> Result<PathBuf> {
    let digest = Sha256::digest(fs::read(model)?);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(stack.dir().join("state/quality").join(format!("{digest}.json")))
}

/// What the status says of the learnt model.
async fn told(client: &BusClient) -> Result<Option<Problem>> {
    let problems = client.status().await?.problems;
    Ok(problems.into_iter().find(|problem| problem.subject == "routing.difficulty_model"))
}

async fn told_of(client: &BusClient, words: &str) -> Result<Problem> {
    let tell = async || Ok(told(client).await?.filter(|problem| problem.what.contains(words)));
    eventually(&format!("it tells: {words}"), PATIENCE, tell).await
}

async fn nothing_told(client: &BusClient) -> Result<()> {
    eventually("nothing is told", PATIENCE, async || Ok(told(client).await?.is_none().then_some(()))).await
}

async fn ask(client: &BusClient) -> Result<Value> {
    let given = options(json!({ "data_class": "internal", "deadline_ms": 20_000 }));
    Ok(expect_yes("a text", client.infer_bytes(MODEL, "text/plain", TEXT, &given).await?)?.info)
}

/// Asks until the site is where texts go to.
async fn goes(client: &BusClient, verdict: &str) -> Result<()> {
    let there = async || Ok((ask(client).await?["verdict"] == verdict).then_some(()));
    eventually(&format!("texts take {verdict}"), PATIENCE, there).await
}

async fn reload(client: &BusClient) -> Result<()> {
    Ok(ManagerProxy::new(&client.connection).await?.reload().await?)
}

async fn killed(stack: &mut Stack) -> Result<BusClient> {
    stack.daemon_mut()?.process.crash()?;
    stack.start_daemon().await?;
    stack.client().await
}

/// A simulated box with this learnt model, and a real one that is stronger.
struct Boxes {
    stack: Stack,
    model: PathBuf,
    _big: Stack,
}

impl Boxes {
    async fn start(learnt: &[u8]) -> Result<Boxes> {
        let site = "[mqtt]\nzone = \"premises\"\n\
                    [[site]]\nname = \"at-big\"\nprotocol = \"sibling\"\nnode = \"big\"\nzone = \"premises\"\nstronger = true\n\
                    [[rule]]\nname = \"rated\"\ndifficulty = true\nsample = 0.2\n";
        let mut stack = Setup::new().bundles(&[MODEL]).argument("--sim").prepare()?;
        let model = stack.dir().join("quality.model");
        fs::write(&model, learnt)?;
        stack.launch.overlay = format!("[routing]\ndifficulty_model = {:?}\n{site}", model.display().to_string());
        stack.start_daemon().await?;
        let mut big =
            Setup::new().bundles(&[MODEL]).config("[mqtt]\nzone = \"premises\"\n").without_broker().prepare()?;
        (big.launch.node, big.launch.mqtt_port) = ("big".into(), Some(stack.mqtt_port()?));
        big.start_daemon().await?;
        let boxes = Boxes { stack, model, _big: big };
        let client = boxes.stack.client().await?;
        passing(&client).await.with_context(|| boxes.stack.logs())?;
        goes(&client, "local").await.with_context(|| boxes.stack.logs())?;
        Ok(boxes)
    }
}

/// Waits until the box hears of the stronger one.
async fn passing(client: &BusClient) -> Result<()> {
    let is_passing = async || {
        let sites = client.status().await?.routing.sites;
        Ok(sites.iter().any(|site| site.state == "passing").then_some(()))
    };
    eventually("the stronger box is there", PATIENCE, is_passing).await
}

#[test]
fn a_clean_stop_keeps_what_was_counted_within_the_minute() -> Result<()> {
    block_on(async {
        let mut boxes = Boxes::start(&learnt("2026-11-28", 0.9)?).await?;
        let client = boxes.stack.client().await?;
        for _ in 0..60 {
            ask(&client).await?;
        }
        let stop = boxes.stack.daemon_mut()?.terminate()?;
        ensure!(stop.success(), "{stop}");
        let text = fs::read_to_string(record(&boxes.stack, &boxes.model)?)?;
        let found: Value = serde_json::from_str(&text)?;
        // The first answer is written at once, and no other one before a minute is over.
        ensure!(found["shares"][0]["sampled"].as_u64().is_some_and(|sampled| sampled >= 3), "{text}");
        ensure!(found["shares"][0]["lost_milli"].as_u64() > Some(1_000), "{text}");
        boxes.stack.start_daemon().await?;
        let client = boxes.stack.client().await?;
        goes(&client, "local").await?;
        nothing_told(&client).await
    })?
}

#[test]
fn a_withdrawn_model_stays_so_over_a_kill_until_another_is_learnt() -> Result<()> {
    block_on(async {
        let Boxes { mut stack, model, _big } = Boxes::start(&learnt("2026-11-28", 0.0)?).await?;
        let mut client = stack.client().await?;

        // One of five is compared, and the two boxes differ.
        let withdrawn = async || {
            let info = ask(&client).await?;
            ensure!(["local", "spill"].contains(&info["verdict"].as_str().unwrap_or_default()), "{info}");
            told(&client).await
        };
        let why = eventually("it is withdrawn", PATIENCE, withdrawn).await.with_context(|| stack.logs())?;
        ensure!(why.what.contains("is asked no more") && why.remedy.contains("docs/quality.md"), "{why:?}");
        let old = record(&stack, &model)?;
        let on_disk = async || {
            let text = fs::read_to_string(&old).unwrap_or_default();
            let found: Value = serde_json::from_str(&text).unwrap_or_default();
            Ok(found["shares"][0]["withdrawn"].is_object().then_some(()))
        };
        eventually("it is on the disk", PATIENCE, on_disk).await?;

        client = killed(&mut stack).await?;
        let again = told_of(&client, "is asked no more").await?;
        ensure!(again == why, "{again:?}, and before {why:?}");
        passing(&client).await?;
        goes(&client, "spill").await.with_context(|| stack.logs())?;

        // Another model is asked, and what was found of the first is gone.
        fs::write(&model, learnt("2026-11-29", 0.0)?)?;
        reload(&client).await?;
        nothing_told(&client).await?;
        goes(&client, "local").await.with_context(|| stack.logs())?;
        eventually("the old record goes", PATIENCE, async || Ok((!old.exists()).then_some(()))).await?;

        // A record that cannot be read: as if it had been withdrawn, until it is removed.
        let new = record(&stack, &model)?;
        stack.daemon_mut()?.process.crash()?;
        fs::create_dir_all(new.parent().context("it lies in a directory")?)?;
        fs::write(&new, "{\"format\": 1, \"mod")?;
        stack.start_daemon().await?;
        client = stack.client().await?;
        let damaged = told_of(&client, "may have been withdrawn").await?;
        ensure!(damaged.remedy.contains(&new.display().to_string()), "{damaged:?}");
        passing(&client).await?;
        goes(&client, "spill").await?;
        fs::remove_file(&new)?;
        reload(&client).await?;
        nothing_told(&client).await?;
        goes(&client, "local").await
    })?
}
