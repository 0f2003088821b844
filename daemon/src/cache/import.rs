//! Reads what another box exported into a directory of its own, and says what of it is for this box. Nothing is part of the
//! cache yet when this returns; the keeper puts it there. Takes as long as reading and writing it all: not for the loop's
//! thread.
//!
//! An engine is code that a provider will run, and a plan decides what is right enough: both are taken under the signature of
//! a trusted key only, as bundles are, unless the operator allows what is unsigned.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use edge_engine::bundle::read_text;
use edge_wire::plan::Plan;

use super::head::{Head, Here, is_of};
use super::key::Key;
use super::seal::Sealed;
use crate::config::ModelsConfig;
use crate::plans;
use crate::store::archive::{self, Announced, ArchiveError};
use crate::store::install::{Counted, Watched};
use crate::store::trust::{Signer, Trust, TrustError};

/// Largest plan.
const MOST_PLAN: u64 = 1 << 20;
/// What a disk keeps free beside what is imported.
const RESERVE_BYTES: u64 = 16 << 20;

/// Where what is read goes, and by what it is judged.
#[derive(Clone, Debug)]
pub struct Asked {
    /// An empty directory on the disk of the cache.
    pub dir: PathBuf,
    pub here: Here,
    pub models: ModelsConfig,
    /// Most that the cache may take, bytes.
    pub most: u64,
    pub now: SystemTime,
}

/// Why nothing is imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("from: takes a regular file that `edgectl models cache export` made")]
    NoFile,
    #[error("look at the export")]
    Look(#[source] std::io::Error),
    #[error(
        "the export is not signed: `edgectl models sign FILE --key KEY` signs it, `models.allow_unsigned = true` takes it as it is"
    )]
    Unsigned,
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("it has {needed} MiB, the cache may take {most} MiB (`cache.max_mib`)")]
    TooLarge { needed: u64, most: u64 },
    #[error("it has {needed} MiB, and the disk of {} has {free} MiB left", dir.display())]
    NoRoom { needed: u64, free: u64, dir: PathBuf },
    #[error("ask for the free space of {}", dir.display())]
    Room { dir: PathBuf, source: std::io::Error },
    #[error("nothing of it is for this box: {}", .0.join("; "))]
    Foreign(Vec<String>),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("cancelled")]
    Cancelled,
}

/// What was read, is whole, and is for this box.
#[derive(Debug, Default)]
pub struct Staged {
    /// The directory that goes when all is in its place.
    pub dir: PathBuf,
    pub engines: Vec<StagedEngine>,
    pub plans: Vec<Plan>,
    /// What is not for this box, and why.
    pub refused: Vec<String>,
    /// Number of the key that signed it; empty if nobody did.
    pub signer: Signer,
    /// Name of the box that it is of.
    pub node: String,
}

/// An engine beside the cache.
#[derive(Debug)]
pub struct StagedEngine {
    /// What it is, in words.
    pub name: String,
    pub model: String,
    pub key: Key,
    pub dir: PathBuf,
    pub files: Vec<Sealed>,
}

/// Reads an export.
pub fn import(from: OwnedFd, asked: &Asked, watched: &Watched) -> Result<Staged, ImportError> {
    let file = File::from(from);
    let found = file.metadata().map_err(ImportError::Look)?;
    if !found.is_file() {
        return Err(ImportError::NoFile);
    }
    let mut signer = Signer::new();
    let counted = Counted::new(file, found.len(), watched.clone());
    let judge = |announced: &Announced<'_, Head>| {
        signer = judge(announced, asked)?;
        Ok::<(), ImportError>(())
    };
    match archive::unpack_as(BufReader::with_capacity(256 << 10, counted), &asked.dir, judge) {
        Ok(head) => sort_out(head, asked, signer),
        Err(_) if watched.is_cancelled() => Err(ImportError::Cancelled),
        Err(error) => Err(error.into()),
    }
}

