//! What is left of a model that was loaded and forgotten many times.

use anyhow::{Context, Result, ensure};
use edge_wire::names::{MODEL, model_path};

use super::table::{Promise, Table};
use crate::client::bus::BusClient;
use crate::clock::{PATIENCE, eventually};
use crate::stack::Setup;
use crate::usage;

/// A model of 11 MB.
const NAME: &str = "text-line";
/// Times that it is loaded and unloaded.
const CYCLES: u32 = 200;

/// Resident memory of the engine host, unloaded: after the last time against after the first.
pub async fn rows(table: &mut Table) -> Result<()> {
    let stack = Setup::new().bundles(&[NAME]).config("[engine]\nproviders = ['cpu']").start().await?;
    let client = stack.client().await?;
    let mut resident = Vec::new();
    for _ in 0..CYCLES {
        tell(&client, "Unload", "unloaded").await?;
        resident.push(at_rest(stack.host_pid().await?).await?);
        tell(&client, "Load", "ready").await?;
    }
    let (first, last) = (resident.first().context("a cycle")?, resident.last().context("a cycle")?);
    #[expect(clippy::cast_precision_loss, reason = "bytes for people")]
    let (first, last) = (*first as f64, *last as f64);
    let what = format!("{NAME} loaded and unloaded {CYCLES} times: memory / after the first time");
    let note = format!("{:.1} MB after the first time, {:.1} MB after the last", first / 1e6, last / 1e6);
    table.add(&what, "x", Promise::AtMost(1.05), last / first, note);
    Ok(())
}

/// Resident memory of the host when its lanes have ended. The model counts as unloaded from the moment on that no request
/// reaches it any more; its memory is given back a little later.
async fn at_rest(host: u32) -> Result<u64> {
    let ended = async || {
        let busy = usage::threads(host)?.iter().any(|name| name.starts_with("lane-") || name == "unload");
        if busy { Ok(None) } else { usage::resident(host).map(Some) }
    };
    eventually("the lanes of the host have ended", PATIENCE, ended).await
}

async fn tell(client: &BusClient, method: &str, state: &str) -> Result<()> {
    let options: std::collections::HashMap<&str, zbus::Variant<'_>> = Default::default();
    let told = client.call_at(&model_path(NAME, "1.0.0"), MODEL, method, &(options,)).await?;
    ensure!(told.is_ok(), "{method}: {:?}", told.err());
    let is_so = async || {
        let models = client.status().await?.models;
        Ok(models.iter().any(|model| model.name == NAME && model.state == state).then_some(()))
    };
    eventually(&format!("the model is {state}"), PATIENCE, is_so).await
}
