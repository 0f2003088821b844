//! From outcomes to a model: weights, calibration, gains by task. The same rows give the same model.
//!
//! 1. Two heads are fitted on the texts: *helps* (only the stronger site is right) and *harms* (only the weaker is). Their
//!    difference is the expected gain. It ranks better than *helps* alone: where both fail, nothing is gained by sending.
//! 2. Each row is also scored by heads that did not see it (five folds). The penalty is the one with which these
//!    scores surprise least.
//! 3. On these scores a slope, an offset and what each task adds are fitted, each drawn towards 1 or 0. It calibrates the heads (Platt
//!    1999) and shrinks the tasks: few rows say little (empirical Bayes: the spread of tasks that surprises least).

use std::collections::BTreeMap;

use thiserror::Error;

use super::features::mixed;
use super::features::{BUCKETS, PLAIN, Reader, Sketch, WIDTH};
use super::fit::{Fitted, Problem, count, fit, surprise};
use super::model::{About, Head, Known, Learnt, MAX_TASKS, Spread, TaskGain, WORD_BITS};

/// Penalties that are tried, hardest first: each fit starts from the one before.
const PENALTIES: [f64; 4] = [10.0, 3.3, 1.0, 0.5];
/// Spreads of what a task adds, in logarithms of odds, that are tried.
const SPREADS: [f32; 4] = [0.1, 0.25, 0.5, 1.0];
/// How far the slope of a calibration may go from 1, in the same sense.
const SLOPE_SPREAD: f32 = 0.3;
/// Parts of the rows of which each is scored by what the others say.
const FOLDS: u64 = 5;
/// Rows below which nothing is learnt.
pub const FEWEST: usize = 50;
/// Part of the texts learnt from that would be familiar to a model that had not seen them.
const FAMILIAR: f64 = 0.99;

/// One outcome: how good both answers to a text were, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub text: String,
    pub weak: f64,
    pub strong: f64,
    pub task: Option<String>,
}

impl Row {
    /// By how much the stronger site was better: what staying local lost.
    pub fn helps(&self) -> f64 {
        (self.strong - self.weak).max(0.0)
    }

    /// By how much it was worse.
    pub fn harms(&self) -> f64 {
        (self.weak - self.strong).max(0.0)
    }
}

/// Why nothing was learnt.
#[derive(Debug, Error, PartialEq)]
pub enum TrainError {
    #[error("{found} rows to learn from: at least {FEWEST} are needed")]
    Few { found: usize },
    #[error(
        "{found} rows: at least {needed} are needed, so that {FEWEST} teach while the others are held out to find the threshold on; \
         1000 are good"
    )]
    Rows { found: usize, needed: u64 },
    #[error("row {row}: {name} is {found}; takes 0 to 1")]
    Range { row: usize, name: &'static str, found: f64 },
    #[error("{found} kinds of task: at most {MAX_TASKS}")]
    Tasks { found: usize },
}

/// A model, and the expected gain of each row by models that had not seen it.
#[derive(Clone, Debug)]
pub struct Trained {
    pub learnt: Learnt,
    pub unseen: Vec<f64>,
    /// Penalties of the two heads, and the spreads of their tasks.
    pub penalties: [f64; 2],
    pub spreads: [f32; 2],
}

/// Learns from rows. `seed` says which rows are in which fold.
///
/// # Errors
/// Too few rows, too many tasks, a quality beyond 0 to 1.
pub fn train(rows: &[Row], seed: u64) -> Result<Trained, TrainError> {
    check(rows)?;
    let names: Vec<&str> = {
        let tasks: BTreeMap<&str, ()> = rows.iter().filter_map(|row| Some((row.task.as_deref()?, ()))).collect();
        tasks.into_keys().collect()
    };
    if names.len() > MAX_TASKS {
        return Err(TrainError::Tasks { found: names.len() });
    }
    let sheet = Sheet::of(rows, &names, seed);
    let helps = sheet.head(rows.iter().map(Row::helps).collect());
    let harms = sheet.head(rows.iter().map(Row::harms).collect());
    let unseen = helps.unseen.iter().zip(&harms.unseen).map(|(helps, harms)| chance(*helps) - chance(*harms)).collect();
    let tasks = task_gains(rows, &names, &helps.tasks, &harms.tasks);
    let mean = |of: fn(&Row) -> f64| small(rows.iter().map(of).sum::<f64>() / count(rows.len()));
    let about = About {
        trained: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        weak: mean(|row| row.weak),
        strong: mean(|row| row.strong),
        ..About::default()
    };
    let (penalties, spreads) = ([helps.penalty, harms.penalty], [helps.spread, harms.spread]);
    let (plain, known) = (sheet.plain, sheet.known);
    let learnt = Learnt { about, helps: helps.head, harms: harms.head, plain, known, tasks, guarantee: None };
    Ok(Trained { learnt, unseen, penalties, spreads })
}

