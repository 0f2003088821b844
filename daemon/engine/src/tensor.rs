//! Tensors on their way into and out of a session: shapes, sizes, elements. Knows nothing of the runtime.

use std::borrow::Cow;

use crate::protocol::Datatype;

/// Bytes at an address that suits any element type.
pub struct Aligned {
    words: Vec<u64>,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Aligned {
        Aligned { words: vec![0; len.div_ceil(8)], len }
    }

    /// The parts, one after the other.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Aligned {
        let mut all = Aligned::zeros(parts.clone().map(<[u8]>::len).sum());
        let mut rest = all.as_mut_slice();
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        all
    }

    /// How many bytes there is room for without an allocation.
    pub fn capacity(&self) -> usize {
        self.words.len() * 8
    }

    /// Makes it `len` bytes long, at most what there is room for; what is in them stays.
    pub fn resize(&mut self, len: usize) {
        self.len = len.min(self.capacity());
    }

    /// A copy of these bytes.
    pub fn copy_of(bytes: &[u8]) -> Aligned {
        Aligned::concat(std::iter::once(bytes))
    }

    /// Numbers as bytes.
    pub fn from_f32(numbers: &[f32]) -> Aligned {
        let mut all = Aligned::zeros(numbers.len() * 4);
        for (place, number) in all.as_mut_slice().chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        all
    }

    /// Elements of two bytes.
    pub fn from_u16(elements: &[u16]) -> Aligned {
        let mut all = Aligned::zeros(elements.len() * 2);
        for (place, element) in all.as_mut_slice().chunks_exact_mut(2).zip(elements) {
            place.copy_from_slice(&element.to_ne_bytes());
        }
        all
    }

    /// Numbers as bytes.
    pub fn from_i32(numbers: impl ExactSizeIterator<Item = i32>) -> Aligned {
        let mut all = Aligned::zeros(numbers.len() * 4);
        for (place, number) in all.as_mut_slice().chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        all
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `words` holds at least `len` initialised bytes, and u8 has no alignment of its own.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    /// The bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and any bytes are valid words.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len) }
    }
}

/// What a session takes for one input.
#[derive(Clone, Copy)]
pub struct Feed<'a> {
    pub datatype: Datatype,
    pub shape: &'a [i64],
    /// Aligned to the element; length-prefixed elements for [`Datatype::Bytes`].
    pub bytes: &'a [u8],
}

/// What a session gave for one output.
pub struct Answer<'a> {
    pub datatype: Datatype,
    pub shape: Vec<i64>,
    pub data: AnswerData<'a>,
}

/// The elements of an output.
pub enum AnswerData<'a> {
    /// Of fixed size.
    Plain(&'a [u8]),
    /// Strings.
    Strings(Vec<String>),
}

impl Answer<'_> {
    /// The elements of `rows` rows of dimension 0 from row `first` on, as they travel. `None` if there are not so many.
    pub fn rows(&self, first: usize, rows: usize) -> Option<Cow<'_, [u8]>> {
        let all = usize::try_from(*self.shape.first()?).ok()?;
        let part = |len: usize| {
            let row = len.checked_div(all).unwrap_or(0);
            Some((first.checked_mul(row)?, first.checked_add(rows).filter(|end| *end <= all)?.checked_mul(row)?))
        };
        match &self.data {
            AnswerData::Plain(bytes) => {
                let (from, to) = part(bytes.len())?;
                bytes.get(from..to).map(Cow::Borrowed)
            }
            AnswerData::Strings(strings) => {
                let (from, to) = part(strings.len())?;
                strings.get(from..to).map(|strings| Cow::Owned(prefixed(strings)))
            }
        }
    }

    /// All elements, as they travel.
    pub fn all(&self) -> Cow<'_, [u8]> {
        match &self.data {
            AnswerData::Plain(bytes) => Cow::Borrowed(bytes),
            AnswerData::Strings(strings) => Cow::Owned(prefixed(strings)),
        }
    }

    /// The elements as numbers, if they are FP32.
    pub fn floats(&self) -> Option<Vec<f32>> {
        match self.data {
            AnswerData::Plain(bytes) if self.datatype == Datatype::Fp32 => Some(floats(bytes)),
            _ => None,
        }
    }
}

/// FP32 elements as numbers.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_ne_bytes(*four)).collect()
}

/// Number of elements of a shape whose dimensions are all known; `None` if one is negative or the product overflows.
pub fn elements(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, size| product.checked_mul(usize::try_from(*size).ok()?))
}

/// Elements of [`Datatype::Bytes`] as they travel: a length (u32, little-endian) before each.
pub fn prefixed(strings: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(strings.iter().map(|text| text.len() + 4).sum());
    for text in strings {
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The strings of `bytes`, which must be exactly `count` length-prefixed UTF-8 elements.
pub fn strings(mut bytes: &[u8], count: usize) -> Result<Vec<String>, &'static str> {
    let mut strings = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| "an element is too long")?;
        let (text, rest) = rest.split_at_checked(length).ok_or("an element reaches beyond the data")?;
        if text.contains(&0) {
            return Err("an element contains a NUL byte, which the runtime cannot take");
        }
        strings.push(str::from_utf8(text).map_err(|_| "an element is not UTF-8")?.to_owned());
        if strings.len() > count {
            return Err("there are more elements than the shape has");
        }
        bytes = rest;
    }
    match (bytes.is_empty(), strings.len() == count) {
        (true, true) => Ok(strings),
        (false, _) => Err("there are bytes after the last element"),
        (true, false) => Err("there are fewer elements than the shape has"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_out_of_dimension_0() {
        let bytes: Vec<u8> = (0..24).collect();
        let answer = Answer { datatype: Datatype::Uint8, shape: vec![4, 2, 3], data: AnswerData::Plain(&bytes) };
        assert_eq!(answer.rows(1, 2).unwrap().as_ref(), &bytes[6..18]);
        assert_eq!(answer.rows(0, 4).unwrap().as_ref(), &bytes[..]);
        assert!(answer.rows(3, 2).is_none());
    }

    #[test]
    fn strings_travel_with_their_lengths() {
        let words = ["ab".to_owned(), String::new(), "\u{e9}".to_owned()];
        let bytes = prefixed(&words);
        assert_eq!(strings(&bytes, 3).unwrap(), words);
        for (bytes, count) in [(&bytes[..], 2), (&bytes[..], 4), (&bytes[..5], 1), (&[0, 0, 0][..], 0)] {
            assert!(strings(bytes, count).is_err());
        }
        assert!(strings(&[1, 0, 0, 0, 0xff], 1).is_err());
        assert!(strings(&[1, 0, 0, 0, 0], 1).is_err());
    }

    #[test]
    fn a_shape_that_overflows_has_no_size() {
        assert_eq!(elements(&[2, 3, 4]), Some(24));
        assert_eq!(elements(&[]), Some(1));
        assert_eq!(elements(&[i64::MAX, 8]), None);
        assert_eq!(elements(&[-1, 8]), None);
    }
}
