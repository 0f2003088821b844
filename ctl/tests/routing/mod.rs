//! Other sites: their table, where requests go and why, what left the device, what was served, and another policy.

use std::fs;

use edge_wire::dto::ModelStatus;

use crate::support::bus::PrivateBus;
use crate::support::fake::Fake;
use crate::support::transcript::{Edgectl, check};
use crate::support::{canned, canned_routing as canned_sites};
use crate::{files, scene};

/// A daemon with sites, of which everything can be asked.
fn fake(bus: &PrivateBus) -> Fake {
    let fake = Fake::start(bus, canned_sites::with_sites());
    let mut script = fake.script.lock().unwrap();
    script.explanations = canned_sites::explanations();
    script.audit = canned_sites::audit();
    script.usage = canned_sites::usage();
    script.replay = canned_sites::replay();
    script.traces.push(canned_sites::trace_of_away());
    drop(script);
    fake
}

#[test]
fn sites_are_shown_with_what_keeps_each_from_being_asked() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let mut runs = Vec::new();
    for status in [canned::serving(), canned_sites::with_sites(), canned_sites::with_trouble()] {
        let _fake = Fake::start(&bus, status);
        runs.push(edgectl.tell(&["sites"]));
    }
    let _fake = Fake::start(&bus, canned_sites::with_trouble());
    runs.push(edgectl.tell(&["sites", "--json"]));
    check("sites", &runs);
}

#[test]
fn status_has_a_line_on_sites_and_doctor_checks_them() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::beside_daemon(&bus, "configuration is valid", 0);
    let mut runs = Vec::new();
    for status in [canned_sites::with_sites(), canned_sites::with_trouble()] {
        let _fake = Fake::start(&bus, status);
        let told = edgectl.tell(&["status"]);
        let lines = told.lines().skip_while(|line| !line.starts_with("  sites"));
        let lines = lines.take_while(|line| !line.is_empty());
        runs.push(format!("{}\n", lines.collect::<Vec<_>>().join("\n")));
        // How old the prices are by now is not the same every day.
        let doctor = edgectl.tell(&["doctor"]);
        let of_sites = ["site ", "site \"", "budget ", "audit "];
        let mut is_one = false;
        let lines = doctor.lines().filter(|line| {
            is_one = match line.get(6..).filter(|_| !line.starts_with(' ')) {
                Some(subject) => of_sites.iter().any(|one| subject.starts_with(one)),
                None => is_one && line.starts_with(' '),
            };
            is_one
        });
        runs.push(format!("{}\n", lines.collect::<Vec<_>>().join("\n")));
    }
    check("sites_elsewhere", &runs);
}

