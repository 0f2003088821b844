//! The machine: temperatures with their trips, load, clocks, power, cooling.

use edge_wire::dto::Status;
use edge_wire::hardware::{ClockInfo, Hardware, Measured, RailInfo, Trip};

use crate::render::glyphs::{Glyphs, share};
use crate::render::tinted::{Line, Tint};
use crate::render::units::{bytes, watts, whole};

/// Width of the column of temperatures.
pub const LEFT: usize = 32;
/// The same on a wide screen.
pub const LEFT_MOST: usize = 60;
/// Where bars of temperatures begin, degrees Celsius: rooms are not much colder.
const COLD: f64 = 20.0;
/// Where they end without a trip.
const HOT: f64 = 100.0;
/// Width of the labels of the other column, which has the least room.
const LABEL: usize = 6;
/// Nearer to the trip than this is worth a look, kelvin.
const NEAR: f64 = 5.0;

/// A temperature with what happens above it.
struct Row {
    name: String,
    temp: Option<f64>,
    /// Where the machine slows down.
    trip: Option<f64>,
    /// Where it stops.
    critical: Option<f64>,
}

impl Row {
    /// Distance to the trip; those without one come last.
    fn headroom(&self) -> f64 {
        self.temp.zip(self.trip).map_or(f64::INFINITY, |(temp, trip)| trip - temp)
    }
}

/// Where the machine begins to slow down, by its own trips.
pub fn slows_at(trips: &[Trip]) -> Option<f64> {
    trips.iter().filter(|trip| matches!(trip.kind.as_str(), "passive" | "hot")).map(|trip| trip.temp_c).reduce(f64::min)
}

