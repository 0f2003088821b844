//! The order in which people read: corners clockwise from the top left, boxes row by row from the top, each row from the
//! left.

use super::Found;
use super::rectangle::Point;

/// The corners of a rectangle from the top left one on: of the two leftmost the upper one. They go on clockwise.
pub fn clockwise(mut corners: [Point; 4]) -> [Point; 4] {
    corners.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let [mut top_left, mut bottom_left, mut top_right, mut bottom_right] = corners;
    if bottom_left.y < top_left.y {
        std::mem::swap(&mut top_left, &mut bottom_left);
    }
    if bottom_right.y < top_right.y {
        std::mem::swap(&mut top_right, &mut bottom_right);
    }
    [top_left, top_right, bottom_right, bottom_left]
}

/// Boxes from top to bottom; those whose middle is within half the height of the first box of a row are of that row, and
/// go from left to right. The box that a row begins with is the highest that is left.
pub fn in_reading_order(mut boxes: Vec<Found>) -> Vec<Found> {
    boxes.sort_by_key(|found| (middle(found), found.polygon));
    let mut rest = &mut boxes[..];
    while let Some(first) = rest.first() {
        let (start, reach) = (middle(first), height(first));
        // Middles are four times as large as pixels, and half of the height is meant.
        let row = rest.partition_point(|found| middle(found) <= start + 2 * reach);
        let (row, after) = rest.split_at_mut(row.max(1));
        row.sort_by_key(|found| (left(found), found.polygon));
        rest = after;
    }
    boxes
}

/// Four times the y of its middle, so that it is whole.
fn middle(found: &Found) -> u64 {
    found.polygon.iter().map(|[_, y]| u64::from(*y)).sum()
}

fn left(found: &Found) -> u32 {
    found.polygon.iter().map(|[x, _]| *x).min().unwrap_or(0)
}

/// Mean length of its left and right side downwards.
fn height(found: &Found) -> u64 {
    let [top_left, top_right, bottom_right, bottom_left] = found.polygon;
    u64::from(bottom_left[1].abs_diff(top_left[1]) + bottom_right[1].abs_diff(top_right[1])) / 2
}
