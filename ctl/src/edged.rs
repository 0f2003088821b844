//! The daemon's binary: found beside this command or on the path, and asked for its verdict on a configuration.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::diagnose::ConfigVerdict;

/// Lets `edged --check-config` judge `config`, or what the daemon would read by itself.
pub fn check_config(config: Option<&Path>) -> ConfigVerdict {
    let Some(binary) = find() else {
        return ConfigVerdict::Unknown("edged was found neither beside edgectl nor on the PATH".into());
    };
    let mut command = Command::new(&binary);
    command.arg("--check-config");
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    match command.output() {
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

/// The binary of the same installation first, so that an old one on the path does not judge a new configuration.
fn find() -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    beside.into_iter().chain(env::split_paths(&path)).map(|dir| dir.join("edged")).find(|file| file.is_file())
}
