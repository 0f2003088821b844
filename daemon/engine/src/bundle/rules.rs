//! What the values of a manifest must be. Every fault names its key and the accepted range; all are reported at once.

use std::collections::BTreeSet;

use super::manifest::{FileEntry, Golden, Limits, Manifest, Pipeline, Profile, TensorRule, Variant};
use super::parts::{ADAPTER, PREFIX, PartKind};
use super::recipe_rules::recipes;
use super::recipes::{CtcRecipe, InputRecipe, OutputRecipe};

/// Execution providers that a manifest may wish for.
pub const PROVIDERS: [&str; 5] = ["cpu", "cuda", "tensorrt", "tensorrt-rtx", "openvino"];
/// Most dimensions of a tensor with a profile; TensorRT knows no more.
const MAX_DIMENSIONS: usize = 8;

/// Collects faults under their keys.
#[derive(Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// `key` must be what is accepted.
    pub fn unless(&mut self, good: bool, key: &str, accepted: &str) {
        if !good {
            self.0.push(format!("{key}: must be {accepted}"));
        }
    }
}

/// Every fault of a manifest, each `key: must be ...`.
pub fn faults(manifest: &Manifest) -> Vec<String> {
    let mut faults = Faults::default();
    head(manifest, &mut faults);
    match (&manifest.kind, &manifest.pipeline) {
        (Some(kind), _) => part(manifest, *kind, &mut faults),
        (None, Some(pipeline)) => stages(manifest, pipeline, &mut faults),
        (None, None) => variants(&manifest.variant, &mut faults),
    }
    needs(manifest, &mut faults);
    for (at, variant) in manifest.variant.iter().enumerate() {
        profiles(&format!("variant[{at}].profile"), &variant.profile, &manifest.tensor, &mut faults);
    }
    tensors(&manifest.tensor, &mut faults);
    if let Some(batching) = manifest.batching {
        faults.unless((1..=32).contains(&batching.max), "batching.max", "1..=32");
    }
    limits(&manifest.limits, manifest.input.as_ref(), &mut faults);
    recipes(manifest, &mut faults);
    let encoded = manifest.input.is_some() || manifest.pipeline.is_some();
    goldens(&manifest.golden, encoded, &mut faults);
    files(manifest, &mut faults);
    faults.0
}

fn head(manifest: &Manifest, faults: &mut Faults) {
    faults.unless(is_name(&manifest.name), "name", "1..=64 characters of [a-z0-9_-], a letter or digit first");
    faults.unless(is_semver(&manifest.version), "version", "a semantic version such as 1.2.3 or 1.2.3-rc.1");
    faults.unless(is_line(&manifest.licence, 120), "licence", "an SPDX expression of 1..=120 characters");
    faults.unless(is_line(&manifest.description, 300), "description", "one line of 1..=300 characters");
    faults.unless(manifest.source.len() <= 300, "source", "at most 300 characters");
    faults.unless((1..=600_000).contains(&manifest.deadline_ms), "deadline_ms", "1..=600000");
    faults.unless((0.0..=1.0).contains(&manifest.max_loss), "max_loss", "0..=1");
    let runtime = manifest.min_runtime.as_deref().is_none_or(is_version_start);
    faults.unless(runtime, "min_runtime", "absent, or one to three numbers such as \"1.24\"");
}

fn variants(variants: &[Variant], faults: &mut Faults) {
    faults.unless((1..=16).contains(&variants.len()), "variant", "1..=16 tables");
    let mut names = BTreeSet::new();
    for (at, variant) in variants.iter().enumerate() {
        let key = |name: &str| format!("variant[{at}].{name}");
        faults.unless(
            is_name(&variant.name) && names.insert(&variant.name),
            &key("name"),
            "a name of [a-z0-9_-] that no other variant has",
        );
        faults.unless((1..=64).contains(&variant.threads), &key("threads"), "1..=64");
        faults.unless((1..=16).contains(&variant.instances), &key("instances"), "1..=16");
        // The others are held against the first.
        let (loss, accepted) = match at {
            0 => (
                variant.loss.is_none_or(|loss| loss == 0.0),
                "absent or 0 in the first variant: the others are held against it",
            ),
            _ => (variant.loss.is_none_or(|loss| (0.0..=1.0).contains(&loss)), "0..=1"),
        };
        faults.unless(loss, &key("loss"), accepted);
        let distinct: BTreeSet<_> = variant.providers.iter().collect();
        let known = variant.providers.iter().all(|name| PROVIDERS.contains(&name.as_str()));
        faults.unless(
            known && !distinct.is_empty() && distinct.len() == variant.providers.len(),
            &key("providers"),
            "1..=5 of \"cpu\", \"cuda\", \"tensorrt\", \"tensorrt-rtx\", \"openvino\", each once",
        );
    }
}

