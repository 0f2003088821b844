//! The daemon's state as metrics: the box itself, and each model as a device.
//!
//! What changes with every request (waiting, running) is in it all the same: the node tells what changed at most once in the
//! interval that the operator set.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::{ModelStatus, ReadingInfo, Status};
use edge_wire::mqtt::retained::shown_models;

use super::{ACTIVATE, DRAIN, Device, Metric, Permits, Picture};
use crate::transport::sparkplug::topic::{Distinct, safe};

/// Devices of models that are shown at most; a box holds far fewer.
pub const MOST_MODELS: usize = 256;
/// Thermometers that are shown at most.
const MOST_ZONES: usize = 64;
/// Over how long a rate is taken.
const WINDOW: Duration = Duration::from_secs(10);
/// Pause between two counts that a rate is taken of.
const STEP: Duration = Duration::from_secs(1);
/// Temperatures that differ by less are no news; kelvin.
const KELVIN: f64 = 0.5;
/// The same for shares, rates, watts and milliseconds.
const FINE: f64 = 0.1;
const SHARE: f64 = 0.01;

/// What was served of one model over the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Served {
    pub count: u64,
    pub failed: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Counts as they were, for rates: by model, and of the whole box by the empty name.
#[derive(Clone, Debug, Default)]
pub struct Rates(BTreeMap<String, VecDeque<(Mono, u64)>>);

impl Rates {
    /// How many a second over the last [`WINDOW`], with `count` as it is now; 0 until there are two counts.
    fn of(&mut self, name: &str, now: Mono, count: u64) -> f64 {
        let counts = self.0.entry(name.to_owned()).or_default();
        // A count that went back is another one's: of a version that took over, or of models that were removed.
        if counts.back().is_some_and(|(_, last)| *last > count) {
            counts.clear();
        }
        if counts.back().is_none_or(|(at, _)| now.since(*at) >= STEP) {
            counts.push_back((now, count));
        }
        // One that is older than the window stays, as the rate's beginning.
        while counts.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            counts.pop_front();
        }
        let Some((at, first)) = counts.front() else { return 0.0 };
        let seconds = now.since(*at).as_secs_f64();
        let done = u32::try_from(count.saturating_sub(*first)).unwrap_or(u32::MAX);
        if seconds < STEP.as_secs_f64() { 0.0 } else { f64::from(done) / seconds }
    }

    fn keep(&mut self, models: &[&ModelStatus]) {
        self.0.retain(|name, _| name.is_empty() || models.iter().any(|model| model.name == *name));
    }
}

/// The box and its models at `now`.
pub fn picture(
    status: &Status,
    served: &BTreeMap<String, Served>,
    permits: Permits,
    rates: &mut Rates,
    now: Mono,
) -> Picture {
    let models: Vec<&ModelStatus> = shown_models(status).into_iter().filter(|model| !is_part(model)).collect();
    rates.keep(&models);
    let mut distinct = Distinct::default();
    let devices = models.into_iter().take(MOST_MODELS).map(|model| {
        let per_second = rates.of(&model.name, now, model.done);
        let metrics = model_metrics(model, served.get(&model.name), permits, per_second);
        (distinct.take(format!("model-{}", safe(&model.name))), Device { model: model.name.clone(), metrics })
    });
    let devices = devices.collect();
    let per_second = rates.of("", now, status.counters.done);
    Picture { node: node_metrics(status, permits, per_second), devices }
}

/// Adapters, tokenizers and the like serve nothing themselves.
fn is_part(model: &ModelStatus) -> bool {
    matches!(model.task.as_str(), "adapter" | "tokenizer" | "labels" | "weights")
}

