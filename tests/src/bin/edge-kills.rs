//! Kills the daemon at random moments. `edge-kills [TIMES] [SEED]`: of changes to the versions of a model; ends with 1 if the store was
//! broken once, or a request was lost. `edge-kills deferred [TIMES] [SEED]`: while requests wait on its disk; ends with 1 if one was
//! lost, or was answered twice with different bytes.

use std::process::ExitCode;

use edge_tests::kills;
use edge_tests::runner::block_on;
use edge_tests::stack::Setup;
use edge_tests::versions::MODEL;

const USAGE: &str = "usage: edge-kills [deferred] [TIMES] [SEED]";

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let deferred = words.first().is_some_and(|word| word == "deferred");
    if deferred {
        words.remove(0);
    }
    let mut numbers = words.iter().map(|text| text.parse::<u32>());
    let usual = if deferred { 200 } else { 300 };
    let (times, seed) = (numbers.next().unwrap_or(Ok(usual)), numbers.next().unwrap_or(Ok(1)));
    let (Ok(times), Ok(seed)) = (times, seed) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = if deferred { while_they_wait(times, seed.into()) } else { of_changes(times, seed.into()) };
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
