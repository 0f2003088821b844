//! What would become of a request, told to a person: every rule that was asked, its numbers, and what would have had to differ.

use edge_core::request::Difficulty;
use edge_core::site::Unmet;
use edge_core::{Bar, Explanation as Core, RequestMeta, Verdict};
use edge_wire::sites::{Explanation, RuleAnswer, SiteAnswer};

use super::back::usd;
use super::status::ms;
use super::{Known, terms::Found};
use crate::driver::{Driver, words};
use crate::handle::Profile;
use crate::request::Failure;

impl Driver {
    /// What would become of such a request now. Nothing is changed by asking.
    pub(in crate::driver) fn explain(&mut self, profile: &Profile) -> Result<Explanation, Failure> {
        self.now = self.clock.now();
        let (meta, found) = self.meta_of_profile(profile)?;
        let core = self.core.explain(self.now, &meta);
        let sites = core.sites.iter().filter_map(|judged| Some((judged, self.sites.get(judged.site)?)));
        let sites: Vec<SiteAnswer> = sites.map(|(judged, known)| answer(judged, known, &meta, &core)).collect();
        let name = |site| self.sites.get(site).map_or_else(String::new, |known| known.name.to_string());
        let (site, code) = match core.verdict {
            Verdict::Spill(site, _) => (name(site), ""),
            Verdict::Local(_) | Verdict::Speculate(_) => (self.config.node.clone(), ""),
            Verdict::Defer(_) => (String::new(), ""),
            Verdict::Refuse(refusal) => (String::new(), code_of(refusal.code)),
        };
        let otherwise = otherwise(&core, &sites);
        Ok(Explanation {
            model: profile.model.clone(),
            verdict: core.verdict.as_str().into(),
            reason: core.verdict.reason().into(),
            code: code.into(),
            site,
            data_class: core.class.as_str().into(),
            farthest: core.class.farthest().as_str().into(),
            deadline_ms: ms(core.slack),
            here: core.here.reason().into(),
            wait_ms: ms(core.wait),
            service_ms: core.service.map(ms),
            predicted_ms: core.predicted.map(ms),
            waits_ms: core.waits.map(ms),
            rules: rules(&core, &meta, &found),
            sites,
            otherwise,
        })
    }
}

fn code_of(code: edge_core::RefusalCode) -> &'static str {
    use edge_core::RefusalCode::{Confined, DeadlineExceeded, Internal, Overloaded, Unavailable};
    match code {
        DeadlineExceeded => "deadline_exceeded",
        Overloaded => "overloaded",
        Unavailable => "unavailable",
        Confined => "confined",
        Internal => "internal",
    }
}

fn rules(core: &Core, meta: &RequestMeta, found: &Found) -> Vec<RuleAnswer> {
    let mut rules = Vec::new();
    let mut say = |layer: &str, rule: &str, said: String| {
        rules.push(RuleAnswer { layer: layer.into(), rule: rule.into(), said });
    };
    let (class, farthest) = (core.class.as_str(), core.class.farthest().as_str());
    say("class", "", format!("{class}: may reach zone {farthest} and no farther ({})", found.class));
    for said in &found.detected {
        say("detectors", "", said.clone());
    }
    for (rule, said) in &found.rules {
        say("rule", rule, said.clone());
    }
    let service = core.service.map_or("its run was never measured".into(), |time| format!("{:.1} ms to run", ms(time)));
    let (wait, slack) = (ms(core.wait), ms(core.slack));
    say(
        "here",
        "",
        format!("{}: {wait:.1} ms to wait, {service}, {slack:.0} ms until the deadline", core.here.reason()),
    );
    say("objective", "", meta.terms.objective.as_str().into());
    if meta.terms.difficulty != Difficulty::Unrated {
        say("difficulty", "", format!("{}: {}", meta.terms.difficulty.as_str(), found.difficulty));
    }
    if meta.terms.checked {
        say("check", "", "an answer of this box is looked at before it is given".into());
    }
    rules
}

