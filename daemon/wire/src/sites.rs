//! Other places that can serve, where requests went and why, and what left the device.

use serde::{Deserialize, Serialize};

/// Seconds, counts and money of one site, now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `device`, `premises`, `region` or `cloud`.
    pub zone: String,
    /// `oip`, `openai` or `sibling`.
    pub protocol: String,
    /// Where it is: its address without anything secret, or the name of the box.
    pub address: String,
    /// `passing`, `tripped`, `probing` or `off`.
    pub state: String,
    /// Why it is not passing, or why the last attempt failed; empty if all is well.
    pub reason: String,
    /// When a tripped one is asked again, milliseconds from now; absent otherwise.
    pub retry_in_ms: Option<u64>,
    /// Models that it serves, by our names.
    pub models: Vec<String>,
    /// Time until half of its answers to small requests are here, milliseconds.
    pub p50_ms: f64,
    /// Time until 95 in a hundred are here, milliseconds.
    pub p95_ms: f64,
    /// Answers that these rest on, old ones for less than one; below 5 they are mostly what is believed of its zone.
    pub observed: u32,
    /// Share of attempts that fail, 0 to 1.
    pub error_rate: f64,
    /// Requests that are open there.
    pub open: u32,
    /// Most that may be.
    pub max_open: u32,
    /// Requests that wait here for a place there.
    pub waiting: u32,
    /// Answers since the start.
    pub done: u64,
    /// Attempts without an answer since the start.
    pub failed: u64,
    /// Spent there today (UTC), with what open requests are expected to cost, US dollars.
    pub spent_usd: f64,
    /// What may be spent in a day, US dollars; absent if there is no limit.
    pub budget_usd: Option<f64>,
    /// The day that its prices were last looked up, as the operator says; empty if it has none.
    pub prices_as_of: String,
}

/// How often a step was taken after a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FallbackCount {
    /// `out_of_memory`, `heat`, `context_overflow`, `engine_fault`, `queue_full`, `site_down` or `budget_spent`.
    pub failure: String,
    /// `site`, `here`, `wait`, or `refuse` where nothing was left.
    pub step: String,
    /// How often since the start.
    pub count: u64,
}

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoutingStatus {
    /// Every other place of the configuration, in its order.
    pub sites: Vec<SiteStatus>,
    /// What was tried when something did not serve; only what happened.
    pub fallbacks: Vec<FallbackCount>,
    /// Requests that other sites are at.
    pub away: u32,
    /// Requests that wait on the disk.
    pub deferred: u64,
    /// Answered by another site since the start.
    pub spilled: u64,
    /// Why what leaves the device cannot be noted; empty if it can.
    pub audit_fault: String,
    /// This box runs requests now: it is not starting, draining, held, or so hot that nothing may run.
    pub serving: bool,
    /// How long a request that came now would wait behind all that waits and runs, in milliseconds.
    pub wait_ms: u64,
}

impl RoutingStatus {
    /// Node names of the other boxes that the configuration names as sites.
    pub fn siblings(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().filter(|site| site.protocol == "sibling").map(|site| site.address.as_str())
    }
}

/// What one site was asked for a request, and what it said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteAnswer {
    /// Its name.
    pub site: String,
    /// Its zone.
    pub zone: String,
    /// What bars it, as one word; empty if it could serve the request.
    pub bar: String,
    /// The same as a sentence with its numbers, and what would have to differ.
    pub why: String,
    /// Time until its answer is here, as often longer as shorter, milliseconds.
    pub likely_ms: f64,
    /// Time within which nearly all its answers are here, milliseconds.
    pub sure_ms: f64,
    /// What it is expected to cost, US dollars; absent without a price.
    pub cost_usd: Option<f64>,
}

/// One rule or layer that was asked about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleAnswer {
    /// The layer: `class`, `detectors`, `rule`, `here`, `objective`, `difficulty`, `check`, `fallback`.
    pub layer: String,
    /// Name of the operator's rule, if it is one.
    pub rule: String,
    /// What it said, with its numbers.
    pub said: String,
}

