//! The array `inputs` of a request, or `outputs` of an answer: named tensors, their data in JSON or behind the header.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::value::{Word, short};
use super::{Data, Place, Raw, Tensor, strict};
use crate::mqtt::tensor::{self, Element};

/// Tensors that one request may bring.
pub(super) const MAX_INPUTS: usize = 256;
/// Dimensions that one tensor may have.
const MAX_RANK: usize = 32;
/// How deep an input lies: body, array, object.
const DEPTH: usize = 3;

/// Whose tensors they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `inputs`, which a client wrote for us: what is not known is a mistake.
    Request,
    /// `outputs` of a server, which may say more than the protocol has, and nest its arrays.
    Answer,
}

impl Side {
    pub(super) fn key(self) -> &'static str {
        match self {
            Side::Request => "inputs",
            Side::Answer => "outputs",
        }
    }

    fn one(self) -> &'static str {
        match self {
            Side::Request => "input",
            Side::Answer => "output",
        }
    }
}

/// Reads all tensors.
pub(super) struct Inputs<'p> {
    pub(super) side: Side,
    pub(super) place: &'p Place,
    pub(super) raw: Option<Raw>,
}

impl<'de> DeserializeSeed<'de> for Inputs<'_> {
    type Value = Vec<Tensor>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Tensor>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Inputs<'_> {
    type Value = Vec<Tensor>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of tensors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Tensor>, A::Error> {
        let mut tensors = Vec::new();
        let mut used = 0;
        loop {
            self.place.input.set(Some(tensors.len()));
            self.place.part.set("");
            let one = OneInput { side: self.side, place: self.place, raw: self.raw, used: &mut used };
            match items.next_element_seed(one)? {
                Some(tensor) if tensors.len() < MAX_INPUTS => tensors.push(tensor),
                Some(_) => {
                    return Err(de::Error::custom(format_args!("more than {MAX_INPUTS} {}", self.side.key())));
                }
                None => break,
            }
        }
        self.place.enter(self.side.key());
        if let Some(raw) = self.raw
            && used != raw.len
        {
            let left = raw.len - used;
            return Err(de::Error::custom(format_args!("{left} bytes are left after the last {}", self.side.one())));
        }
        Ok(tensors)
    }
}

/// Reads one input.
struct OneInput<'p> {
    side: Side,
    place: &'p Place,
    raw: Option<Raw>,
    /// Bytes of the binary part that are taken.
    used: &'p mut usize,
}

impl<'de> DeserializeSeed<'de> for OneInput<'_> {
    type Value = Tensor;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Tensor, D::Error> {
        from.deserialize_map(self)
    }
}

/// Data that came before their datatype wait as text.
enum Early<'de> {
    Nothing,
    Text(&'de RawValue),
    Read(Vec<u8>),
}

impl<'de> Visitor<'de> for OneInput<'_> {
    type Value = Tensor;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with name, datatype, shape and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensor, A::Error> {
        let (mut name, mut datatype, mut shape, mut size) = (None, None, None, None);
        let mut data = Early::Nothing;
        let mut parameters = false;
        while let Some(Word(key)) = map.next_key()? {
            let twice = match key.as_ref() {
                "name" => {
                    self.place.part.set("name");
                    name.replace(map.next_value::<Word<'de>>()?.0.into_owned()).is_some()
                }
                "datatype" => {
                    self.place.part.set("datatype");
                    let Word(word) = map.next_value()?;
                    let element = Element::from_name(&word).ok_or_else(|| unknown_datatype(&word))?;
                    datatype.replace(element).is_some()
                }
                "shape" => {
                    self.place.part.set("shape");
                    shape.replace(map.next_value_seed(Shape { place: self.place })?).is_some()
                }
                "data" => {
                    self.place.part.set("data");
                    let before = !matches!(data, Early::Nothing);
                    data = match datatype {
                        Some(element) => Early::Read(map.next_value_seed(self.seed(element))?),
                        None => Early::Text(map.next_value()?),
                    };
                    before
                }
                "parameters" => {
                    self.place.part.set("parameters");
                    size = match self.side {
                        Side::Request => map.next_value::<Parameters>()?.binary_data_size,
                        // Some servers write null where there is nothing.
                        Side::Answer => map.next_value::<Option<Parameters>>()?.unwrap_or_default().binary_data_size,
                    };
                    std::mem::replace(&mut parameters, true)
                }
                _ if self.side == Side::Answer => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
                other => {
                    let text = format_args!("unknown key \"{}\"", short(other)).to_string();
                    self.place.part.set("");
                    return Err(de::Error::custom(text));
                }
            };
            self.place.part.set("");
            if twice {
                return Err(de::Error::custom(format_args!("key \"{}\" is given twice", short(&key))));
            }
        }
        let name = name.ok_or_else(|| de::Error::missing_field("name"))?;
        let element = datatype.ok_or_else(|| de::Error::missing_field("datatype"))?;
        let shape = shape.ok_or_else(|| de::Error::missing_field("shape"))?;
        let data = self.data(data, size, element)?;
        Ok(Tensor { name, datatype: element.as_str().to_owned(), shape, data })
    }
}

