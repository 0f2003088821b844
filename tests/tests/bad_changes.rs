//! Bad arguments of the methods that change models, and of the command's verbs for them: each is refused by name with what is taken, and
//! the daemon serves on.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::No;
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::memfd;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, archive, ask, edgectl};
use edge_wire::dto::JobStatus;
use edge_wire::names::{MODEL as MODEL_INTERFACE, MODELS, model_path};
use zbus::{Fd, OwnedObjectPath, Variant};

/// The version whose file grows while it is read: it may be whole by then, and be installed for a while.
const GROWS: &str = "2.0.1";

type Options<'a> = HashMap<&'a str, Variant<'a>>;

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        an_option_of_the_wrong_kind_is_refused_by_name,
        an_unknown_option_is_ignored_and_said_in_the_log,
        an_address_that_is_none_is_refused_with_what_is_taken,
        what_is_no_file_is_not_installed,
        a_file_that_is_no_bundle_is_not_installed,
        a_file_that_grows_while_it_is_read_ends,
        a_call_with_other_arguments_is_refused,
        a_version_that_is_not_there_is_not_changed,
        usage_errors_of_the_command_end_with_2,
        what_the_command_is_refused_names_what_is_taken,
    ];
    edge_tests::runner::run(Setup::new().bundles(&[MODEL]).without_broker(), trials)
}

/// Requests are answered as ever.
async fn serves(stack: &Stack) -> Result<()> {
    let found = ask(&stack.client().await?, MODEL).await.with_context(|| stack.logs())?;
    ensure!(found == ("1.0.0".into(), 3.0), "{found:?}");
    let store = std::fs::read_dir(stack.dir().join("bundles"))?;
    let mut left: Vec<_> = store.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    // What another trial beside this one is just having unpacked, or has to remove.
    let grows = format!("{MODEL}-{GROWS}");
    left.retain(|name| !name.as_encoded_bytes().starts_with(b".") && *name != *grows);
    ensure!(left == [MODEL], "{left:?}");
    Ok(())
}

fn is_no(what: &str, no: Result<zbus::message::Message, No>, code: &str, mentions: &[&str]) -> Result<()> {
    let no = no.err().with_context(|| format!("{what} was taken"))?;
    let all = mentions.iter().all(|part| no.message.contains(part));
    ensure!(no.code == code && all, "{what}: {no:?} instead of {code} {mentions:?}");
    Ok(())
}

async fn install(client: &BusClient, fd: &OwnedFd, options: Options<'_>) -> Result<Result<zbus::message::Message, No>> {
    client.call(MODELS, "Install", &(Fd::from(fd.as_fd()), options)).await
}

/// What became of an installation that was begun.
async fn ended(client: &BusClient, what: &str, fd: &OwnedFd) -> Result<JobStatus> {
    let begun = install(client, fd, Options::new()).await?;
    let message = begun.map_err(|no| anyhow::anyhow!("{what}: {no:?}"))?;
    let path: OwnedObjectPath = message.body().deserialize()?;
    let id: u64 = path.as_str().rsplit('/').next().context("a number")?.parse()?;
    let over = async || {
        let jobs = client.status().await?.jobs;
        Ok(jobs.into_iter().find(|job| job.id == id && job.state != "running"))
    };
    eventually(what, PATIENCE, over).await
}

async fn an_option_of_the_wrong_kind_is_refused_by_name(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let fd = memfd::sealed(b"no archive")?;
    let values = || [Variant::from("yes"), Variant::from(1u32), Variant::from(vec![true]), Variant::from(0.5)];
    for name in ["activate", "pause", "force"] {
        for value in values() {
            let says = format!("{name}: takes true or false");
            let options = || HashMap::from([(name, value.clone())]);
            let what = format!("{name} = {value:?}");
            is_no(&what, install(&client, &fd, options()).await?, "invalid_input", &[&says])?;
            let pull = client.call(MODELS, "Pull", &("https://localhost/x.edgemodel", options())).await?;
            is_no(&what, pull, "invalid_input", &[&says])?;
            if name != "activate" {
                let path = model_path(MODEL, "1.0.0");
                let activate = client.call_at(&path, MODEL_INTERFACE, "Activate", &(options(),)).await?;
                is_no(&what, activate, "invalid_input", &[&says])?;
            }
        }
    }
    serves(stack).await
}

