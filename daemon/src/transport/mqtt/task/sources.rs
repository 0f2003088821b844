//! The sources of bindings that are no topics: starts their tasks, takes their frames, and tells them when one is safe.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Task;
use crate::binding::reference::Allowed;
use crate::binding::reference::file;
use crate::binding::sources::fetch::{Fetched, Fetcher};
use crate::binding::sources::{Fate, Frame, Outlet, Report, folder, snapshot, v4l2};
use crate::config::bindings::{BindingConfig, Source};
use crate::driver::chain;
use crate::driver::clock::Clock;
use crate::transport::mqtt::Setup;
use crate::transport::mqtt::session::JobId;

/// Frames that wait for the loop: few, as each may be large.
const WAITING: usize = 4;

/// The running sources.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) frames: mpsc::Receiver<Frame>,
    /// How each does, by the name of its binding.
    reports: HashMap<Arc<str>, watch::Receiver<Report>>,
    /// Those that keep a frame until it is safe.
    waiting: HashMap<JobId, oneshot::Sender<Fate>>,
    /// Ends with this.
    _tasks: JoinSet<()>,
}

impl Sources {
    /// Starts those of the bindings that have one.
    pub(super) fn start(setup: &Setup) -> Sources {
        let (sender, frames) = mpsc::channel(WAITING);
        let (mut tasks, mut reports) = (JoinSet::new(), HashMap::new());
        for binding in &setup.bindings {
            let (report, reported) = watch::channel(Report::default());
            let name: Arc<str> = binding.name.as_str().into();
            let outlet = Outlet {
                binding: Arc::clone(&name),
                source: binding.source(&[], &setup.node, &setup.config.prefix),
                frames: sender.clone(),
                report,
                max_bytes: setup.config.max_request_bytes,
                clock: setup.clock,
                wall: setup.wall,
            };
            match &binding.source {
                Source::Topic(_) => continue,
                Source::Folder(folder) => {
                    let naming = naming(binding, setup);
                    tasks.spawn(folder::run(outlet, folder.clone(), binding.limits.max_open, naming))
                }
                Source::Snapshot(camera) => tasks.spawn(snapshot::run(outlet, camera.clone())),
                Source::Device(device) => tasks.spawn(v4l2::run(outlet, device.clone())),
            };
            reports.insert(name, reported);
        }
        Sources { frames, reports, waiting: HashMap::new(), _tasks: tasks }
    }

    /// A frame is settled, one way or the other.
    pub(super) fn tell(&mut self, job: JobId, fate: Fate) {
        if let Some(done) = self.waiting.remove(&job)
            && done.send(fate).is_err()
        {
            tracing::debug!("a source does not wait for its frame any more");
        }
    }

    /// What is wrong with the source of a binding; empty if nothing is.
    pub(super) fn problem_of(&self, binding: &str) -> String {
        self.reports.get(binding).map(|report| report.borrow().problem.clone()).unwrap_or_default()
    }
}

fn naming(binding: &BindingConfig, setup: &Setup) -> folder::Naming {
    let (binding, node, prefix) = (binding.clone(), setup.node.clone(), setup.config.prefix.clone());
    Arc::new(move |captures| binding.source(captures, &node, &prefix))
}

impl Task {
    /// A source has a frame.
    pub(super) fn on_given(&mut self, mut frame: Frame) {
        let now = self.clock.now();
        let job = frame.done.take().map(|done| {
            let job = self.binder.next_job();
            self.sources.waiting.insert(job, done);
            self.session.expect(job, 1);
            job
        });
        self.binder.given(now, frame, job);
    }

    /// The results of what a source gave are safe.
    pub(super) fn on_posted(&mut self, job: JobId) {
        self.sources.tell(job, Fate::Settled);
    }
}

/// Reads a frame that a message names, of at most so many bytes.
pub(super) async fn read(allowed: Allowed, most: u64, clock: Clock) -> Result<(Bytes, Option<String>), String> {
    match allowed {
        Allowed::File { root, below } => {
            let read = tokio::task::spawn_blocking(move || file::read(&root, &below, most)).await;
            let bytes = read.map_err(|error| format!("read it: {error}"))?.map_err(|error| chain(&error))?;
            Ok((bytes, None))
        }
        Allowed::Url(url) => {
            let mut fetcher = Fetcher::new(None, None, clock, most).map_err(|error| chain(&error))?;
            let Fetched { bytes, content_type } = fetcher.get(&url).await.map_err(|error| chain(&error))?;
            Ok((bytes, content_type))
        }
    }
}
