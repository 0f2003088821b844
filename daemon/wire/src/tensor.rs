//! Tensors as they cross the bus: the bytes in the message, or in a sealed memfd beside it.
//!
//! The daemon reads requests through borrowed forms of its own; these owned forms are for clients and for tests.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zbus::{OwnedFd, Type};

/// `(ssatay)`: a tensor with its bytes in the message; for small ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Tensor {
    /// Name of the model's input or output.
    pub name: String,
    /// Open Inference Protocol v2 datatype, for example `FP32`.
    pub datatype: String,
    /// Sizes, the outermost dimension first.
    pub shape: Vec<u64>,
    /// Elements, row-major, little-endian.
    pub data: ByteBuf,
}

/// `(ssathtt)`: a tensor with its bytes in a memfd that is sealed against shrinking, growing and writing.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct FdTensor {
    /// Name of the model's input or output.
    pub name: String,
    /// Open Inference Protocol v2 datatype, for example `FP32`.
    pub datatype: String,
    /// Sizes, the outermost dimension first.
    pub shape: Vec<u64>,
    /// The sealed memfd.
    pub fd: OwnedFd,
    /// Where the elements start in it, in bytes.
    pub offset: u64,
    /// How many bytes they take.
    pub length: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_have_the_signatures_of_the_contract() {
        assert_eq!(*Tensor::SIGNATURE, "(ssatay)");
        assert_eq!(*FdTensor::SIGNATURE, "(ssathtt)");
    }
}
