//! A streamed answer comes from one site, whichever of those that were asked has the first piece. The uplink keeps others from
//! sending more; here the core is told, so that it calls the others off and asks none any more.

use std::sync::Arc;

use edge_core::Event as CoreEvent;
use tokio::sync::mpsc;

use super::named::Credentials;
use super::{Ticket, UNDER_WAY};
use crate::driver::Driver;
use crate::uplink::{Done, Event, Pieces, UplinkError};

/// What the sites have to say.
#[derive(Debug)]
pub enum Came {
    /// The first piece of the answer to the order with this ticket was passed on.
    Begun(u64),
    Uplink(Event),
    /// Files of credentials were looked at.
    Looked(Credentials),
}

/// Who says that an answer has begun.
#[derive(Debug)]
pub(super) struct Begun {
    says: mpsc::Sender<u64>,
    said: mpsc::Receiver<u64>,
}

impl Default for Begun {
    fn default() -> Begun {
        // Each of those under way says it once at most.
        let (says, said) = mpsc::channel(UNDER_WAY);
        Begun { says, said }
    }
}

impl Begun {
    /// The next of which it is said. Safe to cancel.
    pub async fn next(&mut self) -> u64 {
        match self.said.recv().await {
            Some(ticket) => ticket,
            None => std::future::pending().await,
        }
    }

    pub fn tell(&self, pieces: Pieces) -> Pieces {
        pieces.telling(self.says.clone())
    }
}

impl Driver {
    /// Something came from a site.
    pub(in crate::driver) fn on_site(&mut self, came: Came) {
        self.now = self.clock.now();
        match came {
            Came::Begun(ticket) => self.answer_began(ticket),
            Came::Looked(found) => self.tell_credentials(&found),
            Came::Uplink(mut event) => {
                if let Event::Done(done) = &mut event {
                    self.settle_owner(done);
                }
                self.on_uplink(event);
            }
        }
    }

    /// An answer came by the broker.
    pub(in crate::driver) fn sibling_done(&mut self, mut done: Done) {
        self.settle_owner(&mut done);
        self.came_back(done);
    }

    fn answer_began(&mut self, ticket: u64) {
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&ticket) else { return };
        self.core.handle(self.now, CoreEvent::SiteBegan { id: attempt.id, site: attempt.site });
    }

    /// An attempt for a streamed answer ended: the core knows by then whose answer it is, and a whole answer that comes behind
    /// another site's pieces is none.
    fn settle_owner(&mut self, done: &mut Done) {
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&done.ticket) else { return };
        let Some(pieces) = self.entries.get(&attempt.id).and_then(|entry| entry.stream.clone()) else { return };
        if done.result.is_ok() && !pieces.claim(done.ticket) {
            let site = self.sites.get(attempt.site).map_or_else(|| Arc::from("?"), |known| known.name.clone());
            done.result = Err(UplinkError::Cancelled { site });
        }
        if let Some(owner) = pieces.owner() {
            self.answer_began(owner);
        }
    }
}
