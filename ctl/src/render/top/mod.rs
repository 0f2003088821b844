//! The screen of `edgectl top`: from what is known to lines, as many as fit. The same lines are drawn on a terminal and
//! printed by `--once`.

mod head;
mod layout;
mod machine;
mod work;

use edge_wire::dto::Status;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use self::layout::Section;
use super::glyphs::Glyphs;
use super::tinted::{self, Line, Tint};
use crate::top::View;

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub glyphs: Glyphs,
    pub colours: bool,
}

/// From this height on a sentence may take two lines.
const ROOMY: u16 = 30;
/// From this width on the temperatures have a column of their own.
const TWO_COLUMNS: usize = 76;

/// Draws the frame on a terminal.
pub fn draw(view: &View, look: Look, area: Rect, buffer: &mut Buffer) {
    let lines = if area.height < ROOMY { 1 } else { 2 };
    let mut sections = sections(view, look.glyphs, area.width.into(), lines);
    sections.push(head::keys(view, area.width.into()));
    tinted::draw(&layout::fit(&sections, area.height.into()), area, look.colours, buffer);
}

/// All of it as text, so many columns wide.
pub fn text(view: &View, glyphs: Glyphs, width: usize) -> String {
    tinted::plain(&layout::fit(&sections(view, glyphs, width, usize::MAX), usize::MAX))
}

/// The parts from top to bottom. Ranks say what goes first where there is little room. What is told in sentences takes at
/// most so many `lines` each.
fn sections(view: &View, glyphs: Glyphs, width: usize, lines: usize) -> Vec<Section> {
    let at = |rank, lines, gap| Section { gap, ..Section::whole(rank, lines, width) };
    let told = |sentences: Vec<Line>| sentences.into_iter().flat_map(|line| line.wrapped(width, lines)).collect();
    let mut sections = vec![
        at(0, vec![head::name(view, width)], false),
        at(1, told(head::head(view)), false),
        at(3, told(work::requests(view)), true),
        at(4, told(head::capacity(&view.status)), false),
        at(8, work::trails(view, glyphs, width), true),
    ];
    sections.extend(machine_sections(&view.status, glyphs, width));
    sections.extend([
        Section { least: 4, ..at(6, work::models(view, width), true) },
        at(9, told(work::slow(&view.status)), false),
        at(10, told(work::outcomes(&view.status)), true),
    ]);
    sections
}

/// Temperatures beside the rest where there is room for both, else above it.
fn machine_sections(status: &Status, glyphs: Glyphs, width: usize) -> Vec<Section> {
    let left = if width >= TWO_COLUMNS { (width * 2 / 5).clamp(machine::LEFT, machine::LEFT_MOST) } else { width };
    let zones = machine::zones(status, glyphs, left);
    let part = |rank, columns| Section { rank, least: 3, columns, gap: true };
    if width < TWO_COLUMNS || zones.is_empty() {
        let rest = machine::rest(status, glyphs, width);
        let gap = zones.is_empty();
        return vec![part(5, vec![(zones, width)]), Section { gap, ..part(7, vec![(rest, width)]) }];
    }
    let right = width - left - 2;
    vec![part(5, vec![(zones, left), (machine::rest(status, glyphs, right), right)])]
}

/// A label of the left edge and what belongs to it.
fn labelled(label: &str) -> Line {
    Line::of(format!("{label:<LABEL$}"), Tint::Title)
}

/// Width of labels.
const LABEL: usize = 10;

#[cfg(test)]
mod tests;
