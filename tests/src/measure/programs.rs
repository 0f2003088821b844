//! What is measured by programs of their own, which `make bench` builds and names in the environment: each prints its numbers
//! on lines of words.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use super::table::{Promise, Table};

/// One number of a program.
struct Row {
    /// Where the environment names the program.
    program: &'static str,
    /// Words of the line that has it; it is the first number there.
    words: &'static str,
    what: &'static str,
    unit: &'static str,
    /// What the number is multiplied by to be in that unit.
    factor: f64,
    promise: Promise,
}

const DECIDE: &str = "EDGE_DECIDE_BENCH";
const RECIPES: &str = "EDGE_RECIPES_BENCH";

const ROWS: [Row; 6] = [
    Row {
        program: DECIDE,
        words: "us per decision",
        what: "core: us per decision",
        unit: "us",
        factor: 1.0,
        promise: Promise::AtMost(2.0),
    },
    Row {
        program: DECIDE,
        words: "us per routing decision",
        what: "core: us per routing decision, 8 sites, every layer on",
        unit: "us",
        factor: 1.0,
        promise: Promise::AtMost(5.0),
    },
    Row {
        program: DECIDE,
        words: "allocations per decision",
        what: "core: allocations per decision",
        unit: "",
        factor: 1.0,
        promise: Promise::AtMost(0.0),
    },
    Row {
        program: RECIPES,
        words: "us per busy picture",
        what: "detection recipe on 8,400 x 84 outputs: decode + NMS",
        unit: "ms",
        factor: 1e-3,
        promise: Promise::AtMost(3.0),
    },
    Row {
        program: RECIPES,
        words: "us per picture of noise",
        what: "  the same, every anchor sure of something",
        unit: "ms",
        factor: 1e-3,
        promise: Promise::None,
    },
    Row {
        program: RECIPES,
        words: "us per search",
        what: "embedding recipe: search among 10,000 x 512",
        unit: "ms",
        factor: 1e-3,
        promise: Promise::None,
    },
];

/// Runs each program once, and adds what it says.
pub fn rows(table: &mut Table) -> Result<()> {
    for name in [DECIDE, RECIPES] {
        let Some(program) = env::var_os(name) else {
            eprintln!("  what {name} would name is measured by `make bench` only");
            continue;
        };
        let output = Command::new(&program).arg("--bench").output().with_context(|| format!("run {name}"))?;
        let text = String::from_utf8(output.stdout)?;
        print!("{text}");
        for row in ROWS.iter().filter(|row| row.program == name) {
            let value = number(&text, row.words).with_context(|| format!("no line of {name} with {:?}", row.words))?;
            table.add(row.what, row.unit, row.promise, value * row.factor, String::new());
        }
    }
    Ok(())
}

/// The first number of the line that has these words.
fn number(text: &str, words: &str) -> Option<f64> {
    text.lines().find(|line| line.contains(words))?.split_whitespace().find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_of_the_line_counts() {
        let text = "a bench\n1.25 us per decision, 31 rounds\n";
        assert_eq!(number(text, "us per decision"), Some(1.25));
        assert_eq!(number(text, "us per search"), None);
    }
}
