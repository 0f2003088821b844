//! Beginnings and ends: what a daemon says when it starts, cannot start, reloads and stops. Each test has its own stack.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_no, expect_yes, options};
use edge_tests::broker::{Broker, Port};
use edge_tests::client::mqtt::Protocol;
use edge_tests::client::routes::{Example, Route, Routes};
use edge_tests::clock::{PATIENCE, Stopwatch, eventually, within};
use edge_tests::daemon::{Daemon, Launch, NODE};
use edge_tests::places;
use edge_tests::process::{Life, Process};
use edge_tests::runner::block_on;
use edge_tests::spin::{self, Spin};
use edge_tests::stack::{Setup, Stack, name_is_owned};
use rustix::process::Signal;
use serde_json::json;

const MODEL: &str = "add";

async fn serves(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let good = Example::from(stack, MODEL).await?;
    let answer = within("an answer", PATIENCE, client.infer(MODEL, &good.inputs, &Options::new())).await??;
    expect_yes("a good request", answer).map(drop)
}

#[test]
fn ready_is_said_after_the_name_is_owned_and_the_models_are_warm() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        let connection = stack.bus.connect().await?;
        let mut daemon = Daemon::spawn(&stack.launch)?;
        daemon.wait_ready().await?;
        ensure!(name_is_owned(&connection).await?, "READY without the bus name");
        let status = edge_tests::stack::describe(&connection).await?;
        let cold: Vec<_> = status.models.iter().filter(|model| model.state != "ready").collect();
        ensure!(cold.is_empty() && !status.models.is_empty(), "READY with {cold:?}");
        let notices = daemon.notices();
        ensure!(notices.iter().any(|line| line.starts_with("STATUS=")), "no STATUS in {notices:?}");
        stack.daemon = Some(daemon);
        serves(&stack).await
    })?
}

#[test]
fn the_watchdog_is_pinged() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        stack.launch.environment.push(("WATCHDOG_USEC".into(), "400000".into()));
        stack.start_daemon().await?;
        let daemon = stack.daemon()?;
        let pings = || daemon.notices().iter().filter(|line| *line == "WATCHDOG=1").count();
        eventually("five pings", PATIENCE, async || Ok((pings() >= 5).then_some(()))).await
    })?
}

#[test]
fn a_second_daemon_on_the_bus_says_so_and_ends() -> Result<()> {
    block_on(async {
        let stack = Setup::new().start().await?;
        let before = stack.status().await?.mqtt;
        let dir = stack.dir().join("second");
        std::fs::create_dir(&dir)?;
        // As if the same service were started twice: with the same state and the same broker.
        let path = |name: &str| toml::Value::from(stack.dir().join(name).display().to_string());
        let overlay = format!(
            "[paths]\nstate_dir = {}\nruntime_dir = {}\n[cache]\ndir = {}\n",
            path("state"),
            path("run"),
            path("cache")
        );
        let mut second = Daemon::spawn(&Launch { dir, overlay, ..stack.launch.clone() })?;
        let status = second.process.wait(PATIENCE)?;
        let log = second.process.log();
        ensure!(status.code() == Some(3), "the second daemon ended with {status}: {log}");
        let first = stack.daemon()?.process.pid();
        let message = format!("another edged owns org.edged.Edge1 on this bus (pid {first})");
        ensure!(log.contains(&message), "it does not say {message:?}: {log}");
        ensure!(!second.noticed("READY=1"), "it said READY");
        serves(&stack).await?;
        let good = Example::from(&stack, MODEL).await?;
        Routes::open(&stack).await?.serves(Route::Json5, &good).await?;
        let after = stack.status().await?.mqtt;
        ensure!(after.state == "connected" && after.connects == before.connects, "{before:?}, then {after:?}");
        Ok(())
    })?
}

#[test]
fn without_a_bus_the_daemon_says_so_and_ends() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().prepare()?;
        let nowhere = format!("unix:path={}", stack.dir().join("no-bus").display());
        let launch = Launch { bus_address: nowhere.clone(), ..stack.launch.clone() };
        let mut daemon = Daemon::spawn(&launch)?;
        let status = daemon.process.wait(PATIENCE)?;
        let log = daemon.process.log();
        ensure!(status.code() == Some(3), "it ended with {status}: {log}");
        ensure!(log.contains(&format!("no session bus at {nowhere}")), "it does not say which: {log}");
        ensure!(!daemon.noticed("READY=1"), "it said READY");
        Ok(())
    })?
}

