//! Tables of maps with known answers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bundle::OutlinesRecipe;
use crate::media::given::{Given, all, letterboxed};

fn recipe(labels: &[&str]) -> SegmentationRecipe {
    SegmentationRecipe {
        tensor: "y".into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        background: None,
        layout: Layout::Nchw,
        activation: Activation::None,
        threshold: None,
        outlines: OutlinesRecipe { min_area: 0.0, tolerance: 0.0, ..OutlinesRecipe::default() },
    }
}

fn document(recipe: SegmentationRecipe, given: &Given, row: usize) -> Result<Value, MediaError> {
    let (specs, answers) = all(std::slice::from_ref(given));
    let text = Segmentation::new(recipe, &specs)?.document(&answers, row, letterboxed())?;
    Ok(serde_json::from_str(&text).unwrap())
}

/// Labels with scores and the first and third corners of their outlines.
fn told(document: &Value) -> Vec<(String, Option<f64>, f64, usize)> {
    let region = |region: &Value| {
        let score = region.get("score").map(|score| (score.as_f64().unwrap() * 1e4).round() / 1e4);
        let corners = region["polygon"].as_array().unwrap().len();
        (region["label"].as_str().unwrap().to_owned(), score, region["area"].as_f64().unwrap(), corners)
    };
    document["regions"].as_array().unwrap().iter().map(region).collect()
}

/// A map of 4 x 4 for a tensor of 100 x 100 whose middle two rows show the picture: `a` on the left half of them, `b` on the
/// right, and something in the padding.
const A: [f32; 16] = [9.0, 9.0, 9.0, 9.0, 3.0, 1.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 9.0, 9.0, 9.0, 9.0];
const B: [f32; 16] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];

#[test]
fn the_best_label_of_each_cell_holds_and_its_scores_are_those_of_the_recipe() {
    let by_plane = [A, B].concat();
    let by_cell: Vec<f32> = A.iter().zip(B).flat_map(|(a, b)| [*a, b]).collect();
    let planes = Given::floats("y", &[1, 2, 4, 4], &by_plane);
    let soft = |x: f64| x.exp() / (x.exp() + 1.0);
    let round = |number: f64| (number * 1e4).round() / 1e4;
    for (activation, a, b) in [
        (Activation::None, 2.0, 1.0),
        (Activation::Sigmoid, (soft(3.0) + soft(1.0) + 2.0 * soft(2.0)) / 4.0, soft(1.0)),
        (Activation::Softmax, (soft(3.0) + soft(1.0) + 2.0 * soft(2.0)) / 4.0, soft(1.0)),
    ] {
        let wanted = [("a".into(), Some(round(a)), 0.5, 4), ("b".into(), Some(round(b)), 0.5, 4)];
        let recipe = SegmentationRecipe { activation, ..recipe(&["a", "b"]) };
        assert_eq!(told(&document(recipe.clone(), &planes, 0).unwrap()), wanted, "{activation:?}");
        let halves = Given::halves("y", &[1, 2, 4, 4], &by_plane);
        assert_eq!(told(&document(recipe.clone(), &halves, 0).unwrap()), wanted, "{activation:?}");
        let recipe = SegmentationRecipe { layout: Layout::Nhwc, ..recipe };
        let cells = Given::floats("y", &[1, 4, 4, 2], &by_cell);
        assert_eq!(told(&document(recipe, &cells, 0).unwrap()), wanted, "{activation:?}");
    }
    let document = document(recipe(&["a", "b"]), &planes, 0).unwrap();
    assert_eq!((&document["width"], &document["height"]), (&json!(200), &json!(100)));
    assert_eq!(document["coverage"], json!([{"label": "a", "area": 0.5}, {"label": "b", "area": 0.5}]));
    let corners = json!([[100.0, 0.0], [100.0, 100.0], [0.0, 100.0], [0.0, 0.0]]);
    assert_eq!(document["regions"][0]["polygon"], corners);
    assert!(document.get("left_out").is_none() && document["regions"][0].get("holes").is_none());
}

