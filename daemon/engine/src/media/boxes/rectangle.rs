//! Rectangles at any angle: the smallest one around some points. Pure geometry; y grows downwards, as in pictures.

/// A point of a map or a picture, pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// From the lowest to the highest value along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    fn of(values: impl Iterator<Item = f64>) -> Span {
        let empty = Span { low: f64::INFINITY, high: f64::NEG_INFINITY };
        values.fold(empty, |span, value| Span { low: span.low.min(value), high: span.high.max(value) })
    }

    fn length(self) -> f64 {
        self.high - self.low
    }

    fn grown(self, margin: f64) -> Span {
        Span { low: self.low - margin, high: self.high + margin }
    }
}

/// A rectangle by its direction and what it spans along it and across.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectangle {
    /// A vector of length 1.
    direction: Point,
    along: Span,
    across: Span,
}

impl Rectangle {
    /// The rectangle of the smallest area around the points, which come row by row: one of its sides lies on a side of
    /// their convex hull. `None` for fewer than three corners, which have no area.
    pub fn around(points: &[Point]) -> Option<Rectangle> {
        let hull = hull(points);
        if hull.len() < 3 {
            return None;
        }
        let sides = hull.iter().zip(hull.iter().cycle().skip(1));
        let rectangles = sides.filter_map(|(from, to)| {
            let (x, y) = (to.x - from.x, to.y - from.y);
            let length = x.hypot(y);
            (length > 0.0).then(|| Rectangle::towards(Point { x: x / length, y: y / length }, &hull))
        });
        rectangles.min_by(|a, b| a.area().total_cmp(&b.area()))
    }

    /// The smallest one of this direction.
    fn towards(direction: Point, points: &[Point]) -> Rectangle {
        let along = Span::of(points.iter().map(|point| point.x * direction.x + point.y * direction.y));
        let across = Span::of(points.iter().map(|point| point.y * direction.x - point.x * direction.y));
        Rectangle { direction, along, across }
    }

    fn area(&self) -> f64 {
        self.along.length() * self.across.length()
    }

    /// Length of the longer side and of the shorter one.
    pub fn sides(&self) -> (f64, f64) {
        let (along, across) = (self.along.length(), self.across.length());
        (along.max(across), along.min(across))
    }

    /// The same, larger by `margin` on each side.
    pub fn grown(&self, margin: f64) -> Rectangle {
        Rectangle { along: self.along.grown(margin), across: self.across.grown(margin), ..*self }
    }

    /// The four corners, clockwise.
    pub fn corners(&self) -> [Point; 4] {
        let Rectangle { direction, along, across } = self;
        let corner = |along: f64, across: f64| Point {
            x: along * direction.x - across * direction.y,
            y: along * direction.y + across * direction.x,
        };
        [
            corner(along.low, across.low),
            corner(along.high, across.low),
            corner(along.high, across.high),
            corner(along.low, across.high),
        ]
    }
}

/// The corners of the convex hull of points that come row by row, left before right: down one side and up the other.
fn hull(points: &[Point]) -> Vec<Point> {
    let mut hull = half(points.iter().copied());
    let back = half(points.iter().rev().copied());
    // Each half begins where the other one ends.
    hull.pop();
    hull.extend(back);
    hull.pop();
    hull
}

/// Drops every point that is not outside of the line from its predecessor to its successor.
fn half(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    for point in points {
        while let [.., before, last] = kept[..] {
            let turn = (last.x - before.x) * (point.y - before.y) - (last.y - before.y) * (point.x - before.x);
            if turn > 0.0 {
                break;
            }
            kept.pop();
        }
        kept.push(point);
    }
    kept
}
