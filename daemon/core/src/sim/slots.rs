//! A box with slots that serve one call each, as a server of a language model has them, under recorded arrivals and in virtual
//! time: how many calls are in time, and how many leave for the cloud, under different rules.
//!
//! A call holds a slot while its prompt is read and its answer is written; it is in time if its first token comes within the
//! promise. Whoever is sent to the cloud has its first token after a log-normal time. Rules see what a box sees: what runs
//! and for how long, what waits, how fast the box is, and what ended; not how long an answer will be.

mod known;
mod play;

use crate::sim::Dice;
use crate::units::{Mono, Span};
use crate::wait::Speed;

/// One recorded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it came.
    pub at: Mono,
    /// Tokens of its prompt.
    pub prompt: u32,
    /// Tokens of its answer.
    pub answer: u32,
}

/// Calls from records of 8 bytes, little-endian: milliseconds since the first (32 bits), tokens of the prompt (16) and of the
/// answer (16).
pub fn calls(records: &[u8]) -> Vec<Call> {
    let (records, _) = records.as_chunks::<8>();
    let call = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| Call {
        at: Span::from_millis(u64::from(u32::from_le_bytes([a, b, c, d]))).from(Mono::default()),
        prompt: u32::from(u16::from_le_bytes([e, f])),
        answer: u32::from(u16::from_le_bytes([g, h])),
    };
    records.iter().map(call).collect()
}

/// A box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Calls served at the same time.
    pub slots: usize,
    /// Tokens of a prompt that one slot reads in a second.
    pub prefill: u32,
    /// Tokens of an answer that one slot writes in a second.
    pub decode: u32,
    /// From when until when heat slows it down, and to how many thousandths.
    pub slow: Option<(Mono, Mono, u32)>,
}

impl Machine {
    /// Time to read the prompt at full speed.
    pub fn reading(&self, call: &Call) -> Span {
        Span::from_millis(u64::from(call.prompt) * 1_000_000).part(u64::from(self.prefill)).part(1000)
    }

    /// Time to write the answer at full speed.
    pub fn writing(&self, call: &Call) -> Span {
        Span::from_millis(u64::from(call.answer) * 1_000_000).part(u64::from(self.decode)).part(1000)
    }

    /// How fast it is.
    pub fn speed(&self, now: Mono) -> Speed {
        match self.slow {
            Some((from, until, permille)) if (from..until).contains(&now) => Speed::permille(permille),
            _ => Speed::FULL,
        }
    }

    /// Work that a slot does from the start until `now`.
    fn worked(&self, now: Mono) -> Span {
        let all = Span::between(Mono::default(), now);
        let Some((from, until, permille)) = self.slow else { return all };
        let slow = Span::between(from, now.min(until));
        all.minus(slow).plus(Speed::permille(permille).work(slow))
    }

    /// When a slot will have done so much work since the start.
    fn when(&self, work: Span) -> Mono {
        let plain = work.from(Mono::default());
        let Some((from, until, permille)) = self.slow else { return plain };
        let before = Span::between(Mono::default(), from);
        let slow = work.minus(before).min(self.worked(until).minus(before));
        let lost = Speed::permille(permille).time(slow).minus(slow);
        lost.from(plain)
    }

    /// So many of all calls, chosen by lot, load it with `permille` of what it can do.
    pub fn load(&self, calls: &[Call], permille: u32, seed: u64) -> Vec<Call> {
        let work: u128 =
            calls.iter().map(|call| u128::from(self.reading(call).plus(self.writing(call)).as_nanos())).sum();
        let last = calls.last().map_or(0, |call| call.at.as_nanos());
        let can = u128::from(last) * self.slots as u128 * u128::from(permille) / 1000;
        let share = u64::try_from(can * 1_000_000 / work.max(1)).unwrap_or(u64::MAX);
        let mut dice = Dice::new(seed);
        calls.iter().filter(|_| dice.below(1_000_000) < share).copied().collect()
    }
}

