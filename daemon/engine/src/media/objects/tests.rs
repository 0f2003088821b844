//! Tables of heads: outputs with known answers, as exporters make them.

use serde_json::Value;

use super::*;
use crate::bundle::{Activation, Column, Head};
use crate::media::given::{Given, letterboxed};

fn recipe(head: Head) -> ObjectsRecipe {
    ObjectsRecipe {
        labels: vec!["bolt".into(), "nut".into()],
        threshold: 0.5,
        thresholds: [("nut".to_owned(), 0.3)].into(),
        overlap: 0.45,
        across_labels: false,
        max_objects: 10,
        head,
        masks: None,
    }
}

fn document(recipe: ObjectsRecipe, given: &[Given], row: usize) -> Result<Value, MediaError> {
    let specs: Vec<TensorSpec> = given.iter().map(Given::spec).collect();
    let answers: Vec<Answer<'_>> = given.iter().map(Given::answer).collect();
    let text = Objects::new(recipe, &specs)?.document(&answers, row, letterboxed())?;
    Ok(serde_json::from_str(&text).unwrap())
}

/// Labels with their boxes.
fn found(head: Head, given: &[Given]) -> Vec<(String, Vec<f64>)> {
    let document = document(recipe(head), given, 0).unwrap();
    let thing = |thing: &Value| {
        let sides = thing["box"].as_array().unwrap().iter().map(|side| side.as_f64().unwrap()).collect();
        (thing["label"].as_str().unwrap().to_owned(), sides)
    };
    document["objects"].as_array().unwrap().iter().map(thing).collect()
}

fn expected() -> Vec<(String, Vec<f64>)> {
    vec![("bolt".into(), vec![20.0, 10.0, 60.0, 50.0]), ("nut".into(), vec![120.0, 50.0, 160.0, 90.0])]
}

/// The two things as each head gives them: a bolt of 0.9 around (20, 40), 20 wide and 20 high in the tensor; a nut of 0.4
/// around (70, 60), as large; a bolt that is not sure enough; and one that the first one covers.
#[test]
fn every_head_gives_the_same_things() {
    let rows: [[f32; 6]; 4] = [
        [20.0, 40.0, 20.0, 20.0, 0.9, 0.1],
        [70.0, 60.0, 20.0, 20.0, 0.1, 0.4],
        [50.0, 50.0, 10.0, 10.0, 0.45, 0.2],
        [21.0, 41.0, 20.0, 20.0, 0.8, 0.1],
    ];
    let by_row = rows.concat();
    let by_plane: Vec<f32> = (0..6).flat_map(|number| rows.iter().map(move |row| row[number])).collect();
    let yolo = |objectness, planes| Head::Yolo { tensor: "y".into(), objectness, planes };
    assert_eq!(found(yolo(false, false), &[Given::floats("y", &[1, 4, 6], &by_row)]), expected());
    assert_eq!(found(yolo(false, true), &[Given::floats("y", &[1, 6, 4], &by_plane)]), expected());

    let with_there: Vec<f32> =
        rows.iter().flat_map(|[x, y, w, h, bolt, nut]| [*x, *y, *w, *h, 0.9, bolt / 0.9, nut / 0.9]).collect();
    assert_eq!(found(yolo(true, false), &[Given::floats("y", &[1, 4, 7], &with_there)]), expected());

    // Cells of 20 pixels, five by five: offsets from the cell and logarithms.
    let mut cells = vec![0f32; 25 * 7];
    let middles = super::grid::cells(&[20], 100, 100);
    for [x, y, w, h, bolt, nut] in rows {
        let (column, line) = ((x / 20.0).floor(), (y / 20.0).floor());
        let at = 7 * middles.iter().position(|cell| *cell == [column, line, 20.0]).unwrap();
        let row = [x / 20.0 - column, y / 20.0 - line, (w / 20.0).ln(), (h / 20.0).ln(), 1.0, bolt, nut];
        // The last row falls into the cell of the first one: another stride would show it.
        if cells[at + 4] == 0.0 {
            cells[at..at + 7].copy_from_slice(&row);
        }
    }
    let yolox = Head::Yolox { tensor: "y".into(), strides: vec![20] };
    assert_eq!(found(yolox, &[Given::floats("y", &[1, 25, 7], &cells)]), expected());

    let boxes: Vec<f32> = rows.iter().flat_map(|row| [row[0], row[1], row[2], row[3]].map(|at| at / 100.0)).collect();
    let logit = |share: f32| (share / (1.0 - share)).ln();
    let sigmoid: Vec<f32> = rows.iter().flat_map(|row| [logit(row[4]), logit(row[5])]).collect();
    let softmax: Vec<f32> =
        rows.iter().flat_map(|row| [row[4].ln(), row[5].ln(), (1.0 - row[4] - row[5]).max(1e-9).ln()]).collect();
    for (activation, width, scores) in [(Activation::Sigmoid, 2, sigmoid), (Activation::Softmax, 3, softmax)] {
        let head = Head::Detr { boxes: "b".into(), scores: "s".into(), activation };
        let given = [Given::floats("s", &[1, 4, width], &scores), Given::floats("b", &[1, 4, 4], &boxes)];
        assert_eq!(found(head, &given), expected(), "{activation:?}");
    }
}

