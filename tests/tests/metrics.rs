//! `/metrics` and the local HTTP server of a running box: everything that there is to tell is told, page, rules and dashboard name what
//! there is; the socket over crashes and beside another daemon; callers that are too many, too slow or no callers at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use edge_tests::answer::{Options, expect_no, expect_yes, options};
use edge_tests::broker::Port;
use edge_tests::client::mqtt::{Outgoing, Protocol};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::Daemon;
use edge_tests::places;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edged::transport::http::metrics::table::{self, Kind};
use serde_json::{Value, json};

const GET: &str = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// An answer: its status, its head, its body.
type Answer = (u16, String, String);

fn socket(stack: &Stack) -> PathBuf {
    stack.dir().join("run/api.sock")
}

fn by_socket(stack: &Stack) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket(stack)).context("connect to the socket")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn by_port(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).context("connect to the port")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends bytes and takes what comes until the connection ends. Who is turned away may find that out while writing.
fn ask(mut stream: impl Read + Write, bytes: &[u8]) -> Result<Answer> {
    let _may_be_closed = stream.write_all(bytes);
    read(stream)
}

fn read(mut stream: impl Read) -> Result<Answer> {
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error).context("read an answer"),
        }
    }
    let text = String::from_utf8(text)?;
    if text.is_empty() {
        return Ok((0, String::new(), String::new()));
    }
    let (head, body) = text.split_once("\r\n\r\n").context("a head")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((status, head.to_ascii_lowercase(), body.to_owned()))
}

fn metrics(stack: &Stack) -> Result<String> {
    match ask(by_socket(stack)?, GET.as_bytes())? {
        (200, _, body) => Ok(body),
        (status, _, body) => bail!("{status}: {body}"),
    }
}

/// The value of the one sample whose line begins so.
fn value(text: &str, sample: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {sample} in {text}"))?.parse()?)
}

/// The families that have a sample, each with the names of its labels.
fn families(text: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let known: BTreeSet<&str> = table::families().map(|family| family.name).collect();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let ended = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
        let family = ended.filter(|stem| known.contains(stem)).unwrap_or(name);
        let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
        let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        found.entry(family.to_owned()).or_default().extend(names.filter(|label| label != "le"));
    }
    Ok(found)
}

/// A box with all that can be had without hardware.
fn rich(port: u16) -> Setup {
    Setup::new().argument("--sim").argument("machine=orin-nano-super").config(&format!(
        r#"
[http]
port = {port}
[telemetry]
interval_ms = 500
[mqtt]
reply_allow = ["seen/#"]
[sparkplug]
group = "plant"
[[binding]]
name = "doors"
model = "file-type"
topic = "plant/+/upload"
payload = "application/octet-stream"
take = "every"
result = "seen/{{1}}/result"
[[site]]
name = "cloud"
zone = "cloud"
protocol = "oip"
url = "http://127.0.0.1:9"
allow_plain = true
models = {{ speech = "speech" }}
price = {{ per_request_usd = 0.01, as_of = "2026-11-01" }}
budget_usd_per_day = 5.0
"#
    ))
}

/// What a simulated box in order does not have: nothing is fabricated, so nothing is told.
const NOT_SIMULATED: [&str; 14] = [
    "edged_model_memory_bytes",
    "edged_model_slow_ratio",
    "edged_trip_in_seconds",
    "edged_predicted_celsius",
    "edged_capacity_sustainable_ratio",
    "edged_tokens_total",
    "edged_sent_bytes_total",
    "edged_cost_usd_total",
    "edged_certificate_end_timestamp_seconds",
    "edged_broker_ping_seconds",
    "edged_accelerator_power_watts",
    "edged_accelerator_memory_free_bytes",
    "edged_fan_rpm",
    "edged_fallbacks_total",
];

