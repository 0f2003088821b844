//! Versions of a model: put into the store, made the active one, watched, taken back, taken out. What is written to the disk
//! is written by the store's thread; whether a watched version stays is the core's to say.
//!
//! ```text
//!                 loaded beside what serves,          record on disk: requests
//!                 its golden answers hold             go to it from now on
//!   installed ──► Loading ─────────────► Recording ─────────────────► active, on probation ──► active
//!                  │ it fails                                          │ breach, or by hand
//!                  ▼                                                   ▼
//!                 the old one serves on                               the version before is active
//! ```
//!
//! A version that is not active *rests* (see [`memory`](super::memory)): a request that names it loads it.

mod activate;
mod files;
mod fleet;
mod inbox;
mod kept;
mod parts;
pub(super) mod pull;
pub(super) mod revoke;
mod watch;

use std::collections::BTreeMap;

use edge_core::probation::Probation;
use edge_core::{ModelId, Mono};
use edge_wire::dto::{ModelStatus, Problem};
use edge_wire::error::ErrorCode;
use edge_wire::history::HistoryEntry;
use tokio::sync::oneshot;

use super::jobs::JobId;
use super::models::{Bundle, Life};
use super::{Driver, clock};
use crate::handle::Activate;
use crate::request::Failure;
use crate::store::install::Watched;
use crate::store::keeper::{Answer, Ask, Keeper};
use crate::store::records::Record;

/// Installs that may wait or run at once.
const MOST_INSTALLS: usize = 16;

/// What the daemon does when nobody told it to.
pub(super) const ITSELF: &str = "edged";

/// An archive that is being put into the store.
struct Install {
    watched: Watched,
    activate: Option<bool>,
    how: Activate,
    who: String,
    /// The file that somebody dropped, if it is one.
    file: Option<String>,
    /// That it was not put in was noted before.
    quiet: bool,
}

/// A version that is to become the active one.
struct Activation {
    job: JobId,
    name: String,
    /// Index of its bundle.
    to: usize,
    /// Index of the bundle that serves now, if there is one.
    from: Option<usize>,
    who: String,
    /// Of a rollback: why.
    back: Option<Back>,
    stage: Stage,
    /// What is written, once that is known.
    record: Record,
}

/// A rollback.
#[derive(Clone, Debug)]
struct Back {
    /// Why the version that serves is bad; absent where somebody just wants the other one.
    why: Option<String>,
}

/// How far an activation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What served was let go first, for want of room; what is on it ends.
    Clearing,
    /// It is being loaded, and its golden inputs are run.
    Loading,
    /// Its record is being written.
    Recording,
}

/// A version that is being taken out of the store.
struct Removal {
    /// `name:version`.
    label: String,
    /// Index of its bundle; a part has none.
    index: Option<usize>,
    who: String,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// A version that was just activated.
struct OnProbation {
    bundle: usize,
    probation: Probation,
    /// The lane on which its golden inputs are run, and until when they have to end.
    checking: Option<(u16, Mono)>,
}

/// What is known of versions, and under way.
#[derive(Default)]
pub(super) struct Versions {
    records: BTreeMap<String, Record>,
    installs: BTreeMap<u64, Install>,
    /// By the number of their jobs, until those are over.
    pulls: BTreeMap<u64, pull::Pull>,
    activations: Vec<Activation>,
    part_activations: Vec<parts::PartActivation>,
    removals: BTreeMap<u64, Removal>,
    on_probation: BTreeMap<String, OnProbation>,
    /// Bundles that served before, and are let go when what is on them has ended.
    retiring: Vec<usize>,
    faults: Vec<String>,
    fleet: fleet::Fleet,
    inbox: inbox::Inbox,
    kept: kept::Kept,
    next: u64,
}

impl Driver {
    /// Takes over what was decided in earlier lives.
    pub(super) fn take_records(&mut self) {
        let Some(keeper) = self.outside.store.as_mut() else { return };
        self.versions.records = std::mem::take(&mut keeper.records);
        self.versions.faults = std::mem::take(&mut keeper.faults);
        for fault in &self.versions.faults {
            tracing::error!(%fault, "store");
        }
        for (name, record) in &self.versions.records {
            self.models.set_active(name, record.active.as_deref());
        }
        self.take_known_orders();
    }

