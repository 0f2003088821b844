//! Every key of the configuration, once: its place, kind, range, default and meaning. Validation and the printed
//! reference both read this table, so that neither can say what the other does not do.
//! The rows are by sections, in files of their own; where a value goes is not known here.

mod models;
mod mqtt;
mod routing;
mod service;
mod sparkplug;

use edge_core::Demands;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number within these bounds, in the unit of the key's suffix.
    Int {
        min: i64,
        max: i64,
    },
    /// A number within these bounds.
    Number {
        min: f64,
        max: f64,
    },
    Bool,
    /// Text of 1 to 255 characters.
    Text,
    /// A name that fits into one level of a topic.
    Name,
    /// Path of a file or directory.
    Path,
    /// The same, or an empty text for none.
    PathOrNone,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of text.
    Texts,
    /// A list of some of these words.
    Words(&'static [&'static str]),
    /// A table: to each name a text.
    TextByName,
    /// As [`Kind::TextByName`], of any length: whoever reads it says what is wrong with each.
    AnyTextByName,
    /// A table: to each name a list of texts.
    TextsByName,
    /// A table: to each name one of these words.
    WordByName(&'static [&'static str]),
    /// A whole number within these bounds, or one of these words.
    IntOrWord {
        min: i64,
        max: i64,
        words: &'static [&'static str],
    },
    /// true, false, or this word.
    BoolOrWord(&'static str),
    /// true, false, or a list of text.
    BoolOrTexts,
    /// A day.
    Date,
    /// The two letters of a country.
    Country,
    /// A list of them, at most as many as a policy may demand.
    Countries,
}

/// What holds when the key is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Absent {
    Int(i64),
    Number(f64),
    Bool(bool),
    Text(&'static str),
    Texts(&'static [&'static str]),
    /// Nothing; the text says what happens then.
    Unset(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path, for example `policy.lanes`.
    pub path: &'static str,
    pub kind: Kind,
    pub absent: Absent,
    pub meaning: &'static str,
    /// Taken over by a reload (SIGHUP, `edgectl reload`); the others need a restart.
    pub reload: bool,
}

pub(super) const fn key(path: &'static str, kind: Kind, absent: Absent, meaning: &'static str) -> Key {
    Key { path, kind, absent, meaning, reload: false }
}

pub(super) const fn live(path: &'static str, kind: Kind, absent: Absent, meaning: &'static str) -> Key {
    Key { path, kind, absent, meaning, reload: true }
}

/// Tables that may stand many times, each with a name: `[[site]]`, `[[rule]]`, `[[binding]]`.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub name: &'static str,
    /// Paths are those within one of the tables.
    pub keys: &'static [Key],
    /// How many there may be, all files together.
    pub most: usize,
    pub meaning: &'static str,
    /// One of each, for people.
    pub example: &'static str,
}

impl Group {
    /// Whether a reload takes them over, all of each.
    pub fn is_live(&self) -> bool {
        self.keys.iter().all(|key| key.reload)
    }
}

/// All of them.
pub const GROUPS: [&Group; 3] = [&super::sites::GROUP, &super::rules::GROUP, &super::bindings::GROUP];

/// Longest [`Kind::Name`].
pub const NAME_LIMIT: usize = 64;

pub(super) const CLASSES: &[&str] = &["regulated", "internal", "public"];
/// Zones, from near to far.
pub(super) const ZONES: &[&str] = &["device", "premises", "region", "cloud"];
/// What is sought among places that are all in time.
pub(super) const OBJECTIVES: &[&str] = &["cheapest_within_slo", "fastest_within_budget"];
pub(super) const SECOND: i64 = 1000;
pub(super) const HOUR: i64 = 3600 * SECOND;

/// The sections, in the order of the reference.
const SECTIONS: [&[Key]; 6] = [service::FIRST, models::KEYS, routing::KEYS, service::KEYS, mqtt::KEYS, sparkplug::KEYS];

/// The table, in the order of the reference.
pub const KEYS: &[Key] = &joined::<{ count() }>();

const fn count() -> usize {
    let (mut count, mut sections): (usize, &[&[Key]]) = (0, &SECTIONS);
    while let [section, rest @ ..] = sections {
        (count, sections) = (count + section.len(), rest);
    }
    count
}

const fn joined<const N: usize>() -> [Key; N] {
    let mut all = [key("", Kind::Bool, Absent::Bool(false), ""); N];
    let (mut places, mut sections): (&mut [Key], &[&[Key]]) = (&mut all, &SECTIONS);
    while let [section, rest @ ..] = sections {
        let (own, others) = places.split_at_mut(section.len());
        own.copy_from_slice(section);
        (places, sections) = (others, rest);
    }
    all
}

