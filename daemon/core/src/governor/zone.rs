//! One thermometer with a trip: what is believed of it, what was learnt of it, and what it allows. Must not know lanes: it
//! speaks of what heats, in watts or as a share of the lanes' time.

use super::doubt::{Doubt, Verdict, Watch};
use super::sample::{ZoneId, ZoneSample};
use super::thermal::Thermal;

/// Below the target by this much nothing is held back before there is a model; in between the duty falls evenly, kelvin.
const BAND: f64 = 10.0;
/// How far a rise is carried on meanwhile, seconds.
const LEAD_S: f64 = 8.0;
/// Typical errors of a prediction that the margin has room for, beside the operator's.
const ERRORS: f64 = 0.5;
/// The most that errors add to the margin, kelvin.
const ERRORS_MOST: f64 = 0.5;
/// And before one was ever compared, kelvin.
const UNPROVEN: f64 = 2.0;
/// A regime that heat caused ends this far below the target: at least, and at most, kelvin.
const RESET: (f64, f64) = (2.0, 8.0);
/// A machine that says nothing of it switches off this far above its trip, kelvin.
const CRITICAL_ABOVE: f64 = 5.0;
/// Beyond the target, what is sustainable is cut by this share for each kelvin.
const BEYOND: f64 = 0.25;
/// A reading that is doubted for this long is lost, seconds.
const LOST_S: f64 = 10.0;
/// What a second without a reading counts as heat, kelvin: where a model carries the temperature on, and where not.
const SLEW: (f64, f64) = (0.02, 0.2);
/// The most that silence counts, kelvin.
const SLEW_MOST: (f64, f64) = (10.0, 40.0);
/// What a model that is not relied on yet may be wrong by, as a factor.
const UNSURE: f64 = 2.0;
/// Time constant at which the drift of the rest is smoothed, seconds.
const DRIFT_S: f64 = 25.0;
/// Drift up to this is noise, or a case that warms through, kelvin per second.
const STILL: f64 = 0.015;
/// How far more of it is carried on, seconds: upwards, and downwards.
const DRIFT_LEAD_S: (f64, f64) = (30.0, 40.0);
/// Thermometers of one board differ by this much at most, kelvin.
const APART: f64 = 20.0;
/// The model may lag behind the reading by this much, kelvin; what is beyond counts.
const LAG: f64 = 0.3;

/// The model when the reading last moved.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moved {
    rest: f64,
    temp: f64,
}

/// A thermometer.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Which.
    pub id: ZoneId,
    /// Whether it is believed.
    pub watch: Watch,
    /// What was learnt.
    pub model: Thermal,
    /// Where the machine slows down, degrees Celsius.
    pub trip: f64,
    hysteresis: f64,
    critical: f64,
    /// When the reading last moved.
    moved: Option<Moved>,
    /// How fast the rest drifts, kelvin per second.
    drift: f64,
    /// It allowed this when doubt began; doubt raises nothing.
    cap: Option<f64>,
    /// The hottest of the others that are believed, degrees Celsius.
    company: Option<f64>,
}

impl Zone {
    /// A thermometer that was just found.
    pub fn new(sample: &ZoneSample, scale: f64) -> Zone {
        let mut zone = Zone {
            id: sample.id,
            watch: Watch::default(),
            model: Thermal::new(scale),
            trip: 0.0,
            hysteresis: 0.0,
            critical: 0.0,
            moved: None,
            drift: 0.0,
            cap: None,
            company: None,
        };
        zone.set_trips(sample);
        zone
    }

    /// Trips may change: the machine's own software moves them.
    pub fn set_trips(&mut self, sample: &ZoneSample) {
        self.trip = sample.trip.get();
        self.hysteresis = sample.hysteresis.get().clamp(RESET.0, RESET.1);
        let told = sample.critical.map(|critical| critical.get()).filter(|critical| *critical > self.trip);
        self.critical = told.unwrap_or(self.trip + CRITICAL_ABOVE);
    }

