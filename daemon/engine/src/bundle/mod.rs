//! Bundles on disk: open one, and prove that its files are the ones that its manifest promises. Knows nothing of the
//! runtime. The daemon opens and verifies a bundle before it asks the engine host to load it.

pub mod manifest;
mod outline_rules;
mod parts;
pub mod range;
mod recipe_rules;
mod recipes;
mod rules;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub use manifest::{
    Batching, FileEntry, Golden, Limits, Manifest, Pipeline, Profile, Stage, Task, TensorRule, Variant,
};
pub use parts::{ADAPTER, Need, Offered, PREFIX, PartFault, PartKind, fits, parameters};
pub use recipes::{
    Activation, AnomalyRecipe, At, BoxesRecipe, Channels, ClassesRecipe, Column, CtcRecipe, EmbeddingRecipe,
    FileBytesRecipe, FileTypeRecipe, Fit, Head, ImageRecipe, InputRecipe, Layout, MasksRecipe, ObjectsRecipe,
    OutlinesRecipe, OutputRecipe, PictureRecipe, SceneRecipe, SegmentationRecipe, SoundRecipe, SpeechRecipe, WhenWider,
};
pub use rules::{PROVIDERS, is_inside, is_name, is_semver};
use serde::Deserialize as _;
use sha2::{Digest, Sha256};

/// The manifest's file name.
pub const MANIFEST: &str = "model.toml";

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;

/// Why a text is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("not TOML: {0}")]
    Syntax(String),
    #[error("{}", .0.join("; "))]
    Values(Vec<String>),
}

/// Why a directory is no usable bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("open bundle manifest {}", path.display())]
    Open { path: PathBuf, source: std::io::Error },
    #[error("bundle manifest {} is larger than {MAX_MANIFEST} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("bundle manifest {}", path.display())]
    Manifest { path: PathBuf, source: ManifestError },
    #[error("open bundle file {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("bundle file {} leads out of its bundle", path.display())]
    Outside { path: PathBuf },
    #[error("bundle file {} has {found} bytes, the manifest promises {expected}", path.display())]
    Size { path: PathBuf, expected: u64, found: u64 },
    #[error("bundle file {} has sha256 {found}, the manifest promises {expected}", path.display())]
    Digest { path: PathBuf, expected: String, found: String },
    #[error(transparent)]
    Part(#[from] PartFault),
}

impl Manifest {
    /// Reads a manifest and checks every value. Never panics, whatever the text.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let syntax = |error| ManifestError::Syntax(syntax_fault(text, &error));
        let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
        let manifest: Manifest = match table.contains_key("kind") {
            false => toml::from_str(text).map_err(syntax)?,
            true => {
                no_requests(&mut table)?;
                Manifest::deserialize(table).map_err(syntax)?
            }
        };
        let faults = rules::faults(&manifest);
        if faults.is_empty() { Ok(manifest) } else { Err(ManifestError::Values(faults)) }
    }

    /// Whether it is a part of models, and no model.
    pub fn is_part(&self) -> bool {
        self.kind.is_some()
    }

    /// The digest that the manifest promises of a file.
    pub fn digest(&self, path: &str) -> Option<&str> {
        self.file.iter().find(|file| file.path == path).map(|file| file.sha256.as_str())
    }

    /// Size of what a session of the variant `name` is made of, bytes: all files but the goldens and those of other variants.
    pub fn model_bytes(&self, name: &str) -> u64 {
        let of_other = |path: &str| {
            let goldens = self.golden.iter().any(|golden| golden.input == path || golden.expected == path);
            let own = self.variant(name).is_some_and(|variant| variant.file == path);
            goldens || !own && self.variant.iter().any(|variant| variant.file == path)
        };
        self.file.iter().filter(|file| !of_other(&file.path)).map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// The variant of this name.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variant.iter().find(|variant| variant.name == name)
    }
}

/// What every manifest says of requests is filled in for a part, which takes none.
fn no_requests(table: &mut toml::Table) -> Result<(), ManifestError> {
    let limits = toml::Table::from_iter([("payload_bytes".to_owned(), toml::Value::Integer(1))]);
    let said = [
        ("task", toml::Value::String("tensors".into())),
        ("deadline_ms", toml::Value::Integer(1)),
        ("limits", toml::Value::Table(limits)),
    ];
    let twice = said.into_iter().filter_map(|(key, value)| table.insert(key.into(), value).map(|_| key));
    let faults: Vec<String> =
        twice.map(|key| format!("{key}: must be absent in a part: it takes no requests")).collect();
    if faults.is_empty() { Ok(()) } else { Err(ManifestError::Values(faults)) }
}

/// A directory with a good manifest. Its files are proven by [`verify`].
#[derive(Clone, Debug)]
pub struct Bundle {
    dir: PathBuf,
    manifest: Manifest,
    digest: String,
    /// The parts that it is used with, in the order of its needs.
    parts: Vec<Bundle>,
}

