//! Requests that this box sends to other sites, over HTTP, on a thread of its own. Decides nothing: where a request goes, whether
//! it may, and whether it is sent again is the core's to say. One order is carried out once, within its budget, and what happened
//! is told exactly: what was out, what came back, how long it took, and what went wrong.
//!
//! Redirects are never followed, answers are bounded, and nothing of a body is handed out after its order has ended.
//!
//! Read [`site`] (where a site is), [`error`] (what can go wrong), [`worker`] (the thread), [`exchange`] (one question over HTTP),
//! [`oip`] and [`openai`] (the protocols), [`pieces`] (streamed answers), [`meter`] (what was out).

pub(crate) mod blob;
mod check;
mod connect;
mod credential;
mod error;
mod exchange;
mod meter;
pub mod oip;
pub mod openai;
mod pieces;
mod probe;
mod said;
mod site;
pub mod sse;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_engine::protocol::TensorSpec;
use tokio::sync::{mpsc, oneshot};

pub use self::check::secret_fault;
pub use self::error::{Kind, Phase, UplinkError};
pub use self::meter::Sent;
pub use self::pieces::Pieces;
pub use self::probe::{Health, Metadata, Seen};
pub use self::site::{Identity, Protocol, SiteAddress, Version};
use self::worker::{Job, Terms, Work};
use crate::driver::clock::Clock;
use crate::request::{Blob, TensorIn, TensorOut};

/// One request to one site.
#[derive(Debug)]
pub struct Order {
    /// Comes back with the result. No two under way have the same.
    pub ticket: u64,
    pub site: Arc<SiteAddress>,
    /// The site's name for the model.
    pub model: Arc<str>,
    /// The site's version of it; `None` leaves that to the site. Only `oip` has versions.
    pub version: Option<Arc<str>>,
    pub content: Content,
    /// The time that is left, from the moment it is handed over. There is no other timeout but that for connecting.
    pub budget: Duration,
    /// Most that is read of the answer.
    pub max_answer_bytes: u64,
    /// What leaves is noted: a digest of it is made.
    pub noted: bool,
    /// Where the chunks of a chat or completion go, which is then asked for as a stream. While there is no room, nothing is read.
    pub stream: Option<Pieces>,
}

/// What is sent.
#[derive(Debug)]
pub enum Content {
    /// For `oip`. `outputs` are those that are wanted, as the model is known to give them; none takes all that come.
    Tensors { inputs: Vec<TensorIn>, outputs: Vec<TensorSpec> },
    /// For `oip`: the payload as the one element of the input of that name.
    Encoded { input: String, content_type: String, data: Blob },
    /// For `openai`: the body of a chat completion. `model` and `stream` are replaced.
    Chat { body: Blob },
    /// For `openai`: the body of a completion, likewise.
    Completion { body: Bytes },
}

/// A piece of a streamed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub ticket: u64,
    /// One JSON document on one line, as the site sent it.
    pub json: Bytes,
}

/// What an order brought.
#[derive(Debug)]
pub struct Done {
    pub ticket: u64,
    pub result: Result<Answer, UplinkError>,
    pub sent: Sent,
    /// Bytes of the body that were handed to a connection, without headers and TLS.
    pub sent_bytes: u64,
    /// Bytes of the answer's body.
    pub received_bytes: u64,
    /// SHA-256 of the `sent_bytes` bytes, of an order that is noted.
    pub digest: Option<[u8; 32]>,
    /// How long it took to have a connection; `None` if one was there, or none came.
    pub connect: Option<Duration>,
    /// From the beginning to the first byte of the answer's body; of a stream to the first chunk.
    pub first_byte: Option<Duration>,
    /// From the beginning to the end.
    pub took: Duration,
}

/// What a site answered.
#[derive(Debug)]
pub enum Answer {
    Tensors(Vec<TensorOut>),
    /// For encoded payloads: the one text that came, which is a JSON document.
    Document(String),
    Chat(Chat),
}

/// The end of a chat or completion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chat {
    /// The whole answer; `None` if it came as chunks.
    pub body: Option<Bytes>,
    /// How many chunks there were.
    pub chunks: u64,
    /// If the site told.
    pub usage: Option<Usage>,
    /// Why the first choice ended: `stop`, `length`, `tool_calls`, ...
    pub finish: Option<String>,
}

