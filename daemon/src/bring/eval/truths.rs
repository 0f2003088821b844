//! The forms in which people write down what is right: YOLO's text files, COCO's JSON, tables of texts, maps of labels. A
//! file with a fault is left out as a whole, with the line of its first one: half a truth makes right answers wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::measure::areas::{Area, IGNORED, Map};
use super::super::{BringError, file};
use super::data::{Data, Sample, Truth};

/// Largest file of labels, bytes.
const MOST_BYTES: u64 = 256 << 20;
/// Most cells of a map of labels.
const MOST_CELLS: u64 = 64 << 20;

/// What is there, in shares of the picture, or in pixels of a picture of this size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Things {
    pub list: Vec<Thing>,
    /// Width and height of the picture whose pixels count.
    pub pixels: Option<[f64; 2]>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Thing {
    /// Place among the model's labels.
    pub label: usize,
    /// Left, top, right, bottom.
    pub corners: [f64; 4],
    pub crowd: bool,
}

fn read_text(path: &Path) -> Result<String, String> {
    edge_engine::bundle::read_text(path, MOST_BYTES).map_err(|error| error.to_string())
}

/// The lines of a label file, each read by `line`; the first fault leaves all of it out.
fn lines<T>(path: &Path, data: &mut Data, line: impl Fn(&[f64]) -> Result<T, String>) -> Option<Vec<T>> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(why) => {
            data.leave_out(path, 0, why);
            return None;
        }
    };
    let mut all = Vec::new();
    for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let number = |word: &str| match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("{word:?} is no number")),
        };
        let read = text.split_whitespace().map(number).collect::<Result<Vec<f64>, String>>();
        match read.and_then(|numbers| line(&numbers)) {
            Ok(one) => all.push(one),
            Err(why) => {
                data.leave_out(path, at + 1, why);
                return None;
            }
        }
    }
    Some(all)
}

/// The place of a label that a number names.
fn class(number: f64, labels: &[String]) -> Result<usize, String> {
    let known = (0..labels.len()).find(|at| super::count(*at) == number);
    known.ok_or_else(|| format!("class {number}: the model has 0..={}", labels.len().saturating_sub(1)))
}

/// `class cx cy w h` in shares of the picture; lines with more numbers are outlines, whose rectangle counts.
pub fn yolo_things(path: &Path, labels: &[String], data: &mut Data) -> Option<Things> {
    let list = lines(path, data, |numbers| match numbers {
        [number, x, y, width, height] => {
            let label = class(*number, labels)?;
            inside(&[*x, *y, *width, *height])?;
            let corners = [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0];
            Ok(Thing { label, corners, crowd: false })
        }
        _ => {
            let (label, ring) = outline(numbers, labels, "class cx cy w h")?;
            let least = |at: usize| ring.iter().filter_map(|corner| corner.get(at)).copied().fold(1.0, f64::min);
            let most = |at: usize| ring.iter().filter_map(|corner| corner.get(at)).copied().fold(0.0, f64::max);
            Ok(Thing { label, corners: [least(0), least(1), most(0), most(1)], crowd: false })
        }
    })?;
    Some(Things { list, pixels: None })
}

/// `class x y x y x y ...` in shares of the picture.
pub fn yolo_areas(path: &Path, labels: &[String], data: &mut Data) -> Option<Vec<Area>> {
    lines(path, data, |numbers| {
        let (label, ring) = outline(numbers, labels, "class x y x y x y ...")?;
        let label = u8::try_from(label).map_err(|_| format!("class {label} is above what is measured"))?;
        Ok(Area { label, rings: vec![ring] })
    })
}

fn outline(numbers: &[f64], labels: &[String], form: &str) -> Result<(usize, Vec<[f64; 2]>), String> {
    let Some((number, corners)) = numbers.split_first() else { return Err(format!("takes {form}")) };
    let (pairs, rest) = corners.as_chunks::<2>();
    if pairs.len() < 3 || !rest.is_empty() {
        return Err(format!("{} numbers: takes {form}", numbers.len()));
    }
    let label = class(*number, labels)?;
    inside(corners)?;
    Ok((label, pairs.to_vec()))
}

fn inside(numbers: &[f64]) -> Result<(), String> {
    match numbers.iter().find(|number| !(0.0..=1.0).contains(*number)) {
        Some(number) => Err(format!("{number} is not within 0..=1: places are shares of the picture")),
        None => Ok(()),
    }
}

