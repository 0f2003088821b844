//! For what a compiled engine is good: one key for everything that it depends on. Two loads with the same key may share an
//! engine; with another key they never do. Pure: facts in, a key out.

use std::path::PathBuf;

use edge_engine::bundle::Variant;
use edge_engine::protocol::{DeviceOptions, ProviderIdentity, Setup};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Form of keys and seals. Grows when either says something else.
pub const FORMAT: u32 = 1;

/// What the driver knows of a load. The keeper adds what is on the disk.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Name of the model.
    pub name: String,
    pub bundle: PathBuf,
    /// Digest of its weights, where they are a part of their own.
    pub weights: String,
    pub setup: Setup,
    /// Version of the runtime.
    pub runtime: String,
    pub identity: ProviderIdentity,
    pub options: DeviceOptions,
}

/// Everything that an engine depends on, in clear words: `key.json` of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Key {
    pub format: u32,
    /// sha256 of the model's file.
    pub model_sha256: String,
    /// Digest of its weights, where they are a part of their own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub weights: String,
    pub variant: String,
    /// Sizes for which it is compiled: smallest, most frequent and largest shape of each input.
    pub profile: String,
    pub int8: bool,
    pub precision: String,
    /// 0 where the provider compiles the same for any number.
    pub threads: u16,
    pub provider: String,
    pub provider_version: String,
    pub provider_sha256: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    pub device: String,
    /// Version of the graphics driver; empty without one.
    pub driver: String,
    /// Which device, how much memory, which accelerator.
    pub options: String,
}

impl Key {
    /// The key of a load of `variant`, whose file has this digest, where this graphics driver is.
    pub fn of(asked: &Asked, variant: &Variant, model_sha256: &str, driver: &str) -> Key {
        let setup = &asked.setup;
        let profile: Vec<String> = variant
            .profile
            .iter()
            .map(|profile| format!("{}: {:?} {:?} {:?}", profile.tensor, profile.min, profile.opt, profile.max))
            .collect();
        Key {
            format: FORMAT,
            model_sha256: model_sha256.into(),
            weights: asked.weights.clone(),
            variant: setup.variant.clone(),
            profile: profile.join("; "),
            int8: variant.int8,
            precision: setup.precision.as_str().into(),
            threads: if setup.provider == "openvino" { setup.threads } else { 0 },
            provider: setup.provider.clone(),
            provider_version: asked.identity.version.clone(),
            provider_sha256: asked.identity.digest.clone(),
            runtime: asked.runtime.clone(),
            device: asked.identity.device.clone(),
            driver: driver.into(),
            options: options(&asked.options),
        }
    }

    /// The key as text, always the same for the same key.
    pub fn text(&self) -> String {
        // A record of strings and numbers always has a JSON form; should one ever not, its error is told apart from all keys.
        serde_json::to_string_pretty(self).unwrap_or_else(|error| error.to_string())
    }

    /// Name of the entry of a model.
    pub fn entry(&self, model: &str) -> String {
        let hash = Sha256::digest(self.text());
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{model}-{hex}")
    }
}

/// What a provider is told of its device, in one line.
pub fn options(options: &DeviceOptions) -> String {
    let DeviceOptions { device, memory_limit_bytes, workspace_limit_bytes, dla_core } = options;
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    format!(
        "device {} memory {} workspace {} dla {}",
        device.unwrap_or(0),
        number(*memory_limit_bytes),
        number(*workspace_limit_bytes),
        number(dla_core.map(u64::from))
    )
}

#[cfg(test)]
mod tests {
    use edge_engine::bundle::Profile;
    use edge_engine::protocol::Precision;

    use super::*;

    fn asked() -> Asked {
        Asked {
            name: "text-line".into(),
            bundle: "/bundles/text-line".into(),
            weights: String::new(),
            setup: Setup {
                variant: "fp32".into(),
                provider: "openvino".into(),
                precision: Precision::Exact,
                threads: 2,
                instances: 1,
            },
            runtime: "1.24.0".into(),
            identity: ProviderIdentity { version: "1.4.0".into(), digest: "d1".into(), device: "i5".into() },
            options: DeviceOptions::default(),
        }
    }

    fn variant() -> Variant {
        Variant {
            name: "fp32".into(),
            file: "model.onnx".into(),
            providers: vec!["openvino".into()],
            threads: 2,
            instances: 1,
            memory_pattern: false,
            int8: false,
            loss: None,
            profile: vec![Profile { tensor: "x".into(), min: vec![1], opt: vec![2], max: vec![4] }],
        }
    }

    fn entry(change: impl FnOnce(&mut Asked, &mut Variant, &mut [&'static str; 2])) -> String {
        let (mut asked, mut variant, mut facts) = (asked(), variant(), ["m1", "driver 550"]);
        change(&mut asked, &mut variant, &mut facts);
        Key::of(&asked, &variant, facts[0], facts[1]).entry(&asked.name)
    }

    #[test]
    fn the_same_facts_give_the_same_entry_which_says_whose_it_is() {
        let name = entry(|_, _, _| {});
        assert_eq!(name, entry(|_, _, _| {}));
        assert!(name.starts_with("text-line-") && name.len() == "text-line-".len() + 64, "{name}");
    }

    #[test]
    fn each_fact_that_an_engine_depends_on_gives_another_entry() {
        type Change = fn(&mut Asked, &mut Variant, &mut [&'static str; 2]);
        let changes: [(&str, Change); 17] = [
            ("weights", |asked, _, _| asked.weights = "w".into()),
            ("model", |_, _, facts| facts[0] = "m2"),
            ("variant", |asked, _, _| asked.setup.variant = "fp16".into()),
            ("profile", |_, variant, _| variant.profile[0].max = vec![8]),
            ("int8", |_, variant, _| variant.int8 = true),
            ("precision", |asked, _, _| asked.setup.precision = Precision::Reduced),
            ("threads", |asked, _, _| asked.setup.threads = 4),
            ("provider", |asked, _, _| asked.setup.provider = "tensorrt".into()),
            ("provider's version", |asked, _, _| asked.identity.version = "1.5.0".into()),
            ("provider's library", |asked, _, _| asked.identity.digest = "d2".into()),
            ("runtime", |asked, _, _| asked.runtime = "1.25.0".into()),
            ("device", |asked, _, _| asked.identity.device = "i7".into()),
            ("driver", |_, _, facts| facts[1] = "driver 560"),
            ("device number", |asked, _, _| asked.options.device = Some(1)),
            ("memory", |asked, _, _| asked.options.memory_limit_bytes = Some(1)),
            ("workspace", |asked, _, _| asked.options.workspace_limit_bytes = Some(1)),
            ("dla", |asked, _, _| asked.options.dla_core = Some(0)),
        ];
        let mut names = std::collections::BTreeMap::from([(entry(|_, _, _| {}), "nothing")]);
        for (what, change) in changes {
            assert_eq!(names.insert(entry(change), what), None, "{what}");
        }
    }

    #[test]
    fn what_an_engine_does_not_depend_on_gives_the_same_entry() {
        assert_eq!(entry(|_, _, _| {}), entry(|asked, _, _| asked.setup.instances = 4));
        assert_eq!(entry(|_, _, _| {}), entry(|asked, _, _| asked.bundle = "/elsewhere".into()));
        let of = |threads: u16| {
            entry(move |asked, _, _| (asked.setup.provider, asked.setup.threads) = ("tensorrt".into(), threads))
        };
        assert_eq!(of(1), of(4));
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = Key::of(&asked(), &variant(), "m1", "driver 550");
        assert_eq!(serde_json::from_str::<Key>(&key.text()).unwrap(), key);
    }
}
