//! Sparkplug B's payload: protocol buffers, of which this node writes numbers, truth values, text and times, and reads what a
//! host writes to them.
//!
//! Decides what a payload looks like. Must not know what a metric means, nor when it is sent. Fields that are not named here
//! (data sets, templates, files) are skipped in what comes: nothing that can be written to here has them. Why the records stand
//! here and not in a crate: ADR 0038.

use prost::Message as _;

use super::metrics::{Kind, Metric as Shown, Quality, Value};

/// Largest command that is read, bytes. A host writes a few metrics at a time.
pub const MOST_BYTES: usize = 64 << 10;
/// Most metrics of a command that are looked at.
pub const MOST_METRICS: usize = 256;

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// When it was sent; milliseconds since 1970, UTC.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// Place in the order of the node's messages, 0 to 255; none in a death.
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
}

/// One metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// When the value was so; milliseconds since 1970, UTC.
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    /// Of an earlier time: it goes to the historian and not to the tag.
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub properties: Option<PropertySet>,
    #[prost(oneof = "metric::Value", tags = "10, 11, 12, 13, 14, 15")]
    pub value: Option<metric::Value>,
}

/// What a metric may hold.
pub mod metric {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        #[prost(uint32, tag = "10")]
        Int(u32),
        #[prost(uint64, tag = "11")]
        Long(u64),
        #[prost(float, tag = "12")]
        Float(f32),
        #[prost(double, tag = "13")]
        Double(f64),
        #[prost(bool, tag = "14")]
        Boolean(bool),
        #[prost(string, tag = "15")]
        String(String),
    }
}

/// What is said of a metric besides: names and as many values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PropertySet {
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<PropertyValue>,
}

/// One property; this node has whole numbers only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PropertyValue {
    #[prost(uint32, optional, tag = "1")]
    pub datatype: Option<u32>,
    /// The bits of a signed number.
    #[prost(uint32, optional, tag = "3")]
    pub int: Option<u32>,
}

/// The specification's number of a signed 32-bit whole number.
const INT32: u32 = 3;
/// The specification's name of the property that tells how far a value can be relied on.
const QUALITY: &str = "Quality";

/// How a metric is told apart on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// In a birth: the name, the number that stands for it, if it has one, and the datatype.
    Birth(Option<u64>),
    /// After it: the number alone.
    Alias(u64),
    /// In a death, which may be read without a birth.
    Name,
}

/// Why what came is not read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("a payload of {bytes} bytes; at most {MOST_BYTES} are read")]
    TooLarge { bytes: usize },
    #[error("read a Sparkplug payload")]
    Malformed(#[source] prost::DecodeError),
    #[error("a payload of {count} metrics; at most {MOST_METRICS} are read")]
    TooMany { count: usize },
}

impl Payload {
    /// Reads what a host sent.
    pub fn read(bytes: &[u8]) -> Result<Payload, PayloadError> {
        if bytes.len() > MOST_BYTES {
            return Err(PayloadError::TooLarge { bytes: bytes.len() });
        }
        let payload = Payload::decode(bytes).map_err(PayloadError::Malformed)?;
        match payload.metrics.len() {
            count if count > MOST_METRICS => Err(PayloadError::TooMany { count }),
            _ => Ok(payload),
        }
    }

