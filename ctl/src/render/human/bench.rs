//! `edgectl bench`: a table with a line for each step, a chart of the throughput, and the result in one sentence.

use crate::bench::plan::Step;
use crate::bench::report::{InputReport, Report, StepReport};
use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{bytes, count, digits, micros, short_ms, span};

/// Columns of the longest bar.
const BAR: usize = 48;

/// The whole run.
pub fn report(report: &Report) -> String {
    let simulated = if report.simulated { super::status::SIMULATED } else { "" };
    let mut text = format!("{}{simulated}{}", head(report), conditions(report));
    if !report.steps.is_empty() {
        text.push_str(&format!("\n{}\n{}", steps(&report.steps), chart(&report.steps)));
    }
    [
        &text,
        "\n",
        &legend(&report.steps),
        &refusals(&report.steps),
        &ended(report),
        &field("result", &result(&report.steps)),
    ]
    .concat()
}

/// `2 clients`, `2 clients, batches of 8`.
pub fn step(step: &Step) -> String {
    who(u64::try_from(step.clients).unwrap_or(u64::MAX), step.rows.unwrap_or(1))
}

fn who(clients: u64, batch: u64) -> String {
    let clients = count(clients, "client");
    if batch == 1 { clients } else { format!("{clients}, batches of {batch}") }
}

/// The model, what ran it, and where.
fn head(report: &Report) -> String {
    let served = report.served.iter().map(|one| {
        if !one.site.is_empty() {
            return format!(" by site {}", one.site);
        }
        let what = [one.version.as_str(), &one.variant].join(" ");
        let provider = if one.provider.is_empty() { "unknown" } else { &one.provider };
        format!(" {} by provider {provider}", what.trim())
    });
    let served: Vec<String> = served.collect();
    let name = report.model.split(':').next().unwrap_or_default();
    // Another site was asked by this box, and ran it elsewhere.
    let on = if report.served.iter().any(|one| !one.site.is_empty()) { ", asked on" } else { " on" };
    paragraph("", &clean(&format!("{name}{}{on} {}", served.join(" and"), report.node)))
}

/// Everything that the numbers depend on.
fn conditions(report: &Report) -> String {
    let way = if report.over == "bus" { "over the bus" } else { "over private connections" };
    let mut asked = format!("{way}, priority {}", report.priority);
    if let Some(deadline) = report.deadline_ms {
        asked.push_str(&format!(", deadline {}", span(deadline)));
    }
    if let Some(class) = &report.data_class {
        asked.push_str(&format!(", data class {class}"));
    }
    asked.push_str(&format!(", {} s a step after a warm-up of {} ms", report.seconds, report.warm_up_ms));
    [
        field("machine", &clean(&super::status::machine(&report.platform))),
        field("input", &clean(&input(report))),
        field("asked", &asked),
    ]
    .concat()
}

fn input(report: &Report) -> String {
    let size = report.steps.first().map_or_else(String::new, |step| format!(", {}", bytes(step.request_bytes)));
    match &report.input {
        InputReport::Encoded { file, golden, content_type } => {
            let golden = if *golden { ", a golden input of the bundle" } else { "" };
            format!("{file} ({content_type}{size}){golden}")
        }
        InputReport::Tensors { seed, tensors } => {
            let tensors = tensors.iter().map(|tensor| {
                let shape = super::models::shape(&tensor.shape).replace("any", "batch");
                format!("{} {} {shape}", tensor.name, tensor.datatype)
            });
            let tensors: Vec<String> = tensors.collect();
            format!("tensors {}, pseudo-random (seed {seed})", tensors.join(", "))
        }
    }
}

/// One line for each step. Batches and energy have columns only where there is something to say.
fn steps(steps: &[StepReport]) -> String {
    let has_batches = has_batches(steps);
    let has_energy = has_energy(steps);
    let mut head = vec!["CLIENTS"];
    head.extend(if has_batches { &["BATCH", "REQ/S", "ITEMS/S"][..] } else { &["REQ/S"] });
    head.extend(["P50", "P95", "P99", "MODEL", "QUEUE"]);
    head.extend(has_energy.then_some("mJ"));
    head.push("REFUSED");
    let ms = |us: Option<u64>| us.map_or("-".into(), short_ms);
    let row = |step: &StepReport| {
        let mut row = vec![step.clients.to_string()];
        row.extend(has_batches.then(|| step.batch.to_string()));
        row.push(digits(step.throughput_per_s));
        row.extend(has_batches.then(|| digits(step.items_per_s)));
        row.extend([step.p50_us, step.p95_us, step.p99_us, step.compute_p50_us, step.queue_p50_us].map(ms));
        row.extend(has_energy.then(|| step.energy_per_item_mj.map_or("-".into(), digits)));
        row.push(step.refusals().to_string());
        row
    };
    let head: Vec<(&str, Align)> = head.into_iter().map(|title| (title, Align::Right)).collect();
    let rows: Vec<Vec<String>> = steps.iter().map(row).collect();
    table(&head, &rows)
}

