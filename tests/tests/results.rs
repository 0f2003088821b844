//! Results of bindings, over deaths of the daemon and of the broker. `make kills-results` kills them more often.

use anyhow::{Result, ensure};
use edge_tests::kills;
use edge_tests::runner::block_on;

#[test]
fn results_outlive_kills_of_the_daemon_and_stops_of_the_broker_in_their_order() -> Result<()> {
    block_on(async {
        let tally = kills::results::kill(4, 3).await?;
        ensure!(tally.holds(), "{tally}\n{tally:?}");
        ensure!(tally.daemon_kills == 4 && tally.broker_stops == 4 && tally.frames == 960, "{tally}");
        Ok(())
    })?
}
