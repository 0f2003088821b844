//! `edgectl doctor`: one line for each check, the remedy below what is wrong.

use crate::check::{Check, Level, Report};
use crate::render::table::{clean, paragraph};
use crate::render::units::count;

/// All checks and their sum.
pub fn report(report: &Report) -> String {
    let width = report.checks.iter().map(|check| check.subject.chars().count()).max().unwrap_or(0);
    let lines: String = report.checks.iter().map(|check| lines(check, width)).collect();
    let of =
        |level| u64::try_from(report.checks.iter().filter(|check| check.level == level).count()).unwrap_or(u64::MAX);
    let mut sum = vec![format!("{} ok", of(Level::Ok))];
    for (level, noun) in [(Level::Warn, "warning"), (Level::Fail, "failure")] {
        if of(level) > 0 {
            sum.insert(0, count(of(level), noun));
        }
    }
    if of(Level::Skip) > 0 {
        sum.push(format!("{} not checked", of(Level::Skip)));
    }
    format!("{lines}\n{}\n", sum.join(", "))
}

fn lines(check: &Check, width: usize) -> String {
    let first = format!("{:<4}  {:<width$}  ", check.level.as_str(), clean(&check.subject));
    let mut text = paragraph(&first, &clean(&check.what));
    if !check.remedy.is_empty() {
        text.push_str(&paragraph(&format!("{:indent$}try: ", "", indent = width + 8), &clean(&check.remedy)));
    }
    text
}
