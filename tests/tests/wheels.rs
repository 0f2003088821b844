//! ONNX Runtimes from wheels: one takes over while the daemon serves, one that breaks is taken back by itself, and whatever is no
//! good wheel, or does not fit, changes nothing. Each test has its own stack.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::disk::Small;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, ask, command, edgectl, right};
use edge_tests::wheels::{self, Fault, PLACE, Wheel};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

/// A stack whose daemon looks for its runtime; nothing of it runs but the bus.
fn stack() -> Result<Stack> {
    let stack = Setup::new().bundles(&[MODEL]).without_broker().without_library().prepare()?;
    stack.launch.write()?;
    Ok(stack)
}

/// `edgectl runtime` with the configuration of the stack: exit code, and what was answered and said, on one line.
fn runtime(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let config = stack.config_file().display().to_string();
    let (code, out, err) = edgectl(stack, &[&["runtime"], arguments, &["--config", &config]].concat())?;
    Ok((code, format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The record of a verb; its exit code has to be this.
fn record(stack: &Stack, arguments: &[&str], code: i32) -> Result<Value> {
    let config = stack.config_file().display().to_string();
    let words = [&["runtime"], arguments, &["--json", "--config", &config]].concat();
    let (ended, out, err) = edgectl(stack, &words)?;
    ensure!(ended == Some(code), "{arguments:?}: {ended:?}\n{out}\n{err}\n{}", stack.logs());
    Ok(serde_json::from_str(&out)?)
}

fn install(stack: &Stack, wheel: &Path, code: i32) -> Result<Value> {
    record(stack, &["install", wheel.to_str().context("a path")?], code)
}

fn word(record: &Value, key: &str) -> String {
    record[key].as_str().unwrap_or_default().to_owned()
}

fn shelf(stack: &Stack) -> PathBuf {
    stack.dir().join("runtimes")
}

/// Everything in the directory of runtimes but the locks.
fn names(stack: &Stack) -> Vec<String> {
    let entries = fs::read_dir(shelf(stack)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| ![".work", ".edgectl"].contains(&name.as_str()));
    names.sort();
    names
}

/// Where the link leads.
fn current(stack: &Stack) -> Option<String> {
    let to = fs::read_link(shelf(stack).join("current")).ok()?;
    Some(to.to_string_lossy().into_owned())
}

/// A wheel that is good here.
fn good(stack: &Stack, word: &str) -> Result<PathBuf> {
    wheels::good(&stack.dir().join(format!("{word}.whl")), word)
}

/// Runs a test whose clients ask while commands are waited for.
fn at_once(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(test)
}

/// Asks all the while, until told; how often there was an answer, which is right each time.
fn asking(stack: &Stack, over: &Arc<AtomicBool>) -> tokio::task::JoinHandle<Result<u32>> {
    let (address, over) = (stack.bus.address(), Arc::clone(over));
    tokio::spawn(async move {
        let client = BusClient::on_bus(&address).await?;
        let mut count = 0;
        while !over.load(Ordering::Relaxed) {
            let (version, answer) = ask(&client, MODEL).await?;
            ensure!(answer == right(&version), "{answer}");
            count += 1;
        }
        Ok(count)
    })
}

async fn ready(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let is_ready = async || Ok(client.status().await?.models.iter().any(|model| model.state == "ready").then_some(()));
    eventually("the model is ready", PATIENCE, is_ready).await.with_context(|| stack.logs())
}

#[test]
fn a_runtime_from_a_wheel_takes_over_while_requests_are_answered_and_can_be_gone_back_from() -> Result<()> {
    at_once(async {
        let mut stack = stack()?;
        let (first, second, third) = (good(&stack, "first")?, good(&stack, "second")?, good(&stack, "third")?);
        let checked = record(&stack, &["install", "--no-switch", first.to_str().context("a path")?], 0)?;
        ensure!(word(&checked, "outcome") == "checked" && names(&stack).is_empty(), "{checked} {:?}", names(&stack));
        let done = install(&stack, &first, 0)?;
        ensure!(word(&done, "outcome") == "installed" && word(&done, "serving").is_empty(), "{done}");
        ensure!(done["remarks"].to_string().contains("takes effect at the next start of edged"), "{done}");
        let one = word(&done, "id");
        stack.start_daemon().await?;
        ready(&stack).await?;
        let engine = stack.status().await?.engine;
        ensure!(engine.found_by == "installed" && engine.library.contains(&one), "{engine:?}");

        let over = Arc::new(AtomicBool::new(false));
        let asking = asking(&stack, &over);
        let before = stack.host_pid().await?;
        let done = tokio::task::block_in_place(|| install(&stack, &second, 0))?;
        let two = word(&done, "id");
        ensure!(word(&done, "outcome") == "installed" && word(&done, "current") == two && two != one, "{done}");
        ensure!(word(&done, "serving") == engine.version, "{done}");
        ensure!(
            done["models_ready"].to_string().contains("add:1.0.0") && done["removed"] == serde_json::json!([]),
            "{done}"
        );
        let engine = stack.status().await?.engine;
        ensure!(engine.library.contains(&two) && engine.pid != before, "{engine:?}");
        let again = tokio::task::block_in_place(|| install(&stack, &second, 0))?;
        ensure!(word(&again, "outcome") == "already_current", "{again}");

        // The current one and the one before are kept.
        let done = tokio::task::block_in_place(|| install(&stack, &third, 0))?;
        let three = word(&done, "id");
        ensure!(done["removed"] == serde_json::json!([one]), "{done}");
        let back = tokio::task::block_in_place(|| record(&stack, &["rollback"], 0))?;
        ensure!(word(&back, "outcome") == "rolled_back" && word(&back, "current") == two, "{back}");
        ensure!(stack.status().await?.engine.library.contains(&two));
        over.store(true, Ordering::Relaxed);
        ensure!(asking.await?? > 0, "requests were answered throughout");

        let list = record(&stack, &["list"], 0)?;
        let marks: Vec<(String, bool, bool)> = list["installed"]
            .as_array()
            .context("a list")?
            .iter()
            .map(|one| (word(one, "id"), one["current"] == true, one["previous"] == true))
            .collect();
        let mut expected = vec![(two.clone(), true, false), (three.clone(), false, true)];
        expected.sort();
        ensure!(marks == expected, "{list}");
        ensure!(list["installed"][0]["providers"].to_string().contains("cpu"), "{list}");

        let (code, said) = runtime(&stack, &["remove", &two])?;
        ensure!(code == Some(1) && said.contains("is the current one"), "{code:?} {said}");
        ensure!(word(&record(&stack, &["remove", &three], 0)?, "outcome") == "removed");
        ensure!(names(&stack) == [two.as_str(), "current"], "{:?}", names(&stack));
        Ok(())
    })
}

#[test]
fn a_runtime_with_which_models_fail_is_taken_back_by_itself() -> Result<()> {
    at_once(async {
        let mut stack = stack()?;
        let one = word(&install(&stack, &good(&stack, "first")?, 0)?, "id");
        stack.start_daemon().await?;
        ready(&stack).await?;
        let client = stack.client().await?;
        for fault in [Fault::Run, Fault::Ends] {
            let library = wheels::broken(stack.dir(), fault)?;
            let wheel = Wheel::at(&stack.dir().join("broken.whl")).library(library).write()?;
            let done = tokio::task::block_in_place(|| install(&stack, &wheel, 1))?;
            ensure!(word(&done, "outcome") == "taken_back" && word(&done, "current") == one, "{fault:?} {done}");
            ensure!(word(&done, "reason").contains("add:1.0.0 fails with it"), "{fault:?} {done}");
            ensure!(done["removed"] == serde_json::json!([word(&done, "id")]), "{fault:?} {done}");
            ensure!(names(&stack) == [one.as_str(), "current"], "{fault:?} {:?}", names(&stack));
            ready(&stack).await?;
            ensure!(ask(&client, MODEL).await? == ("1.0.0".into(), right("1.0.0")), "{fault:?}");
            ensure!(stack.status().await?.engine.library.contains(&one), "{fault:?}");
        }
        Ok(())
    })
}

/// Leaves half of the library of the current runtime, as a disk that goes wrong does.
fn halve(stack: &Stack) -> Result<()> {
    let current = shelf(stack).join("current").canonicalize()?;
    for entry in fs::read_dir(current)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so")) {
            let whole = fs::read(&path)?;
            fs::remove_file(&path)?;
            fs::write(&path, &whole[..whole.len() / 2])?;
        }
    }
    Ok(())
}

#[test]
fn from_a_runtime_that_broke_on_the_disk_rollback_and_install_lead_to_one_that_serves() -> Result<()> {
    at_once(async {
        let mut stack = stack()?;
        let one = word(&install(&stack, &good(&stack, "first")?, 0)?, "id");
        install(&stack, &good(&stack, "second")?, 0)?;
        for way in ["rollback", "install"] {
            halve(&stack)?;
            stack.start_daemon().await?;
            let told = async || {
                let problems = stack.status().await?.problems;
                Ok(problems.into_iter().find(|problem| problem.subject == "library"))
            };
            let told = eventually("the broken library is told", PATIENCE, told).await.with_context(|| stack.logs())?;
            ensure!(told.remedy.contains("edgectl runtime rollback"), "{told:?}");
            let back = tokio::task::block_in_place(|| match way {
                "rollback" => record(&stack, &["rollback"], 0),
                _ => install(&stack, &good(&stack, "third")?, 0),
            })?;
            ensure!((word(&back, "current") == one) == (way == "rollback"), "{way} {back}");
            ready(&stack).await.with_context(|| way)?;
            ensure!(ask(&stack.client().await?, MODEL).await? == ("1.0.0".into(), right("1.0.0")), "{way}");
        }
        Ok(())
    })
}

#[test]
fn whoever_keeps_files_to_himself_installs_for_the_service_all_the_same() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let stack = stack()?;
    let config = stack.config_file().display().to_string();
    let wheel = good(&stack, "first")?.display().to_string();
    let mut command = command(&stack, &["runtime", "install", &wheel, "--config", &config])?;
    // SAFETY: umask only, which may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
            Ok(())
        })
    };
    let done = command.output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mode = |path: PathBuf| Ok::<_, std::io::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    ensure!(mode(shelf(&stack))? == 0o755 && mode(shelf(&stack).join("current"))? == 0o755);
    fs::set_permissions(shelf(&stack), fs::Permissions::from_mode(0o700))?;
    let (code, said) = runtime(&stack, &["install", &wheel])?;
    ensure!(code == Some(1) && said.contains("chmod 755"), "{code:?} {said}");
    Ok(())
}

