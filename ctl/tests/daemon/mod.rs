//! The same binary against the real daemon: simulated, where every answer can be known, and broken, where the advice is
//! the daemon's own.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::files;
use crate::support::bus::PrivateBus;
use crate::support::daemon::Daemon;
use crate::support::transcript::{Edgectl, check};

#[test]
fn a_simulated_daemon_is_asked_and_steered() {
    let bus = PrivateBus::start();
    files(&bus);
    let edgectl = Edgectl::on(&bus);
    let _daemon = Daemon::start(&bus, &["--sim"], "");
    until(&edgectl, "serving");
    let lines: [&[&str]; 26] = [
        &["status", "--check"],
        &["status", "--json"],
        &["models", "list"],
        &["models", "show", "text-line"],
        &["models", "show", "speech", "--json"],
        &["infer", "text-line", "label.png", "--request-id", "sim-1", "--verbose"],
        &["infer", "text-direction", "label.png", "--request-id", "sim-2"],
        &["infer", "file-type", "label.png", "--request-id", "sim-3", "--json"],
        &["infer", "speech", "call.wav", "--request-id", "sim-4", "--json"],
        &["infer", "text-line", "call.wav", "--request-id", "sim-5"],
        &["infer", "nothing", "label.png", "--request-id", "sim-6", "--json"],
        &["trace", "sim-1"],
        &["trace", "sim-3", "--json"],
        &["config", "check"],
        &["models", "unload", "speech"],
        &["infer", "speech", "call.wav", "--request-id", "sim-9"],
        &["models", "load", "speech"],
        &["models", "load", "nothing"],
        &["drain", "--wait"],
        &["infer", "text-line", "label.png", "--request-id", "sim-7"],
        &["resume", "--json"],
        &["infer", "text-line", "label.png", "--request-id", "sim-8"],
        &["doctor"],
        &["bench", "text-line", "--seconds", "1", "--clients", "1,2"],
        &["bench", "text-direction", "--file", "label.png", "--seconds", "1", "--clients", "2", "--over", "bus"],
        &["bench", "file-type", "--batch", "4", "--seconds", "1", "--clients", "2", "--json"],
    ];
    check("daemon_simulated", &lines.map(|line| edgectl.tell_redacted(line)));
}

#[test]
fn a_broken_daemon_says_what_to_do_about_each_fault() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let bundle = bus.path().join("bundles/wrong-sha256");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-models/test/wrong-sha256"), &bundle);
    // Nobody listens on the first port of the loopback.
    let config = format!(
        "[engine]\nlibrary = \"/nowhere/libonnxruntime.so\"\n[models]\nallow_unsigned = true\ndirs = [\"{}\"]\n\
         [mqtt]\nhost = \"127.0.0.1\"\nport = 1\nclient_id = \"press-7\"",
        bus.path().join("bundles").display()
    );
    let _daemon = Daemon::start(&bus, &[], &config);
    until(&edgectl, "Connection refused");
    check("daemon_broken", &[edgectl.tell_redacted(&["doctor"])]);
}

/// Waits until the status holds this text.
#[expect(clippy::disallowed_methods, reason = "the daemon is another process, whose time is real")]
fn until(edgectl: &Edgectl<'_>, text: &str) {
    let started = Instant::now();
    loop {
        let output = edgectl.run(&["status", "--json"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.contains(text) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no {text:?} in {said}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}