    /// Time passed under this input, and there is a reading, or silence.
    pub fn take(&mut self, temp: Option<f64>, seconds: f64, input: f64, scale: f64) {
        self.model.pass(input, seconds);
        let expected = match self.watch.doubt() {
            None => self.moved.map_or(self.model.temp(), |moved| self.model.temp() - self.model.rest() + moved.rest),
            Some(_) => self.assumed(),
        };
        let verdict = self.watch.take(temp, seconds, expected, self.model.is_trusted(), input / scale);
        let Some(temp) = temp else { return };
        match verdict {
            Verdict::Moved => self.learn(temp, seconds, true),
            Verdict::Same => self.learn(temp, seconds, false),
            Verdict::Anew => {
                self.model.interrupt();
                self.learn(temp, seconds, true);
            }
            Verdict::Froze => {
                self.model.interrupt();
                self.moved.into_iter().for_each(|moved| self.model.set_rest(moved.rest));
            }
            Verdict::Doubted => {}
        }
    }

    fn learn(&mut self, temp: f64, seconds: f64, moved: bool) {
        let before = self.model.rest();
        self.model.learn(temp, seconds);
        let rate = (self.model.rest() - before) / seconds.max(0.1);
        self.drift += (rate - self.drift) * (seconds / DRIFT_S).min(1.0);
        if moved {
            self.moved = Some(Moved { rest: self.model.rest(), temp: self.model.temp() });
        }
    }

    /// What to assume while the reading is doubted: the model goes on from when it last moved. One that is not relied on may
    /// be wrong by a factor.
    fn assumed(&self) -> f64 {
        let Some(moved) = self.moved else { return self.model.temp() };
        let rise = self.model.temp() - moved.temp;
        moved.temp + if self.model.is_trusted() || rise < 0.0 { rise } else { rise * UNSURE }
    }

    /// What to go by, degrees Celsius; `None` before the first reading.
    pub fn temp(&self) -> Option<f64> {
        let reading = self.watch.filtered()?;
        let modelled = self.model.is_trusted();
        let (slew, most) = if modelled { (SLEW.0, SLEW_MOST.0) } else { (SLEW.1, SLEW_MOST.1) };
        let age = (self.watch.doubted_s() * slew).min(most);
        // Thermometers of one board are never far apart: what is only assumed of one is bounded by what others say.
        let bound = self.company.map_or(f64::INFINITY, |hottest| hottest + APART);
        Some(match self.watch.doubt() {
            None if modelled && self.watch.is_still() => {
                let age = (self.watch.still_s() * slew).min(most);
                (self.model.temp() + age).max(reading - LAG)
            }
            None if modelled => self.model.temp().clamp(reading - LAG, reading + LAG),
            None | Some(Doubt::Risen) => reading,
            Some(Doubt::Missing) => (self.assumed() + age).min(bound),
            Some(Doubt::Frozen | Doubt::Fallen) => (self.assumed() + age).min(bound).max(reading),
        })
    }

    /// By how much it will have changed soon, beyond what the load explains: a fan has failed, or came back; the air grows
    /// warmer, or cooler. Kelvin.
    fn changing(&self) -> f64 {
        if self.watch.doubt().is_some() || self.drift.abs() <= STILL {
            return 0.0;
        }
        match self.drift > 0.0 {
            true => (self.drift - STILL) * DRIFT_LEAD_S.0,
            false => (self.drift + STILL) * DRIFT_LEAD_S.1,
        }
    }

    /// What is aimed below, degrees Celsius.
    pub fn target(&self, margin: f64) -> f64 {
        let errors = self.model.error().map_or(UNPROVEN, |error| (error * ERRORS).min(ERRORS_MOST));
        self.trip - margin - errors
    }

    /// Where a regime that heat caused may end, degrees Celsius.
    pub fn reset(&self, margin: f64) -> f64 {
        self.target(margin) - self.hysteresis
    }

    /// Beyond this there is nothing to be weighed, degrees Celsius: the machine has begun to slow down, or will switch off.
    pub fn critical(&self) -> f64 {
        (self.trip + 1.0).min(self.critical - 3.0)
    }

    /// Whether its own reading is what is gone by.
    pub fn is_seen(&self) -> bool {
        matches!(self.watch.doubt(), None | Some(Doubt::Risen)) && self.watch.filtered().is_some()
    }

    /// Whether its reading has been no help for a while.
    pub fn is_lost(&self) -> bool {
        !self.is_seen() && self.watch.doubted_s() >= LOST_S
    }

