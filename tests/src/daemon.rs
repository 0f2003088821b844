//! A running `edged`: its configuration, its readiness messages, its end.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::clock::{PATIENCE, Stopwatch, eventually};
use crate::places;
use crate::process::{Life, Process, ending};

/// Node name of every test stack.
pub const NODE: &str = "box";

/// How to start a daemon.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its directory: configuration, state, runtime files, log.
    pub dir: PathBuf,
    /// `DBUS_SESSION_BUS_ADDRESS`.
    pub bus_address: String,
    /// Directories of bundles.
    pub models: Vec<PathBuf>,
    /// Port of the broker on the loopback; `None` leaves MQTT off.
    pub mqtt_port: Option<u16>,
    /// Whether the configuration names the ONNX Runtime that was fetched; without that, edged looks for one.
    pub names_library: bool,
    /// Written to `edged.toml.d`, so that it wins over what is derived from the fields above.
    pub overlay: String,
    /// Name of the node.
    pub node: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub life: Life,
}

impl Launch {
    /// Writes the configuration files.
    pub fn write(&self) -> Result<PathBuf> {
        let main = self.dir.join("edged.toml");
        let more = self.dir.join("edged.toml.d");
        fs::create_dir_all(&more)?;
        fs::write(&main, self.main_file()?)?;
        fs::write(more.join("50-overlay.toml"), &self.overlay)?;
        Ok(main)
    }

    fn main_file(&self) -> Result<String> {
        let library = match self.names_library {
            true => format!("library = {}\n", toml::Value::from(places::runtime_library()?.display().to_string())),
            false => String::new(),
        };
        let models: Vec<String> = self.models.iter().map(|dir| dir.display().to_string()).collect();
        let dir = |name: &str| toml::Value::from(self.dir.join(name).display().to_string());
        let mut text = format!(
            "node = {}\n\n[engine]\n{library}runtimes_dir = {}\n\n[models]\ndirs = {}\nallow_unsigned = true\nkeys_dir = {}\ninbox = {}\n\
             tune = \"on-request\"\n\n[cache]\ndir = {}\n\n[paths]\nstate_dir = {}\nruntime_dir = {}\n\n\
             [fleet]\ndir = {}\n\n[telemetry]\ninterval_ms = 1000\n",
            toml::Value::from(self.node.as_str()),
            dir("runtimes"),
            toml::Value::from(models),
            dir("keys.d"),
            dir("inbox"),
            dir("cache"),
            dir("state"),
            dir("run"),
            dir("models.d"),
        );
        if let Some(port) = self.mqtt_port {
            text.push_str(&format!("\n[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\n"));
        }
        Ok(text)
    }

    /// The command that starts it, with the configuration written.
    pub fn command(&self) -> Result<Command> {
        let config = self.write()?;
        let mut command = Command::new(places::binary("edged")?);
        command.arg("--session").arg("--config").arg(config).args(&self.arguments);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.bus_address).env_remove("NOTIFY_SOCKET");
        if !self.names_library {
            command.env_remove("ORT_DYLIB_PATH");
        }
        command.envs(self.environment.iter().cloned());
        Ok(command)
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    pub process: Process,
    notices: Arc<Mutex<Vec<String>>>,
    socket: PathBuf,
    /// Time from its start to READY.
    pub ready_after: Option<Duration>,
}

impl Daemon {
    /// Starts it, and does not wait for anything.
    pub fn spawn(launch: &Launch) -> Result<Daemon> {
        let mut command = launch.command()?;
        let socket = places::socket(&launch.dir, "notify");
        let notices = listen(&socket)?;
        command.env("NOTIFY_SOCKET", &socket);
        let process = Process::spawn("edged", command, &launch.dir, launch.life)?;
        Ok(Daemon { process, notices, socket, ready_after: None })
    }

    /// Starts it and waits for READY.
    pub async fn start(launch: &Launch) -> Result<Daemon> {
        let watch = Stopwatch::start();
        let mut daemon = Daemon::spawn(launch)?;
        daemon.wait_ready().await?;
        daemon.ready_after = Some(watch.elapsed());
        Ok(daemon)
    }

    /// Waits for READY; a daemon that ends before is an error with its log.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let ended = eventually("edged is ready", PATIENCE, async || {
            Ok(if self.noticed("READY=1") { Some(None) } else { self.process.exited()?.map(Some) })
        });
        match ended.await.with_context(|| self.process.log_tail(60))? {
            None => Ok(()),
            Some(status) => bail!("edged ended before READY with {}\n{}", ending(status), self.process.log_tail(60)),
        }
    }

    /// Everything that it said to the service manager, in order.
    pub fn notices(&self) -> Vec<String> {
        self.notices.lock().map(|notices| notices.clone()).unwrap_or_default()
    }

    /// Whether it said this line.
    pub fn noticed(&self, line: &str) -> bool {
        self.notices().iter().any(|notice| notice == line)
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(PATIENCE).with_context(|| self.process.log_tail(60))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Wakes the thread that listens, which then ends; if nobody listens there is nothing to do.
        UnixDatagram::unbound().and_then(|sender| sender.send_to(GOODBYE, &self.socket)).ok();
    }
}

const GOODBYE: &[u8] = b"the test is over";

/// Collects what comes to the notification socket, line by line.
fn listen(path: &Path) -> Result<Arc<Mutex<Vec<String>>>> {
    fs::remove_file(path).ok();
    let socket = UnixDatagram::bind(path).with_context(|| format!("bind {}", path.display()))?;
    let notices = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&notices);
    std::thread::Builder::new().name("notify".into()).spawn(move || {
        let mut packet = [0; 4096];
        while let Ok(len) = socket.recv(&mut packet) {
            let packet = packet.get(..len).unwrap_or_default();
            if packet == GOODBYE {
                break;
            }
            let text = String::from_utf8_lossy(packet);
            if let Ok(mut notices) = sink.lock() {
                notices.extend(text.lines().map(str::to_owned));
            }
        }
    })?;
    Ok(notices)
}

/// A directory with links to these bundles only, for a daemon that shall know no others.
pub fn only_bundles(dir: &Path, names: &[&str]) -> Result<PathBuf> {
    let only = dir.join("bundles");
    fs::create_dir_all(&only)?;
    for name in names {
        let bundle = places::bundle(name)?;
        let link = only.join(bundle.file_name().context("a bundle has a name")?);
        std::os::unix::fs::symlink(&bundle, &link).with_context(|| format!("link {}", link.display()))?;
    }
    Ok(only)
}
