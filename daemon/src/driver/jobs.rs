//! Long work of the daemon, so that it can be watched and given up: what runs, how far it is, and what became of it.
//!
//! A table and nothing more: it is told what happens and at what time, and starts or ends no work itself. The driver
//! publishes it after each change.

use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::JobStatus;

/// Lines that are kept of what one job did.
pub const MOST_NOTES: usize = 200;
/// Ended jobs that can still be looked at.
pub const KEPT_ENDED: usize = 32;

/// Number of a job; never used twice in one life of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Compiles a model for a provider.
    Build,
    /// Measures ways to run a model.
    Tune,
    /// Puts a bundle into the store, and activates it perhaps.
    Install,
    /// Fetches a bundle, puts it into the store, and activates it perhaps.
    Pull,
    /// Makes another version of a model the active one.
    Activate,
    /// Takes the version before back.
    Rollback,
    /// Writes plans and engines into a file for other boxes.
    Export,
    /// Takes over plans and engines of another box.
    Import,
}

impl Operation {
    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Build => "build",
            Operation::Tune => "tune",
            Operation::Install => "install",
            Operation::Pull => "pull",
            Operation::Activate => "activate",
            Operation::Rollback => "rollback",
            Operation::Export => "export",
            Operation::Import => "import",
        }
    }
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    Running,
    Done,
    /// Why.
    Failed(String),
    /// Given up on request.
    Cancelled,
}

impl JobState {
    /// The word used on every surface.
    pub fn as_str(&self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed(_) => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

/// One job.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub operation: Operation,
    /// `name:version`.
    pub model: String,
    /// What of the model, for example `fp32 on openvino`; may be empty.
    pub detail: String,
    pub state: JobState,
    phase: String,
    percent: Option<u8>,
    notes: Vec<String>,
    began: Mono,
    ended: Option<Mono>,
    expected: Option<Duration>,
}

impl Job {
    fn status(&self, now: Mono) -> JobStatus {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        JobStatus {
            id: self.id.0,
            operation: self.operation.as_str().into(),
            model: self.model.clone(),
            detail: self.detail.clone(),
            phase: self.phase.clone(),
            percent: self.percent.map_or(-1, i32::from),
            elapsed_ms: millis(self.ended.unwrap_or(now).since(self.began)),
            expected_ms: self.expected.map_or(0, millis),
            state: self.state.as_str().into(),
            notes: self.notes.clone(),
            last_error: if let JobState::Failed(why) = &self.state { why.clone() } else { String::new() },
        }
    }
}

/// The jobs of the daemon: those that run, and the last ones that ended. What runs is bounded by what can: whoever begins
/// a job does it for one setup or one model at a time.
#[derive(Debug, Default)]
pub struct Jobs {
    list: Vec<Job>,
    last: u64,
    changed: bool,
}

impl Jobs {
    /// A job begins; `expected` is how long earlier ones of its kind took, where that is known.
    pub fn begin(
        &mut self,
        now: Mono,
        operation: Operation,
        model: String,
        detail: String,
        expected: Option<Duration>,
    ) -> JobId {
        self.last += 1;
        let id = JobId(self.last);
        tracing::info!(job = id.0, operation = operation.as_str(), %model, %detail, "job begins");
        self.list.push(Job {
            id,
            operation,
            model,
            detail,
            state: JobState::Running,
            phase: String::new(),
            percent: None,
            notes: Vec::new(),
            began: now,
            ended: None,
            expected,
        });
        self.changed = true;
        id
    }

    /// A running job has found out which model it is about.
    pub fn about(&mut self, id: JobId, model: &str) {
        let Some(job) = self.running(id).filter(|job| job.model != model) else { return };
        job.model = model.into();
        self.changed = true;
    }

    /// What a running job does now, and how far it is of 100, where that is known.
    pub fn phase(&mut self, id: JobId, phase: &str, percent: Option<u8>) {
        let percent = percent.map(|percent| percent.min(100));
        let Some(job) = self.running(id).filter(|job| job.phase != phase || job.percent != percent) else { return };
        job.phase = phase.into();
        job.percent = percent;
        self.changed = true;
    }

    /// What a running job has done, one line each; the first [`MOST_NOTES`] are kept.
    pub fn tell(&mut self, id: JobId, mut notes: Vec<String>) {
        let Some(job) = self.running(id) else { return };
        if notes.len() > MOST_NOTES {
            let more = notes.len() - MOST_NOTES;
            notes.truncate(MOST_NOTES);
            notes.push(format!("and {more} more"));
        }
        job.notes = notes;
        self.changed = true;
    }

    /// It ended by itself.
    pub fn finish(&mut self, now: Mono, id: JobId, result: Result<(), String>) {
        let state = match result {
            Ok(()) => JobState::Done,
            Err(why) => JobState::Failed(why),
        };
        self.end(now, id, state);
    }

    /// It was given up on request.
    pub fn cancelled(&mut self, now: Mono, id: JobId) {
        self.end(now, id, JobState::Cancelled);
    }

    fn end(&mut self, now: Mono, id: JobId, state: JobState) {
        let Some(job) = self.running(id) else { return };
        if state == JobState::Done {
            job.percent = Some(100);
        }
        job.state = state;
        job.ended = Some(now);
        let took_ms = job.status(now).elapsed_ms;
        let (operation, model, state) = (job.operation.as_str(), &job.model, job.state.as_str());
        tracing::info!(job = id.0, operation, %model, state, took_ms, "job ended");
        self.changed = true;
        let ended = self.list.iter().filter(|job| job.state != JobState::Running).count();
        for _ in KEPT_ENDED..ended {
            self.forget_oldest();
        }
    }