#[test]
fn all_that_the_table_has_is_told_and_nothing_else() -> Result<()> {
    block_on(async {
        let port = Port::reserve()?;
        let stack = rich(port.number()).start().await?;
        stack.connected().await?;
        let client = stack.client().await?;
        let options = Options::new();
        let bytes = |kind| client.infer_bytes("file-type", kind, b"{\"a\": 1}", &options);
        for _ in 0..3 {
            expect_yes("a request", bytes("application/octet-stream").await?)?;
        }
        expect_no("a bad type", &bytes("image/jpeg").await?, "invalid_input", &[])?;
        let secret = "who-is-\"this\"";
        let no = client.infer_bytes(secret, "text/plain", b"x", &Options::new()).await?;
        expect_no("no such model", &no, "unknown_model", &[])?;
        let device = stack.device(Protocol::V5).await?;
        let payload = b"{\"b\": 2}".to_vec().into();
        let topic = "plant/secret-gate/upload".into();
        device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
        let answered = async || {
            let text = metrics(&stack)?;
            Ok(text.contains("edged_binding_last_answer_timestamp_seconds{").then_some(text))
        };
        eventually("the binding has answered", PATIENCE, answered).await?;
        let born = async || {
            let text = metrics(&stack)?;
            Ok((text.contains("edged_headroom_celsius ") && text.contains("edged_http_answers_total{")).then_some(text))
        };
        let text = eventually("the governor has a sample", PATIENCE, born).await?;
        let found = families(&text)?;
        for family in table::families() {
            let is_expected = !NOT_SIMULATED.contains(&family.name);
            match found.get(family.name) {
                None if is_expected && family.name != "edged_problems" => bail!("{} is missing in {text}", family.name),
                Some(labels) => {
                    let known: BTreeSet<String> = family.labels.iter().map(|label| (*label).to_owned()).collect();
                    ensure!(*labels == known, "{}: {labels:?}, not {known:?}", family.name);
                }
                None => {}
            }
        }
        let known: BTreeSet<&str> = table::families().map(|family| family.name).collect();
        let strange: Vec<_> = found.keys().filter(|name| !known.contains(name.as_str())).collect();
        ensure!(strange.is_empty(), "not in the table: {strange:?}");
        // The numbers are those of the requests, and nobody's words are among the labels.
        let done = "{model=\"file-type\",transport=\"bus\",verdict=\"local\",outcome=\"done\",code=\"\"}";
        ensure!(value(&text, &format!("edged_requests_total{done}"))? == 3.0, "{text}");
        let unknown = "{model=\"\",transport=\"bus\",verdict=\"refuse\",outcome=\"refused\",code=\"unknown_model\"}";
        ensure!(value(&text, &format!("edged_requests_total{unknown}"))? == 1.0, "{text}");
        ensure!(value(&text, "edged_refusals_total{reason=\"invalid_input\"}")? == 1.0, "{text}");
        ensure!(value(&text, "edged_request_seconds_count{model=\"file-type\"}")? >= 3.0, "{text}");
        ensure!(value(&text, "edged_request_seconds_bucket{model=\"file-type\",le=\"+Inf\"}")? >= 3.0, "{text}");
        ensure!(value(&text, "edged_binding_frames_total{binding=\"doors\",fate=\"done\"}")? == 1.0, "{text}");
        ensure!(value(&text, "edged_site_budget_left_usd{site=\"cloud\"}")? == 5.0, "{text}");
        ensure!(value(&text, "edged_broker_connected")? == 1.0, "{text}");
        ensure!(!text.contains("who-is") && !text.contains("secret") && !text.contains(":1."), "{text}");
        // The port tells the same, in the form that is asked for.
        let accept = "GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: application/openmetrics-text\r\nconnection: close\r\n\r\n";
        let (status, head, body) = ask(by_port(port.number())?, accept.as_bytes())?;
        ensure!(status == 200 && head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
        ensure!(body.ends_with("# EOF\n") && body.contains("# TYPE edged_requests counter\n"), "{body}");
        let at = format!("127.0.0.1:{}", port.number());
        let http = stack.status().await?.http;
        ensure!(http.address == at && http.socket == socket(&stack).display().to_string(), "{http:?}");
        Ok(())
    })?
}

const BEGIN: &str = "<!-- the table: UPDATE_GOLDENS=1 cargo test --test metrics -->\n";
const END: &str = "<!-- its end -->\n";

#[test]
fn the_page_has_the_table() -> Result<()> {
    let file = places::repository().join("docs/metrics.md");
    let page = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let (before, rest) = page.split_once(BEGIN).context("the beginning of the table")?;
    let (shown, after) = rest.split_once(END).context("the end of the table")?;
    let expected = format!("\n{}", table::page());
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        return Ok(fs::write(&file, [before, BEGIN, &expected, END, after].concat())?);
    }
    ensure!(shown == expected, "docs/metrics.md is not what the daemon tells: UPDATE_GOLDENS=1 writes it anew");
    Ok(())
}

