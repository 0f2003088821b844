//! What a version that takes over costs those who ask meanwhile: requests that fail, and how much longer they wait.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use super::table::{Promise, Table};
use super::work::{TEXT_LINE, Work};
use crate::answer::options;
use crate::clock::{Stopwatch, measure_for};
use crate::places;
use crate::stack::Stack;
use crate::versions::{command, copy};

const WORK: Work = TEXT_LINE;
const CLIENTS: usize = 16;
/// Time for estimates to settle.
const SETTLING: Duration = Duration::from_secs(2);
/// Time without a change before each change, which is compared with.
const CALM: Duration = Duration::from_secs(5);
/// Time after a change in which requests that waited meanwhile are answered.
const AFTER: Duration = Duration::from_millis(500);
/// Versions that take over one after the other; each is loaded for that.
const CHANGES: [&str; 4] = ["2.0.0", "3.0.0", "4.0.0", "5.0.0"];

/// A request: when it was answered, and how long it and its run took.
#[derive(Clone, Copy)]
struct Asked {
    at: Duration,
    took: Duration,
    ran: Duration,
}

/// Both rows, on a running stack whose store is its own.
pub async fn rows(stack: &Stack, table: &mut Table) -> Result<()> {
    for version in CHANGES {
        let made = stack.dir().join(format!("made-{version}"));
        copy(&places::bundle(WORK.model)?, &made)?;
        let manifest = made.join("model.toml");
        let text = std::fs::read_to_string(&manifest)?;
        std::fs::write(&manifest, text.replacen("version = \"1.0.0\"", &format!("version = \"{version}\""), 1))?;
        change(stack, &["models", "install", path(&made)?, "--no-activate"]).await?;
    }

    let watch = Stopwatch::start();
    let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (caller, stop, failed) = (stack.client().await?.peer().await?, stop.clone(), failed.clone());
        clients.spawn(async move {
            let (input, mut asked) = (WORK.tensor(), Vec::new());
            let options = options(json!({"deadline_ms": 60_000}));
            while !stop.load(Ordering::Relaxed) {
                let one = Stopwatch::start();
                match caller.infer_sealed(WORK.model, std::slice::from_ref(&input), &options).await? {
                    Ok(yes) => {
                        let ran = Duration::from_micros(yes.info["compute_us"].as_u64().unwrap_or(0));
                        asked.push(Asked { at: watch.elapsed(), took: one.elapsed(), ran });
                    }
                    Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                }
            }
            Ok::<_, anyhow::Error>(asked)
        });
    }
    measure_for(SETTLING).await;
    let (mut calm, mut changing) = (Vec::new(), Vec::new());
    for version in CHANGES {
        let begin = watch.elapsed();
        measure_for(CALM).await;
        let begun = watch.elapsed();
        change(stack, &["models", "activate", &format!("{}:{version}", WORK.model)]).await?;
        measure_for(AFTER).await;
        calm.push(begin..begun);
        changing.push(begun..watch.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(asked) = clients.join_next().await {
        all.extend(asked.context("a client panicked")??);
    }
    let within = |times: &[Range<Duration>]| -> Vec<Asked> {
        all.iter().filter(|asked| times.iter().any(|time| time.contains(&asked.at))).copied().collect()
    };
    let (before, during) = (within(&calm), within(&changing));
    ensure!(!before.is_empty() && !during.is_empty(), "nobody was answered before the changes, or during them");
    let p99 = |asked: &[Asked]| at(&mut asked.iter().map(|asked| asked.took).collect::<Vec<_>>(), 99);
    let run = at(&mut before.iter().map(|asked| asked.ran).collect::<Vec<_>>(), 50);
    let answered = during.len();
    let (before, during) = (p99(&before), p99(&during));
    let took = changing.iter().map(|time| (time.end - time.start).as_secs_f64()).sum::<f64>();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let count = failed.load(Ordering::Relaxed);
    let what = "text-line, 16 clients, four versions take over: failed requests";
    table.add(what, "", Promise::AtMost(0.0), f64::from(count), format!("{answered} answered meanwhile"));
    let added = during.saturating_sub(before).as_secs_f64() / run.as_secs_f64();
    let note = format!(
        "p99 {:.0} ms before, {:.0} ms during {} changes in {:.1} s; a run {:.1} ms",
        ms(before),
        ms(during),
        CHANGES.len(),
        took,
        ms(run)
    );
    table.add("  the same: added p99 / one run", "x", Promise::AtMost(1.0), added, note);
    Ok(())
}

/// Runs the command beside the clients, which go on asking.
async fn change(stack: &Stack, words: &[&str]) -> Result<()> {
    let mut command = tokio::process::Command::from(command(stack, words)?);
    let output = command.output().await.context("run edgectl")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {said}");
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or_default()
}
