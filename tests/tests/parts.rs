//! Weights, adapters and labels are bundles of their own: installed, tried with the models that need them, taken over between
//! two requests and taken back, while the model's own bundle stays as it is; with the real command.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Tensor, expect_yes};
use edge_tests::bundle::{copy_dir, seal};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::places;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{done, edgectl};
use edge_wire::dto::ModelStatus;

/// y = x (W + A B): the weights W are the part `base`, A and B the adapter `tone`.
const MODEL: &str = "toned";

fn stack() -> Setup {
    Setup::new().bundles(&[MODEL, "base", "tone"]).without_broker()
}

/// Runs a test whose clients ask while a command is waited for.
fn at_once(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(test)
}

/// A version of a part of the repository in which every 1 is another number, sealed.
fn part(stack: &Stack, name: &str, version: &str, one: f32, manifest: &[(&str, &str)]) -> Result<PathBuf> {
    let dir = stack.dir().join(format!("made-{name}-{version}"));
    copy_dir(&places::test_bundles().join(name), &dir)?;
    let path = dir.join("model.toml");
    let mut text = std::fs::read_to_string(&path)?.replace("version = \"1.0.0\"", &format!("version = \"{version}\""));
    for (was, is) in manifest {
        ensure!(text.contains(was), "{text}");
        text = text.replacen(was, is, 1);
    }
    std::fs::write(&path, text)?;
    for entry in std::fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "onnx_adapter" || end == "bin") {
            let mut bytes = std::fs::read(&path)?;
            let (was, is) = (1f32.to_le_bytes(), one.to_le_bytes());
            for at in (0..bytes.len() - 3).step_by(4) {
                if bytes[at..at + 4] == was {
                    bytes[at..at + 4].copy_from_slice(&is);
                }
            }
            std::fs::write(&path, bytes)?;
        }
    }
    seal(&dir)?;
    Ok(dir)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

/// A "no" that says this; lines are broken for the screen.
fn refused(stack: &Stack, arguments: &[&str], says: &str) -> Result<()> {
    let (code, out, err) = edgectl(stack, arguments)?;
    let said = format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(
        code == Some(1) && said.contains(says),
        "{arguments:?}: {code:?} {said}\ninstead of {says}\n{}",
        stack.logs()
    );
    Ok(())
}

/// What the model makes of 1: twice that with the parts of the repository.
async fn ask(client: &BusClient) -> Result<f32> {
    let x = Tensor::fp32("x", &[1, 4], &[1.0, 0.0, 0.0, 0.0]);
    Ok(expect_yes("a product", client.infer(MODEL, &[x], &Options::default()).await?)?.output("y")?.floats()?[0])
}

async fn expect(client: &BusClient, wanted: f32) -> Result<()> {
    let found = ask(client).await?;
    ensure!((found - wanted).abs() < 1e-4, "{found} instead of {wanted}");
    Ok(())
}

async fn ready(stack: &Stack, name: &str) -> Result<()> {
    let client = stack.client().await?;
    let is_ready = async || {
        let status = client.status().await?;
        Ok(status.models.iter().any(|model| model.name == name && model.state == "ready").then_some(()))
    };
    eventually(&format!("{name} is ready"), PATIENCE, is_ready).await.with_context(|| stack.logs())
}

async fn status(client: &BusClient, name: &str, version: &str) -> Result<ModelStatus> {
    let status = client.status().await?;
    let found = status.models.iter().find(|model| model.name == name && model.version == version);
    found.cloned().with_context(|| format!("no {name}:{version} in {:?}", status.models))
}

#[test]
fn an_adapter_is_changed_between_two_requests_and_taken_back_and_no_request_is_lost() -> Result<()> {
    at_once(async {
        let mut stack = stack().start().await?;
        ready(&stack, MODEL).await?;
        let client = stack.client().await?;
        expect(&client, 2.0).await?;
        let tone = status(&client, "tone", "1.0.0").await?;
        ensure!(
            (tone.task.as_str(), tone.active, tone.used_by.as_slice())
                == ("adapter", true, &["toned:1.0.0".to_owned()][..]),
            "{tone:?}"
        );
        ensure!(status(&client, MODEL, "1.0.0").await?.parts == ["base:1.0.0", "tone:1.0.0"]);

        let over = Arc::new(AtomicBool::new(false));
        let (address, told) = (stack.bus.address(), over.clone());
        let asking = tokio::spawn(async move {
            let client = BusClient::on_bus(&address).await?;
            let mut answers: Vec<f32> = Vec::new();
            while !told.load(Ordering::Relaxed) {
                answers.push(ask(&client).await?);
            }
            Ok::<_, anyhow::Error>(answers)
        });
        let louder = part(&stack, "tone", "1.1.0", 1.01, &[])?;
        let install = tokio::task::block_in_place(|| done(&stack, &["models", "install", text(&louder)?]));
        over.store(true, Ordering::Relaxed);
        let answers = asking.await??;
        install?;
        let new = 1.0 + 1.01 * 1.01;
        let known = |answer: &f32| (answer - 2.0).abs() < 1e-4 || (answer - new).abs() < 1e-4;
        ensure!(!answers.is_empty() && answers.iter().all(known), "{answers:?}");
        ensure!(answers.is_sorted(), "an answer of the adapter before came after one of the new one");
        expect(&client, new).await?;
        ensure!(status(&client, MODEL, "1.0.0").await?.parts == ["base:1.0.0", "tone:1.1.0"]);

        // After a restart the same one serves.
        stack.start_daemon().await?;
        ready(&stack, MODEL).await?;
        let client = stack.client().await?;
        expect(&client, new).await?;

        done(&stack, &["models", "rollback", "tone"])?;
        expect(&client, 2.0).await?;
        done(&stack, &["models", "activate", "tone:1.1.0"])?;
        expect(&client, new).await?;
        refused(
            &stack,
            &["models", "remove", "tone:1.1.0"],
            "tone:1.1.0 is used by toned:1.0.0: activate another version of tone",
        )?;
        let history = done(&stack, &["models", "history", "tone"])?;
        ensure!(history.contains("rollback") && history.contains("install"), "{history}");
        Ok(())
    })
}

