//! The text of a drafted `model.toml`. What was assumed says so on its line; golden inputs and digests come last, so that
//! they can be written anew when something above them was corrected by hand.

use edge_engine::bundle::{FileEntry, Golden, Variant};
use edge_engine::family::{Family, Line, Why, text};

/// What a draft is made of, besides its golden inputs and files.
#[derive(Debug)]
pub struct Head<'a> {
    pub name: &'a str,
    pub version: &'a str,
    /// SPDX expression, and where it is from.
    pub licence: Line,
    pub source: &'a str,
    /// The ONNX file within the bundle.
    pub file: &'a str,
    /// The graph carries INT8 quantisation.
    pub int8: bool,
    /// Dimension 0 of every input and output is the batch.
    pub batched: bool,
    pub family: &'a Family,
}

/// Rows of one run: what the daemon measures its plan within.
const MOST_ROWS: u16 = 8;
/// Largest picture, pixels: those of a camera of 50 megapixels.
const PIXELS: u64 = 50_000_000;
/// Longest sound.
const SECONDS: u32 = 600;
/// Largest payload, bytes.
const PAYLOAD: u64 = 32 << 20;
/// Deadline of requests that name none.
const DEADLINE_MS: u32 = 5000;

/// Everything above the golden inputs.
pub fn head(draft: &Head<'_>) -> String {
    let family = draft.family;
    let mut out = format!(
        "# Drafted from {}: {}.\n# A line marked \"assumed\" is what most models of this kind have; the graph does not say. Look at the drawn\n\
         # pictures, correct it here, and let `edgectl models goldens` answer the golden inputs anew.\n",
        draft.source, family.name
    );
    line(&mut out, "name", &text(draft.name), None);
    line(&mut out, "version", &text(draft.version), None);
    line(&mut out, "task", &text(family.task.as_str()), None);
    told(&mut out, &draft.licence);
    line(&mut out, "description", &text(&described(family)), None);
    line(&mut out, "source", &text(draft.source), None);
    line(&mut out, "deadline_ms", &DEADLINE_MS.to_string(), Some("assumed: of requests that name none"));
    variant(&mut out, draft);
    if let Some((name, shape)) = &family.closed {
        out.push_str("\n[[tensor]]\n");
        line(&mut out, "name", &text(name), None);
        line(&mut out, "shape", &format!("{shape:?}"), Some("assumed: closes what the graph leaves open"));
    }
    if draft.batched {
        out.push_str("\n[batching]\n");
        line(&mut out, "max", &MOST_ROWS.to_string(), Some("dimension 0 of every input and output is the batch"));
    }
    out.push_str("\n[limits]\n");
    line(&mut out, "payload_bytes", &PAYLOAD.to_string(), None);
    let kind = family.input.iter().find(|line| line.key == "kind").map(|line| line.value.as_str());
    match kind {
        Some("\"sound\"") => line(&mut out, "seconds", &SECONDS.to_string(), None),
        Some(_) => line(&mut out, "pixels", &PIXELS.to_string(), None),
        None => {}
    }
    for (title, lines) in [
        ("[input]", &family.input),
        ("[output]", &family.output),
        ("[output.head]", &family.head),
        ("[output.masks]", &family.masks),
    ] {
        if !lines.is_empty() {
            out.push_str(&format!("\n{title}\n"));
            lines.iter().for_each(|line| told(&mut out, line));
        }
    }
    out
}

