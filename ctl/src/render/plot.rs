//! Speed against quality of the variants of a bundle: as an SVG picture, and in letters for a terminal. What was measured is
//! drawn; nothing is decided here.

use edge_wire::bring::Evaluated;

use super::table::clean;

/// Size of the picture, pixels.
const PICTURE: [f64; 2] = [640.0, 420.0];
/// Room for the axes: left, top, right, bottom.
const MARGIN: [f64; 4] = [80.0, 48.0, 40.0, 64.0];
/// Steps of an axis.
const STEPS: u8 = 4;
/// Columns and rows of the plot in letters.
const GRID: [usize; 2] = [48, 8];

/// A variant.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    name: String,
    /// Milliseconds of a run, and the measure.
    at: [f64; 2],
}

/// Where an axis begins and ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    /// With some room on both sides, and within `least` and `most`.
    fn around(values: impl Iterator<Item = f64> + Clone, least: f64, most: f64) -> Axis {
        let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
        let room = ((high - low) * 0.15).max(high.abs() * 0.02).max(0.001);
        Axis { from: (low - room).max(least), to: (high + room).min(most).max(least + 0.001) }
    }

    /// As a share of the axis.
    fn share(&self, value: f64) -> f64 {
        ((value - self.from) / (self.to - self.from).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
    }

    fn step(&self, step: u8) -> f64 {
        self.from + (self.to - self.from) * f64::from(step) / f64::from(STEPS)
    }
}

/// The variants that have both figures, with their axes: time and measure. `None` if there are none.
fn points(evaluated: &Evaluated) -> Option<(Vec<Point>, Axis, Axis)> {
    let point = |scored: &edge_wire::bring::Scored| {
        let quality = scored.measures.first()?.value?;
        (scored.run_p50_ms > 0.0).then(|| Point { name: clean(&scored.variant), at: [scored.run_p50_ms, quality] })
    };
    let points: Vec<Point> = evaluated.variants.iter().filter_map(point).collect();
    if points.is_empty() {
        return None;
    }
    let values = |at: usize| points.iter().filter_map(move |point| point.at.get(at)).copied();
    let axes = (Axis::around(values(0), 0.0, f64::INFINITY), Axis::around(values(1), 0.0, 1.0));
    Some((points, axes.0, axes.1))
}

/// A picture of its own; `None` if there is nothing to draw.
pub fn svg(evaluated: &Evaluated) -> Option<String> {
    let (points, time, quality) = points(evaluated)?;
    let [width, height] = PICTURE;
    let [left, top, right, bottom] = [MARGIN[0], MARGIN[1], width - MARGIN[2], height - MARGIN[3]];
    let x = |value: f64| left + time.share(value) * (right - left);
    let y = |value: f64| bottom - quality.share(value) * (bottom - top);
    let title = format!("{}:{}, {} samples", evaluated.name, evaluated.version, evaluated.samples);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>{0}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"15\">{0}</text>\n",
        escaped(&title)
    );
    let mut line = |from: [f64; 2], to: [f64; 2], colour: &str| {
        let ([x1, y1], [x2, y2]) = (from, to);
        out.push_str(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>\n"
        ));
    };
    for step in 0..=STEPS {
        line([x(time.step(step)), top], [x(time.step(step)), bottom], "#ddd");
        line([left, y(quality.step(step))], [right, y(quality.step(step))], "#ddd");
    }
    line([left, top], [left, bottom], "black");
    line([left, bottom], [right, bottom], "black");
    let mut word = |at: [f64; 2], anchor: &str, text: &str| {
        let [x, y] = at;
        out.push_str(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escaped(text)));
    };
    for step in 0..=STEPS {
        let (time, quality) = (time.step(step), quality.step(step));
        word([x(time), bottom + 18.0], "middle", &format!("{time:.3}"));
        word([left - 8.0, y(quality) + 4.0], "end", &format!("{quality:.4}"));
    }
    word([(left + right) / 2.0, height - 18.0], "middle", "milliseconds of a run (half are quicker)");
    word([12.0, top - 10.0], "start", &evaluated.measure);
    for point in &points {
        let [time, quality] = point.at;
        let is_late = time_is_late(x(time), right);
        let (anchor, aside) = if is_late { ("end", -10.0) } else { ("start", 10.0) };
        word([x(time) + aside, y(quality) - 8.0], anchor, &point.name);
    }
    for point in &points {
        let [time, quality] = point.at;
        out.push_str(&format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"#06c\"/>\n", x(time), y(quality)));
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// Near the right edge a name stands on the left.
fn time_is_late(x: f64, right: f64) -> bool {
    x > right - 120.0
}

