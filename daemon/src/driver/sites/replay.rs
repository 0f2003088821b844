//! Decisions as they are recorded, and what another policy would have made of them. What a site would have done under a policy that
//! knows it and the record does not is taken from what is believed of its zone.

use std::collections::BTreeMap;

use edge_core::estimate::latency::Latency;
use edge_core::route::{Around, Local, onward};
use edge_core::spill::{Ask, Offer, SiteSeen};
use edge_core::wait::Place;
use edge_core::{
    Bar, Bytes, ClassClaim, DataClass, Difficulty, Here, Mono, NanoUsd, Origin, Reason, Refusal, RefusalCode, SiteId,
    Sites as Set, Span, Tokens, Verdict, Zone,
};
use edge_wire::sites::{Replay, ReplayShare};
use serde::{Deserialize, Serialize};

use super::Sites;
use super::back::usd;
use crate::config::policy::{PolicyFile, read_policy_text};
use crate::config::rules::Source;
use crate::config::sites::Around as Beside;
use crate::config::terms::{Ask as Asked, Rules};
use crate::config::validate::Machine;
use crate::driver::Driver;
use crate::driver::book::rfc3339;
use crate::driver::entry::Entry;
use crate::ledger::decisions::{Decision, DecisionQuery};
use crate::request::{Caller, Failure, Payload};

/// One decision, as it lies in the ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::driver) struct Record {
    pub task: String,
    pub claimed: String,
    /// The freest class that its payload allows.
    pub cap: Option<String>,
    pub uid: Option<u32>,
    pub topic: Option<String>,
    pub tensors: bool,
    /// Its model makes one tensor of its payload.
    pub fills: bool,
    pub deferrable: bool,
    pub bytes: u64,
    pub input_tokens: u32,
    pub output_tokens: u32,
    pub difficulty: String,
    /// Nanoseconds, all of them.
    pub slack: u64,
    pub wait: u64,
    pub predicted: Option<u64>,
    pub barred: bool,
    /// Why this box by itself would not; absent if it would.
    pub here: Option<String>,
    /// That it could serve it at another time.
    pub overloaded: bool,
    /// `yes`, `no_model`, `context` or `elsewhere`.
    pub place: String,
    pub sites: Vec<Seen>,
    pub verdict: String,
    pub class: String,
    pub site: Option<String>,
    pub cost: Option<u64>,
}

/// A site as it was seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::driver) struct Seen {
    pub name: String,
    pub zone: String,
    pub off: bool,
    pub tripped: bool,
    pub open: u16,
    pub likely: u64,
    pub sure: u64,
    /// It was full, and a place there was waited for.
    pub waited: bool,
}

/// A replay under way.
pub(in crate::driver) struct Replaying {
    policy: PolicyFile,
    rules: Rules,
    query: DecisionQuery,
    decisions: u64,
    first: Option<i64>,
    last: Option<i64>,
    shares: BTreeMap<(String, String), (u64, u64)>,
    cost: (u64, u64),
    in_time: (u64, u64),
    left: (u64, u64),
    newly: BTreeMap<String, u64>,
    /// Spent by the replayed policy, by day and site.
    spent: BTreeMap<(i64, u8), u64>,
    unreadable: u64,
    guessed: u64,
}

impl Driver {
    /// A policy is read; nothing is taken over.
    pub(in crate::driver) fn begin_replay(&self, text: &str) -> Result<Replaying, Failure> {
        let machine = Machine::default();
        let around = Beside {
            machine: &machine,
            node: &self.config.node,
            broker: self.config.mqtt.as_ref().map(|mqtt| mqtt.zone),
        };
        let policy = read_policy_text(std::path::Path::new("policy"), text, &around).map_err(|faults| {
            let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Failure::invalid(list.join("\n"))
        })?;
        Ok(Replaying::new(policy))
    }
}

