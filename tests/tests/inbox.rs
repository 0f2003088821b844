//! The folder in which a technician drops bundles: what a running daemon, and one that is killed, makes of what lies there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::Daemon;
use edge_tests::origin::bundles;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, archive, ask, bundle, done, pack, right};
use edge_wire::dto::Status;
use serde_json::Value;

/// Some other model serves, so that the first version that is dropped is the only one of its name.
fn stack(config: &str) -> Result<Stack> {
    let stack = Setup::new().bundles(&["spin"]).without_broker().config(config).prepare()?;
    fs::create_dir_all(inbox(&stack))?;
    Ok(stack)
}

fn inbox(stack: &Stack) -> PathBuf {
    stack.dir().join("inbox")
}

/// Puts a file there at once, as a rename does.
fn drop_in(stack: &Stack, file: &Path) -> Result<()> {
    let name = file.file_name().context("a name")?;
    let part = inbox(stack).join(".part");
    fs::copy(file, &part)?;
    Ok(fs::rename(part, inbox(stack).join(name))?)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn empty(stack: &Stack) -> Option<()> {
    names(&inbox(stack)).is_empty().then_some(())
}

/// What the history says: who, deed, model, result and detail.
fn history(stack: &Stack) -> Result<Vec<String>> {
    let history: Vec<Value> = serde_json::from_str(&done(stack, &["models", "history", "--json"])?)?;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    Ok(history
        .iter()
        .map(|entry| ["who", "what", "model", "result", "detail"].map(|key| text(entry, key)).join(" "))
        .collect())
}

fn problems(status: &Status) -> Vec<String> {
    let of_inbox = status.problems.iter().filter(|problem| problem.subject == "inbox");
    of_inbox.map(|problem| problem.what.clone()).collect()
}

#[test]
fn what_is_dropped_is_installed_and_goes_and_of_two_versions_the_newest_serves() -> Result<()> {
    block_on(async {
        let mut stack = stack("")?;
        let first = pack(&stack, &bundle(&stack, "1.0.0", false)?)?;
        let second = archive(&stack, "2.0.0")?;
        let third = archive(&stack, "3.0.0")?;
        for (file, name) in [(&first, "add-1.0.0.edgemodel"), (&second, "add-2.0.0.edgemodel")] {
            fs::copy(file, inbox(&stack).join(name))?;
        }
        stack.start_daemon().await?;
        eventually("both are installed", PATIENCE, async || Ok(empty(&stack))).await.with_context(|| stack.logs())?;
        let client = stack.client().await?;
        let serves = async || Ok(ask(&client, MODEL).await.ok().filter(|(version, _)| version == "2.0.0"));
        let (version, answer) = eventually("the newest serves", PATIENCE, serves).await?;
        ensure!(answer == right(&version), "{version} answered {answer}");
        let told = history(&stack)?;
        ensure!(told.contains(&"inbox install add:2.0.0 done add-2.0.0.edgemodel: unsigned".to_owned()), "{told:?}");
        ensure!(told.contains(&"inbox install add:1.0.0 done add-1.0.0.edgemodel: unsigned".to_owned()), "{told:?}");
        ensure!(told.contains(&"inbox activate add:2.0.0 done ".to_owned()), "{told:?}");
        // While it runs, too: it is put beside what serves, as everywhere.
        fs::rename(&third, inbox(&stack).join("whatever.edgemodel"))?;
        eventually("the third is installed", PATIENCE, async || Ok(empty(&stack)))
            .await
            .with_context(|| stack.logs())?;
        ensure!(stack.dir().join("bundles/add-3.0.0/model.toml").exists());
        let told = history(&stack)?;
        ensure!(
            told.last().is_some_and(|last| last == "inbox install add:3.0.0 done whatever.edgemodel: unsigned"),
            "{told:?}"
        );
        ensure!(ask(&client, MODEL).await?.0 == "2.0.0");
        // The very same again: it was there already, and the file goes.
        drop_in(&stack, &second)?;
        done(&stack, &["reload"])?;
        eventually("it goes", PATIENCE, async || Ok(empty(&stack))).await?;
        let told = history(&stack)?;
        ensure!(told.last().is_some_and(|last| last.contains("it was there already")), "{told:?}");
        ensure!(stack.status().await?.state == "serving", "{:?}", stack.status().await?.problems);
        Ok(())
    })?
}

#[test]
fn what_is_refused_is_put_aside_with_its_reason_and_nothing_else_is_touched() -> Result<()> {
    block_on(async {
        let mut stack = stack("[models]\nallow_unsigned = false")?;
        let signed = bundle(&stack, "1.0.0", false)?;
        done(&stack, &["models", "keygen", "ours", "--no-password"])?;
        fs::create_dir_all(stack.dir().join("keys.d"))?;
        fs::copy(stack.dir().join("ours.pub"), stack.dir().join("keys.d/ours.pub"))?;
        done(&stack, &["models", "sign", signed.to_str().context("a path")?, "--key", "ours.key"])?;
        let signed = pack(&stack, &signed)?;
        let unsigned = archive(&stack, "2.0.0")?;
        let other = bundle(&stack, "3.0.0", true)?;
        fs::copy(stack.dir().join("made-1.0.0/model.toml.minisig"), other.join("model.toml.minisig"))?;
        let other = pack(&stack, &other)?;
        let at = |name: &str| inbox(&stack).join(format!("{name}.edgemodel"));
        fs::copy(&signed, at("good"))?;
        fs::copy(&unsigned, at("unsigned"))?;
        fs::copy(&other, at("other"))?;
        fs::write(at("rubbish"), "this is no archive at all, and never was one")?;
        let mut spoilt = fs::read(&signed)?;
        let middle = spoilt.len() / 2;
        spoilt[middle] ^= 1;
        fs::write(at("spoilt"), spoilt)?;
        symlink(&signed, at("link"))?;
        symlink("/dev/zero", at("zero"))?;
        fs::create_dir(at("directory"))?;
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status()?;
        ensure!(made.success());
        fs::write(inbox(&stack).join("notes.txt"), "leave me")?;
        stack.start_daemon().await?;
        let settled = async || Ok(names(&inbox(&stack)).iter().all(|name| !name.ends_with(".edgemodel")).then_some(()));
        eventually("everything was looked at", PATIENCE, settled).await.with_context(|| stack.logs())?;
        let expected = [
            ("unsigned", "no model.toml.minisig"),
            ("other", "is of another manifest"),
            ("rubbish", "read the archive"),
            ("spoilt", ""),
            ("link", "it is a link: only files"),
            ("zero", "it is a link: only files"),
            ("directory", "it is a directory: only files"),
            ("pipe", "it is a pipe: only files"),
        ];
        let mut left = vec!["notes.txt".to_owned()];
        for (name, why) in expected {
            let reason = fs::read_to_string(inbox(&stack).join(format!("{name}.edgemodel.refused.txt")))?;
            ensure!(reason.contains(why), "{name}: {reason}");
            left.extend([format!("{name}.edgemodel.refused"), format!("{name}.edgemodel.refused.txt")]);
            let told = history(&stack)?;
            let noted = |deed: &&String| deed.starts_with(&format!("inbox install a bundle failed {name}.edgemodel: "));
            ensure!(told.iter().filter(noted).count() == 1, "{name}: {told:?}");
        }
        left.sort();
        ensure!(names(&inbox(&stack)) == left, "{:?}", names(&inbox(&stack)));
        ensure!(signed.exists() && Path::new("/dev/zero").exists());
        // It is loaded when its installation has ended.
        let client = stack.client().await?;
        let serves = async || Ok(ask(&client, MODEL).await.ok());
        eventually("what is good serves", PATIENCE, serves).await.with_context(|| stack.logs())?;
        let told = async || Ok(Some(problems(&stack.status().await?)).filter(|told| told.len() == expected.len()));
        let told = eventually("each is a problem", PATIENCE, told).await?;
        ensure!(told.iter().any(|what| what.contains("unsigned.edgemodel.refused: no model.toml.minisig")), "{told:?}");
        // Once they are gone, so are the problems.
        for name in left.iter().filter(|name| name.as_str() != "notes.txt") {
            let path = inbox(&stack).join(name);
            if path.is_dir() { fs::remove_dir(path)? } else { fs::remove_file(path)? }
        }
        let well = async || Ok(problems(&stack.status().await?).is_empty().then_some(()));
        eventually("nothing is wrong any more", PATIENCE, well).await.with_context(|| stack.logs())
    })?
}

#[test]
fn a_file_that_grows_is_waited_for_and_one_that_is_cut_is_not_judged_at_once() -> Result<()> {
    block_on(async {
        let mut stack = stack("")?;
        let bytes = fs::read(archive(&stack, "2.0.0")?)?;
        let path = inbox(&stack).join("add.edgemodel");
        let (begin, rest) = bytes.split_at(bytes.len() / 2);
        fs::write(&path, begin)?;
        stack.start_daemon().await?;
        let tried = async || {
            let jobs = stack.status().await?.jobs;
            Ok(jobs.into_iter().find(|job| job.operation == "install" && job.state == "failed"))
        };
        let job = eventually("it was tried", PATIENCE, tried).await.with_context(|| stack.logs())?;
        ensure!(job.detail == "add.edgemodel" && job.last_error.contains("read the archive"), "{job:?}");
        ensure!(names(&inbox(&stack)) == ["add.edgemodel"] && history(&stack)?.is_empty());
        let mut file = fs::File::options().append(true).open(&path)?;
        std::io::Write::write_all(&mut file, rest)?;
        eventually("the whole is installed", PATIENCE, async || Ok(empty(&stack)))
            .await
            .with_context(|| stack.logs())?;
        ensure!(stack.dir().join("bundles/add-2.0.0/model.toml").exists());
        Ok(())
    })?
}

#[test]
fn a_folder_that_is_switched_off_is_left_alone() -> Result<()> {
    block_on(async {
        let mut stack = stack("[models]\ninbox = \"\"")?;
        fs::write(inbox(&stack).join("x.edgemodel"), "rubbish")?;
        stack.start_daemon().await?;
        done(&stack, &["reload"])?;
        done(&stack, &["models", "history"])?;
        ensure!(names(&inbox(&stack)) == ["x.edgemodel"]);
        Ok(())
    })?
}

#[test]
fn killed_at_any_moment_it_is_installed_once() -> Result<()> {
    block_on(async {
        let mut stack = stack("")?;
        let (file, _) = bundles::archive(stack.dir(), 12 << 20)?;
        let (bundles, inbox) = (stack.dir().join("bundles"), inbox(&stack));
        let mut interrupted = 0;
        for round in 0..10u64 {
            drop_in(&stack, &file)?;
            for kill in 0..3u64 {
                let mut daemon = Daemon::spawn(&stack.launch)?;
                // While it is unpacked, when it is in its place, and when its file has gone; as near as it can be seen.
                let reached = || {
                    let gone = names(&inbox).is_empty();
                    let found = names(&bundles);
                    match kill {
                        0 => gone || found.iter().any(|name| name.starts_with('.')),
                        1 => gone || found.iter().any(|name| name == "add-2.0.0"),
                        _ => gone,
                    }
                };
                eventually("it is far enough to be killed", PATIENCE, async || Ok(reached().then_some(()))).await?;
                daemon.process.crash()?;
                let staged = names(&bundles).iter().any(|name| name.starts_with('.'));
                interrupted += u32::from(staged || !names(&inbox).is_empty());
            }
            stack.start_daemon().await?;
            eventually("it is installed", PATIENCE, async || Ok(empty(&stack))).await.with_context(|| stack.logs())?;
            ensure!(names(&bundles) == ["add-2.0.0", "spin"], "round {round}: {:?}", names(&bundles));
            edge_engine::bundle::verify(&edge_engine::bundle::open(&bundles.join("add-2.0.0"))?)?;
            let client = stack.client().await?;
            let serves = async || Ok(ask(&client, MODEL).await.ok());
            let (version, answer) = eventually("it serves", PATIENCE, serves).await.with_context(|| stack.logs())?;
            ensure!((version.as_str(), answer) == ("2.0.0", 3.0), "round {round}: {version} {answer}");
            let told = history(&stack)?;
            ensure!(told.iter().all(|deed| !deed.contains("failed")), "round {round}: {told:?}");
            let installed = told.iter().filter(|deed| deed.ends_with("add-2.0.0.edgemodel: unsigned")).count();
            let again = told.iter().filter(|deed| deed.contains("it was there already")).count();
            ensure!(installed + again > 0 && installed <= 1, "round {round}: {told:?}");
            ensure!(stack.status().await?.problems.is_empty(), "round {round}: {:?}", stack.status().await?.problems);
            stack.daemon = None;
            fs::remove_dir_all(bundles.join("add-2.0.0"))?;
            fs::remove_dir_all(stack.dir().join("state"))?;
        }
        // How many depends on the machine.
        println!("{interrupted} of 30 kills came before the file had gone");
        Ok(())
    })?
}