/// The key at `path`.
pub fn find(path: &str) -> Option<&'static Key> {
    find_in(KEYS, path)
}

/// The key at `path` of a table of keys.
pub fn find_in(keys: &'static [Key], path: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.path == path)
}

/// Whether keys lie below `path`.
pub fn is_section(keys: &[Key], path: &str) -> bool {
    keys.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known path most like `path`: the same last part, or one that begins alike.
pub fn nearest<'a>(known: impl IntoIterator<Item = &'a str>, path: &str) -> Option<&'a str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    known.into_iter().find(|known| {
        let known = known.rsplit('.').next().unwrap_or(known);
        let common = known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        known == name || common * 3 >= known.len().max(name.len()) * 2
    })
}

impl Kind {
    /// The accepted values in words.
    pub fn accepts(self) -> String {
        match self {
            Kind::Int { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Number { min, max } => format!("a number from {min} to {max}"),
            Kind::Bool => "true or false".into(),
            Kind::Text => "text of 1 to 255 characters".into(),
            Kind::Name => format!("1 to {NAME_LIMIT} letters, digits, `_`, `-` and `.`"),
            Kind::Path => "a path".into(),
            Kind::PathOrNone => "a path, or \"\" for none".into(),
            Kind::Word(words) => one_of(words),
            Kind::Texts => "a list of texts".into(),
            Kind::Words(words) => format!("a list of {}", one_of(words)),
            Kind::TextByName | Kind::AnyTextByName => "a table: to each name a text".into(),
            Kind::TextsByName => "a table: to each name a list of texts".into(),
            Kind::WordByName(words) => format!("a table: to each name {}", one_of(words)),
            Kind::IntOrWord { min, max, words } => {
                format!("a whole number from {min} to {max}, or {}", one_of(words))
            }
            Kind::BoolOrWord(word) => format!("true, false or \"{word}\""),
            Kind::BoolOrTexts => "true, false or a list of texts".into(),
            Kind::Date => "a day, YYYY-MM-DD".into(),
            Kind::Country => "two capital letters of ISO 3166-1, or \"EU\"".into(),
            Kind::Countries => {
                format!("a list of 1 to {} times two capital letters of ISO 3166-1, or \"EU\"", Demands::COUNTRIES)
            }
        }
    }
}

fn one_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// Whether `text` is a [`Kind::Name`].
pub fn is_name(text: &str) -> bool {
    (1..=NAME_LIMIT).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

impl Absent {
    fn words(self) -> String {
        match self {
            Absent::Int(value) => format!("`{value}`"),
            Absent::Number(value) => format!("`{value}`"),
            Absent::Bool(value) => format!("`{value}`"),
            Absent::Text(value) => format!("`\"{value}\"`"),
            Absent::Texts(values) => format!("`{values:?}`"),
            Absent::Unset(then) => format!("unset: {then}"),
        }
    }
}

/// The reference of all keys, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n`/etc/edged/edged.toml` is read first, then `/etc/edged/edged.toml.d/*.toml` in name order; a later \
         value of the same key wins.\nAn absent file is an empty one. `edged --check-config` and `edgectl config check` name \
         every fault at once, each with its key and\nthe accepted values. Keys marked *live* are taken over by `edgectl \
         reload` or SIGHUP; the others need a restart.\n\nThis page is printed by `edged --config-reference`.\n",
    );
    let mut section = None;
    for key in KEYS {
        let (table, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if section != Some(table) {
            let title = if table.is_empty() { "Top level".into() } else { format!("[{table}]") };
            out.push_str(&format!("\n## {title}\n\n{HEAD}"));
            section = Some(table);
        }
        row(&mut out, key, name);
    }
    for group in GROUPS {
        out.push_str(&format!(
            "\n## [[{}]]\n\n{}\n\n```toml\n{}```\n\n{HEAD}",
            group.name, group.meaning, group.example
        ));
        group.keys.iter().for_each(|key| row(&mut out, key, key.path));
    }
    out
}

const HEAD: &str = "| key | takes | default | meaning |\n|---|---|---|---|\n";

fn row(out: &mut String, key: &Key, name: &str) {
    let live = if key.reload { " *live*" } else { "" };
    let (takes, absent) = (key.kind.accepts(), key.absent.words());
    out.push_str(&format!("| `{name}`{live} | {takes} | {absent} | {} |\n", key.meaning));
}
