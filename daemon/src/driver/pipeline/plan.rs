//! Decides what follows in a request that reads a picture: which stage is asked next, and what the answer is. A pure function
//! of what the stages have answered; knows no model, no request and no time.
//!
//! ```text
//!   boxes ──► one line for each box ──► direction ──► text ──► the document, in reading order
//!                                  (each line by itself; if there is no such stage, every line is upright)
//! ```

use std::sync::Arc;

use edge_engine::bundle::{Pipeline, Stage};
use serde::{Deserialize, Serialize};

/// Boxes whose upper left corners are less than this apart in height stand on one line, pixels: as RapidOCR has it.
const SAME_LINE: u32 = 10;

/// Which stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Boxes,
    Direction,
    Text,
}

/// One request for a stage; the number is that of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub role: Role,
    pub line: usize,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Ask the stages; none if there is no room, or nothing before an answer comes.
    Ask(Vec<Ask>),
    /// The document.
    Done(String),
}

/// The part of the picture that a stage is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Width and height of the picture.
    pub picture: [u32; 2],
    /// Clockwise from the top left.
    pub corners: [[u32; 2]; 4],
    pub upside_down: bool,
}

/// Where a line is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    ToTurn,
    Turning,
    ToRead,
    Reading,
    Read,
}

#[derive(Clone, Debug)]
struct Line {
    corners: [[u32; 2]; 4],
    box_score: f64,
    direction: u16,
    text: String,
    score: f64,
    at: At,
}

/// One request on its way.
#[derive(Clone, Debug)]
pub struct Plan {
    spec: Arc<Pipeline>,
    begun: bool,
    /// Width and height; none until the boxes are there.
    picture: Option<[u32; 2]>,
    lines: Vec<Line>,
    /// Boxes that are not read because there are more than allowed.
    left_out: usize,
}

/// What the stages answer, as far as it is read.
#[derive(Deserialize)]
struct BoxesAnswer {
    width: u32,
    height: u32,
    boxes: Vec<BoxAnswer>,
    #[serde(default)]
    left_out: usize,
}

#[derive(Deserialize)]
struct BoxAnswer {
    polygon: [[u32; 2]; 4],
    score: f64,
}

#[derive(Deserialize)]
struct DirectionAnswer {
    label: String,
    score: f64,
}

#[derive(Deserialize)]
struct TextAnswer {
    text: String,
    confidence: f64,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    lines: Vec<LineOut<'a>>,
    width: u32,
    height: u32,
    /// Lines that were found and not read; absent for none.
    #[serde(skip_serializing_if = "is_none")]
    left_out: usize,
}

