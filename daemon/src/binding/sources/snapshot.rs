//! A camera that gives its present picture over HTTP, asked again and again.

use tokio::time::MissedTickBehavior;

use super::fetch::{FetchError, Fetched, Fetcher};
use super::{Outlet, pause};
use crate::config::bindings::Snapshot;
use crate::driver::chain;

/// Asks the camera until nobody takes its pictures any more.
pub async fn run(outlet: Outlet, camera: Snapshot) {
    let mut failures = 0;
    let mut fetcher = None;
    let mut ticks = tokio::time::interval(camera.interval);
    // A camera that is late is not asked twice for it.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !outlet.frames.is_closed() {
        ticks.tick().await;
        match picture(&outlet, &camera, &mut fetcher).await {
            Ok(Fetched { bytes, content_type }) => {
                failures = 0;
                outlet.well();
                if !outlet.offer(bytes, content_type) {
                    return;
                }
            }
            Err(error) => {
                failures += 1;
                outlet.failed(chain(&error));
                // With its files read anew: what was wrong may be corrected by then.
                fetcher = None;
                tokio::select! {
                    () = tokio::time::sleep(pause(failures)) => {}
                    () = outlet.frames.closed() => return,
                }
            }
        }
    }
}

async fn picture(outlet: &Outlet, camera: &Snapshot, kept: &mut Option<Fetcher>) -> Result<Fetched, FetchError> {
    let mut fetcher = match kept.take() {
        Some(fetcher) => fetcher,
        None => Fetcher::new(camera.ca.as_deref(), camera.credential.as_deref(), outlet.clock, outlet.max_bytes)?,
    };
    let fetched = fetcher.get(&camera.url).await;
    *kept = Some(fetcher);
    fetched
}

#[cfg(test)]
mod tests;
