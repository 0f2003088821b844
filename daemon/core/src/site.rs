//! What the operator says of a place that can serve: how far away it is, what law and which promises hold there, what it
//! takes, what it costs. Values only; whether it is taken for a request is decided in [`spill`](crate::spill), how it does
//! is learnt elsewhere.

use crate::id::SiteId;
use crate::request::Zone;
use crate::units::{Bytes, Span};

/// A set of sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sites(u32);

impl Sites {
    /// Sites that a policy may have.
    pub const MOST: usize = 32;
    /// No site.
    pub const NONE: Sites = Sites(0);
    /// Every site.
    pub const ALL: Sites = Sites(u32::MAX);

    /// The set with this number of bits set: bit 0 is site 0.
    pub const fn from_bits(bits: u32) -> Sites {
        Sites(bits)
    }

    /// Bit 0 is site 0.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// This set and one site more. One beyond [`Sites::MOST`] is in no set.
    pub const fn with(self, site: SiteId) -> Sites {
        Sites(self.0 | bit(site))
    }

    /// Whether a site is in it.
    pub const fn has(self, site: SiteId) -> bool {
        self.0 & bit(site) != 0
    }

    /// What both sets have.
    pub const fn and(self, other: Sites) -> Sites {
        Sites(self.0 & other.0)
    }

    /// What is in this set and not in the other one.
    pub const fn without(self, other: Sites) -> Sites {
        Sites(self.0 & !other.0)
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = SiteId> {
        (0..32_u8).map(SiteId).filter(move |site| self.has(*site))
    }
}

const fn bit(site: SiteId) -> u32 {
    if site.0 < 32 { 1 << site.0 } else { 0 }
}

impl FromIterator<SiteId> for Sites {
    fn from_iter<T: IntoIterator<Item = SiteId>>(sites: T) -> Sites {
        sites.into_iter().fold(Sites::NONE, Sites::with)
    }
}

/// A country or union of them by the two letters of ISO 3166-1 (and `EU`), in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// A place that no site can be in: what is left of two lists without a common country.
    pub(crate) const NOWHERE: Country = Country(*b"00");

    /// The country called by these two capital letters.
    pub fn new(word: &str) -> Option<Country> {
        match word.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Some(Country([*a, *b])),
            _ => None,
        }
    }

    /// Its two letters.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("??")
    }

    /// Whether this place lies in `other`: it is it, or a member of the union `EU`.
    pub fn is_in(self, other: Country) -> bool {
        self == other || (other.0 == *b"EU" && MEMBERS.contains(&self.0))
    }
}

/// Member states of the European Union (2020 until now).
const MEMBERS: [[u8; 2]; 27] = [
    *b"AT", *b"BE", *b"BG", *b"CY", *b"CZ", *b"DE", *b"DK", *b"EE", *b"ES", *b"FI", *b"FR", *b"GR", *b"HR", *b"HU",
    *b"IE", *b"IT", *b"LT", *b"LU", *b"LV", *b"MT", *b"NL", *b"PL", *b"PT", *b"RO", *b"SE", *b"SI", *b"SK",
];

/// How long a site keeps what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Not beyond the answer.
    None,
    /// So many days.
    Days(u16),
    /// Nobody says: it counts as for ever.
    Unknown,
}

/// Whether a site learns from what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Training {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// Nobody says: it counts as yes.
    Unknown,
}

/// An amount of money, in billionths of a US dollar: a token costs some hundreds of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// This and `other` together; saturates.
    pub const fn plus(self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_add(other.0))
    }

    /// What is left of this after `other`.
    pub const fn minus(self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_sub(other.0))
    }
}

/// What is to be read and written for a request by a language model, as far as known; 0 for anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt.
    pub input: u32,
    /// Of the answer, at most or as it was.
    pub output: u32,
}

/// What a site charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// For each request.
    pub request: NanoUsd,
    /// For each million tokens of the prompt.
    pub input_mtok: NanoUsd,
    /// For each million tokens of the answer.
    pub output_mtok: NanoUsd,
}