#[test]
fn a_bus_that_never_answers_is_named_and_ends_the_daemon() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().prepare()?;
        let path = stack.dir().join("mute-bus");
        let _mute = std::os::unix::net::UnixListener::bind(&path)?;
        let launch = Launch { bus_address: format!("unix:path={}", path.display()), ..stack.launch.clone() };
        let mut daemon = Daemon::spawn(&launch)?;
        let status = daemon.process.wait(PATIENCE)?;
        let log = daemon.process.log();
        ensure!(status.code() == Some(3) && log.contains("bus has not answered"), "it ended with {status}: {log}");
        Ok(())
    })?
}

#[test]
fn without_a_broker_the_bus_is_served_and_mqtt_connects_later() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        let port = Port::reserve()?;
        stack.launch.mqtt_port = Some(port.number());
        stack.start_daemon().await?;
        serves(&stack).await?;
        let refused = async || {
            let mqtt = stack.status().await?.mqtt;
            ensure!(mqtt.state != "connected", "connected to nothing: {mqtt:?}");
            Ok((mqtt.state == "connecting" && !mqtt.reason.is_empty()).then_some(()))
        };
        eventually("the daemon says why it is not connected", PATIENCE, refused).await?;
        serves(&stack).await?;
        stack.broker = Some(Broker::start_on(stack.dir(), Life::WithParent, port)?);
        stack.connected().await?;
        let good = Example::from(&stack, MODEL).await?;
        Routes::open(&stack).await?.serves(Route::Json5, &good).await.map(drop)
    })?
}

#[test]
fn sigterm_lets_running_work_finish_and_ends_with_0() -> Result<()> {
    block_on(async {
        // A limit that a machine with other work keeps as well.
        let mut stack = Setup::new().config("[policy]\ndrain_limit_ms = 120000").start().await?;
        let inputs = Spin::measure(&stack).await?.lasting(1_000)?;
        let client = stack.client().await?;
        let before = client.status().await?.counters.accepted;
        let given = options(json!({"deadline_ms": 120_000}));
        let running = {
            let client = client.clone();
            tokio::spawn(async move { client.infer(spin::MODEL, &inputs, &given).await })
        };
        accepted(&client, before + 1).await?;
        let device = stack.device(Protocol::V311).await?;
        device.subscribe(&format!("edge/{NODE}/available")).await?;
        stack.daemon()?.process.signal(Signal::TERM)?;
        expect_yes("the running request", running.await??)?;
        let status = stack.daemon_mut()?.process.wait(PATIENCE)?;
        ensure!(status.code() == Some(0), "it ended with {status}\n{}", stack.logs());
        ensure!(stack.daemon()?.noticed("STOPPING=1"), "no STOPPING in {:?}", stack.daemon()?.notices());
        let offline = |message: &edge_tests::client::mqtt::Incoming| message.payload == "offline";
        device.take("offline on the broker", PATIENCE, offline).await.map(drop)
    })?
}

#[test]
fn a_stop_that_has_no_time_left_tells_those_who_wait_and_keeps_what_the_broker_sent() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().config("[policy]\ndrain_limit_ms = 1000").start().await?;
        let spin = Spin::measure(&stack).await?;
        let client = stack.client().await?;
        let device = stack.device(Protocol::V5).await?;
        let before = client.status().await?.counters.accepted;
        let given = options(json!({"deadline_ms": 300_000}));
        let running = {
            let (client, inputs, given) = (client.clone(), spin.lasting(60_000)?, given.clone());
            tokio::spawn(async move { client.infer(spin::MODEL, &inputs, &given).await })
        };
        accepted(&client, before + 1).await?;
        let mut body = edge_tests::client::routes::tensor_body(&spin.lasting(100)?, &given)?;
        (body["id"], body["reply_to"]) = (json!("behind"), json!(device.reply_topic));
        let topic = edge_tests::client::mqtt::request_topic(spin::MODEL);
        let payload = body.to_string().into();
        device.publish(edge_tests::client::mqtt::Outgoing { topic, payload, qos: 1, ..Default::default() }).await?;
        accepted(&client, before + 2).await?;
        stack.daemon()?.process.signal(Signal::TERM)?;
        expect_no("the request on the bus", &running.await??, "unavailable", &["stopping"])?;
        let status = stack.daemon_mut()?.process.wait(PATIENCE)?;
        ensure!(status.code() == Some(0), "it ended with {status}\n{}", stack.logs());
        stack.start_daemon().await?;
        expect_yes("the request of the broker, from the next daemon", device.reply_to_id("behind").await?).map(drop)
    })?
}