fn answer(judged: &edge_core::snapshot::Judged, known: &Known, meta: &RequestMeta, core: &Core) -> SiteAnswer {
    let seen = &judged.seen;
    let chosen = matches!(core.verdict, Verdict::Spill(site, _) if site == judged.site);
    let (bar, why) = match (judged.answer, core.waits.filter(|_| chosen)) {
        (Ok(_), _) => ("", "it could serve it".to_owned()),
        (Err(Bar::Full), Some(most)) => {
            ("", format!("all its {} places are taken: waits for one, at most {:.0} ms", seen.open, ms(most)))
        }
        (Err(bar), _) => (bar.as_str(), why(bar, judged, known, meta, core)),
    };
    SiteAnswer {
        site: known.name.to_string(),
        zone: known.config.core.zone.as_str().into(),
        bar: bar.into(),
        why,
        likely_ms: ms(seen.likely.duration()),
        sure_ms: ms(seen.sure.duration()),
        cost_usd: judged.cost.map(usd),
    }
}

/// What bars a site, with its numbers and what would have had to differ.
fn why(bar: Bar, judged: &edge_core::snapshot::Judged, known: &Known, meta: &RequestMeta, core: &Core) -> String {
    let (site, seen) = (&known.config.core, &judged.seen);
    let zone = site.zone.as_str();
    match bar {
        Bar::NotServed => "it does not serve this model in this form: see its `models` and `protocol`".into(),
        Bar::Class => format!(
            "it is in zone {zone}; {} data may reach {} and no farther",
            core.class.as_str(),
            core.class.farthest().as_str()
        ),
        Bar::Unmet(Unmet::Jurisdiction) => format!(
            "a rule demands another jurisdiction than {}",
            site.jurisdiction.as_ref().map_or("an unknown one", |country| country.as_str())
        ),
        Bar::Unmet(Unmet::Retention) => "it keeps data longer than a rule allows, or does not say how long".into(),
        Bar::Unmet(Unmet::Training) => "it learns from data, or does not say that it does not".into(),
        Bar::Rule => "a rule keeps such requests from it".into(),
        Bar::TooLarge => format!("it takes at most {} bytes; these are {}", site.max_bytes.0, meta.bytes.0),
        Bar::Context => format!(
            "it takes at most {} tokens; these are {} and an answer of {}",
            site.context.unwrap_or_default(),
            meta.terms.tokens.input,
            meta.terms.tokens.output
        ),
        Bar::Tried => "it was asked already".into(),
        Bar::Off | Bar::Tripped => format!("it is not asked now: {}", known.last_error),
        Bar::Full => {
            format!("{} requests are open there, the most that may be, and a place would come too late", seen.open)
        }
        Bar::Budget => format!(
            "{:.4} of {:.4} USD are spent today, and this one would cost {}",
            usd(seen.spent),
            site.budget.map(usd).unwrap_or_default(),
            judged.cost.map_or("nobody knows what (it has no price)".into(), |cost| format!("{:.6}", usd(cost)))
        ),
        Bar::TooSlow => format!(
            "nearly all its answers take up to {:.0} ms; {:.0} ms are left",
            ms(seen.sure.duration()),
            ms(core.slack)
        ),
    }
}

/// What would have had to differ for another answer.
fn otherwise(core: &Core, sites: &[SiteAnswer]) -> Vec<String> {
    let mut otherwise = Vec::new();
    if let Verdict::Refuse(refusal) = core.here {
        otherwise.push(format!("this box would serve it if not: {}", words::explain(refusal.reason)));
        if let Some(predicted) = core.predicted.filter(|predicted| *predicted > core.slack) {
            let short = ms(predicted.saturating_sub(core.slack));
            otherwise.push(format!("this box would serve it with a deadline {short:.0} ms later"));
        }
    }
    for site in sites.iter().filter(|site| !site.bar.is_empty() && site.bar != "not_served") {
        otherwise.push(format!("site {} could serve it, but {}", site.site, site.why));
    }
    otherwise
}
