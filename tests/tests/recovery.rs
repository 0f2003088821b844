//! An execution provider that fails: at a load, at every run, by keeping memory. Another one serves meanwhile, what is so is
//! said, and the provider gets its models back without anybody's help.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Outcome, Tensor, expect_no, expect_yes};
use edge_tests::bundle;
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::process::alive;
use edge_tests::provider::{OPENVINO, openvino_with_faults};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::{places, usage};
use edge_wire::dto::{HostStatus, SetupStatus, Status};
use edge_wire::names::{MODEL, model_path};
use tempfile::TempDir;
use zbus::Variant;

/// Adds, on OpenVINO or else on the CPU.
const EITHER: &str = "either";
/// Words of the library of the tests.
const AT_LOAD: &str = "the device has no memory left";
const AT_RUN: &str = "the device is lost";

/// A stack whose OpenVINO fails when a test wants it to.
struct Failing {
    stack: Stack,
    switches: PathBuf,
    _providers: TempDir,
}

impl Failing {
    /// With the faults of these names from the start; `None` where there is no OpenVINO.
    async fn start(faults: &[&str], more: &[&str]) -> Result<Option<Failing>> {
        Failing::with(faults, more, &[]).await
    }

    /// The same, with these texts replaced in the manifests of the further models.
    async fn with(faults: &[&str], more: &[&str], replace: &[(&str, &str)]) -> Result<Option<Failing>> {
        let providers = tempfile::tempdir()?;
        let switches = providers.path().join("switches");
        fs::create_dir(&switches)?;
        if !openvino_with_faults(&providers.path().join(OPENVINO), &switches)? {
            return Ok(None);
        }
        let dir = providers.path().display();
        let config = format!("[engine]\nproviders_dir = '{dir}'\n[telemetry]\ninterval_ms = 500");
        let mut stack = Setup::new().bundles(&[EITHER]).without_broker().config(&config).prepare()?;
        for name in more {
            bundle::copy_as(EITHER, &stack.dir().join("more"), name, replace)?;
        }
        stack.launch.models.push(stack.dir().join("more"));
        for fault in faults {
            fs::write(switches.join(fault), "")?;
        }
        stack.start_daemon().await?;
        Ok(Some(Failing { stack, switches, _providers: providers }))
    }

    fn switch_on(&self, fault: &str) -> Result<()> {
        Ok(fs::write(self.switches.join(fault), "")?)
    }

    fn switch_off(&self, fault: &str) -> Result<()> {
        Ok(fs::remove_file(self.switches.join(fault))?)
    }

    /// Waits until this holds of the status.
    async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Result<Status> {
        let client = self.stack.client().await?;
        let look = async || Ok(Some(client.status().await?).filter(&is_so));
        eventually(what, PATIENCE, look).await.with_context(|| self.stack.logs())
    }

    async fn served_by(&self, provider: &str) -> Result<Status> {
        let serves = |status: &Status| setup(status, EITHER, provider).is_ok_and(|s| s.serving && s.state == "ready");
        self.until(&format!("{provider} serves"), serves).await
    }

    async fn tell(&self, model: &str, method: &str) -> Result<()> {
        let plain = HashMap::<&str, Variant<'_>>::new();
        let client = self.stack.client().await?;
        let told = client.call_at(&model_path(model, "1.0.0"), MODEL, method, &(plain,)).await?;
        told.map(drop).map_err(|no| anyhow::anyhow!("{method} {model}: {no:?}"))
    }
}

fn setup<'a>(status: &'a Status, model: &str, provider: &str) -> Result<&'a SetupStatus> {
    let model = status.models.iter().find(|found| found.name == model).context("no such model")?;
    model.setups.iter().find(|setup| setup.provider == provider).context("no such setup")
}

fn host<'a>(status: &'a Status, provider: &str) -> Result<&'a HostStatus> {
    status.engine.hosts.iter().find(|host| host.provider == provider).context("no such host")
}

async fn ask(client: &BusClient, model: &str) -> Result<Outcome> {
    let ones = |name| Tensor::fp32(name, &[1, 4], &[1.0; 4]);
    let outcome = client.infer(model, &[ones("a"), ones("b")], &Options::default()).await?;
    if let Ok(yes) = &outcome {
        ensure!(yes.output("c")?.floats()? == [2.0; 4], "{yes:?}");
    }
    Ok(outcome)
}

/// The provider that answers.
async fn answered_by(client: &BusClient, model: &str) -> Result<String> {
    let yes = expect_yes("a sum", ask(client, model).await?)?;
    Ok(yes.info["provider"].as_str().unwrap_or_default().to_owned())
}

