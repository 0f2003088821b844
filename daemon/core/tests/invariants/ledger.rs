//! Holds each step of a core against what its events and actions allow.

use std::collections::{BTreeMap, BTreeSet};

use edge_core::sim::Step;
use edge_core::*;

/// What an outside observer can know of the core from its events and actions.
#[derive(Debug, Default)]
pub struct Ledger {
    policy: Option<Policy>,
    /// Accepted and not settled.
    pub live: BTreeSet<RequestId>,
    settled: BTreeSet<RequestId>,
    lanes: BTreeMap<LaneId, Vec<Ids>>,
    decoding: BTreeSet<RequestId>,
    running: BTreeSet<RequestId>,
    deaths: BTreeMap<RequestId, u8>,
    rows: BTreeMap<RequestId, u32>,
    /// Died once, or failed in company: to be run alone.
    suspects: BTreeSet<RequestId>,
    /// Where models run, unless on the first host.
    hosts: BTreeMap<ModelId, HostId>,
    /// Where the batch of a lane runs, and a payload is decoded.
    lane_hosts: BTreeMap<LaneId, HostId>,
    decoding_hosts: BTreeMap<RequestId, HostId>,
    gone: BTreeSet<HostId>,
    down: BTreeSet<HostId>,
    pub waiting_at_most: usize,
    /// Pipeline requests, and the live ones of each.
    parents: BTreeSet<RequestId>,
    children: BTreeMap<RequestId, BTreeSet<RequestId>>,
    /// Of divided requests: the rows of those that are done.
    done_rows: BTreeMap<RequestId, u32>,
    most_rows: BTreeMap<RequestId, u32>,
    parent_of: BTreeMap<RequestId, RequestId>,
    /// Attempts at sites that have not ended; the flag: they were called off.
    out: BTreeMap<(RequestId, SiteId), bool>,
    /// Where a request was sent, ever.
    sent: BTreeSet<(RequestId, SiteId)>,
    /// Attempts whose connection broke before anything was sent.
    broke_unsent: BTreeSet<(RequestId, SiteId)>,
    /// Asked the same site once more.
    asked_again: BTreeSet<RequestId>,
    pub spills: usize,
}

impl Ledger {
    pub fn new(policy: Policy) -> Ledger {
        Ledger { policy: Some(policy), ..Ledger::default() }
    }

    /// Accounts for one step; says what is wrong with it.
    pub fn check(&mut self, core: &Scheduler, step: &Step) -> Result<(), String> {
        self.before(step);
        for action in &step.actions {
            self.action(action)?;
        }
        self.after(core, step)
    }

    fn before(&mut self, step: &Step) {
        match &step.event {
            Event::Arrived(meta) => {
                self.deaths.insert(meta.id, meta.deaths);
                self.rows.insert(meta.id, if meta.work == Work::Tensors { meta.cost.units() } else { 1 });
                self.most_rows.extend(meta.most_rows.map(|most| (meta.id, most)));
                if meta.deaths > 0 {
                    self.suspects.insert(meta.id);
                }
                if let Some(parent) = meta.parent {
                    self.children.entry(parent).or_default().insert(meta.id);
                    self.parent_of.insert(meta.id, parent);
                    if self.deaths.get(&parent).is_some_and(|deaths| *deaths > 0) {
                        self.suspects.insert(meta.id);
                    }
                }
            }
            Event::ParentArrived { meta, .. } => {
                self.deaths.insert(meta.id, meta.deaths);
                self.parents.insert(meta.id);
            }
            Event::Policy(policy) => self.policy = Some((**policy).clone()),
            Event::BatchDone { lane, results, .. } => {
                let batches = self.lanes.entry(*lane).or_default();
                let batch = if batches.is_empty() { Ids::new() } else { batches.remove(0) };
                for item in results.as_slice() {
                    self.running.remove(&item.id);
                    let died = matches!(item.result, Err(Fault::HostLost | Fault::Hung));
                    if died {
                        self.gone.extend(self.lane_hosts.get(lane));
                    }
                    *self.deaths.entry(item.id).or_default() += u8::from(died);
                    if died || (item.result == Err(Fault::Runtime) && batch.as_slice().len() > 1) {
                        self.suspects.insert(item.id);
                    }
                }
            }
            Event::Prepared { id, result, .. } => {
                let was = self.decoding.remove(id);
                let died = was && matches!(result, Err(Fault::HostLost | Fault::Hung));
                if died {
                    self.gone.extend(self.decoding_hosts.get(id));
                }
                *self.deaths.entry(*id).or_default() += u8::from(died);
                if died {
                    self.suspects.insert(*id);
                }
            }
            Event::SiteDone(trip) => {
                self.out.remove(&(trip.id, trip.site));
                if trip.result == Err(SiteFault::Reset) && !trip.sent {
                    self.broke_unsent.insert((trip.id, trip.site));
                }
            }
            Event::Placed { model, host } => drop(self.hosts.insert(*model, *host)),
            Event::HostDown { host } => {
                self.gone.insert(*host);
                self.down.insert(*host);
            }
            Event::HostUp { host } => self.is_back(*host),
            // What a host had loaded before it was found to be gone does not bring it back.
            Event::ModelState { state: ModelState::Ready { .. }, model } if self.down.contains(&self.host(*model)) => {
                self.is_back(self.host(*model));
            }
            _ => {}
        }
    }

