//! `edgectl governor`: the regime and why, what may run, what the heat will do, and what was learnt of it.

use edge_wire::governor::{
    CapacityInfo, GovernedZone, GovernorPoint, GovernorReport, GovernorStatus, RegimeChange, SlowModel,
};

use crate::render::chart::{self, At, Frame};
use crate::render::glyphs::Glyphs;
use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{age, celsius, forecast, percent, span, watts, whole_percent};

/// Columns of the chart; its labels stand on the left.
const COLUMNS: usize = 64;
const ROWS: usize = 6;
/// The chart covers at least so many kelvin.
const LEAST_RANGE: f64 = 10.0;
/// The least time that the chart covers, milliseconds.
const LEAST_SPAN_MS: u64 = 600_000;

/// The whole report.
pub fn report(report: &GovernorReport, glyphs: Glyphs) -> String {
    let now = &report.now;
    if now.regime.is_empty() {
        return format!("{}: this edged has no governor\n", clean(&report.node));
    }
    let parts = [
        head(report),
        state(now),
        zones(&now.zones),
        models(now),
        slow(&now.slow),
        changes(&report.changes),
        history(&report.history, glyphs),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn head(report: &GovernorReport) -> String {
    let now = &report.now;
    let reason = if now.reason.is_empty() { String::new() } else { format!(": {}", now.reason) };
    let head = format!("{} on {} for {}{reason}", now.regime, report.node, span(now.since_ms));
    let mut text = paragraph("", &clean(&head));
    if report.simulated {
        text.push_str("SIMULATED: machine or models are not real\n");
    }
    text
}

/// Capacity, load and headroom.
fn state(now: &GovernorStatus) -> String {
    let input = match now.input.as_str() {
        "power" => format!("; what heats is power, {}", watts(now.input_now)),
        "duty" => format!("; what heats is duty, {}", whole_percent(now.input_now)),
        _ => String::new(),
    };
    let headroom = match now.headroom_c {
        Some(kelvin) => format!("{kelvin:.1} K below the trip of {}", now.tightest),
        None => "not known: nothing here tells a temperature with a trip".into(),
    };
    let mut text = field("capacity", &clean(&capacity(&now.capacity)));
    if !now.capacity.held.is_empty() {
        text.push_str(&field("held", &clean(&now.capacity.held)));
    }
    text + &field("load", &format!("{} of the lanes' time{input}", whole_percent(now.load)))
        + &field("headroom", &clean(&headroom))
}

/// What may run now, and what could run for ever.
pub fn capacity(capacity: &CapacityInfo) -> String {
    let CapacityInfo { lanes, lanes_max, batch, batch_max, duty, sustainable, .. } = capacity;
    let lasting = match sustainable {
        Some(share) => format!("; {} could run for ever", whole_percent(*share)),
        None => "; what could run for ever is not known yet".into(),
    };
    format!("{lanes} of {lanes_max} lanes, batch {batch} of {batch_max}, duty {}{lasting}", whole_percent(*duty))
}

fn zones(zones: &[GovernedZone]) -> String {
    if zones.is_empty() {
        return String::new();
    }
    let known = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
    let trip_in = |zone: &GovernedZone| match (zone.trip_in_s, zone.steady_c) {
        (Some(seconds), _) => forecast(seconds),
        (None, Some(_)) => "never".into(),
        (None, None) => "not known".into(),
    };
    let row = |zone: &GovernedZone| {
        let at = |value: f64| format!("{value:.1}");
        let numbers = [at(zone.temp_c), at(zone.target_c), at(zone.trip_c), known(zone.ahead_c), known(zone.steady_c)];
        std::iter::once(clean(&zone.name)).chain(numbers).chain([trip_in(zone)]).collect()
    };
    let rows: Vec<Vec<String>> = zones.iter().map(row).collect();
    let head = [
        ("ZONE", Align::Left),
        ("NOW C", Align::Right),
        ("TARGET", Align::Right),
        ("TRIP", Align::Right),
        ("IN 60 S", Align::Right),
        ("IN THE END", Align::Right),
        ("TRIP IN", Align::Left),
    ];
    let doubts = zones.iter().filter(|zone| !zone.doubt.is_empty());
    let doubts = doubts.map(|zone| paragraph("  ", &clean(&format!("{}: assumed, {}", zone.name, zone.doubt))));
    table(&head, &rows) + &doubts.collect::<String>()
}

/// What was learnt of each thermometer.
fn models(now: &GovernorStatus) -> String {
    if now.zones.is_empty() {
        return String::new();
    }
    let gain = |gain: f64| if now.input == "power" { format!("{gain:.2} K/W") } else { format!("{gain:.1} K") };
    let row = |zone: &GovernedZone| {
        let model = &zone.model;
        let error = model.error_c.map_or("-".into(), |error| format!("{error:.1} K"));
        if model.seen_s <= 0.0 {
            return vec![
                clean(&zone.name),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                "0".into(),
                "nothing yet".into(),
            ];
        }
        let trusted = if model.trusted { "trusted" } else { "not trusted yet" };
        let tau = forecast(model.time_constant_s);
        let numbers = [tau, gain(model.gain_c), celsius(model.rest_c), error, forecast(model.seen_s)];
        std::iter::once(clean(&zone.name)).chain(numbers).chain([trusted.to_owned()]).collect()
    };
    let rows: Vec<Vec<String>> = now.zones.iter().map(row).collect();
    let per = if now.input == "power" { "GAIN" } else { "FULL DUTY" };
    let head = [
        ("LEARNT OF", Align::Left),
        ("TIME CONSTANT", Align::Right),
        (per, Align::Right),
        ("AT REST", Align::Right),
        ("ERROR", Align::Right),
        ("SEEN FOR", Align::Right),
        ("", Align::Left),
    ];
    table(&head, &rows)
}

fn slow(slow: &[SlowModel]) -> String {
    let line = |slow: &SlowModel| {
        let text = format!("{} takes {:.1} times as long as planned: {}", slow.model, slow.factor, slow.cause);
        paragraph("  ", &clean(&text))
    };
    if slow.is_empty() { String::new() } else { format!("SLOW MODELS\n{}", slow.iter().map(line).collect::<String>()) }
}

fn changes(changes: &[RegimeChange]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let row = |change: &RegimeChange| {
        vec![age(change.ago_ms), clean(&format!("{} -> {}", change.from, change.to)), clean(&change.reason)]
    };
    let rows: Vec<Vec<String>> = changes.iter().map(row).collect();
    table(&[("CHANGED", Align::Right), ("REGIME", Align::Left), ("WHY", Align::Left)], &rows)
}

/// The last hour: temperature as a curve, and below it what was allowed, what was used and in which regime.
fn history(history: &[GovernorPoint], glyphs: Glyphs) -> String {
    let Some(oldest_ms) = history.iter().map(|point| point.ago_ms).max() else { return String::new() };
    let span_ms = oldest_ms.max(LEAST_SPAN_MS);
    let points = |value: &dyn Fn(&GovernorPoint) -> Option<f64>| -> Vec<At> {
        history.iter().filter_map(|point| Some((1.0 - ratio(point.ago_ms, span_ms), value(point)?))).collect()
    };
    let temps = points(&|point| point.temp_c);
    let mut text = String::new();
    if !temps.is_empty() {
        text.push_str("TEMPERATURE of the zone nearest to its trip; the straight line is the trip\n");
        text.push_str(&curve(&temps, history.iter().rev().find_map(|point| point.trip_c), glyphs));
    }
    for (label, values) in [("duty", points(&|point| Some(point.duty))), ("load", points(&|point| Some(point.load)))] {
        let mut columns = vec![None; COLUMNS];
        chart::by_column(&values, COLUMNS).for_each(|(x, value)| columns[x] = Some(value));
        text.push_str(&row(label, &glyphs.spark(&columns, 0.0, 1.0)));
    }
    text.push_str(&row("regime", &regimes(history, span_ms)));
    let (left, right) = (age(span_ms), "now");
    text.push_str(&row("", &format!("{left}{right:>room$}", room = COLUMNS.saturating_sub(left.chars().count()))));
    let last = history.iter().min_by_key(|point| point.ago_ms);
    if let Some(last) = last {
        let power = last.power_w.map_or(String::new(), |power| format!(", {}", watts(power)));
        let told = format!("duty {}, load {}{power}", percent(last.duty), percent(last.load));
        text.push_str(&row("last", &told));
    }
    text
}

fn row(label: &str, text: &str) -> String {
    format!("{}\n", format!("  {label:<8} {text}").trim_end())
}

fn curve(temps: &[At], trip: Option<f64>, glyphs: Glyphs) -> String {
    let values = || temps.iter().map(|(_, value)| *value).chain(trip);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let low = low.min(high - LEAST_RANGE);
    let rows = chart::rows(Frame { columns: COLUMNS, rows: ROWS, low, high }, temps, trip, glyphs);
    let last = rows.len().saturating_sub(1);
    let label = |at: usize| match at {
        0 => format!("{high:.0} C"),
        at if at == last => format!("{low:.0} C"),
        _ => String::new(),
    };
    rows.iter().enumerate().map(|(at, line)| row(&label(at), line)).collect()
}

/// A letter for each column: a dot while all is well, else the regime that was worst there.
fn regimes(history: &[GovernorPoint], span_ms: u64) -> String {
    let mut columns = vec![' '; COLUMNS];
    for point in history {
        let at = crate::render::glyphs::place(1.0 - ratio(point.ago_ms, span_ms), COLUMNS - 1);
        let letter = letter(&point.regime);
        if let Some(column) = columns.get_mut(at).filter(|column| rank(letter) >= rank(**column)) {
            *column = letter;
        }
    }
    let letters: String = columns.iter().collect();
    let legend = [('B', "boot"), ('T', "throttled"), ('C', "critical"), ('S', "slow"), ('?', "blind")];
    let told: Vec<String> = legend
        .into_iter()
        .filter(|(letter, _)| letters.contains(*letter))
        .map(|(letter, word)| format!("{letter} {word}"))
        .collect();
    if told.is_empty() { letters } else { format!("{letters}\n{:11}{}", "", told.join(", ")) }
}

fn letter(regime: &str) -> char {
    match regime {
        "n" | "nominal" | "" => '.',
        "blind" => '?',
        word => word.chars().next().map_or('.', |letter| letter.to_ascii_uppercase()),
    }
}

fn rank(letter: char) -> u8 {
    match letter {
        ' ' => 0,
        '.' => 1,
        'B' => 2,
        'S' => 3,
        'T' => 4,
        '?' => 5,
        _ => 6,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of an hour")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
