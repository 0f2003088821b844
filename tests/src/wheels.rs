//! Wheels of ONNX Runtime, good ones made of the library that was fetched, and bad ones of each kind.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::places;

/// Where wheels of ONNX Runtime have their libraries.
pub const PLACE: &str = "onnxruntime/capi/";
/// Version in the metadata, unless a test says otherwise.
pub const VERSION: &str = "1.99.0";

/// A wheel that is being put together.
#[derive(Debug)]
pub struct Wheel {
    path: PathBuf,
    name: String,
    version: String,
    files: Vec<(String, Vec<u8>)>,
}

impl Wheel {
    /// One without libraries.
    pub fn at(path: &Path) -> Wheel {
        Wheel { path: path.to_owned(), name: "onnxruntime-gpu".into(), version: VERSION.into(), files: Vec::new() }
    }

    /// The same for another package.
    pub fn of(mut self, name: &str, version: &str) -> Wheel {
        (self.name, self.version) = (name.into(), version.into());
        self
    }

    /// With this file at this place in it.
    pub fn with(mut self, name: &str, content: Vec<u8>) -> Wheel {
        self.files.push((name.into(), content));
        self
    }

    /// With this as ONNX Runtime's own library.
    pub fn library(self, content: Vec<u8>) -> Wheel {
        let name = format!("{PLACE}libonnxruntime.so.{}", self.version);
        self.with(&name, content)
    }

    /// Writes it.
    pub fn write(self) -> Result<PathBuf> {
        let file = fs::File::create(&self.path).with_context(|| format!("make {}", self.path.display()))?;
        let mut zip = ZipWriter::new(file);
        // Libraries of tens of megabytes: packing them would cost seconds each time.
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(format!("x-{}.dist-info/METADATA", self.version), stored)?;
        write!(zip, "Metadata-Version: 2.4\nName: {}\nVersion: {}\n\n", self.name, self.version)?;
        for (name, content) in &self.files {
            zip.start_file(name.as_str(), stored)?;
            zip.write_all(content)?;
        }
        zip.finish()?;
        Ok(self.path)
    }
}

/// The library that was fetched.
pub fn real() -> Result<Vec<u8>> {
    Ok(fs::read(places::runtime_library()?)?)
}

/// A wheel of the library that was fetched; another word makes it another wheel of the same version.
pub fn good(path: &Path, word: &str) -> Result<PathBuf> {
    let version = places::runtime_library()?;
    let name = version.file_name().context("a file")?.to_string_lossy().into_owned();
    let version = name.trim_start_matches("libonnxruntime.so.").to_owned();
    Wheel::at(path).of("onnxruntime", &version).library(real()?).with("onnxruntime/word.py", word.into()).write()
}

/// How a runtime is broken that loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every request fails.
    Run,
    /// Its process ends when a model is loaded.
    Ends,
}

/// Such a runtime.
pub fn broken(dir: &Path, fault: Fault) -> Result<Vec<u8>> {
    let slot = |offset: usize| offset / size_of::<usize>();
    let run = slot(std::mem::offset_of!(ort::sys::OrtApi, Run));
    let session = slot(std::mem::offset_of!(ort::sys::OrtApi, CreateSession));
    let (first, last, more) = match fault {
        Fault::Run => (run, run, None),
        // That from a file, and that from memory, which is the next.
        Fault::Ends => (session, session + 1, Some("-DEND".to_owned())),
    };
    let mut macros = vec![
        format!("-DREAL=\"{}\"", places::runtime_library()?.display()),
        format!("-DSLOTS={}", slot(size_of::<ort::sys::OrtApi>())),
        format!("-DFIRST={first}"),
        format!("-DLAST={last}"),
    ];
    macros.extend(more);
    compile(dir, &macros)
}

/// A library that is none of a runtime, linked with these arguments.
pub fn foreign(dir: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    compile(dir, &arguments.iter().map(|&one| one.to_owned()).collect::<Vec<_>>())
}

fn compile(dir: &Path, arguments: &[String]) -> Result<Vec<u8>> {
    let out = dir.join("made.so");
    let done = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
        .arg(&out)
        .arg(places::repository().join("tests/data/broken_runtime.c"))
        .args(arguments)
        .arg("-ldl")
        .output()
        .context("run cc (make need)")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(fs::read(out)?)
}

/// The same library for another kind of processor.
pub fn for_another_machine(mut library: Vec<u8>) -> Result<Vec<u8>> {
    /// Where the number of the machine is in the head of the file.
    const MACHINE: usize = 18;
    let other: u8 = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    *library.get_mut(MACHINE).context("a head")? = other;
    Ok(library)
}

/// The same library, built for a C library that is not there yet.
pub fn for_a_newer_system(mut library: Vec<u8>) -> Result<Vec<u8>> {
    let old: &[u8] = if cfg!(target_arch = "x86_64") { b"GLIBC_2.2.5\0" } else { b"GLIBC_2.17\0" };
    let new: &[u8] = if cfg!(target_arch = "x86_64") { b"GLIBC_9.9.5\0" } else { b"GLIBC_9.17\0" };
    let at = library.windows(old.len()).position(|window| window == old).context("no such version in it")?;
    library.get_mut(at..at + new.len()).context("the same place")?.copy_from_slice(new);
    Ok(library)
}
