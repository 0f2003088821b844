//! `edgectl infer`: the answer in the form of its task, and on request the line about who served it.

use edge_wire::dto::Info;
use serde_json::{Map, Value};

use crate::render::json;
use crate::render::table::{Align, clean, field, table};
use crate::render::units::{micros, percent, usd};

/// The result document for people. A document of unknown shape is shown as it is.
pub fn result(document: &Value) -> String {
    let known = document.as_object().and_then(|fields| FORMS.iter().find_map(|form| form(fields)));
    known.unwrap_or_else(|| json::record(document))
}

/// A document in the form of one task, if it has its fields.
type Form = fn(&Map<String, Value>) -> Option<String>;

const FORMS: [Form; 11] = [lines, boxes, things, anomaly, regions, embedding, labels, segments, text, file_type, chat];

/// `{"width", "height", "lines": [{"text", "score", "box", "direction"}]}`: one line each in reading order.
fn lines(fields: &Map<String, Value>) -> Option<String> {
    let lines = fields.get("lines")?.as_array()?;
    let rows: Option<Vec<Vec<String>>> = lines.iter().enumerate().map(|(at, line)| line_of(at + 1, line)).collect();
    let rows = rows?;
    let (width, height) = (fields.get("width")?.as_u64()?, fields.get("height")?.as_u64()?);
    let head = [
        ("LINE", Align::Right),
        ("SCORE", Align::Right),
        ("TOP LEFT", Align::Right),
        ("TURNED", Align::Right),
        ("TEXT", Align::Left),
    ];
    let mut shown = if rows.is_empty() { "no text\n".into() } else { table(&head, &rows) };
    shown.push_str(&format!("{} in a picture of {width} x {height} pixels\n", rows.len()));
    if let Some(left_out) = fields.get("left_out").and_then(Value::as_u64) {
        shown.push_str(&format!("{left_out} more were left out: the limits of the model are reached\n"));
    }
    Some(shown)
}

/// `{"width", "height", "objects": [{"label", "score", "box", "area", "polygons"}]}`: one line each, the surest first.
fn things(fields: &Map<String, Value>) -> Option<String> {
    let things = fields.get("objects")?.as_array()?;
    let masked = things.iter().any(|thing| thing.get("area").is_some());
    let row = |(at, thing): (usize, &Value)| {
        let sides: Option<Vec<f64>> = thing.get("box")?.as_array()?.iter().map(Value::as_f64).collect();
        let [left, top, right, bottom] = sides?[..] else { return None };
        let mut row = vec![
            (at + 1).to_string(),
            percent(thing.get("score")?.as_f64()?),
            format!("{left},{top}"),
            format!("{right},{bottom}"),
        ];
        if masked {
            row.push(percent(thing.get("area")?.as_f64()?));
        }
        row.push(clean(thing.get("label")?.as_str()?));
        Some(row)
    };
    let rows: Vec<Vec<String>> = things.iter().enumerate().map(row).collect::<Option<_>>()?;
    let mut head = vec![
        ("THING", Align::Right),
        ("SCORE", Align::Right),
        ("TOP LEFT", Align::Right),
        ("BOTTOM RIGHT", Align::Right),
    ];
    if masked {
        head.push(("AREA", Align::Right));
    }
    head.push(("LABEL", Align::Left));
    found_in_picture(fields, &head, &rows, "nothing found")
}

/// `{"width", "height", "regions": [{"label", "score", "area", "polygon"}], "coverage": [{"label", "area"}]}`: one line for each
/// region, the largest first, and one for each label.
fn regions(fields: &Map<String, Value>) -> Option<String> {
    let regions = fields.get("regions")?.as_array()?;
    let row = |(at, region): (usize, &Value)| {
        let score = match region.get("score") {
            Some(score) => percent(score.as_f64()?),
            None => "-".into(),
        };
        let area = percent(region.get("area")?.as_f64()?);
        Some(vec![(at + 1).to_string(), score, area, clean(region.get("label")?.as_str()?)])
    };
    let rows: Vec<Vec<String>> = regions.iter().enumerate().map(row).collect::<Option<_>>()?;
    let head = [("REGION", Align::Right), ("SCORE", Align::Right), ("AREA", Align::Right), ("LABEL", Align::Left)];
    let mut shown = found_in_picture(fields, &head, &rows, "no regions")?;
    for share in fields.get("coverage")?.as_array()? {
        let (label, area) = (share.get("label")?.as_str()?, share.get("area")?.as_f64()?);
        shown.push_str(&format!("{} of the picture is {}\n", percent(area), clean(label)));
    }
    Some(shown)
}

