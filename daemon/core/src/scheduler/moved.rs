//! A model that can be run in several ways is run in another one, or another version takes over: what waits moves along, what
//! runs may end.

use crate::action::Action;
use crate::id::{ModelId, RequestId};
use crate::queue::Slot;
use crate::request::Work;
use crate::scheduler::Scheduler;
use crate::scheduler::table::Stage;

impl Scheduler {
    pub(super) fn moved(&mut self, from: ModelId, to: ModelId) {
        let (from, to) = (self.model_index(from), self.model_index(to));
        if from == to {
            return;
        }
        // Those that it took over from hand their work on to the newest, and it hands on nothing any more.
        for model in &mut self.models {
            if model.heir == Some(from) {
                model.heir = Some(to);
            }
        }
        (self.models[from].heir, self.models[to].heir) = (Some(to), None);
        for slot in self.table.places() {
            if self.table.get(slot).is_some_and(|live| live.model == from && live.waits()) {
                self.move_waiting(slot, to);
            }
        }
    }

    /// One request goes to another model. What was decoded for its own stays there: to decode it again costs more than it saves.
    pub(super) fn follow(&mut self, id: RequestId, to: ModelId) {
        let to = self.model_index(to);
        let Some(slot) = self.table.find(id) else { return };
        if self.table.get(slot).is_some_and(|live| live.model != to && live.waits() && !live.on_host()) {
            self.move_waiting(slot, to);
        }
    }

    fn move_waiting(&mut self, slot: Slot, to: usize) {
        let Some(live) = self.table.get(slot) else { return };
        match live.stage {
            // What is being decoded is known to its host by now; it moves when that is over.
            Stage::Decoding => return,
            // A parent waits for no model, but further chunks of it will.
            Stage::Gathering if self.is_divided(live) => return self.table.change(slot, |live| live.model = to),
            Stage::Gathering => return,
            // Should it come back, it comes back to there.
            Stage::Away | Stage::Checking => return self.table.change(slot, |live| live.model = to),
            Stage::Undecoded | Stage::Queued | Stage::Running => {}
        }
        let (id, held) = (live.id, live.on_host());
        self.leave_line(slot);
        if held {
            self.push(Action::Forget { id });
        }
        self.table.change(slot, |live| {
            live.model = to;
            if live.work == Work::Encoded {
                live.stage = Stage::Undecoded;
            }
        });
        self.reprice(slot);
        self.enter_line(slot);
    }

    /// A payload was decoded for a model that another one took over from meanwhile: it is decoded again there.
    pub(super) fn decode_elsewhere(&mut self, slot: Slot) {
        let Some(live) = self.table.get(slot) else { return };
        let (id, to) = (live.id, self.models[live.model].heir.unwrap_or(live.model));
        self.push(Action::Forget { id });
        self.table.change(slot, |live| (live.model, live.stage) = (to, Stage::Undecoded));
        self.reprice(slot);
        self.enter_line(slot);
    }
}
