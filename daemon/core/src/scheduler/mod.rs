//! The facade: events and a time in, actions and the next deadline out. The only module that knows all the others.
//!
//! What happens on which event is told by the sub-modules: `arrive` (admission), `ahead` (what will be done before a
//! request), `dispatch` (preparing and batches), `contest` (which model is next), `finish` (results and the one retry
//! rule), `heat` (what the governor allows), `leave` (settling, expiry, cancellation, drain), `host` (models, lanes, restarts, hangs), `moved` (from one way to
//! run a model to another), `parents` (requests that go through several models), `divided` (requests that run in chunks), `away` (requests at other sites), `fallbacks` (what is tried when a place does not serve), `chances` (when a request is looked at again), `places` (who waits for a place at one that is full), `sites` (what is known of each site), `taking`
//! (what comes back from the disk). After each event the same three steps follow: what is too late is dropped, what can start is
//! started, sites are asked how they are, what waits on the disk is asked for, and a drain that has nothing left is announced.

mod ahead;
mod arrive;
mod away;
mod chances;
mod contest;
mod dispatch;
mod divided;
mod fallbacks;
mod finish;
mod heat;
mod host;
mod leave;
mod look;
mod model;
mod moved;
mod parents;
mod places;
mod sites;
mod table;
mod taking;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::action::Action;
use crate::estimate::rate::Rates;
use crate::estimate::restart::Restart;
use crate::event::Event;
use crate::fallback::Taken;
use crate::id::RequestId;
use crate::policy::Policy;
use crate::queue::{Forest, Queue};
use crate::units::{Bytes, Mono};
use crate::verdict::Outcome;
use crate::wait::Allowance;

use crate::governor::{Capacity, Governor};
use crate::pace::Pace;
use contest::Contest;
use heat::Usage;
use model::Model;
use parents::Parents;
use sites::SiteState;
use table::Table;
use taking::Taking;

/// The state machine.
///
/// Its memory is reserved by the bounds of the policy (for up to 4096 places at once; a policy with more grows when they
/// are first used), and by models and lanes when they become ready. After that no event allocates, except
/// [`Event::Policy`] and what is said of models.
#[derive(Debug)]
pub struct Scheduler {
    policy: Policy,
    gate: Gate,
    hosts: Vec<EngineHost>,
    models: Vec<Model>,
    table: Table,
    /// What is known of pipeline requests beside the table.
    parents: Parents,
    /// Nodes of the models' lines.
    lines: Forest,
    /// Nodes of `due`.
    dues: Forest,
    /// All live requests by deadline.
    due: Queue,
    /// Payloads that the host decodes now.
    decoding: Vec<Decoding>,
    rates: Rates,
    sequence: u64,
    /// When the event came that is being handled.
    clock: Mono,
    /// Who gets the policy's lanes, and the decoders.
    contested: Contest,
    decoders: Contest,
    actions: VecDeque<Action>,
    governor: Governor,
    /// The governor's last word, and the one that what waits was last routed by.
    capacity: Capacity,
    reviewed: Capacity,
    is_held: bool,
    pace: Pace,
    usage: Usage,
    /// By their places in the policy.
    sites: Vec<SiteState>,
    /// What may be risked by waiting for places there.
    allowance: Allowance,
    /// Nodes of `looks`.
    look_nodes: Forest,
    /// Requests that are looked at again at some instant.
    looks: Queue,
    /// What was tried when something did not serve.
    taken: Taken,
    /// Requests that wait on the disk, as told.
    deferred: u64,
    taking: Taking,
}

/// Whether requests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Serving,
    Draining,
    Drained,
}

/// Whether an engine host takes work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Host {
    Up,
    /// Its end was asked for, because something on it does not answer.
    Ending,
    #[default]
    Down,
}

/// An engine host as far as the core knows.
#[derive(Clone, Copy, Debug, Default)]
struct EngineHost {
    life: Host,
    /// Retries that it decodes or runs now; at most one.
    retries: usize,
    restart: Restart,
    /// When it died, if it is not up again.
    died: Option<Mono>,
}

/// Of a thousand requests that could wait for a place at a site so many may be late by it.
const LATE_PERMILLE: u32 = 10;
/// Hosts whose places are there from the start.
const HOSTS: usize = 8;

/// One payload that the host decodes. Outlives its request if that is cancelled: the host is still at it.
#[derive(Clone, Copy, Debug)]
struct Decoding {
    id: RequestId,
    model: usize,
    bytes: Bytes,
    started: Mono,
    alone: bool,
}

