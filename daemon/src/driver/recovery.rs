//! Setups that failed and may do better later: notes their failures, tries them again, and takes those out of service whose
//! runs fail. When, and after how many, is decided by [`edge_core::recovery`]; another setup serves meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_core::recovery::{AfterRun, Blame, Record};
use edge_core::{Event, Fault, HostId, LaneId, ModelId, ModelState, Mono, Results};
use edge_engine::protocol::LoadFault;
use edge_wire::dto::{Problem, SetupStatus};

use super::models::{Bundle, Kind, LANES_EACH, Life, Model};
use super::{Driver, clock};

/// What is remembered of one setup.
#[derive(Debug, Default)]
struct Trouble {
    record: Record,
    /// When it is tried again, for people.
    again_at: String,
}

/// The setups that failed: at most all.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    troubles: BTreeMap<ModelId, Trouble>,
}

impl Recovery {
    /// When the first of them is tried again; those that wait until they are alone on their host are looked at now and then.
    pub(super) fn next_due(&self) -> Option<Mono> {
        let timed = self.troubles.values().filter(|trouble| !trouble.record.waits_alone());
        timed.filter_map(|trouble| trouble.record.again()).min()
    }

    /// Nothing of a setup is remembered any more.
    pub(super) fn forget(&mut self, id: ModelId) {
        self.troubles.remove(&id);
    }

    /// Whether a setup is tried again by itself.
    pub(super) fn awaits(&self, id: ModelId) -> bool {
        self.troubles.get(&id).is_some_and(|trouble| trouble.record.again().is_some())
    }

    /// It was loaded, and what it answered was right.
    pub(super) fn loaded(&mut self, id: ModelId, now: Mono) {
        if let Some(trouble) = self.troubles.get_mut(&id) {
            trouble.record.loaded(now);
        }
    }
}

/// Whose fault it is, in the core's words.
pub(super) fn blame(fault: LoadFault) -> Blame {
    match fault {
        LoadFault::Bundle => Blame::Lasting,
        LoadFault::Provider => Blame::Provider,
    }
}

impl Driver {
    /// A setup has failed; it took so long to do so.
    pub(super) fn note_failure(&mut self, id: ModelId, blame: Blame, took: Duration) {
        if blame == Blame::Lasting {
            return self.recovery.forget(id);
        }
        let trouble = self.recovery.troubles.entry(id).or_default();
        trouble.record.failed(self.now, blame, took);
        let pause = trouble.record.again().map_or(Duration::ZERO, |again| again.since(self.now));
        trouble.again_at = clock::rfc3339(clock::wall() + pause);
        if let Some(model) = self.models.get(id) {
            let (failures, again_s) = (trouble.record.failures(), pause.as_secs());
            tracing::warn!(model = %model.label(), way = %model.way(), failures, again_s, "it is tried again by itself");
        }
    }

    /// Whether something else is loaded on the host of a setup, or is to be.
    fn has_company(&self, id: ModelId) -> bool {
        let Some(host) = self.models.get(id).map(|model| model.host) else { return false };
        self.models.iter().any(|(other, model)| other != id && model.host == host && model.wants_host())
    }

    /// Setups whose pause is over may be chosen again.
    pub(super) fn try_failed(&mut self) {
        let due =
            |(id, trouble): (&ModelId, &Trouble)| trouble.record.is_due(self.now, self.has_company(*id)).then_some(*id);
        let due: Vec<ModelId> = self.recovery.troubles.iter().filter_map(due).collect();
        if due.is_empty() {
            return;
        }
        for id in due {
            if let Some(trouble) = self.recovery.troubles.get_mut(&id) {
                trouble.record.released();
            }
            if let Some(model) = self.models.get_mut(id).filter(|model| matches!(model.life, Life::Failed(_))) {
                tracing::info!(model = %model.label(), way = %model.way(), "a setup that failed may be loaded again");
                model.life = Life::Standby;
            }
        }
        self.choose_setups();
        self.touch();
    }

