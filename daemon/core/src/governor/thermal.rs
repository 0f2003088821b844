//! How one thermometer follows what heats, fitted while the box works. Must not know trips, capacity or requests.
//!
//! ```text
//!   T(t)  =  rest  +  g1 v1(t) + g2 v2(t) + g3 v3(t) + g4 v4(t)            dv/dt = (u - v) / tau
//!
//!   u      watts, or the share of the lanes' time
//!   v      the same, smoothed over 6 s, 45 s, 5 min and 33 min: chip, spreader, heatsink, case
//!   g      kelvin that follow in the end, each not negative
//!   rest   ambient temperature, and what other programs heat
//! ```
//!
//! That is a Foster network: what a chain of heat capacities and conductances answers to a step is a sum of exponentials
//! with positive weights, and time constants a factor of seven apart come near any of them. With the time constants fixed,
//! the model is linear in what is fitted, it is stable whatever is fitted, and what it is fitted on (the inputs) has no
//! noise. `rest` drifts from second to second, the gains hardly: so the filter follows a fan that fails or a door that
//! opens, and keeps what it knows of the box.

use super::rls::Rls;

/// Number of time constants.
const WAYS: usize = 4;
/// They, seconds.
const TAU: [f64; WAYS] = [6.0, 45.0, 300.0, 2000.0];
/// What a large input is assumed to heat at first, by each way, kelvin.
const FIRST: [f64; WAYS] = [10.0, 8.0, 8.0, 8.0];
/// Variances of that, and of the temperature at rest: boxes differ.
const SPREAD: [f64; WAYS + 1] = [100.0, 100.0, 100.0, 100.0, 900.0];
/// Drift a second: the gains in weeks, the rest by 0.03 K.
const DRIFT: [f64; WAYS + 1] = [1e-7, 1e-7, 1e-7, 1e-7, 1e-3];
/// Misses are smoothed over this, seconds; up to this they are noise, kelvin; beyond, their square adds to the drift of the
/// rest by this factor.
const BIAS_S: f64 = 8.0;
const BIAS: f64 = 0.15;
const HURRY: f64 = 0.2;
/// Variance of a reading: steps of half a kelvin, and noise.
const NOISE: f64 = 0.1;
/// Bounds of the gains, kelvin for a large input.
const MOST: f64 = 200.0;
/// A box without heat of its own rests between these, degrees Celsius.
const REST: (f64, f64) = (-60.0, 150.0);
/// Within this time the target must not be passed, and so far ahead predictions are checked, seconds.
pub const HORIZON_S: u32 = 60;
/// Between two checked predictions, seconds.
const EVERY_S: f64 = 10.0;
/// Predictions on their way.
const FLYING: usize = 6;
/// Seconds of readings before a fit is relied on.
const SEEN_TRUSTED: f64 = 60.0;
/// The temperature must have moved by this much for its causes to be told apart from noise, kelvin.
const SPAN_TRUSTED: f64 = 4.0;
/// A prediction that misses by more than this is not relied on, kelvin.
const ERROR_TRUSTED: f64 = 2.9;
/// One miss counts no more than this, kelvin: what happens to the box is no fault of the model.
const ERROR_MOST: f64 = 3.0;
/// Weight of the newest error of a prediction.
const ERROR_WEIGHT: f64 = 0.1;

/// What the ways hold now.
type Held = [f64; WAYS];

/// A prediction that is carried on by what really heats, and compared when it is due.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Prediction {
    theta: [f64; WAYS + 1],
    held: Held,
    age_s: f64,
}

/// A model of one thermometer.
#[derive(Clone, Debug, PartialEq)]
pub struct Thermal {
    fit: Rls<{ WAYS + 1 }>,
    /// Units of input that count as one.
    scale: f64,
    held: Option<Held>,
    seen_s: f64,
    lowest: f64,
    highest: f64,
    flying: [Option<Prediction>; FLYING],
    since_s: f64,
    error: Option<f64>,
    /// Smoothed misses, kelvin.
    bias: f64,
}

