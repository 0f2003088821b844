//! Heat and power: samples go to the core, what its governor says goes to the outside. Keeps the last hour for charts, and
//! who holds the device. Decides nothing.

mod sample;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use edge_core::governor::{Cause, Input, Regime, ZoneView};
use edge_core::{Event, Mono, Snapshot};
use edge_wire::dto::Problem;
use edge_wire::governor::{
    CapacityInfo, GovernedZone, GovernorPoint, GovernorReport, GovernorStatus, RegimeChange, SlowModel, ThermalModel,
};
use tokio::sync::watch;

use super::Driver;
use super::clock::boot_time;
use crate::request::Failure;
use crate::telemetry::sensed::Sensed;

/// Between two points of the history.
const EVERY: Duration = Duration::from_secs(10);
/// Points and changes that are kept: an hour, and a day's story.
const POINTS: usize = 360;
const CHANGES: usize = 50;
/// A difference between the two clocks that is no rounding.
const ASLEEP: Duration = Duration::from_secs(5);
/// Samples come every second; so much later they do not.
const SILENT: Duration = Duration::from_secs(3);
/// Who may hold the device at the same time.
const HOLDS: usize = 16;
/// Longest reason of a hold, characters.
const WHY: usize = 200;

/// What belongs to heat.
pub(super) struct Heat {
    samples: Option<watch::Receiver<Arc<Sensed>>>,
    names: sample::Names,
    last: Option<Arc<Sensed>>,
    /// When the last sample came, by both clocks, and when silence was last told.
    heard: Mono,
    since_boot: Duration,
    silent: Mono,
    points: VecDeque<(Mono, GovernorPoint)>,
    next_point: Mono,
    counted: (u64, u64),
    changes: VecDeque<(Mono, RegimeChange)>,
    holds: BTreeMap<u64, String>,
    next_hold: u64,
}

impl Heat {
    pub fn new(samples: Option<watch::Receiver<Arc<Sensed>>>) -> Heat {
        Heat {
            samples,
            names: sample::Names::default(),
            last: None,
            heard: Mono::default(),
            since_boot: Duration::ZERO,
            silent: Mono::default(),
            points: VecDeque::with_capacity(POINTS),
            next_point: Mono::default(),
            counted: (0, 0),
            changes: VecDeque::new(),
            holds: BTreeMap::new(),
            next_hold: 1,
        }
    }

    /// The next sample; waits for ever if nobody takes any.
    pub async fn next(&mut self) -> Arc<Sensed> {
        if let Some(samples) = &mut self.samples
            && samples.changed().await.is_ok()
        {
            return samples.borrow_and_update().clone();
        }
        self.samples = None;
        std::future::pending().await
    }
}

impl Driver {
    /// A sample of the machine.
    pub(super) fn on_sensed(&mut self, sensed: Arc<Sensed>) {
        self.now = self.clock.now();
        // The driver's clock stands still while the machine sleeps; this one does not.
        let since_boot = boot_time();
        let passed = since_boot.saturating_sub(self.heat.since_boot);
        let slept = passed.saturating_sub(self.now.since(self.heat.heard));
        let slept = if slept < ASLEEP || self.heat.last.is_none() { Duration::ZERO } else { slept };
        (self.heat.since_boot, self.heat.heard) = (since_boot, self.now);
        let sample = sample::sample(&mut self.heat.names, &sensed, self.heat.last.as_deref(), slept);
        self.heat.last = Some(sensed);
        self.core.handle(self.now, Event::Sampled(Box::new(sample)));
        if self.now >= self.heat.next_point {
            self.note_point();
        }
    }

    /// When the governor is to be told that no sample came.
    pub(super) fn silence_due(&self) -> Option<Mono> {
        self.heat.last.as_ref().map(|_| self.heat.heard.max(self.heat.silent).after(SILENT))
    }

    /// No sample has come for a while, as when reading a sensor hangs: that counts as silence of all of them.
    pub(super) fn note_silence(&mut self) {
        let due = self.silence_due().is_some_and(|due| due <= self.now);
        if let Some(last) = self.heat.last.as_deref().filter(|_| due) {
            let sample = sample::silence(&mut self.heat.names, last);
            self.heat.silent = self.now;
            self.core.handle(self.now, Event::Sampled(Box::new(sample)));
            self.act();
        }
    }

