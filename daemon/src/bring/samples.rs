//! Samples: which files are shown to a model, and which of its answers are firm enough to be golden.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{BringError, file};

/// Most samples that are shown to the model; of more, as many at even distances.
pub const MOST: usize = 200;
/// Golden inputs that are kept: each box runs them whenever it loads the model.
pub const GOLDENS: usize = 5;
/// Largest sample, bytes.
const MOST_BYTES: u64 = 64 << 20;

/// The files at `path`: one file, or those of a directory in the order of their names.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, BringError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(file("read the samples in", path))? {
        let entry = entry.map_err(file("read the samples in", path))?.path();
        let hidden = entry.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if entry.is_file() && !hidden {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

/// So many of them, at even distances.
pub fn spread(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let count = files.len();
    if count <= MOST {
        return files;
    }
    let kept = |(at, file): (usize, PathBuf)| ((at * MOST) / count != ((at + 1) * MOST) / count).then_some(file);
    files.into_iter().enumerate().filter_map(kept).collect()
}

/// Content type, and the ending of a file's name.
pub type Kind = (&'static str, &'static str);

/// The bytes of a sample, with its content type and the ending of its name, told from how it begins.
pub fn read(path: &Path) -> Result<(Vec<u8>, Option<Kind>), BringError> {
    let failed = |source| BringError::File { what: "read the sample", path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MOST_BYTES {
        return Err(failed(std::io::Error::other(format!("{bytes} bytes, at most {MOST_BYTES} are taken"))));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let kind = content_type(&bytes);
    Ok((bytes, kind))
}

fn content_type(bytes: &[u8]) -> Option<Kind> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(("image/jpeg", "jpg")),
        [0x89, b'P', b'N', b'G', ..] => Some(("image/png", "png")),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(("audio/wav", "wav")),
        _ => None,
    }
}

/// How firm an answer is: the distance of its scores to where another provider, which rounds otherwise, would answer
/// something else. The threshold is the recipe's.
pub fn firmness(document: &Value, threshold: f64) -> f64 {
    let scores = |key: &str| -> Option<Vec<f64>> {
        document.get(key)?.as_array()?.iter().map(|one| one.get("score")?.as_f64()).collect()
    };
    if let Some(labels) = scores("labels") {
        let (first, second) = (labels.first().copied().unwrap_or(0.0), labels.get(1).copied().unwrap_or(0.0));
        return first - second;
    }
    match scores("objects") {
        // Nothing was found: as golden as anything, but it shows little.
        Some(objects) if objects.is_empty() => 0.0,
        Some(objects) => {
            let gaps = objects.windows(2).map(|two| match two {
                [more, less] => (more - less) * 10.0,
                _ => 1.0,
            });
            let last = objects.last().map_or(0.0, |last| last - threshold);
            gaps.fold(last, f64::min)
        }
        None => 1.0,
    }
}

/// What of a document is held against later answers: the order of unlikely labels is nothing to insist on.
pub fn expected(document: &Value) -> Value {
    match (document.get("label"), document.get("score"), document.get("labels")) {
        (Some(label), Some(score), Some(_)) => json!({"label": label, "score": score}),
        _ => document.clone(),
    }
}

/// A picture that shows nothing in particular, where nobody gave one: shades and two discs, the same on every machine.
pub fn made_up() -> Result<Vec<u8>, image::ImageError> {
    let shade = |x: u32, y: u32| {
        let disc = |cx: u32, cy: u32, r: u32| x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2) < r * r;
        let byte = |number: u32| u8::try_from(number & 0xff).unwrap_or(0);
        match (disc(100, 120, 60), disc(230, 80, 40)) {
            (true, _) => [220, 60, 40],
            (_, true) => [40, 80, 220],
            _ => [byte(x * 255 / 320), byte(y * 255 / 240), 128],
        }
    };
    let picture = image::RgbImage::from_fn(320, 240, |x, y| image::Rgb(shade(x, y)));
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_all_of_them() {
        let files = |count: usize| (0..count).map(|at| PathBuf::from(at.to_string())).collect::<Vec<_>>();
        assert_eq!(spread(files(MOST)).len(), MOST);
        for count in [MOST + 1, 2 * MOST, 10 * MOST + 7] {
            assert_eq!(spread(files(count)).len(), MOST, "{count}");
        }
    }

    #[test]
    fn an_answer_is_as_firm_as_its_closest_call() {
        let objects =
            |scores: &[f64]| json!({"objects": scores.iter().map(|score| json!({"score": score})).collect::<Vec<_>>()});
        let about = |firm: f64, wanted: f64| assert!((firm - wanted).abs() < 1e-9, "{firm} instead of {wanted}");
        about(firmness(&json!({"labels": [{"score": 0.9}, {"score": 0.2}]}), 0.0), 0.7);
        about(firmness(&objects(&[0.9, 0.5]), 0.25), 0.25);
        about(firmness(&objects(&[0.9, 0.26]), 0.25), 0.01);
        about(firmness(&objects(&[0.9, 0.89]), 0.25), 0.1);
        about(firmness(&objects(&[]), 0.25), 0.0);
        about(firmness(&json!({"text": "LOT"}), 0.0), 1.0);
    }

    #[test]
    fn a_sample_is_what_its_first_bytes_say() {
        assert_eq!(content_type(&made_up().unwrap()), Some(("image/png", "png")));
        assert_eq!(content_type(b"RIFF\0\0\0\0WAVEfmt "), Some(("audio/wav", "wav")));
        assert_eq!(content_type(b"{\"tensors\": []}"), None);
        assert_eq!(content_type(b""), None);
    }
}