impl Price {
    /// What a request with these tokens costs, rounded up.
    pub const fn of(&self, tokens: Tokens) -> NanoUsd {
        let all = self.request.0 as u128 + part(self.input_mtok, tokens.input) + part(self.output_mtok, tokens.output);
        NanoUsd(if all > u64::MAX as u128 { u64::MAX } else { low(all) })
    }
}

const fn part(each: NanoUsd, count: u32) -> u128 {
    // Nearly always small numbers, which are quicker.
    match each.0.checked_mul(count as u64) {
        Some(all) => all.div_ceil(1_000_000) as u128,
        None => (each.0 as u128 * count as u128).div_ceil(1_000_000),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "tested against u64::MAX by the caller")]
const fn low(all: u128) -> u64 {
    all as u64
}

/// One place that can serve, as the operator describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Which place it is: another number means another server, whatever its name and promises. The shell makes it of the name
    /// and the address.
    pub identity: u64,
    /// The farthest zone that a byte has been in once it is there: of a site that is reached by a broker at least the broker's.
    pub zone: Zone,
    /// Whose law holds there; `None` if nobody says.
    pub jurisdiction: Option<Country>,
    /// How long it keeps what it was sent.
    pub retention: Retention,
    /// Whether it learns from it.
    pub training: Training,
    /// What it charges; `None` if nobody says.
    pub price: Option<Price>,
    /// What may be spent there in a day.
    pub budget: Option<NanoUsd>,
    /// What its first answer after a pause takes beyond the others.
    pub cold_start: Span,
    /// Largest payload that it takes.
    pub max_bytes: Bytes,
    /// Longest prompt and answer together that it takes, in tokens.
    pub context: Option<u32>,
    /// Requests that may be open there.
    pub max_open: u16,
    /// Whether a second request may be sent when the first one is late.
    pub may_hedge: bool,
}

impl Site {
    /// A site of a zone of which nothing else is said, for tests and as a start.
    pub const fn in_zone(zone: Zone) -> Site {
        Site {
            identity: 0,
            zone,
            jurisdiction: None,
            retention: Retention::Unknown,
            training: Training::Unknown,
            price: None,
            budget: None,
            cold_start: Span::ZERO,
            max_bytes: Bytes(64 << 20),
            context: None,
            max_open: 64,
            may_hedge: false,
        }
    }
}

/// What the operator demands of a site for some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Its jurisdiction lies in one of these; the first `None` ends the list, an empty one demands nothing.
    pub jurisdictions: [Option<Country>; Demands::COUNTRIES],
    /// It keeps what it was sent for at most so many days.
    pub retention_days: Option<u16>,
    /// It does not learn from it.
    pub no_training: bool,
}

/// Which demand a site does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unmet {
    /// It lies elsewhere, or nobody says where.
    Jurisdiction,
    /// It keeps what it was sent for longer, or nobody says how long.
    Retention,
    /// It learns from it, or nobody says that it does not.
    Training,
}

impl Demands {
    /// Countries that may be named.
    pub const COUNTRIES: usize = 8;

    /// The first demand that a site does not meet. What nobody says of it is not met.
    pub fn unmet(&self, site: &Site) -> Option<Unmet> {
        let mut countries = self.jurisdictions.iter().map_while(|country| *country).peekable();
        if countries.peek().is_some() && !site.jurisdiction.is_some_and(|is| countries.any(|country| is.is_in(country)))
        {
            return Some(Unmet::Jurisdiction);
        }
        let kept = match site.retention {
            Retention::None => Some(0),
            Retention::Days(days) => Some(days),
            Retention::Unknown => None,
        };
        if self.retention_days.is_some_and(|most| kept.is_none_or(|kept| kept > most)) {
            return Some(Unmet::Retention);
        }
        (self.no_training && site.training != Training::No).then_some(Unmet::Training)
    }

    /// The stricter of both in each point. Countries that only one of them names are gone; where they have none in common, no
    /// site is good enough.
    pub fn and(&self, other: &Demands) -> Demands {
        let days = [self.retention_days, other.retention_days].into_iter().flatten().min();
        Demands {
            jurisdictions: common(&self.jurisdictions, &other.jurisdictions),
            retention_days: days,
            no_training: self.no_training || other.no_training,
        }
    }
}

