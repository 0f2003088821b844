//! Who goes first when there is more to do than the box can: what an urgent request waits for, and what equal callers get.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::task::JoinSet;

use super::table::{Promise, Table};
use super::work::{TEXT_LINE, Work};
use super::{at, ms};
use crate::answer::{Yes, options};
use crate::client::bus::BusClient;
use crate::clock::{Stopwatch, measure_for};
use crate::stack::Stack;

/// The model: one whose runs are longer than anything else on the way.
const WORK: Work = TEXT_LINE;
/// Time for estimates to settle and lines to fill.
const SETTLING: Duration = Duration::from_secs(2);
/// Time in which what each caller gets is counted.
const COUNTED: Duration = Duration::from_secs(8);
/// Urgent requests whose delay is measured.
const URGENT: usize = 150;
/// The policy's `max_chunk_ms`.
const CHUNK: Duration = Duration::from_millis(20);

/// Both figures, on a running stack.
pub async fn rows(stack: &Stack, table: &mut Table) -> Result<()> {
    urgent(stack, table).await?;
    fair(stack, table).await
}

/// Some that ask without end, so many at once of one caller.
struct Crowd {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    running: JoinSet<Result<()>>,
}

impl Crowd {
    async fn start(stack: &Stack, at_once: usize, priority: &'static str) -> Result<Crowd> {
        let caller = Arc::new(stack.client().await?);
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mut running = JoinSet::new();
        for _ in 0..at_once {
            let (caller, stop, answered) = (caller.clone(), stop.clone(), answered.clone());
            running.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Refusals for lack of room are a part of it.
                    if ask(&caller, priority).await?.is_some() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            });
        }
        Ok(Crowd { stop, answered, running })
    }

    async fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.running.join_next().await {
            ended.context("a caller panicked")??;
        }
        Ok(())
    }
}

/// One request; how long it took and for how long it ran, if it was answered with a result.
async fn ask(caller: &BusClient, priority: &str) -> Result<Option<(Duration, Duration)>> {
    let options = options(json!({"priority": priority, "deadline_ms": 20_000}));
    let input = WORK.tensor();
    let watch = Stopwatch::start();
    let outcome = caller.infer_sealed(WORK.model, std::slice::from_ref(&input), &options).await?;
    let took = watch.elapsed();
    let ran = |yes: Yes| Duration::from_micros(yes.info["compute_us"].as_u64().unwrap_or(0));
    Ok(outcome.ok().map(|yes| (took, ran(yes))))
}

async fn urgent(stack: &Stack, table: &mut Table) -> Result<()> {
    let caller = stack.client().await?.peer().await?;
    let (_, mut alone) = times(&caller, URGENT / 3).await?;
    let crowd = Crowd::start(stack, 24, "low").await?;
    measure_for(SETTLING).await;
    let (mut urgent, mut runs) = times(&caller, URGENT).await?;
    crowd.end().await?;
    // Its own run beside those of others, which share caches and processors with it. A chunk is one item where that takes longer.
    let own = at(&mut runs, 0.5);
    let bound = CHUNK.max(own) + own;
    let (p50, p99) = (at(&mut urgent, 0.5), at(&mut urgent, 0.99));
    let note = format!(
        "p50 {:.1}, p99 {:.1} ms; a chunk {:.1} ms, its own run {:.1} ms, alone {:.1} ms",
        ms(p50),
        ms(p99),
        ms(CHUNK.max(own)),
        ms(own),
        ms(at(&mut alone, 0.5))
    );
    let what = "text-line, high priority while low saturates: p99 / (chunk + own run)";
    table.add(what, "x", Promise::AtMost(1.0), p99.as_secs_f64() / bound.as_secs_f64(), note);
    Ok(())
}

/// How long so many requests took, and for how long each ran.
async fn times(caller: &BusClient, count: usize) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let mut times = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let (took, ran) = ask(caller, "high").await?.context("an urgent request was refused")?;
        times.0.push(took);
        times.1.push(ran);
    }
    Ok(times)
}

/// Four equal callers, one of which offers ten times the load of each other.
async fn fair(stack: &Stack, table: &mut Table) -> Result<()> {
    let mut crowds = Vec::new();
    for at_once in [40, 4, 4, 4] {
        crowds.push(Crowd::start(stack, at_once, "normal").await?);
    }
    measure_for(SETTLING).await;
    let read = |crowds: &[Crowd]| -> Vec<f64> {
        crowds.iter().map(|crowd| f64::from(crowd.answered.load(Ordering::Relaxed))).collect()
    };
    let before = read(&crowds);
    measure_for(COUNTED).await;
    let got: Vec<f64> = read(&crowds).iter().zip(&before).map(|(after, before)| after - before).collect();
    for crowd in crowds {
        crowd.end().await?;
    }
    let note = format!("answers in {} s: {got:?}, the first asks ten times as much", COUNTED.as_secs());
    table.add("text-line, four equal callers: Jain's index", "", Promise::AtLeast(0.95), jain(&got), note);
    Ok(())
}

/// Jain's index of fairness: 1 if all get the same, 1/n if one gets all (R. Jain, D. Chiu, W. Hawe, 1984).
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
    let count = f64::from(u32::try_from(shares.len()).unwrap_or(1));
    if squares > 0.0 { sum * sum / (count * squares) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_for_equal_shares_and_a_quarter_for_one_of_four() {
        assert!((jain(&[5.0; 4]) - 1.0).abs() < 1e-12);
        assert!((jain(&[5.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-12);
        assert_eq!(jain(&[]), 0.0);
    }
}
