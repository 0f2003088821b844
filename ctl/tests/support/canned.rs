//! Records as a daemon would give them on some box.
#![allow(dead_code, reason = "the tests of the renderers use these records, too, and not all of them")]

use edge_wire::dto::{
    BrokerStatus, CacheEntry, Counters, EngineStatus, HttpStatus, Info, JobStatus, ModelStatus, MqttStatus, MqttTls,
    Platform, Problem, ProviderInfo, ReadingInfo, Status, TensorInfo, Trace, TraceStep,
};
use edge_wire::governor::{
    CapacityInfo, GovernedZone, GovernorPoint, GovernorReport, GovernorStatus, RegimeChange, SlowModel, ThermalModel,
};
use edge_wire::hardware::{
    Accelerator, ClockInfo, Cooler, FanInfo, Hardware, Measured, OverCurrent, PowerMode, RailInfo, Trip, Zone,
};

/// A box in order.
pub fn serving() -> Status {
    Status {
        state: "serving".into(),
        reason: "everything is as it should be".into(),
        version: "0.1.0".into(),
        interface: 1,
        node: "press-7".into(),
        platform: platform(),
        uptime_ms: 11_520_000,
        pid: 812,
        rss_bytes: 14_680_064,
        engine: engine(),
        mqtt: mqtt(),
        http: HttpStatus {
            socket: "/run/edged/api.sock".into(),
            address: "127.0.0.1:9464".into(),
            ..HttpStatus::default()
        },
        models: vec![text_line(), file_type(), speech()],
        counters: Counters {
            arrived: 1402,
            accepted: 1390,
            done: 1377,
            failed: 1,
            refused: 12,
            expired: 9,
            cancelled: 3,
            duplicates: 2,
            ..Counters::default()
        },
        waiting: 1,
        running: 2,
        readings: vec![
            reading("cpu_load_percent", Some(31.25), ""),
            reading("memory_available_bytes", Some(6_871_947_673.0), ""),
            reading("temperature_c", Some(54.5), ""),
            reading("power_milli_w", None, "unsupported"),
        ],
        config_files: vec!["/etc/edged/edged.toml".into(), "/etc/edged/edged.toml.d/10-site.toml".into()],
        ..Status::default()
    }
}

/// The same box without its library, its broker and one good model.
pub fn degraded() -> Status {
    let problem = |subject: &str, what: &str, remedy: &str| Problem {
        subject: subject.into(),
        what: what.into(),
        remedy: remedy.into(),
    };
    let mut status = serving();
    status.state = "degraded".into();
    status.engine = EngineStatus {
        state: "no_library".into(),
        reason: "no libonnxruntime.so in ORT_DYLIB_PATH (unset), /usr/lib/edged/onnxruntime, any Python wheel".into(),
        restarts: 3,
        ..EngineStatus::default()
    };
    status.mqtt.state = "connecting".into();
    status.mqtt.reason = "connection refused (os error 111)".into();
    status.models[0].state = "failed".into();
    status.models[0].reason = "sha256 of text-line.onnx is 5f0c..., the manifest says 91aa...".into();
    status.models[0].providers.clear();
    status.problems = vec![
        problem(
            "library",
            &status.engine.reason,
            "put libonnxruntime.so into /usr/lib/edged/onnxruntime, or set `engine.library` to where it is; restart edged",
        ),
        problem("model text-line:1.0.0", &status.models[0].reason, "put the bundle right and restart"),
        problem(
            "broker",
            "10.0.0.5:1883: connection refused (os error 111)",
            "start the broker, or correct `mqtt.host` and `mqtt.port`; a TLS port needs `mqtt.tls.ca`",
        ),
    ];
    status.reason = format!("library: {}", status.engine.reason);
    status
}

