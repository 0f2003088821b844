//! One run of a plant with the governor and without, as a drawing: temperature, capacity and work over time.

use edge_core::sim::heated::{Result as Run, Trial, run};
use edge_core::sim::plant::Kind;

use crate::measure::drawing::{Anchor, Colour, Drawing};

/// Colours that differ in lightness too: printed in grey they can be told apart.
const WITH: Colour = [0, 70, 140];
const WITHOUT: Colour = [240, 140, 40];
const TRIP: Colour = [190, 20, 30];
const TARGET: Colour = [20, 130, 60];
const INK: Colour = [30, 30, 30];
const GRID: Colour = [222, 222, 222];

/// Left and right end of the panels, pixels.
const SIDES: [f64; 2] = [80.0, 930.0];
/// Seconds between two points of a line.
const EVERY: usize = 5;

/// One panel.
struct Panel {
    top: f64,
    bottom: f64,
    /// Values at the bottom and at the top.
    range: [f64; 2],
    /// Between two lines of the grid.
    step: f64,
    name: &'static str,
}

/// Where panels stand on the paper.
const TEMPERATURE: Panel =
    Panel { top: 112.0, bottom: 360.0, range: [60.0, 105.0], step: 5.0, name: "temperature of the chip, C" };
const CAPACITY: Panel = Panel {
    top: 410.0,
    bottom: 530.0,
    range: [0.0, 100.0],
    step: 25.0,
    name: "capacity: time of the lanes that may be used, %",
};

/// Draws a plant under a load for so many seconds.
pub fn drawing(kind: Kind, ambient: f64, load: f64, seconds: u64) -> Drawing {
    let trip = Trial::new(kind, ambient, load, 0, true).plant.parameters.trip;
    let mut targets = Vec::new();
    let with = run(Trial::new(kind, ambient, load, 0, true), seconds, |_, _, core| {
        targets.push(core.snapshot().zones.first().map_or(trip, |zone| zone.target));
    });
    let without = run(Trial::new(kind, ambient, load, 0, false), seconds, |_, _, _| ());
    let title = format!(
        "Plant \"{}\" in air of {ambient} C, load {:.0}%, {} minutes (simulated)",
        kind.as_str(),
        load * 100.0,
        seconds / 60
    );
    let mut drawing = Drawing { title: title.clone(), width: 960, height: 760, shapes: Vec::new() };
    drawing.word([SIDES[0], 30.0], Anchor::Start, title, INK);
    legend(&mut drawing, &with, &without);
    let work = Panel { top: 580.0, bottom: 700.0, ..work_panel(&with, &without) };
    for panel in [&TEMPERATURE, &CAPACITY, &work] {
        panel.frame(&mut drawing, seconds);
    }
    drawing.word([f64::midpoint(SIDES[0], SIDES[1]), 744.0], Anchor::Middle, "minutes", INK);
    let temps = |run: &Run| run.seconds.iter().map(|second| second.temp).collect::<Vec<f64>>();
    let duties = |run: &Run| run.seconds.iter().map(|second| second.duty * 100.0).collect::<Vec<f64>>();
    for (run, colour, width) in [(&without, WITHOUT, 1.5), (&with, WITH, 2.5)] {
        drawing.line(TEMPERATURE.curve(&temps(run), EVERY), colour, width);
        drawing.line(CAPACITY.curve(&duties(run), EVERY), colour, width);
        drawing.line(work.stairs(&minutes(run)), colour, width);
    }
    drawing.dashed(TEMPERATURE.curve(&targets, EVERY), TARGET, 1.5);
    drawing.dashed(TEMPERATURE.curve(&vec![trip; targets.len()], EVERY), TRIP, 1.5);
    drawing
}

