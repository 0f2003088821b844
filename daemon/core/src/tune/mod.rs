//! Decides how a model is measured on this box: which way to run it is tried next, with how many sessions at work and in
//! which batches, how often, and when to wait because the box has something better to do. Must not know what a way is
//! made of, nor files, hosts or clocks; it is told what each step gave.
//!
//! ```text
//!              quiet for 10 s, and not hot
//!   Waiting ─────────────────────────────► Load ─► Measure, Measure, ... ─► Unload ─► next way ─► Done
//!      ▲                                    │          │
//!      └────────── a request came ──────────┴──────────┘   (what is under way ends first: one run at most)
//! ```
//!
//! A *way* is a setup that can be loaded: variant, provider, precision, threads and sessions. A *point* is what was
//! measured of it: so many sessions at work, each with batches of one size.

pub mod choose;
pub mod right;
pub mod ways;

use core::time::Duration;

use crate::units::Mono;

/// So long must nobody have asked for anything before a measurement begins.
pub const QUIET: Duration = Duration::from_secs(10);
/// Runs of one point that count, at least and at most; the first one besides, which is often the slowest, does not.
const RUNS: core::ops::RangeInclusive<usize> = 3..=9;
/// Time after which a point has runs enough, if it has the fewest that count.
const POINT_TIME: Duration = Duration::from_millis(400);
/// Where energy is metered, so long must the runs of a point last together: the meter is read every tenth of a second.
const METERED_TIME: Duration = Duration::from_millis(150);
/// ... but not more than so many runs: what is over in microseconds cannot be metered.
const METERED_RUNS: usize = 400;
/// Mean power is believed of so long a time.
const BELIEVED: Duration = Duration::from_millis(300);
/// A step up is in vain unless an item costs no more than this of the least so far of its way: it makes the first items of a
/// batch wait for the last.
const GAIN_PERCENT: u64 = 97;
/// Steps up in vain, one after the other, after which larger batches are not tried.
const STEPS_IN_VAIN: u8 = 2;
/// A run was disturbed if threads waited for longer than this share of it for processors that others had.
const DISTURBED_PERCENT: u128 = 10;
/// ... unless it had this share of all processors itself.
const OWN_PERCENT: u128 = 75;
/// Less waiting than this is for a session's own threads, which start on one processor and are spread over the others later;
/// somebody else who gets a processor has it for longer, a slice of the kernel's being 3 ms.
const SLICE: Duration = Duration::from_millis(3);
/// After a disturbed run others get so long to come to an end.
const LULL: Duration = Duration::from_millis(250);
/// Disturbed runs of one model that are made again; if there are more, others never rest, and all runs count.
const MOST_DISTURBED: u32 = 60;
/// A way whose single run takes so many times longer than the best way's is not measured any further.
const HOPELESS: u64 = 4;

/// One way to run the model, as far as measuring it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Sessions side by side.
    pub instances: u16,
    /// Threads of each.
    pub threads: u16,
    /// Largest batch that the model takes.
    pub max_batch: u16,
}

/// What the machine allows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// When a request last came or was answered; `None` if there was none.
    pub busy: Option<Mono>,
    /// Requests are open.
    pub open: bool,
    /// The box is too warm to be heated for nothing.
    pub hot: bool,
}

impl Conditions {
    /// Whether the box is left to itself; if not, when to ask again.
    pub fn quiet_from(&self, now: Mono) -> Option<Mono> {
        let from = self.busy.map_or(now, |busy| busy.after(QUIET)).max(now);
        match (self.open || self.hot, from > now) {
            (true, _) => Some(from.max(now.after(Duration::from_secs(1)))),
            (false, true) => Some(from),
            (false, false) => None,
        }
    }
}

/// What to do next. All but `Wait` and `Done` are answered before there is a next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before then.
    Wait(Mono),
    /// Load this way. Answered by [`Tuner::loaded`].
    Load(usize),
    /// Run one batch of this size on each of so many sessions of the loaded way. Answered by [`Tuner::measured`].
    Measure {
        /// Which way.
        way: usize,
        /// Sessions at work.
        lanes: u16,
        /// Items in each one's batch.
        batch: u16,
    },
    /// Let this way go. Needs no answer.
    Unload(usize),
    /// Every way was tried.
    Done,
}

/// One measured run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How long the slowest session took.
    pub took: Duration,
    /// How long its threads waited meanwhile for processors.
    pub waited: Duration,
    /// How much processor time they had meanwhile.
    pub computed: Duration,
    /// What the box took meanwhile; `None` without a rail that can be read.
    pub energy: Option<Energy>,
}

/// Energy that was taken for a time, as the meter tells it: its readings do not fall on the ends of a run, but those of many
/// runs together are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Energy {
    /// Microjoules.
    pub microjoules: u64,
    /// The time that they are for.
    pub over: Duration,
}