/// A grey picture whose values are the places of labels; 255 is not looked at.
pub fn map(path: &Path, labels: &[String], data: &mut Data) -> Option<Map> {
    match read_map(path, labels) {
        Ok(map) => Some(map),
        Err(why) => {
            data.leave_out(path, 0, why);
            None
        }
    }
}

fn read_map(path: &Path, labels: &[String]) -> Result<Map, String> {
    let reader = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
    let (width, height) =
        reader.map_err(|error| error.to_string())?.into_dimensions().map_err(|error| error.to_string())?;
    if u64::from(width) * u64::from(height) > MOST_CELLS {
        return Err(format!("{width} x {height} pixels, at most {MOST_CELLS} are read"));
    }
    let image = image::open(path).map_err(|error| error.to_string())?;
    let image::DynamicImage::ImageLuma8(grey) = image else {
        return Err("a map of labels is a grey picture of 8 bits, whose values are the places of labels".into());
    };
    let size = |side: u32| usize::try_from(side).map_err(|error| error.to_string());
    let map = Map { width: size(width)?, height: size(height)?, cells: grey.into_raw() };
    let strange = |cell: &u8| *cell != IGNORED && usize::from(*cell) >= labels.len();
    match map.cells.iter().position(strange) {
        None => Ok(map),
        Some(at) => {
            let (x, y) = (at % map.width.max(1), at / map.width.max(1));
            let value = map.cells.get(at).copied().unwrap_or_default();
            Err(format!(
                "value {value} at {x}, {y}: the model has 0..={}, and 255 is not looked at",
                labels.len().saturating_sub(1)
            ))
        }
    }
}

/// Rows of a table of `file,text`, as RFC 4180 has it, without breaks of lines in a field: line, file, text.
pub fn texts(path: &Path, data: &mut Data) -> Result<Vec<(usize, String, String)>, BringError> {
    let text = edge_engine::bundle::read_text(path, MOST_BYTES).map_err(file("read the labels in", path))?;
    let mut rows = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() || (at == 0 && line.trim() == "file,text") {
            continue;
        }
        let fields = fields(line);
        match fields.as_deref() {
            Ok([name, text]) => rows.push((at + 1, name.clone(), text.clone())),
            Ok([_]) => data.leave_out(path, at + 1, "one column: takes file,text"),
            Ok(more) => {
                let what = format!("{} columns: takes file,text; a text with a comma stands in quotes", more.len());
                data.leave_out(path, at + 1, what);
            }
            Err(why) => data.leave_out(path, at + 1, why.clone()),
        }
    }
    Ok(rows)
}

/// The fields of one line.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted_field(quoted)?;
                (field, after)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err("something stands after a closing quote".into()),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let (inside, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        field.push_str(inside);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, after)),
        }
    }
}

/// COCO's file, as far as it is looked at.
#[derive(Deserialize)]
struct Coco {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: String,
    width: f64,
    height: f64,
}

#[derive(Deserialize)]
struct CocoAnnotation {
    #[serde(default)]
    id: u64,
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: u64,
    name: String,
}

