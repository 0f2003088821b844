//! The outlines of a part of a map: closed ways along the sides of its cells, with the part on the right hand. The first one
//! goes around the part, the others around its holes. Knows cells, nothing of pictures.

use super::parts::Part;

/// A corner of cells, counted from the map's top left corner.
pub type Corner = [i64; 2];

/// Marks the cells of parts with their number, so that whoever traces one can tell it from its neighbours.
pub struct Marks {
    width: i64,
    height: i64,
    /// Number of the part; 0 for none.
    numbers: Vec<u32>,
    /// Upper sides that an outline went along.
    passed: Vec<bool>,
}

/// Which way an outline goes: to the right, down, to the left, up.
const STEPS: [[i64; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

impl Marks {
    /// None yet in a map of this size.
    pub fn new(width: usize, height: usize) -> Marks {
        let size = |side: usize| i64::try_from(side).unwrap_or(i64::MAX);
        let cells = width.saturating_mul(height);
        Marks { width: size(width), height: size(height), numbers: vec![0; cells], passed: vec![false; cells] }
    }

    fn place(&self, [x, y]: [i64; 2]) -> Option<usize> {
        let inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        inside.then(|| usize::try_from(y * self.width + x).ok()).flatten()
    }

    fn number(&self, cell: [i64; 2]) -> u32 {
        self.place(cell).and_then(|at| self.numbers.get(at)).copied().unwrap_or(0)
    }

    /// The outlines of a part, which gets the number `number` (not 0, and no other part's): corners where they turn.
    pub fn outlines(&mut self, part: &Part, number: u32) -> Vec<Vec<Corner>> {
        let cells = || {
            let row = |run: &super::parts::Run| {
                let y = i64::try_from(run.row).unwrap_or(-1);
                (run.first..=run.last).map(move |x| [i64::try_from(x).unwrap_or(-1), y])
            };
            part.runs.iter().flat_map(row)
        };
        for cell in cells() {
            if let Some(mark) = self.place(cell).and_then(|at| self.numbers.get_mut(at)) {
                *mark = number;
            }
        }
        let mut outlines = Vec::new();
        for [x, y] in cells() {
            // Each outline has a side somewhere that is the upper one of a cell; the part's first cell is on the outer one.
            let passed = self.place([x, y]).and_then(|at| self.passed.get(at)).copied().unwrap_or(true);
            if !passed && self.number([x, y - 1]) != number {
                outlines.push(self.outline([x, y], number));
            }
        }
        outlines
    }

    /// The outline that goes to the right from this corner.
    fn outline(&mut self, start: Corner, number: u32) -> Vec<Corner> {
        let (mut at, mut way, mut corners) = (start, 0, Vec::new());
        loop {
            if let Some(passed) = self.place(at).filter(|_| way == 0).and_then(|at| self.passed.get_mut(at)) {
                *passed = true;
            }
            let [x, y] = STEPS.get(way).copied().unwrap_or_default();
            at = [at[0] + x, at[1] + y];
            let next = self.turn(at, way, number);
            if next != way {
                corners.push(at);
            }
            way = next;
            // Every side is on one outline, once: it ends where it began.
            if at == start && way == 0 {
                return corners;
            }
        }
    }

    /// Where to go on from a corner. Two cells of the part that touch by the corner alone are not joined by it.
    fn turn(&self, [x, y]: Corner, way: usize, number: u32) -> usize {
        let (left, right) = match way {
            0 => ([x, y - 1], [x, y]),
            1 => ([x, y], [x - 1, y]),
            2 => ([x - 1, y], [x - 1, y - 1]),
            _ => ([x - 1, y - 1], [x, y - 1]),
        };
        match (self.number(left) == number, self.number(right) == number) {
            (_, false) => (way + 1) % 4,
            (true, true) => (way + 3) % 4,
            (false, true) => way,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parts::{Cells, NOTHING, parts, tests::map};
    use super::*;

    fn outlines(cells: &Cells) -> Vec<Vec<Vec<Corner>>> {
        let mut marks = Marks::new(cells.width, cells.classes.len() / cells.width);
        (1u32..).zip(&parts(cells)).map(|(number, part)| marks.outlines(part, number)).collect()
    }

    /// Twice what an outline holds; negative for holes.
    fn doubled(corners: &[Corner]) -> i64 {
        corners.iter().zip(corners.iter().cycle().skip(1)).map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum()
    }

    #[test]
    fn an_outline_goes_around_its_part_and_around_each_hole() {
        assert_eq!(outlines(&map(&["a"])), [[[[1, 0], [1, 1], [0, 1], [0, 0]]]]);
        let ring = outlines(&map(&["aaa", "a.a", "aaa"]));
        let hole = vec![[2, 2], [2, 1], [1, 1], [1, 2]];
        assert_eq!(ring, [vec![vec![[3, 0], [3, 3], [0, 3], [0, 0]], hole]]);
        let stairs = outlines(&map(&["a..", "aa.", "aaa"]));
        assert_eq!(stairs, [[[[1, 0], [1, 1], [2, 1], [2, 2], [3, 2], [3, 3], [0, 3], [0, 0]]]]);
        // Two holes that touch by a corner, and cells of the part that do.
        let holes = outlines(&map(&["aaaa", "a.aa", "aa.a", "aaaa"]));
        assert_eq!(holes[0].iter().map(|ring| doubled(ring)).collect::<Vec<_>>(), [32, -4]);
        assert_eq!(outlines(&map(&["a.", ".a"])).len(), 2);
    }

    proptest! {
        #[test]
        fn outlines_hold_just_the_cells_of_their_part(
            width in 1..14usize, raw in prop::collection::vec(0..3u32, 1..200),
        ) {
            let mut classes: Vec<u32> = raw.iter().map(|class| if *class == 2 { NOTHING } else { *class }).collect();
            classes.truncate(classes.len() / width * width);
            let cells = Cells { width, classes };
            if cells.classes.is_empty() {
                return Ok(());
            }
            for (part, outlines) in parts(&cells).iter().zip(outlines(&cells)) {
                let size: usize = part.runs.iter().map(|run| run.last - run.first + 1).sum();
                let held: i64 = outlines.iter().map(|ring| doubled(ring)).sum();
                prop_assert_eq!(held, 2 * i64::try_from(size).unwrap());
                prop_assert!(doubled(&outlines[0]) > 0);
                prop_assert!(outlines[1..].iter().all(|hole| doubled(hole) < 0));
                // Corners only, and each side straight.
                for ring in &outlines {
                    for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                        prop_assert!((a[0] == b[0]) != (a[1] == b[1]));
                    }
                }
            }
        }
    }
}
