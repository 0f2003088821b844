//! Inputs of models that take tensors: values made up for small inputs, those of files, and what the model made of them.

use edge_engine::elements::{self, Tensors};
use edge_engine::protocol::{Datatype, TensorSpec};
use edge_wire::dto::Info;
use edge_wire::mqtt::reply::{Answer, TensorView, encode};
use serde_json::{Value, json};

use super::room::Shaped;

/// Most elements of a made-up tensor: golden files are for people too.
const MOST: i64 = 16_384;

/// Values for every input, each with its JSON; open sizes are 1. `None` where an input is too large, or of a datatype whose
/// values nobody could guess.
pub fn made_up(inputs: &[TensorSpec]) -> Option<(Vec<Shaped>, Value)> {
    let mut shaped = Vec::new();
    let mut tensors = Vec::new();
    for spec in inputs {
        let shape: Vec<i64> = spec.shape.iter().map(|size| (*size).max(1)).collect();
        let count =
            shape.iter().try_fold(1i64, |count, size| count.checked_mul(*size)).filter(|count| *count <= MOST)?;
        let values: Vec<Value> = (0..count).map(|at| value(spec.datatype, at)).collect::<Option<_>>()?;
        let bytes: Vec<u8> = (0..count).flat_map(|at| bytes(spec.datatype, at)).collect();
        tensors.push(json!({"name": spec.name, "shape": shape, "data": values}));
        shaped.push((shape, bytes));
    }
    Some((shaped, json!({"tensors": tensors})))
}

/// Eighths between -1 and 1 are exact in every float; whole numbers are 0 or 1, which are in most tables.
fn eighths(at: i64) -> f64 {
    f64::from(i32::try_from((at * 5) % 17 - 8).unwrap_or(0)) / 8.0
}

fn value(datatype: Datatype, at: i64) -> Option<Value> {
    match datatype {
        Datatype::Fp32 | Datatype::Fp64 => Some(json!(eighths(at))),
        Datatype::Int32 | Datatype::Int64 | Datatype::Uint8 | Datatype::Int8 => Some(json!(at % 2)),
        Datatype::Bool => Some(json!(at % 2 == 1)),
        _ => None,
    }
}

fn bytes(datatype: Datatype, at: i64) -> Vec<u8> {
    let whole = u8::try_from(at % 2).unwrap_or(0);
    match datatype {
        #[expect(clippy::cast_possible_truncation, reason = "eighths are exact")]
        Datatype::Fp32 => (eighths(at) as f32).to_le_bytes().to_vec(),
        Datatype::Fp64 => eighths(at).to_le_bytes().to_vec(),
        Datatype::Int32 => i32::from(whole).to_le_bytes().to_vec(),
        Datatype::Int64 => i64::from(whole).to_le_bytes().to_vec(),
        _ => vec![whole],
    }
}

/// What a golden file says of outputs; those of a datatype that golden files cannot hold are left out.
pub fn told(specs: &[TensorSpec], outputs: &[Shaped]) -> Result<Value, serde_json::Error> {
    let holds = |spec: &TensorSpec| !matches!(spec.datatype, Datatype::Fp16 | Datatype::Bf16);
    let views: Vec<TensorView<'_>> = specs
        .iter()
        .zip(outputs)
        .filter(|(spec, _)| holds(spec))
        .map(|(spec, (shape, bytes))| TensorView {
            name: &spec.name,
            datatype: spec.datatype.as_str(),
            shape,
            data: bytes,
        })
        .collect();
    let encoded = encode(None, Answer::Tensors(&views), &Info::default());
    let mut reply: Value = serde_json::from_slice(&encoded.json)?;
    let mut outputs = reply.get_mut("outputs").map(Value::take).unwrap_or_default();
    for output in outputs.as_array_mut().into_iter().flatten() {
        // The model says it.
        output.as_object_mut().map(|output| output.remove("datatype"));
    }
    Ok(json!({"tensors": outputs}))
}

/// The tensors of a file in the form of golden inputs, `{"tensors": [{"name", "shape", "data"}]}`, in the order of the inputs.
pub fn given(json: &[u8], specs: &[TensorSpec]) -> Result<Vec<Shaped>, String> {
    let given: Tensors = serde_json::from_slice(json).map_err(|error| format!("no file of tensors: {error}"))?;
    if let Some(strange) = given.tensors.iter().find(|one| specs.iter().all(|spec| spec.name != one.name)) {
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        return Err(format!("the model has no input {}: it takes {}", strange.name, names.join(", ")));
    }
    let of = |spec: &TensorSpec| {
        let missing = || format!("there is no tensor {}", spec.name);
        let one = given.tensors.iter().find(|one| one.name == spec.name).ok_or_else(missing)?;
        let count = one.shape.iter().try_fold(1i64, |count, size| count.checked_mul(*size).filter(|_| *size >= 0));
        if count.and_then(|count| usize::try_from(count).ok()) != Some(one.data.len()) {
            return Err(format!(
                "tensor {}: {} numbers do not fill the shape {:?}",
                spec.name,
                one.data.len(),
                one.shape
            ));
        }
        let bytes = elements::bytes(spec.datatype, &one.data).map_err(|why| format!("tensor {}: {why}", spec.name))?;
        Ok((one.shape.clone(), bytes))
    };
    specs.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: Datatype) -> TensorSpec {
        TensorSpec { name: name.into(), datatype, shape: vec![-1] }
    }

    #[test]
    fn a_file_of_tensors_gives_each_input_what_it_takes() {
        let specs = [spec("a", Datatype::Fp32), spec("b", Datatype::Int64)];
        let json = br#"{"tensors": [{"name": "b", "shape": [1], "data": [-7]}, {"name": "a", "shape": [1, 2], "data": [0.5, -1]}]}"#;
        let shaped = given(json, &specs).unwrap();
        assert_eq!((&shaped[0].0, &shaped[1].0), (&vec![1, 2], &vec![1]));
        assert_eq!(elements::numbers(Datatype::Fp32, &shaped[0].1).unwrap(), [0.5, -1.0]);
        assert_eq!(elements::numbers(Datatype::Int64, &shaped[1].1).unwrap(), [-7.0]);
        for (json, wanted) in [
            ("{}", "no file of tensors: missing field `tensors`"),
            (r#"{"tensors": []}"#, "there is no tensor a"),
            (r#"{"tensors": [{"name": "c", "shape": [], "data": []}]}"#, "no input c: it takes a, b"),
            (
                r#"{"tensors": [{"name": "a", "shape": [3], "data": [1]}]}"#,
                "tensor a: 1 numbers do not fill the shape [3]",
            ),
            (r#"{"tensors": [{"name": "a", "shape": [-1], "data": [1]}]}"#, "do not fill the shape [-1]"),
            (r#"{"tensors": [{"name": "a", "shape": [1], "data": ["x"]}]}"#, "tensor a: \"x\" is no FP32"),
        ] {
            let said = given(json.as_bytes(), &specs).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
