//! One source of a gate: what waits of it, and what is open, in order.

use std::collections::VecDeque;
use std::time::Duration;

use edge_core::Mono;

use super::Ticket;

#[derive(Debug)]
pub(super) struct Source<T, R> {
    /// With whether somebody keeps it until it is answered.
    pub waiting: VecDeque<(T, bool)>,
    /// Asked for and not released, the oldest first; some are answered and wait for those before them.
    pub open: VecDeque<(Ticket, Option<R>)>,
    /// It has a turn, or waits for its time.
    pub in_line: bool,
    pub not_before: Mono,
    /// In which turn it became idle, while it is.
    pub idle_since: u64,
}

impl<T, R> Default for Source<T, R> {
    fn default() -> Source<T, R> {
        let (waiting, open) = (VecDeque::new(), VecDeque::new());
        Source { waiting, open, in_line: false, not_before: Mono::default(), idle_since: 0 }
    }
}

impl<T, R> Source<T, R> {
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    /// A bucket of two tokens: what was not used is kept for one interval, so that a late timer costs no rate.
    pub fn submitted(&mut self, now: Mono, ticket: Ticket, interval: Duration) {
        self.open.push_back((ticket, None));
        let kept = now.since(Mono::default()).saturating_sub(interval);
        self.not_before = self.not_before.max(Mono::default().after(kept)).after(interval);
    }

    pub fn answered(&mut self, ticket: Ticket, result: R) {
        if let Some((_, place)) = self.open.iter_mut().find(|(open, _)| *open == ticket) {
            *place = Some(result);
        }
    }

    /// The oldest one, if it is answered.
    pub fn next_answer(&mut self) -> Option<(Ticket, R)> {
        let (ticket, result) = self.open.pop_front()?;
        match result {
            Some(result) => Some((ticket, result)),
            None => {
                self.open.push_front((ticket, None));
                None
            }
        }
    }
}