    /// Lets go of the one that ended first.
    fn forget_oldest(&mut self) {
        let ended = self.list.iter().enumerate().filter_map(|(at, job)| Some((job.ended?, job.id, at)));
        if let Some((_, _, at)) = ended.min() {
            self.list.remove(at);
        }
    }

    fn running(&mut self, id: JobId) -> Option<&mut Job> {
        self.list.iter_mut().find(|job| job.id == id && job.state == JobState::Running)
    }

    /// Whether a job has not ended.
    pub fn is_running(&self, id: JobId) -> bool {
        self.get(id).is_some_and(|job| job.state == JobState::Running)
    }

    /// A job by its number.
    pub fn get(&self, id: JobId) -> Option<&Job> {
        self.list.iter().find(|job| job.id == id)
    }

    /// Numbers of those that run.
    pub fn running_ids(&self) -> Vec<u64> {
        self.list.iter().filter(|job| job.state == JobState::Running).map(|job| job.id.0).collect()
    }

    /// All as they cross the bus, in the order in which they began.
    pub fn status(&self, now: Mono) -> Vec<JobStatus> {
        self.list.iter().map(|job| job.status(now)).collect()
    }

    /// Whether something changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::default().after(Duration::from_millis(ms))
    }

    fn begin(jobs: &mut Jobs, ms: u64) -> JobId {
        let expected = Some(Duration::from_secs(9));
        jobs.begin(at(ms), Operation::Build, "a:1.0.0".into(), "fp32 on openvino".into(), expected)
    }

    #[test]
    fn a_job_tells_how_far_it_is_and_how_it_ended() {
        let mut jobs = Jobs::default();
        let id = begin(&mut jobs, 100);
        jobs.phase(id, "compiling", Some(140));
        let running = JobStatus {
            id: 1,
            operation: "build".into(),
            model: "a:1.0.0".into(),
            detail: "fp32 on openvino".into(),
            phase: "compiling".into(),
            percent: 100,
            elapsed_ms: 400,
            expected_ms: 9000,
            state: "running".into(),
            notes: Vec::new(),
            last_error: String::new(),
        };
        assert_eq!(jobs.status(at(500)), std::slice::from_ref(&running));
        jobs.phase(id, "checking", None);
        jobs.finish(at(700), id, Err("no room".into()));
        let failed = JobStatus {
            phase: "checking".into(),
            percent: -1,
            elapsed_ms: 600,
            state: "failed".into(),
            last_error: "no room".into(),
            ..running
        };
        assert_eq!(jobs.status(at(9000)), [failed]);
    }

    #[test]
    fn what_a_job_did_is_told_and_bounded() {
        let mut jobs = Jobs::default();
        let id = begin(&mut jobs, 1);
        jobs.tell(id, (0..203).map(|number| number.to_string()).collect());
        jobs.finish(at(2), id, Ok(()));
        let notes = jobs.status(at(3)).remove(0).notes;
        assert_eq!((notes.len(), notes[199].as_str(), notes[200].as_str()), (201, "199", "and 3 more"));
    }

    #[test]
    fn what_has_ended_does_not_change_any_more() {
        type End = fn(&mut Jobs, JobId);
        let ends: [(End, &str, i32); 3] = [
            (|jobs, id| jobs.finish(at(2), id, Ok(())), "done", 100),
            (|jobs, id| jobs.finish(at(2), id, Err("x".into())), "failed", -1),
            (|jobs, id| jobs.cancelled(at(2), id), "cancelled", -1),
        ];
        for (end, word, percent) in ends {
            let mut jobs = Jobs::default();
            let id = begin(&mut jobs, 1);
            end(&mut jobs, id);
            assert!(jobs.take_changed());
            jobs.phase(id, "late", Some(1));
            jobs.finish(at(9), id, Ok(()));
            jobs.cancelled(at(9), id);
            let status = jobs.status(at(10)).remove(0);
            assert_eq!((status.state.as_str(), status.percent, status.elapsed_ms), (word, percent, 1));
            assert_eq!((status.phase.as_str(), jobs.take_changed()), ("", false), "{word}");
        }
    }

    #[test]
    fn every_change_is_told_and_what_is_none_is_not() {
        let mut jobs = Jobs::default();
        assert!(!jobs.take_changed());
        let id = begin(&mut jobs, 1);
        assert!(jobs.take_changed());
        jobs.phase(id, "waiting", None);
        assert!(jobs.take_changed());
        jobs.phase(id, "waiting", None);
        assert!(!jobs.take_changed());
    }

    #[test]
    fn the_ended_ones_are_bounded_and_the_oldest_go_whatever_still_runs() {
        let mut jobs = Jobs::default();
        let first = begin(&mut jobs, 0);
        let late = begin(&mut jobs, 0);
        for number in 0..40 {
            let id = begin(&mut jobs, number);
            jobs.finish(at(number + 1), id, Ok(()));
        }
        jobs.cancelled(at(100), late);
        assert_eq!(jobs.running_ids(), [first.0]);
        let ids: Vec<u64> = jobs.status(at(100)).iter().map(|job| job.id).collect();
        // What began early and ended last is kept.
        let expected: Vec<u64> = [first.0, late.0].into_iter().chain(12..=42).collect();
        assert_eq!((ids.len(), ids), (KEPT_ENDED + 1, expected));
    }
}
