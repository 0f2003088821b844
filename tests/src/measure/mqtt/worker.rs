//! As many small files as can be told apart in a second over MQTT with QoS 1, by a binding that takes every one, against a
//! worker that somebody wrote by hand (`tests/peers/mqtt_worker.py`): same broker, same client, same file, rounds in turn. The
//! worker runs twice, with one thread of ONNX Runtime and with as many as that takes by itself; the better one counts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::publish;
use crate::client::mqtt::{Device, Incoming, Protocol};
use crate::clock::{PATIENCE, Stopwatch, eventually_blocking};
use crate::measure::median;
use crate::measure::table::{Promise, Table};
use crate::process::{Life, Process};
use crate::stack::{Setup, Stack};
use crate::{peers, places, usage};

const CONFIG: &str = r#"
[[binding]]
name = "edged"
model = "file-type"
topic = "work/edged/+/+"
payload = "application/octet-stream"
take = "every"
source_name = "{1}"
result = "done/edged/{1}/{2}"
last = false
"#;
/// 3,000 bytes of a program.
const FILE: &str = "golden/script.py";
const SOURCES: u32 = 4;
/// Files that were sent and not answered, at once.
const OPEN: u32 = 64;
const ROUNDS: usize = 5;
/// Files of a round.
const CALLS: u32 = 800;
const PROMISED: f64 = 1.5;
/// Who is measured: the word in its topics, and what it is.
const WORKERS: [(&str, u32, &str); 2] = [("alone", 1, "one thread"), ("free", 0, "its own choice of threads")];

/// The row; nothing where Python and its packages are not installed.
pub async fn rows(table: &mut Table) -> Result<()> {
    let Some((python, paho)) = python()? else { return Ok(()) };
    let stack = Setup::new().bundles(&["file-type"]).config(CONFIG).start().await?;
    let mut running = Vec::new();
    for (name, threads, _) in WORKERS {
        running.push(start(&stack, &python, &paho, name, threads)?);
    }
    measure(&stack, table).await.with_context(|| stack.logs())
}

async fn measure(stack: &Stack, table: &mut Table) -> Result<()> {
    let file = std::fs::read(places::bundle("file-type")?.join(FILE))?.into();
    let device = stack.device(Protocol::V5).await?;
    device.subscribe("done/#").await?;
    let names: Vec<&str> = std::iter::once("edged").chain(WORKERS.map(|(name, ..)| name)).collect();
    let mut rates: Vec<Vec<f64>> = names.iter().map(|_| Vec::new()).collect();
    for name in &names {
        round(&device, name, &file, CALLS / 4).await?;
    }
    let pids = [stack.daemon()?.process.pid(), stack.host_pid().await?];
    let used = || pids.iter().map(|pid| usage::cpu_time(*pid)).collect::<Result<Vec<_>>>();
    let mut costs = vec![Duration::ZERO; pids.len()];
    for _ in 0..ROUNDS {
        for (name, rates) in names.iter().zip(&mut rates) {
            let before = used()?;
            rates.push(round(&device, name, &file, CALLS).await?);
            if *name == "edged" {
                let spent = used()?.into_iter().zip(before).map(|(after, before)| after - before);
                costs.iter_mut().zip(spent).for_each(|(cost, spent)| *cost += spent);
            }
        }
    }
    let each = |cost: &Duration| cost.as_secs_f64() * 1e6 / (f64::from(CALLS) * ROUNDS as f64);
    // No worker on this machine does more with this model: its host does little else.
    let cores = std::thread::available_parallelism()?.get() as f64;
    let most = costs.get(1).map_or(0.0, |host| cores * 1e6 / each(host));
    let costs: Vec<String> = costs.iter().map(|cost| format!("{:.0}", each(cost))).collect();
    let middle = |which: usize| median(rates.get(which).into_iter().flatten().copied());
    let best = if middle(2) > middle(1) { 2 } else { 1 };
    let ratio = rates.first().into_iter().flatten().zip(rates.get(best).into_iter().flatten());
    let ratio = median(ratio.map(|(edged, worker)| edged / worker));
    let note = format!(
        "a second: edged {:.0}, worker with {} {:.0}, with {} {:.0}; us of processor for a file: daemon and host {}, \
         so that {cores} cores do {most:.0} at most",
        middle(0),
        WORKERS[0].2,
        middle(1),
        WORKERS[1].2,
        middle(2),
        costs.join(" + ")
    );
    let what = "file-type over QoS 1 at saturation / paho + ONNX Runtime";
    table.add(what, "x", Promise::AtLeast(PROMISED), ratio, note);
    Ok(())
}

/// Sends so many, with as many under way as may be; gives how many were answered in a second.
async fn round(device: &Device, name: &str, file: &bytes::Bytes, calls: u32) -> Result<f64> {
    let (mut sent, mut done) = (0, 0);
    let prefix = format!("done/{name}/");
    let is_result = |message: &Incoming| message.topic.starts_with(&prefix);
    let watch = Stopwatch::start();
    while done < calls {
        while sent < calls && sent - done < OPEN {
            publish(device, format!("work/{name}/{}/{sent}", sent % SOURCES), file).await?;
            sent += 1;
        }
        let first = device.take("a result", PATIENCE, is_result).await.with_context(|| format!("of {name}"))?;
        let more = device.take_all(is_result);
        for message in std::iter::once(&first).chain(&more) {
            let body = message.json()?;
            ensure!(body["result"]["label"] == "python", "{name} answered {body}");
        }
        done += 1 + u32::try_from(more.len())?;
    }
    Ok(f64::from(done) / watch.elapsed().as_secs_f64())
}

/// Python with NumPy and ONNX Runtime, and where paho-mqtt is.
fn python() -> Result<Option<(PathBuf, PathBuf)>> {
    let Some(peers) = peers::installed()? else { return Ok(None) };
    let libraries = places::repository().join(".fetch/clients/venv/lib");
    let entries = std::fs::read_dir(&libraries).into_iter().flatten().flatten();
    let paho = entries.map(|entry| entry.path().join("site-packages")).find(|path| path.join("paho").is_dir());
    if paho.is_none() {
        println!("SKIPPED: no paho-mqtt in {}: run `make clients`", libraries.display());
    }
    Ok(paho.map(|paho| (peers.python, paho)))
}

fn start(stack: &Stack, python: &Path, paho: &Path, name: &str, threads: u32) -> Result<Process> {
    let mut command = Command::new(python);
    command.arg(places::repository().join("tests/peers/mqtt_worker.py"));
    command.arg(stack.mqtt_port()?.to_string()).arg(places::bundle("file-type")?).args([&threads.to_string(), name]);
    command.env("PYTHONPATH", paho).env_remove("PYTHONHOME");
    let what = format!("worker-{name}");
    let mut process = Process::spawn(&what, command, stack.dir(), Life::WithParent)?;
    eventually_blocking(&format!("{what} is ready"), PATIENCE, || match process.exited()? {
        Some(_) => bail!("{what} ended at once\n{}", process.log_tail(20)),
        None => Ok(process.log().contains("ready").then_some(())),
    })?;
    Ok(process)
}
