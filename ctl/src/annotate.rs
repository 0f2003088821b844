//! Draws the boxes of an answer on the picture that was sent, with the text that was read there above them, and writes it as
//! a PNG. Knows the document, not the task: any answer with `boxes`, `objects`, `regions` or `lines` will do.

use std::io::Cursor;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage};
use serde_json::Value;
use thiserror::Error;

use crate::{font, payload};

/// A colour that labels and machines seldom have.
const INK: Rgb<u8> = Rgb([255, 0, 160]);
/// What a text stands on, so that it can be read on any picture.
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
/// A line is one pixel wide, and one more for so many pixels of the picture's longer side: seen on any screen.
const PIXELS_PER_LINE: u32 = 600;
/// A point of a letter is one pixel wide for so many pixels of the picture's longer side.
const PIXELS_PER_LETTER: u32 = 400;

/// Why nothing was drawn.
#[derive(Debug, Error)]
pub enum AnnotateError {
    #[error("the answer has no boxes: the model is none that finds places in a picture")]
    NoBoxes,
    #[error("the answer is about a picture of {wanted}, the file shows one of {found} pixels")]
    OtherPicture { wanted: String, found: String },
    #[error("read the picture again: {0}")]
    Read(#[from] std::io::Error),
    #[error("decode the picture: {0}")]
    Decode(image::ImageError),
    #[error("write {}: {error}", path.display())]
    Write { path: PathBuf, error: std::io::Error },
    #[error("make a PNG of the picture: {0}")]
    Encode(image::ImageError),
}

/// A corner, pixels of the upright picture.
type Corner = (f64, f64);

/// Draws what `document` says about `picture` and writes it to `out`.
pub fn draw(document: &Value, picture: &OwnedFd, out: &Path) -> Result<(), AnnotateError> {
    let marks = marks(document).ok_or(AnnotateError::NoBoxes)?;
    let mut pixels = upright(&payload::content(picture)?)?;
    let found = (pixels.width(), pixels.height());
    match size(document) {
        Some(wanted) if wanted != (u64::from(found.0), u64::from(found.1)) => {
            let text = |(width, height): (u64, u64)| format!("{width} x {height}");
            return Err(AnnotateError::OtherPicture {
                wanted: text(wanted),
                found: text((found.0.into(), found.1.into())),
            });
        }
        _ => {
            for mark in &marks {
                outline(&mut pixels, &mark.corners);
                mark.more.iter().for_each(|corners| outline(&mut pixels, corners));
            }
            // Above the outlines of the neighbours.
            marks.iter().for_each(|mark| label(&mut pixels, mark));
        }
    }
    let mut png = Cursor::new(Vec::new());
    pixels.write_to(&mut png, ImageFormat::Png).map_err(AnnotateError::Encode)?;
    std::fs::write(out, png.into_inner()).map_err(|error| AnnotateError::Write { path: out.to_owned(), error })
}

/// A box or an outline, and what it is or what was read in it.
#[derive(Debug, Default, PartialEq)]
struct Mark {
    corners: Vec<Corner>,
    /// Holes, or other parts.
    more: Vec<Vec<Corner>>,
    text: String,
}

/// The boxes of an answer; `None` if it is not of that kind.
fn marks(document: &Value) -> Option<Vec<Mark>> {
    let found = |found: &Value| Some(Mark { corners: corners(found.get("polygon")?)?, ..Mark::default() });
    let line = |line: &Value| {
        let text = line.get("text")?.as_str()?.to_owned();
        Some(Mark { corners: corners(line.get("box")?)?, text, ..Mark::default() })
    };
    let each = |list: &Value, mark: fn(&Value) -> Option<Mark>| list.as_array()?.iter().map(mark).collect();
    if let Some(things) = document.get("objects") {
        return each(things, thing);
    }
    if let Some(regions) = document.get("regions") {
        return each(regions, region);
    }
    match (document.get("boxes"), document.get("lines")) {
        (Some(boxes), _) => boxes.as_array()?.iter().map(found).collect(),
        (None, lines) => lines?.as_array()?.iter().map(line).collect(),
    }
}

/// The corners of a line.
fn corners(polygon: &Value) -> Option<Vec<Corner>> {
    let corner = |point: &Value| match &point.as_array()?[..] {
        [x, y] => Some((x.as_f64()?, y.as_f64()?)),
        _ => None,
    };
    polygon.as_array()?.iter().map(corner).collect()
}

/// Lines that go with others; none if there are none.
fn lines(fields: &Value, name: &str) -> Option<Vec<Vec<Corner>>> {
    fields.get(name).map_or(Some(Vec::new()), |lines| lines.as_array()?.iter().map(corners).collect())
}

/// A thing with its label and how sure it is: its outlines, or its box if it has none.
fn thing(thing: &Value) -> Option<Mark> {
    let sides: Vec<f64> = thing.get("box")?.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
    let [left, top, right, bottom] = sides[..] else { return None };
    let text = format!("{} {:.0}%", thing.get("label")?.as_str()?, thing.get("score")?.as_f64()? * 100.0);
    let mut parts = lines(thing, "polygons")?.into_iter();
    let corners = parts.next().unwrap_or_else(|| vec![(left, top), (right, top), (right, bottom), (left, bottom)]);
    Some(Mark { corners, more: parts.collect(), text })
}

/// A region with its label, if it has one, and its score, if it has one.
fn region(region: &Value) -> Option<Mark> {
    let label = region.get("label").map_or(Some(""), Value::as_str)?;
    let score = region.get("score").map(|score| score.as_f64().map(|score| format!("{:.0}%", score * 100.0)));
    let text = format!("{label} {}", score.unwrap_or(Some(String::new()))?).trim().to_owned();
    Some(Mark { corners: corners(region.get("polygon")?)?, more: lines(region, "holes")?, text })
}

fn size(document: &Value) -> Option<(u64, u64)> {
    Some((document.get("width")?.as_u64()?, document.get("height")?.as_u64()?))
}

/// The picture as the daemon saw it: turned by its EXIF orientation.
fn upright(bytes: &[u8]) -> Result<RgbImage, AnnotateError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut decoder = reader.into_decoder().map_err(AnnotateError::Decode)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(AnnotateError::Decode)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Lines from each corner to the next, and from the last to the first.
fn outline(pixels: &mut RgbImage, corners: &[Corner]) {
    for (from, to) in corners.iter().zip(corners.iter().cycle().skip(1)) {
        line(pixels, *from, *to);
    }
}

/// A line of squares, one for each step of at most a pixel. What is outside of the picture is not drawn: both ends are
/// brought to its edge first, which also bounds the steps.
fn line(pixels: &mut RgbImage, from: Corner, to: Corner) {
    let (width, height) = pixels.dimensions();
    let thick = 1 + width.max(height) / PIXELS_PER_LINE;
    let inside = |(x, y): Corner| (x.clamp(0.0, f64::from(width)), y.clamp(0.0, f64::from(height)));
    let (from, to) = (inside(from), inside(to));
    let (along, down) = (to.0 - from.0, to.1 - from.1);
    let steps = whole(along.abs().max(down.abs()).ceil()).max(1);
    for step in 0..=steps {
        let part = f64::from(step) / f64::from(steps);
        let corner = |at: f64| whole((at - f64::from(thick - 1) / 2.0).round());
        let (left, top) = (corner(from.0 + along * part), corner(from.1 + down * part));
        for (x, y) in (top..top + thick).flat_map(|y| (left..left + thick).map(move |x| (x, y))) {
            if let Some(pixel) = pixels.get_pixel_mut_checked(x, y) {
                *pixel = INK;
            }
        }
    }
}

/// The text of a box above it, or below its upper edge where there is no room above; within the picture's sides as far as it
/// fits.
fn label(pixels: &mut RgbImage, mark: &Mark) {
    let (width, height) = pixels.dimensions();
    // Letters of about a fortieth of the picture, which the eye finds on a screen.
    let scale = (width.max(height) / PIXELS_PER_LETTER).max(1);
    let length = u32::try_from(mark.text.chars().count()).unwrap_or(u32::MAX);
    if length == 0 {
        return;
    }
    let (wide, high) =
        (length.saturating_mul((font::WIDTH + 1) * scale).saturating_add(scale), (font::HEIGHT + 2) * scale);
    let least = |side: fn(&Corner) -> f64| mark.corners.iter().map(side).fold(f64::INFINITY, f64::min);
    let left = whole(least(|corner| corner.0)).min(width.saturating_sub(wide));
    let upper = whole(least(|corner| corner.1));
    let top = if upper >= high + scale { upper - high - scale } else { upper + scale * 2 };
    let mut put = |x: u32, y: u32, ink: Rgb<u8>| {
        if let Some(pixel) = pixels.get_pixel_mut_checked(x, y) {
            *pixel = ink;
        }
    };
    for (x, y) in (0..high).flat_map(|y| (0..wide.min(width)).map(move |x| (x, y))) {
        put(left + x, top + y, PAPER);
    }
    for (at, letter) in (0..).zip(mark.text.chars()) {
        let start = left.saturating_add(scale).saturating_add((font::WIDTH + 1) * scale * at);
        if start >= width {
            return;
        }
        for (row, bits) in (0..).zip(font::rows(letter)) {
            for column in (0..font::WIDTH).filter(|column| bits & (0x10 >> column) != 0) {
                let (x, y) = (start + column * scale, top + (row + 1) * scale);
                (0..scale * scale).for_each(|point| put(x + point % scale, y + point / scale, INK));
            }
        }
    }
}

/// A number of pixels; below 0 is 0.
fn whole(number: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    let whole = number.clamp(0.0, f64::from(u32::MAX / 2)) as u32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(pixels: &RgbImage) -> Vec<(u32, u32)> {
        pixels.enumerate_pixels().filter(|(.., pixel)| **pixel == INK).map(|(x, y, _)| (x, y)).collect()
    }

    #[test]
    fn a_box_is_drawn_along_its_sides_and_nowhere_else() {
        let mut pixels = RgbImage::new(8, 6);
        outline(&mut pixels, &[(1.0, 1.0), (5.0, 1.0), (5.0, 4.0), (1.0, 4.0)]);
        let expected: Vec<_> = (0..6)
            .flat_map(|y| (0..8).map(move |x| (x, y)))
            .filter(|(x, y)| (1..=5).contains(x) && (1..=4).contains(y) && (*x == 1 || *x == 5 || *y == 1 || *y == 4))
            .collect();
        assert_eq!(marked(&pixels), expected);
        let mut large = RgbImage::new(1300, 4);
        outline(&mut large, &[(10.0, 2.0), (20.0, 2.0)]);
        assert_eq!(marked(&large).len(), 3 * 13, "three pixels wide");
    }

    #[test]
    fn the_text_of_a_box_stands_above_it_or_inside_at_the_upper_edge() {
        for (top, expected) in [(20.0, 10), (3.0, 5)] {
            let mut pixels = RgbImage::new(60, 40);
            label(
                &mut pixels,
                &Mark { corners: vec![(8.0, top), (30.0, top + 6.0)], text: "T1".into(), ..Mark::default() },
            );
            let paper: Vec<(u32, u32)> =
                pixels.enumerate_pixels().filter(|(.., pixel)| pixel.0 != [0; 3]).map(|(x, y, _)| (x, y)).collect();
            assert_eq!((paper.first(), paper.last()), (Some(&(8, expected)), Some(&(20, expected + 8))));
            // The bar of the T, its foot, and the foot of the 1.
            let ink = marked(&pixels);
            assert!((9..14).all(|x| ink.contains(&(x, expected + 1))) && ink.contains(&(11, expected + 7)));
            assert!((16..19).all(|x| ink.contains(&(x, expected + 7))) && !ink.contains(&(19, expected + 7)));
        }
        let mut pixels = RgbImage::new(20, 20);
        let corners = vec![(19.0, 19.0), (1e9, -5.0), (f64::NAN, 4.0)];
        label(&mut pixels, &Mark { corners, text: "longer than the picture is wide".into(), ..Mark::default() });
        label(&mut pixels, &Mark { text: "nowhere".into(), ..Mark::default() });
        assert!(!marked(&pixels).is_empty());
    }

    #[test]
    fn lines_end_at_the_edge_of_the_picture() {
        let mut pixels = RgbImage::new(4, 4);
        outline(&mut pixels, &[(-1e300, 2.0), (1e300, 2.0), (f64::NAN, f64::INFINITY)]);
        assert!((0..4).all(|x| pixels[(x, 2)] == INK));
        outline(&mut pixels, &[]);
    }

    #[test]
    fn only_an_answer_with_boxes_can_be_drawn() {
        let boxes_of = |text: &str| marks(&serde_json::from_str(text).unwrap());
        let line = || vec![(1.0, 2.0), (3.0, 4.5)];
        let mark = |text: &str| Some(vec![Mark { corners: line(), text: text.into(), more: vec![] }]);
        assert_eq!(boxes_of(r#"{"boxes": [{"polygon": [[1, 2], [3, 4.5]]}]}"#), mark(""));
        assert_eq!(boxes_of(r#"{"lines": [{"box": [[1, 2], [3, 4.5]], "text": "LOT"}]}"#), mark("LOT"));
        let corners = vec![(1.0, 2.0), (3.0, 2.0), (3.0, 4.5), (1.0, 4.5)];
        let nut = Some(vec![Mark { corners, text: "nut 88%".into(), more: vec![] }]);
        assert_eq!(boxes_of(r#"{"objects": [{"label": "nut", "score": 0.876, "box": [1, 2, 3, 4.5]}]}"#), nut);
        let parts = Some(vec![Mark { corners: line(), text: "nut 88%".into(), more: vec![line()] }]);
        let shape = r#"{"objects": [{"label": "nut", "score": 0.876, "box": [1, 2, 3, 4.5],
            "polygons": [[[1, 2], [3, 4.5]], [[1, 2], [3, 4.5]]]}]}"#;
        assert_eq!(boxes_of(shape), parts);
        let hole = |text: &str| Some(vec![Mark { corners: line(), text: text.into(), more: vec![line()] }]);
        let rust = r#"{"regions": [{"label": "rust", "score": 0.7, "polygon": [[1, 2], [3, 4.5]],
            "holes": [[[1, 2], [3, 4.5]]]}]}"#;
        assert_eq!(boxes_of(rust), hole("rust 70%"));
        assert_eq!(boxes_of(r#"{"regions": [{"label": "rust", "polygon": [[1, 2], [3, 4.5]]}]}"#), mark("rust"));
        assert_eq!(boxes_of(r#"{"regions": [{"score": 0.7, "polygon": [[1, 2], [3, 4.5]]}]}"#), mark("70%"));
        assert_eq!(boxes_of(r#"{"objects": []}"#), Some(vec![]));
        assert_eq!(boxes_of(r#"{"regions": []}"#), Some(vec![]));
        assert_eq!(boxes_of(r#"{"lines": []}"#), Some(vec![]));
        assert_eq!(boxes_of(r#"{"boxes": []}"#), Some(vec![]));
        for other in [
            r#"{"text": "x"}"#,
            r#"{"boxes": 3}"#,
            r#"{"boxes": [{"polygon": [[1]]}]}"#,
            r#"{"lines": [{"box": []}]}"#,
            r#"{"regions": [{"label": "rust"}]}"#,
            r#"{"regions": [{"polygon": [[1, 2]], "holes": 3}]}"#,
            r#"{"objects": [{"label": "nut", "score": 1, "box": [1, 2, 3]}]}"#,
            "[]",
        ] {
            assert_eq!(boxes_of(other), None, "{other}");
        }
    }
}
