//! What waits on the disk is brought back when something can serve it. Must not know what it is: the shell brings the most
//! urgent ones, and each is routed like any other that arrives.

use crate::action::Action;
use crate::id::RequestId;
use crate::scheduler::{Gate, Scheduler};
use crate::units::{Mono, Span};
use crate::verdict::{Outcome, Reason};

/// Requests that are brought at once: enough that lanes do not run dry until the next ones come.
const MOST: u16 = 16;
/// Pause after an attempt that brought only what was put off again; it doubles up to the longest.
const PAUSE_FIRST: Span = Span::from_millis(1_000);
const PAUSE_MOST: Span = Span::from_millis(30_000);

/// How the bringing goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taking {
    /// They were asked for, and have not all arrived.
    asked: bool,
    /// How many waited then, how many of them were asked for, and how many were put off again since.
    waited: u64,
    asked_for: u64,
    again: u64,
    /// How many are asked for next: what could be served lately, and some more.
    most: u16,
    /// Not before then.
    next: Mono,
    pause: Span,
    /// When they were asked for last, and whether none of them could be served.
    last: Mono,
    vain: bool,
    /// The next attempt comes before its pause has ended.
    early: bool,
}

impl Scheduler {
    pub(super) fn deferred(&mut self, waiting: u64) {
        self.deferred = waiting;
    }

    /// A request that came in goes to the disk.
    pub(super) fn defer(&mut self, id: RequestId, reason: Reason) {
        self.count_deferred();
        self.push_settle(id, Outcome::Deferred(reason));
    }

    /// One more goes to the disk: until the disk says how many there are, so many are counted.
    pub(super) fn count_deferred(&mut self) {
        if self.deferred == 0 {
            // What could not be served just now is not asked for at once.
            let taking = &mut self.taking;
            taking.next = taking.next.max(PAUSE_FIRST.from(self.clock));
            (taking.last, taking.vain) = (self.clock, true);
        }
        self.deferred = self.deferred.saturating_add(1);
        self.taking.again = self.taking.again.saturating_add(1);
    }

    /// What was asked for is here.
    pub(super) fn taken_up(&mut self, now: Mono) {
        let taking = &mut self.taking;
        taking.asked = false;
        let came = taking.again > 0 || self.deferred < taking.waited;
        let served = if came { taking.asked_for.saturating_sub(taking.again) } else { 0 };
        taking.pause = match (served, taking.again) {
            // One that came early says nothing of how long to wait.
            (0, _) if taking.early => taking.pause.max(PAUSE_FIRST),
            (0, _) => taking.pause.times(2).clamp(PAUSE_FIRST, PAUSE_MOST),
            (_, 0) => Span::ZERO,
            _ => PAUSE_FIRST,
        };
        taking.most = u16::try_from(served).unwrap_or(MOST).saturating_mul(2).clamp(1, MOST);
        taking.next = taking.pause.from(now);
        (taking.vain, taking.early) = (served == 0, false);
    }

    /// A site has answered: it has a free place now. Sites that answer others all the time are no reason to read the disk all the
    /// time, if nothing of it could be served just now.
    pub(super) fn may_take_up(&mut self, now: Mono) {
        let taking = &mut self.taking;
        let soonest = if taking.vain { PAUSE_FIRST.from(taking.last).max(now) } else { now };
        if soonest < taking.next {
            (taking.next, taking.early) = (soonest, true);
        }
    }

    /// What kept them on the disk may be over: the box may run again, a site is asked again, or its budget is another one.
    pub(super) fn take_up_soon(&mut self, now: Mono) {
        if now < self.taking.next {
            (self.taking.next, self.taking.early) = (now, true);
        }
    }

    /// Asks for what waits on the disk if there is room.
    pub(super) fn take_up(&mut self, now: Mono) {
        if self.taking_deadline().is_some_and(|due| due <= now) {
            let most = if self.taking.pause == Span::ZERO { MOST } else { self.taking.most.max(1) };
            let taking = &mut self.taking;
            (taking.asked, taking.waited, taking.again) = (true, self.deferred, 0);
            taking.last = now;
            taking.asked_for = self.deferred.min(most.into());
            self.push(Action::TakeUp { most });
        }
    }

    /// When what waits on the disk is asked for.
    pub(super) fn taking_deadline(&self) -> Option<Mono> {
        if self.deferred == 0 || self.taking.asked || self.gate != Gate::Serving {
            return None;
        }
        let is_calm = self.table.held().places <= u64::from(self.policy.lanes.max(1));
        // A box that is never calm looks now and then whether another site can serve them.
        Some(if is_calm { self.taking.next } else { PAUSE_MOST.from(self.taking.next) })
    }
}