/// Every expression in a file of rules or a dashboard.
fn expressions(file: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(places::repository().join(file)).with_context(|| format!("read {file}"))?;
    if file.ends_with(".json") {
        fn collect(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
                    Value::String(text) if ["expr", "definition"].contains(&key.as_str()) => found.push(text.clone()),
                    value => collect(value, found),
                }),
                Value::Array(all) => all.iter().for_each(|value| collect(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        collect(&serde_json::from_str(&text)?, &mut found);
        return Ok(found);
    }
    // Of each rule its expression is the lines from `expr:` to the next key.
    let rules = text.split("expr:").skip(1).filter_map(|rest| rest.split("labels:").next());
    Ok(rules.map(|expr| expr.split("for:").next().unwrap_or_default().to_owned()).collect())
}

/// Names in an expression that begin like ours, or stand where labels do.
fn named(expression: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = expression.split(|letter| !is_part(letter)).filter(|word| word.starts_with("edged_"));
    let mut labels: BTreeSet<String> = BTreeSet::new();
    for group in expression.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        let matched = group.split(',').filter_map(|label| Some(label.split(['=', '!']).next()?.trim().to_owned()));
        labels.extend(matched.filter(|label| !label.is_empty()));
    }
    for group in expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
        labels.extend(group.split(',').map(|label| label.trim().to_owned()));
    }
    (words.map(str::to_owned).collect(), labels)
}

#[test]
fn rules_and_dashboard_name_metrics_and_labels_that_there_are() -> Result<()> {
    let labels: BTreeSet<&str> = table::families().flat_map(|family| family.labels).copied().collect();
    for file in ["packaging/prometheus/edged.rules.yml", "packaging/grafana/edged.json"] {
        let expressions = expressions(file)?;
        ensure!(expressions.len() >= 15, "{file}: {} expressions", expressions.len());
        for expression in expressions {
            let (names, used) = named(&expression);
            ensure!(!names.is_empty() || expression.contains("up{"), "{file}: nothing of edged in {expression}");
            for name in names {
                let is_known = table::families().any(|family| match family.kind {
                    Kind::Histogram => {
                        name.strip_prefix(family.name).is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest))
                    }
                    Kind::Counter | Kind::Gauge | Kind::Info => name == family.name,
                });
                ensure!(is_known, "{file}: there is no {name}: {expression}");
            }
            for label in used {
                let is_known = labels.contains(label.as_str()) || ["instance", "job", "le"].contains(&label.as_str());
                ensure!(is_known, "{file}: there is no label {label}: {expression}");
            }
        }
    }
    Ok(())
}

