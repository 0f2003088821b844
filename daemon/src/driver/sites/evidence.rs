//! What speaks for and against the guarantee of the learnt model: what comparisons found, kept over restarts, and whether the model
//! may be asked. Must not know how answers are compared.
//!
//! The disk is only touched by jobs off the loop, one at a time. Until the record of a model was read the model is not asked, as it
//! may be a withdrawn one; so it is with a record that cannot be read.
//!
//! A kill loses what was not written: at most [`PACE`] of the sample, and a withdrawal that was not yet on its way to the disk, which is
//! decided again when as much was seen again. Both only take evidence away, so a guarantee that holds is withdrawn no more often than was
//! set, as kills do not choose among answers; one that does not hold is found that much later, and this errs to the side of asking
//! the model. The first answer after a quiet minute is written at once: where few are compared, next to nothing is lost, and a box
//! that is started anew more often than once a minute still gathers evidence.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_core::quality::{Found, Recheck, Standing, Withdrawn};
use edge_core::{Mono, Ratio};
use edge_wire::dto::Problem;
use tokio::task::JoinHandle;

use crate::difficulty::model::Guarantee;
use crate::difficulty::record::{self, Share};
use crate::driver::{Driver, State, chain};

/// Records are written no more often, but at a withdrawal and at the end: 1,440 small files a day at most do a flash disk no harm.
const PACE: Duration = Duration::from_secs(60);
/// What problems are called by.
const SUBJECT: &str = "routing.difficulty_model";

/// What was found of the learnt model that is in use, or was last.
pub(in crate::driver) struct Evidence {
    /// Where records are.
    dir: PathBuf,
    /// Digest of the model's file; empty before there was one.
    model: String,
    /// Grows with each model: what was rated by an earlier one says nothing of this.
    life: u64,
    phase: Phase,
    shares: Vec<Checked>,
    withdrawn: Option<Withdrawn>,
    job: Option<Job>,
    /// Why the last record could not be written.
    unkept: Option<String>,
    /// Something was found that is not on its way to the disk.
    changed: bool,
    /// It is not to wait.
    urgent: bool,
    next_write: Mono,
}

/// What is known of the record.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Unread,
    Read,
    Unreadable(String),
}

/// One share of the answers.
struct Checked {
    permille: u64,
    /// What the record said.
    before: Found,
    /// `None` until a rule names this share.
    recheck: Option<Recheck>,
}

impl Checked {
    fn found(&self) -> Found {
        self.recheck.as_ref().map_or(self.before, Recheck::found)
    }
}

/// A record on its way from or to the disk.
struct Job {
    /// Whose it is.
    life: u64,
    task: Task,
}

enum Task {
    Open(JoinHandle<Result<Vec<Share>, String>>),
    Write(JoinHandle<Result<(), String>>),
}

/// What came of a job.
#[derive(Debug)]
pub(in crate::driver) struct Done {
    life: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Opened(Result<Vec<Share>, String>),
    Written(Result<(), String>),
}

impl Evidence {
    /// Of no model yet.
    pub fn new(state_dir: &Path) -> Evidence {
        Evidence {
            dir: record::dir(state_dir),
            model: String::new(),
            life: 0,
            phase: Phase::Unread,
            shares: Vec::new(),
            withdrawn: None,
            job: None,
            unkept: None,
            changed: false,
            urgent: false,
            next_write: Mono::default(),
        }
    }

    /// The model whose file has this digest is in use from now on. What was found of the same one stays; a record that could not be
    /// read is tried again.
    pub fn take(&mut self, model: &str) {
        if self.model == model {
            if matches!(self.phase, Phase::Unreadable(_)) {
                self.phase = Phase::Unread;
            }
            return;
        }
        model.clone_into(&mut self.model);
        self.life += 1;
        (self.phase, self.shares, self.withdrawn) = (Phase::Unread, Vec::new(), None);
        (self.unkept, self.changed, self.urgent) = (None, false, false);
    }

    /// Which model this is about now.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Why the learnt model is not to be asked, if so.
    pub fn bars(&self) -> Option<String> {
        match (&self.phase, self.withdrawn) {
            (Phase::Unread, _) => Some("what was found of the learnt model before is still being read".into()),
            (Phase::Unreadable(why), _) => Some(format!("what was found of the learnt model cannot be read: {why}")),
            (Phase::Read, Some(why)) => Some(words(why)),
            (Phase::Read, None) => None,
        }
    }

    /// The check of a share; `None` while nothing may be counted.
    pub fn of(&mut self, rate: Ratio, guarantee: &Guarantee) -> Option<&mut Recheck> {
        if self.phase != Phase::Read {
            return None;
        }
        let permille = rate.of(1000);
        let at = self.shares.iter().position(|share| share.permille == permille).unwrap_or_else(|| {
            self.shares.push(Checked { permille, before: Found::default(), recheck: None });
            self.shares.len() - 1
        });
        let share = self.shares.get_mut(at)?;
        if share.recheck.is_none() {
            let target = Ratio::new(f64::from(guarantee.target_loss))?;
            let delta = Ratio::new(1.0 - f64::from(guarantee.confidence))?;
            share.recheck = Some(Recheck::resume(rate, target, delta, share.before));
        }
        share.recheck.as_mut()
    }

    /// An answer of the sample was counted.
    pub fn note(&mut self, standing: Standing) {
        self.changed = true;
        if let Standing::Withdrawn(why) = standing
            && self.withdrawn.is_none()
        {
            tracing::error!(
                sampled = why.sampled,
                lost_milli = why.lost_milli,
                "the learnt model is asked no more: texts that stayed here lose more than was certified"
            );
            (self.withdrawn, self.urgent) = (Some(why), true);
        }
    }

