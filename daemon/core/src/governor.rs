//! Decides how much the box may run now, so that it can keep it: the sole author of [`Capacity`]. Pure: a [`Sample`] and a
//! time in, a capacity with a regime and its reason out. Must not know requests, queues or models.
//!
//! Terms. *Duty* is the share of the time of all the policy's lanes in which they run. A *trip* is where the machine slows
//! itself down, at a moment nobody chose; the *target* is a margin below it. *Sustainable* is the duty whose steady state is
//! the target; *capacity* may be more for as long as the box is cooler than that: what is allowed is the most that does not
//! pass the target within a minute, asked anew every second, which comes down to what is sustainable as the target comes
//! near.
//!
//! ```text
//!   sample ─► doubt ─► what to go by ─► model (thermal) ─► most input ─► draw ─► duty ─┐
//!                               └─► until there is a model: by distance ────────────────┤ least ─► capacity
//!   over-current, power caps ─► ceiling ─────────────────────────────────────────────────┤
//!   somebody holds the box ──────────────────────────────────────────────────────────────┘
//! ```
//!
//! What is old, missing or implausible only lowers it (invariant 5).

pub mod ceiling;
pub mod doubt;
pub mod draw;
pub mod regime;
pub mod rls;
pub mod sample;
pub mod thermal;
pub mod zone;

use crate::policy::{Limits, Policy};
use crate::units::{Kelvin, Mono, Ratio, Span};

use ceiling::{Ceiling, Cut};
pub use doubt::Doubt;
use draw::Draw;
pub use regime::{Cause, Regime, State};
use regime::{Signs, next};
pub use sample::{Clue, Sample, ZoneId, ZoneSample};
use zone::Zone;

/// Thermometers that are followed at most; more than any board has.
const ZONES: usize = 64;
/// A large input, watts.
const WATTS: f64 = 20.0;
/// Share of what a busy box takes that is there for the work, until it is known.
const WORK: f64 = 0.75;
/// Readings that are this far apart have nothing to do with each other, seconds: the box slept.
const APART_S: f64 = 30.0;
/// After this time all of them are believed, if all of them fell at once, seconds.
const AGREED_S: f64 = 30.0;
/// How much duty may be given back in a second: with room above, and near the target, where it would follow noise.
const RISE: (f64, f64) = (0.05, 0.02);
/// A fall by less than this share is a small one, and this part of it is followed in a second.
const SMALL: f64 = 0.15;
const SMALL_PART: f64 = 0.3;
/// Less than this is not worth a batch now and then.
const LEAST: f64 = 0.01;
/// Time of lanes that may be used at once after a rest: with room above, and near the target, where every burst shows.
const BURST: (Span, Span) = (Span::from_millis(1000), Span::from_millis(100));
/// From this distance to the target on bursts are short, kelvin.
const NEAR: f64 = 5.0;

/// What may run now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Lanes at the same time; 0 if nothing may run.
    pub lanes: u16,
    /// Largest batch.
    pub batch: u16,
    /// Share of the time of all the policy's lanes.
    pub duty: Ratio,
    /// Lane time that may be used at once after a rest.
    pub burst: Span,
}

impl Capacity {
    /// All that the policy allows.
    pub fn full(policy: &Policy) -> Capacity {
        Capacity { lanes: policy.lanes.max(1), batch: policy.max_batch.max(1), duty: Ratio::ONE, burst: BURST.0 }
    }
}

/// What heats, as far as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A power rail.
    Power,
    /// The lanes' time.
    Duty,
}

impl Input {
    fn scale(self) -> f64 {
        match self {
            Input::Power => WATTS,
            Input::Duty => 1.0,
        }
    }
}

