//! What came back from a site: an answer that becomes the request's, or a fault that the core decides about.

use std::sync::Arc;

use edge_core::{Event as CoreEvent, Mono, NanoUsd, Outcome, SiteFault, SiteId, Tokens};

use super::Ticket;
use crate::driver::entry::Entry;
use crate::driver::trace::Step;
use crate::driver::{Driver, resolve};
use crate::ledger::audit;
use crate::ledger::usage::{Key, Sample};
use crate::request::{Blob, Output, Payload, TensorOut};
use crate::uplink::{Answer, Done, Event, Kind, Probed, UplinkError, Usage};
use edge_engine::protocol::Want;

impl Driver {
    /// Something that was under way at a site has ended.
    pub(in crate::driver) fn on_uplink(&mut self, event: Event) {
        self.now = self.clock.now();
        match event {
            Event::Done(done) => self.came_back(*done),
            Event::Probed(probed) => self.probed(*probed),
        }
    }

    pub(in crate::driver) fn came_back(&mut self, done: Done) {
        let is_read_first = |ticket: &Ticket| matches!(ticket, Ticket::Attempt(attempt) if attempt.tensor.is_some());
        if matches!(done.result, Ok(Answer::Tensors(_)))
            && self.sites.tickets.get(&done.ticket).is_some_and(is_read_first)
        {
            return self.interpret(done);
        }
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.remove(&done.ticket) else { return };
        let (took_us, sent) = (micros(done.took), done.sent.payload());
        // As it was when it was asked: the configuration may know it no more.
        let asked = self.sites.asked.remove(&done.ticket);
        let name = asked.as_ref().map_or_else(|| Arc::from("?"), |asked| asked.name.clone());
        let price = asked.as_ref().and_then(|asked| asked.price);
        let want = self.entries.get(&attempt.id).map_or(Want::Inline, |entry| entry.want);
        let result = done.result.map_err(|error| (fault(&error), error.to_string())).and_then(|answer| {
            let tokens = tokens(&answer);
            self.has_its_batch(attempt.id, &answer).map_err(|why| (SiteFault::Garbage, why))?;
            output(answer, want).map(|output| (tokens, output)).map_err(|why| (SiteFault::Garbage, why))
        });
        let said = match &result {
            Ok(_) => "answered".to_owned(),
            Err((_, why)) => why.clone(),
        };
        let cost = match (&result, price) {
            (Ok((tokens, _)), Some(price)) => price.of(*tokens),
            (Ok(_), None) | (Err(_), _) => NanoUsd(0),
        };
        self.sites.called_off.remove(&done.ticket);
        if let Some(noted) = attempt.noted {
            self.book.outcome(
                noted,
                audit::Outcome {
                    ended_ms: crate::driver::book::now().wall_ms,
                    word: result.as_ref().map_or_else(|(fault, _)| fault.as_str(), |_| "ok").into(),
                    reply_bytes: done.received_bytes,
                    micro_usd: price.is_some().then_some(cost.0.div_ceil(1000)),
                    sha256: done.digest.filter(|_| sent),
                },
            );
        }
        self.heard(attempt.site, &name, result.as_ref().err().map(|(_, why)| why.as_str()));
        if let Some(entry) = self.entries.get_mut(&attempt.id) {
            entry.story.steps.push((self.now, Step::Returned { site: name.clone(), said: said.clone(), took_us }));
            entry.travel.cost = entry.travel.cost.plus(cost);
            entry.travel.sent_bytes += done.sent_bytes;
        }
        match result {
            Ok((tokens, output)) => {
                if let Some(entry) = self.entries.get_mut(&attempt.id) {
                    take(entry, output, tokens, done.took);
                    entry.travel.served = asked.map(|asked| (asked.name, asked.zone));
                }
                self.trip(&attempt, Ok(tokens), sent);
            }
            Err((fault, why)) => {
                if let Some(entry) = self.entries.get_mut(&attempt.id) {
                    entry.travel.said.push(if why.contains(&*name) { why } else { format!("site {name}: {why}") });
                }
                self.trip(&attempt, Err(fault), sent);
            }
        }
    }

