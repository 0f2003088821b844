//! `models eval`: what the variants of a bundle are worth. Each answers the same samples on the reference provider; the answers are
//! held against what somebody says is right, or against those of the first variant, and their times are taken.

pub mod data;
pub mod score;
mod truths;

use std::path::{Path, PathBuf};

use edge_engine::bundle::{self, Manifest, OutputRecipe, Task, Variant};
use edge_engine::protocol::LoadedModel;
use edge_wire::bring::{Evaluated, Scored};

use self::data::{Data, Sample};
use self::score::{Answer, Case, Judge};
use super::measure::loss;
use super::{BringError, Room, RoomError, room, samples, tensors};
use crate::driver::chain;
use crate::store::archive;

/// What was asked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// A bundle's directory or archive.
    pub path: PathBuf,
    pub data: PathBuf,
    /// Names of variants; all if there are none.
    pub variants: Vec<String>,
    pub library: Option<PathBuf>,
}

/// Measures variants of a bundle.
pub async fn eval(asked: &Asked) -> Result<Evaluated, BringError> {
    let opened = archive::opened(&asked.path)?;
    let bundle = bundle::open(opened.dir())?;
    bundle::verify(&bundle)?;
    let manifest = bundle.manifest();
    let variants = wanted(manifest, &asked.variants)?;
    let data = data::read(&asked.data, manifest.task, &labels(manifest))?;
    let everything = (0..data.samples.len()).collect();
    let told = Evaluated {
        path: asked.path.display().to_string(),
        data: asked.data.display().to_string(),
        ..Evaluated::default()
    };
    let of = Of { dir: bundle.dir(), manifest, variants: &variants, library: asked.library.as_deref() };
    let mut evaluated = of.measure(data, vec![everything], &told).await?;
    evaluated.pop().ok_or_else(|| BringError::Usage("nothing was measured".into()))
}

/// The variants to measure: the first one always, as the others are held against it.
fn wanted<'a>(manifest: &'a Manifest, names: &[String]) -> Result<Vec<&'a Variant>, BringError> {
    if manifest.variant.is_empty() {
        return Err(BringError::Usage("a pipeline has no variants of its own: measure its stages".into()));
    }
    if let Some(name) = names.iter().find(|name| manifest.variant(name).is_none()) {
        let have: Vec<&str> = manifest.variant.iter().map(|variant| variant.name.as_str()).collect();
        return Err(BringError::Usage(format!("--variants {name}: the bundle has {}", have.join(", "))));
    }
    let is_wanted = |(at, variant): &(usize, &Variant)| *at == 0 || names.is_empty() || names.contains(&variant.name);
    Ok(manifest.variant.iter().enumerate().filter(is_wanted).map(|(_, variant)| variant).collect())
}

/// The labels of a recipe, in the order of the model's classes.
pub fn labels(manifest: &Manifest) -> Vec<String> {
    match &manifest.output {
        Some(OutputRecipe::Classes(recipe)) => recipe.labels.clone(),
        Some(OutputRecipe::Objects(recipe)) => recipe.labels.clone(),
        Some(OutputRecipe::Segmentation(recipe)) => recipe.labels.clone(),
        _ => Vec::new(),
    }
}

/// What is measured.
pub struct Of<'a> {
    pub dir: &'a Path,
    pub manifest: &'a Manifest,
    /// The first one is what the others are held against.
    pub variants: &'a [&'a Variant],
    pub library: Option<&'a Path>,
}

/// What a variant made of the samples.
struct Run {
    answers: Vec<Option<Answer>>,
    /// Nanoseconds of each run that went well.
    took: Vec<Option<u64>>,
    runtime: String,
    outputs: LoadedModel,
}

