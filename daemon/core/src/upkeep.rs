//! Decides what becomes of an engine host that runs: whether it is kept, ended because nobody needs it, or replaced because
//! it keeps memory of models that were unloaded. Must not know processes or a clock; it is given facts of one host.

use core::time::Duration;

/// A host that no setup needs is ended after this: a provider that comes and goes shall not start it each time.
pub const IDLE: Duration = Duration::from_secs(15);
/// A host that keeps too much is replaced when nothing was under way there for this long.
pub const QUIET: Duration = Duration::from_secs(3);
/// A host that has not been quiet for so long since it keeps too much is left by its models, if others can serve.
pub const LEAVE_AFTER: Duration = Duration::from_secs(10);
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
    /// For how long it has kept too much.
    pub keeping: Duration,
    /// Requests are given to setups there.
    pub serves: bool,
    /// Each of these setups has another one, on another host, that can stand in.
    pub can_leave: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// It stays.
    Keep,
    /// Other setups are to serve instead of those that it has.
    Leave,
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
    // Models that are unloaded at once are told of one by one: what is kept is known when that is over.
    let may_end = facts.quiet >= QUIET || facts.wanted && !facts.serves;
    match (facts.wanted, facts.busy) {
        (false, false) if !facts.first && (keeps && may_end || facts.quiet >= IDLE) => Upkeep::End,
        (true | false, false) if keeps && may_end => Upkeep::Replace,
        (true, _) if keeps && facts.can_leave && facts.keeping >= LEAVE_AFTER => Upkeep::Leave,
        (true | false, _) => Upkeep::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Upkeep::{End, Keep, Leave, Replace};

    /// MiB kept and unloaded by a host that keeps no more than it may, and by one that keeps too much.
    const LITTLE: [(u64, u64); 4] = [(0, 0), (64, 100), (100, 400), (0, 900)];
    const MUCH: [(u64, u64); 2] = [(65, 100), (101, 400)];

    fn facts(first: bool, wanted: bool, busy: bool, quiet: u64) -> Facts {
        let quiet = Duration::from_secs(quiet);
        Facts { first, wanted, busy, quiet, serves: wanted, ..Facts::default() }
    }

    fn check(facts: Facts, little: Upkeep, much: Upkeep) {
        for (amounts, expected) in [(&LITTLE[..], little), (&MUCH[..], much)] {
            for (kept, unloaded) in amounts {
                let facts = Facts { kept: kept << 20, unloaded: unloaded << 20, ..facts };
                assert_eq!(upkeep(&facts), expected, "{facts:?}");
            }
        }
    }

    #[test]
    fn a_host_is_kept_while_it_is_needed_and_gives_back_what_it_takes() {
        check(facts(false, true, false, 2), Keep, Keep);
        check(facts(false, true, false, 3), Keep, Replace);
        check(facts(true, true, false, 900), Keep, Replace);
        check(facts(false, true, true, 900), Keep, Keep);
        check(facts(false, false, false, 2), Keep, Keep);
        check(facts(false, false, false, 3), Keep, End);
        check(facts(false, false, false, 14), Keep, End);
        check(facts(false, false, false, 15), End, End);
        check(facts(false, false, true, 900), Keep, Keep);
        check(facts(true, false, false, 2), Keep, Keep);
        check(facts(true, false, false, 3), Keep, Replace);
        check(facts(true, false, true, 900), Keep, Keep);
    }

    #[test]
    fn a_host_that_is_never_quiet_is_left_first_where_others_can_serve() {
        let long = Facts { keeping: Duration::from_secs(10), ..facts(false, true, true, 0) };
        check(long, Keep, Keep);
        check(Facts { can_leave: true, ..long }, Keep, Leave);
        check(Facts { can_leave: true, keeping: Duration::from_secs(9), ..long }, Keep, Keep);
        // Others serve, and what runs there may end.
        check(Facts { can_leave: true, serves: false, ..long }, Keep, Leave);
        check(Facts { can_leave: true, serves: false, busy: false, ..long }, Keep, Replace);
    }
}
