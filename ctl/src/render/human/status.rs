//! `edgectl status`: one screen that tells the story of the box.

use edge_wire::dto::{
    BindingStatus, BrokerStatus, EngineStatus, HostStatus, HttpStatus, JobStatus, MqttStatus, OutboxStatus, Platform,
    Problem, ReadingInfo, Status,
};
use edge_wire::sparkplug::SparkplugStatus;

use super::{hardware, models, sites};
use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{age, bytes, count, micros, span, whole};

/// The whole state.
pub fn status(status: &Status) -> String {
    let mut parts = vec![head(status), service(status), models::table_of(&status.models), jobs(&status.jobs)];
    parts.extend(hardware::tables(&status.hardware));
    parts.extend([readings(&hardware::other_readings(status)), problems(&status.problems)]);
    parts.push(notes(&status.hardware.notes));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Name and state, and on which ground everything below stands.
fn head(status: &Status) -> String {
    // A degraded daemon gives its first problem as the reason; all of them stand below, with their remedies.
    let reason = match (status.reason.as_str(), status.problems.is_empty()) {
        ("", true) => String::new(),
        (reason, true) => format!(", {reason}"),
        (_, false) => ", see the problems below".into(),
    };
    let head = format!("edged {} on {}: {}{reason}", status.version, status.node, status.state);
    let mut text = paragraph("", &clean(&head));
    if status.simulated {
        text.push_str(SIMULATED);
    }
    text
}

/// Said wherever numbers of a simulator are shown.
pub const SIMULATED: &str = "SIMULATED: no hardware was measured and no model ran\n";

/// Long work that runs now; what has ended is not today's story.
fn jobs(jobs: &[JobStatus]) -> String {
    let running: Vec<JobStatus> = jobs.iter().filter(|job| job.state == "running").cloned().collect();
    if running.is_empty() { String::new() } else { super::jobs::list(&running) }
}

fn service(status: &Status) -> String {
    let since = format!(
        "{}, pid {}, {} resident, interface {}",
        span(status.uptime_ms),
        status.pid,
        bytes(status.rss_bytes),
        status.interface
    );
    let mut config =
        if status.config_files.is_empty() { "built-in defaults".into() } else { status.config_files.join(", ") };
    if let Some(pending) = super::pending(status) {
        config.push_str(&format!("; changed and not taken over: {pending}"));
    }
    [
        field("running", &since),
        field("machine", &clean(&machine(&status.platform))),
        hardware::fields(status),
        field("config", &clean(&config)),
        engine(&status.engine),
        broker(&status.mqtt),
        edge_node(&status.sparkplug),
        metrics(&status.http).map_or(String::new(), |ways| field("metrics", &clean(&ways))),
        sites::line(&status.routing).map_or(String::new(), |line| field("sites", &clean(&line))),
        requests(status),
    ]
    .concat()
}

/// What machine this is, in one line.
pub fn machine(platform: &Platform) -> String {
    let Platform { machine, architecture, os, kernel, cores, memory_bytes } = platform;
    let name = if machine.is_empty() { "unknown machine" } else { machine };
    format!(
        "{name}, {architecture}, {}, {}, {os}, kernel {kernel}",
        count((*cores).into(), "core"),
        bytes(*memory_bytes)
    )
}

fn engine(engine: &EngineStatus) -> String {
    let reason = if engine.reason.is_empty() { String::new() } else { format!(" ({})", engine.reason) };
    let mut lines = vec![format!("{}{reason}", engine.state)];
    if !engine.library.is_empty() {
        lines[0] = format!(
            "{}, ONNX Runtime {}, providers {}",
            lines[0],
            or_unknown(&engine.version),
            list(&engine.providers)
        );
        lines.push(format!("{} (found by {})", engine.library, engine.found_by));
    }
    if engine.pid != 0 {
        let restarts = count(engine.restarts.into(), "restart");
        lines.push(format!("host pid {}, {} resident, {restarts}", engine.pid, bytes(engine.rss_bytes)));
    } else if engine.restarts > 0 {
        lines.push(format!("no host process now, {} so far", count(engine.restarts.into(), "restart")));
    }
    // The first host is told of above; one that no model wants is of no interest here.
    lines.extend(engine.hosts.iter().skip(1).filter(|host| host.state != "unused").map(host));
    block("engine", &lines)
}

/// One line about the host of a provider.
fn host(host: &HostStatus) -> String {
    let reason = if host.reason.is_empty() { String::new() } else { format!(" ({})", host.reason) };
    let process = if host.pid == 0 { String::new() } else { format!(", host pid {}", host.pid) };
    let restarts = count(host.restarts.into(), "restart");
    let known: String = [&host.provider_version, &host.device]
        .into_iter()
        .filter(|text| !text.is_empty())
        .fold(String::new(), |known, text| format!("{known}, {text}"));
    format!("provider {}: {}{reason}{known}{process}, {restarts}", host.provider, host.state)
}

fn broker(mqtt: &MqttStatus) -> String {
    if mqtt.state == "off" {
        return field("broker", "off (no [mqtt] in the configuration)");
    }
    let reason = if mqtt.reason.is_empty() { String::new() } else { format!(" ({})", mqtt.reason) };
    let mut lines = vec![
        format!("{}{reason}, {}, MQTT {}, zone {}", mqtt.state, mqtt.broker, mqtt.protocol, mqtt.zone),
        format!("client id {}, {} since start{}", mqtt.client_id, count(mqtt.connects, "connection"), since(mqtt)),
        format!(
            "{} received, {} waiting for the broker, {} in the journal",
            count(mqtt.received, "request"),
            if mqtt.replies_waiting == 1 { "1 reply".into() } else { format!("{} replies", mqtt.replies_waiting) },
            mqtt.journaled
        ),
    ];
    lines.extend(outbox(&mqtt.outbox));
    lines.extend(bindings(&mqtt.bindings));
    lines.extend(link(mqtt));
    block("broker", &lines)
}

/// Results and events for subscribers, if there were any.
fn outbox(outbox: &OutboxStatus) -> Option<String> {
    let OutboxStatus { waiting, stored, sent, late, .. } = outbox;
    if waiting + sent + outbox.dropped + outbox.expired + outbox.refused == 0 {
        return None;
    }
    let mut text = format!("{sent} results and events sent ({late} late), {waiting} waiting ({stored} on disk)");
    let lost = [
        ("dropped as the outbox was full", outbox.dropped),
        ("too old", outbox.expired),
        ("refused by the broker", outbox.refused),
        ("unreadable", outbox.unreadable),
    ];
    for (why, number) in lost.into_iter().filter(|(_, number)| *number > 0) {
        text.push_str(&format!(", {number} {why}"));
    }
    Some(text)
}

fn bindings(bindings: &[BindingStatus]) -> Option<String> {
    let sum = |of: fn(&BindingStatus) -> u64| bindings.iter().map(of).sum::<u64>();
    let (received, done, failed) = (sum(|one| one.received), sum(|one| one.done), sum(|one| one.failed));
    let number = bindings.len() as u64;
    (number > 0).then(|| {
        format!(
            "{}: {received} frames received, {done} answered, {failed} failed (see edgectl bindings)",
            count(number, "binding")
        )
    })
}

/// Since when this connection stands, and what ended the one before.
fn since(mqtt: &MqttStatus) -> String {
    let since = match mqtt.connected_since.as_str() {
        "" => String::new(),
        since => format!(", this one since {}", second(since)),
    };
    match (mqtt.last_error.as_str(), mqtt.last_error_at.as_str()) {
        ("", _) => since,
        (_, _) if mqtt.state != "connected" => since,
        (error, at) => format!("{since}; the last fault, {}: {error}", second(at)),
    }
}

/// How the connection is secured and watched; nothing of one that does not stand.
fn link(mqtt: &MqttStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if mqtt.state == "connected" && mqtt.keep_alive_s > 0 {
        let tls = mqtt.tls.as_ref().map_or("no TLS".into(), |tls| format!("TLS {}, {}", tls.version, tls.cipher));
        let ping = mqtt.ping_us.map_or(String::new(), |us| format!(", last ping {}", micros(us)));
        lines.push(format!("{tls}; keep-alive {} s{ping}", mqtt.keep_alive_s));
    }
    let ends: Vec<String> = mqtt.certificates.iter().map(|one| format!("{} {}", one.of, day(&one.not_after))).collect();
    if !ends.is_empty() {
        lines.push(format!("certificates hold until: {}", ends.join(", ")));
    }
    if mqtt.brokers.len() > 1 {
        let named = |broker: &BrokerStatus| match broker.fault.as_str() {
            "" => broker.address.clone(),
            fault => format!("{} ({fault})", broker.address),
        };
        let all: Vec<String> = mqtt.brokers.iter().map(named).collect();
        lines.push(format!("the list: {}", all.join(", ")));
    }
    lines
}

/// A time to the second.
fn second(time: &str) -> String {
    time.split_once('.').map_or(time.to_owned(), |(second, _)| format!("{second}Z"))
}

/// The day of a time.
fn day(time: &str) -> &str {
    time.split_once('T').map_or(time, |(day, _)| day)
}

/// Nothing where it is off: most boxes have no SCADA host.
fn edge_node(node: &SparkplugStatus) -> String {
    if matches!(node.state.as_str(), "" | "off") {
        return String::new();
    }
    let reason = if node.reason.is_empty() { String::new() } else { format!(" ({})", node.reason) };
    let host = match node.primary_host.as_str() {
        "" => "no primary host".into(),
        host => format!("primary host {host} {}", node.host_state),
    };
    let lines = [
        format!("{}{reason}, {}/{} at {}, {host}", node.state, node.group, node.edge_node, or_unknown(&node.broker)),
        format!(
            "{} asked for, {}, {} of hosts accepted, {} refused",
            count(node.rebirths_asked, "rebirth"),
            count(node.births, "birth"),
            count(node.commands_accepted, "command"),
            node.commands_refused
        ),
        format!(
            "{} kept for hosts, {} told later, {} lost",
            count(node.history_waiting, "result"),
            node.history_told,
            node.history_lost
        ),
    ];
    let last = (!node.last_command.is_empty()).then(|| format!("last command: {}", node.last_command));
    block("sparkplug", &lines.into_iter().chain(last).map(|line| clean(&line)).collect::<Vec<_>>())
}

/// Where what is counted is read; `None` where nothing is open.
pub fn metrics(http: &HttpStatus) -> Option<String> {
    let port = (!http.address.is_empty()).then(|| format!("http://{}/metrics", http.address));
    let socket =
        (!http.socket.is_empty()).then(|| format!("curl --unix-socket {} http://localhost/metrics", http.socket));
    let ways: Vec<String> = port.into_iter().chain(socket).collect();
    (!ways.is_empty()).then(|| ways.join(", or "))
}

fn requests(status: &Status) -> String {
    let sums = &status.counters;
    let named = [
        ("failed", sums.failed),
        ("refused", sums.refused),
        ("expired", sums.expired),
        ("cancelled", sums.cancelled),
        ("shed", sums.shed),
        ("put on the disk for later", sums.deferred),
        ("from a stored reply", sums.duplicates),
    ];
    let mut text = format!("{} arrived, {} done", sums.arrived, sums.done);
    if sums.spilled > 0 {
        text.push_str(&format!(" ({} by other sites)", sums.spilled));
    }
    for (word, number) in named.into_iter().filter(|(_, number)| *number > 0) {
        text.push_str(&format!(", {number} {word}"));
    }
    block("requests", &[text, format!("{} waiting, {} running now", status.waiting, status.running)])
}

/// A field of several lines.
fn block(label: &str, lines: &[String]) -> String {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(lines).map(|(label, line)| field(label, &clean(line))).collect()
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "unknown".into() } else { words.join(" ") }
}

