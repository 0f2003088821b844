//! Memory that the runtime keeps between runs, and when it gives that back. The runtime never shrinks by itself: one large
//! run would hold its memory for as long as its model is loaded. Giving it back costs the next run the same pages again,
//! so it is done when the golden inputs have run, and after a run that was far larger than those before it.
//!
//! Must not know requests or models: it is given the bytes of a run's inputs, which its intermediate values follow.

use ort::session::{Adapter, RunOptions};

/// The runtime's name for the option.
const SHRINK: &str = "memory.enable_memory_arena_shrinkage";
/// The arena that is shrunk: that of the CPU provider, which is the one that was measured.
const CPU: &str = "cpu:0";
/// A run is far larger than those before if its inputs are more than so many times theirs.
const FAR_LARGER: u64 = 4;
/// Inputs of a run below which nothing is given back, bytes: what such a run needs is not worth the time.
const SMALL: u64 = 64 << 10;

/// What a run is told: as usual, or to give back what the runtime keeps. Both are stopped together.
pub struct Options {
    plain: RunOptions,
    /// None for a provider of which it is not known that it has the arena: such a run would fail.
    shrinking: Option<RunOptions>,
}

impl Options {
    /// For sessions of this provider, whose runs are made with these adapters.
    pub fn new(provider: &str, adapters: &[Adapter]) -> ort::Result<Options> {
        let fresh = || -> ort::Result<RunOptions> {
            let mut options = RunOptions::new()?;
            adapters.iter().try_for_each(|adapter| options.add_adapter(adapter))?;
            Ok(options)
        };
        let shrinking = if provider == "cpu" {
            let mut options = fresh()?;
            options.set(SHRINK, CPU)?;
            Some(options)
        } else {
            None
        };
        Ok(Options { plain: fresh()?, shrinking })
    }

    /// For a run that gives back what the runtime keeps, or not.
    pub fn get(&self, shrink: bool) -> &RunOptions {
        self.shrinking.as_ref().filter(|_| shrink).unwrap_or(&self.plain)
    }

    fn each(&self) -> impl Iterator<Item = &RunOptions> {
        std::iter::once(&self.plain).chain(&self.shrinking)
    }

    /// Stops what runs with them, and whatever will until [`Options::unterminate`].
    pub fn terminate(&self) {
        for options in self.each() {
            let _ = options.terminate();
        }
    }

    /// They can be used again.
    pub fn unterminate(&self) {
        for options in self.each() {
            let _ = options.unterminate();
        }
    }
}

/// How large the runs of a session usually are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usual {
    /// Bytes of a run's inputs; 0 before the first run.
    bytes: u64,
}

impl Usual {
    /// A run with inputs of so many bytes follows: whether what it takes is to be given back after it. What is usual moves
    /// by an eighth towards each run, so that of large runs that go on coming only the first few are followed by it.
    pub fn gives_back(&mut self, bytes: u64) -> bool {
        if self.bytes == 0 {
            self.bytes = bytes;
            return false;
        }
        let far_larger = bytes > self.bytes.saturating_mul(FAR_LARGER);
        self.bytes = (self.bytes - self.bytes / 8).saturating_add(bytes / 8);
        far_larger && bytes > SMALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_after_a_run_that_is_far_larger_than_those_before() {
        const MIB: u64 = 1 << 20;
        let cases: [(&[u64], &[bool]); 6] = [
            // The first run says what is usual.
            (&[64 * MIB, MIB], &[false, false]),
            (&[MIB, MIB, 4 * MIB, MIB], &[false; 4]),
            (&[MIB, 5 * MIB, MIB, MIB], &[false, true, false, false]),
            // Large ones that go on coming are what is usual.
            (&[MIB, 9 * MIB, 9 * MIB, 9 * MIB, 9 * MIB], &[false, true, true, false, false]),
            // What is small is not worth it.
            (&[100, 1000, SMALL], &[false; 3]),
            (&[0, u64::MAX, u64::MAX, MIB], &[false; 4]),
        ];
        for (runs, expected) in cases {
            let mut usual = Usual::default();
            let said: Vec<bool> = runs.iter().map(|bytes| usual.gives_back(*bytes)).collect();
            assert_eq!(said, expected, "{runs:?}");
        }
    }
}