impl Thermal {
    /// A model that has seen nothing. `scale` is the size of a large input: 1 for a share, 20 for watts.
    pub fn new(scale: f64) -> Thermal {
        let [a, b, c, d] = FIRST;
        Thermal {
            fit: Rls::new([a, b, c, d, 40.0], SPREAD),
            scale,
            held: None,
            seen_s: 0.0,
            lowest: f64::INFINITY,
            highest: f64::NEG_INFINITY,
            flying: [None; FLYING],
            since_s: 0.0,
            error: None,
            bias: 0.0,
        }
    }

    /// What heated for long before now, as far as anybody can tell.
    pub fn start(&mut self, input: f64) {
        self.held = Some([input / self.scale; WAYS]);
    }

    /// Time passes while `input` heats.
    pub fn pass(&mut self, input: f64, seconds: f64) {
        let input = input / self.scale;
        let held = self.held.get_or_insert([input; WAYS]);
        *held = carried(*held, input, seconds);
        self.since_s += seconds;
        for flying in self.flying.iter_mut().flatten() {
            flying.held = carried(flying.held, input, seconds);
            flying.age_s += seconds;
        }
    }

    /// A reading of now that is believed.
    pub fn learn(&mut self, temp: f64, seconds: f64) {
        let Some(held) = self.held else { return };
        if self.seen_s == 0.0 {
            // The first one says where it rests, as far as the assumed gains are right.
            let gains = self.fit.expect(&regressors(&held)) - self.rest();
            self.fit.theta[WAYS] = temp - gains;
        }
        // Misses on the same side are no noise: the world around the box changes, and the rest follows faster meanwhile, so
        // that the gains need not.
        let beyond = (self.bias.abs() - BIAS).max(0.0);
        let mut drift = DRIFT;
        drift[WAYS] += HURRY * beyond * beyond;
        let missed = self.fit.learn(&regressors(&held), temp, NOISE, &drift);
        self.bias += (missed - self.bias) * (seconds / BIAS_S).min(1.0);
        self.bound(&held);
        self.seen_s += seconds;
        self.lowest = self.lowest.min(temp);
        self.highest = self.highest.max(temp);
        self.check();
    }

    /// Nobody knows what happened meanwhile: predictions on their way are void, and the rest may be anything.
    pub fn interrupt(&mut self) {
        self.flying = [None; FLYING];
        self.fit.doubt(WAYS);
    }

    /// Compares the prediction that is due, and begins another one.
    fn check(&mut self) {
        let Some(held) = self.held.filter(|_| self.since_s >= EVERY_S) else { return };
        self.since_s = 0.0;
        let now = self.temp();
        for place in &mut self.flying {
            if let Some(due) = place.filter(|due| due.age_s >= f64::from(HORIZON_S) - 1.0) {
                let missed = (dot(&due.theta, &regressors(&due.held)) - now).abs().min(ERROR_MOST);
                self.error = Some(self.error.map_or(missed, |error| error + (missed - error) * ERROR_WEIGHT));
                *place = None;
            }
        }
        if self.is_seen()
            && let Some(free) = self.flying.iter_mut().find(|place| place.is_none())
        {
            *free = Some(Prediction { theta: self.fit.theta, held, age_s: 0.0 });
        }
    }

    /// Keeps the parameters within what a box can be. What it says of now stays as it is: the rest gives way.
    fn bound(&mut self, held: &Held) {
        let mut given = 0.0;
        for (gain, held) in self.fit.theta.iter_mut().zip(held) {
            let bounded = gain.clamp(0.0, MOST);
            given += (*gain - bounded) * held;
            *gain = bounded;
        }
        let rest = &mut self.fit.theta[WAYS];
        *rest = (*rest + given).clamp(REST.0, REST.1);
    }

    fn is_seen(&self) -> bool {
        self.seen_s >= SEEN_TRUSTED && self.highest - self.lowest >= SPAN_TRUSTED
    }

