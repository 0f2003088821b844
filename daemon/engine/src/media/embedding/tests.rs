//! Tables of embeddings and sets of those that are known.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::media::given::{Given, all};

const KNOWN: &str = "{\"label\": \"bolt\", \"embedding\": [3, 4]}\n\n{\"label\": \"nut\", \"embedding\": [1, 0]}\r\n\
                     {\"label\": \"bolt\", \"embedding\": [0, 2]}";

fn recipe() -> EmbeddingRecipe {
    EmbeddingRecipe { tensor: "y".into(), normalise: false, enrolled: None, top: 5, threshold: 0.0 }
}

fn document(recipe: EmbeddingRecipe, known: &str, given: &Given, row: usize) -> Result<Value, MediaError> {
    let (specs, answers) = all(std::slice::from_ref(given));
    let enrolled = (!known.is_empty()).then(|| Enrolled::parse(known.as_bytes()).unwrap());
    let text = Embedding::new(recipe, enrolled, &specs)?.document(&answers, row)?;
    Ok(serde_json::from_str(&text).unwrap())
}

#[test]
fn an_embedding_is_told_as_it_is_or_with_the_length_1() {
    let two = Given::floats("y", &[2, 2], &[3.0, 4.0, 0.0, 0.0]);
    assert_eq!(document(recipe(), "", &two, 0).unwrap(), json!({"embedding": [3.0, 4.0]}));
    let scaled = || EmbeddingRecipe { normalise: true, ..recipe() };
    let found = document(scaled(), "", &two, 0).unwrap();
    assert!((found["embedding"][0].as_f64().unwrap() - 0.6).abs() < 1e-6, "{found}");
    assert_eq!(document(scaled(), "", &two, 1).unwrap(), json!({"embedding": [0.0, 0.0]}));
    let halves = Given::halves("y", &[1, 2], &[3.0, 4.0]);
    assert_eq!(document(recipe(), "", &halves, 0).unwrap(), json!({"embedding": [3.0, 4.0]}));
    assert!(document(recipe(), "", &two, 2).is_err());
}

#[test]
fn the_most_alike_of_those_that_are_known_come_first_and_each_label_once() {
    let given = |x, y| Given::floats("y", &[1, 2], &[x, y]);
    let told = |recipe: EmbeddingRecipe, x, y| {
        let found = document(recipe, KNOWN, &given(x, y), 0).unwrap();
        let one = |one: &Value| {
            let similarity = (one["similarity"].as_f64().unwrap() * 1e4).round() / 1e4;
            (one["label"].as_str().unwrap().to_owned(), similarity)
        };
        let matches: Vec<_> = found["matches"].as_array().unwrap().iter().map(one).collect();
        assert_eq!(found["label"], json!(matches.first().map(|best| &best.0)));
        matches
    };
    assert_eq!(told(recipe(), 0.0, 9.0), [("bolt".into(), 1.0), ("nut".into(), 0.0)]);
    assert_eq!(told(recipe(), 6.0, 8.0), [("bolt".into(), 1.0), ("nut".into(), 0.6)]);
    assert_eq!(told(recipe(), 5.0, 0.0), [("nut".into(), 1.0), ("bolt".into(), 0.6)]);
    assert_eq!(told(EmbeddingRecipe { top: 1, ..recipe() }, 5.0, 0.0), [("nut".into(), 1.0)]);
    assert_eq!(told(EmbeddingRecipe { threshold: 0.7, ..recipe() }, 6.0, 8.0), [("bolt".into(), 1.0)]);
    assert_eq!(told(EmbeddingRecipe { threshold: 0.1, ..recipe() }, -1.0, -1.0), []);
    assert_eq!(told(EmbeddingRecipe { threshold: -1.0, ..recipe() }, -1.0, 0.0).len(), 2);
    // It points nowhere.
    assert_eq!(told(recipe(), 0.0, 0.0), []);
}