impl Energy {
    fn add(&mut self, other: Energy) {
        self.microjoules = self.microjoules.saturating_add(other.microjoules);
        self.over = self.over.saturating_add(other.over);
    }

    /// Mean power, milliwatts; `None` if that is not long enough to be believed.
    fn power_mw(&self) -> Option<u32> {
        if self.over < BELIEVED {
            return None;
        }
        let milliwatts = u128::from(self.microjoules) * 1_000 / self.over.as_micros().max(1);
        u32::try_from(milliwatts).ok()
    }
}

impl Run {
    /// Whether others had the processors that its threads waited for. Who has nearly all of them waits for its own.
    fn is_disturbed(&self, cores: u16) -> bool {
        let waited = self.waited.as_nanos() * 100 > self.took.as_nanos() * DISTURBED_PERCENT;
        waited
            && self.waited > SLICE
            && self.computed.as_nanos() * 100 < self.took.as_nanos() * u128::from(cores) * OWN_PERCENT
    }
}

/// What was measured of one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which way.
    pub way: usize,
    /// Sessions at work.
    pub lanes: u16,
    /// Items in each one's batch.
    pub batch: u16,
    /// Median time of a run, the slowest session of each counting.
    pub took: Duration,
    /// Mean power of the box while these sessions were at work, milliwatts; `None` if unknown.
    pub power_mw: Option<u32>,
}

