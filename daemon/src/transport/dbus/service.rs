//! What every connection shares: the way to the driver, the limits, the authority, and the budget of descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use rustix::process::Resource;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::authorize::Authority;
use super::error::overloaded;
use super::peers::Peers;
use super::stream::Streams;
use crate::config::LimitsConfig;
use crate::driver::clock;
use crate::handle::{Handle, Message};
use crate::request::{Caller, Failure};
use crate::transport::options;

/// As many descriptors as a daemon of this kind ever needs; the hard limit is often millions.
const MOST_DESCRIPTORS: u32 = 65_536;

/// Shared by the bus and by every private connection.
pub struct Service {
    pub handle: Handle,
    pub limits: LimitsConfig,
    pub authority: Arc<dyn Authority>,
    pub(super) peers: Peers,
    pub(super) streams: Streams,
    descriptors: Arc<Semaphore>,
    all_descriptors: u32,
    numbers: AtomicU64,
    /// Of this life: what was put on the disk under such an id outlives it.
    id_prefix: String,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Service").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Service {
    /// Raises the soft limit of open files to the hard one, because callers bring descriptors; half of it is for them.
    pub fn new(handle: Handle, limits: LimitsConfig, authority: Arc<dyn Authority>) -> Arc<Service> {
        let since_epoch = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let half = u32::try_from(raise_descriptor_limit() / 2).unwrap_or(u32::MAX).min(MOST_DESCRIPTORS);
        Arc::new(Service {
            handle,
            peers: Peers::new(limits.max_peers),
            streams: Streams::new(limits.max_payload_bytes),
            limits,
            authority,
            descriptors: Arc::new(Semaphore::new(usize::try_from(half).unwrap_or(Semaphore::MAX_PERMITS))),
            all_descriptors: half,
            numbers: AtomicU64::new(1),
            id_prefix: format!("s{:x}", since_epoch.as_millis()),
        })
    }

    /// Room for the descriptors of one call. Without it the daemon could run out of them, and then would lose the bus:
    /// a message whose descriptors cannot be received ends the connection.
    pub fn hold_descriptors(&self, brought: u32) -> Result<OwnedSemaphorePermit, Failure> {
        // The message's own, our copies, and the outputs'.
        let needed = brought.saturating_mul(2).saturating_add(2);
        self.descriptors
            .clone()
            .try_acquire_many_owned(needed)
            .map_err(|_| overloaded("the daemon has no descriptors left for this call"))
    }

    /// Returns when no call is open, its reply written included; every call holds at least one descriptor's place.
    pub async fn quiet(&self) {
        // The semaphore is never closed.
        let _all = self.descriptors.acquire_many(self.all_descriptors).await;
    }

    /// Gives up the open request `id` of `caller`.
    pub async fn cancel(&self, caller: Caller, id: String) -> Result<(), Failure> {
        let id = options::known_id(id)?;
        let request_id = id.clone();
        match self.handle.ask(|found| Message::Cancel { caller, request_id, found }).await? {
            true => Ok(()),
            false => Err(Failure::invalid(format!("request_id \"{id}\" names no open request of this caller"))),
        }
    }

    /// The id of a request that was submitted without one: none that a former daemon gave.
    pub fn id_of(&self, number: u64) -> String {
        format!("{}-{number}", self.id_prefix)
    }

    /// A number that was never given before.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// The limit of open files from now on.
fn raise_descriptor_limit() -> u64 {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(MOST_DESCRIPTORS.into(), |hard| hard.min(MOST_DESCRIPTORS.into()));
    let now = limit.current.unwrap_or(MOST_DESCRIPTORS.into());
    if now >= most {
        return now;
    }
    limit.current = Some(most);
    match rustix::process::setrlimit(Resource::Nofile, limit) {
        Ok(()) => most,
        Err(_) => now,
    }
}
