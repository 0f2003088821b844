//! Execution providers: the one that this host is for is found and registered at `Start`, and sessions are made on it. What
//! each provider is told is decided by pure functions, one file each, from [`Wish`] to [`Told`]; the calls are here and in
//! [`plugin`]. Knows nothing of requests.

mod cpu;
mod cuda;
mod driver;
mod elf;
mod needed;
mod nvidia;
mod openvino;
mod plugin;
mod tensorrt;

use std::path::Path;

use ort::environment::Environment;
use ort::ep::{ArbitrarilyConfigurableExecutionProvider, CUDA, TensorRT};
use ort::memory::DeviceType;
use ort::session::builder::SessionBuilder;

use super::device::{self, Machine};
use super::raw;
use crate::bundle::Variant;
use crate::protocol::{DeviceOptions, ProviderIdentity, ProviderSetup, Setup, TensorSpec};
use nvidia::NvidiaError;
use plugin::{DeviceError, Plugin, PluginError};

/// Why a host cannot be for the provider that it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error(
        "provider {name} was asked for, but ONNX Runtime {version} has only {}: install a build of it that has {name}, \
         or take {name} out of the allowed providers",
        available.join(", ")
    )]
    NotCompiled { name: String, version: String, available: Vec<String> },
    #[error(
        "provider {name} was asked for, which comes as a library of its own, and none was found: install it, or take \
         {name} out of the allowed providers"
    )]
    NoPlugin { name: String },
    #[error("provider cpu is a part of ONNX Runtime and takes no library, {} was named", path.display())]
    NeedsNone { path: std::path::PathBuf },
    #[error("provider {name}")]
    Plugin { name: String, source: PluginError },
    #[error("provider {name}")]
    Nvidia { name: String, source: NvidiaError },
}

/// Why a session cannot be made on a provider.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("provider {wanted} was asked for, but this engine host is for {have}")]
    OtherHost { wanted: String, have: String },
    #[error("provider {name} was asked for and could not be registered")]
    Register { name: String, source: ort::Error },
    #[error("provider {name}")]
    Device { name: String, source: DeviceError },
    #[error("provider {name}: {what}")]
    Wish { name: String, what: &'static str },
    #[error(
        "input {input}: the graph leaves its shape {shape:?} open and the variant has no profile for it; {name} would \
         compile again, for minutes, when it meets a new size"
    )]
    NoProfile { name: String, input: String, shape: Vec<i64> },
}

/// Everything that decides what a provider is told.
pub struct Wish<'a> {
    pub setup: &'a Setup,
    pub variant: &'a Variant,
    pub options: &'a DeviceOptions,
    /// Where what is compiled is kept.
    pub cache_dir: Option<&'a Path>,
    /// Digest of the model's file, as the manifest promises it.
    pub digest: &'a str,
    /// Version of the runtime.
    pub version: &'a str,
}

/// Names and values as a runtime takes them.
type Entries = Vec<(String, String)>;

/// What the runtime is told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Options of the provider.
    provider: Entries,
    /// Entries of the session's own configuration.
    session: Entries,
}

