//! The bundles of the box, the ways to run each (its setups), and what is known of them. The driver's table; the core
//! knows each setup by its number, as a model of its own.

mod bundle;
mod find;
mod model;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use edge_core::setups::MAX_SETUPS;
use edge_core::{HostId, ModelId};
use edge_engine::protocol::{LoadedModel, Precision, Setup};

use self::bundle::Ways;
pub use self::bundle::{Bundle, Kind};
pub use self::model::{Life, Model};
use crate::store::Found;

/// Variant of a model that is none.
pub const SIMULATED: &str = "simulated";
/// Lanes that are set aside for each setup; a manifest may ask for fewer.
pub const LANES_EACH: u16 = 16;
/// Setups that one box may hold: as many as there are numbers for their lanes.
pub const MAX_MODELS: usize = 4095;
/// A setup that has been loading for longer does not keep another one from serving meanwhile.
pub(super) const SLOW_LOAD: Duration = Duration::from_secs(2);

/// The table. A setup keeps its number for the life of the daemon.
#[derive(Debug, Default)]
pub struct Models {
    list: Vec<Model>,
    bundles: Vec<Bundle>,
    /// Names of the pipelines: they are asked for in the same way, so a list of what there is has them too.
    pipelines: Vec<String>,
    /// The versions that were decided on, by name; `None` where none is to serve.
    active: BTreeMap<String, Option<String>>,
}

impl Models {
    /// Notes the name of a pipeline.
    pub fn note_pipeline(&mut self, name: &str) {
        self.pipelines.push(name.to_owned());
    }

    /// Adds a bundle with those of its setups that the operator allows; its index. `None` if the same name and version is
    /// there already, or the table is full.
    pub fn add(&mut self, found: Found, allowed: &[String], mut host: impl FnMut(&str) -> HostId) -> Option<usize> {
        match self.place(&found.name, &found.version) {
            Some(_) => None,
            None => self.append(found, allowed, &mut host),
        }
    }

    /// Adds the same version of a model with other parts, which nobody finds until it takes over; its index. `None` if the
    /// table is full.
    pub fn add_beside(
        &mut self,
        found: Found,
        allowed: &[String],
        mut host: impl FnMut(&str) -> HostId,
    ) -> Option<usize> {
        let index = self.append(found, allowed, &mut host)?;
        self.bundle_mut(index)?.gone = true;
        Some(index)
    }

    fn append(&mut self, found: Found, allowed: &[String], host: &mut dyn FnMut(&str) -> HostId) -> Option<usize> {
        let (bundle, found) = (self.bundles.len(), Arc::new(found));
        let mut setups: Vec<Setup> =
            found.setups.iter().filter(|setup| allowed.contains(&setup.provider)).take(MAX_SETUPS).cloned().collect();
        let fault = found.fault.clone().or_else(|| setups.is_empty().then(|| none_allowed(&found, allowed)));
        let fault = fault.or_else(|| all_lossy(&found, &setups));
        if setups.is_empty() {
            setups.push(found.setups.first().cloned().unwrap_or_else(nothing));
        }
        if self.list.len() + setups.len() > MAX_MODELS {
            return None;
        }
        let first = u16::try_from(self.list.len()).ok()?;
        let mut encoded = Vec::new();
        for setup in setups {
            if found.losses.allow(&setup.variant) {
                encoded.push(ModelId(u16::try_from(self.list.len()).ok()?));
            }
            let host = if fault.is_none() { host(&setup.provider) } else { HostId::default() };
            let life = fault.clone().map_or(Life::Standby, Life::Failed);
            self.list.push(Model::new(found.clone(), bundle, setup, host, life));
        }
        let ids: Vec<ModelId> = (first..u16::try_from(self.list.len()).ok()?).map(ModelId).collect();
        let tensors = Ways { order: ids.clone(), serving: ModelId(first) };
        let serving = encoded.first().copied();
        let encoded = serving.map_or_else(|| tensors.clone(), |serving| Ways { order: encoded, serving });
        self.bundles.push(Bundle {
            found,
            ids,
            encoded,
            tensors,
            plan: None,
            no_plan: None,
            used: 0,
            done: 0,
            gone: false,
            revoked: None,
        });
        Some(bundle)
    }

