//! A request goes to a site. What leaves the device is noted before it leaves.

use std::sync::Arc;

use bytes::Bytes as Body;
use edge_core::{Bytes, Event, NanoUsd, Reason, RequestId, SiteFault, SiteId, Tokens, Trip, Zone};

use super::{Attempt, Known, Ticket};
use crate::config::sites::Protocol;
use crate::driver::Driver;
use crate::driver::entry::Entry;
use crate::driver::trace::Step;
use crate::ledger::audit;
use crate::request::{Blob, Payload};
use crate::uplink::{Content, Order, Probe, Question, Refusal};

/// Most of an answer that is read, bytes.
const MAX_ANSWER: u64 = 64 << 20;
/// What a site has to say how it is.
const PROBE_BUDGET: std::time::Duration = std::time::Duration::from_secs(5);

impl Driver {
    /// The core wants a request to be sent.
    pub(in crate::driver) fn spill(&mut self, id: RequestId, site: SiteId, reason: Reason, reserved: NanoUsd) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.travel.attempts += 1;
        entry.travel.last = Some(("spill", reason.as_str()));
        let bytes = Bytes(self.sites.size_of(entry));
        let attempt = Attempt { id, site, bytes, reserved, began: now };
        let Some(known) = self.sites.get(site) else {
            return self.not_sent(&attempt, SiteFault::Unfit, "the site is not configured any more");
        };
        let (name, zone) = (known.name.clone(), known.config.core.zone);
        // The core has asked; were it wrong, nothing leaves all the same.
        if zone > entry.travel.class.farthest() {
            tracing::error!(site = %name, class = entry.travel.class.as_str(), "a request was to go farther than its class allows");
            return self.not_sent(&attempt, SiteFault::Unfit, "its class forbids it");
        }
        entry.story.steps.push((now, Step::Sent { site: name, zone: zone.as_str(), reason: reason.as_str() }));
        if zone == Zone::Device {
            return self.send_to(attempt);
        }
        self.intend(attempt, reason);
    }

    /// Notes that a request is about to leave; it is sent when that is safe.
    fn intend(&mut self, attempt: Attempt, reason: Reason) {
        let (Some(entry), Some(known)) = (self.entries.get(&attempt.id), self.sites.get(attempt.site)) else { return };
        let row = intention(entry, known, &attempt, reason);
        let ticket = self.sites.ticket(Ticket::Attempt(attempt));
        if let Err(why) = self.ledger.intend(ticket, row) {
            self.unaudited(ticket, &why);
        }
    }

    /// It was noted: it may leave now, if it is still wanted.
    pub(in crate::driver) fn intended(&mut self, ticket: u64, result: Result<(), String>) {
        if let Err(why) = result {
            return self.unaudited(ticket, &why);
        }
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&ticket).copied() else { return };
        self.order(ticket, attempt);
    }

    /// What leaves cannot be noted.
    fn unaudited(&mut self, ticket: u64, why: &str) {
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&ticket).copied() else { return };
        self.sites.audit_fault = why.to_owned();
        self.touch();
        if self.config.routing.audit_required {
            self.sites.tickets.remove(&ticket);
            return self.not_sent(&attempt, SiteFault::Unaudited, &format!("what leaves the device cannot be noted: {why}"));
        }
        self.order(ticket, attempt);
    }

    fn send_to(&mut self, attempt: Attempt) {
        let ticket = self.sites.ticket(Ticket::Attempt(attempt));
        self.order(ticket, attempt);
    }

    /// Hands an order to what sends it.
    fn order(&mut self, ticket: u64, attempt: Attempt) {
        let Attempt { id, site, .. } = attempt;
        let (Some(entry), Some(known)) = (self.entries.get(&id), self.sites.get(site)) else {
            self.sites.tickets.remove(&ticket);
            return self.not_sent(&attempt, SiteFault::CalledOff, "nobody wants it any more");
        };
        let order = match self.order_for(ticket, entry, known) {
            Ok(order) => order,
            Err(why) => {
                self.sites.tickets.remove(&ticket);
                return self.not_sent(&attempt, SiteFault::Unfit, &why);
            }
        };
        let sent = match order {
            Sending::Http(order) => match &mut self.sites.uplink {
                Some(uplink) => uplink.send(*order).map_err(|(refusal, _)| words(refusal)),
                None => Err("nothing sends over HTTP in this daemon"),
            },
            Sending::Broker(order) => self.sites.siblings.send(order),
        };
        if let Err(why) = sent {
            self.sites.tickets.remove(&ticket);
            self.not_sent(&attempt, SiteFault::Busy(None), why);
        }
    }

    fn order_for(&self, ticket: u64, entry: &Entry, known: &Known) -> Result<Sending, String> {
        let model = known.model(&entry.info.model).ok_or("the site does not serve the model any more")?;
        let payload = entry.travel.clean.as_ref().unwrap_or(&entry.payload);
        let budget = entry.deadline.since(self.now);
        if known.config.protocol == Protocol::Sibling {
            let options = (entry.travel.class, entry.info.request_id.clone());
            return Ok(Sending::Broker(super::siblings::order(ticket, known, model, payload, budget, options)));
        }
        let address = known.address.clone().ok_or("the site has no address")?;
        let content = content(payload, known, self.outputs_of(entry))?;
        Ok(Sending::Http(Box::new(Order {
            ticket,
            site: address,
            model,
            version: None,
            content,
            budget,
            max_answer_bytes: MAX_ANSWER,
            stream: entry.stream.clone(),
        })))
    }

    /// What the model gives, where this box knows it: the answer of a site is held against it.
    fn outputs_of(&self, entry: &Entry) -> Vec<edge_engine::protocol::TensorSpec> {
        let loaded = self.models.spec(entry.setup);
        loaded.map(|loaded| loaded.outputs.clone()).unwrap_or_default()
    }

    /// Nothing was sent.
    fn not_sent(&mut self, attempt: &Attempt, fault: SiteFault, why: &str) {
        let site = self.sites.get(attempt.site).map(|known| known.name.clone()).unwrap_or_else(|| "?".into());
        if let Some(entry) = self.entries.get_mut(&attempt.id) {
            entry.travel.said.push(format!("site {site}: {why}"));
            entry.story.steps.push((self.now, Step::Returned { site, said: why.to_owned(), took_us: 0 }));
        }
        self.trip(attempt, Err(fault), false);
    }

    /// Tells the core what became of an attempt.
    pub(super) fn trip(&mut self, attempt: &Attempt, result: Result<Tokens, SiteFault>, sent: bool) {
        let Attempt { id, site, bytes, reserved, began } = *attempt;
        let took = self.now.since(began);
        self.core.handle(self.now, Event::SiteDone(Trip { id, site, bytes, reserved, result, sent, took }));
    }

    /// The answer of a site is not wanted any more.
    pub(in crate::driver) fn call_off(&mut self, id: RequestId, site: SiteId) {
        let is_it = |ticket: &Ticket| matches!(ticket, Ticket::Attempt(attempt) if attempt.id == id && attempt.site == site);
        let found = self.sites.tickets.iter().find(|(_, ticket)| is_it(ticket)).map(|(ticket, _)| *ticket);
        let Some(ticket) = found else { return };
        if let Some(uplink) = &mut self.sites.uplink {
            uplink.cancel(ticket);
        }
        self.sites.siblings.cancel(ticket);
    }

    /// The request is served here after all.
    pub(in crate::driver) fn stay(&mut self, id: RequestId, reason: Reason) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.travel.last = Some(("local", reason.as_str()));
            entry.story.steps.push((self.now, Step::Stayed { reason: reason.as_str() }));
        }
    }

    /// The core wants to know how a site is.
    pub(in crate::driver) fn probe_site(&mut self, site: SiteId) {
        let address = self.sites.get(site).and_then(|known| known.address.clone());
        let Some(address) = address else {
            return self.probe_sibling(site);
        };
        let ticket = self.sites.ticket(Ticket::Probe { site });
        let what = Question::Health { model: None };
        let probe = Probe { ticket, site: address, what, budget: PROBE_BUDGET };
        let asked = self.sites.uplink.as_mut().map_or(Err(Refusal::Gone), |uplink| uplink.probe(probe));
        if asked.is_err() {
            self.sites.tickets.remove(&ticket);
            self.core.handle(self.now, Event::SiteProbed { site, result: Err(SiteFault::CalledOff) });
        }
    }
}

