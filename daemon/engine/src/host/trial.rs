//! A setup on trial: what it is held against, and what is run to measure it. The reference is the CPU provider, at full
//! precision, on the same bundle; both get the golden inputs and inputs made of them, and every output is compared.
//!
//! Tensor requests may bring anything, and not everything can be tried. So the inputs made of the goldens keep their range
//! and break their order, and what is allowed to pass is the daemon's to say.

use std::sync::{Arc, Mutex, PoisonError};

use super::arena::Options;
use super::golden::{self, GoldenError};
use super::load::{self, LoadError};
use super::member::Value;
use super::model::Model;
use super::runner::{Runner, Shaped};
use super::session::{Engine, Runtime, Source};
use crate::bundle::{Bundle, Manifest, Variant};
use crate::fault::chain;
use crate::media::{Prepared, Recipe};
use crate::protocol::{Datatype, Precision, Setup, TensorSpec};
use crate::tensor;

/// Runs of one golden input that are compared, at most: a sound has one for each of its windows.
const RUNS_EACH: usize = 3;
/// Bytes of inputs and outputs that are kept to compare with, at most; at least one input is.
const MOST_BYTES: usize = 64 << 20;
/// Size that an input gets where the graph leaves it open and the bundle has no golden input to look at.
const OPEN_SIZE: i64 = 16;

/// What is run to measure a setup.
pub enum Sample {
    /// What a golden payload became.
    Prepared(Prepared),
    /// One value per input.
    Tensors(Vec<Value>),
}

/// An input, and what the reference gave for it.
struct Probe {
    values: Vec<Value>,
    answers: Vec<Shaped>,
}

/// What setups of one bundle are held against.
pub struct Reference {
    pub sample: Arc<Sample>,
    /// Cost of the sample, in units of the model's smallest request.
    pub cost: u32,
    probes: Vec<Probe>,
    outputs: Vec<TensorSpec>,
}

/// The last reference that was made, with what it was made of: trials of one bundle come one after the other.
#[derive(Default)]
pub struct References(Mutex<Option<(Made, Arc<Reference>)>>);

/// Digests of a bundle's manifest and of those of its parts.
type Made = Vec<String>;

fn made_of(bundle: &Bundle) -> Made {
    std::iter::once(bundle.digest()).chain(bundle.part_digests()).map(str::to_owned).collect()
}

impl References {
    /// The reference of this bundle; made if it is not the last one.
    pub fn of(&self, runtime: &Runtime, bundle: &Bundle) -> Result<Arc<Reference>, String> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = made_of(bundle);
        if let Some((_, reference)) = last.as_ref().filter(|(made, _)| *made == of) {
            return Ok(reference.clone());
        }
        let made = Reference::make(runtime, bundle).map_err(|error| format!("reference: {}", chain(&error)))?;
        let reference = Arc::new(made);
        *last = Some((of, reference.clone()));
        Ok(reference)
    }
}

/// The variant that the others are held against: the first that the CPU runs and that is not quantised; else the first that
/// it runs; else the first.
fn reference(manifest: &Manifest) -> Option<&Variant> {
    let on_cpu = || manifest.variant.iter().filter(|variant| variant.providers.iter().any(|name| name == "cpu"));
    on_cpu().find(|variant| !variant.int8).or_else(|| on_cpu().next()).or(manifest.variant.first())
}

impl Reference {
    fn make(runtime: &Runtime, bundle: &Bundle) -> Result<Reference, LoadError> {
        let manifest = bundle.manifest();
        let none = || LoadError::NoVariant { variant: "that could be the reference".into(), have: Vec::new() };
        let variant = Variant { providers: vec!["cpu".into()], ..reference(manifest).ok_or_else(none)?.clone() };
        let setup = Setup {
            variant: variant.name.clone(),
            provider: "cpu".into(),
            precision: Precision::Exact,
            threads: 1,
            instances: 1,
        };
        let failed = |source| LoadError::Session { variant: variant.name.clone(), source };
        let file = bundle.file(&variant.file)?;
        let digest = manifest.digest(&variant.file).unwrap_or_default();
        let source = Source { file: &file, digest, weights: load::weights(bundle) };
        let engine = Engine::reference(runtime, &variant, &setup, source).map_err(failed)?;
        let adapters = load::adapters(bundle, &engine.optional)?;
        let recipe = Recipe::load(bundle, &engine.inputs, &engine.outputs, |key| engine.metadata(key))?;
        let model = Arc::new(Model::new(0, bundle, &variant, (&engine.inputs, &engine.outputs), recipe)?);
        let options = Arc::new(Options::new(&setup.provider, &adapters).map_err(LoadError::Options)?);
        let mut runner = Runner::new(model.clone(), engine, options);
        let (sample, cost) = sample(&model, bundle)?;
        let mut probes = Vec::new();
        let mut room = MOST_BYTES;
        for values in inputs(&mut runner, bundle, &sample)? {
            for values in [values.iter().map(Value::copy).collect(), reversed(&model, &values), faded(&model, &values)]
            {
                let size = |shaped: &Shaped| shaped.1.len();
                // What the reference itself does not take proves nothing.
                let Ok(answers) = runner.tensors(&values) else { continue };
                let bytes = answers.iter().map(size).sum::<usize>()
                    + values.iter().map(|value: &Value| value.memory.len()).sum::<usize>();
                if probes.is_empty() || bytes <= room {
                    room = room.saturating_sub(bytes);
                    probes.push(Probe { values, answers });
                }
            }
        }
        Ok(Reference { sample: Arc::new(sample), cost, probes, outputs: model.outputs.clone() })
    }

