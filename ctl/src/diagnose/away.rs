//! Other sites: whether each is asked, what may still be spent there, how old its prices are, and whether what leaves is noted.

use edge_wire::sites::{RoutingStatus, SiteStatus};

use crate::calendar;
use crate::check::Check;
use crate::render::units::{count, millis, percent, span, usd};

/// Prices older than this are held against what a site takes today.
const OLD_PRICE_DAYS: i64 = 180;
/// Over this share of failed attempts a site that passes is worth a look.
const MANY_ERRORS: f64 = 0.2;
/// From this share of its budget on, what is left is soon spent.
const NEARLY_SPENT: f64 = 0.9;

/// The checks with the subjects under which the daemon names problems of the same; none where there are no sites.
pub fn parts(routing: &RoutingStatus, unix_seconds: u64) -> Vec<(String, Check)> {
    if routing.sites.is_empty() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    for one in &routing.sites {
        parts.push((format!("site {}", one.name), site(one)));
        let subject = format!("budget {}", one.name);
        parts.extend(budget(one, &subject).map(|check| (subject, check)));
        let subject = format!("site \"{}\": price.as_of", one.name);
        parts.extend(prices(one, &subject, unix_seconds).map(|check| (subject, check)));
    }
    parts.push(("audit".into(), audit(&routing.audit_fault)));
    parts
}

fn site(site: &SiteStatus) -> Check {
    let SiteStatus { name, zone, state, reason, .. } = site;
    let subject = format!("site {name}");
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let again = site.retry_in_ms.map_or(String::new(), |ms| format!("; asked again in {}", span(ms)));
    match state.as_str() {
        "passing" if site.error_rate >= MANY_ERRORS => Check::warn(
            subject,
            format!("passing in zone {zone}, but {} of its attempts fail{why}", percent(site.error_rate)),
            "`edgectl sites`, and the site's own log",
        ),
        "passing" => {
            let rests = count(site.observed.into(), "answer");
            Check::ok(
                subject,
                format!("passing in zone {zone}, 95 of 100 answers within {} ({rests})", millis(site.p95_ms)),
            )
        }
        "probing" => {
            Check::warn(subject, format!("probing{why}"), "it is asked with few requests until it answers well")
        }
        "tripped" => Check::fail(
            subject,
            format!("tripped, so nothing is sent there{why}{again}"),
            "look at the network and the site; it is asked again by itself",
        ),
        _ => Check::fail(
            subject,
            format!("{state}, so nothing is sent there{why}"),
            match site.protocol.as_str() {
                "sibling" => "look whether that box and the broker between run; it is asked again when it is heard of",
                _ => "look at its `credential`, `ca` and `url`, then `edgectl reload`",
            },
        ),
    }
}

/// What is left of the day's money, if it is little.
fn budget(site: &SiteStatus, subject: &str) -> Option<Check> {
    let budget = site.budget_usd.filter(|budget| *budget > 0.0)?;
    let what = format!("{} of {} USD are spent there today (UTC)", usd(site.spent_usd), usd(budget));
    let remedy = "it begins anew at 00:00 UTC; `budget_usd_per_day` of the site raises it, `edgectl usage --since 1d` shows for what";
    match site.spent_usd / budget {
        spent if spent >= 1.0 => {
            Some(Check::warn(subject, format!("{what}: nothing that costs is sent there"), remedy))
        }
        spent if spent >= NEARLY_SPENT => Some(Check::warn(subject, what, remedy)),
        _ => None,
    }
}

/// How old its prices are, if they are old.
fn prices(site: &SiteStatus, subject: &str, unix_seconds: u64) -> Option<Check> {
    let as_of = &site.prices_as_of;
    let today = i64::try_from(unix_seconds / 86_400).ok()?;
    let old = today - calendar::day(as_of)?;
    let what = || format!("the price is of {as_of}, {old} days ago, and older than {OLD_PRICE_DAYS} days");
    let remedy = "look the prices up again, and set `price.as_of` to the day";
    (old > OLD_PRICE_DAYS).then(|| Check::warn(subject, what(), remedy))
}

