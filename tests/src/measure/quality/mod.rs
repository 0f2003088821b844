//! What a score that was learnt from 1,000 outcomes keeps local, on outcomes of a weak and a strong model that it has not seen: the
//! promised numbers over random splits, and a picture of one. Nothing here measures this machine but the time of a score.

mod plot;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use edge_core::units::Ratio;
use edged::difficulty::curve::{Call, Curve};
use edged::difficulty::features::Reader;
use edged::difficulty::learn::{Aim, Lesson, learn};
use edged::difficulty::model::{Learnt, Score};
use edged::difficulty::table;
use edged::difficulty::train::{Row, train};

use super::picture;
use super::table::{Promise, Table};
use crate::clock::Stopwatch;
use crate::{measure::median, places};

/// Labels for training; all others are for the test.
const LABELS: usize = 1000;
/// Splits, each from a seed of its own.
const SPLITS: u64 = 20;
/// Part of the strong quality that is to be kept.
const KEPT_AT: f64 = 0.95;
/// What is certified.
const TARGET_LOSS: f64 = 0.05;
const CONFIDENCE: f64 = 0.95;
/// Bytes of a table as it is unpacked.
const MOST_BYTES: usize = 1 << 30;

/// The outcomes of a table, or of the one that comes along.
pub fn outcomes(path: Option<&Path>) -> Result<Vec<Row>> {
    let along = places::repository().join("tests/data/outcomes.csv.zst");
    let path = path.unwrap_or(&along);
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let bytes = match path.extension() {
        Some(end) if end == "zst" => zstd::bulk::decompress(&bytes, MOST_BYTES.min(bytes.len().saturating_mul(64))),
        _ => Ok(bytes),
    };
    let text = String::from_utf8(bytes.with_context(|| format!("unpack {}", path.display()))?)?;
    table::read(&text).with_context(|| format!("read {}", path.display()))
}

/// What came of one split.
struct Split {
    apgr: f64,
    kept: f64,
    apgr_without_task: f64,
    kept_without_task: f64,
    unknown: f64,
    /// Of the threshold that was certified on held-out labels: share kept, and risk, on the test rows.
    certified: Option<(f64, f64)>,
}

/// Adds the promised numbers: medians over the splits, with the worst beside them.
pub fn rows(table: &mut Table, rows: &[Row]) -> Result<()> {
    ensure!(rows.len() > 2 * LABELS, "{} outcomes: more than {} are needed", rows.len(), 2 * LABELS);
    let splits: Vec<Split> = (0..SPLITS).map(|seed| split(rows, seed)).collect::<Result<_>>()?;
    let note = |values: &dyn Fn(&Split) -> f64| {
        let worst = splits.iter().map(values).fold(f64::INFINITY, f64::min);
        format!("median of {SPLITS} splits, worst {worst:.3}")
    };
    let mut add = |what: &str, promise, read: &dyn Fn(&Split) -> f64| {
        table.add(what, "x", promise, median(splits.iter().map(read)), note(read));
    };
    let none = Promise::None;
    add("quality: area under the gain curve (APGR)", Promise::AtLeast(0.63), &|split| split.apgr);
    add("  kept local at 95% of the strong quality", Promise::AtLeast(0.5), &|split| split.kept);
    add("  APGR without task labels", none, &|split| split.apgr_without_task);
    add("  kept local without task labels", none, &|split| split.kept_without_task);
    add("  texts that are unknown, and sent", none, &|split| split.unknown);
    let found: Vec<(f64, f64)> = splits.iter().filter_map(|split| split.certified).collect();
    let risk = found.iter().map(|(_, risk)| *risk).fold(0.0, f64::max);
    let note =
        format!("{} of {SPLITS} splits certified at {TARGET_LOSS}, {CONFIDENCE}; most lost {risk:.3}", found.len());
    add("  kept local by the certified threshold", none, &|split| split.certified.map_or(0.0, |(kept, _)| kept));
    let broken = found.iter().filter(|(_, risk)| *risk > TARGET_LOSS).count();
    let broken = f64::from(u32::try_from(broken)?) / SPLITS as f64 * 100.0;
    table.add(
        "  certified thresholds that lose more than said",
        "%",
        Promise::AtMost(100.0 - 100.0 * CONFIDENCE),
        broken,
        note,
    );
    speed(table, rows)
}

/// Labels and test rows in an order that follows from the seed.
fn shuffled(rows: &[Row], seed: u64) -> (Vec<Row>, Vec<&Row>) {
    let mut order: Vec<(u64, &Row)> = (0..).zip(rows).map(|(at, row)| (spread(seed, at), row)).collect();
    order.sort_by_key(|(place, _)| *place);
    let (labels, test) = order.split_at(LABELS.min(order.len()));
    (labels.iter().map(|(_, row)| (*row).clone()).collect(), test.iter().map(|(_, row)| *row).collect())
}

