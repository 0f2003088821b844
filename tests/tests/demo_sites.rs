//! The demonstration of where requests go holds what it shows.

use anyhow::{Result, ensure};
use edge_tests::demo;
use edge_tests::runner::block_on;

#[test]
fn each_request_ends_where_it_may_whatever_the_box_and_its_surroundings_are_in() -> Result<()> {
    block_on(async {
        let found = demo::run().await?;
        ensure!(demo::holds(&found), "{}", demo::table::text(&found));
        Ok(())
    })?
}
