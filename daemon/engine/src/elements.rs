//! Tensors in files of JSON, as golden inputs and answers are: `{"tensors": [{"name", "shape", "data"}]}`. Their elements as bytes, and
//! bytes as numbers to compare. Knows nothing of models.

use serde::Deserialize;
use serde_json::Value;

use crate::media::half;
use crate::protocol::Datatype;
use crate::tensor;

/// A file of tensors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensors {
    pub tensors: Vec<Named>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
    pub shape: Vec<i64>,
    /// Flat, row by row.
    pub data: Vec<Value>,
}

/// Elements as the bytes of a tensor; what cannot be one is named.
pub fn bytes(datatype: Datatype, elements: &[Value]) -> Result<Vec<u8>, String> {
    if datatype == Datatype::Bytes {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let strings = elements.iter().map(text).collect::<Option<Vec<_>>>();
        return strings.map(|strings| tensor::prefixed(&strings)).ok_or_else(|| "an element is no string".into());
    }
    let mut bytes = Vec::with_capacity(elements.len() * datatype.size());
    for value in elements {
        let element = element(datatype, value);
        bytes.extend(element.ok_or_else(|| format!("{value} is no {} that a file can hold", datatype.as_str()))?);
    }
    Ok(bytes)
}

fn element(datatype: Datatype, value: &Value) -> Option<Vec<u8>> {
    let (signed, unsigned) = (value.as_i64(), value.as_u64());
    #[expect(clippy::cast_possible_truncation, reason = "a number in decimal is rounded to what the tensor holds")]
    let single = || value.as_f64().map(|number| number as f32);
    Some(match datatype {
        Datatype::Bool => vec![u8::from(value.as_bool()?)],
        Datatype::Uint8 => u8::try_from(unsigned?).ok()?.to_ne_bytes().to_vec(),
        Datatype::Uint16 => u16::try_from(unsigned?).ok()?.to_ne_bytes().to_vec(),
        Datatype::Uint32 => u32::try_from(unsigned?).ok()?.to_ne_bytes().to_vec(),
        Datatype::Uint64 => unsigned?.to_ne_bytes().to_vec(),
        Datatype::Int8 => i8::try_from(signed?).ok()?.to_ne_bytes().to_vec(),
        Datatype::Int16 => i16::try_from(signed?).ok()?.to_ne_bytes().to_vec(),
        Datatype::Int32 => i32::try_from(signed?).ok()?.to_ne_bytes().to_vec(),
        Datatype::Int64 => signed?.to_ne_bytes().to_vec(),
        Datatype::Fp16 => half::from_f32(single()?).to_ne_bytes().to_vec(),
        Datatype::Fp32 => single()?.to_ne_bytes().to_vec(),
        Datatype::Fp64 => value.as_f64()?.to_ne_bytes().to_vec(),
        Datatype::Bf16 | Datatype::Bytes => return None,
    })
}

/// Bytes as numbers, to compare; `None` for text.
pub fn numbers(datatype: Datatype, bytes: &[u8]) -> Option<Vec<f64>> {
    #[expect(clippy::cast_precision_loss, reason = "both sides are rounded alike")]
    let number = |element: &[u8]| -> Option<f64> {
        Some(match datatype {
            Datatype::Bool | Datatype::Uint8 => f64::from(*element.first()?),
            Datatype::Uint16 => f64::from(u16::from_ne_bytes(element.try_into().ok()?)),
            Datatype::Uint32 => f64::from(u32::from_ne_bytes(element.try_into().ok()?)),
            Datatype::Uint64 => u64::from_ne_bytes(element.try_into().ok()?) as f64,
            Datatype::Int8 => f64::from(i8::from_ne_bytes(element.try_into().ok()?)),
            Datatype::Int16 => f64::from(i16::from_ne_bytes(element.try_into().ok()?)),
            Datatype::Int32 => f64::from(i32::from_ne_bytes(element.try_into().ok()?)),
            Datatype::Int64 => i64::from_ne_bytes(element.try_into().ok()?) as f64,
            Datatype::Fp16 => half::to_f32(u16::from_ne_bytes(element.try_into().ok()?)).into(),
            Datatype::Fp32 => f64::from(f32::from_ne_bytes(element.try_into().ok()?)),
            Datatype::Fp64 => f64::from_ne_bytes(element.try_into().ok()?),
            // The upper half of an FP32 number.
            Datatype::Bf16 => f32::from_bits(u32::from(u16::from_ne_bytes(element.try_into().ok()?)) << 16).into(),
            Datatype::Bytes => return None,
        })
    };
    bytes.chunks(datatype.size().max(1)).map(number).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_datatype_of_numbers_is_read_as_it_is_written() {
        for datatype in [Datatype::Uint8, Datatype::Uint16, Datatype::Uint32, Datatype::Uint64, Datatype::Int8]
            .into_iter()
            .chain([Datatype::Int16, Datatype::Int32, Datatype::Int64, Datatype::Fp16, Datatype::Fp32, Datatype::Fp64])
        {
            let bytes = bytes(datatype, &[json!(7), json!(1)]).unwrap();
            assert_eq!(bytes.len(), 2 * datatype.size(), "{datatype:?}");
            assert_eq!(numbers(datatype, &bytes), Some(vec![7.0, 1.0]), "{datatype:?}");
        }
        assert_eq!(numbers(Datatype::Bf16, &[0x80, 0x3f]), Some(vec![1.0]));
        assert_eq!(numbers(Datatype::Bytes, &[0]), None);
        assert!(numbers(Datatype::Fp32, &f32::NAN.to_ne_bytes()).unwrap()[0].is_nan());
    }

    #[test]
    fn what_is_no_element_is_named() {
        for (datatype, value, said) in [
            (Datatype::Uint8, json!(256), "256 is no UINT8"),
            (Datatype::Fp32, json!("x"), "\"x\" is no FP32"),
            (Datatype::Bf16, json!(1), "1 is no BF16"),
            (Datatype::Bytes, json!(1), "an element is no string"),
        ] {
            assert!(bytes(datatype, &[value]).unwrap_err().contains(said), "{said}");
        }
        assert_eq!(bytes(Datatype::Bytes, &[json!("ab")]), Ok(vec![2, 0, 0, 0, b'a', b'b']));
    }
}