fn has_batches(steps: &[StepReport]) -> bool {
    steps.iter().any(|step| step.batch != 1)
}

fn has_energy(steps: &[StepReport]) -> bool {
    steps.iter().any(|step| step.energy_per_item_mj.is_some())
}

/// Throughput by clients: a bar for each step, the best as long as there is room.
fn chart(steps: &[StepReport]) -> String {
    let best = steps.iter().map(|step| step.items_per_s).fold(0.0, f64::max);
    let labels: Vec<String> = steps.iter().map(|step| who(step.clients, step.batch)).collect();
    let width = labels.iter().map(String::len).max().unwrap_or(0);
    let lines = steps.iter().zip(labels).map(|(step, label)| {
        let bar = "#".repeat(bar(step.items_per_s, best));
        let gap = if bar.is_empty() { "" } else { " " };
        format!("  {label:<width$}  {bar}{gap}{}\n", throughput(step, steps))
    });
    lines.collect()
}

/// `61.0/s`, or where there are batches `351 items/s`.
fn throughput(step: &StepReport, among: &[StepReport]) -> String {
    format!("{}{}", digits(step.items_per_s), if has_batches(among) { " items/s" } else { "/s" })
}

/// Columns of a bar: none for nothing, else at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of BAR, which is small")]
fn bar(value: f64, best: f64) -> usize {
    if value <= 0.0 { 0 } else { ((value / best * BAR as f64).round() as usize).clamp(1, BAR) }
}

/// What the columns are.
fn legend(steps: &[StepReport]) -> String {
    let times = "in ms; P50, P95, P99 from call to answer; MODEL and QUEUE are medians of what edged measured, QUEUE from \
                 acceptance to the start of the model, decoding included";
    let energy = if has_energy(steps) { field("energy", "mJ for one item, as edged told it") } else { String::new() };
    field("times", times) + &energy
}

/// Every "no" with its code, and the steps in which nothing was answered.
fn refusals(steps: &[StepReport]) -> String {
    let mut lines = Vec::new();
    for step in steps {
        let who = who(step.clients, step.batch);
        if step.answered == 0 {
            lines.push(format!("{who}: nothing was answered"));
        }
        lines.extend(step.refused.iter().map(|no| format!("{who}: {} x {}: {}", no.count, no.code, no.message)));
    }
    let labels = std::iter::once("refused").chain(std::iter::repeat(""));
    labels.zip(lines).map(|(label, line)| field(label, &clean(&line))).collect()
}

fn ended(report: &Report) -> String {
    match report.ended.as_str() {
        "interrupted" => field("ended", "with Ctrl-C; this is what was measured until then"),
        "lost" => field("ended", "because edged was lost; this is what was measured until then"),
        _ => String::new(),
    }
}

/// What the table says, in words.
fn result(steps: &[StepReport]) -> String {
    let answered = steps.iter().filter(|step| step.answered > 0);
    let best = answered.clone().reduce(|best, step| if step.items_per_s > best.items_per_s { step } else { best });
    let Some(best) = best else { return "nothing was answered".into() };
    let mut text = format!("best throughput {} with {}", throughput(best, steps), who(best.clients, best.batch));
    let alone = answered.filter(|step| step.clients == 1).min_by_key(|step| step.batch);
    if let Some((step, p50)) = alone.and_then(|step| Some((step, step.p50_us?))) {
        let with = if step.batch == 1 { String::new() } else { format!(" with batches of {}", step.batch) };
        text.push_str(&format!("; one client{with} waits {} at the median", micros(p50)));
    }
    text
}

#[cfg(test)]
mod tests {
    use edge_wire::error::ErrorCode;

    use super::*;
    use crate::bench::report::RefusedReport;

