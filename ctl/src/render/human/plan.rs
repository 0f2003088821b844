//! `edgectl models plan`: what was measured, and which way to run a model was chosen.

use edge_wire::plan::{Plan, PlanChoice, PlanWay};

use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::span;

/// One plan.
pub fn show(plan: &Plan) -> String {
    let mut text = format!("{}:{}\n", clean(&plan.model), clean(&plan.version));
    text += &paragraph("  measured   ", &format!("{}, in {}", clean(&plan.made_at), span(plan.took_ms)));
    for (name, value) in plan.key.iter().filter(|(name, _)| name != "model") {
        text += &paragraph("  holds for  ", &clean(&format!("{name}: {value}")));
    }
    let metered = plan.ways.iter().flat_map(|way| &way.points).any(|point| point.energy_mj.is_some());
    text += &format!("\n{}", table(&with_energy(&HEAD, metered), &rows(plan, metered)));
    text += &format!("\n{}", legend(metered));
    let notes: String = plan
        .ways
        .iter()
        .filter(|way| !way.reason.is_empty())
        .map(|way| paragraph("  ", &clean(&format!("{}: {}", words(way), way.reason))))
        .collect();
    if !notes.is_empty() {
        text += &format!("\nNot good for everything:\n{notes}");
    }
    text += &format!(
        "\nServes by {}, marked *:\n{}",
        clean(&plan.objective),
        table(&with_energy(&CHOICES, metered), &choices(plan, metered))
    );
    for remark in &plan.remarks {
        text += &paragraph("  ", &clean(remark));
    }
    text
}

/// What the columns are.
fn legend(metered: bool) -> String {
    let energy = if metered { "; mJ: energy of one item" } else { "" };
    let columns = format!(
        "S x T: sessions at work x threads of each; p50 ms: median of one run of a whole batch; per s: items of all \
         sessions; DIFFERS: from the CPU provider's answer, 0.01 at most for tensors; FOR: requests that it may serve{energy}"
    );
    field("columns", &columns)
}

