//! Numbers of a tensor between JSON and little-endian bytes, by their Open Inference Protocol v2 datatype.
//!
//! An element is checked against the range of its datatype as it is read, and goes straight into the tensor's bytes;
//! no tree of JSON values is built in between.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::body::Place;

/// Below this, every whole number has a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Element types that JSON data can be given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `true`, `false`, 1 or 0.
    Bool,
    /// An integer: is it signed, and its size in bytes.
    Int {
        /// Whether it can be negative.
        signed: bool,
        /// 1, 2, 4 or 8.
        bytes: usize,
    },
    /// IEEE 754 half precision.
    Fp16,
    /// The upper half of single precision.
    Bf16,
    /// IEEE 754 single precision.
    Fp32,
    /// IEEE 754 double precision.
    Fp64,
    /// Text or bytes with a length (u32, little-endian) in front.
    Bytes,
}

impl Element {
    const NAMES: [(&'static str, Element); 14] = [
        ("BOOL", Element::Bool),
        ("UINT8", Element::Int { signed: false, bytes: 1 }),
        ("UINT16", Element::Int { signed: false, bytes: 2 }),
        ("UINT32", Element::Int { signed: false, bytes: 4 }),
        ("UINT64", Element::Int { signed: false, bytes: 8 }),
        ("INT8", Element::Int { signed: true, bytes: 1 }),
        ("INT16", Element::Int { signed: true, bytes: 2 }),
        ("INT32", Element::Int { signed: true, bytes: 4 }),
        ("INT64", Element::Int { signed: true, bytes: 8 }),
        ("FP16", Element::Fp16),
        ("BF16", Element::Bf16),
        ("FP32", Element::Fp32),
        ("FP64", Element::Fp64),
        ("BYTES", Element::Bytes),
    ];

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Element> {
        Self::NAMES.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// The protocol's name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|row| row.1 == self).map_or("", |row| row.0)
    }

    /// Every name, for messages.
    pub fn names() -> String {
        Self::NAMES.map(|row| row.0).join(", ")
    }

    /// Smallest and largest integer of the type.
    fn range(self) -> (i128, i128) {
        match self {
            Element::Bool => (0, 1),
            Element::Int { signed: true, bytes } => (-(1_i128 << (8 * bytes - 1)), (1_i128 << (8 * bytes - 1)) - 1),
            Element::Int { signed: false, bytes } => (0, (1_i128 << (8 * bytes)) - 1),
            Element::Fp16 | Element::Bf16 | Element::Fp32 | Element::Fp64 | Element::Bytes => (0, 0),
        }
    }

    fn takes(self) -> String {
        match self {
            Element::Bool => "true, false, 1 or 0".into(),
            Element::Int { .. } => {
                let (least, most) = self.range();
                format!("whole numbers from {least} to {most}")
            }
            Element::Fp16 => "numbers from -65504 to 65504".into(),
            Element::Bf16 | Element::Fp32 => "numbers within +-3.4e38".into(),
            Element::Fp64 => "numbers within +-1.8e308".into(),
            Element::Bytes => "texts".into(),
        }
    }
}

/// Reads a flat JSON array into bytes; the place is kept up to date, so that a fault can be named.
pub(super) struct Data<'p> {
    pub(super) element: Element,
    pub(super) place: &'p Place,
    /// Whether arrays inside the array are taken, as some servers answer.
    pub(super) nested: bool,
}

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Data<'_> {
    type Value = Vec<u8>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a flat array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        let mut index = 0_usize;
        self.place.enter_element(index);
        let (element, nested) = (self.element, self.nested);
        while items.next_element_seed(Push { element, nested, into: &mut bytes })?.is_some() {
            index += 1;
            self.place.enter_element(index);
        }
        self.place.leave_element();
        Ok(bytes)
    }
}

