//! Decides whether a request waits for this box, and for how long, or goes to another site: from what runs here, what is
//! ahead of it, and how the other site answers. A pure function of values; must not know requests, sites or clocks.
//!
//! **The rule.** A request that waits here may leave for the other site later: the longer it waits, the likelier is a slot
//! here, and the likelier is it late if there is none. Of a few times to leave, that is taken at which
//!
//! ```text
//!   none = P(no slot is free for it by then)      late = P(the other site takes longer than what is left then)
//!
//!   none x (1 + 10 late)   is least           and           none x late <= what it is allowed
//! ```
//!
//! that is: what goes away is few, a late answer counting as ten that went away, as long as the promise holds. To leave at once
//! is one of the times. Nothing is fitted to a trace: what is allowed comes from the promise, the chances from observation.
//!
//! **What is allowed.** A promise like "99% in time" is one over many requests: most start at once and risk nothing, so
//! those that must wait may risk more. [`Allowance`] keeps the account: each request pays in half of what is promised (the other half is for
//! the chances' being estimates) and takes out what it risks, those that leave at once included; a request may risk a
//! part of what is in it. Under overload that is next to nothing, and then no request risks more than by leaving at once.
//!
//! **Look again** when the time to leave has come or the speed has changed, with nothing allowed: then it stays exactly if that
//! is no worse than leaving now, and what was risked first still holds. Not at every event, as each look could risk anew.
//!
//! **The chance of a free slot.** The ends of what runs are taken as independent, each with the chance that
//! [`Works`] gives it: how many end is then exact (Poisson-binomial), as long as few have to. For more, Cantelli's inequality bounds
//! the chance of fewer: the variance of such a count is no more than its mean. With as many ahead as there are slots, ends of
//! later rounds are needed: their number has about the mean of a renewal process, and that is taken as its variance too.
//! That what starts meanwhile may end as well, and that what is ahead may leave, is left out. The bounds, and what is left out, err to the side of leaving.

use crate::estimate::chance::Chance;
use crate::estimate::works::Works;
use crate::units::{Mono, Span};

/// Times to leave that are looked at, in eighths of the last at which it may start here, the longest first.
const TIMES: [u64; 5] = [8, 6, 4, 2, 1];
const EIGHTHS: u64 = 8;
/// If it needs more ends than this, they are counted by the inequality: a bound on the time that a decision takes.
const EXACT: usize = 8;
/// So many requests that go away are as bad as one that is late. At a hundred, a promise of 99% would be its own price, and
/// waiting would hardly ever pay; at one, lateness would be free. Between 5 and 40 results differ little.
const LATE_WORTH: u64 = 10;
/// A request may risk one part in so many of what is kept: the account follows its income within some tens of requests.
const PART: u64 = 16;
/// And no more than this, thousandths: nobody is given up for the sake of the mean.
const MOST: Chance = Chance::permille(100);

/// What runs in one slot. Work is told as the time it takes at full speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Size of the request, as [`Works`] learns by it.
    pub size: u64,
    /// What is left of the part that was known beforehand, as the prompt that is still to be read.
    pub known: Span,
    /// What it had of the part that nobody knew.
    pub had: Span,
}

/// How fast the box runs now, in thousandths of full speed; what heat takes is out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u64);

impl Speed {
    /// Full speed.
    pub const FULL: Speed = Speed(1000);

    /// So many thousandths, at least one: a box that stands still is not asked.
    pub const fn permille(permille: u32) -> Speed {
        Speed(if permille == 0 { 1 } else { permille as u64 })
    }

    /// How long so much work takes.
    pub const fn time(self, work: Span) -> Span {
        Span::from_nanos(work.as_nanos() / self.0).times(1000)
    }

    /// How much work is done in so long.
    pub const fn work(self, time: Span) -> Span {
        Span::from_nanos(time.as_nanos() / 1000).times(self.0)
    }
}

/// One request and what is around it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The time.
    pub now: Mono,
    /// When its answer, or its first token, loses its value.
    pub deadline: Mono,
    /// Work of its own until then that is known.
    pub known: Span,
    /// Requests that go before it.
    pub ahead: usize,
    /// Slots in which nothing runs.
    pub free: usize,
    /// The others.
    pub running: &'a [Running],
    /// What is learnt of the unknown part.
    pub works: &'a Works,
    /// How fast the box is.
    pub speed: Speed,
}

/// The account of what may be risked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Paid in by each request.
    income: Chance,
    kept: u64,
}

impl Allowance {
    /// So many requests of a thousand may be late.
    pub const fn new(late_permille: u32) -> Allowance {
        let income = Chance::permille(late_permille).and(Chance::of(1, 2));
        Allowance { income, kept: income.get() as u64 * PART }
    }

    /// What the next request may risk.
    pub fn allowed(&self) -> Chance {
        Chance::of(self.kept / PART, u64::from(Chance::SURE.get())).min(MOST)
    }

