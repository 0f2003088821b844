//! Versions that are bad in ways that show late, and changes that meet: whatever comes of them, the version that serves serves on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_yes};
use edge_tests::bundle::{copy_as, seal};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::runner::block_on;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, archive, ask, bundle, command, done, edgectl, pack, right};
use edge_wire::dto::{JobStatus, ModelStatus};
use serde_json::Value;

fn stack() -> Setup {
    Setup::new().bundles(&[MODEL, spin::MODEL]).without_broker()
}

async fn version(client: &BusClient, name: &str, version: &str) -> Result<ModelStatus> {
    let status = client.status().await?;
    let found = status.models.iter().find(|model| model.name == name && model.version == version);
    found.cloned().with_context(|| format!("no {name}:{version} in {:?}", status.models))
}

/// Begins to install a bundle; its job.
fn begin(stack: &Stack, path: &Path) -> Result<u64> {
    let words = ["models", "install", path.to_str().context("a path")?, "--no-wait", "--json"];
    Ok(done(stack, &words)?.trim().parse()?)
}

async fn job(client: &BusClient, id: u64) -> Result<JobStatus> {
    let jobs = client.status().await?.jobs;
    jobs.into_iter().find(|job| job.id == id).with_context(|| format!("no job {id}"))
}

fn deeds(stack: &Stack) -> Result<Vec<String>> {
    let history: Vec<Value> = serde_json::from_str(&done(stack, &["models", "history", "--json"])?)?;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    Ok(history.iter().map(|entry| ["what", "model", "result"].map(|key| text(entry, key)).join(" ")).collect())
}

/// A version of `spin` whose golden input runs for so many rounds.
fn spinning(stack: &Stack, rounds: i64) -> Result<PathBuf> {
    let at = stack.dir().join("made");
    let dir = copy_as(spin::MODEL, &at, spin::MODEL, &[("version = \"1.0.0\"", "version = \"2.0.0\"")])?;
    let input = dir.join("golden/one.json");
    let mut golden: Value = serde_json::from_slice(&fs::read(&input)?)?;
    let tensors = golden["tensors"].as_array_mut().context("tensors")?;
    let count = tensors.iter_mut().find(|tensor| tensor["datatype"] == "INT64" || tensor["data"][0].is_i64());
    count.context("spin takes a count")?["data"] = serde_json::json!([rounds]);
    fs::write(&input, golden.to_string())?;
    seal(&dir)?;
    Ok(dir)
}

#[test]
fn a_version_whose_golden_input_hangs_can_be_given_up_and_the_one_before_serves_all_the_while() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        let client = stack.client().await?;
        let quick = Spin::measure(&stack).await?.lasting(5)?;
        let id = begin(&stack, &spinning(&stack, i64::MAX)?)?;
        let loads = async || Ok((version(&client, spin::MODEL, "2.0.0").await?.state == "loading").then_some(()));
        eventually("it hangs in its golden input", PATIENCE, loads).await.with_context(|| stack.logs())?;
        for _ in 0..20 {
            let yes = expect_yes("meanwhile", client.infer(spin::MODEL, &quick, &Options::default()).await?)?;
            ensure!(yes.info["version"] == "1.0.0", "{:?}", yes.info);
        }
        ensure!(job(&client, id).await?.state == "running");
        done(&stack, &["jobs", "cancel", &id.to_string()])?;
        let over = async || Ok((job(&client, id).await?.state == "cancelled").then_some(()));
        eventually("it is given up", PATIENCE, over).await?;
        ensure!(version(&client, spin::MODEL, "1.0.0").await?.active);
        let yes = expect_yes("after", client.infer(spin::MODEL, &quick, &Options::default()).await?)?;
        ensure!(yes.info["version"] == "1.0.0", "{:?}", yes.info);
        ensure!(deeds(&stack)? == ["install spin:2.0.0 done", "activate spin:2.0.0 failed"], "{:?}", deeds(&stack)?);
        Ok(())
    })?
}

