//! The real binary against a scripted daemon on a private bus: what it prints, where, and how it exits.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set its scene up has failed"
)]

mod bench;
mod daemon;
mod learning;
mod routing;
mod support;
mod watch;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use edge_wire::dto::Status;
use support::bus::PrivateBus;
use support::canned;
use support::fake::Fake;
use support::transcript::{Edgectl, check};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n rest of a picture";

/// A bus, and beside it the files that are sent.
fn scene() -> PrivateBus {
    let bus = PrivateBus::start();
    files(&bus);
    bus
}

/// The files that are sent.
fn files(bus: &PrivateBus) {
    fs::write(bus.path().join("label.png"), PNG).unwrap();
    fs::write(bus.path().join("call.wav"), b"RIFF\0\0\0\0WAVEfmt rest of a sound").unwrap();
}

/// What a command line says to each of these boxes.
fn of_each(bus: &PrivateBus, boxes: [Status; 3], edgectl: &Edgectl<'_>, line: &[&str]) -> Vec<String> {
    let run = |status| {
        let _fake = Fake::start(bus, status);
        edgectl.tell(line)
    };
    boxes.map(run).to_vec()
}

#[test]
fn status_shows_the_box_and_check_its_health() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let boxes = [canned::serving(), canned::degraded(), canned::simulated()];
    let mut runs = of_each(&bus, boxes, &edgectl, &["status", "--check"]);
    let _fake = Fake::start(&bus, canned::degraded());
    runs.push(edgectl.tell(&["status", "--json"]));
    check("status", &runs);
}

#[test]
fn models_are_listed_and_shown() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let boxes = [canned::serving(), canned::degraded(), Status { models: vec![], ..canned::simulated() }];
    let mut runs = of_each(&bus, boxes, &edgectl, &["models", "list"]);
    let _fake = Fake::start(&bus, canned::serving());
    runs.extend(edgectl.tell_all(&[
        &["models", "show", "text-line"],
        &["models", "show", "speech:1.0.0"],
        &["models", "show", "speech", "--json"],
        &["models", "show", "speech:2.0.0"],
        &["models", "show", "speech:2.0.0", "--json"],
    ]));
    check("models", &runs);
}

#[test]
fn answers_have_the_form_of_their_task_and_refusals_their_exit() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let _fake = Fake::start(&bus, canned::serving());
    let lines: [&[&str]; 15] = [
        &["infer", "text-line", "label.png"],
        &["infer", "text-direction", "label.png"],
        &["infer", "file-type", "label.png", "-v", "--request-id", "mine-1"],
        &["infer", "speech", "call.wav"],
        &["infer", "embed", "call.wav"],
        &["infer", "text-line", "label.png", "--json", "--request-id", "mine-1"],
        &["infer", "busy", "label.png"],
        &["infer", "busy", "label.png", "--json", "--request-id", "line-4"],
        &["infer", "busy", "label.png", "--request-id", "line-4"],
        &["infer", "late", "label.png", "--deadline", "1ms"],
        &["infer", "guarded", "label.png"],
        &["infer", "guarded", "label.png", "--json"],
        &["infer", "nothing", "label.png"],
        &["infer", "text-line", "missing.png"],
        &["infer", "slow", "label.png", "--timeout", "500ms"],
    ];
    check("infer", &edgectl.tell_all(&lines));
}