/// Appends one element.
struct Push<'b> {
    element: Element,
    nested: bool,
    into: &'b mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Push<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl Push<'_> {
    fn integer<E: de::Error>(self, value: i128) -> Result<(), E> {
        match self.element {
            Element::Bool | Element::Int { .. } => {
                let (least, most) = self.element.range();
                if value < least || value > most {
                    return Err(out_of_range(value, self.element));
                }
                let size = if let Element::Int { bytes, .. } = self.element { bytes } else { 1 };
                // Two's complement: the low bytes are those of the smaller type, as the range was checked above.
                self.into.extend_from_slice(&value.to_le_bytes()[..size]);
                Ok(())
            }
            Element::Fp16 | Element::Bf16 | Element::Fp32 | Element::Fp64 =>
            {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a float takes the nearest value, as the sender's own would"
                )]
                self.float(value as f64)
            }
            Element::Bytes => Err(wrong_kind("a number", self.element)),
        }
    }

    fn float<E: de::Error>(self, value: f64) -> Result<(), E> {
        match self.element {
            Element::Fp64 => self.into.extend_from_slice(&value.to_le_bytes()),
            Element::Fp32 => self.into.extend_from_slice(&single(value, self.element)?.to_le_bytes()),
            Element::Bf16 => {
                let rounded = bf16_bits(single(value, self.element)?);
                if rounded & 0x7FFF >= 0x7F80 {
                    return Err(out_of_range(value, self.element));
                }
                self.into.extend_from_slice(&rounded.to_le_bytes());
            }
            Element::Fp16 => {
                let rounded = f16_bits(value);
                if rounded & 0x7FFF >= 0x7C00 {
                    return Err(out_of_range(value, self.element));
                }
                self.into.extend_from_slice(&rounded.to_le_bytes());
            }
            // Some writers put a point into every number, and a whole number beyond 64 bits is met here too.
            Element::Bool | Element::Int { .. } if value.fract() == 0.0 && value.abs() < EXACT => {
                #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
                return self.integer(i128::from(value as i64));
            }
            Element::Bool | Element::Int { .. } if value.fract() == 0.0 => {
                return Err(out_of_range(value, self.element));
            }
            Element::Bool | Element::Int { .. } => return Err(wrong_kind("a number with a fraction", self.element)),
            Element::Bytes => return Err(wrong_kind("a number", self.element)),
        }
        Ok(())
    }
}

fn single<E: de::Error>(value: f64, element: Element) -> Result<f32, E> {
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest single; infinity is refused below")]
    let rounded = value as f32;
    if rounded.is_finite() { Ok(rounded) } else { Err(out_of_range(value, element)) }
}

fn out_of_range<E: de::Error>(value: impl fmt::Display, element: Element) -> E {
    E::custom(format_args!("{value} is out of range: {} takes {}", element.as_str(), element.takes()))
}

fn wrong_kind<E: de::Error>(kind: &str, element: Element) -> E {
    E::custom(format_args!("{kind} where {} takes {}", element.as_str(), element.takes()))
}

impl<'de> Visitor<'de> for Push<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.element.takes())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match self.element {
            Element::Bool => {
                self.into.push(u8::from(value));
                Ok(())
            }
            _ => Err(wrong_kind("true or false", self.element)),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.float(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        match self.element {
            Element::Bytes => {
                let len = u32::try_from(value.len()).map_err(|_| E::custom("a text of more than 4 GiB"))?;
                self.into.extend_from_slice(&len.to_le_bytes());
                self.into.extend_from_slice(value.as_bytes());
                Ok(())
            }
            _ => Err(wrong_kind("a text", self.element)),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Err(wrong_kind("null", self.element))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.nested {
            return Err(de::Error::custom("an array inside the array: data are flat, in row-major order"));
        }
        // How deep that may go is bounded by the JSON reader.
        let Push { element, nested, into } = self;
        while items.next_element_seed(Push { element, nested, into: &mut *into })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(wrong_kind("an object", self.element))
    }
}

/// Writes `data` as a flat JSON array. Not-a-number and infinities, which JSON lacks, become `null`; bytes that are no
/// UTF-8 get replacement characters. An unknown datatype or bytes that do not fill its elements give `null`.
pub fn write_data(out: &mut Vec<u8>, element: Option<Element>, data: &[u8]) {
    match element {
        Some(Element::Bool) => list(out, data, |out, [byte]: [u8; 1]| {
            out.extend_from_slice(if byte == 0 { b"false" } else { b"true" });
        }),
        Some(Element::Int { signed: true, bytes: 1 }) => list(out, data, |out, b| put(out, i8::from_le_bytes(b))),
        Some(Element::Int { signed: true, bytes: 2 }) => list(out, data, |out, b| put(out, i16::from_le_bytes(b))),
        Some(Element::Int { signed: true, bytes: 4 }) => list(out, data, |out, b| put(out, i32::from_le_bytes(b))),
        Some(Element::Int { signed: true, .. }) => list(out, data, |out, b| put(out, i64::from_le_bytes(b))),
        Some(Element::Int { signed: false, bytes: 1 }) => list(out, data, |out, b| put(out, u8::from_le_bytes(b))),
        Some(Element::Int { signed: false, bytes: 2 }) => list(out, data, |out, b| put(out, u16::from_le_bytes(b))),
        Some(Element::Int { signed: false, bytes: 4 }) => list(out, data, |out, b| put(out, u32::from_le_bytes(b))),
        Some(Element::Int { signed: false, .. }) => list(out, data, |out, b| put(out, u64::from_le_bytes(b))),
        Some(Element::Fp16) => list(out, data, |out, b| put(out, f16_value(u16::from_le_bytes(b)))),
        Some(Element::Bf16) => {
            list(out, data, |out, b| put(out, f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)));
        }
        Some(Element::Fp32) => list(out, data, |out, b| put(out, f32::from_le_bytes(b))),
        Some(Element::Fp64) => list(out, data, |out, b| put(out, f64::from_le_bytes(b))),
        Some(Element::Bytes) => texts(out, data),
        None => out.extend_from_slice(b"null"),
    }
}

