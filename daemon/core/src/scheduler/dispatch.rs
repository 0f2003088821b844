//! What can start is started: payloads to be decoded, batches on lanes.

use crate::action::Action;
use crate::batch::{Answer, Limit, Plan};
use crate::estimate::batch_size;
use crate::estimate::prepare::blocks;
use crate::linger::{self, Waiting};
use crate::members::Ids;
use crate::queue::Key;
use crate::request::Priority;
use crate::scheduler::contest::{Head, Terms};
use crate::scheduler::model::{Batch, Lane, Line, Model};
use crate::scheduler::table::{Live, Stage};
use crate::scheduler::{Decoding, Host, Scheduler};
use crate::turns::QUANTUM;
use crate::units::{Bytes, Mono, Span};

/// Batches that may lie decoded for each lane: one to be sent next, one because decoding takes time. More would only
/// fill the host's memory with tensors.
const DECODED_AHEAD: usize = 2;

/// Where the head of a line can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To a lane that runs nothing.
    Free(usize),
    /// To a lane that is still busy.
    Ahead(usize),
    /// To a free lane, once fewer lanes run.
    Capped,
}

impl Scheduler {
    pub(super) fn dispatch(&mut self, now: Mono) {
        while let Some(head) = self.next_to_decode() {
            self.decode(now, head);
        }
        while let Some((head, place)) = self.next_to_run(now) {
            match place {
                Place::Free(lane) => self.run(now, &head, lane, now),
                Place::Ahead(lane) => {
                    let start = self.models[head.model].lanes[lane].remaining(now).from(now);
                    self.run(now, &head, lane, start);
                }
                // The next lane to become free is its; nobody less urgent takes it by being sent ahead.
                Place::Capped => break,
            }
        }
        let ready = || self.models.iter().filter(|model| self.serves(model));
        let to_run = ready().any(|model| !model.run.is_empty() && self.lingers(now, model).is_none());
        let to_decode = ready().any(|model| !model.decode.is_empty()) && self.decoders_are_busy();
        // What the pace holds back says nothing of how fast the lanes are.
        self.rates.run.backlog(now, to_run && !self.pace.holds_back() && self.capacity.lanes > 0);
        self.rates.prepare.backlog(now, to_decode);
    }

    /// What the policy says of who goes first.
    pub(super) fn terms(&self) -> Terms {
        Terms { share: self.policy.lower_share, chunk: Span::of(self.policy.max_chunk) }
    }

    /// The payload whose turn it is, if one more may be decoded.
    fn next_to_decode(&self) -> Option<Head> {
        if self.decoders_are_busy() {
            return None;
        }
        let lines = [Line::Decode, Line::DecodeAlone];
        let head = |index: usize, line, priority| {
            let model = &self.models[index];
            let (key, slot) = model.next(&self.lines, line, priority)?;
            let may = if line == Line::DecodeAlone { self.may_retry(model.host) } else { self.may_decode(model, key) };
            may.then_some(Head { key, slot, model: index, line, round: Span::ZERO })
        };
        let heads = |priority| {
            let places = self.places(lines, priority);
            places.filter_map(move |(index, line)| head(index, line, priority))
        };
        self.decoders.choose(self.terms(), heads, |head| self.decode_time(head))
    }

    /// The lines of these two kinds in which something of a priority waits, by model.
    fn places(&self, lines: [Line; 2], priority: Priority) -> impl Iterator<Item = (usize, Line)> {
        let models = self.models.iter().enumerate();
        let waiting = models.filter(|(_, model)| self.serves(model) && !model.waits_for_nothing());
        waiting.flat_map(move |(index, model)| {
            lines.into_iter().filter(move |line| model.waits(*line, priority)).map(move |line| (index, line))
        })
    }

    /// Whether a host may decode one more retry: one that is decoded runs before the next one is decoded.
    fn may_retry(&self, host: usize) -> bool {
        let mut of_host = self.models.iter().filter(|model| model.host == host && self.serves(model));
        self.hosts[host].retries == 0 && of_host.all(|model| model.is_empty(Line::RunAlone))
    }

