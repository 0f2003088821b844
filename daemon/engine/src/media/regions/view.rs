//! Which cells of a map show the picture, and what of it each of them shows. A map covers the whole tensor, whatever its own
//! resolution; padding around the picture shows nothing.

use std::ops::Range;

use crate::media::frame::Frame;

/// Less than that of a cell is a rounding error, not a part of the picture.
const LEAST: f64 = 1e-6;

/// A map laid over a picture.
#[derive(Clone, Debug)]
pub struct View {
    frame: Frame,
    /// Size of a cell, pixels of the tensor.
    cell: [f64; 2],
    /// Share of the picture's width that each column shows.
    widths: Vec<f64>,
    /// Share of the picture's height that each row shows.
    heights: Vec<f64>,
}

impl View {
    /// A map of so many columns and rows.
    pub fn new(frame: Frame, columns: usize, rows: usize) -> View {
        let (wide, widths) = shares(frame.left, frame.scaled_width, frame.tensor_width, columns);
        let (high, heights) = shares(frame.top, frame.scaled_height, frame.tensor_height, rows);
        View { frame, cell: [wide, high], widths, heights }
    }

    /// Columns that show something of the picture.
    pub fn columns(&self) -> Range<usize> {
        shown(&self.widths)
    }

    /// Rows that show something of the picture.
    pub fn rows(&self) -> Range<usize> {
        shown(&self.heights)
    }

    /// Share of the picture, 0 to 1, that the cells of a row from `first` to `last` show.
    pub fn share(&self, row: usize, first: usize, last: usize) -> f64 {
        let width: f64 = self.widths.get(first..=last).unwrap_or_default().iter().sum();
        width * self.heights.get(row).copied().unwrap_or(0.0)
    }

    /// A point of the map, in cells from its top left corner, in pixels of the picture, which it never leaves.
    pub fn to_picture(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.frame.point(x * self.cell[0], y * self.cell[1])
    }

    /// Pixels of the picture.
    pub fn picture_area(&self) -> f64 {
        (f64::from(self.frame.width) * f64::from(self.frame.height)).max(1.0)
    }

    /// Cells whose middle lies between two places of the tensor, along one side of it: 0 for columns, 1 for rows. At least
    /// the cell in the middle between the places, if that shows the picture.
    pub fn between(&self, side: usize, from: f32, to: f32) -> Range<usize> {
        let (shares, cell) = if side == 0 { (&self.widths, self.cell[0]) } else { (&self.heights, self.cell[1]) };
        let cells = |at: f32| f64::from(at) / cell.max(f64::MIN_POSITIVE);
        let first = whole((cells(from) - 0.5).ceil());
        let end = whole((cells(to) - 0.5).floor() + 1.0);
        let middle = whole(f64::midpoint(cells(from), cells(to)));
        let (first, end) = if first < end { (first, end) } else { (middle, middle + 1) };
        let shown = shown(shares);
        let first = first.clamp(shown.start, shown.end);
        first..end.clamp(first, shown.end)
    }
}

/// Size of a cell, and the share of the picture that each one shows.
fn shares(from: i32, scaled: u32, tensor: u32, cells: usize) -> (f64, Vec<f64>) {
    #[expect(clippy::cast_precision_loss, reason = "a map has at most 16777216 cells")]
    let cell = f64::from(tensor) / cells.max(1) as f64;
    let (start, end) = (f64::from(from), f64::from(from) + f64::from(scaled));
    #[expect(clippy::cast_precision_loss, reason = "the same")]
    let share = |at: usize| {
        let common = (cell * (at + 1) as f64).min(end) - (cell * at as f64).max(start);
        if common > cell * LEAST { common / f64::from(scaled.max(1)) } else { 0.0 }
    };
    (cell, (0..cells).map(share).collect())
}

fn shown(shares: &[f64]) -> Range<usize> {
    let first = shares.iter().position(|share| *share > 0.0).unwrap_or(0);
    let count = shares.iter().skip(first).take_while(|share| **share > 0.0).count();
    first..first + count
}

fn whole(number: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    let whole = number.clamp(0.0, 1e9) as usize;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 200 x 100 in the middle of a tensor of 100 x 100.
    fn letterboxed() -> Frame {
        Frame {
            width: 200,
            height: 100,
            scaled_width: 100,
            scaled_height: 50,
            left: 0,
            top: 25,
            tensor_width: 100,
            tensor_height: 100,
        }
    }

    #[test]
    fn only_cells_that_show_the_picture_count_and_all_of_them_are_the_whole_picture() {
        for (columns, rows, shown) in [(10, 10, 2..8), (100, 100, 25..75), (1, 1, 0..1), (7, 3, 0..3), (20, 4, 1..3)] {
            let view = View::new(letterboxed(), columns, rows);
            assert_eq!((view.columns(), view.rows()), (0..columns, shown.clone()), "{columns} x {rows}");
            let all: f64 = shown.map(|row| view.share(row, 0, columns - 1)).sum();
            assert!((all - 1.0).abs() < 1e-9, "{columns} x {rows}: {all}");
        }
        assert_eq!(View::new(letterboxed(), 0, 0).columns(), 0..0);
        // Cropped: the tensor shows the middle half of the picture.
        let cropped = Frame { scaled_width: 200, left: -50, scaled_height: 100, top: 0, ..letterboxed() };
        let view = View::new(cropped, 10, 10);
        let all: f64 = (0..10).map(|row| view.share(row, 0, 9)).sum();
        assert!((all - 0.5).abs() < 1e-9, "{all}");
        assert_eq!(view.to_picture([0.0, 0.0]), [50.0, 0.0]);
    }

    #[test]
    fn points_come_to_the_picture_and_stay_in_it() {
        let view = View::new(letterboxed(), 10, 10);
        for (point, wanted) in [([0.0, 2.5], [0.0, 0.0]), ([5.0, 5.0], [100.0, 50.0]), ([10.0, 10.0], [200.0, 100.0])] {
            assert_eq!(view.to_picture(point), wanted, "{point:?}");
        }
    }

    #[test]
    fn a_box_takes_the_cells_whose_middle_it_holds_and_never_none_inside_the_picture() {
        let view = View::new(letterboxed(), 10, 10);
        for (side, from, to, wanted) in [
            (0, 0.0, 100.0, 0..10),
            (0, 14.0, 26.0, 1..3),
            (0, 15.0, 25.0, 1..3),
            (0, 16.0, 18.0, 1..2),
            (0, -1e9, 1e9, 0..10),
            (1, 0.0, 100.0, 2..8),
            (1, 0.0, 10.0, 2..2),
            (1, f32::NAN, 10.0, 2..2),
        ] {
            assert_eq!(view.between(side, from, to), wanted, "{side} {from} {to}");
        }
    }
}
