//! The page about the JSON documents names every key and every error code that there is.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene up has failed")]

use edge_wire::dto::{
    Counters, EngineStatus, Info, ModelStatus, MqttStatus, Platform, Problem, ProviderInfo, ReadingInfo, Status,
    TensorInfo, Trace, TraceStep,
};
use edge_wire::error::ErrorCode;
use serde_json::Value;

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md")).unwrap()
}

/// Every key of a document, however deep.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.push(key.clone());
            keys(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_every_record_is_explained() {
    let model = ModelStatus {
        providers: vec![ProviderInfo::default()],
        inputs: vec![TensorInfo::default()],
        ..ModelStatus::default()
    };
    let status = Status {
        platform: Platform::default(),
        engine: EngineStatus::default(),
        mqtt: MqttStatus::default(),
        counters: Counters::default(),
        models: vec![model],
        readings: vec![ReadingInfo::default()],
        problems: vec![Problem::default()],
        ..Status::default()
    };
    let said = |text: &str| text.to_owned();
    let info = Info {
        version: said("1"),
        variant: said("a"),
        site: said("a"),
        zone: said("a"),
        data_class: said("a"),
        provider: said("a"),
        duplicate: true,
        warnings: vec![said("a")],
        ..Info::default()
    };
    let trace = Trace { steps: vec![TraceStep::default()], info: Some(info), ..Trace::default() };
    let mut found = Vec::new();
    keys(&serde_json::to_value(status).unwrap(), &mut found);
    keys(&serde_json::to_value(trace).unwrap(), &mut found);
    assert!(found.len() > 90, "{}", found.len());
    let page = page();
    for key in found {
        assert!(page.contains(&format!("`{key}`")), "{key} is not explained");
    }
}

#[test]
fn every_error_code_is_in_the_table() {
    let page = page();
    for (_, word, ..) in ErrorCode::ALL {
        assert!(page.contains(&format!("| `{word}` |")), "{word}");
    }
}
