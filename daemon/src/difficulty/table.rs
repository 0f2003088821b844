//! A table of outcomes from CSV (RFC 4180): the columns `prompt`, `weak`, `strong`, and `task` if it is there. Must not know
//! what is done with it.

use std::fmt;

use thiserror::Error;

use super::train::Row;

/// Rows that are read at most.
pub const MAX_ROWS: usize = 1_000_000;
/// Bytes of a table.
pub const MAX_BYTES: u64 = 1 << 30;

/// Letters of a table that an error repeats.
const MOST_TOLD: usize = 120;

/// Why a table is not taken.
#[derive(Debug, Error, PartialEq)]
pub enum TableError {
    #[error("the table has no line with the names of its columns: {NEEDS}")]
    Empty,
    #[error("the table has no column {wanted}; its first line is {found:?}, and {NEEDS}")]
    Column { wanted: &'static str, found: String },
    #[error("{place}: {found} values; the first line has {wanted}")]
    Values { place: Place, found: usize, wanted: usize },
    #[error("{place}: {column} is {found:?}; takes true, false, or 0 to 1")]
    Quality { place: Place, column: &'static str, found: String },
    #[error("{place}: task is {found} bytes long; takes 1 to {most}", most = super::model::MAX_NAME)]
    Task { place: Place, found: usize },
    #[error("{place}: a quote is opened and never closed")]
    Quote { place: Place },
    #[error("{place}: letters behind a closing quote")]
    Behind { place: Place },
    #[error("more than {MAX_ROWS} rows")]
    Rows,
}

/// What every table has.
const NEEDS: &str = "it takes prompt, weak and strong, and may have task, with commas between them";

/// Where in a table. A row may have several lines, so both are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counts from 1; 0 is the line with the names.
    pub row: usize,
    /// Counts from 1, the one with the names included.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            0 => write!(to, "line {}", self.line),
            row => write!(to, "row {row} (line {})", self.line),
        }
    }
}

/// Reads a table.
///
/// # Errors
/// The first thing that is wrong, with its row and line.
pub fn read(text: &str) -> Result<Vec<Row>, TableError> {
    let mut records = Records { rest: text.strip_prefix('\u{feff}').unwrap_or(text), at: Place { row: 0, line: 1 } };
    let (_, names) = records.next().transpose()?.ok_or(TableError::Empty)?;
    let column = |wanted: &str| names.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
    let needed = |wanted| column(wanted).ok_or_else(|| TableError::Column { wanted, found: told(&names.join(",")) });
    let (prompt, weak, strong, task) = (needed("prompt")?, needed("weak")?, needed("strong")?, column("task"));
    let mut rows = Vec::new();
    for record in records {
        let (place, mut values) = record?;
        if values.len() != names.len() {
            return Err(TableError::Values { place, found: values.len(), wanted: names.len() });
        }
        if rows.len() == MAX_ROWS {
            return Err(TableError::Rows);
        }
        rows.push(Row {
            weak: quality(place, "weak", &values[weak])?,
            strong: quality(place, "strong", &values[strong])?,
            task: task.map(|at| named(place, &values[at])).transpose()?.flatten(),
            text: std::mem::take(&mut values[prompt]),
        });
    }
    Ok(rows)
}

/// The beginning of what was found.
fn told(text: &str) -> String {
    let mut letters = text.chars();
    let told: String = letters.by_ref().take(MOST_TOLD).collect();
    if letters.next().is_some() { told + "..." } else { told }
}

fn quality(place: Place, column: &'static str, text: &str) -> Result<f64, TableError> {
    let text = text.trim();
    let value = match text.to_ascii_lowercase().as_str() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        number => number.parse().ok().filter(|value| (0.0..=1.0).contains(value)),
    };
    value.ok_or_else(|| TableError::Quality { place, column, found: told(text) })
}

/// A task; nothing means that the row has none.
fn named(place: Place, text: &str) -> Result<Option<String>, TableError> {
    match text.trim() {
        "" => Ok(None),
        name if name.len() > super::model::MAX_NAME => Err(TableError::Task { place, found: name.len() }),
        name => Ok(Some(name.to_owned())),
    }
}

/// Rows of values, each with the place where it begins.
struct Records<'a> {
    rest: &'a str,
    /// The row that comes next, and the line that is read.
    at: Place,
}