    /// Whether a model can run now.
    pub(super) fn serves(&self, model: &Model) -> bool {
        model.is_ready() && self.hosts[model.host].life == Host::Up
    }

    fn decoders_are_busy(&self) -> bool {
        self.decoding.len() >= usize::from(self.policy.preparing.max(1))
    }

    /// Whether the lanes will soon want more than what lies decoded for them. What would run before all of that may pass
    /// it, up to as much again.
    fn may_decode(&self, model: &Model, key: Key) -> bool {
        let room = usize::from(self.policy.lanes.max(1)) * model.usual * DECODED_AHEAD;
        if model.decoded < room {
            return true;
        }
        let first = Priority::ALL.into_iter().find_map(|priority| model.run.next(priority));
        let urgent = first.is_some_and(|(first, _)| self.turn(model, key) < self.turn(model, first));
        urgent && model.decoded < room * 2
    }

    /// The place of a request in the order to run, as far as it does not depend on others.
    fn turn(&self, model: &Model, key: Key) -> (Priority, Span, Mono) {
        // Less than a quantum apart, the deadline counts.
        let tag = model.run.tag(key.priority, key.share).as_nanos() / QUANTUM.as_nanos();
        (key.priority, Span::from_nanos(tag), key.deadline)
    }

    fn decode(&mut self, now: Mono, head: Head) {
        let Head { slot, line, .. } = head;
        let Some(live) = self.table.get(slot) else { return };
        let (id, bytes, index, deadline) = (live.id, live.bytes, live.model, live.key.deadline);
        let model = &self.models[index];
        let blocks = blocks(bytes);
        let service = model.times.at_least(now, 1, model.prepare.least_cost(now, blocks));
        if model.prepare.at_least(now, blocks).plus(service).from(now) > deadline {
            self.too_late_here(now, slot);
            return;
        }
        self.charge_decoding(&head);
        self.leave_line(slot);
        self.table.change(slot, |live| live.stage = Stage::Decoding);
        let alone = line == Line::DecodeAlone;
        let (host, model) = (self.models[index].host, self.models[index].id);
        self.hosts[host].retries += usize::from(alone);
        self.decoding.push(Decoding { id, model: index, bytes, started: now, alone });
        self.push(Action::Prepare { id, model });
    }

    /// A payload is about to be decoded: its caller and its model have had their turn.
    fn charge_decoding(&mut self, head: &Head) {
        let (terms, time) = (self.terms(), self.decode_time(head));
        let callers = self.models[head.model].decode.shares(head.key.priority).len();
        self.models[head.model].decode.charge(head.key, time);
        let waits = |priority| self.places([Line::Decode, Line::DecodeAlone], priority).next().is_some();
        let waits = Priority::ALL.map(waits);
        self.decoders.charge(head, callers, time, terms, waits);
    }

    /// How long decoding the payload at the head of a line counts in turns.
    fn decode_time(&self, head: &Head) -> Span {
        let bytes = self.table.get(head.slot).map_or(Bytes(0), |live| live.bytes);
        known(self.models[head.model].prepare.guess(blocks(bytes)))
    }

    /// The request whose turn it is among the heads of all lines that could start now, or as soon as the policy's lanes
    /// allow, and where it goes.
    fn next_to_run(&self, now: Mono) -> Option<(Head, Place)> {
        if !self.may_begin(now) {
            return None;
        }
        let capped = self.is_capped();
        let lines = [Line::Run, Line::RunAlone];
        let head = |index: usize, line, priority| {
            let model = &self.models[index];
            let place = self.place(now, model, line, capped)?;
            let (key, slot) = model.next(&self.lines, line, priority)?;
            let fits = match place {
                Place::Ahead(lane) => self.fits_ahead(now, model, lane, self.table.get(slot)?),
                Place::Free(_) => line == Line::RunAlone || self.lingers(now, model).is_none(),
                Place::Capped => true,
            };
            fits.then_some(Head { key, slot, model: index, line, round: Span::ZERO })
        };
        let heads = |priority| {
            let places = self.places(lines, priority);
            places.filter_map(move |(index, line)| head(index, line, priority))
        };
        let time = |head: &Head| {
            let units = self.table.get(head.slot).map_or(0, |live| live.units);
            run_time(&self.models[head.model], units)
        };
        let chosen = self.contested.choose(self.terms(), heads, time)?;
        let place = self.place(now, &self.models[chosen.model], chosen.line, capped)?;
        Some((chosen, place))
    }

