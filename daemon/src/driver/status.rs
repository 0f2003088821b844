//! The state as the outside sees it, put together when something changed and now and then.

use std::sync::Arc;
use std::time::Duration;

use edge_core::Snapshot;
use edge_wire::dto::{EngineStatus, HostStatus, Problem, ReadingInfo, SetupStatus, Status};

use super::host::HostState;
use super::models::{Bundle, Life};
use super::{Driver, State};
use crate::config::{FIRST_ATTEMPT, WAITING_FOR_MODELS};
use crate::handle::Scrape;

/// What to do about a library that cannot be used, by how it was found.
fn library_remedy(engine: &EngineStatus) -> &'static str {
    match engine.found_by.as_str() {
        "installed" => {
            "`edgectl runtime rollback` uses the one before, `edgectl runtime rollback --package` the package's"
        }
        _ => {
            "put libonnxruntime.so into /usr/lib/edged/onnxruntime, or set `engine.library` to where it is; restart edged"
        }
    }
}

impl Driver {
    pub(super) fn sample(&mut self) {
        self.publish();
    }

    /// What the box takes, as the meter last read it.
    fn power(&self) -> Option<ReadingInfo> {
        // A simulator takes nothing that says anything of a box, but that of a machine with rails does.
        if self.outside.library.is_none() && self.outside.power.is_none() {
            return None;
        }
        let reading = ReadingInfo { name: "power_w".into(), ..ReadingInfo::default() };
        Some(match &self.outside.power {
            Some(meter) => {
                let watts = Duration::from_millis(meter.taken().power_mw).as_secs_f64();
                ReadingInfo { name: format!("power_w.{}", meter.name), value: Some(watts), ..reading }
            }
            None => ReadingInfo { absent: "unsupported".into(), ..reading },
        })
    }

    /// Puts the status together and hands it to whoever watches.
    pub(super) fn publish(&mut self) {
        self.dirty_since = None;
        let status = self.status_now();
        self.tuning.hot = super::tuning::is_hot(&status.readings);
        self.outside.status.send_replace(Arc::new(status));
    }

    /// The state as it is now with what was counted, for whoever scrapes it. Nobody who watches the state is woken.
    pub(super) fn scrape(&mut self) -> Scrape {
        let began = self.clock.now();
        let status = self.status_now();
        let meter = self.outside.power.as_ref();
        let energy = meter.map(|meter| (meter.name.clone(), Duration::from_micros(meter.taken().energy_uj)));
        let energy = energy.map(|(rail, joules)| (rail, joules.as_secs_f64()));
        Scrape { status, counts: self.counts.clone(), energy, took: self.clock.now().since(began) }
    }

    fn status_now(&mut self) -> Status {
        let snapshot = self.core.snapshot();
        let mut models = Vec::new();
        for (index, bundle) in self.models.bundles().iter().enumerate().filter(|(_, bundle)| !bundle.gone) {
            let mut status = self.models.status(bundle, self.config.policy.default_deadline, |host| self.lacks(host));
            self.show_failures(bundle, &mut status.setups);
            self.show_unable(&mut status.setups);
            for load in snapshot.models.iter().filter(|load| bundle.ids().any(|id| id == load.model)) {
                status.waiting += u32::try_from(load.waiting).unwrap_or(u32::MAX);
                if load.model == bundle.shown() {
                    status.service_us =
                        load.service.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
                }
            }
            self.show_version(index, &mut status);
            models.push(status);
        }
        for served in self.pipelines.iter() {
            let mut status = served.status(&self.models, self.config.policy.default_deadline);
            let open = self.entries.values().filter(|entry| entry.model == served.id).count();
            status.waiting = u32::try_from(open).unwrap_or(u32::MAX);
            models.push(status);
        }
        models.extend(self.part_statuses());
        let mut engine = self.engine_status();
        // Before its models are loaded it is small, and that says nothing.
        let mut sample = (self.outside.sampler)(if self.warm { engine.pid } else { 0 });
        let mut problems = self.problems();
        problems.append(&mut sample.problems);
        sample.hardware.notes.extend(self.graphics_note());
        problems.extend(self.heat_problem(&snapshot));
        problems.extend(self.site_problems(&snapshot));
        let (state, reason) = self.state_words(&problems);
        let power = self.power().filter(|power| sample.readings.iter().all(|reading| reading.name != power.name));
        sample.readings.extend(power);
        engine.rss_bytes = sample.engine_rss_bytes;
        Status {
            state: state.into(),
            reason,
            version: env!("CARGO_PKG_VERSION").into(),
            interface: 1,
            node: self.config.node.clone(),
            platform: self.outside.platform.clone(),
            simulated: self.outside.library.is_none(),
            uptime_ms: u64::try_from(self.now.since(self.started).as_millis()).unwrap_or(u64::MAX),
            pid: std::process::id(),
            rss_bytes: sample.rss_bytes,
            engine,
            mqtt: self.mqtt.clone(),
            sparkplug: self.sparkplug.clone(),
            http: self.http.clone(),
            models,
            jobs: self.jobs.status(self.now),
            fleet: self.fleet_status(),
            counters: self.counters.clone(),
            waiting: u32::try_from(snapshot.waiting).unwrap_or(u32::MAX),
            running: u32::try_from(snapshot.running).unwrap_or(u32::MAX),
            readings: sample.readings,
            hardware: sample.hardware,
            governor: self.governor_status(&snapshot),
            routing: self.routing_status(&snapshot),
            problems,
            config_files: self.config.files.iter().map(|file| file.display().to_string()).collect(),
            config_pending: self.reloading.pending.clone(),
        }
    }

