//! Files to values: reads and merges TOML, and holds every value against the table of keys. All faults are collected.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::keys::{self, GROUPS, Group, KEYS, Key};
use super::records::{Record, walk};
use super::set::{Set, fits};

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was read, if from a file.
    pub file: Option<PathBuf>,
    /// Dotted path of the key; empty for a fault of the whole file.
    pub key: String,
    pub message: String,
}

impl Fault {
    /// Everybody reads these, so what stands before the `@` of an address is left out.
    pub fn new(file: Option<PathBuf>, key: String, message: &str) -> Fault {
        Fault { file, key, message: without_users(message) }
    }
}

/// `mqtt://user:password@host` is `mqtt://...@host`. A password may have any sign in it, so the last `@` before the next address counts.
fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("://");
        match part.rsplit_once('@') {
            Some((_, place)) => out.extend(["...@", place]),
            None => out.push_str(part),
        }
    }
    out
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
#[derive(Clone, Debug)]
pub struct Values {
    set: Set,
    /// Where each was set last.
    source: BTreeMap<&'static str, PathBuf>,
    /// The tables of each group, in the order in which they were read.
    records: BTreeMap<&'static str, Vec<Record>>,
    /// Files that were read.
    pub files: Vec<PathBuf>,
    pub faults: Vec<Fault>,
}

impl Default for Values {
    fn default() -> Values {
        Values {
            set: Set::new(KEYS),
            source: BTreeMap::new(),
            records: BTreeMap::new(),
            files: Vec::new(),
            faults: Vec::new(),
        }
    }
}

/// What was set is asked of the values themselves.
impl std::ops::Deref for Values {
    type Target = Set;

    fn deref(&self) -> &Set {
        &self.set
    }
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
            Ok(table) => self.add_table(file, table),
            Err(error) => {
                self.fault(Some(file), "", format!("not TOML: {}", edge_engine::bundle::syntax_fault(text, &error)))
            }
        }
    }

    fn add_table(&mut self, file: &Path, mut table: Table) {
        for group in GROUPS {
            if let Some(value) = table.remove(group.name) {
                self.add_group(file, group, value);
            }
        }
        walk(KEYS, &GROUPS.map(|group| group.name), "", table, &mut |path, found| match found {
            Ok((key, value)) => self.add_value(file, key, value),
            Err(message) => self.fault(Some(file), path, message),
        });
    }

    fn add_group(&mut self, file: &Path, group: &'static Group, value: Value) {
        let name = group.name;
        let Value::Array(list) = value else {
            return self.fault(Some(file), name, format!("takes tables, each under a line [[{name}]]"));
        };
        for value in list {
            let records = self.records.entry(name).or_default();
            match value {
                Value::Table(table) => {
                    records.push(Record::read(group, records.len() + 1, file, table, &mut self.faults))
                }
                _ => self.fault(Some(file), name, format!("takes tables, each under a line [[{name}]]")),
            }
        }
    }

    /// The names that tables of a group have.
    pub fn names_of(&self, group: &Group) -> BTreeSet<String> {
        self.records.get(group.name).into_iter().flatten().filter_map(|record| record.name.clone()).collect()
    }

    /// The tables of a group, which are then no longer here.
    pub fn take_records(&mut self, group: &Group) -> Vec<Record> {
        self.records.remove(group.name).unwrap_or_default()
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
        self.faults.push(Fault::new(file.map(Path::to_owned), key.to_owned(), &message));
    }

    /// Notes a fault of a value, with the file that set it.
    pub fn fault_at(&mut self, key: &str, message: String) {
        let file = self.source.get(key).cloned();
        self.fault(file.as_deref(), key, message);
    }

    /// Takes a value for a key that nobody set.
    pub fn assume(&mut self, key: &'static str, value: Value) {
        if !self.set.is_set(key) {
            self.set.insert(key, value);
        }
    }

    /// What was set of the keys that a reload does not take over, as text.
    pub fn fixed(&self) -> BTreeMap<&'static str, String> {
        let fixed = self.set.iter().filter(|(path, _)| keys::find(path).is_some_and(|key| !key.reload));
        fixed.map(|(path, value)| (path, value.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_no_password() {
        for (message, told) in [
            ("\"mqtt://u:p@h\" is not accepted", "\"mqtt://...@h\" is not accepted"),
            ("\"https://u:p@q@m/\", 'ftp://v:w@n'", "\"https://...@m/\", 'ftp://...@n'"),
            ("'mqtt://box:it's p\"w@h' is no host", "'mqtt://...@h' is no host"),
            ("a@b ://", "a@b ://"),
            ("no address", "no address"),
        ] {
            assert_eq!(Fault::new(None, String::new(), message).message, told);
        }
    }

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
