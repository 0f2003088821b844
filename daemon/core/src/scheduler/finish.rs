//! Work comes back from the host: results, what they teach, and the one retry rule.
//!
//! | a member failed by | what follows |
//! |---|---|
//! | `HostLost`, `Hung` | it was alive at a death: once more, alone, and never after the second death |
//! | `Runtime` in company | once more, alone: another member may have been the cause |
//! | `Runtime` alone, and another way to run it has taken over | once more, there: the provider may have been the cause |
//! | `Runtime` alone | failed |
//! | anything, when it was tried once more | failed |
//! | `InvalidInput`, `TooLarge` | failed: it would fail again |
//! | `Full` | failed: its caller is told to try again later |
//! | `Late` | expired |
//! | `Stopped` | cancelled |

use core::time::Duration;

use crate::action::Action;
use crate::estimate::prepare::blocks;
use crate::id::{LaneId, ModelId, RequestId};
use crate::members::{MemberResult, Results};
use crate::queue::Slot;
use crate::request::Work;
use crate::route::DEATHS;
use crate::scheduler::model::{Batch, Size, State};
use crate::scheduler::table::{Role, Stage};
use crate::scheduler::{Host, Scheduler};
use crate::units::{Cost, Mono, Span};
use crate::verdict::{Fault, Outcome, Reason};

impl Scheduler {
    pub(super) fn prepared(&mut self, now: Mono, id: RequestId, result: Result<Cost, Fault>, took: Duration) {
        let Some(index) = self.decoding.iter().position(|decoding| decoding.id == id) else { return };
        let decoding = self.decoding.remove(index);
        let model = &mut self.models[decoding.model];
        let host = model.host;
        self.hosts[host].retries -= usize::from(decoding.alone);
        if let Ok(cost) = result {
            let expected = model.prepare.guess(blocks(decoding.bytes));
            model.prepare.learn(now, decoding.bytes, Span::of(took), cost);
            self.rates.prepare.done(now, if expected == Span::ZERO { Span::of(took) } else { expected });
        }
        self.notice_death(host, result.err());
        let Some(slot) = self.table.find(id) else { return };
        match self.table.get(slot).map(|live| live.stage) {
            Some(Stage::Decoding) => {}
            // It left meanwhile, and is decoded for nobody.
            Some(Stage::Away) if result.is_ok() => return self.push(Action::Forget { id }),
            // Nor is it innocent of the host's death: where it goes next it goes as a suspect.
            Some(Stage::Away) if matches!(result, Err(Fault::HostLost | Fault::Hung)) => {
                return self.table.change(slot, |live| {
                    live.deaths = live.deaths.saturating_add(1);
                    live.alone = true;
                });
            }
            Some(_) | None => return,
        }
        match result {
            Ok(_) if self.models[decoding.model].heir.is_some() => self.decode_elsewhere(slot),
            Ok(cost) => {
                self.table.change(slot, |live| {
                    live.stage = Stage::Queued;
                    live.units = u64::from(cost.units());
                });
                self.reprice(slot);
                self.enter_line(slot);
            }
            Err(fault) => self.failed(slot, fault, true),
        }
    }

    pub(super) fn batch_done(&mut self, now: Mono, lane: LaneId, took: Duration, results: &Results) {
        let lanes = |(index, model): (usize, &crate::scheduler::model::Model)| {
            let lane = model.lanes.iter().position(|place| place.id == lane && place.running.is_some());
            lane.map(|lane| (index, lane))
        };
        let Some((model, lane)) = self.models.iter().enumerate().find_map(lanes) else { return };
        let place = &mut self.models[model].lanes[lane];
        let Some(batch) = place.running.take() else { return };
        place.running = place.next.take().map(|next| Batch { started: now, ..next });
        if place.retired && place.running.is_none() {
            self.models[model].lanes.remove(lane);
        }
        let host = self.models[model].host;
        results.as_slice().iter().for_each(|item| self.notice_death(host, item.result.err()));
        self.pace.end(now, batch.estimate.unwrap_or(Span::ZERO), Span::of(took));
        self.hold_against_plan(now, model, &batch, Span::of(took), results);
        self.learn(now, model, &batch, Span::of(took), results);
        self.end_batch(model, &batch, |position, id| result_of(results, position, id));
    }

    /// Settles or retries each member of a batch that has left its lane.
    pub(super) fn end_batch(
        &mut self,
        model: usize,
        batch: &Batch,
        result: impl Fn(usize, RequestId) -> Result<(), Fault>,
    ) {
        self.hosts[self.models[model].host].retries -= usize::from(batch.alone);
        let alone = batch.ids.as_slice().len() == 1;
        for (position, id) in batch.ids.as_slice().iter().enumerate() {
            // Cancelled or expired meanwhile: settled then.
            let Some(slot) = self.table.find(*id) else { continue };
            match result(position, *id) {
                Ok(()) => {
                    // A request in chunks is done once.
                    let is_chunk = self.table.get(slot).is_some_and(|live| matches!(live.role, Role::Chunk(_)));
                    self.models[model].done += u64::from(!is_chunk);
                    match self.table.get(slot).is_some_and(|live| self.is_checked(live)) {
                        true => self.check(slot),
                        false => self.settle(slot, Outcome::Done),
                    }
                }
                Err(fault) => self.failed(slot, fault, alone),
            }
        }
    }

    /// What died with the host is reported before the death itself: until that comes, nothing more is sent there.
    fn notice_death(&mut self, host: usize, fault: Option<Fault>) {
        let life = &mut self.hosts[host].life;
        if *life == Host::Up && matches!(fault, Some(Fault::HostLost | Fault::Hung)) {
            *life = Host::Ending;
        }
    }