    /// Largest difference of what `runner` gives, as a share of max(1, largest absolute value of the reference's output).
    pub fn difference(&self, runner: &mut Runner) -> Result<f64, String> {
        if self.probes.is_empty() {
            return Err(
                "the reference provider took none of the inputs, so that there is nothing to compare with".into()
            );
        }
        let mut largest = 0f64;
        for probe in &self.probes {
            let answers = runner.tensors(&probe.values).map_err(|error| error.message)?;
            for (spec, (given, wanted)) in self.outputs.iter().zip(answers.iter().zip(&probe.answers)) {
                if given.0 != wanted.0 {
                    let (given, wanted) = (&given.0, &wanted.0);
                    return Err(format!("output {} has the shape {given:?}, the reference's is {wanted:?}", spec.name));
                }
                largest = largest.max(difference(spec, &given.1, &wanted.1)?);
            }
        }
        Ok(largest)
    }
}

fn difference(spec: &TensorSpec, given: &[u8], wanted: &[u8]) -> Result<f64, String> {
    match spec.datatype {
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!("output {} is {}, which is not compared", spec.name, spec.datatype.as_str()));
        }
        Datatype::Bytes if given != wanted => return Err(format!("output {} is another text", spec.name)),
        _ => {}
    }
    let (given, wanted) = (golden::numbers(spec.datatype, given), golden::numbers(spec.datatype, wanted));
    let scale = wanted.iter().fold(1f64, |most, number| most.max(number.abs()));
    let apart = |(given, wanted): (&f64, &f64)| {
        // Both are no number, or the same infinity: that is alike.
        if given.total_cmp(wanted).is_eq() || (given.is_nan() && wanted.is_nan()) {
            0.0
        } else {
            (given - wanted).abs() / scale
        }
    };
    let largest = given
        .iter()
        .zip(&wanted)
        .map(apart)
        .fold(0f64, |most, apart| if apart.is_nan() { f64::INFINITY } else { most.max(apart) });
    Ok(largest)
}

/// What is run to measure: of the golden inputs the one of middling cost; without any, made-up tensors.
fn sample(model: &Model, bundle: &Bundle) -> Result<(Sample, u32), GoldenError> {
    let goldens = &bundle.manifest().golden;
    let mut encoded = Vec::new();
    for golden in goldens {
        if let Some(content_type) = &golden.content_type {
            let (prepared, cost) = golden::prepared(model, bundle, golden, content_type)?;
            if !matches!(prepared, Prepared::Answer(_)) {
                encoded.push((prepared, cost));
            }
        }
    }
    encoded.sort_by_key(|(_, cost)| *cost);
    let middle = encoded.len() / 2;
    if let Some((prepared, cost)) = encoded.into_iter().nth(middle) {
        return Ok((Sample::Prepared(prepared), cost.max(1)));
    }
    match goldens.iter().find(|golden| golden.content_type.is_none()) {
        Some(golden) => {
            let values = golden::values(model, bundle, golden)?;
            let rows = values.first().and_then(|value| value.shape.first()).copied().unwrap_or(1);
            let cost = if model.batched { u32::try_from(rows).unwrap_or(1).max(1) } else { 1 };
            Ok((Sample::Tensors(values), cost))
        }
        None => Ok((Sample::Tensors(made_up(model)), 1)),
    }
}

/// The inputs that are compared.
fn inputs(runner: &mut Runner, bundle: &Bundle, sample: &Sample) -> Result<Vec<Vec<Value>>, GoldenError> {
    let mut inputs = Vec::new();
    let goldens = bundle.manifest().golden.clone();
    for golden in &goldens {
        match &golden.content_type {
            Some(content_type) => {
                let (prepared, _) = golden::prepared(runner.model(), bundle, golden, content_type)?;
                // A golden that does not run is told by the trial itself.
                inputs.extend(runner.inputs(&prepared, RUNS_EACH).unwrap_or_default());
            }
            None => inputs.push(golden::values(runner.model(), bundle, golden)?),
        }
    }
    if let (true, Sample::Tensors(values)) = (inputs.is_empty(), sample) {
        inputs.push(values.iter().map(Value::copy).collect());
    }
    Ok(inputs)
}

