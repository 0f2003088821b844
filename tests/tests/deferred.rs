//! Requests that wait on the disk, over deaths of the daemon. `make kills-deferred` kills it more often.

use anyhow::{Result, ensure};
use edge_tests::kills;
use edge_tests::runner::block_on;

#[test]
fn requests_that_wait_outlive_ten_kills_and_are_answered_once() -> Result<()> {
    block_on(async {
        let tally = kills::deferred::kill(10, 7).await?;
        ensure!(tally.holds(), "{tally}\n{tally:?}");
        ensure!(tally.kills == 10 && tally.kills_with_waiting > 0 && tally.queued > 0 && tally.again > 0, "{tally}");
        Ok(())
    })?
}