/// One thermometer, as people are shown it. Temperatures in degrees Celsius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZoneView {
    /// Which.
    pub id: ZoneId,
    /// What is gone by.
    pub temp: f64,
    /// Why that is not the reading.
    pub doubt: Option<Doubt>,
    /// Where the machine slows down.
    pub trip: f64,
    /// Where a regime that it caused ends.
    pub reset: f64,
    /// What is aimed below.
    pub target: f64,
    /// In a minute at the present load.
    pub ahead: Option<f64>,
    /// In the end at the present load.
    pub steady: Option<f64>,
    /// Seconds until the trip at the present load; `None` if that is never, or not known.
    pub trip_in_s: Option<f64>,
    /// Whether the model is relied on.
    pub trusted: bool,
    /// Seconds until 63% of a lasting change is there.
    pub time_constant_s: f64,
    /// Kelvin per unit of input in the end.
    pub gain: f64,
    /// Temperature without any input.
    pub rest: f64,
    /// Typical error of a prediction a minute ahead, kelvin.
    pub error: Option<f64>,
    /// Seconds of readings behind it.
    pub seen_s: f64,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Governor {
    zones: Vec<Zone>,
    input: Input,
    /// What heats now, and as a mean over ten seconds.
    now: f64,
    level: f64,
    draw: Draw,
    ceiling: Ceiling,
    state: State,
    last: Option<Mono>,
    /// Smoothed use of the lanes.
    used: f64,
    duty: f64,
    sustainable: Option<f64>,
    /// The thermometer that allows least, if one allows less than all.
    binding: Option<ZoneId>,
    held: bool,
    slow: Option<Option<Clue>>,
    capacity: Capacity,
}

impl Governor {
    /// A governor that has seen nothing: all that the policy allows.
    pub fn new(policy: &Policy) -> Governor {
        Governor {
            zones: Vec::new(),
            input: Input::Duty,
            now: 0.0,
            level: 0.0,
            draw: Draw::default(),
            ceiling: Ceiling::default(),
            state: State { regime: Regime::Boot, cause: Cause::NoSample, since: Mono::default() },
            last: None,
            used: 0.0,
            duty: 1.0,
            sustainable: None,
            binding: None,
            held: false,
            slow: None,
            capacity: Capacity::full(policy),
        }
    }

    /// What may run now.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// In which regime the box is, and why.
    pub fn state(&self) -> State {
        self.state
    }

    /// The duty that could be used for ever; `None` until it is known.
    pub fn sustainable(&self) -> Option<f64> {
        self.sustainable
    }

    /// Share of the lanes' time that was used over the last ten seconds.
    pub fn used(&self) -> f64 {
        self.used
    }

    /// What heats.
    pub fn input(&self) -> Input {
        self.input
    }

    /// How much of it there is: watts, or the share of the lanes' time.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Every thermometer as it is seen, by `margin`.
    pub fn views(&self, margin: Kelvin) -> Vec<ZoneView> {
        let view = |zone: &Zone| {
            let trusted = zone.model.is_trusted();
            Some(ZoneView {
                id: zone.id,
                temp: zone.temp()?,
                doubt: zone.watch.doubt(),
                trip: zone.trip,
                reset: zone.reset(margin.get()),
                target: zone.target(margin.get()),
                ahead: trusted.then(|| zone.model.ahead(self.level, f64::from(thermal::HORIZON_S))),
                steady: trusted.then(|| zone.model.steady(self.level)),
                trip_in_s: if trusted { zone.model.time_to(self.level, zone.trip) } else { None },
                trusted,
                time_constant_s: zone.model.time_constant_s(),
                gain: zone.model.gain(),
                rest: zone.model.rest(),
                error: zone.model.error(),
                seen_s: zone.model.seen_s(),
            })
        };
        self.zones.iter().filter_map(view).collect()
    }

    /// Somebody reserves the box, or lets go of it. Acts at once.
    pub fn hold(&mut self, held: bool, policy: &Policy) {
        self.held = held;
        self.settle(policy);
    }

    /// Runs take longer than planned, with the likely cause; or not any more.
    pub fn set_slow(&mut self, slow: Option<Option<Clue>>) {
        self.slow = slow;
    }

    /// The policy has changed.
    pub fn set_policy(&mut self, policy: &Policy) {
        self.settle(policy);
    }

