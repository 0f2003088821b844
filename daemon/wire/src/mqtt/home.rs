//! Discovery by Home Assistant: what it is told of a box, its models and its bindings, so that it makes entities of them. Decides
//! which entities there are and from which of the box's topics each is read; one retained message each. Must not know when they
//! are published.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::retained::{OFFLINE, ONLINE, shown_models};
use super::topic::Topics;
use crate::dto::{ReadingInfo, Status};

/// What Home Assistant publishes when it is there: then everything is published again.
pub const BIRTH: &str = "online";
/// Entities of one box at most.
pub const MOST: usize = 512;

/// A value that a binding publishes on a topic of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flat {
    /// Name of the binding.
    pub binding: String,
    /// Name of the source, safe for topics.
    pub source: String,
    /// `class`, `score`, `count`, `text`, `ok`, `quality`, `reason` or `time`.
    pub field: &'static str,
    /// Where it is published.
    pub topic: String,
    /// As `{"value", ...}`, not alone.
    pub is_json: bool,
}

/// Where Home Assistant says that it is there.
pub fn birth_topic(prefix: &str) -> String {
    format!("{prefix}/status")
}

/// Filter of everything that was published for this box.
pub fn own_filter(prefix: &str, node: &str) -> String {
    format!("{prefix}/+/{}/+/config", object(node))
}

/// Whether a topic is one of those.
pub fn is_own(prefix: &str, node: &str, topic: &str) -> bool {
    let rest = topic.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
    let mut levels = rest.unwrap_or_default().split('/');
    let (_, of, _, last) = (levels.next(), levels.next(), levels.next(), levels.next());
    of == Some(object(node).as_str()) && last == Some("config") && levels.next().is_none()
}

/// The topics and messages of all entities of a box.
pub fn entities(status: &Status, topics: &Topics, prefix: &str, flat: &[Flat]) -> BTreeMap<String, String> {
    let told = Told { status, topics, prefix };
    let mut all = vec![
        told.sensor("state", "State", &topics.state(), "{{ value_json.state }}", json!({ "icon": "mdi:chip" })),
        told.sensor(
            "regime",
            "Regime",
            &topics.telemetry(),
            "{{ value_json.regime }}",
            json!({ "icon": "mdi:thermometer-alert" }),
        ),
        told.problem(),
        told.sensor(
            "requests",
            "Requests done",
            &topics.telemetry(),
            "{{ value_json.counters.done }}",
            json!({ "state_class": "total_increasing", "icon": "mdi:counter" }),
        ),
    ];
    all.extend(status.readings.iter().filter_map(|reading| told.reading(reading)));
    for model in shown_models(status) {
        let name = &model.name;
        let topic = topics.model(name);
        let icon = json!({ "icon": "mdi:brain", "json_attributes_topic": topic });
        all.push(told.sensor(
            &format!("model_{name}"),
            &format!("Model {name}"),
            &topic,
            "{{ value_json.state }}",
            icon,
        ));
        let icon = json!({ "icon": "mdi:tag" });
        let (key, title) = (format!("model_{name}_version"), format!("Model {name} version"));
        all.push(told.sensor(&key, &title, &topic, "{{ value_json.version }}", icon));
    }
    all.extend(flat.iter().map(|flat| told.flat(flat)));
    all.into_iter().take(MOST).collect()
}

/// The box that they belong to.
struct Told<'a> {
    status: &'a Status,
    topics: &'a Topics,
    prefix: &'a str,
}