/// Waits until the daemon says that it accepted this many requests; no other model has work, so that they run at once.
async fn accepted(client: &edge_tests::client::bus::BusClient, count: u64) -> Result<()> {
    let seen = async || Ok((client.status().await?.counters.accepted >= count).then_some(()));
    eventually("the request is accepted", PATIENCE, seen).await
}

#[test]
fn a_draining_daemon_takes_nothing_new_and_resumes() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        let manager = edge_wire::names::MANAGER;
        client.call(manager, "Drain", &()).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
        eventually("drained", PATIENCE, async || Ok((client.status().await?.state == "drained").then_some(()))).await?;
        expect_no(
            "while drained",
            &client.infer(MODEL, &good.inputs, &Options::new()).await?,
            "unavailable",
            &["drain"],
        )?;
        client.call(manager, "Resume", &()).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
        expect_yes("after resume", client.infer(MODEL, &good.inputs, &Options::new()).await?).map(drop)
    })?
}

#[test]
fn sighup_reloads_the_policy_and_a_bad_one_leaves_the_old() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        let class = async || -> Result<serde_json::Value> {
            let yes = expect_yes("a request", client.infer(MODEL, &good.inputs, &Options::new()).await?)?;
            Ok(yes.info["data_class"].clone())
        };
        ensure!(class().await? == "regulated", "the default");
        stack.launch.overlay = "[policy]\nunlabelled = \"internal\"\n".into();
        stack.launch.write()?;
        stack.daemon()?.process.signal(Signal::HUP)?;
        eventually("the new class", PATIENCE, async || Ok((class().await? == "internal").then_some(()))).await?;
        stack.launch.overlay = "[policy]\nunlabelled = \"public\"\nmax_waiting = -3\n".into();
        stack.launch.write()?;
        stack.daemon()?.process.signal(Signal::HUP)?;
        let said = async || Ok(stack.daemon()?.process.log().contains("max_waiting").then_some(()));
        eventually("the fault is in the log", PATIENCE, said).await?;
        ensure!(class().await? == "internal", "a bad file changed the policy");
        let told = async |wanted: bool| {
            let problems = client.status().await?.problems;
            let found =
                problems.iter().any(|problem| problem.subject == "config" && problem.what.contains("max_waiting"));
            Ok((found == wanted).then_some(()))
        };
        eventually("the status tells of it", PATIENCE, async || told(true).await).await?;
        stack.launch.overlay = "[policy]\nunlabelled = \"public\"\n[limits]\nmax_calls = 77\n".into();
        stack.launch.write()?;
        stack.daemon()?.process.signal(Signal::HUP)?;
        eventually("the corrected file holds", PATIENCE, async || Ok((class().await? == "public").then_some(())))
            .await?;
        eventually("the status is quiet again", PATIENCE, async || told(false).await).await?;
        let pending = client.status().await?.config_pending;
        ensure!(pending == ["limits.max_calls"], "waiting for a restart are {pending:?}");
        Ok(())
    })?
}

#[test]
fn a_configuration_that_cannot_be_read_to_its_end_holds_nothing_up() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().start().await?;
        let client = stack.client().await?;
        let good = Example::from(&stack, MODEL).await?;
        // A pipe whose writer never comes stands for a disk that does not answer.
        let file = stack.config_file();
        std::fs::remove_file(&file)?;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0)?;
        for _ in 0..2 {
            stack.daemon()?.process.signal(Signal::HUP)?;
        }
        let told = async || {
            let problems = client.status().await?.problems;
            Ok(problems
                .iter()
                .any(|problem| problem.subject == "config" && problem.what.contains("being read"))
                .then_some(()))
        };
        eventually("the status tells of it", PATIENCE, told).await?;
        expect_yes("meanwhile", client.infer(MODEL, &good.inputs, &Options::new()).await?)?;
        let status = stack.daemon_mut()?.terminate()?;
        ensure!(status.code() == Some(0), "it ended with {status}\n{}", stack.logs());
        Ok(())
    })?
}