    fn step(clients: u64, batch: u64, per_s: f64, p50_us: u64) -> StepReport {
        let p50 = (per_s > 0.0).then_some(p50_us);
        StepReport {
            clients,
            batch,
            request_bytes: 64,
            elapsed_ms: 3000,
            answered: if per_s > 0.0 { 9 } else { 0 },
            throughput_per_s: per_s,
            items_per_s: per_s * batch as f64,
            p50_us: p50,
            p95_us: p50.map(|us| us * 2),
            p99_us: p50.map(|us| us * 3),
            compute_p50_us: p50.map(|us| us - 900),
            queue_p50_us: p50.map(|_| 700),
            energy_per_item_mj: None,
            refused: vec![],
        }
    }

    #[test]
    fn a_line_for_each_step_and_columns_only_for_what_there_is() {
        let plain = steps(&[step(1, 1, 29.41, 34_219), step(16, 1, 61.0, 262_000)]);
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines[0], "CLIENTS  REQ/S    P50    P95    P99  MODEL  QUEUE  REFUSED");
        assert_eq!(lines[1], "      1   29.4  34.21  68.43  102.6  33.31  0.700        0");
        assert_eq!(lines[2], "     16   61.0  262.0  524.0  786.0  261.1  0.700        0");
        let mut told = [step(1, 1, 29.41, 34_219), step(1, 8, 0.0, 0)];
        told[0].energy_per_item_mj = Some(12.5);
        told[1].refused = vec![RefusedReport { code: ErrorCode::TooLarge, count: 3, message: "no".into() }];
        let all = steps(&told);
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines[0], "CLIENTS  BATCH  REQ/S  ITEMS/S    P50    P95    P99  MODEL  QUEUE    mJ  REFUSED");
        assert_eq!(lines[1], "      1      1   29.4     29.4  34.21  68.43  102.6  33.31  0.700  12.5        0");
        assert_eq!(lines[2], "      1      8      0        0      -      -      -      -      -     -        3");
        assert!(lines.iter().all(|line| line.len() <= 80), "{all}");
    }

    #[test]
    fn bars_are_as_long_as_their_share_of_the_best() {
        assert_eq!((bar(0.0, 0.0), bar(0.0, 10.0), bar(0.001, 10.0)), (0, 0, 1));
        assert_eq!((bar(5.0, 10.0), bar(10.0, 10.0)), (BAR / 2, BAR));
        let chart = chart(&[step(1, 1, 30.0, 1000), step(16, 1, 60.0, 1000), step(8, 1, 0.0, 0)]);
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines[0], format!("  1 client    {} 30.0/s", "#".repeat(24)));
        assert_eq!(lines[1], format!("  16 clients  {} 60.0/s", "#".repeat(48)));
        assert_eq!(lines[2], "  8 clients   0/s");
    }

    #[test]
    fn the_result_names_the_best_and_what_one_client_waits() {
        let plain = [step(1, 1, 29.0, 34_219), step(2, 1, 61.0, 32_000), step(4, 1, 60.0, 66_000)];
        let expected = "best throughput 61.0/s with 2 clients; one client waits 34.2 ms at the median";
        assert_eq!(result(&plain), expected);
        let batched = [step(1, 4, 20.0, 50_000), step(2, 8, 20.0, 99_000)];
        let expected = "best throughput 160 items/s with 2 clients, batches of 8; one client with batches of 4 waits 50.0 ms \
                        at the median";
        assert_eq!(result(&batched), expected);
        assert_eq!(result(&[step(2, 1, 61.0, 32_000)]), "best throughput 61.0/s with 2 clients");
        assert_eq!(result(&[step(2, 1, 0.0, 0)]), "nothing was answered");
    }

    #[test]
    fn no_refusal_is_hidden_and_its_message_cannot_steer_the_terminal() {
        let mut full = step(4, 1, 0.0, 0);
        full.refused = vec![RefusedReport { code: ErrorCode::Overloaded, count: 12, message: "a\u{1b}[2J".into() }];
        let expected =
            "  refused    4 clients: nothing was answered\n             4 clients: 12 x overloaded: a\\u{1b}[2J\n";
        assert_eq!(refusals(&[step(1, 1, 5.0, 1000), full]), expected);
        assert_eq!(refusals(&[step(1, 1, 5.0, 1000)]), "");
    }

    #[test]
    fn energy_is_explained_only_where_it_is_known() {
        let mut known = step(1, 1, 5.0, 1000);
        assert!(!legend(std::slice::from_ref(&known)).contains("energy"));
        known.energy_per_item_mj = Some(12.5);
        assert!(legend(&[known]).contains("energy"));
    }
}
