//! Pipeline requests: a parent whose stages are requests of their own to other models. Carries out what [`plan`] says follows
//! from what the stages have answered; the core admits, orders and ends parents and children alike.

pub mod plan;
pub mod table;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use edge_core::{
    Bytes, ClassClaim, ClientId, Cost, DataClass, Event, Fault, Here, ModelId, Outcome, RequestId, RequestMeta,
    ShareId, Terms, Work,
};
use edge_engine::protocol::{ErrorKind, HostError, PIXELS, Part, Picture};
use edge_wire::dto::{Info, Problem};
use edge_wire::error::ErrorCode;

use self::plan::{Ask, Cut, Next, Plan, Role};
use self::table::{CONTENT_TYPES, Missing, Served};
use super::Driver;
use super::entry::{Entry, MAX_STEPS, Place, once};
use super::intake::{self, Checked};
use super::results::blob;
use super::trace::Step;
use crate::request::{Blob, Failure, Output, Payload, Request};

/// All decoded pictures that are kept for their lines. Beyond it, each line of a picture decodes it again.
const MAX_PICTURES: u64 = 256 << 20;
/// A request for a stage.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    parent: RequestId,
    ask: Ask,
    part: Option<Part>,
}

/// What is kept of a pipeline request while its stages run.
#[derive(Debug)]
pub struct Gathering {
    plan: Plan,
    class: ClassClaim,
    open: usize,
    picture: Option<Kept>,
    /// Providers and variants that ran, in order of appearance.
    providers: Vec<String>,
    variants: Vec<String>,
    /// By stage: what its models took together, and whether its end was told.
    boxes: Told,
    direction: Told,
    text: Told,
    /// The stage that failed.
    failed: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    took: Duration,
    told: bool,
}

/// The decoded picture, handed out once for all its lines.
#[derive(Clone, Debug)]
struct Kept {
    data: Blob,
    size: [u32; 2],
}

impl Gathering {
    fn told(&mut self, role: Role) -> &mut Told {
        match role {
            Role::Boxes => &mut self.boxes,
            Role::Direction => &mut self.direction,
            Role::Text => &mut self.text,
        }
    }
}

impl Child {
    /// The part of the picture that is to be prepared.
    pub fn part(&self) -> Option<Part> {
        self.part
    }

    /// Whether the decoded picture is wanted too.
    pub fn keeps(&self) -> bool {
        self.ask.role == Role::Boxes
    }
}

impl Driver {
    /// Checks a request for a pipeline.
    pub(super) fn check_pipeline(
        &self,
        served: &Served,
        request: &Request,
        info: &mut Info,
    ) -> Result<Checked, Failure> {
        info.model = served.found.name.clone();
        info.version = served.found.version.clone();
        let label = served.label();
        let unavailable = |why: &str| Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {why}"));
        if served.unloaded {
            return Err(unavailable("unloaded by the operator; `edgectl models load` loads it again"));
        }
        let stages = served.stages(&self.models).map_err(|missing| match missing {
            Missing::Fault(why) | Missing::Stage(why) => unavailable(&why),
            Missing::Loading(why) => Failure { retry_after_ms: Some(500), ..unavailable(&why) },
        })?;
        self.warn_of_options(request, info);
        let bytes = self.check_picture(served, &request.payload, size(&request.payload))?;
        let (model, resolved, cost, work) = (served.id, Vec::new(), Cost::ONE, Work::Encoded);
        Ok(Checked { model, resolved, cost, most_rows: None, bytes, work, stages: Some(stages), here: Here::Yes })
    }

    /// Whether a pipeline takes a payload of this form and size.
    pub(super) fn check_picture(&self, served: &Served, payload: &Payload, bytes: u64) -> Result<u64, Failure> {
        let Payload::Encoded { content_type, .. } = payload else {
            let takes = CONTENT_TYPES.join(" or ");
            return Err(Failure::invalid(format!("inputs: tensors given: the model takes a picture, {takes}")));
        };
        intake::check_content(content_type, bytes, &CONTENT_TYPES)?;
        self.check_bytes(served.found.max_payload_bytes, bytes)
    }

    /// What an accepted request for a pipeline begins with.
    pub(super) fn place_of(&self, id: ModelId, class: ClassClaim) -> Place {
        let Some(served) = self.pipelines.get(id) else { return Place::Single };
        Place::Parent(Box::new(Gathering {
            plan: Plan::new(served.spec.clone()),
            class,
            open: 0,
            picture: None,
            providers: Vec::new(),
            variants: Vec::new(),
            boxes: Told::default(),
            direction: Told::default(),
            text: Told::default(),
            failed: None,
        }))
    }

    /// Asks the stages of a pipeline request what is to be asked next, or finishes it.
    pub(super) fn advance(&mut self, id: RequestId) {
        let policy = usize::from(self.config.policy.fan_out);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Place::Parent(gathering) = &mut entry.place else { return };
        match gathering.plan.next(gathering.plan.fan_out().min(policy).saturating_sub(gathering.open)) {
            Next::Ask(asks) => {
                gathering.open += asks.len();
                for ask in asks {
                    self.ask(id, ask);
                }
            }
            Next::Done(document) => {
                entry.info.warnings.extend(gathering.plan.warning());
                entry.result = Some(Output::Document(document));
                self.core.handle(self.now, Event::Finished { id, result: Ok(()) });
            }
        }
    }