#[test]
fn check_config_lists_every_fault_and_ends_with_2() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        let mut check = stack.launch.command()?;
        let good = check.arg("--check-config").output()?;
        ensure!(good.status.code() == Some(0), "a good file: {}", String::from_utf8_lossy(&good.stderr));
        stack.launch.overlay = "colour = \"green\"\n[policy]\nclient_share = 7.5\nmax_batch = 0\n".into();
        let bad = stack.launch.command()?.arg("--check-config").output()?;
        let said = String::from_utf8_lossy(&bad.stderr).into_owned() + &String::from_utf8_lossy(&bad.stdout);
        ensure!(bad.status.code() == Some(2), "a bad file ended with {}: {said}", bad.status);
        for key in ["colour", "client_share", "max_batch", "50-overlay.toml"] {
            ensure!(said.contains(key), "{key} is not named: {said}");
        }
        Ok(())
    })?
}

#[test]
fn check_config_says_each_binding_in_words_and_refuses_one_that_hears_itself() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        let binding = "[mqtt]\nhost = \"127.0.0.1\"\n[[binding]]\nname = \"sorting\"\nmodel = \"add\"\n";
        stack.launch.overlay = format!("{binding}topic = \"camera/+/image\"\nresult = \"vision/{{1}}\"\n");
        let good = stack.launch.command()?.arg("--check-config").output()?;
        let said = String::from_utf8_lossy(&good.stdout);
        ensure!(good.status.code() == Some(0), "{}", String::from_utf8_lossy(&good.stderr));
        let words = "binding \"sorting\" takes frames from \"camera/+/image\", of each source only the newest";
        ensure!(said.contains(words), "{said}");
        stack.launch.overlay = format!("{binding}topic = \"camera/+\"\nresult = \"camera/{{1}}\"\n");
        let bad = stack.launch.command()?.arg("--check-config").output()?;
        let said = String::from_utf8_lossy(&bad.stderr);
        ensure!(bad.status.code() == Some(2), "a loop ended with {}: {said}", bad.status);
        ensure!(said.contains("binding \"sorting\": topic: \"camera/+\" matches its own `result`"), "{said}");
        Ok(())
    })?
}

/// A daemon with `add` and one bundle that is not as it should be.
async fn with_spoiled(name: &str) -> Result<Stack> {
    Setup::new().bundles(&[MODEL, name]).start().await
}

/// The spoiled model is not served and says why; the other one is served.
async fn only_the_spoiled_one_fails(stack: &Stack, name: &str, mentions: &[&str]) -> Result<()> {
    let status = stack.status().await?;
    let model = status.models.iter().find(|model| model.name == name).with_context(|| format!("{name} is not told"))?;
    ensure!(model.state == "failed", "{name} is {}", model.state);
    let subject = format!("model {name}:");
    let problem = status.problems.iter().find(|problem| problem.subject.starts_with(&subject));
    let problem = problem.with_context(|| format!("no problem of {name}: {:?}", status.problems))?;
    for word in mentions {
        ensure!(model.reason.contains(word), "{word:?} is not in the reason: {}", model.reason);
        ensure!(problem.what.contains(word), "{word:?} is not in the problem: {problem:?}");
    }
    ensure!(status.state == "degraded", "the daemon is {}", status.state);
    let routes = Routes::open(stack).await?;
    let good = Example::from(stack, MODEL).await?;
    for route in Route::ALL {
        let outcome = routes.ask(route, name, &good.inputs, &Options::new()).await?;
        expect_no(&format!("{name} over {route:?}"), &outcome, "unavailable", mentions)?;
        routes.serves(route, &good).await?;
    }
    doctor_names(stack, mentions)
}

