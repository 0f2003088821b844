//! The engine hosts, one for each execution provider that a model may use. The first one runs the CPU provider, which every
//! library has; the others are started when a model wants them.

use std::future::Future;
use std::pin::Pin;

use edge_core::{HostId, Mono};

use super::host::HostState;
use crate::lanes::HostEvent;

/// The provider of the first host.
const FIRST: &str = "cpu";

/// Where a provider comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// Compiled into ONNX Runtime, or not.
    BuiltIn,
    /// A library of its own.
    Plugin,
}

impl Provider {
    /// Of the provider called `name`; `None` for the one that is always there.
    pub(super) fn of(name: &str) -> Option<Provider> {
        match name {
            FIRST => None,
            "cuda" | "tensorrt" => Some(Provider::BuiltIn),
            _ => Some(Provider::Plugin),
        }
    }
}

/// All hosts; a provider keeps its place.
#[derive(Debug)]
pub(super) struct Hosts {
    list: Vec<HostState>,
    simulated: bool,
}

impl Hosts {
    /// The first one.
    pub(super) fn new(simulated: bool) -> Hosts {
        Hosts { list: vec![HostState::new(FIRST, simulated)], simulated }
    }

    /// The host of a provider.
    pub(super) fn of(&mut self, provider: &str) -> HostId {
        let at = self.list.iter().position(|host| host.provider == provider).unwrap_or_else(|| {
            self.list.push(HostState::new(provider, self.simulated));
            self.list.len() - 1
        });
        // As many as there are words for providers.
        HostId(u8::try_from(at).unwrap_or(u8::MAX))
    }

    pub(super) fn first(&self) -> Option<&HostState> {
        self.list.first()
    }

    pub(super) fn get(&self, id: HostId) -> Option<&HostState> {
        self.list.get(usize::from(id.0))
    }

    pub(super) fn get_mut(&mut self, id: HostId) -> Option<&mut HostState> {
        self.list.get_mut(usize::from(id.0))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &HostState> {
        self.list.iter()
    }

    /// Version of the library and the providers compiled into it, once a host has said so.
    pub(super) fn library(&self) -> Option<(&str, &[String])> {
        let (version, providers) = self.list.iter().find_map(|host| host.library.as_ref())?;
        Some((version, providers))
    }

    /// When something is due on one of them.
    pub(super) fn next_due(&self) -> Option<Mono> {
        self.list.iter().filter_map(HostState::next_due).min()
    }

    /// A host on which something is due.
    pub(super) fn due(&self, now: Mono) -> Option<HostId> {
        let at = self.list.iter().position(|host| host.next_due().is_some_and(|due| due <= now))?;
        Some(HostId(u8::try_from(at).unwrap_or(u8::MAX)))
    }

    /// The next event of any of them. Safe to cancel.
    pub(super) async fn next(&mut self) -> (HostId, HostEvent) {
        match self.list.as_mut_slice() {
            [one] => (HostId(0), one.next().await),
            several => next(several, 0).await,
        }
    }
}

/// The next event of `hosts`, the first of which has the number `first`.
fn next(hosts: &mut [HostState], first: u8) -> Pin<Box<dyn Future<Output = (HostId, HostEvent)> + Send + '_>> {
    Box::pin(async move {
        let Some((one, others)) = hosts.split_first_mut() else { return std::future::pending().await };
        if others.is_empty() {
            return (HostId(first), one.next().await);
        }
        tokio::select! {
            event = one.next() => (HostId(first), event),
            event = next(others, first.saturating_add(1)) => event,
        }
    })
}
