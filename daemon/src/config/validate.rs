//! Values to [`Config`]: units, defaults that depend on the machine, and rules between keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_core::Zone;
use edge_core::pull::window::Window;
use edge_core::tune::choose::Objective;
use edge_engine::protocol::DeviceOptions;
use sha2::{Digest, Sha256};

use super::bindings::{self, BindingConfig};
use super::brokers::fallback;
use super::files::Secret;
pub use super::files::is_missing;
use super::files::{locate, open_to_all};
use super::keys::NAME_LIMIT;
use super::policy::PolicyFile;
use super::raw::{Fault, Values};
use super::sites::Around;
use super::{
    BusConfig, CacheConfig, Config, Discovery, EngineConfig, FleetConfig, HttpConfig, LimitsConfig, Metered,
    ModelsConfig, MqttConfig, MqttProtocol, PullConfig, TlsConfig, Tune,
};
use crate::pull::Address;
use crate::pull::address::mirror_fault;
use crate::transport::mqtt::outbox::Bounds;

/// Bytes of messages for subscribers that stay in memory besides lying on disk: a few seconds of what a broker takes.
const OUTBOX_IN_MEMORY: u64 = 4 << 20;

/// What the configuration takes from the machine it runs on; passed in, so that tests need no machine.
#[derive(Clone, Debug)]
pub struct Machine {
    pub host_name: String,
    /// Contents of `/etc/machine-id`; may be empty.
    pub machine_id: String,
    pub processors: u16,
    /// `$CREDENTIALS_DIRECTORY` of the service.
    pub credentials: Option<PathBuf>,
    /// Whether a file of the broker connection or of a site is missing. Asked of a check only: a daemon serves without them,
    /// and reads them anew for every connection.
    pub is_missing: fn(&Path) -> bool,
    /// The permissions of a file, if they can be looked at.
    pub mode: fn(&Path) -> Option<u32>,
    /// Why what is in the file of a secret is none, if it can be read. Asked of a check and of a reload: a daemon that starts serves
    /// without that site.
    pub secret: fn(&Path, Secret) -> Option<String>,
    /// The number of a user, by its name.
    pub user_id: fn(&str) -> Option<u32>,
    /// Models of this box by their names, if somebody looked.
    pub models: Option<Vec<String>>,
    /// Days since 1970, UTC; 0 if that is not known.
    pub today: u32,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            host_name: String::new(),
            machine_id: String::new(),
            processors: 0,
            credentials: None,
            is_missing: |_| false,
            mode: |_| None,
            secret: |_, _| None,
            user_id: |_| None,
            models: None,
            today: 0,
        }
    }
}