/// `edgectl doctor` finds the same, and says so by its exit code.
fn doctor_names(stack: &Stack, mentions: &[&str]) -> Result<()> {
    let (code, said) = edgectl(stack, &["doctor"])?;
    ensure!(code == Some(1) || code == Some(6), "doctor ended with {code:?}: {said}");
    // Lines are folded to the width of the table.
    let text = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in mentions {
        ensure!(text.contains(word), "doctor does not name {word:?}: {said}");
    }
    Ok(())
}

/// Runs the command against the stack; its exit code and all that it said.
fn edgectl(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(arguments).env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", stack.bus.address());
    let output = command.output().context("run edgectl")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code(), said))
}

/// Each spoiled bundle with the words that tell what is wrong with it.
fn spoiled_is_not_served(name: &str, mentions: &[&str]) -> Result<()> {
    block_on(async {
        let stack = with_spoiled(name).await?;
        only_the_spoiled_one_fails(&stack, name, mentions).await
    })?
}

#[test]
fn a_corrupt_model_file_is_not_served() -> Result<()> {
    spoiled_is_not_served("corrupt", &["make a session of", "corrupt/model.onnx"])
}

#[test]
fn a_model_file_with_another_digest_is_not_served() -> Result<()> {
    spoiled_is_not_served("wrong-sha256", &["has sha256 7c6a91c4", "promises 00000000", "wrong-sha256/model.onnx"])
}

#[test]
fn a_manifest_with_an_unknown_key_is_not_served() -> Result<()> {
    spoiled_is_not_served("unknown-key", &["unknown field `colour`", "model.toml"])
}

#[test]
fn a_model_that_does_not_give_its_golden_answer_is_not_served() -> Result<()> {
    spoiled_is_not_served("wrong-golden", &["golden/one.json", "expected 2.75, got 2.5"])
}

#[test]
fn a_model_whose_provider_is_not_there_is_not_served_by_another_one() -> Result<()> {
    spoiled_is_not_served("wants-cuda", &["provider cuda is not part of this ONNX Runtime"])
}

#[test]
fn a_library_that_cannot_be_used_is_named_and_no_model_is_blamed() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        let library = stack.dir().join("libonnxruntime.so");
        std::fs::write(&library, "not a library")?;
        stack.launch.overlay = format!("[engine]\nlibrary = \"{}\"\n", library.display());
        let daemon = Daemon::spawn(&stack.launch)?;
        let client = stack.client().await?;
        let named = async || {
            let problems = client.status().await?.problems;
            let found = problems.iter().any(|problem| {
                problem.subject == "library"
                    && problem.what.contains(&library.display().to_string())
                    && problem.remedy.contains("engine.library")
            });
            ensure!(problems.iter().all(|problem| !problem.subject.starts_with("model ")), "{problems:?}");
            Ok(found.then_some(()))
        };
        eventually("the daemon names the library", PATIENCE, named).await.with_context(|| daemon.process.log_tail(40))
    })?
}

#[test]
fn a_library_that_kills_its_hosts_is_named_and_the_daemon_is_ready_without_it() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        // As a copy that was cut short: the loader trusts its headers, and what they promise is not there.
        let whole = std::fs::read(edge_tests::places::runtime_library()?)?;
        let library = stack.dir().join("libonnxruntime.so");
        std::fs::write(&library, &whole[..whole.len() / 4])?;
        stack.launch.overlay = format!("[engine]\nlibrary = \"{}\"\n", library.display());
        let mut daemon = Daemon::spawn(&stack.launch)?;
        daemon.wait_ready().await?;
        let client = stack.client().await?;
        let named = async || {
            let problems = client.status().await?.problems;
            Ok(problems.iter().any(|problem| problem.subject == "library").then_some(()))
        };
        eventually("the daemon names the library", PATIENCE, named).await.with_context(|| daemon.process.log_tail(40))
    })?
}

