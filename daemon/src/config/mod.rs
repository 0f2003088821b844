//! What the operator said, typed and validated.

pub mod bindings;
pub mod brokers;
pub mod date;
pub mod files;
pub mod keys;
pub mod numbering;
pub mod policy;
pub mod raw;
pub mod records;
pub mod reference;
pub mod routing;
pub mod rules;
pub mod session;
pub mod set;
pub mod sites;
pub mod sparkplug;
pub mod terms;
pub mod users;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use edge_core::pull::window::Window;
use edge_core::tune::choose::Objective;
use edge_core::{Policy, Zone};
use edge_engine::protocol::DeviceOptions;
use edge_wire::dto::{BrokerStatus, MqttStatus, Problem};

use self::bindings::BindingConfig;
use self::routing::{DetectConfig, RoutingConfig};
use self::rules::Rule;
use self::sites::SiteConfig;
use self::sparkplug::SparkplugConfig;
use crate::transport::mqtt::outbox::Bounds;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Node name in topics and status.
    pub node: String,
    pub bus: BusConfig,
    /// Without sites: those are put there by their numbers, which only a running daemon knows ([`numbering`]).
    pub policy: Policy,
    /// In the order of the files.
    pub sites: Vec<SiteConfig>,
    /// In the order of the files.
    pub rules: Vec<Rule>,
    pub routing: RoutingConfig,
    pub detect: DetectConfig,
    pub engine: EngineConfig,
    pub models: ModelsConfig,
    pub pull: PullConfig,
    pub fleet: FleetConfig,
    pub cache: CacheConfig,
    pub mqtt: Option<MqttConfig>,
    /// In the order of the files; none without the broker.
    pub bindings: Vec<BindingConfig>,
    /// Only where there is `mqtt`.
    pub sparkplug: Option<SparkplugConfig>,
    pub limits: LimitsConfig,
    pub http: HttpConfig,
    /// Power mode that is asked for by name, and put back at the end.
    pub power_mode: Option<String>,
    pub telemetry_interval: Duration,
    /// How long a drain may take before what is left is shed.
    pub drain_limit: Duration,
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
    /// Files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What was set of the keys that only a start takes over.
    pub fixed: BTreeMap<&'static str, String>,
    /// Keys that name a credential of the service, which only the service itself can look for.
    pub credentials: Vec<String>,
    /// What is not wrong and should be known.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Keys that a start with `later` would change, and a reload does not.
    pub fn pending(&self, later: &Config) -> Vec<String> {
        let keys: BTreeSet<_> = self.fixed.keys().chain(later.fixed.keys()).collect();
        let changed = |key: &&&str| self.fixed.get(**key) != later.fixed.get(**key);
        keys.into_iter().filter(changed).map(|key| (*key).to_owned()).collect()
    }
}

/// Which bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusConfig {
    System,
    Session,
}

/// The engine host and its runtime library.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Path of the ONNX Runtime library; found otherwise if unset.
    pub library: Option<PathBuf>,
    /// Where runtimes are installed by `edgectl runtime install`.
    pub runtimes_dir: PathBuf,
    /// Execution providers that may be used, by short name.
    pub providers: Vec<String>,
    /// Where those are that come as libraries of their own.
    pub providers_dir: PathBuf,
    /// What providers may use of their devices.
    pub device: DeviceOptions,
    /// Most that all models take together, bytes.
    pub memory_bytes: Option<u64>,
    /// What a load leaves free, bytes.
    pub memory_reserve_bytes: u64,
}

impl EngineConfig {
    /// Where ONNX Runtime is looked for.
    pub fn places(&self) -> edge_engine::library::Places<'_> {
        edge_engine::library::Places { config: self.library.as_deref(), installed: &self.runtimes_dir }
    }
}

/// Where bundles are.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelsConfig {
    pub dirs: Vec<PathBuf>,
    /// Load bundles that carry no signature.
    pub allow_unsigned: bool,
    pub keys_dir: PathBuf,
    /// Folder of bundles that are dropped to be installed.
    pub inbox: Option<PathBuf>,
    pub tune: Tune,
    /// Never unloaded to make room: names, or `NAME:VERSION`.
    pub pinned: Vec<String>,
    /// After so long without a request a model is unloaded.
    pub idle_unload: Option<Duration>,
    pub objective: Objective,
    /// Most that installed bundles take together on disk, bytes.
    pub quota_bytes: u64,
    /// What installing leaves free on that disk, bytes.
    pub reserve_bytes: u64,
    /// How long a version that was just activated is watched.
    pub probation: Duration,
    /// Requests that it must have answered by then; it is watched on until it has.
    pub probation_requests: u32,
}

#[cfg(test)]
impl ModelsConfig {
    /// One for tests: no directories, no keys, nothing unsigned.
    pub fn for_tests() -> ModelsConfig {
        ModelsConfig {
            dirs: Vec::new(),
            allow_unsigned: false,
            keys_dir: PathBuf::new(),
            inbox: None,
            tune: Tune::OnRequest,
            pinned: Vec::new(),
            idle_unload: None,
            objective: Objective::default(),
            quota_bytes: u64::MAX,
            reserve_bytes: 0,
            probation: Duration::from_secs(600),
            probation_requests: 100,
        }
    }
}