    /// The setup of a bundle that is like this one; it is made if there is none. `None` if the table is full.
    pub fn ensure(&mut self, bundle: usize, setup: &Setup, host: HostId) -> Option<ModelId> {
        let of_bundle = self.bundles.get(bundle)?;
        let same = |id: &ModelId| self.get(*id).is_some_and(|model| model.setup == *setup);
        if let Some(id) = of_bundle.ids().find(same) {
            return Some(id);
        }
        if self.list.len() >= MAX_MODELS {
            return None;
        }
        let id = ModelId(u16::try_from(self.list.len()).ok()?);
        let found = of_bundle.found.clone();
        self.list.push(Model::new(found, bundle, setup.clone(), host, Life::Standby));
        self.bundles.get_mut(bundle)?.ids.push(id);
        Some(id)
    }

    /// The setup `first` is wanted first for this kind of request, then the others that `good` allows.
    pub fn prefer(&mut self, bundle: usize, kind: Kind, first: Option<ModelId>, good: impl Fn(&Setup) -> bool) {
        let Some(of_bundle) = self.bundles.get(bundle) else { return };
        let little = |id: &ModelId| {
            let losses = &of_bundle.found.losses;
            kind == Kind::Tensors || self.get(*id).is_some_and(|model| losses.allow(&model.setup.variant))
        };
        let fits = |id: &ModelId| little(id) && self.get(*id).is_some_and(|model| good(&model.setup));
        let mut order: Vec<ModelId> = first.into_iter().collect();
        order.extend(of_bundle.ids().filter(fits).filter(|id| Some(*id) != first));
        order.truncate(MAX_SETUPS);
        if order.is_empty() {
            // Nothing is known to be good: as the manifest says.
            order.extend(of_bundle.ids().filter(little));
        }
        if order.is_empty() {
            // It has a fault, and serves nothing.
            order.extend(of_bundle.ids());
        }
        if let Some(of_bundle) = self.bundles.get_mut(bundle) {
            of_bundle.ways_mut(kind).order = order;
        }
    }

    /// A version that was there was installed again: who signed it is known by now, perhaps.
    pub fn set_signer(&mut self, name: &str, version: &str, signer: &str) {
        let Some(at) = self.place(name, version) else { return };
        if let Some(bundle) = self.bundles.get_mut(at) {
            Arc::make_mut(&mut bundle.found).signer = signer.to_owned();
        }
        for model in self.list.iter_mut().filter(|model| model.bundle == at) {
            Arc::make_mut(&mut model.found).signer = signer.to_owned();
        }
    }

    /// Which version of a model requests without one are given to, if that was decided.
    pub fn set_active(&mut self, name: &str, version: Option<&str>) {
        self.active.insert(name.to_owned(), version.map(str::to_owned));
    }

    /// The version that was decided on.
    pub fn active(&self, name: &str) -> Option<Option<&str>> {
        self.active.get(name).map(Option::as_deref)
    }

    /// The index of this version of a model.
    pub fn place(&self, name: &str, version: &str) -> Option<usize> {
        let is = |bundle: &Bundle| !bundle.gone && bundle.found.name == name && bundle.found.version == version;
        self.bundles.iter().position(is)
    }

    /// The number that stands for a model, whatever its version: that of the first bundle of its name.
    pub fn family(&self, id: ModelId) -> ModelId {
        let Some(name) = self.get(id).map(|model| &model.found.name) else { return id };
        self.bundles.iter().find(|bundle| bundle.found.name == *name).map_or(id, Bundle::root)
    }

