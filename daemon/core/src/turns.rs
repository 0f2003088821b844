//! Decides whose turn it is: among equals by deficit round robin over time, between priorities by what is reserved for
//! the lower ones. Must not know requests, callers or models: it counts takers by number.
//!
//! ```text
//!   tag: time taken so far        ┌ a taker that was away, or could not start, is taken for this far behind at most
//!   0 ────────────────────────────┼─────── QUANTUM ───────┤ end of the round
//!                                 ▲        ▲       ▲      │   ▲
//!                                 A        B       C      │   D has taken more than its part: not in this round
//!
//!   In a round: whoever has a tag before its end, the earliest deadline first. If nobody has, the next round ends one
//!   quantum behind the smallest tag.
//! ```
//!
//! What was taken is charged in full, so one who takes a second at once is out of as many rounds as that is worth. Nothing
//! else is remembered: who uses what nobody else wants owes one run for it, not all that it ever had.

use crate::request::Priority;
use crate::units::{Mono, Ratio, Span};

/// Part of a round of each taker. Within it the earliest deadline counts, beyond it the turns: a longer one would let a
/// crowd make a newcomer wait for so much of each of them, a shorter one would forget deadlines for the sake of turns
/// between requests that take less than the difference.
pub const QUANTUM: Span = Span::from_millis(5);

/// Turns among a number of takers.
#[derive(Clone, Debug)]
pub struct Turns {
    tags: Vec<Span>,
    /// End of the present round.
    end: Span,
    /// The largest tag there is.
    top: Span,
}

impl Turns {
    /// Turns among `takers` that have taken nothing.
    pub fn new(takers: usize) -> Turns {
        Turns { tags: vec![Span::ZERO; takers], end: QUANTUM, top: Span::ZERO }
    }

    /// One more taker. Allocates.
    pub fn add(&mut self) {
        self.tags.push(Span::ZERO);
    }

    /// Where a taker is.
    pub fn tag(&self, taker: usize) -> Span {
        self.tags.get(taker).copied().unwrap_or(Span::ZERO).max(self.end.minus(QUANTUM))
    }

    /// The end of the round in which those can start of whom `least` is the smallest tag.
    pub fn round(&self, least: Span) -> Span {
        if least < self.end { self.end } else { least.plus(QUANTUM) }
    }

    /// A taker takes `time` in the round that ends at `round`.
    pub fn charge(&mut self, taker: usize, round: Span, time: Span) {
        self.end = self.end.max(round);
        let tag = self.tag(taker).plus(time);
        if let Some(place) = self.tags.get_mut(taker) {
            *place = tag;
        }
        self.top = self.top.max(tag);
    }

    /// Nobody wanted anything for a moment, so nobody owes anybody anything.
    pub fn forgive(&mut self) {
        self.end = self.end.max(self.top.plus(QUANTUM));
    }
}

/// Somebody who waits for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Where it is.
    pub tag: Span,
    /// What it waits for, all together.
    pub work: Span,
    /// In so many pieces.
    pub count: u64,
    /// What it has taken since it began to wait without a pause. Who has not paused for long is expected not to pause for
    /// as long again, so as much more is expected of it.
    pub streak: Span,
    /// The earliest of their deadlines.
    pub first: Mono,
}

impl Rival {
    /// What a rival will take before one whose own turn comes at the tag `start` and whose deadline is `deadline`: whole
    /// pieces, as nobody is interrupted.
    pub fn before(&self, start: Span, deadline: Mono) -> Span {
        // The round in which the turn comes may end up to a quantum later; in it the earlier deadline counts.
        let until = if self.first <= deadline { start.plus(QUANTUM) } else { start };
        let time = until.minus(self.tag);
        let each = self.work.part(self.count);
        if time == Span::ZERO || each == Span::ZERO {
            return Span::ZERO;
        }
        each.times(time.as_nanos().div_ceil(each.as_nanos())).min(self.work.plus(self.streak))
    }
}

/// What one lower priority has earned while higher ones ran and it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    earned: Span,
    owed: Span,
}

/// The reserved share of the lower priorities.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reserve {
    accounts: [Account; Priority::ALL.len()],
}

impl Reserve {
    /// Whether a priority that waits behind a higher one has earned a turn that takes `time`. What takes longer than
    /// `chunk` begins once that much is earned, and owes the rest.
    pub fn is_due(&self, priority: Priority, time: Span, chunk: Span) -> bool {
        let earned = self.accounts[priority.index()].earned;
        earned > Span::ZERO && earned >= time.min(chunk)
    }

