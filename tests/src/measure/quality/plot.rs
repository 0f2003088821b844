//! The quality-cost curve as a drawing: accuracy over the share of calls sent to the strong model.

use edged::difficulty::curve::Curve;

use crate::measure::drawing::{Anchor, Colour, Drawing};

/// Colours that differ in lightness too: printed in grey they can be told apart.
const ROUTER: Colour = [0, 70, 140];
const ORACLE: Colour = [20, 130, 60];
const CHANCE: Colour = [240, 140, 40];
const CERTIFIED: Colour = [190, 20, 30];
const INK: Colour = [30, 30, 30];
const GRID: Colour = [222, 222, 222];

/// Ends of the panel, pixels.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 930.0;
const TOP: f64 = 110.0;
const BOTTOM: f64 = 540.0;
/// Points of a line.
const POINTS: usize = 400;

/// Where a share sent and a quality are on the paper.
struct Place {
    range: [f64; 2],
}

impl Place {
    fn of(&self, share: f64, quality: f64) -> [f64; 2] {
        let up = (quality - self.range[0]) / (self.range[1] - self.range[0]);
        [LEFT + share * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP)]
    }

    fn line(&self, curve: &Curve) -> Vec<[f64; 2]> {
        let last = curve.quality.len().saturating_sub(1).max(1);
        let at = |point: usize| {
            let index = last * point / POINTS;
            self.of(index as f64 / last as f64, curve.quality.get(index).copied().unwrap_or_default())
        };
        (0..=POINTS).map(at).collect()
    }
}

/// Draws the router between chance and the oracle; `sent` by the certified threshold, `enough` for 95% of the strong quality.
pub fn drawing(routed: &Curve, oracle: &Curve, sent: Option<f64>, enough: f64) -> Drawing {
    let (weak, strong) = routed.ends();
    let highest = oracle.quality.iter().copied().fold(strong, f64::max);
    let place = Place { range: [(weak * 50.0).floor() / 50.0, (highest * 50.0).ceil() / 50.0] };
    let title = "Quality over cost: Mixtral 8x7B here, GPT-4 there, 13,042 questions (MMLU)";
    let mut drawing = Drawing { title: title.into(), width: 960, height: 600, shapes: Vec::new() };
    drawing.word([LEFT, 30.0], Anchor::Start, title, INK);
    grid(&mut drawing, &place);
    legend(&mut drawing, routed.apgr().unwrap_or_default());
    drawing.dashed(vec![place.of(0.0, 0.95 * strong), place.of(1.0, 0.95 * strong)], INK, 1.0);
    let [x, y] = place.of(1.0, 0.95 * strong);
    drawing.word([x - 8.0, y + 20.0], Anchor::End, "95% of the strong quality", INK);
    drawing.line(vec![place.of(0.0, weak), place.of(1.0, strong)], CHANCE, 2.0);
    drawing.line(place.line(oracle), ORACLE, 2.0);
    drawing.line(place.line(routed), ROUTER, 3.0);
    let local = |share: f64| format!("{:.0}% local", 100.0 * (1.0 - share));
    let foot = |share: f64| vec![place.of(share, place.range[0]), place.of(share, 0.95 * strong)];
    drawing.dashed(foot(enough), ROUTER, 1.5);
    let [x, _] = place.of(enough, weak);
    drawing.word([x + 8.0, BOTTOM - 40.0], Anchor::Start, local(enough), ROUTER);
    if let Some(sent) = sent {
        drawing.dashed(vec![place.of(sent, place.range[0]), place.of(sent, place.range[1])], CERTIFIED, 1.5);
        let [x, _] = place.of(sent, weak);
        drawing.word([x + 8.0, BOTTOM - 14.0], Anchor::Start, format!("certified: {}", local(sent)), CERTIFIED);
    }
    drawing
}

fn grid(drawing: &mut Drawing, place: &Place) {
    let mut quality = place.range[0];
    while quality < place.range[1] + 1e-9 {
        let [_, y] = place.of(0.0, quality);
        drawing.line(vec![[LEFT, y], [RIGHT, y]], GRID, 1.0);
        drawing.word([LEFT - 8.0, y + 5.0], Anchor::End, format!("{:.0}%", quality * 100.0), INK);
        quality += 0.02;
    }
    for tenth in 0..=5 {
        let share = f64::from(tenth) / 5.0;
        let [x, _] = place.of(share, place.range[0]);
        drawing.line(vec![[x, TOP], [x, BOTTOM]], GRID, 1.0);
        drawing.word([x, BOTTOM + 22.0], Anchor::Middle, format!("{:.0}%", share * 100.0), INK);
    }
    drawing.word([(LEFT + RIGHT) / 2.0, BOTTOM + 48.0], Anchor::Middle, "calls sent to the strong model", INK);
}

fn legend(drawing: &mut Drawing, apgr: f64) {
    let router = format!("learnt from 1,000 answers (APGR {apgr:.3})");
    let words =
        [(ORACLE, "oracle".to_owned(), 0.0), (ROUTER, router, 150.0), (CHANCE, "by chance (0.5)".to_owned(), 620.0)];
    for (colour, text, right) in words {
        let x = LEFT + right;
        drawing.line(vec![[x, 66.0], [x + 34.0, 66.0]], colour, 3.0);
        drawing.word([x + 44.0, 71.0], Anchor::Start, text, INK);
    }
    drawing.word([LEFT, 96.0], Anchor::Start, "right answers", INK);
}