/// The typed configuration, or every fault there is.
pub fn validate(mut values: Values, machine: &Machine) -> Result<Config, Vec<Fault>> {
    let node = values.text("node").unwrap_or_else(|| clean_name(&machine.host_name));
    let pull = pull(&mut values, machine);
    let fleet = fleet(&mut values);
    let mqtt = values.is_set("mqtt.host").then(|| mqtt(&mut values, machine, &node));
    if mqtt.is_none() {
        let stray = super::keys::KEYS.iter().find(|key| key.path.starts_with("mqtt.") && values.is_set(key.path));
        if let Some(stray) = stray {
            values.fault_at(stray.path, "set, but `mqtt.host` is not: set it, or remove the [mqtt] section".into());
        }
    }
    let sparkplug = super::sparkplug::read(&mut values, mqtt.is_some(), &node);
    let around = Around { machine, node: &node, broker: mqtt.as_ref().map(|mqtt| mqtt.zone) };
    let PolicyFile { policy, sites, rules, routing, detect, warnings, unseen } =
        super::policy::read(&mut values, &around);
    let plant = sparkplug.as_ref().map(|plant| (plant.group.as_str(), plant.edge_node.as_str()));
    let around = bindings::Around { machine, node: &node, mqtt: mqtt.as_ref(), sparkplug: plant };
    let bindings::Read { bindings, unseen: of_bindings } = bindings::read(&mut values, &around);
    let broker = mqtt.as_ref().map_or(Zone::Device, |mqtt| mqtt.zone);
    bindings.iter().filter_map(|binding| bindings::confined(binding, policy.unlabelled, broker)).for_each(|message| {
        values.fault(None, bindings::GROUP.name, message);
    });
    let config = Config {
        bus: match values.text("bus.kind").as_deref() {
            Some("session") => BusConfig::Session,
            _ => BusConfig::System,
        },
        policy,
        sites,
        rules,
        routing,
        detect,
        engine: EngineConfig {
            library: values.text("engine.library").map(PathBuf::from),
            runtimes_dir: path(&values, "engine.runtimes_dir"),
            providers: values.texts("engine.providers"),
            providers_dir: path(&values, "engine.providers_dir"),
            device: device(&values),
            memory_bytes: values.is_set("engine.memory_mib").then(|| values.int("engine.memory_mib") << 20),
            memory_reserve_bytes: values.int("engine.memory_reserve_mib") << 20,
        },
        models: ModelsConfig {
            dirs: values.texts("models.dirs").into_iter().map(PathBuf::from).collect(),
            allow_unsigned: values.flag("models.allow_unsigned"),
            keys_dir: path(&values, "models.keys_dir"),
            inbox: Some(path(&values, "models.inbox")).filter(|dir| !dir.as_os_str().is_empty()),
            tune: match values.text("models.tune").as_deref() {
                Some("on-request") => Tune::OnRequest,
                _ => Tune::Idle,
            },
            pinned: values.texts("models.pinned"),
            idle_unload: Some(values.int("models.idle_unload_s")).filter(|s| *s > 0).map(Duration::from_secs),
            quota_bytes: values.int("models.quota_mib") << 20,
            reserve_bytes: values.int("models.disk_reserve_mib") << 20,
            probation: Duration::from_secs(values.int("models.probation_s")),
            probation_requests: u32::try_from(values.int("models.probation_requests")).unwrap_or(u32::MAX),
            objective: values.text("models.objective").and_then(|word| Objective::from_word(&word)).unwrap_or_default(),
        },
        pull,
        fleet,
        cache: CacheConfig { dir: path(&values, "cache.dir"), max_bytes: values.int("cache.max_mib") << 20 },
        mqtt,
        sparkplug,
        limits: LimitsConfig {
            max_inline_bytes: values.int("limits.max_inline_kib") << 10,
            max_payload_bytes: values.int("limits.max_payload_mib") << 20,
            max_calls: size(values.int("limits.max_calls")),
            max_submitted: size(values.int("limits.max_submitted")),
            max_peers: size(values.int("limits.max_peers")),
        },
        http: HttpConfig {
            socket: values.flag("http.socket"),
            port: values.is_set("http.port").then(|| small(values.int("http.port"))),
            max_connections: size(values.int("http.max_connections")),
        },
        power_mode: values.text("governor.power_mode"),
        telemetry_interval: millis(&values, "telemetry.interval_ms"),
        drain_limit: millis(&values, "policy.drain_limit_ms"),
        state_dir: path(&values, "paths.state_dir"),
        runtime_dir: path(&values, "paths.runtime_dir"),
        files: values.files.clone(),
        fixed: values.fixed().into_iter().chain(text_of(&bindings)).collect(),
        credentials: credentials(&values, machine).map(str::to_owned).chain(unseen).chain(of_bindings).collect(),
        warnings,
        bindings,
        node,
    };
    if values.faults.is_empty() { Ok(config) } else { Err(values.faults) }
}

/// Bindings hold from the start on; a reload that would change any of them says so.
fn text_of(bindings: &[BindingConfig]) -> Option<(&'static str, String)> {
    (!bindings.is_empty()).then(|| (bindings::GROUP.name, format!("{bindings:?}")))
}