/// What describes a model of its own, and whether it is absent.
fn without_model(manifest: &Manifest) -> [(&'static str, bool); 5] {
    [
        ("variant", manifest.variant.is_empty()),
        ("tensor", manifest.tensor.is_empty()),
        ("batching", manifest.batching.is_none()),
        ("input", manifest.input.is_none()),
        ("output", manifest.output.is_none()),
    ]
}

/// A part has files, and nothing that would describe a model.
fn part(manifest: &Manifest, kind: PartKind, faults: &mut Faults) {
    let more = [
        ("pipeline", manifest.pipeline.is_none()),
        ("golden", manifest.golden.is_empty()),
        ("needs", manifest.needs.is_empty()),
    ];
    for (key, absent) in without_model(manifest).into_iter().chain(more) {
        faults.unless(absent, key, "absent in a part: it is no model");
    }
    let adapters = manifest.file.iter().filter(|file| file.path.ends_with(ADAPTER)).count();
    match kind {
        PartKind::Adapter => faults.unless(adapters == 1, "file", "1 file *.onnx_adapter in an adapter"),
        _ => faults.unless(!manifest.file.is_empty(), "file", "at least 1 table in a part"),
    }
}

/// The parts that a model needs, and for which graphs an adapter was made.
fn needs(manifest: &Manifest, faults: &mut Faults) {
    let hex = |text: &String| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let base = match manifest.kind {
        Some(PartKind::Adapter) => (1..=64).contains(&manifest.base.len()) && manifest.base.iter().all(hex),
        _ => manifest.base.is_empty(),
    };
    faults.unless(base, "base", "in an adapter 1..=64 sha256 of 64 characters of [0-9a-f], elsewhere absent");
    let few = manifest.needs.len() <= 16 && (manifest.pipeline.is_none() || manifest.needs.is_empty());
    faults.unless(few, "needs", "at most 16 tables, and absent in a pipeline");
    for (at, need) in manifest.needs.iter().enumerate() {
        let once = manifest.needs.iter().filter(|other| other.name == need.name).count() == 1;
        let name = is_name(&need.name) && need.name != manifest.name && once;
        faults.unless(name, &format!("needs[{at}].name"), "the name of another bundle, in one table");
        let range = super::range::is_range(&need.version);
        faults.unless(range, &format!("needs[{at}].version"), "a range of versions such as \"^1.2\" or \">=1.2, <3\"");
    }
    let weights = manifest.needs.iter().filter(|need| need.kind == PartKind::Weights).count();
    faults.unless(weights <= 1, "needs", "at most one of the kind weights");
}

/// A pipeline has no model of its own, and nothing that would describe one.
fn stages(manifest: &Manifest, pipeline: &Pipeline, faults: &mut Faults) {
    for (key, absent) in without_model(manifest) {
        faults.unless(absent, key, "absent in a pipeline: its stages have their own");
    }
    for (role, stage) in pipeline.stages() {
        let key = |name: &str| format!("pipeline.{role}.{name}");
        let other = is_name(&stage.model) && stage.model != manifest.name;
        faults.unless(other, &key("model"), "the name of another model, 1..=64 characters of [a-z0-9_-]");
        let version = stage.version.as_deref().is_none_or(is_version_start);
        faults.unless(version, &key("version"), "absent, or one to three numbers such as \"1\" or \"1.2\"");
        faults.unless((0.0..=1.0).contains(&stage.min_score), &key("min_score"), "0..=1");
    }
    faults.unless((1..=1000).contains(&pipeline.max_lines), "pipeline.max_lines", "1..=1000");
    faults.unless((1..=64).contains(&pipeline.fan_out), "pipeline.fan_out", "1..=64");
    let typed = manifest.golden.iter().position(|golden| golden.content_type.is_none());
    faults.unless(
        typed.is_none(),
        &format!("golden[{}].content_type", typed.unwrap_or(0)),
        "present in a pipeline: it takes pictures, no tensors",
    );
}

/// The profiles of one variant, whose key is `key`.
fn profiles(key: &str, profiles: &[Profile], tensors: &[TensorRule], faults: &mut Faults) {
    faults.unless(profiles.len() <= 64, key, "at most 64 tables");
    for (at, profile) in profiles.iter().enumerate() {
        let once = profiles.iter().filter(|other| other.tensor == profile.tensor).count() == 1;
        // Colon and comma divide the text in which TensorRT is told the profiles.
        faults.unless(
            once && !profile.tensor.is_empty() && !profile.tensor.contains([':', ',']),
            &format!("{key}[{at}].tensor"),
            "an input that no other profile of the variant has, without \":\" and \",\"",
        );
        let (min, opt, max) = (&profile.min, &profile.opt, &profile.max);
        let as_long = min.len() == opt.len() && opt.len() == max.len() && (1..=MAX_DIMENSIONS).contains(&min.len());
        let ordered = min.iter().zip(opt).zip(max).all(|((min, opt), max)| *min >= 1 && min <= opt && opt <= max);
        faults.unless(
            as_long && ordered,
            &format!("{key}[{at}]"),
            "min, opt and max of the same 1..=8 places, in each place 1 <= min <= opt <= max",
        );
        let fits = tensors.iter().find(|rule| rule.name == profile.tensor).is_none_or(|rule| within(profile, rule));
        faults.unless(fits, &format!("{key}[{at}]"), "within shape and max of the tensor table of that name");
    }
}

/// Whether every size of the profile is one that the tensor table leaves open.
fn within(profile: &Profile, rule: &TensorRule) -> bool {
    let place = |(at, size): (usize, &i64)| {
        let (min, max) = (profile.min.get(at), profile.max.get(at));
        match size {
            -1 => rule.max.get(at).is_none_or(|most| max.is_some_and(|max| max <= most)),
            size => min == Some(size) && max == Some(size),
        }
    };
    profile.min.len() == rule.shape.len() && rule.shape.iter().enumerate().all(place)
}

fn tensors(tensors: &[TensorRule], faults: &mut Faults) {
    for (at, tensor) in tensors.iter().enumerate() {
        let once = tensors.iter().filter(|other| other.name == tensor.name).count() == 1;
        faults.unless(once, &format!("tensor[{at}].name"), "a name that no other tensor table has");
        let open_or_sized = tensor.shape.iter().all(|size| *size == -1 || *size >= 1);
        faults.unless(open_or_sized, &format!("tensor[{at}].shape"), "-1 or at least 1 in each place");
        let bounded = tensor.max.is_empty() || tensor.max.len() == tensor.shape.len();
        let above = tensor.max.iter().zip(&tensor.shape).all(|(max, size)| *max >= 1 && max >= size);
        faults.unless(
            bounded && above,
            &format!("tensor[{at}].max"),
            "absent, or as long as shape and nowhere below it or below 1",
        );
        let bounded = tensor.multiple.is_empty() || tensor.multiple.len() == tensor.shape.len();
        let whole = |(multiple, size): (&i64, &i64)| *multiple >= 1 && (*size < 1 || size % multiple == 0);
        let most = |(multiple, max): (&i64, &i64)| multiple <= max;
        faults.unless(
            bounded
                && tensor.multiple.iter().zip(&tensor.shape).all(whole)
                && tensor.multiple.iter().zip(&tensor.max).all(most),
            &format!("tensor[{at}].multiple"),
            "absent, or as long as shape, at least 1, a divisor of each fixed size and nowhere above max",
        );
    }
}

fn limits(limits: &Limits, input: Option<&InputRecipe>, faults: &mut Faults) {
    faults.unless((1..=1 << 30).contains(&limits.payload_bytes), "limits.payload_bytes", "1..=1073741824");
    let image = matches!(input, Some(InputRecipe::Image(_) | InputRecipe::Picture(_) | InputRecipe::Scene(_)));
    let pixels = limits.pixels.map_or(!image, |pixels| (1..=268_435_456).contains(&pixels));
    faults.unless(pixels, "limits.pixels", "1..=268435456, and present for an image, a picture or a scene");
    let sound = matches!(input, Some(InputRecipe::Sound(_)));
    let seconds = limits.seconds.map_or(!sound, |seconds| (1..=86_400).contains(&seconds));
    faults.unless(seconds, "limits.seconds", "1..=86400, and present for a sound");
}

fn goldens(goldens: &[Golden], encoded: bool, faults: &mut Faults) {
    faults.unless(goldens.len() <= 64, "golden", "at most 64 tables");
    for (at, golden) in goldens.iter().enumerate() {
        let tolerance = golden.tolerance.is_finite() && (0.0..=1.0).contains(&golden.tolerance);
        faults.unless(tolerance, &format!("golden[{at}].tolerance"), "0..=1");
        let typed = golden.content_type.is_none() || encoded;
        faults.unless(typed, &format!("golden[{at}].content_type"), "absent in a bundle without an input recipe");
    }
}

fn files(manifest: &Manifest, faults: &mut Faults) {
    let (mut listed, mut folded) = (BTreeSet::new(), BTreeSet::new());
    for (at, file) in manifest.file.iter().enumerate() {
        // Two names that differ in case alone are one file on some disks.
        let once = listed.insert(file.path.as_str()) && folded.insert(file.path.to_lowercase());
        file_entry(at, file, once, faults);
    }
    for (key, path) in named_files(manifest) {
        if let Some(rest) = path.strip_prefix(PREFIX) {
            let own = key.starts_with("variant") || key.starts_with("golden");
            let of_part = rest.split_once('/').is_some_and(|(name, file)| {
                let needed = manifest.needs.iter().any(|need| need.name == name && need.kind.is_read());
                needed && is_inside(file)
            });
            let accepted = "a file of its own, or part:NAME/FILE of a tokenizer or labels that it needs";
            faults.unless(of_part && !own, &key, accepted);
            continue;
        }
        faults.unless(listed.contains(path), &key, &format!("listed as a [[file]] (\"{path}\" is not)"));
    }
}

fn file_entry(at: usize, file: &FileEntry, once: bool, faults: &mut Faults) {
    faults.unless(
        once && is_inside(&file.path),
        &format!("file[{at}].path"),
        "a relative path inside the bundle, without \"..\", listed once in any case of letters, not model.toml",
    );
    faults.unless((1..=8 << 30).contains(&file.bytes), &format!("file[{at}].bytes"), "1..=8589934592");
    let hex = file.sha256.len() == 64 && file.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    faults.unless(hex, &format!("file[{at}].sha256"), "64 characters of [0-9a-f]");
}

/// Every file that the manifest names somewhere, with the key that names it.
fn named_files(manifest: &Manifest) -> Vec<(String, &str)> {
    let variants = manifest.variant.iter().enumerate();
    let mut named: Vec<_> = variants.map(|(at, v)| (format!("variant[{at}].file"), v.file.as_str())).collect();
    if let Some(InputRecipe::FileBytes(recipe)) = &manifest.input {
        named.push(("input.config".into(), &recipe.config));
    }
    if let Some(OutputRecipe::FileType(recipe)) = &manifest.output {
        named.push(("output.config".into(), &recipe.config));
        named.push(("output.content_types".into(), &recipe.content_types));
    }
    if let Some(OutputRecipe::Embedding(recipe)) = &manifest.output
        && let Some(enrolled) = &recipe.enrolled
    {
        named.push(("output.enrolled".into(), enrolled));
    }
    if let Some(OutputRecipe::Ctc(CtcRecipe { dictionary: Some(dictionary), .. })) = &manifest.output {
        named.push(("output.dictionary".into(), dictionary));
    }
    for (at, golden) in manifest.golden.iter().enumerate() {
        named.push((format!("golden[{at}].input"), &golden.input));
        named.push((format!("golden[{at}].expected"), &golden.expected));
    }
    named
}

/// Whether a text is a name of a bundle: 1..=64 characters of `[a-z0-9_-]`, a letter or digit first.
pub fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    first && text.len() <= 64 && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn is_line(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}

/// Whether a path names a file inside the bundle that is not the manifest.
pub fn is_inside(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
    path != "model.toml" && path.len() <= 255 && path.split('/').all(plain)
}

fn is_version_start(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    text.split('.').count() <= 3 && text.split('.').all(number)
}

/// Whether a text is a semantic version.
pub fn is_semver(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let words = |text: Option<&str>| text.is_none_or(|text| text.split('.').all(word));
    text.len() <= 64 && core.split('.').count() == 3 && core.split('.').all(number) && words(pre) && words(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semantic_versions_are_told_from_other_text() {
        for good in ["0.1.0", "1.2.3", "10.20.30-rc.1", "1.0.0+build.5", "1.0.0-a-b.1+c"] {
            assert!(is_semver(good), "{good}");
        }
        for bad in ["", "1", "1.2", "1.2.3.4", "01.2.3", "v1.2.3", "1.2.3-", "1.2.3+", "1.2.3-a..b", "1.2.x"] {
            assert!(!is_semver(bad), "{bad}");
        }
    }

    #[test]
    fn a_path_that_could_leave_the_bundle_is_refused() {
        for good in ["model.onnx", "golden/a.json", "a/b/c.txt"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "model.toml", "a/"] {
            assert!(!is_inside(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_lower_case_and_short() {
        assert!(is_name("text-line_2"));
        for bad in ["", "Text", "-a", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
