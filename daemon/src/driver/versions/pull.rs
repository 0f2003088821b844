//! Bundles that are pulled: who asked for which, what the thread of pulls tells, and how what it brings is installed in the same
//! job.

use edge_wire::error::ErrorCode;

use super::super::Driver;
use super::super::jobs::{JobId, Operation};
use super::Install;
use super::files::A_BUNDLE;
use crate::handle::Activate;
use crate::pull::{Address, Ask, Event, Failed, Pulled, Puller, Wish};
use crate::request::Failure;
use crate::store::install::Watched;
use crate::store::keeper;

/// A bundle that is being pulled, or was, and whose job is not over.
pub(super) struct Pull {
    wish: Wish,
    /// The address without what may be a secret in it.
    shown: String,
    /// It is to be given up: what it may have brought meanwhile is not installed.
    cancelled: bool,
}

impl Driver {
    /// Has a bundle pulled, installed, and activated perhaps.
    pub(in super::super) fn pull(&mut self, wish: Wish) -> Result<u64, Failure> {
        let address = Address::parse(&wish.url).map_err(Failure::invalid)?;
        if self.outside.store.is_none() || self.outside.pull.is_none() {
            let text = "bundles cannot be pulled here: see the log, and \"store\" in `edgectl status`";
            return Err(Failure::new(ErrorCode::Unavailable, text));
        }
        if let Some((id, other)) = self.versions.pulls.iter().find(|(_, pull)| pull.wish.url == wish.url) {
            let how = |wish: &Wish| (wish.activate, wish.pause, wish.force);
            if how(&other.wish) == how(&wish) {
                return Ok(*id);
            }
            let text = format!("url: {} is being pulled already (job {id}), to be activated otherwise", other.shown);
            return Err(Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Unavailable, text) });
        }
        let most = self.config.pull.max_waiting.saturating_add(1);
        if self.versions.pulls.len() >= most {
            let text =
                format!("{most} bundles are being pulled, or wait for it (`pull.max_waiting`): no more are taken");
            return Err(Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Overloaded, text) });
        }
        self.begin_pull(wish, address.shown())
    }

    fn begin_pull(&mut self, wish: Wish, shown: String) -> Result<u64, Failure> {
        let job = self.jobs.begin(self.now, Operation::Pull, A_BUNDLE.into(), shown.clone(), None);
        self.jobs.phase(job, "waiting", None);
        if !self.ask_puller(Ask::Pull { id: job.0, wish: Box::new(wish.clone()) }) {
            let failure = Failure::new(ErrorCode::Unavailable, "the thread of pulls has too much to do, or is gone");
            self.jobs.finish(self.now, job, Err(failure.message.clone()));
            return Err(Failure { retry_after_ms: Some(1000), ..failure });
        }
        self.versions.pulls.insert(job.0, Pull { wish, shown, cancelled: false });
        self.touch();
        Ok(job.0)
    }

    /// What was under way when the daemon ended goes on, once it is known which models there are.
    pub(super) fn resume_pulls(&mut self) {
        let left = self.outside.pull.as_mut().map(|pull| std::mem::take(&mut pull.left)).unwrap_or_default();
        for wish in left {
            match Address::parse(&wish.url).map(|address| address.shown()) {
                Ok(shown) => {
                    tracing::info!(url = %shown, "a pull goes on");
                    if let Err(failure) = self.begin_pull(wish, shown) {
                        tracing::error!(why = %failure.message, "a pull does not go on");
                    }
                }
                Err(why) => {
                    tracing::error!(%why, "a pull does not go on");
                    self.ask_puller(Ask::Forget { key: wish.key() });
                }
            }
        }
    }

    /// Takes what the thread of pulls tells.
    pub(in super::super) fn on_pull(&mut self, event: Event) {
        self.now = self.clock.now();
        match event {
            Event::Phase { id, text, percent } => self.jobs.phase(JobId(id), &text, percent),
            Event::About { id, model } => self.jobs.about(JobId(id), &model),
            Event::Ended { id, result } => self.pulled(JobId(id), result),
            Event::Known(desired) => self.take_orders(*desired),
            Event::Desired(desired) => {
                self.take_orders(*desired);
                self.looked();
            }
        }
        self.touch();
    }

    fn pulled(&mut self, job: JobId, result: Result<Pulled, Failed>) {
        let Some(pull) = self.versions.pulls.get(&job.0) else { return };
        let (wish, shown) = (pull.wish.clone(), pull.shown.clone());
        let result = if pull.cancelled { Err(Failed::Cancelled) } else { result };
        let model = self.jobs.get(job).map(|job| job.model.clone()).unwrap_or_default();
        let pulled = match result {
            Ok(pulled) => pulled,
            Err(Failed::Cancelled) => {
                self.note_deed(&wish.who, "pull", &model, Err(format!("cancelled: {shown}")));
                return self.jobs.cancelled(self.now, job);
            }
            Err(Failed::Why(why)) => {
                self.versions.fleet.not_fetched(job);
                self.note_deed(&wish.who, "pull", &model, Err(format!("{shown}: {why}")));
                return self.jobs.finish(self.now, job, Err(why));
            }
        };
        self.note_deed(&wish.who, "pull", &model, Ok(shown));
        let watched = Watched::default();
        self.jobs.phase(job, "checking and unpacking", None);
        let beside = self.beside(wish.activate);
        let asked = self.ask_store_as(job.0, |id| match pulled {
            Pulled::Archive(from) => keeper::Ask::Install { id, from, watched: watched.clone(), beside },
            Pulled::There(dir) => keeper::Ask::Look { id, dir },
        });
        if let Err(failure) = asked {
            self.note_deed(&wish.who, "install", &model, Err(failure.message.clone()));
            return self.jobs.finish(self.now, job, Err(failure.message));
        }
        let how = Activate { pause: wish.pause, force: wish.force };
        self.versions
            .installs
            .insert(job.0, Install { watched, activate: wish.activate, how, who: wish.who, file: None, quiet: false });
    }

    /// Pulls that somebody asked for and that are not over.
    pub(super) fn pulls_of(&self, who: &str) -> usize {
        self.versions.pulls.values().filter(|pull| pull.wish.who == who).count()
    }

    /// The bundle of a pull is in the store.
    pub(super) fn pull_installed(&mut self, job: JobId, dir: &std::path::Path) {
        if let Some(key) = self.versions.pulls.get(&job.0).map(|pull| pull.wish.key()) {
            self.ask_puller(Ask::Installed { key, dir: dir.to_owned() });
        }
    }

    /// Gives up a pull that still fetches; false if there is none of this number.
    pub(super) fn cancel_pull(&mut self, job: JobId) -> bool {
        let fetches = self.versions.pulls.contains_key(&job.0) && !self.versions.installs.contains_key(&job.0);
        let activates = self.versions.activations.iter().any(|activation| activation.job == job);
        if !fetches || activates {
            return false;
        }
        if let Some(pull) = self.versions.pulls.get_mut(&job.0) {
            pull.cancelled = true;
        }
        self.ask_puller(Ask::Cancel { id: job.0 })
    }

    /// Of a pull whose job is over nothing stays.
    pub(super) fn forget_pulls(&mut self) {
        let over = |id: &&u64| !self.jobs.is_running(JobId(**id));
        let over: Vec<u64> = self.versions.pulls.keys().filter(over).copied().collect();
        for id in over {
            let Some(key) = self.versions.pulls.get(&id).map(|pull| pull.wish.key()) else { continue };
            // It is asked again at the next turn of the loop.
            if self.ask_puller(Ask::Forget { key }) {
                self.versions.pulls.remove(&id);
            }
        }
    }

    fn ask_puller(&self, ask: Ask) -> bool {
        self.outside.pull.as_ref().is_some_and(|pull| pull.ask(ask).is_ok())
    }
}

/// The next event of the thread of pulls; waits for ever without one. Safe to cancel.
pub(in super::super) async fn next_event(pull: &mut Option<Puller>) -> Event {
    match pull {
        Some(pull) => pull.next().await,
        None => std::future::pending().await,
    }
}