async fn an_unknown_option_is_ignored_and_said_in_the_log(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let fd = memfd::sealed(b"no archive")?;
    let options = HashMap::from([("activte", Variant::from(false))]);
    install(&client, &fd, options).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
    ensure!(stack.logs().contains("activte"), "{}", stack.logs());
    serves(stack).await
}

async fn an_address_that_is_none_is_refused_with_what_is_taken(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let long = format!("https://localhost/{}", "x".repeat(10_000));
    for (url, says) in [
        ("", "takes https://"),
        ("add", "takes https://"),
        ("ftp://h/x.edgemodel", "takes https://"),
        ("file:///etc/passwd", "takes https://"),
        ("http://h/x.edgemodel", "of this box itself only"),
        ("https://", "url: "),
        ("https://h", "names no file"),
        ("https://u:p@h/x", "takes no user name and password"),
        ("https://h/x#sha256=12", "64 characters"),
        ("oci://h", "names no repository"),
        ("oci://h/a", "names no tag"),
        ("oci://h/A:1", "is no repository"),
        ("oci://h/../a:1", "is no repository"),
        (long.as_str(), "at most"),
    ] {
        let pull = client.call(MODELS, "Pull", &(url, Options::new())).await?;
        is_no(&url[..url.len().min(60)], pull, "invalid_input", &["url: ", says])?;
    }
    serves(stack).await
}

async fn what_is_no_file_is_not_installed(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (silent, _open) = memfd::silent_pipe()?;
    let (socket, _other) = std::os::unix::net::UnixStream::pair()?;
    let path = rustix::fs::open("/etc/passwd", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())?;
    for (what, fd) in [
        ("a pipe that says nothing", silent),
        ("a socket", socket.into()),
        ("a directory", memfd::open("/etc")?),
        ("/dev/null", memfd::open("/dev/null")?),
        ("/dev/zero", memfd::open("/dev/zero")?),
        ("a place without a right to read", path),
        ("a file that may only be written", std::fs::File::create(stack.dir().join("written"))?.into()),
    ] {
        let job = ended(&client, what, &fd).await?;
        ensure!(job.state == "failed" && !job.last_error.is_empty(), "{what}: {job:?}");
        let file = ["a place", "a file"].iter().any(|begin| what.starts_with(begin));
        ensure!(file || job.last_error.contains("bundle: takes a file that is a .edgemodel"), "{what}: {job:?}");
        serves(stack).await?;
    }
    Ok(())
}

async fn a_file_that_is_no_bundle_is_not_installed(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let endless = memfd::unsealed(b"")?;
    rustix::fs::ftruncate(&endless, 1 << 40)?;
    let begin = std::fs::read(archive(stack, "2.0.0")?)?;
    for (what, fd, says) in [
        ("nothing", memfd::sealed(b"")?, "read the archive"),
        ("a text", memfd::sealed(b"name = \"add\"")?, "read the archive"),
        ("a tebibyte of nothing", endless, "read the archive"),
        ("half of one", memfd::sealed(&begin[..begin.len() / 2])?, "read the archive"),
        ("one with more behind it", memfd::sealed(&[&begin[..], b"more"].concat())?, "read the archive"),
        ("/proc/self/maps", memfd::open("/proc/self/maps")?, "read the archive"),
    ] {
        let job = ended(&client, what, &fd).await?;
        ensure!(job.state == "failed" && job.last_error.contains(says), "{what}: {job:?}");
        serves(stack).await?;
    }
    Ok(())
}

async fn a_file_that_grows_while_it_is_read_ends(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let begin = std::fs::read(archive(stack, GROWS)?)?;
    // Frames that hold nothing: an archive that never comes to its end, as fast as somebody can write.
    let skipped = [&0x184d_2a50_u32.to_le_bytes()[..], &65_536u32.to_le_bytes(), &[0; 65_536]].concat();
    let fd = memfd::unsealed(&begin)?;
    let over = Arc::new(AtomicBool::new(false));
    let mut file = std::fs::File::from(fd.try_clone()?);
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
    let grows = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut written = 0usize;
            while !over.load(Ordering::Relaxed) && written < 512 << 20 {
                written += skipped.len();
                if std::io::Write::write_all(&mut file, &skipped).is_err() {
                    break;
                }
            }
        }
    });
    let job = ended(&client, "a file that grows", &fd).await;
    over.store(true, Ordering::Relaxed);
    ensure!(grows.join().is_ok(), "the writer failed");
    let job = job?;
    // What came by then was the bundle, or it was not: it ended, and the store is whole.
    ensure!(job.state == "failed" || job.state == "done", "{job:?}");
    if job.state == "done" {
        let path = model_path(MODEL, GROWS);
        // Its object is there a moment after it.
        let remove = async || {
            let removed = client.call_at(&path, MODEL_INTERFACE, "Remove", &(Options::new(),)).await;
            Ok(removed.is_ok_and(|removed| removed.is_ok()).then_some(()))
        };
        eventually("it is removed again", PATIENCE, remove).await?;
    }
    ensure!(!stack.dir().join(format!("bundles/{MODEL}-{GROWS}")).exists(), "it is still there");
    serves(stack).await
}

