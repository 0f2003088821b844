//! `edgectl sites`: the table of other sites, what is to be known of each, and what waits, went away and was tried.

use edge_wire::sites::{FallbackCount, RoutingStatus, SiteStatus};

use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{count, millis, percent, span, usd};

/// Times that rest on fewer answers are mostly what is believed of the zone.
const FEW: u32 = 5;

/// Everything about them.
pub fn sites(routing: &RoutingStatus) -> String {
    let parts = [table_of(&routing.sites), each(&routing.sites), sums(routing)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn table_of(sites: &[SiteStatus]) -> String {
    if sites.is_empty() {
        return "no other sites: there is no [[site]] in the configuration\n".into();
    }
    let head = [
        ("SITE", Align::Left),
        ("ZONE", Align::Left),
        ("STATE", Align::Left),
        ("P50", Align::Right),
        ("P95", Align::Right),
        ("OF", Align::Right),
        ("ERRORS", Align::Right),
        ("OPEN", Align::Right),
        ("USD/DAY", Align::Right),
    ];
    let mut text = table(&head, &sites.iter().map(row).collect::<Vec<_>>());
    if sites.iter().any(|site| site.observed < FEW) {
        text.push_str("~ rests on fewer than 5 answers: mostly what is believed of the zone\n");
    }
    text
}

fn row(site: &SiteStatus) -> Vec<String> {
    let about = if site.observed < FEW { "~" } else { "" };
    vec![
        clean(&site.name),
        clean(&site.zone),
        clean(&site.state),
        format!("{about}{}", brief(site.p50_ms)),
        format!("{about}{}", brief(site.p95_ms)),
        site.observed.to_string(),
        percent(site.error_rate),
        open(site),
        spent(site),
    ]
}

/// Requests that are open there of those that may be, and those that wait for a place.
fn open(site: &SiteStatus) -> String {
    let waiting = if site.waiting > 0 { format!("+{}", site.waiting) } else { String::new() };
    format!("{}/{}{waiting}", site.open, site.max_open)
}

/// A time in few letters: what is estimated has no tenths.
fn brief(ms: f64) -> String {
    if (10.0..999.5).contains(&ms) { format!("{ms:.0} ms") } else { millis(ms) }
}

/// What was spent there today, and what may be.
fn spent(site: &SiteStatus) -> String {
    match site.budget_usd {
        Some(budget) => format!("{}/{}", usd(site.spent_usd), usd(budget)),
        None if site.prices_as_of.is_empty() => "-".into(),
        None => usd(site.spent_usd),
    }
}

/// What no column has room for: where it is, what it serves, why it is not asked.
fn each(sites: &[SiteStatus]) -> String {
    sites.iter().map(one).collect()
}

fn one(site: &SiteStatus) -> String {
    let place = if site.address.is_empty() { String::new() } else { format!(" at {}", site.address) };
    let models = if site.models.is_empty() { "every model by its own name".into() } else { site.models.join(", ") };
    let mut lines = vec![format!("{}: {}{place}: {models}", site.name, site.protocol)];
    if site.state != "passing" || !site.reason.is_empty() {
        lines.push(why(site));
    }
    let mut counts =
        format!("{} and {} since the start", count(site.done, "answer"), count(site.failed, "failed attempt"));
    if !site.prices_as_of.is_empty() {
        counts.push_str(&format!("; prices as of {}", site.prices_as_of));
    }
    lines.push(counts);
    let indents = std::iter::once("  ").chain(std::iter::repeat("    "));
    indents.zip(lines).map(|(indent, line)| paragraph(indent, &clean(&line))).collect()
}

/// `tripped: no connection within 3 s; asked again in 12 s`, or how it passes all the same.
fn why(site: &SiteStatus) -> String {
    let reason = if site.reason.is_empty() { String::new() } else { format!(": {}", site.reason) };
    let again = site.retry_in_ms.map_or(String::new(), |ms| format!("; asked again in {}", span(ms)));
    match site.state.as_str() {
        "passing" => format!("passing, but the last attempt failed{reason}"),
        state => format!("{state}{reason}{again}"),
    }
}

/// What is away, waits, was served elsewhere, and was tried after failures.
fn sums(routing: &RoutingStatus) -> String {
    let RoutingStatus { sites, fallbacks, away, deferred, spilled, audit_fault, serving: _, wait_ms: _ } = routing;
    if sites.is_empty() && *deferred == 0 && *spilled == 0 && fallbacks.is_empty() && audit_fault.is_empty() {
        return String::new();
    }
    let elsewhere = format!("{} now, {spilled} answered since the start", count((*away).into(), "request"));
    let mut text = field("elsewhere", &elsewhere);
    text.push_str(&field("on disk", &waits(*deferred)));
    if !fallbacks.is_empty() {
        let steps: Vec<String> = fallbacks.iter().map(step).collect();
        text.push_str(&field("fallbacks", &clean(&steps.join(", "))));
    }
    if !audit_fault.is_empty() {
        let fault = format!("what leaves the device cannot be noted: {audit_fault}");
        text.push_str(&field("audit", &clean(&fault)));
    }
    text
}

/// `queue_full -> site 12`.
fn step(fallback: &FallbackCount) -> String {
    format!("{} -> {} {}", fallback.failure, fallback.step, fallback.count)
}

fn waits(deferred: u64) -> String {
    let (verb, them) = if deferred == 1 { ("waits", "it") } else { ("wait", "them") };
    format!("{} {verb} until something can serve {them}", count(deferred, "request"))
}

/// For the status: how many there are, which do not pass, what waits on the disk; `None` where there is nothing to tell.
pub fn line(routing: &RoutingStatus) -> Option<String> {
    let RoutingStatus { sites, deferred, .. } = routing;
    if sites.is_empty() && *deferred == 0 {
        return None;
    }
    let named: Vec<String> = sites
        .iter()
        .filter(|site| site.state != "passing")
        .map(|site| format!("{} {}", site.name, site.state))
        .collect();
    let named_in = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    let all = u64::try_from(sites.len()).unwrap_or(u64::MAX);
    let verb = if *deferred == 1 { "waits" } else { "wait" };
    let disk = format!("{} {verb} on the disk", count(*deferred, "request"));
    Some(format!("{}, {} not passing{named_in}; {disk}", count(all, "site"), named.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, state: &str) -> SiteStatus {
        SiteStatus { name: name.into(), state: state.into(), ..SiteStatus::default() }
    }

    #[test]
    fn the_line_of_the_status_names_those_that_do_not_pass() {
        let of =
            |sites: Vec<SiteStatus>, deferred| line(&RoutingStatus { sites, deferred, ..RoutingStatus::default() });
        assert_eq!(of(vec![], 0), None);
        assert_eq!(of(vec![], 1).as_deref(), Some("0 sites, 0 not passing; 1 request waits on the disk"));
        assert_eq!(
            of(vec![site("a", "passing")], 0).as_deref(),
            Some("1 site, 0 not passing; 0 requests wait on the disk")
        );
        let mixed = vec![site("a", "passing"), site("b", "tripped"), site("c", "off")];
        let expected = "3 sites, 2 not passing (b tripped, c off); 14 requests wait on the disk";
        assert_eq!(of(mixed, 14).as_deref(), Some(expected));
    }

    #[test]
    fn a_site_without_a_price_has_spent_nothing_that_anybody_knows() {
        assert_eq!(spent(&site("a", "passing")), "-");
        assert_eq!(spent(&SiteStatus { prices_as_of: "2026-06-01".into(), ..site("a", "passing") }), "0");
        let with = SiteStatus { budget_usd: Some(5.0), spent_usd: 4.2, ..site("a", "passing") };
        assert_eq!(spent(&with), "4.20/5.00");
    }
}
