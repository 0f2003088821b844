//! What waits on the disk is brought back when something can serve it. Must not know what it is: the shell brings the most
//! urgent ones, and each is routed like any other that arrives.

use crate::action::Action;
use crate::scheduler::{Gate, Scheduler};
use crate::units::{Mono, Span};

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
    /// How many waited when they were asked for.
    waited: u64,
    /// Not before then.
    next: Mono,
    pause: Span,
}

impl Scheduler {
    pub(super) fn deferred(&mut self, waiting: u64) {
        self.deferred = waiting;
    }

    /// What was asked for is here.
    pub(super) fn taken_up(&mut self, now: Mono) {
        let taking = &mut self.taking;
        taking.asked = false;
        // As many as before: none of them could be served.
        taking.pause = if self.deferred < taking.waited {
            Span::ZERO
        } else {
            taking.pause.times(2).clamp(PAUSE_FIRST, PAUSE_MOST)
        };
        taking.next = taking.pause.from(now);
    }

    /// Asks for what waits on the disk if there is room.
    pub(super) fn take_up(&mut self, now: Mono) {
        if self.taking_deadline().is_some_and(|due| due <= now) {
            (self.taking.asked, self.taking.waited) = (true, self.deferred);
            self.push(Action::TakeUp { most: MOST });
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
