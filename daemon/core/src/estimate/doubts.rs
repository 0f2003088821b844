//! Answers that did not come in time, while it is open whether the site was slow or gone. Must not know breakers or requests.
//!
//! A site that is slow and one that is gone look the same to whoever waits: nothing came for so long. What follows tells them
//! apart. If the site answers somebody, it was there all the time and is slow: what was missed counts as latency. If it
//! trips, it was gone, and its speed has nothing to do with it: an outage of a minute would otherwise keep near deadlines
//! from a site for as long as old answers count. But a site that trips again without an answer in between is there
//! (something let it pass) and too slow for what is asked of it: then the misses count after all.

use crate::units::Span;

/// As many are kept as a breaker waits for: it trips no later.
const MOST: usize = 5;

/// One answer that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Of its payload.
    pub bytes: u64,
    /// Tokens of its prompt, if it had one.
    pub prompt: u32,
    /// How long was waited for it.
    pub waited: Span,
}

/// What was missed since the last answer. The default is a site that gets the benefit of the doubt once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// The newest last; `None` comes after all others.
    missed: [Option<Miss>; MOST],
    /// It tripped, and has answered nobody since.
    silent: bool,
}

impl Doubts {
    /// No answer came. The oldest of too many is forgotten: it says what the others say.
    pub fn missed(&mut self, miss: Miss) {
        match self.missed.iter_mut().find(|place| place.is_none()) {
            Some(free) => *free = Some(miss),
            None => {
                self.missed.rotate_left(1);
                self.missed[MOST - 1] = Some(miss);
            }
        }
    }

    /// It answered: all that was missed is latency, and is told once.
    pub fn answered(&mut self) -> impl Iterator<Item = Miss> + use<> {
        std::mem::take(self).missed.into_iter().flatten()
    }

    /// It tripped: what was missed counts only if it had answered nobody since it tripped before.
    pub fn tripped(&mut self) -> impl Iterator<Item = Miss> + use<> {
        let before = std::mem::replace(self, Doubts { missed: [None; MOST], silent: true });
        before.missed.into_iter().flatten().filter(move |_| before.silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miss(bytes: u64) -> Miss {
        Miss { bytes, prompt: 0, waited: Span::from_millis(bytes) }
    }

    fn bytes(missed: impl Iterator<Item = Miss>) -> Vec<u64> {
        missed.map(|miss| miss.bytes).collect()
    }

    #[test]
    fn what_was_missed_counts_when_the_site_answers_and_once() {
        let mut doubts = Doubts::default();
        [1, 2].into_iter().for_each(|id| doubts.missed(miss(id)));
        assert_eq!(bytes(doubts.answered()), [1, 2]);
        assert_eq!(bytes(doubts.answered()), []);
    }

    #[test]
    fn an_outage_says_nothing_of_speed_but_a_second_one_without_an_answer_does() {
        let mut doubts = Doubts::default();
        doubts.missed(miss(1));
        assert_eq!(bytes(doubts.tripped()), [], "it may have been gone");
        doubts.missed(miss(2));
        assert_eq!(bytes(doubts.tripped()), [2], "it was there and did not answer");
        doubts.missed(miss(3));
        assert_eq!(bytes(doubts.answered()), [3]);
        doubts.missed(miss(4));
        assert_eq!(bytes(doubts.tripped()), [], "it had answered in between");
    }

    #[test]
    fn of_too_many_the_newest_count() {
        let mut doubts = Doubts::default();
        (1..=7).for_each(|id| doubts.missed(miss(id)));
        assert_eq!(bytes(doubts.answered()), [3, 4, 5, 6, 7]);
    }
}