fn mqtt(values: &mut Values, machine: &Machine, node: &str) -> MqttConfig {
    let host = values.text("mqtt.host").unwrap_or_default();
    if host.contains('/') || (host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err()) {
        let takes = "takes a name or an address alone; the port is `mqtt.port`, and TLS is `[mqtt.tls]`";
        values.fault_at("mqtt.host", format!("{host:?} is not accepted: {takes}"));
    }
    let tls = tls(values, machine);
    let port = match values.int("mqtt.port") {
        0 if tls.is_some() => 8883,
        0 => 1883,
        port => small(port),
    };
    let fallback = fallback(values, (&host, port));
    let prefix = values.text("mqtt.prefix").unwrap_or_default();
    if prefix.contains(['+', '#', '\0']) || prefix.starts_with(['$', '/']) || prefix.ends_with('/') {
        values.fault_at(
            "mqtt.prefix",
            format!("{prefix:?} is not accepted: no wildcard, no leading `$` or `/`, no slash at the end"),
        );
    }
    for filter in values.texts("mqtt.reply_allow") {
        if !is_filter(&filter) {
            values.fault_at(
                "mqtt.reply_allow",
                format!("{filter:?} is no topic filter: `+` and `#` stand alone between slashes, `#` last"),
            );
        }
    }
    let (max_request_bytes, max_packet_bytes) =
        (values.int("mqtt.max_request_kib") << 10, values.int("mqtt.max_packet_kib") << 10);
    if max_packet_bytes <= max_request_bytes {
        let text = format!(
            "{} is not above `mqtt.max_request_kib` ({}): requests between the two are answered `too_large`",
            max_packet_bytes >> 10,
            max_request_bytes >> 10
        );
        values.fault_at("mqtt.max_packet_kib", text);
    }
    let zone = values.text("mqtt.zone");
    MqttConfig {
        zone: zone.as_deref().and_then(zone_of).unwrap_or(
            if is_loopback(&host) && fallback.iter().all(|(host, _)| is_loopback(host)) {
                Zone::Device
            } else {
                Zone::Premises
            },
        ),
        port,
        fallback,
        return_after: Some(values.int("mqtt.return_after_s")).filter(|s| *s > 0).map(Duration::from_secs),
        protocol: if values.text("mqtt.protocol").as_deref() == Some("3.1.1") {
            MqttProtocol::V311
        } else {
            MqttProtocol::V5
        },
        prefix,
        group: values.text("mqtt.group"),
        client_id: values.text("mqtt.client_id").unwrap_or_else(|| client_id(node, &machine.machine_id)),
        keep_alive: Duration::from_secs(values.int("mqtt.keep_alive_s")),
        username: values.text("mqtt.username"),
        password_file: secret(values, machine, "mqtt.password_file"),
        tls,
        reply_allow: values.texts("mqtt.reply_allow"),
        max_request_bytes,
        max_packet_bytes,
        journal_after: millis(values, "mqtt.journal_after_ms"),
        journal_max_rows: values.int("mqtt.journal_max_rows"),
        journal_max_bytes: values.int("mqtt.journal_max_mib") << 20,
        max_replies_waiting: size(values.int("mqtt.max_replies_waiting")),
        max_inflight: small(values.int("mqtt.max_inflight")),
        max_inflight_bytes: values.int("mqtt.max_inflight_mib") << 20,
        home_assistant: home_assistant(values),
        outbox: Bounds {
            rows: values.int("mqtt.outbox_max_rows"),
            bytes: values.int("mqtt.outbox_max_mib") << 20,
            age: Duration::from_secs(values.int("mqtt.outbox_max_age_s")),
            memory_bytes: OUTBOX_IN_MEMORY,
            pause_connected: millis(values, "mqtt.journal_after_ms"),
            pause_alone: millis(values, "mqtt.outbox_commit_ms"),
        },
        host,
    }
}

fn home_assistant(values: &mut Values) -> (Discovery, String) {
    let prefix = values.text("mqtt.home_assistant_prefix").unwrap_or_default();
    if prefix.contains(['+', '#']) || prefix.starts_with(['$', '/']) || prefix.ends_with('/') {
        let message = format!(
            "{prefix:?} is no prefix of topics: takes one without wildcards, `$` or `/` at its start, or `/` at its end"
        );
        values.fault_at("mqtt.home_assistant_prefix", message);
    }
    let how = match values.text("mqtt.home_assistant").as_deref() {
        Some("on") => Discovery::On,
        Some("remove") => Discovery::Remove,
        _ => Discovery::Off,
    };
    (how, prefix)
}