#[test]
fn a_named_library_comes_first_so_nothing_is_installed_that_would_not_be_used() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&[MODEL]).without_broker().prepare()?;
        stack.start_daemon().await?;
        let wheel = good(&stack, "first")?;
        let (code, said) = runtime(&stack, &["install", wheel.to_str().context("a path")?])?;
        ensure!(code == Some(1) && said.contains("`engine.library` names the library"), "{code:?} {said}");
        ensure!(names(&stack).is_empty());
        Ok(())
    })?
}

/// What is not as it should be, the wheel, and what has to be said of it.
type Bad = (&'static str, PathBuf, &'static [&'static str]);

fn bad_wheels(dir: &Path) -> Result<Vec<Bad>> {
    let at = |name: &str| dir.join(format!("{name}.whl"));
    let wheel = |name: &str| Wheel::at(&at(name));
    let write = |name: &str, content: &[u8]| -> Result<PathBuf> {
        fs::write(at(name), content)?;
        Ok(at(name))
    };
    let foreign = wheels::foreign(dir, &[])?;
    let whole = fs::read(wheel("whole").library(foreign.clone()).write()?)?;
    let half = whole.get(..whole.len() / 2).context("a half")?;
    fs::write(dir.join("libstub.so"), wheels::foreign(dir, &["-Wl,-soname,libcudnn.so.9"])?)?;
    let stub = dir.join("libstub.so").display().to_string();
    let needs_cudnn = wheels::foreign(dir, &["-Wl,--no-as-needed", &stub])?;
    let cuda = format!("{PLACE}libonnxruntime_providers_cuda.so");
    Ok(vec![
        ("is not there", at("missing"), &["open", "No such file"]),
        ("is a directory", dir.to_owned(), &["is no wheel: it is no file"]),
        ("is empty", write("empty", b"")?, &["is no wheel"]),
        ("is no zip file", write("text", b"hello")?, &["is no wheel: it cannot be read as a zip file"]),
        ("is cut short", write("half", half)?, &["is no wheel"]),
        (
            "is of something else",
            wheel("other").of("numpy", "2.0.0").write()?,
            &["is a wheel of numpy, not of ONNX Runtime"],
        ),
        ("has no library", wheel("none").write()?, &["has no onnxruntime/capi/libonnxruntime.so"]),
        (
            "leads out of its directory",
            wheel("out").library(foreign.clone()).with("../../../etc/cron.d/x", b"* * * * *".to_vec()).write()?,
            &["leads out of the directory", "no honest wheel"],
        ),
        (
            "is for another processor",
            wheel("machine").library(wheels::for_another_machine(foreign.clone())?).write()?,
            &["is for", "this machine is", "get the wheel whose name ends with"],
        ),
        (
            "is for a newer system",
            wheel("newer").library(wheels::for_a_newer_system(foreign.clone())?).write()?,
            &["needs GLIBC_9.", "of libc.so.6, this box has up to GLIBC_2."],
        ),
        (
            "is too old",
            wheel("old").of("onnxruntime-gpu", "1.12.0").library(foreign.clone()).write()?,
            &["ONNX Runtime 1.12.0 cannot be used: edged needs 1."],
        ),
        ("does not load", wheel("loads").library(foreign).write()?, &["the library in the wheel does not load"]),
        (
            "lacks what its provider needs",
            wheel("cudnn").library(wheels::real()?).with(&cuda, needs_cudnn).write()?,
            &[
                "none of its providers but the CPU's works here",
                "cuda: ",
                "needs libcudnn.so.9 (cuDNN 9, of JetPack 6.1 and later)",
            ],
        ),
    ])
}

#[test]
fn a_wheel_that_is_bad_or_does_not_fit_changes_nothing_and_says_why() -> Result<()> {
    let stack = stack()?;
    let one = word(&install(&stack, &good(&stack, "first")?, 0)?, "id");
    for (what, wheel, says) in bad_wheels(stack.dir())? {
        let (code, said) = runtime(&stack, &["install", wheel.to_str().context("a path")?])?;
        ensure!(code == Some(1) && says.iter().all(|part| said.contains(part)), "{what}: {code:?} {said}");
        ensure!(names(&stack) == [one.as_str(), "current"], "{what}: {:?}", names(&stack));
    }
    ensure!(current(&stack) == Some(one));
    Ok(())
}

#[test]
fn who_is_not_root_and_who_comes_second_hear_it_before_anything_is_done() -> Result<()> {
    let stack = stack()?;
    let wheel = good(&stack, "first")?;
    let wheel = wheel.to_str().context("a path")?;
    fs::create_dir(shelf(&stack))?;
    let held = File::create(shelf(&stack).join(".edgectl"))?;
    flock(&held, FlockOperation::NonBlockingLockExclusive)?;
    let (code, said) = runtime(&stack, &["install", wheel])?;
    ensure!(code == Some(1) && said.contains("another `edgectl runtime` is at work"), "{code:?} {said}");
    drop(held);
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: another user can be become by root alone");
        return Ok(());
    }
    // Everybody may get here, but may not write.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(stack.dir(), open)?;
    let config = stack.config_file().display().to_string();
    let mut command = command(&stack, &["runtime", "install", wheel, "--config", &config, "--bus", "system"])?;
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent").uid(65534).gid(65534);
    let done = command.output()?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.code() == Some(4) && said.contains("run this as root"), "{:?} {said}", done.status);
    ensure!(names(&stack).is_empty());
    Ok(())
}

