//! The folder in which a technician drops bundles: what lies there, and what is done with one of its files. Decides nothing:
//! when a file is taken and what becomes of it is the core's to say ([`edge_core::inbox`]).
//!
//! Only files are opened, and no name there is followed or waited for: whoever may write into the folder must not lead the
//! daemon elsewhere. The bundle is in the store, and its deed in the history, before its file goes, so that a crash in between
//! costs nothing: the next look finds that it was there already.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use edge_core::inbox::{End, Fate, Stamp};

use super::archive::ArchiveError;
use super::install::InstallError;
use super::trust::TrustError;

/// What is installed has a name that ends so.
pub const ENDING: &str = ".edgemodel";
/// What was refused has this behind its name, and its reason lies in a file with [`REASON`] behind that.
const REFUSED: &str = ".refused";
const REASON: &str = ".txt";
/// Files that are looked at in one go; the others come when these have gone.
const MOST: usize = 256;
/// Files that were refused and are told of.
const MOST_TOLD: usize = 8;
/// Longest reason that is read, bytes.
const MOST_REASON: u64 = 2048;
/// Longest name that is shown, characters.
const MOST_SHOWN: usize = 128;

/// A file that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lying {
    pub name: OsString,
    pub stamp: Stamp,
}

/// What was seen in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub lying: Vec<Lying>,
    /// Names of what was refused and lies there still, each with the reason.
    pub refused: Vec<(String, String)>,
    /// How many more than these were refused.
    pub more: usize,
}

/// A name as it is shown: one line of bounded length.
pub fn shown(name: &OsStr) -> String {
    let text = name.to_string_lossy();
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).take(MOST_SHOWN).collect()
}

/// Looks into the folder; one that is not there has nothing in it.
pub fn look(dir: &Path) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(seen),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b".") {
            continue;
        }
        if bytes.ends_with(ENDING.as_bytes()) && seen.lying.len() < MOST {
            // One that went meanwhile is none.
            let found = dir.join(&name).symlink_metadata();
            seen.lying.extend(found.ok().map(|found| Lying { name, stamp: stamp(&found) }));
        } else if bytes.ends_with([ENDING, REFUSED].concat().as_bytes()) {
            match seen.refused.len() < MOST_TOLD {
                true => seen.refused.push((shown(&name), reason(dir, &name))),
                false => seen.more += 1,
            }
        }
    }
    seen.refused.sort();
    Ok(seen)
}

fn stamp(found: &Metadata) -> Stamp {
    let changed = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    Stamp { file: found.ino(), bytes: found.len(), changed }
}

/// Why a file was refused, as it was written beside it.
fn reason(dir: &Path, refused: &OsStr) -> String {
    let text = open(&dir.join(with(refused, REASON))).ok().and_then(|(file, _)| {
        let mut text = Vec::new();
        file.take(MOST_REASON).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" "))
    });
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "the history says why".into())
}

fn with(name: &OsStr, more: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(more);
    name
}

/// Why a file of the folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("it is {0}: only files are taken, and nothing that leads to one")]
    Kind(&'static str),
    #[error("open it")]
    File(#[source] io::Error),
}

/// Opens a file, if it is one: without following a link, and without waiting for the other end of a pipe.
fn open(path: &Path) -> Result<(File, Stamp), OpenError> {
    // Before it is opened, too: to open some devices is to do something with them.
    kind(&path.symlink_metadata().map_err(OpenError::File)?)?;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(|error| OpenError::File(io::Error::other(error)))?;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(OpenError::File)?;
    let found = file.metadata().map_err(OpenError::File)?;
    kind(&found)?;
    Ok((file, stamp(&found)))
}

fn kind(found: &Metadata) -> Result<(), OpenError> {
    let kind = found.file_type();
    Err(OpenError::Kind(match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_symlink() => "a link",
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }))
}

/// What was taken, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub end: End,
    /// What it looked like.
    pub stamp: Stamp,
}

