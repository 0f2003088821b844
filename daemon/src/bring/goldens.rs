//! Golden answers: samples are shown to the model on the reference provider, the firmest answers are kept as golden, and the
//! manifest gets their tables and the digests of all files.

use std::path::{Path, PathBuf};

use edge_engine::bundle::{self, FileEntry, Golden, Manifest, OutputRecipe};
use edge_engine::protocol::LoadedModel;
use edge_wire::bring::{Drafted, Sample};
use serde_json::Value;

use super::manifest::{tail, without_tail};
use super::samples::{self, GOLDENS, MOST};
use super::{BringError, Room, file, room, tensors};

/// How far numbers may differ on another provider: what half precision costs a score or a pixel.
const TOLERANCE: f64 = 0.02;
/// The directory of golden inputs and answers.
const DIR: &str = "golden";
/// Most files of a bundle.
const MOST_FILES: usize = 4096;

/// What came of showing samples to a model.
#[derive(Debug, Default)]
pub struct Answered {
    pub goldens: Vec<Golden>,
    pub samples: Vec<Sample>,
    pub remarks: Vec<String>,
    /// Milliseconds of the quickest run.
    pub run_ms: f64,
}

/// A sample with its answer, while it is not decided whether it is golden.
struct Shown {
    content_type: &'static str,
    ending: &'static str,
    payload: Vec<u8>,
    document: Value,
    /// Place among the samples.
    at: usize,
    firm: f64,
}

/// Shows samples to the model that is loaded from the bundle in `dir`, or something made up where there are none, and writes
/// the golden inputs with their answers.
pub async fn answer(
    room: &mut Room,
    dir: &Path,
    manifest: &Manifest,
    loaded: &LoadedModel,
    from: Option<&Path>,
) -> Result<Answered, BringError> {
    if manifest.input.is_none() {
        return of_tensors(room, dir, loaded, from).await;
    }
    let mut answered = Answered::default();
    let mut shown = match from {
        Some(from) => show(room, manifest, loaded, from, &mut answered).await?,
        None => made_up(room, manifest, &mut answered).await?,
    };
    // The firmest, in the order of the samples.
    shown.sort_by(|a, b| b.firm.total_cmp(&a.firm));
    shown.truncate(GOLDENS);
    if shown.iter().any(|one| one.firm < 0.05) {
        let what =
            "some golden answers are close calls, which another provider may decide otherwise: give more samples";
        answered.remarks.push(what.into());
    }
    shown.sort_by_key(|one| one.at);
    for (number, one) in shown.iter().enumerate() {
        let (input, answer) = (format!("{DIR}/{number}.{}", one.ending), format!("{DIR}/{number}.json"));
        write(&dir.join(&input), &one.payload)?;
        write(&dir.join(&answer), &pretty(&samples::expected(&one.document))?)?;
        answered.goldens.push(golden(input, Some(one.content_type), answer));
        if let Some(sample) = answered.samples.get_mut(one.at) {
            sample.golden = true;
        }
    }
    Ok(answered)
}

async fn show(
    room: &mut Room,
    manifest: &Manifest,
    loaded: &LoadedModel,
    from: &Path,
    answered: &mut Answered,
) -> Result<Vec<Shown>, BringError> {
    let files = samples::list(from)?;
    let count = files.len();
    let files = samples::spread(files);
    if count > files.len() {
        answered.remarks.push(format!("of {count} samples {MOST} were shown to the model, at even distances"));
    }
    let mut shown = Vec::new();
    for path in &files {
        let at = answered.samples.len();
        let mut sample = Sample { file: path.display().to_string(), ..Sample::default() };
        match ask(room, manifest, loaded, path).await {
            Ok(mut one) => {
                faster(&mut answered.run_ms, room);
                one.at = at;
                sample.result = one.document.clone();
                shown.push(one);
            }
            // The host is gone, and with it everything that could still be asked.
            Err(error @ BringError::Room(super::RoomError::Gone(_) | super::RoomError::Silent)) => return Err(error),
            Err(error) => sample.error = crate::driver::chain(&error),
        }
        answered.samples.push(sample);
    }
    match (files.is_empty(), shown.is_empty()) {
        (true, _) => answered.remarks.push(format!("no samples in {}: nothing checks the answers", from.display())),
        (false, true) => answered.remarks.push("no sample could be answered: nothing checks the answers".into()),
        (false, false) => {}
    }
    Ok(shown)
}

