//! The table of sites: what the configuration says of each, and how it is reached.

use std::sync::Arc;
use std::time::Duration;

use edge_core::{Event, ModelId, Mono, SiteId, Sites as Set};

use super::named::Named;
use super::{Sites, Ticket};
use crate::config::Config;
use crate::config::numbering::NoRoom;
use crate::config::sites::{Http2, Protocol, SiteConfig};
use crate::driver::Driver;
use crate::uplink::{self, Identity, SiteAddress};

/// Numbers of models that live on other sites only begin here; those of this box are counted from 0 on, and no box has so many.
const ELSEWHERE: u16 = 0xf000;
/// How long a connection is kept that nobody uses: most servers close theirs after a minute.
const IDLE: Duration = Duration::from_secs(50);

/// One site.
#[derive(Clone, Debug)]
pub struct Known {
    pub config: SiteConfig,
    /// How it is reached; `None` for one that is reached by the broker.
    pub address: Option<Arc<SiteAddress>>,
    pub name: Arc<str>,
    /// What the last attempt or probe said that failed; empty since one succeeded.
    pub last_error: String,
    /// When a box that is reached by the broker last said how it is.
    pub heard: Option<Mono>,
}

impl Known {
    fn new(config: SiteConfig) -> Known {
        Known {
            address: address(&config).map(Arc::new),
            name: config.name.as_str().into(),
            config,
            last_error: String::new(),
            heard: None,
        }
    }

    /// Its name for a model of ours.
    pub fn model(&self, ours: &str) -> Option<Arc<str>> {
        self.config.model(ours).map(Arc::from)
    }

    /// Its version of it, where one is asked for.
    pub fn version(&self, ours: &str) -> Option<Arc<str>> {
        self.config.versions.get(ours).map(|version| version.as_str().into())
    }

    /// The word for how it is spoken to.
    pub fn protocol(&self) -> &'static str {
        match self.config.protocol {
            Protocol::Oip { .. } => "oip",
            Protocol::OpenAi { .. } => "openai",
            Protocol::Sibling { .. } => "sibling",
        }
    }

    /// Where it is, without anything secret.
    pub fn place(&self) -> String {
        match &self.config.protocol {
            Protocol::Oip { http, .. } | Protocol::OpenAi { http } => http.url.to_string(),
            Protocol::Sibling { node } => node.clone(),
        }
    }
}

fn address(config: &SiteConfig) -> Option<SiteAddress> {
    let (protocol, http) = match &config.protocol {
        Protocol::Oip { http, binary } => (uplink::Protocol::Oip { binary: *binary }, http),
        Protocol::OpenAi { http } => (uplink::Protocol::OpenAi, http),
        Protocol::Sibling { .. } => return None,
    };
    Some(SiteAddress {
        name: config.name.as_str().into(),
        protocol,
        url: http.url.clone(),
        ca: http.ca.clone(),
        identity: http.client.clone().map(|(certificate, key)| Identity { certificate, key }),
        credential: http.credential.clone(),
        proxy: http.proxy.clone(),
        proxy_credential: http.proxy_credential.clone(),
        no_proxy: http.no_proxy.clone(),
        version: match http.http2 {
            Http2::Auto => uplink::Version::Negotiated,
            Http2::PriorKnowledge => uplink::Version::Two,
            Http2::Off => uplink::Version::One,
        },
        connect: http.connect_timeout,
        idle: IDLE,
        connections: usize::from(config.core.max_open),
    })
}

impl Sites {
    /// Takes over what the configuration says: a site keeps its number as long as it is there.
    pub fn take(&mut self, configured: &[SiteConfig]) -> Result<Vec<edge_core::Site>, NoRoom> {
        let numbering = self.numbering.assign(configured, self.idle())?;
        let sites = numbering.sites(configured);
        let at = |place: usize| {
            let number = u8::try_from(place).ok().map(SiteId)?;
            numbering.at(number).and_then(|at| configured.get(at))
        };
        let mut before = std::mem::take(&mut self.known);
        self.known = (0..sites.len())
            .map(|place| {
                let config = at(place)?;
                // Connections, and what was learnt, are kept where nothing changed.
                match before.get_mut(place).and_then(Option::take) {
                    Some(known) if known.config == *config => Some(known),
                    Some(_) | None => Some(Known::new(config.clone())),
                }
            })
            .collect();
        self.numbering = numbering;
        Ok(sites)
    }

    /// Numbers at which nothing is under way.
    fn idle(&self) -> Set {
        Set::ALL.without(self.tickets.values().map(Ticket::site).collect())
    }

    /// The number of a model that lives on other sites only.
    pub fn model_elsewhere(&mut self, name: &str) -> Option<ModelId> {
        // A sibling without a list may have any.
        let names = |known: &Known| known.config.models.contains_key(name);
        if !self.iter().any(|(_, known)| names(known)) {
            return None;
        }
        let at = self.elsewhere.iter().position(|known| known == name).unwrap_or_else(|| {
            self.elsewhere.push(name.to_owned());
            self.elsewhere.len() - 1
        });
        u16::try_from(at).ok().and_then(|at| ELSEWHERE.checked_add(at)).map(ModelId)
    }
}

impl Ticket {
    fn site(&self) -> SiteId {
        match self {
            Ticket::Attempt(attempt) => attempt.site,
            Ticket::Probe { site } => *site,
        }
    }
}

impl Driver {
    /// At the start: the core is told which sites there are.
    pub(in crate::driver) async fn begin_routing(&mut self) {
        let config = self.config.clone();
        let named = Named::read_apart(&config).await;
        if let Err(why) = self.take_routing(&config, named) {
            // A configuration with more sites than there are numbers is refused before.
            tracing::error!(%why, "sites");
        }
    }

    /// Sites, rules, and all else that decides where requests go, taken over together or not at all. What is open at a site goes on.
    pub(in crate::driver) fn take_routing(&mut self, config: &Config, named: Named) -> Result<(), String> {
        let sites = self.sites.take(&config.sites).map_err(|no_room| no_room.to_string())?;
        let config = config.clone();
        self.config.policy = edge_core::Policy { sites, ..config.policy };
        (self.config.sites, self.config.rules) = (config.sites, config.rules);
        (self.config.routing, self.config.detect) = (config.routing, config.detect);
        if !self.deferred.is_there() {
            self.config.policy.routing.max_deferred = 0;
        }
        self.take_looking(named.learnt);
        self.core.handle(self.now, Event::Policy(Box::new(self.config.policy.clone())));
        self.tell_credentials(&named.credentials);
        self.tell_spent();
        Ok(())
    }
}