#[test]
fn an_explanation_begins_with_the_verdict_and_names_every_rule_and_site() {
    let bus = scene();
    fs::write(bus.path().join("chat.json"), r#"{"model": "chat", "messages": [{"role": "user", "content": "hi"}]}"#)
        .unwrap();
    fs::write(bus.path().join("night.toml"), "model = \"report\"\ndeferrable = true\ndata_class = \"public\"\n")
        .unwrap();
    fs::write(bus.path().join("bad.toml"), "model = \"report\"\ndeadline_ms = 0\ncolour = 1\n").unwrap();
    let edgectl = Edgectl::on(&bus);
    let _fake = fake(&bus);
    let lines: [&[&str]; 11] = [
        &["route", "explain", "chat.json", "--class", "public"],
        &["route", "explain", "label.png", "--model", "surface-defects", "--deadline", "200ms"],
        &["route", "explain", "label.png", "--model", "text-line", "--deadline", "50ms"],
        &["route", "explain", "night.toml"],
        &["route", "explain", "--set", "model=file-type", "--set", "bytes=100"],
        &["route", "explain", "night.toml", "--json"],
        &["route", "explain", "label.png", "--model", "nothing"],
        &["route", "explain", "label.png"],
        &["route", "explain", "bad.toml"],
        &["route", "explain", "missing.toml"],
        &["route", "explain", "missing.png", "--model", "text-line", "--json"],
    ];
    check("explain", &edgectl.tell_all(&lines));
}

#[test]
fn the_daemon_is_told_what_the_request_is_like_and_only_the_content_of_texts() {
    let bus = scene();
    fs::write(bus.path().join("note.txt"), "hello").unwrap();
    fs::write(bus.path().join("night.toml"), "model = \"report\"\ndeferrable = true\nbytes = 7\ninput_tokens = 4000\n")
        .unwrap();
    let edgectl = Edgectl::on(&bus);
    let fake = fake(&bus);
    let sent = |args: &[&str]| {
        edgectl.run(&[&["route", "explain"], args].concat());
        fake.calls().into_iter().rfind(|call| call.starts_with("explain ")).unwrap()
    };
    let cases: [(&[&str], &str); 6] = [
        (&["label.png", "--model", "text-line"], "explain text-line {bytes=uint64 26, content_type=\"image/png\"}"),
        (
            &[
                "label.png",
                "--model",
                "text-line:1.0.0",
                "--deadline",
                "50ms",
                "--data-class",
                "internal",
                "--priority",
                "high",
            ],
            "explain text-line:1.0.0 {bytes=uint64 26, content_type=\"image/png\", data_class=\"internal\", deadline_ms=uint64 50, \
             priority=\"high\"}",
        ),
        (
            &["note.txt", "--model", "chat", "--source", "mqtt:edge/a/infer/chat"],
            "explain chat {bytes=uint64 5, content_type=\"text/plain\", source=\"mqtt:edge/a/infer/chat\", text=\"hello\"}",
        ),
        (
            &["note.txt", "--model", "chat", "--content-type", "application/octet-stream"],
            "explain chat {bytes=uint64 5, content_type=\"application/octet-stream\"}",
        ),
        (&["night.toml"], "explain report {bytes=uint64 7, deferrable=true, input_tokens=uint32 4000}"),
        (
            &["night.toml", "--model", "chat", "--deferrable", "--set", "deferrable=false", "--set", "bytes=8"],
            "explain chat {bytes=uint64 8, deferrable=false, input_tokens=uint32 4000}",
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(sent(args), expected, "{args:?}");
    }
}

#[test]
fn what_left_the_device_has_one_line_each_and_can_be_narrowed() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let fake = fake(&bus);
    let lines: [&[&str]; 5] = [
        &["audit"],
        &["audit", "--limit", "4"],
        &["audit", "--site", "plant-triton", "--json"],
        &["audit", "--site", "nowhere"],
        &["audit", "--since", "2026-11-28T11:00:00+01:00", "--model", "chat", "--class", "public"],
    ];
    let runs = edgectl.tell_all(&lines);
    assert!(runs[0].lines().count() == 7, "one line each: {}", runs[0]);
    check("audit", &runs);
    let last = fake.calls().pop().unwrap();
    let expected = "audit {data_class=\"public\", limit=uint32 100, model=\"chat\", since=\"2026-11-28T10:00:00Z\"}";
    assert_eq!(last, expected);
}

#[test]
fn what_was_served_is_shown_by_model_site_and_verdict() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let fake = fake(&bus);
    let lines: [&[&str]; 3] = [
        &["usage"],
        &["usage", "--since", "2026-11-28T10:00:00Z", "--until", "2026-11-28T11:00:00Z", "--by", "hour"],
        &["usage", "--json"],
    ];
    let mut runs = edgectl.tell_all(&lines);
    fake.script.lock().unwrap().usage.clear();
    runs.push(edgectl.tell(&["usage"]));
    check("served", &runs);
    let asked: Vec<String> = fake.calls().into_iter().filter(|call| call.starts_with("usage ")).collect();
    assert_eq!(asked[1], "usage {since=\"2026-11-28T10:00:00Z\", step=\"hour\", until=\"2026-11-28T11:00:00Z\"}");
}

