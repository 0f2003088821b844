//! What the operator's rules say of one request. Pure, and allocates nothing: whoever wants to know in words asks for them
//! afterwards. Must not know a request's payload, nor what sites do.

use std::fmt;

use edge_core::{DataClass, Demands, Objective, Ratio, SiteId, Sites, Terms};

use super::rules::{Check, MOST, Rule, Says, Source, When};

/// A request as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub model: &'a str,
    /// The model's task.
    pub task: &'a str,
    pub source: Source<'a>,
    /// As claimed, and cut by the ceiling of the source.
    pub class: DataClass,
}

/// Rules with the numbers that sites have.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Bound>,
}

#[derive(Clone, Debug)]
struct Bound {
    rule: Rule,
    /// Sites that it lets a request go to.
    allowed: Sites,
    escalate_to: Option<Sites>,
}

/// Some of the rules, by their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoke(u64);

const _: () = assert!(MOST <= 64, "a rule is a bit of a word");

/// What all rules that speak of a request say together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// Freest class that it may have: the strictest.
    pub ceiling: DataClass,
    /// Sites that all of them let it go to.
    pub allowed: Sites,
    /// What all of them demand of a site.
    pub demands: Demands,
    /// What the first that says it seeks.
    pub objective: Objective,
    /// Whether a second site may be asked, if the site allows it too.
    pub may_hedge: bool,
    /// When its answer is doubtful.
    pub check: Option<Check>,
    /// Where it is asked for again; `None`: at the stronger sites.
    pub escalate_to: Option<Sites>,
    /// Whether the learnt model is asked.
    pub difficulty: bool,
    /// The class of its text once the findings are taken out, never freer than `ceiling`.
    pub redact: Option<DataClass>,
    /// How often its answer is compared.
    pub sample: Ratio,
    /// Which rules spoke.
    pub spoke: Spoke,
}

impl Said {
    /// Of a request that no rule speaks of.
    pub const fn nothing(objective: Objective) -> Said {
        Said {
            ceiling: DataClass::Public,
            allowed: Sites::ALL,
            demands: Demands { jurisdictions: [None; Demands::COUNTRIES], retention_days: None, no_training: false },
            objective,
            may_hedge: true,
            check: None,
            escalate_to: None,
            difficulty: false,
            redact: None,
            sample: Ratio::ZERO,
            spoke: Spoke(0),
        }
    }

    /// Puts it into the terms of a request, which can only become stricter by it.
    pub fn put(&self, terms: &mut Terms) {
        terms.ceiling = terms.ceiling.min(self.ceiling);
        terms.allowed = terms.allowed.and(self.allowed);
        terms.demands = terms.demands.and(&self.demands);
        terms.objective = self.objective;
        terms.may_hedge = self.may_hedge;
        terms.checked = self.check.is_some();
        if let Some(sites) = self.escalate_to {
            terms.stronger = sites.and(terms.capable);
        }
    }

    fn add(&mut self, place: usize, bound: &Bound) {
        let says = &bound.rule.says;
        self.ceiling = says.ceiling.map_or(self.ceiling, |ceiling| self.ceiling.min(ceiling));
        self.allowed = self.allowed.and(bound.allowed);
        self.demands = self.demands.and(&says.demands);
        self.spoke = self.spoke.with(place);
    }
}

/// What the first rule said of each point where the first one counts.
#[derive(Clone, Copy, Default)]
struct First {
    objective: Option<Objective>,
    hedge: Option<bool>,
    check: Option<Check>,
    escalate_to: Option<Sites>,
    difficulty: Option<bool>,
    redact: Option<DataClass>,
    sample: Option<Ratio>,
}

impl First {
    fn add(&mut self, bound: &Bound) {
        let says = &bound.rule.says;
        self.objective = self.objective.or(says.objective);
        self.hedge = self.hedge.or(says.hedge);
        self.check = self.check.or(says.check);
        self.escalate_to = self.escalate_to.or(bound.escalate_to);
        self.difficulty = self.difficulty.or(says.difficulty);
        self.redact = self.redact.or(says.redact);
        self.sample = self.sample.or(says.sample);
    }

    fn put(self, said: &mut Said) {
        said.objective = self.objective.unwrap_or(said.objective);
        said.may_hedge = self.hedge.unwrap_or(said.may_hedge);
        said.check = self.check;
        said.escalate_to = self.escalate_to;
        said.difficulty = self.difficulty.unwrap_or(said.difficulty);
        said.redact = self.redact.map(|class| class.min(said.ceiling));
        said.sample = self.sample.unwrap_or(said.sample);
    }
}

