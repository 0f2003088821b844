//! Bundles that are not served yet, for people.

use std::path::Path;

use edge_wire::bring::{Checked, Drafted, Finding, GraphFacts, PortFacts, Sample, Written};

use serde_json::Value;

use crate::render::table::{clean, field, paragraph};
use crate::render::units::bytes;

/// Samples that are told one by one.
const MOST_TOLD: usize = 10;
/// Operators that are named.
const MOST_OPERATORS: usize = 8;

/// A bundle that was drafted or answered anew; where its pictures were drawn, if they were.
pub fn drafted(drafted: &Drafted, drawn: Option<(usize, &Path)>) -> String {
    let mut out = format!("{}:{} in {}\n\n", clean(&drafted.name), clean(&drafted.version), clean(&drafted.dir));
    out.push_str(&field("kind", &clean(&drafted.family)));
    out.push_str(&field("task", &clean(&drafted.task)));
    if !drafted.graph.file.is_empty() {
        out.push_str(&graph(&drafted.graph));
    }
    if drafted.run_ms > 0.0 {
        out.push_str(&field("one run", &format!("{:.1} ms on the processor here, one thread", drafted.run_ms)));
    }
    if !drafted.assumed.is_empty() {
        out.push_str("\nAssumed, as the graph does not say (correct it in model.toml):\n");
        for one in &drafted.assumed {
            let value = shortened(&clean(&one.value));
            out.push_str(&paragraph(&format!("  {} = {value}  ", clean(&one.key)), &clean(&one.why)));
        }
    }
    out.push_str(&samples(&drafted.samples));
    if let Some((count, dir)) = drawn {
        out.push_str(&format!(
            "\n{count} drawn in {}: look whether the boxes fit\n",
            clean(&dir.display().to_string())
        ));
    }
    for remark in &drafted.remarks {
        out.push('\n');
        out.push_str(&paragraph("Note: ", &clean(remark)));
    }
    let dir = clean(&drafted.dir);
    if is_lost(drafted) {
        out.push_str(
            "\nNo sample was answered, so this is not the right manifest yet: is it another kind of model (`--task`)? Otherwise \
             correct model.toml, and then `edgectl models goldens`\n",
        );
        return out;
    }
    out.push_str(&format!("\nNext: edgectl models sign {dir} --key KEY; edgectl models install {dir}\n"));
    out
}

/// Whether there were samples, and none was answered.
pub fn is_lost(drafted: &Drafted) -> bool {
    !drafted.samples.is_empty() && drafted.samples.iter().all(|sample| !sample.error.is_empty())
}

fn graph(graph: &GraphFacts) -> String {
    let ports = |ports: &[PortFacts]| ports.iter().map(port).collect::<Vec<_>>().join(", ");
    let mut operators: Vec<String> =
        graph.operators.iter().take(MOST_OPERATORS).map(|(name, count)| format!("{} {count}", clean(name))).collect();
    if graph.operators.len() > MOST_OPERATORS {
        operators.push(format!("and {} more", graph.operators.len() - MOST_OPERATORS));
    }
    let by = if graph.producer.is_empty() { String::new() } else { format!(", by {}", clean(&graph.producer)) };
    let mut out = field("graph", &format!("{}, {}, opset {}{by}", clean(&graph.file), bytes(graph.bytes), graph.opset));
    out.push_str(&field("inputs", &ports(&graph.inputs)));
    out.push_str(&field("outputs", &ports(&graph.outputs)));
    out.push_str(&field("operators", &operators.join(", ")));
    if !graph.external.is_empty() {
        out.push_str(&field("weights", &clean(&graph.external.join(", "))));
    }
    out
}

fn port(port: &PortFacts) -> String {
    let datatype = if port.datatype.is_empty() { "no tensor" } else { &port.datatype };
    format!("{} {datatype} [{}]", clean(&port.name), clean(&port.shape.join(", ")))
}

fn samples(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return String::new();
    }
    let answered = samples.iter().filter(|sample| sample.error.is_empty()).count();
    let golden = samples.iter().filter(|sample| sample.golden).count();
    let mut out = format!("\nSamples: {answered} of {} answered, {golden} of them golden (*)\n", samples.len());
    for sample in samples.iter().take(MOST_TOLD) {
        let mark = if sample.golden { "*" } else { " " };
        let name =
            Path::new(&sample.file).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let said = match sample.error.is_empty() {
            true => told(&sample.result),
            false => format!("not answered: {}", clean(&sample.error)),
        };
        out.push_str(&paragraph(&format!("{mark} {}  ", clean(&name)), &said));
    }
    if samples.len() > MOST_TOLD {
        out.push_str(&format!("  and {} more (--json has all)\n", samples.len() - MOST_TOLD));
    }
    out
}

