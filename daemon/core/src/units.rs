//! Quantities with their unit in the type: time, bytes, ratios, work.

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

    /// `value` as a ratio, or `None` outside 0..=1 (NaN included).
    pub fn new(value: f64) -> Option<Ratio> {
        (0.0..=1.0).contains(&value).then_some(Ratio(value))
    }

    /// The share as a number between 0 and 1.
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
