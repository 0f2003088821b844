//! Reads the state without changing it.

use core::time::Duration;

use crate::id::ModelId;
use crate::scheduler::model::Model;
use crate::scheduler::{Gate, Scheduler};
use crate::snapshot::{ModelSnapshot, Snapshot};
use crate::units::{Mono, Span};

impl Scheduler {
    /// The state in numbers. Allocates the list of models; meant for a few times a second.
    pub fn snapshot(&self) -> Snapshot {
        let held = self.table.held();
        let waiting = usize::try_from(held.places).unwrap_or(usize::MAX);
        let running = self.models.iter().map(|model| model.running).sum();
        #[expect(clippy::cast_precision_loss, reason = "at most 65,535,000")]
        let service_rate = self.rates.run.milli_workers() as f64 / 1000.0;
        Snapshot {
            waiting,
            waiting_bytes: held.bytes,
            preparing: self.decoding.len(),
            running,
            stages: self.table.len().saturating_sub(waiting + running),
            service_rate,
            draining: self.gate != Gate::Serving,
            capacity: self.capacity,
            regime: self.governor.state(),
            sustainable: self.governor.sustainable(),
            used: self.governor.used(),
            input: self.governor.input(),
            level: self.governor.level(),
            zones: self.governor.views(self.policy.governor.margin),
            held: self.is_held,
            models: self.models.iter().map(|model| self.model_snapshot(model)).collect(),
        }
    }

    fn model_snapshot(&self, model: &Model) -> ModelSnapshot {
        ModelSnapshot {
            model: model.id,
            waiting: usize::try_from(model.waiting(&self.lines)).unwrap_or(usize::MAX),
            running: model.running,
            service: model.times.guess(1, 1).map(Span::duration),
            batch: model.usual,
            done: model.done,
            late: model.late.late(self.clock),
        }
    }

    /// How long a batch of `rows` rows that cost `units` together would run by what is known at `now`; `None` if
    /// the model was not measured or not for long.
    pub fn estimate(&self, now: Mono, model: ModelId, rows: usize, units: u64) -> Option<Duration> {
        let model = self.models.iter().find(|place| place.id == model)?;
        model.times.current(now, rows, units).map(Span::duration)
    }
}