fn node_metrics(status: &Status, permits: Permits, per_second: f64) -> Vec<Metric> {
    let governor = &status.governor;
    let problem = status.problems.first().map(|problem| format!("{}: {}", problem.subject, problem.what));
    let problems = u64::try_from(status.problems.len()).unwrap_or(u64::MAX);
    let mut metrics = Vec::new();
    if permits.drain {
        metrics.push(Metric::flag(DRAIN, matches!(status.state.as_str(), "draining" | "drained")));
    }
    metrics.extend([
        Metric::text("Health/State", &status.state),
        Metric::text("Health/Reason", &status.reason),
        Metric::count("Health/Problems", problems),
        Metric::text("Health/Problem", &problem.unwrap_or_default()),
        Metric::text("Thermal/Regime", &governor.regime),
        Metric::number("Thermal/Headroom_C", governor.headroom_c, KELVIN),
        Metric::text("Thermal/Tightest", &governor.tightest),
        Metric::number("Power/Power_W", power(status), FINE),
        Metric::count("Capacity/Lanes", governor.capacity.lanes.into()),
        Metric::count("Capacity/Lanes_Max", governor.capacity.lanes_max.into()),
        Metric::count("Capacity/Batch", governor.capacity.batch.into()),
        Metric::number("Capacity/Duty", Some(governor.capacity.duty), SHARE),
        Metric::number("Capacity/Load", Some(governor.load), SHARE),
        Metric::count("Requests/Done", status.counters.done),
        Metric::count("Requests/Failed", status.counters.failed),
        Metric::count("Requests/Refused", status.counters.refused),
        Metric::count("Requests/Waiting", status.waiting.into()),
        Metric::count("Requests/Running", status.running.into()),
        Metric::number("Requests/Per_Second", Some(per_second), FINE),
        Metric::text("Properties/Version", &status.version),
        Metric::text("Properties/Node", &status.node),
        Metric::flag("Properties/Simulated", status.simulated),
        Metric::text("Properties/Hardware Model", &status.platform.machine),
        Metric::text("Properties/OS", &status.platform.os),
        Metric::text("Properties/OS Version", &status.platform.kernel),
        Metric::text("Properties/Architecture", &status.platform.architecture),
        Metric::count("Properties/Cores", status.platform.cores.into()),
        Metric::count("Properties/Memory_Bytes", status.platform.memory_bytes),
    ]);
    let mut distinct = Distinct::default();
    for zone in governor.zones.iter().take(MOST_ZONES) {
        let name = distinct.take(safe(&zone.name));
        metrics.push(Metric::number(&format!("Thermal/Zones/{name}/Temperature_C"), Some(zone.temp_c), KELVIN));
        metrics.push(Metric::number(&format!("Thermal/Zones/{name}/Trip_C"), Some(zone.trip_c), KELVIN));
    }
    metrics
}

/// What the box takes, where a rail can be read.
fn power(status: &Status) -> Option<f64> {
    let is_power = |reading: &&ReadingInfo| reading.name == "power_w" || reading.name.starts_with("power_w.");
    let measured = status.readings.iter().filter(is_power).find_map(|reading| reading.value);
    let governor = &status.governor;
    measured.or((governor.input == "power").then_some(governor.input_now))
}

