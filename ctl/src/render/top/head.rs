//! Who this is, how it is, and what may run.

use edge_wire::dto::Status;
use edge_wire::governor::{CapacityInfo, GovernedZone, GovernorStatus};

use super::labelled;
use super::layout::Section;
use crate::render::tinted::{Line, Tint};
use crate::render::units::{celsius, count, forecast, span, watts, whole_percent};
use crate::top::View;

/// Older than this, what the machine tells is not of now.
const STALE_MS: u64 = 5_000;

/// Name and state.
pub fn name(view: &View, width: usize) -> Line {
    let status = &view.status;
    let up = format!("up {}", span(status.uptime_ms));
    let end = if view.paused { Line::of("PAUSED", Tint::Warn) } else { Line::of(up, Tint::Faint) };
    let name = Line::of(format!("edged on {}: ", status.node), Tint::Title);
    name.and(&status.state, state_tint(&status.state)).ending_with(end, width)
}

/// Regime and reason, and everything that must be known before the numbers are believed.
pub fn head(view: &View) -> Vec<Line> {
    let status = &view.status;
    let mut lines = Vec::new();
    if !status.governor.regime.is_empty() {
        lines.push(regime(&status.governor));
    }
    let warnings = [simulated(status), held(&status.governor.capacity), problems(status), lost(view), stale(status)];
    lines.extend(warnings.into_iter().flatten().map(|(text, tint)| Line::of(text, tint)));
    lines
}

fn state_tint(state: &str) -> Tint {
    match state {
        "serving" => Tint::Good,
        "degraded" => Tint::Bad,
        _ => Tint::Warn,
    }
}

fn regime(governor: &GovernorStatus) -> Line {
    let since = format!(" for {}", span(governor.since_ms));
    let reason = if governor.reason.is_empty() { String::new() } else { format!(": {}", governor.reason) };
    Line::of(governor.regime.to_uppercase(), regime_tint(&governor.regime)).and(since + &reason, Tint::Plain)
}

/// How a regime is to be taken.
pub fn regime_tint(regime: &str) -> Tint {
    match regime {
        "nominal" => Tint::Good,
        "boot" => Tint::Plain,
        "throttled" | "slow" => Tint::Warn,
        _ => Tint::Bad,
    }
}

fn simulated(status: &Status) -> Option<(String, Tint)> {
    let machine = &status.hardware.simulated;
    match (status.simulated, machine.is_empty()) {
        (true, true) => Some(("SIMULATED: no hardware was measured and no model ran".into(), Tint::Warn)),
        (true, false) => Some((format!("SIMULATED: no model ran; the machine is {machine}, simulated"), Tint::Warn)),
        (false, false) => Some((format!("SIMULATED: the machine is {machine}; models ran"), Tint::Warn)),
        (false, true) => None,
    }
}

fn held(capacity: &CapacityInfo) -> Option<(String, Tint)> {
    (!capacity.held.is_empty()).then(|| (format!("HELD: {}", capacity.held), Tint::Warn))
}

fn problems(status: &Status) -> Option<(String, Tint)> {
    let first = status.problems.first()?;
    let number = count(u64::try_from(status.problems.len()).unwrap_or(u64::MAX), "problem");
    Some((format!("{number}, see `edgectl status`: {}: {}", first.subject, first.what), Tint::Bad))
}

fn lost(view: &View) -> Option<(String, Tint)> {
    let (why, since) = view.lost.as_ref()?;
    let ms = u64::try_from(view.now_ms.saturating_sub(*since)).unwrap_or(0);
    Some((format!("NO ANSWER for {}, asking on; below is what was last known: {why}", span(ms)), Tint::Bad))
}

fn stale(status: &Status) -> Option<(String, Tint)> {
    let age_ms = status.hardware.age_ms;
    (age_ms > STALE_MS).then(|| (format!("the machine was last read {} ago", span(age_ms)), Tint::Warn))
}

/// What may run, what is used of it, and what the heat will do.
pub fn capacity(status: &Status) -> Vec<Line> {
    let governor = &status.governor;
    if governor.regime.is_empty() {
        return Vec::new();
    }
    let CapacityInfo { lanes, lanes_max, batch, batch_max, duty, sustainable, .. } = &governor.capacity;
    let is_reduced = lanes < lanes_max || batch < batch_max || *duty < 0.995;
    let tint = if is_reduced { Tint::Warn } else { Tint::Plain };
    let lasting = sustainable.map_or(String::new(), |share| format!(" ({} lasts)", whole_percent(share)));
    let allowed = format!("{lanes} of {lanes_max} lanes, batch {batch} of {batch_max}, duty {}", whole_percent(*duty));
    let input = if governor.input == "power" { format!(", {}", watts(governor.input_now)) } else { String::new() };
    let used = format!(", load {}{input}", whole_percent(governor.load));
    let mut lines = vec![labelled("capacity").and(allowed, tint).and(lasting + &used, Tint::Plain)];
    lines.extend(tightest(governor).map(heat));
    lines
}

/// The zone that is nearest to its trip.
pub fn tightest(governor: &GovernorStatus) -> Option<&GovernedZone> {
    governor.zones.iter().find(|zone| zone.name == governor.tightest)
}

fn heat(zone: &GovernedZone) -> Line {
    let trip = match zone.trip_in_s {
        Some(seconds) => format!(", trip {:.1} in {}", zone.trip_c, forecast(seconds)),
        None => format!(", trip {:.1}", zone.trip_c),
    };
    let tint = if zone.trip_in_s.is_some() { Tint::Warn } else { Tint::Plain };
    let later = [(zone.ahead_c, "in 60 s"), (zone.steady_c, "in the end")];
    let later = later.into_iter().filter_map(|(value, word)| Some(format!(", {:.1} {word}", value?)));
    labelled("heat")
        .and(format!("{} {}", zone.name, celsius(zone.temp_c)), Tint::Plain)
        .and(trip, tint)
        .and(later.collect::<String>(), Tint::Plain)
}

/// What the keys do.
pub fn keys(view: &View, width: usize) -> Section {
    let text = match (view.help, view.paused) {
        (true, _) => "q, Esc, Ctrl-C quit   p pauses and goes on   h hides this   Ctrl-Z to the shell",
        (false, true) => "p goes on   q quits   h helps",
        (false, false) => "q quits   p pauses   h helps",
    };
    Section { gap: true, ..Section::whole(2, vec![Line::of(text, Tint::Faint).cut(width)], width) }
}
