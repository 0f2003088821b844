//! The data that variants are measured on: which samples there are, and what is right of each. What is wrong with the data is
//! told with file and line, and does not count; nothing is passed over in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use edge_engine::bundle::Task;
use edge_wire::bring::LeftOut;

use super::super::measure::areas::{Area, Map};
use super::super::{BringError, file};
use super::truths;

/// Most samples: what answers to them takes in memory, and the time that comparing each with each takes, must end.
pub const MOST: usize = 5_000;
/// Where pictures lie, if not at the top.
const PICTURES: &str = "images";
/// Folders of good pictures; all others show something.
const GOOD: [&str; 3] = ["good", "normal", "ok"];

/// What is right of a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Truth {
    /// Nobody says.
    #[default]
    Unknown,
    /// Its label; for anomalies the folder.
    Label(String),
    /// The text that stands there.
    Text(String),
    /// Things with their rectangles.
    Things(truths::Things),
    /// Areas by their outlines.
    Areas(Vec<Area>),
    /// A map of labels.
    Map(Map),
}

impl Truth {
    /// Whether a sample of this folder shows an anomaly.
    pub fn is_anomalous(folder: &str) -> bool {
        !GOOD.contains(&folder.to_ascii_lowercase().as_str())
    }
}

/// One sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub path: PathBuf,
    pub truth: Truth,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Data {
    pub samples: Vec<Sample>,
    pub left_out: Vec<LeftOut>,
    pub remarks: Vec<String>,
}

impl Data {
    /// Whether somebody says what is right.
    pub fn is_labelled(&self) -> bool {
        self.samples.iter().any(|sample| sample.truth != Truth::Unknown)
    }

    /// Something does not count.
    pub fn leave_out(&mut self, path: &Path, line: usize, why: impl Into<String>) {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        self.left_out.push(LeftOut { file: path.display().to_string(), line, why: why.into() });
    }
}

/// Reads the data for a model of this task with these labels.
pub fn read(path: &Path, task: Task, labels: &[String]) -> Result<Data, BringError> {
    let mut data = Data::default();
    let dir = match path.is_dir() {
        true => path,
        false if path.extension().is_some_and(|ending| ending == "json") && task_has_things(task) => {
            path.parent().unwrap_or(Path::new("."))
        }
        false => {
            let what = "the data must be a directory, or for a detector the JSON file of COCO's form";
            return Err(BringError::Usage(format!("{}: {what}", path.display())));
        }
    };
    match task {
        Task::Classification | Task::Embedding | Task::FileType | Task::Anomaly => {
            folders(dir, task, labels, &mut data)?
        }
        Task::ObjectDetection | Task::InstanceSegmentation => things(path, dir, labels, &mut data)?,
        Task::Segmentation => areas(dir, labels, &mut data)?,
        Task::TextRecognition => texts(dir, &mut data)?,
        Task::TextDetection | Task::TextReading | Task::SpeechSegments | Task::Tensors => {
            data.samples = unknown(files(&pictures_in(dir))?);
        }
    }
    limit(&mut data);
    match (data.samples.is_empty(), data.left_out.first()) {
        (false, _) => Ok(data),
        (true, None) => Err(BringError::Usage(format!("{}: there are no samples", dir.display()))),
        (true, Some(first)) => Err(BringError::Usage(format!(
            "{}: no sample can be used: {} things were left out, the first: {}",
            dir.display(),
            data.left_out.len(),
            told(first)
        ))),
    }
}

/// In one line.
pub fn told(left: &LeftOut) -> String {
    match left.line {
        0 => format!("{}: {}", left.file, left.why),
        line => format!("{}, line {line}: {}", left.file, left.why),
    }
}

fn task_has_things(task: Task) -> bool {
    matches!(task, Task::ObjectDetection | Task::InstanceSegmentation)
}