fn model_metrics(model: &ModelStatus, served: Option<&Served>, permits: Permits, per_second: f64) -> Vec<Metric> {
    let mut metrics = Vec::new();
    // What no version is installed of (a pipeline) has none to be made the active one.
    if permits.activate && !model.installed_at.is_empty() {
        metrics.push(Metric::text(ACTIVATE, if model.active { &model.version } else { "" }));
    }
    let provider = model.providers.first().map_or("", |provider| &provider.name);
    let service_ms = (model.service_us > 0).then(|| Duration::from_micros(model.service_us).as_secs_f64() * 1e3);
    metrics.extend([
        Metric::text("Health/State", &model.state),
        Metric::text("Health/Reason", &model.reason),
        Metric::flag("Health/Ready", model.state == "ready"),
        Metric::text("Version", &model.version),
        Metric::text("Variant", &model.variant),
        Metric::text("Provider", provider),
        Metric::text("Task", &model.task),
        Metric::count("Requests/Done", model.done),
        Metric::count("Requests/Waiting", model.waiting.into()),
        Metric::number("Requests/Per_Second", Some(per_second), FINE),
        Metric::count("Recent/Requests", served.map_or(0, |served| served.count)),
        Metric::count("Recent/Errors", served.map_or(0, |served| served.failed)),
        Metric::number("Recent/Latency_P50_ms", served.map(|served| served.p50_ms), FINE),
        Metric::number("Recent/Latency_P99_ms", served.map(|served| served.p99_ms), FINE),
        Metric::number("Service_ms", service_ms, FINE),
    ]);
    metrics
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::{Problem, ProviderInfo};
    use edge_wire::governor::GovernedZone;

    use super::super::{Kind, Value};
    use super::*;

    const ALL: Permits = Permits { drain: true, activate: true };

    fn status() -> Status {
        let model = ModelStatus {
            name: "label.v1".into(),
            version: "1.2.0".into(),
            state: "ready".into(),
            active: true,
            installed_at: "2026-11-28T00:00:00Z".into(),
            providers: vec![ProviderInfo { name: "cpu".into(), share: 1.0 }],
            done: 10,
            service_us: 1_540,
            ..ModelStatus::default()
        };
        let mut status = Status { state: "serving".into(), models: vec![model], ..Status::default() };
        status.governor.regime = "nominal".into();
        status.governor.headroom_c = Some(20.3);
        status.governor.zones =
            vec![GovernedZone { name: "cpu thermal/0".into(), temp_c: 60.1, trip_c: 95.0, ..GovernedZone::default() }];
        status.readings =
            vec![ReadingInfo { name: "power_w.VDD_IN".into(), value: Some(7.26), absent: String::new(), age_ms: 0 }];
        status
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn shown(status: &Status, permits: Permits) -> Picture {
        picture(status, &BTreeMap::new(), permits, &mut Rates::default(), at(0))
    }

    fn value<'a>(metrics: &'a [Metric], name: &str) -> &'a Option<Value> {
        &metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).value
    }

    #[test]
    fn the_box_is_shown_with_health_heat_power_and_capacity() {
        let node = shown(&status(), ALL).node;
        assert_eq!(value(&node, "Health/State"), &Some(Value::Text("serving".into())));
        assert_eq!(value(&node, "Thermal/Headroom_C"), &Some(Value::Double(20.5)));
        assert_eq!(value(&node, "Thermal/Zones/cpu_thermal_0/Temperature_C"), &Some(Value::Double(60.0)));
        assert_eq!(value(&node, "Power/Power_W"), &Some(Value::Double(7.3)));
    }

    #[test]
    fn each_model_is_a_device_under_a_name_that_is_safe() {
        let devices = shown(&status(), ALL).devices;
        let device = &devices["model-label_v1"];
        assert_eq!(device.model, "label.v1");
        assert_eq!(value(&device.metrics, "Version"), &Some(Value::Text("1.2.0".into())));
        assert_eq!(value(&device.metrics, "Provider"), &Some(Value::Text("cpu".into())));
        assert_eq!(value(&device.metrics, "Service_ms"), &Some(Value::Double(1.5)));
        assert_eq!(value(&device.metrics, "Recent/Latency_P99_ms"), &None);
    }

    #[test]
    fn models_whose_safe_names_are_the_same_are_two_devices() {
        let mut status = status();
        let other = ModelStatus { name: "label_v1".into(), ..status.models[0].clone() };
        status.models.push(other);
        let devices = shown(&status, ALL).devices;
        assert_eq!(devices["model-label_v1"].model, "label.v1");
        assert_eq!(devices["model-label_v1_2"].model, "label_v1");
    }

    #[test]
    fn a_part_of_models_is_no_device() {
        let mut status = status();
        status.models[0].task = "tokenizer".into();
        assert!(shown(&status, ALL).devices.is_empty());
    }

    #[test]
    fn what_may_not_be_commanded_is_not_shown_to_be_written() {
        let names = |permits| {
            let picture = shown(&status(), permits);
            let device = picture.devices["model-label_v1"].metrics.clone();
            picture.node.into_iter().chain(device).filter(|metric| metric.name.contains("Control/")).count()
        };
        assert_eq!(names(Permits::default()), 0);
        assert_eq!(names(Permits { drain: true, activate: false }), 1);
        assert_eq!(names(ALL), 2);
    }

    #[test]
    fn the_first_problem_is_told_in_words_and_all_are_counted() {
        let mut status = status();
        let problem = |what: &str| Problem { subject: "broker".into(), what: what.into(), remedy: String::new() };
        status.problems = vec![problem("gone"), problem("late")];
        let node = shown(&status, ALL).node;
        assert_eq!(value(&node, "Health/Problems"), &Some(Value::Int(2)));
        assert_eq!(value(&node, "Health/Problem"), &Some(Value::Text("broker: gone".into())));
    }

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds_and_begins_anew_with_a_count_that_went_back() {
        let mut rates = Rates::default();
        let counts = [(0, 0), (1, 20), (2, 40), (5, 100), (10, 200), (15, 300)];
        let seen: Vec<f64> = counts.map(|(second, count)| rates.of("m", at(second), count)).to_vec();
        assert_eq!(seen, [0.0, 20.0, 20.0, 20.0, 20.0, 20.0]);
        assert_eq!(rates.of("m", at(40), 300), 0.0);
        assert_eq!(rates.of("m", at(41), 5), 0.0);
        assert_eq!(rates.of("m", at(43), 25), 10.0);
    }

    #[test]
    fn what_was_served_lately_is_shown_once_it_is_known() {
        let served = Served { count: 7, failed: 1, p50_ms: 12.34, p99_ms: 50.0 };
        let served = BTreeMap::from([("label.v1".to_owned(), served)]);
        let picture = picture(&status(), &served, ALL, &mut Rates::default(), at(0));
        let metrics = &picture.devices["model-label_v1"].metrics;
        assert_eq!(value(metrics, "Recent/Latency_P50_ms"), &Some(Value::Double(12.3)));
        assert_eq!(value(metrics, "Recent/Errors"), &Some(Value::Int(1)));
    }

    #[test]
    fn no_two_metrics_of_a_device_have_names_that_differ_only_in_case() {
        let picture = shown(&status(), ALL);
        for metrics in picture.devices.values().map(|device| &device.metrics).chain([&picture.node]) {
            let names: std::collections::BTreeSet<String> = metrics.iter().map(|m| m.name.to_lowercase()).collect();
            assert_eq!(names.len(), metrics.len());
        }
    }

    #[test]
    fn every_value_is_of_the_kind_of_its_metric() {
        let picture = shown(&status(), ALL);
        for metric in picture.devices.values().flat_map(|device| &device.metrics).chain(&picture.node) {
            let fits = matches!(
                (&metric.value, metric.kind),
                (None, Kind::Double)
                    | (Some(Value::Bool(_)), Kind::Boolean)
                    | (Some(Value::Int(_)), Kind::Int64)
                    | (Some(Value::Double(_)), Kind::Double)
                    | (Some(Value::Text(_)), Kind::String)
            );
            assert!(fits, "{metric:?}");
        }
    }
}
