//! A whole stack: private bus, broker, daemon, each stopped and its directory removed with the value.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use edge_wire::dto::Status;
use edge_wire::names::{BUS_NAME, MANAGER, ROOT_PATH};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::bus::Bus;
use crate::client::bus::BusClient;
use crate::client::mqtt::{Device, Protocol};
use crate::clock::{PATIENCE, eventually};
use crate::daemon::{Daemon, Launch, NODE, only_bundles};
use crate::process::{Life, signal_pid};

/// Committed models that work; the others beside them are spoiled on purpose.
const TINY: [&str; 3] = ["add", "echo-types", "spin"];

/// How a stack is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    bundles: Vec<String>,
    broker: bool,
    names_library: bool,
    overlay: String,
    arguments: Vec<String>,
}

impl Setup {
    /// The tiny models that work, a broker, and the defaults of the daemon.
    pub fn new() -> Setup {
        Setup { bundles: Vec::new(), broker: true, names_library: true, overlay: String::new(), arguments: Vec::new() }
    }

    /// Only these bundles, demo or tiny, by name; without any name the tiny ones that work.
    pub fn bundles(mut self, names: &[&str]) -> Setup {
        self.bundles.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// No broker, and no `[mqtt]` in the configuration.
    pub fn without_broker(mut self) -> Setup {
        self.broker = false;
        self
    }

    /// No ONNX Runtime is named: edged looks for one, among those in `runtimes` first.
    pub fn without_library(mut self) -> Setup {
        self.names_library = false;
        self
    }

    /// More configuration; wins over what the stack derives.
    pub fn config(mut self, toml: &str) -> Setup {
        self.overlay.push_str(toml);
        self.overlay.push('\n');
        self
    }

    /// Another argument of `edged`.
    pub fn argument(mut self, argument: &str) -> Setup {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts bus and broker, and says how the daemon would be started.
    pub fn prepare(self) -> Result<Stack> {
        let dir = tempfile::Builder::new().prefix("edged-test-").tempdir().context("make a directory for the stack")?;
        let bus = Bus::start(dir.path(), Life::WithParent)?;
        let broker = if self.broker { Some(Broker::start(dir.path(), Life::WithParent)?) } else { None };
        let names: Vec<&str> = self.bundles.iter().map(String::as_str).collect();
        let models = only_bundles(dir.path(), if names.is_empty() { &TINY } else { &names })?;
        let launch = Launch {
            dir: dir.path().to_path_buf(),
            bus_address: bus.address(),
            models: vec![models],
            mqtt_port: broker.as_ref().map(Broker::port),
            names_library: self.names_library,
            overlay: self.overlay,
            node: NODE.into(),
            arguments: self.arguments,
            environment: Vec::new(),
            life: Life::WithParent,
        };
        Ok(Stack { daemon: None, broker, bus, launch, dir })
    }

    /// Starts everything; returns when the daemon is ready and, with a broker, connected to it.
    pub async fn start(self) -> Result<Stack> {
        let mut stack = self.prepare()?;
        stack.start_daemon().await?;
        Ok(stack)
    }
}

impl Default for Setup {
    fn default() -> Setup {
        Setup::new()
    }
}

/// A running stack. Fields are dropped in order: the daemon first, its directory last.
#[derive(Debug)]
pub struct Stack {
    pub daemon: Option<Daemon>,
    pub broker: Option<Broker>,
    pub bus: Bus,
    pub launch: Launch,
    dir: TempDir,
}

impl Stack {
    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The daemon; an error if it was not started or is gone.
    pub fn daemon(&self) -> Result<&Daemon> {
        self.daemon.as_ref().context("no daemon was started")
    }

    /// The daemon, to stop or kill it.
    pub fn daemon_mut(&mut self) -> Result<&mut Daemon> {
        self.daemon.as_mut().context("no daemon was started")
    }

    /// The broker, to stop or start it.
    pub fn broker_mut(&mut self) -> Result<&mut Broker> {
        self.broker.as_mut().context("this stack has no broker")
    }

    /// Starts the daemon (again), and waits until it is ready and connected.
    pub async fn start_daemon(&mut self) -> Result<()> {
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.launch).await?);
        if self.launch.mqtt_port.is_some() && self.broker.is_some() {
            self.connected().await.with_context(|| self.logs())?;
        }
        Ok(())
    }

    /// Waits until the daemon says that it is connected to the broker.
    pub async fn connected(&self) -> Result<()> {
        let client = self.client().await?;
        eventually("edged is connected to the broker", PATIENCE, || async {
            Ok((client.status().await?.mqtt.state == "connected").then_some(()))
        })
        .await
    }

    /// A new client on the bus.
    pub async fn client(&self) -> Result<BusClient> {
        BusClient::on_bus(&self.bus.address()).await
    }

    /// A new field device on the broker.
    pub async fn device(&self, protocol: Protocol) -> Result<Device> {
        Device::connect(self.mqtt_port()?, protocol).await
    }

    /// Port of the broker.
    pub fn mqtt_port(&self) -> Result<u16> {
        Ok(self.broker.as_ref().context("this stack has no broker")?.port())
    }

    /// What `edgectl status` would show.
    pub async fn status(&self) -> Result<Status> {
        self.client().await?.status().await
    }

    /// Process id of the engine host, once there is one.
    pub async fn host_pid(&self) -> Result<u32> {
        let client = self.client().await?;
        eventually("the engine host is up", PATIENCE, || async {
            let engine = client.status().await?.engine;
            Ok((engine.state == "up" && engine.pid > 0).then_some(engine.pid))
        })
        .await
    }

    /// Kills the engine host as a crash would.
    pub async fn kill_host(&self) -> Result<u32> {
        let pid = self.host_pid().await?;
        signal_pid(pid, Signal::KILL)?;
        Ok(pid)
    }

    /// Configuration file of the daemon.
    pub fn config_file(&self) -> PathBuf {
        self.dir().join("edged.toml")
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let daemon = self.daemon.as_ref().map(|daemon| daemon.process.log_tail(80)).unwrap_or_default();
        let broker = self.broker.as_ref().map(|broker| broker.process.log_tail(20)).unwrap_or_default();
        format!("{daemon}{broker}{}", self.bus.process.log_tail(20))
    }
}

/// Whether somebody owns the daemon's name on the bus at `address`.
pub async fn name_is_owned(connection: &zbus::Connection) -> Result<bool> {
    let body = (BUS_NAME,);
    let bus = Some("org.freedesktop.DBus");
    let reply = connection.call_method(bus, "/org/freedesktop/DBus", bus, "NameHasOwner", &body).await?;
    Ok(reply.body().deserialize::<bool>()?)
}

/// The record of the daemon's state, as its own method gives it.
pub async fn describe(connection: &zbus::Connection) -> Result<Status> {
    let reply = connection.call_method(Some(BUS_NAME), ROOT_PATH, Some(MANAGER), "Describe", &()).await?;
    let text: String = reply.body().deserialize()?;
    serde_json::from_str(&text).with_context(|| format!("the status record: {text}"))
}
