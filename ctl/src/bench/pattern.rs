//! The values of made-up tensors: pseudo-random, the same on every run and on every box, and values that hardly any model
//! refuses: numbers with a fraction lie in [0.5, 1), whole numbers and truth values are 0 or 1.

/// Where the sequence starts. Any number would do; it is told beside the results.
pub const SEED: u64 = 1;

/// How one element of a datatype is made: the low `size` bytes of `base`, with random bits where `mask` has ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Bytes of one element.
    pub size: usize,
    base: u64,
    mask: u64,
}

/// The element of an Open Inference Protocol v2 datatype; `None` for one of unknown or varying size, such as `BYTES`.
pub fn element(datatype: &str) -> Option<Element> {
    // Sign 0 and the exponent of 0.5; the mask is the mantissa.
    let (size, base, mask) = match datatype {
        "FP16" => (2, 0x3800, 0x03ff),
        "BF16" => (2, 0x3f00, 0x007f),
        "FP32" => (4, 0x3f00_0000, 0x007f_ffff),
        "FP64" => (8, 0x3fe0_0000_0000_0000, 0x000f_ffff_ffff_ffff),
        "BOOL" | "INT8" | "UINT8" => (1, 0, 1),
        "INT16" | "UINT16" => (2, 0, 1),
        "INT32" | "UINT32" => (4, 0, 1),
        "INT64" | "UINT64" => (8, 0, 1),
        _ => return None,
    };
    Some(Element { size, base, mask })
}

/// `count` elements, little-endian, as a request carries them.
pub fn fill(element: Element, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count * element.size);
    let mut state = SEED;
    for _ in 0..count {
        let value = element.base | (next(&mut state) & element.mask);
        bytes.extend(value.to_le_bytes().into_iter().take(element.size));
    }
    bytes
}

/// SplitMix64: three lines, no weak low bits, and known test values.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        let mut state = 1_234_567;
        let first: Vec<u64> = (0..3).map(|_| next(&mut state)).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_with_a_fraction_lie_between_a_half_and_one() {
        let singles = fill(element("FP32").unwrap(), 1000);
        let singles: Vec<f32> =
            singles.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert!(singles.len() == 1000 && singles.iter().all(|value| (0.5..1.0).contains(value)));
        assert!(singles.iter().any(|value| *value < 0.55) && singles.iter().any(|value| *value > 0.95));
        let doubles = fill(element("FP64").unwrap(), 1000);
        let mut doubles = doubles.chunks_exact(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap()));
        assert!(doubles.all(|value| (0.5..1.0).contains(&value)));
    }

    #[test]
    fn whole_numbers_and_truth_values_are_zero_or_one() {
        for (datatype, size) in [("BOOL", 1), ("INT8", 1), ("UINT16", 2), ("INT32", 4), ("INT64", 8)] {
            let bytes = fill(element(datatype).unwrap(), 200);
            assert_eq!(bytes.len(), 200 * size, "{datatype}");
            let ones = bytes.chunks_exact(size).filter(|one| one[0] == 1).count();
            assert!((50..150).contains(&ones), "{datatype}: {ones}");
            assert!(bytes.chunks_exact(size).all(|one| one[0] <= 1 && one[1..].iter().all(|byte| *byte == 0)));
        }
    }

    #[test]
    fn a_datatype_of_varying_size_has_no_element() {
        for datatype in ["BYTES", "", "fp32", "FP8"] {
            assert_eq!(element(datatype), None, "{datatype}");
        }
    }
}
