//! Requests of this box to other boxes, from the order to the answer: which are under way, whose an answer is, and when one has
//! taken too long. Pure: a time in, what became of a request out.
//!
//! Decides nothing about where a request goes, and must not know packets, the journal or the driver. Read [`encode`] (a request
//! as another box takes it), [`decode`] (what it answered) and [`company`] (what other boxes say of themselves).

pub mod company;
pub mod decode;
pub mod encode;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;
use edge_engine::protocol::TensorSpec;

use crate::driver::sites::siblings::Order;
use crate::uplink::{Answer, Done, Phase, Sent, UplinkError};

/// Requests that may be with other boxes at once: as many as may wait for this end.
pub const MOST: usize = 256;

/// One request that is with another box, or on its way there.
#[derive(Debug)]
pub struct Flight {
    pub site: Arc<str>,
    pub node: Arc<str>,
    /// What is known of the answer's tensors.
    pub outputs: Vec<TensorSpec>,
    budget: Duration,
    began: Mono,
    out: Option<Out>,
}

/// What was handed to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// The id by which the other box knows it.
    pub request_id: String,
    /// Last level of the topic on which it is answered.
    pub name: String,
    pub bytes: u64,
    /// SHA-256 of the payload.
    pub digest: [u8; 32],
}

/// Those that are under way.
#[derive(Debug)]
pub struct Peers {
    /// Differs from one life of the daemon to the next, so that an answer to a former one is told from ours.
    life: String,
    flights: HashMap<u64, Flight>,
}

impl Peers {
    /// None is under way.
    pub fn new(life: String) -> Peers {
        Peers { life, flights: HashMap::new() }
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// The tickets of all.
    pub fn tickets(&self) -> Vec<u64> {
        self.flights.keys().copied().collect()
    }

    /// The tickets of those that are with this box, or on their way there.
    pub fn at(&self, node: &str) -> Vec<u64> {
        self.flights.iter().filter(|(_, flight)| &*flight.node == node).map(|(ticket, _)| *ticket).collect()
    }

    pub fn get(&self, ticket: u64) -> Option<&Flight> {
        self.flights.get(&ticket)
    }

    /// An order comes in; its answer is waited for until its budget is spent.
    pub fn begin(&mut self, now: Mono, order: &Order) -> Result<(), UplinkError> {
        let site = Arc::clone(&order.site);
        let is_full = self.flights.len() >= MOST;
        let flight = Flight {
            site: Arc::clone(&order.site),
            node: Arc::clone(&order.node),
            outputs: order.outputs.clone(),
            budget: order.budget,
            began: now,
            out: None,
        };
        self.flights.insert(order.ticket, flight);
        match is_full {
            false => Ok(()),
            true => {
                let message = format!("{MOST} requests are with other boxes already");
                Err(UplinkError::Busy { site, status: 429, message, retry_after: None })
            }
        }
    }

    /// It was handed to the connection.
    pub fn sent(&mut self, ticket: u64, out: Out) {
        if let Some(flight) = self.flights.get_mut(&ticket) {
            flight.out = Some(out);
        }
    }

    /// What comes back with an answer, so that it is known whose it is.
    pub fn correlation(&self, ticket: u64) -> String {
        format!("{}-{ticket}", self.life)
    }

    /// Whose answer it is. Without a correlation (MQTT 3.1.1) it is that of the first one who waits under this name: a name
    /// stands for an id with its content, so that all who wait under it wait for the same.
    pub fn whose(&self, name: &str, correlation: Option<&[u8]>) -> Option<u64> {
        let waits = |flight: &Flight| flight.out.as_ref().is_some_and(|out| out.name == name);
        match correlation {
            None => self.flights.iter().filter(|(_, flight)| waits(flight)).map(|(ticket, _)| *ticket).min(),
            Some(bytes) => {
                let (life, ticket) = std::str::from_utf8(bytes).ok()?.rsplit_once('-')?;
                let ticket: u64 = ticket.parse().ok().filter(|_| life == self.life)?;
                self.flights.get(&ticket).filter(|flight| waits(flight)).map(|_| ticket)
            }
        }
    }

    /// What another box is told when an answer is not wanted any more: its node and the id there. `None` if nothing is there, or
    /// if somebody else waits under that id, who would lose his answer, too.
    pub fn to_cancel(&self, ticket: u64) -> Option<(&str, &str)> {
        let flight = self.flights.get(&ticket)?;
        let out = flight.out.as_ref()?;
        let same = |other: &Flight| {
            other.node == flight.node && other.out.as_ref().is_some_and(|them| them.request_id == out.request_id)
        };
        let is_shared = self.flights.iter().any(|(it, other)| *it != ticket && same(other));
        (!is_shared).then_some((&*flight.node, &*out.request_id))
    }

    /// Those whose budget is spent.
    pub fn overdue(&self, now: Mono) -> Vec<u64> {
        self.flights.iter().filter(|(_, flight)| flight.due() <= now).map(|(ticket, _)| *ticket).collect()
    }

    /// When the next one's budget is spent.
    pub fn next_due(&self) -> Option<Mono> {
        self.flights.values().map(Flight::due).min()
    }

    /// It has ended. `withdrawn`: it had not left the queue, so that nothing of it is out.
    pub fn end(
        &mut self,
        now: Mono,
        ticket: u64,
        withdrawn: bool,
        received: usize,
        result: Result<Answer, UplinkError>,
    ) -> Option<Done> {
        let flight = self.flights.remove(&ticket)?;
        let out = flight.out.filter(|_| !withdrawn);
        let took = now.since(flight.began);
        Some(Done {
            ticket,
            result,
            sent: if out.is_some() { Sent::All } else { Sent::Nothing },
            sent_bytes: out.as_ref().map_or(0, |out| out.bytes),
            received_bytes: received as u64,
            digest: out.map(|out| out.digest),
            connect: None,
            first_byte: (received > 0).then_some(took),
            took,
        })
    }
}

impl Flight {
    fn due(&self) -> Mono {
        self.began.after(self.budget)
    }

    /// The id by which the other box knows it, once it is out.
    pub fn request_id(&self) -> Option<&str> {
        self.out.as_ref().map(|out| &*out.request_id)
    }

    /// All the time that it had.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Its budget is spent.
    pub fn late(&self) -> UplinkError {
        let phase = if self.out.is_some() { Phase::Answer } else { Phase::Sending };
        UplinkError::Timeout { site: Arc::clone(&self.site), budget: self.budget, phase }
    }

    /// The connection to the broker is gone, this box's or the other one's, and with it the answer.
    pub fn lost(&self, cause: &str) -> UplinkError {
        let (site, cause) = (Arc::clone(&self.site), cause.to_owned());
        match self.out {
            Some(_) => UplinkError::Reset { site, phase: Phase::Answer, cause },
            None => UplinkError::Connect { site, at: self.node.to_string(), cause },
        }
    }
}

#[cfg(test)]
mod tests;
