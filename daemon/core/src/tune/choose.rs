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
    /// What the box takes for one item at that batch, microjoules; `None` if unknown.
    pub item_uj: Option<u64>,
}

/// What a way is worth with so many of its sessions, at the batch that is best by `objective`; `None` if its single run was
/// not measured, or energy is asked for and was not metered.
fn worth(points: &[Point], way: usize, lanes: u16, objective: Objective) -> Option<Chosen> {
    let of_way = || points.iter().filter(move |point| point.way == way);
    let alone = of_way().find(|point| (point.lanes, point.batch) == (1, 1))?.took;
    let at_work = of_way().filter(|point| point.lanes == lanes);
    let best = match objective {
        Objective::Latency | Objective::Throughput => {
            at_work.max_by_key(|point| (point.rate_milli(), core::cmp::Reverse(point.batch)))?
        }
        Objective::Efficiency => at_work
            .filter_map(|point| Some((point.item_uj()?, point)))
            .min_by_key(|(energy, point)| (*energy, point.batch))
            .map(|(_, point)| point)?,
    };
    Some(Chosen { way, lanes, batch: best.batch, alone, rate_milli: best.rate_milli(), item_uj: best.item_uj() })
}

/// The best of the ways that `good` allows, by `objective`; `None` if nothing of them was measured, or energy is asked for
/// and was not metered. Among those that are alike in it, another figure decides, then fewer sessions.
pub fn choose(ways: &[Way], points: &[Point], objective: Objective, good: impl Fn(usize) -> bool) -> Option<Chosen> {
    let mut all: Vec<Chosen> = Vec::new();
    for (way, kind) in ways.iter().enumerate().filter(|(way, _)| good(*way)) {
        let mut lanes = vec![1];
        if kind.instances > 1 {
            lanes.push(kind.instances);
        }
        all.extend(lanes.into_iter().filter_map(|lanes| worth(points, way, lanes, objective)));
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
            // It is measured while nobody asks. When they do, threads are interrupted, and those that work on one run wait
            // for each other at every step: separate sessions lose less of it.
            let threads = |chosen: &Chosen| ways.get(chosen.way).map_or(1, |way| way.threads);
            all.into_iter().filter(alike).min_by_key(|chosen| (threads(chosen), chosen.alone, chosen.lanes))
        }
        Objective::Efficiency => {
            let energy = |chosen: &Chosen| u128::from(chosen.item_uj.unwrap_or(u64::MAX));
            let best = all.iter().map(energy).min()?;
            let alike = |chosen: &Chosen| energy(chosen) * 100 <= best * u128::from(100 + ALIKE_PERCENT);
            all.into_iter().filter(alike).max_by_key(|chosen| (chosen.rate_milli, core::cmp::Reverse(chosen.lanes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [Way; 3] = [
        Way { instances: 2, threads: 1, max_batch: 8 },
        Way { instances: 1, threads: 2, max_batch: 8 },
        Way { instances: 1, threads: 2, max_batch: 8 },
    ];

    /// Points of (way, sessions, batch, milliseconds).
    fn points(list: &[(usize, u16, u16, u64)]) -> Vec<Point> {
        let point =
            |&(way, lanes, batch, ms)| Point { way, lanes, batch, took: Duration::from_millis(ms), power_mw: None };
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
    fn of_ways_that_do_as_much_the_one_with_separate_sessions_is_kept() {
        // Two sessions of one thread do 305 in a second, one of two threads 301; the third one does clearly more.
        let measured = [(0, 1, 1, 6), (0, 2, 1, 6), (1, 1, 1, 4), (1, 1, 8, 24)];
        check(&measured, Objective::Throughput, &[0, 1], Some((0, 2, 1)));
        check(&measured, Objective::Latency, &[0, 1], Some((1, 1, 8)));
        check(
            &[measured.as_slice(), &[(2, 1, 8, 20)], &[(2, 1, 1, 4)]].concat(),
            Objective::Throughput,
            &[0, 1, 2],
            Some((2, 1, 8)),
        );
    }

    #[test]
    fn by_efficiency_that_is_kept_which_takes_least_for_an_item() {
        // The second way is half as fast as the first and takes a third of its power; of the third nothing is known.
        let powers = [Some(12_000), Some(4_000), None];
        let measured = [(0, 1, 1, 20), (0, 1, 4, 60), (0, 2, 1, 22), (1, 1, 1, 40), (1, 1, 2, 80), (2, 1, 1, 1)];
        let mut points = points(&measured);
        points.iter_mut().for_each(|point| point.power_mw = powers[point.way]);
        let chosen = |good: &[usize]| {
            let chosen = choose(&WAYS, &points, Objective::Efficiency, |way| good.contains(&way));
            chosen.map(|chosen| (chosen.way, chosen.lanes, chosen.batch, chosen.item_uj))
        };
        // 12 W * 22 ms / 2 = 132 mJ with both sessions; 4 W * 40 ms = 160 mJ; 12 W * 60 ms / 4 = 180 mJ.
        assert_eq!(chosen(&[0, 1, 2]), Some((0, 2, 1, Some(132_000))));
        assert_eq!(chosen(&[1, 2]), Some((1, 1, 1, Some(160_000))));
        assert_eq!(chosen(&[2]), None);
    }

    #[test]
    fn objectives_are_found_by_their_words() {
        for objective in Objective::ALL {
            assert_eq!(Objective::from_word(objective.as_str()), Some(objective));
        }
        assert_eq!(Objective::from_word("speed"), None);
    }
}
