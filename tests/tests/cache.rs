//! What a provider compiled is kept from one start to the next, is never handed to it when anything about it is wrong, and
//! keeps no model from being served.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Tensor, expect_yes};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::provider::{OPENVINO, openvino, openvino_held, openvino_without_reader};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::{CacheEntry, JobStatus, SetupStatus, Status};
use edge_wire::names::{job_path, model_path};
use edge_wire::proxy::{JobProxy, ModelProxy, ModelsProxy};
use tempfile::TempDir;

/// Adds, on OpenVINO or else on the CPU.
const MODEL: &str = "either";

/// A stack of that model, with OpenVINO in a directory of its own; `None` where there is none.
fn stack(more: &str) -> Result<Option<(Setup, TempDir)>> {
    let dir = tempfile::tempdir()?;
    let there = openvino(&dir.path().join(OPENVINO))?;
    Ok(there.then(|| (setup_in(dir.path(), more), dir)))
}

fn setup_in(providers: &Path, more: &str) -> Setup {
    let engine = format!("[engine]\nproviders_dir = '{}'\n{more}", providers.display());
    Setup::new().bundles(&[MODEL]).without_broker().config(&engine)
}

fn on<'a>(status: &'a Status, provider: &str) -> Result<&'a SetupStatus> {
    let setups = status.models.first().context("no model")?.setups.iter();
    setups.clone().find(|setup| setup.provider == provider).with_context(|| format!("no setup on {provider}"))
}

/// Waits until OpenVINO serves and this is said of what it compiled.
async fn served(stack: &Stack, word: &str) -> Result<Status> {
    let client = stack.client().await?;
    let serves = async || {
        let status = client.status().await?;
        let setup = on(&status, OPENVINO)?;
        Ok((setup.serving && setup.state == "ready" && setup.cache == word).then_some(status))
    };
    let status = eventually(&format!("{OPENVINO} serves, cache {word}"), PATIENCE, serves).await;
    let status = status.with_context(|| stack.logs())?;
    add(stack, OPENVINO).await?;
    Ok(status)
}

async fn add(stack: &Stack, provider: &str) -> Result<()> {
    let ones = |name| Tensor::fp32(name, &[1, 4], &[1.0; 4]);
    let outcome = stack.client().await?.infer(MODEL, &[ones("a"), ones("b")], &Options::default()).await?;
    let yes = expect_yes("a sum", outcome)?;
    ensure!(yes.output("c")?.floats()? == [2.0; 4] && yes.info["provider"] == provider, "{yes:?}");
    Ok(())
}

async fn connection(stack: &Stack) -> Result<zbus::Connection> {
    Ok(zbus::connection::Builder::address(stack.bus.address().as_str()).build().await?)
}

async fn entries(stack: &Stack) -> Result<Vec<CacheEntry>> {
    let connection = connection(stack).await?;
    Ok(serde_json::from_str(&ModelsProxy::new(&connection).await?.cache().await?)?)
}

async fn clear(stack: &Stack) -> Result<(u32, u64)> {
    let connection = connection(stack).await?;
    Ok(ModelsProxy::new(&connection).await?.clear_cache(&Default::default()).await?)
}

/// The only entry.
fn entry(stack: &Stack) -> Result<PathBuf> {
    let mut all = fs::read_dir(stack.dir().join("cache/engines"))?.collect::<Result<Vec<_>, _>>()?;
    ensure!(all.len() == 1, "{all:?}");
    Ok(all.remove(0).path())
}

/// Which file it is that the provider left, and when it was written.
fn blob(stack: &Stack) -> Result<(u64, std::time::SystemTime)> {
    let mut files = fs::read_dir(entry(stack)?)?.filter_map(|file| Some(file.ok()?.path()));
    let blob = files.find(|path| path.extension().is_some_and(|end| end == "blob")).context("no blob")?;
    let meta = blob.metadata()?;
    Ok((meta.ino(), meta.modified()?))
}

