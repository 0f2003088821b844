//! Real servers that requests can be sent on to, as `make peers` installed them: MLServer and KServe (Open Inference Protocol
//! v2), llama.cpp's server (OpenAI's protocol) with a small language model. Each stops with its handle.
//!
//! What differs among them on the wire is recorded in `tests/peers/recorded`; [`crate::recorded`] replays it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::broker::Port;
use crate::clock::{PATIENCE, eventually_blocking};
use crate::places;
use crate::process::{Life, Process};

/// How long one look at a server's health may take.
const LOOK: Duration = Duration::from_secs(2);
/// Threads of a server's mathematics: with more, small machines stall in their libraries' pools.
const THREADS: &str = "1";

/// What `make peers` brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub python: PathBuf,
    /// The small language model.
    pub model: PathBuf,
}

/// Where it is: `EDGE_PEERS_DIR`, or in `.fetch`. `None`, with the reason printed, where it could not be installed; that is an
/// error where `CI` is set, because there it must be.
pub fn installed() -> Result<Option<Installed>> {
    found(&place(), std::env::var_os("CI").is_some())
}

/// Whether it is there, for whoever can do without.
pub fn are_there() -> bool {
    look(&place()).is_ok()
}

/// The Python that has what the Sparkplug host needs; as [`installed`] otherwise.
pub fn sparkplug() -> Result<Option<PathBuf>> {
    let dir = place().join("sparkplug");
    let (made, python) = (dir.join("made"), dir.join("venv/bin/python3"));
    let Some(missing) = [&made, &python].into_iter().find(|path| !path.exists()) else { return Ok(Some(python)) };
    let why = format!("no Sparkplug host: no {}: run `make peers`", missing.display());
    ensure!(std::env::var_os("CI").is_none(), "{why}");
    println!("SKIPPED: {why}");
    Ok(None)
}

fn place() -> PathBuf {
    std::env::var_os("EDGE_PEERS_DIR").map_or_else(|| places::repository().join(".fetch/peers"), PathBuf::from)
}

/// What is there, or the first thing that is missing.
fn look(dir: &Path) -> std::result::Result<Installed, PathBuf> {
    let installed = Installed { python: dir.join("venv/bin/python3"), model: dir.join("model.gguf") };
    let made = dir.join("made");
    let missing = [&made, &installed.python, &installed.model].into_iter().find(|path| !path.exists()).cloned();
    missing.map_or(Ok(installed), Err)
}

fn found(dir: &Path, must: bool) -> Result<Option<Installed>> {
    let missing = match look(dir) {
        Ok(installed) => return Ok(Some(installed)),
        Err(missing) => missing,
    };
    let why = format!("no servers to send requests on to: no {}: run `make peers`", missing.display());
    ensure!(!must, "{why}");
    println!("SKIPPED: {why}");
    Ok(None)
}

/// A server that runs.
#[derive(Debug)]
pub struct Peer {
    process: Process,
    start: Start,
    port: Port,
}

/// How it is started, the first time and again.
#[derive(Clone, Debug)]
struct Start {
    name: &'static str,
    dir: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    /// Path that answers 200 once it serves.
    health: &'static str,
}

/// The directory of models that `make` and the repository have, by name, with their weights.
fn weights(models: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let one = |name: &&str| Ok(((*name).to_owned(), places::bundle(name)?.join("model.onnx")));
    models.iter().map(one).collect()
}

/// Where the servers' own programs are.
fn programs() -> PathBuf {
    places::repository().join("tests/peers")
}

/// MLServer with these models of the repository, by the names of their bundles; it has no binary tensors over HTTP. `dir` gets
/// its settings and its log.
pub fn mlserver(dir: &Path, models: &[&str]) -> Result<Option<Peer>> {
    let Some(installed) = installed()? else { return Ok(None) };
    let port = Port::reserve()?;
    let root = dir.join(format!("mlserver-{}", port.number()));
    std::fs::create_dir_all(&root)?;
    let settings = serde_json::json!({
        "debug": false, "parallel_workers": 0, "host": "127.0.0.1", "http_port": port.number(),
        // Of gRPC there is no turning off: any free port.
        "grpc_port": 0, "metrics_endpoint": null, "gzip_enabled": false,
    });
    std::fs::write(root.join("settings.json"), settings.to_string())?;
    for (name, path) in weights(models)? {
        let model = serde_json::json!({
            "name": name, "implementation": "onnx_runtime.OnnxModel", "platform": "onnxruntime_onnx",
            "parameters": {"uri": path, "version": "1"},
        });
        let place = root.join(&name);
        std::fs::create_dir_all(&place)?;
        std::fs::write(place.join("model-settings.json"), model.to_string())?;
    }
    let arguments = vec!["-c".into(), "from mlserver.cli import main; main()".into(), "start".into(), ".".into()];
    let start = Start { name: "mlserver", dir: root, program: installed.python, arguments, health: "/v2/health/ready" };
    Peer::start(start, port).map(Some)
}

