//! How fast work is really done: workers' worth of estimated work per unit of time, learnt while there was a backlog.
//! Lanes and decoders are the two kinds of workers, each with a rate of its own.
//!
//! Two lanes that share two cores with a bus, a broker and decoding do less than two lanes' work, and batching may make
//! them do more than was estimated. Only time in which work waited for a lane tells: an idle lane says nothing about
//! its speed, and counting it would make a box believe that it is slow because it has nothing to do.

use crate::estimate::Demand;
use crate::units::{Mono, Ratio, Span};

/// Thousandths of a worker.
const MILLI: u64 = 1000;
/// A box is never believed to be slower than a tenth of a worker: a rate near zero would refuse all and learn nothing.
const SLOWEST: u64 = 100;
/// And what a governor leaves of it is never less than this.
const LEAST: u64 = 5;
/// Completions per sample: fewer, and the one that was half done when the backlog began weighs too much.
const WINDOW_COUNT: u32 = 8;
/// Shortest sample: below it, the grain of a completion is coarser than what is measured.
const WINDOW_SPAN: Span = Span::from_millis(20);
/// Weight of a new sample, as a divisor.
const WEIGHT: u64 = 4;

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Mono,
    work: Span,
    count: u32,
}

/// The live service rate of one kind of workers.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    milli: u64,
    most: u64,
    window: Option<Window>,
}

impl Rate {
    /// The rate of a box on which nothing was measured: all `workers` at full speed.
    pub fn new(workers: u16) -> Rate {
        let most = u64::from(workers.max(1)) * MILLI;
        Rate { milli: most, most, window: None }
    }

    /// The policy allows another number of workers; what was learnt scales with it.
    pub fn set_workers(&mut self, workers: u16) {
        let most = u64::from(workers.max(1)) * MILLI;
        self.milli = (self.milli * most / self.most).clamp(SLOWEST, most);
        self.most = most;
        self.window = None;
    }

    /// Work that was estimated at `work` is done, at `now`.
    pub fn done(&mut self, now: Mono, work: Span) {
        let Some(window) = &mut self.window else { return };
        window.work = window.work.plus(work);
        window.count += 1;
        let span = Span::between(window.since, now);
        if window.count < WINDOW_COUNT || span < WINDOW_SPAN {
            return;
        }
        let sample = (window.work.times(MILLI).as_nanos() / span.as_nanos().max(1)).clamp(SLOWEST, self.most);
        self.milli = (self.milli * (WEIGHT - 1) + sample) / WEIGHT;
        self.window = Some(Window { since: now, work: Span::ZERO, count: 0 });
    }

    /// Whether, from `now` on, work waits because all that could take it is busy.
    pub fn backlog(&mut self, now: Mono, waits: bool) {
        match (waits, self.window) {
            (false, _) => self.window = None,
            (true, None) => self.window = Some(Window { since: now, work: Span::ZERO, count: 0 }),
            (true, Some(_)) => {}
        }
    }

    /// How long `work` takes at this rate, by at most `workers` of them.
    pub fn time_for(&self, work: Span, workers: u64) -> Span {
        let milli = self.milli.min(workers.saturating_mul(MILLI)).max(LEAST);
        match work.as_nanos().checked_mul(MILLI) {
            Some(scaled) => Span::from_nanos(scaled / milli),
            None => work.part((milli / MILLI).max(1)),
        }
    }

    /// Thousandths of a worker.
    pub fn milli_workers(&self) -> u64 {
        self.milli
    }
}

/// The rates of both stages.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Decoding payloads.
    pub prepare: Rate,
    /// Running models.
    pub run: Rate,
}

impl Rates {
    /// The rates of a box on which nothing was measured.
    pub fn new(preparing: u16, lanes: u16) -> Rates {
        Rates { prepare: Rate::new(preparing), run: Rate::new(lanes) }
    }

    /// The same while the lanes may use this share of their time.
    pub fn at(&self, duty: Ratio) -> Rates {
        let run = Rate { milli: duty.of(self.run.milli).max(LEAST), ..self.run };
        Rates { run, ..*self }
    }

    /// How long work in both stages takes: as long as in the slower one, since they go on side by side.
    pub fn time_for(&self, work: Demand) -> Span {
        self.prepare.time_for(work.prepare, u64::MAX).max(self.run.time_for(work.run, u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Completions of `work` ms each, every `every` ms, with or without a backlog.
    fn learnt(lanes: u16, work: u64, every: u64, waits: bool) -> u64 {
        let mut rate = Rate::new(lanes);
        for step in 0..200 {
            let now = Mono::from_nanos(step * every * MS);
            rate.done(now, Span::from_millis(work));
            rate.backlog(now, waits);
        }
        rate.milli_workers()
    }

    #[test]
    fn the_rate_is_learnt_under_a_backlog_only() {
        assert_eq!(Rate::new(2).milli_workers(), 2000);
        assert_eq!(learnt(2, 10, 10, false), 2000);
        assert!((1000..1010).contains(&learnt(2, 10, 10, true)), "{}", learnt(2, 10, 10, true));
        assert!((500..510).contains(&learnt(2, 10, 20, true)), "{}", learnt(2, 10, 20, true));
    }

    #[test]
    fn the_rate_stays_between_a_tenth_and_all_lanes() {
        assert!((100..105).contains(&learnt(2, 1, 100, true)), "{}", learnt(2, 1, 100, true));
        assert_eq!(learnt(2, 100, 10, true), 2000);
    }

    #[test]
    fn time_for_work_follows_the_rate_and_the_lanes() {
        let rate = Rate::new(4);
        assert_eq!(rate.time_for(Span::from_millis(40), 4), Span::from_millis(10));
        assert_eq!(rate.time_for(Span::from_millis(40), 1), Span::from_millis(40));
        assert!(rate.time_for(Span::MAX, 4) >= Span::MAX.part(8));
    }

    #[test]
    fn other_lanes_keep_the_proportion() {
        let mut rate = Rate::new(2);
        rate.milli = 1000;
        rate.set_workers(4);
        assert_eq!(rate.milli_workers(), 2000);
        rate.set_workers(0);
        assert_eq!(rate.milli_workers(), 500);
    }
}
