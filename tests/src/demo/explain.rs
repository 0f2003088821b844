//! What `edgectl route explain` says of five typical requests, and `route replay` of those that came, on a box with a sibling, a
//! server of a language model on the premises, and a cloud. The box and its sibling are real, the two servers scripted.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_wire::names::ROOT_PATH;
use edge_wire::sites::Explanation;
use serde_json::{Value, json};

use super::sites::json_answer;
use crate::answer::{expect_yes, options};
use crate::client::bus::BusClient;
use crate::clock::{PATIENCE, eventually};
use crate::faulty::Faulty;
use crate::golden::golden;
use crate::places;
use crate::recorded::Recorded;
use crate::stack::{Setup, Stack};
use crate::versions::{done, edgectl};

/// Way and work of the two servers, milliseconds.
const PLANT_MS: u64 = 350;
const CLOUD_MS: u64 = 180;
/// Requests that each place has served before anything is shown.
const KNOWN: usize = 24;

/// A request, and what was said of it.
#[derive(Debug)]
pub struct Explained {
    /// File name of its profile in `docs/examples/route`.
    pub profile: &'static str,
    /// What a person reads.
    pub text: String,
    /// The same as data.
    pub explanation: Explanation,
}

/// All that was shown.
#[derive(Debug)]
pub struct Shown {
    pub five: Vec<Explained>,
    /// What another policy would have made of the requests that came.
    pub replay: String,
}

/// Starts the boxes and servers, lets them be known, and asks.
pub async fn explain() -> Result<Shown> {
    let (plant, cloud) = (chat_server()?, chat_server()?);
    let (plant, cloud) = (Faulty::to(plant.port())?, Faulty::to(cloud.port())?);
    plant.change(|faults| faults.down.delay = Duration::from_millis(PLANT_MS));
    cloud.change(|faults| faults.down.delay = Duration::from_millis(CLOUD_MS));
    let sites = |budget: f64| config(plant.port(), cloud.port(), budget);
    let mut stack = Setup::new().bundles(&["text-line"]).prepare()?;
    stack.launch.node = "press-7".into();
    stack.launch.overlay = sites(5.0);
    stack.start_daemon().await?;
    stack.connected().await.with_context(|| stack.logs())?;
    let mut sibling = Setup::new()
        .bundles(&["text-line", "surface-flaws"])
        .without_broker()
        .config("[mqtt]\ngroup = \"line-3\"\nzone = \"premises\"\n")
        .prepare()?;
    sibling.launch.node = "press-8".into();
    sibling.launch.mqtt_port = Some(stack.mqtt_port()?);
    sibling.start_daemon().await?;
    sibling.connected().await.with_context(|| sibling.logs())?;
    let client = stack.client().await?;
    all_pass(&client).await.with_context(|| stack.logs())?;
    known(&client).await.with_context(|| stack.logs())?;
    let mut five = Vec::new();
    for profile in ["part-picture.toml", "office-chat.toml", "urgent-picture.toml", "long-prompt.toml"] {
        five.push(explained(&stack, profile)?);
    }
    // What is spent by now is the budget of the day.
    let spent =
        client.status().await?.routing.sites.iter().find(|site| site.name == "cloud-a").map(|site| site.spent_usd);
    reload(&stack, &client, &sites(spent.context("no cloud-a")?)).await?;
    five.push(explained(&stack, "night-batch.toml")?);
    let file = stack.dir().join("new.toml");
    fs::write(&file, sites(5.0).replace("models = { chat = \"llama\" }", "models = { other = \"llama\" }"))?;
    let replay = done(&stack, &["route", "replay", "--policy", file.to_str().context("a path")?])?;
    Ok(Shown { five, replay })
}