    /// A batch came back from a lane. Has to be told before the core is: what failed may then be tried elsewhere.
    pub(super) fn note_run(&mut self, lane: LaneId, results: &Results) {
        let results = results.as_slice();
        let good = results.iter().any(|member| member.result.is_ok());
        let failed = results.iter().find(|member| member.result == Err(Fault::Runtime));
        let id = ModelId(lane.0 / LANES_EACH);
        let known = self.recovery.troubles.contains_key(&id);
        // Bad input, a cancellation or a deadline tells nothing of the setup.
        if !good && failed.is_none() || good && !known {
            return;
        }
        let Some(model) = self.models.get(id).filter(|model| model.life == Life::Ready) else { return };
        let host = model.host;
        let stand_in = !good && self.has_stand_in(id, None);
        let now = self.now;
        let what = self.recovery.troubles.entry(id).or_default().record.ran(now, good, stand_in);
        let text = failed.and_then(|member| self.entries.get(&member.id)?.error.as_ref());
        let why = text.map_or_else(|| "no reason given".to_owned(), |error| error.message.clone());
        match what {
            AfterRun::Serve => {}
            AfterRun::Fail => {
                self.fail_serving(id, format!("its runs fail one after the other: {why}"));
                self.end_for_cause(host);
            }
            AfterRun::Restart => {
                if let Some(model) = self.models.get_mut(id) {
                    tracing::error!(model = %model.label(), way = %model.way(), %why, "run after run fails, and nothing can stand in: its engine host is started again");
                    model.recheck = true;
                }
                self.end_for_cause(host);
            }
        }
    }

    /// Whether everything that a setup serves could be served by another one, which is not on the host `not_on`.
    pub(super) fn has_stand_in(&self, id: ModelId, not_on: Option<HostId>) -> bool {
        let Some(bundle) = self.models.bundle_of(id) else { return false };
        let other = |kind: Kind| {
            let mut others = bundle.order(kind).iter().filter(|other| **other != id);
            others.any(|other| {
                let able = |model: &Model| !matches!(model.life, Life::Failed(_) | Life::Unloaded);
                self.models.get(*other).is_some_and(|model| able(model) && Some(model.host) != not_on)
            })
        };
        Kind::ALL.into_iter().filter(|kind| bundle.serves(*kind) == id).all(other)
    }

    /// A setup that is loaded counts as failed from now on.
    fn fail_serving(&mut self, id: ModelId, why: String) {
        let Some(model) = self.models.get_mut(id) else { return };
        tracing::error!(model = %model.label(), way = %model.way(), %why, "a setup is taken out of service");
        // What it takes and gives stays known, so that requests wait for the next one.
        (model.life, model.recheck) = (Life::Failed(why), true);
        self.note_failure(id, Blame::Provider, Duration::ZERO);
        self.build_over(id, super::builds::Over::GivenUp);
        self.choose_setups();
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.touch();
    }

    /// Ends a host whose provider fails: the next one may do better.
    fn end_for_cause(&mut self, host: HostId) {
        if let Some(state) = self.hosts.get_mut(host) {
            state.replace();
        }
    }

    /// Adds what is remembered of failures to what is shown of a bundle's setups.
    pub(super) fn show_failures(&self, bundle: &Bundle, setups: &mut [SetupStatus]) {
        for (id, shown) in bundle.ids().zip(setups) {
            let trouble = self.recovery.troubles.get(&id);
            let Some(trouble) = trouble.filter(|_| shown.state != "ready") else { continue };
            shown.failures = trouble.record.failures();
            let wait = trouble.record.again().map(|again| again.since(self.now));
            // At once is not the same as never.
            shown.retry_in_ms = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        }
    }

    /// What is done about a setup that failed.
    pub(super) fn remedy_of(&self, id: ModelId) -> Option<String> {
        let trouble = self.recovery.troubles.get(&id).filter(|trouble| trouble.record.again().is_some())?;
        let label = self.models.get(id)?.label();
        let (failures, at) = (trouble.record.failures(), &trouble.again_at);
        let when = match trouble.record.waits_alone() && self.has_company(id) {
            true => "when no other model is on its engine host".to_owned(),
            false => format!("at {at}"),
        };
        Some(format!(
            "it is tried again by itself {when}, after {failures} failed attempts; `edgectl models load {label}` tries now"
        ))
    }

    /// Setups that are wanted more than what serves, and that failed.
    pub(super) fn recovery_problems(&self) -> Vec<Problem> {
        let failed = |(id, _): (&ModelId, &Trouble)| {
            let model = self.models.get(*id)?;
            let Life::Failed(why) = &model.life else { return None };
            let bundle = self.models.bundle_of(*id).filter(|bundle| bundle.shown() != *id)?;
            let serving = self.models.get(bundle.shown())?;
            let wanted = |kind: Kind| {
                let place = |wanted: ModelId| bundle.order(kind).iter().position(|other| *other == wanted);
                place(*id).is_some_and(|at| place(bundle.serves(kind)).is_none_or(|serves| at < serves))
            };
            let remedy = self.remedy_of(*id).filter(|_| Kind::ALL.into_iter().any(wanted))?;
            Some(Problem {
                subject: format!("model {}", model.label()),
                what: format!("{}: {why}; {} stands in for it", model.way(), serving.way()),
                remedy,
            })
        };
        self.recovery.troubles.iter().filter_map(failed).collect()
    }
}
