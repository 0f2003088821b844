//! Every metric, once: its name, kind, labels and meaning. What is written to a scrape and the table of `docs/metrics.md` both come of
//! this, so that neither can say what the other does not.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows, until the daemon starts again.
    Counter,
    /// As it is now.
    Gauge,
    /// Counts by duration.
    Histogram,
    /// Always 1; what is told is in the labels.
    Info,
}

impl Kind {
    /// The word of the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// As its samples are named, less the endings of a histogram.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Family {
    /// Its name without the ending that its kind gives it.
    pub fn stem(&self) -> &'static str {
        let ending = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(ending).unwrap_or(self.name)
    }
}

/// Those of one part of the box.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub title: &'static str,
    pub families: &'static [Family],
}

macro_rules! table {
    ($($part:ident $title:literal { $($name:ident = $kind:ident $metric:literal [$($label:literal),*] $help:literal;)+ })+) => {
        $($(
            #[doc = $help]
            pub const $name: Family =
                Family { name: $metric, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+
        const $part: Part = Part { title: $title, families: &[$($name),+] };)+
        /// The parts, in the order of the page.
        pub const PARTS: &[Part] = &[$($part),+];
    };
}

table! {
    DAEMON "The daemon" {
        BUILD = Info "edged_build_info" ["version", "node", "machine", "architecture", "simulated"] "What runs where; `simulated` is `machine`, `engine` or empty";
        STATE = Gauge "edged_state" ["state"] "1 for the state that the daemon is in: starting, serving, degraded, draining, drained";
        READY = Gauge "edged_ready" [] "1 while the box runs requests: it is not starting, draining, held, or too hot";
        UPTIME = Gauge "edged_uptime_seconds" [] "Time since the daemon started";
        PROBLEMS = Gauge "edged_problems" ["subject"] "Problems that `edgectl status` shows with their remedies, by the first word of their subject";
        CONFIG_PENDING = Gauge "edged_config_pending" [] "Keys of the configuration that were changed and hold from the next start only";
        RESIDENT = Gauge "edged_resident_bytes" ["process"] "Resident memory of the daemon, and of its first engine host as `engine`";
        LOOP_WAIT = Gauge "edged_loop_wait_seconds" [] "How long the loop had other things to do when it was asked for this scrape";
        LOOP_SCRAPE = Gauge "edged_loop_scrape_seconds" [] "How long the loop was busy with this scrape";
        HTTP_CONNECTIONS = Gauge "edged_http_connections" [] "Connections of local HTTP that are open";
        HTTP_TURNED_AWAY = Counter "edged_http_turned_away_total" ["why"] "Connections that found no place: `all` are taken, or the `caller` has its share";
        HTTP_ANSWERS = Counter "edged_http_answers_total" ["route", "status"] "Answers by path and status; a path that does not exist is `other`";
    }
    REQUESTS "Requests" {
        ENDED = Counter "edged_requests_total" ["model", "transport", "verdict", "outcome", "code"] "Requests that were settled, by where they came in (`bus`, `broker`), what was decided, how it ended, and the error code of those without a result; without a model if there is none of the name";
        REFUSED = Counter "edged_refusals_total" ["reason"] "Requests that were refused, by reason";
        ARRIVED = Counter "edged_requests_arrived_total" [] "Requests that came in";
        DUPLICATES = Counter "edged_requests_duplicate_total" [] "Requests that were answered from a stored reply";
        DEFERRED = Counter "edged_requests_deferred_total" [] "Times that a request was put on the disk for later";
        SPILLED = Counter "edged_requests_spilled_total" [] "Requests that other sites answered";
        WAITING = Gauge "edged_requests_waiting" ["model"] "Requests that wait for the model";
        RUNNING = Gauge "edged_requests_running" [] "Requests that run on this box";
        AWAY = Gauge "edged_requests_away" [] "Requests that other sites are at";
        ON_DISK = Gauge "edged_requests_on_disk" [] "Requests that wait on the disk";
        PREDICTED_WAIT = Gauge "edged_predicted_wait_seconds" [] "How long a request that came now would wait behind all that waits and runs";
        TOTAL = Histogram "edged_request_seconds" ["model"] "From receipt to reply, of requests with a result";
        QUEUE = Histogram "edged_request_queue_seconds" ["model"] "From acceptance to the start of the model, decoding included, of requests that this box answered";
        COMPUTE = Histogram "edged_request_compute_seconds" ["model"] "In the model, of requests that this box answered";
        TOKENS = Counter "edged_tokens_total" ["model", "direction"] "Tokens of prompts (`input`) and answers (`output`), where they are told";
        SENT = Counter "edged_sent_bytes_total" ["model"] "Bytes of requests that were sent to other sites";
        COST = Counter "edged_cost_usd_total" ["model"] "What other sites asked for settled requests, US dollars";
        REQUEST_ENERGY = Counter "edged_request_energy_joules_total" ["model"] "Energy that the box took while settled requests ran in the model; only where a power rail is read";
    }
    MODELS "Models and engine hosts" {
        MODEL = Info "edged_model_info" ["model", "version", "variant", "provider", "state"] "Active versions, with the variant and the first provider that really run them";
        MODEL_READY = Gauge "edged_model_ready" ["model", "version"] "1 if the active version is ready, or is loaded by the next request";
        MODEL_SERVICE = Gauge "edged_model_service_seconds" ["model", "version"] "Learnt time of one request in the model; absent before it ran";
        MODEL_MEMORY = Gauge "edged_model_memory_bytes" ["model", "version", "provider", "variant"] "Memory that a loaded setup took when it was last loaded";
        MODEL_SLOW = Gauge "edged_model_slow_ratio" ["model"] "How many times as long as planned it takes, for `NAME:VERSION` that are slow without heat";
        ENGINE_UP = Gauge "edged_engine_up" ["provider"] "1 if the engine host of the provider is up, or simulated; absent while nobody needs it";
        ENGINE_RESTARTS = Counter "edged_engine_restarts_total" ["provider"] "Times that the engine host was started again";
    }
    HEAT "Heat and capacity" {
        REGIME = Gauge "edged_regime" ["regime"] "1 for the regime that the governor is in: boot, nominal, throttled, critical, slow, blind";
        HEADROOM = Gauge "edged_headroom_celsius" [] "Distance to the nearest trip point, kelvin";
        GOVERNED = Gauge "edged_governed_celsius" ["zone"] "Temperature that the governor goes by: the reading without its noise, or what must be assumed without one";
        TRIP = Gauge "edged_trip_celsius" ["zone"] "Temperature at which the machine slows itself down";
        TARGET = Gauge "edged_target_celsius" ["zone"] "What the governor aims below";
        AHEAD = Gauge "edged_predicted_celsius" ["zone"] "Temperature in 60 s at the present load";
        TRIP_IN = Gauge "edged_trip_in_seconds" ["zone"] "Time until the trip point at the present load; absent if it is never reached";
        LANES = Gauge "edged_capacity_lanes" [] "Lanes that may run at the same time";
        LANES_MAX = Gauge "edged_capacity_lanes_max" [] "Lanes that the policy would allow";
        BATCH = Gauge "edged_capacity_batch" [] "Largest batch";
        BATCH_MAX = Gauge "edged_capacity_batch_max" [] "Largest batch that the policy would allow";
        DUTY = Gauge "edged_capacity_duty_ratio" [] "Share of the lanes' time that may be used";
        SUSTAINABLE = Gauge "edged_capacity_sustainable_ratio" [] "Share that could be used for ever under present conditions";
        LOAD = Gauge "edged_lanes_load_ratio" [] "Share of the lanes' time that was used over the last ten seconds";
        HELD = Gauge "edged_held" [] "1 while somebody holds the device";
    }
    MACHINE "The machine" {
        SENSORS_AGE = Gauge "edged_sensors_age_seconds" [] "How old the readings below are";
        TEMPERATURE = Gauge "edged_temperature_celsius" ["zone"] "Temperature of a thermal zone, or of an accelerator";
        COOLER = Gauge "edged_cooler_ratio" ["cooler", "kind"] "How far a cooling device is on; of the kind `throttle` it slows the machine down";
        FAN = Gauge "edged_fan_ratio" ["fan"] "How far a fan is driven";
        FAN_RPM = Gauge "edged_fan_rpm" ["fan"] "Turns per minute of a fan";
        CLOCK = Gauge "edged_clock_hertz" ["clock"] "What a clock runs at";
        CLOCK_MAX = Gauge "edged_clock_max_hertz" ["clock"] "What it may go up to now";
        POWER = Gauge "edged_power_watts" ["rail"] "Power of a rail";
        RAIL_ALARM = Gauge "edged_rail_alarm" ["rail"] "1 while the alarm of a rail is on";
        ENERGY = Counter "edged_energy_joules_total" ["rail"] "Energy of the whole box, by the rail that stands for it, since the daemon started";
        OVER_CURRENT = Counter "edged_over_current_events_total" ["counter"] "Over-current events since the daemon first looked after the machine had started";
        ACCELERATOR_LOAD = Gauge "edged_accelerator_load_ratio" ["accelerator", "kind"] "Share of time that an accelerator was busy";
        ACCELERATOR_POWER = Gauge "edged_accelerator_power_watts" ["accelerator", "kind"] "Power of an accelerator";
        ACCELERATOR_FREE = Gauge "edged_accelerator_memory_free_bytes" ["accelerator", "kind"] "Memory of its own that an accelerator has free";
        CPU_LOAD = Gauge "edged_cpu_load_ratio" [] "Share of time that the processors were busy";
        MEMORY = Gauge "edged_memory_bytes" [] "Memory in all";
        MEMORY_AVAILABLE = Gauge "edged_memory_available_bytes" [] "Memory that programs may still take";
        STATE_FREE = Gauge "edged_state_free_bytes" [] "Room on the disk of the state directory";
        POWER_MODE = Info "edged_power_mode_info" ["mode"] "The present power mode";
    }
    BROKER "Broker, outbox and bindings" {
        CONNECTED = Gauge "edged_broker_connected" [] "1 while there is a connection to a broker; absent without [mqtt]";
        PREFERRED = Gauge "edged_broker_preferred" [] "1 if it is the first broker of the list, 0 on a fallback";
        CONNECTS = Counter "edged_broker_connects_total" [] "Connections that were made; each after the first is a reconnection";
        PING = Gauge "edged_broker_ping_seconds" [] "Round trip of the last ping";
        RECEIVED = Counter "edged_broker_requests_total" [] "Requests that came by the broker";
        REPLIES_WAITING = Gauge "edged_replies_waiting" [] "Replies that wait for the broker";
        REPLIES_LOST = Counter "edged_replies_lost_total" ["why"] "Replies that found no room (`dropped`), or that the broker did not take (`refused`)";
        JOURNALED = Gauge "edged_journal_requests" [] "Requests in the journal";
        UNJOURNALED = Counter "edged_journal_full_total" [] "Requests that the journal had no room for, so that they were acknowledged only when answered";
        CERTIFICATE = Gauge "edged_certificate_end_timestamp_seconds" ["of"] "When the certificate ends that does so first, by whose it is, in seconds since 1970";
        OUTBOX = Gauge "edged_outbox_messages" [] "Results and events that wait for the broker";
        OUTBOX_BYTES = Gauge "edged_outbox_bytes" [] "Bytes of them";
        OUTBOX_DISK = Gauge "edged_outbox_on_disk" [] "Those of them that are on the disk";
        OUTBOX_SENT = Counter "edged_outbox_sent_total" [] "Results and events that the broker took";
        OUTBOX_LATE = Counter "edged_outbox_late_total" [] "Of these, those that were sent more than two seconds after they were made";
        OUTBOX_REPLACED = Counter "edged_outbox_replaced_total" [] "Not sent, as a newer one of the same topic came first";
        OUTBOX_LOST = Counter "edged_outbox_lost_total" ["why"] "Given up: `dropped` as it was full, `expired` as too old, `refused` by the broker, `unreadable` on the disk, `unsent` as of QoS 0 without a broker";
        FRAMES = Counter "edged_binding_frames_total" ["binding", "fate"] "Frames of a binding: all that were `received`, those of them that a model was asked about (`submitted`), and what became of the others and of those; one frame counts under each that is true of it";
        FRAMES_WAITING = Gauge "edged_binding_waiting" ["binding"] "Frames that wait for their turn";
        FRAMES_OPEN = Gauge "edged_binding_open" ["binding"] "Frames that are with the model";
        SOURCES = Gauge "edged_binding_sources" ["binding"] "Sources that are known";
        FRAME_AGE = Gauge "edged_binding_last_frame_seconds" ["binding"] "From receipt to answer of the last frame that was answered";
        FRAME_AT = Gauge "edged_binding_last_answer_timestamp_seconds" ["binding"] "When the last frame was answered, in seconds since 1970";
        BINDING_BROKEN = Gauge "edged_binding_broken" ["binding"] "1 while something is wrong with its source";
        EDGE_NODE = Gauge "edged_sparkplug_born" [] "1 while the edge node for SCADA hosts is born; absent without [sparkplug]";
        HISTORY = Gauge "edged_sparkplug_history_waiting" [] "Results that are kept for the SCADA host";
        HISTORY_LOST = Counter "edged_sparkplug_history_lost_total" [] "Kept results that were not told";
    }
    SITES "Other sites" {
        SITE = Gauge "edged_site_state" ["site", "state"] "1 for the state of the site's breaker: passing, tripped, probing, off";
        SITE_P50 = Gauge "edged_site_p50_seconds" ["site"] "Time until half of its answers are here, as the router believes";
        SITE_P95 = Gauge "edged_site_p95_seconds" ["site"] "Time until 95 in a hundred are here";
        SITE_ERRORS = Gauge "edged_site_error_ratio" ["site"] "Share of attempts that fail";
        SITE_OPEN = Gauge "edged_site_open" ["site"] "Requests that are open there";
        SITE_MOST = Gauge "edged_site_open_max" ["site"] "Most that may be";
        SITE_WAITING = Gauge "edged_site_waiting" ["site"] "Requests that wait here for a place there";
        SITE_ATTEMPTS = Counter "edged_site_attempts_total" ["site", "outcome"] "Attempts with an answer (`done`) and without (`failed`)";
        SITE_SPENT = Gauge "edged_site_spent_today_usd" ["site"] "Spent there since midnight (UTC), with what open requests are expected to cost, US dollars";
        SITE_BUDGET = Gauge "edged_site_budget_usd" ["site"] "What may be spent there in a day; absent without a limit";
        SITE_LEFT = Gauge "edged_site_budget_left_usd" ["site"] "What is left of that today";
        FALLBACKS = Counter "edged_fallbacks_total" ["failure", "step"] "What was tried when something did not serve";
    }
}

/// All of them, in the order of the page.
pub fn families() -> impl Iterator<Item = &'static Family> {
    PARTS.iter().flat_map(|part| part.families)
}

/// The table of the page, in Markdown.
pub fn page() -> String {
    let mut page = String::new();
    for part in PARTS {
        page.push_str(&format!("### {}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n", part.title));
        for family in part.families {
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let Family { name, kind, help, .. } = family;
            page.push_str(&format!("| `{name}` | {} | {} | {help} |\n", kind.as_str(), labels.join(", ")));
        }
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_say_what_they_count_in_base_units_and_stand_once() {
        let names: BTreeSet<&str> = families().map(|family| family.name).collect();
        assert_eq!(names.len(), families().count());
        for Family { name, kind, labels, help } in families() {
            assert!(name.starts_with("edged_"), "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), *kind == Kind::Info, "{name}");
            assert!(
                !name.split('_').any(|word| ["ms", "us", "percent", "milli", "kib", "mib"].contains(&word)),
                "{name}"
            );
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains(['\n', '|', '\\']), "{name}");
            // `le` and `quantile` are the format's own.
            assert!(labels.iter().all(|label| !["le", "quantile", "job", "instance"].contains(label)), "{name}");
        }
    }
}
