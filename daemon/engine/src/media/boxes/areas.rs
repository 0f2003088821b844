//! Connected areas of a map: pixels above the threshold that touch, also by a corner. Knows nothing of rectangles.
//!
//! A *run* is an unbroken stretch of such pixels in one row. Runs that touch from one row to the next are joined in sets, so
//! that time and memory grow with the number of runs, which the size of the map bounds, whatever the model says.

use super::rectangle::Point;
use super::{Map, floats};
use crate::bundle::BoxesRecipe;

/// One area.
pub struct Area {
    /// The first and the last pixel of each of its rows, from top to bottom: what a rectangle around it has to hold.
    pub outline: Vec<Point>,
}

/// A stretch of one row.
#[derive(Clone, Copy)]
struct Run {
    row: u32,
    first: u32,
    last: u32,
}

/// The largest areas of a map, in the order of their first pixels, and how many were left out because there were more than
/// the recipe's limit.
pub fn areas(map: &Map<'_>, recipe: &BoxesRecipe) -> (Vec<Area>, usize) {
    let runs = runs(map, recipe);
    let roots = joined(&runs);
    let mut sizes = vec![0u64; runs.len()];
    for (run, root) in runs.iter().zip(&roots) {
        if let Some(size) = sizes.get_mut(*root) {
            *size += u64::from(run.last - run.first) + 1;
        }
    }
    let mut chosen: Vec<usize> =
        (0..runs.len()).filter(|root| sizes.get(*root).is_some_and(|size| *size > 0)).collect();
    let most = usize::try_from(recipe.max_candidates).unwrap_or(usize::MAX);
    let left_out = chosen.len().saturating_sub(most);
    if left_out > 0 {
        chosen.sort_by_key(|root| std::cmp::Reverse(sizes.get(*root).copied()));
        chosen.truncate(most);
        chosen.sort_unstable();
    }
    (outlines(&runs, &roots, &chosen), left_out)
}

/// The runs of a map, row by row from left to right.
fn runs(map: &Map<'_>, recipe: &BoxesRecipe) -> Vec<Run> {
    let (mut runs, mut above, mut marked) = (Vec::new(), vec![false; map.width], vec![false; map.width]);
    for (row, values) in (0u32..).zip(map.rows()) {
        for (mark, value) in marked.iter_mut().zip(floats(values)) {
            *mark = value > recipe.threshold;
        }
        if recipe.dilate {
            // To the right within the row, then down from the row above.
            let mut left = false;
            for mark in &mut marked {
                left = std::mem::replace(mark, *mark || left);
            }
            let wide = marked.clone();
            marked.iter_mut().zip(&above).for_each(|(mark, above)| *mark |= *above);
            above = wide;
        }
        let mut at = 0;
        for stretch in marked.chunk_by(|a, b| a == b) {
            let next = at + u32::try_from(stretch.len()).unwrap_or(0);
            if stretch.first() == Some(&true) {
                runs.push(Run { row, first: at, last: next - 1 });
            }
            at = next;
        }
    }
    runs
}

/// For each run the first run of its area.
fn joined(runs: &[Run]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    // The run of the row above that is looked at; both rows are walked from left to right.
    let mut upper = 0;
    for (lower, run) in runs.iter().enumerate() {
        while let Some(above) = runs.get(upper).filter(|above| above.row < run.row) {
            let is_left = above.row + 1 < run.row || above.last + 1 < run.first;
            if !is_left && above.first > run.last + 1 {
                break;
            }
            if !is_left {
                join(&mut parents, upper, lower);
                // It may reach to the next run of this row as well.
                if above.last > run.last {
                    break;
                }
            }
            upper += 1;
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

/// The ends of each row of the chosen areas.
fn outlines(runs: &[Run], roots: &[usize], chosen: &[usize]) -> Vec<Area> {
    let mut rows: Vec<Vec<Run>> = chosen.iter().map(|_| Vec::new()).collect();
    for (run, root) in runs.iter().zip(roots) {
        let Some(rows) = chosen.binary_search(root).ok().and_then(|at| rows.get_mut(at)) else { continue };
        match rows.last_mut() {
            Some(row) if row.row == run.row => row.last = run.last,
            _ => rows.push(*run),
        }
    }
    let ends = |row: &Run| [row.first, row.last].map(|x| Point { x: f64::from(x), y: f64::from(row.row) });
    rows.iter().map(|rows| Area { outline: rows.iter().flat_map(ends).collect() }).collect()
}
