//! Requests end: settled once, whatever the way. Expiry, cancellation, drain.

use crate::action::{Action, Change};
use crate::id::{ClientId, RequestId};
use crate::queue::Slot;
use crate::scheduler::table::{Role, Stage};
use crate::scheduler::{Gate, Scheduler};
use crate::units::Mono;
use crate::verdict::{Outcome, Reason};

impl Scheduler {
    pub(super) fn cancelled(&mut self, id: RequestId) {
        if let Some(slot) = self.table.find(id) {
            self.drop_live(slot, Outcome::Cancelled);
        }
    }

    pub(super) fn cut_off(&mut self, id: RequestId) {
        if let Some(slot) = self.table.find(id) {
            self.give_own(slot, Outcome::Shed(Reason::Draining));
        }
    }

    pub(super) fn client_left(&mut self, client: ClientId) {
        while let Some(slot) = self.table.any_of(client) {
            self.drop_live(slot, Outcome::Cancelled);
        }
    }

    /// Drops what has reached its deadline, wherever it is: a reply would have no value any more.
    pub(super) fn expire(&mut self, now: Mono) {
        while let Some((key, slot)) = self.due.first() {
            if key.deadline > now {
                break;
            }
            self.note_expired(now, slot);
            self.give_own(slot, Outcome::Expired);
        }
    }

    /// Ends a request before its work is done, and tells the host if it holds something for it.
    pub(super) fn drop_live(&mut self, slot: Slot, outcome: Outcome) {
        let Some(live) = self.table.get(slot) else { return };
        if live.on_host() {
            let (id, model) = (live.id, live.model);
            self.models[model].unwanted(id);
            self.push(Action::Abort { id });
        }
        self.settle(slot, outcome);
    }

    /// The one way out of the table.
    pub(super) fn settle(&mut self, slot: Slot, outcome: Outcome) {
        self.leave_line(slot);
        self.look_at(slot, None);
        self.wait_no_longer(slot);
        let Some(live) = self.table.remove(slot) else { return };
        self.call_off(&live);
        self.models[live.model].running -= usize::from(live.stage == Stage::Running);
        self.dues.remove(&mut self.due, live.key.by_deadline());
        match live.role {
            Role::Single => self.push_settle(live.id, outcome),
            Role::Parent(place) => {
                self.drop_children(live.id, place);
                self.push_settle(live.id, outcome);
            }
            Role::Child(parent) | Role::Chunk(parent) => {
                self.push_settle(live.id, outcome);
                self.child_settled(parent, live.rows(), outcome);
            }
        }
    }

    pub(super) fn drain(&mut self) {
        match self.gate {
            Gate::Serving => {
                self.gate = Gate::Draining;
                self.push(Action::Announce(Change::Draining));
            }
            Gate::Draining => {}
            // Whoever asks again waits for the answer again.
            Gate::Drained => self.push(Action::Announce(Change::Drained)),
        }
    }

    pub(super) fn resume(&mut self) {
        if self.gate != Gate::Serving {
            self.gate = Gate::Serving;
            self.push(Action::Announce(Change::Serving));
        }
    }

    pub(super) fn announce_drained(&mut self) {
        if self.gate == Gate::Draining && self.table.len() == 0 {
            self.gate = Gate::Drained;
            self.push(Action::Announce(Change::Drained));
        }
    }
}