/// Whether an export may be read: somebody trusted signed it, there is room, and something of it is for this box.
fn judge(announced: &Announced<'_, Head>, asked: &Asked) -> Result<Signer, ImportError> {
    if announced.signature.is_none() && !asked.models.allow_unsigned {
        return Err(ImportError::Unsigned);
    }
    let signer = Trust::read(&asked.models)?.judge(announced.text, announced.signature, asked.now)?;
    let refused = refused(announced.manifest, &asked.here);
    if refused.iter().all(Option::is_some) {
        return Err(ImportError::Foreign(refused.into_iter().flatten().collect()));
    }
    let needed = announced.bytes();
    if needed > asked.most {
        return Err(ImportError::TooLarge { needed: needed.div_ceil(1 << 20), most: asked.most >> 20 });
    }
    let failed = |errno: rustix::io::Errno| ImportError::Room { dir: asked.dir.clone(), source: errno.into() };
    let disk = rustix::fs::statvfs(&asked.dir).map_err(failed)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(RESERVE_BYTES);
    if needed > free {
        let (needed, free) = (needed.div_ceil(1 << 20), free >> 20);
        return Err(ImportError::NoRoom { needed, free, dir: asked.dir.clone() });
    }
    Ok(signer)
}

/// Of each plan and then of each engine, why it is not for this box, if it is not.
fn refused(head: &Head, here: &Here) -> Vec<Option<String>> {
    let node = &head.node;
    let said = |name: String, why: Option<String>| Some(format!("{name}, of {node}: {}", why?));
    let plans = head.plans.iter().map(|plan| said(plan.name(), here.refuses_plan(plan)));
    let engines =
        head.engines.iter().map(|engine| said(engine.name(), here.refuses_engine(&engine.key, &head.machine)));
    plans.chain(engines).collect()
}

