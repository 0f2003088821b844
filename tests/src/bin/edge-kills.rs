//! Kills the daemon at random moments. `edge-kills [TIMES] [SEED]`: of changes to the versions of a model; ends with 1 if the store was
//! broken once, or a request was lost. `edge-kills deferred [TIMES] [SEED]`: while requests wait on its disk; ends with 1 if one was
//! lost, or was answered twice with different bytes. `edge-kills results [TIMES] [SEED]`: it, and as often the broker, while frames
//! come and results go; ends with 1 if one was lost, or came out of order.

use std::process::ExitCode;

use edge_tests::kills;
use edge_tests::runner::block_on;
use edge_tests::stack::Setup;
use edge_tests::versions::MODEL;

const USAGE: &str = "usage: edge-kills [deferred|results] [TIMES] [SEED]";

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let of = words.first().filter(|word| matches!(word.as_str(), "deferred" | "results")).cloned().unwrap_or_default();
    if !of.is_empty() {
        words.remove(0);
    }
    let mut numbers = words.iter().map(|text| text.parse::<u32>());
    let usual = match of.as_str() {
        "deferred" => 200,
        "results" => 50,
        _ => 300,
    };
    let (times, seed) = (numbers.next().unwrap_or(Ok(usual)), numbers.next().unwrap_or(Ok(1)));
    let (Ok(times), Ok(seed)) = (times, seed) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match of.as_str() {
        "deferred" => while_they_wait(times, seed.into()),
        "results" => of_results(times, seed.into()),
        _ => of_changes(times, seed.into()),
    };
    match done {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("edge-kills: {fault:?}");
            ExitCode::FAILURE
        }
    }
}

fn of_changes(times: u32, seed: u64) -> anyhow::Result<ExitCode> {
    let tally = block_on(async {
        let mut stack = Setup::new().bundles(&[MODEL]).start().await?;
        kills::kill(&mut stack, times, seed).await
    })??;
    println!(
        "{} kills, {} of them while a change was under way, {} of these a pull: store broken 0 times; {} requests by MQTT answered, 0 lost \
         ({} were alive at two kills and told so)",
        tally.kills, tally.interrupted, tally.pulls, tally.answered, tally.twice
    );
    Ok(ExitCode::SUCCESS)
}

fn while_they_wait(times: u32, seed: u64) -> anyhow::Result<ExitCode> {
    let tally = block_on(kills::deferred::kill(times, seed))??;
    println!("\nseed {seed}\n\n{tally}");
    for (what, found) in [
        ("lost", &tally.lost),
        ("differs", &tally.differing),
        ("not on the disk", &tally.unkept),
        ("given up early", &tally.given_up_early),
        ("wrong", &tally.wrong),
    ] {
        found.iter().take(5).for_each(|which| println!("{what}: {which}"));
    }
    Ok(if tally.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_results(times: u32, seed: u64) -> anyhow::Result<ExitCode> {
    let tally = block_on(kills::results::kill(times, seed))??;
    println!("seed {seed}: {tally}");
    for (what, found) in [("lost", &tally.lost), ("out of order", &tally.disordered)] {
        found.iter().take(5).for_each(|which| println!("{what}: {which}"));
    }
    Ok(if tally.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
