//! Maps drawn by hand, and what is found in them.

use std::f64::consts::PI;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::Datatype;

fn recipe() -> BoxesRecipe {
    BoxesRecipe {
        tensor: "y".into(),
        threshold: 0.3,
        dilate: false,
        min_size: 3,
        box_threshold: 0.5,
        unclip_ratio: 0.0,
        max_candidates: 100,
        max_boxes: 50,
    }
}

fn frame(width: u32, height: u32) -> Frame {
    Frame {
        width,
        height,
        scaled_width: width,
        scaled_height: height,
        left: 0,
        top: 0,
        tensor_width: width,
        tensor_height: height,
    }
}

/// A map of a tensor's size, as bytes.
struct Drawn {
    width: u32,
    height: u32,
    values: Vec<f32>,
}

impl Drawn {
    fn new(width: u32, height: u32) -> Drawn {
        Drawn { width, height, values: vec![0.0; (width * height) as usize] }
    }

    /// Gives every pixel for which `inside` holds this probability.
    fn fill(mut self, value: f32, inside: impl Fn(f64, f64) -> bool) -> Drawn {
        for (at, place) in (0u32..).zip(&mut self.values) {
            let (x, y) = (at % self.width, at / self.width);
            if inside(f64::from(x), f64::from(y)) {
                *place = value;
            }
        }
        self
    }

    /// Columns `x.0..=x.1` of rows `y.0..=y.1`.
    fn block(self, value: f32, x: (u32, u32), y: (u32, u32)) -> Drawn {
        let within = |at: f64, (low, high): (u32, u32)| (f64::from(low)..=f64::from(high)).contains(&at);
        self.fill(value, move |at_x, at_y| within(at_x, x) && within(at_y, y))
    }

    fn document(&self, recipe: &BoxesRecipe, frame: Frame) -> Result<Value, MediaError> {
        let output = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, 1, -1, -1] };
        let row: Vec<u8> = self.values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let shape = [1, 1, i64::from(self.height), i64::from(self.width)];
        let document = Boxes::new(recipe.clone(), &output).unwrap().document(&row, &shape, frame)?;
        Ok(serde_json::from_str(&document).unwrap())
    }

    /// What is found in a picture of the map's own size.
    fn found(&self, recipe: &BoxesRecipe) -> Value {
        self.document(recipe, frame(self.width, self.height)).unwrap()
    }
}

fn polygons(document: &Value) -> Vec<Value> {
    document["boxes"].as_array().unwrap().iter().map(|found| found["polygon"].clone()).collect()
}

#[test]
fn a_block_is_a_box_with_its_mean() {
    let map = Drawn::new(40, 30).block(0.75, (5, 20), (8, 12)).block(0.5, (5, 20), (10, 10));
    let expected = json!({
        "width": 40, "height": 30,
        "boxes": [{"polygon": [[5, 8], [20, 8], [20, 12], [5, 12]], "score": 0.7}],
    });
    assert_eq!(map.found(&recipe()), expected);
}

#[test]
fn a_picture_without_text_has_no_boxes() {
    let empty = json!({"width": 8, "height": 8, "boxes": []});
    for value in [0.0, 0.3] {
        assert_eq!(Drawn::new(8, 8).block(value, (0, 7), (0, 7)).found(&recipe()), empty);
    }
}

#[test]
fn what_is_small_or_unlikely_is_dropped() {
    let of_height = |rows: u32| Drawn::new(40, 30).block(0.75, (5, 20), (8, 7 + rows));
    assert_eq!(polygons(&of_height(3).found(&recipe())).len(), 0, "three pixels from the first to the last are two");
    assert_eq!(polygons(&of_height(4).found(&recipe())).len(), 1);
    assert_eq!(polygons(&of_height(1).found(&recipe())).len(), 0);
    let of_value = |value: f32| Drawn::new(40, 30).block(value, (5, 20), (8, 14));
    assert_eq!(polygons(&of_value(0.49).found(&recipe())).len(), 0);
    assert_eq!(polygons(&of_value(0.5).found(&recipe())).len(), 1);
}

#[test]
fn a_box_grows_by_its_area_over_its_circumference_and_not_beyond_the_picture() {
    let map = Drawn::new(60, 30).block(0.75, (4, 34), (10, 20));
    let grown = |unclip_ratio: f32| polygons(&map.found(&BoxesRecipe { unclip_ratio, ..recipe() }));
    // 30 x 10, circumference 80.
    assert_eq!(grown(0.8), [json!([[1, 7], [37, 7], [37, 23], [1, 23]])]);
    assert_eq!(grown(4.0), [json!([[0, 0], [49, 0], [49, 29], [0, 29]])]);
}

