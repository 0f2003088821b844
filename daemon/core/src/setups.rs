//! Decides by which of its setups a model is served, and which of them is loaded or let go. A setup is one way to run a
//! model: a variant on a provider; its host may be away while the others serve. Must not know hosts, files or time; it
//! is given where each setup stands, the most wanted first.
//!
//! ```text
//!            its turn comes            loaded
//!   Idle ────────────────► Loading ────────────► Ready
//!    ▲                      │   ▲                  │
//!    │ a better one serves  │   │ host is back     │ host died
//!    ├──────────────────────┼───┼──────────────────┤
//!    │                      ▼   │                  ▼
//!    │                    Failed└──────────────── Away
//!    └─ when its pause is over (`recovery`), or by the operator
//! ```
//!
//! One that is `Leaving` is ready and serves on, until the next one can: its host is to be replaced.

/// Setups of one model at most; more are not looked at.
pub const MAX_SETUPS: usize = 64;

/// Where one setup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Could be loaded, and is not.
    Idle,
    /// Being loaded, and so far no longer than loading usually takes.
    Loading,
    /// Being loaded for so long that another one should serve meanwhile.
    Building,
    /// Loaded.
    Ready,
    /// Loaded on a host that is to be replaced as soon as another setup serves.
    Leaving,
    /// To be loaded as soon as its host is back.
    Away,
    /// Cannot be served, at least for now.
    Failed,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The setup that requests are given to: one that is ready if there is any, else the one that is expected first.
    pub serve: usize,
    /// An idle setup that is to be loaded now.
    pub load: Option<usize>,
    /// Bit by bit, setups that are to be let go: what they hold is not needed any more.
    pub release: u64,
}

/// The choice for a model whose setups stand so. The most wanted one that has not failed is loaded and kept. The next one
/// stands in, but only while the wanted one is away, leaving, or takes long; when that is ready, the stand-in is let go, so that a
/// model costs its memory once.
pub fn choose(setups: &[Stand]) -> Choice {
    let setups = setups.get(..MAX_SETUPS).unwrap_or(setups);
    let find = |wanted: &[Stand]| setups.iter().position(|stand| wanted.contains(stand));
    let Some(best) = setups.iter().position(|stand| *stand != Stand::Failed) else {
        return Choice { serve: 0, load: None, release: 0 };
    };
    let ready = find(&[Stand::Ready]);
    let coming = find(&[Stand::Ready, Stand::Loading]);
    let load = match setups[best] {
        Stand::Idle => Some(best),
        Stand::Away | Stand::Building | Stand::Leaving if coming.is_none() => find(&[Stand::Idle]),
        Stand::Away | Stand::Building | Stand::Leaving | Stand::Loading | Stand::Ready | Stand::Failed => None,
    };
    let serve = ready
        .or_else(|| find(&[Stand::Leaving]))
        .or_else(|| find(&[Stand::Loading]))
        .or(load)
        .or_else(|| find(&[Stand::Building]))
        .unwrap_or(best);
    // Only what comes after the best can stand in for it.
    let after = u64::MAX.checked_shl(u32::try_from(best + 1).unwrap_or(u32::MAX)).unwrap_or(0);
    let release = if setups[best] == Stand::Ready { holding(setups) & after } else { 0 };
    Choice { serve, load, release }
}

/// The setups that hold something, or will.
fn holding(setups: &[Stand]) -> u64 {
    let holds = |stand: &Stand| !matches!(stand, Stand::Idle | Stand::Failed);
    setups.iter().enumerate().filter(|(_, stand)| holds(stand)).fold(0, |bits, (at, _)| bits | 1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stand::{Away, Building, Failed, Idle, Leaving, Loading, Ready};

    fn check(setups: &[Stand], serve: usize, load: Option<usize>, release: &[usize]) {
        let release = release.iter().fold(0, |bits, at| bits | 1 << at);
        assert_eq!(choose(setups), Choice { serve, load, release }, "{setups:?}");
    }

    #[test]
    fn the_most_wanted_setup_is_loaded_and_alone() {
        check(&[Idle, Idle], 0, Some(0), &[]);
        check(&[Loading, Idle], 0, None, &[]);
        check(&[Ready, Idle], 0, None, &[]);
        check(&[Failed, Idle, Idle], 1, Some(1), &[]);
        check(&[Failed, Ready], 1, None, &[]);
    }

    #[test]
    fn while_it_is_away_or_takes_long_the_next_one_stands_in() {
        check(&[Away, Idle, Idle], 1, Some(1), &[]);
        check(&[Away, Loading, Idle], 1, None, &[]);
        check(&[Away, Ready, Idle], 1, None, &[]);
        check(&[Building, Idle], 1, Some(1), &[]);
        check(&[Building, Ready], 1, None, &[]);
        check(&[Away, Failed, Idle], 2, Some(2), &[]);
        check(&[Away, Away, Idle], 2, Some(2), &[]);
        check(&[Away], 0, None, &[]);
        check(&[Building], 0, None, &[]);
    }

    #[test]
    fn one_that_is_leaving_serves_until_the_next_one_can() {
        check(&[Leaving, Idle, Idle], 0, Some(1), &[]);
        check(&[Leaving, Loading, Idle], 0, None, &[]);
        check(&[Leaving, Ready], 1, None, &[]);
        check(&[Leaving, Failed], 0, None, &[]);
        check(&[Leaving, Building], 0, None, &[]);
        check(&[Leaving], 0, None, &[]);
        check(&[Idle, Leaving], 1, Some(0), &[]);
        check(&[Ready, Leaving], 0, None, &[1]);
        check(&[Leaving, Leaving, Idle], 0, Some(2), &[]);
    }

    #[test]
    fn when_it_is_back_it_serves_and_the_stand_in_is_let_go() {
        check(&[Loading, Ready], 1, None, &[]);
        check(&[Ready, Ready, Idle], 0, None, &[1]);
        check(&[Ready, Loading, Away], 0, None, &[1, 2]);
        check(&[Failed, Ready, Ready], 1, None, &[2]);
    }

    #[test]
    fn a_model_of_which_nothing_can_be_loaded_keeps_its_first_reason() {
        check(&[Failed, Failed], 0, None, &[]);
        check(&[], 0, None, &[]);
    }

    #[test]
    fn whatever_the_setups_say_the_choice_is_one_of_them_and_never_lets_go_of_what_serves() {
        let all = [Idle, Loading, Building, Ready, Leaving, Away, Failed];
        for index in 0..all.len().pow(4) {
            let setups: Vec<Stand> = (0..4).map(|at| all[index / all.len().pow(at) % all.len()]).collect();
            let choice = choose(&setups);
            assert!(choice.serve < setups.len() && choice.release & 1 << choice.serve == 0, "{setups:?}: {choice:?}");
            assert!(choice.load.is_none_or(|load| setups[load] == Idle), "{setups:?}: {choice:?}");
            let serves = |stand: Stand| setups[choice.serve] == stand;
            assert!(serves(Ready) || !setups.contains(&Ready), "{setups:?}: {choice:?}");
            assert!(serves(Ready) || serves(Leaving) || !setups.contains(&Leaving), "{setups:?}: {choice:?}");
        }
    }
}
