//! Proxies of every D-Bus interface, for the command, for tests and for other people's programs.
//!
//! The macros take literals only, so the names of [`crate::names`] stand here once more; a test compares them.

mod job;

use std::collections::HashMap;

use zbus::{Fd, OwnedFd, OwnedObjectPath, OwnedVariant, Variant, proxy};

pub use self::job::{Completed as JobCompleted, JobProxy};
use crate::dict::{InfoDict, PlatformDict};
use crate::tensor::{FdTensor, Tensor};

/// Options of a request (`deadline_ms`, `data_class`, `priority`, `request_id` ...) or of a command; integers in any D-Bus integer type.
pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// The daemon itself. Reads are open; the rest asks polkit about the caller. None of its calls starts a daemon that was
/// stopped on purpose; inference does.
#[proxy(interface = "org.edged.Edge1.Manager", default_service = "org.edged.Edge1", default_path = "/org/edged/Edge1")]
pub trait Manager {
    /// Takes nothing new and finishes what was accepted; returns at once, `State` tells when it is done.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn drain(&self) -> zbus::Result<()>;

    /// Takes requests again.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn resume(&self) -> zbus::Result<()>;

    /// Reserves the device: nothing is run on it until the descriptor that this gives is closed. `why` is shown to whoever
    /// wonders.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn hold(&self, why: &str) -> zbus::Result<OwnedFd>;

    /// Reads the policy part of the configuration again; `invalid_input` with every fault if there is one.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn reload(&self) -> zbus::Result<()>;

    /// The [`Status`](crate::dto::Status) record as JSON.
    #[zbus(no_autostart)]
    fn describe(&self) -> zbus::Result<String>;

    /// The [`Trace`](crate::dto::Trace) of a request as JSON; `invalid_input` if nothing is known of it.
    #[zbus(no_autostart)]
    fn trace(&self, request_id: &str) -> zbus::Result<String>;

    /// Package version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// Version of the bus interfaces.
    #[zbus(property(emits_changed_signal = "const"))]
    fn interface_version(&self) -> zbus::Result<u32>;

    /// What machine this is.
    #[zbus(property(emits_changed_signal = "const"))]
    fn platform(&self) -> zbus::Result<PlatformDict<'static>>;

    /// `starting`, `serving`, `degraded`, `draining` or `drained`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Why, in one line.
    #[zbus(property)]
    fn reason(&self) -> zbus::Result<String>;
}

