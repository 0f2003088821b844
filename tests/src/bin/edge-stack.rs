//! Starts a stack that stays, and stops it: a private bus, a local broker, `edged` with the demo bundles.
//!
//! `edge-stack up DIR` returns when the daemon is ready, connected to the broker, and its retained topics are published;
//! `DIR/env` then holds what a shell needs. `edge-stack down DIR` stops exactly the processes that `up` started.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use edge_tests::broker::Broker;
use edge_tests::bus::Bus;
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::{Device, Protocol};
use edge_tests::clock::{PATIENCE, eventually, eventually_blocking};
use edge_tests::daemon::{Daemon, Launch};
use edge_tests::places;
use edge_tests::process::{Life, alive, signal_group, signal_pid};
use edge_tests::runner::block_on;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// Node name of the stack, in its topics.
const NODE: &str = "demo";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["up", dir] => up(Path::new(dir)),
        ["down", dir] => down(Path::new(dir)),
        _ => {
            eprintln!("usage: edge-stack up|down DIRECTORY");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("edge-stack: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

/// A process that `up` started. Process ids are used again by the system, start times are not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Started {
    name: String,
    pid: u32,
    since: u64,
}

impl Started {
    fn of(name: &str, pid: u32) -> Result<Started> {
        Ok(Started { name: name.into(), pid, since: started_at(pid).context("it ended at once")? })
    }

    fn runs(&self) -> bool {
        alive(self.pid) && started_at(self.pid) == Some(self.since)
    }
}

/// When a process started, in clock ticks since boot.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces; after it, the start time is the 20th field.
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

fn record(dir: &Path) -> PathBuf {
    dir.join("stack.json")
}

fn read_record(dir: &Path) -> Vec<Started> {
    fs::read(record(dir)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn up(dir: &Path) -> Result<()> {
    let running = read_record(dir);
    if running.len() == 3 && running.iter().all(Started::runs) && dir.join("env").is_file() {
        println!("The stack is up already; its settings are in {}.", dir.join("env").display());
        return Ok(());
    }
    down(dir)?;
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let dir = dir.canonicalize()?;
    match block_on(start(&dir)).and_then(|done| done) {
        Ok(()) => Ok(()),
        Err(fault) => {
            down(&dir)?;
            Err(fault)
        }
    }
}

async fn start(dir: &Path) -> Result<()> {
    let mut started = Vec::new();
    let mut note = |name: &str, pid: u32| -> Result<()> {
        started.push(Started::of(name, pid)?);
        fs::write(record(dir), serde_json::to_vec_pretty(&started)?).context("write the stack's record")
    };
    let bus = Bus::start(dir, Life::Detached)?;
    note("dbus-daemon", bus.process.pid())?;
    let broker = Broker::start(dir, Life::Detached)?;
    note("mosquitto", broker.process.pid())?;
    let launch = Launch {
        dir: dir.to_path_buf(),
        bus_address: bus.address(),
        // What is installed stays with the stack.
        models: vec![dir.join("bundles"), places::demo_bundles()?],
        mqtt_port: Some(broker.port()),
        names_library: true,
        overlay: format!("[engine]\nproviders_dir = '{}'\n\n[models]\ntune = 'idle'\n", places::providers().display()),
        node: NODE.into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        life: Life::Detached,
    };
    let mut daemon = Daemon::spawn(&launch)?;
    note("edged", daemon.process.pid())?;
    daemon.wait_ready().await?;
    published(&bus, &broker).await.with_context(|| daemon.process.log_tail(60))?;
    write_env(dir, &bus, &broker, &daemon)
}

/// Waits for the connection to the broker, and for the retained topics of the box and of every model.
async fn published(bus: &Bus, broker: &Broker) -> Result<()> {
    let client = BusClient::on_bus(&bus.address()).await?;
    let models = eventually("edged is connected to the broker", PATIENCE, async || {
        let status = client.status().await?;
        // One topic for all versions of a model.
        let names: BTreeSet<String> = status.models.iter().map(|model| model.name.clone()).collect();
        Ok((status.mqtt.state == "connected").then_some(names))
    })
    .await?;
    let device = Device::connect(broker.port(), Protocol::V311).await?;
    device.subscribe(&format!("edge/{NODE}/#")).await?;
    let topics = models.iter().map(|model| format!("edge/{NODE}/models/{model}"));
    for topic in topics.chain([format!("edge/{NODE}/available"), format!("edge/{NODE}/state")]) {
        device.take(&format!("the retained {topic}"), PATIENCE, |message| message.topic == topic).await?;
    }
    Ok(())
}

fn write_env(dir: &Path, bus: &Bus, broker: &Broker, daemon: &Daemon) -> Result<()> {
    let mut text = String::from("# The running stack. Source this file; `make down` stops what it names.\n");
    let library = places::runtime_library()?.canonicalize()?;
    for (key, value) in [
        ("DBUS_SESSION_BUS_ADDRESS", bus.address()),
        ("EDGED_BUS", "session".into()),
        ("EDGE_MQTT_HOST", "127.0.0.1".into()),
        ("EDGE_MQTT_PORT", broker.port().to_string()),
        ("EDGE_NODE", NODE.into()),
        ("ORT_DYLIB_PATH", library.display().to_string()),
        ("EDGED_PID", daemon.process.pid().to_string()),
    ] {
        writeln!(text, "export {key}='{value}'")?;
    }
    let env = dir.join("env");
    fs::write(&env, text).with_context(|| format!("write {}", env.display()))?;
    println!("The stack is up; its settings are in {}.", env.display());
    Ok(())
}

fn down(dir: &Path) -> Result<()> {
    let running = read_record(dir);
    // The daemon first, so that it can say goodbye to the bus and the broker.
    for process in running.iter().rev().filter(|process| process.runs()) {
        stop(process)?;
    }
    if !running.is_empty() {
        println!("The stack is down.");
    }
    fs::remove_file(record(dir)).ok();
    fs::remove_file(dir.join("env")).ok();
    Ok(())
}

/// SIGTERM, then after a while SIGKILL for the whole group; returns when the process is gone.
fn stop(process: &Started) -> Result<()> {
    signal_pid(process.pid, Signal::TERM).ok();
    let ended = || Ok((!process.runs()).then_some(()));
    if eventually_blocking("an orderly end", PATIENCE, ended).is_err() {
        signal_group(process.pid, Signal::KILL)?;
        eventually_blocking("the end of a killed process", PATIENCE, ended)
            .with_context(|| format!("stop {} ({})", process.name, process.pid))?;
    }
    // What it started is in its group.
    signal_group(process.pid, Signal::KILL)
}