/// Opens the file `name`, and has `install` put its bundle into the store. The file stays where it is.
pub fn take<T>(
    dir: &Path,
    name: &OsStr,
    install: impl FnOnce(OwnedFd) -> Result<T, (End, String)>,
) -> (Result<T, String>, Taken) {
    let path = dir.join(name);
    let seen = || path.symlink_metadata().map(|found| stamp(&found)).unwrap_or_default();
    let (file, before) = match open(&path) {
        Ok(opened) => opened,
        Err(error) => {
            let end = if matches!(error, OpenError::Kind(_)) { End::Unfit } else { End::Hindered };
            return (Err(crate::driver::chain(&error)), Taken { end, stamp: seen() });
        }
    };
    match install(file.into()) {
        Ok(stored) => (Ok(stored), Taken { end: End::Stored, stamp: before }),
        Err((end, why)) => {
            let end = if seen() != before && end == End::Unfit { End::Cut } else { end };
            (Err(why), Taken { end, stamp: before })
        }
    }
}

/// Does with a file that was taken what follows, unless another one has its name by now; `why` is the reason for which it is put aside. An error says why that cannot be done.
pub fn settle(dir: &Path, name: &OsStr, taken: Stamp, fate: Fate, why: &str) -> Result<(), String> {
    let path = dir.join(name);
    if path.symlink_metadata().is_ok_and(|found| stamp(&found) != taken) {
        return Ok(());
    }
    match fate {
        Fate::Keep => Ok(()),
        Fate::Remove => std::fs::remove_file(&path).map_err(|error| format!("remove {}: {error}", path.display())),
        Fate::PutAside => put_aside(dir, name, why),
    }
}

/// A refused file is renamed, with the reason beside it.
fn put_aside(dir: &Path, name: &OsStr, why: &str) -> Result<(), String> {
    let refused = with(name, REFUSED);
    let reason = dir.join(with(&refused, REASON));
    // What lies under that name is not written into: it might lead elsewhere.
    let removed = std::fs::remove_file(&reason);
    let told = removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) });
    let told = told.and_then(|()| {
        let mut file = File::options().write(true).create_new(true).mode(0o644).open(&reason)?;
        writeln!(file, "{why}")
    });
    let path = dir.join(name);
    std::fs::rename(&path, dir.join(&refused)).map_err(|error| format!("rename {}: {error}", path.display()))?;
    told.map_err(|error| format!("write {}: {error}", reason.display()))
}

/// What an installation that failed says of its bundle, and what of the box.
pub fn blame(error: &InstallError) -> End {
    match error {
        InstallError::Cancelled => End::GivenUp,
        InstallError::NoFile | InstallError::Other { .. } => End::Unfit,
        InstallError::NoPlace | InstallError::NoRoom { .. } | InstallError::File { .. } | InstallError::Record(_) => {
            End::Hindered
        }
        InstallError::Trust(error) => blame_trust(error),
        InstallError::Archive(error) => blame_archive(error),
    }
}

fn blame_trust(error: &TrustError) -> End {
    match error {
        TrustError::Malformed { path, .. } if path != Path::new(super::archive::SIGNATURE) => End::Hindered,
        TrustError::Read { .. } | TrustError::Terms { .. } | TrustError::Open { .. } => End::Hindered,
        TrustError::Unsigned
        | TrustError::Malformed { .. }
        | TrustError::Unknown { .. }
        | TrustError::Revoked { .. }
        | TrustError::Expired { .. }
        | TrustError::Other { .. } => End::Unfit,
    }
}

