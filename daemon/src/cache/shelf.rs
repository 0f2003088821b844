//! The directory of all entries: finds the one for a load, makes place for a new one, keeps the total below its bound.
//!
//! `engines/<model>-<key>` are the entries, `building/` is where loads compile until their answers were right, `index.json`
//! is what is remembered of entries and of how long they took. Whatever is wrong with an entry, it goes, with a warning.

mod held;
mod index;
mod staged;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::index::{Index, Known, now};
use super::key::{Asked, Key};
use super::{Holder, Opened, seal};
use crate::driver::chain;

/// Room that a disk must have left for what was written to be believed: providers do not tell of a full disk.
const ROOM_BYTES: u64 = 1 << 20;
/// Times that are remembered of things that were compiled.
const MOST_TIMES: usize = 512;

/// Where a load compiles, and what it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub dir: PathBuf,
    key: Box<Key>,
    name: String,
    model: String,
}

/// The directory.
#[derive(Debug)]
pub struct Shelf {
    root: PathBuf,
    most: u64,
    places: u64,
    /// Entries from which something was loaded, and that must not go.
    in_use: BTreeMap<Holder, String>,
    /// The files of entries as they were when they were handed out to be loaded from.
    handed_out: BTreeMap<Holder, Vec<seal::Stamp>>,
    /// Read at the first question.
    index: Option<Index>,
}

impl Shelf {
    /// A shelf in `root` of at most `most` bytes. Reads and writes nothing yet.
    pub fn new(root: PathBuf, most: u64) -> Shelf {
        Shelf { root, most, places: 0, in_use: BTreeMap::new(), handed_out: BTreeMap::new(), index: None }
    }

    fn engines(&self) -> PathBuf {
        self.root.join("engines")
    }

    fn building(&self) -> PathBuf {
        self.root.join("building")
    }

    /// Where a load finds what was compiled for it, or where it may compile.
    pub fn open(&mut self, holder: Holder, asked: &Asked) -> Result<Opened, String> {
        self.release(holder);
        let key = key(asked)?;
        let name = key.entry(&asked.name);
        let expected = self.index().took_ms.get(&kind(&asked.name, &key)).copied().map(Duration::from_millis);
        let dir = self.engines().join(&name);
        if dir.symlink_metadata().is_ok() {
            match seal::check(&dir, &key) {
                Ok(()) => {
                    let known = self.index().entries.entry(name.clone()).or_default();
                    (known.model, known.last_used) = (asked.name.clone(), now());
                    self.write_index();
                    self.in_use.insert(holder, name.clone());
                    if let Ok(stamps) = seal::stamps(&dir) {
                        self.handed_out.insert(holder, stamps);
                    }
                    return Ok(Opened { dir, hit: Some(name), place: None, expected });
                }
                Err(fault) => {
                    let why = chain(&fault);
                    tracing::warn!(entry = %name, %why, "a compiled engine is not used: it is removed and compiled again");
                    self.remove(&name);
                }
            }
        }
        self.room()?;
        self.places += 1;
        let dir = self.building().join(format!("{}-{}", std::process::id(), self.places));
        fs::create_dir(&dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
        let place = Place { dir: dir.clone(), key: Box::new(key), name, model: asked.name.clone() };
        Ok(Opened { dir, hit: None, place: Some(place), expected })
    }

    /// Whether there is room to write, and if not, why.
    pub fn room(&self) -> Result<(), String> {
        for dir in [self.engines(), self.building()] {
            fs::create_dir_all(&dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
            let probe = dir.join("probe.new");
            fs::write(&probe, [0; 4096]).map_err(|error| format!("write into {}: {error}", dir.display()))?;
            fs::remove_file(&probe).map_err(|error| format!("remove {}: {error}", probe.display()))?;
        }
        let root = &self.root;
        let disk = rustix::fs::statvfs(root).map_err(|error| format!("ask for room in {}: {error}", root.display()))?;
        match disk.f_bavail.saturating_mul(disk.f_frsize) {
            ..ROOM_BYTES => Err(format!("the disk of {} is full", root.display())),
            ROOM_BYTES.. => Ok(()),
        }
    }

    /// Seals what was compiled in a place, and puts it among the entries. Gives its name; none if nothing was left there.
    pub fn keep(&mut self, holder: Holder, place: &Place, took: Duration) -> Result<Option<String>, String> {
        let kept = self.try_keep(place);
        if !matches!(kept, Ok(Some(_))) {
            self.give_back(place);
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let index = self.index();
        if index.took_ms.len() >= MOST_TIMES {
            index.took_ms.pop_first();
        }
        index.took_ms.insert(kind(&place.model, &place.key), took_ms);
        if let Ok(Some(name)) = &kept {
            let (model, at) = (place.model.clone(), now());
            index.entries.insert(name.clone(), Known { model, took_ms, built: at, last_used: at });
            self.in_use.insert(holder, name.clone());
            self.shrink();
        }
        self.write_index();
        kept
    }

    fn try_keep(&self, place: &Place) -> Result<Option<String>, String> {
        let said = |what: &str, error: &io::Error| format!("{what} {}: {error}", place.dir.display());
        self.room()?;
        let bytes = seal::write(&place.dir, &place.key).map_err(|error| said("seal", &error))?;
        if bytes == 0 {
            return Ok(None);
        }
        let dir = self.engines().join(&place.name);
        if dir.symlink_metadata().is_ok() {
            // Another load of the same key was faster, and may be using it.
            self.give_back(place);
            return Ok(Some(place.name.clone()));
        }
        read_only(&place.dir).map_err(|error| said("protect", &error))?;
        fs::rename(&place.dir, &dir).map_err(|error| said("move", &error))?;
        Ok(Some(place.name.clone()))
    }

    /// It is not on its host any more.
    pub fn release(&mut self, holder: Holder) {
        self.in_use.remove(&holder);
        self.handed_out.remove(&holder);
    }

    /// Whether the files of an entry are not those that were handed out: its provider did not take them, and compiled in
    /// their place. They were never sealed, so the entry is removed; what is loaded from it stays loaded.
    pub fn is_rewritten(&mut self, holder: Holder, name: &str) -> bool {
        let Some(before) = self.handed_out.remove(&holder) else { return false };
        let is_same = seal::stamps(&self.engines().join(name)).is_ok_and(|now| now == before);
        if !is_same {
            self.remove(name);
        }
        !is_same
    }

    /// A load gave its place up.
    pub fn give_back(&self, place: &Place) {
        if let Err(error) = fs::remove_dir_all(&place.dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %place.dir.display(), %error, "remove what a load had begun to compile");
        }
    }

    /// Removes an entry; gives the bytes that this freed.
    pub fn remove(&mut self, name: &str) -> u64 {
        let dir = self.engines().join(name);
        let bytes = seal::size(&dir).unwrap_or(0);
        if let Err(error) = remove_whatever(&dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(entry = %name, %error, "remove a compiled engine");
            return 0;
        }
        self.index().entries.remove(name);
        self.write_index();
        bytes
    }
}

/// The key of a load, from what the driver knows and what is on the disk.
fn key(asked: &Asked) -> Result<Key, String> {
    let bundle = edge_engine::bundle::open(&asked.bundle).map_err(|error| chain(&error))?;
    let manifest = bundle.manifest();
    let variant =
        manifest.variant(&asked.setup.variant).ok_or_else(|| format!("no variant {}", asked.setup.variant))?;
    let digest = manifest.digest(&variant.file).ok_or_else(|| format!("no digest of {}", variant.file))?;
    Ok(Key::of(asked, variant, digest, &driver()))
}

/// What the graphics driver says of itself.
pub fn driver() -> String {
    // A machine without that driver has no such file.
    let driver = fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    driver.lines().next().unwrap_or_default().trim().to_owned()
}

/// What is compiled again and again, whatever its digests.
fn kind(model: &str, key: &Key) -> String {
    format!("{model} {} {} {}", key.variant, key.provider, key.precision)
}

/// A provider that writes where it should only read is told so by the system, as far as that holds for its user.
fn read_only(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o440))?;
        }
    }
    Ok(())
}

