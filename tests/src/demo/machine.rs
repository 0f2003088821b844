//! A machine whose two thermometers say what they are told: a copy of the files that a kernel has, for `edged --root`. It warms
//! and cools as slowly as a box does, because what falls faster is not believed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Thousandths of a degree: where the box is when all is well, and where nothing may run.
const WELL: i64 = 58_000;
const HOT: i64 = 74_000;
/// Its trips: it slows itself down at the first and ends at the second.
const TRIPS: [(&str, &str); 2] = [("passive", "70000"), ("critical", "90000")];
/// How often the files are written, and what they may move by then: less than 6 K a second, which no box makes.
const TICK: Duration = Duration::from_millis(250);
const STEP: i64 = 1_100;
/// A thermometer is never quite still.
const TREMBLE: [i64; 4] = [0, 150, -100, 50];

/// The files, and what keeps them moving; both end with the value.
#[derive(Debug)]
pub struct Machine {
    goal: Arc<AtomicI64>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    root: TempDir,
}

impl Machine {
    /// A machine that is well.
    pub fn start() -> Result<Machine> {
        let root = tempfile::Builder::new().prefix("edged-machine-").tempdir().context("make a directory")?;
        for (number, name) in ["cpu-thermal", "soc-thermal"].into_iter().enumerate() {
            let zone = zone(root.path(), number);
            fs::create_dir_all(&zone)?;
            fs::write(zone.join("type"), name)?;
            for (number, (kind, temp)) in TRIPS.into_iter().enumerate() {
                fs::write(zone.join(format!("trip_point_{number}_type")), kind)?;
                fs::write(zone.join(format!("trip_point_{number}_temp")), temp)?;
            }
        }
        show(root.path(), WELL, 0)?;
        let goal = Arc::new(AtomicI64::new(WELL));
        let (stop, stopped) = channel();
        let (told, path) = (Arc::clone(&goal), root.path().to_path_buf());
        let thread = std::thread::Builder::new().name("machine".into()).spawn(move || {
            let (mut now, mut tick) = (WELL, 0_usize);
            while matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
                let goal = told.load(Ordering::Relaxed);
                now += (goal - now).clamp(-STEP, STEP);
                tick += 1;
                // One that cannot be written stands still, which the daemon doubts and the demonstration finds.
                show(&path, now, tick).ok();
            }
        })?;
        Ok(Machine { goal, stop: Some(stop), thread: Some(thread), root })
    }

    /// What `--root` takes.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Heats it, or lets it cool.
    pub fn heat(&self, hot: bool) {
        self.goal.store(if hot { HOT } else { WELL }, Ordering::Relaxed);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn zone(root: &Path, number: usize) -> std::path::PathBuf {
    root.join(format!("sys/class/thermal/thermal_zone{number}"))
}

fn show(root: &Path, now: i64, tick: usize) -> Result<()> {
    for number in 0..2 {
        let zone = zone(root, number);
        let temp = now + TREMBLE[(tick + number) % TREMBLE.len()];
        let new = zone.join(".new");
        fs::write(&new, format!("{temp}\n"))?;
        // Whoever reads finds the whole of it.
        fs::rename(new, zone.join("temp"))?;
    }
    Ok(())
}