#[test]
fn doctor_finds_a_missing_library_and_the_daemon_says_why_it_serves_nothing() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        stack.launch.overlay = "[engine]\nlibrary = \"/nonexistent/libonnxruntime.so\"\n".into();
        let mut daemon = Daemon::spawn(&stack.launch)?;
        let client = stack.client().await?;
        let degraded = async || {
            let status = client.status().await?;
            // The bundles are read first, so that each can say why it is not served.
            Ok((status.engine.state == "no_library" && status.state != "starting").then_some(status))
        };
        let status = eventually("the daemon says that the library is missing", PATIENCE, degraded)
            .await
            .with_context(|| daemon.process.log_tail(40))?;
        ensure!(status.state == "degraded", "it is {}", status.state);
        ensure!(status.engine.reason.contains("/nonexistent/"), "{}", status.engine.reason);
        daemon.wait_ready().await?;
        stack.daemon = Some(daemon);
        let no = client.infer(MODEL, &[], &Options::new()).await?.err().context("it was served")?;
        ensure!(["unavailable", "unknown_model"].contains(&no.code.as_str()), "{no:?}");
        doctor_names(&stack, &["/nonexistent/libonnxruntime.so"])
    })?
}

#[test]
fn doctor_finds_a_missing_broker() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().without_broker().prepare()?;
        let port = Port::reserve()?;
        stack.launch.mqtt_port = Some(port.number());
        stack.start_daemon().await?;
        let address = format!("127.0.0.1:{}", port.number());
        let named = async || doctor_names(&stack, &["broker", &address]).map(Some);
        eventually("doctor names the broker", PATIENCE, named).await
    })?
}

#[test]
fn doctor_finds_a_missing_daemon() -> Result<()> {
    block_on(async {
        let stack = Setup::new().without_broker().prepare()?;
        let (code, said) = edgectl(&stack, &["doctor"])?;
        ensure!(code == Some(3), "doctor ended with {code:?}: {said}");
        let (code, said) = edgectl(&stack, &["status"])?;
        ensure!(code == Some(3), "status ended with {code:?}: {said}");
        Ok(())
    })?
}

#[test]
fn the_broker_is_told_when_the_daemon_dies() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().start().await?;
        let device = stack.device(Protocol::V5).await?;
        let topic = format!("edge/{NODE}/available");
        device.subscribe(&topic).await?;
        device.take("online", PATIENCE, |message| message.topic == topic && message.payload == "online").await?;
        stack.daemon_mut()?.process.crash()?;
        device.take("offline", PATIENCE, |message| message.topic == topic && message.payload == "offline").await?;
        stack.start_daemon().await?;
        device.take("online again", PATIENCE, |message| message.topic == topic && message.payload == "online").await?;
        Ok(())
    })?
}

#[test]
fn a_client_id_taken_over_by_another_box_is_said() -> Result<()> {
    block_on(async {
        let stack = Setup::new().start().await?;
        let client = stack.client().await?;
        let id = client.status().await?.mqtt.client_id;
        // Two clients with one id throw each other out for as long as both try.
        let mut other = Command::new("mosquitto_sub");
        other.args([
            "-h",
            "127.0.0.1",
            "-p",
            &stack.mqtt_port()?.to_string(),
            "-i",
            &id,
            "-t",
            "nothing",
            "-V",
            "mqttv5",
        ]);
        let other = Process::spawn("the-other-box", other, stack.dir(), Life::WithParent)?;
        let taken = async || {
            let mqtt = client.status().await?.mqtt;
            Ok((mqtt.state == "taken_over" || mqtt.reason.contains("taken")).then_some(()))
        };
        eventually("the daemon says that its id was taken", PATIENCE, taken).await?;
        drop(other);
        // Between two tries the daemon rests for up to 30 s.
        let back = async || Ok((client.status().await?.mqtt.state == "connected").then_some(()));
        eventually("the daemon has its id back", PATIENCE * 3, back).await
    })?
}

#[test]
fn starting_again_after_a_crash_needs_nobody() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().start().await?;
        for _ in 0..2 {
            let host = stack.host_pid().await?;
            stack.daemon_mut()?.process.crash()?;
            let gone = async || Ok((!edge_tests::process::alive(host)).then_some(()));
            eventually("its engine host ends too", PATIENCE, gone).await?;
            let watch = Stopwatch::start();
            stack.start_daemon().await?;
            println!("serving again {:?} after the start", watch.elapsed());
            serves(&stack).await?;
        }
        Ok(())
    })?
}
