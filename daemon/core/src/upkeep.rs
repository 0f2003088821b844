//! Decides what becomes of an engine host that runs: whether it is kept, ended because nobody needs it, or replaced because
//! it keeps memory of models that were unloaded. Must not know processes or a clock; it is given facts of one host.

use core::time::Duration;

/// A host that no setup needs is ended after this: a provider that comes and goes shall not start it each time.
pub const IDLE: Duration = Duration::from_secs(15);
/// A host with models is replaced when nothing was sent there for this long.
pub const QUIET: Duration = Duration::from_secs(3);
/// What may be kept, bytes: less is not worth a start.
pub const KEPT_BYTES: u64 = 64 << 20;
/// More than one part in so many of what was unloaded is too much.
pub const KEPT_PARTS: u64 = 4;

/// What is known of a host that is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The first one is never without a process: it says what the runtime can do.
    pub first: bool,
    /// Setups are loaded there, or are to be.
    pub wanted: bool,
    /// Loads or requests are under way there.
    pub busy: bool,
    /// Time since something was last under way or wanted there, or since a request was.
    pub quiet: Duration,
    /// Memory of unloaded models that it has not given back, bytes.
    pub kept: u64,
    /// What these models took, bytes.
    pub unloaded: u64,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// It stays.
    Keep,
    /// It ends, and is started when a setup wants it.
    End,
    /// It ends, and the next one is started at once.
    Replace,
}

/// Whether a host has kept more of what was unloaded than it may.
pub fn keeps_too_much(kept: u64, unloaded: u64) -> bool {
    kept > KEPT_BYTES && kept > unloaded / KEPT_PARTS
}

/// What becomes of a host.
pub fn upkeep(facts: &Facts) -> Upkeep {
    let keeps = keeps_too_much(facts.kept, facts.unloaded);
    match (facts.wanted, facts.first) {
        _ if facts.busy => Upkeep::Keep,
        (false, false) if keeps || facts.quiet >= IDLE => Upkeep::End,
        (false, true) if keeps => Upkeep::Replace,
        (true, _) if keeps && facts.quiet >= QUIET => Upkeep::Replace,
        (true | false, _) => Upkeep::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Upkeep::{End, Keep, Replace};

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_host_is_kept_while_it_is_needed_and_gives_back_what_it_takes() {
        // First, wanted, busy, seconds of quiet, MiB kept, MiB unloaded.
        for (first, wanted, busy, quiet, kept, unloaded, expected) in [
            (false, true, false, 900, 0, 0, Keep),
            (false, false, false, 14, 0, 0, Keep),
            (false, false, false, 15, 0, 0, End),
            (false, false, true, 900, 0, 0, Keep),
            (true, false, false, 900, 0, 0, Keep),
            (false, false, false, 0, 65, 100, End),
            (true, false, false, 0, 65, 100, Replace),
            (true, false, false, 0, 64, 100, Keep),
            (true, false, false, 0, 100, 400, Keep),
            (true, false, false, 0, 101, 400, Replace),
            (true, true, false, 2, 101, 400, Keep),
            (true, true, false, 3, 101, 400, Replace),
            (true, true, true, 900, 101, 400, Keep),
        ] {
            let quiet = Duration::from_secs(quiet);
            let facts = Facts { first, wanted, busy, quiet, kept: kept * MIB, unloaded: unloaded * MIB };
            assert_eq!(upkeep(&facts), expected, "{facts:?}");
        }
    }
}