async fn a_call_with_other_arguments_is_refused(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let calls = [("Install", Variant::from("x")), ("Pull", Variant::from(7u32)), ("History", Variant::from(vec!["x"]))];
    for (method, body) in calls {
        let destination = Some(edge_wire::names::BUS_NAME);
        let root = edge_wire::names::ROOT_PATH;
        let answer = client.connection.call_method(destination, root, Some(MODELS), method, &(body,)).await;
        match answer {
            Err(zbus::Error::MethodError(..) | zbus::Error::FDO(_)) => {}
            // A method that takes nothing may leave aside what it was given.
            Ok(_) if method == "History" => {}
            other => anyhow::bail!("{method}: {other:?}"),
        }
        serves(stack).await?;
    }
    Ok(())
}

async fn a_version_that_is_not_there_is_not_changed(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let connection = &client.connection;
    for method in ["Activate", "Rollback", "Remove"] {
        for (name, version) in
            [(MODEL, "9.0.0"), ("nobody", "1.0.0"), ("../add", "1.0.0"), ("a".repeat(300).as_str(), "1.0.0")]
        {
            let (destination, path) = (Some(edge_wire::names::BUS_NAME), model_path(name, version));
            let answer =
                connection.call_method(destination, path, Some(MODEL_INTERFACE), method, &(Options::new(),)).await;
            let no = matches!(answer, Err(zbus::Error::MethodError(..) | zbus::Error::FDO(_)));
            ensure!(no, "{method} {name}:{version}: {answer:?}");
        }
    }
    let path = model_path(MODEL, "1.0.0");
    let rollback = client.call_at(&path, MODEL_INTERFACE, "Rollback", &(Options::new(),)).await?;
    is_no("Rollback", rollback, "invalid_input", &["has no version before the active one"])?;
    let remove = client.call_at(&path, MODEL_INTERFACE, "Remove", &(Options::new(),)).await?;
    is_no("Remove", remove, "invalid_input", &["is the active version"])?;
    serves(stack).await
}

async fn usage_errors_of_the_command_end_with_2(stack: &Stack) -> Result<()> {
    for words in [
        &["models", "install"][..],
        &["models", "install", "nothing-there"],
        &["models", "install", "/dev/null", "--colour"],
        &["models", "pull"],
        &["models", "pull", "https://h/x", "--rate", "1"],
        &["models", "activate"],
        &["models", "activate", MODEL],
        &["models", "activate", "add:"],
        &["models", "rollback"],
        &["models", "remove"],
        &["models", "remove", MODEL],
        &["models", "history", MODEL, "more"],
        &["models", "colour"],
    ] {
        let (code, out, err) = edgectl(stack, words)?;
        ensure!(code == Some(2) && !err.trim().is_empty(), "{words:?}: {code:?} {out} {err}");
    }
    serves(stack).await
}

async fn what_the_command_is_refused_names_what_is_taken(stack: &Stack) -> Result<()> {
    for (words, says) in [
        (&["models", "pull", "ftp://h/x"][..], "takes https://HOST"),
        (&["models", "pull", "oci://h/a"], "names no tag"),
        (&["models", "activate", "add:9.0.0"], "add:9.0.0"),
        (&["models", "rollback", "nobody"], "nobody"),
        (&["models", "remove", "add:1.0.0"], "is the active version"),
    ] {
        let (code, out, err) = edgectl(stack, words)?;
        let said = format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(code == Some(1) && said.contains(says), "{words:?}: {code:?} {said}");
    }
    serves(stack).await
}
