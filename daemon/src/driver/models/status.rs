//! Bundles and setups as they cross the bus. Must not change any.

use std::sync::Arc;
use std::time::Duration;

use edge_core::{HostId, ModelId};
use edge_engine::protocol::LoadedModel;
use edge_wire::dto::{ModelStatus, ProviderInfo, SetupStatus, TensorInfo};

use super::{Bundle, Kind, Life, Model, Models, SIMULATED};

impl Models {
    /// A bundle as it crosses the bus; load figures are the caller's to fill in.
    /// `absent` are hosts of providers that this box does not have, and that nobody asked for.
    pub fn status(&self, bundle: &Bundle, policy_deadline: Duration, absent: impl Fn(HostId) -> bool) -> ModelStatus {
        let shown = bundle.shown();
        let Some(model) = self.get(shown) else { return ModelStatus::default() };
        let setups = bundle.ids().filter_map(|id| Some((id, self.get(id)?)));
        let serves = |id: ModelId| {
            Kind::ALL
                .into_iter()
                .filter(|kind| bundle.serves(*kind) == id)
                .map(|kind| kind.as_str().to_owned())
                .collect()
        };
        let setups = setups.map(|(id, model)| model.setup_status(serves(id))).collect();
        let mut status = ModelStatus { setups, ..model.status(bundle, policy_deadline) };
        let mut wanted = bundle.order(Kind::Encoded).iter().filter_map(|id| Some((*id, self.get(*id)?)));
        let wanted = wanted.find(|(_, model)| !matches!(model.life, Life::Failed(_)) || !absent(model.host));
        if model.life == Life::Ready
            && let Some((_, wanted)) = wanted.filter(|(id, _)| *id != shown)
        {
            status.reason = format!(
                "{} stands in for {}, which is {}{}",
                model.way(),
                wanted.way(),
                wanted.life.as_str(),
                wanted.why()
            );
        }
        status
    }
}

impl Model {
    /// Why it failed, to follow the word for its state.
    fn why(&self) -> String {
        match &self.life {
            Life::Failed(why) => format!(": {why}"),
            _ => String::new(),
        }
    }

    /// What there is to say of its state.
    fn reason(&self) -> String {
        match (&self.life, &self.loaded) {
            (Life::Failed(why), _) => why.clone(),
            (Life::Standby, _) => self.rest.clone(),
            (Life::Ready, Some(loaded)) if loaded.goldens_passed == 0 && loaded.variant != SIMULATED => {
                "its bundle has no golden inputs: nobody knows whether it answers right on this machine".into()
            }
            _ => String::new(),
        }
    }

    /// The bundle as it crosses the bus, while this setup serves it; load figures are the caller's to fill in.
    fn status(&self, bundle: &Bundle, policy_deadline: Duration) -> ModelStatus {
        let tensors = |specs: &[edge_engine::protocol::TensorSpec]| {
            let info = |spec: &edge_engine::protocol::TensorSpec| TensorInfo {
                name: spec.name.clone(),
                datatype: spec.datatype.as_str().into(),
                shape: spec.shape.clone(),
            };
            specs.iter().map(info).collect()
        };
        let deadline = self.found.default_deadline.unwrap_or(policy_deadline);
        let mut status = ModelStatus {
            name: self.found.name.clone(),
            version: self.found.version.clone(),
            description: self.found.description.clone(),
            task: self.found.task.clone(),
            licence: self.found.licence.clone(),
            state: self.life.as_str().into(),
            reason: self.reason(),
            default_deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            done: bundle.done,
            path: self.found.dir.display().to_string(),
            installed_at: self.found.installed_at.clone(),
            signed_by: self.found.signer.clone(),
            parts: self.found.parts.iter().map(|part| format!("{}:{}", part.name, part.version)).collect(),
            ..ModelStatus::default()
        };
        if let Some(loaded) = &self.loaded {
            status.variant = loaded.variant.clone();
            status.providers = loaded
                .providers
                .iter()
                .map(|provider| ProviderInfo { name: provider.name.clone(), share: f64::from(provider.share) })
                .collect();
            status.inputs = tensors(&loaded.inputs);
            status.outputs = tensors(&loaded.outputs);
            status.content_types = loaded.content_types.clone();
            status.instances = loaded.instances.into();
            status.max_batch = loaded.max_batch.into();
            status.goldens_passed = loaded.goldens_passed.into();
            status.load_ms = loaded.load_ms;
        }
        status
    }

    fn setup_status(&self, serves: Vec<String>) -> SetupStatus {
        let share = |loaded: &Arc<LoadedModel>| {
            loaded.providers.iter().find(|report| report.name == self.setup.provider).map(|report| report.share)
        };
        SetupStatus {
            variant: self.setup.variant.clone(),
            provider: self.setup.provider.clone(),
            precision: self.setup.precision.as_str().into(),
            threads: self.setup.threads.into(),
            instances: self.setup.instances.into(),
            state: self.life.as_str().into(),
            reason: match &self.life {
                Life::Failed(why) => why.clone(),
                Life::Standby if self.rest.is_empty() && !self.found.losses.allow(&self.setup.variant) => {
                    format!("not for encoded requests: {}", self.found.losses.told(&self.setup.variant))
                }
                Life::Standby => self.rest.clone(),
                _ => String::new(),
            },
            serving: !serves.is_empty(),
            serves,
            share: f64::from(self.loaded.as_ref().and_then(share).unwrap_or(0.0)),
            load_ms: self.loaded.as_ref().map_or(0, |loaded| loaded.load_ms),
            memory_bytes: self.memory_bytes,
            device_bytes: self.device_bytes,
            cache: self.build.word.into(),
            ..SetupStatus::default()
        }
    }
}