#[test]
fn the_background_is_not_told_and_neither_is_what_is_not_sure_enough() {
    let planes = Given::floats("y", &[1, 2, 4, 4], &[A, B].concat());
    let without = SegmentationRecipe { background: Some("b".into()), ..recipe(&["a", "b"]) };
    let found = document(without, &planes, 0).unwrap();
    assert_eq!(told(&found), [("a".into(), Some(2.0), 0.5, 4)]);
    assert_eq!(found["coverage"], json!([{"label": "a", "area": 0.5}]));
    let sure = SegmentationRecipe { threshold: Some(0.95), activation: Activation::Sigmoid, ..recipe(&["a", "b"]) };
    assert_eq!(told(&document(sure, &planes, 0).unwrap()).len(), 1);
    // One label: from a half on, unless the recipe says otherwise.
    let one = |threshold, shape: &[i64]| {
        let recipe = SegmentationRecipe { threshold, activation: Activation::Sigmoid, ..recipe(&["a"]) };
        let shifted: Vec<f32> = A.iter().map(|score| score - 1.5).collect();
        told(&document(recipe, &Given::floats("y", shape, &shifted), 0).unwrap()).iter().map(|one| one.2).sum::<f64>()
    };
    for shape in [&[1, 1, 4, 4][..], &[1, 4, 4]] {
        assert_eq!((one(None, shape), one(Some(0.3), shape), one(Some(0.9), shape)), (0.375, 0.5, 0.0));
    }
}

#[test]
fn places_of_labels_are_taken_as_they_are() {
    let places = [0, 0, 0, 0, 1, 1, 2, 2, 1, 1, 7, 255, 0, 0, 0, 0];
    let bytes = places.map(|place| u8::try_from(place).unwrap());
    let wide = places.map(|place| if place == 255 { -1 } else { i64::from(place) });
    let recipe = || SegmentationRecipe { background: Some("a".into()), ..recipe(&["a", "b", "c"]) };
    for given in [
        Given::bytes("y", &[1, 4, 4], &bytes),
        Given::bytes("y", &[1, 1, 4, 4], &bytes),
        Given::whole("y", &[1, 4, 4], &wide),
    ] {
        let found = told(&document(recipe(), &given, 0).unwrap());
        assert_eq!(found, [("b".into(), None, 0.5, 4), ("c".into(), None, 0.25, 4)]);
    }
    let scored = SegmentationRecipe { threshold: Some(0.5), ..recipe() };
    let said = document(scored, &Given::bytes("y", &[1, 4, 4], &bytes), 0).unwrap_err().to_string();
    assert!(said.contains("output.threshold: y has places of labels and no scores"), "{said}");
}

#[test]
fn each_row_of_a_batch_is_a_picture_of_its_own() {
    let two = Given::floats("y", &[2, 2, 4, 4], &[A, B, B, B.map(|score| score - 1.0)].concat());
    assert_eq!(told(&document(recipe(&["a", "b"]), &two, 0).unwrap()).len(), 2);
    assert_eq!(told(&document(recipe(&["a", "b"]), &two, 1).unwrap()), [("a".into(), Some(0.5), 1.0, 4)]);
    assert!(document(recipe(&["a", "b"]), &two, 2).is_err());
}

#[test]
fn outputs_that_do_not_fit_are_refused_by_name() {
    for (given, said) in [
        (Given::floats("y", &[1, 3, 4, 4], &[0.0; 48]), "output.tensor: the output y is FP32 of [1, 3, 4, 4]"),
        (Given::floats("y", &[1, 4, 4], &[0.0; 16]), "need FP32 or FP16 of [-1, 2, -1, -1]"),
        (Given::bytes("y", &[1, 2, 4, 4], &[0; 32]), "FP32, FP16, INT64, INT32 or UINT8 of [-1, -1, -1] or [-1, 1"),
        (Given::floats("z", &[1, 2, 4, 4], &[0.0; 32]), "the graph has no y; it has z"),
        (Given::floats("y", &[1, 2, 0, 4], &[]), "a map of 4 x 0"),
    ] {
        let found = document(recipe(&["a", "b"]), &given, 0).unwrap_err().to_string();
        assert!(found.contains(said), "{found}");
    }
}

proptest! {
    #[test]
    fn no_numbers_make_an_answer_that_is_no_json_or_has_a_score_that_is_none(
        raw in prop::collection::vec(
            prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), -1e30f32..1e30, -3.0f32..3.0], 75),
        activation in 0..3usize, halves: bool,
    ) {
        let activation = [Activation::None, Activation::Sigmoid, Activation::Softmax][activation];
        let recipe = SegmentationRecipe { activation, ..recipe(&["a", "b", "c"]) };
        let given = if halves { Given::halves } else { Given::floats };
        let document = document(recipe, &given("y", &[1, 3, 5, 5], &raw), 0).unwrap();
        for region in document["regions"].as_array().unwrap() {
            prop_assert!(region["score"].is_f64() && region["area"].as_f64().unwrap() <= 1.0, "{}", region);
        }
    }
}
