//! Values that were set for the keys of a table, read by their paths; a key that was not set has its default. Must not know
//! what the keys are for.

use std::collections::BTreeMap;

use edge_core::{Country, Demands};
use toml::Value;

use super::date::Date;
use super::keys::{self, Absent, Key, Kind};

/// What was set of a table of keys; each value was checked by [`fits`].
#[derive(Clone, Debug)]
pub struct Set {
    keys: &'static [Key],
    set: BTreeMap<&'static str, Value>,
}

impl Set {
    /// Nothing is set of these keys.
    pub fn new(keys: &'static [Key]) -> Set {
        Set { keys, set: BTreeMap::new() }
    }

    /// Takes a value that was checked; it wins over an earlier one.
    pub fn insert(&mut self, path: &'static str, value: Value) {
        self.set.insert(path, value);
    }

    /// What was set, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.set.iter().map(|(path, value)| (*path, value))
    }

    /// The value as it was written, if the key was set.
    pub fn value(&self, path: &str) -> Option<&Value> {
        self.set.get(path)
    }

    /// The table of keys.
    pub fn keys(&self) -> &'static [Key] {
        self.keys
    }

    fn key(&self, path: &str) -> Option<&'static Key> {
        keys::find_in(self.keys, path)
    }

    /// Whether the key was set.
    pub fn is_set(&self, path: &str) -> bool {
        self.set.contains_key(path)
    }

    /// The value or default of a number key; 0 if it has none.
    pub fn int(&self, path: &str) -> u64 {
        let value = self.set.get(path).and_then(Value::as_integer).or_else(|| match self.key(path)?.absent {
            Absent::Int(value) => Some(value),
            _ => None,
        });
        value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default()
    }

    /// The value or default of a number key.
    pub fn number(&self, path: &str) -> f64 {
        let set = self.set.get(path).and_then(|value| match value {
            Value::Float(value) => Some(*value),
            #[expect(clippy::cast_precision_loss, reason = "range checked against the key's small bounds")]
            Value::Integer(value) => Some(*value as f64),
            _ => None,
        });
        set.or_else(|| match self.key(path)?.absent {
            Absent::Number(value) => Some(value),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// The value or default of a yes-or-no key.
    pub fn flag(&self, path: &str) -> bool {
        let absent = matches!(self.key(path).map(|key| key.absent), Some(Absent::Bool(true)));
        self.set.get(path).and_then(Value::as_bool).unwrap_or(absent)
    }

    /// The value or default of a text, word or path key.
    pub fn text(&self, path: &str) -> Option<String> {
        let set = self.set.get(path).and_then(Value::as_str).map(str::to_owned);
        set.or_else(|| match self.key(path)?.absent {
            Absent::Text(value) => Some(value.to_owned()),
            _ => None,
        })
    }

    /// The value or default of a list key.
    pub fn texts(&self, path: &str) -> Vec<String> {
        match self.set.get(path).and_then(Value::as_array) {
            Some(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => match self.key(path).map(|key| key.absent) {
                Some(Absent::Texts(list)) => list.iter().map(|&text| text.to_owned()).collect(),
                _ => Vec::new(),
            },
        }
    }

    /// The entries of a table of texts or of lists of texts; a single text is a list of one.
    pub fn by_name(&self, path: &str) -> BTreeMap<String, Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let list = |value: &Value| match value.as_array() {
            Some(list) => list.iter().filter_map(text).collect(),
            None => text(value).into_iter().collect(),
        };
        let table = self.set.get(path).and_then(Value::as_table);
        table.into_iter().flatten().map(|(name, value)| (name.clone(), list(value))).collect()
    }

    /// The value of a key that takes a day.
    pub fn date(&self, path: &str) -> Option<Date> {
        self.set.get(path).and_then(Date::of)
    }
}

fn is_word(words: &[&str], value: &Value) -> bool {
    value.as_str().is_some_and(|text| words.contains(&text))
}

/// Whether a key of this kind takes the value.
pub fn fits(kind: Kind, value: &Value) -> bool {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| (1..=255).contains(&text.chars().count()));
    match kind {
        Kind::Int { min, max } => value.as_integer().is_some_and(|value| (min..=max).contains(&value)),
        Kind::Number { min, max } => match value {
            Value::Float(value) => (min..=max).contains(value),
            #[expect(clippy::cast_precision_loss, reason = "compared with small bounds")]
            Value::Integer(value) => (min..=max).contains(&(*value as f64)),
            _ => false,
        },
        Kind::Bool => value.as_bool().is_some(),
        Kind::Text => is_text(value),
        Kind::Name => value.as_str().is_some_and(keys::is_name),
        Kind::Path => value.as_str().is_some_and(|text| !text.is_empty() && !text.contains('\0')),
        Kind::PathOrNone => value.as_str().is_some_and(|text| !text.contains('\0')),
        Kind::Word(words) => is_word(words, value),
        Kind::Texts => value.as_array().is_some_and(|list| list.iter().all(is_text)),
        Kind::TextByName => value.as_table().is_some_and(|table| table.values().all(is_text)),
        Kind::AnyTextByName => value.as_table().is_some_and(|table| table.values().all(Value::is_str)),
        Kind::TextsByName => {
            let is_list = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(is_text));
            value.as_table().is_some_and(|table| table.values().all(is_list))
        }
        Kind::Words(words) => value.as_array().is_some_and(|list| list.iter().all(|value| is_word(words, value))),
        Kind::WordByName(words) => {
            value.as_table().is_some_and(|table| table.values().all(|value| is_word(words, value)))
        }
        Kind::IntOrWord { min, max, words } => fits(Kind::Int { min, max }, value) || is_word(words, value),
        Kind::BoolOrWord(word) => value.as_bool().is_some() || value.as_str() == Some(word),
        Kind::BoolOrTexts => value.as_bool().is_some() || fits(Kind::Texts, value),
        Kind::Date => Date::of(value).is_some(),
        Kind::Country => value.as_str().is_some_and(|word| Country::new(word).is_some()),
        Kind::Countries => value.as_array().is_some_and(|list| {
            (1..=Demands::COUNTRIES).contains(&list.len()) && list.iter().all(|value| fits(Kind::Country, value))
        }),
    }
}