/// Tokens as the site counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// Asks a site how it is; sends nothing of any request.
#[derive(Debug)]
pub struct Probe {
    /// As of an order, and of the same numbers.
    pub ticket: u64,
    pub site: Arc<SiteAddress>,
    pub what: Question,
    pub budget: Duration,
}

/// What a site is asked by a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it is ready, and with it that model.
    Health { model: Option<Arc<str>> },
    /// What a model takes and gives. Only `oip` can tell.
    Metadata { model: Arc<str>, version: Option<Arc<str>> },
}

/// What a probe brought.
#[derive(Debug)]
pub struct Probed {
    pub ticket: u64,
    pub result: Result<Seen, UplinkError>,
    pub connect: Option<Duration>,
    pub took: Duration,
}

/// What the thread tells.
#[derive(Debug)]
pub enum Event {
    Done(Box<Done>),
    Probed(Box<Probed>),
}

/// Why something is not taken; it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As much is under way as may be.
    Busy,
    /// Something of this ticket is under way.
    Known,
    /// The thread is gone.
    Gone,
}

/// The driver's end.
#[derive(Debug)]
pub struct Uplink {
    jobs: mpsc::Sender<Job>,
    /// Kept to reserve the room of a result before its order is taken.
    out: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    /// Of what is under way.
    cancels: HashMap<u64, oneshot::Sender<()>>,
    clock: Clock,
}

impl Uplink {
    /// Starts the thread; at most `most` orders and probes are under way at once.
    pub fn start(clock: Clock, most: usize) -> std::io::Result<Uplink> {
        let (jobs, inbox) = mpsc::channel(most.max(1));
        let (out, events) = mpsc::channel(most.max(1));
        worker::start(inbox)?;
        Ok(Uplink { jobs, out, events, cancels: HashMap::new(), clock })
    }

    /// Has an order carried out. An error hands it back.
    pub fn send(&mut self, order: Order) -> Result<(), (Refusal, Box<Order>)> {
        let order = Box::new(order);
        match self.begin(order.ticket, &order.site, order.budget) {
            Ok((place, terms)) => {
                place.send(Job { terms, work: Work::Order(order) });
                Ok(())
            }
            Err(refusal) => Err((refusal, order)),
        }
    }

    /// Has a site asked. An error says why not.
    pub fn probe(&mut self, probe: Probe) -> Result<(), Refusal> {
        let (place, terms) = self.begin(probe.ticket, &probe.site, probe.budget)?;
        place.send(Job { terms, work: Work::Probe(probe.what) });
        Ok(())
    }

    /// Gives up what is under way with this ticket: its connection is closed, and it ends as cancelled, unless it has ended.
    pub fn cancel(&mut self, ticket: u64) {
        if let Some(cancel) = self.cancels.remove(&ticket) {
            // It may have ended just now: its result is on its way.
            let _ = cancel.send(());
        }
    }

    /// How much is under way, that is: taken, and its end not yet told.
    pub fn under_way(&self) -> usize {
        self.out.max_capacity() - self.out.capacity()
    }

    /// What comes next; waits for ever when nothing is under way. Safe to cancel.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => {
                self.cancels.remove(&event.ticket());
                event
            }
            None => std::future::pending().await,
        }
    }

    /// Room for the job and for its end, before either is needed.
    fn begin(
        &mut self,
        ticket: u64,
        site: &Arc<SiteAddress>,
        budget: Duration,
    ) -> Result<(mpsc::OwnedPermit<Job>, Terms), Refusal> {
        if self.cancels.contains_key(&ticket) {
            return Err(Refusal::Known);
        }
        let room = self.out.clone().try_reserve_owned().map_err(|_| Refusal::Busy)?;
        let place = self.jobs.clone().try_reserve_owned().map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Busy,
            mpsc::error::TrySendError::Closed(_) => Refusal::Gone,
        })?;
        let (cancel, cancelled) = oneshot::channel();
        self.cancels.insert(ticket, cancel);
        let (site, clock) = (Arc::clone(site), self.clock);
        Ok((place, Terms { ticket, site, budget, began: clock.now(), clock, cancelled, room }))
    }
}

impl Event {
    /// Of what it is the end.
    pub fn ticket(&self) -> u64 {
        match self {
            Event::Done(done) => done.ticket,
            Event::Probed(probed) => probed.ticket,
        }
    }
}
