//! What the daemon says of itself: its problems, and a line for each part that has none.

use edge_wire::dto::{EngineStatus, HttpStatus, ModelStatus, Problem, Status};
use edge_wire::sparkplug::SparkplugStatus;

use super::{away, link};
use crate::check::Check;
use crate::render::units::{bytes, count, whole};

/// All parts, in the order in which one needs the other; prices are held against the day of `unix_seconds`.
pub fn parts(status: &Status, unix_seconds: u64) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut part = |subject: &str, otherwise: Check| {
        let named = status.problems.iter().filter(|problem| problem.subject == subject);
        let failures: Vec<Check> = named.map(told_of).collect();
        checks.extend(if failures.is_empty() { vec![otherwise] } else { failures });
    };
    part("library", library(&status.engine));
    part("engine", engine(status));
    for one in &status.models {
        part(&format!("model {}:{}", one.name, one.version), model(one));
    }
    for (subject, check) in link::parts(&status.mqtt, unix_seconds) {
        part(&subject, check);
    }
    if !matches!(status.sparkplug.state.as_str(), "" | "off") {
        part("sparkplug", edge_node(&status.sparkplug));
    }
    if let Some(check) = http(&status.http) {
        part("http", check);
    }
    part("state", storage(status));
    for (subject, check) in away::parts(&status.routing, unix_seconds) {
        part(&subject, check);
    }
    part("heat", heat(status));
    if !status.governor.capacity.held.is_empty() {
        part("hold", hold(&status.governor.capacity.held));
    }
    let shown: Vec<String> = checks.iter().map(|check| check.subject.clone()).collect();
    let others = status.problems.iter().filter(|problem| !shown.contains(&problem.subject));
    checks.extend(others.map(told_of));
    let notes = status.hardware.notes.iter();
    checks.extend(notes.map(|note| Check::warn(&note.subject, &note.what, &note.remedy)));
    checks
}

/// A problem that the daemon names. What it says of a key of a site or a rule (`site "a": price.as_of`) is not wrong and should be
/// known.
fn told_of(problem: &Problem) -> Check {
    let Problem { subject, what, remedy } = problem;
    let is_remark = subject.starts_with("site \"") || subject.starts_with("rule \"");
    if is_remark { Check::warn(subject, what, remedy) } else { Check::fail(subject, what, remedy) }
}

/// A daemon that has not opened anything yet, or is not to, has nothing to be checked.
fn http(http: &HttpStatus) -> Option<Check> {
    crate::render::human::status::metrics(http).map(|ways| Check::ok("http", format!("metrics: {ways}")))
}

fn library(engine: &EngineStatus) -> Check {
    if engine.state == "simulated" {
        return Check::skip("library", "simulated: none is loaded");
    }
    if engine.library.is_empty() {
        return Check::fail(
            "library",
            format!("not found: {}", engine.reason),
            "put libonnxruntime.so into /usr/lib/edged/onnxruntime, or set `engine.library`",
        );
    }
    Check::ok("library", format!("ONNX Runtime {}, {} (found by {})", engine.version, engine.library, engine.found_by))
}

fn engine(status: &Status) -> Check {
    let engine = &status.engine;
    let restarts = count(engine.restarts.into(), "restart");
    match engine.state.as_str() {
        "up" => Check::ok(
            "engine",
            format!("host up, pid {}, {restarts}, providers {}", engine.pid, engine.providers.join(" ")),
        ),
        "simulated" => Check::warn("engine", "SIMULATED: no model really runs", "start edged without --sim"),
        "no_library" => Check::skip("engine", "not started: it has no library"),
        "starting" => Check::warn("engine", format!("host starting, {restarts}"), "wait, then ask again"),
        state => Check::fail("engine", format!("{state}: {}, {restarts}", engine.reason), "`journalctl -u edged -b`"),
    }
}

fn model(model: &ModelStatus) -> Check {
    let subject = format!("model {}:{}", model.name, model.version);
    match model.state.as_str() {
        "ready" => {
            let goldens = match model.goldens_passed {
                0 => "without golden answers".into(),
                passed => format!("{} right", count(passed.into(), "golden answer")),
            };
            let providers: Vec<&str> = model.providers.iter().map(|provider| provider.name.as_str()).collect();
            Check::ok(subject, format!("ready on {}, {goldens}", providers.join(" ")))
        }
        "failed" if model.reason.contains("is revoked by the fleet's list") => Check::warn(
            subject,
            model.reason.clone(),
            format!("`edgectl models remove {}:{}` takes it off the disk", model.name, model.version),
        ),
        "failed" => Check::fail(subject, format!("failed: {}", model.reason), "install the bundle again"),
        // It was let go to save memory, which is no fault.
        "standby" => Check::ok(subject, told("not loaded", &model.reason)),
        "unloaded" => {
            let remedy = format!("`edgectl models load {}:{}`", model.name, model.version);
            Check::warn(subject, told("unloaded", &model.reason), remedy)
        }
        "unavailable" => Check::warn(subject, told("unavailable", &model.reason), "see the model that is its stage"),
        state => Check::warn(subject, told(state, &model.reason), "wait, then ask again"),
    }
}

/// A state, and why.
fn told(state: &str, reason: &str) -> String {
    if reason.is_empty() { state.into() } else { format!("{state}: {reason}") }
}

/// The edge node for SCADA hosts. What keeps it from being born the daemon lists among its problems.
fn edge_node(node: &SparkplugStatus) -> Check {
    let name = format!("{}/{}", node.group, node.edge_node);
    match node.state.as_str() {
        "born" => Check::ok("sparkplug", format!("{name} is born at {}", node.broker)),
        state => Check::warn("sparkplug", format!("{name}: {}", told(state, &node.reason)), "wait, then ask again"),
    }
}

/// Somebody holds the device.
fn hold(why: &str) -> Check {
    Check::warn(
        "hold",
        format!("nothing runs, the device is held: {why}"),
        "it ends with the `edgectl hold` that did it",
    )
}

/// The regime of the governor. A throttled box serves, only less; somebody should look at it all the same.
fn heat(status: &Status) -> Check {
    let governor = &status.governor;
    let room = match governor.headroom_c {
        Some(kelvin) => format!("; {kelvin:.1} K below the trip of {}", governor.tightest),
        None => String::new(),
    };
    let what = told(&governor.regime, &governor.reason) + &room;
    match governor.regime.as_str() {
        "" => Check::skip("heat", "this edged has no governor"),
        "nominal" | "boot" => Check::ok("heat", what),
        "throttled" | "critical" => Check::warn(
            "heat",
            what,
            "clear fan, filter and vents, or cool the cabinet; `edgectl governor` shows what heats",
        ),
        "slow" => Check::warn("heat", what, "`edgectl governor` names the models that are slow, and the likely cause"),
        _ => Check::warn("heat", what, "`edgectl status` shows which thermometers are silent, and why"),
    }
}

/// The state directory: the daemon names its troubles as problems; otherwise the room that is left.
fn storage(status: &Status) -> Check {
    let free =
        status.readings.iter().find(|reading| reading.name == "state_free_bytes").and_then(|reading| reading.value);
    match free {
        Some(free) => Check::ok("state", format!("writable, {} free", bytes(whole(free)))),
        None => Check::ok("state", "the daemon reports no trouble with its state directory"),
    }
}