async fn ask(room: &mut Room, manifest: &Manifest, loaded: &LoadedModel, path: &Path) -> Result<Shown, BringError> {
    let (payload, kind) = samples::read(path)?;
    let taken = kind.filter(|(content_type, _)| loaded.content_types.iter().any(|taken| taken == content_type));
    let Some((content_type, ending)) = taken else {
        return Err(BringError::Usage(format!("not taken: the model takes {}", loaded.content_types.join(", "))));
    };
    let document = room.document(content_type, &payload).await?;
    let firm = samples::firmness(&document, threshold(manifest));
    Ok(Shown { content_type, ending, payload, document, at: 0, firm })
}

async fn made_up(room: &mut Room, manifest: &Manifest, answered: &mut Answered) -> Result<Vec<Shown>, BringError> {
    let none = |answered: &mut Answered, why: &str| {
        answered
            .remarks
            .push(format!("no samples were given{why}: nothing checks the answers; give some with --samples"));
        Ok(Vec::new())
    };
    let pictures = matches!(
        manifest.input,
        Some(bundle::InputRecipe::Picture(_) | bundle::InputRecipe::Image(_) | bundle::InputRecipe::Scene(_))
    );
    if !pictures {
        return none(answered, "");
    }
    let Ok(payload) = samples::made_up() else { return none(answered, ", and no picture could be made up") };
    let document = room.document("image/png", &payload).await?;
    faster(&mut answered.run_ms, room);
    let what = "no samples were given: the one golden input is a made-up picture, which shows only that the model runs and \
                computes alike everywhere; give real ones with --samples";
    answered.remarks.push(what.into());
    Ok(vec![Shown { content_type: "image/png", ending: "png", payload, document, at: usize::MAX, firm: 1.0 }])
}

async fn of_tensors(
    room: &mut Room,
    dir: &Path,
    loaded: &LoadedModel,
    from: Option<&Path>,
) -> Result<Answered, BringError> {
    let mut answered = Answered::default();
    if from.is_some() {
        let what = "samples were not shown to the model: it takes tensors, and no recipe makes them of files";
        answered.remarks.push(what.into());
    }
    let Some((inputs, told)) = tensors::made_up(&loaded.inputs) else {
        let what = "no golden input: its inputs are too large, or of a kind whose values cannot be made up";
        answered.remarks.push(what.into());
        return Ok(answered);
    };
    let outputs = match room.tensors(&inputs).await {
        Ok(outputs) => outputs,
        Err(super::RoomError::Request(error)) => {
            let why = error.message;
            answered.remarks.push(format!("no golden input: the model did not take values that were made up: {why}"));
            return Ok(answered);
        }
        Err(error) => return Err(error.into()),
    };
    faster(&mut answered.run_ms, room);
    let (input, answer) = (format!("{DIR}/in.json"), format!("{DIR}/out.json"));
    write(&dir.join(&input), &pretty(&told)?)?;
    write(&dir.join(&answer), &pretty(&tensors::told(&loaded.outputs, &outputs)?)?)?;
    answered.goldens.push(golden(input, None, answer));
    answered.remarks.push("the one golden input holds values that were made up".into());
    Ok(answered)
}

/// Answers the golden inputs of the bundle in `dir` anew, or takes them from other samples, and seals it: what a person
/// does who has corrected the manifest or put another file into the directory. If that fails the bundle is as it was.
pub async fn again(dir: &Path, from: Option<&Path>, library: Option<&Path>) -> Result<Drafted, BringError> {
    let path = dir.join(bundle::MANIFEST);
    let text = bundle::read_text(&path, 1 << 20).map_err(file("read the manifest", &path))?;
    let head = without_tail(&text).ok_or_else(|| {
        BringError::Usage(format!("{}: tables [[golden]] and [[file]] must come last", path.display()))
    })?;
    let mut room = room(library).await?;
    let before = Before::take(dir, &text)?;
    let kept = before.inputs(&text)?;
    match renew(&mut room, dir, head, from.or(kept.as_deref())).await {
        Ok(drafted) => before.forget().map(|()| drafted),
        Err(error) => before.restore(dir).and(Err(error)),
    }
}