/// `edged --sim`.
pub fn simulated() -> Status {
    let engine = EngineStatus { state: "simulated".into(), providers: vec!["cpu".into()], ..EngineStatus::default() };
    let mqtt = MqttStatus { state: "off".into(), ..MqttStatus::default() };
    let counters = Counters { arrived: 1, accepted: 1, done: 1, ..Counters::default() };
    Status { simulated: true, engine, mqtt, counters, readings: vec![], config_files: vec![], ..serving() }
}

/// What was compiled on it.
pub fn cache() -> Vec<CacheEntry> {
    let entry = |model: &str, provider: &str, bytes: u64, in_use: bool| CacheEntry {
        model: model.into(),
        variant: "fp32".into(),
        provider: provider.into(),
        device: "Orin".into(),
        path: format!("/var/cache/edged/engines/{model}-0a1b"),
        bytes,
        built_at: "2026-11-22T10:00:00.120000Z".into(),
        took_ms: 185_000,
        last_used: "2026-11-24T08:30:01.000000Z".into(),
        in_use,
    };
    let forgotten = CacheEntry {
        built_at: String::new(),
        took_ms: 0,
        last_used: String::new(),
        ..entry("speech", "openvino", 512, false)
    };
    vec![entry("text-line", "tensorrt", 48_211_000, true), entry("file-type", "tensorrt", 1_048_576, false), forgotten]
}

/// A box that compiles: jobs of every state.
pub fn building() -> Status {
    let job = |id: u64, state: &str| JobStatus {
        id,
        operation: "build".into(),
        model: "text-line:1.0.0".into(),
        detail: "fp32 on tensorrt".into(),
        phase: "compiling".into(),
        percent: -1,
        elapsed_ms: 95_000,
        expected_ms: 240_000,
        state: state.into(),
        notes: Vec::new(),
        last_error: String::new(),
    };
    let failed = JobStatus {
        phase: "checking goldens".into(),
        elapsed_ms: 1800,
        last_error: "golden input serial.png: text is `4712`, expected `4711`".into(),
        ..job(6, "failed")
    };
    let nearly =
        JobStatus { operation: "tune".into(), detail: String::new(), percent: 90, expected_ms: 0, ..job(8, "running") };
    Status { jobs: vec![failed, job(7, "running"), nearly], ..serving() }
}

fn platform() -> Platform {
    Platform {
        machine: "NVIDIA Jetson Orin NX Engineering Reference Developer Kit".into(),
        architecture: "aarch64".into(),
        os: "Ubuntu 22.04.5 LTS".into(),
        kernel: "5.15.148-tegra".into(),
        cores: 8,
        memory_bytes: 16_428_634_112,
    }
}

fn engine() -> EngineStatus {
    EngineStatus {
        state: "up".into(),
        library: "/usr/lib/edged/onnxruntime/libonnxruntime.so.1.24.0".into(),
        found_by: "/usr/lib/edged/onnxruntime".into(),
        version: "1.24.0".into(),
        providers: vec!["cuda".into(), "cpu".into()],
        pid: 813,
        restarts: 1,
        rss_bytes: 96_468_992,
        ..EngineStatus::default()
    }
}

fn mqtt() -> MqttStatus {
    MqttStatus {
        state: "connected".into(),
        broker: "10.0.0.5:1883".into(),
        protocol: "5".into(),
        client_id: "edged-press-7-3f2a90bc".into(),
        zone: "premises".into(),
        received: 611,
        replies_waiting: 1,
        connects: 2,
        brokers: ["10.0.0.5:1883", "10.0.8.5:1883"]
            .map(|address| BrokerStatus { address: address.into(), ..BrokerStatus::default() })
            .into(),
        connected_since: "2026-11-28T06:12:40.000311Z".into(),
        last_error: "the broker is shutting down".into(),
        last_error_at: "2026-11-28T06:12:31.204112Z".into(),
        keep_alive_s: 30,
        ping_us: Some(812),
        tls: Some(MqttTls {
            version: "1.3".into(),
            cipher: "TLS13_AES_256_GCM_SHA384".into(),
            pin: "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(),
        }),
        ..MqttStatus::default()
    }
}