    fn probed(&mut self, probed: Probed) {
        let Some(Ticket::Probe { site }) = self.sites.tickets.remove(&probed.ticket) else { return };
        let result = probed.result.map(|_| ()).map_err(|error| (fault(&error), error.to_string()));
        if let Some(name) = self.sites.get(site).map(|known| known.name.clone()) {
            self.heard(site, &name, result.as_ref().err().map(|(_, why)| why.as_str()));
        }
        self.core.handle(self.now, CoreEvent::SiteProbed { site, result: result.map_err(|(fault, _)| fault) });
    }

    /// Whether the answer has as many items as the request, where that can be told.
    fn has_its_batch(&self, id: edge_core::RequestId, answer: &Answer) -> Result<(), String> {
        let Answer::Tensors(tensors) = answer else { return Ok(()) };
        let Some(entry) = self.entries.get(&id) else { return Ok(()) };
        match (&entry.payload, self.models.spec(entry.setup)) {
            (Payload::Tensors(given), Some(model)) => resolve::same_items(given, model, tensors),
            _ => Ok(()),
        }
    }

    /// What a site said last, for whoever looks at its state; a site of another name has its number since then.
    fn heard(&mut self, site: SiteId, name: &str, error: Option<&str>) {
        let known = self.sites.known.get_mut(usize::from(site.0)).and_then(Option::as_mut);
        if let Some(known) = known.filter(|known| *known.name == *name) {
            let error = error.unwrap_or_default();
            if known.last_error != error {
                error.clone_into(&mut known.last_error);
                self.touch();
            }
        }
    }

    /// A site's gate opened or shut.
    pub(in crate::driver) fn site_changed(&mut self, site: SiteId, passing: bool) {
        if let Some(known) = self.sites.get(site) {
            let (site, why) = (&known.name, &known.last_error);
            if passing {
                tracing::info!(%site, "the site is asked again");
            } else {
                tracing::warn!(%site, %why, "the site is not asked for now");
            }
        }
        self.touch();
    }

    /// What is said of where it was served, when it has ended.
    pub(in crate::driver) fn finish_travel(&mut self, entry: &mut Entry, outcome: Outcome) {
        if let Some((verdict, reason)) = entry.travel.last {
            entry.info.verdict = verdict.into();
            entry.info.reason = reason.into();
        }
        entry.info.cost_usd = usd(entry.travel.cost);
        let Outcome::Spilled(site) = outcome else { return };
        let known = || self.sites.get(site).map(|known| (known.name.clone(), known.config.core.zone));
        let Some((name, zone)) = entry.travel.served.take().or_else(known) else { return };
        entry.info.site = name.to_string();
        entry.info.zone = entry.reached.max(zone).as_str().into();
        // What ran it there is not known here.
        entry.info.provider.clear();
        entry.info.variant.clear();
        entry.info.version.clear();
    }

    /// What a settled request adds to the usage of this minute.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "energy of a request in whole millijoules"
    )]
    pub(in crate::driver) fn count_usage(&mut self, entry: &Entry, ok: bool) {
        let (info, travel) = (&entry.info, &entry.travel);
        let was_served = info.verdict != "refuse";
        let site = if info.site.is_empty() && was_served { self.config.node.as_str() } else { info.site.as_str() };
        let key = Key { model: &info.model, site, verdict: &info.verdict };
        let sample = Sample {
            ok,
            input_tokens: u64::from(travel.tokens.input),
            output_tokens: u64::from(travel.tokens.output),
            bytes_sent: travel.sent_bytes,
            micro_usd: travel.cost.0.div_ceil(1000),
            energy_mj: (info.energy_mj > 0.0).then_some(info.energy_mj.round() as u64),
            total_us: was_served.then_some(info.total_us),
        };
        self.book.count(key, &sample);
    }
}

impl Entry {
    /// The site whose answer it waits for, if it was sent to one that has said nothing yet.
    pub(in crate::driver) fn awaited(&self) -> Option<&str> {
        let last = self.story.steps.iter().rev().find_map(|(_, step)| match step {
            Step::Sent { site, .. } => Some(Some(&**site)),
            Step::Returned { .. } | Step::Stayed { .. } => Some(None),
            _ => None,
        });
        last.flatten()
    }
}

/// The site that was asked last. One whose time was over with the request's gave no answer either.
pub(in crate::driver) fn asked_last(steps: &[(Mono, Step)]) -> Option<&str> {
    steps.iter().rev().find_map(|(_, step)| match step {
        Step::Sent { site, .. } => Some(&**site),
        _ => None,
    })
}

