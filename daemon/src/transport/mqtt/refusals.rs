//! Topics that the broker refused to take messages on, until it takes one there: which are named, and for how long. Pure.
//!
//! Only MQTT 5 tells of them: a broker that speaks 3.1.1 acknowledges what it throws away.

use std::time::Duration;

use edge_core::Mono;
use edge_wire::dto::Problem;
use edge_wire::mqtt::topic::Topics;

use crate::config::MqttConfig;

/// Subject of the problem.
pub const SUBJECT: &str = "publications";
/// Topics that are known, and of those the latest that are named.
const MOST: usize = 256;
const NAMED: usize = 8;
/// A topic that somebody else chose for a reply is forgotten after this; those of the box are refused until they are taken.
const OLD: Duration = Duration::from_secs(600);

/// The topics.
#[derive(Debug)]
pub struct Refusals {
    /// What topics of the box begin with.
    own: String,
    /// Topic of the last will.
    will: String,
    who: String,
    topics: Vec<Refused>,
    changed: bool,
}

#[derive(Debug)]
struct Refused {
    topic: String,
    why: String,
    passing: bool,
    at: Mono,
}

impl Refusals {
    /// None yet.
    pub fn new(topics: &Topics, config: &MqttConfig) -> Refusals {
        let will = topics.available();
        let own = will.trim_end_matches("available").to_owned();
        let user = config.username.as_ref().map_or(String::new(), |user| format!("user {user:?}, "));
        let who = format!("{user}client id {}", config.client_id);
        Refusals { own, will, who, topics: Vec::new(), changed: false }
    }

    /// A new connection: the rules may be other ones.
    pub fn clear(&mut self) {
        self.changed |= !self.topics.is_empty();
        self.topics.clear();
    }

    /// The broker took a message there.
    pub fn taken(&mut self, topic: &str) {
        let before = self.topics.len();
        self.topics.retain(|refused| refused.topic != topic);
        self.changed |= self.topics.len() != before;
    }

    /// The broker refused a message there; `passing` if it may take it later.
    pub fn refused(&mut self, now: Mono, topic: &str, why: &str, passing: bool) {
        self.topics.retain(|refused| refused.topic != topic);
        if self.topics.len() == MOST {
            self.topics.remove(0);
        }
        self.topics.push(Refused { topic: topic.into(), why: why.into(), passing, at: now });
        self.changed = true;
    }

    /// Forgets old refusals of topics that are not the box's own.
    pub fn forget_old(&mut self, now: Mono) {
        let before = self.topics.len();
        let own = &self.own;
        self.topics.retain(|refused| refused.topic.starts_with(own) || now.since(refused.at) < OLD);
        self.changed |= self.topics.len() != before;
    }

    /// The problem, or that there is none any more, if that has changed since it was asked for.
    pub fn news(&mut self) -> Option<Option<Problem>> {
        std::mem::take(&mut self.changed).then(|| self.problem())
    }

    fn problem(&self) -> Option<Problem> {
        if self.topics.is_empty() {
            return None;
        }
        let others = self.topics.len().saturating_sub(NAMED);
        let named = self.topics.iter().skip(others);
        let named: Vec<String> = named.map(|refused| format!("{} ({})", refused.topic, refused.why)).collect();
        let mut what = format!("the broker refuses messages on {}", named.join(", "));
        if others > 0 {
            what.push_str(&format!(" and {others} other topics"));
        }
        if self.topics.iter().any(|refused| refused.topic == self.will) {
            what.push_str("; it will refuse the last will there, too, so that nobody is told when the box is gone");
        }
        let remedy = match self.topics.iter().all(|refused| refused.passing) {
            true => "they are offered again; look at the broker's quotas and its log".into(),
            false => format!("let this box ({}) write to these topics in the broker's access rules", self.who),
        };
        Some(Problem { subject: SUBJECT.into(), what, remedy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono::from_nanos(0);

    fn refusals() -> Refusals {
        Refusals {
            own: "edge/box/".into(),
            will: "edge/box/available".into(),
            who: "user \"press\", client id edged-box".into(),
            topics: Vec::new(),
            changed: false,
        }
    }

    #[test]
    fn a_refused_topic_is_named_with_who_needs_the_right_until_it_is_taken() {
        let mut refusals = refusals();
        assert_eq!(refusals.news(), None);
        refusals.refused(NOW, "plant/line", "NotAuthorized", false);
        let problem = refusals.news().unwrap().unwrap();
        assert!(problem.what.contains("plant/line (NotAuthorized)") && !problem.what.contains("last will"));
        assert!(problem.remedy.contains("user \"press\", client id edged-box"));
        assert_eq!(refusals.news(), None);
        refusals.taken("plant/other");
        assert_eq!(refusals.news(), None);
        refusals.taken("plant/line");
        assert_eq!(refusals.news(), Some(None));
    }

    #[test]
    fn where_the_box_may_not_say_that_it_is_there_the_last_will_is_named_too() {
        let mut refusals = refusals();
        refusals.refused(NOW, "edge/box/available", "NotAuthorized", false);
        assert!(refusals.news().unwrap().unwrap().what.contains("last will"));
    }

    #[test]
    fn a_quota_has_another_remedy_and_the_list_has_an_end() {
        let mut refusals = refusals();
        for number in 0..20 {
            refusals.refused(NOW, &format!("t/{number}"), "QuotaExceeded", true);
        }
        let problem = refusals.news().unwrap().unwrap();
        assert!(problem.remedy.contains("quotas") && problem.what.contains("t/19") && !problem.what.contains("t/11"));
        assert!(problem.what.ends_with("and 12 other topics"), "{}", problem.what);
        for number in 0..20 {
            refusals.taken(&format!("t/{number}"));
        }
        assert_eq!(refusals.news(), Some(None));
    }

    #[test]
    fn topics_of_others_are_forgotten_and_those_of_the_box_are_not() {
        let mut refusals = refusals();
        refusals.refused(NOW, "edge/box/state", "NotAuthorized", false);
        refusals.refused(NOW, "plant/line", "NotAuthorized", false);
        refusals.forget_old(NOW.after(OLD));
        let problem = refusals.news().unwrap().unwrap();
        assert!(problem.what.contains("edge/box/state") && !problem.what.contains("plant/line"), "{problem:?}");
    }
}