    /// Whether it is good enough to be relied on.
    pub fn is_trusted(&self) -> bool {
        self.is_seen() && self.error.is_none_or(|error| error <= ERROR_TRUSTED)
    }

    /// Seconds of readings that it was fitted on.
    pub fn seen_s(&self) -> f64 {
        self.seen_s
    }

    /// Typical error of a prediction over the horizon, kelvin.
    pub fn error(&self) -> Option<f64> {
        self.error
    }

    /// What it says of now, degrees Celsius.
    pub fn temp(&self) -> f64 {
        self.held.map_or(self.rest(), |held| self.fit.expect(&regressors(&held)))
    }

    /// Temperature without any input, degrees Celsius.
    pub fn rest(&self) -> f64 {
        self.fit.theta[WAYS]
    }

    /// Sets it back to what it was when the thermometer was last believed.
    pub fn set_rest(&mut self, rest: f64) {
        self.fit.theta[WAYS] = rest;
    }

    /// Kelvin per unit of input in the end.
    pub fn gain(&self) -> f64 {
        self.gains().iter().sum::<f64>() / self.scale
    }

    /// Kelvin per unit of input that follow within about ten seconds.
    pub fn gain_at_once(&self) -> f64 {
        self.gains()[0] / self.scale
    }

    fn gains(&self) -> &[f64] {
        &self.fit.theta[..WAYS]
    }

    /// Seconds until 63% of a lasting change is there.
    pub fn time_constant_s(&self) -> f64 {
        let whole: f64 = self.gains().iter().sum();
        if whole <= 0.0 {
            return 0.0;
        }
        let mut held = [0.0; WAYS];
        let (mut seconds, mut length) = (0.0, 1.0);
        while seconds < 20_000.0 {
            held = carried(held, 1.0, length);
            seconds += length;
            if self.gains().iter().zip(held).map(|(gain, held)| gain * held).sum::<f64>() >= 0.632 * whole {
                break;
            }
            // A twentieth is near enough.
            length = (seconds / 20.0).max(1.0);
        }
        seconds
    }

    /// Temperature after so many seconds of a constant input, degrees Celsius.
    pub fn ahead(&self, input: f64, seconds: f64) -> f64 {
        let held = carried(self.held.unwrap_or_default(), input / self.scale, seconds);
        self.fit.expect(&regressors(&held))
    }

    /// Temperature in the end under a constant input, degrees Celsius.
    pub fn steady(&self, input: f64) -> f64 {
        self.rest() + self.gain() * input
    }

    /// The largest constant input under which `target` is not passed within the horizon; `above` is added to what the model
    /// says. Negative if not even rest would be enough.
    pub fn most(&self, target: f64, above: f64) -> f64 {
        let Some(start) = self.held else { return f64::INFINITY };
        let (mut idle, mut full) = (start, start);
        let mut most = f64::INFINITY;
        for _ in 0..HORIZON_S / 5 {
            (idle, full) = (carried(idle, 0.0, 5.0), carried(full, 1.0, 5.0));
            let cold = self.fit.expect(&regressors(&idle)) + above;
            let rise = self.fit.expect(&regressors(&full)) + above - cold;
            if rise > 0.01 {
                // Linear in the input, so two runs tell of all.
                most = most.min((target - cold) / rise);
            }
        }
        most * self.scale
    }

    /// The constant input whose steady state is `target`; without bound where nothing heats.
    pub fn sustainable(&self, target: f64) -> f64 {
        let gain = self.gain();
        if gain > 0.0 { (target - self.rest()) / gain } else { f64::INFINITY }
    }

