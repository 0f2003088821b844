//! Room for models: what does not fit is refused by name while the others serve, what nobody uses gives way, and a request
//! brings it back. Each test has a daemon of its own.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Outcome, expect_no, expect_yes, options};
use edge_tests::bundle;
use edge_tests::client::bus::BusClient;
use edge_tests::client::routes::Example;
use edge_tests::clock::{PATIENCE, eventually, within};
use edge_tests::golden::{Golden, golden};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::{ModelStatus, Status};
use edge_wire::names::{MODEL, model_path};
use serde_json::json;
use zbus::Variant;

/// Room for one of the two lines: each takes more than half of it once it is loaded.
const ROOM_FOR_ONE: &str = "[engine]\nmemory_mib = 160\nproviders = [\"cpu\"]\n[telemetry]\ninterval_ms = 500";

/// `text-line` under another name, with so many sessions that two of it do not fit.
fn large_line(stack: &Stack, name: &str) -> Result<()> {
    let more = [("instances = 2", "instances = 8")];
    bundle::copy_as("text-line", &stack.dir().join("large"), name, &more).map(drop)
}

/// A daemon with `line-a` and `line-b`.
async fn two_lines(config: &str) -> Result<Stack> {
    let mut stack = Setup::new().without_broker().bundles(&["add"]).config(config).prepare()?;
    large_line(&stack, "line-a")?;
    large_line(&stack, "line-b")?;
    stack.launch.models.push(stack.dir().join("large"));
    stack.start_daemon().await?;
    Ok(stack)
}

fn model<'a>(status: &'a Status, name: &str) -> Result<&'a ModelStatus> {
    status.models.iter().find(|model| model.name == name).with_context(|| format!("no {name} in {:?}", status.models))
}

fn line() -> Result<(Golden, Vec<u8>)> {
    let golden = golden("text-line", "handling.jpg")?;
    let bytes = std::fs::read(&golden.file)?;
    Ok((golden, bytes))
}

async fn ask(client: &BusClient, name: &str) -> Result<Outcome> {
    let (golden, bytes) = line()?;
    let patient = options(json!({"deadline_ms": 60_000}));
    within("an answer", PATIENCE, client.infer_bytes(name, golden.kind, &bytes, &patient)).await?
}

async fn add_serves(stack: &Stack, client: &BusClient) -> Result<()> {
    let good = Example::from(stack, "add").await?;
    expect_yes("add", within("an answer", PATIENCE, client.infer("add", &good.inputs, &Options::new())).await??)
        .map(drop)
}

#[test]
fn a_model_that_does_not_fit_is_refused_by_name_and_the_others_serve() -> Result<()> {
    block_on(async {
        let setup = Setup::new().without_broker().bundles(&["add", "text-line"]);
        let stack = setup.config("[engine]\nmemory_mib = 50\nproviders = [\"cpu\"]").start().await?;
        let client = stack.client().await?;
        let status = stack.status().await?;
        let refused = model(&status, "text-line")?;
        let words = ["no room to load it: it needs ", " MiB, and ", "engine.memory_mib = 50"];
        ensure!(refused.state == "failed" && words.iter().all(|word| refused.reason.contains(word)), "{refused:?}");
        let said = status.problems.iter().filter(|problem| problem.subject == "model text-line:1.0.0");
        let remedies: Vec<_> = said.map(|problem| problem.remedy.as_str()).collect();
        ensure!(remedies.len() == 1 && remedies[0].contains("raise `engine.memory_mib`"), "{:?}", status.problems);
        expect_no("text-line", &ask(&client, "text-line").await?, "unavailable", &["no room", "engine.memory_mib"])?;
        add_serves(&stack, &client).await
    })?
}

#[test]
fn what_a_model_takes_is_shown() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().bundles(&["add", "text-line"]).start().await?;
        let status = stack.status().await?;
        for (name, least) in [("add", 1), ("text-line", 10 << 20)] {
            let setup = model(&status, name)?.setups.iter().find(|setup| setup.serving).context("one serves")?;
            ensure!((least..512 << 20).contains(&setup.memory_bytes), "{name}: {setup:?}");
        }
        Ok(())
    })?
}