fn explained(stack: &Stack, profile: &'static str) -> Result<Explained> {
    let file = places::repository().join("docs/examples/route").join(profile);
    let file = file.to_str().context("a path of UTF-8")?;
    let text = done(stack, &["route", "explain", file])?;
    let (code, json, fault) = edgectl(stack, &["route", "explain", file, "--json"])?;
    ensure!(code == Some(0), "{profile}: {fault}");
    let explanation = serde_json::from_str(&json).with_context(|| json.clone())?;
    Ok(Explained { profile, text, explanation })
}

fn config(plant: u16, cloud: u16, budget: f64) -> String {
    format!(
        r#"[mqtt]
zone = "premises"

[routing]
probe_every_s = 1

[[site]]
name = "press-8"
protocol = "sibling"
node = "press-8"
zone = "premises"
models = {{ text-line = "text-line", surface-flaws = "surface-flaws" }}

[[site]]
name = "plant-llm"
zone = "premises"
protocol = "openai"
url = "http://127.0.0.1:{plant}"
allow_plain = true
models = {{ chat = "llama" }}
context_tokens = 32768
trains_on_data = false

[[site]]
name = "cloud-a"
zone = "cloud"
protocol = "openai"
url = "http://127.0.0.1:{cloud}"
allow_plain = true
models = {{ chat = "large", report = "large" }}
context_tokens = 200000
price = {{ input_usd_per_mtok = 0.15, output_usd_per_mtok = 0.6, as_of = "2026-11-01" }}
budget_usd_per_day = {budget:?}

[[rule]]
name = "office-chat"
models = ["chat"]
classes = ["internal"]
no_training = true
"#
    )
}

/// A server of a language model that gives one answer.
fn chat_server() -> Result<Recorded> {
    let server = Recorded::start()?;
    server.answer("GET", "/v1/models", [json_answer(&json!({ "object": "list", "data": [] }))]);
    let message = json!({ "role": "assistant", "content": "Every 2,000 hours." });
    let choice = json!({ "index": 0, "finish_reason": "stop", "message": message });
    let usage = json!({ "prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100 });
    let answer = json!({ "object": "chat.completion", "choices": [choice], "usage": usage });
    server.answer("POST", "/v1/chat/completions", [json_answer(&answer)]);
    Ok(server)
}

async fn all_pass(client: &BusClient) -> Result<()> {
    eventually("all sites are asked", PATIENCE, || async {
        let sites = client.status().await?.routing.sites;
        Ok(sites.iter().all(|site| site.state == "passing").then_some(()))
    })
    .await
}

/// Lets each place serve some requests, so that it is known how long they take there.
async fn known(client: &BusClient) -> Result<()> {
    let picture = golden("text-line", "serial.png")?;
    let picture = fs::read(&picture.file)?;
    let chat =
        |model: &str| -> Value { json!({ "model": model, "messages": [{ "role": "user", "content": "How often?" }] }) };
    for _ in 0..KNOWN / 8 {
        let mut asked = Vec::new();
        for (model, class) in [("chat", "internal"), ("report", "public")] {
            let (body, options) =
                (chat(model).to_string(), options(json!({ "data_class": class, "deadline_ms": 20_000 })));
            asked.extend((0..8).map(|_| {
                let (client, body, options) = (client.clone(), body.clone(), options.clone());
                tokio::spawn(
                    async move { client.infer_bytes(model, "application/json", body.as_bytes(), &options).await },
                )
            }));
        }
        for asked in asked {
            expect_yes("a chat", asked.await??)?;
        }
        for _ in 0..8 {
            let options = options(json!({ "data_class": "internal", "deadline_ms": 20_000 }));
            expect_yes("a picture", client.infer_bytes("text-line", "image/png", &picture, &options).await?)?;
        }
    }
    Ok(())
}

async fn reload(stack: &Stack, client: &BusClient, config: &str) -> Result<()> {
    fs::write(stack.dir().join("edged.toml.d/50-overlay.toml"), config)?;
    let manager = edge_wire::names::MANAGER;
    client.call_at(ROOT_PATH, manager, "Reload", &()).await?.map_err(|no| anyhow::anyhow!("{no:?}"))?;
    Ok(())
}