#[test]
fn the_second_start_finds_what_the_first_one_compiled() -> Result<()> {
    block_on(async {
        let Some((setup, _dir)) = stack("")? else { return Ok(()) };
        let mut stack = setup.start().await?;
        let status = served(&stack, "built").await?;
        let host = status.engine.hosts.iter().find(|host| host.provider == OPENVINO).context("no host")?;
        ensure!(!host.provider_version.is_empty() && !host.device.is_empty(), "{host:?}");
        let job = status.jobs.first().context("no job")?;
        ensure!((job.operation.as_str(), job.state.as_str()) == ("build", "done"), "{job:?}");
        let kept = entries(&stack).await?;
        ensure!(kept.len() == 1 && kept[0].in_use && kept[0].model == MODEL && kept[0].bytes > 0, "{kept:?}");

        let compiled = blob(&stack)?;
        stack.start_daemon().await?;
        let status = served(&stack, "hit").await?;
        ensure!(status.jobs.is_empty() && status.problems.is_empty(), "{status:?}");
        ensure!(stack.daemon()?.process.log().contains("loaded what was compiled before"), "{}", stack.logs());
        ensure!(blob(&stack)? == compiled, "the provider compiled again, and wrote over what it was handed");
        Ok(())
    })?
}

#[test]
fn a_provider_that_does_not_take_what_it_compiled_is_told_of() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        if !openvino_without_reader(&dir.path().join(OPENVINO), &dir.path().join("copy"))? {
            return Ok(());
        }
        let mut stack = setup_in(dir.path(), "").start().await?;
        served(&stack, "built").await?;
        stack.start_daemon().await?;
        let status = served(&stack, "none").await?;
        let problem = status.problems.iter().find(|problem| problem.subject.contains(MODEL)).context("no problem")?;
        ensure!(problem.what.contains("does not take what it compiled before"), "{problem:?}");
        ensure!(problem.remedy.contains("engine.providers_dir"), "{problem:?}");
        ensure!(entries(&stack).await?.is_empty(), "what was never sealed is kept");
        Ok(())
    })?
}

/// Spoils the entry between two starts: it is compiled again, and the log says this of it.
fn spoiled(spoil: impl FnOnce(&Path) -> Result<()>, said: &str) -> Result<()> {
    block_on(async {
        let Some((setup, _dir)) = stack("")? else { return Ok(()) };
        let mut stack = setup.start().await?;
        served(&stack, "built").await?;
        stack.daemon_mut()?.terminate()?;
        let entry = entry(&stack)?;
        spoil(&entry)?;
        stack.start_daemon().await?;
        served(&stack, "built").await?;
        let log = stack.daemon()?.process.log();
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let line =
            log.lines().find(|line| line.contains("a compiled engine is not used")).with_context(|| log.clone())?;
        ensure!(line.contains(&name) && line.contains(said), "{line}");
        stack.start_daemon().await?;
        served(&stack, "hit").await?;
        Ok(())
    })?
}

#[test]
fn a_blob_that_was_cut_short_is_compiled_again() -> Result<()> {
    let cut = |entry: &Path| {
        let mut files = fs::read_dir(entry)?.filter_map(|file| Some(file.ok()?.path()));
        let blob = files.find(|path| path.extension().is_none_or(|end| end != "json")).context("no blob")?;
        let file = fs::OpenOptions::new().write(true).open(&blob)?;
        Ok(file.set_len(file.metadata()?.len() / 2)?)
    };
    spoiled(cut, "were sealed")
}

#[test]
fn what_was_compiled_on_another_device_is_not_loaded() -> Result<()> {
    let foreign = |entry: &Path| {
        let file = entry.join("key.json");
        let mut key: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
        key["device"] = "another processor".into();
        fs::remove_file(&file)?;
        Ok(fs::write(&file, key.to_string())?)
    };
    spoiled(foreign, "it was compiled for something else")
}

/// A disk of its own, unmounted with the value.
struct Disk(PathBuf);

