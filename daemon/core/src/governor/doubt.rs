//! Whether the reading of a thermometer is believed. Must not know trips or capacity, nor what the model is made of: it is
//! told what the model expects.
//!
//! | what the thermometer does | what follows |
//! |---|---|
//! | answers nothing | the model goes on from the last reading; age counts as heat |
//! | says the very same for longer than it ever did, while the load changed or by the model it should have moved | the higher one of both |
//! | falls at once by what no box cools in a second, under the same load | the model goes on until the reading is there again |
//! | rises at once likewise | is believed, as heat always is; but nothing is learnt from it |
//!
//! Doubt never lowers the temperature that is gone by.

/// Time constant of the filter, seconds.
const FILTER_S: f64 = 3.0;
/// Silence up to this is a reading that comes late, seconds.
const LATE_S: f64 = 3.0;
/// The very same value for this long may be a thermometer that stands still, seconds.
const SAME_S: f64 = 20.0;
/// And longer than this, or than it ever was the same, it teaches nothing until it moves, seconds.
const TEACHES_S: f64 = 4.0;
/// If by the model it should have moved by this much meanwhile, it does, kelvin.
const MOVED: f64 = 2.0;
/// And in any case if it never was the same for a third of that.
const LONGEST: f64 = 3.0;
/// A step between two readings that no box makes without a change of load, kelvin.
const JUMP: f64 = 6.0;
/// Readings that are farther apart are not held against each other, seconds.
const APART_S: f64 = 3.0;
/// A change of load, as a share of a large one.
const LOAD: f64 = 0.3;
/// A reading this near to what is expected is believed again, kelvin.
const NEAR: f64 = 3.0;
/// Before there is a model, a fall that stays for this long is believed, seconds: the reading before it may have been the fault.
const FALLEN_S: f64 = 60.0;
/// A change of load that a thermometer should follow, and a load that heats whatever was before, as shares of a large one.
const STIRRED: f64 = 0.15;
const HEAVY: f64 = 0.5;
/// A rise, or a fall against a model, that stays for this long is no fault, seconds.
const RISEN_S: f64 = 3600.0;

/// Why a reading is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// There is none.
    Missing,
    /// It stands still while the box does not.
    Frozen,
    /// It fell at once.
    Fallen,
    /// It rose at once: it counts, but nothing is learnt from it.
    Risen,
}

impl Doubt {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Doubt::Missing => "missing",
            Doubt::Frozen => "frozen",
            Doubt::Fallen => "fallen",
            Doubt::Risen => "risen",
        }
    }
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is believed, and moved since the last one.
    Moved,
    /// It is believed, and the same as the last one.
    Same,
    /// The first one, or the first that is believed again.
    Anew,
    /// It is doubted, or there is none.
    Doubted,
    /// It has just been found to stand still: what was learnt since it last moved is void.
    Froze,
}

/// The watch over one thermometer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Watch {
    raw: Option<f64>,
    filtered: Option<f64>,
    slope: f64,
    same_s: f64,
    /// The load when it last moved.
    moved_load: f64,
    /// The longest time for which it was the same and moved again.
    longest_s: f64,
    silent_s: f64,
    doubt: Option<Doubt>,
    doubted_s: f64,
    load: f64,
}

impl Watch {
    /// A reading, or that there is none, `seconds` after the last call. `expected` is what the model says of now, going on
    /// from when the reading last moved, and `trusted` whether it can be relied on; `load` is the input as a share of a large
    /// one.
    pub fn take(&mut self, raw: Option<f64>, seconds: f64, expected: f64, trusted: bool, load: f64) -> Verdict {
        self.doubted_s += seconds;
        let Some(raw) = raw else {
            self.silent_s += seconds;
            if self.silent_s > LATE_S && self.filtered.is_some() {
                self.begin(Doubt::Missing);
            }
            return Verdict::Doubted;
        };
        let apart = self.silent_s + seconds;
        let before = self.raw.replace(raw);
        self.silent_s = 0.0;
        let is_same = before == Some(raw);
        if !is_same {
            self.longest_s = self.longest_s.max(self.same_s);
            self.moved_load = load;
        }
        self.same_s = if is_same { self.same_s + seconds } else { 0.0 };
        let change = (load - self.load).abs();
        self.load += (load - self.load) * (seconds / 5.0).min(1.0);
        // What is off by a fault comes back as it went: at once.
        let back = before.map_or(0.0, |before| raw - before);
        let Some(filtered) = self.filtered.filter(|_| self.doubt != Some(Doubt::Missing) && apart <= 30.0) else {
            return self.restart(raw);
        };
        self.filter(raw, filtered, seconds);
        let near = (raw - expected).abs() <= NEAR;
        match self.doubt {
            Some(Doubt::Frozen) if !is_same => return self.restart(raw),
            Some(Doubt::Risen) if back <= -JUMP => return self.restart(raw),
            Some(Doubt::Fallen) if back >= JUMP => return self.restart(raw),
            Some(Doubt::Risen) if near || self.doubted_s >= RISEN_S => return self.restart(raw),
            Some(Doubt::Fallen) if near || self.doubted_s >= if trusted { RISEN_S } else { FALLEN_S } => {
                return self.restart(raw);
            }
            Some(_) => return Verdict::Doubted,
            None => {}
        }
        let jump = raw - filtered;
        if jump.abs() >= JUMP && apart <= APART_S && change <= LOAD && !(trusted && near) {
            self.begin(if jump > 0.0 { Doubt::Risen } else { Doubt::Fallen });
            self.filtered = self.filtered.map(|filtered| if jump > 0.0 { raw } else { filtered });
            return Verdict::Doubted;
        }
        let moved = trusted && (expected - raw).abs() >= MOVED;
        // At rest a thermometer may well say the same all night.
        let stirred = (load - self.moved_load).abs() >= STIRRED || (!trusted && load >= HEAVY);
        if self.same_s >= SAME_S && (moved || (stirred && self.same_s >= LONGEST * self.longest_s)) {
            self.begin(Doubt::Frozen);
            return Verdict::Froze;
        }
        match is_same {
            false => Verdict::Moved,
            true if self.is_still() => Verdict::Doubted,
            true => Verdict::Same,
        }
    }

