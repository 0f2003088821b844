//! The thread of the uplink: one task for each order or probe, all on one thread. Knows the sites by their addresses, keeps their
//! connections and tokens, and forgets what nobody names any more. An end is told for everything that was taken, also for what
//! broke off here.

use std::sync::{Arc, Weak};
use std::time::Duration;

use edge_core::Mono;
use tokio::sync::{mpsc, oneshot};

use super::credential::Token;
use super::error::{Phase, UplinkError};
use super::meter::Meter;
use super::site::{Reach, SiteAddress};
use super::{Answer, Content, Done, Event, Order, Probed, Question, Seen, oip, openai, probe};
use crate::driver::clock::Clock;

/// Names are looked up, and large payloads read and parsed, beside the thread: more of it at once than a box has cores helps
/// only against name servers that do not answer.
const BESIDE: usize = 8;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Job {
    pub terms: Terms,
    pub work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Order(Box<Order>),
    Probe(Question),
}

/// What holds for orders and probes alike.
#[derive(Debug)]
pub(super) struct Terms {
    pub ticket: u64,
    pub site: Arc<SiteAddress>,
    pub budget: Duration,
    pub began: Mono,
    pub clock: Clock,
    pub cancelled: oneshot::Receiver<()>,
    /// Room for its end.
    pub room: mpsc::OwnedPermit<Event>,
}

/// Starts the thread; it ends when the other end of `inbox` is gone, and gives up what is under way.
pub(super) fn start(mut inbox: mpsc::Receiver<Job>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BESIDE).build()?;
    std::thread::Builder::new().name("uplink".into()).spawn(move || {
        runtime.block_on(async {
            let mut places = Places::default();
            while let Some(job) = inbox.recv().await {
                let reach = places.reach(&job.terms.site);
                tokio::spawn(carry(job, reach));
            }
        });
        // A name server that does not answer must not hold up the end.
        runtime.shutdown_background();
    })?;
    Ok(())
}

/// The sites that were asked. An address that nobody holds any more is forgotten, with its connections, when another comes.
#[derive(Debug, Default)]
struct Places {
    known: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    address: Weak<SiteAddress>,
    reach: Reach,
    token: Token,
}

impl Places {
    /// How the site is reached, with its token of this moment. A new address is a new site, whatever its name: after a reload
    /// of the configuration, files of TLS are read anew.
    fn reach(&mut self, address: &Arc<SiteAddress>) -> Result<Reach, UplinkError> {
        let known = self.known.iter().position(|place| std::ptr::eq(place.address.as_ptr(), Arc::as_ptr(address)));
        let at = match known {
            Some(at) => at,
            None => {
                self.known.retain(|place| place.address.strong_count() > 0);
                let reach = Reach::new(address)?;
                self.known.push(Place { address: Arc::downgrade(address), reach, token: Token::default() });
                self.known.len() - 1
            }
        };
        let Some(place) = self.known.get_mut(at) else {
            return Err(UplinkError::Unfit { site: Arc::clone(&address.name), why: "it was forgotten".into() });
        };
        let shown = address.credential.as_deref().map(|path| place.token.header(path)).transpose();
        let shown = shown.map_err(|cause| UplinkError::Credential { site: Arc::clone(&address.name), cause })?;
        Ok(Reach { shown, ..place.reach.clone() })
    }
}

