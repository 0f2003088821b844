//! How much is found in texts that others labelled: `daemon/testdata/personal`. With `EDGE_PERSONAL` the name of another file of
//! that form is taken, and only the table printed.

use std::fmt::Write as _;

use super::super::*;

#[derive(serde::Deserialize)]
struct Labelled {
    text: String,
    found: Vec<(String, usize, usize)>,
}

/// Of one kind: labelled and found, labelled and missed, found and not labelled.
#[derive(Default)]
struct Score {
    hits: usize,
    missed: Vec<String>,
    wrong: Vec<String>,
}

impl Score {
    fn recall(&self) -> f64 {
        share(self.hits, self.missed.len())
    }

    fn precision(&self) -> f64 {
        share(self.hits, self.wrong.len())
    }
}

fn share(hits: usize, others: usize) -> f64 {
    hits as f64 / (hits + others).max(1) as f64
}

/// A label counts as found if one finding of its kind covers it; a finding is wrong if it meets no label of its kind.
fn measure(lines: &str) -> BTreeMap<String, Score> {
    let detectors = Detectors::new(&BTreeMap::new()).unwrap();
    let mut scores: BTreeMap<String, Score> =
        BUILT_IN.into_iter().map(|kind| (kind.to_owned(), Score::default())).collect();
    let mut findings = Vec::new();
    for line in lines.lines() {
        let labelled: Labelled = serde_json::from_str(line).unwrap();
        let text = &labelled.text;
        detectors.find(text, "", &mut findings);
        let place = |characters: usize| text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
        let labels: Vec<(&str, usize, usize)> =
            labelled.found.iter().map(|(kind, from, to)| (kind.as_str(), place(*from), place(*to))).collect();
        for (kind, from, to) in &labels {
            let score = scores.get_mut(*kind).unwrap();
            let hit = |finding: &Finding| {
                detectors.word(finding.kind) == *kind && finding.start <= *from && *to <= finding.end
            };
            if findings.iter().any(hit) { score.hits += 1 } else { score.missed.push(text[*from..*to].to_owned()) }
        }
        for finding in &findings {
            let word = detectors.word(finding.kind);
            if !labels.iter().any(|(kind, from, to)| *kind == word && finding.start < *to && *from < finding.end) {
                scores.get_mut(word).unwrap().wrong.push(text[finding.start..finding.end].to_owned());
            }
        }
    }
    scores
}

fn table(scores: &BTreeMap<String, Score>) -> String {
    let mut table = String::new();
    for (kind, score) in scores {
        let (recall, precision) = (score.recall(), score.precision());
        writeln!(
            table,
            "{kind}: {} labels, recall {recall:.3}, precision {precision:.3}",
            score.hits + score.missed.len()
        )
        .unwrap();
        writeln!(table, "  missed {:?}\n  wrong {:?}", score.missed, score.wrong).unwrap();
    }
    table
}

#[test]
fn recall_and_precision_on_labelled_texts_hold_their_floors() {
    if let Ok(path) = std::env::var("EDGE_PERSONAL") {
        println!("{}", table(&measure(&std::fs::read_to_string(path).unwrap())));
        return;
    }
    let scores = measure(include_str!("../../../../testdata/personal/sample.jsonl"));
    for (kind, recall, precision) in [
        ("card", 0.95, 0.95),
        ("iban", 0.95, 0.95),
        ("email", 0.95, 0.95),
        ("ip", 0.95, 0.95),
        ("national_id", 0.95, 0.95),
        ("phone", 0.90, 0.90),
    ] {
        let score = &scores[kind];
        assert!(score.recall() >= recall && score.precision() >= precision, "{kind}\n{}", table(&scores));
    }
}
