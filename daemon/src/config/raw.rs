//! Files to values: reads and merges TOML, and holds every value against the table of keys. All faults are collected.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::keys::{self, Absent, KEYS, Key, Kind};

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was read, if from a file.
    pub file: Option<PathBuf>,
    /// Dotted path of the key; empty for a fault of the whole file.
    pub key: String,
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(out, "{}: ", file.display())?;
        }
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.message)
    }
}

/// Values that were set, each checked against its key's kind and range.
#[derive(Clone, Debug, Default)]
pub struct Values {
    set: BTreeMap<&'static str, Value>,
    /// Where each was set last.
    source: BTreeMap<&'static str, PathBuf>,
    /// Files that were read.
    pub files: Vec<PathBuf>,
    pub faults: Vec<Fault>,
}

/// Largest configuration file.
const MOST_BYTES: u64 = 1 << 20;

/// The text of the main file, which may be a pipe (`edged --config <(...)`), and has an end all the same.
fn main_file(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(std::io::Error::other(format!("larger than {MOST_BYTES} bytes"))),
        false => Ok(text),
    }
}

impl Values {
    /// Reads `main`, then the `*.toml` files of the directory `main` + `.d` in name order. A `main` that is absent is a
    /// fault only if it was `asked_for` by name.
    pub fn read(main: &Path, asked_for: bool) -> Values {
        let mut values = Values::default();
        match main_file(main) {
            Ok(text) => values.add(main, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => {}
            Err(error) => values.fault(Some(main), "", format!("read configuration: {error}")),
        }
        for file in values.drop_ins(main) {
            match edge_engine::bundle::read_text(&file, MOST_BYTES) {
                Ok(text) => values.add(&file, &text),
                Err(error) => values.fault(Some(&file), "", format!("read configuration: {error}")),
            }
        }
        values
    }

    fn drop_ins(&mut self, main: &Path) -> Vec<PathBuf> {
        let mut dir = main.as_os_str().to_owned();
        dir.push(".d");
        let dir = PathBuf::from(dir);
        let mut files = match std::fs::read_dir(&dir) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.fault(Some(&dir), "", format!("read directory: {error}"));
                Vec::new()
            }
        };
        files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
        files.sort();
        files
    }

    /// Takes the text of one file; its values win over earlier ones.
    pub fn add(&mut self, file: &Path, text: &str) {
        self.files.push(file.to_owned());
        match text.parse::<Table>() {
            Ok(table) => self.add_table(file, "", table),
            Err(error) => {
                self.fault(Some(file), "", format!("not TOML: {}", edge_engine::bundle::syntax_fault(text, &error)))
            }
        }
    }

    fn add_table(&mut self, file: &Path, prefix: &str, table: Table) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match (keys::find(&path), value) {
                (Some(key), value) => self.add_value(file, key, value),
                (None, Value::Table(inner)) if is_section(&path) => self.add_table(file, &path, inner),
                (None, _) => {
                    let near = nearest(&path).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    self.fault(Some(file), &path, format!("unknown key{near}"));
                }
            }
        }
    }

    fn add_value(&mut self, file: &Path, key: &'static Key, value: Value) {
        if fits(key.kind, &value) {
            self.set.insert(key.path, value);
            self.source.insert(key.path, file.to_owned());
        } else {
            self.fault(Some(file), key.path, format!("{value} is not accepted: takes {}", key.kind.accepts()));
        }
    }

    /// Notes a fault.
    pub fn fault(&mut self, file: Option<&Path>, key: &str, message: String) {
        self.faults.push(Fault { file: file.map(Path::to_owned), key: key.to_owned(), message });
    }

    /// Notes a fault of a value, with the file that set it.
    pub fn fault_at(&mut self, key: &str, message: String) {
        let file = self.source.get(key).cloned();
        self.fault(file.as_deref(), key, message);
    }

    /// What was set of the keys that a reload does not take over, as text.
    pub fn fixed(&self) -> BTreeMap<&'static str, String> {
        let fixed = self.set.iter().filter(|(path, _)| keys::find(path).is_some_and(|key| !key.reload));
        fixed.map(|(path, value)| (*path, value.to_string())).collect()
    }

    /// Whether the key was set.
    pub fn is_set(&self, path: &str) -> bool {
        self.set.contains_key(path)
    }

    /// The value or default of a number key; 0 if it has none.
    pub fn int(&self, path: &str) -> u64 {
        let value = self.set.get(path).and_then(Value::as_integer).or_else(|| match keys::find(path)?.absent {
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
        set.or_else(|| match keys::find(path)?.absent {
            Absent::Number(value) => Some(value),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// The value or default of a yes-or-no key.
    pub fn flag(&self, path: &str) -> bool {
        let absent = matches!(keys::find(path).map(|key| key.absent), Some(Absent::Bool(true)));
        self.set.get(path).and_then(Value::as_bool).unwrap_or(absent)
    }

    /// The value or default of a text, word or path key.
    pub fn text(&self, path: &str) -> Option<String> {
        let set = self.set.get(path).and_then(Value::as_str).map(str::to_owned);
        set.or_else(|| match keys::find(path)?.absent {
            Absent::Text(value) => Some(value.to_owned()),
            _ => None,
        })
    }

    /// The value or default of a list key.
    pub fn texts(&self, path: &str) -> Vec<String> {
        match self.set.get(path).and_then(Value::as_array) {
            Some(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => match keys::find(path).map(|key| key.absent) {
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
}

fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

fn fits(kind: Kind, value: &Value) -> bool {
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
        Kind::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
        Kind::Texts => value.as_array().is_some_and(|list| list.iter().all(is_text)),
        Kind::TextByName => value.as_table().is_some_and(|table| table.values().all(is_text)),
        Kind::TextsByName => {
            let is_list = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(is_text));
            value.as_table().is_some_and(|table| table.values().all(is_list))
        }
        Kind::Words(words) => value
            .as_array()
            .is_some_and(|list| list.iter().all(|word| word.as_str().is_some_and(|word| words.contains(&word)))),
    }
}

/// The known key most like `path`: the same last part, or one that begins alike.
fn nearest(path: &str) -> Option<&'static str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let alike = |key: &&Key| {
        let known = key.path.rsplit('.').next().unwrap_or(key.path);
        let common = known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        known == name || common * 3 >= known.len().max(name.len()) * 2
    };
    KEYS.iter().find(alike).map(|key| key.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_among_the_files_is_named_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("edged.toml");
        std::fs::write(&main, "").unwrap();
        let more = dir.path().join("edged.toml.d");
        std::fs::create_dir(&more).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, more.join("50.toml"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let values = Values::read(&main, true);
        let said: Vec<String> = values.faults.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].contains("50.toml") && said[0].contains("not a regular file"), "{said:?}");
    }
}