/// The same elements in the opposite order: as large, and nothing like what the model was made for.
fn reversed(model: &Model, values: &[Value]) -> Vec<Value> {
    let one = |(value, size): (&Value, usize)| {
        let bytes: Vec<u8> = value.memory.chunks_exact(size).rev().flatten().copied().collect();
        if size == 0 || bytes.len() != value.memory.len() { value.copy() } else { Value::of(&value.shape, &bytes) }
    };
    let size = |at: usize| match model.inputs.get(at).map(|place| place.spec.datatype) {
        None | Some(Datatype::Bytes) => 1,
        Some(datatype) => datatype.size(),
    };
    let is_text = |at: usize| model.inputs.get(at).is_some_and(|place| place.spec.datatype == Datatype::Bytes);
    values
        .iter()
        .enumerate()
        .map(|(at, value)| if is_text(at) { value.copy() } else { one((value, size(at))) })
        .collect()
}

/// FP32 at half its strength, under a pattern; all else as it is.
fn faded(model: &Model, values: &[Value]) -> Vec<Value> {
    let one = |(at, value): (usize, &Value)| {
        if model.inputs.get(at).is_none_or(|place| place.spec.datatype != Datatype::Fp32) {
            return value.copy();
        }
        let numbers = tensor::floats(&value.memory);
        let most = numbers.iter().fold(0f32, |most, number| most.max(number.abs()));
        let mut state = 0x9E37_79B9u32;
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| {
                // Xorshift: any pattern does that has no period of the picture's.
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let noise = f32::from(i16::from_ne_bytes([state.to_ne_bytes()[0], state.to_ne_bytes()[1]])) / 32768.0;
                (number * 0.5 + noise * most * 0.25).to_ne_bytes()
            })
            .collect();
        Value::of(&value.shape, &bytes)
    };
    values.iter().enumerate().map(one).collect()
}

/// Inputs for a model that has no golden one: ramps of small numbers.
fn made_up(model: &Model) -> Vec<Value> {
    let one = |place: &super::model::Place| {
        let open = |at: usize| {
            let multiple = place.multiple.get(at).copied().unwrap_or(1).max(1);
            let least = place.min.get(at).copied().unwrap_or(1);
            let most = place.max.get(at).copied().unwrap_or(i64::MAX);
            let size = if at == 0 { least } else { OPEN_SIZE.clamp(least, most) };
            (size + multiple - 1) / multiple * multiple
        };
        let sizes = place.spec.shape.iter().enumerate();
        let shape: Vec<i64> = sizes.map(|(at, size)| if *size == -1 { open(at) } else { *size }).collect();
        let count = tensor::elements(&shape).unwrap_or(0);
        let bytes: Vec<u8> = match place.spec.datatype {
            Datatype::Fp32 => (0..count)
                .flat_map(|at| (f32::from(u8::try_from(at % 256).unwrap_or(0)) / 256.0).to_ne_bytes())
                .collect(),
            Datatype::Fp64 => (0..count)
                .flat_map(|at| (f64::from(u8::try_from(at % 256).unwrap_or(0)) / 256.0).to_ne_bytes())
                .collect(),
            Datatype::Bytes => tensor::prefixed(&vec![String::new(); count]),
            // Zero is within every range of indices.
            datatype => vec![0; count * datatype.size()],
        };
        Value::of(&shape, &bytes)
    };
    model.inputs.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(datatype: Datatype) -> TensorSpec {
        TensorSpec { name: "y".into(), datatype, shape: vec![-1] }
    }

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
    }

    #[test]
    fn differences_are_shares_of_the_largest_value_or_of_one() {
        for (given, wanted, expected) in [
            (&[0.5, 0.25][..], &[0.5, 0.25][..], 0.0),
            (&[0.5, 0.26], &[0.5, 0.25], 0.01),
            (&[100.0, 1.0], &[100.0, 2.0], 0.01),
            (&[f32::NAN], &[f32::NAN], 0.0),
            (&[f32::NAN], &[1.0], f64::INFINITY),
            (&[f32::INFINITY], &[1.0], f64::INFINITY),
            (&[f32::INFINITY], &[f32::INFINITY], 0.0),
        ] {
            let found = difference(&spec(Datatype::Fp32), &floats(given), &floats(wanted)).unwrap();
            assert!(found == expected || (found - expected).abs() < 1e-6, "{given:?} {wanted:?}: {found}");
        }
        assert!(difference(&spec(Datatype::Fp16), &[], &[]).is_err());
        assert!(difference(&spec(Datatype::Bytes), b"a", b"b").is_err());
    }
}