#[test]
fn boxes_are_drawn_on_the_picture_that_was_sent_and_the_answer_is_given_all_the_same() {
    let bus = scene();
    let at = |name: &str| bus.path().join(name);
    image::RgbImage::from_pixel(64, 48, [90; 3].into()).save(at("photo.png")).unwrap();
    image::RgbImage::new(48, 64).save(at("turned.png")).unwrap();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, canned::serving());
    let lines: [&[&str]; 7] = [
        &["infer", "text-boxes", "photo.png", "--annotate", "boxes.png"],
        &["infer", "text-boxes", "photo.png", "--annotate", "again.PNG", "--json", "--request-id", "mine-1"],
        &["infer", "text-line", "photo.png", "--annotate", "none.png"],
        &["infer", "text-boxes", "label.png", "--annotate", "none.png"],
        &["infer", "text-boxes", "turned.png", "--annotate", "none.png"],
        &["infer", "text-boxes", "photo.png", "--annotate", "nowhere/none.png"],
        &["infer", "text-boxes", "photo.png", "--annotate", "boxes.jpg"],
    ];
    check("annotate", &edgectl.tell_all(&lines));
    let asked = fake.calls().iter().filter(|call| call.contains("sealed=")).count();
    assert_eq!(asked, 6, "what cannot be written as a PNG is refused before anything is asked");
    let drawn = image::open(at("boxes.png")).unwrap().into_rgb8();
    for corner in [(8, 4), (55, 6), (54, 20), (7, 18), (8, 30), (30, 40), (20, 30)] {
        assert_eq!(drawn[corner].0, [255, 0, 160], "{corner:?}");
    }
    assert_eq!((drawn.dimensions(), drawn[(30, 12)].0, drawn[(60, 44)].0), ((64, 48), [90; 3], [90; 3]));
    assert!(at("again.PNG").exists() && !at("none.png").exists());
}

#[test]
fn the_daemon_gets_a_sealed_payload_with_the_type_and_options_that_were_meant() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, canned::serving());
    let sent = |args: &[&str]| {
        let output = edgectl.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        fake.calls().pop().unwrap()
    };
    let cases: [(&[&str], &str); 6] = [
        (&["infer", "text-line", "label.png"], "text-line image/png 26 bytes sealed=true {}"),
        (&["infer", "speech", "call.wav"], "speech audio/wav 31 bytes sealed=true {}"),
        (&["infer", "file-type", "label.png"], "file-type application/octet-stream 26 bytes sealed=true {}"),
        (&["infer", "text-line:1.0.0", "/dev/null"], "text-line:1.0.0 application/octet-stream 0 bytes sealed=true {}"),
        (
            &["infer", "text-line", "call.wav", "--content-type", "image/jpeg", "--deadline", "2s"],
            "text-line image/jpeg 31 bytes sealed=true {deadline_ms=uint64 2000}",
        ),
        (
            &["infer", "text-line", "label.png", "--data-class", "internal", "--priority", "high"],
            "text-line image/png 26 bytes sealed=true {data_class=\"internal\", priority=\"high\"}",
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(sent(args), expected, "{args:?}");
    }
}

#[test]
fn standard_input_is_sent_like_a_file() {
    let bus = PrivateBus::start();
    let fake = Fake::start(&bus, canned::serving());
    let mut child = Edgectl::on(&bus)
        .command(&["infer", "text-line", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(PNG).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(fake.calls().pop().unwrap(), "text-line image/png 26 bytes sealed=true {}");
}

#[test]
fn what_a_simulator_answered_is_marked_as_such() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let _fake = Fake::start(&bus, canned::simulated());
    let lines: [&[&str]; 3] = [
        &["infer", "text-line", "label.png"],
        &["infer", "text-line", "label.png", "--json", "--request-id", "mine-1"],
        &["models", "show", "text-line"],
    ];
    check("simulated", &edgectl.tell_all(&lines));
}

#[test]
fn drain_resume_and_reload_show_the_state_that_came_of_them() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, canned::serving());
    let lines: [&[&str]; 6] = [
        &["drain"],
        &["drain", "--wait"],
        &["drain", "--wait", "--json"],
        &["resume"],
        &["resume", "--json"],
        &["reload"],
    ];
    let mut runs = edgectl.tell_all(&lines);
    fake.script.lock().unwrap().reload_fault =
        Some("/etc/edged/edged.toml: policy.lanes: 0 is not accepted: takes a whole number from 1 to 64".into());
    runs.push(edgectl.tell(&["reload"]));
    fake.script.lock().unwrap().drains_for_ever = true;
    runs.push(edgectl.tell(&["drain", "--wait", "--timeout", "300ms"]));
    runs.push(edgectl.tell(&["drain", "--wait", "--timeout", "300ms", "--json"]));
    check("flow", &runs);
}