impl Told<'_> {
    fn sensor(&self, key: &str, title: &str, topic: &str, template: &str, more: Value) -> (String, String) {
        let mut record = Map::new();
        record.insert("value_template".into(), template.into());
        self.entity("sensor", key, title, topic, record, more)
    }

    fn problem(&self) -> (String, String) {
        let template = "{{ 'ON' if value_json.problems | length > 0 else 'OFF' }}";
        let mut record = Map::new();
        record.insert("value_template".into(), template.into());
        let topic = self.topics.state();
        let more = json!({ "device_class": "problem", "json_attributes_topic": topic });
        self.entity("binary_sensor", "problem", "Problem", &topic, record, more)
    }

    /// A reading whose unit is known.
    fn reading(&self, reading: &ReadingInfo) -> Option<(String, String)> {
        reading.value?;
        let name = &reading.name;
        // By the end of the name: its unit, what it is, and how its value becomes one of that unit.
        let (unit, class, scale) = match () {
            () if name.ends_with("_milli_c") => ("°C", Some("temperature"), " / 1000"),
            () if name.ends_with("_c") || name.ends_with("_celsius") || name == "temperature_c" => {
                ("°C", Some("temperature"), "")
            }
            () if name.ends_with("_milli_w") => ("W", Some("power"), " / 1000"),
            () if name.ends_with("_w") => ("W", Some("power"), ""),
            () if name.ends_with("_percent") => ("%", None, ""),
            () if name.ends_with("_bytes") => ("MiB", Some("data_size"), " / 1048576"),
            () => return None,
        };
        let template = format!(
            "{{{{ ((value_json.readings | selectattr('name', 'eq', '{name}') | first).value{scale}) | round(1) }}}}"
        );
        let mut more = json!({ "unit_of_measurement": unit, "state_class": "measurement" });
        if let (Some(class), Some(more)) = (class, more.as_object_mut()) {
            more.insert("device_class".into(), class.into());
        }
        let topic = self.topics.telemetry();
        let title = name.replace('_', " ");
        Some(self.sensor(&format!("reading_{}", object(name)), &title, &topic, &template, more))
    }

    fn flat(&self, flat: &Flat) -> (String, String) {
        let Flat { binding, source, field, topic, is_json } = flat;
        let (key, title) = (format!("{binding}_{source}_{field}"), format!("{binding} {source} {field}"));
        let mut record = Map::new();
        if *is_json {
            record.insert("value_template".into(), "{{ value_json.value }}".into());
        }
        let more = match *field {
            "score" | "count" => json!({ "state_class": "measurement" }),
            "time" => json!({ "device_class": "timestamp" }),
            _ => json!({}),
        };
        if *field == "ok" {
            let template = if *is_json { "{{ value_json.value | lower }}" } else { "{{ value | lower }}" };
            record.insert("value_template".into(), template.into());
            let more = json!({ "payload_on": "true", "payload_off": "false" });
            return self.entity("binary_sensor", &key, &title, topic, record, more);
        }
        self.entity("sensor", &key, &title, topic, record, more)
    }

    fn entity(
        &self,
        component: &str,
        key: &str,
        title: &str,
        topic: &str,
        mut record: Map<String, Value>,
        more: Value,
    ) -> (String, String) {
        let (node, key) = (object(&self.status.node), object(key));
        record.extend([
            ("name".to_owned(), title.into()),
            ("unique_id".to_owned(), format!("edged_{node}_{key}").into()),
            ("state_topic".to_owned(), topic.into()),
            ("availability_topic".to_owned(), self.topics.available().into()),
            ("payload_available".to_owned(), ONLINE.into()),
            ("payload_not_available".to_owned(), OFFLINE.into()),
            ("device".to_owned(), self.device()),
            ("origin".to_owned(), json!({ "name": "edged", "sw_version": self.status.version })),
        ]);
        if let Value::Object(more) = more {
            record.extend(more);
        }
        (format!("{}/{component}/{node}/{key}/config", self.prefix), Value::Object(record).to_string())
    }

    fn device(&self) -> Value {
        json!({
            "identifiers": [format!("edged_{}", object(&self.status.node))],
            "name": self.status.node,
            "manufacturer": "edged",
            "model": self.status.platform.machine,
            "sw_version": self.status.version,
        })
    }
}

/// A name that fits into a topic of Home Assistant: letters, digits, `_` and `-`.
fn object(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    name.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::ModelStatus;

    fn status() -> Status {
        let reading = |name: &str, value| ReadingInfo { name: name.into(), value, ..ReadingInfo::default() };
        Status {
            node: "press.7".into(),
            version: "0.1.0".into(),
            models: vec![ModelStatus { name: "text-line".into(), active: true, ..ModelStatus::default() }],
            readings: vec![
                reading("temperature_c", Some(54.5)),
                reading("power_milli_w", Some(4000.0)),
                reading("cpu_load_percent", None),
                reading("odd", Some(1.0)),
            ],
            ..Status::default()
        }
    }

    fn flat(field: &'static str, is_json: bool) -> Flat {
        Flat { binding: "line".into(), source: "7".into(), field, topic: format!("plc/7/{field}"), is_json }
    }

    #[test]
    fn every_entity_has_what_home_assistant_asks_of_one() {
        let topics = Topics::new("edge", "press.7");
        let all = entities(&status(), &topics, "homeassistant", &[flat("ok", false), flat("score", true)]);
        let keys: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "homeassistant/binary_sensor/press_7/line_7_ok/config",
                "homeassistant/binary_sensor/press_7/problem/config",
                "homeassistant/sensor/press_7/line_7_score/config",
                "homeassistant/sensor/press_7/model_text-line/config",
                "homeassistant/sensor/press_7/model_text-line_version/config",
                "homeassistant/sensor/press_7/reading_power_milli_w/config",
                "homeassistant/sensor/press_7/reading_temperature_c/config",
                "homeassistant/sensor/press_7/regime/config",
                "homeassistant/sensor/press_7/requests/config",
                "homeassistant/sensor/press_7/state/config",
            ]
        );
        let mut ids = Vec::new();
        for (topic, text) in &all {
            let record: Value = serde_json::from_str(text).unwrap();
            for name in ["name", "unique_id", "state_topic", "availability_topic"] {
                assert!(record[name].is_string(), "{topic} {name}");
            }
            assert_eq!(record["device"]["identifiers"][0], "edged_press_7");
            assert!(is_own("homeassistant", "press.7", topic), "{topic}");
            ids.push(record["unique_id"].clone());
        }
        ids.dedup();
        assert_eq!(ids.len(), all.len());
        let of = |topic: &str| serde_json::from_str::<Value>(&all[topic]).unwrap();
        assert_eq!(of("homeassistant/sensor/press_7/reading_power_milli_w/config")["unit_of_measurement"], "W");
        assert_eq!(of("homeassistant/sensor/press_7/line_7_score/config")["value_template"], "{{ value_json.value }}");
        assert_eq!(of("homeassistant/binary_sensor/press_7/line_7_ok/config")["payload_on"], "true");
    }

    #[test]
    fn only_the_topics_of_this_box_are_its_own() {
        for (topic, own) in [
            ("homeassistant/sensor/press_7/state/config", true),
            ("homeassistant/sensor/press_8/state/config", false),
            ("homeassistant/sensor/press_7/state", false),
            ("homeassistant/sensor/press_7/state/config/x", false),
            ("other/sensor/press_7/state/config", false),
        ] {
            assert_eq!(is_own("homeassistant", "press.7", topic), own, "{topic}");
        }
    }
}