#[test]
fn graphs_that_have_suppressed_already_are_read_row_by_row() {
    use Column::{Bottom, Class, Left, Other, Right, Score, Top};
    let rows = [[0.0, 10.0, 30.0, 30.0, 50.0, 0.0, 0.9], [0.0, 60.0, 50.0, 80.0, 70.0, 1.0, 0.4]];
    let columns = vec![Other, Left, Top, Right, Bottom, Class, Score];
    // Some exporters leave the batch out.
    for shape in [&[2, 7][..], &[1, 2, 7]] {
        let head = Head::Rows { tensor: "y".into(), columns: columns.clone(), unit: false };
        assert_eq!(found(head, &[Given::floats("y", shape, &rows.concat())]), expected(), "{shape:?}");
    }
    let nothing = Head::Rows { tensor: "y".into(), columns: columns.clone(), unit: false };
    assert_eq!(found(nothing, &[Given::floats("y", &[0, 7], &[])]), vec![]);

    // Rows after the count are whatever they are.
    let boxes = [0.3, 0.1, 0.5, 0.3, 0.5, 0.6, 0.7, 0.8, 0.0, 0.0, 1.0, 1.0];
    let given = [
        Given::floats("boxes", &[1, 3, 4], &boxes),
        Given::floats("scores", &[1, 3], &[0.9, 0.4, 0.9]),
        Given::whole("classes", &[1, 3], &[1, 2, 1]),
        Given::floats("count", &[1], &[2.0]),
    ];
    let head = Head::Lists {
        boxes: "boxes".into(),
        classes: "classes".into(),
        scores: "scores".into(),
        count: Some("count".into()),
        columns: vec![Top, Left, Bottom, Right],
        unit: true,
        first_label: 1,
    };
    assert_eq!(found(head, &given), expected());
}

#[test]
fn what_is_no_number_has_no_label_or_no_area_is_not_told() {
    let columns = vec![Column::Left, Column::Top, Column::Right, Column::Bottom, Column::Score, Column::Class];
    let head = || Head::Rows { tensor: "y".into(), columns: columns.clone(), unit: false };
    for row in [
        [10.0, 30.0, 30.0, 50.0, f32::NAN, 0.0],
        [f32::NAN, 30.0, 30.0, 50.0, 0.9, 0.0],
        [f32::INFINITY, 30.0, 30.0, 50.0, 0.9, 0.0],
        [10.0, 30.0, 30.0, 50.0, 0.9, 2.0],
        [10.0, 30.0, 30.0, 50.0, 0.9, -1.0],
        [30.0, 30.0, 10.0, 50.0, 0.9, 0.0],
        // In the padding above the picture.
        [10.0, 3.0, 30.0, 20.0, 0.9, 0.0],
    ] {
        assert_eq!(found(head(), &[Given::floats("y", &[1, 1, 6], &row)]), vec![], "{row:?}");
    }
}

