//! What is said of other sites, as text. A default is not written, and what is absent is the default, so that logs from before
//! there were sites mean what they meant.
//!
//! A site of a policy is `zone:jurisdiction:retention:training:price:budget:cold_start:max_bytes:context:max_open:hedge:identity`, with
//! `-` for what nobody says, and a price as `request/input/output`.

use core::fmt::Write;
use core::time::Duration;

use super::{Fields, nanos};
use crate::event::{Event, Trip};
use crate::fallback::{Failure, Fallbacks, Step, Steps};
use crate::id::{RequestId, SiteId};
use crate::policy::{Policy, Routing};
use crate::request::{DataClass, Difficulty, Here, Objective, Terms, Zone};
use crate::site::{Country, Demands, NanoUsd, Price, Retention, Site, Sites, Tokens, Training};
use crate::units::{Bytes, Ratio, Span};
use crate::verdict::SiteFault;

const ZONES: [Zone; 4] = [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud];
const PLACES: [(Here, &str); 4] =
    [(Here::Yes, "yes"), (Here::NoModel, "no_model"), (Here::Context, "context"), (Here::Elsewhere, "elsewhere")];
const DIFFICULTIES: [Difficulty; 4] = [Difficulty::Unrated, Difficulty::Easy, Difficulty::Hard, Difficulty::Unknown];

/// Adds ` name=value` unless it is the default.
fn put<T: PartialEq>(text: &mut String, name: &str, value: T, default: T, word: impl Fn(T) -> String) {
    if value != default {
        // Writing to a string cannot fail.
        let _ = write!(text, " {name}={}", word(value));
    }
}

pub(super) fn terms(terms: &Terms) -> String {
    let (mut text, none) = (String::new(), Terms::default());
    let out = &mut text;
    put(out, "ceiling", terms.ceiling, none.ceiling, |it| it.as_str().to_owned());
    put(out, "freed", terms.freed, None, |it| it.map_or("-", DataClass::as_str).to_owned());
    put(out, "capable", terms.capable, none.capable, |it| it.bits().to_string());
    put(out, "rejected", terms.rejected, none.rejected, |it| it.bits().to_string());
    put(out, "allowed", terms.allowed, none.allowed, |it| it.bits().to_string());
    put(out, "jurisdictions", terms.demands.jurisdictions, none.demands.jurisdictions, |it| {
        let words: Vec<&str> = it.iter().flatten().map(Country::as_str).collect();
        words.join(",")
    });
    put(out, "retention_days", terms.demands.retention_days, None, |it| it.unwrap_or_default().to_string());
    put(out, "no_training", terms.demands.no_training, false, |it| it.to_string());
    put(out, "objective", terms.objective, none.objective, |it| it.as_str().to_owned());
    put(out, "may_hedge", terms.may_hedge, false, |it| it.to_string());
    put(out, "tokens", terms.tokens, none.tokens, |it| format!("{}/{}", it.input, it.output));
    put(out, "here", terms.here, none.here, |it| {
        PLACES.iter().find(|(here, _)| *here == it).map_or("", |place| place.1).to_owned()
    });
    put(out, "stronger", terms.stronger, none.stronger, |it| it.bits().to_string());
    put(out, "difficulty", terms.difficulty, none.difficulty, |it| it.as_str().to_owned());
    put(out, "checked", terms.checked, false, |it| it.to_string());
    text
}

pub(super) fn read_terms(fields: &Fields<'_>) -> Result<Terms, String> {
    let none = Terms::default();
    let bits = |word: &str| word.parse().ok().map(Sites::from_bits);
    Ok(Terms {
        ceiling: fields.or("ceiling", none.ceiling, DataClass::from_word)?,
        freed: fields.or("freed", None, |word| DataClass::from_word(word).map(Some))?,
        capable: fields.or("capable", none.capable, bits)?,
        rejected: fields.or("rejected", none.rejected, bits)?,
        allowed: fields.or("allowed", none.allowed, bits)?,
        demands: Demands {
            jurisdictions: fields.or("jurisdictions", none.demands.jurisdictions, countries)?,
            retention_days: fields.or("retention_days", None, |word| word.parse().ok().map(Some))?,
            no_training: fields.or("no_training", false, |word| word.parse().ok())?,
        },
        objective: fields.or("objective", none.objective, Objective::from_word)?,
        may_hedge: fields.or("may_hedge", false, |word| word.parse().ok())?,
        tokens: fields.or("tokens", none.tokens, tokens)?,
        here: fields
            .or("here", none.here, |word| PLACES.iter().find(|(_, name)| *name == word).map(|place| place.0))?,
        stronger: fields.or("stronger", none.stronger, bits)?,
        difficulty: fields
            .or("difficulty", none.difficulty, |word| DIFFICULTIES.into_iter().find(|it| it.as_str() == word))?,
        checked: fields.or("checked", false, |word| word.parse().ok())?,
    })
}