#[test]
fn a_version_whose_golden_input_crashes_the_host_is_never_active() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        let client = stack.client().await?;
        let quick = Spin::measure(&stack).await?.lasting(5)?;
        let id = begin(&stack, &spinning(&stack, i64::MAX)?)?;
        // Its host dies whenever it runs.
        let mut deaths = 0;
        let ended = async || {
            if version(&client, spin::MODEL, "2.0.0").await.is_ok_and(|version| version.state == "loading") {
                stack.kill_host().await?;
                deaths += 1;
                let other = async || {
                    let host = client.status().await?.engine.state;
                    Ok((host == "up" || job(&client, id).await?.state != "running").then_some(()))
                };
                eventually("the host is there again", PATIENCE, other).await?;
            }
            Ok(Some(job(&client, id).await?).filter(|job| job.state != "running"))
        };
        let job = eventually("it is given up", PATIENCE * 3, ended).await.with_context(|| stack.logs())?;
        println!("given up after {deaths} deaths of its host: {}", job.last_error);
        ensure!(job.state == "failed" && job.last_error.contains("engine host"), "{job:?}\n{}", stack.logs());
        let served = async || Ok(client.infer(spin::MODEL, &quick, &Options::default()).await?.ok());
        let yes = eventually("the one before serves", PATIENCE, served).await.with_context(|| stack.logs())?;
        ensure!(yes.info["version"] == "1.0.0", "{:?}", yes.info);
        ensure!(version(&client, spin::MODEL, "1.0.0").await?.active);
        Ok(())
    })?
}

#[test]
fn of_installs_at_once_each_is_there_whole_and_one_version_is_active() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        let client = stack.client().await?;
        let archives = [archive(&stack, "2.0.0")?, archive(&stack, "3.0.0")?];
        let mut children = Vec::new();
        for path in archives.iter().chain(&archives) {
            let words = ["models", "install", path.to_str().context("a path")?];
            let mut command = command(&stack, &words)?;
            children.push(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
        }
        for child in children {
            let output = child.wait_with_output()?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
            // Two versions cannot take over at once: the later one is told of the other.
            let well =
                output.status.success() || output.status.code() == Some(1) && said.contains("is being activated");
            ensure!(well, "{:?} {said}", output.status);
        }
        for version in ["2.0.0", "3.0.0"] {
            let dir = stack.dir().join("bundles").join(format!("add-{version}"));
            edge_engine::bundle::verify(&edge_engine::bundle::open(&dir)?)?;
        }
        let (found, answer) = ask(&client, MODEL).await?;
        ensure!(answer == right(&found), "{found} answered {answer}");
        let status = client.status().await?;
        let active: Vec<&ModelStatus> =
            status.models.iter().filter(|model| model.name == MODEL && model.active).collect();
        ensure!(active.len() == 1 && active[0].version == found, "{active:?}");
        let record: Value = serde_json::from_slice(&fs::read(stack.dir().join("state/models/add.json"))?)?;
        ensure!(record["active"] == found.as_str(), "{record}");
        Ok(())
    })?
}

#[test]
fn a_bad_version_that_somebody_insists_on_is_taken_back_each_time_and_never_comes_by_itself() -> Result<()> {
    block_on(async {
        let config = "[models]\nprobation_s = 2\nprobation_requests = 0\n[telemetry]\ninterval_ms = 500";
        let stack = stack().config(config).start().await?;
        let client = stack.client().await?;
        let second = bundle(&stack, "2.0.0", true)?;
        done(&stack, &["models", "install", second.to_str().context("a path")?])?;
        let golden = stack.dir().join("bundles/add-2.0.0/golden/out.json");
        let good = fs::read(&golden)?;
        let bad = "{\"tensors\": [{\"name\": \"c\", \"shape\": [1, 4], \"data\": [9, 9, 9, 9]}]}";
        for round in 0..3 {
            fs::write(&golden, bad)?;
            let back = async || Ok(version(&client, MODEL, "1.0.0").await?.active.then_some(()));
            eventually("the version before is taken back", PATIENCE, back).await.with_context(|| stack.logs())?;
            ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0), "round {round}");
            let (code, ..) = edgectl(&stack, &["models", "activate", "add:2.0.0"])?;
            ensure!(code == Some(1), "round {round}: it was activated without a word");
            if round < 2 {
                fs::write(&golden, &good)?;
                done(&stack, &["models", "activate", "add:2.0.0", "--force"])?;
                ensure!(ask(&client, MODEL).await?.0 == "2.0.0", "round {round}");
            }
        }
        let told = deeds(&stack)?;
        let counted = |deed: &str| told.iter().filter(|told| *told == deed).count();
        ensure!(counted("activate add:2.0.0 done") == 3 && counted("rollback add:1.0.0 done") == 3, "{told:?}");
        // A probation of the old one, that would take the bad one back, there is none.
        ensure!(version(&client, MODEL, "1.0.0").await?.probation.is_empty());
        let (code, out, err) = edgectl(&stack, &["models", "rollback", MODEL])?;
        ensure!(code == Some(1) && err.contains("no version before"), "{code:?} {out} {err}");
        Ok(())
    })?
}