/// Pictures and things of COCO's JSON; the pictures lie beside it, in `images`, or where their names say.
pub fn coco(path: &Path, dir: &Path, labels: &[String], data: &mut Data) -> Result<(), BringError> {
    let text = edge_engine::bundle::read_text(path, MOST_BYTES).map_err(file("read the labels in", path))?;
    // Its message has the line.
    let coco: Coco = serde_json::from_str(&text)
        .map_err(|error| BringError::Usage(format!("{} is not in COCO's form: {error}", path.display())))?;
    let places = places(path, &coco, labels, data);
    let mut things: BTreeMap<u64, Things> = BTreeMap::new();
    for image in &coco.images {
        things.insert(image.id, Things { list: Vec::new(), pixels: Some([image.width, image.height]) });
    }
    for one in coco.annotations {
        let Some(label) = places.get(&one.category_id) else { continue };
        let [x, y, width, height] = one.bbox;
        let good = one.bbox.iter().all(|number| number.is_finite()) && width >= 0.0 && height >= 0.0;
        match (things.get_mut(&one.image_id), good) {
            (Some(of_image), true) => of_image.list.push(Thing {
                label: *label,
                corners: [x, y, x + width, y + height],
                crowd: one.iscrowd != 0,
            }),
            (Some(_), false) => {
                data.leave_out(path, 0, format!("annotation {}: bbox {:?} is no rectangle", one.id, one.bbox))
            }
            (None, _) => data.leave_out(path, 0, format!("annotation {}: there is no image {}", one.id, one.image_id)),
        }
    }
    let beside = path.parent().unwrap_or(Path::new("."));
    let roots = [beside.to_owned(), beside.join("images"), dir.to_owned(), dir.join("images")];
    let mut seen = BTreeSet::new();
    for image in coco.images {
        let found: Option<PathBuf> = roots.iter().map(|root| root.join(&image.file_name)).find(|path| path.is_file());
        match (found, seen.insert(image.id)) {
            (Some(picture), true) => {
                let things = things.remove(&image.id).unwrap_or_default();
                data.samples.push(Sample { path: picture, truth: Truth::Things(things) });
            }
            (_, false) => data.leave_out(path, 0, format!("image {} stands there twice", image.id)),
            (None, _) => data.leave_out(path, 0, format!("image {}: there is no file {}", image.id, image.file_name)),
        }
    }
    Ok(())
}

