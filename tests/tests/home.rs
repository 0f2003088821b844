//! Discovery by Home Assistant: every entity names a topic on which its value is, all come again when it says that it is there, those
//! of a source outlive a restart of the daemon, and `remove` takes everything back.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, Protocol};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::NODE;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use serde_json::Value;

const BINDING: &str = r#"
[[binding]]
name = "doors"
model = "file-type"
topic = "plant/+/upload"
payload = "application/octet-stream"
result = "seen/{1}/result"
flat = { topic = "seen/{1}/{field}", fields = ["class", "score", "ok", "time"], format = "json" }
"#;
const JSON: &str =
    "{\"a\": 1, \"b\": [1, 2, 3], \"c\": {\"d\": \"e\"}, \"some\": \"thing\", \"other\": [true, false, null]}";

fn config(word: &str) -> String {
    format!("[mqtt]\nhome_assistant = \"{word}\"\n{BINDING}")
}

fn is_entity(message: &Incoming) -> bool {
    message.topic.starts_with("homeassistant/") && message.topic.ends_with("/config")
}

/// The entities that the broker keeps for whoever comes now, once one of them is there for each of these keys.
async fn kept(stack: &Stack, keys: &[&str]) -> Result<BTreeMap<String, Value>> {
    eventually(&format!("entities for {keys:?}"), PATIENCE, async || {
        let device = stack.device(Protocol::V311).await?;
        device.subscribe("homeassistant/#").await?;
        // What the broker keeps comes before the answer to a later subscription does.
        device.subscribe(&format!("edge/{NODE}/available")).await?;
        device.take("available", PATIENCE, |message| message.topic.ends_with("/available")).await?;
        let mut found = BTreeMap::new();
        for message in device.take_all(|message| is_entity(message) && !message.payload.is_empty()) {
            ensure!(message.retain, "{}", message.topic);
            found.insert(message.topic.clone(), message.json()?);
        }
        let has = |key: &&str| found.keys().any(|topic| topic.ends_with(&format!("/{key}/config")));
        Ok(keys.iter().all(has).then_some(found))
    })
    .await
}

/// The value at `value_json.a.b` of a template, as far as it is that simple.
fn value<'a>(template: &str, message: &'a Value) -> Option<&'a Value> {
    let path = template.strip_prefix("{{ value_json.")?.strip_suffix(" }}")?;
    let path = path.strip_suffix(" | lower").unwrap_or(path);
    path.split('.').try_fold(message, |value, key| value.get(key))
}

async fn is_told(device: &Device, entity: &Value) -> Result<()> {
    let topic = entity["state_topic"].as_str().context("a state topic")?;
    device.subscribe(topic).await?;
    let message = device.take(topic, PATIENCE, |message| message.topic == topic).await?;
    device.unsubscribe(topic).await?;
    let Some(template) = entity["value_template"].as_str() else { return Ok(()) };
    let simple = template.starts_with("{{ value_json.") && !template.contains('(');
    ensure!(!simple || value(template, &message.json()?).is_some(), "{template} of {}", message.json()?);
    Ok(())
}

#[test]
fn home_assistant_is_told_of_every_entity_and_again_when_it_is_born() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().bundles(&["file-type"]).config(&config("on")).start().await?;
        let device = stack.device(Protocol::V5).await?;
        device
            .publish(Outgoing {
                topic: "plant/gate/upload".into(),
                payload: JSON.into(),
                qos: 1,
                ..Outgoing::default()
            })
            .await?;
        let keys = [
            "state",
            "regime",
            "problem",
            "requests",
            "model_file-type",
            "model_file-type_version",
            "doors_gate_class",
        ];
        let entities = kept(&stack, &keys).await?;
        for (topic, entity) in &entities {
            ensure!(topic.contains(&format!("/{NODE}/")), "{topic}");
            ensure!(entity["availability_topic"] == format!("edge/{NODE}/available"), "{entity}");
            ensure!(entity["device"]["identifiers"][0] == format!("edged_{NODE}"), "{entity}");
            is_told(&device, entity).await.with_context(|| format!("{topic}: {entity}"))?;
        }
        let ids: std::collections::BTreeSet<&str> =
            entities.values().filter_map(|entity| entity["unique_id"].as_str()).collect();
        ensure!(ids.len() == entities.len(), "{ids:?}");

        device.subscribe("homeassistant/#").await?;
        device.take("what is kept", PATIENCE, |message| message.retain && is_entity(message)).await?;
        device
            .publish(Outgoing {
                topic: "homeassistant/status".into(),
                payload: "online".into(),
                qos: 1,
                ..Outgoing::default()
            })
            .await?;
        let mut again = std::collections::BTreeSet::new();
        while again.len() < entities.len() {
            let message =
                device.take("all of them again", PATIENCE, |message| !message.retain && is_entity(message)).await?;
            ensure!(entities.contains_key(&message.topic) && !message.payload.is_empty(), "{}", message.topic);
            again.insert(message.topic);
        }

        let noted = stack.dir().join("state/sources.json");
        eventually("the source is noted", PATIENCE, async || Ok(noted.exists().then_some(()))).await?;
        stack.daemon_mut()?.process.crash()?;
        stack.start_daemon().await?;
        stack.connected().await?;
        device
            .publish(Outgoing {
                topic: "plant/other/upload".into(),
                payload: JSON.into(),
                qos: 1,
                ..Outgoing::default()
            })
            .await?;
        kept(&stack, &["doors_gate_class", "doors_other_class"]).await?;
        let gone = device.take_all(|message| is_entity(message) && message.payload.is_empty());
        ensure!(gone.is_empty(), "taken back, though the source may come again: {gone:?}");

        stack.daemon_mut()?.terminate()?;
        stack.launch.overlay = config("remove");
        stack.start_daemon().await?;
        let nothing = async || Ok(kept(&stack, &[]).await?.is_empty().then_some(()));
        eventually("everything is taken back", PATIENCE, nothing).await
    })?
}
