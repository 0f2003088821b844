//! The table of sites: what the configuration says of each, and how it is reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use edge_core::{ModelId, Site, SiteId, Sites as Set};

use super::Sites;
use crate::config::sites::{Protocol, SiteConfig};
use crate::driver::Driver;
use crate::uplink::SiteAddress;

/// Numbers of models that live on other sites only begin here; those of this box are counted from 0 on, and no box has so many.
const ELSEWHERE: u16 = 0xf000;

/// One site.
#[derive(Clone, Debug)]
pub struct Known {
    pub config: Arc<SiteConfig>,
    /// How it is reached; `None` for one that is reached by the broker.
    pub address: Option<Arc<SiteAddress>>,
    /// Names of its models, by ours.
    pub models: BTreeMap<String, Arc<str>>,
    pub name: Arc<str>,
    /// What the last attempt or probe said that failed; empty since one succeeded.
    pub last_error: String,
}

impl Known {
    fn new(config: Arc<SiteConfig>) -> Known {
        Known {
            address: config.address(),
            models: config.models.iter().map(|(ours, theirs)| (ours.clone(), theirs.as_str().into())).collect(),
            name: config.name.as_str().into(),
            config,
            last_error: String::new(),
        }
    }

    /// Its name for a model of ours; a sibling has our names unless it says otherwise.
    pub fn model(&self, ours: &str) -> Option<Arc<str>> {
        match self.models.get(ours) {
            Some(theirs) => Some(theirs.clone()),
            None if self.config.protocol == Protocol::Sibling && self.models.is_empty() => Some(ours.into()),
            None => None,
        }
    }
}

impl Sites {
    /// Takes over what the configuration says, and gives what the core is to know: a site keeps its number as long as it is there.
    pub fn take(&mut self, configured: &[Arc<SiteConfig>]) -> Vec<Site> {
        let is_named = |known: &Known| configured.iter().any(|config| config.name == known.config.name);
        for place in &mut self.known {
            if place.as_ref().is_some_and(|known| !is_named(known)) {
                *place = None;
            }
        }
        for config in configured {
            let same = |place: &Option<Known>| place.as_ref().is_some_and(|known| known.config.name == config.name);
            let at = self.known.iter().position(same);
            match at.and_then(|at| self.known.get_mut(at)) {
                // Connections are kept where nothing changed.
                Some(Some(known)) if known.config == *config => {}
                Some(place) => *place = Some(Known::new(config.clone())),
                None => self.add(Known::new(config.clone())),
            }
        }
        self.known.iter().map(|place| place.as_ref().map_or_else(hole, |known| known.config.core)).collect()
    }

    /// In a place where nothing is under way any more, else behind all others.
    fn add(&mut self, known: Known) {
        let busy: Vec<SiteId> = self.tickets.values().map(|ticket| ticket.site()).collect();
        let is_free = |at: &usize| {
            let id = u8::try_from(*at).map(SiteId);
            self.known.get(*at).is_some_and(Option::is_none) && id.is_ok_and(|id| !busy.contains(&id))
        };
        match (0..self.known.len()).find(is_free).and_then(|at| self.known.get_mut(at)) {
            Some(place) => *place = Some(known),
            None if self.known.len() < Set::MOST => self.known.push(Some(known)),
            None => tracing::error!(site = %known.name, "no number is free for it until requests at removed sites have ended"),
        }
    }

    /// The number of a model that lives on other sites only.
    pub fn model_elsewhere(&mut self, name: &str) -> Option<ModelId> {
        if !self.iter().any(|(_, known)| known.model(name).is_some()) {
            return None;
        }
        let at = self.elsewhere.iter().position(|known| known == name).unwrap_or_else(|| {
            self.elsewhere.push(name.to_owned());
            self.elsewhere.len() - 1
        });
        u16::try_from(at).ok().and_then(|at| ELSEWHERE.checked_add(at)).map(ModelId)
    }

    /// Models that other sites serve, each once.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.iter().flat_map(|(_, known)| known.models.keys().map(String::as_str))
    }
}

impl super::Ticket {
    fn site(self) -> SiteId {
        match self {
            super::Ticket::Attempt(attempt) => attempt.site,
            super::Ticket::Probe { site } => site,
        }
    }
}

/// A number without a site: nothing is sent there.
fn hole() -> Site {
    Site { max_open: 0, ..Site::in_zone(edge_core::Zone::Cloud) }
}

impl Driver {
    /// The configuration's sites become the core's; told before the policy that has them.
    pub(in crate::driver) fn take_sites(&mut self) {
        let sites = self.sites.take(&self.config.sites);
        self.config.policy.sites = sites;
    }
}
