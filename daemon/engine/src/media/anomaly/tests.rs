//! Tables of maps and scores with known answers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bundle::OutlinesRecipe;
use crate::media::given::{Given, all, letterboxed};

fn recipe() -> AnomalyRecipe {
    AnomalyRecipe {
        map: Some("map".into()),
        score: None,
        min: 10.0,
        max: 20.0,
        threshold: 0.5,
        pixel_threshold: None,
        quantile: 1.0,
        outlines: OutlinesRecipe { min_area: 0.0, tolerance: 0.0, ..OutlinesRecipe::default() },
    }
}

fn document(recipe: AnomalyRecipe, given: &[Given], row: usize) -> Result<Value, MediaError> {
    let (specs, answers) = all(given);
    let text = Anomaly::new(recipe, &specs)?.document(&answers, row, letterboxed())?;
    Ok(serde_json::from_str(&text).unwrap())
}

/// A map of 4 x 4 for a tensor of 100 x 100 whose middle two rows show the picture. The padding is worst of all.
const MAP: [f32; 16] = [99.0, 99.0, 99.0, 99.0, 11.0, 16.0, 18.0, 9.0, 10.0, 12.0, 14.0, 15.0, 99.0, 99.0, 99.0, 99.0];

fn map(shape: &[i64]) -> Given {
    Given::floats("map", shape, &MAP)
}

#[test]
fn a_map_is_told_in_regions_with_their_peaks_and_the_padding_is_not_looked_at() {
    for shape in [&[1, 1, 4, 4][..], &[1, 4, 4]] {
        let wanted = json!({
            "width": 200, "height": 100, "score": 0.8, "anomalous": true, "threshold": 0.5, "peak": [125.0, 25.0],
            "regions": [
                {"score": 0.8, "area": 0.25, "polygon": [[150.0, 0.0], [150.0, 50.0], [50.0, 50.0], [50.0, 0.0]]},
                {"score": 0.5, "area": 0.125, "polygon": [[200.0, 50.0], [200.0, 100.0], [150.0, 100.0], [150.0, 50.0]]},
            ],
        });
        let found = document(recipe(), &[map(shape)], 0).unwrap();
        // FP32 in JSON: 0.8 is what is nearest to it.
        let close = |text: &str| serde_json::from_str::<Value>(&text.replace("0.800000011920929", "0.8")).unwrap();
        assert_eq!(close(&found.to_string()), wanted);
    }
    let calm = document(AnomalyRecipe { threshold: 0.9, ..recipe() }, &[map(&[1, 4, 4])], 0).unwrap();
    assert_eq!((&calm["anomalous"], &calm["regions"]), (&json!(false), &json!([])));
    let apart = AnomalyRecipe { threshold: 0.9, pixel_threshold: Some(0.7), ..recipe() };
    let apart = document(apart, &[map(&[1, 4, 4])], 0).unwrap();
    assert_eq!((&apart["anomalous"], apart["regions"].as_array().unwrap().len()), (&json!(false), 1));
}

#[test]
fn the_score_of_the_whole_is_the_models_own_or_read_off_the_map() {
    let score = |recipe: AnomalyRecipe, given: &[Given], row| {
        let document = document(recipe, given, row).unwrap();
        (document["score"].as_f64().unwrap() * 1e4).round() / 1e4
    };
    for (quantile, wanted) in [(1.0, 0.8), (0.875, 0.6), (0.5, 0.2), (0.0, 0.0)] {
        assert_eq!(score(AnomalyRecipe { quantile, ..recipe() }, &[map(&[1, 4, 4])], 0), wanted, "{quantile}");
    }
    let own = || AnomalyRecipe { score: Some("score".into()), ..recipe() };
    for shape in [&[2][..], &[2, 1]] {
        let given =
            [Given::floats("score", shape, &[13.0, 99.0]), Given::floats("map", &[2, 4, 4], &[MAP, MAP].concat())];
        assert_eq!((score(own(), &given, 0), score(own(), &given, 1)), (0.3, 1.0), "{shape:?}");
        let alone = AnomalyRecipe { map: None, ..own() };
        assert_eq!(score(alone.clone(), &given, 0), 0.3);
        assert_eq!(document(alone, &given, 0).unwrap()["peak"], Value::Null);
    }
    let halves = Given::halves("score", &[1], &[12.5]);
    assert_eq!(score(AnomalyRecipe { map: None, ..own() }, &[halves], 0), 0.25);
}

#[test]
fn what_is_no_number_is_no_peak_and_a_score_of_none_is_an_error() {
    let mut numbers = MAP;
    numbers[6] = f32::NAN;
    numbers[5] = f32::INFINITY;
    let found = document(recipe(), &[Given::floats("map", &[1, 4, 4], &numbers)], 0).unwrap();
    assert_eq!((&found["score"], &found["peak"]), (&json!(1.0), &json!([75.0, 25.0])));
    let none = Given::floats("map", &[1, 4, 4], &[f32::NAN; 16]);
    assert!(document(recipe(), &[none], 0).unwrap_err().to_string().contains("the score is no number"));
    let own = AnomalyRecipe { map: None, score: Some("score".into()), ..recipe() };
    assert!(document(own, &[Given::floats("score", &[1], &[f32::NAN])], 0).is_err());
}

#[test]
fn outputs_that_do_not_fit_are_refused_by_name() {
    for (given, said) in [
        (Given::floats("map", &[1, 2, 4, 4], &[0.0; 32]), "output.map: the output map is FP32 of [1, 2, 4, 4]"),
        (Given::bytes("map", &[1, 4, 4], &[0; 16]), "need FP32 or FP16 of [-1, 1, -1, -1] or [-1, -1, -1]"),
        (Given::floats("other", &[1, 4, 4], &[0.0; 16]), "the graph has no map"),
        (Given::floats("map", &[1, 0, 4], &[]), "a map of 4 x 0"),
    ] {
        let found = document(recipe(), &[given], 0).unwrap_err().to_string();
        assert!(found.contains(said), "{found}");
    }
    assert!(document(recipe(), &[map(&[1, 4, 4])], 1).is_err());
}

proptest! {
    #[test]
    fn scores_are_shares_whatever_the_model_says(
        raw in prop::collection::vec(prop_oneof![Just(f32::NAN), Just(f32::INFINITY), -1e30f32..1e30, 0.0f32..30.0], 25),
    ) {
        let Ok(found) = document(recipe(), &[Given::floats("map", &[1, 5, 5], &raw)], 0) else { return Ok(()) };
        let share = |value: &Value| value.as_f64().is_some_and(|score| (0.0..=1.0).contains(&score));
        prop_assert!(share(&found["score"]));
        for region in found["regions"].as_array().unwrap() {
            prop_assert!(share(&region["score"]) && region["score"].as_f64().unwrap() >= 0.5 && share(&region["area"]));
        }
    }
}