/// How bundles are pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullConfig {
    /// Most that comes in a second.
    pub bytes_per_second: Option<u64>,
    /// When it may be pulled, local time; empty for always.
    pub windows: Vec<Window>,
    pub metered: Metered,
    /// Address of the proxy.
    pub proxy: Option<String>,
    /// Hosts that are asked without it.
    pub no_proxy: Vec<String>,
    /// PEM file of more authorities.
    pub ca: Option<PathBuf>,
    /// By host, with or without a port, the file that says who this box is there.
    pub credentials: BTreeMap<String, PathBuf>,
    /// By host what is asked in its place.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Pulls that may wait while one runs.
    pub max_waiting: usize,
    /// How long a server may say nothing.
    pub stall: Duration,
    /// How long nothing new may come.
    pub give_up_after: Duration,
}

/// What this box is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetConfig {
    /// The operator's own lists.
    pub dir: PathBuf,
    /// A list for many boxes.
    pub url: Option<String>,
    /// Whose entries go before those without a channel.
    pub channel: Option<String>,
    /// How often they are read again.
    pub every: Duration,
}

/// What is done on a metered network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metered {
    /// The same as on any.
    Allow,
    /// It is waited for another one.
    Wait,
}

/// When models are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tune {
    /// Once, while nobody asks for anything.
    Idle,
    /// Only when somebody says so.
    OnRequest,
}

/// What providers compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    pub dir: PathBuf,
    /// Most that it may take on disk.
    pub max_bytes: u64,
}

/// Sizes that are checked before anything is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Largest inline payload over D-Bus, all tensors together.
    pub max_inline_bytes: u64,
    /// Largest payload in a descriptor.
    pub max_payload_bytes: u64,
    /// Calls of one bus connection that may be open at once.
    pub max_calls: usize,
    /// Requests of one `Submit`-ing caller whose objects are kept.
    pub max_submitted: usize,
    /// Private peer connections of one user.
    pub max_peers: usize,
}

/// The local HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Serve on the socket among the runtime files.
    pub socket: bool,
    /// Serve on this port of the loopback.
    pub port: Option<u16>,
    /// Connections that may be open at once.
    pub max_connections: usize,
}

/// Why there is no connection to the broker before one was tried: nothing is wrong.
pub const WAITING_FOR_MODELS: &str = "waiting for the models";
/// The first attempt is under way.
pub const FIRST_ATTEMPT: &str = "not connected yet";

/// The MQTT connection.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttConfig {
    pub host: String,
    pub port: u16,
    /// More brokers, in the order in which they are tried.
    pub fallback: Vec<(String, u16)>,
    /// How long a fallback is kept before the first broker is looked for; `None` as long as it lasts.
    pub return_after: Option<Duration>,
    pub protocol: MqttProtocol,
    /// Topic prefix, without a slash at the end.
    pub prefix: String,
    /// Group for shared subscriptions.
    pub group: Option<String>,
    pub client_id: String,
    pub keep_alive: Duration,
    pub username: Option<String>,
    /// File that holds the password: a systemd credential or a path.
    pub password_file: Option<PathBuf>,
    pub tls: Option<TlsConfig>,
    /// Zone that the broker counts as.
    pub zone: Zone,
    /// Patterns of reply topics (MQTT filters) beyond the default.
    pub reply_allow: Vec<String>,
    /// Largest request body; above it the answer is `too_large`.
    pub max_request_bytes: u64,
    /// Largest packet that the connection survives; above `max_request_bytes`.
    pub max_packet_bytes: u64,
    /// A request unsettled for this long is journaled, so that nothing behind it waits.
    pub journal_after: Duration,
    /// Requests that the journal holds at most.
    pub journal_max_rows: u64,
    /// Bytes that the journal holds at most.
    pub journal_max_bytes: u64,
    /// Replies that wait for the broker at most.
    pub max_replies_waiting: usize,
    /// Requests received and not yet acknowledged, at most (MQTT 5 receive maximum).
    pub max_inflight: u16,
    /// Bytes of requests that are not yet answered, at most.
    pub max_inflight_bytes: u64,
    /// Of results and events that wait for the broker.
    pub outbox: Bounds,
    /// What Home Assistant is told, and below which prefix.
    pub home_assistant: (Discovery, String),
}

/// What is done for the discovery of Home Assistant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    #[default]
    Off,
    On,
    /// What was told before is taken back.
    Remove,
}

impl MqttConfig {
    /// Brokers of the list: `host` and the others.
    pub fn brokers(&self) -> usize {
        1 + self.fallback.len()
    }

    /// The same connection to the broker at this place of the list.
    pub fn at(&self, place: usize) -> MqttConfig {
        let other = place.checked_sub(1).and_then(|place| self.fallback.get(place));
        let (host, port) = other.cloned().unwrap_or_else(|| (self.host.clone(), self.port));
        MqttConfig { host, port, ..self.clone() }
    }

    /// Where it leads, as people write it.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The link's state before anything is known of it.
    pub fn first_status(&self) -> MqttStatus {
        MqttStatus {
            state: "connecting".into(),
            reason: WAITING_FOR_MODELS.into(),
            broker: self.address(),
            brokers: (0..self.brokers())
                .map(|place| BrokerStatus { address: self.at(place).address(), ..BrokerStatus::default() })
                .collect(),
            protocol: match self.protocol {
                MqttProtocol::V5 => "5".into(),
                MqttProtocol::V311 => "3.1.1".into(),
            },
            client_id: self.client_id.clone(),
            zone: self.zone.as_str().into(),
            ..MqttStatus::default()
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttProtocol {
    V5,
    V311,
}

/// Certificates of the broker connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file of the authority that signed the broker's certificate; without one a pin is all that is asked for.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the public keys that the broker may have; any, if there is none.
    pub pins: Vec<[u8; 32]>,
    /// PEM files of the client's certificate and key.
    pub client: Option<(PathBuf, PathBuf)>,
}
