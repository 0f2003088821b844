//! The work: requests, their rates, the last minutes, the models, and how requests ended.

use edge_wire::dto::{ModelStatus, Status};

use super::labelled;
use crate::render::glyphs::Glyphs;
use crate::render::tinted::{Line, Tint};
use crate::render::units::{celsius, micros};
use crate::top::View;
use crate::top::trail::{self, Point, STEP_MS};

/// Tasks of bundles that serve nothing by themselves.
const PARTS: [&str; 4] = ["adapter", "tokenizer", "labels", "weights"];
/// What a sparkline shares its line with.
const BESIDE_SPARK: usize = 43;
/// A sparkline of temperatures covers at least so many kelvin, so that noise does not look like weather.
const LEAST_RANGE: f64 = 5.0;

/// What waits and runs, and how fast it goes.
pub fn requests(view: &View) -> Vec<Line> {
    let status = &view.status;
    let line = labelled("requests").and(format!("{} waiting, {} running", status.waiting, status.running), Tint::Plain);
    let Some(rates) = &view.rates else { return vec![line] };
    let part = |line: Line, rate: f64, word: &str, tint: Tint| {
        if rate > 0.0 || tint == Tint::Plain { line.and(format!(", {} {word}/s", per_s(rate)), tint) } else { line }
    };
    let line = part(line, rates.done_per_s, "done", Tint::Plain);
    let line = part(line, rates.refused_per_s, "refused", Tint::Warn);
    vec![part(line, rates.failed_per_s, "failed", Tint::Bad)]
}

/// Temperature, duty and throughput of the last minutes.
pub fn trails(view: &View, glyphs: Glyphs, width: usize) -> Vec<Line> {
    let columns = width.saturating_sub(BESIDE_SPARK).min(90);
    if columns < 6 {
        return Vec::new();
    }
    let points = view.trail.last(columns, view.now_ms);
    let now = trail::point(&view.status, view.rates.as_ref());
    let minutes = i64::try_from(columns).unwrap_or(0) * STEP_MS / 60_000;
    let percent = |share: f64| share * 100.0;
    let temps = Trace::of("temp", &points, now, |point| point.temp_c);
    let duty = Trace::of("duty %", &points, now, |point| point.duty.map(percent)).within(0.0, 100.0);
    let done = Trace::of("done/s", &points, now, |point| point.done_per_s);
    let most = done.high.max(1.0);
    let (temps, done) = (temps.at_least(LEAST_RANGE), done.within(0.0, most));
    let shown = |value: f64| format!("{value:.0}");
    let traces = [temps.told(celsius), duty.told(shown), done.told(per_s)];
    let known = traces.into_iter().filter(|trace| trace.values.iter().any(Option::is_some));
    let line = |(place, trace): (usize, Trace)| {
        let title = if place == 0 { format!(", last {minutes} min") } else { String::new() };
        let now = trace.now.map_or("-".into(), trace.tell);
        labelled(trace.label)
            .and(format!("{now:>9} "), Tint::Plain)
            .and(glyphs.spark(&trace.values, trace.low, trace.high), Tint::Plain)
            .and(format!("  {:.0}..{:.0}{title}", trace.low, trace.high), Tint::Faint)
    };
    known.enumerate().map(line).collect()
}

/// The values of a line, and the range that it is drawn in.
struct Trace {
    label: &'static str,
    values: Vec<Option<f64>>,
    now: Option<f64>,
    low: f64,
    high: f64,
    /// How a value is told.
    tell: fn(f64) -> String,
}

impl Trace {
    fn of(label: &'static str, points: &[Point], now: Point, value: impl Fn(&Point) -> Option<f64>) -> Trace {
        let values: Vec<Option<f64>> = points.iter().map(&value).collect();
        let known = || values.iter().flatten().copied();
        let (low, high) = (known().reduce(f64::min).unwrap_or(0.0), known().reduce(f64::max).unwrap_or(0.0));
        Trace { label, now: value(&now), low, high, values, tell: per_s }
    }

    fn told(self, tell: fn(f64) -> String) -> Trace {
        Trace { tell, ..self }
    }

