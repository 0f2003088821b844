//! What of a pull lies on disk: `pulls/KEY.part`, the bytes that have come, and `pulls/KEY.json`, what is to become of them.
//! The room for the whole is taken from the disk at the begin. After a crash of the daemon every byte is still there; after a
//! power cut those count that were synchronised.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::address::Address;
use super::registry::hex;
use crate::config::ModelsConfig;
use crate::store::install;
use crate::store::records::sync_dir;

/// Bytes after which what came is synchronised.
const SYNC_EVERY: u64 = 8 << 20;
/// Largest file of what is to become of a pull.
const MOST_BYTES: u64 = 64 << 10;
/// Bytes that are hashed at a time.
const PIECE: usize = 256 << 10;

/// What somebody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    pub url: String,
    /// Make it the active version; absent: only if the box has no other version of it.
    pub activate: Option<bool>,
    /// The version that serves may be let go before the new one is loaded.
    pub pause: bool,
    /// Also a version that was taken back here before.
    pub force: bool,
    pub who: String,
}

impl Wish {
    /// Name of its files: two pulls of one address are one.
    pub fn key(&self) -> String {
        hex(&Sha256::digest(&self.url)).chars().take(32).collect()
    }
}

/// A pull as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub wish: Wish,
    /// Bytes of the whole, once they are known.
    pub total: Option<u64>,
    /// What the whole has to be, once that is known.
    pub sha256: Option<String>,
    /// Where what lies here came from.
    pub from: Option<String>,
    /// What that server calls the content.
    pub validator: Option<String>,
    /// Bytes that are on the disk whatever happens.
    pub safe: u64,
    /// Which life of the machine this was written in.
    pub boot: String,
    /// Its bundle is installed.
    pub installed: Option<PathBuf>,
}

/// The directory.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// The directory of this state directory.
    pub fn new(state_dir: &Path) -> Shelf {
        Shelf { dir: state_dir.join("pulls") }
    }

    fn path(&self, key: &str, ending: &str) -> PathBuf {
        self.dir.join(format!("{key}.{ending}"))
    }

    /// What was under way when the daemon ended, and what is wrong with the rest, which is removed.
    pub fn left(&self) -> (Vec<Wish>, Vec<String>) {
        let (mut wishes, mut faults) = (Vec::new(), Vec::new());
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (wishes, faults),
            Err(error) => return (wishes, vec![format!("read {}: {error}", self.dir.display())]),
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let key = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            match path.extension().and_then(|end| end.to_str()) {
                Some("json") => match self.read(&key) {
                    Ok(state) if state.wish.key() == key => wishes.push(state.wish),
                    Ok(_) => faults.push(format!("{} is of another pull: removed", path.display())),
                    Err(error) => faults.push(format!("{}: {error}: removed", path.display())),
                },
                Some("part" | "new") if self.path(&key, "json").exists() => continue,
                _ => faults.push(format!("{} is of no pull: removed", path.display())),
            }
            if wishes.last().is_none_or(|wish| wish.key() != key) {
                self.forget(&key);
            }
        }
        (wishes, faults)
    }

    fn read(&self, key: &str) -> Result<State, String> {
        let text =
            edge_engine::bundle::read_text(&self.path(key, "json"), MOST_BYTES).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// What is known of a pull; nothing yet, if it is a new one.
    pub fn state(&self, wish: &Wish) -> State {
        let mut state = self.read(&wish.key()).unwrap_or_default();
        // How it is to be activated is what was said last.
        state.wish = wish.clone();
        state
    }

    /// Keeps what is known of a pull. When this returns it is on the disk.
    pub fn keep(&self, state: &State) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let key = state.wish.key();
        std::fs::create_dir_all(&self.dir)?;
        let written = self.path(&key, "new");
        // An address may hold a secret.
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&written)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_all()?;
        std::fs::rename(&written, self.path(&key, "json"))?;
        sync_dir(&self.dir)
    }

    /// Notes that the bundle of a pull is in the store.
    pub fn mark_installed(&self, key: &str, dir: PathBuf) -> Result<(), String> {
        let state = self.read(key)?;
        self.keep(&State { installed: Some(dir), ..state }).map_err(|error| error.to_string())
    }

    /// Lets go of the bytes of a pull.
    pub fn drop_part(&self, key: &str) {
        remove(&self.path(key, "part"));
    }

    /// Lets go of a pull: the bytes last, so that they are never left alone for long.
    pub fn forget(&self, key: &str) {
        for ending in ["new", "json", "part"] {
            remove(&self.path(key, ending));
        }
    }

    /// Opens the bytes of a pull, as far as they are certainly what came.
    pub fn part(&self, state: &State) -> io::Result<Part> {
        std::fs::create_dir_all(&self.dir)?;
        let path = self.path(&state.wish.key(), "part");
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        let found = file.metadata()?.len();
        let same_life = !state.boot.is_empty() && state.boot == boot();
        let mut len = if same_life { found } else { found.min(state.safe) };
        // What nobody knows the size of was never begun; what is longer than the whole is none of it.
        if state.total.is_none_or(|total| len > total) {
            len = 0;
        }
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Part { file, path, len, synced: len, hash: None })
    }
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), %error, "what is left of a pull could not be removed");
        }
        _ => {}
    }
}

