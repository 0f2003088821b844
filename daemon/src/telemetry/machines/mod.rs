//! Simulated machines: trees of files that behave, read by the very same probes as a real one. `boards` says what there
//! is, `tree` which files that makes, `life` how they move, `told` what libraries would tell; here they are put on disk,
//! kept moving, and taken away again.
//!
//! Whoever writes a number from 0 to 1 into `sim/load` below the tree sets the load, and degrees Celsius in `sim/ambient`
//! the surroundings; without them the load is a slow wave.

mod boards;
mod life;
mod told;
mod tree;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

pub use boards::Board;
pub use told::source;

use super::node;
use boards::BOARDS;
use life::Life;
use tree::{Entry, Moving, Tree, What};

/// How often files move.
const TICK: Duration = Duration::from_millis(250);
/// Below the runtime directory.
const DIR: &str = "machines";
/// Where a file is written before it takes its place.
const NEW: &str = "sim/.new";

/// Why a machine cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("make the simulated machine in {path}")]
    Make { path: PathBuf, source: io::Error },
    #[error("start the thread of the simulated machine")]
    Thread(#[source] io::Error),
}

/// The machine that `machine=NAME` asks for; what is wrong with it, with what there is.
pub fn asked(text: &str) -> Result<&'static Board, String> {
    let names = || BOARDS.map(|board| board.name).join(", ");
    let (key, name) = text.split_once('=').unwrap_or((text, ""));
    if key != "machine" {
        return Err(format!("unknown key {key:?}: `machine=NAME`, with NAME one of {}", names()));
    }
    let board = BOARDS.into_iter().find(|board| board.name == name);
    board.ok_or_else(|| format!("unknown machine {name:?}: there are {}", names()))
}

/// A machine that runs. It ends with this, and its files go.
#[derive(Debug)]
pub struct Machine {
    /// As it was asked for.
    pub name: &'static str,
    /// Where its `/sys`, `/proc`, `/etc` and `/var` are.
    pub root: PathBuf,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Machine {
    /// Makes the files of `board` below the runtime directory, and keeps them moving. What machines of daemons that are gone
    /// left there is removed.
    pub fn start(board: &'static Board, runtime_dir: &Path) -> Result<Machine, MachineError> {
        let dir = runtime_dir.join(DIR);
        remove_stale(&dir);
        let root = dir.join(format!("{}-{}", board.name, std::process::id()));
        let made = Running::make(board, &root);
        let mut running = made.map_err(|source| MachineError::Make { path: root.clone(), source })?;
        let (wake, woken) = channel();
        let thread = std::thread::Builder::new().name("machine".into()).stack_size(256 << 10);
        let thread = thread.spawn(move || running.run(&woken)).map_err(MachineError::Thread)?;
        Ok(Machine { name: board.name, root, wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.wake = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(machine = self.name, "the thread of the simulated machine ended by a fault");
        }
        if let Err(error) = fs::remove_dir_all(&self.root) {
            tracing::warn!(dir = %self.root.display(), %error, "remove the simulated machine");
        }
    }
}

/// Removes what daemons that are gone left behind.
fn remove_stale(dir: &Path) {
    for path in node::entries(dir) {
        let pid = node::name(&path).rsplit_once('-').and_then(|(_, pid)| pid.parse::<u32>().ok());
        let lives = |pid: u32| pid != std::process::id() && Path::new("/proc").join(pid.to_string()).exists();
        if pid.is_some_and(|pid| !lives(pid))
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(dir = %path.display(), %error, "remove a simulated machine of a daemon that is gone");
        }
    }
}

/// What the thread has.
#[derive(Debug)]
struct Running {
    root: PathBuf,
    tree: Tree,
    life: Life,
    /// The other ends of pipes that nobody fills.
    held: Vec<(String, File)>,
    failing: bool,
}

impl Running {
    fn make(board: &'static Board, root: &Path) -> io::Result<Running> {
        let boot_id = node::text(Path::new("/proc/sys/kernel/random/uuid")).unwrap_or_default();
        let start =
            boot_id.bytes().fold(std::process::id(), |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let tree = tree::tree(board, start, &boot_id);
        fs::create_dir_all(root.join("sim"))?;
        let life = Life::new(board.name, board.watts);
        let mut running = Running { root: root.to_owned(), tree, life, held: Vec::new(), failing: false };
        let files = running.tree.files.clone();
        files.iter().try_for_each(|(path, entry)| running.put(path, entry))?;
        running.show()?;
        Ok(running)
    }

    fn run(&mut self, woken: &Receiver<()>) {
        while !matches!(woken.recv_timeout(TICK), Err(RecvTimeoutError::Disconnected)) {
            let set = |file: &str| node::number(&self.root.join(file));
            let (load, ambient) = (set("sim/load"), set("sim/ambient"));
            self.life.step(TICK.as_secs_f64(), load, ambient);
            let shown = self.arrive().and_then(|()| self.show());
            if let (Err(error), false) = (&shown, self.failing) {
                tracing::warn!(dir = %self.root.display(), %error, "move the files of the simulated machine");
            }
            self.failing = shown.is_err();
        }
    }

    /// Lets what comes late come.
    fn arrive(&mut self) -> io::Result<()> {
        if self.life.time < life::LATE || self.tree.late_moving.is_empty() {
            return Ok(());
        }
        let late = std::mem::take(&mut self.tree.late);
        late.iter().try_for_each(|(path, entry)| self.put(path, entry))?;
        let moving = std::mem::take(&mut self.tree.late_moving);
        self.tree.moving.extend(moving);
        Ok(())
    }

    /// Writes what moves.
    fn show(&mut self) -> io::Result<()> {
        for index in 0..self.tree.moving.len() {
            let Moving { path, what } = self.tree.moving[index].clone();
            let sleeps = matches!(what, What::Zone { only_busy: true, .. }) && !self.life.is_busy();
            let held = self.held.iter().position(|(place, _)| *place == path);
            match (sleeps, held) {
                (true, Some(_)) => {}
                (true, None) => self.put(&path, &Entry::Pipe)?,
                (false, held) => {
                    self.put(&path, &Entry::Text(format!("{}\n", self.life.text(what))))?;
                    held.map(|place| self.held.swap_remove(place));
                }
            }
        }
        Ok(())
    }

    /// Puts something in its place at once: whoever reads sees what was there before, or all of it.
    fn put(&mut self, path: &str, entry: &Entry) -> io::Result<()> {
        let (new, place) = (self.root.join(NEW), self.root.join(path));
        let above = place.parent().unwrap_or(&self.root);
        if !above.is_dir() {
            fs::create_dir_all(above)?;
        }
        match entry {
            Entry::Dir => return fs::create_dir_all(&place),
            Entry::Text(text) => fs::write(&new, text)?,
            Entry::Link(target) => std::os::unix::fs::symlink(target, &new)?,
            Entry::Pipe => {
                rustix::fs::mknodat(CWD, &new, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
                let end = OpenOptions::new().read(true).write(true).open(&new)?;
                self.held.push((path.to_owned(), end));
            }
        }
        fs::rename(&new, &place)
    }
}

#[cfg(test)]
mod tests;
