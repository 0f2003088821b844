//! Versions of a model on a running box: put there, made the active one under load, taken back, taken out, watched; with the
//! real command.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_no};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, ask, bundle, copy, done, edgectl, inputs, right};
use edge_tests::{kills, places};
use edge_wire::dto::ModelStatus;
use serde_json::Value;

/// Clients that ask while versions change.
const CLIENTS: usize = 16;

fn stack() -> Setup {
    Setup::new().bundles(&[MODEL]).without_broker()
}

/// A "no" that says this.
fn refused(stack: &Stack, arguments: &[&str], code: i32, says: &str) -> Result<()> {
    let (found, out, err) = edgectl(stack, arguments)?;
    // Lines are broken for the screen.
    let said = format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(found == Some(code) && said.contains(says), "{arguments:?}: {found:?} {said}\ninstead of {code} {says}");
    Ok(())
}

async fn version(client: &BusClient, version: &str) -> Result<ModelStatus> {
    let status = client.status().await?;
    let found = status.models.iter().find(|model| model.name == MODEL && model.version == version);
    found.cloned().with_context(|| format!("no version {version} in {:?}", status.models))
}

/// What a history says: deed, model and result.
fn deeds(stack: &Stack) -> Result<Vec<String>> {
    let history: Vec<Value> = serde_json::from_str(&done(stack, &["models", "history", "--json"])?)?;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let deed = |entry: &Value| ["what", "model", "result"].map(|key| text(entry, key)).join(" ");
    Ok(history.iter().map(deed).collect())
}

/// Clients that ask without a rest until they are told to stop: how often each was answered, and whether a later answer was
/// ever by an earlier version.
async fn under_load(stack: &Stack, change: impl FnOnce() -> Result<()>) -> Result<u32> {
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, over) = (stack.bus.address(), over.clone());
        clients.spawn(async move {
            let client = BusClient::on_bus(&address).await?;
            let (mut count, mut last) = (0u32, String::new());
            while !over.load(Ordering::Relaxed) {
                let (version, answer) = ask(&client, MODEL).await?;
                ensure!(answer == right(&version), "{version} answered {answer}");
                ensure!(version >= last, "{version} after {last}");
                last = version;
                count += 1;
            }
            Ok::<_, anyhow::Error>((count, last))
        });
    }
    let changed = tokio::task::block_in_place(change);
    over.store(true, Ordering::Relaxed);
    changed?;
    let mut answered = 0;
    while let Some(client) = clients.join_next().await {
        let (count, _) = client??;
        answered += count;
    }
    Ok(answered)
}

#[test]
fn a_version_takes_over_under_load_and_is_taken_back_at_once() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        let mut stack = stack().start().await?;
        let client = stack.client().await?;
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        let second = bundle(&stack, "2.0.0", true)?;
        let path = second.to_str().context("a path")?;
        let answered = under_load(&stack, || {
            let out = done(&stack, &["models", "install", path])?;
            ensure!(out.contains("add:2.0.0 is active, on probation"), "{out}");
            Ok(())
        })
        .await?;
        println!("{answered} requests of {CLIENTS} clients were answered while a version took over, none was lost");
        ensure!(answered > 0);
        ensure!(ask(&client, MODEL).await? == ("2.0.0".into(), 1.0));
        // The one before serves whoever names it.
        ensure!(ask(&client, "add:1.0.0").await? == ("1.0.0".into(), 3.0));
        let (first, second) = (version(&client, "1.0.0").await?, version(&client, "2.0.0").await?);
        ensure!((first.active, second.active) == (false, true), "{first:?} {second:?}");
        ensure!(!second.installed_at.is_empty() && second.probation.contains("of 100 requests"), "{second:?}");
        // What was decided outlives the daemon.
        stack.daemon_mut()?.process.crash()?;
        stack.start_daemon().await?;
        let client = stack.client().await?;
        ensure!(ask(&client, MODEL).await? == ("2.0.0".into(), 1.0));
        refused(&stack, &["models", "remove", "add:2.0.0"], 1, "add:2.0.0 is the active version")?;
        let out = done(&stack, &["models", "rollback", MODEL])?;
        ensure!(out.contains("add:1.0.0 is active"), "{out}");
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        refused(&stack, &["models", "rollback", MODEL], 1, "no version before the active one")?;
        refused(&stack, &["models", "remove", MODEL], 2, "takes NAME:VERSION")?;
        done(&stack, &["models", "remove", "add:2.0.0"])?;
        ensure!(!stack.dir().join("bundles/add-2.0.0").exists());
        let no = client.infer("add:2.0.0", &[], &Options::default()).await?;
        expect_no("a version that is gone", &no, "unknown_model", &["no version `2.0.0`", "takes 1.0.0"])?;
        let told = deeds(&stack)?;
        let expected =
            ["install add:2.0.0 done", "activate add:2.0.0 done", "rollback add:1.0.0 done", "remove add:2.0.0 done"];
        ensure!(told == expected, "{told:?}");
        Ok(())
    })
}

