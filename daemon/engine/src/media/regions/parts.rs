//! Connected parts of a map: cells of one class that share a side. Knows classes and cells, nothing of pictures.
//!
//! A *run* is an unbroken stretch of one class in a row. Runs that touch from one row to the next are joined in sets, so that
//! time and memory grow with the size of the map, whatever the model says.

/// Cells that belong to no class.
pub const NOTHING: u32 = u32::MAX;

/// A class for each cell of a map, row by row; [`NOTHING`] for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    pub width: usize,
    pub classes: Vec<u32>,
}

/// A stretch of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub row: usize,
    pub first: usize,
    pub last: usize,
}

/// Connected cells of one class: their runs, row by row from the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub class: u32,
    pub runs: Vec<Run>,
}

/// The parts of a map, in the order of their first cells.
pub fn parts(cells: &Cells) -> Vec<Part> {
    let runs = runs(cells);
    let roots = joined(&runs);
    // The place of a root's part; a root is the first run of its part.
    let mut places = vec![usize::MAX; runs.len()];
    let mut parts: Vec<Part> = Vec::new();
    for ((class, run), root) in runs.iter().zip(&roots) {
        let Some(place) = places.get_mut(*root) else { continue };
        if *place == usize::MAX {
            *place = parts.len();
            parts.push(Part { class: *class, runs: Vec::new() });
        }
        if let Some(part) = parts.get_mut(*place) {
            part.runs.push(*run);
        }
    }
    parts
}

fn runs(cells: &Cells) -> Vec<(u32, Run)> {
    let mut runs = Vec::new();
    for (row, classes) in cells.classes.chunks_exact(cells.width.max(1)).enumerate() {
        let mut first = 0;
        for stretch in classes.chunk_by(|a, b| a == b) {
            let next = first + stretch.len();
            if let Some(class) = stretch.first().filter(|class| **class != NOTHING) {
                runs.push((*class, Run { row, first, last: next - 1 }));
            }
            first = next;
        }
    }
    runs
}

/// For each run the first run of its part.
fn joined(runs: &[(u32, Run)]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    // The first run of the row above that reaches as far as the one that is looked at.
    let mut upper = 0;
    for (lower, (class, run)) in runs.iter().enumerate() {
        let above = |at: usize| runs.get(at).filter(|(_, above)| above.row < run.row);
        while above(upper).is_some_and(|(_, above)| above.row + 1 < run.row || above.last < run.first) {
            upper += 1;
        }
        let mut at = upper;
        while let Some((other, _)) = above(at).filter(|(_, above)| above.first <= run.last) {
            if other == class {
                join(&mut parents, at, lower);
            }
            at += 1;
        }
    }
    (0..runs.len()).map(|at| root(&mut parents, at)).collect()
}

/// Makes the earlier root that of both.
fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    if let Some(parent) = parents.get_mut(a.max(b)) {
        *parent = a.min(b);
    }
}

/// The root of a set; every second step on the way is shortened.
fn root(parents: &mut [usize], mut at: usize) -> usize {
    while let Some(parent) = parents.get(at).copied().filter(|parent| *parent != at) {
        let grandparent = parents.get(parent).copied().unwrap_or(parent);
        if let Some(place) = parents.get_mut(at) {
            *place = grandparent;
        }
        at = grandparent;
    }
    at
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A map by letters; a point is nothing.
    pub fn map(rows: &[&str]) -> Cells {
        let class = |letter: char| if letter == '.' { NOTHING } else { u32::from(letter) - u32::from('a') };
        let classes = rows.iter().flat_map(|row| row.chars().map(class)).collect();
        Cells { width: rows[0].len(), classes }
    }

    fn sizes(cells: &Cells) -> Vec<(u32, usize)> {
        let size = |part: &Part| part.runs.iter().map(|run| run.last - run.first + 1).sum();
        parts(cells).iter().map(|part| (part.class, size(part))).collect()
    }

    #[test]
    fn cells_of_a_class_that_share_a_side_are_one_part() {
        for (rows, wanted) in [
            (vec!["..."], vec![]),
            (vec!["aab", "abb"], vec![(0, 3), (1, 3)]),
            // By a corner only.
            (vec!["a.", ".a"], vec![(0, 1), (0, 1)]),
            // Two that meet below, and a ring with something else inside.
            (vec!["a.a", "a.a", "aaa"], vec![(0, 7)]),
            (vec!["aaa", "aba", "aaa"], vec![(0, 8), (1, 1)]),
            // What ends a row does not touch what begins the next one.
            (vec![".a", "a."], vec![(0, 1), (0, 1)]),
            (vec!["a", ".", "a"], vec![(0, 1), (0, 1)]),
            (vec!["aaaaa", "a.a.a", "a.aaa", "a....", "aaaaa"], vec![(0, 18)]),
        ] {
            assert_eq!(sizes(&map(&rows)), wanted, "{rows:?}");
        }
        assert_eq!(parts(&Cells { width: 0, classes: vec![] }), []);
    }

    /// The same by filling from cell to cell.
    fn filled(cells: &Cells) -> Vec<(u32, usize)> {
        let (mut seen, mut found) = (vec![false; cells.classes.len()], Vec::new());
        for start in 0..cells.classes.len() {
            let (class, mut size, mut open) = (cells.classes[start], 0, vec![start]);
            while let Some(at) = open.pop() {
                if cells.classes[at] != class || class == NOTHING || std::mem::replace(&mut seen[at], true) {
                    continue;
                }
                size += 1;
                let column = at % cells.width;
                open.extend((column > 0).then(|| at - 1));
                open.extend((column + 1 < cells.width).then_some(at + 1));
                open.extend(at.checked_sub(cells.width));
                open.extend(Some(at + cells.width).filter(|at| *at < cells.classes.len()));
            }
            found.extend((size > 0).then_some((class, size)));
        }
        found
    }

    proptest! {
        #[test]
        fn parts_are_what_filling_from_cell_to_cell_finds(
            width in 1..12usize, raw in prop::collection::vec(0..4u32, 1..140),
        ) {
            let mut classes: Vec<u32> = raw.iter().map(|class| if *class == 3 { NOTHING } else { *class }).collect();
            classes.truncate(classes.len() / width * width);
            let cells = Cells { width, classes };
            prop_assert_eq!(sizes(&cells), filled(&cells));
        }
    }
}
