//! Decides whether a site may have a request, and which of those that may gets it. Must not know queues or other
//! requests: it reads what the operator says of the site, what is seen of it, and the request's terms.
//!
//! The bars are asked in the order of [`Bar`]: what must never be overridden first, what changes from one second to the
//! next last. The first one that holds is the answer, so that an explanation names the strongest reason.

use crate::event::Trip;
use crate::id::SiteId;
use crate::request::{DataClass, Objective, Terms};
use crate::site::{NanoUsd, Site, Sites, Tokens, Unmet};
use crate::units::{Bytes, Span};
use crate::verdict::SiteFault;

/// Tokens of an answer that nobody limited, until a site was seen to answer.
pub(crate) const ANSWER_TOKENS: u32 = 256;

/// Why a site may not have a request. Ordered: the first that holds is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bar {
    /// It does not serve the model, or not in this form.
    NotServed,
    /// The data may not go so far.
    Class,
    /// It does not meet what a rule demands.
    Unmet(Unmet),
    /// A rule keeps such requests from it.
    Rule,
    /// The payload is larger than it takes.
    TooLarge,
    /// The prompt and its answer are longer than it takes.
    Context,
    /// It was asked already.
    Tried,
    /// It cannot be used: its credential is missing, or it said that it takes nothing.
    Off,
    /// Its breaker is tripped.
    Tripped,
    /// As many requests are open there as may be.
    Full,
    /// Its budget for today is spent, or what a request costs is not known and there is a budget.
    Budget,
    /// It would be too late.
    TooSlow,
}

impl Bar {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Bar::NotServed => "not_served",
            Bar::Class => "data_class",
            Bar::Unmet(Unmet::Jurisdiction) => "jurisdiction",
            Bar::Unmet(Unmet::Retention) => "retention",
            Bar::Unmet(Unmet::Training) => "trains_on_data",
            Bar::Rule => "rule",
            Bar::TooLarge => "too_large",
            Bar::Context => "context",
            Bar::Tried => "tried",
            Bar::Off => "off",
            Bar::Tripped => "tripped",
            Bar::Full => "full",
            Bar::Budget => "budget",
            Bar::TooSlow => "too_slow",
        }
    }

    /// Whether the data themselves must not go there, whatever the state of the site.
    pub const fn confines(self) -> bool {
        matches!(self, Bar::Class | Bar::Unmet(_) | Bar::Rule)
    }

    /// How near to being taken a site was: later in the order of questions is nearer.
    pub const fn nearness(self) -> u8 {
        match self {
            Bar::NotServed => 0,
            Bar::Class => 1,
            Bar::Unmet(_) => 2,
            Bar::Rule => 3,
            Bar::TooLarge => 4,
            Bar::Context => 5,
            Bar::Tried => 6,
            Bar::Off => 7,
            Bar::Tripped => 8,
            Bar::Full => 9,
            Bar::Budget => 10,
            Bar::TooSlow => 11,
        }
    }
}

/// What is seen of a site, for a request of some size, at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteSeen {
    /// It cannot be used at all.
    pub off: bool,
    /// Its breaker is tripped.
    pub tripped: bool,
    /// Requests that are open there.
    pub open: u16,
    /// Spent there today, with what open requests are expected to cost.
    pub spent: NanoUsd,
    /// Time until its answer is here, as often longer as shorter.
    pub likely: Span,
    /// Time within which nearly all its answers are here.
    pub sure: Span,
    /// Tokens that its answers have, as far as seen.
    pub answer_tokens: Option<u32>,
}

/// A request as a site is judged for it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Its effective class.
    pub class: DataClass,
    /// Its terms.
    pub terms: &'a Terms,
    /// Its payload.
    pub bytes: Bytes,
    /// Time until its deadline.
    pub slack: Span,
    /// Sites that were asked already.
    pub tried: Sites,
}

/// What a site would do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which one.
    pub site: SiteId,
    /// See [`SiteSeen::likely`].
    pub likely: Span,
    /// See [`SiteSeen::sure`].
    pub sure: Span,
    /// What it is expected to cost; `None` if the site has no price.
    pub cost: Option<NanoUsd>,
}