#[test]
fn a_gap_of_one_pixel_closes_where_the_recipe_says_so() {
    let map = Drawn::new(40, 30).block(0.75, (5, 12), (8, 14)).block(0.75, (14, 20), (8, 14));
    assert_eq!(polygons(&map.found(&recipe())).len(), 2);
    let closed = map.found(&BoxesRecipe { dilate: true, ..recipe() });
    assert_eq!(polygons(&closed), [json!([[5, 8], [21, 8], [21, 15], [5, 15]])]);
    let far = Drawn::new(40, 30).block(0.75, (5, 12), (8, 14)).block(0.75, (15, 20), (8, 14));
    assert_eq!(polygons(&far.found(&BoxesRecipe { dilate: true, ..recipe() })).len(), 2);
}

#[test]
fn pixels_that_touch_by_a_corner_are_of_one_area() {
    // Two arms that meet only below, with something between them that meets neither.
    let arms = Drawn::new(40, 30)
        .block(0.75, (2, 6), (2, 20))
        .block(0.75, (20, 24), (2, 20))
        .block(0.75, (2, 24), (18, 20))
        .block(0.75, (10, 14), (2, 8));
    let low = BoxesRecipe { box_threshold: 0.0, ..recipe() };
    let expected = [json!([[2, 2], [24, 2], [24, 20], [2, 20]]), json!([[10, 2], [14, 2], [14, 8], [10, 8]])];
    assert_eq!(polygons(&arms.found(&low)).len(), 2);
    assert!(expected.iter().all(|wanted| polygons(&arms.found(&low)).contains(wanted)));
    let apart = |by: u32| Drawn::new(40, 30).block(0.75, (2, 8), (2, 8)).block(0.75, (8 + by, 14), (9, 15));
    assert_eq!([polygons(&apart(1).found(&low)).len(), polygons(&apart(2).found(&low)).len()], [1, 2]);
}

#[test]
fn a_turned_block_is_found_at_its_angle() {
    for degrees in [-40.0, -14.0, 3.0, 30.0, 44.0] {
        let (sin, cos) = (degrees * PI / 180.0_f64).sin_cos();
        let along = |x: f64, y: f64| (x - 60.0) * cos + (y - 60.0) * sin;
        let across = |x: f64, y: f64| (y - 60.0) * cos - (x - 60.0) * sin;
        let map = Drawn::new(120, 120).fill(0.75, |x, y| along(x, y).abs() <= 40.0 && across(x, y).abs() <= 8.0);
        let found = map.found(&BoxesRecipe { box_threshold: 0.6, ..recipe() });
        let [polygon] = &polygons(&found)[..] else { panic!("{degrees}: {found}") };
        for (at, (long, short)) in [(-40.0, -8.0), (40.0, -8.0), (40.0, 8.0), (-40.0, 8.0)].into_iter().enumerate() {
            let (x, y) = (60.0 + long * cos - short * sin, 60.0 + long * sin + short * cos);
            let (found_x, found_y) = (polygon[at][0].as_f64().unwrap(), polygon[at][1].as_f64().unwrap());
            let off = (found_x - x).hypot(found_y - y);
            assert!(off < 2.0, "{degrees} degrees, corner {at}: {polygon}, wanted {x:.1}, {y:.1}");
        }
    }
}

#[test]
fn boxes_come_row_by_row_and_each_row_from_the_left() {
    let places = [(60, 4), (4, 7), (30, 6), (4, 30), (50, 41), (4, 40)];
    let map = places.into_iter().fold(Drawn::new(100, 60), |map, (x, y)| map.block(0.75, (x, x + 15), (y, y + 7)));
    let corners: Vec<Value> = polygons(&map.found(&recipe())).iter().map(|polygon| polygon[0].clone()).collect();
    assert_eq!(json!(corners), json!([[4, 7], [30, 6], [60, 4], [4, 30], [4, 40], [50, 41]]));
}

#[test]
fn boxes_are_brought_back_to_the_pixels_of_the_picture() {
    // A picture of 80 x 40 at half its size in a map of 48 x 24; what lies in the padding is no part of it.
    let map = Drawn::new(48, 24).block(0.75, (5, 20), (8, 14)).block(0.75, (42, 47), (2, 20));
    let small = Frame { width: 80, height: 40, scaled_width: 40, scaled_height: 20, ..frame(48, 24) };
    let document = map.document(&recipe(), small).unwrap();
    assert_eq!((&document["width"], &document["height"]), (&json!(80), &json!(40)));
    assert_eq!(polygons(&document), [json!([[10, 16], [40, 16], [40, 28], [10, 28]])]);
    // One pixel holds no box, however large it was made.
    let pixel = Frame { width: 1, height: 1, scaled_width: 48, scaled_height: 24, ..frame(48, 24) };
    assert_eq!(map.document(&recipe(), pixel).unwrap(), json!({"width": 1, "height": 1, "boxes": []}));
}