    /// Asks the store's thread; a number of its own comes back with the answer.
    fn ask_store(&mut self, ask: impl FnOnce(u64) -> Ask) -> Result<u64, Failure> {
        self.versions.next += 1;
        // Beyond the numbers of jobs.
        let id = (1 << 63) + self.versions.next;
        self.ask_store_as(id, ask).map(|()| id)
    }

    /// The same with this number: that of a job.
    fn ask_store_as(&self, id: u64, ask: impl FnOnce(u64) -> Ask) -> Result<(), Failure> {
        let unavailable = |why: &str| Failure::new(ErrorCode::Unavailable, why.to_owned());
        let Some(store) = &self.outside.store else {
            return Err(unavailable(
                "the store of models does not run: see the log, and \"store\" in `edgectl status`",
            ));
        };
        let busy = || unavailable("the store of models has too much to do");
        store.ask(ask(id)).map_err(|_| Failure { retry_after_ms: Some(1000), ..busy() })
    }

    /// Notes a deed in the history.
    pub(super) fn note_deed(&mut self, who: &str, what: &str, model: &str, result: Result<String, String>) {
        let (result, detail) = match result {
            Ok(detail) => ("done", detail),
            Err(why) => ("failed", why),
        };
        let entry = HistoryEntry {
            at: clock::rfc3339(clock::wall()),
            who: who.into(),
            what: what.into(),
            model: model.into(),
            result: result.into(),
            detail,
        };
        tracing::info!(who, what, model, result, detail = %entry.detail, "models");
        if let Some(store) = &self.outside.store
            && store.ask(Ask::Note { entry: Box::new(entry) }).is_err()
        {
            tracing::error!(what, model, "the history could not be written: the store has too much to do");
        }
    }

    /// Every deed that is remembered.
    pub(super) fn history(&mut self, done: oneshot::Sender<Result<Vec<HistoryEntry>, String>>) {
        let refused = match &self.outside.store {
            Some(store) => store.ask(Ask::History { done }).err(),
            None => Some(Box::new(Ask::History { done })),
        };
        if let Some(ask) = refused
            && let Ask::History { done } = *ask
        {
            super::answer(done, Err("there is no history: the store does not run".into()));
        }
    }

    /// Takes an answer of the store's thread.
    pub(super) fn on_store(&mut self, answer: Answer) {
        self.now = self.clock.now();
        match answer {
            Answer::Installed { id, result } => self.installed(id, result),
            Answer::History { fault } => self.history_kept(fault),
            Answer::Lying(seen) => self.seen_in_inbox(seen),
            Answer::Taken { id, result, taken } => self.dropped_taken(id, result, taken),
            Answer::Settled { name, stuck } => self.dropped_settled(name, stuck),
            Answer::Removed { id, result } => self.removed(id, result),
            Answer::Recorded { id, result } => self.recorded(id, result),
        }
        self.touch();
    }

    /// Often: what waits for a load, an end or a moment goes on.
    pub(super) fn look_after_versions(&mut self) {
        self.show_installs();
        self.drive_activations();
        self.drive_parts();
        self.retire();
        self.forget_pulls();
        self.look_after_inbox();
        self.look_after_kept();
    }

    /// When something of this is to be looked after, whatever else happens.
    pub(super) fn versions_due(&self) -> Option<Mono> {
        self.inbox_due().into_iter().chain(self.kept_due()).min()
    }

    /// Whether a bundle must not be let go to make room: it serves until another version has taken over.
    pub(super) fn is_protected(&self, bundle: usize) -> bool {
        self.is_in_pair(bundle)
            || self.versions.removals.values().any(|removal| removal.index == Some(bundle))
            || self.versions.activations.iter().any(|activation| {
                activation.to == bundle || activation.from == Some(bundle) && activation.stage != Stage::Clearing
            })
    }

    /// A bundle that was just found: unless it is the active version, it rests until somebody asks for it by its version.
    pub(super) fn rest_if_inactive(&mut self, index: usize) {
        let Some(found) = self.models.bundle(index).map(|bundle| bundle.found.clone()) else { return };
        let Some(active) = self.models.active(&found.name).map(|active| active.map(str::to_owned)) else { return };
        // A version that is gone serves nobody: whatever is there may.
        let is_there = active.as_deref().is_none_or(|active| {
            active == found.version || self.models.place(&found.name, active).is_some() || self.bundles_open
        });
        if active.as_deref() == Some(found.version.as_str()) || !is_there {
            return;
        }
        self.lay_to_rest(index, "installed, and not active: a request that names its version loads it");
    }