fn variant(out: &mut String, draft: &Head<'_>) {
    out.push_str("\n[[variant]]\n");
    line(out, "name", "\"original\"", None);
    line(out, "file", &text(draft.file), None);
    let why = "the most wanted first; the box uses those that it has and that its operator allows";
    line(out, "providers", r#"["cuda", "openvino", "cpu"]"#, Some(why));
    line(out, "threads", "1", Some("`edgectl models tune` measures what is best on a box"));
    line(out, "instances", "1", None);
    if draft.int8 {
        line(out, "int8", "true", Some("the graph has QuantizeLinear"));
    }
}

/// The manifest's head with one more variant, behind those that it has.
pub fn with_variant(head: &str, variant: &Variant) -> String {
    let is_title = |line: &str| line.trim_start().starts_with('[');
    let of_variant =
        |line: &str| ["[[variant]]", "[[variant."].iter().any(|title| line.trim_start().starts_with(title));
    let mut inside = false;
    let (mut at, mut end) = (0, head.trim_end().len());
    for line in head.split_inclusive('\n') {
        at += line.len();
        if is_title(line) {
            inside = of_variant(line);
        }
        // What is said above the next table is said of that.
        let says = !line.trim().is_empty() && !line.trim_start().starts_with('#');
        if inside && says {
            end = at;
        }
    }
    let (before, after) = head.split_at_checked(end).unwrap_or((head, ""));
    format!("{}\n\n{}{}", before.trim_end(), table(variant), if after.trim().is_empty() { "" } else { after })
}

fn table(variant: &Variant) -> String {
    let mut out = String::from("[[variant]]\n");
    let providers: Vec<String> = variant.providers.iter().map(|provider| text(provider)).collect();
    line(&mut out, "name", &text(&variant.name), None);
    line(&mut out, "file", &text(&variant.file), None);
    line(&mut out, "providers", &format!("[{}]", providers.join(", ")), None);
    line(&mut out, "threads", &variant.threads.to_string(), None);
    line(&mut out, "instances", &variant.instances.to_string(), None);
    for (key, is) in [("memory_pattern", variant.memory_pattern), ("int8", variant.int8)] {
        if is {
            line(&mut out, key, "true", None);
        }
    }
    if let Some(loss) = variant.loss {
        let why = "share of the task's measure, against the first variant: see max_loss";
        line(&mut out, "loss", &format!("{loss:?}"), Some(why));
    }
    for profile in &variant.profile {
        out.push_str("\n[[variant.profile]]\n");
        line(&mut out, "tensor", &text(&profile.tensor), None);
        for (key, sizes) in [("min", &profile.min), ("opt", &profile.opt), ("max", &profile.max)] {
            line(&mut out, key, &format!("{sizes:?}"), None);
        }
    }
    out
}

/// Golden inputs and files.
pub fn tail(goldens: &[Golden], files: &[FileEntry]) -> String {
    let mut out = String::new();
    for golden in goldens {
        out.push_str("\n[[golden]]\n");
        line(&mut out, "input", &text(&golden.input), None);
        if let Some(content_type) = &golden.content_type {
            line(&mut out, "content_type", &text(content_type), None);
        }
        line(&mut out, "expected", &text(&golden.expected), None);
        line(&mut out, "tolerance", &format!("{:?}", golden.tolerance), None);
    }
    for file in files {
        out.push_str("\n[[file]]\n");
        line(&mut out, "path", &text(&file.path), None);
        line(&mut out, "bytes", &file.bytes.to_string(), None);
        line(&mut out, "sha256", &text(&file.sha256), None);
    }
    out
}

/// The text before its golden inputs and files; `None` if another table follows them, which would be lost.
pub fn without_tail(manifest: &str) -> Option<&str> {
    let is_tail = |line: &str| ["[[golden]]", "[[file]]"].iter().any(|title| line.trim_start().starts_with(title));
    let mut at = 0;
    let start = manifest.split_inclusive('\n').find_map(|line| {
        let here = at;
        at += line.len();
        is_tail(line).then_some(here)
    });
    let Some(start) = start else { return Some(manifest.trim_end()) };
    let (head, tail) = manifest.split_at_checked(start)?;
    let other = tail.lines().any(|line| line.trim_start().starts_with('[') && !is_tail(line));
    (!other).then(|| head.trim_end())
}

fn described(family: &Family) -> String {
    let mut words = family.name.clone();
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words.chars().filter(|character| !character.is_control()).take(300).collect()
}

fn told(out: &mut String, one: &Line) {
    let why = match &one.why {
        Why::Found(why) => (*why).to_owned(),
        Why::Assumed(why) => format!("assumed: {why}"),
    };
    line(out, one.key, &one.value, Some(&why));
}

fn line(out: &mut String, key: &str, value: &str, why: Option<&str>) {
    out.push_str(&format!("{key} = {value}"));
    // A long list of labels would push the reason out of sight.
    match why {
        Some(why) if value.len() <= 60 => out.push_str(&format!("  # {why}\n")),
        Some(why) => out.push_str(&format!("\n# ^ {why}\n")),
        None => out.push('\n'),
    }
}

#[cfg(test)]
mod tests {
    use edge_engine::bundle::{Manifest, Profile};

    use super::*;

    #[test]
    fn a_variant_is_put_behind_the_others_and_everything_else_stays() {
        let real = [
            "text-direction",
            "text-line",
            "text-boxes",
            "file-type",
            "speech",
            "table-lines",
            "part-type",
            "surface-flaws",
            "test/things",
            "test/add",
        ];
        for name in real {
            let path =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-models").join(name).join("model.toml");
            let manifest = std::fs::read_to_string(path).unwrap();
            let before = Manifest::parse(&manifest).unwrap();
            let profile = Profile { tensor: "x".into(), min: vec![1], opt: vec![2], max: vec![4] };
            let mut wanted =
                Variant { name: "int8".into(), int8: true, loss: Some(0.0125), ..before.variant[0].clone() };
            for profiles in [Vec::new(), vec![profile]] {
                if before.tensor.is_empty() {
                    wanted.profile = profiles;
                }
                let made = with_variant(without_tail(&manifest).unwrap(), &wanted);
                let whole = format!("{made}\n{}", tail(&before.golden, &before.file));
                let after = Manifest::parse(&whole).unwrap_or_else(|error| panic!("{name}: {error}\n{made}"));
                assert_eq!(after.variant.last(), Some(&wanted), "{name}");
                let rest = Manifest { variant: before.variant.clone(), ..after };
                assert_eq!(rest, before, "{name}");
            }
        }
        let head = "[[variant]]\nname = \"a\"\n\n# Of the limits.\n[limits]\nx = 1";
        let made = with_variant(head, &Variant { profile: Vec::new(), loss: None, ..sample() });
        assert!(made.ends_with("int8 = true\n\n# Of the limits.\n[limits]\nx = 1"), "{made}");
    }

    fn sample() -> Variant {
        let text = include_str!("../../../onnx-models/test/add/model.toml");
        Variant { int8: true, ..Manifest::parse(text).unwrap().variant[0].clone() }
    }

    #[test]
    fn the_tail_of_a_manifest_is_taken_off_and_nothing_else() {
        let head = "name = \"a\"\n[input]\nkind = \"picture\"\n";
        let tail = "\n[[golden]]\ninput = \"x\"\n\n[[file]]\npath = \"x\"\n";
        assert_eq!(without_tail(&format!("{head}{tail}")), Some(head.trim_end()));
        assert_eq!(without_tail(head), Some(head.trim_end()));
        // What follows would be lost.
        assert_eq!(without_tail(&format!("{head}{tail}\n[limits]\npayload_bytes = 1\n")), None);
    }
}
