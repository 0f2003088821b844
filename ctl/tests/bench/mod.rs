//! `edgectl bench` against the scripted daemon: what it sends and by which way, what it prints, how it ends.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use edge_wire::dto::{ModelStatus, Status, TensorInfo};
use serde_json::Value;

use crate::support::bus::PrivateBus;
use crate::support::canned;
use crate::support::fake::Fake;
use crate::support::transcript::{Edgectl, check};
use crate::{PNG, scene};

/// A box with models that answer, that say no, and whose bundle lies on the test's bus.
fn boxed(bus: &PrivateBus) -> Status {
    let golden = bus.path().join("bundles/text-line/golden");
    fs::create_dir_all(&golden).unwrap();
    fs::write(golden.join("a-note.txt"), "no picture").unwrap();
    fs::write(golden.join("label.png"), PNG).unwrap();
    fs::write(golden.join("label.png.expected.json"), "{}").unwrap();
    let mut status = canned::serving();
    for model in &mut status.models {
        model.path = bus.path().join("bundles").join(&model.name).display().to_string();
    }
    let [line, bytes, speech] = [0, 1, 2].map(|place| status.models[place].clone());
    let named = |name: &str, model: &ModelStatus| ModelStatus { name: name.into(), ..model.clone() };
    let tensor = |name: &str, datatype: &str, shape: &[i64]| TensorInfo {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
    };
    let state = ModelStatus {
        inputs: vec![tensor("input", "FP32", &[-1, 576]), tensor("state", "FP32", &[2, -1, 128])],
        ..named("state", &speech)
    };
    let words = ModelStatus { inputs: vec![tensor("words", "BYTES", &[-1])], ..named("words", &bytes) };
    let refusing = ["busy", "late", "guarded", "slow"].map(|name| named(name, &line));
    status.models.extend(refusing);
    status.models.extend([named("metered", &line), state, words]);
    status
}

const BRIEF: [&str; 2] = ["--seconds", "1"];

fn bench<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["bench"], args, &BRIEF].concat()
}

#[test]
fn a_run_shows_what_was_measured_and_what_was_refused() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let _fake = Fake::start(&bus, boxed(&bus));
    let lines: [&[&str]; 8] = [
        &["text-line", "--clients", "1,2"],
        &["text-line", "--tensors", "--clients", "2", "--batch", "1,4", "--deadline", "2s", "--data-class", "internal"],
        &["metered", "--clients", "1", "--batch", "4"],
        &["busy", "--clients", "1"],
        &["late", "--clients", "2", "--json"],
        &["guarded", "--clients", "2"],
        &["text-line:1.0.0", "--clients", "1", "--json"],
        &["metered", "--file", "label.png", "--clients", "1", "--json"],
    ];
    check("bench", &lines.map(|line| edgectl.tell_redacted(&bench(line))));
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, boxed(&bus));
    let lines: [&[&str]; 22] = [
        &["text-line", "--clients", "0"],
        &["text-line", "--clients", "1000"],
        &["text-line", "--clients", "2,"],
        &["text-line", "--batch", "0"],
        &["text-line", "--seconds", "0"],
        &["text-line", "--seconds", "3601"],
        &["text-line", "--clients", "1,2,3,4,5,6,7,8", "--batch", "1,2,3,4,5,6,7,8"],
        &["text-line", "--file", "missing.png"],
        &["text-line", "--file", "/"],
        &["text-line", "--file", "label.png", "--batch", "2"],
        &["text-line", "--content-type", "image/png"],
        &["text-line", "--shape", "x"],
        &["text-line", "--shape", "x=1,3,48,0"],
        &["text-line", "--shape", "x=1,3,32,320"],
        &["text-line", "--shape", "y=1,3,48,320"],
        &["text-line", "--shape", "x=1,3,48,8", "--shape", "x=1,3,48,9"],
        &["text-line", "--shape", "x=2,3,48,8", "--batch", "4"],
        &["text-line", "--shape", "x=4096,3,48,4096"],
        &["state", "--batch", "2", "--json"],
        &["words", "--tensors"],
        &["speech", "--encoded"],
        &["text-line", "--over", "pigeon"],
    ];
    let mut runs = lines.map(|line| edgectl.tell(&[&["bench"], line].concat())).to_vec();
    assert!(runs.iter().all(|run| run.ends_with("[exit 2]\n")), "{runs:#?}");
    runs.push(edgectl.tell(&["bench", "nothing", "--json"]));
    runs.push(edgectl.tell(&["bench", "speech"]));
    assert!(!fake.calls().iter().any(|call| call != "Describe"), "{:?}", fake.calls());
    fake.script.lock().unwrap().only_on_bus = true;
    runs.push(edgectl.tell(&["bench", "text-line", "--over", "private"]));
    check("bench_refused", &runs);
}

