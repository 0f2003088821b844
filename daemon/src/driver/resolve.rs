//! Pure checks of a request against the model it names: the same for every transport, and before the core sees it.

use edge_engine::protocol::{Datatype, LoadedModel, TensorSpec};

use crate::request::{Failure, TensorIn, TensorOut};

/// An input in the model's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Index into the request's tensors.
    pub given: usize,
    /// Index into the model's inputs.
    pub input: u16,
}

/// Splits `name` or `name:version`; `version` in the options wins only if it agrees.
pub fn model_name<'a>(model: &'a str, version: Option<&'a str>) -> Result<(&'a str, Option<&'a str>), Failure> {
    match (model.split_once(':'), version) {
        (None, version) => Ok((model, version)),
        (Some((name, inside)), None) => Ok((name, Some(inside))),
        (Some((name, inside)), Some(outside)) if inside == outside => Ok((name, Some(inside))),
        (Some((_, inside)), Some(outside)) => {
            Err(Failure::invalid(format!("version: `{outside}` contradicts `{inside}` in the model's name")))
        }
    }
}

/// Pairs the given tensors with the model's inputs and checks every one. Returns them in the model's order.
pub fn tensors(given: &[TensorIn], model: &LoadedModel) -> Result<Vec<Resolved>, Failure> {
    for (at, tensor) in given.iter().enumerate() {
        if !model.inputs.iter().any(|spec| spec.name == tensor.name) {
            return Err(Failure::invalid(format!(
                "inputs: no input `{}`: takes {}",
                shorten(&tensor.name),
                names(&model.inputs)
            )));
        }
        if given.iter().take(at).any(|earlier| earlier.name == tensor.name) {
            return Err(Failure::invalid(format!("inputs: `{}` given twice", tensor.name)));
        }
    }
    let mut resolved = Vec::with_capacity(model.inputs.len());
    for (input, spec) in model.inputs.iter().enumerate() {
        let Some(at) = given.iter().position(|tensor| tensor.name == spec.name) else {
            return Err(Failure::invalid(format!(
                "inputs: `{}` is missing: takes {}",
                spec.name,
                names(&model.inputs)
            )));
        };
        let tensor = given.get(at).ok_or_else(|| Failure::invalid("inputs: empty"))?;
        check_tensor(tensor, spec)?;
        resolved.push(Resolved { given: at, input: u16::try_from(input).unwrap_or(u16::MAX) });
    }
    if model.batched {
        same_batch(given, &resolved)?
    }
    Ok(resolved)
}

/// How many items of the model's batch dimension a request brings; its cost.
pub fn items(given: &[TensorIn], model: &LoadedModel) -> u32 {
    if !model.batched {
        return 1;
    }
    let first = given.first().and_then(|tensor| tensor.shape.first()).copied().unwrap_or(1);
    u32::try_from(first).unwrap_or(1).max(1)
}

/// Whether an answer that another place gave has as many items as its request: where dimension 0 is the batch, of inputs as of outputs.
/// The error names both shapes.
pub fn same_items(given: &[TensorIn], model: &LoadedModel, answer: &[TensorOut]) -> Result<(), String> {
    let Some((input, rows)) = given.iter().find_map(|tensor| Some((tensor, *tensor.shape.first()?))) else {
        return Ok(());
    };
    let is_batch = |name: &str, specs: &[TensorSpec]| {
        model.batched && specs.iter().any(|spec| spec.name == name && spec.shape.first() == Some(&-1))
    };
    if !is_batch(&input.name, &model.inputs) {
        return Ok(());
    }
    let wrong = |tensor: &&TensorOut| is_batch(&tensor.name, &model.outputs) && tensor.shape.first() != Some(&rows);
    match answer.iter().find(wrong) {
        None => Ok(()),
        Some(output) => Err(format!(
            "output `{}`: shape {:?} has another batch than input `{}` with shape {:?}",
            output.name,
            output.shape,
            shorten(&input.name),
            input.shape
        )),
    }
}

fn same_batch(given: &[TensorIn], resolved: &[Resolved]) -> Result<(), Failure> {
    let first = |at: usize| given.get(at).map(|tensor| (tensor.name.as_str(), tensor.shape.first().copied()));
    let mut all = resolved.iter().filter_map(|pair| first(pair.given));
    let Some((one, size)) = all.next() else { return Ok(()) };
    match all.find(|(_, other)| *other != size) {
        Some((other, _)) => Err(Failure::invalid(format!(
            "inputs.{other}.shape: dimension 0 differs from that of `{one}`: takes the same batch for all inputs"
        ))),
        None => Ok(()),
    }
}

