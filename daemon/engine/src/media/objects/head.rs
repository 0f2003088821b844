//! What the numbers of a detector's outputs mean: rectangles in pixels of the tensor, with a class and a score.

use super::candidates::Candidate;
use super::grid::{Grid, Seen, cells, sides};
use crate::bundle::{Activation, Column, Head};
use crate::media::MediaError;
use crate::media::activation::Scores;
use crate::media::frame::Frame;
use crate::media::numbers::{Elements, Numbers, place};
use crate::protocol::TensorSpec;
use crate::tensor::Answer;

/// Where in the graph's outputs a head finds what it reads, and how many labels there are.
pub struct Outputs {
    /// In the order in which the head names them.
    places: Vec<usize>,
    labels: usize,
    /// Numbers of an anchor after its scores: how much of each prototype goes into its mask.
    coefficients: usize,
}

impl Outputs {
    /// Holds a head against the graph's outputs; with so many coefficients of a mask for each anchor.
    pub fn new(head: &Head, labels: usize, coefficients: usize, specs: &[TensorSpec]) -> Result<Outputs, MediaError> {
        let mut places = Vec::new();
        let mut place = |key: &'static str, name: &str, wanted: &[&[i64]]| {
            // Labels and counts may be whole numbers.
            let whole = matches!(key, "output.head.classes" | "output.head.count");
            let elements = if whole { Elements::FloatsOrPlaces } else { Elements::Floats };
            places.push(place(key, name, specs, elements, wanted)?);
            Ok::<(), MediaError>(())
        };
        let classes = i64::try_from(labels).unwrap_or(i64::MAX);
        match head {
            Head::Yolo { tensor, objectness, planes } => {
                let more = i64::try_from(coefficients).unwrap_or(i64::MAX).saturating_add(4 + i64::from(*objectness));
                let width = classes.saturating_add(more);
                let shape: [i64; 3] = if *planes { [-1, width, -1] } else { [-1, -1, width] };
                place("output.head.tensor", tensor, &[&shape])?;
            }
            Head::Yolox { tensor, .. } => {
                place("output.head.tensor", tensor, &[&[-1, -1, classes.saturating_add(5)]])?;
            }
            Head::Detr { boxes, scores, .. } => {
                place("output.head.boxes", boxes, &[&[-1, -1, 4]])?;
                place("output.head.scores", scores, &[&[-1, -1, classes], &[-1, -1, classes.saturating_add(1)]])?;
            }
            Head::Rows { tensor, columns, .. } => {
                let width = i64::try_from(columns.len()).unwrap_or(-1);
                place("output.head.tensor", tensor, &[&[-1, -1, width], &[-1, width]])?;
            }
            Head::Lists { boxes, classes, scores, count, .. } => {
                place("output.head.boxes", boxes, &[&[-1, -1, 4]])?;
                place("output.head.classes", classes, &[&[-1, -1]])?;
                place("output.head.scores", scores, &[&[-1, -1]])?;
                if let Some(count) = count {
                    place("output.head.count", count, &[&[-1], &[-1, 1]])?;
                }
            }
        }
        Ok(Outputs { places, labels, coefficients })
    }

    /// Everything in one row of the outputs that is at least as sure as `threshold`.
    pub fn read(
        &self,
        head: &Head,
        answers: &[Answer<'_>],
        row: usize,
        frame: Frame,
        threshold: f32,
    ) -> Result<Vec<Candidate>, MediaError> {
        let numbers = |at: usize| Numbers::of(answers, self.places.get(at), row);
        let size = [frame.tensor_width, frame.tensor_height].map(pixels);
        let mut found = match head {
            Head::Yolo { objectness, planes, .. } => self.yolo(&numbers(0)?, (*objectness, *planes), threshold)?,
            Head::Yolox { strides, .. } => self.yolox(&numbers(0)?, strides, frame, threshold)?,
            Head::Detr { activation, .. } => self.detr(&numbers(0)?, &numbers(1)?, *activation, size)?,
            Head::Rows { columns, unit, .. } => {
                // Rows without a batch in front of them are all of one picture.
                let all = Numbers::of_all(answers, self.places.first(), row)?;
                rows(&all, columns, unit.then_some(size))?
            }
            Head::Lists { columns, unit, first_label, count, .. } => {
                let most = match count {
                    Some(_) => numbers(3)?.number(0).and_then(whole).unwrap_or(0),
                    None => usize::MAX,
                };
                let rectangles = Rectangles { columns, unit: unit.then_some(size), most };
                lists(&numbers(0)?, &numbers(1)?, &numbers(2)?, &rectangles, *first_label)?
            }
        };
        found.retain(|one| one.score >= threshold);
        Ok(found)
    }

    fn yolo(
        &self,
        numbers: &Numbers<'_>,
        (objectness, planes): (bool, bool),
        threshold: f32,
    ) -> Result<Vec<Candidate>, MediaError> {
        let grid = self.grid(numbers, objectness, planes)?;
        let seen = grid.above(threshold).into_iter();
        Ok(seen.map(|seen| seen.around(grid.rectangle(seen.anchor))).collect())
    }

    fn yolox(
        &self,
        numbers: &Numbers<'_>,
        strides: &[u32],
        frame: Frame,
        threshold: f32,
    ) -> Result<Vec<Candidate>, MediaError> {
        let grid = self.grid(numbers, true, false)?;
        let cells = cells(strides, frame.tensor_width, frame.tensor_height);
        if cells.len() != grid.anchors {
            let (found, wanted) = (grid.anchors, cells.len());
            let what = format!("{found} anchors, the strides of the recipe make {wanted} in this tensor");
            return Err(MediaError::Output(what));
        }
        let place = |seen: Seen| {
            let ([x, y, width, height], [column, line, stride]) =
                (grid.rectangle(seen.anchor), *cells.get(seen.anchor)?);
            let middle = [(x + column) * stride, (y + line) * stride];
            Some(seen.around([middle[0], middle[1], width.exp() * stride, height.exp() * stride]))
        };
        Ok(grid.above(threshold).into_iter().filter_map(place).collect())
    }

    fn detr(
        &self,
        boxes: &Numbers<'_>,
        scores: &Numbers<'_>,
        activation: Activation,
        size: [f32; 2],
    ) -> Result<Vec<Candidate>, MediaError> {
        let middles = boxes.floats()?.chunks_exact(4);
        let rows = scores.floats()?.chunks_exact(scores.width().max(1));
        let query = |(anchor, (row, middle)): Query<'_>| {
            let mut scores = Scores::of(row.iter().map(|score| f32::from_ne_bytes(*score)), activation);
            // The last one may be that of nothing.
            scores.shorten(self.labels);
            let (class, score) = scores.best()?;
            Some(Seen { anchor, class, score }.around(scaled(array(middle)?, size)))
        };
        Ok(rows.zip(middles).enumerate().filter_map(query).collect())
    }

    /// The coefficients of the masks of some anchors, in their order.
    pub fn coefficients(
        &self,
        head: &Head,
        answers: &[Answer<'_>],
        row: usize,
        anchors: impl Iterator<Item = usize>,
    ) -> Result<Vec<Vec<f32>>, MediaError> {
        let Head::Yolo { objectness, planes, .. } = head else { return Ok(Vec::new()) };
        let numbers = Numbers::of(answers, self.places.first(), row)?;
        let grid = self.grid(&numbers, *objectness, *planes)?;
        Ok(anchors.map(|anchor| grid.coefficients(anchor)).collect())
    }

    fn grid<'a>(&self, numbers: &'a Numbers<'_>, objectness: bool, planes: bool) -> Result<Grid<'a>, MediaError> {
        let (anchors, numbers) = (numbers.size(usize::from(planes)), numbers.floats()?);
        let Outputs { labels: classes, coefficients, .. } = *self;
        let grid = Grid { numbers, anchors, classes, coefficients, objectness, planes };
        if anchors.checked_mul(grid.width()) != Some(numbers.len()) {
            let what = format!("{} numbers for {anchors} anchors of {}", numbers.len(), grid.width());
            return Err(MediaError::Output(what));
        }
        Ok(grid)
    }
}

