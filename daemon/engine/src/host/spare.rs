//! Memory for the next large output, made while the lane has nothing to do: its pages cost a request of `text-line` 0.4 ms
//! otherwise. One piece of the size that was used last, and only up to a bound, because it is kept while nobody asks.

use std::io;

use crate::memfile::Fresh;

/// Largest piece that is made ahead.
const MOST: usize = 4 << 20;

/// At most one piece that nobody has used.
#[derive(Default)]
pub struct Spare {
    ready: Option<(usize, Fresh)>,
    next: Option<usize>,
}

impl Spare {
    /// Fresh memory of `len` zero bytes.
    pub fn take(&mut self, len: usize) -> io::Result<Fresh> {
        self.next = Some(len).filter(|len| *len <= MOST);
        match self.ready.take() {
            Some((size, fresh)) if size == len => Ok(fresh),
            Some(_) | None => Fresh::new(len),
        }
    }

    /// Whether [`Spare::prepare`] would make something.
    pub fn is_wanted(&self) -> bool {
        self.next.is_some()
    }

    /// Makes a piece like the one that was taken last.
    pub fn prepare(&mut self) {
        let Some(len) = self.next.take() else { return };
        // Without memory there is none ahead; whoever takes the next one is told.
        self.ready = Fresh::new(len).ok().map(|fresh| (len, fresh));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_of_the_size_that_was_used_last_is_made_ahead() {
        let mut spare = Spare::default();
        spare.prepare();
        assert!(spare.ready.is_none() && !spare.is_wanted());
        let size = |spare: &Spare| spare.ready.as_ref().map(|(len, _)| *len);
        spare.take(5_000).unwrap();
        assert!(spare.is_wanted());
        spare.prepare();
        assert_eq!((size(&spare), spare.is_wanted()), (Some(5_000), false));
        assert_eq!(spare.take(5_000).unwrap().as_mut_slice(), [0; 5_000]);
        assert!(spare.ready.is_none());
        // Another size than before, and one that is too large to be kept.
        spare.prepare();
        assert_eq!(spare.take(MOST + 1).unwrap().as_mut_slice().len(), MOST + 1);
        assert!(!spare.is_wanted() && spare.ready.is_none());
    }
}