    fn host(&self, model: ModelId) -> HostId {
        self.hosts.get(&model).copied().unwrap_or_default()
    }

    fn is_back(&mut self, host: HostId) {
        self.gone.remove(&host);
        self.down.remove(&host);
    }

    fn action(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Accept { id, .. } => {
                require(self.live.insert(*id), "accepted while live")?;
                require(!self.settled.contains(id), "accepted after it was settled")
            }
            Action::Divide { id, size } => {
                require(self.live.contains(id), "divided while not live")?;
                require(size.rows() <= self.most_rows[id], "a chunk of more rows than may run at once")?;
                self.done_rows.entry(*id).or_default();
                self.parents.insert(*id);
                Ok(())
            }
            Action::Prepare { id, model } => {
                require(!self.parents.contains(id), "a pipeline request was decoded")?;
                let host = self.host(*model);
                self.decoding_hosts.insert(*id, host);
                require(self.live.contains(id), "prepared while not live")?;
                require(!self.gone.contains(&host), "prepared on a dead host")?;
                require(self.decoding.insert(*id), "prepared twice")
            }
            Action::RunBatch { lane, model, ids } => self.batch(*lane, *model, ids),
            Action::Forget { id } => require(self.live.contains(id), "forgotten while not live"),
            Action::Abort { id } => require(self.live.contains(id), "aborted while not live"),
            Action::Settle { id, outcome } => {
                let accepted = self.live.remove(id);
                let refused = matches!(outcome, Outcome::Refused(_));
                let put_off = matches!(outcome, Outcome::Deferred(_));
                require(accepted != refused || put_off, "settled without being live, or refused after being accepted")?;
                require(self.wanted(*id).next().is_none(), "settled while a site is at it that was not called off")?;
                require(self.settled.insert(*id), "settled twice")?;
                if let (Outcome::Done, Some(parent)) = (outcome, self.parent_of.get(id))
                    && let Some(done) = self.done_rows.get_mut(parent)
                {
                    *done += self.rows[id];
                }
                let whole = self.done_rows.get(id).is_none_or(|done| Some(done) == self.rows.get(id));
                require(*outcome != Outcome::Done || whole, "done before all its rows were")?;
                self.running.remove(id);
                for children in self.children.values_mut() {
                    children.remove(id);
                }
                // Nothing of a pipeline request goes on when it has ended.
                require(self.children.remove(id).is_none_or(|open| open.is_empty()), "settled before its children")
            }
            Action::Spill { id, site, .. } => self.spill(*id, *site),
            Action::CallOff { id, site } => {
                let wanted = self.out.insert((*id, *site), true);
                require(wanted == Some(false), "called off what is not under way")
            }
            Action::Stay { id, .. } => {
                require(self.live.contains(id), "stays while not live")?;
                require(self.wanted(*id).next().is_none(), "stays while a site is at it")
            }
            Action::Check { id } => require(self.live.contains(id), "checked while not live"),
            Action::Probe { .. } | Action::TakeUp { .. } => Ok(()),
            Action::RestartHost { host, .. } => require(!self.gone.contains(host), "a dead host was ended"),
            Action::Announce(_) => Ok(()),
        }
    }

    /// Sites that are at a request, but for those that were called off.
    fn wanted(&self, id: RequestId) -> impl Iterator<Item = SiteId> {
        let of = self.out.range((id, SiteId(0))..=(id, SiteId(u8::MAX)));
        of.filter(|(_, called_off)| !**called_off).map(|((_, site), _)| *site)
    }

    fn spill(&mut self, id: RequestId, site: SiteId) -> Result<(), String> {
        self.spills += 1;
        require(self.live.contains(&id), "sent while not live")?;
        require(self.deaths.get(&id).is_none_or(|deaths| *deaths < 2), "sent after two deaths")?;
        require(!self.parent_of.contains_key(&id), "a part of a request was sent")?;
        let is_repeated = !self.sent.insert((id, site));
        // Only if its connection broke before anything was sent, and once in the life of a request.
        let may_be_repeated = self.broke_unsent.remove(&(id, site));
        require(!is_repeated || (may_be_repeated && self.asked_again.insert(id)), "sent to a site twice")?;
        require(self.wanted(id).count() < 2, "sent to three sites at once")?;
        let policy = self.policy.clone().unwrap_or_default();
        let most = policy.sites.get(usize::from(site.0)).map_or(0, |site| usize::from(site.max_open));
        let open = self.out.keys().filter(|(_, at)| *at == site).count();
        require(open < most, "more requests are open at a site than may be")?;
        self.out.insert((id, site), false);
        Ok(())
    }

    fn batch(&mut self, lane: LaneId, model: ModelId, ids: &Ids) -> Result<(), String> {
        let (policy, len) = (self.policy.clone().unwrap_or_default(), ids.as_slice().len());
        self.lane_hosts.insert(lane, self.host(model));
        require(!self.gone.contains(&self.host(model)), "a batch was sent to a dead host")?;
        require(len >= 1 && len <= usize::from(policy.max_batch), "size of a batch")?;
        let rows: u32 = ids.as_slice().iter().map(|id| self.rows[id]).sum();
        require(len == 1 || rows <= u32::from(policy.max_batch), "rows of a batch")?;
        let lanes = self.lanes.entry(lane).or_default();
        lanes.push(*ids);
        require(lanes.len() <= 2, "three batches on a lane")?;
        for id in ids.as_slice() {
            require(!self.parents.contains(id), "a pipeline request was run")?;
            require(self.live.contains(id), "a batch with a request that is not live")?;
            require(self.running.insert(*id), "run while running")?;
            require(self.deaths.get(id).is_none_or(|deaths| *deaths < 2), "run after two deaths")?;
            require(len == 1 || !self.suspects.contains(id), "a suspect was run in company")?;
        }
        Ok(())
    }

    fn after(&mut self, core: &Scheduler, step: &Step) -> Result<(), String> {
        let policy = self.policy.clone().unwrap_or_default();
        let busy = self.lanes.values().filter(|batches| !batches.is_empty()).count();
        let shrunk = matches!(step.event, Event::Policy(_));
        let seen = core.snapshot();
        // A batch more may run only if the policy was narrowed meanwhile.
        let started = step.actions.iter().any(|action| matches!(action, Action::RunBatch { .. }));
        require(!started || shrunk || busy <= usize::from(policy.lanes) + self.ahead(step), "too many lanes run")?;
        let prepares = step.actions.iter().any(|action| matches!(action, Action::Prepare { .. }));
        require(!prepares || seen.preparing <= usize::from(policy.preparing), "too many payloads are decoded")?;
        // Places are taken by arrivals only; retries come back to wait without asking.
        // A stage takes none: its parent holds one for it.
        let is_stage = matches!(&step.event, Event::Arrived(meta) if meta.parent.is_some());
        let accepts = !is_stage
            && step.actions.iter().any(|action| {
                matches!(action, Action::Accept { verdict: Verdict::Local(_) | Verdict::Speculate(_), .. })
            });
        require(!accepts || seen.waiting <= policy.max_waiting, "too many requests wait")?;
        require(!accepts || seen.waiting_bytes <= policy.max_waiting_bytes, "too many bytes wait")?;
        let most = self.children.values().map(BTreeSet::len).max().unwrap_or(0);
        require(shrunk || !is_stage || most <= usize::from(policy.fan_out), "too many children")?;
        require(
            seen.waiting + seen.running + seen.stages + seen.away == self.live.len(),
            "the snapshot does not count what is live",
        )?;
        let of_models: usize = seen.models.iter().map(|model| model.running).sum();
        require(of_models == seen.running, "running requests do not add up over the models")?;
        self.waiting_at_most = self.waiting_at_most.max(seen.waiting);
        let next = core.poll_deadline();
        require(next.is_some() || self.live.is_empty(), "a live request without a wake-up")?;
        require(next.is_none_or(|next| next > step.at), "a wake-up in the past")
    }

    /// Lanes that ran when this step began and only took a batch more.
    fn ahead(&self, step: &Step) -> usize {
        let ahead = |action: &&Action| match action {
            Action::RunBatch { lane, .. } => self.lanes.get(lane).is_some_and(|batches| batches.len() > 1),
            _ => false,
        };
        if step.actions.iter().filter(|action| matches!(action, Action::RunBatch { .. })).all(|action| ahead(&action)) {
            usize::MAX / 2
        } else {
            0
        }
    }
}

fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
