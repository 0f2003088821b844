//! Areas of pictures: outlines become maps of labels, and maps are held against each other cell by cell. Mean intersection
//! over union as PASCAL VOC defines it (M. Everingham and others, "The PASCAL Visual Object Classes Challenge", 2015): the cells
//! of all pictures together, the mean over labels.

use super::{mean, share};

/// No label.
pub const NOTHING: u8 = IGNORED - 1;
/// Nobody knows which label: such cells of a truth do not count.
pub const IGNORED: u8 = u8::MAX;
/// Most labels.
pub const MOST_LABELS: usize = 254;

/// A map of the places of labels, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    pub width: usize,
    pub height: usize,
    pub cells: Vec<u8>,
}

/// An outline and its holes, and the place of its label. Corners in shares of the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    pub label: u8,
    pub rings: Vec<Vec<[f64; 2]>>,
}

impl Map {
    /// Nothing but `label`.
    pub fn of(width: usize, height: usize, label: u8) -> Map {
        Map { width, height, cells: vec![label; width.saturating_mul(height)] }
    }

    /// Fills areas in, the later over the earlier: a cell belongs to one if its middle lies within an odd number of rings.
    pub fn fill(&mut self, areas: &[Area]) {
        for area in areas {
            for (y, row) in self.cells.chunks_mut(self.width.max(1)).enumerate() {
                for (from, to) in spans(area, share(2 * y + 1, 2 * self.height), self.width) {
                    if let Some(cells) = row.get_mut(from..to) {
                        cells.fill(area.label);
                    }
                }
            }
        }
    }
}

/// Cells of a row whose middles lie within, from and to; `y` in shares of the height.
fn spans(area: &Area, y: f64, width: usize) -> Vec<(usize, usize)> {
    let mut crossings: Vec<f64> = Vec::new();
    for ring in &area.rings {
        for (at, a) in ring.iter().enumerate() {
            let Some(b) = ring.get((at + 1) % ring.len()) else { continue };
            if (a[1] <= y) != (b[1] <= y) {
                crossings.push(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
            }
        }
    }
    crossings.sort_by(f64::total_cmp);
    let pair = |pair: &[f64; 2]| (first_at(pair[0], width), first_at(pair[1], width));
    crossings.as_chunks::<2>().0.iter().map(pair).collect()
}

/// The first cell whose middle is not left of `x`, a share of the width.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the width"
)]
fn first_at(x: f64, width: usize) -> usize {
    (x * width as f64 - 0.5).ceil().clamp(0.0, width as f64) as usize
}

/// Cells by label.
#[derive(Clone, Debug)]
pub struct Cells {
    /// Of both, of the truth, of what was found.
    counts: Vec<[usize; 3]>,
}

impl Cells {
    /// Of so many labels.
    pub fn new(labels: usize) -> Cells {
        Cells { counts: vec![[0; 3]; labels.min(MOST_LABELS)] }
    }

    /// Adds the cells of a picture; maps of different sizes are all wrong.
    pub fn add(&mut self, found: &Map, truth: &Map) {
        let same = (found.width, found.height) == (truth.width, truth.height);
        for (at, wanted) in truth.cells.iter().enumerate().filter(|(_, wanted)| **wanted != IGNORED) {
            let given = found.cells.get(at).filter(|_| same).copied().unwrap_or(NOTHING);
            if let Some(count) = self.counts.get_mut(usize::from(*wanted)) {
                count[0] += usize::from(given == *wanted);
                count[1] += 1;
            }
            if let Some(count) = self.counts.get_mut(usize::from(given)) {
                count[2] += 1;
            }
        }
    }

    /// Intersection over union, the mean over labels that are there or were found; `None` if there are none.
    pub fn mean_iou(&self) -> Option<f64> {
        let seen = self.counts.iter().filter(|[_, there, found]| there + found > 0);
        mean(seen.map(|[both, there, found]| share(*both, there + found - both)))
    }

    /// Share of the cells that belong to a label whose label was found.
    pub fn accuracy(&self) -> f64 {
        let sum = |at: usize| self.counts.iter().filter_map(|count| count.get(at)).sum::<usize>();
        share(sum(0), sum(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(left: f64, top: f64, right: f64, bottom: f64) -> Vec<[f64; 2]> {
        vec![[left, top], [right, top], [right, bottom], [left, bottom]]
    }

    #[test]
    fn a_cell_belongs_to_the_outline_that_its_middle_lies_in() {
        let mut map = Map::of(4, 4, 0);
        let ring = Area { label: 1, rings: vec![rectangle(0.0, 0.0, 1.0, 1.0), rectangle(0.25, 0.25, 0.75, 0.75)] };
        map.fill(&[ring, Area { label: 2, rings: vec![rectangle(0.0, 0.0, 0.3, 0.2)] }]);
        assert_eq!(map.cells, [2, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1]);
        // A triangle: the middles below its diagonal, and those beyond the picture are cut off.
        let mut map = Map::of(3, 3, NOTHING);
        map.fill(&[Area { label: 0, rings: vec![vec![[-1.0, -0.9], [2.0, 2.1], [-1.0, 2.1]]] }]);
        let n = NOTHING;
        assert_eq!(map.cells[3..5], [0, n]);
        assert_eq!(map.cells.iter().filter(|cell| **cell == 0).count(), 3, "{map:?}");
    }

    #[test]
    fn shapes_that_are_none_fill_nothing() {
        let mut map = Map::of(4, 4, NOTHING);
        let ring = |corners: &[[f64; 2]]| Area { label: 1, rings: vec![corners.to_vec()] };
        map.fill(&[ring(&[]), ring(&[[0.5, 0.5]]), ring(&[[0.1, 0.1], [0.9, 0.9]]), ring(&[[f64::NAN; 2]; 3])]);
        assert_eq!(map, Map::of(4, 4, NOTHING));
    }

    #[test]
    fn the_mean_is_over_labels_of_all_pictures_together() {
        let map = |cells: &[u8]| Map { width: cells.len(), height: 1, cells: cells.to_vec() };
        let mut cells = Cells::new(4);
        cells.add(&map(&[0, 0, 1, 1]), &map(&[0, 1, 1, 1]));
        assert_eq!(cells.mean_iou(), Some((1.0 / 2.0 + 2.0 / 3.0) / 2.0));
        // A label found where none is, cells without a truth, cells where nothing was found.
        cells.add(&map(&[2, 2, NOTHING, 0]), &map(&[0, IGNORED, 1, 0]));
        // 0: both 2, there 3, found 3; 1: both 2, there 4, found 2; 2: found 1.
        let wanted = (2.0 / 4.0 + 2.0 / 4.0 + 0.0) / 3.0;
        assert!((cells.mean_iou().unwrap() - wanted).abs() < 1e-12, "{cells:?}");
        assert!((cells.accuracy() - 4.0 / 7.0).abs() < 1e-12, "{cells:?}");
        assert_eq!(Cells::new(2).mean_iou(), None);
        let mut other = Cells::new(1);
        other.add(&map(&[0]), &map(&[0, 0]));
        assert_eq!(other.mean_iou(), Some(0.0), "another size");
    }
}
