//! Models that read one line of text, by connectionist temporal classification.

use super::{Extra, Family, Seen, Wish, assumed, fixed, found, is_float, text};
use crate::bundle::Task;
use crate::graph::{Port, Size};

/// Keys of the metadata in which exporters keep the dictionary.
const KEYS: [&str; 3] = ["character", "characters", "dictionary"];
/// Highest line, pixels.
const HIGHEST: usize = 128;
/// Height of a line where the graph leaves it open, pixels.
const HEIGHT: i64 = 48;
/// The dictionary within a bundle.
const FILE: &str = "dictionary.txt";

/// `[N, 1 or 3, height, width]` of open width to `[N, T, entries]`.
pub fn ctc(seen: &Seen<'_>, wish: &Wish) -> Result<Family, String> {
    if wish.task.is_none() && !seen.says.is_empty() {
        return Err(format!("its metadata says that its task is {}", seen.says));
    }
    let ([input], [output]) = (seen.graph.inputs.as_slice(), seen.graph.outputs.as_slice()) else {
        return Err("a model that reads text has one input and one output".into());
    };
    let height = line_height(input).ok_or_else(|| {
        format!("its input {} is no line of text: [N, 3, height, width] of low height and open width", input.name)
    })?;
    let entries = match output.sizes.as_slice() {
        [_, _, entries] if is_float(output) => fixed(entries),
        _ => return Err(format!("its output {} is not [N, steps, entries]", output.name)),
    };
    let key = KEYS.into_iter().find(|key| seen.graph.metadata.contains_key(*key));
    let mut files = Vec::new();
    let dictionary = match (key, &wish.labels) {
        (_, Some(labels)) => {
            files.push(Extra { path: FILE.into(), content: labels.join("\n") + "\n" });
            found("dictionary", text(FILE), "given")
        }
        (Some(key), None) => found("dictionary_key", text(key), "in the model's metadata"),
        (None, None) => {
            return Err(
                "nobody knows its dictionary: give it with --labels, one entry a line, without blank and space".into(),
            );
        }
    };
    let of = "as the recognisers of PaddleOCR have it";
    let grey = matches!(input.sizes.get(1), Some(Size::Fixed(1)));
    Ok(Family {
        task: Task::TextRecognition,
        input: vec![
            found("kind", text("image"), "the input is a line of fixed height and open width"),
            found("tensor", text(&input.name), "the graph's one input"),
            match height {
                Some(height) => found("height", height.to_string(), "of the graph's input"),
                None => assumed("height", HEIGHT.to_string(), of),
            },
            assumed("min_width", "320".into(), of),
            assumed("max_width", "3200".into(), "wider lines are squeezed"),
            assumed("when_wider", text("squeeze"), "or \"refuse\""),
            if grey { found("channels", text("grey"), "one channel") } else { assumed("channels", text("bgr"), of) },
            assumed("mean", "[0.5, 0.5, 0.5]".into(), of),
            assumed("std", "[0.5, 0.5, 0.5]".into(), of),
        ],
        output: vec![
            found("kind", text("ctc"), "the output has entries of a dictionary for each step"),
            found("tensor", text(&output.name), "the graph's one output"),
            dictionary,
        ],
        files,
        closed: height.is_none().then(|| (input.name.clone(), vec![-1, if grey { 1 } else { 3 }, HEIGHT, -1])),
        ..Family::named(match entries {
            Some(entries) => format!("a model that reads a line of text, {entries} entries"),
            None => "a model that reads a line of text".into(),
        })
    })
}

/// The height of a line, pixels, where the graph tells it; `None` if the input is none.
fn line_height(input: &Port) -> Option<Option<usize>> {
    match input.sizes.as_slice() {
        [_, Size::Fixed(1 | 3), height, Size::Open(_)] if is_float(input) => match fixed(height) {
            Some(height) => (height <= HIGHEST).then_some(Some(height)),
            None => Some(None),
        },
        _ => None,
    }
}