    /// A sample of `now`; since the last one the lanes were busy for `used` of all their time.
    pub fn sample(&mut self, now: Mono, sample: &Sample, used: f64, policy: &Policy) {
        let limits = &policy.governor;
        let seconds = self.last.map_or(1.0, |last| now.since(last).as_secs_f64()) + sample.slept.as_secs_f64();
        self.last = Some(now);
        // Two samples at once say no more than one, but what the second one alone tells (an over-current event) is not lost.
        let seconds = seconds.max(0.05);
        let slept = seconds > APART_S;
        let used = if slept { 0.0 } else { used.clamp(0.0, 1.0) };
        self.used += (used - self.used) * (seconds / 10.0).min(1.0);
        self.take_power(sample, used);
        let weight = if self.state.regime == Regime::Boot { 1.0 } else { (seconds / 10.0).min(1.0) };
        self.level += (self.now - self.level) * weight;
        self.take_zones(sample, seconds, used);
        let cuts = match sample {
            Sample { power_capped: true, .. } | Sample { over_current: 1.., .. } => Some(Cut::Power),
            Sample { throttled: true, .. } => Some(Cut::Heat),
            _ => None,
        };
        self.tell_company();
        self.ceiling.sample(now, cuts, self.used, seconds);
        let signs = self.signs(sample, limits);
        self.state = next(self.state, now, &signs);
        let wanted = self.wanted(limits);
        // Where no thermometer is believed, what was on its way up stays where it is.
        let wanted = if self.is_in_the_dark() { wanted.min(self.duty) } else { wanted };
        // Down at once, up step by step.
        let rise = if self.is_near(limits) { RISE.1 } else { RISE.0 };
        let fall = self.duty - wanted;
        // A small fall may be noise: a part of it at once, the rest if it stays.
        let part = if fall > 0.0 && fall < self.duty * SMALL { (SMALL_PART * seconds).min(1.0) } else { 1.0 };
        let down = self.duty - fall.max(0.0) * part;
        self.duty = if fall > 0.0 { down } else { wanted.min(self.duty + rise * seconds.min(APART_S)) }.max(0.0);
        self.settle(policy);
    }

    fn take_power(&mut self, sample: &Sample, used: f64) {
        let told = sample.power.map(|power| power.get());
        if told.is_some() && self.input == Input::Duty {
            // A rail says more than the lanes: other programs heat too.
            self.input = Input::Power;
            self.zones.clear();
        }
        // Hardware that slows itself down takes less for the same duty.
        if let Some(watts) = told.filter(|_| !sample.throttled && !sample.power_capped) {
            self.draw.learn(used, watts);
        }
        self.now = match self.input {
            Input::Duty => used,
            Input::Power => told.unwrap_or_else(|| self.draw.watts(used)),
        };
    }

    /// What heated before the lanes had work: the daemon has just started.
    fn before_work(&self, used: f64) -> f64 {
        match self.input {
            Input::Duty => 0.0,
            Input::Power => self.now * (1.0 - WORK * used),
        }
    }

    fn take_zones(&mut self, sample: &Sample, seconds: f64, used: f64) {
        let scale = self.input.scale();
        for zone in &mut self.zones {
            let told = sample.zones.iter().find(|told| told.id == zone.id);
            told.into_iter().for_each(|told| zone.set_trips(told));
            zone.take(told.and_then(|told| told.temp).map(|temp| temp.get()), seconds, self.now, scale);
        }
        for told in &sample.zones {
            if self.zones.len() < ZONES && !self.zones.iter().any(|zone| zone.id == told.id) {
                let mut zone = Zone::new(told, scale);
                zone.model.start(self.before_work(used));
                zone.take(told.temp.map(|temp| temp.get()), seconds, self.now, scale);
                self.zones.push(zone);
            }
        }
    }

    fn signs(&self, sample: &Sample, limits: &Limits) -> Signs {
        let margin = limits.margin.get();
        let hottest = |at: &dyn Fn(&Zone) -> f64| {
            let over = self.zones.iter().filter_map(|zone| Some((zone.id, zone.temp()? - at(zone))));
            over.filter(|(_, over)| *over >= 0.0).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
        };
        let blind = if self.zones.is_empty() {
            Some(Cause::NoThermometer)
        } else {
            self.zones.iter().all(Zone::is_lost).then_some(Cause::Silent)
        };
        let bound = limits.max_power.is_some_and(|most| self.draw.is_known() && self.draw.watts(1.0) > most.get());
        let power = self.ceiling.is_down().then_some(match sample {
            Sample { over_current: 1.., .. } => Cause::OverCurrent,
            Sample { throttled: true, .. } => Cause::HardwareHeat,
            _ => Cause::HardwarePower,
        });
        let near = hottest(&|zone| zone.target(margin) - 0.5);
        Signs {
            critical: hottest(&Zone::critical).map(Cause::TooHot),
            critical_holds: hottest(&|zone| zone.target(margin)).is_some(),
            blind,
            throttled: near
                .or(self.binding.filter(|_| self.duty < 0.95 && self.is_full()))
                .map(Cause::Hot)
                .or(power)
                .or((bound && self.is_full()).then_some(Cause::PowerBound)),
            throttled_holds: hottest(&|zone| zone.reset(margin)).is_some() || self.ceiling.is_down(),
            slow: self.slow.map(Cause::Late),
        }
    }

