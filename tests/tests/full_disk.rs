//! A disk that is really full at each step of bringing a bundle to a box, and while requests are put off or leave the box: what is said,
//! that what was there is as before or after, and that it goes on when there is room again. Says SKIPPED where no small disk can be had.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_no, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::disk::Small;
use edge_tests::origin::certificates::{self, From};
use edge_tests::origin::{Origin, Served};
use edge_tests::recorded::{Answer, Recorded};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, archive, ask, done, edgectl, inputs};
use edge_wire::proxy::{ManagerProxy, RoutingProxy};
use serde_json::{Value, json};

/// So little is left that no file can be written.
const FULL: usize = 0;
const NO_SPACE: &str = "No space left on device";

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A "no" that says all of this.
fn refused(stack: &Stack, arguments: &[&str], says: &[&str]) -> Result<()> {
    let (code, out, err) = edgectl(stack, arguments)?;
    // Lines are broken for the screen.
    let said = format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(
        code == Some(1) && says.iter().all(|part| said.contains(part)),
        "{arguments:?}: {code:?} {said}\n{}",
        stack.logs()
    );
    Ok(())
}

fn deeds(stack: &Stack) -> Result<Vec<String>> {
    let history: Vec<Value> = serde_json::from_str(&done(stack, &["models", "history", "--json"])?)?;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    Ok(history.iter().map(|entry| ["what", "model", "result"].map(|key| text(entry, key)).join(" ")).collect())
}

fn stack() -> Result<Stack> {
    Setup::new().bundles(&[MODEL]).without_broker().config("[models]\ndisk_reserve_mib = 0").prepare()
}

#[test]
fn a_store_that_is_full_while_a_bundle_is_unpacked_is_as_before_and_takes_it_when_there_is_room() -> Result<()> {
    block_on(async {
        let mut stack = stack()?;
        let path = archive(&stack, "2.0.0")?;
        let install = ["models", "install", path.to_str().context("a path")?];
        let bundles = stack.dir().join("bundles");
        fs::remove_dir_all(&bundles)?;
        let Some(disk) = Small::mount(&bundles, 256)? else { return Ok(()) };
        edge_tests::versions::copy(&edge_tests::places::test_bundles().join(MODEL), &bundles.join("add-1.0.0"))?;
        stack.start_daemon().await?;
        let client = stack.client().await?;
        let before = names(&bundles);
        // Nothing; then, as many bytes as the files have, but not as many pages: it is found out while they are written.
        for (left, says) in [(FULL, "the disk is full"), (8192, NO_SPACE)] {
            disk.fill(left)?;
            refused(&stack, &install, &[says])?;
            disk.free()?;
            ensure!(names(&bundles) == before, "{left}: {:?}", names(&bundles));
            ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0));
        }
        // The same of a file that was dropped: it waits, and says so once.
        disk.fill(8192)?;
        let dropped = stack.dir().join("inbox/add-2.0.0.edgemodel");
        fs::create_dir_all(stack.dir().join("inbox"))?;
        fs::copy(&path, &dropped)?;
        let told = async || {
            let problems = stack.status().await?.problems;
            Ok(problems
                .iter()
                .any(|problem| problem.subject == "inbox" && problem.what.contains(NO_SPACE))
                .then_some(()))
        };
        eventually("it waits", PATIENCE, told).await.with_context(|| stack.logs())?;
        ensure!(dropped.exists());
        disk.free()?;
        done(&stack, &["reload"])?;
        eventually("it is installed", PATIENCE, async || Ok((!dropped.exists()).then_some(()))).await?;
        done(&stack, &["models", "activate", "add:2.0.0"])?;
        ensure!(ask(&client, MODEL).await? == ("2.0.0".into(), 1.0));
        ensure!(stack.status().await?.state == "serving", "{:?}", stack.status().await?.problems);
        let failed = deeds(&stack)?.iter().filter(|deed| *deed == "install a bundle failed").count();
        ensure!(failed == 3, "{:?}", deeds(&stack)?);
        Ok(())
    })?
}