impl Told {
    fn provider(entries: impl IntoIterator<Item = (&'static str, String)>) -> Told {
        let provider = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Told { provider, session: Entries::new() }
    }
}

/// What the provider called `name` is told. Unknown ones get no options: their words are not known either.
fn told(name: &str, wish: &Wish<'_>) -> Result<Told, &'static str> {
    match name {
        "cpu" => Ok(cpu::told(wish)),
        "cuda" => Ok(cuda::told(wish)),
        "openvino" => openvino::told(wish),
        "tensorrt" => tensorrt::told(wish),
        "tensorrt-rtx" => tensorrt::told_rtx(wish),
        _ => Ok(Told::default()),
    }
}

/// How the runtime gets at a provider.
#[derive(Debug)]
enum Route {
    /// It is always there.
    Cpu,
    /// A part of the library.
    Compiled,
    /// A library of its own.
    Plugin(Plugin),
}

/// The provider that this host is for.
#[derive(Debug)]
pub struct Provider {
    name: String,
    options: DeviceOptions,
    route: Route,
}

impl Provider {
    /// Checks that the provider is there and registers it. `runtime` is the library, `version` its version, and `available`
    /// are the providers compiled into it, by their short names.
    pub fn start(
        environment: &Environment,
        (runtime, version): (&Path, &str),
        available: &[String],
        setup: ProviderSetup,
    ) -> Result<Provider, ProviderError> {
        let ProviderSetup { name, plugin, options } = setup;
        let route = match (way(&name, plugin.as_deref(), available), plugin) {
            (Way::Cpu, _) => Route::Cpu,
            (Way::Compiled, _) => {
                // A runtime that has it all in one library has needed what it needs when it was opened itself.
                if let Some(library) = beside(runtime, &name) {
                    let checked = nvidia::check(&library, options.device.unwrap_or(0));
                    checked.map_err(|source| ProviderError::Nvidia { name: name.clone(), source })?;
                }
                Route::Compiled
            }
            (Way::NeedsNone, path) => return Err(ProviderError::NeedsNone { path: path.unwrap_or_default() }),
            (Way::Plugin, Some(path)) => {
                let registered = Plugin::register(environment, &name, &path, hardware(&name), options.device);
                Route::Plugin(registered.map_err(|source| ProviderError::Plugin { name: name.clone(), source })?)
            }
            (Way::NoPlugin | Way::Plugin, _) => return Err(ProviderError::NoPlugin { name }),
            (Way::NotCompiled, _) => {
                let (version, available) = (version.to_owned(), available.to_vec());
                return Err(ProviderError::NotCompiled { name, version, available });
            }
        };
        Ok(Provider { name, options, route })
    }

    /// Which build of the provider this is, and on what it runs. `runtime` is the runtime's library, beside which built-in
    /// providers have theirs.
    pub fn identity(&self, environment: &Environment, runtime: &Path) -> ProviderIdentity {
        let (machine, number) = (Machine::this(), self.options.device.unwrap_or(0));
        let device = match &self.route {
            Route::Plugin(plugin) => plugin.device(environment, self.options.device).ok(),
            Route::Cpu | Route::Compiled => None,
        };
        let library = match &self.route {
            Route::Plugin(plugin) => Some(plugin.path().to_owned()),
            Route::Cpu => None,
            Route::Compiled => beside(runtime, &self.name),
        };
        // Without a digest nothing that was compiled would be told apart from what another build made: the daemon then
        // keeps nothing.
        let digest = library.and_then(|path| device::digest(&path).ok()).unwrap_or_default();
        let said = device.as_ref().and_then(raw::provider_version);
        let short = || digest.get(..16).map(|digest| format!("sha256:{digest}")).unwrap_or_default();
        let graphics = matches!(hardware(&self.name), Some(DeviceType::GPU));
        let vendor = || device.as_ref().map_or_else(|| "unknown".to_owned(), raw::hardware_name);
        ProviderIdentity {
            version: said.unwrap_or_else(short),
            device: if graphics { machine.graphics(number, &vendor()) } else { machine.processor() },
            digest,
        }
    }

    /// What it may use of its device.
    pub fn options(&self) -> &DeviceOptions {
        &self.options
    }

    /// Tells a session that is being made to run on this provider. Fails if `wish` names another one: its crash would be
    /// told by the wrong name.
    pub fn apply(
        &self,
        mut builder: SessionBuilder,
        environment: &Environment,
        wish: &Wish<'_>,
    ) -> Result<SessionBuilder, ApplyError> {
        let name = || self.name.clone();
        if wish.setup.provider != self.name {
            return Err(ApplyError::OtherHost { wanted: wish.setup.provider.clone(), have: name() });
        }
        let told = told(&self.name, wish).map_err(|what| ApplyError::Wish { name: name(), what })?;
        let failed = |source: ort::Error| ApplyError::Register { name: name(), source };
        for (key, value) in &told.session {
            builder = builder.with_config_entry(key, value).map_err(|error| failed(error.into()))?;
        }
        match &self.route {
            Route::Cpu => Ok(builder),
            Route::Compiled => {
                let provider = match self.name.as_str() {
                    "cuda" => configured(CUDA::default(), &told.provider).build(),
                    _ => configured(TensorRT::default(), &told.provider).build(),
                };
                let added = builder.with_execution_providers([provider.error_on_failure()]);
                added.map_err(|error| failed(error.into()))
            }
            Route::Plugin(plugin) => {
                let device = plugin.device(environment, self.options.device);
                let device = device.map_err(|source| ApplyError::Device { name: name(), source })?;
                let options = prefixed(plugin.runtime_name(), told.provider);
                builder.with_devices([device], Some(&options)).map_err(|error| failed(error.into()))
            }
        }
    }

    /// Whether every size that the graph leaves open is bounded, for a provider that compiles for sizes.
    pub fn check_sizes(&self, inputs: &[TensorSpec], variant: &Variant) -> Result<(), ApplyError> {
        match tensorrt::unbounded(inputs, variant).filter(|_| self.name.starts_with("tensorrt")) {
            None => Ok(()),
            Some(input) => Err(ApplyError::NoProfile {
                name: self.name.clone(),
                input: input.name.clone(),
                shape: input.shape.clone(),
            }),
        }
    }
}

/// The library of a built-in provider, where it has one of its own beside the runtime's.
fn beside(runtime: &Path, name: &str) -> Option<std::path::PathBuf> {
    let file = format!("libonnxruntime_providers_{name}.so");
    runtime.parent().map(|dir| dir.join(file)).filter(|path| path.is_file())
}

/// Whether a provider runs on a graphics processor, whose driver then works in this process.
pub fn on_graphics(name: &str) -> bool {
    hardware(name) == Some(DeviceType::GPU)
}

/// Lets a session run on the CPU provider and on no other, whatever this host is for.
pub fn on_cpu(builder: SessionBuilder, environment: &Environment) -> Result<SessionBuilder, ort::Error> {
    match plugin::cpu(environment) {
        Some(device) => Ok(builder.with_devices([device], None)?),
        // A runtime without a list of devices has no libraries of others either.
        None => Ok(builder),
    }
}

/// Threads of the runtime's own pool for one session: the CPU's part runs there. OpenVINO brings threads of its own, as many
/// as were asked for, and takes whole graphs; what little it leaves runs on the thread that asks.
pub fn runtime_threads(setup: &Setup) -> usize {
    match setup.provider.as_str() {
        "openvino" => 1,
        _ => usize::from(setup.threads.max(1)),
    }
}

/// Where a provider is to be looked for, or why it cannot be there.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Cpu,
    Compiled,
    Plugin,
    NeedsNone,
    NoPlugin,
    NotCompiled,
}

fn way(name: &str, plugin: Option<&Path>, available: &[String]) -> Way {
    let compiled = available.iter().any(|have| have == name);
    match (name, plugin) {
        ("cpu", None) => Way::Cpu,
        ("cpu", Some(_)) => Way::NeedsNone,
        (_, Some(_)) => Way::Plugin,
        ("cuda" | "tensorrt", None) if compiled => Way::Compiled,
        ("cuda" | "tensorrt", None) => Way::NotCompiled,
        (_, None) => Way::NoPlugin,
    }
}

/// The kind of hardware that a plugin is wanted for; any, if nothing is known of the provider.
fn hardware(name: &str) -> Option<DeviceType> {
    match name {
        "openvino" => Some(DeviceType::CPU),
        "cuda" | "tensorrt" | "tensorrt-rtx" => Some(DeviceType::GPU),
        _ => None,
    }
}

fn configured<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, entries: &Entries) -> P {
    entries.iter().fold(provider, |provider, (key, value)| provider.with_arbitrary_config(key, value))
}

