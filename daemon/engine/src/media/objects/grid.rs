//! Heads with one row of numbers for each of thousands of anchors: which of them show anything, without a copy of all.

use super::candidates::Candidate;

/// The numbers of one picture: for each anchor four of a rectangle, then maybe the score of there being anything, then a
/// score for each class, then maybe the coefficients of a mask. Nearly all of them show nothing.
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a> {
    pub numbers: &'a [[u8; 4]],
    pub anchors: usize,
    pub classes: usize,
    pub coefficients: usize,
    pub objectness: bool,
    /// All anchors' first numbers come first, then all second ones; else anchor by anchor.
    pub planes: bool,
}

/// What an anchor shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    pub anchor: usize,
    pub class: usize,
    pub score: f32,
}

impl Grid<'_> {
    /// Numbers of an anchor.
    pub fn width(&self) -> usize {
        self.head() + self.classes + self.coefficients
    }

    fn head(&self) -> usize {
        4 + usize::from(self.objectness)
    }

    /// The anchors whose best class is at least as sure as `threshold`. What is no number counts as nothing.
    pub fn above(&self, threshold: f32) -> Vec<Seen> {
        if self.planes { self.above_in_planes(threshold) } else { self.above_in_rows(threshold) }
    }

    /// Plane after plane, as they lie in memory: a comparison of whole rows of numbers at a time.
    fn above_in_planes(&self, threshold: f32) -> Vec<Seen> {
        let plane = |at: usize| self.numbers.chunks_exact(self.anchors.max(1)).nth(at).unwrap_or_default();
        let mut best = vec![f32::NEG_INFINITY; self.anchors];
        let mut classes = vec![0u32; self.anchors];
        for (class, at) in (0u32..).zip(self.head()..self.head() + self.classes) {
            for ((best, place), score) in best.iter_mut().zip(&mut classes).zip(plane(at)) {
                let score = f32::from_ne_bytes(*score);
                let better = score > *best;
                *best = if better { score } else { *best };
                *place = if better { class } else { *place };
            }
        }
        if self.objectness {
            best.iter_mut().zip(plane(4)).for_each(|(best, there)| *best *= f32::from_ne_bytes(*there));
        }
        let seen = best.iter().zip(&classes).enumerate().filter(|(_, (score, _))| **score >= threshold);
        seen.map(|(anchor, (score, class))| Seen { anchor, class: *class as usize, score: *score }).collect()
    }

    fn above_in_rows(&self, threshold: f32) -> Vec<Seen> {
        let rows = self.numbers.chunks_exact(self.width()).take(self.anchors).enumerate();
        let seen = |(anchor, row): (usize, &[[u8; 4]])| {
            let (head, scores) = row.split_at_checked(self.head())?;
            let there = if self.objectness { f32::from_ne_bytes(*head.last()?) } else { 1.0 };
            let scores = scores.iter().take(self.classes).map(|score| f32::from_ne_bytes(*score));
            let best = scores.clone().fold(f32::NEG_INFINITY, f32::max);
            let score = best * there;
            let class = || scores.clone().position(|score| score >= best);
            if score >= threshold { Some(Seen { anchor, class: class()?, score }) } else { None }
        };
        rows.filter_map(seen).collect()
    }

    /// The first four numbers of an anchor.
    pub fn rectangle(&self, anchor: usize) -> [f32; 4] {
        std::array::from_fn(|number| self.number(anchor, number))
    }

    /// The last numbers of an anchor.
    pub fn coefficients(&self, anchor: usize) -> Vec<f32> {
        let first = self.head() + self.classes;
        (first..self.width()).map(|number| self.number(anchor, number)).collect()
    }

    fn number(&self, anchor: usize, number: usize) -> f32 {
        let at = if self.planes { number * self.anchors + anchor } else { anchor * self.width() + number };
        self.numbers.get(at).map_or(0.0, |bytes| f32::from_ne_bytes(*bytes))
    }
}

impl Seen {
    /// With a rectangle of this middle and size.
    pub fn around(self, [x, y, width, height]: [f32; 4]) -> Candidate {
        let Seen { anchor, class, score } = self;
        Candidate { class, score, sides: sides([x, y, width, height]), place: anchor }
    }
}

/// Left, top, right, bottom of a rectangle by its middle and size.
pub fn sides([x, y, width, height]: [f32; 4]) -> [f32; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
}

/// The middle of the cell of each anchor, in cells, with the cell's size in pixels: grid after grid, row by row, as many as
/// fit into the tensor.
pub fn cells(strides: &[u32], width: u32, height: u32) -> Vec<[f32; 3]> {
    let cells = |stride: &u32| {
        let stride = (*stride).max(1);
        let rows = 0..height / stride;
        #[expect(clippy::cast_precision_loss, reason = "cells of a tensor of at most 8192 pixels")]
        let cell = move |row: u32, column: u32| [column as f32, row as f32, stride as f32];
        rows.flat_map(move |row| (0..width / stride).map(move |column| cell(row, column)))
    };
    strides.iter().flat_map(cells).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three anchors of two classes, each with two coefficients.
    fn rows(objectness: bool) -> Vec<[u8; 4]> {
        let there = |score: f32| if objectness { vec![score] } else { vec![] };
        let anchor = |at: f32, there: Vec<f32>, scores: [f32; 2]| {
            [vec![at, at, 4.0, 2.0], there, scores.to_vec(), vec![7.0, at]].concat()
        };
        let all = [
            anchor(10.0, there(0.5), [0.2, 0.8]),
            anchor(20.0, there(1.0), [0.1, 0.1]),
            anchor(30.0, there(0.9), [0.9, f32::NAN]),
        ];
        all.concat().into_iter().map(f32::to_ne_bytes).collect()
    }

    fn turned(rows: &[[u8; 4]], anchors: usize) -> Vec<[u8; 4]> {
        let width = rows.len() / anchors;
        (0..width).flat_map(|number| (0..anchors).map(move |anchor| rows[anchor * width + number])).collect()
    }

    #[test]
    fn both_orders_of_numbers_give_the_same() {
        for (objectness, wanted) in [(false, [(0, 1, 0.8), (2, 0, 0.9)]), (true, [(0, 1, 0.4), (2, 0, 0.81)])] {
            let (by_row, anchors, classes, coefficients) = (rows(objectness), 3, 2, 2);
            let by_plane = turned(&by_row, 3);
            for (numbers, planes) in [(&by_row, false), (&by_plane, true)] {
                let grid = Grid { numbers, anchors, classes, coefficients, objectness, planes };
                assert_eq!(grid.coefficients(1), [7.0, 20.0]);
                let seen = grid.above(0.4);
                let found: Vec<_> = seen.iter().map(|seen| (seen.anchor, seen.class, seen.score)).collect();
                assert_eq!(found.len(), 2, "{found:?}");
                for (found, wanted) in found.iter().zip(wanted) {
                    assert_eq!((found.0, found.1), (wanted.0, wanted.1));
                    assert!((found.2 - wanted.2).abs() < 1e-6);
                }
                assert_eq!(seen[1].around(grid.rectangle(2)).sides, [28.0, 29.0, 32.0, 31.0]);
            }
        }
    }

    #[test]
    fn cells_go_grid_after_grid_and_row_by_row() {
        let cells = cells(&[8, 16], 32, 16);
        assert_eq!(cells.len(), 8 + 2);
        assert_eq!((cells[0], cells[5], cells[9]), ([0.0, 0.0, 8.0], [1.0, 1.0, 8.0], [1.0, 0.0, 16.0]));
    }
}