impl Of<'_> {
    /// Measures every variant once, and judges it on each of the sets of samples, which are given by their places.
    pub async fn measure(
        &self,
        mut data: Data,
        mut sets: Vec<Vec<usize>>,
        told: &Evaluated,
    ) -> Result<Vec<Evaluated>, BringError> {
        let labels = labels(self.manifest);
        let judge = Judge::new(self.manifest, &labels, data.is_labelled()).map_err(BringError::Usage)?;
        let Some((variant, others)) = self.variants.split_first() else {
            return Err(BringError::Usage("there is no variant".into()));
        };
        let mut first = self.run(variant, &data.samples, Some(&mut data.left_out)).await?;
        for (at, sample) in data.samples.iter().enumerate() {
            let fits = first.answers.get(at).and_then(Option::as_ref).map(|answer| score::fits(&sample.truth, answer));
            if let Some(Err(why)) = fits {
                data.left_out.push(left_out(&sample.path, why));
                first.answers[at] = None;
            }
        }
        for set in &mut sets {
            set.retain(|at| first.answers.get(*at).is_some_and(Option::is_some));
        }
        if sets.first().is_none_or(Vec::is_empty) {
            let why = data.left_out.first().map(data::told).unwrap_or_default();
            return Err(BringError::Usage(format!("the first variant answered no sample: {why}")));
        }
        let mut remarks = data.remarks.clone();
        remarks.extend(judge.remarks.iter().cloned());
        remarks.push(format!(
            "speed is that of the processor here with ONNX Runtime {}, one request after the other",
            first.runtime
        ));
        let mut evaluated: Vec<Evaluated> = sets
            .iter()
            .map(|set| Evaluated {
                name: self.manifest.name.clone(),
                version: self.manifest.version.clone(),
                task: self.manifest.task.as_str().into(),
                against: if data.is_labelled() { "labels" } else { "first-variant" }.into(),
                samples: u32::try_from(set.len()).unwrap_or(u32::MAX),
                left_out: data.left_out.clone(),
                remarks: remarks.clone(),
                ..told.clone()
            })
            .collect();
        self.judge(&judge, variant, &data, &sets, &first, Ok(&first), &mut evaluated);
        for variant in others {
            let run = self.run(variant, &data.samples, None).await;
            self.judge(&judge, variant, &data, &sets, &first, run.as_ref(), &mut evaluated);
        }
        Ok(evaluated)
    }

    #[expect(clippy::too_many_arguments, reason = "what is judged, and where it is told")]
    fn judge(
        &self,
        judge: &Judge<'_>,
        variant: &Variant,
        data: &Data,
        sets: &[Vec<usize>],
        first: &Run,
        run: Result<&Run, &BringError>,
        evaluated: &mut [Evaluated],
    ) {
        for (set, evaluated) in sets.iter().zip(evaluated) {
            let mut scored = Scored {
                variant: variant.name.clone(),
                bytes: self.bytes(variant),
                int8: variant.int8,
                ..Scored::default()
            };
            match run {
                Err(error) => scored.error = chain(error),
                Ok(run) => {
                    let cases: Vec<Case<'_>> = set.iter().filter_map(|at| case(data, first, run, *at)).collect();
                    scored.failed =
                        u32::try_from(cases.iter().filter(|case| case.given.is_none()).count()).unwrap_or(u32::MAX);
                    scored.measures = judge.measures(&cases, &run.outputs.outputs);
                    speed(set.iter().filter_map(|at| *run.took.get(*at)?).collect(), &mut scored);
                }
            }
            let quality = |scored: &Scored| scored.measures.first().and_then(|measure| measure.value);
            evaluated.variants.push(scored);
            let (of_first, this) =
                (evaluated.variants.first().and_then(quality), evaluated.variants.last().and_then(quality));
            let lost = of_first.zip(this).and_then(|(first, this)| loss(first, this));
            let main = evaluated.variants.first().and_then(|scored| scored.measures.first());
            evaluated.measure = main.map(|measure| measure.name.clone()).unwrap_or_default();
            if let Some(scored) = evaluated.variants.last_mut() {
                scored.loss = lost;
            }
        }
    }

    fn bytes(&self, variant: &Variant) -> u64 {
        self.manifest.file.iter().find(|file| file.path == variant.file).map_or(0, |file| file.bytes)
    }

    /// Shows all samples to a variant. What cannot be answered is told of the first one only: of the others it counts.
    async fn run(
        &self,
        variant: &Variant,
        list: &[Sample],
        mut left: Option<&mut Vec<edge_wire::bring::LeftOut>>,
    ) -> Result<Run, BringError> {
        let mut room = room(self.library).await?;
        let loaded = room.load(self.dir, variant, false).await?;
        let mut run = Run { answers: Vec::new(), took: Vec::new(), runtime: room.runtime.clone(), outputs: loaded };
        for sample in list {
            let mut asked = ask(&mut room, self.manifest.task, &run.outputs, &sample.path).await;
            if run.answers.is_empty() && asked.is_ok() {
                // The first run of a session is slower than all others.
                asked = ask(&mut room, self.manifest.task, &run.outputs, &sample.path).await;
            }
            match asked {
                Ok(answer) => {
                    run.took.push(Some(room.took_ns));
                    run.answers.push(Some(answer));
                }
                // The host is gone, and with it everything that could still be asked.
                Err(error @ BringError::Room(RoomError::Gone(_) | RoomError::Silent)) => return Err(error),
                Err(error) => {
                    run.took.push(None);
                    run.answers.push(None);
                    if let Some(left) = &mut left {
                        left.push(left_out(&sample.path, chain(&error)));
                    }
                }
            }
        }
        Ok(run)
    }
}