#[test]
fn what_was_compiled_is_listed_and_cleared_but_not_what_is_in_use() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, canned::serving());
    let empty = edgectl.tell(&["models", "cache"]);
    fake.script.lock().unwrap().cache = canned::cache();
    let lines: [&[&str]; 6] = [
        &["models", "cache"],
        &["models", "cache", "--json"],
        &["models", "cache", "clear", "speech"],
        &["models", "cache", "clear", "--json"],
        &["models", "cache", "clear"],
        &["models", "cache"],
    ];
    let mut runs = vec![empty];
    runs.extend(edgectl.tell_all(&lines));
    check("cache", &runs);
}

#[test]
fn what_was_measured_and_compiled_is_written_into_a_file_whole_or_not_at_all_and_taken_over() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let _fake = Fake::start(&bus, canned::serving());
    let dir = tempfile::tempdir().unwrap();
    let (out, short) = (dir.path().join("line.edgecache"), dir.path().join("short"));
    fs::write(&short, "short").unwrap();
    let (out, short) = (out.to_str().unwrap(), short.to_str().unwrap());
    let missing = dir.path().join("missing");
    let ask = |words: &[&str]| {
        let run = edgectl.run(&[&["models", "cache"], words].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (run.status.code(), text(&run.stdout) + &text(&run.stderr))
    };
    let (code, said) = ask(&["export", "--out", out]);
    assert!(code == Some(0) && said.contains("exported: plan of speech:1.0.0\nexported: engine"), "{said}");
    assert_eq!(fs::read(out).unwrap(), b"exported");
    let (code, said) = ask(&["export", "none", "--out", out]);
    assert!(code == Some(1) && said.contains("nothing is kept"), "{said}");
    assert_eq!(fs::read(out).unwrap(), b"exported", "what was there stays");
    let (code, said) = ask(&["import", out]);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        code == Some(0) && said.contains("refused: engine of speech for openvino (fp32), of press-7: processor was"),
        "{said}"
    );
    let (code, said) = ask(&["import", short, "--json"]);
    let job: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(code == Some(1) && job["state"] == "failed" && job["operation"] == "import", "{said}");
    let (code, said) = ask(&["import", missing.to_str().unwrap()]);
    assert!(code == Some(2) && said.contains("No such file"), "{said}");
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["line.edgecache", "short"], "nothing else is left");
}

#[test]
fn jobs_are_listed_watched_and_given_up() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let mut runs = {
        let _fake = Fake::start(&bus, canned::serving());
        edgectl.tell_all(&[&["jobs"], &["jobs", "--json"], &["jobs", "watch", "7"]])
    };
    let fake = Fake::start(&bus, canned::building());
    let lines: [&[&str]; 10] = [
        &["status"],
        &["jobs"],
        &["jobs", "watch", "8"],
        &["jobs", "watch", "6"],
        &["jobs", "watch", "6", "--json"],
        &["jobs", "cancel", "7"],
        &["jobs", "cancel", "7", "--json"],
        &["jobs", "cancel", "9", "--json"],
        &["jobs", "watch", "7"],
        &["jobs", "cancel", "seven"],
    ];
    runs.extend(edgectl.tell_all(&lines));
    check("jobs", &runs);
    assert_eq!(fake.calls().iter().filter(|call| *call == "cancel job 7").count(), 2);
}

#[test]
fn a_trace_is_a_timeline() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let _fake = Fake::start(&bus, canned::serving());
    let lines: [&[&str]; 4] =
        [&["trace", "line-3"], &["trace", "line-4"], &["trace", "line-4", "--json"], &["trace", "line-5"]];
    check("trace", &edgectl.tell_all(&lines));
}

#[test]
fn doctor_names_what_is_wrong_and_what_to_do() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::beside_daemon(&bus, "configuration is valid", 0);
    let boxes = [canned::serving(), canned::degraded(), canned::simulated()];
    let mut runs = of_each(&bus, boxes, &edgectl, &["doctor"]);
    runs.extend(edgectl.tell_all(&[&["doctor"], &["doctor", "--json"]]));
    let broken = Edgectl::beside_daemon(&bus, "policy.lanes: 0 is not accepted", 2);
    runs.push(broken.with("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus").tell(&["doctor"]));
    check("doctor", &runs);
}