    /// Until when the one free lane of a model waits for one more request; none if what waits can run.
    fn lingers(&self, now: Mono, model: &Model) -> Option<Mono> {
        // Of two free lanes the other one takes it.
        if model.free_lanes() != 1 || model.run.is_empty() {
            return None;
        }
        let (last, gap) = model.arrivals.seen()?;
        let waiting = model.run.total();
        let count = usize::try_from(waiting.count).unwrap_or(usize::MAX);
        let most = model.size.next(&model.times, model.most(self.max_batch()));
        if self.is_filled(model, most) {
            return None;
        }
        let waiting = Waiting {
            count,
            units: waiting.units / waiting.count.max(1),
            most,
            before: model.free_lane().and_then(|lane| model.lanes.get(lane)?.last_rows()),
            last,
            gap,
            // No earlier one is open anywhere.
            deadline: self.due.first().map_or(Mono::MAX, |(key, _)| key.deadline),
        };
        linger::until(&model.times, now, &waiting)
    }

    /// When a lane has waited long enough.
    pub(super) fn linger_deadline(&self) -> Option<Mono> {
        let ready = self.models.iter().filter(|model| self.serves(model));
        ready.filter_map(|model| self.lingers(self.clock, model)).min()
    }

    /// Whether a batch that begins with this request can be sent ahead to a lane: nothing that comes until the lane is free
    /// would make it a better one, and nobody waits for it longer than for a chunk. Otherwise it would cost more than the
    /// gap that it closes.
    fn fits_ahead(&self, now: Mono, model: &Model, lane: usize, first: &Live) -> bool {
        let Some(rest) = self.rest(now, model, lane) else { return false };
        let waiting = usize::try_from(model.run.total().count).unwrap_or(usize::MAX);
        let rows = self.ceiling(model, Line::Run, lane);
        let most = model.size.next(&model.times, model.most(self.max_batch()));
        let best = rows >= most || model.lanes.get(lane).and_then(Lane::last_rows) == Some(rows);
        let members = (rows / first.rows().max(1)).max(1);
        if waiting < members || !best {
            return false;
        }
        let units = first.units.saturating_mul(u64::try_from(members).unwrap_or(u64::MAX));
        let alone = model.times.work(first.rows(), first.units);
        alone <= rest && model.times.work(members.saturating_mul(first.rows()), units) <= rest
    }

    /// How long a batch that is sent ahead to a lane may run, so that what waits for the lane waits for no more than a
    /// chunk.
    fn rest(&self, now: Mono, model: &Model, lane: usize) -> Option<Span> {
        let busy = model.lanes.get(lane)?.remaining(now);
        Some(Span::of(self.policy.max_chunk).minus(busy))
    }

    /// Whether as many lanes run as the policy allows.
    pub(super) fn is_capped(&self) -> bool {
        let busy: usize = self.models.iter().map(Model::busy_lanes).sum();
        busy >= usize::from(self.max_lanes())
    }

    /// Where the head of a line of this model could go.
    fn place(&self, now: Mono, model: &Model, line: Line, capped: bool) -> Option<Place> {
        if line == Line::RunAlone && self.hosts[model.host].retries > 0 {
            return None;
        }
        match model.free_lane() {
            Some(_) if capped => Some(Place::Capped),
            Some(lane) => Some(Place::Free(lane)),
            // A retry is never sent ahead: it would share the fate of what runs before it.
            None if line == Line::RunAlone => None,
            None => model.lane_ahead(now).map(Place::Ahead),
        }
    }