    /// Seconds until `trip` at a constant input; `None` if that is not within a day.
    pub fn time_to(&self, input: f64, trip: f64) -> Option<f64> {
        const DAY_S: f64 = 86_400.0;
        if self.temp() >= trip {
            return Some(0.0);
        }
        let mut held = self.held?;
        let (mut seconds, mut length) = (0.0, 1.0);
        while seconds < DAY_S {
            held = carried(held, input / self.scale, length);
            seconds += length;
            if self.fit.expect(&regressors(&held)) >= trip {
                return Some(seconds);
            }
            // Longer steps farther away: nobody asks for the second in which it is, an hour ahead.
            length = (seconds / 20.0).max(1.0);
        }
        None
    }
}

/// What the ways hold after so many seconds of an input. A quotient in place of an exponential: right for steps that are short
/// against the time constant, never beyond the input for long ones, and the same on every machine.
fn carried(held: Held, input: f64, seconds: f64) -> Held {
    let mut next = held;
    for (held, tau) in next.iter_mut().zip(TAU) {
        // Two half steps come nearer than one.
        for _ in 0..2 {
            *held += (input - *held) * (seconds / 2.0 / (tau + seconds / 2.0));
        }
    }
    next
}

fn regressors(held: &Held) -> [f64; WAYS + 1] {
    [held[0], held[1], held[2], held[3], 1.0]
}

fn dot(a: &[f64; WAYS + 1], b: &[f64; WAYS + 1]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box with two time constants, under a load that changes every two minutes.
    fn learnt() -> (Thermal, f64) {
        let mut model = Thermal::new(1.0);
        model.start(0.0);
        let (mut chip, mut case) = (0.0, 0.0);
        for second in 0..7200_u32 {
            let load = f64::from(second / 120 % 3) / 2.0;
            chip += (load * 12.0 - chip) / 10.0;
            case += (load * 25.0 - case) / 200.0;
            model.pass(load, 1.0);
            model.learn(30.0 + chip + case, 1.0);
        }
        (model, 30.0 + chip + case)
    }

    #[test]
    fn a_box_is_learnt_while_it_works() {
        let (model, temp) = learnt();
        assert!(model.is_trusted() && model.error().is_some_and(|error| error < 0.5), "{model:?}");
        assert!((model.temp() - temp).abs() < 0.3, "{} and {temp}", model.temp());
        // The slowest way and the rest are told apart badly within two hours; what they say together is right.
        assert!((model.gain() - 37.0).abs() < 12.0, "{}", model.gain());
        assert!((model.steady(0.5) - 48.5).abs() < 1.5, "{}", model.steady(0.5));
        assert!((20.0..900.0).contains(&model.time_constant_s()), "{}", model.time_constant_s());
    }

    #[test]
    fn what_is_allowed_does_not_pass_the_target_and_more_does() {
        let (model, temp) = learnt();
        let target = temp + 3.0;
        let most = model.most(target, 0.0);
        let highest = |input: f64| (1..=12_u8).map(|at| model.ahead(input, f64::from(at) * 5.0)).fold(0.0, f64::max);
        assert!(highest(most) <= target + 0.5, "{} at {most}", highest(most));
        assert!(highest(most * 1.3) > target, "{} at {most}", highest(most * 1.3));
        assert!((model.steady(model.sustainable(target)) - target).abs() < 1e-9);
        assert!(model.most(target, 1.0) < most, "what is added to the temperature is taken from the input");
    }

    #[test]
    fn the_time_to_a_trip_is_none_now_or_never() {
        let (model, temp) = learnt();
        assert_eq!(model.time_to(0.0, temp - 5.0), Some(0.0));
        assert_eq!(model.time_to(0.5, 200.0), None);
        assert!(model.time_to(1.0, temp + 3.0).is_some_and(|seconds| seconds > 0.0 && seconds < 600.0));
    }

    #[test]
    fn nothing_seen_is_not_relied_on() {
        let mut model = Thermal::new(20.0);
        assert!(!model.is_trusted() && model.most(90.0, 0.0).is_infinite());
        (0..600).for_each(|_| {
            model.pass(10.0, 1.0);
            model.learn(50.0, 1.0);
        });
        assert!(!model.is_trusted(), "it never moved: its causes cannot be told apart");
    }
}
