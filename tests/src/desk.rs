//! A directory to work in with `edgectl`, as somebody who prepares a bundle before any box has it: no bus, no daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::places;

/// A directory to work in, with the command.
#[derive(Debug)]
pub struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// An empty one.
    pub fn new() -> Result<Desk> {
        Ok(Desk { dir: tempfile::tempdir()? })
    }

    /// Where a file of it is.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Exit code, what was answered and what was said.
    pub fn edgectl(&self, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
        let mut command = Command::new(places::binary("edgectl")?);
        command.args(arguments).current_dir(self.dir.path()).env("ORT_DYLIB_PATH", places::runtime_library()?);
        let output = command.output().context("run edgectl")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status.code(), text(output.stdout), text(output.stderr)))
    }

    /// The record of a verb that does well.
    pub fn done(&self, arguments: &[&str]) -> Result<Value> {
        let (code, out, err) = self.edgectl(&[arguments, &["--json"]].concat())?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {out} {err}");
        Ok(serde_json::from_str(&out)?)
    }

    /// What a verb has left over: names that begin with a dot.
    pub fn hidden(&self) -> Result<Vec<String>> {
        let names: std::io::Result<Vec<String>> = std::fs::read_dir(self.dir.path())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect();
        Ok(names?.into_iter().filter(|name| name.starts_with('.')).collect())
    }

    /// Puts a file there, and the directories it is in.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().context("a file is somewhere")?)?;
        Ok(std::fs::write(path, bytes)?)
    }

    /// A model's file of the repository, under a name of its own.
    pub fn model(&self, bundle: &str, name: &str) -> Result<Vec<u8>> {
        let bytes = std::fs::read(places::test_bundles().join(bundle).join("model.onnx"))?;
        self.write(name, &bytes)?;
        Ok(bytes)
    }

    /// A bundle of the repository, under its own name.
    pub fn bundle(&self, name: &str) -> Result<()> {
        copy(&places::bundle(name)?, &self.at(name))
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to)? } else { std::fs::copy(entry.path(), &to).map(drop)? }
    }
    Ok(())
}