    /// The one retry rule; see the table above.
    fn failed(&mut self, slot: Slot, fault: Fault, alone: bool) {
        match fault {
            Fault::HostLost | Fault::Hung => {
                self.table.change(slot, |live| live.deaths = live.deaths.saturating_add(1));
                if self.table.get(slot).is_some_and(|live| live.deaths < DEATHS && !live.alone) {
                    self.retry(slot);
                } else {
                    self.settle(slot, Outcome::Failed(fault));
                }
            }
            Fault::Runtime if !alone || self.may_do_better_elsewhere(slot) => self.retry(slot),
            Fault::Runtime | Fault::InvalidInput | Fault::TooLarge | Fault::Full | Fault::Site | Fault::Confined => {
                self.failed_here(self.clock, slot, fault, Outcome::Failed(fault));
            }
            Fault::Late => self.failed_here(self.clock, slot, fault, Outcome::Expired),
            Fault::Stopped => self.settle(slot, Outcome::Cancelled),
        }
    }

    /// Whether a request that was not tried again yet failed where another way to run it has taken over.
    fn may_do_better_elsewhere(&self, slot: Slot) -> bool {
        self.table.get(slot).is_some_and(|live| !live.alone && self.models[live.model].heir.is_some())
    }

    /// Lets a request that was on the host wait again, to be tried alone. What was decoded for it is gone or used up.
    fn retry(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let was = live.model;
        self.models[was].running -= usize::from(live.stage == Stage::Running);
        let model = self.models[was].heir.unwrap_or(was);
        let absent = self.models[model].state == State::Absent;
        self.table.change(slot, |live| {
            (live.alone, live.model) = (true, model);
            live.stage = match live.work {
                Work::Encoded => Stage::Undecoded,
                Work::Tensors => Stage::Queued,
            };
        });
        self.reprice(slot);
        self.enter_line(slot);
        if absent {
            self.shed(self.clock, slot, Reason::ModelUnavailable);
        }
    }

    /// A measurement that came with a load: a first estimate.
    pub(super) fn measured(&mut self, now: Mono, model: ModelId, batch: u16, took: Duration) {
        let Some(index) = self.models.iter().position(|place| place.id == model) else { return };
        self.learn_service(
            now,
            index,
            (usize::from(batch.max(1)), u64::from(batch.max(1))),
            Span::of(took),
            Size::Same,
        );
    }

    fn learn(&mut self, now: Mono, index: usize, batch: &Batch, took: Span, results: &Results) {
        let ids = batch.ids.as_slice();
        let ended = || ids.iter().enumerate().map(|(position, id)| result_of(results, position, *id));
        let mut done = Span::MAX;
        if ended().all(|result| result.is_ok()) {
            self.learn_service(now, index, (batch.rows, batch.units), took, batch.size);
        } else if ended().all(|result| result == Err(Fault::Stopped)) {
            self.models[index].times.learn_at_least(now, batch.rows, batch.units, took);
            // No more of it was done than what it ran for.
            done = took;
        } else {
            return;
        }
        let model = &self.models[index];
        // In the same currency as what waits, so that the rate corrects what both have in common.
        let work = model.times.work(model.usual, batch.units).min(done);
        self.rates.run.done(now, work);
    }

    /// A batch that had the box to itself is held against the plan.
    fn hold_against_plan(&mut self, now: Mono, index: usize, batch: &Batch, took: Span, results: &Results) {
        let done = results.as_slice().iter().all(|item| item.result.is_ok());
        if done && batch.apart && self.models.iter().all(|model| model.busy_lanes() == 0) {
            let factor = self.policy.governor.slow_factor;
            self.models[index].late.ran(now, batch.rows, batch.units, took, factor);
        }
    }

    /// What the plan that was measured on this device says.
    pub(super) fn planned(&mut self, now: Mono, model: ModelId, batch: u16, took: Duration) {
        if let Some(model) = self.models.iter_mut().find(|place| place.id == model) {
            model.late.plan(now, usize::from(batch.max(1)), Span::of(took));
        }
    }

    fn learn_service(&mut self, now: Mono, index: usize, (rows, units): (usize, u64), took: Span, size: Size) {
        let times = &mut self.models[index].times;
        let first = times.guess(1, 1).is_none();
        match size {
            Size::Same => times.learn(now, rows, units, took),
            Size::Changed => times.learn_changed(now, rows, units, took),
            Size::First => times.learn_first(now, rows, units, took),
        }
        self.find_usual_batch(index);
        if first {
            // What waits for it was taken in without a price.
            for slot in self.table.places() {
                if self.table.get(slot).is_some_and(|live| live.model == index) {
                    self.reprice(slot);
                }
            }
        }
    }

    /// Charges a waiting request's caller with what it is now expected to take.
    pub(super) fn reprice(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let price = self.price(live);
        self.table.change(slot, |live| live.priced = price);
    }
}

/// The result of a member; results come in the order of the members unless some are missing.
fn result_of(results: &Results, position: usize, id: RequestId) -> Result<(), Fault> {
    let results = results.as_slice();
    let in_order = results.get(position).filter(|item| item.id == id);
    let found: Option<&MemberResult> = in_order.or_else(|| results.iter().find(|item| item.id == id));
    // A member that the host forgot did not run, as far as anybody can tell.
    found.map_or(Err(Fault::Runtime), |item| item.result)
}
