//! What is printed of the demonstration: 80 columns of plain text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::stream::{KINDS, Situation};
use super::{Found, Went};

/// Width of the first column, and of one for each situation.
const FIRST: usize = 19;
const COLUMNS: [usize; 5] = [11, 12, 12, 13, 13];
/// Of a whole line.
const LINE: usize = 80;

/// The table, the sums, the refusals and the checks.
pub fn text(found: &Found) -> String {
    let mut text = String::new();
    line(&mut text, "", Situation::EACH.map(Situation::title));
    for (index, kind) in KINDS.iter().enumerate() {
        let cells = Situation::EACH.map(|situation| {
            cell(found.went.iter().filter(|went| went.request.kind == index && went.request.situation == situation))
        });
        line(&mut text, kind.label[0], cells.each_ref().map(|cell| cell[0].as_str()));
        let demands = format!("  {}x {}", kind.count, kind.label[1]);
        line(&mut text, &demands, cells.each_ref().map(|cell| cell[1].as_str()));
    }
    text.push('\n');
    for place in ["here", "side", "plant", "cloud", "no"] {
        let counts = Situation::EACH.map(|situation| {
            let count = of(found, situation).filter(|went| went.place == place).count();
            count.to_string()
        });
        line(&mut text, place, counts.each_ref().map(String::as_str));
    }
    let waited =
        Situation::EACH.map(|situation| of(found, situation).filter(|went| went.waited_long()).count().to_string());
    line(&mut text, "of them waited", waited.each_ref().map(String::as_str));
    let cost =
        Situation::EACH.map(|situation| format!("{:.3}", of(found, situation).map(|went| went.cost_usd).sum::<f64>()));
    line(&mut text, "cost, USD", cost.each_ref().map(String::as_str));
    refusals(&mut text, found);
    text.push('\n');
    for (said, held) in &found.checks {
        let word = if *held { "right" } else { "WRONG" };
        wrapped(&mut text, &format!("{word}: {said}"));
    }
    text
}

impl Went {
    fn waited_long(&self) -> bool {
        !self.waited.is_empty()
    }
}

fn of(found: &Found, situation: Situation) -> impl Iterator<Item = &Went> {
    found.went.iter().filter(move |went| went.request.situation == situation)
}

/// Where such requests went and why; if not all the same, all places and the most frequent reason.
fn cell<'a>(went: impl Iterator<Item = &'a Went>) -> [String; 2] {
    let (mut places, mut reasons) = (BTreeMap::<String, usize>::new(), BTreeMap::<&str, usize>::new());
    for went in went {
        let place = if went.waited_long() { format!("disk>{}", went.place) } else { went.place.clone() };
        *places.entry(place).or_default() += 1;
        *reasons.entry(if went.waited_long() { &went.waited } else { &went.why }).or_default() += 1;
    }
    let places: Vec<String> = places.into_keys().collect();
    let most = reasons.iter().max_by_key(|(_, count)| **count).map_or("", |(reason, _)| reason);
    let more = if reasons.len() > 1 { "+" } else { "" };
    [places.join("/"), format!("{most}{more}")]
}

fn line(text: &mut String, first: &str, cells: [&str; 5]) {
    let mut line = format!("{first:<FIRST$}");
    for (cell, width) in cells.into_iter().zip(COLUMNS) {
        // A name that is too long ends with a dot.
        let most = width - 1;
        let cell = if cell.chars().count() > most {
            cell.chars().take(most - 1).chain(['.']).collect()
        } else {
            cell.to_owned()
        };
        // Writing to a string cannot fail.
        let _ = write!(line, "{cell:<width$}");
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// What was refused and by which name, with one message each.
fn refusals(text: &mut String, found: &Found) {
    let mut names: BTreeMap<(&str, String), (usize, &str)> = BTreeMap::new();
    for went in found.went.iter().filter(|went| went.place == "no") {
        // Messages that differ in their numbers only are one.
        let gist = went.message.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        names.entry((&went.why, gist)).or_insert((0, &went.message)).0 += 1;
    }
    text.push_str("\nRefused, by name:\n");
    for ((name, _), (count, message)) in names {
        wrapped(text, &format!("{count}x {name}: {message}"));
    }
}

fn wrapped(text: &mut String, said: &str) {
    let mut width = 0;
    for word in said.split_whitespace() {
        let long = word.chars().count();
        if width > 0 && width + 1 + long > LINE {
            text.push_str("\n  ");
            width = 2;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += long;
    }
    text.push('\n');
}