#[test]
fn outputs_that_do_not_fit_the_recipe_are_refused_by_name() {
    let yolo = || Head::Yolo { tensor: "y".into(), objectness: false, planes: false };
    let refused = |given: Given| document(recipe(yolo()), &[given], 0).unwrap_err().to_string();
    let said = refused(Given::floats("y", &[1, 4, 7], &[0.0; 28]));
    assert!(
        said.contains("output.head.tensor") && said.contains("[1, 4, 7]") && said.contains("[-1, -1, 6]"),
        "{said}"
    );
    let said = refused(Given::whole("y", &[1, 4, 6], &[0; 24]));
    assert!(said.contains("INT64 of [1, 4, 6]") && said.contains("need FP32"), "{said}");
    let said = refused(Given::floats("other", &[1, 4, 6], &[0.0; 24]));
    assert!(said.contains("the graph has no y; it has other"), "{said}");
    assert!(document(recipe(yolo()), &[Given::floats("y", &[1, 4, 6], &[0.0; 24])], 1).is_err());
    let strides = Head::Yolox { tensor: "y".into(), strides: vec![8, 16] };
    let said = document(recipe(strides), &[Given::floats("y", &[1, 4, 7], &[0.0; 28])], 0).unwrap_err().to_string();
    assert!(said.contains("4 anchors") && said.contains("180"), "{said}");
}

#[test]
fn no_more_is_told_than_the_recipe_allows_and_the_rest_is_counted() {
    let rows: Vec<f32> = (0..40u8)
        .flat_map(|at| {
            let at = f32::from(at);
            [10.0 * (at % 10.0) + 5.0, 30.0 + 10.0 * (at / 10.0).floor(), 6.0, 6.0, 0.5 + at / 100.0, 0.0]
        })
        .collect();
    let head = Head::Yolo { tensor: "y".into(), objectness: false, planes: false };
    let document = document(recipe(head), &[Given::floats("y", &[1, 40, 6], &rows)], 0).unwrap();
    assert_eq!(document["objects"].as_array().unwrap().len(), 10);
    assert_eq!(document["left_out"], 30);
    assert_eq!((document["width"].as_u64(), document["height"].as_u64()), (Some(200), Some(100)));
}

/// Four prototypes of 10 x 10 for a tensor of 100 x 100: the left half, the right half, everything, and a dot.
fn prototypes() -> Given {
    let plane = |held: &dyn Fn(usize, usize) -> bool| -> Vec<f32> {
        (0..100).map(|at| if held(at % 10, at / 10) { 1.0 } else { -1.0 }).collect()
    };
    let planes = [plane(&|x, _| x < 2), plane(&|x, _| x >= 2), plane(&|_, _| true), plane(&|x, y| (x, y) == (7, 5))];
    Given::floats("protos", &[1, 4, 10, 10], &planes.concat())
}

fn masked(planes: bool, objectness: bool) -> ObjectsRecipe {
    let masks = crate::bundle::MasksRecipe {
        tensor: "protos".into(),
        threshold: 0.5,
        tolerance: 0.0,
        max_parts: 4,
        max_points: 1000,
    };
    ObjectsRecipe { masks: Some(masks), ..recipe(Head::Yolo { tensor: "y".into(), objectness, planes }) }
}

/// A bolt around (20, 40) and a nut around (70, 60), 20 wide and high, with the coefficients of their masks.
const MASKED: [[f32; 10]; 3] = [
    [20.0, 40.0, 20.0, 20.0, 0.9, 0.1, 5.0, 0.0, 0.0, 0.0],
    [70.0, 60.0, 20.0, 20.0, 0.1, 0.4, 0.0, 0.0, 3.0, 0.0],
    [20.0, 40.0, 21.0, 20.0, 0.8, 0.1, 0.0, 0.0, 9.0, 0.0],
];