/// A site's answer is the request's.
fn take(entry: &mut Entry, output: Output, tokens: Tokens, took: std::time::Duration) {
    entry.result = Some(output);
    entry.compute = took;
    entry.started.get_or_insert(Mono::default());
    entry.travel.tokens = tokens;
}

fn tokens(answer: &Answer) -> Tokens {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    match answer {
        Answer::Chat(chat) => chat.usage.map_or(Tokens::default(), |usage| Tokens {
            input: count(usage.input_tokens),
            output: count(usage.output_tokens),
        }),
        Answer::Tensors(_) | Answer::Document(_) => Tokens::default(),
    }
}

/// A site's answer as requests have it.
fn output(answer: Answer, want: Want) -> Result<Output, String> {
    match answer {
        Answer::Document(text) => Ok(Output::Document(text)),
        Answer::Chat(chat) => match chat.body {
            Some(body) => String::from_utf8(body.into()).map(Output::Document).map_err(|error| error.to_string()),
            // It went piece by piece; what is left to tell is what it took.
            None => Ok(Output::Document(serde_json::json!({ "usage": chat.usage.map(usage) }).to_string())),
        },
        Answer::Tensors(tensors) => match want {
            Want::Inline => Ok(Output::Tensors(tensors)),
            Want::Sealed => tensors.into_iter().map(sealed).collect::<Result<Vec<_>, _>>().map(Output::Tensors),
        },
    }
}

fn usage(usage: Usage) -> serde_json::Value {
    let (input, output) = (usage.input_tokens, usage.output_tokens);
    let total = input.saturating_add(output);
    serde_json::json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": total })
}

/// The same tensor in a fresh sealed memfd.
fn sealed(tensor: TensorOut) -> Result<TensorOut, String> {
    let Blob::Inline(bytes) = &tensor.data else { return Ok(tensor) };
    let fd = edge_engine::memfile::sealed(bytes).map_err(|error| format!("make a memory file: {error}"))?;
    let data = Blob::Sealed { fd: Arc::new(fd), offset: 0, len: bytes.len() as u64 };
    Ok(TensorOut { data, ..tensor })
}

/// The core's word for what went wrong.
fn fault(error: &UplinkError) -> SiteFault {
    if let UplinkError::Rejected { status: 404 | 405 | 410, .. } = error {
        return SiteFault::Missing;
    }
    match error.kind() {
        Kind::Connect => SiteFault::Connect,
        Kind::Tls => SiteFault::Tls,
        Kind::Credential => SiteFault::Credential,
        Kind::Timeout => SiteFault::Timeout,
        Kind::Reset => SiteFault::Reset,
        Kind::Busy => SiteFault::Busy(error.retry_after()),
        Kind::Server => SiteFault::Server,
        Kind::Rejected => SiteFault::Rejected,
        Kind::Garbage => SiteFault::Garbage,
        Kind::TooLarge => SiteFault::TooLarge,
        Kind::Redirected => SiteFault::Redirected,
        Kind::Cancelled => SiteFault::CalledOff,
        Kind::Unfit => SiteFault::Unfit,
    }
}

/// US dollars.
#[expect(clippy::cast_precision_loss, reason = "billionths of dollars; cents matter")]
pub(super) fn usd(amount: NanoUsd) -> f64 {
    amount.0 as f64 / 1e9
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_that_was_asked_last_is_known_after_its_time_was_over() {
        let sent = |site: &str| Step::Sent { site: site.into(), zone: "premises", reason: "held" };
        let over = Step::Returned { site: "b".into(), said: "no answer".into(), took_us: 9 };
        let at = Mono::default();
        assert_eq!(asked_last(&[(at, sent("a")), (at, sent("b")), (at, over)]), Some("b"));
        assert_eq!(asked_last(&[]), None);
    }

    #[test]
    fn a_sum_of_tokens_beyond_all_numbers_stays_the_greatest_one() {
        let said = usage(Usage { input_tokens: 5, output_tokens: u64::MAX });
        assert_eq!((said["total_tokens"].as_u64(), said["prompt_tokens"].as_u64()), (Some(u64::MAX), Some(5)));
    }
}
