//! The record of a run, as `--json` prints it: keys are stable, units are in their names.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_wire::dto::{Platform, TensorInfo};
use edge_wire::error::ErrorCode;
use serde::Serialize;

use super::input::Input;
use super::pattern;
use super::percentile::{median, nearest_rank};
use super::plan::Step;
use super::tally::{Served, Tally};
use crate::failure::Failure;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub node: String,
    pub platform: Platform,
    pub simulated: bool,
    /// Who answered, as the answers told it.
    pub served: Vec<ServedBy>,
    /// `private` or `bus`.
    pub over: String,
    pub input: InputReport,
    pub priority: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_class: Option<String>,
    pub seconds: u64,
    pub warm_up_ms: u64,
    /// `complete`, `interrupted` or `lost`.
    pub ended: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    pub steps: Vec<StepReport>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServedBy {
    pub version: String,
    pub variant: String,
    pub provider: String,
    /// Absent where this box answered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub site: String,
    pub answered: u64,
}

/// What was sent.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputReport {
    Encoded { file: String, golden: bool, content_type: String },
    Tensors { seed: u64, tensors: Vec<TensorInfo> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    pub code: String,
    pub message: String,
}

/// One step. What was not measured is `None`, which is null in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    pub clients: u64,
    pub batch: u64,
    pub request_bytes: u64,
    pub elapsed_ms: u64,
    pub answered: u64,
    pub throughput_per_s: f64,
    pub items_per_s: f64,
    pub p50_us: Option<u64>,
    pub p95_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub compute_p50_us: Option<u64>,
    pub queue_p50_us: Option<u64>,
    /// Absent from a daemon that does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_per_item_mj: Option<f64>,
    pub refused: Vec<RefusedReport>,
}

/// How often the answer was this "no", with the message of the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedReport {
    pub code: ErrorCode,
    pub count: u64,
    pub message: String,
}

impl InputReport {
    /// What the input is; `is_batched` where each step has rows of its own.
    pub fn of(input: &Input, is_batched: bool) -> Result<InputReport, Failure> {
        Ok(match input {
            Input::Encoded(encoded) => InputReport::Encoded {
                file: encoded.file.display().to_string(),
                golden: encoded.is_golden,
                content_type: encoded.content_type.clone(),
            },
            Input::Tensors(tensors) => {
                InputReport::Tensors { seed: pattern::SEED, tensors: tensors.shapes(is_batched)? }
            }
        })
    }
}

impl StepReport {
    /// The numbers of a step whose requests had so many items and bytes.
    pub fn of(step: Step, items: u64, request_bytes: u64, mut tally: Tally, elapsed: Duration) -> StepReport {
        tally.latency_us.sort_unstable();
        let answered = count(tally.latency_us.len());
        let throughput = if elapsed.is_zero() { 0.0 } else { answered as f64 / elapsed.as_secs_f64() };
        let refused = tally.refused.into_iter();
        StepReport {
            clients: count(step.clients),
            batch: items,
            request_bytes,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            answered,
            throughput_per_s: thousandths(throughput),
            items_per_s: thousandths(throughput * items as f64),
            p50_us: nearest_rank(&tally.latency_us, 50),
            p95_us: nearest_rank(&tally.latency_us, 95),
            p99_us: nearest_rank(&tally.latency_us, 99),
            compute_p50_us: median(tally.compute_us),
            queue_p50_us: median(tally.queue_us),
            energy_per_item_mj: (tally.energies > 0)
                .then(|| thousandths(tally.energy_mj / tally.energies as f64 / items.max(1) as f64)),
            refused: refused.map(|no| RefusedReport { code: no.code, count: no.count, message: no.message }).collect(),
        }
    }

    /// How many were not answered with a result.
    pub fn refusals(&self) -> u64 {
        self.refused.iter().map(|no| no.count).sum()
    }
}