/// Tells what is for this box from what is not.
fn sort_out(head: Head, asked: &Asked, signer: Signer) -> Result<Staged, ImportError> {
    let refused = refused(&head, &asked.here);
    let mut staged = Staged { dir: asked.dir.clone(), signer, node: head.node.clone(), ..Staged::default() };
    let (of_plans, of_engines) = refused.split_at(head.plans.len().min(refused.len()));
    for (entry, why) in head.plans.iter().zip(of_plans) {
        match (why, read_plan(&asked.dir.join(&entry.path))) {
            (Some(why), _) => staged.refused.push(why.clone()),
            (None, Ok(plan)) if is_of(entry, &plan) => staged.plans.push(plan),
            (None, Ok(_)) => staged.refused.push(format!("{}: its file is another plan", entry.name())),
            (None, Err(why)) => staged.refused.push(format!("{}: {why}", entry.name())),
        }
    }
    for (entry, why) in head.engines.iter().zip(of_engines) {
        if let Some(why) = why {
            staged.refused.push(why.clone());
            continue;
        }
        let sealed = |(name, file): (&str, &edge_engine::bundle::FileEntry)| Sealed {
            name: name.to_owned(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
        };
        let files: Vec<Sealed> = head.files_of(entry).map(sealed).collect();
        if files.is_empty() {
            staged.refused.push(format!("{}: it has no files", entry.name()));
            continue;
        }
        staged.engines.push(StagedEngine {
            name: entry.name(),
            model: entry.model.clone(),
            key: entry.key.clone(),
            dir: asked.dir.join(&entry.dir),
            files,
        });
    }
    match staged.plans.is_empty() && staged.engines.is_empty() {
        true => Err(ImportError::Foreign(staged.refused)),
        false => Ok(staged),
    }
}

fn read_plan(path: &Path) -> Result<Plan, String> {
    let text = read_text(path, MOST_PLAN).map_err(|error| format!("read it: {error}"))?;
    plans::parse(path, &text).map_err(|error| crate::driver::chain(&error))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::cache::export;
    use crate::cache::head::{EngineEntry, FORMAT, Facts, Head};
    use crate::cache::seal;
    use crate::cache::shelf::Shelf;
    use crate::store::archive::{Packing, Promise as _};

    /// What the two boxes of these tests are.
    fn machine() -> Facts {
        [("processor", "i5"), ("driver", "none")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn key() -> Key {
        Key { format: 1, provider: "openvino".into(), runtime: "1.24.0".into(), ..Key::default() }
    }

    fn here() -> Here {
        let plan: plans::Key = vec![("device".into(), "a box".into())];
        Here { machine: machine(), runtime: "1.24.0".into(), plan, ..Here::default() }
    }

    /// A box with one engine and one plan.
    fn box_with_both() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let entry = root.path().join("engines").join(key().entry("m"));
        std::fs::create_dir_all(&entry).unwrap();
        std::fs::write(entry.join("x.blob"), vec![7; 300_000]).unwrap();
        seal::write(&entry, &key()).unwrap();
        let key = vec![("model".into(), "d".into()), ("device".into(), "a box".into())];
        plans::write(root.path(), &Plan { model: "m".into(), version: "1.0.0".into(), key, ..Plan::default() })
            .unwrap();
        root
    }

    fn exported(root: &Path, models: &[&str]) -> Result<File, String> {
        let file = tempfile::tempfile().unwrap();
        let asked = export::Asked {
            models: models.iter().map(|name| (*name).to_owned()).collect(),
            cache_dir: root.to_owned(),
            node: "press-7".into(),
            machine: machine(),
            made_at: "2026-11-28T00:00:00Z".into(),
        };
        let done = export::export(file.try_clone().unwrap().into(), &asked, &Watched::default());
        done.map(|_| file).map_err(|error| crate::driver::chain(&error))
    }

    fn asked(dir: &Path) -> Asked {
        let models = ModelsConfig { allow_unsigned: true, ..ModelsConfig::for_tests() };
        Asked { dir: dir.to_owned(), here: here(), models, most: 1 << 20, now: SystemTime::UNIX_EPOCH }
    }

    fn imported(file: File, change: impl FnOnce(&mut Asked)) -> (tempfile::TempDir, Result<Staged, String>) {
        let dir = tempfile::tempdir().unwrap();
        let mut asked = asked(dir.path());
        change(&mut asked);
        let staged = import(file.into(), &asked, &Watched::default()).map_err(|error| crate::driver::chain(&error));
        (dir, staged)
    }

    #[test]
    fn what_one_box_exports_another_one_of_its_kind_has_in_its_cache_afterwards() {
        let from = box_with_both();
        let (dir, staged) = imported(exported(from.path(), &[]).unwrap(), |_| {});
        let staged = staged.unwrap();
        assert_eq!((staged.plans.len(), staged.engines.len(), staged.node.as_str()), (1, 1, "press-7"));
        assert!(staged.refused.is_empty());
        let to = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(to.path().into(), 1 << 20);
        shelf.room().unwrap();
        let taken = shelf.take_in(staged);
        assert_eq!(taken.taken, ["engine of m for openvino ()", "plan of m:1.0.0"], "{:?}", taken.failed);
        assert!(!dir.path().exists(), "what was unpacked is gone");
        let entry = to.path().join("engines").join(key().entry("m"));
        assert!(seal::check(&entry, &key()).is_ok());
        assert_eq!(plans::read(to.path(), "m", "1.0.0").unwrap().unwrap().model, "m");
        assert_eq!(shelf.list().unwrap().len(), 1);
    }

    #[test]
    fn only_what_was_asked_for_is_exported_and_nothing_is_an_error() {
        let from = box_with_both();
        assert!(exported(from.path(), &["m:1.0.0"]).is_ok());
        assert!(exported(from.path(), &["n"]).unwrap_err().starts_with("nothing is kept of n"));
        // An engine says nothing of versions: it goes with any of its model.
        let (_dir, staged) = imported(exported(from.path(), &["m:2.0.0"]).unwrap(), |_| {});
        let staged = staged.unwrap();
        assert_eq!((staged.plans.len(), staged.engines.len()), (0, 1));
        std::fs::write(from.path().join("engines").join(key().entry("m")).join("x.blob"), vec![8; 300_000]).unwrap();
        let said = exported(from.path(), &[]).unwrap_err();
        assert!(said.contains("is not the one that was sealed"), "{said}");
    }

    #[test]
    fn what_is_not_for_this_box_is_refused_by_name_and_the_rest_is_taken() {
        let from = box_with_both();
        let (_dir, staged) =
            imported(exported(from.path(), &[]).unwrap(), |asked| asked.here.runtime = "1.25.0".into());
        let staged = staged.unwrap();
        assert_eq!((staged.plans.len(), staged.engines.len()), (1, 0));
        let why = "engine of m for openvino (), of press-7: ONNX Runtime was \"1.24.0\", this box has \"1.25.0\"";
        assert_eq!(staged.refused, [why]);
        let foreign = |asked: &mut Asked| {
            asked.here.machine[0].1 = "i7".into();
            asked.here.plan[0].1 = "another box".into();
        };
        let (dir, staged) = imported(exported(from.path(), &[]).unwrap(), foreign);
        let said = staged.unwrap_err();
        assert!(said.contains("nothing of it is for this box: plan of m:1.0.0"), "{said}");
        assert!(said.contains("device was a box, and is another box"), "{said}");
        assert!(said.contains("processor was \"i5\", this box has \"i7\""), "{said}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was written");
    }

    #[test]
    fn an_export_that_nobody_signed_or_that_is_too_large_is_refused_before_anything_is_written() {
        let from = box_with_both();
        type Change = fn(&mut Asked);
        let cases: [(Change, &str); 2] = [
            (|asked| asked.models.allow_unsigned = false, "the export is not signed: `edgectl models sign"),
            (|asked| asked.most = 1000, "it has 1 MiB, the cache may take 0 MiB (`cache.max_mib`)"),
        ];
        for (change, expected) in cases {
            let (dir, staged) = imported(exported(from.path(), &[]).unwrap(), change);
            let said = staged.unwrap_err();
            assert!(said.contains(expected), "{said}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_byte_that_was_changed_is_found_wherever_it_is() {
        let from = box_with_both();
        let file = exported(from.path(), &[]).unwrap();
        let bytes = {
            use std::io::{Read as _, Seek as _};
            let mut bytes = Vec::new();
            (&file).rewind().unwrap();
            (&file).read_to_end(&mut bytes).unwrap();
            bytes
        };
        for at in (0..bytes.len()).step_by(37) {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 0x10;
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&spoiled).unwrap();
            let (_dir, staged) = imported(file, |_| {});
            assert!(staged.is_err(), "byte {at} of {}", bytes.len());
        }
        let mut cut = tempfile::tempfile().unwrap();
        cut.write_all(&bytes[..bytes.len() - 5]).unwrap();
        assert!(imported(cut, |_| {}).1.is_err());
    }

    #[test]
    fn a_file_that_is_none_and_one_that_would_swell_are_refused() {
        let mut nonsense = tempfile::tempfile().unwrap();
        nonsense.write_all(b"nonsense").unwrap();
        assert!(imported(nonsense, |_| {}).1.unwrap_err().starts_with("read the archive"));
        let (pipe, _end) = std::io::pipe().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let said = import(OwnedFd::from(pipe), &asked(dir.path()), &Watched::default()).unwrap_err().to_string();
        assert!(said.starts_with("from: takes a regular file"), "{said}");
        // Promises one byte, and has a gigabyte of nothing behind.
        let head = Head {
            format: FORMAT,
            made_at: String::new(),
            node: "x".into(),
            machine: machine(),
            plans: Vec::new(),
            engines: vec![EngineEntry { model: "m".into(), key: key(), dir: "engines/0".into() }],
            files: vec![edge_engine::bundle::FileEntry {
                path: "engines/0/x".into(),
                bytes: 1,
                sha256: "0".repeat(64),
            }],
        };
        let mut packing = Packing::begin(tempfile::tempfile().unwrap()).unwrap();
        let text = serde_json::to_vec(&head).unwrap();
        packing.add(Head::FILE, text.len() as u64, text.as_slice()).unwrap();
        packing.add("engines/0/x", 1 << 30, std::io::Read::take(std::io::repeat(0), 1 << 30)).unwrap();
        let (_dir, staged) = imported(packing.finish().unwrap(), |_| {});
        assert!(staged.unwrap_err().contains("1073741824 bytes, the manifest promises 1"));
    }
}
