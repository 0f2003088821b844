//! A Sparkplug host application that shares nothing with the daemon: `tests/peers/sparkplug_host.py` over pysparkplug, as
//! `make peers` installed it. It ends with its handle.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use crate::clock::{PATIENCE, eventually, eventually_blocking};
use crate::{peers, places};

/// The group of every test.
pub const GROUP: &str = "plant";
/// The host's id.
pub const HOST: &str = "scada1";

/// A host that runs.
#[derive(Debug)]
pub struct Host {
    child: Child,
    input: ChildStdin,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// Starts one that listens, and says nothing of itself yet. `None`, with the reason printed, where it is not installed.
    pub fn start(port: u16) -> Result<Option<Host>> {
        let Some(python) = peers::sparkplug()? else { return Ok(None) };
        let program = places::repository().join("tests/peers/sparkplug_host.py");
        let mut command = Command::new(python);
        command.arg(program).args([&port.to_string(), GROUP, HOST]).env_remove("PYTHONHOME");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().context("start the Sparkplug host")?;
        let input = child.stdin.take().context("the host has an input")?;
        let output = child.stdout.take().context("the host has an output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        std::thread::Builder::new().name("host".into()).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })?;
        let host = Host { child, input, lines };
        let is_ready = || Ok(host.lines().iter().any(|line| line == "ready").then_some(()));
        eventually_blocking("the host is ready", PATIENCE, is_ready)?;
        Ok(Some(host))
    }

    /// Gives it a line of input: words with tabs between.
    pub fn tell(&mut self, words: &[&str]) -> Result<()> {
        writeln!(self.input, "{}", words.join("\t")).context("tell the host")?;
        self.input.flush().context("tell the host")
    }

    /// Everything that it said.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much it said, to look only at what comes later.
    pub fn mark(&self) -> usize {
        self.lines().len()
    }

    /// Waits for a line after `mark`.
    pub async fn heard(&self, what: &str, mark: usize, fits: impl Fn(&str) -> bool) -> Result<String> {
        let what = format!("the host hears {what}");
        let line =
            eventually(&what, PATIENCE, async || Ok(self.lines().into_iter().skip(mark).find(|line| fits(line))));
        line.await.with_context(|| self.lines().join("\n"))
    }

    /// Its tree of tags.
    pub async fn tree(&mut self) -> Result<Vec<String>> {
        let mark = self.mark();
        self.tell(&["tree"])?;
        self.heard("the end of its tree", mark, |line| line == "end").await?;
        let is_tree = |line: &String| line.starts_with("  ") || line.ends_with(" online") || line.ends_with(" offline");
        Ok(self.lines().into_iter().skip(mark).take_while(|line| line != "end").filter(is_tree).collect())
    }

    /// Checks that no message was missing, late, or of something that was not born.
    pub fn found_no_fault(&self) -> Result<()> {
        let faults: Vec<String> =
            self.lines().into_iter().filter(|line| line.starts_with("gap ") || line.starts_with("unknown ")).collect();
        ensure!(faults.is_empty(), "the host found {faults:#?} in\n{}", self.lines().join("\n"));
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A word of a line, `NAME=VALUE`, as a number.
pub fn number(line: &str, name: &str) -> Result<u64> {
    let word = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    match word {
        Some(word) => word.parse().with_context(|| format!("{name} in {line}")),
        None => bail!("no {name} in {line}"),
    }
}
