//! How much will be done before a request that comes now, as the order of turns has it: the rest of what runs, its own
//! caller's work up to its deadline, as much of each other caller as its turns come to meanwhile, and what the priorities
//! owe each other. Reads, and decides nothing; costs a walk down a tree and a look at each caller that waits.

use crate::estimate::Demand;
use crate::estimate::prepare::blocks;
use crate::queue::{Key, Load};
use crate::request::Priority;
use crate::scheduler::Scheduler;
use crate::scheduler::contest::Contest;
use crate::scheduler::model::{Line, Model};
use crate::turns::Rival;
use crate::units::{Mono, Span};

/// What will be done before a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// Of all models.
    pub all: Demand,
    /// Of that, runs of its own model.
    pub own: Span,
    /// Lanes of other models that work before it.
    pub lanes_of_others: usize,
    /// Nothing that waits is before it.
    pub is_first: bool,
}

/// Work that waits, as a request sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    /// Of its own priority, as far as it comes before it.
    same: Demand,
    /// Of higher priorities, all of it, and what is expected to follow.
    higher: Demand,
    /// Of lower priorities, likewise.
    lower: Demand,
    /// What waits to run alone, as far as it comes before it.
    alone: Demand,
}

impl Waiting {
    fn plus(self, other: Waiting) -> Waiting {
        Waiting {
            same: self.same.plus(other.same),
            higher: self.higher.plus(other.higher),
            lower: self.lower.plus(other.lower),
            alone: self.alone.plus(other.alone),
        }
    }

    /// Runs that come before it.
    fn before(&self) -> Span {
        self.same.plus(self.higher).plus(self.alone).run
    }
}

impl Scheduler {
    /// What will be done before a request of this model with this key, which takes `itself`.
    pub(super) fn ahead(&self, now: Mono, key: Key, own: Option<usize>, itself: Demand) -> Ahead {
        let before = own.map_or(Demand::default(), |index| self.before_in(index, key));
        let needs = before.plus(itself);
        let (mut sum, mut mine) = (Waiting::default(), Waiting::default());
        let mut ahead = Ahead::default();
        for (index, model) in self.models.iter().enumerate() {
            let runs = self.running(now, index);
            ahead.all = ahead.all.plus(runs);
            let is_own = own == Some(index);
            let same = if is_own { before } else { self.beside(index, own, key, needs) };
            let waits = self.waiting(index, key, same);
            sum = sum.plus(waits);
            if is_own {
                (mine, ahead.own) = (waits, runs.run);
            } else if waits.before().plus(runs.run) > Span::ZERO {
                ahead.lanes_of_others += model.usable_lanes();
            }
        }
        ahead.is_first = sum.before() == Span::ZERO;
        let priorities = self.priorities(key.priority, sum, itself);
        let higher = part(mine.higher.run, priorities.higher.run, sum.higher.run);
        let lower = part(mine.lower.run, priorities.lower.run, sum.lower.run);
        ahead.own = ahead.own.plus(mine.same.run).plus(mine.alone.run).plus(higher).plus(lower);
        ahead.all = ahead.all.plus(sum.same).plus(sum.alone).plus(priorities.higher).plus(priorities.lower);
        ahead
    }

    /// What is left of what lanes and decoders are at.
    fn running(&self, now: Mono, index: usize) -> Demand {
        let run = self.models[index].remaining(now);
        Demand { run, prepare: Span::ZERO }.plus(self.decoding_now(now, index))
    }

    /// Work of the request's own model and priority before it.
    fn before_in(&self, index: usize, key: Key) -> Demand {
        let (model, priority) = (&self.models[index], key.priority);
        if !model.run.waits(priority) && !model.decode.waits(priority) {
            return Demand::default();
        }
        let mine =
            |other: Key| (other.priority, other.share) == (priority, key.share) && other.deadline <= key.deadline;
        let to_run = model.run.before(&self.lines, key).plus(self.unasked(index, mine));
        let own = work_of(model, to_run, model.decode.before(&self.lines, key));
        let run_start = model.run.tag(priority, key.share).plus(own.run);
        let decode_start = model.decode.tag(priority, key.share).plus(own.prepare);
        let others = model.run.shares(priority).or(model.decode.shares(priority)).without(key.share);
        others.fold(own, |sum, share| {
            let (to_run, first_run) = model.run.part(priority, share);
            let to_run = to_run.plus(self.unasked(index, |other| (other.priority, other.share) == (priority, share)));
            let (to_decode, first_decode) = model.decode.part(priority, share);
            let work = work_of(model, to_run, to_decode);
            let [first_run, first_decode] = [first_run, first_decode].map(|first| first.unwrap_or(Mono::MAX));
            let run = Rival {
                tag: model.run.tag(priority, share),
                work: work.run,
                count: to_run.count + to_decode.count,
                streak: model.run.streak(priority, Some(share)),
                first: first_run.min(first_decode),
            };
            let decode = Rival {
                tag: model.decode.tag(priority, share),
                work: work.prepare,
                count: to_decode.count,
                streak: model.decode.streak(priority, Some(share)),
                first: first_decode,
            };
            sum.plus(Demand {
                prepare: decode.before(decode_start, key.deadline),
                run: run.before(run_start, key.deadline),
            })
        })
    }

