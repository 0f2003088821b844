//! A drawing as points: lines smoothed by drawing them larger, letters from the font that `edgectl` writes on pictures with.

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

use super::drawing::{Anchor, Colour, DASH, Drawing, Shape};

#[path = "../../../ctl/src/font.rs"]
mod font;

/// Points of the picture for a pixel of the drawing, so that it can be printed.
const SCALE: u16 = 2;
/// Lines are drawn this much larger, and made smaller afterwards.
const FINER: u16 = 3;
/// Points of the picture for a point of a letter.
const LETTER: i32 = 3;

/// The picture.
pub fn of(drawing: &Drawing) -> RgbImage {
    let size = |length: u16, by: u16| u32::from(length) * u32::from(by);
    let (width, height) = (drawing.width, drawing.height);
    let mut large = RgbImage::from_pixel(size(width, SCALE * FINER), size(height, SCALE * FINER), Rgb([255, 255, 255]));
    for shape in &drawing.shapes {
        if let Shape::Line { points, colour, width, dashed } = shape {
            line(&mut large, points, *colour, *width, *dashed);
        }
    }
    let mut picture = resize(&large, size(width, SCALE), size(height, SCALE), FilterType::Triangle);
    for shape in &drawing.shapes {
        if let Shape::Word { at, anchor, text, colour } = shape {
            word(&mut picture, *at, *anchor, text, *colour);
        }
    }
    picture
}

/// Stamps squares along the line, closer to each other than they are large.
fn line(large: &mut RgbImage, points: &[[f64; 2]], colour: Colour, width: f64, dashed: bool) {
    let scale = f64::from(SCALE * FINER);
    let half = width * scale / 2.0;
    let mut along = 0.0;
    for pair in points.windows(2) {
        let &[[x1, y1], [x2, y2]] = pair else { continue };
        let length = (x2 - x1).hypot(y2 - y1);
        let steps = (length * scale).ceil().max(1.0);
        let mut step = 0.0;
        while step <= steps {
            let part = step / steps;
            let is_gap = dashed && (along + length * part) % (2.0 * DASH) >= DASH;
            if !is_gap {
                let [x, y] = [(x1 + (x2 - x1) * part) * scale, (y1 + (y2 - y1) * part) * scale];
                square(large, [x - half, y - half], [x + half, y + half], colour);
            }
            step += 1.0;
        }
        along += length;
    }
}

fn square(picture: &mut RgbImage, from: [f64; 2], to: [f64; 2], colour: Colour) {
    for y in whole(from[1])..whole(to[1]).max(whole(from[1]) + 1) {
        for x in whole(from[0])..whole(to[0]).max(whole(from[0]) + 1) {
            dot(picture, x, y, colour);
        }
    }
}

/// The nearest whole number; what is not on the picture is cut off by whoever draws.
#[expect(clippy::cast_possible_truncation, reason = "a cast of this kind saturates")]
fn whole(value: f64) -> i32 {
    value.round() as i32
}

fn dot(picture: &mut RgbImage, x: i32, y: i32, colour: Colour) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if let Some(point) = picture.get_pixel_mut_checked(x, y) {
        *point = Rgb(colour);
    }
}

fn word(picture: &mut RgbImage, at: [f64; 2], anchor: Anchor, text: &str, colour: Colour) {
    let (wide, high) = (font::WIDTH.cast_signed(), font::HEIGHT.cast_signed());
    let length = i32::try_from(text.chars().count()).unwrap_or(0) * (wide + 1) * LETTER;
    let left = whole(at[0] * f64::from(SCALE))
        - match anchor {
            Anchor::Start => 0,
            Anchor::Middle => length / 2,
            Anchor::End => length,
        };
    let top = whole(at[1] * f64::from(SCALE)) - high * LETTER;
    for (at, letter) in (0..).zip(text.chars()) {
        for (row, bits) in (0..).zip(font::rows(letter)) {
            for column in (0..wide).filter(|column| bits & (0x10 >> column) != 0) {
                let [x, y] = [left + (at * (wide + 1) + column) * LETTER, top + row * LETTER];
                (0..LETTER * LETTER).for_each(|part| dot(picture, x + part % LETTER, y + part / LETTER, colour));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_a_word_are_where_they_belong() {
        let mut drawing = Drawing { width: 60, height: 40, ..Drawing::default() };
        drawing.line(vec![[10.0, 30.0], [50.0, 30.0]], [255, 0, 0], 2.0);
        drawing.word([30.0, 15.0], Anchor::Middle, "I", [0, 0, 255]);
        let picture = of(&drawing);
        assert_eq!((picture.width(), picture.height()), (120, 80));
        assert_eq!(picture.get_pixel(60, 60), &Rgb([255, 0, 0]));
        assert_eq!(picture.get_pixel(60, 70), &Rgb([255, 255, 255]));
        let blue = picture.enumerate_pixels().filter(|(.., point)| point.0 == [0, 0, 255]);
        let rows: Vec<u32> = blue.map(|(_, y, _)| y).collect();
        assert_eq!((rows.iter().min(), rows.iter().max()), (Some(&9), Some(&29)));
    }
}