fn left_out(path: &Path, why: String) -> edge_wire::bring::LeftOut {
    edge_wire::bring::LeftOut { file: path.display().to_string(), line: 0, why }
}

fn case<'a>(data: &'a Data, first: &'a Run, run: &'a Run, at: usize) -> Option<Case<'a>> {
    let first = first.answers.get(at)?.as_ref()?;
    Some(Case { truth: &data.samples.get(at)?.truth, first, given: run.answers.get(at).and_then(Option::as_ref) })
}

async fn ask(room: &mut Room, task: Task, loaded: &LoadedModel, path: &Path) -> Result<Answer, BringError> {
    let (payload, kind) = samples::read(path)?;
    if loaded.content_types.is_empty() {
        let given = tensors::given(&payload, &loaded.inputs).map_err(BringError::Usage)?;
        return Ok(Answer::Tensors(room.tensors(&given).await?));
    }
    let content_type = content_type(task, kind, loaded)?;
    Ok(Answer::Document(room.document(content_type, &payload).await?))
}

/// As what a sample is given to the model: files of any kind as bytes, where it looks at files.
pub fn content_type(task: Task, kind: Option<samples::Kind>, loaded: &LoadedModel) -> Result<&'static str, BringError> {
    if task == Task::FileType {
        return Ok("application/octet-stream");
    }
    let taken = kind.filter(|(content_type, _)| loaded.content_types.iter().any(|taken| taken == content_type));
    let types = || BringError::Usage(format!("not taken: the model takes {}", loaded.content_types.join(", ")));
    taken.map(|(content_type, _)| content_type).ok_or_else(types)
}

/// Half and 95 of 100 of the runs were quicker.
#[expect(clippy::cast_precision_loss, reason = "a run takes less than a month")]
fn speed(mut took: Vec<u64>, scored: &mut Scored) {
    took.sort_unstable();
    let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied();
    let ms = |took: Option<u64>| took.map_or(0.0, |took| took as f64 / 1e6);
    (scored.run_p50_ms, scored.run_p95_ms) = (ms(at(50)), ms(at(95)));
    let whole: u64 = took.iter().sum();
    scored.per_second = if whole > 0 { took.len() as f64 * 1e9 / whole as f64 } else { 0.0 };
}

/// Places of samples: those to learn from, and every fifth, which is kept back where there are at least ten.
pub fn divided(count: usize) -> (Vec<usize>, Vec<usize>) {
    const EACH: usize = 5;
    if count < 2 * EACH {
        return ((0..count).collect(), Vec::new());
    }
    (0..count).partition(|at| at % EACH != EACH - 1)
}

/// A number as a fraction, to be compared with those of files.
fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fifth_sample_is_kept_back_where_there_are_enough() {
        assert_eq!(divided(9), ((0..9).collect(), vec![]));
        assert_eq!(divided(11).1, [4, 9]);
        let (learnt, kept) = divided(1003);
        assert_eq!((learnt.len(), kept.len()), (803, 200));
        assert!(kept.iter().all(|at| !learnt.contains(at)));
    }

    #[test]
    fn times_are_told_by_their_order() {
        let mut scored = Scored::default();
        speed((1..=100).rev().map(|ms| ms * 1_000_000).collect(), &mut scored);
        assert_eq!((scored.run_p50_ms, scored.run_p95_ms), (51.0, 96.0));
        assert!((scored.per_second - 1000.0 / 50.5).abs() < 1e-9);
        speed(Vec::new(), &mut scored);
        assert_eq!((scored.run_p50_ms, scored.per_second), (0.0, 0.0));
    }

    #[test]
    fn the_first_variant_is_measured_always() {
        let text = include_str!("../../../../onnx-models/test/add/model.toml");
        let start = text.find("[[variant]]").unwrap();
        let table = text[start..].split("\n\n").next().unwrap();
        let name = table.lines().find(|line| line.starts_with("name")).unwrap();
        let more = |other: &str| table.replace(name, &format!("name = \"{other}\""));
        let manifest = Manifest::parse(&format!("{text}\n{}\n\n{}\n", more("b"), more("c"))).unwrap();
        let names = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
            wanted(&manifest, &asked).map(|list| list.iter().map(|one| one.name.clone()).collect::<Vec<_>>())
        };
        let first = manifest.variant[0].name.clone();
        assert_eq!(names(&[]).unwrap(), [first.as_str(), "b", "c"]);
        assert_eq!(names(&["c"]).unwrap(), [first.as_str(), "c"]);
        let said = names(&["d"]).unwrap_err().to_string();
        assert!(said.contains("--variants d: the bundle has"), "{said}");
    }
}
