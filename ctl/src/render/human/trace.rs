//! `edgectl trace`: the life of one request as a timeline.

use edge_wire::dto::{Info, Trace};

use super::infer::{is_away, ran};
use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{exact_ms, micros, usd};

/// The timeline, with what came of it above and where the time went below.
pub fn trace(trace: &Trace) -> String {
    let head = paragraph("", &clean(&format!("request {} from {}", trace.request_id, trace.caller)));
    let verdict = trace.info.as_ref().map(verdict).unwrap_or_default();
    let error = if trace.code.is_empty() { String::new() } else { format!("{}: {}", trace.code, trace.message) };
    let fields = [
        ("model", trace.model.as_str()),
        ("received", &trace.received_at),
        ("outcome", &trace.outcome),
        ("error", &error),
        ("verdict", &verdict),
    ];
    let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
    let fields: String = fields.map(|(label, text)| field(label, &clean(text))).collect();
    let times = trace.info.as_ref().map(times).unwrap_or_default();
    format!("{head}{fields}\n{}{times}", steps(trace))
}

/// One line for each step: when, how long after the one before, what, and its numbers.
fn steps(trace: &Trace) -> String {
    let mut before = 0;
    let rows: Vec<Vec<String>> = trace
        .steps
        .iter()
        .map(|step| {
            let since = step.at_us.saturating_sub(before);
            before = step.at_us;
            vec![exact_ms(step.at_us), format!("+{}", exact_ms(since)), clean(&step.step), clean(&step.detail)]
        })
        .collect();
    let head = [("AT ms", Align::Right), ("AFTER ms", Align::Right), ("STEP", Align::Left), ("DETAIL", Align::Left)];
    table(&head, &rows)
}

/// Why it went where it went, and what really ran it.
fn verdict(info: &Info) -> String {
    let mut text = format!("{} ({})", info.verdict, info.reason);
    let places = [
        (if is_away(info) { "at site" } else { "on" }, &info.site),
        ("in zone", &info.zone),
        ("by provider", &info.provider),
        ("data class", &info.data_class),
    ];
    for (word, place) in places.into_iter().filter(|(_, place)| !place.is_empty()) {
        text.push_str(&format!(", {word} {place}"));
    }
    if info.cost_usd > 0.0 {
        text.push_str(&format!(", {} USD", usd(info.cost_usd)));
    }
    if info.duplicate {
        text.push_str(", answered from a stored reply");
    }
    text
}

fn times(info: &Info) -> String {
    let batch = if info.batch > 1 { format!(", in a batch of {}", info.batch) } else { String::new() };
    let times = format!(
        "queue {}, {} {}, total {}{batch}",
        micros(info.queue_us),
        ran(info),
        micros(info.compute_us),
        micros(info.total_us)
    );
    format!("\n{}", field("times", &times))
}
