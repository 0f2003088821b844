//! Requests and answers as a caller sees them, the same for every transport.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// One named tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub name: String,
    pub datatype: String,
    pub shape: Vec<i64>,
    pub data: Vec<u8>,
}

impl Tensor {
    /// A tensor of raw bytes.
    pub fn new(name: &str, datatype: &str, shape: &[i64], data: Vec<u8>) -> Tensor {
        Tensor { name: name.into(), datatype: datatype.into(), shape: shape.to_vec(), data }
    }

    /// A tensor of floats.
    pub fn fp32(name: &str, shape: &[i64], values: &[f32]) -> Tensor {
        Tensor::new(name, "FP32", shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of 32-bit integers.
    pub fn int32(name: &str, shape: &[i64], values: &[i32]) -> Tensor {
        Tensor::new(name, "INT32", shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A tensor of 64-bit integers.
    pub fn int64(name: &str, shape: &[i64], values: &[i64]) -> Tensor {
        Tensor::new(name, "INT64", shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Its elements as floats.
    pub fn floats(&self) -> Result<Vec<f32>> {
        ensure!(self.datatype == "FP32", "{} is {}, not FP32", self.name, self.datatype);
        self.data.chunks(4).map(|raw| Ok(f32::from_le_bytes(raw.try_into()?))).collect()
    }

    /// As the JSON body has it.
    pub fn to_json(&self) -> Result<Value> {
        let data = numbers(&self.datatype, &self.data)?;
        Ok(json!({"name": self.name, "datatype": self.datatype, "shape": self.shape, "data": data}))
    }

    /// From a JSON reply.
    pub fn from_json(value: &Value) -> Result<Tensor> {
        let text = |key: &str| value[key].as_str().with_context(|| format!("no {key} in {value}")).map(str::to_owned);
        let datatype = text("datatype")?;
        let list = |key: &str| value[key].as_array().with_context(|| format!("no {key} in {value}"));
        let shape = list("shape")?.iter().map(|n| n.as_i64().context("a dimension")).collect::<Result<_>>()?;
        let data = raw(&datatype, list("data")?)?;
        Ok(Tensor { name: text("name")?, datatype, shape, data })
    }
}

/// A "no": the contract's word and the message for a human.
#[derive(Clone, Debug, PartialEq)]
pub struct No {
    pub code: String,
    pub message: String,
}

/// A "yes": tensors or a document, and what came with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Yes {
    pub outputs: Vec<Tensor>,
    pub document: Value,
    pub info: Value,
}

impl Yes {
    /// A warning that mentions all of these words.
    pub fn warns(&self, words: &[&str]) -> bool {
        let warnings = self.info["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().filter_map(Value::as_str).any(|text| words.iter().all(|word| text.contains(word)))
    }

    /// The output called `name`.
    pub fn output(&self, name: &str) -> Result<&Tensor> {
        self.outputs.iter().find(|tensor| tensor.name == name).with_context(|| format!("no output {name} in {self:?}"))
    }
}

/// What a request came to. A broken transport is not an outcome, but the error around it.
pub type Outcome = Result<Yes, No>;

/// Options by their contract names.
pub type Options = Map<String, Value>;

/// Options from `json!({..})`; `Value::Null` is none.
pub fn options(value: Value) -> Options {
    match value {
        Value::Object(map) => map,
        _ => Options::new(),
    }
}

/// Asserts a "no" with this code whose message mentions these words.
pub fn expect_no(what: &str, outcome: &Outcome, code: &str, mentions: &[&str]) -> Result<()> {
    match outcome {
        Ok(yes) => bail!("{what}: wanted {code}, was answered {yes:?}"),
        Err(no) => {
            ensure!(no.code == code, "{what}: wanted {code}, got {}: {}", no.code, no.message);
            let text = no.message.to_lowercase();
            for word in mentions {
                ensure!(
                    text.contains(&word.to_lowercase()),
                    "{what}: the message does not mention {word:?}: {}",
                    no.message
                );
            }
            Ok(())
        }
    }
}

/// Asserts a "yes".
pub fn expect_yes(what: &str, outcome: Outcome) -> Result<Yes> {
    outcome.map_err(|no| anyhow::anyhow!("{what}: refused with {}: {}", no.code, no.message))
}

/// Same names, types and shapes; numbers within 2% of the largest one, or of 1.
pub fn alike(what: &str, found: &[Tensor], wanted: &[Tensor]) -> Result<()> {
    ensure!(found.len() == wanted.len(), "{what}: {} outputs", found.len());
    for (found, wanted) in found.iter().zip(wanted) {
        ensure!(found.name == wanted.name && found.shape == wanted.shape, "{what}: {found:?} instead of {wanted:?}");
        let (ours, theirs) = (found.floats()?, wanted.floats()?);
        let scale = theirs.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        ensure!(worst <= 0.02 * scale, "{what}: {} is off by {worst}", found.name);
    }
    Ok(())
}

/// Raw little-endian bytes as JSON numbers; bytes that make no whole element are left out.
fn numbers(datatype: &str, data: &[u8]) -> Result<Vec<Value>> {
    fn each<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> Value) -> Vec<Value> {
        data.chunks_exact(N).filter_map(|raw| raw.try_into().ok()).map(read).collect()
    }
    Ok(match datatype {
        "BOOL" => each(data, |raw: [u8; 1]| json!(raw != [0])),
        "UINT8" => each(data, |raw| json!(u8::from_le_bytes(raw))),
        "INT32" => each(data, |raw| json!(i32::from_le_bytes(raw))),
        "INT64" => each(data, |raw| json!(i64::from_le_bytes(raw))),
        "FP32" => each(data, |raw| json!(f32::from_le_bytes(raw))),
        "FP64" => each(data, |raw| json!(f64::from_le_bytes(raw))),
        // Whatever a test writes there, as it is.
        _ => each(data, |raw| json!(u8::from_le_bytes(raw))),
    })
}

fn raw(datatype: &str, values: &[Value]) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    for value in values {
        match datatype {
            "BOOL" => data.push(u8::from(value.as_bool().context("a truth value")?)),
            "UINT8" => data.push(u8::try_from(value.as_u64().context("a number")?)?),
            "INT32" => data.extend(i32::try_from(value.as_i64().context("a number")?)?.to_le_bytes()),
            "INT64" => data.extend(value.as_i64().context("a number")?.to_le_bytes()),
            "FP32" => data.extend(single(value.as_f64().context("a number")?).to_le_bytes()),
            "FP64" => data.extend(value.as_f64().context("a number")?.to_le_bytes()),
            other => bail!("this test client does not read {other} from JSON"),
        }
    }
    Ok(data)
}

#[expect(clippy::cast_possible_truncation, reason = "rounding a double to the single that it was printed from")]
fn single(value: f64) -> f32 {
    value as f32
}