/// Two rounds of splitmix64.
fn spread(seed: u64, at: u64) -> u64 {
    (0..2).fold(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at, |mixed, _| {
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

fn split(rows: &[Row], seed: u64) -> Result<Split> {
    let (labels, test) = shuffled(rows, seed);
    let trained = train(&labels, seed)?.learnt;
    let curve = |has_task| Curve::of(&calls(&trained, &test, has_task)).context("a curve");
    let (with, without) = (curve(true)?, curve(false)?);
    let unknown = calls(&trained, &test, true).iter().filter(|call| call.score > 1.0).count();
    let apgr = |curve: &Curve| curve.apgr().context("the strong model gains nothing");
    Ok(Split {
        apgr: apgr(&with)?,
        kept: with.kept_at(KEPT_AT),
        apgr_without_task: apgr(&without)?,
        kept_without_task: without.kept_at(KEPT_AT),
        unknown: unknown as f64 / test.len() as f64,
        certified: certified(&labels, &test, seed)?,
    })
}

/// What is known of rows, in the order of the expected gain; the unknown are sent first.
fn calls(learnt: &Learnt, rows: &[&Row], has_task: bool) -> Vec<Call> {
    let mut reader = Reader::default();
    let call = |row: &&Row| {
        let score = match learnt.score(&mut reader, &row.text, row.task.as_deref().filter(|_| has_task)) {
            Score::Known(expected) => f64::from(expected.gain()),
            Score::Unknown(_) => 2.0,
        };
        Call { score, weak: row.weak, strong: row.strong }
    };
    rows.iter().map(call).collect()
}

fn lesson(labels: &[Row], seed: u64) -> Result<Lesson> {
    let share = |value| Ratio::new(value).context("a share");
    let (target_loss, confidence) = (share(TARGET_LOSS)?, share(CONFIDENCE)?);
    Ok(learn(labels, &Aim { target_loss, confidence, seed, date: String::new(), source: String::new() })?)
}

/// Share kept and mean loss over all of the test rows, by a threshold that has not seen them.
fn certified(labels: &[Row], test: &[&Row], seed: u64) -> Result<Option<(f64, f64)>> {
    let learnt = lesson(labels, seed)?.learnt;
    let Some(guarantee) = learnt.guarantee else { return Ok(None) };
    let calls = calls(&learnt, test, true);
    let kept = || calls.iter().filter(|call| call.score <= f64::from(guarantee.threshold));
    let lost: f64 = kept().map(|call| (call.strong - call.weak).max(0.0)).sum();
    Ok(Some((kept().count() as f64 / calls.len() as f64, lost / calls.len() as f64)))
}

/// Time of a score for each kilobyte of text.
fn speed(table: &mut Table, rows: &[Row]) -> Result<()> {
    let (labels, test) = shuffled(rows, 0);
    let learnt = train(&labels, 0)?.learnt;
    let mut reader = Reader::default();
    let texts = &test[..test.len().min(4000)];
    let bytes: usize = texts.iter().map(|row| row.text.len()).sum();
    let mut round = || {
        let watch = Stopwatch::start();
        let known = texts
            .iter()
            .filter(|row| matches!(learnt.score(&mut reader, &row.text, row.task.as_deref()), Score::Known(_)));
        (known.count(), watch.elapsed().as_secs_f64())
    };
    let times: Vec<f64> = (0..5).map(|_| round().1).collect();
    let each = times.iter().copied().fold(f64::INFINITY, f64::min) * 1e6 / (bytes as f64 / 1024.0);
    let size = learnt.write()?.len();
    table.add(
        "  time of a score for each KiB of text",
        "us",
        Promise::None,
        each,
        format!("fastest of 5 rounds; a file of {size} bytes"),
    );
    Ok(())
}

/// Draws the curve of the first split into a folder: `quality.svg` and `quality.png`.
pub fn draw(rows: &[Row], folder: &Path) -> Result<()> {
    let (labels, test) = shuffled(rows, 0);
    let learnt = train(&labels, 0)?.learnt;
    let routed = Curve::of(&calls(&learnt, &test, true)).context("a curve")?;
    let gain = |row: &&Row| Call { score: row.strong - row.weak, weak: row.weak, strong: row.strong };
    let oracle = Curve::of(&test.iter().map(gain).collect::<Vec<_>>()).context("a curve")?;
    let sent = certified(&labels, &test, 0)?.map(|(kept, _)| 1.0 - kept);
    let drawing = plot::drawing(&routed, &oracle, sent, 1.0 - routed.kept_at(KEPT_AT));
    let (svg, png) = (folder.join("quality.svg"), folder.join("quality.png"));
    fs::write(&svg, drawing.svg()).with_context(|| format!("writing {}", svg.display()))?;
    picture::of(&drawing).save(&png).with_context(|| format!("writing {}", png.display()))?;
    println!("drew {} and {}", svg.display(), png.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_comes_along_is_whole_and_a_split_of_it_keeps_the_promises() {
        let rows = outcomes(None).unwrap();
        let right = |of: fn(&Row) -> f64| rows.iter().map(of).sum::<f64>().round();
        assert_eq!((rows.len(), right(|row| row.weak), right(|row| row.strong)), (14_042, 9_560.0, 11_315.0));
        let split = split(&rows, 0).unwrap();
        assert!(split.apgr >= 0.63 && split.kept >= 0.5, "APGR {}, kept {}", split.apgr, split.kept);
        assert!(split.certified.is_some_and(|(kept, risk)| kept > 0.1 && risk <= TARGET_LOSS), "{:?}", split.certified);
    }
}