#[derive(Serialize)]
struct LineOut<'a> {
    text: &'a str,
    score: f64,
    #[serde(rename = "box")]
    corners: [[u32; 2]; 4],
    direction: u16,
    box_score: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Plan {
    /// A request for which nothing was asked yet.
    pub fn new(spec: Arc<Pipeline>) -> Plan {
        Plan { spec, begun: false, picture: None, lines: Vec::new(), left_out: 0 }
    }

    /// The stage of the manifest that plays a role.
    pub fn stage(&self, role: Role) -> Option<&Stage> {
        match role {
            Role::Boxes => Some(&self.spec.boxes),
            Role::Direction => self.spec.direction.as_ref(),
            Role::Text => Some(&self.spec.text),
        }
    }

    /// Most requests that may be open at the same time.
    pub fn fan_out(&self) -> usize {
        usize::from(self.spec.fan_out)
    }

    /// The next requests, at most `room`. Lines are read as soon as they are turned, whatever the others wait for.
    pub fn next(&mut self, room: usize) -> Next {
        if !self.begun {
            self.begun = room > 0;
            let first = Ask { role: Role::Boxes, line: 0 };
            return Next::Ask(if self.begun { vec![first] } else { Vec::new() });
        }
        if self.picture.is_some() && self.lines.iter().all(|line| line.at == At::Read) {
            return Next::Done(self.document());
        }
        let mut asks = Vec::new();
        for (from, to, role) in [(At::ToRead, At::Reading, Role::Text), (At::ToTurn, At::Turning, Role::Direction)] {
            for (at, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| line.at == from) {
                if asks.len() == room {
                    return Next::Ask(asks);
                }
                line.at = to;
                asks.push(Ask { role, line: at });
            }
        }
        Next::Ask(asks)
    }

    /// What a stage is asked about; nothing for the whole picture.
    pub fn cut(&self, ask: Ask) -> Option<Cut> {
        let (picture, line) = (self.picture?, self.lines.get(ask.line)?);
        let upside_down = ask.role == Role::Text && line.direction == 180;
        (ask.role != Role::Boxes).then_some(Cut { picture, corners: line.corners, upside_down })
    }

    /// A stage has answered; the error says what is wrong with the document.
    pub fn answered(&mut self, ask: Ask, document: &str) -> Result<(), String> {
        match ask.role {
            Role::Boxes => self.found(read(document)?),
            Role::Direction => self.turned(ask.line, &read(document)?),
            Role::Text => self.read(ask.line, read(document)?),
        }
        Ok(())
    }

    fn found(&mut self, answer: BoxesAnswer) {
        let (least, most) = (self.spec.boxes.min_score, usize::try_from(self.spec.max_lines).unwrap_or(usize::MAX));
        let mut boxes = answer.boxes;
        boxes.retain(|found| found.score >= least);
        // The surest are read.
        boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.left_out = answer.left_out + boxes.len().saturating_sub(most);
        boxes.truncate(most);
        let at = if self.spec.direction.is_some() { At::ToTurn } else { At::ToRead };
        self.picture = Some([answer.width, answer.height]);
        self.lines = in_reading_order(boxes)
            .into_iter()
            .map(|found| Line {
                corners: found.polygon,
                box_score: found.score,
                direction: 0,
                text: String::new(),
                score: 0.0,
                at,
            })
            .collect();
    }

    fn turned(&mut self, line: usize, answer: &DirectionAnswer) {
        let least = self.spec.direction.as_ref().map_or(1.0, |stage| stage.min_score);
        if let Some(line) = self.lines.get_mut(line) {
            line.direction = if answer.label == "180" && answer.score >= least { 180 } else { 0 };
            line.at = At::ToRead;
        }
    }

    fn read(&mut self, line: usize, answer: TextAnswer) {
        if let Some(line) = self.lines.get_mut(line) {
            (line.text, line.score, line.at) = (answer.text, answer.confidence, At::Read);
        }
    }

    fn has_text(&self, line: &Line) -> bool {
        !line.text.is_empty() && line.score >= self.spec.text.min_score
    }

    fn document(&self) -> String {
        let [width, height] = self.picture.unwrap_or_default();
        let lines = self.lines.iter().filter(|line| self.has_text(line));
        let lines = lines.map(|line| LineOut {
            text: &line.text,
            score: line.score,
            corners: line.corners,
            direction: line.direction,
            box_score: line.box_score,
        });
        let document = Document { lines: lines.collect(), width, height, left_out: self.left_out };
        // Of numbers and texts alone, it can always be written.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// What the caller is to know beside the document.
    pub fn warning(&self) -> Option<String> {
        let (left_out, most) = (self.left_out, self.spec.max_lines);
        let text =
            || format!("lines: {left_out} more were found: the surest {most} are read at most (pipeline.max_lines)");
        (left_out > 0).then(text)
    }

    /// What a stage has said, once it has said all.
    pub fn summary(&self, role: Role) -> Option<String> {
        self.picture?;
        let lines = self.lines.len();
        let past = |least: &[At]| self.lines.iter().all(|line| !least.contains(&line.at));
        match role {
            Role::Boxes => Some(number(lines, "box", "boxes")),
            Role::Direction => past(&[At::ToTurn, At::Turning]).then(|| {
                let turned = self.lines.iter().filter(|line| line.direction == 180).count();
                format!("{}, {turned} upside down", number(lines, "line", "lines"))
            }),
            Role::Text => self.lines.iter().all(|line| line.at == At::Read).then(|| {
                let with_text = self.lines.iter().filter(|line| self.has_text(line)).count();
                format!("{}, {with_text} with text", number(lines, "line", "lines"))
            }),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(document: &str) -> Result<T, String> {
    serde_json::from_str(document).map_err(|error| format!("its document is not of its task: {error}"))
}

fn number(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// From top to bottom by the upper left corner, and from left to right where neighbours stand on one line.
fn in_reading_order(mut boxes: Vec<BoxAnswer>) -> Vec<BoxAnswer> {
    let corner = |found: &BoxAnswer| found.polygon[0];
    boxes.sort_by_key(|found| (corner(found)[1], corner(found)[0]));
    for end in 1..boxes.len() {
        for at in (1..=end).rev() {
            let ([left, upper], [x, y]) = (corner(&boxes[at - 1]), corner(&boxes[at]));
            if y.abs_diff(upper) >= SAME_LINE || x >= left {
                break;
            }
            boxes.swap(at - 1, at);
        }
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(model: &str, min_score: f64) -> Stage {
        Stage { model: model.into(), version: None, min_score }
    }

    fn spec() -> Pipeline {
        Pipeline {
            boxes: stage("b", 0.5),
            direction: Some(stage("d", 0.9)),
            text: stage("t", 0.5),
            max_lines: 3,
            fan_out: 8,
        }
    }

    fn plan(spec: Pipeline) -> Plan {
        let mut plan = Plan::new(Arc::new(spec));
        assert_eq!(plan.next(8), Next::Ask(vec![ask(Role::Boxes, 0)]));
        plan
    }

    fn ask(role: Role, line: usize) -> Ask {
        Ask { role, line }
    }

    /// The upper left corner of a box, and its score.
    type Place = (u32, u32, f64);

    /// A document of boxes 40 wide and 10 high at these places, with these scores.
    fn boxes(found: &[Place]) -> String {
        let one = |(x, y, score): &Place| {
            let polygon = [[*x, *y], [x + 40, *y], [x + 40, y + 10], [*x, y + 10]];
            format!(r#"{{"polygon":{polygon:?},"score":{score}}}"#)
        };
        let found: Vec<String> = found.iter().map(one).collect();
        format!(r#"{{"width":640,"height":480,"boxes":[{}]}}"#, found.join(","))
    }

    fn places(plan: &Plan) -> Vec<[u32; 2]> {
        plan.lines.iter().map(|line| line.corners[0]).collect()
    }

    #[test]
    fn each_line_is_turned_and_read_without_waiting_for_others() {
        let mut plan = plan(spec());
        plan.answered(ask(Role::Boxes, 0), &boxes(&[(10, 10, 0.9), (10, 50, 0.8)])).unwrap();
        let (first, second) = (ask(Role::Direction, 0), ask(Role::Direction, 1));
        assert_eq!(plan.next(1), Next::Ask(vec![first]), "as many as there is room for");
        assert_eq!(plan.next(8), Next::Ask(vec![second]));
        assert_eq!(plan.next(8), Next::Ask(vec![]), "nothing before an answer");
        plan.answered(second, r#"{"label":"180","score":0.95,"labels":[]}"#).unwrap();
        assert_eq!(plan.next(8), Next::Ask(vec![ask(Role::Text, 1)]), "the second does not wait for the first");
        assert_eq!(plan.cut(second).map(|cut| cut.upside_down), Some(false));
        let corners = [[10, 50], [50, 50], [50, 60], [10, 60]];
        let cut = Cut { picture: [640, 480], corners, upside_down: true };
        assert_eq!(plan.cut(ask(Role::Text, 1)), Some(cut));
        plan.answered(ask(Role::Text, 1), r#"{"text":"two","confidence":0.75}"#).unwrap();
        assert_eq!((plan.summary(Role::Boxes), plan.summary(Role::Text)), (Some("2 boxes".into()), None));
        plan.answered(first, r#"{"label":"180","score":0.89}"#).unwrap();
        assert_eq!(plan.summary(Role::Direction), Some("2 lines, 1 upside down".into()));
        assert_eq!(plan.next(0), Next::Ask(vec![]));
        assert_eq!(plan.next(8), Next::Ask(vec![ask(Role::Text, 0)]));
        assert_eq!(plan.cut(ask(Role::Text, 0)).map(|cut| cut.upside_down), Some(false), "not sure enough");
        plan.answered(ask(Role::Text, 0), r#"{"text":"one","confidence":0.5}"#).unwrap();
        let document = r#"{"lines":[{"text":"one","score":0.5,"box":[[10,10],[50,10],[50,20],[10,20]],"direction":0,"box_score":0.9},{"text":"two","score":0.75,"box":[[10,50],[50,50],[50,60],[10,60]],"direction":180,"box_score":0.8}],"width":640,"height":480}"#;
        assert_eq!(plan.next(0), Next::Done(document.into()), "which needs no room");
        assert_eq!((plan.warning(), plan.summary(Role::Text)), (None, Some("2 lines, 2 with text".into())));
    }

    #[test]
    fn a_picture_without_text_has_no_lines() {
        let empty = Next::Done(r#"{"lines":[],"width":640,"height":480}"#.into());
        let mut nothing = plan(spec());
        nothing.answered(ask(Role::Boxes, 0), &boxes(&[])).unwrap();
        assert_eq!(nothing.next(8), empty);
        let mut unsure = plan(spec());
        unsure.answered(ask(Role::Boxes, 0), &boxes(&[(10, 10, 0.4)])).unwrap();
        assert_eq!(unsure.next(8), empty, "no box that is sure enough");
        for text in [r#"{"text":"","confidence":0.0}"#, r#"{"text":"x","confidence":0.49}"#] {
            let mut unread = plan(Pipeline { direction: None, ..spec() });
            unread.answered(ask(Role::Boxes, 0), &boxes(&[(10, 10, 0.9)])).unwrap();
            assert_eq!(unread.next(8), Next::Ask(vec![ask(Role::Text, 0)]), "without a stage for it all are upright");
            unread.answered(ask(Role::Text, 0), text).unwrap();
            assert_eq!(unread.next(8), empty, "{text}");
        }
    }

    #[test]
    fn lines_go_from_top_to_bottom_and_on_one_line_from_left_to_right() {
        let cases: [(&[Place], &[[u32; 2]]); 4] = [
            (&[(10, 50, 0.9), (10, 10, 0.9)], &[[10, 10], [10, 50]]),
            (&[(300, 10, 0.9), (10, 19, 0.9)], &[[10, 19], [300, 10]]),
            (&[(300, 10, 0.9), (10, 20, 0.9)], &[[300, 10], [10, 20]]),
            (&[(300, 10, 0.9), (200, 14, 0.9), (100, 18, 0.9)], &[[100, 18], [200, 14], [300, 10]]),
        ];
        for (found, expected) in cases {
            let mut plan = plan(spec());
            plan.answered(ask(Role::Boxes, 0), &boxes(found)).unwrap();
            assert_eq!(places(&plan), expected, "{found:?}");
        }
    }

    #[test]
    fn the_surest_of_too_many_lines_are_read_and_that_is_said() {
        let mut plan = plan(spec());
        let found = [(10, 10, 0.6), (10, 50, 0.9), (10, 90, 0.7), (10, 130, 0.8), (10, 170, 0.55)];
        plan.answered(ask(Role::Boxes, 0), &boxes(&found)).unwrap();
        assert_eq!(places(&plan), [[10, 50], [10, 90], [10, 130]]);
        let said = "lines: 2 more were found: the surest 3 are read at most (pipeline.max_lines)";
        assert_eq!(plan.warning().as_deref(), Some(said));
        for line in 0..3 {
            plan.answered(ask(Role::Direction, line), r#"{"label":"0","score":1}"#).unwrap();
            plan.answered(ask(Role::Text, line), r#"{"text":"x","confidence":1}"#).unwrap();
        }
        let Next::Done(document) = plan.next(0) else { panic!("not done") };
        assert!(document.ends_with(r#""width":640,"height":480,"left_out":2}"#), "{document}");
    }

    #[test]
    fn a_document_of_another_task_is_named() {
        let cases = [
            (Role::Boxes, r#"{"label":"0","score":1}"#, "missing field `width`"),
            (Role::Boxes, r#"{"width":1,"height":1,"boxes":[{"polygon":[[1,1]],"score":1}]}"#, "length 1"),
            (Role::Direction, r#"{"text":"x"}"#, "missing field `label`"),
            (Role::Text, "no JSON", "expected ident"),
        ];
        for (role, document, part) in cases {
            let said = plan(spec()).answered(ask(role, 0), document).unwrap_err();
            assert!(said.starts_with("its document is not of its task: ") && said.contains(part), "{said}");
        }
    }
}