    fn within(self, low: f64, high: f64) -> Trace {
        Trace { low, high, ..self }
    }

    /// The range with its middle where it is, and not smaller than this.
    fn at_least(self, range: f64) -> Trace {
        let (middle, half) = ((self.low + self.high) / 2.0, ((self.high - self.low) / 2.0).max(range / 2.0));
        self.within(middle - half, middle + half)
    }
}

/// A rate that changes all the time: with one place, so that it does not jump about.
fn per_s(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// A line for each model that serves, the one with most waiting first.
pub fn models(view: &View, width: usize) -> Vec<Line> {
    let serving = view.status.models.iter().filter(|model| !PARTS.contains(&model.task.as_str()));
    let mut models: Vec<&ModelStatus> = serving.collect();
    if models.is_empty() {
        return vec![Line::of("no models", Tint::Faint)];
    }
    let rate = |model: &ModelStatus| {
        view.rates.as_ref().and_then(|rates| rates.models.get(&format!("{}:{}", model.name, model.version)).copied())
    };
    let order = |model: &ModelStatus| (model.waiting, model.done, model.state == "ready");
    models.sort_by(|a, b| order(b).cmp(&order(a)).then_with(|| a.name.cmp(&b.name)));
    let name = |model: &ModelStatus| format!("{}:{}", model.name, model.version);
    // State, provider and four numbers stand beside it.
    let names = models
        .iter()
        .map(|model| name(model).chars().count())
        .max()
        .unwrap_or(0)
        .clamp(8, width.saturating_sub(44).max(12));
    let with_provider = width >= 76;
    let provider = |text: &str| if with_provider { format!("{text:<10} ") } else { String::new() };
    let head = format!(
        "{:<names$} {:<8} {}{:>8} {:>7} {:>8} {:>8}",
        "MODEL",
        "STATE",
        provider("PROVIDER"),
        "SERVICE",
        "WAITING",
        "DONE/S",
        "DONE"
    );
    let line = |model: &&ModelStatus| {
        let served_by = model.providers.first().map_or("-", |provider| provider.name.as_str());
        let service = if model.service_us == 0 { "-".into() } else { micros(model.service_us) };
        let done_per_s = rate(model).map_or("-".into(), per_s);
        let shown: String = name(model).chars().take(names).collect();
        let numbers = format!("{service:>8} {:>7} {done_per_s:>8} {:>8}", model.waiting, model.done);
        let tint = match model.state.as_str() {
            "ready" => Tint::Plain,
            "failed" => Tint::Bad,
            _ => Tint::Faint,
        };
        Line::of(format!("{shown:<names$} "), Tint::Plain)
            .and(format!("{:<8} ", model.state.chars().take(8).collect::<String>()), tint)
            .and(provider(&served_by.chars().take(10).collect::<String>()), Tint::Plain)
            .and(numbers, Tint::Plain)
            .cut(width)
    };
    std::iter::once(Line::of(head, Tint::Title).cut(width)).chain(models.iter().map(line)).collect()
}

/// Models that take longer than they should.
pub fn slow(status: &Status) -> Vec<Line> {
    let line = |slow: &edge_wire::governor::SlowModel| {
        Line::of(format!("SLOW {} takes {:.1} times as long: {}", slow.model, slow.factor, slow.cause), Tint::Warn)
    };
    status.governor.slow.iter().map(line).collect()
}

/// How requests ended since the start.
pub fn outcomes(status: &Status) -> Vec<Line> {
    let sums = &status.counters;
    let named = [
        ("failed", sums.failed),
        ("refused", sums.refused),
        ("shed", sums.shed),
        ("expired", sums.expired),
        ("cancelled", sums.cancelled),
        ("stored", sums.duplicates),
    ];
    let others = named.into_iter().filter(|(_, number)| *number > 0).map(|(word, number)| format!(", {number} {word}"));
    let text = format!("{} of {} done{}", sums.done, sums.arrived, others.collect::<String>());
    vec![labelled("in all").and(text, Tint::Plain)]
}
