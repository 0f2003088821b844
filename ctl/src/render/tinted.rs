//! Lines of text with a few meanings instead of colours. What a meaning looks like is said in one place; as plain text it
//! looks like nothing.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

use super::table::clean;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tint {
    #[default]
    Plain,
    /// Of less interest than what stands around it.
    Faint,
    /// The head of a table, or a name.
    Title,
    /// As it should be.
    Good,
    /// Somebody should look at it.
    Warn,
    /// Something is wrong.
    Bad,
}

impl Tint {
    /// What it looks like. Without colours the weight of the letters is left.
    pub fn style(self, colours: bool) -> Style {
        let style = match self {
            Tint::Plain | Tint::Good => Style::new(),
            Tint::Faint => Style::new().add_modifier(Modifier::DIM),
            Tint::Title | Tint::Warn | Tint::Bad => Style::new().add_modifier(Modifier::BOLD),
        };
        match (self, colours) {
            (Tint::Good, true) => style.fg(Color::Green),
            (Tint::Warn, true) => style.fg(Color::Yellow),
            (Tint::Bad, true) => style.fg(Color::Red),
            _ => style,
        }
    }
}

/// A line of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(String, Tint)>,
}

impl Line {
    /// A line of one piece.
    pub fn of(text: impl AsRef<str>, tint: Tint) -> Line {
        Line::default().and(text, tint)
    }

    /// The same line with another piece. Control characters are made visible.
    #[must_use]
    pub fn and(mut self, text: impl AsRef<str>, tint: Tint) -> Line {
        self.pieces.push((clean(text.as_ref()), tint));
        self
    }

    /// Its length in characters.
    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(text, _)| text.chars().count()).sum()
    }

    /// At most so long; a line that was cut ends in two dots.
    #[must_use]
    pub fn cut(self, width: usize) -> Line {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(2);
        let mut pieces = Vec::new();
        for (text, tint) in self.pieces {
            let kept: String = text.chars().take(left).collect();
            left -= kept.chars().count();
            pieces.push((kept, tint));
        }
        pieces.push((".".repeat(width.min(2)), Tint::Faint));
        Line { pieces }
    }

    /// As lines of this width, broken between words, all but the first indented; at most so many, the last cut.
    pub fn wrapped(self, width: usize, lines: usize) -> Vec<Line> {
        let mut wrapped = vec![Line::default()];
        for (text, tint) in self.pieces {
            for word in text.split_inclusive(' ') {
                let is_last = wrapped.len() == lines;
                let full = |line: &Line| line.width() + word.trim_end().chars().count() > width && line.width() > 2;
                if !is_last && wrapped.last().is_some_and(full) {
                    wrapped.push(Line::of("  ", Tint::Plain));
                }
                if let Some(line) = wrapped.last_mut() {
                    line.pieces.push((word.to_owned(), tint));
                }
            }
        }
        wrapped.into_iter().map(|line| line.trimmed().cut(width)).collect()
    }

    /// Without the spaces at its end.
    fn trimmed(mut self) -> Line {
        if let Some((text, _)) = self.pieces.last_mut() {
            text.truncate(text.trim_end().len());
        }
        self
    }

    /// Exactly so long.
    #[must_use]
    pub fn sized(self, width: usize) -> Line {
        let line = self.cut(width);
        let missing = width.saturating_sub(line.width());
        line.and(" ".repeat(missing), Tint::Plain)
    }

    /// The same line with another one that ends at this column, if there is room for both.
    #[must_use]
    pub fn ending_with(self, end: Line, width: usize) -> Line {
        if end.width() + 2 >= width {
            return self.cut(width);
        }
        let mut line = self.sized(width - end.width() - 2).and("  ", Tint::Plain);
        line.pieces.extend(end.pieces);
        line
    }

    /// The same line with another one behind it.
    #[must_use]
    pub fn then(mut self, rest: Line) -> Line {
        self.pieces.extend(rest.pieces);
        self
    }

    /// The text alone, without spaces at its end.
    pub fn text(&self) -> String {
        let text: String = self.pieces.iter().map(|(text, _)| text.as_str()).collect();
        text.trim_end().to_owned()
    }
}

/// Puts lines on a screen, as far as they fit.
pub fn draw(lines: &[Line], area: Rect, colours: bool, buffer: &mut Buffer) {
    for (line, y) in lines.iter().zip(area.top()..area.bottom()) {
        let mut x = area.left();
        for (text, tint) in &line.pieces {
            let room = usize::from(area.right().saturating_sub(x));
            (x, _) = buffer.set_stringn(x, y, text, room, tint.style(colours));
        }
    }
}

/// The lines as text.
pub fn plain(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let (left, right) = text.split_at(text.len() / 2);
        Line::of(left, Tint::Plain).and(right, Tint::Bad)
    }

    #[test]
    fn a_line_that_is_too_long_says_so() {
        assert_eq!(line("abcdefgh").cut(8).text(), "abcdefgh");
        assert_eq!(line("abcdefgh").cut(7).text(), "abcde..");
        assert_eq!(line("abcdefgh").cut(1).text(), ".");
        assert_eq!(line("abcdefgh").cut(0).text(), "");
    }

    #[test]
    fn a_long_line_is_broken_between_words_into_as_many_lines_as_allowed() {
        let wrapped = |lines| plain(&Line::of("one two three four", Tint::Plain).wrapped(10, lines));
        assert_eq!(wrapped(1), "one two ..\n");
        assert_eq!(wrapped(2), "one two\n  three ..\n");
        assert_eq!(wrapped(9), "one two\n  three\n  four\n");
    }

    #[test]
    fn two_lines_share_a_row_only_where_there_is_room() {
        assert_eq!(line("abcd").ending_with(line("xyz"), 10).text(), "abcd   xyz");
        assert_eq!(line("abcdef").ending_with(line("xyz"), 9).text(), "ab..  xyz");
        assert_eq!(line("abcd").ending_with(line("xyz"), 5).text(), "abcd");
    }

    #[test]
    fn nothing_reaches_the_terminal_that_steers_it() {
        assert_eq!(line("a\u{1b}[2J").text(), r"a\u{1b}[2J");
    }

    #[test]
    fn without_colours_only_the_weight_is_left() {
        for tint in [Tint::Plain, Tint::Faint, Tint::Title, Tint::Good, Tint::Warn, Tint::Bad] {
            let style = tint.style(false);
            assert_eq!((style.fg, style.bg), (None, None), "{tint:?}");
        }
        assert_eq!(Tint::Bad.style(true).fg, Some(Color::Red));
    }
}
