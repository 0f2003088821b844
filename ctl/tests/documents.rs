//! The page about the JSON documents explains every key where its record stands, and every error code that there is.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its scene up has failed")]

use edge_wire::dto::{
    BindingStatus, FleetModel, FleetStatus, Info, ModelStatus, MqttStatus, Problem, ProviderInfo, ReadingInfo, Status,
    TensorInfo, Trace, TraceStep,
};
use edge_wire::error::ErrorCode;
use edge_wire::governor::{GovernorReport, GovernorStatus};
use edge_wire::hardware::Hardware;
use edge_wire::sites::{AuditEntry, Explanation, Replay, RoutingStatus, SiteStatus, UsageRow};
use serde_json::{Value, json};

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md")).unwrap()
}

/// The text below this heading, up to the next.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let heading = format!("\n## {title}\n");
    let (_, below) = page.split_once(&heading).unwrap_or_else(|| panic!("no section {title:?}"));
    below.split("\n## ").next().unwrap()
}

/// The row of a table, or the paragraph, that begins with this key.
fn entry<'a>(section: &'a str, key: &str) -> &'a str {
    let row = section.lines().find(|line| line.starts_with("| ") && before_meaning(line).contains(&quoted(key)));
    let paragraph = || section.split("\n\n").find(|text| text.starts_with(&format!("{}:", quoted(key))));
    paragraph().or(row).unwrap_or_else(|| panic!("{key} has no entry"))
}

/// The cell of the keys.
fn before_meaning(row: &str) -> &str {
    row.trim_start_matches("| ").split(" | ").next().unwrap_or_default()
}

fn quoted(key: &str) -> String {
    format!("`{key}`")
}

/// Every field of `record` has an entry; the fields of a record inside it are named in that entry, unless it has a
/// section of its own.
fn check(section: &str, record: &Value, elsewhere: &[&str]) {
    for (key, value) in record.as_object().unwrap() {
        let text = entry(section, key);
        if elsewhere.contains(&key.as_str()) {
            continue;
        }
        let inner = value.as_array().and_then(|list| list.first()).unwrap_or(value);
        for name in inner.as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(text.contains(&quoted(name)), "{name} is not explained with {key}: {text}");
        }
    }
}

#[test]
fn every_key_of_every_record_is_explained_where_the_record_is() {
    let said = |text: &str| text.to_owned();
    let model = ModelStatus {
        providers: vec![ProviderInfo::default()],
        inputs: vec![TensorInfo::default()],
        outputs: vec![TensorInfo::default()],
        ..ModelStatus::default()
    };
    let status = Status {
        models: vec![ModelStatus::default()],
        fleet: FleetStatus { models: vec![FleetModel::default()], ..FleetStatus::default() },
        readings: vec![ReadingInfo::default()],
        problems: vec![Problem::default()],
        ..Status::default()
    };
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
    let trace = Trace { steps: vec![TraceStep::default()], info: Some(info.clone()), ..Trace::default() };
    let page = page();
    let value = |record: Result<Value, serde_json::Error>| record.unwrap();
    check(
        section(&page, "Status"),
        &value(serde_json::to_value(status)),
        &["models", "hardware", "governor", "routing"],
    );
    let link = MqttStatus { brokers: vec![Default::default()], tls: Some(Default::default()), ..Default::default() };
    check(section(&page, "Status"), &json!({ "mqtt": link }), &[]);
    check(section(&page, "Status"), &json!({ "outbox": link.outbox, "bindings": [BindingStatus::default()] }), &[]);
    routing(&page);
    machine(&page);
    check(section(&page, "Model"), &value(serde_json::to_value(model)), &[]);
    let history = edge_wire::history::HistoryEntry::default();
    check(section(&page, "History"), &value(serde_json::to_value(history)), &[]);
    let drafted = edge_wire::bring::Drafted {
        assumed: vec![Default::default()],
        samples: vec![Default::default()],
        ..Default::default()
    };
    check(section(&page, "Draft"), &value(serde_json::to_value(drafted)), &[]);
    let checked = edge_wire::bring::Checked { faults: vec![Default::default()], ..Default::default() };
    check(section(&page, "Check"), &value(serde_json::to_value(checked)), &["remarks"]);
    let scored = edge_wire::bring::Scored { measures: vec![Default::default()], ..Default::default() };
    let evaluated = edge_wire::bring::Evaluated {
        left_out: vec![Default::default()],
        variants: vec![scored],
        ..Default::default()
    };
    check(section(&page, "Evaluation"), &value(serde_json::to_value(&evaluated)), &[]);
    let quantized = edge_wire::bring::Quantized { held_out: Some(evaluated), ..Default::default() };
    check(section(&page, "Quantised"), &value(serde_json::to_value(quantized)), &["all", "held_out"]);
    let installed = edge_wire::runtime::InstalledRuntime { providers: vec![Default::default()], ..Default::default() };
    let runtimes = edge_wire::runtime::Runtimes { installed: vec![installed], ..Default::default() };
    check(section(&page, "Runtimes"), &value(serde_json::to_value(runtimes)), &[]);
    let change = edge_wire::runtime::RuntimeChange { providers: vec![Default::default()], ..Default::default() };
    check(section(&page, "Change of the runtime"), &value(serde_json::to_value(change)), &[]);
    check(section(&page, "Answer"), &value(serde_json::to_value(info)), &[]);
    check(section(&page, "Trace"), &value(serde_json::to_value(trace)), &["info"]);
}

