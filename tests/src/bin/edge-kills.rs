//! Kills the daemon at random moments of changes to the versions of a model. `edge-kills [TIMES] [SEED]`; ends with 1 if the
//! store was broken once, or a request was lost.

use std::process::ExitCode;

use edge_tests::kills;
use edge_tests::runner::block_on;
use edge_tests::stack::Setup;
use edge_tests::versions::MODEL;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (times, seed) = (numbers.next().unwrap_or(Ok(300)), numbers.next().unwrap_or(Ok(1)));
    let (Ok(times), Ok(seed)) = (times, seed) else {
        eprintln!("usage: edge-kills [TIMES] [SEED]");
        return ExitCode::from(2);
    };
    let done = block_on(async {
        let mut stack = Setup::new().bundles(&[MODEL]).start().await?;
        kills::kill(&mut stack, u32::try_from(times)?, seed).await
    });
    match done.and_then(|done| done) {
        Ok(tally) => {
            println!(
                "{} kills, {} of them while a change was under way, {} of these a pull: store broken 0 times; {} requests by MQTT answered, 0 lost \
                 ({} were alive at two kills and told so)",
                tally.kills, tally.interrupted, tally.pulls, tally.answered, tally.twice
            );
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("edge-kills: {fault:?}");
            ExitCode::FAILURE
        }
    }
}
