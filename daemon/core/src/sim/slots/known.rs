//! What could be done if more were known than a box can know: yardsticks.

use super::{Call, Machine, Score, cloud};
use crate::units::{Mono, Span};

/// Of so many calls that were taken last some may still run.
const OPEN: usize = 256;

/// A call that runs here, until when, and when each slot was free before it came.
struct Taken {
    call: usize,
    end: Mono,
    free: Vec<Mono>,
}

/// A box on which calls start in the order in which they came.
struct Order<'a> {
    calls: &'a [Call],
    machine: &'a Machine,
    promise: Span,
    /// When each slot is free.
    free: Vec<Mono>,
}

impl Order<'_> {
    /// When `call` would end, if its first token is in time.
    fn end(&self, call: usize) -> Option<(usize, Mono)> {
        let (slot, free) = self.free.iter().enumerate().min_by_key(|(_, free)| **free)?;
        let call = &self.calls[call];
        let began = self.machine.worked(call.at.max(*free));
        let read = began.plus(self.machine.reading(call));
        let in_time = self.machine.when(read) <= self.promise.from(call.at);
        in_time.then(|| (slot, self.machine.when(read.plus(self.machine.writing(call)))))
    }

    /// Takes `call` after `taken`, if it is in time.
    fn push(&mut self, taken: &mut Vec<Taken>, call: usize) -> bool {
        let Some((slot, end)) = self.end(call) else { return false };
        taken.push(Taken { call, end, free: self.free.clone() });
        self.free[slot] = end;
        true
    }

    /// All that comes after the one at `given_up`, and `call`, if that is in time then and ends before the other would have. Whoever
    /// comes after it starts no later than before.
    fn instead(&self, taken: &[Taken], given_up: usize, call: usize) -> Option<Vec<Taken>> {
        let mut order = Order { free: taken[given_up].free.clone(), ..*self };
        let mut kept = Vec::new();
        let mut later = taken[given_up + 1..].iter().map(|other| other.call).chain([call]);
        let all = later.all(|call| order.push(&mut kept, call));
        (all && kept.last().is_some_and(|last| last.end < taken[given_up].end)).then_some(kept)
    }
}

/// Exact first come, first served with known lengths; who would be late goes away on arrival.
pub(super) fn clairvoyant(calls: &[Call], machine: &Machine, promise: Span, seed: u64) -> Score {
    let mut order = Order { calls, machine, promise, free: vec![Mono::default(); machine.slots] };
    let mut taken = Vec::new();
    let here: Vec<bool> = (0..calls.len()).map(|call| order.push(&mut taken, call)).collect();
    score(&here, promise, seed)
}

/// The same, but for a call that would be late another one that still runs or waits is given up, if it would end later than
/// the new one: one for one, and a slot is free sooner. For calls that cannot wait at all this is optimal (of intervals
/// that clash the one with the last end is dropped); for those that can, it is a good plan and no proof.
pub(super) fn hindsight(calls: &[Call], machine: &Machine, promise: Span, seed: u64) -> Score {
    let mut order = Order { calls, machine, promise, free: vec![Mono::default(); machine.slots] };
    let mut taken: Vec<Taken> = Vec::new();
    for (call, arrived) in calls.iter().enumerate() {
        if order.push(&mut taken, call) {
            continue;
        }
        let mut open: Vec<usize> = (0..taken.len()).rev().take(OPEN).filter(|at| taken[*at].end > arrived.at).collect();
        open.sort_by_key(|at| std::cmp::Reverse(taken[*at].end));
        if let Some(kept) = open.into_iter().find_map(|at| order.instead(&taken, at, call)) {
            let from = taken.len() + 1 - kept.len();
            taken.truncate(from);
            order.free.clone_from(&kept[0].free);
            kept.iter().for_each(|other| {
                order.push(&mut taken, other.call);
            });
        }
    }
    let mut here = vec![false; calls.len()];
    taken.iter().for_each(|taken| here[taken.call] = true);
    score(&here, promise, seed)
}

fn score(here: &[bool], promise: Span, seed: u64) -> Score {
    let mut score = Score { calls: u32::try_from(here.len()).unwrap_or(u32::MAX), ..Score::default() };
    for (call, here) in here.iter().enumerate() {
        score.away += u32::from(!here);
        score.in_time += u32::from(*here || cloud(seed, call) <= promise);
    }
    score
}