/// The records of other sites and of where requests go.
fn routing(page: &str) {
    let status = RoutingStatus { fallbacks: vec![Default::default()], ..Default::default() };
    let explanation =
        Explanation { rules: vec![Default::default()], sites: vec![Default::default()], ..Default::default() };
    let replay = Replay { shares: vec![Default::default()], ..Default::default() };
    let value = |record: Result<Value, serde_json::Error>| record.unwrap();
    let of_sites = section(page, "Routing");
    check(of_sites, &value(serde_json::to_value(status)), &["sites"]);
    check(of_sites, &value(serde_json::to_value(SiteStatus::default())), &[]);
    check(section(page, "Departure"), &value(serde_json::to_value(AuditEntry::default())), &[]);
    check(section(page, "Row of usage"), &value(serde_json::to_value(UsageRow::default())), &[]);
    check(section(page, "Explanation"), &value(serde_json::to_value(explanation)), &[]);
    check(section(page, "Replay"), &value(serde_json::to_value(replay)), &[]);
    let learnt = edge_wire::learn::Learnt {
        guarantee: Some(Default::default()),
        tasks: vec![Default::default()],
        settings: vec![Default::default()],
        ..Default::default()
    };
    check(section(page, "Lesson"), &value(serde_json::to_value(learnt)), &[]);
}

/// The records of the machine and of its governor, each list with an entry.
fn machine(page: &str) {
    let hardware = Hardware {
        zones: vec![Default::default()],
        coolers: vec![Default::default()],
        clocks: vec![Default::default()],
        rails: vec![Default::default()],
        over_current: vec![Default::default()],
        fans: vec![Default::default()],
        accelerators: vec![Default::default()],
        power_modes: vec![Default::default()],
        ..Hardware::default()
    };
    check(section(page, "Hardware"), &serde_json::to_value(hardware).unwrap(), &[]);
    let now = GovernorStatus { zones: vec![Default::default()], slow: vec![Default::default()], ..Default::default() };
    let model = serde_json::to_value(&now.zones[0].model).unwrap();
    let governor = section(page, "Governor");
    check(governor, &serde_json::to_value(&now).unwrap(), &[]);
    for key in model.as_object().unwrap().keys() {
        assert!(entry(governor, "zones").contains(&quoted(key)), "{key} of a model is not explained");
    }
    let (history, changes) = (vec![Default::default()], vec![Default::default()]);
    let report = GovernorReport { now, history, changes, ..Default::default() };
    check(section(page, "Report of the governor"), &serde_json::to_value(report).unwrap(), &["now"]);
}

#[test]
fn every_error_code_is_in_the_table() {
    let page = page();
    let table = section(&page, "Error");
    for (_, word, ..) in ErrorCode::ALL {
        assert!(table.contains(&format!("\n| `{word}` |")), "{word}");
    }
}