    /// The bytes that are sent.
    pub fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// A metric as it is sent, at `now_ms` unless it has a time of its own.
pub fn metric(shown: &Shown, naming: Naming, now_ms: u64) -> Metric {
    let (name, alias, datatype) = match naming {
        Naming::Birth(alias) => (Some(shown.name.clone()), alias, Some(shown.kind.number())),
        Naming::Alias(alias) => (None, Some(alias), None),
        Naming::Name => (Some(shown.name.clone()), None, Some(shown.kind.number())),
    };
    Metric {
        name,
        alias,
        timestamp: Some(shown.at_ms.unwrap_or(now_ms)),
        datatype,
        is_historical: None,
        is_null: shown.value.is_none().then_some(true),
        properties: shown.quality.map(quality),
        value: shown.value.as_ref().map(value),
    }
}

fn quality(quality: Quality) -> PropertySet {
    let value = PropertyValue { datatype: Some(INT32), int: Some(quality.code()) };
    PropertySet { keys: vec![QUALITY.into()], values: vec![value] }
}

fn value(value: &Value) -> metric::Value {
    match value {
        Value::Bool(value) => metric::Value::Boolean(*value),
        Value::Int(value) => metric::Value::Long(value.cast_unsigned()),
        Value::Double(value) => metric::Value::Double(*value),
        Value::Text(value) => metric::Value::String(value.clone()),
        Value::Time(value) => metric::Value::Long(*value),
    }
}

/// What a host writes to a metric of this kind; `None` if it does not fit.
pub fn written(metric: &Metric, kind: Kind) -> Option<Value> {
    match (kind, metric.value.as_ref()?) {
        (Kind::Boolean, metric::Value::Boolean(value)) => Some(Value::Bool(*value)),
        (Kind::Int64, metric::Value::Long(value)) => Some(Value::Int(value.cast_signed())),
        (Kind::Int64, metric::Value::Int(value)) => Some(Value::Int(value.cast_signed().into())),
        (Kind::Double, metric::Value::Double(value)) => Some(Value::Double(*value)),
        (Kind::Double, metric::Value::Float(value)) => Some(Value::Double((*value).into())),
        (Kind::String, metric::Value::String(value)) => Some(Value::Text(value.clone())),
        (Kind::DateTime, metric::Value::Long(value)) => Some(Value::Time(*value)),
        (Kind::Boolean | Kind::Int64 | Kind::Double | Kind::String | Kind::DateTime, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: Option<Value>, kind: Kind) -> Shown {
        Shown { name: "Health/State".into(), kind, value, quality: None, at_ms: None }
    }

    #[test]
    fn a_birth_has_name_alias_datatype_value_and_time_and_data_has_the_alias_alone() {
        let state = shown(Some(Value::Text("ready".into())), Kind::String);
        let birth = metric(&state, Naming::Birth(Some(7)), 1_000);
        assert_eq!((birth.name.as_deref(), birth.alias, birth.datatype), (Some("Health/State"), Some(7), Some(12)));
        assert_eq!((birth.timestamp, birth.is_null), (Some(1_000), None));
        assert_eq!(birth.value, Some(metric::Value::String("ready".into())));
        let data = metric(&state, Naming::Alias(7), 2_000);
        assert_eq!((data.name, data.alias, data.datatype, data.timestamp), (None, Some(7), None, Some(2_000)));
    }

    #[test]
    fn the_datatypes_are_the_numbers_of_the_specification_in_thirty_two_bits() {
        let kinds = [Kind::Int64, Kind::Double, Kind::Boolean, Kind::String, Kind::DateTime];
        assert_eq!(kinds.map(Kind::number), [4, 10, 11, 12, 13]);
    }

    #[test]
    fn a_value_that_is_not_known_is_null_and_has_no_value() {
        let birth = metric(&shown(None, Kind::Double), Naming::Birth(Some(1)), 5);
        assert_eq!((birth.is_null, birth.value), (Some(true), None));
    }

    #[test]
    fn a_time_of_its_own_goes_before_that_of_the_message_and_is_in_milliseconds_of_utc() {
        let mut taken = shown(Some(Value::Time(1_790_000_000_123)), Kind::DateTime);
        taken.at_ms = Some(1_790_000_000_123);
        let sent = metric(&taken, Naming::Alias(1), 1_790_000_009_999);
        assert_eq!(sent.timestamp, Some(1_790_000_000_123));
        assert_eq!(sent.value, Some(metric::Value::Long(1_790_000_000_123)));
    }

    #[test]
    fn a_quality_is_a_signed_number_of_the_three_codes_with_one_value_for_its_one_name() {
        for (quality, code) in [(Quality::Good, 192), (Quality::Stale, 500), (Quality::Bad, 0)] {
            let mut shown = shown(Some(Value::Int(1)), Kind::Int64);
            shown.quality = Some(quality);
            let properties = metric(&shown, Naming::Birth(Some(1)), 0).properties.unwrap();
            assert_eq!(properties.keys, ["Quality"]);
            assert_eq!(properties.values, [PropertyValue { datatype: Some(3), int: Some(code) }]);
        }
    }

    #[test]
    fn what_is_written_comes_back_in_the_kind_of_its_metric_and_no_other() {
        for (value, kind) in [
            (Value::Bool(true), Kind::Boolean),
            (Value::Int(-3), Kind::Int64),
            (Value::Double(0.5), Kind::Double),
            (Value::Text("1.2.0".into()), Kind::String),
            (Value::Time(9), Kind::DateTime),
        ] {
            let sent = metric(&shown(Some(value.clone()), kind), Naming::Name, 1);
            let payload = Payload { timestamp: Some(1), metrics: vec![sent], seq: None };
            let read = Payload::read(&payload.write()).unwrap();
            assert_eq!(read, payload);
            assert_eq!(written(&read.metrics[0], kind), Some(value));
            let other = if kind == Kind::Boolean { Kind::String } else { Kind::Boolean };
            assert_eq!(written(&read.metrics[0], other), None);
        }
    }

    #[test]
    fn a_whole_number_of_thirty_two_bits_keeps_its_sign() {
        let sent = Metric { value: Some(metric::Value::Int(u32::MAX)), ..Metric::default() };
        assert_eq!(written(&sent, Kind::Int64), Some(Value::Int(-1)));
    }

    #[test]
    fn what_is_too_large_too_many_or_no_payload_is_refused_with_its_reason() {
        let said = |bytes: &[u8]| Payload::read(bytes).unwrap_err().to_string();
        assert!(said(&vec![0; MOST_BYTES + 1]).contains("65537 bytes"));
        assert!(said(&[0x0A]).contains("read a Sparkplug payload"));
        let many = Payload { metrics: vec![Metric::default(); MOST_METRICS + 1], ..Payload::default() };
        assert!(said(&many.write()).contains("257 metrics"));
    }

    #[test]
    fn what_other_nodes_use_and_this_one_does_not_is_skipped() {
        // A metric with metadata (8), bytes (16), a data set (17) and a template (18), in a payload with a uuid (4) and a body (5).
        let metric = [&[0x10, 7, 0x42, 0][..], &[0x82, 1, 1, 9], &[0x8A, 1, 0], &[0x92, 1, 0]].concat();
        let length = u8::try_from(metric.len()).unwrap();
        let bytes = [&[0x12, length][..], &metric, &[0x22, 1, b'u', 0x2A, 1, 0]].concat();
        let read = Payload::read(&bytes).unwrap();
        assert_eq!(read.metrics, [Metric { alias: Some(7), ..Metric::default() }]);
    }
}
