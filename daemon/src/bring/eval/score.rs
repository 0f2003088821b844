//! From answers to figures: what each task's documents say, held against what is right or against the first variant's. Must not
//! know files, hosts or time.

use edge_engine::bundle::{Manifest, OutputRecipe, Task};
use edge_engine::elements;
use edge_engine::protocol::{Datatype, TensorSpec};
use edge_wire::bring::Measure;
use serde_json::Value;

use super::super::measure::areas::{self, Area, Cells, Map, NOTHING};
use super::super::measure::boxes::{self, Corners, Found};
use super::super::measure::{likeness, mean, numbers, ranks, share, text};
use super::super::room::Shaped;
use super::data::Truth;

/// Longer side of the maps that areas are compared on, where no map says what is right.
const MAP_SIDE: f64 = 512.0;
/// What stands for a text that was not answered: it is nobody's.
const UNREAD: &str = "\u{0}";

/// What a variant made of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Document(Value),
    Tensors(Vec<Shaped>),
}

impl Answer {
    fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Answer::Document(document) => document.get(key),
            Answer::Tensors(_) => None,
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Width and height of the picture.
    fn size(&self) -> [f64; 2] {
        [self.number("width").unwrap_or(1.0), self.number("height").unwrap_or(1.0)]
    }

    /// The best label.
    fn label(&self) -> Option<&str> {
        self.get("label")?.as_str()
    }

    /// All labels, the best first.
    fn labels(&self) -> Vec<&str> {
        let told: Vec<&str> = self.list("labels").iter().filter_map(|one| one.get("label")?.as_str()).collect();
        if told.is_empty() { self.label().into_iter().collect() } else { told }
    }

    fn embedding(&self) -> Option<Vec<f64>> {
        self.get("embedding")?.as_array()?.iter().map(Value::as_f64).collect()
    }
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub truth: &'a Truth,
    /// What the first variant says.
    pub first: &'a Answer,
    /// What this variant says, if it does.
    pub given: Option<&'a Answer>,
}

/// Whether what is said to be right can be of the picture that was answered.
pub fn fits(truth: &Truth, answer: &Answer) -> Result<(), String> {
    let Truth::Things(things) = truth else { return Ok(()) };
    let Some([width, height]) = things.pixels else { return Ok(()) };
    let [wide, high] = answer.size();
    match (width - wide).abs() < 1.0 && (height - high).abs() < 1.0 {
        true => Ok(()),
        false => Err(format!("upright it has {wide} x {high} pixels, its annotations are of {width} x {height}")),
    }
}

/// How answers are judged.
#[derive(Debug)]
pub struct Judge<'a> {
    task: Task,
    labels: &'a [String],
    /// Somebody says what is right.
    labelled: bool,
    /// What no region covers.
    background: u8,
    /// Among how many labels the right one is looked for a second time.
    second: Option<usize>,
    /// What there is to know of the figures.
    pub remarks: Vec<String>,
}

