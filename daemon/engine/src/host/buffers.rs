//! Memory for the inputs of runs that is used again, so that a request costs no allocation of its own size. What was used
//! is kept up to a bound; a larger run gets memory of its own, which goes with it.

use crate::tensor::Aligned;

/// Bytes that are kept, all buffers together.
const KEPT: usize = 4 << 20;
/// Buffers that are kept.
const COUNT: usize = 16;

/// Buffers that nobody uses now.
#[derive(Default)]
pub struct Buffers {
    free: Vec<Aligned>,
}

impl Buffers {
    /// One of `len` bytes, whose content is whatever it was.
    pub fn take(&mut self, len: usize) -> Aligned {
        let fits = self.free.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= len);
        let least = fits.min_by_key(|(_, buffer)| buffer.capacity()).map(|(at, _)| at);
        match least.map(|at| self.free.swap_remove(at)) {
            Some(mut buffer) => {
                buffer.resize(len);
                buffer
            }
            None => Aligned::zeros(len),
        }
    }

    /// Takes one back. The oldest go when there is no room for it.
    pub fn give_back(&mut self, buffer: Aligned) {
        if buffer.capacity() > KEPT {
            return;
        }
        self.free.push(buffer);
        while self.free.len() > COUNT || self.kept() > KEPT {
            self.free.remove(0);
        }
    }

    fn kept(&self) -> usize {
        self.free.iter().map(Aligned::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_what_is_kept_is_bounded() {
        let mut buffers = Buffers::default();
        let mut first = buffers.take(1_000);
        first.as_mut_slice().fill(9);
        let address = first.as_slice().as_ptr();
        buffers.give_back(first);
        let again = buffers.take(900);
        assert_eq!((again.as_slice().as_ptr(), again.as_slice().len()), (address, 900));
        buffers.give_back(again);
        assert_eq!(buffers.take(1_000).as_slice().len(), 1_000);
        buffers.give_back(Aligned::zeros(KEPT + 8));
        assert_eq!(buffers.kept(), 0);
        for size in [KEPT / 2, KEPT / 2, 8, KEPT] {
            buffers.give_back(Aligned::zeros(size));
            assert!(buffers.kept() <= KEPT);
        }
        for _ in 0..100 {
            buffers.give_back(Aligned::zeros(8));
        }
        assert!(buffers.free.len() <= COUNT);
    }

    #[test]
    fn the_smallest_buffer_that_fits_is_taken() {
        let mut buffers = Buffers::default();
        for size in [4_096, 64, 1_024] {
            buffers.give_back(Aligned::zeros(size));
        }
        assert_eq!([100, 1_000, 60].map(|len| buffers.take(len).capacity()), [1_024, 4_096, 64]);
    }
}
