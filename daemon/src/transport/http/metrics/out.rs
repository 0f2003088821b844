//! Samples to text, by the encoder of prometheus-client: one family after the other, each only if it has a sample, none twice.

use std::collections::BTreeSet;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::table::{Family, Kind};
use crate::driver::counts::Durations;

/// Units that names end in.
const UNITS: [&str; 8] = ["seconds", "bytes", "celsius", "watts", "joules", "hertz", "ratio", "usd"];

/// A family, and what of a thing is its sample.
pub(super) type Column<T> = (&'static Family, fn(&T) -> Option<f64>);

pub(super) struct Out<'a>(DescriptorEncoder<'a>);

impl<'a> Out<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Out<'a> {
        Out(encoder)
    }

    /// Values by labels, for a gauge or a counter. Of two with the same labels the first one stays: a name that is there twice is the
    /// machine's fault, and must not make the whole text unreadable.
    pub(super) fn values<'s, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([&'s str; N], f64)>,
    ) -> fmt::Result {
        self.family(family, samples, |encoder, value| match family.kind {
            Kind::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
            Kind::Gauge | Kind::Info | Kind::Histogram => encoder.encode_gauge(value),
        })
    }

    /// One value without labels, if it is known.
    pub(super) fn value(&mut self, family: &Family, value: impl Into<Option<f64>>) -> fmt::Result {
        self.values::<0>(family, value.into().map(|value| ([], value)))
    }

    /// 1 for the state that holds, 0 for the others.
    pub(super) fn states(&mut self, family: &Family, states: &[&str], now: &str) -> fmt::Result {
        self.values(family, states.iter().map(|state| ([*state], truth(*state == now))))
    }

    /// What is true and no number: 1 with labels that say it.
    pub(super) fn facts<'s, const N: usize>(
        &mut self,
        family: &Family,
        facts: impl IntoIterator<Item = [&'s str; N]>,
    ) -> fmt::Result {
        let facts = facts.into_iter().map(|labels| (labels, ()));
        let mut facts = once_each(facts).peekable();
        if facts.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(family.stem(), family.help, None, MetricType::Info)?;
        for (labels, ()) in facts {
            encoder.encode_info(&named(family, labels))?;
        }
        Ok(())
    }

    /// Durations by labels.
    pub(super) fn durations<'s, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([&'s str; N], &'s Durations)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().filter(|(_, durations)| durations.count() > 0);
        self.family(family, samples, |encoder, durations| {
            let buckets = durations.buckets();
            let buckets = buckets.map(|(edge, count)| (edge.map_or(f64::INFINITY, |edge| edge.as_secs_f64()), count));
            let buckets: Vec<(f64, u64)> = buckets.collect();
            encoder.encode_histogram::<NoLabelSet>(durations.sum().as_secs_f64(), durations.count(), &buckets, None)
        })
    }

    fn family<'s, T, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([&'s str; N], T)>,
        write: impl Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = once_each(samples).peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let (name, unit) = apart(family.stem());
        let mut encoder = self.0.encode_descriptor(name, family.help, unit.as_ref(), kind)?;
        for (labels, sample) in samples {
            let labels = named(family, labels);
            write(&mut encoder.encode_family(&labels)?, &sample)?;
        }
        Ok(())
    }
}

/// 1 or 0.
pub(super) fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// A count, as Prometheus has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "every number of Prometheus is a float; a count above 2^53 does not come"
)]
pub(super) fn count(count: u64) -> f64 {
    count as f64
}

fn named<'s, const N: usize>(family: &Family, labels: [&'s str; N]) -> Vec<(&'static str, &'s str)> {
    debug_assert_eq!(family.labels.len(), N, "{}", family.name);
    family.labels.iter().copied().zip(labels).collect()
}

fn once_each<'s, T, const N: usize>(
    samples: impl IntoIterator<Item = ([&'s str; N], T)>,
) -> impl Iterator<Item = ([&'s str; N], T)> {
    let mut seen = BTreeSet::new();
    samples.into_iter().filter(move |(labels, _)| seen.insert(*labels))
}

/// The encoder puts the unit behind the name itself.
fn apart(stem: &str) -> (&str, Option<Unit>) {
    match stem.rsplit_once('_') {
        Some((name, unit)) if UNITS.contains(&unit) => (name, Some(Unit::Other(unit.into()))),
        _ => (stem, None),
    }
}