fn audit(fault: &str) -> Check {
    if fault.is_empty() {
        return Check::ok("audit", "what leaves the device is noted");
    }
    Check::fail(
        "audit",
        format!("what leaves the device cannot be noted: {fault}"),
        "make room on the disk of the state directory; `routing.audit` says whether anything may leave meanwhile",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    /// 2026-11-28.
    const NOW: u64 = 1_795_824_000;

    fn well() -> SiteStatus {
        SiteStatus { name: "cloud-a".into(), zone: "cloud".into(), state: "passing".into(), ..SiteStatus::default() }
    }

    /// What is not in order with this site.
    fn wrong(site: SiteStatus) -> Vec<(String, Level, String)> {
        let parts = parts(&RoutingStatus { sites: vec![site], ..RoutingStatus::default() }, NOW);
        let wrong = parts.into_iter().filter(|(_, check)| check.level != Level::Ok);
        wrong
            .map(|(subject, check)| {
                assert!(!check.remedy.is_empty(), "{check:?}");
                assert_eq!(subject, check.subject);
                (subject, check.level, check.what)
            })
            .collect()
    }

    #[test]
    fn a_box_without_sites_has_none_of_these_checks() {
        assert_eq!(parts(&RoutingStatus::default(), NOW), []);
    }

    #[test]
    fn only_a_site_that_is_not_asked_fails() {
        assert_eq!(wrong(well()), []);
        let of = |state: &str, error_rate| {
            let site = SiteStatus { state: state.into(), error_rate, reason: "no answer".into(), ..well() };
            let wrong = wrong(site);
            assert!(wrong[0].2.contains("no answer"), "{wrong:?}");
            wrong[0].1
        };
        assert_eq!(of("passing", 0.5), Level::Warn);
        assert_eq!(of("probing", 0.0), Level::Warn);
        assert_eq!(of("tripped", 0.0), Level::Fail);
        assert_eq!(of("off", 0.0), Level::Fail);
        let tripped = SiteStatus { state: "tripped".into(), retry_in_ms: Some(12_000), ..well() };
        assert!(wrong(tripped)[0].2.ends_with("asked again in 12 s"));
    }

    #[test]
    fn a_budget_is_told_of_when_it_is_spent_or_nearly() {
        let of = |spent_usd, budget| {
            let site = SiteStatus { spent_usd, budget_usd: Some(budget), ..well() };
            wrong(site)
                .into_iter()
                .map(|(subject, level, what)| (subject, level, what.contains("nothing that costs")))
                .next()
        };
        assert_eq!(of(4.4, 5.0), None);
        assert_eq!(of(4.5, 5.0), Some(("budget cloud-a".into(), Level::Warn, false)));
        assert_eq!(of(5.0, 5.0), Some(("budget cloud-a".into(), Level::Warn, true)));
        assert_eq!(of(0.0, 0.0), None, "the operator has closed it by that");
    }

    #[test]
    fn prices_are_old_after_a_hundred_and_eighty_days() {
        let of = |as_of: &str| wrong(SiteStatus { prices_as_of: as_of.into(), ..well() }).len();
        for (as_of, expected) in [("2026-06-01", 0), ("2026-05-31", 1), ("2027-01-01", 0), ("", 0), ("soon", 0)] {
            assert_eq!(of(as_of), expected, "{as_of}");
        }
    }

    #[test]
    fn an_audit_that_cannot_be_written_fails() {
        let routing =
            RoutingStatus { sites: vec![well()], audit_fault: "no space left".into(), ..RoutingStatus::default() };
        let parts = parts(&routing, NOW);
        let (_, check) = parts.last().unwrap();
        assert!(check.level == Level::Fail && check.what.contains("no space left"), "{check:?}");
    }
}