fn check(rows: &[Row]) -> Result<(), TrainError> {
    if rows.len() < FEWEST {
        return Err(TrainError::Few { found: rows.len() });
    }
    let qualities = |row: &Row| [("weak", row.weak), ("strong", row.strong)];
    for (at, (name, found)) in rows.iter().enumerate().flat_map(|(at, row)| qualities(row).map(|quality| (at, quality)))
    {
        if !(0.0..=1.0).contains(&found) {
            return Err(TrainError::Range { row: at + 1, name, found });
        }
    }
    Ok(())
}

/// The fold of a row.
fn fold(row: usize, seed: u64) -> u64 {
    mixed(mixed(seed).wrapping_add(u64::try_from(row).unwrap_or(u64::MAX))) % FOLDS
}

/// Rows as numbers.
struct Sheet {
    rows: Vec<Vec<(u16, f32)>>,
    folds: Vec<u64>,
    /// Place of each row's task.
    tasks: Vec<Option<u16>>,
    kinds: usize,
    plain: [Spread; PLAIN],
    known: Known,
}

/// What was found for one target.
struct Found {
    head: Head,
    /// Each row's sum by what did not see it, the task's part included.
    unseen: Vec<f64>,
    tasks: Vec<f64>,
    penalty: f64,
    spread: f32,
}

impl Sheet {
    fn of(rows: &[Row], names: &[&str], seed: u64) -> Sheet {
        let mut reader = Reader::default();
        let sketches: Vec<Sketch> = rows.iter().map(|row| reader.read(&row.text).clone()).collect();
        let plain = spreads(&sketches);
        let folds: Vec<u64> = (0..rows.len()).map(|row| fold(row, seed)).collect();
        let place = |row: &Row| u16::try_from(names.binary_search(&row.task.as_deref()?).ok()?).ok();
        Sheet {
            known: known(&sketches, &folds),
            rows: sketches.iter().map(|sketch| sparse(sketch, &plain)).collect(),
            folds,
            tasks: rows.iter().map(place).collect(),
            kinds: names.len(),
            plain,
        }
    }

    fn head(&self, targets: Vec<f64>) -> Found {
        let (penalty, sums) = self.penalised(&targets);
        let whole = fit(&self.problem(&targets, penalty, |_| true), None);
        let (spread, unseen) = self.spread(&targets, &sums);
        let (second, offset) = self.second(&targets, &sums, spread, |_| true);
        let slope = 1.0 + second.weights.first().copied().unwrap_or_default() * f64::from(SLOPE_SPREAD);
        let weights: Vec<f64> = whole.weights.iter().map(|weight| weight * slope).collect();
        let head = Head::of(&weights, slope * (whole.bias - offset) + offset + second.bias);
        let tasks = second.weights.iter().skip(1).map(|weight| weight * f64::from(spread)).collect();
        Found { head, unseen, tasks, penalty, spread }
    }

