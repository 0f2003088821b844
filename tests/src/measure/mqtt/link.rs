//! A link to the broker that passes nothing any more and does not end: after how many keep-alives the daemon says so.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::{PATIENCE, Stopwatch, eventually};
use crate::faulty::Faulty;
use crate::measure::table::{Promise, Table};
use crate::stack::{Setup, Stack};

/// The shortest that there is.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
const PROMISED: f64 = 1.5;

/// The row.
pub async fn rows(table: &mut Table) -> Result<()> {
    let mut stack = Setup::new().bundles(&["add"]).prepare()?;
    let link = Faulty::to(stack.mqtt_port()?)?;
    stack.launch.overlay = format!("[mqtt]\nport = {}\nkeep_alive_s = {}\n", link.port(), KEEP_ALIVE.as_secs());
    stack.start_daemon().await?;
    let found = measure(&stack, &link).await.with_context(|| stack.logs())?;
    let times: Vec<String> = found.iter().map(|time| format!("{:.1}", time.as_secs_f64())).collect();
    let note = format!("after {} s; keep-alive {} s", times.join(", "), KEEP_ALIVE.as_secs());
    let worst = found.into_iter().max().unwrap_or_default().as_secs_f64() / KEEP_ALIVE.as_secs_f64();
    table.add("half-open link: worst time to notice / keep-alive", "x", Promise::AtMost(PROMISED), worst, note);
    Ok(())
}

async fn measure(stack: &Stack, link: &Faulty) -> Result<Vec<Duration>> {
    let client = stack.client().await?;
    let says = async |what: &str, is_connected: bool| {
        let look = async || Ok(((client.status().await?.mqtt.state == "connected") == is_connected).then_some(()));
        eventually(what, PATIENCE, look).await
    };
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        // From when its round trips are known: a connection that is young has not asked yet.
        let pinged = async || Ok(client.status().await?.mqtt.ping_us);
        eventually("a ping was answered", PATIENCE, pinged).await?;
        link.part(true);
        let watch = Stopwatch::start();
        says("it is noticed", false).await?;
        times.push(watch.elapsed());
        link.heal();
        says("connected again", true).await?;
    }
    Ok(times)
}
