//! Text in columns and paragraphs, for a screen of 80 columns.
//!
//! Whatever comes from a model, a file name or a peer may hold control characters; [`clean`] shows them instead of
//! sending them to the terminal.

/// Columns of a small screen, and of every golden.
pub const WIDTH: usize = 80;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows under a head, each column as wide as its widest cell. The last column is not padded.
pub fn table(head: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(place, (title, _))| {
            let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
            cells.chain([title.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let titles: Vec<String> = head.iter().map(|(title, _)| (*title).to_owned()).collect();
    std::iter::once(&titles).chain(rows).map(|row| line(head, &widths, row)).collect()
}

/// One row; a last cell that does not fit is wrapped below itself.
fn line(head: &[(&str, Align)], widths: &[usize], row: &[String]) -> String {
    let cells = row.iter().zip(head.iter().zip(widths)).map(|(cell, ((_, align), width))| match align {
        Align::Left => format!("{cell:<width$}"),
        Align::Right => format!("{cell:>width$}"),
    });
    let cells: Vec<String> = cells.collect();
    let whole = cells.join("  ");
    match (cells.split_last(), row.last()) {
        (Some((_, before)), Some(last)) if whole.trim_end().chars().count() > WIDTH => {
            paragraph(&format!("{}  ", before.join("  ")), last)
        }
        _ => format!("{}\n", whole.trim_end()),
    }
}

/// A label and its text, wrapped with the text hanging beside the label: `  engine     up: ONNX ...`.
pub fn field(label: &str, text: &str) -> String {
    paragraph(&format!("  {label:<10} "), text)
}

/// `text` after `first`, wrapped at [`WIDTH`]; further lines are indented by the width of `first`. A word is broken only
/// when it fits no line, and then not at all: paths stay whole for copying.
pub fn paragraph(first: &str, text: &str) -> String {
    let indent = first.chars().count();
    let mut lines = vec![first.to_owned()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if used == indent => line.push_str(word),
            Some(line) if used + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{:indent$}{word}", "")),
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The text with its control characters made visible; those that only part words are spaces.
pub fn clean(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, letter| {
        match letter {
            '\n' | '\r' | '\t' => shown.push(' '),
            letter if letter.is_control() || is_invisible(letter) => shown.extend(letter.escape_unicode()),
            letter => shown.push(letter),
        }
        shown
    })
}

/// Characters that reorder or hide what stands beside them.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["text-line".to_owned(), "7".to_owned()], vec!["x".to_owned(), "1024".to_owned()]];
        let shown = table(&[("MODEL", Align::Left), ("DONE", Align::Right)], &rows);
        assert_eq!(shown, "MODEL      DONE\ntext-line     7\nx          1024\n");
    }

    #[test]
    fn a_last_cell_that_does_not_fit_goes_on_below_itself() {
        let rows = [vec!["1".to_owned(), "word ".repeat(20).trim_end().to_owned()]];
        let shown = table(&[("AT", Align::Right), ("DETAIL", Align::Left)], &rows);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[2].starts_with("    word") && lines.iter().all(|line| line.len() <= WIDTH), "{shown}");
    }

    #[test]
    fn long_text_hangs_beside_its_label_and_long_words_stay_whole() {
        let path = "/a".repeat(40);
        let shown = field("engine", &format!("up: {} found at {path} today", "word ".repeat(14)));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH || line.trim() == path), "{shown}");
        assert!(lines[1..].iter().all(|line| line.starts_with(&" ".repeat(13))), "{shown}");
        assert!(shown.contains(&path));
    }

    #[test]
    fn what_a_model_read_cannot_steer_the_terminal() {
        assert_eq!(clean("LOT\u{1b}[2J 7\n"), "LOT\\u{1b}[2J 7 ");
        assert_eq!(clean("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(clean("größe 批号"), "größe 批号");
    }
}
