//! What hosts write to the node and its devices: judged, counted, and told as a metric.

use super::{Action, MOST_OUTCOME, Node, Now, Phase};
use crate::transport::sparkplug::commands::{self, Command, Refusal, short};
use crate::transport::sparkplug::payload::{self, Payload};

impl Node {
    pub(super) fn command(&mut self, now: Now, device: Option<&str>, payload: &[u8], retained: bool) {
        if retained {
            // Sparkplug has no retained commands: it is one that somebody left behind.
            return self.refuse(Refusal::Unreadable("a retained command: it may be of any time".into()));
        }
        if self.phase != Phase::Born {
            return self.refuse(Refusal::NotBorn);
        }
        let payload = match Payload::read(payload) {
            Ok(payload) => payload,
            Err(error) => return self.refuse(Refusal::Unreadable(error.to_string())),
        };
        for metric in &payload.metrics {
            match self.judge(device, metric) {
                Ok(Command::Rebirth) => {
                    self.counts.rebirths_asked = self.counts.rebirths_asked.saturating_add(1);
                    self.ask_birth(now);
                }
                Ok(command) => {
                    self.counts.commands_accepted = self.counts.commands_accepted.saturating_add(1);
                    self.say(command.words());
                    self.actions.push_back(Action::Command(command));
                }
                Err(refusal) => self.refuse(refusal),
            }
        }
    }

    fn judge(&self, device: Option<&str>, metric: &payload::Metric) -> Result<Command, Refusal> {
        if let Some(device) = device.filter(|device| !self.devices.contains_key(*device)) {
            return Err(Refusal::UnknownDevice(short(device)));
        }
        let name = match (&metric.name, metric.alias) {
            (Some(name), _) => name.as_str(),
            (None, Some(alias)) => self.session.name_of(device, alias).ok_or(Refusal::UnknownAlias(alias))?,
            (None, None) => return Err(Refusal::Nameless),
        };
        match device {
            None => commands::of_node(name, metric, self.plan.permits),
            Some(device) => {
                let model = self.devices.get(device).and_then(|shown| shown.model.as_deref());
                commands::of_device(device, model, name, metric, self.plan.permits)
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.counts.commands_refused = self.counts.commands_refused.saturating_add(1);
        self.say(format!("refused: {refusal}"));
        self.actions.push_back(Action::Refused(refusal));
    }

    /// What became of the last command.
    pub fn outcome(&mut self, words: &str) {
        self.say(words.to_owned());
    }

    fn say(&mut self, mut words: String) {
        let end = (0..=MOST_OUTCOME.min(words.len())).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
        words.truncate(end);
        self.last_command = words;
        self.refresh();
    }
}
