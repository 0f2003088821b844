//! Where frames come from, besides the broker: [`folder`] (files, with [`shelf`] for which of them is next), [`snapshot`] (a
//! camera over HTTP, with [`fetch`] and [`digest`]), [`v4l2`] (a camera of this box). Each is a task that gives frames into a
//! bounded channel and never ends by itself: what goes wrong is counted, said in its [`Report`], and tried again. [`named`]
//! reads the frames that messages of the broker only name.

pub mod digest;
pub mod fetch;
pub mod folder;
pub mod named;
pub mod shelf;
pub mod snapshot;
pub mod v4l2;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::folder::Naming;
use crate::config::bindings::{BindingConfig, Source};
use crate::driver::clock::Clock;

/// First pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One frame.
#[derive(Debug)]
pub struct Frame {
    pub binding: Arc<str>,
    /// Name of the source, safe for topics and tags.
    pub source: String,
    /// What the wildcards stood for.
    pub captures: Vec<String>,
    pub payload: Bytes,
    pub content_type: Option<String>,
    /// When it came.
    pub at: SystemTime,
    /// Told what became of it, where the source waits for that. Dropped unanswered, the frame comes again.
    pub done: Option<oneshot::Sender<Fate>>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered, and the answer is safe: it need not come again.
    Settled,
    /// No model saw it, and that answer is safe. `passes`: later one may.
    Failed { passes: bool },
    /// There was no room for it: it may come again.
    Dropped,
}

/// How a source does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames that it gave.
    pub frames: u64,
    /// Times that something went wrong.
    pub failures: u64,
    /// What is wrong now; empty if nothing is.
    pub problem: String,
}

/// What every source is given.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub binding: Arc<str>,
    /// Name of the source if it is one by itself.
    pub source: String,
    pub frames: mpsc::Sender<Frame>,
    pub report: watch::Sender<Report>,
    pub clock: Clock,
    pub wall: fn() -> SystemTime,
    /// Largest frame.
    pub max_bytes: u64,
}

impl Outlet {
    /// Gives a frame, and waits while there is no room. False: nobody takes any more, and the source ends.
    async fn give(&self, frame: Frame) -> bool {
        let is_taken = self.frames.send(frame).await.is_ok();
        if is_taken {
            self.report.send_modify(|report| report.frames += 1);
        }
        is_taken
    }

    /// A frame of a camera: if nobody had time for the one before, this one is too many, and the next is newer.
    fn offer(&self, payload: Bytes, content_type: Option<String>) -> bool {
        let frame = Frame {
            binding: Arc::clone(&self.binding),
            source: self.source.clone(),
            captures: Vec::new(),
            payload,
            content_type,
            at: (self.wall)(),
            done: None,
        };
        match self.frames.try_send(frame) {
            Ok(()) => {
                self.report.send_modify(|report| report.frames += 1);
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Something went wrong.
    fn failed(&self, problem: String) {
        self.report.send_modify(|report| {
            report.failures += 1;
            if report.problem != problem {
                tracing::warn!(binding = %self.binding, %problem, "a source of frames has a problem");
                report.problem = problem;
            }
        });
    }

    /// All is well (again).
    fn well(&self) {
        self.report.send_if_modified(|report| {
            let was_not = !report.problem.is_empty();
            if was_not {
                tracing::info!(binding = %self.binding, "a source of frames is well again");
                report.problem.clear();
            }
            was_not
        });
    }
}

/// Starts the source of a binding; `None` for one that is a topic, whose frames the broker brings. `naming` says what a
/// source is called by what its wildcards stood for. It ends when the other end of the channel is gone.
pub fn spawn(binding: &BindingConfig, outlet: Outlet, naming: Naming) -> Option<JoinHandle<()>> {
    // Only as many files as are asked for at once: what waits lies on the disk, in no memory.
    let ahead = binding.limits.max_open.min(binding.limits.max_waiting);
    match &binding.source {
        Source::Topic(_) => None,
        Source::Folder(folder) => Some(tokio::spawn(folder::run(outlet, folder.clone(), ahead, naming))),
        Source::Snapshot(camera) => Some(tokio::spawn(snapshot::run(outlet, camera.clone()))),
        Source::Device(camera) => Some(tokio::spawn(v4l2::run(outlet, camera.clone()))),
    }
}

/// The pause after so many failures one after the other.
fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
}