#[test]
fn the_verdict_on_a_configuration_is_that_of_the_daemon() {
    let bus = PrivateBus::start();
    fs::write(bus.path().join("my.toml"), "").unwrap();
    let valid = Edgectl::beside_daemon(&bus, "valid", 0);
    let mut runs =
        vec![valid.tell(&["config", "check"]), valid.tell(&["config", "check", "--config", "my.toml", "--json"])];
    let invalid = Edgectl::beside_daemon(&bus, "policy.lanes: 0 is not accepted", 2);
    runs.push(invalid.tell(&["config", "check"]));
    runs.push(invalid.tell(&["config", "check", "--json"]));
    runs.push(invalid.tell(&["config", "check", "--config", "nowhere.toml"]));
    fs::remove_file(bus.path().join("bin/edged")).unwrap();
    runs.push(invalid.with("PATH", "/nowhere").tell(&["config", "check"]));
    let valid = Edgectl::beside_daemon(&bus, "valid", 0);
    for files in [&["/srv/edged.toml", "/srv/edged.toml.d/10-site.toml"][..], &["/etc/edged/edged.toml.d/10-site.toml"]]
    {
        let config_files = files.iter().map(|&file| file.to_owned()).collect();
        let _fake = Fake::start(&bus, edge_wire::dto::Status { config_files, ..canned::serving() });
        runs.push(valid.tell(&["config", "check"]));
        runs.push(valid.tell(&["config", "check", "--config", "my.toml"]));
    }
    check("config", &runs);
}

#[test]
fn a_daemon_that_is_not_there_or_too_old_is_told_apart() {
    let bus = scene();
    let edgectl = Edgectl::on(&bus);
    let mut runs = vec![edgectl.tell(&["status"]), edgectl.tell(&["infer", "text-line", "label.png", "--json"])];
    runs.push(Edgectl::on(&bus).with("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus").tell(&["status"]));
    runs.push(
        Edgectl::on(&bus)
            .with("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
            .tell(&["status", "--bus", "system"]),
    );
    let _fake = Fake::start(&bus, Status { interface: 0, ..canned::serving() });
    runs.push(edgectl.tell(&["status"]));
    check("unreachable", &runs);
}

#[test]
fn a_command_line_that_cannot_be_used_exits_with_2() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let lines: [&[&str]; 33] = [
        &[],
        &["fly"],
        &["top", "--interval", "0"],
        &["top", "--interval", "100ms"],
        &["top", "--interval", "5parsecs"],
        &["top", "--width", "5"],
        &["governor", "explain"],
        &["hold"],
        &["hold", "--why", ""],
        &["hold", "--why"],
        &["hold", "--why", "x", "./flash.sh"],
        &["infer", "text-line"],
        &["infer", "text-line", "x.png", "--deadline", "200"],
        &["infer", "text-line", "x.png", "--priority", "urgent"],
        &["infer", "text-line", "x.png", "--data-class", "secret"],
        &["infer", "text-line", "/"],
        &["status", "--timeout", "5"],
        &["status", "--host=-oProxyCommand=x"],
        &["trace"],
        &["audit", "--since", "yesterday"],
        &["audit", "--limit", "0"],
        &["audit", "--class", "secret"],
        &["usage", "--by", "week"],
        &["usage", "--since", "2026-11-28", "--until", "2026-11-27T23:30:00-00:15"],
        &["route"],
        &["route", "explain", "x.png", "--set", "deadline_ms=0"],
        &["route", "explain", "x.png", "--set", "colour=red"],
        &["route", "replay"],
        &["route", "replay", "--policy", "/nowhere/new.toml"],
        &["route", "learn", "outcomes.csv"],
        &["route", "learn", "outcomes.csv", "--out", "quality.model", "--target-loss", "5"],
        &["route", "learn", "outcomes.csv", "--out", "quality.model", "--date", "today"],
        &["completions", "tcsh"],
    ];
    let mut runs = edgectl.tell_all(&lines);
    runs.push(Edgectl::on(&bus).with("EDGED_BUS", "both").tell(&["status"]));
    let in_json: [&[&str]; 4] = [
        &["--json"],
        &["fly", "--json"],
        &["infer", "text-line", "--json"],
        &["infer", "--json", "a", "b", "--priority=x"],
    ];
    runs.extend(in_json.map(|line| edgectl.tell(line)));
    assert!(runs.iter().all(|run| run.ends_with("[exit 2]\n")), "{runs:#?}");
    check("usage", &runs);
}

