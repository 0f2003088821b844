//! The work that is measured: which model, which input. Both sides make the same bytes from the same seed.

use crate::answer::Tensor;

/// One model with one input of a fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub model: &'static str,
    pub input: &'static str,
    pub datatype: &'static str,
    pub shape: &'static [i64],
    /// Integers are below this.
    ceiling: u32,
}

/// 110,592 bytes.
pub const TEXT_DIRECTION: Work =
    Work { model: "text-direction", input: "x", datatype: "FP32", shape: &[1, 3, 48, 192], ceiling: 0 };
/// 8,192 bytes.
pub const FILE_TYPE: Work =
    Work { model: "file-type", input: "bytes", datatype: "INT32", shape: &[1, 2048], ceiling: 256 };
/// 184,320 bytes.
pub const TEXT_LINE: Work =
    Work { model: "text-line", input: "x", datatype: "FP32", shape: &[1, 3, 48, 320], ceiling: 0 };

/// 1,228,800 bytes.
pub const TEXT_BOXES: Work =
    Work { model: "text-boxes", input: "x", datatype: "FP32", shape: &[1, 3, 320, 320], ceiling: 0 };

/// All of it.
pub const ALL: [Work; 4] = [TEXT_DIRECTION, FILE_TYPE, TEXT_LINE, TEXT_BOXES];

impl Work {
    /// The work on the model of this name.
    pub fn of(model: &str) -> Option<Work> {
        ALL.into_iter().find(|work| work.model == model)
    }

    /// Its input.
    pub fn tensor(&self) -> Tensor {
        let elements = self.shape.iter().map(|size| size.unsigned_abs()).product::<u64>();
        let mut state = 0x9e37_79b9_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let mut data = Vec::new();
        for _ in 0..elements {
            let raw = next();
            let element = match self.datatype {
                "INT32" => (raw % self.ceiling.max(1)).to_le_bytes(),
                // From -1 to 1, as pixels are after the models' recipe.
                _ => (f32::from((raw >> 16) as u16) / 32_768.0 - 1.0).to_le_bytes(),
            };
            data.extend_from_slice(&element);
        }
        Tensor::new(self.input, self.datatype, self.shape, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_sizes_that_the_numbers_are_promised_for() {
        assert_eq!(TEXT_DIRECTION.tensor().data.len(), 110_592);
        assert_eq!(FILE_TYPE.tensor().data.len(), 8_192);
        assert_eq!(TEXT_LINE.tensor().data.len(), 184_320);
    }

    #[test]
    fn both_sides_make_the_same_bytes() {
        assert_eq!(TEXT_DIRECTION.tensor(), TEXT_DIRECTION.tensor());
        assert!(FILE_TYPE.tensor().data.chunks(4).all(|raw| raw[1..] == [0, 0, 0]));
    }
}
