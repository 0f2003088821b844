//! The state as the outside sees it, put together when something changed and now and then.

use std::sync::Arc;

use edge_wire::dto::{Problem, Status};

use super::models::Life;
use super::{Driver, State};

impl Driver {
    pub(super) fn sample(&mut self) {
        self.publish();
    }

    /// Puts the status together and hands it to whoever watches.
    pub(super) fn publish(&mut self) {
        self.dirty_since = None;
        let snapshot = self.core.snapshot();
        let mut models = Vec::new();
        for (id, model) in self.models.iter() {
            let mut status = model.status(self.config.policy.default_deadline);
            if let Some(load) = snapshot.models.iter().find(|load| load.model == id) {
                status.waiting = u32::try_from(load.waiting).unwrap_or(u32::MAX);
                status.service_us = load.service.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            }
            models.push(status);
        }
        let problems = self.problems();
        let (state, reason) = self.state_words(&problems);
        let mut engine = self.host.status();
        let sample = (self.outside.sampler)(engine.pid);
        engine.rss_bytes = sample.engine_rss_bytes;
        let status = Status {
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
            models,
            counters: self.counters.clone(),
            waiting: u32::try_from(snapshot.waiting).unwrap_or(u32::MAX),
            running: u32::try_from(snapshot.running).unwrap_or(u32::MAX),
            readings: sample.readings,
            problems,
            config_files: self.config.files.iter().map(|file| file.display().to_string()).collect(),
        };
        self.outside.status.send_replace(Arc::new(status));
    }

    fn state_words(&self, problems: &[Problem]) -> (&'static str, String) {
        match self.state {
            State::Draining => ("draining", format!("{} requests are left", self.entries.len())),
            State::Drained => ("drained", "nothing is left; nothing new is taken".into()),
            State::Serving if !self.warm => ("starting", "models are being loaded".into()),
            State::Serving => match problems.first() {
                Some(problem) => ("degraded", format!("{}: {}", problem.subject, problem.what)),
                None => ("serving", "everything is as it should be".into()),
            },
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let engine = self.host.status();
        match engine.state.as_str() {
            "no_library" => problems.push(Problem {
                subject: "library".into(),
                what: engine.reason.clone(),
                remedy: "install the package edged-onnxruntime, or `pip install onnxruntime`, or set `engine.library` to libonnxruntime.so".into(),
            }),
            "down" => problems.push(Problem {
                subject: "engine".into(),
                what: engine.reason.clone(),
                remedy: "it is started again by itself; if it keeps ending, look at `journalctl -u edged` for the model that was loading".into(),
            }),
            _ => {}
        }
        for (_, model) in self.models.iter() {
            if let Life::Failed(why) = &model.life {
                let remedy =
                    "put the bundle right and restart, or remove its directory; `edgectl models show` has the details";
                problems.push(Problem {
                    subject: format!("model {}", model.label()),
                    what: why.clone(),
                    remedy: remedy.into(),
                });
            }
        }
        if self.warm && self.models.iter().next().is_none() {
            let dirs: Vec<String> = self.config.models.dirs.iter().map(|dir| dir.display().to_string()).collect();
            problems.push(Problem {
                subject: "models".into(),
                what: format!("no bundle in {}", dirs.join(", ")),
                remedy: "install the package edged-models, or put a bundle's directory there".into(),
            });
        }
        if self.config.mqtt.is_some() && self.mqtt.state != "connected" {
            problems.push(Problem {
                subject: "broker".into(),
                what: format!(
                    "{}: {}",
                    self.mqtt.broker,
                    if self.mqtt.reason.is_empty() { &self.mqtt.state } else { &self.mqtt.reason }
                ),
                remedy:
                    "check `mqtt.host` and `mqtt.port`, that the broker runs, and its log; the bus serves meanwhile"
                        .into(),
            });
        }
        problems.extend(self.mqtt.problems.iter().cloned());
        problems
    }
}
