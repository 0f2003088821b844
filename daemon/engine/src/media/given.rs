//! Outputs with known numbers, for tests.

use super::frame::Frame;
use super::half;
use crate::protocol::{Datatype, TensorSpec};
use crate::tensor::{Answer, AnswerData};

/// An output with its numbers.
pub struct Given {
    name: &'static str,
    datatype: Datatype,
    shape: Vec<i64>,
    bytes: Vec<u8>,
}

impl Given {
    pub fn floats(name: &'static str, shape: &[i64], numbers: &[f32]) -> Given {
        let bytes = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        Given { name, datatype: Datatype::Fp32, shape: shape.to_vec(), bytes }
    }

    pub fn whole(name: &'static str, shape: &[i64], numbers: &[i64]) -> Given {
        let bytes = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        Given { name, datatype: Datatype::Int64, shape: shape.to_vec(), bytes }
    }

    /// The same in elements of 16 bits.
    pub fn halves(name: &'static str, shape: &[i64], numbers: &[f32]) -> Given {
        let bytes = numbers.iter().flat_map(|number| half::from_f32(*number).to_ne_bytes()).collect();
        Given { name, datatype: Datatype::Fp16, shape: shape.to_vec(), bytes }
    }

    pub fn bytes(name: &'static str, shape: &[i64], bytes: &[u8]) -> Given {
        Given { name, datatype: Datatype::Uint8, shape: shape.to_vec(), bytes: bytes.to_vec() }
    }

    /// What the graph says of it.
    pub fn spec(&self) -> TensorSpec {
        TensorSpec { name: self.name.into(), datatype: self.datatype, shape: self.shape.clone() }
    }

    pub fn answer(&self) -> Answer<'_> {
        Answer { datatype: self.datatype, shape: self.shape.clone(), data: AnswerData::Plain(&self.bytes) }
    }
}

/// A picture of 200 x 100 in the middle of a tensor of 100 x 100.
pub fn letterboxed() -> Frame {
    Frame {
        width: 200,
        height: 100,
        scaled_width: 100,
        scaled_height: 50,
        left: 0,
        top: 25,
        tensor_width: 100,
        tensor_height: 100,
    }
}

/// The specs and the answers of some outputs.
pub fn all(given: &[Given]) -> (Vec<TensorSpec>, Vec<Answer<'_>>) {
    (given.iter().map(Given::spec).collect(), given.iter().map(Given::answer).collect())
}