fn reading(name: &str, value: Option<f64>, absent: &str) -> ReadingInfo {
    ReadingInfo { name: name.into(), value, absent: absent.into(), age_ms: 430 }
}

fn tensor(name: &str, datatype: &str, shape: &[i64]) -> TensorInfo {
    TensorInfo { name: name.into(), datatype: datatype.into(), shape: shape.to_vec() }
}

fn model(name: &str, task: &str, service_us: u64) -> ModelStatus {
    ModelStatus {
        name: name.into(),
        version: "1.0.0".into(),
        task: task.into(),
        licence: "Apache-2.0".into(),
        state: "ready".into(),
        variant: "fp32".into(),
        providers: vec![ProviderInfo { name: "cpu".into(), share: 1.0 }],
        instances: 2,
        max_batch: 8,
        default_deadline_ms: 5000,
        goldens_passed: 2,
        load_ms: 310,
        service_us,
        path: format!("/var/lib/edged/bundles/{name}"),
        ..ModelStatus::default()
    }
}

fn text_line() -> ModelStatus {
    ModelStatus {
        description: "Reads one line of printed text".into(),
        providers: vec![
            ProviderInfo { name: "cuda".into(), share: 0.973 },
            ProviderInfo { name: "cpu".into(), share: 0.027 },
        ],
        inputs: vec![tensor("x", "FP32", &[-1, 3, 48, -1])],
        outputs: vec![tensor("softmax_2.tmp_0", "FP32", &[-1, -1, 6625])],
        content_types: vec!["image/jpeg".into(), "image/png".into()],
        waiting: 1,
        done: 742,
        ..model("text-line", "text-recognition", 8149)
    }
}

fn file_type() -> ModelStatus {
    ModelStatus {
        description: "Tells what a file is by its bytes".into(),
        inputs: vec![tensor("bytes", "INT32", &[-1, 2048])],
        outputs: vec![tensor("target_label", "FP32", &[-1, 214])],
        content_types: vec!["application/octet-stream".into()],
        done: 635,
        ..model("file-type", "file-type", 912)
    }
}

fn speech() -> ModelStatus {
    ModelStatus {
        description: "Finds the parts of a sound in which somebody speaks".into(),
        content_types: vec!["audio/wav".into()],
        ..model("speech", "speech-segments", 0)
    }
}

/// What comes with a reply.
pub fn info() -> Info {
    Info {
        version: "1.0.0".into(),
        variant: "fp32".into(),
        verdict: "local".into(),
        reason: "feasible".into(),
        site: "press-7".into(),
        zone: "device".into(),
        data_class: "regulated".into(),
        provider: "cuda".into(),
        received_at: "2026-11-22T10:00:00.120Z".into(),
        completed_at: "2026-11-22T10:00:00.131Z".into(),
        queue_us: 1204,
        compute_us: 8149,
        total_us: 10_922,
        batch: 1,
        ..Info::default()
    }
}

/// The document of each model's task.
pub fn document(model: &str) -> String {
    match model {
        "text-line" => r#"{"text": "LOT 4711\u001b[2J", "confidence": 0.9934}"#,
        "file-type" => r#"{"label": "pdf", "mime_type": "application/pdf", "group": "document", "description": "PDF document",
            "extensions": ["pdf"], "is_text": false, "score": 0.9731, "model_label": "pdf", "overwrite_reason": "none"}"#,
        "text-boxes" => {
            r#"{"width": 64, "height": 48, "boxes": [{"polygon": [[8, 4], [55, 6], [54, 20], [7, 18]], "score": 0.873},
            {"polygon": [[8, 30], [30, 30], [30, 40], [8, 40]], "score": 0.506}]}"#
        }
        "text-direction" => {
            r#"{"label": "0", "score": 0.973, "labels": [{"label": "0", "score": 0.973}, {"label": "180", "score": 0.027}]}"#
        }
        "speech" => {
            r#"{"segments": [{"start_ms": 320, "end_ms": 1500, "start_sample": 5120, "end_sample": 24000},
            {"start_ms": 2010, "end_ms": 12004, "start_sample": 32160, "end_sample": 192064}],
            "speech_ms": 11174, "duration_ms": 12500, "sample_rate": 16000}"#
        }
        "away" => {
            r#"{"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Press 7 is well.\nIt needs oil."}}], "usage": {"prompt_tokens": 12}}"#
        }
        _ => r#"{"embedding": [0.5, -0.25]}"#,
    }
    .into()
}