#[test]
fn a_disk_without_room_is_told_before_anything_is_written() -> Result<()> {
    let stack = stack()?;
    let wheel = good(&stack, "first")?;
    let Some(_disk) = Small::mount(&shelf(&stack), 8 << 10)? else { return Ok(()) };
    let (code, said) = runtime(&stack, &["install", wheel.to_str().context("a path")?])?;
    ensure!(code == Some(1) && said.contains("make room there (nothing was changed)"), "{code:?} {said}");
    ensure!(names(&stack).is_empty(), "{:?}", names(&stack));
    Ok(())
}

/// Starts an installation in a process group of its own, and kills all of it after this time; whether it had
/// done its work before. The one before it may still be on its way out, and hold the lock: then this one has said so, and did nothing.
async fn killed_after(stack: &Stack, wheel: &Path, time: Duration) -> Result<bool> {
    let config = stack.config_file().display().to_string();
    let wheel = wheel.to_str().context("a path")?;
    let mut command = command(stack, &["runtime", "install", wheel, "--config", &config])?;
    let said = stack.dir().join("said");
    let mut child = command.process_group(0).stdout(Stdio::null()).stderr(File::create(&said)?).spawn()?;
    tokio::time::sleep(time).await;
    let Some(status) = child.try_wait()? else {
        kill_process_group(Pid::from_child(&child), Signal::KILL)?;
        child.wait()?;
        return Ok(false);
    };
    let said = fs::read_to_string(&said)?;
    let is_held = ["another `edgectl runtime` is at work", "is being worked on by another run"];
    ensure!(status.success() || is_held.iter().any(|words| said.contains(words)), "{status}: {said}");
    Ok(status.success())
}

#[test]
fn whoever_is_killed_while_installing_leaves_the_runtime_before_or_the_new_one() -> Result<()> {
    let stack = stack()?;
    let one = word(&install(&stack, &good(&stack, "first")?, 0)?, "id");
    let second = good(&stack, "second")?;
    // From the first instructions to the end, in steps that are far shorter than any part of the work.
    let mut seen = Vec::new();
    for step in 0..60 {
        let ended = block_on(killed_after(&stack, &second, Duration::from_millis(30 * step)))??;
        let now = current(&stack).context("one is current at any time")?;
        let library = fs::read_dir(shelf(&stack).join("current"))?.flatten();
        ensure!(library.count() == 2, "the library and its record");
        seen.push(now.clone());
        if ended {
            ensure!(now != one);
            break;
        }
    }
    let done = install(&stack, &second, 0)?;
    let two = word(&done, "id");
    ensure!(current(&stack).as_ref() == Some(&two) && seen.iter().all(|id| *id == one || *id == two), "{seen:?}");
    let mut expected = vec![one, two, "current".into(), "previous".into()];
    expected.sort();
    ensure!(names(&stack) == expected, "what was left over is gone: {:?}", names(&stack));
    Ok(())
}
