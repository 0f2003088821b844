//! The interface `Telemetry`: readings with their age. What is not known is said to be absent, with the reason.

use std::collections::{BTreeMap, HashMap};

use edge_wire::dto::{ModelStatus, ReadingInfo, Status};
use zbus::object_server::SignalEmitter;
use zbus::{OwnedVariant, interface};

use super::door::Door;

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

fn dictionary(reading: &ReadingInfo) -> HashMap<String, OwnedVariant> {
    let text = |text: &str| OwnedVariant::from(zbus::Str::from(text.to_owned()));
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

#[interface(name = "org.edged.Edge1.Telemetry", spawn = false)]
impl Telemetry {
    /// Each reading with name (s), age_ms (t) and either value (d) or absent (s, why there is none).
    #[zbus(property)]
    fn readings(&self) -> Vec<HashMap<String, OwnedVariant>> {
        self.0.status().readings.iter().map(dictionary).collect()
    }

    /// nominal, or unknown where nothing tells.
    #[zbus(property)]
    fn regime(&self) -> &'static str {
        "unknown"
    }

    /// Why it is in that regime.
    #[zbus(property)]
    fn regime_reason(&self) -> &'static str {
        "temperature and power are not measured by this version"
    }

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