#[test]
fn a_byte_that_changed_in_any_file_of_a_bundle_is_found_at_the_start() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new()
            .bundles(&[spin::MODEL])
            .without_broker()
            .config("[models]\nallow_unsigned = false")
            .prepare()?;
        done(&stack, &["models", "keygen", "ours", "--no-password"])?;
        fs::create_dir_all(stack.dir().join("keys.d"))?;
        fs::copy(stack.dir().join("ours.pub"), stack.dir().join("keys.d/ours.pub"))?;
        let made = bundle(&stack, "2.0.0", true)?;
        done(&stack, &["models", "sign", made.to_str().context("a path")?, "--key", "ours.key"])?;
        let dir = stack.dir().join("bundles/add-2.0.0");
        edge_tests::bundle::copy_dir(&made, &dir)?;
        let mut files = vec!["model.toml".to_owned(), "model.toml.minisig".to_owned()];
        files.extend(edge_engine::bundle::open(&dir)?.manifest().file.iter().map(|file| file.path.clone()));
        ensure!(files.len() >= 5, "{files:?}");
        for file in &files {
            let path = dir.join(file);
            let good = fs::read(&path)?;
            let mut spoilt = good.clone();
            // Of a signature its second line, of other files the middle.
            let at = if file.ends_with(".minisig") { 70 } else { good.len() / 2 };
            spoilt[at] ^= 1;
            fs::write(&path, spoilt)?;
            stack.start_daemon().await?;
            let client = stack.client().await?;
            let status = client.status().await?;
            let spoilt = status.models.iter().find(|model| model.name.starts_with(MODEL)).context("it is shown")?;
            ensure!(spoilt.state == "failed" && !spoilt.reason.is_empty(), "{file}: {spoilt:?}");
            ensure!(ask(&client, MODEL).await.is_err(), "{file}: it is served");
            fs::write(&path, good)?;
        }
        stack.start_daemon().await?;
        ensure!(ask(&stack.client().await?, MODEL).await? == ("2.0.0".into(), 1.0));
        Ok(())
    })?
}

#[test]
fn a_graph_that_this_box_cannot_run_is_installed_and_never_active() -> Result<()> {
    block_on(async {
        let stack = stack().start().await?;
        let client = stack.client().await?;
        let add = fs::read(edge_tests::places::test_bundles().join("add/model.onnx"))?;
        let replaced = |from: &[u8], to: &[u8]| -> Result<Vec<u8>> {
            let at = add.windows(from.len()).position(|window| window == from).context("the model has it")?;
            Ok([&add[..at], to, &add[at + from.len()..]].concat())
        };
        // Weights in a file outside: a second piece of the graph is merged into the first by the format's own rule.
        let entry = [&b"\x6a\x14\x0a\x08location\x12\x08"[..], b"../w.bin"].concat();
        let tensor = [&b"\x08\x01\x08\x04\x10\x01\x42\x01b"[..], &entry, b"\x70\x01"].concat();
        let graph = [&[0x2a, u8::try_from(tensor.len())?][..], &tensor].concat();
        let outside = [&add[..], &[0x3a, u8::try_from(graph.len())?], &graph].concat();
        fs::write(stack.dir().join("bundles/w.bin"), [0; 16])?;
        let cases = [
            ("2.0.1", replaced(b"\x22\x03Add", b"\x22\x03Adz")?, "Adz"),
            ("2.0.2", replaced(b"\x10\x11", b"\x10\x7f")?, "opset"),
            ("2.0.3", outside, "w.bin"),
            ("2.0.4", b"\x89PNG\r\n\x1a\n".to_vec(), "model.onnx"),
        ];
        for (number, model, says) in cases {
            let dir = bundle(&stack, number, false)?;
            fs::write(dir.join("model.onnx"), model)?;
            seal(&dir)?;
            let path = pack(&stack, &dir)?;
            let (code, out, err) = edgectl(&stack, &["models", "install", path.to_str().context("a path")?])?;
            let said = format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(code == Some(1) && said.contains(says), "{number}: {code:?} {said}");
            ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0), "{number}");
            ensure!(!version(&client, MODEL, number).await?.active, "{number}");
            fs::remove_file(path)?;
        }
        ensure!(client.status().await?.state == "serving", "{:?}", client.status().await?.problems);
        Ok(())
    })?
}