    /// Whether requests are run here now, which is what other boxes need to know.
    pub(super) fn runs_requests(&self, snapshot: &Snapshot) -> bool {
        self.warm && self.state == State::Serving && snapshot.capacity.lanes > 0
    }

    fn engine_status(&self) -> EngineStatus {
        let hosts: Vec<HostStatus> = self.hosts.iter().map(HostState::status).collect();
        let first = hosts.first().cloned().unwrap_or_default();
        let (version, providers) = self
            .hosts
            .library()
            .map_or_else(Default::default, |(version, providers)| (version.to_owned(), providers.to_vec()));
        let (library, found_by) = match &self.outside.library {
            None => (String::new(), "simulated".into()),
            Some(Ok((path, found_by))) => (path.display().to_string(), found_by.clone()),
            Some(Err(_)) => Default::default(),
        };
        let HostStatus { state, reason, pid, restarts, .. } = first;
        EngineStatus { state, reason, library, found_by, version, providers, pid, restarts, rss_bytes: 0, hosts }
    }

    fn state_words(&self, problems: &[Problem]) -> (&'static str, String) {
        match self.state {
            State::Draining => (
                "draining",
                format!("{} requests are left", self.entries.values().filter(|entry| !entry.place.is_child()).count()),
            ),
            State::Drained => ("drained", "nothing is left; nothing new is taken".into()),
            State::Serving if !self.warm => ("starting", "models are being loaded".into()),
            State::Serving => match problems.first() {
                Some(problem) => ("degraded", format!("{}: {}", problem.subject, problem.what)),
                None if !self.held().is_empty() => ("serving", format!("the device is held: {}", self.held())),
                None => ("serving", "everything is as it should be".into()),
            },
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.reloading.problem(self.now).into_iter().collect();
        let engine = self.engine_status();
        let first_unfit = self.hosts.first().is_some_and(HostState::is_unfit);
        match engine.state.as_str() {
            "no_library" => problems.push(Problem {
                subject: "library".into(),
                what: engine.reason.clone(),
                remedy: library_remedy(&engine).into(),
            }),
            // It ended because it could not use the library.
            "down" | "starting" if first_unfit => problems.push(Problem {
                subject: "library".into(),
                what: format!("{}: {}", engine.library, engine.reason),
                remedy: library_remedy(&engine).into(),
            }),
            "down" => problems.push(Problem {
                subject: "engine".into(),
                what: engine.reason.clone(),
                remedy: "it is started again by itself; if it keeps ending, look at `journalctl -u edged` for the model that was loading".into(),
            }),
            _ => {}
        }
        self.provider_problems(&mut problems);
        problems.extend(self.cache_problem());
        problems.extend(self.refused_problems());
        problems.extend(self.plan_problem());
        problems.extend(self.runtime.problem());
        problems.extend(self.outside.copied_machine.as_ref().map(|dir| Problem {
            subject: "telemetry".into(),
            what: format!("temperatures and power are not those of this box but of the copy below {}", dir.display()),
            remedy: "start edged without --root".into(),
        }));
        problems.extend(self.outside.power_mode_fault.as_ref().map(|why| Problem {
            subject: "power mode".into(),
            what: format!("it stays as it is: {why}"),
            remedy: "correct `governor.power_mode`, or leave it out; setting one takes the rights of root: `edgectl config` names the key, `nvpmodel -q` the present mode".into(),
        }));
        let hopeless = self.hosts.first().is_some_and(HostState::is_hopeless);
        problems.extend(self.memory_problems());
        problems.extend(self.recovery_problems());
        let lie_still = |bundle: &&Bundle| bundle.gone || bundle.revoked.is_some() || self.lacks_room(bundle.shown());
        for bundle in self.models.bundles().iter().filter(|bundle| !lie_still(bundle)) {
            let Some(model) = self.models.get(bundle.shown()) else { continue };
            if let Life::Failed(why) = &model.life {
                let unfit = || {
                    "install the part that it needs: `edgectl models install`, or another version of the model".into()
                };
                let remedy = match (self.remedy_of(bundle.shown()), model.found.fault.is_none() && hopeless) {
                    _ if model.found.unfit => unfit(),
                    (Some(remedy), _) => remedy,
                    (None, false) if model.found.fault.is_none() && self.runtime.remedy().is_some() => {
                        self.runtime.remedy().unwrap_or_default()
                    }
                    (None, true) => "see \"library\": the model is served when there is an engine".into(),
                    (None, false) => {
                        "put the bundle right and restart, or remove its directory; `edgectl models show` has the details"
                            .into()
                    }
                };
                problems.push(Problem { subject: format!("model {}", model.label()), what: why.clone(), remedy });
            }
        }
        self.pipeline_problems(&mut problems);
        problems.extend(self.version_problems());
        if self.warm && self.models.bundles().is_empty() {
            let dirs: Vec<String> = self.config.models.dirs.iter().map(|dir| dir.display().to_string()).collect();
            problems.push(Problem {
                subject: "models".into(),
                what: format!("no bundle in {}", dirs.join(", ")),
                remedy: "put a bundle's directory into one of them, or set `models.dirs`; restart edged".into(),
            });
        }
        let untried = [WAITING_FOR_MODELS, FIRST_ATTEMPT].contains(&self.mqtt.reason.as_str());
        if self.config.mqtt.is_some() && self.mqtt.state != "connected" && !untried {
            problems.push(Problem {
                subject: "broker".into(),
                what: format!(
                    "{}: {}",
                    self.mqtt.broker,
                    if self.mqtt.reason.is_empty() { &self.mqtt.state } else { &self.mqtt.reason }
                ),
                remedy: broker_remedy(&self.mqtt.state, &self.mqtt.reason).into(),
            });
        }
        problems.extend(self.mqtt.problems.iter().cloned());
        problems.extend(self.sparkplug.problems.iter().cloned());
        problems.extend(self.http.problems.iter().cloned());
        problems
    }
}

impl Driver {
    /// Whether a host is for a provider that is not part of this runtime, which nobody asked for: that is no news.
    fn lacks(&self, host: edge_core::HostId) -> bool {
        let asked = self.config.fixed.contains_key("engine.providers");
        !asked && self.hosts.get(host).is_some_and(|host| host.status().state == "no_provider")
    }