/// How it is sent.
enum Sending {
    Http(Box<Order>),
    Broker(super::siblings::Order),
}

/// A payload as a site takes it.
fn content(payload: &Payload, known: &Known, outputs: Vec<edge_engine::protocol::TensorSpec>) -> Result<Content, String> {
    match (payload, known.config.protocol) {
        (Payload::Tensors(given), Protocol::Oip { .. }) => Ok(Content::Tensors { inputs: given.clone(), outputs }),
        (Payload::Encoded { data, .. }, Protocol::OpenAi) => match data {
            Blob::Inline(body) => Ok(Content::Chat { body: body.clone() }),
            Blob::Sealed { fd, offset, len } => crate::driver::results::read_all(fd, *offset, *len)
                .map(|bytes| Content::Chat { body: Body::from(bytes) })
                .map_err(|error| format!("read the request: {error}")),
            Blob::Unsealed { .. } => Err("its body was not read".into()),
        },
        (Payload::Tensors(_), _) => Err("the site takes no tensors".into()),
        (Payload::Encoded { .. }, _) => Err("the site takes no encoded payload".into()),
    }
}

fn intention(entry: &Entry, known: &Known, attempt: &Attempt, reason: Reason) -> audit::Intention {
    audit::Intention {
        request_id: entry.info.request_id.clone(),
        caller: entry.story.caller.to_string(),
        model: entry.info.model.clone(),
        site: known.name.to_string(),
        zone: known.config.core.zone.as_str().into(),
        protocol: known.config.protocol.as_str().into(),
        claimed: entry.travel.claimed.clone(),
        data_class: entry.travel.class.as_str().into(),
        reason: reason.as_str().into(),
        rules: entry.travel.rules.iter().map(Arc::as_ref).collect::<Vec<&str>>().join(","),
        redacted: entry.travel.redacted.clone(),
        bytes: attempt.bytes.0,
        attempt: entry.travel.attempts,
    }
}

fn words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Busy => "as much is under way to other sites as may be",
        Refusal::Known => "its number is taken",
        Refusal::Gone => "what sends to other sites has ended",
    }
}