impl Point {
    /// Items per second, in thousandths.
    pub fn rate_milli(&self) -> u64 {
        let items = u128::from(self.lanes) * u128::from(self.batch);
        let nanos = self.took.as_nanos().max(1);
        u64::try_from(items * 1_000_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    /// What the box takes for one item, microjoules; `None` if unknown.
    pub fn item_uj(&self) -> Option<u64> {
        let items = u128::from(self.lanes) * u128::from(self.batch);
        // Milliwatts times nanoseconds are picojoules.
        let picojoules = u128::from(self.power_mw?) * self.took.as_nanos();
        u64::try_from(picojoules / 1_000_000 / items.max(1)).ok()
    }
}

/// Where the way under measurement is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// To be loaded.
    Next,
    /// Being loaded.
    Loading,
    /// Loaded; the point that is being measured.
    At(Measuring),
    /// To be let go.
    Leaving,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Measuring {
    lanes: u16,
    batch: u16,
    /// A run is under way.
    asked: bool,
    warmed: bool,
    runs: Vec<Duration>,
    /// What these sessions took so far, in all their batches; `None` if it is not metered.
    energy: Option<Energy>,
    /// Least time per item of these sessions so far, nanoseconds.
    best: u64,
    in_vain: u8,
}

impl Measuring {
    fn new(lanes: u16) -> Measuring {
        let (runs, energy, best) = (Vec::new(), None, u64::MAX);
        Measuring { lanes, batch: 1, asked: false, warmed: false, runs, energy, best, in_vain: 0 }
    }

    fn is_enough(&self) -> bool {
        let spent: Duration = self.runs.iter().sum();
        let metered = self.energy.is_none() || spent >= METERED_TIME || self.runs.len() >= METERED_RUNS;
        let many = self.runs.len() >= *RUNS.end() && metered;
        many || (self.runs.len() >= *RUNS.start() && spent >= POINT_TIME)
    }
}

/// Measures one model.
#[derive(Clone, Debug)]
pub struct Tuner {
    ways: Vec<Way>,
    cores: u16,
    at: usize,
    phase: Phase,
    points: Vec<Point>,
    /// Shortest single run of any way.
    fastest: Duration,
    /// Disturbed runs so far.
    disturbed: u32,
    /// Nothing is measured before then.
    not_before: Mono,
}

impl Tuner {
    /// Will measure these ways, in this order, on a box with so many processors.
    pub fn new(ways: Vec<Way>, cores: u16) -> Tuner {
        Tuner {
            ways,
            cores,
            at: 0,
            phase: Phase::Next,
            points: Vec::new(),
            fastest: Duration::MAX,
            disturbed: 0,
            not_before: Mono::default(),
        }
    }

    /// The next step; none while the last one was not answered.
    pub fn next(&mut self, now: Mono, conditions: &Conditions) -> Option<Step> {
        let way = self.at;
        let Some(_) = self.ways.get(way) else { return Some(Step::Done) };
        // Letting go costs nobody anything.
        if self.phase == Phase::Leaving {
            (self.at, self.phase) = (way + 1, Phase::Next);
            return Some(Step::Unload(way));
        }
        let under_way = match &self.phase {
            Phase::Loading => true,
            Phase::At(measuring) => measuring.asked,
            Phase::Next | Phase::Leaving => false,
        };
        if under_way {
            return None;
        }
        if let Some(until) = conditions.quiet_from(now) {
            return Some(Step::Wait(until));
        }
        if self.not_before > now {
            return Some(Step::Wait(self.not_before));
        }
        match &mut self.phase {
            Phase::Next => {
                self.phase = Phase::Loading;
                Some(Step::Load(way))
            }
            Phase::At(measuring) => {
                measuring.asked = true;
                Some(Step::Measure { way, lanes: measuring.lanes, batch: measuring.batch })
            }
            Phase::Loading | Phase::Leaving => None,
        }
    }

    /// The way was loaded and is worth measuring, or not.
    pub fn loaded(&mut self, good: bool) {
        if self.phase == Phase::Loading {
            self.phase = if good { Phase::At(Measuring::new(1)) } else { Phase::Leaving };
        }
    }

    /// Each session ran its batch. `None` if one of them could not.
    pub fn measured(&mut self, now: Mono, run: Option<Run>) {
        let Phase::At(measuring) = &mut self.phase else { return };
        measuring.asked = false;
        let Some(run) = run else {
            // A batch that cannot be run is no fault of the smaller ones.
            return self.next_lanes();
        };
        if !measuring.warmed {
            measuring.warmed = true;
            return;
        }
        if run.is_disturbed(self.cores) && self.disturbed < MOST_DISTURBED {
            self.disturbed += 1;
            self.not_before = now.after(LULL);
            return;
        }
        if let Some(energy) = run.energy {
            measuring.energy.get_or_insert_default().add(energy);
        }
        measuring.runs.push(run.took);
        if measuring.is_enough() {
            self.keep();
        }
    }

    /// The engine host ended; what was being measured is given up.
    pub fn lost(&mut self) {
        if !matches!(self.phase, Phase::Next) {
            (self.at, self.phase) = (self.at + 1, Phase::Next);
        }
    }

    /// The next way cannot be tried at all.
    pub fn skip(&mut self) {
        if self.phase == Phase::Next && self.at < self.ways.len() {
            self.at += 1;
        }
    }

    /// Whether others kept the processors busy, so that runs counted that had to wait.
    pub fn is_disturbed(&self) -> bool {
        self.disturbed >= MOST_DISTURBED
    }

    /// What was measured so far.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Ways that are done with, and all of them.
    pub fn progress(&self) -> (usize, usize) {
        (self.at.min(self.ways.len()), self.ways.len())
    }

    /// Whether a way is loaded or being loaded.
    pub fn holds(&self) -> Option<usize> {
        (self.phase != Phase::Next && self.at < self.ways.len()).then_some(self.at)
    }

    /// The point is measured: goes on to the next one.
    fn keep(&mut self) {
        let way = self.at;
        let Phase::At(measuring) = &mut self.phase else { return };
        measuring.runs.sort_unstable();
        let took = measuring.runs[measuring.runs.len() / 2];
        let (lanes, batch) = (measuring.lanes, measuring.batch);
        self.points.push(Point { way, lanes, batch, took, power_mw: None });
        let per_item = u64::try_from(took.as_nanos() / u128::from(batch)).unwrap_or(u64::MAX);
        let vain =
            measuring.best != u64::MAX && per_item.saturating_mul(100) > measuring.best.saturating_mul(GAIN_PERCENT);
        measuring.in_vain = if vain { measuring.in_vain + 1 } else { 0 };
        measuring.best = measuring.best.min(per_item);
        let largest = self.ways.get(way).map_or(1, |way| way.max_batch);
        let next = batch.saturating_mul(2);
        if (lanes, batch) == (1, 1) {
            self.fastest = self.fastest.min(took);
            let bound = self.fastest.saturating_mul(u32::try_from(HOPELESS).unwrap_or(u32::MAX));
            if took > bound {
                self.tell_power();
                self.phase = Phase::Leaving;
                return;
            }
        }
        if next > largest || measuring.in_vain >= STEPS_IN_VAIN {
            return self.next_lanes();
        }
        (measuring.batch, measuring.warmed) = (next, false);
        measuring.runs.clear();
    }

    /// So many sessions of a way were measured: the mean power of all their runs holds for each of their points.
    fn tell_power(&mut self) {
        let (way, Phase::At(measuring)) = (self.at, &self.phase) else { return };
        let power_mw = measuring.energy.and_then(|energy| energy.power_mw());
        for point in self.points.iter_mut().filter(|point| (point.way, point.lanes) == (way, measuring.lanes)) {
            point.power_mw = power_mw;
        }
    }

    /// The same with all sessions at work, or the end of this way.
    fn next_lanes(&mut self) {
        self.tell_power();
        let Phase::At(measuring) = &self.phase else { return };
        let all = self.ways.get(self.at).map_or(1, |way| way.instances);
        self.phase = if measuring.lanes < all { Phase::At(Measuring::new(all)) } else { Phase::Leaving };
    }
}

#[cfg(test)]
mod tests;
