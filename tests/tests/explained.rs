//! The five typical requests of the documentation are explained as it says.

use anyhow::{Context, Result, ensure};
use edge_tests::demo::explain::explain;
use edge_tests::runner::block_on;

/// Profile, verdict, reason and where it would go; a site that is barred, and by what.
const FIVE: [[&str; 6]; 5] = [
    ["part-picture.toml", "refuse", "only_there", "", "press-8", "data_class"],
    ["office-chat.toml", "spill", "only_there", "plant-llm", "cloud-a", "data_class"],
    ["urgent-picture.toml", "local", "feasible", "press-7", "press-8", "too_slow"],
    ["long-prompt.toml", "spill", "only_there", "cloud-a", "plant-llm", "context"],
    ["night-batch.toml", "defer", "budget_spent", "", "cloud-a", "budget"],
];

#[test]
fn each_typical_request_goes_where_the_documentation_says_and_for_that_reason() -> Result<()> {
    block_on(async {
        let shown = explain().await?;
        for ([profile, verdict, reason, site, barred, bar], one) in FIVE.into_iter().zip(&shown.five) {
            let found = &one.explanation;
            let words = [one.profile, &found.verdict, &found.reason, &found.site];
            ensure!(words == [profile, verdict, reason, site], "{words:?}\n{}", one.text);
            let judged = found.sites.iter().find(|judged| judged.site == barred).context("the site is judged")?;
            ensure!(judged.bar == bar && one.text.contains(&format!("{bar}:")), "{judged:?}\n{}", one.text);
        }
        ensure!(shown.replay.contains("cloud-a") && shown.replay.contains("left the device"), "{}", shown.replay);
        Ok(())
    })?
}