#[test]
fn a_version_that_answers_wrong_is_never_active() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        let client = stack.client().await?;
        let bad = bundle(&stack, "2.0.0", false)?;
        // What it has to answer is spoilt, and its digest with it.
        let wrong = places::test_bundles().join("wrong-golden");
        let text = std::fs::read_to_string(wrong.join("model.toml"))?;
        let text = text.replace("wrong-golden", MODEL).replace("version = \"1.0.0\"", "version = \"2.0.0\"");
        std::fs::remove_dir_all(&bad)?;
        copy(&wrong, &bad)?;
        std::fs::write(bad.join("model.toml"), text)?;
        let path = bad.to_str().context("a path")?;
        refused(&stack, &["models", "install", path], 1, "golden")?;
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        let second = version(&client, "2.0.0").await?;
        ensure!(!second.active && second.reason.contains("golden"), "{second:?}");
        ensure!(client.status().await?.state == "serving", "{:?}", client.status().await?.problems);
        // Whoever names it is told the same, as it is tried once more for them.
        let tried = async || {
            let no = client.infer("add:2.0.0", &inputs(), &Options::default()).await?.err().context("it answered")?;
            Ok(no.message.contains("golden").then_some(()))
        };
        eventually("the one who names it is told why", PATIENCE, tried).await?;
        ensure!(deeds(&stack)? == ["install add:2.0.0 done", "activate add:2.0.0 failed"], "{:?}", deeds(&stack)?);
        Ok(())
    })?
}

#[test]
fn a_version_whose_golden_answers_stop_holding_is_taken_back_by_itself() -> Result<()> {
    block_on(async {
        let config = "[models]\nprobation_s = 4\nprobation_requests = 0\n[telemetry]\ninterval_ms = 500";
        let stack = stack().config(config).start().await?;
        let client = stack.client().await?;
        let second = bundle(&stack, "2.0.0", true)?;
        let path = second.to_str().context("a path")?;
        done(&stack, &["models", "install", path])?;
        // Somebody, or a failing disk, changes what is expected.
        std::fs::write(
            stack.dir().join("bundles/add-2.0.0/golden/out.json"),
            "{\"tensors\": [{\"name\": \"c\", \"shape\": [1, 4], \"data\": [9, 9, 9, 9]}]}",
        )?;
        let back = async || Ok(version(&client, "1.0.0").await?.active.then_some(()));
        eventually("the version before is taken back", PATIENCE, back).await.with_context(|| stack.logs())?;
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        let bad = version(&client, "2.0.0").await?;
        ensure!(bad.bad.contains("golden"), "{bad:?}");
        let problems = client.status().await?.problems;
        ensure!(
            problems.iter().any(|problem| problem.what.contains("it was taken back: a golden input")),
            "{problems:?}"
        );
        refused(&stack, &["models", "activate", "add:2.0.0"], 1, "was taken back here")?;
        let told = deeds(&stack)?;
        ensure!(told[2..] == ["probation add:2.0.0 failed", "rollback add:1.0.0 done"], "{told:?}");
        Ok(())
    })?
}

#[test]
fn a_version_that_does_well_passes() -> Result<()> {
    block_on(async {
        let config = "[models]\nprobation_s = 1\nprobation_requests = 5\n[telemetry]\ninterval_ms = 500";
        let stack = stack().config(config).start().await?;
        let client = stack.client().await?;
        let second = bundle(&stack, "2.0.0", true)?;
        done(&stack, &["models", "install", second.to_str().context("a path")?])?;
        for _ in 0..5 {
            ask(&client, MODEL).await?;
        }
        let passed = async || Ok(version(&client, "2.0.0").await?.probation.is_empty().then_some(()));
        eventually("the probation is over", PATIENCE, passed).await.with_context(|| stack.logs())?;
        ensure!(version(&client, "2.0.0").await?.active);
        let told = deeds(&stack)?;
        ensure!(told.last().map(String::as_str) == Some("probation add:2.0.0 done"), "{told:?}");
        Ok(())
    })?
}

