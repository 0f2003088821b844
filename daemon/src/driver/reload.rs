//! Takes over a changed configuration: it is read on a thread of its own, as the disk that it lies on may not answer.

use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::Problem;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::sites::Named;
use super::{Driver, answer};
use crate::config::Config;

/// Reads the configuration again. Waits for the disk.
pub type ReadConfig = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// How long reading may take before it is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// A caller who wants to know how it went.
type Asked = oneshot::Sender<Result<(), String>>;

/// The configuration, and what is in the files that it names.
type Read = Result<(Config, Named), String>;

/// What is under way, and how the last reload went.
#[derive(Default)]
pub(super) struct Reloading {
    reading: Option<JoinHandle<Read>>,
    /// Since when.
    since: Mono,
    /// For whom it is read.
    asked: Vec<Asked>,
    /// Those who asked since reading began: the files may have changed since.
    later: Vec<Asked>,
    /// Why the last one was not taken over.
    fault: Option<String>,
    /// Keys whose new values wait for a restart.
    pub(super) pending: Vec<String>,
}

impl Reloading {
    /// The configuration that is being read; waits for ever if none is.
    pub(super) async fn read(&mut self) -> Read {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let read = reading.await;
        self.reading = None;
        read.unwrap_or_else(|error| Err(format!("read the configuration: {error}")))
    }

    fn start(&mut self, now: Mono, read: &ReadConfig) {
        self.since = now;
        let read = read.clone();
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let config = read()?;
            let named = Named::read(&config);
            Ok((config, named))
        }));
    }

    /// What is wrong, while the file on disk is not what holds.
    pub(super) fn problem(&self, now: Mono) -> Option<Problem> {
        let reading = now.since(self.since);
        if self.reading.is_some() && reading >= PATIENCE {
            return Some(Problem {
                subject: "config".into(),
                what: format!("being read for {} s, the old one holds", reading.as_secs()),
                remedy: "look at the disk that the configuration lies on; is a file of it a pipe?".into(),
            });
        }
        self.fault.as_ref().map(|why| Problem {
            subject: "config".into(),
            what: format!("not taken over, the old one holds: {why}"),
            remedy: "correct these keys, then `edgectl reload`".into(),
        })
    }
}

impl Driver {
    /// Begins to read, or notes that what is being read will be out of date.
    pub(super) fn reload(&mut self, done: Asked) {
        if self.reloading.reading.is_some() {
            self.reloading.later.push(done);
        } else {
            self.reloading.asked.push(done);
            self.reloading.start(self.now, &self.outside.reload);
        }
    }

    /// Takes over what can change while running, and notes the rest.
    pub(super) fn reloaded(&mut self, read: Read) {
        self.now = self.clock.now();
        let result = read.and_then(|(config, named)| {
            self.take_routing(&config, named)?;
            self.reloading.pending = self.config.pending(&config);
            tracing::info!(waiting_for_a_restart = ?self.reloading.pending, "policy reloaded");
            self.config.files = config.files;
            self.config.warnings = config.warnings;
            if self.config.models.objective != config.models.objective {
                self.config.models.objective = config.models.objective;
                self.adopt_again();
            }
            self.look_for_runtime();
            Ok(())
        });
        self.look_into_inbox();
        if let Err(why) = &result {
            tracing::error!(%why, "configuration not taken over; the old one holds");
        }
        self.reloading.fault = result.clone().err();
        self.touch();
        for done in std::mem::take(&mut self.reloading.asked) {
            answer(done, result.clone());
        }
        if !self.reloading.later.is_empty() {
            self.reloading.asked = std::mem::take(&mut self.reloading.later);
            self.reloading.start(self.now, &self.outside.reload);
        }
    }
}
