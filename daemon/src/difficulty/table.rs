//! A table of outcomes from CSV (RFC 4180): the columns `prompt`, `weak`, `strong`, and `task` if it is there. Must not know
//! what is done with it.

use thiserror::Error;

use super::train::Row;

/// Rows that are read at most.
pub const MAX_ROWS: usize = 1_000_000;
/// Bytes of a table.
pub const MAX_BYTES: u64 = 1 << 30;

/// Why a table is not taken. Lines count from 1, the one with the names included.
#[derive(Debug, Error, PartialEq)]
pub enum TableError {
    #[error("the table has no line with the names of its columns")]
    Empty,
    #[error("the table has no column {wanted}; it has {found}")]
    Column { wanted: &'static str, found: String },
    #[error("line {line}: {found} values; the first line has {wanted}")]
    Values { line: usize, found: usize, wanted: usize },
    #[error("line {line}: {column} is {found:?}; takes true, false, or 0 to 1")]
    Quality { line: usize, column: &'static str, found: String },
    #[error("line {line}: task is {found} bytes long; takes 1 to {most}", most = super::model::MAX_NAME)]
    Task { line: usize, found: usize },
    #[error("line {line}: a quote is opened and never closed")]
    Quote { line: usize },
    #[error("line {line}: letters behind a closing quote")]
    Behind { line: usize },
    #[error("more than {MAX_ROWS} rows")]
    Rows,
}

/// Reads a table.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn read(text: &str) -> Result<Vec<Row>, TableError> {
    let mut records = Records { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let (_, names) = records.next().transpose()?.ok_or(TableError::Empty)?;
    let place = |wanted: &str| names.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
    let needed = |wanted| place(wanted).ok_or_else(|| TableError::Column { wanted, found: names.join(", ") });
    let (prompt, weak, strong, task) = (needed("prompt")?, needed("weak")?, needed("strong")?, place("task"));
    let mut rows = Vec::new();
    for record in records {
        let (line, mut values) = record?;
        if values.len() != names.len() {
            return Err(TableError::Values { line, found: values.len(), wanted: names.len() });
        }
        if rows.len() == MAX_ROWS {
            return Err(TableError::Rows);
        }
        rows.push(Row {
            weak: quality(line, "weak", &values[weak])?,
            strong: quality(line, "strong", &values[strong])?,
            task: task.map(|at| named(line, &values[at])).transpose()?.flatten(),
            text: std::mem::take(&mut values[prompt]),
        });
    }
    Ok(rows)
}

fn quality(line: usize, column: &'static str, text: &str) -> Result<f64, TableError> {
    let text = text.trim();
    let value = match text.to_ascii_lowercase().as_str() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        number => number.parse().ok().filter(|value| (0.0..=1.0).contains(value)),
    };
    value.ok_or_else(|| TableError::Quality { line, column, found: text.to_owned() })
}

/// A task; nothing means that the row has none.
fn named(line: usize, text: &str) -> Result<Option<String>, TableError> {
    match text.trim() {
        "" => Ok(None),
        name if name.len() > super::model::MAX_NAME => Err(TableError::Task { line, found: name.len() }),
        name => Ok(Some(name.to_owned())),
    }
}

/// Lines of values, each with the number of the line it begins on.
struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<(usize, Vec<String>), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Empty lines, as at the end.
        while let Some(rest) = self.rest.strip_prefix("\r\n").or(self.rest.strip_prefix('\n')) {
            (self.rest, self.line) = (rest, self.line + 1);
        }
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        let mut values = Vec::new();
        loop {
            match self.value() {
                Ok((value, true)) => values.push(value),
                Ok((value, false)) => {
                    values.push(value);
                    return Some(Ok((line, values)));
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
            Some(rest) => (self.rest, self.line) = (rest, self.line + 1),
            None if self.rest.is_empty() => {}
            None => return Err(TableError::Behind { line: self.line }),
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
        let (opened, mut value) = (self.line, String::new());
        self.rest = self.rest.get(1..).unwrap_or_default();
        loop {
            let end = self.rest.find('"').ok_or(TableError::Quote { line: opened })?;
            let (part, rest) = self.rest.split_at(end);
            value.push_str(part);
            self.line += part.matches('\n').count();
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
        let quality = TableError::Quality { line: 4, column: "strong", found: "yes".into() };
        for (text, error) in [
            ("", TableError::Empty),
            ("prompt,weak\n", TableError::Column { wanted: "strong", found: "prompt, weak".into() }),
            ("prompt,weak,strong\na,1\n", TableError::Values { line: 2, found: 2, wanted: 3 }),
            ("prompt,weak,strong\n\"a\nb\",1,0\nc,1,yes\n", quality),
            ("prompt,weak,strong\n\"a,1,0\n", TableError::Quote { line: 2 }),
            ("prompt,weak,strong\n\"a\"b,1,0\n", TableError::Behind { line: 2 }),
        ] {
            assert_eq!(read(text), Err(error), "{text:?}");
        }
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