#[test]
fn a_mask_is_what_the_prototypes_add_up_to_within_the_rectangle() {
    let by_plane: Vec<f32> = (0..10).flat_map(|number| MASKED.iter().map(move |row| row[number])).collect();
    let with_there: Vec<f32> = MASKED.iter().flat_map(|row| [&row[..4], &[1.0], &row[4..]].concat()).collect();
    for (recipe, given) in [
        (masked(false, false), Given::floats("y", &[1, 3, 10], &MASKED.concat())),
        (masked(true, false), Given::floats("y", &[1, 10, 3], &by_plane)),
        (masked(false, true), Given::floats("y", &[1, 3, 11], &with_there)),
        (masked(false, false), Given::halves("y", &[1, 3, 10], &MASKED.concat())),
    ] {
        let document = document(recipe, &[given, prototypes()], 0).unwrap();
        let things = document["objects"].as_array().unwrap();
        assert_eq!(things.len(), 2, "{document}");
        // Of the bolt only the left half: the prototype ends at 20 of the tensor, 40 of the picture.
        assert_eq!(things[0]["box"], serde_json::json!([20.0, 10.0, 60.0, 50.0]));
        assert_eq!(
            things[0]["polygons"],
            serde_json::json!([[[40.0, 10.0], [40.0, 50.0], [20.0, 50.0], [20.0, 10.0]]])
        );
        assert_eq!(things[0]["area"], 0.04);
        assert_eq!(
            things[1]["polygons"],
            serde_json::json!([[[160.0, 50.0], [160.0, 90.0], [120.0, 90.0], [120.0, 50.0]]])
        );
        assert!(document.get("polygons_left_out").is_none());
    }
}

#[test]
fn a_mask_that_shows_nothing_or_has_no_corners_left_leaves_the_thing_in_the_answer() {
    let mut rows = MASKED;
    rows[0][6] = f32::NAN;
    let given = [Given::floats("y", &[1, 3, 10], &rows.concat()), prototypes()];
    let told = document(masked(false, false), &given, 0).unwrap();
    assert_eq!((&told["objects"][0]["polygons"], &told["objects"][0]["area"]), (&serde_json::json!([]), &0.0.into()));
    assert!(told.get("polygons_left_out").is_none());
    let mut few = masked(false, false);
    few.masks.as_mut().unwrap().max_points = 8;
    let told = document(few, &[Given::floats("y", &[1, 3, 10], &MASKED.concat()), prototypes()], 0).unwrap();
    assert_eq!((told["objects"].as_array().unwrap().len(), &told["polygons_left_out"]), (2, &1.into()));
}

#[test]
fn prototypes_that_do_not_fit_are_refused_by_name() {
    let y = || Given::floats("y", &[1, 3, 10], &MASKED.concat());
    for (given, said) in [
        (Given::floats("protos", &[1, 4, 100], &[0.0; 400]), "output.masks.tensor: the output protos is FP32 of"),
        (Given::floats("protos", &[1, 5, 2, 2], &[0.0; 20]), "output.head.tensor: the output y is FP32 of [1, 3, 10]"),
        (Given::floats("protos", &[1, 4, 0, 2], &[]), "a map of 2 x 0"),
        (Given::floats("protos", &[1, 600, 1, 1], &[0.0; 600]), "a fixed number of 1 to 512 is accepted"),
        (Given::floats("other", &[1, 4, 2, 2], &[0.0; 16]), "the graph has no protos"),
    ] {
        let found = document(masked(false, false), &[y(), given], 0).unwrap_err().to_string();
        assert!(found.contains(said), "{found}");
    }
}

#[test]
fn heads_of_half_numbers_give_the_same() {
    let rows = [[20.0, 40.0, 20.0, 20.0, 0.9, 0.1], [70.0, 60.0, 20.0, 20.0, 0.1, 0.4]];
    let head = Head::Yolo { tensor: "y".into(), objectness: false, planes: false };
    assert_eq!(found(head, &[Given::halves("y", &[1, 2, 6], &rows.concat())]), expected());
}