/// `{"score", "anomalous", "threshold", "regions": [{"score", "area", "polygon"}], "peak"}`: the verdict, then one line for each
/// region.
fn anomaly(fields: &Map<String, Value>) -> Option<String> {
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let verdict = if fields.get("anomalous")?.as_bool()? { "anomalous" } else { "not anomalous" };
    let mut shown = format!("{verdict}  {} (threshold {})\n", percent(number("score")?), percent(number("threshold")?));
    let row = |(at, region): (usize, &Value)| {
        let number = |name: &str| region.get(name).and_then(Value::as_f64);
        Some(vec![(at + 1).to_string(), percent(number("score")?), percent(number("area")?)])
    };
    let rows: Vec<Vec<String>> =
        fields.get("regions")?.as_array()?.iter().enumerate().map(row).collect::<Option<_>>()?;
    // A model without a map tells of no regions.
    let Some([x, y]) = fields.get("peak").and_then(Value::as_array).map(Vec::as_slice) else { return Some(shown) };
    let head = [("REGION", Align::Right), ("PEAK", Align::Right), ("AREA", Align::Right)];
    shown.push_str(&found_in_picture(fields, &head, &rows, "no regions")?);
    shown.push_str(&format!("highest at {},{}\n", x.as_f64()?, y.as_f64()?));
    Some(shown)
}

/// `{"embedding": [...], "matches": [{"label", "similarity"}]}`: what it is most like, and how many numbers it has; they are in
/// the JSON form.
fn embedding(fields: &Map<String, Value>) -> Option<String> {
    let count = fields.get("embedding")?.as_array()?.len();
    let mut shown = String::new();
    if let Some(matches) = fields.get("matches") {
        let row = |one: &Value| Some((clean(one.get("label")?.as_str()?), one.get("similarity")?.as_f64()?));
        let rows: Vec<(String, f64)> = matches.as_array()?.iter().map(row).collect::<Option<_>>()?;
        let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (label, similarity) in &rows {
            shown.push_str(&format!("{label:<width$}  {similarity:.3}\n"));
        }
        if rows.is_empty() {
            shown.push_str("like nothing that is known\n");
        }
    }
    shown.push_str(&format!("an embedding of {count} numbers; --json prints them\n"));
    Some(shown)
}

/// A table of what was found, the size of the picture, and what the limits of the model left out.
fn found_in_picture(
    fields: &Map<String, Value>,
    head: &[(&str, Align)],
    rows: &[Vec<String>],
    nothing: &str,
) -> Option<String> {
    let (width, height) = (fields.get("width")?.as_u64()?, fields.get("height")?.as_u64()?);
    let mut shown = if rows.is_empty() { format!("{nothing}\n") } else { table(head, rows) };
    shown.push_str(&format!("{} in a picture of {width} x {height} pixels\n", rows.len()));
    for (name, what) in [("left_out", "more were left out"), ("polygons_left_out", "have no outline")] {
        if let Some(count) = fields.get(name).and_then(Value::as_u64) {
            shown.push_str(&format!("{count} {what}: the limits of the model are reached\n"));
        }
    }
    Some(shown)
}

/// One line: its number, score, upper left corner, by how many degrees it is turned, and its text.
fn line_of(number: usize, line: &Value) -> Option<Vec<String>> {
    let [x, y] = &line.get("box")?.as_array()?.first()?.as_array()?[..] else { return None };
    Some(vec![
        number.to_string(),
        percent(line.get("score")?.as_f64()?),
        format!("{},{}", x.as_f64()?, y.as_f64()?),
        line.get("direction")?.as_u64()?.to_string(),
        clean(line.get("text")?.as_str()?),
    ])
}

/// `{"width", "height", "boxes": [{"polygon", "score"}]}`: one line each with its corners, and the size of the picture.
fn boxes(fields: &Map<String, Value>) -> Option<String> {
    let boxes = fields.get("boxes")?.as_array()?;
    let rows: Option<Vec<Vec<String>>> = boxes.iter().enumerate().map(|(at, found)| corners(at + 1, found)).collect();
    let rows = rows?;
    let (width, height) = (fields.get("width")?.as_u64()?, fields.get("height")?.as_u64()?);
    let head =
        ["BOX", "SCORE", "TOP LEFT", "TOP RIGHT", "BOTTOM RIGHT", "BOTTOM LEFT"].map(|title| (title, Align::Right));
    let mut shown = if rows.is_empty() { "no boxes\n".into() } else { table(&head, &rows) };
    shown.push_str(&format!("{} in a picture of {width} x {height} pixels\n", rows.len()));
    if let Some(left_out) = fields.get("left_out").and_then(Value::as_u64) {
        shown.push_str(&format!("{left_out} more were left out: the limits of the model are reached\n"));
    }
    Some(shown)
}