/// Figures, the one that counts first.
type Figures = Vec<(&'static str, Option<f64>)>;

impl<'a> Judge<'a> {
    pub fn new(manifest: &Manifest, labels: &'a [String], labelled: bool) -> Result<Judge<'a>, String> {
        let mut judge =
            Judge { task: manifest.task, labels, labelled, background: NOTHING, second: None, remarks: Vec::new() };
        if !labelled {
            let what = "nobody says what is right: the answers are held against those of the first variant";
            judge.remarks.push(what.into());
        }
        match &manifest.output {
            Some(OutputRecipe::Classes(recipe)) if labels.len() > 5 && usize::from(recipe.top) >= 5 => {
                judge.second = Some(5)
            }
            Some(OutputRecipe::Classes(recipe)) if labels.len() > 5 => {
                judge.remarks.push(format!("no top5: the recipe tells {} labels only (output.top)", recipe.top));
            }
            Some(OutputRecipe::Objects(recipe)) => judge.remarks.push(format!(
                "of the answers as they are given: what is less sure than the recipe's threshold ({}) is not in them",
                recipe.threshold
            )),
            Some(OutputRecipe::Segmentation(recipe)) => {
                if labels.len() > areas::MOST_LABELS {
                    return Err(format!("{} labels: at most {} are measured", labels.len(), areas::MOST_LABELS));
                }
                let place = recipe.background.as_ref().and_then(|name| labels.iter().position(|label| label == name));
                judge.background = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(NOTHING);
                judge.remarks.push(
                    "of the answers as they are given: areas as their outlines and output.outlines tell them".into(),
                );
            }
            _ => {}
        }
        Ok(judge)
    }

    /// What this variant's answers are worth.
    pub fn measures(&self, cases: &[Case<'_>], outputs: &[TensorSpec]) -> Vec<Measure> {
        let figures = match self.task {
            Task::Classification | Task::FileType => self.labels_of(cases),
            Task::ObjectDetection | Task::InstanceSegmentation => self.things(cases),
            Task::Segmentation => self.areas(cases),
            Task::TextRecognition => self.texts(cases),
            Task::Anomaly => self.anomalies(cases),
            Task::Embedding => self.embeddings(cases),
            Task::TextDetection | Task::TextReading => lines(cases),
            Task::SpeechSegments => speech(cases),
            Task::Tensors => of_tensors(cases, outputs),
        };
        let told = |(name, value): (&str, Option<f64>)| Measure {
            name: name.into(),
            value: value.filter(|value| value.is_finite()),
        };
        figures.into_iter().map(told).collect()
    }

    fn labels_of(&self, cases: &[Case<'_>]) -> Figures {
        let answer = |case: &Case<'_>| -> Option<(Vec<String>, String)> {
            let right = match case.truth {
                Truth::Label(label) => label.clone(),
                _ => case.first.label()?.to_owned(),
            };
            Some((case.given.map(Answer::labels).unwrap_or_default().into_iter().map(str::to_owned).collect(), right))
        };
        let answers: Vec<(Vec<String>, String)> = cases.iter().filter_map(answer).collect();
        let borrowed: Vec<(Vec<&str>, &str)> =
            answers.iter().map(|(given, right)| (given.iter().map(String::as_str).collect(), right.as_str())).collect();
        let mut figures = vec![("top1", Some(ranks::top(&borrowed, 1)))];
        figures.extend(self.second.map(|count| ("top5", Some(ranks::top(&borrowed, count)))));
        figures
    }

    fn things(&self, cases: &[Case<'_>]) -> Figures {
        let (mut found, mut there) = (Vec::new(), Vec::new());
        for (picture, case) in cases.iter().enumerate() {
            found.extend(case.given.into_iter().flat_map(|answer| self.objects(picture, answer)));
            match case.truth {
                Truth::Things(things) => there.extend(things.list.iter().map(|thing| {
                    let [wide, high] = if things.pixels.is_some() { [1.0; 2] } else { case.first.size() };
                    let [left, top, right, bottom] = thing.corners;
                    let corners = [left * wide, top * high, right * wide, bottom * high];
                    boxes::Truth { picture, label: thing.label, corners, crowd: thing.crowd }
                })),
                _ => there.extend(self.objects(picture, case.first).map(truth)),
            }
        }
        averages(&found, &there)
    }

    fn objects<'b>(&'b self, picture: usize, answer: &'b Answer) -> impl Iterator<Item = Found> + 'b {
        answer.list("objects").iter().filter_map(move |one| {
            let name = one.get("label")?.as_str()?;
            let label = self.labels.iter().position(|label| label == name)?;
            let corners: Vec<f64> = one.get("box")?.as_array()?.iter().filter_map(Value::as_f64).collect();
            Some(Found { picture, label, score: one.get("score")?.as_f64()?, corners: corners.try_into().ok()? })
        })
    }

    fn areas(&self, cases: &[Case<'_>]) -> Figures {
        let mut cells = Cells::new(self.labels.len());
        for case in cases {
            let truth = match case.truth {
                Truth::Map(map) => map.clone(),
                Truth::Areas(areas) => self.map(case.first.size(), None, areas),
                _ => self.map(case.first.size(), None, &self.regions(case.first)),
            };
            let size = Some((truth.width, truth.height));
            let found = match case.given {
                Some(answer) => self.map(answer.size(), size, &self.regions(answer)),
                None => Map::of(truth.width, truth.height, NOTHING),
            };
            cells.add(&found, &truth);
        }
        vec![("mean_iou", cells.mean_iou()), ("pixel_accuracy", Some(cells.accuracy()))]
    }

    /// A map of so many cells; else of the picture, made smaller where it is large.
    fn map(&self, [wide, high]: [f64; 2], size: Option<(usize, usize)>, areas: &[Area]) -> Map {
        let scale = (MAP_SIDE / wide.max(high).max(1.0)).min(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a few hundred")]
        let side = |side: f64| (side * scale).round().clamp(1.0, MAP_SIDE) as usize;
        let (width, height) = size.unwrap_or((side(wide), side(high)));
        let mut map = Map::of(width, height, self.background);
        map.fill(areas);
        map
    }

    /// The regions of an answer, in shares of the picture.
    fn regions(&self, answer: &Answer) -> Vec<Area> {
        let [wide, high] = answer.size();
        let ring = |ring: &Value| -> Option<Vec<[f64; 2]>> {
            let corner = |corner: &Value| Some([corner.get(0)?.as_f64()? / wide, corner.get(1)?.as_f64()? / high]);
            ring.as_array()?.iter().map(corner).collect()
        };
        let region = |region: &Value| {
            let name = region.get("label")?.as_str()?;
            let label = u8::try_from(self.labels.iter().position(|label| label == name)?).ok()?;
            let holes = region.get("holes").and_then(Value::as_array).into_iter().flatten();
            Some(Area { label, rings: region.get("polygon").into_iter().chain(holes).filter_map(ring).collect() })
        };
        answer.list("regions").iter().filter_map(region).collect()
    }

    fn texts(&self, cases: &[Case<'_>]) -> Figures {
        let of = |answer: &'_ Answer| answer.get("text").and_then(Value::as_str).unwrap_or(UNREAD).to_owned();
        let pair = |case: &Case<'_>| {
            let right = match case.truth {
                Truth::Text(text) => text.clone(),
                _ => of(case.first),
            };
            (case.given.map_or_else(|| UNREAD.to_owned(), of), right)
        };
        let texts: Vec<(String, String)> = cases.iter().map(pair).collect();
        let borrowed: Vec<(&str, &str)> = texts.iter().map(|(given, right)| (given.as_str(), right.as_str())).collect();
        vec![
            ("exact_match", Some(text::exact(&borrowed))),
            ("character_error_rate", text::character_error_rate(&borrowed)),
        ]
    }

    fn anomalies(&self, cases: &[Case<'_>]) -> Figures {
        let verdict = |answer: &Answer| answer.get("anomalous").and_then(Value::as_bool);
        let right = |case: &Case<'_>| match case.truth {
            Truth::Label(folder) => Some(Truth::is_anomalous(folder)),
            _ => verdict(case.first),
        };
        let same =
            cases.iter().filter(|case| case.given.and_then(verdict).is_some_and(|given| Some(given) == right(case)));
        let same = ("verdict_accuracy", Some(share(same.count(), cases.len())));
        let apart =
            |case: &Case<'_>| match (case.given.and_then(|given| given.number("score")), case.first.number("score")) {
                (Some(given), Some(first)) => (given - first).abs(),
                _ => 1.0,
            };
        let apart = ("largest_difference", Some(cases.iter().map(apart).fold(0.0, f64::max)));
        if !self.labelled {
            return vec![same, apart];
        }
        // What was not answered is as wrong as it can be.
        let score = |case: &Case<'_>| {
            let is = right(case)?;
            let worst = if is { f64::NEG_INFINITY } else { f64::INFINITY };
            Some((case.given.and_then(|given| given.number("score")).unwrap_or(worst), is))
        };
        let scores: Vec<(f64, bool)> = cases.iter().filter_map(score).collect();
        vec![("auroc", ranks::auroc(&scores)), same, apart]
    }

    fn embeddings(&self, cases: &[Case<'_>]) -> Figures {
        let alike = |case: &Case<'_>| match (case.given.and_then(Answer::embedding), case.first.embedding()) {
            (Some(given), Some(first)) => likeness::cosine(&given, &first),
            _ => 0.0,
        };
        let alike = ("mean_similarity", mean(cases.iter().map(alike)));
        if !self.labelled {
            return vec![alike];
        }
        let samples: Vec<(Option<Vec<f64>>, &str)> = cases
            .iter()
            .filter_map(|case| match case.truth {
                Truth::Label(label) => Some((case.given.and_then(Answer::embedding), label.as_str())),
                _ => None,
            })
            .collect();
        vec![("nearest_top1", likeness::nearest(&samples)), alike]
    }
}

fn truth(found: Found) -> boxes::Truth {
    boxes::Truth { picture: found.picture, label: found.label, corners: found.corners, crowd: false }
}

/// Nothing there and nothing found is right; something found where nothing is, wrong.
fn averages(found: &[Found], there: &[boxes::Truth]) -> Figures {
    let nothing = f64::from(u8::from(found.is_empty()));
    let at = |map: Option<f64>| Some(if there.is_empty() { nothing } else { map? });
    vec![
        ("map", at(boxes::mean_average_precision(found, there, boxes::overlaps()))),
        ("map50", at(boxes::mean_average_precision(found, there, std::iter::once(0.5)))),
    ]
}

/// Lines of text, by the upright rectangles around them.
fn lines(cases: &[Case<'_>]) -> Figures {
    let boxes = |picture: usize, answer: &Answer| -> Vec<Found> {
        let list = answer.list("boxes").iter().filter_map(move |one| {
            let corners = around(one.get("polygon")?)?;
            Some(Found { picture, label: 0, score: one.get("score")?.as_f64()?, corners })
        });
        list.collect()
    };
    let each = || cases.iter().enumerate();
    let found: Vec<Found> =
        each().flat_map(|(at, case)| case.given.map(|given| boxes(at, given)).unwrap_or_default()).collect();
    let there: Vec<boxes::Truth> = each().flat_map(|(at, case)| boxes(at, case.first)).map(truth).collect();
    averages(&found, &there)
}

fn around(polygon: &Value) -> Option<Corners> {
    let corner = |corner: &Value| Some([corner.get(0)?.as_f64()?, corner.get(1)?.as_f64()?]);
    let corners: Vec<[f64; 2]> = polygon.as_array()?.iter().map(corner).collect::<Option<_>>()?;
    let first = corners.first()?;
    let start = [first[0], first[1], first[0], first[1]];
    Some(corners.iter().fold(start, |all, [x, y]| [all[0].min(*x), all[1].min(*y), all[2].max(*x), all[3].max(*y)]))
}

fn speech(cases: &[Case<'_>]) -> Figures {
    let spans = |answer: &Answer| -> Vec<(f64, f64)> {
        let span = |one: &Value| Some((one.get("start_ms")?.as_f64()?, one.get("end_ms")?.as_f64()?));
        answer.list("segments").iter().filter_map(span).collect()
    };
    let each =
        cases.iter().map(|case| numbers::overlap(&case.given.map(spans).unwrap_or_default(), &spans(case.first)));
    let (both, all) = each.fold((0.0, 0.0), |(both, all), (one, of)| (both + one, all + of));
    vec![("time_iou", Some(if all > 0.0 { both / all } else { 1.0 }))]
}

fn of_tensors(cases: &[Case<'_>], outputs: &[TensorSpec]) -> Figures {
    let (mut largest, mut counts) = (0f64, Vec::new());
    for case in cases {
        let Answer::Tensors(first) = case.first else { continue };
        let Some(Answer::Tensors(given)) = case.given else {
            largest = f64::INFINITY;
            continue;
        };
        for (spec, (given, first)) in outputs.iter().zip(given.iter().zip(first)) {
            let (Some(numbers), Some(wanted)) =
                (elements::numbers(spec.datatype, &given.1), elements::numbers(spec.datatype, &first.1))
            else {
                // Texts are alike or not.
                largest = largest.max(if given == first { 0.0 } else { f64::INFINITY });
                continue;
            };
            let apart = if given.0 == first.0 { numbers::difference(&numbers, &wanted) } else { f64::INFINITY };
            largest = largest.max(apart);
            let row = first.0.last().and_then(|size| usize::try_from(*size).ok()).unwrap_or(1);
            if matches!(spec.datatype, Datatype::Fp32 | Datatype::Fp64 | Datatype::Fp16) && row > 1 {
                counts.push(numbers::same_largest(&numbers, &wanted, row));
            }
        }
    }
    vec![
        ("closeness", Some(1.0 - largest.min(1.0))),
        ("largest_difference", Some(largest)),
        ("same_top1", numbers::agreement(counts)),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::truths::{Thing, Things};
    use super::*;

    fn manifest(name: &str) -> Manifest {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-models").join(name).join("model.toml");
        Manifest::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// The figures of answers of a bundle's model, each with what is right, what the first says and what this one says.
    fn figures(name: &str, list: &[(Truth, Value, Option<Value>)]) -> Vec<(String, Option<f64>)> {
        let manifest = manifest(name);
        let labels = super::super::labels(&manifest);
        let answers: Vec<(&Truth, Answer, Option<Answer>)> = list
            .iter()
            .map(|(truth, first, given)| (truth, Answer::Document(first.clone()), given.clone().map(Answer::Document)))
            .collect();
        let cases: Vec<Case<'_>> =
            answers.iter().map(|(truth, first, given)| Case { truth, first, given: given.as_ref() }).collect();
        let labelled = list.iter().any(|(truth, ..)| *truth != Truth::Unknown);
        let judge = Judge::new(&manifest, &labels, labelled).unwrap();
        judge.measures(&cases, &[]).into_iter().map(|one| (one.name, one.value)).collect()
    }

    fn check(name: &str, list: &[(Truth, Value, Option<Value>)], wanted: &[(&str, f64)]) {
        let found = figures(name, list);
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for ((found, value), (wanted, expected)) in found.iter().zip(wanted) {
            assert!(
                found == wanted && value.is_some_and(|value| (value - expected).abs() < 1e-9),
                "{found} {value:?}, wanted {wanted} {expected}"
            );
        }
    }

    fn label(name: &str) -> Truth {
        Truth::Label(name.into())
    }

    #[test]
    fn labels_are_right_or_as_the_first_says() {
        let said = |label: &str| json!({"label": label, "score": 0.9, "labels": [{"label": label, "score": 0.9}]});
        let list = [
            (label("0"), said("0"), Some(said("0"))),
            (label("0"), said("180"), Some(said("180"))),
            (label("180"), said("180"), None),
        ];
        check("text-direction", &list, &[("top1", 1.0 / 3.0)]);
        let unsaid: Vec<_> =
            list.iter().map(|(_, first, given)| (Truth::Unknown, first.clone(), given.clone())).collect();
        check("text-direction", &unsaid, &[("top1", 2.0 / 3.0)]);
    }

    #[test]
    fn things_are_where_somebody_says_in_shares_or_pixels() {
        let said = |left: f64| json!({"width": 100, "height": 50, "objects": [{"label": "green", "score": 0.9, "box": [left, 10, left + 20.0, 30]}]});
        let nothing = json!({"width": 100, "height": 50, "objects": []});
        let things =
            |corners, pixels| Truth::Things(Things { list: vec![Thing { label: 1, corners, crowd: false }], pixels });
        let shares = things([0.1, 0.2, 0.3, 0.6], None);
        let pixels = things([10.0, 10.0, 30.0, 30.0], Some([100.0, 50.0]));
        check("test/things", &[(shares.clone(), said(10.0), Some(said(10.0)))], &[("map", 1.0), ("map50", 1.0)]);
        check("test/things", &[(pixels.clone(), said(10.0), Some(said(10.0)))], &[("map", 1.0), ("map50", 1.0)]);
        check("test/things", &[(shares.clone(), said(10.0), None)], &[("map", 0.0), ("map50", 0.0)]);
        // Moved by 5 of 20: 15 / 25.
        check("test/things", &[(Truth::Unknown, said(10.0), Some(said(15.0)))], &[("map", 0.3), ("map50", 1.0)]);
        check(
            "test/things",
            &[(Truth::Unknown, nothing.clone(), Some(nothing.clone()))],
            &[("map", 1.0), ("map50", 1.0)],
        );
        check("test/things", &[(Truth::Unknown, nothing.clone(), Some(said(1.0)))], &[("map", 0.0), ("map50", 0.0)]);
        assert!(fits(&pixels, &Answer::Document(nothing.clone())).is_ok());
        let turned = Answer::Document(json!({"width": 50, "height": 100}));
        assert_eq!(
            fits(&pixels, &turned).unwrap_err(),
            "upright it has 50 x 100 pixels, its annotations are of 100 x 50"
        );
    }

    #[test]
    fn areas_are_compared_cell_by_cell() {
        let region = |label: &str, left: f64, right: f64| json!({"label": label, "polygon": [[left, 0], [right, 0], [right, 4], [left, 4]]});
        let said = |regions: Vec<Value>| json!({"width": 8, "height": 4, "regions": regions});
        // Left half red, the rest is background.
        let map = Map { width: 4, height: 1, cells: vec![1, 1, 0, 255] };
        let right = said(vec![region("red", 0.0, 4.0)]);
        check(
            "test/areas",
            &[(Truth::Map(map.clone()), right.clone(), Some(right.clone()))],
            &[("mean_iou", 1.0), ("pixel_accuracy", 1.0)],
        );
        let half = said(vec![region("red", 0.0, 2.0)]);
        // Red: 1 of 2; background: 1 of 2.
        check(
            "test/areas",
            &[(Truth::Map(map), right.clone(), Some(half.clone()))],
            &[("mean_iou", 0.5), ("pixel_accuracy", 2.0 / 3.0)],
        );
        let outline =
            Truth::Areas(vec![Area { label: 1, rings: vec![vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]] }]);
        // Red: 8 of 16 cells; background: 16 of 24.
        let wanted = (0.5 + 16.0 / 24.0) / 2.0;
        check(
            "test/areas",
            &[(outline, right.clone(), Some(half.clone()))],
            &[("mean_iou", wanted), ("pixel_accuracy", 0.75)],
        );
        check(
            "test/areas",
            &[(Truth::Unknown, right.clone(), Some(half))],
            &[("mean_iou", wanted), ("pixel_accuracy", 0.75)],
        );
        check("test/areas", &[(Truth::Unknown, right, None)], &[("mean_iou", 0.0), ("pixel_accuracy", 0.0)]);
    }

    #[test]
    fn texts_are_right_to_the_character() {
        let said = |text: &str| json!({"text": text, "confidence": 0.9});
        let list = [
            (Truth::Text("LOT".into()), said("LOT"), Some(said("LOT"))),
            (Truth::Text("abcde".into()), said("abcde"), Some(said("abxde"))),
        ];
        check("text-line", &list, &[("exact_match", 0.5), ("character_error_rate", 1.0 / 8.0)]);
        check(
            "text-line",
            &[(Truth::Text("ab".into()), said("ab"), None)],
            &[("exact_match", 0.0), ("character_error_rate", 1.0)],
        );
        check(
            "text-line",
            &[(Truth::Unknown, said("ab"), Some(said("ab")))],
            &[("exact_match", 1.0), ("character_error_rate", 0.0)],
        );
    }

    #[test]
    fn anomalies_are_told_from_good_ones_by_their_score() {
        let said = |score: f64| json!({"score": score, "anomalous": score >= 0.5});
        let list = [
            (label("good"), said(0.1), Some(said(0.1))),
            (label("good"), said(0.6), Some(said(0.6))),
            (label("scratch"), said(0.4), Some(said(0.4))),
            (label("dent"), said(0.9), Some(said(0.8))),
        ];
        check("test/spots", &list, &[("auroc", 0.75), ("verdict_accuracy", 0.5), ("largest_difference", 0.1)]);
        let list = [(Truth::Unknown, said(0.4), Some(said(0.6))), (Truth::Unknown, said(0.1), Some(said(0.1)))];
        check("test/spots", &list, &[("verdict_accuracy", 0.5), ("largest_difference", 0.2)]);
    }

    #[test]
    fn what_looks_alike_is_near() {
        let said = |x: f64, y: f64| json!({"embedding": [x, y]});
        let list = [
            (label("a"), said(1.0, 0.0), Some(said(1.0, 0.0))),
            (label("a"), said(1.0, 0.1), Some(said(2.0, 0.2))),
            (label("b"), said(0.0, 1.0), Some(said(0.0, 1.0))),
            (label("b"), said(0.1, 1.0), Some(said(0.1, 1.0))),
        ];
        check("test/likeness", &list, &[("nearest_top1", 1.0), ("mean_similarity", 1.0)]);
        check("test/likeness", &[(Truth::Unknown, said(1.0, 0.0), Some(said(0.0, 1.0)))], &[("mean_similarity", 0.0)]);
    }

    #[test]
    fn lines_and_speech_are_held_against_the_first() {
        let said = |left: f64| json!({"boxes": [{"polygon": [[left, 0], [left + 20.0, 0], [left + 20.0, 10], [left, 10]], "score": 0.9}]});
        check("text-boxes", &[(Truth::Unknown, said(0.0), Some(said(5.0)))], &[("map", 0.3), ("map50", 1.0)]);
        let said = |end: u32| json!({"segments": [{"start_ms": 0, "end_ms": end}]});
        check("speech", &[(Truth::Unknown, said(100), Some(said(75)))], &[("time_iou", 0.75)]);
        check(
            "speech",
            &[(Truth::Unknown, json!({"segments": []}), Some(json!({"segments": []})))],
            &[("time_iou", 1.0)],
        );
    }

    #[test]
    fn tensors_are_close_or_not() {
        let manifest = manifest("test/add");
        let judge = Judge::new(&manifest, &[], false).unwrap();
        let spec = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, 2] };
        let answer = |numbers: &[f32]| {
            let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            Answer::Tensors(vec![(vec![2, 2], bytes)])
        };
        let (first, given) = (answer(&[1.0, 2.0, 4.0, 3.0]), answer(&[1.0, 2.0, 3.0, 3.5]));
        let case = Case { truth: &Truth::Unknown, first: &first, given: Some(&given) };
        let values = |cases: &[Case<'_>]| -> Vec<Option<f64>> {
            judge.measures(cases, std::slice::from_ref(&spec)).into_iter().map(|one| one.value).collect()
        };
        assert_eq!(values(&[case]), [Some(0.75), Some(0.25), Some(0.5)]);
        assert_eq!(values(&[Case { given: Some(&first), ..case }]), [Some(1.0), Some(0.0), Some(1.0)]);
        assert_eq!(values(&[Case { given: None, ..case }]), [Some(0.0), None, None]);
    }
}