/// Inference. For root, the bus's owner on a session bus, and members of the group `edge` on the system bus.
#[proxy(
    interface = "org.edged.Edge1.Inference",
    default_service = "org.edged.Edge1",
    default_path = "/org/edged/Edge1"
)]
pub trait Inference {
    /// Small tensors, bytes in the message.
    fn infer(
        &self,
        model: &str,
        inputs: &[Tensor],
        options: &Options<'_>,
    ) -> zbus::Result<(Vec<Tensor>, InfoDict<'static>)>;

    /// Tensors in sealed memfds; each output is a fresh one.
    fn infer_fd(
        &self,
        model: &str,
        inputs: &[FdTensor],
        options: &Options<'_>,
    ) -> zbus::Result<(Vec<FdTensor>, InfoDict<'static>)>;

    /// An image, a sound, a text; answers with the JSON document of the bundle's task.
    fn infer_encoded(
        &self,
        model: &str,
        content_type: &str,
        payload: Fd<'_>,
        options: &Options<'_>,
    ) -> zbus::Result<(String, InfoDict<'static>)>;

    /// The same without waiting: the path of a `Request` object, which signals its end.
    fn submit(
        &self,
        model: &str,
        content_type: &str,
        payload: Fd<'_>,
        options: &Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;

    /// A chat, piece by piece: a pipe with one JSON document a line.
    fn generate(&self, model: &str, request: &str, options: &Options<'_>) -> zbus::Result<OwnedFd>;

    /// Gives up a request of this caller by its own id.
    fn cancel(&self, request_id: &str) -> zbus::Result<()>;

    /// A private peer connection without the bus in between; closing it is leaving.
    fn connect(&self, options: &Options<'_>) -> zbus::Result<OwnedFd>;
}

/// The set of models.
#[proxy(interface = "org.edged.Edge1.Models", default_service = "org.edged.Edge1", default_path = "/org/edged/Edge1")]
pub trait Models {
    /// The object of every model.
    fn list(&self) -> zbus::Result<Vec<OwnedObjectPath>>;

    /// Puts the bundle of a .edgemodel file into the store, and activates it: always with the option `activate`, by default if
    /// the box has no other version of the model; the job.
    #[zbus(allow_interactive_auth)]
    fn install(&self, bundle: Fd<'_>, options: &Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Fetches the bundle at an address and puts it into the store, and with `activate` makes it the active version; the job.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn pull(&self, url: &str, options: &Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Has the lists of what the box is to have read anew, and begins what they say; `looks` of the status has reached the number
    /// when they were read.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn sync(&self, options: &Options<'_>) -> zbus::Result<u64>;

    /// Who did what with models, as a JSON list of [`HistoryEntry`](crate::history::HistoryEntry), the oldest first.
    #[zbus(no_autostart)]
    fn history(&self) -> zbus::Result<String>;

    /// What providers compiled, as a JSON list of [`CacheEntry`](crate::dto::CacheEntry).
    #[zbus(no_autostart)]
    fn cache(&self) -> zbus::Result<String>;

    /// Writes plans and compiled engines of these models, or of all, into a file; the job.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn export_cache(&self, models: &[&str], to: Fd<'_>, options: &Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Takes over the plans and compiled engines that another box exported, as far as they are for this one; the job.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn import_cache(&self, from: Fd<'_>, options: &Options<'_>) -> zbus::Result<OwnedObjectPath>;

    /// Removes what is kept of the model that the option `model` names, or all; not what is in use. How many entries, and
    /// their bytes.
    #[zbus(allow_interactive_auth, no_autostart)]
    fn clear_cache(&self, options: &Options<'_>) -> zbus::Result<(u32, u64)>;
}

/// One version of one model.
#[proxy(interface = "org.edged.Edge1.Model", default_service = "org.edged.Edge1", assume_defaults = false)]
pub trait Model {
    /// Has it loaded, also where that failed before; returns at once, and its state and reason say what comes of it.
    #[zbus(allow_interactive_auth)]
    fn load(&self, options: &Options<'_>) -> zbus::Result<()>;

    /// Unloads it; what waits for it is shed.
    #[zbus(allow_interactive_auth)]
    fn unload(&self, options: &Options<'_>) -> zbus::Result<()>;

    /// Measures it on this box, as soon as nobody asks for anything, and serves it by what comes of that; the job.
    #[zbus(allow_interactive_auth)]
    fn tune(&self, options: &Options<'_>) -> zbus::Result<zbus::OwnedObjectPath>;

    /// Makes it the active version, with `pause` also if what serves has to be let go first, with `force` also if it was taken
    /// back before; the job.
    #[zbus(allow_interactive_auth)]
    fn activate(&self, options: &Options<'_>) -> zbus::Result<zbus::OwnedObjectPath>;

    /// Takes the version back that was active before the one that is; the job.
    #[zbus(allow_interactive_auth)]
    fn rollback(&self, options: &Options<'_>) -> zbus::Result<zbus::OwnedObjectPath>;

    /// Takes it out of the store; the active version is not.
    #[zbus(allow_interactive_auth)]
    fn remove(&self, options: &Options<'_>) -> zbus::Result<()>;

    /// The [`Plan`](crate::plan::Plan) that holds for this box as JSON; `unavailable` if it was not measured.
    fn plan(&self) -> zbus::Result<String>;

    /// Logical name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;

    /// Semantic version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// The manifest's one line about it.
    #[zbus(property(emits_changed_signal = "const"))]
    fn description(&self) -> zbus::Result<String>;

    /// The bundle's task.
    #[zbus(property(emits_changed_signal = "const"))]
    fn task(&self) -> zbus::Result<String>;

    /// SPDX licence expression.
    #[zbus(property(emits_changed_signal = "const"))]
    fn licence(&self) -> zbus::Result<String>;

    /// Where the bundle is.
    #[zbus(property(emits_changed_signal = "const"))]
    fn path(&self) -> zbus::Result<String>;

    /// `found`, `loading`, `ready` or `failed`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Why it failed; empty otherwise.
    #[zbus(property)]
    fn reason(&self) -> zbus::Result<String>;

    /// Variant in use.
    #[zbus(property)]
    fn variant(&self) -> zbus::Result<String>;

    /// Execution providers that really run it, with their share of the graph, the largest first.
    #[zbus(property)]
    fn providers(&self) -> zbus::Result<Vec<(String, f64)>>;

    /// Name, datatype and shape of each input; -1 where any size of at least one is taken.
    #[zbus(property)]
    fn inputs(&self) -> zbus::Result<Vec<(String, String, Vec<i64>)>>;

    /// Name, datatype and shape of each output.
    #[zbus(property)]
    fn outputs(&self) -> zbus::Result<Vec<(String, String, Vec<i64>)>>;

    /// Encoded payloads that it takes.
    #[zbus(property)]
    fn content_types(&self) -> zbus::Result<Vec<String>>;

    /// Sessions that serve it.
    #[zbus(property)]
    fn instances(&self) -> zbus::Result<u32>;

    /// Largest batch.
    #[zbus(property)]
    fn max_batch(&self) -> zbus::Result<u32>;

    /// Deadline of requests that name none, in milliseconds.
    #[zbus(property)]
    fn default_deadline_ms(&self) -> zbus::Result<u64>;

    /// Golden inputs that gave their expected answer at load.
    #[zbus(property)]
    fn goldens_passed(&self) -> zbus::Result<u32>;

    /// Time to load, in milliseconds.
    #[zbus(property)]
    fn load_ms(&self) -> zbus::Result<u32>;

    /// Requests that name no version are given to this one.
    #[zbus(property)]
    fn active(&self) -> zbus::Result<bool>;

    /// How far its probation is; empty if it is on none.
    #[zbus(property)]
    fn probation(&self) -> zbus::Result<String>;

    /// Why it was taken back on this box; empty if it was not.
    #[zbus(property)]
    fn bad(&self) -> zbus::Result<String>;

    /// When its bundle was put there, RFC 3339.
    #[zbus(property(emits_changed_signal = "const"))]
    fn installed_at(&self) -> zbus::Result<String>;

    /// Number of the key that signed its bundle; empty if nobody did.
    #[zbus(property(emits_changed_signal = "const"))]
    fn signed_by(&self) -> zbus::Result<String>;

    /// Learnt service time of one request, in microseconds; 0 if it has not run.
    #[zbus(property(emits_changed_signal = "false"))]
    fn service_us(&self) -> zbus::Result<u64>;

    /// Requests that wait for it.
    #[zbus(property(emits_changed_signal = "false"))]
    fn waiting(&self) -> zbus::Result<u32>;

    /// Requests done since start.
    #[zbus(property(emits_changed_signal = "false"))]
    fn done(&self) -> zbus::Result<u64>;
}

/// One submitted request; only its submitter may call it and hears its signals.
#[proxy(interface = "org.edged.Edge1.Request", default_service = "org.edged.Edge1", assume_defaults = false)]
pub trait Request {
    /// Gives it up.
    fn cancel(&self) -> zbus::Result<()>;

    /// What `Completed` said, or the error that `Failed` named; `unavailable` while it runs. For a while after the end.
    fn result(&self) -> zbus::Result<(String, InfoDict<'static>)>;

    /// The id by which it is cancelled and traced.
    #[zbus(property(emits_changed_signal = "const"))]
    fn request_id(&self) -> zbus::Result<String>;

    /// `running`, `completed` or `failed`; does not signal its change, since `Completed` and `Failed` do.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self) -> zbus::Result<String>;

    /// It ended with this document.
    #[zbus(signal)]
    fn completed(&self, json: &str, info: InfoDict<'static>) -> zbus::Result<()>;

    /// It ended with this error code and message.
    #[zbus(signal)]
    fn failed(&self, code: &str, message: &str) -> zbus::Result<()>;
}

/// Readings of the box. What is not known is said to be absent, with the reason.
#[proxy(
    interface = "org.edged.Edge1.Telemetry",
    default_service = "org.edged.Edge1",
    default_path = "/org/edged/Edge1"
)]
pub trait Telemetry {
    /// Each reading with `name`, `age_ms` and either `value` (d) or `absent` (s, why there is none).
    #[zbus(property)]
    fn readings(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;

    /// `boot`, `nominal`, `throttled`, `critical`, `slow` or `blind`.
    #[zbus(property)]
    fn regime(&self) -> zbus::Result<String>;

    /// Why it is in that regime.
    #[zbus(property)]
    fn regime_reason(&self) -> zbus::Result<String>;

    /// Each execution provider of the runtime library with the models that it really runs, which may be none.
    #[zbus(property)]
    fn providers(&self) -> zbus::Result<HashMap<String, Vec<String>>>;

    /// Distance to the nearest trip: `celsius` (d, kelvin) and `zone` (s), or `absent` (s, why there is none).
    #[zbus(property)]
    fn headroom(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;

    /// What may run now: `lanes` (u), `batch` (u), `duty` (d, share of the lanes' time), `sustainable` (d, the share that could be
    /// used for ever; missing until it is known), `held` (s, why somebody holds the device; empty if nobody does).
    #[zbus(property)]
    fn capacity(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;

    /// What the governor has learnt, with its history: a [`GovernorReport`](crate::governor::GovernorReport) as JSON.
    fn governor(&self, options: &Options<'_>) -> zbus::Result<String>;

    /// The regime changed.
    #[zbus(signal)]
    fn regime_entered(&self, regime: &str, before: &str, reason: &str) -> zbus::Result<()>;
}

/// Where requests go, and why.
#[proxy(interface = "org.edged.Edge1.Routing", default_service = "org.edged.Edge1", default_path = "/org/edged/Edge1")]
pub trait Routing {
    /// What would become of such a request now, and every rule that was asked, with its numbers. `profile` takes the options of a
    /// request, and `bytes` (t), `content_type` (s), `input_tokens` (u), `output_tokens` (u), `text` (s, looked into as a
    /// payload would be) and `source` (s, `bus`, `bus:UID` or `mqtt:TOPIC`). The answer has the fields of an
    /// [`Explanation`](crate::sites::Explanation) that are plain, and all of it as JSON under `json` (s).
    #[zbus(no_autostart)]
    fn explain(&self, model: &str, profile: &Options<'_>) -> zbus::Result<HashMap<String, OwnedVariant>>;

    /// What left the device, the newest first, as JSON: a list of [`AuditEntry`](crate::sites::AuditEntry). Options: `since` (s,
    /// RFC 3339), `site`, `model`, `data_class` (s), `limit` (u).
    #[zbus(no_autostart)]
    fn audit(&self, options: &Options<'_>) -> zbus::Result<String>;

    /// What was served, by model, site and verdict, as JSON: a list of [`UsageRow`](crate::sites::UsageRow). Options: `since` and
    /// `until` (s, RFC 3339), `step` (s: `minute`, `hour`, `day` or `all`).
    #[zbus(no_autostart)]
    fn usage(&self, options: &Options<'_>) -> zbus::Result<String>;

    /// The recorded decisions under the policy of this file, as JSON: a [`Replay`](crate::sites::Replay). Options: `since` (s,
    /// RFC 3339).
    #[zbus(no_autostart)]
    fn replay(&self, policy: Fd<'_>, options: &Options<'_>) -> zbus::Result<String>;
}

#[cfg(test)]
mod tests {
    use zbus::proxy::Defaults;

    use super::*;
    use crate::names;

    #[test]
    fn the_literals_of_the_proxies_are_the_names_of_the_contract() {
        fn check<P: Defaults>(interface: &str, path: Option<&str>) {
            assert_eq!(P::INTERFACE.as_ref().map(|name| name.as_str()), Some(interface));
            assert_eq!(P::DESTINATION.as_ref().map(|name| name.as_str()), Some(names::BUS_NAME));
            assert_eq!(P::PATH.as_ref().map(|path| path.as_str()), path);
        }
        check::<ManagerProxy<'_>>(names::MANAGER, Some(names::ROOT_PATH));
        check::<InferenceProxy<'_>>(names::INFERENCE, Some(names::ROOT_PATH));
        check::<ModelsProxy<'_>>(names::MODELS, Some(names::ROOT_PATH));
        check::<ModelProxy<'_>>(names::MODEL, None);
        check::<JobProxy<'_>>(names::JOB, None);
        check::<RequestProxy<'_>>(names::REQUEST, None);
        check::<TelemetryProxy<'_>>(names::TELEMETRY, Some(names::ROOT_PATH));
        check::<RoutingProxy<'_>>(names::ROUTING, Some(names::ROOT_PATH));
    }
}
