//! Golden answers: a model that does not give them on this machine is not served.

use serde_json::Value;

use super::buffers::Buffers;
use super::clock::Begun;
use super::member;
use super::model::Model;
use super::runner::Runner;
use crate::bundle::{Bundle, BundleError, Golden};
use crate::elements::{self, Tensors, bytes};
use crate::media::{MediaError, Prepared};
use crate::protocol::{Data, Datatype, ErrorKind, HostError, TensorData, TensorSpec};

/// Why a golden answer was not given.
#[derive(Debug, thiserror::Error)]
#[error("golden {input}")]
pub struct GoldenError {
    input: String,
    source: Box<Cause>,
}

impl GoldenError {
    /// Whether the runtime failed: nobody knows whether the answer would have been right.
    pub fn is_runtime(&self) -> bool {
        matches!(&*self.source, Cause::Run(HostError { kind: ErrorKind::Runtime, .. }))
    }
}

/// What was wrong with it.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("read {file}")]
    Json { file: String, source: serde_json::Error },
    #[error("{file}: {what}")]
    Tensors { file: String, what: String },
    #[error("the bundle has no input recipe")]
    NoRecipe,
    #[error(transparent)]
    Prepare(#[from] MediaError),
    #[error("{}", .0.message)]
    Run(HostError),
    #[error("at {at}: expected {expected}, got {got} (tolerance {tolerance})")]
    Differs { at: String, expected: String, got: String, tolerance: f64 },
}

/// How the goldens went.
#[derive(Default)]
pub struct Checked {
    pub passed: u16,
    /// Time of the last one's run, per unit of its cost.
    pub service_ns: u64,
}

/// Runs every golden input and compares. The first one that differs is the error.
pub fn check(runner: &mut Runner, bundle: &Bundle) -> Result<Checked, GoldenError> {
    let mut checked = Checked::default();
    let goldens = &bundle.manifest().golden;
    for (at, golden) in goldens.iter().enumerate() {
        // The last one has what it takes by then, and gives back what all of them took.
        runner.give_back(at + 1 == goldens.len());
        let done = match &golden.content_type {
            Some(content_type) => encoded(runner, bundle, golden, content_type),
            None => tensors(runner, bundle, golden),
        };
        runner.give_back(false);
        checked.service_ns =
            done.map_err(|cause| GoldenError { input: golden.input.clone(), source: Box::new(cause) })?;
        checked.passed += 1;
    }
    Ok(checked)
}

fn encoded(runner: &mut Runner, bundle: &Bundle, golden: &Golden, content_type: &str) -> Result<u64, Cause> {
    let payload = bundle.read(&golden.input)?;
    let recipe = runner.model().recipe.as_ref().ok_or(Cause::NoRecipe)?;
    let (prepared, cost) = recipe.prepare(content_type, &payload)?;
    drop(payload);
    let begun = Begun::now();
    let document = runner.document(&prepared).map_err(Cause::Run)?;
    let took = begun.ran_ns() / u64::from(cost.max(1));
    let got = parse(&golden.input, document.as_bytes())?;
    let expected = parse(&golden.expected, &bundle.read(&golden.expected)?)?;
    compare(&mut String::new(), &expected, &got, golden.tolerance)?;
    Ok(took)
}

fn parse<T: serde::de::DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, Cause> {
    serde_json::from_slice(bytes).map_err(|source| Cause::Json { file: file.to_owned(), source })
}

/// Every key of `expected` must be there, every text the same, every number within the tolerance times
/// max(1, |expected|).
fn compare(at: &mut String, expected: &Value, got: &Value, tolerance: f64) -> Result<(), Cause> {
    let length = at.len();
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, expected) in expected {
                at.push_str(if at.is_empty() { "" } else { "." });
                at.push_str(key);
                compare(at, expected, got.get(key).unwrap_or(&Value::Null), tolerance)?;
                at.truncate(length);
            }
            return Ok(());
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                at.push_str(&format!("[{index}]"));
                compare(at, expected, got, tolerance)?;
                at.truncate(length);
            }
            return Ok(());
        }
        (Value::Number(wanted), Value::Number(given)) => {
            let (wanted, given) = (wanted.as_f64().unwrap_or(f64::NAN), given.as_f64().unwrap_or(f64::NAN));
            if (wanted - given).abs() <= tolerance * wanted.abs().max(1.0) {
                return Ok(());
            }
        }
        _ if expected == got => return Ok(()),
        _ => {}
    }
    let at = if at.is_empty() { "the document".to_owned() } else { at.clone() };
    Err(Cause::Differs { at, expected: short(expected), got: short(got), tolerance })
}