    /// All bundles.
    pub fn bundles(&self) -> &[Bundle] {
        &self.bundles
    }

    /// A bundle by its index.
    pub fn bundle(&self, index: usize) -> Option<&Bundle> {
        self.bundles.get(index)
    }

    /// A bundle by its index, to change.
    pub fn bundle_mut(&mut self, index: usize) -> Option<&mut Bundle> {
        self.bundles.get_mut(index)
    }

    /// The bundle of a setup.
    pub fn bundle_of(&self, id: ModelId) -> Option<&Bundle> {
        self.bundles.get(self.get(id)?.bundle)
    }

    /// In what a setup that was just loaded takes or gives something else than one that was loaded before.
    pub fn differs(&self, id: ModelId, loaded: &LoadedModel) -> Option<String> {
        let bundle = self.bundle_of(id)?;
        let (other, spec) = bundle.ids().filter(|other| *other != id).find_map(|other| {
            let other = self.get(other)?;
            Some((other, other.loaded.as_ref()?))
        })?;
        let same = spec.inputs == loaded.inputs && spec.outputs == loaded.outputs && spec.batched == loaded.batched;
        let way = other.way();
        (!same).then(|| format!("it takes or gives other tensors than {way}: requests could not go to either"))
    }

    /// What requests for the bundle of this setup are checked against: all its setups take and give the same.
    pub fn spec(&self, id: ModelId) -> Option<&Arc<LoadedModel>> {
        let own = self.get(id)?.loaded.as_ref();
        own.or_else(|| self.bundle_of(id)?.ids().find_map(|other| self.get(other)?.loaded.as_ref()))
    }

    /// The model of this number.
    pub fn get(&self, id: ModelId) -> Option<&Model> {
        self.list.get(usize::from(id.0))
    }

    /// The model of this number, to change.
    pub fn get_mut(&mut self, id: ModelId) -> Option<&mut Model> {
        self.list.get_mut(usize::from(id.0))
    }

    /// All with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ModelId, &Model)> {
        self.list.iter().enumerate().filter_map(|(at, model)| Some((ModelId(u16::try_from(at).ok()?), model)))
    }
}

/// Why no setup of a bundle may be used.
fn none_allowed(found: &Found, allowed: &[String]) -> String {
    let way = |setup: &Setup| format!("{} on {}", setup.variant, setup.provider);
    let ways: Vec<_> = found.setups.iter().map(way).collect();
    format!("none of the allowed providers ({}) runs it: its bundle has {}", allowed.join(", "), ways.join(", "))
}

/// Why a bundle has nothing for encoded requests, although it has setups: each is of a variant that loses too much.
fn all_lossy(found: &Found, setups: &[Setup]) -> Option<String> {
    if setups.is_empty() || setups.iter().any(|setup| found.losses.allow(&setup.variant)) {
        return None;
    }
    let lost = |setup: &Setup| {
        format!("{} on {} loses {}", setup.variant, setup.provider, found.losses.of_variant(&setup.variant))
    };
    let lost: Vec<_> = setups.iter().map(lost).collect();
    let accepted = found.losses.accepted;
    Some(format!(
        "no way that is allowed here answers well enough: {}, the bundle's max_loss is {accepted}",
        lost.join(", ")
    ))
}

/// The setup of a bundle that has none, because it cannot be read.
fn nothing() -> Setup {
    Setup { variant: String::new(), provider: String::new(), precision: Precision::Exact, threads: 1, instances: 1 }
}

