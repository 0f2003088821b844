//! Templates of output topics, as `vision/{1}/result`. Decides which texts are templates, what topic one gives, and what topics
//! it can give at all, so that a binding that would hear itself is found before it runs. Pure.

mod pattern;

use std::collections::BTreeSet;
use std::fmt;

pub use self::pattern::{Pattern, overlaps};
use super::filter::{Filter, MOST_BYTES};
use super::flat::Field;
use super::tag;

/// Something that a template may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// What the wildcard of this number stood for, counted from 1.
    Capture {
        number: usize,
        is_rest: bool,
    },
    Source,
    Binding,
    Model,
    Node,
    Prefix,
    Field,
}

impl Variable {
    fn word(self) -> String {
        match self {
            Variable::Capture { number, .. } => number.to_string(),
            Variable::Source => "source".into(),
            Variable::Binding => "binding".into(),
            Variable::Model => "model".into(),
            Variable::Node => "node".into(),
            Variable::Prefix => "prefix".into(),
            Variable::Field => "field".into(),
        }
    }
}

/// Which variables there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<Variable>);

impl Names {
    /// Of a source with so many wildcards, the last of which may stand for many levels.
    pub fn new(wildcards: usize, has_rest: bool) -> Names {
        let capture = |number| Variable::Capture { number, is_rest: has_rest && number == wildcards };
        let fixed = [Variable::Binding, Variable::Model, Variable::Node, Variable::Prefix];
        Names((1..=wildcards).map(capture).chain(fixed).collect())
    }

    /// Of a source that is a topic filter.
    pub fn of(filter: &Filter) -> Names {
        Names::new(filter.wildcards(), filter.has_rest())
    }

    /// The name of the source too; it is not there where that name itself is made.
    #[must_use]
    pub fn and(mut self, variable: Variable) -> Names {
        self.0.push(variable);
        self
    }

    fn find(&self, word: &str) -> Option<Variable> {
        self.0.iter().copied().find(|variable| variable.word() == word)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|variable| format!("{{{}}}", variable.word())).collect();
        out.write_str(&names.join(", "))
    }
}

/// What becomes of characters of a value that not every reader of a topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Only what no topic can have is replaced.
    Topic,
    /// Each value becomes a name that SCADA takes ([`tag::name`]), level by level; the prefix stays.
    Tag,
}

/// A template of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    safety: Safety,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Variable),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MOST_BYTES} bytes")]
    Long,
    #[error("it holds a wildcard (`+` or `#`)")]
    Wildcard,
    #[error("it starts with `$`: such topics are the broker's own")]
    Dollar,
    #[error("it holds a control character")]
    Control,
    #[error("a brace has no other half: takes {{NAME}} for a variable, {{{{ and }}}} for braces")]
    Brace,
    #[error("there is no variable {{{name}}}: takes {known}")]
    Unknown { name: String, known: Names },
    #[error("{level:?} is no part of a tag path: takes letters, digits, `_` and `-` between slashes, no `-` first")]
    Tag { level: String },
}

/// What the variables stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    pub captures: &'a [&'a str],
    /// Safe already.
    pub source: &'a str,
    pub fixed: Fixed<'a>,
    pub field: Option<Field>,
}

/// What is known before anything came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed<'a> {
    pub binding: &'a str,
    pub model: &'a str,
    pub node: &'a str,
    /// May have slashes.
    pub prefix: &'a str,
}

