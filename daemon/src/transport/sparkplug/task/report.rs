//! What the driver is told of the node: at once when its state changes, counters now and then.

use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::Problem;
use edge_wire::sparkplug::SparkplugStatus;

use crate::config::sparkplug::SparkplugConfig;
use crate::config::{FIRST_ATTEMPT, MqttConfig};
use crate::handle::{Handle, Message};
use crate::transport::sparkplug::node::{Node, Phase};
use crate::transport::sparkplug::store::Store;

/// Pause between two reports of counters.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known and what was told.
pub struct Report {
    now: SparkplugStatus,
    told: Option<(SparkplugStatus, Mono)>,
    /// Why there is no connection; empty while there is one, and before the first attempt.
    no_link: String,
}

impl Report {
    pub fn new(config: &SparkplugConfig) -> Report {
        Report { now: config.first_status(), told: None, no_link: String::new() }
    }

    /// The models are warm: from now on the broker is what is waited for.
    pub fn warm(&mut self) {
        self.now.reason = FIRST_ATTEMPT.into();
    }

    /// A connection to this broker is being made.
    pub fn connecting(&mut self, server: &MqttConfig) {
        self.now.broker = format!("{}:{}", server.host, server.port);
        self.now.client_id.clone_from(&server.client_id);
    }

    /// The broker accepted it.
    pub fn accepted(&mut self) {
        self.now.connects = self.now.connects.saturating_add(1);
        self.no_link.clear();
        self.now.reason.clear();
    }

    /// There is none.
    pub fn lost(&mut self, reason: String) {
        self.now.reason.clone_from(&reason);
        self.no_link = reason;
    }

    /// When there is something to tell that was held back.
    pub fn next_due(&self) -> Option<Mono> {
        self.told.as_ref().filter(|(told, _)| *told != self.now).map(|(_, at)| at.after(PAUSE))
    }

    pub fn tell(&mut self, now: Mono, node: &Node, store: &Store, handle: &Handle) {
        self.look(node, store);
        let due = match &self.told {
            None => true,
            Some((told, at)) => {
                let news = (&told.state, &told.reason, &told.host_state, &told.problems)
                    != (&self.now.state, &self.now.reason, &self.now.host_state, &self.now.problems);
                news || (now.since(*at) >= PAUSE && *told != self.now)
            }
        };
        if due && handle.offer(Message::Sparkplug(Box::new(self.now.clone()))) {
            self.told = Some((self.now.clone(), now));
        }
    }

    fn look(&mut self, node: &Node, store: &Store) {
        let counts = node.counts();
        let status = &mut self.now;
        status.state = match node.phase() {
            Phase::Down => "connecting",
            Phase::Joining => "joining",
            Phase::Waiting { .. } => "waiting",
            Phase::Born => "born",
            Phase::Leaving { .. } => "leaving",
        }
        .into();
        if matches!(node.phase(), Phase::Waiting { .. }) {
            status.reason = match node.doubt() {
                "" => format!("the primary host {} is not there", status.primary_host),
                doubt => doubt.into(),
            };
        } else if node.phase() == Phase::Born {
            status.reason.clear();
        }
        if !status.primary_host.is_empty() {
            status.host_state = match node.host_online() {
                Some(true) => "online",
                Some(false) => "offline",
                None => "unknown",
            }
            .into();
        }
        status.bdseq = node.bdseq();
        status.births = counts.births;
        status.rebirths_asked = counts.rebirths_asked;
        status.commands_accepted = counts.commands_accepted;
        status.commands_refused = counts.commands_refused;
        status.last_command = node.last_command().into();
        status.history_waiting = u64::try_from(store.len()).unwrap_or(u64::MAX);
        status.history_told = counts.history_told;
        status.history_lost = counts.history_lost.saturating_add(store.dropped());
        self.now.problems = problems(&self.no_link, &self.now, node);
    }
}

fn problems(no_link: &str, status: &SparkplugStatus, node: &Node) -> Vec<Problem> {
    let problem = |what: String, remedy: &str| Problem { subject: "sparkplug".into(), what, remedy: remedy.into() };
    let mut problems = Vec::new();
    if node.phase() == Phase::Down && !no_link.is_empty() {
        let remedy = "results are kept meanwhile; look at the broker, and at what it lets the client id and the user do: it has to \
                      take the will on the topic of the node's death";
        problems.push(problem(format!("{}: {no_link}", status.broker), remedy));
    }
    if matches!(node.phase(), Phase::Waiting { .. }) {
        let remedy = "results are kept meanwhile; start the primary host on this broker, or see that `sparkplug.primary_host` is \
                      the id that it says on spBv1.0/STATE/";
        problems.push(problem(status.reason.clone(), remedy));
    } else if !node.doubt().is_empty() {
        problems.push(problem(node.doubt().into(), "set the clock of the primary host right, and start it again"));
    }
    if !node.refused_filters().is_empty() {
        let what = format!("the broker refused {}", node.refused_filters().join(", "));
        problems.push(problem(what, "allow the box to read these topics in the broker's access rules"));
    }
    problems
}
