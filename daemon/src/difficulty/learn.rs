//! A table of outcomes to a model with a threshold: which rows weights come from, which are held out, what is certified on
//! them. Pure: the day is passed in.

use edge_core::quality::{Certified, Labelled, certify};
use edge_core::units::Ratio;

use super::curve::{Call, Curve};
use super::features::{Reader, mixed};
use super::fit::count;
use super::model::{Guarantee, Learnt, Score};
use super::train::{FEWEST, Row, TrainError, Trained, train};

/// Share of the rows that are held out: fewer certify little, more leave little to learn from.
pub const HELD_OUT: f64 = 0.3;
/// Thresholds that are tried, from the safest on.
const THRESHOLDS: usize = 100;
/// Quality, as part of the strong one, at which the share kept local is told.
pub const KEPT_AT: f64 = 0.95;

/// What is to be held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Aim {
    /// Bound on the mean loss over all requests.
    pub target_loss: Ratio,
    /// How sure.
    pub confidence: Ratio,
    /// Which rows are held out, and which are in which fold.
    pub seed: u64,
    /// Today, for the file.
    pub date: String,
    /// The table's name, for the file.
    pub source: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Lesson {
    pub learnt: Learnt,
    /// Quality over the share sent, each row scored by a model that had not seen it. `None` if the stronger site gains nothing
    /// that could be told from chance: then nothing is certified either.
    pub curve: Option<Curve>,
    pub gap: Gap,
    pub certified: Option<Certified>,
}

/// Standard errors by which a gain must differ from none: less may be chance in one table of forty.
const SURE: f64 = 2.0;

/// What the stronger site gains over all rows: that is what there is to be recovered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    pub mean: f64,
    /// Standard error of the mean.
    pub error: f64,
}

impl Gap {
    fn of(rows: &[Row]) -> Gap {
        let all = count(rows.len().max(1));
        let gain = |row: &Row| row.strong - row.weak;
        let mean = rows.iter().map(gain).sum::<f64>() / all;
        let spread = rows.iter().map(|row| (gain(row) - mean).powi(2)).sum::<f64>() / all;
        Gap { mean, error: (spread / all).sqrt() }
    }

    /// Whether there is any, beyond what chance makes.
    pub fn is_there(&self) -> bool {
        self.mean > 0.0 && self.mean > SURE * self.error
    }
}

/// Learns, evaluates by cross-validation, certifies on the rows held out.
///
/// # Errors
/// Too few rows, or ones that cannot be learnt from.
pub fn learn(rows: &[Row], aim: &Aim) -> Result<Lesson, TrainError> {
    let (mut held, mut rest) = (Vec::new(), Vec::new());
    for (at, row) in (0..).zip(rows) {
        if is_held_out(at, aim.seed) { held.push(row.clone()) } else { rest.push(row.clone()) }
    }
    if rest.len() < FEWEST {
        return Err(TrainError::Rows { found: rows.len(), needed: needed(aim.seed) });
    }
    let Trained { mut learnt, unseen, .. } = train(&rest, aim.seed)?;
    let call = |(row, score): (&Row, &f64)| Call { score: *score, weak: row.weak, strong: row.strong };
    let curve = Curve::of(&rest.iter().zip(&unseen).map(call).collect::<Vec<_>>());
    let gap = Gap::of(rows);
    let curve = curve.filter(|curve| gap.is_there() && curve.apgr().is_some());
    let delta = Ratio::new(1.0 - aim.confidence.get()).unwrap_or(Ratio::ZERO);
    let certified =
        curve.as_ref().and_then(|_| certify(&labelled(&learnt, &held), &thresholds(&unseen), aim.target_loss, delta));
    let mean = |of: fn(&Row) -> f64| small(rows.iter().map(of).sum::<f64>() / count(rows.len().max(1)));
    let about = &mut learnt.about;
    (about.date, about.source) = (aim.date.clone(), aim.source.clone());
    about.held_out = u32::try_from(held.len()).unwrap_or(u32::MAX);
    (about.weak, about.strong) = (mean(|row| row.weak), mean(|row| row.strong));
    if let Some(curve) = &curve {
        (about.apgr, about.kept) = (small(curve.apgr().unwrap_or_default()), small(curve.kept_at(KEPT_AT)));
    }
    learnt.guarantee = certified.map(|found| Guarantee {
        threshold: small(found.threshold),
        target_loss: small(aim.target_loss.get()),
        confidence: small(aim.confidence.get()),
        kept: small(f64::from(found.kept) / f64::from(found.labelled.max(1))),
        loss: small(found.loss),
    });
    Ok(Lesson { learnt, curve, gap, certified })
}

/// Rows that a table must have, so that enough of them are left to learn from.
fn needed(seed: u64) -> u64 {
    (0..).filter(|row| !is_held_out(*row, seed)).nth(FEWEST - 1).map_or(u64::MAX, |last| last + 1)
}

/// By the row's number: a text that is often asked is on both sides, as it will be asked again.
fn is_held_out(row: u64, seed: u64) -> bool {
    let part = u32::try_from(mixed(mixed(seed.wrapping_add(0x5eed)) ^ row) >> 32).unwrap_or(u32::MAX);
    f64::from(part) < HELD_OUT * f64::from(u32::MAX)
}

/// What the model says of rows, and what they would lose. Of what it does not know nothing stays.
pub fn labelled(learnt: &Learnt, rows: &[Row]) -> Vec<Labelled> {
    let mut reader = Reader::default();
    let one = |row: &Row| Labelled {
        score: match learnt.score(&mut reader, &row.text, row.task.as_deref()) {
            Score::Known(expected) => expected.gain().into(),
            Score::Unknown(_) => f64::INFINITY,
        },
        loss: Ratio::new(row.helps()).unwrap_or(Ratio::ONE),
    };
    rows.iter().map(one).collect()
}

/// Quantiles of the scores of rows learnt from, upwards, as they are written.
fn thresholds(unseen: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = unseen.iter().map(|score| f64::from(small(*score))).collect();
    sorted.sort_by(f64::total_cmp);
    let mut found: Vec<f64> = (1..=THRESHOLDS)
        .filter_map(|at| sorted.get((sorted.len() * at / THRESHOLDS).checked_sub(1)?).copied())
        .collect();
    found.dedup();
    found
}

#[expect(clippy::cast_possible_truncation, reason = "what is kept needs no more digits")]
fn small(value: f64) -> f32 {
    value as f32
}