/// The list of those who answered.
pub fn served(served: &BTreeMap<Served, u64>) -> Vec<ServedBy> {
    let row = |((version, variant, provider, site), answered): (&Served, &u64)| ServedBy {
        version: version.clone(),
        variant: variant.clone(),
        provider: provider.clone(),
        site: site.clone(),
        answered: *answered,
    };
    served.iter().map(row).collect()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Three places: more were not measured.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use edge_wire::error::Refused;

    use super::*;
    use crate::bench::caller::Told;

    const STEP: Step = Step { clients: 2, rows: None };

    #[test]
    fn the_numbers_of_a_step_agree_with_each_other() {
        let mut tally = Tally::default();
        for latency in (1..=200).rev() {
            let told = Told { queue_us: latency / 2, compute_us: latency, energy_mj: Some(4.0), ..Told::default() };
            tally.answered(Duration::from_micros(latency), told);
        }
        let step = StepReport::of(STEP, 4, 64, tally, Duration::from_millis(500));
        assert_eq!((step.answered, step.throughput_per_s, step.items_per_s), (200, 400.0, 1600.0));
        assert_eq!((step.p50_us, step.p95_us, step.p99_us), (Some(100), Some(190), Some(198)));
        assert_eq!((step.compute_p50_us, step.queue_p50_us), (Some(100), Some(50)));
        assert_eq!((step.energy_per_item_mj, step.elapsed_ms), (Some(1.0), 500));
    }

    #[test]
    fn what_was_not_measured_is_null_and_what_nobody_knows_is_absent() {
        let mut tally = Tally::default();
        let refused = Refused { code: ErrorCode::Overloaded, message: "full".into(), retry_after_ms: None };
        tally.refused(refused);
        let step = StepReport::of(STEP, 1, 64, tally, Duration::ZERO);
        assert_eq!((step.answered, step.throughput_per_s, step.refusals()), (0, 0.0, 1));
        let json = serde_json::to_value(&step).unwrap();
        assert!(json["p50_us"].is_null() && json["compute_p50_us"].is_null(), "{json}");
        assert!(json.get("p99_us").is_some() && json.get("energy_per_item_mj").is_none(), "{json}");
        assert_eq!(json["refused"][0]["code"], "overloaded");
    }

    /// The page for those who read the document names every key of it.
    #[test]
    fn every_key_is_explained_in_the_page_about_json() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md")).unwrap();
        let (_, section) = page.split_once("\n## Report of bench\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut report = serde_json::to_value(full()).unwrap();
        report["other"] = serde_json::to_value(InputReport::Tensors { seed: 1, tensors: vec![] }).unwrap();
        let mut rest = vec![&report];
        while let Some(value) = rest.pop() {
            for (key, inner) in value.as_object().into_iter().flatten() {
                assert!(key == "other" || section.contains(&format!("`{key}`")), "{key} is not explained");
                // What machine it is stands with the status.
                if key != "platform" {
                    rest.push(inner);
                }
            }
            rest.extend(value.as_array().into_iter().flatten());
        }
    }

    fn full() -> Report {
        let mut tally = Tally::default();
        tally.answered(Duration::ZERO, Told { energy_mj: Some(1.0), ..Told::default() });
        tally.refused(Refused { code: ErrorCode::Overloaded, message: String::new(), retry_after_ms: None });
        Report {
            model: String::new(),
            node: String::new(),
            platform: Platform::default(),
            simulated: true,
            served: served(&tally.served),
            over: String::new(),
            input: InputReport::Encoded { file: String::new(), golden: true, content_type: String::new() },
            priority: String::new(),
            deadline_ms: Some(1),
            data_class: Some(String::new()),
            seconds: 3,
            warm_up_ms: 300,
            ended: String::new(),
            error: Some(ErrorReport { code: String::new(), message: String::new() }),
            steps: vec![StepReport::of(STEP, 1, 1, tally, Duration::ZERO)],
            warnings: vec![],
        }
    }
}
