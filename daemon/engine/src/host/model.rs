//! A loaded model as the threads of the host share it: what the bundle says and what the graph says, made one.

use crate::bundle::{Bundle, Manifest, Profile, TensorRule, Variant};
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
    #[error("variant {variant}, profile of {tensor}: {what}")]
    Profile { variant: String, tensor: String, what: String },
    #[error("batching: dimension 0 of {name} is {size}, it must be open in every input and output")]
    Batch { name: String, size: i64 },
    #[error("the graph has {0} outputs, at most 128 are supported")]
    Outputs(usize),
}

/// What one input takes.
#[derive(Clone, Debug)]
pub struct Place {
    pub spec: TensorSpec,
    /// Smallest size of each open dimension; empty for 1.
    pub min: Vec<i64>,
    /// Largest size of each dimension; empty for no bound.
    pub max: Vec<i64>,
    /// What the size of each dimension is a multiple of; empty for any size.
    pub multiple: Vec<i64>,
}

impl Place {
    /// Whether dimension `at`, which the graph leaves open, may have this size; if not, the accepted ones.
    fn open(&self, at: usize, size: i64) -> Result<(), String> {
        let least = self.min.get(at).copied().unwrap_or(1);
        let most = self.max.get(at).copied().unwrap_or(i64::MAX);
        let multiple = self.multiple.get(at).copied().unwrap_or(1);
        if (least..=most).contains(&size) && size % multiple == 0 {
            return Ok(());
        }
        Err(match (most, multiple) {
            (i64::MAX, 1) => "at least 1".into(),
            (i64::MAX, multiple) => format!("a multiple of {multiple}"),
            (most, 1) => format!("{least}..={most}"),
            (most, multiple) if least <= multiple => format!("a multiple of {multiple} up to {most}"),
            (most, multiple) => format!("a multiple of {multiple} in {least}..={most}"),
        })
    }
}

/// A loaded model.
pub struct Model {
    pub id: u16,
    pub inputs: Vec<Place>,
    pub outputs: Vec<TensorSpec>,
    /// Dimension 0 of every input and output is the batch.
    pub batched: bool,
    pub max_batch: u16,
    /// Most rows that the members of a batch may have together; `i64::MAX` for no bound.
    pub max_rows: i64,
    pub payload_bytes: u64,
    pub recipe: Option<Recipe>,
}

impl Model {
    /// Joins manifest and graph, for one variant.
    pub fn new(
        id: u16,
        bundle: &Bundle,
        variant: &Variant,
        graph: (&[TensorSpec], &[TensorSpec]),
        recipe: Option<Recipe>,
    ) -> Result<Model, FitError> {
        let manifest = bundle.manifest();
        let (mut inputs, outputs) = (close(graph.0, manifest)?, close(graph.1, manifest)?);
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
        narrow(&mut inputs, variant)?;
        // So many members that each input and each output of each can have a descriptor in one packet.
        let most = inputs.len().max(outputs.len()).max(1);
        let room = u16::try_from(crate::protocol::MAX_FDS / most).unwrap_or(1).max(1);
        Ok(Model {
            id,
            batched: manifest.batching.is_some(),
            max_batch: manifest.batching.map_or(1, |batching| batching.max.min(room)),
            max_rows: max_rows(&variant.profile),
            payload_bytes: manifest.limits.payload_bytes,
            outputs: outputs.into_iter().map(|place| place.spec).collect(),
            inputs,
            recipe,
        })
    }

    /// Most rows that may run at once, if the rows of a request may run apart from each other.
    pub fn most_rows(&self) -> Option<u32> {
        let first = |sizes: &[i64], unless: i64| sizes.first().copied().unwrap_or(unless);
        let any = |place: &Place| first(&place.min, 1) <= 1 && first(&place.multiple, 1) <= 1;
        if !self.batched || !self.inputs.iter().all(any) {
            return None;
        }
        let most = self.inputs.iter().map(|place| first(&place.max, i64::MAX)).min()?.min(self.max_rows);
        Some(u32::try_from(most.max(1)).unwrap_or(u32::MAX))
    }

