//! Versions on probation: told what their runs do, asked now and then whether they stay.

use std::time::Duration;

use edge_core::probation::{Breach, Probation, Terms, Verdict};
use edge_core::{LaneId, ModelId, Results};
use edge_engine::protocol::HostError;

use super::super::Driver;
use super::super::models::{Bundle, Life, Model};
use super::{ITSELF, OnProbation};

/// Golden inputs that have not ended by then count as answered wrong.
const CHECK_PATIENCE: Duration = Duration::from_secs(120);

impl Driver {
    /// A version was just activated: it is watched, unless the operator wants none of that or there is none to go back to.
    pub(super) fn watch(&mut self, name: &str, to: usize, from: Option<usize>) {
        let models = &self.config.models;
        let Some(from) = from.filter(|_| !models.probation.is_zero()) else {
            return self.versions.retiring.extend(from);
        };
        let loaded = self.models.bundle(to).and_then(|bundle| self.models.spec(bundle.shown()));
        let expected = loaded.map(|loaded| Duration::from_nanos(loaded.service_ns)).filter(|took| !took.is_zero());
        let terms = Terms { time: models.probation, requests: models.probation_requests, expected };
        let probation = Probation::new(self.now, terms);
        tracing::info!(model = %self.label(to), before = %self.label(from), "a version is on probation");
        self.versions.on_probation.insert(name.to_owned(), OnProbation { bundle: to, probation, checking: None });
        self.touch();
    }

    /// Versions that were on probation when the daemon ended begin it anew.
    pub(in super::super) fn resume_probations(&mut self) {
        let since: Vec<(String, String, String)> = self
            .versions
            .records
            .iter()
            .filter(|(_, record)| record.probation_since.is_some())
            .filter_map(|(name, record)| Some((name.clone(), record.active.clone()?, record.previous.clone()?)))
            .collect();
        for (name, active, previous) in since {
            let places = (self.models.place(&name, &active), self.models.place(&name, &previous));
            if let (Some(to), Some(from)) = places {
                self.watch(&name, to, Some(from));
            }
        }
    }

    /// A batch came back from a lane.
    pub(in super::super) fn watch_run(&mut self, lane: LaneId, results: &Results) {
        let id = ModelId(lane.0 / super::super::models::LANES_EACH);
        let Some(bundle) = self.models.get(id).map(|model| model.bundle) else { return };
        let Some(watched) = self.versions.on_probation.values_mut().find(|watched| watched.bundle == bundle) else {
            return;
        };
        let count = |wanted: fn(&edge_core::MemberResult) -> bool| {
            u32::try_from(results.as_slice().iter().filter(|member| wanted(member)).count()).unwrap_or(u32::MAX)
        };
        let failed = |member: &edge_core::MemberResult| {
            matches!(
                member.result,
                Err(edge_core::Fault::Runtime | edge_core::Fault::HostLost | edge_core::Fault::Hung)
            )
        };
        watched.probation.ran(count(|member| member.result.is_ok()), count(failed));
    }

    /// Now and then: does each stay?
    pub(in super::super) fn judge_versions(&mut self) {
        let names: Vec<String> = self.versions.on_probation.keys().cloned().collect();
        let snapshot = self.core.snapshot();
        for name in names {
            let Some(watched) = self.versions.on_probation.get(&name) else { continue };
            let (index, checking) = (watched.bundle, watched.checking);
            let shown = self.models.bundle(index).map(Bundle::shown);
            let takes = snapshot.models.iter().find(|load| Some(load.model) == shown).and_then(|load| load.service);
            let gone = self.is_hopeless_version(index);
            let Some(watched) = self.versions.on_probation.get_mut(&name) else { continue };
            if gone {
                watched.probation.gone();
            }
            if checking.is_some_and(|(_, by)| by <= self.now) {
                watched.checking = None;
                watched.probation.checked(false);
            }
            match watched.probation.judge(self.now, takes) {
                Verdict::Watch => {}
                Verdict::Check => self.check_goldens(&name),
                Verdict::Passed => self.passed(&name),
                Verdict::Breach(breach) => self.breached(&name, breach),
            }
        }
    }

