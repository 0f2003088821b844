//! The daemon's binary: found beside this command or on the path, asked for its verdict on a configuration, or
//! set to work on files of this machine.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use edge_wire::names::CONFIG_FILE;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::diagnose::ConfigVerdict;
use crate::failure::Failure;

/// How long the daemon's binary may take to read a configuration.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the daemon's binary ends with when something was asked for that makes no sense.
const USAGE: i32 = 2;

/// Most of one file that is read.
const MOST: u64 = 1 << 20;
/// Most files of the configuration.
const FILES: usize = 64;

/// The role of the daemon's binary that works on bundles.
pub const BUNDLE: &str = "bundle";
/// The role that works on installed runtimes.
pub const RUNTIME: &str = "runtime";
/// The role that learns of outcomes.
pub const QUALITY: &str = "quality";

/// The configuration file that a running daemon was given, told from the files that it read; `None` if it found its
/// files by itself, which a check does as well. Drop-ins alone are only found at the place where no file need be.
pub fn given(files: &[String]) -> Option<PathBuf> {
    let drop_ins = Path::new(CONFIG_FILE).with_extension("toml.d");
    let first = Path::new(files.first()?);
    let by_itself = first == Path::new(CONFIG_FILE) || first.parent() == Some(drop_ins.as_path());
    (!by_itself).then(|| first.to_owned())
}

/// The files that a daemon would read: this one and its drop-ins.
pub fn config_files(config: Option<&Path>) -> Vec<PathBuf> {
    let main = config.unwrap_or(Path::new(CONFIG_FILE));
    let entries = fs::read_dir(main.with_extension("toml.d")).into_iter().flatten().flatten();
    let mut more: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    more.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    more.sort();
    std::iter::once(main.to_owned()).chain(more).take(FILES).collect()
}

/// The beginning of a file, as text.
pub fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    read.map_err(|error| format!("read {}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

/// Lets `edged --check-config` judge `config`, or what the daemon would read by itself.
pub async fn check_config(config: Option<&Path>) -> ConfigVerdict {
    let Some(binary) = find() else {
        return ConfigVerdict::Unknown("edged was found neither beside edgectl nor on the PATH".into());
    };
    let mut command = Command::new(&binary);
    command.arg("--check-config");
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    // With this command it ends, should the disk that it reads from not answer.
    command.kill_on_drop(true);
    let Ok(output) = tokio::time::timeout(PATIENCE, command.output()).await else {
        let limit = PATIENCE.as_secs();
        return ConfigVerdict::Unknown(format!("{} has not read the configuration within {limit} s", binary.display()));
    };
    match output {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            if output.status.success() {
                ConfigVerdict::Valid(if said.is_empty() { "valid".into() } else { said })
            } else {
                ConfigVerdict::Invalid(if said.is_empty() { format!("refused ({})", output.status) } else { said })
            }
        }
        Err(error) => ConfigVerdict::Unknown(format!("run {}: {error}", binary.display())),
    }
}

/// The words of a command line that sets the daemon's binary to work. No daemon is asked.
#[derive(Debug)]
pub struct Words(Vec<OsString>);

impl Words {
    /// `edged ROLE VERB ABOUT`.
    pub fn new(role: &str, verb: &str, about: &OsStr) -> Words {
        // A name that begins with a hyphen is a name.
        let about = OsString::from_iter([OsStr::new(if is_option(about) { "./" } else { "" }), about]);
        Words(vec![role.into(), verb.into(), about])
    }

    /// `edged ROLE VERB`.
    pub fn bare(role: &str, verb: &str) -> Words {
        Words(vec![role.into(), verb.into()])
    }

    /// With this option, if it has a value.
    pub fn option<T: AsRef<OsStr> + ?Sized>(&mut self, name: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.0.push(OsString::from_iter([OsStr::new(name), OsStr::new("="), value.as_ref()]));
        }
    }

    /// With this option, which has no value.
    pub fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    /// The record, and whether the daemon's binary found it good.
    pub async fn ask<T: DeserializeOwned>(&self) -> Result<(T, bool), Failure> {
        let done = self.done().await.map_err(Failure::local)?;
        if done.stdout.is_empty() {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            let said = if said.is_empty() { "edged said nothing".into() } else { said };
            return Err(if done.status.code() == Some(USAGE) { Failure::usage(said) } else { Failure::local(said) });
        }
        let record = serde_json::from_slice(&done.stdout);
        let record = record.map_err(|error| Failure::Mismatch { what: format!("what edged said of it: {error}") })?;
        Ok((record, done.status.success()))
    }

    /// It may ask for a password, so the terminal is its own; Ctrl-C ends both.
    async fn done(&self) -> Result<Output, String> {
        let Some(binary) = find() else { return Err("edged was found neither beside edgectl nor on the PATH".into()) };
        let mut command = Command::new(&binary);
        command.args(&self.0).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().map_err(|error| format!("run {}: {error}", binary.display()))?;
        child.wait_with_output().await.map_err(|error| format!("wait for {}: {error}", binary.display()))
    }
}

fn is_option(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'-')
}

/// The binary of the same installation first, so that an old one on the path does not judge a new configuration.
fn find() -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    beside.into_iter().chain(env::split_paths(&path)).map(|dir| dir.join("edged")).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_a_daemon_was_given_is_the_first_unless_it_found_it_by_itself() {
        let cases: [(&[&str], Option<&str>); 6] = [
            (&[], None),
            (&["/etc/edged/edged.toml"], None),
            (&["/etc/edged/edged.toml", "/etc/edged/edged.toml.d/10-site.toml"], None),
            (&["/etc/edged/edged.toml.d/10-site.toml"], None),
            (&["/srv/edged.toml", "/srv/edged.toml.d/10-site.toml"], Some("/srv/edged.toml")),
            (&["/srv/parts.d/one.toml"], Some("/srv/parts.d/one.toml")),
        ];
        for (files, expected) in cases {
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            assert_eq!(given(&files), expected.map(PathBuf::from), "{files:?}");
        }
    }

    #[test]
    fn the_drop_ins_of_a_configuration_belong_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("edged.toml");
        fs::create_dir(dir.path().join("edged.toml.d")).unwrap();
        for name in ["20-b.toml", "10-a.toml", "note.txt"] {
            fs::write(dir.path().join("edged.toml.d").join(name), "").unwrap();
        }
        let names = config_files(Some(&main));
        let names: Vec<_> = names.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["edged.toml", "10-a.toml", "20-b.toml"]);
    }
}