impl Record {
    /// A decision, from all that it was made by.
    pub fn new(
        core: &edge_core::Explanation,
        meta: &edge_core::RequestMeta,
        entry: &Entry,
        sites: &Sites,
        task: &str,
    ) -> Record {
        let caller = &entry.story.caller;
        let seen = core.sites.iter().filter_map(|judged| Some((judged, sites.get(judged.site)?)));
        let (here, overloaded) = match core.here {
            Verdict::Refuse(refusal) => {
                (Some(refusal.reason.as_str().to_owned()), refusal.code == RefusalCode::Overloaded)
            }
            Verdict::Local(_) | Verdict::Spill(..) | Verdict::Speculate(_) | Verdict::Defer(_) => (None, false),
        };
        let chosen = match core.verdict {
            Verdict::Spill(site, _) => Some(site),
            Verdict::Local(_) | Verdict::Speculate(_) | Verdict::Defer(_) | Verdict::Refuse(_) => None,
        };
        let nanos = |time: std::time::Duration| Span::of(time).as_nanos();
        Record {
            task: task.to_owned(),
            claimed: entry.travel.claimed.clone(),
            cap: entry.travel.cap.map(|cap| cap.as_str().to_owned()),
            uid: match caller {
                Caller::Bus { uid, .. } | Caller::Peer { uid, .. } => Some(*uid),
                Caller::Broker { .. } => None,
            },
            topic: matches!(caller, Caller::Broker { .. }).then(|| entry.topic.to_string()),
            tensors: matches!(entry.payload, Payload::Tensors(_)),
            fills: entry.travel.fills,
            deferrable: meta.deferrable,
            bytes: meta.bytes.0,
            input_tokens: meta.terms.tokens.input,
            output_tokens: meta.terms.tokens.output,
            difficulty: meta.terms.difficulty.as_str().to_owned(),
            slack: nanos(core.slack),
            wait: nanos(core.wait),
            predicted: core.predicted.map(nanos),
            barred: matches!(core.here, Verdict::Refuse(refusal) if matches!(refusal.reason, Reason::TooHot | Reason::Held)),
            here,
            overloaded,
            place: if meta.terms.here == Here::Yes { "yes".into() } else { "no_model".into() },
            sites: seen
                .map(|(judged, known)| Seen {
                    name: known.name.to_string(),
                    zone: known.config.core.zone.as_str().into(),
                    off: judged.seen.off,
                    tripped: judged.seen.tripped,
                    open: judged.seen.open,
                    likely: judged.seen.likely.as_nanos(),
                    sure: judged.seen.sure.as_nanos(),
                    waited: judged.answer == Err(Bar::Full) && chosen == Some(judged.site),
                })
                .collect(),
            verdict: core.verdict.as_str().into(),
            class: core.class.as_str().into(),
            site: chosen.and_then(|site| sites.get(site)).map(|known| known.name.to_string()),
            cost: chosen.and_then(|site| core.sites.iter().find(|judged| judged.site == site)?.cost).map(|cost| cost.0),
        }
    }
}

impl Replaying {
    fn new(mut policy: PolicyFile) -> Replaying {
        policy.policy.sites = policy.sites.iter().map(|site| site.core).collect();
        let number = |name: &str| {
            let at = policy.sites.iter().position(|site| site.name == name)?;
            u8::try_from(at).ok().map(SiteId)
        };
        Replaying {
            rules: Rules::new(&policy.rules, number),
            policy,
            query: DecisionQuery::default(),
            decisions: 0,
            first: None,
            last: None,
            shares: BTreeMap::new(),
            cost: (0, 0),
            in_time: (0, 0),
            left: (0, 0),
            newly: BTreeMap::new(),
            spent: BTreeMap::new(),
            unreadable: 0,
            guessed: 0,
        }
    }

    pub(in crate::driver) fn query(&self) -> DecisionQuery {
        self.query.clone()
    }

    /// Some decisions more, the oldest first.
    pub(in crate::driver) fn take(&mut self, rows: &[Decision]) {
        for row in rows {
            match serde_json::from_slice::<Record>(&row.record) {
                Ok(record) => self.decide(row, &record),
                Err(_) => self.unreadable += u64::from(row.weight),
            }
        }
    }

    fn decide(&mut self, row: &Decision, record: &Record) {
        let weight = u64::from(row.weight.max(1));
        self.decisions += weight;
        self.first.get_or_insert(row.at_ms);
        self.last = Some(row.at_ms);
        let (verdict, class, zone, cost, in_time) = self.again(row, record);
        let name = |verdict: Verdict| match verdict {
            Verdict::Spill(site, _) => {
                self.policy.sites.get(usize::from(site.0)).map(|site| site.name.clone()).unwrap_or_default()
            }
            Verdict::Local(_) | Verdict::Speculate(_) => String::new(),
            Verdict::Defer(_) => "deferred".into(),
            Verdict::Refuse(_) => "refused".into(),
        };
        let now = name(verdict);
        let was = match record.verdict.as_str() {
            "spill" => record.site.clone().unwrap_or_default(),
            "defer" => "deferred".into(),
            "refuse" => "refused".into(),
            _ => String::new(),
        };
        let was_zone =
            record.sites.iter().find(|site| Some(&site.name) == record.site.as_ref()).map(|site| site.zone.clone());
        let was_zone = was_zone.filter(|_| record.verdict == "spill").unwrap_or_default();
        self.shares.entry((was, was_zone.clone())).or_default().0 += weight;
        self.shares.entry((now, zone.map_or_else(String::new, |zone| zone.as_str().into()))).or_default().1 += weight;
        self.cost.0 += record.cost.unwrap_or(0) * weight;
        self.cost.1 += cost * weight;
        self.in_time.0 += weight * u64::from(was_in_time(record));
        self.in_time.1 += weight * u64::from(in_time);
        let before = zone_of(&was_zone);
        self.left.0 += weight * u64::from(before.is_some_and(|zone| zone > Zone::Device));
        self.left.1 += weight * u64::from(zone.is_some_and(|zone| zone > Zone::Device));
        if zone > before && zone.is_some_and(|zone| zone > Zone::Device) {
            *self.newly.entry(class.as_str().into()).or_default() += weight;
        }
    }

