//! What a box says of itself: its state and its models (retained, on change), its readings (every few seconds).
//!
//! The state leaves out all that changes with a request (counters, queues, ages, memory), so that publishing it on
//! change is publishing it seldom.

use serde::Serialize;

use crate::dto::{
    Counters, FleetModel, FleetReport, ModelStatus, Platform, ProviderInfo, ReadingInfo, Status, TensorInfo,
};

/// Last will, and the word of a box that left.
pub const OFFLINE: &str = "offline";
/// The word of a box that takes requests.
pub const ONLINE: &str = "online";

/// Longest name of a node or a model, and longest version; bytes.
const MOST_NAME: usize = 64;
/// Largest record of a fleet that is read, bytes.
const MOST_REPORT: usize = 16 << 10;
/// Largest record of another box's load that is read, bytes.
const MOST_LOAD: usize = 256 << 10;

/// `<prefix>/<node>/state`.
pub fn state(status: &Status) -> String {
    #[derive(Serialize)]
    struct State<'a> {
        node: &'a str,
        state: &'a str,
        reason: &'a str,
        version: &'a str,
        interface: u32,
        simulated: bool,
        platform: &'a Platform,
        engine: Engine<'a>,
        models: Vec<Model<'a>>,
        problems: Vec<Problem<'a>>,
    }
    #[derive(Serialize)]
    struct Engine<'a> {
        state: &'a str,
        reason: &'a str,
        version: &'a str,
        providers: &'a [String],
    }
    #[derive(Serialize)]
    struct Model<'a> {
        name: &'a str,
        version: &'a str,
        state: &'a str,
        reason: &'a str,
        active: bool,
        bad: &'a str,
    }
    #[derive(Serialize)]
    struct Problem<'a> {
        subject: &'a str,
        what: &'a str,
        remedy: &'a str,
    }
    let engine = &status.engine;
    text(&State {
        node: &status.node,
        state: &status.state,
        reason: &status.reason,
        version: &status.version,
        interface: status.interface,
        simulated: status.simulated,
        platform: &status.platform,
        engine: Engine {
            state: &engine.state,
            reason: &engine.reason,
            version: &engine.version,
            providers: &engine.providers,
        },
        models: status
            .models
            .iter()
            .map(|m| Model {
                name: &m.name,
                version: &m.version,
                state: &m.state,
                reason: &m.reason,
                active: m.active,
                bad: &m.bad,
            })
            .collect(),
        problems: status
            .problems
            .iter()
            .map(|p| Problem { subject: &p.subject, what: &p.what, remedy: &p.remedy })
            .collect(),
    })
}

/// `<prefix>/<node>/models/<model>`.
pub fn model(model: &ModelStatus) -> String {
    #[derive(Serialize)]
    struct Record<'a> {
        name: &'a str,
        version: &'a str,
        description: &'a str,
        task: &'a str,
        licence: &'a str,
        state: &'a str,
        reason: &'a str,
        variant: &'a str,
        provider: &'a str,
        providers: &'a [ProviderInfo],
        inputs: &'a [TensorInfo],
        outputs: &'a [TensorInfo],
        content_types: &'a [String],
        max_batch: u32,
        default_deadline_ms: u64,
    }
    text(&Record {
        name: &model.name,
        version: &model.version,
        description: &model.description,
        task: &model.task,
        licence: &model.licence,
        state: &model.state,
        reason: &model.reason,
        variant: &model.variant,
        provider: model.providers.first().map_or("", |provider| &provider.name),
        providers: &model.providers,
        inputs: &model.inputs,
        outputs: &model.outputs,
        content_types: &model.content_types,
        max_batch: model.max_batch,
        default_deadline_ms: model.default_deadline_ms,
    })
}

/// `<prefix>/<node>/fleet/<model>`: what the box does about a version that its fleet is to have.
pub fn fleet(model: &FleetModel) -> String {
    text(model)
}

/// Reads such a record of the box `node`; `None` if it is none.
pub fn fleet_report(node: &str, model: &str, payload: &[u8]) -> Option<FleetReport> {
    if node.len() > MOST_NAME || model.len() > MOST_NAME {
        return None;
    }
    let (node, model) = (node.to_owned(), model.to_owned());
    if payload.is_empty() {
        return Some(FleetReport { node, model, ..FleetReport::default() });
    }
    if payload.len() > MOST_REPORT {
        return None;
    }
    let FleetModel { version, phase, wave, .. } = serde_json::from_slice(payload).ok()?;
    let short = version.len() <= MOST_NAME && phase.len() <= MOST_NAME;
    short.then_some(FleetReport { node, model, version, phase, wave })
}

