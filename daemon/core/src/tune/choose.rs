//! Decides which of the measured ways is kept, for one objective and one kind of request. Must not know what the ways are
//! made of; it is told which of them answer right.

use core::time::Duration;

use super::{Point, Way};

/// What a plan is to be best at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// One request alone is answered soonest.
    Latency,
    /// Most requests are answered.
    #[default]
    Throughput,
    /// Least energy is used for each. Needs a power rail that can be read.
    Efficiency,
}

impl Objective {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Objective; 3] = [Objective::Latency, Objective::Throughput, Objective::Efficiency];

    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Objective::Latency => "latency",
            Objective::Throughput => "throughput",
            Objective::Efficiency => "efficiency",
        }
    }

    /// The objective of this name.
    pub fn from_word(word: &str) -> Option<Objective> {
        Objective::ALL.into_iter().find(|objective| objective.as_str() == word)
    }
}

/// What is within this many percent of the best is as good, and the other figure decides.
const ALIKE_PERCENT: u64 = 3;

/// A way that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which way.
    pub way: usize,
    /// How many of its sessions are loaded.
    pub lanes: u16,
    /// The batch at which it answers most.
    pub batch: u16,
    /// Time of one request alone.
    pub alone: Duration,
    /// Items per second at that batch, in thousandths.
    pub rate_milli: u64,
}

/// What a way is worth with so many of its sessions; `None` if its single run was not measured.
fn worth(points: &[Point], way: usize, lanes: u16) -> Option<Chosen> {
    let of_way = || points.iter().filter(move |point| point.way == way);
    let alone = of_way().find(|point| (point.lanes, point.batch) == (1, 1))?.took;
    let best = of_way()
        .filter(|point| point.lanes == lanes)
        .max_by_key(|point| (point.rate_milli(), core::cmp::Reverse(point.batch)))?;
    Some(Chosen { way, lanes, batch: best.batch, alone, rate_milli: best.rate_milli() })
}

/// The best of the ways that `good` allows, by `objective`; `None` if nothing of them was measured, or energy is asked for:
/// no rail was read. Among those that are alike in it, the other figure decides, then fewer sessions.
pub fn choose(ways: &[Way], points: &[Point], objective: Objective, good: impl Fn(usize) -> bool) -> Option<Chosen> {
    let mut all: Vec<Chosen> = Vec::new();
    for (way, kind) in ways.iter().enumerate().filter(|(way, _)| good(*way)) {
        let mut lanes = vec![1];
        if kind.instances > 1 {
            lanes.push(kind.instances);
        }
        all.extend(lanes.into_iter().filter_map(|lanes| worth(points, way, lanes)));
    }
    match objective {
        Objective::Latency => {
            let best = all.iter().map(|chosen| chosen.alone).min()?;
            let alike =
                |chosen: &Chosen| chosen.alone.as_nanos() * 100 <= best.as_nanos() * u128::from(100 + ALIKE_PERCENT);
            all.into_iter().filter(alike).max_by_key(|chosen| (chosen.rate_milli, core::cmp::Reverse(chosen.lanes)))
        }
        Objective::Throughput => {
            let best = u128::from(all.iter().map(|chosen| chosen.rate_milli).max()?);
            let alike = |chosen: &Chosen| u128::from(chosen.rate_milli) * u128::from(100 + ALIKE_PERCENT) >= best * 100;
            all.into_iter().filter(alike).min_by_key(|chosen| (chosen.alone, chosen.lanes))
        }
        Objective::Efficiency => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [Way; 3] =
        [Way { instances: 2, max_batch: 8 }, Way { instances: 1, max_batch: 8 }, Way { instances: 1, max_batch: 8 }];

    /// Points of (way, sessions, batch, milliseconds).
    fn points(list: &[(usize, u16, u16, u64)]) -> Vec<Point> {
        let point = |&(way, lanes, batch, ms)| Point { way, lanes, batch, took: Duration::from_millis(ms) };
        list.iter().map(point).collect()
    }

    fn check(
        list: &[(usize, u16, u16, u64)],
        objective: Objective,
        good: &[usize],
        expected: Option<(usize, u16, u16)>,
    ) {
        let chosen = choose(&WAYS, &points(list), objective, |way| good.contains(&way));
        assert_eq!(
            chosen.map(|chosen| (chosen.way, chosen.lanes, chosen.batch)),
            expected,
            "{list:?} {objective:?} {good:?}"
        );
    }

    #[test]
    fn one_way_is_soonest_and_another_does_most() {
        // Two sessions of one thread, and one of two threads.
        let measured = [(0, 1, 1, 30), (0, 2, 1, 31), (1, 1, 1, 18), (1, 1, 2, 36)];
        check(&measured, Objective::Latency, &[0, 1], Some((1, 1, 1)));
        check(&measured, Objective::Throughput, &[0, 1], Some((0, 2, 1)));
        check(&measured, Objective::Throughput, &[1], Some((1, 1, 1)));
        check(&measured, Objective::Efficiency, &[0, 1], None);
        check(&measured, Objective::Latency, &[], None);
    }

    #[test]
    fn what_is_alike_is_decided_by_the_other_figure() {
        // The second does a hundredth more, the third is much sooner.
        let measured = [(1, 1, 1, 20), (1, 1, 8, 100), (2, 1, 1, 15), (2, 1, 8, 101)];
        check(&measured, Objective::Throughput, &[1, 2], Some((2, 1, 8)));
        // A second session does no harm to one request alone, and does more.
        check(&[(0, 1, 1, 10), (0, 2, 1, 12)], Objective::Latency, &[0], Some((0, 2, 1)));
        // It does not more: one is enough.
        check(&[(0, 1, 1, 10), (0, 2, 1, 20)], Objective::Throughput, &[0], Some((0, 1, 1)));
    }

    #[test]
    fn objectives_are_found_by_their_words() {
        for objective in Objective::ALL {
            assert_eq!(Objective::from_word(objective.as_str()), Some(objective));
        }
        assert_eq!(Objective::from_word("speed"), None);
    }
}
