//! The interface `Job`: one object for each job that runs or ended lately. Its state is what the driver published.

use edge_wire::dto::{JobStatus, Status};
use edge_wire::names::{action, job_path};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedObjectPath, interface};

use super::arguments::Given;
use super::authorize::Access;
use super::door::Door;
use super::error::{No, internal};
use crate::handle::Message;
use crate::request::Failure;

/// The path of a job's object.
pub fn path(job: &JobStatus) -> Result<OwnedObjectPath, Failure> {
    ObjectPath::try_from(job_path(job.id))
        .map(Into::into)
        .map_err(|error| internal(format!("name the object of job {}: {error}", job.id)))
}

/// The job of this number among those of a state.
pub fn find(status: &Status, id: u64) -> Option<&JobStatus> {
    status.jobs.iter().find(|job| job.id == id)
}

/// What `Completed` says of a state; `None` while the job runs.
fn outcome(state: &str) -> Option<i32> {
    match state {
        "running" => None,
        "done" => Some(0),
        "cancelled" => Some(2),
        _ => Some(1),
    }
}

/// The interface of one job.
#[derive(Debug)]
pub struct Job {
    door: Door,
    id: u64,
}

impl Job {
    /// The object of `job`.
    pub fn new(door: Door, job: &JobStatus) -> Job {
        Job { door, id: job.id }
    }

    /// A field as last published; empty once the job is forgotten, shortly before its object is.
    fn field<T: Default>(&self, field: impl FnOnce(&JobStatus) -> T) -> T {
        find(&self.door.status(), self.id).map(field).unwrap_or_default()
    }

    /// Signals what changed between two states of the job; one that was not there before has ended at most.
    pub async fn announce(
        &self,
        old: Option<&JobStatus>,
        new: &JobStatus,
        emitter: &SignalEmitter<'_>,
    ) -> zbus::Result<()> {
        if let Some(old) = old {
            if (old.percent, &old.phase) != (new.percent, &new.phase) {
                self.progress_changed(emitter).await?;
            }
            if old.phase != new.phase {
                self.phase_changed(emitter).await?;
            }
            if old.expected_ms != new.expected_ms {
                self.expected_ms_changed(emitter).await?;
            }
            if old.notes != new.notes {
                self.notes_changed(emitter).await?;
            }
            if old.last_error != new.last_error {
                self.last_error_changed(emitter).await?;
            }
            if old.state != new.state {
                self.state_changed(emitter).await?;
            }
        }
        match outcome(&new.state) {
            Some(outcome) if old.is_none_or(|old| old.state == "running") => Job::completed(emitter, outcome).await,
            _ => Ok(()),
        }
    }
}

#[interface(name = "org.edged.Edge1.Job")]
impl Job {
    /// Gives it up; returns when that is under way, Completed tells of its end.
    async fn cancel(&self, options: Given, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        let _unused = options;
        let _place = self.door.open(&header, Access::Change { action: action::CANCEL, call: &header }).await?;
        let id = self.id;
        Ok(self.door.service.handle.ask(|done| Message::CancelJob { id, done }).await??)
    }

    /// build, tune, install, pull, activate, rollback, export or import.
    #[zbus(property(emits_changed_signal = "const"))]
    fn operation(&self) -> String {
        self.field(|job| job.operation.clone())
    }

    /// The model that it is about, as name:version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn model(&self) -> String {
        self.field(|job| job.model.clone())
    }

    /// What of the model: a variant and its provider, or nothing.
    #[zbus(property(emits_changed_signal = "const"))]
    fn detail(&self) -> String {
        self.field(|job| job.detail.clone())
    }

    /// What it does now.
    #[zbus(property)]
    fn phase(&self) -> String {
        self.field(|job| job.phase.clone())
    }

    /// Percent (-1 where nobody knows), what it does now, and the depth of that, which is always 1.
    #[zbus(property)]
    fn progress(&self) -> (i32, String, i32) {
        self.field(|job| (job.percent, job.phase.clone(), 1))
    }

    /// Since it began, in milliseconds; of an ended one, how long it took.
    #[zbus(property(emits_changed_signal = "false"))]
    fn elapsed_ms(&self) -> u64 {
        self.field(|job| job.elapsed_ms)
    }

    /// How long the last one like it took, in milliseconds; 0 where there was none.
    #[zbus(property)]
    fn expected_ms(&self) -> u64 {
        self.field(|job| job.expected_ms)
    }

    /// running, done, failed or cancelled.
    #[zbus(property)]
    fn state(&self) -> String {
        self.field(|job| job.state.clone())
    }

    /// What it did, one line each.
    #[zbus(property)]
    fn notes(&self) -> Vec<String> {
        self.field(|job| job.notes.clone())
    }

    /// Why it failed; empty otherwise.
    #[zbus(property)]
    fn last_error(&self) -> String {
        self.field(|job| job.last_error.clone())
    }

    /// It ended: 0 done, 1 failed, 2 cancelled.
    #[zbus(signal)]
    async fn completed(emitter: &SignalEmitter<'_>, result: i32) -> zbus::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_ended_is_completed() {
        for (state, expected) in [("running", None), ("done", Some(0)), ("failed", Some(1)), ("cancelled", Some(2))] {
            assert_eq!(outcome(state), expected, "{state}");
        }
    }
}