/// Carries one job out and tells its end.
async fn carry(job: Job, reach: Result<Reach, UplinkError>) {
    let Job { terms, work } = job;
    let Terms { ticket, site, budget, began, clock, mut cancelled, room } = terms;
    let meter = Meter::new(clock, matches!(&work, Work::Order(order) if order.noted));
    let name = || Arc::clone(&site.name);
    let due = began.after(budget);
    let end = |phase| UplinkError::Timeout { site: name(), budget, phase };
    let mut told =
        Told { room: Some(room), ticket, name: name(), began, clock, meter: Arc::clone(&meter), probe: false };
    match work {
        Work::Order(order) => {
            let result = limited(&mut cancelled, clock, due, order_of(*order, reach, &meter)).await;
            told.done(result.unwrap_or_else(|over| Err(over.error(&name(), || end(meter.phase())))));
        }
        Work::Probe(question) => {
            told.probe = true;
            let result = limited(&mut cancelled, clock, due, probe_of(question, reach, &meter)).await;
            told.probed(result.unwrap_or_else(|over| Err(over.error(&name(), || end(meter.phase())))));
        }
    }
}

/// Why something ended before it was through.
enum Over {
    Cancelled,
    Time,
}

impl Over {
    fn error(self, site: &Arc<str>, time: impl FnOnce() -> UplinkError) -> UplinkError {
        match self {
            Over::Cancelled => UplinkError::Cancelled { site: Arc::clone(site) },
            Over::Time => time(),
        }
    }
}

/// Runs the work until it is cancelled or due; what is due already is not begun.
async fn limited<T>(
    cancelled: &mut oneshot::Receiver<()>,
    clock: Clock,
    due: Mono,
    work: impl Future<Output = T>,
) -> Result<T, Over> {
    if clock.now() >= due {
        return Err(Over::Time);
    }
    tokio::select! {
        biased;
        // Also when the driver's end is gone: nobody would take the answer.
        _ = cancelled => Err(Over::Cancelled),
        done = tokio::time::timeout_at(clock.instant(due), work) => done.map_err(|_| Over::Time),
    }
}

async fn order_of(order: Order, reach: Result<Reach, UplinkError>, meter: &Arc<Meter>) -> Result<Answer, UplinkError> {
    let reach = reach?;
    let slots = Arc::clone(&reach.slots);
    let _slot = slots.acquire().await;
    meter.enter(Phase::Connecting);
    match order.content {
        Content::Tensors { .. } | Content::Encoded { .. } => oip::infer(&reach, meter, order).await,
        Content::Chat { .. } | Content::Completion { .. } => openai::complete(&reach, meter, order).await,
    }
}

async fn probe_of(
    question: Question,
    reach: Result<Reach, UplinkError>,
    meter: &Arc<Meter>,
) -> Result<Seen, UplinkError> {
    // Not counted among the site's connections: a probe must see a site that is busy, too.
    let reach = reach?;
    meter.enter(Phase::Connecting);
    probe::ask(&reach, meter, question).await
}

/// Tells the end of a job, once; a job that breaks off without one is told as cancelled.
struct Told {
    room: Option<mpsc::OwnedPermit<Event>>,
    ticket: u64,
    name: Arc<str>,
    began: Mono,
    clock: Clock,
    meter: Arc<Meter>,
    probe: bool,
}

impl Told {
    fn done(&mut self, result: Result<Answer, UplinkError>) {
        let read = self.meter.close();
        let done = Done {
            ticket: self.ticket,
            result,
            sent: read.sent,
            sent_bytes: read.sent_bytes,
            received_bytes: read.received_bytes,
            digest: read.digest,
            connect: read.connect,
            first_byte: read.first_byte.map(|at| at.since(self.began)),
            took: self.clock.now().since(self.began),
        };
        self.tell(Event::Done(Box::new(done)));
    }

    fn probed(&mut self, result: Result<Seen, UplinkError>) {
        let read = self.meter.close();
        let took = self.clock.now().since(self.began);
        self.tell(Event::Probed(Box::new(Probed { ticket: self.ticket, result, connect: read.connect, took })));
    }

    fn tell(&mut self, event: Event) {
        if let Some(room) = self.room.take() {
            room.send(event);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.room.is_some() {
            let given_up = UplinkError::Cancelled { site: Arc::clone(&self.name) };
            if self.probe { self.probed(Err(given_up)) } else { self.done(Err(given_up)) }
        }
    }
}