#[test]
fn a_part_that_does_not_fit_or_makes_the_model_answer_wrong_changes_nothing_and_says_why() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        ready(&stack, MODEL).await?;
        let client = stack.client().await?;
        let wrong = part(&stack, "tone", "1.2.0", 3.0, &[])?;
        refused(&stack, &["models", "install", text(&wrong)?], "toned:1.0.0, loaded with it: golden golden/one.json")?;
        expect(&client, 2.0).await?;
        let left = status(&client, "tone", "1.2.0").await?;
        ensure!(!left.active && left.used_by.is_empty(), "{left:?}");
        ensure!(left.state == "failed" && left.reason.contains("loaded with it: golden golden/one.json"), "{left:?}");
        done(&stack, &["models", "remove", "tone:1.2.0"])?;

        let major = part(&stack, "tone", "2.0.0", 1.0, &[])?;
        refused(
            &stack,
            &["models", "install", text(&major)?],
            "tone:2.0.0 is not for toned:1.0.0: it needs tone ^1.0, and tone is 2.0.0",
        )?;
        let left = status(&client, "tone", "2.0.0").await?;
        ensure!(left.state == "failed" && left.reason.contains("it needs tone ^1.0"), "{left:?}");
        let foreign = part(&stack, "tone", "1.3.0", 1.0, &[("base = [\"07", "base = [\"08")])?;
        refused(&stack, &["models", "install", text(&foreign)?], "was made for other graphs than its sha256 07")?;
        let named = [("name = \"tone\"", "name = \"toned\"")];
        let taken = part(&stack, "tone", "1.4.0", 1.0, &named)?;
        refused(
            &stack,
            &["models", "install", text(&taken)?],
            "toned is a model on this box: give the bundle another name",
        )?;
        expect(&client, 2.0).await?;
        let problems = client.status().await?.problems;
        ensure!(problems.is_empty(), "what was refused is no problem of the box: {problems:?}");
        Ok(())
    })?
}

#[test]
fn weights_are_changed_alone() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        ready(&stack, MODEL).await?;
        let client = stack.client().await?;
        expect(&client, 2.0).await?;
        let heavier = part(&stack, "base", "1.0.1", 1.02, &[])?;
        done(&stack, &["models", "install", text(&heavier)?, "--no-activate"])?;
        expect(&client, 2.0).await?;
        done(&stack, &["models", "activate", "base:1.0.1"])?;
        expect(&client, 2.02).await?;
        done(&stack, &["models", "remove", "base:1.0.0"])?;
        refused(&stack, &["models", "rollback", "base"], "no version before the active one")?;
        Ok(())
    })?
}

#[test]
fn a_model_waits_for_its_part_by_name_and_is_served_when_it_comes() -> Result<()> {
    block_on(async {
        let stack = Setup::new().bundles(&["named", "add"]).without_broker().start().await?;
        ready(&stack, "add").await?;
        let client = stack.client().await?;
        let missing = "it needs the labels known ^1.0, which is not here";
        let named = status(&client, "named", "1.0.0").await?;
        ensure!(named.state == "failed" && named.reason == missing, "{named:?}");
        let problem = client.status().await?.problems.into_iter().find(|problem| problem.what == missing);
        ensure!(problem.context("no problem")?.remedy.contains("install the part that it needs"));
        let known = places::test_bundles().join("known");
        done(&stack, &["models", "install", text(&known)?])?;
        ready(&stack, "named").await?;
        ensure!(status(&client, "named", "1.0.0").await?.parts == ["known:1.0.0"]);
        ensure!(client.status().await?.problems.is_empty());
        Ok(())
    })?
}