/// Asks until it is told to stop; a "no" is an error.
async fn flow(address: String, stop: Arc<AtomicBool>) -> Result<u64> {
    let client = BusClient::on_bus(&address).await?;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        answered_by(&client, EITHER).await?;
        count += 1;
    }
    Ok(count)
}

fn edgectl(stack: &Stack, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(arguments).env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", stack.bus.address());
    let output = command.output().context("run edgectl")?;
    // Lines are folded to the width of the table.
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn a_provider_that_throws_at_the_load_is_tried_again_by_itself_and_takes_its_model_back() -> Result<()> {
    block_on(async {
        let Some(failing) = Failing::start(&["throws-at-load"], &[]).await? else { return Ok(()) };
        let client = failing.stack.client().await?;
        ensure!(answered_by(&client, EITHER).await? == "cpu");
        let again = |status: &Status| setup(status, EITHER, OPENVINO).is_ok_and(|setup| setup.failures >= 2);
        let status = failing.until("it was tried again", again).await?;
        let failed = setup(&status, EITHER, OPENVINO)?;
        ensure!(failed.state == "failed" && failed.reason.contains(AT_LOAD), "{failed:?}");
        ensure!((1..=10_000).contains(&failed.retry_in_ms), "{failed:?}");
        let model = status.models.first().context("a model")?;
        ensure!(model.reason.contains("stands in for only on openvino, which is failed"), "{}", model.reason);
        let problem = status.problems.iter().find(|problem| problem.subject == "model either:1.0.0");
        let problem = problem.with_context(|| format!("no problem: {:?}", status.problems))?;
        ensure!(problem.what.contains(AT_LOAD) && problem.remedy.contains("tried again by itself at 2"), "{problem:?}");
        let shown = edgectl(&failing.stack, &["models", "show", EITHER])?;
        ensure!(shown.contains("failures, tried again in ") && shown.contains(AT_LOAD), "{shown}");
        ensure!(edgectl(&failing.stack, &["status"])?.contains("it is tried again by itself at 2"));

        // The operator's word is a new beginning.
        failing.tell(EITHER, "Load").await?;
        let anew = |status: &Status| setup(status, EITHER, OPENVINO).is_ok_and(|setup| setup.failures == 1);
        failing.until("the count begins again", anew).await?;

        let stop = Arc::new(AtomicBool::new(false));
        let flows: Vec<_> = (0..2).map(|_| tokio::spawn(flow(failing.stack.bus.address(), stop.clone()))).collect();
        failing.switch_off("throws-at-load")?;
        let status = failing.served_by(OPENVINO).await?;
        ensure!(setup(&status, EITHER, OPENVINO)?.failures == 0, "{status:?}");
        let released = |status: &Status| setup(status, EITHER, "cpu").is_ok_and(|setup| setup.state == "standby");
        let status = failing.until("the stand-in is let go", released).await?;
        ensure!(status.state == "serving", "{:?}", status.problems);
        stop.store(true, Ordering::Relaxed);
        for flow in flows {
            ensure!(flow.await?? > 0, "nothing was asked while it came back");
        }
        ensure!(answered_by(&client, EITHER).await? == OPENVINO);
        Ok(())
    })?
}

#[test]
fn what_was_unloaded_by_hand_is_not_brought_back_by_a_retry() -> Result<()> {
    block_on(async {
        let Some(failing) = Failing::start(&["throws-at-load"], &[]).await? else { return Ok(()) };
        let failed = |status: &Status| setup(status, EITHER, OPENVINO).is_ok_and(|setup| setup.failures >= 1);
        failing.until("it has failed", failed).await?;
        failing.tell(EITHER, "Unload").await?;
        failing.switch_off("throws-at-load")?;
        let status = failing.stack.status().await?;
        for provider in [OPENVINO, "cpu"] {
            let found = setup(&status, EITHER, provider)?;
            ensure!(found.state == "unloaded" && found.retry_in_ms == 0, "{found:?}");
        }
        failing.tell(EITHER, "Load").await?;
        failing.served_by(OPENVINO).await.map(drop)
    })?
}

#[test]
fn a_provider_that_throws_at_every_run_is_replaced_by_the_next_and_comes_back() -> Result<()> {
    block_on(async {
        let Some(failing) = Failing::start(&[], &[]).await? else { return Ok(()) };
        let status = failing.served_by(OPENVINO).await?;
        let (first, client) = (host(&status, OPENVINO)?.pid, failing.stack.client().await?);
        ensure!(answered_by(&client, EITHER).await? == OPENVINO);
        failing.switch_on("throws-at-run")?;
        for round in 0..10 {
            let outcome = ask(&client, EITHER).await?;
            // One or two may be the fault of their requests; the third is tried elsewhere.
            if round < 2 {
                expect_no("a run that throws", &outcome, "internal", &[AT_RUN])?;
            } else {
                let yes = expect_yes("a sum", outcome)?;
                ensure!(yes.info["provider"] == "cpu", "{round}: {:?}", yes.info);
            }
        }
        let status = failing.served_by("cpu").await?;
        let failed = setup(&status, EITHER, OPENVINO)?;
        ensure!(failed.state == "failed" && failed.reason.contains(AT_RUN) && failed.failures == 1, "{failed:?}");
        ensure!(status.problems.iter().any(|problem| problem.what.contains(AT_RUN)), "{:?}", status.problems);
        // Its golden answers are asked of it before it serves again.
        let again = |status: &Status| setup(status, EITHER, OPENVINO).is_ok_and(|setup| setup.failures == 2);
        let status = failing.until("it was tried again", again).await?;
        let failed = setup(&status, EITHER, OPENVINO)?;
        ensure!(failed.reason.contains("golden/one.json") && failed.reason.contains(AT_RUN), "{failed:?}");
        failing.switch_off("throws-at-run")?;
        let status = failing.served_by(OPENVINO).await?;
        ensure!(host(&status, OPENVINO)?.pid != first && !alive(first), "its host was not started again: {status:?}");
        ensure!(answered_by(&client, EITHER).await? == OPENVINO);
        Ok(())
    })?
}

#[test]
fn where_nothing_can_stand_in_the_host_of_a_provider_that_throws_is_started_again() -> Result<()> {
    block_on(async {
        let alone = [("[\"openvino\", \"cpu\"]", "[\"openvino\"]")];
        let Some(failing) = Failing::with(&[], &["alone"], &alone).await? else { return Ok(()) };
        let status = failing.until("it is loaded", |status| all_ready(status, &["alone"])).await?;
        let (first, client) = (host(&status, OPENVINO)?.pid, failing.stack.client().await?);
        failing.switch_on("throws-at-run")?;
        for _ in 0..10 {
            expect_no("a run that throws", &ask(&client, "alone").await?, "internal", &[AT_RUN])?;
        }
        let again = |status: &Status| setup(status, "alone", OPENVINO).is_ok_and(|setup| setup.state == "failed");
        let status = failing.until("it fails its golden answer", again).await?;
        ensure!(!alive(first), "its host was not started again: {status:?}");
        let problem = status.problems.iter().find(|problem| problem.subject == "model alone:1.0.0");
        let problem = problem.with_context(|| format!("no problem: {:?}", status.problems))?;
        ensure!(problem.what.contains(AT_RUN) && problem.remedy.contains("tried again by itself"), "{problem:?}");
        failing.switch_off("throws-at-run")?;
        let serves = async || Ok(ask(&client, "alone").await?.ok());
        eventually("it serves again", PATIENCE, serves).await.with_context(|| failing.stack.logs()).map(drop)
    })?
}

#[test]
fn a_load_that_ends_its_host_is_tried_again_alone_and_harms_no_other_provider() -> Result<()> {
    block_on(async {
        let Some(failing) = Failing::start(&["crashes-at-load"], &[]).await? else { return Ok(()) };
        let client = failing.stack.client().await?;
        ensure!(answered_by(&client, EITHER).await? == "cpu");
        let first = failing.stack.host_pid().await?;
        let given_up = |status: &Status| setup(status, EITHER, OPENVINO).is_ok_and(|setup| setup.failures >= 1);
        let status = failing.until("it was given up", given_up).await?;
        let failed = setup(&status, EITHER, OPENVINO)?;
        ensure!(failed.reason.contains("its load ended the engine host twice"), "{failed:?}");
        ensure!(answered_by(&client, EITHER).await? == "cpu");
        failing.switch_off("crashes-at-load")?;
        failing.served_by(OPENVINO).await?;
        ensure!(failing.stack.host_pid().await? == first, "the host of the CPU provider is another one");
        Ok(())
    })?
}

#[test]
fn a_host_that_no_model_needs_ends_and_is_started_when_one_does() -> Result<()> {
    block_on(async {
        let Some(failing) = Failing::start(&[], &[]).await? else { return Ok(()) };
        let status = failing.served_by(OPENVINO).await?;
        let before = host(&status, OPENVINO)?.clone();
        failing.tell(EITHER, "Unload").await?;
        let idle = |status: &Status| host(status, OPENVINO).is_ok_and(|host| host.state == "idle");
        let status = failing.until("the host is idle", idle).await?;
        let found = host(&status, OPENVINO)?;
        ensure!(found.pid == 0 && !alive(before.pid) && found.reason.starts_with("no model needs it"), "{found:?}");
        let known = |host: &HostStatus| (host.plugin.clone(), host.provider_version.clone(), host.device.clone());
        ensure!(known(found) == known(&before), "{found:?} after {before:?}");
        ensure!(status.problems.is_empty(), "{:?}", status.problems);
        ensure!(edgectl(&failing.stack, &["status"])?.contains("provider openvino: idle (no model needs it"));
        ensure!(status.engine.pid > 0, "the first host stays");
        failing.tell(EITHER, "Load").await?;
        failing.served_by(OPENVINO).await?;
        ensure!(answered_by(&failing.stack.client().await?, EITHER).await? == OPENVINO);
        Ok(())
    })?
}

#[test]
fn a_runtime_that_keeps_the_memory_of_unloaded_models_is_replaced() -> Result<()> {
    block_on(async {
        let Some(failing) = Failing::start(&["keeps-memory"], &["too", "three"]).await? else { return Ok(()) };
        let status = failing.served_by(OPENVINO).await?;
        let all = |status: &Status| {
            ["too", "three"].iter().all(|name| setup(status, name, OPENVINO).is_ok_and(|setup| setup.state == "ready"))
        };
        failing.until("all are loaded", all).await?;
        let first = host(&status, OPENVINO)?.pid;
        let (with_three, client) = (usage::resident(first)?, failing.stack.client().await?);
        failing.tell("three", "Unload").await?;
        let replaced = |status: &Status| {
            let loaded = all_ready(status, &[EITHER, "too"]);
            loaded && host(status, OPENVINO).is_ok_and(|host| host.pid > 0 && host.pid != first)
        };
        let status = failing.until("the host is replaced", replaced).await?;
        let second = host(&status, OPENVINO)?.pid;
        ensure!(!alive(first));
        let with_two = usage::resident(second)?;
        ensure!(with_two + (64 << 20) < with_three, "{with_two} of {with_three} bytes");
        for model in [EITHER, "too"] {
            ensure!(answered_by(&client, model).await? == OPENVINO);
        }
        // The last ones: nobody needs the host any more.
        failing.tell("too", "Unload").await?;
        failing.tell(EITHER, "Unload").await?;
        let idle = |status: &Status| host(status, OPENVINO).is_ok_and(|host| host.state == "idle");
        failing.until("its memory is given back", idle).await?;
        ensure!(!alive(second));
        Ok(())
    })?
}

#[test]
fn a_host_that_keeps_memory_and_is_never_quiet_is_replaced_while_another_provider_serves() -> Result<()> {
    block_on(async {
        let Some(failing) = Failing::start(&["keeps-memory"], &["too"]).await? else { return Ok(()) };
        failing.until("both are loaded", |status| all_ready(status, &[EITHER, "too"])).await?;
        let status = failing.stack.status().await?;
        let (first, before) = (host(&status, OPENVINO)?.pid, status.counters);
        let stop = Arc::new(AtomicBool::new(false));
        let flows: Vec<_> = (0..2).map(|_| tokio::spawn(flow(failing.stack.bus.address(), stop.clone()))).collect();
        failing.tell("too", "Unload").await?;
        let replaced = |status: &Status| {
            let another = host(status, OPENVINO).is_ok_and(|host| host.pid > 0 && host.pid != first);
            another && all_ready(status, &[EITHER])
        };
        let status = failing.until("another host serves", replaced).await?;
        ensure!(!alive(first));
        stop.store(true, Ordering::Relaxed);
        for flow in flows {
            ensure!(flow.await?? > 0, "nothing was asked meanwhile");
        }
        // Not one of them was on the host when that ended.
        ensure!(status.counters.failed == before.failed, "{:?}", status.counters);
        let log = failing.stack.logs();
        ensure!(log.contains("others serve while its engine host is replaced"), "{log}");
        Ok(())
    })?
}

fn all_ready(status: &Status, models: &[&str]) -> bool {
    models.iter().all(|name| setup(status, name, OPENVINO).is_ok_and(|setup| setup.state == "ready" && setup.serving))
}
