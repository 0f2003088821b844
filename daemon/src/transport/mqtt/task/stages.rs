//! What the driver says of itself, when the task is to end and whether it may, and when it wakes next.

use std::pin::Pin;
use std::time::Duration;

use edge_core::Mono;
use tokio::time::Sleep;

use super::{GOODBYE, Stage, Stop, Task};
use crate::handle::Message;
use crate::transport::mqtt::bindings::frame;

impl Task {
    /// The status changed, which the next turn of the loop looks at; or there is no driver any more.
    pub(super) fn on_status(&mut self, driver_is_gone: bool) -> bool {
        if driver_is_gone && !self.is_stopping() {
            // Without a driver nothing can be answered.
            self.on_stop(None);
        }
        self.follow_group(self.clock.now());
        self.follow_fleet(self.clock.now());
        self.follow_siblings(self.clock.now());
        driver_is_gone
    }

    pub(super) fn on_stop(&mut self, asked: Option<Stop>) {
        let limit = asked.map_or(Duration::ZERO, |stop| stop.limit);
        self.stage = Stage::Stopping(self.clock.now().after(limit));
        self.session.stop();
        self.next_attempt = None;
        self.follow_group(self.clock.now());
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping(_) | Stage::Leaving(_))
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.status.borrow().state.as_str(), "draining" | "drained")
    }

    pub(super) fn is_warm(&self) -> bool {
        !matches!(self.status.borrow().state.as_str(), "" | "starting")
    }

    /// Goes through the last stages.
    pub(super) fn is_over(&mut self, now: Mono) -> bool {
        if let Stage::Stopping(limit) = self.stage {
            let connected = self.speaker.is_connected();
            // Who waits for another box waits for this link.
            let done = if connected {
                self.session.is_drained() && self.siblings.is_idle() && self.binder.is_idle()
            } else {
                self.session.is_answered() && self.binder.is_idle()
            };
            if !done && now < limit {
                return false;
            }
            if !connected {
                return true;
            }
            self.speaker.say_offline(&mut self.session);
            self.stage = Stage::Leaving(now.after(GOODBYE));
            self.drive(now);
        }
        match self.stage {
            Stage::Leaving(limit) => self.link.is_none() || self.session.is_drained() || now >= limit,
            Stage::Waiting | Stage::Serving | Stage::Stopping(_) => false,
        }
    }

    pub(super) fn arm(&self, mut timer: Pin<&mut Sleep>, armed: &mut Option<Mono>) {
        let end = match self.stage {
            Stage::Stopping(at) | Stage::Leaving(at) => Some(at),
            Stage::Waiting | Stage::Serving => None,
        };
        let own =
            [self.next_of_binder(), self.journal_due(), self.notes_due, self.siblings.next_due(), end, self.home_due()];
        let due = [self.session.next_tick(), self.next_attempt, self.speaker.next_due()];
        let next = due.into_iter().chain(own).flatten().min().unwrap_or(Mono::MAX);
        if *armed != Some(next) {
            timer.as_mut().reset(self.clock.instant(next));
            *armed = Some(next);
        }
    }

    /// Hands the notes to the driver; without room there they are let go.
    pub(super) fn tell_notes(&mut self) {
        self.notes_due = None;
        if !self.notes.is_empty() && !self.handle.offer(Message::Notes(std::mem::take(&mut self.notes))) {
            tracing::debug!("no room for notes");
        }
    }

    /// Hands the reports to the driver; without room there they wait here.
    pub(super) fn tell_reports(&mut self) {
        if !self.reports.is_empty() && self.handle.offer(Message::Reports(self.reports.clone())) {
            self.reports.clear();
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        frame::ms((self.wall)())
    }
}