    /// Checks the shape of one input, whether it comes in a request or was made of a payload.
    pub fn check_shape(&self, index: u16, shape: &[i64]) -> Result<(), HostError> {
        let Some(place) = self.inputs.get(usize::from(index)) else {
            return invalid(format!("input {index}: the model has {} inputs", self.inputs.len()));
        };
        let (spec, name) = (&place.spec, &place.spec.name);
        if shape.len() != spec.shape.len() {
            return invalid(format!("input {name}: {} dimensions, accepted are {}", shape.len(), spec.shape.len()));
        }
        for (at, (size, accepted)) in shape.iter().zip(&spec.shape).enumerate() {
            let fits = match accepted {
                -1 => place.open(at, *size),
                accepted if accepted == size => Ok(()),
                accepted => Err(accepted.to_string()),
            };
            if let Err(accepted) = fits {
                return invalid(format!("input {name}: dimension {at} is {size}, accepted is {accepted}"));
            }
        }
        Ok(())
    }

    /// Checks shape and size of one tensor of a request against its input.
    pub fn check_size(&self, index: u16, shape: &[i64], bytes: usize) -> Result<(), HostError> {
        self.check_shape(index, shape)?;
        let Some(Place { spec, .. }) = self.inputs.get(usize::from(index)) else { return Ok(()) };
        let (name, size) = (&spec.name, spec.datatype.size());
        match tensor::elements(shape) {
            None => invalid(format!("input {name}: shape {shape:?} has too many elements")),
            Some(elements) if spec.datatype != Datatype::Bytes && elements.checked_mul(size) != Some(bytes) => {
                let datatype = spec.datatype.as_str();
                invalid(format!(
                    "input {name}: {bytes} bytes, the shape {shape:?} of {datatype} needs {elements} elements of {size} bytes",
                ))
            }
            Some(_) => Ok(()),
        }
    }

    /// Checks the elements of one tensor whose size was checked.
    pub fn check_elements(&self, index: u16, shape: &[i64], bytes: &[u8]) -> Result<(), HostError> {
        let Some(Place { spec, .. }) = self.inputs.get(usize::from(index)) else { return Ok(()) };
        let name = &spec.name;
        match spec.datatype {
            Datatype::Bytes => match tensor::strings(bytes, tensor::elements(shape).unwrap_or(usize::MAX)) {
                Ok(_) => Ok(()),
                Err(why) => invalid(format!("input {name}: {why}")),
            },
            Datatype::Bool if bytes.iter().any(|byte| *byte > 1) => {
                invalid(format!("input {name}: a BOOL element is neither 0 nor 1"))
            }
            _ => Ok(()),
        }
    }
}

fn invalid(message: String) -> Result<(), HostError> {
    Err(host_error(ErrorKind::InvalidInput, message))
}

fn close(graph: &[TensorSpec], manifest: &Manifest) -> Result<Vec<Place>, FitError> {
    graph.iter().map(|spec| close_one(spec, manifest.tensor.iter().find(|rule| rule.name == spec.name))).collect()
}

fn close_one(spec: &TensorSpec, rule: Option<&TensorRule>) -> Result<Place, FitError> {
    let Some(rule) = rule else {
        return Ok(Place { spec: spec.clone(), min: Vec::new(), max: Vec::new(), multiple: Vec::new() });
    };
    let fits = rule.shape.len() == spec.shape.len()
        && rule.shape.iter().zip(&spec.shape).all(|(said, graph)| *graph == -1 || said == graph);
    if !fits {
        let (said, graph) = (rule.shape.clone(), spec.shape.clone());
        return Err(FitError::Shape { name: rule.name.clone(), said, graph });
    }
    let spec = TensorSpec { shape: rule.shape.clone(), ..spec.clone() };
    Ok(Place { spec, min: Vec::new(), max: rule.max.clone(), multiple: rule.multiple.clone() })
}