    /// Of ways that were never wanted: why they could not be, where that was found when they were measured.
    fn show_unable(&self, setups: &mut [SetupStatus]) {
        for setup in setups.iter_mut().filter(|setup| setup.state == "standby" && setup.reason.is_empty()) {
            let host = self.hosts.iter().find(|host| host.provider == setup.provider).map(HostState::status);
            if let Some(host) = host.filter(|host| host.state == "unused") {
                setup.reason = host.reason;
            }
        }
    }

    /// Providers that the operator asked for, or that served before, and that do not serve now.
    fn provider_problems(&self, problems: &mut Vec<Problem>) {
        let asked = self.config.fixed.contains_key("engine.providers");
        for host in self.hosts.iter().skip(1).filter(|host| asked || host.has_started()) {
            let status = host.status();
            if matches!(status.state.as_str(), "up" | "idle" | "simulated") || status.reason.is_empty() {
                continue;
            }
            problems.push(Problem {
                subject: format!("provider {}", status.provider),
                what: status.reason,
                remedy: "the next provider stands in, and this one is tried again by itself; put its library right, or leave it out of `engine.providers`".into(),
            });
        }
    }
}

/// What to do about a broker that is not connected, by what the connection said when it ended. The words are those of
/// `transport/mqtt`, of the system and of the broker; one that is not known gets the remedy that fits all.
fn broker_remedy(state: &str, reason: &str) -> &'static str {
    const CAUSES: [(&[&str], &str); 12] = [
        (
            &["read the password"],
            "put the password into this file, or correct `mqtt.password_file`; the user edged must be able to read it",
        ),
        (
            &["mqtt.tls.pin"],
            "if the broker has a new key, put it into `mqtt.tls.pin`; if nobody knows of one, somebody else answers in its place",
        ),
        (
            &["alert: CertificateExpired"],
            "renew the client certificate in `mqtt.tls.client_cert`; it is taken without a restart. Is the clock right?",
        ),
        (&["certificate expired", "Expired"], "renew the broker's certificate; is the clock right?"),
        (
            &["BadUserNamePassword", "NotAuthorized", "Banned"],
            "correct `mqtt.username` and `mqtt.password_file`, which are read again for each attempt, or let this user in at the \
             broker: it must also be allowed to write to the topic `available` of this box, which is that of the last will",
        ),
        (&["ClientId", "IdentifierNotValid"], "set a `mqtt.client_id` that the broker accepts"),
        (&["ProtocolVersion"], "set `mqtt.protocol` to the version that the broker speaks: \"5\" or \"3.1.1\""),
        (
            &["client certificate", "CertificateRequired", "AccessDenied", "UnknownCA"],
            "correct `mqtt.tls.client_cert` and `mqtt.tls.client_key`: the broker must trust their authority",
        ),
        (
            &["TLS", "certificate", "read /"],
            "correct `mqtt.tls.ca`, and let `mqtt.host` be the name in the broker's certificate; is the clock right?",
        ),
        (&["lookup", "Name or service not known", "name resolution"], "correct `mqtt.host`, or the box's name server"),
        (
            &["Connection refused"],
            "start the broker, or correct `mqtt.host` and `mqtt.port`; a TLS port needs `mqtt.tls.ca`",
        ),
        (
            &["unreachable", "No route", "timed out", "did not accept", "does not answer"],
            "check the network and the firewalls between this box and `mqtt.host`",
        ),
    ];
    if state == "taken_over" {
        return "give each box its own `mqtt.client_id`, or leave it unset; look in the broker's log for who uses this one";
    }
    let known = CAUSES.iter().find(|(words, _)| words.iter().any(|word| reason.contains(word)));
    known.map_or("look into the broker's log; check `mqtt.host`, `mqtt.port` and `mqtt.tls`", |(_, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_for_the_broker_follows_its_cause() {
        let dial = "connect to 10.0.0.5:1883: ";
        for (state, reason, key) in [
            ("taken_over", "another client uses the client id edged-a: SessionTakenOver", "`mqtt.client_id`"),
            ("connecting", format!("{dial}Connection refused (os error 111)").as_str(), "start the broker"),
            ("connecting", format!("{dial}failed to lookup address information: ...").as_str(), "name server"),
            ("connecting", format!("{dial}No route to host (os error 113)").as_str(), "firewalls"),
            ("connecting", format!("{dial}Network is unreachable (os error 101)").as_str(), "firewalls"),
            ("connecting", "the broker did not accept the connection within 15 s", "firewalls"),
            ("connecting", "the broker does not answer", "firewalls"),
            ("connecting", "the broker refused the connection: BadUserNamePassword", "`mqtt.username`"),
            ("connecting", "the broker refused the connection: NotAuthorized: no", "`mqtt.username`"),
            ("connecting", "the broker refused the connection: ClientIdentifierNotValid", "`mqtt.client_id`"),
            ("connecting", "the broker refused the connection: BadClientId", "`mqtt.client_id`"),
            ("connecting", "the broker refused the connection: UnsupportedProtocolVersion", "`mqtt.protocol`"),
            ("connecting", "the broker refused the connection: RefusedProtocolVersion", "`mqtt.protocol`"),
            ("connecting", "read the password in /p: No such file or directory (os error 2)", "`mqtt.password_file`"),
            ("connecting", "read /etc/edged/ca.pem: I/O error", "`mqtt.tls.ca`"),
            ("connecting", "speak TLS with b:8883: invalid peer certificate: UnknownIssuer", "`mqtt.tls.ca`"),
            ("connecting", "use the client certificate /c.pem with its key: mismatch", "`mqtt.tls.client_cert`"),
            ("connecting", "read from the broker: received fatal alert: CertificateRequired", "`mqtt.tls.client_cert`"),
            ("connecting", "the key of b:1 is sha256/A, which is not among `mqtt.tls.pin`", "somebody else"),
            ("connecting", "read from the broker: received fatal alert: CertificateExpired", "`mqtt.tls.client_cert`"),
            (
                "connecting",
                "speak TLS with b:1: invalid peer certificate: certificate expired: verification",
                "broker's",
            ),
            ("connecting", "the broker closed the connection", "the broker's log"),
            ("connecting", "", "the broker's log"),
        ] {
            let remedy = broker_remedy(state, reason);
            assert!(remedy.contains(key), "{reason}: {remedy}");
        }
    }
}
