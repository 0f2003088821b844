//! Other places that can serve: how they are, and what they cost.

use std::fmt;

use edge_wire::dto::Status;
use edge_wire::sites::SiteStatus;

use super::out::{Column, Out, count, truth};
use super::table::{self, Family};

const STATES: [&str; 4] = ["passing", "tripped", "probing", "off"];

pub(super) fn write(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let sites = &status.routing.sites;
    let states =
        sites.iter().flat_map(|site| STATES.map(|state| ([site.name.as_str(), state], truth(site.state == state))));
    out.values(&table::SITE, states)?;
    let columns: [Column<SiteStatus>; 6] = [
        (&table::SITE_P50, |site| Some(site.p50_ms / 1000.0)),
        (&table::SITE_P95, |site| Some(site.p95_ms / 1000.0)),
        (&table::SITE_ERRORS, |site| Some(site.error_rate)),
        (&table::SITE_OPEN, |site| Some(f64::from(site.open))),
        (&table::SITE_MOST, |site| Some(f64::from(site.max_open))),
        (&table::SITE_WAITING, |site| Some(f64::from(site.waiting))),
    ];
    columns.into_iter().try_for_each(|(family, of)| column(out, family, sites, of))?;
    let attempts = sites.iter().flat_map(|site| {
        let outcomes = [("done", site.done), ("failed", site.failed)];
        outcomes.map(|(outcome, number)| ([site.name.as_str(), outcome], count(number)))
    });
    out.values(&table::SITE_ATTEMPTS, attempts)?;
    column(out, &table::SITE_SPENT, sites, |site| Some(site.spent_usd))?;
    column(out, &table::SITE_BUDGET, sites, |site| site.budget_usd)?;
    column(out, &table::SITE_LEFT, sites, |site| site.budget_usd.map(|budget| (budget - site.spent_usd).max(0.0)))?;
    let fallbacks = status.routing.fallbacks.iter();
    let counted = fallbacks.map(|taken| ([taken.failure.as_str(), taken.step.as_str()], count(taken.count)));
    out.values(&table::FALLBACKS, counted)
}

fn column(out: &mut Out<'_>, family: &Family, sites: &[SiteStatus], of: fn(&SiteStatus) -> Option<f64>) -> fmt::Result {
    out.values(family, sites.iter().filter_map(|site| Some(([site.name.as_str()], of(site)?))))
}
