//! Reads the state without changing it.

use core::time::Duration;

use crate::classify;
use crate::id::{ModelId, SiteId};
use crate::queue::Key;
use crate::request::RequestMeta;
use crate::route::here;
use crate::scheduler::model::Model;
use crate::scheduler::sites::SiteState;
use crate::scheduler::table::Stage;
use crate::scheduler::{Gate, Scheduler};
use crate::site::{Site, Sites};
use crate::snapshot::{Explanation, Judged, ModelSnapshot, SiteSnapshot, Snapshot};
use crate::spill::{Ask, cost, judge};
use crate::units::{Mono, Span};

/// A wait that is no shorter is as good as for ever: no deadline of a request that somebody waits for is so long.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Scheduler {
    /// The state in numbers. Allocates the list of models; meant for a few times a second.
    pub fn snapshot(&self) -> Snapshot {
        let held = self.table.held();
        let waiting = usize::try_from(held.places).unwrap_or(usize::MAX);
        let running = self.models.iter().map(|model| model.running).sum();
        let live = self.table.places().filter_map(|slot| self.table.get(slot));
        let away = live.filter(|live| live.stage == Stage::Away).count();
        #[expect(clippy::cast_precision_loss, reason = "at most 65,535,000")]
        let service_rate = self.rates.run.milli_workers() as f64 / 1000.0;
        Snapshot {
            waiting,
            waiting_bytes: held.bytes,
            preparing: self.decoding.len(),
            running,
            stages: self.table.len().saturating_sub(waiting + running + away),
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
            sites: self.site_snapshots(),
            fallbacks: self.taken,
            deferred: self.deferred,
            away,
            wait: self.newcomer_waits().duration().min(LONGEST_WAIT),
        }
    }

    fn site_snapshots(&self) -> Vec<SiteSnapshot> {
        let now = self.clock;
        let one = |(place, state): (usize, &SiteState)| SiteSnapshot {
            site: SiteId(u8::try_from(place).unwrap_or(u8::MAX)),
            breaker: state.breaker.state(),
            off: state.off,
            open: state.places.open(),
            waiting: state.places.waiting().len(),
            spent: state.spent(),
            likely: state.latency.quantile(now, 0, 500).duration(),
            sure: state.latency.quantile(now, 0, 950).duration(),
            observed: state.latency.count(now, 0),
            failed_permille: state.latency.failed_permille(now),
            done: state.done,
            failed: state.failed,
            last_fault: state.last_fault,
        };
        self.sites.iter().take(self.policy.sites.len()).enumerate().map(one).collect()
    }

    /// What would become of a request that arrived now, and all that this was decided by. Changes nothing.
    pub fn explain(&self, now: Mono, meta: &RequestMeta) -> Explanation {
        let model = self.models.iter().position(|model| model.id == meta.model);
        let of_model = model.and_then(|index| self.models[index].default_deadline);
        let deadline = classify::deadline(meta, now, of_model, &self.policy);
        let class = classify::class(meta, &self.policy);
        let key = Key { priority: meta.priority, share: meta.share, deadline, sequence: self.sequence };
        let size = model.and_then(|index| self.size_of_chunks(index, meta));
        let seen = match (model, size) {
            (Some(index), Some(size)) => self.seen_in_chunks(now, meta, key, index, size),
            _ => self.seen(now, meta, key, model),
        };
        let ask = Ask {
            class,
            terms: &meta.terms,
            bytes: meta.bytes,
            slack: Span::between(now, deadline),
            tried: Sites::NONE,
        };
        let judged = |(id, site): (SiteId, &Site)| {
            let seen = self.site_seen(now, id, meta.bytes, meta.terms.tokens);
            Judged {
                site: id,
                seen,
                cost: cost(site, meta.terms.tokens, seen.answer_tokens),
                answer: judge(id, site, &seen, &ask),
            }
        };
        let verdict = self.decide(now, meta, class, key, &seen, Sites::NONE);
        let waits = self.wait_of(now, key, &ask, verdict);
        Explanation {
            verdict,
            here: here(meta, deadline, now, &seen, &self.policy),
            class,
            slack: Span::between(now, deadline).duration(),
            wait: seen.until_served().duration(),
            service: seen.service.map(Span::duration),
            predicted: seen.predicted().map(Span::duration),
            waits: waits.map(Span::duration),
            sites: (0..32_u8).map(SiteId).zip(&self.policy.sites).map(judged).collect(),
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
