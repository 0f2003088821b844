//! The whole core against a thermal plant in virtual time: seeded arrivals with deadlines, lanes that run as fast as the
//! hardware lets them, a sample a second.

use core::time::Duration;

use crate::action::Action;
use crate::event::{Event, LaneRange, ModelState};
use crate::governor::Regime;
use crate::id::{LaneId, ModelId};
use crate::members::{Ids, MemberResult, Results};
use crate::policy::Policy;
use crate::request::RequestMeta;
use crate::scheduler::Scheduler;
use crate::sim::Dice;
use crate::sim::arrivals::meta;
use crate::sim::plant::{Kind, Parameters, Plant, Trouble};
use crate::units::{Mono, Span};
use crate::verdict::Outcome;

/// Lanes of the box.
const LANES: usize = 2;
/// Run of one request at full speed.
const EACH: Span = Span::from_millis(100);
/// Deadline of a request, counted from its arrival.
const SLACK: Span = Span::from_millis(1500);
const SECOND: Span = Span::from_millis(1000);

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The machine.
    pub plant: Plant,
    /// Work that comes in, as a share of what the lanes could do at full speed.
    pub load: f64,
    /// Whether the core is told what the sensors say.
    pub governed: bool,
    /// For the arrivals.
    pub seed: u64,
    /// They come at even intervals.
    pub even: bool,
    /// What goes wrong, from when to when, in seconds.
    pub trouble: Option<(Trouble, u64, u64)>,
}

