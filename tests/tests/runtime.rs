//! The runtime is a file of its own: another one takes over at a reload, without a request lost, and one that does not load does
//! not.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::places;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, ask, done, right};

/// Lets the link lead somewhere else, at one instant.
fn relink(link: &Path, to: &Path) -> Result<()> {
    let fresh = link.with_extension("fresh");
    symlink(to, &fresh)?;
    Ok(std::fs::rename(&fresh, link)?)
}

/// Runs a test whose clients ask while a command is waited for.
fn at_once(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(test)
}

/// Waits until the problem `library` is there, or not; what it says.
async fn problem(stack: &Stack, there: bool) -> Result<String> {
    let client = stack.client().await?;
    let look = async || {
        let found = client.status().await?.problems.into_iter().find(|problem| problem.subject == "library");
        Ok((found.is_some() == there).then(|| found.map(|found| found.what).unwrap_or_default()))
    };
    eventually(&format!("a problem with the library: {there}"), PATIENCE, look).await.with_context(|| stack.logs())
}

#[test]
fn another_runtime_takes_over_at_a_reload_and_one_that_does_not_load_does_not() -> Result<()> {
    at_once(async {
        let dir = tempfile::tempdir()?;
        let library = places::runtime_library()?;
        let name = library.file_name().context("a file")?.to_owned();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        for place in [&one, &other] {
            std::fs::create_dir(place)?;
            std::fs::copy(&library, place.join(&name))?;
        }
        let broken = dir.path().join("broken.so");
        std::fs::write(&broken, "no library")?;
        let link = dir.path().join("current.so");
        relink(&link, &one.join(&name))?;
        let config = format!("[engine]\nlibrary = '{}'", link.display());
        let stack = Setup::new().bundles(&[MODEL]).without_broker().config(&config).start().await?;
        let client = stack.client().await?;
        let is_ready =
            async || Ok(client.status().await?.models.iter().any(|model| model.state == "ready").then_some(()));
        eventually("the model is ready", PATIENCE, is_ready).await?;
        let first = stack.host_pid().await?;

        relink(&link, &broken)?;
        done(&stack, &["reload"])?;
        let what = problem(&stack, true).await?;
        ensure!(what.contains("is not taken over, the one before serves on"), "{what}");
        ensure!(stack.host_pid().await? == first);
        ensure!(ask(&client, MODEL).await?.1 == right("1.0.0"));
        // Put back as it was: nothing is wrong, and nothing changes.
        relink(&link, &one.join(&name))?;
        done(&stack, &["reload"])?;
        problem(&stack, false).await?;
        ensure!(stack.host_pid().await? == first);

        let over = Arc::new(AtomicBool::new(false));
        let (address, told) = (stack.bus.address(), over.clone());
        let asking = tokio::spawn(async move {
            let client = BusClient::on_bus(&address).await?;
            let mut count = 0u32;
            while !told.load(Ordering::Relaxed) {
                let (version, answer) = ask(&client, MODEL).await?;
                ensure!(answer == right(&version), "{answer}");
                count += 1;
            }
            Ok::<_, anyhow::Error>(count)
        });
        relink(&link, &other.join(&name))?;
        tokio::task::block_in_place(|| done(&stack, &["reload"]))?;
        let replaced = async || {
            let pid = stack.host_pid().await.unwrap_or(first);
            Ok((pid != first && pid != 0).then_some(pid))
        };
        let second = eventually("another host runs", PATIENCE, replaced).await.with_context(|| stack.logs())?;
        eventually("the model is ready again", PATIENCE, is_ready).await?;
        over.store(true, Ordering::Relaxed);
        ensure!(asking.await?? > 0, "requests were answered throughout");
        let mapped = std::fs::read_to_string(format!("/proc/{second}/maps"))?;
        ensure!(mapped.contains(&other.join(&name).display().to_string()), "the host has the other library");
        let log = stack.daemon()?.process.log();
        ensure!(log.contains("another ONNX Runtime takes over"), "{log}");
        Ok(())
    })
}
