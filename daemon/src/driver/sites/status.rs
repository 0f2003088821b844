//! Other sites as the outside sees them.

use std::time::Duration;

use edge_core::breaker::State;
use edge_core::fallback::{Failure, Step};
use edge_core::{SiteSnapshot, Snapshot};
use edge_wire::dto::Problem;
use edge_wire::sites::{FallbackCount, RoutingStatus, SiteStatus};

use super::Known;
use super::back::usd;
use crate::driver::Driver;

impl Driver {
    /// Where requests go, for the status.
    pub(in crate::driver) fn routing_status(&self, snapshot: &Snapshot) -> RoutingStatus {
        let places = snapshot.sites.iter().filter_map(|seen| Some((seen, self.sites.get(seen.site)?)));
        RoutingStatus {
            sites: places.map(|(seen, known)| self.site_status(seen, known)).collect(),
            fallbacks: fallbacks(snapshot),
            away: u32::try_from(snapshot.away).unwrap_or(u32::MAX),
            // The core counts those on their way there, too; whoever reads this takes them for safe.
            deferred: snapshot.deferred.saturating_sub(self.deferred.on_their_way()),
            spilled: self.counters.spilled,
            audit_fault: self.sites.audit_fault.clone(),
            serving: self.runs_requests(snapshot),
            wait_ms: millis(snapshot.wait),
        }
    }

    fn site_status(&self, seen: &SiteSnapshot, known: &Known) -> SiteStatus {
        let config = &known.config;
        let until = match seen.breaker {
            State::Tripped { until, .. } => Some(until),
            State::Passing | State::Probing { .. } => None,
        };
        let reason = match &known.last_error {
            error if error.is_empty() => seen.last_fault.map_or_else(String::new, |fault| fault.as_str().into()),
            error => error.clone(),
        };
        SiteStatus {
            name: config.name.clone(),
            zone: config.core.zone.as_str().into(),
            protocol: known.protocol().into(),
            address: known.place(),
            state: if seen.off { "off".into() } else { seen.breaker.as_str().into() },
            reason,
            retry_in_ms: until.map(|until| millis(until.since(self.now))),
            models: config.models.keys().cloned().collect(),
            p50_ms: ms(seen.likely),
            p95_ms: ms(seen.sure),
            observed: seen.observed,
            error_rate: f64::from(seen.failed_permille) / 1000.0,
            open: u32::from(seen.open),
            max_open: u32::from(config.core.max_open),
            waiting: u32::try_from(seen.waiting).unwrap_or(u32::MAX),
            done: seen.done,
            failed: seen.failed,
            spent_usd: usd(seen.spent),
            budget_usd: config.core.budget.map(usd),
            prices_as_of: config.price_as_of.map(|date| date.to_string()).unwrap_or_default(),
        }
    }

    /// What is known of the sites that have a model, where none of them was sent a request for it.
    pub(in crate::driver) fn why_no_site(&self, model: &str) -> Vec<String> {
        let serving = self.sites.iter().filter(|(_, known)| known.model(model).is_some());
        let said: Vec<String> = serving.filter_map(|(_, known)| no_site(&known.name, &known.last_error)).collect();
        if !said.is_empty() {
            return said;
        }
        vec!["the site that it waited for is not asked any more; `edgectl sites` shows those that there are".into()]
    }

    /// What is not as it should be with other sites.
    pub(in crate::driver) fn site_problems(&self, snapshot: &Snapshot) -> Vec<Problem> {
        let mut problems = Vec::new();
        for seen in &snapshot.sites {
            let Some(known) = self.sites.get(seen.site) else { continue };
            let is_well = matches!(seen.breaker, State::Passing) && !seen.off;
            if is_well {
                continue;
            }
            problems.push(Problem {
                subject: format!("site {}", known.name),
                what: format!("not asked now: {}", known.last_error),
                remedy: remedy(&known.last_error),
            });
        }
        problems.extend(self.book.problems());
        problems.extend(self.deferred.problems());
        problems.extend(self.config.warnings.iter().cloned());
        if self.looking.has_learnt() {
            problems.extend(self.evidence.problems());
        }
        if !self.looking.difficulty_fault.is_empty() {
            problems.push(Problem {
                subject: "routing.difficulty_model".into(),
                what: format!("cannot be used, so that no text counts as easy: {}", self.looking.difficulty_fault),
                remedy: "put the file there that `edgectl route learn` made, then `edgectl reload`".into(),
            });
        }
        if !self.sites.audit_fault.is_empty() {
            problems.push(Problem {
                subject: "audit".into(),
                what: format!("what leaves the device cannot be noted, so nothing leaves: {}", self.sites.audit_fault),
                remedy: format!("{}; `routing.audit` says whether that is demanded", self.book.remedy()),
            });
        }
        problems
    }
}

/// What a site that is not well said last, with its name.
fn no_site(name: &str, error: &str) -> Option<String> {
    match error {
        "" => None,
        error if error.contains(name) => Some(error.to_owned()),
        error => Some(format!("site {name}: {error}")),
    }
}

fn remedy(error: &str) -> String {
    let known = [
        ("credential", "look at the site's `credential`: the file, its mode, and whether the site still takes it"),
        ("TLS", "look at the site's certificate, its `url` and `ca`, and at this box's clock"),
        ("no connection", "look at the network, the site's `url`, and whether it runs"),
    ];
    let found = known.iter().find(|(word, _)| error.contains(word));
    found.map_or("`edgectl sites` shows its state; it is asked again by itself", |(_, remedy)| remedy).into()
}

fn fallbacks(snapshot: &Snapshot) -> Vec<FallbackCount> {
    let steps = || Step::ALL.into_iter().map(Some).chain([None]);
    let all = Failure::ALL.into_iter().flat_map(|failure| steps().map(move |step| (failure, step)));
    let counted = all.map(|(failure, step)| FallbackCount {
        failure: failure.as_str().into(),
        step: step.map_or("refuse", Step::as_str).into(),
        count: snapshot.fallbacks.get(failure, step),
    });
    counted.filter(|fallback| fallback.count > 0).collect()
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_is_not_well_is_named_once() {
        assert_eq!(no_site("srv", ""), None);
        assert_eq!(no_site("srv", "no connection").unwrap(), "site srv: no connection");
        assert_eq!(no_site("srv", "no connection to site srv").unwrap(), "no connection to site srv");
    }
}
