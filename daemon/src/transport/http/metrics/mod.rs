//! All that is counted and measured, as Prometheus reads it: pure functions of one scrape.
//!
//! Read [`table`] (every metric, once), `out` (samples to text), then one file for each part of the box. A value that is not known
//! has no sample; a label is a name of the configuration, of the machine or of a closed set, never a caller's.

mod broker;
mod daemon;
mod machine;
mod models;
mod out;
mod requests;
mod sites;
pub mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text as openmetrics};
use prometheus_client::registry::Registry;

use self::out::Out;
use super::places::Counted;
use super::traffic::Kind;
use crate::handle::Scrape;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What Prometheus asks for since 2018.
    OpenMetrics,
    /// What everything else reads: older programs, `promtool`, the text files of node_exporter.
    Prometheus,
}

impl Form {
    pub const ALL: [Form; 2] = [Form::OpenMetrics, Form::Prometheus];

    /// The form that a client asks for by its header `Accept`. Weights are not compared: whoever names OpenMetrics reads it.
    pub fn wanted(accept: &str) -> Form {
        let named = accept.split(',').any(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/openmetrics-text")
        });
        if named { Form::OpenMetrics } else { Form::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What is known around a scrape, and not by the loop.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// How long the loop had other things to do when it was asked.
    pub waited: Duration,
    pub places: Counted,
    pub answered: BTreeMap<Kind, u64>,
}

/// The whole text.
pub fn text(scrape: &Scrape, around: &Around, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    // The registry outlives no borrow; a scrape is copied for it, away from the loop.
    registry.register_collector(Box::new(Scraped { scrape: scrape.clone(), around: around.clone() }));
    let mut text = String::with_capacity(16 << 10);
    match form {
        Form::OpenMetrics => openmetrics::encode(&mut text, &registry)?,
        Form::Prometheus => prometheus_text::encode(&mut text, &registry)?,
    }
    Ok(text)
}

#[derive(Debug)]
struct Scraped {
    scrape: Scrape,
    around: Around,
}

impl Collector for Scraped {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (status, counts) = (&self.scrape.status, &self.scrape.counts);
        let mut out = Out::new(encoder);
        daemon::write(&mut out, &self.scrape, &self.around)?;
        requests::write(&mut out, status, counts, self.scrape.energy.is_some())?;
        models::write(&mut out, status)?;
        machine::write(&mut out, status, self.scrape.energy.as_ref())?;
        broker::write(&mut out, status)?;
        sites::write(&mut out, status)
    }
}

#[cfg(test)]
mod tests;