/// `<prefix>/<node>/capacity`, at `at` (RFC 3339, UTC): what another box, or whoever spreads requests, needs to know.
pub fn capacity(status: &Status, at: &str) -> String {
    #[derive(Serialize)]
    struct Capacity<'a> {
        at: &'a str,
        node: &'a str,
        state: &'a str,
        mqtt: &'a str,
        serving: bool,
        wait_ms: u64,
        waiting: u32,
        running: u32,
        regime: &'a str,
        capacity: &'a crate::governor::CapacityInfo,
    }
    text(&Capacity {
        at,
        node: &status.node,
        state: &status.state,
        mqtt: &status.mqtt.protocol,
        serving: status.routing.serving,
        wait_ms: coarse(status.routing.wait_ms),
        waiting: status.waiting,
        running: status.running,
        regime: &status.governor.regime,
        capacity: &status.governor.capacity,
    })
}

/// Full steps of 10 ms: what differs by less is no news.
fn coarse(wait_ms: u64) -> u64 {
    wait_ms.div_ceil(10).saturating_mul(10)
}

/// What another box says of how much it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// It takes requests.
    pub serving: bool,
    /// How long a request would wait there.
    pub wait_ms: u64,
    /// It is connected by MQTT 5, so that properties and raw bytes reach it.
    pub five: bool,
}

/// Reads what a box says on its topics `capacity` or `telemetry`; `None` if that is not in it.
pub fn load_report(payload: &[u8]) -> Option<LoadReport> {
    #[derive(serde::Deserialize)]
    struct Load<'a> {
        serving: bool,
        wait_ms: u64,
        #[serde(borrow, default)]
        mqtt: std::borrow::Cow<'a, str>,
    }
    if payload.len() > MOST_LOAD {
        return None;
    }
    let Load { serving, wait_ms, mqtt } = serde_json::from_slice(payload).ok()?;
    Some(LoadReport { serving, wait_ms, five: mqtt == "5" })
}

/// The version of each model that its topic shows: the active one, or else one that is ready, or else the first found.
pub fn shown_models(status: &Status) -> Vec<&ModelStatus> {
    let mut shown: Vec<&ModelStatus> = Vec::with_capacity(status.models.len());
    for model in &status.models {
        match shown.iter_mut().find(|other| other.name == model.name) {
            Some(other) if rank(model) > rank(other) => *other = model,
            Some(_) => {}
            None => shown.push(model),
        }
    }
    shown
}

fn rank(model: &ModelStatus) -> (bool, bool) {
    (model.active, model.state == "ready")
}

/// `<prefix>/<node>/telemetry`, taken at `at` (RFC 3339, UTC).
pub fn telemetry(status: &Status, at: &str) -> String {
    #[derive(Serialize)]
    struct Telemetry<'a> {
        at: &'a str,
        node: &'a str,
        state: &'a str,
        uptime_ms: u64,
        rss_bytes: u64,
        engine_rss_bytes: u64,
        waiting: u32,
        running: u32,
        counters: &'a Counters,
        models: Vec<Model<'a>>,
        regime: &'a str,
        regime_reason: &'a str,
        headroom_c: Option<f64>,
        capacity: &'a crate::governor::CapacityInfo,
        mqtt: &'a str,
        link: Link<'a>,
        serving: bool,
        wait_ms: u64,
        load: f64,
        readings: &'a [ReadingInfo],
    }
    #[derive(Serialize)]
    struct Model<'a> {
        name: &'a str,
        version: &'a str,
        waiting: u32,
        done: u64,
        service_us: u64,
    }
    /// What whoever reads this by the broker cannot know of the way it took.
    #[derive(Serialize)]
    struct Link<'a> {
        broker: &'a str,
        preferred: bool,
        since: &'a str,
        connects: u64,
        last_error: &'a str,
        last_error_at: &'a str,
        keep_alive_s: u32,
        ping_us: Option<u64>,
        tls: Option<&'a crate::dto::MqttTls>,
        certificates: &'a [crate::dto::CertificateStatus],
    }
    let mqtt = &status.mqtt;
    text(&Telemetry {
        at,
        node: &status.node,
        state: &status.state,
        uptime_ms: status.uptime_ms,
        rss_bytes: status.rss_bytes,
        engine_rss_bytes: status.engine.rss_bytes,
        waiting: status.waiting,
        running: status.running,
        counters: &status.counters,
        models: status
            .models
            .iter()
            .map(|m| Model {
                name: &m.name,
                version: &m.version,
                waiting: m.waiting,
                done: m.done,
                service_us: m.service_us,
            })
            .collect(),
        regime: &status.governor.regime,
        regime_reason: &status.governor.reason,
        headroom_c: status.governor.headroom_c,
        capacity: &status.governor.capacity,
        mqtt: &mqtt.protocol,
        link: Link {
            broker: &mqtt.broker,
            preferred: mqtt.is_preferred(),
            since: &mqtt.connected_since,
            connects: mqtt.connects,
            last_error: &mqtt.last_error,
            last_error_at: &mqtt.last_error_at,
            keep_alive_s: mqtt.keep_alive_s,
            ping_us: mqtt.ping_us,
            tls: mqtt.tls.as_ref(),
            certificates: &mqtt.certificates,
        },
        serving: status.routing.serving,
        wait_ms: status.routing.wait_ms,
        load: status.governor.load,
        readings: &status.readings,
    })
}