impl Spoke {
    const fn with(self, place: usize) -> Spoke {
        Spoke(if place < MOST { self.0 | (1 << place) } else { self.0 })
    }

    fn has(self, place: usize) -> bool {
        place < MOST && self.0 & (1 << place) != 0
    }

    /// Whether none spoke.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Rules {
    /// These rules; `number` gives a site's number. A site without one is in no list: it is not there.
    pub fn new(rules: &[Rule], number: impl Fn(&str) -> Option<SiteId>) -> Rules {
        let set = |names: &[String]| names.iter().filter_map(|name| number(name)).collect::<Sites>();
        let bound = |rule: &Rule| Bound {
            allowed: rule.says.sites.as_deref().map_or(Sites::ALL, set).without(set(&rule.says.not_sites)),
            escalate_to: rule.says.escalate_to.as_deref().map(set),
            rule: rule.clone(),
        };
        Rules { rules: rules.iter().take(MOST).map(bound).collect() }
    }

    /// What they say of a request together; `objective` holds if none of them says one.
    pub fn terms(&self, ask: &Ask<'_>, objective: Objective) -> Said {
        let mut said = Said::nothing(objective);
        let mut first = First::default();
        for (place, bound) in self.rules.iter().enumerate().filter(|(_, bound)| bound.rule.when.matches(ask)) {
            said.add(place, bound);
            first.add(bound);
        }
        first.put(&mut said);
        said
    }

    /// The rules that spoke, each with what it said.
    pub fn told(&self, spoke: Spoke) -> impl Iterator<Item = (&str, &Says)> {
        let rules = self.rules.iter().enumerate().filter(move |(place, _)| spoke.has(*place));
        rules.map(|(_, bound)| (bound.rule.name.as_str(), &bound.rule.says))
    }

    /// Their names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|bound| bound.rule.name.as_str())
    }
}

impl When {
    /// Whether a request is one of those.
    pub fn matches(&self, ask: &Ask<'_>) -> bool {
        (self.classes.is_empty() || self.classes.contains(&ask.class))
            && (self.tasks.is_empty() || self.tasks.iter().any(|task| task == ask.task))
            && (self.models.is_empty() || self.models.iter().any(|glob| glob.matches(ask.model)))
            && (self.sources.is_empty() || self.sources.iter().any(|source| source.matches(ask.source)))
    }
}

/// As it stands in the file, without the name and what it matches.
impl fmt::Display for Says {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Parts { out, any: false };
        parts.add("ceiling", self.ceiling.map(DataClass::as_str))?;
        parts.list("sites", self.sites.as_deref())?;
        parts.list("not_sites", Some(self.not_sites.as_slice()).filter(|list| !list.is_empty()))?;
        let countries: Vec<&str> =
            self.demands.jurisdictions.iter().flatten().map(|country| country.as_str()).collect();
        parts.list("jurisdiction", Some(countries.as_slice()).filter(|list| !list.is_empty()))?;
        parts.add("retention_days", self.demands.retention_days)?;
        parts.add("no_training", self.demands.no_training.then_some(true))?;
        parts.add("objective", self.objective.map(Objective::as_str))?;
        parts.add("hedge", self.hedge)?;
        if let Some(check) = &self.check {
            for (key, ratio) in [
                ("check.min_score", check.min_score),
                ("check.min_margin", check.min_margin),
                ("check.max_repetition", check.max_repetition),
                ("check.min_confidence", check.min_confidence),
            ] {
                parts.add(key, ratio.map(Ratio::get))?;
            }
            parts.add("check.schema", Some(check.schema))?;
            parts.add("check.truncation", Some(check.truncation))?;
        }
        parts.list("escalate_to", self.escalate_to.as_deref())?;
        parts.add("difficulty", self.difficulty)?;
        parts.add("redact.to", self.redact.map(DataClass::as_str))?;
        parts.add("sample", self.sample.map(Ratio::get))
    }
}

/// Keys with their values, one after the other.
struct Parts<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    any: bool,
}

impl Parts<'_, '_> {
    fn add(&mut self, key: &str, value: Option<impl fmt::Debug>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let comma = if std::mem::replace(&mut self.any, true) { ", " } else { "" };
        write!(self.out, "{comma}{key} = {value:?}")
    }

    fn list(&mut self, key: &str, list: Option<&[impl fmt::Debug]>) -> fmt::Result {
        self.add(key, list)
    }
}

#[cfg(test)]
mod tests;