    /// A request was placed, for the first time, at this risk.
    pub fn placed(&mut self, risk: Chance) {
        let kept = (self.kept + u64::from(self.income.get())).saturating_sub(u64::from(risk.get()));
        self.kept = kept.min(u64::from(MOST.get()) * PART);
    }
}

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It waits here. If it has not started by then, look again.
    Here {
        /// The last time at which leaving keeps the promise; if it starts at once, the last at which it may start.
        leave_at: Mono,
    },
    /// To the other site, now.
    Away,
}

/// Where the request of `scene` goes, and the chance that it is late then. `late` tells the chance that the other site
/// takes longer than a time; `allowed` is what the request may risk.
pub fn place(scene: &Scene<'_>, late: impl Fn(Span) -> Chance, allowed: Chance) -> (Place, Chance) {
    let slack = Span::between(scene.now, scene.deadline);
    let own = scene.speed.time(scene.known);
    // The last time at which it may start here.
    let last = slack.minus(own);
    if own <= slack && scene.free > scene.ahead {
        return (Place::Here { leave_at: last.from(scene.now) }, Chance::NONE);
    }
    let at_once = late(slack);
    let mut best = (Place::Away, at_once);
    if own >= slack {
        return best;
    }
    let allowed = allowed.max(at_once);
    let mut least = price(Chance::SURE, at_once);
    let waits = TIMES.map(|part| last.part(EIGHTHS).times(part));
    for (wait, none) in waits.into_iter().zip(no_slot(scene, &waits)) {
        let late = late(slack.minus(wait));
        if price(none, late) < least && none.and(late) <= allowed {
            least = price(none, late);
            best = (Place::Here { leave_at: wait.from(scene.now) }, none.and(late));
        }
    }
    best
}

/// What it costs to leave at a time with these chances, in 65,536ths of a request that goes away.
fn price(none: Chance, late: Chance) -> u64 {
    let sure = u64::from(Chance::SURE.get());
    u64::from(none.get()) * (sure + LATE_WORTH * u64::from(late.get())) / sure
}

/// The chance that the request starts here in time, if it stays whatever comes.
pub fn in_time(scene: &Scene<'_>) -> Chance {
    let slack = Span::between(scene.now, scene.deadline);
    let own = scene.speed.time(scene.known);
    if own > slack {
        Chance::NONE
    } else if scene.free > scene.ahead {
        Chance::SURE
    } else {
        let [none] = no_slot(scene, &[slack.minus(own)]);
        none.not()
    }
}

/// The chances that within each of `waits`, the longest first, no more slots become free than are needed by those ahead.
fn no_slot<const N: usize>(scene: &Scene<'_>, waits: &[Span; N]) -> [Chance; N] {
    let needed = scene.ahead - scene.free + 1;
    let works = waits.map(|wait| scene.speed.work(wait));
    if needed > scene.running.len() {
        // Ends in each slot, in 65,536ths.
        let mean = (scene.works.mean().as_nanos() >> 16).max(1);
        let ends = |work: Span| (work.as_nanos() / mean).min(1 << 32) * scene.running.len() as u64;
        return works.map(|work| fewer(needed, ends(work)));
    }
    let mut ends = [Ends::default(); N];
    for run in scene.running {
        let longest = works[0].minus(run.known);
        if longest == Span::ZERO {
            continue;
        }
        let given = scene.works.given(run.size, run.had, longest);
        for (ends, work) in ends.iter_mut().zip(works) {
            let more = work.minus(run.known);
            if more == Span::ZERO {
                break;
            }
            ends.add(given.within(more), needed);
        }
    }
    ends.map(|ends| ends.fewer(needed))
}

/// How many runs end by a time. Chances in 65,536ths.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// Of 0, 1, .. ends.
    exactly: [u64; EXACT],
    mean: u64,
}

impl Default for Ends {
    fn default() -> Self {
        let mut exactly = [0; EXACT];
        exactly[0] = u64::from(Chance::SURE.get());
        Ends { exactly, mean: 0 }
    }
}

impl Ends {
    /// One more that ends with this chance; only fewer ends than `needed` matter.
    fn add(&mut self, end: Chance, needed: usize) {
        let end = u64::from(end.get());
        if needed > EXACT {
            self.mean += end;
            return;
        }
        // Of the chance of each count that part moves to the next.
        let mut moved = 0;
        for exactly in &mut self.exactly[..needed] {
            let moves = (*exactly * end) >> 16;
            *exactly = *exactly - moves + moved;
            moved = moves;
        }
    }

    /// The chance of fewer than `needed`.
    fn fewer(&self, needed: usize) -> Chance {
        if needed > EXACT {
            return fewer(needed, self.mean);
        }
        Chance::of(self.exactly[..needed].iter().sum(), u64::from(Chance::SURE.get()))
    }
}

/// A bound of the chance of fewer than `needed`, by Cantelli, of a count with this mean, in 65,536ths, and no more variance.
fn fewer(needed: usize, mean: u64) -> Chance {
    let wanted = (needed as u64 - 1) << 16;
    if mean <= wanted {
        return Chance::SURE;
    }
    // In 256ths, so that the square fits.
    let above = (mean - wanted) >> 8;
    Chance::of(mean, mean.saturating_add(above.saturating_mul(above)).min(1 << 47))
}

#[cfg(test)]
mod tests;