impl Iterator for Records<'_> {
    type Item = Result<(Place, Vec<String>), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Empty lines, as at the end.
        while let Some(rest) = self.rest.strip_prefix("\r\n").or(self.rest.strip_prefix('\n')) {
            (self.rest, self.at.line) = (rest, self.at.line + 1);
        }
        if self.rest.is_empty() {
            return None;
        }
        let place = self.at;
        let mut values = Vec::new();
        loop {
            match self.value() {
                Ok((value, true)) => values.push(value),
                Ok((value, false)) => {
                    values.push(value);
                    self.at.row += 1;
                    return Some(Ok((place, values)));
                }
                Err(error) => {
                    self.rest = "";
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Records<'_> {
    /// One value, and whether another follows on the line.
    fn value(&mut self) -> Result<(String, bool), TableError> {
        let value = if self.rest.starts_with('"') { self.quoted()? } else { self.plain() };
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            return Ok((value, true));
        }
        let rest = self.rest.strip_prefix("\r\n").or(self.rest.strip_prefix('\n'));
        match rest {
            Some(rest) => (self.rest, self.at.line) = (rest, self.at.line + 1),
            None if self.rest.is_empty() => {}
            None => return Err(TableError::Behind { place: self.at }),
        }
        Ok((value, false))
    }

    fn plain(&mut self) -> String {
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        let (value, rest) = match value.strip_suffix('\r') {
            Some(value) if !rest.starts_with(',') => (value, rest),
            _ => (value, rest),
        };
        self.rest = rest;
        value.to_owned()
    }

    fn quoted(&mut self) -> Result<String, TableError> {
        let (place, mut value) = (self.at, String::new());
        self.rest = self.rest.get(1..).unwrap_or_default();
        loop {
            let end = self.rest.find('"').ok_or(TableError::Quote { place })?;
            let (part, rest) = self.rest.split_at(end);
            value.push_str(part);
            self.at.line += part.matches('\n').count();
            self.rest = rest.get(1..).unwrap_or_default();
            match self.rest.strip_prefix('"') {
                Some(rest) => {
                    value.push('"');
                    self.rest = rest;
                }
                None => return Ok(value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_lines_and_words_for_right_and_wrong_are_read() {
        let rows = read("prompt,weak,strong,task\r\n\"a, \"\"b\"\"\nA. c\",True,0.5,law\r\nd,0,FALSE,\n\n").unwrap();
        let row = |text: &str, weak, strong, task: Option<&str>| Row {
            text: text.into(),
            weak,
            strong,
            task: task.map(str::to_owned),
        };
        assert_eq!(rows, [row("a, \"b\"\nA. c", 1.0, 0.5, Some("law")), row("d", 0.0, 0.0, None)]);
        assert_eq!(read("\u{feff}Strong,Prompt,weak\n1,x,0").unwrap(), [row("x", 0.0, 1.0, None)]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let at = |row, line| Place { row, line };
        let quality = TableError::Quality { place: at(2, 4), column: "strong", found: "yes".into() };
        for (text, error) in [
            ("", TableError::Empty),
            ("prompt,weak\n", TableError::Column { wanted: "strong", found: "prompt,weak".into() }),
            ("prompt,weak,strong\na,1\n", TableError::Values { place: at(1, 2), found: 2, wanted: 3 }),
            ("prompt,weak,strong\n\"a\nb\",1,0\nc,1,yes\n", quality),
            ("prompt,weak,strong\n\"a,1,0\n", TableError::Quote { place: at(1, 2) }),
            ("\"prompt\n,weak", TableError::Quote { place: at(0, 1) }),
            ("prompt,weak,strong\n\"a\"b,1,0\n", TableError::Behind { place: at(1, 2) }),
        ] {
            assert_eq!(read(text), Err(error), "{text:?}");
        }
        let error = read(&format!("prompt,weak,strong\n\na,{},1\n", "1".repeat(500))).unwrap_err().to_string();
        assert!(error.starts_with("row 1 (line 3): weak is \"111") && error.len() < 200, "{error}");
        for bad in ["NaN", "1.1", "-0.1", "inf", ""] {
            assert!(
                matches!(read(&format!("prompt,weak,strong\na,{bad},1")), Err(TableError::Quality { .. })),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_table_or_an_error(text in "(prompt,weak,strong\n)?[a\",\n\r1]{0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn what_was_quoted_comes_back(prompt in ".{0,40}") {
            let text = format!("prompt,weak,strong\n\"{}\",1,0\n", prompt.replace('"', "\"\""));
            prop_assert_eq!(&read(&text).unwrap()[0].text, &prompt);
        }
    }
}