impl Bundle {
    /// Where it is, with links resolved.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest, which promises those of all other files; lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The same with these parts, one for each of its needs.
    pub fn with_parts(mut self, offered: Vec<Bundle>) -> Result<Bundle, BundleError> {
        let graphs = self.manifest.graphs();
        let mut parts = Vec::new();
        for need in &self.manifest.needs {
            let part = offered.iter().find(|part| part.manifest.name == need.name);
            let missing = || PartFault::Missing(need.clone());
            let part = part.filter(|part| part.manifest.is_part()).ok_or_else(missing)?;
            fits(need, &graphs, part.manifest.offered().ok_or_else(missing)?)?;
            parts.push(part.clone());
        }
        self.parts = parts;
        Ok(self)
    }

    /// The parts of this kind that it is used with.
    pub fn parts(&self, kind: PartKind) -> impl Iterator<Item = &Bundle> {
        self.parts.iter().filter(move |part| part.manifest.kind == Some(kind))
    }

    /// Digests of the manifests of its parts, in the order of its needs.
    pub fn part_digests(&self) -> Vec<&str> {
        self.parts.iter().map(Bundle::digest).collect()
    }

    /// Bytes of its parts.
    pub fn part_bytes(&self) -> u64 {
        let files = self.parts.iter().flat_map(|part| &part.manifest.file);
        files.map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// The file of an adapter.
    pub fn adapter_file(&self) -> Result<PathBuf, BundleError> {
        let file = self.manifest.file.iter().find(|file| file.path.ends_with(ADAPTER));
        let malformed = || PartFault::Malformed(format!("{}:{}", self.manifest.name, self.manifest.version));
        self.file(&file.ok_or_else(malformed)?.path)
    }

    /// Where a file that the manifest names is, also one of a part. Links that lead out of the bundle are refused.
    pub fn file(&self, name: &str) -> Result<PathBuf, BundleError> {
        if let Some((part, file)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')) {
            let need = self.manifest.needs.iter().find(|need| need.name == part);
            let part = self.parts.iter().find(|other| other.manifest.name == part);
            return match (part, need) {
                (Some(part), _) => part.file(file),
                (None, Some(need)) => Err(PartFault::Missing(need.clone()).into()),
                (None, None) => Err(BundleError::Outside { path: self.dir.join(name) }),
            };
        }
        let path = self.dir.join(name);
        let real = path.canonicalize().map_err(|source| BundleError::File { path: path.clone(), source })?;
        if real.starts_with(&self.dir) { Ok(real) } else { Err(BundleError::Outside { path }) }
    }

    /// The content of a file that the manifest names, of the size that it promises.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, BundleError> {
        let path = self.file(name)?;
        std::fs::read(&path).map_err(|source| BundleError::File { path, source })
    }
}

/// Opens the bundle in `dir`: reads and checks its manifest, not its files.
pub fn open(dir: &Path) -> Result<Bundle, BundleError> {
    let path = dir.join(MANIFEST);
    let failed = |source| BundleError::Open { path: path.clone(), source };
    let real = dir.canonicalize().map_err(failed)?;
    let mut text = String::new();
    open_regular(&path).map_err(failed)?.take(MAX_MANIFEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(BundleError::TooLarge { path });
    }
    let manifest = Manifest::parse(&text).map_err(|source| BundleError::Manifest { path, source })?;
    let digest = hex(Sha256::digest(text.as_bytes()).as_slice());
    Ok(Bundle { dir: real, manifest, digest, parts: Vec::new() })
}

/// Opens the bundle in `dir` together with the parts in these directories.
pub fn open_with(dir: &Path, parts: &[PathBuf]) -> Result<Bundle, BundleError> {
    let parts: Vec<Bundle> = parts.iter().map(|part| open(part)).collect::<Result<_, _>>()?;
    open(dir)?.with_parts(parts)
}

/// Opens a file, and nothing that would be waited for: the writer of a pipe may never come.
fn open_regular(path: &Path) -> std::io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("not a regular file")),
    }
}

/// The content of a regular file of at most `limit` bytes. A pipe or a device is not waited for: it is refused.
pub fn read_bytes(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(std::io::Error::other(format!("larger than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// The text of such a file.
pub fn read_text(path: &Path, limit: u64) -> std::io::Result<String> {
    let text = String::from_utf8(read_bytes(path, limit)?);
    text.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Why `text` is no TOML of the wanted form, in one line that says where.
pub fn syntax_fault(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', "; ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    format!("line {line}, column {column}: {message}")
}

/// Proves size and sha256 of every file that the manifest lists. Takes about a millisecond per megabyte.
pub fn verify(bundle: &Bundle) -> Result<(), BundleError> {
    bundle.manifest.file.iter().try_for_each(|entry| verify_file(bundle, entry))
}

/// Proves size and sha256 of one of them.
pub fn verify_file(bundle: &Bundle, entry: &FileEntry) -> Result<(), BundleError> {
    let path = bundle.file(&entry.path)?;
    let failed = |source| BundleError::File { path: path.clone(), source };
    let mut file = open_regular(&path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    if found != entry.bytes {
        return Err(BundleError::Size { path, expected: entry.bytes, found });
    }
    let found = digest(&mut file).map_err(failed)?;
    if found != entry.sha256 {
        return Err(BundleError::Digest { path, expected: entry.sha256.clone(), found });
    }
    Ok(())
}

/// SHA-256 of all that `from` gives; lower-case hexadecimal.
pub fn digest(from: &mut impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(hex(hash.finalize().as_slice()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