    fn note_point(&mut self) {
        let snapshot = self.core.snapshot();
        let tight = tightest(&snapshot);
        let (done, refused) = (self.counters.done, self.counters.refused + self.counters.shed);
        let seconds = self.heat.points.back().map_or(10.0, |(at, _)| self.now.since(*at).as_secs_f64()).max(1.0);
        let rate = |now: u64, before: u64| to_float(now.saturating_sub(before)) / seconds;
        let point = GovernorPoint {
            ago_ms: 0,
            regime: snapshot.regime.regime.as_str().into(),
            temp_c: tight.map(|zone| tidy(zone.temp)),
            trip_c: tight.map(|zone| zone.trip),
            duty: tidy(snapshot.capacity.duty.get()),
            load: tidy(snapshot.used),
            power_w: self.heat.last.as_deref().and_then(sample::power).map(tidy),
            done_per_s: tidy(rate(done, self.heat.counted.0)),
            refused_per_s: tidy(rate(refused, self.heat.counted.1)),
            waiting: u32::try_from(snapshot.waiting).unwrap_or(u32::MAX),
        };
        self.heat.counted = (done, refused);
        keep(&mut self.heat.points, POINTS, (self.now, point));
        self.heat.next_point = self.now.after(EVERY);
    }

    /// The regime changed.
    pub(super) fn enter_regime(&mut self, from: Regime, to: Regime) {
        let reason = words::reason(&self.core.snapshot(), &self.heat.names, self.is_simulated_machine());
        let (before, now) = (from.as_str(), to.as_str());
        match to {
            Regime::Critical => tracing::error!(from = before, to = now, %reason, "regime"),
            Regime::Throttled | Regime::Slow => tracing::warn!(from = before, to = now, %reason, "regime"),
            Regime::Boot | Regime::Nominal | Regime::Blind => {
                tracing::info!(from = before, to = now, %reason, "regime")
            }
        }
        let change = RegimeChange { ago_ms: 0, from: before.into(), to: now.into(), reason };
        keep(&mut self.heat.changes, CHANGES, (self.now, change));
        // Whoever watches hears of it at once.
        self.publish();
    }

    fn is_simulated_machine(&self) -> bool {
        self.heat.last.as_ref().is_some_and(|sensed| !sensed.simulated.is_empty())
    }

    /// Somebody reserves the device; the number is for letting go of it.
    pub(super) fn hold(&mut self, why: &str) -> Result<u64, Failure> {
        let why = why.trim();
        let length = why.chars().count();
        if length == 0 || length > WHY || why.chars().any(char::is_control) {
            return Err(Failure::invalid(format!(
                "why: {length} characters: takes 1 to {WHY}, none of them a control character"
            )));
        }
        if self.heat.holds.len() >= HOLDS {
            return Err(Failure::invalid(format!("why: the device is held {HOLDS} times already: takes at most that")));
        }
        let id = self.heat.next_hold;
        self.heat.next_hold += 1;
        self.heat.holds.insert(id, why.to_owned());
        tracing::warn!(why, "the device is held");
        self.core.handle(self.now, Event::Held(true));
        self.touch();
        Ok(id)
    }

    /// Whoever held it let go.
    pub(super) fn release_hold(&mut self, id: u64) {
        if let Some(why) = self.heat.holds.remove(&id) {
            tracing::info!(why, "the device is not held any more");
        }
        if self.heat.holds.is_empty() {
            self.core.handle(self.now, Event::Held(false));
        }
        self.touch();
    }

    pub(super) fn held(&self) -> String {
        self.heat.holds.values().cloned().collect::<Vec<_>>().join("; ")
    }

