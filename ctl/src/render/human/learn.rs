//! What was learnt of a table of outcomes, for people.

use edge_wire::learn::{Learnt, TaskGain};

use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{bytes, count, percent};

/// Tasks that are told one by one.
const MOST_TOLD: usize = 10;

/// How good it is, what is promised of it, and what to do with it.
pub fn learnt(learnt: &Learnt) -> String {
    let mut out = paragraph("", &headline(learnt));
    out.push('\n');
    out.push_str(&field("rows", &rows(learnt)));
    let (weak, strong) = (percent(learnt.weak_quality.into()), percent(learnt.strong_quality.into()));
    out.push_str(&field("quality", &format!("{weak} on the box, {strong} at the stronger site")));
    out.push_str(&field("curve", &curve(learnt)));
    for (label, text) in promise(learnt) {
        out.push_str(&field(label, &text));
    }
    out.push_str(&tasks(&learnt.tasks));
    for remark in &learnt.remarks {
        out.push('\n');
        out.push_str(&paragraph("Note: ", &clean(remark)));
    }
    out.push_str(&next(learnt));
    out
}

fn headline(learnt: &Learnt) -> String {
    let table = clean(&learnt.table);
    match learnt.path.as_str() {
        "" => format!("learnt from {table}, and nothing written: nothing can be promised of it"),
        path => format!("learnt from {table}: {}, {}", clean(path), bytes(learnt.bytes)),
    }
}

fn rows(learnt: &Learnt) -> String {
    let Learnt { rows_read, rows_trained, rows_held_out, rows_tested, .. } = learnt;
    let tested = match rows_tested {
        0 => String::new(),
        tested => format!("; tested on {tested} of those that teach, each scored by a model that had not seen it"),
    };
    format!("{rows_read} read: {rows_trained} teach, {rows_held_out} choose the threshold{tested}")
}

fn curve(learnt: &Learnt) -> String {
    match learnt.apgr.zip(learnt.kept_local) {
        Some((apgr, kept)) => format!(
            "APGR {apgr:.3} (0.5 is chance); {} of the calls could stay at 95% of the site's quality",
            percent(kept)
        ),
        None => "none: the stronger site gains nothing".into(),
    }
}

/// The threshold with its guarantee, line by line.
fn promise(learnt: &Learnt) -> Vec<(&'static str, String)> {
    let Learnt { target_loss, confidence, .. } = learnt;
    let promised = format!("a mean loss of at most {target_loss} over all requests, with a confidence of {confidence}");
    let Some(guarantee) = &learnt.guarantee else {
        return vec![("threshold", format!("none that promises {promised}"))];
    };
    let threshold = format!("{:.3}: a text whose expected gain is at most this stays", guarantee.threshold);
    let kept = format!(
        "{} of the {} that chose it, which lose {:.4} on average (p {:.3})",
        percent(guarantee.kept_local.into()),
        count(learnt.rows_held_out.into(), "row"),
        guarantee.loss_held_out,
        guarantee.p_value
    );
    vec![("threshold", threshold), ("promised", promised), ("kept local", kept)]
}

/// Those of which the site gains most first.
fn tasks(tasks: &[TaskGain]) -> String {
    if tasks.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<&TaskGain> = tasks.iter().collect();
    sorted.sort_by(|left, right| right.gain.total_cmp(&left.gain));
    let row = |task: &&TaskGain| {
        vec![
            format!("{:.3}", task.gain),
            format!("{:.3}", task.gain_measured),
            task.rows.to_string(),
            clean(&task.task),
        ]
    };
    let rows: Vec<Vec<String>> = sorted.iter().take(MOST_TOLD).map(row).collect();
    let head = [("GAIN", Align::Right), ("MEASURED", Align::Right), ("ROWS", Align::Right), ("TASK", Align::Left)];
    let title = "What the site gains by task, drawn towards the mean where rows are few:";
    let mut out = format!("\n{title}\n\n{}", table(&head, &rows));
    if tasks.len() > MOST_TOLD {
        out.push_str(&format!("and {} more (--json has all)\n", tasks.len() - MOST_TOLD));
    }
    out
}