#[test]
fn two_models_with_room_for_one_give_way_to_each_other_and_lose_no_request() -> Result<()> {
    block_on(async {
        let stack = two_lines(ROOM_FOR_ONE).await?;
        let client = stack.client().await?;
        let status = stack.status().await?;
        let mut states = [model(&status, "line-a")?.state.as_str(), model(&status, "line-b")?.state.as_str()];
        states.sort_unstable();
        ensure!(states == ["ready", "standby"], "{:?}", status.models);
        ensure!(status.state == "serving", "to give way is no fault: {:?}", status.problems);

        for name in ["line-a", "line-b", "line-a"] {
            expect_yes(name, ask(&client, name).await?)?;
            let status = stack.status().await?;
            let other = if name == "line-a" { "line-b" } else { "line-a" };
            let (loaded, let_go) = (model(&status, name)?, model(&status, other)?);
            ensure!(loaded.state == "ready" && let_go.state == "standby", "{loaded:?}, {let_go:?}");
            let why = format!("let go to make room for {name}");
            ensure!(let_go.reason.contains(&why) && let_go.setups[0].reason.contains(&why), "{let_go:?}");
        }
        add_serves(&stack, &client).await?;

        // Both at once, again and again: each is answered, or told when to ask again.
        let callers = ["line-a", "line-b", "line-a", "line-b"].map(|name| {
            let client = &client;
            async move {
                for _ in 0..3 {
                    let served = async || match ask(client, name).await? {
                        Ok(_) => Ok(Some(())),
                        Err(no) => {
                            ensure!(no.code == "unavailable", "{name}: {no:?}");
                            Ok(None)
                        }
                    };
                    eventually("it is served", PATIENCE, served).await?;
                }
                Ok::<(), anyhow::Error>(())
            }
        });
        let [a, b, c, d] = callers;
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        a.and(b).and(c).and(d)
    })?
}

#[test]
fn a_pinned_model_gives_no_way_and_the_other_is_loaded_when_there_is_room() -> Result<()> {
    block_on(async {
        let stack = two_lines(&format!("[models]\npinned = [\"line-a\"]\n{ROOM_FOR_ONE}")).await?;
        let client = stack.client().await?;
        let settled = async || {
            let status = stack.status().await?;
            Ok((model(&status, "line-a")?.state == "ready").then_some(status))
        };
        let status = eventually("the pinned one is loaded", PATIENCE, settled).await?;
        // It was tried first and gave way, or it was tried later and refused.
        let other = model(&status, "line-b")?;
        ensure!(["standby", "failed"].contains(&other.state.as_str()), "{other:?}");
        expect_no("line-b", &ask(&client, "line-b").await?, "unavailable", &["no room", "engine.memory_mib = 160"])?;
        let status = stack.status().await?;
        let said = status.problems.iter().any(|problem| problem.subject == "model line-b:1.0.0");
        ensure!(said && model(&status, "line-a")?.state == "ready", "{:?}", status.problems);

        let plain = HashMap::<&str, Variant<'_>>::new();
        let told = client.call_at(&model_path("line-a", "1.0.0"), MODEL, "Unload", &(plain,)).await?;
        told.map_err(|no| anyhow::anyhow!("unload: {no:?}"))?;
        let loaded = async || Ok((model(&stack.status().await?, "line-b")?.state == "ready").then_some(()));
        eventually("the other one is loaded by itself", PATIENCE, loaded).await?;
        expect_yes("line-b", ask(&client, "line-b").await?).map(drop)
    })?
}

#[test]
fn a_model_that_nobody_asks_is_let_go_and_the_next_request_brings_it_back() -> Result<()> {
    block_on(async {
        let setup = Setup::new().without_broker().bundles(&["add", "spin"]);
        let config = "[models]\nidle_unload_s = 1\npinned = [\"spin\"]\n[telemetry]\ninterval_ms = 500";
        let stack = setup.config(config).start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, "add").await?;
        for round in 0..2 {
            let idle = async || {
                let status = stack.status().await?;
                let add = model(&status, "add")?;
                ensure!(model(&status, "spin")?.state == "ready", "{:?}", status.models);
                Ok((add.state == "standby").then(|| add.reason.clone()))
            };
            let why = eventually("it is let go", PATIENCE, idle).await?;
            ensure!(why.contains("not asked for within 1 s (models.idle_unload_s)"), "{round}: {why}");
            let plain = Options::new();
            let asked = client.infer("add", &good.inputs, &plain);
            expect_yes("the next request", within("an answer", PATIENCE, asked).await??)?;
        }
        Ok(())
    })?
}