fn rows(status: &Status) -> Vec<Row> {
    let governed = &status.governor.zones;
    let mut rows: Vec<Row> = status
        .hardware
        .zones
        .iter()
        .map(|zone| {
            let known = governed.iter().find(|governed| governed.name == zone.name);
            let stops = zone.trips.iter().find(|trip| trip.kind == "critical").map(|trip| trip.temp_c);
            Row {
                name: zone.name.clone(),
                temp: zone.temp_c.value,
                trip: known.map(|governed| governed.trip_c).or_else(|| slows_at(&zone.trips)),
                critical: stops,
            }
        })
        .collect();
    rows.sort_by(|a, b| {
        (a.temp.is_none(), a.headroom())
            .partial_cmp(&(b.temp.is_none(), b.headroom()))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    rows
}

/// A line for each zone, the one nearest to its trip first. Zones that tell nothing share a line.
pub fn zones(status: &Status, glyphs: Glyphs, width: usize) -> Vec<Line> {
    let (known, silent): (Vec<Row>, Vec<Row>) = rows(status).into_iter().partition(|row| row.temp.is_some());
    if known.is_empty() && silent.is_empty() {
        return Vec::new();
    }
    let names = known.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(4, 12);
    // Name, temperature, bar, trip and critical trip, a space between each.
    let bar = width.saturating_sub(names + 6 + 5 + 5 + 4).min(40);
    let head = format!("{:<names$} {:>6} {:bar$} {:>5} {:>5}", "ZONE", "C", "", "SLOWS", "STOPS");
    let mut lines = vec![Line::of(head, Tint::Title)];
    lines.extend(known.iter().map(|row| zone(row, glyphs, names, bar)));
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(|row| row.name.as_str()).collect();
        lines.push(Line::of(format!("silent: {}", names.join(" ")), Tint::Faint));
    }
    lines
}

fn zone(row: &Row, glyphs: Glyphs, names: usize, bar: usize) -> Line {
    let temp = row.temp.unwrap_or_default();
    let end = row.critical.or(row.trip).unwrap_or(HOT).max(COLD + 1.0);
    let tint = match row.headroom() {
        past if past <= 0.0 => Tint::Bad,
        near if near <= NEAR => Tint::Warn,
        _ => Tint::Plain,
    };
    let at = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    let name: String = row.name.chars().take(names).collect();
    let mark = row.trip.map(|trip| share(trip, COLD, end));
    Line::of(format!("{name:<names$} {temp:>6.1} "), tint)
        .and(glyphs.bar(share(temp, COLD, end), mark, bar), tint)
        .and(format!(" {:>5} {:>5}", at(row.trip), at(row.critical)), Tint::Faint)
}

/// Load, memory, clocks, power, cooling and what slows the machine down.
pub fn rest(status: &Status, glyphs: Glyphs, width: usize) -> Vec<Line> {
    let hardware = &status.hardware;
    let mut lines = loads(status, glyphs);
    lines.extend(slowed(hardware, width));
    lines.extend(listed("GHz", &hardware.clocks.iter().filter_map(clock).collect::<Vec<_>>(), width));
    lines.extend(listed("power", &hardware.rails.iter().filter_map(rail).collect::<Vec<_>>(), width));
    let mode = (!hardware.power_mode.is_empty()).then(|| hardware.power_mode.clone());
    match (fans(hardware), mode) {
        (fans, None) => lines.extend(listed("fans", &fans, width)),
        (fans, Some(mode)) if fans.is_empty() => lines.extend(listed("mode", &[(mode, Tint::Plain)], width)),
        (mut fans, Some(mode)) => {
            fans.push((format!("mode {mode}"), Tint::Plain));
            lines.extend(listed("fans", &fans, width));
        }
    }
    lines
}

fn reading(status: &Status, name: &str) -> Option<f64> {
    status.readings.iter().find(|reading| reading.name == name).and_then(|reading| reading.value)
}

fn loads(status: &Status, glyphs: Glyphs) -> Vec<Line> {
    let row = |label: &str, share: f64, rest: String| {
        let text = format!("{} {:>3.0}%{rest}", glyphs.bar(share, None, 10), share * 100.0);
        labelled(label).and(text, Tint::Plain)
    };
    let mut lines = Vec::new();
    lines.extend(reading(status, "cpu_load_percent").map(|percent| row("cpu", percent / 100.0, String::new())));
    for accelerator in &status.hardware.accelerators {
        let power = accelerator.power_w.value.map_or(String::new(), |power| format!(" {}", watts(power)));
        let free =
            accelerator.memory_free_bytes.value.map_or(String::new(), |free| format!(" {} free", bytes(whole(free))));
        lines.extend(
            accelerator.load_percent.value.map(|percent| row(&accelerator.kind, percent / 100.0, power + &free)),
        );
    }
    let total = reading(status, "memory_total_bytes").map_or(status.platform.memory_bytes, whole);
    if let Some(free) = reading(status, "memory_available_bytes").map(whole).filter(|_| total > 0) {
        let used = total.saturating_sub(free);
        lines.push(row("mem", ratio(used, total), format!(" of {}", bytes(total))));
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// What slows the machine down now, and what happened to its power.
fn slowed(hardware: &Hardware, width: usize) -> Vec<Line> {
    let coolers = hardware.coolers.iter().filter(|cooler| cooler.kind == "throttle");
    let active = coolers.filter_map(|cooler| {
        let state = cooler.state.value.filter(|state| *state > 0.0)?;
        Some(format!("{} {state:.0}/{}", cooler.name, cooler.max_state))
    });
    let by = hardware.accelerators.iter().filter(|accelerator| !accelerator.throttled_by.is_empty());
    let told = by.map(|accelerator| format!("{}: {}", accelerator.kind, accelerator.throttled_by));
    let events = hardware.over_current.iter().filter_map(|counter| {
        let events = counter.events.value.filter(|events| *events > 0.0)?;
        Some(format!("{} x{events:.0}", counter.name))
    });
    let warned = |items: &mut dyn Iterator<Item = String>| items.map(|text| (text, Tint::Warn)).collect::<Vec<_>>();
    let mut lines = listed("slow", &warned(&mut active.chain(told)), width);
    lines.extend(listed("oc", &warned(&mut { events }), width));
    lines
}

/// `gpu 0.61/0.83/1.30`: now, what it may go up to, and the most of the hardware where a mode caps it.
fn clock(clock: &ClockInfo) -> Option<(String, Tint)> {
    let is_capped = clock.top_hz > clock.max_hz && clock.max_hz > 0.0;
    let limits = [clock.max_hz, if is_capped { clock.top_hz } else { 0.0 }];
    let giga = |hz: f64| format!("{:.2}", hz / 1e9);
    let numbers = std::iter::once(clock.hz.value?).chain(limits.into_iter().filter(|hz| *hz > 0.0)).map(giga);
    Some((format!("{} {}", clock.name, numbers.collect::<Vec<_>>().join("/")), Tint::Plain))
}

fn rail(rail: &RailInfo) -> Option<(String, Tint)> {
    let power = rail.power_w.value?;
    let text = format!("{} {}", rail.name, watts(power));
    Some(if rail.alarm { (text + " ALARM", Tint::Bad) } else { (text, Tint::Plain) })
}

fn fans(hardware: &Hardware) -> Vec<(String, Tint)> {
    let told = |value: &Measured, unit: &str| value.value.map(|value| format!(" {value:.0}{unit}"));
    let fan = |fan: &edge_wire::hardware::FanInfo| {
        let parts: String = [told(&fan.percent, "%"), told(&fan.rpm, " rpm")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| (format!("{}{parts}", fan.name), Tint::Plain))
    };
    hardware.fans.iter().filter_map(fan).collect()
}

/// A label of this column.
fn labelled(label: &str) -> Line {
    Line::of(format!("{label:<LABEL$}"), Tint::Title)
}

/// Items behind a label, on as many lines as they take.
fn listed(label: &str, items: &[(String, Tint)], width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (text, tint) in items {
        let fits = lines.last().is_some_and(|line| line.width() + 2 + text.chars().count() <= width);
        let line = match (fits, lines.is_empty()) {
            (true, _) => lines.pop().unwrap_or_default().and("  ", Tint::Plain),
            (false, true) => labelled(label),
            (false, false) => Line::of(" ".repeat(LABEL), Tint::Plain),
        };
        lines.push(line.and(text, *tint));
    }
    lines
}
