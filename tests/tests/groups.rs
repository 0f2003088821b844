//! Three boxes that share what comes: frames of a shared subscription and requests of a group. One dies and comes back, the broker
//! is stopped and started, one drains: every frame gets its result, and no box takes what is another's.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, ensure};
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, Protocol};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_wire::names::MANAGER;
use serde_json::json;

const NAMES: [&str; 3] = ["press-1", "press-2", "press-3"];
/// The boxes have the same binding, and take turns by the broker.
const CONFIG: &str = r#"
[mqtt]
group = "line"
[[binding]]
name = "shared"
model = "add"
topic = "$share/line/shared/+"
payload = "application/json"
take = "every"
result = "sums/{1}"
"#;

struct Line {
    boxes: Vec<Stack>,
    device: Device,
    sent: u64,
    seen: BTreeMap<u64, BTreeSet<String>>,
}

impl Line {
    async fn start() -> Result<Line> {
        let mut boxes: Vec<Stack> = Vec::new();
        for name in NAMES {
            let setup = Setup::new().bundles(&["add"]).config(CONFIG);
            let mut stack = if boxes.is_empty() { setup.prepare()? } else { setup.without_broker().prepare()? };
            stack.launch.node = name.into();
            if let Some(first) = boxes.first() {
                stack.launch.mqtt_port = Some(first.mqtt_port()?);
            }
            stack.start_daemon().await?;
            stack.connected().await.with_context(|| stack.logs())?;
            boxes.push(stack);
        }
        let device = boxes.first().context("a box")?.device(Protocol::V5).await?;
        device.subscribe("sums/+").await?;
        Ok(Line { boxes, device, sent: 0, seen: BTreeMap::new() })
    }

    /// Sends this many frames.
    async fn send(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let number = self.sent;
            self.sent += 1;
            let tensor = |name, value: u64| json!({ "name": name, "datatype": "FP32", "shape": [1, 4], "data": [value, 0, 0, 0] });
            let body = json!({ "inputs": [tensor("a", number), tensor("b", 0)] });
            let payload = serde_json::to_vec(&body)?.into();
            let topic = format!("shared/{number}");
            self.device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
        }
        Ok(())
    }

    fn collect(&mut self) -> Result<()> {
        for message in self.device.take_all(|message| message.topic.starts_with("sums/")) {
            let (number, path) = read(&message)?;
            self.seen.entry(number).or_default().insert(path);
        }
        Ok(())
    }

    /// Waits until everything that was sent has its result.
    async fn all_answered(&mut self, when: &str) -> Result<()> {
        let sent = self.sent;
        let logs: String = self.boxes.iter().map(Stack::logs).collect();
        let line = std::cell::RefCell::new(self);
        eventually(&format!("all results {when}"), PATIENCE, async || {
            let mut line = line.borrow_mut();
            line.collect()?;
            Ok((line.seen.len() as u64 == sent).then_some(()))
        })
        .await
        .with_context(|| logs)
    }

    /// The boxes that answered these frames.
    fn answered_by(&self, numbers: std::ops::Range<u64>) -> BTreeSet<&str> {
        let of = |number| self.seen.get(&number).into_iter().flatten();
        numbers.flat_map(of).filter_map(|path| path.split('/').next()).collect()
    }

    async fn command(&self, place: usize, what: &str) -> Result<()> {
        let client = self.boxes.get(place).context("no such box")?.client().await?;
        client.call(MANAGER, what, &()).await?.map_err(|no| anyhow!("{no:?}")).map(drop)
    }
}

/// Whose frame a result is of, and through which binding of which box it went.
fn read(message: &Incoming) -> Result<(u64, String)> {
    let number = message.topic.rsplit('/').next().and_then(|last| last.parse().ok()).context("a number")?;
    let body = message.json()?;
    ensure!(body["outputs"][0]["data"][0].as_f64() == Some(f64::from(u32::try_from(number)?)), "{body}");
    Ok((number, body["edged_path"].as_str().context("a path")?.to_owned()))
}

#[test]
fn three_boxes_share_frames_over_a_death_a_drain_and_a_restart_of_the_broker() -> Result<()> {
    block_on(async {
        let mut line = Line::start().await?;
        line.send(60).await?;
        line.all_answered("of three boxes").await?;
        ensure!(line.answered_by(0..60) == BTreeSet::from(NAMES), "{:?}", line.answered_by(0..60));

        // One dies with frames in its hands, which come to it again when it is back.
        line.send(30).await?;
        line.boxes.get_mut(1).context("a box")?.daemon_mut()?.process.crash()?;
        line.send(30).await?;
        line.boxes.get_mut(1).context("a box")?.start_daemon().await?;
        line.boxes[1].connected().await?;
        line.all_answered("over a death").await?;

        // One that drains leaves its turns to the others.
        line.command(2, "Drain").await?;
        let client = line.boxes[2].client().await?;
        let drained = async || Ok((client.status().await?.state == "drained").then_some(()));
        eventually("drained", PATIENCE, drained).await?;
        let from = line.sent;
        line.send(40).await?;
        line.all_answered("while one drains").await?;
        ensure!(!line.answered_by(from..from + 40).contains(NAMES[2]), "a draining box took a frame");
        line.command(2, "Resume").await?;

        line.boxes[0].broker_mut()?.stop()?;
        line.boxes[0].broker_mut()?.start_again()?;
        for place in 0..NAMES.len() {
            line.boxes[place].connected().await?;
        }
        let from = line.sent;
        line.send(60).await?;
        line.all_answered("after the broker was away").await?;
        ensure!(line.answered_by(from..from + 60).len() >= 2, "{:?}", line.answered_by(from..from + 60));
        Ok(())
    })?
}