    /// Whether it has been the same for longer than it ever was.
    pub fn is_still(&self) -> bool {
        self.same_s > TEACHES_S.max(self.longest_s)
    }

    /// For how long it has been the same, beyond what says nothing.
    pub fn still_s(&self) -> f64 {
        (self.same_s - SAME_S).max(0.0)
    }

    fn filter(&mut self, raw: f64, filtered: f64, seconds: f64) {
        let next = filtered + (raw - filtered) * (seconds / (FILTER_S + seconds));
        // The slope follows the filter, slower.
        self.slope += ((next - filtered) / seconds.max(0.1) - self.slope) * 0.2;
        self.filtered = Some(if self.doubt == Some(Doubt::Risen) { next.max(raw) } else { next });
    }

    /// Whatever was doubted: the next reading is the first one.
    pub fn believe(&mut self) {
        self.doubt = Some(Doubt::Missing);
    }

    fn begin(&mut self, doubt: Doubt) {
        if self.doubt.is_none() {
            (self.doubt, self.doubted_s) = (Some(doubt), 0.0);
        }
    }

    fn restart(&mut self, raw: f64) -> Verdict {
        let Watch { load, longest_s, .. } = *self;
        *self = Watch { raw: Some(raw), filtered: Some(raw), load, longest_s, ..Watch::default() };
        Verdict::Anew
    }

    /// The reading without its noise, degrees Celsius.
    pub fn filtered(&self) -> Option<f64> {
        self.filtered
    }

    /// Kelvin per second at which it rises; nothing while it is doubted or falls.
    pub fn slope(&self) -> f64 {
        if self.doubt.is_some() { 0.0 } else { self.slope.max(0.0) }
    }

    /// Why it is not believed.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Seconds since there was a reading that was believed.
    pub fn doubted_s(&self) -> f64 {
        if self.doubt.is_some() { self.doubted_s } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings a second apart, each with what the model expects, under one load.
    fn watch(course: &[(Option<f64>, f64)], trusted: bool) -> Watch {
        let mut watch = Watch::default();
        for (raw, expected) in course {
            watch.take(*raw, 1.0, *expected, trusted, 0.5);
        }
        watch
    }

    /// Half a minute of readings that move, around a temperature.
    fn moving(around: f64) -> Vec<(Option<f64>, f64)> {
        (0..30_u8).map(|at| (Some(around + f64::from(at % 2) * 0.5), around)).collect()
    }

    #[test]
    fn what_a_thermometer_does_says_whether_it_is_believed() {
        let says = |raw: Option<f64>, times: usize| vec![(raw, 70.0); times];
        for (then, trusted, doubt) in [
            (says(Some(71.0), 1), true, None),
            (says(None, 3), true, None),
            (says(None, 4), true, Some(Doubt::Missing)),
            ([says(None, 4), says(Some(71.0), 1)].concat(), true, None),
            (says(Some(50.0), 1), true, Some(Doubt::Fallen)),
            ([says(Some(50.0), 9), says(Some(70.0), 1)].concat(), true, None),
            (says(Some(90.0), 1), true, Some(Doubt::Risen)),
            ([says(Some(90.0), 9), says(Some(70.0), 1)].concat(), true, None),
            // It has moved every second so far: three times twenty seconds would do, or a model that moved meanwhile.
            (says(Some(70.0), 19), true, None),
            (vec![(Some(70.0), 73.0); 22], true, Some(Doubt::Frozen)),
            (vec![(Some(70.0), 73.0); 22], false, Some(Doubt::Frozen)),
        ] {
            let course = [moving(70.0), then.clone()].concat();
            assert_eq!(watch(&course, trusted).doubt(), doubt, "{then:?}");
        }
    }

    #[test]
    fn a_jump_that_the_load_or_the_model_explains_is_believed() {
        let mut watch = watch(&moving(60.0), true);
        assert_eq!(watch.take(Some(68.0), 1.0, 67.0, true, 0.5), Verdict::Moved, "the model expected it");
        let mut watch = self::watch(&moving(60.0), false);
        assert_eq!(watch.take(Some(68.0), 1.0, 60.0, false, 1.0), Verdict::Moved, "the load has changed");
    }

    #[test]
    fn doubt_has_an_age_and_no_slope() {
        let watch = watch(&[moving(70.0), vec![(None, 70.0); 10]].concat(), true);
        assert!((watch.doubted_s() - 6.0).abs() < 1e-9, "{watch:?}");
        assert_eq!(watch.slope(), 0.0);
    }
}
