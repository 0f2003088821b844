//! What the governor says: in which regime the box is, what it may run now, what it could keep running, and what it has
//! learnt of its own heat.

use serde::{Deserialize, Serialize};

/// How much may run now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapacityInfo {
    /// Lanes that may run at the same time; 0 while the box is held or critical.
    pub lanes: u32,
    /// What the policy would allow.
    pub lanes_max: u32,
    /// Largest batch.
    pub batch: u32,
    /// What the policy would allow.
    pub batch_max: u32,
    /// Share of the time of all the policy's lanes that may be used, 0 to 1.
    pub duty: f64,
    /// Share that could be used for ever under present conditions, 0 to 1; absent until it is known.
    pub sustainable: Option<f64>,
    /// Why somebody holds the device; empty if nobody does.
    pub held: String,
}

/// What was learnt of one thermometer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThermalModel {
    /// Whether it is good enough to be relied on.
    pub trusted: bool,
    /// How long it takes until 63% of a lasting change is there, seconds.
    pub time_constant_s: f64,
    /// Kelvin that follow from one unit of the input in the end: per watt, or for the whole duty.
    pub gain_c: f64,
    /// Temperature without any input, degrees Celsius.
    pub rest_c: f64,
    /// Typical error of a prediction 60 s ahead, kelvin; absent before there was one.
    pub error_c: Option<f64>,
    /// Readings that it was fitted on, seconds.
    pub seen_s: f64,
}

/// One thermometer as the governor sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GovernedZone {
    /// Name of the zone.
    pub name: String,
    /// What it goes by, degrees Celsius: the reading without its noise, or what must be assumed without one.
    pub temp_c: f64,
    /// Why that is not the reading; empty if it is.
    pub doubt: String,
    /// Temperature that is not to be passed, degrees Celsius: the machine slows down there.
    pub trip_c: f64,
    /// Where a regime that it caused may end, degrees Celsius.
    pub reset_c: f64,
    /// What the governor aims below, degrees Celsius: the trip less the margin.
    pub target_c: f64,
    /// In 60 s at the present load, degrees Celsius; absent until it is known.
    pub ahead_c: Option<f64>,
    /// In the end at the present load, degrees Celsius; absent until it is known.
    pub steady_c: Option<f64>,
    /// Time until the trip at the present load, seconds; absent if it is never reached or not known.
    pub trip_in_s: Option<f64>,
    /// What was learnt.
    pub model: ThermalModel,
}

/// The governor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GovernorStatus {
    /// `boot`, `nominal`, `throttled`, `critical`, `slow` or `blind`.
    pub regime: String,
    /// Why, in words.
    pub reason: String,
    /// How long it has been in it, milliseconds.
    pub since_ms: u64,
    /// Distance to the nearest trip, kelvin; absent where nothing tells.
    pub headroom_c: Option<f64>,
    /// Name of the zone that is nearest to its trip; empty where nothing tells.
    pub tightest: String,
    /// What may run now.
    pub capacity: CapacityInfo,
    /// Share of the lanes' time that was used over the last ten seconds, 0 to 1.
    pub load: f64,
    /// What heats: `power` (watts) or `duty` (share of the lanes' time).
    pub input: String,
    /// Its mean over the last ten seconds.
    pub input_now: f64,
    /// Where the power is read: the name of a rail, `all rails` or `accelerator`; empty for `duty`.
    pub input_from: String,
    /// The thermometers that have a trip.
    pub zones: Vec<GovernedZone>,
    /// Models that take longer than they should, each with the likely cause.
    pub slow: Vec<SlowModel>,
}

/// A model that takes longer than its plan says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlowModel {
    /// `name:version`.
    pub model: String,
    /// How many times as long as planned it takes.
    pub factor: f64,
    /// The likely cause.
    pub cause: String,
}

/// One point of the governor's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GovernorPoint {
    /// How long ago, milliseconds.
    pub ago_ms: u64,
    /// First letter of the regime, or the word.
    pub regime: String,
    /// Of the tightest zone, degrees Celsius; absent where nothing tells.
    pub temp_c: Option<f64>,
    /// Its trip, degrees Celsius.
    pub trip_c: Option<f64>,
    /// Share of the lanes' time that was allowed.
    pub duty: f64,
    /// Share that was used.
    pub load: f64,
    /// Watts; absent without a rail.
    pub power_w: Option<f64>,
    /// Requests done per second.
    pub done_per_s: f64,
    /// Requests refused or shed per second.
    pub refused_per_s: f64,
    /// Requests that waited.
    pub waiting: u32,
}

/// A change of regime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegimeChange {
    /// How long ago, milliseconds.
    pub ago_ms: u64,
    /// The regime before.
    pub from: String,
    /// The regime since.
    pub to: String,
    /// Why, in words.
    pub reason: String,
}

/// What `edgectl governor` shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GovernorReport {
    /// Node name.
    pub node: String,
    /// Simulated hardware or engine.
    pub simulated: bool,
    /// As it is now.
    pub now: GovernorStatus,
    /// Every ten seconds, the oldest first; at most an hour.
    pub history: Vec<GovernorPoint>,
    /// The last changes of regime, the oldest first.
    pub changes: Vec<RegimeChange>,
}