#[test]
fn every_verb_explains_itself() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let verbs: [&[&str]; 38] = [
        &[],
        &["status"],
        &["top"],
        &["governor"],
        &["governor", "show"],
        &["sites"],
        &["bindings"],
        &["route"],
        &["route", "explain"],
        &["route", "replay"],
        &["route", "learn"],
        &["audit"],
        &["usage"],
        &["hold"],
        &["models"],
        &["models", "list"],
        &["models", "show"],
        &["models", "plan"],
        &["models", "tune"],
        &["models", "load"],
        &["models", "unload"],
        &["models", "cache"],
        &["models", "cache", "clear"],
        &["models", "cache", "export"],
        &["models", "cache", "import"],
        &["jobs"],
        &["jobs", "cancel"],
        &["jobs", "watch"],
        &["infer"],
        &["bench"],
        &["doctor"],
        &["drain"],
        &["resume"],
        &["reload"],
        &["trace"],
        &["config"],
        &["config", "check"],
        &["completions"],
    ];
    let runs = verbs.map(|verb| edgectl.tell(&[verb, &["--help"]].concat()));
    for run in &runs {
        assert!(run.contains("Example") && run.ends_with("[exit 0]\n"), "{run}");
    }
    check("help", &runs);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let bus = PrivateBus::start();
    let _fake = Fake::start(&bus, canned::serving());
    let mut child = Edgectl::on(&bus)
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn an_answer_that_cannot_be_written_is_said_and_is_no_fault_of_the_command_line() {
    let bus = PrivateBus::start();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Edgectl::on(&bus).command(&["completions", "bash"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("write the answer"));
}

#[test]
fn asking_does_not_start_a_daemon_that_was_stopped() {
    let bus = PrivateBus::start_with_activation("started");
    files(&bus);
    let edgectl = Edgectl::on(&bus);
    let lines: [&[&str]; 18] = [
        &["status"],
        &["top"],
        &["governor"],
        &["hold", "--why", "x"],
        &["jobs"],
        &["jobs", "cancel", "7"],
        &["models", "list"],
        &["doctor"],
        &["trace", "line-3"],
        &["sites"],
        &["audit"],
        &["usage"],
        &["route", "explain", "label.png", "--model", "text-line"],
        &["infer", "text-line", "label.png"],
        &["bench", "text-line"],
        &["drain"],
        &["resume"],
        &["reload"],
    ];
    for line in lines {
        let output = edgectl.run(line);
        assert_eq!(output.status.code(), Some(3), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!bus.path().join("started").exists(), "{line:?} started it");
    }
}

#[test]
fn a_remote_run_hands_the_command_line_to_ssh_and_its_exit_back() {
    use std::os::unix::fs::PermissionsExt;
    let bus = PrivateBus::start();
    let ssh = bus.path().join("ssh");
    fs::write(&ssh, "#!/bin/sh\nfor word in \"$@\"; do echo \"<$word>\"; done\ncat\nexit 6\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bus.path().display());
    let output =
        Edgectl::on(&bus).with("PATH", &path).run(&["--host", "root@press-7", "trace", "it's $HOME", "--json"]);
    assert_eq!(output.status.code(), Some(6));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "<-->\n<root@press-7>\n<edgectl 'trace' 'it'\\''s $HOME' '--json'>\n");
}

#[test]
fn completions_are_printed_as_they_are_installed() {
    let bus = PrivateBus::start();
    for (shell, file) in [("bash", "edgectl.bash"), ("zsh", "_edgectl"), ("fish", "edgectl.fish")] {
        let output = Edgectl::on(&bus).run(&["completions", shell]);
        let installed = fs::read(format!("{}/../packaging/completions/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(output.stdout == installed, "{shell}");
    }
}
