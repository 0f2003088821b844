//! What came of numbered frames: whether each was answered, and whether the answers of a source first came in the order of its
//! frames. Pure, but for taking the messages.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use crate::client::mqtt::Device;

/// Of one source.
#[derive(Debug, Default)]
struct Seen {
    known: BTreeSet<u64>,
    last: u64,
}

/// What was seen, all sources together.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By what stands in the topic before the number.
    sources: BTreeMap<String, Seen>,
    /// Results that came once more than once.
    pub again: u64,
    /// Those that said that they are late.
    pub late: u64,
    /// Those that told a failure.
    pub failed: u64,
    /// Results of cameras, which nobody counts.
    pub cameras: u64,
    /// Results that first came after a later one of their source.
    pub disordered: Vec<String>,
}

impl Ledger {
    /// Takes what has come.
    pub fn collect(&mut self, reader: &Device) -> Result<()> {
        for message in reader.take_all(|_| true) {
            if message.topic.starts_with("vision/") {
                self.cameras += 1;
                continue;
            }
            let (source, number) = message.topic.rsplit_once('/').context("a number in the topic")?;
            let number = number.parse().with_context(|| format!("a number in {}", message.topic))?;
            self.late += u64::from(message.property("historical").is_some());
            self.failed += u64::from(message.json()?["ok"] != true);
            self.note(source, number);
        }
        Ok(())
    }

    fn note(&mut self, source: &str, number: u64) {
        let seen = self.sources.entry(source.to_owned()).or_default();
        if !seen.known.insert(number) {
            self.again += 1;
        } else if number < seen.last {
            self.disordered.push(format!("{source}/{number} after {}", seen.last));
        } else {
            seen.last = number;
        }
    }

    /// How many different ones came.
    pub fn came(&self) -> u64 {
        self.sources.values().map(|seen| seen.known.len() as u64).sum()
    }

    /// The name of one that did not.
    pub fn lacks(&self, source: &str, number: u64) -> Option<String> {
        let known = self.sources.get(source).is_some_and(|seen| seen.known.contains(&number));
        (!known).then(|| format!("{source}/{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_again_or_comes_after_a_later_one_is_told() {
        let mut ledger = Ledger::default();
        for number in [0, 4, 12, 8, 4] {
            ledger.note("counts/0", number);
        }
        ledger.note("counts/1", 1);
        assert_eq!((ledger.came(), ledger.again), (5, 1));
        assert_eq!(ledger.disordered, ["counts/0/8 after 12"]);
        assert_eq!(ledger.lacks("counts/0", 8), None);
        assert_eq!(ledger.lacks("counts/0", 16).as_deref(), Some("counts/0/16"));
        assert_eq!(ledger.lacks("counts/2", 0).as_deref(), Some("counts/2/0"));
    }
}
