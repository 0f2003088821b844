//! What pulling a large bundle costs: memory of the daemon, and bytes that come twice when the link breaks.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::table::{Promise, Table};
use crate::clock::{PATIENCE, Stopwatch, eventually};
use crate::origin::certificates::{self, From};
use crate::origin::{Fault, Origin, Served, bundles};
use crate::stack::{Setup, Stack};
use crate::{places, usage};

/// How often the link breaks.
const CUTS: u64 = 20;
/// Where the bundle is served.
const PATH: &str = "/add-2.0.0.edgemodel";

/// Pulls a bundle with so many MiB of noise, which is made for it and goes with the stack.
pub async fn rows(table: &mut Table, mib: u64) -> Result<()> {
    let mut stack = Setup::new().bundles(&[bundles::MODEL]).without_broker().prepare()?;
    let secrets = stack.dir().join("certificates");
    let authority = certificates::authority(&secrets)?;
    let origin = Origin::start(&certificates::server(&secrets, &authority, From::Today)?)?;
    stack.launch.overlay = format!("[pull]\nca = \"{}\"\n", authority.certificate.display());
    let (archive, size) = bundles::archive(stack.dir(), mib << 20)?;
    origin.serve(PATH, Served::file(&archive).failing((0..CUTS).map(|_| Fault::Cut(size / (CUTS + 1)))));
    stack.start_daemon().await?;
    settled(&stack).await?;
    let daemon = stack.daemon()?.process.pid();
    let idle = usage::resident(daemon)?;
    // The most from here on.
    fs::write(format!("/proc/{daemon}/clear_refs"), "5").context("begin the peak of the daemon's memory anew")?;
    let watch = Stopwatch::start();
    pull(&stack, &origin.url(PATH))?;
    let took = watch.elapsed().as_secs_f64();
    let peak = usage::resident_peak(daemon)?;
    let (_, sent) = origin.take();
    #[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
    let (over, ratio, rate) =
        (peak.saturating_sub(idle) as f64 / 1e6, sent as f64 / size as f64, size as f64 / 1e6 / took);
    let what = format!("pull of {mib} MiB: memory of the daemon above idle");
    table.add(&what, "MB", Promise::AtMost(30.0), over, format!("idle {} MB", idle / 1_000_000));
    let what = format!("pull of {mib} MiB, link cut {CUTS} times: sent / size");
    table.add(&what, "x", Promise::AtMost(1.02), ratio, format!("{sent} bytes"));
    let what = format!("pull of {mib} MiB: pulled, checked, installed, active");
    table.add(&what, "MB/s", Promise::None, rate, format!("{took:.1} s"));
    Ok(())
}

/// Waits until the daemon has done what it does after its start.
async fn settled(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let ready = async || {
        let status = client.status().await?;
        Ok(status.models.iter().all(|model| model.state == "ready").then_some(()))
    };
    eventually("the model is ready", PATIENCE, ready).await
}

fn pull(stack: &Stack, url: &str) -> Result<()> {
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(["models", "pull", url]);
    command.env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", stack.bus.address());
    let done = command.output().context("run edgectl")?;
    let said = String::from_utf8_lossy(&done.stdout);
    ensure!(done.status.success(), "{said} {}\n{}", String::from_utf8_lossy(&done.stderr), stack.logs());
    Ok(())
}
