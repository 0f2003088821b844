//! Encoded payloads at sites that take tensors: the engine host makes of a payload the tensor that the model takes, the site runs the
//! model, and the host says what its outputs mean. The same two steps as here, with the site between them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use edge_core::{Bytes, HostId, ModelId, SiteFault};
use edge_engine::media::Frame;
use edge_engine::protocol::{Data, ErrorKind, Filled, HostError, INLINE_TOTAL, TensorData, ToHost};

use super::Ticket;
use crate::config::sites::Protocol;
use crate::driver::Driver;
use crate::driver::intake::essence;
use crate::driver::results::{blob, document};
use crate::driver::settle::to_data;
use crate::lanes::SendError;
use crate::request::{CHAT, Payload, TensorIn, TensorOut};
use crate::uplink::{Answer, Done, UplinkError};

/// What a payload became.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub given: TensorIn,
    /// The model that it was made for, which reads the answer.
    pub model: ModelId,
    frame: Option<Frame>,
}

/// Whether a payload is sent as the tensor that a model makes of it, rather than as it is.
pub(super) fn is_filled(protocol: &Protocol, payload: &Payload) -> bool {
    matches!((protocol, payload), (Protocol::Oip { .. }, Payload::Encoded { .. }))
}

impl Driver {
    /// Whether the model of this name makes one tensor of a payload, so that a server of tensors can run it.
    pub(super) fn fills(&self, model: &str, payload: &Payload) -> bool {
        let Payload::Encoded { content_type, .. } = payload else { return false };
        let is_chat = essence(content_type).eq_ignore_ascii_case(CHAT);
        !is_chat && self.models.find(model, None).is_ok_and(|bundle| bundle.found.fills)
    }

