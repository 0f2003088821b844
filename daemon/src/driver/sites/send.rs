//! A request goes to a site. What leaves the device is noted before it leaves.

use std::sync::Arc;

use edge_core::spill::confinement;
use edge_core::{
    Bytes, Event, ModelId, NanoUsd, Price, Reason, RequestId, Site, SiteFault, SiteId, Tokens, Trip, Zone,
};

use super::filled::Tensor;
use super::{Attempt, Known, Ticket};
use crate::config::routing::Audit;
use crate::config::sites::Protocol;
use crate::driver::Driver;
use crate::driver::entry::Entry;
use crate::driver::trace::Step;
use crate::ledger::audit::{self, Departure};
use crate::request::Payload;
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
        let bytes = Bytes(size_of(entry));
        let known = self.sites.get(site).map(|known| (known.name.clone(), known.config.core));
        let was = known.as_ref().map_or(Site::in_zone(Zone::Cloud), |(_, core)| *core);
        let mut attempt = Attempt {
            id,
            site,
            was,
            bytes,
            reserved,
            began: now,
            reason,
            judged_by: 0,
            tensor: None,
            reservation: None,
            noted: None,
        };
        let Some((name, Site { zone, price, .. })) = known else {
            return self.not_sent(&attempt, SiteFault::Unfit, "the site is not configured any more");
        };
        if let Err(why) = self.may_still(id, site, was) {
            return self.not_sent(&attempt, SiteFault::Unfit, &why);
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        attempt.judged_by = entry.travel.judged_by;
        let is_priced = price.is_some_and(|price| price != Price::default());
        entry.story.steps.push((now, Step::Sent { site: name.clone(), zone: zone.as_str(), reason: reason.as_str() }));
        if is_priced {
            attempt.reservation = self.book.reserve(&name, reserved);
        }
        let ticket = self.sites.ticket(Ticket::Attempt(Box::new(attempt)));
        if self.is_filled(id, site) { self.fill(ticket) } else { self.leave(ticket) }
    }

    /// What is sent is known: it is noted, if it leaves the device, and goes.
    pub(super) fn leave(&mut self, ticket: u64) {
        if self.sites.called_off.remove(&ticket) {
            return self.return_unsent(ticket, SiteFault::CalledOff, "it was called off before it left");
        }
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&ticket) else { return };
        let leaves = (attempt.was.zone > Zone::Device).then(|| self.departure(attempt)).flatten();
        match leaves {
            None => self.order(ticket),
            Some(row) => {
                if let Err(why) = self.book.intend(ticket, row) {
                    self.unaudited(ticket, &why);
                }
            }
        }
    }

    /// Whether an attempt may still leave by the configuration of now: the core has asked, and time may have passed since, in which
    /// a reload has made the site another one, or the rules stricter. Asked at every step on the way out, so that nothing else is.
    fn may_still(&mut self, id: RequestId, site: SiteId, was: Site) -> Result<(), String> {
        let Some(core) = self.sites.get(site).map(|known| known.config.core) else {
            return Err("the site is not configured any more".into());
        };
        if core != was {
            return Err("a reload has changed the site".into());
        }
        self.judge_again(id);
        // One that nobody wants any more is called off after this.
        let Some(Entry { travel, .. }) = self.entries.get(&id) else { return Ok(()) };
        if !travel.terms.capable.has(site) {
            return Err("by the configuration of now it does not serve this request".into());
        }
        match confinement(travel.class, &travel.terms, site, &core) {
            None => Ok(()),
            Some(bar) => Err(format!("the rules that hold now forbid it ({})", bar.as_str())),
        }
    }

    fn is_filled(&self, id: RequestId, site: SiteId) -> bool {
        let (Some(entry), Some(known)) = (self.entries.get(&id), self.sites.get(site)) else { return false };
        super::filled::is_filled(&known.config.protocol, &entry.payload)
    }

    /// What is noted of a request that is about to leave.
    fn departure(&self, attempt: &Attempt) -> Option<Departure> {
        let (entry, known) = (self.entries.get(&attempt.id)?, self.sites.get(attempt.site)?);
        let travel = &entry.travel;
        Some(Departure {
            at_ms: crate::driver::book::now().wall_ms,
            request_id: entry.info.request_id.clone(),
            caller: entry.story.caller.to_string(),
            model: entry.info.model.clone(),
            site: known.name.to_string(),
            zone: known.config.core.zone.as_str().into(),
            protocol: known.protocol().into(),
            claimed: Some(travel.claimed.clone()).filter(|claimed| !claimed.is_empty()),
            effective: travel.class.as_str().into(),
            rule: travel.rules.iter().map(Arc::as_ref).collect::<Vec<&str>>().join(","),
            redacted: travel.redacted,
            bytes: attempt.bytes.0,
            attempt: travel.attempts,
            kind: attempt.reason.as_str().into(),
        })
    }

    /// It was noted, or could not be: it may leave now, if it is still wanted.
    pub(in crate::driver) fn intended(&mut self, ticket: u64, result: Result<audit::Ticket, String>) {
        match result {
            Err(why) => self.unaudited(ticket, &why),
            Ok(noted) => {
                if let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get_mut(&ticket) {
                    attempt.noted = Some(noted);
                    self.order(ticket);
                }
            }
        }
    }

    /// What leaves cannot be noted.
    fn unaudited(&mut self, ticket: u64, why: &str) {
        why.clone_into(&mut self.sites.audit_fault);
        self.touch();
        if self.config.routing.audit == Audit::BestEffort {
            return self.order(ticket);
        }
        self.return_unsent(ticket, SiteFault::Unaudited, &format!("what leaves the device cannot be noted: {why}"));
    }

    /// Hands an order to what sends it.
    fn order(&mut self, ticket: u64) {
        if self.sites.called_off.remove(&ticket) {
            return self.return_unsent(ticket, SiteFault::CalledOff, "it was called off before it left");
        }
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&ticket) else { return };
        let (id, site, tensor, judged_by) = (attempt.id, attempt.site, attempt.tensor.clone(), attempt.judged_by);
        if let Err(why) = self.may_still(id, site, attempt.was) {
            return self.return_unsent(ticket, SiteFault::Unfit, &why);
        }
        let (Some(entry), Some(known)) = (self.entries.get(&id), self.sites.get(site)) else {
            return self.return_unsent(ticket, SiteFault::CalledOff, "nobody wants it any more");
        };
        if tensor.is_some() && entry.travel.judged_by != judged_by {
            // The tensor is made of what older rules let leave: they may have left in it what is to be taken out now.
            let why = "the rules were read again while its tensor was made";
            return self.return_unsent(ticket, SiteFault::Unfit, why);
        }
        let order = match self.order_for(ticket, entry, known, tensor) {
            Ok(order) => order,
            Err(why) => return self.return_unsent(ticket, SiteFault::Unfit, &why),
        };
        let sent = match order {
            Sending::Http(order) => match &mut self.sites.uplink {
                Some(uplink) => uplink.send(*order).map_err(|(refusal, _)| words(refusal)),
                None => Err("nothing sends over HTTP in this daemon"),
            },
            Sending::Broker(order) => self.sites.siblings.send(order),
        };
        if let Err(why) = sent {
            self.return_unsent(ticket, SiteFault::Busy(None), why);
        }
    }

    /// An attempt ends before anything of it was sent.
    pub(super) fn return_unsent(&mut self, ticket: u64, fault: SiteFault, why: &str) {
        if let Some(Ticket::Attempt(attempt)) = self.sites.tickets.remove(&ticket) {
            if let Some(noted) = attempt.noted {
                self.book.outcome(noted, nothing_left(fault));
            }
            self.not_sent(&attempt, fault, why);
        }
    }

    fn order_for(
        &self,
        ticket: u64,
        entry: &Entry,
        known: &Known,
        tensor: Option<Box<Tensor>>,
    ) -> Result<Sending, String> {
        let model = known.model(&entry.info.model).ok_or("the site does not serve the model any more")?;
        let payload = entry.travel.clean.as_ref().unwrap_or(&entry.payload);
        let budget = entry.deadline.since(self.now);
        if let Protocol::Sibling { node } = &known.config.protocol {
            return Ok(Sending::Broker(super::siblings::Order {
                ticket,
                site: known.name.clone(),
                node: node.as_str().into(),
                model,
                payload: payload.clone(),
                outputs: self.outputs_of(entry.setup),
                budget,
                class: entry.travel.class,
                priority: entry.options.priority,
                request_id: entry.info.request_id.clone(),
            }));
        }
        let address = known.address.clone().ok_or("the site has no address")?;
        let content = match tensor {
            Some(tensor) => Content::Tensors { inputs: vec![tensor.given], outputs: self.outputs_of(tensor.model) },
            None => content(payload, known, self.outputs_of(entry.setup))?,
        };
        Ok(Sending::Http(Box::new(Order {
            ticket,
            site: address,
            model,
            version: known.version(&entry.info.model),
            content,
            budget,
            max_answer_bytes: MAX_ANSWER,
            noted: known.config.core.zone > Zone::Device,
            stream: entry.stream.clone(),
        })))
    }

    /// What the model gives, where this box knows it: the answer of a site is held against it.
    fn outputs_of(&self, model: ModelId) -> Vec<edge_engine::protocol::TensorSpec> {
        let loaded = self.models.spec(model);
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

    /// Tells the core what became of an attempt, and gives back what of the money was not spent.
    pub(super) fn trip(&mut self, attempt: &Attempt, result: Result<Tokens, SiteFault>, sent: bool) {
        let Attempt { id, site, bytes, reserved, began, .. } = *attempt;
        let trip = Trip { id, site, bytes, reserved, result, sent, took: self.now.since(began) };
        if let Some(reservation) = &attempt.reservation {
            // By what the site charged when it was chosen: a reload may have changed or removed it.
            self.book.settle(reservation, edge_core::spill::charged(&attempt.was, &trip));
        }
        if let (Err(fault), Some(entry)) = (result, self.entries.get_mut(&id)) {
            entry.travel.failed |= fault.may_be_of_request();
            if fault.is_for_good() {
                entry.travel.terms.rejected = entry.travel.terms.rejected.with(site);
            }
        }
        self.core.handle(self.now, Event::SiteDone(trip));
    }

    /// The answer of a site is not wanted any more.
    pub(in crate::driver) fn call_off(&mut self, id: RequestId, site: SiteId) {
        let is_it = |ticket: &Ticket| matches!(ticket, Ticket::Attempt(it) if it.id == id && it.site == site);
        let found = self.sites.tickets.iter().find(|(_, ticket)| is_it(ticket)).map(|(ticket, _)| *ticket);
        let Some(ticket) = found else { return };
        if let Some(uplink) = &mut self.sites.uplink {
            uplink.cancel(ticket);
        }
        self.sites.siblings.cancel(ticket);
        // One that still waits to be noted does not leave.
        self.sites.called_off.insert(ticket);
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
fn content(
    payload: &Payload,
    known: &Known,
    outputs: Vec<edge_engine::protocol::TensorSpec>,
) -> Result<Content, String> {
    match (payload, &known.config.protocol) {
        (Payload::Tensors(given), Protocol::Oip { .. }) => Ok(Content::Tensors { inputs: given.clone(), outputs }),
        (Payload::Encoded { data, .. }, Protocol::OpenAi { .. }) => Ok(Content::Chat { body: data.clone() }),
        (Payload::Tensors(_), _) => Err("the site takes no tensors".into()),
        (Payload::Encoded { .. }, _) => Err("the site takes no encoded payload".into()),
    }
}

/// What is noted of one that did not leave.
fn nothing_left(fault: SiteFault) -> audit::Outcome {
    audit::Outcome {
        ended_ms: crate::driver::book::now().wall_ms,
        word: fault.as_str().into(),
        reply_bytes: 0,
        micro_usd: None,
        sha256: None,
    }
}

/// Bytes of what would be sent.
fn size_of(entry: &Entry) -> u64 {
    match entry.travel.clean.as_ref().unwrap_or(&entry.payload) {
        Payload::Tensors(given) => given.iter().map(|tensor| tensor.data.len()).sum(),
        Payload::Encoded { data, .. } => crate::driver::intake::size_of(data),
    }
}

fn words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Busy => "as much is under way to other sites as may be",
        Refusal::Known => "its number is taken",
        Refusal::Gone => "what sends to other sites has ended",
    }
}