    /// Whether something is still to be written, and can be.
    fn is_behind(&self) -> bool {
        matches!(self.job, Some(Job { task: Task::Write(_), .. })) || (self.changed && self.unkept.is_none())
    }

    /// When something is to be read or written.
    pub fn due(&self) -> Option<Mono> {
        if self.job.is_some() || self.model.is_empty() {
            return None;
        }
        match self.phase {
            Phase::Unread => Some(Mono::default()),
            Phase::Read if self.changed => Some(if self.urgent { Mono::default() } else { self.next_write }),
            Phase::Read | Phase::Unreadable(_) => None,
        }
    }

    /// Reads or writes what is due. `ending`: nobody will have the time later.
    fn go_on(&mut self, now: Mono, ending: bool) {
        if self.job.is_some() || self.model.is_empty() {
            return;
        }
        let (dir, model, life) = (self.dir.clone(), self.model.clone(), self.life);
        match self.phase {
            Phase::Unread => {
                let open = move || record::open(&dir, &model).map_err(|error| chain(&error));
                self.job = Some(Job { life, task: Task::Open(tokio::task::spawn_blocking(open)) });
            }
            Phase::Read if self.due().is_some_and(|due| due <= now || (ending && self.unkept.is_none())) => {
                let shares = self.told();
                let write = move || record::write(&dir, &model, &shares).map_err(|error| chain(&error));
                self.job = Some(Job { life, task: Task::Write(tokio::task::spawn_blocking(write)) });
                (self.changed, self.urgent) = (false, false);
                self.next_write = now.after(PACE);
            }
            Phase::Read | Phase::Unreadable(_) => {}
        }
    }

    /// What is written.
    fn told(&self) -> Vec<Share> {
        self.shares.iter().map(|share| Share { permille: share.permille, found: share.found() }).collect()
    }

    /// What came of the job; waits for ever without one. Safe to cancel.
    pub async fn next(&mut self) -> Done {
        let Some(job) = &mut self.job else { return std::future::pending().await };
        let what = match &mut job.task {
            Task::Open(opening) => What::Opened(opening.await.unwrap_or_else(lost)),
            Task::Write(writing) => What::Written(writing.await.unwrap_or_else(lost)),
        };
        let life = job.life;
        self.job = None;
        Done { life, what }
    }

    fn done(&mut self, Done { life, what }: Done) {
        // Of a model that is not in use any more: the next job removes its record.
        if life != self.life {
            return;
        }
        match what {
            What::Opened(Ok(shares)) => {
                self.withdrawn = shares.iter().find_map(|share| share.found.withdrawn);
                let known = |share: Share| Checked { permille: share.permille, before: share.found, recheck: None };
                (self.shares, self.phase) = (shares.into_iter().map(known).collect(), Phase::Read);
                if let Some(why) = self.withdrawn {
                    tracing::warn!(
                        sampled = why.sampled,
                        lost_milli = why.lost_milli,
                        "the learnt model was withdrawn before, and is not asked"
                    );
                }
            }
            What::Opened(Err(why)) => {
                tracing::error!(%why, "what was found of the learnt model cannot be read: it is not asked");
                self.phase = Phase::Unreadable(why);
            }
            What::Written(Ok(())) => self.unkept = None,
            What::Written(Err(why)) => {
                tracing::warn!(%why, "what was found of the learnt model cannot be kept");
                (self.unkept, self.changed) = (Some(why), true);
            }
        }
    }

    /// What is not as it should be with a model that is in use.
    pub fn problems(&self) -> Vec<Problem> {
        let problem = |what: String, remedy: String| Problem { subject: SUBJECT.into(), what, remedy };
        let mut problems = Vec::new();
        match (&self.phase, self.withdrawn) {
            (Phase::Unreadable(why), _) => problems.push(problem(
                format!("is not asked, and every text counts as hard, because it may have been withdrawn: {why}"),
                format!(
                    "learn another model (docs/quality.md) and put it there, or remove {} to check this one from the beginning; \
                     then `edgectl reload`",
                    record::place(&self.dir, &self.model).display()
                ),
            )),
            (Phase::Read, Some(why)) => problems.push(problem(
                format!("is asked no more, and every text counts as hard: {}", words(why)),
                "learn another one from recent outcomes (docs/quality.md), put it there, then `edgectl reload`".into(),
            )),
            (Phase::Unread, _) | (Phase::Read, None) => {}
        }
        if let Some(why) = &self.unkept {
            problems.push(problem(
                format!("what comparisons found of it will be forgotten at the next start: {why}"),
                format!(
                    "make room for {} and let the user edged write there; it is tried again each minute",
                    self.dir.display()
                ),
            ));
        }
        problems
    }
}

fn lost<T>(error: tokio::task::JoinError) -> Result<T, String> {
    Err(format!("the record of the learnt model: {error}"))
}

fn words(why: Withdrawn) -> String {
    let (sampled, lost) = (why.sampled, why.lost_milli / 1000);
    format!(
        "of {sampled} answers that were compared about {lost} were worse than the stronger site's, more than was certified"
    )
}

impl Driver {
    /// A record was read or written.
    pub(in crate::driver) fn on_evidence(&mut self, done: Done) {
        self.now = self.clock.now();
        self.evidence.done(done);
        self.touch();
    }

    /// Has what is due read or written, and ends a drain that waited for it. A disk that never answers holds that up until the limit
    /// of the drain.
    pub(in crate::driver) fn look_after_evidence(&mut self) {
        self.evidence.go_on(self.now, self.state != State::Serving);
        if self.drained_unsaid && !self.evidence.is_behind() {
            self.drained_unsaid = false;
            self.milestone(crate::driver::Milestone::Drained);
        }
    }
}

#[cfg(test)]
mod tests;