/// Place, scores and rectangle of a query.
type Query<'a> = (usize, (&'a [[u8; 4]], &'a [[u8; 4]]));

/// How rectangles in an output of their own are written.
struct Rectangles<'a> {
    columns: &'a [Column],
    /// Size of the tensor, if they are in shares of it.
    unit: Option<[f32; 2]>,
    most: usize,
}

fn rows(numbers: &Numbers<'_>, columns: &[Column], unit: Option<[f32; 2]>) -> Result<Vec<Candidate>, MediaError> {
    let thing = |(place, row): (usize, &[[u8; 4]])| {
        let number = |wanted: Column| column(columns, wanted).and_then(|at| row.get(at));
        let number = |wanted: Column| number(wanted).map(|bytes| f32::from_ne_bytes(*bytes));
        let (class, score) = (whole(number(Column::Class)?)?, number(Column::Score)?);
        Some(Candidate { class, score, sides: rectangle(columns, row, unit)?, place })
    };
    Ok(numbers.floats()?.chunks_exact(columns.len().max(1)).enumerate().filter_map(thing).collect())
}

fn lists(
    boxes: &Numbers<'_>,
    classes: &Numbers<'_>,
    scores: &Numbers<'_>,
    rectangles: &Rectangles<'_>,
    first_label: u32,
) -> Result<Vec<Candidate>, MediaError> {
    let first = usize::try_from(first_label).unwrap_or(usize::MAX);
    let thing = |(place, row): (usize, &[[u8; 4]])| {
        let class = classes.number(place).and_then(whole)?.checked_sub(first)?;
        let sides = rectangle(rectangles.columns, row, rectangles.unit)?;
        Some(Candidate { class, score: scores.number(place)?, sides, place })
    };
    Ok(boxes.floats()?.chunks_exact(4).take(rectangles.most).enumerate().filter_map(thing).collect())
}