fn tls(values: &mut Values, machine: &Machine) -> Option<TlsConfig> {
    let ca = file(values, machine, "mqtt.tls.ca");
    let cert = file(values, machine, "mqtt.tls.client_cert");
    let key = secret(values, machine, "mqtt.tls.client_key");
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            values.fault_at("mqtt.tls.client_cert", "set without `mqtt.tls.client_key`: both or neither".into());
            None
        }
        (None, Some(_)) => {
            values.fault_at("mqtt.tls.client_key", "set without `mqtt.tls.client_cert`: both or neither".into());
            None
        }
    };
    let pins = super::brokers::pins(values);
    if ca.is_none() && values.texts("mqtt.tls.pin").is_empty() {
        if client.is_some() {
            let text = "set without `mqtt.tls.ca` or `mqtt.tls.pin`, which turn TLS on";
            values.fault_at("mqtt.tls.client_cert", text.into());
        }
        return None;
    }
    Some(TlsConfig { ca, pins, client })
}

fn pull(values: &mut Values, machine: &Machine) -> PullConfig {
    let mut windows = Vec::new();
    for text in values.texts("pull.windows") {
        match Window::from_text(&text) {
            Some(window) => windows.push(window),
            None => values
                .fault_at("pull.windows", format!("{text:?} is no span of the day: takes HH:MM-HH:MM, 00:00 to 24:00")),
        }
    }
    let proxy = values.text("pull.proxy");
    if let Some(why) = proxy.as_deref().and_then(crate::pull::proxy_fault) {
        values.fault_at("pull.proxy", why);
    }
    let mut credentials = BTreeMap::new();
    for (host, names) in values.by_name("pull.credentials") {
        if !crate::pull::is_host(&host) {
            values.fault_at("pull.credentials", format!("{host:?} is no host: takes \"HOST\" or \"HOST:PORT\""));
        }
        let Some(name) = names.into_iter().next() else { continue };
        let path = named_secret(values, machine, "pull.credentials", &name);
        credentials.insert(host, path);
    }
    let mirrors = values.by_name("pull.mirrors");
    for (host, bases) in &mirrors {
        if !crate::pull::is_host(host) {
            values.fault_at("pull.mirrors", format!("{host:?} is no host: takes \"HOST\" or \"HOST:PORT\""));
        }
        for why in bases.iter().filter_map(|base| mirror_fault(base)) {
            values.fault_at("pull.mirrors", why);
        }
    }
    PullConfig {
        bytes_per_second: values.is_set("pull.max_rate_kib_s").then(|| values.int("pull.max_rate_kib_s") << 10),
        windows,
        metered: match values.text("pull.metered").as_deref() {
            Some("wait") => Metered::Wait,
            _ => Metered::Allow,
        },
        proxy,
        no_proxy: values.texts("pull.no_proxy"),
        ca: file(values, machine, "pull.ca"),
        credentials,
        mirrors,
        max_waiting: size(values.int("pull.max_waiting")),
        stall: Duration::from_secs(values.int("pull.stall_s")),
        give_up_after: Duration::from_secs(values.int("pull.give_up_after_s")),
    }
}

fn fleet(values: &mut Values) -> FleetConfig {
    let url = values.text("fleet.url");
    let is_file = |url: &String| matches!(Address::parse(url), Ok(Address::File { sha256: None, .. }));
    if url.as_ref().is_some_and(|url| !is_file(url)) {
        values.fault_at("fleet.url", "takes https://HOST/PATH/LIST.toml, without a fragment".into());
    }
    FleetConfig {
        dir: path(values, "fleet.dir"),
        url,
        channel: values.text("fleet.channel"),
        every: Duration::from_secs(values.int("fleet.every_s")),
    }
}

/// The file that `key` names.
fn file(values: &mut Values, machine: &Machine, key: &str) -> Option<PathBuf> {
    let name = values.text(key)?;
    Some(named_file(values, machine, key, &name))
}

/// The file of a secret, which not everybody may open.
fn secret(values: &mut Values, machine: &Machine, key: &str) -> Option<PathBuf> {
    let name = values.text(key)?;
    Some(named_secret(values, machine, key, &name))
}