    /// What the hottest of the other thermometers that are believed says.
    pub fn set_company(&mut self, hottest: Option<f64>) {
        self.company = hottest;
    }

    /// The largest input that it allows now, where the model is relied on.
    pub fn most(&self, margin: f64) -> Option<f64> {
        let temp = self.temp().filter(|_| self.model.is_trusted())?;
        let target = self.target(margin);
        let most = self.model.most(target, temp - self.model.temp() + self.changing());
        // Beyond the target the model was wrong: what it says is not enough.
        let beyond = (temp - target).max(0.0);
        if beyond == 0.0 {
            return Some(most);
        }
        Some(most.min(self.model.sustainable(target) * (1.0 - BEYOND * beyond)))
    }

    /// The largest input that it allows for ever.
    pub fn sustainable(&self, margin: f64) -> Option<f64> {
        self.model.is_trusted().then(|| self.model.sustainable(self.target(margin)))
    }

    /// The duty that it allows by its distance from the target alone.
    pub fn by_distance(&self, margin: f64) -> f64 {
        let Some(temp) = self.temp() else { return 1.0 };
        let soon = temp + self.watch.slope() * LEAD_S;
        ((self.target(margin) - soon) / BAND).clamp(0.0, 1.0)
    }

    /// What it allows in the end, by what it says: doubt raises nothing.
    pub fn settle(&mut self, duty: f64) -> f64 {
        let duty = self.cap.map_or(duty, |cap| duty.min(cap));
        self.cap = (!self.is_seen() && self.company.is_none()).then_some(duty);
        duty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Celsius, Kelvin};

    const MARGIN: f64 = 1.0;

    fn zone(critical: Option<f64>) -> Zone {
        let sample = ZoneSample {
            id: ZoneId(0),
            temp: None,
            trip: Celsius::new(90.0).unwrap_or(Celsius::ZERO),
            hysteresis: Kelvin::new(5.0).unwrap_or_default(),
            critical: critical.and_then(Celsius::new),
        };
        Zone::new(&sample, 1.0)
    }

    #[test]
    fn target_reset_and_critical_follow_the_trip() {
        // Before a prediction was checked, two kelvin more are kept.
        for (critical, beyond) in [(None, 91.0), (Some(100.0), 91.0), (Some(92.0), 89.0), (Some(80.0), 91.0)] {
            let zone = zone(critical);
            assert_eq!((zone.target(MARGIN), zone.reset(MARGIN)), (87.0, 82.0));
            assert_eq!(zone.critical(), beyond, "{critical:?}");
        }
    }

    #[test]
    fn without_a_model_the_duty_falls_evenly_below_the_target() {
        for (temp, duty) in [(None, 1.0), (Some(60.0), 1.0), (Some(82.0), 0.5), (Some(87.0), 0.0), (Some(120.0), 0.0)] {
            let mut zone = zone(None);
            zone.take(temp, 1.0, 0.5, 1.0);
            assert!((zone.by_distance(MARGIN) - duty).abs() < 1e-9, "{temp:?}: {}", zone.by_distance(MARGIN));
            assert_eq!(zone.most(MARGIN), None);
        }
    }

    #[test]
    fn silence_counts_as_heat_and_raises_nothing() {
        let mut zone = zone(None);
        (0..30_u8).for_each(|at| zone.take(Some(70.0 + f64::from(at % 2) * 0.5), 1.0, 0.0, 1.0));
        let before = zone.temp();
        (0..5).for_each(|_| zone.take(None, 1.0, 0.0, 1.0));
        assert!(!zone.is_seen() && zone.temp() > before, "{zone:?}");
        assert_eq!((zone.settle(0.4), zone.settle(0.9), zone.settle(0.3)), (0.4, 0.4, 0.3));
        assert_eq!(zone.settle(0.9), 0.3, "what was taken stays taken");
        (0..10).for_each(|_| zone.take(None, 1.0, 0.0, 1.0));
        assert!(zone.is_lost());
        zone.take(Some(70.0), 1.0, 0.0, 1.0);
        zone.settle(0.3);
        assert_eq!((zone.is_seen(), zone.settle(0.9)), (true, 0.9));
    }
}