#[test]
fn every_request_of_a_run_is_the_same_and_goes_the_way_that_was_meant() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let picture = "text-line image/png 26 bytes sealed=true {priority=\"low\"}";
    let asked: &[&str] = &["--priority", "high", "--deadline", "2s", "--data-class", "public"];
    let told = "{data_class=\"public\", deadline_ms=uint64 2000, priority=\"high\"}";
    let tensors = format!("text-line x FP32 [2, 3, 48, 48] 55296 bytes sealed=true {told}");
    let both = "state input FP32 [1, 576] 2304 bytes sealed=true, state FP32 [2, 1, 128] 1024 bytes sealed=true \
                {priority=\"low\"}";
    let cases: [(&[&str], &str, &str, bool); 6] = [
        (&["text-line"], picture, "private", false),
        (&["text-line", "--over", "bus"], picture, "bus", false),
        (&["text-line"], picture, "bus", true),
        (
            &["text-line", "--file", "call.wav"],
            "text-line audio/wav 31 bytes sealed=true {priority=\"low\"}",
            "private",
            false,
        ),
        (&[&["text-line", "--batch", "2"], asked].concat(), &tensors, "private", false),
        (&["state", "--tensors"], both, "private", false),
    ];
    for (args, expected, way, only_on_bus) in cases {
        let fake = Fake::start(&bus, boxed(&bus));
        fake.script.lock().unwrap().only_on_bus = only_on_bus;
        let output = edgectl.run(&[&bench(args)[..], &["--clients", "2", "--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["over"], way, "{args:?}");
        let script = fake.script.lock().unwrap();
        assert!(script.ways.iter().eq([&way]), "{args:?}: {:?}", script.ways);
        let requests: Vec<&String> = script.calls.iter().filter(|call| *call != "Describe").collect();
        assert!(requests.iter().all(|call| *call == expected), "{args:?}: {:?}", requests[0]);
        let answered = report["steps"][0]["answered"].as_u64().unwrap();
        // The warm-up is sent and not counted.
        assert!(answered > 0 && requests.len() as u64 > answered, "{args:?}: {answered} of {}", requests.len());
    }
}

#[test]
fn ctrl_c_ends_a_run_and_prints_what_was_measured_until_then() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, boxed(&bus));
    let ended = |form: &[&str]| {
        fake.script.lock().unwrap().calls.clear();
        let asked = [&["bench", "text-line", "--clients", "1", "--seconds", "60"], form].concat();
        let child = edgectl.command(&asked).stdout(Stdio::piped()).spawn().unwrap();
        measures(&edgectl, &fake);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{form:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&ended(&["--json"])).unwrap();
    assert_eq!(report["ended"], "interrupted");
    assert!(report["steps"][0]["answered"].as_u64().unwrap() > 0, "{report}");
    assert!(report["steps"][0]["elapsed_ms"].as_u64().unwrap() < 60_000, "{report}");
    let text = ended(&[]);
    assert!(text.contains("\n  ended      with Ctrl-C") && text.contains("\n  result     best throughput"), "{text}");
}

#[test]
fn a_daemon_that_goes_away_is_told_beside_what_was_measured_until_then() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, boxed(&bus));
    let mut run = edgectl.command(&["bench", "text-line", "--clients", "2", "--seconds", "60", "--json"]);
    let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    measures(&edgectl, &fake);
    drop(fake);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("talk to edged"), "{:?}: {said}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["ended"] == "lost" && report["error"]["code"] == "unreachable", "{report}");
    assert!(report["steps"][0]["answered"].as_u64().unwrap() > 0, "{report}");
}

/// Waits until the run is beyond its warm-up and was answered since.
#[expect(clippy::disallowed_methods, reason = "the command is another process, whose time is real")]
fn measures(edgectl: &Edgectl<'_>, fake: &Fake) {
    let began = Instant::now();
    let mut first = None;
    let mut before = usize::MAX;
    loop {
        // Takes a moment, in which the run goes on.
        edgectl.run(&["status"]);
        let asked = fake.calls().iter().filter(|call| *call != "Describe").count();
        if asked > 0 && first.is_none() {
            first = Some(Instant::now());
        }
        // More than three times the warm-up; from then on, whoever asks again was answered.
        if before == usize::MAX && first.is_some_and(|first| first.elapsed() > Duration::from_secs(1)) {
            before = asked;
        }
        if asked > before.saturating_add(2) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{asked} requests came");
    }
}
