//! Calls that come to a box, wait, run and leave, under a rule that sees what a box sees.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Call, Machine, Rule, Score, cloud};
use crate::estimate::chance::Chance;
use crate::estimate::latency::Latency;
use crate::estimate::works::Works;
use crate::request::Zone;
use crate::units::{Mono, Span};
use crate::wait::{Allowance, Place, Running, Scene, in_time, place};

/// A run in a slot: which call, the work that the box had done when it began, when it will end.
#[derive(Clone, Copy, Debug)]
struct Run {
    call: usize,
    began: Span,
    ends: Mono,
}

/// Plays calls to a box.
pub(super) struct Play<'a> {
    calls: &'a [Call],
    machine: Machine,
    rule: Rule,
    promise: Span,
    seed: u64,
    now: Mono,
    running: Vec<Run>,
    /// Calls and when they leave.
    waiting: VecDeque<(usize, Mono)>,
    works: Works,
    site: Latency,
    allowance: Allowance,
    /// Answers of the cloud that are under way: when they come, after how long.
    under_way: BinaryHeap<Reverse<(Mono, Span)>>,
    views: Vec<Running>,
    score: Score,
}

impl<'a> Play<'a> {
    /// All `calls`, to the end.
    pub(super) fn score(calls: &'a [Call], machine: Machine, rule: Rule, promise: Span, seed: u64) -> Score {
        let mut play = Play {
            calls,
            machine,
            rule,
            promise,
            seed,
            now: Mono::default(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            works: Works::new(Span::from_millis(5_000)),
            site: Latency::new(Zone::Cloud),
            allowance: Allowance::new(if let Rule::TimedSpill(permille) = rule { permille } else { 0 }),
            under_way: BinaryHeap::new(),
            views: Vec::new(),
            score: Score { calls: u32::try_from(calls.len()).unwrap_or(u32::MAX), ..Score::default() },
        };
        for (number, call) in calls.iter().enumerate() {
            play.advance(call.at);
            play.arrive(number);
        }
        play.advance(Mono::MAX);
        play.score
    }

    /// All that happens before `until`.
    fn advance(&mut self, until: Mono) {
        loop {
            let end = self.running.iter().map(|run| run.ends).min();
            let leave = self.waiting.iter().map(|(_, leave_at)| *leave_at).min();
            let change = self.machine.slow.and_then(|(from, to, _)| [from, to].into_iter().find(|at| *at > self.now));
            let next = [end, leave, change.filter(|_| !self.waiting.is_empty())].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until && *next < Mono::MAX) else { break };
            self.now = self.now.max(next);
            self.hear();
            if let Some(slot) = self.running.iter().position(|run| run.ends <= next) {
                self.end(slot);
            } else if leave == Some(next) {
                let due = self.waiting.iter().position(|(_, leave_at)| *leave_at <= next);
                due.into_iter().for_each(|due| self.look_again(due));
            } else {
                for place in (0..self.waiting.len()).rev() {
                    self.look_again(place);
                }
            }
        }
        self.now = self.now.max(until);
        self.hear();
    }

    /// Learns what the cloud answered by now.
    fn hear(&mut self) {
        while let Some(Reverse((at, took))) = self.under_way.peek().copied().filter(|Reverse((at, _))| *at <= self.now)
        {
            self.under_way.pop();
            self.site.learn_first(at, 1, took);
        }
    }

    fn arrive(&mut self, call: usize) {
        let ahead = self.waiting.len();
        let (place, risk) = self.judge(call, ahead, self.allowance.allowed());
        self.allowance.placed(risk);
        match place {
            Place::Here { leave_at } => {
                self.waiting.push_back((call, leave_at));
                self.start();
            }
            Place::Away => self.send(call),
        }
    }

    /// Where `call` goes with so many ahead of it, and what that risks.
    fn judge(&mut self, call: usize, ahead: usize, allowed: Chance) -> (Place, Chance) {
        if let Rule::QueueLength(most) = self.rule {
            let stays = ahead < most || self.running.len() < self.machine.slots;
            return (if stays { STAYS } else { Place::Away }, Chance::NONE);
        }
        let worked = self.machine.worked(self.now);
        self.views.clear();
        self.views.extend(self.running.iter().map(|run| {
            let (done, reading) = (worked.minus(run.began), self.machine.reading(&self.calls[run.call]));
            Running {
                size: u64::from(self.calls[run.call].prompt),
                known: reading.minus(done),
                had: done.minus(reading),
            }
        }));
        let scene = Scene {
            now: self.now,
            deadline: self.deadline(call),
            known: self.machine.reading(&self.calls[call]),
            ahead,
            free: self.machine.slots - self.running.len(),
            running: &self.views,
            works: &self.works,
            speed: self.machine.speed(self.now),
        };
        if let Rule::PredictedWait(permille) = self.rule {
            let chance = in_time(&scene);
            return (if chance >= Chance::permille(permille) { STAYS } else { Place::Away }, chance.not());
        }
        place(&scene, |time| self.site.first_token_beyond(self.now, 1, time), allowed)
    }

    fn look_again(&mut self, place: usize) {
        let (call, _) = self.waiting[place];
        match self.judge(call, place, Chance::NONE).0 {
            Place::Here { leave_at } if leave_at > self.now => self.waiting[place].1 = leave_at,
            Place::Here { .. } | Place::Away => {
                self.waiting.remove(place);
                self.score.left += 1;
                self.send(call);
            }
        }
    }

    fn send(&mut self, call: usize) {
        let took = cloud(self.seed, call);
        let comes = took.from(self.now);
        self.score.away += 1;
        self.score.in_time += u32::from(comes <= self.deadline(call));
        self.under_way.push(Reverse((comes, took)));
    }

    fn end(&mut self, slot: usize) {
        let run = self.running.swap_remove(slot);
        let (reading, writing) =
            (self.machine.reading(&self.calls[run.call]), self.machine.writing(&self.calls[run.call]));
        self.works.learn(self.now, u64::from(self.calls[run.call].prompt), writing, reading.plus(writing));
        self.start();
    }

    /// Fills the free slots, in the order in which the calls came.
    fn start(&mut self) {
        while self.running.len() < self.machine.slots
            && let Some((call, _)) = self.waiting.pop_front()
        {
            let began = self.machine.worked(self.now);
            let reading = self.machine.reading(&self.calls[call]);
            let first = self.machine.when(began.plus(reading));
            let hopeless = self.machine.speed(self.now).time(reading).from(self.now) > self.deadline(call);
            if hopeless && matches!(self.rule, Rule::TimedSpill(_)) {
                self.score.left += 1;
                self.send(call);
                continue;
            }
            self.score.in_time += u32::from(first <= self.deadline(call));
            let ends = self.machine.when(began.plus(reading).plus(self.machine.writing(&self.calls[call])));
            self.running.push(Run { call, began, ends });
        }
    }

    fn deadline(&self, call: usize) -> Mono {
        self.promise.from(self.calls[call].at)
    }
}

/// Stays until it starts.
const STAYS: Place = Place::Here { leave_at: Mono::MAX };
