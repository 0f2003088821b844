//! The wall clock of a running box is set forth and back, as by a technician, or by the network after a start without a battery:
//! frames are answered in order and requests in time, and what waits on the disk for a broker is not given up as years old.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, Protocol};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::NODE;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::wall::Wall;
use edged::driver::clock;

const DAY: i64 = 86_400;
const CONFIG: &str = r#"
[mqtt]
outbox_commit_ms = 100
[[binding]]
name = "uploads"
model = "file-type"
topic = "plant/+/+"
payload = "application/octet-stream"
take = "every"
deadline_ms = 5000
source_name = "{1}"
result = "seen/{1}/{2}"
flat = { topic = "value/{1}/{field}", fields = ["class", "quality"] }
stale_after_ms = 20000
"#;
const JSON: &str =
    "{\"a\": 1, \"b\": [1, 2, 3], \"c\": {\"d\": \"e\"}, \"some\": \"thing\", \"other\": [true, false, null]}";

/// A stack whose daemon has a clock that can be set.
async fn stack(config: &str) -> Result<Option<(Stack, Wall)>> {
    let mut stack = Setup::new().bundles(&["file-type"]).config(config).prepare()?;
    let Some(wall) = Wall::make(stack.dir())? else { return Ok(None) };
    stack.launch.environment.extend(wall.environment());
    stack.start_daemon().await?;
    Ok(Some((stack, wall)))
}

async fn send(device: &Device, topic: String) -> Result<()> {
    device.publish(Outgoing { topic, payload: JSON.into(), qos: 1, ..Outgoing::default() }).await
}

/// How far this time is from that of the machine's own clock, seconds.
fn seconds_off(time: &str) -> Result<f64> {
    let seconds = |time: SystemTime| anyhow::Ok(time.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64());
    Ok(seconds(humantime::parse_rfc3339(time)?)? - seconds(clock::wall())?)
}

#[test]
fn frames_and_requests_are_answered_whatever_the_wall_clock_does() -> Result<()> {
    block_on(async {
        let Some((stack, wall)) = stack(CONFIG).await? else { return Ok(()) };
        let device = stack.device(Protocol::V5).await?;
        for filter in ["seen/#", "value/#", "edge/+/result/#"] {
            device.subscribe(filter).await?;
        }
        let mut sent = 0;
        for days in [0, 400, -400, 0, -20_000, 1] {
            // Frames are under way while it jumps.
            for half in 0..2 {
                for _ in 0..10 {
                    send(&device, format!("plant/press/{sent}")).await?;
                    sent += 1;
                }
                if half == 0 {
                    wall.set(days * DAY)?;
                }
            }
            let mut last = String::new();
            for number in sent - 20..sent {
                let result = device.take("a result", PATIENCE, |message| message.topic.starts_with("seen/")).await?;
                ensure!(result.topic == format!("seen/press/{number}"), "{} instead of {number}", result.topic);
                let body = result.json()?;
                ensure!(body["ok"] == true && body["historical"].is_null(), "{days} days: {body}");
                last = body["time"].as_str().context("a time")?.to_owned();
            }
            let off = seconds_off(&last)? - (days * DAY) as f64;
            ensure!(off.abs() < 60.0, "the clock was set by {days} days, and the frame says {last}");
            let body = format!("{{\"text\": \"speed\", \"deadline_ms\": 3000, \"request_id\": \"r{days}\"}}");
            let topic = format!("edge/{}/infer/file-type", NODE);
            device.publish(Outgoing { topic, payload: body.into(), qos: 1, ..Outgoing::default() }).await?;
            let is_answer = |message: &Incoming| message.topic.contains("/result/");
            let answer = device.take("an answer", PATIENCE, is_answer).await?.json()?;
            ensure!(answer["ok"] == true && answer["id"] == format!("r{days}"), "{days} days: {answer}");
        }
        let values = device.take_all(|message| message.topic == "value/press/quality");
        ensure!(values.iter().all(|value| value.payload == "good") && !values.is_empty(), "{values:?}");
        let mqtt = stack.status().await?.mqtt;
        ensure!(mqtt.state == "connected" && mqtt.bindings[0].failed == 0, "{mqtt:?}");
        ensure!(mqtt.outbox.expired == 0 && mqtt.outbox.dropped == 0, "{:?}", mqtt.outbox);
        Ok(())
    })?
}

#[test]
fn what_waits_on_the_disk_is_not_given_up_because_the_clock_was_set() -> Result<()> {
    block_on(async {
        let folder = tempfile::tempdir()?;
        let config = format!(
            "[[binding]]\nname = \"box\"\nmodel = \"file-type\"\nfolder = \"{}\"\npattern = \"*.dat\"\n\
             payload = \"application/octet-stream\"\nresult = \"files/{{1}}\"\n[mqtt]\noutbox_commit_ms = 100",
            folder.path().display()
        );
        let Some((mut stack, wall)) = stack(&config).await? else { return Ok(()) };
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("files/#").await?;
        // The clock of a box without a battery, before the network tells the time.
        wall.set(-20_000 * DAY)?;
        stack.broker_mut()?.stop()?;
        let lost = async || Ok((stack.status().await?.mqtt.state == "connecting").then_some(()));
        eventually("the loss is noticed", PATIENCE, lost).await?;
        for n in 0..5 {
            std::fs::write(folder.path().join(format!("{n}.dat")), JSON)?;
        }
        let answered = async || Ok((0..5).all(|n| !folder.path().join(format!("{n}.dat")).exists()).then_some(()));
        eventually("all are answered and on the disk", PATIENCE, answered).await?;
        stack.daemon_mut()?.process.crash()?;
        wall.set(0)?;
        stack.broker_mut()?.start_again()?;
        stack.start_daemon().await?;
        for _ in 0..5 {
            let is_result = |message: &Incoming| message.topic.starts_with("files/");
            let result = device.take("an answer", Duration::from_secs(30), is_result).await?;
            ensure!(result.json()?["result"]["label"] == "json", "{:?}", result.json());
        }
        let outbox = stack.status().await?.mqtt.outbox;
        ensure!(outbox.expired == 0 && outbox.dropped == 0, "{outbox:?}");
        Ok(())
    })?
}
