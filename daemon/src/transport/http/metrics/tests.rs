use edge_wire::dto::{ModelStatus, MqttStatus, Status};
use edge_wire::hardware::{Hardware, Measured, Zone};

use super::*;

fn text_of(status: Status, form: Form) -> String {
    text(&Scrape { status, ..Scrape::default() }, &Around::default(), form).unwrap()
}

#[test]
fn the_form_is_the_one_that_is_asked_for() {
    for (accept, expected) in [
        ("", Form::Prometheus),
        ("*/*", Form::Prometheus),
        ("text/plain;version=0.0.4", Form::Prometheus),
        ("application/openmetrics-text", Form::OpenMetrics),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", Form::OpenMetrics),
        ("text/plain;q=0.5, Application/OpenMetrics-Text; version=1.0.0;q=0.1", Form::OpenMetrics),
        ("application/openmetrics-text-not", Form::Prometheus),
        (",,;=,", Form::Prometheus),
    ] {
        assert_eq!(Form::wanted(accept), expected, "{accept:?}");
    }
}

#[test]
fn what_is_not_known_is_absent_and_never_0() {
    let zone = |name: &str, temp_c| Zone { name: name.into(), temp_c, ..Zone::default() };
    let zones = vec![zone("cpu", Measured::of(40.5)), zone("gpu", Measured::absent("unsupported"))];
    let hardware = Hardware { zones, ..Hardware::default() };
    for form in Form::ALL {
        let text = text_of(Status { hardware: hardware.clone(), ..Status::default() }, form);
        assert!(text.contains("edged_temperature_celsius{zone=\"cpu\"} 40.5\n"), "{text}");
        assert!(!text.contains("\"gpu\""), "{text}");
        for absent in ["edged_headroom", "edged_broker", "edged_site", "edged_power_watts", "edged_request_energy"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
    }
}

#[test]
fn names_and_ends_are_those_of_the_form() {
    let mqtt = MqttStatus { state: "connected".into(), connects: 3, ..MqttStatus::default() };
    let status = Status { mqtt, version: "1.2.3".into(), ..Status::default() };
    let new = text_of(status.clone(), Form::OpenMetrics);
    assert!(new.contains("# TYPE edged_broker_connects counter\nedged_broker_connects_total 3"), "{new}");
    assert!(new.contains("edged_build_info{version=\"1.2.3\","), "{new}");
    assert!(new.contains("# UNIT edged_uptime_seconds seconds\n"), "{new}");
    assert!(new.ends_with("# EOF\n"));
    let old = text_of(status, Form::Prometheus);
    assert!(old.contains("# TYPE edged_broker_connects_total counter\nedged_broker_connects_total 3"), "{old}");
    assert!(!old.contains("# EOF"), "{old}");
}

#[test]
fn no_name_breaks_the_text_and_none_is_told_twice() {
    let model = |name: &str, waiting| ModelStatus {
        name: name.into(),
        version: "1\n\"".into(),
        state: "ready".into(),
        active: true,
        waiting,
        ..ModelStatus::default()
    };
    let models = vec![model("a\\", 1), model("a\\", 2), model("b", 0)];
    let text = text_of(Status { models, ..Status::default() }, Form::Prometheus);
    let ready = "edged_model_ready{model=\"a\\\\\",version=\"1\\n\\\"\"} 1";
    assert_eq!(text.matches(ready).count(), 1, "{text}");
    assert!(text.contains("edged_requests_waiting{model=\"a\\\\\"} 3"), "{text}");
    for line in text.lines() {
        assert!(line.starts_with('#') || line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()));
    }
}
