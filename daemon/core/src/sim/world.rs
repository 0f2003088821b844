//! The virtual clock and everything around a core: does what the core's actions say, and tells it what came of them.

mod away;
mod host;
mod parts;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use core::time::Duration;

use crate::action::{Action, Change};
use crate::event::{Event, LaneRange, ModelState};
use crate::id::{HostId, LaneId, ModelId, RequestId, SiteId};
use crate::policy::Policy;
use crate::request::RequestMeta;
use crate::scheduler::Scheduler;
use crate::sim::text;
use crate::site::Tokens;
use crate::units::{Bytes, Cost, Mono, Span};
use crate::verdict::{Outcome, SiteFault, Verdict};

pub use away::{Away, Does, FakeSite, Sent};
use host::{FakeHost, FakeLane};
use parts::{Divided, Gathering};

/// How a model behaves on the fake host.
#[derive(Clone, Copy, Debug)]
pub struct FakeModel {
    /// Where it runs.
    pub host: HostId,
    /// Its lanes.
    pub lanes: LaneRange,
    /// By its manifest.
    pub max_batch: u16,
    /// Time of a run beside that of its members.
    pub fixed: Span,
    /// Time per member and unit of cost.
    pub each: Span,
    /// Time to decode a payload.
    pub decode: Span,
    /// Cost of a decoded payload.
    pub cost: Cost,
}

impl FakeModel {
    /// A model with `count` lanes from `first` on that takes `each` per member, whatever the batch.
    pub fn new(first: u16, count: u16, each: Span) -> FakeModel {
        let lanes = LaneRange { first: LaneId(first), count };
        let decode = each.part(4);
        FakeModel { host: HostId(0), lanes, max_batch: 16, fixed: Span::ZERO, each, decode, cost: Cost::ONE }
    }

    fn ready(&self) -> ModelState {
        ModelState::Ready { lanes: self.lanes, max_batch: self.max_batch, default_deadline: None }
    }
}

/// One event with what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at: Mono,
    /// What happened.
    pub event: Event,
    /// What the core wanted done.
    pub actions: Vec<Action>,
}

impl Step {
    /// The step in the log format.
    pub fn text(&self) -> String {
        let mut lines = text::event(self.at, &self.event);
        for action in &self.actions {
            lines.push('\n');
            lines.push_str(&text::action(action));
        }
        lines
    }
}

/// What will happen by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Decoded { id: RequestId, model: ModelId },
    Ran { lane: LaneId },
    Crash,
    Back,
    Answered { id: RequestId, site: SiteId, serial: u64, result: Result<Tokens, SiteFault> },
    Probed { site: SiteId },
    Looked { id: RequestId },
}

impl Happening {
    /// Goes on for ever.
    fn is_idle(self) -> bool {
        matches!(self, Happening::Probed { .. })
    }
}

/// A happening on a host that is planned; only those of the host's present life come true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Planned {
    at: Mono,
    sequence: u64,
    host: HostId,
    life: u64,
    what: Happening,
}

impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Ids of children, which nobody else uses.
const CHILDREN: u64 = 1 << 40;
/// How long what waits on the disk has to be served at the end.
const DAY: Duration = Duration::from_secs(24 * 3600);

type Observer = Box<dyn FnMut(&Scheduler, &Step)>;

/// A core with everything around it.
pub struct World {
    core: Scheduler,
    now: Mono,
    models: BTreeMap<ModelId, FakeModel>,
    /// Where a model is or was.
    places: BTreeMap<ModelId, HostId>,
    requests: BTreeMap<RequestId, RequestMeta>,
    gathering: BTreeMap<RequestId, Gathering>,
    divided: BTreeMap<RequestId, Divided>,
    /// The policy's.
    fan_out: u16,
    children: u64,
    /// What follows from what the core has just done.
    later: VecDeque<Event>,
    lanes: BTreeMap<LaneId, FakeLane>,
    decoding: BTreeMap<RequestId, ModelId>,
    planned: BinaryHeap<Reverse<Planned>>,
    sequence: u64,
    hosts: BTreeMap<HostId, FakeHost>,
    /// Time that a dead host takes to come back with its models.
    pub restart: Span,
    /// Requests that kill the host when they run.
    pub poison: BTreeSet<RequestId>,
    /// Requests that never end.
    pub endless: BTreeSet<RequestId>,
    /// Requests that are not wanted any more.
    unwanted: BTreeSet<RequestId>,
    /// Requests whose batch fails with a runtime error.
    pub faulty: BTreeSet<RequestId>,
    settled: BTreeMap<RequestId, Vec<(Mono, Outcome)>>,
    announced: Vec<Change>,
    log: Vec<Step>,
    observer: Option<Observer>,
    /// Other sites, and the disk.
    pub away: Away,
    /// Accepted, and not settled.
    open: BTreeSet<RequestId>,
}