/// An answer in one line.
fn told(result: &Value) -> String {
    let list = |key: &str| result.get(key).and_then(Value::as_array);
    if let Some(things) = list("objects") {
        return counted("object", things, sure);
    }
    if let Some(boxes) = list("boxes") {
        return counted("box", boxes, |_| None);
    }
    if let Some(label) = sure(result) {
        return label;
    }
    match result.get("text").and_then(Value::as_str) {
        Some(text) => format!("{:?}", clean(text)),
        None => shortened_to(&clean(&result.to_string()), 160),
    }
}

/// `label 93%`.
fn sure(thing: &Value) -> Option<String> {
    let (label, score) = (thing.get("label")?.as_str()?, thing.get("score")?.as_f64()?);
    Some(format!("{} {:.0}%", clean(label), score * 100.0))
}

fn counted(what: &str, things: &[Value], told: impl Fn(&Value) -> Option<String>) -> String {
    let many = if what.ends_with('x') { format!("{what}es") } else { format!("{what}s") };
    let count = match things.len() {
        0 => return format!("no {many}"),
        1 => format!("1 {what}"),
        count => format!("{count} {many}"),
    };
    let first: Vec<String> = things.iter().take(5).filter_map(told).collect();
    let more = if things.len() > first.len() { ", ..." } else { "" };
    if first.is_empty() { count } else { format!("{count}: {}{more}", first.join(", ")) }
}

fn shortened(text: &str) -> String {
    shortened_to(text, 50)
}

fn shortened_to(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} ...", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

/// Faults, remarks, and what was proven.
pub fn checked(checked: &Checked) -> String {
    let name = match checked.name.as_str() {
        "" => clean(&checked.path),
        name => format!("{}:{} in {}", clean(name), clean(&checked.version), clean(&checked.path)),
    };
    let verdict = match (checked.faults.len(), checked.ran) {
        (0, true) if checked.goldens_passed > 0 => {
            format!("good: {} golden answers given here", checked.goldens_passed)
        }
        (0, true) => "good: the model loads here".into(),
        (0, false) => "good, as far as can be told without running it".into(),
        (1, _) => "1 fault".into(),
        (count, _) => format!("{count} faults"),
    };
    let mut out = format!("{name}: {verdict}\n");
    if !checked.signed_by.is_empty() {
        out.push_str(&format!(
            "signed by the key {} (whether a box trusts it is the box's to say)\n",
            clean(&checked.signed_by)
        ));
    }
    let mut list = |title: &str, findings: &[Finding]| {
        for one in findings {
            out.push('\n');
            out.push_str(&paragraph(&format!("{title}  {}: ", clean(&one.place)), &clean(&one.what)));
        }
    };
    list("FAULT", &checked.faults);
    list("note ", &checked.remarks);
    out
}

/// An archive that was written.
pub fn packed(written: &Written) -> String {
    let by =
        if written.key.is_empty() { String::new() } else { format!(", signed by the key {}", clean(&written.key)) };
    with_remarks(format!("{}, {}{by}\n", clean(&written.path), bytes(written.bytes)), written)
}

/// A signature that was written.
pub fn signed(written: &Written) -> String {
    with_remarks(format!("{}, by the key {}\n", clean(&written.path), clean(&written.key)), written)
}

/// A pair of keys that was made.
pub fn keys(written: &Written) -> String {
    let secret = clean(&written.path);
    let public = secret.strip_suffix(".key").map_or_else(|| secret.clone(), |name| format!("{name}.pub"));
    let text = format!(
        "key {}\n  {secret}  signs; keep it, and give it to nobody\n  {public}  goes to every box, into /etc/edged/keys.d\n",
        clean(&written.key)
    );
    with_remarks(text, written)
}

fn with_remarks(mut text: String, written: &Written) -> String {
    for remark in &written.remarks {
        text.push_str(&paragraph("Note: ", &clean(remark)));
    }
    text
}
