//! Recorded arrivals at simulated boxes that may send calls to the cloud, in virtual time: the table of rules, the promised
//! numbers, and a picture of what each rule makes of the promise and of the cloud. Nothing here measures this machine: the
//! figures are the same on every one.

use std::path::Path;

use anyhow::{Context, Result};
use edge_core::sim::slots::{Call, Machine, PLANE, Rule, Score, calls};
use edge_core::{Mono, Span};

use crate::measure::drawing::{Anchor, Colour, Drawing};
use crate::measure::picture;
use crate::measure::table::{Promise, Table};

/// The first token is promised within this.
const PROMISE: Span = Span::from_millis(2_000);
/// What is measured: one in a hundred may be late.
const TIMED: Rule = Rule::TimedSpill(10);
/// Rules of the table.
const RULES: [Rule; 6] =
    [Rule::QueueLength(1), Rule::QueueLength(16), Rule::PredictedWait(990), TIMED, Rule::Clairvoyant, Rule::Hindsight];
/// Ways to choose calls by lot.
const LOTS: u64 = 10;

/// A box under a load.
struct Case {
    name: &'static str,
    machine: Machine,
    /// Thousandths of what it can do.
    load: u32,
}

fn cases() -> [Case; 3] {
    let minute = |minutes: u64| Span::from_millis(minutes * 60_000).from(Mono::default());
    let small = Machine { slots: 4, prefill: 600, decode: 20, slow: None };
    let large = Machine { slots: 16, prefill: 3_000, decode: 40, slow: None };
    let hot = Machine { slow: Some((minute(10), minute(40), 585)), ..large };
    [
        Case { name: "4 slots at 60%", machine: small, load: 600 },
        Case { name: "16 slots at 90%", machine: large, load: 900 },
        Case { name: "16 slots at 60%, hot", machine: hot, load: 600 },
    ]
}

impl Case {
    /// Each lot under a rule.
    fn lots(&self, all: &[Call], rule: Rule) -> Vec<Score> {
        let play = |lot| rule.play(&self.machine.load(all, self.load, lot), self.machine, PROMISE, lot);
        (1..=LOTS).map(play).collect()
    }
}

/// The recorded calls, which the core's tests have too.
pub fn recorded(repository: &Path) -> Result<Vec<Call>> {
    let path = repository.join("daemon/core/tests/data/azure-llm-2023-conv.bin");
    let records = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(calls(&records))
}

/// Prints the table of rules, and adds the promised numbers.
pub fn rows(table: &mut Table, all: &[Call]) {
    println!("| box | rule | in time | the worst of {LOTS} | sent away | after waiting | to clairvoyant |");
    println!("|---|---|---|---|---|---|---|");
    for case in cases() {
        let known = case.lots(all, Rule::Clairvoyant);
        for rule in RULES {
            let lots = case.lots(all, rule);
            let (sum, least) = (pooled(&lots), lots.iter().map(Score::slo).fold(100.0, f64::min));
            let left = 100.0 * f64::from(sum.left) / f64::from(sum.calls.max(1));
            let (slo, share) = (sum.slo(), sum.share());
            let ratio = share / pooled(&known).share();
            let name = named(rule);
            println!("| {} | {name} | {slo:.2}% | {least:.2}% | {share:.1}% | {left:.1}% | {ratio:.2} |", case.name);
        }
        let lots = case.lots(all, TIMED);
        let least = lots.iter().map(Score::slo).fold(100.0, f64::min);
        let ratios = lots.iter().zip(&known).map(|(found, known)| found.share() / known.share());
        let note = format!("the worst of {LOTS} lots, simulated; {:.1}% sent away", pooled(&lots).share());
        let what = format!("sites: {}, first token in time", case.name);
        table.add(&what, "%", Promise::AtLeast(99.0), least, note.clone());
        let what = format!("sites: {}, sent away / clairvoyant", case.name);
        table.add(&what, "x", Promise::AtMost(1.5), ratios.fold(0.0, f64::max), note);
    }
}

