//! The arguments of the inference methods, read in place from the message: no copy of a tensor, no map of options.
//!
//! Bounds what a message may hold before memory is spent on it; knows D-Bus types only, no model.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zbus::{Message, OwnedFd, Signature, Type, Variant};

use crate::request::{Failure, Options};
use crate::transport::options::{Parser, Value};

/// The bus passes no more descriptors with one message, and private connections keep to the same.
pub const MAX_FDS: u32 = 16;
/// No model has more inputs, so nobody needs to list more.
const MAX_INPUTS: usize = 256;
/// No tensor has more dimensions.
const MAX_DIMENSIONS: usize = 64;

/// `(ssatay)`.
#[derive(Debug, Deserialize, Type)]
pub struct InlineTensor<'m> {
    pub name: &'m str,
    pub datatype: &'m str,
    pub shape: Short<u64, MAX_DIMENSIONS>,
    #[serde(with = "serde_bytes")]
    pub data: &'m [u8],
}

/// `(ssathtt)`.
#[derive(Debug, Deserialize, Type)]
pub struct FdTensor<'m> {
    pub name: &'m str,
    pub datatype: &'m str,
    pub shape: Short<u64, MAX_DIMENSIONS>,
    /// Ours: the message closes its own copy.
    pub fd: OwnedFd,
    pub offset: u64,
    pub length: u64,
}

/// Arguments of `Infer`.
pub type Infer<'m> = (&'m str, Short<InlineTensor<'m>, MAX_INPUTS>, Given);
/// Arguments of `InferFd`.
pub type InferFd<'m> = (&'m str, Short<FdTensor<'m>, MAX_INPUTS>, Given);
/// Arguments of `InferEncoded` and `Submit`.
pub type Encoded<'m> = (&'m str, &'m str, OwnedFd, Given);

/// Arguments of `Generate`.
pub type Chat<'m> = (&'m str, &'m str, Given);

/// The arguments of a call, or `invalid_input` with what is wrong with them.
pub fn read<'m, T: Deserialize<'m> + Type>(method: &str, body: &'m zbus::message::Body) -> Result<T, Failure> {
    if *body.signature() != *T::SIGNATURE {
        let (got, takes) = (body.signature().to_string_no_parens(), T::SIGNATURE.to_string_no_parens());
        return Err(Failure::invalid(format!(
            "{method} was called with arguments of type \"{got}\"; it takes {takes}"
        )));
    }
    body.deserialize_ignore_signature::<T>().map_err(|error| {
        let why = match error {
            zbus::Error::Failure(text) => text,
            zbus::Error::UnknownFd => "a descriptor that did not come with the message".into(),
            other => other.to_string(),
        };
        Failure::invalid(format!("the arguments of {method}: {why}"))
    })
}

/// Refuses a message that is too long, or has too many descriptors, to be a call of an inference method.
pub fn check_size(message: &Message, max_bytes: u64) -> Result<(), Failure> {
    /// Names, shapes and options beside the tensors.
    const SLACK: u64 = 64 << 10;
    let bytes = u64::from(message.primary_header().body_len());
    if bytes > max_bytes.saturating_add(SLACK) {
        return Err(too_large_inline(bytes, max_bytes));
    }
    match message.header().unix_fds().unwrap_or(0) {
        0..=MAX_FDS => Ok(()),
        more => Err(Failure::invalid(format!("a call with {more} descriptors; it takes at most {MAX_FDS}"))),
    }
}

/// `too_large` for tensors inside a message.
pub fn too_large_inline(bytes: u64, max_bytes: u64) -> Failure {
    Failure::new(
        edge_wire::error::ErrorCode::TooLarge,
        format!("{bytes} bytes in one message; it takes at most {max_bytes}, use InferFd for more"),
    )
}

/// An array of at most `MOST` elements.
#[derive(Debug, PartialEq, Eq)]
pub struct Short<T, const MOST: usize>(pub Vec<T>);

impl<T: Type, const MOST: usize> Type for Short<T, MOST> {
    const SIGNATURE: &'static Signature = &Signature::static_array(T::SIGNATURE);
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Short<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Elements<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Elements<T, MOST> {
            type Value = Vec<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "an array of at most {MOST} elements")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Vec<T>, S::Error> {
                let mut elements = Vec::with_capacity(4);
                while let Some(element) = seq.next_element()? {
                    if elements.len() == MOST {
                        return Err(S::Error::custom(format!("more than {MOST} inputs or dimensions")));
                    }
                    elements.push(element);
                }
                Ok(elements)
            }
        }
        input.deserialize_seq(Elements::<T, MOST>(PhantomData)).map(Short)
    }
}

/// `a{sv}`, read as the options of a request.
#[derive(Debug)]
pub struct Given(pub Result<Options, Failure>);

impl Type for Given {
    const SIGNATURE: &'static Signature = &Signature::static_dict(&Signature::Str, &Signature::Variant);
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Given;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a dictionary of options")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Given, M::Error> {
                let mut parser = Parser::default();
                let mut failed = None;
                while let Some((name, value)) = map.next_entry::<&str, Variant<'_>>()? {
                    failed = failed.or(take(&mut parser, name, &value).err());
                }
                Ok(Given(failed.map_or_else(|| Ok(parser.finish()), Err)))
            }
        }
        input.deserialize_map(Entries)
    }
}

