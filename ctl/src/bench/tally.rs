//! What came of the requests of one step, as it comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edge_wire::error::{ErrorCode, Refused};

use super::caller::Told;

/// At so many answers a step ends early: what is kept of them takes 24 MiB.
const MOST_ANSWERS: usize = 1_000_000;
/// Different warnings that are kept; a run of equal requests gets equal ones.
const MOST_WARNINGS: usize = 8;

/// Who answered: version, variant, provider, and the site if it was another one.
pub type Served = (String, String, String, String);

/// Counts and measured values.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// From the call to its answer, as the client saw it.
    pub latency_us: Vec<u64>,
    pub queue_us: Vec<u64>,
    pub compute_us: Vec<u64>,
    /// Of those answers that told it.
    pub energy_mj: f64,
    pub energies: u64,
    pub served: BTreeMap<Served, u64>,
    pub warnings: BTreeSet<String>,
    /// One for each code, in the order in which they came.
    pub refused: Vec<Refusals>,
}

/// How often the answer was this "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    pub code: ErrorCode,
    pub count: u64,
    /// The message of the first.
    pub message: String,
}

impl Tally {
    /// An answer with a result, so long after the call.
    pub fn answered(&mut self, after: Duration, told: Told) {
        self.latency_us.push(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
        self.queue_us.push(told.queue_us);
        self.compute_us.push(told.compute_us);
        if let Some(energy) = told.energy_mj {
            self.energy_mj += energy;
            self.energies += 1;
        }
        *self.served.entry((told.version, told.variant, told.provider, told.site)).or_default() += 1;
        let room = MOST_WARNINGS.saturating_sub(self.warnings.len());
        self.warnings.extend(told.warnings.into_iter().take(room));
    }

    /// A "no".
    pub fn refused(&mut self, refused: Refused) {
        match self.refused.iter_mut().find(|before| before.code == refused.code) {
            Some(before) => before.count += 1,
            None => self.refused.push(Refusals { code: refused.code, count: 1, message: refused.message }),
        }
    }

    /// Nothing more can be kept.
    pub fn is_full(&self) -> bool {
        self.latency_us.len() >= MOST_ANSWERS
    }

    /// Nothing was answered, and not because of the load: asking on would bring more of the same.
    pub fn is_hopeless(&self) -> bool {
        self.latency_us.is_empty() && !self.refused.is_empty() && self.refused.iter().all(|no| !is_of_load(no.code))
    }

    /// The commonest "no".
    pub fn commonest(&self) -> Option<&Refusals> {
        self.refused.iter().max_by_key(|no| no.count)
    }
}

/// Whether the same request may be answered at another load.
fn is_of_load(code: ErrorCode) -> bool {
    match code {
        ErrorCode::Overloaded | ErrorCode::DeadlineExceeded => true,
        ErrorCode::UnknownModel
        | ErrorCode::InvalidInput
        | ErrorCode::TooLarge
        | ErrorCode::Confined
        | ErrorCode::Unavailable
        | ErrorCode::NotAuthorized
        | ErrorCode::Cancelled
        | ErrorCode::Internal => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no(code: ErrorCode, message: &str) -> Refused {
        Refused { code, message: message.into(), retry_after_ms: None }
    }

    #[test]
    fn every_no_is_counted_under_its_code_with_its_first_message() {
        let mut tally = Tally::default();
        tally.refused(no(ErrorCode::Overloaded, "first"));
        tally.refused(no(ErrorCode::Internal, "other"));
        tally.refused(no(ErrorCode::Overloaded, "second"));
        let commonest = Refusals { code: ErrorCode::Overloaded, count: 2, message: "first".into() };
        assert_eq!(tally.commonest(), Some(&commonest));
        assert_eq!(tally.refused.iter().map(|no| no.count).sum::<u64>(), 3);
    }

    #[test]
    fn energy_is_summed_over_those_answers_that_told_it() {
        let mut tally = Tally::default();
        tally.answered(Duration::from_micros(5), Told { energy_mj: Some(2.5), ..Told::default() });
        tally.answered(Duration::from_micros(7), Told::default());
        assert_eq!((tally.energy_mj, tally.energies), (2.5, 1));
        assert_eq!(tally.latency_us, [5, 7]);
    }

    #[test]
    fn only_a_no_that_has_nothing_to_do_with_the_load_is_hopeless() {
        for (code, expected) in [
            (ErrorCode::InvalidInput, true),
            (ErrorCode::NotAuthorized, true),
            (ErrorCode::Overloaded, false),
            (ErrorCode::DeadlineExceeded, false),
        ] {
            let mut tally = Tally::default();
            assert!(!tally.is_hopeless());
            tally.refused(no(code, ""));
            assert_eq!(tally.is_hopeless(), expected, "{code}");
            tally.answered(Duration::ZERO, Told::default());
            assert!(!tally.is_hopeless(), "{code}");
        }
    }

    #[test]
    fn no_more_warnings_are_kept_than_anybody_reads() {
        let mut tally = Tally::default();
        for number in 0..20 {
            tally.answered(Duration::ZERO, Told { warnings: vec![number.to_string()], ..Told::default() });
        }
        assert_eq!(tally.warnings.len(), MOST_WARNINGS);
    }
}