impl<'p> OneInput<'p> {
    fn seed(&self, element: Element) -> tensor::Data<'p> {
        tensor::Data { element, place: self.place, nested: self.side == Side::Answer }
    }

    fn data<E: de::Error>(self, data: Early<'_>, size: Option<u64>, element: Element) -> Result<Data, E> {
        let Some(size) = size else {
            self.place.part.set("data");
            return match data {
                Early::Read(bytes) => Ok(Data::Owned(bytes)),
                Early::Text(text) => {
                    let mut from = serde_json::Deserializer::from_str(text.get());
                    self.seed(element).deserialize(&mut from).map(Data::Owned).map_err(E::custom)
                }
                Early::Nothing => {
                    self.place.part.set("");
                    Err(E::missing_field("data"))
                }
            };
        };
        self.place.part.set("parameters.binary_data_size");
        if !matches!(data, Early::Nothing) {
            return Err(E::custom("given besides data: a tensor has one or the other"));
        }
        let Some(raw) = self.raw else {
            return Err(E::custom(match self.side {
                Side::Request => "needs the user property inference_header_content_length and the bytes behind it",
                Side::Answer => "needs the header Inference-Header-Content-Length and the bytes behind the JSON",
            }));
        };
        let left = raw.len - *self.used;
        let size = usize::try_from(size)
            .ok()
            .filter(|size| *size <= left)
            .ok_or_else(|| E::custom(format_args!("{size} bytes, but {left} are left behind the header")))?;
        let start = raw.start + *self.used;
        *self.used += size;
        self.place.part.set("");
        Ok(Data::Range(start..start + size))
    }
}

fn unknown_datatype<E: de::Error>(word: &str) -> E {
    E::custom(format_args!("\"{}\" is none of {}", short(word), Element::names()))
}

/// Reads a shape.
struct Shape<'p> {
    place: &'p Place,
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = Vec<i64>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<i64>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Vec<i64>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of whole numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<i64>, A::Error> {
        let mut shape = Vec::new();
        loop {
            self.place.enter_element(shape.len());
            match items.next_element::<i64>()? {
                Some(size) if shape.len() < MAX_RANK => shape.push(size),
                Some(_) => return Err(de::Error::custom(format_args!("more than {MAX_RANK} dimensions"))),
                None => break,
            }
        }
        self.place.leave_element();
        Ok(shape)
    }
}

/// `parameters` of an input; only the size of binary data is read.
#[derive(Default)]
struct Parameters {
    binary_data_size: Option<u64>,
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Known {
            #[serde(default)]
            binary_data_size: Option<u64>,
        }
        let raw: &'de RawValue = Deserialize::deserialize(from)?;
        strict::check(raw.get(), DEPTH)?;
        match serde_json::from_str::<Known>(raw.get()) {
            Ok(known) => Ok(Parameters { binary_data_size: known.binary_data_size }),
            Err(fault) => Err(de::Error::custom(format_args!("binary_data_size takes a number of bytes: {fault}"))),
        }
    }
}