/// The model's place of each category; categories that it does not know are told with what they lose.
fn places(path: &Path, coco: &Coco, labels: &[String], data: &mut Data) -> BTreeMap<u64, usize> {
    let mut places = BTreeMap::new();
    let of = |id: u64| coco.annotations.iter().filter(|one| one.category_id == id).count();
    for category in &coco.categories {
        match labels.iter().position(|label| *label == category.name) {
            Some(place) => {
                places.insert(category.id, place);
            }
            None => {
                let (name, count) = (&category.name, of(category.id));
                data.leave_out(path, 0, format!("category {name:?} is no label of the model: {count} annotations"));
            }
        }
    }
    let known = |id: &u64| coco.categories.iter().any(|category| category.id == *id);
    for one in coco.annotations.iter().filter(|one| !known(&one.category_id)) {
        data.leave_out(path, 0, format!("annotation {}: there is no category {}", one.id, one.category_id));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::super::data::told;
    use super::*;

    fn labels() -> Vec<String> {
        vec!["red".into(), "green".into()]
    }

    fn with<T>(name: &str, content: &[u8], read: impl FnOnce(&Path, &mut Data) -> T) -> (T, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut data = Data::default();
        let read = read(&path, &mut data);
        let left =
            data.left_out.iter().map(|one| told(one).replace(&format!("{}/", dir.path().display()), "")).collect();
        (read, left)
    }

    #[test]
    fn yolos_lines_are_middles_and_sizes_or_outlines() {
        let text = b"0 0.5 0.5 0.5 0.25\n\n1 0.1 0.2 0.3 0.2 0.3 0.6\n";
        let (things, left) = with("a.txt", text, |path, data| yolo_things(path, &labels(), data));
        let corners: Vec<_> = things.unwrap().list.iter().map(|one| (one.label, one.corners)).collect();
        assert_eq!(corners, [(0, [0.25, 0.375, 0.75, 0.625]), (1, [0.1, 0.2, 0.3, 0.6])]);
        assert_eq!(left, Vec::<String>::new());
        let text = b"1 0 0 1 0 1 1\n";
        let (areas, _) = with("a.txt", text, |path, data| yolo_areas(path, &labels(), data));
        assert_eq!(areas.unwrap(), [Area { label: 1, rings: vec![vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]] }]);
    }

    #[test]
    fn a_fault_in_a_label_file_is_told_with_its_line() {
        for (text, wanted) in [
            ("0 0.5 0.5 0.5 0.25\n2 0.5 0.5 0.5 0.5", "a.txt, line 2: class 2: the model has 0..=1"),
            ("0.5 0.5 0.5 0.5 0.25", "a.txt, line 1: class 0.5: the model has 0..=1"),
            ("0 0.5 0.5 0.5", "a.txt, line 1: 4 numbers: takes class cx cy w h"),
            ("0 0.5 0.5 0.5 1.5", "a.txt, line 1: 1.5 is not within 0..=1: places are shares of the picture"),
            ("\n0 a 0.5 0.5 0.5", "a.txt, line 2: \"a\" is no number"),
            ("0 nan 0.5 0.5 0.5", "a.txt, line 1: \"nan\" is no number"),
        ] {
            let (things, left) = with("a.txt", text.as_bytes(), |path, data| yolo_things(path, &labels(), data));
            assert_eq!((things, left), (None, vec![wanted.to_owned()]), "{text}");
        }
    }

    #[test]
    fn a_map_is_grey_and_knows_its_labels() {
        let png = |image: image::DynamicImage| {
            let mut out = std::io::Cursor::new(Vec::new());
            image.write_to(&mut out, image::ImageFormat::Png).unwrap();
            out.into_inner()
        };
        let grey = |cells: &[u8]| {
            let image = image::GrayImage::from_raw(2, 2, cells.to_vec()).unwrap();
            png(image::DynamicImage::ImageLuma8(image))
        };
        let read = |bytes: Vec<u8>| with("a.png", &bytes, |path, data| map(path, &labels(), data));
        assert_eq!(read(grey(&[0, 1, 255, 0])).0.unwrap().cells, [0, 1, 255, 0]);
        let (none, left) = read(grey(&[0, 1, 7, 0]));
        let wanted = "a.png: value 7 at 0, 1: the model has 0..=1, and 255 is not looked at";
        assert_eq!((none, left), (None, vec![wanted.to_owned()]));
        assert!(read(png(image::DynamicImage::new_rgb8(2, 2))).1[0].contains("is a grey picture of 8 bits"));
        assert!(!read(b"no picture".to_vec()).1.is_empty());
    }

    #[test]
    fn fields_are_as_tables_have_them() {
        let good: [(&str, &[&str]); 5] = [
            ("a.png,LOT 1", &["a.png", "LOT 1"]),
            ("a.png,", &["a.png", ""]),
            ("\"a,b.png\",\"x \"\"y\"\", z\"", &["a,b.png", "x \"y\", z"]),
            ("a,b,c", &["a", "b", "c"]),
            ("a", &["a"]),
        ];
        for (line, wanted) in good {
            assert_eq!(fields(line).unwrap(), wanted, "{line}");
        }
        assert_eq!(fields("a,\"b").unwrap_err(), "a quote is not closed");
        assert_eq!(fields("\"a\"b,c").unwrap_err(), "something stands after a closing quote");
    }

    #[test]
    fn cocos_things_belong_to_pictures_and_labels() {
        let json = br#"{"images": [{"id": 1, "file_name": "coco.json", "width": 64, "height": 32},
                                   {"id": 2, "file_name": "lost.png", "width": 64, "height": 32}],
            "categories": [{"id": 5, "name": "green"}, {"id": 6, "name": "blue"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]},
                            {"id": 2, "image_id": 1, "category_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 1},
                            {"id": 3, "image_id": 1, "category_id": 6, "bbox": [1, 2, 3, 4]},
                            {"id": 4, "image_id": 9, "category_id": 5, "bbox": [1, 2, 3, 4]},
                            {"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]},
                            {"id": 6, "image_id": 1, "category_id": 5, "bbox": [1, 2, -3, 4]}]}"#;
        let (truths, left) = with("coco.json", json, |path, data| {
            coco(path, path.parent().unwrap(), &labels(), data).unwrap();
            data.samples.iter().map(|sample| sample.truth.clone()).collect::<Vec<_>>()
        });
        let thing = |corners, crowd| Thing { label: 1, corners, crowd };
        let list = vec![thing([1.0, 2.0, 4.0, 6.0], false), thing([0.0, 0.0, 9.0, 9.0], true)];
        assert_eq!(truths, [Truth::Things(Things { list, pixels: Some([64.0, 32.0]) })]);
        let wanted = [
            "coco.json: category \"blue\" is no label of the model: 1 annotations",
            "coco.json: annotation 5: there is no category 7",
            "coco.json: annotation 4: there is no image 9",
            "coco.json: annotation 6: bbox [1.0, 2.0, -3.0, 4.0] is no rectangle",
            "coco.json: image 2: there is no file lost.png",
        ];
        assert_eq!(left, wanted);
        let (said, _) = with("coco.json", b"{\n\"images\": 3}", |path, data| {
            coco(path, path.parent().unwrap(), &labels(), data).unwrap_err().to_string()
        });
        assert!(said.contains("is not in COCO's form") && said.contains("line 2"), "{said}");
    }
}