fn countries(word: &str) -> Option<[Option<Country>; Demands::COUNTRIES]> {
    let mut list = [None; Demands::COUNTRIES];
    for (at, word) in word.split(',').enumerate() {
        *list.get_mut(at)? = Some(Country::new(word).or_else(|| (word == "00").then_some(Country::NOWHERE))?);
    }
    Some(list)
}

fn tokens(word: &str) -> Option<Tokens> {
    let (input, output) = word.split_once('/')?;
    Some(Tokens { input: input.parse().ok()?, output: output.parse().ok()? })
}

pub(super) fn policy(policy: &Policy) -> String {
    let (mut text, usual) = (String::new(), Routing::default());
    let (out, routing) = (&mut text, &policy.routing);
    if !policy.sites.is_empty() {
        let sites: Vec<String> = policy.sites.iter().map(site).collect();
        put(out, "sites", sites.join(","), String::new(), |it| it);
    }
    put(out, "sure", routing.sure, usual.sure, |it| it.get().to_string());
    put(out, "fallbacks", routing.fallbacks, usual.fallbacks, fallbacks);
    put(out, "defer_after", routing.defer_after, usual.defer_after, |it| nanos(it).to_string());
    put(out, "max_deferred", routing.max_deferred, usual.max_deferred, |it| it.to_string());
    put(out, "max_wait", routing.max_wait, usual.max_wait, |it| nanos(it).to_string());
    put(out, "probe_every", routing.probe_every, usual.probe_every, |it| nanos(it).to_string());
    put(out, "seed", routing.seed, usual.seed, |it| it.to_string());
    text
}

pub(super) fn read_policy(fields: &Fields<'_>) -> Result<(Vec<Site>, Routing), String> {
    let usual = Routing::default();
    let span = |word: &str| word.parse().ok().map(Duration::from_nanos);
    let sites = fields.or("sites", Vec::new(), |word| word.split(',').map(read_site).collect())?;
    let routing = Routing {
        sure: fields.or("sure", usual.sure, |word| word.parse().ok().and_then(Ratio::new))?,
        fallbacks: fields.or("fallbacks", usual.fallbacks, read_fallbacks)?,
        defer_after: fields.or("defer_after", usual.defer_after, span)?,
        max_deferred: fields.or("max_deferred", usual.max_deferred, |word| word.parse().ok())?,
        max_wait: fields.or("max_wait", usual.max_wait, span)?,
        probe_every: fields.or("probe_every", usual.probe_every, span)?,
        seed: fields.or("seed", usual.seed, |word| word.parse().ok())?,
    };
    Ok((sites, routing))
}

/// The rows of the table: `heat:site/wait,site_down:` and so on.
fn fallbacks(table: Fallbacks) -> String {
    let row = |failure: Failure| {
        let steps: Vec<&str> = table.after(failure).map(Step::as_str).collect();
        format!("{}:{}", failure.as_str(), steps.join("/"))
    };
    Failure::ALL.map(row).join(",")
}

fn read_fallbacks(word: &str) -> Option<Fallbacks> {
    let mut table = Fallbacks::default();
    for row in word.split(',') {
        let (failure, words) = row.split_once(':')?;
        let failure = Failure::ALL.into_iter().find(|it| it.as_str() == failure)?;
        let mut steps = Steps::default();
        for (at, word) in words.split('/').filter(|word| !word.is_empty()).enumerate() {
            *steps.get_mut(at)? = Some(Step::from_word(word)?);
        }
        table = table.with(failure, steps);
    }
    Some(table)
}

fn known<T>(value: Option<T>, word: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), word)
}

fn site(site: &Site) -> String {
    let retention = match site.retention {
        Retention::None => "none".to_owned(),
        Retention::Days(days) => days.to_string(),
        Retention::Unknown => "-".to_owned(),
    };
    let training = match site.training {
        Training::No => "no",
        Training::Yes => "yes",
        Training::Unknown => "-",
    };
    format!(
        "{}:{}:{retention}:{training}:{}:{}:{}:{}:{}:{}:{}:{}",
        site.zone.as_str(),
        known(site.jurisdiction, |it| it.as_str().to_owned()),
        known(site.price, |it| format!("{}/{}/{}", it.request.0, it.input_mtok.0, it.output_mtok.0)),
        known(site.budget, |it| it.0.to_string()),
        site.cold_start.as_nanos(),
        site.max_bytes.0,
        known(site.context, |it| it.to_string()),
        site.max_open,
        site.may_hedge,
        site.identity
    )
}