/// In letters; `None` unless there are two variants to compare.
pub fn letters(evaluated: &Evaluated) -> Option<String> {
    let (points, time, quality) = points(evaluated).filter(|(points, ..)| points.len() > 1)?;
    let [columns, rows] = GRID;
    let mut grid = vec![vec![' '; columns]; rows];
    let letter = |at: usize| char::from_digit(u32::try_from(at).unwrap_or(0) + 10, 36).unwrap_or('*');
    for (at, point) in points.iter().enumerate() {
        let (column, row) = (cell(time.share(point.at[0]), columns), cell(1.0 - quality.share(point.at[1]), rows));
        if let Some(place) = grid.get_mut(row).and_then(|row| row.get_mut(column)) {
            // What lies on top of each other is as good.
            *place = if *place == ' ' { letter(at) } else { '+' };
        }
    }
    let mut out = format!("\n  {}\n", clean(&evaluated.measure));
    for (at, row) in grid.iter().enumerate() {
        let scale = match at {
            0 => format!("{:.4}", quality.to),
            last if last + 1 == rows => format!("{:.4}", quality.from),
            _ => String::new(),
        };
        let row: String = row.iter().collect();
        out.push_str(format!("{scale:>8} |{row}").trim_end());
        out.push('\n');
    }
    let (from, to) = (format!("{:.3} ms", time.from), format!("{:.3} ms", time.to));
    out.push_str(&format!(
        "         +{}\n          {from:<width$}{to}\n",
        "-".repeat(columns),
        width = columns - to.len()
    ));
    let names: Vec<String> =
        points.iter().enumerate().map(|(at, point)| format!("{} {}", letter(at), point.name)).collect();
    out.push_str(&format!("          {}\n", names.join("   ")));
    Some(out)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a few cells"
)]
fn cell(share: f64, cells: usize) -> usize {
    ((share * cells as f64) as usize).min(cells.saturating_sub(1))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use edge_wire::bring::{Measure, Scored};

    use super::*;

    fn evaluated(list: &[(&str, f64, Option<f64>)]) -> Evaluated {
        let scored = |&(name, ms, value): &(&str, f64, Option<f64>)| Scored {
            variant: name.into(),
            run_p50_ms: ms,
            measures: vec![Measure { name: "top1".into(), value }],
            ..Scored::default()
        };
        Evaluated {
            name: "a<b".into(),
            version: "1.0.0".into(),
            measure: "top1".into(),
            samples: 10,
            variants: list.iter().map(scored).collect(),
            ..Evaluated::default()
        }
    }

    #[test]
    fn every_variant_with_both_figures_is_drawn_in_its_place() {
        let of = evaluated(&[("fp32", 4.0, Some(0.9)), ("int8", 1.0, Some(0.8)), ("lost", 0.0, None)]);
        let svg = svg(&of).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("<title>a&lt;b:1.0.0, 10 samples</title>") && svg.trim_end().ends_with("</svg>"), "{svg}");
        let circles: Vec<[f64; 2]> = svg
            .lines()
            .filter(|line| line.starts_with("<circle"))
            .map(|line| {
                ["cx=\"", "cy=\""]
                    .map(|key| line.split(key).nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            })
            .collect();
        // The quicker one is on the left, the better one above.
        assert!(circles[1][0] < circles[0][0] && circles[0][1] < circles[1][1], "{circles:?}");
        let letters = letters(&of).unwrap();
        let at = |letter: char| letters.lines().position(|line| line.contains('|') && line.contains(letter)).unwrap();
        assert!(at('a') < at('b') && letters.contains("a fp32   b int8"), "{letters}");
        assert!(letters.lines().all(|line| line.len() <= 80), "{letters}");
    }

    #[test]
    fn where_there_is_nothing_to_compare_nothing_is_drawn() {
        assert_eq!(svg(&evaluated(&[("a", 0.0, Some(1.0))])), None);
        assert_eq!(svg(&evaluated(&[])), None);
        let one = evaluated(&[("a", 1.0, Some(1.0))]);
        assert_eq!(letters(&one), None);
        assert_eq!(svg(&one).unwrap().matches("<circle").count(), 1);
        // Two in one place.
        let same = evaluated(&[("a", 1.0, Some(1.0)), ("b", 1.0, Some(1.0))]);
        assert!(letters(&same).unwrap().contains('+'));
    }
}