    /// A run of `time` began for `runs`; `waits` says which priorities have something waiting.
    pub fn ran(&mut self, runs: Priority, time: Span, waits: [bool; Priority::ALL.len()], share: Ratio, chunk: Span) {
        for priority in Priority::ALL {
            let account = &mut self.accounts[priority.index()];
            if priority == runs {
                // What nobody higher wanted costs no more than a chunk of what is earned later.
                let higher = Priority::ALL.into_iter().any(|other| other < priority && waits[other.index()]);
                let most = if higher { Span::MAX } else { chunk };
                account.owed = account.owed.max(account.owed.plus(time.minus(account.earned)).min(most));
                account.earned = account.earned.minus(time);
            } else if priority > runs && waits[priority.index()] {
                let part = Span::from_nanos(share.of(time.as_nanos()));
                account.earned = account.earned.plus(part.minus(account.owed)).min(chunk);
                account.owed = account.owed.minus(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Span {
        Span::from_millis(ms)
    }

    /// Lets takers who always want more take their turns `rounds` times; what each got, in ms.
    fn shared(costs: &[u64], rounds: usize) -> Vec<u64> {
        let mut turns = Turns::new(costs.len());
        let mut got = vec![0; costs.len()];
        for _ in 0..rounds {
            let least = (0..costs.len()).map(|taker| turns.tag(taker)).min().unwrap();
            let round = turns.round(least);
            // The most expensive first, as if its deadline were always the earliest.
            let eligible = (0..costs.len()).filter(|taker| turns.tag(*taker) < round);
            let taker = eligible.max_by_key(|taker| costs[*taker]).unwrap();
            turns.charge(taker, round, ms(costs[taker]));
            got[taker] += costs[taker];
        }
        got
    }

    #[test]
    fn takers_get_the_same_time_whatever_a_piece_of_theirs_takes() {
        for costs in [&[1, 1, 1][..], &[1, 10, 100], &[3, 7], &[500, 1, 1, 1]] {
            let got = shared(costs, 20_000);
            let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
            let piece = costs.iter().max().unwrap() + 2 * QUANTUM.as_nanos() / 1_000_000;
            assert!(most - least <= piece, "{costs:?} got {got:?}");
        }
    }

    #[test]
    fn one_who_was_away_is_at_most_a_quantum_ahead_of_the_others() {
        let mut turns = Turns::new(2);
        for _ in 0..100 {
            let round = turns.round(turns.tag(0));
            turns.charge(0, round, ms(10));
        }
        assert_eq!(turns.tag(0), turns.tag(1).plus(ms(10)));
        turns.forgive();
        assert_eq!(turns.tag(0), turns.tag(1));
        turns.forgive();
        assert_eq!(turns.tag(1), ms(1000), "there was nothing more to forgive");
    }

    #[test]
    fn a_rival_takes_whole_pieces_up_to_ones_own_turn() {
        let rival = |tag, work, count, first| Rival {
            tag: ms(tag),
            work: ms(work),
            count,
            streak: Span::ZERO,
            first: Mono::from_nanos(first),
        };
        let before = |rival: Rival, start| rival.before(ms(start), Mono::from_nanos(100));
        assert_eq!(before(rival(0, 80, 8, 200), 0), ms(0), "its deadlines are later");
        assert_eq!(before(rival(0, 80, 8, 50), 0), ms(10), "one in the same round");
        assert_eq!(before(rival(0, 80, 8, 200), 25), ms(30), "three begin before 25 ms are taken");
        assert_eq!(before(rival(30, 80, 8, 200), 25), ms(0), "it has had its part");
        assert_eq!(before(rival(0, 80, 8, 50), 500), ms(80), "no more than there is");
        let busy = Rival { streak: ms(200), ..rival(0, 80, 8, 50) };
        assert_eq!((before(busy, 100), before(busy, 500)), (ms(110), ms(280)), "it goes on as it did");
        assert_eq!(before(rival(0, 0, 0, 50), 500), ms(0));
        assert_eq!(before(rival(0, 0, 3, 50), 500), ms(0), "not measured");
    }

    /// What low got of `runs` runs beside high, both always waiting, in per cent.
    fn low_share(high: u64, low: u64, share: f64, runs: usize) -> u64 {
        let (mut reserve, chunk) = (Reserve::default(), ms(20));
        let (mut got, mut all) = (0, 0);
        for _ in 0..runs {
            let due = reserve.is_due(Priority::Low, ms(low), chunk);
            let (runs, time) = if due { (Priority::Low, low) } else { (Priority::High, high) };
            let waits = [true, false, true];
            reserve.ran(runs, ms(time), waits, Ratio::new(share).unwrap(), chunk);
            got += if due { low } else { 0 };
            all += time;
        }
        got * 100 / all
    }

    #[test]
    fn a_lower_priority_gets_its_share_of_the_higher_ones_time() {
        // A tenth of what the higher one takes is an eleventh of all.
        for (high, low) in [(10, 10), (1, 20), (20, 1), (10, 300), (200, 10)] {
            assert!((8..=10).contains(&low_share(high, low, 0.1, 100_000)), "{high} ms beside {low} ms");
        }
        assert_eq!(low_share(10, 10, 0.0, 1000), 0);
    }

    #[test]
    fn what_runs_most_of_the_time_has_earned_nothing_more() {
        let (mut reserve, chunk) = (Reserve::default(), ms(20));
        let share = Ratio::TENTH;
        for _ in 0..1000 {
            // Low saturates the box; now and then something high comes and goes first.
            (0..9).for_each(|_| reserve.ran(Priority::Low, ms(10), [false, false, true], share, chunk));
            reserve.ran(Priority::High, ms(10), [false, false, true], share, chunk);
            assert!(!reserve.is_due(Priority::Low, ms(1), chunk));
        }
    }
}