/// The lines of the configuration, as they are written there.
fn next(learnt: &Learnt) -> String {
    if learnt.settings.is_empty() {
        return String::new();
    }
    let mut out = String::from("\nTo use it, in the configuration:\n\n");
    for setting in &learnt.settings {
        let (table, name) = setting.key.split_once('.').unwrap_or(("", &setting.key));
        // There may be many rules, and each has a name.
        let head =
            if table == "rule" { "  [[rule]]\n  name = \"hard-texts\"" } else { &format!("  [{}]", clean(table)) };
        out.push_str(&format!("{head}\n  {} = {}\n\n", clean(name), clean(&setting.value)));
    }
    out.push_str(&paragraph(
        "",
        "The rule may name `models` and `tasks`. Hard texts go to the sites that are `stronger`, or to those of `escalate_to`; \
         `sample` is the share of requests by which the promise is checked in use. The service has to be able to read the \
         file, and homes are closed to it: /etc/edged is a good place. Then `edgectl config check` and `edgectl reload`.",
    ));
    out
}

#[cfg(test)]
mod tests {
    use edge_wire::learn::{Guarantee, Setting};

    use super::*;

    fn sample() -> Learnt {
        let setting = |key: &str, value: &str| Setting { key: key.into(), value: value.into() };
        let task = |name: &str, gain| TaskGain { task: name.into(), rows: 40, gain_measured: 0.3, gain };
        Learnt {
            table: "outcomes.csv".into(),
            path: "quality.model".into(),
            bytes: 26_900,
            rows_read: 1000,
            rows_trained: 703,
            rows_held_out: 297,
            rows_tested: 703,
            weak_quality: 0.68,
            strong_quality: 0.806,
            apgr: Some(0.6501),
            kept_local: Some(0.524),
            target_loss: 0.05,
            confidence: 0.95,
            guarantee: Some(Guarantee { threshold: 0.0713, kept_local: 0.24, loss_held_out: 0.0231, p_value: 0.031 }),
            tasks: vec![task("law", 0.11), task("algebra\u{1b}", 0.25)],
            settings: vec![
                setting("routing.difficulty_model", "\"/srv/quality.model\""),
                setting("rule.difficulty", "true"),
            ],
            ..Learnt::default()
        }
    }

    #[test]
    fn what_was_learnt_is_told_with_its_promise_and_what_to_do_with_it() {
        let expected = "\
learnt from outcomes.csv: quality.model, 26.2 KiB

  rows       1000 read: 703 teach, 297 choose the threshold; tested on 703 of
             those that teach, each scored by a model that had not seen it
  quality    68.0% on the box, 80.6% at the stronger site
  curve      APGR 0.650 (0.5 is chance); 52.4% of the calls could stay at 95% of
             the site's quality
  threshold  0.071: a text whose expected gain is at most this stays
  promised   a mean loss of at most 0.05 over all requests, with a confidence of
             0.95
  kept local 24.0% of the 297 rows that chose it, which lose 0.0231 on average
             (p 0.031)

What the site gains by task, drawn towards the mean where rows are few:

 GAIN  MEASURED  ROWS  TASK
0.250     0.300    40  algebra\\u{1b}
0.110     0.300    40  law

To use it, in the configuration:

  [routing]
  difficulty_model = \"/srv/quality.model\"

  [[rule]]
  name = \"hard-texts\"
  difficulty = true

";
        let text = learnt(&sample());
        assert!(text.starts_with(expected), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn without_a_promise_it_says_so_and_not_how_to_use_it() {
        let text = learnt(&Learnt {
            path: String::new(),
            apgr: None,
            kept_local: None,
            rows_tested: 0,
            guarantee: None,
            settings: Vec::new(),
            remarks: vec!["take more rows".into()],
            tasks: (0..12).map(|_| TaskGain::default()).collect(),
            ..sample()
        });
        let wanted = [
            "learnt from outcomes.csv, and nothing written: nothing can be promised of it",
            "  rows       1000 read: 703 teach, 297 choose the threshold",
            "  curve      none: the stronger site gains nothing",
            "  threshold  none that promises a mean loss of at most 0.05 over all requests,",
            "and 2 more (--json has all)",
            "Note: take more rows",
        ];
        for line in wanted {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(!text.contains("configuration"), "{text}");
    }
}