/// A column for energy, where there is any.
fn with_energy(columns: &[(&'static str, Align)], metered: bool) -> Vec<(&'static str, Align)> {
    columns.iter().copied().chain(metered.then_some(("mJ", Align::Right))).collect()
}

/// Its cell.
fn energy(energy_mj: Option<f64>, metered: bool) -> Option<String> {
    metered.then(|| energy_mj.map_or("-".into(), |energy| format!("{energy:.1}")))
}

const HEAD: [(&str, Align); 9] = [
    ("VARIANT", Align::Left),
    ("PROVIDER", Align::Left),
    ("PRECISION", Align::Left),
    ("S x T", Align::Right),
    ("BATCH", Align::Right),
    ("p50 ms", Align::Right),
    ("per s", Align::Right),
    ("DIFFERS", Align::Right),
    ("FOR", Align::Left),
];

fn rows(plan: &Plan, metered: bool) -> Vec<Vec<String>> {
    let of_way = |way: &PlanWay| -> Vec<Vec<String>> {
        let head = |sessions: u32| {
            [clean(&way.variant), clean(&way.provider), clean(&way.precision), format!("{sessions} x {}", way.threads)]
        };
        let tail = [way.difference.map_or("-".into(), |apart| format!("{apart:.4}")), good(way)];
        if way.points.is_empty() {
            let nothing = [String::from("-"), "-".into(), "-".into()];
            let row = head(way.instances).into_iter().chain(nothing).chain(tail);
            return vec![row.chain(energy(None, metered)).collect()];
        }
        let row = |point: &edge_wire::plan::PlanPoint| {
            let figures = [point.batch.to_string(), millis(point.p50_us), format!("{:.1}", point.per_second)];
            let row = head(point.sessions).into_iter().chain(figures).chain(tail.clone());
            row.chain(energy(point.energy_mj, metered)).collect()
        };
        way.points.iter().map(row).collect()
    };
    plan.ways.iter().flat_map(of_way).collect()
}

fn good(way: &PlanWay) -> String {
    match (way.encoded, way.tensors) {
        (true, true) => "all",
        (true, false) => "encoded",
        (false, true) => "tensors",
        (false, false) => "nothing",
    }
    .into()
}

const CHOICES: [(&str, Align); 8] = [
    ("", Align::Left),
    ("REQUESTS", Align::Left),
    ("OBJECTIVE", Align::Left),
    ("WAY", Align::Left),
    ("S x T", Align::Right),
    ("BATCH", Align::Right),
    ("p50 ms", Align::Right),
    ("per s", Align::Right),
];

fn choices(plan: &Plan, metered: bool) -> Vec<Vec<String>> {
    let row = |choice: &PlanChoice| -> Option<Vec<String>> {
        let way = plan.ways.get(usize::try_from(choice.way).ok()?)?;
        let cells = vec![
            if choice.objective == plan.objective { "*" } else { "" }.into(),
            clean(&choice.requests),
            clean(&choice.objective),
            clean(&format!("{} {} {}", way.variant, way.provider, way.precision)),
            format!("{} x {}", choice.instances, way.threads),
            choice.batch.to_string(),
            millis(choice.p50_us),
            format!("{:.1}", choice.per_second),
        ];
        Some(cells.into_iter().chain(energy(choice.energy_mj, metered)).collect())
    };
    plan.choices.iter().filter_map(row).collect()
}

fn words(way: &PlanWay) -> String {
    format!("{} on {}, {}, {} x {}", way.variant, way.provider, way.precision, way.instances, way.threads)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn millis(us: u64) -> String {
    format!("{:.2}", us as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use edge_wire::plan::PlanPoint;

    use super::*;

    #[test]
    fn a_plan_shows_what_was_measured_what_is_wrong_and_what_serves() {
        let way = |provider: &str, precision: &str, reason: &str, tensors: bool| PlanWay {
            variant: "fp32".into(),
            provider: provider.into(),
            precision: precision.into(),
            threads: 1,
            instances: 2,
            encoded: true,
            tensors,
            difference: Some(if tensors { 0.0 } else { 0.03 }),
            reason: reason.into(),
            points: vec![PlanPoint { sessions: 2, batch: 1, p50_us: 15_400, per_second: 129.87, energy_mj: None }],
        };
        let choice = |requests: &str, way, objective: &str| PlanChoice {
            requests: requests.into(),
            objective: objective.into(),
            way,
            instances: 2,
            batch: 1,
            p50_us: 15_400,
            per_second: 129.87,
            energy_mj: None,
        };
        let mut plan = Plan {
            model: "text-line".into(),
            version: "1.0.0".into(),
            made_at: "2026-11-27T10:00:00Z".into(),
            took_ms: 41_000,
            key: vec![("model".into(), "ab12".into()), ("runtime".into(), "1.32.0".into())],
            ways: vec![way("cpu", "exact", "", true), way("openvino", "reduced", "not for tensors: it differs", false)],
            choices: vec![choice("encoded", 1, "throughput"), choice("tensors", 0, "latency")],
            remarks: vec!["no energy: no rail".into()],
            objective: "throughput".into(),
        };
        let text = show(&plan);
        for part in [
            "text-line:1.0.0",
            "holds for  runtime: 1.32.0",
            "15.40",
            "129.9",
            "0.0300",
            "fp32 on openvino, reduced, 2 x 1: not for tensors: it differs",
            "Serves by throughput, marked *:",
            "no energy: no rail",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("columns    S x T: sessions at work"), "{text}");
        assert!(!text.contains("ab12"), "the digest is for machines");
        assert!(!text.contains("mJ"), "there is no column for what nobody knows");
        plan.ways[0].points[0].energy_mj = Some(231.25);
        let metered = show(&plan);
        assert!(metered.contains("mJ") && metered.contains("231.2"), "{metered}");
        let serving = text.lines().find(|line| line.starts_with('*')).unwrap();
        assert!(serving.contains("encoded") && serving.contains("fp32 openvino reduced"), "{serving}");
    }
}