/// Whether data of a class, with these terms, may reach a site at all. Asked here, and once more at the instant of sending.
pub fn confinement(class: DataClass, terms: &Terms, id: SiteId, site: &Site) -> Option<Bar> {
    if class.min(terms.ceiling).farthest() < site.zone {
        return Some(Bar::Class);
    }
    if let Some(unmet) = terms.demands.unmet(site) {
        return Some(Bar::Unmet(unmet));
    }
    (!terms.allowed.has(id)).then_some(Bar::Rule)
}

/// What a request is expected to cost at a site.
pub fn cost(site: &Site, tokens: Tokens, answer_tokens: Option<u32>) -> Option<NanoUsd> {
    let price = site.price?;
    let reads = tokens.input > 0;
    let usual = answer_tokens.unwrap_or(ANSWER_TOKENS);
    let output = match tokens.output {
        0 if reads => usual,
        most => most.min(usual),
    };
    Some(price.of(Tokens { output, ..tokens }))
}

/// What an attempt costs as far as anybody can tell: nothing that was not sent, the whole of what may have been served.
pub fn charged(site: &Site, trip: &Trip) -> NanoUsd {
    match trip.result {
        Ok(tokens) => site.price.map_or(NanoUsd(0), |price| price.of(tokens)),
        Err(
            SiteFault::Timeout
            | SiteFault::Reset
            | SiteFault::CalledOff
            | SiteFault::Garbage
            | SiteFault::TooLarge
            | SiteFault::Unfit,
        ) if trip.sent => trip.reserved,
        Err(_) => NanoUsd(0),
    }
}

/// What bars a site from a request however long one waits, but for what it said of it itself.
fn unfit(id: SiteId, site: &Site, ask: &Ask<'_>) -> Option<Bar> {
    if !ask.terms.capable.has(id) {
        return Some(Bar::NotServed);
    }
    if let Some(bar) = confinement(ask.class, ask.terms, id, site) {
        return Some(bar);
    }
    if ask.bytes > site.max_bytes {
        return Some(Bar::TooLarge);
    }
    let tokens = ask.terms.tokens;
    site.context.is_some_and(|most| tokens.input.saturating_add(tokens.output) > most).then_some(Bar::Context)
}

/// Whether waiting for one of the sites in `among` can help a request: one that may have it has not said no to it for good. Where
/// none has, waiting may help in any case, as what is said of sites changes.
pub fn is_left(sites: &[Site], among: Sites, ask: &Ask<'_>) -> bool {
    let open =
        |(id, site): (SiteId, &Site)| among.has(id) && !ask.terms.rejected.has(id) && unfit(id, site, ask).is_none();
    ask.terms.rejected.and(among).is_empty() || (0..32_u8).map(SiteId).zip(sites).any(open)
}

/// What a site would do for a request, or what bars it.
pub fn judge(id: SiteId, site: &Site, seen: &SiteSeen, ask: &Ask<'_>) -> Result<Offer, Bar> {
    if let Some(bar) = unfit(id, site, ask) {
        return Err(bar);
    }
    if ask.tried.has(id) || ask.terms.rejected.has(id) {
        return Err(Bar::Tried);
    }
    let tokens = ask.terms.tokens;
    if seen.off {
        return Err(Bar::Off);
    }
    if seen.tripped {
        return Err(Bar::Tripped);
    }
    if seen.open >= site.max_open {
        return Err(Bar::Full);
    }
    let cost = cost(site, tokens, seen.answer_tokens);
    if !is_affordable(site.budget, seen.spent, cost) {
        return Err(Bar::Budget);
    }
    if seen.sure > ask.slack {
        return Err(Bar::TooSlow);
    }
    Ok(Offer { site: id, likely: seen.likely, sure: seen.sure, cost })
}

