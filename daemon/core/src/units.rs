//! Quantities with their unit in the type: time, bytes, ratios, temperatures, power, work.

use core::time::Duration;

/// An instant on the driver's monotonic clock, in nanoseconds since an origin that only the driver knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The latest instant there is.
    pub const MAX: Mono = Mono(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Mono {
        Mono(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant plus `span`; saturates at [`Mono::MAX`].
    pub const fn after(self, span: Duration) -> Mono {
        let nanos = span.as_nanos();
        if nanos >= u64::MAX as u128 {
            return Mono::MAX;
        }
        #[expect(clippy::cast_possible_truncation, reason = "tested against u64::MAX above")]
        Mono(self.0.saturating_add(nanos as u64))
    }

    /// Time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in nanoseconds, for sums that must not overflow: all arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time.
    pub const ZERO: Span = Span(0);
    /// Longer than anything that happens.
    pub const MAX: Span = Span(u64::MAX);

    /// `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Span {
        Span(nanos)
    }

    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Span {
        Span(millis.saturating_mul(1_000_000))
    }

    /// `duration`, or [`Span::MAX`] if it is longer than 584 years.
    pub const fn of(duration: Duration) -> Span {
        Span(Mono(0).after(duration).0)
    }

    /// Time from `earlier` to `later`; zero if they are the other way round.
    pub const fn between(earlier: Mono, later: Mono) -> Span {
        Span(later.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The same length as the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// This and `other` together.
    pub const fn plus(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }

    /// What is left of this after `other`.
    pub const fn minus(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }

    /// `count` times this.
    pub const fn times(self, count: u64) -> Span {
        Span(self.0.saturating_mul(count))
    }

    /// One of `parts` equal parts, rounded down; all of it if `parts` is 0.
    pub const fn part(self, parts: u64) -> Span {
        Span(self.0 / if parts == 0 { 1 } else { parts })
    }

    /// The instant this long after `start`; saturates at [`Mono::MAX`].
    pub const fn from(self, start: Mono) -> Mono {
        Mono(start.0.saturating_add(self.0))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// A share between nothing (0) and all (1).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// All of it.
    pub const ONE: Ratio = Ratio(1.0);
    /// Half of it.
    pub const HALF: Ratio = Ratio(0.5);
    /// Nothing.
    pub const ZERO: Ratio = Ratio(0.0);
    /// A tenth of it.
    pub const TENTH: Ratio = Ratio(0.1);

    /// Nineteen twentieths of it.
    pub const NEARLY_ALL: Ratio = Ratio(0.95);

    /// Four fifths of it.
    pub const FOUR_FIFTHS: Ratio = Ratio(0.8);

    /// A share of this share.
    pub const fn times(self, other: Ratio) -> Ratio {
        Ratio(self.0 * other.0)
    }

    /// `value` as a ratio, or `None` outside 0..=1 (NaN included).
    pub fn new(value: f64) -> Option<Ratio> {
        (0.0..=1.0).contains(&value).then_some(Ratio(value))
    }

    /// The share as a number between 0 and 1.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// This share of `whole`, rounded down.
    pub const fn of(self, whole: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a float cast saturates and the share is within 0..=1; a bound needs no more than 53 bits"
        )]
        let part = (whole as f64 * self.0) as u64;
        if part > whole { whole } else { part }
    }
}

/// A temperature, degrees Celsius.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Celsius(f64);

impl Celsius {
    /// Where water freezes.
    pub const ZERO: Celsius = Celsius(0.0);

    /// A temperature that a thermometer of a box can have: -60 to 200. `None` beyond, and for what is no number.
    pub fn new(value: f64) -> Option<Celsius> {
        (-60.0..=200.0).contains(&value).then_some(Celsius(value))
    }

    /// Degrees.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// By how much this is warmer than `other`.
    pub fn above(self, other: Celsius) -> Kelvin {
        Kelvin(self.0 - other.0)
    }
}

/// A difference between temperatures, kelvin.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Kelvin(f64);

impl Kelvin {
    /// The distance that is kept from a trip unless the operator says otherwise: a thermometer's step and a little more.
    pub const MARGIN: Kelvin = Kelvin(0.7);

    /// A difference of at most 300 K either way; `None` beyond, and for what is no number.
    pub fn new(value: f64) -> Option<Kelvin> {
        (-300.0..=300.0).contains(&value).then_some(Kelvin(value))
    }

    /// Kelvin.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Electrical power, watts.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Watts(f64);

impl Watts {
    /// What a box can take: 0 to 10 kW. `None` beyond, and for what is no number.
    pub fn new(value: f64) -> Option<Watts> {
        (0.0..=10_000.0).contains(&value).then_some(Watts(value))
    }

    /// Watts.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Work of one request relative to the smallest request of its model: 1 for a tensor request, the number of windows of
/// a sound, the width of a text line in units of the recipe. Service times are learnt per unit of cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u32);

impl Cost {
    /// The cost of a request of ordinary size.
    pub const ONE: Cost = Cost(1);

    /// A cost of `units`, at least one.
    pub const fn new(units: u32) -> Cost {
        Cost(if units == 0 { 1 } else { units })
    }

    /// The number of units, at least one.
    pub const fn units(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_never_exceeds_the_whole_and_never_overflows() {
        for (share, whole, part) in
            [(0.5, 1024, 512), (0.5, 1, 0), (1.0, u64::MAX, u64::MAX), (0.0, 99, 0), (0.25, 10, 2), (1.0, 0, 0)]
        {
            assert_eq!(Ratio::new(share).map(|ratio| ratio.of(whole)), Some(part), "{share} of {whole}");
        }
    }

    #[test]
    fn spans_saturate_instead_of_wrapping() {
        assert_eq!(Span::MAX.plus(Span::from_nanos(1)), Span::MAX);
        assert_eq!(Span::from_nanos(1).minus(Span::from_nanos(2)), Span::ZERO);
        assert_eq!(Span::from_millis(u64::MAX).times(3), Span::MAX);
        assert_eq!(Span::of(Duration::MAX), Span::MAX);
        assert_eq!(Span::from_nanos(7).part(0), Span::from_nanos(7));
        assert_eq!(Span::from_nanos(5).from(Mono::MAX), Mono::MAX);
        assert_eq!(Span::between(Mono::from_nanos(9), Mono::from_nanos(4)), Span::ZERO);
    }
}
