//! The sources of bindings that are no topics: starts their tasks, takes their frames, and tells them when one is safe.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::Task;
use crate::binding::sources::folder::Naming;
use crate::binding::sources::{self, Fate, Frame, Outlet, Report};
use crate::config::bindings::BindingConfig;
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
    waiting: HashMap<JobId, (oneshot::Sender<Fate>, Fate)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sources {
    /// Starts those of the bindings that have one.
    pub(super) fn start(setup: &Setup) -> Sources {
        let (sender, frames) = mpsc::channel(WAITING);
        let (mut tasks, mut reports) = (Vec::new(), HashMap::new());
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
            if let Some(task) = sources::spawn(binding, outlet, naming(binding, setup)) {
                tasks.push(task);
                reports.insert(name, reported);
            }
        }
        Sources { frames, reports, waiting: HashMap::new(), tasks }
    }

    /// A frame is settled, one way or the other.
    pub(super) fn tell(&mut self, job: JobId, fate: Fate) {
        if let Some((done, _)) = self.waiting.remove(&job)
            && done.send(fate).is_err()
        {
            tracing::debug!("a source does not wait for its frame any more");
        }
    }

    /// The answer to a frame is that there is none; that is told when it is safe.
    pub(super) fn failed(&mut self, job: JobId, passes: bool) {
        if let Some((_, fate)) = self.waiting.get_mut(&job) {
            *fate = Fate::Failed { passes };
        }
    }

    /// What became of a frame is safe.
    pub(super) fn safe(&mut self, job: JobId) {
        if let Some((_, fate)) = self.waiting.get(&job) {
            self.tell(job, *fate);
        }
    }

    /// What is wrong with the source of a binding; empty if nothing is.
    pub(super) fn problem_of(&self, binding: &str) -> String {
        self.reports.get(binding).map(|report| report.borrow().problem.clone()).unwrap_or_default()
    }
}

impl Drop for Sources {
    /// A source ends by itself only when it has a frame that nobody takes.
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn naming(binding: &BindingConfig, setup: &Setup) -> Naming {
    let (binding, node, prefix) = (binding.clone(), setup.node.clone(), setup.config.prefix.clone());
    Arc::new(move |captures| binding.source(captures, &node, &prefix))
}

impl Task {
    /// A source has a frame.
    pub(super) fn on_given(&mut self, mut frame: Frame) {
        let now = self.clock.now();
        let job = frame.done.take().map(|done| {
            let job = self.binder.next_job();
            self.sources.waiting.insert(job, (done, Fate::Settled));
            self.session.expect(job, 1);
            job
        });
        self.binder.given(now, frame, job);
    }

    /// The results of what a source gave are safe.
    pub(super) fn on_posted(&mut self, job: JobId) {
        self.sources.safe(job);
    }
}