impl Disk {
    /// `None`, and a word about it, where nothing can be mounted.
    fn mount(at: PathBuf, size: &str) -> Result<Option<Disk>> {
        fs::create_dir(&at)?;
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(&at).output()?;
        if !mount.status.success() {
            println!("SKIPPED: a disk of its own needs a mount: {}", String::from_utf8_lossy(&mount.stderr));
            return Ok(None);
        }
        Ok(Some(Disk(at)))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the daemon may still look at it.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

/// The model is served by what was compiled and is not kept, and status says why.
async fn served_without_cache(stack: &Stack, why: &str) -> Result<()> {
    served(stack, "none").await?;
    let client = stack.client().await?;
    // What a load left is looked at after the model serves.
    let told = async || {
        let status = client.status().await?;
        Ok(status.problems.iter().any(|problem| problem.subject == "cache").then_some(status))
    };
    let status = eventually("the cache is a problem", PATIENCE, told).await.with_context(|| stack.logs())?;
    ensure!(status.state == "degraded" && status.problems[0].what.contains(why), "{:?}", status.problems);
    ensure!(status.jobs.len() == 1 && status.jobs[0].state == "done", "{:?}", status.jobs);
    // A place that cannot even be read is a "no" with the reason.
    match entries(stack).await {
        Ok(kept) => ensure!(kept.is_empty(), "{kept:?}"),
        Err(no) => ensure!(no.to_string().contains(why), "{no}"),
    }
    add(stack, OPENVINO).await
}

#[test]
fn where_nothing_can_be_written_the_model_is_served_and_that_is_said() -> Result<()> {
    block_on(async {
        let place = tempfile::tempdir()?;
        fs::write(place.path().join("file"), "")?;
        let cache = place.path().join("file/cache");
        let Some((setup, _dir)) = stack(&format!("[cache]\ndir = '{}'", cache.display()))? else { return Ok(()) };
        served_without_cache(&setup.start().await?, "Not a directory").await
    })?
}

#[test]
fn on_a_full_disk_the_model_is_served_and_that_is_said() -> Result<()> {
    block_on(async {
        let place = tempfile::tempdir()?;
        let Some(disk) = Disk::mount(place.path().join("disk"), "64k")? else { return Ok(()) };
        let Some((setup, _dir)) = stack(&format!("[cache]\ndir = '{}'", disk.0.display()))? else { return Ok(()) };
        served_without_cache(&setup.start().await?, "is full").await
    })?
}

#[test]
fn a_disk_that_fills_up_while_a_model_is_compiled_keeps_it_from_nothing() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let pipe = dir.path().join("pipe");
        if !openvino_held(&dir.path().join(OPENVINO), &pipe)? {
            return Ok(());
        }
        make_pipe(&pipe)?;
        let Some(disk) = Disk::mount(dir.path().join("disk"), "8m")? else { return Ok(()) };
        let stack = setup_in(dir.path(), &format!("[cache]\ndir = '{}'", disk.0.display())).start().await?;
        job(&stack, "compiling").await?;
        let filled = fs::write(disk.0.join("filler"), vec![1; 16 << 20]);
        ensure!(filled.is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull), "the disk is not full");
        release(&pipe)?;
        served_without_cache(&stack, "").await
    })?
}

#[test]
fn clearing_leaves_what_is_in_use_and_takes_the_rest() -> Result<()> {
    block_on(async {
        let Some((setup, _dir)) = stack("")? else { return Ok(()) };
        let stack = setup.start().await?;
        served(&stack, "built").await?;
        ensure!(clear(&stack).await? == (0, 0), "an entry in use was removed");
        add(&stack, OPENVINO).await?;
        let connection = connection(&stack).await?;
        let model = ModelProxy::new(&connection, model_path(MODEL, "1.0.0")).await?;
        model.unload(&Default::default()).await?;
        let (removed, bytes) = clear(&stack).await?;
        ensure!(removed == 1 && bytes > 0 && entries(&stack).await?.is_empty(), "{removed}, {bytes}");
        model.load(&Default::default()).await?;
        served(&stack, "built").await?;
        Ok(())
    })?
}