/// Two requests that the daemon remembers.
pub fn traces() -> Vec<Trace> {
    let step = |at_us, step: &str, detail: &str| TraceStep { at_us, step: step.into(), detail: detail.into() };
    let done = Trace {
        request_id: "line-3".into(),
        caller: "mqtt edge/press-7/result/text-line".into(),
        model: "text-line:1.0.0".into(),
        outcome: "done".into(),
        received_at: "2026-11-22T10:00:00.120Z".into(),
        steps: vec![
            step(0, "received", "48211 bytes"),
            step(38, "accepted", "local: feasible, predicted 9.9 ms, deadline 200 ms, class regulated"),
            step(61, "preparing", "decoding in the engine host"),
            step(1190, "prepared", "decoded in 1.08 ms, cost 1"),
            step(1242, "running", "session 1 of 2, batch of 1"),
            step(9391, "ran", "model took 8.15 ms"),
            step(9420, "settled", "done"),
            step(10_922, "replied", "to edge/press-7/result/text-line, PUBACK after 1.5 ms"),
        ],
        info: Some(Info { request_id: "line-3".into(), model: "text-line".into(), ..info() }),
        ..Trace::default()
    };
    let refused = Trace {
        request_id: "line-4".into(),
        caller: "bus :1.42 (uid 1000)".into(),
        model: "text-line".into(),
        outcome: "refused".into(),
        code: "overloaded".into(),
        message: "all places for waiting requests are taken (policy.max_waiting)".into(),
        received_at: "2026-11-22T10:00:01.007Z".into(),
        steps: vec![step(0, "received", "48211 bytes"), step(12, "refused", "overloaded: queue_full")],
        info: Some(Info {
            request_id: "line-4".into(),
            model: "text-line".into(),
            verdict: "refuse".into(),
            reason: "queue_full".into(),
            received_at: "2026-11-22T10:00:01.007Z".into(),
            completed_at: "2026-11-22T10:00:01.007Z".into(),
            total_us: 12,
            ..Info::default()
        }),
    };
    vec![done, refused]
}

/// A large Jetson in a warm cabinet.
pub fn hot() -> Status {
    let mut status = serving();
    status.platform.machine = "NVIDIA Jetson AGX Orin Developer Kit".into();
    status.readings = vec![
        reading("cpu_load_percent", Some(31.25), ""),
        reading("memory_available_bytes", Some(6_871_947_673.0), ""),
        reading("memory_total_bytes", Some(16_428_634_112.0), ""),
        reading("temperature_c.tj", Some(91.2), ""),
        reading("power_w.VDD_GPU_SOC", Some(14.7), ""),
        reading("state_free_bytes", Some(41_000_000_000.0), ""),
    ];
    status.waiting = 12;
    status.hardware = agx_orin();
    status.governor = throttled();
    status
}

