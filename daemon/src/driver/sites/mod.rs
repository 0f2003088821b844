//! Other sites, as the driver has them: which there are, what is under way there, and what came of it. The core decides where a
//! request goes; this carries it out.
//!
//! Read [`known`] (the table of sites), [`named`] (files that the configuration names), [`terms`] (where a request may go, by rules and by what is in it), [`send`] (out), [`filled`] (pictures and sounds at sites that take tensors), [`back`]
//! (what came back), [`begun`] (whose pieces a caller gets), [`answer`] (looking at answers of this box), [`compare`] (with a stronger site's), [`evidence`] (what that found, kept over restarts), [`deferred`] (what waits on the disk), [`explain`], [`status`].

mod answer;
pub(super) mod back;
mod begun;
mod compare;
mod deferred;
mod evidence;
mod explain;
mod filled;
mod known;
mod named;
mod replay;
mod send;
pub mod siblings;
mod status;
mod stored;
mod terms;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use edge_core::{Bytes, Mono, NanoUsd, Price, Reason, RequestId, SiteId, Zone};
use tokio::sync::mpsc;

pub(super) use self::begun::Came;
pub(super) use self::compare::Compared;
pub use self::deferred::FILE as SPOOL;
pub(super) use self::deferred::{Callers, Deferred};
pub(super) use self::evidence::Evidence;
pub use self::known::Known;
pub(super) use self::named::Named;
pub(super) use self::replay::Replaying;
pub(super) use self::terms::{Found, Looking};
use crate::config::numbering::Numbering;
use crate::ledger::audit;
use crate::ledger::spent::Reservation;
use crate::uplink::{Chunk, Done, Pieces, Uplink};

/// Orders and probes that may be under way at once, all sites together: more than their `max_open` allow in all is not needed, and
/// each costs a task and a buffer.
pub const UNDER_WAY: usize = 1024;

/// What the driver keeps of other sites.
#[derive(Default)]
pub struct Sites {
    /// By their numbers in the core; a hole where one was that the configuration has no more.
    known: Vec<Option<Known>>,
    numbering: Numbering,
    /// `None` where no site is spoken to over HTTP.
    uplink: Option<Uplink>,
    tickets: HashMap<u64, Ticket>,
    /// What the sites of these attempts were like when they began, by their tickets.
    asked: HashMap<u64, Asked>,
    next_ticket: u64,
    /// Models that live on other sites only, by name, with the numbers that the core has for them.
    elsewhere: Vec<String>,
    pub(super) siblings: siblings::Siblings,
    /// Why what leaves the device cannot be noted.
    pub(super) audit_fault: String,
    /// Attempts that were called off while they waited to be noted.
    called_off: HashSet<u64>,
    begun: begun::Begun,
    looks: named::Looks,
    /// Answers that the engine host is asked the meaning of.
    read: HashMap<u64, Done>,
}

/// What is under way.
#[derive(Debug)]
enum Ticket {
    Attempt(Box<Attempt>),
    Probe { site: SiteId },
}

/// One attempt at a site.
#[derive(Clone, Debug)]
struct Attempt {
    id: RequestId,
    site: SiteId,
    /// What the site was when it was chosen.
    was: edge_core::Site,
    bytes: Bytes,
    reserved: NanoUsd,
    began: Mono,
    /// Why it was sent.
    reason: Reason,
    /// By which rules and detectors it was judged when it was chosen.
    judged_by: u64,
    /// What an encoded payload became, for a site that takes tensors.
    tensor: Option<Box<filled::Tensor>>,
    /// Money that is set aside for it, if the site has a price.
    reservation: Option<Reservation>,
    /// The proof that its departure is on the disk.
    noted: Option<audit::Ticket>,
}

/// A site as it was when an attempt at it began: a reload may change it meanwhile, remove it, or give its number to another one.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    name: Arc<str>,
    zone: Zone,
    price: Option<Price>,
}

impl Sites {
    /// With what sends to them.
    pub fn new(uplink: Option<Uplink>, siblings: siblings::Siblings) -> Sites {
        Sites { uplink, siblings, ..Sites::default() }
    }

    /// What comes next; waits for ever if nothing is under way. Safe to cancel.
    pub async fn next(&mut self) -> Came {
        let Sites { uplink, begun, looks, .. } = self;
        let ended = async {
            match uplink {
                Some(uplink) => uplink.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ticket = begun.next() => Came::Begun(ticket),
            event = ended => Came::Uplink(event),
            found = looks.next() => Came::Looked(found),
        }
    }

    /// Where the pieces of one answer go.
    pub(super) fn pieces(&self, out: mpsc::Sender<Chunk>) -> Pieces {
        self.begun.tell(Pieces::new(out))
    }

    fn ticket(&mut self, of: Ticket) -> u64 {
        self.next_ticket += 1;
        if let Ticket::Attempt(attempt) = &of
            && let Some(known) = self.get(attempt.site)
        {
            let (name, site) = (known.name.clone(), &known.config.core);
            let asked = Asked { name, zone: site.zone, price: site.price };
            if self.asked.len() >= UNDER_WAY {
                // Of those that ended before they left.
                self.asked.retain(|ticket, _| self.tickets.contains_key(ticket));
            }
            self.asked.insert(self.next_ticket, asked);
        }
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

    /// The number of a site by its name.
    pub(super) fn number(&self, name: &str) -> Option<SiteId> {
        self.numbering.number(name)
    }

    /// Those that there are, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SiteId, &Known)> {
        (0..u8::MAX).map(SiteId).zip(&self.known).filter_map(|(id, known)| Some((id, known.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sites::{Protocol, SiteConfig, Stronger};

    fn site(name: &str) -> SiteConfig {
        SiteConfig {
            name: name.into(),
            protocol: Protocol::Sibling { node: "press-2".into() },
            models: Default::default(),
            versions: Default::default(),
            stronger: Stronger::Nowhere,
            price_as_of: None,
            core: edge_core::Site {
                price: Some(Price { request: NanoUsd(7), ..Price::default() }),
                ..edge_core::Site::in_zone(Zone::Cloud)
            },
        }
    }

    fn attempt(id: u64) -> Ticket {
        Ticket::Attempt(Box::new(Attempt {
            id: RequestId(id),
            site: SiteId(0),
            was: edge_core::Site::in_zone(Zone::Premises),
            bytes: Bytes(1),
            reserved: NanoUsd(7),
            began: Mono::default(),
            reason: Reason::Held,
            judged_by: 0,
            tensor: None,
            reservation: None,
            noted: None,
        }))
    }

    #[test]
    fn what_an_attempt_began_with_is_kept_when_a_reload_removes_its_site() {
        let mut sites = Sites::default();
        sites.take(&[site("away")]).unwrap();
        let ticket = sites.ticket(attempt(1));
        sites.take(&[]).unwrap();
        let asked = sites.asked.remove(&ticket).unwrap();
        assert_eq!((&*asked.name, asked.zone, asked.price.unwrap().request), ("away", Zone::Cloud, NanoUsd(7)));
    }

    #[test]
    fn attempts_that_never_left_do_not_pile_up() {
        let mut sites = Sites::default();
        sites.take(&[site("away")]).unwrap();
        let kept = sites.ticket(attempt(0));
        for id in 0..3 * UNDER_WAY as u64 {
            let ticket = sites.ticket(attempt(id));
            sites.tickets.remove(&ticket);
        }
        assert!(sites.asked.len() <= UNDER_WAY && sites.asked.contains_key(&kept));
    }
}