fn named_secret(values: &mut Values, machine: &Machine, key: &str, name: &str) -> PathBuf {
    if let Some(fault) = open_to_all(machine, name) {
        values.fault_at(key, fault);
    }
    named_file(values, machine, key, name)
}

/// The file of this name.
fn named_file(values: &mut Values, machine: &Machine, key: &str, name: &str) -> PathBuf {
    let found = locate(machine, name);
    if let Some(fault) = found.fault {
        values.fault_at(key, fault);
    }
    found.path
}

/// Keys with a bare name, where nobody can look whether there is such a credential.
fn credentials(values: &Values, machine: &Machine) -> impl Iterator<Item = &'static str> {
    const FILES: [&str; 6] = [
        "mqtt.password_file",
        "mqtt.tls.ca",
        "mqtt.tls.client_cert",
        "mqtt.tls.client_key",
        "pull.ca",
        "pull.credentials",
    ];
    let is_bare = move |key: &str| {
        let listed = values.by_name(key);
        values.text(key).iter().chain(listed.values().flatten()).any(|name| !name.contains('/'))
    };
    let unseen = move |key: &&'static str| machine.credentials.is_none() && is_bare(key);
    FILES.into_iter().filter(unseen)
}

/// Differs between boxes made from one image: the machine id is part of it, hashed so as not to publish it.
fn client_id(node: &str, machine_id: &str) -> String {
    let digest = Sha256::digest(format!("edged client id {machine_id}"));
    let part: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("edged-{node}-{part}")
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) fn zone_of(word: &str) -> Option<Zone> {
    [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud].into_iter().find(|zone| zone.as_str() == word)
}

fn clean_name(host: &str) -> String {
    let name: String = host
        .chars()
        .take(NAME_LIMIT)
        .map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' })
        .collect();
    if name.is_empty() { "edge-box".into() } else { name }
}

pub(super) fn is_filter(filter: &str) -> bool {
    let parts: Vec<&str> = filter.split('/').collect();
    let last = parts.len() - 1;
    !filter.starts_with('$')
        && parts.iter().enumerate().all(|(at, part)| match *part {
            "+" => true,
            "#" => at == last,
            part => !part.contains(['+', '#']),
        })
}

fn device(values: &Values) -> DeviceOptions {
    let set = |key: &str| values.is_set(key).then(|| values.int(key));
    let mib = |key: &str| set(key).map(|mib| mib << 20);
    DeviceOptions {
        device: Some(small(values.int("engine.device"))),
        memory_limit_bytes: mib("engine.device_memory_mib"),
        workspace_limit_bytes: mib("engine.workspace_mib"),
        dla_core: set("engine.dla_core").map(small),
    }
}

fn path(values: &Values, key: &str) -> PathBuf {
    Path::new(&values.text(key).unwrap_or_default()).to_owned()
}

pub(super) fn millis(values: &Values, key: &str) -> Duration {
    Duration::from_millis(values.int(key))
}