#[test]
fn bad_input_is_answered_by_name_and_harms_nobody() -> Result<()> {
    block_on(async {
        let port = Port::reserve()?;
        let stack = rich(port.number()).start().await?;
        let open = async || Ok((!stack.status().await?.http.address.is_empty()).then_some(()));
        eventually("the port is open", PATIENCE, open).await?;
        let long = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(64 << 10));
        let many = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200));
        let path = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(64 << 10));
        let on = |line: &str| format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        // A slow client that never ends its head is there all the while.
        let mut slow = by_socket(&stack)?;
        slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: loc")?;
        let rows: [(&str, Vec<u8>, &[u16], &str); 16] = [
            ("an unknown path", on("GET /nope").into(), &[404], "/metrics, /v2/health/live, /v2/health/ready"),
            ("the root", on("GET /").into(), &[404], "invalid_input"),
            ("a path that climbs", on("GET /../metrics").into(), &[404], "invalid_input"),
            ("a query", on("GET /v2/health/live?x=%00").into(), &[200], "\"live\":true"),
            ("a wrong method", on("POST /metrics").into(), &[405], "GET, HEAD"),
            ("a method nobody knows", on("BREW /metrics").into(), &[405], "GET, HEAD"),
            (
                "a body that is not read",
                [on("PUT /metrics").trim_end(), "\r\ncontent-length: 99999999\r\n\r\n", &"b".repeat(4096)]
                    .concat()
                    .into(),
                &[405],
                "",
            ),
            (
                "chunks that are none",
                b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
                &[405],
                "",
            ),
            ("no HTTP", b"hello, is anybody there?\r\n\r\n".to_vec(), &[400], ""),
            ("MQTT", b"\x10\x0c\x00\x04MQTT\x05\x02\x00\x3c\x00\x00".to_vec(), &[400], ""),
            ("bytes", (0..=255).collect(), &[400], ""),
            ("nothing", Vec::new(), &[0], ""),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[0, 400, 404, 405, 505], ""),
            ("a header that is too long", long.into(), &[431], ""),
            ("too many headers", many.into(), &[400, 431], ""),
            ("a path that is too long", path.into(), &[414, 431], ""),
        ];
        for (what, bytes, statuses, part) in &rows {
            for by in ["socket", "port"] {
                let answer = match by {
                    "socket" => {
                        let stream = by_socket(&stack)?;
                        let _may_be_closed = (&stream).write_all(bytes);
                        stream.shutdown(Shutdown::Write).ok();
                        read(stream)
                    }
                    _ => {
                        let stream = by_port(port.number())?;
                        let _may_be_closed = (&stream).write_all(bytes);
                        stream.shutdown(Shutdown::Write).ok();
                        read(stream)
                    }
                };
                let (status, head, body) = answer.with_context(|| format!("{what} by the {by}"))?;
                ensure!(statuses.contains(&status), "{what} by the {by}: {status} {head} {body}");
                ensure!(body.contains(part), "{what} by the {by}: {body}");
                ensure!(status != 405 || head.contains("allow: get, head"), "{what}: {head}");
                if [404, 405].contains(&status) {
                    let told: Value = serde_json::from_str(&body)?;
                    ensure!(told["error"]["code"] == "invalid_input" && told["error"]["message"].is_string(), "{told}");
                }
            }
        }
        let evil = "GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        let (status, _, body) = ask(by_port(port.number())?, evil.as_bytes())?;
        ensure!(status == 421 && body.contains("not_authorized"), "{status} {body}");
        // Everybody else is served as before, on every way.
        let client = stack.client().await?;
        expect_yes(
            "the bus",
            client.infer_bytes("file-type", "application/octet-stream", b"x", &Options::new()).await?,
        )?;
        let text = metrics(&stack)?;
        ensure!(value(&text, "edged_http_connections")? >= 2.0, "the slow one is open: {text}");
        ensure!(text.contains("edged_http_answers_total{route=\"other\",status=\"404\"}"), "{text}");
        let routes = text.lines().filter(|line| line.starts_with("edged_http_answers_total")).count();
        ensure!(routes < 16, "callers make no series: {text}");
        // Its time is over in the end, by the daemon's word.
        let (status, ..) = read(slow)?;
        ensure!([0, 408].contains(&status), "the slow one got {status}");
        ensure!(stack.status().await?.problems.is_empty(), "{:?}", stack.status().await?.problems);
        Ok(())
    })?
}

#[test]
fn one_connection_too_many_is_told_so_and_others_are_served() -> Result<()> {
    block_on(async {
        let port = Port::reserve()?;
        let setup = Setup::new().without_broker().argument("--sim");
        let config = format!("[http]\nport = {}\nmax_connections = 8", port.number());
        let stack = setup.config(&config).start().await?;
        let share: Vec<UnixStream> = (0..4).map(|_| by_socket(&stack)).collect::<Result<_>>()?;
        let full = async || {
            let (status, _, body) = ask(by_socket(&stack)?, GET.as_bytes())?;
            Ok((status == 503 && body.contains("overloaded") && body.contains("http.max_connections")).then_some(()))
        };
        eventually("this user has its share", PATIENCE, full).await?;
        // Another caller has places.
        let (status, _, text) = ask(by_port(port.number())?, GET.as_bytes())?;
        ensure!(status == 200 && value(&text, "edged_http_connections")? == 5.0, "{status} {text}");
        ensure!(value(&text, "edged_http_turned_away_total{why=\"caller\"}")? >= 1.0, "{text}");
        drop(share);
        let room = async || Ok((ask(by_socket(&stack)?, GET.as_bytes())?.0 == 200).then_some(()));
        eventually("there are places again", PATIENCE, room).await
    })?
}

