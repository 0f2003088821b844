//! The five typical requests of the documentation are explained as it says; what is refused at once is explained by that very "no".

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::options;
use edge_tests::demo::explain::explain;
use edge_tests::runner::block_on;
use edge_tests::stack::Setup;
use edge_wire::proxy::RoutingProxy;
use serde_json::json;
use zbus::Variant;

/// Profile, verdict, reason and where it would go; a site that is barred, and by what.
const FIVE: [[&str; 6]; 5] = [
    ["part-picture.toml", "refuse", "only_there", "", "press-8", "data_class"],
    ["office-chat.toml", "spill", "only_there", "plant-llm", "cloud-a", "data_class"],
    ["urgent-picture.toml", "local", "feasible", "press-7", "press-8", ""],
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

#[test]
fn what_a_model_does_not_take_is_refused_by_an_explanation_in_the_same_words() -> Result<()> {
    block_on(async {
        let limits = "[limits]\nmax_payload_mib = 34";
        let stack =
            Setup::new().without_broker().bundles(&["add", "file-type", "text-line"]).config(limits).start().await?;
        let client = stack.client().await?;
        let routing = RoutingProxy::new(&client.connection).await?;
        const MIB: usize = 1 << 20;
        for (model, kind, bytes, no) in [
            ("add", "application/octet-stream", 3000, "invalid_input"),
            ("text-line", "text/plain", 3, "invalid_input"),
            ("text-line", "image/png", 33 * MIB, "too_large"),
            ("file-type", "application/octet-stream", 34 * MIB, ""),
        ] {
            let bytes_told = Variant::from(u64::try_from(bytes)?);
            let profile = HashMap::from([("content_type", Variant::from(kind)), ("bytes", bytes_told)]);
            let told = routing.explain(model, &profile).await;
            if no.is_empty() {
                told.with_context(|| model.to_owned())?;
                continue;
            }
            let said = told.err().with_context(|| format!("{model}, {kind}: explained"))?.to_string();
            let asked = client.infer_bytes(model, kind, &vec![b'a'; bytes], &options(json!({}))).await?;
            let asked = asked.err().with_context(|| format!("{model}, {kind}: served"))?;
            ensure!(asked.code == no && said.contains(&asked.message), "{model}, {kind}: {said} instead of {asked:?}");
        }
        // Of a request of tensors nothing is told but their size.
        let huge = HashMap::from([("bytes", Variant::from(100_u64 << 20))]);
        let said = routing.explain("add", &huge).await.err().context("explained")?.to_string();
        ensure!(said.contains("TooLarge") && said.contains("payload: 104857600 bytes given: takes at most"), "{said}");
        routing.explain("add", &HashMap::new()).await?;
        Ok(())
    })?
}
