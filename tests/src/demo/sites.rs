//! The three other places of the demonstration: a second server on the box, one on the premises, and a cloud, the last two at the
//! far end of links that can be cut and that keep what they carried.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::stream::SUM;
use crate::faulty::{Direction, Faulty};
use crate::peers::{self, Peer};
use crate::recorded::{Answer, Recorded};

/// What the way to the cloud and back takes, milliseconds.
const CLOUD_MS: u64 = 120;
/// And that to the plant.
const PLANT_MS: u64 = 60;
/// What a request costs in the cloud, US dollars.
pub const PRICE: f64 = 0.002;
/// What may be spent there in a day, by each of its two addresses.
pub const BUDGET: f64 = 1.0;

/// The places.
#[derive(Debug)]
pub struct Sites {
    side: Recorded,
    /// Ends with the value; `None`: scripted.
    _real: Option<Peer>,
    /// Served until the process ends.
    _scripted: Option<Recorded>,
    pub plant: Faulty,
    pub cloud: Faulty,
    /// What the plant runs, in words.
    pub runs: &'static str,
}

impl Sites {
    /// Starts them. The plant is KServe's model server where `make peers` has installed it.
    pub fn start(dir: &Path) -> Result<Sites> {
        let side = adder()?;
        let (real, scripted, port) = if peers::are_there() {
            let peer = peers::kserve(dir, &["add"])?;
            let port = peer.as_ref().map_or(0, Peer::port);
            (peer, None, port)
        } else {
            let scripted = adder()?;
            let port = scripted.port();
            (None, Some(scripted), port)
        };
        let runs = if real.is_some() { "KServe's model server" } else { "scripted (`make peers` has a real one)" };
        let cloud = adder()?;
        cloud.answer("GET", "/v1/models", [json_answer(&json!({ "object": "list", "data": [] }))]);
        cloud.answer("POST", "/v1/chat/completions", [json_answer(&chat())]);
        let (plant, cloud) = (Faulty::to(port)?, Faulty::to(cloud.port())?);
        plant.change(|faults| faults.down.delay = std::time::Duration::from_millis(PLANT_MS));
        cloud.change(|faults| faults.down.delay = std::time::Duration::from_millis(CLOUD_MS));
        Ok(Sites { side, _real: real, _scripted: scripted, plant, cloud, runs })
    }

    /// What the box is told of them; the budgets are those of the cloud's two addresses.
    pub fn config(&self, budgets: [f64; 2]) -> String {
        let price = format!("price = {{ per_request_usd = {PRICE:?}, as_of = \"2026-11-01\" }}");
        let free = "price = { per_request_usd = 0.0, as_of = \"2026-11-01\" }";
        let site = |name: &str, zone: &str, protocol: &str, url: &str, models: &str, more: &str| {
            format!(
                "[[site]]\nname = \"{name}\"\nzone = \"{zone}\"\nprotocol = \"{protocol}\"\nurl = \"{url}\"\n\
                 models = {{ {models} }}\n{more}\n\n"
            )
        };
        let at = |link: &Faulty| format!("http://127.0.0.1:{}", link.port());
        let (plant, cloud, side) = (at(&self.plant), at(&self.cloud), self.side.url());
        let dear = |budget: f64| format!("allow_plain = true\n{price}\nbudget_usd_per_day = {budget:?}");
        let [tensors, chats] = budgets.map(dear);
        [
            "[routing]\nprobe_every_s = 1\n\n".to_owned(),
            site("side", "device", "oip", &side, "inspect = \"add\"", free),
            site("plant", "premises", "oip", &plant, "sort = \"add\", measure = \"add\"", free),
            site("cloud", "cloud", "oip", &cloud, "grade = \"add\"", &tensors),
            site("cloud-chat", "cloud", "openai", &cloud, "chat = \"c\", clean = \"c\"", &chats),
            "[[rule]]\nname = \"cut-out\"\nmodels = [\"clean\"]\nredact = { to = \"public\" }\n".to_owned(),
        ]
        .concat()
    }

    /// Bytes that left the box by the two links that lead away from it.
    pub fn left(&self) -> u64 {
        self.plant.sent(Direction::Up) + self.cloud.sent(Direction::Up)
    }

    /// Whether these bytes left the box.
    pub fn carried(&self, marker: &[u8]) -> Result<bool> {
        Ok(self.plant.carried(Direction::Up, marker)? || self.cloud.carried(Direction::Up, marker)?)
    }
}

/// A server of the Open Inference Protocol that gives the sum which all requests have.
fn adder() -> Result<Recorded> {
    let server = Recorded::start()?;
    server.answer("GET", "/v2/health/ready", [json_answer(&json!({}))]);
    let sum = json!({ "name": "c", "datatype": "FP32", "shape": [1, 4], "data": SUM });
    server.answer("POST", "/v2/models/add/infer", [json_answer(&json!({ "model_name": "add", "outputs": [sum] }))]);
    Ok(server)
}

fn chat() -> serde_json::Value {
    let message = json!({ "role": "assistant", "content": "Air in the pipe." });
    let choice = json!({ "index": 0, "finish_reason": "stop", "message": message });
    let usage = json!({ "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17 });
    json!({ "object": "chat.completion", "choices": [choice], "usage": usage })
}

pub(super) fn json_answer(body: &serde_json::Value) -> Answer {
    Answer::status(200, &["Content-Type: application/json"], body.to_string().as_bytes())
}