/// One box: its number, its score, four corners.
fn corners(number: usize, found: &Value) -> Option<Vec<String>> {
    let corner = |point: &Value| {
        let [x, y] = &point.as_array()?[..] else { return None };
        Some(format!("{},{}", x.as_f64()?, y.as_f64()?))
    };
    let score = percent(found.get("score")?.as_f64()?);
    let polygon = found.get("polygon")?.as_array().filter(|polygon| polygon.len() == 4)?;
    let places: Option<Vec<String>> = polygon.iter().map(corner).collect();
    Some([vec![number.to_string(), score], places?].concat())
}

/// `{"labels": [{"label", "score"}]}`: one line each, best first as the daemon sorted them.
fn labels(fields: &Map<String, Value>) -> Option<String> {
    let rows: Option<Vec<(String, f64)>> = fields
        .get("labels")?
        .as_array()?
        .iter()
        .map(|row| Some((clean(row.get("label")?.as_str()?), row.get("score")?.as_f64()?)))
        .collect();
    let rows = rows?;
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let lines: String =
        rows.iter().map(|(label, score)| format!("{label:<width$}  {:>6}\n", percent(*score))).collect();
    Some(if lines.is_empty() { "no labels\n".into() } else { lines })
}

/// `{"text", "confidence"}`.
fn text(fields: &Map<String, Value>) -> Option<String> {
    let text = clean(fields.get("text")?.as_str()?);
    let text = if text.is_empty() { "no text".into() } else { text };
    Some(match fields.get("confidence").and_then(Value::as_f64) {
        Some(confidence) => format!("{text}  ({})\n", percent(confidence)),
        None => format!("{text}\n"),
    })
}

/// `{"segments": [{"start_ms", "end_ms"}], "speech_ms", "duration_ms"}`: one line each, and how much of the sound it is.
fn segments(fields: &Map<String, Value>) -> Option<String> {
    let rows: Option<Vec<String>> = fields
        .get("segments")?
        .as_array()?
        .iter()
        .map(|row| {
            let (start, end) = (row.get("start_ms")?.as_f64()?, row.get("end_ms")?.as_f64()?);
            Some(format!("{:>9.3} s to {:>9.3} s\n", start / 1000.0, end / 1000.0))
        })
        .collect();
    let rows = rows?;
    let mut shown = if rows.is_empty() { "no segments\n".into() } else { rows.concat() };
    let ms = |name: &str| fields.get(name).and_then(Value::as_f64);
    if let (Some(speech), Some(duration)) = (ms("speech_ms"), ms("duration_ms")) {
        shown.push_str(&format!("{:.3} s of {:.3} s\n", speech / 1000.0, duration / 1000.0));
    }
    Some(shown)
}

/// `{"label", "score", "description", "mime_type"}`: one line.
fn file_type(fields: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let score = percent(fields.get("score")?.as_f64()?);
    let line = format!("{}  {score}  {} ({})", text("label")?, text("description")?, text("mime_type")?);
    Some(clean(&line) + "\n")
}

/// `{"choices": [{"message": {"content"}, "finish_reason"}]}` of a chat, or with `text` of a completion: what was said, and why it ended
/// if that was not by itself.
fn chat(fields: &Map<String, Value>) -> Option<String> {
    let choice = fields.get("choices")?.as_array()?.first()?;
    let message = choice.get("message").and_then(|message| message.get("content"));
    let said = message.or_else(|| choice.get("text"))?.as_str()?;
    let mut shown: String = said.lines().map(|line| format!("{}\n", clean(line))).collect();
    match choice.get("finish_reason").and_then(Value::as_str) {
        None | Some("stop") => {}
        Some("length") => shown.push_str("(ended because it was as long as it may be)\n"),
        Some(reason) => shown.push_str(&format!("(ended: {})\n", clean(reason))),
    }
    Some(shown)
}

