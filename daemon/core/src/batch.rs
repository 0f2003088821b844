//! Decides which waiting requests run together: the most urgent ones, as many as pay, as none of them is late by, and as
//! others can be expected to wait for. Must not know lanes, clients or the host; it is offered one request after the
//! other, in order, and says yes or no.

use crate::estimate::batch_size::is_tried;
use crate::estimate::service::ServiceTimes;
use crate::members::Ids;
use crate::units::{Mono, Span};

/// A size that was not measured yet may run so many times longer than a batch may by the estimate, which takes it for no
/// cheaper than the next smaller size: it would never be measured otherwise.
const TRIAL: u64 = 2;

/// How long a batch may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So long, or as long as its first member alone if that is longer.
    Chunk(Span),
    /// No longer than this in any case, as the lane is not free yet.
    Rest(Span),
}

/// What becomes of an offered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is a member of the batch.
    Take,
    /// Its deadline cannot be met even if it ran alone and at once.
    TooLate,
    /// The batch is complete without it.
    Complete,
}

/// One batch in the making.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    times: &'a ServiceTimes,
    now: Mono,
    start: Mono,
    most: usize,
    limit: Limit,
    len: usize,
    rows: usize,
    units: u64,
    tightest: Mono,
}

impl<'a> Plan<'a> {
    /// An empty batch of at most `most` rows that will start at `start`, planned at `now`.
    pub fn new(times: &'a ServiceTimes, now: Mono, start: Mono, most: usize, limit: Limit) -> Plan<'a> {
        Plan { times, now, start, most, limit, len: 0, rows: 0, units: 0, tightest: Mono::MAX }
    }

    /// Offers the next request in order, which brings `rows` of the model's batch dimension and costs `units`; it is a
    /// member if the answer is [`Answer::Take`]. The first member may bring more rows than are paid for together, and on a
    /// free lane may take longer than a batch of several.
    pub fn offer(&mut self, deadline: Mono, rows: usize, units: u64) -> Answer {
        let all_rows = self.rows.saturating_add(rows);
        if self.len >= Ids::CAPACITY || (self.len > 0 && all_rows > self.most) {
            return Answer::Complete;
        }
        if self.end(rows, units) > deadline || self.start >= deadline {
            return Answer::TooLate;
        }
        let alone = self.took(rows, units);
        let units = self.units.saturating_add(units);
        if !self.fits(all_rows, units) {
            return Answer::Complete;
        }
        if let (0, Limit::Chunk(chunk)) = (self.len, self.limit) {
            self.limit = Limit::Chunk(chunk.max(alone));
        }
        let tightest = self.tightest.min(deadline);
        // The first member was just found to be in time on its own; a later one must not make anybody late.
        if self.len > 0 && self.end(all_rows, units) > tightest {
            return Answer::Complete;
        }
        (self.len, self.rows, self.units, self.tightest) = (self.len + 1, all_rows, units, tightest);
        Answer::Take
    }

    /// Members so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no other member can be taken.
    pub fn is_full(&self) -> bool {
        self.len >= Ids::CAPACITY || (self.len > 0 && self.rows >= self.most)
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Units of cost so far.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Whether a batch like this runs no longer than it may.
    fn fits(&self, rows: usize, units: u64) -> bool {
        match self.limit {
            Limit::Rest(rest) => self.took(rows, units) <= rest,
            Limit::Chunk(_) if self.len == 0 => true,
            Limit::Chunk(chunk) if is_tried(self.times, rows) => self.took(rows, units) <= chunk,
            Limit::Chunk(chunk) => self.took(rows, units) <= chunk.times(TRIAL),
        }
    }

    /// How long it is expected to run; no time if nothing is known of the model.
    fn took(&self, rows: usize, units: u64) -> Span {
        self.times.work(rows, units)
    }

    /// When a batch like this will end; its start if nothing is known of the model.
    fn end(&self, rows: usize, units: u64) -> Mono {
        self.times.at_least(self.now, rows, units).from(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::{Complete, Take, TooLate};

    const FREE: Limit = Limit::Chunk(Span::from_millis(1000));

    fn ms(ms: u64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    /// Offers requests of cost 1 with these deadlines (ms) to a model that takes 10 ms per unit, or is unmeasured.
    fn check(measured: bool, start: u64, most: usize, deadlines: &[u64], expected: &[Answer]) {
        let mut times = ServiceTimes::default();
        if measured {
            times.learn(ms(0), 1, 1, Span::from_millis(10));
        }
        let mut plan = Plan::new(&times, ms(0), ms(start), most, FREE);
        let answers: Vec<Answer> = deadlines.iter().map(|deadline| plan.offer(ms(*deadline), 1, 1)).collect();
        assert_eq!(answers, expected, "start {start}, at most {most}, deadlines {deadlines:?}");
        assert_eq!(plan.len(), expected.iter().filter(|answer| **answer == Take).count());
    }

    #[test]
    fn a_batch_takes_what_is_in_time_and_stops_before_anybody_is_late() {
        check(true, 0, 8, &[100, 100, 100], &[Take, Take, Take]);
        check(true, 0, 2, &[100, 100, 100], &[Take, Take, Complete]);
        check(true, 0, 8, &[9, 10, 100], &[TooLate, Take, Complete]);
        check(true, 0, 8, &[25, 30, 100], &[Take, Take, Complete]);
        check(true, 95, 8, &[100, 105, 106], &[TooLate, Take, Complete]);
    }

    #[test]
    fn a_later_member_with_an_earlier_deadline_counts_too() {
        // Of lower priority, so it comes later in order.
        check(true, 0, 8, &[100, 15, 100], &[Take, Complete, Take]);
    }

    #[test]
    fn rows_count_and_not_members() {
        let times = ServiceTimes::default();
        let mut plan = Plan::new(&times, ms(0), ms(0), 8, FREE);
        let answers = [3, 5, 1].map(|rows| plan.offer(ms(9), rows, 1));
        assert_eq!((answers, plan.rows()), ([Take, Take, Complete], 8));
        let mut plan = Plan::new(&times, ms(0), ms(0), 8, FREE);
        assert_eq!([20, 1].map(|rows| plan.offer(ms(9), rows, 1)), [Take, Complete]);
    }

    #[test]
    fn of_an_unmeasured_model_only_passed_deadlines_are_too_late() {
        check(false, 5, 8, &[5, 6, 1], &[TooLate, Take, TooLate]);
    }

    /// How many of 16 requests of cost 1 run together, by a model that takes 3 ms per unit in batches of 1 and 2, if larger
    /// ones were not measured.
    fn together(limit: Limit) -> usize {
        let mut times = ServiceTimes::default();
        for rows in [1, 1, 1, 2, 2, 2] {
            times.learn(ms(0), rows, u64::try_from(rows).unwrap(), Span::from_millis(3).times(rows as u64));
        }
        let mut plan = Plan::new(&times, ms(0), ms(0), 16, limit);
        while plan.len() < 16 && plan.offer(ms(1000), 1, 1) == Take {}
        plan.len()
    }

    #[test]
    fn a_batch_ends_before_others_would_wait_too_long_for_it() {
        assert_eq!(together(Limit::Chunk(Span::from_millis(7))), 4, "a size that was not measured is tried");
        assert_eq!(together(Limit::Chunk(Span::from_millis(5))), 1, "6 ms were measured");
        assert_eq!(together(Limit::Chunk(Span::from_millis(1))), 1, "a single one may take longer");
        assert_eq!(together(Limit::Rest(Span::from_millis(7))), 2);
        assert_eq!(together(Limit::Rest(Span::from_millis(2))), 0, "but not behind one that runs");
    }
}