fn blame_archive(error: &ArchiveError) -> End {
    match error {
        ArchiveError::File { .. } => End::Hindered,
        // A disk or a stick that fails has a number for it; an archive that is broken has none.
        ArchiveError::Read(source) if source.raw_os_error().is_some() => End::Hindered,
        ArchiveError::Read(source) if source.kind() == io::ErrorKind::UnexpectedEof => End::Cut,
        ArchiveError::Empty => End::Cut,
        ArchiveError::Refused(inner) => inner.downcast_ref::<InstallError>().map_or(End::Unfit, blame),
        ArchiveError::Read(_)
        | ArchiveError::Write(_)
        | ArchiveError::First { .. }
        | ArchiveError::Promise { .. }
        | ArchiveError::Entry { .. }
        | ArchiveError::TooLarge { .. }
        | ArchiveError::Digest { .. }
        | ArchiveError::Missing(_)
        | ArchiveError::Bundle(_) => End::Unfit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Installed = Result<(), (End, String)>;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Takes a file and does what follows: how it ended, what was said, and why the file could not be moved.
    fn taken(dir: &Path, name: &str, waited: bool, installed: Installed) -> (Result<(), String>, End, Option<String>) {
        let (result, Taken { end, stamp }) = take(dir, OsStr::new(name), |_| installed);
        let why = result.as_ref().err().map(String::as_str).unwrap_or_default();
        let stuck = settle(dir, OsStr::new(name), stamp, end.fate(waited), why).err();
        (result, end, stuck)
    }

    #[test]
    fn only_names_of_bundles_are_seen_and_what_was_refused_is_told_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(&dir.path().join("nothing")).unwrap(), Seen::default());
        for name in ["a-1.0.0.edgemodel", ".b-1.0.0.edgemodel", "c.edgemodel.part", "d.txt", "e.edgemodel.refused"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::write(dir.path().join("e.edgemodel.refused.txt"), "it is\nno bundle\n").unwrap();
        let seen = look(dir.path()).unwrap();
        assert_eq!(seen.lying.iter().map(|lying| shown(&lying.name)).collect::<Vec<_>>(), ["a-1.0.0.edgemodel"]);
        assert_eq!(seen.lying[0].stamp.bytes, 1);
        assert_eq!(seen.refused, [("e.edgemodel.refused".to_owned(), "it is no bundle".to_owned())]);
        for number in 0..MOST + 10 {
            std::fs::write(dir.path().join(format!("{number}.edgemodel")), "").unwrap();
            std::fs::write(dir.path().join(format!("{number}.edgemodel.refused")), "").unwrap();
        }
        let seen = look(dir.path()).unwrap();
        assert_eq!((seen.lying.len(), seen.refused.len(), seen.more), (MOST, MOST_TOLD, MOST + 11 - MOST_TOLD));
    }

    #[test]
    fn what_is_no_file_is_neither_followed_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("real"), "x").unwrap();
        std::os::unix::fs::symlink(at("real"), at("link.edgemodel")).unwrap();
        std::fs::create_dir(at("dir.edgemodel")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe.edgemodel"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.edgemodel")).unwrap();
        for (name, what) in [
            ("link.edgemodel", "a link"),
            ("dir.edgemodel", "a directory"),
            ("pipe.edgemodel", "a pipe"),
            ("socket.edgemodel", "a socket"),
        ] {
            let (result, end, stuck) = taken(dir.path(), name, false, Ok(()));
            let why = result.unwrap_err();
            assert!(why.starts_with(&format!("it is {what}: only files")), "{why}");
            assert_eq!((end, stuck), (End::Unfit, None));
            let text = std::fs::read_to_string(at(&format!("{name}.refused.txt"))).unwrap();
            assert_eq!(text.trim_end(), why);
            assert!(at(&format!("{name}.refused")).symlink_metadata().is_ok() && at(name).symlink_metadata().is_err());
        }
        assert_eq!(std::fs::read_to_string(at("real")).unwrap(), "x");
    }

    #[test]
    fn a_file_goes_is_put_aside_or_stays_by_how_it_ended() {
        let no = |end| Err((end, "why".to_owned()));
        let refused = ["a.edgemodel.refused", "a.edgemodel.refused.txt"];
        let there = ["a.edgemodel"];
        for (installed, waited, left) in [
            (Ok(()), false, &[][..]),
            (no(End::Unfit), false, &refused),
            (no(End::Cut), true, &refused),
            (no(End::Cut), false, &there),
            (no(End::Hindered), true, &there),
            (no(End::GivenUp), true, &there),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("a.edgemodel"), "x").unwrap();
            let (_, _, stuck) = taken(dir.path(), "a.edgemodel", waited, installed.clone());
            assert_eq!(
                (names(dir.path()), stuck),
                (left.iter().map(|name| (*name).to_owned()).collect(), None),
                "{installed:?}"
            );
        }
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_judged_yet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.edgemodel");
        std::fs::write(&path, "x").unwrap();
        let (_, taken) = take(dir.path(), OsStr::new("a.edgemodel"), |_| -> Installed {
            std::fs::write(&path, "more").unwrap();
            Err((End::Unfit, "no archive".into()))
        });
        assert_eq!(taken.end, End::Cut);
        // Nor does one go that has come in its place.
        settle(dir.path(), OsStr::new("a.edgemodel"), taken.stamp, Fate::Remove, "").unwrap();
        assert_eq!(names(dir.path()), ["a.edgemodel"]);
    }

    #[test]
    fn a_reason_is_not_written_where_a_link_leads() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("precious"), "x").unwrap();
        std::os::unix::fs::symlink(at("precious"), at("a.edgemodel.refused.txt")).unwrap();
        std::fs::write(at("a.edgemodel"), "x").unwrap();
        std::fs::write(at("a.edgemodel.refused"), "an earlier one").unwrap();
        let (_, _, stuck) = taken(dir.path(), "a.edgemodel", false, Err((End::Unfit, "why".into())));
        assert_eq!(stuck, None);
        assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "x");
        assert_eq!(std::fs::read_to_string(at("a.edgemodel.refused.txt")).unwrap(), "why\n");
        assert_eq!(std::fs::read_to_string(at("a.edgemodel.refused")).unwrap(), "x");
        // Where a directory has the name, the file cannot be moved, and that is said.
        std::fs::write(at("b.edgemodel"), "x").unwrap();
        std::fs::create_dir_all(at("b.edgemodel.refused/full")).unwrap();
        let (_, _, stuck) = taken(dir.path(), "b.edgemodel", false, Err((End::Unfit, String::new())));
        assert!(stuck.is_some_and(|stuck| stuck.starts_with("rename ")));
    }

    #[test]
    fn the_box_is_blamed_for_what_is_the_boxs() {
        let read = |error: io::Error| InstallError::Archive(ArchiveError::Read(error));
        let refused = |inner: InstallError| InstallError::Archive(ArchiveError::Refused(Box::new(inner)));
        let room = || InstallError::NoRoom { needed: 1, free: 0, setting: String::new() };
        for (error, end) in [
            (read(io::Error::from_raw_os_error(5)), End::Hindered),
            (read(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame")), End::Cut),
            (read(io::Error::other("unknown frame descriptor")), End::Unfit),
            (InstallError::Archive(ArchiveError::Empty), End::Cut),
            (refused(room()), End::Hindered),
            (refused(TrustError::Unsigned.into()), End::Unfit),
            (refused(TrustError::Terms { path: "keys.toml".into(), what: String::new() }.into()), End::Hindered),
            (InstallError::Cancelled, End::GivenUp),
            (InstallError::NoFile, End::Unfit),
        ] {
            assert_eq!(blame(&error), end, "{error:?}");
        }
    }

    #[test]
    fn an_archive_that_is_cut_anywhere_is_one_that_may_still_be_copied() {
        let dir = tempfile::tempdir().unwrap();
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-models/test/add");
        let whole = super::super::archive::stream(&edge_engine::bundle::open(&at).unwrap(), Vec::new()).unwrap();
        let config = crate::config::ModelsConfig {
            dirs: vec![dir.path().to_owned()],
            allow_unsigned: true,
            keys_dir: dir.path().join("keys.d"),
            ..crate::config::ModelsConfig::for_tests()
        };
        for end in (0..whole.len()).step_by(whole.len() / 50) {
            let file = edge_engine::memfile::sealed(&whole[..end]).unwrap();
            let watched = super::super::install::Watched::default();
            let error =
                super::super::install::install(file, &config, std::time::SystemTime::UNIX_EPOCH, &watched, |_| Ok(()))
                    .unwrap_err();
            assert_eq!(blame(&error), End::Cut, "{end} of {}: {error:?}", whole.len());
        }
    }
}
