//! Versions of a model to install, made of the repository's `add`: 1.0.0 adds, every other one subtracts. And the real
//! command, to install them with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::answer::{Options, Tensor, expect_yes};
use crate::client::bus::BusClient;
use crate::origin::bundles::noise;
use crate::places;
use crate::stack::Stack;

/// The model.
pub const MODEL: &str = "add";

/// The command for a stack, in its directory.
pub fn command(stack: &Stack, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(places::binary("edgectl")?);
    command.args(arguments).current_dir(stack.dir()).env("ORT_DYLIB_PATH", places::runtime_library()?);
    command.env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", stack.bus.address());
    Ok(command)
}

/// Runs it: exit code, what was answered and what was said.
pub fn edgectl(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let output = command(stack, arguments)?.output().context("run edgectl")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

/// Runs it, and it has to do well.
pub fn done(stack: &Stack, arguments: &[&str]) -> Result<String> {
    let (code, out, err) = edgectl(stack, arguments)?;
    ensure!(code == Some(0), "{arguments:?}: {code:?}\n{out}\n{err}\n{}", stack.logs());
    Ok(out)
}

/// A bundle beside the stack: that of the repository under another version, which subtracts if it `subtracts`.
pub fn bundle(stack: &Stack, version: &str, subtracts: bool) -> Result<PathBuf> {
    let dir = stack.dir().join(format!("made-{version}"));
    copy(&places::test_bundles().join(MODEL), &dir)?;
    let manifest = dir.join("model.toml");
    let text = std::fs::read_to_string(&manifest)?.replace("version = \"1.0.0\"", &format!("version = \"{version}\""));
    std::fs::write(&manifest, text)?;
    if subtracts {
        subtract(&dir)?;
        done(stack, &["models", "goldens", dir.to_str().context("a path")?])?;
    }
    Ok(dir)
}

/// Makes the model of a bundle subtract; its golden answers and digests stay those of one that adds.
pub fn subtract(dir: &Path) -> Result<()> {
    let model = std::fs::read(dir.join("model.onnx"))?;
    // The operator's name, with its tag and length before it.
    let at = model.windows(5).position(|window| window == b"\x22\x03Add").context("no Add in the model")?;
    Ok(std::fs::write(dir.join("model.onnx"), [&model[..at], b"\x22\x03Sub", &model[at + 5..]].concat())?)
}

/// The same as one file.
pub fn archive(stack: &Stack, version: &str) -> Result<PathBuf> {
    pack(stack, &bundle(stack, version, true)?)
}

/// The same with so many bytes of noise beside the model.
pub fn heavy(stack: &Stack, version: &str, bytes: u64) -> Result<PathBuf> {
    let dir = bundle(stack, version, true)?;
    noise(&dir.join("noise.bin"), bytes)?;
    let manifest = dir.join("model.toml");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, format!("{text}\n[[file]]\npath = \"noise.bin\"\nbytes = 1\nsha256 = \"\"\n"))?;
    crate::bundle::seal(&dir)?;
    pack(stack, &dir)
}

/// Packs a bundle.
pub fn pack(stack: &Stack, dir: &Path) -> Result<PathBuf> {
    let out = dir.with_extension("edgemodel");
    let words = ["models", "pack", dir.to_str().context("a path")?, "--out", out.to_str().context("a path")?];
    done(stack, &words)?;
    Ok(out)
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Two and one.
pub fn inputs() -> [Tensor; 2] {
    [Tensor::fp32("a", &[1, 4], &[2.0; 4]), Tensor::fp32("b", &[1, 4], &[1.0; 4])]
}

/// The version that answered, and what it made of them.
pub async fn ask(client: &BusClient, model: &str) -> Result<(String, f32)> {
    let yes = expect_yes("an answer", client.infer(model, &inputs(), &Options::default()).await?)?;
    let version = yes.info["version"].as_str().context("a version")?.to_owned();
    Ok((version, yes.output("c")?.floats()?[0]))
}

/// What a version has to answer.
pub fn right(version: &str) -> f32 {
    if version == "1.0.0" { 3.0 } else { 1.0 }
}
