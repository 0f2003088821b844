//! Regions of a picture: connected parts of a map of classes, with their outlines in pixels of the picture. One file per step:
//! which cells show the picture, which of them belong together, the ways around them, fewer corners. What the classes mean is
//! decided by those who use it.

mod parts;
mod simplify;
mod trace;
mod view;

pub use self::parts::{Cells, NOTHING, Part};
use self::simplify::simplify;
use self::trace::{Corner, Marks};
pub use self::view::View;
use super::MediaError;
use crate::bundle::OutlinesRecipe;

/// Most cells of a map: 4096 x 4096. What is kept for each takes some ten bytes.
pub const MOST_CELLS: usize = 1 << 24;

/// A closed line of at least three corners, pixels of the upright picture, to a tenth.
pub type Ring = Vec<[f64; 2]>;

/// A connected part of the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The cells that it is made of.
    pub part: Part,
    /// Share of the picture, 0 to 1.
    pub area: f64,
    /// The way around it.
    pub outer: Ring,
    /// The ways around its holes.
    pub holes: Vec<Ring>,
}

/// What was found in a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The largest first.
    pub regions: Vec<Region>,
    /// Regions that were large enough and beyond the limits.
    pub left_out: usize,
    /// Share of the picture for each class, small regions included.
    pub coverage: Vec<f64>,
}

/// Refuses maps without cells, and those that are too large.
pub fn check_size(width: usize, height: usize) -> Result<(), MediaError> {
    match width.checked_mul(height) {
        Some(1..=MOST_CELLS) => Ok(()),
        _ => Err(MediaError::Output(format!("a map of {width} x {height}, accepted are 1 to {MOST_CELLS} cells"))),
    }
}

/// A part of a map that is looked at: its first column and row, and the classes of its cells.
#[derive(Clone, Debug)]
pub struct Window {
    pub left: usize,
    pub top: usize,
    pub cells: Cells,
}

impl Window {
    /// What a map shows of the picture; `class` tells that of a cell by column and row.
    pub fn of(view: &View, class: impl Fn(usize, usize) -> u32) -> Window {
        let (columns, rows) = (view.columns(), view.rows());
        Window::cut(columns, rows, class)
    }

    /// These columns and rows of a map.
    pub fn cut(
        columns: std::ops::Range<usize>,
        rows: std::ops::Range<usize>,
        class: impl Fn(usize, usize) -> u32,
    ) -> Window {
        let (left, top, width) = (columns.start, rows.start, columns.len());
        let class = &class;
        let classes = rows.flat_map(|row| columns.clone().map(move |column| class(column, row))).collect();
        Window { left, top, cells: Cells { width, classes } }
    }

    /// Share of the picture that a part of it shows.
    pub fn area(&self, part: &Part, view: &View) -> f64 {
        let runs = part.runs.iter();
        runs.map(|run| view.share(self.top + run.row, self.left + run.first, self.left + run.last)).sum()
    }
}

/// The regions of a window of a map.
pub fn find(window: &Window, view: &View, limits: &OutlinesRecipe) -> Found {
    let mut coverage = Vec::new();
    let mut chosen = Vec::new();
    for part in parts::parts(&window.cells) {
        let area = window.area(&part, view);
        let place = usize::try_from(part.class).unwrap_or(usize::MAX);
        if coverage.len() <= place && place < MOST_CELLS {
            coverage.resize(place + 1, 0.0);
        }
        if let Some(sum) = coverage.get_mut(place) {
            *sum += area;
        }
        if area > 0.0 && area >= f64::from(limits.min_area) {
            chosen.push((part, area));
        }
    }
    // The largest first; equal ones as they lie.
    chosen.sort_by(|a, b| b.1.total_cmp(&a.1));
    let all = chosen.len();
    chosen.truncate(usize::try_from(limits.max_regions).unwrap_or(usize::MAX));
    let height = window.cells.classes.len() / window.cells.width.max(1);
    let mut marks = Marks::new(window.cells.width, height);
    let mut budget = Budget(usize::try_from(limits.max_points).unwrap_or(usize::MAX));
    let mut regions = Vec::new();
    for ((part, area), number) in chosen.into_iter().zip(1u32..) {
        let mut rings = marks.outlines(&part, number).into_iter();
        let outer = rings.next().and_then(|ring| outline(window, view, limits, &ring, &mut budget));
        let Some(outer) = outer else { break };
        let large = |ring: &Vec<Corner>| hole(window, view, ring) >= f64::from(limits.min_area);
        let holes = rings.filter(large).map_while(|ring| outline(window, view, limits, &ring, &mut budget)).collect();
        regions.push(Region { part, area, outer, holes });
    }
    Found { left_out: all - regions.len(), regions, coverage }
}