impl Trial {
    /// A rested plant of a kind under a load, with what was drawn by a seed, and nothing wrong.
    pub fn new(kind: Kind, ambient: f64, load: f64, seed: u64, governed: bool) -> Trial {
        let plant = Plant::new(Parameters::draw(kind, ambient, seed), seed);
        Trial { plant, load, governed, seed, even: false, trouble: None }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Result {
    /// Work that was done in time, as a share of what the lanes could have done at full speed.
    pub work: f64,
    /// Requests that were taken in.
    pub admitted: u64,
    /// Of these, answered in time.
    pub on_time: u64,
    /// Requests that were refused at the door.
    pub refused: u64,
    /// Requests that were taken in and dropped when the capacity fell.
    pub shed: u64,
    /// Times that the hardware throttled.
    pub throttled: u32,
    /// One entry a second.
    pub seconds: Vec<Second>,
}

impl Result {
    /// Share of the requests taken in that were answered in time.
    pub fn in_time(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts")]
        let (on_time, admitted) = (self.on_time as f64, self.admitted.max(1) as f64);
        on_time / admitted
    }
}

/// One second of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Temperature of the chip, degrees Celsius.
    pub temp: f64,
    /// Share of the lanes' time that is allowed.
    pub duty: f64,
    /// Requests that were done in it.
    pub done: u32,
    /// The regime.
    pub regime: Regime,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    ids: Ids,
    began: Mono,
    ends: Mono,
}

struct Box_ {
    core: Scheduler,
    plant: Plant,
    now: Mono,
    lanes: [Option<Running>; LANES],
    next: [Option<Ids>; LANES],
    result: Result,
    done: u32,
}

/// Runs a trial for so many seconds.
pub fn run(trial: Trial, seconds: u64, mut watch: impl FnMut(u64, &Plant, &Scheduler)) -> Result {
    let Trial { plant, load, governed, seed, even, trouble } = trial;
    let policy = Policy { max_batch: 1, ..Policy::default() };
    let mut dice = Dice::new(seed);
    let mut place = Box_ {
        core: Scheduler::new(policy),
        plant,
        now: Mono::default(),
        lanes: [None; LANES],
        next: [None; LANES],
        result: Result::default(),
        done: 0,
    };
    place.tell(Event::ModelState { model: ModelId(0), state: ready() });
    place.tell(Event::Measured { model: ModelId(0), batch: 1, took: EACH.duration() });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a mean")]
    let every = Span::from_nanos((EACH.as_nanos() as f64 / load / LANES as f64) as u64);
    let mut arrives = Mono::default();
    let mut id = 0;
    for second in 0..seconds {
        place.plant.trouble = trouble.filter(|(_, from, to)| (*from..*to).contains(&second)).map(|(what, ..)| what);
        let end = SECOND.from(place.now);
        while place.step(end.min(arrives)) {}
        while arrives < end {
            place.pass(arrives);
            id += 1;
            place.tell(Event::Arrived(RequestMeta {
                deadline: Some(SLACK.from(arrives)),
                ..meta(id, u32::try_from(1 + id % 3).unwrap_or(1), 0)
            }));
            let gap = if even { every } else { Span::from_nanos(dice.below(every.times(2).as_nanos())) };
            arrives = gap.from(arrives);
            while place.step(end.min(arrives)) {}
        }
        place.pass(end);
        if governed {
            let sample = place.plant.sample();
            place.tell(Event::Sampled(Box::new(sample)));
        }
        let snapshot = place.core.snapshot();
        let (temp, done) = (place.plant.temp(), core::mem::take(&mut place.done));
        let (duty, regime) = (snapshot.capacity.duty.get(), snapshot.regime.regime);
        place.result.seconds.push(Second { temp, duty, done, regime });
        watch(second, &place.plant, &place.core);
    }
    place.result.throttled = place.plant.throttled;
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let (done, all) = (place.result.on_time as f64 * EACH.as_nanos() as f64, (seconds * LANES as u64) as f64 * 1e9);
    place.result.work = done / all;
    place.result
}

/// The largest miss of what was said a minute ahead, after the first ten minutes of an hour of even load, kelvin.
pub fn missed_ahead(trial: Trial) -> f64 {
    let mut said: Vec<Option<f64>> = Vec::new();
    let result = run(Trial { even: true, ..trial }, 3600, |_, _, core| {
        said.push(core.snapshot().zones.first().and_then(|zone| zone.ahead));
    });
    let mut worst: f64 = 0.0;
    for second in 600..3600 - 60 {
        // The prediction is for the present load: where that changes, it says nothing.
        let duties = result.seconds[second - 30..second + 60].iter().map(|second| second.duty);
        let (low, high) = duties.fold((1.0_f64, 0.0_f64), |(low, high), duty| (low.min(duty), high.max(duty)));
        if let Some(said) = said[second].filter(|_| high - low < 0.03) {
            worst = worst.max((said - result.seconds[second + 60].temp).abs());
        }
    }
    worst
}

fn ready() -> ModelState {
    let lanes = LaneRange { first: LaneId(0), count: 2 };
    ModelState::Ready { lanes, max_batch: 1, default_deadline: None }
}

impl Box_ {
    fn tell(&mut self, event: Event) {
        self.core.handle(self.now, event);
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Accept { .. } => self.result.admitted += 1,
                Action::Settle { outcome: Outcome::Done, .. } => {
                    self.result.on_time += 1;
                    self.done += 1;
                }
                Action::Settle { outcome: Outcome::Refused(_), .. } => self.result.refused += 1,
                Action::Settle { outcome: Outcome::Shed(_), .. } => self.result.shed += 1,
                Action::RunBatch { lane, ids, .. } => self.give(usize::from(lane.0), ids),
                Action::Settle { .. }
                | Action::Divide { .. }
                | Action::Prepare { .. }
                | Action::Forget { .. }
                | Action::Abort { .. }
                | Action::RestartHost { .. }
                | Action::Spill { .. }
                | Action::CallOff { .. }
                | Action::Stay { .. }
                | Action::Check { .. }
                | Action::Probe { .. }
                | Action::TakeUp { .. }
                | Action::Announce(_) => {}
            }
        }
    }

    fn give(&mut self, lane: usize, ids: Ids) {
        let Some(place) = self.lanes.get_mut(lane) else { return };
        if place.is_some() {
            self.next[lane] = Some(ids);
            return;
        }
        // As fast as the hardware is when it begins.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a time"
        )]
        let took = Span::from_nanos((EACH.as_nanos() as f64 / self.plant.speed()) as u64);
        *place = Some(Running { ids, began: self.now, ends: took.from(self.now) });
    }

    /// Lets time pass, in which the lanes are as busy as they are.
    fn pass(&mut self, until: Mono) {
        let busy = self.lanes.iter().flatten().count();
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let duty = busy as f64 / LANES as f64;
        self.plant.pass(until.since(self.now).as_secs_f64(), duty);
        self.now = self.now.max(until);
    }

    /// The next thing that happens by itself before `until`; whether there was one.
    fn step(&mut self, until: Mono) -> bool {
        let first = (0..LANES).filter_map(|lane| Some((self.lanes[lane]?.ends, lane))).min();
        let due = self.core.poll_deadline().map(|due| due.max(self.now));
        match (first, due) {
            (Some((ends, lane)), due) if ends <= until && due.is_none_or(|due| ends <= due) => {
                self.pass(ends);
                self.finish(lane);
                true
            }
            (_, Some(due)) if due <= until && due < Mono::MAX => {
                self.pass(due);
                self.tell(Event::Tick);
                true
            }
            _ => false,
        }
    }

    fn finish(&mut self, lane: usize) {
        let Some(ran) = self.lanes[lane].take() else { return };
        if let Some(ids) = self.next[lane].take() {
            self.give(lane, ids);
        }
        let mut results = Results::new();
        for id in ran.ids.as_slice() {
            results.push(MemberResult { id: *id, result: Ok(()) });
        }
        let took: Duration = ran.ends.since(ran.began);
        let lane = LaneId(u16::try_from(lane).unwrap_or_default());
        self.tell(Event::BatchDone { lane, took, results });
    }
}