#[test]
fn what_is_beyond_the_limits_is_left_out_and_told() {
    let sizes = (0..6u32).map(|at| (at, 8 + at));
    let map = sizes.fold(Drawn::new(40, 100), |map, (at, width)| {
        let value = if at == 5 { 0.6 } else { 0.9 };
        map.block(value, (2, 2 + width), (2 + at * 12, 9 + at * 12))
    });
    let all = map.found(&recipe());
    assert_eq!((polygons(&all).len(), all.get("left_out")), (6, None));
    // The largest areas are looked at, the surest boxes are given.
    let fewer = map.found(&BoxesRecipe { max_candidates: 4, max_boxes: 4, ..recipe() });
    assert_eq!((polygons(&fewer).len(), &fewer["left_out"]), (4, &json!(2)));
    assert_eq!(polygons(&fewer)[0][0], json!([2, 26]));
    let fewer = map.found(&BoxesRecipe { max_candidates: 4, max_boxes: 3, ..recipe() });
    assert_eq!((polygons(&fewer).len(), &fewer["left_out"]), (3, &json!(3)));
    assert_eq!(polygons(&fewer)[2][0], json!([2, 50]), "the unlikely one is last and goes");
}

#[test]
fn a_map_that_is_none_is_the_models_fault() {
    let map = Drawn::new(8, 8);
    let wrong = map.document(&recipe(), frame(9, 8)).unwrap_err().to_string();
    assert_eq!(wrong, "the map has the shape [1, 1, 8, 8], the picture 9 x 8");
    let broken = Drawn::new(8, 8).block(f32::NAN, (3, 3), (2, 2)).document(&recipe(), frame(8, 8)).unwrap_err();
    assert_eq!(broken.to_string(), "row 2 of the map holds values that are no numbers");
    for (datatype, shape) in [
        (Datatype::Fp32, vec![-1, 2, -1, -1]),
        (Datatype::Fp32, vec![-1, -1, -1]),
        (Datatype::Bf16, vec![-1, 1, -1, -1]),
    ] {
        let output = TensorSpec { name: "y".into(), datatype, shape };
        assert!(Boxes::new(recipe(), &output).is_err(), "{output:?}");
    }
}

/// The areas of a map by the simplest means: fill from each pixel that is left.
fn flooded(map: &Drawn) -> Vec<Vec<(u32, u32)>> {
    let mut left: std::collections::BTreeSet<(u32, u32)> = (0..map.width * map.height)
        .filter(|at| map.values[*at as usize] > 0.3)
        .map(|at| (at / map.width, at % map.width))
        .collect();
    let mut areas = Vec::new();
    while let Some(first) = left.pop_first() {
        let (mut area, mut open) = (vec![first], vec![first]);
        while let Some((y, x)) = open.pop() {
            for near in (y.saturating_sub(1)..=y + 1).flat_map(|y| (x.saturating_sub(1)..=x + 1).map(move |x| (y, x))) {
                if left.remove(&near) {
                    area.push(near);
                    open.push(near);
                }
            }
        }
        area.sort_unstable();
        areas.push(area);
    }
    areas
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn areas_are_those_that_a_flood_finds(
        width in 1..24u32, height in 1..16u32, dots in prop::collection::vec(any::<bool>(), 24 * 16),
    ) {
        let mut map = Drawn::new(width, height);
        map.values.iter_mut().zip(dots).for_each(|(value, dot)| *value = if dot { 0.9 } else { 0.1 });
        let bytes: Vec<u8> = map.values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let view = Map { bytes: &bytes, stride: width as usize, width: width as usize, height: height as usize };
        let (found, left_out) = areas(&view, &BoxesRecipe { max_candidates: 10_000, ..recipe() });
        let ends = |area: &Vec<(u32, u32)>| -> Vec<(f64, f64)> {
            area.chunk_by(|a, b| a.0 == b.0)
                .flat_map(|row| [row[0], row[row.len() - 1]])
                .map(|(y, x)| (f64::from(x), f64::from(y)))
                .collect()
        };
        let expected: Vec<_> = flooded(&map).iter().map(ends).collect();
        let outlines: Vec<Vec<_>> =
            found.iter().map(|area| area.outline.iter().map(|point| (point.x, point.y)).collect()).collect();
        prop_assert_eq!((outlines, left_out), (expected, 0));
    }

    #[test]
    fn no_map_makes_it_panic_and_no_box_leaves_the_picture(
        (width, height) in (1..40u32, 1..40u32),
        values in prop::collection::vec(0f32..1.0, 40 * 40),
        (inner, outer) in ((1..=40u32, 1..=40u32), (1..5000u32, 1..5000u32)),
        unclip_ratio in 0f32..10.0,
    ) {
        let mut map = Drawn::new(width, height);
        map.values.iter_mut().zip(values).for_each(|(value, given)| *value = given);
        let frame = Frame {
            left: 0,
            top: 0,
            width: outer.0, height: outer.1, scaled_width: inner.0.min(width), scaled_height: inner.1.min(height),
            tensor_width: width, tensor_height: height,
        };
        let rules = BoxesRecipe { min_size: 1, box_threshold: 0.0, unclip_ratio, ..recipe() };
        let document = map.document(&rules, frame).unwrap();
        for polygon in polygons(&document) {
            for corner in polygon.as_array().unwrap() {
                prop_assert!(corner[0].as_u64().unwrap() < u64::from(outer.0), "{}", document);
                prop_assert!(corner[1].as_u64().unwrap() < u64::from(outer.1), "{}", document);
            }
        }
    }
}
