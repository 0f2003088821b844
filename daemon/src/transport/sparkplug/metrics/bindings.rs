//! What bindings answered, as metrics: a device per binding, with the fields of its latest result.
//!
//! Decides how a result is shown. The usual fields are there from the first birth on, null until a result has them, so that a
//! host's tags do not come and go; others appear with the first result that has them.

use std::collections::BTreeMap;

use super::{Kind, Metric, Quality, Value};
use crate::transport::sparkplug::topic::{Distinct, safe};

/// Bindings that are shown at most.
pub const MOST_BINDINGS: usize = 256;
/// Fields of one result that are shown at most.
pub const MOST_FIELDS: usize = 64;
/// Longest text of a field, bytes; the rest is cut off.
const MOST_TEXT: usize = 4 << 10;

/// One field of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

/// What a binding answered last.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingResult {
    /// Name of the binding, as in the configuration.
    pub binding: String,
    /// Class, score, ok, count, text and others.
    pub fields: Vec<(String, Field)>,
    pub quality: Quality,
    /// Code of what is wrong; empty while the quality is good.
    pub reason: String,
    /// When the answer was given; milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// Results since the daemon started.
    pub results: u64,
    /// Those among them that were failures.
    pub errors: u64,
}

/// Metrics of one device that are to be shown from now on, all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub device: String,
    pub metrics: Vec<Metric>,
}

/// The bindings by name, with their devices.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    devices: BTreeMap<String, String>,
    distinct: Distinct,
    shown: BTreeMap<String, Vec<Metric>>,
}

/// The fields that are always shown.
const USUAL: [(&str, Kind); 5] = [
    ("class", Kind::String),
    ("score", Kind::Double),
    ("ok", Kind::Boolean),
    ("count", Kind::Int64),
    ("text", Kind::String),
];

impl Bindings {
    /// Shows a binding before its first result. `None` if there are too many, or if it is shown already.
    pub fn declare(&mut self, binding: &str) -> Option<Update> {
        if self.devices.contains_key(binding) || self.devices.len() >= MOST_BINDINGS {
            return None;
        }
        let device = self.distinct.take(format!("binding-{}", safe(binding)));
        let mut metrics: Vec<Metric> = USUAL.iter().map(|(name, kind)| Metric::of(&place(name), *kind, None)).collect();
        metrics.extend(around(Quality::Stale, "no_result", None, 0, 0));
        metrics.iter_mut().for_each(|metric| metric.quality = Some(Quality::Stale));
        self.devices.insert(binding.to_owned(), device.clone());
        self.shown.insert(device.clone(), metrics.clone());
        Some(Update { device, metrics })
    }

    /// There is no binding of this name any more; its device, if it had one.
    pub fn withdraw(&mut self, binding: &str) -> Option<String> {
        let device = self.devices.remove(binding)?;
        self.shown.remove(&device);
        self.distinct.give_back(&device);
        Some(device)
    }

    /// Takes a result. `None` if there are too many bindings to show this one.
    pub fn take(&mut self, result: &BindingResult) -> Option<Update> {
        self.declare(&result.binding);
        let device = self.devices.get(&result.binding)?.clone();
        let shown = self.shown.get_mut(&device)?;
        let around = around(result.quality, &result.reason, Some(result.at_ms), result.results, result.errors);
        for field in result.fields.iter().take(MOST_FIELDS).map(metric).chain(around) {
            put(shown, field);
        }
        for metric in shown.iter_mut() {
            metric.quality = Some(result.quality);
            metric.at_ms = Some(result.at_ms);
            // What a result does not have is not known: an old value beside new ones would lie.
            let is_given = !metric.name.starts_with(FIELDS)
                || result.fields.iter().take(MOST_FIELDS).any(|(name, _)| place(name) == metric.name);
            if result.quality == Quality::Good && !is_given {
                metric.value = None;
            }
        }
        Some(Update { device, metrics: shown.clone() })
    }
}

/// Folder of a result's fields.
const FIELDS: &str = "Result/";

fn place(name: &str) -> String {
    format!("{FIELDS}{}", safe(name))
}

fn around(quality: Quality, reason: &str, at_ms: Option<u64>, results: u64, errors: u64) -> [Metric; 5] {
    [
        Metric::text("Quality", quality.as_str()),
        Metric::text("Reason", reason),
        Metric::of("Time", Kind::DateTime, at_ms.map(Value::Time)),
        Metric::count("Counters/Results", results),
        Metric::count("Counters/Errors", errors),
    ]
}

fn metric((name, field): &(String, Field)) -> Metric {
    let (kind, value) = match field {
        Field::Flag(value) => (Kind::Boolean, Value::Bool(*value)),
        Field::Whole(value) => (Kind::Int64, Value::Int(*value)),
        Field::Number(value) => (Kind::Double, Value::Double(*value)),
        Field::Text(value) => (Kind::String, Value::Text(cut(value))),
    };
    Metric::of(&place(name), kind, Some(value).filter(is_known))
}

fn is_known(value: &Value) -> bool {
    !matches!(value, Value::Double(value) if !value.is_finite())
}