    /// A request for a stage of `parent`.
    fn ask(&mut self, parent: RequestId, ask: Ask) {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let Some(entry) = self.entries.get(&parent) else { return };
        let Place::Parent(gathering) = &entry.place else { return };
        let model = gathering.plan.stage(ask.role).and_then(|stage| table::serving(&self.models, stage));
        let Some(model) = model else {
            return self.cannot_go_on(parent, "a stage is not installed any more".into());
        };
        let (payload, part) = payload(entry, gathering, ask);
        let bytes = part.map_or_else(|| size(&payload), |part| area(&part.corners) * 3);
        let meta = RequestMeta {
            id,
            parent: Some(parent),
            // These, and until when and how urgently, are the parent's: the core sees to that.
            client: ClientId::default(),
            share: ShareId::default(),
            priority: edge_core::Priority::Normal,
            deadline: None,
            deaths: 0,
            model,
            class: gathering.class,
            deferrable: false,
            bytes: Bytes(bytes),
            origin: entry.story.caller.origin(),
            work: Work::Encoded,
            cost: Cost::ONE,
            most_rows: None,
            terms: Terms::default(),
        };
        let mut child = Entry::part_of(entry, self.now, model, payload, Place::Child(Child { parent, ask, part }));
        child.model = self.models.bundle_of(model).map_or(model, super::models::Bundle::root);
        if let Some(bundle) = self.models.get(model).map(|model| model.bundle)
            && let Some(bundle) = self.models.bundle_mut(bundle)
        {
            bundle.used = id.0;
        }
        self.entries.insert(id, child);
        self.wake(model);
        self.core.handle(self.now, Event::Arrived(meta));
    }

    /// The decoded picture of a pipeline request came with what was made of it for the first stage.
    pub(super) fn keep_picture(&mut self, id: RequestId, picture: Picture, fds: &[Arc<OwnedFd>]) {
        let Some(Place::Child(child)) = self.entries.get(&id).map(|entry| &entry.place) else { return };
        let parent = child.parent;
        let Some(Place::Parent(gathering)) = self.entries.get_mut(&parent).map(|entry| &mut entry.place) else {
            return;
        };
        let Some(data) = blob(picture.data, fds) else { return };
        let before = gathering.picture.as_ref().map_or(0, |kept| kept.data.len());
        self.pictures = self.pictures.saturating_sub(before).saturating_add(data.len());
        gathering.picture = Some(Kept { data, size: [picture.width, picture.height] });
    }

    /// Whether one more decoded picture may be kept.
    pub(super) fn has_room_for_a_picture(&self) -> bool {
        self.pictures < MAX_PICTURES
    }

    /// A stage has ended: its answer leads on, or its failure is told of the whole.
    pub(super) fn stage_settled(&mut self, child: Child, entry: Entry, outcome: Outcome) {
        let (parent, now) = (child.parent, self.now);
        let of = self.models.get(entry.setup).map(|model| (model.label(), model.provider.clone(), model.bundle));
        let (label, provider, bundle) = of.unwrap_or_default();
        if outcome == Outcome::Done
            && let Some(bundle) = self.models.bundle_mut(bundle)
        {
            bundle.done += 1;
        }
        let variant = self.models.get(entry.setup).map(|model| model.setup.variant.clone()).unwrap_or_default();
        let failure = (outcome != Outcome::Done).then(|| super::settle::failure(outcome, &entry, now));
        let Some(whole) = self.entries.get_mut(&parent) else { return };
        let Place::Parent(gathering) = &mut whole.place else { return };
        gathering.open = gathering.open.saturating_sub(1);
        whole.compute += entry.compute;
        whole.info.energy_mj += entry.info.energy_mj;
        whole.batch = whole.batch.max(entry.batch);
        whole.started = whole.started.or(entry.started);
        if entry.started.is_some() {
            once(&mut gathering.providers, provider);
            once(&mut gathering.variants, variant);
        }
        gathering.told(child.ask.role).took += entry.compute;
        for (at, step) in entry.story.steps {
            if let Step::Faulted { fault } = step
                && whole.story.steps.len() < MAX_STEPS
            {
                whole.story.steps.push((at, Step::StageFaulted { stage: label.clone(), fault }));
            }
        }
        match (failure, entry.result) {
            (None, Some(Output::Document(document))) => match gathering.plan.answered(child.ask, &document) {
                Ok(()) => {
                    self.tell_stage(parent, child.ask.role, &label);
                    self.advance(parent);
                }
                Err(why) => self.cannot_go_on(parent, format!("stage {label}: {why}")),
            },
            (None, _) => self.cannot_go_on(parent, format!("stage {label}: it gave no document")),
            // What ended the whole ends its stages first.
            (Some(_), _) if outcome == Outcome::Cancelled => {}
            (Some(failure), _) => {
                gathering.failed = Some(label);
                // The whole follows at once, by the same reason.
                whole.error = entry.error.or(Some(HostError { kind: ErrorKind::Runtime, message: failure.message }));
            }
        }
    }