impl Scheduler {
    /// A scheduler without models, with room for everything that `policy` bounds. An engine host counts as down until
    /// [`Event::HostUp`] or the first of its models that is ready.
    pub fn new(policy: Policy) -> Scheduler {
        // Beside those that wait there are those that run, and retries that come back to wait.
        let places = policy.max_waiting.saturating_add(table::EAGER / 8).min(table::EAGER);
        Scheduler {
            gate: Gate::Serving,
            hosts: vec![EngineHost::default(); HOSTS],
            models: Vec::new(),
            table: Table::with_room(places),
            parents: Parents::default(),
            lines: Forest::with_room(places),
            dues: Forest::with_room(places),
            due: Queue::default(),
            decoding: Vec::with_capacity(usize::from(policy.preparing.max(1))),
            rates: Rates::new(policy.preparing, policy.lanes),
            sequence: 0,
            clock: Mono::default(),
            contested: Contest::new(),
            decoders: Contest::new(),
            // At most two per live request (what the host holds is dropped, then it is settled), and some of its own.
            actions: VecDeque::with_capacity(places * 2 + 64),
            governor: Governor::new(&policy),
            capacity: Capacity::full(&policy),
            reviewed: Capacity::full(&policy),
            is_held: false,
            pace: Pace::default(),
            usage: Usage::default(),
            sites: Vec::new(),
            allowance: Allowance::new(LATE_PERMILLE),
            look_nodes: Forest::with_room(places),
            looks: Queue::default(),
            taken: Taken::default(),
            deferred: 0,
            taking: Taking::default(),
            policy,
        }
        .with_sites()
    }

    fn with_sites(mut self) -> Scheduler {
        self.set_sites(0);
        self
    }

    /// Takes one event that happened at `now`. Times never go backwards.
    pub fn handle(&mut self, now: Mono, event: Event) {
        self.clock = now;
        self.account(now);
        self.refresh_latency(now);
        match event {
            Event::Arrived(meta) => self.arrived(now, &meta),
            Event::ParentArrived { meta, stages, default_deadline } => {
                self.parent_arrived(now, &meta, stages, default_deadline)
            }
            Event::Finished { id, result } => self.finished(now, id, result),
            Event::Prepared { id, result, took } => self.prepared(now, id, result, took),
            Event::BatchDone { lane, took, results } => self.batch_done(now, lane, took, &results),
            Event::Cancelled { id } => self.cancelled(id),
            Event::ClientLeft { client } => self.client_left(client),
            Event::CutOff { id } => self.cut_off(id),
            Event::ModelState { model, state } => self.model_state(now, model, state),
            Event::Measured { model, batch, took } => self.measured(now, model, batch, took),
            Event::Planned { model, batch, took } => self.planned(now, model, batch, took),
            Event::Sampled(sample) => self.sampled(now, &sample),
            Event::Held(held) => self.held(now, held),
            Event::Placed { model, host } => self.placed(model, host),
            Event::Moved { from, to } => self.moved(from, to),
            Event::Follow { id, to } => self.follow(id, to),
            Event::HostDown { host } => self.host_down(now, host),
            Event::HostUp { host } => self.host_up(now, host),
            Event::SiteDone(trip) => self.site_done(now, &trip),
            Event::SiteBegan { id, site } => self.site_began(id, site),
            Event::SiteProbed { site, result } => self.site_probed(now, site, result),
            Event::SiteLoad { site, off, wait } => self.site_load(now, site, off, wait),
            Event::Spent { site, today } => self.set_spent(site, today),
            Event::Checked { id, doubtful } => self.checked(now, id, doubtful),
            Event::Deferred { waiting } => self.deferred(waiting),
            Event::TakenUp => self.taken_up(now),
            Event::Policy(policy) => self.set_policy(*policy),
            Event::Drain => self.drain(),
            Event::Resume => self.resume(),
            Event::Tick => {}
        }
        self.expire(now);
        self.end_hung_hosts(now);
        self.look(now);
        self.dispatch(now);
        self.probe_sites(now);
        self.announce_gates(now);
        self.give_places(now);
        self.take_up(now);
        self.announce_drained();
    }

    /// The next thing to do, if any. Call until `None` after each `handle`.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() {
            // An empty ring starts at its beginning again, so that calm days touch little of its memory.
            self.actions.clear();
        }
        action
    }

    /// Call `handle` with [`Event::Tick`] no later than this.
    pub fn poll_deadline(&self) -> Option<Mono> {
        let due = self.due.first().map(|(key, _)| key.deadline);
        let look = self.looks.first().map(|(key, _)| key.deadline);
        let here = [due, look, self.hang_deadline(), self.linger_deadline(), self.pace_deadline()];
        here.into_iter().chain([self.probe_deadline(), self.taking_deadline()]).flatten().min()
    }

    fn set_policy(&mut self, policy: Policy) {
        self.rates.run.set_workers(policy.lanes);
        self.rates.prepare.set_workers(policy.preparing);
        self.decoding.reserve(usize::from(policy.preparing.max(1)));
        let before = self.policy.sites.len();
        self.policy = policy;
        self.set_sites(before);
        self.governor.set_policy(&self.policy);
        self.take_capacity(self.clock);
        self.take_up_soon(self.clock);
        (0..self.models.len()).for_each(|index| self.find_usual_batch(index));
    }

    fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn push_settle(&mut self, id: RequestId, outcome: Outcome) {
        self.push(Action::Settle { id, outcome });
    }
}