    fn problem<'a>(&'a self, targets: &[f64], penalty: f64, takes: impl Fn(usize) -> bool) -> Problem<'a> {
        let taken: Vec<usize> = (0..self.rows.len()).filter(|row| takes(*row)).collect();
        Problem {
            rows: taken.iter().map(|row| self.rows[*row].as_slice()).collect(),
            targets: taken.iter().map(|row| targets[*row]).collect(),
            offsets: vec![0.0; taken.len()],
            width: WIDTH,
            penalty,
        }
    }

    /// The penalty that surprises least, and each row's sum with it by what did not see the row.
    fn penalised(&self, targets: &[f64]) -> (f64, Vec<f64>) {
        let mut sums = vec![vec![0.0; self.rows.len()]; PENALTIES.len()];
        for out in 0..FOLDS {
            let mut last: Option<Fitted> = None;
            for (penalty, sums) in PENALTIES.iter().zip(&mut sums) {
                let found = fit(&self.problem(targets, *penalty, |row| self.folds[row] != out), last.as_ref());
                for row in (0..self.rows.len()).filter(|row| self.folds[*row] == out) {
                    sums[row] = found.sum(&self.rows[row]);
                }
                last = Some(found);
            }
        }
        let best = least(PENALTIES.into_iter().zip(sums), |sums| total(sums, targets));
        best.unwrap_or((PENALTIES[0], vec![0.0; self.rows.len()]))
    }

    /// The spread of tasks that surprises least, and each row's sum with it by what did not see the row.
    fn spread(&self, targets: &[f64], sums: &[f64]) -> (f32, Vec<f64>) {
        let tried = SPREADS.into_iter().map(|spread| {
            let mut unseen = vec![0.0; sums.len()];
            for out in 0..FOLDS {
                let (second, offset) = self.second(targets, sums, spread, |row| self.folds[row] != out);
                for row in (0..sums.len()).filter(|row| self.folds[*row] == out) {
                    unseen[row] = sums[row] + second.sum(&self.second_row(row, sums[row] - offset, spread));
                }
            }
            (spread, unseen)
        });
        least(tried, |unseen| total(unseen, targets)).unwrap_or((SPREADS[0], sums.to_vec()))
    }

    /// Slope, offset and tasks, fitted on sums; and the sum at which the slope turns.
    fn second(&self, targets: &[f64], sums: &[f64], spread: f32, takes: impl Fn(usize) -> bool) -> (Fitted, f64) {
        let taken: Vec<usize> = (0..sums.len()).filter(|row| takes(*row)).collect();
        let middle = taken.iter().map(|row| sums[*row]).sum::<f64>() / count(taken.len().max(1));
        let rows: Vec<_> = taken.iter().map(|row| self.second_row(*row, sums[*row] - middle, spread)).collect();
        let problem = Problem {
            rows: rows.iter().map(Vec::as_slice).collect(),
            targets: taken.iter().map(|row| targets[*row]).collect(),
            offsets: taken.iter().map(|row| sums[*row]).collect(),
            width: 1 + self.kinds,
            penalty: 1.0,
        };
        let start = Fitted { weights: vec![0.0; problem.width], bias: 0.0 };
        (fit(&problem, Some(&start)), middle)
    }

    fn second_row(&self, row: usize, sum: f64, spread: f32) -> Vec<(u16, f32)> {
        let slope = (0, small(sum) * SLOPE_SPREAD);
        let task = self.tasks[row].map(|task| (task + 1, spread));
        std::iter::once(slope).chain(task).collect()
    }
}

/// The one that costs least; the first of equals.
fn least<K, V>(tried: impl Iterator<Item = (K, V)>, cost: impl Fn(&V) -> f64) -> Option<(K, V)> {
    tried
        .map(|(key, value)| (cost(&value), key, value))
        .min_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, key, value)| (key, value))
}

fn total(sums: &[f64], targets: &[f64]) -> f64 {
    sums.iter().zip(targets).map(|(sum, target)| surprise(*sum, *target)).sum()
}

fn chance(sum: f64) -> f64 {
    super::fit::logistic(sum)
}

#[expect(clippy::cast_possible_truncation, reason = "what is kept needs no more digits")]
fn small(value: f64) -> f32 {
    value as f32
}

fn sparse(sketch: &Sketch, plain: &[Spread; PLAIN]) -> Vec<(u16, f32)> {
    let places = (0..).map(|at| u16::try_from(BUCKETS + at).unwrap_or(u16::MAX));
    let values = sketch.plain.iter().zip(plain).map(|(value, spread)| spread.of(*value));
    sketch.pieces.iter().copied().chain(places.zip(values)).collect()
}