    /// Whether no setup of a version is loaded, or will be.
    fn is_hopeless_version(&self, index: usize) -> bool {
        let mut setups =
            self.models.bundle(index).into_iter().flat_map(Bundle::ids).filter_map(|id| self.models.get(id));
        setups.all(|model: &Model| matches!(model.life, Life::Failed(_)))
    }

    /// Has the golden inputs run on a lane of the version.
    fn check_goldens(&mut self, name: &str) {
        let Some(index) = self.versions.on_probation.get(name).map(|watched| watched.bundle) else { return };
        let Some((id, host)) = self.models.bundle(index).and_then(|bundle| {
            let id = bundle.shown();
            self.models.get(id).filter(|model| model.life == Life::Ready).map(|model| (id, model.host))
        }) else {
            // It is not loaded now: when it is, its golden answers are checked anyway.
            return self.note_checked(name, true);
        };
        let first = Model::first_lane(id);
        let count = self.models.get(id).and_then(|model| model.loaded.as_ref()).map_or(1, |loaded| loaded.instances);
        let Some(state) = self.hosts.get_mut(host) else { return };
        let lanes = || (first..first.saturating_add(count.max(1))).map(LaneId);
        // One that rests, so that nobody waits behind it, if there is one.
        let lane = lanes().find(|lane| !state.is_busy(*lane)).unwrap_or(LaneId(first));
        if state.check(lane).is_err() {
            return self.note_checked(name, true);
        }
        let by = self.now.after(CHECK_PATIENCE);
        if let Some(watched) = self.versions.on_probation.get_mut(name) {
            watched.checking = Some((lane.0, by));
        }
    }

    fn note_checked(&mut self, name: &str, good: bool) {
        if let Some(watched) = self.versions.on_probation.get_mut(name) {
            watched.checking = None;
            watched.probation.checked(good);
        }
    }

    /// A lane ran the golden inputs.
    pub(in super::super) fn goldens_checked(&mut self, lane: LaneId, result: Result<u16, HostError>) {
        let of_lane = |watched: &OnProbation| watched.checking.is_some_and(|(checking, _)| checking == lane.0);
        let name =
            self.versions.on_probation.iter().find(|(_, watched)| of_lane(watched)).map(|(name, _)| name.clone());
        let Some(name) = name else { return };
        if let Err(error) = &result {
            tracing::error!(model = %name, why = %error.message, "a golden answer does not hold");
        }
        self.note_checked(&name, result.is_ok());
        self.judge_versions();
    }

    fn passed(&mut self, name: &str) {
        let Some(watched) = self.versions.on_probation.remove(name) else { return };
        let Some(record) = self.versions.records.get(name).cloned() else { return };
        let (label, (runs, _)) = (self.label(watched.bundle), watched.probation.runs());
        self.note_deed(ITSELF, "probation", &label, Ok(format!("passed after {runs} requests")));
        if let Some(previous) = record.previous.as_deref().and_then(|previous| self.models.place(name, previous)) {
            self.versions.retiring.push(previous);
        }
        self.versions.records.insert(name.to_owned(), record.passed());
        self.keep_record(name);
        self.retire();
        self.touch();
    }

    fn breached(&mut self, name: &str, breach: Breach) {
        let Some(watched) = self.versions.on_probation.remove(name) else { return };
        let (label, why) = (self.label(watched.bundle), words(breach));
        self.note_deed(ITSELF, "probation", &label, Err(why.clone()));
        if let Err(failure) = self.back(name, Some(why), ITSELF.into()) {
            tracing::error!(model = %label, why = %failure.message, "a version cannot be taken back");
        }
    }
}

/// A breach in a sentence.
fn words(breach: Breach) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    match breach {
        Breach::Failing { failed, of } => format!("{failed} of {of} requests failed"),
        Breach::Slow { takes, expected } => {
            format!("a request takes {:.1} ms, it was measured to take {:.1} ms", ms(takes), ms(expected))
        }
        Breach::Golden => "a golden input has not its golden answer any more".into(),
        Breach::Gone => "no way to run it is left".into(),
    }
}
