//! `[[rule]]`: which requests the operator speaks of, and what of them. Decides what a rule may say, and finds every fault of
//! all of them. What holds for one request is found in [`terms`](super::terms).

mod keys;
mod patterns;

use std::collections::BTreeSet;

use edge_core::{Country, DataClass, Demands, Objective, Ratio};
use edge_wire::dto::Problem;

pub use self::keys::{GROUP, MOST, TASKS};
pub use self::patterns::{Glob, Source, SourceMatch};
use super::raw::{Fault, Values};
use super::records::Record;
use super::routing::{DetectConfig, RoutingConfig};
use super::sites::{Around, SiteConfig};

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    pub when: When,
    pub says: Says,
}

/// Which requests a rule speaks of: those that each of these matches. An empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    pub models: Vec<Glob>,
    pub tasks: Vec<String>,
    pub sources: Vec<SourceMatch>,
    pub classes: Vec<DataClass>,
}

/// What a rule says of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Says {
    /// Freest class that they may have.
    pub ceiling: Option<DataClass>,
    /// The only sites that they may go to; an empty list: none.
    pub sites: Option<Vec<String>>,
    /// Sites that they may not go to.
    pub not_sites: Vec<String>,
    pub demands: Demands,
    pub objective: Option<Objective>,
    /// Whether a second site may be asked when the first is late.
    pub hedge: Option<bool>,
    pub check: Option<Check>,
    /// Where doubtful ones are asked for again; `None`: at the sites that are stronger.
    pub escalate_to: Option<Vec<String>>,
    /// Whether the learnt model is asked how hard they are.
    pub difficulty: Option<bool>,
    /// The class of a text whose findings were taken out.
    pub redact: Option<DataClass>,
    /// Share of this box's answers that a stronger site is asked for too, to compare.
    pub sample: Option<Ratio>,
}

/// When an answer of this box is doubtful. What is `None` is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Check {
    /// The best score is below this.
    pub min_score: Option<Ratio>,
    /// The best score is less than this above the second.
    pub min_margin: Option<Ratio>,
    /// A larger share of the text than this repeats itself.
    pub max_repetition: Option<Ratio>,
    /// Its tokens, or the least sure line, were less sure than this.
    pub min_confidence: Option<Ratio>,
    /// It is no document of the schema that was asked for.
    pub schema: bool,
    /// It ended because it was too long.
    pub truncation: bool,
}

/// What was read of all rules.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub rules: Vec<Rule>,
    /// What is not wrong and should be known.
    pub warnings: Vec<Problem>,
}

/// What rules may name.
struct Known<'a> {
    around: &'a Around<'a>,
    sites: &'a BTreeSet<String>,
    /// Models that sites have by these names.
    models: BTreeSet<&'a str>,
    routing: &'a RoutingConfig,
    detect: &'a DetectConfig,
}

/// The rules of these values; faults are noted there. `named` are the names of all sites, of those with faults too.
pub fn read(
    values: &mut Values,
    around: &Around<'_>,
    sites: &[SiteConfig],
    named: &BTreeSet<String>,
    (routing, detect): (&RoutingConfig, &DetectConfig),
) -> Read {
    let records = values.take_records(&GROUP);
    values.faults.extend(super::records::same_names(&records));
    if records.len() > MOST {
        values.fault(None, "rule", format!("there are {}: takes at most {MOST}", records.len()));
    }
    let models = sites.iter().flat_map(|site| site.models.keys()).map(String::as_str).collect();
    let known = Known { around, sites: named, models, routing, detect };
    let mut out = Read::default();
    for record in &records {
        let mut reader = Reader { record, known: &known, faults: Vec::new(), warnings: Vec::new() };
        out.rules.extend(reader.rule());
        values.faults.append(&mut reader.faults);
        out.warnings.append(&mut reader.warnings);
    }
    out
}

struct Reader<'a> {
    record: &'a Record,
    known: &'a Known<'a>,
    faults: Vec<Fault>,
    warnings: Vec<Problem>,
}