impl World {
    /// A world whose core starts with this policy, at time zero.
    pub fn new(policy: Policy) -> World {
        World {
            core: Scheduler::new(policy.clone()),
            now: Mono::default(),
            models: BTreeMap::new(),
            places: BTreeMap::new(),
            requests: BTreeMap::new(),
            gathering: BTreeMap::new(),
            divided: BTreeMap::new(),
            fan_out: policy.fan_out,
            children: CHILDREN,
            later: VecDeque::new(),
            lanes: BTreeMap::new(),
            decoding: BTreeMap::new(),
            planned: BinaryHeap::new(),
            sequence: 0,
            hosts: BTreeMap::new(),
            restart: Span::from_millis(300),
            poison: BTreeSet::new(),
            endless: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            faulty: BTreeSet::new(),
            settled: BTreeMap::new(),
            announced: Vec::new(),
            log: vec![Step { at: Mono::default(), event: Event::Policy(Box::new(policy)), actions: Vec::new() }],
            observer: None,
            away: Away::new(),
            open: BTreeSet::new(),
        }
    }

    /// Calls `observer` after every event, with the core and what came of it.
    pub fn observe(&mut self, observer: impl FnMut(&Scheduler, &Step) + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// The time.
    pub fn now(&self) -> Mono {
        self.now
    }

    /// The core.
    pub fn core(&self) -> &Scheduler {
        &self.core
    }

    /// All that happened, in order. The first step is the policy that the core was made with.
    pub fn log(&self) -> &[Step] {
        &self.log
    }

    /// What was announced, in order.
    pub fn announced(&self) -> &[Change] {
        &self.announced
    }

    /// How a request ended, if it has; the last time, should it have ended twice.
    pub fn outcome(&self, id: u64) -> Option<Outcome> {
        self.settled.get(&RequestId(id))?.last().map(|(_, outcome)| *outcome)
    }

    /// When a request ended.
    pub fn ended(&self, id: u64) -> Option<Mono> {
        self.settled.get(&RequestId(id))?.last().map(|(at, _)| *at)
    }

    /// Every settlement of every request.
    pub fn settlements(&self) -> &BTreeMap<RequestId, Vec<(Mono, Outcome)>> {
        &self.settled
    }

    /// Requests that arrived.
    pub fn arrived(&self) -> impl Iterator<Item = &RequestMeta> {
        self.requests.values()
    }

    /// Loads a model.
    pub fn load(&mut self, id: u16, model: FakeModel) {
        self.models.insert(ModelId(id), model);
        self.places.insert(ModelId(id), model.host);
        if model.host != HostId::default() {
            self.feed(Event::Placed { model: ModelId(id), host: model.host });
        }
        if self.is_up(model.host) {
            self.feed(Event::ModelState { model: ModelId(id), state: model.ready() });
        }
    }

    /// Ends a model for good; its lanes finish what they run.
    pub fn unload(&mut self, id: u16) {
        self.models.remove(&ModelId(id));
        self.feed(Event::ModelState { model: ModelId(id), state: ModelState::Unavailable });
    }

    /// A request comes in.
    pub fn arrive(&mut self, meta: RequestMeta) {
        self.requests.insert(meta.id, meta.clone());
        self.feed(Event::Arrived(meta));
    }

    fn settled(&mut self, id: RequestId, outcome: Outcome) {
        self.settled.entry(id).or_default().push((self.now, outcome));
        self.open.remove(&id);
        if matches!(outcome, Outcome::Deferred(_)) {
            self.put_aside(id);
        }
        self.gathering.remove(&id);
        self.divided.remove(&id);
        let parent = self.requests.get(&id).and_then(|meta| meta.parent);
        if let (Outcome::Done, Some(parent)) = (outcome, parent) {
            if let Some(gathering) = self.gathering.get_mut(&parent) {
                gathering.open -= 1;
            }
            if let Some(divided) = self.divided.get_mut(&parent) {
                divided.open -= 1;
            }
            self.go_on(parent);
            self.ask_for_chunks(parent);
        }
    }

    /// Anything else happens, now.
    pub fn tell(&mut self, event: Event) {
        self.feed(event);
    }

    /// The first host dies.
    pub fn kill_host(&mut self) {
        self.kill(HostId(0));
    }

    /// A host dies.
    pub fn kill(&mut self, host: HostId) {
        self.end_host(host, None);
    }

    fn is_up(&self, host: HostId) -> bool {
        !self.hosts.get(&host).is_some_and(|host| host.down)
    }

    fn host_of(&self, model: ModelId) -> HostId {
        self.places.get(&model).copied().unwrap_or_default()
    }

    /// Lets time pass until `until`, and happen what happens by then.
    pub fn run_until(&mut self, until: Mono) {
        while self.step(until) {}
        self.now = self.now.max(until);
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Span) {
        self.run_until(span.from(self.now));
    }

    /// Lets time pass until nothing will happen any more but that sites are asked how they are. What waits on the disk has a
    /// day to be served.
    pub fn run_out(&mut self) {
        let day = self.now.after(DAY);
        while !self.is_quiet() && self.step(if self.open.is_empty() { day } else { Mono::MAX }) {}
    }

    fn is_quiet(&self) -> bool {
        let is_idle = self.planned.iter().all(|Reverse(planned)| planned.what.is_idle());
        let has_others = !self.away.sites.is_empty() || self.away.on_disk() > 0;
        has_others && is_idle && self.open.is_empty() && self.away.on_disk() == 0
    }

    /// The next happening or deadline before or at `until`; whether there was one.
    fn step(&mut self, until: Mono) -> bool {
        let planned = self.planned.peek().map(|Reverse(planned)| planned.at);
        let deadline = self.core.poll_deadline().map(|deadline| deadline.max(self.now));
        let Some(next) = [planned, deadline].into_iter().flatten().min().filter(|next| *next <= until) else {
            return false;
        };
        self.now = self.now.max(next);
        // What the host says at the very moment of a deadline comes first.
        if planned == Some(next) {
            if let Some(Reverse(planned)) = self.planned.pop() {
                self.happen(planned);
            }
        } else {
            self.feed(Event::Tick);
        }
        true
    }

    fn feed(&mut self, event: Event) {
        self.core.handle(self.now, event.clone());
        let actions: Vec<Action> = core::iter::from_fn(|| self.core.poll_action()).collect();
        let step = Step { at: self.now, event, actions };
        if let Some(observer) = &mut self.observer {
            observer(&self.core, &step);
        }
        self.log.push(step.clone());
        step.actions.into_iter().for_each(|action| self.carry_out(action));
        while let Some(event) = self.later.pop_front() {
            self.feed(event);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Accept { id, verdict, class, .. } => {
                self.open.insert(id);
                self.away.classes.insert(id, class);
                match verdict {
                    // The other site does all of it.
                    Verdict::Spill(..) => drop(self.gathering.remove(&id)),
                    Verdict::Local(_) | Verdict::Speculate(_) | Verdict::Defer(_) | Verdict::Refuse(_) => {
                        self.go_on(id)
                    }
                }
            }
            Action::Divide { id, size } => match (self.divided.get_mut(&id), self.requests.get(&id).cloned()) {
                (Some(divided), _) => divided.size = size,
                (None, Some(meta)) => {
                    let left = meta.cost.units();
                    self.divided.insert(id, Divided { meta, size, left, open: 0 });
                    self.ask_for_chunks(id);
                }
                (None, None) => {}
            },
            Action::Forget { .. } => {}
            Action::Prepare { id, model } => self.begin_decoding(id, model),
            Action::RunBatch { lane, model, ids } => {
                let place = self.lanes.entry(lane).or_default();
                place.batches.push_back((model, ids));
                if place.batches.len() == 1 {
                    self.begin_batch(lane);
                }
            }
            Action::Abort { id } => self.abort(id),
            Action::Settle { id, outcome } => self.settled(id, outcome),
            Action::RestartHost { host, lane } => self.end_host(host, Some(lane)),
            Action::Spill { id, site, reserved, .. } => self.spill(id, site, reserved),
            Action::CallOff { id, site } => self.call_off(id, site),
            Action::Stay { .. } => {}
            Action::Check { id } => self.check(id),
            Action::Probe { site } => self.probe(site),
            Action::TakeUp { most } => self.take_up(most),
            Action::Announce(change) => self.announced.push(change),
        }
    }

    fn plan(&mut self, host: HostId, after: Span, what: Happening) {
        self.sequence += 1;
        let at = after.from(self.now);
        let life = self.hosts.entry(host).or_default().life;
        self.planned.push(Reverse(Planned { at, sequence: self.sequence, host, life, what }));
    }

    fn happen(&mut self, planned: Planned) {
        let host = planned.host;
        if self.hosts.get(&host).is_some_and(|host| host.life != planned.life) {
            return;
        }
        match planned.what {
            Happening::Decoded { id, model } => {
                // One that was unloaded meanwhile ends what it decodes.
                let model = self.models.get(&model).copied();
                let (cost, took) = model.map_or((Cost::ONE, Span::ZERO), |model| (model.cost, model.decode));
                self.decoding.remove(&id);
                self.feed(Event::Prepared { id, result: Ok(cost), took: took.duration() });
            }
            Happening::Ran { lane } => self.end_batch(lane, None),
            Happening::Crash => self.end_host(host, None),
            Happening::Answered { id, site, serial, result } => self.answered(id, site, serial, result),
            Happening::Probed { site } => self.probed(site),
            Happening::Looked { id } => self.looked(id),
            Happening::Back => {
                self.hosts.entry(host).or_default().down = false;
                self.feed(Event::HostUp { host });
                let models: Vec<(ModelId, FakeModel)> = self.models.iter().map(|(id, model)| (*id, *model)).collect();
                for (id, model) in models.into_iter().filter(|(_, model)| model.host == host) {
                    self.feed(Event::ModelState { model: id, state: model.ready() });
                }
            }
        }
    }
}

/// The policy of most tests: two lanes, room for 64 requests, 1 MiB.
pub fn small_policy() -> Policy {
    Policy { max_waiting: 64, max_waiting_bytes: Bytes(1 << 20), ..Policy::default() }
}