/// The binding hands on only those options of a plugin that begin with the provider's name, and drops others silently.
fn prefixed(runtime_name: &str, entries: Entries) -> Entries {
    entries.into_iter().map(|(key, value)| (format!("{runtime_name}.{key}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_looked_for_where_it_can_be() {
        let library = Path::new("/plugin.so");
        let cases = [
            ("cpu", None, Way::Cpu),
            ("cpu", Some(library), Way::NeedsNone),
            ("cuda", None, Way::Compiled),
            ("cuda", Some(library), Way::Plugin),
            ("tensorrt", None, Way::NotCompiled),
            ("openvino", None, Way::NoPlugin),
            ("openvino", Some(library), Way::Plugin),
            ("tensorrt-rtx", None, Way::NoPlugin),
            ("abacus", Some(library), Way::Plugin),
        ];
        let available = ["cpu".to_owned(), "cuda".to_owned(), "openvino".to_owned()];
        for (name, plugin, expected) in cases {
            assert_eq!(way(name, plugin, &available), expected, "{name} {plugin:?}");
        }
    }

    #[test]
    fn options_of_a_plugin_begin_with_the_providers_name() {
        let entries = vec![("load_config".to_owned(), "{}".to_owned())];
        let expected = vec![("OpenVINOExecutionProvider.load_config".to_owned(), "{}".to_owned())];
        assert_eq!(prefixed("OpenVINOExecutionProvider", entries), expected);
    }

    #[test]
    fn a_provider_of_which_nothing_is_known_is_told_nothing() {
        let sample = sample::Sample::new("abacus");
        assert_eq!(told("abacus", &sample.wish()), Ok(Told::default()));
    }
}

/// A wish for the tables of the providers' tests.
#[cfg(test)]
mod sample {
    use std::path::PathBuf;

    use super::{DeviceOptions, Setup, Told, Variant, Wish};
    use crate::bundle::Profile;
    use crate::protocol::Precision;

    pub struct Sample {
        pub setup: Setup,
        pub variant: Variant,
        pub options: DeviceOptions,
        pub cache_dir: Option<PathBuf>,
    }

    impl Sample {
        pub fn new(provider: &str) -> Sample {
            let variant = Variant {
                name: "fp32".into(),
                file: "model.onnx".into(),
                providers: vec![provider.into()],
                threads: 2,
                instances: 1,
                memory_pattern: false,
                int8: false,
                loss: None,
                profile: Vec::new(),
            };
            let setup = Setup {
                variant: "fp32".into(),
                provider: provider.into(),
                precision: Precision::Exact,
                threads: 2,
                instances: 1,
            };
            Sample { setup, variant, options: DeviceOptions::default(), cache_dir: None }
        }

        pub fn with(provider: &str, change: impl FnOnce(&mut Sample)) -> Sample {
            let mut sample = Sample::new(provider);
            change(&mut sample);
            sample
        }

        pub fn wish(&self) -> Wish<'_> {
            let Sample { setup, variant, options, cache_dir } = self;
            let cache_dir = cache_dir.as_deref();
            Wish { setup, variant, options, cache_dir, digest: "48fc40f24f6d2a207a2b1091d3437eb3", version: "1.32.0" }
        }
    }

    pub fn profile(tensor: &str, sizes: [&[i64]; 3]) -> Profile {
        let [min, opt, max] = sizes.map(<[i64]>::to_vec);
        Profile { tensor: tensor.into(), min, opt, max }
    }

    /// The provider's options as one text, `key=value` and spaces.
    pub fn text(told: &Told) -> String {
        let entries: Vec<String> = told.provider.iter().map(|(key, value)| format!("{key}={value}")).collect();
        entries.join(" ")
    }
}