    /// Has the payload of an attempt made a tensor.
    pub(super) fn fill(&mut self, ticket: u64) {
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&ticket) else { return };
        let Some(entry) = self.entries.get_mut(&attempt.id) else { return };
        let model = entry.setup;
        let Payload::Encoded { content_type, data } = entry.travel.clean.as_ref().unwrap_or(&entry.payload) else {
            return;
        };
        let content_type = essence(content_type).to_owned();
        let mut fds = Vec::new();
        let payload = match to_data(data, INLINE_TOTAL, &mut fds, &mut self.scratch, &mut entry.sent) {
            Ok(payload) => payload,
            Err(error) => {
                return self.return_unsent(ticket, SiteFault::Unfit, &format!("hand it to the host: {error}"));
            }
        };
        let message = ToHost::Fill { ticket, model: model.0, content_type, payload };
        if let Err(why) = self.run_errand(ticket, model, &message, fds) {
            self.return_unsent(ticket, SiteFault::Unfit, &why);
        }
    }

    fn run_errand(
        &mut self,
        ticket: u64,
        model: ModelId,
        message: &ToHost,
        fds: Vec<Arc<OwnedFd>>,
    ) -> Result<(), String> {
        let loaded = self.models.get(model).filter(|model| model.loaded.is_some());
        let host = loaded.ok_or("the model is not loaded here, which makes its tensor and reads its answer")?.host;
        let host = self.hosts.get_mut(host).ok_or(SendError::NoHost);
        let sent = host.and_then(|host| {
            host.send(message, fds)?;
            host.sent_errand(ticket);
            Ok(())
        });
        sent.map_err(|error| format!("hand it to the engine host: {}", crate::driver::chain(&error)))
    }

    /// A payload is a tensor now, or cannot be one.
    pub(in crate::driver) fn filled(
        &mut self,
        host: HostId,
        ticket: u64,
        result: Result<Filled, HostError>,
        fds: Vec<OwnedFd>,
    ) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.has_done_errand(ticket);
        }
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&ticket) else { return };
        let id = attempt.id;
        let model = self.entries.get(&id).map(|entry| entry.setup).unwrap_or_default();
        let fds: Vec<Arc<OwnedFd>> = fds.into_iter().map(Arc::new).collect();
        let input = self.models.spec(model).and_then(|loaded| loaded.inputs.first());
        let unfit = |why: &str| HostError { kind: ErrorKind::Runtime, message: why.into() };
        let made = result.and_then(|Filled { tensor, frame }| {
            let input = input.ok_or_else(|| unfit("the model is not loaded any more"))?;
            let data = blob(tensor.data, &fds).ok_or_else(|| unfit("a tensor without its descriptor"))?;
            let (name, datatype) = (input.name.clone(), input.datatype.as_str().to_owned());
            Ok(Tensor { given: TensorIn { name, datatype, shape: tensor.shape, data }, model, frame })
        });
        match made {
            Ok(tensor) => {
                let (bytes, most) = (Bytes(tensor.given.data.len()), attempt.was.max_bytes);
                if bytes > most {
                    let why = format!("its tensor has {} bytes, the site takes {}", bytes.0, most.0);
                    return self.return_unsent(ticket, SiteFault::Unfit, &why);
                }
                if let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get_mut(&ticket) {
                    attempt.bytes = bytes;
                    attempt.tensor = Some(Box::new(tensor));
                }
                self.leave(ticket);
            }
            Err(error) => {
                let why = error.message.clone();
                let fault = match error.kind {
                    ErrorKind::InvalidInput => SiteFault::Invalid,
                    ErrorKind::TooLarge => SiteFault::Oversized,
                    ErrorKind::Runtime | ErrorKind::Full | ErrorKind::Late | ErrorKind::Stopped => SiteFault::Unfit,
                };
                if let Some(entry) = self.entries.get_mut(&id).filter(|_| fault != SiteFault::Unfit) {
                    entry.error = Some(error);
                }
                self.return_unsent(ticket, fault, &why);
            }
        }
    }

    /// Tensors came back for a payload: the host says what they mean, before anything is done with them.
    pub(super) fn interpret(&mut self, done: Done) {
        let ticket = done.ticket;
        let asked = self.ask_what_it_means(&done);
        self.sites.read.insert(ticket, done);
        if let Err(why) = asked {
            self.meaning(ticket, Err((false, why)));
        }
    }

    fn ask_what_it_means(&mut self, done: &Done) -> Result<(), String> {
        let Some(Ticket::Attempt(attempt)) = self.sites.tickets.get(&done.ticket) else {
            return Err("nobody wants it any more".into());
        };
        let (Some(tensor), Ok(Answer::Tensors(given))) = (&attempt.tensor, &done.result) else {
            return Err("it is no tensor".into());
        };
        let (model, frame) = (tensor.model, tensor.frame);
        let loaded = self.models.spec(model).ok_or("the model that reads it is not loaded any more")?;
        let mut fds = Vec::new();
        let mut outputs = Vec::with_capacity(loaded.outputs.len());
        for (index, spec) in (0..).zip(&loaded.outputs) {
            let named = |tensor: &&TensorOut| *tensor.name == *spec.name;
            let tensor = given.iter().find(named).ok_or_else(|| format!("output {} is missing", spec.name))?;
            let data = sealed(tensor, &mut fds).map_err(|error| format!("hand it to the engine host: {error}"))?;
            outputs.push(TensorData { index, shape: tensor.shape.clone(), data });
        }
        self.run_errand(
            done.ticket,
            model,
            &ToHost::Interpret { ticket: done.ticket, model: model.0, outputs, frame },
            fds,
        )
    }

    /// The host has read what a site answered.
    pub(in crate::driver) fn interpreted(
        &mut self,
        host: HostId,
        ticket: u64,
        result: Result<Data, HostError>,
        fds: &[OwnedFd],
    ) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.has_done_errand(ticket);
        }
        let is_theirs = |error: &HostError| matches!(error.kind, ErrorKind::InvalidInput | ErrorKind::TooLarge);
        let result = result.map_err(|error| (is_theirs(&error), error.message));
        let result = result.and_then(|data| document(data, fds).map_err(|why| (false, why)));
        self.meaning(ticket, result);
    }

    /// What an answer means; or why nobody knows, and whether that is the site's fault.
    fn meaning(&mut self, ticket: u64, result: Result<String, (bool, String)>) {
        let Some(mut done) = self.sites.read.remove(&ticket) else { return };
        let site = self.sites.asked.get(&ticket).map_or_else(|| Arc::from("?"), |asked| asked.name.clone());
        done.result = match result {
            Ok(text) => Ok(Answer::Document(text)),
            Err((true, why)) => Err(UplinkError::Garbage { site, why }),
            Err((false, why)) => Err(UplinkError::Unfit { site, why: format!("its answer cannot be read: {why}") }),
        };
        self.came_back(done);
    }

    /// The host has ended that did something for an attempt.
    pub(in crate::driver) fn errand_lost(&mut self, ticket: u64) {
        let why = "the engine host ended";
        if self.sites.read.contains_key(&ticket) {
            self.meaning(ticket, Err((false, why.into())));
        } else {
            self.return_unsent(ticket, SiteFault::Unfit, &format!("{why} while it decoded the payload"));
        }
    }
}

/// An output as the host takes it, whose bytes came over the network.
fn sealed(tensor: &TensorOut, fds: &mut Vec<Arc<OwnedFd>>) -> std::io::Result<Data> {
    let fd = u16::try_from(fds.len()).map_err(std::io::Error::other)?;
    let len = tensor.data.len();
    let (file, offset) = match &tensor.data {
        crate::request::Blob::Inline(bytes) => (Arc::new(edge_engine::memfile::sealed(bytes)?), 0),
        crate::request::Blob::Sealed { fd, offset, .. } => (fd.clone(), *offset),
        crate::request::Blob::Unsealed { .. } => return Err(std::io::ErrorKind::InvalidInput.into()),
    };
    fds.push(file);
    Ok(Data::Sealed { fd, offset, len })
}