pub(super) fn text(record: &impl Serialize) -> String {
    // Plain records with text keys: nothing here can fail to serialize.
    serde_json::to_string(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let model = ModelStatus {
            name: "text-line".into(),
            version: "1.0.0".into(),
            state: "ready".into(),
            providers: vec![ProviderInfo { name: "cpu".into(), share: 1.0 }],
            ..ModelStatus::default()
        };
        Status { node: "box".into(), state: "serving".into(), models: vec![model], ..Status::default() }
    }

    #[test]
    fn the_state_does_not_change_with_a_request() {
        let before = status();
        let mut after = before.clone();
        after.counters.done += 1;
        after.uptime_ms += 1000;
        after.rss_bytes += 1;
        after.waiting += 1;
        after.mqtt.received += 1;
        after.models[0].done += 1;
        after.models[0].service_us += 1;
        assert_eq!(state(&before), state(&after));
        assert_eq!(model(&before.models[0]), model(&after.models[0]));
        after.state = "draining".into();
        assert_ne!(state(&before), state(&after));
    }

    #[test]
    fn the_record_of_a_model_names_what_a_sender_needs() {
        let record: serde_json::Value = serde_json::from_str(&model(&status().models[0])).unwrap();
        for key in ["name", "version", "inputs", "outputs", "provider", "state", "content_types"] {
            assert!(record.get(key).is_some(), "{key}");
        }
        assert_eq!(record["provider"], "cpu");
    }

    #[test]
    fn a_ready_version_is_shown_rather_than_a_failed_one() {
        let mut status = status();
        let failed = ModelStatus { version: "2.0.0".into(), state: "failed".into(), ..status.models[0].clone() };
        status.models.insert(0, failed);
        let shown = shown_models(&status);
        assert_eq!((shown.len(), shown[0].version.as_str()), (1, "1.0.0"));
        // The active one is what requests go to, whatever its state.
        status.models[0].active = true;
        assert_eq!(shown_models(&status)[0].version, "2.0.0");
    }

    #[test]
    fn what_a_box_says_of_a_rollout_is_read_by_the_others() {
        let model = FleetModel {
            name: "a".into(),
            version: "1.0.0".into(),
            phase: "failed".into(),
            wave: 2,
            ..FleetModel::default()
        };
        let report = fleet_report("box", "a", fleet(&model).as_bytes()).unwrap();
        assert_eq!((report.node.as_str(), report.version.as_str(), report.wave), ("box", "1.0.0", 2));
        assert!(FleetModel::is_failure(&report.phase));
        assert_eq!(fleet_report("box", "a", b"").unwrap().phase, "");
        assert_eq!(fleet_report("box", "a", b"[1"), None);
        assert_eq!(fleet_report(&"b".repeat(65), "a", b""), None);
        assert_eq!(fleet_report("box", "a", format!("{{\"version\":\"{}\"}}", "1".repeat(65)).as_bytes()), None);
        assert_eq!(fleet_report("box", "a", &vec![b' '; MOST_REPORT + 1]), None);
    }

    #[test]
    fn telemetry_carries_its_time_and_the_counters() {
        let record: serde_json::Value = serde_json::from_str(&telemetry(&status(), "2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(record["at"], "2026-01-01T00:00:00Z");
        assert_eq!(record["counters"]["done"], 0);
    }

    #[test]
    fn telemetry_says_by_which_broker_of_the_list_it_comes() {
        let mut status = status();
        let named = |address: &str| crate::dto::BrokerStatus { address: address.into(), ..Default::default() };
        status.mqtt.brokers = vec![named("a:1883"), named("b:1883")];
        for (broker, preferred) in [("a:1883", true), ("b:1883", false)] {
            status.mqtt.broker = broker.into();
            let record: serde_json::Value = serde_json::from_str(&telemetry(&status, "")).unwrap();
            assert_eq!((&record["link"]["broker"], &record["link"]["preferred"]), (&broker.into(), &preferred.into()));
        }
    }

    #[test]
    fn what_a_box_says_of_its_load_is_read_by_the_others_from_either_topic() {
        let mut status = status();
        status.routing = crate::sites::RoutingStatus { serving: true, wait_ms: 41, ..Default::default() };
        status.mqtt.protocol = "5".into();
        let at = "2026-01-01T00:00:00Z";
        let seen = |wait_ms| Some(LoadReport { serving: true, wait_ms, five: true });
        assert_eq!(load_report(capacity(&status, at).as_bytes()), seen(50));
        assert_eq!(load_report(telemetry(&status, at).as_bytes()), seen(41));
        let before = capacity(&status, at);
        status.routing.wait_ms = 44;
        assert_eq!(capacity(&status, at), before, "what differs by less than 10 ms is no news");
        for none in [&b""[..], b"online", b"{}", b"{\"serving\":1,\"wait_ms\":2}", b"{\"serving\":true,\"wait_ms\":-1}"]
        {
            assert_eq!(load_report(none), None, "{none:?}");
        }
        assert_eq!(load_report(&vec![b' '; MOST_LOAD + 1]), None);
    }
}