fn short(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// The values of a golden input that is a file of tensors, or why it has none.
pub fn values(model: &Model, bundle: &Bundle, golden: &Golden) -> Result<Vec<member::Value>, GoldenError> {
    given(model, bundle, golden).map_err(|cause| GoldenError { input: golden.input.clone(), source: Box::new(cause) })
}

fn given(model: &Model, bundle: &Bundle, golden: &Golden) -> Result<Vec<member::Value>, Cause> {
    let given: Tensors = parse(&golden.input, &bundle.read(&golden.input)?)?;
    let wrong = |what: String| Cause::Tensors { file: golden.input.clone(), what };
    let specs: Vec<TensorSpec> = model.inputs.iter().map(|place| place.spec.clone()).collect();
    let inputs = given.tensors.iter().map(|tensor| {
        let (index, spec) = named(&specs, &tensor.name)?;
        let bytes = bytes(spec.datatype, &tensor.data)?;
        Ok(TensorData { index, shape: tensor.shape.clone(), data: Data::Inline(bytes) })
    });
    let inputs = inputs.collect::<Result<Vec<_>, String>>().map_err(wrong)?;
    let mut buffers = Buffers::default();
    let values = member::values(model, inputs, &[], &mut buffers).map_err(Cause::Run)?;
    member::fetch(model, values, &mut buffers).map_err(Cause::Run)
}

/// What a golden payload becomes, and its cost.
pub fn prepared(
    model: &Model,
    bundle: &Bundle,
    golden: &Golden,
    content_type: &str,
) -> Result<(Prepared, u32), GoldenError> {
    let prepare = || -> Result<_, Cause> {
        let payload = bundle.read(&golden.input)?;
        let recipe = model.recipe.as_ref().ok_or(Cause::NoRecipe)?;
        Ok(recipe.prepare(content_type, &payload)?)
    };
    prepare().map_err(|cause| GoldenError { input: golden.input.clone(), source: Box::new(cause) })
}

fn tensors(runner: &mut Runner, bundle: &Bundle, golden: &Golden) -> Result<u64, Cause> {
    let expected: Tensors = parse(&golden.expected, &bundle.read(&golden.expected)?)?;
    let wrong = |file: &str, what: String| Cause::Tensors { file: file.to_owned(), what };
    let model = runner.model();
    let outputs = model.outputs.clone();
    let values = given(model, bundle, golden)?;
    let begun = Begun::now();
    let answers = runner.tensors(&values).map_err(Cause::Run)?;
    let took = begun.ran_ns();
    for tensor in &expected.tensors {
        let (index, spec) = named(&outputs, &tensor.name).map_err(|what| wrong(&golden.expected, what))?;
        let Some((shape, got)) = answers.get(usize::from(index)) else { continue };
        let wanted = bytes(spec.datatype, &tensor.data).map_err(|what| wrong(&golden.expected, what))?;
        let at = |what: String, expected: String, got: String| Cause::Differs {
            at: format!("{} {what}", tensor.name),
            expected,
            got,
            tolerance: golden.tolerance,
        };
        if *shape != tensor.shape {
            return Err(at("shape".into(), format!("{:?}", tensor.shape), format!("{shape:?}")));
        }
        let (wanted, got) = (numbers(spec.datatype, &wanted), numbers(spec.datatype, got));
        let most = wanted.iter().fold(1f64, |most, number| most.max(number.abs())) * golden.tolerance;
        let differs = wanted.iter().zip(&got).position(|(wanted, got)| (wanted - got).abs() > most || got.is_nan());
        if let Some(place) = differs {
            let value = |numbers: &[f64]| numbers.get(place).map_or(String::new(), f64::to_string);
            return Err(at(format!("element {place}"), value(&wanted), value(&got)));
        }
    }
    Ok(took)
}

fn named<'a>(specs: &'a [TensorSpec], name: &str) -> Result<(u16, &'a TensorSpec), String> {
    let found = specs.iter().enumerate().find(|(_, spec)| spec.name == name);
    let found = found.and_then(|(index, spec)| Some((u16::try_from(index).ok()?, spec)));
    found.ok_or_else(|| format!("the model has no tensor {name}"))
}

/// Bytes as numbers to compare; of text each byte is one.
pub fn numbers(datatype: Datatype, bytes: &[u8]) -> Vec<f64> {
    elements::numbers(datatype, bytes).unwrap_or_else(|| bytes.iter().map(|byte| f64::from(*byte)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_compared_within_the_tolerance() {
        let expected = json!({"label": "a", "score": 0.5, "rows": [{"ms": 1000}]});
        let cases = [
            (json!({"label": "a", "score": 0.5, "rows": [{"ms": 1000}], "more": 1}), ""),
            (json!({"label": "a", "score": 0.509, "rows": [{"ms": 1009}]}), ""),
            (json!({"label": "b", "score": 0.5, "rows": [{"ms": 1000}]}), "at label: expected \"a\", got \"b\""),
            (json!({"label": "a", "score": 0.52, "rows": [{"ms": 1000}]}), "at score: expected 0.5, got 0.52"),
            (json!({"label": "a", "score": 0.5, "rows": [{"ms": 1011}]}), "at rows[0].ms: expected 1000, got 1011"),
            (json!({"label": "a", "score": 0.5, "rows": []}), "at rows: expected [{\"ms\":1000}], got []"),
            (json!({"label": "a", "rows": [{"ms": 1000}]}), "at score: expected 0.5, got null"),
        ];
        for (got, message) in cases {
            let said = compare(&mut String::new(), &expected, &got, 0.01).err().map(|cause| cause.to_string());
            assert!(said.clone().unwrap_or_default().starts_with(message), "{said:?}");
            assert_eq!(said.is_none(), message.is_empty(), "{said:?}");
        }
    }

    #[test]
    fn a_number_that_is_none_never_passes() {
        assert!(numbers(Datatype::Fp32, &f32::NAN.to_ne_bytes())[0].is_nan());
        assert!(compare(&mut String::new(), &json!(1.0), &json!(null), 1.0).is_err());
    }
}