    /// What the governor says.
    pub(super) fn governor_status(&self, snapshot: &Snapshot) -> GovernorStatus {
        let tight = tightest(snapshot);
        let limits = &self.config.policy;
        GovernorStatus {
            regime: snapshot.regime.regime.as_str().into(),
            reason: words::reason(snapshot, &self.heat.names, self.is_simulated_machine()),
            since_ms: millis(self.now.since(snapshot.regime.since.max(self.started))),
            headroom_c: tight.map(|zone| tidy((zone.trip - zone.temp).max(0.0))),
            tightest: tight.map(|zone| self.heat.names.name(zone.id).to_owned()).unwrap_or_default(),
            capacity: CapacityInfo {
                lanes: snapshot.capacity.lanes.into(),
                lanes_max: limits.lanes.into(),
                batch: snapshot.capacity.batch.into(),
                batch_max: limits.max_batch.into(),
                duty: tidy(snapshot.capacity.duty.get()),
                sustainable: snapshot.sustainable.map(tidy),
                held: self.held(),
            },
            load: tidy(snapshot.used),
            input: match snapshot.input {
                Input::Power => "power".into(),
                Input::Duty => "duty".into(),
            },
            input_now: tidy(snapshot.level),
            input_from: match (snapshot.input, &self.heat.last) {
                (Input::Power, Some(sensed)) => sample::power_source(sensed).into(),
                _ => String::new(),
            },
            zones: snapshot.zones.iter().map(|zone| self.governed(zone)).collect(),
            slow: self.slow(snapshot),
        }
    }

    fn governed(&self, zone: &ZoneView) -> GovernedZone {
        GovernedZone {
            name: self.heat.names.name(zone.id).into(),
            temp_c: tidy(zone.temp),
            doubt: zone.doubt.map(|doubt| words::doubt(doubt).into()).unwrap_or_default(),
            trip_c: zone.trip,
            reset_c: tidy(zone.reset),
            target_c: tidy(zone.target),
            ahead_c: zone.ahead.map(tidy),
            steady_c: zone.steady.map(tidy),
            trip_in_s: zone.trip_in_s.map(tidy),
            model: ThermalModel {
                trusted: zone.trusted,
                time_constant_s: tidy(zone.time_constant_s),
                gain_c: tidy(zone.gain),
                rest_c: tidy(zone.rest),
                error_c: zone.error.map(tidy),
                seen_s: tidy(zone.seen_s),
            },
        }
    }

    /// Models whose runs take longer than planned.
    fn slow(&self, snapshot: &Snapshot) -> Vec<SlowModel> {
        let cause = match snapshot.regime.cause {
            Cause::Late(clue) => words::clue(clue),
            _ => words::clue(None),
        };
        let late = snapshot.models.iter().filter_map(|model| Some((model.model, model.late?)));
        late.filter_map(|(id, factor)| {
            let model = self.models.get(id)?;
            Some(SlowModel { model: model.label(), factor: tidy(factor), cause: cause.into() })
        })
        .collect()
    }

    /// That nothing runs for heat, or that nothing is known of it any more.
    pub(super) fn heat_problem(&self, snapshot: &Snapshot) -> Option<Problem> {
        let stands = snapshot.capacity.lanes == 0 && !snapshot.held;
        let blind = snapshot.regime.cause == Cause::Silent;
        (stands || blind).then(|| Problem {
            subject: "heat".into(),
            what: words::reason(snapshot, &self.heat.names, self.is_simulated_machine()),
            remedy: match blind {
                true => "look at `edgectl governor` and below /sys/class/thermal: no thermometer answers any more".into(),
                false => "let the box cool: clear fan, filter and vents; `edgectl governor` says what is known and what is assumed".into(),
            },
        })
    }

    /// The same with its history.
    pub(super) fn governor_report(&self) -> GovernorReport {
        let ago = |at: Mono| millis(self.now.since(at));
        GovernorReport {
            node: self.config.node.clone(),
            simulated: self.outside.library.is_none() || self.is_simulated_machine(),
            now: self.governor_status(&self.core.snapshot()),
            history: self
                .heat
                .points
                .iter()
                .map(|(at, point)| GovernorPoint { ago_ms: ago(*at), ..point.clone() })
                .collect(),
            changes: self
                .heat
                .changes
                .iter()
                .map(|(at, change)| RegimeChange { ago_ms: ago(*at), ..change.clone() })
                .collect(),
        }
    }
}

/// The thermometer that is nearest to its trip.
fn tightest(snapshot: &Snapshot) -> Option<&ZoneView> {
    snapshot.zones.iter().min_by(|a, b| (a.trip - a.temp).total_cmp(&(b.trip - b.temp)))
}

fn keep<T>(ring: &mut VecDeque<T>, most: usize, item: T) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Three digits after the point are more than any sensor has.
fn tidy(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts for people")]
fn to_float(count: u64) -> f64 {
    count as f64
}