/// The number of this life of the machine; empty if it is not told.
pub fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// The bytes that have come.
#[derive(Debug)]
pub struct Part {
    file: File,
    path: PathBuf,
    len: u64,
    synced: u64,
    /// The digest of the first bytes, and how many they are.
    hash: Option<(Sha256, u64)>,
}

impl Part {
    /// How many.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Takes the room for all `total` bytes from the disk, unless quota and reserve forbid it.
    pub fn reserve(&self, total: u64, models: &ModelsConfig) -> Result<(), String> {
        let told = |error: install::InstallError| crate::driver::chain(&error);
        let dir = self.path.parent().unwrap_or(&self.path);
        let had = self.file.metadata().map_or(0, |found| std::os::unix::fs::MetadataExt::blocks(&found) * 512);
        install::within_quota(total, models).map_err(told)?;
        install::fits_disk(total.saturating_sub(had), dir, models).map_err(told)?;
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, total.max(1)) {
            // A file system that cannot do that: then the disk is full when it is full.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => Err(format!(
                "it takes {} MiB, and the disk of {} has not that much: remove models or other files",
                total.div_ceil(1 << 20),
                dir.display()
            )),
            Err(errno) => Err(format!("take room for {} MiB in {}: {errno}", total.div_ceil(1 << 20), dir.display())),
        }
    }

    /// Begins again.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.len, self.synced, self.hash) = (0, 0, None);
        Ok(())
    }

    /// Puts more behind what is there.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if let Some((hash, upto)) = &mut self.hash
            && *upto == self.len
        {
            hash.update(bytes);
            *upto += bytes.len() as u64;
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Whether enough came to be synchronised.
    pub fn is_due(&self) -> bool {
        self.len - self.synced >= SYNC_EVERY
    }

    /// Everything that came is on the disk when this returns.
    pub fn sync(&mut self) -> io::Result<u64> {
        self.file.sync_data()?;
        self.synced = self.len;
        Ok(self.len)
    }

    /// Hashes a piece of what is there and was not hashed yet; true when all is.
    pub fn hash_on(&mut self) -> io::Result<bool> {
        let (hash, upto) = self.hash.get_or_insert_with(|| (Sha256::new(), 0));
        let mut piece = vec![0; PIECE];
        let wanted = usize::try_from(self.len - *upto).unwrap_or(PIECE).min(PIECE);
        if wanted > 0 {
            let read =
                std::os::unix::fs::FileExt::read_at(&self.file, piece.get_mut(..wanted).unwrap_or_default(), *upto)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hash.update(piece.get(..read).unwrap_or_default());
            *upto += read as u64;
        }
        Ok(*upto == self.len)
    }

    /// The digest of all that is there, once it was hashed.
    pub fn digest(&self) -> Option<String> {
        let (hash, upto) = self.hash.as_ref()?;
        (*upto == self.len).then(|| hex(&hash.clone().finalize()))
    }

    /// What is there, to read from its begin.
    pub fn prefix(&self) -> Prefix<'_> {
        Prefix { part: self, at: 0, starved: false }
    }

    /// The file, from its begin, for somebody else.
    pub fn handed_over(&self) -> io::Result<std::os::fd::OwnedFd> {
        Ok(File::open(&self.path)?.into())
    }
}