/// Who served, why, and how long it took.
pub fn info(info: &Info) -> String {
    let model = [info.model.as_str(), &info.version, &info.variant].join(" ");
    let by = if is_away(info) { away(info) } else { format!("by provider {}", provider(info)) };
    let served = format!("{} {by}, {} ({})", model.trim_end(), info.verdict, info.reason);
    // How many ran together elsewhere is not known.
    let batch = if is_away(info) { String::new() } else { format!(", batch {}", info.batch) };
    let times = format!(
        "queue {}, {} {}, total {}{batch}",
        micros(info.queue_us),
        ran(info),
        micros(info.compute_us),
        micros(info.total_us)
    );
    let mut text =
        [field("served", &clean(&served)), field("times", &times), field("request", &clean(&info.request_id))].concat();
    if info.cost_usd > 0.0 {
        text.push_str(&field("cost", &format!("{} USD", usd(info.cost_usd))));
    }
    if info.duplicate {
        text.push_str(&field("", "answered from a stored reply"));
    }
    text
}

/// Whether another site answered: only this box has a provider to name.
pub fn is_away(info: &Info) -> bool {
    info.verdict == "spill" && info.provider.is_empty() && !info.site.is_empty()
}

/// What the time in the model was.
pub fn ran(info: &Info) -> &'static str {
    if is_away(info) { "at the site" } else { "model" }
}

/// Which site answered.
fn away(info: &Info) -> String {
    format!("by site {} in zone {}", info.site, info.zone)
}

/// For stderr, where nobody asked who served: that it was not this box, and why.
pub fn elsewhere(info: &Info) -> Option<String> {
    is_away(info).then(|| clean(&format!("edgectl: answered {}: {} ({})", away(info), info.verdict, info.reason)))
}

fn provider(info: &Info) -> &str {
    if info.provider.is_empty() { "unknown" } else { &info.provider }
}

/// What was ignored or changed, one line each for stderr.
pub fn warnings(info: &Info) -> Vec<String> {
    info.warnings.iter().map(|text| warning(text)).collect()
}