/// At even distances, where there are more than are measured.
fn limit(data: &mut Data) {
    let count = data.samples.len();
    if count > MOST {
        let mut at = 0;
        data.samples.retain(|_| {
            at += 1;
            ((at - 1) * MOST) / count != (at * MOST) / count
        });
        data.remarks.push(format!("of {count} samples {MOST} were measured, at even distances"));
    }
}

fn unknown(paths: Vec<PathBuf>) -> Vec<Sample> {
    paths.into_iter().map(|path| Sample { path, truth: Truth::Unknown }).collect()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, BringError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(file("read the samples in", dir))? {
        let path = entry.map_err(file("read the samples in", dir))?.path();
        if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The files of a directory, in the order of their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>, BringError> {
    Ok(entries(dir)?.into_iter().filter(|path| path.is_file()).collect())
}

fn pictures_in(dir: &Path) -> PathBuf {
    let below = dir.join(PICTURES);
    if below.is_dir() { below } else { dir.to_owned() }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A folder for each label.
fn folders(dir: &Path, task: Task, labels: &[String], data: &mut Data) -> Result<(), BringError> {
    let (dirs, loose): (Vec<PathBuf>, Vec<PathBuf>) = entries(dir)?.into_iter().partition(|path| path.is_dir());
    if dirs.is_empty() {
        data.samples = unknown(loose);
        return Ok(());
    }
    for path in loose {
        data.leave_out(&path, 0, "lies in no folder of a label");
    }
    let closed = matches!(task, Task::Classification) && !labels.is_empty();
    for folder in dirs {
        let label = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let inside = files(&folder)?;
        if closed && !labels.contains(&label) {
            let (count, known) = (inside.len(), shortened(labels));
            data.leave_out(&folder, 0, format!("{label:?} is no label of the model, {count} files: it knows {known}"));
            continue;
        }
        let sample = |path| Sample { path, truth: Truth::Label(label.clone()) };
        data.samples.extend(inside.into_iter().map(sample));
    }
    Ok(())
}

fn shortened(labels: &[String]) -> String {
    let first: Vec<&str> = labels.iter().take(8).map(String::as_str).collect();
    let more =
        if labels.len() > first.len() { format!(" and {} more", labels.len() - first.len()) } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// YOLO's form (`labels/NAME.txt`), or COCO's (one JSON file).
fn things(path: &Path, dir: &Path, labels: &[String], data: &mut Data) -> Result<(), BringError> {
    if let Some(json) = coco_file(path, dir)? {
        return truths::coco(&json, dir, labels, data);
    }
    let beside = dir.join("labels");
    if !beside.is_dir() {
        data.samples = unknown(files(&pictures_in(dir))?);
        return Ok(());
    }
    let named = label_files(&beside)?;
    let mut unsaid = 0usize;
    pair(dir, named, data, |path, text, data| match (text, path) {
        (None, _) => {
            unsaid += 1;
            Some(Truth::Things(truths::Things::default()))
        }
        (Some(path), _) => truths::yolo_things(path, labels, data).map(Truth::Things),
    })?;
    if unsaid > 0 {
        data.remarks.push(format!("{unsaid} pictures have no label file: they count as showing nothing"));
    }
    Ok(())
}

/// The one JSON file, if there is one.
fn coco_file(path: &Path, dir: &Path) -> Result<Option<PathBuf>, BringError> {
    if path.is_file() {
        return Ok(Some(path.to_owned()));
    }
    let mut found = Vec::new();
    for place in [dir.to_owned(), dir.join("annotations")] {
        if place.is_dir() {
            found.extend(
                files(&place)?.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")),
            );
        }
    }
    let names = || found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(BringError::Usage(format!("{}: which of {}? Name it with --data", dir.display(), names()))),
    }
}

/// Files of labels by the names of their pictures.
fn label_files(dir: &Path) -> Result<BTreeMap<String, PathBuf>, BringError> {
    let is_label = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "txt" || ending == "png");
    Ok(files(dir)?.into_iter().filter(is_label).map(|path| (stem(&path), path)).collect())
}

/// Each picture with the file of its labels; what has no partner, or whose labels are wrong, does not count.
fn pair(
    dir: &Path,
    mut named: BTreeMap<String, PathBuf>,
    data: &mut Data,
    mut truth: impl FnMut(&Path, Option<&Path>, &mut Data) -> Option<Truth>,
) -> Result<(), BringError> {
    // Lists of names, as YOLO's tools write them.
    named.remove("classes");
    let mut seen = BTreeSet::new();
    for path in files(&pictures_in(dir))? {
        let name = stem(&path);
        if let Some(truth) = truth(&path, named.get(&name).map(PathBuf::as_path), data) {
            data.samples.push(Sample { path, truth });
        }
        seen.insert(name);
    }
    for (name, path) in named.iter().filter(|(name, _)| !seen.contains(*name)) {
        data.leave_out(path, 0, format!("there is no picture {name}"));
    }
    Ok(())
}

/// Maps of labels (`masks/NAME.png`), or outlines (`labels/NAME.txt`).
fn areas(dir: &Path, labels: &[String], data: &mut Data) -> Result<(), BringError> {
    let (maps, outlines) = (dir.join("masks"), dir.join("labels"));
    let (beside, are_maps) = match (maps.is_dir(), outlines.is_dir()) {
        (true, _) => (maps, true),
        (false, true) => (outlines, false),
        (false, false) => {
            data.samples = unknown(files(&pictures_in(dir))?);
            return Ok(());
        }
    };
    pair(dir, label_files(&beside)?, data, |path, named, data| match (named, are_maps) {
        (None, _) => {
            data.leave_out(path, 0, format!("nothing in {} says what is right of it", beside.display()));
            None
        }
        (Some(named), true) => truths::map(named, labels, data).map(Truth::Map),
        (Some(named), false) => truths::yolo_areas(named, labels, data).map(Truth::Areas),
    })
}

/// `labels.csv`: file, text.
fn texts(dir: &Path, data: &mut Data) -> Result<(), BringError> {
    let list = dir.join("labels.csv");
    if !list.is_file() {
        data.samples = unknown(files(&pictures_in(dir))?);
        return Ok(());
    }
    let rows = truths::texts(&list, data)?;
    let mut named = BTreeSet::new();
    for (line, name, text) in rows {
        let path = [dir.join(&name), dir.join(PICTURES).join(&name)].into_iter().find(|path| path.is_file());
        match path {
            Some(path) if named.insert(path.clone()) => data.samples.push(Sample { path, truth: Truth::Text(text) }),
            Some(_) => data.leave_out(&list, line, format!("{name} stands there twice")),
            None => data.leave_out(&list, line, format!("there is no file {name}")),
        }
    }
    for path in files(&pictures_in(dir))? {
        if path != list && !named.contains(&path) {
            data.leave_out(&path, 0, "labels.csv does not say what stands there");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn of(list: &[(&str, &str)]) -> Dir {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in list {
                let path = dir.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Dir(dir)
        }

        fn read(&self, task: Task, labels: &[&str]) -> Result<Data, BringError> {
            let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
            read(self.0.path(), task, &labels)
        }

        /// Names of samples, and what was left out.
        fn told(&self, task: Task, labels: &[&str]) -> (Vec<String>, Vec<String>) {
            let data = self.read(task, labels).unwrap();
            let plain = |text: String| text.replace(&format!("{}/", self.0.path().display()), "");
            let samples = data.samples.iter().map(|one| plain(one.path.display().to_string())).collect();
            (samples, data.left_out.iter().map(|one| plain(told(one))).collect())
        }
    }

    #[test]
    fn a_folder_is_a_label_and_what_is_none_is_told() {
        let dir =
            Dir::of(&[("cat/1.png", ""), ("cat/2.png", ""), ("dog/1.png", ""), ("bird/1.png", ""), ("loose.png", "")]);
        let (samples, left) = dir.told(Task::Classification, &["cat", "dog"]);
        assert_eq!(samples, ["cat/1.png", "cat/2.png", "dog/1.png"]);
        let wanted = [
            "loose.png: lies in no folder of a label",
            "bird: \"bird\" is no label of the model, 1 files: it knows cat, dog",
        ];
        assert_eq!(left, wanted);
        // Any kind will do to be near to.
        assert_eq!(dir.told(Task::Embedding, &[]).0.len(), 4);
        assert!(Truth::is_anomalous("scratch") && !Truth::is_anomalous("Good"));
    }

    #[test]
    fn without_labels_nobody_says_what_is_right() {
        let dir = Dir::of(&[("1.png", ""), ("2.png", ""), (".hidden", "")]);
        for task in
            [Task::Classification, Task::ObjectDetection, Task::Segmentation, Task::TextRecognition, Task::Tensors]
        {
            let data = dir.read(task, &["a"]).unwrap();
            assert_eq!((data.samples.len(), data.is_labelled()), (2, false), "{task:?}");
        }
        let said = Dir::of(&[]).read(Task::Tensors, &[]).unwrap_err().to_string();
        assert!(said.contains("there are no samples"), "{said}");
        let said = Dir::of(&[("x/1.png", "")]).read(Task::Classification, &["a"]).unwrap_err().to_string();
        assert!(said.contains("no sample can be used") && said.contains("\"x\" is no label"), "{said}");
    }

    #[test]
    fn pictures_and_their_label_files_find_each_other() {
        let dir = Dir::of(&[
            ("images/a.png", ""),
            ("images/b.png", ""),
            ("images/c.png", ""),
            ("labels/a.txt", "1 0.5 0.5 0.2 0.2\n"),
            ("labels/c.txt", "0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n"),
            ("labels/lost.txt", ""),
            ("labels/classes.txt", "red\ngreen\n"),
        ]);
        let (samples, left) = dir.told(Task::ObjectDetection, &["red", "green"]);
        assert_eq!(samples, ["images/a.png", "images/b.png"]);
        let wanted =
            ["labels/c.txt, line 2: class 7: the model has 0..=1", "labels/lost.txt: there is no picture lost"];
        assert_eq!(left, wanted);
        let data = dir.read(Task::ObjectDetection, &["red", "green"]).unwrap();
        assert_eq!(data.remarks, ["1 pictures have no label file: they count as showing nothing"]);
    }

    #[test]
    fn rows_of_texts_name_their_files() {
        let list = "file,text\na.png,LOT 1\nb.png,\"a, \"\"b\"\"\"\nno.png,x\na.png,again\nd.png\n";
        let dir = Dir::of(&[("labels.csv", list), ("a.png", ""), ("b.png", ""), ("c.png", "")]);
        let (samples, left) = dir.told(Task::TextRecognition, &[]);
        assert_eq!(samples, ["a.png", "b.png"]);
        let wanted = [
            "labels.csv, line 6: one column: takes file,text",
            "labels.csv, line 4: there is no file no.png",
            "labels.csv, line 5: a.png stands there twice",
            "c.png: labels.csv does not say what stands there",
        ];
        assert_eq!(left, wanted);
        let data = dir.read(Task::TextRecognition, &[]).unwrap();
        assert_eq!(data.samples[1].truth, Truth::Text("a, \"b\"".into()));
    }

    #[test]
    fn of_too_many_samples_some_are_measured_at_even_distances() {
        let mut data = Data { samples: vec![Sample::default(); 3 * MOST + 1], ..Data::default() };
        limit(&mut data);
        assert_eq!(data.samples.len(), MOST);
        assert!(data.remarks[0].starts_with("of 15001 samples 5000"), "{:?}", data.remarks);
    }
}