/// A budget is never overdrawn by what is expected; one of zero buys nothing, not even what is free, so that an operator can
/// close a site by it. A price that is not known fits no budget.
fn is_affordable(budget: Option<NanoUsd>, spent: NanoUsd, cost: Option<NanoUsd>) -> bool {
    match (budget, cost) {
        (None, _) => true,
        (Some(NanoUsd(0)), _) | (Some(_), None) => false,
        (Some(budget), Some(cost)) => spent.plus(cost) <= budget,
    }
}

/// The better one of two offers, by what the operator seeks. A price that is not known counts as the highest; among
/// equals the nearer zone, then the faster one, then the one that the operator named first.
pub fn better(a: Offer, b: Offer, objective: Objective, sites: &[Site]) -> Offer {
    let rank = |offer: &Offer| {
        let zone = sites.get(usize::from(offer.site.0)).map(|site| site.zone);
        let cost = offer.cost.map_or(u64::MAX, |cost| cost.0);
        let likely = offer.likely.as_nanos();
        match objective {
            Objective::CheapestWithinSlo => (cost, zone, likely, offer.site),
            Objective::FastestWithinBudget => (likely, zone, cost, offer.site),
        }
    };
    if rank(&b) < rank(&a) { b } else { a }
}

/// The best of the sites in `among`, or what barred the one that came nearest; `None` if none of them serves such requests.
pub fn best(
    sites: &[Site],
    among: Sites,
    seen: &dyn Fn(SiteId) -> SiteSeen,
    ask: &Ask<'_>,
) -> Result<Offer, Option<Bar>> {
    let mut found: Result<Offer, Option<Bar>> = Err(None);
    for (id, site) in (0..32_u8).map(SiteId).zip(sites) {
        if !among.has(id) || !ask.terms.capable.has(id) {
            continue;
        }
        found = match (judge(id, site, &seen(id), ask), found) {
            (Ok(offer), Ok(other)) => Ok(better(other, offer, ask.terms.objective, sites)),
            (Ok(offer), Err(_)) => Ok(offer),
            (Err(_), Ok(other)) => Ok(other),
            (Err(bar), Err(Some(other))) if other.nearness() >= bar.nearness() => Err(Some(other)),
            (Err(bar), Err(_)) => Err(Some(bar)),
        };
    }
    found
}