    /// What this policy makes of it: the verdict, the class, the zone of the site, the cost, and whether it would be in time.
    fn again(&mut self, row: &Decision, record: &Record) -> (Verdict, DataClass, Option<Zone>, u64, bool) {
        let claim = match record.claimed.as_str() {
            "" => ClassClaim::Unlabelled,
            word => DataClass::from_word(word).map_or(ClassClaim::Unknown, ClassClaim::Claimed),
        };
        let origin = if record.topic.is_some() { Origin::Broker } else { Origin::Bus };
        let core = &self.policy.policy;
        let claimed = edge_core::classify::of_claim(claim, origin, core);
        let source = match (&record.topic, record.uid) {
            (Some(topic), _) => Source::Mqtt { topic },
            (None, uid) => Source::Bus { uid: uid.unwrap_or(0) },
        };
        let asked = Asked { model: &row.model, task: &record.task, source, class: claimed };
        let said = self.rules.terms(&asked, self.policy.routing.objective);
        let (capable, stronger) = self.capable(&row.model, record);
        let mut terms = edge_core::Terms { capable, stronger, ..edge_core::Terms::default() };
        said.put(&mut terms);
        let cap = record.cap.as_deref().and_then(DataClass::from_word).unwrap_or(DataClass::Public);
        // What a rule has taken out cannot be told from the record: it counts as still in it.
        terms.ceiling = terms.ceiling.min(cap);
        let class = claimed.min(terms.ceiling);
        terms.tokens = Tokens { input: record.input_tokens, output: record.output_tokens };
        terms.difficulty = match record.difficulty.as_str() {
            "easy" => Difficulty::Easy,
            "hard" => Difficulty::Hard,
            "unknown" => Difficulty::Unknown,
            _ => Difficulty::Unrated,
        };
        terms.here = if record.place == "yes" { Here::Yes } else { Here::NoModel };
        let local = Local {
            verdict: here(record),
            predicted: record.predicted.map(Span::from_nanos),
            wait: Span::from_nanos(record.wait),
            barred: record.barred.then_some(Reason::Throttled),
        };
        let ask = Ask {
            class,
            terms: &terms,
            bytes: Bytes(record.bytes),
            slack: Span::from_nanos(record.slack),
            tried: Set::NONE,
        };
        let day = row.at_ms.div_euclid(86_400_000);
        let site = |id: SiteId| self.seen(id, record, day);
        let wait = |full: Offer, _| self.waited(full.site, record);
        let around = Around { site: &site, wait: &wait, tried: Set::NONE, deferred: 0 };
        let verdict = onward(&local, record.deferrable, &ask, around, core);
        let seen = match verdict {
            Verdict::Spill(id, _) => Some((id, site(id))),
            Verdict::Local(_) | Verdict::Speculate(_) | Verdict::Defer(_) | Verdict::Refuse(_) => None,
        };
        match seen {
            Some((id, seen)) => {
                let config = self.policy.sites.get(usize::from(id.0));
                let cost =
                    config.and_then(|site| edge_core::spill::cost(&site.core, terms.tokens, None)).unwrap_or_default();
                *self.spent.entry((day, id.0)).or_default() += cost.0;
                if config.is_some_and(|site| record.sites.iter().all(|seen| seen.name != site.name)) {
                    self.guessed += 1;
                }
                (verdict, class, config.map(|site| site.core.zone), cost.0, seen.sure <= ask.slack)
            }
            None => {
                let in_time = matches!(verdict, Verdict::Local(_) | Verdict::Speculate(_));
                (verdict, class, None, 0, in_time)
            }
        }
    }