    /// Gives requests of the head's priority to a lane, in turn from the head on; drops those on the way that would be
    /// too late. Nobody waits in a batch for what is less urgent.
    fn run(&mut self, now: Mono, head: &Head, lane: usize, start: Mono) {
        let model = &self.models[head.model];
        let times = model.times;
        let limit = match model.lanes.get(lane).is_some_and(|lane| lane.running.is_some()) {
            true => Limit::Rest(self.rest(now, model, lane).unwrap_or(Span::ZERO)),
            false => Limit::Chunk(Span::of(self.policy.max_chunk)),
        };
        let mut plan = Plan::new(&times, now, start, self.ceiling(model, head.line, lane), limit);
        let callers = model.run.shares(head.key.priority).len();
        let mut ids = Ids::new();
        let mut next = Some((head.key, head.slot));
        while let Some((key, slot)) = next {
            let Some(live) = self.table.get(slot) else { break };
            let (id, units) = (live.id, live.units);
            match plan.offer(key.deadline, live.rows(), units) {
                Answer::Take => {
                    let time = run_time(&self.models[head.model], units);
                    self.models[head.model].run.charge(live.key, time);
                    self.leave_line(slot);
                    self.table.change(slot, |live| live.stage = Stage::Running);
                    ids.push(id);
                }
                Answer::TooLate => self.too_late_here(now, slot),
                Answer::Complete => break,
            }
            let more = !plan.is_full();
            next = if more { self.models[head.model].next(&self.lines, head.line, head.key.priority) } else { None };
        }
        if plan.is_empty() {
            return;
        }
        let apart = self.models.iter().all(|model| model.busy_lanes() == 0);
        let alone = head.line == Line::RunAlone;
        let (len, rows, units) = (plan.len(), plan.rows(), plan.units());
        let estimate = times.guess(rows, units);
        self.charge_run(head, callers, units);
        self.pace.begin(now, estimate.unwrap_or(Span::ZERO));
        let model = &mut self.models[head.model];
        self.hosts[model.host].retries += usize::from(alone);
        model.size.count();
        model.running += len;
        let place = &mut model.lanes[lane];
        let size = place.note(rows, units);
        let batch = Batch { ids, rows, units, started: start, estimate, alone, wanted: len, size, apart };
        if place.running.is_none() {
            place.running = Some(batch);
        } else {
            place.next = Some(batch);
        }
        let action = Action::RunBatch { lane: place.id, model: model.id, ids };
        self.push(action);
    }

    /// A batch was made: its model and its priority have had their turn.
    fn charge_run(&mut self, head: &Head, callers: u64, units: u64) {
        let (terms, time) = (self.terms(), run_time(&self.models[head.model], units));
        let waits = |priority| self.places([Line::Run, Line::RunAlone], priority).next().is_some();
        let waits = Priority::ALL.map(waits);
        self.contested.charge(head, callers, time, terms, waits);
    }

    /// The most rows that the next batch on a lane may have: what pays for this model after what ran there, and no more
    /// than the share of one of the lanes that are free, as two half batches side by side are done sooner than one after
    /// the other.
    fn ceiling(&self, model: &Model, line: Line, lane: usize) -> usize {
        if line == Line::RunAlone {
            return 1;
        }
        let waiting = usize::try_from(model.run.total().count).unwrap_or(usize::MAX);
        let most = model.size.next(&model.times, model.most(self.max_batch()));
        let last = model.lanes.get(lane).and_then(Lane::last_rows);
        let pays = batch_size::ceiling(&model.times, most, waiting, last);
        let free = model.free_lanes();
        if free < 2 { pays } else { pays.min(waiting.div_ceil(free).max(1)) }
    }
}

/// How long `units` of waiting work count in turns.
fn run_time(model: &Model, units: u64) -> Span {
    known(model.times.work(model.usual, units))
}

/// What was never measured counts as much as any other that was not.
fn known(time: Span) -> Span {
    if time == Span::ZERO { QUANTUM } else { time }
}