/// The best of the sites in `among` that would have the request if they were not full, if waiting for it can be worth more
/// than what may be had at once: nothing else may, or it is dearer and the operator seeks what is cheap.
pub fn worth_waiting(
    sites: &[Site],
    among: Sites,
    seen: &dyn Fn(SiteId) -> SiteSeen,
    ask: &Ask<'_>,
    at_once: Option<Offer>,
) -> Option<Offer> {
    let objective = ask.terms.objective;
    if at_once.is_some() && objective == Objective::FastestWithinBudget {
        return None;
    }
    let mut best: Option<Offer> = None;
    for (id, site) in (0..32_u8).map(SiteId).zip(sites) {
        let seen = if among.has(id) && ask.terms.capable.has(id) { seen(id) } else { continue };
        if seen.open < site.max_open {
            continue;
        }
        if let Ok(offer) = judge(id, site, &SiteSeen { open: 0, ..seen }, ask) {
            best = Some(best.map_or(offer, |other| better(other, offer, objective, sites)));
        }
    }
    best.filter(|full| at_once.is_none_or(|offer| better(offer, *full, objective, sites) == *full))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::request::Zone;
    use crate::site::{Demands, Price};

    pub(crate) fn seen(millis: u64) -> SiteSeen {
        SiteSeen {
            off: false,
            tripped: false,
            open: 0,
            spent: NanoUsd(0),
            likely: Span::from_millis(millis / 2),
            sure: Span::from_millis(millis),
            answer_tokens: None,
        }
    }

    fn terms() -> Terms {
        Terms { capable: Sites::ALL, ..Terms::default() }
    }

    fn ask(terms: &Terms) -> Ask<'_> {
        Ask { class: DataClass::Public, terms, bytes: Bytes(100), slack: Span::from_millis(100), tried: Sites::NONE }
    }

    fn check(name: &str, site: &Site, seen: &SiteSeen, ask: &Ask<'_>, expected: Option<Bar>) {
        assert_eq!(judge(SiteId(0), site, seen, ask).err(), expected, "{name}");
    }

    #[test]
    fn each_bar_holds_by_itself_and_the_strongest_is_told() {
        let (site, all) = (Site::in_zone(Zone::Cloud), terms());
        let free = ask(&all);
        check("nothing bars it", &site, &seen(100), &free, None);
        check("a little too late", &site, &seen(101), &free, Some(Bar::TooSlow));
        let poor =
            Site { budget: Some(NanoUsd(9)), price: Some(Price { request: NanoUsd(10), ..Price::default() }), ..site };
        check("too dear", &poor, &seen(101), &free, Some(Bar::Budget));
        let full = SiteSeen { open: 64, ..seen(101) };
        check("full", &poor, &full, &free, Some(Bar::Full));
        let tripped = SiteSeen { tripped: true, ..full };
        check("tripped", &poor, &tripped, &free, Some(Bar::Tripped));
        let off = SiteSeen { off: true, ..tripped };
        check("off", &poor, &off, &free, Some(Bar::Off));
        let again = Ask { tried: Sites::ALL, ..free };
        check("tried", &poor, &off, &again, Some(Bar::Tried));
        let small = Site { max_bytes: Bytes(99), ..poor };
        check("large", &small, &off, &again, Some(Bar::TooLarge));
        let barred = Terms { allowed: Sites::NONE, ..all };
        check("a rule", &small, &off, &Ask { terms: &barred, ..again }, Some(Bar::Rule));
        let demanding = Terms { demands: Demands { no_training: true, ..Demands::default() }, ..barred };
        check("a demand", &small, &off, &Ask { terms: &demanding, ..again }, Some(Bar::Unmet(Unmet::Training)));
        let internal = Ask { class: DataClass::Internal, terms: &demanding, ..again };
        check("its class", &small, &off, &internal, Some(Bar::Class));
        let unserved = Terms { capable: Sites::NONE, ..demanding };
        check("not served", &small, &off, &Ask { terms: &unserved, ..internal }, Some(Bar::NotServed));
    }

    #[test]
    fn each_class_reaches_its_zone_and_no_farther() {
        use DataClass::{Internal, Public, Regulated};
        use Zone::{Cloud, Device, Premises, Region};
        for (class, farthest) in [(Regulated, Device), (Internal, Premises), (Public, Cloud)] {
            for ceiling in [Regulated, Internal, Public] {
                for zone in [Device, Premises, Region, Cloud] {
                    let terms = Terms { ceiling, ..terms() };
                    let expected = (zone > farthest || zone > ceiling.farthest()).then_some(Bar::Class);
                    let found = confinement(class, &terms, SiteId(0), &Site::in_zone(zone));
                    assert_eq!(found, expected, "{class:?} under {ceiling:?} to {zone:?}");
                }
            }
        }
    }

    #[test]
    fn a_prompt_counts_with_its_answer_against_the_context() {
        let site = Site { context: Some(1000), ..Site::in_zone(Zone::Cloud) };
        for (input, output, expected) in [(900, 100, None), (901, 100, Some(Bar::Context)), (1000, 0, None)] {
            let terms = Terms { tokens: Tokens { input, output }, ..terms() };
            check("context", &site, &seen(10), &ask(&terms), expected);
        }
    }

    #[test]
    fn a_budget_is_not_overdrawn_and_needs_a_price() {
        let price = Some(Price { request: NanoUsd(10), ..Price::default() });
        for (budget, price, spent, fits) in [
            (None, None, 0, true),
            (Some(NanoUsd(0)), Some(Price::default()), 0, false),
            (Some(NanoUsd(100)), None, 0, false),
            (Some(NanoUsd(100)), price, 90, true),
            (Some(NanoUsd(100)), price, 91, false),
        ] {
            let site = Site { budget, price, ..Site::in_zone(Zone::Cloud) };
            let seen = SiteSeen { spent: NanoUsd(spent), ..seen(10) };
            check("budget", &site, &seen, &ask(&terms()), (!fits).then_some(Bar::Budget));
        }
    }

    #[test]
    fn what_is_sought_decides_among_those_in_time() {
        let price = |nanos| Some(Price { request: NanoUsd(nanos), ..Price::default() });
        let sites = [
            Site { price: price(0), ..Site::in_zone(Zone::Region) },
            Site { price: price(0), ..Site::in_zone(Zone::Premises) },
            Site { price: price(5), ..Site::in_zone(Zone::Cloud) },
            Site::in_zone(Zone::Cloud),
        ];
        let millis = |id: SiteId| seen([20, 60, 10, 5][usize::from(id.0)]);
        for (objective, among, expected) in [
            (Objective::CheapestWithinSlo, Sites::ALL, 1),
            (Objective::FastestWithinBudget, Sites::ALL, 3),
            (Objective::CheapestWithinSlo, Sites::from_bits(0b1100), 2),
            (Objective::FastestWithinBudget, Sites::from_bits(0b0111), 2),
        ] {
            let terms = Terms { objective, ..terms() };
            let offer = best(&sites, among, &millis, &ask(&terms)).unwrap();
            assert_eq!(offer.site, SiteId(expected), "{objective:?} among {among:?}");
        }
    }

    #[test]
    fn a_full_site_is_worth_waiting_for_if_it_is_cheaper_or_the_only_one() {
        let sites = [Site { max_open: 1, ..Site::in_zone(Zone::Premises) }, Site::in_zone(Zone::Cloud)];
        let full = |_| SiteSeen { open: 1, ..seen(20) };
        let slow = |id: SiteId| SiteSeen { open: 1, ..seen(if id.0 == 0 { 120 } else { 20 }) };
        let cloud = best(&sites, Sites::from_bits(0b10), &full, &ask(&terms())).ok();
        assert_eq!(cloud.map(|offer| offer.site), Some(SiteId(1)));
        let fastest = Terms { objective: Objective::FastestWithinBudget, ..terms() };
        let confined = Terms { capable: Sites::from_bits(0b10), ..terms() };
        let worth = |terms: &Terms, seen: &dyn Fn(SiteId) -> SiteSeen, at_once| {
            worth_waiting(&sites, Sites::ALL, seen, &ask(terms), at_once).map(|offer| offer.site.0)
        };
        assert_eq!(worth(&terms(), &full, cloud), Some(0), "the nearer one is the cheaper one");
        assert_eq!(worth(&fastest, &full, cloud), None, "nothing is quicker than at once");
        assert_eq!(worth(&fastest, &full, None), Some(0), "there is nothing else");
        assert_eq!(worth(&confined, &full, cloud), None, "it does not serve such requests");
        assert_eq!(worth(&terms(), &slow, cloud), None, "it would be late even with a place");
    }

    #[test]
    fn the_bar_of_the_site_that_came_nearest_is_told() {
        let sites = [Site::in_zone(Zone::Cloud), Site::in_zone(Zone::Premises)];
        let terms = terms();
        let ask = Ask { class: DataClass::Internal, slack: Span::from_millis(1), ..ask(&terms) };
        assert_eq!(best(&sites, Sites::ALL, &|_| seen(10), &ask), Err(Some(Bar::TooSlow)));
        assert_eq!(best(&sites, Sites::from_bits(1), &|_| seen(10), &ask), Err(Some(Bar::Class)));
        assert_eq!(best(&[], Sites::ALL, &|_| seen(10), &ask), Err(None));
    }

    #[test]
    fn an_answer_that_nobody_limits_is_priced_by_what_is_usual() {
        let price = Price { output_mtok: NanoUsd(1_000_000), ..Price::default() };
        let site = Site { price: Some(price), ..Site::in_zone(Zone::Cloud) };
        for (input, output, usual, expected) in
            [(0, 0, None, 0), (5, 0, None, 256), (5, 0, Some(40), 40), (5, 10, Some(40), 10), (5, 900, Some(40), 40)]
        {
            assert_eq!(cost(&site, Tokens { input, output }, usual), Some(NanoUsd(expected)), "{input} {output}");
        }
    }
}
