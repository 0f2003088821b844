//! The CPU provider: what it is told beyond the threads, which every session is told.

use super::{Entries, Told, Wish};
use crate::protocol::Precision;

/// On 64-bit Arm with the instructions for it, matrices of FP32 may be multiplied in BF16; other machines pass it over.
const FAST_MATRICES: &str = "mlas.enable_gemm_fastmath_arm64_bfloat16";

pub fn told(wish: &Wish<'_>) -> Told {
    let session = match wish.setup.precision {
        Precision::Exact => Entries::new(),
        Precision::Reduced => vec![(FAST_MATRICES.to_owned(), "1".to_owned())],
    };
    Told { provider: Entries::new(), session }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn only_reduced_precision_may_multiply_in_bf16() {
        assert_eq!(told(&Sample::new("cpu").wish()), Told::default());
        let reduced = Sample::with("cpu", |sample| sample.setup.precision = Precision::Reduced);
        let session = vec![("mlas.enable_gemm_fastmath_arm64_bfloat16".to_owned(), "1".to_owned())];
        assert_eq!(told(&reduced.wish()), Told { provider: vec![], session });
    }
}