#[test]
fn what_is_wrong_with_a_set_is_told_with_its_line() {
    let line = |text: &str| format!("{{\"label\": \"a\", \"embedding\": [1, 2]}}\n{text}");
    for (text, wanted) in [
        (String::new(), "no lines; at least one"),
        ("\n \n".into(), "no lines; at least one"),
        ("label,1,2".into(), "line 1: expected value"),
        (line("{\"label\": \"b\"}"), "line 2: missing field `embedding`"),
        (line("{\"label\": \"b\", \"embedding\": [1, 2], \"more\": 1}"), "line 2: unknown field `more`"),
        (line("{\"label\": \"\", \"embedding\": [1, 2]}"), "line 2: label: must be 1..=200"),
        (line("{\"label\": \"b\\u0007\", \"embedding\": [1, 2]}"), "line 2: label: must be 1..=200"),
        (line("{\"label\": \"b\", \"embedding\": [1, 2, 3]}"), "line 2: embedding: 3 numbers, the first line has 2"),
        ("{\"label\": \"b\", \"embedding\": []}".into(), "line 1: embedding: 0 numbers"),
        (line("{\"label\": \"b\", \"embedding\": [0, 0]}"), "line 2: embedding: must be finite numbers that are not"),
        (line("{\"label\": \"b\", \"embedding\": [1e39, 0]}"), "line 2: "),
        (line("{\"label\": \"b\", \"embedding\": [1, null]}"), "line 2: invalid type: null"),
    ] {
        let said = Enrolled::parse(text.as_bytes()).unwrap_err();
        assert!(said.contains(wanted), "{text}: {said}");
    }
    assert!(Enrolled::parse(&[0xff, 0xfe]).is_err());
}

#[test]
fn outputs_that_do_not_fit_are_refused_by_name() {
    for (given, said) in [
        (Given::floats("y", &[1, 3], &[0.0; 3]), "output.enrolled: embeddings of 2 numbers; the output y has 3"),
        (Given::floats("y", &[1, 2, 1], &[0.0; 2]), "output.tensor: the output y is FP32 of [1, 2, 1]"),
        (Given::bytes("y", &[1, 2], &[0; 2]), "need FP32 or FP16 of [-1, -1]"),
        (Given::floats("y", &[1, 20_000], &[0.0; 20_000]), "1 to 16384 are accepted"),
        (Given::floats("y", &[1, 2], &[1.0, f32::NAN]), "number 1 of the embedding is NaN"),
        (Given::floats("y", &[1, 2], &[f32::INFINITY, 1.0]), "number 0 of the embedding is inf"),
    ] {
        let found = document(recipe(), KNOWN, &given, 0).unwrap_err().to_string();
        assert!(found.contains(said), "{found}");
    }
}

proptest! {
    #[test]
    fn the_search_finds_what_a_plain_one_finds(
        raw in prop::collection::vec(-9i8..9, 37 * 40), wanted in prop::collection::vec(-9i8..9, 37), most in 1..12u32,
    ) {
        let lines: Vec<(String, Vec<f32>)> = raw.chunks(37).enumerate()
            .map(|(at, row)| (format!("l{}", at % 13), row.iter().map(|number| f32::from(*number)).collect()))
            .filter(|(_, row): &(String, Vec<f32>)| row.iter().any(|number| *number != 0.0)).collect();
        let text: String = lines.iter()
            .map(|(label, row)| json!({"label": label, "embedding": row}).to_string() + "\n").collect();
        let wanted: Vec<f32> = wanted.iter().map(|number| f32::from(*number)).collect();
        let given = Given::floats("y", &[1, 37], &wanted);
        let recipe = EmbeddingRecipe { top: most, threshold: -1.0, ..recipe() };
        let found = document(recipe, &text, &given, 0).unwrap();
        let length = |row: &[f32]| row.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        if length(&wanted) == 0.0 {
            prop_assert_eq!(&found["matches"], &json!([]));
            return Ok(());
        }
        let cosine = |row: &[f32]| {
            let sum: f64 = row.iter().zip(&wanted).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            sum / length(row) / length(&wanted)
        };
        let mut plain = std::collections::BTreeMap::new();
        for (label, row) in &lines {
            let best = plain.entry(label.as_str()).or_insert(f64::NEG_INFINITY);
            *best = best.max(cosine(row));
        }
        let mut plain: Vec<f64> = plain.into_values().collect();
        plain.sort_by(|a, b| b.total_cmp(a));
        plain.truncate(usize::try_from(most).unwrap());
        let matches = found["matches"].as_array().unwrap();
        prop_assert_eq!(matches.len(), plain.len());
        for (one, wanted) in matches.iter().zip(plain) {
            prop_assert!((one["similarity"].as_f64().unwrap() - wanted).abs() < 1e-5);
        }
    }
}
