//! What a learnt model's guarantee was found worth while it was in use, on disk: how many answers were compared, what they lost,
//! and whether the guarantee was withdrawn. One file for each model, by the digest of the model's file, so that a record that cannot
//! be read is still known to be this model's. It is whole or not there. Knows nothing of comparing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use edge_core::quality::{Found, Withdrawn};
use serde::{Deserialize, Serialize};

use crate::whole;

/// Grows when what is written means something else.
const FORMAT: u32 = 1;
/// More than all the shares that can be told apart take.
const MOST_BYTES: u64 = 1 << 18;
/// Shares are told apart in thousandths.
const MOST_PERMILLE: u64 = 1000;
/// More requests than a box serves.
const MOST_SAMPLED: u64 = 1 << 50;

/// Why a record cannot be used, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{what} {}", path.display())]
    Disk { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("read the record {}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("the record {} has the format {found}, this version reads {FORMAT}", path.display())]
    Format { path: PathBuf, found: u32 },
    #[error("the record {}: {field} is {found}; takes {range}", path.display())]
    Field { path: PathBuf, field: String, found: String, range: String },
}

/// What was found by comparing one share of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The share that is compared, in thousandths.
    pub permille: u64,
    pub found: Found,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    /// SHA-256 of the model's file.
    model: String,
    shares: Vec<StoredShare>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredShare {
    permille: u64,
    sampled: u64,
    lost_milli: u64,
    withdrawn: Option<StoredWithdrawn>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredWithdrawn {
    sampled: u64,
    lost_milli: u64,
}

/// Where records are.
pub fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join("quality")
}

/// The record of the model whose file has this digest.
pub fn place(dir: &Path, model: &str) -> PathBuf {
    dir.join(format!("{model}.json"))
}

/// What was found of a model; empty if nothing was. Records of other models are removed: each is checked from the beginning when it
/// is put there again.
///
/// # Errors
/// A record that is there and cannot be read, or says what none can say.
pub fn open(dir: &Path, model: &str) -> Result<Vec<Share>, RecordError> {
    remove_others(dir, model);
    let path = place(dir, model);
    match edge_engine::bundle::read_text(&path, MOST_BYTES) {
        Ok(text) => parse(&path, model, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RecordError::Disk { what: "read", path, source }),
    }
}

/// One that cannot be removed only takes room: it is never read for another model.
fn remove_others(dir: &Path, model: &str) {
    let own = place(dir, model);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_record =
            entry.file_name().to_str().is_some_and(|name| name.ends_with(".json") || name.ends_with(".json.new"));
        if path != own
            && is_record
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a record of another learnt model stays");
        }
    }
}

fn parse(path: &Path, model: &str, text: &str) -> Result<Vec<Share>, RecordError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let json = |source| RecordError::Json { path: path.to_owned(), source };
    let Head { format } = serde_json::from_str(text).map_err(json)?;
    if format != FORMAT {
        return Err(RecordError::Format { path: path.to_owned(), found: format });
    }
    let stored: Stored = serde_json::from_str(text).map_err(json)?;
    if stored.model != model {
        return Err(field(path, "model".into(), stored.model, model.to_owned()));
    }
    let mut shares: Vec<Share> = Vec::with_capacity(stored.shares.len());
    for (at, share) in stored.shares.into_iter().enumerate() {
        let within = |name: &str, value: u64, most: u64| match value <= most {
            true => Ok(()),
            false => Err(field(path, format!("shares[{at}].{name}"), value, format!("0 to {most}"))),
        };
        within("permille", share.permille, MOST_PERMILLE)?;
        if shares.iter().any(|other| other.permille == share.permille) {
            return Err(field(path, format!("shares[{at}].permille"), share.permille, "each share once".into()));
        }
        within("sampled", share.sampled, MOST_SAMPLED)?;
        within("lost_milli", share.lost_milli, share.sampled * 1000)?;
        if let Some(withdrawn) = &share.withdrawn {
            within("withdrawn.sampled", withdrawn.sampled, share.sampled)?;
            within("withdrawn.lost_milli", withdrawn.lost_milli, share.lost_milli)?;
        }
        let withdrawn =
            share.withdrawn.map(|withdrawn| Withdrawn { sampled: withdrawn.sampled, lost_milli: withdrawn.lost_milli });
        let found = Found { sampled: share.sampled, lost_milli: share.lost_milli, withdrawn };
        shares.push(Share { permille: share.permille, found });
    }
    Ok(shares)
}

