//! `[[site]]`: other places that can serve. Decides what a description of one may say, and finds every fault of all of them.
//! Must not know how a site is reached, nor whether it is.

mod checks;
mod keys;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use edge_core::{Bytes, Country, NanoUsd, Retention, Site, Sites, Span, Training, Zone};
use edge_wire::dto::Problem;
use reqwest::Url;
use sha2::{Digest, Sha256};

pub use self::keys::GROUP;
use super::date::Date;
use super::files;
use super::raw::Values;
use super::records::Record;
use super::validate::{Machine, zone_of};

/// A price that is older than this many days is told of.
const OLD_PRICE_DAYS: u32 = 180;

/// One other place, as the operator describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteConfig {
    pub name: String,
    pub protocol: Protocol,
    /// To each of our names the site's name. Empty only for a sibling: it has every model by the name that it has here.
    pub models: BTreeMap<String, String>,
    /// To each of our names the site's version, where one is asked for.
    pub versions: BTreeMap<String, String>,
    pub stronger: Stronger,
    /// When the price held.
    pub price_as_of: Option<Date>,
    /// What the core knows of it.
    pub core: Site,
}

impl SiteConfig {
    /// The site's name for a model of ours, if it serves it.
    pub fn model<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        match self.models.get(name) {
            Some(there) => Some(there),
            None if self.models.is_empty() => Some(name),
            None => None,
        }
    }

    /// Whether its answers of a model are better than this box's.
    pub fn is_stronger(&self, model: &str) -> bool {
        match &self.stronger {
            Stronger::Nowhere => false,
            Stronger::Everywhere => self.model(model).is_some(),
            Stronger::For(models) => models.iter().any(|name| name == model),
        }
    }

    /// How it is reached by HTTP, if it is.
    pub fn http(&self) -> Option<&Http> {
        match &self.protocol {
            Protocol::Oip { http, .. } | Protocol::OpenAi { http } => Some(http),
            Protocol::Sibling { .. } => None,
        }
    }
}

/// What is spoken with a site.
#[derive(Clone, Debug, PartialEq)]
pub enum Protocol {
    /// Open Inference Protocol v2; `binary`: raw tensors behind the JSON.
    Oip { http: Http, binary: bool },
    /// Chat and completions as OpenAI has them.
    OpenAi { http: Http },
    /// Another box, through the broker of `[mqtt]`.
    Sibling { node: String },
}

/// How a site is reached by HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// `http` or `https`, without user, query and fragment.
    pub url: Url,
    /// File of the bearer token.
    pub credential: Option<PathBuf>,
    /// PEM file of the only authorities that are trusted; `None`: those of the box.
    pub ca: Option<PathBuf>,
    /// PEM files of the certificate and the key that this box shows.
    pub client: Option<(PathBuf, PathBuf)>,
    pub proxy: Option<Url>,
    /// File of `USER:PASSWORD` for the proxy.
    pub proxy_credential: Option<PathBuf>,
    /// Hosts that are reached without the proxy.
    pub no_proxy: Vec<String>,
    pub http2: Http2,
    /// Within that a connection must be there.
    pub connect_timeout: Duration,
}

/// Whether HTTP/2 is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    /// If the site prefers it, which it can say by TLS alone.
    Auto,
    /// Without asking.
    PriorKnowledge,
    /// Never.
    Off,
}

/// For which models a site's answers are better than this box's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stronger {
    Nowhere,
    /// For all that it serves.
    Everywhere,
    /// For these, by our names.
    For(Vec<String>),
}

/// What sites and rules are held against beyond their own text.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub machine: &'a Machine,
    /// Name of this box.
    pub node: &'a str,
    /// Where the broker is, if there is one.
    pub broker: Option<Zone>,
}

/// What was read of all sites.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub sites: Vec<SiteConfig>,
    /// What is not wrong and should be known.
    pub warnings: Vec<Problem>,
    /// Keys that name a credential where nobody can look whether it is there.
    pub unseen: Vec<String>,
}

