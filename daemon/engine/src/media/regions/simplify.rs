//! Outlines with fewer corners: those that are nearly on the line between their neighbours are left out (Douglas and Peucker),
//! so that no corner that goes is farther than a tolerance from what stays. Knows corners, nothing of maps.

/// A corner, in cells from the map's top left corner.
pub type Point = [f64; 2];

/// Corners of one outline that are looked at; of more, only every second, third and so on. The time grows with the square of it
/// in the worst case.
const MOST_LOOKED_AT: usize = 4096;
/// The tolerance of outlines without one that have too many corners, cells.
const LEAST_TOLERANCE: f64 = 0.25;

/// The corners that stay, in their order: at least three, at most `most` (of at least 4). Where they would be more, the
/// tolerance is doubled until they are not. Of an outline that is thinner than the tolerance the four corners of the upright
/// rectangle around it.
pub fn simplify(outline: &[Point], tolerance: f64, most: usize) -> Vec<Point> {
    let step = outline.len().div_ceil(MOST_LOOKED_AT).max(1);
    let corners: Vec<Point> = outline.iter().copied().step_by(step).collect();
    let mut tolerance = tolerance.max(0.0);
    loop {
        let kept = within(&corners, tolerance);
        if kept.len() < 3 {
            return rectangle(outline);
        }
        if kept.len() <= most.max(4) {
            return kept;
        }
        tolerance = (tolerance * 2.0).max(LEAST_TOLERANCE);
    }
}

/// The corners of a closed outline from which no other one is farther than `tolerance`.
fn within(corners: &[Point], tolerance: f64) -> Vec<Point> {
    // Both ends of a long line through it are corners in any case.
    let Some(first) = corners.first() else { return Vec::new() };
    let far = farthest(corners, 0..corners.len(), |corner| length(*first, *corner)).map_or(0, |(at, _)| at);
    let mut stays = vec![false; corners.len()];
    let mut open = vec![0..far, far..corners.len()];
    while let Some(part) = open.pop() {
        for end in [part.start, part.end % corners.len()] {
            if let Some(stays) = stays.get_mut(end) {
                *stays = true;
            }
        }
        let end = |at: usize| corners.get(at % corners.len()).copied().unwrap_or_default();
        let (from, to) = (end(part.start), end(part.end));
        if let Some((at, distance)) = farthest(corners, part.start + 1..part.end, |corner| apart(*corner, from, to))
            && distance > tolerance
        {
            open.extend([part.start..at, at..part.end]);
        }
    }
    corners.iter().zip(stays).filter(|(_, stays)| *stays).map(|(corner, _)| *corner).collect()
}

/// The place with the largest distance.
fn farthest(corners: &[Point], part: std::ops::Range<usize>, distance: impl Fn(&Point) -> f64) -> Option<(usize, f64)> {
    let from = part.start;
    let distances = corners.get(part)?.iter().map(distance);
    let best = distances.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(at, distance)| (from + at, distance))
}

fn length(a: Point, b: Point) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// How far a point is from the line between two others.
fn apart(point: Point, from: Point, to: Point) -> f64 {
    let (along, down) = (to[0] - from[0], to[1] - from[1]);
    let square = along * along + down * down;
    if square <= 0.0 {
        return length(point, from);
    }
    let share = ((point[0] - from[0]) * along + (point[1] - from[1]) * down) / square;
    let share = share.clamp(0.0, 1.0);
    length(point, [from[0] + share * along, from[1] + share * down])
}

/// The corners of the upright rectangle around some points, clockwise from the top left.
fn rectangle(points: &[Point]) -> Vec<Point> {
    let side =
        |at: usize, pick: fn(f64, f64) -> f64, start: f64| points.iter().map(|point| point[at]).fold(start, pick);
    let (left, right) = (side(0, f64::min, f64::INFINITY), side(0, f64::max, f64::NEG_INFINITY));
    let (top, bottom) = (side(1, f64::min, f64::INFINITY), side(1, f64::max, f64::NEG_INFINITY));
    if points.is_empty() { Vec::new() } else { vec![[left, top], [right, top], [right, bottom], [left, bottom]] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(raw: &[(i32, i32)]) -> Vec<Point> {
        raw.iter().map(|(x, y)| [f64::from(*x), f64::from(*y)]).collect()
    }

    #[test]
    fn corners_within_the_tolerance_go() {
        let stairs = points(&[(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (0, 3)]);
        for (tolerance, wanted) in [
            (0.0, stairs.clone()),
            (0.8, points(&[(0, 0), (3, 3), (0, 3)])),
            // Thinner than the tolerance.
            (9.0, points(&[(0, 0), (3, 0), (3, 3), (0, 3)])),
        ] {
            assert_eq!(simplify(&stairs, tolerance, 100), wanted, "{tolerance}");
        }
        assert_eq!(simplify(&[], 1.0, 100), Vec::<Point>::new());
        assert_eq!(simplify(&points(&[(2, 1)]), 1.0, 100), points(&[(2, 1); 4]));
    }

    #[test]
    fn an_outline_has_no_more_corners_than_are_wanted_however_long_it_is() {
        // A comb with 100,000 teeth.
        let comb: Vec<Point> = (0..200_000).map(|at| [f64::from(at / 2), f64::from(((at + 1) / 2 % 2) * 9)]).collect();
        for most in [0, 4, 50, 1_000_000] {
            let kept = simplify(&comb, 0.0, most).len();
            assert!((3..=most.clamp(4, MOST_LOOKED_AT)).contains(&kept), "{kept} of {most}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_is_near_what_stays(
            raw in prop::collection::vec((0..60i32, 0..60i32), 3..80), tolerance in 0.0..8.0f64,
        ) {
            let outline = points(&raw);
            let kept = within(&outline, tolerance);
            prop_assert!(kept.iter().all(|corner| outline.contains(corner)));
            for corner in &outline {
                let sides = kept.iter().zip(kept.iter().cycle().skip(1));
                let near = sides.map(|(a, b)| apart(*corner, *a, *b)).fold(f64::INFINITY, f64::min);
                prop_assert!(near <= tolerance + 1e-9, "{corner:?} is {near} away");
            }
        }
    }
}
