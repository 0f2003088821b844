//! Other sites, as the driver has them: which there are, what is under way there, and what came of it. The core decides where a
//! request goes; this carries it out.
//!
//! Read [`known`] (the table of sites), [`terms`] (where a request may go, by rules and by what is in it), [`send`] (out), [`back`]
//! (what came back), [`answer`] (looking at answers of this box), [`deferred`] (what waits on the disk), [`explain`], [`status`].

mod answer;
mod back;
mod deferred;
mod explain;
mod known;
mod send;
mod status;
mod terms;

use std::collections::HashMap;

use edge_core::{Bytes, Mono, NanoUsd, RequestId, SiteId};

pub(super) use self::deferred::Deferred;
pub use self::known::Known;
use crate::uplink::{Event, Uplink};

/// Orders and probes that may be under way at once, all sites together: more than their `max_open` allow in all is not needed, and
/// each costs a task and a buffer.
pub const UNDER_WAY: usize = 1024;

/// What the driver keeps of other sites.
#[derive(Default)]
pub struct Sites {
    /// By their numbers in the core; a hole where one was that the configuration has no more.
    known: Vec<Option<Known>>,
    /// `None` where no site is spoken to over HTTP.
    uplink: Option<Uplink>,
    tickets: HashMap<u64, Ticket>,
    next_ticket: u64,
    /// Models that live on other sites only, by name, with the numbers that the core has for them.
    elsewhere: Vec<String>,
}

/// What is under way.
#[derive(Clone, Copy, Debug)]
enum Ticket {
    Attempt(Attempt),
    Probe { site: SiteId },
}

/// One attempt at a site.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: RequestId,
    site: SiteId,
    bytes: Bytes,
    reserved: NanoUsd,
    began: Mono,
}

impl Sites {
    /// With what sends to them.
    pub fn new(uplink: Option<Uplink>) -> Sites {
        Sites { uplink, ..Sites::default() }
    }

    /// What comes next; waits for ever if nothing is under way. Safe to cancel.
    pub async fn next(&mut self) -> Event {
        match &mut self.uplink {
            Some(uplink) => uplink.next().await,
            None => std::future::pending().await,
        }
    }

    fn ticket(&mut self, of: Ticket) -> u64 {
        self.next_ticket += 1;
        self.tickets.insert(self.next_ticket, of);
        self.next_ticket
    }

    pub(super) fn get(&self, site: SiteId) -> Option<&Known> {
        self.known.get(usize::from(site.0)).and_then(Option::as_ref)
    }

    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.known.iter().all(Option::is_none)
    }

    /// Those that there are, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SiteId, &Known)> {
        (0..u8::MAX).map(SiteId).zip(&self.known).filter_map(|(id, known)| Some((id, known.as_ref()?)))
    }
}
