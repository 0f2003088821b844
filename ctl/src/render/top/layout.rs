//! Which lines fit: sections give way by importance, and say how much of them is missing.

use crate::render::tinted::{Line, Tint};

/// A part of the screen.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The most important is 0.
    pub rank: u8,
    /// Below so many lines it is not shown at all.
    pub least: usize,
    /// Side by side, each with its width.
    pub columns: Vec<(Vec<Line>, usize)>,
    /// An empty line stands before it where there is room.
    pub gap: bool,
}

impl Section {
    /// Lines over the whole width that are shown all or not at all.
    pub fn whole(rank: u8, lines: Vec<Line>, width: usize) -> Section {
        Section { rank, least: lines.len(), columns: vec![(lines, width)], gap: false }
    }

    fn height(&self) -> usize {
        self.columns.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0)
    }

    /// Its lines in so much room.
    fn lines(&self, height: usize) -> Vec<Line> {
        let columns: Vec<(Vec<Line>, usize)> =
            self.columns.iter().map(|(lines, width)| (cut(lines, height), *width)).collect();
        let rows = columns.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0);
        let row = |row: usize| {
            columns.iter().enumerate().fold(Line::default(), |joined, (place, (lines, width))| {
                let cell = lines.get(row).cloned().unwrap_or_default();
                let joined = if place > 0 { joined.and("  ", Tint::Plain) } else { joined };
                joined.then(if place + 1 < columns.len() { cell.sized(*width) } else { cell.cut(*width) })
            })
        };
        (0..rows).map(row).collect()
    }
}

/// The first lines; where some are missing the last one says how many, if it is not the only one.
fn cut(lines: &[Line], height: usize) -> Vec<Line> {
    if lines.len() <= height || height < 2 {
        return lines.iter().take(height).cloned().collect();
    }
    let more = Line::of(format!("+{} more", lines.len() - (height - 1)), Tint::Faint);
    lines.iter().take(height - 1).cloned().chain([more]).collect()
}

/// The lines of all sections in so much room.
pub fn fit(sections: &[Section], height: usize) -> Vec<Line> {
    let mut by_rank: Vec<usize> = (0..sections.len()).filter(|at| sections[*at].height() > 0).collect();
    by_rank.sort_by_key(|at| sections[*at].rank);
    let mut given = vec![0; sections.len()];
    let mut room = height;
    for &at in &by_rank {
        let least = sections[at].least.min(sections[at].height());
        if least <= room {
            given[at] = least;
            room -= least;
        }
    }
    // What is left goes round, a line each, so that no long table keeps the others at their least.
    by_rank.retain(|at| given[*at] > 0);
    while room > 0 && by_rank.iter().any(|at| given[*at] < sections[*at].height()) {
        for &at in &by_rank {
            let more = usize::from(given[at] < sections[at].height()).min(room);
            given[at] += more;
            room -= more;
        }
    }
    let mut lines = Vec::new();
    for (section, given) in sections.iter().zip(given).filter(|(_, given)| *given > 0) {
        if section.gap && room > 0 && !lines.is_empty() {
            lines.push(Line::default());
            room -= 1;
        }
        lines.extend(section.lines(given));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tinted::plain;

    fn section(rank: u8, name: &str, least: usize, count: usize) -> Section {
        let lines = (1..=count).map(|number| Line::of(format!("{name}{number}"), Tint::Plain)).collect();
        Section { rank, least, columns: vec![(lines, 10)], gap: rank > 0 }
    }

    fn shown(height: usize) -> String {
        let sections = [section(0, "a", 2, 2), section(2, "b", 2, 4), section(1, "c", 1, 3)];
        plain(&fit(&sections, height)).trim_end().replace('\n', " ")
    }

    #[test]
    fn sections_give_way_by_importance_and_say_what_is_missing() {
        for (height, expected) in [
            (1, "c1"),
            (2, "a1 a2"),
            (3, "a1 a2 c1"),
            (4, "a1 a2 c1 +2 more"),
            (5, "a1 a2 b1 +3 more c1"),
            (6, "a1 a2 b1 +3 more c1 +2 more"),
            (7, "a1 a2 b1 b2 +2 more c1 +2 more"),
            (9, "a1 a2 b1 b2 b3 b4 c1 c2 c3"),
            (11, "a1 a2  b1 b2 b3 b4  c1 c2 c3"),
        ] {
            assert_eq!(shown(height), expected, "{height}");
        }
    }

    #[test]
    fn no_more_lines_than_there_are_rows_whatever_the_height() {
        let sections = [section(0, "a", 2, 2), section(2, "b", 2, 40), section(1, "c", 1, 3)];
        for height in 0..60 {
            assert!(fit(&sections, height).len() <= height);
        }
    }

    #[test]
    fn columns_are_cut_each_by_itself() {
        let (tall, short) = (section(0, "a", 1, 3).columns.remove(0), section(0, "b", 1, 1).columns.remove(0));
        let both = Section { rank: 0, least: 1, columns: vec![(tall.0, 6), short], gap: false };
        assert_eq!(plain(&fit(&[both], 2)), "a1      b1\n+2 m..\n");
    }
}