#[test]
fn a_state_directory_that_is_full_costs_no_version_and_no_deed() -> Result<()> {
    block_on(async {
        let mut stack = stack()?;
        let second = archive(&stack, "2.0.0")?;
        let third = archive(&stack, "3.0.0")?;
        let state = stack.dir().join("state");
        let Some(disk) = Small::mount(&state, 1024)? else { return Ok(()) };
        stack.start_daemon().await?;
        let client = stack.client().await?;
        done(&stack, &["models", "install", second.to_str().context("a path")?])?;
        ensure!(ask(&client, MODEL).await? == ("2.0.0".into(), 1.0));
        // The last page of the history is full, too.
        let history = state.join("history.jsonl");
        let page = fs::read(&history)?.len() % 4096;
        std::io::Write::write_all(&mut fs::File::options().append(true).open(&history)?, &vec![b'\n'; 4096 - page])?;
        disk.fill(FULL)?;
        // The record of what is active cannot be written: what serves serves on, also after a crash.
        refused(&stack, &["models", "activate", "add:1.0.0"], &[NO_SPACE, "models/.add.json"])?;
        refused(&stack, &["models", "install", third.to_str().context("a path")?], &[NO_SPACE])?;
        refused(&stack, &["models", "rollback", MODEL], &[NO_SPACE])?;
        ensure!(ask(&client, MODEL).await?.0 == "2.0.0");
        let problem = async || {
            let problems = stack.status().await?.problems;
            Ok(problems.into_iter().find(|problem| problem.what.starts_with("the history of models cannot be written")))
        };
        let problem = eventually("it is a problem", PATIENCE, problem).await.with_context(|| stack.logs())?;
        ensure!(problem.subject == "store" && problem.what.contains(NO_SPACE), "{problem:?}");
        let expected = [
            "install add:2.0.0 done",
            "activate add:2.0.0 done",
            "activate add:1.0.0 failed",
            "install add:3.0.0 done",
            "activate add:3.0.0 failed",
            "rollback add:1.0.0 failed",
        ];
        ensure!(deeds(&stack)? == expected, "{:?}", deeds(&stack)?);
        // With room it is written by itself.
        disk.free()?;
        let written = async || {
            let text = fs::read_to_string(&history)?;
            let lines = text.lines().filter(|line| !line.is_empty()).count();
            let status = stack.status().await?;
            ensure!(lines == expected.len() && status.state == "serving", "{lines} lines, {:?}", status.problems);
            Ok(Some(()))
        };
        eventually("the history is written", PATIENCE, written).await.with_context(|| stack.logs())?;
        disk.fill(FULL)?;
        refused(&stack, &["models", "activate", "add:1.0.0"], &[NO_SPACE])?;
        stack.daemon_mut()?.process.crash()?;
        stack.start_daemon().await?;
        let client = stack.client().await?;
        ensure!(ask(&client, MODEL).await?.0 == "2.0.0", "{}", stack.logs());
        disk.free()?;
        done(&stack, &["models", "activate", "add:3.0.0"])?;
        ensure!(ask(&client, MODEL).await? == ("3.0.0".into(), 1.0));
        // A version that is taken out while that cannot be noted is out all the same, and is noted later.
        disk.fill(FULL)?;
        done(&stack, &["models", "remove", "add:2.0.0"])?;
        let record = || -> Result<Value> { Ok(serde_json::from_slice(&fs::read(state.join("models/add.json"))?)?) };
        ensure!(record()?["previous"] == "2.0.0", "{}", record()?);
        disk.free()?;
        let noted = async || Ok(record()?["previous"].is_null().then_some(()));
        eventually("it is noted", PATIENCE, noted).await.with_context(|| stack.logs())?;
        let well = async || Ok((stack.status().await?.state == "serving").then_some(()));
        eventually("nothing is wrong any more", PATIENCE, well).await.with_context(|| stack.logs())
    })?
}

#[test]
fn a_pull_onto_a_full_disk_is_refused_by_name_and_leaves_nothing() -> Result<()> {
    block_on(async {
        let mut stack = stack()?;
        let secrets = stack.dir().join("certificates");
        let origin = Origin::start(&certificates::server(&secrets, &certificates::authority(&secrets)?, From::Today)?)?;
        let made = stack.dir().join("made");
        fs::create_dir_all(&made)?;
        let (file, _) = edge_tests::origin::bundles::archive(&made, 200 << 10)?;
        origin.serve("/add.edgemodel", Served::file(&file));
        let url = origin.plain_url("/add.edgemodel");
        let state = stack.dir().join("state");
        let Some(disk) = Small::mount(&state, 512)? else { return Ok(()) };
        stack.start_daemon().await?;
        for (left, says) in [
            (FULL, &[NO_SPACE, "make room"][..]),
            (8192, &["it takes 1 MiB, and 0 MiB are left"]),
            (180 << 10, &["it takes 1 MiB, and 0 MiB are left"]),
        ] {
            disk.fill(left)?;
            refused(&stack, &["models", "pull", &url], says)?;
            let gone = async || Ok(names(&state.join("pulls")).is_empty().then_some(()));
            eventually("nothing of it is left", PATIENCE, gone)
                .await
                .with_context(|| format!("{:?}", names(&state.join("pulls"))))?;
        }
        disk.free()?;
        done(&stack, &["models", "pull", &url])?;
        ensure!(ask(&stack.client().await?, MODEL).await? == ("2.0.0".into(), 3.0));
        let told = deeds(&stack)?;
        ensure!(
            told.iter().filter(|deed| deed.starts_with("pull") && deed.ends_with("failed")).count() == 3,
            "{told:?}"
        );
        Ok(())
    })?
}

async fn problem(stack: &Stack, subject: &str) -> Result<Option<String>> {
    let problems = stack.status().await?.problems;
    Ok(problems.into_iter().find(|problem| problem.subject == subject).map(|problem| problem.what))
}

/// A request that may wait, by its id.
fn patient(id: &str) -> Options {
    options(json!({ "request_id": id, "deferrable": true, "deadline_ms": 600_000 }))
}