/// What a bundle was before it was changed: its manifest, its signature, and its golden files, which wait beside it.
struct Before {
    aside: PathBuf,
    manifest: String,
    signature: Option<Vec<u8>>,
}

impl Before {
    /// Takes the golden files out of the bundle.
    fn take(dir: &Path, manifest: &str) -> Result<Before, BringError> {
        let aside = tempdir_beside(dir)?;
        let signature = std::fs::read(dir.join(super::sign::SIGNATURE)).ok();
        let goldens = dir.join(DIR);
        if goldens.is_dir() {
            std::fs::rename(&goldens, aside.join(DIR)).map_err(file("move", &goldens))?;
        }
        Ok(Before { aside, manifest: manifest.to_owned(), signature })
    }

    /// The golden payloads, in a directory of their own; `None` if there are none.
    fn inputs(&self, manifest: &str) -> Result<Option<PathBuf>, BringError> {
        let names = golden_inputs(manifest);
        let dir = self.aside.join("inputs");
        std::fs::create_dir(&dir).map_err(file("make", &dir))?;
        for input in &names {
            let name = Path::new(input).file_name().map(PathBuf::from).unwrap_or_default();
            let from = self.aside.join(input);
            std::fs::copy(&from, dir.join(&name)).map_err(file("copy the golden input", &from))?;
        }
        Ok((!names.is_empty()).then_some(dir))
    }

    fn forget(self) -> Result<(), BringError> {
        std::fs::remove_dir_all(&self.aside).map_err(file("remove", &self.aside))
    }

    /// Puts everything back.
    fn restore(self, dir: &Path) -> Result<(), BringError> {
        let (goldens, kept) = (dir.join(DIR), self.aside.join(DIR));
        if goldens.is_dir() {
            std::fs::remove_dir_all(&goldens).map_err(file("remove", &goldens))?;
        }
        if kept.is_dir() {
            std::fs::rename(&kept, &goldens).map_err(file("move back", &kept))?;
        }
        write(&dir.join(bundle::MANIFEST), self.manifest.as_bytes())?;
        if let Some(signature) = &self.signature {
            write(&dir.join(super::sign::SIGNATURE), signature)?;
        }
        self.forget()
    }
}

async fn renew(room: &mut Room, dir: &Path, head: &str, from: Option<&Path>) -> Result<Drafted, BringError> {
    seal(dir, head, &[])?;
    let opened = bundle::open(dir)?;
    let manifest = opened.manifest();
    let mut drafted = Drafted {
        dir: dir.display().to_string(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        task: manifest.task.as_str().into(),
        family: manifest.description.clone(),
        ..Drafted::default()
    };
    match manifest.kind {
        // Nothing of a part can be answered: its files are sealed, and that is all.
        Some(kind) => drafted.task = kind.as_str().into(),
        None => fill(room, dir, head, manifest, from, &mut drafted).await?,
    }
    Ok(drafted)
}

/// Loads the bundle, answers its samples, seals it, and lets it prove itself.
pub async fn fill(
    room: &mut Room,
    dir: &Path,
    head: &str,
    manifest: &Manifest,
    from: Option<&Path>,
    drafted: &mut Drafted,
) -> Result<(), BringError> {
    let Some(variant) = manifest.variant.first() else {
        return Err(BringError::Usage(
            "a pipeline has no model of its own: its golden answers are those of its stages".into(),
        ));
    };
    let loaded = room.load(dir, variant, false).await?;
    let answered = answer(room, dir, manifest, &loaded, from).await?;
    seal(dir, head, &answered.goldens)?;
    drafted.samples = answered.samples;
    drafted.remarks.extend(answered.remarks);
    drafted.run_ms = answered.run_ms;
    room.load(dir, variant, true).await?;
    Ok(())
}

/// Writes the manifest: `head`, its golden inputs, and every file of the directory with its digest.
pub fn seal(dir: &Path, head: &str, goldens: &[Golden]) -> Result<(), BringError> {
    let mut files = Vec::new();
    collect(dir, "", &mut files)?;
    files.sort_by(|a: &FileEntry, b| a.path.cmp(&b.path));
    let text = format!("{}\n{}", head.trim_end(), tail(goldens, &files));
    Manifest::parse(&text).map_err(BringError::Draft)?;
    let path = dir.join(bundle::MANIFEST);
    // A signature of what stood there before holds no more.
    let signature = dir.join(super::sign::SIGNATURE);
    match std::fs::remove_file(&signature) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(file("remove the signature", &signature)(error));
        }
        _ => {}
    }
    write(&path, text.as_bytes())
}

