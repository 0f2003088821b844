//! The interface `Telemetry`: readings with their age. What is not known is said to be absent, with the reason.

use std::collections::{BTreeMap, HashMap};

use edge_wire::dto::{ModelStatus, ReadingInfo, Status};
use edge_wire::governor::{CapacityInfo, GovernorStatus};
use zbus::object_server::SignalEmitter;
use zbus::{OwnedVariant, interface};

use super::authorize::Access;
use super::door::Door;
use super::error::No;
use crate::handle::Message;

/// The interface on one connection.
#[derive(Debug)]
pub struct Telemetry(pub Door);

impl Telemetry {
    /// Signals what changed between two states; that a reading grew older is no change.
    pub async fn announce(&self, old: &Status, new: &Status, emitter: &SignalEmitter<'_>) -> zbus::Result<()> {
        let same =
            |(a, b): (&ReadingInfo, &ReadingInfo)| (&a.name, a.value, &a.absent) == (&b.name, b.value, &b.absent);
        if old.readings.len() != new.readings.len() || !old.readings.iter().zip(&new.readings).all(same) {
            self.readings_changed(emitter).await?;
        }
        let (before, now) = (&old.governor, &new.governor);
        if before.regime != now.regime {
            self.regime_changed(emitter).await?;
            if !before.regime.is_empty() {
                Telemetry::regime_entered(emitter, &now.regime, &before.regime, &now.reason).await?;
            }
        }
        if before.reason != now.reason {
            self.regime_reason_changed(emitter).await?;
        }
        if before.headroom_c != now.headroom_c {
            self.headroom_changed(emitter).await?;
        }
        if before.capacity != now.capacity {
            self.capacity_changed(emitter).await?;
        }
        let used = |(a, b): (&ModelStatus, &ModelStatus)| {
            (&a.name, &a.version, &a.providers) == (&b.name, &b.version, &b.providers)
        };
        if old.engine.providers != new.engine.providers
            || old.models.len() != new.models.len()
            || !old.models.iter().zip(&new.models).all(used)
        {
            self.providers_changed(emitter).await?;
        }
        Ok(())
    }
}

/// A provider that runs no model is listed with none, so that one can tell what could be used from what is.
fn providers(status: &Status) -> BTreeMap<String, Vec<String>> {
    let mut providers: BTreeMap<_, _> = status.engine.providers.iter().map(|name| (name.clone(), Vec::new())).collect();
    for model in &status.models {
        for provider in &model.providers {
            providers.entry(provider.name.clone()).or_default().push(format!("{}:{}", model.name, model.version));
        }
    }
    providers
}

fn text(text: &str) -> OwnedVariant {
    OwnedVariant::from(zbus::Str::from(text.to_owned()))
}

fn headroom(governor: &GovernorStatus) -> HashMap<String, OwnedVariant> {
    match governor.headroom_c {
        Some(celsius) => HashMap::from([
            ("celsius".to_owned(), OwnedVariant::from(celsius)),
            ("zone".to_owned(), text(&governor.tightest)),
        ]),
        None => HashMap::from([("absent".to_owned(), text(&governor.reason))]),
    }
}

fn capacity(capacity: &CapacityInfo) -> HashMap<String, OwnedVariant> {
    let mut told = HashMap::from([
        ("lanes".to_owned(), OwnedVariant::from(capacity.lanes)),
        ("batch".to_owned(), OwnedVariant::from(capacity.batch)),
        ("duty".to_owned(), OwnedVariant::from(capacity.duty)),
        ("held".to_owned(), text(&capacity.held)),
    ]);
    if let Some(sustainable) = capacity.sustainable {
        told.insert("sustainable".to_owned(), OwnedVariant::from(sustainable));
    }
    told
}

fn dictionary(reading: &ReadingInfo) -> HashMap<String, OwnedVariant> {
    let said = match reading.value {
        Some(value) => ("value".to_owned(), OwnedVariant::from(value)),
        None => ("absent".to_owned(), text(&reading.absent)),
    };
    HashMap::from([
        ("name".to_owned(), text(&reading.name)),
        ("age_ms".to_owned(), OwnedVariant::from(reading.age_ms)),
        said,
    ])
}

#[interface(name = "org.edged.Edge1.Telemetry")]
impl Telemetry {
    /// Each reading with name (s), age_ms (t) and either value (d) or absent (s, why there is none).
    #[zbus(property)]
    fn readings(&self) -> Vec<HashMap<String, OwnedVariant>> {
        self.0.status().readings.iter().map(dictionary).collect()
    }

    /// boot, nominal, throttled, critical, slow or blind.
    #[zbus(property)]
    fn regime(&self) -> String {
        self.0.status().governor.regime.clone()
    }

    /// Why it is in that regime.
    #[zbus(property)]
    fn regime_reason(&self) -> String {
        self.0.status().governor.reason.clone()
    }

    /// Distance to the nearest trip: celsius (d) and zone (s), or absent (s, why there is none).
    #[zbus(property)]
    fn headroom(&self) -> HashMap<String, OwnedVariant> {
        headroom(&self.0.status().governor)
    }

    /// What may run now: lanes (u), batch (u), duty (d, share of the lanes' time), sustainable (d, the share that could be used
    /// for ever; missing until it is known), held (s, why somebody holds the device; empty if nobody does).
    #[zbus(property)]
    fn capacity(&self) -> HashMap<String, OwnedVariant> {
        capacity(&self.0.status().governor.capacity)
    }

    /// What the governor has learnt, with its history, as JSON.
    #[zbus(out_args("json"))]
    async fn governor(
        &self,
        options: HashMap<String, OwnedVariant>,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        drop(options);
        let report = self.0.service.handle.ask(|done| Message::Governor { done }).await?;
        Ok(super::control::json(&*report)?)
    }

    /// The regime changed.
    #[zbus(signal)]
    async fn regime_entered(emitter: &SignalEmitter<'_>, regime: &str, before: &str, reason: &str) -> zbus::Result<()>;

    /// Each execution provider of the runtime library with the models that it really runs, which may be none.
    #[zbus(property)]
    fn providers(&self) -> BTreeMap<String, Vec<String>> {
        providers(&self.0.status())
    }
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::{EngineStatus, ProviderInfo};

    use super::*;

    #[test]
    fn a_reading_has_a_value_or_says_why_not() {
        let known = dictionary(&ReadingInfo { name: "cpu".into(), value: Some(0.0), absent: String::new(), age_ms: 5 });
        assert_eq!(f64::try_from(known["value"].try_clone().unwrap()).unwrap(), 0.0);
        assert!(!known.contains_key("absent"));
        let absent = ReadingInfo { name: "gpu".into(), value: None, absent: "unsupported".into(), age_ms: 0 };
        let absent = dictionary(&absent);
        assert_eq!(<&str>::try_from(&absent["absent"]).unwrap(), "unsupported");
        assert!(!absent.contains_key("value"));
    }

    #[test]
    fn a_provider_that_runs_nothing_is_listed_with_nothing() {
        let model = ModelStatus {
            name: "a".into(),
            version: "1".into(),
            providers: vec![ProviderInfo { name: "cpu".into(), share: 1.0 }],
            ..ModelStatus::default()
        };
        let engine = EngineStatus { providers: vec!["cuda".into(), "cpu".into()], ..EngineStatus::default() };
        let status = Status { engine, models: vec![model], ..Status::default() };
        let expected = BTreeMap::from([("cpu".to_owned(), vec!["a:1".to_owned()]), ("cuda".to_owned(), vec![])]);
        assert_eq!(providers(&status), expected);
    }
}