    /// Every setup that is not loaded is on standby, and nothing loads it but a request.
    fn lay_to_rest(&mut self, index: usize, why: &str) {
        let ids: Vec<ModelId> = self.models.bundle(index).into_iter().flat_map(Bundle::ids).collect();
        for id in ids {
            if let Some(model) = self.models.get_mut(id).filter(|model| model.life == Life::Standby) {
                model.rest = why.into();
            }
        }
    }

    /// Every bundle was read: where the active version is not there, whatever is may serve.
    pub(super) fn wake_orphans(&mut self) {
        let missing = |(name, record): (&String, &Record)| {
            let active = record.active.as_deref()?;
            self.models.place(name, active).is_none().then(|| (name.clone(), active.to_owned()))
        };
        let missing: Vec<(String, String)> = self.versions.records.iter().filter_map(missing).collect();
        for (name, version) in missing {
            let of_name = |bundle: &Bundle| !bundle.gone && bundle.found.name == name;
            let left: Vec<ModelId> =
                self.models.bundles().iter().filter(|bundle| of_name(bundle)).flat_map(Bundle::ids).collect();
            if left.is_empty() {
                continue;
            }
            tracing::error!(model = %name, %version, "the active version is not there: the newest that is serves");
            for id in left {
                if let Some(model) = self.models.get_mut(id) {
                    model.rest.clear();
                }
            }
        }
        self.replace_revoked();
        self.resume_probations();
        self.choose_setups();
        self.resume_pulls();
        self.look_at_lists();
    }

    /// The index of the version that `name` or `name:version` means.
    fn version_of(&self, model: &str) -> Result<usize, Failure> {
        let (name, version) = super::resolve::model_name(model, None)?;
        if let Some(index) = version.and_then(|version| self.models.place(name, version)) {
            return Ok(index);
        }
        let root = self.models.find(name, version)?.root();
        let bundle = self.models.get(root).map(|model| model.bundle);
        bundle.ok_or_else(|| super::internal("model table"))
    }

    fn label(&self, index: usize) -> String {
        self.models
            .bundle(index)
            .map(|bundle| format!("{}:{}", bundle.found.name, bundle.found.version))
            .unwrap_or_default()
    }

    /// Adds what is known of a version to its state.
    pub(super) fn show_version(&self, index: usize, status: &mut ModelStatus) {
        let found = self.models.find(&status.name, None).ok();
        status.active = found.is_some_and(|bundle| bundle.found.version == status.version);
        let record = self.versions.records.get(&status.name);
        status.bad = record.and_then(|record| record.bad.get(&status.version).cloned()).unwrap_or_default();
        if let Some(watched) = self.versions.on_probation.get(&status.name).filter(|watched| watched.bundle == index) {
            let ((runs, of), left) = (watched.probation.runs(), watched.probation.left(self.now).as_secs());
            status.probation = format!("{runs} of {of} requests, {} failed, {left} s left", watched.probation.failed());
        }
    }

    /// What a technician has to know: versions that were taken back, and a store that is not as it should be.
    pub(super) fn version_problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self
            .versions
            .faults
            .iter()
            .map(|fault| Problem {
                subject: "store".into(),
                what: fault.clone(),
                remedy: "put it right and restart edged".into(),
            })
            .collect();
        problems.extend(self.fleet_problems());
        for (name, record) in &self.versions.records {
            for (version, why) in &record.bad {
                if self.models.place(name, version).is_none() {
                    continue;
                }
                problems.push(Problem {
                    subject: format!("model {name}:{version}"),
                    what: format!("it was taken back: {why}"),
                    remedy: format!(
                        "install a better version, or `edgectl models remove {name}:{version}`; `edgectl models activate \
                         {name}:{version} --force` tries it again"
                    ),
                });
            }
        }
        problems.extend(self.kept_problems());
        problems.extend(self.inbox_problems());
        problems
    }
}

/// The next answer of the store's thread; waits for ever without one. Safe to cancel.
pub(super) async fn next_answer(store: &mut Option<Keeper>) -> Answer {
    match store {
        Some(store) => store.next().await,
        None => std::future::pending().await,
    }
}
