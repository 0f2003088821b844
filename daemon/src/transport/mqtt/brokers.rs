//! Which broker of the list is tried next, and when the first one is gone back to: pure.
//!
//! The first broker is the preferred one, the others are fallbacks. A *round* tries each once, in their order: within a round
//! the pauses are short, after one they grow. A connection that stood well is first made again where it was, as a broker that was
//! there a moment ago is soon there again. Where a broker says that another client uses the client id, nothing is gained
//! elsewhere, and the box stays.
//!
//! ```text
//!   Tried ──accepted──► Preferred            the first one: nothing to look for
//!     ▲  └──accepted──► Dwelling(until) ──► Probing ──answered──► Tried (the first one)
//!     └─────ended─────────┘    ▲───no answer───┘
//! ```
//!
//! While a fallback serves, the preferred broker is probed beside it, the first time after the *dwell* and then with growing
//! pauses. When it answers it is gone back to. A preferred broker that answers and does not stay doubles the dwell each time,
//! so that one that comes and goes does not drag the box along.

use std::time::Duration;

use edge_core::Mono;

use super::reconnect::{End, Next, Reconnect, spread};

/// Pause between two brokers of a round.
const WITHIN_ROUND: Duration = Duration::from_millis(250);
/// A connection that stood this long was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// Longest pause between two probes, and longest dwell, unless the configured one is longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The list, and where we are in it.
#[derive(Clone, Debug)]
pub struct Brokers {
    members: Vec<Member>,
    /// The one that is connected, or tried next.
    at: usize,
    /// `None`: a fallback is kept for as long as it lasts.
    return_after: Option<Duration>,
    state: State,
    /// Returns in a row after which the preferred broker did not stay.
    in_vain: u32,
    /// The present attempt or connection is such a return.
    returning: bool,
}

#[derive(Clone, Debug, Default)]
struct Member {
    reconnect: Reconnect,
    /// Failed in this round.
    tried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Tried,
    Preferred,
    /// On a fallback; after so many probes without an answer.
    Dwelling {
        until: Mono,
        unanswered: u32,
    },
    Probing {
        unanswered: u32,
    },
}

impl Brokers {
    /// A list of so many brokers, at least one.
    pub fn new(count: usize, return_after: Option<Duration>) -> Brokers {
        let members = vec![Member::default(); count.max(1)];
        Brokers { members, at: 0, return_after, state: State::Tried, in_vain: 0, returning: false }
    }

    /// The broker that is connected, or tried next.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The broker accepted the connection.
    pub fn accepted(&mut self, now: Mono, dice: u64) {
        self.state = match (self.at, self.return_after) {
            (0, _) | (_, None) => State::Preferred,
            (_, Some(dwell)) => {
                let until = now.after(spread(longer(dwell, self.in_vain), dice));
                State::Dwelling { until, unanswered: 0 }
            }
        };
    }

    /// A connection ended, or was not made. Decides where the next attempt goes, and when.
    pub fn after(&mut self, end: End, client_id: &str, dice: u64) -> Next {
        let taken_over = end.taken_over;
        let (good, at) = (end.stood.is_some_and(|stood| stood >= GOOD), self.at);
        self.state = State::Tried;
        let Some(member) = self.members.get_mut(at) else { return Reconnect::default().after(end, client_id, dice) };
        let next = member.reconnect.after(end, client_id, dice);
        if self.returning && at == 0 {
            self.in_vain = if good { 0 } else { self.in_vain.saturating_add(1) };
        }
        self.returning = false;
        if good {
            for member in &mut self.members {
                member.tried = false;
            }
            return next;
        }
        if taken_over {
            return next;
        }
        if let Some(member) = self.members.get_mut(at) {
            member.tried = true;
        }
        match self.members.iter().position(|member| !member.tried) {
            Some(untried) => {
                self.at = untried;
                Next { pause: next.pause.min(spread(WITHIN_ROUND, dice)), ..next }
            }
            None => {
                for member in &mut self.members {
                    member.tried = false;
                }
                self.at = 0;
                next
            }
        }
    }

    /// When to [`probe`](Brokers::probe).
    pub fn probe_due(&self) -> Option<Mono> {
        match self.state {
            State::Dwelling { until, .. } => Some(until),
            State::Tried | State::Preferred | State::Probing { .. } => None,
        }
    }

    /// Whether the preferred broker is to be looked for now; its answer goes to [`probed`](Brokers::probed).
    pub fn probe(&mut self, now: Mono) -> bool {
        match self.state {
            State::Dwelling { until, unanswered } if until <= now => {
                self.state = State::Probing { unanswered };
                true
            }
            State::Dwelling { .. } | State::Tried | State::Preferred | State::Probing { .. } => false,
        }
    }

    /// What became of a probe; `true` if the preferred broker is to be gone back to. The answer to a probe that was begun on a
    /// connection that ended since then is of no use.
    pub fn probed(&mut self, now: Mono, answered: bool, dice: u64) -> bool {
        let (State::Probing { unanswered }, Some(dwell)) = (self.state, self.return_after) else { return false };
        if answered {
            self.state = State::Preferred;
            return true;
        }
        let unanswered = unanswered.saturating_add(1);
        let until = now.after(spread(longer(dwell, unanswered), dice));
        self.state = State::Dwelling { until, unanswered };
        false
    }

    /// The fallback was left for the preferred broker, which is tried next.
    pub fn go_back(&mut self) {
        for member in &mut self.members {
            member.tried = false;
        }
        (self.at, self.returning, self.state) = (0, true, State::Tried);
    }
}

/// `dwell`, doubled so many times up to a limit.
fn longer(dwell: Duration, doublings: u32) -> Duration {
    dwell.saturating_mul(1 << doublings.min(10)).min(LONGEST.max(dwell))
}

#[cfg(test)]
mod tests;
