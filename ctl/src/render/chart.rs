//! Values over time as characters: a curve with a limit, in braille dots or in plain ASCII.

use super::glyphs::{Glyphs, place, share};

/// One point: its place in time, 0 (the oldest) to 1 (now), and the value.
pub type At = (f64, f64);

/// Dots of a braille character by column and row, as Unicode numbers them.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
const BRAILLE: u32 = 0x2800;
/// A limit is drawn on every fourth dot, so that it is not taken for the curve.
const LIMIT_EVERY: usize = 4;

/// Size in characters, and the range of values.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub columns: usize,
    pub rows: usize,
    pub low: f64,
    pub high: f64,
}

/// The rows of a chart from top to bottom, all of the same width.
pub fn rows(frame: Frame, curve: &[At], limit: Option<f64>, glyphs: Glyphs) -> Vec<String> {
    let (across, down) = if glyphs.braille { (2, 4) } else { (1, 1) };
    let (width, height) = (frame.columns * across, frame.rows * down);
    let y =
        |value: f64| height.saturating_sub(1) - place(share(value, frame.low, frame.high), height.saturating_sub(1));
    let mut canvas = vec![vec![Dot::None; width]; height];
    let mut set = |x: usize, y: usize, dot: Dot| {
        if let Some(cell) = canvas.get_mut(y).and_then(|row| row.get_mut(x)) {
            *cell = dot;
        }
    };
    if let Some(limit) = limit.filter(|limit| (frame.low..=frame.high).contains(limit)) {
        let every = if glyphs.braille { LIMIT_EVERY } else { 1 };
        (0..width).step_by(every).for_each(|x| set(x, y(limit), Dot::Limit));
    }
    for (x, value) in by_column(curve, width) {
        set(x, y(value), Dot::Curve);
    }
    let row = |row: usize| {
        let cell =
            |column: usize| if glyphs.braille { braille(&canvas, column, row) } else { letter(canvas[row][column]) };
        (0..frame.columns).map(cell).collect()
    };
    (0..frame.rows).map(row).collect()
}

/// The mean of the points of each column that has some.
pub fn by_column(points: &[At], columns: usize) -> impl Iterator<Item = (usize, f64)> {
    let mut sums = vec![(0.0, 0_u32); columns];
    for (at, value) in points {
        if let Some((sum, count)) = sums.get_mut(place(*at, columns.saturating_sub(1))) {
            (*sum, *count) = (*sum + value, *count + 1);
        }
    }
    sums.into_iter()
        .enumerate()
        .filter(|(_, (_, count))| *count > 0)
        .map(|(x, (sum, count))| (x, sum / f64::from(count)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dot {
    None,
    Limit,
    Curve,
}

fn letter(dot: Dot) -> char {
    match dot {
        Dot::None => ' ',
        Dot::Limit => '-',
        Dot::Curve => '*',
    }
}

fn braille(canvas: &[Vec<Dot>], column: usize, row: usize) -> char {
    let bits = DOTS.iter().enumerate().flat_map(|(x, bits)| bits.iter().enumerate().map(move |(y, bit)| (x, y, bit)));
    let is_set = |x: usize, y: usize| {
        canvas.get(row * 4 + y).and_then(|line| line.get(column * 2 + x)).is_some_and(|dot| *dot != Dot::None)
    };
    let sum = bits.filter(|(x, y, _)| is_set(*x, *y)).map(|(_, _, bit)| bit).sum::<u32>();
    if sum == 0 { ' ' } else { char::from_u32(BRAILLE + sum).unwrap_or(' ') }
}

#[cfg(test)]
mod tests {
    use super::super::glyphs::{ASCII, BLOCKS};
    use super::*;

    const FRAME: Frame = Frame { columns: 5, rows: 3, low: 0.0, high: 10.0 };

    #[test]
    fn a_curve_rises_from_the_left_below_to_the_right_above() {
        let curve = [(0.0, 0.0), (0.25, 2.0), (0.5, 5.0), (0.75, 8.0), (1.0, 10.0)];
        assert_eq!(rows(FRAME, &curve, None, ASCII), ["   **", "  *  ", "**   "]);
        assert_eq!(rows(FRAME, &curve, Some(10.0), ASCII)[0], "---**", "the curve is drawn over the limit");
        assert_eq!(rows(FRAME, &[(0.0, 10.0), (1.0, 0.0)], None, BLOCKS), ["⠁    ", "     ", "    ⢀"]);
    }

    #[test]
    fn what_is_outside_stays_at_the_edge_and_a_limit_outside_is_left_out() {
        assert_eq!(rows(FRAME, &[(-1.0, 99.0), (7.0, -99.0)], Some(11.0), ASCII), ["*    ", "     ", "    *"]);
    }

    #[test]
    fn nothing_to_draw_is_an_empty_frame() {
        assert_eq!(rows(FRAME, &[], None, ASCII), ["     "; 3]);
        assert!(rows(Frame { columns: 0, rows: 0, ..FRAME }, &[(0.5, 1.0)], Some(1.0), BLOCKS).is_empty());
    }

    #[test]
    fn points_of_one_column_are_its_mean() {
        let points = [(0.0, 1.0), (0.01, 3.0), (1.0, 8.0)];
        assert_eq!(by_column(&points, 3).collect::<Vec<_>>(), [(0, 2.0), (2, 8.0)]);
    }
}