/// Orders versions by their numbers; a pre-release (`-rc.1`) comes before its release.
pub(super) fn order(version: &str) -> (Vec<u64>, bool) {
    let (numbers, pre) = version.split_once('-').map_or((version, false), |(numbers, _)| (numbers, true));
    (numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect(), !pre)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(models: &mut Models, name: &str, version: &str) -> Option<usize> {
        let setups = vec![Setup { provider: "cpu".into(), ..nothing() }];
        let found = Found { name: name.into(), version: version.into(), setups, ..Found::default() };
        models.add(found, &["cpu".into()], |_| HostId(0))
    }

    pub(super) fn models(list: &[(&str, &str)]) -> Models {
        let mut models = Models::default();
        for (name, version) in list {
            add(&mut models, name, version).unwrap();
        }
        models
    }

    #[test]
    fn a_plans_setup_is_wanted_first_and_made_once() {
        let mut models = models(&[("a", "1.0.0"), ("b", "1.0.0")]);
        let two = Setup { provider: "cpu".into(), threads: 2, ..nothing() };
        let id = models.ensure(0, &two, HostId(0)).unwrap();
        assert_eq!((id, models.ensure(0, &two, HostId(0))), (ModelId(2), Some(ModelId(2))));
        assert_eq!(models.ensure(0, &Setup { threads: 1, ..two.clone() }, HostId(0)), Some(ModelId(0)));
        models.prefer(0, Kind::Encoded, Some(id), |_| true);
        models.prefer(0, Kind::Tensors, None, |setup| setup.threads == 1);
        let bundle = models.bundle(0).unwrap();
        assert_eq!(bundle.order(Kind::Encoded), [ModelId(2), ModelId(0)]);
        assert_eq!(bundle.order(Kind::Tensors), [ModelId(0)]);
        models.prefer(0, Kind::Tensors, None, |_| false);
        assert_eq!(
            models.bundle(0).unwrap().order(Kind::Tensors),
            [ModelId(0), ModelId(2)],
            "nothing is good: all are"
        );
        assert_eq!(models.bundle(1).unwrap().order(Kind::Encoded), [ModelId(1)]);
    }

    #[test]
    fn encoded_requests_never_go_to_a_variant_that_loses_too_much() {
        let of =
            |variant: &str, provider: &str| Setup { variant: variant.into(), provider: provider.into(), ..nothing() };
        let found = |name: &str, accepted| Found {
            name: name.into(),
            version: "1.0.0".into(),
            setups: vec![of("int8", "openvino"), of("fp32", "cpu"), of("int8", "cpu")],
            losses: crate::store::Losses { stated: [("int8".to_owned(), 0.02)].into(), accepted },
            ..Found::default()
        };
        let mut models = Models::default();
        let all = ["cpu".to_owned(), "openvino".to_owned()];
        let order = |models: &Models, bundle, kind| models.bundle(bundle).unwrap().order(kind).to_vec();
        models.add(found("strict", 0.01), &all, |_| HostId(0)).unwrap();
        models.add(found("lax", 0.02), &all, |_| HostId(0)).unwrap();
        assert_eq!(order(&models, 0, Kind::Encoded), [ModelId(1)]);
        assert_eq!(models.bundle(0).unwrap().serves(Kind::Encoded), ModelId(1));
        assert_eq!(order(&models, 0, Kind::Tensors), [ModelId(0), ModelId(1), ModelId(2)]);
        assert_eq!(order(&models, 1, Kind::Encoded), [ModelId(3), ModelId(4), ModelId(5)]);
        // Nor when a plan says nothing good of the others.
        models.prefer(0, Kind::Encoded, None, |setup| setup.variant == "int8");
        assert_eq!(order(&models, 0, Kind::Encoded), [ModelId(1)]);
        // Where the operator allows nothing else, that is a fault.
        models.add(found("none", 0.01), &["openvino".to_owned()], |_| HostId(0)).unwrap();
        let Life::Failed(why) = &models.get(ModelId(6)).unwrap().life else { panic!() };
        assert!(why.contains("int8 on openvino loses 0.02, the bundle's max_loss is 0.01"), "{why}");
    }

    #[test]
    fn the_same_name_and_version_is_taken_once() {
        let mut models = models(&[("a", "1.0.0")]);
        assert_eq!(add(&mut models, "a", "1.0.0"), None);
    }
}
