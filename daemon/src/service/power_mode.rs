//! Asks for a power mode by name and puts back what was there. Only if the operator names one: clocks, fans and modes are the
//! machine's own business otherwise.
//!
//! What was there before is kept in a file, so that a daemon that was killed does not take its own wish for the machine's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use edge_wire::hardware::PowerMode;
use tokio::process::Command;

use crate::telemetry::powermode::Modes;

/// The machine's own program.
const PROGRAM: &str = "nvpmodel";
/// It may have to restart the graphics processor; more than this is no answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Name of the file, in the state directory.
const KEPT: &str = "power-mode-before";

/// Why a mode was not set.
#[derive(Debug, thiserror::Error)]
pub enum PowerModeError {
    #[error("`governor.power_mode` is \"{wanted}\", which this machine does not have: takes {}", takes(.modes))]
    Unknown { wanted: String, modes: Vec<PowerMode> },
    #[error("the present power mode is not known: {0}")]
    Present(String),
    #[error("run {PROGRAM} -m {id}")]
    Run { id: u32, source: std::io::Error },
    #[error("{PROGRAM} -m {id} ended with {status}: {said}")]
    Refused { id: u32, status: String, said: String },
    #[error("{PROGRAM} -m {0} did not end within 30 s")]
    Slow(u32),
    #[error("keep the power mode before in {}", .path.display())]
    Keep { path: PathBuf, source: std::io::Error },
}

fn takes(modes: &[PowerMode]) -> String {
    match modes {
        [] => "none: there is no table of power modes (/etc/nvpmodel.conf)".into(),
        modes => modes.iter().map(|mode| mode.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// A mode that was asked for; `restore` puts back what was there.
#[derive(Debug)]
pub struct Asked {
    before: PowerMode,
    setter: Setter,
    kept: PathBuf,
}

/// How a mode is set.
#[derive(Clone, Debug)]
pub enum Setter {
    /// By the machine's own program.
    Program,
    /// In the files of a simulated machine, below this root.
    Tree(PathBuf),
}

/// The mode of this name, however it is written.
pub fn find<'a>(modes: &'a [PowerMode], wanted: &str) -> Option<&'a PowerMode> {
    modes.iter().find(|mode| mode.name.eq_ignore_ascii_case(wanted.trim()))
}

/// Asks for a mode by name, on the machine whose files are below `root`. `None` if it is the present one and nothing was asked
/// for before.
pub async fn ask(root: &Path, wanted: &str, setter: Setter, state_dir: &Path) -> Result<Option<Asked>, PowerModeError> {
    let mut table = Modes::new(root);
    table.find();
    let modes = table.read();
    let unknown = || PowerModeError::Unknown { wanted: wanted.to_owned(), modes: modes.modes.to_vec() };
    let mode = find(&modes.modes, wanted).ok_or_else(unknown)?.clone();
    let present = modes.present.map_err(|absence| PowerModeError::Present(absence.word()))?;
    let kept = state_dir.join(KEPT);
    // A daemon that was killed left what was there before it.
    let before = std::fs::read_to_string(&kept).unwrap_or_else(|_| present.to_string());
    let Some(before) = find(&modes.modes, &before).or_else(|| find(&modes.modes, &present)).cloned() else {
        return Err(PowerModeError::Present(format!("{present} is not in the table")));
    };
    if before == mode {
        return Ok(None);
    }
    let keep = |source| PowerModeError::Keep { path: kept.clone(), source };
    std::fs::create_dir_all(state_dir).map_err(keep)?;
    std::fs::write(&kept, &before.name).map_err(keep)?;
    if *present != mode.name {
        set(&setter, mode.id).await?;
        tracing::warn!(from = %present, to = %mode.name, "power mode, as `governor.power_mode` asks");
    }
    Ok(Some(Asked { before, setter, kept }))
}

impl Asked {
    /// Puts back what was there.
    pub async fn restore(self) -> Result<(), PowerModeError> {
        set(&self.setter, self.before.id).await?;
        tracing::info!(to = %self.before.name, "power mode, as it was before");
        std::fs::remove_file(&self.kept).map_err(|source| PowerModeError::Keep { path: self.kept, source })
    }
}

async fn set(setter: &Setter, id: u32) -> Result<(), PowerModeError> {
    match setter {
        Setter::Tree(root) => {
            let file = root.join("var/lib/nvpmodel/status");
            std::fs::write(file, format!("pmode:{id:04} fmode:quiet\n"))
                .map_err(|source| PowerModeError::Run { id, source })
        }
        Setter::Program => run(id).await,
    }
}

async fn run(id: u32) -> Result<(), PowerModeError> {
    // It asks whether to restart the machine for some modes: no, not by a daemon.
    let ran = Command::new(PROGRAM).arg("-m").arg(id.to_string()).stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(PATIENCE, ran).await.map_err(|_| PowerModeError::Slow(id))?;
    let ended = ended.map_err(|source| PowerModeError::Run { id, source })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim().chars().take(300).collect();
    Err(PowerModeError::Refused { id, status: ended.status.to_string(), said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(present: u32) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::create_dir_all(root.path().join("var/lib/nvpmodel")).unwrap();
        let conf =
            "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n";
        std::fs::write(root.path().join("etc/nvpmodel.conf"), conf).unwrap();
        std::fs::write(root.path().join("var/lib/nvpmodel/status"), format!("pmode:{present:04} fmode:quiet\n"))
            .unwrap();
        root
    }

    fn present(root: &Path) -> String {
        let mut modes = Modes::new(root);
        modes.find();
        modes.read().present.unwrap().to_string()
    }

    #[tokio::test]
    async fn a_mode_is_asked_for_by_name_and_put_back_also_after_a_kill() {
        let (root, state) = (machine(0), tempfile::tempdir().unwrap());
        let tree = || Setter::Tree(root.path().to_owned());
        let asked = ask(root.path(), "maxn_super", tree(), state.path()).await.unwrap().unwrap();
        assert_eq!(present(root.path()), "MAXN_SUPER");
        // Killed: the next one finds its own wish there, and knows better.
        drop(asked);
        let asked = ask(root.path(), "MAXN_SUPER", tree(), state.path()).await.unwrap().unwrap();
        asked.restore().await.unwrap();
        assert_eq!(present(root.path()), "15W");
        assert!(!state.path().join(KEPT).exists());
        assert!(ask(root.path(), "15W", tree(), state.path()).await.unwrap().is_none(), "it is there already");
    }

    #[tokio::test]
    async fn a_mode_that_is_not_there_is_named_with_those_that_are() {
        let (root, state) = (machine(0), tempfile::tempdir().unwrap());
        let tree = Setter::Tree(root.path().to_owned());
        let error = ask(root.path(), "50W", tree.clone(), state.path()).await.unwrap_err().to_string();
        assert!(error.contains("50W") && error.contains("15W, 25W, MAXN_SUPER"), "{error}");
        let error = ask(state.path(), "50W", tree, state.path()).await.unwrap_err().to_string();
        assert!(error.contains("/etc/nvpmodel.conf"), "{error}");
    }
}
