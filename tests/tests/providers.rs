//! Execution providers come and go, and the model is served: by the one that is wanted when it works, by the next one
//! when not, and what is so is said.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Tensor, Yes, expect_yes};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::process::signal_pid;
use edge_tests::provider::{OPENVINO as PROVIDER, openvino};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::{HostStatus, ModelStatus, SetupStatus, Status};
use rustix::process::Signal;

/// Adds, on OpenVINO or else on the CPU.
const MODEL: &str = "either";

/// A stack of that model alone whose providers are in `providers`, a directory of its own.
fn stack(providers: &Path, more: &str) -> Setup {
    let dir = providers.display();
    Setup::new().bundles(&[MODEL]).without_broker().config(&format!("[engine]\nproviders_dir = '{dir}'\n{more}"))
}

async fn add(client: &BusClient) -> Result<Yes> {
    let ones = |name| Tensor::fp32(name, &[1, 4], &[1.0; 4]);
    let outcome = client.infer(MODEL, &[ones("a"), ones("b")], &Options::default()).await?;
    let yes = expect_yes("a sum", outcome)?;
    ensure!(yes.output("c")?.floats()? == [2.0; 4], "{yes:?}");
    Ok(yes)
}

fn provider(yes: &Yes) -> String {
    yes.info["provider"].as_str().unwrap_or_default().to_owned()
}

fn model(status: &Status) -> Result<&ModelStatus> {
    status.models.first().context("no model")
}

fn setup<'a>(status: &'a Status, provider: &str) -> Result<&'a SetupStatus> {
    let found = model(status)?.setups.iter().find(|setup| setup.provider == provider);
    found.with_context(|| format!("no setup on {provider}"))
}

fn host<'a>(status: &'a Status, provider: &str) -> Result<&'a HostStatus> {
    let found = status.engine.hosts.iter().find(|host| host.provider == provider);
    found.with_context(|| format!("no host of {provider}"))
}

/// Waits until requests are answered by this provider.
async fn served_by(stack: &Stack, wanted: &str) -> Result<Status> {
    let client = stack.client().await?;
    let serves = async || {
        let status = client.status().await?;
        let ready = setup(&status, wanted).is_ok_and(|setup| setup.serving && setup.state == "ready");
        Ok(ready.then_some(status))
    };
    eventually(&format!("{wanted} serves"), PATIENCE, serves).await.with_context(|| stack.logs())
}

#[test]
fn a_provider_that_is_not_there_is_stood_in_for_and_that_is_said() -> Result<()> {
    block_on(async {
        let none = tempfile::tempdir()?;
        let stack = stack(none.path(), "").start().await?;
        ensure!(provider(&add(&stack.client().await?).await?) == "cpu");
        let status = stack.status().await?;
        let reason = &host(&status, PROVIDER)?.reason;
        ensure!(reason.contains("no library of the execution provider openvino in"), "{reason}");
        ensure!(model(&status)?.reason == "only on cpu stands in for only on openvino, which is found", "{status:?}");
        // Nobody asked for it on this box in particular.
        ensure!(status.state == "serving", "{:?}", status.problems);
        Ok(())
    })?
}

#[test]
fn a_provider_that_the_operator_named_and_that_is_not_there_is_a_problem() -> Result<()> {
    block_on(async {
        let none = tempfile::tempdir()?;
        let stack = stack(none.path(), "providers = ['openvino', 'cpu']").start().await?;
        ensure!(provider(&add(&stack.client().await?).await?) == "cpu");
        let status = stack.status().await?;
        let problem = status.problems.first().context("no problem")?;
        ensure!(status.state == "degraded" && problem.subject == "provider openvino", "{:?}", status.problems);
        Ok(())
    })?
}

#[test]
fn a_model_of_which_no_provider_is_allowed_is_not_served_and_says_which_it_would_take() -> Result<()> {
    block_on(async {
        let none = tempfile::tempdir()?;
        let stack = stack(none.path(), "providers = ['cuda']").start().await?;
        let status = stack.status().await?;
        let why = "none of the allowed providers (cuda) runs it: its bundle has only on openvino, only on cpu";
        ensure!(model(&status)?.state == "failed" && model(&status)?.reason == why, "{:?}", model(&status)?);
        Ok(())
    })?
}

#[test]
fn a_provider_whose_library_is_none_is_named_and_comes_when_the_right_one_is_put_there() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let place = dir.path().join(PROVIDER);
        fs::create_dir(&place)?;
        fs::write(place.join("libonnxruntime_providers_openvino_plugin.so"), "this is no library")?;
        let stack = stack(dir.path(), "").start().await?;
        ensure!(provider(&add(&stack.client().await?).await?) == "cpu");
        let client = stack.client().await?;
        let told = async || {
            let status = client.status().await?;
            let reason = host(&status, PROVIDER)?.reason.clone();
            Ok(reason.contains("libonnxruntime_providers_openvino_plugin.so").then_some(()))
        };
        eventually("the reason names the library", PATIENCE, told).await.with_context(|| stack.logs())?;
        fs::remove_dir_all(&place)?;
        if !openvino(&place)? {
            return Ok(());
        }
        served_by(&stack, PROVIDER).await?;
        ensure!(provider(&add(&client).await?) == PROVIDER);
        Ok(())
    })?
}

#[test]
fn a_provider_is_taken_away_and_put_back_while_requests_flow_and_each_is_answered() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let (place, aside) = (dir.path().join(PROVIDER), dir.path().join("aside"));
        if !openvino(&place)? {
            return Ok(());
        }
        let stack = stack(dir.path(), "").start().await?;
        let status = served_by(&stack, PROVIDER).await?;
        let first = setup(&status, PROVIDER)?;
        ensure!(first.share > 0.0 && setup(&status, "cpu")?.state != "loading", "{status:?}");
        let stop = Arc::new(AtomicBool::new(false));
        let flow = (0..4).map(|_| tokio::spawn(flow(stack.bus.address(), stop.clone())));
        let flow: Vec<_> = flow.collect();

        fs::rename(&place, &aside)?;
        signal_pid(host(&status, PROVIDER)?.pid, Signal::KILL)?;
        let status = served_by(&stack, "cpu").await?;
        ensure!(!host(&status, PROVIDER)?.reason.is_empty(), "{status:?}");
        fs::rename(&aside, &place)?;
        let status = served_by(&stack, PROVIDER).await?;
        ensure!(setup(&status, "cpu")?.state == "standby", "the stand-in is still loaded: {status:?}");
        stop.store(true, Ordering::Relaxed);

        let (mut answered, mut by) = (0, std::collections::BTreeSet::new());
        for one in flow {
            let (count, providers) = one.await??;
            answered += count;
            by.extend(providers);
        }
        println!("{answered} requests were answered, by {by:?}");
        ensure!(by.len() == 2, "by {by:?}");
        Ok(())
    })?
}

/// Asks until it is told to stop; how many were answered, and by which providers. A "no" is an error.
async fn flow(address: String, stop: Arc<AtomicBool>) -> Result<(u64, Vec<String>)> {
    let client = BusClient::on_bus(&address).await?;
    let (mut count, mut providers) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let provider = provider(&add(&client).await?);
        if !providers.contains(&provider) {
            providers.push(provider);
        }
        count += 1;
    }
    Ok((count, providers))
}
