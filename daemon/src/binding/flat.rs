//! Flat results: what of an answer goes onto topics of its own, one value each, for readers that take no JSON. [`facts`] says
//! what an answer says, [`Verdict`] whether that is good, [`points`] how a value is written, [`memory`] what has changed since
//! and what has gone stale. Pure; must not know topics.

mod facts;
mod memory;
mod points;

use std::time::Duration;

pub use self::facts::{Facts, facts};
pub use self::memory::{Memory, Seen, Told, stale};
pub use self::points::{Format, Point};

/// One value that has a topic of its own. They are published in this order, so that whoever acts on `ok` or `time` has the
/// rest already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The label of the best one.
    Class,
    /// How sure the model is of it.
    Score,
    /// How many were found.
    Count,
    /// What was read, on one line.
    Text,
    /// Whether the values can be relied on.
    Quality,
    /// The code of what failed; empty if nothing did.
    Reason,
    /// Whether there is an answer and the binding's conditions hold for it.
    Ok,
    /// When the frame came.
    Time,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 8] =
        [Field::Class, Field::Score, Field::Count, Field::Text, Field::Quality, Field::Reason, Field::Ok, Field::Time];

    /// The word used in topics and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Field::Class => "class",
            Field::Score => "score",
            Field::Count => "count",
            Field::Text => "text",
            Field::Ok => "ok",
            Field::Time => "time",
            Field::Quality => "quality",
            Field::Reason => "reason",
        }
    }

    /// The field called `word`, if there is one.
    pub fn from_word(word: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.as_str() == word)
    }
}

/// Whether values can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// They are of the last frame.
    Good,
    /// There was no answer for too long; they are old.
    Stale,
    /// The last frame had no answer; they are of an earlier one.
    Bad,
}

impl Quality {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Stale => "stale",
            Quality::Bad => "bad",
        }
    }
}

/// Which answers are a yes. A condition that is absent holds; one of something that the answer does not say does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Classes that are good; empty: any.
    pub classes: Vec<String>,
    pub min_score: Option<f64>,
    pub min_count: Option<u64>,
    pub max_count: Option<u64>,
}

impl Verdict {
    /// Whether an answer that says this is a yes.
    pub fn is_ok(&self, facts: &Facts) -> bool {
        let class = self.classes.is_empty()
            || facts.class.as_ref().is_some_and(|class| self.classes.iter().any(|good| good == class));
        let score = self.min_score.is_none_or(|least| facts.score.is_some_and(|score| score >= least));
        let least = self.min_count.is_none_or(|least| facts.count.is_some_and(|count| count >= least));
        let most = self.max_count.is_none_or(|most| facts.count.is_some_and(|count| count <= most));
        class && score && least && most
    }
}

/// What is published of a binding, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub fields: Vec<Field>,
    pub format: Format,
    /// Only what is not as it was; else all, with every answer.
    pub on_change: bool,
    /// After so long without a good answer the values are stale; `None`: never.
    pub stale_after: Option<Duration>,
    pub verdict: Verdict,
}

#[cfg(test)]
mod tests;
