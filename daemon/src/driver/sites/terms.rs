//! Where a request may be served: by the operator's rules, which know names, and by what is in its payload. The core decides; this
//! gives it the facts.

use edge_core::{Here, SiteId, Sites as Set, Terms};

use super::Known;
use crate::config::sites::Protocol;
use crate::driver::Driver;
use crate::driver::intake::essence;
use crate::request::{CHAT, Payload, Request};

/// What was found out about a request on the way, for an explanation.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// How its class came about.
    pub class: String,
    /// What detectors found.
    pub detected: Vec<String>,
    /// Names of rules, and what each said.
    pub rules: Vec<(String, String)>,
    /// What the learnt model said.
    pub difficulty: String,
}

impl Driver {
    /// Sites that serve a model in the form of this payload.
    pub(super) fn capable(&self, model: &str, payload: &Payload) -> Set {
        let serves = |known: &Known| known.model(model).is_some() && takes(known.config.protocol, payload);
        self.sites.iter().filter(|(_, known)| serves(known)).map(|(id, _): (SiteId, _)| id).collect()
    }

    /// The terms of a request that was named for a model.
    pub(in crate::driver) fn terms(&self, request: &Request, model: &str, here: Here) -> (Terms, Found) {
        let found = Found::default();
        if self.sites.is_empty() {
            return (Terms { here, ..Terms::default() }, found);
        }
        let pinned = request.options.version.is_some() || request.model.contains(':');
        // Which version a site has, nobody tells.
        let capable = if pinned { Set::NONE } else { self.capable(model, &request.payload) };
        (Terms { capable, here, ..Terms::default() }, found)
    }
}

fn takes(protocol: Protocol, payload: &Payload) -> bool {
    match (protocol, payload) {
        (Protocol::Oip { .. }, Payload::Tensors(_)) | (Protocol::Sibling, _) => true,
        (Protocol::OpenAi, Payload::Encoded { content_type, .. }) => essence(content_type).eq_ignore_ascii_case(CHAT),
        (Protocol::Oip { .. }, Payload::Encoded { .. }) | (Protocol::OpenAi, Payload::Tensors(_)) => false,
    }
}