fn cut(text: &str) -> String {
    let end = (0..=MOST_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}

/// Puts a metric in its place. A number keeps the kind that its name had before: a score of exactly 1 is no whole number.
fn put(shown: &mut Vec<Metric>, mut metric: Metric) {
    let count = shown.len();
    match shown.iter_mut().find(|before| before.name.eq_ignore_ascii_case(&metric.name)) {
        Some(before) => {
            metric.value = metric.value.and_then(|value| fit(value, before.kind));
            metric.name.clone_from(&before.name);
            metric.kind = before.kind;
            *before = metric;
        }
        None if count < MOST_FIELDS + USUAL.len() + 5 => shown.push(metric),
        None => {}
    }
}

/// The value in another kind, if that is possible without a lie.
fn fit(value: Value, kind: Kind) -> Option<Value> {
    Some(match (value, kind) {
        (Value::Int(value), Kind::Double) => Value::Double(i32::try_from(value).ok()?.into()),
        (Value::Int(value), Kind::String) => Value::Text(value.to_string()),
        (Value::Double(value), Kind::String) => Value::Text(value.to_string()),
        (Value::Bool(value), Kind::String) => Value::Text(value.to_string()),
        (value @ Value::Bool(_), Kind::Boolean)
        | (value @ Value::Int(_), Kind::Int64)
        | (value @ Value::Double(_), Kind::Double)
        | (value @ Value::Text(_), Kind::String)
        | (value @ Value::Time(_), Kind::DateTime) => value,
        (Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Text(_) | Value::Time(_), _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(fields: &[(&str, Field)]) -> BindingResult {
        BindingResult {
            binding: "line 1".into(),
            fields: fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone())).collect(),
            quality: Quality::Good,
            reason: String::new(),
            at_ms: 1_000,
            results: 1,
            errors: 0,
        }
    }

    fn value(update: &Update, name: &str) -> Option<Value> {
        update.metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).value.clone()
    }

    #[test]
    fn a_binding_has_a_device_with_the_usual_fields_before_its_first_result() {
        let update = Bindings::default().declare("line 1").unwrap();
        assert_eq!(update.device, "binding-line_1");
        for name in ["Result/class", "Result/score", "Result/ok", "Result/count", "Result/text", "Time"] {
            assert_eq!(value(&update, name), None);
        }
        assert!(update.metrics.iter().all(|metric| metric.quality == Some(Quality::Stale)));
        assert_eq!(value(&update, "Reason"), Some(Value::Text("no_result".into())));
    }

    #[test]
    fn a_result_is_shown_with_its_time_and_quality_on_every_metric() {
        let update = Bindings::default()
            .take(&result(&[("class", Field::Text("crack".into())), ("score", Field::Number(0.93))]))
            .unwrap();
        assert_eq!(value(&update, "Result/class"), Some(Value::Text("crack".into())));
        assert_eq!(value(&update, "Result/score"), Some(Value::Double(0.93)));
        assert_eq!(value(&update, "Time"), Some(Value::Time(1_000)));
        for metric in &update.metrics {
            assert_eq!((metric.at_ms, metric.quality), (Some(1_000), Some(Quality::Good)), "{}", metric.name);
        }
    }

    #[test]
    fn a_field_that_the_next_result_does_not_have_is_not_known_any_more() {
        let mut bindings = Bindings::default();
        bindings.take(&result(&[("text", Field::Text("lot 7".into()))]));
        let update = bindings.take(&result(&[("ok", Field::Flag(false))])).unwrap();
        assert_eq!(value(&update, "Result/text"), None);
        assert_eq!(value(&update, "Result/ok"), Some(Value::Bool(false)));
    }

    #[test]
    fn a_failure_keeps_the_last_values_and_says_that_they_are_bad_and_why() {
        let mut bindings = Bindings::default();
        bindings.take(&result(&[("ok", Field::Flag(true))]));
        let failed = BindingResult { quality: Quality::Bad, reason: "overloaded".into(), errors: 1, ..result(&[]) };
        let update = bindings.take(&failed).unwrap();
        assert_eq!(value(&update, "Result/ok"), Some(Value::Bool(true)));
        assert_eq!(value(&update, "Reason"), Some(Value::Text("overloaded".into())));
        assert!(update.metrics.iter().all(|metric| metric.quality == Some(Quality::Bad)));
    }

    #[test]
    fn a_whole_score_stays_a_number_and_what_does_not_fit_its_kind_is_not_known() {
        let mut bindings = Bindings::default();
        let update = bindings.take(&result(&[("score", Field::Whole(1)), ("count", Field::Number(2.5))])).unwrap();
        assert_eq!(value(&update, "Result/score"), Some(Value::Double(1.0)));
        assert_eq!(value(&update, "Result/count"), None);
        let update = bindings.take(&result(&[("score", Field::Number(f64::NAN))])).unwrap();
        assert_eq!(value(&update, "Result/score"), None);
    }

    #[test]
    fn other_fields_appear_with_the_first_result_that_has_them_under_safe_names() {
        let update = Bindings::default().take(&result(&[("width/mm", Field::Number(4.5))])).unwrap();
        assert_eq!(value(&update, "Result/width_mm"), Some(Value::Double(4.5)));
    }

    #[test]
    fn fields_and_bindings_beyond_the_bounds_are_not_shown() {
        let mut bindings = Bindings::default();
        let fields: Vec<(String, Field)> = (0..500).map(|n| (format!("f{n}"), Field::Whole(n))).collect();
        let update = bindings.take(&BindingResult { fields, ..result(&[]) }).unwrap();
        assert!(update.metrics.len() <= MOST_FIELDS + 10, "{}", update.metrics.len());
        let more = (0..400).filter(|n| bindings.declare(&format!("b{n}")).is_some()).count();
        assert_eq!(more, MOST_BINDINGS - 1);
        assert!(bindings.take(&BindingResult { binding: "one more".into(), ..result(&[]) }).is_none());
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let update = Bindings::default().take(&result(&[("text", Field::Text("ä".repeat(5_000)))])).unwrap();
        let Some(Value::Text(text)) = value(&update, "Result/text") else { panic!("no text") };
        assert_eq!(text.len(), MOST_TEXT);
    }
}
