//! Other boxes like this one, which are reached by the broker: what is asked of them, and what they say of themselves. The transport
//! carries it out; this hands it over.

use std::sync::Arc;
use std::time::Duration;

use edge_core::{DataClass, Event, Priority, SiteFault, SiteId};
use edge_engine::protocol::TensorSpec;
use tokio::sync::mpsc;

use super::Known;
use crate::config::sites::Protocol;
use crate::driver::Driver;
use crate::request::Payload;

/// Orders that wait for the transport.
pub const WAITING: usize = 256;
/// A box that was not heard of for so long counts as gone.
const SILENT: Duration = Duration::from_secs(30);
/// What is said of a box that does not serve.
const OFF: &str = "it runs no requests now (starting, draining, held or too hot), or has left the broker";

/// What the transport is asked.
#[derive(Debug)]
pub enum Ask {
    Order(Order),
    /// Its answer is not wanted any more.
    Cancel {
        ticket: u64,
    },
}

/// One request to another box.
#[derive(Clone, Debug)]
pub struct Order {
    pub ticket: u64,
    pub site: Arc<str>,
    /// Name of the box.
    pub node: Arc<str>,
    /// Its name for the model.
    pub model: Arc<str>,
    pub payload: Payload,
    /// What is known of the answer's tensors; nothing takes all that come.
    pub outputs: Vec<TensorSpec>,
    /// The time that is left.
    pub budget: Duration,
    /// The effective one, which the other box is told.
    pub class: DataClass,
    pub priority: Priority,
    pub request_id: String,
}

/// What another box says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub node: String,
    /// It takes requests.
    pub is_serving: bool,
    /// How long a request waits there before it is begun with.
    pub wait: Duration,
}

/// The driver's end.
#[derive(Debug, Default)]
pub struct Siblings {
    /// `None` without a broker.
    link: Option<mpsc::Sender<Ask>>,
}

impl Siblings {
    pub fn new(link: Option<mpsc::Sender<Ask>>) -> Siblings {
        Siblings { link }
    }

    pub(super) fn send(&self, order: Order) -> Result<(), &'static str> {
        let link = self.link.as_ref().ok_or("no broker is configured, by which it would be reached")?;
        link.try_send(Ask::Order(order)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => "the way to the broker is full",
            mpsc::error::TrySendError::Closed(_) => "the broker transport has ended",
        })
    }

    /// One that cannot be told now ends by its deadline.
    pub(super) fn cancel(&self, ticket: u64) -> bool {
        self.link.as_ref().is_some_and(|link| link.try_send(Ask::Cancel { ticket }).is_ok())
    }
}

impl Driver {
    /// Another box said how it is.
    pub(in crate::driver) fn heard_of(&mut self, heard: &Heard) {
        let of_node =
            |known: &Known| matches!(&known.config.protocol, Protocol::Sibling { node } if *node == heard.node);
        let found: Vec<SiteId> = self.sites.iter().filter(|(_, known)| of_node(known)).map(|(id, _)| id).collect();
        for site in found {
            if let Some(Some(known)) = self.sites.known.get_mut(usize::from(site.0)) {
                known.heard = Some(self.now);
                match heard.is_serving {
                    false => OFF.clone_into(&mut known.last_error),
                    true if known.last_error == OFF => known.last_error.clear(),
                    true => {}
                }
            }
            let (off, wait) = (!heard.is_serving, heard.wait);
            self.core.handle(self.now, Event::SiteLoad { site, off, wait });
        }
    }

    /// A box is asked nothing to know how it is: it says so itself, every few seconds.
    pub(super) fn probe_sibling(&mut self, site: SiteId) {
        let heard = self.sites.get(site).and_then(|known| known.heard);
        let is_there = heard.is_some_and(|heard| self.now.since(heard) < SILENT);
        let result = if is_there { Ok(()) } else { Err(SiteFault::Connect) };
        if !is_there && let Some(Some(known)) = self.sites.known.get_mut(usize::from(site.0)) {
            known.last_error = format!("nothing was heard of it for {} s", SILENT.as_secs());
        }
        self.core.handle(self.now, Event::SiteProbed { site, result });
    }
}