fn read_known<T>(word: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if word == "-" { Some(None) } else { read(word).map(Some) }
}

fn read_site(word: &str) -> Option<Site> {
    let parts: Vec<&str> = word.split(':').collect();
    let [zone, jurisdiction, retention, training, price, budget, cold, bytes, context, open, hedge, identity] =
        parts.as_slice()
    else {
        return None;
    };
    Some(Site {
        identity: identity.parse().ok()?,
        zone: ZONES.into_iter().find(|it| it.as_str() == *zone)?,
        jurisdiction: read_known(jurisdiction, Country::new)?,
        retention: match *retention {
            "none" => Retention::None,
            "-" => Retention::Unknown,
            days => Retention::Days(days.parse().ok()?),
        },
        training: match *training {
            "no" => Training::No,
            "yes" => Training::Yes,
            "-" => Training::Unknown,
            _ => return None,
        },
        price: read_known(price, read_price)?,
        budget: read_known(budget, |word| word.parse().ok().map(NanoUsd))?,
        cold_start: cold.parse().ok().map(Span::from_nanos)?,
        max_bytes: Bytes(bytes.parse().ok()?),
        context: read_known(context, |word| word.parse().ok())?,
        max_open: open.parse().ok()?,
        may_hedge: hedge.parse().ok()?,
    })
}

fn read_price(word: &str) -> Option<Price> {
    let parts: Vec<NanoUsd> = word.split('/').map(|part| part.parse().ok().map(NanoUsd)).collect::<Option<_>>()?;
    let [request, input_mtok, output_mtok] = parts.as_slice() else { return None };
    Some(Price { request: *request, input_mtok: *input_mtok, output_mtok: *output_mtok })
}

fn fault(fault: SiteFault) -> String {
    if let SiteFault::Busy(Some(after)) = fault {
        return format!("busy:{}", nanos(after));
    }
    fault.as_str().to_owned()
}

fn read_fault(word: &str) -> Option<SiteFault> {
    match word.split_once(':') {
        Some(("busy", after)) => Some(SiteFault::Busy(Some(Duration::from_nanos(after.parse().ok()?)))),
        Some(_) => None,
        None => SiteFault::ALL.into_iter().find(|fault| fault.as_str() == word),
    }
}

pub(super) fn site_done(trip: &Trip) -> String {
    let result = trip.result.map_or_else(fault, |read| format!("ok:{}/{}", read.input, read.output));
    format!(
        "site_done id={} site={} bytes={} reserved={} result={result} sent={} took={}",
        trip.id.0,
        trip.site.0,
        trip.bytes.0,
        trip.reserved.0,
        trip.sent,
        nanos(trip.took)
    )
}

pub(super) fn site_probed(site: SiteId, result: Result<(), SiteFault>) -> String {
    format!("site_probed site={} result={}", site.0, result.map_or_else(fault, |()| "ok".to_owned()))
}

/// The events of sites and of the disk; `None` if it is another one.
pub(super) fn read(fields: &Fields<'_>, kind: &str) -> Result<Option<Event>, String> {
    let site = || fields.number("site").map(SiteId);
    let id = || fields.number("id").map(RequestId);
    Ok(Some(match kind {
        "site_done" => Event::SiteDone(Trip {
            id: id()?,
            site: site()?,
            bytes: Bytes(fields.number("bytes")?),
            reserved: fields.number("reserved").map(NanoUsd)?,
            result: fields.one("result", |word| match word.strip_prefix("ok:") {
                Some(read) => tokens(read).map(Ok),
                None => read_fault(word).map(Err),
            })?,
            sent: fields.number("sent")?,
            took: fields.span("took")?,
        }),
        "site_began" => Event::SiteBegan { id: id()?, site: site()? },
        "site_probed" => Event::SiteProbed {
            site: site()?,
            result: fields.one("result", |word| if word == "ok" { Some(Ok(())) } else { read_fault(word).map(Err) })?,
        },
        "site_load" => Event::SiteLoad { site: site()?, off: fields.number("off")?, wait: fields.span("wait")? },
        "spent" => Event::Spent { site: site()?, today: fields.number("today").map(NanoUsd)? },
        "checked" => Event::Checked { id: id()?, doubtful: fields.number("doubtful")? },
        "deferred" => Event::Deferred { waiting: fields.number("waiting")? },
        "taken_up" => Event::TakenUp,
        _ => return Ok(None),
    }))
}