fn or_unknown(word: &str) -> &str {
    if word.is_empty() { "of unknown version" } else { word }
}

fn readings(readings: &[ReadingInfo]) -> String {
    if readings.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> =
        readings.iter().map(|reading| vec![clean(&reading.name), value(reading), taken(reading)]).collect();
    table(&[("READING", Align::Left), ("VALUE", Align::Right), ("TAKEN, OR WHY NOT", Align::Left)], &rows)
}

fn taken(reading: &ReadingInfo) -> String {
    if reading.value.is_some() { age(reading.age_ms) } else { clean(&reading.absent) }
}

/// The value in the unit that its name ends with.
fn value(reading: &ReadingInfo) -> String {
    let Some(value) = reading.value else { return "-".into() };
    let name = reading.name.as_str();
    match () {
        () if name.ends_with("_bytes") => bytes(whole(value)),
        () if name.ends_with("_percent") => format!("{value:.1}%"),
        () if name.starts_with("temperature_c") => format!("{value:.1} C"),
        () if name.starts_with("power_w") => format!("{value:.2} W"),
        () if name.ends_with("_milli_c") => format!("{:.1} C", value / 1000.0),
        () if name.ends_with("_celsius") || name.ends_with("_c") => format!("{value:.1} C"),
        () if name.ends_with("_milli_w") => format!("{:.1} W", value / 1000.0),
        () if name.ends_with("_hz") => format!("{value:.0} Hz"),
        () => format!("{value}"),
    }
}

/// What is not as it should be, each with its remedy.
pub fn problems(problems: &[Problem]) -> String {
    titled("PROBLEMS", problems)
}

/// What is good to know of the machine, and not wrong.
fn notes(notes: &[Problem]) -> String {
    titled("GOOD TO KNOW", notes)
}

fn titled(title: &str, problems: &[Problem]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let mut text = format!("{title}\n");
    for problem in problems {
        text.push_str(&paragraph("  ", &clean(&format!("{}: {}", problem.subject, problem.what))));
        if !problem.remedy.is_empty() {
            text.push_str(&paragraph("    try: ", &clean(&problem.remedy)));
        }
    }
    text
}
