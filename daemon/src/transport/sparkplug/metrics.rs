//! What the node shows: metrics with names, kinds and values, in [`status`] out of the daemon's state and in [`bindings`] out of
//! what bindings answered.
//!
//! Decides which metrics there are and how they are called; names are part of the interface, because tags of a SCADA system hang
//! on them. Must not know aliases, sequence numbers, or when anything is sent.

pub mod bindings;
pub mod status;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one metric holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    /// Milliseconds since 1970, UTC.
    Time(u64),
}

/// Of what kind its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Boolean,
    Int64,
    Double,
    String,
    DateTime,
}

impl Kind {
    /// The specification's number of the datatype.
    pub fn number(self) -> u32 {
        match self {
            Kind::Int64 => 4,
            Kind::Double => 10,
            Kind::Boolean => 11,
            Kind::String => 12,
            Kind::DateTime => 13,
        }
    }
}

/// How far a value can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quality {
    Good,
    /// It was good, and nothing newer came in time.
    Stale,
    Bad,
}

impl Quality {
    /// The specification's number.
    pub fn code(self) -> u32 {
        match self {
            Quality::Bad => 0,
            Quality::Good => 192,
            Quality::Stale => 500,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Stale => "stale",
            Quality::Bad => "bad",
        }
    }
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Levels with slashes between: folders of the tag browser.
    pub name: String,
    pub kind: Kind,
    /// `None` while it is not known.
    pub value: Option<Value>,
    /// Said of results only.
    pub quality: Option<Quality>,
    /// When it was so, if not now; milliseconds since 1970.
    pub at_ms: Option<u64>,
}

impl Metric {
    fn of(name: &str, kind: Kind, value: Option<Value>) -> Metric {
        Metric { name: name.into(), kind, value, quality: None, at_ms: None }
    }

    pub fn flag(name: &str, value: bool) -> Metric {
        Metric::of(name, Kind::Boolean, Some(Value::Bool(value)))
    }

    /// A count; one beyond the kind's range stands at its end.
    pub fn count(name: &str, value: u64) -> Metric {
        Metric::of(name, Kind::Int64, Some(Value::Int(i64::try_from(value).unwrap_or(i64::MAX))))
    }

    /// A number, rounded to a multiple of `step` so that what is no news is not sent; `None` while it is not known, and what is no
    /// number is not known either.
    pub fn number(name: &str, value: Option<f64>, step: f64) -> Metric {
        // By the inverse: 0.1 has no exact value, and ten has.
        let parts = (1.0 / step).round();
        let rounded =
            value.filter(|value| value.is_finite()).map(|value| Value::Double((value * parts).round() / parts));
        Metric::of(name, Kind::Double, rounded)
    }

    pub fn text(name: &str, value: &str) -> Metric {
        Metric::of(name, Kind::String, Some(Value::Text(value.into())))
    }

    /// Whether it says the same as `other`, whenever either was so.
    pub fn says(&self, other: &Metric) -> bool {
        (&self.value, self.quality) == (&other.value, other.quality)
    }
}

/// What the operator lets hosts do, besides asking for a rebirth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permits {
    /// Stop taking requests, and take them again.
    pub drain: bool,
    /// Make a version of a model the active one.
    pub activate: bool,
}

/// Written to ask for all births again; never has an alias.
pub const REBIRTH: &str = "Node Control/Rebirth";
/// Written to stop taking requests (true) or take them again (false).
pub const DRAIN: &str = "Node Control/Drain";
/// Written with a version that is to become the active one; a metric of a model's device.
pub const ACTIVATE: &str = "Device Control/Activate";
/// The number that ties a death to its birth.
pub const BDSEQ: &str = "bdSeq";

/// A device of the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// The model that it is, by name.
    pub model: String,
    pub metrics: Vec<Metric>,
}

/// The node and its models as they are now. Bindings are not in it: their results come one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    pub node: Vec<Metric>,
    /// By device id.
    pub devices: BTreeMap<String, Device>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_so_that_noise_is_no_news() {
        let value = |value, step| Metric::number("n", value, step).value;
        assert_eq!(value(Some(61.26), 0.5), Some(Value::Double(61.5)));
        assert_eq!(value(Some(0.30000000000000004), 0.1), Some(Value::Double(0.3)));
        assert_eq!(value(Some(f64::NAN), 0.1), None);
        assert_eq!(value(None, 0.1), None);
    }

    #[test]
    fn a_count_beyond_the_range_stands_at_its_end() {
        assert_eq!(Metric::count("n", u64::MAX).value, Some(Value::Int(i64::MAX)));
    }

    #[test]
    fn only_value_and_quality_are_news() {
        let one = Metric { at_ms: Some(1), ..Metric::count("n", 1) };
        assert!(one.says(&Metric::count("n", 1)));
        assert!(!one.says(&Metric::count("n", 2)));
        assert!(!one.says(&Metric { quality: Some(Quality::Bad), ..Metric::count("n", 1) }));
    }
}
