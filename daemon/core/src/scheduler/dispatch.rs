//! What can start is started: payloads to be decoded, batches on lanes.

use crate::action::Action;
use crate::batch::{Answer, Plan};
use crate::estimate::prepare::blocks;
use crate::members::Ids;
use crate::queue::{Key, Slot};
use crate::scheduler::model::{Batch, Line, Model};
use crate::scheduler::table::Stage;
use crate::scheduler::{Decoding, Host, Scheduler};
use crate::units::Mono;
use crate::verdict::Outcome;

/// Batches that may lie decoded for each lane: one to be sent next, one because decoding takes time. More would only
/// fill the host's memory with tensors.
const DECODED_AHEAD: usize = 2;

/// Every so many batches (and payloads) the earliest deadline counts, whatever its priority: a client that calls all its
/// work urgent would otherwise keep everybody else's from ever being done.
const PRIORITY_TURNS: u64 = 4;

/// The most urgent request that could start, and where.
#[derive(Clone, Copy, Debug)]
struct Head {
    key: Key,
    model: usize,
    line: Line,
    place: Place,
}

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
        while let Some((slot, line)) = self.next_to_decode() {
            self.decode(now, slot, line);
        }
        while let Some(head) = self.next_to_run(now) {
            match head.place {
                Place::Free(lane) => self.run(now, head, lane, now),
                Place::Ahead(lane) => {
                    let start = self.models[head.model].lanes[lane].remaining(now).from(now);
                    self.run(now, head, lane, start);
                }
                // The next lane to become free is its; nobody less urgent takes it by being sent ahead.
                Place::Capped => break,
            }
        }
        let waits = |line| self.models.iter().any(|model| self.serves(model) && !model.line(line).is_empty());
        let (to_run, to_decode) = (waits(Line::Run), waits(Line::Decode) && self.decoders_are_busy());
        self.rates.run.backlog(now, to_run);
        self.rates.prepare.backlog(now, to_decode);
    }

    /// The most urgent payload, if one more may be decoded.
    fn next_to_decode(&self) -> Option<(Slot, Line)> {
        if self.decoders_are_busy() {
            return None;
        }
        let turn = self.payloads;
        let heads = self.models.iter().filter(|model| self.serves(model)).flat_map(|model| {
            let ordinary = self.first(turn, model, Line::Decode).filter(|(key, _)| self.may_decode(model, *key));
            let alone = self.first(turn, model, Line::DecodeAlone).filter(|_| self.may_retry(model.host));
            [ordinary.map(|head| (head, Line::Decode)), alone.map(|head| (head, Line::DecodeAlone))]
        });
        let ((_, slot), line) = heads.flatten().min_by_key(|((key, _), _)| in_turn(turn, *key))?;
        Some((slot, line))
    }

    /// Whether a host may decode one more retry: one that is decoded runs before the next one is decoded.
    fn may_retry(&self, host: usize) -> bool {
        let mut of_host = self.models.iter().filter(|model| model.host == host && self.serves(model));
        self.hosts[host].retries == 0 && of_host.all(|model| model.line(Line::RunAlone).is_empty())
    }

    /// Whether a model can run now.
    pub(super) fn serves(&self, model: &Model) -> bool {
        model.is_ready() && self.hosts[model.host].life == Host::Up
    }

    /// The request of a line whose turn it is.
    fn first(&self, turn: u64, model: &Model, line: Line) -> Option<(Key, Slot)> {
        if is_deadlines_turn(turn) { self.lines.earliest(model.line(line)) } else { model.line(line).first() }
    }

    fn decoders_are_busy(&self) -> bool {
        self.decoding.len() >= usize::from(self.policy.preparing.max(1))
    }

    /// Whether the lanes will soon want more than what lies decoded for them. What is more urgent than all of that may
    /// pass it, up to as much again.
    fn may_decode(&self, model: &Model, key: Key) -> bool {
        let room = usize::from(self.policy.lanes.max(1)) * self.usual_batch(model) * DECODED_AHEAD;
        let urgent = model.line(Line::Run).first().is_some_and(|(first, _)| key < first);
        model.decoded < if urgent { room * 2 } else { room }
    }

    fn decode(&mut self, now: Mono, slot: Slot, line: Line) {
        let Some(live) = self.table.get(slot) else { return };
        let (id, bytes, index, deadline) = (live.id, live.bytes, live.model, live.key.deadline);
        let model = &self.models[index];
        let blocks = blocks(bytes);
        let service = model.times.at_least(now, 1, model.prepare.least_cost(now, blocks));
        if model.prepare.at_least(now, blocks).plus(service).from(now) > deadline {
            self.drop_live(slot, Outcome::Expired);
            return;
        }
        self.leave_line(slot);
        self.table.change(slot, |live| live.stage = Stage::Decoding);
        let alone = line == Line::DecodeAlone;
        let (host, model) = (self.models[index].host, self.models[index].id);
        self.hosts[host].retries += usize::from(alone);
        self.decoding.push(Decoding { id, model: index, bytes, started: now, alone });
        self.payloads = self.payloads.wrapping_add(1);
        self.push(Action::Prepare { id, model });
    }

    /// The most urgent request among the heads of all lines that could start now, or as soon as the policy's lanes
    /// allow.
    fn next_to_run(&self, now: Mono) -> Option<Head> {
        let capped = self.is_capped();
        let heads = self.models.iter().enumerate().filter(|(_, model)| self.serves(model));
        let heads = heads.filter_map(|(index, model)| self.head(now, index, model, capped));
        heads.min_by_key(|head| in_turn(self.batches, head.key))
    }

    /// Whether as many lanes run as the policy allows.
    pub(super) fn is_capped(&self) -> bool {
        let busy: usize = self.models.iter().map(Model::busy_lanes).sum();
        busy >= usize::from(self.policy.lanes.max(1))
    }

    fn head(&self, now: Mono, index: usize, model: &Model, capped: bool) -> Option<Head> {
        let turn = self.batches;
        let ordinary = self.first(turn, model, Line::Run).map(|head| (head, Line::Run));
        let alone = self.first(turn, model, Line::RunAlone).filter(|_| self.hosts[model.host].retries == 0);
        let alone = alone.map(|head| (head, Line::RunAlone));
        let both = [ordinary, alone].into_iter().flatten();
        let ((key, _), line) = both.min_by_key(|((key, _), _)| in_turn(turn, *key))?;
        let place = match model.free_lane() {
            Some(_) if capped => Place::Capped,
            Some(lane) => Place::Free(lane),
            // A retry is never sent ahead: it would share the fate of what runs before it.
            None if line == Line::RunAlone => return None,
            None => Place::Ahead(model.lane_ahead(now)?),
        };
        Some(Head { key, model: index, line, place })
    }

    /// Gives the requests of a line from the head on to a lane; drops those on the way that would be too late.
    fn run(&mut self, now: Mono, head: Head, lane: usize, start: Mono) {
        let model = &self.models[head.model];
        let times = model.times;
        let mut plan = Plan::new(&times, now, start, self.ceiling(model, head.line));
        let mut ids = Ids::new();
        while let Some((key, slot)) = self.lines.first_from(self.models[head.model].line(head.line), head.key) {
            let Some(live) = self.table.get(slot) else { break };
            let id = live.id;
            match plan.offer(key.deadline, live.rows(), live.units) {
                Answer::Take => {
                    self.leave_line(slot);
                    self.table.change(slot, |live| live.stage = Stage::Running);
                    ids.push(id);
                }
                Answer::TooLate => self.drop_live(slot, Outcome::Expired),
                Answer::Complete => break,
            }
        }
        if plan.is_empty() {
            return;
        }
        let alone = head.line == Line::RunAlone;
        let (len, rows, units) = (plan.len(), plan.rows(), plan.units());
        let batch = Batch { ids, rows, units, started: start, estimate: times.guess(rows, units), alone };
        self.batches = self.batches.wrapping_add(1);
        let model = &mut self.models[head.model];
        self.hosts[model.host].retries += usize::from(alone);
        model.size.count();
        model.running += len;
        let place = &mut model.lanes[lane];
        if place.running.is_none() {
            place.running = Some(batch);
        } else {
            place.next = Some(batch);
        }
        let action = Action::RunBatch { lane: place.id, model: model.id, ids };
        self.push(action);
    }

    /// The most rows that the next batch may have: what pays for this model, and no more than the share of one of
    /// the lanes that are free, as two half batches side by side are done sooner than one after the other.
    fn ceiling(&self, model: &Model, line: Line) -> usize {
        if line == Line::RunAlone {
            return 1;
        }
        let pays = model.size.next(&model.times, model.most(self.policy.max_batch));
        let free = model.free_lanes();
        if free < 2 {
            return pays;
        }
        let waiting = usize::try_from(self.lines.total(model.line(line)).count).unwrap_or(usize::MAX);
        pays.min(waiting.div_ceil(free).max(1))
    }
}

fn is_deadlines_turn(turn: u64) -> bool {
    turn % PRIORITY_TURNS == PRIORITY_TURNS - 1
}

/// The order that counts in this turn.
fn in_turn(turn: u64, key: Key) -> Key {
    if is_deadlines_turn(turn) { key.by_deadline() } else { key }
}