impl Template {
    /// Reads a template in which these variables may stand.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, names: &Names, safety: Safety) -> Result<Template, TemplateFault> {
        if text.is_empty() {
            return Err(TemplateFault::Empty);
        }
        if text.len() > MOST_BYTES {
            return Err(TemplateFault::Long);
        }
        let pieces = pieces(text, names)?;
        let texts = || pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None });
        if texts().any(|text| text.contains(['+', '#'])) {
            return Err(TemplateFault::Wildcard);
        }
        if texts().any(|text| text.chars().any(char::is_control)) {
            return Err(TemplateFault::Control);
        }
        // Also behind variables, which may be empty.
        if texts().next().is_some_and(|first| first.starts_with('$')) {
            return Err(TemplateFault::Dollar);
        }
        let template = Template { text: text.to_owned(), safety, pieces };
        match (safety == Safety::Tag).then(|| template.bad_level()).flatten() {
            Some(level) => Err(TemplateFault::Tag { level }),
            None => Ok(template),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// With what is known of it before anything came.
    pub fn filled(&self, fixed: &Fixed<'_>) -> String {
        let values = Values { fixed: *fixed, ..Values::default() };
        let shown = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value(variable @ (Variable::Capture { .. } | Variable::Source | Variable::Field)) => {
                format!("{{{}}}", variable.word())
            }
            Piece::Value(variable) => self.value(*variable, &values),
        };
        self.pieces.iter().map(shown).collect()
    }

    /// Whether it names this variable.
    pub fn names(&self, variable: Variable) -> bool {
        self.pieces.contains(&Piece::Value(variable))
    }

    /// Numbers of the wildcards that it names.
    pub fn captures(&self) -> BTreeSet<usize> {
        let number = |piece: &Piece| match piece {
            Piece::Value(Variable::Capture { number, .. }) => Some(*number),
            Piece::Value(_) | Piece::Text(_) => None,
        };
        self.pieces.iter().filter_map(number).collect()
    }

    /// The topic; `None` if it would be longer than a topic can be.
    pub fn expand(&self, values: &Values<'_>) -> Option<String> {
        let mut topic = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => topic.push_str(text),
                Piece::Value(variable) => topic.push_str(&self.value(*variable, values)),
            }
        }
        if topic.is_empty() {
            topic.push('_');
        } else if topic.starts_with('$') {
            topic.replace_range(..1, "_");
        }
        (topic.len() <= MOST_BYTES).then_some(topic)
    }

    /// What topics it can give. `fields` are those that `{field}` stands for.
    pub fn pattern(&self, fixed: &Fixed<'_>, fields: &[Field]) -> Pattern {
        let ways: Vec<Option<Field>> = match self.names(Variable::Field) {
            true => fields.iter().copied().map(Some).collect(),
            false => vec![None],
        };
        let mut pattern = Pattern::default();
        for field in ways {
            let values = Values { captures: &[], source: "", fixed: *fixed, field };
            pattern.add(self.pieces.iter().map(|piece| match piece {
                Piece::Text(text) => pattern::Part::Exactly(text.clone()),
                Piece::Value(Variable::Capture { is_rest: true, .. }) => pattern::Part::Anything,
                Piece::Value(Variable::Capture { .. } | Variable::Source) => pattern::Part::OneLevel,
                Piece::Value(variable) => pattern::Part::Exactly(self.value(*variable, &values)),
            }));
        }
        pattern
    }

    fn value(&self, variable: Variable, values: &Values<'_>) -> String {
        let (text, has_levels) = match variable {
            Variable::Capture { number, is_rest } => {
                (number.checked_sub(1).and_then(|at| values.captures.get(at)).copied().unwrap_or_default(), is_rest)
            }
            Variable::Source => return values.source.to_owned(),
            Variable::Binding => (values.fixed.binding, false),
            Variable::Model => (values.fixed.model, false),
            Variable::Node => (values.fixed.node, false),
            Variable::Prefix => return values.fixed.prefix.to_owned(),
            Variable::Field => (values.field.map(Field::as_str).unwrap_or_default(), false),
        };
        match self.safety {
            Safety::Topic => text
                .chars()
                .map(|letter| match letter {
                    '/' if !has_levels => '_',
                    '+' | '#' => '_',
                    letter if letter.is_control() => '_',
                    letter => letter,
                })
                .collect(),
            Safety::Tag if has_levels => text.split('/').map(tag::name).collect::<Vec<_>>().join("/"),
            Safety::Tag => tag::name(text),
        }
    }

    /// A level that is no name of a tag, whatever the variables stand for.
    fn bad_level(&self) -> Option<String> {
        let shown = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value(_) => "x".into(),
        };
        let text: String = self.pieces.iter().map(shown).collect();
        text.split('/').find(|level| !tag::is_name(level)).map(str::to_owned)
    }
}

fn pieces(text: &str, names: &Names) -> Result<Vec<Piece>, TemplateFault> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut plain = String::new();
    let mut left = text;
    while let Some(at) = left.find(['{', '}']) {
        let (before, from) = left.split_at(at);
        plain.push_str(before);
        if let Some(below) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            plain.push_str(from.get(..1).unwrap_or_default());
            left = below;
            continue;
        }
        let (name, below) = from.strip_prefix('{').and_then(|from| from.split_once('}')).ok_or(TemplateFault::Brace)?;
        let unknown = || TemplateFault::Unknown { name: name.to_owned(), known: names.clone() };
        let variable = names.find(name).ok_or_else(unknown)?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Value(variable));
        left = below;
    }
    plain.push_str(left);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests;