/// A PC on which nothing can be read.
pub fn bare() -> Status {
    let mut status = serving();
    status.platform.machine = "Virtual Machine".into();
    status.platform.architecture = "x86_64".into();
    status.readings = vec![
        reading("cpu_load_percent", Some(31.25), ""),
        reading("memory_available_bytes", Some(6_871_947_673.0), ""),
        reading("temperature_c", None, "unsupported"),
        reading("power_w", None, "unsupported"),
    ];
    let capacity =
        CapacityInfo { lanes: 2, lanes_max: 2, batch: 8, batch_max: 8, duty: 1.0, ..CapacityInfo::default() };
    status.governor = GovernorStatus {
        regime: "nominal".into(),
        reason: "no thermometer with a trip here; the speed of the models is watched instead".into(),
        since_ms: 11_500_000,
        capacity,
        load: 0.41,
        input: "duty".into(),
        input_now: 0.41,
        ..GovernorStatus::default()
    };
    status
}

fn agx_orin() -> Hardware {
    let trip = |kind: &str, temp_c| Trip { kind: kind.into(), temp_c, hysteresis_c: 2.0 };
    let zone = |name: &str, temp_c: f64| Zone {
        name: name.into(),
        temp_c: Measured::of(temp_c),
        trips: vec![trip("passive", 99.0), trip("critical", 104.5)],
    };
    let off = |name: &str| Zone { temp_c: Measured::absent("failed: the unit is off"), ..zone(name, 0.0) };
    let board = |name: &str, temp_c| Zone { trips: vec![], ..zone(name, temp_c) };
    let clock = |name: &str, hz: f64, max_hz: f64, top_hz: f64| ClockInfo {
        name: name.into(),
        hz: Measured::of(hz),
        min_hz: 115_200_000.0,
        max_hz,
        top_hz,
    };
    let rail = |name: &str, volts: f64, amperes: f64| RailInfo {
        name: name.into(),
        power_w: Measured::of(volts * amperes),
        volts: Measured::of(volts),
        amperes: Measured::of(amperes),
        warn_amperes: 4.0,
        alarm: false,
    };
    let cooler = |name: &str, kind: &str, state: f64, max_state| Cooler {
        name: name.into(),
        kind: kind.into(),
        state: Measured::of(state),
        max_state,
    };
    Hardware {
        software: "L4T 36.4.3".into(),
        age_ms: 400,
        zones: vec![
            zone("cpu", 88.4),
            zone("gpu", 90.7),
            off("cv0"),
            off("cv1"),
            off("cv2"),
            zone("soc0", 85.1),
            zone("soc1", 84.2),
            zone("soc2", 83.9),
            zone("tj", 91.2),
            board("tboard", 61.5),
            board("tdiode", 66.25),
        ],
        coolers: vec![cooler("pwm-fan", "fan", 3.0, 3), cooler("cpu-throttle-alert", "throttle", 0.0, 1)],
        clocks: vec![
            clock("cpu0", 1_728_000_000.0, 1_728_000_000.0, 2_201_600_000.0),
            clock("cpu4", 1_420_800_000.0, 1_728_000_000.0, 2_201_600_000.0),
            clock("gpu", 612_000_000.0, 828_750_000.0, 1_301_000_000.0),
            clock("emc", 3_199_000_000.0, 3_199_000_000.0, 3_199_000_000.0),
        ],
        rails: vec![rail("VDD_GPU_SOC", 19.1, 0.77), rail("VDD_CPU_CV", 19.1, 0.31), rail("VIN_SYS_5V0", 5.04, 1.12)],
        over_current: vec![OverCurrent { name: "oc3".into(), events: Measured::of(2.0) }],
        fans: vec![FanInfo { name: "pwmfan".into(), percent: Measured::of(100.0), rpm: Measured::of(3120.0) }],
        accelerators: vec![Accelerator {
            kind: "gpu".into(),
            name: "Orin (nvgpu)".into(),
            driver: "540.4.0".into(),
            told_by: "sysfs".into(),
            load_percent: Measured::of(87.0),
            power_w: Measured::absent("unsupported"),
            memory_free_bytes: Measured::absent("unsupported"),
            ..Accelerator::default()
        }],
        power_mode: "30W".into(),
        power_modes: ["MAXN", "15W", "30W", "50W"]
            .into_iter()
            .zip(0..)
            .map(|(name, id)| PowerMode { id, name: name.into() })
            .collect(),
        ..Hardware::default()
    }
}