fn spreads(sketches: &[Sketch]) -> [Spread; PLAIN] {
    let all = count(sketches.len().max(1));
    std::array::from_fn(|at| {
        let values = || sketches.iter().map(|sketch| f64::from(sketch.plain[at]));
        let mean = values().sum::<f64>() / all;
        let square = values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / all;
        let deviation = if square > 1e-10 { square.sqrt() } else { 1.0 };
        Spread { mean: small(mean), deviation: small(deviation) }
    })
}

/// The words that were seen, and the share of them that a text has to have: so that of these texts all but one in a hundred would
/// have it if they had not been seen.
fn known(sketches: &[Sketch], folds: &[u64]) -> Known {
    let longest = sketches.iter().map(|sketch| sketch.bytes).max().unwrap_or_default();
    let longest = u32::try_from(longest).unwrap_or(u32::MAX);
    let of = |takes: &dyn Fn(u64) -> bool| {
        let mut words = vec![0_u8; WORD_BITS / 8];
        let taken = sketches.iter().zip(folds).filter(|(_, fold)| takes(**fold));
        for word in taken.flat_map(|(sketch, _)| &sketch.words) {
            words[usize::from(*word >> 3)] |= 1 << (*word & 7);
        }
        Known { words, floor: 0.0, longest }
    };
    let mut shares = Vec::new();
    for out in 0..FOLDS {
        let others = of(&|fold| fold != out);
        let unseen = sketches.iter().zip(folds).filter(|(_, fold)| **fold == out);
        shares.extend(unseen.filter_map(|(sketch, _)| others.share(sketch)));
    }
    shares.sort_by(|left, right| right.total_cmp(left));
    let last = (1..=shares.len()).take_while(|at| count(*at) <= FAMILIAR * count(shares.len())).last();
    let floor = last.and_then(|at| shares.get(at - 1)).copied().unwrap_or_default();
    Known { floor, ..of(&|_| true) }
}

/// What each task gains: as measured, and drawn towards the mean over all (James and Stein's way, with variances by moments).
fn task_gains(rows: &[Row], names: &[&str], helps: &[f64], harms: &[f64]) -> Vec<TaskGain> {
    let gain = |row: &Row| row.strong - row.weak;
    let all = count(rows.len());
    let mean = rows.iter().map(gain).sum::<f64>() / all;
    let noise = rows.iter().map(|row| (gain(row) - mean).powi(2)).sum::<f64>() / all;
    let of = |name: &str| {
        let gains = rows.iter().filter(|row| row.task.as_deref() == Some(name)).map(gain);
        gains.fold((0_u32, 0.0), |(rows, sum), gain| (rows + 1, sum + gain))
    };
    let sums: Vec<(u32, f64)> = names.iter().map(|name| of(name)).collect();
    let between: f64 = sums.iter().map(|(rows, sum)| f64::from(*rows) * (sum / f64::from(*rows) - mean).powi(2)).sum();
    // DerSimonian and Laird's estimate of the variance between tasks, with one variance within all.
    let weight: f64 = all - sums.iter().map(|(rows, _)| f64::from(*rows).powi(2)).sum::<f64>() / all;
    let variance = ((between - noise * (count(names.len()) - 1.0)) / weight.max(1.0)).max(0.0);
    let told = |(at, name): (usize, &&str)| {
        let (rows, sum) = sums[at];
        let measured = sum / f64::from(rows.max(1));
        let trust = if variance > 0.0 { variance / (variance + noise / f64::from(rows.max(1))) } else { 0.0 };
        TaskGain {
            name: (*name).to_owned(),
            rows,
            measured: small(measured),
            shrunk: small(mean + trust * (measured - mean)),
            helps: small(helps.get(at).copied().unwrap_or_default()),
            harms: small(harms.get(at).copied().unwrap_or_default()),
        }
    };
    names.iter().enumerate().map(told).collect()
}