#[test]
fn another_policy_is_tried_on_what_is_recorded_and_a_bad_one_refused_with_every_fault() {
    let bus = PrivateBus::start();
    fs::write(bus.path().join("new.toml"), "[policy]\nunlabelled = \"internal\"\n").unwrap();
    fs::write(bus.path().join("bad.toml"), "[[site]]\nzone = \"moon\"\ncolour = 1\n").unwrap();
    let edgectl = Edgectl::on(&bus);
    let fake = fake(&bus);
    let lines: [&[&str]; 5] = [
        &["route", "replay", "--policy", "new.toml"],
        &["route", "replay", "--policy", "new.toml", "--since", "2026-11-21", "--json"],
        &["route", "replay", "--policy", "bad.toml"],
        &["route", "replay", "--policy", "bad.toml", "--json"],
        &["route", "replay", "--policy", "/"],
    ];
    let mut runs = edgectl.tell_all(&lines);
    fake.script.lock().unwrap().replay = Default::default();
    runs.push(edgectl.tell(&["route", "replay", "--policy", "new.toml"]));
    check("replay", &runs);
    let asked: Vec<String> = fake.calls().into_iter().filter(|call| call.starts_with("replay ")).collect();
    assert_eq!(asked[1], "replay 33 bytes {since=\"2026-11-21T00:00:00Z\"}", "the file is read from its beginning");
}

#[test]
fn a_policy_may_come_from_standard_input() {
    use std::io::Write;
    use std::process::Stdio;
    let bus = PrivateBus::start();
    let fake = fake(&bus);
    let mut child = Edgectl::on(&bus)
        .command(&["route", "replay", "--policy", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[policy]\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fake.calls().pop().unwrap(), "replay 9 bytes {}");
}

#[test]
fn an_answer_of_another_site_is_never_shown_as_one_of_this_box() {
    let bus = PrivateBus::start();
    files(&bus);
    fs::write(bus.path().join("chat.json"), r#"{"messages": []}"#).unwrap();
    let edgectl = Edgectl::on(&bus);
    let fake = fake(&bus);
    let lines: [&[&str]; 4] = [
        &["infer", "away", "chat.json", "--request-id", "chat-9"],
        &["infer", "away", "chat.json", "--request-id", "chat-9", "--verbose"],
        &["infer", "away", "chat.json", "--request-id", "chat-9", "--json"],
        &["trace", "chat-9"],
    ];
    let runs = edgectl.tell_all(&lines);
    for run in &runs {
        assert!(run.contains("cloud-a") && !run.contains("local") && !run.contains("unknown"), "{run}");
    }
    check("away", &runs);
    fake.script.lock().unwrap().status.simulated = true;
    for line in [&["infer", "away", "chat.json"][..], &["infer", "away", "chat.json", "--json"]] {
        let told = edgectl.tell(line);
        assert!(!told.to_lowercase().contains("simulated"), "a model ran, only not here: {told}");
    }
}

#[test]
fn a_measurement_names_the_site_that_answered() {
    let bus = PrivateBus::start();
    fs::write(bus.path().join("chat.json"), r#"{"messages": []}"#).unwrap();
    let fake = fake(&bus);
    let mut script = fake.script.lock().unwrap();
    let here = script.status.models[0].clone();
    script.status.models.push(ModelStatus { name: "away".into(), ..here });
    drop(script);
    let line = ["bench", "away", "--file", "chat.json", "--clients", "1", "--seconds", "1"];
    let told = Edgectl::on(&bus).tell(&line);
    assert!(told.contains("away by site cloud-a, asked on press-7"), "{told}");
    assert!(!told.contains("by provider"), "{told}");
}

#[test]
fn a_daemon_of_a_time_before_sites_is_said_to_be_too_old() {
    let bus = scene();
    fs::write(bus.path().join("new.toml"), "").unwrap();
    let edgectl = Edgectl::on(&bus);
    let fake = fake(&bus);
    fake.script.lock().unwrap().knows_no_sites = true;
    let lines: [&[&str]; 6] = [
        &["sites"],
        &["audit"],
        &["usage", "--json"],
        &["route", "explain", "label.png", "--model", "text-line"],
        &["route", "replay", "--policy", "new.toml"],
        &["status"],
    ];
    let runs = edgectl.tell_all(&lines);
    assert!(runs[..5].iter().all(|run| run.ends_with("[exit 1]\n")), "{runs:#?}");
    assert!(runs[5].ends_with("[exit 0]\n"), "what it does know is shown: {}", runs[5]);
    check("too_old", &runs[..5]);
}