/// KServe's model server with these models; it has binary tensors.
pub fn kserve(dir: &Path, models: &[&str]) -> Result<Option<Peer>> {
    let Some(installed) = installed()? else { return Ok(None) };
    let port = Port::reserve()?;
    let mut arguments = vec![programs().join("kserve_onnx.py").display().to_string(), port.number().to_string()];
    arguments.extend(weights(models)?.iter().map(|(name, path)| format!("{name}={}", path.display())));
    let start =
        Start { name: "kserve", dir: dir.to_owned(), program: installed.python, arguments, health: "/v2/health/ready" };
    Peer::start(start, port).map(Some)
}

/// The name that the language model of [`openai`] goes by.
pub const LANGUAGE_MODEL: &str = "smollm2-135m";

/// llama.cpp's server with SmolLM2-135M-Instruct and a context of so many tokens; with a key only for those who show it as a
/// bearer token.
pub fn openai(dir: &Path, context: u32, key: Option<&str>) -> Result<Option<Peer>> {
    let Some(installed) = installed()? else { return Ok(None) };
    let port = Port::reserve()?;
    let program = programs().join("openai_server.py").display().to_string();
    let mut arguments =
        vec![program, port.number().to_string(), installed.model.display().to_string(), context.to_string()];
    arguments.extend(key.map(str::to_owned));
    let start = Start { name: "openai", dir: dir.to_owned(), program: installed.python, arguments, health: "/health" };
    Peer::start(start, port).map(Some)
}

impl Peer {
    fn start(start: Start, port: Port) -> Result<Peer> {
        let process = start.run(port.number())?;
        Ok(Peer { process, start, port })
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// What a site's `url` would be.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The process, to stop it with a signal or to read its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops it in an orderly way; the port stays taken, and refuses.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(PATIENCE).map(drop)
    }

    /// Kills it as a crash would.
    pub fn crash(&mut self) -> Result<()> {
        self.process.crash()
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = self.start.run(self.port.number())?;
        Ok(())
    }
}

impl Start {
    fn run(&self, port: u16) -> Result<Process> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.dir);
        // Its own modules lie in the repository, where nothing is to be left behind. What it imports is compiled once, whatever
        // the environment says: a start takes a third of the time then.
        command.env("PYTHONPATH", programs()).env("PYTHONPYCACHEPREFIX", self.program.with_file_name("cache"));
        command.env_remove("PYTHONDONTWRITEBYTECODE").env_remove("PYTHONHOME");
        command.env("OMP_NUM_THREADS", THREADS).env("OPENBLAS_NUM_THREADS", THREADS);
        let name = format!("{}-{port}", self.name);
        let mut process = Process::spawn(&name, command, &self.dir, Life::WithParent)?;
        eventually_blocking(&format!("{name} is ready"), PATIENCE * 2, || match process.exited()? {
            Some(_) => bail!("{name} ended at once\n{}", process.log_tail(30)),
            // Nobody listens, or it says that it is not ready: not yet.
            None => Ok(status(port, self.health).ok().filter(|status| *status == 200)),
        })
        .with_context(|| process.log_tail(30))?;
        Ok(process)
    }
}

/// The status that a path answers to a plain GET.
fn status(port: u16, path: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LOOK))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let word = line.split(' ').nth(1).with_context(|| format!("no status in {line:?}"))?;
    Ok(word.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_and_is_an_error_where_it_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(found(dir.path(), false).unwrap(), None);
        let fault = found(dir.path(), true).unwrap_err().to_string();
        assert!(fault.contains("made") && fault.contains("make peers"), "{fault}");
    }

    #[test]
    fn each_server_starts_stops_and_comes_back_on_its_port() {
        let dir = tempfile::tempdir().unwrap();
        let servers = [mlserver(dir.path(), &["add"]), kserve(dir.path(), &["add"]), openai(dir.path(), 256, None)];
        for server in servers {
            let Some(mut server) = server.unwrap() else { return };
            server.stop().unwrap();
            assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
            server.start_again().unwrap();
            assert_eq!(status(server.port(), "/nowhere").unwrap(), 404);
        }
    }

    #[test]
    fn a_server_with_a_key_refuses_whoever_does_not_show_it() {
        let dir = tempfile::tempdir().unwrap();
        let Some(server) = openai(dir.path(), 256, Some("test-token")).unwrap() else { return };
        assert_eq!(status(server.port(), "/v1/models").unwrap(), 401);
    }
}