/// Removes a directory with all that is in it, or what lies there in the place of one. Does not follow links.
fn remove_whatever(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use edge_engine::protocol::{DeviceOptions, Precision, ProviderIdentity, Setup};

    use super::*;

    /// A load of the bundle `add`, under another name and with these threads.
    pub(super) fn holder(setup: u16) -> Holder {
        Holder::Setup(edge_core::ModelId(setup))
    }

    pub(super) fn asked(name: &str, threads: u16) -> Asked {
        let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/../onnx-models/test/add").into();
        let manifest = edge_engine::bundle::open(Path::new(&bundle)).unwrap();
        let variant = manifest.manifest().variant[0].name.clone();
        Asked {
            name: name.into(),
            bundle,
            weights: String::new(),
            setup: Setup { variant, provider: "openvino".into(), precision: Precision::Exact, threads, instances: 1 },
            runtime: "1.24.0".into(),
            identity: ProviderIdentity { version: "1".into(), digest: "d".into(), device: "i5".into() },
            options: DeviceOptions::default(),
        }
    }

    /// Compiles as a provider would: so many bytes. The name of the entry.
    pub(super) fn build(shelf: &mut Shelf, model: u16, asked: &Asked, bytes: usize) -> String {
        let opened = shelf.open(holder(model), asked).unwrap();
        fs::write(opened.dir.join("model.blob"), vec![7; bytes]).unwrap();
        shelf.keep(holder(model), &opened.place.unwrap(), Duration::from_millis(1500)).unwrap().unwrap()
    }

    pub(super) fn names(shelf: &Shelf) -> Vec<String> {
        let names = shelf.names().unwrap();
        names.iter().map(|name| name.rsplit_once('-').unwrap().0.to_owned()).collect()
    }

    #[test]
    fn what_was_compiled_is_found_again_also_by_the_next_daemon() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 1 << 20);
        let name = build(&mut shelf, 1, &asked("a", 1), 100);
        for mut shelf in [shelf, Shelf::new(root.path().into(), 1 << 20)] {
            let opened = shelf.open(holder(1), &asked("a", 1)).unwrap();
            assert_eq!((opened.hit.as_ref(), opened.dir), (Some(&name), root.path().join("engines").join(&name)));
            assert_eq!(opened.expected, Some(Duration::from_millis(1500)));
            let entry = shelf.list().unwrap().remove(0);
            assert_eq!((entry.model.as_str(), entry.provider.as_str(), entry.took_ms), ("a", "openvino", 1500));
            assert!(entry.in_use && entry.bytes > 100 && !entry.built_at.is_empty(), "{entry:?}");
        }
    }

    #[test]
    fn two_loads_of_the_same_compile_apart_and_the_first_to_end_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 1 << 20);
        let open = |shelf: &mut Shelf, model| shelf.open(holder(model), &asked("a", 1)).unwrap();
        let (one, two) = (open(&mut shelf, 1), open(&mut shelf, 2));
        assert!(one.dir != two.dir && one.hit.is_none() && two.hit.is_none());
        fs::write(one.dir.join("model.blob"), "one").unwrap();
        fs::write(two.dir.join("model.blob"), "two, another").unwrap();
        let kept = [two, one].map(|opened| shelf.keep(holder(1), &opened.place.unwrap(), Duration::ZERO).unwrap());
        assert_eq!(kept[0], kept[1]);
        let opened = open(&mut shelf, 3);
        assert_eq!(fs::read_to_string(opened.dir.join("model.blob")).unwrap(), "two, another");
        assert_eq!(fs::read_dir(root.path().join("building")).unwrap().count(), 0);
    }

    #[test]
    fn a_spoiled_entry_is_removed_and_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 1 << 20);
        let name = build(&mut shelf, 1, &asked("a", 1), 100);
        fs::remove_file(root.path().join("engines").join(&name).join(seal::SEAL)).unwrap();
        let opened = shelf.open(holder(1), &asked("a", 1)).unwrap();
        assert!(opened.hit.is_none() && names(&shelf).is_empty());
    }

    #[test]
    fn an_entry_that_its_provider_wrote_over_was_not_taken_and_goes() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 1 << 20);
        let name = build(&mut shelf, 1, &asked("a", 1), 100);
        let dir = shelf.open(holder(1), &asked("a", 1)).unwrap().dir;
        assert!(!shelf.is_rewritten(holder(1), &name), "it was only read");
        assert!(!shelf.is_rewritten(holder(2), &name), "nothing was handed out to that one");
        for same in [true, false] {
            shelf.open(holder(1), &asked("a", 1)).unwrap();
            // As OpenVINO does with what it cannot read: also if the same comes of it.
            fs::remove_file(dir.join("model.blob")).unwrap();
            fs::write(dir.join("model.blob"), vec![if same { 7 } else { 8 }; 100]).unwrap();
            assert!(shelf.is_rewritten(holder(1), &name), "same content: {same}");
            assert!(names(&shelf).is_empty());
            assert_eq!(build(&mut shelf, 1, &asked("a", 1), 100), name);
        }
    }

    #[test]
    fn what_is_no_directory_makes_way_for_the_entry_of_its_name() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 1 << 20);
        let name = build(&mut shelf, 1, &asked("a", 1), 100);
        let (entry, elsewhere) = (root.path().join("engines").join(&name), root.path().join("elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("precious"), "x").unwrap();
        type Spoil<'a> = &'a dyn Fn() -> io::Result<()>;
        let spoils: [Spoil<'_>; 3] =
            [&|| fs::write(&entry, "a file"), &|| std::os::unix::fs::symlink(&elsewhere, &entry), &|| {
                std::os::unix::fs::symlink("nowhere", &entry)
            }];
        for (at, spoil) in spoils.iter().enumerate() {
            fs::remove_dir_all(&entry).unwrap();
            spoil().unwrap();
            assert_eq!(build(&mut shelf, 1, &asked("a", 1), 100), name);
            assert!(!entry.is_symlink() && entry.join(seal::SEAL).is_file(), "case {at}");
            assert!(shelf.open(holder(1), &asked("a", 1)).unwrap().hit.is_some(), "case {at}");
        }
        assert!(elsewhere.join("precious").exists(), "what a link points to is not the cache's to remove");
    }

    #[test]
    fn a_load_that_left_nothing_leaves_no_entry() {
        let root = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::new(root.path().into(), 1 << 20);
        let opened = shelf.open(holder(1), &asked("a", 1)).unwrap();
        let place = opened.place.unwrap();
        assert_eq!(shelf.keep(holder(1), &place, Duration::ZERO), Ok(None));
        assert!(!place.dir.exists() && names(&shelf).is_empty());
    }

    #[test]
    fn a_place_where_nothing_can_be_written_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let mut shelf = Shelf::new(root.path().join("file/cache"), 1 << 20);
        let why = shelf.open(holder(1), &asked("a", 1)).unwrap_err();
        assert!(why.contains("file/cache/engines: Not a directory"), "{why}");
        assert!(shelf.list().unwrap_or_default().is_empty());
    }
}
