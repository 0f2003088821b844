//! Measured plans on disk: one file for each version of a model, with the key that it holds for. A file is whole or not
//! there; one that is damaged or of another key is not used, and why is said. Knows nothing of measuring.

use std::path::{Path, PathBuf};

use edge_wire::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::whole;

/// Grows when what is written means something else.
const FORMAT: u32 = 1;
/// More than any plan takes.
const MOST_BYTES: u64 = 1 << 20;

/// What a plan holds for, as names and values: every part must be the same.
pub type Key = Vec<(String, String)>;

/// Why a plan could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("{what} {}", path.display())]
    Disk { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("read the plan {}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("the plan {} has the format {found}, this version reads {FORMAT}", path.display())]
    Format { path: PathBuf, found: u32 },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    plan: Plan,
}

/// Where plans are.
pub fn dir(cache_dir: &Path) -> PathBuf {
    cache_dir.join("plans")
}

fn place(cache_dir: &Path, model: &str, version: &str) -> PathBuf {
    dir(cache_dir).join(format!("{model}-{version}.json"))
}

/// Reads the plan of a model; `None` if there is none.
pub fn read(cache_dir: &Path, model: &str, version: &str) -> Result<Option<Plan>, PlanError> {
    read_file(&place(cache_dir, model, version))
}

/// The same of the plan in this file.
pub fn read_file(path: &Path) -> Result<Option<Plan>, PlanError> {
    match edge_engine::bundle::read_text(path, MOST_BYTES) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PlanError::Disk { what: "read", path: path.to_owned(), source }),
    }
}

/// The plan that the text of the file `path` is.
pub fn parse(path: &Path, text: &str) -> Result<Plan, PlanError> {
    let json = |source| PlanError::Json { path: path.to_owned(), source };
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let Head { format } = serde_json::from_str(text).map_err(json)?;
    if format != FORMAT {
        return Err(PlanError::Format { path: path.to_owned(), found: format });
    }
    let Stored { plan, .. } = serde_json::from_str(text).map_err(json)?;
    Ok(plan)
}

/// Writes a plan in place of an earlier one: whole, or not at all.
pub fn write(cache_dir: &Path, plan: &Plan) -> Result<(), PlanError> {
    let path = place(cache_dir, &plan.model, &plan.version);
    let dir = path.parent().unwrap_or(cache_dir);
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| PlanError::Disk { what, path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed("make the directory", dir))?;
    let stored = Stored { format: FORMAT, plan: plan.clone() };
    let text = serde_json::to_vec_pretty(&stored).map_err(|source| PlanError::Json { path: path.clone(), source })?;
    whole::write(dir, &path, &text).map_err(failed("write", &path))
}

/// In what a plan of the key `made` differs from `now`; `None` if it holds.
pub fn differs(made: &Key, now: &Key) -> Option<String> {
    let value = |key: &Key, name: &str| key.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    let names = now.iter().chain(made).map(|(name, _)| name);
    for name in names {
        let (before, after) = (value(made, name), value(now, name));
        if before != after {
            let word = |value: Option<String>| value.unwrap_or_else(|| "none".into());
            return Some(format!("{name} was {}, and is {}", word(before), word(after)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let key = vec![("device".to_owned(), "a box".to_owned())];
        Plan { model: "m".into(), version: "1.0.0".into(), key, took_ms: 7, ..Plan::default() }
    }

    #[test]
    fn a_plan_is_read_as_it_was_written_and_a_new_one_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), "m", "1.0.0").unwrap(), None);
        write(dir.path(), &plan()).unwrap();
        assert_eq!(read(dir.path(), "m", "1.0.0").unwrap(), Some(plan()));
        write(dir.path(), &Plan { took_ms: 8, ..plan() }).unwrap();
        assert_eq!(read(dir.path(), "m", "1.0.0").unwrap().unwrap().took_ms, 8);
        assert_eq!(std::fs::read_dir(dir.path().join("plans")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_damaged_or_of_another_format_is_told() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &plan()).unwrap();
        let path = place(dir.path(), "m", "1.0.0");
        let whole = std::fs::read_to_string(&path).unwrap();
        for (text, part) in [
            (whole[..whole.len() / 2].to_owned(), "read the plan"),
            (String::new(), "read the plan"),
            (whole.replace("\"format\": 1", "\"format\": 2"), "has the format 2"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(dir.path(), "m", "1.0.0").unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plans"), "a file").unwrap();
        assert!(write(dir.path(), &plan()).is_err());
    }

    #[test]
    fn a_key_differs_by_its_first_part_that_does() {
        let key = |parts: &[(&str, &str)]| -> Key {
            parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let made = key(&[("runtime", "1.31.0"), ("device", "a")]);
        for (now, expected) in [
            (key(&[("runtime", "1.31.0"), ("device", "a")]), None),
            (key(&[("runtime", "1.32.0"), ("device", "a")]), Some("runtime was 1.31.0, and is 1.32.0")),
            (key(&[("runtime", "1.31.0")]), Some("device was a, and is none")),
            (key(&[("driver", "5"), ("runtime", "1.31.0"), ("device", "a")]), Some("driver was none, and is 5")),
        ] {
            assert_eq!(differs(&made, &now).as_deref(), expected);
        }
    }
}