/// Reads what is there, and knows whether more was wanted.
#[derive(Debug)]
pub struct Prefix<'p> {
    part: &'p Part,
    at: u64,
    /// It was read to its end.
    pub starved: bool,
}

impl Read for Prefix<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(&self.part.file, into, self.at)?;
        self.at += read as u64;
        self.starved |= read == 0;
        Ok(read)
    }
}

/// What the address itself promises of the whole.
pub fn promised(address: &Address) -> Option<String> {
    match address {
        Address::File { sha256, .. } => sha256.clone(),
        // The digest there is the manifest's.
        Address::Artefact { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf, State) {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        let wish = Wish { url: "https://h/x".into(), who: "me".into(), ..Wish::default() };
        (dir, shelf, State { wish, total: Some(100), boot: boot(), ..State::default() })
    }

    #[test]
    fn what_came_is_there_after_a_restart_and_after_a_power_cut_what_was_synchronised() {
        let (_dir, shelf, mut state) = shelf();
        let mut part = shelf.part(&state).unwrap();
        part.write(&[1; 10]).unwrap();
        state.safe = part.sync().unwrap();
        part.write(&[2; 10]).unwrap();
        shelf.keep(&state).unwrap();
        drop(part);
        assert_eq!(shelf.state(&state.wish), state);
        assert_eq!(shelf.part(&state).unwrap().len(), 20);
        let later = State { boot: "another".into(), ..state.clone() };
        assert_eq!(shelf.part(&later).unwrap().len(), 10);
        // Without a size nothing is known of what lies there.
        assert_eq!(shelf.part(&State { total: None, ..state.clone() }).unwrap().len(), 0);
        let part = shelf.part(&state).unwrap();
        let config = ModelsConfig { dirs: vec!["/nonexistent".into()], ..ModelsConfig::for_tests() };
        part.reserve(100, &config).unwrap();
        assert_eq!(std::fs::metadata(&part.path).unwrap().len(), 0, "room is no content");
    }

    #[test]
    fn what_is_left_of_a_pull_goes_and_what_is_under_way_stays() {
        let (dir, shelf, state) = shelf();
        assert_eq!(shelf.left(), (vec![], vec![]));
        shelf.keep(&state).unwrap();
        shelf.part(&state).unwrap();
        let at = |name: &str| dir.path().join("pulls").join(name);
        for name in ["alone.part", "spoilt.part", "half.new"] {
            std::fs::write(at(name), "x").unwrap();
        }
        std::fs::write(at("spoilt.json"), "{").unwrap();
        let (wishes, faults) = shelf.left();
        assert_eq!((wishes, faults.len()), (vec![state.wish.clone()], 4), "{:?}", shelf.left());
        let names = || std::fs::read_dir(dir.path().join("pulls")).unwrap().count();
        assert_eq!(names(), 2);
        shelf.forget(&state.wish.key());
        assert_eq!(names(), 0);
    }

    #[test]
    fn the_digest_is_that_of_all_bytes_however_they_came() {
        let (_dir, shelf, mut state) = shelf();
        state.total = Some(1 << 20);
        let bytes: Vec<u8> = (0..700_000u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut part = shelf.part(&state).unwrap();
        part.write(&bytes[..400_000]).unwrap();
        assert_eq!(part.digest(), None);
        while !part.hash_on().unwrap() {}
        part.write(&bytes[400_000..]).unwrap();
        assert_eq!(part.digest(), Some(hex(&Sha256::digest(&bytes))));
        part.clear().unwrap();
        assert_eq!((part.len(), part.digest()), (0, None));
    }

    #[test]
    fn room_is_refused_beyond_quota_and_reserve_with_the_setting() {
        let (_dir, shelf, state) = shelf();
        let part = shelf.part(&state).unwrap();
        let config = ModelsConfig { dirs: vec!["/nonexistent".into()], ..ModelsConfig::for_tests() };
        let said = part.reserve(200, &ModelsConfig { quota_bytes: 100, ..config.clone() }).unwrap_err();
        assert!(said.contains("`models.quota_mib`"), "{said}");
        let said = part.reserve(200, &ModelsConfig { reserve_bytes: u64::MAX, ..config }).unwrap_err();
        assert!(said.contains("`models.disk_reserve_mib`"), "{said}");
    }
}