impl Reader<'_> {
    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(self.record.fault(key, message.into()));
    }

    fn rule(&mut self) -> Option<Rule> {
        self.faults.extend(self.record.missing("name"));
        for key in ["models", "tasks", "sources", "classes"] {
            if self.record.value(key).and_then(toml::Value::as_array).is_some_and(Vec::is_empty) {
                self.fault(key, "an empty list matches nothing: leave the key out to match all");
            }
        }
        let when =
            When { models: self.models(), tasks: self.tasks(), sources: self.sources(), classes: self.classes() };
        let says = self.says();
        Some(Rule { name: self.record.name.clone()?, when, says })
    }

    fn models(&mut self) -> Vec<Glob> {
        let mut globs = Vec::new();
        for text in self.record.texts("models") {
            let Some(glob) = Glob::new(&text) else {
                let takes = "takes 1 to 64 letters, digits, `_`, `-` and `.`, `*` for any of them, `?` for one";
                self.fault("models", format!("{text:?} is no pattern of names: {takes}"));
                continue;
            };
            self.look_for_model(&glob, &text);
            globs.push(glob);
        }
        globs
    }

    /// A name that no model has is a fault where all are known; a pattern may be there for one that is still to come.
    fn look_for_model(&mut self, glob: &Glob, text: &str) {
        let here = self.known.around.machine.models.as_deref();
        let is_known = self.known.models.iter().any(|name| glob.matches(name))
            || here.is_some_and(|here| here.iter().any(|name| glob.matches(name)));
        if is_known {
            return;
        }
        if here.is_some() && glob.is_name() {
            return self.fault("models", format!("{text:?}: no model of this box or of a site has this name"));
        }
        let what = match here {
            Some(_) => format!("{text:?} matches no model of this box or of a site"),
            None => format!("{text:?} matches no model of a site, and nobody looked for those of this box"),
        };
        let subject = self.record.place("models");
        let remedy = "correct it if a model of this box is not meant; the rule holds as it is";
        self.warnings.push(Problem { subject, what, remedy: remedy.into() });
    }

    fn tasks(&mut self) -> Vec<String> {
        self.record.texts("tasks")
    }

    fn classes(&self) -> Vec<DataClass> {
        self.record.texts("classes").iter().filter_map(|word| DataClass::from_word(word)).collect()
    }

    fn sources(&mut self) -> Vec<SourceMatch> {
        let mut sources = Vec::new();
        for text in self.record.texts("sources") {
            match SourceMatch::parse(&text, self.known.around.machine.user_id) {
                Ok(source) => sources.push(source),
                Err(why) => self.fault("sources", why),
            }
        }
        sources
    }

    /// A list of sites; each must be there.
    fn sites(&mut self, key: &str) -> Option<Vec<String>> {
        let list = self.record.is_set(key).then(|| self.record.texts(key))?;
        let known = self.known.sites;
        for name in list.iter().filter(|name| !known.contains(*name)) {
            let there = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let there = if there.is_empty() { "there is none".into() } else { format!("there are {there}") };
            self.fault(key, format!("{name:?} is no site: {there}"));
        }
        Some(list)
    }

    fn says(&mut self) -> Says {
        let record = self.record;
        let class = |key: &str| record.text(key).and_then(|word| DataClass::from_word(&word));
        let says = Says {
            ceiling: class("ceiling"),
            sites: self.sites("sites"),
            not_sites: self.sites("not_sites").unwrap_or_default(),
            demands: self.demands(),
            objective: record.text("objective").and_then(|word| Objective::from_word(&word)),
            hedge: record.is_set("hedge").then(|| record.flag("hedge")),
            check: self.check(),
            escalate_to: self.sites("escalate_to"),
            difficulty: record.is_set("difficulty").then(|| record.flag("difficulty")),
            redact: class("redact.to"),
            sample: self.ratio("sample"),
        };
        self.between(&says);
        says
    }

    fn demands(&self) -> Demands {
        let mut jurisdictions = [None; Demands::COUNTRIES];
        let words = self.record.texts("jurisdiction");
        for (place, word) in jurisdictions.iter_mut().zip(&words) {
            *place = Country::new(word);
        }
        let days = self.record.is_set("retention_days").then(|| self.record.int("retention_days"));
        Demands {
            jurisdictions,
            retention_days: days.map(|days| u16::try_from(days).unwrap_or(u16::MAX)),
            no_training: self.record.flag("no_training"),
        }
    }

    fn ratio(&self, key: &str) -> Option<Ratio> {
        self.record.is_set(key).then(|| Ratio::new(self.record.number(key))).flatten()
    }

    fn check(&self) -> Option<Check> {
        let check = Check {
            min_score: self.ratio("check.min_score"),
            min_margin: self.ratio("check.min_margin"),
            max_repetition: self.ratio("check.max_repetition"),
            min_confidence: self.ratio("check.min_confidence"),
            schema: self.record.flag("check.schema"),
            truncation: self.record.flag("check.truncation"),
        };
        // `false` says something too: no later rule has them looked at.
        self.record.iter().any(|(path, _)| path.starts_with("check.")).then_some(check)
    }

    /// Rules between what one rule says.
    fn between(&mut self, says: &Says) {
        let says_something = keys::SAYING.iter().any(|key| self.record.was_given(key));
        if !says_something {
            self.fault("", format!("says nothing: takes at least one of {}", keys::SAYING.join(", ")));
        }
        if says.redact.is_some() && !self.known.detect.enabled {
            self.fault("redact.to", "nothing is found to be taken out while `detect.enabled` is false");
        }
        if let (Some(to), Some(ceiling)) = (says.redact, says.ceiling)
            && to > ceiling
        {
            let (to, ceiling) = (to.as_str(), ceiling.as_str());
            self.fault(
                "redact.to",
                format!("\"{to}\" is freer than this rule's `ceiling` \"{ceiling}\": takes that or a stricter class"),
            );
        }
        if says.difficulty == Some(true) && self.known.routing.difficulty_model.is_none() {
            self.fault("difficulty", "true, but there is no model to ask: set `routing.difficulty_model`");
        }
        let escalates = says.check.is_some() || says.difficulty == Some(true) || says.sample.is_some();
        if says.escalate_to.is_some() && !escalates {
            self.fault(
                "escalate_to",
                "set without `check`, `difficulty` or `sample`, which say what is asked for again",
            );
        }
        for name in says.sites.iter().flatten().filter(|name| says.not_sites.contains(name)) {
            self.fault("not_sites", format!("{name:?} is in `sites` too: takes it in one of them"));
        }
    }
}

#[cfg(test)]
mod tests;