    /// Sites that serve a model in this form, and those whose answers are better.
    fn capable(&self, model: &str, record: &Record) -> (Set, Set) {
        let mut sets = (Set::NONE, Set::NONE);
        for (id, site) in (0..u8::MAX).map(SiteId).zip(&self.policy.sites) {
            if site.model(model).is_some() && super::terms::takes_form(&site.protocol, record.tensors, record.fills) {
                sets.0 = sets.0.with(id);
                sets.1 = if site.is_stronger(model) { sets.1.with(id) } else { sets.1 };
            }
        }
        sets
    }

    /// What runs at a full site is not recorded: a place there is waited for where it was.
    fn waited(&self, id: SiteId, record: &Record) -> Place {
        let config = self.policy.sites.get(usize::from(id.0));
        let waited = config.is_some_and(|site| record.sites.iter().any(|seen| seen.waited && seen.name == site.name));
        if waited { Place::Here { leave_at: Mono::MAX } } else { Place::Away }
    }

    fn seen(&self, id: SiteId, record: &Record, day: i64) -> SiteSeen {
        let spent = NanoUsd(self.spent.get(&(day, id.0)).copied().unwrap_or(0));
        let config = self.policy.sites.get(usize::from(id.0));
        let known = config.and_then(|config| record.sites.iter().find(|seen| seen.name == config.name));
        let (off, tripped, open, likely, sure) = match (known, config) {
            (Some(seen), _) => {
                (seen.off, seen.tripped, seen.open, Span::from_nanos(seen.likely), Span::from_nanos(seen.sure))
            }
            (None, Some(config)) => {
                let believed = Latency::new(config.core.zone);
                let at = |permille| believed.quantile(Mono::default(), record.bytes, permille);
                (false, false, 0, at(500), at(950))
            }
            (None, None) => (true, true, 0, Span::MAX, Span::MAX),
        };
        SiteSeen { off, tripped, open, spent, likely, sure, answer_tokens: None }
    }

    /// What came of it.
    pub(in crate::driver) fn finish(self, node: &str) -> Replay {
        let all = self.decisions.max(1);
        #[expect(clippy::cast_precision_loss, reason = "a share that people read")]
        let share = |part: u64| part as f64 / all as f64;
        let named = |name: String| if name.is_empty() { node.to_owned() } else { name };
        let shares = self.shares.into_iter().map(|((site, zone), (was, would_be))| ReplayShare {
            site: named(site),
            zone,
            was,
            would_be,
        });
        let mut caveats = vec![
            "what waits here, and what is open at sites, is taken as it was: a policy that sends less away would have longer waits here"
                .to_owned(),
        ];
        if self.guessed > 0 {
            caveats.push(format!(
                "{} decisions go to sites that were not known then: their times are what is believed of their zones",
                self.guessed
            ));
        }
        if self.unreadable > 0 {
            caveats.push(format!("{} decisions could not be read", self.unreadable));
        }
        Replay {
            decisions: self.decisions,
            from: self.first.map(rfc3339).unwrap_or_default(),
            until: self.last.map(rfc3339).unwrap_or_default(),
            shares: shares.collect(),
            cost_was_usd: usd(NanoUsd(self.cost.0)),
            cost_would_be_usd: usd(NanoUsd(self.cost.1)),
            in_time_was: share(self.in_time.0),
            in_time_would_be: share(self.in_time.1),
            left_was: self.left.0,
            left_would_be: self.left.1,
            newly_leaving: self.newly.into_iter().map(|(class, count)| format!("{class} {count}")).collect(),
            caveats,
        }
    }
}

/// What this box by itself said.
fn here(record: &Record) -> Verdict {
    let Some(word) = &record.here else {
        return Verdict::Local(if record.deferrable { Reason::Deferrable } else { Reason::Feasible });
    };
    let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == word).unwrap_or(Reason::PredictedWait);
    let code = if record.overloaded { RefusalCode::Overloaded } else { RefusalCode::Unavailable };
    Verdict::Refuse(Refusal { code, reason, retry_after: None, predicted: None, away: None })
}

fn was_in_time(record: &Record) -> bool {
    match record.verdict.as_str() {
        "spill" => {
            let seen = record.sites.iter().find(|seen| Some(&seen.name) == record.site.as_ref());
            seen.is_some_and(|seen| seen.sure <= record.slack)
        }
        "local" | "speculate" => true,
        _ => false,
    }
}

fn zone_of(word: &str) -> Option<Zone> {
    [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud].into_iter().find(|zone| zone.as_str() == word)
}