fn check_tensor(tensor: &TensorIn, spec: &TensorSpec) -> Result<(), Failure> {
    let name = &spec.name;
    let Some(datatype) = Datatype::from_name(&tensor.datatype) else {
        let text = format!(
            "inputs.{name}.datatype: no datatype `{}`: takes {}",
            shorten(&tensor.datatype),
            spec.datatype.as_str()
        );
        return Err(Failure::invalid(text));
    };
    if datatype != spec.datatype {
        let text = format!("inputs.{name}.datatype: {} given: takes {}", datatype.as_str(), spec.datatype.as_str());
        return Err(Failure::invalid(text));
    }
    if tensor.shape.len() != spec.shape.len() {
        let text = format!(
            "inputs.{name}.shape: {} dimensions given: takes {} {}",
            tensor.shape.len(),
            spec.shape.len(),
            shape(&spec.shape)
        );
        return Err(Failure::invalid(text));
    }
    let mut elements: u64 = 1;
    for (at, (&dim, &fixed)) in tensor.shape.iter().zip(&spec.shape).enumerate() {
        let accepted = if fixed < 0 { "1 or more".to_owned() } else { fixed.to_string() };
        let size = u64::try_from(dim).ok().filter(|size| *size > 0 && (fixed < 0 || dim == fixed));
        let Some(size) = size else {
            let text =
                format!("inputs.{name}.shape[{at}]: {dim} given: takes {accepted}; whole shape {}", shape(&spec.shape));
            return Err(Failure::invalid(text));
        };
        elements = elements.checked_mul(size).filter(|count| *count <= MAX_ELEMENTS).ok_or_else(|| {
            Failure::invalid(format!(
                "inputs.{name}.shape: {} is too many elements: takes at most {MAX_ELEMENTS}",
                shape(&tensor.shape)
            ))
        })?;
    }
    check_length(tensor, datatype, elements)
}

/// More elements than any payload limit lets through; keeps products far from overflow.
const MAX_ELEMENTS: u64 = 1 << 36;

fn check_length(tensor: &TensorIn, datatype: Datatype, elements: u64) -> Result<(), Failure> {
    let (name, given) = (&tensor.name, tensor.data.len());
    if datatype == Datatype::Bytes {
        // Each element carries a length of four bytes before its own; the engine host checks the elements.
        let least = elements.saturating_mul(4);
        return if given >= least {
            Ok(())
        } else {
            Err(Failure::invalid(format!(
                "inputs.{name}.data: {given} bytes given: takes at least {least} for {elements} elements"
            )))
        };
    }
    let expected = elements.saturating_mul(datatype.size() as u64);
    if given == expected {
        return Ok(());
    }
    let (shape, datatype, size) = (shape(&tensor.shape), datatype.as_str(), datatype.size() as u64);
    // Whoever writes JSON counts elements.
    let elements = if given % size == 0 { format!("{} elements, ", given / size) } else { String::new() };
    let takes = expected / size;
    Err(Failure::invalid(format!(
        "inputs.{name}.data: {elements}{given} bytes given: shape {shape} of {datatype} takes {takes} elements, {expected} bytes"
    )))
}

/// `[-1, 3, 48, 192]` with free dimensions as `?`.
pub fn shape(dims: &[i64]) -> String {
    let dims: Vec<String> =
        dims.iter().take(16).map(|&dim| if dim == -1 { "?".into() } else { dim.to_string() }).collect();
    format!("[{}]", dims.join(", "))
}