pub(super) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(super) fn small(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use edge_core::Policy;
    use edge_core::policy::Routing;

    use super::*;

    fn machine() -> Machine {
        Machine {
            host_name: "box 1".into(),
            machine_id: "abc".into(),
            processors: 2,
            credentials: Some("/cred".into()),
            ..Machine::default()
        }
    }

    fn check(text: &str) -> Result<Config, Vec<String>> {
        check_on(&machine(), text)
    }

    fn check_on(machine: &Machine, text: &str) -> Result<Config, Vec<String>> {
        let mut values = Values::default();
        values.add(Path::new("test.toml"), text);
        validate(values, machine).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let config = check("").unwrap();
        assert_eq!(config.node, "box-1");
        let routing = Routing {
            max_deferred: 10_000,
            max_wait: Duration::from_secs(168 * 3600),
            seed: config.policy.routing.seed,
            ..Routing::default()
        };
        assert_eq!(config.policy, Policy { lanes: 2, routing, ..Policy::default() });
        assert_eq!(config.mqtt, None);
    }

    #[test]
    fn all_faults_are_named_at_once_with_key_and_range() {
        let faults =
            check("node = 5\nextra = 1\n[policy]\nlanes = 0\nlane = 3\nclient_share = 2.0\nlower_share = 0.6\nmax_chunk_ms = 0\n[mqtt]\nport = 70000\n")
                .unwrap_err();
        for part in [
            "node: 5",
            "extra: unknown key",
            "policy.lanes: 0 is not accepted: takes a whole number from 1 to 64",
            "did you mean `policy.lanes`",
            "policy.client_share",
            "policy.lower_share: 0.6 is not accepted: takes a number from 0.01 to 0.5",
            "policy.max_chunk_ms: 0 is not accepted: takes a whole number from 1 to 10000",
            "mqtt.port",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part} in {faults:#?}");
        }
    }

    #[test]
    fn rules_between_keys_hold() {
        for (text, key) in [
            ("[policy]\ndefault_deadline_ms = 2000\nmax_deadline_ms = 1000", "policy.default_deadline_ms"),
            ("[mqtt]\nhost='b'\nmax_request_kib = 10\nmax_packet_kib = 10", "mqtt.max_packet_kib"),
            ("[mqtt]\nport = 1883", "mqtt.port"),
            ("[mqtt]\nhost='b'\n[mqtt.tls]\nca='a'\nclient_cert='c'", "mqtt.tls.client_cert"),
            ("[mqtt]\nhost='b'\nreply_allow=['a/#/b']", "mqtt.reply_allow"),
            ("[mqtt]\nhost='b'\nprefix='a/+'", "mqtt.prefix"),
            ("node = 'a/b'", "node"),
            ("[pull]\nwindows = ['22:00-05:30', '9-17']", "pull.windows"),
            ("[pull]\nproxy = 'proxy:3128'", "pull.proxy"),
            ("[pull]\nproxy = 'http://u:p@proxy:3128'", "pull.proxy"),
            ("[pull.credentials]\n'https://h' = '/x'", "pull.credentials"),
            ("[pull.credentials]\n'h' = 5", "pull.credentials"),
            ("[pull.mirrors]\n'h' = ['ftp://m']", "pull.mirrors"),
            ("[pull.mirrors]\n'h' = 'https://m'", "pull.mirrors"),
            ("[fleet]\nurl = 'models.plant/list.toml'", "fleet.url"),
            ("[fleet]\nurl = 'oci://models.plant/list:1'", "fleet.url"),
            ("[fleet]\nurl = 'https://models.plant/list.toml#sha256=00'", "fleet.url"),
            ("[fleet]\nchannel = 'a/b'", "fleet.channel"),
            ("[fleet]\nevery_s = 1", "fleet.every_s"),
        ] {
            let faults = check(text).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(key), "{text}: {faults:?}");
        }
    }

    #[test]
    fn words_and_names_are_held_against_what_is_accepted() {
        let long = "n".repeat(65);
        for (text, key, range) in [
            ("[engine]\nproviders = ['cpu', 'gpu']", "engine.providers", "takes a list of \"cpu\" or \"cuda\""),
            (format!("node = '{long}'").as_str(), "node", "takes 1 to 64 letters"),
            (format!("[mqtt]\nhost = 'b'\ngroup = '{long}'").as_str(), "mqtt.group", "takes 1 to 64 letters"),
        ] {
            let faults = check(text).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(key) && faults[0].contains(range), "{faults:?}");
        }
        assert_eq!(check("[engine]\nproviders = ['openvino', 'cpu']").unwrap().engine.providers, ["openvino", "cpu"]);
        let host_name = "b".repeat(80);
        let node = check_on(&Machine { host_name, ..machine() }, "").unwrap().node;
        assert_eq!(node, "b".repeat(64));
    }

    #[test]
    fn missing_files_of_the_broker_connection_are_all_named_when_they_can_be_looked_for() {
        let text = "[mqtt]\nhost='b'\npassword_file='pw'\n\
                    [mqtt.tls]\nca='/no/ca.pem'\nclient_cert='/no/cert.pem'\nclient_key='key'";
        let inside = Machine { is_missing: |_| true, ..machine() };
        let faults = check_on(&inside, text).unwrap_err();
        for part in ["password_file: there is no file /cred/pw", "tls.ca: ", "tls.client_cert: ", "tls.client_key: "] {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part} in {faults:?}");
        }
        let outside = Machine { credentials: None, ..inside };
        let faults = check_on(&outside, text).unwrap_err();
        assert!(faults.len() == 2 && faults.iter().all(|fault| fault.contains("/no/")), "{faults:?}");
        assert!(check(text).is_ok());
    }

    #[test]
    fn a_loopback_broker_is_on_the_device_and_any_other_on_the_premises() {
        for (host, zone) in [
            ("localhost", Zone::Device),
            ("127.0.0.9", Zone::Device),
            ("::1", Zone::Device),
            ("broker", Zone::Premises),
            ("::1' \nfallback=['127.0.0.1:1884', '[::1]:1885']#", Zone::Device),
            ("::1' \nfallback=['127.0.0.1:1884', 'broker']#", Zone::Premises),
        ] {
            assert_eq!(check(&format!("[mqtt]\nhost='{host}'")).unwrap().mqtt.unwrap().zone, zone);
        }
    }

    #[test]
    fn a_secret_that_every_user_may_open_is_refused() {
        let mut open = machine();
        open.is_missing = |_| false;
        open.mode = |path| Some(if path.starts_with("/open") { 0o100_644 } else { 0o100_640 });
        let text = |dir: &str| {
            format!(
                "[mqtt]\nhost='b'\nusername='u'\npassword_file='{dir}/pw'\n[mqtt.tls]\nca='/open/ca'\n\
                 client_cert='/open/cert'\nclient_key='{dir}/key'\n[pull.credentials]\n'h' = '{dir}/token'"
            )
        };
        let faults = |dir: &str| check_on(&open, &text(dir)).err().unwrap_or_default();
        let found = faults("/open").join("\n");
        for key in ["mqtt.password_file: /open/pw", "mqtt.tls.client_key: /open/key", "pull.credentials: /open/token"] {
            assert!(found.contains(&format!("{key} is open to every user (mode 0644)")), "{key}: {found}");
        }
        assert_eq!(faults("/open").len(), 3, "certificates are no secrets");
        assert!(faults("/closed").is_empty(), "{:?}", faults("/closed"));
    }

    #[test]
    fn what_is_said_of_pulls_is_taken() {
        let pull = check(
            "[pull]\nmax_rate_kib_s = 64\nwindows = ['22:00-05:30']\nmetered = 'wait'\nproxy = 'http://proxy:3128'\n\
             [pull.credentials]\n'h:5000' = 'token'\n'i' = '/x'\n[pull.mirrors]\n'h' = ['https://m/a', 'origin']",
        )
        .unwrap()
        .pull;
        assert_eq!((pull.bytes_per_second, pull.windows.len(), pull.metered), (Some(65_536), 1, Metered::Wait));
        let credentials: Vec<_> = pull.credentials.iter().map(|(host, path)| (host.as_str(), path.as_path())).collect();
        assert_eq!(credentials, [("h:5000", Path::new("/cred/token")), ("i", Path::new("/x"))]);
        assert_eq!(pull.mirrors["h"], ["https://m/a", "origin"]);
        let pull = check("").unwrap().pull;
        assert_eq!((pull.bytes_per_second, pull.metered, pull.max_waiting), (None, Metered::Allow, 15));
    }

    #[test]
    fn a_bare_password_file_is_a_credential_and_clones_get_different_client_ids() {
        let mqtt = check("[mqtt]\nhost='b'\npassword_file='pw'").unwrap().mqtt.unwrap();
        assert_eq!(mqtt.password_file, Some("/cred/pw".into()));
        assert_ne!(client_id("n", "a"), client_id("n", "b"));
    }

    #[test]
    fn the_reference_names_every_key() {
        let text = super::super::keys::reference();
        for key in super::super::keys::KEYS {
            assert!(text.contains(&format!("`{}`", key.path.rsplit('.').next().unwrap())), "{}", key.path);
        }
    }
}