/// Corners that an answer may still have. No outline takes more than half of them, so that one that is all noise leaves some
/// for the others.
struct Budget(usize);

/// An outline in the picture; none if there are no corners left for it.
fn outline(
    window: &Window,
    view: &View,
    limits: &OutlinesRecipe,
    corners: &[Corner],
    budget: &mut Budget,
) -> Option<Ring> {
    let most = budget.0 / 2;
    if most < 4 {
        return None;
    }
    let corners: Vec<[f64; 2]> = corners.iter().map(|corner| cell(window, *corner)).collect();
    let kept = simplify(&corners, f64::from(limits.tolerance), most);
    budget.0 = budget.0.saturating_sub(kept.len());
    let tenth = |number: f64| (number * 10.0).round() / 10.0;
    Some(kept.into_iter().map(|point| view.to_picture(point).map(tenth)).collect())
}

/// Share of the picture that an outline of a hole holds, about.
fn hole(window: &Window, view: &View, corners: &[Corner]) -> f64 {
    let corners: Vec<[f64; 2]> = corners.iter().map(|corner| view.to_picture(cell(window, *corner))).collect();
    let pairs = corners.iter().zip(corners.iter().cycle().skip(1));
    let doubled: f64 = pairs.map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum();
    doubled.abs() / 2.0 / view.picture_area()
}

/// A corner of the window in the map.
fn cell(window: &Window, [x, y]: Corner) -> [f64; 2] {
    #[expect(clippy::cast_precision_loss, reason = "a map has at most 16777216 cells")]
    let place = [x as f64 + window.left as f64, y as f64 + window.top as f64];
    place
}

