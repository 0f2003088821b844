//! A loaded model as the threads of the host share it: what the bundle says and what the graph says, made one.

use crate::bundle::{Bundle, Manifest, TensorRule};
use crate::fault::host_error;
use crate::media::Recipe;
use crate::protocol::{Datatype, ErrorKind, HostError, TensorSpec};
use crate::tensor;

/// Why bundle and graph do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("tensor {name}: the graph has no input or output of that name; it has {}", have.join(", "))]
    Unknown { name: String, have: Vec<String> },
    #[error("tensor {name}: shape {said:?} does not fit the graph's {graph:?}")]
    Shape { name: String, said: Vec<i64>, graph: Vec<i64> },
    #[error("batching: dimension 0 of {name} is {size}, it must be open in every input and output")]
    Batch { name: String, size: i64 },
    #[error("the graph has {0} outputs, at most 128 are supported")]
    Outputs(usize),
}

/// What one input takes.
#[derive(Clone, Debug)]
pub struct Place {
    pub spec: TensorSpec,
    /// Largest size of each dimension; empty for no bound.
    pub max: Vec<i64>,
}

/// A loaded model.
pub struct Model {
    pub id: u16,
    pub inputs: Vec<Place>,
    pub outputs: Vec<TensorSpec>,
    /// Dimension 0 of every input and output is the batch.
    pub batched: bool,
    pub max_batch: u16,
    pub payload_bytes: u64,
    pub recipe: Option<Recipe>,
}

impl Model {
    /// Joins manifest and graph.
    pub fn new(
        id: u16,
        bundle: &Bundle,
        graph: (&[TensorSpec], &[TensorSpec]),
        recipe: Option<Recipe>,
    ) -> Result<Model, FitError> {
        let manifest = bundle.manifest();
        let (inputs, outputs) = (close(graph.0, manifest)?, close(graph.1, manifest)?);
        let specs: Vec<&TensorSpec> = inputs.iter().chain(&outputs).map(|place| &place.spec).collect();
        if let Some(rule) = manifest.tensor.iter().find(|rule| !specs.iter().any(|spec| spec.name == rule.name)) {
            let have = specs.iter().map(|spec| spec.name.clone()).collect();
            return Err(FitError::Unknown { name: rule.name.clone(), have });
        }
        if outputs.len() > 128 {
            return Err(FitError::Outputs(outputs.len()));
        }
        let fixed = specs.iter().find(|spec| spec.shape.first() != Some(&-1));
        if let (Some(_), Some(spec)) = (manifest.batching, fixed) {
            let size = spec.shape.first().copied().unwrap_or(0);
            return Err(FitError::Batch { name: spec.name.clone(), size });
        }
        // So many members that each input and each output of each can have a descriptor in one packet.
        let most = inputs.len().max(outputs.len()).max(1);
        let room = u16::try_from(crate::protocol::MAX_FDS / most).unwrap_or(1).max(1);
        Ok(Model {
            id,
            batched: manifest.batching.is_some(),
            max_batch: manifest.batching.map_or(1, |batching| batching.max.min(room)),
            payload_bytes: manifest.limits.payload_bytes,
            outputs: outputs.into_iter().map(|place| place.spec).collect(),
            inputs,
            recipe,
        })
    }

    /// Checks one tensor of a request against its input.
    pub fn check(&self, index: u16, shape: &[i64], bytes: &[u8]) -> Result<(), HostError> {
        let invalid = |message: String| Err(host_error(ErrorKind::InvalidInput, message));
        let Some(Place { spec, max }) = self.inputs.get(usize::from(index)) else {
            return invalid(format!("input {index}: the model has {} inputs", self.inputs.len()));
        };
        let name = &spec.name;
        if shape.len() != spec.shape.len() {
            return invalid(format!("input {name}: {} dimensions, accepted are {}", shape.len(), spec.shape.len()));
        }
        for (at, (size, accepted)) in shape.iter().zip(&spec.shape).enumerate() {
            let most = max.get(at).copied().unwrap_or(i64::MAX);
            match accepted {
                -1 if (1..=most).contains(size) => {}
                -1 if most == i64::MAX => {
                    return invalid(format!("input {name}: dimension {at} is {size}, accepted is at least 1"));
                }
                -1 => return invalid(format!("input {name}: dimension {at} is {size}, accepted is 1..={most}")),
                accepted if accepted == size => {}
                accepted => return invalid(format!("input {name}: dimension {at} is {size}, accepted is {accepted}")),
            }
        }
        let Some(elements) = tensor::elements(shape) else {
            return invalid(format!("input {name}: shape {shape:?} has too many elements"));
        };
        match spec.datatype {
            Datatype::Bytes => match tensor::strings(bytes, elements) {
                Ok(_) => Ok(()),
                Err(why) => invalid(format!("input {name}: {why}")),
            },
            _ if elements.checked_mul(spec.datatype.size()) != Some(bytes.len()) => invalid(format!(
                "input {name}: {} bytes, the shape {shape:?} of {} needs {} elements of {} bytes",
                bytes.len(),
                spec.datatype.as_str(),
                elements,
                spec.datatype.size()
            )),
            Datatype::Bool if bytes.iter().any(|byte| *byte > 1) => {
                invalid(format!("input {name}: a BOOL element is neither 0 nor 1"))
            }
            _ => Ok(()),
        }
    }
}

