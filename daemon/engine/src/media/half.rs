//! FP16 numbers of tensors, as IEEE 754 has them (binary16): to FP32, which is exact, and back, to the nearest. Knows nothing
//! of tensors.

/// As FP32. Every FP16 number is one.
pub fn to_f32(bits: u16) -> f32 {
    // Exponent and fraction in the places of an FP32 number; the exponents of the two count from 15 and from 127. The product is
    // exact, also of numbers below the normal ones, and there is no branch on the way.
    let scaled = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits((127 + 127 - 15) << 23);
    // The largest exponent stands for infinity and for what is no number, in both.
    let special = if scaled >= 65_536.0 { 0xff << 23 } else { 0 };
    f32::from_bits(scaled.to_bits() | special | u32::from(bits & 0x8000) << 16)
}

/// The nearest FP16 number, of two equally near ones the even one; infinity if it is beyond the largest, 65504.
pub fn from_f32(number: f32) -> u16 {
    let bits = number.to_bits();
    let (sign, size) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
    let half = match size {
        // No number.
        0x7f80_0001.. => 0x7e00,
        // 65536 and more.
        0x4780_0000.. => 0x7c00,
        // From 2^-14 on: round away the 13 bits that it has more, and count the exponent from 15. What is rounded up beyond
        // the largest is infinity by itself.
        0x3880_0000.. => (size + 0xfff + (size >> 13 & 1) - (112 << 23)) >> 13,
        // Below the normal ones: as many steps of 2^-24. Adding 2^23 steps rounds to a whole number of them, and shows it in the
        // last bits.
        _ => (f32::from_bits(size) * 16_777_216.0 + 8_388_608.0).to_bits() & 0x7f_ffff,
    };
    u16::try_from(sign | half).unwrap_or(0x7e00)
}

/// FP16 elements as FP32 elements.
pub fn widen(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks::<2>().0.iter().flat_map(|two| to_f32(u16::from_ne_bytes(*two)).to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the standard says that the bits mean.
    fn meaning(bits: u16) -> f64 {
        let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
        let fraction = f64::from(bits & 0x3ff) / 1024.0;
        match i32::from(bits >> 10 & 0x1f) {
            0 => sign * fraction * 2f64.powi(-14),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            exponent => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_number_means_what_the_standard_says_and_comes_back() {
        for bits in 0..=u16::MAX {
            let (number, wanted) = (to_f32(bits), meaning(bits));
            if wanted.is_nan() {
                assert!(number.is_nan() && to_f32(from_f32(number)).is_nan(), "{bits:#x}");
            } else {
                assert_eq!(f64::from(number), wanted, "{bits:#x}");
                assert_eq!(number.is_sign_negative(), bits & 0x8000 != 0, "{bits:#x}");
                assert_eq!(from_f32(number), bits, "{bits:#x}");
            }
        }
    }

    #[test]
    fn what_lies_between_goes_to_the_nearest_and_to_the_even_one_in_the_middle() {
        for bits in 0..0x7bff_u16 {
            let (below, above) = (to_f32(bits), to_f32(bits + 1));
            let middle = below + (above - below) / 2.0;
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(from_f32(middle), even, "{bits:#x}");
            assert_eq!(from_f32(middle.next_down()), bits, "{bits:#x}");
            assert_eq!(from_f32(middle.next_up()), bits + 1, "{bits:#x}");
            assert_eq!(from_f32(-middle), even | 0x8000, "{bits:#x}");
        }
        for (number, wanted) in [
            (65_519.99, 0x7bff),
            (65_520.0, 0x7c00),
            (1e30, 0x7c00),
            (f32::INFINITY, 0x7c00),
            (f32::NEG_INFINITY, 0xfc00),
            (f32::MIN_POSITIVE, 0),
            (1e-40, 0),
        ] {
            assert_eq!(from_f32(number), wanted, "{number}");
        }
    }

    #[test]
    fn elements_are_widened_one_by_one() {
        let halves: Vec<u8> = [0x3c00_u16, 0xc000].iter().flat_map(|bits| bits.to_ne_bytes()).collect();
        assert_eq!(widen(&halves), [1.0_f32.to_ne_bytes(), (-2.0_f32).to_ne_bytes()].concat());
        assert!(widen(&[]).is_empty());
    }
}
