//! The quality-cost curve as SVG. Must not know where it comes from.

use std::fmt::Write as _;

use super::curve::Curve;
use super::fit::count;

/// Paper, and its margins, pixels.
const SIZE: [f64; 2] = [640.0, 420.0];
const MARGIN: f64 = 56.0;

/// The curve, the line of chance, and the share that the certified threshold sends.
pub fn svg(curve: &Curve, sent: Option<f64>) -> String {
    let (weak, strong) = curve.ends();
    let top = curve.quality.iter().copied().fold(strong, f64::max);
    let bottom = curve.quality.iter().copied().fold(weak, f64::min);
    let place = |share: f64, quality: f64| {
        let up = (quality - bottom) / (top - bottom).max(1e-9);
        [MARGIN + share * (SIZE[0] - 2.0 * MARGIN), SIZE[1] - MARGIN - up * (SIZE[1] - 2.0 * MARGIN)]
    };
    let steps = count(curve.quality.len().saturating_sub(1)).max(1.0);
    let line: String = curve.quality.iter().enumerate().fold(String::new(), |mut line, (at, quality)| {
        let [x, y] = place(count(at) / steps, *quality);
        let done = write!(line, "{x:.1},{y:.1} ");
        debug_assert!(done.is_ok(), "a string takes everything");
        line
    });
    let ([x1, y1], [x2, y2]) = (place(0.0, weak), place(1.0, strong));
    let mark = sent.map_or(String::new(), |sent| {
        let ([x, low], [_, high]) = (place(sent, bottom), place(sent, top));
        format!(
            "<path d=\"M{x:.1} {low:.1}V{high:.1}\" stroke=\"#a33\" stroke-dasharray=\"6\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#a33\">certified: {:.0}% sent</text>\n",
            x + 6.0,
            low - 8.0,
            sent * 100.0
        )
    });
    let [width, height] = SIZE;
    let (down, right) = (height - MARGIN, width - MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <title>Quality over the share of calls sent to the stronger site</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <path d=\"M{MARGIN} {MARGIN}V{down}H{right}\" fill=\"none\" stroke=\"#444\"/>\n\
         <path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#888\" stroke-dasharray=\"6\"/>\n\
         <polyline fill=\"none\" stroke=\"#06c\" stroke-width=\"2\" points=\"{}\"/>\n{mark}\
         <text x=\"{MARGIN}\" y=\"{:.0}\">0% sent</text>\n\
         <text x=\"{right}\" y=\"{:.0}\" text-anchor=\"end\">all sent</text>\n\
         <text x=\"{:.0}\" y=\"{y1:.0}\" text-anchor=\"end\">{:.1}%</text>\n\
         <text x=\"{:.0}\" y=\"{y2:.0}\">{:.1}%</text>\n</svg>\n",
        line.trim_end(),
        down + 20.0,
        down + 20.0,
        MARGIN - 6.0,
        weak * 100.0,
        right + 6.0,
        strong * 100.0
    )
}