    /// Work of the same priority that another model gets done while the request's own does what it `needs`.
    fn beside(&self, index: usize, own: Option<usize>, key: Key, needs: Demand) -> Demand {
        let (model, priority) = (&self.models[index], key.priority);
        if !model.run.waits(priority) && !model.decode.waits(priority) {
            return Demand::default();
        }
        let callers = |model: &Model| model.run.shares(priority).or(model.decode.shares(priority));
        let mine = own.map_or(1, |own| callers(&self.models[own]).without(key.share).len() + 1);
        let others = callers(model).len().max(1);
        let (to_run, to_decode) = (self.to_run(index, priority), model.decode.total_of(priority));
        let all = work_of(model, to_run, to_decode);
        let until = |contest: &Contest, needs: Span, all: Span, count: u64, streak: Span| {
            let (own, other) = (own.map_or(Span::ZERO, |own| contest.tag(priority, own)), contest.tag(priority, index));
            let (count, streak) = (count.div_ceil(others), streak.part(others));
            // As if it had the earliest deadline: models do not keep theirs in order.
            let rival = Rival { tag: other, work: all.part(others), count, streak, first: Mono::default() };
            rival.before(own.plus(needs.part(mine)), key.deadline).times(others)
        };
        Demand {
            prepare: until(
                &self.decoders,
                needs.prepare,
                all.prepare,
                to_decode.count,
                model.decode.streak(priority, None),
            ),
            run: until(
                &self.contested,
                needs.run,
                all.run,
                to_run.count + to_decode.count,
                model.run.streak(priority, None),
            ),
        }
    }

    /// What waits to run, and what will.
    fn to_run(&self, index: usize, priority: Priority) -> Load {
        self.models[index].run.total_of(priority).plus(self.unasked(index, |other| other.priority == priority))
    }

    fn waiting(&self, index: usize, key: Key, same: Demand) -> Waiting {
        let model = &self.models[index];
        if model.waits_for_nothing() {
            return Waiting { same, ..Waiting::default() };
        }
        let all_of = |wanted: fn(Priority, Priority) -> bool| {
            let priorities = Priority::ALL.into_iter().filter(|priority| wanted(*priority, key.priority));
            let waiting = priorities.filter(|priority| model.run.waits(*priority) || model.decode.waits(*priority));
            waiting.fold(Demand::default(), |sum, priority| {
                let waits = work_of(model, self.to_run(index, priority), model.decode.total_of(priority));
                let (prepare, run) = (model.decode.streak(priority, None), model.run.streak(priority, None));
                sum.plus(waits).plus(Demand { prepare, run })
            })
        };
        let alone = |line| model.alone_before(&self.lines, line, key);
        Waiting {
            same,
            higher: all_of(|other, own| other < own),
            lower: all_of(|other, own| other > own),
            alone: work_of(model, alone(Line::RunAlone), alone(Line::DecodeAlone)),
        }
    }

    /// How much of the other priorities is done before a request that has `sum` before it and takes `itself`: a higher one
    /// no more than the reserved share leaves to it, a lower one no more than that share.
    fn priorities(&self, priority: Priority, sum: Waiting, itself: Demand) -> Waiting {
        const WHOLE: u64 = 1000;
        let share = self.policy.lower_share;
        let parts = share.of(WHOLE);
        let above = |all: Span, needs: Span| {
            let at_most = if parts == 0 { Span::MAX } else { needs.times(WHOLE).part(parts) };
            all.min(at_most)
        };
        let below = |all: Span, needs: Span| all.min(Span::from_nanos(share.of(needs.as_nanos())));
        let needs = sum.same.plus(itself);
        let each = |with: &dyn Fn(Span, Span) -> Span, all: Demand, needs: Demand| Demand {
            prepare: with(all.prepare, needs.prepare),
            run: with(all.run, needs.run),
        };
        let higher = if priority == Priority::High { Demand::default() } else { each(&above, sum.higher, needs) };
        let lower = each(&below, sum.lower, needs.plus(higher));
        Waiting { higher, lower, ..Waiting::default() }
    }

    /// What is left of the payloads of a model that are being decoded, and their runs.
    fn decoding_now(&self, now: Mono, index: usize) -> Demand {
        let of_model = self.decoding.iter().filter(|decoding| decoding.model == index);
        of_model.fold(Demand::default(), |sum, decoding| {
            let model = &self.models[index];
            let (elapsed, blocks) = (Span::between(decoding.started, now), blocks(decoding.bytes));
            sum.plus(Demand {
                prepare: model.prepare.guess(blocks).minus(elapsed),
                run: model.times.work(model.usual, model.prepare.expected_cost(blocks)),
            })
        })
    }
}

/// What waits to run and what waits to be decoded, in time; the latter runs too.
fn work_of(model: &Model, to_run: Load, to_decode: Load) -> Demand {
    if to_decode.count == 0 {
        let run = if to_run.count == 0 { Span::ZERO } else { model.times.work(model.usual, to_run.units) };
        return Demand { prepare: Span::ZERO, run };
    }
    let each = model.prepare.expected_cost(to_decode.units / to_decode.count.max(1));
    let units = to_run.units.saturating_add(to_decode.count.saturating_mul(each));
    Demand { prepare: model.prepare.work(to_decode.count, to_decode.units), run: model.times.work(model.usual, units) }
}

/// The part of `span` that `taken` is of `all`.
fn part(span: Span, taken: Span, all: Span) -> Span {
    if taken == all {
        return span;
    }
    let nanos = u128::from(span.as_nanos()) * u128::from(taken.as_nanos()) / u128::from(all.as_nanos().max(1));
    u64::try_from(nanos).map_or(Span::MAX, Span::from_nanos)
}