    /// Notes in the story what a stage has said, once it has said all.
    fn tell_stage(&mut self, parent: RequestId, role: Role, label: &str) {
        let now = self.now;
        let Some(whole) = self.entries.get_mut(&parent) else { return };
        let Place::Parent(gathering) = &mut whole.place else { return };
        let Some(said) = gathering.plan.summary(role) else { return };
        let told = gathering.told(role);
        if !std::mem::replace(&mut told.told, true) {
            let took_us = u64::try_from(told.took.as_micros()).unwrap_or(u64::MAX);
            whole.story.steps.push((now, Step::Stage { stage: label.to_owned(), said, took_us }));
        }
    }

    /// What the parts of a request gave cannot be made its answer.
    pub(super) fn cannot_go_on(&mut self, id: RequestId, message: String) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.error = Some(HostError { kind: ErrorKind::Runtime, message });
        }
        self.core.handle(self.now, Event::Finished { id, result: Err(Fault::Runtime) });
    }

    /// What a pipeline request is told besides: what ran it, or which stage failed.
    pub(super) fn finish_pipeline(&mut self, entry: &mut Entry, failure: Option<&mut Failure>) {
        let Place::Parent(gathering) = &entry.place else { return };
        let kept = gathering.picture.as_ref().map_or(0, |kept| kept.data.len());
        self.pictures = self.pictures.saturating_sub(kept);
        match (failure, &gathering.failed) {
            (Some(failure), Some(stage)) => failure.message = format!("stage {stage}: {}", failure.message),
            (Some(_), None) => {}
            (None, _) => {
                entry.info.provider = gathering.providers.join(", ");
                entry.info.variant = gathering.variants.join(", ");
                entry.info.site.clone_from(&self.config.node);
                entry.info.zone = entry.reached.max(edge_core::Zone::Device).as_str().into();
                let took = self.now.since(entry.started.unwrap_or(self.now));
                if let Some(served) = self.pipelines.get_mut(entry.model) {
                    served.answered(took);
                }
            }
        }
    }

    /// Loads or unloads a pipeline on request: takes requests for it, or no more. `false` if there is none of this name.
    pub(super) fn set_unloaded(&mut self, name: &str, version: Option<&str>, unloaded: bool) -> Result<bool, Failure> {
        let Some(served) = self.pipelines.find(name, version) else { return Ok(false) };
        let (id, label) = (served.id, served.label());
        if let Some(fault) = served.found.fault.as_ref().filter(|_| !unloaded) {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {fault}")));
        }
        if let Some(served) = self.pipelines.get_mut(id) {
            served.unloaded = unloaded;
        }
        self.touch();
        Ok(true)
    }

    /// What keeps pipelines from being served, unless that is told of one of their stages.
    pub(super) fn pipeline_problems(&self, problems: &mut Vec<Problem>) {
        let at_fault = self.pipelines.iter().filter(|served| self.warm && !served.unloaded);
        problems.extend(at_fault.filter_map(|served| {
            Some(Problem {
                subject: format!("model {}", served.label()),
                what: served.fault(&self.models)?,
                remedy: "install the bundle of the stage, or remove the directory of this one; restart edged".into(),
            })
        }));
    }
}

/// What a stage is sent: the picture as it came, or as it was decoded, with the part that is meant.
fn payload(entry: &Entry, gathering: &Gathering, ask: Ask) -> (Payload, Option<Part>) {
    let cut = gathering.plan.cut(ask);
    let part = |Cut { picture, corners, upside_down }, pixels| Part { picture, corners, upside_down, pixels };
    match (cut, &gathering.picture) {
        (Some(cut), Some(kept)) => {
            let payload = Payload::Encoded { content_type: PIXELS.into(), data: kept.data.clone() };
            (payload, Some(part(cut, kept.size)))
        }
        (cut, _) => (entry.payload.clone(), cut.map(|cut| part(cut, cut.picture))),
    }
}

fn size(payload: &Payload) -> u64 {
    match payload {
        Payload::Encoded { data, .. } => intake::size_of(data),
        Payload::Tensors(_) => 0,
    }
}

/// Pixels of the rectangle around four corners.
fn area(corners: &[[u32; 2]; 4]) -> u64 {
    let side = |at: usize| {
        let sides = || corners.iter().map(|corner| corner[at]);
        u64::from(sides().max().unwrap_or(0) - sides().min().unwrap_or(0)) + 1
    };
    side(0) * side(1)
}

/// The class that a caller claims.
pub(super) fn claim(word: Option<&str>) -> ClassClaim {
    match word {
        None => ClassClaim::Unlabelled,
        Some(word) => DataClass::from_word(word).map_or(ClassClaim::Unknown, ClassClaim::Claimed),
    }
}
