//! A drawing of lines and words, and how it is written as SVG. Must not know what it shows.

use std::fmt::Write as _;

/// Red, green, blue.
pub type Colour = [u8; 3];

/// Where a word stands beside its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    const fn as_str(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// Length of a dash and of the gap behind it, pixels.
pub const DASH: f64 = 6.0;

/// One thing on the paper. Lengths in pixels, from the upper left.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Line {
        points: Vec<[f64; 2]>,
        colour: Colour,
        width: f64,
        dashed: bool,
    },
    /// The point is on the base line.
    Word {
        at: [f64; 2],
        anchor: Anchor,
        text: String,
        colour: Colour,
    },
}

/// White paper with shapes, those behind first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    pub title: String,
    pub width: u16,
    pub height: u16,
    pub shapes: Vec<Shape>,
}

impl Drawing {
    /// A whole line.
    pub fn line(&mut self, points: Vec<[f64; 2]>, colour: Colour, width: f64) {
        self.shapes.push(Shape::Line { points, colour, width, dashed: false });
    }

    /// A dashed line.
    pub fn dashed(&mut self, points: Vec<[f64; 2]>, colour: Colour, width: f64) {
        self.shapes.push(Shape::Line { points, colour, width, dashed: true });
    }

    /// A word.
    pub fn word(&mut self, at: [f64; 2], anchor: Anchor, text: impl Into<String>, colour: Colour) {
        self.shapes.push(Shape::Word { at, anchor, text: text.into(), colour });
    }

    /// The text of an SVG file.
    pub fn svg(&self) -> String {
        let Drawing { title, width, height, shapes } = self;
        let title = escaped(title);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"14\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        for shape in shapes {
            let done = match shape {
                Shape::Line { points, colour, width, dashed } => {
                    let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
                    let dash = if *dashed { format!(" stroke-dasharray=\"{DASH}\"") } else { String::new() };
                    writeln!(
                        out,
                        "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash} points=\"{}\"/>",
                        hex(*colour),
                        points.join(" ")
                    )
                }
                Shape::Word { at: [x, y], anchor, text, colour } => writeln!(
                    out,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{}\" fill=\"{}\">{}</text>",
                    anchor.as_str(),
                    hex(*colour),
                    escaped(text)
                ),
            };
            debug_assert!(done.is_ok(), "a string takes everything");
        }
        out.push_str("</svg>\n");
        out
    }
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_written_in_their_order_and_words_are_escaped() {
        let mut drawing = Drawing { title: "a & b".into(), width: 10, height: 20, ..Drawing::default() };
        drawing.dashed(vec![[0.0, 1.0], [2.0, 3.26]], [255, 0, 16], 1.5);
        drawing.word([5.0, 6.0], Anchor::Middle, "1 < 2", [0, 0, 0]);
        let svg = drawing.svg();
        let (line, word) = (svg.find("points=\"0.0,1.0 2.0,3.3\"").unwrap_or(0), svg.find(">1 &lt; 2</text>"));
        assert!(line > 0 && word.is_some_and(|word| word > line), "{svg}");
        assert!(svg.contains("<title>a &amp; b</title>") && svg.contains("#ff0010"), "{svg}");
    }
}
