//! The table of promised numbers with what was measured beside them.

use std::fmt;

/// Which side of the promise is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Promise {
    AtMost(f64),
    AtLeast(f64),
    None,
}

/// One measured number.
#[derive(Clone, Debug)]
pub struct Row {
    pub what: String,
    pub unit: &'static str,
    pub promise: Promise,
    pub measured: f64,
    /// More that helps to read it.
    pub note: String,
}

/// Rows in the order in which they are shown.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row, and says on stderr that it is there: the whole takes minutes.
    pub fn add(&mut self, what: &str, unit: &'static str, promise: Promise, measured: f64, note: String) {
        let row = Row { what: what.to_owned(), unit, promise, measured, note };
        eprintln!("  {:<58} {}", row.what, number(row.measured, unit));
        self.rows.push(row);
    }

    /// Rows that do not hold what was promised.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| !row.holds()).count()
    }
}

impl Row {
    fn holds(&self) -> bool {
        match self.promise {
            Promise::AtMost(bound) => self.measured <= bound,
            Promise::AtLeast(bound) => self.measured >= bound,
            Promise::None => true,
        }
    }

    fn promised(&self) -> String {
        match self.promise {
            Promise::AtMost(bound) => format!("<= {}", number(bound, self.unit)),
            Promise::AtLeast(bound) => format!(">= {}", number(bound, self.unit)),
            Promise::None => String::new(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<58} {:>12} {:>12}  {:<6} note", "what", "promised", "measured", "")?;
        writeln!(out, "{}", "-".repeat(118))?;
        for row in &self.rows {
            let word = match row.promise {
                Promise::None => "",
                _ if row.holds() => "ok",
                _ => "MISSED",
            };
            let measured = number(row.measured, row.unit);
            let line = format!("{:<58} {:>12} {measured:>12}  {word:<6} {}", row.what, row.promised(), row.note);
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn number(value: f64, unit: &str) -> String {
    match unit {
        "x" => format!("{value:.3} x"),
        "us" if value < 10.0 => format!("{value:.2} us"),
        "us" => format!("{value:.0} us"),
        "s" => format!("{value:.3} s"),
        "MB" => format!("{value:.1} MB"),
        "%" => format!("{value:.3} %"),
        "" => format!("{value:.0}"),
        other => format!("{value:.2} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_or_is_missed_on_the_right_side_of_its_promise() {
        let mut table = Table::default();
        table.add("small enough", "x", Promise::AtMost(1.18), 1.18, String::new());
        table.add("fast enough", "x", Promise::AtLeast(0.95), 0.96, String::new());
        table.add("only told", "us", Promise::None, 1e9, String::new());
        assert_eq!(table.missed(), 0);
        table.add("too large", "MB", Promise::AtMost(20.0), 20.1, "note".into());
        table.add("too slow", "x", Promise::AtLeast(0.95), 0.94, String::new());
        assert_eq!(table.missed(), 2);
        let text = table.to_string();
        assert!(text.lines().any(|line| line.contains("<= 20.0 MB") && line.contains("MISSED note")), "{text}");
    }
}
