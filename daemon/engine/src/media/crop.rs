//! One line cut out of a picture and laid flat: the four corners of a box become a rectangle, as OCR pipelines do it before
//! they look at a line. Decides the size of the cut and its pixels; knows no model.

use image::RgbImage;
use image::imageops::{rotate180, rotate270};

/// Pixels of a picture: red, green, blue, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    rgb: &'a [u8],
    width: u32,
    height: u32,
}

impl<'a> Pixels<'a> {
    /// `None` if there are not exactly as many bytes as this size takes, or no pixel.
    pub fn new(rgb: &'a [u8], width: u32, height: u32) -> Option<Pixels<'a>> {
        let bytes = u64::from(width).checked_mul(u64::from(height))?.checked_mul(3)?;
        let fits = width > 0 && height > 0 && u64::try_from(rgb.len()) == Ok(bytes);
        fits.then_some(Pixels { rgb, width, height })
    }

    /// Width and height.
    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Those of a pixel; one outside of the picture is like the nearest one on its edge.
    fn at(&self, x: i64, y: i64) -> [u8; 3] {
        let within = |at: i64, size: u32| usize::try_from(at.clamp(0, i64::from(size) - 1)).unwrap_or(0);
        let row = within(y, self.height) * usize::try_from(self.width).unwrap_or(0);
        let from = (row + within(x, self.width)) * 3;
        self.rgb.get(from..from + 3).and_then(|three| three.first_chunk()).copied().unwrap_or_default()
    }
}

/// A cut that is higher than this many times its width is a column of text, and is laid on its side.
const UPRIGHT: f64 = 1.5;

/// The part of a picture between four corners (clockwise from the top left, in its pixels), as wide as the longer of its
/// upper and lower edge and as high as the longer of the others. Edges outside of the picture repeat its last pixels.
/// `upside_down` turns the cut by half.
pub fn cut(pixels: Pixels<'_>, corners: [[f64; 2]; 4], upside_down: bool) -> RgbImage {
    let [a, b, c, d] = corners;
    let (width, height) = (longer(a, b, c, d, pixels), longer(a, d, b, c, pixels));
    let plane = Plane::of(corners, f64::from(width), f64::from(height));
    let flat = RgbImage::from_fn(width, height, |x, y| {
        let [x, y] = plane.at(f64::from(x), f64::from(y));
        image::Rgb(sample(pixels, x, y))
    });
    let flat = if f64::from(height) >= f64::from(width) * UPRIGHT { rotate270(&flat) } else { flat };
    if upside_down { rotate180(&flat) } else { flat }
}

/// The longer of two edges in whole pixels, at least 1 and no longer than the picture's diagonal.
fn longer(a: [f64; 2], b: [f64; 2], c: [f64; 2], d: [f64; 2], pixels: Pixels<'_>) -> u32 {
    let length = |from: [f64; 2], to: [f64; 2]| (from[0] - to[0]).hypot(from[1] - to[1]);
    let most = f64::from(pixels.width).hypot(f64::from(pixels.height)).max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a picture's diagonal")]
    let whole = length(a, b).max(length(c, d)).clamp(1.0, most) as u32;
    whole
}

/// Where the points of a flat rectangle lie on the plane that the corners span.
struct Plane {
    x: [f64; 3],
    y: [f64; 3],
    w: [f64; 2],
}

impl Plane {
    /// Of a rectangle of this size whose corners are these points. Four points of which three lie on a line span no plane:
    /// they are taken for a parallelogram.
    fn of([a, b, c, d]: [[f64; 2]; 4], width: f64, height: f64) -> Plane {
        let minus = |p: [f64; 2], q: [f64; 2]| [p[0] - q[0], p[1] - q[1]];
        let cross = |p: [f64; 2], q: [f64; 2]| p[0] * q[1] - p[1] * q[0];
        let (right, below) = (minus(b, c), minus(d, c));
        let far = [a[0] - b[0] + c[0] - d[0], a[1] - b[1] + c[1] - d[1]];
        let area = cross(right, below);
        let (g, h) = if area.abs() < 1e-9 { (0.0, 0.0) } else { (cross(far, below) / area, cross(right, far) / area) };
        let along = |at: usize| {
            let (to_right, down) = (b[at] - a[at] + g * b[at], d[at] - a[at] + h * d[at]);
            [to_right / width, down / height, a[at]]
        };
        Plane { x: along(0), y: along(1), w: [g / width, h / height] }
    }