#[test]
fn a_build_that_is_given_up_leaves_the_model_to_the_next_provider_until_it_is_asked_for_again() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let pipe = dir.path().join("pipe");
        if !openvino_held(&dir.path().join(OPENVINO), &pipe)? {
            return Ok(());
        }
        make_pipe(&pipe)?;
        // The CPU stands in as soon as it is seen that the build takes long.
        let stack = setup_in(dir.path(), "").start().await?;
        add(&stack, "cpu").await?;
        let job = job(&stack, "compiling").await?;
        ensure!((job.state.as_str(), job.percent) == ("running", -1), "{job:?}");
        let building = stack.dir().join("cache/building");
        ensure!(fs::read_dir(&building)?.count() == 1, "it compiles elsewhere");

        let connection = connection(&stack).await?;
        JobProxy::new(&connection, job_path(job.id)).await?.cancel(&Default::default()).await?;
        let status = stack.status().await?;
        let setup = on(&status, OPENVINO)?;
        ensure!(status.jobs[0].state == "cancelled", "{:?}", status.jobs);
        ensure!(setup.state == "failed" && setup.reason.starts_with("cancelled by the operator"), "{setup:?}");
        add(&stack, "cpu").await?;
        // It is still at it: its host is ended.
        let client = stack.client().await?;
        let ended = async || {
            let status = client.status().await?;
            Ok(status.engine.hosts.iter().any(|host| host.provider == OPENVINO && host.pid == 0).then_some(()))
        };
        eventually("the host that goes on is ended", PATIENCE, ended).await.with_context(|| stack.logs())?;
        add(&stack, "cpu").await?;
        ensure!(fs::read_dir(&building)?.count() == 0, "what was begun is still there");

        fs::remove_file(&pipe)?;
        let model = ModelProxy::new(&connection, model_path(MODEL, "1.0.0")).await?;
        model.load(&Default::default()).await?;
        served(&stack, "built").await?;
        Ok(())
    })?
}

#[test]
fn a_build_that_takes_long_is_a_job_until_it_serves() -> Result<()> {
    block_on(async {
        let dir = tempfile::tempdir()?;
        let pipe = dir.path().join("pipe");
        if !openvino_held(&dir.path().join(OPENVINO), &pipe)? {
            return Ok(());
        }
        make_pipe(&pipe)?;
        let stack = setup_in(dir.path(), "").start().await?;
        add(&stack, "cpu").await?;
        job(&stack, "compiling").await?;
        release(&pipe)?;
        let status = served(&stack, "built").await?;
        ensure!(status.jobs.len() == 1 && status.jobs[0].state == "done", "{:?}", status.jobs);
        Ok(())
    })?
}

/// Makes the pipe that holds builds up.
fn make_pipe(pipe: &Path) -> Result<()> {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    Ok(rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, mode, 0)?)
}

/// Lets the build go on, and holds no other up.
fn release(pipe: &Path) -> Result<()> {
    // Opened for both ways, so that it is not waited for; whoever reads sees a writer.
    let writer = fs::OpenOptions::new().read(true).write(true).open(pipe)?;
    fs::remove_file(pipe)?;
    drop(writer);
    Ok(())
}

/// The only job, once it is in this phase.
async fn job(stack: &Stack, phase: &str) -> Result<JobStatus> {
    let client = stack.client().await?;
    let found = async || Ok(client.status().await?.jobs.into_iter().find(|job| job.phase == phase));
    eventually(&format!("a job is {phase}"), PATIENCE, found).await.with_context(|| stack.logs())
}

#[test]
fn what_is_compiled_to_be_measured_is_kept_and_a_measurement_gives_its_places_back() -> Result<()> {
    block_on(async {
        let Some((setup, _dir)) = stack("")? else { return Ok(()) };
        let stack = setup.start().await?;
        served(&stack, "built").await?;
        let connection = connection(&stack).await?;
        let builder = ModelProxy::builder(&connection).path(model_path(MODEL, "1.0.0"));
        let model = builder.build().await?;
        for _turn in 0..2 {
            let job = model.tune(&Default::default()).await?;
            let number: u64 = job.as_str().rsplit('/').next().context("a path has parts")?.parse()?;
            let client = stack.client().await?;
            let over = async || {
                let jobs = client.status().await?.jobs;
                Ok(jobs.into_iter().find(|job| job.id == number && job.state != "running"))
            };
            let job = eventually("the measurement is over", PATIENCE * 3, over).await.with_context(|| stack.logs())?;
            ensure!(job.state == "done", "{job:?}\n{}", stack.logs());
            // Two splits of two cores or one of one, exact and reduced; the second time all of it is found again.
            let kept = entries(&stack).await?;
            let cores = std::thread::available_parallelism()?.get();
            let splits = usize::try_from(cores.ilog2())? + 1 + usize::from(!cores.is_power_of_two());
            ensure!(kept.len() == 2 * splits || cores > 16, "{kept:?}");
            let building = stack.dir().join("cache/building");
            ensure!(fs::read_dir(&building)?.next().is_none(), "a place was not given back");
        }
        Ok(())
    })?
}