/// By what it is decided where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Here as long as no more than so many wait.
    QueueLength(usize),
    /// Here if it starts in time with so much chance (thousandths) as seen on arrival; nothing is changed later.
    PredictedWait(u32),
    /// As [`place`] says, and it leaves when that says; so many thousandths may be late.
    TimedSpill(u32),
    /// Knows how long each answer will be, and not who comes. Calls run in the order in which they came; those that would be
    /// late go to the cloud, and no others.
    Clairvoyant,
    /// Knows who will come as well, and gives up a long call for a shorter one that would be late. No box can: it shows how
    /// much of the cloud's share is due to not knowing the future.
    Hindsight,
}

impl Rule {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::QueueLength(_) => "queue length",
            Rule::PredictedWait(_) => "predicted wait",
            Rule::TimedSpill(_) => "timed spill",
            Rule::Clairvoyant => "clairvoyant",
            Rule::Hindsight => "hindsight",
        }
    }

    /// Plays all `calls` to `machine` under this rule.
    pub fn play(self, calls: &[Call], machine: Machine, promise: Span, seed: u64) -> Score {
        match self {
            Rule::Clairvoyant => known::clairvoyant(calls, &machine, promise, seed),
            Rule::Hindsight => known::hindsight(calls, &machine, promise, seed),
            Rule::QueueLength(_) | Rule::PredictedWait(_) | Rule::TimedSpill(_) => {
                play::Play::score(calls, machine, self, promise, seed)
            }
        }
    }
}

/// Rules with the settings that an operator could choose, for a plot of the promise kept over the cloud's share.
pub const PLANE: [Rule; 19] = [
    Rule::QueueLength(0),
    Rule::QueueLength(1),
    Rule::QueueLength(2),
    Rule::QueueLength(4),
    Rule::QueueLength(8),
    Rule::QueueLength(16),
    Rule::PredictedWait(500),
    Rule::PredictedWait(700),
    Rule::PredictedWait(800),
    Rule::PredictedWait(900),
    Rule::PredictedWait(950),
    Rule::PredictedWait(990),
    Rule::TimedSpill(1),
    Rule::TimedSpill(5),
    Rule::TimedSpill(10),
    Rule::TimedSpill(20),
    Rule::TimedSpill(50),
    Rule::Clairvoyant,
    Rule::Hindsight,
];

/// What each of [`PLANE`] makes of the same calls.
pub fn plane(calls: &[Call], machine: Machine, promise: Span, seed: u64) -> Vec<(Rule, Score)> {
    PLANE.iter().map(|rule| (*rule, rule.play(calls, machine, promise, seed))).collect()
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// All calls.
    pub calls: u32,
    /// First token within the promise.
    pub in_time: u32,
    /// Sent to the cloud.
    pub away: u32,
    /// Of them, after they had waited here.
    pub left: u32,
}

impl Score {
    /// In time, percent.
    pub fn slo(&self) -> f64 {
        100.0 * f64::from(self.in_time) / f64::from(self.calls.max(1))
    }

    /// Sent to the cloud, percent.
    pub fn share(&self) -> f64 {
        100.0 * f64::from(self.away) / f64::from(self.calls.max(1))
    }
}

/// Time to the first token from the cloud: log-normal, median 0.35 s, 99th percentile 2 s; the same for each call under
/// every rule.
pub fn cloud(seed: u64, call: usize) -> Span {
    let mut dice = Dice::new(seed ^ 0x00c1_00d5).at(call);
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough")]
    let mut even = || ((dice.roll() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let normal = (-2.0 * even().ln()).sqrt() * (std::f64::consts::TAU * even()).cos();
    let sigma = (2.0_f64 / 0.35).ln() / 2.326_347_9;
    Span::of(std::time::Duration::from_secs_f64(0.35 * (sigma * normal).exp()))
}