fn throttled() -> GovernorStatus {
    let zone = |name: &str, temp_c: f64, steady_c: f64, trip_in_s| GovernedZone {
        name: name.into(),
        temp_c,
        trip_c: 99.0,
        reset_c: 92.0,
        target_c: 94.0,
        ahead_c: Some(temp_c + 1.9),
        steady_c: Some(steady_c),
        trip_in_s,
        model: ThermalModel {
            trusted: true,
            time_constant_s: 83.0,
            gain_c: 2.41,
            rest_c: 38.5,
            error_c: Some(0.7),
            seen_s: 8120.0,
        },
        ..GovernedZone::default()
    };
    let young = GovernedZone {
        doubt: "its reading is 12 s old".into(),
        ahead_c: None,
        steady_c: None,
        model: ThermalModel::default(),
        ..zone("soc0", 85.1, 0.0, None)
    };
    GovernorStatus {
        regime: "throttled".into(),
        reason: "tj will be at 99.0 C in 4 min, where the machine slows down".into(),
        since_ms: 185_000,
        headroom_c: Some(7.8),
        tightest: "tj".into(),
        capacity: CapacityInfo {
            lanes: 1,
            lanes_max: 2,
            batch: 4,
            batch_max: 8,
            duty: 0.62,
            sustainable: Some(0.55),
            held: String::new(),
        },
        load: 0.6,
        input: "power".into(),
        input_from: "VDD_IN".into(),
        input_now: 26.3,
        zones: vec![
            zone("cpu", 88.4, 93.5, None),
            zone("gpu", 90.7, 99.6, Some(412.0)),
            zone("tj", 91.2, 101.3, Some(250.0)),
            young,
        ],
        slow: vec![SlowModel {
            model: "text-line:1.0.0".into(),
            factor: 1.8,
            cause: "the gpu runs at 612 MHz, the plan was measured at 1301 MHz".into(),
        }],
    }
}

/// The last hour of that box: it warms up, is throttled twice and settles.
pub fn report(now: GovernorStatus) -> GovernorReport {
    let point = |step: u64| {
        let minute = 60.0 - f64::from(u32::try_from(step).unwrap()) / 6.0;
        let is_throttled = (23.0..=31.0).contains(&minute) || minute >= 57.0;
        let warm = 61.0 + 32.0 * (1.0 - (-minute / 12.0).exp()) - if is_throttled { 1.5 } else { 0.0 };
        GovernorPoint {
            ago_ms: step * 10_000,
            regime: if is_throttled { "t" } else { "n" }.into(),
            temp_c: Some(warm),
            trip_c: Some(99.0),
            duty: if is_throttled { 0.62 } else { 1.0 },
            load: if is_throttled { 0.6 } else { 0.87 },
            power_w: Some(26.3),
            done_per_s: if is_throttled { 31.0 } else { 52.0 },
            refused_per_s: 0.0,
            waiting: 3,
        }
    };
    let change = |ago_ms, from: &str, to: &str, reason: &str| RegimeChange {
        ago_ms,
        from: from.into(),
        to: to.into(),
        reason: reason.into(),
    };
    GovernorReport {
        node: "press-7".into(),
        simulated: false,
        history: (0..360).rev().map(point).collect(),
        changes: vec![
            change(2_220_000, "nominal", "throttled", "tj will be at 99.0 C in 3 min, where the machine slows down"),
            change(1_740_000, "throttled", "nominal", "tj was below 92.0 C for 60 s"),
            change(now.since_ms, "nominal", &now.regime.clone(), &now.reason.clone()),
        ],
        now,
    }
}