/// One of them.
pub fn warning(text: &str) -> String {
    format!("edgectl: warning: {}", clean(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(document: Value, expected: &str) {
        assert_eq!(result(&document), expected, "{document}");
    }

    #[test]
    fn each_task_has_its_form() {
        check(
            json!({"labels": [{"label": "pdf", "score": 0.973}, {"label": "html", "score": 0.0201}]}),
            "pdf    97.3%\nhtml    2.0%\n",
        );
        check(
            json!({"width": 640, "height": 48, "left_out": 2, "boxes": [
                {"polygon": [[4, 5], [104, 6], [103, 30], [3, 29]], "score": 0.873},
                {"polygon": [[200, 5], [630, 5], [630, 47], [200, 47]], "score": 0.5},
            ]}),
            "BOX  SCORE  TOP LEFT  TOP RIGHT  BOTTOM RIGHT  BOTTOM LEFT\n\
             \x20 1  87.3%       4,5      104,6        103,30         3,29\n\
             \x20 2  50.0%     200,5      630,5        630,47       200,47\n\
             2 in a picture of 640 x 48 pixels\n\
             2 more were left out: the limits of the model are reached\n",
        );
        check(
            json!({"width": 640, "height": 480, "lines": [
                {"text": "LOT 4711", "score": 0.95, "box": [[4, 5], [104, 6], [103, 30], [3, 29]], "direction": 0},
                {"text": "\u{1b}[2JOK", "score": 1.0, "box": [[20, 50], [60, 50], [60, 70], [20, 70]], "direction": 180},
            ]}),
            "LINE  SCORE  TOP LEFT  TURNED  TEXT\n\
             \x20  1  95.0%       4,5       0  LOT 4711\n\
             \x20  2   100%     20,50     180  \\u{1b}[2JOK\n\
             2 in a picture of 640 x 480 pixels\n",
        );
        check(json!({"text": "LOT 4711", "confidence": 0.9999}), "LOT 4711  (100%)\n");
        let said = |choice: Value| json!({"object": "chat.completion", "choices": [choice], "usage": {}});
        let message = json!({"role": "assistant", "content": "Press 7\n\u{1b}[2Jis well."});
        check(said(json!({"message": message, "finish_reason": "stop"})), "Press 7\n\\u{1b}[2Jis well.\n");
        let cut = json!({"text": "Press", "finish_reason": "length"});
        check(said(cut), "Press\n(ended because it was as long as it may be)\n");
        check(json!({"text": "LOT 4711"}), "LOT 4711\n");
        check(json!({"segments": [{"start_ms": 320, "end_ms": 1500}]}), "    0.320 s to     1.500 s\n");
        check(json!({"segments": [], "speech_ms": 0, "duration_ms": 2500}), "no segments\n0.000 s of 2.500 s\n");
        check(
            json!({"label": "pdf", "score": 0.99, "description": "PDF document", "mime_type": "application/pdf"}),
            "pdf  99.0%  PDF document (application/pdf)\n",
        );
    }

    #[test]
    fn each_task_with_pictures_has_its_form() {
        let size = |mut document: Value| {
            document["width"] = 64.into();
            document["height"] = 48.into();
            document
        };
        check(
            size(json!({"objects": [{"label": "bolt", "score": 0.9, "box": [1.5, 2, 30, 40]}]})),
            "THING  SCORE  TOP LEFT  BOTTOM RIGHT  LABEL\n\
             \x20   1  90.0%     1.5,2         30,40  bolt\n\
             1 in a picture of 64 x 48 pixels\n",
        );
        check(
            size(json!({"left_out": 3, "polygons_left_out": 1, "objects": [
                {"label": "bolt", "score": 0.9, "box": [1, 2, 30, 40], "area": 0.125, "polygons": []}]})),
            "THING  SCORE  TOP LEFT  BOTTOM RIGHT   AREA  LABEL\n\
             \x20   1  90.0%       1,2         30,40  12.5%  bolt\n\
             1 in a picture of 64 x 48 pixels\n\
             3 more were left out: the limits of the model are reached\n\
             1 have no outline: the limits of the model are reached\n",
        );
        check(
            size(json!({"regions": [
                {"label": "rust", "score": 0.7, "area": 0.25, "polygon": [[0, 0], [9, 0], [9, 9]]},
                {"label": "\u{1b}dirt", "area": 0.125, "polygon": []}], "coverage": [{"label": "rust", "area": 0.26}]})),
            "REGION  SCORE   AREA  LABEL\n\
             \x20    1  70.0%  25.0%  rust\n\
             \x20    2      -  12.5%  \\u{1b}dirt\n\
             2 in a picture of 64 x 48 pixels\n\
             26.0% of the picture is rust\n",
        );
        check(
            size(json!({"score": 0.75, "anomalous": true, "threshold": 0.5, "peak": [3.5, 4], "regions": [
                {"score": 0.75, "area": 0.03, "polygon": [[0, 0], [9, 0], [9, 9]]}]})),
            "anomalous  75.0% (threshold 50.0%)\n\
             REGION   PEAK  AREA\n\
             \x20    1  75.0%  3.0%\n\
             1 in a picture of 64 x 48 pixels\n\
             highest at 3.5,4\n",
        );
        check(
            size(json!({"score": 0.1, "anomalous": false, "threshold": 0.5, "peak": null, "regions": []})),
            "not anomalous  10.0% (threshold 50.0%)\n",
        );
        check(
            json!({"embedding": [0.5, 0.5], "label": "bolt", "matches": [
                {"label": "bolt", "similarity": 0.98765}, {"label": "screw", "similarity": 0.5}]}),
            "bolt   0.988\nscrew  0.500\nan embedding of 2 numbers; --json prints them\n",
        );
        check(
            json!({"embedding": [0.5], "label": null, "matches": []}),
            "like nothing that is known\nan embedding of 1 numbers; --json prints them\n",
        );
        check(json!({"embedding": [1, 2, 3]}), "an embedding of 3 numbers; --json prints them\n");
    }

    #[test]
    fn an_empty_answer_says_so() {
        check(json!({"width": 3, "height": 2, "objects": []}), "nothing found\n0 in a picture of 3 x 2 pixels\n");
        check(
            json!({"width": 3, "height": 2, "regions": [], "coverage": []}),
            "no regions\n0 in a picture of 3 x 2 pixels\n",
        );
        check(json!({"labels": []}), "no labels\n");
        check(json!({"width": 3, "height": 2, "lines": []}), "no text\n0 in a picture of 3 x 2 pixels\n");
        check(json!({"width": 3, "height": 2, "boxes": []}), "no boxes\n0 in a picture of 3 x 2 pixels\n");
        check(json!({"text": "", "confidence": 0.0}), "no text  (0.0%)\n");
        check(json!({"segments": []}), "no segments\n");
    }

    #[test]
    fn a_document_of_unknown_shape_is_shown_as_it_is() {
        check(json!({"labels": ["bare"]}), "{\n  \"labels\": [\n    \"bare\"\n  ]\n}\n");
        check(
            json!({"boxes": [{"polygon": [[1, 2]]}]}),
            "{\n  \"boxes\": [\n    {\n      \"polygon\": [\n        [\n          1,\n          2\n        ]\n      ]\n    }\n  ]\n}\n",
        );
        check(json!([1]), "[\n  1\n]\n");
    }
}