type Countries = [Option<Country>; Demands::COUNTRIES];

/// What both lists allow; of a union and its member the member.
fn common(a: &Countries, b: &Countries) -> Countries {
    let named = |list: &Countries| list.iter().map_while(|country| *country).count();
    if named(a) == 0 {
        return *b;
    }
    if named(b) == 0 {
        return *a;
    }
    let both = a.iter().flatten().filter(|one| b.iter().flatten().any(|other| one.is_in(*other)));
    let members = b.iter().flatten().filter(|one| a.iter().flatten().any(|other| one != &other && one.is_in(*other)));
    let mut left = Countries::default();
    for (place, country) in left.iter_mut().zip(both.chain(members)) {
        *place = Some(*country);
    }
    left[0] = left[0].or(Some(Country::NOWHERE));
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(word: &str) -> Country {
        Country::new(word).unwrap()
    }

    fn countries(words: &[&str]) -> Countries {
        let mut list = Countries::default();
        list.iter_mut().zip(words).for_each(|(place, word)| *place = Country::new(word));
        list
    }

    #[test]
    fn what_nobody_says_of_a_site_meets_no_demand() {
        let silent = Site::in_zone(Zone::Cloud);
        let open = Site {
            jurisdiction: Some(country("FR")),
            retention: Retention::Days(30),
            training: Training::No,
            ..silent
        };
        let strict = Site { retention: Retention::None, ..open };
        let here = Demands { jurisdictions: countries(&["DE", "EU"]), ..Demands::default() };
        let only = Demands { jurisdictions: countries(&["DE"]), ..Demands::default() };
        let brief = Demands { retention_days: Some(0), ..Demands::default() };
        let month = Demands { retention_days: Some(30), ..Demands::default() };
        let untrained = Demands { no_training: true, ..Demands::default() };
        for (demands, site, expected) in [
            (Demands::default(), &silent, None),
            (here, &silent, Some(Unmet::Jurisdiction)),
            (here, &open, None),
            (only, &open, Some(Unmet::Jurisdiction)),
            (brief, &silent, Some(Unmet::Retention)),
            (brief, &open, Some(Unmet::Retention)),
            (month, &open, None),
            (brief, &strict, None),
            (untrained, &silent, Some(Unmet::Training)),
            (untrained, &open, None),
        ] {
            assert_eq!(demands.unmet(site), expected, "{demands:?} of {site:?}");
        }
    }

    #[test]
    fn two_lists_of_countries_leave_what_both_allow() {
        for (a, b, expected) in [
            (&[][..], &["DE"][..], &["DE"][..]),
            (&["DE"], &[], &["DE"]),
            (&["EU"], &["FR", "US"], &["FR"]),
            (&["FR", "US"], &["EU", "US"], &["FR", "US"]),
            (&["US"], &["FR"], &["00"]),
        ] {
            let left = common(&countries(a), &countries(b));
            let words: Vec<&str> = left.iter().flatten().map(Country::as_str).collect();
            assert_eq!(words, expected, "{a:?} and {b:?}");
        }
    }

    #[test]
    fn a_price_is_rounded_up_and_saturates() {
        let usd = |nanos| NanoUsd(nanos);
        let price = Price { request: usd(5), input_mtok: usd(150_000_000), output_mtok: usd(600_000_000) };
        assert_eq!(price.of(Tokens { input: 1000, output: 100 }), usd(5 + 150_000 + 60_000));
        assert_eq!(Price { input_mtok: usd(1), ..Price::default() }.of(Tokens { input: 1, output: 0 }), usd(1));
        let dear = Price { request: usd(u64::MAX), input_mtok: usd(u64::MAX), ..Price::default() };
        assert_eq!(dear.of(Tokens { input: u32::MAX, output: 0 }), usd(u64::MAX));
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let set: Sites = [SiteId(0), SiteId(31), SiteId(32)].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [SiteId(0), SiteId(31)]);
        assert!(!set.has(SiteId(32)) && set.without(set).is_empty());
    }
}