fn field(path: &Path, field: String, found: impl ToString, range: String) -> RecordError {
    RecordError::Field { path: path.to_owned(), field, found: found.to_string(), range }
}

/// Writes the record of a model in place of an earlier one: whole, or not at all.
///
/// # Errors
/// What the disk says; the earlier record is as it was then.
pub fn write(dir: &Path, model: &str, shares: &[Share]) -> Result<(), RecordError> {
    let path = place(dir, model);
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| RecordError::Disk { what, path, source }
    };
    let stored_share = |share: &Share| StoredShare {
        permille: share.permille,
        sampled: share.found.sampled,
        lost_milli: share.found.lost_milli,
        withdrawn: share
            .found
            .withdrawn
            .map(|why| StoredWithdrawn { sampled: why.sampled, lost_milli: why.lost_milli }),
    };
    let shares = shares.iter().map(stored_share).collect();
    let stored = Stored { format: FORMAT, model: model.to_owned(), shares };
    let text = serde_json::to_vec_pretty(&stored).map_err(|source| RecordError::Json { path: path.clone(), source })?;
    make(dir).map_err(failed("make the directory", dir))?;
    whole::write(dir, &path, &text).map_err(failed("write", &path))
}

/// The directory, so that it is still there after a loss of power.
fn make(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    dir.parent().map_or(Ok(()), |above| std::fs::File::open(above)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "aa11";

    fn shares() -> Vec<Share> {
        let withdrawn = Some(Withdrawn { sampled: 40, lost_milli: 9_500 });
        vec![
            Share { permille: 10, found: Found { sampled: 41, lost_milli: 9_500, withdrawn } },
            Share { permille: 200, found: Found { sampled: 7, lost_milli: 0, withdrawn: None } },
        ]
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_new_one_takes_its_place() {
        let state = tempfile::tempdir().unwrap();
        let dir = dir(state.path());
        assert_eq!(open(&dir, MODEL).unwrap(), []);
        write(&dir, MODEL, &shares()[1..]).unwrap();
        write(&dir, MODEL, &shares()).unwrap();
        assert_eq!(open(&dir, MODEL).unwrap(), shares());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn another_model_begins_anew_and_the_old_record_goes_even_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), MODEL, &shares()).unwrap();
        std::fs::write(place(dir.path(), "bb22"), "{").unwrap();
        std::fs::write(dir.path().join("cc33.json.new"), "half").unwrap();
        std::fs::write(dir.path().join("README"), "not ours").unwrap();
        assert_eq!(open(dir.path(), "dd44").unwrap(), []);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["README"]);
        assert_eq!(open(dir.path(), MODEL).unwrap(), []);
    }

    #[test]
    fn what_is_damaged_or_cannot_be_is_told_by_name() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), MODEL, &shares()).unwrap();
        let path = place(dir.path(), MODEL);
        let whole = std::fs::read_to_string(&path).unwrap();
        for (text, part) in [
            (whole[..whole.len() / 2].to_owned(), "read the record"),
            (String::new(), "read the record"),
            (whole.replace("\"withdrawn\": {", "\"witherawn\": {"), "read the record"),
            (whole.replace("\"format\": 1", "\"format\": 2"), "has the format 2, this version reads 1"),
            (whole.replace(MODEL, "bb22"), "model is bb22; takes aa11"),
            (whole.replace("\"permille\": 10,", "\"permille\": 1001,"), "shares[0].permille is 1001; takes 0 to 1000"),
            (
                whole.replace("\"permille\": 200,", "\"permille\": 10,"),
                "shares[1].permille is 10; takes each share once",
            ),
            (whole.replace("\"sampled\": 7,", "\"sampled\": 1125899906842625,"), "shares[1].sampled"),
            (whole.replace("\"lost_milli\": 0,", "\"lost_milli\": 7001,"), "lost_milli is 7001; takes 0 to 7000"),
            (whole.replace("\"sampled\": 40,", "\"sampled\": 42,"), "withdrawn.sampled is 42; takes 0 to 41"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let error = open(dir.path(), MODEL).unwrap_err().to_string();
            assert!(error.contains(part), "{error}\n{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it stays as it is");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(open(dir.path(), MODEL).unwrap(), [], "removed: as if nothing had been found");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("quality"), "a file").unwrap();
        let dir = dir(state.path());
        assert!(write(&dir, MODEL, &shares()).is_err() && open(&dir, MODEL).is_err());
    }
}