fn legend(drawing: &mut Drawing, with: &Run, without: &Run) {
    let said = |run: &Run| format!("{} throttles, {:.2}% in time", run.throttled, run.in_time() * 100.0);
    let entries = [
        (0.0, 52.0, WITH, false, format!("with the governor: {}", said(with))),
        (0.0, 74.0, WITHOUT, false, format!("without: {}", said(without))),
        (560.0, 52.0, TRIP, true, "trip: the hardware throttles".to_owned()),
        (560.0, 74.0, TARGET, true, "target".to_owned()),
    ];
    for (right, y, colour, dashed, text) in entries {
        let left = SIDES[0] + right;
        let points = vec![[left, y - 5.0], [left + 30.0, y - 5.0]];
        if dashed {
            drawing.dashed(points, colour, 2.0)
        } else {
            drawing.line(points, colour, 3.0)
        }
        drawing.word([left + 38.0, y], Anchor::Start, text, INK);
    }
}

/// Requests that were done in each minute.
fn minutes(run: &Run) -> Vec<f64> {
    run.seconds.chunks(60).map(|minute| minute.iter().map(|second| f64::from(second.done)).sum()).collect()
}

/// As high as the most work of a minute.
fn work_panel(with: &Run, without: &Run) -> Panel {
    let most = minutes(with).into_iter().chain(minutes(without)).fold(1.0, f64::max);
    let step = (most / 3.0 / 100.0).ceil() * 100.0;
    Panel { range: [0.0, (most / step).ceil() * step], step, name: "work: requests done in a minute", ..CAPACITY }
}

/// A count as a number to draw with.
fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

impl Panel {
    fn y(&self, value: f64) -> f64 {
        let part = (value - self.range[0]) / (self.range[1] - self.range[0]);
        self.bottom - part.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    fn frame(&self, drawing: &mut Drawing, seconds: u64) {
        let minutes = number(usize::try_from(seconds / 60).unwrap_or(usize::MAX));
        let mut minute = 0.0;
        while minute <= minutes {
            let x = SIDES[0] + minute / minutes * (SIDES[1] - SIDES[0]);
            drawing.line(vec![[x, self.top], [x, self.bottom]], GRID, 1.0);
            drawing.word([x, self.bottom + 18.0], Anchor::Middle, format!("{minute:.0}"), INK);
            minute += 15.0;
        }
        let mut value = self.range[0];
        while value <= self.range[1] {
            let y = self.y(value);
            drawing.line(vec![[SIDES[0], y], [SIDES[1], y]], GRID, 1.0);
            drawing.word([SIDES[0] - 8.0, y + 5.0], Anchor::End, format!("{value:.0}"), INK);
            value += self.step;
        }
        let corners = [[SIDES[0], self.top], [SIDES[0], self.bottom], [SIDES[1], self.bottom]];
        drawing.line(corners.to_vec(), INK, 1.0);
        drawing.word([SIDES[0], self.top - 8.0], Anchor::Start, self.name, INK);
    }

    /// A line through every so many of the values; where it stays level only its ends are kept.
    fn curve(&self, values: &[f64], every: usize) -> Vec<[f64; 2]> {
        let last = number(values.len().max(2) - 1);
        let mut points: Vec<[f64; 2]> = Vec::new();
        for (at, value) in values.iter().enumerate().filter(|(at, _)| at % every == 0 || at + 1 == values.len()) {
            let next = [SIDES[0] + number(at) / last * (SIDES[1] - SIDES[0]), self.y(*value)];
            if let [.., before, end] = points.as_mut_slice()
                && before[1] == next[1]
                && end[1] == next[1]
            {
                *end = next;
            } else {
                points.push(next);
            }
        }
        points
    }

    /// A level for each value.
    fn stairs(&self, values: &[f64]) -> Vec<[f64; 2]> {
        let x = |at: usize| SIDES[0] + number(at) / number(values.len().max(1)) * (SIDES[1] - SIDES[0]);
        values
            .iter()
            .enumerate()
            .flat_map(|(at, value)| [[x(at), self.y(*value)], [x(at + 1), self.y(*value)]])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_reaches_from_side_to_side_and_a_level_part_has_two_points() {
        let points = CAPACITY.curve(&[100.0, 100.0, 100.0, 100.0, 0.0], 1);
        assert_eq!(points.len(), 3, "{points:?}");
        assert_eq!((points[0], points[2]), ([SIDES[0], CAPACITY.top], [SIDES[1], CAPACITY.bottom]));
        assert_eq!(CAPACITY.y(1000.0), CAPACITY.top, "nothing leaves its panel");
    }
}