/// What would become of a request, and everything that was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// Model that was asked about.
    pub model: String,
    /// `local`, `spill`, `speculate`, `defer` or `refuse`.
    pub verdict: String,
    /// Why, in one word.
    pub reason: String,
    /// The error code of a refusal; empty otherwise.
    pub code: String,
    /// The site that would serve it; this box's name for a local one; empty for a refusal.
    pub site: String,
    /// Effective data class.
    pub data_class: String,
    /// The farthest zone that the data may reach.
    pub farthest: String,
    /// Time until its deadline, milliseconds.
    pub deadline_ms: f64,
    /// What this box by itself would say: `feasible`, `predicted_wait` ...
    pub here: String,
    /// Predicted time until this box begins with it, milliseconds.
    pub wait_ms: f64,
    /// Its run on an idle box, milliseconds; absent if it was never measured.
    pub service_ms: Option<f64>,
    /// Predicted time until this box is done with it, milliseconds.
    pub predicted_ms: Option<f64>,
    /// How long it would wait at most for a place at the site, which is full, milliseconds; absent if it would not.
    pub waits_ms: Option<f64>,
    /// Everything that was asked, in its order.
    pub rules: Vec<RuleAnswer>,
    /// Every site, in the order of the configuration.
    pub sites: Vec<SiteAnswer>,
    /// What would have had to differ for another answer, one sentence each.
    pub otherwise: Vec<String>,
}

/// One request that left the device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditEntry {
    /// When it left, RFC 3339, UTC.
    pub at: String,
    /// The caller's id of it.
    pub request_id: String,
    /// Who asked.
    pub caller: String,
    /// Model, by our name.
    pub model: String,
    /// Name of the site.
    pub site: String,
    /// Its zone.
    pub zone: String,
    /// How it was sent: `oip`, `openai` or `sibling`.
    pub protocol: String,
    /// What the caller claimed; empty if nothing.
    pub claimed: String,
    /// Effective data class.
    pub data_class: String,
    /// Why, in one word.
    pub reason: String,
    /// Rules of the operator that spoke of it, with commas.
    pub rules: String,
    /// What was taken out of it first, as `card 1, email 2`; empty if nothing was.
    pub redacted: String,
    /// Bytes that were sent.
    pub bytes: u64,
    /// SHA-256 of what was sent, hexadecimal. The content itself is kept nowhere.
    pub digest: String,
    /// 1 for the first site that was asked.
    pub attempt: u32,
    /// `ok`, or why there was no answer; `open` while it is under way.
    pub outcome: String,
    /// How long it took, milliseconds.
    pub took_ms: f64,
    /// What it cost, US dollars.
    pub cost_usd: f64,
}

/// Requests of one model, site and verdict in some time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageRow {
    /// Start of the time, RFC 3339, UTC.
    pub from: String,
    /// How long it is, seconds.
    pub span_s: u64,
    /// Model.
    pub model: String,
    /// Site; this box's name for what it served itself.
    pub site: String,
    /// `local`, `spill`, `speculate`, `defer` or `refuse`.
    pub verdict: String,
    /// Requests.
    pub count: u64,
    /// Those without a result.
    pub failed: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Bytes sent to other sites.
    pub sent_bytes: u64,
    /// Half of them took no longer, milliseconds.
    pub p50_ms: f64,
    /// 95 in a hundred took no longer, milliseconds.
    pub p95_ms: f64,
    /// 99 in a hundred took no longer, milliseconds.
    pub p99_ms: f64,
    /// What they cost, US dollars.
    pub cost_usd: f64,
    /// What this box took for them, joules; 0 where no rail can be read.
    pub energy_j: f64,
}

/// Share of one site in a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayShare {
    /// Name of the site, this box's name, `deferred` or `refused`.
    pub site: String,
    /// Its zone; empty for those that went nowhere.
    pub zone: String,
    /// Requests as they were decided.
    pub was: u64,
    /// Requests as the other policy would decide.
    pub would_be: u64,
}

/// Recorded decisions of this box under another policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replay {
    /// Decisions that were replayed.
    pub decisions: u64,
    /// Time of the first one, RFC 3339, UTC; empty if there are none.
    pub from: String,
    /// Time of the last one.
    pub until: String,
    /// Where they went and would go.
    pub shares: Vec<ReplayShare>,
    /// Expected cost as it was decided, US dollars.
    pub cost_was_usd: f64,
    /// Under the other policy.
    pub cost_would_be_usd: f64,
    /// Share that was expected to be in time, 0 to 1.
    pub in_time_was: f64,
    /// Under the other policy.
    pub in_time_would_be: f64,
    /// Requests that left the device.
    pub left_was: u64,
    /// That would have left it.
    pub left_would_be: u64,
    /// Requests that would leave the device and did not, or go farther, by class: `public 12`.
    pub newly_leaving: Vec<String>,
    /// What cannot be told from the records.
    pub caveats: Vec<String>,
}