#[test]
fn what_cannot_wait_on_a_full_disk_is_refused_by_name_and_the_daemon_serves_on() -> Result<()> {
    block_on(async {
        let mut stack = stack()?;
        let state = stack.dir().join("state");
        // What waits leaves 64 MiB of the disk to the others.
        let Some(disk) = Small::mount(&state, 80 << 10)? else { return Ok(()) };
        stack.start_daemon().await?;
        let client = stack.client().await?;
        let hold = async || -> Result<zbus::OwnedFd> {
            Ok(ManagerProxy::new(&client.connection).await?.hold("a test").await?)
        };
        let held = hold().await?;
        let waits = |id: &'static str| {
            let address = stack.bus.address();
            tokio::spawn(async move { BusClient::on_bus(&address).await?.infer(MODEL, &inputs(), &patient(id)).await })
        };
        let first = waits("first");
        let on_disk = async || Ok((client.status().await?.routing.deferred == 1).then_some(()));
        eventually("it waits on the disk", PATIENCE, on_disk).await?;

        // First there is room, but not beyond what is left to others; then there is none.
        for left in [32 << 20, FULL] {
            disk.fill(left)?;
            let no = client.infer(MODEL, &inputs(), &patient("second")).await?;
            expect_no("no room", &no, "overloaded", &["cannot be put off", "full"]).with_context(|| stack.logs())?;
        }
        drop(held);
        // What waited is served, from a disk on which its answer cannot be written: its caller gets it, and is told.
        let yes = expect_yes("it waited", first.await??)?;
        ensure!(yes.output("c")?.floats()?[0] == 3.0 && yes.warns(&["not on the disk"]), "{yes:?}");
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0), "it serves on");
        let told = async || problem(&stack, "spool").await;
        let what = eventually("it is a problem", PATIENCE, told).await?;
        ensure!(what.contains("full"), "{what}");
        // Asked again, it is the same answer, from memory.
        let again = expect_yes("again", client.infer(MODEL, &inputs(), &patient("first")).await?)?;
        ensure!(again.outputs == yes.outputs && again.info["duplicate"] == true, "{again:?}");

        disk.free()?;
        let well = async || Ok(problem(&stack, "spool").await?.is_none().then_some(()));
        eventually("it is written by itself", PATIENCE, well).await.with_context(|| stack.logs())?;
        let _held = hold().await?;
        let second = waits("second");
        eventually("another one waits", PATIENCE, on_disk).await.with_context(|| stack.logs())?;
        // What was answered on the full disk is known after a crash.
        second.abort();
        stack.daemon_mut()?.process.crash()?;
        stack.start_daemon().await?;
        let client = stack.client().await?;
        let again = expect_yes("after a crash", client.infer(MODEL, &inputs(), &patient("first")).await?)?;
        ensure!(again.outputs == yes.outputs && again.info["duplicate"] == true, "{again:?}");
        Ok(())
    })?
}

#[test]
fn nothing_leaves_the_box_that_a_full_disk_cannot_note_and_the_daemon_serves_on() -> Result<()> {
    block_on(async {
        let recorded = Recorded::start()?;
        recorded.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
        let sum = json!({ "model_name": "far", "outputs": [{ "name": "sum", "datatype": "FP32", "shape": [1], "data": [1.0] }] });
        let sum = Answer::status(200, &["Content-Type: application/json"], sum.to_string().as_bytes());
        recorded.answer("POST", "/v2/models/far/infer", [sum]);
        let site = format!(
            "[[site]]\nname = \"far\"\nzone = \"premises\"\nprotocol = \"oip\"\nurl = \"{}\"\nmodels = {{ far = \"far\" }}",
            recorded.url()
        );
        let mut stack = Setup::new().bundles(&[MODEL]).without_broker().config(&site).prepare()?;
        let state = stack.dir().join("state");
        let Some(disk) = Small::mount(&state, 2048)? else { return Ok(()) };
        stack.start_daemon().await?;
        let client = stack.client().await?;
        let given = options(json!({ "data_class": "internal", "deadline_ms": 5000 }));
        let leaves = async || client.infer("far", &inputs(), &given).await;
        let rows = async || -> Result<usize> {
            let routing = RoutingProxy::new(&client.connection).await?;
            let rows: Vec<Value> = serde_json::from_str(&routing.audit(&std::collections::HashMap::new()).await?)?;
            Ok(rows.len())
        };
        let sent = || recorded.take().iter().filter(|asked| asked.method == "POST").count();
        expect_yes("there is room", leaves().await?)?;
        ensure!((sent(), rows().await?) == (1, 1));

        disk.fill(FULL)?;
        expect_no("no room", &leaves().await?, "unavailable", &["cannot be noted", "full"])
            .with_context(|| stack.logs())?;
        ensure!(sent() == 0, "it left unnoted");
        ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), 3.0), "it serves on");
        let told = async || problem(&stack, "ledger").await;
        let what = eventually("it is a problem", PATIENCE, told).await?;
        ensure!(what.contains("full"), "{what}");

        disk.free()?;
        let again = async || Ok(leaves().await?.ok());
        eventually("it leaves again", PATIENCE, again).await.with_context(|| stack.logs())?;
        ensure!((sent(), rows().await?) == (1, 2));
        Ok(())
    })?
}
