//! The input of a model that looks at pictures: which tensor, its layout and its size; and the lines of `[input]`.

use super::{Line, Seen, Why, assumed, fixed, found, text};
use crate::graph::{Port, Size};
use crate::protocol::Datatype;

/// How a family brings a picture to its tensor.
pub struct Habits {
    pub fit: &'static str,
    pub corner: bool,
    pub pad: u8,
    pub bgr: bool,
    pub scale: Scale,
    /// Side of the tensor where the graph leaves it open, pixels.
    pub side: i64,
    /// What these are the habits of.
    pub of: &'static str,
}

/// What the values of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// 0 to 1.
    Unit,
    /// 0 to 255.
    Bytes,
    /// -1 to 1.
    Signed,
    /// Mean and deviation of ImageNet's channels taken out.
    ImageNet,
}

/// The tensor that takes the picture.
pub struct Tensor<'a> {
    pub port: &'a Port,
    nhwc: bool,
    grey: bool,
    /// `None` where the graph leaves them open.
    width: Option<i64>,
    height: Option<i64>,
}

impl<'a> Tensor<'a> {
    /// The one input, if it can be a picture.
    pub fn of(seen: &Seen<'a>) -> Result<Tensor<'a>, String> {
        let [port] = seen.graph.inputs.as_slice() else {
            return Err(format!("it has {} inputs, a model for pictures has one", seen.graph.inputs.len()));
        };
        let not = |what: &str| Err(format!("its input {} {what}", port.name));
        if !matches!(port.datatype, Some(Datatype::Fp32 | Datatype::Fp16 | Datatype::Uint8)) {
            return not("is neither FP32, FP16 nor UINT8, as pictures are");
        }
        let [_, a, b, c] = port.sizes.as_slice() else { return not("has not the four dimensions of a picture") };
        let channels = |size: &Size| matches!(size, Size::Fixed(1 | 3));
        let nhwc = match (channels(a), channels(c)) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => return not("has neither one nor three channels"),
        };
        let (of_channels, height, width) = if nhwc { (c, a, b) } else { (a, b, c) };
        let side = |size: &Size| match size {
            Size::Fixed(size) => Some(*size),
            Size::Open(_) => None,
        };
        let grey = matches!(of_channels, Size::Fixed(1));
        Ok(Tensor { port, nhwc, grey, width: side(width), height: side(height) })
    }

    /// Width and height in pixels, with where they are from.
    fn size(&self, seen: &Seen<'_>, habits: &Habits) -> ([i64; 2], Why) {
        if let (Some(width), Some(height)) = (self.width, self.height) {
            return ([width, height], Why::Found("of the graph's input"));
        }
        // As exporters write it: `[height, width]`.
        let said = seen.graph.metadata.get("imgsz").map(|said| {
            let numbers = said.split(|other: char| !other.is_ascii_digit()).filter_map(|number| number.parse().ok());
            numbers.filter(|side| (1..=8192).contains(side)).collect::<Vec<i64>>()
        });
        match said.as_deref() {
            Some([height, width]) => ([*width, *height], Why::Found("in the model's metadata")),
            Some([side]) => ([*side, *side], Why::Found("in the model's metadata")),
            _ => {
                let side = |size: Option<i64>| size.unwrap_or(habits.side);
                ([side(self.width), side(self.height)], Why::Assumed("the graph leaves it open"))
            }
        }
    }

    /// Width and height, pixels, as far as they are known before a family is.
    pub fn pixels(&self, seen: &Seen<'_>, habits: &Habits) -> [i64; 2] {
        self.size(seen, habits).0
    }

    /// The shape that closes what the graph leaves open; `None` if nothing but the batch is open.
    pub fn closed(&self, seen: &Seen<'_>, habits: &Habits) -> Option<(String, Vec<i64>)> {
        let [width, height] = self.pixels(seen, habits);
        let batch = self.port.sizes.first().and_then(fixed).map_or(-1, |size| i64::try_from(size).unwrap_or(-1));
        let channels = if self.grey { 1 } else { 3 };
        let shape = if self.nhwc { [batch, height, width, channels] } else { [batch, channels, height, width] };
        let open = self.width.is_none() || self.height.is_none();
        open.then(|| (self.port.name.clone(), shape.to_vec()))
    }

    /// The lines of `[input]`.
    pub fn lines(&self, seen: &Seen<'_>, habits: &Habits) -> Vec<Line> {
        let ([width, height], why) = self.size(seen, habits);
        let sized = |key, value: i64| Line { key, value: value.to_string(), why: why.clone() };
        let mut lines = vec![
            found("kind", text("picture"), "the input has the shape of pictures"),
            found("tensor", text(&self.port.name), "the graph's one input"),
            sized("width", width),
            sized("height", height),
            assumed("fit", text(habits.fit), habits.of),
        ];
        if habits.fit == "letterbox" {
            lines.push(assumed("at", text(if habits.corner { "corner" } else { "centre" }), habits.of));
            lines.push(assumed("pad", habits.pad.to_string(), habits.of));
        }
        lines.push(match (self.grey, habits.bgr) {
            (true, _) => found("channels", text("grey"), "the input has one channel"),
            (false, true) => assumed("channels", text("bgr"), habits.of),
            (false, false) => assumed("channels", text("rgb"), habits.of),
        });
        lines.push(found(
            "layout",
            text(if self.nhwc { "nhwc" } else { "nchw" }),
            "where the channels stand in the input",
        ));
        lines.extend(self.scale(habits));
        lines
    }

    fn scale(&self, habits: &Habits) -> Vec<Line> {
        if self.port.datatype == Some(Datatype::Uint8) {
            return Vec::new();
        }
        let grey = self.grey;
        let (mean, std) = match habits.scale {
            Scale::Unit => ("[0.0, 0.0, 0.0]", "[1.0, 1.0, 1.0]"),
            Scale::Bytes => ("[0.0, 0.0, 0.0]", "[0.00392157, 0.00392157, 0.00392157]"),
            Scale::Signed => ("[0.5, 0.5, 0.5]", "[0.5, 0.5, 0.5]"),
            Scale::ImageNet if grey => ("[0.449, 0.449, 0.449]", "[0.226, 0.226, 0.226]"),
            Scale::ImageNet => ("[0.485, 0.456, 0.406]", "[0.229, 0.224, 0.225]"),
        };
        vec![assumed("mean", mean.into(), habits.of), assumed("std", std.into(), habits.of)]
    }
}
