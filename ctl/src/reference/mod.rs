//! What follows from the command line and is kept in the source tree: man pages and completions.

mod man;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;

/// Shells whose completions are installed, with the file name that each looks for.
const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "edgectl.bash"), (Shell::Zsh, "_edgectl"), (Shell::Fish, "edgectl.fish")];

/// A file of the source tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the root of the tree.
    pub path: String,
    pub text: String,
}

/// Every generated file.
pub fn files() -> Vec<File> {
    let completions =
        SHELLS.map(|(shell, name)| File { path: format!("packaging/completions/{name}"), text: completions(shell) });
    man::pages(&visible()).into_iter().chain(completions).collect()
}

/// The script that completes this command's words in `shell`.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(), "edgectl", &mut script);
    lines_without_trailing_space(&String::from_utf8_lossy(&script))
}

/// The command without its hidden verbs, which neither the manual nor a completion should show.
fn visible() -> Command {
    let full = Cli::command();
    let verbs = full.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let mut command = Command::new("edgectl")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(full.get_arguments().cloned())
        .subcommands(verbs);
    if let Some(about) = full.get_about() {
        command = command.about(about.clone());
    }
    if let Some(examples) = full.get_after_help() {
        command = command.after_help(examples.clone());
    }
    command.build();
    command
}

fn lines_without_trailing_space(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// `edgectl gen .` at the root of the tree brings them up to date.
    #[test]
    fn the_files_in_the_tree_are_those_that_the_command_line_gives() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for file in files() {
            let found = fs::read_to_string(root.join(&file.path)).unwrap_or_default();
            assert!(found == file.text, "{} is out of date: run `make gen`", file.path);
        }
    }

    #[test]
    fn every_verb_has_a_page_and_no_hidden_verb_is_shown() {
        let files = files();
        let has = |path: &str| files.iter().any(|file| file.path == path);
        for page in ["edgectl", "edgectl-status", "edgectl-models-show", "edgectl-infer", "edgectl-config-check"] {
            assert!(has(&format!("packaging/man/{page}.1")), "{page}");
        }
        assert!(files.iter().all(|file| !file.path.ends_with("edgectl-gen.1") && !file.text.contains("source tree")));
    }
}