    fn at(&self, x: f64, y: f64) -> [f64; 2] {
        let w = self.w[0] * x + self.w[1] * y + 1.0;
        [(self.x[0] * x + self.x[1] * y + self.x[2]) / w, (self.y[0] * x + self.y[1] * y + self.y[2]) / w]
    }
}

/// The colour between pixels, by cubic convolution of the sixteen around.
fn sample(pixels: Pixels<'_>, x: f64, y: f64) -> [u8; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (across, down) = (weights(x - left), weights(y - top));
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is brought into the picture")]
    let (left, top) = (left as i64, top as i64);
    let mut sum = [0.0; 3];
    for (y, down) in (top.saturating_sub(1)..).zip(down) {
        for (x, across) in (left.saturating_sub(1)..).zip(across) {
            let weight = across * down;
            if weight != 0.0 {
                let colour = pixels.at(x, y);
                sum.iter_mut().zip(colour).for_each(|(sum, colour)| *sum += weight * f64::from(colour));
            }
        }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a byte")]
    let byte = |value: f64| value.round().clamp(0.0, 255.0) as u8;
    sum.map(byte)
}

/// How much the pixel before, the two around and the one after a point at `t` between the two count. The sharpness is that
/// of OpenCV, by which the models were trained.
fn weights(t: f64) -> [f64; 4] {
    const A: f64 = -0.75;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    if t == 0.0 {
        return [0.0, 1.0, 0.0, 0.0];
    }
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture whose red is ten times the column and whose green is ten times the row.
    fn ramp(width: u32, height: u32) -> Vec<u8> {
        let tens = |at: u32| u8::try_from(at * 10).unwrap();
        (0..height).flat_map(|y| (0..width).flat_map(move |x| [tens(x), tens(y), 7])).collect()
    }

    fn check(name: &str, corners: [[f64; 2]; 4], upside_down: bool, size: (u32, u32), first: [u8; 3], last: [u8; 3]) {
        let rgb = ramp(20, 12);
        let cut = cut(Pixels::new(&rgb, 20, 12).unwrap(), corners, upside_down);
        assert_eq!(cut.dimensions(), size, "{name}");
        assert_eq!(cut.get_pixel(0, 0).0, first, "{name}");
        assert_eq!(cut.get_pixel(size.0 - 1, size.1 - 1).0, last, "{name}");
    }

    #[test]
    fn a_line_is_cut_out_and_laid_flat() {
        let (a, b, c, d) = ([2.0, 3.0], [12.0, 3.0], [12.0, 7.0], [2.0, 7.0]);
        check("straight", [a, b, c, d], false, (10, 4), [20, 30, 7], [110, 60, 7]);
        check("upside down", [a, b, c, d], true, (10, 4), [110, 60, 7], [20, 30, 7]);
        check("turned by half by its corners", [c, d, a, b], false, (10, 4), [120, 70, 7], [30, 40, 7]);
        // A column is turned so that its top is on the left.
        let column = [[3.0, 1.0], [6.0, 1.0], [6.0, 11.0], [3.0, 11.0]];
        check("column", column, false, (10, 3), [50, 10, 7], [30, 100, 7]);
        let square = [[3.0, 1.0], [7.0, 1.0], [7.0, 6.0], [3.0, 6.0]];
        check("not high enough for one", square, false, (4, 5), [30, 10, 7], [60, 50, 7]);
        // Half a pixel between columns is half of both.
        let between = [[2.5, 3.0], [12.5, 3.0], [12.5, 7.0], [2.5, 7.0]];
        check("between pixels", between, false, (10, 4), [25, 30, 7], [115, 60, 7]);
        let outside = [[-5.0, -5.0], [3.0, -5.0], [3.0, 0.0], [-5.0, 0.0]];
        check("beyond the edge", outside, false, (8, 5), [0, 0, 7], [20, 0, 7]);
        // What is nearer on the right is larger there; OpenCV gives the same.
        let leaning = [[2.0, 4.0], [12.0, 2.0], [12.0, 8.0], [2.0, 6.0]];
        check("leaning", leaning, false, (10, 6), [20, 40, 7], [95, 66, 7]);
        check("no area", [a, a, a, a], false, (1, 1), [20, 30, 7], [20, 30, 7]);
    }

    #[test]
    fn bytes_that_are_no_picture_of_the_size_are_refused() {
        for (bytes, width, height) in [(11, 2, 2), (13, 2, 2), (0, 0, 5), (0, 0, 0), (5, u32::MAX, u32::MAX)] {
            assert!(Pixels::new(&vec![0; bytes], width, height).is_none(), "{bytes} {width} {height}");
        }
        assert_eq!(Pixels::new(&[0; 12], 2, 2).unwrap().size(), [2, 2]);
    }

    proptest! {
        #[test]
        fn no_corners_make_a_cut_larger_than_the_picture(corners in prop::array::uniform4(prop::array::uniform2(-1e9..1e9f64))) {
            let rgb = ramp(9, 5);
            let cut = cut(Pixels::new(&rgb, 9, 5).unwrap(), corners, false);
            prop_assert!(cut.width() <= 10 && cut.height() <= 10);
        }
    }
}