#[test]
fn only_what_a_trusted_key_signed_is_installed() -> Result<()> {
    block_on(async {
        let stack = stack().config("[models]\nallow_unsigned = false").prepare()?;
        let keys = stack.dir().join("keys.d");
        std::fs::create_dir_all(&keys)?;
        // What the repository has is not signed.
        let first = bundle(&stack, "1.0.0", false)?;
        let second = bundle(&stack, "2.0.0", true)?;
        for name in ["ours", "theirs"] {
            done(&stack, &["models", "keygen", name, "--no-password"])?;
        }
        std::fs::copy(stack.dir().join("ours.pub"), keys.join("ours.pub"))?;
        std::fs::remove_file(stack.dir().join("bundles/add"))?;
        let (first, second) = (first.to_str().context("a path")?, second.to_str().context("a path")?);
        done(&stack, &["models", "sign", first, "--key", "ours.key"])?;
        let mut stack = stack;
        stack.start_daemon().await?;
        let client = stack.client().await?;
        done(&stack, &["models", "install", first])?;
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        refused(&stack, &["models", "install", second], 1, "no model.toml.minisig")?;
        done(&stack, &["models", "sign", second, "--key", "theirs.key"])?;
        refused(&stack, &["models", "install", second], 1, "which is none of the 1 keys in")?;
        // A signature of another manifest.
        let signature = |dir: &str| Path::new(dir).join("model.toml.minisig");
        std::fs::copy(signature(first), signature(second))?;
        refused(&stack, &["models", "install", second], 1, "is of another manifest, or the manifest was changed")?;
        let signed: Value =
            serde_json::from_str(&done(&stack, &["models", "sign", second, "--key", "ours.key", "--json"])?)?;
        let key = signed["key"].as_str().context("a key")?;
        std::fs::write(keys.join("keys.toml"), format!("[key.{key}]\nnot_after = \"2020-01-01\""))?;
        refused(&stack, &["models", "install", second], 1, "which holds until 2020-01-01")?;
        std::fs::write(keys.join("keys.toml"), format!("[key.{key}]\nrevoked = true"))?;
        refused(&stack, &["models", "install", second], 1, "which is revoked in")?;
        std::fs::remove_file(keys.join("keys.toml"))?;
        done(&stack, &["models", "install", second])?;
        ensure!(version(&client, "2.0.0").await?.signed_by == key);
        ensure!(ask(&client, MODEL).await? == ("2.0.0".into(), 1.0));
        Ok(())
    })?
}

#[test]
fn what_is_only_put_there_serves_those_who_name_it() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        let client = stack.client().await?;
        let second = bundle(&stack, "2.0.0", true)?;
        let path = second.to_str().context("a path")?;
        let out = done(&stack, &["models", "install", path, "--no-activate"])?;
        ensure!(out.contains("installed, and not active"), "{out}");
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        // It is loaded for the first one who names it.
        let there = async || Ok(client.infer("add:2.0.0", &inputs(), &Options::default()).await?.ok());
        let yes = eventually("the named version answers", PATIENCE, there).await.with_context(|| stack.logs())?;
        ensure!(yes.output("c")?.floats()?[0] == 1.0, "{yes:?}");
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        done(&stack, &["models", "install", path, "--no-activate"])?;
        done(&stack, &["models", "activate", "add:2.0.0"])?;
        ensure!(ask(&client, MODEL).await? == ("2.0.0".into(), 1.0));
        refused(&stack, &["models", "activate", "add:9.0.0"], 1, "no model add:9.0.0")?;
        refused(&stack, &["models", "activate", MODEL], 2, "takes NAME:VERSION")?;
        std::fs::write(stack.dir().join("no.edgemodel"), "no archive")?;
        refused(&stack, &["models", "install", "no.edgemodel"], 1, "read the archive")?;
        refused(&stack, &["models", "install", "nothing"], 2, "open nothing")?;
        Ok(())
    })?
}

#[test]
fn the_only_version_of_a_model_is_removed_by_force_and_what_comes_after_it_serves() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        let client = stack.client().await?;
        let (first, second) = (format!("{MODEL}:1.0.0"), format!("{MODEL}:2.0.0"));
        let bundle = bundle(&stack, "2.0.0", true)?;
        let path = bundle.to_str().context("a path")?;
        done(&stack, &["models", "install", path, "--no-activate"])?;
        refused(&stack, &["models", "remove", &first, "--force"], 1, "activate another one first")?;
        done(&stack, &["models", "remove", &second])?;
        refused(&stack, &["models", "remove", &first], 1, &format!("edgectl models remove {first} --force"))?;
        done(&stack, &["models", "remove", &first, "--force"])?;
        let asked = client.infer(MODEL, &inputs(), &Options::default()).await?;
        expect_no("the model is gone", &asked, "unknown_model", &[MODEL])?;
        done(&stack, &["models", "install", path])?;
        ensure!(ask(&client, MODEL).await? == ("2.0.0".into(), right("2.0.0")));
        Ok(())
    })?
}

#[test]
fn killed_at_any_moment_of_a_change_the_store_is_before_or_after_and_no_request_is_lost() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&[MODEL]).start().await?;
        let tally = kills::kill(&mut stack, 10, 7).await?;
        println!("{tally:?}");
        ensure!(tally.kills == 10 && tally.interrupted > 0, "{tally:?}");
        Ok(())
    })?
}