#[test]
fn a_box_is_ready_while_it_runs_requests() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().argument("--sim").start().await?;
        let health = |what: &str| {
            let request = format!("GET /v2/health/{what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            ask(by_socket(&stack)?, request.as_bytes())
        };
        ensure!(health("ready")?.0 == 200 && health("live")?.0 == 200);
        let client = stack.client().await?;
        let manager = edge_wire::proxy::ManagerProxy::new(&client.connection).await?;
        let held = manager.hold("new firmware").await?;
        let told = async || Ok(Some(health("ready")?).filter(|(status, ..)| *status == 503));
        let (_, _, body) = eventually("a held box is not ready", PATIENCE, told).await?;
        let told: Value = serde_json::from_str(&body)?;
        ensure!(told["ready"] == false && told["error"]["code"] == "unavailable", "{told}");
        ensure!(told["error"]["message"].as_str().is_some_and(|why| why.contains("new firmware")), "{told}");
        ensure!(health("live")?.0 == 200, "it lives all the same");
        drop(held);
        let ready = async || Ok((health("ready")?.0 == 200).then_some(()));
        eventually("it is ready again", PATIENCE, ready).await?;
        drop((manager, client));
        let path = socket(&stack);
        stack.daemon_mut()?.terminate()?;
        ensure!(!path.exists(), "the socket is gone with the daemon");
        Ok(())
    })?
}

fn is_open_socket(path: &Path) -> Result<bool> {
    let found = fs::metadata(path)?;
    Ok(found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o666)
}

#[test]
fn a_socket_is_taken_over_from_the_dead_and_never_from_the_living() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().argument("--sim").start().await?;
        ensure!(is_open_socket(&socket(&stack))?, "everybody may connect");
        stack.daemon_mut()?.process.crash()?;
        ensure!(UnixStream::connect(socket(&stack)).is_err() && socket(&stack).exists(), "it is left over");
        stack.start_daemon().await?;
        let served = async || Ok(metrics(&stack).ok());
        eventually("the next one serves", PATIENCE, served).await?;
        // Another daemon on a bus of its own, which was given the same directory.
        let mut other = Setup::new().without_broker().argument("--sim").prepare()?;
        let run = toml::Value::from(stack.dir().join("run").display().to_string());
        other.launch.overlay = format!("[paths]\nruntime_dir = {run}\n");
        other.daemon = Some(Daemon::start(&other.launch).await?);
        let told = async || Ok(other.status().await?.problems.into_iter().find(|problem| problem.subject == "http"));
        let problem = eventually("it says that it has no socket", PATIENCE, told).await?;
        ensure!(problem.what.contains("is served by another program"), "{problem:?}");
        ensure!(problem.remedy.contains("`paths.runtime_dir`"), "{problem:?}");
        let client = other.client().await?;
        let request = options(json!({ "deadline_ms": 5000 }));
        expect_yes("it serves on", client.infer_bytes("file-type", "application/octet-stream", b"x", &request).await?)?;
        let pid = format!("edged_build_info{{version=\"{}\"", env!("CARGO_PKG_VERSION"));
        ensure!(metrics(&stack)?.contains(&pid), "the first one has its socket");
        // The first one ends, and the other finds the place free by itself.
        stack.daemon_mut()?.terminate()?;
        let open = async || Ok(other.status().await?.http).map(|http| (!http.socket.is_empty()).then_some(()));
        eventually("the other has it now", PATIENCE, open).await?;
        ensure!(other.status().await?.problems.is_empty(), "{:?}", other.status().await?.problems);
        Ok(())
    })?
}

#[test]
fn a_port_that_another_program_has_is_a_problem_with_a_remedy() -> Result<()> {
    block_on(async {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let port = taken.local_addr()?.port();
        let setup = Setup::new().without_broker().argument("--sim");
        let stack = setup.config(&format!("[http]\nsocket = false\nport = {port}")).start().await?;
        let told = async || Ok(stack.status().await?.problems.into_iter().find(|problem| problem.subject == "http"));
        let problem = eventually("it says that the port is taken", PATIENCE, told).await?;
        ensure!(problem.what.starts_with(&format!("port {port} is not open")), "{problem:?}");
        ensure!(problem.remedy.contains("`http.port`"), "{problem:?}");
        ensure!(!socket(&stack).exists(), "no socket was asked for");
        drop(taken);
        let open = async || Ok(stack.status().await?.problems.is_empty().then_some(()));
        eventually("it is open when it is free", PATIENCE + Duration::from_secs(10), open).await?;
        ensure!(ask(by_port(port)?, GET.as_bytes())?.0 == 200);
        Ok(())
    })?
}