/// A rule with its setting.
fn named(rule: Rule) -> String {
    let word = rule.as_str();
    match rule {
        Rule::QueueLength(most) => format!("{word} up to {most}"),
        Rule::PredictedWait(permille) => format!("{word}, {:.1}% sure", f64::from(permille) / 10.0),
        Rule::TimedSpill(permille) => format!("{word}, {:.1}% may be late", f64::from(permille) / 10.0),
        Rule::Clairvoyant | Rule::Hindsight => word.to_owned(),
    }
}

/// All lots as one.
fn pooled(lots: &[Score]) -> Score {
    lots.iter().fold(Score::default(), |sum, lot| Score {
        calls: sum.calls + lot.calls,
        in_time: sum.in_time + lot.in_time,
        away: sum.away + lot.away,
        left: sum.left + lot.left,
    })
}

const INK: Colour = [30, 30, 30];
const GRID: Colour = [222, 222, 222];
const PROMISED: Colour = [190, 20, 30];
/// Width of the paper, and where the panels stand.
const WIDTH: f64 = 1_200.0;
const TOP: f64 = 120.0;
const BOTTOM: f64 = 440.0;
const SIDE: f64 = 70.0;
const GAP: f64 = 40.0;
/// Percent in time at the grid's lines; heights go by the logarithm of what is late.
const LEVELS: [f64; 6] = [20.0, 50.0, 80.0, 90.0, 99.0, 99.9];

/// Colours that differ in lightness too.
fn colour(rule: Rule) -> Colour {
    match rule {
        Rule::QueueLength(_) => [240, 140, 40],
        Rule::PredictedWait(_) => [110, 170, 220],
        Rule::TimedSpill(_) => [0, 70, 140],
        Rule::Clairvoyant => [20, 130, 60],
        Rule::Hindsight => [130, 130, 130],
    }
}

/// One panel of the picture.
struct Panel {
    left: f64,
    right: f64,
    /// Share at the right end, percent.
    most: f64,
}

impl Panel {
    fn at(&self, score: &Score) -> [f64; 2] {
        let x = self.left + score.share() / self.most * (self.right - self.left);
        [x.min(self.right), y(score.slo())]
    }
}

/// How high so many percent in time are.
fn y(slo: f64) -> f64 {
    let late = |slo: f64| (100.0 - slo).max(0.04).ln();
    TOP + (late(slo) - late(100.0)) / (late(LEVELS[0]) - late(100.0)) * (BOTTOM - TOP)
}

/// Draws the plane of the promise kept and the cloud's share into a folder: `sites.svg` and `sites.png`.
pub fn draw(folder: &Path, all: &[Call]) -> Result<()> {
    let drawing = drawing(all);
    let (svg, png) = (folder.join("sites.svg"), folder.join("sites.png"));
    std::fs::write(&svg, drawing.svg()).with_context(|| format!("writing {}", svg.display()))?;
    picture::of(&drawing).save(&png).with_context(|| format!("writing {}", png.display()))?;
    println!("drew {} and {}", svg.display(), png.display());
    Ok(())
}

fn drawing(all: &[Call]) -> Drawing {
    let title = "First token within 2 s over calls sent to the cloud: recorded arrivals at three boxes (simulated)";
    let mut drawing = Drawing { title: title.into(), width: 1_200, height: 500, shapes: Vec::new() };
    drawing.word([SIDE, 30.0], Anchor::Start, title, INK);
    legend(&mut drawing);
    let width = (WIDTH - SIDE - 3.0 * GAP) / 3.0;
    for (case, number) in cases().iter().zip([0.0, 1.0, 2.0]) {
        let left = SIDE + number * (width + GAP);
        let lots: Vec<(Rule, Score)> = PLANE.iter().map(|rule| (*rule, pooled(&case.lots(all, *rule)))).collect();
        let most = lots.iter().map(|(_, score)| score.share()).fold(5.0, f64::max);
        let panel = Panel { left, right: left + width, most: (most / 5.0).ceil() * 5.0 };
        frame(&mut drawing, &panel, case.name, number == 0.0);
        curves(&mut drawing, &panel, &lots);
    }
    drawing
}

