//! What topics a template can give, and whether a filter matches one of them. Exact: both are texts with gaps, and two such
//! have a text in common if one can be read along the other.

use super::super::filter::{Filter, Level};

/// All topics that a template can give: those of any of its ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    ways: Vec<Vec<Token>>,
}

/// A part of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Exactly(String),
    /// Any text without a slash, none too.
    OneLevel,
    /// Any text.
    Anything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Letter(char),
    OneLevel,
    Anything,
}

impl Token {
    /// Whether this gap may hold what `other` stands for.
    fn holds(self, other: Token) -> bool {
        match (self, other) {
            (Token::Letter(_), _) => false,
            (Token::OneLevel, Token::Letter('/')) => false,
            (Token::OneLevel | Token::Anything, _) => true,
        }
    }
}

impl Pattern {
    /// One topic.
    pub fn exactly(topic: &str) -> Pattern {
        Pattern { ways: vec![tokens([Part::Exactly(topic.to_owned())])] }
    }

    /// All topics that a filter matches.
    pub fn of(filter: &Filter) -> Pattern {
        Pattern { ways: ways(filter) }
    }

    /// Whether both can give the same topic.
    pub fn meets(&self, other: &Pattern) -> bool {
        self.ways.iter().any(|one| other.ways.iter().any(|other| meet(one, other)))
    }

    pub(super) fn add(&mut self, parts: impl IntoIterator<Item = Part>) {
        self.ways.push(tokens(parts));
    }
}

/// Whether the filter matches a topic of the pattern.
pub fn overlaps(filter: &Filter, pattern: &Pattern) -> bool {
    let filter = ways(filter);
    pattern.ways.iter().any(|way| filter.iter().any(|filter| meet(filter, way)))
}

fn tokens(parts: impl IntoIterator<Item = Part>) -> Vec<Token> {
    let mut tokens = Vec::new();
    for part in parts {
        match part {
            Part::Exactly(text) => tokens.extend(text.chars().map(Token::Letter)),
            Part::OneLevel => tokens.push(Token::OneLevel),
            Part::Anything => tokens.push(Token::Anything),
        }
    }
    tokens
}

/// A filter that ends in `/#` matches the level above too.
fn ways(filter: &Filter) -> Vec<Vec<Token>> {
    let mut way = Vec::new();
    for (at, level) in filter.levels().iter().enumerate() {
        if *level == Level::Rest && at > 0 {
            let above = way.clone();
            way.extend([Token::Letter('/'), Token::Anything]);
            return vec![above, way];
        }
        if at > 0 {
            way.push(Token::Letter('/'));
        }
        match level {
            Level::Exactly(text) => way.extend(text.chars().map(Token::Letter)),
            Level::One => way.push(Token::OneLevel),
            Level::Rest => way.push(Token::Anything),
        }
    }
    vec![way]
}

/// Whether some text is one of both. Row by row from the ends: `below[j]` tells it of what follows `one[i]` and `other[j]`.
/// Of two gaps one may be taken as empty, for what both hold can be left out of the text.
fn meet(one: &[Token], other: &[Token]) -> bool {
    let width = other.len();
    let is_gap = |token: &Token| !matches!(token, Token::Letter(_));
    let mut below: Vec<bool> = vec![false; width + 1];
    for i in (0..=one.len()).rev() {
        let mut row = vec![false; width + 1];
        for j in (0..=width).rev() {
            let (a, b) = (one.get(i), other.get(j));
            let at = |row: &[bool], j: usize| row.get(j).copied().unwrap_or(false);
            let met = match (a, b) {
                (None, None) => true,
                (Some(a), None) => is_gap(a) && at(&below, j),
                (None, Some(b)) => is_gap(b) && at(&row, j + 1),
                (Some(Token::Letter(a)), Some(Token::Letter(b))) => a == b && at(&below, j + 1),
                (Some(a), Some(b)) => {
                    // A gap ends here, or holds what the other has next.
                    (is_gap(a) && (at(&below, j) || (a.holds(*b) && at(&row, j + 1))))
                        || (is_gap(b) && (at(&row, j + 1) || (b.holds(*a) && at(&below, j))))
                }
            };
            if let Some(place) = row.get_mut(j) {
                *place = met;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}