fn names(specs: &[TensorSpec]) -> String {
    specs
        .iter()
        .map(|spec| format!("`{}` {} {}", spec.name, spec.datatype.as_str(), shape(&spec.shape)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A caller's own word in a message: bounded, and without control characters.
pub fn shorten(word: &str) -> String {
    let clean: String = word.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect();
    if clean.len() < word.len() { format!("{clean}...") } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Blob;

    fn model() -> LoadedModel {
        let spec =
            |name: &str, datatype, shape: &[i64]| TensorSpec { name: name.into(), datatype, shape: shape.into() };
        LoadedModel {
            model: 0,
            load: 1,
            variant: "fp32".into(),
            inputs: vec![spec("x", Datatype::Fp32, &[-1, 3, 4]), spec("y", Datatype::Int64, &[-1, 1])],
            outputs: Vec::new(),
            batched: true,
            most_rows: Some(4),
            profile_rows: u32::MAX,
            max_batch: 4,
            instances: 1,
            content_types: Vec::new(),
            providers: Vec::new(),
            load_ms: 0,
            goldens_passed: 0,
            service_ns: 0,
            memory_bytes: 0,
            trial: None,
        }
    }

    fn tensor(name: &str, datatype: &str, shape: &[i64], bytes: usize) -> TensorIn {
        TensorIn {
            name: name.into(),
            datatype: datatype.into(),
            shape: shape.into(),
            data: Blob::Inline(vec![0; bytes].into()),
        }
    }

    #[test]
    fn an_answer_with_another_batch_than_its_request_is_named_with_both_shapes() {
        let output = |name: &str, shape: &[i64]| TensorOut {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape: shape.into(),
            data: Blob::Inline(Vec::new().into()),
        };
        let spec =
            |name: &str, shape: &[i64]| TensorSpec { name: name.into(), datatype: Datatype::Fp32, shape: shape.into() };
        let batched = LoadedModel { outputs: vec![spec("c", &[-1, 4]), spec("fixed", &[9])], ..model() };
        let given = [tensor("y", "INT64", &[2, 1], 16), tensor("x", "FP32", &[2, 3, 4], 96)];
        for (answer, fault) in [
            (vec![output("c", &[2, 4]), output("fixed", &[9])], None),
            (vec![output("c", &[7, 4])], Some("shape [7, 4] has another batch than input `y` with shape [2, 1]")),
            (vec![output("fixed", &[9]), output("c", &[])], Some("shape [] has another batch")),
            (vec![output("unknown", &[5])], None),
        ] {
            let told = same_items(&given, &batched, &answer);
            assert_eq!(told.is_err(), fault.is_some(), "{told:?}");
            assert!(fault.is_none_or(|part| told.as_ref().unwrap_err().contains(part)), "{told:?}");
        }
        // Boxes that were found, say: their number is no batch.
        let single = LoadedModel { batched: false, ..batched };
        assert_eq!(same_items(&given, &single, &[output("c", &[7, 4])]), Ok(()));
    }

    #[test]
    fn good_inputs_come_back_in_the_models_order() {
        let given = [tensor("y", "INT64", &[2, 1], 16), tensor("x", "FP32", &[2, 3, 4], 96)];
        let resolved = tensors(&given, &model()).unwrap();
        assert_eq!(resolved, [Resolved { given: 1, input: 0 }, Resolved { given: 0, input: 1 }]);
        assert_eq!(items(&given, &model()), 2);
    }

    #[test]
    fn each_fault_names_its_field_and_what_is_taken() {
        let y = || tensor("y", "INT64", &[1, 1], 8);
        for (x, part) in [
            (tensor("z", "FP32", &[1, 3, 4], 48), "no input `z`: takes `x` FP32 [?, 3, 4]"),
            (tensor("y", "INT64", &[1, 1], 8), "`y` given twice"),
            (tensor("x", "FP64", &[1, 3, 4], 96), "inputs.x.datatype: FP64 given: takes FP32"),
            (tensor("x", "float", &[1, 3, 4], 48), "no datatype `float`"),
            (tensor("x", "FP32", &[3, 4], 48), "2 dimensions given: takes 3"),
            (tensor("x", "FP32", &[1, 3, 5], 60), "inputs.x.shape[2]: 5 given: takes 4"),
            (tensor("x", "FP32", &[0, 3, 4], 0), "inputs.x.shape[0]: 0 given: takes 1 or more"),
            (tensor("x", "FP32", &[-1, 3, 4], 48), "inputs.x.shape[0]: -1 given"),
            (tensor("x", "FP32", &[i64::MAX, 3, 4], 48), "too many elements"),
            (
                tensor("x", "FP32", &[1, 3, 4], 47),
                "data: 47 bytes given: shape [1, 3, 4] of FP32 takes 12 elements, 48 bytes",
            ),
            (tensor("x", "FP32", &[1, 3, 4], 12), "data: 3 elements, 12 bytes given"),
            (tensor("x", "FP32", &[1, 3, 4], 49), "49 bytes given"),
            (tensor("x", "FP32", &[2, 3, 4], 96), "dimension 0 differs"),
        ] {
            let failure = tensors(&[x, y()], &model()).unwrap_err();
            assert!(failure.message.contains(part), "{part} in {}", failure.message);
        }
        let failure = tensors(&[y()], &model()).unwrap_err();
        assert!(failure.message.contains("`x` is missing"), "{}", failure.message);
    }

    #[test]
    fn a_version_may_stand_in_the_name_or_beside_it() {
        assert_eq!(model_name("m", None).unwrap(), ("m", None));
        assert_eq!(model_name("m:1.0.0", None).unwrap(), ("m", Some("1.0.0")));
        assert_eq!(model_name("m", Some("1.0.0")).unwrap(), ("m", Some("1.0.0")));
        assert!(model_name("m:1.0.0", Some("2.0.0")).is_err());
    }
}