fn legend(drawing: &mut Drawing) {
    let rules = [Rule::QueueLength(1), Rule::PredictedWait(990), TIMED, Rule::Clairvoyant, Rule::Hindsight];
    for (rule, number) in rules.into_iter().zip([0.0, 1.0, 2.0, 3.0, 4.0]) {
        let left = SIDE + number * 190.0;
        square(drawing, [left + 8.0, 60.0], colour(rule));
        drawing.word([left + 20.0, 65.0], Anchor::Start, rule.as_str(), INK);
    }
    drawing.dashed(vec![[SIDE + 950.0, 60.0], [SIDE + 985.0, 60.0]], PROMISED, 2.0);
    drawing.word([SIDE + 993.0, 65.0], Anchor::Start, "promised", INK);
}

fn frame(drawing: &mut Drawing, panel: &Panel, name: &str, first: bool) {
    for level in LEVELS {
        drawing.line(vec![[panel.left, y(level)], [panel.right, y(level)]], GRID, 1.0);
        if first {
            drawing.word([panel.left - 8.0, y(level) + 5.0], Anchor::End, format!("{level}%"), INK);
        }
    }
    let step = if panel.most > 20.0 { 10.0 } else { 5.0 };
    let mut share = 0.0;
    while share <= panel.most {
        let x = panel.left + share / panel.most * (panel.right - panel.left);
        drawing.line(vec![[x, TOP], [x, BOTTOM]], GRID, 1.0);
        drawing.word([x, BOTTOM + 18.0], Anchor::Middle, format!("{share:.0}"), INK);
        share += step;
    }
    let corners = [[panel.left, TOP], [panel.left, BOTTOM], [panel.right, BOTTOM]];
    drawing.line(corners.to_vec(), INK, 1.0);
    drawing.dashed(vec![[panel.left, y(99.0)], [panel.right, y(99.0)]], PROMISED, 1.5);
    drawing.word([panel.left, TOP - 12.0], Anchor::Start, name, INK);
    let middle = f64::midpoint(panel.left, panel.right);
    drawing.word([middle, BOTTOM + 42.0], Anchor::Middle, "sent to the cloud, %", INK);
}

/// A line through the settings of each rule, and a square at each.
fn curves(drawing: &mut Drawing, panel: &Panel, lots: &[(Rule, Score)]) {
    for family in lots.chunk_by(|(one, _), (other, _)| one.as_str() == other.as_str()) {
        let points: Vec<[f64; 2]> = family.iter().map(|(_, score)| panel.at(score)).collect();
        let colour = family.first().map_or(INK, |(rule, _)| colour(*rule));
        points.iter().for_each(|point| square(drawing, *point, colour));
        drawing.line(points, colour, 1.5);
    }
}

fn square(drawing: &mut Drawing, [x, y]: [f64; 2], colour: Colour) {
    drawing.line(vec![[x - 0.5, y], [x + 0.5, y]], colour, 8.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_time_more_often_is_higher_and_nothing_leaves_its_panel() {
        let heights = LEVELS.map(y);
        assert!(heights.is_sorted_by(|one, other| one > other), "{heights:?}");
        assert!((y(LEVELS[0]) - BOTTOM).abs() < 1e-9 && (y(100.0) - TOP).abs() < 1e-9);
        let panel = Panel { left: 0.0, right: 100.0, most: 10.0 };
        let score = Score { calls: 100, in_time: 99, away: 5, left: 0 };
        assert_eq!(panel.at(&score), [50.0, y(99.0)]);
    }

    #[test]
    fn each_rule_of_the_plane_has_its_square() {
        let few = calls(&[0, 0, 0, 0, 100, 0, 50, 0, 9, 0, 0, 0, 100, 0, 50, 0]);
        let svg = drawing(&few).svg();
        // In three panels, and five in the legend.
        assert_eq!(svg.matches("stroke-width=\"8\"").count(), PLANE.len() * 3 + 5);
        assert!(svg.contains("timed spill") && svg.contains("16 slots at 90%"));
    }
}