/// Every file below `dir`, by its path from there; what is hidden, and the manifest with its signature, is none.
fn collect(dir: &Path, below: &str, files: &mut Vec<FileEntry>) -> Result<(), BringError> {
    let here = dir.join(below);
    for entry in std::fs::read_dir(&here).map_err(file("read", &here))? {
        let entry = entry.map_err(file("read", &here))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let own = path == bundle::MANIFEST || path == super::sign::SIGNATURE;
        if name.starts_with('.') || own {
            continue;
        }
        if files.len() >= MOST_FILES {
            return Err(BringError::Usage(format!("{} has more than {MOST_FILES} files", dir.display())));
        }
        let kind = entry.file_type().map_err(file("look at", &entry.path()))?;
        if kind.is_dir() {
            collect(dir, &path, files)?;
        } else if kind.is_file() {
            let mut content = std::fs::File::open(entry.path()).map_err(file("open", &entry.path()))?;
            let bytes = content.metadata().map_err(file("look at", &entry.path()))?.len();
            let sha256 = bundle::digest(&mut content).map_err(file("read", &entry.path()))?;
            files.push(FileEntry { path, bytes, sha256 });
        } else {
            return Err(BringError::Usage(format!("{} is neither a file nor a directory", entry.path().display())));
        }
    }
    Ok(())
}

/// The golden inputs that a manifest names, whatever else is wrong with it.
fn golden_inputs(text: &str) -> Vec<String> {
    let manifest: toml::Table = text.parse().unwrap_or_default();
    let goldens = manifest.get("golden").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let encoded = goldens.iter().filter(|golden| golden.get("content_type").is_some());
    encoded.filter_map(|golden| Some(golden.get("input")?.as_str()?.to_owned())).collect()
}

/// A new directory beside `dir`, which nobody else has.
pub(super) fn tempdir_beside(dir: &Path) -> Result<PathBuf, BringError> {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = dir.with_file_name(format!(".{name}.{}", std::process::id()));
    std::fs::create_dir(&path).map_err(file("make", &path))?;
    Ok(path)
}

fn golden(input: String, content_type: Option<&str>, expected: String) -> Golden {
    Golden { input, content_type: content_type.map(str::to_owned), expected, tolerance: TOLERANCE }
}

fn faster(run_ms: &mut f64, room: &Room) {
    #[expect(clippy::cast_precision_loss, reason = "a run takes less than a month")]
    let took = room.took_ns as f64 / 1e6;
    *run_ms = if *run_ms > 0.0 { run_ms.min(took) } else { took };
}

/// The least score that counts, where there is one.
fn threshold(manifest: &Manifest) -> f64 {
    match &manifest.output {
        Some(OutputRecipe::Objects(recipe)) => f64::from(recipe.threshold),
        _ => 0.0,
    }
}

fn pretty(value: &Value) -> Result<Vec<u8>, BringError> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(text)
}

/// Writes a file and the directories above it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), BringError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(file("make", parent))?;
    }
    std::fs::write(path, bytes).map_err(file("write", path))
}