/// Bounds the inputs by the variant's profiles.
fn narrow(inputs: &mut [Place], variant: &Variant) -> Result<(), FitError> {
    for profile in &variant.profile {
        let have: Vec<String> = inputs.iter().map(|place| place.spec.name.clone()).collect();
        let wrong = |what| FitError::Profile { variant: variant.name.clone(), tensor: profile.tensor.clone(), what };
        let Some(place) = inputs.iter_mut().find(|place| place.spec.name == profile.tensor) else {
            return Err(wrong(format!("the graph has no input of that name; it has {}", have.join(", "))));
        };
        let shape = &place.spec.shape;
        let sizes = profile.min.iter().zip(&profile.max).zip(shape);
        let fits = |((min, max), size): ((&i64, &i64), &i64)| *size == -1 || (min == size && max == size);
        if profile.min.len() != shape.len() || !sizes.into_iter().all(fits) {
            return Err(wrong(format!("{:?}..={:?} does not fit the shape {shape:?}", profile.min, profile.max)));
        }
        (place.min, place.max) = (profile.min.clone(), profile.max.clone());
    }
    Ok(())
}

/// Rows beyond which a joined batch would lie outside a profile.
fn max_rows(profiles: &[Profile]) -> i64 {
    profiles.iter().filter_map(|profile| profile.max.first().copied()).min().unwrap_or(i64::MAX)
}

#[cfg(test)]
impl Model {
    /// One with so many inputs that are rows of bytes.
    pub fn of_bytes(inputs: usize) -> Model {
        let spec = TensorSpec { name: "x".into(), datatype: Datatype::Uint8, shape: vec![-1, -1] };
        let place = || Place { spec: spec.clone(), min: vec![], max: vec![], multiple: vec![] };
        let inputs = (0..inputs).map(|_| place()).collect();
        let (batched, max_batch, max_rows) = (true, 1, i64::MAX);
        Model { id: 0, inputs, outputs: vec![], batched, max_batch, max_rows, payload_bytes: 1 << 20, recipe: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: &[i64]) -> TensorSpec {
        TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: shape.to_vec() }
    }

    fn model(shape: &[i64], max: &[i64], multiple: &[i64]) -> Model {
        let inputs = vec![Place { spec: spec(shape), min: vec![], max: max.to_vec(), multiple: multiple.to_vec() }];
        let (batched, max_batch, max_rows) = (true, 1, i64::MAX);
        Model { id: 0, inputs, outputs: vec![], batched, max_batch, max_rows, payload_bytes: 1 << 20, recipe: None }
    }

