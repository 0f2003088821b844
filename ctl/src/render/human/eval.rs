//! What variants are worth, for people.

use edge_wire::bring::{Evaluated, LeftOut, Quantized, Scored};

use crate::render::plot;
use crate::render::table::{Align, clean, paragraph, table};
use crate::render::units::{bytes, count, digits};

/// Parts of the data that are told one by one.
const MOST_TOLD: usize = 10;

/// A table of variants, a plot, and what does not count.
pub fn evaluated(evaluated: &Evaluated) -> String {
    let name = format!("{}:{}", clean(&evaluated.name), clean(&evaluated.version));
    let mut out = format!("{name}, {}: {}\n\n", clean(&evaluated.task), against(evaluated));
    out.push_str(&variants(evaluated));
    out.push_str(&plot::letters(evaluated).unwrap_or_default());
    out.push_str(&failures(evaluated));
    out.push_str(&left_out(&evaluated.left_out));
    for remark in &evaluated.remarks {
        out.push('\n');
        out.push_str(&paragraph("Note: ", &clean(remark)));
    }
    out
}

fn against(evaluated: &Evaluated) -> String {
    let samples = count(evaluated.samples.into(), "sample");
    match evaluated.against.as_str() {
        "labels" => format!("{samples}, held against their labels"),
        _ => format!("{samples} without labels, held against the first variant"),
    }
}

fn variants(evaluated: &Evaluated) -> String {
    let names: Vec<String> = evaluated
        .variants
        .iter()
        .max_by_key(|scored| scored.measures.len())
        .map(|scored| scored.measures.iter().map(|measure| clean(&measure.name)).collect())
        .unwrap_or_default();
    let mut head = vec![("VARIANT", Align::Left)];
    head.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    head.extend(["LOST", "P50 MS", "P95 MS", "PER S", "SIZE"].map(|title| (title, Align::Right)));
    let rows: Vec<Vec<String>> = evaluated.variants.iter().map(|scored| row(scored, &names)).collect();
    table(&head, &rows)
}

fn row(scored: &Scored, names: &[String]) -> Vec<String> {
    let figure = |name: &String| {
        let measure = scored.measures.iter().find(|measure| measure.name == *name);
        measure.and_then(|measure| measure.value).map_or_else(|| "-".into(), |value| format!("{value:.4}"))
    };
    let mut row = vec![clean(&scored.variant)];
    row.extend(names.iter().map(figure));
    row.push(scored.loss.map_or_else(|| "-".into(), share));
    row.extend([scored.run_p50_ms, scored.run_p95_ms, scored.per_second].map(digits));
    row.push(bytes(scored.bytes));
    row
}

fn share(loss: f64) -> String {
    format!("{:.2} %", loss * 100.0)
}

fn failures(evaluated: &Evaluated) -> String {
    let mut out = String::new();
    for scored in &evaluated.variants {
        if !scored.error.is_empty() {
            out.push('\n');
            out.push_str(&paragraph(&format!("{}: ", clean(&scored.variant)), &clean(&scored.error)));
        } else if scored.failed > 0 {
            let samples = count(scored.failed.into(), "sample");
            out.push_str(&format!("\n{}: {samples} not answered, which count as wrong\n", clean(&scored.variant)));
        }
    }
    out
}

fn left_out(list: &[LeftOut]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let mut out = format!("\nLeft out: {}\n", list.len());
    for one in list.iter().take(MOST_TOLD) {
        let line = if one.line > 0 { format!(", line {}", one.line) } else { String::new() };
        out.push_str(&paragraph(&format!("  {}{line}: ", clean(&one.file)), &clean(&one.why)));
    }
    if list.len() > MOST_TOLD {
        out.push_str(&format!("  and {} more (--json has all)\n", list.len() - MOST_TOLD));
    }
    out
}

/// A variant that was made, and what it lost.
pub fn quantized(quantized: &Quantized) -> String {
    let dir = clean(&quantized.dir);
    let mut out = format!(
        "variant {} in {dir}: {}, {} instead of {}\n",
        clean(&quantized.variant),
        clean(&quantized.file),
        bytes(quantized.bytes),
        bytes(quantized.from_bytes)
    );
    let samples = count(quantized.calibrated.into(), "sample");
    out.push_str(&format!(
        "{} quantised by {samples}; it loses {} of {}, which model.toml states\n",
        count(quantized.quantized.into(), "value"),
        share(quantized.loss),
        clean(&quantized.all.measure)
    ));
    out.push_str(&format!("\nOn all samples: {}", evaluated(&quantized.all)));
    if let Some(held_out) = &quantized.held_out {
        let title = format!("\nOn those that it was not made of: {}\n\n", against(held_out));
        out.push_str(&format!("{title}{}", variants(held_out)));
    }
    for remark in &quantized.remarks {
        out.push('\n');
        out.push_str(&paragraph("Note: ", &clean(remark)));
    }
    out.push_str(&format!("\nNext: edgectl models sign {dir} --key KEY; edgectl models install {dir}\n"));
    out
}

#[cfg(test)]
mod tests {
    use edge_wire::bring::Measure;

    use super::*;

    #[test]
    fn variants_stand_in_a_table_with_what_they_lost() {
        let scored = |name: &str, top1: f64, loss: f64, ms: f64| Scored {
            variant: name.into(),
            bytes: 585_532,
            measures: vec![
                Measure { name: "top1".into(), value: Some(top1) },
                Measure { name: "top5".into(), value: None },
            ],
            loss: Some(loss),
            run_p50_ms: ms,
            run_p95_ms: ms * 2.0,
            per_second: 1000.0 / ms,
            ..Scored::default()
        };
        let failed = Scored { variant: "fp16".into(), error: "no kernel".into(), ..Scored::default() };
        let left = |line| LeftOut { file: "labels/a.txt".into(), line, why: "class 7: the model has 0..=1".into() };
        let text = evaluated(&Evaluated {
            name: "a".into(),
            version: "1.0.0".into(),
            task: "classification".into(),
            against: "labels".into(),
            measure: "top1".into(),
            samples: 200,
            variants: vec![scored("fp32", 0.9, 0.0, 2.0), scored("int8", 0.891, 0.01, 0.5), failed],
            left_out: (0..12).map(left).collect(),
            remarks: vec!["no top5".into()],
            ..Evaluated::default()
        });
        let wanted = [
            "a:1.0.0, classification: 200 samples, held against their labels",
            "VARIANT    top1  top5    LOST  P50 MS  P95 MS  PER S       SIZE",
            "fp32     0.9000     -  0.00 %    2.00    4.00    500  571.8 KiB",
            "int8     0.8910     -  1.00 %   0.500    1.00   2000  571.8 KiB",
            "fp16          -     -       -       0       0      0        0 B",
            "fp16: no kernel",
            "Left out: 12",
            "  labels/a.txt: class 7: the model has 0..=1",
            "  labels/a.txt, line 1: class 7: the model has 0..=1",
            "  and 2 more (--json has all)",
            "Note: no top5",
        ];
        for line in wanted {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }
}