fn column(columns: &[Column], wanted: Column) -> Option<usize> {
    columns.iter().position(|column| *column == wanted)
}

/// Left, top, right, bottom of a row; in shares of `unit` if that is given.
fn rectangle(columns: &[Column], row: &[[u8; 4]], unit: Option<[f32; 2]>) -> Option<[f32; 4]> {
    let number = |wanted| column(columns, wanted).and_then(|at| row.get(at)).map(|bytes| f32::from_ne_bytes(*bytes));
    let size = unit.unwrap_or([1.0; 2]);
    match (number(Column::Left), number(Column::X)) {
        (Some(left), _) => {
            let all = [left, number(Column::Top)?, number(Column::Right)?, number(Column::Bottom)?];
            Some(scaled(all, size))
        }
        (None, Some(x)) => {
            let all = [x, number(Column::Y)?, number(Column::Width)?, number(Column::Height)?];
            Some(sides(scaled(all, size)))
        }
        (None, None) => None,
    }
}

fn scaled(numbers: [f32; 4], [width, height]: [f32; 2]) -> [f32; 4] {
    let [a, b, c, d] = numbers;
    [a * width, b * height, c * width, d * height]
}

fn array(four: &[[u8; 4]]) -> Option<[f32; 4]> {
    let four: [[u8; 4]; 4] = four.try_into().ok()?;
    Some(four.map(f32::from_ne_bytes))
}

/// A number that stands for a place.
fn whole(number: f32) -> Option<usize> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=1e6, where both are exact")]
    (0.0..=1e6).contains(&number).then(|| number.round() as usize)
}

fn pixels(size: u32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a tensor has at most 8192 pixels a side")]
    let size = size as f32;
    size
}