/// A share to six places: as exact as any picture needs it.
pub fn share(area: f64) -> f64 {
    (area * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::Frame;
    use super::parts::tests::map;
    use super::*;

    /// A picture of 100 x 100 that a tensor of the same size shows.
    fn whole() -> Frame {
        Frame {
            width: 100,
            height: 100,
            scaled_width: 100,
            scaled_height: 100,
            left: 0,
            top: 0,
            tensor_width: 100,
            tensor_height: 100,
        }
    }

    fn limits() -> OutlinesRecipe {
        OutlinesRecipe { tolerance: 0.0, min_area: 0.0, max_regions: 100, max_points: 1000 }
    }

    fn found(rows: &[&str], limits: &OutlinesRecipe) -> Found {
        let cells = map(rows);
        let view = View::new(whole(), rows[0].len(), rows.len());
        find(&Window { left: 0, top: 0, cells }, &view, limits)
    }

    #[test]
    fn regions_have_outlines_holes_and_areas_the_largest_first() {
        let found = found(&["b.......", ".aaa....", ".a.a....", ".aaa....", "........"], &limits());
        let [ring, dot] = &found.regions[..] else { panic!("{found:?}") };
        assert_eq!((ring.part.class, dot.part.class, found.left_out), (0, 1, 0));
        assert!((ring.area - 0.2).abs() < 1e-9 && (dot.area - 0.025).abs() < 1e-9);
        assert_eq!(ring.outer, [[50.0, 20.0], [50.0, 80.0], [12.5, 80.0], [12.5, 20.0]]);
        assert_eq!(
            ring.holes,
            [[[37.5, 60.0], [37.5, 40.0], [25.0, 40.0], [25.0, 60.0]].map(|[x, y]: [f64; 2]| [x, y])]
        );
        assert_eq!(dot.outer.len(), 4);
        assert_eq!(found.coverage.iter().map(|area| share(*area)).collect::<Vec<_>>(), [0.2, 0.025]);
    }

    #[test]
    fn what_is_too_small_or_too_much_is_left_out_and_counted() {
        let rows = ["aa.b", "aa..", "...c"];
        let told = |limits: OutlinesRecipe| {
            let found = found(&rows, &limits);
            (found.regions.len(), found.left_out, found.coverage.len())
        };
        assert_eq!(told(limits()), (3, 0, 3));
        assert_eq!(told(OutlinesRecipe { min_area: 0.2, ..limits() }), (1, 0, 3));
        assert_eq!(told(OutlinesRecipe { max_regions: 2, ..limits() }), (2, 1, 3));
        // Corners for one outline, and half of them for the next.
        assert_eq!(told(OutlinesRecipe { max_points: 11, ..limits() }), (1, 2, 3));
        assert_eq!(told(OutlinesRecipe { max_points: 0, ..limits() }), (0, 3, 3));
        // A hole that is too small is not told.
        let ring = found(&["aaaaa", "aa.aa", "aaaaa"], &OutlinesRecipe { min_area: 0.1, ..limits() });
        assert_eq!(ring.regions[0].holes, Vec::<Ring>::new());
    }

    #[test]
    fn an_empty_map_and_one_that_is_too_large_are_refused() {
        for (width, height, good) in
            [(1, 1, true), (4096, 4096, true), (4096, 4097, false), (0, 5, false), (usize::MAX, 2, false)]
        {
            assert_eq!(check_size(width, height).is_ok(), good, "{width} x {height}");
        }
        assert_eq!(found(&["...", "..."], &limits()), Found::default());
    }

    #[test]
    fn a_map_of_noise_has_a_bounded_answer() {
        // A checkerboard, and a comb as large as the map.
        let checks = |x: usize, y: usize| if (x + y).is_multiple_of(2) { 0 } else { 1 };
        let comb = |x: usize, y: usize| if y == 0 || x.is_multiple_of(2) { 0 } else { NOTHING };
        let view = View::new(whole(), 512, 512);
        let limits = OutlinesRecipe { max_points: 500, ..limits() };
        let found = find(&Window::of(&view, checks), &view, &limits);
        let points: usize = found.regions.iter().map(|region| region.outer.len()).sum();
        assert!(found.regions.len() == 100 && points <= 500, "{points}");
        assert_eq!(found.left_out, 512 * 512 - 100);
        let found = find(&Window::of(&view, comb), &view, &limits);
        assert!(found.regions.len() == 1 && found.regions[0].outer.len() <= 250);
    }

    proptest! {
        #[test]
        fn outlines_stay_in_the_picture_and_areas_add_up(
            (columns, rows) in (1..20usize, 1..20usize),
            (left, top, wide, high) in (-40..40i32, -40..40i32, 1..120u32, 1..120u32),
            raw in prop::collection::vec(0..3u32, 400),
        ) {
            let frame = Frame { scaled_width: wide, scaled_height: high, left, top, ..whole() };
            let view = View::new(frame, columns, rows);
            let found = find(&Window::of(&view, |x, y| raw[y * columns + x]), &view, &limits());
            let all: f64 = found.coverage.iter().sum();
            prop_assert!((-1e-9..=1.0 + 1e-9).contains(&all), "{}", all);
            if found.left_out == 0 {
                let told: f64 = found.regions.iter().map(|region| region.area).sum();
                prop_assert!((told - all).abs() < 1e-9);
            }
            for ring in found.regions.iter().flat_map(|region| region.holes.iter().chain([&region.outer])) {
                prop_assert!(ring.len() >= 3 && ring.iter().flatten().all(|at| (0.0..=100.0).contains(at)));
            }
        }
    }
}