    /// Whether the lanes use what they may.
    fn is_full(&self) -> bool {
        self.used >= self.duty * 0.9
    }

    /// The duty that all of it allows.
    fn wanted(&mut self, limits: &Limits) -> f64 {
        let margin = limits.margin.get();
        let (input, draw) = (self.input, &self.draw);
        let duty = |most: f64| match input {
            Input::Duty => most,
            Input::Power => draw.duty(most),
        };
        let mut wanted: f64 = 1.0;
        let mut sustainable: Option<f64> = None;
        self.binding = None;
        for zone in &mut self.zones {
            let by_distance = zone.by_distance(margin);
            let modelled = zone.most(margin).map(duty);
            let allowed = zone.settle(modelled.unwrap_or(by_distance).clamp(0.0, 1.0));
            if allowed < wanted {
                (wanted, self.binding) = (allowed, Some(zone.id));
            }
            if let Some(keeps) = zone.sustainable(margin).map(duty) {
                let keeps = keeps.clamp(0.0, 1.0);
                sustainable = Some(sustainable.map_or(keeps, |other| other.min(keeps)));
            }
        }
        let bound = limits.max_power.filter(|_| draw.is_known()).map_or(1.0, |most| draw.duty(most.get()).max(0.0));
        self.sustainable = sustainable.map(|keeps| keeps.min(bound));
        wanted.min(self.ceiling.duty()).min(bound)
    }

    /// Tells each thermometer what the others say.
    fn tell_company(&mut self) {
        // One thermometer may fall at once by a fault; that all of them did is no fault of theirs.
        let fell = |zone: &Zone| zone.watch.doubt() == Some(Doubt::Fallen) && zone.watch.doubted_s() >= AGREED_S;
        if self.zones.len() > 1 && self.zones.iter().all(fell) {
            self.zones.iter_mut().for_each(|zone| zone.watch.believe());
        }
        let seen = |zone: &Zone| zone.is_seen().then(|| zone.temp()).flatten();
        for index in 0..self.zones.len() {
            let others = self.zones.iter().enumerate().filter(|(other, _)| *other != index);
            let hottest = others.filter_map(|(_, zone)| seen(zone)).reduce(f64::max);
            self.zones[index].set_company(hottest);
        }
    }

    /// Whether there are thermometers, and none is believed.
    fn is_in_the_dark(&self) -> bool {
        let mut read = self.zones.iter().filter(|zone| zone.temp().is_some()).peekable();
        read.peek().is_some() && read.all(|zone| !zone.is_seen())
    }

    /// Whether a thermometer is near its target.
    fn is_near(&self, limits: &Limits) -> bool {
        let margin = limits.margin.get();
        let room = self.zones.iter().filter_map(|zone| Some(zone.target(margin) - zone.temp()?));
        room.fold(f64::INFINITY, f64::min) < NEAR
    }

    /// Puts the capacity together.
    fn settle(&mut self, policy: &Policy) {
        let full = Capacity::full(policy);
        let duty = if self.held || self.state.regime == Regime::Critical { 0.0 } else { self.duty };
        let near = self.is_near(&policy.governor);
        self.capacity = if duty <= 0.0 {
            Capacity { lanes: 0, duty: Ratio::ZERO, ..full }
        } else {
            let duty = duty.clamp(LEAST, 1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and the policy's lanes"
            )]
            let lanes = (duty * f64::from(full.lanes)).ceil() as u16;
            // Power peaks grow with the batch.
            let batch = if self.ceiling.is_down() { full.batch.div_ceil(2) } else { full.batch };
            Capacity {
                lanes: lanes.clamp(1, full.lanes),
                batch,
                duty: Ratio::new(duty).unwrap_or(Ratio::ONE),
                burst: if near { BURST.1 } else { BURST.0 },
            }
        };
    }
}