/// The sites of these values; faults are noted there.
pub fn read(values: &mut Values, around: &Around<'_>) -> Read {
    let records = values.take_records(&GROUP);
    values.faults.extend(super::records::same_names(&records));
    if records.len() > Sites::MOST {
        let text = format!("there are {}: takes at most {}", records.len(), Sites::MOST);
        values.fault(None, "site", text);
    }
    let mut out = Read::default();
    for record in &records {
        let mut reader = checks::Reader::new(record, around);
        let site = site(&mut reader);
        values.faults.append(&mut reader.faults);
        out.warnings.append(&mut reader.warnings);
        out.unseen.append(&mut reader.unseen);
        out.sites.extend(site);
    }
    out
}

/// The site that a table describes; `None` if what it is cannot be told, of which there is a fault then.
fn site(reader: &mut checks::Reader<'_>) -> Option<SiteConfig> {
    let record = reader.record;
    for key in ["name", "protocol"] {
        reader.need(key);
    }
    reader.not_this_box();
    let core = core(reader);
    reader.models();
    let protocol = reader.protocol(core.zone);
    let stronger = reader.stronger();
    let (name, protocol) = (record.name.clone()?, protocol?);
    let core = Site { identity: identity(&name, &protocol), ..core };
    Some(SiteConfig {
        name,
        protocol,
        models: texts(record, "models"),
        versions: texts(record, "versions"),
        stronger,
        price_as_of: record.date("price.as_of"),
        core,
    })
}

/// Which place it is: by its name and its address, so that another server under the same name is another place.
fn identity(name: &str, protocol: &Protocol) -> u64 {
    let place = match protocol {
        Protocol::Oip { http, .. } => format!("{name} oip {}", http.url),
        Protocol::OpenAi { http } => format!("{name} openai {}", http.url),
        Protocol::Sibling { node } => format!("{name} sibling {node}"),
    };
    Sha256::digest(place).iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn core(reader: &mut checks::Reader<'_>) -> Site {
    let record = reader.record;
    let price = reader.price();
    let word = |key: &str| record.text(key);
    Site {
        identity: 0,
        zone: reader.zone(),
        jurisdiction: word("jurisdiction").and_then(|word| Country::new(&word)),
        retention: match record.value("retention").and_then(toml::Value::as_integer) {
            Some(0) => Retention::None,
            Some(days) => Retention::Days(u16::try_from(days).unwrap_or(u16::MAX)),
            None if word("retention").as_deref() == Some("none") => Retention::None,
            None => Retention::Unknown,
        },
        training: match record.value("trains_on_data").and_then(toml::Value::as_bool) {
            Some(true) => Training::Yes,
            Some(false) => Training::No,
            None => Training::Unknown,
        },
        price,
        budget: record.is_set("budget_usd_per_day").then(|| usd(record, "budget_usd_per_day")),
        cold_start: Span::from_millis(record.int("cold_start_ms")),
        max_bytes: Bytes(record.int("max_mib") << 20),
        context: record
            .is_set("context_tokens")
            .then(|| u32::try_from(record.int("context_tokens")).unwrap_or(u32::MAX)),
        max_open: u16::try_from(record.int("max_open")).unwrap_or(u16::MAX),
        may_hedge: record.flag("hedge"),
    }
}

/// An amount in dollars, to the nearest billionth.
fn usd(record: &Record, key: &str) -> NanoUsd {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the key's bounds leave 0 to 1e15, and a float cast saturates"
    )]
    let nanos = (record.number(key) * 1e9).round() as u64;
    NanoUsd(nanos)
}

/// A table of texts by name.
fn texts(record: &Record, key: &str) -> BTreeMap<String, String> {
    record.by_name(key).into_iter().filter_map(|(name, list)| Some((name, list.into_iter().next()?))).collect()
}

#[cfg(test)]
mod tests;