fn close(graph: &[TensorSpec], manifest: &Manifest) -> Result<Vec<Place>, FitError> {
    graph.iter().map(|spec| close_one(spec, manifest.tensor.iter().find(|rule| rule.name == spec.name))).collect()
}

fn close_one(spec: &TensorSpec, rule: Option<&TensorRule>) -> Result<Place, FitError> {
    let Some(rule) = rule else { return Ok(Place { spec: spec.clone(), max: Vec::new() }) };
    let fits = rule.shape.len() == spec.shape.len()
        && rule.shape.iter().zip(&spec.shape).all(|(said, graph)| *graph == -1 || said == graph);
    if !fits {
        let (said, graph) = (rule.shape.clone(), spec.shape.clone());
        return Err(FitError::Shape { name: rule.name.clone(), said, graph });
    }
    Ok(Place { spec: TensorSpec { shape: rule.shape.clone(), ..spec.clone() }, max: rule.max.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: &[i64]) -> TensorSpec {
        TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: shape.to_vec() }
    }

    fn model(shape: &[i64], max: &[i64]) -> Model {
        let inputs = vec![Place { spec: spec(shape), max: max.to_vec() }];
        Model { id: 0, inputs, outputs: vec![], batched: true, max_batch: 1, payload_bytes: 1 << 20, recipe: None }
    }

    #[test]
    fn a_bad_tensor_is_refused_with_the_accepted_range() {
        let model = model(&[-1, 3, -1], &[8, 3, 100]);
        let cases: [(&[i64], usize, &str); 7] = [
            (&[1, 3, 2], 24, ""),
            (&[1, 3], 24, "input x: 2 dimensions, accepted are 3"),
            (&[0, 3, 2], 0, "input x: dimension 0 is 0, accepted is 1..=8"),
            (&[1, 4, 2], 32, "input x: dimension 1 is 4, accepted is 3"),
            (&[1, 3, 101], 1212, "input x: dimension 2 is 101, accepted is 1..=100"),
            (&[1, 3, 2], 23, "input x: 23 bytes, the shape [1, 3, 2] of FP32 needs 6 elements of 4 bytes"),
            (&[1, 3, -5], 24, "input x: dimension 2 is -5, accepted is 1..=100"),
        ];
        for (shape, bytes, expected) in cases {
            let said = model.check(0, shape, &vec![0; bytes]).err().map(|error| error.message);
            assert_eq!(said.unwrap_or_default(), expected);
        }
        assert!(model.check(1, &[1, 3, 2], &[0; 24]).is_err());
    }

    #[test]
    fn a_manifest_that_contradicts_the_graph_is_refused() {
        let rule = |shape: &[i64]| TensorRule { name: "x".into(), shape: shape.to_vec(), max: vec![] };
        assert_eq!(close_one(&spec(&[-1, 3, -1]), Some(&rule(&[-1, 3, 48]))).unwrap().spec.shape, [-1, 3, 48]);
        assert!(close_one(&spec(&[-1, 3, -1]), Some(&rule(&[-1, 4, 48]))).is_err());
        assert!(close_one(&spec(&[-1, 3, -1]), Some(&rule(&[-1, 3]))).is_err());
        assert!(close_one(&spec(&[-1, 3, 48]), Some(&rule(&[-1, 3, -1]))).is_err());
    }
}