    #[test]
    fn a_bad_tensor_is_refused_with_the_accepted_range() {
        let model = model(&[-1, 3, -1], &[8, 3, 100], &[]);
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
            let said = model.check_size(0, shape, bytes).err().map(|error| error.message);
            assert_eq!(said.unwrap_or_default(), expected);
        }
        assert!(model.check_size(1, &[1, 3, 2], 24).is_err());
    }

    fn variant(tensor: &str, min: &[i64], max: &[i64]) -> Variant {
        let (min, max) = (min.to_vec(), max.to_vec());
        Variant {
            name: "fp16".into(),
            file: "model.onnx".into(),
            providers: vec!["tensorrt".into()],
            threads: 1,
            instances: 1,
            memory_pattern: false,
            int8: false,
            loss: None,
            profile: vec![Profile { tensor: tensor.into(), opt: min.clone(), min, max }],
        }
    }

    #[test]
    fn a_shape_outside_the_profile_is_refused_with_the_accepted_range() {
        let mut model = model(&[-1, 3, -1], &[8, 3, 100], &[]);
        narrow(&mut model.inputs, &variant("x", &[1, 3, 16], &[4, 3, 64])).unwrap();
        let cases: [(&[i64], &str); 5] = [
            (&[4, 3, 64], ""),
            (&[1, 3, 16], ""),
            (&[5, 3, 64], "input x: dimension 0 is 5, accepted is 1..=4"),
            (&[1, 3, 15], "input x: dimension 2 is 15, accepted is 16..=64"),
            (&[1, 3, 65], "input x: dimension 2 is 65, accepted is 16..=64"),
        ];
        for (shape, expected) in cases {
            let said = model.check_shape(0, shape).err().map(|error| error.message);
            assert_eq!(said.unwrap_or_default(), expected);
        }
    }

    #[test]
    fn a_profile_that_contradicts_the_graph_is_refused() {
        let cases = [
            (
                variant("y", &[1, 3, 16], &[4, 3, 64]),
                "variant fp16, profile of y: the graph has no input of that name; it",
            ),
            (
                variant("x", &[1, 3], &[4, 3]),
                "variant fp16, profile of x: [1, 3]..=[4, 3] does not fit the shape [-1, 3,",
            ),
            (
                variant("x", &[1, 2, 16], &[4, 3, 64]),
                "variant fp16, profile of x: [1, 2, 16]..=[4, 3, 64] does not fit",
            ),
        ];
        for (variant, expected) in cases {
            let error = narrow(&mut model(&[-1, 3, -1], &[], &[]).inputs, &variant).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        assert_eq!(max_rows(&variant("x", &[1, 3], &[4, 3]).profile), 4);
        assert_eq!(max_rows(&[]), i64::MAX);
    }

    #[test]
    fn rows_run_apart_where_any_number_of_them_is_taken() {
        let bounded = |shape: &[i64], max: &[i64], multiple: &[i64]| model(shape, max, multiple).most_rows();
        assert_eq!(bounded(&[-1, 3], &[], &[]), Some(u32::MAX));
        assert_eq!(bounded(&[-1, 3], &[64, 3], &[]), Some(64));
        assert_eq!(bounded(&[-1, -1], &[64, 96], &[1, 32]), Some(64));
        assert_eq!(bounded(&[-1, -1], &[64, 96], &[8, 1]), None);
        assert_eq!(Model { batched: false, ..model(&[-1, 3], &[], &[]) }.most_rows(), None);
        assert_eq!(Model { max_rows: 16, ..model(&[-1, 3], &[64, 3], &[]) }.most_rows(), Some(16));
        for (least, most) in [(1, Some(8)), (2, None)] {
            let mut model = model(&[-1, 3], &[], &[]);
            narrow(&mut model.inputs, &variant("x", &[least, 3], &[8, 3])).unwrap();
            assert_eq!(model.most_rows(), most, "a profile from {least} on");
        }
    }

    #[test]
    fn a_size_between_two_multiples_is_refused() {
        let cases: [(&[i64], &[i64], &str); 4] = [
            (&[1, 64], &[8, 96], ""),
            (&[1, 33], &[8, 96], "input x: dimension 1 is 33, accepted is a multiple of 32 up to 96"),
            (&[1, 128], &[8, 96], "input x: dimension 1 is 128, accepted is a multiple of 32 up to 96"),
            (&[1, 0], &[], "input x: dimension 1 is 0, accepted is a multiple of 32"),
        ];
        for (shape, max, expected) in cases {
            let bytes = usize::try_from(shape.iter().product::<i64>() * 4).unwrap();
            let said = model(&[-1, -1], max, &[1, 32]).check_size(0, shape, bytes).err();
            assert_eq!(said.map(|error| error.message).unwrap_or_default(), expected);
        }
    }

    #[test]
    fn a_manifest_that_contradicts_the_graph_is_refused() {
        let rule =
            |shape: &[i64]| TensorRule { name: "x".into(), shape: shape.to_vec(), max: vec![], multiple: vec![] };
        assert_eq!(close_one(&spec(&[-1, 3, -1]), Some(&rule(&[-1, 3, 48]))).unwrap().spec.shape, [-1, 3, 48]);
        assert!(close_one(&spec(&[-1, 3, -1]), Some(&rule(&[-1, 4, 48]))).is_err());
        assert!(close_one(&spec(&[-1, 3, -1]), Some(&rule(&[-1, 3]))).is_err());
        assert!(close_one(&spec(&[-1, 3, 48]), Some(&rule(&[-1, 3, -1]))).is_err());
    }
}