/// An integer of any width.
pub fn integer(value: &Variant<'_>) -> Option<i128> {
    match value {
        Variant::U8(number) => Some((*number).into()),
        Variant::I16(number) => Some((*number).into()),
        Variant::U16(number) => Some((*number).into()),
        Variant::I32(number) => Some((*number).into()),
        Variant::U32(number) => Some((*number).into()),
        Variant::I64(number) => Some((*number).into()),
        Variant::U64(number) => Some((*number).into()),
        _ => None,
    }
}

/// Reads one option.
pub fn take(parser: &mut Parser, name: &str, value: &Variant<'_>) -> Result<(), Failure> {
    if let Some(number) = integer(value) {
        return parser.take(name, Value::Int(number));
    }
    let value = match value {
        Variant::Str(text) => Value::Text(text.as_str()),
        Variant::Bool(value) => Value::Bool(*value),
        other => return parser.take(name, Value::Other(&other.value_signature().to_string())),
    };
    parser.take(name, value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use edge_wire::error::ErrorCode;
    use edge_wire::tensor;

    use super::*;

    fn call<B: serde::Serialize + zbus::DynamicType>(body: &B) -> zbus::message::Body {
        Message::method_call("/", "Infer").build(body).unwrap().body()
    }

    fn options(given: &[(&str, Variant<'static>)]) -> Result<Options, Failure> {
        let given: HashMap<_, _> = given.iter().map(|(name, value)| (*name, value.try_clone().unwrap())).collect();
        let body = call(&("m", Vec::<tensor::Tensor>::new(), given));
        read::<Infer<'_>>("Infer", &body).unwrap().2.0
    }

    #[test]
    fn signatures_are_those_of_the_contract() {
        assert_eq!(*<Infer<'_> as Type>::SIGNATURE, "(sa(ssatay)a{sv})");
        assert_eq!(*<InferFd<'_> as Type>::SIGNATURE, "(sa(ssathtt)a{sv})");
        assert_eq!(*<Encoded<'_> as Type>::SIGNATURE, "(ssha{sv})");
    }

    #[test]
    fn an_integer_option_is_taken_in_every_integer_type() {
        let integers: [Variant<'static>; 7] =
            [9u8.into(), 9i16.into(), 9u16.into(), 9i32.into(), 9u32.into(), 9i64.into(), 9u64.into()];
        for value in integers {
            assert_eq!(options(&[("deadline_ms", value)]).unwrap().deadline_ms, Some(9));
        }
        for value in [Variant::from(9.0), Variant::from("9"), Variant::from(vec![9u8]), Variant::from(-9i16)] {
            let no = options(&[("deadline_ms", value)]).unwrap_err();
            assert!(no.code == ErrorCode::InvalidInput && no.message.contains("deadline_ms"), "{}", no.message);
        }
    }

    #[test]
    fn unknown_options_of_any_type_are_warned_about() {
        let nested = Variant::from(HashMap::from([("a", Variant::from(vec!["b"]))]));
        let options = options(&[("colour", nested), ("priority", "low".into())]).unwrap();
        assert_eq!(options.warnings, ["unknown option \"colour\" was ignored"]);
        assert_eq!(options.priority, edge_core::Priority::Low);
    }

    #[test]
    fn tensors_are_read_in_place() {
        let tensors = vec![tensor::Tensor {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![1, u64::MAX],
            data: serde_bytes::ByteBuf::from(vec![7; 5000]),
        }];
        let body = call(&("m", tensors, HashMap::<&str, Variant<'_>>::new()));
        let (model, inputs, _) = read::<Infer<'_>>("Infer", &body).unwrap();
        let input = &inputs.0[0];
        assert_eq!((model, input.name, input.datatype, &input.shape.0), ("m", "x", "FP32", &vec![1, u64::MAX]));
        assert_eq!(input.data, [7; 5000]);
        assert!(body.data().bytes().as_ptr_range().contains(&input.data.as_ptr()), "copied");
    }

    #[test]
    fn wrong_arguments_are_named_with_what_the_method_takes() {
        let no = read::<Infer<'_>>("Infer", &call(&("m", 7u32))).unwrap_err();
        assert_eq!(no.code, ErrorCode::InvalidInput);
        assert!(no.message.contains("\"su\"") && no.message.contains("sa(ssatay)a{sv}"), "{}", no.message);
        let no = read::<Infer<'_>>("Infer", &call(&())).unwrap_err();
        assert!(no.message.contains("Infer was called with"), "{}", no.message);
    }

    #[test]
    fn a_message_cannot_make_the_daemon_list_inputs_or_dimensions_without_end() {
        let many = vec![tensor::Tensor::default(); MAX_INPUTS + 1];
        let deep = vec![tensor::Tensor { shape: vec![1; MAX_DIMENSIONS + 1], ..Default::default() }];
        for inputs in [many, deep] {
            let body = call(&("m", inputs, HashMap::<&str, Variant<'_>>::new()));
            let no = read::<Infer<'_>>("Infer", &body).unwrap_err();
            assert!(no.code == ErrorCode::InvalidInput && no.message.contains("more than"), "{}", no.message);
        }
    }

    #[test]
    fn a_call_that_is_too_long_is_refused_before_it_is_read() {
        let message = Message::method_call("/", "Infer").build(&vec![0u64; 20_000]).unwrap();
        assert!(check_size(&message, 1 << 20).is_ok());
        assert_eq!(check_size(&message, 1 << 10).unwrap_err().code, ErrorCode::TooLarge);
    }
}