fn list<const N: usize>(out: &mut Vec<u8>, data: &[u8], mut each: impl FnMut(&mut Vec<u8>, [u8; N])) {
    let (elements, rest) = data.as_chunks::<N>();
    if !rest.is_empty() {
        return out.extend_from_slice(b"null");
    }
    out.push(b'[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        each(out, *element);
    }
    out.push(b']');
}

fn put(out: &mut Vec<u8>, value: impl serde::Serialize) {
    // A number into a vector: neither the writer nor the value can fail.
    drop(serde_json::to_writer(out, &value));
}

fn texts(out: &mut Vec<u8>, mut data: &[u8]) {
    out.push(b'[');
    let mut first = true;
    while let Some((len, rest)) = data.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let Some((text, rest)) = rest.split_at_checked(len) else { break };
        if !first {
            out.push(b',');
        }
        first = false;
        put(out, String::from_utf8_lossy(text));
        data = rest;
    }
    out.push(b']');
}

/// The nearest half-precision number, ties to even; infinity when it is too large.
fn f16_bits(value: f64) -> u16 {
    let bits = value.to_bits();
    let sign = u16::try_from(bits >> 63).unwrap_or(0) << 15;
    let magnitude = value.abs();
    if magnitude.is_nan() {
        return sign | 0x7E00;
    }
    // Half an ulp above the largest finite value: from here on the nearest number is infinity.
    if magnitude >= 65_520.0 {
        return sign | 0x7C00;
    }
    // Scale so that one unit is the spacing of half-precision numbers at this magnitude, then round once.
    let exponent = i32::try_from((magnitude.to_bits() >> 52) & 0x7FF).unwrap_or(0) - 1023;
    let exponent = exponent.max(-14);
    let units = (magnitude * 2_f64.powi(10 - exponent)).round_ties_even();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2048")]
    let units = units as u16;
    let biased = u16::try_from(exponent + 14).unwrap_or(0);
    // The implicit bit of a normal number carries into the exponent, as does rounding up to the next power of two.
    sign | (biased << 10).wrapping_add(units)
}

fn f16_value(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1F);
    let fraction = f32::from(bits & 0x3FF);
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

/// The nearest number of the upper half of single precision, ties to even.
fn bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    u16::try_from(rounded >> 16).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_number_survives_both_ways() {
        for bits in 0..=u16::MAX {
            let value = f16_value(bits);
            if value.is_finite() {
                assert_eq!(f16_bits(f64::from(value)), bits, "{value}");
            }
        }
    }

    #[test]
    fn half_precision_rounds_to_the_nearest_and_ties_to_even() {
        let cases = [
            (1.0 + 1.0 / 2048.0, 0x3C00),
            (1.0 + 3.0 / 2048.0, 0x3C02),
            (2047.9999, 0x6800),
            (65_519.9, 0x7BFF),
            (65_520.0, 0x7C00),
            (2_f64.powi(-25), 0x0000),
            (2_f64.powi(-25) * 1.01, 0x0001),
            (1e-300, 0x0000),
            (-0.0, 0x8000),
        ];
        for (value, bits) in cases {
            assert_eq!(f16_bits(value), bits, "{value}");
        }
    }

    #[test]
    fn what_json_lacks_is_null_and_what_does_not_fit_is_null() {
        let mut out = Vec::new();
        let data: Vec<u8> = [1.5_f32, f32::NAN, f32::INFINITY].iter().flat_map(|value| value.to_le_bytes()).collect();
        write_data(&mut out, Some(Element::Fp32), &data);
        assert_eq!(out, b"[1.5,null,null]");
        out.clear();
        write_data(&mut out, Some(Element::Fp32), &data[..5]);
        assert_eq!(out, b"null");
        out.clear();
        write_data(&mut out, Some(Element::Bytes), b"\x02\0\0\0hi\x01\0\0\0\xFF\x09\0\0\0short");
        assert_eq!(String::from_utf8(out).unwrap(), "[\"hi\",\"\u{FFFD}\"]");
    }
}
